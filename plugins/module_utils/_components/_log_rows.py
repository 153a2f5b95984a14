# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The rows of a document that say what logs came to, bounded in number and size.

Private to oncall.pressure: no stable interface.
"""

from __future__ import annotations

import json
import time
import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._host._text import clean
from ansible_collections.oncall.pressure.plugins.module_utils._parse import _log_signals
from ansible_collections.oncall.pressure.plugins.module_utils._parse._log_tally import Tally, Told

#: The most logs, and of each the most signals, exceptions, tasks and templates.
_ROWS = 40
_SIGNALS = 12
_EXCEPTIONS = 10
_TASKS = 10
_TEMPLATES = 5

#: The most bytes that all of them take as JSON.
SIZE_LIMIT = 49152

Row = t.Dict[str, t.Any]


def row(service: str, source: str, tally: Tally, covered_s: float | None) -> Row:
    """One log in the shape of docs/architecture.md; rates are null where it is not known over what time."""
    return {
        "service": clean(service, 200), "source": clean(source, 200), "covered_s": None if covered_s is None else round(covered_s, 1),
        "lines": tally.lines, "lines_per_s": _per_s(tally.lines, covered_s), "bytes_per_s": _per_s(tally.bytes, covered_s),
        "signals": [_signal(told, covered_s) for told in tally.signals()[:_SIGNALS]],
        "exceptions": [{"name": clean(name, 120), "count": count} for name, count in tally.exceptions.most_common(_EXCEPTIONS) if count > 0],
        "tasks": [_task(name, numbers, covered_s) for name, numbers in
                  sorted(tally.tasks.items(), key=lambda item: (-item[1][4], -sum(item[1][:4]), item[0]))[:_TASKS]],
        "templates": [{"template": clean(text, 200), "count": count} for text, count in tally.templates.top(_TEMPLATES) if count > 1],
        "debug_share": round(tally.debug / tally.sampled, 3) if tally.sampled else None,
    }


def _per_s(count: int, covered_s: float | None) -> float | None:
    return None if covered_s is None else round(count / covered_s, 4)


def _at(moment: float | None) -> str | None:
    return None if moment is None else time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(moment))


def _signal(told: Told, covered_s: float | None) -> Row:
    signal = _log_signals.SIGNALS[told.signal]
    return {
        "id": signal.id, "component": signal.component, "count": told.count, "per_s": _per_s(told.count, covered_s), "first_at": _at(told.first),
        "last_at": _at(told.last),
        "about": clean(told.about, 120) if told.about else None, "sample": clean(told.line.strip(), 240),
    }


def _task(name: str, numbers: t.Sequence[float], covered_s: float | None) -> Row:
    received, succeeded, retried, failed = (int(number) for number in numbers[:4])
    return {
        "name": clean(name, 120), "received": received, "succeeded": succeeded, "retried": retried, "failed": failed,
        "retried_per_min": None if not covered_s else round(retried / covered_s * 60.0, 2),
        "mean_s": round(numbers[4] / succeeded, 3) if succeeded else None, "max_s": round(numbers[5], 3) if succeeded else None,
    }


def _trouble(one: Row) -> int:
    usual = {signal.id for signal in _log_signals.SIGNALS if signal.usual}
    return sum(signal["count"] for signal in one["signals"] if signal["id"] not in usual) + sum(found["count"] for found in one["exceptions"])


def fitted(rows: t.Sequence[Row]) -> list[Row]:
    """Those that tell of trouble first, then the largest; where all is too much, the last lose their templates, their samples, and then go."""
    kept = sorted(rows, key=lambda one: (-_trouble(one), -one["lines"], one["service"], one["source"]))[:_ROWS]
    sizes = [_size(one) for one in kept]
    for less in (_without_templates, _without_samples):
        for place in range(len(kept) - 1, -1, -1):
            if sum(sizes) <= SIZE_LIMIT:
                return kept
            kept[place] = less(kept[place])
            sizes[place] = _size(kept[place])
    while sum(sizes) > SIZE_LIMIT:
        kept.pop()
        sizes.pop()
    return kept


def _size(one: Row) -> int:
    return len(json.dumps(one)) + 2


def _without_templates(one: Row) -> Row:
    return dict(one, templates=[])


def _without_samples(one: Row) -> Row:
    return dict(one, signals=[dict(signal, sample=None) for signal in one["signals"]])
