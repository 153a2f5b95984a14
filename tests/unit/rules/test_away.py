# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""With any one collector taken away a diagnosis is right, less sure or unknown, and never wrong; what the pack needs is what decides."""

from __future__ import annotations

import gzip
import importlib.util
import json
import sys
from pathlib import Path
from typing import Any, Dict, List, Set

import pytest
import yaml
from ansible_collections.oncall.pressure.plugins.plugin_utils import _needs, _rules, _verdict

_SPEC = importlib.util.spec_from_file_location("pressure_away_support", Path(__file__).with_name("support.py"))
assert _SPEC is not None and _SPEC.loader is not None
support = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(support)

_TOOL = importlib.util.spec_from_file_location("pressure_away_tool", support.ROOT / "tests" / "tools" / "away.py")
assert _TOOL is not None and _TOOL.loader is not None
away = importlib.util.module_from_spec(_TOOL)
sys.modules[_TOOL.name] = away
_TOOL.loader.exec_module(away)

RULES = _rules.load_rules(str(support.RULES)).rules
THRESHOLDS = _rules.resolve_thresholds(RULES, None)
FIRED: List[Dict[str, Any]] = [
    case for path in sorted(support.RULES.glob("*.yml")) for case in support.load(path.name) if case["expect"] == "fired"]
INCIDENTS = support.ROOT / "tests" / "unit" / "recordings" / "incidents"
TRUTHS: Dict[str, Any] = yaml.safe_load((INCIDENTS / "truths.yml").read_text(encoding="utf-8"))
RECORDED = [*sorted((support.ROOT / "tests" / "contract" / "recordings").glob("*.json.gz")), *sorted(INCIDENTS.glob("*.json.gz"))]

#: What no rule decides by: without it a diagnosis says less, and nothing else.
TELLING = {"changes", "stacks"}


def name(case: Dict[str, Any]) -> str:
    return "%s-%s" % (case["rule"], case.get("about", "plain").replace(" ", "_"))


def judged(document: Dict[str, Any]) -> Dict[str, Any]:
    return _verdict.judge(document, RULES, THRESHOLDS)


@pytest.mark.parametrize("case", FIRED, ids=name)
def test_a_sick_host_without_one_collector_is_named_right_or_not_at_all(case: Dict[str, Any]) -> None:
    document = support.snapshot(case)
    whole = judged(document)
    pairs = {(verdict["service"], verdict["cause"]) for verdict in whole["verdicts"]}
    wrong = []
    rows, dummy = away.apart(document)
    # what is not on the host has no collector to lose: the next test takes those away
    for collector in [name for name in away.COLLECTORS if rows[name]["status"] != "absent" or rows[name]["data"] is not None]:
        row = judged(away.without(document, collector))
        if row["state"] == "healthy":
            wrong.append("%s: healthy" % collector)
        wrong += ["%s: %s" % (collector, line) for line in away.strays(row["verdicts"], pairs)]
        if collector in TELLING:
            assert [verdict["cause"] for verdict in row["verdicts"]] == [verdict["cause"] for verdict in whole["verdicts"]]
    assert wrong == []


@pytest.mark.parametrize("status", ["error", "denied"])
@pytest.mark.parametrize("collector", away.COLLECTORS)
def test_a_healthy_host_without_one_collector_is_no_incident(collector: str, status: str) -> None:
    document = support.snapshot({})
    if collector == "stacks":
        document["collectors"]["stacks"]["status"] = "ok"
    row = judged(away.without(document, collector, status))
    assert row["verdicts"] == []
    assert row["state"] == ("healthy" if collector in TELLING else "unknown")
    assert (collector in TELLING) is (row["missing"] == [])


def test_the_list_of_what_makes_a_host_unknown_is_the_rules_own() -> None:
    decided_by = frozenset(name for rule in RULES.values() for name in _needs.needs(rule))
    assert set(away.COLLECTORS) - decided_by == TELLING
    document = away.without(support.snapshot({}), "postgres")
    kept = {rule.id: rule for rule in RULES.values() if "postgres" not in _needs.needs(rule)}
    assert judged(document)["state"] == "unknown"
    assert _verdict.judge(document, kept, THRESHOLDS)["state"] == "healthy"


