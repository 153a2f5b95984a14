# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Build snapshots for rule cases: a healthy host, with what a case changes laid over it."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any, Dict, List, Mapping

import yaml

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent.parent
RULES = ROOT / "roles" / "diagnose" / "files" / "rules"

MIB = 1024 * 1024


def load(name: str) -> Any:
    """A YAML file of this folder."""
    return yaml.safe_load((HERE / name).read_text(encoding="utf-8"))


def over(base: Any, change: Any) -> Any:
    """The base with a change laid over it: mappings are merged, anything else replaces."""
    if isinstance(base, dict) and isinstance(change, dict):
        merged = dict(base)
        for key, value in change.items():
            merged[key] = over(base.get(key), value)
        return merged
    return copy.deepcopy(change)


def sized(row: Mapping[str, Any]) -> Dict[str, Any]:
    """A service row. ``workers_like`` is a list of [count, MiB, age in seconds, CPUs, CPUs stood in line for]; ``memory_mib`` and ``limit_mib`` are in MiB."""
    row = dict(row)
    memory = {"bytes": None, "source": "cgroup", "limit_bytes": None, "limit_source": None, "peak_bytes": None, "oom_kills": 0, "max_hits": 0}
    if "memory_mib" in row:
        memory["bytes"] = row.pop("memory_mib") * MIB
    if "limit_mib" in row:
        memory.update(limit_bytes=row.pop("limit_mib") * MIB, limit_source="service")
    service: Dict[str, Any] = {
        "name": row["id"], "manager": "systemd", "component": "other", "role": "other", "cgroup": "/system.slice/" + row["id"], "state": "running",
        "restarts": 0, "result": None, "main_pid": 900, "memory": memory, "processes": 3, "threads": 3, "workers": None, "worker_summary": None,
        "settings": None,
        "cpu": {"used": 0.1, "source": "cgroup", "share": 0.1, "quota": None, "throttled_pct": None},
    }
    like = row.pop("workers_like", None)
    if row.get("state") in ("restarting", "failed", "stopped") and not like and row.get("settings"):
        # what is down has no process that anybody could have measured: its unit alone tells of it
        service.update(cgroup=None, main_pid=None, processes=0, threads=0, cpu=dict.fromkeys(service["cpu"]))
    if like is not None:
        row.update(workers=workers(like))
        row["worker_summary"] = summary(row["workers"])
    return over(service, row)


def workers(like: List[List[float]]) -> List[Dict[str, Any]]:
    """Workers, largest first."""
    found = []
    for count, mib, age_s, cpu, *wait in like:
        for dummy in range(int(count)):
            size = int(mib * MIB)
            found.append({
                "pid": 1000 + len(found), "age_s": age_s, "cpu": cpu, "cpu_wait": wait[0] if wait else None,
                "pss_bytes": size, "rss_bytes": size + 5 * MIB, "anon_bytes": size, "threads": 1,
                "open_files": 10, "open_files_limit": 1024, "open_kinds": {"file": 4, "socket": 4, "pipe": 1, "other": 1},
                "read_bytes_per_s": 0, "write_bytes_per_s": 0, "state": "S",
            })
    return sorted(found, key=lambda row: -row["pss_bytes"])


def summary(rows: List[Dict[str, Any]]) -> Dict[str, Any]:
    """What the collector says of these workers together."""
    sizes = sorted(row["pss_bytes"] for row in rows)
    if not sizes:
        return {
            "count": 0, "measured": 0, "memory_source": "pss", "median_bytes": None, "largest_bytes": None, "largest_pid": None, "spread_pct": None,
            "total_bytes": 0, "cpu_used": 0, "cpu_largest": None, "median_age_s": None,
        }
    middle = len(sizes) // 2
    median = sizes[middle] if len(sizes) % 2 else (sizes[middle - 1] + sizes[middle]) / 2
    return {
        "count": len(rows), "measured": len(rows), "memory_source": "pss", "median_bytes": median, "largest_bytes": sizes[-1], "largest_pid": rows[0]["pid"],
        "spread_pct": (sizes[-1] - sizes[0]) / median * 100, "total_bytes": sum(sizes), "cpu_used": sum(row["cpu"] for row in rows),
        "cpu_largest": max(row["cpu"] for row in rows), "median_age_s": sorted(row["age_s"] for row in rows)[middle],
    }


