# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Read control groups, version 1, version 2 and both at once.

Private to oncall.pressure: no stable interface.
"""

from __future__ import annotations

import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine
from ansible_collections.oncall.pressure.plugins.module_utils._parse import _cgroup, _proc

_CONTROLLERS = frozenset(("memory", "cpu", "cpuacct", "pids", "blkio", "io", "cpuset"))


class Memory(t.NamedTuple):
    """Memory of one cgroup in bytes; null is not told."""

    #: usage without file cache that nobody used lately (what the kernel frees first)
    bytes: int | None
    #: file cache, without memory that is shared by name (which cannot be given back)
    cached_bytes: int | None
    #: what the kernel can give back: all file cache on its lists, and the slabs that it calls reclaimable
    reclaimable_bytes: int | None
    limit_bytes: int | None
    peak_bytes: int | None
    swap_bytes: int | None
    #: kills and times at the limit since the cgroup was made
    oom_kills: int | None
    max_hits: int | None
    #: everything that is charged to it
    usage_bytes: int


class CpuTime(t.NamedTuple):
    """CPU time of one cgroup since it was made, in seconds; periods are counts."""

    used_s: float
    user_s: float | None
    system_s: float | None
    periods: int | None
    throttled_periods: int | None


class Cgroups:
    """The cgroup file systems of a machine. Paths are those of /proc/PID/cgroup."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        #: (root of the mount, where it is mounted) by controller; version 2 under ""
        self._mounts: dict[str, tuple[str, str]] = {}
        for mount in _proc.mounts(machine.text_or_none("/proc/self/mountinfo") or ""):
            if mount.kind == "cgroup2":
                self._mounts.setdefault("", (mount.root, mount.path))
            elif mount.kind == "cgroup":
                for option in mount.options:
                    if option in _CONTROLLERS:
                        self._mounts.setdefault(option, (mount.root, mount.path))

    def _text(self, controller: str, path: str, name: str) -> str | None:
        mount = self._mounts.get(controller)
        if mount is None:
            return None
        root, where = mount
        if root != "/" and (path == root or path.startswith(root + "/")):
            path = path[len(root):]
        return self._machine.text_or_none(where + path.rstrip("/") + "/" + name, 65536)

    def _number(self, controller: str, path: str, name: str) -> int | None:
        value = (self._text(controller, path, name) or "").strip()
        return int(value) if value.isdecimal() else None

    def version(self, controller: str) -> int | None:
        """Which version serves a controller here: 1, 2, or null where neither does."""
        if controller in self._mounts:
            return 1
        return 2 if "" in self._mounts else None

    def path(self, membership: t.Mapping[str, str], controller: str) -> str | None:
        """A process's cgroup for one controller, from its parsed /proc/PID/cgroup."""
        return membership.get(controller if self.version(controller) == 1 else "")

    def memory(self, path: str) -> Memory | None:
        """Null where the cgroup has no memory accounting."""
        if self.version("memory") == 1:
            usage = self._number("memory", path, "memory.usage_in_bytes")
            stat = _cgroup.counters(self._text("memory", path, "memory.stat") or "")
            control = _cgroup.counters(self._text("memory", path, "memory.oom_control") or "")
            limit, peak = self.memory_limit(path), self._number("memory", path, "memory.max_usage_in_bytes")
            names = ("total_inactive_file", "total_active_file", "total_slab_reclaimable", "total_cache", "total_shmem")
            swap = stat.get("total_swap")
            kills, hits = control.get("oom_kill"), self._number("memory", path, "memory.failcnt")
        else:
            usage = self._number("", path, "memory.current")
            stat = _cgroup.counters(self._text("", path, "memory.stat") or "")
            events = _cgroup.counters(self._text("", path, "memory.events") or "")
            limit, peak = self.memory_limit(path), self._number("", path, "memory.peak")
            names = ("inactive_file", "active_file", "slab_reclaimable", "file", "shmem")
            swap = self._number("", path, "memory.swap.current")
            kills, hits = events.get("oom_kill"), events.get("max")
        if usage is None:
            return None
        inactive, active, slab, cache, shared = (stat.get(name) for name in names)
        used = usage if inactive is None else max(usage - inactive, 0)
        reclaimable = None if inactive is None else inactive + (active or 0) + (slab or 0)
        return Memory(used, None if cache is None else max(cache - (shared or 0), 0), reclaimable, limit, peak, swap, kills, hits, usage)

    def memory_limit(self, path: str) -> int | None:
        """The cgroup's own limit in bytes, null where it has none."""
        if self.version("memory") == 1:
            return _cgroup.limit(self._text("memory", path, "memory.limit_in_bytes"))
        return _cgroup.limit(self._text("", path, "memory.max"))

    def binding_memory_limit(self, path: str, below: str | None = None) -> tuple[int, str] | None:
        """The smallest limit of a cgroup and those above it, and whose it is; null where none has one.

        :param below: a cgroup above it at which to stop, itself not looked at; null goes on to the top
        """
        limits = [(limit, here) for here, limit in ((here, self.memory_limit(here)) for here in _upwards(path, below)) if limit is not None]
        return min(limits, key=lambda row: row[0]) if limits else None

    def cpu(self, path: str) -> CpuTime | None:
        """Null where the cgroup has no CPU accounting."""
        if self.version("cpuacct") == 1:
            used = self._number("cpuacct", path, "cpuacct.usage")
            if used is None:
                return None
            split = _cgroup.counters(self._text("cpuacct", path, "cpuacct.stat") or "")
            stat = _cgroup.counters(self._text("cpu", path, "cpu.stat") or "")
            ticks = self._machine.ticks_per_s
            user, system = split.get("user"), split.get("system")
            return CpuTime(used / 1e9, None if user is None else user / ticks, None if system is None else system / ticks,
                           stat.get("nr_periods"), stat.get("nr_throttled"))
        stat = _cgroup.counters(self._text("", path, "cpu.stat") or "")
        if "usage_usec" not in stat:
            return None
        return CpuTime(stat["usage_usec"] / 1e6, stat.get("user_usec", 0) / 1e6, stat.get("system_usec", 0) / 1e6,
                       stat.get("nr_periods"), stat.get("nr_throttled"))

    def cpu_quota(self, path: str) -> float | None:
        """The cgroup's own quota in CPUs, null where it has none."""
        if self.version("cpu") == 1:
            quota, period = self._text("cpu", path, "cpu.cfs_quota_us"), self._number("cpu", path, "cpu.cfs_period_us")
            if quota is None or not quota.strip().isdecimal() or not period:
                return None
            return int(quota) / period
        return _cgroup.cpu_quota(self._text("", path, "cpu.max"))

    def binding_cpu_quota(self, path: str, below: str | None = None) -> float | None:
        """The smallest quota of a cgroup and those above it, in CPUs; ``below`` as for memory."""
        quotas = [quota for quota in map(self.cpu_quota, _upwards(path, below)) if quota is not None]
        return min(quotas) if quotas else None

    def pids(self, path: str) -> tuple[int | None, int | None]:
        """How many processes and threads a cgroup has and may have; null where that is not counted, or not limited."""
        controller = "pids" if self.version("pids") == 1 else ""
        return self._number(controller, path, "pids.current"), _cgroup.limit(self._text(controller, path, "pids.max"))

    def pressure(self, path: str) -> dict[str, dict[str, float | None]] | None:
        """The cgroup's own PSI (version 2 only), null where there is none."""
        found = {}
        for resource in ("cpu", "memory", "io"):
            text = self._text("", path, resource + ".pressure")
            if text:
                found[resource] = _proc.pressure(text)
        return found or None


def _upwards(path: str, below: str | None) -> t.Iterator[str]:
    """A cgroup path and those above it, up to the top or to ``below``, which is left out."""
    here = path.rstrip("/")
    while below is None or here != below.rstrip("/"):
        yield here or "/"
        if not here:
            return
        here = here.rpartition("/")[0]
