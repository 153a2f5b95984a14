# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rule files: what is not understood is an error with its file and line."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict

import pytest
import yaml
from ansible_collections.oncall.pressure.plugins.plugin_utils import _rules, _verdict
from ansible_collections.oncall.pressure.plugins.plugin_utils._located import BadFile, parse

ROOT = Path(__file__).resolve().parents[3]
SHIPPED = str(ROOT / "roles" / "diagnose" / "files" / "rules")

RULE = """\
- id: mine.too_many
  title: Too many
  subject: host
  facts:
    running: host.run_queue
  thresholds:
    most: {enter: 10, leave: 5, unit: count, doc: tasks that may run}
  when: [running, ">=", $most]
  says: {resource: cpu, cause: external}
  weight: 10
  confidence:
    - level: low
  summary: ["{running:count} run"]
  evidence: ["more than {most:count}"]
  next: []
  lasting: []
  source: []
"""


def read(text: str) -> _rules.Rule:
    return _rules.read_rule(parse("mine.yml", text.encode()), 0)


def test_a_good_rule_is_read() -> None:
    rule = read(RULE)
    assert (rule.id, rule.thresholds["most"].leave, rule.place) == ("mine.too_many", 5, "mine.yml:1")


@pytest.mark.parametrize(
    "old,new,line,words",
    [
        ("weight: 10", "wieght: 10", 10, "unknown word wieght"),
        ("weight: 10", "weight: 101", 10, "weight must be"),
        ("weight: 10", "weight: yes", 10, "weight must be"),
        ("id: mine.too_many", "id: TooMany", 1, "component.snake_case"),
        ("subject: host", "subject: planet", 3, "subject must be one of"),
        ("running: host.run_queue", "running: host.[", 5, "not a JMESPath expression"),
        ("$most", "$least", 8, "least is no threshold"),
        ("[running,", "[walking,", 8, "walking is no fact"),
        ('">="', '"=>"', 8, "unknown operator =>"),
        ("$most", '"many"', 8, ">= takes a number"),
        ("[running, \">=\", $most]", "{some: [[running, measured]]}", 8, "a condition has one of all, any, not"),
        ("enter: 10", "enter: ten", 7, "enter must be a number"),
        ("unit: count", "unit: furlong", 7, "unit must be one of"),
        ("cause: external", "cause: gremlins", 9, "cause must be one of"),
        ("level: low", "level: sure", 12, "level must be one of"),
        ("level: low", "level: low\n      when: [running, measured]", 12, "the last has none"),
        ("level: low", "level: high\n      surer_with: [more]", 13, "nothing is surer than high"),
        ("level: low", "level: low\n      surer_with: more", 13, "surer_with must be a list"),
        ("weight: 10", "weight: 10\n  explains: [{id: host.iowait, when: [walking, measured]}]", 11, "walking is no fact"),
        ("weight: 10", "weight: 10\n  explains: host.iowait", 11, "explains must be a list"),
        ("[running, \">=\", $most]", "[held_before, \"==\", true]", 8, "held_before is no fact"),
        ("{running:count} run", "{runing:count} run", 13, "runing is no fact"),
        ("{running:count} run", "{running:parsec} run", 13, "unknown unit 'parsec'"),
        ("{running:count} run", "{running.__class__} run", 13, "a brace that is no"),
        ("{running:count} run", "{{ running }} run", 13, "a brace that is no"),
        ('["more than {most:count}"]', "[]", 1, "at least one summary and one evidence"),
        ("title: Too many", "title: &anchor Too many", 2, "anchors and aliases"),
        ("title: Too many", "title: !!python/object:os.system x", 2, "not tag:yaml.org,2002:python/object:os.system"),
        ("title: Too many", "title: Too many\n  title: Again", 3, "title occurs twice"),
        ("title: Too many", "title: [Too many", 3, "expected"),
    ],
)
def test_a_mistake_is_named_with_its_line(old: str, new: str, line: int, words: str) -> None:
    assert old in RULE
    with pytest.raises(BadFile) as caught:
        read(RULE.replace(old, new, 1))
    assert str(caught.value).startswith("mine.yml:%d: " % line), caught.value
    assert words in str(caught.value)


