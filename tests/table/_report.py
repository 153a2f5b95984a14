# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run found: lines on the terminal, docs/results/table.json and the table docs/results/table.md."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from _cells import BUSY, COLLECTORS, DATA, WAYS
from _common import ROOT

RESULTS = ROOT / "docs" / "results" / "table.json"


def say_row(row: dict[str, Any]) -> None:
    if "none" in row:
        return
    print("{0:4} {1:11} {2:7} {3}: {4}, {5} s; arrived {6} s; {7}  {8}".format(
        "FAIL" if row["wrong"] else "ok", row["collector"], row["way"], row["what"][:60], row.get("status"), row.get("seconds"), row.get("arrived_s"),
        row.get("state"), "" if not row.get("reason") else "[{0}]".format(row["reason"][:160])))
    for line in row["wrong"]:
        print("       WRONG: " + line)
    sys.stdout.flush()


def write(path: str | None, about: dict[str, Any], rows: list[dict[str, Any]], update: bool) -> None:
    target = Path(path) if path else RESULTS
    if update and target.exists():
        now = {_cell(row) for row in rows}
        rows = rows + [row for row in json.loads(target.read_text(encoding="utf-8"))["rows"] if _cell(row) not in now]
    place = {_cell(cell): number for number, cell in enumerate(DATA["cells"])}
    # a row whose cell is no more is of no use
    rows = sorted((row for row in rows if _cell(row) in place), key=lambda row: place[_cell(row)])
    played = [row for row in rows if "none" not in row]
    arrived = sorted(row["arrived_s"] for row in played if row.get("arrived_s") is not None)
    empty = [[name, way] for name in COLLECTORS for way in WAYS if not any((row["collector"], row["way"]) == (name, way) for row in rows)]
    content = {"suite": "table", **about, "passed": sum(not row["wrong"] for row in played), "failed": sum(bool(row["wrong"]) for row in played),
               "commits": sorted({row["commit"] for row in played}), "late": sum(bool(row.get("late")) for row in played),
               "slowest_arrival_s": arrived[-1] if arrived else None, "not_played": empty, "rows": rows}
    content = json.loads(json.dumps(content).replace(str(ROOT) + "/", ""))
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    target.with_suffix(".md").write_text(_text(content), encoding="utf-8")


def _cell(row: dict[str, Any]) -> tuple[str, str, str]:
    return row["collector"], row["way"], row.get("what") or row.get("none") or ""


def _plain(text: str, most: int) -> str:
    return " ".join(text.replace("|", "/").replace("<", "(").replace(">", ")").split())[:most]


def _late(content: dict[str, Any]) -> str:
    slowest = max((row.get("module_s") or 0) for row in content["rows"])
    return ("{0} came later than that while more than {1:g} tasks ran for each processor of the machine, which is shared: `late` below, with how many."
            " The module itself took at most {2} s.".format(content["late"], BUSY, slowest))


def _text(content: dict[str, Any]) -> str:
    rows = content["rows"]
    lines = ["<!--", "Copyright (c) 2026, oncall.pressure maintainers",
             "GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)",
             "SPDX-License-" + "Identifier: GPL-3.0-or-later", "-->", "", "# Every collector in every trouble", "",
             "`make table`, {0}, commit {1}, seed {2}: {3} cells as they must be, {4} not. Made by the run; the full rows are in `table.json`,"
             " what is done in each cell in `tests/table/cells.yml`.".format(
                 content["date"], ", ".join(content["commits"]), content["seed"], content["passed"], content["failed"]), "",
             "Each cell is one call of the snapshot module by Ansible over ssh with a window of {0:g} s; the snapshot must have arrived within {1:g} s of"
             " Ansible's start, with the facts of all other collectors (the slowest took {2} s).".format(
                 DATA["window_s"], DATA["within_s"], content["slowest_arrival_s"]),
             *([_late(content)] if content["late"] else []),
             "A cell says the collector's status and after how many seconds the whole snapshot had arrived. `-`: there is no such cell; (m): the trouble is"
             " played by something in the program's place; **!**: not as it must be.", "",
             "| collector | " + " | ".join(WAYS) + " |", "| --- " * (len(WAYS) + 1) + "|"]
    for name in COLLECTORS:
        cells = []
        for way in WAYS:
            mine = [row for row in rows if (row["collector"], row["way"]) == (name, way)]
            cells.append("<br>".join("-" if "none" in row else "{0}{1} {2}{3}".format(
                "**!** " if row["wrong"] else "", row.get("status"), row.get("arrived_s"),
                (" (m)" if row.get("mock") else "") + (" late ({0})".format(row.get("busy")) if row.get("late") else "")) for row in mine) or "not played")
        lines.append("| {0} | {1} |".format(name, " | ".join(cells)))
    if any(row.get("wrong") for row in rows):
        lines += ["", "## Missed", ""]
        lines += ["- {0}, {1} ({2}): {3}{4}".format(
            row["collector"], row["way"], _plain(row["what"], 100), _plain("; ".join(row["wrong"]), 500),
            " Known: " + row["known"] if row.get("known") else "") for row in rows if row.get("wrong")]
    lines += ["", "## Cells", "", "| collector | way | what was done | status | reason | own s | host |", "| --- | --- | --- | --- | --- | ---: | --- |"]
    for row in rows:
        if "none" in row:
            lines.append("| {0} | {1} | - ({2}) | | | | |".format(row["collector"], row["way"], row["none"]))
            continue
        what = row["what"] + (", as a user without privileges" if row["as"] != "root" and "without privileges" not in row["what"] else "")
        what += ". Played: " + row["mock"] if row.get("mock") else ""
        what += ". Held against: " + row["held_against"] if row.get("held_against") else ""
        lines.append("| {0} | {1} | {2} | {3} | {4} | {5} | {6} |".format(
            row["collector"], row["way"], _plain(what, 300), row.get("status"), _plain(row.get("reason") or "", 200), row.get("seconds"), row.get("state")))
    return "\n".join(lines) + "\n"
