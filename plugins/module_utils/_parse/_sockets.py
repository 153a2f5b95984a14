# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sockets of single processes, from /proc/PID/net/tcp, tcp6 and unix.

Private to oncall.pressure: no stable interface. Pure.
"""

from __future__ import annotations

import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._parse import _proc


class Tcp(t.NamedTuple):
    """One socket: addresses as people write them; ``waiting``: connections that wait to be accepted, or bytes that wait to be read."""

    state: str
    local: str
    local_port: int
    remote: str
    remote_port: int
    waiting: int


def tcp(text: str, inodes: t.Container[int]) -> list[Tcp]:
    """The sockets of these inodes."""
    found: list[Tcp] = []
    for line in text.splitlines():
        parts = line.split()
        if len(parts) < 10 or not parts[0].endswith(":") or not parts[9].isdecimal() or len(parts[9]) > 20 or int(parts[9]) not in inodes:
            continue
        try:
            (local, port), (remote, other) = (_place(part) for part in parts[1:3])
            found.append(Tcp(_proc.tcp_state(parts[3]), local, port, remote, other, int(parts[4].split(":")[1], 16)))
        except (ValueError, IndexError):
            continue
    return found


def _place(text: str) -> tuple[str, int]:
    address, dummy, port = text.rpartition(":")
    return _proc.address(address), int(port, 16)


def unix_paths(text: str, inodes: t.Container[int]) -> list[str]:
    """The paths of the unix sockets of these inodes, each once."""
    found: dict[str, None] = {}
    for line in text.splitlines():
        parts = line.split(None, 7)
        if len(parts) == 8 and parts[6].isdecimal() and len(parts[6]) <= 20 and int(parts[6]) in inodes:
            found[parts[7].strip()] = None
    return list(found)


class Listener(t.NamedTuple):
    """A TCP socket that takes connections: address as people write it, the user who made it, its inode."""

    address: str
    port: int
    uid: int
    inode: int


def listeners(text: str) -> list[Listener]:
    """Every listening socket of /proc/PID/net/tcp or tcp6."""
    found: list[Listener] = []
    for line in text.splitlines():
        parts = line.split(None, 10)
        if len(parts) < 10 or not parts[0].endswith(":") or _proc.tcp_state(parts[3]) != "LISTEN":
            continue
        try:
            address, port = _place(parts[1])
            found.append(Listener(address, port, int(parts[7]), int(parts[9])))
        except ValueError:
            continue
    return found


def connected(text: str, one: tuple[str, int], other: tuple[str, int]) -> bool:
    """Whether a list of TCP sockets has a connection from ``one`` end (its address and port) to the ``other``."""
    for line in text.splitlines():
        parts = line.split(None, 4)
        if len(parts) < 5 or not parts[0].endswith(":") or _proc.tcp_state(parts[3]) == "LISTEN":
            continue
        try:
            if (_place(parts[1]), _place(parts[2])) == (one, other):
                return True
        except ValueError:
            continue
    return False


def unix_listeners(text: str) -> dict[int, str]:
    """The paths of unix sockets that take connections, by inode; those without a path in the file system are left out."""
    found: dict[int, str] = {}
    for line in text.splitlines():
        parts = line.split(None, 7)
        # the flag of a socket that listens (__SO_ACCEPTCON)
        if len(parts) == 8 and parts[3] == "00010000" and parts[6].isdigit() and parts[7].startswith("/"):
            found[int(parts[6])] = parts[7].rstrip("\n")
    return found
