# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The operation ``celery_pool``: a running celery worker ends children of its pool that have nothing to do, one at a time.

Private to oncall.pressure: no stable interface.

``{"kind": "celery_pool", "service", "unit" or null, "pid", "start_ticks", "workers": target}``. State: ``{"master": bool, "workers": live children}``.

celery's pool_shrink ends idle children only and says so with exit status 0 when all are busy: what counts is how many processes live. A worker
notices that a child has gone within five seconds; told to shrink before, old versions (seen with 5.2.6) end the dead child a second time, and count
one process less than they have. So the next order waits until the worker knows the same processes as the kernel.
"""

from __future__ import annotations

import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._change._kinds import Failed, Hands, Kind, Operation, Refused, Shown, State, nothing_to_save
from ansible_collections.oncall.pressure.plugins.module_utils._controls import _celery_remote, _mains, _processes
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine
from ansible_collections.oncall.pressure.plugins.module_utils._host._text import clean

#: How often a busy pool is asked before it is called busy, and how long between, in seconds.
_TRIES = 4
_BETWEEN_S = 0.7

_DROP_S = 20.0

#: A worker looks after its pool every five seconds.
_GROW_S = 15.0
_STEP_S = 20.0
_ALL_S = 180.0


def look(hands: Hands, operation: Operation) -> State:
    """The children that live now. Raises Refused where the pool cannot be told to change."""
    machine, pid, name = hands.machine, operation["pid"], clean(operation["service"], 200)
    if _processes.the_same(machine, pid, operation["start_ticks"]) is None:
        raise Refused("%s: its main process is another than the one that was measured (it was restarted meanwhile); measure again" % name)
    read = _celery_remote.command(_processes.words(machine, pid))
    if read is None:
        raise Refused("%s: the arguments of its main process do not show how celery was started; lower it in its configuration and restart it" % name)
    if read.autoscale:
        raise Refused("%s runs with --autoscale, which refuses any other change of its pool; lower the range and restart it" % name)
    if read.pool not in (None, "prefork", "processes"):
        raise Refused("%s uses the pool %s, which has no processes to end; lower its concurrency and restart it" % (name, clean(read.pool, 50)))
    count = _processes.settled(machine, lambda: len(_processes.workers(machine, "celery", pid)))
    if count < 1:
        raise Refused("%s has no pool of processes (solo, threads or green threads); lower its concurrency and restart it" % name)
    return {"master": True, "workers": count}


def show(hands: Hands, operation: Operation, before: State) -> Shown:
    """The number of children."""
    after = min(before["workers"], max(1, operation["workers"]))
    return Shown(clean(operation["service"], 200) + " (running pool processes)", "%d\n" % before["workers"], "%d\n" % after)


def reached(operation: Operation, before: State, now: State) -> bool:
    """As few as wanted; a number that is lower already stays."""
    return bool(1 <= now["workers"] <= max(1, operation["workers"]))


def apply(hands: Hands, operation: Operation, before: State) -> None:
    """One child, seen gone, then the next."""
    machine, pid, name = hands.machine, operation["pid"], clean(operation["service"], 200)
    target = max(1, int(operation["workers"]))
    to = _celery_remote.remote(machine, operation["service"], pid, operation["start_ticks"])
    if _celery_remote.check_node(machine, to).get("autoscaler"):
        raise Refused("%s runs with autoscale, which refuses any other change of its pool" % name)
    count = _counter(machine, pid)
    end = machine.monotonic() + _ALL_S
    now = min(_processes.settled(machine, count), before["workers"])
    while now > target:
        if machine.monotonic() >= end:
            raise Failed("%s: not down to %d processes after %d s" % (name, target, _ALL_S))
        if _processes.the_same(machine, pid, operation["start_ticks"]) is None:
            raise Failed("%s: its main process has gone" % name)
        _in_step(machine, to, pid)
        now = count()
        if now > target and not _shrink(hands, to, pid):
            raise Failed("%s: its %d processes are busy and celery ends only idle ones; a restart (restart_service) brings it to %d" % (name, now, target))
        now = _processes.settled(machine, count, 0.3)


def _counter(machine: Machine, pid: int) -> t.Callable[[], int]:
    return lambda: len(_processes.workers(machine, "celery", pid))


def _in_step(machine: Machine, to: _celery_remote.Remote, pid: int) -> None:
    """Wait until the worker has the same children in mind as the kernel. Raises Failed."""

    def same() -> bool:
        return _celery_remote.pool_pids(_celery_remote.stats(machine, to)) == sorted(_processes.workers(machine, "celery", pid))

    if not _processes.wait_for(machine, same, _STEP_S, 0.7):
        raise Failed("%s: its pool does not come to rest (children die and are started again all the time)" % clean(to.service, 200))


def _shrink(hands: Hands, to: _celery_remote.Remote, pid: int) -> bool:
    """End one idle child and see it gone; false where all are busy. Raises Failed, Refused."""
    name = clean(to.service, 200)
    count = _counter(hands.machine, pid)
    for number in range(_TRIES):
        was = count()
        said = _celery_remote.tell(hands.machine, to, "pool_shrink")
        if said is None:
            if _processes.wait_for(hands.machine, lambda: count() < was, _DROP_S):
                return True
            raise Failed("%s said that its pool will shrink, and it has not after %d s" % (name, _DROP_S))
        if "busy" not in said.lower():
            raise Refused("%s refuses: %s" % (name, said))
        if number + 1 < _TRIES:
            hands.machine.sleep(_BETWEEN_S)
    return False


def undo(hands: Hands, operation: Operation, before: State, force: bool) -> str:
    """Up to the former number and never above it, by the same worker or by the one that took its place."""
    machine, name = hands.machine, clean(operation["service"], 200)
    pid: int | None = operation["pid"]
    if _processes.the_same(machine, operation["pid"], operation["start_ticks"]) is None:
        pid = _mains.main_process(machine, "celery", operation["service"], operation.get("unit"))
    found = _processes.status(machine, pid) if pid is not None else None
    if pid is None or found is None:
        return "%s: no main process runs, there is nothing to put back (it starts with the processes of its configuration)" % name
    count = _counter(machine, pid)
    now = _processes.settled(machine, count)
    if now < before["workers"] and _ordered(hands, pid):
        # an undo before this one was interrupted: what it ordered may be on its way
        was = now
        _processes.wait_for(machine, lambda: count() > was, _GROW_S)
        now = _processes.settled(machine, count)
    if now >= before["workers"]:
        return "%s has %d pool processes: nothing to put back" % (name, now)
    try:
        to = _celery_remote.remote(machine, operation["service"], pid, found.start_ticks)
        _grow(hands, to._replace(program_s=_celery_remote.PATIENT_S), pid, before["workers"])
    except Refused as problem:
        raise Failed("%s has %d of its %d former pool processes (%s); a restart brings them back" % (name, count(), before["workers"], problem)) from problem
    return "%s has %d pool processes again" % (name, count())


def _grow(hands: Hands, to: _celery_remote.Remote, pid: int, workers: int) -> None:
    """One child, seen there, then the next. Raises Failed, Refused."""
    machine, count = hands.machine, _counter(hands.machine, pid)
    _celery_remote.check_node(machine, to)
    now, orders = count(), 2 * (workers - count())
    while now < workers:
        if orders <= 0:
            raise Failed("%s has %d of its %d former pool processes: the next one does not start" % (clean(to.service, 200), now, workers))
        orders -= 1
        _note(hands, pid, "ordered")
        said = _celery_remote.tell(machine, to, "pool_grow")
        if said is not None:
            raise Refused(said)
        was = now
        # one that had counted fewer than it has (see above) needs an order more
        if _processes.wait_for(machine, lambda: count() > was, _GROW_S):
            _note(hands, pid, "there")
        now = _processes.settled(machine, count)
    if now > workers:
        _in_step(machine, to, pid)
        _shrink(hands, to, pid)


def _note(hands: Hands, pid: int, word: str) -> None:
    hands.files.append("%s/celery_pool-%d" % (hands.folder, pid), word.encode("ascii") + b"\n")


def _ordered(hands: Hands, pid: int) -> bool:
    text = hands.machine.text_or_none("%s%s/celery_pool-%d" % (hands.files.root, hands.folder, pid)) or ""
    return text.split()[-1:] == ["ordered"]


KIND: t.Final = Kind(look=look, show=show, save=nothing_to_save, apply=apply, reached=reached, undo=undo)
