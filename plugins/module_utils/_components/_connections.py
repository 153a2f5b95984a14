# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Connections: who listens and how many wait at the door, and what the services of this host are connected to.

Private to oncall.pressure: no stable interface. Read-only: /proc, and one question to the kernel for the length of the queues.

Whose a socket is stands in the folders of open files of every process. Only those of known programs are looked through, within a budget.
"""

from __future__ import annotations

import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._components._trees import Trees
from ansible_collections.oncall.pressure.plugins.module_utils._host import _listening
from ansible_collections.oncall.pressure.plugins.module_utils._host._collect import Options, Reading, denied, ok, partial
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine
from ansible_collections.oncall.pressure.plugins.module_utils._host._text import clean
from ansible_collections.oncall.pressure.plugins.module_utils._parse import _addresses, _connections
from ansible_collections.oncall.pressure.plugins.module_utils._parse._connections import Socket

#: The most of one table that is read: about 50,000 sockets. And how many network namespaces beside our own.
_TABLE_BYTES = 8388608
_NAMESPACES = 8

#: The most of the table of routes that is read, where the host's own addresses stand, and how many of them are told.
_ROUTES_BYTES = 1048576
_ADDRESSES = 32

#: Bounds on the search for owners: processes, open files of one, CPU seconds and seconds together.
_PROCESSES = 400
_FILES = 8192
_CPU_S = 0.4
_WALL_S = 2.0

#: What is listed.
_LISTENERS = 50
_PEERS = 10
_SERVICES = 50
_PEERS_OF_ONE = 3


class Owner(t.NamedTuple):
    """A service by its topmost process. ``network``: its network namespace, "" for ours."""

    service: str
    pid: int
    network: str


class Owners(t.NamedTuple):
    """Who has the sockets of which inode; a process of every other network namespace; what was not looked at and why."""

    by_inode: dict[int, Owner]
    networks: dict[str, int]
    reasons: list[str]


class Sums:
    """What one service is connected to."""

    def __init__(self) -> None:
        self.sockets = self.inbound = self.outbound = self.close_wait = self.connecting = 0
        self.peers: dict[tuple[str, int], dict[str, int]] = {}


def collect(machine: Machine, options: Options) -> Reading:
    """``connections`` in the shape of docs/architecture.md."""
    found = owners(machine, options.own_pids)
    reasons = found.reasons
    listeners: list[dict[str, t.Any]] = []
    sums: dict[Owner, Sums] = {}
    peers: dict[tuple[str, int], dict[str, int]] = {}
    shares: dict[tuple[str, int], dict[Owner, int]] = {}
    read = 0
    places: list[tuple[str, int | None]] = [("", None), *found.networks.items()]
    for network, pid in places:
        folder = "/proc/net" if pid is None else "/proc/%d/net" % pid
        sockets = _sockets(machine, folder, reasons)
        if sockets is None:
            continue
        read += 1
        queues = _queues(machine, pid, reasons)
        rows = _count(sockets, network, found.by_inode, queues, sums, peers, shares)
        # in the network of a container only what its services and its crowds listen at is worth a line
        listeners += [row for row in rows if not network or row["service"] is not None or row["waiting"]]
        text = machine.text_or_none(folder + "/unix", _TABLE_BYTES) or ""
        for row in _connections.unix(text):
            owner = found.by_inode.get(row.inode)
            if owner is not None or row.waiting:
                listeners.append(_listener("unix", row.path, None, owner, queues.get(row.inode), row.waiting, row.established, not network))
    if not read:
        return denied("; ".join(reasons))
    listeners.sort(key=lambda row: (-(row["waiting"] or 0), row["service"] is None, -row["established"], row["port"] or 0))
    nobody = sum(1 for row in listeners if row["service"] is None)
    if machine.euid() != 0 and nobody:
        reasons.append("whose %d listening sockets are may not be seen (no privileges)" % nobody)
    data = {
        "listeners": listeners[:_LISTENERS], "outbound": [_peer(key, states, shares.get(key, {})) for key, states in _largest(peers)[:_PEERS]],
        "services": [_service(owner, row) for owner, row in sorted(sums.items(), key=lambda item: -item[1].sockets)[:_SERVICES]],
        "networks": read, "addresses": _own_addresses(machine),
    }
    return partial(data, "; ".join(reasons[:10])) if reasons else ok(data)


def _own_addresses(machine: Machine) -> list[str]:
    """The addresses under which others reach this host: whoever waits for one of them waits for this host."""
    found = _addresses.local_v4(machine.text_or_none("/proc/net/fib_trie", _ROUTES_BYTES) or "")
    found |= _addresses.local_v6(machine.text_or_none("/proc/net/if_inet6", _ROUTES_BYTES) or "")
    return sorted(clean(address, 64) for address in found if _addresses.kind(address, (), ()) != "loopback" and not address.startswith("fe80:"))[:_ADDRESSES]


def owners(machine: Machine, own_pids: t.Container[int]) -> Owners:
    """Look through the open files of every process of a known program."""
    found = Owners({}, {}, [])
    trees = Trees(machine, own_pids)
    here = _network(machine, "self")
    tops: dict[tuple[int, str], Owner] = {}
    end, latest = machine.cpu_s() + _CPU_S, machine.monotonic() + _WALL_S
    refused = late = 0
    apart: set[str] = set()
    for place, pid in enumerate(sorted(trees.processes)):
        if place >= _PROCESSES or machine.cpu_s() >= end or machine.monotonic() >= latest:
            late += 1
            continue
        try:
            files = machine.names("/proc/%d/fd" % pid)
        except PermissionError:
            refused += 1
            continue
        except OSError:
            continue
        owner = _owner(machine, trees, pid, here, tops)
        if owner.network and owner.network not in found.networks:
            if len(found.networks) >= _NAMESPACES:
                apart.add(owner.network)
                continue
            found.networks[owner.network] = pid
        for file in files[:_FILES]:
            try:
                target = machine.link("/proc/%d/fd/%s" % (pid, file))
            except OSError:
                continue
            if target.startswith("socket:[") and target[8:-1].isdecimal():
                # a socket that several have was made by the one that started first
                found.by_inode.setdefault(int(target[8:-1]), owner)
        late += len(files) > _FILES
    if refused:
        found.reasons.append("open files of %d processes of other users (no privileges)" % refused)
    if apart:
        found.reasons.append("%d network namespaces beside %d others were left unread" % (len(apart), _NAMESPACES))
    if late:
        found.reasons.append("open files of %d processes were left unread, beyond the budget" % late)
    return found


def _owner(machine: Machine, trees: Trees, pid: int, here: str, known: dict[tuple[int, str], Owner]) -> Owner:
    """The service of a process, in the network that it sees."""
    top = trees.top(pid)
    network = _network(machine, str(pid))
    network = "" if network == here else network
    if (top, network) not in known:
        known[top, network] = Owner(trees.service(top), top, network)
    return known[top, network]


def _network(machine: Machine, pid: str) -> str:
    """The name of a process's network namespace; "" where it may not be seen."""
    try:
        return machine.link("/proc/%s/ns/net" % pid)
    except OSError:
        return ""


