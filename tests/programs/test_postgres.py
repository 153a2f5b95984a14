# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The collector of PostgreSQL on real servers, each made for its test: one that works, refuses, hangs, talks rubbish, or is full.

Every version below /usr/lib/postgresql is tried, and those whose programs lie in the folders of POSTGRES_BINS (with colons between).
"""

from __future__ import annotations

import contextlib
import glob
import json
import os
import pwd
import random
import re
import shutil
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

from ansible_collections.oncall.pressure.plugins.module_utils._components import _postgres, _snapshot
from ansible_collections.oncall.pressure.plugins.module_utils._host._collect import Options, Reading
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine
from ansible_collections.oncall.pressure.plugins.plugin_utils import _rules, _verdict

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = json.loads((ROOT / "roles/diagnose/files/schemas/snapshot.json").read_text(encoding="utf-8"))
RULES = {name: rule for name, rule in _rules.load_rules(str(ROOT / "roles/diagnose/files/rules")).rules.items() if name.startswith("postgres.")}
THRESHOLDS = _rules.resolve_thresholds(RULES, None)

BINS = [path for path in sorted(glob.glob("/usr/lib/postgresql/*/bin")) + os.environ.get("POSTGRES_BINS", "").split(":") if path]
OWNER = "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name

pytestmark = [
    pytest.mark.skipif(not BINS, reason="there is no PostgreSQL here: apt-get install postgresql"),
    pytest.mark.skipif(OWNER not in [row.pw_name for row in pwd.getpwall()], reason="there is no user postgres here: apt-get install postgresql"),
]

SECRET = "kreditkarte4711"

#: The snapshot arrives within the window and ten seconds.
WINDOW_S = 1.0
LATEST_S = WINDOW_S + 10.0


def _become() -> None:
    if os.geteuid() == 0:
        row = pwd.getpwnam(OWNER)
        os.setgroups([])
        os.setgid(row.pw_gid)
        os.setuid(row.pw_uid)


class Cluster:
    """A server of our own, on a socket in a folder of its own."""

    def __init__(self, bins: str, **settings: str) -> None:
        seed = random.randrange(10**6)
        print("seed", seed, bins)
        draw = random.Random(seed)
        self.bins = bins
        self.port = draw.randrange(20000, 60000)
        # the path of a socket has little room
        self.folder = Path(tempfile.mkdtemp(prefix="pressure-pg-"))
        os.chown(self.folder, pwd.getpwnam(OWNER).pw_uid, -1)
        os.chmod(self.folder, 0o755)
        self.data = self.folder / "data"
        self.held: t.List["subprocess.Popen[str]"] = []
        self._run("initdb", "-D", str(self.data), "-A", "peer", "-U", OWNER, "-N", "--locale", draw.choice(("C", "C.UTF-8")))
        chosen = {
            "port": self.port, "unix_socket_directories": "'%s'" % self.folder, "listen_addresses": "''", "fsync": "off", "max_connections": 12,
            "superuser_reserved_connections": 3, "shared_preload_libraries": "'pg_stat_statements'", "shared_buffers": "8MB", "logging_collector": "off",
            "cluster_name": "'%s'" % draw.choice(("", "15/main", "shop: a")), "max_prepared_transactions": 2, "deadlock_timeout": "10s", **settings,
        }
        with open(str(self.data / "postgresql.conf"), "a", encoding="utf-8") as stream:
            stream.write("".join("%s = %s\n" % item for item in chosen.items()))
        with open(str(self.data / "pg_ident.conf"), "a", encoding="utf-8") as stream:
            stream.write("any %s /^(.*)$ \\1\nany %s shop\nany %s %s\n" % (OWNER, OWNER, OWNER, OWNER))
        self.trust("local all all peer map=any")
        with open(str(self.folder / "log"), "wb") as log:
            self.process = subprocess.Popen(
                [bins + "/postgres", "-D", str(self.data)], stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=_become, cwd="/",
                env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"}, start_new_session=True)
        end = time.monotonic() + 60
        while "ready" not in self._file():
            assert self.process.poll() is None and time.monotonic() < end, (self.folder / "log").read_text(encoding="utf-8", errors="replace")
            time.sleep(0.05)

    def _file(self) -> str:
        with contextlib.suppress(OSError):
            return (self.data / "postmaster.pid").read_text(encoding="utf-8")
        return ""

    def trust(self, line: str) -> None:
        """Write pg_hba.conf; a running server takes it at once."""
        (self.data / "pg_hba.conf").write_text(line + "\n", encoding="utf-8")
        if hasattr(self, "process"):
            os.kill(self.process.pid, signal.SIGHUP)
            time.sleep(0.5)

    def _run(self, program: str, *words: str) -> str:
        done = subprocess.run(
            [self.bins + "/" + program, *words], check=False, capture_output=True, text=True, preexec_fn=_become, cwd="/",
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"})
        assert done.returncode == 0, done.stderr
        return done.stdout

    @property
    def psql(self) -> t.List[str]:
        """The host's own client, as the collector uses it."""
        return ["psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", str(self.folder), "-p", str(self.port)]

    def sql(self, text: str, database: str = "postgres") -> str:
        done = subprocess.run(
            [*self.psql, "-U", OWNER, "-d", database, "-c", text], check=False, capture_output=True, text=True, preexec_fn=_become, cwd="/", timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def hold(self, text: str, database: str = "shop", user: str = "shop", application: str = "web", wait: bool = True) -> int:
        """A session that does this and stays; the pid of its server process."""
        process = subprocess.Popen(
            [*self.psql, "-U", user, "-d", database], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            preexec_fn=_become, cwd="/", env={"PATH": "/usr/bin:/bin", "LC_ALL": "C", "PGAPPNAME": application})
        self.held.append(process)
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write("SELECT pg_backend_pid();\n%s\n%s" % (text, "\\echo done\n" if wait else ""))
        process.stdin.flush()
        pid = int(process.stdout.readline())
        while wait and process.stdout.readline() not in ("done\n", ""):
            pass
        return pid

    def shop(self, rows: int = 20000) -> None:
        """A database with a table."""
        self.sql("CREATE ROLE shop LOGIN")
        self.sql("CREATE DATABASE shop OWNER shop")
        self.sql("CREATE TABLE orders AS SELECT g AS id, 'n' || g AS note FROM generate_series(1, %d) g" % rows, "shop")
        self.sql("ALTER TABLE orders OWNER TO shop; ANALYZE orders", "shop")

    def until(self, true: t.Callable[[], bool]) -> None:
        end = time.monotonic() + 60
        while not true():
            assert time.monotonic() < end
            time.sleep(0.1)

    def pids(self) -> t.Tuple[int, ...]:
        return (self.process.pid, *Machine().children(self.process.pid))

    def collect(self, machine: t.Optional[Machine] = None) -> Reading:
        """What the collector says of this server alone, in time and in the shape that is published."""
        started = time.monotonic()
        reading = _postgres.collect(machine or Machine(), Options(window_s=WINDOW_S, daemons={"postgres": self.pids()}))
        assert time.monotonic() - started < LATEST_S
        jsonschema.Draft202012Validator(SCHEMA["$defs"]["snapshot"]["properties"]["postgres"]).validate(json.loads(json.dumps(reading.data)))
        assert len(json.dumps(reading)) < 100000
        assert (reading.reason is None) is (reading.status == "ok") and SECRET not in json.dumps(reading)
        print(reading.status, reading.reason)
        return reading

    def stop(self) -> None:
        for pid in self.pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        for process in self.held:
            process.kill()
            process.communicate()
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGQUIT)
            self.process.wait(20)
        shutil.rmtree(str(self.folder), ignore_errors=True)


