# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How large every service is now, cheaply enough to be asked again and again: by its cgroup, and its workers one by one.

Private to oncall.pressure: no stable interface. Read by the snapshot's longer window and by the recorder.

A worker's size here is its resident memory without what it shares by file (``/proc/PID/statm``): that costs one read, where its proportional memory
costs a walk through all its pages. What workers share of their parent's pages is counted in each.
"""

from __future__ import annotations

import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._components import _log_growth, _membership
from ansible_collections.oncall.pressure.plugins.module_utils._components._membership import Group
from ansible_collections.oncall.pressure.plugins.module_utils._components._own_root import OwnRoot, own_root
from ansible_collections.oncall.pressure.plugins.module_utils._components._process_table import Process, first_look
from ansible_collections.oncall.pressure.plugins.module_utils._host._cgroups import Cgroups
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine
from ansible_collections.oncall.pressure.plugins.module_utils._host._text import clean
from ansible_collections.oncall.pressure.plugins.module_utils._parse import _proc
from ansible_collections.oncall.pressure.plugins.module_utils._parse._memory_history import SERVICES, WORKERS, Row, Sample

#: Services of no known software are left out below this size.
LEAST_BYTES = 16777216

#: The most workers of one service that are looked at.
_LOOKED = 128


class Earlier(t.NamedTuple):
    """What a look leaves for the next: when it was (seconds since boot), CPU seconds by service, and where the access logs ended."""

    up_s: float
    cpu: dict[str, float]
    logs: _log_growth.Places


def look(machine: Machine, own_pids: t.AbstractSet[int], before: Earlier | None) -> tuple[Sample, Earlier]:
    """A sample, its rates since ``before``. Raises OSError without /proc."""
    root = own_root(machine)
    cgroups = Cgroups(machine)
    up_s, now = machine.uptime_s(), machine.now()
    groups = _membership.group(machine, first_look(machine, own_pids).processes, root)
    seconds = up_s - before.up_s if before is not None and up_s > before.up_s else None
    rows: list[Row] = []
    cpu: dict[str, float] = {}
    for group in _worth(groups):
        name = clean(group.id, 200)
        cpu[name] = _cpu_s(machine, cgroups, group)
        spent = cpu[name] - before.cpu[name] if before is not None and name in before.cpu else None
        used = round(spent / seconds, 3) if spent is not None and seconds is not None and spent >= 0 else None
        rows.append(_row(machine, cgroups, group, name, used))
    masters = sorted(group.main.pid for group in groups if group.component == "nginx")
    lines, logs = _log_growth.look(machine, masters, before.logs if before is not None else {})
    rate = round(lines / seconds, 3) if lines is not None and seconds is not None else None
    used_bytes, available, swap = _host(machine, cgroups, root)
    return Sample(now, up_s, boot(machine), used_bytes, available, swap, rate, tuple(rows)), Earlier(up_s, cpu, logs)


def boot(machine: Machine) -> str:
    """What tells this boot from others."""
    return (machine.text_or_none("/proc/sys/kernel/random/boot_id") or "").strip().replace("-", "")[:12] or "0"


def _worth(groups: t.Sequence[Group]) -> list[Group]:
    """Services that are looked at: of known software first, then the largest."""
    known = {group.id: group.component not in ("other", "host", "cron") for group in groups}
    size = {group.id: sum(process.rss_bytes for process in group.processes) for group in groups}
    kept = [group for group in groups if known[group.id] or size[group.id] >= LEAST_BYTES]
    return sorted(kept, key=lambda group: (not known[group.id], -size[group.id]))[:SERVICES]


def _cpu_s(machine: Machine, cgroups: Cgroups, group: Group) -> float:
    """CPU seconds of a service: its cgroup's, else of its processes and of those that they waited for."""
    path = group.cgroup_path(cgroups, "cpuacct")
    own = cgroups.cpu(path) if path is not None else None
    if own is not None:
        return round(own.used_s, 3)
    return sum(process.before_ticks + process.ended_before_ticks for process in group.processes) / float(machine.ticks_per_s)


def _row(machine: Machine, cgroups: Cgroups, group: Group, name: str, cpu: float | None) -> Row:
    path = group.cgroup_path(cgroups, "memory")
    own = cgroups.memory(path) if path is not None else None
    whole = own.bytes if own is not None and own.bytes is not None else sum(process.rss_bytes for process in group.processes)
    if not group.workers:
        return Row(name, whole, cpu)
    largest = sorted(group.workers, key=lambda process: -process.rss_bytes)[:_LOOKED]
    sizes = [(process.pid, process.start_ticks, _size(machine, process)) for process in largest]
    sizes.sort(key=lambda row: -row[2])
    bytes_only = [row[2] for row in sizes]
    all_bytes = sum(bytes_only) if len(sizes) == len(group.workers) else None
    return Row(name, whole, cpu, len(group.workers), all_bytes, bytes_only[0], bytes_only[len(bytes_only) // 2], tuple(sizes[:WORKERS]))


def _size(machine: Machine, process: Process) -> int:
    """Bytes of a process that no file holds; all that is resident where that is not told."""
    try:
        resident, shared = (int(word) for word in machine.peek("/proc/%d/statm" % process.pid, 256).split()[1:3])
    except (OSError, ValueError):
        return process.rss_bytes
    return max(resident - shared, 0) * machine.page_bytes


def _host(machine: Machine, cgroups: Cgroups, root: OwnRoot) -> tuple[int | None, int | None, int | None]:
    """(used, available, swap used) of this host: of a container its own."""
    if root.kind != "machine":
        from ansible_collections.oncall.pressure.plugins.module_utils._components import _host_pressure

        own = _host_pressure._own_memory(machine, cgroups, root)
        return own["used_bytes"], own["available_bytes"], own["swap_used_bytes"]
    info = _proc.named_kib(machine.text("/proc/meminfo"))
    total, available, swap, free = (info.get(name) for name in ("MemTotal", "MemAvailable", "SwapTotal", "SwapFree"))
    used = total - available if total is not None and available is not None else None
    return used, available, swap - free if swap is not None and free is not None else None
