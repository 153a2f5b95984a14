# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The undo program's own start: ``python3 -I undo.pyz check|due|boot|watch|undo [--force]``.

Private to oncall.pressure: no stable interface. It lies in the entry's folder and acts on that entry alone.
"""

from __future__ import annotations

import json
import posixpath
import signal
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
#: How long a run that still applies may take to put back by itself before it is ended.
_MERCY_S = 2.0
_AGAIN_S = (2.0, 5.0, 10.0)
#: A start so little too early is waited out.
_EARLY_S = 20.0


def main() -> None:
    """Ends the process: 0 done or nothing to do, 1 not undone, 2 not understood."""
    words = _start.words() or [""]
    folder = posixpath.dirname(_start.program())
    machine = Machine()
    hands = Hands(machine, Files(), folder, booting=words[0] == "boot")
    entry = _journal.read(machine, folder)
    if entry is None or words[0] not in (CHECK, "due", "boot", "watch", "undo"):
        _start.say("usage, as root: python3 -I %s check|undo [--force]" % _start.program(), problem=True)
        _start.end(2)
        return
    if words[0] == CHECK:
        problems = _undo.verify_saved(hands, entry)
        _start.say(json.dumps({"entry": entry.id, "problems": problems}))
        _start.end(1 if problems else 0)
    machine.important()
    well = watch(hands) if words[0] == "watch" else act(hands, words[0], "--force" in words)
    _start.end(0 if well else 1)


def watch(hands: Hands) -> bool:
    """Stay until the entry is over, or cannot be undone without a person."""
    while _due(hands.machine, hands.folder):
        act(hands, "watch", False)
        entry = _journal.read(hands.machine, hands.folder)
        if entry is not None and entry.state == "undo_failed" and (entry.conflict or entry.tries >= _journal.TRIES):
            return False
        hands.machine.sleep(5.0 if entry is not None and entry.state == "undo_failed" else 0.5)
    return True


def _due(machine: Machine, folder: str) -> bool:
    """Sleep until the entry is due; False when it is over before."""
    while True:
        # asked before the journal is read: who goes on to apply has written the deadline by then
        preparing = _lease.preparing(machine)
        entry = _journal.read(machine, folder)
        left = entry.left_s(machine) if entry is not None else None
        if left is None:
            return False
        if entry is not None and entry.deadline_s is None and preparing:
            # we were started before the run could write down when it is due
            machine.sleep(0.1)
            continue
        if left <= 0:
            return True
        machine.sleep(min(left, 5.0))


def act(hands: Hands, word: str, force: bool) -> bool:
    """Undo the entry if it is due (or told to), under the lease. Whether all is well then."""
    machine = hands.machine
    if word == "due":
        _wait_out(hands)
    lock = _lock(hands, word)
    if lock is None:
        _start.say("another process holds this host: nothing was undone", problem=True)
        return False
    lease = _lease.Lease(machine, hands.files, lock, "undo", "oncall-pressure")
    lease.try_to_say("undoing", 900.0)
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
        why = _why(entry, word)
        if word != "undo" and not _above_first(hands, entry, why):
            return False
        done = _try(hands, entry, why, force, word != "undo")
        if not done and word == "boot":
            _later(hands, entry)
        return done
    finally:
        lease.release(0.0)


def _why(entry: _journal.Entry, word: str) -> str:
    """What the undo is put down to; one that was interrupted stays what it was."""
    if word == "undo":
        return "operator"
    if entry.state in ("undoing", "undo_failed") and entry.why:
        return entry.why
    if entry.state == "confirmed":
        return "expired"
    return "boot" if word == "boot" else "deadline"


def _wait_out(hands: Hands) -> None:
    """A timer may come a little early; another start would come late."""
    entry = _journal.read(hands.machine, hands.folder)
    left = entry.left_s(hands.machine) if entry is not None else None
    if left is not None and 0.0 < left <= _EARLY_S:
        hands.machine.sleep(left)


def _above_first(hands: Hands, entry: _journal.Entry, why: str) -> bool:
    """Undo what was done later to the same things and is not confirmed either; False where that must be decided before."""
    for other in _journal.above(hands.machine, entry):
        if other.state == "confirmed":
            continue
        if why == "expired" and other.state != "undo_failed":
            _start.say("change %s was made upon %s and is neither confirmed nor undone: waiting for that" % (other.id, entry.id))
            return False
        for line in _undo.undo(hands._replace(folder=other.folder), other, why).said:
            _start.say(line)
    return True


def _later(hands: Hands, entry: _journal.Entry) -> None:
    """After a boot no timer is there to try again."""
    now = _journal.read(hands.machine, hands.folder)
    if now is None or now.conflict:
        return
    try:
        _arming.arm(hands, entry, str(entry.head.get("python")), _journal.TRY_AGAIN_S)
    except (Failed, OSError) as problem:
        _start.say(str(problem), problem=True)


def _again(hands: Hands, entry: _journal.Entry) -> bool:
    """Whether an undo that failed is to be tried once more now; the timer asks every few seconds."""
    if entry.conflict or entry.tries >= _journal.TRIES:
        _arming.rest(hands)
        return False
    return abs(hands.machine.now() - entry.changed_at_s) >= _journal.TRY_AGAIN_S


def _lock(hands: Hands, word: str) -> int | None:
    """The lock; a run that still applies after the deadline is told to put back, then ended; one that is undoing is waited for."""
    lock = hands.files.lock(_lease.PATH, 0.5)
    if lock is not None or word == "undo":
        return lock if lock is not None else hands.files.lock(_lease.PATH, 30.0)
    number = signal.SIGTERM
    end = hands.machine.monotonic() + _WAIT_S
    while lock is None and hands.machine.monotonic() < end:
        # whoever has the lock is alive, whatever the time that it gave itself
        row = _lease.holder(hands.machine, over=True) or {}
        if row.get("doing") == "applying" and isinstance(row.get("pid"), int) and isinstance(row.get("start_ticks"), int):
            hands.files.signal(row["pid"], row["start_ticks"], number)
            number = signal.SIGKILL
        lock = hands.files.lock(_lease.PATH, _MERCY_S)
    return lock


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


def _try(hands: Hands, entry: _journal.Entry, why: str, force: bool, patient: bool) -> bool:
    """What fails now may go in a moment; what somebody else changed stays theirs."""
    pauses: t.List[float] = list(_AGAIN_S) if patient else []
    while True:
        outcome = _undo.undo(hands, entry, why, force, "expired" if why == "expired" else "undone", None if patient else "root, by hand")
        for line in outcome.said + outcome.problems:
            _start.say(line)
        if outcome.done or outcome.conflict or not pauses:
            if outcome.conflict:
                _arming.rest(hands)
            if not outcome.done:
                _start.say("CRITICAL: change %s is not undone; by hand, as root: %s" % (entry.id, outcome.command), problem=True)
            return outcome.done
        hands.machine.sleep(pauses.pop(0))
