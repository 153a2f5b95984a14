# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The data files of the fleet suite hold what was promised, and nothing that the suite would pass over in silence."""

from __future__ import annotations

from typing import Any, Dict, List

import yaml
from checks import ROOT

FLEET = ROOT / "tests" / "fleet"
# What tests/fleet/_endings.py knows of one ending; a word that it does not know would be a check that never runs.
ENDING = {"name", "over", "saved", "status", "says", "not_says", "recap", "changed", "variables", "words_given", "files", "plan", "without", "connection",
          "hosts", "host_variables", "before", "during", "plan_first"}
SHAPE = {"name", "says", "playbook", "unreachable", "play", "tasks", "pre_tasks", "post_tasks", "handlers"}


def _data(name: str) -> Any:
    return yaml.safe_load((FLEET / name).read_text(encoding="utf-8"))


def _names(rows: List[Dict[str, Any]]) -> List[str]:
    return [row["name"] for row in rows]


def test_at_least_twelve_shapes_by_name() -> None:
    rows = _data("shapes.yml")
    assert len(rows) >= 12 and len(set(_names(rows))) == len(rows)
    assert not [(row["name"], set(row) - SHAPE) for row in rows if set(row) - SHAPE]


def test_at_least_forty_endings_by_name() -> None:
    rows = _data("endings.yml")
    assert len(rows) >= 40 and len(set(_names(rows))) == len(rows)
    assert not [(row["name"], set(row) - ENDING) for row in rows if set(row) - ENDING]


def test_every_ending_says_what_must_be_seen() -> None:
    rows = _data("endings.yml")
    assert not [row["name"] for row in rows if not row.get("says") or "status" not in row]
    assert not [row["name"] for row in rows if row["over"] == "fleet" and ("changed" not in row or not row.get("hosts"))]
    assert not [row["name"] for row in rows if row["over"] not in ("saved", "local", "fleet")]


def test_at_least_three_hundred_hostile_facts() -> None:
    data = _data("hostile.yml")
    assert len(data["texts"]) * len(data["places"]) >= 300
    assert len(set(data["texts"].values())) == len(data["texts"])
    assert sum("CANARY" in text for text in data["texts"].values()) >= len(data["texts"]) // 3


def test_fewer_than_half_of_the_fleet_are_sick() -> None:
    data = _data("hosts.yml")
    assert data["count"] >= 20 and 0 < len(data["sick"]) * 2 < data["count"] and max(data["sick"]) <= data["count"]
