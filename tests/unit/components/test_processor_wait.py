# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Time in line for a processor, on processes that share one: whatever else runs here, using and waiting add up to all the time."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ansible_collections.oncall.pressure.plugins.module_utils._components import _process_details, _process_table, _services
from ansible_collections.oncall.pressure.plugins.module_utils._host._collect import Options
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine

MACHINE = Machine()
BURN = "import os; os.sched_setaffinity(0, {%d}); print(flush=True)\nwhile True: pass"
IDLE = "import time; print(flush=True); time.sleep(60)"


def counted(children: list[subprocess.Popen[bytes]]) -> list[tuple[float, float]]:
    """What the kernel counted of each child until now, in seconds: how long it ran, and how long it stood in line before it ran again."""
    found = []
    for child in children:
        ran_ns, waited_ns = Path("/proc/%d/schedstat" % child.pid).read_text(encoding="ascii").split()[:2]
        found.append((int(ran_ns) / 1e9, int(waited_ns) / 1e9))
    return found


@pytest.mark.skipif(not os.path.exists("/proc/self/schedstat"), reason="this kernel does not keep the times in line (CONFIG_SCHED_INFO)")
def test_a_process_that_never_sleeps_is_told_from_one_that_does() -> None:
    """It is watched until it has itself counted a second: a clock would judge how busy the machine is."""
    processor = min(os.sched_getaffinity(0))
    children = [subprocess.Popen([sys.executable, "-c", text], stdout=subprocess.PIPE) for text in (BURN % processor, BURN % processor, IDLE)]
    try:
        for child in children:
            assert child.stdout is not None
            child.stdout.readline()
        before = counted(children)
        table = _process_table.first_look(MACHINE, frozenset())
        ours = [table.processes[child.pid] for child in children]
        _process_details.measure(MACHINE, table.processes, ours, Options())
        after = counted(children)
        while min(sum(now) - sum(then) for now, then in zip(counted(children)[:2], after)) < 1.0:
            time.sleep(0.02)
        second = counted(children)
        _process_table.second_look(MACHINE, table)
        _process_details.measure_again(MACHINE, table.processes)
        last = counted(children)
    finally:
        for child in children:
            child.kill()
            child.communicate()
    # as if it had been two seconds: of CPUs, seconds of a processor
    window = _services._Window(2.0, MACHINE.ticks_per_s, MACHINE.uptime_s())
    used, waited = ([2.0 * (figure(process) or 0.0) for process in ours] for figure in (window.cpu, window.cpu_wait))
    assert None not in [process.waited_ns for process in ours]
    # between the looks, and no more than around them: 0.05 for ticks, and for what the kernel adds up only now and then
    for figures, kind in ((used, 0), (waited, 1)):
        for index in (0, 1, 2):
            least, most = second[index][kind] - after[index][kind], last[index][kind] - before[index][kind]
            assert least - 0.05 <= figures[index] <= most + 0.05, (kind, index, figures, before, after, second, last)
    # two on one processor: neither has more than a part of it, both want all of it
    assert [used[index] + waited[index] >= 0.9 for index in (0, 1)] == [True, True], (used, waited)
    assert sum(waited[:2]) > 0.5
    assert used[2] + waited[2] < 0.2


@pytest.mark.skipif(not os.path.exists("/proc/self/schedstat"), reason="this kernel does not keep the times in line (CONFIG_SCHED_INFO)")
def test_a_small_process_that_is_ready_to_run_is_measured_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is neither a worker nor among the largest."""
    monkeypatch.setattr(_process_details, "_LARGEST", 0)
    with subprocess.Popen([sys.executable, "-c", BURN % min(os.sched_getaffinity(0))], stdout=subprocess.PIPE) as child:
        try:
            assert child.stdout is not None
            child.stdout.readline()
            table = _process_table.first_look(MACHINE, frozenset())
            _process_details.measure(MACHINE, table.processes, [], Options())
            _process_table.second_look(MACHINE, table)
            _process_details.measure_again(MACHINE, table.processes)
        finally:
            child.kill()
    assert table.processes[child.pid].waited_ns is not None
    asleep = [process for process in table.processes.values() if process.state == "S"]
    assert asleep and not [process for process in asleep if process.waited_ns is not None]


@pytest.mark.parametrize("text,waited", [("12 34567 8\n", 34567), ("", None), ("12", None), ("a b c", None)])
def test_what_is_not_three_numbers_is_not_known(tmp_path: Path, text: str, waited: object) -> None:
    (tmp_path / "commands.json").write_text("{}")
    (tmp_path / "proc" / "7").mkdir(parents=True)
    (tmp_path / "proc" / "7" / "schedstat").write_text(text)
    assert _process_details._waited_ns(Machine(str(tmp_path)), 7) == waited
    assert _process_details._waited_ns(Machine(str(tmp_path)), 8) is None
