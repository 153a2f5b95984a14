# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The reader of /proc against psutil, on the live machine."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import psutil

from ansible_collections.oncall.pressure.plugins.module_utils._components import _process_details, _process_table, _services
from ansible_collections.oncall.pressure.plugins.module_utils._host._collect import Options
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine

MACHINE = Machine()


def differs(pid: int) -> str | None:
    """How a process as we see it differs from psutil's; null where it does not, or it ended or became another program meanwhile."""
    try:
        oracle = psutil.Process(pid)
        before = (oracle.create_time(), oracle.ppid(), oracle.cmdline())
        process = _process_table.first_look(MACHINE, frozenset()).processes.get(pid)
        after = (oracle.create_time(), oracle.ppid(), oracle.cmdline())
    except psutil.Error:
        return None
    if process is None or before != after or process.state in "ZD":
        return None
    # psutil splits a title at its blanks and keeps its padding
    mine, theirs = " ".join(process.argv), " ".join(before[2]).rstrip()
    same = mine == theirs or (len(mine) > 3000 and theirs.startswith(mine[:3000]))
    return None if same and process.ppid == before[1] else "%r is not %r" % ((process.ppid, mine), (before[1], theirs))


def test_every_process_is_seen_as_psutil_sees_it() -> None:
    table = _process_table.first_look(MACHINE, frozenset())
    pids = list(table.processes)[:60]
    assert len(pids) >= 3 and os.getpid() in table.processes
    assert not any(process.name == "kthreadd" for process in table.processes.values())
    assert [found for found in map(differs, [os.getpid(), *pids]) if found is not None] == []


def test_cpu_over_the_window_agrees_with_psutil() -> None:
    burner = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    idle = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        time.sleep(0.3)
        table = _process_table.first_look(MACHINE, frozenset())
        start, before = time.monotonic(), sum(psutil.Process(burner.pid).cpu_times()[:2])
        time.sleep(1.0)
        _process_table.second_look(MACHINE, table)
        seconds, used = time.monotonic() - start, sum(psutil.Process(burner.pid).cpu_times()[:2]) - before
    finally:
        for process in (burner, idle):
            process.kill()
            process.wait()
    window = _services._Window(seconds, MACHINE.ticks_per_s, MACHINE.uptime_s())
    assert abs(window.cpu(table.processes[burner.pid]) - used / seconds) < 0.1
    assert window.cpu(table.processes[idle.pid]) < 0.05


def test_children_that_ended_within_the_window_are_counted_and_what_they_used_before_is_not() -> None:
    burn = "import time; end = time.process_time() + %s\nwhile time.process_time() < end: pass"
    code = "import subprocess, sys; old = subprocess.Popen([sys.executable, '-c', sys.argv[1]]); sys.stdin.readline();" \
           "old.kill(); old.wait(); subprocess.run([sys.executable, '-c', sys.argv[2]]); print(1, flush=True); sys.stdin.readline()"
    parent = subprocess.Popen([sys.executable, "-c", code, burn % 60, burn % 0.6], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        while not [child for child in psutil.Process(parent.pid).children() if sum(child.cpu_times()[:2]) > 1.0]:
            time.sleep(0.1)
        table = _process_table.first_look(MACHINE, frozenset())
        parent.stdin.write(b"\n")
        parent.stdin.flush()
        parent.stdout.readline()
        _process_table.second_look(MACHINE, table)
        used = table.processes[parent.pid].ended_ticks / MACHINE.ticks_per_s
    finally:
        parent.kill()
        parent.wait()
    # 0.6 s of the new child and a moment of the old one; not the second and more that the old one had used before
    assert 0.5 < used < 1.0


def test_memory_and_files_agree_with_psutil() -> None:
    child = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import os, resource, socket, sys, time; kept = bytearray(os.urandom(1048576) * 32); resource.setrlimit(resource.RLIMIT_NOFILE, (500, 600)); "
            "opened = [open('/dev/null') for i in range(40)] + [open(sys.executable) for i in range(7)] + [socket.socket() for i in range(5)]; "
            "piped = os.pipe(); print(1, flush=True)\nwhile True: time.sleep(0.01)",
        ],
        stdout=subprocess.PIPE,
    )
    try:
        child.stdout.readline()
        table = _process_table.first_look(MACHINE, frozenset())
        process = table.processes[child.pid]
        assert _process_details.measure(MACHINE, {child.pid: process}, [process], Options(pss_budget_s=5.0)) is None
        oracle = psutil.Process(child.pid)
        full = oracle.memory_full_info()
        assert abs(process.pss_bytes - full.pss) < 1048576 and abs(process.rss_bytes - full.rss) < 1048576
        assert process.anon_bytes > 32 * 1048576
        assert process.open_files == oracle.num_fds() >= 40
        assert process.open_files_limit == oracle.rlimit(psutil.RLIMIT_NOFILE)[0] == 500
        kinds = process.open_kinds
        assert sum(kinds.values()) == process.open_files and kinds["socket"] == 5 and kinds["file"] >= 7 and kinds["pipe"] >= 2 and kinds["other"] >= 40
        assert abs(process.virtual_bytes - full.vms) < 1048576 and process.peak_rss_bytes >= full.rss - 1048576
        assert abs(_services._private(process) - full.uss) < 1048576 and process.memory["Swap"] == full.swap
        before = oracle.num_ctx_switches()
        time.sleep(0.5)
        _process_table.second_look(MACHINE, table)
        _process_details.measure_again(MACHINE, {child.pid: process})
        assert 3 <= process.switches[0] <= oracle.num_ctx_switches().voluntary - before.voluntary + 50 and process.switches[1] >= 0
    finally:
        child.kill()
        child.wait()


def test_a_budget_of_nothing_says_what_was_not_measured() -> None:
    table = _process_table.first_look(MACHINE, frozenset())
    reason = _process_details.measure(MACHINE, table.processes, [], Options(pss_budget_s=0.0))
    assert "beyond the budget of 0.00 s" in reason
    assert all(process.pss_bytes is None for process in table.processes.values())


def test_ours_are_left_out_with_everything_below_them() -> None:
    child = subprocess.Popen(["sh", "-c", "sleep 60 & sleep 60"])
    try:
        time.sleep(0.2)
        below = [process.pid for process in psutil.Process(child.pid).children(recursive=True)]
        assert len(below) >= 1
        table = _process_table.first_look(MACHINE, frozenset((child.pid,)))
        assert not {child.pid, *below} & set(table.processes)
        assert {child.pid, *below} <= table.ours
    finally:
        for process in psutil.Process(child.pid).children(recursive=True):
            process.kill()
        child.kill()
        child.wait()


def test_the_run_is_found_above_the_module_and_the_shell_above_it_is_not() -> None:
    code = "from ansible_collections.oncall.pressure.plugins.module_utils._components._process_table import own_chain;" \
           "from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine; print(sorted(own_chain(Machine())))"
    script = "exec -a /usr/bin/ansible-playbook bash -c '\"$0\" -c \"$1\"; true' \"$0\" \"$1\""
    shell = subprocess.run(["bash", "-c", "bash -c '%s' \"$0\" \"$1\"; echo $$" % script.replace("'", "'\\''"), sys.executable, code],
                           stdout=subprocess.PIPE, check=True, env=dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path)))
    chain, person = shell.stdout.decode().splitlines()
    found = [int(pid) for pid in chain.strip("[]").split(",")]
    assert len(found) >= 2
    assert int(person) not in found and os.getpid() not in found
