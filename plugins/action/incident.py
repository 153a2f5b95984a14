# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run a module that changes a host, or ends a change: refuse where it must not, and give it the run's name and owner.

A container that is reached through its engine has no service manager of its own that would undo anything: changes belong where it is made.
"""

from __future__ import annotations

import multiprocessing
import os
import typing as t

from ansible.plugins.action import ActionBase

from ansible_collections.oncall.pressure.plugins.plugin_utils import _run

#: Connections into a container, by the last part of their name, and where its changes belong.
_INTO_CONTAINERS = {
    "docker": "its compose file or docker run", "docker_api": "its compose file or docker run", "podman": "its unit or podman run",
    "kubectl": "its Deployment", "oc": "its Deployment", "buildah": "its image", "nsenter": "its image",
}


def main_process() -> int | None:
    """The main process of the run that this worker belongs to; null where it is gone.

    A worker outlives a run that was killed, and goes on with its task as a child of whoever takes in orphans. It has nobody to answer to then,
    and what it began would bear the name of a process that always runs.
    """
    parent = multiprocessing.parent_process()
    if parent is None:
        return os.getpid()
    return parent.pid if os.getppid() == parent.pid else None


class ActionModule(ActionBase):
    """The action of every changing module; each has a file of its own name that is this class."""

    TRANSFERS_FILES = False
    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        super().run(tmp, task_vars)
        way = str(self._connection.transport).rpartition(".")[2]
        if way in _INTO_CONTAINERS:
            return {
                "failed": True, "changed": False, "refused": True,
                "msg": "refused: this host is a container reached through %s; change %s instead" % (way, _INTO_CONTAINERS[way]),
            }
        main = main_process()
        if main is None:
            return {"failed": True, "changed": False, "refused": True, "msg": "refused: the run that asked for this has ended; nothing was begun"}
        arguments = dict(self._task.args)
        if not arguments.get("incident") and self._task.action.rpartition(".")[2] != "incident":
            arguments["incident"] = _run.run_id(main)
        arguments["owner"] = arguments.get("owner") or _run.owner()
        return t.cast("dict[str, t.Any]", self._execute_module(module_name=self._task.action, module_args=arguments, task_vars=task_vars))
