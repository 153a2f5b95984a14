# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The action of limit_requests: it checks and merges the keep list on the controller, and says the lines to add by hand."""

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.module_utils.common.validation import check_type_list
from ansible.utils.display import Display

from ansible_collections.oncall.pressure.plugins.action.service_concurrency import ActionModule as _Changing
from ansible_collections.oncall.pressure.plugins.module_utils._host._text import clean
from ansible_collections.oncall.pressure.plugins.plugin_utils._keep_list import BadKeepList, keep_list

#: More hosts than this are not looked through for addresses.
_HOSTS_LIMIT = 500


class ActionModule(_Changing):
    """See :mod:`incident`."""

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        given = self._task.args.get("keep")
        try:
            keep = keep_list(check_type_list(given) if given else [], _addresses(task_vars or {}))
        except (BadKeepList, TypeError) as problem:
            raise AnsibleActionFail("limit_requests_keep (pressure_keep): %s" % problem) from problem
        self._task.args = dict(self._task.args, keep=keep)
        result = super().run(tmp, task_vars)
        lines = result.get("by_hand")
        if isinstance(lines, list) and lines:
            Display().display("\n".join(["by hand:"] + ["    " + clean(str(line), 1000) for line in lines]), stderr=True)
        return result


def _addresses(variables: t.Mapping[str, t.Any]) -> list[str]:
    """How the inventory reaches its hosts: they may be each other's proxies and clients. Templates and names are left out later."""
    found = []
    hosts = variables.get("hostvars") or {}
    for name in list(hosts)[:_HOSTS_LIMIT]:
        found.append(str(name))
        try:
            found.append(str(hosts[name].get("ansible_host") or ""))
        except AnsibleError:
            # a host whose variables cannot be made out is not ours to judge here
            continue
    return found
