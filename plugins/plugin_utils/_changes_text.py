# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Say what was changed on hosts: lines for people, from what the modules returned.

Private to oncall.pressure: no stable interface. Pure: data in, text out.
"""

from __future__ import annotations

import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._host._text import clean

#: How many changes that are over are listed for each host.
_PAST = 3

#: An undo may wait for another that is under way; later than this, in seconds, nobody is at it.
_LATE_S = 120

_OVER = ("undone", "expired")

Row = t.Mapping[str, t.Any]


def said(hosts: t.Mapping[str, Row]) -> str:
    """One block for each host where something was changed or could not be, one line of counts for all.

    ``hosts``: by host what incident_info returned (``entries``, ``lease``, ``read_only``); without ``entries`` it did not answer.
    """
    lines: list[str] = []
    counts: dict[str, int] = {}
    width = max([len(clean(host, 60)) for host in hosts] or [0])
    for host in sorted(hosts):
        state, block = _host(hosts[host])
        counts[state] = counts.get(state, 0) + 1
        for place, line in enumerate(block):
            lines.append("%-*s  %s" % (width, clean(host, 60) if place == 0 else "", line))
    order = ("critical", "open", "in effect", "unchanged", "not answered")
    lines.append("%d host%s: %s." % (len(hosts), "" if len(hosts) == 1 else "s", ", ".join("%d %s" % (counts[name], name) for name in order if name in counts)))
    return "\n".join(lines)


def _host(row: Row) -> tuple[str, list[str]]:
    """What a host counts as, and its lines."""
    entries = row.get("entries")
    if not isinstance(entries, (list, tuple)):
        return "not answered", ["NOT ANSWERED  " + clean(str(row.get("msg") or "no answer"), 300)]
    alive = [entry for entry in entries if entry.get("state") not in _OVER]
    over = [entry for entry in entries if entry.get("state") in _OVER][-_PAST:]
    lines: list[str] = []
    for entry in list(reversed(alive)) + list(reversed(over)):
        lines += _entry(entry)
    if row.get("read_only"):
        lines.append("READ-ONLY     /etc/oncall-pressure/read-only refuses every change")
    state = "unchanged"
    if any(entry.get("state") == "undo_failed" or _overdue(entry) for entry in alive):
        state = "critical"
    elif any(entry.get("state") != "confirmed" for entry in alive):
        state = "open"
    elif alive:
        state = "in effect"
    return state, lines


def _overdue(entry: Row) -> bool:
    """Whether the host should have undone it long ago: what would do that is gone."""
    late = entry.get("overdue_s")
    return isinstance(late, (int, float)) and late > _LATE_S and entry.get("state") != "undo_failed"


def _entry(entry: Row) -> list[str]:
    """One change: what, by whom, how long ago, what becomes of it, and how to name it."""
    state = str(entry.get("state"))
    word = {"undo_failed": "CRITICAL", "confirmed": "IN EFFECT", "undone": "UNDONE", "expired": "EXPIRED"}.get(state, "OPEN")
    left = entry.get("undone_in_s")
    if _overdue(entry):
        word = "CRITICAL"
    line = "%-13s %s of %s by %s, %s ago" % (
        word, clean(str(entry.get("mitigation")), 60), clean(str(entry.get("service")), 100), clean(str(entry.get("owner")), 60), span(entry.get("age_s")))
    if _overdue(entry):
        line += ": %s, and the host should have undone it %s ago: run oncall.pressure.rollback" % (state, span(entry.get("overdue_s")))
    elif word == "OPEN":
        line += ": %s" % (state if left is None else "%s, undone by the host in %s unless confirmed" % (state, span(left)))
    elif left is not None and state == "confirmed":
        line += ", ends by itself in %s" % span(left)
    elif entry.get("why") and state in _OVER:
        line += " (%s%s)" % (clean(str(entry["why"]), 100), ", by %s" % clean(str(entry["by"]), 60) if entry.get("by") else "")
    lines = [line]
    name = "              change %s" % clean(str(entry.get("entry")), 80)
    if entry.get("reason"):
        name += ", because: %s" % clean(str(entry["reason"]), 200)
    lines.append(name)
    for problem in entry.get("problems") or []:
        lines.append("              not undone: %s" % clean(str(problem), 300))
    if entry.get("command"):
        lines.append("              by hand, on the host, as root: %s" % clean(str(entry["command"]), 300))
    return lines


def span(seconds: t.Any) -> str:
    """A length of time in the unit that a person would use."""
    if not isinstance(seconds, (int, float)):
        return "unknown time"
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return "%d %s" % (seconds // size, unit)
    return "%d s" % seconds
