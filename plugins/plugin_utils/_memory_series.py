# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Robust statistics of short series: does it rise, does it go on rising, in what does it follow another one.

Private to oncall.pressure: no stable interface.

Memory is measured with noise, in steps, and by programs that allocate in arenas: everything here goes by ranks and medians, so that one odd
point decides nothing. A series is a sequence of ``(seconds, value)``, oldest first.
"""

from __future__ import annotations

import math
import typing as t

from ansible_collections.oncall.pressure.plugins.plugin_utils._values import median

Series = t.Sequence[t.Tuple[float, float]]

#: What a rise must be to matter: this part of the level and this much. A smaller one is what any program does.
MATERIAL_SHARE: t.Final = 0.05
MATERIAL_BYTES: t.Final = 4 * 1024 * 1024

#: Points that are compared pair by pair; more are thinned out by medians.
_PAIRWISE = 40

#: A series has a direction where this much more of its pairs rise than fall, and chance does not do that (in deviations).
_TAU = 0.45
_DEVIATIONS = 2.6

#: The end of a series, and which part of the whole's slope it must still have: what has flattened does not grow.
_END = 0.4
_STILL = 0.35


class Trend(t.NamedTuple):
    """The line through a series: per second, with the bounds of its 95 % interval; what it rises over the whole; how much it scatters; its level;
    the share of pairs that rise less that of those that fall; the same in deviations of chance."""

    slope: float
    slowest: float
    fastest: float
    rise: float
    noise: float
    level: float
    tau: float
    deviations: float


def thinned(series: Series, most: int = _PAIRWISE) -> Series:
    """No more than ``most`` points: medians of neighbours."""
    if len(series) <= most:
        return series
    found = []
    for index in range(most):
        group = series[index * len(series) // most:(index + 1) * len(series) // most]
        found.append((_middle([point[0] for point in group]), _middle([point[1] for point in group])))
    return found


def trend(series: Series) -> Trend | None:
    """The line after Theil and Sen; null of fewer than four points or no time."""
    series = thinned(series)
    count = len(series)
    if count < 4 or series[-1][0] <= series[0][0]:
        return None
    slopes = sorted(
        (after[1] - before[1]) / (after[0] - before[0])
        for index, after in enumerate(series) for before in series[:index] if after[0] > before[0]
    )
    score = sum((slope > 0) - (slope < 0) for slope in slopes)
    chance = math.sqrt(count * (count - 1) * (2 * count + 5) / 18)
    around = int(1.96 * chance)
    low, high = max((len(slopes) - around) // 2 - 1, 0), min((len(slopes) + around) // 2, len(slopes) - 1)
    slope = _middle(slopes)
    rests = [value - slope * (moment - series[0][0]) for moment, value in series]
    start = _middle(rests)
    return Trend(
        slope, slopes[low], slopes[high], slope * (series[-1][0] - series[0][0]), 1.4826 * _middle([abs(rest - start) for rest in rests]),
        _middle([value for dummy, value in series]), score / len(slopes), score / chance,
    )


def material(rise: float, level: float) -> bool:
    """Whether a rise matters against a level."""
    return rise >= max(MATERIAL_SHARE * level, MATERIAL_BYTES)


def rising(found: Trend | None, level: float | None = None) -> bool:
    """Whether a trend is a rise that matters (against its own level or another) and no accident."""
    return (
        found is not None and found.tau >= _TAU and found.deviations >= _DEVIATIONS and found.rise >= 1.5 * found.noise
        and material(found.rise, found.level if level is None else level)
    )


def flattened(series: Series, whole: Trend) -> bool:
    """Whether what rose has come to rest: its end has no more of the slope of the whole than a warm program has."""
    end = trend(tail(series, _END))
    return end is None or end.slope < _STILL * whole.slope or end.tau < 0.15


def stepped(series: Series, whole: Trend) -> tuple[int, float, float] | None:
    """``(index of the first point after, before, after)`` where the series is two levels rather than a line, else null."""
    count = len(series)
    if count < 6:
        return None
    values = [value for dummy, value in series]
    best: tuple[float, int, float, float] | None = None
    for index in range(2, count - 2):
        before, after = _middle(values[:index]), _middle(values[index:])
        miss = sum(abs(value - before) for value in values[:index]) + sum(abs(value - after) for value in values[index:])
        if best is None or miss < best[0]:
            best = (miss, index, before, after)
    start = _middle([value - whole.slope * (moment - series[0][0]) for moment, value in series])
    line = sum(abs(value - start - whole.slope * (moment - series[0][0])) for moment, value in series)
    if best is None or best[0] > 0.5 * line or not material(abs(best[3] - best[2]), min(best[2], best[3])):
        return None
    return best[1], best[2], best[3]


def tail(series: Series, part: float) -> Series:
    """The last part of a series, by time."""
    if not series:
        return series
    since = series[-1][0] - part * (series[-1][0] - series[0][0])
    return [point for point in series if point[0] >= since]


def smoothed(values: t.Sequence[float]) -> list[float]:
    """Each value as the median of itself and its neighbours."""
    return [_middle(values[max(index - 1, 0):index + 2]) for index in range(len(values))]


def falls(series: Series) -> list[int]:
    """The indexes of points at which a series came down at once, by a third of its whole range and by what matters."""
    values = [value for dummy, value in series]
    if len(values) < 4:
        return []
    span = max(values) - min(values)
    found: list[int] = []
    for index in range(1, len(values)):
        drop = values[index - 1] - min(values[index:index + 2])
        if drop >= span / 3 and material(drop, values[index - 1]) and (not found or index > found[-1] + 1):
            found.append(index)
    return found


def alike(left: t.Sequence[float], right: t.Sequence[float]) -> float | None:
    """How far two series go up and down together, by ranks: 1 in the same order, -1 in the opposite one; null where one does not move."""
    if len(left) != len(right) or len(left) < 4:
        return None
    one, other = _ranks(left), _ranks(right)
    centre = (len(left) - 1) / 2
    both = sum((a - centre) * (b - centre) for a, b in zip(one, other))
    size = math.sqrt(sum((a - centre) ** 2 for a in one) * sum((b - centre) ** 2 for b in other))
    return both / size if size else None


def part(values: t.Sequence[float], share: float) -> float:
    """The value that this share of the values does not exceed."""
    ordered = sorted(values)
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)]


def _ranks(values: t.Sequence[float]) -> list[float]:
    order = sorted(range(len(values)), key=lambda index: values[index])
    ranks = [0.0] * len(values)
    start = 0
    while start < len(order):
        end = start
        while end + 1 < len(order) and values[order[end + 1]] == values[order[start]]:
            end += 1
        for place in range(start, end + 1):
            ranks[order[place]] = (start + end) / 2
        start = end + 1
    return ranks


def _middle(values: t.Sequence[float]) -> float:
    return median(values) or 0.0
