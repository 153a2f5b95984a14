# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Build what rules look at from one snapshot: the host, each service, nginx, each job that runs, each database server.

Private to oncall.pressure: no stable interface.

A subject is a mapping: ``kind``, ``service`` (the service's row, null for a host), ``host``, ``machine``, ``oom``, ``nginx``,
``processes``, ``taken``, ``jobs``, ``job`` (of a job: its row), ``database`` (of a database server: its row), and ``derived``,
the figures made of them.
"""

from __future__ import annotations

import typing as t

from ansible_collections.oncall.pressure.plugins.plugin_utils._database_figures import database_figures, service_of
from ansible_collections.oncall.pressure.plugins.plugin_utils._host_figures import host_figures, traffic_figures
from ansible_collections.oncall.pressure.plugins.plugin_utils._job_figures import job_figures, job_of
from ansible_collections.oncall.pressure.plugins.plugin_utils._service_figures import service_figures
from ansible_collections.oncall.pressure.plugins.plugin_utils._values import at, rows, text


class Subject(t.NamedTuple):
    """One thing that rules look at."""

    kind: str
    service: str | None
    name: str | None
    component: str
    data: dict[str, t.Any]


#: Which collector measures what a selection starts with, where it is not the one that the subject itself is from.
_COLLECTORS = {
    "host": "host",
    "machine": "host",
    "oom": "oom",
    "nginx": "nginx",
    "processes": "services",
    "service": "services",
    "derived.kills": "oom",
    "derived.web": "services",
    "derived.traffic": "nginx",
    "derived.job": "jobs",
    "job": "jobs",
    "database": "postgres",
}

#: The collector without which there are no subjects of a kind.
NEEDED = {"host": "host", "service": "services", "nginx": "nginx", "job": "jobs", "database": "postgres"}


def subjects(snapshot: t.Mapping[str, t.Any]) -> list[Subject]:
    """Every subject of a snapshot; services that only the kernel's kills name are among them."""
    shared = {key: snapshot.get(key) for key in ("host", "machine", "oom", "nginx", "processes", "taken", "collectors")}
    found = [Subject("host", None, None, "host", {**shared, "kind": "host", "service": None, "derived": host_figures(snapshot)})]
    for service in [*_services(snapshot), *_gone(snapshot)]:
        identity = t.cast(str, service["id"])
        data = {**shared, "kind": "service", "service": service, "derived": {**service_figures(service, snapshot), "job": job_of(service, snapshot)}}
        found.append(Subject("service", identity, text(service, "name") or identity, text(service, "component") or "other", data))
    if isinstance(snapshot.get("nginx"), dict):
        row = next((row for row in _services(snapshot) if row.get("component") == "nginx"), None)
        data = {**shared, "kind": "nginx", "service": row, "derived": traffic_figures(snapshot)}
        found.append(Subject("nginx", text(row, "id"), text(row, "name") or text(row, "id"), "nginx", data))
    cron = next((row for row in _services(snapshot) if row.get("component") == "cron"), None)
    for job in [row for row in rows(snapshot, "jobs", "cron") if rows(row, "running")]:
        data = {**shared, "kind": "job", "service": cron, "job": job, "derived": job_figures(job, snapshot)}
        found.append(Subject("job", text(cron, "id"), text(job, "id"), "cron", data))
    for server in rows(snapshot, "postgres"):
        row = service_of(server, _services(snapshot))
        data = {**shared, "kind": "database", "service": row, "database": server, "derived": database_figures(server)}
        found.append(Subject("database", text(row, "id"), text(row, "name") or text(row, "id"), "postgres", data))
    return found


def _services(snapshot: t.Mapping[str, t.Any]) -> list[dict[str, t.Any]]:
    return [row for row in rows(snapshot, "services") if text(row, "id")]


def _gone(snapshot: t.Mapping[str, t.Any]) -> list[dict[str, t.Any]]:
    """Services that were killed and that nothing else knows any more: a kill must not go unnamed."""
    killed = at(snapshot, "oom", "services")
    present = {row["id"] for row in _services(snapshot)}
    names = [name for name in killed if isinstance(name, str) and name and name not in present] if isinstance(killed, dict) else []
    return [{"id": name, "name": name, "component": "other", "role": "other", "state": "unknown", "workers": None} for name in sorted(names)[:50]]


def collector(kind: str, expression: str) -> str:
    """The collector that measures what a selection of a subject of this kind selects."""
    parts = expression.split(".")
    return _COLLECTORS.get(".".join(parts[:2])) or _COLLECTORS.get(parts[0]) or NEEDED[kind]
