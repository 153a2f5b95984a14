# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What real programs log: a gunicorn that times out, an nginx that waits in vain, a journalctl that is stopped, another user's files."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import typing as t
from pathlib import Path

import pytest
import running

from ansible_collections.oncall.pressure.plugins.module_utils._components import _logs
from ansible_collections.oncall.pressure.plugins.module_utils._host._collect import Options, Reading, run_all
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine, Outcome

NGINX = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
Start = t.Callable[..., running.Server]


class Some(Machine):
    """This machine, as if only some processes ran on it; ``journal``: the program that stands for journalctl, null for none."""

    def __init__(self, pids: t.Sequence[int], journal: t.Optional[t.Sequence[str]] = None) -> None:
        super().__init__()
        self.pids = pids
        self.journal = journal

    def names(self, path: str) -> t.List[str]:
        return [str(pid) for pid in self.pids] if path == "/proc" else super().names(path)

    def exists(self, path: str) -> bool:
        return self.journal is not None if path == "/run/systemd/journal" else super().exists(path)

    def run(self, argv: t.Sequence[str], timeout_s: float = 5.0, *arguments: t.Any, **more: t.Any) -> Outcome:
        assert argv[0] == "journalctl"
        return super().run(self.journal or ["false"], min(timeout_s, 0.5), *arguments, **more)


def until(true: t.Callable[[], t.Any]) -> t.Any:
    """Wait for what must come; a minute is given up as never."""
    end = time.monotonic() + 60
    while True:
        found = true()
        if found:
            return found
        assert time.monotonic() < end
        time.sleep(0.1)


def told(reading: Reading, signal_id: str) -> t.Optional[t.Dict[str, t.Any]]:
    return next((found for row in (reading.data or {}).get("services", []) for found in row["signals"] if found["id"] == signal_id), None)


def test_gunicorn_whose_workers_time_out(start: Start, tmp_path: Path) -> None:
    path = tmp_path / "shop.log"
    server = start("gunicorn", "--timeout", "1", "--error-logfile", str(path), workers=2)
    connections = [server.ask("/sleep/50") for dummy in range(2)]
    machine = Some([server.pid])
    found = until(lambda: told(_logs.collect(machine, Options(window_s=0.0)), "gunicorn_worker_timeout"))
    assert found["count"] >= 1 and "WORKER TIMEOUT (pid:" in found["sample"] and found["last_at"] is not None
    killed = until(lambda: told(_logs.collect(machine, Options(window_s=0.0)), "gunicorn_worker_sigkill") or
                   told(_logs.collect(machine, Options(window_s=0.0)), "gunicorn_worker_signal"))
    assert killed["component"] == "gunicorn"
    for connection in connections:
        connection.close()


