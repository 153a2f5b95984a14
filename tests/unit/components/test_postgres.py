# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The collector of PostgreSQL, on a host made of files and on what psql said of PostgreSQL 13.23, 15.18 and 17.10.

Real servers are in tests/programs/test_postgres.py.
"""

from __future__ import annotations

import copy
import json
import os
import random
import stat
import typing as t
from pathlib import Path

import jsonschema
import pytest

from ansible_collections.oncall.pressure.plugins.module_utils._components import _postgres, _postgres_server, _postgres_sql, _snapshot
from ansible_collections.oncall.pressure.plugins.module_utils._host._collect import Options, Reading
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import As, Machine, Outcome
from ansible_collections.oncall.pressure.plugins.module_utils._parse import _postgres_dsn

RECORDINGS = sorted((Path(__file__).resolve().parents[1] / "recordings" / "postgres").glob("*.out"))
SCHEMA = json.loads((Path(__file__).resolve().parents[3] / "roles/diagnose/files/schemas/snapshot.json").read_text(encoding="utf-8"))
EXAMPLES = int(os.environ.get("PRESSURE_EXAMPLES", "200"))
REFUSED = b'psql: error: connection to server on socket "/run/postgresql/.s.PGSQL.5432" failed: '


class Host(Machine):
    """A recording whose sockets are sockets, and whose psql says what it is told to."""

    def __init__(self, folder: Path) -> None:
        (folder / "commands.json").write_text(json.dumps({"euid": 0}), encoding="utf-8")
        super().__init__(str(folder))
        self.folder = folder
        self.pids: t.List[int] = []
        self.sockets: t.Dict[str, t.Tuple[int, int]] = {"/run/postgresql/.s.PGSQL.5432": (stat.S_IFSOCK | 0o777, 110)}
        self.says: t.List[Outcome] = []
        self.ran: t.List[t.Tuple[t.Tuple[str, ...], t.Dict[str, str], As]] = []
        self.user = 0
        self.handed: t.Optional[t.Tuple[str, bytes]] = None
        self.file("/etc/passwd", "root:x:0:0::/root:/bin/sh\npostgres:x:110:115::/var/lib/postgresql:/bin/sh\n")

    def file(self, path: str, text: str) -> None:
        place = self.folder / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text, encoding="utf-8")

    def process(self, pid: int, ppid: int, title: str, uid: int = 110, state: str = "S") -> None:
        self.pids.append(pid)
        self.file("/proc/%d/stat" % pid, "%d (postgres) %s %d %s\n" % (pid, state, ppid, " ".join(["0"] * 17 + [str(pid)] + ["0"] * 30)))
        self.file("/proc/%d/cmdline" % pid, title.replace(" ", "\0") if title.startswith("/") else title + "\0" * 5)
        self.file("/proc/%d/status" % pid, "Name:\tpostgres\nUid:\t%d\t%d\t%d\t%d\nGid:\t115\t115\t115\t115\n" % (uid, uid, uid, uid))

    def server(self, pid: int = 800, version: str = "15", port: int = 5432, folder: str = "/run/postgresql", uid: int = 110) -> None:
        self.process(pid, 1, "/usr/lib/postgresql/15/bin/postgres -D /data", uid)
        self.file("/proc/%d/cwd/PG_VERSION" % pid, version + "\n")
        self.file("/proc/%d/cwd/postmaster.pid" % pid, "%d\n/data\n1\n%d\n%s\n\n 1 1\nready   \n" % (pid, port, folder))

    def stat(self, path: str) -> os.stat_result:
        if path in self.sockets:
            mode, uid = self.sockets[path]
            return os.stat_result((mode, 0, 0, 1, uid, 0, 0, 0, 0, 0))
        return super().stat(path)

    def euid(self) -> int:
        return self.user

    def run(
        self, argv: t.Sequence[str], timeout_s: float = 5.0, limit: int = 1048576, environment: t.Optional[t.Dict[str, str]] = None,
        who: t.Optional[As] = None,
        handed: t.Optional[t.Tuple[str, bytes]] = None,
    ) -> Outcome:
        assert environment is not None and who is not None
        self.handed = handed
        self.ran.append((tuple(argv), environment, who))
        if not self.says:
            raise FileNotFoundError("psql")
        return self.says.pop(0)

    def collect(self) -> Reading:
        reading = _postgres.collect(self, Options(window_s=1.0, daemons={"postgres": tuple(self.pids)}))
        jsonschema.Draft202012Validator(SCHEMA["$defs"]["snapshot"]["properties"]["postgres"]).validate(json.loads(json.dumps(reading.data)))
        assert (reading.reason is None) is (reading.status == "ok")
        return reading


@pytest.fixture(name="host")
def _host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def said(out: bytes = b"", err: bytes = b"", status: t.Optional[int] = 0, timed_out: bool = False) -> Outcome:
    return Outcome(status, out, err, timed_out)


@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.stem)
def test_what_a_server_says(host: Host, path: Path) -> None:
    host.server(version=path.stem.split(".")[0])
    host.process(801, 800, "postgres: shop shop [local] idle")
    host.says = [said(path.read_bytes())]
    reading = host.collect()
    row = reading.data[0]
    assert (reading.status, row["version"], row["port"], row["database"], row["usable"], row["source"]) == ("ok", path.stem, 5432, "shop", 9, "server")
    assert (row["sessions"]["total"], row["sessions"]["idle_in_transaction"], row["sessions"]["waiting"]) == (5, 1, 2)
    assert [(one["state"], one["blocks"], one["application"], one["holds"]) for one in row["roots"]] == [
        ("idle in transaction", 2, "import", ["RowExclusiveLock on public.orders"])]
    assert all(one["root_pid"] == row["roots"][0]["pid"] and one["relation"] == "public.orders" and one["waited_s"] > 0 for one in row["blocking"])
    assert row["statements"] and row["statements_reason"] is None and row["tables"][0]["name"] == "public.orders"
    assert [one["name"] for one in row["databases"]] == ["shop"] and row["databases"][0]["sessions"] == 5
    assert "kreditkarte" not in json.dumps(reading)


def test_how_it_is_asked(host: Host) -> None:
    host.server()
    host.process(801, 800, "postgres: shop shop=x [local] SELECT")
    host.file("/proc/800/environ", "POSTGRES_PASSWORD=geheim\0POSTGRES_USER=boss\0")
    host.says = [said(RECORDINGS[1].read_bytes())]
    host.collect()
    words, environment, who = host.ran[0]
    assert words[:10] == ("psql", "-X", "-q", "-A", "-t", "-w", "-h", "/run/postgresql", "-p", "5432") and set(words[10::2]) == {"-c"}
    assert (environment["PGDATABASE"], environment["PGUSER"], environment["PGREQUIREPEER"]) == ("shop=x", "postgres", "postgres")
    assert "search_path=pg_catalog" in environment["PGOPTIONS"] and "event_triggers" not in environment["PGOPTIONS"]
    assert who[:3] == (110, 115, ()) and "geheim" not in json.dumps([words, environment])
    assert "event_triggers=off" in _postgres_sql.options(17, 2.0) and not [text for text in _postgres_sql.statements(13, 1.0, 2.0) if "waitstart" in text]


def test_the_first_of_many_parents(host: Host) -> None:
    """A child whose postmaster is gone, something of the same name, and one of root's are no servers."""
    host.process(700, 1, "postgres: shop shop [local] idle")
    host.process(701, 1, "/usr/bin/postgres --single")
    host.server(900, port=5433)
    host.server(800)
    host.server(600, uid=0)
    host.process(901, 900, "postgres: shop shop [local] idle", state="D")
    found = _postgres_server.servers(host, {"postgres": tuple(host.pids)})
    assert [(server.pid, server.uid, server.titles) for server in found] == [(800, 110, ()), (900, 110, ())]


