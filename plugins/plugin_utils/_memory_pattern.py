# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Name the pattern of the memory of each service: what grows, with what, since when, and when memory ends at this rate.

Private to oncall.pressure: no stable interface.

A history says most, of it the longest. Where there is none, the ages of sibling workers say something, with less confidence; so does an earlier
snapshot. Where nothing can be said the pattern is ``unknown``, with what was missing. The word leak is not used: that something grows is measured,
why is not.
"""

from __future__ import annotations

import typing as t

from ansible_collections.oncall.pressure.plugins.plugin_utils._format import age, size
from ansible_collections.oncall.pressure.plugins.plugin_utils._memory_driven import Driven, driven, idle
from ansible_collections.oncall.pressure.plugins.plugin_utils._memory_grown import Grown, grown
from ansible_collections.oncall.pressure.plugins.plugin_utils._memory_history import (
    FEWEST, SHORTEST_S, Driver, History, driver, events, figure, histories, running_jobs,
)
from ansible_collections.oncall.pressure.plugins.plugin_utils._memory_series import material, rising, trend
from ansible_collections.oncall.pressure.plugins.plugin_utils._memory_siblings import Moment, of_siblings, since_earlier
from ansible_collections.oncall.pressure.plugins.plugin_utils._values import known, median, num, rows, text

Row = t.Dict[str, t.Any]

#: Workers are large where together they hold this part of what binds them.
_LARGE = 0.6

#: What ends later does not end.
_NEVER_S = 10 * 365 * 86400.0

#: Kinds of the timeline that explain a jump; a start alone does where nothing else is there.
_CHANGES = ("ours", "release", "commit", "unit", "config", "environment", "package", "crontab")


def patterns(snapshot: t.Mapping[str, t.Any], earlier: t.Mapping[str, t.Any] | None = None) -> dict[str, Row]:
    """By service what its memory does. ``earlier``: a snapshot of the same host from before, null where there is none."""
    seen = histories(snapshot)
    return {
        identity: pattern(service, snapshot, seen.get(identity), earlier)
        for service in rows(snapshot, "services") for identity in [text(service, "id")] if identity is not None
    }


def pattern(
    service: t.Mapping[str, t.Any], snapshot: t.Mapping[str, t.Any], history: History | None, earlier: t.Mapping[str, t.Any] | None = None
) -> Row:
    """``{service, pattern, level, confidence, from, covered_s, growth_bytes_per_hour, per, ends_in_s, pid, grows, evidence, missing}`` of one service."""
    lacking = _lacking(history)
    if history is not None and not lacking:
        return _of_history(service, snapshot, history)
    moment = since_earlier(service, snapshot, earlier) or of_siblings(service)
    if moment is None:
        return _row(service, "unknown", missing=lacking or ["memory over time (no history, and no workers of different ages)"])
    return _of_moment(service, snapshot, moment)


def _lacking(history: History | None) -> list[str]:
    """What is missing of a history, in words."""
    if history is None:
        return []
    if len(history.points) < FEWEST:
        return ["memory over time (%d points, needed are %d)" % (len(history.points), FEWEST)]
    if history.covered_s < SHORTEST_S:
        return ["memory over time (%s, needed are %s)" % (age(history.covered_s), age(SHORTEST_S))]
    return []


def _row(service: t.Mapping[str, t.Any], name: str, **given: t.Any) -> Row:
    row: Row = {
        "service": text(service, "id"), "pattern": name, "level": None, "confidence": "low", "from": None, "covered_s": None, "growth_bytes_per_hour": None,
        "per": None, "ends_in_s": None, "pid": None, "grows": False, "evidence": [], "missing": [],
    }
    row.update(given)
    return row


def _of_moment(service: t.Mapping[str, t.Any], snapshot: t.Mapping[str, t.Any], moment: Moment) -> Row:
    name, evidence = moment.pattern, list(moment.evidence)
    if name == "steady":
        name, more = _at_rest(service, snapshot)
        evidence += more
    ends = _outlook(service, snapshot, moment.slope, moment.slope, moment.slope, None)
    return _row(
        service, name, level=moment.level or ("all_workers" if name == "every_worker_large" else None), confidence=moment.confidence,
        covered_s=moment.covered_s, growth_bytes_per_hour=None if moment.slope is None else round(moment.slope * 3600),
        ends_in_s=ends, pid=moment.pid, grows=moment.slope is not None, evidence=evidence, **{"from": moment.source},
    )


def _of_history(service: t.Mapping[str, t.Any], snapshot: t.Mapping[str, t.Any], history: History) -> Row:
    jump = _more_workers(service, snapshot, history)
    began = _restarted(service, snapshot, history)
    seen = history if began is None else history.since(-began)
    base: Row = {"from": "window" if history.source == "window" else "history", "covered_s": round(seen.covered_s, 1)}
    if jump is not None:
        return _row(service, "jump_after_concurrency_change", level="all_workers", confidence=_confidence(history, True), evidence=jump, **base)
    if began is not None and len(seen.points) < FEWEST:
        return _row(service, "unknown", missing=["growth since it was started %s ago (%d points)" % (age(began), len(seen.points))], **base)
    works = driver(seen, service)
    level = median([point.bytes for point in seen.points]) or 0.0
    what = driven(works, level) if works is not None else Driven(None, [])
    found = grown(seen, service)
    evidence = list(what.evidence)
    if what.pattern is not None:
        return _of_driven(service, snapshot, seen, works, what, base)
    if isinstance(found, Grown):
        return _of_grown(service, snapshot, seen, works, found, evidence, base)
    if found.step is not None:
        return _of_step(service, snapshot, seen, found.step, evidence, base)
    name, more = _at_rest(service, snapshot)
    flat = "it stayed between %s and %s for %s" % (
        size(min(point.bytes for point in seen.points)), size(max(point.bytes for point in seen.points)), age(seen.covered_s))
    return _row(service, name, level="all_workers" if name == "every_worker_large" else None, confidence=_confidence(seen, began is None),
                evidence=[*(found.evidence or [flat]), *more, *_jumped_at_start(service, snapshot, history, began), *evidence], **base)


def _of_driven(
    service: t.Mapping[str, t.Any], snapshot: t.Mapping[str, t.Any], seen: History, works: Driver | None, what: Driven, base: Row
) -> Row:
    line = trend(seen.total) if what.grows else None
    slope = max(line.slope, 0.0) if line is not None else None
    ends = _outlook(service, snapshot, slope, line.slowest if line else None, line.fastest if line else None, seen)
    # processors are a measure of work that nobody counted
    counted = works is not None and works.what != "processors"
    return _row(
        service, what.pattern or "unknown", level=_level_of(seen), confidence=_confidence(seen, what.sure and counted, at_most=None if counted else "medium"),
        growth_bytes_per_hour=round(slope * 3600) if slope is not None else None, ends_in_s=ends, grows=what.grows,
        per=None if what.per is None or works is None else {"task" if works.what == "tasks" else "request": round(what.per)},
        evidence=what.evidence, **base,
    )


def _level_of(seen: History) -> str | None:
    """Whether what moves is all workers or one: by how far the largest goes from the median."""
    count = median([value for dummy, value in seen.of("workers")]) or len(seen.workers)
    if count < 2:
        return "background" if count < 1 else "one_worker"
    spreads = [max(value for dummy, value in worker.series) - min(value for dummy, value in worker.series) for worker in seen.workers if worker.series]
    if len(spreads) < 2:
        return None
    return "one_worker" if max(spreads) >= 3 * (median(sorted(spreads)[:-1]) or 1.0) else "all_workers"


def _of_grown(
    service: t.Mapping[str, t.Any], snapshot: t.Mapping[str, t.Any], seen: History, works: Driver | None, found: Grown, evidence: list[str], base: Row
) -> Row:
    alone = works is not None and idle(works)
    # every worker that grows is growth times their number: two causes at once, of which either may be mended
    name = {"one_worker": "one_worker_growing", "background": "one_worker_growing"}.get(found.level, "high_while_idle" if alone else "mixed")
    ends = _outlook(service, snapshot, found.slope, found.slowest, found.fastest, seen)
    per_hour = round(found.slope * 3600)
    work = [point.rates[works.what] for point in seen.points] if works is not None and works.what != "processors" else []
    done = median(known(*work)) if work else None
    per = None if not done or works is None else {"task" if works.what == "tasks" else "request": round(found.slope / done)}
    if per is not None and works is not None:
        evidence = [*evidence, "that would be %s for each of its %s, if these are why" % (size(next(iter(per.values()))), works.what)]
    return _row(
        service, name, level=found.level, confidence=_confidence(seen, found.sure), growth_bytes_per_hour=per_hour, per=per, ends_in_s=ends, pid=found.pid,
        grows=True, evidence=[*found.evidence, *evidence, *_begun_after(service, snapshot, seen)], **base,
    )


def _of_step(
    service: t.Mapping[str, t.Any], snapshot: t.Mapping[str, t.Any], seen: History, step: tuple[float, float, float], evidence: list[str], base: Row
) -> Row:
    """Memory that jumped and stayed: after a job began, after a change, or for no reason that is known."""
    age_s, before, after = step
    words = "it jumped from %s to %s, %s ago, and stayed" % (size(before), size(after), age(age_s))
    near = max(2 * seen.every_s, 0.05 * seen.covered_s, 5.0)
    job = next((name for since, name in running_jobs(snapshot) if -near <= since - age_s <= near), None)
    if job is not None:
        said = [words, "then %s began, which still runs" % job, *evidence]
        return _row(service, "follows_jobs", confidence=_confidence(seen, False, at_most="medium"), evidence=said, **base)
    name, more = _at_rest(service, snapshot)
    change = _change_at(service, snapshot, age_s, near)
    level = "all_workers" if name == "every_worker_large" else None
    return _row(service, name, level=level, confidence=_confidence(seen, change is not None, at_most="medium"),
                evidence=[words, *([change] if change else []), *more, *evidence], **base)


def _more_workers(service: t.Mapping[str, t.Any], snapshot: t.Mapping[str, t.Any], history: History) -> list[str] | None:
    """Words for memory that rose with the number of workers, each as large as before; null where it did not."""
    counted = [point for point in history.points if point.workers is not None]
    if len(counted) < FEWEST:
        return None
    quarter = max(len(counted) // 4, 2)
    before, after = (median(known(*(point.workers for point in part))) or 0.0 for part in (counted[:quarter], counted[-quarter:]))
    if not 1 <= before < after:
        return None
    few = [point for point in counted if (point.workers or 0) <= (before + after) / 2]
    many = [point for point in counted if (point.workers or 0) > (before + after) / 2]
    if len(few) < 3 or len(many) < 3:
        return None
    held, holds = median([point.bytes for point in few]) or 0.0, median([point.bytes for point in many[len(many) // 3:]]) or 0.0
    each = median(known(*(point.median if point.median is not None else point.bytes / max(point.workers or 1.0, 1.0) for point in few))) or 0.0
    rise = holds - held
    # a new worker is warm after a while only, and it shares what it was forked with
    if not material(rise, held) or not 0.35 * each * (after - before) <= rise <= 2.2 * each * (after - before):
        return None
    last = [(point.at_s, point.bytes) for point in many]
    if len(last) >= FEWEST and rising(trend(last[len(last) // 3:]), holds):
        return None
    age_s = -many[0].at_s
    near = max(3 * history.every_s, 0.08 * history.covered_s, 30.0)
    change = _change_at(service, snapshot, age_s, near)
    words = "memory rose from %s to %s, %s ago, as %d workers became %d; one holds %s" % (size(held), size(holds), age(age_s), before, after, size(each))
    return [words, *([change] if change else [])]


def _restarted(service: t.Mapping[str, t.Any], snapshot: t.Mapping[str, t.Any], history: History) -> float | None:
    """How long ago the service was started, where that is within the history and its memory came down then."""
    for age_s, kind, dummy, dummy in events(snapshot, str(service.get("id"))):
        if kind in ("start", "boot") and age_s < history.covered_s:
            before = [point.bytes for point in history.points if -age_s - 0.25 * history.covered_s <= point.at_s < -age_s]
            after = [point.bytes for point in history.points if point.at_s >= -age_s]
            if len(before) >= 2 and after:
                return age_s
    return None


def _jumped_at_start(service: t.Mapping[str, t.Any], snapshot: t.Mapping[str, t.Any], history: History, began: float | None) -> list[str]:
    if began is None:
        return []
    before = median([point.bytes for point in history.points if point.at_s < -began]) or 0.0
    after = median([point.bytes for point in history.points if point.at_s >= -began]) or 0.0
    near = max(2 * history.every_s, 0.05 * history.covered_s, 30.0)
    words = ["it was started %s ago, and holds %s since, %s before" % (age(began), size(after), size(before))]
    change = _change_at(service, snapshot, began, near)
    return words + ([change] if change and abs(after - before) >= 0.1 * before else [])


def _change_at(service: t.Mapping[str, t.Any], snapshot: t.Mapping[str, t.Any], age_s: float, near: float) -> str | None:
    """What was changed at that time, in words; what people change before what follows from it."""
    found = [event for event in events(snapshot, str(service.get("id"))) if -near / 2 <= event[0] - age_s <= near]
    best = min(found, key=lambda event: (_CHANGES.index(event[1]) if event[1] in _CHANGES else len(_CHANGES), abs(event[0] - age_s)), default=None)
    return None if best is None else "%s before that: %s%s" % (age(max(best[0] - age_s, 0.0)), best[2], " (%s)" % best[3] if best[3] else "")


def _begun_after(service: t.Mapping[str, t.Any], snapshot: t.Mapping[str, t.Any], seen: History) -> list[str]:
    """The newest change that was made while it was already watched, or shortly before: growth may be its doing, unless it grew long before that."""
    near = (0.25 * seen.covered_s, 1.25 * seen.covered_s)
    found = [event for event in events(snapshot, str(service.get("id"))) if event[1] in _CHANGES and near[0] <= event[0] <= near[1]]
    return ["changed %s ago: %s%s" % (age(event[0]), event[2], " (%s)" % event[3] if event[3] else "") for event in found[:1]]


def _at_rest(service: t.Mapping[str, t.Any], snapshot: t.Mapping[str, t.Any]) -> tuple[str, list[str]]:
    """``every_worker_large`` where workers that are alike fill what binds them, else ``steady``."""
    count, each, total = (num(service, "worker_summary", name) for name in ("count", "median_bytes", "total_bytes"))
    largest = num(service, "worker_summary", "largest_bytes")
    limit = _limit(service, snapshot)[0]
    if count is None or each is None or total is None or limit is None or count < 2 or total < _LARGE * limit or (largest or 0) >= 2 * each:
        return "steady", []
    return "every_worker_large", [
        "%d workers of %s each hold %d %% of the %s there is for them" % (count, size(each), round(100 * total / limit), size(limit)),
    ]


def _limit(service: t.Mapping[str, t.Any], snapshot: t.Mapping[str, t.Any]) -> tuple[float | None, bool]:
    """What binds a service in bytes, and whether that is a limit of its own."""
    own, host = num(service, "memory", "limit_bytes"), num(snapshot, "host", "memory", "limit_bytes")
    return (own, True) if own is not None and (host is None or own < host) else (host, False)


def _outlook(
    service: t.Mapping[str, t.Any], snapshot: t.Mapping[str, t.Any], slope: float | None, slowest: float | None, fastest: float | None, seen: History | None
) -> Row | None:
    """``{of: service|host, s, from_s, to_s: null where it may never}``: when memory ends at this rate; null where it does not grow, or where the room it
    has is not known."""
    if slope is None or slope <= 0:
        return None
    limit, own = _limit(service, snapshot)
    used = figure(num(service, "memory", "bytes"))
    used = used if used is not None or seen is None else seen.points[-1].bytes
    rooms = [("host", figure(num(snapshot, "host", "memory", "available_bytes")))]
    rooms += [("service", max(limit - used, 0.0))] if own and limit is not None and used is not None else []
    of, room = min(((name, room) for name, room in rooms if room is not None), key=lambda item: item[1], default=(None, None))
    if of is None or room is None:
        return None
    expected = min(room / slope, _NEVER_S)
    soonest = min(room / fastest, expected) if fastest is not None and fastest > 0 else expected
    latest = max(room / slowest, expected) if slowest is not None and slowest > 0 and room / slowest <= _NEVER_S else None
    return {"of": of, "s": round(expected), "from_s": round(soonest), "to_s": None if latest is None else round(latest)}


def _confidence(seen: History, sure: bool, at_most: str | None = None) -> str:
    """By how long and how often it was looked, and how clear it is."""
    if seen.covered_s < 600 or len(seen.points) < 12:
        return "low"
    high = sure and len(seen.points) >= 20 and seen.covered_s >= 1800 and seen.source != "window" and at_most is None
    return "high" if high else "medium"
