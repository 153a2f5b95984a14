# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Cause against effect: of every pair that causes.yml names, both rules fire on one host, and one of them or both are what is wrong with it."""

from __future__ import annotations

import copy
import functools
import importlib.util
import json
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, Optional, Tuple

import pytest
from ansible_collections.oncall.pressure.plugins.plugin_utils import _rules, _verdict

_SPEC = importlib.util.spec_from_file_location("pressure_cause_support", Path(__file__).with_name("support.py"))
assert _SPEC is not None and _SPEC.loader is not None
support = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(support)

RULES = _rules.load_rules(str(support.RULES)).rules
THRESHOLDS = _rules.resolve_thresholds(RULES, None)
TABLE: Dict[str, Any] = support.load("causes.yml")

BASE: Dict[str, Any] = support.snapshot({})
#: Hosts on which each rule fires, from the cases of all rules, as far as they are not the base.
FIRED: Dict[str, List[Dict[str, Any]]] = {}


def _changed(base: Any, document: Any) -> Any:
    if isinstance(base, dict) and isinstance(document, dict):
        return {key: _changed(base.get(key), value) for key, value in document.items() if base.get(key) != value}
    return document


for path in sorted(support.RULES.glob("*.yml")):
    for case in support.load(path.name):
        if case["expect"] == "fired":
            FIRED.setdefault(case["rule"], []).append(_changed(BASE, support.snapshot(case)))

Pair = Tuple[str, str]


def pairs(of: str) -> List[Pair]:
    """What the table says of causes and effects: ``{cause: [effect]}``."""
    return [(cause, effect) for cause, effects in TABLE[of].items() for effect in effects]


def joined(first: Any, second: Any) -> Any:
    """Both of two parts of a document: rows of the same thing become one, and of two figures the first's counts."""
    if isinstance(first, dict) and isinstance(second, dict):
        return {**second, **{key: joined(value, second[key]) if key in second else value for key, value in first.items()}}
    if isinstance(first, list) and isinstance(second, list) and any(isinstance(item, dict) for item in first + second):
        found = copy.deepcopy(first)
        for item in second:
            mine = next((place for place, row in enumerate(found) if _same(row, item)), None)
            if mine is None:
                found.append(copy.deepcopy(item))
            else:
                found[mine] = joined(found[mine], item)
        return found
    return second if first is None else first


def _same(row: Any, other: Any) -> bool:
    if not isinstance(row, dict) or not isinstance(other, dict):
        return False
    if "peers" in row or "listeners" in row or "port" in row and "backlog" in row:
        return bool(row.get("service") == other.get("service") and row.get("port") == other.get("port"))
    names = [name for name in ("id", "service", "main_pid", "name", "url") if name in row or name in other]
    return bool(names) and all(row.get(name) == other.get(name) for name in names[:1])


def _main(change: Mapping[str, Any]) -> Optional[str]:
    """The one service or container that a case is about, null where it is about none or several."""
    found = [row["id"] for row in change.get("services") or (change.get("containers") or {}).get("containers") or []]
    return found[0] if len(found) == 1 else None


def _named(change: Dict[str, Any], like: Mapping[str, Any]) -> Dict[str, Any]:
    """A case whose one service is called what that of the other is called."""
    here, there = _main(like), _main(change)
    if here is None or there is None or here == there:
        return change
    return json.loads(json.dumps(change).replace(json.dumps(there), json.dumps(here)))


def hosts(cause: str, effect: str, change: Optional[Mapping[str, Any]] = None, apart: bool = False) -> Iterator[Dict[str, Any]]:
    """Hosts on which both rules fire, judged by these two alone: each pair of their cases on one host, either laid over the other.

    ``apart``: what the two are about stays what it is called, else it is the same thing. ``change`` is laid over all.
    """
    two = {name: RULES[name] for name in (cause, effect)}
    for mine in FIRED[cause]:
        for theirs in FIRED[effect]:
            second = theirs if apart else _named(theirs, mine)
            for document in (joined(joined(mine, second), BASE), joined(joined(second, mine), BASE)):
                document = support.over(document, change or {})
                if {row["rule"] for row in _verdict.judge(document, two, THRESHOLDS)["findings"]} == {cause, effect}:
                    yield document


