# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""tests/faults/run: faults made in real changes on scratch hosts, and what became of the hosts."""

from __future__ import annotations

import argparse
import random
import sys
import time
from typing import Any, Callable

import _cases
import _checks
import _faults
import _hosts
import _load
import _machines
import _paths
import _plays
import _races
import _report
from _common import LabError, alone, say

# What a full run is made of, in this order. Each gives rows with `part`, `name` and `wrong`, a list that is empty where all is well.
PARTS: dict[str, Callable[[list[_faults.Bench], random.Random, bool], list[dict[str, Any]]]] = {
    "matrix": _faults.matrix,
    "load": _load.part,
    "cases": _cases.part,
    "paths": _paths.part,
    "checks": _checks.part,
    "races": _races.part,
    "plays": _plays.part,
    "machine": _machines.part,
}
FAST = ("matrix",)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="run", description=__doc__)
    parser.add_argument("--fast", action="store_true", help="one fault per boundary and kind, nothing else; minutes")
    parser.add_argument("--only", help="parts, joined by commas: " + ", ".join(PARTS))
    parser.add_argument("--mitigations", help="only faults in these, and only their checks, joined by commas")
    parser.add_argument("--points", help="only faults at these points, joined by semicolons: to make some again, with the seed that they were made with")
    parser.add_argument("--names", help="of the lists of cases only these, joined by commas; the report keeps what was found for the others")
    parser.add_argument("--hosts", type=int, default=4, help="how many scratch hosts work side by side")
    parser.add_argument("--seed", type=int, help="draw everything as that run did")
    parser.add_argument("--json", help="write the figures there instead of docs/results/faults.json")
    parser.add_argument("--prefix", default="", help="begin the hosts' names with this, so that two runs do not share them")
    parser.add_argument("--own-share", action="store_true", help="on a machine with other busy containers: as much CPU for each host as for one process")
    parser.add_argument("--report", action="store_true", help="make no fault: write docs/results from the last run of each part")
    parser.add_argument("--add", action="store_true", help="with --report: put what was made here among the figures that are there, of mitigations and cases "
                        "that it has and those have not")
    parser.add_argument("--keep", action="store_true", help="leave the hosts running")
    return parser.parse_args()


def run_parts(asked: argparse.Namespace, benches: list[_faults.Bench], randomly: random.Random) -> list[dict[str, Any]]:
    wanted = asked.only.split(",") if asked.only else FAST if asked.fast else list(PARTS)
    rows: list[dict[str, Any]] = []
    for name in wanted:
        started = time.monotonic()
        say("part {0}".format(name))
        try:
            found = PARTS[name](benches, randomly, asked.fast)
        except LabError as problem:
            found = [{"part": name, "name": "the part itself", "wrong": [str(problem)]}]
        found = [dict(row, part=name) for row in found]
        rows += found
        _report.keep(asked, name, found)
        bad = sum(1 for row in found if row["wrong"])
        say("part {0}: {1} right, {2} wrong, {3:.0f} s".format(name, len(found) - bad, bad, time.monotonic() - started))
    return rows


def main() -> int:
    """Exit status: 0 all right, 1 something wrong, 2 the hosts cannot be had."""
    asked = parse()
    if asked.only and set(asked.only.split(",")) - set(PARTS):
        say("no such part: {0} (there are {1})".format(asked.only, ", ".join(PARTS)))
        return 2
    asked.seed = random.SystemRandom().randrange(10 ** 6) if asked.seed is None else asked.seed
    randomly = random.Random(asked.seed)
    _faults.ONLY = asked.mitigations.split(",") if asked.mitigations else None
    _cases.NAMES = asked.names.split(",") if asked.names else None
    _hosts.OWN_SHARE = asked.own_share
    _faults.POINTS = asked.points.split(";") if asked.points else None
    _faults.KEEP = _report.keep_row
    hosts: list[Any] = []
    if asked.report:
        asked.seed = None
        rows = _report.kept(list(PARTS))
        _report.write(asked, rows)
        return ended(asked, rows)
    with alone("faults" + asked.prefix):
        try:
            hosts = _hosts.up(asked.hosts, asked.prefix)
            benches = _faults.benches_for(hosts)
            rows = run_parts(asked, benches, randomly)
        except LabError as problem:
            say(str(problem))
            return 2
        finally:
            if not asked.keep:
                _hosts.down(hosts)
    if not asked.fast and not asked.only and not asked.mitigations:
        _report.write(asked, rows)
    return ended(asked, rows)


def ended(asked: argparse.Namespace, rows: list[dict[str, Any]]) -> int:
    _report.say(rows)
    print("seed {0}".format(asked.seed))
    failed = sum(1 for row in rows if row["wrong"])
    print("{0} passed, {1} failed".format(len(rows) - failed, failed))
    return 1 if failed or not rows else 0


if __name__ == "__main__":
    sys.exit(main())
