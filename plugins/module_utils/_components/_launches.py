# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the running processes say of their own start: arguments, environment, folder; and what supervisor is told to run.

Private to oncall.pressure: no stable interface. Read-only.
"""

from __future__ import annotations

import fnmatch
import re
import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._components import _all, _settings
from ansible_collections.oncall.pressure.plugins.module_utils._components._recognise import Recognised, recognise
from ansible_collections.oncall.pressure.plugins.module_utils._components._settings import Launch, Origin, Variable
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine
from ansible_collections.oncall.pressure.plugins.module_utils._host._text import decode
from ansible_collections.oncall.pressure.plugins.module_utils._parse import _command_line, _proc, _supervisor_conf

#: short names of processes whose arguments are worth reading: interpreters, scripts run by their first line, titles
_WORTH = re.compile(r"python|pypy|supervisord|g?unicorn|uvicorn|hypercorn|\[?celery|rq|flower|.*-celery|manage")

#: the programs whose masters have settings
_COMPONENTS = ("gunicorn", "uvicorn", "celery", "rq")

#: where supervisord looks where no configuration is named
_SUPERVISOR_FILES = ("/etc/supervisor/supervisord.conf", "/etc/supervisord.conf", "/usr/etc/supervisord.conf")

#: bounds on what is looked at, whatever a host has
_MASTERS_LIMIT = 200
_PROGRAMS_LIMIT = 500


class Process(t.NamedTuple):
    """A process that may be one of ours."""

    pid: int
    ppid: int
    argv: list[str]
    what: Recognised


def candidates(machine: Machine, own_pids: t.Container[int]) -> dict[int, Process]:
    """The processes that are recognised as one of the four programs, or as supervisord."""
    found: dict[int, Process] = {}
    for name in machine.names("/proc"):
        if not name.isdecimal() or int(name) in own_pids:
            continue
        short = (machine.text_or_none("/proc/%s/comm" % name, 64) or "").rstrip("\n")
        if not _WORTH.match(short):
            continue
        process = look(machine, int(name), short)
        if process is not None and (process.what.component in _COMPONENTS or process.what.program == "supervisord"):
            found[process.pid] = process
    return found


def look(machine: Machine, pid: int, short: str) -> Process | None:
    """One process, null where it is gone."""
    try:
        argv = [decode(argument) for argument in _proc.arguments(machine.read("/proc/%d/cmdline" % pid, 65536))]
        ppid = _proc.stat(machine.read("/proc/%d/stat" % pid, 4096)).ppid
    except (OSError, ValueError):
        return None
    try:
        exe: str | None = machine.link("/proc/%d/exe" % pid)
    except OSError:
        exe = None
    return Process(pid, ppid, argv, recognise(short, argv, exe))


def masters(found: t.Mapping[int, Process]) -> list[Process]:
    """Those that are not a child of their like."""
    return [
        process for process in found.values()
        if process.what.component in _COMPONENTS and process.what.role in ("web", "worker", "scheduler")
        and (process.ppid not in found or found[process.ppid].what.component != process.what.component)
    ][:_MASTERS_LIMIT]


def environment(machine: Machine, pid: int) -> dict[str, Variable] | None:
    """The environment that a process was started with, null where it may not be read."""
    try:
        data = machine.read("/proc/%d/environ" % pid)
    except OSError:
        return None
    found: dict[str, Variable] = {}
    for part in data.split(b"\0"):
        name, separator, value = part.partition(b"=")
        if separator:
            found[decode(name)] = Variable(decode(value), Origin("environment", None))
    return found


def root(machine: Machine, pid: int) -> str:
    """Where the root folder of a process is to be found: "" where it is this host's own.

    Another question than ``_daemons.root_of`` answers: a unit with folders of its own (``PrivateTmp=``) has our root, and its settings are the host's.
    """
    path = "/proc/%d/root" % pid
    try:
        theirs, ours = machine.stat(path + "/"), machine.stat("/")
    except OSError:
        return ""
    return "" if (theirs.st_dev, theirs.st_ino) == (ours.st_dev, ours.st_ino) else path


def launch(machine: Machine, process: Process) -> Launch | None:
    """How a running process was started, from its own arguments; null where it wrote a title over them."""
    command = _command_line.parse_argv(process.argv)
    if isinstance(command, _command_line.Refused):
        return None
    try:
        directory: str | None = machine.link("/proc/%d/cwd" % process.pid)
    except OSError:
        directory = None
    return Launch(command, Origin("command_line", None), {}, environment(machine, process.pid), directory, root(machine, process.pid))


def supervisor_programs(machine: Machine, found: t.Mapping[int, Process]) -> dict[str, dict[str, t.Any]]:
    """The programs that run a known component of every supervisord of this host, by ``supervisor:NAME``.

    What a supervisord in a container runs belongs to that container.
    """
    programs: dict[str, dict[str, t.Any]] = {}
    for process in found.values():
        if process.what.program != "supervisord":
            continue
        if root(machine, process.pid):
            continue
        inherited = environment(machine, process.pid) or {}
        for program in _configured(machine, process)[:_PROGRAMS_LIMIT]:
            row = _program(machine, program, inherited)
            if row is not None:
                programs.setdefault("supervisor:" + program.name, dict(row, supervisord_pid=process.pid))
    return programs


def _configured(machine: Machine, process: Process) -> list[_supervisor_conf.Program]:
    """The programs of one supervisord's configuration and of the files that it includes."""
    named = _supervisor_conf.configuration(process.argv)
    if named is not None and not named.startswith("/"):
        try:
            named = machine.link("/proc/%d/cwd" % process.pid).rstrip("/") + "/" + named
        except OSError:
            return []
    for path in (named,) if named is not None else _SUPERVISOR_FILES:
        text, dummy = _settings.read_regular(machine, path)
        if text is None:
            continue
        parsed = _supervisor_conf.sections(text)
        programs = _supervisor_conf.programs(path, parsed)
        for pattern in _supervisor_conf.included(parsed):
            for other in _matching(machine, pattern, path.rpartition("/")[0]):
                content, dummy = _settings.read_regular(machine, other)
                if content is not None:
                    programs.extend(_supervisor_conf.programs(other, _supervisor_conf.sections(content)))
        return programs
    return []


