# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The operation ``celery_pool``: a running celery worker ends children of its pool that have nothing to do.

Private to oncall.pressure: no stable interface.

``{"kind": "celery_pool", "service", "unit" or null, "pid", "start_ticks", "workers": target}``. State: ``{"master": bool, "workers": live children}``.

celery's pool_shrink ends idle children only and says so with exit status 0 when all are busy: what counts is how many processes live. Told to end
more than are idle it ends all that are, the last one too (seen with 5.2.6 and 5.7.0), so it is told the exact number, and only while it knows the
same processes as the kernel: a worker notices that a child has gone within five seconds, and told to shrink before, 5.2.6 ends the dead child a
second time and counts one process less than it has.
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

#: A worker looks after its pool every five seconds; a child takes its time to start on a host that is busy.
_GROW_S = 15.0
_GROW_EACH_S = 3.0
#: The first order may bring too few (see above); what a third does not bring does not start.
_ORDERS = 3
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
    """All that are too many and idle at once, seen gone; then what is left of the number as children become idle."""
    machine, pid, name = hands.machine, operation["pid"], clean(operation["service"], 200)
    target = max(1, int(operation["workers"]))
    with _celery_remote.client(machine, operation) as client:
        if client.check_node().get("autoscaler"):
            raise Refused("%s runs with autoscale, which refuses any other change of its pool" % name)
        end = machine.monotonic() + _ALL_S
        tries = 0
        while True:
            if _processes.the_same(machine, pid, operation["start_ticks"]) is None:
                raise Failed("%s: its main process has gone" % name)
            now = _in_step(machine, client, operation)
            if now <= target:
                return
            if machine.monotonic() >= end:
                raise Failed("%s: not down to %d processes after %d s" % (name, target, _ALL_S))
            if _shrink(hands, client, operation, now, now - target):
                tries = 0
                continue
            tries += 1
            if tries >= _TRIES:
                raise Failed("%s: its %d processes are busy and celery ends only idle ones; a restart (restart_service) brings it to %d" % (name, now, target))
            machine.sleep(_BETWEEN_S)


def _counter(machine: Machine, pid: int) -> t.Callable[[], int]:
    return lambda: len(_processes.workers(machine, "celery", pid))


def _in_step(machine: Machine, client: _celery_remote.Client, operation: Operation) -> int:
    """How many children there are, once the worker has the same ones in mind as the kernel. Raises Failed, Refused."""
    found: list[int] = []

    def same() -> bool:
        found[:] = _processes.workers(machine, "celery", operation["pid"])
        return client.pool_pids() == sorted(found)

    if not _processes.wait_for(machine, same, _STEP_S, 0.3):
        raise Failed("%s: its pool does not come to rest (children die and are started again all the time)" % clean(operation["service"], 200))
    return len(found)


def _shrink(hands: Hands, client: _celery_remote.Client, operation: Operation, now: int, wanted: int) -> bool:
    """End as many idle children of ``now`` as wanted, or as there are, and see them gone; false where all are busy. Raises Failed, Refused."""
    name, count = clean(operation["service"], 200), _counter(hands.machine, operation["pid"])
    number = min(wanted, now - len(set(client.active_pids())))
    if number < 1:
        return False
    _note(hands, operation["pid"], "shrinks-by-%d" % number)
    said = client.tell("pool_shrink", number)
    if said is None:
        if _processes.wait_for(hands.machine, lambda: count() <= now - number, _DROP_S):
            return True
        raise Failed("%s said that its pool will shrink, and it has not after %d s" % (name, _DROP_S))
    if "busy" not in said.lower():
        raise Refused("%s refuses: %s" % (name, said))
    # one took a task between the question and the order: those that were idle all the same go
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
        _processes.wait_for(machine, lambda: count() >= before["workers"], _GROW_S)
        now = _processes.settled(machine, count)
    if now >= before["workers"]:
        return "%s has %d pool processes: nothing to put back" % (name, now)
    meant = dict(operation, pid=pid, start_ticks=found.start_ticks)
    try:
        with _celery_remote.client(machine, meant, _celery_remote.PATIENT_S) as client:
            _grow(hands, client, meant, before["workers"])
    except Refused as problem:
        raise Failed("%s has %d of its %d former pool processes (%s); a restart brings them back" % (name, count(), before["workers"], problem)) from problem
    return "%s has %d pool processes again" % (name, count())


def _grow(hands: Hands, client: _celery_remote.Client, operation: Operation, workers: int) -> None:
    """All that are missing, by one order; once more what that has not brought. Raises Failed, Refused."""
    machine, count = hands.machine, _counter(hands.machine, operation["pid"])
    client.check_node()
    now, orders = count(), 0
    while now < workers:
        if orders >= _ORDERS:
            raise Failed("%s has %d of its %d former pool processes: the next one does not start" % (clean(operation["service"], 200), now, workers))
        orders += 1
        _note(hands, operation["pid"], "ordered")
        said = client.tell("pool_grow", workers - now)
        if said is not None:
            raise Refused(said)
        if _processes.wait_for(machine, lambda: count() >= workers, _GROW_S + _GROW_EACH_S * (workers - now)):
            _note(hands, operation["pid"], "there")
        now = _processes.settled(machine, count)
    if now > workers:
        now = _in_step(machine, client, operation)
        _shrink(hands, client, operation, now, now - workers)


def _note(hands: Hands, pid: int, word: str) -> None:
    hands.files.append("%s/celery_pool-%d" % (hands.folder, pid), word.encode("ascii") + b"\n")


def _ordered(hands: Hands, pid: int) -> bool:
    text = hands.machine.text_or_none("%s%s/celery_pool-%d" % (hands.files.root, hands.folder, pid)) or ""
    return text.split()[-1:] == ["ordered"]


KIND: t.Final = Kind(look=look, show=show, save=nothing_to_save, apply=apply, reached=reached, undo=undo)
