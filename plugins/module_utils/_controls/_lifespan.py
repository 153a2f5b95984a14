# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""After how many requests, tasks or bytes a worker is replaced: figures, and what each program's release can do with them.

Private to oncall.pressure: no stable interface. Nothing is read or done here. Rows have the shape of docs/architecture.md.
"""

from __future__ import annotations

import math
import re
import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._change._kinds import Refused
from ansible_collections.oncall.pressure.plugins.module_utils._controls import _target

Row = t.Mapping[str, t.Any]

#: How long a worker lives at least, in seconds: half an hour costs one start of the application in as much time.
LIVE_AT_LEAST_S = 1800.0

#: Jitter beside a number of requests, so that workers are not replaced all at once.
JITTER_PCT = 10.0

#: A figure that is written already is kept while it is at most this many times the computed one: rates of two hours are never quite alike.
KEPT_RATIO = 2.0

#: The same for memory, of which all children together must fit.
KEPT_MEMORY_RATIO = 1.05

#: A worker that is replaced after fewer requests than this spends its life on starting.
LEAST_REQUESTS = 100

#: The first release of uvicorn whose main process starts a worker again that ended; an earlier one runs out of workers.
UVICORN_REPLACES = (0, 30)

#: The first release of uvicorn with ``--limit-max-requests-jitter``.
UVICORN_JITTER = (0, 41)

#: The first releases of gunicorn and celery that have what is asked of them.
GUNICORN_JITTER = (19, 2)
CELERY_MEMORY = (4, 0)

#: What one of these pools calls a child is no process that could be replaced.
_PREFORK = ("prefork", "processes")


class Lifespan(t.NamedTuple):
    """settings: names of the document with their new values; formula: the sums as text; says: what a person should know beside them."""

    settings: dict[str, int]
    formula: str | None
    says: list[str]


class Wished(t.NamedTuple):
    """What is asked for; null has it computed (max_tasks_per_child: left as it is)."""

    max_requests: int | None = None
    max_requests_jitter: int | None = None
    max_tasks_per_child: int | None = None
    max_memory_per_child_kib: int | None = None
    live_at_least_s: float = LIVE_AT_LEAST_S
    reserve_pct: float = _target.RESERVE_PCT


class Rate(t.NamedTuple):
    """Requests a second of the service at most, and where that is from; null with the reason in ``words``."""

    per_s: float | None
    words: str


def release(text: t.Any) -> tuple[int, ...] | None:
    """The numbers of a version, null where there are none."""
    match = re.match(r"(\d+(?:\.\d+)*)", str(text or ""))
    return tuple(int(part) for part in match.group(1).split(".")) if match else None


def rounded(value: int, up: bool) -> int:
    """Two digits and zeros: what was measured is no more exact, and a check and the run soon after it say the same."""
    unit = 10 ** max(len(str(value)) - 2, 0)
    return (value + unit - 1) // unit * unit if up else value // unit * unit


def workers(service: Row) -> int:
    """How many workers share the work: the more of those that live and those that are asked for. Raises Refused."""
    count = max(_target.running(service), _target.configured(service) or 0)
    if not count:
        raise Refused("the number of workers of %s is not known: none runs, and its settings do not say it" % service.get("id"))
    return count


def check_release(service: Row) -> list[str]:
    """What this release of this program cannot do, as notes. Raises Refused where recycling would do harm or nothing."""
    component, name = service.get("component"), service.get("id")
    version = release((service.get("settings") or {}).get("version"))
    if component == "rq":
        raise Refused("%s runs rq, whose workers run every job in a child of its own: no memory outlives a job, so there is nothing to recycle" % name)
    if component == "celery":
        return _check_celery(service, version)
    if component == "gunicorn":
        if version is not None and version < GUNICORN_JITTER:
            raise Refused("gunicorn %s of %s has no jitter: its workers would be replaced all at once; 19.2 has it" % (_words(version), name))
        return []
    return _check_uvicorn(service, version)


def _check_uvicorn(service: Row, version: tuple[int, ...] | None) -> list[str]:
    name = service.get("id")
    if version is None:
        raise Refused("the version of uvicorn of %s is not known; before 0.30 it never starts a worker again that ended" % name)
    if workers(service) < 2:
        raise Refused(
            "%s runs uvicorn with one process, which ends with everything at the limit: run it with two workers at least, or restart it at a quiet time" % name
        )
    if version < UVICORN_REPLACES:
        raise Refused(
            "uvicorn %s of %s never starts a worker again that ended (0.30 does): it would run out of workers; restart it, or run it under gunicorn"
            % (_words(version), name)
        )
    if version < UVICORN_JITTER:
        return ["uvicorn %s has no jitter (0.41 has): workers that share the work evenly are replaced within a short time of each other" % _words(version)]
    return []


def _check_celery(service: Row, version: tuple[int, ...] | None) -> list[str]:
    settings = service.get("settings") or {}
    pool = (settings.get("worker_class") or {}).get("value")
    if pool is not None and str(pool) not in _PREFORK:
        raise Refused("%s runs celery's pool %s: only children of the pool prefork can be replaced; restart it instead" % (service.get("id"), pool))
    if version is not None and version < CELERY_MEMORY:
        return ["celery %s knows no --max-memory-per-child (4.0 does)" % _words(version)]
    return []


def _words(version: tuple[int, ...]) -> str:
    return ".".join(str(part) for part in version)


def requests(service: Row, written: Row, rate: Rate, wished: Wished) -> Lifespan:
    """``max_requests`` and its jitter for gunicorn and uvicorn; ``written``: its settings as its files have them now. Raises Refused without a rate."""
    says = check_release(service)
    formula = None
    if wished.max_requests is not None:
        most = wished.max_requests
    else:
        most, formula, more = _computed_requests(service, written, rate, wished)
        says += more
    if most < 1:
        raise Refused("max_requests must be at least 1: 0 would end all recycling")
    settings = {"max_requests": most}
    version = release((service.get("settings") or {}).get("version"))
    if service.get("component") == "uvicorn" and version is not None and version < UVICORN_JITTER:
        if wished.max_requests_jitter:
            raise Refused("uvicorn %s of %s has no jitter (0.41 has): leave max_requests_jitter out" % (_words(version), service.get("id")))
    else:
        settings["max_requests_jitter"] = _jitter(written, most, wished)
    return Lifespan(settings, formula, says)


def _jitter(written: Row, most: int, wished: Wished) -> int:
    """What was asked for, else what stands beside the same number already, else a part of it."""
    if wished.max_requests_jitter is not None:
        return wished.max_requests_jitter
    there = _value(written, "max_requests_jitter")
    return there if there and _value(written, "max_requests") == most else int(math.ceil(most * JITTER_PCT / 100.0))


def _computed_requests(service: Row, written: Row, rate: Rate, wished: Wished) -> tuple[int, str, list[str]]:
    if rate.per_s is None:
        raise Refused("the rate of requests is not known (%s): say requests_per_s, or max_requests" % rate.words)
    if rate.per_s <= 0:
        raise Refused("no request was seen (%s): say requests_per_s of a usual hour, or max_requests" % rate.words)
    count = workers(service)
    exact = int(math.ceil(round(rate.per_s / count * wished.live_at_least_s, 6)))
    most, says = max(rounded(exact, True), LEAST_REQUESTS), []
    formula = "ceil(%.2f requests/s %s / %d workers x %g s) = %d requests, rounded up to %d" % (
        rate.per_s, rate.words, count, wished.live_at_least_s, exact, rounded(exact, True)
    )
    if exact < LEAST_REQUESTS:
        says.append("not below %d requests: a worker would spend its life on starting" % LEAST_REQUESTS)
    there = _value(written, "max_requests")
    if there and there <= most * KEPT_RATIO:
        says.append("%d is written already: it is kept" % there)
        most = there
    return most, formula, says


def children(service: Row, written: Row, host: Row, services: t.Sequence[Row], wished: Wished) -> Lifespan:
    """``max_memory_per_child_kib`` and ``max_tasks_per_child`` for celery's prefork children. Raises Refused."""
    says = check_release(service)
    settings: dict[str, int] = {}
    formula = None
    knows_memory = not any("--max-memory-per-child" in words for words in says)
    if wished.max_tasks_per_child is not None:
        settings["max_tasks_per_child"] = wished.max_tasks_per_child
    if wished.max_memory_per_child_kib is not None:
        if not knows_memory:
            raise Refused("; ".join(says))
        settings["max_memory_per_child_kib"] = wished.max_memory_per_child_kib
    elif knows_memory and wished.max_tasks_per_child is None:
        most, formula, more = _computed_memory(service, written, host, services, wished)
        settings["max_memory_per_child_kib"] = most
        says += more
    if any(value < 1 for value in settings.values()):
        raise Refused("max_tasks_per_child and max_memory_per_child_kib must be at least 1: 0 would end all recycling")
    if not settings:
        raise Refused("; ".join(says) + ": say max_tasks_per_child")
    return Lifespan(settings, formula, says)


