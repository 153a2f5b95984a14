# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The undo program's own start: ``python3 -I undo.pyz check|due|boot|watch|undo [--force]``.

Private to oncall.pressure: no stable interface. It lies in the entry's folder and acts on that entry alone.
"""

from __future__ import annotations

import json
import posixpath
import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._change import _arming, _journal, _lease, _undo
from ansible_collections.oncall.pressure.plugins.module_utils._change._kinds import Failed, Hands
from ansible_collections.oncall.pressure.plugins.module_utils._host import _start
from ansible_collections.oncall.pressure.plugins.module_utils._host._files import Files
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine

#: The word that tries the program without doing anything.
CHECK: t.Final = "check"

#: Who is still changing this host when the time is over had its time; who is undoing is waited for.
_WAIT_S = 600.0
_AGAIN_S = (2.0, 5.0, 10.0)


def main() -> None:
    """Ends the process: 0 done or nothing to do, 1 not undone, 2 not understood."""
    words = _start.words() or [""]
    folder = posixpath.dirname(_start.program())
    machine = Machine()
    hands = Hands(machine, Files(), folder, booting=words[0] == "boot")
    entry = _journal.read(machine, folder)
    if entry is None or words[0] not in (CHECK, "due", "boot", "watch", "undo"):
        _start.say("usage: python3 -I %s check|undo [--force]" % _start.program(), problem=True)
        _start.end(2)
        return
    if words[0] == CHECK:
        problems = _undo.verify_saved(hands, entry)
        _start.say(json.dumps({"entry": entry.id, "problems": problems}))
        _start.end(1 if problems else 0)
    machine.important()
    if words[0] == "watch" and not _due(machine, folder):
        return
    _start.end(0 if act(hands, words[0], "--force" in words) else 1)


def _due(machine: Machine, folder: str) -> bool:
    """Sleep until the entry is due; False when it is over before."""
    while True:
        entry = _journal.read(machine, folder)
        left = entry.left_s(machine) if entry is not None else None
        if left is None:
            return False
        if left <= 0:
            return True
        machine.sleep(min(left, 5.0))


def act(hands: Hands, word: str, force: bool) -> bool:
    """Undo the entry if it is due (or told to), under the lease. Whether all is well then."""
    machine = hands.machine
    lock = _lock(hands, word)
    if lock is None:
        _start.say("another process holds this host: nothing was undone", problem=True)
        return False
    lease = _lease.Lease(machine, hands.files, lock, "undo", "oncall-pressure")
    try:
        lease.say("undoing", 900.0)
    except OSError:
        pass
    try:
        # read under the lock: it may have been confirmed a moment ago
        entry = _journal.read(machine, hands.folder)
        if entry is None or entry.state in _journal.ENDED or (word != "undo" and entry.state == "confirmed" and entry.deadline_s is None):
            # who wrote that it is over may have been ended before it took the arming away
            _arming.disarm(hands)
            return True
        if word != "undo" and entry.state == "undo_failed" and not _again(hands, entry):
            return False
        left = entry.left_s(machine)
        if word != "undo" and (left is None or left > 1.0):
            return _wait_on(hands, entry, left, word)
        why, final = ("operator", "undone") if word == "undo" else ("expired", "expired") if entry.state == "confirmed" else ("deadline", "undone")
        return _try(hands, entry, why, final, force)
    finally:
        lease.release(0.0)


def _again(hands: Hands, entry: _journal.Entry) -> bool:
    """Whether an undo that failed is to be tried once more now; the timer asks every few seconds."""
    if entry.tries >= _journal.TRIES:
        _arming.rest(hands)
        return False
    return abs(hands.machine.now() - entry.changed_at_s) >= _journal.TRY_AGAIN_S


def _lock(hands: Hands, word: str) -> int | None:
    """The lock; a run that still applies after the deadline is ended, one that is undoing is waited for."""
    lock = hands.files.lock(_lease.PATH, 0.5)
    if lock is not None or word == "undo":
        return lock if lock is not None else hands.files.lock(_lease.PATH, 30.0)
    row = _lease.holder(hands.machine) or {}
    if row.get("doing") == "applying" and isinstance(row.get("pid"), int) and isinstance(row.get("start_ticks"), int):
        hands.files.kill(row["pid"], row["start_ticks"])
    return hands.files.lock(_lease.PATH, _WAIT_S)


def _wait_on(hands: Hands, entry: _journal.Entry, left: float | None, word: str) -> bool:
    """Not due: after a boot the timer is gone and is armed anew."""
    if word == "boot" and left is not None:
        try:
            _arming.arm(hands, entry, str(entry.head.get("python")), left, "expire")
        except (Failed, OSError) as problem:
            _start.say(str(problem), problem=True)
            return False
        _journal.Journal(hands.machine, hands.files, hands.folder).try_to_write(
            "confirmed", why="armed anew after a boot", deadline_s=round(hands.machine.boot_s() + left, 3), boot=hands.machine.boot())
    return True


def _try(hands: Hands, entry: _journal.Entry, why: str, final: str, force: bool) -> bool:
    """What fails now may go in a moment; what somebody else changed stays theirs."""
    pauses: t.List[float] = list(_AGAIN_S) if why != "operator" else []
    while True:
        outcome = _undo.undo(hands, entry, why, force, final)
        for line in outcome.said + outcome.problems:
            _start.say(line)
        if outcome.done or outcome.conflict or not pauses:
            if outcome.conflict:
                _arming.rest(hands)
            if not outcome.done:
                _start.say("CRITICAL: change %s is not undone; by hand, as root: %s" % (entry.id, outcome.command), problem=True)
            return outcome.done
        hands.machine.sleep(pauses.pop(0))