@pytest.fixture(name="settings")
def _settings() -> t.Dict[str, str]:
    """What is set besides; a test says otherwise by a parameter of this name."""
    return {}


@pytest.fixture(name="cluster", params=BINS, ids=lambda path: re.sub(r"\W+", "-", path))
def _cluster(request: pytest.FixtureRequest, settings: t.Dict[str, str]) -> t.Iterator[Cluster]:
    made = Cluster(request.param, **settings)
    try:
        yield made
    finally:
        made.stop()


def fired(reading: Reading) -> t.Dict[str, t.Any]:
    """The verdicts of this document, by rule."""
    row = {"status": reading.status, "reason": reading.reason, "seconds": 1.0}
    found = _verdict.judge({"schema": 1, "collectors": {"postgres": row}, "postgres": reading.data, "services": []}, RULES, THRESHOLDS)
    return {verdict["rule"]: verdict for verdict in found["verdicts"]}


def test_works_who_waits_for_whom(cluster: Cluster) -> None:
    cluster.shop()
    cluster.sql("CREATE EXTENSION pg_stat_statements", "shop")
    root = cluster.hold("BEGIN; UPDATE orders SET note = '%s' WHERE id = 1;" % SECRET, application="import")
    second = cluster.hold("BEGIN; UPDATE orders SET note = '2' WHERE id = 2;", application="job")
    cluster.held[-1].stdin.write("UPDATE orders SET note = E'%s\\'' WHERE id = 1;\n" % SECRET)
    cluster.held[-1].stdin.flush()
    cluster.until(lambda: cluster.sql("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'") == "1")
    third = cluster.hold("ALTER TABLE orders ADD COLUMN z int;", application="migrate", wait=False)
    cluster.until(lambda: cluster.sql("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'") == "2")
    fourth = cluster.hold("SELECT count(*) FROM orders WHERE note = '%s';" % SECRET, wait=False)
    cluster.until(lambda: cluster.sql("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'") == "3")
    time.sleep(5)
    reading = cluster.collect()
    row = reading.data[0]
    assert (reading.status, row["source"], row["database"], row["port"]) == ("ok", "server", "shop", cluster.port)
    assert row["sessions"]["total"] == 4 and (row["sessions"]["waiting"], row["sessions"]["idle_in_transaction"]) == (3, 1)
    assert row["version"].split(".")[0] == (cluster.data / "PG_VERSION").read_text(encoding="utf-8").strip()
    assert [(one["pid"], one["blocks"], one["state"], one["application"]) for one in row["roots"]] == [(root, 3, "idle in transaction", "import")]
    assert row["roots"][0]["holds"] == ["RowExclusiveLock on public.orders"] and row["roots"][0]["query"] == "UPDATE orders SET note = ? WHERE id = ?;"
    assert {one["pid"]: one["root_pid"] for one in row["blocking"]} == {second: root, third: root, fourth: root}
    assert {one["relation"] for one in row["blocking"]} == {"public.orders"} and all(one["waited_s"] >= 4.9 for one in row["blocking"])
    assert [one["pid"] for one in row["idle_in_transaction"]] == [root] and row["longest"][0]["pid"] == root
    verdict = fired(reading)["postgres.blocked_by_lock"]
    assert "pg_terminate_backend(%d)" % root in verdict["next"][0] and "pid %d (idle in transaction)" % root in verdict["summary"]


