# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One snapshot: run every collector at once and put what they say into one document.

Private to oncall.pressure: no stable interface. The document's shape is in docs/architecture.md.
"""

from __future__ import annotations

import importlib.util
import platform
import resource
import sys
import time
import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._components._process_table import own_chain
from ansible_collections.oncall.pressure.plugins.module_utils._host._collect import Collector, Options, Reading, run_all
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine
from ansible_collections.oncall.pressure.plugins.module_utils._version import VERSION

SCHEMA = 1


# Each collector is imported in its own child: source that travels is compiled anew at every call, so the children do that
# side by side, and none holds the code of another.


def _host(machine: Machine, options: Options) -> Reading:
    from ansible_collections.oncall.pressure.plugins.module_utils._components import _host_pressure

    return _host_pressure.collect(machine, options)


def _services(machine: Machine, options: Options) -> Reading:
    from ansible_collections.oncall.pressure.plugins.module_utils._components import _services

    return _services.collect(machine, options)


def _units(machine: Machine, options: Options) -> Reading:
    from ansible_collections.oncall.pressure.plugins.module_utils._components import _units

    return _units.collect(machine, options)


def _oom(machine: Machine, options: Options) -> Reading:
    from ansible_collections.oncall.pressure.plugins.module_utils._components import _oom

    return _oom.collect(machine, options)


def _nginx(machine: Machine, options: Options) -> Reading:
    from ansible_collections.oncall.pressure.plugins.module_utils._components import _nginx

    return _nginx.collect(machine, options)


COLLECTORS: dict[str, Collector] = {"host": _host, "services": _services, "units": _units, "oom": _oom, "nginx": _nginx}

#: What a unit's own record says better than its processes do.
_OF_UNITS = ("state", "restarts", "result", "settings")


def take(machine: Machine, options: Options, limit_s: float) -> dict[str, t.Any]:
    """The document of one host; ``name`` and ``clock_offset_s`` are for the controller to fill in."""
    started = machine.monotonic()
    options = options._replace(own_pids=own_chain(machine))
    rows, pss_bytes = run_all(COLLECTORS, machine, options, limit_s)
    data = {name: row["data"] or {} for name, row in rows.items()}
    services = t.cast("list[dict[str, t.Any]]", data["services"].get("services", []))
    return {
        "schema": SCHEMA,
        "name": None,
        "taken": _taken(machine, options),
        "tool": _tool(machine),
        "cost": _cost(pss_bytes, len(rows) + 1, machine.monotonic() - started),
        "collectors": {name: {key: row[key] for key in ("status", "reason", "seconds")} for name, row in rows.items()},
        "host": data["host"].get("host"),
        "machine": data["host"].get("machine"),
        "processes": data["services"].get("processes"),
        "services": join(services, data["units"]) if rows["services"]["data"] is not None or rows["units"]["data"] is not None else None,
        "oom": rows["oom"]["data"],
        "nginx": rows["nginx"]["data"],
    }


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


def _down(name: str, record: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """A service of a known component that has no process now."""
    limit = record.get("memory_limit_bytes")
    return {
        "id": name, "name": name.partition(":")[2] or name, "manager": record.get("manager", "systemd"), "component": record.get("component", "other"),
        "role": record.get("role", "other"), "cgroup": None, "state": record.get("state") or "stopped", "restarts": record.get("restarts"),
        "result": record.get("result"), "main_pid": None,
        "cpu": {"used": None, "source": None, "share": None, "quota": record.get("cpu_quota"), "throttled_pct": None},
        "memory": {"bytes": None, "source": None, "limit_bytes": limit, "limit_source": "service" if limit is not None else None,
                   "peak_bytes": None, "oom_kills": None, "max_hits": None},
        "processes": 0, "threads": 0, "workers": [], "worker_summary": None, "settings": record.get("settings"),
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
