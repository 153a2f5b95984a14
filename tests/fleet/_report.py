# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run of this suite found: docs/results/fleet.json, a table beside it, and what was missed."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import yaml
from _common import ROOT, run, say

RESULTS = ROOT / "docs" / "results" / "fleet.json"
CACHE = ROOT / ".cache" / "fleet"


def at() -> dict[str, Any]:
    """Which code this is."""
    commit = run(["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"], check=False).stdout.strip() or None
    changed = bool(run(["git", "-C", str(ROOT), "status", "--porcelain", "plugins", "roles", "playbooks"], check=False).stdout.strip())
    return {"commit": commit, "uncommitted_changes": changed}


# The code that was tried, which may not be what lies here when a run ends.
AT = at()


# Set by the command line: the seed of this run; and whether its rows are no more than a sample, which the report does not take.
SEED: int | None = None
SAMPLE = False
_WRITING = threading.Lock()


def note(part: str, row: dict[str, Any]) -> None:
    """One case has ended: a line for whoever watches, and its row in the place of the earlier one. A run that is ended early was not in vain."""
    with _WRITING:
        say("{0:4} {1}: {2}  {3}".format("FAIL" if row["wrong"] else "ok", part, row["name"], "; ".join(row["wrong"])[:700] or row.get("said", "")))
        if SAMPLE:
            return
        CACHE.mkdir(parents=True, exist_ok=True)
        path = CACHE / (part + ".json")
        rows = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
        rows = [other for other in rows if other["name"] != row["name"]] + [dict(row, part=part, at=AT, seed=SEED)]
        path.write_text(json.dumps(rows), encoding="utf-8")


def kept(names: list[str]) -> list[dict[str, Any]]:
    """The rows of the last run of each part."""
    rows: list[dict[str, Any]] = []
    for name in names:
        path = CACHE / (name + ".json")
        if path.exists():
            rows += json.loads(path.read_text(encoding="utf-8"))
    return rows


def figures(names: list[str], rows: list[dict[str, Any]]) -> dict[str, Any]:
    parts: dict[str, dict[str, int]] = {}
    for row in rows:
        part = parts.setdefault(row["part"], {"passed": 0, "failed": 0})
        part["failed" if row["wrong"] else "passed"] += 1
    tried = [row for row in rows if not any("nothing was tried" in line for line in row["wrong"])]
    shapes = [row for row in tried if row["part"] == "shapes" and "others_changed" in row]
    bare = [row for row in rows if row["part"] == "bare" and "others_changed" in row]
    return {
        "suite": "fleet", "commits": sorted({str(row["at"]["commit"]) for row in rows}),
        "uncommitted_changes": any(row["at"]["uncommitted_changes"] for row in rows), "seeds": sorted({row["seed"] for row in rows}),
        "passed": sum(1 for row in rows if not row["wrong"]), "failed": sum(1 for row in rows if row["wrong"]), "parts": parts,
        "not_run": [name for name in names if name not in parts], "not_run_of_a_part": missing(rows),
        "shapes_by_failures": len(shapes), "other_hosts_changed": sum(row["others_changed"] for row in shapes),
        "without_the_gate": {"shapes_by_failures": len(bare), "in_which_others_were_changed": sum(1 for row in bare if row["others_changed"]),
                             "other_hosts_changed": sum(row["others_changed"] for row in bare)},
        "misses": [{"part": row["part"], "name": row["name"], "wrong": row["wrong"]} for row in rows if row["wrong"]],
        "cases": [{"part": row["part"], "name": row["name"], "said": row.get("said", ""), "right": not row["wrong"]} for row in rows],
    }


def missing(rows: list[dict[str, Any]]) -> dict[str, list[str]]:
    """What the data files name and no run has tried yet, for the parts of which something was."""
    done = {(row["part"], row["name"]) for row in rows}
    here = Path(__file__).resolve().parent
    wanted = {"endings": [row["name"] for row in yaml.safe_load((here / "endings.yml").read_text(encoding="utf-8"))]}
    kinds = {"fails": "fails", "unreachable": "unreachable", "rescued": "rescued", "control": "nothing fails", "later": "a later host fails"}
    wanted["shapes"] = ["{0}: {1}".format(row["name"], words) for words in kinds.values()
                        for row in yaml.safe_load((here / "shapes.yml").read_text(encoding="utf-8"))
                        if not (words == "rescued" and "playbook" in row)]
    found = {part: [name for name in wanted[part] if (part, name) not in done] for part in wanted}
    return {part: left for part, left in found.items() if left and any(row["part"] == part for row in rows)}


def text(found: dict[str, Any]) -> str:
    bare = found["without_the_gate"]
    said = [
        "<!--", "Copyright (c) 2026, oncall.pressure maintainers",
        "GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)",
        "SPDX-License-" + "Identifier: GPL-3.0-or-later", "-->", "", "# Fleet", "",
        "Written by `make fleet`; the figures are those of `fleet.json`. What is tried is in [fleet.md](../fleet.md).", "",
        "| what | figure |", "| --- | --- |",
        "| shapes of play by failure of the first host, on twenty hosts | {0} |".format(found["shapes_by_failures"]),
        "| other hosts that were changed in them | {0} |".format(found["other_hosts_changed"]),
        "| the same without the gate: tried, with others changed, hosts changed | {0}, {1}, {2} |".format(
            bare["shapes_by_failures"], bare["in_which_others_were_changed"], bare["other_hosts_changed"]), "",
        "| part | passed | failed |", "| --- | ---: | ---: |",
        *["| {0} | {1} | {2} |".format(name, part["passed"], part["failed"]) for name, part in found["parts"].items()], "",
    ]
    if found["not_run"]:
        said += ["Not run yet: {0}.".format(", ".join(found["not_run"])), ""]
    for part, left in found["not_run_of_a_part"].items():
        said += ["Of {0} not run yet: {1}.".format(part, ", ".join(left)), ""]
    if found["misses"]:
        said += ["## Missed", ""]
        said += ["- {0}, {1}: {2}".format(row["part"], row["name"], " ".join("; ".join(row["wrong"]).split())[:400]) for row in found["misses"]]
        said.append("")
    said += ["## Cases", "", "| part | case | what came of it | |", "| --- | --- | --- | --- |"]
    said += ["| {part} | {0} | {1} | {2} |".format(row["name"].replace("|", "/"), " ".join(str(row["said"]).replace("|", "/").split())[:120],
                                                   "right" if row["right"] else "wrong", part=row["part"]) for row in found["cases"]]
    return "\n".join(said) + "\n"


def write(path: str | None, names: list[str]) -> None:
    """The figures of the last run of each part, and beside them the table."""
    target = Path(path) if path else RESULTS
    found = figures(names, kept(names))
    target.parent.mkdir(parents=True, exist_ok=True)
    # what a playbook said may name where this clone lies
    found = json.loads(json.dumps(found).replace(str(ROOT) + "/", ""))
    target.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    target.with_suffix(".md").write_text(text(found), encoding="utf-8")
