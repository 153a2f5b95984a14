# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ask a daemon of this host over HTTP on a Unix socket: GET only, for a bounded time and a bounded number of bytes in all.

The standard library's client is not used: with the mail parser and TLS that it loads it takes more memory than all that is asked for with it.

Private to oncall.pressure: no stable interface.
"""

from __future__ import annotations

import os
import re
import socket
import stat
import struct
import time
import typing as t


class Refused(Exception):
    """A socket that is not asked, because somebody could have put it there who is not trusted."""


class NoAnswer(Exception):
    """What came is no answer: too late, too much, or no HTTP."""


class _NoHttp(NoAnswer):
    """What came is no HTTP, or ends too early."""

    def __init__(self) -> None:
        super().__init__("it does not speak HTTP")


#: A line of a head, or of the length of a part, is no longer than this, and a head has no more lines.
_LINE_BYTES = 65536
_LINES = 100

_STATUS = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9][0-9])(?: [^\r\n]*)?\r?\n\Z")

_TOO_LARGE = "its answer is larger than what is read"


class _Bounded(socket.socket):
    """A socket that reads until a moment, and so many bytes, however these are cut: a time limit of the socket alone would begin anew for each part."""

    end = 0.0
    left = 0

    def _wait(self) -> None:
        seconds = self.end - time.monotonic()
        if seconds <= 0:
            raise socket.timeout("timed out")
        self.settimeout(seconds)

    def recv_into(self, *words: t.Any, **named: t.Any) -> int:
        """As a socket does, within the bounds."""
        self._wait()
        if self.left <= 0:
            raise NoAnswer(_TOO_LARGE)
        size = super().recv_into(*words, **named)
        self.left -= size
        return size

    def sendall(self, *words: t.Any) -> None:
        """As a socket does, within the bounds."""
        self._wait()
        super().sendall(*words)


def _line(stream: t.BinaryIO) -> bytes:
    """The next line, with its end."""
    line = stream.readline(_LINE_BYTES)
    if not line.endswith(b"\n"):
        raise _NoHttp
    return line


def _head(stream: t.BinaryIO) -> tuple[int, dict[bytes, bytes]]:
    """The status of an answer and its headers; of those that come before it ("100 Continue") nothing is kept."""
    while True:
        found = _STATUS.match(_line(stream))
        if found is None:
            raise _NoHttp
        # what is older does not say that it closes
        headers = {b"connection": b"close" if found.group(1) == b"0" else b""}
        for dummy in range(_LINES):
            name, dummy_colon, value = _line(stream).partition(b":")
            if not name.strip():
                break
            headers[name.strip().lower()] = value.strip().lower()
        else:
            raise _NoHttp
        if int(found.group(2)) >= 200:
            return int(found.group(2)), headers


def _exactly(stream: t.BinaryIO, size: bytes, base: int, most: int) -> bytes:
    """What comes next, as many bytes as a number in what came before says."""
    try:
        wanted = int(size, base)
    except ValueError:
        wanted = -1
    if wanted < 0:
        raise _NoHttp
    # room is made for all of it at once
    data = stream.read(min(wanted, most))
    if len(data) < min(wanted, most):
        raise _NoHttp
    if wanted > most:
        raise NoAnswer(_TOO_LARGE)
    return data


def _parts(stream: t.BinaryIO, most: int) -> bytes:
    """A body that comes in parts, each after its length; what may follow the last is read and not kept."""
    parts: list[bytes] = []
    while not parts or parts[-1]:
        parts.append(_exactly(stream, _line(stream).partition(b";")[0], 16, most))
        if parts[-1] and _line(stream).strip():
            raise _NoHttp
    for dummy in range(_LINES):
        if not _line(stream).strip():
            return b"".join(parts)
    raise _NoHttp


def answer(stream: t.BinaryIO, most: int) -> tuple[int, bytes, bool]:
    """The status and the body of the next answer of a stream, and whether it was the last. Raises NoAnswer, also where one body is over ``most`` bytes."""
    status, headers = _head(stream)
    if b"chunked" in headers.get(b"transfer-encoding", b""):
        body = _parts(stream, most)
    elif b"content-length" in headers:
        body = _exactly(stream, headers[b"content-length"], 10, most)
    else:
        return status, stream.read(), True
    return status, body, headers[b"connection"] == b"close"


def check(path: str, owners: t.AbstractSet[int]) -> None:
    """Raise Refused where a socket, or the folder that it lies in, belongs to somebody else or may be written by others. Raises OSError."""
    found, folder = os.stat(path), os.stat(os.path.dirname(os.path.realpath(path)))
    if not stat.S_ISSOCK(found.st_mode):
        raise Refused("it is no socket")
    if found.st_uid not in owners:
        raise Refused("it belongs to the user %d" % found.st_uid)
    if folder.st_uid not in owners or folder.st_mode & 0o022:
        raise Refused("others may write to its folder")


class UnixHttp:
    """One daemon, asked several times over one connection that is made anew after a failure."""

    def __init__(self, path: str, owners: t.AbstractSet[int]) -> None:
        self._path = path
        self._owners = owners
        self._socket: _Bounded | None = None
        self._stream: t.BinaryIO | None = None

    def get(self, target: str, time_limit_s: float, size_limit: int) -> tuple[int, bytes]:
        """The status and the body of an answer. Raises Refused, NoAnswer, or OSError (socket.timeout where it is too late)."""
        end = time.monotonic() + time_limit_s
        try:
            if self._socket is None or self._stream is None:
                self._open(end)
            bounded, stream = t.cast(_Bounded, self._socket), t.cast(t.BinaryIO, self._stream)
            bounded.end, bounded.left = end, size_limit
            bounded.sendall(b"GET %s HTTP/1.1\r\nHost: localhost\r\nAccept: application/json\r\nAccept-Encoding: identity\r\n\r\n" % target.encode("ascii"))
            status, body, closes = answer(stream, size_limit)
        except BaseException:
            self.close()
            raise
        if closes:
            self.close()
        return status, body

    def _open(self, end: float) -> None:
        check(self._path, self._owners)
        bounded = _Bounded(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            bounded.settimeout(max(end - time.monotonic(), 0.01))
            bounded.connect(self._path)
            # who listens, as the kernel says: the file may have been another a moment ago
            uid = struct.unpack("3i", bounded.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[1]
            if uid not in self._owners:
                raise Refused("the user %d listens there" % uid)
        except BaseException:
            bounded.close()
            raise
        self._socket, self._stream = bounded, bounded.makefile("rb")

    def close(self) -> None:
        """Let the daemon go."""
        for one in (self._stream, self._socket):
            if one is not None:
                one.close()
        self._stream = self._socket = None
