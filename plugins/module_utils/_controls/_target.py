# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How many workers a service may have, from what was measured: figures only, nothing is read or done here.

Private to oncall.pressure: no stable interface. Rows have the shape of docs/architecture.md. What was not measured is refused
by its name, never guessed. The formula is returned as text with the numbers in it, so that a person can do the sum again.
"""

from __future__ import annotations

import math
import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._change._kinds import Refused

Row = t.Mapping[str, t.Any]

#: Per cent of the limit that is kept free for the moment in which workers grow.
RESERVE_PCT = 20.0

#: Workers for each CPU: what the diagnosis calls right again after it called three busy ones for each CPU too many.
CPU_FACTOR = 2.0

#: Spread of the workers' sizes, in per cent of the median, above which the median does not speak for the large ones.
WIDE_SPREAD_PCT = 50.0

#: Which of the sizes is taken then.
HIGH_QUANTILE = 0.9

_MIB = 1024.0 * 1024.0

#: Pools of celery whose concurrency is no number of processes.
THREAD_POOLS = ("threads", "gevent", "eventlet", "solo", "thread")


class Size(t.NamedTuple):
    """What one worker costs, and the words for that measure."""

    bytes: float
    words: str


class Room(t.NamedTuple):
    """What workers may share: the limit, whose it is, and what is in it that is not this service's workers, in bytes."""

    limit_bytes: float
    words: str
    other_bytes: float
    other_words: str


class Target(t.NamedTuple):
    """How many workers there should be.

    workers: at least one, never above ``present``
    present: how many there are
    basis: memory, cpu or explicit
    formula: the sum as text, with numbers and units
    lowers: whether ``workers`` is fewer than ``present``
    says: what a person should know beside the formula, null where nothing
    frees_bytes: about how much memory that gives back, null where not known
    """

    workers: int
    present: int
    basis: str
    formula: str
    lowers: bool
    says: str | None
    frees_bytes: int | None


def mib(value: float) -> str:
    """A size for a person."""
    return "%.1f MiB" % (value / _MIB)


def counted(number: int) -> str:
    """A number of workers for a person."""
    return "%d worker%s" % (number, "" if number == 1 else "s")


def running(service: Row) -> int:
    """Worker processes that live now."""
    return int((service.get("worker_summary") or {}).get("count") or 0)


def configured(service: Row) -> int | None:
    """Worker processes that the settings in effect ask for, null where they do not say (computed by code, for example)."""
    settings = service.get("settings") or {}
    if service.get("component") == "celery" and (settings.get("worker_class") or {}).get("value") in THREAD_POOLS:
        return 1
    value = (settings.get("workers") or {}).get("value")
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def present(service: Row, killed: bool) -> int:
    """How many workers there are; those that the kernel has just killed come back, and count. Raises Refused."""
    alive, asked = running(service), configured(service)
    if alive and not killed:
        return alive
    if asked is None and not alive:
        reason = ((service.get("settings") or {}).get("workers") or {}).get("reason")
        raise Refused(
            "the number of workers of %s is not known: none is running and its settings do not say it%s; say how many with workers"
            % (service.get("id"), " (%s)" % reason if reason else "")
        )
    return max(alive, asked or 0)


def decide(
    service: Row, host: Row, services: t.Sequence[Row], kills: Row, basis: str = "auto", reserve_pct: float = RESERVE_PCT, cpu_factor: float = CPU_FACTOR
) -> Target:
    """The target for one service. ``kills``: its row of ``oom.services`` ({} where it has none). Raises Refused naming what is missing."""
    count = present(service, bool(kills.get("kills")))
    if basis == "cpu":
        return _by_cpu(service, host, count, cpu_factor)
    return _by_memory(service, room(service, host, services), kills, count, reserve_pct)


