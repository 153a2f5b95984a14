# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The operation ``retire_worker``: one worker, the largest, ends gracefully and its master starts a new one in its place.

Private to oncall.pressure: no stable interface.

``{"kind": "retire_worker", "service", "component", "pid", "start_ticks" (of the master), "worker_pid", "worker_start_ticks"}``.
State: ``{"master": bool, "worker": whether that worker lives, "workers": live worker processes}``.

A worker that gets SIGTERM ends after what it does. Replaced it is by gunicorn, by uvicorn since 0.30 (older ones leave the place empty for ever:
they are told by what signals they catch) and by celery's pool. A celery child would lose its task, so only one that is idle is ended: the worker
says that it is, and the kernel that it has not moved between before the question and after the answer.
"""

from __future__ import annotations

import signal
import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._change._kinds import Failed, Hands, Kind, Operation, Refused, Shown, State, nothing_to_save
from ansible_collections.oncall.pressure.plugins.module_utils._controls import _celery_remote, _processes, _worker_count
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine
from ansible_collections.oncall.pressure.plugins.module_utils._host._text import clean

_GONE_S = 60.0
_BACK_S = 40.0
_TRIES = 5


def look(hands: Hands, operation: Operation) -> State:
    """Whether that worker lives. Raises Refused where it would not be replaced."""
    machine, name, pid = hands.machine, clean(operation["service"], 200), operation["pid"]
    if _processes.the_same(machine, pid, operation["start_ticks"]) is None:
        raise Refused("%s: its main process is another than the one that was measured (it was restarted meanwhile); measure again" % name)
    if operation["component"] in ("gunicorn", "uvicorn"):
        try:
            _worker_count.check_signals(machine, operation)
        except Refused as problem:
            raise Refused("%s does not replace a worker that ends (uvicorn before 0.30, or it is no master); restart it" % name) from problem
    elif operation["component"] != "celery":
        raise Refused("%s: %s has no long-lived workers that it replaces" % (name, clean(operation["component"], 50)))
    alive = operation["worker_pid"] in _processes.workers(machine, operation["component"], pid) and _worker(machine, operation) is not None
    return {"master": True, "worker": alive, "workers": _processes.settled(machine, lambda: len(_processes.workers(machine, operation["component"], pid)))}


def _worker(machine: Machine, operation: Operation) -> _processes.Status | None:
    return _processes.the_same(machine, operation["worker_pid"], operation["worker_start_ticks"])


def show(hands: Hands, operation: Operation, before: State) -> Shown:
    """No pid: it differs from run to run."""
    return Shown("the largest worker of %s" % clean(operation["service"], 200), "as it is\n", "replaced by a new one\n")


def reached(operation: Operation, before: State, now: State) -> bool:
    """That worker has gone and as many as before are there."""
    return bool(not now["worker"] and now["workers"] >= before["workers"])


def apply(hands: Hands, operation: Operation, before: State) -> None:
    """One signal; then its end and its replacement are waited for."""
    machine, name = hands.machine, clean(operation["service"], 200)
    if operation["component"] == "celery":
        check_idle(machine, operation)
    elif _processes.the_same(machine, operation["pid"], operation["start_ticks"]) is None:
        raise Failed("%s: its main process has gone" % name)
    if not hands.files.signal(operation["worker_pid"], operation["worker_start_ticks"], signal.SIGTERM):
        return
    if not _processes.wait_for(machine, lambda: _worker(machine, operation) is None, _GONE_S):
        raise Failed("%s: its largest worker still finishes what it does after %d s; it ends then, and is replaced" % (name, _GONE_S))

    def count() -> int:
        return len(_processes.workers(machine, operation["component"], operation["pid"]))

    if not _processes.wait_for(machine, lambda: count() >= before["workers"], _BACK_S):
        raise Failed("%s: its largest worker has ended, and after %d s no other has taken its place" % (name, _BACK_S))
    _processes.settled(machine, count)


def check_idle(machine: Machine, operation: Operation) -> None:
    """Return at a moment when a celery child has nothing to do. Raises Refused where there is none."""
    name = clean(operation["service"], 200)
    with _celery_remote.client(machine, operation) as client:
        client.check_node()
        for dummy in range(_TRIES):
            before = _worker(machine, operation)
            if before is None:
                return
            if _processes.has(before.ignored, signal.SIGTERM):
                raise Refused("%s: its processes ignore SIGTERM" % name)
            busy = operation["worker_pid"] in client.active_pids()
            now = _worker(machine, operation)
            if now is None or (not busy and now.switches == before.switches):
                return
            machine.sleep(0.5)
    raise Refused("%s: its largest process is busy, and ending it would lose its task; max-tasks-per-child or a warm restart lets it finish" % name)


def undo(hands: Hands, operation: Operation, before: State, force: bool) -> str:
    """A worker that has been replaced is not missed."""
    return "the largest worker of %s was replaced: nothing to put back" % clean(operation["service"], 200)


KIND: t.Final = Kind(look=look, show=show, save=nothing_to_save, apply=apply, reached=reached, undo=undo)
