# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Redis: on a recorded conversation with a real server, and on hosts laid out for what goes wrong around it. The real one is in tests/programs."""

from __future__ import annotations

import json
import pathlib
import typing as t

import jsonschema
import pytest
from ansible_collections.oncall.pressure.plugins.module_utils._components import _redis, _redis_queues, _redis_servers, _snapshot
from ansible_collections.oncall.pressure.plugins.module_utils._components._redis_client import Login
from ansible_collections.oncall.pressure.plugins.module_utils._host._collect import Options, Reading
from ansible_collections.oncall.pressure.plugins.module_utils._host._dial import Line, Place
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine

ROOT = pathlib.Path(__file__).resolve().parents[3]
RECORDING = ROOT / "tests/unit/recordings/redis/7.0.15-debian-12/conversation.json"
#: Ten minutes after the job that is next was put into its queue.
NOW = 1795838025 + 600
PID = 440


class Replay(Line):
    """A recorded conversation: each question has its answers, in their order."""

    def __init__(self, turns: t.Sequence[t.Sequence[str]], listener: t.Optional[int] = None) -> None:
        self.turns: t.Dict[bytes, t.List[bytes]] = {}
        for sent, answer in turns:
            self.turns.setdefault(sent.encode("latin-1"), []).append(answer.encode("latin-1"))
        self.sent: t.List[bytes] = []
        self.places: t.List[Place] = []
        self.waiting = b""
        self.pid = listener

    def connect(self, place: Place, seconds: float, limit: int) -> Line:
        """This conversation, wherever it is asked for."""
        assert seconds <= 2 and limit > 0
        self.places.append(place)
        return self

    def grant(self, seconds: float, limit: int) -> None:
        assert seconds > 0 and limit > 0

    def listener(self) -> t.Optional[int]:
        return self.pid

    def send(self, data: bytes) -> None:
        self.sent.append(data)
        self.waiting = self.turns[data].pop(0)

    def receive(self) -> bytes:
        # in pieces, as from a network
        piece, self.waiting = self.waiting[:1000], self.waiting[1000:]
        return piece

    def close(self) -> None:
        self.waiting = b""


