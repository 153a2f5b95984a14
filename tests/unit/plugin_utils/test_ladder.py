# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The steps of one host: their order, what is above its ceilings, what did not help before, and what never becomes one."""

from __future__ import annotations

from typing import Any, Dict, List, Tuple

import plans
import pytest
from ansible_collections.oncall.pressure.plugins.plugin_utils import _ladder
from ansible_collections.oncall.pressure.plugins.plugin_utils._ladder import Ceilings
from plans import DECLARED, MEMORY, WEB, busy_job, entry, suggestion, verdict

LOWER, RECYCLE, RESTART = (suggestion(name, service=WEB) for name in ("lower_workers", "recycle_workers", "restart_service"))


def names(*verdicts: Dict[str, Any]) -> List[Tuple[str, str]]:
    return [(item.mitigation.id, item.rule) for item in _ladder.order(_ladder.suggested(verdicts, DECLARED)[0])]


def one(suggested: Dict[str, Any], **change: Any) -> _ladder.Suggested:
    return _ladder.suggested([verdict(suggested, **change)], DECLARED)[0][0]


def held(suggested: Dict[str, Any], ceilings: Ceilings = Ceilings(), entries: Tuple[Dict[str, Any], ...] = ()) -> Tuple[Any, bool]:
    return _ladder.hold(one(suggested), ceilings, entries, 21600)


def test_inside_a_verdict_the_lower_rung_is_first_whatever_the_rule_lists_first() -> None:
    assert names(verdict(RECYCLE, LOWER)) == [("lower_workers", MEMORY), ("recycle_workers", MEMORY)]


def test_what_loses_work_comes_after_what_loses_none_also_of_a_verdict_that_weighs_less() -> None:
    assert names(verdict(LOWER, RESTART), busy_job()) == [("lower_workers", MEMORY), ("pause_jobs", "jobs.overlap"), ("restart_service", MEMORY)]


def test_a_verdict_that_weighs_more_is_first_though_its_rung_is_higher() -> None:
    assert names(verdict(RECYCLE), busy_job()) == [("recycle_workers", MEMORY), ("pause_jobs", "jobs.overlap")]


def test_what_two_verdicts_suggest_in_the_same_words_is_one_step_and_in_other_words_two() -> None:
    cpu = verdict(suggestion("lower_workers", service=WEB, basis="cpu"), LOWER, rule="web.too_many_workers_for_cpus")
    assert names(verdict(LOWER), cpu) == [("lower_workers", MEMORY), ("lower_workers", "web.too_many_workers_for_cpus")]


@pytest.mark.parametrize("bad,says", [
    (suggestion("fly_away", service=WEB), "fly_away, which is no mitigation"),
    (suggestion("lower_workers", service="a; rm -rf /"), "not plain text"),
    (suggestion("lower_workers", service="{{ lookup('pipe', 'id') }}"), "not plain text"),
    (suggestion("lower_workers", service="a\nb"), "not plain text"),
    (suggestion("lower_workers", service="x" * 201), "not plain text"),
    (suggestion("lower_workers", service=""), "not plain text"),
    ({"id": "lower_workers", "variables": {"pressure_service": ["a"]}}, "not plain text"),
    ({"id": "lower_workers", "variables": {"pressure_service": 3}}, "not plain text"),
    ({"id": "lower_workers", "variables": None}, "not plain text"),
    ({"id": "lower_workers", "variables": {"ansible_become_exe": "sh"}}, "ansible_become_exe, which it does not take"),
    (suggestion("lower_workers", force="true"), "pressure_force, which it does not take"),
    ({"id": None, "variables": {}}, "no mitigation"),
])
def test_what_nobody_can_follow_is_a_line_and_never_a_step(bad: Dict[str, Any], says: str) -> None:
    found, problems = _ladder.suggested([verdict(bad, RESTART)], DECLARED)
    assert [item.mitigation.id for item in found] == ["restart_service"]
    assert len(problems) == 1 and says in problems[0]


def test_what_a_step_is_declared_to_be_is_the_collections_to_say() -> None:
    lying = dict(RESTART, rung=1, disruption="none", loses_work=False)
    row = _ladder.step(one(lying), None)
    assert (row["rung"], row["disruption"], row["loses_work"]) == (5, "high", True)
    assert row["for"] == {"rule": MEMORY, "service": WEB} and row["variables"] == {"pressure_service": WEB}


@pytest.mark.parametrize("suggested,ceilings,says,for_a_person", [
    (LOWER, Ceilings(), None, False),
    (RESTART, Ceilings(), "disruption high is above pressure_max_disruption medium", True),
    (RESTART, Ceilings(max_disruption="high"), None, False),
    (RECYCLE, Ceilings(max_rung=4), "rung 5 is above pressure_max_rung 4", True),
    (LOWER, Ceilings(max_rung=0), "rung 1 is above pressure_max_rung 0", True),
    (LOWER, Ceilings(max_disruption="none"), "disruption low is above pressure_max_disruption none", True),
    (LOWER, Ceilings(never=("lower_workers",)), "it is named in pressure_never", False),
    (LOWER, Ceilings(mitigations=("lower_workers",)), None, False),
    (LOWER, Ceilings(mitigations=("lower_workers",), never=("lower_workers",)), "it is named in pressure_never", False),
    (LOWER, Ceilings(mitigations=("pause_jobs", "recycle_workers")), "pressure_mitigations allows only pause_jobs, recycle_workers", False),
    # naming one does not lift the ceilings
    (RESTART, Ceilings(mitigations=("restart_service",)), "disruption high is above pressure_max_disruption medium", True),
])
def test_ceilings(suggested: Dict[str, Any], ceilings: Ceilings, says: Any, for_a_person: bool) -> None:
    assert held(suggested, ceilings) == (says, for_a_person)


