# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Plan the restart of one service: whether it may be, what is known to go wrong beforehand, how it is ended warm.

Private to oncall.pressure: no stable interface. Looks only; what it plans is done by the engine. It never travels in an undo program.
"""

from __future__ import annotations

import re
import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._change import _systemctl
from ansible_collections.oncall.pressure.plugins.module_utils._change._engine import Plan
from ansible_collections.oncall.pressure.plugins.module_utils._change._kinds import Failed, Hands, Operation, Refused
from ansible_collections.oncall.pressure.plugins.module_utils._components import _all, _launches, _units
from ansible_collections.oncall.pressure.plugins.module_utils._controls import (
    _celery_remote, _mains, _processes, _restart_checks, _service_restart, _supervisor_program,
)
from ansible_collections.oncall.pressure.plugins.module_utils._controls._restart_checks import Check
from ansible_collections.oncall.pressure.plugins.module_utils._host._files import Files
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine
from ansible_collections.oncall.pressure.plugins.module_utils._host._text import clean
from ansible_collections.oncall.pressure.plugins.module_utils._parse import _unit_file

MITIGATION: t.Final = "restart_service"

_PROPERTIES = (
    "Id", "LoadState", "ActiveState", "SubState", "Result", "MainPID", "NRestarts", "NeedDaemonReload", "FragmentPath", "DropInPaths", "ExecStart", "ExecStop",
    "WorkingDirectory", "KillMode", "KillSignal", "TimeoutStopUSec", "MemoryMax", "MemoryLimit", "ActiveEnterTimestampMonotonic", "RefuseManualStart",
    "RefuseManualStop",
)

#: A unit that its manager has started so often, the last time less than so many seconds ago, is in a crash loop. One kill is none.
_LOOP_RESTARTS = 3
_LOOP_S = 120.0

#: How long a program of supervisor may take to end warm, whose own limit is not read, in seconds.
_PROGRAM_WARM_S = 60.0

_ELSEWHERE = {"docker": "its compose file or docker run", "session": "it is a login", "process": "nobody manages it"}
_LIFELINES = re.compile(r"(?:dbus(?:-broker)?|systemd-.*|user@.*|ssh|sshd)\.service\Z")
_DATA = ("postgres", "redis", "docker")


class Wish(t.NamedTuple):
    """What is asked for; times in seconds. ``check_application``: load it once beforehand, where memory allows it."""

    service: str
    warm: bool = True
    force: bool = False
    daemon_reload: bool = False
    check_application: bool = True
    settle_s: float = 5.0
    start_s: float = 60.0


class _Known(t.NamedTuple):
    """What is known of the service: its component (null where it is none of ours), its main process and its workers now, the number that is configured."""

    component: str | None
    main_pid: int | None
    workers: list[int]
    configured: int | None


def plan(machine: Machine, wish: Wish) -> Plan:
    """Look, check and plan. Raises Refused."""
    kind, separator, name = wish.service.partition(":")
    if kind == "supervisor" and name:
        return _plan_program(machine, wish, name)
    if separator and kind in _ELSEWHERE:
        raise Refused("%s is not restarted here: %s" % (clean(wish.service, 200), _ELSEWHERE[kind]))
    unit = wish.service if "." in wish.service.rpartition("@")[2] else wish.service + ".service"
    if not re.match(r"[A-Za-z0-9:_.\\@-]+\.service\Z", unit) or unit.startswith("-"):
        raise Refused("%s is no service unit: say UNIT.service or supervisor:PROGRAM" % clean(wish.service, 200))
    if not _systemctl.present(machine):
        raise Refused("systemd does not run this host: only supervisor:PROGRAM can be restarted here")
    return _plan_unit(machine, wish, unit)


def _plan_unit(machine: Machine, wish: Wish, unit: str) -> Plan:
    try:
        shown = _systemctl.show(machine, unit, _PROPERTIES)
    except Failed as problem:
        raise Refused(str(problem)) from problem
    check_state(unit, shown, wish, machine.uptime_s())
    known = _known_unit(machine, unit, shown)
    if known.component in _DATA and not wish.force:
        raise Refused("%s runs %s: everyone who uses it is cut off, and what it has not written is lost; say force" % (unit, known.component))
    checks = [_restart_checks.unit_files(machine, unit)]
    if known.component == "nginx" or unit == "nginx.service":
        checks.append(_restart_checks.nginx(machine, known.main_pid))
    if known.component == "gunicorn" and wish.check_application:
        limit = _unit_file.number(shown["MemoryMax"])
        limit = limit if limit is not None else _unit_file.number(shown["MemoryLimit"])
        checks.append(_restart_checks.gunicorn(machine, known.main_pid, known.workers, limit))
    _refuse_failed(unit, checks)
    warm_s, how = warm_unit(shown, known.component, known.main_pid is not None and _is_main(machine, known), wish.warm)
    operation: Operation = {
        "kind": "service_restart", "service": unit, "unit": unit, "program": None, "component": known.component, "workers": wanted(known), "warm_s": warm_s,
        "reload": wish.daemon_reload and shown["NeedDaemonReload"] == "yes", "settle_s": wish.settle_s, "start_s": wish.start_s,
    }
    state = "%s (%s)" % (shown["ActiveState"], shown["SubState"])
    return _plan(machine, wish, operation, known, checks, how, state)


def check_state(unit: str, shown: t.Mapping[str, str], wish: Wish, uptime_s: float) -> None:
    """Raises Refused for a unit that is not to be restarted as it is, with what can be said or done instead."""
    _service_restart.check_loaded(unit, shown["LoadState"])
    if _LIFELINES.match(unit):
        raise Refused("%s is what this host is reached and run by" % unit)
    if "yes" in (shown["RefuseManualStart"], shown["RefuseManualStop"]):
        raise Refused("%s is set to refuse a restart by hand (RefuseManualStart, RefuseManualStop)" % unit)
    if shown["NeedDaemonReload"] == "yes" and not wish.daemon_reload:
        raise Refused(
            "the files of %s were changed since systemd read them (%s): a restart would bring back the former version now, and the new one after the next boot;"
            " look at the change, then say daemon_reload" % (unit, clean(" ".join([shown["FragmentPath"], shown["DropInPaths"]]).strip(), 300))
        )
    if wish.force:
        return
    again = int(shown["NRestarts"]) if shown["NRestarts"].isdecimal() else 0
    entered = shown["ActiveEnterTimestampMonotonic"]
    age_s = uptime_s - int(entered) / 1e6 if entered.isdecimal() and int(entered) else None
    recent = shown["SubState"].startswith("auto-restart") or (age_s is not None and age_s < _LOOP_S)
    if shown["Result"] == "start-limit-hit" or (again >= _LOOP_RESTARTS and recent):
        raise Refused(
            "%s is in a crash loop (%d restarts by itself, last result %s): one more start changes nothing of why it ends;"
            " look there first (journalctl -u %s), or say force" % (unit, again, clean(shown["Result"], 50), unit)
        )
    if shown["ActiveState"] == "inactive":
        raise Refused("%s does not run and has not failed: somebody stopped it; start it with systemctl start %s, or say force" % (unit, unit))


def _known_unit(machine: Machine, unit: str, shown: t.Mapping[str, str]) -> _Known:
    main_pid = int(shown["MainPID"]) if shown["MainPID"].isdecimal() and shown["MainPID"] != "0" else None
    component: str | None = None
    configured = None
    launch = _units.configured_launch(machine, unit, shown)
    if launch is not None:
        component = _all.identity(launch.command)[0]
        configured = _count(_all.settings(launch, machine))
    if component is None and main_pid is not None:
        process = _launches.look(machine, main_pid, (machine.text_or_none("/proc/%d/comm" % main_pid, 64) or "").strip())
        component = process.what.component if process is not None and process.what.component not in ("other", "host") else None
    return _known(machine, unit, unit, component, main_pid, configured)


def _known(machine: Machine, service: str, unit: str | None, component: str | None, main_pid: int | None, configured: int | None) -> _Known:
    workers: list[int] = []
    if component in ("gunicorn", "uvicorn", "celery", "rq"):
        # a unit may run a shell, and that the master
        main = _mains.main_process(machine, component, service, unit)
        if main is not None:
            main_pid = main
            workers = _processes.workers(machine, component, main)
    return _Known(component, main_pid, workers, configured)


def _count(settings: t.Mapping[str, t.Any] | None) -> int | None:
    row = (settings or {}).get("workers")
    value = row.get("value") if isinstance(row, dict) else None
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def wanted(known: _Known) -> int | None:
    """How many workers must be back: never more than there were, nor than its files ask for; null where it has none to be counted."""
    if not known.workers:
        return 1 if known.component == "gunicorn" else None
    return min(len(known.workers), known.configured) if known.configured else 1


def _is_main(machine: Machine, known: _Known) -> bool:
    """Whether the main process is the worker program itself, which knows what to do when it is asked to end; no shell around it."""
    argv = _processes.words(machine, known.main_pid) if known.main_pid is not None else []
    if known.component == "celery":
        return _celery_remote.command(argv) is not None
    return known.component == "rq" and any(word.rpartition("/")[2] in ("rq", "rqworker", "rq.cli", "rq.cli.cli") for word in argv[:4])


def warm_unit(shown: t.Mapping[str, str], component: str | None, is_main: bool, wished: bool) -> tuple[float | None, str]:
    """How long its main process is asked to end alone (null: the unit's own way of stopping is used), and that in words."""
    limit_s = _unit_file.seconds(shown["TimeoutStopUSec"])
    within = "within %g s (TimeoutStopSec)" % limit_s if limit_s is not None else "however long it takes (TimeoutStopSec=infinity)"
    if component == "gunicorn":
        return None, "stopped by systemd: workers finish their requests %s; never by SIGHUP, which would start the new ones first" % within
    if component not in ("celery", "rq"):
        return None, "stopped by systemd %s" % within
    if not wished:
        return None, "stopped by systemd: what it works on may be lost"
    if shown["ExecStop"] or shown["KillMode"] != "control-group":
        return None, "stopped the way its unit says (%s) %s" % ("ExecStop" if shown["ExecStop"] else "KillMode=" + clean(shown["KillMode"], 30), within)
    if not is_main:
        return None, "stopped by systemd, since its main process is a wrapper that would not pass on the order: what it works on may be lost"
    if limit_s is None:
        limit_s = 600.0
    return limit_s, "warm: its main process alone is asked to end and may finish what it works on within %g s; then it is started again" % limit_s


def _plan_program(machine: Machine, wish: Wish, program: str) -> Plan:
    if not re.match(r"[^\s\x00-\x1f:-][^\s\x00-\x1f]*\Z", program):
        raise Refused("%s is no name of a supervisor program" % clean(program, 200))
    look: Operation = {"program": program}
    rows = _supervisor_program.look(Hands(machine, Files(), ""), look)["processes"]
    states = sorted({str(row["state"]) for row in rows.values()})
    if not wish.force and any(state in ("BACKOFF", "FATAL") for state in states):
        raise Refused("supervisor calls %s %s: it ends as soon as it is started; look there first (supervisorctl tail %s stderr), or say force" % (
            clean(program, 200), ", ".join(states), clean(program, 200)))
    if not wish.force and any(state == "STOPPED" for state in states):
        raise Refused("%s is stopped: somebody stopped it; say force to start it" % clean(program, 200))
    known = _known_program(machine, program, [row["pid"] for row in rows.values() if row["pid"]])
    checks: list[Check] = []
    if known.component == "gunicorn" and wish.check_application:
        checks.append(_restart_checks.gunicorn(machine, known.main_pid, known.workers, None))
    _refuse_failed(wish.service, checks)
    warm_s, how = None, "stopped by supervisor within its stopwaitsecs"
    if known.component in ("celery", "rq") and wish.warm and known.main_pid is not None and _is_main(machine, known):
        warm_s = _PROGRAM_WARM_S
        how = "warm: its main process alone is asked to end and may finish what it works on within %g s; then it is started again" % warm_s
    operation: Operation = {
        "kind": "service_restart", "service": wish.service, "unit": None, "program": program, "component": known.component, "workers": wanted(known),
        "warm_s": warm_s, "reload": False, "settle_s": wish.settle_s, "start_s": wish.start_s,
    }
    return _plan(machine, wish, operation, known, checks, how, ", ".join(states).lower())


def _known_program(machine: Machine, program: str, pids: t.Sequence[int]) -> _Known:
    found = {pid: _launches.look(machine, pid, (machine.text_or_none("/proc/%d/comm" % pid, 64) or "").strip()) for pid in pids}
    components = {row.what.component for row in found.values() if row is not None and row.what.component not in ("other", "host")}
    row = _launches.supervisor_programs(machine, _launches.candidates(machine, frozenset())).get("supervisor:" + program) or {}
    component = row.get("component") or (components.pop() if len(components) == 1 else None)
    main_pid = pids[0] if len(pids) == 1 else None
    known = _known(machine, "supervisor:" + program, None, component, main_pid, _count(row.get("settings")))
    # several processes of one program have their workers each: those cannot be told by one main process
    return known if len(pids) == 1 else known._replace(workers=[], component=None if component == "gunicorn" else component)


def _refuse_failed(service: str, checks: t.Sequence[Check]) -> None:
    failed = [check for check in checks if check.result == _restart_checks.FAILED]
    if failed:
        raise Refused("%s would not come back: %s" % (service, "; ".join("%s: %s" % (check.what, check.says) for check in failed)))


def _plan(machine: Machine, wish: Wish, operation: Operation, known: _Known, checks: t.Sequence[Check], how: str, state: str) -> Plan:
    tasks = _tasks(machine, wish.service, known)
    notes: dict[str, t.Any] = {
        "was": {"state": state, "workers": len(known.workers) if known.workers else None, "component": known.component}, "workers_wanted": operation["workers"],
        "stop": how, "checks": [check.row() for check in checks], "tasks": tasks,
    }
    notes["summary"] = _summary(wish.service, notes)
    # a service that ran runs again after an undo; what a restart loses does not come back
    return Plan(MITIGATION, operation["service"], [operation], settle_s=0.0, notes=notes, reversible="partly")


def _tasks(machine: Machine, service: str, known: _Known) -> dict[str, t.Any]:
    """Tasks that are worked on now, where celery can be asked with the memory that is free; null and why where not."""
    if known.component != "celery":
        return {"active": None, "reason": "not a celery worker"}
    found = machine.process(known.main_pid) if known.main_pid is not None else None
    if found is None or known.main_pid is None:
        return {"active": None, "reason": "it does not run"}
    try:
        with _celery_remote.client(machine, {"service": service, "pid": known.main_pid, "start_ticks": found.start_ticks}) as client:
            return {"active": len(client.active_pids()), "reason": None}
    except Refused as problem:
        return {"active": None, "reason": clean(str(problem), 300)}


def _summary(service: str, notes: t.Mapping[str, t.Any]) -> list[str]:
    """The same in lines for a screen."""
    was = notes["was"]
    lines = ["%s: %s%s" % (service, was["state"], ", %d workers" % was["workers"] if was["workers"] else "")]
    lines.append(notes["stop"])
    lines += ["%s: %s%s" % (check["what"], check["result"], ", " + check["says"] if check["says"] else "") for check in notes["checks"]]
    if was["component"] == "celery":
        tasks = notes["tasks"]
        lines.append("tasks worked on: %s" % (tasks["active"] if tasks["active"] is not None else "not known, %s" % tasks["reason"]))
    return lines
