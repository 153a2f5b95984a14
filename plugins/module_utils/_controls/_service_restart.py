# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The operation ``service_restart``: a service is started anew, watched until it has settled, and found out where it does not stay up.

Private to oncall.pressure: no stable interface. It travels in the undo program.

``{"kind": "service_restart", "service", "unit": name or null, "program": name or null, "component": name or null, "workers": least number or null,
"warm_s": seconds or null, "reload": bool, "settle_s", "start_s"}``, of a unit of systemd or a program of supervisor.
``warm_s``: the main process is asked to end first, alone, and given so long: systemd's own stop asks every process of the unit at once,
which ends a busy child of celery in the middle of its task.
What was lost by a restart cannot be put back: undoing sees to it that a service that ran runs again, and stays up.
"""

from __future__ import annotations

import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._change import _systemctl
from ansible_collections.oncall.pressure.plugins.module_utils._change._kinds import Failed, Hands, Kind, Operation, Refused, Shown, State, nothing_to_save
from ansible_collections.oncall.pressure.plugins.module_utils._controls import _mains, _processes, _supervisor_program
from ansible_collections.oncall.pressure.plugins.module_utils._host._text import clean, decode

TERM: t.Final = 15

_STATE = ("LoadState", "ActiveState", "SubState", "MainPID", "InvocationID", "NRestarts", "Result", "ExecMainCode", "ExecMainStatus")
_UP = ("active", "reloading")
#: systemd and supervisor have time limits of their own for what they are told; this is for those that have none, in seconds
_JOB_S = 400.0
_LOOK_EVERY_S = 0.25


def look(hands: Hands, operation: Operation) -> State:
    """Of a unit what systemd knows of it, of a program its processes. Raises Refused for one that must not or cannot be started."""
    if operation.get("program"):
        return _supervisor_program.look(hands, operation)
    unit = operation["unit"]
    try:
        state: State = dict(_systemctl.show(hands.machine, unit, _STATE))
    except Failed as problem:
        raise Refused(str(problem)) from problem
    check_loaded(unit, state["LoadState"])
    return state


def check_loaded(unit: str, load_state: str) -> None:
    """Raises Refused for a unit that cannot be started whatever is done."""
    name = clean(unit, 200)
    if load_state == "masked":
        raise Refused("%s is masked: somebody decided that it must not run (systemctl unmask %s)" % (name, name))
    if load_state == "not-found":
        raise Refused("systemd has no unit %s" % name)
    if load_state != "loaded":
        raise Refused("the files of %s are not valid (%s): a restart would end it for good; systemctl status %s says why" % (name, clean(load_state, 50), name))


def show(hands: Hands, operation: Operation, before: State) -> Shown:
    """One line; nothing of the moment."""
    if operation.get("program"):
        return _supervisor_program.show(hands, dict(operation, verb="restart"), before)
    return Shown(clean(operation["unit"], 200), clean(before["ActiveState"], 50) + "\n", "active, started anew\n")


def apply(hands: Hands, operation: Operation, before: State) -> None:
    """Stop, start, and watch. Raises Failed with what became of it."""
    if operation.get("program"):
        _restart_program(hands, operation, before)
    else:
        _restart_unit(hands, operation, before)


def _restart_unit(hands: Hands, operation: Operation, before: State) -> None:
    unit = operation["unit"]
    if operation.get("reload"):
        _systemctl.call(hands.machine, ["daemon-reload"], 60.0)
    if before["ActiveState"] == "failed":
        # one that was started too often is not started again before that is forgotten
        _systemctl.call(hands.machine, ["reset-failed", "--", unit], 20.0)
    ended = operation.get("warm_s") and before["MainPID"].isdecimal() and _end_warm(hands, int(before["MainPID"]), float(operation["warm_s"]))
    try:
        if ended:
            _start_ended(hands, unit, before)
        else:
            _systemctl.call(hands.machine, ["restart", "--", unit], _JOB_S)
    except Failed as problem:
        raise Failed("%s; %s" % (problem, _last_words(hands, unit))) from problem
    _watch_unit(hands, operation)


def _end_warm(hands: Hands, pid: int, limit_s: float) -> bool:
    """Whether the main process ended by itself within its time, after it was asked to; what it works on is finished first."""
    seen = hands.machine.process(pid)
    if seen is None or not _processes.has(seen.caught, TERM):
        return False
    if not hands.files.signal(pid, seen.start_ticks, TERM):
        return False
    return _processes.wait_for(hands.machine, lambda: _processes.the_same(hands.machine, pid, seen.start_ticks) is None, limit_s, _LOOK_EVERY_S)


def _start_ended(hands: Hands, unit: str, before: State) -> None:
    """Start a unit whose main process has ended; its own restart may be quicker, and then is the one."""
    end = hands.machine.monotonic() + 30.0
    while True:
        _systemctl.call(hands.machine, ["start", "--", unit], _JOB_S)
        now = _systemctl.show(hands.machine, unit, _STATE)
        # an order that came before systemd noticed the end did nothing
        if now["InvocationID"] != before["InvocationID"] and now["ActiveState"] in _UP:
            return
        if hands.machine.monotonic() > end:
            raise Failed("%s is %s after it was started" % (clean(unit, 200), clean(now["ActiveState"], 50)))
        hands.machine.sleep(_LOOK_EVERY_S)


def _watch_unit(hands: Hands, operation: Operation) -> None:
    """Until it was up with its workers for the settle time. A restart that systemd makes by itself ends the watch, whatever the state is then."""
    unit = operation["unit"]
    name = clean(unit, 200)
    first = _systemctl.show(hands.machine, unit, _STATE)
    begun = hands.machine.monotonic()
    since: float | None = None
    while True:
        now = _systemctl.show(hands.machine, unit, _STATE)
        at = hands.machine.monotonic()
        again = now["NRestarts"] != first["NRestarts"] or now["InvocationID"] != first["InvocationID"]
        if again or now["ActiveState"] not in _UP + ("activating",) or now["SubState"].startswith("auto-restart"):
            raise Failed("%s did not stay up: it ended %.1f s after its start (%s)" % (name, at - begun, _last_words(hands, unit)))
        there, lacking = _complete(hands, operation)
        if now["ActiveState"] in _UP and there:
            since = at if since is None else since
            if at - since >= operation["settle_s"]:
                return
        else:
            since = None
        if at - begun > operation["start_s"] + operation["settle_s"]:
            raise Failed("%s is not whole %.0f s after its start: %s" % (name, at - begun, lacking or "it is %s" % clean(now["ActiveState"], 50)))
        hands.machine.sleep(_LOOK_EVERY_S)


def _complete(hands: Hands, operation: Operation) -> tuple[bool, str]:
    """Whether the workers are back, counted in the kernel, and what is lacking."""
    wanted = operation.get("workers")
    if not wanted:
        return True, ""
    count = count_workers(hands, operation)
    return count >= wanted, "%d of %d workers run" % (count, wanted)


def count_workers(hands: Hands, operation: Operation) -> int:
    """How many workers the service has now."""
    main = _mains.main_process(hands.machine, operation["component"], operation["service"], operation.get("unit"))
    return len(_processes.workers(hands.machine, operation["component"], main)) if main is not None else 0


def _last_words(hands: Hands, unit: str) -> str:
    """How a unit ended, by systemd, and the last line that it said itself. Its properties are those of its next life already, where it has one."""
    try:
        outcome = hands.machine.run(["journalctl", "--no-pager", "-q", "-o", "short", "-n", "20", "-u", unit], 5.0)
    except OSError:
        return "nothing is known of its end"
    return last_words(decode(outcome.out[-16384:]))


def last_words(text: str) -> str:
    """Read the end of a unit's journal."""
    ended = said = ""
    for line in text.split("\n"):
        source, separator, words = line.partition("]: ")
        if not separator:
            continue
        if not source.endswith(" systemd[1"):
            said = words.strip() or said
        elif "Main process exited" in words or "Failed with result" in words:
            ended = words.rpartition(".service: ")[2].strip() if "Main process exited" in words or not ended else ended
    told = [clean(ended, 120)] if ended else []
    told += ["it said: %s" % clean(said, 200)] if said else []
    return "; ".join(told) or "nothing is known of its end"