def test_works_what_the_window_adds(cluster: Cluster) -> None:
    cluster.shop()
    cluster.sql("CREATE SCHEMA more; CREATE EXTENSION pg_stat_statements SCHEMA more", "shop")
    text = "SET work_mem = '64kB';" + "SELECT count(*) FROM orders WHERE note = '%s' AND id IN (1, 2, 3);SELECT pg_sleep(0.3);" % SECRET * 40
    cluster.hold(text + "\n", wait=False)
    time.sleep(2)
    reading = cluster.collect()
    row = reading.data[0]
    assert reading.status == "ok" and 0.9 < row["window_s"] < 3
    mine = [one for one in row["statements"] if one["query"].startswith("SELECT count")]
    assert len(mine) == 1 and 1 <= mine[0]["calls"] <= 9 and (mine[0]["user"], mine[0]["database"]) == ("shop", "shop") and mine[0]["mean_s"] > 0
    assert not [one for one in row["statements"] if "json_build_object" in one["query"]], "what we ask is not among what is counted"
    table = row["tables"][0]
    assert (table["name"], table["rows"]) == ("public.orders", 20000) and table["seq_scans_total"] >= 1
    assert {one["name"] for one in row["databases"]} >= {"shop"}


def test_works_without_its_extension(cluster: Cluster) -> None:
    """A function of the same name is anybody's code: it is not run."""
    cluster.shop()
    cluster.sql("CREATE FUNCTION public.pg_stat_statements(showtext boolean) RETURNS int LANGUAGE sql AS 'SELECT pg_sleep(9)::text::int'", "shop")
    cluster.sql("CREATE FUNCTION public.left(text, int) RETURNS text LANGUAGE sql AS 'SELECT pg_sleep(9)::text'", "shop")
    cluster.sql("ALTER DATABASE shop SET search_path = public, pg_catalog; ALTER DATABASE shop SET role = shop", "shop")
    cluster.hold("SELECT 1;")
    reading = cluster.collect()
    assert reading.status == "ok" and reading.data[0]["statements"] is None
    assert "not installed in shop" in reading.data[0]["statements_reason"]
    assert fired(reading) == {}


