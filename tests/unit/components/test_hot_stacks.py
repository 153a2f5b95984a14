# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whose stacks are taken, and what is said where none can be had. The profilers are scripts: a real one is in tests/programs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import typing as t
from pathlib import Path

import jsonschema
import pytest

from ansible_collections.oncall.pressure.plugins.module_utils._components import _hot_stacks, _snapshot, _stacks
from ansible_collections.oncall.pressure.plugins.module_utils._host._collect import Options, Reading
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine

#: Not that of an environment: a profiler that is installed there would be found beside it.
PYTHON = os.path.realpath(sys.executable)

ROOT = Path(__file__).resolve().parents[3]
SCHEMA = json.loads((ROOT / "roles" / "diagnose" / "files" / "schemas" / "snapshot.json").read_text(encoding="utf-8"))
RECORDED = ROOT / "tests" / "unit" / "recordings" / "stacks"
LOOP = RECORDED / "py-spy-0.4.3-loop.txt"


class Patient(Machine):
    """This machine, on which nobody waits."""

    def sleep(self, seconds: float) -> None:
        pass


class Other(Patient):
    """As somebody else would see it."""

    def euid(self) -> int:
        return 54321


def service(name: str, *workers: tuple[int, float], manager: str = "systemd", main: int | None = None) -> dict[str, t.Any]:
    return {"id": name + ".service", "name": name, "manager": manager, "main_pid": main, "workers": [{"pid": pid, "cpu": cpu} for pid, cpu in workers]}


def top(pid: int, name: str, cpu: float) -> dict[str, t.Any]:
    return {"pid": pid, "service": name + ".service", "name": "python3", "cpu": cpu}


def test_the_hottest_of_a_managed_service_is_chosen() -> None:
    services = [service("web", (10, 0.2), (11, 0.9)), service("jobs", (20, 0.95)), service("mine", manager="session", main=30)]
    rows = _hot_stacks.candidates(services, [top(30, "mine", 3.0), top(20, "jobs", 0.97), top(11, "web", 0.9), top(99, "gone", 5.0)], "")
    assert [(row["pid"], row["service"], row["cpu"]) for row in rows] == [(20, "jobs.service", 0.97), (11, "web.service", 0.9)]
    assert _hot_stacks.candidates(services, [], "") == [
        {"pid": 20, "service": "jobs.service", "name": None, "cpu": 0.95}, {"pid": 11, "service": "web.service", "name": None, "cpu": 0.9}]


def test_of_a_service_that_was_named_any_process_will_do() -> None:
    services = [service("web", (10, 0.0), (11, 0.01), main=9), service("mine", manager="session", main=30)]
    assert [row["pid"] for row in _hot_stacks.candidates(services, [], "web")] == [11, 9, 10]
    assert [row["pid"] for row in _hot_stacks.candidates(services, [], "mine.service")] == [30]
    assert _hot_stacks.candidates(services, [], "other") == [] == _hot_stacks.candidates(services, [], "")


