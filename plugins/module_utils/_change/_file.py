# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The operation ``file``: write, edit or remove one file, and let whoever reads it know.

Private to oncall.pressure: no stable interface.

``{"kind": "file", "path", "content": text or null, "mode": "0644", "then": [...], "number"}``: null removes the file. Text carries bytes that are
no UTF-8 as surrogates. ``then`` is done after the change and after its undoing: ``daemon-reload``, ``supervisor-reread`` (which only looks at what
would change), ``reload:UNIT``. The journal holds the digest of what is written, never the content.
"""

from __future__ import annotations

import hashlib
import posixpath
import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._change import _systemctl
from ansible_collections.oncall.pressure.plugins.module_utils._change._kinds import Conflict, Failed, Hands, Kind, Operation, Refused, Shown, State
from ansible_collections.oncall.pressure.plugins.module_utils._host._files import Untrusted
from ansible_collections.oncall.pressure.plugins.module_utils._host._text import clean, decode

_KEPT = ("exists", "sha256", "mode", "uid", "gid")
_LINE_LIMIT = 4000


def to_bytes(content: str) -> bytes:
    """The bytes of an operation's text. Raises Refused for a text that stands for none."""
    try:
        return content.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as problem:
        raise Refused("what is to be written is no text: %s" % problem) from problem


def journaled(operation: Operation) -> Operation:
    """The operation as the journal has it: the digest in place of the content."""
    kept = {key: value for key, value in operation.items() if key != "content"}
    if "content" in operation:
        content = operation["content"]
        kept["removes"] = content is None
        kept["wanted_sha256"] = None if content is None else hashlib.sha256(to_bytes(content)).hexdigest()
    return kept


def look(hands: Hands, operation: Operation) -> State:
    """``exists``, ``path`` (without links), and of a file that is there bytes, sha256, mode, uid, gid, xattrs; ``missing``: folders that are not there."""
    path = operation["path"]
    try:
        state = hands.files.look(path)
        hands.files.writable(state["path"])
    except Untrusted as problem:
        raise Refused(str(problem)) from problem
    missing: list[str] = []
    folder = posixpath.dirname(state["path"])
    while folder not in ("", "/") and not hands.files.exists(folder):
        missing.insert(0, folder)
        folder = posixpath.dirname(folder)
    state["missing"] = missing
    return state


def show(hands: Hands, operation: Operation, before: State) -> Shown:
    """Both contents, redacted."""
    old = hands.files.read(operation["path"])[1] if before["exists"] else b""
    content = operation["content"]
    return Shown(clean(operation["path"], 400), _readable(old), "" if content is None else _readable(to_bytes(content)))


def _readable(data: bytes) -> str:
    if b"\0" in data:
        return "%d bytes that are no text, sha256 %s\n" % (len(data), hashlib.sha256(data).hexdigest())
    return "\n".join(clean(line, _LINE_LIMIT) for line in decode(data).split("\n"))


def save(hands: Hands, operation: Operation, before: State) -> None:
    """A copy of the file in the entry's folder, read back and compared."""
    if not before["exists"]:
        return
    state, data = hands.files.read(operation["path"])
    if state["sha256"] != before["sha256"]:
        raise Conflict("%s changed while it was looked at" % clean(operation["path"], 300))
    place = _saved(hands, operation)
    hands.files.write(place, data, {"mode": "0600"})
    original(hands, operation, before)


def _saved(hands: Hands, operation: Operation) -> str:
    return "%s/original-%d" % (hands.folder, operation.get("number", 0))


def original(hands: Hands, operation: Operation, before: State) -> bytes:
    """What was saved; its length and digest must be those of the state before."""
    place = _saved(hands, operation)
    try:
        data = hands.files.read(place)[1]
    except Untrusted as problem:
        raise Failed(str(problem)) from problem
    if len(data) != before["bytes"] or hashlib.sha256(data).hexdigest() != before["sha256"]:
        raise Failed("%s is not what was saved of %s" % (place, clean(operation["path"], 300)))
    return data


def apply(hands: Hands, operation: Operation, before: State) -> None:
    """Write or remove, then tell who must know."""
    now = look(hands, operation)
    if not _alike(now, before):
        raise Conflict("%s changed while it was looked at" % clean(operation["path"], 300))
    content = operation["content"]
    try:
        if content is None:
            hands.files.remove(operation["path"])
        else:
            hands.files.make_folders(posixpath.dirname(now["path"]))
            kept = before if before["exists"] else {"mode": operation.get("mode", "0644")}
            hands.files.write(operation["path"], to_bytes(content), kept)
    except Untrusted as problem:
        raise Refused(str(problem)) from problem
    _tell(hands, operation)


def _alike(one: State, other: State) -> bool:
    return all(one.get(key) == other.get(key) for key in _KEPT)


def _is_ours(operation: Operation, now: State) -> bool:
    kept = journaled(operation) if "content" in operation else operation
    return not now["exists"] if kept["removes"] else now.get("sha256") == kept["wanted_sha256"]


def reached(operation: Operation, before: State, now: State) -> bool:
    """Whether the file holds what it should; what reads it is asked by operations of its own."""
    return _is_ours(operation, now)


def undo(hands: Hands, operation: Operation, before: State, force: bool) -> str:
    """Put the saved content back, with mode, owner and attributes; remove what was not there, folders included."""
    path = clean(operation["path"], 300)
    hands.files.sweep(operation["path"])
    try:
        # whether it could be written matters only where something is to be written
        # and a copy by hard links that somebody made since keeps what it has: ours is another file
        now = hands.files.look(operation["path"], links=True)
        if _alike(now, before):
            said = "%s is as it was" % path
        elif not _is_ours(operation, now) and not force:
            raise Conflict("%s was changed by somebody else since" % path)
        elif before["exists"]:
            hands.files.make_folders(posixpath.dirname(now["path"]))
            hands.files.write(operation["path"], original(hands, operation, before), before)
            said = "%s has its former content" % path
        else:
            hands.files.remove(operation["path"])
            said = "%s is removed" % path
        for folder in reversed(before["missing"]):
            hands.files.remove_folder(folder)
    except (Untrusted, Refused) as problem:
        raise Failed(str(problem)) from problem
    return said + _tell(hands, operation, undoing=True)


def _tell(hands: Hands, operation: Operation, undoing: bool = False) -> str:
    said = ""
    for step in operation.get("then", []):
        word, dummy, unit = step.partition(":")
        if word == "daemon-reload":
            _systemctl.call(hands.machine, ["daemon-reload"], 60.0)
        elif word == "reload" and undoing and not _systemctl.runs(hands.machine, unit):
            # it reads the file when it starts; that it does not run is no reason to call the file not put back
            said += "; %s does not run" % clean(unit, 200)
        elif word == "reload":
            _systemctl.call(hands.machine, (["--no-block"] if hands.booting else []) + ["reload", "--", unit], 60.0)
    return said


KIND: t.Final = Kind(look=look, show=show, save=save, apply=apply, reached=reached, undo=undo)
