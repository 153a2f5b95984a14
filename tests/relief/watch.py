# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Look at one service ten times a second, as the kernel shows it: python3 watch.py UNIT KIND MATCH.

UNIT   the unit in whose control group it runs (supervisor.service for a supervised one)
KIND   workers: count what the main process has started; mains: count the main processes themselves (rq)
MATCH  words that the main process' command line holds

One JSON line for each look: {"t": monotonic seconds, "kills": by the kernel in the group since it exists or null, "cpu_s": that the group used
since it exists or null, "workers", "main", "state": of the main
process, "caught": its mask of caught signals, "ids": [pids of the workers], "largest_mib": resident in the largest of them or null}. It runs until
it is stopped.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time


def read(path):
    try:
        with open(path, "rb") as stream:
            return stream.read().decode("utf-8", "backslashreplace")
    except OSError:
        return ""


def group_of(unit):
    return subprocess.run(["systemctl", "show", "--property", "ControlGroup", "--value", unit], stdout=subprocess.PIPE, check=False).stdout.decode().strip()


def kills(group):
    for path in ("/sys/fs/cgroup/memory%s/memory.oom_control" % group, "/sys/fs/cgroup%s/memory.events" % group):
        for line in read(path).splitlines():
            name, unused, value = line.partition(" ")
            if name == "oom_kill":
                return int(value)
    return None


def cpu_s(group):
    """Seconds of processors, also of processes that ended."""
    for top in ("/sys/fs/cgroup/unified", "/sys/fs/cgroup"):
        for line in read("%s%s/cpu.stat" % (top, group)).splitlines():
            name, unused, value = line.partition(" ")
            if name == "usage_usec":
                return int(value) / 1e6
    return None


def pids(group):
    """Of the group and of those below it: a slice has processes only in its units."""
    for top in ("/sys/fs/cgroup/systemd", "/sys/fs/cgroup/unified", "/sys/fs/cgroup"):
        found = [int(word) for folder, unused, names in os.walk(top + group) for word in read(folder + "/cgroup.procs").split()]
        if found:
            return found
    return []


def facts(pid):
    """(parent, state, command line) or None where it has gone."""
    words = read("/proc/%d/stat" % pid).rpartition(")")[2].split()
    if len(words) < 2 or words[0] in ("Z", "X"):
        return None
    return int(words[1]), words[0], read("/proc/%d/cmdline" % pid).replace("\0", " ")


def resident_mib(pid):
    line = next((line for line in read("/proc/%d/status" % pid).splitlines() if line.startswith("VmRSS:")), "")
    return int(line.split()[1]) / 1024 if line else 0.0


def look(group, kind, match):
    rows = {pid: found for pid in pids(group) for found in [facts(pid)] if found}
    mains = [pid for pid, (parent, state, words) in rows.items() if match in words and match not in rows.get(parent, (0, "", ""))[2]]
    ids = mains if kind == "mains" else [pid for pid, (parent, state, words) in rows.items() if parent in mains and "resource_tracker" not in words]
    main = mains[0] if mains else None
    caught = next((line.split()[1] for line in read("/proc/%s/status" % main).splitlines() if line.startswith("SigCgt:")), None) if main else None
    return {"workers": len(ids), "main": main, "state": rows[main][1] if main else None, "caught": caught, "ids": sorted(ids),
            "largest_mib": round(max(map(resident_mib, ids)), 1) if ids else None}


def main():
    unit, kind, match = sys.argv[1:4]
    group, asked = "", 0.0
    while True:
        started = time.monotonic()
        if not group or started - asked > 5:
            group, asked = group_of(unit), started
        seen = look(group, kind, match) if group else {"workers": 0, "main": None, "state": None, "caught": None, "ids": [], "largest_mib": None}
        row = dict(seen, t=started, kills=kills(group) if group else None, cpu_s=cpu_s(group) if group else None)
        print(json.dumps(row), flush=True)
        time.sleep(max(0.0, 0.1 - (time.monotonic() - started)))


if __name__ == "__main__":
    main()
