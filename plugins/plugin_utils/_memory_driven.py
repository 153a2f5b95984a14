# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Memory set against what a service is given to do: does it come and go with it, does it stay, is something left of each piece of work.

Private to oncall.pressure: no stable interface.
"""

from __future__ import annotations

import typing as t

from ansible_collections.oncall.pressure.plugins.plugin_utils._format import age, number, size
from ansible_collections.oncall.pressure.plugins.plugin_utils._memory_history import Driver
from ansible_collections.oncall.pressure.plugins.plugin_utils._memory_series import alike, flattened, material, rising, smoothed, trend
from ansible_collections.oncall.pressure.plugins.plugin_utils._values import known, median

#: Of what it rose with work, memory must give back this part to follow it; of what it keeps at least the other.
_GIVES_BACK = 0.6
_KEEPS = 0.35

#: How alike two series are that go together, and how many points memory may be late.
_TOGETHER = 0.7
_LATE = 3

#: Processors that a service uses which only waits.
_WAITING = 0.005


class Run(t.NamedTuple):
    """A time of much work: the indexes of its first point and of the one behind it; memory before, at its most, and after it (null where that was not
    seen)."""

    start: int
    end: int
    before: float | None
    peak: float
    after: float | None

    @property
    def rise(self) -> float:
        """What memory rose by; nothing where it is not known from what."""
        return 0.0 if self.before is None else self.peak - self.before


class Driven(t.NamedTuple):
    """What the comparison says. ``pattern`` null: nothing, look at the processes. ``per``: what is left of each request or task, in bytes.
    ``grows``: what is left adds up."""

    pattern: str | None
    evidence: list[str]
    sure: bool = False
    per: float | None = None
    grows: bool = False


def driven(driver: Driver, level: float) -> Driven:
    """How the memory of a service goes with its driver."""
    if idle(driver) or not driver.varies:
        return Driven(None, [_flat(driver)])
    runs = _runs(driver)
    memory = smoothed(driver.memory)
    rate_busy, rate_idle, gained = _rates(driver, memory, runs)
    seen = [run for run in runs if run.before is not None or run.after is not None]
    rises = known(*(run.rise for run in seen))
    most = max(rises, default=0.0)
    swings = [(run.rise, run.peak - run.after) for run in seen if run.before is not None and run.after is not None]
    # the first run may have begun before anybody looked: what it gave back it had risen
    swings = swings or [(run.peak - run.after, run.peak - run.after) for run in seen if run.after is not None]
    up, down = sum(max(rise, 0.0) for rise, dummy in swings), sum(max(fall, 0.0) for dummy, fall in swings)
    together = max(known(*(alike(driver.values[:len(memory) - late], memory[late:]) for late in range(_LATE + 1))), default=0.0)
    words = "%s between %s and %s" % (_named(driver), _rate(driver, driver.low), _rate(driver, driver.high))
    # the pause between two runs is no place to rest for what grows by itself
    if rate_idle >= 0.5 * rate_busy and material(rate_idle * (driver.moments[-1] - driver.moments[0]), level):
        return Driven(None, ["it grows as fast with little to do as with much (%s)" % words])
    if swings and material(up / len(swings), level):
        low, high = median(known(*(run.before if run.before is not None else run.after for run in seen))), median([run.peak for run in seen])
        amount = "from %s to %s" % (size(low or 0.0), size(high or 0.0))
        if down >= _GIVES_BACK * up and together >= 0.4:
            return Driven(driver.pattern, ["memory goes %s and back with %s" % (amount, words)], together >= _TOGETHER and len(swings) >= 2)
        # of a run that had begun before anybody looked it is known what it rose by since
        inside = [run.rise if run.before is not None else run.peak - memory[run.start] for run in seen]
        raising = [rise for rise in inside if rise >= 0.25 * max(inside)]
        if down <= _KEEPS * up and len(raising) >= 2:
            return _adds_up(driver, gained, words)
        rested = [run for run in runs if run.after is not None]
        if down <= _KEEPS * up and rested:
            return _kept(driver, rested[-1], words)
        if down > _KEEPS * up:
            return Driven("mixed", ["memory goes %s with %s, and gives back only %d %% of it" % (amount, words, round(100 * down / up))])
    if seen and seen[-1].after is None and most and material(most, level):
        # it is busy now, and was not: memory rose with it, and nobody saw yet whether it comes back
        run = seen[-1]
        inside = [(driver.moments[index], memory[index]) for index in range(run.start + (run.end - run.start) // 5, run.end)]
        line = trend(inside)
        if rate_idle < 0.3 * rate_busy and rising(line, level) and line is not None and not flattened(inside, line):
            return _adds_up(driver, gained, words)
        if together >= _TOGETHER:
            return Driven(driver.pattern, ["memory rose with %s; whether it falls with it was not seen yet" % words])
    if together >= _TOGETHER + 0.1 and not runs:
        return Driven(driver.pattern, ["memory goes with %s (alike by %s of 1)" % (words, number(round(together, 2)))])
    return Driven(None, ["memory does not go with %s" % words])


def idle(driver: Driver) -> bool:
    """Whether there was nothing to do in the whole time. (A program that waits uses a little of a processor.)"""
    return driver.high <= (_WAITING if driver.what == "processors" else 0.0)


def _flat(driver: Driver) -> str:
    if idle(driver):
        return "no %s in the whole time" % driver.what if driver.what != "processors" else "it used no processor in the whole time"
    return "%s were flat at %s" % (_named(driver), _rate(driver, median(driver.values) or 0.0))


def _named(driver: Driver) -> str:
    return "processors used" if driver.what == "processors" else driver.what


def _rate(driver: Driver, value: float) -> str:
    return "%s%s" % (number(round(value, 2)), "" if driver.what == "processors" else "/s")


def _adds_up(driver: Driver, gained: float, words: str) -> Driven:
    """Something stays of each piece of work."""
    done = _done(driver)
    per = gained / done if done and driver.what != "processors" else None
    each = ": about %s for each of %d %s" % (size(per), round(done), driver.what) if per is not None else ""
    return Driven(driver.pattern, ["memory grows only with work (%s) and keeps it%s" % (words, each)], len(driver.values) >= 20, per, True)


def _kept(driver: Driver, run: Run, words: str) -> Driven:
    since = driver.moments[-1] - driver.moments[run.end]
    before = " (%s before)" % size(run.before) if run.before is not None and material(run.rise, run.before) else ""
    return Driven(
        "high_while_idle", ["%s fell %s ago (%s), memory stayed at %s%s" % (_named(driver), age(since), words, size(run.after or 0.0), before)],
        len(driver.memory) - run.end >= 6,
    )


def _done(driver: Driver) -> float:
    """How many pieces of work there were: the rate times the time."""
    return sum(max(after - before, 0.0) * rate for before, after, rate in zip(driver.moments, driver.moments[1:], driver.values[1:]))


def _rates(driver: Driver, memory: t.Sequence[float], runs: t.Sequence[Run]) -> tuple[float, float, float]:
    """What memory gained per second with much to do and in the pauses, and in the whole time. Pauses are looked at inside: at their edges memory may be
    earlier or later than what was counted."""
    time, gain = 0.0, 0.0
    for start, end in zip([0, *(run.end for run in runs)], [*(run.start for run in runs), len(memory)]):
        inside = range(start + (1 if start else 0), end - (1 if end < len(memory) else 0))
        if len(inside) >= 4:
            early, late = inside[:len(inside) // 2], inside[len(inside) // 2:]
            apart = (median([driver.moments[index] for index in late]) or 0.0) - (median([driver.moments[index] for index in early]) or 0.0)
            slope = ((median([memory[index] for index in late]) or 0.0) - (median([memory[index] for index in early]) or 0.0)) / apart if apart > 0 else 0.0
            length = driver.moments[inside[-1]] - driver.moments[inside[0]]
            time, gain = time + length, gain + max(slope, 0.0) * length
    gained = max(memory[-1] - memory[0], 0.0)
    busy = sum(driver.moments[run.end - 1] - driver.moments[run.start] for run in runs)
    return max(gained - gain, 0.0) / busy if busy > 0 else 0.0, gain / time if time > 0 else 0.0, gained


def _runs(driver: Driver) -> list[Run]:
    """The times of much work, with what memory was around them."""
    border = (driver.low + driver.high) / 2
    busy = [value > border for value in driver.values]
    # one point of rest is none, and one of work neither
    busy = [now if index in (0, len(busy) - 1) or busy[index - 1] != busy[index + 1] else busy[index - 1] for index, now in enumerate(busy)]
    edges = [index for index in range(len(busy)) if busy[index] and (index == 0 or not busy[index - 1])]
    found: list[Run] = []
    for place, start in enumerate(edges):
        end = next((index for index in range(start, len(busy)) if not busy[index]), len(busy))
        following = edges[place + 1] if place + 1 < len(edges) else len(busy)
        before = driver.memory[found[-1].end if found else 0:start]
        # what comes down late does: the pause is judged by its end
        rest = driver.memory[end:following]
        rest = rest[len(rest) // 2:] if len(rest) >= 4 else rest
        before = before[-max(len(before) // 2, 1):] if len(before) >= 4 else before
        peak = smoothed(driver.memory[start:min(end + 2, len(busy))])
        top = sorted(peak)[-max(len(peak) // 4, 1):]
        found.append(Run(start, end, median(before) if len(before) >= 2 else None, median(top) or 0.0, median(rest) if len(rest) >= 2 else None))
    return found