def test_several_servers(host: Host) -> None:
    host.server(800)
    host.server(900, port=5433)
    host.says = [said(RECORDINGS[1].read_bytes())]
    reading = host.collect()
    assert reading.status == "partial" and [row["status"] for row in reading.data] == ["ok", "error"]
    assert (reading.reason or "").startswith("port 5433: its socket in /run/postgresql: No such file")
    assert "pg_sleep(0.5)" in " ".join(host.ran[0][0]), "they share the window"


NOT_ASKED = [
    ("12", 5432, "/run/postgresql", 0, "partial", "PostgreSQL 12 is older than 13"),
    ("15", 5432, "", 0, "denied", "listens on no Unix socket"),
    ("15", 5432, "/run/other", 0, "error", "No such file"),
    ("15", 5432, "/run/postgresql", 1000, "denied", "become root, or the user postgres"),
    ("x", 5432, "/run/postgresql", 0, "error", "PG_VERSION"),
]


@pytest.mark.parametrize(("version", "port", "folder", "euid", "status", "reason"), NOT_ASKED)
def test_what_is_not_asked(host: Host, version: str, port: int, folder: str, euid: int, status: str, reason: str) -> None:
    host.server(800, version, port, folder)
    host.process(801, 800, "postgres: shop shop [local] UPDATE waiting")
    host.process(802, 800, "postgres: shop shop [local] idle in transaction")
    host.process(803, 800, "postgres: walwriter ")
    host.user = euid
    reading = host.collect()
    row = reading.data[0]
    assert (reading.status, row["status"], row["source"], host.ran) == (status, status, "titles", []) and reason in (reading.reason or "")
    assert {name: row["sessions"][name] for name in ("total", "active", "idle", "idle_in_transaction", "waiting")} == {
        "total": 2, "active": 1, "idle": 0, "idle_in_transaction": 1, "waiting": 1}
    assert row["by_user"] == [{"name": "shop", "sessions": 2, "active": 1, "idle_in_transaction": 1}] and row["roots"] is None