def _restart_program(hands: Hands, operation: Operation, before: State) -> None:
    pids = [row["pid"] for row in before["processes"].values() if row["pid"]]
    # every one is ended, also behind one that would not
    ended = [_end_warm(hands, pid, float(operation["warm_s"])) for pid in pids] if operation.get("warm_s") else []
    if ended and all(ended):
        _start_ended_program(hands, operation, before, pids)
    else:
        _supervisor_program.apply(hands, dict(operation, verb="restart"), before)
    _watch_program(hands, operation)


def _start_ended_program(hands: Hands, operation: Operation, before: State, old: t.Sequence[int]) -> None:
    """Start processes that have ended; supervisor starts them again by itself, or not, as it is told to."""
    end = hands.machine.monotonic() + 30.0
    while True:
        rows = _supervisor_program.look(hands, operation)["processes"].values()
        if all(row["state"] in ("RUNNING", "STARTING", "BACKOFF") and row["pid"] not in old for row in rows):
            return
        if hands.machine.monotonic() > end:
            raise Failed("%s is not started again" % clean(operation["program"], 200))
        if any(row["state"] in ("EXITED", "STOPPED", "FATAL") and not row["pid"] for row in rows):
            _supervisor_program.apply(hands, dict(operation, verb="start"), before)
        hands.machine.sleep(_LOOK_EVERY_S * 2)