def test_works_without_the_code_of_an_application(cluster: Cluster) -> None:
    """From 17 on a database may have code that runs at each login."""
    if int((cluster.data / "PG_VERSION").read_text(encoding="utf-8")) < 17:
        pytest.skip("this version has no triggers at login")
    cluster.shop()
    cluster.hold("SELECT 1;")
    cluster.sql("CREATE FUNCTION stay() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION $$not now$$; END'", "shop")
    cluster.sql("CREATE EVENT TRIGGER at_login ON login EXECUTE FUNCTION stay()", "shop")
    with pytest.raises(AssertionError, match="not now"):
        cluster.sql("SELECT 1", "shop")
    reading = cluster.collect()
    assert (reading.status, reading.data[0]["database"]) == ("ok", "shop")


def test_works_a_prepared_transaction_that_blocks(cluster: Cluster) -> None:
    cluster.shop()
    cluster.sql("BEGIN; UPDATE orders SET note = 'x' WHERE id = 1; PREPARE TRANSACTION 'left behind'", "shop")
    cluster.hold("UPDATE orders SET note = 'y' WHERE id = 1;", wait=False)
    cluster.until(lambda: cluster.sql("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'") == "1")
    row = cluster.collect().data[0]
    assert [(one["pid"], one["kind"], one["blocks"]) for one in row["roots"]] == [(0, "prepared transaction", 1)]


def test_absent(cluster: Cluster) -> None:
    assert cluster.process.poll() is None
    assert _snapshot.COLLECTORS["postgres"](Machine(), Options(daemons={}))[:2] == ("absent", "no PostgreSQL runs here")
    assert _postgres.collect(Machine(), Options(daemons={"postgres": (os.getpid(), 1)})).status == "absent"


@pytest.mark.parametrize("line", ["local all all reject", "local all all scram-sha-256", "local all shop peer map=any"])
def test_denied_titles_still_tell(cluster: Cluster, line: str) -> None:
    cluster.shop()
    cluster.hold("BEGIN; SELECT 1;")
    cluster.hold("SELECT 1;")
    cluster.hold("SELECT pg_sleep(50);", wait=False)
    cluster.trust(line)
    reading = cluster.collect()
    row = reading.data[0]
    assert reading.status == "denied" and row["status"] == "denied" and row["source"] == "titles" and reading.reason
    told = {name: row["sessions"][name] for name in ("total", "active", "idle", "idle_in_transaction", "waiting")}
    assert told == {"total": 3, "active": 1, "idle": 1, "idle_in_transaction": 1, "waiting": 0}
    assert row["by_user"] == [{"name": "shop", "sessions": 3, "active": 1, "idle_in_transaction": 1}]
    assert row["roots"] is None and fired(reading) == {}


