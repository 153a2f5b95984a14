# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""nginx's traffic: on a recording of a real nginx, on hosts laid out for what goes wrong, and on an nginx that runs here."""

from __future__ import annotations

import contextlib
import functools
import http.client
import json
import os
import pathlib
import random
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import typing as t

import jsonschema
import pytest
from ansible_collections.oncall.pressure.plugins.module_utils._components import _nginx
from ansible_collections.oncall.pressure.plugins.module_utils._host._collect import Options, Reading
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine

ROOT = pathlib.Path(__file__).resolve().parents[3]
RECORDING = ROOT / "tests/unit/recordings/nginx/1.22.1-debian-12"
NOW = 1700000000
NGINX = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")


def line(moment: float, client: str = "203.0.113.9", target: str = "/", status: int = 200, more: str = "") -> str:
    stamp = time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(moment))
    return '%s - - [%s] "GET %s HTTP/1.1" %d 10 "-" "curl/8"%s\n' % (client, stamp, target, status, more)


def lines(count: int, newest: float = NOW - 1, spacing: float = 1.0, **more: t.Any) -> str:
    return "".join(line(newest - number * spacing, **more) for number in reversed(range(count)))


class Host:
    """A folder laid out as a host on which nginx runs."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        self.write("/commands.json", json.dumps({"now": NOW, "commands": {}}))
        self.write("/proc/uptime", "1000.00 2000.00\n")

    def write(self, path: str, content: t.Union[str, bytes], age_s: t.Optional[float] = 0) -> pathlib.Path:
        place = self.folder / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content if isinstance(content, bytes) else content.encode())
        os.utime(place, (NOW - (age_s or 0), NOW - (age_s or 0)))
        return place

    def link(self, path: str, target: str) -> None:
        place = self.folder / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(target)

    def master(self, pid: int = 813, command: str = "/usr/sbin/nginx -g daemon on; master_process on;", spaces: str = "") -> None:
        self.process(pid, 1, "nginx: master process " + command, spaces)
        for worker in (1, 2):
            self.process(pid + worker, pid, "nginx: worker process", spaces)

    def process(self, pid: int, parent: int, title: str, spaces: str = "", name: str = "nginx") -> None:
        self.write("/proc/%d/status" % pid, "Name:\t%s\nState:\tS (sleeping)\nPid:\t%d\nPPid:\t%d\nNSpid:\t%s\n" % (name, pid, parent, spaces or pid))
        self.write("/proc/%d/cmdline" % pid, title + "\0")
        self.write("/proc/%d/comm" % pid, name + "\n")

    def collect(self) -> Reading:
        reading = _nginx.collect(Machine(str(self.folder)), Options())
        valid(reading)
        return reading


@functools.lru_cache(maxsize=1)
def validator() -> jsonschema.Draft202012Validator:
    """The part of the published schema that is about nginx."""
    schema = json.loads((ROOT / "roles/diagnose/files/schemas/snapshot.json").read_text())
    return jsonschema.Draft202012Validator(schema["$defs"]["snapshot"]["properties"]["nginx"] | {"$defs": schema["$defs"]})


def valid(reading: Reading) -> None:
    """Every document is held against the schema that is published."""
    validator().validate(json.loads(json.dumps(reading.data)))


@pytest.fixture
def host(tmp_path: pathlib.Path) -> Host:
    return Host(tmp_path)


def rows(reading: Reading) -> t.Dict[str, t.Dict[str, t.Any]]:
    return {row["path"]: row for row in reading.data["logs"]}


SITE = "events {} http { access_log /var/log/nginx/access.log; server { listen 80; } }"


def test_a_recorded_nginx() -> None:
    reading = _nginx.collect(Machine(str(RECORDING)), Options())
    valid(reading)
    data = reading.data
    assert (reading.status, reading.reason) == ("ok", None)
    assert (data["config"], data["workers"], data["requests"], data["bytes"]) == ("/etc/nginx/nginx.conf", 2, 69, 9091)
    assert data["status"] == {"2xx": 22, "3xx": 2, "4xx": 41, "5xx": 4}
    assert {row["path"]: row["requests"] for row in data["paths"]} == {
        "/users/{n}": 40, "/v1/items/{n}": 12, "/": 9, "/app/orders/{n}/lines": 4, "/old": 2, "/admin": 1,
    }
    first = data["clients"][0]
    assert (first["address"], first["requests"], first["kind"], first["paths"]) == ("198.51.100.7", 40, "public", [{"path": "/users/{n}", "requests": 40}])
    assert {row["address"]: row["kind"] for row in data["clients"]}["10.1.2.3"] == "private"
    assert data["pairs"][0] == {"address": "198.51.100.7", "path": "/users/{n}", "requests": 40, "share": round(40 / 69, 4)}
    assert data["distinct_clients"] == 17
    assert {(row["path"], row["format"], row["lines"], row["unparsed"], row["status"]) for row in data["logs"]} == {
        ("/var/log/nginx/shop.log", "timed", 55, 0, "ok"), ("/var/log/nginx/api.json", "facts", 12, 0, "ok"),
        ("/var/log/nginx/access.log", "combined", 2, 0, "ok"),
    }


def test_no_nginx_is_absent(host: Host) -> None:
    host.process(5, 1, "grep nginx: master process", name="grep")
    host.process(6, 1, "nginx-exporter --scrape nginx: master process", name="nginx")
    host.process(7, 1, "nginx: worker process")
    assert host.collect() == Reading("absent", "no nginx runs here", None)


def test_the_window_against_the_hour_before(host: Host) -> None:
    host.master()
    host.write("/etc/nginx/nginx.conf", SITE)
    host.write("/var/log/nginx/access.log", lines(4000, NOW - 601, 1.0) + lines(3000, NOW, 0.2))
    data = host.collect().data
    assert (data["requests"], data["per_s"], data["covered_s"]) == (3000, 5.0, 600.0)
    assert data["before"] == {"requests": 3600, "per_s": 1.0, "covered_s": 3600.0}
    assert data["ratio"] == 5.0


def test_included_sites_are_links(host: Host) -> None:
    """As Debian lays them out; an absolute link is followed inside the host that is looked at."""
    host.master()
    host.write("/etc/nginx/nginx.conf", "http { include /etc/nginx/sites-enabled/*; include snippets/x.conf; }")
    host.write("/etc/nginx/snippets/x.conf", "set_real_ip_from 203.0.113.9;")
    host.write("/etc/nginx/sites-available/shop", "server { access_log /var/log/nginx/shop.log; }")
    host.write("/etc/nginx/sites-enabled/.hidden", "server { access_log /var/log/nginx/hidden.log; }")
    host.link("/etc/nginx/sites-enabled/shop", "/etc/nginx/sites-available/shop")
    host.write("/var/log/nginx/shop.log", lines(5))
    reading = host.collect()
    assert (reading.status, reading.data["requests"], list(rows(reading))) == ("ok", 5, ["/var/log/nginx/shop.log"])
    assert reading.data["clients"][0]["kind"] == "proxy"


@pytest.mark.parametrize(("command", "config"), [
    ("nginx -c /srv/n.conf", "/srv/n.conf"), ("/opt/x/nginx -p /srv/n -c conf/my.conf -g daemon off;", "/srv/n/conf/my.conf"),
    ("nginx -p /srv/n/", "/srv/n/conf/nginx.conf"),
    ("nginx -g daemon off;", "/usr/local/nginx/conf/nginx.conf"),
])
def test_the_configuration_that_runs(host: Host, command: str, config: str) -> None:
    host.master(command=command)
    host.write(config, "http { access_log logs/a.log; server {} }")
    prefix = "/srv/n" if "-p" in command else "/usr/local/nginx"
    host.write(prefix + "/logs/a.log", lines(3))
    reading = host.collect()
    assert (reading.data["config"], reading.data["requests"]) == (config, 3)


def test_the_log_that_is_written_without_being_told(host: Host) -> None:
    host.master()
    host.write("/etc/nginx/nginx.conf", "http { server { listen 80; } }")
    host.write("/srv/odd/access.log", lines(4))
    host.link("/proc/813/fd/5", "/srv/odd/access.log")
    host.link("/proc/813/fd/6", "socket:[1234]")
    assert rows(host.collect())["/srv/odd/access.log"]["lines"] == 4


def test_one_file_is_counted_once(host: Host) -> None:
    host.master()
    host.master(900)
    host.write("/etc/nginx/nginx.conf", "http { %s }" % " ".join("server { access_log /var/log/%s.log; }" % name for name in "abc"))
    host.write("/var/log/a.log", lines(10))
    host.link("/var/log/b.log", "/var/log/a.log")
    host.write("/var/log/c.log", lines(3))
    data = host.collect().data
    assert (data["requests"], data["workers"]) == (13, 4)


def test_what_is_estimated_is_said(host: Host) -> None:
    host.master()
    host.write("/etc/nginx/nginx.conf", SITE)
    host.write("/var/log/nginx/access.log", lines(70000, NOW - 601, 0.05, target="/" + "long/" * 12) + lines(60000, NOW, 0.0099, client="192.0.2.4"))
    reading = host.collect()
    assert (reading.status, reading.data["requests"]) == ("ok", 60000)
    row = rows(reading)["/var/log/nginx/access.log"]
    assert "every 3. block" in row["reason"] and "from samples" in row["reason"]
    assert reading.data["before"]["per_s"] == pytest.approx(20, rel=0.05)
    assert reading.data["bytes"] == pytest.approx(600000, rel=0.01)


def test_a_file_of_two_formats(host: Host) -> None:
    """A server without a format of its own writes to the file that others write to with a field more."""
    host.master()
    host.write("/etc/nginx/nginx.conf", """http { log_format main '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent '
        '"$http_referer" "$http_user_agent" "$http_x_forwarded_for" $request_time';
        access_log /var/log/a.log main; server { } server { access_log /var/log/a.log; } }""")
    text = lines(20, more=' "-" 0.500') + lines(20, client="192.0.2.4") + lines(20, more=' "-" 0.500')
    host.write("/var/log/a.log", "".join(sorted(text.splitlines(True), key=lambda one: one.split("[")[1])))
    reading = host.collect()
    assert (reading.status, reading.data["requests"], reading.data["bytes"]) == ("ok", 60, 600)
    assert {row["address"]: row["requests"] for row in reading.data["clients"]} == {"203.0.113.9": 40, "192.0.2.4": 20}
    assert reading.data["paths"][0]["mean_s"] == 0.5


def test_a_rotation_inside_the_window(host: Host) -> None:
    host.master()
    host.write("/etc/nginx/nginx.conf", SITE)
    everything = lines(5000, NOW - 1, 1.0).splitlines(True)
    host.write("/var/log/nginx/access.log", "".join(everything[-100:]))
    host.write("/var/log/nginx/access.log.1", "".join(everything[:-100]), 101)
    host.write("/var/log/nginx/access.log.2.gz", b"\x1f\x8b", 9000)
    reading = host.collect()
    data = reading.data
    assert (reading.status, data["requests"], data["covered_s"]) == ("ok", 600, 600.0)
    assert data["before"] == {"requests": 3600, "per_s": 1.0, "covered_s": 3600.0}


def test_a_log_that_was_just_emptied(host: Host) -> None:
    host.master()
    host.write("/etc/nginx/nginx.conf", SITE)
    host.write("/var/log/nginx/access.log", "")
    host.write("/var/log/nginx/access.log-20231114", lines(900), 1)
    data = host.collect().data
    assert (data["requests"], data["covered_s"], data["before"]["requests"]) == (600, 600.0, 300)


def test_a_part_of_the_window_that_was_compressed(host: Host) -> None:
    host.master()
    host.write("/etc/nginx/nginx.conf", SITE)
    host.write("/var/log/nginx/access.log", lines(100))
    host.write("/var/log/nginx/access.log.1.gz", b"\x1f\x8b", 101)
    reading = host.collect()
    assert (reading.status, reading.data["requests"], reading.data["covered_s"], reading.data["per_s"]) == ("partial", 100, 100.0, 1.0)
    assert "compressed" in (reading.reason or "")
    assert reading.data["before"] is None


def test_a_quiet_log_that_was_rotated_before_the_window(host: Host) -> None:
    host.master()
    host.write("/etc/nginx/nginx.conf", SITE)
    host.write("/var/log/nginx/access.log", lines(6))
    host.write("/var/log/nginx/access.log.1.gz", b"\x1f\x8b", 5000)
    reading = host.collect()
    assert (reading.status, reading.data["covered_s"], reading.data["per_s"]) == ("ok", 600.0, 0.01)


UNREADABLE = [
    ("access_log syslog:server=10.0.0.1;", "absent", "not to a file"),
    ("access_log /dev/stdout;", "absent", "not to a file"),
    ("access_log /var/log/a.gz combined gzip=5;", "absent", "compressed"),
    ("access_log /var/log/none.log;", "absent", "No such file"),
    ("access_log /var/log/folder;", "absent", "not a regular file"),
    ("access_log /var/log/fifo;", "absent", "not a regular file"),
    ("access_log /var/log/loop;", "absent", "symbolic links"),
    ("access_log /var/log/b.log nowhere;", "error", "not defined"),
    ("access_log /var/log/b.log untimed;", "partial", "no time"),
    ("access_log /var/log/b.log odd;", "partial", "matches its format"),
]


@pytest.mark.parametrize(("directive", "status", "reason"), UNREADABLE)
def test_a_log_that_cannot_be_read_is_said_and_not_zero(host: Host, directive: str, status: str, reason: str) -> None:
    host.master()
    host.write("/etc/nginx/nginx.conf", "http { log_format untimed '$remote_addr $request'; log_format odd '<$status $msec>'; server { %s } }" % directive)
    host.write("/var/log/b.log", lines(30))
    (host.folder / "var/log/folder").mkdir()
    os.mkfifo(host.folder / "var/log/fifo")
    host.link("/var/log/loop", "loop")
    reading = host.collect()
    assert reading.status == "partial"
    assert [row["status"] for row in reading.data["logs"]] == [status]
    assert reason in reading.data["logs"][0]["reason"] and reason in (reading.reason or "")
    if status != "partial" or "no time" in reason:
        assert (reading.data["requests"], reading.data["per_s"], reading.data["covered_s"]) == (None, None, None)
    else:
        assert reading.data["covered_s"] == 1.0, "one second is the least"


def test_where_errors_go_is_said(host: Host) -> None:
    host.master()
    host.write("/etc/nginx/nginx.conf", """error_log /var/log/nginx/error.log; http { access_log /var/log/a.log;
        server { error_log /srv/shop/odd crit; } server { error_log syslog:server=10.0.0.1 warn; location / { error_log stderr debug_http; } }
        server { error_log /var/log/none.log; error_log memory:32m debug; error_log /var/log/nginx/error.log; } }""")
    host.write("/var/log/a.log", lines(3))
    host.write("/var/log/nginx/error.log", "")
    host.write("/srv/shop/odd", "")
    found = [(row["path"], row["level"], row["status"]) for row in host.collect().data["error_logs"]]
    assert found == [
        ("/var/log/nginx/error.log", "error", "ok"), ("/srv/shop/odd", "crit", "partial"), ("syslog:server=10.0.0.1", "warn", "absent"),
        ("stderr", "debug", "absent"), ("/var/log/none.log", "error", "absent"), ("memory:32m", "debug", "absent")]


def test_the_error_log_that_is_written_without_being_told(host: Host) -> None:
    host.master()
    host.write("/etc/nginx/nginx.conf", "http { access_log /var/log/a.log; server { } }")
    host.write("/var/log/a.log", lines(3))
    assert [(row["path"], row["status"]) for row in host.collect().data["error_logs"]] == [("error.log", "absent")]
    host.write("/var/log/nginx/error.log", "")
    assert [(row["path"], row["level"], row["status"]) for row in host.collect().data["error_logs"]] == [("/var/log/nginx/error.log", "error", "ok")]


def test_conditions_and_silent_servers_are_said(host: Host) -> None:
    host.master()
    host.write("/etc/nginx/nginx.conf", "http { server { access_log /var/log/a.log combined if=$loud; } server { server_name q.example; access_log off; } }")
    host.write("/var/log/a.log", lines(9))
    reading = host.collect()
    assert reading.data["requests"] == 9
    assert "$loud" in (reading.reason or "")
    assert "q.example" in rows(reading)["off"]["reason"]


def test_a_name_that_depends_on_the_request(host: Host) -> None:
    host.master()
    host.write("/etc/nginx/nginx.conf", "http { server { access_log /var/log/${host}.access.log; } }")
    host.write("/var/log/a.example.access.log", lines(4))
    host.write("/var/log/b.example.access.log", lines(5))
    host.write("/var/log/error.log", lines(50))
    reading = host.collect()
    assert (reading.data["requests"], reading.status) == (9, "partial")
    assert sorted(rows(reading)) == ["/var/log/a.example.access.log", "/var/log/b.example.access.log"]


@pytest.mark.parametrize("config", [None, "", "http { server {", "\x00\xff{{ }}", "http { server { access_log /var/log/a.log; } } }"])
def test_a_configuration_that_is_broken_or_gone(host: Host, config: t.Optional[str]) -> None:
    host.master()
    host.write("/var/log/a.log", lines(9))
    if config is not None:
        host.write("/etc/nginx/nginx.conf", config)
    reading = host.collect()
    assert reading.status in ("partial", "error")
    assert reading.reason
    assert reading.data["requests"] == (9 if config and "a.log" in config else None)


def test_an_nginx_in_a_container(host: Host) -> None:
    """Its files are below /proc/PID/root, and its absolute links stay there."""
    host.master(spaces="813\t7")
    root = "/proc/813/root"
    host.write(root + "/etc/nginx/nginx.conf", "http { access_log /var/log/nginx/access.log; server {} server { access_log /var/log/out.log; } }")
    host.write(root + "/data/real.log", lines(7))
    host.link(root + "/var/log/nginx", "/data")
    host.link(root + "/data/access.log", "/data/real.log")
    host.link(root + "/var/log/out.log", "/dev/stdout")
    host.write("/data/real.log", lines(100))
    host.write("/etc/nginx/nginx.conf", "http { access_log /data/real.log; }")
    host.write("/proc/813/net/fib_trie", "   |-- 203.0.113.9\n      /32 host LOCAL\n")
    reading = host.collect()
    assert (reading.data["requests"], reading.data["config"]) == (7, "/etc/nginx/nginx.conf")
    assert reading.data["clients"][0]["kind"] == "own"
    assert rows(reading)["/var/log/out.log"]["status"] == "absent"


def test_who_speaks_for_many_is_a_proxy(host: Host) -> None:
    host.master()
    host.write("/etc/nginx/nginx.conf", "http { log_format m '%s \"$http_x_forwarded_for\"'; access_log /var/log/a.log m; server {} }" % (
        '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent"'))
    text = "".join(line(NOW - 50 + number, "198.51.100.1", more=' "192.0.2.%d"' % number) for number in range(30))
    host.write("/var/log/a.log", text + lines(20, client="198.51.100.2", more=' "-"'))
    kinds = {row["address"]: row["kind"] for row in host.collect().data["clients"]}
    assert kinds == {"198.51.100.1": "proxy", "198.51.100.2": "public"}


def test_hostile_lines_stay_text(host: Host) -> None:
    generator = random.Random(9)
    host.master()
    host.write("/etc/nginx/nginx.conf", SITE)
    evil = "/\x1b[31m{{lookup('pipe','id')}}\u202e/redis://u:hunter2secret@h/x"
    junk = [b"\x00" * 100, b"\xff\xfe junk", b"z" * 1048576, b"\x1b]0;x\x07", bytes(generator.randrange(256) for dummy in range(3000)).replace(b"\n", b"")]
    good = [line(NOW - 300 + number, target=evil if number % 2 else "/ok").encode() for number in range(300)]
    data = b"".join(one + (generator.choice(junk) + b"\n" if index % 15 == 7 else b"") for index, one in enumerate(good))
    host.write("/var/log/nginx/access.log", data)
    reading = host.collect()
    text = json.dumps(reading, ensure_ascii=False)
    assert reading.data["requests"] == 300
    assert rows(reading)["/var/log/nginx/access.log"]["unparsed"] == 20
    assert not re.search("[\x00-\x1f\x7f-\x9f\u202e\ud800-\udfff]", text)
    assert "hunter2secret" not in text
    assert {row["path"] for row in reading.data["paths"]} >= {"/ok"}


def test_bounds_of_bytes(host: Host) -> None:
    host.master()
    host.write("/etc/nginx/nginx.conf", SITE)
    host.write("/var/log/nginx/access.log", lines(60000, NOW - 1, 0.01))
    reading = _nginx.measure(Machine(str(host.folder)), Options(), 1000000, 60.0)
    valid(reading)
    assert reading.status == "partial" and "only the newest" in (reading.reason or "")
    assert 50 < reading.data["covered_s"] < 300
    assert reading.data["per_s"] == pytest.approx(100, rel=0.05)


def _as_nobody(folder: str) -> str:
    """Collect in a process without privileges; the import path is this process's."""
    program = (
        "import json, os, sys; sys.path[:0] = %r\n"
        "from ansible_collections.oncall.pressure.plugins.module_utils._components import _nginx\n"
        "from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine\n"
        "from ansible_collections.oncall.pressure.plugins.module_utils._host._collect import Options\n"
        # the interpreter's own folder may be closed to others: everything is imported by now
        "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "print(json.dumps(_nginx.collect(Machine(%r), Options())))\n"
    ) % (sys.path, folder)
    return subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user: run the tests as root to check this")