@pytest.mark.parametrize("key", _rules._REQUIRED)
def test_a_missing_word_is_named(key: str) -> None:
    data = yaml.safe_load(RULE)
    del data[0][key]
    with pytest.raises(BadFile, match="%s is missing" % key):
        read(yaml.safe_dump(data))


def test_the_users_rules_are_added_and_replace_by_id(tmp_path: Path) -> None:
    (tmp_path / "mine.yml").write_text(RULE + RULE.replace("mine.too_many", "host.iowait").replace("title: Too many", "title: Our own"))
    loaded = _rules.load_rules(SHIPPED, [str(tmp_path)])
    assert loaded.problems == ()
    assert loaded.rules["host.iowait"].title == "Our own" and "mine.too_many" in loaded.rules


def test_a_broken_rule_of_the_users_is_named_and_the_rest_goes_on(tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_text(RULE.replace("weight: 10", "weight: heavy") + RULE.replace("mine.too_many", "mine.other"))
    (tmp_path / "b.yml").write_text("- id: [}\n")
    (tmp_path / "c.yml").write_bytes(b"- id: \xff\xfe\n")
    (tmp_path / "d.yml").write_text("id: mine.alone\n")
    loaded = _rules.load_rules(SHIPPED, [str(tmp_path)])
    assert "mine.other" in loaded.rules and "mine.too_many" not in loaded.rules
    assert [problem.split(": ")[0] for problem in loaded.problems] == ["%s/%s" % (tmp_path, place) for place in ("a.yml:10", "b.yml:1", "c.yml:1", "d.yml:1")]


def test_an_id_twice_in_one_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_text(RULE + RULE)
    assert "already defined at" in _rules.load_rules(SHIPPED, [str(tmp_path)]).problems[0]


def test_a_broken_shipped_rule_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_text(RULE.replace("weight: 10", "weight: heavy"))
    with pytest.raises(BadFile, match="a.yml:10"):
        _rules.load_rules(str(tmp_path))
    (tmp_path / "a.yml").write_text(RULE.replace("weight: 10", "weight: 10\n  explains: [no.such_rule]"))
    with pytest.raises(BadFile, match="no.such_rule, which is no rule"):
        _rules.load_rules(str(tmp_path))


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match="rules folder: No such file"):
        _rules.load_rules(SHIPPED, [str(tmp_path / "none")])


def thresholds(given: Any) -> Dict[str, Dict[str, _rules.Threshold]]:
    return _rules.resolve_thresholds({"mine.too_many": read(RULE), "mine.other": read(RULE.replace("mine.too_many", "mine.other"))}, given)


def test_thresholds_by_rule_and_by_name() -> None:
    found = thresholds({"mine.too_many": {"most": 3}, "most": {"enter": 20}})
    # the rule's own word wins over the general one, in whatever order they stand
    assert (found["mine.too_many"]["most"].enter, found["mine.too_many"]["most"].leave) == (3, 3)
    assert (found["mine.other"]["most"].enter, found["mine.other"]["most"].leave) == (20, 5)


@pytest.mark.parametrize(
    "given,words",
    [
        ({"mine.none": {"most": 3}}, "neither a rule nor a threshold"),
        ({"mine.too_many": {"least": 3}}, "has no threshold least"),
        ({"mine.too_many": 3}, "must be a mapping"),
        ({"most": "3"}, "must be a number"),
        ({"most": True}, "must be a number"),
        ({"most": {"entry": 3}}, "enter, leave"),
        ([3], "must be a mapping"),
    ],
)
def test_a_bad_threshold_is_refused(given: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        thresholds(given)


def test_what_held_before_clears_only_at_its_leave() -> None:
    rule = read(RULE)
    rules = {rule.id: rule}
    limits = _rules.resolve_thresholds(rules, None)

    def holds(running: float, held: bool) -> bool:
        return bool(_verdict.judge({"host": {"run_queue": running}}, rules, limits, {(rule.id, None)} if held else frozenset())["verdicts"])

    assert [(running, holds(running, False), holds(running, True)) for running in (10, 7, 4)] == [(10, True, True), (7, False, True), (4, False, False)]