@pytest.mark.parametrize("settings", [{"update_process_title": "off"}])
def test_denied_where_titles_are_off(cluster: Cluster) -> None:
    cluster.shop()
    cluster.hold("BEGIN; SELECT 1;")
    assert cluster.collect().status == "ok"
    cluster.trust("local all all reject")
    reading = cluster.collect()
    row = reading.data[0]
    assert reading.status == "denied" and (row["sessions"]["total"], row["sessions"]["idle_in_transaction"], row["sessions"]["active"]) == (1, None, None)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user: run the tests as root to check this")
def test_denied_to_another_user(cluster: Cluster) -> None:
    cluster.shop()
    cluster.hold("SELECT 1;")
    program = (
        "import json, os, sys; sys.path[:0] = %r\n"
        "from ansible_collections.oncall.pressure.plugins.module_utils._components import _postgres\n"
        "from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine\n"
        "from ansible_collections.oncall.pressure.plugins.module_utils._host._collect import Options\n"
        "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "print(json.dumps(_postgres.collect(Machine(), Options(window_s=1.0, daemons={'postgres': %r}))))\n"
    ) % (sys.path, cluster.pids())
    status, reason, data = json.loads(subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout)
    assert status == "denied" and "become root, or the user " + OWNER in reason and data[0]["sessions"]["total"] == 1


def test_hangs_the_postmaster(cluster: Cluster) -> None:
    cluster.shop()
    cluster.hold("BEGIN; SELECT 1;")
    os.kill(cluster.process.pid, signal.SIGSTOP)
    reading = cluster.collect()
    assert reading.status == "error" and "did not answer within" in (reading.reason or "")
    assert reading.data[0]["sessions"]["idle_in_transaction"] == 1 and reading.data[0]["source"] == "titles"


def test_hangs_a_backend(cluster: Cluster) -> None:
    cluster.shop()
    os.kill(cluster.hold("BEGIN; LOCK orders IN ACCESS EXCLUSIVE MODE;"), signal.SIGSTOP)
    reading = cluster.collect()
    assert reading.status == "ok" and reading.data[0]["sessions"]["idle_in_transaction"] == 1
    assert reading.data[0]["tables"][0]["name"] == "public.orders", "what is locked is measured all the same"


@pytest.mark.parametrize("table", ["pg_authid", "pg_class", "pg_database", "pg_namespace"])
def test_hangs_where_a_catalog_is_locked(cluster: Cluster, table: str) -> None:
    cluster.shop()
    cluster.hold("BEGIN; LOCK pg_catalog.%s IN ACCESS EXCLUSIVE MODE;" % table, user=OWNER)
    reading = cluster.collect()
    assert reading.status in ("error", "partial") and reading.data[0]["sessions"]["total"] >= 1


def test_hangs_in_the_middle(cluster: Cluster) -> None:
    """Our own server process is stopped while we wait for it."""
    cluster.shop()
    cluster.hold("SELECT 1;")
    stopped: t.List[int] = []

    def stop_ours() -> None:
        machine, end = Machine(), time.monotonic() + 20
        while not stopped and time.monotonic() < end:
            for pid in machine.children(cluster.process.pid):
                if " %s shop [local]" % OWNER in (machine.text_or_none("/proc/%d/cmdline" % pid) or ""):
                    os.kill(pid, signal.SIGSTOP)
                    stopped.append(pid)
            time.sleep(0.02)

    watcher = threading.Thread(target=stop_ours)
    watcher.start()
    reading = cluster.collect()
    watcher.join()
    assert len(stopped) == 1
    assert reading.status in ("partial", "error") and "did not answer within" in (reading.reason or "") and reading.data[0]["sessions"]["total"] >= 1


