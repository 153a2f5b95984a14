# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The operation ``worker_count``: a running gunicorn or uvicorn master is asked to drop workers, one at a time.

Private to oncall.pressure: no stable interface.

``{"kind": "worker_count", "service", "component": "gunicorn" or "uvicorn", "unit" or null, "pid", "start_ticks", "workers": target,
"configured": workers by its settings or null}``. State: ``{"master": bool, "workers": live worker processes}``.

A master drops a worker on SIGTTOU only if it catches it. One that does not is stopped by the signal, as a shell stops a background job:
the whole service would hang. So what it catches is read before every single signal. gunicorn lets its oldest worker finish, uvicorn its newest.
"""

from __future__ import annotations

import signal
import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._change._kinds import Failed, Hands, Kind, Operation, Refused, Shown, State, nothing_to_save
from ansible_collections.oncall.pressure.plugins.module_utils._controls import _mains, _processes
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine
from ansible_collections.oncall.pressure.plugins.module_utils._host._text import clean

#: How long one worker may take to finish what it does (gunicorn's own timeout is 30 s unless set), and all of them together, in seconds.
ONE_S = 40.0
ALL_S = 180.0

#: How long a new worker may take to be there.
_START_S = 20.0

_COMPONENTS = ("gunicorn", "uvicorn")


def look(hands: Hands, operation: Operation) -> State:
    """The workers that live now. Raises Refused where the master cannot be told to drop one."""
    name = clean(operation["service"], 200)
    if operation["component"] not in _COMPONENTS:
        raise Refused("%s: %s has no signal that lowers its workers; set their number and restart it" % (name, clean(operation["component"], 50)))
    machine, pid = hands.machine, operation["pid"]
    if _processes.the_same(machine, pid, operation["start_ticks"]) is None:
        raise Refused("%s: its main process is another than the one that was measured (it was restarted meanwhile); measure again" % name)
    check_signals(machine, operation)
    if operation["component"] == "gunicorn" and any(_processes.is_second_master(machine, pid, child) for child in machine.children(pid)):
        raise Refused("%s: a second master runs, an upgrade (USR2) is under way; end it first" % name)
    count = _processes.settled(machine, lambda: len(_processes.workers(machine, operation["component"], pid)))
    if _is_reloading(machine, operation, count):
        raise Refused("%s is being reloaded: old and new workers run side by side; wait until the old ones have gone" % name)
    if count < 1:
        raise Refused("%s has no worker processes: there is nothing to lower" % name)
    return {"master": True, "workers": count}


def check_signals(machine: Machine, operation: Operation) -> None:
    """Raises Refused unless the master is the one meant and catches both signals, at this moment."""
    found = _processes.the_same(machine, operation["pid"], operation["start_ticks"])
    name = clean(operation["service"], 200)
    if found is None:
        raise Refused("%s: its main process has gone" % name)
    if not (_processes.has(found.caught, signal.SIGTTOU) and _processes.has(found.caught, signal.SIGTTIN)):
        why = "uvicorn before 0.30, or one that runs without --workers" if operation["component"] == "uvicorn" else "it is no master, or still starting"
        raise Refused(
            "%s does not catch SIGTTOU (%s): the signal would stop the whole service, so it is not sent; set the number of workers and restart it" % (name, why)
        )


def _is_reloading(machine: Machine, operation: Operation, count: int) -> bool:
    """Whether gunicorn has just started a whole new set beside the old one (HUP): more than are configured, and so many of them young and of one moment."""
    configured = operation.get("configured")
    if operation["component"] != "gunicorn" or not configured or count <= configured:
        return False
    found = (_processes.status(machine, pid) for pid in _processes.workers(machine, "gunicorn", operation["pid"]))
    starts = sorted(one.start_ticks for one in found if one is not None)
    if len(starts) <= configured:
        return False
    span_s = (starts[-1] - starts[-configured]) / machine.ticks_per_s
    before_s = (starts[-configured] - starts[-configured - 1]) / machine.ticks_per_s
    age_s = machine.uptime_s() - starts[-1] / machine.ticks_per_s
    return age_s < 120.0 and span_s < 1.0 + 0.2 * configured and before_s > span_s


def show(hands: Hands, operation: Operation, before: State) -> Shown:
    """The number of workers."""
    after = min(before["workers"], max(1, operation["workers"]))
    return Shown(clean(operation["service"], 200) + " (running workers)", "%d\n" % before["workers"], "%d\n" % after)


def reached(operation: Operation, before: State, now: State) -> bool:
    """As few as wanted; a number that is lower already stays."""
    return bool(1 <= now["workers"] <= max(1, operation["workers"]))


def apply(hands: Hands, operation: Operation, before: State) -> None:
    """One signal, then wait until that worker has really gone, then the next: never two on the way."""
    machine = hands.machine
    target = max(1, int(operation["workers"]))
    count = _counter(machine, operation, operation["pid"])
    end = machine.monotonic() + ALL_S
    now = _processes.settled(machine, count)
    signals_left = min(now, before["workers"]) - target
    while now > target and signals_left > 0:
        check_signals(machine, operation)
        _note(hands, operation, "down")
        if not hands.files.signal(operation["pid"], operation["start_ticks"], signal.SIGTTOU):
            raise Failed("%s: its main process has gone" % clean(operation["service"], 200))
        signals_left -= 1
        was = now
        if not _processes.wait_for(machine, lambda: count() < was, min(ONE_S, max(end - machine.monotonic(), 1.0))):
            _take_back(hands, operation)
            raise Failed("%s: a worker that was told to finish is still at work after %d s" % (clean(operation["service"], 200), ONE_S))
        _note(hands, operation, "gone")
        if machine.monotonic() >= end and was - 1 > target:
            raise Failed("%s: not down to %d workers after %d s" % (clean(operation["service"], 200), target, ALL_S))
        now = _processes.settled(machine, count, 0.3 if signals_left else 1.2)


def undo(hands: Hands, operation: Operation, before: State, force: bool) -> str:
    """Up to the former number and never above it, by the same master or by the one that took its place."""
    machine, name = hands.machine, clean(operation["service"], 200)
    same = _processes.the_same(machine, operation["pid"], operation["start_ticks"]) is not None
    pid: int | None = operation["pid"] if same else _mains.main_process(machine, operation["component"], operation["service"], operation.get("unit"))
    if pid is None:
        return "%s: no main process runs, there is nothing to put back (it starts with the workers of its configuration)" % name
    found = _processes.status(machine, pid)
    if found is None:
        raise Failed("%s: its main process has gone while it was looked at" % name)
    meant = dict(operation, pid=pid, start_ticks=found.start_ticks)
    count = _counter(machine, meant, pid)
    now = _processes.settled(machine, count)
    raised = 0
    if same and _on_the_way(hands, meant) and now >= before["workers"]:
        # a worker told to go is still there: give it the time that an idle one needs, then take the order back
        if not _processes.wait_for(machine, lambda: count() < now, 5.0):
            _take_back(hands, meant)
            raised = 1
            # had the order never been sent, the one that takes it back is one too many, which soon shows
            _processes.wait_for(machine, lambda: count() > before["workers"], _START_S / 4)
        now = _processes.settled(machine, count)
    while now < before["workers"] and raised < before["workers"]:
        _order(hands, meant, signal.SIGTTIN, "up")
        raised += 1
        was = now
        if not _processes.wait_for(machine, lambda: count() > was, _START_S):
            raise Failed("%s has %d of its %d former workers: the next one does not start" % (name, count(), before["workers"]))
        now = _processes.settled(machine, count, 1.2)
    lowered = 0
    while now > before["workers"] and lowered < raised:
        # one that had been killed came back meanwhile
        _order(hands, meant, signal.SIGTTOU, "down")
        lowered += 1
        was = now
        if not _processes.wait_for(machine, lambda: count() < was, ONE_S):
            break
        now = _processes.settled(machine, count, 1.2)
    return "%s has %d worker%s again" % (name, now, "" if now == 1 else "s") if raised else "%s has %d workers: nothing to put back" % (name, now)


def _counter(machine: Machine, operation: Operation, pid: int) -> t.Callable[[], int]:
    return lambda: len(_processes.workers(machine, operation["component"], pid))


def _order(hands: Hands, operation: Operation, number: int, note: str) -> None:
    try:
        check_signals(hands.machine, operation)
    except Refused as problem:
        raise Failed(str(problem)) from problem
    _note(hands, operation, note)
    if not hands.files.signal(operation["pid"], operation["start_ticks"], number):
        raise Failed("%s: its main process has gone" % clean(operation["service"], 200))


def _take_back(hands: Hands, operation: Operation) -> None:
    """One more worker, for the one that was told to go and has not: the master then replaces that one when it goes, and the number is what it was."""
    _order(hands, operation, signal.SIGTTIN, "gone")


# What the kernel cannot show: that a worker has been told to go and is finishing. Kept in the entry's folder, so that an undo
# after an interruption knows.


def _note_path(hands: Hands, operation: Operation) -> str:
    return "%s/worker_count-%d-%d" % (hands.folder, operation["pid"], operation["start_ticks"])


def _note(hands: Hands, operation: Operation, word: str) -> None:
    hands.files.append(_note_path(hands, operation), word.encode("ascii") + b"\n")


def _on_the_way(hands: Hands, operation: Operation) -> bool:
    """Whether the last thing done to this master was to tell a worker to go, and nobody saw it gone."""
    text = hands.machine.text_or_none(hands.files.root + _note_path(hands, operation)) or ""
    return text.split()[-1:] == ["down"]


KIND: t.Final = Kind(look=look, show=show, save=nothing_to_save, apply=apply, reached=reached, undo=undo)
