# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ask a URL five times a second, whatever became of the last asking: python3 probe.py URL. It runs until it is stopped.

One JSON line for each probe: {"t": monotonic seconds of its start, "s": seconds it took, "status": of the answer or 0, "error": text}.
"""

from __future__ import annotations

import http.client
import json
import sys
import threading
import time
from urllib.parse import urlsplit

EVERY_S = 0.2
TIMEOUT_S = 20.0
LOCK = threading.Lock()


def probe(parts):
    started = time.monotonic()
    status, error = 0, ""
    connection = http.client.HTTPConnection(parts.hostname, parts.port or 80, timeout=TIMEOUT_S)
    try:
        connection.request("GET", parts.path + ("?" + parts.query if parts.query else ""), headers={"User-Agent": "prober/1", "Connection": "close"})
        answer = connection.getresponse()
        answer.read()
        status = answer.status
    except (OSError, http.client.HTTPException) as problem:
        error = "%s: %s" % (type(problem).__name__, problem)
    finally:
        connection.close()
    with LOCK:
        print(json.dumps({"t": started, "s": time.monotonic() - started, "status": status, "error": error}), flush=True)


def main():
    parts = urlsplit(sys.argv[1])
    due = time.monotonic()
    while True:
        threading.Thread(target=probe, args=(parts,), daemon=True).start()
        due += EVERY_S
        time.sleep(max(0.0, due - time.monotonic()))


if __name__ == "__main__":
    main()
