# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was really seen: programs that look from the host and from another one, and what their lines come to.

All times are CLOCK_MONOTONIC seconds; the containers, this program and the kernel's log have one kernel, so one clock.
"""

from __future__ import annotations

import json
import shlex
import time
from typing import Any, Callable, Sequence

from _causes import Host
from _common import LabError, ssh
from _hosts import ON_HOST

# A probe that was under way when the kernel killed a worker may have been that worker's. The counter is read ten times a second.
NEAR_S = 0.3


class Looker:
    """One of our programs running on a host, and the lines that it wrote."""

    def __init__(self, host: str, name: str, program: str, *words: str, ahead_s: float = 0.0, network: str = "") -> None:
        self.host = host
        # What to add to that host's clock to have ours.
        self.ahead_s = ahead_s
        self.unit = "relief-{0}.service".format(name)
        self.path = "/var/tmp/relief/{0}.jsonl".format(name)
        within = "ip netns exec {0} ".format(network) if network else ""
        command = "exec {4}/usr/bin/python3 {0}/{1} {2} > {3}".format(ON_HOST, program, " ".join(shlex.quote(word) for word in words), self.path, within)
        ssh(host, "systemctl stop {0} 2>/dev/null; systemctl reset-failed {0} 2>/dev/null; rm -f {1}; "
                  "systemd-run --quiet --collect --unit={0} --property=RuntimeMaxSec=1500 --nice=-5 /bin/sh -c {2}".format(
                      self.unit, self.path, shlex.quote(command)))

    def rows(self) -> list[dict[str, Any]]:
        """Everything so far; a line that is still being written is left out."""
        lines = ssh(self.host, "cat {0} 2>/dev/null || true".format(self.path)).stdout.split("\n")[:-1]
        return [dict(row, t=row["t"] + self.ahead_s) for row in map(json.loads, lines)]

    def last(self) -> dict[str, Any]:
        line = ssh(self.host, "tail -n 2 {0} 2>/dev/null | head -n 1".format(self.path)).stdout.strip()
        try:
            return json.loads(line)
        except ValueError:
            return {}

    def stop(self) -> list[dict[str, Any]]:
        ssh(self.host, "systemctl stop {0} 2>/dev/null || true".format(self.unit))
        return self.rows()


def until(holds: Callable[[], bool], timeout_s: float, what: str) -> float:
    """Wait for it; the seconds it took."""
    started = time.monotonic()
    while not holds():
        if time.monotonic() - started > timeout_s:
            raise LabError("not true after {0:.0f} s: {1}".format(timeout_s, what))
        time.sleep(0.3)
    return time.monotonic() - started


def between(rows: Sequence[dict[str, Any]], start: float, end: float) -> list[dict[str, Any]]:
    return [row for row in rows if start <= row["t"] < end]


def failed(probes: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [probe for probe in probes if probe["status"] != 200]


def of_kills(probe: dict[str, Any], kills: Sequence[float]) -> bool:
    """Whether a worker was killed while this probe was under way."""
    return any(probe["t"] - NEAR_S <= kill <= probe["t"] + probe["s"] + NEAR_S for kill in kills)


def first_at_most(looks: Sequence[dict[str, Any]], workers: int, start: float) -> float | None:
    """Since when there have been workers, and so few of them, for good: the moment after which no look shows more."""
    since: float | None = None
    for look in between(looks, start, float("inf")):
        if 1 <= look["workers"] <= workers:
            since = look["t"] if since is None else since
        elif look["workers"] > workers:
            since = None
    return since


def slow(probes: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """How long the good answers took."""
    times = sorted(probe["s"] for probe in probes if probe["status"] == 200)
    if not times:
        return {"median_s": None, "p99_s": None}
    return {"median_s": round(times[len(times) // 2], 3), "p99_s": round(times[min(len(times) - 1, len(times) * 99 // 100)], 3)}


# Of the group that process 1 is in, without the part that it made for itself.
USED_NS = r"""own=$(sed -n 's/^[0-9]*:cpuacct:\(.*\)$/\1/p' /proc/1/cgroup); own=${own%/init.scope}
cat /sys/fs/cgroup/cpuacct$own/cpuacct.usage 2>/dev/null || awk '$1 == "usage_usec" {print $2 * 1000}' /sys/fs/cgroup/cpu.stat"""


def cpu_pct(host: Host, over_s: float) -> float:
    """How much of its processors a container used in the next seconds, by the kernel's own counting of its group."""
    count = int(host.sh("nproc").strip())
    started, before = time.monotonic(), int(host.sh(USED_NS).strip())
    time.sleep(over_s)
    used = int(host.sh(USED_NS).strip()) - before
    return round(100.0 * used / 1e9 / (time.monotonic() - started) / count, 1)


ZONES = r"""for pid in $(pgrep -f '^nginx: worker process$'); do awk '$2 == "rw-s" {print $1}' /proc/$pid/maps | wc -l; done"""


def shared_zones(host: Host) -> list[int]:
    """What nginx has loaded, as far as the kernel shows it: the number of shared zones in the memory of each worker."""
    return sorted(map(int, host.sh(ZONES).split()))


def listing(host: Host) -> dict[str, Any]:
    return json.loads(host.sh("/usr/bin/python3 {0}/listing.py".format(ON_HOST)))


def different(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Paths that are not what they were."""
    return sorted(path for path in set(before) | set(after) if before.get(path) != after.get(path))
