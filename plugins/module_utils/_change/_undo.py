# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Put back what an entry changed: newest operation first, each only as far as it was begun.

Private to oncall.pressure: no stable interface. The same code runs in the modules and, alone, as the undo program.
"""

from __future__ import annotations

import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._change import _arming, _bundle, _file, _journal
from ansible_collections.oncall.pressure.plugins.module_utils._change._journal import Entry, Journal
from ansible_collections.oncall.pressure.plugins.module_utils._change._kinds import Conflict, Failed, Hands, Refused
from ansible_collections.oncall.pressure.plugins.module_utils._change._registry import KINDS
from ansible_collections.oncall.pressure.plugins.module_utils._host._files import Untrusted
from ansible_collections.oncall.pressure.plugins.module_utils._host._text import clean


class Undone(t.NamedTuple):
    """What became of an undo: ``done`` with what was put back, or the problems, and the command that a person may run."""

    done: bool
    said: list[str]
    problems: list[str]
    conflict: bool
    command: str


def command(entry: Entry, force: bool) -> str:
    """What undoes an entry by hand, on the host, as root."""
    return "%s -I %s/%s undo%s" % (entry.head.get("python", "python3"), entry.folder, _bundle.NAME, " --force" if force else "")


def undo(hands: Hands, entry: Entry, why: str, force: bool = False, final: str = "undone", by: str | None = None) -> Undone:
    """Undo one entry; the caller holds the lease. ``why``: deadline, failed, operator, expired; ``by``: who. Raises nothing that the host can cause."""
    journal = Journal(hands.machine, hands.files, entry.folder)
    # room for the journal's last lines and for the originals, kept for the time when a disk is full
    hands.files.sweep(entry.folder + "/journal.jsonl")
    try:
        hands.files.remove(entry.folder + "/reserve")
    except (OSError, Untrusted):
        pass
    journal.try_to_write("undoing", why=why, by=by)
    said: list[str] = []
    problems: list[str] = []
    conflict = False
    rows = entry.operations
    for place in reversed(range(len(rows))):
        operation, before = rows[place]
        if place not in entry.begun:
            continue
        try:
            text = KINDS[operation["kind"]].undo(hands, operation, before, force)
            said.append(text)
            journal.try_to_write("undone_one", operation=place, said=text)
        except Conflict as problem:
            conflict = True
            problems.append(clean(str(problem), 400))
        except Exception as problem:
            # whatever it is, the operations before it are put back all the same, and a person is told
            problems.append(clean("%s: %s" % (operation.get("kind"), str(problem) or type(problem).__name__), 400))
    if conflict:
        problems += upon(hands, entry)
    by_hand = command(entry, conflict)
    if problems:
        journal.try_to_write("undo_failed", why=why, by=by, problems=problems, command=by_hand, conflict=conflict)
        return Undone(False, said, problems, conflict, by_hand)
    if journal.try_to_write(final, why=why, by=by, said=said):
        # what could not be written down stays armed: it is done once more, to no effect, when there is room for the line
        _arming.disarm(hands)
    return Undone(True, said, [], False, by_hand)


def upon(hands: Hands, entry: Entry) -> list[str]:
    """Our own later changes of the same things, which must be undone first."""
    try:
        return ["change %s by %s was made upon it: undo that first" % (other.id, clean(str(other.head.get("owner")), 100))
                for other in _journal.above(hands.machine, entry)]
    except OSError:
        return []


def verify_saved(hands: Hands, entry: Entry) -> list[str]:
    """What undoing would stumble on now, without doing anything: for the dry run before a change."""
    problems: list[str] = []
    for operation, before in entry.operations:
        kind = KINDS.get(str(operation.get("kind")))
        if kind is None:
            problems.append("no kind of operation is called %s" % clean(str(operation.get("kind")), 50))
            continue
        try:
            kind.look(hands, operation)
            if operation["kind"] in ("file", "nginx_config") and before["exists"]:
                _file.original(hands, operation, before)
        except (Conflict, Failed, Refused, Untrusted, OSError, KeyError, ValueError, TypeError) as problem:
            problems.append(clean("%s: %s" % (operation["kind"], problem), 400))
    return problems


def sweep(hands: Hands, entries: t.Sequence[Entry]) -> None:
    """Close what a run left behind that ended before it touched anything, and take away what is still armed of what is over.

    The caller holds the lease: nobody is at it any more.
    """
    for entry in entries:
        here = hands._replace(folder=entry.folder)
        over = entry.state in _journal.ENDED or (entry.state == "confirmed" and entry.deadline_s is None)
        if over and _arming.armed(here):
            _arming.disarm(here)
        elif entry.state in _journal.PENDING and not entry.begun:
            Journal(hands.machine, hands.files, entry.folder).try_to_write("undone", why="never begun: its run ended")
            _arming.disarm(here)
        if entry.state in _journal.ENDED:
            _shed(here)


def _shed(hands: Hands) -> None:
    """Of what is over only the journal is kept: the program and the originals are of no use any more, and add up."""
    for name in hands.files.names(hands.folder):
        if name != "journal.jsonl":
            try:
                hands.files.remove(hands.folder + "/" + name)
            except (OSError, Untrusted):
                continue


def open_entries(entries: t.Sequence[Entry]) -> list[Entry]:
    """Those that are not over, newest first: the order of undoing."""
    return [entry for entry in reversed(entries) if entry.state not in _journal.ENDED]
