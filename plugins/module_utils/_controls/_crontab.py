# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The operation ``crontab``: put our mark before single jobs of one crontab, and take it away again, whatever was edited around them meanwhile.

Private to oncall.pressure: no stable interface.

``{"kind": "crontab", "path", "system": bool, "lines": [sha256 of each raw line to pause]}``. The journal never holds a line: commands carry
secrets. A marked line is a comment to cron, which reads a crontab anew within a minute of its change.
"""

from __future__ import annotations

import hashlib
import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._change._kinds import (
    Conflict, Failed, Hands, Kind, Operation, Refused, Shown, State, nothing_to_save,
)
from ansible_collections.oncall.pressure.plugins.module_utils._host._files import Files, Untrusted
from ansible_collections.oncall.pressure.plugins.module_utils._host._spool import Spool, is_users
from ansible_collections.oncall.pressure.plugins.module_utils._host._text import clean, decode
from ansible_collections.oncall.pressure.plugins.module_utils._parse import _crontab

_LINE = 1000


def digest(raw: bytes) -> str:
    """What stands for a line in an operation."""
    return hashlib.sha256(raw).hexdigest()


def files_for(path: str, files: Files) -> Files:
    """Who may write a crontab: users' lie in a folder of their own kind."""
    return Spool(files.root) if is_users(path) else files


class _Lines(t.NamedTuple):
    """The lines that are meant: those that run, those that have our mark (without it)."""

    active: list[bytes]
    paused: list[bytes]


def _lines(operation: Operation, data: bytes) -> _Lines:
    wanted = frozenset(operation["lines"])
    parts = data.split(b"\n")
    kinds = {line.number: line.kind for line in _crontab.read(data, bool(operation["system"]))}
    active = [raw for number, raw in enumerate(parts, 1) if kinds.get(number) == "job" and digest(raw) in wanted]
    paused = [raw[len(_crontab.MARK):] for raw in parts if raw.startswith(_crontab.MARK) and digest(raw[len(_crontab.MARK):]) in wanted]
    return _Lines(active, paused)


def look(hands: Hands, operation: Operation) -> State:
    """What the file is (see :meth:`Files.look`), ``active`` and ``paused``: how many of the lines run and how many have our mark."""
    files = files_for(operation["path"], hands.files)
    try:
        state, data = files.read(operation["path"])
        files.writable(state["path"])
    except Untrusted as problem:
        raise Refused(str(problem)) from problem
    found = _lines(operation, data)
    return dict(state, active=len(found.active), paused=len(found.paused))


def show(hands: Hands, operation: Operation, before: State) -> Shown:
    """The lines alone, redacted."""
    data = files_for(operation["path"], hands.files).read(operation["path"])[1]
    lines = [clean(decode(raw).rstrip("\r"), _LINE) for raw in _lines(operation, data).active]
    mark = decode(_crontab.MARK)
    return Shown(clean(operation["path"], 400), "".join(line + "\n" for line in lines), "".join(mark + line + "\n" for line in lines))


def apply(hands: Hands, operation: Operation, before: State) -> None:
    """Mark the lines; nothing else of the file changes."""
    path = operation["path"]
    files = files_for(path, hands.files)
    try:
        state, data = files.read(path)
        wanted = frozenset(_lines(operation, data).active)
        if not state["exists"] or not wanted:
            raise Conflict("%s changed while it was looked at" % clean(path, 300))
        numbers = [number for number, raw in enumerate(data.split(b"\n"), 1) if raw in wanted]
        files.write(path, _crontab.pause(data, numbers, bool(operation["system"])), state)
    except Untrusted as problem:
        raise Refused(str(problem)) from problem


def reached(operation: Operation, before: State, now: State) -> bool:
    """None of the lines runs. Where somebody removed them since, none does either."""
    return bool(now["active"] == 0)


def undo(hands: Hands, operation: Operation, before: State, force: bool) -> str:
    """Take our mark from these very lines, wherever they stand now. What others edited since stays, so that nobody's change is in the way."""
    path = operation["path"]
    files = files_for(path, hands.files)
    shown = clean(path, 300)
    try:
        files.sweep(path)
        state, data = files.read(path)
        if not state["exists"]:
            return "%s is gone, and its jobs with it" % shown
        found = _lines(operation, data)
        if found.paused:
            files.write(path, _crontab.resume(data, frozenset(found.paused)), state)
    except Untrusted as problem:
        raise Failed(str(problem)) from problem
    said = "%s: %d of its jobs resumed" % (shown, len(found.paused))
    missing = len(operation["lines"]) - len({digest(raw) for raw in found.paused + found.active})
    if found.active:
        said += ", %d ran again already" % len(found.active)
    if missing > 0:
        said += ", %d that were paused are no longer there" % missing
    return said


KIND: t.Final = Kind(look=look, show=show, save=nothing_to_save, apply=apply, reached=reached, undo=undo)
