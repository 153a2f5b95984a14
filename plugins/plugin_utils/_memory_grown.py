# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which processes of a service grow: one worker, all of them, something beside them, or the one process that there is.

Private to oncall.pressure: no stable interface.
"""

from __future__ import annotations

import typing as t

from ansible_collections.oncall.pressure.plugins.plugin_utils._format import age, size
from ansible_collections.oncall.pressure.plugins.plugin_utils._memory_history import Aged, History
from ansible_collections.oncall.pressure.plugins.plugin_utils._memory_series import (
    Series, Trend, falls, flattened, material, rising, smoothed, stepped, trend,
)
from ansible_collections.oncall.pressure.plugins.plugin_utils._values import median, num, text

#: What a worker must have been seen for, of the whole time, and the fewest points.
_SEEN = 0.3
_POINTS = 6

#: A worker that grows by less than this part of its service is no matter where the service as a whole does not grow.
_WEIGHS = 0.1


class Grown(t.NamedTuple):
    """What grows. ``slope`` and its bounds in bytes per second; ``pid``: the one that grows."""

    level: str
    slope: float
    slowest: float
    fastest: float
    evidence: list[str]
    sure: bool
    pid: int | None = None


class Rest(t.NamedTuple):
    """Why it does not grow, in words; ``step`` is (age, before, after) where memory jumped and stayed."""

    evidence: list[str]
    step: tuple[float, float, float] | None = None


def grown(history: History, service: t.Mapping[str, t.Any]) -> Grown | Rest:
    """The processes that grow and go on growing, or why none is said to."""
    total = history.total
    whole = trend(total)
    if whole is None:
        return Rest(["too few points"])
    came_down = falls([(moment, value) for (moment, dummy), value in zip(total, smoothed([value for dummy, value in total]))])
    if came_down:
        teeth = _teeth(total, came_down)
        if teeth is not None:
            return Rest([teeth])
    step = stepped(total, whole)
    if step is not None and step[2] > step[1]:
        after = total[step[0]:]
        line = trend(after)
        if not rising(line, step[2]):
            return Rest([], (-total[step[0]][0], step[1], step[2]))
    ascends = rising(whole)
    if ascends and flattened(total, whole):
        moment = total[_knee(total)][0]
        return Rest(["it grew from %s to %s and is flat since %s" % (size(total[0][1]), size(total[-1][1]), age(-moment))])
    measured = [worker for worker in history.workers if len(worker.series) >= _POINTS and _span(worker.series) >= _SEEN * history.covered_s]
    replaced = [worker for worker in history.workers if worker.started_s is not None and worker.started_s < 0.9 * history.covered_s]
    lines = [(worker, line) for worker in measured for line in [trend(worker.series)] if line is not None]
    growing = [(worker, line) for worker, line in lines if rising(line) and not flattened(worker.series, line)]
    if not ascends:
        # workers that are replaced grow each, and the service does not
        growing = [(worker, line) for worker, line in growing if material(line.rise, whole.level) and line.rise >= _WEIGHS * whole.level] \
            if len(replaced) < 2 else []
        if not growing:
            return Rest([_recycled(replaced, total)] if len(replaced) >= 2 and any(rising(line) for dummy, line in lines) else [])
    return _level(history, service, whole, growing, lines, ascends)


def _level(
    history: History, service: t.Mapping[str, t.Any], whole: Trend, growing: t.Sequence[tuple[Aged, Trend]], lines: t.Sequence[tuple[Aged, Trend]],
    ascends: bool,
) -> Grown:
    count = _count(history) or (float(len(lines)) if lines else None)
    slopes = [line for dummy, line in growing]
    base = whole if ascends else Trend(*(sum(values) for values in zip(*slopes)))
    covered = age(history.covered_s)
    sure = ascends and whole.tau >= 0.7
    most = max(slopes, key=lambda line: line.slope, default=None)
    if growing and most is not None:
        others = [line for dummy, line in lines if line not in slopes]
        share = most.slope / sum(line.slope for line in slopes)
        # of many workers the largest alone are listed: where their median grows, the others do too
        if len(growing) == 1 or (share >= 0.7 and len(growing) * 2 < len(lines)) or (len(growing) * 2 < len(lines)):
            worker, line = next(pair for pair in growing if pair[1] is most)
            words = ["worker %d grew from %s to %s in %s" % (worker.pid, size(worker.series[0][1]), size(worker.series[-1][1]), covered)]
            if others:
                words.append("the other %d of %d workers stayed at %s" % (len(others), len(lines), size(median([other.level for other in others]) or 0.0)))
            if len(growing) > 1:
                words.append("%d of %d workers grow" % (len(growing), len(lines)))
            if worker.started_s is not None:
                words.append("it started %s ago" % age(worker.started_s))
            single = len(lines) == 1 and (count or 1) <= 1
            level = "background" if single and not _web(service) else "one_worker"
            return Grown(level, base.slope, base.slowest, base.fastest, words, sure and (len(lines) >= 2 or single), worker.pid)
        words = ["%d of %d workers grow, each by %s in %s" % (
            len(growing), len(lines), size(median([line.rise for line in slopes]) or 0.0), covered)]
        return Grown("all_workers", base.slope, base.slowest, base.fastest, words, sure)
    words = ["it grew from %s to %s in %s" % (size(history.points[0].bytes), size(history.points[-1].bytes), covered)]
    largest, middle = trend(history.of("largest")), trend(history.of("median"))
    if rising(middle) and (count or 0) >= 2:
        return Grown("all_workers", base.slope, base.slowest, base.fastest, [*words, "the median of its %d workers with it" % (count or 0)], sure)
    if rising(largest) and (count or 0) >= 2:
        return Grown("one_worker", base.slope, base.slowest, base.fastest, [*words, "its largest worker with it, their median not"], sure)
    if not lines and not (count or 0) and (num(service, "processes") or 1) <= 2:
        return Grown("background", base.slope, base.slowest, base.fastest, [*words, "it is one process"], sure)
    if lines or count:
        words.append("its workers do not: what grows is their parent or what they start")
    return Grown("tree", base.slope, base.slowest, base.fastest, words, False)


def _web(service: t.Mapping[str, t.Any]) -> bool:
    return service.get("role") in ("web", "proxy") or text(service, "component") in ("gunicorn", "uvicorn", "nginx")


def _count(history: History) -> float | None:
    return median([value for dummy, value in history.of("workers")])


def _span(series: Series) -> float:
    return series[-1][0] - series[0][0] if series else 0.0


def _knee(total: Series) -> int:
    """The first point that is within a tenth of the rise of where it ended."""
    low, high = total[0][1], median([value for dummy, value in total[-max(len(total) // 4, 1):]]) or 0.0
    return next((index for index, (dummy, value) in enumerate(total) if value >= low + 0.9 * (high - low)), len(total) - 1)


def _teeth(total: Series, came_down: t.Sequence[int]) -> str | None:
    """Words for memory that grows, falls and grows to no more than before; null where it gets higher each time, or fell once and is above that now."""
    edges = [0, *came_down, len(total)]
    peaks = [max(value for dummy, value in total[start:end]) for start, end in zip(edges, edges[1:])]
    full = peaks[:-1] if len(peaks) > 2 else peaks
    last = max(full[-1], peaks[-1])
    if material(last - full[0], full[0]) and last >= 1.15 * full[0]:
        return None
    low = median([min(value for dummy, value in total[start:end]) for start, end in zip(edges[1:], edges[2:])]) or 0.0
    return "it fell %s, and grew again to no more than before: between %s and %s" % (
        "%d times" % len(came_down) if len(came_down) > 1 else "once", size(low), size(max(peaks)))


def _recycled(replaced: t.Sequence[Aged], total: Series) -> str:
    values = [value for dummy, value in total]
    return "%d workers were replaced in this time, and it stayed between %s and %s" % (len(replaced), size(min(values)), size(max(values)))
