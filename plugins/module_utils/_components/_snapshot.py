# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One snapshot: run every collector at once and put what they say into one document.

Private to oncall.pressure: no stable interface. The document's shape is in docs/architecture.md.
"""

from __future__ import annotations

import importlib.util
import platform
import re
import resource
import sys
import time
import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._components import _daemons, _owners
from ansible_collections.oncall.pressure.plugins.module_utils._components._own_root import own_root
from ansible_collections.oncall.pressure.plugins.module_utils._components._process_table import own_chain
from ansible_collections.oncall.pressure.plugins.module_utils._host._archive import compile_once
from ansible_collections.oncall.pressure.plugins.module_utils._host._collect import Collector, Options, Part, Reading, Run, absent, run_all
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine
from ansible_collections.oncall.pressure.plugins.module_utils._parse import _cgroup
from ansible_collections.oncall.pressure.plugins.module_utils._version import VERSION

SCHEMA = 1


# Each is imported by a statement of its own and not by a name in a table: Ansible sends what it sees imported.


@Part
def _host(options: Options) -> Collector | Reading:
    from ansible_collections.oncall.pressure.plugins.module_utils._components import _host_pressure

    return _host_pressure.collect


@Part
def _services(options: Options) -> Collector | Reading:
    from ansible_collections.oncall.pressure.plugins.module_utils._components import _services

    return _services.collect


@Part
def _units(options: Options) -> Collector | Reading:
    from ansible_collections.oncall.pressure.plugins.module_utils._components import _units

    return _units.collect


@Part
def _oom(options: Options) -> Collector | Reading:
    from ansible_collections.oncall.pressure.plugins.module_utils._components import _oom

    return _oom.collect


@Part
def _nginx(options: Options) -> Collector | Reading:
    from ansible_collections.oncall.pressure.plugins.module_utils._components import _nginx

    return _nginx.collect


@Part
def _jobs(options: Options) -> Collector | Reading:
    from ansible_collections.oncall.pressure.plugins.module_utils._components import _jobs

    return _jobs.collect


@Part
def _health(options: Options) -> Collector | Reading:
    if not options.health_urls:
        return absent("no URL to ask was given (pressure_health_urls)")
    from ansible_collections.oncall.pressure.plugins.module_utils._components import _health_urls

    return _health_urls.collect


@Part
def _containers(options: Options) -> Collector | Reading:
    if options.daemons is not None and not {"docker", "podman", "containerd", "crio"} & set(options.daemons):
        return absent("no container engine runs here")
    from ansible_collections.oncall.pressure.plugins.module_utils._components import _containers

    return _containers.collect


@Part
def _logs(options: Options) -> Collector | Reading:
    from ansible_collections.oncall.pressure.plugins.module_utils._components import _logs

    return _logs.collect


@Part
def _connections(options: Options) -> Collector | Reading:
    from ansible_collections.oncall.pressure.plugins.module_utils._components import _connections

    return _connections.collect


@Part
def _recent_changes(options: Options) -> Collector | Reading:
    from ansible_collections.oncall.pressure.plugins.module_utils._components import _recent_changes

    return _recent_changes.collect


@Part
def _redis(options: Options) -> Collector | Reading:
    if options.daemons is not None and "redis" not in options.daemons:
        return absent("no Redis server runs here")
    from ansible_collections.oncall.pressure.plugins.module_utils._components import _redis

    return _redis.collect


@Part
def _postgres(options: Options) -> Collector | Reading:
    if options.daemons is not None and "postgres" not in options.daemons and not options.postgres_dsn:
        return absent("no PostgreSQL runs here")
    from ansible_collections.oncall.pressure.plugins.module_utils._components import _postgres

    return _postgres.collect


@Part
def _memory_history(options: Options) -> Collector | Reading:
    return _recorded


def _recorded(machine: Machine, options: Options) -> Reading:
    # whether anything is recorded is looked at in the child: what lies on a file system may not answer
    if not options.memory_window_s and not any(machine.exists(path) for path in _HISTORIES):
        return absent("nothing is recorded here (role recorder, sysstat), and no longer window was asked for (pressure_memory_window)")
    from ansible_collections.oncall.pressure.plugins.module_utils._components import _memory_history

    return _memory_history.collect(machine, options)


#: In the order in which they begin: what a verdict cannot do without, then what watches the window where it is there, then what ends in a moment.
COLLECTORS: dict[str, Collector] = {
    "host": _host, "services": _services, "units": _units, "oom": _oom, "memory_history": _memory_history, "containers": _containers,
    "postgres": _postgres, "redis": _redis, "health": _health, "logs": _logs, "jobs": _jobs, "nginx": _nginx, "connections": _connections,
    "changes": _recent_changes,
}

#: What stacks may take of the time, where they are asked for.
_STACKS_S = 4.5

#: Where a history of memory is kept: by our recorder, by sysstat.
_HISTORIES = ("/etc/systemd/system/oncall-pressure-recorder.timer", "/var/lib/oncall-pressure/history", "/var/log/sysstat", "/var/log/sa")

_PYTHON = ("gunicorn", "uvicorn", "celery", "rq")

#: What a unit's own record says better than its processes do.
_OF_UNITS = ("state", "restarts", "result", "settings", "restart", "oom_policy", "tasks_limit")

#: What a service says of the container that it is.
_OF_CONTAINERS = ("name", "image", "project", "service", "state", "restarts", "health", "exit_code", "oom_killed")


def take(machine: Machine, options: Options, limit_s: float) -> dict[str, t.Any]:
    """The document of one host; ``name`` and ``clock_offset_s`` are for the controller to fill in."""
    started = machine.monotonic()
    options = options._replace(own_pids=own_chain(machine), daemons=_daemons.running(machine))
    compile_once()
    # what was asked for is taken within the same limit
    limit_of_all_s = limit_s if options.stacks is None else max(limit_s - _STACKS_S, options.window_s + 1.0)
    rows, pss_bytes = _collected(machine, options, limit_of_all_s)
    joined = merge(rows, own_root(machine).prefix)
    rows["stacks"] = _stacks(machine, options, joined, (rows["services"]["data"] or {}).get("processes"), min(_STACKS_S, limit_s))
    return {
        "schema": SCHEMA,
        "name": None,
        "taken": _taken(machine, options),
        "tool": _tool(machine),
        "cost": _cost(pss_bytes, len(COLLECTORS) + 1 + (options.stacks is not None), machine.monotonic() - started),
        **sections(rows, joined),
    }


def merge(rows: t.Mapping[str, dict[str, t.Any]], prefix: str) -> list[dict[str, t.Any]] | None:
    """The services, with what every collector knows of them; what the collectors say is changed in its place. Null where none measured any.

    ``rows`` is what ``run_all`` gives, ``prefix`` the part of a cgroup's path that is this host's own.
    """
    data = {name: row["data"] or {} for name, row in rows.items()}
    services = t.cast("list[dict[str, t.Any]]", data["services"].get("services", []))
    joined = join(services, data["units"]) if rows["services"]["data"] is not None or rows["units"]["data"] is not None else None
    if joined and isinstance(rows["oom"]["data"], dict):
        give_to_programs(rows["oom"]["data"], joined, prefix)
    if rows["jobs"]["data"] is not None and rows["units"]["data"] is not None:
        tell_timers(rows["jobs"]["data"], data["units"].get("units") or {})
    if joined and rows["containers"]["data"] is not None:
        tell_containers(joined, rows["containers"]["data"]["containers"])
    _owners.tell_brokers(rows["redis"], joined or [])
    if rows["connections"]["data"] is not None:
        _owners.tell(rows["connections"]["data"], joined or [])
    if rows["changes"]["data"] is not None:
        _owners.rename(rows["changes"]["data"]["events"], joined or [])
    return joined


def sections(rows: t.Mapping[str, t.Mapping[str, t.Any]], joined: list[dict[str, t.Any]] | None) -> dict[str, t.Any]:
    """The sections of the document that collectors give, of their rows and the services that were merged out of them."""
    host = rows["host"]["data"] or {}
    return {
        "collectors": {name: {key: row[key] for key in ("status", "reason", "seconds")} for name, row in rows.items()},
        "host": host.get("host"),
        "machine": host.get("machine"),
        "processes": (rows["services"]["data"] or {}).get("processes"),
        "services": joined,
        "oom": rows["oom"]["data"],
        "nginx": rows["nginx"]["data"],
        "jobs": rows["jobs"]["data"],
        "health": rows["health"]["data"],
        "containers": rows["containers"]["data"],
        "logs": rows["logs"]["data"],
        "connections": rows["connections"]["data"],
        "timeline": rows["changes"]["data"],
        "redis": rows["redis"]["data"],
        "postgres": rows["postgres"]["data"],
        "stacks": rows["stacks"]["data"],
        "memory_history": rows["memory_history"]["data"],
    }


def _collected(machine: Machine, options: Options, limit_s: float) -> Run:
    """What all collectors said. A longer window goes before the rest: services are judged by what they are when it ends, which it may have seen change."""
    if not options.memory_window_s:
        return run_all(COLLECTORS, machine, options, limit_s)
    started = machine.monotonic()
    # of the time that is allowed beside it, half may be its own: to wait for a processor, and to read what was recorded
    watching = {name: part for name, part in COLLECTORS.items() if part is _memory_history}
    spare_s = max(limit_s - options.memory_window_s, 0.0) / 2
    watched = run_all(watching, machine, options, options.memory_window_s + spare_s)
    others = {name: part for name, part in COLLECTORS.items() if name not in watching}
    left_s = max(limit_s - (machine.monotonic() - started), options.window_s + 1.0)
    seen = run_all(others, machine, options._replace(memory_window_s=0.0), left_s)
    rows = {**watched.rows, **seen.rows}
    return Run({name: rows[name] for name in COLLECTORS}, max((size for size in (watched.pss_bytes, seen.pss_bytes) if size is not None), default=None))


def _stacks(
    machine: Machine, options: Options, services: t.Sequence[t.Mapping[str, t.Any]] | None, processes: t.Mapping[str, t.Any] | None, limit_s: float
) -> dict[str, t.Any]:
    """The row of the stacks of the one process that used the processors most: after the window, since only then it is known."""
    wanted = options.stacks
    if wanted is None:
        return {"status": "absent", "reason": "nobody asked for them (pressure_stacks)", "data": None, "seconds": 0.0}

    def collect(machine: Machine, options: Options) -> Reading:
        from ansible_collections.oncall.pressure.plugins.module_utils._components import _hot_stacks

        return _hot_stacks.take(machine, services if processes is not None else None, (processes or {}).get("top_cpu") or [], wanted, limit_s)

    return run_all({"stacks": collect}, machine, options, limit_s).rows["stacks"]


def join(services: list[dict[str, t.Any]], units: t.Mapping[str, t.Any]) -> list[dict[str, t.Any]]:
    """Services seen running, with what their manager and their settings say; those that are down between two restarts are added."""
    known: dict[str, dict[str, t.Any]] = dict(units.get("units") or {})
    known.update(units.get("programs") or {})
    processes: dict[str, dict[str, t.Any]] = units.get("processes") or {}
    seen = set()
    for service in services:
        seen.add(service["id"])
        record = known.get(service["id"])
        if record is not None:
            for name in _OF_UNITS:
                if record.get(name) is not None:
                    service[name] = record[name]
        if service["settings"] is None and service["main_pid"] is not None:
            service["settings"] = (processes.get(str(service["main_pid"])) or {}).get("settings")
    for name, record in known.items():
        if name not in seen and record.get("settings") is not None:
            services.append(_down(name, record))
    return services


def tell_timers(jobs: dict[str, t.Any], units: t.Mapping[str, t.Mapping[str, t.Any]]) -> None:
    """Say of each timer whether what it starts runs now, and since when: units that run are known, any other does not."""
    for timer in jobs["timers"] or []:
        unit = units.get(timer["activates"] or "")
        timer["running"] = unit is not None and unit["state"] in ("running", "restarting")
        timer["since_s"] = unit["since_s"] if unit is not None and timer["running"] else None


def tell_containers(services: t.Sequence[dict[str, t.Any]], containers: t.Sequence[t.Mapping[str, t.Any]]) -> None:
    """Give the services that are containers what the engine knows of them, and the name that people know them by."""
    known = {row["id"]: row for row in containers if row["name"] is not None and row["pod"] is None}
    for service in services:
        row = known.get(service["id"])
        if row is not None:
            service.update(container={key: row[key] for key in _OF_CONTAINERS}, name=row["name"], restarts=row["restarts"])


def give_to_programs(oom: dict[str, t.Any], services: t.Sequence[t.Mapping[str, t.Any]], prefix: str) -> None:
    """Give kills to the programs of a supervisor: the kernel knows only the cgroup that they share.

    A kill in such a cgroup belongs to the one program there whose software has the victim's name; where several have, it stays.
    """
    programs: dict[str | None, list[t.Mapping[str, t.Any]]] = {}
    for service in services:
        if service["manager"] == "supervisor" and service["cgroup"]:
            programs.setdefault(_cgroup.identify(service["cgroup"], prefix).name or None, []).append(service)
    moved: dict[tuple[str | None, str], str] = {}
    for event in (oom.get("events") or []) if programs else []:
        fitting = [row["id"] for row in programs.get(event["service"], []) if event["own"] and _is_of(event["name"] or "", row["component"])]
        if len(fitting) == 1:
            moved[event["service"], event["name"]] = fitting[0]
            event["service"] = fitting[0]
    for (unit, name), program in moved.items():
        _move(oom["services"], unit, name, program, [event for event in oom["events"] if event["service"] == program and event["name"] == name])


def _is_of(name: str, component: str) -> bool:
    """Whether a process of this short name may be one of a component's."""
    if component not in _PYTHON:
        return False
    return name.startswith(component) or bool(re.match(r"python[0-9.]*\Z", name)) or (component == "celery" and name.startswith("[celeryd"))


