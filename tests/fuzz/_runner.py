# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""tests/fuzz/run: hostile input for every parser, in a process each."""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import sys
from typing import Any

import _fuzz
from _common import ROOT, commit, say

RESULTS = ROOT / "docs" / "results"
HEAD = """<!--
Copyright (c) 2026, oncall.pressure maintainers
GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
SPDX-License-Identifier: GPL-3.0-or-later
-->

# Fuzz

Written by `make fuzz`; the figures are those of `fuzz.json`. Each input is what a program really writes, cut, doubled and sprinkled with what breaks
parsers, or any text at all, drawn by hypothesis. None may raise what the parser does not declare, take {hang:.0f} s, or come out of the cleaning with a control
character; planted secrets must be gone. "Refused" are inputs that the parser answered with the error that it declares.

{inputs} inputs in {seconds:.0f} s of work, {problems} problems. Commit {commit}, seed {seed}.

| parser | inputs | refused | seconds | slowest ms | problem |
| --- | ---: | ---: | ---: | ---: | --- |
"""


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="run", description=__doc__)
    parser.add_argument("--inputs", type=int, default=1000000, help="how many in all (1000000)")
    parser.add_argument("--only", help="parsers, joined by commas: " + ", ".join(_fuzz.names()))
    parser.add_argument("--update", action="store_true", help="with --only: put these rows in the place of an earlier run's")
    parser.add_argument("--seed", type=int, help="draw what that run drew")
    parser.add_argument("--lanes", type=int, default=max(1, len(os.sched_getaffinity(0))), help="how many at once (one for each processor)")
    return parser.parse_args()


def work(job: tuple[str, int, int]) -> dict[str, Any]:
    """One parser's row."""
    return _fuzz.feed(*job).row()


def main() -> int:
    """Exit status: 0 nothing found, 1 something, 2 bad input."""
    asked = parse()
    names = asked.only.split(",") if asked.only else _fuzz.names()
    if set(names) - set(_fuzz.names()):
        say("no such parser: {0}".format(", ".join(sorted(set(names) - set(_fuzz.names())))))
        return 2
    seed = random.SystemRandom().randrange(2**32) if asked.seed is None else asked.seed
    each = -(-asked.inputs // len(names))
    rows = []
    with multiprocessing.get_context("spawn").Pool(asked.lanes, maxtasksperchild=1) as pool:
        for row in pool.imap_unordered(work, [(name, each, seed) for name in names], chunksize=1):
            rows.append(row)
            told = ("FAIL", ": " + row["problem"]) if row["problem"] else ("ok", "")
            say("{0:4} {parser}  {inputs} inputs, {seconds} s{1}".format(*told, **row))
    if asked.update and (RESULTS / "fuzz.json").exists():
        rows += [row for row in json.loads((RESULTS / "fuzz.json").read_text(encoding="utf-8"))["parsers"] if row["parser"] not in names]
    rows.sort(key=lambda row: row["parser"])
    problems = sum(1 for row in rows if row["problem"])
    figures = {"commit": commit(), "seed": seed, "inputs": sum(row["inputs"] for row in rows), "seconds": round(sum(row["seconds"] for row in rows), 1),
               "problems": problems, "parsers": rows}
    if not asked.only or asked.update:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / "fuzz.json").write_text(json.dumps(figures, indent=1, ensure_ascii=True) + "\n", encoding="utf-8")
        line = "| {parser} | {inputs} | {refused} | {seconds} | {slowest_ms} | {problem} |"
        table = [line.format(**dict(row, problem="yes" if row["problem"] else "")) for row in rows]
        (RESULTS / "fuzz.md").write_text(HEAD.format(hang=_fuzz.HANG_S, **figures) + "\n".join(table) + "\n", encoding="utf-8")
    print("seed {0}; {1} inputs".format(seed, figures["inputs"]))
    print("{0} passed, {1} failed".format(len(rows) - problems, problems))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
