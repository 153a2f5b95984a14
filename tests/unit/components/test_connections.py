# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The collector of connections, on sockets that this test opens, and on recordings of what cannot be had here."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import typing as t
from pathlib import Path

import jsonschema
import pytest
from ansible_collections.oncall.pressure.plugins.module_utils._components import _connections, _owners
from ansible_collections.oncall.pressure.plugins.module_utils._host._collect import Options
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine

PART = json.loads((Path(__file__).resolve().parents[3] / "roles/diagnose/files/schemas/snapshot.json").read_text(encoding="utf-8"))[
    "$defs"]["snapshot"]["properties"]["connections"]
HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"


def checked(reading: t.Any) -> t.Any:
    """A reading whose data is as the schema says."""
    jsonschema.Draft202012Validator(PART).validate(json.loads(json.dumps(reading.data)))
    return reading


@contextlib.contextmanager
def server(*arguments: str, before: t.Sequence[str] = ()) -> t.Iterator[t.Tuple[subprocess.Popen, str]]:
    """A process of its own that listens at a port of this host and accepts nothing unless it is told to; gives what it says first."""
    program = (
        "import os, socket, sys\n"
        "unix = sys.argv[1] if len(sys.argv) > 1 else ''\n"
        "door = socket.socket(socket.AF_UNIX if unix else socket.AF_INET)\n"
        "door.bind(unix or ('127.0.0.1', 0))\n"
        "door.listen(7)\n"
        "print('ready' if unix else door.getsockname()[1], flush=True)\n"
        "held = []\n"
        "for line in sys.stdin:\n"
        "    word, _, rest = line.strip().partition(' ')\n"
        "    if word == 'accept':\n"
        "        held.append(door.accept())\n"
        "    else:\n"
        "        held.append(socket.create_connection(('127.0.0.1', int(rest))))\n"
        "    print('done', flush=True)\n"
    )
    process = subprocess.Popen([*before, sys.executable, "-c", program, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process, process.stdout.readline().strip()
    finally:
        process.kill()
        process.communicate()


def tell(process: subprocess.Popen, *words: str) -> None:
    """Have a server do something, and wait for it."""
    assert process.stdin is not None and process.stdout is not None
    for word in words:
        process.stdin.write(word + "\n")
        process.stdin.flush()
        assert process.stdout.readline() == "done\n"


def look() -> t.Any:
    # the process of the test itself and what started it are as ours as a module would be
    return checked(_connections.collect(Machine(), Options(own_pids=frozenset([os.getpid()]))))


def test_connections_that_wait_at_a_port() -> None:
    with server() as (process, port), contextlib.ExitStack() as stack:
        for dummy in range(4):
            stack.enter_context(socket.create_connection(("127.0.0.1", int(port))))
        tell(process, "accept")
        # whoever is stopped does not hold up the look
        process.send_signal(signal.SIGSTOP)
        found = next(row for row in look().data["listeners"] if row["port"] == int(port))
        assert (found["kind"], found["address"], found["waiting"], found["established"], found["own_network"]) == ("tcp", "127.0.0.1", 3, 4, True)
        # where the kernel may be asked
        assert found["backlog"] in (7, None)
        assert found["pid"] is not None and found["service"]


def test_connections_that_wait_at_a_unix_socket(tmp_path: Path) -> None:
    path = str(tmp_path / "door")
    with server(path) as (process, ready), contextlib.ExitStack() as stack:
        assert ready == "ready"
        for dummy in range(3):
            stack.enter_context(socket.socket(socket.AF_UNIX)).connect(path)
        tell(process, "accept")
        found = next(row for row in look().data["listeners"] if row["address"] == path)
        assert (found["kind"], found["port"], found["waiting"], found["established"]) == ("unix", None, 2, 1)
        assert found["backlog"] in (7, None)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a network of its own: run the tests as root to check this")
def test_a_network_of_its_own_is_read_and_left_again() -> None:
    networks = os.readlink("/proc/self/ns/net")
    with server(before=["unshare", "-n"]) as (process, port):
        # beside many containers it may be one too many
        found = _connections.owners(Machine(), frozenset())
        assert process.pid not in found.networks.values() or os.readlink("/proc/%d/ns/net" % process.pid) in found.networks
        theirs = _connections._sockets(Machine(), "/proc/%d/net" % process.pid, [])
        reasons: t.List[str] = []
        queues = _connections._queues(Machine(), process.pid, reasons)
        assert [row.local_port for row in theirs or [] if row.state == "LISTEN"] == [int(port)]
        assert reasons or queues[(theirs or [])[0].inode] == (0, 7)
    assert os.readlink("/proc/self/ns/net") == networks


def test_outbound_connections_and_those_that_the_other_side_closed() -> None:
    with server() as (process, dummy), socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        door.listen(9)
        port = door.getsockname()[1]
        tell(process, *["connect %d" % port] * 5)
        accepted = [door.accept()[0] for dummy in range(5)]
        for connection in accepted[:2]:
            connection.close()
        data = look().data
        for connection in accepted[2:]:
            connection.close()
        peer = next(row for row in data["outbound"] if row["port"] == port)
        assert (peer["address"], peer["states"]) == ("127.0.0.1", {"ESTABLISHED": 3, "CLOSE_WAIT": 2})
        assert [share["sockets"] for share in peer["services"]] == [5]
        row = next(row for row in data["services"] if row["pid"] == peer["services"][0]["pid"])
        assert row["close_wait"] >= 2 and row["outbound"] >= 5 and row["capacity"] is None
        assert {"address": "127.0.0.1", "port": port, "sockets": 5, "connecting": 0, "established": 3} in row["peers"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user: run the tests as root to check this")
def test_without_privileges_the_owners_are_not_known() -> None:
    program = (
        "import json, os, sys; sys.path[:0] = %r\n"
        "from ansible_collections.oncall.pressure.plugins.module_utils._components import _connections\n"
        "from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine\n"
        "from ansible_collections.oncall.pressure.plugins.module_utils._host._collect import Options\n"
        "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "print(json.dumps(_connections.collect(Machine(), Options())))\n"
    ) % (sys.path,)
    with server() as (dummy, port):
        with socket.create_connection(("127.0.0.1", int(port))):
            said = subprocess.run([sys.executable, "-c", program], check=True, stdout=subprocess.PIPE, text=True).stdout
            status, reason, data = json.loads(said)
            found = next(row for row in data["listeners"] if row["port"] == int(port))
            assert (status, found["service"], found["waiting"]) == ("partial", None, 1)
            assert "no privileges" in reason


class Host:
    """A recording that is written by hand."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file("/proc/uptime", "3600.00 100.00\n")
        self.file("/commands.json", json.dumps({"now": 1795260900, "commands": {}}))

    def file(self, path: str, text: str) -> None:
        place = self.folder / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text, encoding="utf-8")

    def process(self, pid: int, ppid: int, name: str, cgroup: str, inodes: t.Sequence[int] = (), network: str = "net:[1]") -> None:
        fields = ["S", ppid, pid, pid, 0, -1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 20, 0, 1, 0, 350000, 1000000, 100] + [0] * 28
        self.file("/proc/%d/stat" % pid, "%d (%s) %s\n" % (pid, name, " ".join(map(str, fields))))
        self.file("/proc/%d/cgroup" % pid, "0::%s\n" % cgroup)
        (self.folder / ("proc/%d/fd" % pid)).mkdir()
        for number, inode in enumerate(inodes):
            (self.folder / ("proc/%d/fd/%d" % (pid, number))).symlink_to("socket:[%d]" % inode)
        (self.folder / ("proc/%d/ns" % pid)).mkdir()
        (self.folder / ("proc/%d/ns/net" % pid)).symlink_to(network)

    def collect(self) -> t.Any:
        self.folder.joinpath("proc/self/ns").mkdir(parents=True, exist_ok=True)
        if not os.path.lexists(self.folder / "proc/self/ns/net"):
            (self.folder / "proc/self/ns/net").symlink_to("net:[1]")
        return _connections.collect(Machine(str(self.folder)), Options())


def tcp(*rows: t.Tuple[str, str, str, int, int]) -> str:
    return HEAD + "".join("  %d: %s %s %s 00000000:%08X 00:00000000 00000000 0 0 %d 1 0 20 0 0 10 -1\n" % (
        number, local, remote, state, waiting, inode) for number, (local, remote, state, waiting, inode) in enumerate(rows))


def test_the_hosts_own_addresses_are_told_without_those_that_every_host_has(tmp_path: Path) -> None:
    host = Host(tmp_path)
    host.file("/proc/net/tcp", tcp())
    leaf = "           |-- %s\n              /32 host LOCAL\n"
    host.file("/proc/net/fib_trie", "Local:\n  +-- 0.0.0.0/0 3 0 5\n" + "".join(map(leaf.__mod__, ("127.0.0.1", "172.17.0.1", "10.0.0.5"))))
    host.file("/proc/net/if_inet6", "".join("%s 02 40 00 80 eth0\n" % address for address in (
        "00000000000000000000000000000001", "fe800000000000000000000000000005", "20010db8000000000000000000000005")))
    assert host.collect().data["addresses"] == ["10.0.0.5", "172.17.0.1", "2001:db8::5"]


def test_services_in_networks_of_their_own(tmp_path: Path) -> None:
    host = Host(tmp_path)
    host.process(50, 1, "nginx", "/system.slice/nginx.service", [11])
    host.process(51, 50, "nginx", "/system.slice/nginx.service", [11, 12, 13])
    host.process(60, 1, "gunicorn", "/system.slice/docker-%s.scope" % ("a" * 64), [21, 22], "net:[2]")
    host.process(70, 1, "bash", "/", [31])
    host.file("/proc/net/tcp", tcp(
        ("00000000:0050", "00000000:0000", "0A", 4, 11), ("0100007F:0050", "0100007F:C001", "01", 0, 12), ("0100007F:C002", "0B006EC0:01BB", "02", 0, 13)))
    host.file("/proc/net/tcp6", tcp(("00000000000000000000000000000000:0050", "00000000000000000000000000000000:0000", "0A", 0, 99)))
    host.file("/proc/60/net/tcp", tcp(("00000000:1F40", "00000000:0000", "0A", 2, 21), ("0B006EC0:1F40", "0100007F:C001", "08", 0, 22)))
    reading = checked(host.collect())
    assert reading.status == "partial" and "not told" in reading.reason
    assert [(row["port"], row["waiting"], row["established"], row["service"], row["pid"], row["own_network"]) for row in reading.data["listeners"]] == [
        (80, 4, 1, "nginx.service", 50, True), (8000, 2, 0, "docker:" + "a" * 12, 60, False), (80, 0, 0, None, None, True)]
    assert reading.data["networks"] == 2
    assert reading.data["outbound"] == [{
        "address": "192.110.0.11", "port": 443, "sockets": 1, "states": {"SYN_SENT": 1}, "services": [{"service": "nginx.service", "pid": 50, "sockets": 1}]}]
    assert {row["service"]: (row["sockets"], row["inbound"], row["connecting"], row["close_wait"]) for row in reading.data["services"]} == {
        "nginx.service": (2, 1, 1, 0), "docker:" + "a" * 12: (1, 0, 0, 1)}


def test_a_host_without_tables_is_denied(tmp_path: Path) -> None:
    host = Host(tmp_path)
    reading = host.collect()
    assert (reading.status, reading.data) == ("denied", None) and "/proc/net/tcp is not there" in reading.reason


def test_rubbish_is_said(tmp_path: Path) -> None:
    host = Host(tmp_path)
    host.file("/proc/net/tcp", tcp(("00000000:0050", "00000000:0000", "0A", 4, 11)) + "\x00\x01 rubbish\n  7: 0:0\n")
    host.file("/proc/net/unix", "\x00" * 100 + "\nx x x x x x x x\n")
    reading = checked(host.collect())
    assert reading.status == "partial" and "2 lines of /proc/net/tcp were not understood" in reading.reason
    assert [row["port"] for row in reading.data["listeners"]] == [80]


def test_very_many_sockets_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_connections, "_TABLE_BYTES", 4096)
    host = Host(tmp_path)
    host.file("/proc/net/tcp", tcp(*[("0100007F:%04X" % (40000 + number), "0B006EC0:01BB", "01", 0, 0) for number in range(1000)]))
    reading = checked(host.collect())
    assert reading.status == "partial" and "lower bounds" in reading.reason and "not understood" not in reading.reason
    assert 10 < reading.data["outbound"][0]["sockets"] < 100


def test_names_and_capacity_come_from_the_services() -> None:
    def setting(value: t.Any) -> t.Any:
        return {"value": value}

    web = {
        "id": "supervisor:web", "main_pid": 60, "workers": [{"pid": 61}], "worker_summary": {"count": 4},
        "settings": {"program": "gunicorn", "worker_class": setting("gthread"), "threads": setting(8)},
    }
    found = {
        "listeners": [{"service": "supervisor.service", "pid": 60}, {"service": None, "pid": None}],
        "services": [{"service": "supervisor.service", "pid": 61, "capacity": None}, {"service": "db.service", "pid": 9, "capacity": None}],
        "outbound": [{"services": [{"service": "supervisor.service", "pid": 60}]}],
    }
    _owners.tell(found, [web])
    assert [row["service"] for row in found["listeners"]] == ["supervisor:web", None]
    assert [(row["service"], row["capacity"]) for row in found["services"]] == [("supervisor:web", 32), ("db.service", None)]
    assert found["outbound"][0]["services"][0]["service"] == "supervisor:web"


@pytest.mark.parametrize("change", [
    {"settings": None}, {"worker_summary": None}, {"settings": {"program": "uvicorn"}},
    {"settings": {"program": "gunicorn", "worker_class": {"value": "gevent"}}},
    {"settings": {"program": "gunicorn", "worker_class": {"value": "sync"}, "threads": {"value": "many"}}},
])
def test_what_is_not_known_has_no_capacity(change: t.Any) -> None:
    assert _owners.capacity(dict({"worker_summary": {"count": 4}}, **change)) is None