@pytest.mark.parametrize(("mode", "uid"), [(stat.S_IFREG | 0o777, 110), (stat.S_IFSOCK | 0o777, 0), (stat.S_IFSOCK | 0o777, 65534), (stat.S_IFIFO, 110)])
def test_a_socket_of_somebody_else(host: Host, mode: int, uid: int) -> None:
    host.server()
    host.sockets["/run/postgresql/.s.PGSQL.5432"] = (mode, uid)
    reading = host.collect()
    assert reading.status == "denied" and "not trusted" in (reading.reason or "") and host.ran == []


REFUSALS = [
    (REFUSED + b'FATAL:  Peer authentication failed for user "postgres"\n', "denied", "let it in", False),
    (REFUSED + b"FATAL:  sorry, too many clients already\n", "denied", "too many clients", True),
    (REFUSED + b"FATAL:  remaining connection slots are reserved for roles with the SUPERUSER attribute\n", "denied", "slots", True),
    (REFUSED + b"fe_sendauth: no password supplied\n", "denied", "asks its owner for a password", False),
    (REFUSED + b"timeout expired\n", "error", "did not answer within 2 s", False),
    (REFUSED + b"Connection refused\n\tIs the server running locally and accepting connections on that socket?\n", "error", "Connection refused", False),
    (REFUSED + b"FATAL:  the database system is starting up\n", "denied", "starting up", False),
    (b"ERROR:  canceling statement due to lock timeout\n" * 9, "error", "answered nothing: ERROR", False),
    (b"\x1b[31m\xff", "error", "x1b", False), (b"", "error", "without an answer", False),
]


@pytest.mark.parametrize(("err", "status", "reason", "full"), REFUSALS)
def test_no_connection(host: Host, err: bytes, status: str, reason: str, full: bool) -> None:
    host.server()
    host.says = [said(b"", err, 2)]
    reading = host.collect()
    assert (reading.status, reading.data[0]["refused"]) == (status, full) and reason in (reading.reason or "")
    assert reading.data[0]["sessions"] is None and "not asked" in reading.data[0]["statements_reason"]


