# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The host collector: CPU, memory, disks, sockets and pressure over one window, against the limit that really binds.

Private to oncall.pressure: no stable interface.
"""

from __future__ import annotations

import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._components._own_root import OwnRoot, own_root
from ansible_collections.oncall.pressure.plugins.module_utils._host._cgroups import Cgroups, CpuTime
from ansible_collections.oncall.pressure.plugins.module_utils._host._collect import Options, Reading, error, ok, partial
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine
from ansible_collections.oncall.pressure.plugins.module_utils._host._text import clean
from ansible_collections.oncall.pressure.plugins.module_utils._parse import _proc

#: How often the run queue is looked at within the window.
_RUN_QUEUE_SAMPLES = 5

#: The most of each /proc/net/tcp that is read: about 50,000 sockets.
_SOCKETS_LIMIT = 8388608

#: Devices that are a view of another device, or memory.
_NOT_DISKS = ("loop", "ram", "zram", "dm-", "md", "sr", "fd")

_PSI = ("cpu", "memory", "io")

#: The most listening sockets that are listed.
_LISTENERS = 50


class _Sample(t.NamedTuple):
    """Counters at one moment."""

    at: float
    cpu: _proc.Cpu
    stat: dict[str, int]
    vmstat: dict[str, int]
    disks: dict[str, _proc.Disk]
    tcp: dict[str, dict[str, int]]
    own: CpuTime | None


def collect(machine: Machine, options: Options) -> Reading:
    """``{"host": ..., "machine": ...}`` in the shape of docs/architecture.md."""
    try:
        return _collect(machine, options)
    except (ValueError, IndexError, KeyError) as problem:
        # what stands there is another's file system over the kernel's (lxcfs, a sandbox)
        return error("a table of /proc was not understood (%s): see what is mounted over it" % clean(str(problem), 100))


def _collect(machine: Machine, options: Options) -> Reading:
    root = own_root(machine)
    cgroups = Cgroups(machine)
    first = _sample(machine, cgroups, root)
    running = _wait(machine, options.window_s)
    last = _sample(machine, cgroups, root)
    sockets, cut = _sockets(machine, first, last)
    whole = _whole(machine, first, last)
    host: dict[str, t.Any] = {
        "kind": root.kind, "container_id": root.container_id, "hostname": clean((machine.text_or_none("/proc/sys/kernel/hostname") or "").strip(), 253),
        "kernel": clean((machine.text_or_none("/proc/sys/kernel/osrelease") or "").strip(), 100), "os": _os(machine),
        "context_switches_per_s": None, "forks_per_s": None, "load": None, "run_queue": None, "blocked": None, "disks": None,
        "sockets": sockets,
    }
    usable = _usable_cpus(machine, cgroups, root)
    if root.kind == "machine":
        host["cpu"] = _machine_cpu(machine, usable, whole["cpu"], first, last)
        host["memory"] = _machine_memory(machine, first, last)
        host["pressure"] = whole["pressure"]
        host["load"] = whole["load"]
        host["load"]["per_cpu_one"] = round(host["load"]["one"] / usable["usable"], 3)
        host["run_queue"] = running
        host["context_switches_per_s"] = _rate(first, last, first.stat.get("ctxt"), last.stat.get("ctxt"))
        host["blocked"] = last.stat.get("procs_blocked")
        host["forks_per_s"] = _rate(first, last, first.stat.get("processes"), last.stat.get("processes"))
        host["disks"] = _disks(first, last)
        own_machine = None
    else:
        host["cpu"] = _own_cpu(usable, first, last)
        host["memory"] = _own_memory(machine, cgroups, root)
        host["pressure"] = cgroups.pressure(root.membership.get("", "/"))
        own_machine = {"cpus": whole["cpus"], "load_one": whole["load"]["one"], "cpu": whole["cpu"], "memory": whole["memory"], "pressure": whole["pressure"]}
    data = {"host": host, "machine": own_machine}
    missing = [name for name, value in (("cpu use", host["cpu"]["used"]), ("memory use", host["memory"]["used_bytes"])) if value is None]
    if missing:
        return partial(data, "not told by the kernel: " + ", ".join(missing))
    return partial(data, "more sockets than are read: the counts by state are a lower bound") if cut else ok(data)


def _wait(machine: Machine, window_s: float) -> float | None:
    """Wait for the window, looking at the run queue on the way; returns the mean number of running tasks, ours not counted."""
    seen = []
    for dummy in range(_RUN_QUEUE_SAMPLES):
        machine.sleep(window_s / _RUN_QUEUE_SAMPLES)
        text = machine.text_or_none("/proc/loadavg")
        if text:
            seen.append(max(int(_proc.load(text)["running"]) - 1, 0))
    return round(sum(seen) / len(seen), 2) if seen else None


def _sample(machine: Machine, cgroups: Cgroups, root: OwnRoot) -> _Sample:
    stat = machine.text("/proc/stat", 1048576)
    cpu_path = cgroups.path(root.membership, "cpuacct")
    tables = _proc.paired_tables(machine.text_or_none("/proc/net/netstat") or "")
    tables.update(_proc.paired_tables(machine.text_or_none("/proc/net/snmp") or ""))
    return _Sample(
        machine.monotonic(), _proc.cpu(stat), _proc.numbers(stat), _proc.numbers(machine.text_or_none("/proc/vmstat") or ""),
        _proc.disks(machine.text_or_none("/proc/diskstats") or ""), tables,
        cgroups.cpu(cpu_path) if root.kind != "machine" and cpu_path is not None else None,
    )


def _rate(first: _Sample, last: _Sample, before: float | None, after: float | None) -> float | None:
    if before is None or after is None:
        return None
    return round(max(after - before, 0) / max(last.at - first.at, 0.001), 3)


def _usable_cpus(machine: Machine, cgroups: Cgroups, root: OwnRoot) -> dict[str, t.Any]:
    """The CPUs this host may use: the least of affinity and quota."""
    affinity = machine.affinity()
    path = cgroups.path(root.membership, "cpu")
    quota = cgroups.binding_cpu_quota(path) if path is not None else None
    return {"usable": round(min(affinity, quota), 3) if quota else float(affinity), "affinity": affinity, "quota": quota}


def _whole(machine: Machine, first: _Sample, last: _Sample) -> dict[str, t.Any]:
    """Figures of the whole machine."""
    total = max(last.cpu.total - first.cpu.total, 1)
    shares = {name + "_pct": round(100.0 * max(getattr(last.cpu, name) - getattr(first.cpu, name), 0) / total, 2)
              for name in ("user", "system", "idle", "iowait", "steal")}
    load = _proc.load(machine.text("/proc/loadavg"))
    memory = _proc.named_kib(machine.text("/proc/meminfo"))
    texts = {name: machine.text_or_none("/proc/pressure/" + name) for name in _PSI}
    return {
        "cpus": sum(1 for line in machine.text("/proc/stat", 1048576).splitlines() if line.startswith("cpu")) - 1,
        "cpu": shares, "load": {name: load[name] for name in ("one", "five", "fifteen")},
        "memory": {"total_bytes": memory.get("MemTotal"), "available_bytes": memory.get("MemAvailable")},
        "pressure": {name: _proc.pressure(text) for name, text in texts.items() if text} or None,
    }


def _machine_cpu(machine: Machine, usable: dict[str, t.Any], shares: dict[str, float], first: _Sample, last: _Sample) -> dict[str, t.Any]:
    used_ticks = sum(getattr(last.cpu, name) - getattr(first.cpu, name) for name in ("user", "system"))
    used = used_ticks / machine.ticks_per_s / max(last.at - first.at, 0.001)
    return dict(
        usable, used=round(used, 3), used_pct=round(min(100.0 * used / usable["usable"], 100.0), 2), user_pct=shares["user_pct"],
        system_pct=shares["system_pct"], iowait_pct=shares["iowait_pct"], steal_pct=shares["steal_pct"], throttled_pct=None,
    )


def _own_cpu(usable: dict[str, t.Any], first: _Sample, last: _Sample) -> dict[str, t.Any]:
    """CPU of a container or slice, from its own cgroup."""
    row = dict(usable, used=None, used_pct=None, user_pct=None, system_pct=None, iowait_pct=None, steal_pct=None, throttled_pct=None)
    before, after = first.own, last.own
    if before is None or after is None:
        return row
    seconds = max(last.at - first.at, 0.001)
    room = usable["usable"] * seconds
    row["used"] = round((after.used_s - before.used_s) / seconds, 3)
    row["used_pct"] = round(min(100.0 * (after.used_s - before.used_s) / room, 100.0), 2)
    if before.user_s is not None and after.user_s is not None and before.system_s is not None and after.system_s is not None:
        row["user_pct"] = round(100.0 * (after.user_s - before.user_s) / room, 2)
        row["system_pct"] = round(100.0 * (after.system_s - before.system_s) / room, 2)
    row["throttled_pct"] = throttled_pct(before, after)
    return row


def throttled_pct(before: CpuTime, after: CpuTime) -> float | None:
    """The share of scheduling periods in which a quota stopped the cgroup; null where there were none (no quota)."""
    if before.periods is None or after.periods is None or after.periods <= before.periods:
        return None
    return round(100.0 * ((after.throttled_periods or 0) - (before.throttled_periods or 0)) / (after.periods - before.periods), 2)


def _machine_memory(machine: Machine, first: _Sample, last: _Sample) -> dict[str, t.Any]:
    info = _proc.named_kib(machine.text("/proc/meminfo"))
    total, available = info.get("MemTotal"), info.get("MemAvailable")
    used = total - available if total is not None and available is not None else None
    swap_total, swap_free = info.get("SwapTotal"), info.get("SwapFree")
    return {
        "limit_bytes": total, "limit_source": "machine", "used_bytes": used, "available_bytes": available,
        "used_pct": round(100.0 * used / total, 2) if used is not None and total else None,
        "cached_bytes": max(info.get("Cached", 0) + info.get("SReclaimable", 0) - info.get("Shmem", 0), 0), "committed_bytes": info.get("Committed_AS"),
        "commit_limit_bytes": info.get("CommitLimit"), "swap_total_bytes": swap_total,
        "swap_used_bytes": swap_total - swap_free if swap_total is not None and swap_free is not None else None,
        "swap_in_per_s": _rate(first, last, first.vmstat.get("pswpin"), last.vmstat.get("pswpin")),
        "swap_out_per_s": _rate(first, last, first.vmstat.get("pswpout"), last.vmstat.get("pswpout")),
        "oom_kills": last.vmstat.get("oom_kill"),
    }


def _own_memory(machine: Machine, cgroups: Cgroups, root: OwnRoot) -> dict[str, t.Any]:
    """Memory of a container or slice: its own use against the limit that binds it, the machine's where it has none."""
    path = cgroups.path(root.membership, "memory")
    own = cgroups.memory(path) if path is not None else None
    binding = cgroups.binding_memory_limit(path) if path is not None else None
    total = _proc.named_kib(machine.text("/proc/meminfo")).get("MemTotal")
    limit, source = (binding[0], "cgroup " + binding[1]) if binding is not None else (total, "machine")
    if limit is not None and total is not None and total < limit:
        limit, source = total, "machine"
    # as the kernel reckons MemAvailable: what can be given back counts as available
    used = max(own.usage_bytes - (own.reclaimable_bytes or 0), 0) if own is not None else None
    return {
        "limit_bytes": limit, "limit_source": source, "used_bytes": used,
        "available_bytes": max(limit - used, 0) if limit is not None and used is not None else None,
        "used_pct": round(100.0 * used / limit, 2) if used is not None and limit else None,
        "cached_bytes": own.cached_bytes if own is not None else None, "committed_bytes": None, "commit_limit_bytes": None,
        "swap_total_bytes": None, "swap_used_bytes": own.swap_bytes if own is not None else None, "swap_in_per_s": None, "swap_out_per_s": None,
        "oom_kills": own.oom_kills if own is not None else None,
    }


