# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What rules look at in the memory of a service over time, and what it adds to a verdict about memory.

Private to oncall.pressure: no stable interface.
"""

from __future__ import annotations

import typing as t

from ansible_collections.oncall.pressure.plugins.plugin_utils._format import age, size
from ansible_collections.oncall.pressure.plugins.plugin_utils._values import num, rows, text

Row = t.Dict[str, t.Any]

#: What was seen over time, rather than at one moment.
_OVER_TIME = ("history", "window", "baseline")

#: What a verdict about memory says it does not know where one moment was looked at.
ONE_MOMENT: t.Final = "growth over time (one moment was looked at)"

#: Services of one host that the diagnosis tells of, and what it says of each.
_TOLD = 50
_LINES = 12

_ENDS = {"service": "its limit", "host": "the host's memory"}

#: Beyond this nobody asks when memory ends.
_FAR_S = 30 * 86400.0

_KINDS = {"follows_jobs": "with_tasks", "follows_traffic": "with_requests"}


def memory_figures(row: t.Mapping[str, t.Any] | None, unread: bool = False) -> Row:
    """The figures under ``derived.growth`` of a service, of its row of ``_memory_pattern``.

    ``pattern`` is always known, and ``kind`` as well: a host without a history is not one of which rules are unknown. One that has a history that could
    not be read (``unread``) is. ``kind``: what grows and goes on growing, ``one_worker``, ``all_workers``, ``tree``, ``background``, ``with_tasks``,
    ``with_requests``, else ``none``.
    """
    kind = "none"
    over_time = text(row, "from") in _OVER_TIME
    if row is not None and row.get("grows") is True:
        kind = _KINDS.get(str(row.get("pattern"))) or text(row, "level") or "tree"
    each = row.get("per") if row is not None else None
    what = next(iter(each), None) if isinstance(each, dict) else None
    return {
        "pattern": text(row, "pattern") or "unknown",
        "kind": kind if over_time or not unread else None,
        "over_time": over_time if over_time or not unread else None,
        "confidence": text(row, "confidence") or "low",
        "covered_s": num(row, "covered_s"),
        "per_hour": num(row, "growth_bytes_per_hour"),
        "pid": num(row, "pid"),
        "ends_of": _ENDS.get(text(row, "ends_in_s", "of") or ""),
        "ends_s": num(row, "ends_in_s", "s"),
        "soonest_s": num(row, "ends_in_s", "from_s"),
        "latest_s": num(row, "ends_in_s", "to_s"),
        "each_bytes": num(each, what) if what is not None else None,
        "each_what": what,
    }


def tell(verdicts: t.Iterable[Row], patterns: t.Mapping[str, Row]) -> None:
    """Add to verdicts about memory what was seen of their service over time: a pattern where they name none, and what decided it."""
    for verdict in verdicts:
        if verdict["resource"] != "memory" or verdict["service"] is None:
            continue
        row = patterns.get(verdict["service"])
        over_time = row is not None and row["from"] in _OVER_TIME
        if row is None or row["pattern"] == "unknown":
            said: list[str] = []
        elif verdict["pattern"] == "unknown":
            verdict["pattern"] = row["pattern"]
            said = row["evidence"]
        elif over_time and (verdict["cause"], verdict["pattern"], row["pattern"]) == ("concurrency", "every_worker_large", "jump_after_concurrency_change"):
            # both are true, and that it began when workers were added says more than how they look now
            verdict["pattern"] = row["pattern"]
            said = row["evidence"]
        elif verdict["pattern"] == row["pattern"]:
            # what one moment says the rule has said already
            said = row["evidence"] if over_time else []
        else:
            # the rule has a pattern from one moment, and the history another: both stand there
            said = ["over time: %s" % line for line in row["evidence"][:1]] if over_time else []
        # what grows and is not said to yet: when that ends is the first thing to know
        first = outlook(row) if over_time and row is not None and verdict["cause"] != "growth" else None
        before = [first] if first is not None else []
        verdict["evidence"] = before + verdict["evidence"] + [line for line in said if line not in verdict["evidence"]]
        if over_time:
            verdict["missing"] = [line for line in verdict["missing"] if line != ONE_MOMENT]


def outlook(row: t.Mapping[str, t.Any]) -> str | None:
    """``it grows by 98 MiB an hour: its limit ends in about 61 min (50 min to 75 min)``; null where it does not grow."""
    per_hour, ends = num(row, "growth_bytes_per_hour"), num(row, "ends_in_s", "s")
    if row.get("grows") is not True or per_hour is None or per_hour <= 0:
        return None
    words = "it grows by %s an hour" % size(per_hour)
    if ends is None or ends > _FAR_S:
        return words
    soonest, latest = num(row, "ends_in_s", "from_s"), num(row, "ends_in_s", "to_s")
    between = "" if soonest is None or latest is None else " (%s to %s)" % (age(soonest), age(latest))
    return "%s: %s ends in about %s%s" % (words, _ENDS.get(text(row, "ends_in_s", "of") or "", "memory"), age(ends), between)


def told(patterns: t.Mapping[str, Row], snapshot: t.Mapping[str, t.Any]) -> list[Row]:
    """The rows for the diagnosis: what has a pattern, or a history that does not say one; what grows first, then what holds most."""
    watched = {text(row, "id") for row in rows(snapshot, "memory_history", "services")}
    held = {text(row, "id"): num(row, "memory", "bytes") or 0.0 for row in rows(snapshot, "services")}
    worth = [row for row in patterns.values() if row["pattern"] != "unknown" or row["service"] in watched]
    worth.sort(key=lambda row: (not row["grows"], -held.get(row["service"], 0.0), row["service"]))
    return [{**row, "evidence": row["evidence"][:_LINES], "missing": row["missing"][:_LINES]} for row in worth[:_TOLD]]
