# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a real nginx logs: requests in formats of every kind, a log that is rotated in the window, and its errors in files of odd names."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import time
import typing as t
from pathlib import Path

import pytest

from ansible_collections.oncall.pressure.plugins.module_utils._components import _logs, _nginx
from ansible_collections.oncall.pressure.plugins.module_utils._host._collect import Options, Reading
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine

NGINX = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")

pytestmark = pytest.mark.skipif(NGINX is None, reason="there is no nginx here: apt-get install nginx-light")

#: Formats that people use, by what is odd about them: nested quotes, tabs, times in each form, the client late in the line, escapes of each kind.
FORMATS = {
    "json_escaped": ("escape=json", '{"at":"$time_iso8601","client":"$remote_addr","request":"$request","status":$status,"agent":"$http_user_agent",'
                     '"took":$request_time}'),
    "json_nested": ("escape=json", '{"http":{"request":{"uri":"$request_uri","method":"$request_method"},"status":"$status"},"src":{"ip":"$remote_addr"},'
                    '"ts":$msec}'),
    "json_unescaped": ("escape=none", '{ "time": "$msec", "ip": "$remote_addr", "uri": "$uri", "code": "$status", "agent": "$http_user_agent" }'),
    "json_default": ("", '{"remote": "$remote_addr", "time": "$time_local", "req": "$request", "status": "$status", "ref": "$http_referer"}'),
    "tabs": ("", "$msec\\t$remote_addr\\t$status\\t$request_method\\t$request_uri\\t$body_bytes_sent\\t$http_user_agent"),
    "pairs": ("", 'ts=$time_iso8601 ip=$remote_addr agent="$http_user_agent" path="$request_uri" status=$status bytes=$bytes_sent rt="$request_time"'),
    "bars": ("", "$time_local|$http_host|$remote_addr|$request|$status|$upstream_response_time|$http_user_agent"),
    "client_late": ("", '[$time_local] "$request" $status $body_bytes_sent "$http_user_agent" from $remote_addr'),
    "brackets": ("", "[$msec] [$status] [$remote_addr] [$request] [$http_user_agent]"),
}
PATHS = ("/a", "/items/list", "/with%20blank", "/q?x=1&y=%22z%22", "/caf%C3%A9", "/back%5Cslash", "/brace%7B%7D", "/tab%09x", "/semi;colon")
AGENTS = ('plain', 'with "quotes" inside', "back\\slash", "{\"json\": [1]}", "caf\xe9 latin", "a=b c='d'", "tab\tinside", "[brackets] | bars")


class Nginx:
    """An nginx of our own: its folder, its port, its process."""

    def __init__(self, folder: Path, http: str, main: str = "error_log errors;") -> None:
        self.folder = folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        (folder / "tmp").mkdir()
        os.chmod(str(folder), 0o755)
        temporary = " ".join("%s_temp_path %s/tmp/%s;" % (name, folder, name) for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        (folder / "nginx.conf").write_text(
            # the folders of tests are for their owner alone
            ("user root; " if os.geteuid() == 0 else "") +
            "daemon off; master_process on; worker_processes 1; pid %s/pid; %s events { worker_connections 64; } http { %s %s }"
            % (folder, main, temporary, http.replace("PORT", str(self.port))), encoding="utf-8")
        self.process = subprocess.Popen([str(NGINX), "-p", str(folder), "-c", str(folder / "nginx.conf")], stderr=subprocess.DEVNULL)

    def stop(self) -> None:
        self.process.terminate()
        self.process.communicate()

    def ask(self, raw: bytes) -> bytes:
        """What it answers to the bytes of a request."""
        with socket.create_connection(("127.0.0.1", self.port), 20) as connection:
            connection.sendall(raw)
            return connection.recv(65536)

    def answers(self) -> bool:
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port), 1).close()
            return True
        return False

    def writes(self, log: Path) -> bool:
        """Whether each of its processes has a file of this name open, and none what it was moved to."""
        opened = [{os.path.realpath(str(path)) for path in Path("/proc/%d/fd" % pid).iterdir()} for pid in map(int, self.machine().names("/proc"))]
        return all(str(log) in names for names in opened)

    def machine(self) -> Machine:
        return Only([self.process.pid, *Machine().children(self.process.pid)])


