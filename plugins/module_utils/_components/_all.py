# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every component that has settings, one line each: only what is imported by name travels to a host.

Private to oncall.pressure: no stable interface.
"""

from __future__ import annotations

import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._components import _celery, _gunicorn, _rq, _uvicorn
from ansible_collections.oncall.pressure.plugins.module_utils._components._settings import Launch
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine
from ansible_collections.oncall.pressure.plugins.module_utils._parse._command_line import Command

#: who reads the settings of a program
_SETTINGS: dict[str, t.Callable[[Launch, Machine], dict[str, t.Any]]] = {
    "gunicorn": _gunicorn.settings,
    "uvicorn": _uvicorn.settings,
    "celery": _celery.settings,
    "rq": _rq.settings,
}

_CELERY_ROLES = {"worker": "worker", "multi": "worker", "beat": "scheduler", "flower": "other"}
_RQ_ROLES = {"worker": "worker", "worker-pool": "worker", "scheduler": "scheduler", "cron": "scheduler"}


def settings(launch: Launch, machine: Machine) -> dict[str, t.Any] | None:
    """The settings of whatever a launch starts, null where that has none that we read."""
    reader = _SETTINGS.get(launch.command.program)
    found = None if reader is None else reader(launch, machine)
    if found is not None and launch.root:
        # what lies in a container's own folders is named as the container names it
        for row in found.values():
            # what is no setting (the version, what tells two workers apart) came from no file
            if isinstance(row, dict) and "where" in row:
                row["where"] = row["where"].replace(launch.root, "") if row["where"] else row["where"]
                row["reason"] = row["reason"].replace(launch.root, "") if row["reason"] else row["reason"]
    return found


def identity(command: Command) -> tuple[str, str]:
    """The component and role of a command."""
    if command.program == "celery":
        return "celery", _CELERY_ROLES.get(command.subcommand or "", "job")
    if command.program == "rq":
        return "rq", _RQ_ROLES.get(command.subcommand or "", "job")
    return ("other" if command.program == "hypercorn" else command.program), "web"