@pytest.mark.parametrize(("path", "status"), [("var/log/nginx/access.log", "denied"), ("etc/nginx/nginx.conf", "denied")])
def test_without_privileges(path: str, status: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        host = Host(pathlib.Path(folder))
        host.master()
        host.write("/etc/nginx/nginx.conf", SITE)
        host.write("/var/log/nginx/access.log", lines(9))
        os.chmod(host.folder / path, 0o600)
        found, reason, data = json.loads(_as_nobody(folder))
    assert found == status
    assert "ermission" in reason and path in reason
    assert data["requests"] is None


class OneNginx(Machine):
    """This machine, with only one nginx on it: others may run here too."""

    def __init__(self, pid: int) -> None:
        super().__init__()
        self._pid = pid

    def names(self, path: str) -> t.List[str]:
        found = super().names(path)
        if path != "/proc":
            return found
        kept = []
        for name in found:
            status = (self.text_or_none("/proc/%s/status" % name) or "") if name.isdigit() else ""
            if name == str(self._pid) or "\nPPid:\t%d\n" % self._pid in status:
                kept.append(name)
        return kept


@contextlib.contextmanager
def running(folder: pathlib.Path, site: str) -> t.Iterator[t.Tuple[int, int]]:
    """An nginx of our own on a free port of the loopback; its pid and port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    for name in ("logs", "tmp"):
        (folder / name).mkdir()
    temporary = " ".join("%s_temp_path tmp/%s;" % (name, name) for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    (folder / "site.conf").write_text(site.replace("PORT", str(port)))
    (folder / "nginx.conf").write_text(
        "daemon off; worker_processes 2; pid tmp/pid; error_log logs/error.log; events { worker_connections 64; } http { %s include site.conf; }" % temporary)
    os.chmod(folder, 0o755)
    process = subprocess.Popen([str(NGINX), "-p", str(folder), "-e", "logs/error.log", "-c", "nginx.conf"], stderr=subprocess.PIPE)
    try:
        for dummy in range(100):
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            if process.poll() is not None:
                raise RuntimeError("nginx did not start: %r" % (process.stderr.read() if process.stderr else b""))
            time.sleep(0.1)
        yield process.pid, port
    finally:
        process.terminate()
        process.communicate()


def ask(port: int, client: str, target: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10, source_address=(client, 0))
    try:
        connection.request("GET", target)
        answer = connection.getresponse()
        answer.read()
        return answer.status
    finally:
        connection.close()


@pytest.mark.skipif(NGINX is None, reason="there is no nginx here: apt-get install nginx-light")
def test_a_running_nginx(tmp_path: pathlib.Path) -> None:
    seed = random.randrange(10**6)
    print("seed", seed)
    generator = random.Random(seed)
    site = """
        log_format kv 't=$time_iso8601 ip=$remote_addr rt=$request_time status=$status bytes=$body_bytes_sent request="$request"';
        log_format facts escape=json '{"ip":"$remote_addr","at":$msec,"uri":"$request_uri","status":"$status"}';
        access_log logs/main.log kv;
        server { listen 127.0.0.1:PORT;
            location / { return 200 "ok"; } location /gone/ { return 410; }
            location /json/ { access_log logs/json.log facts; return 204; } location /silent { access_log off; return 204; } }"""
    prefix = "/" + "".join(generator.choice("abcdefgh") for dummy in range(6))
    sent: t.Dict[t.Tuple[str, str], int] = {}
    with running(tmp_path, site) as (pid, port):
        for dummy in range(150):
            client = "127.0.0.%d" % generator.choice((2, 2, 2, 3, 4))
            path = generator.choice((prefix, "/gone", "/json"))
            ask(port, client, "%s/%d?q=%d" % (path, generator.randrange(1000), generator.randrange(1000)))
            sent[client, path + "/{n}"] = sent.get((client, path + "/{n}"), 0) + 1
        for dummy in range(5):
            ask(port, "127.0.0.9", "/silent")
        time.sleep(0.2)
        reading = _nginx.collect(OneNginx(pid), Options())
    valid(reading)
    data = reading.data
    assert (reading.status, data["main_pid"], data["workers"], data["config"]) == ("ok", pid, 2, str(tmp_path / "nginx.conf"))
    assert data["requests"] == 150
    assert {(row["address"], row["path"]): row["requests"] for row in data["pairs"]}.items() <= sent.items()
    for key, place in (("clients", 0), ("paths", 1)):
        expected: t.Dict[str, int] = {}
        for names, count in sent.items():
            expected[names[place]] = expected.get(names[place], 0) + count
        assert {row["address" if key == "clients" else "path"]: row["requests"] for row in data[key]} == expected
    assert {row["kind"] for row in data["clients"]} == {"loopback"}
    gone = sum(count for names, count in sent.items() if names[1] == "/gone/{n}")
    assert data["status"]["4xx"] == gone
    assert {pathlib.Path(row["path"]).name: row["unparsed"] for row in data["logs"]} == {"main.log": 0, "json.log": 0}
