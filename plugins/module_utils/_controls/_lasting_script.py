# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Units whose program is started by a script: what its environment decides is set there, what the script says is left to people.

Private to oncall.pressure: no stable interface. Read-only; it never travels in an undo program.

gunicorn's GUNICORN_CMD_ARGS (since 19.7) beats its configuration file and WEB_CONCURRENCY; uvicorn's UVICORN_* beat WEB_CONCURRENCY; flags beat all of
them (tried on gunicorn 19.9 to 27.0, uvicorn 0.17 to 0.54). celery has no variable for any of its settings.
"""

from __future__ import annotations

import re
import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._change._kinds import Operation, Refused
from ansible_collections.oncall.pressure.plugins.module_utils._controls import _lasting_unit
from ansible_collections.oncall.pressure.plugins.module_utils._controls._lasting_unit import Unit
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine
from ansible_collections.oncall.pressure.plugins.module_utils._host._text import clean
from ansible_collections.oncall.pressure.plugins.module_utils._parse import (
    _command_line, _command_wrappers, _rewrite_command, _rewrite_files, _shell_words,
)
from ansible_collections.oncall.pressure.plugins.module_utils._parse._command_line import Command

_UVICORN = {"workers": "UVICORN_WORKERS", "max_requests": "UVICORN_LIMIT_MAX_REQUESTS", "max_requests_jitter": "UVICORN_LIMIT_MAX_REQUESTS_JITTER"}
_WHOLE = re.compile(r"\$(?:([A-Za-z_]\w*)|\{([A-Za-z_]\w*)(?::?-[^{}]*)?\})")
_SOURCES = re.compile(r"(?m)^\s*(?:\.|source|eval)\s|\bset\s+-a\b|\benv\s+-i\b")


class Script(t.NamedTuple):
    """A script, the command in it that starts the program, and the line of that."""

    path: str
    text: str
    command: Command
    line: int

    def shown(self) -> str:
        """The line as it stands."""
        return clean(self.text.split("\n")[self.line - 1].strip(), 300)


def plan(machine: Machine, unit: Unit, settings: t.Mapping[str, int | str]) -> tuple[list[Operation], str, list[str]]:
    """The operations, where they act, and notes. Raises Refused with the line to change."""
    script = _found(machine, unit)
    values: dict[str, str] = {}
    left: dict[str, int | str] = {}
    for name, value in settings.items():
        key = _rewrite_command.ALIASES.get(name, name)
        variable = _variable(script, unit, key, value)
        if variable is None:
            left[key] = value
        else:
            values[variable] = str(value)
    values.update(_by_program(script, unit, left))
    operations = _lasting_unit.set_variables(machine, unit, values)
    if not operations:
        return [], "the environment of %s" % unit.name, ["it says so already: %s" % ", ".join(sorted(values))]
    where = " and ".join("%s (%s)" % (operation["path"], ", ".join(sorted(values))) for operation in operations)
    return operations, where, ["%s starts it in line %d: %s" % (script.path, script.line, script.shown())]


def _found(machine: Machine, unit: Unit) -> Script:
    """The script that the unit runs and the command in it. Raises Refused."""
    for entry in unit.merged.get("ExecStart", []):
        handed = False
        for path in _paths(entry.value):
            try:
                text = _lasting_unit.text_of(machine, path)
            except Refused:
                # a program larger than any script
                handed = handed or _command_wrappers.is_shell(path.rpartition("/")[2])
                continue
            first = text.split("\n", 1)[0]
            if "\0" in text or not first.startswith("#!") and not handed or "python" in first:
                # a program, or a shell that is handed the script
                handed = handed or _command_wrappers.is_shell(path.rpartition("/")[2])
                continue
            command = _command_line.parse(text, "shell")
            if isinstance(command, Command):
                line = 1 if command.nested else text.count("\n", 0, command.words[command.first].start) + 1
                return Script(path, text, command, line)
            raise Refused("%s is started by %s, in which no such command is found: set it where that script takes it from" % (unit.name, clean(path, 300)))
    started = "; ".join("%s:%d: %s" % (entry.path, entry.line, entry.value) for entry in unit.merged.get("ExecStart", []))
    raise Refused("%s starts no program whose settings are known (%s): change it where the program is started" % (unit.name, clean(started, 400) or "nothing"))


def _paths(value: str) -> list[str]:
    """The absolute paths of a command."""
    try:
        words = _shell_words.split(value.replace("\\\n", "  "), _shell_words.SYSTEMD)
    except _shell_words.Unsplittable:
        return []
    texts = [re.sub(r"^[-@:+!|]*(?=/)", "", word.text) for word in words[:6]]
    return [text for text in texts if text.startswith("/")]


def _variable(script: Script, unit: Unit, key: str, value: int | str) -> str | None:
    """The variable that the script hands to the option; null where the script does not set it. Raises Refused."""
    setting = script.command.settings.get(key)
    if setting is None:
        return None
    option = _rewrite_command.OPTIONS[script.command.program].get(key, key)
    whole = _WHOLE.fullmatch(setting.text)
    name = (whole.group(1) or whole.group(2)) if whole and setting.unresolved else None
    if name is None or not _free(script, name):
        raise Refused(
            "%s is started by %s: set %s to %s in its line %d: %s" % (unit.name, clean(script.path, 300), option, value, script.line, script.shown())
        )
    return name


def _free(script: Script, name: str) -> bool:
    """Whether a variable reaches the script's command as the unit sets it."""
    return not _SOURCES.search(script.text) and not re.search(r"\b%s\+?=|\bread\b.*\b%s\b|\bunset\b.*\b%s\b" % ((re.escape(name),) * 3), script.text)


def _by_program(script: Script, unit: Unit, left: t.Mapping[str, int | str]) -> dict[str, str]:
    """The variables that the program itself reads, for what the script does not set. Raises Refused."""
    if not left:
        return {}
    command = script.command
    wanted = " ".join("%s %s" % (_rewrite_command.OPTIONS[command.program].get(key, key), value) for key, value in left.items())
    by_hand = "add %s to line %d of %s: %s" % (wanted, script.line, clean(script.path, 300), script.shown())
    if command.opaque:
        raise Refused("%s may hold any option; %s" % (", ".join(command.opaque), by_hand))
    names = ["GUNICORN_CMD_ARGS"] if command.program == "gunicorn" else [_UVICORN.get(key, "") for key in left] if command.program == "uvicorn" else []
    if not all(names) or not names or not all(_free(script, name) for name in names):
        raise Refused("%s is started by a script; %s" % (unit.name, by_hand))
    if command.program == "uvicorn":
        return {_UVICORN[key]: str(value) for key, value in left.items()}
    value = _rewrite_files.arguments(unit.known().get("GUNICORN_CMD_ARGS", ""), "gunicorn", left)
    if isinstance(value, _command_line.Refused):
        raise Refused("GUNICORN_CMD_ARGS of %s: %s" % (unit.name, clean(value.reason, 600)))
    return {"GUNICORN_CMD_ARGS": value}
