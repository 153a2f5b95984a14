# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Print what was changed on the hosts of a play."""

from __future__ import annotations

import typing as t

from ansible import constants
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.oncall.pressure.plugins.plugin_utils._changes_text import said

#: Callbacks whose standard output people read. Under any other one it belongs to a machine.
_FOR_PEOPLE = ("default", "debug", "yaml", "dense", "unixy", "selective")


class ActionModule(ActionBase):
    """Touches no host."""

    _requires_connection = False
    _supports_check_mode = True
    _supports_async = False
    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        super().run(tmp, task_vars)
        dummy, options = self.validate_argument_spec(argument_spec={"hosts": {"type": "dict", "required": True}})
        name = str(getattr(constants, "DEFAULT_STDOUT_CALLBACK", "default")).rpartition(".")[2]
        rows = {str(host): row if isinstance(row, t.Mapping) else {} for host, row in options["hosts"].items()}
        Display().display(said(rows), stderr=name not in _FOR_PEOPLE)
        return {"changed": False}