def _watch_program(hands: Hands, operation: Operation) -> None:
    name = clean(operation["program"], 200)
    begun = hands.machine.monotonic()
    first: dict[str, t.Any] = {}
    since: float | None = None
    while True:
        rows = _supervisor_program.look(hands, operation)["processes"]
        at = hands.machine.monotonic()
        up = all(row["state"] == "RUNNING" for row in rows.values())
        pids = {key: row["pid"] for key, row in rows.items()}
        if first and (pids != first or not up) or any(row["state"] in ("FATAL", "BACKOFF", "EXITED", "STOPPED") for row in rows.values()):
            states = ", ".join(sorted({clean(row["state"], 20) for row in rows.values()}))
            raise Failed("%s did not stay up: it ended %.1f s after its start (supervisor calls it %s)" % (name, at - begun, states))
        there, lacking = _complete(hands, operation)
        if up:
            first = pids
        if up and there:
            since = at if since is None else since
            if at - since >= operation["settle_s"]:
                return
        else:
            since = None
        if at - begun > operation["start_s"] + operation["settle_s"]:
            raise Failed("%s is not whole %.0f s after its start: %s" % (name, at - begun, lacking or "supervisor does not call it RUNNING"))
        hands.machine.sleep(_LOOK_EVERY_S * 2)


def reached(operation: Operation, before: State, now: State) -> bool:
    """Whether it runs, and is not the one that ran before."""
    if operation.get("program"):
        return _supervisor_program.reached(dict(operation, verb="restart"), before, now)
    return now["ActiveState"] in _UP and now["InvocationID"] != before["InvocationID"]


def undo(hands: Hands, operation: Operation, before: State, force: bool) -> str:
    """See to it that a service that ran runs, and stays up. Raises Failed where it does not."""
    if operation.get("program"):
        said = _supervisor_program.undo(hands, dict(operation, verb="restart"), before, force)
        if not hands.booting and all(row["state"] in ("RUNNING", "STARTING") for row in before["processes"].values()):
            _watch_program(hands, operation)
        return said
    unit = operation["unit"]
    name = clean(unit, 200)
    now = _systemctl.show(hands.machine, unit, _STATE)
    ran = before["ActiveState"] in _UP + ("activating",)
    runs = now["ActiveState"] in _UP
    if not ran:
        return "%s is %s; it was %s" % (name, clean(now["ActiveState"], 50), clean(before["ActiveState"], 50))
    if hands.booting:
        # a job waited for here would wait for us
        if not runs:
            _systemctl.call(hands.machine, ["--no-block", "start", "--", unit], 60.0)
        return "%s: %s" % (name, "running" if runs else "start is ordered")
    if not runs:
        if now["ActiveState"] == "failed":
            _systemctl.call(hands.machine, ["reset-failed", "--", unit], 20.0)
        _systemctl.call(hands.machine, ["start", "--", unit], _JOB_S)
    if before["SubState"].startswith("auto-restart"):
        return "%s: started" % name
    try:
        _watch_unit(hands, operation)
    except Failed:
        # the life that ended may have been begun before its cause was mended
        _systemctl.call(hands.machine, ["start", "--", unit], _JOB_S)
        _watch_unit(hands, operation)
    return "%s: %s" % (name, "running" if runs else "started again")


KIND: t.Final = Kind(look=look, show=show, save=nothing_to_save, apply=apply, reached=reached, undo=undo)