def killed(service: str | None, rows: List[List[Any]], constraint: str = "memcg", name: str = "gunicorn", own: bool = True,
           limit_cgroup: str | None = None) -> Dict[str, Any]:
    """The ``oom`` part for kills of one service: ``rows`` is a list of [age in seconds, MiB], newest first."""
    events = [{
        "at": "2026-01-10T02:51:13Z", "age_s": age, "pid": 5000 + index, "name": name, "constraint": constraint, "cgroup": "/system.slice/%s" % service,
        "limit_cgroup": limit_cgroup, "service": service, "own": own, "anon_rss_bytes": mib * MIB, "total_vm_bytes": mib * MIB * 2, "uid": 0, "trigger": name,
    } for index, (age, mib) in enumerate(rows)]
    sizes = sorted(mib for dummy, mib in rows)
    services = {}
    if service and own:
        services[service] = {
            "kills": len(rows), "last_at": "2026-01-10T02:51:13Z", "last_age_s": min(age for age, dummy in rows), "largest_anon_rss_bytes": sizes[-1] * MIB,
            "median_anon_rss_bytes": sizes[len(sizes) // 2] * MIB, "names": {name: len(rows)},
        }
    return {"kills": len(rows) if own else 0, "events": events, "services": services, "counters": {"vmstat_oom_kill": len(rows), "cgroup_oom_kill": None}}


def snapshot(case: Mapping[str, Any]) -> Dict[str, Any]:
    """The snapshot of a case: the base, then ``killed``, ``services`` and ``over_time``, then ``snapshot`` laid over it."""
    document = load("base.yml")
    if "killed" in case:
        document = over(document, {"oom": killed(**case["killed"])})
    if "services" in case:
        document["services"] = [sized(row) for row in case["services"]]
    if "over_time" in case:
        document["memory_history"] = {"sources": [], "host": [], "services": [watched(**case["over_time"])]}
    return over(document, case.get("snapshot", {}))


def watched(service: str, workers: List[List[float]], rest: List[float], hours: float = 4.0, per_s: Dict[str, List[float]] | None = None) -> Dict[str, Any]:
    """A service over time in 48 points: each worker from so many MiB to so many, ``rest`` (its other processes) too; pids from 1000 on as
    ``workers`` has them. ``per_s``: rates by name, repeated one after the other for an eighth of the time each; memory moves only with these where given."""
    count, every_s = 48, hours * 3600 / 47
    points, aged = [], [{"pid": 1000 + number, "started_age_s": hours * 7200, "points": []} for number in range(len(workers))]
    busy = [True] * count
    for values in (per_s or {}).values():
        busy = [values[index * 8 // count % len(values)] > 0 for index in range(count)]
    for index in range(count):
        age_s, part = round((count - 1 - index) * every_s, 1), sum(busy[:index]) / max(sum(busy), 1)
        sizes = [int((low + (high - low) * part) * MIB) for low, high in workers]
        for worker, size in zip(aged, sizes):
            worker["points"].append([age_s, size])
        middle = sorted(sizes)[len(sizes) // 2] if sizes else None
        points.append({
            "age_s": age_s, "bytes": sum(sizes) + int((rest[0] + (rest[1] - rest[0]) * part) * MIB), "workers": len(sizes) or None,
            "worker_bytes": sum(sizes) if sizes else None, "largest_bytes": max(sizes, default=None), "median_bytes": middle,
            "cpu_used": None, "requests_per_s": None, "tasks_per_s": None,
            **{name: values[index * 8 // count % len(values)] for name, values in (per_s or {}).items()},
        })
    return {"id": service, "source": "recorder", "every_s": every_s, "points": points, "workers": aged}