def test_what_may_be_an_effect_of_what_was_not_measured_has_no_cause() -> None:
    case = next(case for case in FIRED if case["rule"] == "nginx.traffic_spike")
    document = support.snapshot(case)
    verdict = judged(away.without(document, "nginx"))["verdicts"][0]
    assert (verdict["rule"], verdict["cause"], verdict["confidence"], verdict["lasting"]) == ("web.busy_code", "none", "low", [])
    assert verdict["missing"][0].startswith("whether it is the effect of nginx.abusive_client or nginx.traffic_spike")
    assert "nginx (error: %s)" % away.REASON in verdict["missing"][0]
    # nothing that failed could explain it: it stands as it does
    plain = judged(dict(document, nginx=None, collectors=dict(document["collectors"], nginx={"status": "absent", "reason": None, "seconds": 0.0})))
    assert (plain["verdicts"][0]["rule"], plain["verdicts"][0]["cause"]) == ("web.busy_code", "code")


def recorded(path: Path) -> Dict[str, Any]:
    document: Dict[str, Any] = json.loads(gzip.decompress(path.read_bytes()))
    return document


@pytest.mark.parametrize("incident", TRUTHS)
def test_a_real_host_without_one_collector_is_named_right_or_not_at_all(incident: str) -> None:
    document, expected = recorded(INCIDENTS / (incident + ".json.gz")), TRUTHS[incident]
    whole = judged(document)
    assert away.worth(whole, whole, expected) == ("right", "")
    without = {collector: judged(away.without(document, collector)) for collector in away.COLLECTORS}
    grades = {collector: away.worth(row, whole, expected) for collector, row in without.items()}
    assert {collector: worth.why for collector, worth in grades.items() if worth.grade == "WRONG"} == {}
    idle = TELLING
    if expected != "healthy":
        rule = RULES[whole["verdicts"][0]["rule"]]
        # where the facts of the rule are there, and of those that would explain what it found, nothing changes
        idle = set(away.COLLECTORS) - drawn_on(rule).union(*(drawn_on(other) for other in RULES.values() if rule.id in other.explains))
        assert TELLING - {"stacks"} < idle
        # of a service its unit and the kernel tell as well
        assert rule.subject == "service" or grades[_needs.NEEDED[rule.subject]].grade != "right"
    assert {collector: grades[collector] for collector in idle} == dict.fromkeys(idle, ("right", ""))


def drawn_on(rule: _rules.Rule) -> Set[str]:
    """Every collector that says something of what a rule looks at; whose it is, the services say."""
    return {_needs.NEEDED[rule.subject], "services"}.union(*(_needs.draws(rule.subject, expression) for expression in rule.facts.values()))


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.name)
def test_a_snapshot_is_taken_apart_and_put_together_again(path: Path) -> None:
    document = recorded(path)
    before = json.dumps(document, sort_keys=True)
    again = away.together(document, *away.apart(document))
    assert json.dumps(again, sort_keys=True) == before == json.dumps(document, sort_keys=True)


def test_what_a_collector_gave_goes_with_it() -> None:
    document = recorded(RECORDED[0])
    settled = [row["id"] for row in document["services"] if row["settings"] is not None]
    assert settled
    unitless = away.without(document, "units")
    assert [row["id"] for row in unitless["services"] if row["settings"] is not None] == []
    assert all(row["state"] == "running" and row["restarts"] is None for row in unitless["services"] if row["container"] is None)
    bare = away.without(document, "services", "denied")
    assert bare["processes"] is None and bare["collectors"]["services"]["status"] == "denied"
    assert {row["id"] for row in bare["services"]} <= set(settled) and all(row["memory"]["bytes"] is None for row in bare["services"])
    assert all(row["capacity"] is None for row in bare["connections"]["services"])
    for collector, section in (("oom", "oom"), ("changes", "timeline"), ("host", "host")):
        assert away.without(document, collector)[section] is None
