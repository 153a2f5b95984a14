# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Clients of the lab's applications: python3 -m load SPEC, a JSON object.

for_s     seconds after which every client stops
groups    list of {clients, urls, rate_per_s, from}: each client is a thread that takes one of `urls` at a time,
          at `rate_per_s` of its own (0: as soon as the last answer is there), from one address of `from`
grow      {url, pid, step_mib, to_mib}: ask until worker `pid` keeps `to_mib`; then keep it warm
"{n}" in a URL becomes a number drawn for each request.
"""

from __future__ import annotations

import http.client
import json
import random
import socket
import sys
import threading
import time
from urllib.parse import urlsplit


def get(url, source=None, timeout_s=60.0):
    """(status, body) of one request on a connection of its own; (0, b"") when it fails."""
    parts = urlsplit(url)
    address = (source, 0) if source else None
    connection = http.client.HTTPConnection(parts.hostname, parts.port or 80, timeout=timeout_s, source_address=address)
    try:
        connection.request("GET", parts.path + ("?" + parts.query if parts.query else ""), headers={"User-Agent": "shop-client/1"})
        answer = connection.getresponse()
        return answer.status, answer.read()
    except (OSError, socket.timeout, http.client.HTTPException):
        return 0, b""
    finally:
        connection.close()


def client(group, until, number):
    sources = group.get("from") or [None]
    source = sources[number % len(sources)]
    pause_s = 1.0 / group["rate_per_s"] if group.get("rate_per_s") else 0.0
    # Clients that start together stay together: spread their first requests over one turn.
    time.sleep(min(random.uniform(0, pause_s), max(0.0, until - time.monotonic())))
    while time.monotonic() < until:
        started = time.monotonic()
        url = random.choice(group["urls"]).replace("{n}", str(random.randrange(1, 99999)))
        status, unused = get(url, source)
        rest_s = pause_s - (time.monotonic() - started)
        # A refused connection answers at once; do not turn it into a flood.
        time.sleep(max(rest_s, 0.0 if status else 0.2, 0.0))


def grow(asked, until):
    while time.monotonic() < until:
        status, body = get("{0}?pid={1}&hold={2}".format(asked["url"], asked["pid"], asked["step_mib"]))
        if status == 200 and json.loads(body)["kept_mib"] >= asked["to_mib"]:
            return
        time.sleep(0.02)


def main():
    asked = json.loads(sys.argv[1])
    until = time.monotonic() + asked["for_s"]
    threads = [threading.Thread(target=client, args=(group, until, number), daemon=True)
               for group in asked.get("groups", []) for number in range(group["clients"])]
    if "grow" in asked:
        threads.append(threading.Thread(target=grow, args=(asked["grow"], until), daemon=True))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, until + 5 - time.monotonic()))


if __name__ == "__main__":
    main()