def _disks(first: _Sample, last: _Sample) -> list[dict[str, t.Any]]:
    """Whole disks that did something since boot."""
    seconds = max(last.at - first.at, 0.001)
    rows = []
    for name, after in last.disks.items():
        before = first.disks.get(name)
        if before is None or name.startswith(_NOT_DISKS) or _is_partition(name, last.disks) or not after.reads + after.writes:
            continue
        done = after.reads - before.reads + after.writes - before.writes
        spent = after.read_ms - before.read_ms + after.write_ms - before.write_ms
        rows.append({
            "name": clean(name, 40), "utilisation_pct": round(min(100.0 * (after.busy_ms - before.busy_ms) / 1000.0 / seconds, 100.0), 2),
            "await_ms": round(spent / done, 2) if done else None, "queue": round((after.weighted_ms - before.weighted_ms) / 1000.0 / seconds, 2),
            "read_per_s": round((after.reads - before.reads) / seconds, 2), "write_per_s": round((after.writes - before.writes) / seconds, 2),
            "read_bytes_per_s": round((after.sectors_read - before.sectors_read) * 512 / seconds),
            "write_bytes_per_s": round((after.sectors_written - before.sectors_written) * 512 / seconds),
        })
    return sorted(rows, key=lambda row: -t.cast(float, row["utilisation_pct"]))[:20]