def _matching(machine: Machine, pattern: str, here: str) -> list[str]:
    """The files of a pattern whose last part alone holds wildcards."""
    pattern = pattern.replace("%(here)s", here)
    if not pattern.startswith("/"):
        pattern = here + "/" + pattern
    folder, dummy, last = pattern.rpartition("/")
    try:
        return ["%s/%s" % (folder, name) for name in sorted(machine.names(folder)) if fnmatch.fnmatchcase(name, last)]
    except OSError:
        return []


def _program(machine: Machine, program: _supervisor_conf.Program, inherited: t.Mapping[str, Variable]) -> dict[str, t.Any] | None:
    where = "%s:%d" % (program.path, program.command.line)
    values = {"ENV_" + name: variable.value for name, variable in inherited.items()}
    values.update(program_name=program.name, group_name=program.name, process_num="0", numprocs=str(program.copies), here=program.path.rpartition("/")[0])
    command = _command_line.parse(_supervisor_conf.expanded(program.command.text, values), "supervisor")
    if isinstance(command, _command_line.Refused):
        return None
    variables = dict(inherited)
    for name, value in program.environment.items():
        text = _supervisor_conf.expanded(value.text, values)
        variables[name] = Variable(text, Origin("environment", "%s:%d" % (program.path, value.line)))
    directory = _supervisor_conf.expanded(program.directory, values) if program.directory else None
    found = _settings.resolved(command, Origin("supervisor", where), variables, directory)
    component, role = _all.identity(found.command)
    return {
        "manager": "supervisor", "name": program.name, "component": component, "role": role, "count": program.copies, "autostart": program.autostart,
        "settings": _all.settings(found, machine),
    }
