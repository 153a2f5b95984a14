# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Plan the lasting form of a setting: written in the layer that wins at the next start, without a restart.

Private to oncall.pressure: no stable interface. Looks only; the engine does what is planned. It never travels in an undo program.

An option on the command line beats every other layer of the four programs (environment, configuration file, the application's own), which was tried
on gunicorn 19.9 to 27.0, uvicorn 0.17 to 0.54, celery 4.4 to 5.7. So the command is rewritten: of a unit in a drop-in, of a supervisor
program in its file. No file of an application is edited.
"""

from __future__ import annotations

import re
import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._change._kinds import Operation, Refused
from ansible_collections.oncall.pressure.plugins.module_utils._components import _all, _settings, _units
from ansible_collections.oncall.pressure.plugins.module_utils._components._settings import Origin, Variable
from ansible_collections.oncall.pressure.plugins.module_utils._controls import _lasting_script, _lasting_supervisor, _lasting_unit
from ansible_collections.oncall.pressure.plugins.module_utils._controls._lasting_unit import Unit
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine
from ansible_collections.oncall.pressure.plugins.module_utils._host._text import clean
from ansible_collections.oncall.pressure.plugins.module_utils._parse import _command_line, _rewrite_command, _rewrite_files, _unit_file
from ansible_collections.oncall.pressure.plugins.module_utils._parse._command_line import Command

#: where those are changed that are not changed from here
_ELSEWHERE = {
    "docker": "in its Compose file or run command", "podman": "in its quadlet, Compose file or run command", "containerd": "where its container is declared",
    "kubernetes": "in its Deployment", "user": "in its user's own unit (systemctl --user)",
}
_AUTOSCALE = re.compile(r"\s*(\d{1,9})\s*(?:,\s*(\d{1,9})\s*)?")

Wanted = t.Dict[str, t.Union[int, str]]


class Lasting(t.NamedTuple):
    """operations: for the engine, of kind ``file``; where: the file and what in it, for people; notes: what they should know.

    wanted: the settings as the command has them (``autoscale`` where workers were asked for), for ``_lasting_unit.check``.
    """

    operations: list[Operation]
    where: str
    notes: list[str]
    wanted: Wanted


def plan(machine: Machine, service: str | t.Mapping[str, t.Any], settings: t.Mapping[str, int]) -> Lasting:
    """The lasting form.

    :param service: its row of the snapshot's ``services``, or its id (``shop.service``, ``supervisor:shop``)
    :param settings: workers, max_requests, max_requests_jitter, max_tasks_per_child, max_memory_per_child_kib

    Raises Refused, with what a person can do.
    """
    name = service if isinstance(service, str) else str(service["id"])
    for setting, value in settings.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < (1 if setting == "workers" else 0):
            raise Refused("%s cannot be %s" % (setting, clean(str(value), 50)))
    if name.startswith("supervisor:"):
        return _program(machine, name.partition(":")[2], settings)
    manager = _manager(name) if isinstance(service, str) else service.get("manager")
    if manager != "systemd":
        place = _ELSEWHERE.get(str(manager), "where it is started: no service manager runs it")
        raise Refused("%s is not changed from here: set %s %s" % (clean(name, 200), _said(settings), place))
    version = None if isinstance(service, str) else (service.get("settings") or {}).get("version")
    return _unit(machine, _lasting_unit.read(machine, name), settings, version)


def _manager(name: str) -> str:
    return "systemd" if name.endswith(".service") else name.partition(":")[0]


def _said(settings: t.Mapping[str, int | str]) -> str:
    return ", ".join("%s to %s" % pair for pair in sorted(settings.items()))


# systemd


def _unit(machine: Machine, unit: Unit, settings: t.Mapping[str, int], version: str | None) -> Lasting:
    launch = _units.configured_launch(machine, unit.name, unit.shown)
    entries = unit.merged.get("ExecStart", [])
    index = next((place for place, entry in enumerate(entries) if isinstance(_parsed(unit, entry), Command)), None)
    if launch is None or index is None:
        operations, where, notes = _lasting_script.plan(machine, unit, settings)
        return Lasting(operations, where, notes, dict(settings))
    rows = dict(_all.settings(launch, machine) or {})
    # what runs may say more of its release than its command does (python -m)
    rows["version"] = rows.get("version") or version
    _check_rq(unit.name, launch.command, settings)
    wanted = _wanted(unit.name, launch.command, rows, settings)
    entry = entries[index]
    if "\r" in entry.value:
        raise Refused("%s:%d has line ends of another system: systemd reads them as part of the command" % (clean(entry.path, 300), entry.line))
    text = _rewrite_command.rewrite("ExecStart=" + entry.value, "systemd", wanted, unit.known())
    if isinstance(text, _command_line.Refused):
        through = _through_variable(machine, unit, launch.command, wanted)
        if through is None:
            raise Refused("%s:%d: %s" % (clean(entry.path, 300), entry.line, clean(text.reason, 600)))
        where = " and ".join(str(operation["path"]) for operation in through) or "the environment of %s" % unit.name
        return Lasting(through, where, _layers(rows, wanted) if through else ["it says so already"], wanted)
    if text == "ExecStart=" + entry.value:
        return Lasting([], "%s:%d" % (entry.path, entry.line), ["it says so already"], wanted)
    values = [other.value for other in entries]
    values[index] = text[len("ExecStart="):]
    operation = _lasting_unit.drop_in(unit, values, {})
    notes = _layers(rows, wanted)
    if entry.path != operation["path"]:
        notes.append("it holds the whole command of %s:%d: what is changed there later does not count while it is there" % (entry.path, entry.line))
    return Lasting([operation], "%s, ExecStart=" % operation["path"], notes, wanted)


def _parsed(unit: Unit, entry: _unit_file.Entry) -> Command | _command_line.Refused:
    return _command_line.parse("ExecStart=" + _unit_file.specifiers(entry.value, unit.name), "systemd")


def _check_rq(name: str, command: Command, settings: t.Mapping[str, int]) -> None:
    if command.program != "rq" or command.subcommand == "worker-pool" or "workers" not in settings:
        return
    prefix, at, dummy = name.partition("@")
    shown = clean(name, 200)
    if not at:
        raise Refused("%s is one worker of rq, which runs one job at a time: stop it, or leave it" % shown)
    raise Refused(
        "%s is one of the instances of %s@.service, each of which is one worker: end those that are too many with systemctl disable --now %s"
        % (shown, clean(prefix, 200), shown)
    )


def _wanted(name: str, command: Command, rows: t.Mapping[str, t.Any], settings: t.Mapping[str, int]) -> Wanted:
    """The settings as the command takes them. Raises Refused for what this release has no option for, and for more workers than there are."""
    wanted: Wanted = dict(settings)
    version = re.match(r"(\d+)\.(\d+)", str(rows.get("version") or ""))
    release = (int(version.group(1)), int(version.group(2))) if version else None
    there = (rows.get("workers") or {}).get("value")
    if isinstance(there, int) and not isinstance(there, bool) and settings.get("workers", 0) > there:
        raise Refused("%s is set to %d workers: it is never given more" % (clean(name, 200), there))
    if command.program == "uvicorn" and "max_requests_jitter" in settings and (release is None or release < (0, 41)):
        raise Refused("uvicorn %s of %s has no --limit-max-requests-jitter (0.41 has)" % (rows.get("version") or "(of a version not known)", clean(name, 200)))
    if command.program == "celery" and release is not None and release < (4, 0) and set(settings) - {"workers"}:
        raise Refused("celery %s of %s calls these options otherwise: set %s by hand" % (rows["version"], clean(name, 200), _said(settings)))
    autoscale = command.settings.get("autoscale")
    if command.program == "celery" and autoscale is not None and "workers" in wanted:
        wanted["autoscale"] = _autoscale(name, autoscale.text, int(wanted.pop("workers")))
    return wanted


def _autoscale(name: str, text: str, most: int) -> str:
    """``--autoscale`` with another most, and a least that is not above it. Raises Refused."""
    found = _AUTOSCALE.fullmatch(text)
    if found is None:
        raise Refused("--autoscale of %s is %s, which is not known: lower its first number to %d" % (clean(name, 200), clean(text, 100), most))
    if most > int(found.group(1)):
        raise Refused("--autoscale of %s allows %s: it is never given more" % (clean(name, 200), found.group(1)))
    least = int(found.group(2) or 0)
    return "%d,%d" % (most, min(least, most)) if found.group(2) else str(most)


def _layers(rows: t.Mapping[str, t.Any], wanted: t.Mapping[str, int | str]) -> list[str]:
    """Who sets each setting now."""
    notes: list[str] = []
    for name, value in wanted.items():
        row = rows.get("max_memory_per_child_kib" if name == "max_memory_per_child" else name)
        if not row:
            continue
        if row["where"]:
            before = row["value"] if row["value"] is not None else row["reason"]
            notes.append("%s was %s (%s, %s), is %s at the next start" % (name, before, row["layer"], row["where"], value))
        else:
            notes.append("%s was not set, is %s at the next start" % (name, value))
    return notes


def _through_variable(machine: Machine, unit: Unit, command: Command, wanted: t.Mapping[str, int | str]) -> list[Operation] | None:
    """The options of ``celery multi`` stand in a variable, by its own example; null where they do not."""
    if command.subcommand != "multi" or unit.variables is None:
        return None
    head = ["celery", "worker"]
    for name, variable in unit.variables.items():
        found = _command_line.parse_argv(head + variable.value.split())
        named = isinstance(found, Command) and any(key in found.settings for key in wanted)
        if not named or not any(re.search(r"\$\{?%s\b" % re.escape(name), entry.value) for entry in unit.merged.get("ExecStart", [])):
            continue
        value = _rewrite_files.arguments(variable.value, "celery", wanted)
        if isinstance(value, _command_line.Refused):
            raise Refused("%s of %s: %s" % (clean(name, 100), clean(unit.name, 200), clean(value.reason, 600)))
        return _lasting_unit.set_variables(machine, unit, {name: value})
    return None


# supervisor


def _program(machine: Machine, name: str, settings: t.Mapping[str, int]) -> Lasting:
    declared = _lasting_supervisor.find(machine, name)
    program = declared.program
    origin = Origin("supervisor", "%s:%d" % (program.path, program.command.line))
    variables = {key: Variable(value, Origin("environment", None)) for key, value in declared.variables.items()}
    launch = _settings.resolved(declared.command, origin, variables, program.directory)
    rows = dict(_all.settings(launch, machine) or {})
    each = (rows.get("workers") or {}).get("value")
    if isinstance(each, int) and not isinstance(each, bool):
        # each copy has as many
        rows["workers"] = dict(rows["workers"], value=each * program.copies)
    wanted = _wanted(name, launch.command, rows, settings)
    operations, where, notes = _lasting_supervisor.plan(machine, declared, wanted)
    return Lasting(operations, where, _layers(rows, wanted) + notes, wanted)