def explicit(service: Row, wanted: int, killed: bool) -> Target:
    """A target that a person gave. Raises Refused where it is above what there is."""
    count = max(present(service, killed), configured(service) or 0) if running(service) else present(service, killed)
    if wanted < 1:
        raise Refused("a service keeps at least one worker: %d is not possible; to stop it, stop its unit" % wanted)
    if wanted > count:
        raise Refused(
            "%s has %s: %d would raise that, which is never done here; raise it in its configuration, where the change can be tested"
            % (service.get("id"), counted(count), wanted)
        )
    each = (service.get("worker_summary") or {}).get("median_bytes")
    frees = None if each is None else int(each) * (count - wanted)
    return Target(wanted, count, "explicit", "%d, as asked for" % wanted, wanted < count, None, frees)


def room(service: Row, host: Row, services: t.Sequence[Row]) -> Room:
    """What the workers of a service may share. Raises Refused."""
    memory = service.get("memory") or {}
    limit, source = memory.get("limit_bytes"), memory.get("limit_source")
    own_bytes = _bytes_of(service)
    inside = _inside(service)
    if limit is not None and source == "service":
        if own_bytes is None and running(service):
            raise Refused("the memory that %s uses was not measured" % service.get("id"))
        # Of a service that is down nothing is in it but what its main process will take; the caller counts that.
        return Room(float(limit), "limit", max((own_bytes or 0.0) - inside, 0.0), "other")
    host_memory = host.get("memory") or {}
    if limit is not None and limit != host_memory.get("limit_bytes"):
        whole = _whole(services, str(source))
        if whole is not None:
            return Room(float(limit), "limit of %s" % source, max(whole - inside, 0.0), "other and neighbours")
        neighbours, missing = _neighbours(service, services, str(source))
        if missing:
            raise Refused("%s shares the limit of %s with %s, whose memory was not measured" % (service.get("id"), source, ", ".join(missing[:5])))
        return Room(float(limit), "limit of %s" % source, max((own_bytes or 0.0) - inside, 0.0) + neighbours, "other and neighbours")
    total, available = host_memory.get("limit_bytes"), host_memory.get("available_bytes")
    if total is None or available is None:
        raise Refused("no limit binds %s and the host's memory was not measured" % service.get("id"))
    return Room(float(total), "memory of the host", max(float(total) - float(available) - inside, 0.0), "used by others")


def size(service: Row, kills: Row, limit_bytes: float) -> Size:
    """What one worker costs: of the living, or of those that the kernel killed where that is more or nothing lives. Raises Refused."""
    living = _living(service)
    victim = kills.get("median_anon_rss_bytes") if kills.get("kills") else None
    if victim is None:
        if living is None:
            raise Refused(
                "the size of a worker of %s is not known: none is running, and the kernel's log has no kill of one in the window" % service.get("id")
            )
        return living
    words = "anonymous memory of a worker when killed (%d kill%s)" % (kills["kills"], "" if kills["kills"] == 1 else "s")
    shared = _shared(service)
    dead = float(victim) - shared
    if shared:
        words += ", less %s that workers share" % mib(shared)
    if living is None or limit_bytes / 2 >= dead > living.bytes:
        return Size(dead, words)
    # those that live are larger; or one took half of everything, which is no measure of the others
    return living


def _shared(service: Row) -> float:
    """What a worker has resident beside what it costs, as its living siblings show it: the kernel's line of a victim counts that in full.

    A little of it is code, which is in no victim's line.
    """
    rows = [worker for worker in service.get("workers") or [] if worker.get("pss_bytes") and worker.get("rss_bytes")]
    if not rows:
        return 0.0
    resident, cost = (quantile([float(worker[key]) for worker in rows], 0.5) for key in ("rss_bytes", "pss_bytes"))
    return resident - cost if (resident - cost) * 4 > resident else 0.0


def quantile(values: t.Sequence[float], share: float) -> float:
    """A quantile, between the two nearest values where it falls between them. ``values`` is not empty."""
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    below = int(math.floor(place))
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def _living(service: Row) -> Size | None:
    """The size of a worker from those that live, null where none does or none was measured."""
    summary = service.get("worker_summary") or {}
    source = summary.get("memory_source")
    key = "pss_bytes" if source == "pss" else "rss_bytes"
    sizes = [float(worker[key]) for worker in service.get("workers") or [] if worker.get(key)]
    middle = float(summary["median_bytes"]) if summary.get("median_bytes") else quantile(sizes, 0.5) if sizes else None
    if middle is None:
        return None
    name = "PSS" if source == "pss" else "RSS (counts what workers share once for each)"
    high = quantile(sizes, HIGH_QUANTILE) if sizes else middle
    spread = summary.get("spread_pct")
    if spread is not None and spread > WIDE_SPREAD_PCT and high > middle:
        return Size(high, "%s of a large worker (%d %% are smaller; spread %.0f %%)" % (name, round(HIGH_QUANTILE * 100), spread))
    return Size(middle, "%s per worker" % name)