def explained(document: Dict[str, Any], names: Pair) -> Dict[str, List[Optional[str]]]:
    """By rule what explains each of its findings, under the rules of these names."""
    before = [names[0]] if " + ".join(names) in TABLE["held"] else []
    row = _verdict.judge(document, {name: RULES[name] for name in names}, THRESHOLDS, frozenset((name, _main(document)) for name in before))
    found: Dict[str, List[Optional[str]]] = {}
    for item in row["findings"]:
        found.setdefault(item["rule"], []).append(item["explained_by"])
    assert row["verdicts"], "what explains each other leaves nothing to be said"
    return found


def of_its_own(cause: str, effect: str) -> Optional[Dict[str, Any]]:
    """The host that the table has for a pair, null where its cases will do."""
    case = TABLE["hosts"].get("%s + %s" % (cause, effect))
    return None if case is None else support.snapshot(case)  # a host on which both must fire


def found(cause: str, effect: str, apart: bool = False) -> Iterator[Tuple[Dict[str, Any], Dict[str, List[Optional[str]]]]]:
    """Hosts on which both fire, and what explains the findings of each under these two rules alone."""
    mine = of_its_own(cause, effect)
    for document in [mine] if mine is not None else hosts(cause, effect, apart=apart):
        yield document, explained(document, (cause, effect))


@functools.lru_cache(maxsize=None)
def held(cause: str, effect: str) -> Optional[Dict[str, Any]]:
    """A host on which the cause stands and every finding of the effect is explained by it; null where there is none."""
    for apart in (False, True):
        for document, said in found(cause, effect, apart):
            if set(said) == {cause, effect} and set(said[cause]) == {None} and set(said[effect]) == {cause}:
                return document
    return None


@pytest.mark.parametrize("cause", list(RULES))
def test_whatever_a_rule_explains_it_explains_somewhere(cause: str) -> None:
    assert [effect for effect in RULES[cause].explains if held(cause, effect) is None] == []


@pytest.mark.parametrize(("cause", "effect"), pairs("effects"), ids=" ".join)
def test_what_the_runbooks_call_an_effect_is_one(cause: str, effect: str) -> None:
    assert effect in RULES[cause].explains and cause not in RULES[effect].explains


@pytest.mark.parametrize("cause", list(TABLE["effects"]))
def test_under_all_rules_the_cause_or_what_is_behind_it_is_the_answer(cause: str) -> None:
    """An effect is never a verdict beside its cause, whatever other rules fire on the host."""
    for effect in TABLE["effects"][cause]:
        document = held(cause, effect)
        assert document is not None
        row = _verdict.judge(document, RULES, THRESHOLDS)
        rules = [verdict["rule"] for verdict in row["verdicts"]]
        assert effect not in rules and row["state"] == "incident", (effect, rules)
        by = {item["rule"]: item["explained_by"] for item in row["findings"]}
        end: Optional[str] = cause
        while end is not None and end not in rules:
            end = by[end]
        assert end in rules, (cause, effect, by)


@pytest.mark.parametrize(("first", "second"), pairs("independent"), ids=" ".join)
def test_independent_causes_stand_together(first: str, second: str) -> None:
    assert second not in RULES[first].explains or second in RULES[first].explains_when
    several = [said for apart in (True, False) for dummy, said in found(first, second, apart)]
    assert several and all(set(said[first]) == {None} and set(said[second]) == {None} for said in several)


