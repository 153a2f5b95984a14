# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""tests/table/run: every collector x (works, absent, denied, hangs, answers rubbish), against the real program of the distribution."""

from __future__ import annotations

import argparse
import datetime
import json
import random
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import _cells
import _report
import _works
from _cells import COLLECTORS, DATA, WAYS, Look
from _common import LabError, alone, commit, say
from _host import Host

HEALTH = {"shop-api.service": "http://127.0.0.1:8010/api/"}


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="run", description=__doc__)
    parser.add_argument("--only", help="collectors, joined by commas: " + ", ".join(COLLECTORS))
    parser.add_argument("--way", help="of these only some ways, joined by commas: " + ", ".join(WAYS))
    parser.add_argument("--seed", type=int, help="draw everything as that run did")
    parser.add_argument("--json", help="write the figures there instead of docs/results/table.json (a part of the table is written nowhere without this)")
    parser.add_argument("--update", action="store_true", help="put the rows of this run in the place of the same cells' rows of an earlier one")
    parser.add_argument("--what", help="of these only cells in whose description this stands")
    parser.add_argument("--name", default="table-1", help="what the host is called (table-1)")
    parser.add_argument("--port", type=int, default=22171, help="where its ssh is reached (22171)")
    parser.add_argument("--keep", action="store_true", help="leave the host running, and the reports")
    parser.add_argument("--reuse", action="store_true", help="take the host that an earlier run kept, with that run's seed")
    return parser.parse_args()


class Table:
    """One run over cells: each on the one host, put back after it."""

    def __init__(self, host: Host, folder: Path, drawn: _works.Drawn, seed: int) -> None:
        self.host = host
        self.folder = folder
        self.drawn = drawn
        self.seed = seed
        self.commit = commit()
        self.shared: dict[str, Look] = {}
        self.held: dict[str, tuple[str, list[str]]] = {}

    def base(self, user: str) -> Look:
        """The host with everything working, looked at by this user: once."""
        if user not in self.shared:
            for dummy in range(6):
                found = _cells.look(self.host, self.folder, user, HEALTH)
                if not _cells.cut_short(found):
                    break
            else:
                raise LabError("the machine is too busy for a snapshot of a host without any trouble")
            self.shared[user] = found
            if user == "root":
                self.held = _works.compared(self.host, self.drawn, self.shared[user].snapshot)
                _works.ended(self.host, self.drawn)
        return self.shared[user]

    def script(self, text: str) -> str:
        return "SEED={0} PORT={1} WORD={2}\n{3}\n{4}".format(self.seed, self.drawn.port, self.drawn.word, DATA["shell"], text)

    def outside(self, text: str) -> None:
        subprocess.run(["sh", "-ec", "INIT={0}\n{1}".format(self.host.init(), text)], check=True, timeout=30)

    def play(self, cell: dict[str, Any]) -> dict[str, Any]:
        """The row of one cell."""
        user = cell.get("as", "root")
        row = {"collector": cell["collector"], "way": cell["way"], "what": cell["what"], "as": user, "mock": cell.get("mock"), "known": cell.get("known"),
               "wrong": [], "commit": self.commit, "seed": self.seed}
        try:
            base = self.base(user)
            if not {"do", "outside", "url", "urls"} & set(cell):
                found, left = base, []
            else:
                found, left = self._in_trouble(cell, user)
                row["tries"] = 1
                while _cells.cut_short(found, cell["collector"]) and row["tries"] < 3:
                    self.host.ready()
                    found, left = self._in_trouble(cell, user)
                    row["tries"] += 1
                if _cells.cut_short(found, cell["collector"]):
                    row["spoiled"] = True
            row["wrong"] = _cells.wrong_of(cell, found, base, left)
            if cell["way"] == "works" and found.snapshot:
                name = cell["collector"]
                row["held_against"], wrong = _works.killed(self.host, self.drawn, found.snapshot) if name == "oom" else self.held[name]
                row["wrong"] += wrong
        except (LabError, OSError, subprocess.SubprocessError, ValueError, KeyError) as problem:
            row["wrong"].append("{0}: {1}".format(type(problem).__name__, problem))
            return row
        if found.snapshot.get("collectors"):
            told = found.snapshot["collectors"][cell["collector"]]
            row.update(status=told["status"], reason=told["reason"], seconds=told["seconds"], module_s=found.snapshot["cost"]["wall_s"],
                       cpu_s=found.snapshot["cost"]["cpu_s"], state=found.diagnosis["state"])
        row.update(arrived_s=found.arrived_s, busy=found.busy, late=bool(found.arrived_s and found.arrived_s > DATA["within_s"]))
        return row

    def _in_trouble(self, cell: dict[str, Any], user: str) -> tuple[Look, list[str]]:
        urls = {"table.service": cell["url"].format(port=self.drawn.port)} if "url" in cell else HEALTH
        urls = {} if cell.get("urls") is False else urls
        try:
            if "do" in cell:
                self.host.sh("set -e\n" + self.script(cell["do"]))
            if "outside" in cell:
                self.outside(cell["outside"])
            found = _cells.look(self.host, self.folder, user, urls)
            left = json.loads(self.host.tool("left"))
        finally:
            if "outside_undo" in cell:
                self.outside(cell["outside_undo"])
            if "undo" in cell:
                self.host.sh(self.script(cell["undo"]), check=False)
        return found, left

    def renew(self) -> None:
        """The host without a past."""
        self.host.up(self.drawn.word, self.drawn.containers)
        _works.prepare(self.host, self.drawn)
        if "root" in self.shared:
            _works.ended(self.host, self.drawn)


