# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How many workers a service has, how large one is, and how many would fit.

Private to oncall.pressure: no stable interface.

Living workers are the fact. While a unit is down between two restarts, or all its workers were started after the last
kill, their sizes say nothing yet: then the configured count and the sizes in the kernel's own lines are used.
"""

from __future__ import annotations

import typing as t

from ansible_collections.oncall.pressure.plugins.plugin_utils._values import at, known, median, num, pct, ratio, rows, text, whole

#: The share of a budget that workers may fill: the rest is for the moment in which they grow. The same part as lower_workers keeps free.
FILL = 0.8

DOWN = ("restarting", "failed", "stopped")

#: Pools whose concurrency is no number of processes.
_THREAD_POOLS = ("threads", "gevent", "eventlet", "solo", "thread")


class Sizes(t.NamedTuple):
    """The size of one worker, where it is from, and how far the largest stands out."""

    each: float | None
    measure: str | None
    largest: float | None
    largest_ratio: float | None
    next_ratio: float | None
    settled: bool
    assumed: bool = False


class Living(t.NamedTuple):
    """A living worker: what it costs (PSS where that was read), what is resident, its age."""

    size: float
    rss_bytes: float | None
    age_s: float | None


def worker_figures(service: t.Mapping[str, t.Any], kills: t.Mapping[str, t.Any], limit: float | None, budget: float | None) -> dict[str, t.Any]:
    """The figures under ``derived.workers``. ``limit`` is what binds the service, ``budget`` what its workers may share, in bytes."""
    down = text(service, "state") in DOWN
    running = num(service, "worker_summary", "count")
    configured = configured_workers(service)
    count = _count(down, running, configured, bool(kills.get("count")))
    sizes = _sizes(service, kills, limit, count, down)
    fits = None if sizes.each is None or not sizes.each or budget is None else int(max(budget, 0) // sizes.each)
    target = None if fits is None or count is None or count < 2 else max(1, min(fits, int(count) - 1))
    # The process to look at, where the one that stands out is alive.
    alive = not down and (num(service, "worker_summary", "largest_bytes") or 0) >= 0.9 * (sizes.largest or 0)
    excess = None if sizes.largest is None or sizes.each is None else max(sizes.largest - sizes.each, 0)
    lower_by = None if target is None or count is None else count - target
    return {
        "down": down,
        "running": running,
        "configured": configured,
        "count": count,
        "count_is_computed": count is None and text(service, "settings", "workers", "reason") == "computed",
        "each_bytes": sizes.each,
        "each_pct_of_limit": pct(sizes.each, limit),
        "measure": sizes.measure,
        "settled": sizes.settled,
        "assumed": sizes.assumed,
        "total_bytes": workers_total(service),
        "spread_pct": num(service, "worker_summary", "spread_pct") if sizes.settled and not down else None,
        "largest_bytes": sizes.largest,
        "largest_pid": num(service, "worker_summary", "largest_pid") if alive else None,
        "largest_ratio": sizes.largest_ratio,
        "next_ratio": sizes.next_ratio,
        "excess_bytes": excess,
        "excess_pct": pct(excess, limit),
        "median_age_s": num(service, "worker_summary", "median_age_s"),
        "demand_bytes": None if sizes.each is None or count is None else sizes.each * count,
        "demand_pct": pct(None if sizes.each is None or count is None else sizes.each * count, limit),
        "fits": fits,
        "target": target,
        "frees_bytes": None if lower_by is None or sizes.each is None else lower_by * sizes.each,
        "place": text(service, "settings", "workers", "where"),
        "layer": _layer(text(service, "settings", "workers", "layer")),
        "option": {"celery": "--concurrency"}.get(str(service.get("component")), "--workers"),
        "recycled_after": _recycle(service),
    }


def configured_workers(service: t.Mapping[str, t.Any]) -> int | None:
    """The number of worker processes that the settings ask for, null where they do not say."""
    settings = at(service, "settings")
    if text(settings, "worker_class", "value") in _THREAD_POOLS and service.get("component") == "celery":
        return 1
    scaled = whole(at(settings, "autoscale", "value"))
    return scaled if scaled else whole(at(settings, "workers", "value"))


def _layer(layer: str | None) -> str | None:
    return layer.replace("_", " ") if layer and layer.islower() else layer


def _recycle(service: t.Mapping[str, t.Any]) -> float | None:
    """After how many requests or tasks a worker is replaced; 0 for never, null where not known."""
    name = "max_tasks_per_child" if service.get("component") == "celery" else "max_requests"
    setting = at(service, "settings", name)
    return whole(at(setting, "value")) if isinstance(setting, dict) else None


def _count(down: bool, running: float | None, configured: float | None, killed: bool) -> float | None:
    """How many workers there are, or would be were they not being killed."""
    if down:
        return configured
    if killed and known(running, configured):
        return max(known(running, configured))
    return running if running is not None else configured


def _sizes(service: t.Mapping[str, t.Any], kills: t.Mapping[str, t.Any], limit: float | None, count: float | None, down: bool) -> Sizes:
    workers = [] if down else rows(service, "workers")
    living = [Living(*sizes, num(worker, "rss_bytes"), num(worker, "age_s")) for worker in workers for sizes in [known(num(worker, _key(service)))] if sizes]
    victim = t.cast("float | None", kills.get("median_bytes"))
    last = t.cast("float | None", kills.get("last_age_s"))
    if not kills.get("count") or victim is None or last is None:
        return _of_living([worker.size for worker in living], service)
    survivors = _grown([worker for worker in living if worker.age_s is not None and worker.age_s > last])
    if len(survivors) >= 2 and len(survivors) * 2 >= len(living):
        return _beside_survivors(survivors, [worker.size for worker in living], victim, service)
    return _of_victims(victim, kills, limit, count)


def _grown(survivors: list[Living]) -> list[Living]:
    """Without those that were started lately and are on their way: beside them a worker that is as large as all become would stand out."""
    oldest = max((worker.age_s or 0.0 for worker in survivors), default=0.0)
    largest = max((worker.size for worker in survivors), default=0.0)
    return [worker for worker in survivors if (worker.age_s or 0.0) * 2 >= oldest or worker.size * 2 >= largest]


def _key(service: t.Mapping[str, t.Any]) -> str:
    return "pss_bytes" if text(service, "worker_summary", "memory_source") == "pss" else "rss_bytes"


def workers_total(service: t.Mapping[str, t.Any]) -> float | None:
    """The memory of all workers in bytes. RSS counts what they share once for each: without the cgroup's figure as a bound its sum is no measure."""
    total = num(service, "worker_summary", "total_bytes")
    used = num(service, "memory", "bytes") if text(service, "memory", "source") == "cgroup" else None
    if total is None or used is not None:
        return min(known(total, used)) if total is not None else None
    return None if text(service, "worker_summary", "memory_source") == "rss" else total