@pytest.mark.parametrize(("first", "second"), pairs("elsewhere"), ids=" ".join)
def test_one_service_does_not_explain_another(first: str, second: str) -> None:
    here = [case for case in FIRED[first] if _main(case)]
    there = [json.loads(json.dumps(case).replace(json.dumps(_main(case)), '"other.service"')) for case in FIRED[second] if _main(case)]
    two = {name: RULES[name] for name in (first, second)}
    seen = 0
    for mine in here:
        for theirs in there:
            row = _verdict.judge(joined(joined(theirs, mine), BASE), two, THRESHOLDS)
            services = {(item["rule"], item["service"]): item["explained_by"] for item in row["findings"]}
            if (second, "other.service") in services and (first, _main(mine)) in services:
                seen += 1
                assert services[second, "other.service"] is None
    assert seen


@pytest.mark.parametrize("shares", TABLE["shares"], ids=" ".join)
def test_causes_that_share_the_processors_say_how_much_is_theirs(shares: Dict[str, float]) -> None:
    parts = {"web.busy_code": ("shop-web.service", "gunicorn", "web"), "worker.busy_code": ("jobs.service", "celery", "worker"),
             "database.busy": ("postgresql.service", "postgres", "database")}
    services = []
    for rule, share in shares.items():
        name, component, role = parts[rule]
        row: Dict[str, Any] = {"id": name, "component": component, "role": role, "memory_mib": 100, "cpu": {"used": share * 4, "share": share}}
        services.append(row if component == "postgres" else {**row, "workers_like": [[1, 40, 900, 0.95], [1, 40, 900, share * 4 - 0.95]]})
    row = _verdict.judge(support.snapshot({"services": services, "snapshot": {"host": {"cpu": {"used": 3.9, "used_pct": 97}}}}), RULES, THRESHOLDS)
    assert {verdict["rule"]: verdict["share"] for verdict in row["verdicts"]} == shares


def test_kills_outrank_everything_that_is_heavier() -> None:
    document = next(document for document, dummy in found("postgres.blocked_by_lock", "service.killed_in_its_limit", True))
    row = _verdict.judge(document, RULES, THRESHOLDS)
    assert RULES["postgres.blocked_by_lock"].weight > RULES["service.killed_in_its_limit"].weight
    assert row["verdicts"][0]["resource"] == "memory" and "postgres.blocked_by_lock" in [verdict["rule"] for verdict in row["verdicts"]]


def test_no_rules_explain_each_other_in_a_circle() -> None:
    done: Dict[str, bool] = {}

    def visit(rule: str) -> None:
        assert done.get(rule, True), "%s explains itself in the end" % rule
        if rule not in done:
            done[rule] = False
            for effect in RULES[rule].explains:
                visit(effect)
            done[rule] = True

    for rule in RULES:
        visit(rule)


def test_a_circle_of_somebodys_own_rules_leaves_one_of_them() -> None:
    names = ("log.verbose", "web.busy_code", "host.cpu_saturated")
    circle = {name: RULES[name]._replace(explains=(names[(place + 1) % 3],), explains_when={}) for place, name in enumerate(names)}
    document = support.snapshot({
        "services": [{"id": "shop-web.service", "component": "gunicorn", "role": "web", "workers_like": [[4, 40, 900, 0.95]], "cpu": {"used": 3.8}}],
        "snapshot": {"host": {"cpu": {"used": 4, "used_pct": 99}, "pressure": {"cpu": {"some_avg10": 90}}}, "logs": {"services": [
            {"service": "shop-web.service", "source": "journal", "covered_s": 10.0, "lines_per_s": 900.0, "bytes_per_s": 1.0, "signals": []}]}},
    })
    row = _verdict.judge(document, circle, THRESHOLDS)
    assert len(row["findings"]) == 3 and len(row["verdicts"]) == 1


def test_what_probes_say_is_explained_by_the_same_rules() -> None:
    """A URL that people named and a container's own check see the same: one of them is not told alone."""
    assert [rule.id for rule in RULES.values() if ("service.not_answering" in rule.explains) and "container.unhealthy" not in rule.explains
            and "service.not_answering" not in rule.explains_when] == []
