# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The operation ``supervisor_program``: stop, start or restart a program of supervisor.

Private to oncall.pressure: no stable interface.

``{"kind": "supervisor_program", "program", "verb": "stop" or "start" or "restart"}``. ``program`` is a program (all its processes) or one process
(``GROUP:NAME``). State: ``{"processes": {FULL NAME: {"state", "pid": number or null}}}``; one that supervisor calls running must also live.
"""

from __future__ import annotations

import re
import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._change._kinds import Failed, Hands, Kind, Operation, Refused, Shown, State, nothing_to_save
from ansible_collections.oncall.pressure.plugins.module_utils._controls import _mains, _processes
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine
from ansible_collections.oncall.pressure.plugins.module_utils._host._text import clean, decode

_LINE = re.compile(r"(?P<name>\S+)\s+(?P<state>[A-Z]+)(?:\s+pid (?P<pid>\d+),)?")
_UP = ("RUNNING", "STARTING")
_DOWN = ("STOPPED", "EXITED", "FATAL")

#: supervisor gives a program its own time to end (stopwaitsecs) and to start (startsecs), in seconds.
_JOB_S = 300.0


def status(machine: Machine) -> dict[str, dict[str, t.Any]]:
    """Every process that supervisor knows, by its full name. Raises Failed where it cannot be asked."""
    text = _call(machine, ["status"], 20.0)
    found: dict[str, dict[str, t.Any]] = {}
    for line in text.split("\n"):
        match = _LINE.match(line)
        if match:
            found[match.group("name")] = {"state": match.group("state"), "pid": int(match.group("pid")) if match.group("pid") else None}
    if not found and text.strip():
        raise Failed("supervisor cannot be asked: %s" % clean(text.strip().split("\n")[0], 200))
    return found


def _call(machine: Machine, words: t.Sequence[str], timeout_s: float) -> str:
    """What supervisorctl prints. Its exit status says little: it is not 0 where any program does not run."""
    try:
        outcome = machine.run(["supervisorctl"] + _mains.supervisor_options(machine) + list(words), timeout_s)
    except FileNotFoundError as problem:
        raise Failed("there is no supervisorctl on this host") from problem
    if outcome.timed_out:
        raise Failed("supervisorctl %s did not end within %d s" % (clean(" ".join(words), 200), timeout_s))
    return decode(outcome.out)


def belongs(full_name: str, program: str) -> bool:
    """Whether a process is this one, one of this group, or one of this program's numbered processes."""
    group, separator, process = full_name.partition(":")
    if full_name == program or group == program:
        return True
    return bool(separator and re.fullmatch(re.escape(program) + r"(?:_\d+)?", process))


def look(hands: Hands, operation: Operation) -> State:
    """The program's processes. Raises Refused where there is no such program."""
    try:
        everything = status(hands.machine)
    except Failed as problem:
        raise Refused(str(problem)) from problem
    mine = {name: row for name, row in everything.items() if belongs(name, operation["program"])}
    if not mine:
        raise Refused("supervisor has no program %s" % clean(operation["program"], 200))
    for row in mine.values():
        if row["state"] == "RUNNING" and (row["pid"] is None or _processes.status(hands.machine, row["pid"]) is None):
            row["state"] = "EXITED"
    return {"processes": mine}


def show(hands: Hands, operation: Operation, before: State) -> Shown:
    """One line for each process."""
    after = {"stop": "stopped", "start": "running", "restart": "running, started anew"}[operation["verb"]]
    names = sorted(before["processes"])
    was = ["%s: %s\n" % (clean(name, 200), "running" if before["processes"][name]["state"] in _UP else "stopped") for name in names]
    return Shown("supervisor program %s" % clean(operation["program"], 200), "".join(was), "".join("%s: %s\n" % (clean(name, 200), after) for name in names))


def reached(operation: Operation, before: State, now: State) -> bool:
    """By supervisor's word and by the processes."""
    rows = now["processes"].values()
    if operation["verb"] == "stop":
        return all(row["state"] in _DOWN for row in rows)
    if any(row["state"] != "RUNNING" for row in rows):
        return False
    if operation["verb"] == "start":
        return True
    former = {row["pid"] for row in before["processes"].values()}
    return not any(row["pid"] in former for row in rows)


def apply(hands: Hands, operation: Operation, before: State) -> None:
    """One order for all its processes; supervisor does one after another."""
    _order(hands.machine, operation["verb"], sorted(before["processes"]))


def _order(machine: Machine, verb: str, names: t.Sequence[str]) -> None:
    text = _call(machine, [verb] + list(names), _JOB_S)
    for line in text.split("\n"):
        # "already started" and "not running" are what was wanted
        if "ERROR" in line and "already started" not in line and "not running" not in line:
            raise Failed("supervisorctl %s: %s" % (verb, clean(line, 200)))


def undo(hands: Hands, operation: Operation, before: State, force: bool) -> str:
    """Every process runs again that ran, and none that did not."""
    name = clean(operation["program"], 200)
    try:
        now = look(hands, operation)["processes"]
    except Refused as problem:
        if hands.booting:
            return "supervisor is not up yet: it starts %s by its configuration" % name
        raise Failed(str(problem)) from problem
    start = sorted(key for key, row in before["processes"].items() if row["state"] in _UP and key in now and now[key]["state"] not in _UP)
    stop = sorted(key for key, row in before["processes"].items() if row["state"] in _DOWN and key in now and now[key]["state"] in _UP)
    if operation["verb"] != "start":
        stop = []
    for verb, names in (("start", start), ("stop", stop)):
        if names:
            _order(hands.machine, verb, names)
    if not start and not stop:
        return "%s: nothing to put back" % name
    after = look(hands, operation)["processes"]
    if any(after[key]["state"] not in _UP for key in start if key in after) or any(after[key]["state"] in _UP for key in stop if key in after):
        raise Failed("%s is not as it was after supervisorctl %s" % (name, "start" if start else "stop"))
    return "%s: %s again" % (name, "started" if start else "stopped")


KIND: t.Final = Kind(look=look, show=show, save=nothing_to_save, apply=apply, reached=reached, undo=undo)
