# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The settings of gunicorn, by its own precedence: command line, GUNICORN_CMD_ARGS, configuration file, defaults.

Private to oncall.pressure: no stable interface. Read-only; the configuration file is read, never run.
"""

from __future__ import annotations

import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._components import _settings
from ansible_collections.oncall.pressure.plugins.module_utils._components._settings import Launch, Origin, Row
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine
from ansible_collections.oncall.pressure.plugins.module_utils._parse import _command_line, _python_literals, _shell_words
from ansible_collections.oncall.pressure.plugins.module_utils._parse._shell_words import Word

_NAMES = ("workers", "threads", "worker_class", "timeout", "max_requests", "max_requests_jitter", "bind")
_DEFAULTS: dict[str, t.Any] = {
    "workers": 1, "threads": 1, "worker_class": "sync", "timeout": 30, "max_requests": 0, "max_requests_jitter": 0, "bind": "127.0.0.1:8000",
}


class _File(t.NamedTuple):
    """The configuration file: its plain values, or why they are not known; both null where there is none."""

    path: str
    found: dict[str, _python_literals.Literal] | None
    where: str | None
    reason: str | None


def settings(launch: Launch, machine: Machine) -> dict[str, t.Any]:
    """The settings of gunicorn as the document has them."""
    found = _settings.empty("gunicorn")
    found["version"] = _settings.version(machine, launch, "gunicorn")
    arguments = _arguments(launch)
    file = _configuration(launch, arguments, machine)
    for name in _NAMES:
        found[name] = _setting(name, launch, arguments, file)
    threads = found["threads"]["value"]
    if found["worker_class"]["layer"] == "default" and found["worker_class"]["value"] and isinstance(threads, int) and threads > 1:
        found["worker_class"] = _settings.default("gthread", "more than one thread")
    return found


def _setting(name: str, launch: Launch, arguments: Launch | None, file: _File) -> Row:
    row = _settings.on_command_line(launch, name)
    if row is not None:
        return row
    hidden = _settings.hidden(launch)
    row = _settings.on_command_line(arguments, name) if arguments is not None else None
    if row is None and file.found is not None:
        row = _settings.from_literals(file.found, [name], name, file.path)
    if row is None and file.reason is not None:
        row = _settings.row(None, "config_file", file.where, file.reason)
    if row is None:
        row = _default(name, launch)
    if hidden is not None:
        # something that cannot be seen may win over what was found
        return _settings.row(None, row["layer"], row["where"], hidden)
    return row


def _default(name: str, launch: Launch) -> Row:
    if launch.environment is None and name in ("workers", "bind"):
        return _settings.default(None, "the environment is not known")
    if name == "workers":
        row = _settings.from_environment(launch, "WEB_CONCURRENCY", name)
        if row is not None:
            return row
    if name == "bind":
        port = (launch.environment or {}).get("PORT")
        if port is not None and port.value:
            return _settings.row("0.0.0.0:" + port.value, port.origin.layer, port.origin.where)
    return _settings.default(_DEFAULTS[name])


def _arguments(launch: Launch) -> Launch | None:
    """GUNICORN_CMD_ARGS as a command line of its own; null where it is not set."""
    variable = (launch.environment or {}).get("GUNICORN_CMD_ARGS")
    if variable is None or not variable.value.strip():
        return None
    try:
        words = [Word("gunicorn", 0, 0)] + _shell_words.split(variable.value, _shell_words.SHLEX)
    except _shell_words.Unsplittable:
        return None
    command = _command_line.parse_argv([word.text for word in words])
    if isinstance(command, _command_line.Refused):
        return None
    where = variable.origin.where
    return Launch(command, Origin("GUNICORN_CMD_ARGS", where), {}, launch.environment, launch.directory, launch.root)


def _configuration(launch: Launch, arguments: Launch | None, machine: Machine) -> _File:
    """The file of ``-c``, else gunicorn.conf.py in the folder that gunicorn was started in."""
    for source in (launch, arguments):
        setting = source.command.settings.get("config") if source is not None else None
        if setting is None or source is None:
            continue
        where = source.origins.get(setting.word, source.origin).where
        if setting.unresolved:
            return _File("", None, where, "the configuration file is unresolved: " + ",".join(setting.unresolved))
        return _named(launch, setting.text, where, machine)
    path = _settings.absolute(launch, "gunicorn.conf.py")
    if path is None:
        return _File("", None, None, "the folder with a gunicorn.conf.py is not known")
    if not machine.exists(path):
        return _File("", {}, None, None)
    found, reason = _settings.literals(machine, path)
    return _File(path, found, path, None if reason is None else "%s: %s" % (path, reason))


def _named(launch: Launch, name: str, where: str | None, machine: Machine) -> _File:
    if name.startswith("python:"):
        return _File("", None, where, "set by the module %s, which is not run" % name[len("python:"):])
    if name.startswith("file:"):
        name = name[len("file:"):]
    path = _settings.absolute(launch, name)
    if path is None:
        return _File("", None, where, "the folder of %s is not known" % name)
    found, reason = _settings.literals(machine, path)
    return _File(path, found, path, None if reason is None else "%s: %s" % (path, reason))
