# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Measure one service for a change: the snapshot's own collectors, in the same call as the change.

Private to oncall.pressure: no stable interface. Read-only. It never travels in an undo program.
"""

from __future__ import annotations

import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._change._kinds import Refused
from ansible_collections.oncall.pressure.plugins.module_utils._components import _snapshot
from ansible_collections.oncall.pressure.plugins.module_utils._components._own_root import own_root
from ansible_collections.oncall.pressure.plugins.module_utils._components._process_table import own_chain
from ansible_collections.oncall.pressure.plugins.module_utils._controls import _lasting_unit
from ansible_collections.oncall.pressure.plugins.module_utils._host._collect import Options, run_all
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine

#: How long to watch, in seconds: sizes and counts are those of a moment, so there is no need to watch for long.
WINDOW_S = 1.0
_LIMIT_S = 15.0

#: Where the number of workers of a service that we do not change is to be changed.
_ELSEWHERE = {
    "docker": "it runs in a container: change its command or environment where the container is declared (Compose file, run command) and recreate it",
    "podman": "it runs in a container: change its command or environment where the container is declared (quadlet, run command) and recreate it",
    "containerd": "it runs in a container: change its command or environment where the container is declared and recreate it",
    "kubernetes": "it is run by Kubernetes: change the command, the environment or the replicas in its Deployment, and let it roll out",
    "user": "it is run by a user's own service manager: the user changes the unit in ~/.config/systemd/user and restarts it",
    "session": "it was started by hand in a login session; whoever started it starts it again with fewer",
    "none": "no service manager runs it: whoever started it starts it again with fewer",
}


class Measured(t.NamedTuple):
    """What is known of one service and of what it shares the host with.

    service: its row of the snapshot
    unit: its row of the units collector, {} where it has none
    services: rows of all services
    host: the snapshot's ``host``, {} where it was not measured
    kills: its row of ``oom.services``, {} where it had none in the window
    kills_known: whether the kernel's log could be read
    nginx: the snapshot's ``nginx``; null where it was not asked for or does not run here
    nginx_reason: why it is null
    """

    service: dict[str, t.Any]
    unit: dict[str, t.Any]
    services: list[dict[str, t.Any]]
    host: dict[str, t.Any]
    kills: dict[str, t.Any]
    kills_known: bool
    nginx: dict[str, t.Any] | None
    nginx_reason: str | None


def measure(machine: Machine, name: str, oom_window_s: float = 3600.0, traffic_window_s: float = 600.0, traffic: bool = False) -> Measured:
    """Measure once. ``name`` is the service's id as the snapshot says it, or its name. Raises Refused where there is none, or several."""
    collectors = {key: _snapshot.COLLECTORS[key] for key in ("host", "services", "units", "oom") + (("nginx",) if traffic else ())}
    options = Options(window_s=WINDOW_S, oom_window_s=oom_window_s, traffic_window_s=traffic_window_s, own_pids=own_chain(machine))
    rows = run_all(collectors, machine, options, _LIMIT_S).rows
    if rows["services"]["data"] is None:
        raise Refused("the services of this host could not be measured: %s" % rows["services"]["reason"])
    units = rows["units"]["data"] or {}
    services = _snapshot.join(rows["services"]["data"]["services"], units)
    oom = rows["oom"]["data"] if isinstance(rows["oom"]["data"], dict) else {}
    if oom:
        _snapshot.give_to_programs(oom, services, own_root(machine).prefix)
    service = find(services, name)
    known = dict(units.get("units") or {}, **(units.get("programs") or {}))
    traffic_row = rows.get("nginx") or {}
    return Measured(
        service, known.get(service["id"]) or {}, services, (rows["host"]["data"] or {}).get("host") or {},
        (oom.get("services") or {}).get(service["id"]) or {}, bool(oom), traffic_row.get("data"), traffic_row.get("reason"),
    )


