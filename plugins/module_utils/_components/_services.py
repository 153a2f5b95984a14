# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The services collector: top processes, and every process as part of a service with its CPU, memory, limits and workers.

Private to oncall.pressure: no stable interface.
"""

from __future__ import annotations

import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._components import _membership, _process_details
from ansible_collections.oncall.pressure.plugins.module_utils._components._host_pressure import throttled_pct
from ansible_collections.oncall.pressure.plugins.module_utils._components._membership import Group
from ansible_collections.oncall.pressure.plugins.module_utils._components._own_root import OwnRoot, own_root
from ansible_collections.oncall.pressure.plugins.module_utils._components._process_table import Process, first_look, second_look
from ansible_collections.oncall.pressure.plugins.module_utils._host._cgroups import Cgroups, CpuTime
from ansible_collections.oncall.pressure.plugins.module_utils._host._collect import Options, Reading, ok, partial
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine
from ansible_collections.oncall.pressure.plugins.module_utils._host._text import clean, clean_words

#: The most workers that are listed of one service, and the most services that are listed.
_WORKERS = 64
_SERVICES = 200

_WORKER_COMPONENTS = ("gunicorn", "uvicorn", "celery", "rq")


class _Window(t.NamedTuple):
    """What figures over the window need."""

    seconds: float
    ticks_per_s: int
    uptime_s: float

    def cpu(self, process: Process) -> float | None:
        """CPUs used by a process; null for one that ended within the window."""
        return round(process.ticks / self.ticks_per_s / self.seconds, 3) if process.seen_twice else None

    def cpu_wait(self, process: Process) -> float | None:
        """CPUs that a process could have used besides, had there been one free; null where that is not known."""
        return round(process.waited_ns / 1e9 / self.seconds, 3) if process.waited_ns is not None else None

    def age_s(self, process: Process) -> float:
        """How long ago a process started."""
        return round(max(self.uptime_s - process.start_ticks / self.ticks_per_s, 0.0), 1)


def collect(machine: Machine, options: Options) -> Reading:
    """``{"processes": ..., "services": [...]}`` in the shape of docs/architecture.md."""
    root = own_root(machine)
    cgroups = Cgroups(machine)
    started = machine.monotonic()
    table = first_look(machine, options.own_pids)
    groups = _membership.group(machine, table.processes, root)
    before = {group.id: _cpu_time(cgroups, group) for group in groups}
    of_interest = [process for group in groups if group.component in _WORKER_COMPONENTS for process in _measured(group)]
    skipped = _process_details.measure(machine, table.processes, of_interest, options)
    machine.sleep(options.window_s - (machine.monotonic() - started))
    second_look(machine, table)
    window = _Window(max(machine.monotonic() - started, 0.001), machine.ticks_per_s, machine.uptime_s())
    _process_details.measure_again(machine, table.processes)
    services = [_service(cgroups, root, group, before[group.id], window) for group in groups]
    whole = sum(service["cpu"]["used"] or 0.0 for service in services)
    for service in services:
        service["cpu"]["share"] = round(service["cpu"]["used"] / whole, 4) if whole and service["cpu"]["used"] is not None else None
    services.sort(key=lambda service: (-(service["cpu"]["used"] or 0.0), -(service["memory"]["bytes"] or 0)))
    data = {"processes": _processes(machine, table.processes, groups, window, options), "services": _most(services)}
    data["processes"]["left_out"] = len(table.ours)
    reasons = [skipped] if skipped else []
    if table.cut:
        reasons.append("more processes than are read")
    hidden = "hidepid" in (machine.text_or_none("/proc/self/mountinfo") or "").split(" /proc ", 1)[-1].split("\n", 1)[0]
    if hidden:
        reasons.append("/proc hides other users' processes (hidepid)")
    return partial(data, "; ".join(reasons)) if reasons else ok(data)


def _measured(group: Group) -> list[Process]:
    """The workers of a service, and the process above them: what it holds is no worker's."""
    return group.workers + ([group.main] if group.main not in group.workers else [])


def _most(services: list[dict[str, t.Any]]) -> list[dict[str, t.Any]]:
    """At most so many services: those of known components first, then by use."""
    if len(services) <= _SERVICES:
        return services
    return sorted(services, key=lambda service: service["component"] in ("other", "host"))[:_SERVICES]


def _cpu_time(cgroups: Cgroups, group: Group) -> tuple[float, CpuTime | None]:
    path = group.cgroup_path(cgroups, "cpuacct")
    return 0.0, cgroups.cpu(path) if path is not None else None


