# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The settings of uvicorn: command line, UVICORN_* variables, WEB_CONCURRENCY, defaults.

Private to oncall.pressure: no stable interface. Read-only.
"""

from __future__ import annotations

import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._components import _settings
from ansible_collections.oncall.pressure.plugins.module_utils._components._settings import Launch, Row
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine

_VARIABLES = {"workers": "UVICORN_WORKERS", "max_requests": "UVICORN_LIMIT_MAX_REQUESTS", "max_requests_jitter": "UVICORN_LIMIT_MAX_REQUESTS_JITTER"}


def settings(launch: Launch, machine: Machine) -> dict[str, t.Any]:
    """The settings of uvicorn as the document has them; it has no threads, classes or timeouts of workers."""
    found = _settings.empty("uvicorn")
    found["version"] = _settings.version(machine, launch, "uvicorn")
    hidden = _settings.hidden(launch)
    for name in _VARIABLES:
        row = _settings.on_command_line(launch, name) or _settings.from_environment(launch, _VARIABLES[name], name)
        if row is None and name == "workers":
            row = _settings.from_environment(launch, "WEB_CONCURRENCY", name) or _default_workers(launch)
        found[name] = row or _settings.default(None, "not limited" if name == "max_requests" else None)
        if hidden is not None and found[name]["layer"] != launch.origin.layer:
            found[name] = _settings.row(None, found[name]["layer"], found[name]["where"], hidden)
    if "reload" in launch.command.settings:
        found["workers"] = dict(found["workers"], value=1, reason="--reload runs one")
    found["bind"] = _bind(launch)
    return found


def _default_workers(launch: Launch) -> Row:
    return _settings.default(None, "the environment is not known") if launch.environment is None else _settings.default(1)


def _bind(launch: Launch) -> Row:
    """Host and port may come from different layers; the row names the first that was found."""
    row = _settings.on_command_line(launch, "uds")
    if row is not None:
        return row
    host = _settings.on_command_line(launch, "host") or _settings.from_environment(launch, "UVICORN_HOST", "host")
    port = _settings.on_command_line(launch, "port") or _settings.from_environment(launch, "UVICORN_PORT", "port")
    given = [part for part in (host, port) if part is not None]
    if not given:
        return _settings.default("127.0.0.1:8000", _settings.hidden(launch))
    for part in given:
        if part["reason"]:
            return dict(part, value=None)
    return dict(given[0], value="%s:%s" % (host["value"] if host else "127.0.0.1", port["value"] if port else "8000"))