def test_another_database_where_the_busiest_refuses(host: Host) -> None:
    host.server()
    host.process(801, 800, "postgres: shop shop [local] SELECT")
    host.says = [said(b"", REFUSED + b'FATAL:  database "shop" is not currently accepting connections\n', 2), said(RECORDINGS[1].read_bytes())]
    reading = host.collect()
    assert reading.status == "partial" and "shop was not asked but postgres" in (reading.reason or "")
    assert (reading.data[0]["database"], reading.data[0]["sessions"]["total"]) == ("postgres", 5)


def test_it_stops_in_the_middle(host: Host) -> None:
    host.server()
    whole = RECORDINGS[1].read_bytes()
    host.says = [said(whole[: whole.index(b'{"part" : "second"')], b"", None, True)]
    reading = host.collect()
    row = reading.data[0]
    assert reading.status == "partial" and "did not answer within" in (reading.reason or "")
    assert row["sessions"]["total"] == 5 and row["roots"] and (row["tables"], row["databases"], row["statements"], row["window_s"]) == (None, None, None, None)


def test_a_part_that_failed(host: Host) -> None:
    host.server()
    whole = RECORDINGS[1].read_bytes()
    first, last = whole.index(b'{"part" : "locks"'), whole.index(b'{"part" : "first"')
    host.says = [said(whole[:first] + whole[last:], b"ERROR:  canceling statement due to statement timeout\n")]
    reading = host.collect()
    assert reading.status == "partial" and "no answer about locks: ERROR" in (reading.reason or "")
    assert reading.data[0]["roots"] is None and reading.data[0]["sessions"]["waiting"] == 2


def test_without_the_extension_and_without_the_right_to_see(host: Host) -> None:
    host.server()
    whole = RECORDINGS[1].read_bytes().replace(b'"hidden" : 0', b'"hidden" : 3')
    host.says = [said(whole.replace(b'"statements', b'"nothing'))]
    reading = host.collect()
    row = reading.data[0]
    assert reading.status == "partial" and "grant it pg_monitor" in (reading.reason or "")
    assert row["statements"] is None and "not installed in postgres" in row["statements_reason"]
    assert row["sessions"]["total"] == 5 and row["sessions"]["active"] is None


def test_in_a_container(host: Host) -> None:
    """Its socket is below its own root, where links begin anew, and its owner may have another name."""
    host.server(800, folder="/var/run/postgresql", uid=999)
    (host.folder / "proc/800/ns").mkdir(parents=True)
    (host.folder / "proc/self/ns").mkdir(parents=True)
    os.symlink("mnt:[1]", str(host.folder / "proc/800/ns/mnt"))
    os.symlink("mnt:[2]", str(host.folder / "proc/self/ns/mnt"))
    host.file("/proc/800/root/etc/passwd", "postgres:x:999:999::/:/bin/sh\n")
    host.file("/proc/800/environ", "POSTGRES_PASSWORD=geheim\0POSTGRES_USER=boss\0")
    (host.folder / "proc/800/root/var").mkdir(parents=True)
    os.symlink("/run", str(host.folder / "proc/800/root/var/run"))
    host.sockets = {"/proc/800/root/run/postgresql/.s.PGSQL.5432": (stat.S_IFSOCK, 999), "/run/postgresql/.s.PGSQL.5432": (stat.S_IFSOCK, 0)}
    host.says = [said(RECORDINGS[1].read_bytes())]
    assert host.collect().status == "ok"
    words, environment, who = host.ran[0]
    assert words[7] == "/proc/800/root/run/postgresql" and environment["PGUSER"] == "boss" and "PGREQUIREPEER" not in environment
    assert who.uid == 999 and "geheim" not in json.dumps([words, environment])


def test_without_psql(host: Host) -> None:
    host.server()
    reading = host.collect()
    assert reading.status == "denied" and "install PostgreSQL's client" in (reading.reason or "")