def _queues(machine: Machine, pid: int | None, reasons: list[str]) -> dict[int, _listening.Queue]:
    """How many may wait at each listening socket; none where the kernel does not tell."""
    try:
        return _listening.queues(machine, pid)
    except OSError as problem:
        reason = "how many may wait at a listening socket is not told (%s)" % (problem.strerror or problem)
        if reason not in reasons:
            reasons.append(reason)
        return {}


def _sockets(machine: Machine, folder: str, reasons: list[str]) -> list[Socket] | None:
    """All TCP sockets of one namespace, null where they cannot be read."""
    found: list[Socket] = []
    unread, known = 0, False
    for name in ("tcp", "tcp6"):
        try:
            text = machine.text("%s/%s" % (folder, name), _TABLE_BYTES)
        except FileNotFoundError:
            # without IPv6; or the process has ended
            continue
        except OSError as problem:
            reasons.append("%s/%s: %s" % (folder, name, problem.strerror))
            continue
        known = True
        if len(text) >= _TABLE_BYTES:
            reasons.append("%s/%s has more sockets than are read: counts are lower bounds" % (folder, name))
            text = text.rpartition("\n")[0]
        sockets, odd = _connections.tcp(text)
        found += sockets
        unread += odd
    if unread:
        reasons.append("%d lines of %s/tcp were not understood" % (unread, folder))
    if not known:
        reasons.append("%s/tcp is not there" % folder)
    return found if known else None


