# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The process table: 3,000 processes and their services, against ps and top.

Each of ours runs in an interpreter of its own that is started before the clock: what is measured is the collector.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time

import paired

COUNT = 3000

CODE = """
import os, resource, sys, time
sys.path.insert(0, %(path)r)
from ansible_collections.oncall.pressure.plugins.module_utils._components import _process_details, _process_table, _services
from ansible_collections.oncall.pressure.plugins.module_utils._host._collect import Options
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine
machine = Machine()
def everything():
    _services.collect(machine, Options(window_s=0.0))
def twice():
    table = _process_table.first_look(machine, frozenset())
    time.sleep(1.0)
    _process_table.second_look(machine, table)
def pss():
    table = _process_table.first_look(machine, frozenset())
    start = time.process_time()
    _process_details._pss(machine, sorted(table.processes.values(), key=lambda process: -process.rss_bytes), Options().pss_budget_s)
    return time.process_time() - start
for line in sys.stdin:
    before = resource.getrusage(resource.RUSAGE_SELF)
    value = globals()[line.strip()]()
    after = resource.getrusage(resource.RUSAGE_SELF)
    print(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime if value is None else value, flush=True)
"""


class Ours:
    """Our reader in a process of its own, told what to do line by line."""

    def __init__(self) -> None:
        code = CODE % {"path": str(paired.ROOT / ".venv" / "collections")}
        self.process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __call__(self, what: str) -> float:
        """Seconds that it took: CPU, or what it measured itself."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(what + "\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())


def compare(ours: Ours, what: str, theirs: list[str], pairs: int) -> float:
    """The median ratio of CPU over pairs run in turn."""
    ours(what)
    ratios = []
    for dummy in range(pairs):
        mine = ours(what)
        ratios.append(mine / paired.used(paired.program(theirs)).cpu_s)
    return round(sorted(ratios)[len(ratios) // 2], 3)


def main() -> None:
    sleepers = [subprocess.Popen(["sleep", "600"]) for dummy in range(max(COUNT - len([name for name in os.listdir("/proc") if name.isdigit()]), 0))]
    ours = Ours()
    try:
        time.sleep(1.0)
        rows = [
            {"what": "every process and its service, 3,000 of them: CPU against ps aux", "value": compare(ours, "everything", ["ps", "aux"], 9), "goal": 1.5},
            {
                "what": "CPU of every process over a second: CPU against top -b -n2 -d1",
                "value": compare(ours, "twice", ["top", "-b", "-n2", "-d1"], 7),
                "goal": 0.6,
            },
            {"what": "PSS, seconds of CPU in all", "value": round(max(ours("pss") for dummy in range(5)), 3), "goal": 0.2},
        ]
    finally:
        for sleeper in sleepers:
            sleeper.kill()
        for sleeper in sleepers:
            sleeper.wait()
        ours.process.kill()
    paired.write("processes", rows)


if __name__ == "__main__":
    main()
