# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When an incident has become true: conditions read from the kernel and the service manager, never from the product.

Each condition is a function (host, spec) that says whether it holds now.
"""

from __future__ import annotations

import shlex
import time
from typing import Any, Callable

from _causes import Host
from _common import LabError


def _group(host: Host, unit: str) -> str:
    """The unit's cgroup, as the kernel names it on the whole machine."""
    return host.sh("systemctl show --property ControlGroup --value " + shlex.quote(unit)).strip()


def kills(host: Host, spec: dict[str, Any]) -> bool:
    """unit, at_least: kernel kills in this unit's cgroup of this host, from the kernel's own log."""
    init = host.sh("sed -n 's/^[0-9]*:[^:]*memory:\\(.*\\)\\/init.scope$/\\1/p; s/^0::\\(.*\\)\\/init.scope$/\\1/p' /proc/1/cgroup").split("\n")[0]
    lines = host.sh("dmesg | grep -a -F 'oom-kill:constraint=' || true").splitlines()
    return sum(1 for line in lines if "task_memcg={0}/".format(init) in line and "/" + spec["unit"] + "," in line) >= spec["at_least"]


def _used_s(host: Host, unit: str) -> float:
    """CPU seconds of all processes in a unit, also of those that ended."""
    group = _group(host, unit)
    words = host.sh("cat /sys/fs/cgroup/unified{0}/cpu.stat /sys/fs/cgroup{0}/cpu.stat 2>/dev/null || true".format(shlex.quote(group))).split()
    return int(words[words.index("usage_usec") + 1]) / 1e6 if "usage_usec" in words else 0.0


def cpu(host: Host, spec: dict[str, Any]) -> bool:
    """unit, at_least_cpus: mean over three seconds."""
    before, started = _used_s(host, spec["unit"]), time.monotonic()
    time.sleep(3)
    return (_used_s(host, spec["unit"]) - before) / (time.monotonic() - started) >= spec["at_least_cpus"]


def _worker_rss_mib(host: Host, unit: str) -> list[float]:
    children = "cat /proc/$(systemctl show --property MainPID --value {0})/task/*/children 2>/dev/null || true".format(shlex.quote(unit))
    sizes = []
    for pid in host.sh(children).split():
        text = host.sh("sed -n 's/^VmRSS:[^0-9]*\\([0-9]*\\) kB/\\1/p' /proc/{0}/status 2>/dev/null || true".format(pid)).strip()
        if text:
            sizes.append(int(text) / 1024)
    return sorted(sizes)


