# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Make the folder of one run's documents on the controller."""

from __future__ import annotations

import os
import typing as t

from ansible.plugins.action import ActionBase

from ansible_collections.oncall.pressure.plugins.plugin_utils import _documents


class ActionModule(ActionBase):
    """The action of the report_folder module."""

    TRANSFERS_FILES = False
    _supports_check_mode = True
    _requires_connection = False
    _VALID_ARGS = frozenset(("base",))

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        super().run(tmp, task_vars)
        base = os.path.abspath(os.path.expanduser(str(self._task.args.get("base") or "reports")))
        try:
            return {"changed": False, "path": _documents.new_folder(base), "latest": os.path.join(base, "latest")}
        except OSError as problem:
            return {"failed": True, "changed": False,
                    "msg": "no report can be written under %s: %s; name another folder with -e pressure_report_dir=DIR" % (base, problem.strerror or problem)}