def _computed_memory(service: Row, written: Row, host: Row, services: t.Sequence[Row], wished: Wished) -> tuple[int, str, list[str]]:
    count = workers(service)
    room = _target.room(service, host, services)
    reserve = room.limit_bytes * wished.reserve_pct / 100.0
    exact = max(int(math.floor((room.limit_bytes - room.other_bytes - reserve) / count / 1024)), 0)
    most = rounded(exact, False)
    formula = "floor((%s %s - %s %s - %s reserve) / %d children) = %d KiB for a child, rounded down to %d" % (
        _target.mib(room.limit_bytes), room.words, _target.mib(room.other_bytes), room.other_words, _target.mib(reserve), count, exact, most
    )
    sizes = sorted(int(worker["rss_bytes"]) for worker in service.get("workers") or [] if worker.get("rss_bytes"))
    usual = sizes[len(sizes) // 2] if sizes else None
    if usual is not None and usual // 1024 >= most:
        raise Refused(
            "%s: but a usual child has %d KiB (RSS, which celery compares) already and would be replaced after every task; lower the number of children first"
            % (formula, usual // 1024)
        )
    says = []
    there = _value(written, "max_memory_per_child_kib")
    if there and there <= most * KEPT_MEMORY_RATIO:
        says.append("%d KiB is written already: it is kept" % there)
        most = there
    return most, formula, says


def _value(settings: Row, name: str) -> int | None:
    value = (settings.get(name) or {}).get("value")
    return value if isinstance(value, int) and not isinstance(value, bool) else None