def workers(host: Host, spec: dict[str, Any]) -> bool:
    """unit; count: exactly so many; largest_mib, median_mib, others_below_mib: resident sizes."""
    sizes = _worker_rss_mib(host, spec["unit"])
    if not sizes:
        return False
    return (len(sizes) >= spec.get("count", 1)
            and sizes[-1] >= spec.get("largest_mib", 0)
            and sizes[len(sizes) // 2] >= spec.get("median_mib", 0)
            and (len(sizes) < 2 or sizes[-2] < spec.get("others_below_mib", float("inf"))))


def down(host: Host, spec: dict[str, Any]) -> bool:
    """unit: between two restarts after a kill."""
    shown = host.sh("systemctl show --property SubState --property Result {0}".format(shlex.quote(spec["unit"])))
    return "SubState=auto-restart" in shown and "Result=oom-kill" in shown


def log_lines(host: Host, spec: dict[str, Any]) -> bool:
    """path, at_least."""
    counted = host.sh("wc -l < {0} 2>/dev/null || echo 0".format(shlex.quote(spec["path"]))).strip()
    return int(counted) >= spec["at_least"]


def cached(host: Host, spec: dict[str, Any]) -> bool:
    """unit, at_least_mib: file cache charged to the unit."""
    command = "cat /sys/fs/cgroup/memory{0}/memory.stat /sys/fs/cgroup{0}/memory.stat 2>/dev/null || true".format(shlex.quote(_group(host, spec["unit"])))
    for line in host.sh(command).splitlines():
        name, unused, value = line.partition(" ")
        if name in ("cache", "file"):
            return int(value) / 1048576 >= spec["at_least_mib"]
    return False


def runs(host: Host, spec: dict[str, Any]) -> bool:
    """unit: is active."""
    return host.sh("systemctl is-active {0} || true".format(shlex.quote(spec["unit"]))).strip() == "active"


def running(host: Host, spec: dict[str, Any]) -> bool:
    """command (how its line begins), at_least: so many processes at once."""
    counted = host.sh("pgrep -fc {0} || true".format(shlex.quote("^" + spec["command"]))).strip()
    return int(counted or 0) >= spec["at_least"]


def _processes(host: Host, unit: str) -> list[str]:
    group = shlex.quote(_group(host, unit))
    listed = "cat /sys/fs/cgroup/unified{0}/cgroup.procs /sys/fs/cgroup/systemd{0}/cgroup.procs /sys/fs/cgroup{0}/cgroup.procs 2>/dev/null || true"
    return sorted(set(host.sh(listed.format(group)).split()))


def _held_mib(host: Host, unit: str) -> float:
    """Memory of all processes of a unit that no file holds."""
    paths = " ".join("/proc/{0}/status".format(pid) for pid in _processes(host, unit)) or "/dev/null"
    return sum(int(word) for word in host.sh("cat {0} 2>/dev/null | sed -n 's/^RssAnon:[^0-9]*\\([0-9]*\\) kB/\\1/p'".format(paths)).split()) / 1024


def holds(host: Host, spec: dict[str, Any]) -> bool:
    """unit, at_least_mib: memory of its own of all its processes together."""
    return _held_mib(host, spec["unit"]) >= spec["at_least_mib"]


def grows(host: Host, spec: dict[str, Any]) -> bool:
    """unit, over_s, by_mib: the same becomes so much more in this time."""
    before = _held_mib(host, spec["unit"])
    time.sleep(spec["over_s"])
    return before > 0 and _held_mib(host, spec["unit"]) - before >= spec["by_mib"]


def open_files(host: Host, spec: dict[str, Any]) -> bool:
    """unit, at_least: of the process of it that has most."""
    counts = [host.sh("ls /proc/{0}/fd 2>/dev/null | wc -l".format(pid)).strip() for pid in _processes(host, spec["unit"])]
    return max([int(count or 0) for count in counts], default=0) >= spec["at_least"]


def started(host: Host, spec: dict[str, Any]) -> bool:
    """unit, at_most_s: how long ago, by the service manager."""
    words = host.sh("cut -d' ' -f1 /proc/uptime; systemctl show --property ActiveEnterTimestampMonotonic --value {0}".format(shlex.quote(spec["unit"]))).split()
    return len(words) == 2 and 0 < float(words[0]) - int(words[1]) / 1e6 <= spec["at_most_s"]


def refuses(host: Host, spec: dict[str, Any]) -> bool:
    """port, mib: a Redis refuses a value of this size for want of memory."""
    command = "head -c {0} /dev/zero | redis-cli -p {1} -x set lab-asks; redis-cli -p {1} del lab-asks".format(spec["mib"] * 1048576, spec["port"])
    return "OOM command not allowed" in host.sh(command, check=False)


def available(host: Host, spec: dict[str, Any]) -> bool:
    """at_most_mib, at_least_mib: what the whole host has left, without file cache that it could give back."""
    folder = host.sh("sed -n 's/^[0-9]*:[^:]*memory:\\(.*\\)\\/init.scope$/\\/sys\\/fs\\/cgroup\\/memory\\1/p; "
                     "s/^0::\\(.*\\)\\/init.scope$/\\/sys\\/fs\\/cgroup\\1/p' /proc/1/cgroup").split("\n")[0]
    words = host.sh("cd {0}; cat memory.limit_in_bytes memory.usage_in_bytes 2>/dev/null || cat memory.max memory.current; "
                    "sed -n 's/^total_inactive_file //p; s/^inactive_file //p' memory.stat | tail -n 1".format(folder)).split()
    left = (int(words[0]) - int(words[1]) + int(words[2])) / 1048576
    return spec["at_least_mib"] <= left <= spec["at_most_mib"]


def queued(host: Host, spec: dict[str, Any]) -> bool:
    """db, queue, kind: celery|rq, at_least messages wait, the first of them as large as kib."""
    asked = "redis-cli -n {0} ".format(spec["db"])
    name = spec["queue"] if spec["kind"] == "celery" else "rq:queue:" + spec["queue"]
    if int(host.sh(asked + "llen " + name).strip()) < spec["at_least"]:
        return False
    first = host.sh("{0} lindex {1} -1".format(asked, name)).strip()
    size = len(first) if spec["kind"] == "celery" else int(host.sh("{0} hstrlen rq:job:{1} data".format(asked, first)).strip())
    return size >= spec["kib"] * 1024


def idle(host: Host, spec: dict[str, Any]) -> bool:
    """unit, at_most_cpus: mean over three seconds."""
    before, started = _used_s(host, spec["unit"]), time.monotonic()
    time.sleep(3)
    return (_used_s(host, spec["unit"]) - before) / (time.monotonic() - started) <= spec["at_most_cpus"]


def door(host: Host, spec: dict[str, Any]) -> bool:
    """port, at_least, at_most: connections that wait to be accepted, by the kernel's own table."""
    waiting = 0
    for line in host.sh("cat /proc/net/tcp").splitlines()[1:]:
        words = line.split()
        if words[3] == "0A" and int(words[1].split(":")[1], 16) == spec["port"]:
            waiting += int(words[4].split(":")[1], 16)
    return spec.get("at_least", 0) <= waiting <= spec.get("at_most", float("inf"))


def connected(host: Host, spec: dict[str, Any]) -> bool:
    """address, port, at_least: connections from this host to there, also those that are not answered."""
    shown = host.sh("ss -Htn state established state syn-sent dst {0}:{1}".format(spec["address"], spec["port"])).splitlines()
    return len(shown) >= spec["at_least"]


def logged(host: Host, spec: dict[str, Any]) -> bool:
    """unit, words, at_least: lines of its log with these words."""
    counted = host.sh("journalctl -u {0} --no-pager -o cat | grep -c -F -e {1} || true".format(shlex.quote(spec["unit"]), shlex.quote(spec["words"])))
    return int(counted.strip() or 0) >= spec["at_least"]


CONDITIONS: dict[str, Callable[[Host, dict[str, Any]], bool]] = {
    condition.__name__: condition for condition in (kills, cpu, workers, down, log_lines, cached, runs, running, holds, grows, open_files, started,
                                                    refuses, available, queued, idle, door, connected, logged)
}


def settle(host: Host, conditions: list[dict[str, Any]], timeout_s: float) -> None:
    """Wait until every condition has been seen to hold, in order; LabError that names the one that never did."""
    until = time.monotonic() + timeout_s
    for item in conditions:
        (name, spec), = item.items()
        while not CONDITIONS[name](host, spec):
            if time.monotonic() > until:
                raise LabError("never became true on {0}: {1} {2}".format(host.name, name, spec))
            time.sleep(1)