ANSWERS = {
    "garbage": b"HTTP/1.1 400 Bad Request\r\n\r\n", "nothing": b"", "silence": None, "zeros": b"\0" * 65536,
    "ok and garbage": b"R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I" + b"T\xff\xff\xff\xff" + os.urandom(4096),
    "ok and endless rows": b"R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I" + b"T\0\0\0\x1c\0\x01a\0\0\0\0\0\0\0\0\0\0\x19\xff\xff\xff\xff\xff\xff\0\0"
    + b"D\0\0\x10\x0a\0\x01\0\0\x10\0" + b'{"part" : "now", ' + b"\x1b" * 4079,
}


@pytest.mark.parametrize("kind", ANSWERS)
def test_rubbish_from_its_own_user(cluster: Cluster, kind: str) -> None:
    cluster.shop()
    cluster.hold("SELECT 1;")
    with standin(cluster, ANSWERS[kind], OWNER):
        reading = cluster.collect()
    assert reading.status == "error" and reading.data[0]["sessions"]["total"] == 1 and reading.data[0]["source"] == "titles"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user: run the tests as root to check this")
@pytest.mark.parametrize("given_away", [False, True])
def test_rubbish_from_another_user(cluster: Cluster, given_away: bool) -> None:
    """By its file the socket is another's; or its file is the owner's and another listens."""
    cluster.shop()
    with standin(cluster, ANSWERS["garbage"], "nobody", given_away):
        reading = cluster.collect()
    assert reading.status == ("error" if given_away else "denied") and reading.data[0]["sessions"] is None
    assert ("requirepeer" if given_away else "not trusted") in (reading.reason or "")


@contextlib.contextmanager
def standin(cluster: Cluster, answer: t.Optional[bytes], user: str, given_away: bool = False) -> t.Iterator[None]:
    """Another listens where the server did, and says this again and again to whoever comes."""
    place = cluster.folder / (".s.PGSQL.%d" % cluster.port)
    os.rename(str(place), str(cluster.folder / "moved"))
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(place))
    row = pwd.getpwnam(user)
    os.chmod(str(place), 0o777)
    os.chown(str(place), pwd.getpwnam(OWNER).pw_uid if given_away else row.pw_uid, -1)
    # whose a listener is, is noted when it begins to listen
    child = os.fork()
    if child == 0:
        with contextlib.suppress(BaseException):
            if os.geteuid() == 0:
                os.setgid(row.pw_gid)
                os.setuid(row.pw_uid)
            listener.listen(5)
            while True:
                connection, dummy = listener.accept()
                with contextlib.suppress(OSError):
                    connection.recv(4096)
                    if answer is None:
                        time.sleep(30)
                    for dummy in range(100000 if answer and answer.startswith(b"R") else 1):
                        connection.sendall(answer or b"")
                connection.close()
        os._exit(0)
    time.sleep(0.3)
    try:
        yield
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        listener.close()
        os.rename(str(cluster.folder / "moved"), str(place))


def test_full_its_owner_still_gets_in(cluster: Cluster) -> None:
    cluster.shop()
    for dummy in range(9):
        cluster.hold("SELECT 1;", application="gunicorn")
    reading = cluster.collect()
    row = reading.data[0]
    assert reading.status == "ok" and (row["sessions"]["total"], row["usable"], row["refused"]) == (9, 9, False)
    verdict = fired(reading)["postgres.connections_exhausted"]
    assert "9 of 9 connections" in verdict["summary"] and any("gunicorn" in text for text in verdict["evidence"])


def test_full_nobody_gets_in(cluster: Cluster) -> None:
    cluster.shop()
    for number in range(12):
        cluster.hold("BEGIN; SELECT 1;" if number % 2 else "SELECT 1;", user="shop" if number < 9 else OWNER)
    reading = cluster.collect()
    row = reading.data[0]
    assert reading.status == "denied" and row["refused"] is True and "too many clients" in (reading.reason or "")
    assert (row["sessions"]["total"], row["sessions"]["idle_in_transaction"]) == (12, 6)
    assert fired(reading)["postgres.connections_exhausted"]["confidence"] == "high"
