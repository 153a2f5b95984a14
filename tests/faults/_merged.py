# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Put the figures of some mitigations and cases among those of an earlier run, whose single faults nobody has any more."""

from __future__ import annotations

from typing import Any

from _common import LabError


def made_again(earlier: dict[str, Any], rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows without the faults that were missed before: these have their places in the earlier table already, and are mended there where they are right."""
    missed = {_fault(row): row for row in earlier["misses"] if row["part"] == "matrix" and row.get("hit")}
    left = []
    for row in rows:
        if row["part"] == "machine":
            # what the whole machine shows is told by its name: its faults are none of the table's cells
            left.append(dict(row, hit=None))
            continue
        before = missed.pop(_fault(row), None) if row.get("hit") else None
        if before is None:
            left.append(row)
        elif not row["wrong"]:
            earlier["misses"].remove(before)
            earlier["mended"].append({"fault": "{mitigation}, `{point}`, {kind}".format(**row), "was": "; ".join(before["wrong"])[:300]})
            earlier["parts"]["matrix"]["failed"] -= 1
            earlier["parts"]["matrix"]["passed"] += 1
    return left


def _fault(row: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(row.get(word) for word in ("mitigation", "point", "kind", "number"))


def merged(earlier: dict[str, Any], found: dict[str, Any]) -> dict[str, Any]:
    """The figures of both. A mitigation that both have faults of cannot be told apart any more: then everything has to be made again."""
    both = sorted(set(earlier["table"]) & set(found["table"]))
    if both:
        raise LabError("there are faults of {0} in both: run the whole part again".format(", ".join(both)))
    cases = {(row["part"], row["name"]): row for row in earlier["cases"]}
    parts = {name: dict(part) for name, part in earlier["parts"].items()}
    made = [row for row in found["cases"] if row["part"] != "matrix"]
    for row in made:
        before = cases.get((row["part"], row["name"]))
        if before is not None:
            parts[row["part"]]["passed" if before["right"] else "failed"] -= 1
        cases[row["part"], row["name"]] = row
        part = parts.setdefault(row["part"], {"passed": 0, "failed": 0})
        part["passed" if row["right"] else "failed"] += 1
    for word, count in found["parts"].get("matrix", {}).items():
        parts["matrix"][word] += count
    again = {(row["part"], row["name"]) for row in made}
    tables = {**earlier["table"], **found["table"]}
    kept = dict(earlier)
    kept.update(
        commits=sorted(set(earlier["commits"]) | set(found["commits"])),
        uncommitted_changes=earlier["uncommitted_changes"] or found["uncommitted_changes"],
        faults_proven=earlier["faults_proven"] + found["faults_proven"],
        faults_not_proven=earlier["faults_not_proven"] + found["faults_not_proven"],
        ended={key: earlier["ended"].get(key, 0) + found["ended"].get(key, 0) for key in sorted({*earlier["ended"], *found["ended"]})},
        lowest_cell=min(count for boundaries in tables.values() for kinds in boundaries.values() for count in kinds.values()),
        cleared_by_the_next_call=earlier["cleared_by_the_next_call"] + found["cleared_by_the_next_call"],
        not_run=[name for name in earlier["not_run"] if name not in found["parts"]],
        parts=parts, passed=sum(part["passed"] for part in parts.values()), failed=sum(part["failed"] for part in parts.values()),
        mended=earlier["mended"] + found["mended"], table=tables, cases=list(cases.values()),
        misses=[row for row in earlier["misses"] if (row["part"], row.get("name")) not in again] + found["misses"],
    )
    if found["undo_after_deadline"]["count"]:
        # percentiles of two runs have no sum
        whose = ", ".join(sorted(found["table"]) or sorted(found["parts"]))
        kept["undo_after_deadline_of"] = dict(earlier.get("undo_after_deadline_of", {}), **{whose: found["undo_after_deadline"]})
    return kept
