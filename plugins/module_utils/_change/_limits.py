# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How often a host may be changed: counted on the host, across runs and controllers.

Private to oncall.pressure: no stable interface. It knows ages only by the function that it is given.
"""

from __future__ import annotations

import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._change._journal import ENDED, PENDING, Entry
from ansible_collections.oncall.pressure.plugins.module_utils._change._kinds import Refused
from ansible_collections.oncall.pressure.plugins.module_utils._host._text import clean

#: Undone this often within a day: the same change again would only flap.
UNDONE_LIMIT: t.Final = 3
#: Why a change was undone that came out and was not seen to help.
NO_EFFECT: t.Final = "no effect"
_DAY_S = 86400.0


class Limits(t.NamedTuple):
    """cool_down_s between two of the same mitigation on one service; at most max_changes on the host in window_s; 0 lifts each; max_undone, too."""

    cool_down_s: float
    max_changes: int
    window_s: float
    max_undone: int


def check(entries: t.Sequence[Entry], mitigation: str, service: str, run: str, age_s: t.Callable[[Entry], float], limits: Limits) -> None:
    """Raises Refused where one more change would be too many, or where an earlier one is still open. ``age_s``: seconds since a change was begun."""
    acted = [entry for entry in entries if entry.begun]
    for entry in entries:
        if entry.state == "undo_failed" and entry.head.get("service") == service:
            raise Refused("change %s of %s could not be undone: first see to that (oncall.pressure.status)" % (entry.id, clean(service, 200)))
        if entry.begun and entry.state in PENDING and (entry.head.get("run") != run or entry.state != "verified"):
            raise Refused(
                "change %s by %s is neither confirmed nor undone: confirm it or roll it back first (oncall.pressure.status)"
                % (entry.id, clean(str(entry.head.get("owner")), 100))
            )
    same = [entry for entry in acted if entry.head.get("mitigation") == mitigation and entry.head.get("service") == service]
    undone = [entry for entry in same if entry.state in ENDED and entry.why in ("deadline", "failed", NO_EFFECT) and age_s(entry) < _DAY_S]
    if limits.max_undone and len(undone) >= limits.max_undone:
        raise Refused("%s of %s was undone %d times within a day: it does not help here" % (mitigation, clean(service, 200), len(undone)))
    for entry in same:
        ago = age_s(entry)
        if limits.cool_down_s and ago < limits.cool_down_s and entry.why not in ("operator", NO_EFFECT):
            raise Refused("%s of %s was done %d s ago: give it %d s (cool_down) to show its effect" % (
                mitigation, clean(service, 200), round(ago), round(limits.cool_down_s)))
    recent = [entry for entry in acted if age_s(entry) < limits.window_s]
    if limits.max_changes and len(recent) >= limits.max_changes:
        raise Refused("%d changes were made on this host within %d s (max_changes): a person should look first" % (len(recent), round(limits.window_s)))