class Only(Machine):
    """This machine, as if only some processes ran on it, without a journal."""

    def __init__(self, pids: t.Sequence[int]) -> None:
        super().__init__()
        self.pids = pids

    def names(self, path: str) -> t.List[str]:
        return [str(pid) for pid in self.pids] if path == "/proc" else super().names(path)

    def exists(self, path: str) -> bool:
        return False if path == "/run/systemd/journal" else super().exists(path)


def until(true: t.Callable[[], t.Any]) -> t.Any:
    """Wait for what must come; a minute is given up as never."""
    end = time.monotonic() + 60
    while True:
        found = true()
        if found:
            return found
        assert time.monotonic() < end
        time.sleep(0.1)


@contextlib.contextmanager
def nginx(folder: Path, http: str, main: str = "error_log errors;") -> t.Iterator[Nginx]:
    one = Nginx(folder, http, main)
    try:
        until(one.answers)
        yield one
    finally:
        one.stop()


def requests(seed: int, count: int) -> t.List[bytes]:
    """Requests of the kinds that clients send, drawn: also some without a path that is one."""
    draw = random.Random(seed)
    found = []
    for dummy in range(count):
        agent = draw.choice(AGENTS).encode("latin-1")
        found.append(b"%s %s HTTP/1.%d\r\nHost: a\r\nConnection: close\r\nUser-Agent: %s\r\nReferer: https://x/\"y\"\r\n\r\n" % (
            draw.choice((b"GET", b"POST", b"HEAD")), draw.choice(PATHS).encode("ascii"), draw.randrange(2), agent))
    return found


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_requests_are_counted_in_every_format(tmp_path: Path, name: str) -> None:
    escape, text = FORMATS[name]
    quoted = "'%s'" % text.replace("'", "\\'")
    http = "log_format f %s %s; access_log %s/requests f; access_log %s/plain; server { listen 127.0.0.1:PORT; location / { return 200 ok; } }" % (
        escape, quoted, tmp_path, tmp_path)
    seed = random.randrange(1 << 30)
    with nginx(tmp_path, http) as one:
        sent = requests(seed, 60)
        for raw in sent:
            assert b" 200 " in one.ask(raw), "seed %d" % seed
        until(lambda: (tmp_path / "plain").read_bytes().count(b"\n") >= 60)
        data = _nginx.collect(one.machine(), Options()).data
    rows = {row["path"]: row for row in data["logs"]}
    assert (rows[str(tmp_path / "requests")]["lines"], rows[str(tmp_path / "requests")]["unparsed"]) == (60, 0), "seed %d: %s" % (seed, rows)
    # each request stands in both logs, which must agree on who asked for what
    assert (data["requests"], [row["requests"] for row in data["clients"]]) == (120, [120])
    counts = {row["path"]: row["requests"] for row in data["paths"]}
    if "$uri" not in text and name != "json_escaped":
        # (as $uri and in JSON a path is written otherwise than as it was asked for)
        assert all(count % 2 == 0 for count in counts.values()), "seed %d: %s" % (seed, counts)


def test_a_format_without_a_time_is_said(tmp_path: Path) -> None:
    http = "log_format f '$remote_addr $request $status'; access_log %s/requests f; server { listen 127.0.0.1:PORT; return 200 ok; }" % tmp_path
    with nginx(tmp_path, http) as one:
        one.ask(b"GET / HTTP/1.0\r\n\r\n")
        reading = _nginx.collect(one.machine(), Options())
    assert reading.status == "partial" and "its format has no time" in str(reading.reason) and reading.data["requests"] is None


