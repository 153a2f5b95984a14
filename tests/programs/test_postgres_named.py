# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""PostgreSQL servers that people name by a connection string: real ones that work, refuse, are not there, hang and talk rubbish.

The password is drawn for each test, and looked for in whatever is said, in the arguments and the environment of every process, and on disks.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import typing as t
from pathlib import Path

import jsonschema
import pytest
from test_postgres import BINS, LATEST_S, SCHEMA, WINDOW_S, Cluster, fired

from ansible_collections.oncall.pressure.plugins.module_utils._components import _postgres
from ansible_collections.oncall.pressure.plugins.module_utils._host._collect import Options, Reading, run_all
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine
from ansible_collections.oncall.pressure.plugins.module_utils._parse import _postgres_dsn

ROOT = Path(__file__).resolve().parents[2]

pytestmark = [
    pytest.mark.skipif(not BINS, reason="there is no PostgreSQL here: apt-get install postgresql"),
    pytest.mark.skipif(os.geteuid() != 0, reason="it looks into the processes of others: run it as root"),
]


class Named:
    """A server on an address, a role of it that may look at everything, and the string that names both."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        # quotes, a percent sign, what is special in a URI and what is not ASCII
        self.password = "pw'%\\@:/?#é" + secrets.token_hex(8)
        cluster.shop()
        cluster.sql("CREATE EXTENSION pg_stat_statements", "shop")
        quoted = "'" + self.password.replace("'", "''") + "'"
        cluster.sql("SET password_encryption = 'scram-sha-256'; SET standard_conforming_strings = on;"
                    " CREATE ROLE monitor LOGIN IN ROLE pg_monitor PASSWORD %s; CREATE ROLE plain LOGIN PASSWORD %s" % (quoted, quoted))
        cluster.trust("local all all peer map=any\nhost all all 127.0.0.1/32 scram-sha-256")

    def string(self, **other: t.Any) -> str:
        """A URI that names it."""
        rows = {"user": "monitor", "password": self.password, "host": "127.0.0.1", "port": self.cluster.port, "name": "shop", **other}
        coded = {key: "".join("%%%02X" % byte for byte in str(value).encode()) if key in ("user", "password") else value for key, value in rows.items()}
        return "postgresql://%(user)s:%(password)s@%(host)s:%(port)s/%(name)s" % coded

    def collect(self, *strings: str, found: bool = False) -> Reading:
        """What the collector says, in a child as in a snapshot; nothing that can be seen meanwhile or afterwards holds the password."""
        options = Options(
            window_s=WINDOW_S, daemons={"postgres": self.cluster.pids()} if found else {}, postgres_dsn=_postgres_dsn.targets(list(strings)))
        started = time.monotonic()
        with watched(self.password) as seen:
            row = run_all({"postgres": _postgres.collect}, Machine(), options, LATEST_S).rows["postgres"]
        assert time.monotonic() - started < LATEST_S
        assert seen["looks"] and seen["leaks"] == []
        reading = Reading(row["status"], row["reason"], row["data"])
        print(reading.status, reading.reason, seen)
        jsonschema.Draft202012Validator(SCHEMA["$defs"]["snapshot"]["properties"]["postgres"]).validate(reading.data)
        for text in (json.dumps(reading), json.dumps(reading, ensure_ascii=False)):
            assert self.password not in text and self.password[-16:] not in text
        self.uids, self.looks = seen["uids"], seen["looks"]
        return reading


@contextlib.contextmanager
def watched(password: str) -> t.Iterator[t.Dict[str, t.Any]]:
    """Look at every process again and again: who runs psql, and where the password's end (which no quoting changes) stands."""
    seen: t.Dict[str, t.Any] = {"looks": 0, "leaks": [], "uids": set()}
    needle, ended = password[-16:].encode(), threading.Event()

    def look() -> None:
        while not ended.is_set():
            for name in os.listdir("/proc"):
                if not name.isdecimal() or int(name) == os.getpid():
                    continue
                with contextlib.suppress(OSError):
                    command = Path("/proc", name, "cmdline").read_bytes()
                    around = Path("/proc", name, "environ").read_bytes()
                    if needle in command or needle in around:
                        seen["leaks"].append(name)
                    if b"PGSERVICE=oncall_pressure" in around and os.path.basename(os.readlink("/proc/%s/exe" % name)) == "psql":
                        seen["uids"].add(os.stat("/proc/" + name).st_uid)
            seen["looks"] += 1
            time.sleep(0.02)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        ended.set()
        thread.join()
    for place in (tempfile.gettempdir(), "/dev/shm", "/var/tmp", "/run"):
        for path in Path(place).glob("*"):
            with contextlib.suppress(OSError):
                if path.is_file() and path.stat().st_size < 1048576 and needle in path.read_bytes():
                    seen["leaks"].append(str(path))


@pytest.fixture(name="cluster", params=BINS[-1:])
def _cluster(request: pytest.FixtureRequest) -> t.Iterator[Cluster]:
    made = Cluster(request.param, listen_addresses="'127.0.0.1'")
    try:
        yield made
    finally:
        made.stop()


