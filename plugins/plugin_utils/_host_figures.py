# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What rules look at in a host and in its traffic.

Private to oncall.pressure: no stable interface. Every figure is null where something it is made of was not measured.
"""

from __future__ import annotations

import re
import typing as t

from ansible_collections.oncall.pressure.plugins.plugin_utils._job_figures import together_figures
from ansible_collections.oncall.pressure.plugins.plugin_utils._values import at, known, num, pct, ratio, rows, text

Row = t.Dict[str, t.Any]


def host_figures(snapshot: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """The figures under ``derived`` of a host: kills, memory, cpu, io, jobs, alarms."""
    return {
        "kills": _kills(snapshot), "memory": _memory(snapshot), "cpu": _cpu(snapshot), "io": _io(snapshot), "jobs": together_figures(snapshot),
        "alarms": _alarms(snapshot),
    }


def _largest(items: list[Row], *path: str) -> Row | None:
    measured = [item for item in items if num(item, *path) is not None]
    return max(measured, key=lambda item: num(item, *path) or 0, default=None)


def _kills(snapshot: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    total = num(snapshot, "oom", "kills")
    services = at(snapshot, "oom", "services")
    named = sum(known(*(num(row, "kills") for row in services.values()))) if isinstance(services, dict) else 0
    nameless = [event for event in rows(snapshot, "oom", "events") if event.get("own") is not False and not event.get("service")]
    everyone = [event for event in rows(snapshot, "oom", "events") if event.get("own") is not False and event.get("constraint") == "global"]
    userspace = at(snapshot, "oom", "userspace")
    return {
        "count": total,
        "unnamed": None if total is None else max(total - named, 0),
        "unnamed_names": sorted({name for event in nameless for name in [text(event, "name")] if name})[:4] or None,
        "unnamed_last_at": text(nameless[0], "at") if nameless else None,
        "host_wide": None if total is None else len(everyone),
        "window_s": num(snapshot, "oom", "window_s"),
        "userspace": len(userspace) if isinstance(userspace, list) else None,
        "userspace_program": text(rows(snapshot, "oom", "userspace")[0], "program") if rows(snapshot, "oom", "userspace") else None,
        "userspace_what": text(rows(snapshot, "oom", "userspace")[0], "what") if rows(snapshot, "oom", "userspace") else None,
    }


def _memory(snapshot: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    largest = _largest(rows(snapshot, "services"), "memory", "bytes")
    limit = num(snapshot, "host", "memory", "limit_bytes")
    available = num(snapshot, "host", "memory", "available_bytes")
    swap_in = num(snapshot, "host", "memory", "swap_in_per_s")
    swap_out = num(snapshot, "host", "memory", "swap_out_per_s")
    return {
        "available_pct": pct(available, limit),
        "largest_service": text(largest, "id"),
        "largest_name": text(largest, "name") or text(largest, "id"),
        "largest_component": text(largest, "component"),
        "largest_bytes": num(largest, "memory", "bytes"),
        "largest_share": ratio(num(largest, "memory", "bytes"), limit),
        "swap_per_s": None if swap_in is None or swap_out is None else swap_in + swap_out,
    }


def _cpu(snapshot: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    hottest = _largest(rows(snapshot, "services"), "cpu", "used")
    usable = num(snapshot, "host", "cpu", "usable")
    return {
        "hottest_service": text(hottest, "id"),
        "hottest_name": text(hottest, "name") or text(hottest, "id"),
        "hottest_component": text(hottest, "component"),
        "hottest_used": num(hottest, "cpu", "used"),
        "hottest_share": ratio(num(hottest, "cpu", "used"), usable),
        "run_queue_per_cpu": ratio(num(snapshot, "host", "run_queue"), usable),
    }


#: What the kernel complains of besides kills, by what it is a sign of.
_ALARMS: t.Final = {
    "disk": ("io_error", "read_only"), "stuck": ("hung_task", "soft_lockup", "hard_lockup", "rcu_stall"),
    "network": ("connections_dropped", "syn_flood", "sockets_without_memory"), "processes": ("fork_refused",),
}


def _alarms(snapshot: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """By sign ``{count, kinds, about, last_at}``. In a container the kernel's complaints are the machine's, and count for nothing."""
    kind = text(snapshot, "host", "kind")
    told = rows(snapshot, "oom", "alarms") if kind == "machine" else []
    # a kernel that never complained is one that was listened to
    measured = kind is not None and (kind != "machine" or isinstance(at(snapshot, "oom", "alarms"), list) or num(snapshot, "oom", "kills") is not None)
    found = {}
    for sign, kinds in _ALARMS.items():
        mine = [row for row in told if row.get("kind") in kinds]
        found[sign] = {
            "count": sum(known(*(num(row, "count") for row in mine))) if measured else None,
            "kinds": sorted({str(row["kind"]).replace("_", " ") for row in mine}) or None,
            "about": next((about for row in mine for about in [text(row, "about")] if about), None),
            "last_at": max((last for row in mine for last in [text(row, "last_at")] if last), default=None),
        }
    return found


def _io(snapshot: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    disk = _largest(rows(snapshot, "host", "disks"), "utilisation_pct")
    processes = rows(snapshot, "processes", "top_cpu") + rows(snapshot, "processes", "top_memory")
    busy: list[tuple[float, Row]] = []
    for row in processes:
        moved = known(num(row, "read_bytes_per_s"), num(row, "write_bytes_per_s"))
        if moved and sum(moved) > 0:
            busy.append((sum(moved), row))
    busiest = max(busy, key=lambda pair: pair[0], default=None)
    blocked = rows(snapshot, "processes", "blocked")
    return {
        "disk": text(disk, "name"),
        "disk_pct": num(disk, "utilisation_pct"),
        "disk_await_ms": num(disk, "await_ms"),
        "busiest_name": text(busiest[1], "name") if busiest else None,
        "busiest_service": text(busiest[1], "service") if busiest else None,
        "busiest_component": text(busiest[1], "component") if busiest else None,
        "busiest_bytes_per_s": busiest[0] if busiest else None,
        "blocked": len(blocked) if isinstance(at(snapshot, "processes", "blocked"), list) else None,
        "blocked_names": sorted({name for row in blocked for name in [text(row, "name")] if name})[:4] or None,
    }


def traffic_figures(snapshot: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """The figures under ``derived`` of nginx: the client, the pair and the path that stand out, and what the web tier does."""
    nginx = at(snapshot, "nginx")
    clients = rows(nginx, "clients")
    # What nginx turned away cost nothing: a client that is limited and goes on asking no longer weighs on anybody.
    refused = sum(known(*(num(row, "refused") for row in clients)))
    client = max((row for row in clients if num(row, "requests") is not None), key=_served, default=None)
    pair = _favourite(nginx, client)
    path = _largest(rows(nginx, "paths"), "time_share") or _largest(rows(nginx, "paths"), "requests")
    requests = num(nginx, "requests")
    failed = num(nginx, "status", "5xx")
    web = [row for row in rows(snapshot, "services") if row.get("component") in ("gunicorn", "uvicorn")]
    hottest = _largest(web, "cpu", "used")
    used = known(*(num(row, "cpu", "used") for row in web))
    everyone = sum(known(*(num(row, "cpu", "used") for row in rows(snapshot, "services"))))
    measured = isinstance(at(snapshot, "services"), list)
    return {
        "client": {
            "address": text(client, "address"),
            "kind": text(client, "kind"),
            "requests": num(client, "requests"),
            "refused": num(client, "refused"),
            "served": None if client is None else _served(client),
            "share": ratio(_served(client), (num(nginx, "requests") or 0) - refused) if client is not None and refused else num(client, "share"),
            "per_s": _served_per_s(client),
            "path": text(pair, "path"),
            "path_requests": num(pair, "requests"),
            "path_share": ratio(num(pair, "requests"), num(client, "requests")),
        },
        "heavy": _heavy(nginx),
        # against the hour before, of which nobody counted what was refused
        "ratio": _let_in(num(nginx, "ratio"), requests, refused),
        "path": {
            "name": text(path, "path"),
            "requests": num(path, "requests"),
            "share": num(path, "share"),
            "time_share": num(path, "time_share"),
            "mean_s": num(path, "mean_s"),
            "slowest_s": num(path, "slowest_s"),
            "paths": len(rows(nginx, "paths")) if isinstance(at(nginx, "paths"), list) else None,
        },
        "failed_pct": pct(failed if failed is not None else (0 if isinstance(at(nginx, "status"), dict) else None), requests),
        "web": {
            "cpu_share": ratio(sum(used), num(snapshot, "host", "cpu", "usable")) if measured else None,
            "part_of_services": ratio(sum(used), everyone) if measured else None,
            "service": text(hottest, "id"),
            "name": text(hottest, "name") or text(hottest, "id"),
            "component": text(hottest, "component"),
            **_web_memory(web, snapshot),
        },
        "nginx_cpu_share": ratio(num(next((row for row in rows(snapshot, "services") if row.get("component") == "nginx"), None), "cpu", "used"),
                                 num(snapshot, "host", "cpu", "usable")),
        # each request to a service behind a TCP port is a connection more
        "accepted_per_request": ratio(num(snapshot, "host", "sockets", "accepted_per_s"), num(nginx, "per_s")),
    }


#: What nginx hands out of a file itself: it weighs on no application.
_STATIC: t.Final = re.compile(
    r"(?i)\.(?:js|css|map|png|jpe?g|gif|webp|svg|ico|woff2?|ttf|mp[34]|webm|mov|zip|gz|tgz|iso|whl|deb|rpm|exe|dmg|apk)$|^/(?:static|media|assets)/"
)


def _heavy(nginx: t.Any) -> dict[str, t.Any]:
    """The path whose answers hold most bytes of all, files aside."""
    measured = [row for row in rows(nginx, "paths") if num(row, "bytes") is not None and not _STATIC.search(text(row, "path") or "")]
    path = max(measured, key=lambda row: num(row, "bytes") or 0, default=None)
    return {
        "path": text(path, "path"), "requests": num(path, "requests"), "bytes": num(path, "bytes"),
        "each_bytes": ratio(num(path, "bytes"), num(path, "requests")), "share": ratio(num(path, "bytes"), num(nginx, "bytes")), "mean_s": num(path, "mean_s"),
    }


def _web_memory(web: list[Row], snapshot: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """The web service that is nearest to what binds its memory, and kills among all of them."""
    host = num(snapshot, "host", "memory", "limit_bytes")
    limits = [(pct(num(row, "memory", "bytes"), min(known(num(row, "memory", "limit_bytes"), host), default=None)), row) for row in web]
    nearest = max(((share, row) for share, row in limits if share is not None), key=lambda pair: pair[0], default=(None, None))
    kills = [num(snapshot, "oom", "services", str(row.get("id")), "kills") for row in web]
    return {
        "memory_pct": nearest[0], "memory_service": text(nearest[1], "id"), "memory_name": text(nearest[1], "name") or text(nearest[1], "id"),
        "kills": None if num(snapshot, "oom", "kills") is None else sum(known(*kills)),
    }


def _served(client: Row) -> float:
    """How many requests of a client were let in; where nobody counted the others, all of them."""
    return (num(client, "requests") or 0) - (num(client, "refused") or 0)


def _let_in(value: float | None, requests: float | None, refused: float) -> float | None:
    """The part of a figure of all requests that is of those that were let in."""
    return value if value is None or not requests or not refused else value * max(requests - refused, 0.0) / requests


def _served_per_s(client: Row | None) -> float | None:
    return _let_in(num(client, "per_s"), num(client, "requests"), num(client, "refused") or 0)


def _favourite(nginx: t.Any, client: Row | None) -> Row | None:
    """The path that a client asks for most, from its own list or from the pairs."""
    mine = [row for row in rows(nginx, "pairs") if client is not None and row.get("address") == client.get("address")]
    return _largest(rows(client, "paths") + mine, "requests")


def health_figures(asked: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """The figures under ``derived`` of a URL that was asked: ``bad``, the share of tries without a good answer; ``statuses``, what was answered, in words."""
    tries, good = num(asked, "tries"), num(asked, "good")
    counts = asked.get("status")
    told = sorted(counts.items()) if isinstance(counts, dict) else []
    return {
        "bad": ratio(None if tries is None or good is None else tries - good, tries),
        "statuses": ", ".join("%s (%s times)" % (status, count) for status, count in told) or None,
    }
