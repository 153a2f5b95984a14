# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Take values out of a document that anyone may have sent: the wrong type is the same as not measured.

Private to oncall.pressure: no stable interface.
"""

from __future__ import annotations

import math
import re
import typing as t

#: What may stand in a command that a person pastes into a shell, and in a variable that Ansible would template.
#: (The places that stand for identifiers in a folded path are harmless in both.)
_PLAIN: t.Final = re.compile(r"(?:[A-Za-z0-9_./:@%+,=~^-]|\{(?:n|uuid|hex|token)\}){1,200}")


def plain(value: t.Any) -> bool:
    """Whether a value is text that is harmless by its letters, in a shell and as a variable of a play."""
    return isinstance(value, str) and _PLAIN.fullmatch(value) is not None


def at(document: t.Any, *path: str) -> t.Any:
    """What lies at a path of keys, null where a step is missing or no mapping."""
    for key in path:
        if not isinstance(document, dict):
            return None
        document = document.get(key)
    return document


def num(document: t.Any, *path: str) -> float | None:
    """The number at a path, null where there is none (a boolean is none)."""
    # the loop of at(), which would be one call more for each of the thousands of figures of a host
    for key in path:
        if not isinstance(document, dict):
            return None
        document = document.get(key)
    if isinstance(document, bool) or not isinstance(document, (int, float)) or not math.isfinite(document):
        return None
    return document


def text(document: t.Any, *path: str) -> str | None:
    """The text at a path, null where there is none."""
    for key in path:
        if not isinstance(document, dict):
            return None
        document = document.get(key)
    return document if isinstance(document, str) and document else None


def rows(document: t.Any, *path: str) -> list[dict[str, t.Any]]:
    """The mappings of the list at a path; an empty list where there is none."""
    value = at(document, *path)
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def ratio(part: float | None, whole: float | None) -> float | None:
    """``part / whole``, null where either is unknown or the whole is nothing."""
    return None if part is None or not whole else part / whole


def pct(part: float | None, whole: float | None) -> float | None:
    """The part in per cent of the whole, null where either is unknown."""
    share = ratio(part, whole)
    return None if share is None else share * 100


def known(*values: float | None) -> list[float]:
    """The values that were measured."""
    return [value for value in values if value is not None]


def median(values: t.Sequence[float]) -> float | None:
    """The median, null of nothing."""
    if not values:
        return None
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def whole(value: t.Any) -> int | None:
    """A count out of a setting's value: 4, "4" and "10,3" (autoscale: the most) are counts; anything else is null."""
    if isinstance(value, (list, tuple)) and value:
        counts = [whole(item) for item in value]
        return max(count for count in counts if count is not None) if all(count is not None for count in counts) else None
    if isinstance(value, str):
        parts = value.split(",")
        return max(map(int, parts)) if all(part.strip().isdecimal() and len(part) < 10 for part in parts) else None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value) or value < 0:
        return None
    return int(value)