def _at_most(size: float, service: t.Mapping[str, t.Any]) -> tuple[float, str]:
    """What one worker costs and the name of that measure: an RSS is at most an equal part of what the service uses."""
    used = num(service, "memory", "bytes") if text(service, "memory", "source") == "cgroup" else None
    part = ratio(used, num(service, "worker_summary", "count"))
    if _key(service) == "rss_bytes" and part is not None and part < size:
        return part, "an equal part of what the service uses"
    return size, _key(service)[:3].upper()


def _of_living(sizes: list[float], service: t.Mapping[str, t.Any]) -> Sizes:
    if not sizes:
        each = num(service, "worker_summary", "median_bytes")
        cost, measure = (None, None) if each is None else _at_most(each, service)
        return Sizes(cost, measure, num(service, "worker_summary", "largest_bytes"), None, None, True)
    ordered = sorted(sizes)
    others = ordered[:-1]
    if not others:
        return Sizes(*_at_most(ordered[0], service), ordered[0], 1.0, 1.0, True)
    stands_out = ratio(ordered[-1], median(others))
    beside = ratio(ordered[-1], others[-1])
    # Where one stands out, the others are what one more worker costs.
    each = median(others) if stands_out is not None and stands_out >= 3 else median(ordered)
    return Sizes(*_at_most(each or 0.0, service), ordered[-1], stands_out, beside, True)


def _beside_survivors(survivors: list[Living], living: list[float], victim: float, service: t.Mapping[str, t.Any]) -> Sizes:
    """Workers that lived through the kill, beside the one that did not: the odd one may be dead or alive.

    The kernel's line counts pages that workers share in full, as RSS does and PSS does not: a victim is compared with RSS alone.
    """
    resident = known(*(worker.rss_bytes for worker in survivors))
    dead = (ratio(victim, median(resident)), ratio(victim, max(resident, default=None)))
    others = sorted(living)[:-1]
    alive = (ratio(max(living), median(others)), ratio(max(living), max(others)))
    usual, measure = _at_most(median([worker.size for worker in survivors]) or 0.0, service)
    if _odd(dead) and (dead[1] or 0) >= (alive[1] or 0):
        return Sizes(median(resident), "RSS", victim, dead[0], dead[1], True)
    if _odd(alive):
        return Sizes(usual, measure, max(living), alive[0], alive[1], True)
    # What the victim shared is not what it cost: its siblings tell how much that is. A little is code, which is in no victim's line.
    full = median(resident) or usual
    shared = full - usual if (full - usual) * 4 > full else 0.0
    stands_out, beside = max(dead, alive, key=lambda pair: pair[1] or 0)
    if victim - shared > usual:
        usual, measure = victim - shared, "anonymous memory when killed%s" % (", less what they share" if shared else "")
    return Sizes(usual, measure, max(living), stands_out, beside, True)


def _odd(pair: tuple[float | None, float | None]) -> bool:
    """Whether a worker stands out: against the median of the others, and against the next."""
    return (pair[0] or 0) >= 3 and (pair[1] or 0) >= 2


def _of_victims(victim: float, kills: t.Mapping[str, t.Any], limit: float | None, count: float | None) -> Sizes:
    """Nothing alive compares. One victim's size does not say whether it stood out, for it counts what was shared in full; several do."""
    largest = t.cast("float | None", kills.get("largest_bytes"))
    several = (t.cast("float | None", kills.get("count")) or 0) >= 2
    stands_out = ratio(largest, victim) if several else None
    beside = ratio(largest, t.cast("float | None", kills.get("next_bytes"))) if several else None
    each, measure, assumed = victim, "anonymous memory when killed", False
    # More than an equal part of the limit cannot have been every worker's own; more than half of it is no matter of their number.
    if limit is not None and count is not None and count >= 2 and limit / count < victim <= limit / 2:
        each, measure, assumed = limit / count, "an equal part of the limit", True
    return Sizes(each, measure, largest if largest is not None else victim, stands_out, beside, False, assumed)
