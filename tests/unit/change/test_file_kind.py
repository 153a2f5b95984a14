# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The operation ``file``: what it saves, writes and puts back, and when it leaves its hands off."""

from __future__ import annotations

import json
import os
import pathlib
from typing import Any, Dict, Tuple

import pytest
from change_host import Host

from ansible_collections.oncall.pressure.plugins.module_utils._change import _file, _undo
from ansible_collections.oncall.pressure.plugins.module_utils._change._file import KIND
from ansible_collections.oncall.pressure.plugins.module_utils._change._kinds import Conflict, Failed, Hands, Refused


def ready(tmp_path: pathlib.Path, old: Any = b"old\n", **given: Any) -> Tuple[Host, Hands, Dict[str, Any], pathlib.Path]:
    """A host, what works on it, an operation, and the file itself."""
    host = Host(tmp_path)
    path = tmp_path / "etc" / "conf"
    if old is not None:
        path.write_bytes(old)
        path.chmod(0o640)
    (tmp_path / "var" / "lib" / "entry").mkdir(mode=0o700)
    operation = dict({"kind": "file", "path": "/etc/conf", "content": "new\n", "mode": "0644", "number": 0}, **given)
    return host, host.hands("/var/lib/entry"), operation, path


def do(hands: Hands, operation: Dict[str, Any]) -> Dict[str, Any]:
    """Look, save and apply; gives the state before as the journal has it."""
    before = KIND.look(hands, operation)
    assert not KIND.reached(operation, before, before)
    KIND.save(hands, operation, before)
    KIND.apply(hands, operation, before)
    assert KIND.reached(operation, before, KIND.look(hands, operation))
    kept = json.loads(json.dumps({"operation": _file.journaled(operation), "before": before}))
    assert "new" not in json.dumps(kept["operation"]).replace("/new/", "")
    operation.clear()
    operation.update(kept["operation"])
    assert KIND.reached(operation, before, KIND.look(hands, operation))
    return dict(kept["before"])


def test_an_edit_and_its_undoing(tmp_path: pathlib.Path) -> None:
    dummy, hands, operation, path = ready(tmp_path)
    before = do(hands, operation)
    assert path.read_bytes() == b"new\n" and path.stat().st_mode & 0o7777 == 0o640
    assert KIND.undo(hands, operation, before, False) == "/etc/conf has its former content"
    assert path.read_bytes() == b"old\n" and path.stat().st_mode & 0o7777 == 0o640
    assert KIND.undo(hands, operation, before, False) == "/etc/conf is as it was"


def test_a_new_file_in_new_folders_and_its_undoing(tmp_path: pathlib.Path) -> None:
    dummy, hands, operation, unused = ready(tmp_path, None, path="/etc/new/folder.d/conf")
    before = do(hands, operation)
    assert before["missing"] == ["/etc/new", "/etc/new/folder.d"]
    KIND.undo(hands, operation, before, False)
    assert not (tmp_path / "etc" / "new").exists()


def test_a_folder_in_which_somebody_put_something_stays(tmp_path: pathlib.Path) -> None:
    dummy, hands, operation, unused = ready(tmp_path, None, path="/etc/new/folder.d/conf")
    before = do(hands, operation)
    (tmp_path / "etc" / "new" / "theirs").write_bytes(b"x")
    KIND.undo(hands, operation, before, False)
    assert os.listdir(tmp_path / "etc" / "new") == ["theirs"]


def test_a_removal_and_its_undoing(tmp_path: pathlib.Path) -> None:
    dummy, hands, operation, path = ready(tmp_path, content=None)
    before = do(hands, operation)
    assert not path.exists()
    KIND.undo(hands, operation, before, False)
    assert path.read_bytes() == b"old\n" and path.stat().st_mode & 0o7777 == 0o640