@pytest.fixture(name="shop")
def _shop(tmp_path: Path) -> t.Iterator[tuple[int, Path]]:
    """A Python process, and where a profiler of its own environment would lie."""
    script = tmp_path / "shop.py"
    script.write_text("import time\nprint(flush=True)\ntime.sleep(600)\n", encoding="utf-8")
    with subprocess.Popen([PYTHON, str(script)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline()
        try:
            yield process.pid, tmp_path / "py-spy"
        finally:
            process.kill()


def taken(shop: tuple[int, Path], says: str, machine: Machine | None = None, limit_s: float = 30.0) -> Reading:
    shop[1].write_text("#!/bin/sh\n%s\n" % says, encoding="utf-8")
    shop[1].chmod(0o755)
    reading = _hot_stacks.take(machine or Patient(), [service("shop", main=shop[0])], [top(shop[0], "shop", 0.99)], "", limit_s)
    if reading.data is not None:
        jsonschema.Draft202012Validator(SCHEMA["$defs"]["snapshot"]["properties"]["stacks"]).validate(reading.data)
    return reading


def test_three_dumps_say_what_the_process_is_busy_with(shop: tuple[int, Path]) -> None:
    reading = taken(shop, "cat %s; echo x >> %s.runs" % (LOOP, shop[1]))
    assert reading.status == "ok" and reading.reason is None
    assert {key: reading.data[key] for key in ("service", "pid", "process", "cpu", "by", "dumps", "samples")} == {
        "service": "shop.service", "pid": shop[0], "process": "python3", "cpu": 0.99, "by": str(shop[1]), "dumps": 3, "samples": 3}
    assert reading.data["groups"] == [{"group": "loop", "samples": 3, "share": 1.0}]
    assert (shop[1].parent / "py-spy.runs").read_text(encoding="utf-8") == "x\n" * 3


def test_a_dump_that_fails_is_tried_again_and_not_for_ever(shop: tuple[int, Path]) -> None:
    once = taken(shop, "[ -e %s.ran ] && exec cat %s; touch %s.ran; echo 'Failed to get stack trace' >&2; exit 1" % (shop[1], LOOP, shop[1]))
    assert once.status == "ok" and once.data["dumps"] == 3
    lost = taken(shop, "echo x >> %s.runs; [ $(wc -l < %s.runs) -eq 2 ] && exec cat %s; echo 'no such thing' >&2; exit 1" % (shop[1], shop[1], LOOP))
    assert (lost.status, lost.reason, lost.data["dumps"]) == ("partial", "1 of 3 dumps were had: no such thing", 1)


@pytest.mark.parametrize("says,words", [
    ("echo 'Permission denied (os error 13)' >&2; exit 1", "Permission denied"), ("head -c 300000 /dev/zero | tr '\\0' '\\377'", "was not understood"),
    ("true", "was not understood"), ("kill -9 $$", "status -9"),
])
def test_a_profiler_that_says_nothing_useful_is_an_error(shop: tuple[int, Path], says: str, words: str) -> None:
    reading = taken(shop, says)
    assert reading.status == "error" and reading.data is None and words in (reading.reason or "") and "process %d" % shop[0] in (reading.reason or "")


def test_a_profiler_that_hangs_is_ended_within_the_limit(shop: tuple[int, Path]) -> None:
    reading = taken(shop, "trap '' TERM; exec sleep 3600", limit_s=1.0)
    assert reading.status == "error" and "did not end" in (reading.reason or "")


def test_secrets_and_signs_in_names_do_not_leave_the_host(shop: tuple[int, Path]) -> None:
    reading = taken(shop, "printf 'Thread 1 (active)\\n    f\\033[31m (token=geheim.py:1)\\n    api_key=geheim2 (x.py:2)\\n'")
    assert reading.status == "ok" and "geheim" not in json.dumps(reading.data) and "\x1b" not in json.dumps(reading.data, ensure_ascii=False)


def test_where_none_can_be_had_it_says_why(shop: tuple[int, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    rows, here = [service("shop", main=shop[0])], [top(shop[0], "shop", 0.99)]
    assert "py-spy is neither installed" in (_hot_stacks.take(Patient(), rows, here, "", 5.0).reason or "")
    cold = _hot_stacks.take(Patient(), rows, [top(shop[0], "shop", 0.1)], "", 5.0)
    assert cold[:2] == ("absent", "no process of a service used 0.3 CPUs or more in the window")
    assert _hot_stacks.take(Patient(), rows, here, "web", 5.0)[:2] == ("absent", "no service web runs here")
    assert _hot_stacks.take(Patient(), [service("init", main=1)], [], "init", 5.0)[:2] == ("absent", "init is no Python program: its stacks are not taken")
    assert _hot_stacks.take(Patient(), None, [], "", 5.0).status == "error"
    denied = taken(shop, "touch %s.ran" % shop[1], Other())
    assert denied.status == "denied" and "only root or its owner" in (denied.reason or "")
    monkeypatch.setattr(_stacks, "NEED_BYTES", 2 ** 50)
    short = taken(shop, "touch %s.ran" % shop[1])
    assert short.status == "absent" and "MB are free" in (short.reason or "") and not (shop[1].parent / "py-spy.ran").exists()


def test_nobody_asked_costs_no_process() -> None:
    row = _snapshot._stacks(Machine(), Options(), [], {}, 4.0)
    assert row == {"status": "absent", "reason": "nobody asked for them (pressure_stacks)", "data": None, "seconds": 0.0}
    asked = _snapshot._stacks(Machine(), Options(stacks=""), [], {"top_cpu": []}, 4.0)
    assert asked["status"] == "absent" and "0.3 CPUs" in asked["reason"]
