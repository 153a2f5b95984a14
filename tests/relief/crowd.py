# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Clients of one site, each with an address of its own, and what each of them was answered: python3 crowd.py SPEC (a JSON object).

groups  list of {name, clients, from, url, rate_per_s}: each client asks the URL so often from one of the addresses in turn, whatever became of the last

It ends by itself after `for_s` seconds. One JSON line for each answer: {"t": monotonic seconds of the asking, "s": seconds it took,
"group", "from", "status": 0 for none}.
"""

from __future__ import annotations

import http.client
import json
import random
import sys
import threading
import time
from urllib.parse import urlsplit

TIMEOUT_S = 20.0
LOCK = threading.Lock()


def ask(group, source):
    started = time.monotonic()
    parts = urlsplit(group["url"].replace("{n}", str(random.randrange(1, 99999))))
    connection = http.client.HTTPConnection(parts.hostname, parts.port or 80, timeout=TIMEOUT_S, source_address=(source, 0))
    status = 0
    try:
        connection.request("GET", parts.path + ("?" + parts.query if parts.query else ""), headers={"User-Agent": "crowd/1", "Connection": "close"})
        answer = connection.getresponse()
        answer.read()
        status = answer.status
    except (OSError, http.client.HTTPException):
        pass
    finally:
        connection.close()
    row = {"t": started, "s": round(time.monotonic() - started, 3), "group": group["name"], "from": source, "status": status}
    with LOCK:
        print(json.dumps(row), flush=True)


def client(group, number, until):
    pause_s = 1.0 / group["rate_per_s"]
    time.sleep(random.uniform(0, pause_s))
    while time.monotonic() < until:
        started = time.monotonic()
        ask(group, group["from"][number % len(group["from"])])
        time.sleep(max(0.0, pause_s - (time.monotonic() - started)))


def main():
    asked = json.loads(sys.argv[1])
    until = time.monotonic() + asked["for_s"]
    threads = [threading.Thread(target=client, args=(group, number, until), daemon=True) for group in asked["groups"] for number in range(group["clients"])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main()
