# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who runs this, and a name for the whole run.

Private to oncall.pressure: no stable interface.
"""

from __future__ import annotations

import getpass
import os
import re
import time


def owner() -> str:
    """USER@MACHINE of the controller, for people."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    return "%s@%s" % (user, os.uname().nodename)


def run_id(pid: int) -> str:
    """A name for the run whose main process is ``pid``: when that process started, and what tells it from others of the second.

    The workers of a run are children of one process, so that they agree without a word between them.
    """
    started, ticks = _started(pid)
    machine = sum(ord(letter) * (place + 1) for place, letter in enumerate(os.uname().nodename)) % 4096
    return "%s-%03x%06x" % (time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(started)), machine, (pid * 31 + ticks) % 0x1000000)


def alive(run: str) -> bool:
    """Whether a process of this machine is the main process of that run. Where there is no /proc, a run is taken for one that goes on."""
    try:
        pids = [int(name) for name in os.listdir("/proc") if name.isdecimal()]
    except OSError:
        return True
    return any(run_id(pid) == run for pid in pids)


def _started(pid: int) -> tuple[float, int]:
    """When a process started (epoch seconds), and a figure of that moment; where there is no /proc, only the machine's own start is known."""
    try:
        with open("/proc/%d/stat" % pid, "rb") as stream:
            ticks = int(stream.read().rpartition(b")")[2].split()[19])
        with open("/proc/stat", "rb") as stream:
            found = re.search(rb"^btime (\d+)$", stream.read(), re.MULTILINE)
        if found is not None:
            return int(found.group(1)) + ticks / os.sysconf("SC_CLK_TCK"), ticks
    except (OSError, ValueError, IndexError):
        pass
    return float(int(time.time()) // 86400 * 86400), 0
