# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every rule on its cases: fired, clear, unknown."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any, Dict, List

import pytest
import yaml
from ansible_collections.oncall.pressure.plugins.plugin_utils import _rules, _verdict
from ansible_collections.oncall.pressure.plugins.plugin_utils._format import placeholders
from ansible_collections.oncall.pressure.plugins.plugin_utils._located import parse

_SPEC = importlib.util.spec_from_file_location("pressure_rule_support", Path(__file__).with_name("support.py"))
assert _SPEC is not None and _SPEC.loader is not None
support = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(support)

RULES = _rules.load_rules(str(support.RULES)).rules
THRESHOLDS = _rules.resolve_thresholds(RULES, None)
CASES: List[Dict[str, Any]] = [case for path in sorted(support.RULES.glob("*.yml")) for case in support.load(path.name)]


def name(case: Dict[str, Any]) -> str:
    return "%s-%s-%s" % (case["rule"], case["expect"], case.get("about", "plain").replace(" ", "_"))


@pytest.mark.parametrize("case", CASES, ids=name)
def test_case(case: Dict[str, Any]) -> None:
    rule = RULES[case["rule"]]
    row = _verdict.judge(support.snapshot(case), {rule.id: rule}, THRESHOLDS)
    unknown = {item["rule"]: item["missing"] for item in row["unknown"]}
    state = "fired" if row["verdicts"] else ("unknown" if rule.id in unknown else "clear")
    assert state == case["expect"], (row, unknown)
    if state == "fired":
        verdict = row["verdicts"][0]
        said = "\n".join([verdict["summary"], *verdict["evidence"], *verdict["ruled_out"], *verdict["next"], *verdict["lasting"]])
        assert [text for text in case.get("says", []) if text not in said] == [], said
        assert verdict["confidence"] == case.get("confidence", verdict["confidence"])
        assert verdict["component"] == case.get("component", verdict["component"])
        assert verdict["cause"] == rule.says.cause and verdict["evidence"]
        assert verdict["mitigations"] == case.get("mitigations", verdict["mitigations"])
        # whatever else was not measured, something lasting can be said, and it names what was found here
        assert verdict["lasting"], rule.id
    assert [text for text in case.get("missing", []) if text not in unknown.get(rule.id, [])] == []


@pytest.mark.parametrize("case", [case for case in CASES if case["expect"] == "fired"], ids=name)
def test_a_fired_rule_is_no_healthy_host(case: Dict[str, Any]) -> None:
    assert _verdict.judge(support.snapshot(case), RULES, THRESHOLDS)["state"] == "incident"


def test_the_base_is_healthy_under_all_rules() -> None:
    row = _verdict.judge(support.snapshot({}), RULES, THRESHOLDS)
    assert (row["state"], row["verdicts"], row["missing"]) == ("healthy", [], [])


@pytest.mark.parametrize("rule", RULES.values(), ids=lambda rule: rule.id)
def test_lasting_advice_has_a_place_that_is_filled_from_its_evidence(rule: _rules.Rule) -> None:
    """This statement, this queue, this path, this service; a threshold is no place."""
    assert rule.sentences["lasting"]
    bare = [sentence.text for sentence in rule.sentences["lasting"] if not set(placeholders(sentence.text)) & set(rule.facts)]
    assert bare == []


def test_the_documentation_lists_every_rule_and_its_example_is_one() -> None:
    listed = (support.ROOT / "docs" / "rules" / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| \[`([a-z]+\.[a-z_]+)`\]\(\1\.md\) \| .* \| ([a-z_]+) \|$", listed, re.MULTILINE)
    assert sorted(rows) == sorted((rule.id, rule.says.cause) for rule in RULES.values())
    text = (support.ROOT / "docs" / "rules.md").read_text(encoding="utf-8")
    example = next(block for block in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL) if "- id:" in block)
    rule = _rules.read_rule(parse("docs/rules.md", example.encode()), 0)
    assert set(rule.explains) <= set(RULES)
    given = next(block for block in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL) if "pressure_thresholds" in block)
    found = _rules.resolve_thresholds(RULES, yaml.safe_load(given)["pressure_thresholds"])
    assert found["host.iowait"]["iowait_pct"].enter == 40 and found["host.memory_exhausted"]["available_pct"].leave == 6
