# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The journal tells what became of a change, whatever happened to its lines and to the clock."""

from __future__ import annotations

import json
import pathlib

import pytest
from change_host import Host

from ansible_collections.oncall.pressure.plugins.module_utils._change import _journal, _listing, _undo
from ansible_collections.oncall.pressure.plugins.module_utils._change._journal import Journal

FOLDS = [
    ([], "intent", [], False),
    (["saved"], "saved", [], False),
    (["saved", "armed"], "armed", [], True),
    (["saved", "armed", "applying"], "armed", [0], True),
    (["saved", "armed", "applying", "applied"], "applied", [0], True),
    (["saved", "armed", "applying", "applied", "verified"], "verified", [0], True),
    (["saved", "armed", "applying", "applied", "verified", "confirmed"], "confirmed", [0], False),
    (["saved", "armed", "applying", "undoing:deadline"], "undoing", [0], True),
    (["saved", "armed", "applying", "undoing:deadline", "undone_one"], "undoing", [0], True),
    (["saved", "armed", "applying", "undoing:deadline", "undone_one", "undone:deadline"], "undone", [0], False),
    (["saved", "armed", "applying", "undoing:failed", "undo_failed:failed"], "undo_failed", [0], True),
    (["saved", "armed", "applying", "undoing:failed", "undo_failed:failed", "undoing:operator", "undone:operator"], "undone", [0], False),
    (["saved", "armed", "applying", "verified", "confirmed", "undoing:expired", "expired:expired"], "expired", [0], False),
]


@pytest.mark.parametrize("lines, state, begun, ticking", FOLDS, ids=[" ".join(row[0]) or "intent" for row in FOLDS])
def test_lines_fold_into_a_state(tmp_path: pathlib.Path, lines: list, state: str, begun: list, ticking: bool) -> None:
    host = Host(tmp_path)
    entry = host.entry("inc", lines)
    assert (entry.state, entry.begun) == (state, begun)
    if ticking:
        assert entry.left_s(host.machine) == 900.0
    # nothing that is over or stays is undone by the host; what never said that it was armed has nothing to wait for
    elif state in ("intent", "saved"):
        assert entry.left_s(host.machine) == 0.0
    else:
        assert entry.left_s(host.machine) is None
    row = _listing.describe(host.machine, entry)
    assert row["state"] == state and row["entry"] == "inc/01"
    assert json.loads(json.dumps(row)) == row


def test_a_torn_line_is_passed_over_wherever_it_is(tmp_path: pathlib.Path) -> None:
    host = Host(tmp_path)
    entry = host.entry("inc", ["saved", "armed", "applying", "applied"])
    path = tmp_path / entry.folder[1:] / "journal.jsonl"
    whole = path.read_bytes()
    lines = whole.split(b"\n")
    for cut in range(len(lines[-2])):
        path.write_bytes(whole[:len(whole) - 1 - cut])
        read = host.read(entry.folder)
        assert read.state == ("applied" if cut == 0 else "armed") and read.begun == [0]
        Journal(host.machine, host.files, entry.folder).write("undone", why="deadline")
        assert host.read(entry.folder).state == "undone"


def test_the_first_line_torn_is_no_change(tmp_path: pathlib.Path) -> None:
    host = Host(tmp_path)
    entry = host.entry("inc", [])
    path = tmp_path / entry.folder[1:] / "journal.jsonl"
    path.write_bytes(path.read_bytes()[:40])
    assert _journal.read(host.machine, entry.folder) is None
    Journal(host.machine, host.files, entry.folder).write("undone", why="never begun")
    assert _journal.read(host.machine, entry.folder) is None
    assert _journal.entries(host.machine) == []


@pytest.mark.parametrize("line", [b"[]", b"7", b'"state"', b"null", b'{"no": 1}', b'{"state": "applying"}', b'{"state": "armed", "deadline_s": 1}',
                                  b"\xff\xfe\x00", b'{"state": "saved", "epoch_s": "never"}', b"{" * 5000])
def test_a_line_that_is_not_ours_is_passed_over(tmp_path: pathlib.Path, line: bytes) -> None:
    host = Host(tmp_path)
    entry = host.entry("inc", ["saved", "armed"])
    host.files.append(entry.folder + "/journal.jsonl", line + b"\n")
    Journal(host.machine, host.files, entry.folder).write("applying", operation=0)
    read = host.read(entry.folder)
    assert read.begun == [0] and read.left_s(host.machine) == 900.0


def test_what_is_no_entry_does_not_stop_the_list(tmp_path: pathlib.Path) -> None:
    host = Host(tmp_path)
    assert _journal.entries(host.machine) == []
    host.entry("inc", ["saved"])
    incidents = tmp_path / _journal.INCIDENTS[1:]
    (incidents / "stray").write_text("x", encoding="ascii")
    (incidents / "..hidden").mkdir()
    (incidents / "inc" / "notes").mkdir()
    (incidents / "inc" / "07").mkdir()
    assert [entry.id for entry in _journal.entries(host.machine)] == ["inc/01"]


def test_the_order_is_that_of_making_whatever_the_wall_clock_said(tmp_path: pathlib.Path) -> None:
    host = Host(tmp_path, now=2_000_000_000.0)
    host.entry("zz", ["saved", "armed", "applying", "applied", "verified"], sequence=1)
    host.clock(1_000.0, 60.0)
    host.entry("aa", ["saved", "armed", "applying", "applied", "verified"], sequence=2)
    found = _journal.entries(host.machine)
    assert [entry.id for entry in found] == ["zz/01", "aa/01"]
    assert [entry.id for entry in _undo.open_entries(found)] == ["aa/01", "zz/01"]


