# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The operation ``rq_workers``: one rq worker, a unit or a supervisor process of its own, ends after its job and stays down.

Private to oncall.pressure: no stable interface.

``{"kind": "rq_workers", "service", "unit" or null, "program" (a supervisor process, GROUP:NAME) or null, "pid", "start_ticks"}``.
State: ``{"running": bool, "restart": the unit's Restart=}``.

systemd's stop signals every process of the unit, the one that runs the job included: the job fails. So the worker itself is told first, once
(a second SIGTERM kills the job): it finishes what it has and ends. Then the unit is stopped, before it has taken another job.
"""

from __future__ import annotations

import signal
import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._change._kinds import Failed, Hands, Kind, Operation, Refused, Shown, State, nothing_to_save
from ansible_collections.oncall.pressure.plugins.module_utils._controls import _processes, _supervisor_program
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine
from ansible_collections.oncall.pressure.plugins.module_utils._host._text import clean, decode

#: How long an idle moment of a worker that would not come back by itself is waited for, and how long a job may take to end, in seconds.
_IDLE_S = 30.0
_JOB_S = 120.0
_ACTIVE = ("active", "activating", "reloading")


def busy(machine: Machine, pid: int) -> bool:
    """Whether a worker runs a job: in a child that ignores SIGINT, unlike the scheduler that may run beside it."""
    found = (_processes.status(machine, child) for child in machine.children(pid))
    return any(one is not None and _processes.has(one.ignored, _processes.INT) for one in found)


def _unit(machine: Machine, unit: str) -> dict[str, str]:
    try:
        outcome = machine.run(["systemctl", "show", "--no-pager", "--property=LoadState,ActiveState,Restart", "--", unit], 20.0)
    except FileNotFoundError as problem:
        raise Failed("there is no systemctl on this host") from problem
    return dict(line.partition("=")[::2] for line in decode(outcome.out).split("\n") if "=" in line)


def look(hands: Hands, operation: Operation) -> State:
    """Whether it runs. Raises Refused where it is not there."""
    if operation.get("unit"):
        try:
            shown = _unit(hands.machine, operation["unit"])
        except Failed as problem:
            raise Refused(str(problem)) from problem
        if shown.get("LoadState") != "loaded":
            raise Refused("systemd has no unit %s that could be stopped" % clean(operation["unit"], 200))
        return {"running": shown.get("ActiveState") in _ACTIVE, "restart": shown.get("Restart", "no")}
    state = _supervisor_program.look(hands, {"program": operation["program"]})
    return {"running": any(row["state"] in ("RUNNING", "STARTING", "BACKOFF") for row in state["processes"].values()), "restart": "unknown"}


def show(hands: Hands, operation: Operation, before: State) -> Shown:
    """One line."""
    return Shown("rq worker " + clean(operation.get("unit") or operation["program"], 200), "running\n", "stopped, after the job that it works on\n")


def reached(operation: Operation, before: State, now: State) -> bool:
    """It is down."""
    return not now["running"]


def apply(hands: Hands, operation: Operation, before: State) -> None:
    """Tell it once, wait for its end, keep it down."""
    machine = hands.machine
    name, pid, ticks = clean(operation.get("unit") or operation["program"], 200), operation["pid"], operation["start_ticks"]
    if _processes.the_same(machine, pid, ticks) is None:
        raise Refused("%s: its process is another than the one that was measured (it was restarted meanwhile); measure again" % name)
    if before["restart"] not in ("always", "on-success") and not _processes.wait_for(machine, lambda: not busy(machine, pid), _IDLE_S, 0.02):
        # were it told now and the change taken back meanwhile, nothing would start it again when its job ends
        raise Failed("%s has been busy for %d s; stop it when its job has ended" % (name, _IDLE_S))
    if not _told(hands, operation):
        hands.files.append(_note_path(hands, operation), b"told\n")
        hands.files.signal(pid, ticks, signal.SIGTERM)
    if not _processes.wait_for(machine, lambda: _processes.the_same(machine, pid, ticks) is None, _JOB_S, 0.02):
        raise Failed("%s still works on its job after %d s; nothing is lost, it ends after it" % (name, _JOB_S))
    _order(hands, operation, "stop")


def _order(hands: Hands, operation: Operation, verb: str) -> None:
    if not operation.get("unit"):
        _supervisor_program.apply(hands, {"verb": verb}, {"processes": {operation["program"]: {}}})
        return
    no_block = ["--no-block"] if hands.booting else []
    outcome = hands.machine.run(["systemctl", "--no-pager", "--no-ask-password"] + no_block + [verb, "--", operation["unit"]], _JOB_S)
    if outcome.status != 0:
        raise Failed("systemctl %s %s: %s" % (verb, clean(operation["unit"], 200), clean(decode(outcome.err).strip().split("\n")[0], 200) or "timed out"))


def undo(hands: Hands, operation: Operation, before: State, force: bool) -> str:
    """Runs again, if it ran."""
    machine, name = hands.machine, clean(operation.get("unit") or operation["program"], 200)
    if not before["running"]:
        return "%s did not run before" % name

    def going() -> bool:
        return _processes.the_same(machine, operation["pid"], operation["start_ticks"]) is not None

    if _told(hands, operation) and going() and not _processes.wait_for(machine, lambda: not going(), 60.0):
        return "%s finishes its job, and is started again by its manager after it" % name
    try:
        if look(hands, operation)["running"]:
            return "%s runs: nothing to put back" % name
    except Refused as problem:
        if hands.booting and not operation.get("unit"):
            return "supervisor is not up yet: it starts %s by its configuration" % name
        raise Failed(str(problem)) from problem
    _order(hands, operation, "start")
    if not hands.booting and not _processes.wait_for(machine, lambda: bool(look(hands, operation)["running"]), 20.0, 0.5):
        raise Failed("%s does not start" % name)
    return "%s: started again" % name


# A worker that was told to end and still works on its job looks like any other: kept in the entry's folder, so that it is never told twice.


def _note_path(hands: Hands, operation: Operation) -> str:
    return "%s/rq_workers-%d-%d" % (hands.folder, operation["pid"], operation["start_ticks"])


def _told(hands: Hands, operation: Operation) -> bool:
    return hands.machine.exists(hands.files.root + _note_path(hands, operation))


KIND: t.Final = Kind(look=look, show=show, save=nothing_to_save, apply=apply, reached=reached, undo=undo)