class Host:
    """A folder laid out as a host on which Redis listens to 127.0.0.1:6379."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        folder.chmod(0o755)
        self.write("/commands.json", json.dumps({"now": NOW, "commands": {}}))
        self.write("/proc/uptime", "1000.00 2000.00\n")

    def write(self, path: str, content: str, mode: int = 0o644) -> None:
        place = self.folder / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(content)
        place.chmod(mode)

    def link(self, path: str, target: str) -> None:
        place = self.folder / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(target)

    def server(self, pid: int = PID, parent: int = 1, title: str = "redis-server 127.0.0.1:6379", uid: int = 0, fds: bool = True, state: str = "S") -> None:
        here = "/proc/%d" % pid
        self.write(here + "/comm", "redis-server\n")
        self.write(here + "/cmdline", title + "\0")
        self.write(here + "/stat", "%d (redis-server) %s %d " % (pid, state, parent) + "0 " * 17 + "5000 0 0\n")
        told = "Name:\tredis-server\nState:\t%s (x)\nPid:\t%d\nPPid:\t%d\nUid:\t%d\t%d\t0\t0\nGid:\t%d\t0\t0\t0\nGroups:\t\nNSpid:\t%d\n"
        self.write(here + "/status", told % (state, pid, parent, uid, uid, uid, pid))
        row = "   0: 0100007F:18EB 00000000:0000 0A 00000000:00000000 00:00000000 00000000 %5d        0 7001 1 0 100 0 0 10 0\n" % uid
        for folder in (here + "/net", "/proc/net"):
            self.write(folder + "/tcp", "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n" + row)
        if fds:
            self.link(here + "/fd/6", "socket:[7001]")

    def container(self, pid: int = PID) -> None:
        for kind in ("net", "mnt"):
            self.link("/proc/%d/ns/%s" % (pid, kind), kind + ":[9]")
            self.link("/proc/self/ns/" + kind, kind + ":[1]")

    def look(self, replay: Replay, login: Login = Login()) -> Reading:
        reading = _redis.measure(Machine(str(self.folder)), Options(window_s=1.0), login, replay.connect)
        schema = json.loads((ROOT / "roles/diagnose/files/schemas/snapshot.json").read_text())
        jsonschema.Draft202012Validator(schema["$defs"]["snapshot"]["properties"]["redis"]).validate(json.loads(json.dumps(reading.data)))
        return reading


@pytest.fixture
def host(tmp_path: pathlib.Path) -> Host:
    return Host(tmp_path)


def recorded(**more: t.Any) -> Replay:
    return Replay(json.loads(RECORDING.read_text()), **more)


GIVEN = Login("default", "said")


def test_a_recorded_conversation(host: Host) -> None:
    host.server()
    replay = recorded()
    reading = host.look(replay, GIVEN)
    assert (reading.status, reading.reason) == ("ok", None)
    row = reading.data["servers"][0]
    assert (row["main_pid"], row["address"], row["version"], row["role"]) == (PID, "127.0.0.1:6379", "7.0.15", "master")
    assert (row["answers"], row["full"]) == (True, False)
    assert replay.places == [Place("127.0.0.1", 6379)]
    assert row["memory"]["limited"] is False and row["memory"]["maxmemory_bytes"] is None and row["memory"]["used_pct"] is None
    assert [(queue["name"], queue["kind"], queue["waiting"], queue["growth_per_s"], queue["sampled"], queue["median_bytes"]) for queue in row["queues"]] == [
        ("celery", "celery", 40, 0.0, 9, 3558), ("mails", "celery", 7, 0.0, 7, 932), ("reports", "rq", 25, 0.0, 9, 91)]
    assert row["queues"][2]["oldest_s"] == 600.0 and row["queues"][0]["oldest_s"] is None
    assert (row["databases"][0]["results_seen"], row["databases"][0]["results_without_expiry"]) == (15, 15)
    assert row["rates"]["ops_per_s"] == 0.0 and row["rates"]["hit_pct"] is None


def test_an_old_server_is_asked_how_many_clients_it_takes(host: Host) -> None:
    host.server()
    turns = json.loads(RECORDING.read_text())
    info = "redis_version:6.0.16\r\nconnected_clients:3\r\n"
    turns[0][1] = "+OK\r\n$%d\r\n%s\r\n" % (len(info), info)
    ask = "*3\r\n$6\r\nCONFIG\r\n$3\r\nGET\r\n$10\r\nmaxclients\r\n"
    for answer, most in (("*2\r\n$10\r\nmaxclients\r\n$5\r\n10000\r\n", 10000), ("-ERR unknown command\r\n", None), ("*0\r\n", None)):
        row = host.look(Replay(turns + [[ask, answer]]), GIVEN).data["servers"][0]
        assert row["clients"] == {"connected": 2, "blocked": None, "max": most, "rejected": None}


def test_only_reads_are_sent(host: Host) -> None:
    host.server()
    replay = recorded()
    host.look(replay, GIVEN)
    commands = set()
    for sent in replay.sent:
        words = sent.decode("latin-1").split("\r\n")
        place = 0
        while place < len(words) - 1:
            commands.add(words[place + 2])
            place += 1 + 2 * int(words[place][1:])
    assert commands <= {
        "AUTH", "INFO", "SLOWLOG", "SELECT", "SCAN", "SSCAN", "SCARD", "EXISTS", "LLEN", "HLEN", "ZRANGE", "ZCARD", "TTL", "MEMORY", "TYPE", "LINDEX", "HGET",
        "HSTRLEN"}


def test_none(host: Host) -> None:
    assert host.look(Replay([])) == Reading("absent", "no Redis server runs here", None)
    host.server(state="Z")
    assert host.look(Replay([])).status == "absent"


def test_nothing_is_imported_where_none_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, _redis.__name__, None)
    assert _snapshot.COLLECTORS["redis"](Machine(), Options(daemons={"nginx": (1,)})) == Reading("absent", "no Redis server runs here", None)


def test_the_child_that_saves_is_no_server(host: Host) -> None:
    host.server()
    host.server(441, parent=PID, title="redis-rdb-bgsave 127.0.0.1:6379")
    assert [server.pid for server in _redis_servers.servers(Machine(str(host.folder)), None)] == [PID]


def test_many_servers(host: Host) -> None:
    """The first eight, but one that is named is found among any number."""
    for pid in range(441, 451):
        host.server(pid, state="T")
        status = host.folder / ("proc/%d/status" % pid)
        status.write_text(status.read_text().replace("NSpid:\t%d" % pid, "NSpid:\t%d\t1" % pid))
    host.server(900)
    reading = host.look(recorded(), GIVEN)
    assert [row["main_pid"] for row in reading.data["servers"]] == [900, *range(441, 448)]
    assert reading.status == "partial" and "only 8 of 11 servers are shown" in str(reading.reason)
    named = host.look(recorded(), GIVEN._replace(address="127.0.0.1:6379"))
    assert [row["main_pid"] for row in named.data["servers"]][0] == 900


def test_a_stopped_one_is_not_asked(host: Host) -> None:
    host.server(state="T")
    reading = host.look(Replay([]))
    assert reading.status == "error" and "kill -CONT %d" % PID in str(reading.reason) and reading.data["servers"][0]["answers"] is False


def test_a_network_of_its_own(host: Host) -> None:
    host.server()
    host.container()
    reading = host.look(Replay([]))
    assert reading.status == "denied" and "network of its own" in str(reading.reason)


NOAUTH = [["*1\r\n$4\r\nINFO\r\n", "-NOAUTH Authentication required.\r\n"]]


def test_without_privileges_its_user_and_its_title_lead_to_it_and_no_password_is_sent(host: Host) -> None:
    host.server(fds=False)
    reading = host.look(Replay(NOAUTH))
    assert reading.status == "denied" and "become root" in str(reading.reason)
    given = Replay([])
    reading = host.look(given, GIVEN)
    assert reading.status == "denied" and "stranger" in str(reading.reason) and given.sent == []


def test_without_privileges_it_says_who_it_is(host: Host) -> None:
    host.server(fds=False)
    turns = json.loads(RECORDING.read_text())
    turns[0] = [NOAUTH[0][0], turns[0][1].partition("\r\n")[2]]
    assert "another process (2511)" in str(host.look(Replay(turns)).reason)
    turns[0][1] = turns[0][1].replace("process_id:2511", "process_id:0440")
    assert host.look(Replay(turns)).status == "ok"


def test_without_privileges_a_container_is_not_looked_for_in_our_network(host: Host) -> None:
    host.server(fds=False)
    status = host.folder / ("proc/%d/status" % PID)
    status.write_text(status.read_text().replace("NSpid:\t%d" % PID, "NSpid:\t%d\t1" % PID))
    assert "network of its own" in str(host.look(Replay([])).reason)


def test_another_users_socket_is_not_its_own(host: Host) -> None:
    host.server(fds=False)
    row = host.folder / "proc/net/tcp"
    row.write_text(row.read_text().replace("    0        0 7001", " 1000        0 7001"))
    assert "become root" in str(host.look(Replay([])).reason)


def auth(password: str) -> str:
    return "*2\r\n$4\r\nAUTH\r\n$%d\r\n%s\r\n*1\r\n$4\r\nINFO\r\n" % (len(password), password)


def test_passwords_of_files(host: Host) -> None:
    """The file that names its port, and that nobody else may write, with what it includes."""
    host.server()
    host.write("/etc/redis/other.conf", "port 6380\nrequirepass other\n")
    host.write("/etc/redis/redis.conf", "port 6379\ninclude /etc/redis/secret.d/*.conf\n")
    host.write("/etc/redis/secret.d/1.conf", "requirepass \"pass word\"\n", 0o640)
    replay = Replay([[auth("pass word"), "+OK\r\n-ERR something\r\n"]])
    assert host.look(replay).status == "error" and replay.sent == [auth("pass word").encode()]
    (host.folder / "etc/redis/secret.d/1.conf").chmod(0o646)
    assert host.look(Replay(NOAUTH)).status == "denied"


def test_a_file_that_the_process_may_not_read_is_not_its_own(host: Host) -> None:
    host.server(uid=1500)
    host.write("/etc/redis/redis.conf", "port 6379\nrequirepass secret\n", 0o600)
    # this host's files belong to whoever runs the test
    if (host.folder / "etc/redis/redis.conf").stat().st_uid == 0:
        assert host.look(Replay(NOAUTH)).status == "denied"
        (host.folder / "etc/redis/redis.conf").chmod(0o644)
        replay = Replay([[auth("secret"), "+OK\r\n-ERR something\r\n"]])
        assert host.look(replay).status == "error" and replay.sent


@pytest.mark.parametrize("answer, status, said", [
    ("-NOAUTH x\r\n", "denied", "wants a password that is not known: become root"), ("-NOPERM x\r\n", "denied", "may not run INFO"),
    ("-ERR operation not permitted\r\n", "denied", "password"), ("-ERR max number of clients reached\r\n", "error", "no more clients"),
    ("-BUSY Redis is busy\r\n", "error", "BUSY"), (":1\r\n", "error", "as Redis does"), ("$-1\r\n", "error", "as Redis does"),
    ("$2\r\nhi\r\n", "error", "as Redis does"), ("", "error", "closed the connection"), ("HTTP\r\n", "error", "as Redis does"),
    ("-DENIED Redis is running in protected mode\r\n", "denied", "protected mode"),
])
def test_what_it_may_answer(host: Host, answer: str, status: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def closed(line: Line, certificate: t.Any) -> None:
        raise ConnectionResetError

    monkeypatch.setattr(Replay, "encrypt", closed)
    host.server()
    reading = host.look(Replay([["*1\r\n$4\r\nINFO\r\n", answer]]))
    assert (reading.status, said in str(reading.reason)) == (status, True), reading
    assert reading.data["servers"][0]["full"] is (True if "clients" in said else None)


def test_names_of_keys_keep_no_identity() -> None:
    for name in ("session:4bf92f3577b34da6a3ce929d0e0e4736", "user:12345678:cart", "token:AbCdEfGhIjKlMnOpQrStUvWxYz0"):
        folded = _redis_queues._IDENTITY.sub("*", name)
        assert "*" in folded and not any(part in folded for part in ("4bf9", "1234", "AbCd")) and ":" in folded
