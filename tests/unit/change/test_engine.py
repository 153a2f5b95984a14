# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The engine from the look to the undo, on a host made for each scenario: namespaces of its own, in which the watcher really undoes."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import subprocess
import sys
from typing import Any, Dict

import pytest

HERE = pathlib.Path(__file__).resolve().parent
OWN = ["unshare", "--mount", "--pid", "--fork", "--mount-proc", "--propagation", "private"]


def _possible() -> bool:
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        return False
    return subprocess.run(OWN + ["mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True, check=False).returncode == 0


pytestmark = pytest.mark.skipif(not _possible(), reason="makes mounts and processes of its own, which only root may, and not in every container")


def run(scenario: str) -> Dict[str, Any]:
    """What a scenario found."""
    collections = next(path for path in sys.path if os.path.isdir(os.path.join(path, "ansible_collections", "oncall", "pressure")))
    outcome = subprocess.run(OWN + [sys.executable, str(HERE / "on_scratch.py"), collections, scenario], capture_output=True, text=True, check=False)
    assert outcome.returncode == 0, outcome.stderr
    found: Dict[str, Any] = json.loads(outcome.stdout)
    return found


def test_a_check_says_what_the_run_does_and_writes_nothing() -> None:
    found = run("check_mode")
    assert found["untouched"] and found["same"]
    said, done = found["said"], found["done"]
    assert done["state"] == "verified" and found["text"] == "new\n"
    assert {key: done[key] for key in said} == said and said["changed"] is True
    assert json.dumps(done["diff"]) == json.dumps(said["diff"])
    assert found["again"]["changed"] is False and "diff" not in found["again"]
    assert found["rolled"]["changed"] is True


def test_the_host_undoes_what_nobody_confirms_and_says_so_to_who_comes_late() -> None:
    found = run("deadline")
    assert (found["text"], found["after"], found["states"]) == ("new\n", "old\n", ["inc/01 undone deadline"])
    assert found["confirmed"]["failed"] is True and "it is undone (deadline)" in found["confirmed"]["msg"]


def test_what_was_made_upon_a_change_that_is_due_is_undone_first() -> None:
    found = run("upon")
    assert (found["text"], found["after"]) == ("two\n", "old\n")
    assert found["states"] == ["inc/01 undone deadline", "inc/02 undone deadline"]


@pytest.mark.parametrize("number", [1, 2, 15])
def test_a_run_that_is_told_to_end_puts_back_at_once(number: int) -> None:
    found = run("interrupted:%d" % number)
    assert (found["text"], found["after"], found["states"]) == ("new\n", "old\n", ["inc/01 undone failed"])
    assert found["said"]["failed"] is True and found["said"]["changed"] is False
    assert found["said"]["msg"].startswith("interrupted by SIG") and found["said"]["msg"].endswith("everything was put back")
    # and the host is free
    assert found["next"] == "verified"


def test_a_run_that_is_killed_is_undone_by_the_host() -> None:
    assert run("killed") == {"text": "new\n", "after": "old\n", "states": ["inc/01 undone deadline"]}


def test_a_run_that_hangs_is_ended_when_its_time_is_over() -> None:
    assert run("frozen") == {"after": "old\n", "states": ["inc/01 undone deadline"], "status": -9}


def test_a_run_that_still_waits_when_its_time_is_over_puts_back_itself() -> None:
    found = run("late")
    assert (found["after"], found["states"]) == ("old\n", ["inc/01 undone failed"])
    assert found["said"]["msg"] == "interrupted by SIGTERM; everything was put back"


def test_two_changes_of_one_file_are_confirmed_together_and_taken_back_in_order_only() -> None:
    found = run("confirmed")
    assert found["said"]["changed"] is True and "failed" not in found["said"]
    assert found["nothing"] == {"changed": False, "entries": []}
    assert found["spared"] == {"changed": False, "entries": []}
    assert found["kept"] == ["inc/01 confirmed None", "inc/02 confirmed None"]
    assert found["order"]["failed"] is True and "change inc/02 by ann was made upon it: undo that first" in found["order"]["msg"]
    assert found["untouched"]
    assert found["rolled"]["changed"] is True and found["after"] == "old\n"
    assert found["states"] == ["inc/01 undone operator", "inc/02 undone operator"] and found["by"] == ["bob", "bob"]
    assert found["again"] == {"changed": False, "entries": []}


@pytest.mark.skipif(shutil.which("systemctl") is None, reason="needs a systemctl to put a silent one in the place of")
def test_who_watches_too_long_does_not_keep_the_host_from_undoing() -> None:
    found = run("confirm_too_slow")
    assert found["said"]["failed"] is True and found["said"]["msg"] == "inc/01 is not confirmed: it is undone (deadline)"
    assert (found["after"], found["states"]) == ("old\n", ["inc/01 undone deadline"])


def test_what_somebody_changed_since_is_critical_until_a_person_leaves_it() -> None:
    found = run("not_in_effect")
    assert found["said"]["critical"] is True and "is not in effect" in found["said"]["msg"] and "undo --force" in found["said"]["msg"]
    assert found["failed"] == ["inc/01 undo_failed failed"]
    assert found["barred"]["refused"] is True
    assert found["left"]["changed"] is True and found["states"] == ["inc/01 undone left as it is"]
    assert found["after"] == "theirs\n" and found["next"] == "verified"


def test_what_does_not_prove_itself_may_be_left_to_the_deadline() -> None:
    found = run("left_to_the_host")
    assert found["said"]["failed"] is True and found["states"] == ["inc/01 verified None"]


def test_a_confirmed_change_ends_with_its_lifetime() -> None:
    found = run("lifetime")
    assert found["said"]["changed"] is True
    assert (found["text"], found["after"], found["states"]) == ("new\n", "old\n", ["inc/01 expired expired"])


def test_what_speaks_against_a_change_is_said_and_leaves_no_trace() -> None:
    found = run("refused")
    words = ["read-only", "read-only", "accept_irreversible", "accept_irreversible", "neither confirmed nor undone", "neither confirmed nor undone"]
    assert [word in row["msg"] and row["refused"] and not row["changed"] for word, row in zip(words, found["said"])] == [True] * 6
    assert found["same"] and found["after"] == "new\n"


def test_a_flag_that_leads_nowhere_counts() -> None:
    found = run("flag_that_leads_nowhere")
    assert found["said"]["refused"] is True and found["after"] == "old\n" and found["listed"] is True


@pytest.mark.parametrize("scenario, said", [
    ("mounted_over", "mount point"), ("read_only_target", "mounted read-only"), ("read_only_journal", "Read-only file system"),
])
def test_what_cannot_be_written_is_refused(scenario: str, said: str) -> None:
    found = run(scenario)
    assert found["after"] == "old\n" and not found.get("states")
    assert all(row["refused"] and said in row["msg"] for row in found["said"])


def test_a_disk_that_is_too_small_at_any_write_changes_nothing() -> None:
    rows = run("sizes")["found"]
    *small, large = rows
    assert len(small) > 20
    for dummy, changed, said, text, states in small:
        assert (changed, text) == (False, "old\n") and "nothing was changed" in said and "No space left" in said
        assert all(" undone never begun" in state for state in states)
    assert large[1] is True and large[3:] == ["new\n", ["inc/01 verified None"]]


def test_a_disk_that_is_full_at_the_target_changes_nothing() -> None:
    found = run("full_target")
    assert found["said"]["state"] == "undone" and found["after"] == "old\n" and found["beside"]


def test_a_disk_that_is_full_later_does_not_keep_anyone_from_undoing() -> None:
    found = run("full_later")
    assert found["after"] is True and found["states"] == ["inc/01 undone operator"]


def test_a_fault_of_ours_is_told_and_put_back() -> None:
    assert run("fault_of_ours") == {"problem": "TypeError", "after": "old\n", "states": ["inc/01 undone failed"]}


def test_one_of_many_changes_a_host() -> None:
    found = run("race")
    assert len(found["winners"]) == 1 and found["after"] == "%d\n" % found["winners"][0]
    assert found["states"] == ["inc-%d/01 verified None" % found["winners"][0]]
    assert sum(1 for row in found["said"] if row.get("refused")) == 4


def test_a_run_that_ended_before_it_touched_anything_is_not_waited_for() -> None:
    found = run("never_begun")
    assert found["said"] == "verified" and found["states"][0] == "dead/01 undone never begun: its run ended"