@pytest.mark.parametrize("content", ["new\n", None], ids=["edit", "removal"])
def test_what_somebody_else_changed_since_is_theirs(tmp_path: pathlib.Path, content: Any) -> None:
    dummy, hands, operation, path = ready(tmp_path, content=content)
    before = do(hands, operation)
    path.write_bytes(b"theirs\n")
    with pytest.raises(Conflict, match="somebody else"):
        KIND.undo(hands, operation, before, False)
    assert path.read_bytes() == b"theirs\n"
    KIND.undo(hands, operation, before, True)
    assert path.read_bytes() == b"old\n"


def test_a_file_that_somebody_removed_since_comes_back_only_when_told(tmp_path: pathlib.Path) -> None:
    dummy, hands, operation, path = ready(tmp_path)
    before = do(hands, operation)
    path.unlink()
    path.parent.rmdir()
    with pytest.raises(Conflict):
        KIND.undo(hands, operation, before, False)
    KIND.undo(hands, operation, before, True)
    assert path.read_bytes() == b"old\n"


def test_a_copy_by_hard_links_does_not_keep_the_host_from_undoing(tmp_path: pathlib.Path) -> None:
    dummy, hands, operation, path = ready(tmp_path)
    before = do(hands, operation)
    os.link(path, tmp_path / "backup")
    KIND.undo(hands, operation, before, False)
    assert path.read_bytes() == b"old\n" and (tmp_path / "backup").read_bytes() == b"new\n"


def test_a_link_stays_a_link(tmp_path: pathlib.Path) -> None:
    dummy, hands, operation, path = ready(tmp_path, path="/etc/link")
    os.symlink("conf", tmp_path / "etc" / "link")
    before = do(hands, operation)
    assert os.readlink(tmp_path / "etc" / "link") == "conf" and path.read_bytes() == b"new\n"
    KIND.undo(hands, operation, before, False)
    assert os.readlink(tmp_path / "etc" / "link") == "conf" and path.read_bytes() == b"old\n"


@pytest.mark.parametrize("damage", [b"", b"ol", b"bad\n", None], ids=["empty", "short", "other", "gone"])
def test_a_saved_copy_is_believed_only_if_it_is_the_file(tmp_path: pathlib.Path, damage: Any) -> None:
    dummy, hands, operation, path = ready(tmp_path)
    before = do(hands, operation)
    saved = tmp_path / "var" / "lib" / "entry" / "original-0"
    saved.write_bytes(damage) if damage is not None else saved.unlink()
    with pytest.raises(Failed, match="not what was saved"):
        KIND.undo(hands, operation, before, False)
    assert path.read_bytes() == b"new\n"


def test_the_dry_run_tells_a_bad_copy_and_a_kind_that_it_does_not_know(tmp_path: pathlib.Path) -> None:
    host, hands, operation, unused = ready(tmp_path)
    before = do(hands, operation)
    rows = [{"operation": operation, "before": before}, {"operation": {"kind": "other"}, "before": {}}]
    entry = host.entry("inc", ["saved"], operations=rows)
    problems = _undo.verify_saved(hands._replace(folder=entry.folder), entry)
    assert len(problems) == 2 and "original-0" in problems[0] and "other" in problems[1]


def test_a_file_that_changed_under_our_eyes_is_not_written(tmp_path: pathlib.Path) -> None:
    dummy, hands, operation, path = ready(tmp_path)
    before = KIND.look(hands, operation)
    KIND.save(hands, operation, before)
    path.write_bytes(b"theirs\n")
    for step in (KIND.save, KIND.apply):
        with pytest.raises(Conflict, match="while it was looked at"):
            step(hands, operation, before)
    assert path.read_bytes() == b"theirs\n"


def test_bytes_that_are_no_text_are_kept(tmp_path: pathlib.Path) -> None:
    content = b"name = caf\xe9\n\xff\x00".decode("utf-8", "surrogateescape")
    dummy, hands, operation, path = ready(tmp_path, b"\xfe old", content=content)
    before = do(hands, operation)
    assert path.read_bytes() == b"name = caf\xe9\n\xff\x00"
    KIND.undo(hands, operation, before, False)
    assert path.read_bytes() == b"\xfe old"


