# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How sure a verdict is follows from evidence: every rule can become sure, and says below that what would make it so."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any, Dict, Iterator, List

import pytest
from ansible_collections.oncall.pressure.plugins.plugin_utils import _rules, _verdict
from ansible_collections.oncall.pressure.plugins.plugin_utils._format import placeholders

_SPEC = importlib.util.spec_from_file_location("pressure_confidence_support", Path(__file__).with_name("support.py"))
assert _SPEC is not None and _SPEC.loader is not None
support = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(support)

RULES = _rules.load_rules(str(support.RULES)).rules
THRESHOLDS = _rules.resolve_thresholds(RULES, None)
CASES: List[Dict[str, Any]] = [case for path in sorted(support.RULES.glob("*.yml")) for case in support.load(path.name) if case["expect"] == "fired"]
#: Hosts on which a rule is sure, where none of its cases is one.
SURE: Dict[str, List[Dict[str, Any]]] = support.load("confidence.yml")

#: Rules that are never sure, and why.
NEVER = {
    "service.limit_too_low_or_concurrency": "that two causes could not be told apart is what it says; where they can be, another rule says which it is",
}


def verdicts(case: Dict[str, Any], rule: str, held: bool) -> List[Dict[str, Any]]:
    document = support.snapshot(case)
    services = {None, *(row["id"] for row in [*document["services"], *(document["containers"] or {}).get("containers", ())])}
    services |= {row["service"] for row in document.get("health") or ()}
    before = frozenset((rule, service) for service in services) if held else frozenset()
    found: List[Dict[str, Any]] = _verdict.judge(document, {rule: RULES[rule]}, THRESHOLDS, before)["verdicts"]
    return found


def said(rule: str) -> Iterator[Dict[str, Any]]:
    """What a rule says in each of its cases, without an earlier look and after one."""
    for case in [*(case for case in CASES if case["rule"] == rule), *SURE.get(rule, ())]:
        for held in (False, True):
            yield from verdicts(case, rule, held)


@pytest.mark.parametrize("rule", list(RULES))
def test_below_high_it_is_said_what_would_raise_it_and_high_can_be_reached(rule: str) -> None:
    levels = set()
    for verdict in said(rule):
        levels.add(verdict["confidence"])
        assert (verdict["surer_with"] is None) is (verdict["confidence"] == "high"), verdict
        assert verdict["surer_with"] is None or "\n" not in verdict["surer_with"]
    assert ("high" in levels) is (rule not in NEVER), levels


@pytest.mark.parametrize("rule", list(RULES))
def test_every_level_below_high_has_a_sentence_that_can_always_be_said(rule: str) -> None:
    assert (any(level == "high" for level, dummy in RULES[rule].confidence)) is (rule not in NEVER)
    for (level, dummy), sentences in zip(RULES[rule].confidence, RULES[rule].surer_with):
        always = [one for one in sentences if one.when is None and set(placeholders(one.text)) <= {*RULES[rule].needs, *RULES[rule].thresholds}]
        assert bool(always) is (level != "high"), level


def test_what_could_not_be_measured_is_named_with_its_reason() -> None:
    case = next(case for case in CASES if case["rule"] == "host.cpu_saturated")
    document = support.over(support.snapshot(case), {
        "host": {"pressure": {"cpu": {"some_avg10": None}}, "cpu": {"used_pct": 99}, "run_queue": 40},
        "collectors": {"host": {"status": "partial", "reason": "the kernel has no pressure"}}})
    (verdict,) = _verdict.judge(document, {"host.cpu_saturated": RULES["host.cpu_saturated"]}, THRESHOLDS)["verdicts"]
    assert verdict["confidence"] == "low"
    assert verdict["surer_with"] == "pressure as the kernel measures it (PSI); host (partial: the kernel has no pressure)"


def test_a_second_look_makes_it_surer_and_changes_nothing_else() -> None:
    case = next(case for case in CASES if case["rule"] == "service.open_files_near_limit")
    (first,) = verdicts(case, case["rule"], False)
    (second,) = verdicts(case, case["rule"], True)
    assert (first["confidence"], second["confidence"], second["surer_with"]) == ("medium", "high", None)
    assert "pressure_earlier" in first["surer_with"]
    assert {**first, "confidence": None, "surer_with": None} == {**second, "confidence": None, "surer_with": None}


def test_code_is_high_by_stacks_alone() -> None:
    """What one moment's figures say of a program's code is a guess until its stacks are seen."""
    for rule in ("web.busy_code", "worker.busy_code", "service.busy", "log.verbose", "nginx.hot_path"):
        high = [when for level, when in RULES[rule].confidence if level == "high"]
        assert high and all("stack_share" in str(when) for when in high), rule