def _move(rows: dict[str, t.Any], unit: str | None, name: str, program: str, events: t.Sequence[t.Mapping[str, t.Any]]) -> None:
    """Move the kills of one name from a unit's row to a program's."""
    old = rows.get(unit) if unit is not None else None
    kills = old["names"].pop(name, len(events)) if old is not None else len(events)
    if old is not None:
        old["kills"] -= kills
        if old["kills"] <= 0:
            del rows[unit]
    sizes = sorted(event["anon_rss_bytes"] for event in events if event["anon_rss_bytes"] is not None)
    empty = {"kills": 0, "last_at": None, "last_age_s": None, "largest_anon_rss_bytes": None, "median_anon_rss_bytes": None, "names": {}}
    row = rows.setdefault(program, empty)
    row["kills"] += kills
    row["names"][name] = row["names"].get(name, 0) + kills
    # events come newest first
    row.update(last_at=events[0]["at"], last_age_s=events[0]["age_s"])
    if sizes:
        row.update(largest_anon_rss_bytes=sizes[-1], median_anon_rss_bytes=sizes[len(sizes) // 2])


def _down(name: str, record: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """A service of a known component that has no process now."""
    limit = record.get("memory_limit_bytes")
    return {
        "id": name, "name": name.partition(":")[2] or name, "manager": record.get("manager", "systemd"), "component": record.get("component", "other"),
        "role": record.get("role", "other"), "cgroup": None, "state": record.get("state") or "unknown", "restarts": record.get("restarts"),
        "result": record.get("result"), "restart": record.get("restart"), "oom_policy": record.get("oom_policy"), "tasks_limit": record.get("tasks_limit"),
        "main_pid": None,
        "cpu": {"used": None, "source": None, "share": None, "quota": record.get("cpu_quota"), "throttled_pct": None},
        "memory": {"bytes": None, "source": None, "limit_bytes": limit, "limit_source": "service" if limit is not None else None,
                   "peak_bytes": None, "oom_kills": None, "max_hits": None},
        "processes": 0, "threads": 0, "main": None, "workers": [], "worker_summary": None, "settings": record.get("settings"), "container": None,
    }


def _taken(machine: Machine, options: Options) -> dict[str, t.Any]:
    now = machine.now()
    try:
        uptime_s: float | None = machine.uptime_s()
    except (OSError, ValueError):
        uptime_s = None
    return {
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now)), "epoch_s": round(now, 3),
        "boot_id": (machine.text_or_none("/proc/sys/kernel/random/boot_id") or "").strip() or None,
        "uptime_s": uptime_s, "window_s": options.window_s, "clock_offset_s": None,
    }


def _tool(machine: Machine) -> dict[str, t.Any]:
    try:
        psutil = importlib.util.find_spec("psutil") is not None
    except (ImportError, ValueError):
        psutil = False
    return {"version": VERSION, "python": platform.python_version(), "python_path": sys.executable or None, "euid": machine.euid(), "psutil": psutil}


def _cost(pss_bytes: int | None, processes: int, wall_s: float) -> dict[str, t.Any]:
    """CPU seconds of the module with its start, and the most that its processes took together."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return {
        "cpu_s": round(sum(usage.ru_utime + usage.ru_stime for usage in usages), 3), "wall_s": round(wall_s, 3),
        "pss_bytes": pss_bytes, "processes": processes,
    }
