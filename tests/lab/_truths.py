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


CONDITIONS: dict[str, Callable[[Host, dict[str, Any]], bool]] = {
    condition.__name__: condition for condition in (kills, cpu, workers, down, log_lines, cached, runs, running)
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
