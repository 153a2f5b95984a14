# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Build what rules look at from one snapshot: the host, each service, nginx, each job that runs, each URL that was asked,
each container, each Redis server, each queue in one, each database server.

Private to oncall.pressure: no stable interface.

A subject is a mapping: ``kind``, ``service`` (the service's row, null for a host), ``host``, ``machine``, ``oom``, ``nginx``,
``processes``, ``taken``, ``jobs``, ``job`` (of a job: its row), ``health`` (of a URL that was asked: its row),
``container`` (of a container: its row), ``server`` (of a Redis server and a queue: the server's row), ``queue`` (of a queue),
``database`` (of a database server: its row), and ``derived``, the figures made of them.
"""

from __future__ import annotations

import typing as t

from ansible_collections.oncall.pressure.plugins.plugin_utils._connection_figures import connection_figures
from ansible_collections.oncall.pressure.plugins.plugin_utils._container_figures import container_figures
from ansible_collections.oncall.pressure.plugins.plugin_utils._database_figures import database_figures
from ansible_collections.oncall.pressure.plugins.plugin_utils._database_figures import service_of as database_service
from ansible_collections.oncall.pressure.plugins.plugin_utils._duplicate_figures import duplicate_figures
from ansible_collections.oncall.pressure.plugins.plugin_utils._database_window import window_figures
from ansible_collections.oncall.pressure.plugins.plugin_utils._host_figures import health_figures, host_figures, traffic_figures
from ansible_collections.oncall.pressure.plugins.plugin_utils._job_figures import job_figures, job_of
from ansible_collections.oncall.pressure.plugins.plugin_utils._log_figures import log_figures
from ansible_collections.oncall.pressure.plugins.plugin_utils._memory_figures import memory_figures
from ansible_collections.oncall.pressure.plugins.plugin_utils._needs import failed
from ansible_collections.oncall.pressure.plugins.plugin_utils._redis_figures import queue_figures, redis_figures, service_of
from ansible_collections.oncall.pressure.plugins.plugin_utils._service_figures import service_figures
from ansible_collections.oncall.pressure.plugins.plugin_utils._stack_figures import stack_figures
from ansible_collections.oncall.pressure.plugins.plugin_utils._values import at, rows, text


class Subject(t.NamedTuple):
    """One thing that rules look at."""

    kind: str
    service: str | None
    name: str | None
    component: str
    data: dict[str, t.Any]


def subjects(snapshot: t.Mapping[str, t.Any], memory: t.Mapping[str, t.Mapping[str, t.Any]] | None = None) -> list[Subject]:
    """Every subject of a snapshot; services that only the kernel's kills name are among them. ``memory``: by service the row of ``_memory_pattern``."""
    shared = {key: snapshot.get(key) for key in ("host", "machine", "oom", "nginx", "processes", "taken", "collectors")}
    lost = failed(snapshot)
    host = {**host_figures(snapshot), "work": duplicate_figures(snapshot)}
    found = [Subject("host", None, None, "host", {**shared, "kind": "host", "service": None, "derived": host})]
    for service in [*_services(snapshot), *_gone(snapshot)]:
        identity = t.cast(str, service["id"])
        derived = {**service_figures(service, snapshot), "job": job_of(service, snapshot), "logs": log_figures(snapshot, identity),
                   "connections": connection_figures(service, snapshot), "stacks": stack_figures(service, snapshot),
                   "growth": memory_figures((memory or {}).get(identity), "memory_history" in lost)}
        data = {**shared, "kind": "service", "service": service, "derived": derived}
        found.append(Subject("service", identity, text(service, "name") or identity, text(service, "component") or "other", data))
    if isinstance(snapshot.get("nginx"), dict):
        row = next((row for row in _services(snapshot) if row.get("component") == "nginx"), None)
        traffic = traffic_figures(snapshot)
        # what a path costs shows in the stacks of the web service that answers it
        derived = {**traffic, "logs": log_figures(snapshot, text(row, "id")), "stacks": stack_figures({"id": text(traffic, "web", "service")}, snapshot)}
        data = {**shared, "kind": "nginx", "service": row, "derived": derived}
        found.append(Subject("nginx", text(row, "id"), text(row, "name") or text(row, "id"), "nginx", data))
    cron = next((row for row in _services(snapshot) if row.get("component") == "cron"), None)
    for job in [row for row in rows(snapshot, "jobs", "cron") if rows(row, "running")]:
        data = {**shared, "kind": "job", "service": cron, "job": job, "derived": job_figures(job, snapshot)}
        found.append(Subject("job", text(cron, "id"), text(job, "id"), "cron", data))
    for asked in rows(snapshot, "health"):
        name = text(asked, "service")
        row = next((row for row in _services(snapshot) if name in (row["id"], row.get("name"))), None)
        data = {**shared, "kind": "health", "service": row, "health": asked, "derived": health_figures(asked)}
        found.append(Subject("health", text(row, "id") or name, name, text(row, "component") or "other", data))
    for container in [row for row in rows(snapshot, "containers", "containers") if text(row, "id")]:
        identity = t.cast(str, container["id"])
        row = next((row for row in _services(snapshot) if row["id"] == identity), None)
        data = {**shared, "kind": "container", "service": row, "container": container, "derived": container_figures(container, snapshot)}
        found.append(Subject("container", identity, text(container, "name") or identity, text(row, "component") or "docker", data))
    for server in rows(snapshot, "redis", "servers"):
        found += _of_redis(server, snapshot, shared)
    for server in rows(snapshot, "postgres"):
        row = database_service(server, _services(snapshot))
        derived = {**database_figures(server), **window_figures(server, row, snapshot)}
        data = {**shared, "kind": "database", "service": row, "database": server, "derived": derived}
        found.append(Subject("database", text(row, "id"), text(row, "name") or text(row, "id") or text(server, "address"), "postgres", data))
    return found


def _of_redis(server: dict[str, t.Any], snapshot: t.Mapping[str, t.Any], shared: t.Mapping[str, t.Any]) -> list[Subject]:
    """A server and each of its queues, which is its workers' where one service alone works on it."""
    row = service_of(server, snapshot)
    data = {**shared, "kind": "redis", "service": row, "server": server, "derived": redis_figures(server, snapshot)}
    found = [Subject("redis", text(row, "id"), text(row, "name") or text(server, "address"), "redis", data)]
    for queue in rows(server, "queues"):
        figures = queue_figures(queue, server, snapshot)
        data = {**shared, "kind": "queue", "service": row, "server": server, "queue": queue, "derived": figures}
        component = text(queue, "kind") or "redis" if figures["consumer"] else "redis"
        # without settings nobody knows who works on it: it is not the server's for that
        unseen = bool(failed(snapshot) & {"services", "units"})
        found.append(Subject("queue", figures["consumer"] or (None if unseen else text(row, "id")), text(queue, "name"), component, data))
    return found


def _services(snapshot: t.Mapping[str, t.Any]) -> list[dict[str, t.Any]]:
    return [row for row in rows(snapshot, "services") if text(row, "id")]


def _gone(snapshot: t.Mapping[str, t.Any]) -> list[dict[str, t.Any]]:
    """Services that were killed and that nothing else knows any more: a kill must not go unnamed."""
    killed = at(snapshot, "oom", "services")
    present = {row["id"] for row in _services(snapshot)}
    names = [name for name in killed if isinstance(name, str) and name and name not in present] if isinstance(killed, dict) else []
    return [{"id": name, "name": name, "component": "other", "role": "other", "state": "unknown", "workers": None} for name in sorted(names)[:50]]
