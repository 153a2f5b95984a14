# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""All sockets of a network namespace, from /proc/net/tcp, tcp6 and unix.

Private to oncall.pressure: no stable interface. Pure. Addresses stay as the kernel writes them: there may be very many, of which few are shown.
"""

from __future__ import annotations

import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._parse import _proc

#: of a unix socket that listens, in its flags
_ACCEPTS = 0x10000


class Socket(t.NamedTuple):
    """One TCP socket. ``waiting``: of one that listens, connections to be accepted; else bytes to be read. ``inode``: 0 where no process has it."""

    state: str
    local: str
    local_port: int
    remote: str
    remote_port: int
    waiting: int
    inode: int


class UnixListener(t.NamedTuple):
    """One unix socket that listens, with its connections: accepted, and to be accepted."""

    path: str
    inode: int
    established: int
    waiting: int


def tcp(text: str) -> tuple[list[Socket], int]:
    """Every socket, and how many lines could not be read."""
    found: list[Socket] = []
    unread = 0
    for line in text.split("\n"):
        parts = line.split(None, 10)
        if not parts or parts[0] == "sl":
            continue
        try:
            local, dummy, local_port = parts[1].rpartition(":")
            remote, dummy, remote_port = parts[2].rpartition(":")
            found.append(Socket(
                _proc.tcp_state(parts[3]), local, int(local_port, 16), remote, int(remote_port, 16), int(parts[4].rpartition(":")[2], 16), int(parts[9])))
        except (IndexError, ValueError):
            unread += 1
    return found, unread


def address(text: str) -> str | None:
    """An address as people write it, null for what is none. A mapped IPv4 address is written as one."""
    try:
        if len(text) not in (8, 32):
            return None
        found = _proc.address(text)
    except ValueError:
        return None
    return found[7:] if found.startswith("::ffff:") and "." in found else found


def unix(text: str) -> list[UnixListener]:
    """The sockets that listen and have a path, with what is connected to that path."""
    listening: dict[str, int] = {}
    established: dict[str, int] = {}
    waiting: dict[str, int] = {}
    for line in text.split("\n"):
        parts = line.split(None, 7)
        if len(parts) < 8 or not parts[6].isdecimal() or len(parts[6]) > 20:
            continue
        path = parts[7].rstrip()
        try:
            accepts = int(parts[3], 16) & _ACCEPTS
        except ValueError:
            continue
        if accepts:
            listening.setdefault(path, int(parts[6]))
        elif parts[5] == "03":
            established[path] = established.get(path, 0) + 1
        elif parts[5] == "02" and parts[6] == "0":
            # connected, and no process has it yet
            waiting[path] = waiting.get(path, 0) + 1
    return [UnixListener(path, inode, established.get(path, 0), waiting.get(path, 0)) for path, inode in listening.items()]
