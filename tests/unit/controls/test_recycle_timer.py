# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The recycling timer as files: what is written, what it is called, and whom it is not set for."""

from __future__ import annotations

import re
import subprocess
import sys
import typing as t
from pathlib import Path

import pytest

from ansible_collections.oncall.pressure.plugins.module_utils._change import _file, _kinds
from ansible_collections.oncall.pressure.plugins.module_utils._change._kinds import Refused
from ansible_collections.oncall.pressure.plugins.module_utils._controls import _recycle_timer, _recycling
from ansible_collections.oncall.pressure.plugins.module_utils._controls._lifespan import Lifespan, Wished
from ansible_collections.oncall.pressure.plugins.module_utils._controls._recycling import Wish
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine


def service(**more: t.Any) -> t.Dict[str, t.Any]:
    return dict({"id": "shop-web.service", "component": "gunicorn", "manager": "systemd", "main_pid": None}, **more)


@pytest.fixture
def operations(monkeypatch: pytest.MonkeyPatch) -> t.List[t.Dict[str, t.Any]]:
    monkeypatch.setattr(_recycle_timer, "check", lambda *dummy: None)
    return _recycle_timer.plan(Machine(), service(), 86400, "/usr/bin/python3")


def test_what_is_written(operations: t.List[t.Dict[str, t.Any]]) -> None:
    name = "oncall-pressure-recycle-shop-web"
    assert [operation.get("path") or operation["unit"] for operation in operations] == [
        "/var/lib/oncall-pressure/recycle/%s.pyz" % name, "/etc/systemd/system/timers.target.d/%s.conf" % name,
        "/etc/systemd/system/%s.service" % name, "/etc/systemd/system/%s.timer" % name, name + ".timer",
    ]
    texts = [operation.get("content") for operation in operations]
    assert "Wants=%s.timer\n" % name in texts[1]
    assert "\nExecStart=/usr/bin/python3 -I /var/lib/oncall-pressure/recycle/%s.pyz gunicorn shop-web.service\n" % name in texts[2]
    assert "\nOnActiveSec=86400s\nOnUnitInactiveSec=86400s\nRandomizedDelaySec=8640s\n" in texts[3]
    # the reload after a file is gone is what makes systemd forget it
    assert [operation.get("then") for operation in operations] == [[], ["daemon-reload"], [], ["daemon-reload"], None]
    assert not any(_kinds.acts_now(operation) for operation in operations), "nothing that runs is another for it"


def test_it_is_the_same_every_time_and_no_binary_is_shown(operations: t.List[t.Dict[str, t.Any]]) -> None:
    again = _recycle_timer.plan(Machine(), service(), 86400, "/usr/bin/python3")
    assert operations == again
    data = _file.to_bytes(operations[0]["content"])
    assert data[:2] == b"PK"
    assert re.match(r"\d+ bytes that are no text, sha256 [0-9a-f]{64}\n\Z", _file._readable(data))


def test_the_program_starts_alone(operations: t.List[t.Dict[str, t.Any]], tmp_path: Path) -> None:
    program = tmp_path / "recycle.pyz"
    program.write_bytes(_file.to_bytes(operations[0]["content"]))
    for words in ([], ["celery", "shop.service"], ["gunicorn"]):
        outcome = subprocess.run([sys.executable, "-I", str(program)] + words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd="/", check=False)
        assert (outcome.returncode, outcome.stdout) == (2, b"") and b"usage" in outcome.stderr and b"Traceback" not in outcome.stderr


def test_names_are_units_and_no_two_services_share_one() -> None:
    names = {given: _recycle_timer.name_of(given) for given in (
        "web.service", "web@1.service", "web@2.service", "web-1.service", r"web\x2d1.service", "supervisor:web", "supervisor-web.service", "web",
        "web.service.service", "x" * 130 + "1.service", "x" * 130 + "2.service")}
    assert len(set(names.values())) == len(names)
    assert all(re.match(r"oncall-pressure-recycle-[A-Za-z0-9_.-]+\Z", name) for name in names.values())
    assert names["web.service"] == "oncall-pressure-recycle-web"
    # systemd takes a backslash for the beginning of an escape
    assert r"web\\x2d1.service" in _recycle_timer.service_unit(r"web\x2d1.service", ["p", r"web\x2d1.service"]).split("ExecStart=")[1]


@pytest.mark.parametrize("row, words", [
    (service(component="celery"), "replaced by itself"), (service(component="rq"), "process of its own"), (service(component="nginx"), "no workers to replace"),
    (service(manager="docker"), "neither systemd nor supervisor"), (service(id="a b.service"), "of such a name"), (service(), "does not run"),
])
def test_whom_it_is_not_set_for(row: t.Dict[str, t.Any], words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_recycle_timer._systemctl, "present", lambda machine: True)
    with pytest.raises(Refused, match=words):
        _recycle_timer.check(Machine(), row)


def test_without_systemd_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_recycle_timer._systemctl, "present", lambda machine: False)
    with pytest.raises(Refused, match="systemd does not run this host"):
        _recycle_timer.check(Machine(), service())


def test_a_timer_does_without_a_number_that_cannot_be_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*dummy: t.Any) -> Lifespan:
        raise Refused("the rate was not measured")

    monkeypatch.setattr(_recycling, "lifespan", refuse)
    measured: t.Any = None
    assert _recycling._with_timer(measured, Wish("s", every_s=86400)).settings == {}
    with pytest.raises(Refused):
        _recycling._with_timer(measured, Wish("s", Wished(max_tasks_per_child=5), every_s=86400))


def test_how_it_is_said() -> None:
    said = _recycle_timer.said("shop-web.service", 86400)
    assert said == "every 24 h, later by up to a tenth of that, one worker at a time (oncall-pressure-recycle-shop-web.timer)"
    assert _recycle_timer.said("shop-web.service", 5000).startswith("every 5000 s")