def _service(cgroups: Cgroups, root: OwnRoot, group: Group, before: tuple[float, CpuTime | None], window: _Window) -> dict[str, t.Any]:
    alive = [process for process in group.processes if process.seen_twice]
    workers = [process for process in group.workers if process.seen_twice]
    return {
        "id": clean(group.id, 200), "name": clean(group.name, 200), "manager": group.manager, "component": group.component, "role": group.role,
        "cgroup": clean(group.path or group.shared_path or "", 400) or None, "state": "running" if alive else "unknown", "restarts": None, "result": None,
        "restart": None, "oom_policy": None, "tasks_limit": None,
        "main_pid": group.main.pid if group.main.seen_twice else None,
        "cpu": _cpu(cgroups, root, group, before[1], window), "memory": _memory(cgroups, root, group, alive),
        "processes": len(alive), "threads": sum(process.threads for process in alive),
        "main": _main(group, window), "workers": _workers(workers, window) if group.component in _WORKER_COMPONENTS else [],
        "worker_summary": _summary(workers, window) if workers and group.component in _WORKER_COMPONENTS else None,
        "settings": None, "container": None,
    }


def _cpu(cgroups: Cgroups, root: OwnRoot, group: Group, before: CpuTime | None, window: _Window) -> dict[str, t.Any]:
    """From the cgroup, which counts all children that ended; else the sum of its processes and of those that they waited for."""
    path = group.cgroup_path(cgroups, "cpuacct")
    after = cgroups.cpu(path) if path is not None and before is not None else None
    quota_path = group.cgroup_path(cgroups, "cpu")
    row: dict[str, t.Any] = {"share": None, "quota": None, "throttled_pct": None}
    if quota_path is not None:
        row["quota"] = cgroups.binding_cpu_quota(quota_path, root.membership.get("cpu" if cgroups.version("cpu") == 1 else "", ""))
    if before is not None and after is not None:
        row.update(used=round(max(after.used_s - before.used_s, 0.0) / window.seconds, 3), source="cgroup", throttled_pct=throttled_pct(before, after))
    else:
        ticks = sum(process.ticks + process.ended_ticks for process in group.processes if process.seen_twice)
        row.update(used=round(ticks / window.ticks_per_s / window.seconds, 3), source="processes")
    return row


def _memory(cgroups: Cgroups, root: OwnRoot, group: Group, alive: t.Sequence[Process]) -> dict[str, t.Any]:
    row: dict[str, t.Any] = {"limit_bytes": None, "limit_source": None, "peak_bytes": None, "oom_kills": None, "max_hits": None}
    path = group.cgroup_path(cgroups, "memory")
    own = cgroups.memory(path) if path is not None else None
    top = root.membership.get("memory" if cgroups.version("memory") == 1 else "", "/")
    if path is not None and own is not None:
        binding = cgroups.binding_memory_limit(path, top)
        if binding is not None:
            row.update(limit_bytes=binding[0], limit_source="service" if binding[1] == path else clean(binding[1], 400))
        row.update(bytes=own.bytes, source="cgroup", peak_bytes=own.peak_bytes, oom_kills=own.oom_kills, max_hits=own.max_hits)
        return row
    shared = cgroups.path(group.main.cgroup, "memory") if group.shared_path is not None else None
    binding = cgroups.binding_memory_limit(shared, top) if shared is not None else None
    if binding is not None:
        # what it shares with others binds it all the same
        row.update(limit_bytes=binding[0], limit_source=clean(binding[1], 400))
    if alive and all(process.pss_bytes is not None for process in alive):
        row.update(bytes=sum(process.pss_bytes or 0 for process in alive), source="pss")
    else:
        row.update(bytes=sum(process.rss_bytes for process in alive), source="rss")
    return row


def _size(process: Process) -> int:
    return process.pss_bytes if process.pss_bytes is not None else process.rss_bytes


def _per_s(process: Process, name: str, window: _Window) -> int | None:
    if process.io_before is None or process.io_after is None:
        return None
    return round(max(process.io_after.get(name, 0) - process.io_before.get(name, 0), 0) / window.seconds)


def _switches_per_s(process: Process, which: int, window: _Window) -> float | None:
    return round(process.switches[which] / window.seconds, 2) if process.switches is not None else None


def _private(process: Process) -> int | None:
    """Memory that is its alone, which it would give back."""
    parts = [process.memory.get("Private_Clean"), process.memory.get("Private_Dirty")]
    return sum(part or 0 for part in parts) if None not in parts else None