def _is_partition(name: str, names: t.Container[str]) -> bool:
    """sda1 of sda, nvme0n1p2 of nvme0n1."""
    stem = name.rstrip("0123456789")
    if stem == name:
        return False
    return stem in names or (stem.endswith("p") and stem[:-1] in names)


def _sockets(machine: Machine, first: _Sample, last: _Sample) -> tuple[dict[str, t.Any], bool]:
    """TCP sockets of this network namespace; whether some were left unread."""
    states: dict[str, int] = {}
    listeners: list[tuple[str, int, int]] = []
    cut = False
    for name in ("tcp", "tcp6"):
        text = machine.text_or_none("/proc/net/" + name, _SOCKETS_LIMIT) or ""
        cut = cut or len(text) >= _SOCKETS_LIMIT
        _proc.tcp(text, states, listeners)

    def per_s(table: str, name: str) -> float | None:
        return _rate(first, last, first.tcp.get(table, {}).get(name), last.tcp.get(table, {}).get(name))

    told = _proc.sockstat(machine.text_or_none("/proc/net/sockstat") or "").get("TCP", {})
    busiest = sorted(listeners, key=lambda row: (-row[2], row[1]))[:_LISTENERS]
    return {
        "tcp": states, "listen_overflows_per_s": per_s("TcpExt", "ListenOverflows"), "listen_drops_per_s": per_s("TcpExt", "ListenDrops"),
        "retransmits_per_s": per_s("Tcp", "RetransSegs"), "accepted_per_s": per_s("Tcp", "PassiveOpens"), "opened_per_s": per_s("Tcp", "ActiveOpens"),
        "orphaned": told.get("orphan"), "tcp_memory_bytes": told["mem"] * machine.page_bytes if "mem" in told else None,
        "listeners": [{"address": _proc.address(address), "port": port, "waiting": waiting} for address, port, waiting in busiest],
    }, cut


def _os(machine: Machine) -> str | None:
    for line in (machine.text_or_none("/etc/os-release", 8192) or "").splitlines():
        if line.startswith("PRETTY_NAME="):
            return clean(line.partition("=")[2].strip("\"'"), 100)
    return None
