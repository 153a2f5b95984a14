# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Read ``memory_history`` of a snapshot: points in order, in numbers that can be counted with, and what drives a service.

Private to oncall.pressure: no stable interface. A host may send anything: what is no number is not there.
"""

from __future__ import annotations

import math
import typing as t

from ansible_collections.oncall.pressure.plugins.plugin_utils._memory_series import Series, part, smoothed
from ansible_collections.oncall.pressure.plugins.plugin_utils._values import at, rows, text

#: Fewer points, or a shorter time, say nothing of what memory does.
FEWEST: t.Final = 8
SHORTEST_S: t.Final = 60.0

#: As many as a host sends. More is not looked at.
_POINTS = 96
_WORKERS = 8

_OLDEST_S = 10 * 365 * 86400.0
_LARGEST = 2.0 ** 60

#: Processors that say that there was work, where nobody counted any.
_WORTH = 0.05

WEB: t.Final = ("gunicorn", "uvicorn")


class Point(t.NamedTuple):
    """A service at one moment, in seconds before now (negative); what was not measured is null."""

    at_s: float
    bytes: float
    workers: float | None
    worker_bytes: float | None
    largest: float | None
    median: float | None
    rates: dict[str, float | None]


class Aged(t.NamedTuple):
    """A worker over time."""

    pid: int
    started_s: float | None
    series: Series


class History(t.NamedTuple):
    """A service over time. ``source``: window or recorder."""

    source: str
    every_s: float
    points: t.Sequence[Point]
    workers: t.Sequence[Aged]

    @property
    def covered_s(self) -> float:
        """The time between the first and the last point."""
        return self.points[-1].at_s - self.points[0].at_s if self.points else 0.0

    @property
    def total(self) -> Series:
        """The memory of the whole service."""
        return [(point.at_s, point.bytes) for point in self.points]

    def of(self, name: str) -> Series:
        """Another figure of the points, where it was measured."""
        return [(point.at_s, value) for point in self.points for value in [getattr(point, name)] if value is not None]

    def since(self, at_s: float) -> History:
        """What was seen from a moment on."""
        workers = [worker._replace(series=[point for point in worker.series if point[0] >= at_s]) for worker in self.workers]
        return self._replace(points=[point for point in self.points if point.at_s >= at_s], workers=workers)


class Driver(t.NamedTuple):
    """What a service is given to do, over time. ``what``: requests, tasks or processors; ``pattern``: of memory that follows it."""

    what: str
    pattern: str
    moments: t.Sequence[float]
    values: t.Sequence[float]
    memory: t.Sequence[float]
    low: float
    high: float

    @property
    def varies(self) -> bool:
        """Whether it was ever much less than at its most: else nothing can be set against it."""
        return self.high > 0 and self.low <= self.high / 2


def figure(value: t.Any, most: float = _LARGEST) -> float | None:
    """A number from 0 to ``most``, else null. (Integers of any length arrive here: they are compared before they are converted.)"""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= most:
        return None
    return float(value) if math.isfinite(value) else None


def histories(snapshot: t.Mapping[str, t.Any]) -> dict[str, History]:
    """By service what was seen of it over time: of two sources the one that saw more."""
    found: dict[str, History] = {}
    for row in rows(snapshot, "memory_history", "services"):
        identity = text(row, "id")
        if identity is None:
            continue
        read = _read(row)
        known = found.get(identity)
        if known is None or (len(read.points) >= FEWEST, read.covered_s) > (len(known.points) >= FEWEST, known.covered_s):
            found[identity] = read
    return found


def _read(row: t.Mapping[str, t.Any]) -> History:
    points: dict[float, Point] = {}
    for item in rows(row, "points")[-_POINTS:]:
        age_s, used = figure(item.get("age_s"), _OLDEST_S), figure(item.get("bytes"))
        if age_s is None or used is None:
            continue
        values = [figure(item.get(name)) for name in ("workers", "worker_bytes", "largest_bytes", "median_bytes")]
        rates = {what: figure(item.get(name)) for what, name in (("requests", "requests_per_s"), ("tasks", "tasks_per_s"), ("processors", "cpu_used"))}
        points[-age_s] = Point(-age_s, used, values[0], values[1], values[2], values[3], rates)
    workers = []
    for item in rows(row, "workers")[:_WORKERS]:
        pid = figure(item.get("pid"), 2.0 ** 31)
        if pid is not None:
            workers.append(Aged(int(pid), figure(item.get("started_age_s"), _OLDEST_S), _pairs(item.get("points"))))
    source = "window" if row.get("source") == "window" else "recorder"
    return History(source, figure(row.get("every_s")) or 0.0, [points[moment] for moment in sorted(points)], workers)


def _pairs(value: t.Any) -> Series:
    found: dict[float, float] = {}
    for pair in value[-_POINTS:] if isinstance(value, (list, tuple)) else []:
        if isinstance(pair, (list, tuple)) and len(pair) == 2:
            age_s, used = figure(pair[0], _OLDEST_S), figure(pair[1])
            if age_s is not None and used is not None:
                found[-age_s] = used
    return sorted(found.items())


def driver(history: History, service: t.Mapping[str, t.Any]) -> Driver | None:
    """What drives a service: its requests, its tasks, or, where nobody counted these, the processors it used. Null where none was measured."""
    web = service.get("component") in WEB or service.get("role") in ("web", "proxy")
    works = service.get("component") in ("celery", "rq", "cron") or service.get("role") in ("worker", "job", "scheduler")
    names = [("requests", "follows_traffic"), ("tasks", "follows_jobs")]
    if works and not web:
        # requests are counted for the whole host: they are not what a queue's workers are given
        names = [("tasks", "follows_jobs"), ("processors", "follows_jobs")]
    elif web:
        names.append(("processors", "follows_traffic"))
    idle: Driver | None = None
    for what, pattern in names:
        seen = [(point.at_s, point.rates[what] or 0.0, point.bytes) for point in history.points if point.rates[what] is not None]
        if len(seen) >= max(FEWEST, 0.7 * len(history.points)):
            values = smoothed([rate for dummy, rate, dummy in seen])
            found = Driver(what, pattern, [moment for moment, dummy, dummy in seen], values, [used for dummy, dummy, used in seen], part(values, 0.1),
                           part(values, 0.9))
            if found.high > (0.0 if idle is None else _WORTH):
                return found
            # nothing of this: it may be driven by something else, and if that is nothing too, it is idle
            idle = idle or found
    return idle


def running_jobs(snapshot: t.Mapping[str, t.Any]) -> list[tuple[float, str]]:
    """``(seconds since it began, its name)`` of each job that runs."""
    found = []
    for job in rows(snapshot, "jobs", "cron"):
        ages = [figure(run.get("age_s"), _OLDEST_S) for run in rows(job, "running")]
        found += [(age_s, text(job, "id") or "a job") for age_s in ages if age_s is not None]
    return found


def events(snapshot: t.Mapping[str, t.Any], service: str) -> list[tuple[float, str, str, str | None]]:
    """``(age, kind, what, detail)`` of what was changed on this service or on none in particular, the newest first."""
    found = []
    for event in rows(at(snapshot, "timeline"), "events"):
        age_s, kind, what = figure(event.get("age_s"), _OLDEST_S), text(event, "kind"), text(event, "what")
        if age_s is not None and kind and what and event.get("service") in (None, service):
            found.append((age_s, kind, what, text(event, "detail")))
    return sorted(found, key=lambda event: event[0])
