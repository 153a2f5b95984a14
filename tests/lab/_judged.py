# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run of remediations found: lines on the terminal, docs/results/remediated.json and its table."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from _common import ROOT

RESULTS = ROOT / "docs" / "results" / "remediated.json"


def _steps(figures: dict[str, Any]) -> str:
    return ", ".join("{0}: {1}".format(step["mitigation"], step["state"]) for step in figures.get("steps", []) if step["state"] != "waiting")


def _of(figures: dict[str, Any], what: str) -> str:
    return "{0} of {1}".format(figures["failed_" + what], figures["probes_" + what]) if "failed_" + what in figures else ""


def _from_to(figures: dict[str, Any], before: str, after: str) -> str:
    return "{0} -> {1}".format(figures.get(before, "?"), figures.get(after, "?")) if before in figures else ""


# Columns of the table: heading, and how it is made of a row's figures.
COLUMNS = (
    ("load average", lambda f: f.get("load_average", "")),
    ("steps", _steps),
    ("ended", lambda f: f.get("ended", "")),
    ("exit status", lambda f: f.get("status", "")),
    ("relief after s", lambda f: "none" if "relief_s" in f and f["relief_s"] is None else f.get("relief_s", "")),
    ("playbook s", lambda f: f.get("playbook_s", {}).get("remediate", "")),
    ("kills before / after start", lambda f: "{0} / {1}".format(f["kills_before"], f["kills_after_start"]) if "kills_before" in f else ""),
    ("CPUs of the service", lambda f: _from_to(f, "cpus_before", "cpus_after")),
    ("workers", lambda f: _from_to(f, "workers_before", "workers_after")),
    ("failed probes: before", lambda f: _of(f, "before")),
    ("during (not by kills)", lambda f: "{0} ({1})".format(_of(f, "during"), f["failed_not_by_kills"]) if "failed_during" in f else ""),
    ("after", lambda f: _of(f, "after")),
    ("diagnosis afterwards", lambda f: f.get("afterwards", "")),
    ("not as before", lambda f: "{0} of {1} facts".format(f["facts_different"], f["facts_compared"]) if "facts_compared" in f else ""),
)


def say_row(row: dict[str, Any]) -> None:
    print("{0:4} {1}/{2}  {3}, seed {4}, {5:.0f} s".format(
        "FAIL" if row["wrong"] else "ok", row["incident"], row["way"], row["host"], row["seed"], row["seconds"]))
    for name, value in row["figures"].items():
        print("       {0}: {1}".format(name, json.dumps(value)))
    for line in row["wrong"]:
        print("       WRONG: " + line)
    sys.stdout.flush()


def write(path: str | None, rows: list[dict[str, Any]], order: list[list[str]], update: bool, seed: int) -> None:
    """The figures, and beside them the table. With `update` rows that were not played now stay as they are."""
    target = Path(path) if path else RESULTS
    merged = {(row["incident"], row["way"]): row for row in json.loads(target.read_text(encoding="utf-8"))["rows"]} if update and target.exists() else {}
    merged.update({(row["incident"], row["way"]): row for row in rows})
    kept = [merged[tuple(pair)] for pair in order if tuple(pair) in merged]
    failed = sum(1 for row in kept if row["wrong"])
    content = {"suite": "remediated", "seed": seed, "passed": len(kept) - failed, "failed": failed,
               "not_played": ["/".join(pair) for pair in order if tuple(pair) not in merged], "rows": kept}
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    target.with_suffix(".md").write_text(table(content), encoding="utf-8")


def table(content: dict[str, Any]) -> str:
    """The table of all rows."""
    lines = ["# Remediated", "", "`make remediated`: {0} passed, {1} failed. Made by the run; the full figures are in remediated.json.".format(
        content["passed"], content["failed"]), ""]
    if content["not_played"]:
        lines += ["Not played: {0}.".format(", ".join(content["not_played"])), ""]
    settings = sorted({json.dumps(row["settings"], sort_keys=True) for row in content["rows"]})
    lines += ["Each was caused on a host of its own and remediated by `oncall.pressure.remediate` with `pressure_mode=apply` and nobody there.",
              "Settings beside the defaults: {0}; what a way asks for besides stands behind its name.".format("; ".join(settings).replace('"', "")),
              "Seconds count from the start of the playbook, diagnosis included: to the last kernel kill, or until the service (one worker of it) is below",
              "the line that its incident names and stays there. Probes ask five times a second from another host. The diagnosis afterwards is held",
              "against the first one, with kills and requests counted since the relief. A plus behind a commit: the product's files had changes that",
              "were not committed.",
              "", "| incident | way | host | commit | " + " | ".join(name for name, made in COLUMNS) + " | wrong |", "| --- " * (len(COLUMNS) + 5) + "|"]
    for row in content["rows"]:
        asked = ", ".join("{0}={1}".format(*pair) for pair in sorted(row["asked"].items()))
        host = "whole machine" if row["host"].endswith("-machine") else "container"
        cells = [row["incident"], "{0}{1}".format(row["way"], " ({0})".format(asked) if asked else ""), host, row["commit"]]
        cells += [str(made(row["figures"])) for name, made in COLUMNS]
        wrong = "; ".join(line.replace("|", "/").replace("\n", " ")[:200] for line in row["wrong"])
        lines.append("| {0} | {1} |".format(" | ".join(cells), wrong))
    return "\n".join(lines) + "\n"
