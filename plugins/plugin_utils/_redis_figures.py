# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What rules look at in a Redis server and in the queues that lie in it.

Private to oncall.pressure: no stable interface. Every figure is null where something it is made of was not measured.
"""

from __future__ import annotations

import typing as t

from ansible_collections.oncall.pressure.plugins.plugin_utils._values import at, known, num, pct, ratio, rows, text
from ansible_collections.oncall.pressure.plugins.plugin_utils._worker_figures import configured_workers

Row = t.Mapping[str, t.Any]


def service_of(server: Row, snapshot: Row) -> dict[str, t.Any] | None:
    """The service that a server's process is of."""
    pid = num(server, "main_pid")
    return next((row for row in rows(snapshot, "services") if pid is not None and num(row, "main_pid") == pid and text(row, "id")), None)


def redis_figures(server: Row, snapshot: Row) -> dict[str, t.Any]:
    """The figures under ``derived`` of a Redis server: whether writes fail when it is full, what binds it, its fullest queue, results that stay."""
    service = service_of(server, snapshot)
    host_limit = num(snapshot, "host", "memory", "limit_bytes")
    limits = known(num(service, "memory", "limit_bytes"), host_limit)
    binding = min(limits) if limits else None
    rss = num(server, "memory", "rss_bytes")
    available = pct(num(snapshot, "host", "memory", "available_bytes"), host_limit)
    own = binding is not None and host_limit is not None and binding < host_limit
    heaviest = max(rows(server, "queues"), key=lambda row: _held(row) or 0, default=None)
    sampled = sum(known(*(num(row, "results_sampled") for row in rows(server, "databases"))))
    slowest = next(iter(rows(server, "latency", "slowest")), None)
    return {
        "writes_fail": _writes_fail(server),
        "clients_pct": pct(num(server, "clients", "connected"), num(server, "clients", "max")),
        "binding_bytes": binding,
        "share": ratio(rss, binding),
        # what is left of what binds it
        "room_pct": None if binding is None else (None if rss is None else max(100 - rss / binding * 100, 0)) if own else available,
        "queue": text(heaviest, "name"),
        "queue_bytes": _held(heaviest),
        "queue_waiting": num(heaviest, "waiting"),
        "results_kept_share": ratio(sum(known(*(num(row, "results_without_expiry") for row in rows(server, "databases")))), sampled) if sampled else None,
        "slow_command": text(slowest, "command"),
        "slow_ms": num(slowest, "ms"),
        "slow_age_s": num(slowest, "age_s"),
        "fork": True if True in (at(server, "persistence", "rdb_saving"), at(server, "persistence", "aof_rewriting")) else None,
    }


def _writes_fail(server: Row) -> bool | None:
    """Whether a full server refuses writes: it may remove nothing, or only keys that expire and there are none."""
    policy = text(server, "memory", "policy")
    if policy is None or policy == "noeviction":
        return None if policy is None else True
    if not policy.startswith("volatile-"):
        return False
    expires = [num(row, "expires") for row in rows(server, "databases")]
    return None if not isinstance(server.get("databases"), list) or None in expires else not sum(known(*expires))


def _held(queue: t.Any) -> float | None:
    """The bytes that all messages of a queue hold together, about."""
    waiting, each = num(queue, "waiting"), _each(queue)
    return None if waiting is None or each is None else waiting * each


def _each(queue: t.Any) -> float | None:
    sizes = known(num(queue, "median_bytes"), num(queue, "average_bytes"))
    return sizes[0] if sizes else None


def queue_figures(queue: Row, server: Row, snapshot: Row) -> dict[str, t.Any]:
    """The figures under ``derived`` of a queue: who works on it here, whether all of them are busy, how large its messages are, and which
    share of its server's memory they hold."""
    consumers = consumers_of(queue, snapshot)
    counts = [num(row, "worker_summary", "count") or configured_workers(row) for row in consumers]
    workers = sum(known(*counts)) if consumers and None not in counts else None
    busy = num(queue, "started") if queue.get("kind") == "rq" else num(queue, "unacked")
    return {
        "workers": workers,
        "busy": busy,
        "all_busy": None if not workers or busy is None else busy >= workers,
        "per_worker": ratio(num(queue, "waiting"), workers),
        "consumers": [text(row, "name") or text(row, "id") for row in consumers][:5] or None,
        "consumer": text(consumers[0], "id") if len(consumers) == 1 else None,
        "each_bytes": _each(queue),
        "held_bytes": _held(queue),
        "held_share": ratio(_held(queue), num(server, "memory", "used_bytes")),
        "largest_bytes": num(queue, "largest_bytes"),
    }


def consumers_of(queue: Row, snapshot: Row) -> list[dict[str, t.Any]]:
    """The worker services of this host whose settings name a queue. That they use this very server is not known, only likely."""
    found = []
    for row in rows(snapshot, "services"):
        names = at(row, "settings", "queues", "value")
        if row.get("component") == queue.get("kind") and row.get("role") == "worker" and isinstance(names, list) and queue.get("name") in names:
            found.append(row)
    return found
