# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The recorder: what it keeps and for how long, what it survives, and how it is installed and taken away."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import typing as t
from pathlib import Path

import pytest

from ansible_collections.oncall.pressure.plugins.module_utils._change._kinds import Failed, Refused
from ansible_collections.oncall.pressure.plugins.module_utils._components import _footprint
from ansible_collections.oncall.pressure.plugins.module_utils._components._footprint import Earlier
from ansible_collections.oncall.pressure.plugins.module_utils._controls import _recorder, _recorder_program
from ansible_collections.oncall.pressure.plugins.module_utils._host import _zipapp
from ansible_collections.oncall.pressure.plugins.module_utils._host._files import Files
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine
from ansible_collections.oncall.pressure.plugins.module_utils._host._parts import Parts
from ansible_collections.oncall.pressure.plugins.module_utils._parse import _memory_history
from ansible_collections.oncall.pressure.plugins.module_utils._parse._memory_history import COARSE, FINE, FOLDER, OLDER, PART_BYTES, Row, Sample

BOOT = "418295d4ce87"


class Scratch:
    """A host made of files whose clock and memory the test sets."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        (folder / "commands.json").write_text("{}", encoding="utf-8")
        place = folder / "proc/sys/kernel/random"
        place.mkdir(parents=True)
        (place / "boot_id").write_text("418295d4-ce87-41b4-a0a8-bb4e5cbb0a4f\n", encoding="ascii")
        self.machine = Machine(str(folder))
        self.files = Parts(str(folder))
        self.now, self.up = 1795851300.0, 1000.0
        self.rows: tuple[Row, ...] = (Row("shop-web.service", 100, 0.5),)
        self.befores: list[Earlier | None] = []
        monkeypatch.setattr(_footprint, "look", self.look)

    def look(self, machine: Machine, own: t.AbstractSet[int], before: Earlier | None) -> tuple[Sample, Earlier]:
        self.befores.append(before)
        return Sample(self.now, self.up, BOOT, 1, 2, 3, 4.0, self.rows), Earlier(self.up, {"shop-web.service": self.up}, {"/var/log/a": (1, 2, 3)})

    def record(self, times: int = 1, every_s: float = 60.0) -> str | None:
        problem = None
        for dummy in range(times):
            problem = _recorder_program.record(self.machine, self.files)
            self.now += every_s
            self.up += every_s
        return problem

    def text(self, path: str) -> str:
        place = self.folder / path.lstrip("/")
        return place.read_text(encoding="utf-8") if place.exists() else ""

    def samples(self, path: str) -> list[Sample]:
        return [one for one in map(_memory_history.sample, self.text(path).splitlines()) if one is not None]


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scratch:
    return Scratch(tmp_path, monkeypatch)


def test_samples_are_kept_and_means_of_them(host: Scratch) -> None:
    assert host.record(23) is None
    assert len(host.samples(FINE)) == 23
    means = host.samples(COARSE)
    assert [mean.up_s for mean in means] == [1600.0, 2200.0] and means[0].rows[0].bytes == 100
    assert (host.folder / FOLDER.lstrip("/")).stat().st_mode & 0o777 == 0o700
    assert host.befores[0] is None and host.befores[-1] == Earlier(2260.0, {"shop-web.service": 2260.0}, {"/var/log/a": (1, 2, 3)})


def test_a_mean_is_of_the_samples_since_the_one_before(host: Scratch) -> None:
    for size in [1000] + [100] * 5 + [200] * 5 + [700] * 10:
        host.rows = (Row("shop-web.service", size),)
        host.record()
    assert [mean.rows[0].bytes for mean in host.samples(COARSE)] == [150, 700]


def test_a_part_is_begun_anew_after_some_hours(host: Scratch) -> None:
    host.record(800)
    assert len(host.samples(FINE + OLDER)) == 361 and 0 < len(host.samples(FINE)) <= 361
    assert host.samples(FINE + OLDER)[-1].up_s + 60.0 == host.samples(FINE)[0].up_s


def test_all_parts_together_are_bounded(host: Scratch) -> None:
    host.rows = tuple(Row("s%02d" % number + "x" * 190, 10 ** 12, 1.0, 8, 1, 1, 1, ((1, 2, 3),) * 8) for number in range(60))
    host.record(1200, 10.0)
    sizes = {path: (host.folder / path.lstrip("/")).stat().st_size for path in (FINE, FINE + OLDER, COARSE)}
    assert all(size <= PART_BYTES for size in sizes.values()) and sizes[FINE + OLDER] > PART_BYTES - 20000


@pytest.mark.parametrize("first", ["rubbish\n", "\0" * 5000, "{\"v\":1"])
def test_a_part_that_begins_with_rubbish_is_put_away(host: Scratch, first: str) -> None:
    host.record()
    (host.folder / FINE.lstrip("/")).write_text(first, encoding="utf-8")
    assert host.record(2) is None
    assert len(host.samples(FINE)) == 2 and host.text(FINE + OLDER) == first


def test_a_torn_line_is_lost_alone(host: Scratch) -> None:
    host.record(3)
    place = host.folder / FINE.lstrip("/")
    place.write_bytes(place.read_bytes()[:-40])
    host.record(2)
    assert len(host.samples(FINE)) == 4


def test_a_clock_that_jumps(host: Scratch) -> None:
    host.record(5)
    host.now -= 1e6
    host.record(5)
    # this boot's own clock tells how old they are: nothing is put away
    assert len(host.samples(FINE)) == 10 and host.text(FINE + OLDER) == ""


def test_a_reboot_with_a_clock_in_the_past(host: Scratch) -> None:
    host.record(5)
    (host.folder / FINE.lstrip("/")).write_text(host.text(FINE).replace(BOOT, "aaaa"), encoding="ascii")
    host.now, host.up = host.now - 1e6, 10.0
    (host.folder / _recorder_program.LEFT.lstrip("/")).unlink()
    host.record(2)
    assert len(host.samples(FINE)) == 2 and len(host.samples(FINE + OLDER)) == 5 and host.befores[5] is None


def test_a_full_disk_costs_its_samples(host: Scratch, monkeypatch: pytest.MonkeyPatch) -> None:
    host.record(2)
    with monkeypatch.context() as patch:
        def full(*dummy: t.Any) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")
        patch.setattr(Files, "append", full)
        assert "No space left on device" in (host.record() or "")
    assert host.record(2) is None
    assert len(host.samples(FINE)) == 4


@pytest.mark.parametrize("text", [
    "", "{}", "[]", "null", '{"boot": "other"}', json.dumps({"boot": BOOT, "up_s": "x", "cpu": [], "logs": 3, "mean_up_s": None}), "\xff",
])
def test_what_was_left_may_be_anything(host: Scratch, text: str) -> None:
    host.record()
    (host.folder / _recorder_program.LEFT.lstrip("/")).write_text(text, encoding="latin-1")
    assert host.record() is None and host.befores[-1] is None


def test_the_program_runs_alone(tmp_path: Path) -> None:
    path = tmp_path / "recorder.pyz"
    path.write_bytes(_zipapp.build(_recorder.SOURCES, "_controls._recorder_program", compiled=True))
    ran = subprocess.run([sys.executable, "-I", str(path), "what"], capture_output=True, timeout=60, check=False, cwd="/")
    assert ran.returncode == 2 and b"usage, as root: python3 -I " in ran.stderr
    # beside each source lies what this Python makes of it, and another one passes it over
    again = _zipapp.build(_recorder.SOURCES, "_controls._recorder_program", compiled=True)
    assert _zipapp.same(path.read_bytes(), again)
    assert not _zipapp.same(path.read_bytes(), _zipapp.build(_recorder.SOURCES, "_controls._recorder_program"))
    assert not _zipapp.same(b"rubbish", again) and not _zipapp.same(again[:-9], again) and not _zipapp.same(again[:5000] + again[5001:], again)


class System:
    """systemctl, as far as it is asked."""

    def __init__(self) -> None:
        self.active = False
        self.said: list[str] = []
        self.fails: str | None = None

    def call(self, machine: Machine, words: t.Sequence[str], timeout_s: float, environment: t.Any = None) -> str:
        self.said.append(" ".join(words))
        if self.fails is not None and words[0] == self.fails:
            raise Failed("systemctl %s: no" % words[0])
        if words[0] in ("restart", "stop"):
            self.active = words[0] == "restart"
        return ""

    def runs(self, machine: Machine, unit: str) -> bool:
        return self.active


@pytest.fixture
def system(host: Scratch, monkeypatch: pytest.MonkeyPatch) -> System:
    found = System()
    monkeypatch.setattr(_recorder._systemctl, "present", lambda machine: True)
    monkeypatch.setattr(_recorder._systemctl, "call", found.call)
    monkeypatch.setattr(_recorder._systemctl, "runs", found.runs)
    monkeypatch.setattr(_recorder, "trusted_python", lambda files: "/usr/bin/python3")
    return found


def tree(host: Scratch) -> list[str]:
    files = [path for path in host.folder.rglob("*") if path.is_file() and path.name not in ("commands.json", "boot_id")]
    return sorted(str(path.relative_to(host.folder)) for path in files)


def ensure(host: Scratch, state: str = "present", every_s: int = 60, check: bool = False) -> tuple[bool, list[dict[str, str]]]:
    return _recorder.ensure(host.machine, host.files, state, every_s, check)


def test_it_is_installed_and_taken_away(host: Scratch, system: System) -> None:
    foreseen = ensure(host, check=True)
    assert foreseen[0] and tree(host) == [] and system.said == []
    assert ensure(host) == foreseen
    assert [row["after_header"] for row in foreseen[1]] == [
        "/var/lib/oncall-pressure/recorder/oncall-pressure-recorder.pyz", "/etc/systemd/system/oncall-pressure-recorder.service",
        "/etc/systemd/system/oncall-pressure-recorder.timer", "/etc/systemd/system/timers.target.d/oncall-pressure-recorder.conf",
        "oncall-pressure-recorder.timer"]
    assert len(tree(host)) == 4 and system.said == ["daemon-reload", "restart oncall-pressure-recorder.timer"]
    # again nothing; another interval is the timer alone; a timer that was stopped is started
    assert ensure(host) == ensure(host, check=True) == (False, [])
    changed, diff = ensure(host, every_s=300)
    assert changed and [row["after_header"] for row in diff] == ["/etc/systemd/system/oncall-pressure-recorder.timer"]
    assert "OnUnitActiveSec=300s" in diff[0]["after"]
    system.active = False
    assert ensure(host, every_s=300)[0] and system.active
    host.record(30)
    assert ensure(host, "absent", check=True)[0] and len(tree(host)) > 6
    changed, diff = ensure(host, "absent")
    assert changed and tree(host) == [] and not system.active and "samples\n" in [row["before"] for row in diff]
    assert not (host.folder / FOLDER.lstrip("/")).exists()
    assert ensure(host, "absent") == (False, [])


def test_what_cannot_be_started_is_taken_back(host: Scratch, system: System) -> None:
    system.fails = "restart"
    with pytest.raises(Failed, match="systemctl restart: no"):
        ensure(host)
    assert tree(host) == []
    system.fails = None
    ensure(host)
    before = {path: (host.folder / path).read_bytes() for path in tree(host)}
    system.fails = "restart"
    with pytest.raises(Failed):
        ensure(host, every_s=300)
    assert before == {path: (host.folder / path).read_bytes() for path in tree(host)}


def test_who_is_refused(host: Scratch, system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    place = host.folder / "etc/oncall-pressure"
    place.mkdir(parents=True)
    (place / "read-only").touch()
    with pytest.raises(Refused, match="read-only"):
        ensure(host)
    (place / "read-only").unlink()
    (host.folder / "commands.json").write_text('{"euid": 1000}', encoding="utf-8")
    with pytest.raises(Refused, match="as root"):
        _recorder.ensure(Machine(str(host.folder)), host.files, "present", 60, False)
    monkeypatch.setattr(_recorder._systemctl, "present", lambda machine: False)
    with pytest.raises(Refused, match="systemd does not run this host"):
        ensure(host)
    assert ensure(host, "absent") == (False, [])


def test_the_real_machine_gives_a_sample() -> None:
    """This very machine, whatever it is: the sizes are those of the kernel."""
    machine = Machine()
    sample, earlier = _footprint.look(machine, frozenset(), None)
    assert sample.requests_per_s is None and sample.used is not None and sample.used > 0 and earlier.up_s == sample.up_s
    assert all(row.bytes > 0 and row.cpu is None for row in sample.rows)
    again = _footprint.look(machine, frozenset((os.getpid(),)), earlier._replace(up_s=earlier.up_s - 1.0))[0]
    assert all(row.cpu is None or row.cpu >= 0 for row in again.rows)
    assert _memory_history.sample(_memory_history.line(again)) is not None
