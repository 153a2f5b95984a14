# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Units and supervisor programs that run a known component: state, restarts, limits, settings with the layer that set them.

Private to oncall.pressure: no stable interface. Read-only. Units are asked for in one call; their own text is read for what
``systemctl show`` loses (quoting, lines), so that a unit that is down between two restarts has its settings too.
"""

from __future__ import annotations

import re
import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._components import _all, _launches, _settings
from ansible_collections.oncall.pressure.plugins.module_utils._components._recognise import recognise
from ansible_collections.oncall.pressure.plugins.module_utils._components._settings import Launch, Origin, Variable
from ansible_collections.oncall.pressure.plugins.module_utils._host._collect import Options, Reading, absent, ok, partial
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import OUTPUT_LIMIT, Machine
from ansible_collections.oncall.pressure.plugins.module_utils._host._text import decode
from ansible_collections.oncall.pressure.plugins.module_utils._parse import _command_line, _unit_file

_PROPERTIES = (
    "Id,LoadState,ActiveState,SubState,Result,NRestarts,MainPID,ControlGroup,FragmentPath,DropInPaths,ExecStart,WorkingDirectory,User,MemoryMax,MemoryHigh,"
    "MemoryLimit,CPUQuotaPerSecUSec,TasksMax,OOMPolicy,Restart,Type,ExecMainStatus,ExecMainCode,StateChangeTimestampMonotonic,ActiveEnterTimestampMonotonic"
)
#: systemd works out everything of each unit that is shown, so the many that have done their work are left out (releases before 230 show them too)
SHOW = (
    "systemctl", "show", "--no-pager", "--state=running,failed,activating,deactivating,reloading", "--property=" + _PROPERTIES, "*.service"
)
_TIME_LIMIT_S = 4.0

#: a unit whose command holds none of these starts none of the programs whose settings we read
_WORTH = re.compile(r"u[nv]icorn|hypercorn|celery|rq|flower|manage|python|sh\b|\$|run|env")


def collect(machine: Machine, options: Options) -> Reading:
    """``{"units": {ID: row}, "programs": {"supervisor:NAME": row}, "processes": {PID: row}}``.

    A unit's row has id, name, manager, component, role (null where it runs nothing we know), state, restarts, result, main_pid,
    memory_limit_bytes, memory_high_bytes, cpu_quota (CPUs), tasks_limit, oom_policy, restart, cgroup, since_s, started_age_s, settings (those in effect),
    written (those that its files say now, which differ until a restart; null where they start none of ours).
    A program's has name, component, role, count, settings; a process's (a master's) component, role, settings.
    """
    found = _launches.candidates(machine, options.own_pids)
    problem: str | None = None
    units: dict[str, dict[str, t.Any]] = {}
    systemd = machine.exists("/run/systemd/system")
    if systemd:
        units, problem = _units(machine, found)
    programs = _launches.supervisor_programs(machine, found)
    main_pids = {row["main_pid"] for row in units.values() if row["settings"] is not None}
    processes: dict[str, dict[str, t.Any]] = {}
    for process in _launches.masters(found):
        if process.pid in main_pids:
            continue
        launch = _launches.launch(machine, process)
        settings = None if launch is None else _all.settings(launch, machine)
        processes[str(process.pid)] = {"component": process.what.component, "role": process.what.role, "settings": settings}
    data = {"units": units, "programs": programs, "processes": processes}
    if problem is not None:
        return partial(data, problem)
    if not systemd and not programs and not processes:
        return absent("neither systemd nor supervisor nor a known program runs here")
    return ok(data)


def _units(machine: Machine, found: t.Mapping[int, _launches.Process]) -> tuple[dict[str, dict[str, t.Any]], str | None]:
    """Every service unit that is not simply inactive, and what could not be asked."""
    try:
        outcome = machine.run(SHOW, _TIME_LIMIT_S)
    except FileNotFoundError:
        return {}, "there is no systemctl: states of units are not known"
    out = decode(outcome.out)
    answer = _unit_file.shown(out)
    if outcome.timed_out:
        problem: str | None = "systemctl did not answer within %g s" % _TIME_LIMIT_S
    else:
        problem = _unit_file.trouble(outcome.status, out, decode(outcome.err), answer, len(outcome.out) + len(outcome.err) >= OUTPUT_LIMIT)
    units: dict[str, dict[str, t.Any]] = {}
    uptime_s = machine.uptime_s()
    for shown in answer:
        unit = shown.get("Id", "")
        if not unit or shown.get("LoadState") == "not-found" or (shown.get("ActiveState") == "inactive" and shown.get("Result", "success") == "success"):
            continue
        units[unit] = _unit(machine, unit, shown, found, uptime_s)
    return units, problem


def _unit(machine: Machine, unit: str, shown: t.Mapping[str, str], found: t.Mapping[int, _launches.Process], uptime_s: float) -> dict[str, t.Any]:
    limit = _unit_file.number(shown.get("MemoryMax"))
    row: dict[str, t.Any] = {
        "id": unit, "name": unit, "manager": "systemd", "component": None, "role": None, "state": _state(shown),
        "restarts": _unit_file.number(shown.get("NRestarts")), "result": shown.get("Result") or None,
        "main_pid": _unit_file.number(shown.get("MainPID")) or None,
        # cgroup version 1 has only the older setting
        "memory_limit_bytes": limit if limit is not None else _unit_file.number(shown.get("MemoryLimit")),
        "memory_high_bytes": _unit_file.number(shown.get("MemoryHigh")), "cpu_quota": _unit_file.seconds(shown.get("CPUQuotaPerSecUSec", "")),
        "tasks_limit": _unit_file.number(shown.get("TasksMax")), "oom_policy": shown.get("OOMPolicy") or None, "restart": shown.get("Restart") or None,
        "cgroup": shown.get("ControlGroup") or None, "since_s": _age(shown.get("StateChangeTimestampMonotonic"), uptime_s),
        "started_age_s": _age(shown.get("ActiveEnterTimestampMonotonic"), uptime_s), "settings": None, "written": None,
    }
    configured = None
    if _WORTH.search(shown.get("ExecStart", "")):
        configured = configured_launch(machine, unit, shown)
    running = _running(machine, row["main_pid"], found)
    if configured is not None:
        row["component"], row["role"] = _all.identity(configured.command)
        row["settings"] = _all.settings(configured, machine)
        row["written"] = row["settings"]
    if running is not None and row["component"] in (None, _all.identity(running.command)[0]):
        row["component"], row["role"] = _all.identity(running.command)
        row["settings"] = _together(_all.settings(running, machine), row["settings"])
    if row["component"] is None:
        process = _launches.look(machine, row["main_pid"], "") if row["main_pid"] is not None else None
        what = process.what if process is not None else recognise("", _unit_file.shown_argv(shown.get("ExecStart", "")), None)
        if what.component != "other" or what.role != "other":
            row["component"], row["role"] = what.component, what.role
    return row


def _state(shown: t.Mapping[str, str]) -> str:
    active, sub = shown.get("ActiveState", ""), shown.get("SubState", "")
    if active == "failed":
        return "failed"
    if sub.startswith("auto-restart") or (active == "activating" and (_unit_file.number(shown.get("NRestarts")) or 0) > 0):
        return "restarting"
    if active in ("active", "reloading", "activating"):
        return "stopped" if sub in ("exited", "dead") else "running"
    return "stopped" if active in ("inactive", "deactivating") else "unknown"


def _age(microseconds: str | None, uptime_s: float) -> float | None:
    """How long ago a moment of the monotonic clock was, in seconds; a machine that slept makes it a little too long."""
    value = _unit_file.number(microseconds)
    return None if not value else round(max(uptime_s - value / 1e6, 0.0), 1)


def configured_launch(machine: Machine, unit: str, shown: t.Mapping[str, str]) -> Launch | None:
    """How a unit starts its program, from its files' own text; null where it starts none of ours."""
    fragment = shown.get("FragmentPath", "")
    files: list[tuple[str, str]] = []
    for path in [fragment] + shown.get("DropInPaths", "").split():
        text, dummy = _settings.read_regular(machine, path) if path else (None, None)
        if text is not None:
            files.append((path, text))
    merged = _unit_file.merge(files)
    variables, missing = _environment(machine, unit, merged)
    directory = shown.get("WorkingDirectory", "").lstrip("!-") or "/"
    for entry in merged.get("ExecStart", []):
        command = _command_line.parse("ExecStart=" + _unit_file.specifiers(entry.value, unit), "systemd")
        if isinstance(command, _command_line.Command):
            origin = Origin("unit" if entry.path == fragment else "drop_in", "%s:%d" % (entry.path, entry.line))
            found = _settings.resolved(command, origin, variables, directory)
            return found._replace(environment=None) if missing else found
    if not files:
        # the files may not be read: what systemd shows has lost its quotes
        command = _command_line.parse_argv(_unit_file.shown_argv(shown.get("ExecStart", "")))
        if isinstance(command, _command_line.Command):
            return Launch(command, Origin("unit", None), {}, None, directory)
    return None


def _environment(machine: Machine, unit: str, merged: t.Mapping[str, list[_unit_file.Entry]]) -> tuple[dict[str, Variable], bool]:
    """The unit's variables (those of files win, as in systemd), and whether a file that is there could not be read."""
    found: dict[str, Variable] = {}
    for name, entry in _unit_file.environment(merged.get("Environment", [])).items():
        found[name] = Variable(_unit_file.specifiers(entry.value, unit), Origin("environment", "%s:%d" % (entry.path, entry.line)))
    missing = False
    for file in merged.get("EnvironmentFile", []):
        path = _unit_file.specifiers(file.value.strip("\"'").lstrip("-"), unit)
        text, why = _settings.read_regular(machine, path)
        if text is None:
            missing = missing or why not in ("No such file or directory", "Not a directory")
            continue
        for name, entry in _unit_file.environment_file(path, text).items():
            found[name] = Variable(entry.value, Origin("environment_file", "%s:%d" % (entry.path, entry.line)))
    return found, missing


def _running(machine: Machine, main_pid: int | None, found: t.Mapping[int, _launches.Process]) -> Launch | None:
    """How a unit's running program was started: of its main process, or of the child that a wrapper started."""
    if main_pid is None:
        return None
    process = found.get(main_pid)
    if process is None:
        process = next((other for other in _launches.masters(found) if other.ppid == main_pid), None)
    return None if process is None else _launches.launch(machine, process)


def _together(running: dict[str, t.Any] | None, configured: dict[str, t.Any] | None) -> dict[str, t.Any] | None:
    """What runs, with the place of each setting from the files that say the same; where they differ, what runs counts."""
    if running is None or configured is None:
        return running or configured
    merged = dict(running)
    merged["version"] = running["version"] or configured["version"]
    for name in _settings.NAMES:
        now, written = running[name], configured[name]
        if now is None or written is None:
            merged[name] = now or written
        elif now["value"] == written["value"]:
            if now["layer"] in ("command_line", "environment", "GUNICORN_CMD_ARGS") or now["where"] is None and written["where"] is not None:
                merged[name] = dict(written, reason=now["reason"] or written["reason"])
        elif now["value"] is None:
            merged[name] = written
        elif written["value"] is not None:
            merged[name] = dict(now, reason="%s says %s, which is not in effect before a restart" % (written["where"] or "the configuration", written["value"]))
    return merged
