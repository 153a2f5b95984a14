# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Programs of supervisor: the command, or the number of copies, in the file that declares them.

Private to oncall.pressure: no stable interface. Read-only; it never travels in an undo program.
"""

from __future__ import annotations

import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._change._kinds import Operation, Refused
from ansible_collections.oncall.pressure.plugins.module_utils._components import _launches
from ansible_collections.oncall.pressure.plugins.module_utils._controls import _lasting_unit
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine
from ansible_collections.oncall.pressure.plugins.module_utils._host._text import clean
from ansible_collections.oncall.pressure.plugins.module_utils._parse import _command_line, _rewrite_files, _supervisor_conf
from ansible_collections.oncall.pressure.plugins.module_utils._parse._command_line import Command
from ansible_collections.oncall.pressure.plugins.module_utils._parse._supervisor_conf import Program


class Declared(t.NamedTuple):
    """A program as supervisor's files declare it: its command, supervisor's own expansions made, and the variables that it is started with."""

    program: Program
    command: Command
    variables: dict[str, str]


def find(machine: Machine, name: str) -> Declared:
    """The program of a running supervisord. Raises Refused."""
    for process in _launches.candidates(machine, ()).values():
        if process.what.program != "supervisord" or _launches.root(machine, process.pid):
            continue
        inherited = {key: variable.value for key, variable in (_launches.environment(machine, process.pid) or {}).items()}
        for program in _launches._configured(machine, process):
            if program.name != name:
                continue
            filled = {"ENV_" + key: value for key, value in inherited.items()}
            filled.update(program_name=program.name, group_name=program.name, here=program.path.rpartition("/")[0])
            command = _command_line.parse(_supervisor_conf.expanded(program.command.text, filled), "supervisor")
            if isinstance(command, _command_line.Refused):
                raise Refused("%s:%d: %s" % (clean(program.path, 300), program.command.line, clean(command.reason, 600)))
            own = {key: _supervisor_conf.expanded(value.text, filled) for key, value in program.environment.items()}
            return Declared(program, command, dict(inherited, **own))
    raise Refused("no supervisord of this host declares a program %s" % clean(name, 200))


def plan(machine: Machine, declared: Declared, settings: t.Mapping[str, int | str]) -> tuple[list[Operation], str, list[str]]:
    """The operation, where it acts, and notes. Raises Refused."""
    program = declared.program
    text = _lasting_unit.text_of(machine, program.path)
    notes = ["supervisorctl restart keeps what supervisord has read: supervisorctl update reads the file, and restarts %s" % program.name]
    workers = settings.get("workers")
    if declared.command.program == "rq" and declared.command.subcommand == "worker" and isinstance(workers, int):
        if workers > program.copies:
            raise Refused("%s runs %d copies: it is never given more" % (program.name, program.copies))
        found = _rewrite_files.supervisor_copies(text, program.name, workers)
        where = "%s, numprocs of %s" % (program.path, program.name)
    else:
        if "autoscale" in settings and program.copies > 1:
            raise Refused("%s runs %d copies with --autoscale: lower numprocs, or its first number, in %s" % (program.name, program.copies, program.path))
        if isinstance(workers, int) and program.copies > 1:
            settings = dict(settings, workers=_each(program, workers))
            notes.append("numprocs is %d: each of them runs %s" % (program.copies, settings["workers"]))
        found = _rewrite_files.supervisor_command(text, program.name, settings, declared.variables)
        where = "%s:%d, command of %s" % (program.path, program.command.line, program.name)
    if isinstance(found, _command_line.Refused):
        raise Refused("%s: %s" % (clean(program.path, 300), clean(found.reason, 600)))
    return [{"kind": "file", "path": program.path, "content": found, "mode": "0644", "then": ["supervisor-reread"]}], where, notes


def _each(program: Program, workers: int) -> int:
    """How many workers each copy runs. Raises Refused."""
    if workers < program.copies:
        raise Refused("%s runs %d copies with a worker each at least: lower numprocs in %s" % (program.name, program.copies, clean(program.path, 300)))
    return workers // program.copies
