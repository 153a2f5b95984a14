# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How late the host undoes by itself while the incident goes on: processors burning, a service killed by the kernel again and again, nobody connected."""

from __future__ import annotations

import random
import subprocess
import threading
import time
from typing import Any

import _faults
from _common import LabError
from _faults import Bench

EACH = 100
# Two processes that burn all they get, and one that takes more memory than its limit, is killed and comes again.
UNITS = """set -e
for number in 1 2; do
    printf '[Service]\\nExecStart=/usr/bin/python3 -c "while True: pass"\\n' > /run/systemd/system/burn-$number.service
done
printf '[Unit]\\nStartLimitIntervalSec=0\\n[Service]\\nExecStart=/usr/bin/python3 -c "kept = [bytearray(b\\\\"x\\\\") * 1048576 for n in range(400)]"
MemoryMax=64M\\nRestart=always\\nRestartSec=2\\n' > /run/systemd/system/hungry.service
systemctl daemon-reload
systemctl start --no-block burn-1.service burn-2.service hungry.service
"""
CALM = """systemctl stop burn-1.service burn-2.service hungry.service
rm -f /run/systemd/system/burn-*.service /run/systemd/system/hungry.service
systemctl daemon-reload"""
WITHIN_S = 4


def attempt(bench: Bench, mitigation: str, number: int) -> dict[str, Any]:
    """One change that nobody confirms; its controller is killed as soon as it is made."""
    row: dict[str, Any] = {"name": "{0} {1} on {2}".format(mitigation, number, bench.host.name), "wrong": [], "late_s": []}
    bench.ask("clean")
    (request,) = _faults.requests_for(mitigation, WITHIN_S)
    run = bench.host.start(_faults.words_for(request))
    try:
        said = run.communicate(timeout=90)[0].decode("utf-8", "backslashreplace")
    except subprocess.TimeoutExpired:
        run.kill()
        said = "the run does not end"
    settled = bench.ask("settle", timeout_s=WITHIN_S + 60, steady_s=20, compare=["old"])
    for journal in settled["journals"]:
        if journal["late_s"] is not None:
            row["late_s"].append(journal["late_s"])
            row["done_s"] = journal["done_s"]
    if not settled["same"]:
        row["wrong"].append("not as it was: " + "; ".join(settled["differences"]["old"][:5]))
    if not row["late_s"]:
        row["wrong"].append("no undo at a deadline: {0}; {1}".format([journal["states"] for journal in settled["journals"]], said[-300:]))
    elif row["late_s"][0] > 5:
        row["wrong"].append("undo began {0} s after its deadline".format(row["late_s"][0]))
    return row


def part(benches: list[Bench], randomly: random.Random, fast: bool) -> list[dict[str, Any]]:
    """Rows of all hosts side by side, with the load on all of them."""
    rows: list[dict[str, Any]] = []
    lock = threading.Lock()

    def work(bench: Bench, share: int) -> None:
        try:
            mitigation = "files"
            bench.prepare(mitigation)
            bench.host.sh(UNITS)
            time.sleep(3)
            bench.ask("record", name="old")
            for number in range(share):
                row = attempt(bench, mitigation, number)
                with lock:
                    rows.append(row)
                    print("load {0}: late {1} {2}".format(row["name"], row["late_s"], "; ".join(row["wrong"])), flush=True)
        except (LabError, subprocess.TimeoutExpired, OSError, KeyError, ValueError) as problem:
            with lock:
                rows.append({"name": "load on " + bench.host.name, "wrong": [repr(problem)[:500]]})
        finally:
            bench.host.sh(CALM, check=False)
            bench.ready_for = ""

    # Two hosts under load are as much as two processors show anything with.
    chosen = benches[:2]
    threads = [threading.Thread(target=work, args=(bench, EACH // len(chosen))) for bench in chosen]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return rows
