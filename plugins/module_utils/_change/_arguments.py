# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options that every changing module has, and what the engine makes of them. Documented in the fragment ``oncall.pressure._change``.

Private to oncall.pressure: no stable interface.
"""

from __future__ import annotations

import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._change import _journal
from ansible_collections.oncall.pressure.plugins.module_utils._change._kinds import Refused
from ansible_collections.oncall.pressure.plugins.module_utils._change._limits import UNDONE_LIMIT, Limits
from ansible_collections.oncall.pressure.plugins.module_utils._host._text import clean

ARGUMENTS: t.Final[dict[str, dict[str, t.Any]]] = {
    "incident": {"type": "str", "default": ""},
    "owner": {"type": "str", "default": ""},
    "reason": {"type": "str", "default": ""},
    "confirm_within": {"type": "int", "default": 900},
    "lifetime": {"type": "int", "default": 0},
    "cool_down": {"type": "int", "default": 300},
    "max_changes": {"type": "int", "default": 10},
    "changes_window": {"type": "int", "default": 3600},
    "max_undone": {"type": "int", "default": UNDONE_LIMIT},
    "accept_irreversible": {"type": "bool", "default": False},
}

#: What is accepted: (least, most). The least confirm_within leaves time to arm; more than a day is no deadline.
_BOUNDS = {
    "confirm_within": (3, 86400), "lifetime": (0, 2592000), "cool_down": (0, 86400), "max_changes": (0, 1000), "changes_window": (1, 604800),
    "max_undone": (0, 1000),
}


class Settings(t.NamedTuple):
    """incident: id; run: whose lease it is (the incident); owner, reason: for people; lifetime_s: null where a confirmed change stays."""

    incident: str
    owner: str
    reason: str
    confirm_within_s: float
    lifetime_s: float | None
    limits: Limits
    accept_irreversible: bool


def settings_from(parameters: t.Mapping[str, t.Any]) -> Settings:
    """The engine's settings. Raises Refused on a value that is none."""
    for name, (least, most) in _BOUNDS.items():
        if not least <= parameters[name] <= most:
            raise Refused("%s must be from %d to %d, not %d" % (name, least, most, parameters[name]))
    incident = str(parameters["incident"])
    if incident and not _journal.is_id(incident):
        raise Refused("incident must be letters, digits and dashes, at most 48, not %s" % clean(incident, 80))
    return Settings(
        incident, clean(str(parameters["owner"]), 100) or "unknown", clean(str(parameters["reason"]), 300), float(parameters["confirm_within"]),
        float(parameters["lifetime"]) or None,
        Limits(float(parameters["cool_down"]), parameters["max_changes"], float(parameters["changes_window"]), parameters["max_undone"]),
        parameters["accept_irreversible"],
    )