def test_absent(host: Host) -> None:
    assert host.collect()[:2] == ("absent", "no PostgreSQL runs here")
    assert _snapshot.COLLECTORS["postgres"](host, Options(daemons={"redis": (1,)})).status == "absent"


def test_sessions_that_wait_for_each_other_have_no_root() -> None:
    waiters = [{"pid": 1, "by": [2]}, {"pid": 2, "by": [1]}, {"pid": 3, "by": [1, 9]}]
    blocking, roots = _postgres._blocking({"part": "locks", "waiters": waiters, "holders": None})
    assert blocking is not None and roots is not None
    assert {row["pid"]: row["root_pid"] for row in blocking} == {1: None, 2: None, 3: 9}
    assert [(row["pid"], row["blocks"], row["state"]) for row in roots] == [(9, 1, None)]


@pytest.mark.parametrize("seed", [4, random.randrange(10**6)])
def test_rubbish_stays_in_shape(host: Host, seed: int) -> None:
    """Whatever stands where a value is awaited."""
    draw = random.Random(seed)
    odd = [
        None, True, -1, 10**30, 1e400, float("nan"),
        "\x1b[31m\u202e" * 99, "x" * 9000, [], {}, [[1]], [{"pid": "1"}], {"a": {}}, "postgres://u:geheim@h/d", 3.5,
    ]
    host.server()
    for dummy in range(EXAMPLES):
        parts = [json.loads(json.dumps(part)) for part in _postgres._postgres.answers(draw.choice(RECORDINGS).read_bytes()).values()]
        for dummy_again in range(draw.randrange(1, 12)):
            place = draw.choice(parts)
            while isinstance(place, (dict, list)) and place:
                key = draw.choice(sorted(place)) if isinstance(place, dict) else draw.randrange(len(place))
                if draw.random() < 0.4 or not isinstance(place[key], (dict, list)):
                    if key != "part":
                        place[key] = copy.deepcopy(draw.choice(odd))
                    break
                place = place[key]
        host.says = [said("\n".join(json.dumps(part).replace('{"part": ', '{"part" : ', 1) for part in parts).encode())]
        text = json.dumps(host.collect(), ensure_ascii=False)
        assert "geheim" not in text and "\x1b" not in text and "\u202e" not in text and len(text) < 200000


def named(host: Host, *strings: str) -> Reading:
    """What is said where people named servers."""
    (host.folder / "proc").mkdir(exist_ok=True)
    options = Options(window_s=1.0, daemons={"postgres": tuple(host.pids)}, postgres_dsn=_postgres_dsn.targets(list(strings)))
    reading = _postgres.collect(host, options)
    jsonschema.Draft202012Validator(SCHEMA["$defs"]["snapshot"]["properties"]["postgres"]).validate(json.loads(json.dumps(reading.data)))
    return reading


DSN = "postgresql://monitor:geheim42@%s/shop?sslmode=verify-full"


def test_one_that_people_named(host: Host) -> None:
    host.says = [said(RECORDINGS[-1].read_bytes().replace(b'"import"', b'"geheim42!"'))]
    reading = named(host, DSN % "db.example.com")
    row = reading.data[0]
    assert (reading.status, row["main_pid"], row["address"], row["port"], row["sessions"]["total"]) == ("ok", None, "db.example.com:5432", None, 5)
    words, environment, who = host.ran[0]
    assert words[:6] == ("psql", "-X", "-q", "-A", "-t", "-w") and set(words[6::2]) == {"-c"} and "geheim42" not in json.dumps([words, environment, reading])
    assert "***!" in [one["application"] for one in row["longest"]], "it may know the password, and say it"
    assert host.handed == (
        "PGSERVICEFILE", b"[oncall_pressure]\nhost=db.example.com\nport=5432\nuser=monitor\npassword=geheim42\ndbname=shop\nsslmode=verify-full\n")
    assert (environment["PGSERVICE"], who.uid, who.groups) == ("oncall_pressure", 65533, ()) and "PGREQUIREAUTH" not in environment
    assert "event_triggers" not in environment["PGOPTIONS"]
    assert _snapshot.COLLECTORS["postgres"](host, Options(daemons={}))[0] == "absent"