@pytest.fixture(name="named")
def _named(cluster: Cluster) -> Named:
    return Named(cluster)


def test_works_elsewhere(named: Named) -> None:
    cluster = named.cluster
    root = cluster.hold("BEGIN; UPDATE orders SET note = 'x' WHERE id = 1;", application="import")
    for dummy in range(3):
        cluster.hold("UPDATE orders SET note = 'y' WHERE id = 1;", wait=False)
    cluster.until(lambda: cluster.sql("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'") == "3")
    time.sleep(6)
    cluster.hold("SELECT count(*) FROM orders WHERE note = 'n1';SELECT pg_sleep(0.1);" * 60, wait=False)
    time.sleep(0.5)
    reading = named.collect(named.string())
    row = reading.data[0]
    assert (reading.status, row["main_pid"], row["address"], row["database"], row["source"]) == (
        "ok", None, "127.0.0.1:%d" % cluster.port, "shop", "server")
    assert [(one["pid"], one["blocks"]) for one in row["roots"]] == [(root, 3)] and all(one["waited_s"] >= 5 for one in row["blocking"])
    assert [one for one in row["statements"] if one["query"].startswith("SELECT count")] and row["tables"][0]["name"] == "public.orders"
    assert "postgres.blocked_by_lock" in fired(reading)
    # a user that nobody is, and neither root nor the one that services without privileges share
    assert named.looks > 10 and named.uids and not named.uids & {0, 65534, os.stat(str(cluster.data)).st_uid}


def test_works_in_place_of_its_owner(named: Named) -> None:
    named.cluster.trust("local all all reject\nhost all all 127.0.0.1/32 scram-sha-256")
    assert named.collect(found=True).status == "denied"
    reading = named.collect(named.string(), found=True)
    assert reading.status == "ok" and [row["main_pid"] for row in reading.data] == [named.cluster.process.pid]
    assert (reading.data[0]["address"], reading.data[0]["port"]) == ("127.0.0.1:%d" % named.cluster.port, named.cluster.port)


def test_works_by_words_on_its_socket(named: Named) -> None:
    named.cluster.trust("local all monitor scram-sha-256\nlocal all all peer map=any")
    quoted = named.password.replace("\\", "\\\\").replace("'", "\\'")
    reading = named.collect("host=%s port=%d user=monitor password='%s'" % (named.cluster.folder, named.cluster.port, quoted))
    assert reading.status == "ok" and reading.data[0]["address"] == "unix:%s/.s.PGSQL.%d" % (named.cluster.folder, named.cluster.port)


def test_works_without_the_right_to_see(named: Named) -> None:
    named.cluster.hold("BEGIN; SELECT 1;")
    reading = named.collect(named.string(user="plain"))
    assert reading.status == "partial" and "grant it pg_monitor" in (reading.reason or "")
    assert reading.data[0]["sessions"]["total"] == 1 and reading.data[0]["sessions"]["idle_in_transaction"] is None


def test_works_beside_one_that_does_not(named: Named) -> None:
    reading = named.collect(named.string(), named.string(port=1), found=True)
    assert reading.status == "partial" and [row["status"] for row in reading.data] == ["ok", "error"]
    assert reading.reason == "127.0.0.1:1: nothing listens there"


@pytest.mark.parametrize(("other", "status", "reason"), [
    ({"password": "wrong"}, "denied", "password authentication failed"), ({"password": ""}, "denied", "asks for a password"),
    ({"user": "nobody-such"}, "denied", "authentication failed"), ({"name": "elsewhere"}, "denied", "does not exist"),
    ({"port": 1}, "error", "nothing listens there"), ({"host": "does-not-exist.invalid"}, "error", "address"),
])
def test_denied_or_absent(named: Named, other: t.Dict[str, t.Any], status: str, reason: str) -> None:
    reading = named.collect(named.string(**other))
    assert reading.status == status and reason in (reading.reason or "")
    assert (reading.data[0]["sessions"], reading.data[0]["roots"]) == (None, None) and fired(reading) == {}


def test_denied_where_the_server_speaks_no_tls(named: Named) -> None:
    reading = named.collect(named.string() + "?sslmode=require")
    assert reading.status == "error" and "sslmode" in (reading.reason or "")


def test_hangs(named: Named) -> None:
    os.kill(named.cluster.process.pid, signal.SIGSTOP)
    reading = named.collect(named.string())
    assert reading.status == "error" and "did not answer within" in (reading.reason or "")


#: A message of the protocol: its letter, its length, its text.
def _message(letter: bytes, body: bytes) -> bytes:
    return letter + (len(body) + 4).to_bytes(4, "big") + body


ANSWERS: t.Dict[str, t.Optional[bytes]] = {
    "nothing": b"", "silence": None, "another program": b"HTTP/1.1 400 Bad Request\r\n\r\n", "zeros": b"\0" * 65536,
    "let in, then noise": _message(b"R", b"\0" * 4) + _message(b"Z", b"I") + b"T\xff\xff\xff\xff" + bytes(range(256)) * 16,
}


