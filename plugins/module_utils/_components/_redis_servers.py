# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which Redis servers run here, where each listens, and the password that its own configuration file holds.

Private to oncall.pressure: no stable interface. Read-only.

A password is sent only through a socket that the kernel says is the server's own, and one from a file only to a process that may read that file:
anybody can call a program redis-server and wait for what it is told.
"""

from __future__ import annotations

import posixpath
import re
import stat
import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._components._daemons import Daemons, root_of, running
from ansible_collections.oncall.pressure.plugins.module_utils._components._nginx_files import Master, View
from ansible_collections.oncall.pressure.plugins.module_utils._host._dial import Certificate, Place
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine
from ansible_collections.oncall.pressure.plugins.module_utils._host._text import decode
from ansible_collections.oncall.pressure.plugins.module_utils._parse import _addresses, _cgroup, _redis_info, _sockets

_CONFIGS = ("/etc/redis/redis.conf", "/etc/redis.conf", "/etc/valkey/valkey.conf", "/etc/keydb/keydb.conf", "/usr/local/etc/redis/redis.conf")
_CONFIG_FOLDERS = ("/etc/redis", "/etc/valkey")

#: How many files are looked at for one server, and how much of one is read.
_FILES = 24
_FILE_LIMIT = 524288

#: Listening sockets are opened before any client's: they are among the first descriptors; and they come first in the kernel's lists.
_DESCRIPTORS = 64
_LIST_LIMIT = 262144

#: What a unit starts is asked of systemd, since only there its specifiers are filled in.
SHOW: t.Final = ("systemctl", "show", "--no-pager", "--property=ExecStart")
_SHOW_S = 2.0


class Server(t.NamedTuple):
    """A server's process: its user and groups, its title, the way to its files ("" where they are ours), whether its network is ours (null: not told)."""

    pid: int
    uid: int
    groups: frozenset[int]
    title: str
    root: str
    near: bool | None


class Door(t.NamedTuple):
    """A way in. name: as people write it; sure: the kernel says that this very process listens there, not only its user;
    far: it leads into another network, so that it must be looked where the connection arrives."""

    place: Place
    name: str
    sure: bool
    far: bool = False


class Config(t.NamedTuple):
    """What a configuration file says that is of use here. tls_port: 0 where none is set."""

    path: str
    port: int
    unix: str
    password: str
    tls_port: int
    certificate: Certificate | None


#: What is said of a server in a container that cannot be reached.
APART: t.Final = (
    "it has a network of its own that is not reached from here (a container): give it a unixsocket, or run redis_info in the container "
    "(connection docker or podman)")


class Unknown(Exception):
    """Something about a server cannot be told; the text says what to do."""


def servers(machine: Machine, daemons: Daemons | None) -> list[Server]:
    """The servers that run, those of our network first, without the children that save their data."""
    pids = (running(machine) if daemons is None else daemons).get("redis", ())
    found: dict[int, tuple[Server, int]] = {}
    for pid in pids:
        status = machine.text_or_none("/proc/%d/status" % pid, 8192) or ""
        row = {name: value.split() for name, colon, value in (line.partition(":") for line in status.split("\n")) if colon}
        ids = [word for name in ("Gid", "Groups") for word in row.get(name, []) if word.isdigit()]
        if not row.get("Uid") or not row.get("PPid") or row.get("State", [""])[0] in ("Z", "X"):
            continue
        title = decode(machine.peek("/proc/%d/cmdline" % pid)).replace("\0", " ").strip()
        server = Server(pid, int(row["Uid"][1]), frozenset(map(int, ids)), title, root_of(machine, pid), _near(machine, pid, row))
        found[pid] = (server, int(row["PPid"][0]))
    return sorted((server for server, parent in found.values() if parent not in found), key=lambda server: (server.near is False, server.pid))


def _near(machine: Machine, pid: int, row: t.Mapping[str, t.Sequence[str]]) -> bool | None:
    try:
        return machine.link("/proc/%d/ns/net" % pid) == machine.link("/proc/self/ns/net")
    except OSError:
        # without privileges: who numbers its processes apart has a network apart, mostly
        return None if len(row.get("NSpid", ["1"])) == 1 else False