def _count(
    sockets: t.Sequence[Socket], network: str, by_inode: t.Mapping[int, Owner], queues: t.Mapping[int, _listening.Queue], sums: dict[Owner, Sums],
    peers: dict[tuple[str, int], dict[str, int]], shares: dict[tuple[str, int], dict[Owner, int]],
) -> list[dict[str, t.Any]]:
    """The rows of those that listen; what is connected is added to the sums."""
    listening = [row for row in sockets if row.state == "LISTEN"]
    ports = {row.local_port for row in listening}
    exact = {(row.local, row.local_port) for row in listening}
    established: dict[tuple[int, str, int], int] = {}
    for row in sockets:
        if row.state == "LISTEN":
            continue
        owner = by_inode.get(row.inode) if row.inode else None
        mine = sums.setdefault(owner, Sums()) if owner is not None else None
        if mine is not None:
            mine.sockets += 1
            mine.close_wait += row.state == "CLOSE_WAIT"
        if row.local_port in ports:
            if row.state == "ESTABLISHED":
                key = (len(row.local), row.local if (row.local, row.local_port) in exact else "", row.local_port)
                established[key] = established.get(key, 0) + 1
                if mine is not None:
                    mine.inbound += 1
            continue
        peer = (row.remote, row.remote_port)
        states = peers.setdefault(peer, {})
        states[row.state] = states.get(row.state, 0) + 1
        if owner is not None and mine is not None:
            mine.outbound += 1
            mine.connecting += row.state == "SYN_SENT"
            states = mine.peers.setdefault(peer, {})
            states[row.state] = states.get(row.state, 0) + 1
            share = shares.setdefault(peer, {})
            share[owner] = share.get(owner, 0) + 1
    found = []
    for row in listening:
        # what came to an address that nobody listens at by itself belongs to the one that listens at all of them
        count = established.get((len(row.local), row.local if row.local.strip("0") else "", row.local_port), 0)
        address = _connections.address(row.local)
        found.append(_listener("tcp", address, row.local_port, by_inode.get(row.inode), queues.get(row.inode), row.waiting, count, not network))
    return found


def _listener(
    kind: str, address: str | None, port: int | None, owner: Owner | None, queue: _listening.Queue | None, waiting: int, established: int, own_network: bool
) -> dict[str, t.Any]:
    return {
        "kind": kind, "address": None if address is None else clean(address, 200), "port": port, "backlog": queue.backlog if queue is not None else None,
        "waiting": waiting, "established": established, "service": owner.service if owner is not None else None,
        "pid": owner.pid if owner is not None else None, "own_network": own_network,
    }


def _largest(peers: t.Mapping[tuple[str, int], dict[str, int]]) -> list[tuple[tuple[str, int], dict[str, int]]]:
    return sorted(peers.items(), key=lambda item: (-sum(item[1].values()), item[0]))


def _peer(key: tuple[str, int], states: t.Mapping[str, int], share: t.Mapping[Owner, int]) -> dict[str, t.Any]:
    most = sorted(share.items(), key=lambda item: -item[1])[:_PEERS_OF_ONE]
    return {
        "address": _connections.address(key[0]), "port": key[1], "sockets": sum(states.values()), "states": dict(states),
        "services": [{"service": owner.service, "pid": owner.pid, "sockets": count} for owner, count in most],
    }


def _service(owner: Owner, row: Sums) -> dict[str, t.Any]:
    peers = [
        {"address": _connections.address(key[0]), "port": key[1], "sockets": sum(states.values()), "connecting": states.get("SYN_SENT", 0),
         "established": states.get("ESTABLISHED", 0)}
        for key, states in _largest(row.peers)[:_PEERS_OF_ONE]
    ]
    return {
        "service": owner.service, "pid": owner.pid, "sockets": row.sockets, "inbound": row.inbound, "outbound": row.outbound, "connecting": row.connecting,
        "close_wait": row.close_wait, "capacity": None, "peers": peers,
    }