def find(services: t.Sequence[dict[str, t.Any]], name: str) -> dict[str, t.Any]:
    """The service of this id, or the only one of this name. Raises Refused naming those that there are."""
    matching = [row for row in services if row["id"] == name] or [row for row in services if name in (row["name"], row["name"].partition(".service")[0])]
    if len(matching) == 1:
        return matching[0]
    there = sorted(row["id"] for row in (matching or services) if row["component"] in ("gunicorn", "uvicorn", "celery", "rq"))
    listed = ", ".join(there[:10]) or "none that runs gunicorn, uvicorn, celery or rq"
    if matching:
        raise Refused("more than one service is called %s: say which by its id (%s)" % (name, listed))
    if not name:
        raise Refused("say which service (pressure_service); there is: %s" % listed)
    raise Refused("no service %s is known on this host; there is: %s" % (name, listed))


def check_changeable(service: t.Mapping[str, t.Any]) -> None:
    """Raises Refused for a service that is not run by systemd or supervisor of this host, or runs nothing that has workers."""
    where = _ELSEWHERE.get(str(service.get("manager")))
    if where is not None:
        raise Refused("%s is not changed here: %s" % (service["id"], where))
    if service.get("component") not in ("gunicorn", "uvicorn", "celery", "rq"):
        raise Refused("%s runs %s: only gunicorn, uvicorn, celery and rq have workers to change" % (service["id"], service.get("component")))


def together(rows: t.Sequence[t.Mapping[str, t.Any]], service: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Several services that are workers of one kind (the instances of a template unit), as the row of one: ``service`` gives its name.

    The limit of each binds only itself; what binds all of them is a control group above, or the host.
    """
    workers = sorted((worker for row in rows for worker in row.get("workers") or []), key=lambda worker: -(worker.get("pss_bytes") or worker["rss_bytes"]))
    whole = all(worker.get("pss_bytes") for worker in workers)
    sizes = sorted((worker["pss_bytes"] if whole else worker["rss_bytes"]) for worker in workers)
    middle = sizes[len(sizes) // 2] if sizes else None
    memory = [row.get("memory") or {} for row in rows]
    used = [each.get("bytes") for each in memory]
    above = [each for each in memory if each.get("limit_source") not in (None, "service")]
    merged = dict(service, workers=workers, processes=sum(row.get("processes") or 0 for row in rows), settings=None)
    merged["memory"] = {
        "bytes": None if None in used else sum(used), "limit_bytes": above[0]["limit_bytes"] if above else None,
        "limit_source": above[0]["limit_source"] if above else None,
    }
    merged["worker_summary"] = {
        "count": len(workers), "memory_source": "pss" if whole else "rss", "median_bytes": middle, "largest_bytes": sizes[-1], "total_bytes": sum(sizes),
        "largest_pid": workers[0]["pid"], "spread_pct": 100.0 * (sizes[-1] - sizes[0]) / middle if middle else None,
    } if sizes else None
    return merged


def written(measured: Measured) -> dict[str, t.Any]:
    """Its settings as its files have them now, which may differ from those in effect until a restart; {} where they are not known."""
    if measured.service.get("manager") == "supervisor":
        return measured.unit.get("settings") or {}
    return measured.unit.get("written") or {}


def oracle(machine: Machine, service: t.Mapping[str, t.Any], settings: t.Mapping[str, t.Any]) -> list[t.Callable[[], t.Sequence[str]]]:
    """For the engine's ``checks``: what systemd has of a unit's command afterwards differs in ``settings`` alone from what it has now. Raises Refused."""
    if service.get("manager") != "systemd":
        return []
    unit = str(service["name"])
    before = _lasting_unit.commands(machine, unit)
    return [lambda: _lasting_unit.check(machine, unit, before, settings)]


def between_restarts(service: t.Mapping[str, t.Any]) -> bool:
    """Whether nothing of it runs that could be told anything: its manager will start it again, or gave up."""
    return service.get("state") in ("restarting", "failed", "stopped") or not service.get("processes")
