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
import threading
import time
import typing as t
import urllib.parse

#: How often each URL of several is asked.
TRIES: t.Final = 3

#: How long one of these answers may take, in seconds.
TIMEOUT_S: t.Final = 4.0

#: How long all tries may take besides the pauses between them, in seconds.
LIMIT_S: t.Final = 6.0


class Answer(t.NamedTuple):
    """One try: the status (null: none came), why none came, seconds."""

    status: int | None
    why: str
    seconds: float


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


def ask_all(urls: t.Mapping[str, str], pause_s: float) -> dict[str, list[Answer]]:
    """The answers by name; every URL is asked by a thread of its own, so that one that hangs takes no time from another."""
    answers: dict[str, list[Answer]] = {name: [] for name in urls}

    def asker(name: str, url: str) -> None:
        for number in range(TRIES):
            if number:
                time.sleep(pause_s)
            started = time.monotonic()
            status, why = ask(url, TIMEOUT_S)
            answers[name].append(Answer(status, why, time.monotonic() - started))
            if status is None and answers[name][-1].seconds >= TIMEOUT_S * 0.9:
                # one that hangs is asked no second time: it has enough to do
                break

    threads = [threading.Thread(target=asker, args=item, daemon=True) for item in urls.items()]
    for thread in threads:
        thread.start()
    # a server that drips its answer byte by byte meets the limit of each read and not that of the whole
    until = time.monotonic() + LIMIT_S + TRIES * pause_s
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()))
    return {name: list(found) for name, found in answers.items()}