@contextlib.contextmanager
def proxy(folder: Path) -> t.Iterator[t.Tuple[int, int]]:
    """An nginx before something that takes connections and never answers; its pid and port."""
    with socket.socket() as silent, socket.socket() as probe:
        silent.bind(("127.0.0.1", 0))
        silent.listen(50)
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        (folder / "tmp").mkdir()
        temporary = " ".join("%s_temp_path tmp/%s;" % (name, name) for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        (folder / "nginx.conf").write_text(
            "daemon off; worker_processes 1; pid tmp/pid; error_log errors-of-shop; events { worker_connections 64; } http { %s access_log off; "
            "server { listen 127.0.0.1:%d; location / { proxy_read_timeout 1s; proxy_pass http://127.0.0.1:%d; } } }"
            % (temporary, port, silent.getsockname()[1]))
        os.chmod(str(folder), 0o755)
        process = subprocess.Popen([str(NGINX), "-p", str(folder), "-e", "errors-of-shop", "-c", "nginx.conf"], stderr=subprocess.DEVNULL)
        try:
            until(lambda: answers(port))
            yield process.pid, port
        finally:
            process.terminate()
            process.communicate()


def answers(port: int) -> bool:
    with contextlib.suppress(OSError):
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    return False


@pytest.mark.skipif(NGINX is None, reason="there is no nginx here: apt-get install nginx-light")
def test_nginx_whose_upstream_does_not_answer(tmp_path: Path) -> None:
    with proxy(tmp_path) as (pid, port):
        for number in range(3):
            with socket.create_connection(("127.0.0.1", port), 20) as connection:
                connection.sendall(b"GET /report/%d?token=abcdef0123456789abcd HTTP/1.0\r\n\r\n" % number)
                assert b" 504 " in connection.recv(65536)

        def timeouts() -> t.Optional[Reading]:
            found = _logs.collect(Some([pid]), Options(window_s=0.0))
            return found if told(found, "nginx_upstream_timeout") else None

        reading = until(timeouts)
    found = told(reading, "nginx_upstream_timeout")
    assert found is not None and found["count"] == 3 and found["about"].startswith("http://127.0.0.1:")
    assert [row["source"] for row in reading.data["services"]] == [str(tmp_path / "errors-of-shop")]
    assert "abcdef0123456789abcd" not in str(reading.data)


def stopped(tmp_path: Path, first: str = "") -> t.List[str]:
    """A journalctl that says something and is stopped then, as by SIGSTOP."""
    script = tmp_path / "journalctl"
    script.write_text("import os, signal, sys\nsys.stdout.write(%r)\nsys.stdout.flush()\nos.kill(os.getpid(), signal.SIGSTOP)\n" % first)
    return [sys.executable, str(script)]


def test_a_journalctl_that_is_stopped_costs_its_time_and_nothing_else(tmp_path: Path) -> None:
    machine = Some([], stopped(tmp_path))
    row = run_all({"logs": _logs.collect}, machine, Options(window_s=0.1), 30.0).rows["logs"]
    assert (row["status"], row["reason"]) == ("error", "journalctl did not answer within 3 s")
    said = "__REALTIME_TIMESTAMP=%d\n_SYSTEMD_UNIT=shop.service\nMESSAGE=[CRITICAL] WORKER TIMEOUT (pid:7)\n\n" % (time.time() * 1e6)
    # what it said before counts: it is the newest
    row = run_all({"logs": _logs.collect}, Some([], stopped(tmp_path, said)), Options(window_s=0.1), 30.0).rows["logs"]
    assert row["status"] == "partial" and row["data"]["services"][0]["service"] == "shop.service"


@pytest.mark.parametrize("rubbish", [b"\0\xff" * 500000, b"MESSAGE\n\xff\xff\xff\xff\xff\xff\xff\x7f" * 100, b"{\"MESSAGE\": 7}\n\n" * 100, b"\n" * 100000],
                         ids=["binary", "lengths", "json", "empty"])
def test_a_journalctl_that_answers_rubbish(tmp_path: Path, rubbish: bytes) -> None:
    (tmp_path / "answer").write_bytes(rubbish)
    row = run_all({"logs": _logs.collect}, Some([], ["cat", str(tmp_path / "answer")]), Options(window_s=0.1), 30.0).rows["logs"]
    assert row["status"] == "ok" and len(row["data"]["services"]) <= 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user")
def test_an_ordinary_user_is_told_what_is_denied(tmp_path: Path) -> None:
    os.chmod(str(tmp_path), 0o777)
    log = tmp_path / "shop.log"
    process = subprocess.Popen([sys.executable, "-c", "import sys, time; f = open(sys.argv[1], 'a'); print('ready', flush=True); time.sleep(60)", str(log)],
                               stdout=subprocess.PIPE)
    assert process.stdout is not None and process.stdout.readline() == b"ready\n"

    def as_nobody(machine: Machine, options: Options) -> Reading:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
        return _logs.collect(machine, options)

    try:
        row = run_all({"logs": as_nobody}, Some([process.pid]), Options(window_s=0.1), 30.0).rows["logs"]
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    assert (row["status"], row["reason"]) == ("denied", "the open files of 1 processes may not be looked at: become root")
