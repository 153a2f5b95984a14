# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ask the kernel for its listening sockets over netlink: /proc/net does not say how many connections may wait at one.

Private to oncall.pressure: no stable interface. Read-only. Asking makes a kernel load the module that answers where that is not loaded yet;
so one without it is not asked.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import time
import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine

#: The most seconds and bytes that all answers together may take.
TIME_LIMIT_S = 1.0
_BYTES_LIMIT = 2097152

_SOCK_DIAG = 4
_BY_FAMILY = 20
_DUMP = 0x301
_HEAD = struct.Struct("=IHHII")
_ERROR, _DONE = 2, 3
_LISTENING = 1 << 10
#: CLONE_NEWNET
_NETWORK = 0x40000000
#: of struct inet_diag_msg: behind four bytes and the addresses come expires, waiting, the most that may wait, user, inode
_INET = struct.Struct("=IIIII")
_INET_AT = 52
#: of struct unix_diag_msg: family, type, state, padding, inode, cookie; attributes follow
_UNIX = struct.Struct("=BBBBI")
_UNIX_SIZE = 16
_SHOW_QUEUE = 0x10
_QUEUE = 4


class Queue(t.NamedTuple):
    """Connections that wait to be accepted, and how many may."""

    waiting: int
    backlog: int


def queues(machine: Machine, pid: int | None = None) -> dict[int, Queue]:
    """The queue of every listening TCP and unix socket, by inode: of this network namespace, or of that of a process, which takes root.

    Raises OSError where the kernel is not to be asked or refuses. To be called in a process that may be lost: it goes over to the other network and back.
    """
    if machine.root:
        raise OSError("a recording has no kernel to ask")
    if pid is not None:
        with _network(pid):
            return queues(machine)
    found: dict[int, Queue] = {}
    built_in = machine.text_or_none("/lib/modules/%s/modules.builtin" % machine.text("/proc/sys/kernel/osrelease").strip(), 1048576) or ""
    loaded = machine.text_or_none("/proc/modules", 1048576)
    end = time.monotonic() + TIME_LIMIT_S
    answered = False
    for module, family in (("tcp_diag", socket.AF_INET), ("tcp_diag", socket.AF_INET6), ("unix_diag", socket.AF_UNIX)):
        # a kernel that knows no modules has everything in it
        if loaded is not None and "\n%s " % module not in "\n" + loaded and "/%s.ko\n" % module not in built_in:
            continue
        if family == socket.AF_UNIX:
            body = struct.pack("=BBHIIIII", family, 0, 0, _LISTENING, 0, _SHOW_QUEUE, 0xFFFFFFFF, 0xFFFFFFFF)
        else:
            body = struct.pack("=BBBxI", family, socket.IPPROTO_TCP, 0, _LISTENING) + b"\0" * 48
        found.update(answer(_ask(body, end), family == socket.AF_UNIX))
        answered = True
    if not answered:
        raise OSError("the kernel's module tcp_diag is not loaded")
    return found


@contextlib.contextmanager
def _network(pid: int) -> t.Iterator[None]:
    """In the network namespace of a process. Raises OSError."""
    ours = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        theirs = os.open("/proc/%d/ns/net" % pid, os.O_RDONLY | os.O_CLOEXEC)
        try:
            _enter(theirs)
        finally:
            os.close(theirs)
        try:
            yield
        finally:
            _enter(ours)
    finally:
        os.close(ours)


def _enter(descriptor: int) -> None:
    try:
        # loaded only where it is needed, and not in every Python; os.setns is newer than 3.11
        import ctypes
    except ImportError:
        raise OSError("this Python has no ctypes") from None
    if ctypes.CDLL(None, use_errno=True).setns(descriptor, _NETWORK) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _ask(body: bytes, end: float) -> bytes:
    """Everything that the kernel answers to one request. Raises OSError."""
    parts: list[bytes] = []
    size = 0
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _SOCK_DIAG) as stream:
        stream.settimeout(max(end - time.monotonic(), 0.01))
        stream.send(_HEAD.pack(_HEAD.size + len(body), _BY_FAMILY, _DUMP, 1, 0) + body)
        while size < _BYTES_LIMIT and time.monotonic() < end:
            data = stream.recv(65536)
            parts.append(data)
            size += len(data)
            if len(data) < _HEAD.size or _HEAD.unpack_from(data)[1] in (_ERROR, _DONE):
                break
    return b"".join(parts)


def answer(data: bytes, unix: bool) -> dict[int, Queue]:
    """What an answer says, by inode; what is cut off or malformed ends it."""
    found: dict[int, Queue] = {}
    place = 0
    while place + _HEAD.size <= len(data):
        length, kind = _HEAD.unpack_from(data, place)[:2]
        if length < _HEAD.size or place + length > len(data):
            break
        if kind == _BY_FAMILY:
            body = data[place + _HEAD.size: place + length]
            row = _unix(body) if unix else _inet(body)
            if row is not None:
                found[row[0]] = row[1]
        place += (length + 3) & ~3
    return found


def _inet(body: bytes) -> tuple[int, Queue] | None:
    if len(body) < _INET_AT + _INET.size:
        return None
    dummy, waiting, backlog, dummy, inode = _INET.unpack_from(body, _INET_AT)
    return inode, Queue(waiting, backlog)


def _unix(body: bytes) -> tuple[int, Queue] | None:
    if len(body) < _UNIX_SIZE:
        return None
    inode = _UNIX.unpack_from(body)[4]
    place = _UNIX_SIZE
    while place + 4 <= len(body):
        length, kind = struct.unpack_from("=HH", body, place)
        if length < 4 or place + length > len(body):
            break
        if kind == _QUEUE and length >= 12:
            return inode, Queue(*struct.unpack_from("=II", body, place + 4))
        place += (length + 3) & ~3
    return None