def test_every_reason_is_said() -> None:
    why, dummy = held(RESTART, Ceilings(max_rung=3, max_disruption="low", never=("restart_service",)))
    assert why == "it is named in pressure_never; rung 5 is above pressure_max_rung 3; disruption high is above pressure_max_disruption low"


def test_one_that_is_not_automatic_waits_until_it_is_named() -> None:
    manual = {"lower_workers": DECLARED["lower_workers"]._replace(automatic=False)}
    item = _ladder.suggested([verdict(LOWER)], manual)[0][0]
    assert _ladder.hold(item, Ceilings(), [], 0) == ("it is only done where pressure_mitigations names it", True)
    assert _ladder.hold(item, Ceilings(mitigations=("lower_workers",)), [], 0) == (None, False)


HIGH = Ceilings(max_disruption="high")


@pytest.mark.parametrize("change,why", [
    ({}, "the same verdict came back within 2 h of a restart: restarts do not help, the lasting fixes do"),
    ({"reason": "somebody asked"}, "a verdict of it came back within 2 h of a restart: restarts do not help, the lasting fixes do"),
    ({"reason": "remediate: service.one_worker_growing"}, "a verdict of it came back within 2 h"),
    ({"reason": None}, "a verdict of it came back within 2 h"),
    ({"age_s": 21601}, None),
    ({"age_s": 90}, "the same verdict came back within 90 s of a restart"),
    ({"age_s": None}, "the same verdict came back after a restart"),
    ({"service": "other.service"}, None),
    ({"mitigation": "lower_workers"}, None),
    # undone, or never kept: it did not help then, and says nothing of a restart that stays
    ({"state": "undone"}, None),
    ({"state": "verified"}, None),
])
def test_a_service_that_was_restarted_and_is_sick_again_is_not_restarted_once_more(change: Dict[str, Any], why: Any) -> None:
    found, for_a_person = held(RESTART, HIGH, (entry(**{"mitigation": "restart_service", **change}),))
    assert found == why if why is None else str(found).startswith(why)
    assert for_a_person is False


def test_other_steps_of_a_service_that_was_restarted_go_on() -> None:
    assert held(LOWER, HIGH, (entry(mitigation="restart_service"),)) == (None, False)


def test_a_restart_that_would_not_help_is_not_told_to_a_person_either() -> None:
    assert held(RESTART, Ceilings(), (entry(mitigation="restart_service"),))[1] is False


@pytest.mark.parametrize("given,want", [
    ({}, Ceilings()),
    ({"max_rung": "3"}, Ceilings(max_rung=3)),
    ({"max_rung": 0, "max_disruption": "none"}, Ceilings(max_rung=0, max_disruption="none")),
    ({"mitigations": "lower_workers, pause_jobs"}, Ceilings(mitigations=("lower_workers", "pause_jobs"))),
    ({"mitigations": [], "never": ["restart_service"]}, Ceilings(never=("restart_service",))),
    ({"never": ""}, Ceilings()),
])
def test_ceilings_as_an_inventory_or_a_command_line_gives_them(given: Dict[str, Any], want: Ceilings) -> None:
    assert _ladder.read_ceilings(given, DECLARED) == want


@pytest.mark.parametrize("given,says", [
    ({"max_rung": "high"}, "pressure_max_rung must be a whole number from 0 to 7"),
    ({"max_rung": 8}, "pressure_max_rung"), ({"max_rung": -1}, "pressure_max_rung"), ({"max_rung": True}, "pressure_max_rung"),
    ({"max_rung": 3.5}, "pressure_max_rung"), ({"max_rung": None}, "pressure_max_rung"),
    ({"max_disruption": "severe"}, "pressure_max_disruption must be one of none, low, medium, high"),
    ({"max_disruption": None}, "pressure_max_disruption"), ({"max_disruption": ["low"]}, "pressure_max_disruption"),
    ({"never": ["fly"]}, "pressure_never: fly is no mitigation (known: "),
    ({"mitigations": {"lower_workers": True}}, "pressure_mitigations must be a list"), ({"mitigations": [["x"]]}, "pressure_mitigations"),
    ({"rung": 3}, "rung is no ceiling"),
])
def test_a_ceiling_that_cannot_be_understood_is_an_error_and_not_the_default(given: Dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError) as problem:
        _ladder.read_ceilings(given, DECLARED)
    assert says in str(problem.value)


def test_no_rule_of_the_collection_suggests_what_cannot_be_followed() -> None:
    """Every variable that a shipped rule fills in is one that its mitigation takes from a verdict."""
    from ansible_collections.oncall.pressure.plugins.plugin_utils._rules import load_rules
    rules = load_rules(str(plans.ROOT / "roles" / "diagnose" / "files" / "rules")).rules
    filled = [(rule.id, item) for rule in rules.values() for item in rule.mitigations]
    assert len(filled) > 8
    for rule, item in filled:
        given = {"pressure_service", *item.variables} - {name for name, value in item.variables.items() if value == ""}
        assert given <= DECLARED[item.id].variables, (rule, item.id)
    for rule in rules.values():
        ids = [item.id for item in rule.mitigations]
        assert "restart_service" not in ids or ids[-1] == "restart_service", rule.id
