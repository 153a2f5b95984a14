# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What was restarted is new and whole, what was not to be restarted is the old one, and what was kept before can be read."""

from __future__ import annotations

import json
import os
import re
import stat
import typing as t
from pathlib import Path

import pytest
from lab_hosts import connect, output

SCENARIO = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"])

#: The services that were restarted, with the number of their workers.
RESTARTED = {("lab-1", "shop-web.service"): 2, ("lab-1", "shop-jobs.service"): 2, ("lab-2", "shop-web.service"): 2}
UNTOUCHED = [("lab-1", "shop-api.service"), ("lab-1", "nginx.service"), ("lab-1", "gone.service"), ("lab-1", "edited.service"), ("lab-2", "shop-jobs.service")]


def before(name: str) -> set[int]:
    """The processes that ran before anything was done."""
    lines = (SCENARIO / ("before-" + name)).read_text(encoding="utf-8").splitlines()
    return {int(found.group(1)) for found in (re.match(r"\s*(\d+)\s+\d+\s+\S+\s", line) for line in lines) if found}


def main_pid(name: str, unit: str) -> int:
    return int(output(connect(name), "systemctl show -P MainPID %s" % unit))


def evidence(number: int, name: str) -> tuple[Path, dict[str, t.Any]]:
    """The folder and the document of what was kept of a host."""
    runs = sorted((SCENARIO / ("kept-%d" % number)).glob("*/evidence/" + name))
    assert len(runs) == 1
    return runs[0], json.loads((runs[0] / "evidence.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name,unit", list(RESTARTED))
def test_what_was_restarted_is_new_and_whole(name: str, unit: str) -> None:
    pid = main_pid(name, unit)
    assert pid and pid not in before(name)
    children = output(connect(name), "ps --no-headers -o pid,stat --ppid %d" % pid).splitlines()
    assert len([line for line in children if line.split()[1][0] not in "ZX"]) == RESTARTED[name, unit]


@pytest.mark.parametrize("name,unit", UNTOUCHED)
def test_what_was_not_restarted_is_the_old_one(name: str, unit: str) -> None:
    assert main_pid(name, unit) in before(name)


def test_a_supervisor_program_is_new() -> None:
    state, pid = output(connect("lab-3"), "supervisorctl status shop-jobs | sed -E 's/ +/ /g; s/,//'").split()[1:4:2]
    assert state == "RUNNING" and int(pid) not in before("lab-3")


def test_the_task_that_was_under_way_was_finished() -> None:
    said = output(connect("lab-1"), "journalctl -u shop-jobs --no-pager -o cat")
    assert "Warm shutdown" in said and re.search(r"Task shop\.report\S* succeeded in 15\.", said)
    assert "WorkerLostError" not in said


def test_the_hooks_ran_in_their_order() -> None:
    assert (SCENARIO / "hooks").read_text(encoding="utf-8").splitlines() == ["out lab-1", "in lab-1", "in after a failure"]


def test_every_restart_is_confirmed_and_the_failed_one_is_undone() -> None:
    for name, states in (("lab-1", ["confirmed", "confirmed", "undone"]), ("lab-2", ["confirmed"]), ("lab-3", ["confirmed"])):
        last = output(connect(name), "for file in $(ls -tr /var/lib/oncall-pressure/incidents/*/*/journal.jsonl); do tail -n 1 $file; done").splitlines()
        assert sorted(json.loads(line)["state"] for line in last) == sorted(states), name
    # it runs again, and stays
    assert output(connect("lab-1"), "systemctl show -P ActiveState dies") == "active"
    assert "sleep 10000" in output(connect("lab-1"), "ps --no-headers -o args --pid $(systemctl show -P MainPID dies)")


@pytest.mark.parametrize("number,name,service", [(1, "lab-1", "shop-jobs.service"), (1, "lab-1", "shop-web.service"), (2, "lab-2", "shop-web.service")])
def test_the_evidence_is_of_what_ran_before(number: int, name: str, service: str) -> None:
    folder, document = evidence(number, name)
    row = document["services"][service]
    assert {process["pid"] for process in row["processes"]} <= before(name)
    assert any(line.startswith("State:") for line in row["processes"][0]["status"])
    assert "memory.stat" in row["counters"] and row["state"]["ActiveState"] == "active"
    assert (folder / service / "log-0.txt").read_text(encoding="utf-8").count("\n") > 1
    snapshot = json.loads((folder.parents[1] / "snapshots" / (name + ".json")).read_text(encoding="utf-8"))
    assert service in {found["id"] for found in snapshot["services"]}
    for path in [folder, *folder.rglob("*")]:
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def test_what_hung_is_missing_and_held_up_nothing() -> None:
    dummy, document = evidence(3, "lab-3")
    row = document["services"]["supervisor:shop-jobs"]
    assert row["stacks"] is None and any(line.startswith("supervisor:shop-jobs stacks: ") for line in document["missing"])
    # on a busy machine another part may be late too, and then is named as well
    missing = {line.partition(":")[0] for line in document["missing"]}
    assert row["processes"] and (document["parts"]["snapshot"]["status"] == "ok" or "snapshot" in missing)
    assert document["cost"]["wall_s"] < 17.0
    assert output(connect("lab-3"), "pgrep -fc 'sleep 360[0]' || true") == "0"