def _workers(workers: t.Sequence[Process], window: _Window) -> list[dict[str, t.Any]]:
    return [
        {
            "pid": process.pid, "age_s": window.age_s(process), "cpu": window.cpu(process), "cpu_wait": window.cpu_wait(process),
            "pss_bytes": process.pss_bytes, "rss_bytes": process.rss_bytes,
            "anon_bytes": process.anon_bytes, "threads": process.threads, "open_files": process.open_files, "open_files_limit": process.open_files_limit,
            "open_kinds": process.open_kinds, "state": process.state,
            "voluntary_switches_per_s": _switches_per_s(process, 0, window), "involuntary_switches_per_s": _switches_per_s(process, 1, window),
            "read_bytes_per_s": _per_s(process, "read_bytes", window), "write_bytes_per_s": _per_s(process, "write_bytes", window),
        }
        for process in sorted(workers, key=_size, reverse=True)[:_WORKERS]
    ]


def _main(group: Group, window: _Window) -> dict[str, t.Any] | None:
    """The process above the workers, as one of them; null where the only one works itself."""
    if group.component not in _WORKER_COMPONENTS or not group.main.seen_twice or group.main in group.workers:
        return None
    return _workers([group.main], window)[0]


def _summary(workers: t.Sequence[Process], window: _Window) -> dict[str, t.Any]:
    """Sizes of one kind: PSS where every worker has it, else RSS of all (never a mix)."""
    whole = all(process.pss_bytes is not None for process in workers)
    sizes = sorted((process.pss_bytes or 0) if whole else process.rss_bytes for process in workers)
    largest = max(workers, key=lambda process: (process.pss_bytes or 0) if whole else process.rss_bytes)
    cpus = [window.cpu(process) or 0.0 for process in workers]
    middle = _median(sizes)
    return {
        "count": len(workers), "measured": sum(1 for process in workers if process.pss_bytes is not None), "memory_source": "pss" if whole else "rss",
        "median_bytes": round(middle), "largest_bytes": sizes[-1], "largest_pid": largest.pid, "total_bytes": sum(sizes),
        "spread_pct": round(100.0 * (sizes[-1] - sizes[0]) / middle, 1) if middle else None,
        "cpu_used": round(sum(cpus), 3), "cpu_largest": max(cpus), "median_age_s": _median(sorted(window.age_s(process) for process in workers)),
    }


def _median(values: t.Sequence[float]) -> float:
    middle = len(values) // 2
    return values[middle] if len(values) % 2 else (values[middle - 1] + values[middle]) / 2.0


def _processes(machine: Machine, processes: t.Mapping[int, Process], groups: t.Sequence[Group], window: _Window, options: Options) -> dict[str, t.Any]:
    alive = [process for process in processes.values() if process.seen_twice]
    where = {process.pid: group for group in groups for process in group.processes}
    users = _process_details.user_names(machine)

    def row(process: Process) -> dict[str, t.Any]:
        group = where[process.pid]
        seen = group.seen.get(process.pid)
        return {
            "pid": process.pid, "ppid": process.ppid, "name": clean(process.name, 64), "command": clean_words(process.argv, 200) or None,
            "user": clean(_process_details.user(machine, process.pid, users) or "", 64) or None, "service": clean(group.id, 200),
            "component": seen.component if seen is not None else group.component, "role": group.role_of(process), "age_s": window.age_s(process),
            "cpu": window.cpu(process), "cpu_wait": window.cpu_wait(process), "pss_bytes": process.pss_bytes, "rss_bytes": process.rss_bytes,
            "threads": process.threads, "state": process.state,
            "read_bytes_per_s": _per_s(process, "read_bytes", window), "write_bytes_per_s": _per_s(process, "write_bytes", window),
            "open_files": process.open_files, "open_files_limit": process.open_files_limit,
            "virtual_bytes": process.virtual_bytes, "peak_rss_bytes": process.peak_rss_bytes, "anon_bytes": process.anon_bytes,
            "file_bytes": process.memory.get("Pss_File"), "shmem_bytes": process.memory.get("Pss_Shmem"), "swap_bytes": process.memory.get("Swap"),
            "private_bytes": _private(process),
            "voluntary_switches_per_s": _switches_per_s(process, 0, window), "involuntary_switches_per_s": _switches_per_s(process, 1, window),
        }

    by_cpu = sorted((process for process in alive if process.ticks), key=lambda process: -process.ticks)
    by_memory = sorted(alive, key=_size, reverse=True)
    blocked = [process for process in alive if process.state == "D"]
    return {
        "count": len(alive), "left_out": 0, "top_cpu": [row(process) for process in by_cpu[: options.top]],
        "top_memory": [row(process) for process in by_memory[: options.top]],
        "blocked": [{"pid": process.pid, "name": clean(process.name, 64), "service": clean(where[process.pid].id, 200)} for process in blocked[: options.top]],
    }
