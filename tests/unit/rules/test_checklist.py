# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The checklist: each item in each way that it can stand, what the diagnosis, the report and the screen show of it."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any, Dict, List

import jsonschema
import pytest
from ansible_collections.oncall.pressure.plugins.plugin_utils import _checklist, _diagnosis, _located, _markdown, _report, _rules, _verdict
from ansible_collections.oncall.pressure.plugins.plugin_utils._documents import Loaded

_SPEC = importlib.util.spec_from_file_location("pressure_checklist_support", Path(__file__).with_name("support.py"))
assert _SPEC is not None and _SPEC.loader is not None
support = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(support)

RULES = _rules.load_rules(str(support.RULES)).rules
PATH = support.RULES.parent / "checklist.yml"
CHECKS = _checklist.load_checklist(str(PATH))
THRESHOLDS = _rules.resolve_thresholds({**RULES, **CHECKS}, None)
CASES: List[Dict[str, Any]] = support.load("checklist.yml")
SCHEMA = json.loads((support.RULES.parent / "schemas" / "diagnosis.json").read_text(encoding="utf-8"))


def diagnosed(document: Dict[str, Any], thresholds: Any = None) -> Dict[str, Any]:
    limits = THRESHOLDS if thresholds is None else thresholds
    found = _diagnosis.diagnose([Loaded("h0", document, None)], RULES, lambda host: limits, checks=CHECKS)
    jsonschema.validate(found, SCHEMA)
    return found


def name(case: Dict[str, Any]) -> str:
    return "%s-%s-%s" % (case["check"], case["expect"], case.get("about", "plain").replace(" ", "_"))


@pytest.mark.parametrize("case", CASES, ids=name)
def test_case(case: Dict[str, Any]) -> None:
    items = {item["id"]: item for item in diagnosed(support.snapshot(case))["hosts"]["h0"]["checklist"]}
    item = items[case["check"]]
    assert item["state"] == case["expect"], item
    assert item["why"], item
    assert [text for text in case.get("says", []) if text not in item["why"]] == [], item["why"]
    assert item["at"] == ("2026-01-10T02:55:00Z" if case["expect"] == "ticked" else None)


def test_every_item_has_a_case_for_each_way_that_it_can_stand() -> None:
    wanted = set()
    for check in CHECKS.values():
        wanted |= {(check.id, "ticked"), (check.id, "unknown")} if check.ticked is not None else set()
        wanted |= {(check.id, "open")} if check.sentences["open"] else set()
        wanted |= {(check.id, "nothing")} if check.here is not None else set()
    # what these look at is known wherever there is a diagnosis, and its pattern is never unmeasured alone
    wanted -= {(check, "unknown") for check in ("checklist.resource", "checklist.process", "checklist.grows", "checklist.compared", "checklist.steady")}
    assert wanted == {(case["check"], case["expect"]) for case in CASES}


def test_a_name_of_a_threshold_is_tuned_as_those_of_rules_are() -> None:
    mine = _rules.resolve_thresholds({**RULES, **CHECKS}, {"checklist.memory_below": {"memory_pct": 30}})
    document = support.snapshot({})
    stands = [next(item["state"] for item in diagnosed(document, limits)["hosts"]["h0"]["checklist"] if item["id"] == "checklist.memory_below")
              for limits in (THRESHOLDS, mine)]
    assert stands == ["ticked", "open"]


def test_the_numbers_of_the_runbooks_are_the_defaults() -> None:
    found = {name: threshold.enter for check in CHECKS.values() for name, threshold in check.thresholds.items()}
    assert found == {"memory_pct": 80, "process_bytes": 500 * 1024 * 1024, "connections": 100}


def test_the_report_lists_it_for_a_sick_host_with_the_time_and_the_reason() -> None:
    document = support.snapshot({"services": CASES[1]["services"]})
    found = diagnosed(document)
    text = _markdown.markdown(found, [Loaded("h0", document, None)])
    assert "- [x] kills by the kernel were looked for: 0 in the last 60 min (kmsg) (at 2026-01-10T02:55:00Z)" in text
    assert "- [ ] slow queries and sessions of the database were inspected: nothing here: no PostgreSQL runs here" in text
    assert "- [ ] the heaviest code paths were looked at: not measured: stacks (absent: nobody asked" in text
    assert _markdown.markdown(diagnosed(support.snapshot({})), []).count("Checklist") == 0


def test_the_screen_has_a_line_only_where_something_could_not_be_ticked() -> None:
    document = support.snapshot({"services": CASES[1]["services"]})
    assert "checklist: 8 of 12 ticked; not measured: stacks" in _report.screen(diagnosed(document))
    seen = support.over(document, {"stacks": {"samples": 30, "process": "shop", "places": []}})
    assert "checklist" not in _report.screen(diagnosed(seen))
    assert "checklist" not in _report.screen(diagnosed(support.snapshot({})))


def test_a_host_that_did_not_answer_has_none() -> None:
    found = _diagnosis.diagnose([Loaded("h0", None, "x")], RULES, lambda host: THRESHOLDS, checks=CHECKS)
    assert found["hosts"]["h0"]["checklist"] == []


@pytest.mark.parametrize("odd", [None, "text", -1, True, [], [None, "x", 3], {}, {"a": {"b": []}}], ids=str)
def test_any_part_of_a_snapshot_may_be_anything(odd: Any) -> None:
    document = support.snapshot(CASES[1])
    row = _verdict.judge(document, RULES, THRESHOLDS)
    for key in [*document, "state", "verdicts", "first"]:
        items = _checklist.checklist({**document, key: odd}, row, CHECKS, THRESHOLDS)
        assert [item["state"] for item in items if item["state"] not in ("ticked", "open", "unknown", "nothing")] == []
        assert all(item["why"] is None or isinstance(item["why"], str) for item in items)


GOOD = """
- id: checklist.mine
  title: mine was looked at
  short: mine
  group: incident
  facts: {a: host.run_queue}
  ticked: [a, ">=", 0]
  because: ["{a:count}"]
  open: ["not"]
  source: []
"""


@pytest.mark.parametrize(("what", "instead", "says"), [
    ("id: checklist.mine", "id: other.mine", "id must be checklist.snake_case"),
    ("group: incident", "group: other", "group must be one of"),
    ("  because: [\"{a:count}\"]\n", "", "ticked and because stand together"),
    ("  source: []", "  here: [a, measured]\n  source: []", "here and nothing stand together"),
    ("[a, \">=\", 0]", "[b, \">=\", 0]", "b is no fact of this rule"),
    ("  short: mine\n", "", "short is missing"),
])
def test_a_mistake_is_named_with_its_file_and_line(tmp_path: Path, what: str, instead: str, says: str) -> None:
    path = tmp_path / "checklist.yml"
    path.write_text(GOOD, encoding="utf-8")
    assert list(_checklist.load_checklist(str(path))) == ["checklist.mine"]
    assert what in GOOD
    path.write_text(GOOD.replace(what, instead), encoding="utf-8")
    with pytest.raises(_located.BadFile, match=r"checklist\.yml:\d+: .*%s" % says):
        _checklist.load_checklist(str(path))
