# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a Prometheus server answers to ``/api/v1/query_range``: series of numbers over time.

Private to oncall.pressure: no stable interface. Pure: text in, plain data out. The server is whatever answers at an address: nothing of it is believed.
"""

from __future__ import annotations

import json
import math
import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._host._text import clean

#: The most series of an answer and points of a series that are looked at: a host has some hundred control groups, and we ask for some fifty points.
SERIES: t.Final = 2000
POINTS: t.Final = 200

#: The labels that are looked at, and the longest value of one: a control group's path with room to spare.
LABELS: t.Final = ("instance", "job", "id", "groupname")
_LABEL = 512

_MOST = 2.0 ** 60


class Series(t.NamedTuple):
    """One series: those of LABELS that it has, and (seconds since the epoch, value), the oldest first."""

    labels: dict[str, str]
    points: tuple[tuple[float, float], ...]


def series(text: str) -> list[Series]:
    """The series of an answer; a value that is none (NaN, infinite, negative) is left out. Raises ValueError where it is no such answer, with why."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError("its answer is no JSON") from None
    if not isinstance(value, dict):
        raise ValueError("its answer is none of Prometheus")
    if value.get("status") == "error":
        raise ValueError(refusal(value) or "it refused the question")
    data = value.get("data")
    if value.get("status") != "success" or not isinstance(data, dict) or data.get("resultType") != "matrix" or not isinstance(data.get("result"), list):
        raise ValueError("its answer is none of Prometheus")
    cleaned: dict[str, str] = {}
    return [found for found in (_one(row, cleaned) for row in data["result"][:SERIES]) if found is not None]


def refusal(value: t.Any) -> str | None:
    """What an answer says of why there is none, as ``bad_data: parse error``; null where it says nothing."""
    words = [value.get(key) for key in ("errorType", "error")] if isinstance(value, dict) else []
    return clean(": ".join(word[:1000] for word in words if isinstance(word, str) and word), 200) or None


def refused(text: str) -> str | None:
    """The same of the text of an answer whose status was no success."""
    try:
        return refusal(json.loads(text))
    except (ValueError, RecursionError):
        return None


def _one(value: t.Any, cleaned: dict[str, str]) -> Series | None:
    """One row; ``cleaned`` keeps what was made harmless already: the same names stand in all rows."""
    if not isinstance(value, dict) or not isinstance(value.get("metric"), dict) or not isinstance(value.get("values"), list):
        return None
    labels: dict[str, str] = {}
    for name in LABELS:
        label = value["metric"].get(name)
        if isinstance(label, str):
            if label not in cleaned:
                cleaned[label] = clean(label, _LABEL)
            labels[name] = cleaned[label]
    points: dict[float, float] = {}
    for pair in value["values"][-POINTS:]:
        if isinstance(pair, list) and len(pair) == 2:
            moment, size = _number(pair[0]), _number(pair[1])
            if moment is not None and size is not None:
                points[moment] = size
    return Series(labels, tuple(sorted(points.items())))


def _number(value: t.Any) -> float | None:
    """A number from nothing to what memory can be; Prometheus writes values as text, since JSON has no NaN."""
    if isinstance(value, str):
        try:
            value = float(value[:40])
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= _MOST:
        return None
    return float(value) if math.isfinite(value) else None
