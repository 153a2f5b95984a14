# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""tests/fleet/run: twenty hosts remediated by all kinds of plays, runs that are killed, endings, hostile facts, ways to run."""

from __future__ import annotations

import argparse
import contextlib
import random
import signal
import sys
import time
from pathlib import Path
from typing import Any, Callable

import _endings
import _fleet
import _guards
import _hostile
import _hostile_live
import _killed
import _report
import _shapes
import _ways
from _common import LabError, alone, say
from _fleet import Host


def _bare(hosts: list[Host], randomly: random.Random, fast: bool, folder: Path) -> list[dict[str, Any]]:
    """The counter-experiment: the same shapes with a role that has no gate. Nothing is promised; what is counted is how often Ansible alone goes on."""
    _shapes.BARE = True
    try:
        rows = _shapes.part(hosts, randomly, fast, folder / "bare")
    finally:
        _shapes.BARE = False
    return rows


# Each gives rows with `name` and `wrong`, a list that is empty where all is well; the second says whether it needs the fleet.
PARTS: dict[str, tuple[Callable[[list[Host], random.Random, bool, Path], list[dict[str, Any]]], bool]] = {
    "ways": (_ways.part, False),
    "endings": (_endings.part, True),
    "hostile": (_hostile.part, False),
    "hostile_live": (_hostile_live.part, True),
    "guards": (_guards.part, True),
    "shapes": (_shapes.part, True),
    "killed": (_killed.part, True),
    "bare": (_bare, True),
}
FAST = ("ways", "endings", "hostile", "guards", "shapes", "killed")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="run", description=__doc__)
    parser.add_argument("--fast", action="store_true", help="some of each, drawn at random; minutes")
    parser.add_argument("--only", help="parts, joined by commas: " + ", ".join(PARTS))
    parser.add_argument("--names", help="of the data files only these, joined by commas; the report keeps what was found for the others")
    parser.add_argument("--kinds", help="of the failures of shapes only these, joined by commas: fails, unreachable, rescued, control, later")
    parser.add_argument("--hosts", type=int, help="how many hosts there are; as many as hosts.yml says, ten in a short run")
    parser.add_argument("--prefix", default="", help="begin the hosts' names with this, so that two runs do not share them")
    parser.add_argument("--seed", type=int, help="draw everything as that run did")
    parser.add_argument("--json", help="write the figures there instead of docs/results/fleet.json")
    parser.add_argument("--report", action="store_true", help="run nothing: write docs/results from the last run of each part")
    parser.add_argument("--reuse", action="store_true", help="take hosts that an earlier run left, where they are of the same image")
    parser.add_argument("--keep", action="store_true", help="leave the hosts running, and what the playbooks said")
    return parser.parse_args()


def run_parts(asked: argparse.Namespace, wanted: list[str], hosts: list[Host], folder: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for name in wanted:
        started = time.monotonic()
        say("part {0}".format(name))
        # Each part draws by itself, so that one alone draws as it did among the others.
        randomly = random.Random("{0} {1}".format(asked.seed, name))
        try:
            found = PARTS[name][0](hosts, randomly, asked.fast, folder)
        except LabError as problem:
            found = [{"name": "the part itself", "wrong": [str(problem)]}]
            _report.note(name, found[0])
        found = [dict(row, part=name) for row in found]
        rows += found
        bad = sum(1 for row in found if row["wrong"])
        say("part {0}: {1} right, {2} wrong, {3:.0f} s".format(name, len(found) - bad, bad, time.monotonic() - started))
    return rows


def main() -> int:
    """Exit status: 0 all right, 1 something wrong, 2 the hosts cannot be had."""
    asked = parse()
    wanted = asked.only.split(",") if asked.only else list(FAST if asked.fast else PARTS)
    if set(wanted) - set(PARTS):
        say("no such part: {0} (there are {1})".format(asked.only, ", ".join(PARTS)))
        return 2
    if asked.report:
        _report.write(asked.json, list(PARTS))
        return 0
    asked.seed = random.SystemRandom().randrange(10 ** 6) if asked.seed is None else asked.seed
    for module in (_shapes, _endings, _guards, _killed, _ways):
        module.NAMES = asked.names.split(",") if asked.names else None
    _shapes.ONLY_KINDS = asked.kinds.split(",") if asked.kinds else None
    _report.SEED, _report.SAMPLE = asked.seed, asked.fast
    _fleet.PREFIX, _fleet.REUSE = asked.prefix, asked.reuse
    folder = _report.CACHE / ("runs" + asked.prefix)
    # an order to end takes along the runs that are under way
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(143))
    hosts: list[Host] = []
    needed = any(PARTS[name][1] for name in wanted)
    with alone("fleet-hosts" + asked.prefix) if needed else contextlib.nullcontext():
        try:
            if needed:
                hosts += [Host(number + 1) for number in range(asked.hosts or (10 if asked.fast else _fleet.DATA["count"]))]
                _fleet.up(hosts)
            rows = run_parts(asked, wanted, hosts, folder)
        except LabError as problem:
            say(str(problem))
            return 2
        finally:
            if not asked.keep:
                _fleet.down(hosts)
    if not asked.fast:
        _report.write(asked.json, list(PARTS))
    for row in rows:
        if row["wrong"]:
            print("FAIL {0} {1}: {2}".format(row["part"], row["name"], "; ".join(row["wrong"])))
    failed = sum(1 for row in rows if row["wrong"])
    print("seed {0}".format(asked.seed))
    print("{0} passed, {1} failed".format(len(rows) - failed, failed))
    return 1 if failed or not rows else 0


if __name__ == "__main__":
    sys.exit(main())
