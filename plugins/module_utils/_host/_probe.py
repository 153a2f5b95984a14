# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ask a service over HTTP from the host itself, as its users would.

Private to oncall.pressure: no stable interface.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import urllib.parse


def ask(url: str, timeout_s: float) -> tuple[int | None, str]:
    """(the status of the answer, "") or (null, why there was none). One request, no redirects followed, no proxy. A certificate is not judged."""
    try:
        parts = urllib.parse.urlsplit(url)
        port = parts.port
    except ValueError as problem:
        return None, "no URL: %s" % problem
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return None, "no http or https URL"
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        connection = http.client.HTTPSConnection(parts.hostname, port, timeout=timeout_s, context=context)
    else:
        connection = http.client.HTTPConnection(parts.hostname, port, timeout=timeout_s)
    try:
        target = (parts.path or "/") + ("?" + parts.query if parts.query else "")
        connection.request("GET", target, headers={"User-Agent": "oncall-pressure", "Connection": "close"})
        return connection.getresponse().status, ""
    except (OSError, http.client.HTTPException, socket.timeout, ValueError) as problem:
        return None, str(problem) or type(problem).__name__
    finally:
        connection.close()
