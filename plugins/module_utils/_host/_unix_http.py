# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ask a daemon of this host over HTTP on a Unix socket: GET only, for a bounded time and a bounded number of bytes in all.

Private to oncall.pressure: no stable interface.
"""

from __future__ import annotations

import http.client
import os
import socket
import stat
import struct
import time
import typing as t


class Refused(Exception):
    """A socket that is not asked, because somebody could have put it there who is not trusted."""


class NoAnswer(Exception):
    """What came is no answer: too late, too much, or no HTTP."""


class _Bounded(socket.socket):
    """A socket that reads until a moment, and so many bytes, however these are cut: http.client alone would wait anew for each part."""

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
            raise NoAnswer("its answer is larger than what is read")
        size = super().recv_into(*words, **named)
        self.left -= size
        return size

    def sendall(self, *words: t.Any) -> None:
        """As a socket does, within the bounds."""
        self._wait()
        super().sendall(*words)


class _Connection(http.client.HTTPConnection):
    def __init__(self, stream: _Bounded) -> None:
        super().__init__("localhost")
        self.sock = stream
        # one that was closed by the other end is not opened again behind our back
        self.auto_open = 0


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
        self._connection: _Connection | None = None
        self._stream: _Bounded | None = None

    def get(self, target: str, time_limit_s: float, size_limit: int) -> tuple[int, bytes]:
        """The status and the body of an answer. Raises Refused, NoAnswer, or OSError (socket.timeout where it is too late)."""
        end = time.monotonic() + time_limit_s
        try:
            if self._connection is None or self._stream is None:
                self._open(end)
            connection, stream = t.cast(_Connection, self._connection), t.cast(_Bounded, self._stream)
            stream.end, stream.left = end, size_limit
            connection.request("GET", target, headers={"Accept": "application/json"})
            answer = connection.getresponse()
            body = answer.read()
        except (http.client.HTTPException, ValueError) as problem:
            self.close()
            raise NoAnswer("it does not speak HTTP") from problem
        except BaseException:
            self.close()
            raise
        if answer.will_close:
            self.close()
        return answer.status, body

    def _open(self, end: float) -> None:
        check(self._path, self._owners)
        stream = _Bounded(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            stream.settimeout(max(end - time.monotonic(), 0.01))
            stream.connect(self._path)
            # who listens, as the kernel says: the file may have been another a moment ago
            uid = struct.unpack("3i", stream.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[1]
            if uid not in self._owners:
                raise Refused("the user %d listens there" % uid)
        except BaseException:
            stream.close()
            raise
        self._stream, self._connection = stream, _Connection(stream)

    def close(self) -> None:
        """Let the daemon go."""
        if self._connection is not None:
            self._connection.close()
        if self._stream is not None:
            self._stream.close()
        self._connection = self._stream = None