def doors(machine: Machine, server: Server) -> list[Door]:
    """The ways to a server, best first: its own socket in the file system, then its port. Raises Unknown where there is none for us."""
    inodes = _inodes(machine, server.pid)
    found: list[Door] = []
    if inodes is not None:
        paths = _sockets.unix_listeners(machine.text_or_none("/proc/%d/net/unix" % server.pid, _LIST_LIMIT) or "")
        found += [door for inode, path in paths.items() if inode in inodes for door in _unix(machine, server, path)]
    if server.near is not False:
        found += _tcp(machine, server, inodes)
    elif inodes is not None:
        found += _far(machine, server, inodes)
    if found:
        return found
    if server.near is False:
        raise Unknown(APART)
    raise Unknown("it listens nowhere that can be told from here" + ("" if inodes is not None else ": become root"))


def _inodes(machine: Machine, pid: int) -> set[int] | None:
    """The sockets among a process's first descriptors; null where they may not be looked at."""
    folder = "/proc/%d/fd" % pid
    try:
        names = sorted((name for name in machine.names(folder) if name.isdigit()), key=int)[:_DESCRIPTORS]
    except OSError:
        return None
    found: set[int] = set()
    for name in names:
        try:
            socket = re.match(r"socket:\[(\d+)\]\Z", machine.link(folder + "/" + name))
        except OSError:
            continue
        if socket:
            found.add(int(socket.group(1)))
    return found


def _unix(machine: Machine, server: Server, path: str) -> list[Door]:
    """The way through a socket in the file system, where the file is the server's or root's."""
    try:
        real = View(machine, Master(server.pid, 0, None, None, server.root)).real(path)
        facts = machine.stat(real)
    except OSError:
        return []
    # the kernel has no room for longer paths
    if not stat.S_ISSOCK(facts.st_mode) or facts.st_uid not in (0, server.uid) or len(real.encode("utf-8", "surrogateescape")) > 107:
        return []
    return [Door(Place(unix=real), "unix:" + path, True)]


def _tcp(machine: Machine, server: Server, inodes: set[int] | None) -> list[Door]:
    title = re.search(r"[\s:](\d{1,5})(?:\s|\Z)", server.title)
    titled = int(title.group(1)) if title else 6379
    found: list[_sockets.Listener] = []
    # where it is not known whose the network is, what counts is what listens in ours
    folder = "/proc/net/" if inodes is None else "/proc/%d/net/" % server.pid
    for name in ("tcp", "tcp6"):
        rows = _sockets.listeners(machine.text_or_none(folder + name, _LIST_LIMIT) or "")
        # without a look at its descriptors: the port in its title, held by its user
        found += [row for row in rows if (row.inode in inodes if inodes is not None else row.uid == server.uid and row.port == titled)]
    # a cluster's servers talk to each other on a port of its own, which is the higher one
    found.sort(key=lambda row: (row.port != titled, row.port, ":" in row.address))
    places = [Place({"0.0.0.0": "127.0.0.1", "::": "::1"}.get(row.address, row.address), row.port) for row in found]
    return [Door(place, ("[%s]:%d" if ":" in place.host else "%s:%d") % (place.host, place.port), inodes is not None) for place in places]


def _far(machine: Machine, server: Server, inodes: set[int]) -> list[Door]:
    """The ways into a container, by its private addresses: a public one may be somebody else's too."""
    own = _addresses.local_v4(machine.text_or_none("/proc/%d/net/fib_trie" % server.pid, _LIST_LIMIT) or "")
    addresses = sorted(address for address in own if _addresses.kind(address, (), ()) == "private")[:4]
    found = []
    for door in _tcp(machine, server, inodes):
        # what listens to its loopback only is not to be had
        for address in addresses if door.place.host == "127.0.0.1" else [door.place.host]:
            if address in addresses and (address == door.place.host or _everywhere(machine, server, door.place.port, inodes)):
                found.append(Door(Place(address, door.place.port), "%s:%d" % (address, door.place.port), True, True))
    return found


def _everywhere(machine: Machine, server: Server, port: int, inodes: set[int]) -> bool:
    rows = _sockets.listeners(machine.text_or_none("/proc/%d/net/tcp" % server.pid, _LIST_LIMIT) or "")
    return any(row.inode in inodes and (row.address, row.port) == ("0.0.0.0", port) for row in rows)


def arrives(machine: Machine, server: Server, ours: tuple[str, int], other: tuple[str, int]) -> bool:
    """Whether a connection of ours has its other end in a server's network."""
    return _sockets.connected(machine.text_or_none("/proc/%d/net/tcp" % server.pid, 4 * _LIST_LIMIT) or "", other, ours)


