# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fill sentences with measured values: plain placeholders with a unit, no template language.

Private to oncall.pressure: no stable interface.

``{name}`` is a fact as text, ``{name:bytes}`` a fact in a unit. A sentence with a fact that was not measured is not said.
"""

from __future__ import annotations

import re
import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._host._text import clean
from ansible_collections.oncall.pressure.plugins.plugin_utils._evaluate import is_number

_PLACEHOLDER = re.compile(r"\{([a-z][a-z0-9_]*)(?::([a-z]+))?\}")
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


class BadTemplate(ValueError):
    """A sentence that cannot be filled; the text says why."""


def size(value: float) -> str:
    """Bytes for people: ``412 MiB``, ``3.6 GiB``."""
    number = float(value)
    unit = 0
    while abs(number) >= 1023.5 and unit < len(_UNITS) - 1:
        number /= 1024
        unit += 1
    places = 1 if unit >= 3 and abs(number) < 99.95 else 0
    return "%.*f %s" % (places, number, _UNITS[unit])


def age(seconds: float) -> str:
    """A duration for people: ``45 s``, ``12 min``, ``3 h``, ``2 d``."""
    for limit, divisor, unit in ((120, 1, "s"), (7200, 60, "min"), (172800, 3600, "h")):
        if seconds < limit:
            return "%d %s" % (round(seconds / divisor), unit)
    return "%d d" % round(seconds / 86400)


def number(value: float) -> str:
    """A number with as many places as say something: ``41``, ``3.2``, ``0.04``."""
    if isinstance(value, int) or abs(value) >= 100 or value == int(value):
        return "%d" % round(value)
    if abs(value) >= 1:
        return ("%.1f" % value).rstrip("0").rstrip(".")
    return "%.2g" % value


def _clock(value: t.Any) -> str:
    """The time of day of an ISO time, with its Z."""
    found = re.fullmatch(r"\d{4}-\d\d-\d\dT(\d\d:\d\d:\d\d)(?:\.\d+)?Z", str(value))
    return found.group(1) + "Z" if found else clean(str(value), 40)


def _text(value: t.Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(_text(item) for item in value[:5])
    return number(value) if is_number(value) else clean(str(value), 120)


def _cores(value: float) -> str:
    if value < 0.995:
        return "%s of a core" % number(round(value, 2))
    return "1 core" if value < 1.05 else "%s cores" % number(round(value, 1))


_NUMERIC: dict[str, t.Callable[[t.Any], str]] = {
    "bytes": size,
    "age": age,
    "pct": lambda value: "%s %%" % ("%.1f" % value if 0 < abs(value) < 1 else "%d" % round(value)),
    "share": lambda value: "%d %%" % round(value * 100),
    "count": lambda value: "%d" % round(value),
    "number": number,
    "cores": _cores,
    "cpus": lambda value: "%s CPU%s" % (number(round(value, 1)), "" if value == 1 else "s"),
    "ratio": lambda value: "%s times" % number(round(value, 1)),
    "rate": lambda value: "%s/s" % number(value),
}

#: What may stand behind the colon of a placeholder.
FORMATS = (*_NUMERIC, "text", "clock")


def placeholders(template: str) -> list[str]:
    """The names in a sentence. Raises BadTemplate for an unknown unit or a stray brace."""
    names = []
    for found in _PLACEHOLDER.finditer(template):
        if found.group(2) is not None and found.group(2) not in FORMATS:
            raise BadTemplate("unknown unit %r (known: %s)" % (found.group(2), ", ".join(sorted(FORMATS))))
        names.append(found.group(1))
    rest = _PLACEHOLDER.sub("", template)
    if "{" in rest or "}" in rest:
        raise BadTemplate("a brace that is no {name} or {name:unit}")
    return names


def fill(template: str, values: t.Mapping[str, t.Any]) -> str | None:
    """The sentence with its values, null where one of them was not measured or does not have that unit."""
    parts: list[str] = []
    position = 0
    for found in _PLACEHOLDER.finditer(template):
        value = values.get(found.group(1))
        written = None if value is None else _write(value, found.group(2) or "text")
        if written is None:
            return None
        parts += [template[position:found.start()], written]
        position = found.end()
    return "".join(parts) + template[position:]


def _write(value: t.Any, unit: str) -> str | None:
    if unit == "text":
        return _text(value)
    if unit == "clock":
        return _clock(value)
    return _NUMERIC[unit](value) if is_number(value) else None
