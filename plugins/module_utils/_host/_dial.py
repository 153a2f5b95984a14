# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A connection to a server of this host, for as many seconds and as many bytes as its caller grants, and not one more.

Private to oncall.pressure: no stable interface.
"""

from __future__ import annotations

import socket
import struct
import time
import typing as t

_PIECE = 65536


class Place(t.NamedTuple):
    """Where a server listens: the path of a socket, else an address and a port."""

    host: str = ""
    port: int = 0
    unix: str = ""


class Certificate(t.NamedTuple):
    """What we show a server that asks for one: files with the certificate and its key, and what opens the key."""

    path: str
    key: str
    password: str


class Exhausted(OSError):
    """More came than the caller wants to read."""


class Line:
    """One connection. Whatever is done with it together takes at most ``seconds`` (:meth:`grant` gives it anew) and ``limit`` bytes read.

    Raises OSError where nobody listens, TimeoutError where nobody answers in time. A certificate is not judged: the caller knows whose socket it is.
    """

    def __init__(self, place: Place, seconds: float, limit: int) -> None:
        self._left = limit
        self._end = time.monotonic() + seconds
        family = socket.AF_UNIX if place.unix else socket.AF_INET6 if ":" in place.host else socket.AF_INET
        self._stream = socket.socket(family, socket.SOCK_STREAM)
        try:
            self._stream.settimeout(seconds)
            self._stream.connect(place.unix or (place.host, place.port))
        except socket.timeout as problem:
            self._stream.close()
            raise TimeoutError(*problem.args) from problem
        except BaseException:
            self._stream.close()
            raise

    def grant(self, seconds: float, limit: int) -> None:
        """Give it more time and bytes from now on."""
        self._end = time.monotonic() + seconds
        self._left = limit

    def listener(self) -> int | None:
        """The process that called listen() on the other end of a unix socket, as the kernel knows it; null for TCP."""
        if self._stream.family != socket.AF_UNIX:
            return None
        data = self._stream.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        return int(struct.unpack("3i", data)[0])

    def ends(self) -> tuple[tuple[str, int], tuple[str, int]]:
        """Address and port of our end and of the other one; of TCP."""
        ours, other = self._stream.getsockname(), self._stream.getpeername()
        return (str(ours[0]), int(ours[1])), (str(other[0]), int(other[1]))

    def encrypt(self, certificate: Certificate | None) -> None:
        """Speak TLS from now on."""
        # most servers speak no TLS, and this takes longer to import than all the rest
        import ssl

        # without loading any authorities
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        if certificate is not None:
            # a password is always given: OpenSSL would ask the terminal for one
            context.load_cert_chain(certificate.path, certificate.key, certificate.password)
        self._wait()
        try:
            self._stream = context.wrap_socket(self._stream)
        except socket.timeout as problem:
            raise TimeoutError(*problem.args) from problem

    def send(self, data: bytes) -> None:
        """All of it."""
        self._wait()
        try:
            self._stream.sendall(data)
        except socket.timeout as problem:
            raise TimeoutError(*problem.args) from problem

    def receive(self) -> bytes:
        """What came, at least one byte; nothing where the other end closed. Raises Exhausted."""
        if self._left <= 0:
            raise Exhausted("more came than is read")
        self._wait()
        try:
            data = self._stream.recv(min(_PIECE, self._left))
        except socket.timeout as problem:
            raise TimeoutError(*problem.args) from problem
        self._left -= len(data)
        return data

    def close(self) -> None:
        """End it."""
        self._stream.close()

    def _wait(self) -> None:
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError("no time left")
        self._stream.settimeout(left)
