# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Documents of a run on real folders."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest
from ansible_collections.oncall.pressure.plugins.plugin_utils import _documents

NAMES = ["web-1", "../../etc/passwd", "/etc/passwd", "a/b", "a_b", ".hidden", "..", "", "x" * 300, "h\u00f6st", "a\nb", "[2001:db8::1]:22", "-rf", "web 1"]


def test_every_inventory_name_has_a_file_of_its_own_inside_the_folder(tmp_path: Path) -> None:
    paths = [Path(_documents.snapshot_path(str(tmp_path), name)) for name in NAMES]
    assert {path.parent for path in paths} == {tmp_path / "snapshots"}
    assert len(set(paths)) == len(NAMES)
    assert all(len(path.name) < 120 and not path.name.startswith((".", "-")) for path in paths)


def test_documents_are_for_their_owner_only(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        folder = _documents.new_folder(str(tmp_path / "reports"))
        path = _documents.write_snapshot(folder, "web-1", {"schema": 1, "host": None})
    finally:
        os.umask(old)
    assert [stat.S_IMODE(os.stat(name).st_mode) for name in (folder, os.path.join(folder, "snapshots"), path)] == [0o700, 0o700, 0o600]
    assert [name for name in os.listdir(os.path.dirname(path)) if name.endswith(".new")] == []


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    folder = _documents.new_folder(str(tmp_path))
    for name in NAMES:
        _documents.write_snapshot(folder, name or "empty", {"schema": 1, "host": {"kind": "machine"}, "x": float("nan")})
    loaded = _documents.read_snapshots(folder)
    assert len(loaded) == len(NAMES) and all(row.reason is None for row in loaded)
    assert loaded == _documents.read_snapshots(os.path.join(folder, "snapshots"))
    assert all(row.document == {"schema": 1, "host": {"kind": "machine"}, "x": None, "name": row.host} for row in loaded)


def test_two_runs_in_one_second_have_two_folders_and_latest_is_the_newest(tmp_path: Path) -> None:
    first, second = (_documents.new_folder(str(tmp_path), 1768013700.0) for dummy in range(2))
    assert first != second and Path(first).name == "20260110T025500Z"
    assert _documents.point_latest(first) and _documents.point_latest(second)
    assert os.readlink(tmp_path / "latest") == Path(second).name


def test_latest_that_is_no_link_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "latest").mkdir()
    assert not _documents.point_latest(_documents.new_folder(str(tmp_path)))
    assert (tmp_path / "latest").is_dir() and not (tmp_path / "latest").is_symlink()


@pytest.mark.parametrize(
    "data,words",
    [
        (b"", "no JSON"), (b"\xff\xfe\x00", "no JSON"), (b"[" * 100000, "no JSON"), (b"[1]", "no snapshot"), (b'"text"', "no snapshot"),
        (b'{"schema": 2}', "its schema is 2, known is 1"), (b'{"schema": true}', "schema is True"), (b"{}", "schema is None"),
        (b" " * (_documents.DOCUMENT_LIMIT + 1), "larger than 8 MiB"),
    ],
)
def test_a_bad_snapshot_is_a_row_with_its_reason(tmp_path: Path, data: bytes, words: str) -> None:
    (tmp_path / "web-1.json").write_bytes(data)
    (row,) = _documents.read_snapshots(str(tmp_path))
    assert (row.host, row.document) == ("web-1", None) and words in (row.reason or "")


def test_a_pipe_or_a_folder_in_place_of_a_snapshot_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.json")
    (tmp_path / "b.json").mkdir()
    assert [row.document for row in _documents.read_snapshots(str(tmp_path))] == [None, None]


def test_a_snapshot_that_a_host_made_hostile_is_harmless_when_read(tmp_path: Path) -> None:
    inner = {"os": "\u202etxt", "k\x07ey": "postgres://u:hunter2secret@db/x"}
    evil = {"schema": 1, "name": "web\x1b[2J", "host": inner, "deep": json.loads("[" * 60 + "]" * 60)}
    (tmp_path / "a.json").write_text(json.dumps(evil))
    text = json.dumps(_documents.read_snapshots(str(tmp_path))[0]._asdict(), ensure_ascii=False)
    assert "\x1b" not in text and "\u202e" not in text and "\x07" not in text and "hunter2secret" not in text


def test_a_failed_write_leaves_the_old_document(tmp_path: Path) -> None:
    path = tmp_path / "diagnosis.json"
    _documents.write_document(str(path), {"schema": 1})
    with pytest.raises(ValueError):
        _documents.write_document(str(path), {"schema": float("nan")})
    assert json.loads(path.read_text()) == {"schema": 1} and os.listdir(tmp_path) == ["diagnosis.json"]
