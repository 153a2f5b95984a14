# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The action of service_concurrency: that of every changing module, which also says what it came to and what is left to do."""

from __future__ import annotations

import typing as t

from ansible import constants
from ansible.utils.display import Display

from ansible_collections.oncall.pressure.plugins.action.incident import ActionModule as _Changing
from ansible_collections.oncall.pressure.plugins.plugin_utils._planned_text import FOR_PEOPLE, said


class ActionModule(_Changing):
    """See :mod:`incident`."""

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        result = super().run(tmp, task_vars)
        text = said(str((task_vars or {}).get("inventory_hostname") or ""), result, bool(self._task.check_mode))
        if text:
            name = str(getattr(constants, "DEFAULT_STDOUT_CALLBACK", "default")).rpartition(".")[2]
            Display().display(text, stderr=name not in FOR_PEOPLE)
        return result