def _bytes_of(service: Row) -> float | None:
    value = (service.get("memory") or {}).get("bytes")
    return None if value is None else float(value)


def _inside(service: Row) -> float:
    """What the workers take together. RSS counts what they share for each of them: their sum is then at most what the service has."""
    summary = service.get("worker_summary") or {}
    total = float(summary.get("total_bytes") or 0)
    own = _bytes_of(service)
    return total if own is None else min(total, own)


def _whole(services: t.Sequence[Row], path: str) -> float | None:
    """What is in the very cgroup that binds, where a row says so: that of supervisord's unit counts all programs in it."""
    for row in services:
        memory = row.get("memory") or {}
        if row.get("cgroup") == path and memory.get("source") == "cgroup" and memory.get("bytes") is not None:
            return float(memory["bytes"])
    return None


def _neighbours(service: Row, services: t.Sequence[Row], path: str) -> tuple[float, list[str]]:
    """The memory of other services under a cgroup, and the names of those of which it is not known."""
    used, missing = 0.0, []
    for other in services:
        cgroup = str(other.get("cgroup") or "")
        if other.get("id") == service.get("id") or not (cgroup == path or cgroup.startswith(path.rstrip("/") + "/")):
            continue
        value = _bytes_of(other)
        if value is not None:
            used += value
        elif other.get("processes"):
            missing.append(str(other.get("id")))
    return used, missing


def _by_memory(service: Row, found: Room, kills: Row, count: int, reserve_pct: float) -> Target:
    each = size(service, kills, found.limit_bytes)
    reserve = found.limit_bytes * reserve_pct / 100.0
    other, words = found.other_bytes, found.other_words
    if not running(service):
        # its main process is not there to be measured, and will not be larger than a worker
        other, words = other + each.bytes, "for the main process, not measured: counted as large as a worker"
    fits = int(math.floor((found.limit_bytes - other - reserve) / each.bytes))
    formula = "floor((%s %s - %s %s - %s reserve) / %s %s) = %d" % (
        mib(found.limit_bytes), found.words, mib(other), words, mib(reserve), mib(each.bytes), each.words, fits
    )
    return _bounded(service, fits, count, "memory", formula, each.bytes)


def _by_cpu(service: Row, host: Row, count: int, factor: float) -> Target:
    usable = (host.get("cpu") or {}).get("usable")
    if usable is None:
        raise Refused("the number of usable CPUs was not measured")
    quota = (service.get("cpu") or {}).get("quota")
    words = "usable CPUs"
    if quota is not None and quota < usable:
        usable, words = quota, "CPUs of its quota"
    # half a CPU more does not carry a whole worker more
    fits = int(math.floor(float(usable) * factor + 1e-9))
    formula = "floor(%g %s x %g workers per CPU) = %d" % (usable, words, factor, fits)
    return _bounded(service, fits, count, "cpu", formula, (service.get("worker_summary") or {}).get("median_bytes"))


def _bounded(service: Row, fits: int, count: int, basis: str, formula: str, each: float | None) -> Target:
    """At least one, never above what there is; both are said."""
    workers = max(1, min(fits, count))
    says = None
    if fits < 1:
        says = "not even one worker of %s fits by this sum: one is kept; the limit or the size of a worker is the matter, not their number" % service.get("id")
    elif fits > count:
        says = "%d would fit and there are %d: nothing is raised" % (fits, count)
    elif fits == count:
        says = "the %d that there are fit" % count
    frees = None if each is None else int(each * (count - workers))
    return Target(workers, count, basis, formula, workers < count, says, frees)