def cells(asked: argparse.Namespace, randomly: random.Random) -> list[dict[str, Any]]:
    """Those of this run: first what is looked at as it is, then the others in random order, what ends a healthy host last."""
    names = asked.only.split(",") if asked.only else COLLECTORS
    ways = asked.way.split(",") if asked.way else WAYS
    wanted = [cell for cell in DATA["cells"] if cell["collector"] in names and cell["way"] in ways
              and (not asked.what or re.search(asked.what, cell.get("what", "")))]
    randomly.shuffle(wanted)
    return sorted(wanted, key=lambda cell: (cell.get("last", False), "do" in cell or "outside" in cell))


def kept(asked: argparse.Namespace) -> bool:
    """Whether what this run finds is written down."""
    return bool(asked.json or asked.update or not (asked.only or asked.way or asked.what))


def order(row: dict[str, Any]) -> tuple[int, int]:
    return COLLECTORS.index(row["collector"]), WAYS.index(row["way"])


def play_all(asked: argparse.Namespace, table: Table, wanted: list[dict[str, Any]], about: dict[str, Any]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for cell in wanted:
        if "none" in cell:
            rows.append({"collector": cell["collector"], "way": cell["way"], "none": cell["none"], "wrong": []})
            continue
        row = table.play(cell)
        try:
            table.host.ready()
        except (LabError, OSError, subprocess.SubprocessError) as problem:
            say("{0}: the host is made anew".format(problem))
            table.renew()
        rows.append(row)
        _report.say_row(row)
        rows.sort(key=order)
        if kept(asked):
            _report.write(asked.json, about, rows, asked.update)
    return rows


def main() -> int:
    """Exit status: 0 all as it must be, 1 a cell that is not, 2 the host cannot be had."""
    asked = parse()
    seed = random.SystemRandom().randrange(10 ** 6) if asked.seed is None else asked.seed
    say("seed {0}".format(seed))
    randomly = random.Random(seed)
    drawn = _works.draw(randomly)
    say(", ".join("{0} {1}".format(name, value) for name, value in drawn._asdict().items()))
    host = Host(asked.name, asked.port)
    about = {"commit": commit(), "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d"), "seed": seed, "drawn": drawn._asdict()}
    started = time.monotonic()
    try:
        with alone("table-" + asked.name), tempfile.TemporaryDirectory(prefix="table-") as folder:
            try:
                table = Table(host, Path(folder), drawn, seed)
                if not asked.reuse:
                    table.renew()
                host.inventory(Path(folder))
                rows = play_all(asked, table, cells(asked, randomly), about)
            finally:
                if not asked.keep:
                    host.down()
    except LabError as problem:
        say(str(problem))
        return 2
    bad = [row for row in rows if row["wrong"]]
    if kept(asked):
        _report.write(asked.json, dict(about, seconds=round(time.monotonic() - started)), rows, asked.update)
    print("table: {0} cells as they must be, {1} not, {2} that there are not, {3:.0f} s; seed {4}".format(
        sum("none" not in row and not row["wrong"] for row in rows), len(bad), sum("none" in row for row in rows), time.monotonic() - started, seed))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