@pytest.mark.parametrize("kind", ANSWERS)
def test_rubbish(named: Named, kind: str) -> None:
    with standin(lambda connection: _say(connection, ANSWERS[kind])) as port:
        reading = named.collect(named.string(port=port))
    assert reading.status == "error" and reading.data[0]["sessions"] is None


def test_rubbish_that_repeats_the_password(named: Named) -> None:
    """It asks for the password in the clear. A client of 16 or newer does not give it, and what an older one gave is not repeated in its name."""
    told: t.List[bytes] = []

    def echo(connection: socket.socket) -> None:
        _greet(connection)
        connection.sendall(_message(b"R", (3).to_bytes(4, "big")))
        said = connection.recv(4096)
        told.append(said)
        text = said[5:].rstrip(b"\0")
        connection.sendall(_message(b"E", b"SFATAL\0VFATAL\0C28P01\0Mno: " + text + b" " + text + b"\0\0"))

    with standin(echo) as port:
        reading = named.collect(named.string(port=port))
    version = int(subprocess.run([BINS[-1] + "/psql", "--version"], check=True, capture_output=True, text=True).stdout.split()[2].split(".")[0])
    assert reading.status in ("denied", "error") and any(named.password.encode() in said for said in told) is (version < 16)
    assert version >= 16 or "no: *** ***" in (reading.reason or "")


def _greet(connection: socket.socket) -> None:
    """Take the first message; one that asks for TLS is told that there is none."""
    if connection.recv(4096)[4:8] == (80877103).to_bytes(4, "big"):
        connection.sendall(b"N")
        connection.recv(4096)


def _say(connection: socket.socket, answer: t.Optional[bytes]) -> None:
    _greet(connection)
    if answer is None:
        time.sleep(15)
    connection.sendall(answer or b"")


@contextlib.contextmanager
def standin(speak: t.Callable[[socket.socket], None]) -> t.Iterator[int]:
    """Something that listens on a port of this host; the port."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(5)

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, dummy = listener.accept()
                with contextlib.suppress(OSError):
                    speak(connection)
                connection.close()

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield int(listener.getsockname()[1])
    finally:
        listener.close()


PLAY = """
- hosts: all
  gather_facts: false
  tasks:
    - oncall.pressure.snapshot:
        window: 0.5
        postgres_dsn: "{{ pressure_postgres_dsn }}"
      register: first
    - oncall.pressure.postgres_info:
        window: 0.5
        postgres_dsn: "{{ pressure_postgres_dsn }}"
      register: second
    - oncall.pressure.postgres_info:
        postgres_dsn: "{{ pressure_postgres_dsn[0] }}&options=x"
      # it is refused, and must not repeat what it was given
      ignore_errors: true
    - ansible.builtin.copy:
        content: "{{ [first, second] | to_json }}"
        dest: "{{ folder }}/returned.json"
        mode: "0600"
"""


def test_nothing_is_said_however_much_is_asked_for(named: Named, tmp_path: Path) -> None:
    """All that a run with -vvvv says and returns, and what processes show meanwhile."""
    strings = [named.string() + "?sslmode=prefer", named.string(name="elsewhere")]
    (tmp_path / "play.yml").write_text(PLAY, encoding="utf-8")
    variables = {"pressure_postgres_dsn": strings, "folder": str(tmp_path), "ansible_python_interpreter": sys.executable}
    (tmp_path / "vars.json").write_text(json.dumps(variables), encoding="utf-8")
    environment = {key: value for key, value in os.environ.items() if not key.startswith("ANSIBLE_")}
    collections = next(path for path in sys.path if (Path(path) / "ansible_collections" / "oncall" / "pressure").exists())
    environment.update(ANSIBLE_CONFIG=str(ROOT / "ansible.cfg"), ANSIBLE_COLLECTIONS_PATH=collections, LC_ALL="C.UTF-8", ANSIBLE_DEBUG="1")
    with watched(named.password) as seen:
        done = subprocess.run(
            [str(Path(sys.executable).parent / "ansible-playbook"), "play.yml", "-i", "db-1,", "-c", "local", "-e", "@vars.json", "-vvvv", "--diff"],
            cwd=str(tmp_path), env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout[-3000:]
    returned = (tmp_path / "returned.json").read_text(encoding="utf-8")
    # this host may have other servers
    for rows in (json.loads(returned)[0]["snapshot"]["postgres"], json.loads(returned)[1]["postgres"]):
        assert [row["status"] for row in rows if row["address"] == "127.0.0.1:%d" % named.cluster.port] == ["ok", "denied"]
    assert "has a word that is not taken" in done.stdout
    leaked = [line for line in (done.stdout + done.stderr + returned).splitlines() if named.password[-16:] in line]
    assert leaked == [] and seen["leaks"] == []
