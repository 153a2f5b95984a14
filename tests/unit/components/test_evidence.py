# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Evidence of real processes, and what becomes of it where a part hangs or is too large."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import typing as t
from pathlib import Path

import pytest

from ansible_collections.oncall.pressure.plugins.module_utils._components import _evidence, _evidence_parts, _stacks, _subject
from ansible_collections.oncall.pressure.plugins.module_utils._host import _collect
from ansible_collections.oncall.pressure.plugins.module_utils._host._collect import Reading
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine
from ansible_collections.oncall.pressure.plugins.module_utils._parse import _sockets
from ansible_collections.oncall.pressure.plugins.plugin_utils import _evidence as written

Subject = t.Mapping[str, t.Any]

#: Not that of an environment: a profiler that is installed there would be found beside it.
PYTHON = os.path.realpath(sys.executable)

SERVER = """\
import socket, sys, time
log = open(sys.argv[1], "a")
other = open(sys.argv[1] + ".read")
for number in range(5000):
    log.write("line %d password=geheim%d\\n" % (number, number))
log.flush()
listener = socket.create_server(("127.0.0.1", int(sys.argv[2])))
print("ready", flush=True)
time.sleep(600)
"""


@pytest.fixture(name="server")
def _server(tmp_path: Path) -> t.Iterator[tuple[int, int, Path]]:
    """A process with a log and a listening socket: its pid, its port, its log."""
    script, log = tmp_path / "serve.py", tmp_path / "shop.log"
    script.write_text(SERVER, encoding="utf-8")
    (tmp_path / "shop.log.read").write_text("no log\n", encoding="utf-8")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = dict(os.environ, SUPERVISOR_GROUP_NAME="shop-%d" % port, SUPERVISOR_PROCESS_NAME="shop-%d_00" % port)
    with subprocess.Popen([PYTHON, str(script), str(log), str(port)], stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdout is not None and process.stdout.readline() == b"ready\n"
        try:
            yield process.pid, port, log
        finally:
            process.kill()


def subject(*pids: int) -> dict[str, t.Any]:
    return {"service": "shop", "unit": None, "program": "shop", "group": None, "pids": list(pids), "count": len(pids), "supervisord": None, "state": {}}


def test_a_log_is_what_a_process_has_open_for_writing(server: tuple[int, int, Path]) -> None:
    reading = _evidence_parts.log(Machine(), subject(server[0]), 5.0)
    assert list(reading.data["files"]) == [str(server[2])]
    lines = reading.data["files"][str(server[2])]
    assert lines[-1] == "line 4999 password=REDACTED" and len(lines) == _evidence_parts.LINES


def test_processes_and_sockets_are_those_of_the_service(server: tuple[int, int, Path]) -> None:
    machine = Machine()
    with socket.create_connection(("127.0.0.1", server[1])):
        sockets = _evidence_parts.sockets(machine, subject(server[0]), 5.0).data
    assert sockets["listening"] == [{"address": "127.0.0.1", "port": server[1], "waiting": 1}]
    rows = _evidence_parts.processes(machine, subject(server[0]), 5.0).data
    assert [row["pid"] for row in rows] == [server[0]] and "serve.py" in rows[0]["command"]
    assert any(line.startswith("Rss:") for line in rows[0]["smaps_rollup"]) and sum(rows[0]["threads"].values()) == 1


def test_a_process_that_is_gone_is_no_failure() -> None:
    gone = subject(2 ** 22 - 1)
    rows = _evidence_parts.processes(Machine(), gone, 5.0).data
    assert rows[0]["status"] is None and rows[0]["smaps_rollup"] is None
    assert _evidence_parts.processes(Machine(), subject(), 5.0).status == "absent"


def test_a_supervisor_program_is_found_by_what_its_processes_were_told(server: tuple[int, int, Path]) -> None:
    found = _subject.find(Machine(), "supervisor:shop-%d" % server[1])
    assert found["pids"] == [server[0]] and found["supervisord"] == os.getpid()
    assert _subject.find(Machine(), "supervisor:nothing-of-that-name")["pids"] == []


@pytest.mark.parametrize("script,expect", [
    ("echo 'Process 1: python --password geheim'; echo 'Thread 1 (idle)'; echo '    serve (serve.py:9)'", ["Thread 1 (idle)", "    serve (serve.py:9)"]),
    ("echo 'Permission denied' >&2; exit 1", None),
    ("exec sleep 3600", None),
])
def test_a_profiler_is_run_where_it_is_there(server: tuple[int, int, Path], script: str, expect: list[str] | None) -> None:
    machine = Machine()
    assert "no profiler is there" in (_stacks.stacks(machine, subject(server[0]), 3.0).reason or "")
    profiler = server[2].parent / "py-spy"
    profiler.write_text("#!/bin/sh\n%s\n" % script, encoding="utf-8")
    profiler.chmod(0o755)
    reading = _stacks.stacks(machine, subject(server[0]), 2.0)
    if expect is None:
        assert reading.data is None and reading.reason
    else:
        assert reading.data == {"by": str(profiler), "processes": {str(server[0]): expect}}


def test_no_profiler_is_run_where_memory_is_short(server: tuple[int, int, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    profiler = server[2].parent / "py-spy"
    profiler.write_text("#!/bin/sh\ntouch %s/ran\n" % profiler.parent, encoding="utf-8")
    profiler.chmod(0o755)
    monkeypatch.setattr(_stacks, "NEED_BYTES", 2 ** 50)
    assert "MB are free" in (_stacks.stacks(Machine(), subject(server[0]), 3.0).reason or "")
    assert not (profiler.parent / "ran").exists()


def _good(machine: Machine, of: Subject, limit_s: float) -> Reading:
    return _collect.ok({"of": of["service"]})


def _hangs(machine: Machine, of: Subject, limit_s: float) -> Reading:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while True:
        time.sleep(3600)


def _breaks(machine: Machine, of: Subject, limit_s: float) -> Reading:
    raise ValueError("what the host said")


def _talks(machine: Machine, of: Subject, limit_s: float) -> Reading:
    return _collect.ok({"files": {"journal": ["old %d " % number + "x" * 900 for number in range(400)], "small.log": ["one line"]}})


def test_a_part_that_hangs_holds_up_nothing() -> None:
    """Without its budget this test would take an hour."""
    parts: dict[str, _evidence.Part] = {"counters": _good, "stacks": _hangs, "processes": _breaks, "sockets": _good}
    document = _evidence.gather(Machine(), ["shop.service"], _evidence.Budget(3.0, 1048576), parts=parts, snapshot=False)
    row = document["services"]["shop.service"]
    assert row["counters"] == row["sockets"] == {"of": "shop.service"}
    assert row["stacks"] is None and row["processes"] is None
    assert sorted(line.partition(":")[0] for line in document["missing"]) == ["shop.service processes", "shop.service stacks"]
    assert "not finished" in document["parts"]["shop.service stacks"]["reason"]


def test_a_service_that_cannot_be_found_out_about_is_missing_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    def hanging(service: str) -> _collect.Collector:
        return lambda machine, options: _hangs(machine, {}, 0.0)

    monkeypatch.setattr(_evidence, "_finder", hanging)
    document = _evidence.gather(Machine(), ["shop.service"], _evidence.Budget(3.0, 1048576), parts={"counters": _good}, snapshot=False)
    assert document["services"]["shop.service"] == {"state": None} and document["missing"][0].startswith("everything of shop.service")


def test_what_does_not_fit_is_named_and_logs_lose_their_oldest_lines() -> None:
    parts: dict[str, _evidence.Part] = {"log": _talks, "counters": _good}
    document = _evidence.gather(Machine(), ["shop.service"], _evidence.Budget(10.0, 65536), parts=parts, snapshot=False)
    log = document["services"]["shop.service"]["log"]["files"]
    assert log["journal"][-1].startswith("old 399") and 10 < len(log["journal"]) < 100 and log["small.log"] == ["one line"]
    assert len(json.dumps(document["services"])) <= 65536 + 512
    assert "%d older lines did not fit" % (400 - len(log["journal"])) in document["missing"][0]
    assert document["services"]["shop.service"]["counters"] == {"of": "shop.service"}


def test_files_are_written_for_their_owner_and_by_no_name_of_the_host(tmp_path: Path) -> None:
    document = {
        "schema": 1, "services": {"../../x": {"state": {}, "log": {"files": {"/var/log/a": ["\x1b[31mred", "token=geheim"]}},
                                              "stacks": {"by": "py-spy", "processes": {"7": ["Thread 7"]}}, "counters": {"a": ["1"]}}},
        "snapshot": {"schema": 1, "services": []}, "parts": {}, "missing": ["x stacks: why"], "cost": {"wall_s": 1.5},
    }
    digest = written.write(str(tmp_path), "../web", document)
    files = sorted(path for path in tmp_path.rglob("*") if path.is_file())
    assert [path.name for path in files] == ["evidence.json", "log-0.txt", "stacks.txt", files[-1].name] and len(files) == 4
    assert all(path.stat().st_mode & 0o077 == 0 for path in tmp_path.rglob("*"))
    text = next(path for path in files if path.name == "log-0.txt").read_text(encoding="utf-8")
    assert "\x1b" not in text and "geheim" not in text and "red" in text
    assert digest["answered"] and digest["missing"] == ["x stacks: why"] and digest["seconds"] == 1.5
    assert "missing: everything: timed out" in written.unanswered("web", "timed out")["says"]


UNIX = """\
Num       RefCount Protocol Flags    Type St Inode Path
0000: 00000002 00000000 00010000 0001 01 77 /run/a.sock
0001: 00000002 00000000 00010000 0001 01 78 /run/b.sock
"""
TCP = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F40 00000000:0000 0A 00000000:00000003 00:00000000 00000000    33        0 501 1 0 100 0 0 10 0
   1: 0100007F:1F40 0100007F:9C40 01 00000000:00000000 00:00000000 00000000    33        0 502 1 0 20 4 30 10 -1
   2: 0100007F:1F40 broken
"""


def test_sockets_are_chosen_by_their_inode() -> None:
    assert _sockets.tcp(TCP, {501}) == [_sockets.Tcp("LISTEN", "127.0.0.1", 8000, "0.0.0.0", 0, 3)]
    assert [row.state for row in _sockets.tcp(TCP, {501, 502})] == ["LISTEN", "ESTABLISHED"]
    assert _sockets.unix_paths(UNIX, {78}) == ["/run/b.sock"]
