# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What sysstat has recorded, as its program ``sadf -j`` prints it.

Private to oncall.pressure: no stable interface. Pure: text in, plain data out. Source: sadf(1); names of fields as sysstat 12 writes them.
"""

from __future__ import annotations

import calendar
import json
import re
import time
import typing as t

_AT = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2}) ([0-9]{2}:[0-9]{2}:[0-9]{2})\Z")

#: More records than two days at one a minute are not looked at.
_RECORDS = 4000

_MOST_KIB = 2 ** 50


class Record(t.NamedTuple):
    """Memory at one moment: seconds since the epoch, bytes; null where this version of sysstat does not say it."""

    at_s: float
    available: int | None
    swap: int | None


def memory(text: str) -> list[Record]:
    """Records of ``sadf -j FILE -- -r -S``, in their order. Raises ValueError where it is no such output.

    ``avail`` is what sysstat 11.6 and newer say. What they call used has meant several things: it is not read.
    """
    try:
        hosts = json.loads(text)["sysstat"]["hosts"]
        rows = [row for host in hosts for row in host["statistics"]]
    except (KeyError, TypeError, RecursionError) as problem:
        raise ValueError("no output of sadf") from problem
    found = []
    for row in rows[-_RECORDS:]:
        stamp, figures = (row.get("timestamp"), row.get("memory")) if isinstance(row, dict) else (None, None)
        at_s = _time(stamp)
        if at_s is None or not isinstance(figures, dict):
            continue
        available, swap = _bytes(figures.get("avail")), _bytes(figures.get("swpused"))
        if available is not None or swap is not None:
            found.append(Record(at_s, available, swap))
    return found


def _time(stamp: t.Any) -> float | None:
    """UTC, which is what sadf prints unless it is told otherwise."""
    if not isinstance(stamp, dict):
        return None
    found = _AT.match("%s %s" % (stamp.get("date"), stamp.get("time")))
    try:
        return float(calendar.timegm(time.strptime("%s %s" % found.groups(), "%Y-%m-%d %H:%M:%S"))) if found is not None else None
    except (ValueError, OverflowError):
        return None


def _bytes(value: t.Any) -> int | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= _MOST_KIB:
        return None
    return int(value) * 1024
