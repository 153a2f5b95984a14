# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ask a web server of this host in a way that what is behind it is not asked: a HEAD that announces a body which never comes.

Private to oncall.pressure: no stable interface.

nginx looks at its limits when it has the headers, and passes a request on only when it has the body, unless it is told not to wait for that.
"""

from __future__ import annotations

import socket
import ssl
import typing as t

_HEAD_LIMIT = 65536


class Door(t.NamedTuple):
    """Where a server listens: host and port, or the path of a socket; whether it speaks TLS, or wants to be told the client first (PROXY)."""

    host: str
    port: int
    unix: str
    tls: bool
    proxy_protocol: bool


def knock(door: Door, name: str, target: bytes, headers: t.Mapping[str, str], wait_s: float, connect_s: float = 3.0) -> int | None:
    """The status of the answer to one HEAD with a body that never comes; null where none came within ``wait_s``. Raises OSError where nobody listens.

    ``target``: a path of safe bytes (percent-encoded); ``name``: the server's. A certificate is not judged.
    """
    lines = [b"HEAD " + target + b" HTTP/1.1", b"Host: " + name.encode("ascii"), b"User-Agent: oncall-pressure", b"Connection: close", b"Content-Length: 1"]
    lines += [("%s: %s" % item).encode("ascii") for item in headers.items()]
    stream = _connect(door, connect_s)
    try:
        if door.proxy_protocol:
            stream.sendall(b"PROXY UNKNOWN\r\n")
        if door.tls:
            # without loading any authorities, which takes longer than all the rest
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            stream = context.wrap_socket(stream, server_hostname=name)
        stream.settimeout(wait_s)
        stream.sendall(b"\r\n".join(lines) + b"\r\n\r\n")
        return _status(stream)
    finally:
        stream.close()


def _connect(door: Door, timeout_s: float) -> socket.socket:
    if not door.unix:
        return socket.create_connection((door.host, door.port), timeout_s)
    stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        stream.settimeout(timeout_s)
        stream.connect(door.unix)
    except OSError:
        stream.close()
        raise
    return stream


def _status(stream: socket.socket) -> int | None:
    data = b""
    try:
        while b"\r\n" not in data and len(data) < _HEAD_LIMIT:
            more = stream.recv(4096)
            if not more:
                break
            data += more
    except (socket.timeout, ConnectionError, ssl.SSLError):
        return None
    words = data.split(b" ", 2)
    return int(words[1]) if len(words) > 1 and words[0].startswith(b"HTTP/") and words[1].isdigit() else None
