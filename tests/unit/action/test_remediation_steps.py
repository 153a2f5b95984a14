# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the actions of a step write down: what was kept, what cannot be named, how watching ends. No host and no play."""

from __future__ import annotations

import os
import subprocess
import sys
import types
from pathlib import Path
from typing import Any, Dict, List, Optional

import pytest

pytest.importorskip("ansible.plugins.action")

from ansible_collections.oncall.pressure.plugins.action import remediation_gate, remediation_look, remediation_outcome
from ansible_collections.oncall.pressure.plugins.plugin_utils import _ledger, _outcome

RULE = ("web.too_many_workers_for_memory", "shop.service")


def begun(**step: Any) -> Dict[str, Any]:
    planned = {"steps": [{"mitigation": "lower_workers", "variables": {}, "for": {"rule": RULE[0], "service": RULE[1]}, "held": None}]}
    outcome = _outcome.begin("web-1", planned, 1000.0)
    outcome["steps"][0].update(step)
    return outcome


def keep(tmp_path: Path, entries: List[Dict[str, Any]]) -> Dict[str, Any]:
    action = remediation_outcome.ActionModule.__new__(remediation_outcome.ActionModule)
    outcome = begun(state="applied", entry="RUN/01", incident="RUN")
    action._step(str(tmp_path), outcome, 0, "kept", [{"changed": bool(entries), "entries": entries}])
    found: Dict[str, Any] = outcome["steps"][0]
    return found


def test_what_the_host_says_is_confirmed_is_kept(tmp_path: Path) -> None:
    step = keep(tmp_path, [{"entry": "RUN/01", "state": "confirmed", "undone_in_s": 3600}])
    assert (step["state"], step["lifetime_s"], step["why"]) == ("confirmed", 3600, None)


def test_what_somebody_rolled_back_while_it_was_watched_is_not_kept(tmp_path: Path) -> None:
    # the module then finds nothing that waits, which is no failure of its own
    step = keep(tmp_path, [])
    assert step["state"] == "failed" and "somebody else" in step["why"]


class Look(remediation_look.ActionModule):
    """The action without a host: looks are given."""

    def __init__(self, folder: Path, looks: List[Optional[str]], **given: Any) -> None:
        self._given = {"report_dir": str(folder), "step": 0, "change": {}, "settle": 0.0, "patience": 0.0, "stable_for": 30.0, "probe_url": "", **given}
        self._task = types.SimpleNamespace(check_mode=False)
        self.looks = looks
        self.seen = 0
        self._rules: Dict[str, Any] = {RULE[0]: types.SimpleNamespace(facts={"kills": "derived.kills.count"})}

    def _look(self, outcome: Dict[str, Any], oom_window: int, traffic_window: int) -> remediation_look.Seen:
        self.seen += 1
        found = self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]
        snapshot = {"host": {"memory": {"used_pct": 40}, "cpu": {"used_pct": 10}}, "oom": {"kills": 0},
                    "services": [{"id": RULE[1], "state": "running", "main_pid": 7}]}
        return remediation_look.Seen({}, ["no route"], None) if found is None else remediation_look.Seen({(*RULE, None): found}, [], snapshot)

    def _renew(self) -> None:
        return


class Clock:
    """Time that passes only while something waits, and a little at each look at it."""

    def __init__(self) -> None:
        self.now = 1000.0

    def time(self) -> float:
        self.now += 0.001
        return self.now

    monotonic = time

    def sleep(self, seconds: float) -> None:
        self.now += max(seconds, 0.0)


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    passing = Clock()
    monkeypatch.setattr(remediation_look, "time", passing)
    monkeypatch.setattr(remediation_look, "_sleep", passing.sleep)
    for module in (remediation_gate, remediation_look, remediation_outcome):
        monkeypatch.setattr(module, "say", lambda text: None)
    return passing


@pytest.mark.parametrize("looks,state", [
    (["clear"], "closed"),
    ([None, "clear"], "closed"),
    ([None, None, "clear"], "closed"),
    ([None], "lost"),
    (["clear", "held"], "partly"),
])
def test_how_watching_ends(tmp_path: Path, looks: List[Optional[str]], state: str) -> None:
    outcome = dict(begun(state="confirmed"), state="improved")
    Look(tmp_path, looks)._closing(outcome)
    assert outcome["state"] == state and (state == "closed" or outcome["why"])
    written = _ledger.read(str(tmp_path), "web-1")
    assert written is not None and written["state"] == state


@pytest.mark.parametrize("change", [
    {"changed": True}, {"changed": True, "entry": "RUN/01"}, {"changed": True, "incident": "RUN"}, {"changed": True, "entry": "a b", "incident": "RUN"},
])
def test_a_change_without_a_name_is_never_kept(tmp_path: Path, change: Dict[str, Any]) -> None:
    # an empty incident would confirm every change of the host
    found = Look(tmp_path, ["clear"], change=change)._step(begun(state="taken"))
    assert found["failed"] and "decision" not in found


def test_a_pause_that_cannot_be_seen_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = str(tmp_path / "etc" / "pause")
    assert remediation_gate.paused(path) is None
    (tmp_path / "etc").mkdir()
    assert remediation_gate.paused(path) is None
    (tmp_path / "etc" / "pause").symlink_to("nowhere")
    assert remediation_gate.paused(path) == path + " is there"

    def denied(dummy: str) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(remediation_gate.os, "lstat", denied)
    assert "cannot be seen" in str(remediation_gate.paused(path))


def test_the_exit_status_is_2_also_where_nobody_reads_what_is_said() -> None:
    code = ("import sys; sys.path.insert(0, %r); from ansible_collections.oncall.pressure.plugins.filter.end_badly import end_badly; "
            "end_badly(True); print('x' * 100)" % next(path for path in sys.path if (Path(path) / "ansible_collections" / "oncall").is_dir()))
    # buffered, as ansible-playbook is: what cannot be written is noticed at the end alone
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    reader, writer = os.pipe()
    os.close(reader)
    assert subprocess.run([sys.executable, "-c", code], stdout=writer, stderr=subprocess.DEVNULL, env=environment, check=False).returncode == 2
    os.close(writer)
    assert subprocess.run([sys.executable, "-c", code], stdout=subprocess.DEVNULL, env=environment, check=False).returncode == 2


@pytest.mark.parametrize("fact,quiet_s,patience,least,most", [
    ("derived.kills.count", 60.0, 900.0, 60.0, 90.0),
    # patience bounds it, and a rule that counts no kills does not wait for them
    ("derived.kills.count", 9999.0, 120.0, 120.0, 150.0),
    ("derived.memory.used_pct", 9999.0, 900.0, 0.0, 30.0),
    ("derived.kills.count", 0.0, 900.0, 0.0, 30.0),
])
def test_a_step_is_not_kept_between_two_kills(tmp_path: Path, clock: Clock, fact: str, quiet_s: float, patience: float, least: float, most: float) -> None:
    look = Look(tmp_path, ["clear"], patience=patience)
    look._rules = {RULE[0]: types.SimpleNamespace(facts={"fact": fact})}
    outcome = dict(begun(state="applied"), quiet_s=quiet_s)
    started = clock.now
    found, dummy = look._watch(outcome, outcome["steps"][0], 0)
    assert found == "clear" and look.seen >= 2
    assert least <= clock.now - started < most


def test_a_kill_meanwhile_is_seen(tmp_path: Path) -> None:
    look = Look(tmp_path, ["clear", "clear", "clear", "held"], patience=60.0)
    outcome = dict(begun(state="applied"), quiet_s=999.0)
    assert look._watch(outcome, outcome["steps"][0], 0)[0] == "held"