@pytest.mark.parametrize("way", ["moved", "copied", "dated"])
def test_a_log_that_is_rotated_in_the_window(tmp_path: Path, way: str) -> None:
    http = "access_log %s/requests.log; server { listen 127.0.0.1:PORT; return 200 ok; }" % tmp_path
    log = tmp_path / "requests.log"
    with nginx(tmp_path, http) as one:
        for dummy in range(30):
            one.ask(b"GET /before HTTP/1.0\r\n\r\n")
        until(lambda: log.read_bytes().count(b"\n") == 30)
        if way == "copied":
            # logrotate's copytruncate
            shutil.copy2(str(log), str(log) + ".1")
            with open(str(log), "r+b") as stream:
                stream.truncate(0)
        else:
            os.rename(str(log), str(log) + (".1" if way == "moved" else "-20260112"))
            os.kill(one.process.pid, signal.SIGUSR1)
            until(lambda: one.writes(log))
        for dummy in range(12):
            one.ask(b"GET /after HTTP/1.0\r\n\r\n")
        until(lambda: log.read_bytes().count(b"\n") == 12)
        data = _nginx.collect(one.machine(), Options()).data
    assert {row["path"]: row["requests"] for row in data["paths"]} == {"/before": 30, "/after": 12}


def test_errors_before_a_rotation_in_the_window(tmp_path: Path) -> None:
    http = "access_log off; server { listen 127.0.0.1:PORT; client_max_body_size 1k; root /; }"
    log = tmp_path / "errors-of-shop"
    with nginx(tmp_path, http, "error_log %s;" % log) as one:
        for count in (3, 2):
            for dummy in range(count):
                one.ask(b"POST /a HTTP/1.0\r\nContent-Length: 99999\r\n\r\n")
            until(lambda: log.read_bytes().count(b"too large body") == count)
            if count == 3:
                os.rename(str(log), str(log) + ".1")
                os.kill(one.process.pid, signal.SIGUSR1)
                until(lambda: one.writes(log))
        reading = _logs.collect(one.machine(), Options(window_s=0.0))
    (row,) = reading.data["services"]
    assert {found["id"]: found["count"] for found in row["signals"]} == {"nginx_body_too_large": 5} and row["source"] == str(log)


def test_errors_by_where_they_are_told_to_go(tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    http = (
        "access_log off; limit_req_zone $binary_remote_addr zone=shop:1m rate=1r/m; upstream dead { server 127.0.0.1:%d max_fails=1 fail_timeout=60s; "
        "server 127.0.0.1:%d max_fails=1 fail_timeout=60s; } server { listen 127.0.0.1:PORT; error_log %s/oddly; client_max_body_size 1k; "
        "location /dead { proxy_pass http://dead; } location /limited { limit_req zone=shop; return 200 ok; } "
        "location /limited/file { limit_req zone=shop; root /; } location / { error_log stderr; proxy_pass http://127.0.0.1:%d; } }"
        % (port, port, tmp_path, port))
    with nginx(tmp_path, http, "error_log %s/quiet crit;" % tmp_path) as one:
        for dummy in range(4):
            assert b" 502 " in one.ask(b"GET /dead HTTP/1.0\r\n\r\n")
        for dummy in range(3):
            one.ask(b"GET /limited/file HTTP/1.0\r\n\r\n")
        assert b" 413 " in one.ask(b"POST /dead HTTP/1.0\r\nContent-Length: 99999\r\n\r\n")

        def told() -> t.Optional[Reading]:
            found = _logs.collect(one.machine(), Options(window_s=0.0))
            return found if any(signal["id"] == "nginx_body_too_large" for row in (found.data or {}).get("services", []) for signal in row["signals"]) else None

        reading = until(told)
        errors = {(row["path"], row["level"], row["status"]) for row in _nginx.collect(one.machine(), Options()).data["error_logs"]}
    assert errors == {(str(tmp_path / "quiet"), "crit", "partial"), (str(tmp_path / "oddly"), "error", "ok"), ("stderr", "error", "absent")}
    (row,) = [row for row in reading.data["services"] if row["source"] == str(tmp_path / "oddly")]
    signals = {found["id"]: (found["count"], found["about"]) for found in row["signals"]}
    # the first request met both servers, each of which is held to be down from then on
    assert signals["nginx_upstream_refused"] == (2, "http://127.0.0.1:%d" % port)
    assert signals["nginx_no_live_upstreams"] == (3, "http://dead") and signals["nginx_limit_req"] == (2, "shop")
    assert signals["nginx_body_too_large"][0] == 1
