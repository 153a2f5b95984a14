# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole machine: a kernel of its own, cgroup v2, and reboots that write nothing back to the disk. What only a real boot can show."""

from __future__ import annotations

import random
import time
from typing import Any

import _faults
import _hosts
from _common import LabError
from _faults import Bench, Cell

# A machine that is emulated needs its time to reach a boundary.
WITHIN_S = 120
POINTS = ("armed", "applying:1", "verified")


def part(benches: list[Bench], randomly: random.Random, fast: bool) -> list[dict[str, Any]]:
    """Reboots at boundaries of two changes, kills and a change that outlives the boot because it was confirmed."""
    bench = Bench(_hosts.machine())
    rows: list[dict[str, Any]] = []
    for mitigation, kinds in (("files", ("reboot",)), ("units", ("reboot", "SIGKILL"))):
        bench.prepare(mitigation)
        for kind in kinds:
            for point in [name for name in POINTS if name in bench.points] if kind == "reboot" else ["applying:1"]:
                row = _faults.one(bench, Cell(mitigation, point, point, kind, 0), WITHIN_S)
                row["name"] = "{0} {1} {2} on the whole machine".format(mitigation, point, kind)
                if not row["hit"]:
                    row["wrong"].append("the fault never hit its boundary: {0}".format(row.get("why")))
                _faults.tell(row)
                rows.append(row)
                if "old" != row["ended"]:
                    raise LabError("the machine is {0} after {1}: {2}".format(row["ended"], row["name"], row["wrong"]))
    rows.append(confirmed_stays(bench))
    return rows


def confirmed_stays(bench: Bench) -> dict[str, Any]:
    """What was confirmed is still there after a boot, and can still be taken back."""
    row: dict[str, Any] = {"name": "a confirmed change outlives a boot of the whole machine", "wrong": [], "said": ""}
    bench.prepare("files")
    bench.ask("clean")
    for request in _faults.requests_for("confirm", 300):
        bench.change(request)
    bench.host.reboot()
    time.sleep(5)
    settled = bench.ask("settle", timeout_s=30, steady_s=60, rebooted=True)
    if "new" not in settled["same"]:
        row["wrong"] += settled["differences"]["new"][:6]
    bench.roll_back()
    settled = bench.ask("settle", timeout_s=60, steady_s=60, rebooted=True)
    if "old" not in settled["same"]:
        row["wrong"] += ["after the rollback: " + line for line in settled["differences"]["old"][:6]]
    return row
