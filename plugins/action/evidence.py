# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run the evidence module on one host and write what it gathered on the controller.

What cannot be had is said and fails nothing: evidence must not stand in the way of relief. Only bad input fails.
"""

from __future__ import annotations

import typing as t

from ansible import constants
from ansible.errors import AnsibleConnectionFailure, AnsibleError
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.oncall.pressure.plugins.action import snapshot as _snapshot
from ansible_collections.oncall.pressure.plugins.plugin_utils import _evidence, _unreached
from ansible_collections.oncall.pressure.plugins.plugin_utils._planned_text import FOR_PEOPLE

_MODULE = "oncall.pressure.evidence"

#: How much longer than its budget a host may take to answer at all: login, privileges, start of Python.
_GRACE_S = 20.0


class ActionModule(_snapshot.ActionModule):
    """The action of the evidence module."""

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        # the snapshot's own would run its module
        ActionBase.run(self, tmp, task_vars)
        result = self._keep(task_vars or {})
        digest = result.get("digest")
        if isinstance(digest, dict):
            name = str(getattr(constants, "DEFAULT_STDOUT_CALLBACK", "default")).rpartition(".")[2]
            Display().display(str(digest["says"]), stderr=name not in FOR_PEOPLE)
        return result

    def _keep(self, task_vars: dict[str, t.Any]) -> dict[str, t.Any]:
        host = str(task_vars.get("inventory_hostname", "localhost"))
        report_dir = self._task.args.get("report_dir")
        result = self._call(task_vars)
        document = result.get("evidence")
        if not isinstance(document, dict):
            if _snapshot._is_bad_input(result):
                return {"failed": True, "changed": False, "msg": str(result.get("msg"))}
            return {"changed": False, "digest": _evidence.unanswered(host, _unreached.explain(result))}
        if not report_dir:
            return {"changed": False, "evidence": document}
        try:
            return {"changed": False, "digest": _evidence.write(str(report_dir), host, document)}
        except (OSError, ValueError) as problem:
            return {"changed": False, "digest": _evidence.unanswered(host, "it cannot be written under %s: %s" % (report_dir, problem))}

    def _call(self, task_vars: dict[str, t.Any]) -> dict[str, t.Any]:
        arguments = {name: value for name, value in self._task.args.items() if name != "report_dir"}
        limit_s = _snapshot._number(arguments.get("time_budget"), 20.0) + _GRACE_S
        try:
            with _snapshot.limited(limit_s):
                return t.cast("dict[str, t.Any]", self._execute_module(module_name=_MODULE, module_args=arguments, task_vars=task_vars))
        except _snapshot._Late:
            _snapshot._end_children()
            return {"failed": True, "unreachable": True, "msg": "timed out: no answer in %.0f s after the login began" % limit_s}
        except AnsibleConnectionFailure as problem:
            return {"failed": True, "unreachable": True, "msg": str(problem)}
        except AnsibleError as problem:
            return {"failed": True, "msg": str(problem)}
