# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run of faults found: figures for docs/results, a table for people, and what was missed."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from _common import ROOT, run
from _faults import KINDS, percentile
from _merged import made_again, merged

NAMES = ("matrix", "load", "cases", "paths", "checks", "races", "plays", "machine")
CACHE = ROOT / ".cache" / "faults"
RESULTS = ROOT / "docs" / "results" / "faults.json"


def at() -> dict[str, Any]:
    """Which code this is."""
    commit = run(["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"], check=False).stdout.strip() or None
    changed = bool(run(["git", "-C", str(ROOT), "status", "--porcelain", "plugins"], check=False).stdout.strip())
    return {"commit": commit, "uncommitted_changes": changed}


# The code that the hosts were given, which may not be what lies here when a run ends.
AT = at()


def keep_row(row: dict[str, Any]) -> None:
    """Each fault at once, so that a run that is ended has not been for nothing."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with open(CACHE / "rows.jsonl", "a", encoding="utf-8") as stream:
        stream.write(json.dumps(dict(row, part="matrix", at=AT)) + "\n")


def keep(asked: argparse.Namespace, name: str, rows: list[dict[str, Any]]) -> None:
    """What a part found, for a report of several runs; faults are kept one by one, and a short run is no part."""
    if asked.fast or asked.mitigations and name == "matrix":
        return
    CACHE.mkdir(parents=True, exist_ok=True)
    if asked.names or asked.mitigations:
        done = {row["name"]: row for row in rows}
        before = {row["name"]: row for row in kept([name])}
        for row in rows:
            earlier = before.get(row["name"], {})
            if not row["wrong"] and (earlier.get("wrong") or earlier.get("mended")):
                row["mended"] = "; ".join(earlier.get("wrong") or []) or earlier["mended"]
        rows = [row for other, row in before.items() if other not in done] + rows
    (CACHE / (name + ".json")).write_text(json.dumps({"seed": asked.seed, "rows": [dict(row, at=row.get("at", AT)) for row in rows]}), encoding="utf-8")


def latest(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of each fault that was made again the last, with what was wrong before under ``mended``."""
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in rows:
        key = (row["mitigation"], row["point"], row["kind"], row["number"])
        before = found.pop(key, None)
        if before is not None and (before["wrong"] or before.get("mended")) and not row["wrong"]:
            row = dict(row, mended="; ".join(before["wrong"]) or before.get("mended"))
        if before is not None and before["hit"] and not row["hit"]:
            row = before
        found[key] = row
    return list(found.values())


def kept(names: list[str]) -> list[dict[str, Any]]:
    """The rows of the last run of each part; of the matrix every fault that was made, by one run or several."""
    rows: list[dict[str, Any]] = []
    made = CACHE / "rows.jsonl"
    if made.exists() and "matrix" in names:
        rows = latest([json.loads(line) for line in made.read_text(encoding="utf-8").splitlines()])
        names = [name for name in names if name != "matrix"]
    for name in names:
        path = CACHE / (name + ".json")
        if path.exists():
            rows += json.loads(path.read_text(encoding="utf-8"))["rows"]
    return rows


