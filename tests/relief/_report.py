# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run found: lines on the terminal, docs/results/relief.json and the table docs/results/relief.md."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from _common import ROOT

RESULTS = ROOT / "docs" / "results" / "relief.json"

# Columns of the table: heading, and how it is made of a row's figures.
COLUMNS = (
    ("load average", lambda f: f.get("load_average", "")),
    ("workers", lambda f: "{0} -> {1} -> {2}".format(*(f.get(key, "?") for key in ("workers_before", "workers_target", "workers_after")))
     if "workers_target" in f else f.get("workers_before", "")),
    ("lowered after s", lambda f: f.get("lowered_after_s", "")),
    ("kills before / after start", lambda f: "{0} / {1}".format(f["kills_before"], f["kills_after_start"]) if "kills_before" in f else ""),
    ("last kill after s", lambda f: f.get("last_kill_after_s", "")),
    ("failed probes: before", lambda f: "{0} of {1}".format(f["failed_before"], f["probes_before"]) if "failed_before" in f else ""),
    ("while lowering (not by kills)", lambda f: "{0} ({1})".format(f["failed_while_lowering"], f["of_these_not_by_kills"])
     if "failed_while_lowering" in f else ""),
    ("after that", lambda f: next(("{0} of {1}".format(f["failed_" + key], f["probes_" + key])
                                   for key in ("after_lowering", "to_the_end", "from_start_on", "once_up") if "failed_" + key in f), "")),
    ("files not as before", lambda f: "{0} of {1}".format(f["files_different"], f["files_compared"]) if "files_compared" in f else ""),
)


def say_row(row: dict[str, Any]) -> None:
    print("{0:4} {1:28} {2}  {3:.0f} s".format("FAIL" if row["wrong"] else "ok", row["case"], row["host"], row["seconds"]))
    for name, value in row["figures"].items():
        print("       {0}: {1}".format(name, json.dumps(value)))
    for line in row["wrong"]:
        print("       WRONG: " + line)
    sys.stdout.flush()


def write(path: str | None, rows: list[dict[str, Any]], order: list[str], update: bool) -> None:
    """The figures, and beside them the table. With `update` rows of cases that were not played now stay as they are."""
    target = Path(path) if path else RESULTS
    merged = {row["case"]: row for row in json.loads(target.read_text(encoding="utf-8"))["rows"]} if update and target.exists() else {}
    merged.update({row["case"]: row for row in rows})
    kept = [merged[name] for name in order if name in merged]
    failed = sum(1 for row in kept if row["wrong"])
    content = {"suite": "relief", "passed": len(kept) - failed, "failed": failed, "not_played": [name for name in order if name not in merged], "rows": kept}
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    target.with_suffix(".md").write_text(table(content), encoding="utf-8")


def table(content: dict[str, Any]) -> str:
    lines = ["# Relief", "", "`make relief`: {0} passed, {1} failed. Made by the run; the full figures are in relief.json.".format(
        content["passed"], content["failed"]), ""]
    if content["not_played"]:
        lines += ["Not played: {0}.".format(", ".join(content["not_played"])), ""]
    lines += ["Workers: before, as the playbook said, after the rollback (or the host's own undo). Seconds count from the start of the playbook.",
              "A plus behind a commit: the product's files had changes that were not committed.", "",
              "| case | commit | " + " | ".join(name for name, made in COLUMNS) + " | wrong |", "| --- " * (len(COLUMNS) + 3) + "|"]
    for row in content["rows"]:
        cells = [row["commit"]] + [str(made(row["figures"])) for name, made in COLUMNS]
        wrong = "; ".join(line.replace("|", "/").replace("\n", " ")[:160] for line in row["wrong"])
        lines.append("| {0} | {1} | {2} |".format(row["case"], " | ".join(cells), wrong))
    return "\n".join(lines) + "\n"
