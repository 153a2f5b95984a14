# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The door to the machine: bounded reads and programs, and replay."""

from __future__ import annotations

import json
import os
import pathlib
import time

import pytest

from ansible_collections.oncall.pressure.plugins.module_utils._host._collect import Options, ok, run_all
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import As, Machine


def test_a_read_is_bounded_and_a_pipe_does_not_block(tmp_path: pathlib.Path) -> None:
    (tmp_path / "large").write_bytes(b"x" * 1_000_000)
    os.mkfifo(tmp_path / "pipe")
    machine = Machine()
    assert len(machine.read(str(tmp_path / "large"), 5000)) == 5000
    assert len(machine.read(str(tmp_path / "large"), 2_000_000)) == 1_000_000
    assert machine.read(str(tmp_path / "pipe")) == b""
    assert machine.text_or_none(str(tmp_path / "nothing")) is None
    with pytest.raises(IsADirectoryError):
        machine.read(str(tmp_path))


def test_a_program_is_stopped_with_its_children_when_time_runs_out() -> None:
    outcome = Machine().run(["sh", "-c", "echo $$; sleep 61 & sleep 61"], timeout_s=0.5)
    assert outcome.timed_out and outcome.status is None
    group = int(outcome.out)
    # a process that was killed needs a moment to go
    for dummy in range(100):
        members = [pid for pid in os.listdir("/proc") if pid.isdigit() and _group(pid) == group]
        if not members:
            break
        time.sleep(0.05)
    assert members == []


def _group(pid: str) -> int:
    try:
        with open("/proc/%s/stat" % pid, encoding="utf-8", errors="replace") as stream:
            fields = stream.read().rpartition(") ")[2].split()
    except OSError:
        return 0
    # one that was killed and not yet waited for by process 1 runs nothing any more
    return 0 if fields[0] in "ZX" else int(fields[2])


def test_output_is_bounded_and_the_environment_is_ours() -> None:
    assert len(Machine().run(["sh", "-c", "yes"], timeout_s=5, limit=10000).out) == 10000
    assert Machine().run(["sh", "-c", "echo $LC_ALL; echo $HOME; exit 3"]).out == b"C.UTF-8\n\n"
    assert Machine().run(["sh", "-c", "exit 3"]).status == 3
    with pytest.raises(FileNotFoundError):
        Machine().run(["no-such-program"])


def test_a_recording_is_all_that_a_replay_sees(tmp_path: pathlib.Path) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc" / "uptime").write_text("12.5 3\n")
    (tmp_path / "commands.json").write_text(json.dumps({"now": 1000.0, "commands": {"systemctl show": {"status": 0, "out": "Id=a"}}}))
    machine = Machine(str(tmp_path))
    assert machine.uptime_s() == 12.5 and machine.now() == 1000.0 and not machine.exists("/etc/passwd")
    assert machine.run(["systemctl", "show"]).out == b"Id=a"
    with pytest.raises(FileNotFoundError):
        machine.run(["ls"])
    before = machine.monotonic()
    machine.sleep(2.0)
    assert machine.monotonic() - before == 2.0


def test_a_program_gets_no_more_memory_than_who_runs_it() -> None:
    """A collector's child has a limit that it cannot raise, root or not: to ask for more must not keep the program from running."""
    who = As(os.geteuid(), os.getegid(), (), "/", 2 ** 50)
    rows = run_all({"one": lambda machine, options: ok(machine.run(["/bin/sh", "-c", "ulimit -v"], 5.0, 100, {"PATH": "/bin"}, who).out.decode().strip())},
                   Machine(), Options(), 20.0).rows
    assert rows["one"]["status"] == "ok" and int(rows["one"]["data"]) * 1024 < 2 ** 50
