# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A mitigation is a role, a playbook and a scenario of one name, declared in one shape; what rules suggest is there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Dict, List

import pytest
import yaml
from checks import ROOT

DECLARED: Dict[str, Dict[str, Any]] = {
    path.parent.parent.name: yaml.safe_load(path.read_text(encoding="utf-8")) for path in sorted((ROOT / "roles").glob("*/meta/mitigation.yml"))
}
RULES: List[Dict[str, Any]] = [
    rule for path in sorted((ROOT / "roles/diagnose/files/rules").glob("*.yml")) for rule in yaml.safe_load(path.read_text(encoding="utf-8"))
]

SHAPE = {
    "id": str, "title": str, "rung": int, "needs": list, "arguments": dict, "disruption": str, "loses_work": bool, "reversible": str, "settle_s": int,
    "lifetime_s": int, "evidence_first": bool, "automatic": bool, "source": list,
}

# Playbooks that are no mitigation, with what they are.
OTHER_PLAYBOOKS = {
    "diagnose": "reads", "status": "reads", "confirm": "ends a change", "rollback": "ends a change", "stabilize": "several mitigations in order",
    "remediate": "mitigations by a plan", "recorder": "keeps a history on a host",
}
OTHER_SCENARIOS = {"default": "the diagnosis", "remediate": "plans and steps"}


def test_there_are_mitigations() -> None:
    assert {"lower_workers", "recycle_workers", "restart_service"} <= set(DECLARED)


@pytest.mark.parametrize("name", sorted(DECLARED))
def test_role_playbook_and_scenario_have_one_name(name: str) -> None:
    assert DECLARED[name]["id"] == name
    assert (ROOT / "playbooks" / (name + ".yml")).is_file()
    assert (ROOT / "molecule" / name / "molecule.yml").is_file()


@pytest.mark.parametrize("folder,others", [("playbooks", OTHER_PLAYBOOKS), ("molecule", OTHER_SCENARIOS)])
def test_nothing_else_looks_like_a_mitigation(folder: str, others: Dict[str, str]) -> None:
    found = {Path(path.name).stem for path in (ROOT / folder).iterdir() if not path.name.startswith(".")}
    assert found == set(DECLARED) | set(others)


@pytest.mark.parametrize("name", sorted(DECLARED))
def test_a_declaration_has_its_shape(name: str) -> None:
    declared = DECLARED[name]
    assert {key: type(value) for key, value in declared.items()} == SHAPE
    assert 1 <= declared["rung"] <= 7
    assert declared["disruption"] in ("none", "low", "medium", "high")
    assert declared["reversible"] in ("fully", "partly", "no")
    # what ends processes keeps evidence of them first
    assert declared["evidence_first"] or declared["rung"] != 5 or not declared["loses_work"]


@pytest.mark.parametrize("name", sorted(DECLARED))
def test_the_role_ends_with_a_confirmation(name: str) -> None:
    tasks = "".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "roles" / name / "tasks").glob("*.yml")))
    assert "oncall.pressure.confirm" in tasks, "what nobody confirms is undone by the host"


def test_what_rules_suggest_is_there() -> None:
    suggested = {item if isinstance(item, str) else item["id"] for rule in RULES for item in rule.get("mitigations", [])}
    assert suggested and suggested <= set(DECLARED)


def test_what_rules_fill_in_is_known_to_the_role() -> None:
    """A variable that the role does not read would be silently ignored."""
    for rule in RULES:
        for item in rule.get("mitigations", []):
            if isinstance(item, dict):
                defaults = (ROOT / "roles" / item["id"] / "defaults" / "main.yml").read_text(encoding="utf-8")
                for variable, value in item.get("with", {}).items():
                    # nothing takes away what would be filled in by itself
                    assert value == "" or variable + " " in defaults, (rule["id"], variable)


def test_what_rules_fill_in_reaches_the_role_when_a_plan_is_carried_out() -> None:
    """roles/remediate hands each variable to the role by name: one that is missing there would act on something else."""
    step = (ROOT / "roles" / "remediate" / "tasks" / "step.yml").read_text(encoding="utf-8")
    for rule in RULES:
        for item in rule.get("mitigations", []):
            name, given = (item, {}) if isinstance(item, str) else (item["id"], item.get("with", {}))
            for variable in {"pressure_service", *given} - {variable for variable, value in given.items() if value == ""}:
                assert "%s_%s: " % (name, variable.replace("pressure_", "")) in step, (rule["id"], name, variable)
                assert "variables.%s " % variable in step, (rule["id"], variable)


@pytest.mark.parametrize("name", sorted(DECLARED))
def test_a_plan_decides_over_keeping_what_the_role_did(name: str) -> None:
    step = (ROOT / "roles" / "remediate" / "tasks" / "step.yml").read_text(encoding="utf-8")
    assert "%s_confirm: false" % name in step
    tasks = "".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "roles" / name / "tasks").glob("*.yml")))
    assert "__%s_change" % name in tasks and "    - %s_confirm | bool\n" % name in tasks


@pytest.mark.parametrize("name", sorted(DECLARED))
def test_what_a_plan_may_give_a_mitigation_reaches_its_role(name: str) -> None:
    """An argument that comes from a verdict is a setting of the role, filled in by a rule somewhere, and handed on by the step of remediate."""
    taken = {"pressure_" + key for key, source in DECLARED[name]["arguments"].items() if source.startswith("verdict")}
    defaults = yaml.safe_load((ROOT / "roles" / name / "defaults" / "main.yml").read_text(encoding="utf-8"))
    step = (ROOT / "roles" / "remediate" / "tasks" / "step.yml").read_text(encoding="utf-8")
    assert taken
    for variable in taken:
        settings = [key for key, value in defaults.items() if re.search(r"\b%s\b" % variable, str(value))]
        assert settings, variable
        assert any(re.search(r"\b%s: .*\.variables\.%s\b" % (key, variable), step) for key in settings), variable
