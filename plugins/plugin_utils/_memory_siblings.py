# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What one moment says of growth: the workers of a service do the same and are of different ages; and the same workers at an earlier look.

Private to oncall.pressure: no stable interface.
"""

from __future__ import annotations

import typing as t

from ansible_collections.oncall.pressure.plugins.plugin_utils._format import age, number, size
from ansible_collections.oncall.pressure.plugins.plugin_utils._memory_history import figure
from ansible_collections.oncall.pressure.plugins.plugin_utils._memory_series import alike, material, trend
from ansible_collections.oncall.pressure.plugins.plugin_utils._values import median, num, rows, text

#: A worker younger than this still loads what it needs: its size says nothing.
_WARM_S = 300.0

#: Ages are apart where the oldest worker has this many times the age of the youngest.
_APART = 2.0

#: How much of the order of ages is that of sizes, where older ones are larger; and where they are not.
_ORDERED = 0.8
_UNORDERED = 0.5

#: Workers within this ratio are alike, whatever their order.
_ALIKE = 1.2

#: One stands out against the median of the others.
_ODD = 2.0

#: Two looks are a comparison from here on, and a worker grew between them by at least this part.
_LOOKS_S = 1800.0
_GREW = 0.2


class Moment(t.NamedTuple):
    """What one moment says. ``slope`` in bytes per second, of all workers together."""

    pattern: str
    level: str | None
    confidence: str
    slope: float | None
    evidence: list[str]
    source: str = "siblings"
    covered_s: float | None = None
    pid: int | None = None


def of_siblings(service: t.Mapping[str, t.Any]) -> Moment | None:
    """What the ages and sizes of the workers say; null where they say nothing."""
    found, dummy = _workers(service)
    warm = [(old, used) for old, used, dummy in found if old >= _WARM_S]
    if len(warm) < 3:
        return None
    ages, sizes = [old for old, dummy in warm], [used for dummy, used in warm]
    middle = median(sizes) or 0.0
    if ages[-1] < _APART * ages[0]:
        return _of_one_age(found, middle)
    order = alike(ages, sizes) if max(sizes) > min(sizes) else 0.0
    line = trend(warm)
    span = "%s to %s old" % (age(ages[0]), age(ages[-1]))
    # what grew when it was young and rests since is not growth: among the older ones, too, the older must be the larger
    older = warm[len(warm) // 2:]
    still = alike([old for old, dummy in older], [used for dummy, used in older]) if len(older) >= 4 else None
    if order is not None and order >= _ORDERED and line is not None and material(sizes[-1] - sizes[0], sizes[0]) and sizes[-1] >= _ALIKE * sizes[0] \
            and (still is None or still >= _UNORDERED):
        sure = len(warm) >= 6 and order >= 0.9
        words = "the older a worker, the larger: %s at %s, %s at %s (%d workers, %s of 1)" % (
            size(sizes[0]), age(ages[0]), size(sizes[-1]), age(ages[-1]), len(warm), number(round(order, 2)))
        return Moment("mixed", "all_workers", "medium" if sure else "low", line.slope * len(found), ["every worker grows with its age", words])
    alike_enough = max(sizes) < _ALIKE * min(sizes) or not material(max(sizes) - min(sizes), min(sizes))
    if alike_enough or (order is not None and abs(order) <= _UNORDERED and max(sizes) < 1.5 * middle):
        words = "size does not follow age: %d workers, %s, of %s to %s" % (len(warm), span, size(min(sizes)), size(max(sizes)))
        return Moment("steady", None, "medium" if len(warm) >= 4 and ages[-1] >= 3600 else "low", None, [words])
    return None


def _of_one_age(found: t.Sequence[tuple[float, float, int]], middle: float) -> Moment | None:
    """Workers that began together: one that stands out grew while the others did not."""
    largest = max(found, key=lambda worker: worker[1])
    others = [used for dummy, used, pid in found if pid != largest[2]]
    beside = median(others) or 0.0
    if largest[1] >= _ODD * beside and material(largest[1] - beside, beside) and largest[1] >= 1.5 * max(others):
        words = "workers began together, and one (%d) holds %s, the others %s" % (largest[2], size(largest[1]), size(beside))
        return Moment("one_worker_growing", "one_worker", "low", (largest[1] - beside) / max(largest[0], 1.0), [words], pid=largest[2])
    if max(used for dummy, used, dummy in found) < 1.25 * middle:
        return Moment("steady", None, "low", None, ["%d workers of one age (%s) are alike" % (len(found), age(largest[0]))])
    return None


def since_earlier(service: t.Mapping[str, t.Any], snapshot: t.Mapping[str, t.Any], earlier: t.Mapping[str, t.Any] | None) -> Moment | None:
    """The same workers at an earlier look at this host: which of them grew since. Null where they are others, or it is not long ago."""
    now_s, then_s = figure(_epoch(snapshot)), figure(_epoch(earlier))
    if earlier is None or now_s is None or then_s is None or now_s - then_s < _LOOKS_S or _boot(earlier) != _boot(snapshot):
        return None
    before = next((row for row in rows(earlier, "services") if row.get("id") == service.get("id")), None)
    if before is None:
        return None
    apart = now_s - then_s
    (found, measure), (known, same) = _workers(service), _workers(before)
    # a process of the same number is the same one where it has become as much older as time went by
    slack = 5 + 0.02 * apart
    pairs = [(used, was, pid) for old, used, pid in found for younger, was, same_pid in known if pid == same_pid and abs(old - younger - apart) < slack]
    if measure != same or len(pairs) < 2 or len(pairs) * 2 < len(found):
        return None
    grew = [(used - was, pid, was, used) for used, was, pid in pairs if used - was >= _GREW * was and material(used - was, was)]
    when = "%s ago" % age(apart)
    if not grew:
        return Moment("steady", None, "medium", None, ["%d of its workers hold what they held %s" % (len(pairs), when)], "baseline", apart)
    slope = sum(rise for rise, dummy, dummy, dummy in grew) / apart
    if len(grew) * 2 < len(pairs) or (len(grew) == 1 and len(pairs) > 1):
        rise, pid, was, used = max(grew)
        words = "worker %d held %s %s, and holds %s; %d others grew by no more than %d %%" % (
            pid, size(was), when, size(used), len(pairs) - len(grew), 100 * _GREW)
        return Moment("one_worker_growing", "one_worker", "medium", slope, [words], "baseline", apart, pid)
    words = "%d of %d workers hold more than %s, by %s each" % (len(grew), len(pairs), when, size(median([rise for rise, dummy, dummy, dummy in grew]) or 0.0))
    return Moment("mixed", "all_workers", "medium", slope, ["every worker grows", words], "baseline", apart)


def _workers(service: t.Mapping[str, t.Any]) -> tuple[list[tuple[float, float, int]], str]:
    """``([(age, bytes, pid)] youngest first, what was measured)``: PSS where it was read of all."""
    listed = rows(service, "workers")
    key = "pss_bytes" if listed and all(num(row, "pss_bytes") is not None for row in listed) else "rss_bytes"
    found = [(figure(row.get("age_s")), figure(row.get(key)), figure(row.get("pid"), 2.0 ** 31)) for row in listed]
    return sorted((old, used, int(pid)) for old, used, pid in found if old is not None and used is not None and pid is not None), key


def _epoch(snapshot: t.Mapping[str, t.Any] | None) -> t.Any:
    taken = (snapshot or {}).get("taken")
    return taken.get("epoch_s") if isinstance(taken, dict) else None


def _boot(snapshot: t.Mapping[str, t.Any]) -> str | None:
    return text(snapshot, "taken", "boot_id")