def proven(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The faults whose journal proves that they hit their boundary."""
    return [row for row in rows if row.get("hit")]


def table(rows: list[dict[str, Any]]) -> dict[str, dict[str, dict[str, int]]]:
    """mitigation: boundary: kind: how many proven faults."""
    found: dict[str, dict[str, dict[str, int]]] = {}
    for row in proven(rows):
        cells = found.setdefault(row["mitigation"], {}).setdefault(row["boundary"], dict.fromkeys(KINDS, 0))
        cells[row["kind"]] = cells.get(row["kind"], 0) + 1
    return found


def lateness(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """How long after its deadline an undo began, in seconds."""
    values = [value for row in rows for value in row.get("late_s") or []]
    done = [row["done_s"] for row in rows if row.get("done_s") is not None]
    return {"count": len(values), "p50_s": percentile(values, 0.5), "p99_s": percentile(values, 0.99), "max_s": max(values) if values else None,
            "restored_p99_s": percentile(done, 0.99)}


def figures(asked: argparse.Namespace, rows: list[dict[str, Any]]) -> dict[str, Any]:
    cells = table(rows)
    lowest = min((count for boundaries in cells.values() for kinds in boundaries.values() for count in kinds.values()), default=0)
    faults = proven(rows)
    ends: dict[str, int] = {}
    for row in faults:
        ends[row["ended"]] = ends.get(row["ended"], 0) + 1
    parts: dict[str, dict[str, int]] = {}
    for row in rows:
        part = parts.setdefault(row["part"], {"passed": 0, "failed": 0})
        part["failed" if row["wrong"] else "passed"] += 1
    codes = sorted({str((row.get("at") or AT)["commit"]) for row in rows})
    changed = any((row.get("at") or AT)["uncommitted_changes"] for row in rows)
    return {
        "suite": "faults", "commits": codes, "uncommitted_changes": changed, "seed": asked.seed,
        "faults_proven": len(faults), "faults_not_proven": sum(1 for row in rows if row.get("hit") is False), "ended": ends,
        "lowest_cell": lowest, "cleared_by_the_next_call": sum(1 for row in faults if row.get("swept")),
        "undo_after_deadline": lateness([row for row in rows if row["part"] != "load"]),
        "undo_after_deadline_under_load": lateness([row for row in rows if row["part"] == "load"]),
        "not_run": [name for name in NAMES if name not in parts],
        "passed": sum(1 for row in rows if not row["wrong"]), "failed": sum(1 for row in rows if row["wrong"]), "parts": parts,
        "mended": [{"fault": label(row), "was": row["mended"][:300]} for row in rows if row.get("mended")],
        "table": cells, "misses": [row for row in rows if row["wrong"]],
        "cases": [{"part": row["part"], "name": row["name"], "said": row.get("said", ""), "right": not row["wrong"]} for row in rows if "name" in row],
    }


def lines(found: dict[str, Any]) -> list[str]:
    """The table as Markdown."""
    said = ["| mitigation | boundary | " + " | ".join(KINDS) + " |", "| --- | --- |" + " ---: |" * len(KINDS)]
    for mitigation, boundaries in found["table"].items():
        for boundary, kinds in boundaries.items():
            said.append("| {0} | {1} | {2} |".format(mitigation, boundary, " | ".join(str(kinds.get(kind, 0)) for kind in KINDS)))
    return said


def text(found: dict[str, Any]) -> str:
    late, loaded = found["undo_after_deadline"], found["undo_after_deadline_under_load"]
    said = [
        "<!--", "Copyright (c) 2026, oncall.pressure maintainers",
        "GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)",
        "SPDX-License-" + "Identifier: GPL-3.0-or-later", "-->", "", "# Faults", "",
        "Written by `make faults`; the figures are those of `faults.json`. A boundary is the journal's last line when the fault was made, and a fault counts",
        "only where the journal proves it. The faults of a cell are spread over the points that follow its line (before and after each rename, each",
        "order to systemd, each signal).", "",
        "| what | figure |", "| --- | --- |",
        "| faults proven | {0} |".format(found["faults_proven"]),
        "| hosts wholly old, wholly new, in between | {0}, {1}, {2} |".format(
            found["ended"].get("old", 0), found["ended"].get("new", 0), found["ended"].get("between", 0)),
        "| fewest faults in a cell | {0} |".format(found["lowest_cell"]),
        "| inert unit files left by a run that ended while it armed or disarmed, gone with the next call | {0} |".format(found["cleared_by_the_next_call"]),
        "| undo after its deadline: p50, p99, most (of {count}) | {p50_s} s, {p99_s} s, {max_s} s |".format(**late),
        "| the same with the load of an incident (of {count}) | {p50_s} s, {p99_s} s, {max_s} s |".format(**loaded),
        *["| the same of {0} (of {count}) | {p50_s} s, {p99_s} s, {max_s} s |".format(name, **row)
          for name, row in found.get("undo_after_deadline_of", {}).items()], "",
        "| part | passed | failed |", "| --- | ---: | ---: |",
        *["| {0} | {1} | {2} |".format(name, part["passed"], part["failed"]) for name, part in found["parts"].items()], "",
        "A row of `races` is ten races of two to eight operators. A part with fewer rows than its list was ended early: 20 rows are all races, 30 all `plays`,",
        "100 all of `load`. The code was that of the commits named in `faults.json`.", "", *lines(found), "",
    ]
    if found["not_run"]:
        said += ["Not run yet: {0}.".format(", ".join(found["not_run"])), ""]
    if found["mended"]:
        said += ["## Found and mended", "", "Wrong with earlier code, right when the same fault was made again:", ""]
        said += ["- {fault}: {was}".format(**row) for row in found["mended"]]
        said.append("")
    if found["misses"]:
        said += ["## Missed", ""]
        said += ["- {0}: {1}".format(label(row), "; ".join(row["wrong"])[:400]) for row in found["misses"]]
        said.append("")
    return "\n".join(said)


def label(row: dict[str, Any]) -> str:
    if "mitigation" in row and "kind" in row:
        return "{0}, `{1}`, {2}".format(row["mitigation"], row["point"], row["kind"])
    return "{0} {1}".format(row["part"], row["name"])


def write(asked: argparse.Namespace, rows: list[dict[str, Any]]) -> None:
    """The figures as JSON, and beside it as a table."""
    path = Path(asked.json) if asked.json else RESULTS
    if asked.add and path.exists():
        earlier = json.loads(path.read_text(encoding="utf-8"))
        found = merged(earlier, figures(asked, made_again(earlier, rows)))
    else:
        found = figures(asked, rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    path.with_suffix(".md").write_text(text(found), encoding="utf-8")


def say(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        if row["wrong"]:
            print("FAIL {0}: {1}".format(label(row), "; ".join(row["wrong"])))
    for line in lines({"table": table(rows)}):
        print(line)
    late = lateness(rows)
    print("{0} faults proven; undo after its deadline p50 {p50_s} s, p99 {p99_s} s, most {max_s} s of {count}".format(len(proven(rows)), **late))
