# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The settings of rq's workers: command line, a settings module's plain values, RQ_* variables, defaults.

Private to oncall.pressure: no stable interface. Read-only; the settings module is read, never run.
"""

from __future__ import annotations

import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._components import _settings
from ansible_collections.oncall.pressure.plugins.module_utils._components._settings import Launch, Row
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine


def settings(launch: Launch, machine: Machine) -> dict[str, t.Any]:
    """The settings of an rq worker or pool as the document has them. A worker is one process, and one more while a job runs."""
    found = _settings.empty("rq")
    found["version"] = _settings.version(machine, launch, "rq")
    if launch.command.subcommand not in ("worker", "worker-pool"):
        return found
    if launch.command.subcommand == "worker-pool":
        found["workers"] = _settings.on_command_line(launch, "workers") or _settings.default(1)
    else:
        found["workers"] = _settings.default(1, "one process a worker")
    found["worker_class"] = (
        _settings.on_command_line(launch, "worker_class") or _settings.from_environment(launch, "RQ_WORKER_CLASS", "worker_class")
        or _settings.default("rq.worker.Worker")
    )
    found["identity"] = _settings.identity(launch, _broker(launch))
    found["queues"] = _settings.on_command_line(launch, "queues") or _queues(launch, machine)
    hidden = _settings.hidden(launch)
    for name in ("workers", "queues"):
        if hidden is not None and found[name]["layer"] == "default" and launch.command.subcommand == "worker-pool" or hidden is not None and name == "queues":
            found[name] = _settings.row(None, found[name]["layer"], found[name]["where"], hidden)
    return found


def _broker(launch: Launch) -> str | None:
    """The server's URL as it stands; null where a settings module may name another."""
    setting, variable = launch.command.settings.get("broker"), (launch.environment or {}).get("RQ_REDIS_URL")
    if setting is not None:
        return None if setting.unresolved else setting.text
    if variable is not None:
        return variable.value
    elsewhere = launch.environment is None or "config" in launch.command.settings or "RQ_CONFIG" in launch.environment
    return None if elsewhere or _settings.hidden(launch) is not None else "redis://localhost:6379/0"


def _queues(launch: Launch, machine: Machine) -> Row:
    setting = launch.command.settings.get("config")
    variable = (launch.environment or {}).get("RQ_CONFIG")
    if setting is not None or variable is not None:
        module = setting.text if setting is not None else variable.value if variable is not None else ""
        path = _settings.absolute(launch, module.replace(".", "/") + ".py")
        if path is None or setting is not None and setting.unresolved or not machine.exists(path):
            return _settings.row(None, "config_file", None, "the settings module %s is not found" % module)
        literals, reason = _settings.literals(machine, path)
        if literals is None:
            return _settings.row(None, "config_file", path, reason)
        row = _settings.from_literals(literals, ["QUEUES"], "queues", path)
        if row is not None:
            return row
    return _settings.default(["default"])