def config(machine: Machine, server: Server, found: t.Sequence[Door]) -> Config | None:
    """The configuration file of a server: one that names what it listens to, is its owner's or root's, and that the server itself may read."""
    view = View(machine, Master(server.pid, 0, None, None, server.root))
    ports = {door.place.port for door in found if door.place.port}
    paths = {door.name for door in found if door.place.unix}
    for path in _candidates(machine, server, view):
        read = _read(machine, server, view, path)
        if read is not None and (read.port in ports or read.tls_port in ports or "unix:" + read.unix in paths):
            return read
    return None


def _candidates(machine: Machine, server: Server, view: View) -> list[str]:
    found: list[str] = []
    try:
        folder = machine.link("/proc/%d/cwd" % server.pid)
    except OSError:
        folder = ""
    for word in server.title.split()[1:3]:
        if word.endswith(".conf") and not word.startswith("-"):
            found.append(posixpath.join(folder or "/", word))
    found += _of_unit(machine, server) + list(_CONFIGS)
    for place in [*_CONFIG_FOLDERS, folder]:
        found += view.glob(place + "/*.conf") if place.startswith("/") else []
    return list(dict.fromkeys(found))[:_FILES]


def _of_unit(machine: Machine, server: Server) -> list[str]:
    """The files on the command line of the unit that started it: it has written a title over its own."""
    if server.root or not machine.exists("/run/systemd/system"):
        return []
    path = _cgroup.process_path(_cgroup.membership(machine.text_or_none("/proc/%d/cgroup" % server.pid) or ""))
    unit = posixpath.basename(path)
    if not re.match(r"[A-Za-z0-9@_.:-]{1,200}\.service\Z", unit) or unit.startswith("-"):
        return []
    try:
        outcome = machine.run(SHOW + (unit,), _SHOW_S)
    except OSError:
        return []
    return re.findall(r"(/[^\s;]{1,200}\.conf)(?=[\s;])", decode(outcome.out))


def _read(machine: Machine, server: Server, view: View, path: str) -> Config | None:
    values = dict(_directives(machine, server, view, path))
    if not values:
        return None
    port = values.get("port", "6379")
    tls_port = values.get("tls-port", "0")
    certificate = None
    if values.get("tls-cert-file") and values.get("tls-key-file"):
        own, key = (_own(machine, server, view, values[name]) for name in ("tls-cert-file", "tls-key-file"))
        if own and key:
            certificate = Certificate(own, key, values.get("tls-key-file-pass", ""))
    return Config(
        path, int(port) if port.isdigit() else 0, values.get("unixsocket", ""), values.get("requirepass", ""), int(tls_port) if tls_port.isdigit() else 0,
        certificate,
    )


def _directives(machine: Machine, server: Server, view: View, path: str, depth: int = 0) -> list[tuple[str, str]]:
    """Name and first word of each directive, those of included files in their place; nothing of a file that is not trusted."""
    real = _own(machine, server, view, path)
    if real is None:
        return []
    found: list[tuple[str, str]] = []
    try:
        text = machine.text(real, _FILE_LIMIT)
    except OSError:
        return []
    for name, words in _redis_info.settings(text):
        if name == "include" and words and depth < 3 and words[0].startswith("/"):
            for other in view.glob(words[0])[:_FILES]:
                found += _directives(machine, server, view, other, depth + 1)
        elif words:
            found.append((name, words[0]))
    return found


def _own(machine: Machine, server: Server, view: View, path: str) -> str | None:
    """Our path of a file that is root's or the server's, that nobody else may write, and that the server may read; null of any other."""
    if not path.startswith("/"):
        return None
    try:
        real = view.real(path)
        facts = machine.stat(real)
        if not stat.S_ISREG(facts.st_mode) or facts.st_uid not in (0, server.uid) or facts.st_mode & stat.S_IWOTH:
            return None
        if facts.st_mode & stat.S_IWGRP and facts.st_gid not in server.groups | {0}:
            return None
        if not _allowed(server, facts.st_mode, facts.st_uid, facts.st_gid, 4):
            return None
        folder = posixpath.dirname(real[len(server.root):])
        while True:
            above = machine.stat(server.root + folder)
            if not _allowed(server, above.st_mode, above.st_uid, above.st_gid, 1):
                return None
            if folder in ("/", ""):
                return real
            folder = posixpath.dirname(folder)
    except OSError:
        return None


def _allowed(server: Server, mode: int, uid: int, gid: int, wanted: int) -> bool:
    """Whether the kernel would let a server's process (4: read, 1: pass through) by the bits of a mode."""
    if server.uid == 0:
        return True
    return bool(mode >> (6 if uid == server.uid else 3 if gid in server.groups else 0) & wanted)