def test_one_that_people_named_and_that_runs_here(host: Host) -> None:
    host.server(800)
    host.server(900, port=5433)
    host.says = [said(RECORDINGS[1].read_bytes()), said(RECORDINGS[1].read_bytes())]
    reading = named(host, "host=127.0.0.1 user=m password=geheim42 port=5433")
    assert [(row["main_pid"], row["address"]) for row in reading.data] == [(800, None), (900, "127.0.0.1:5433")] and reading.status == "ok"
    assert "PGREQUIREPEER" in host.ran[0][1] and host.ran[1][1]["PGREQUIREAUTH"] == "!password"


@pytest.mark.parametrize(("strings", "rows"), [
    ((DSN % "localhost:6000",), [(800, None), (None, "localhost:6000")]), ((DSN % "10.0.0.5:5432",), [(800, None), (None, "10.0.0.5:5432")]),
    ((DSN % "localhost", DSN % "127.0.0.1"), [(800, "localhost:5432"), (None, "127.0.0.1:5432")])])
def test_which_of_those_that_people_named_runs_here(host: Host, strings: t.Tuple[str, ...], rows: t.List[t.Tuple[t.Optional[int], t.Optional[str]]]) -> None:
    host.server(800)
    assert [(row["main_pid"], row["address"]) for row in named(host, *strings).data] == rows


def test_one_that_people_named_where_no_port_can_be_read(host: Host) -> None:
    host.process(800, 1, "/usr/lib/postgresql/15/bin/postgres -D /data")
    host.user = 1000
    host.says = [said(RECORDINGS[1].read_bytes())]
    reading = named(host, DSN % "localhost")
    assert [(row["main_pid"], row["address"]) for row in reading.data] == [(800, "localhost:5432")] and host.ran[0][2].uid == 1000


NOT_LET_IN = b'psql: error: connection to server at "db.example.com" (192.0.2.7), port 5432 failed: '


@pytest.mark.parametrize(("err", "status", "reason", "full"), [
    (NOT_LET_IN + b'FATAL:  password authentication failed for user "monitor" geheim42\n', "denied",
     'FATAL:  password authentication failed for user "monitor" ***', False),
    (NOT_LET_IN + b"Connection refused\n\tIs the server running on that host and accepting TCP/IP connections?\n", "error", "nothing listens there", False),
    (NOT_LET_IN + b"timeout expired\n", "error", "it did not answer within 2 s", False),
    (NOT_LET_IN + b"FATAL:  sorry, too many clients already\n", "denied", "FATAL:  sorry, too many clients already", True),
    (NOT_LET_IN + b"FATAL:  unsupported startup parameter: options\n", "error", "it is a pooler that takes no settings: name the server itself", False),
    (NOT_LET_IN + b'FATAL:  no pg_hba.conf entry for host "192.0.2.1", user "monitor", database "shop", no encryption\n', "denied",
     "have pg_hba.conf let it in", False),
    (b'psql: error: could not translate host name "db.example.com" to address: Name or service not known\n', "error",
     "its host has no address", False),
    (NOT_LET_IN + b'root certificate file "/x" does not exist, SSL\n', "error", "see sslmode and sslrootcert", False),
    (b"", "error", "without an answer", False),
])
def test_one_that_people_named_and_that_lets_nobody_in(host: Host, err: bytes, status: str, reason: str, full: bool) -> None:
    host.says = [said(b"", err, 2)]
    reading = named(host, DSN % "db.example.com")
    assert (reading.status, reading.data[0]["refused"]) == (status, full) and reading.data[0]["reason"].endswith(reason)
    assert (reading.reason or "").startswith("db.example.com:5432: ") and "geheim42" not in json.dumps(reading)
