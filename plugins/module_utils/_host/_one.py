# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the modules have in common that measure one thing each.

Private to oncall.pressure: no stable interface.
"""

from __future__ import annotations

import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._host._collect import Collector, Options, run_all
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine

#: How long a module may take that measures one thing, in seconds: the least and the most.
TIMEOUT: t.Final = (1.0, 300.0)


def within(module: t.Any, **bounds: tuple[float, float]) -> dict[str, t.Any]:
    """The parameters of an ``AnsibleModule``, which fails where one is less than the first of its bounds or more than the second."""
    for name, (least, most) in bounds.items():
        if not least <= module.params[name] <= most:
            module.fail_json(msg="%s must be from %s to %s, not %s" % (name, least, most, module.params[name]))
    return t.cast("dict[str, t.Any]", module.params)


def answer(module: t.Any, name: str, collector: Collector, machine: Machine, options: Options, limit_s: float) -> None:
    """Collect in a child, for at most ``limit_s`` seconds, and end the module with what was found under ``name``, and how that went."""
    row = run_all({name: collector}, machine, options, limit_s).rows[name]
    module.exit_json(changed=False, status=row["status"], reason=row["reason"], seconds=row["seconds"], **{name: row["data"]})