def test_a_text_that_stands_for_no_bytes_is_refused(tmp_path: pathlib.Path) -> None:
    dummy, hands, operation, path = ready(tmp_path, content="\ud800")
    before = KIND.look(hands, operation)
    with pytest.raises(Refused):
        KIND.reached(operation, before, before)


def test_a_diff_is_redacted_visible_and_without_this_moment(tmp_path: pathlib.Path) -> None:
    dummy, hands, operation, path = ready(tmp_path, b"password = hunter2\n\x1b[31m\n", content="password = hunter3\n\u202e\n")
    before = KIND.look(hands, operation)
    shown = KIND.show(hands, operation, before)
    assert shown is not None
    text = "\n".join(shown)
    assert "hunter" not in text and "\x1b" not in text and "\u202e" not in text
    os.utime(path, (1, 1))
    assert KIND.show(hands, operation, KIND.look(hands, operation)) == shown


def test_undo_tries_every_operation_newest_first_whatever_one_of_them_says(tmp_path: pathlib.Path) -> None:
    """The one in the middle fails in a way that nobody thought of; the others are put back, and a person is told."""
    host, hands, first, path = ready(tmp_path)
    rows = [{"operation": first, "before": do(hands, first)}]
    rows.append({"operation": {"kind": "file", "path": 7, "removes": False, "wanted_sha256": "0"}, "before": {}})
    third = {"kind": "file", "path": "/etc/third", "content": "new\n", "mode": "0644", "number": 1}
    rows.append({"operation": third, "before": do(hands, third)})
    entry = host.entry("inc", ["saved", "armed"], operations=rows)
    for place in range(3):
        _file_begun(host, entry.folder, place)
    os.rename(tmp_path / "var" / "lib" / "entry" / "original-0", tmp_path / entry.folder[1:] / "original-0")
    outcome = _undo.undo(host.hands(entry.folder), host.read(entry.folder), "deadline")
    assert not outcome.done and len(outcome.problems) == 1
    assert outcome.said == ["/etc/third is removed", "/etc/conf has its former content"]
    assert path.read_bytes() == b"old\n" and not (tmp_path / "etc" / "third").exists()
    read = host.read(entry.folder)
    assert read.state == "undo_failed" and read.lines[-1]["command"] == "/usr/bin/python3 -I %s/undo.pyz undo" % entry.folder


def test_only_what_was_begun_is_undone(tmp_path: pathlib.Path) -> None:
    host, hands, operation, path = ready(tmp_path)
    before = do(hands, operation)
    entry = host.entry("inc", ["saved", "armed"], operations=[{"operation": operation, "before": before}])
    outcome = _undo.undo(host.hands(entry.folder), entry, "deadline")
    assert outcome.done and outcome.said == [] and path.read_bytes() == b"new\n"


def test_a_rollback_over_somebody_elses_change_names_what_is_upon_it(tmp_path: pathlib.Path) -> None:
    host, hands, operation, path = ready(tmp_path)
    before = do(hands, operation)
    entry = host.entry("inc", ["saved", "armed", "applying", "applied", "verified"], sequence=1, operations=[{"operation": operation, "before": before}])
    host.entry("later", ["saved", "armed", "applying", "applied", "verified", "confirmed"], sequence=2)
    path.write_bytes(b"theirs\n")
    outcome = _undo.undo(host.hands(entry.folder), entry, "deadline")
    assert outcome.conflict and outcome.problems[1] == "change later/01 by ann was made upon it: undo that first"
    assert outcome.command.endswith("undo --force")
    assert host.read(entry.folder).conflict


def _file_begun(host: Host, folder: str, place: int) -> None:
    from ansible_collections.oncall.pressure.plugins.module_utils._change._journal import Journal
    Journal(host.machine, host.files, folder).write("applying", operation=place)
