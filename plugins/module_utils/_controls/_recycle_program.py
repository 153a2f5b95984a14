# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The recycling program's own start: ``python3 -I NAME.pyz COMPONENT SERVICE`` replaces the workers of a service, one at a time.

Private to oncall.pressure: no stable interface. A timer on the host starts it (:mod:`_recycle_timer`), with nobody there to look: so it does nothing
while anything else is under way on the host, and stops at the first worker that does not come back.
"""

from __future__ import annotations

from ansible_collections.oncall.pressure.plugins.module_utils._change import _journal, _lease
from ansible_collections.oncall.pressure.plugins.module_utils._change._kinds import Failed, Hands, Operation, Refused
from ansible_collections.oncall.pressure.plugins.module_utils._change._listing import READ_ONLY
from ansible_collections.oncall.pressure.plugins.module_utils._controls import _mains, _processes, _retire_worker, _worker_count
from ansible_collections.oncall.pressure.plugins.module_utils._host import _start
from ansible_collections.oncall.pressure.plugins.module_utils._host._files import Files
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine
from ansible_collections.oncall.pressure.plugins.module_utils._host._text import clean

#: Whose workers end after what they do and are replaced by their main process.
COMPONENTS = ("gunicorn", "uvicorn")

#: A new worker is left to itself for so long before the next old one ends, in seconds; whoever waits for the host comes in between.
_BETWEEN_S = 5.0

#: For how long the lease says that we have the host: longer than one worker may take.
_ONE_S = 120.0


def main() -> None:
    """Ends the process: 0 done or nothing to do now, 1 stopped before the end, 2 not understood."""
    words = _start.words()
    if len(words) != 2 or words[0] not in COMPONENTS:
        _start.say("usage, as root: python3 -I %s %s SERVICE" % (_start.program(), "|".join(COMPONENTS)), problem=True)
        _start.end(2)
    machine = Machine()
    well, said = recycle(machine, Files(), words[0], words[1])
    _start.say(said, problem=not well)
    _start.end(0 if well else 1)


def recycle(machine: Machine, files: Files, component: str, service: str) -> tuple[bool, str]:
    """Replace every worker that runs now, the oldest first. Whether all is well, and what was done in one line."""
    name = clean(service, 200)
    pid = _mains.main_process(machine, component, service, None if service.startswith("supervisor:") else service)
    found = _processes.status(machine, pid) if pid is not None else None
    if pid is None or found is None:
        return True, "%s does not run: there is no worker to replace" % name
    base: Operation = {"service": service, "component": component, "pid": pid, "start_ticks": found.start_ticks, "configured": None}
    hands = Hands(machine, files, "")
    replaced = 0
    try:
        # an upgrade under way, a main process that would not start another: nothing is begun
        full = _worker_count.look(hands, base)["workers"]
        if full < 2:
            return True, "%s has one worker, whose successor would not be there yet: nothing is replaced" % name
        for worker, start_ticks in oldest_first(machine, component, pid):
            if replaced:
                machine.sleep(_BETWEEN_S)
            reason = _one(hands, dict(base, worker_pid=worker, worker_start_ticks=start_ticks), full)
            if reason is not None:
                return True, "%s: %d of %d workers replaced; then left alone: %s" % (name, replaced, full, reason)
            replaced += 1
    except (Refused, Failed, OSError) as problem:
        return False, "%s: %d workers replaced; then stopped: %s" % (name, replaced, clean(str(problem), 400))
    return True, "%s: all %d workers replaced" % (name, replaced)


def oldest_first(machine: Machine, component: str, pid: int) -> list[tuple[int, int]]:
    """The workers that live now, with when they were started."""
    found = [(worker, _processes.status(machine, worker)) for worker in _processes.workers(machine, component, pid)]
    return sorted(((worker, status.start_ticks) for worker, status in found if status is not None), key=lambda row: row[1])


def _one(hands: Hands, operation: Operation, full: int) -> str | None:
    """Replace one worker, under the lease; why not, where something else goes first. Raises Refused, Failed, OSError."""
    reason = in_the_way(hands.machine, hands.files)
    if reason is not None:
        return reason
    try:
        lease = _lease.take(hands.machine, hands.files, "recycle-%d" % hands.machine.pid(), "oncall-pressure, by its timer")
    except Refused as problem:
        return str(problem)
    try:
        lease.try_to_say("recycling", _ONE_S)
        # once more, now that nobody else begins anything
        reason = in_the_way(hands.machine, hands.files)
        before = _retire_worker.look(hands, operation)
        if reason is None and before["workers"] < full:
            raise Failed("it has %d workers, and had %d at the beginning" % (before["workers"], full))
        if reason is None and before["worker"]:
            _retire_worker.apply(hands, operation, before)
            now = _retire_worker.look(hands, operation)
            if not _retire_worker.reached(operation, before, now):
                raise Failed("it has %d workers after one was replaced, and had %d" % (now["workers"], before["workers"]))
        return reason
    finally:
        lease.release(0.0)


def in_the_way(machine: Machine, files: Files) -> str | None:
    """What speaks against replacing workers now."""
    if files.exists(READ_ONLY):
        return "this host is set to read-only (%s)" % READ_ONLY
    # what was never begun, of a run that was ended, is nothing; of one that goes on, it has the lock
    waiting = [
        entry.id for entry in _journal.entries(machine) if (entry.state in _journal.PENDING and entry.begun) or entry.state == "undo_failed"
    ]
    return "change %s of this host is open" % waiting[0] if waiting else None