def test_what_was_made_upon_a_change_is_found(tmp_path: pathlib.Path) -> None:
    host = Host(tmp_path)
    done = ["saved", "armed", "applying", "applied", "verified"]
    other = [{"operation": {"kind": "file", "path": "/etc/other"}, "before": {"exists": False, "path": "/etc/other"}}]
    linked = [{"operation": {"kind": "file", "path": "/etc/link"}, "before": {"exists": False, "path": "/etc/conf"}}]
    first = host.entry("inc", done, sequence=1)
    host.entry("inc", done, sequence=2, operations=other)
    host.entry("inc", done, sequence=3)
    host.entry("inc", done + ["undoing:operator", "undone:operator"], sequence=4)
    host.entry("inc", ["saved", "armed"], sequence=5)
    host.entry("else", done + ["confirmed"], sequence=6, operations=linked)
    assert [entry.id for entry in _journal.above(host.machine, first)] == ["else/01", "inc/03"]


def test_two_restarts_have_no_order(tmp_path: pathlib.Path) -> None:
    host = Host(tmp_path)
    restart = [{"operation": {"kind": "unit_state", "unit": "shop.service", "verb": "restart"}, "before": {}}]
    first = host.entry("inc", ["applying"], sequence=1, operations=restart)
    host.entry("inc", ["applying"], sequence=2, operations=restart)
    assert _journal.above(host.machine, first) == []


def test_ages_and_deadlines_do_not_know_the_wall_clock_within_a_boot(tmp_path: pathlib.Path) -> None:
    host = Host(tmp_path, now=1_000_000.0)
    entry = host.entry("inc", ["saved", "armed", "applying", "applied", "verified"])
    for wrong in (0.0, 1_000_000.0, 4_000_000_000.0):
        host.clock(wrong, 300.0)
        assert entry.age_s(host.machine) == 300.0
        assert entry.left_s(host.machine) == 600.0
    host.clock(0.0, 1000.0)
    assert entry.left_s(host.machine) == -100.0
    assert _listing.describe(host.machine, entry)["overdue_s"] == 100


def test_after_a_boot_what_is_not_confirmed_is_due_and_ages_are_never_too_small(tmp_path: pathlib.Path) -> None:
    host = Host(tmp_path, now=1_000_000.0)
    entry = host.entry("inc", ["saved", "armed", "applying", "applied", "verified"])
    host.boot("two", 1_000_500.0)
    assert entry.left_s(host.machine) == 0.0
    assert entry.age_s(host.machine) == 500.0
    # the clock went back with the boot: at least as old as the host is up
    host.clock(5.0, 40.0)
    assert entry.age_s(host.machine) == 40.0


@pytest.mark.parametrize("now, left", [(1_000_100.0, 3500.0), (1_003_600.0, 0.0), (1_009_999.0, 0.0), (5.0, 3600.0)])
def test_a_lifetime_counts_on_after_a_boot_but_never_beyond_what_it_was(tmp_path: pathlib.Path, now: float, left: float) -> None:
    host = Host(tmp_path, now=1_000_000.0)
    entry = host.entry("inc", ["saved", "armed", "applying", "applied", "verified"], lifetime_s=3600.0)
    journal = Journal(host.machine, host.files, entry.folder)
    journal.write("confirmed", deadline_s=3600.0, boot=host.machine.boot(), expires_epoch_s=1_003_600.0)
    assert host.read(entry.folder).left_s(host.machine) == 3600.0
    host.boot("two", now)
    assert host.read(entry.folder).left_s(host.machine) == left


def test_tries_and_conflict_are_those_of_the_last_undo(tmp_path: pathlib.Path) -> None:
    host = Host(tmp_path)
    entry = host.entry("inc", ["saved", "armed", "applying"])
    journal = Journal(host.machine, host.files, entry.folder)
    for conflict in (False, True):
        journal.write("undoing", why="deadline")
        journal.write("undo_failed", why="deadline", conflict=conflict, problems=["p"], command="c")
        assert host.read(entry.folder).conflict is conflict
    read = host.read(entry.folder)
    assert read.tries == 2 and read.before_undo == "armed"
    row = _listing.describe(host.machine, read)
    assert (row["problems"], row["command"]) == (["p"], "c")
    journal.write("undone", why="operator", by="bob")
    read = host.read(entry.folder)
    assert (read.conflict, read.by, read.why) == (False, "bob", "operator")


@pytest.mark.parametrize("text, good", [("20261121T101010Z-0a1b", True), ("a", True), ("", False), ("a/b", False), ("..", False), ("-a", False), ("a\n", False),
                                        ("x" * 48, True), ("x" * 49, False), ("a b", False), ("\u00e4", False), ("%n", False)])
def test_an_incident_is_a_word_that_may_stand_in_paths_and_units(text: str, good: bool) -> None:
    assert _journal.is_id(text) is good


def test_entries_are_numbered_on(tmp_path: pathlib.Path) -> None:
    host = Host(tmp_path)
    assert _journal.new_folder(host.files, "inc").endswith("/inc/01")
    (tmp_path / _journal.INCIDENTS[1:] / "inc" / "41").mkdir()
    assert _journal.new_folder(host.files, "inc").endswith("/inc/42")
    for folder in ("var/lib/oncall-pressure", "var/lib/oncall-pressure/incidents/inc/42"):
        assert (tmp_path / folder).stat().st_mode & 0o7777 == 0o700


def test_paths_that_are_no_text_come_back_as_they_were(tmp_path: pathlib.Path) -> None:
    host = Host(tmp_path)
    path = b"/etc/caf\xe9\xff\n".decode("utf-8", "surrogateescape")
    entry = host.entry("inc", [], operations=[{"operation": {"kind": "file", "path": path}, "before": {"exists": False, "path": path}}])
    assert host.read(entry.folder).operations[0][0]["path"] == path
