# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What follows from how the steps of a host went."""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Sequence, Tuple

import pytest
from ansible_collections.oncall.pressure.plugins.plugin_utils import _ledger, _outcome, _outcome_text

MEMORY = ("web.too_many_workers_for_memory", "shop.service")
TRAFFIC = ("nginx.abusive_client", "nginx.service")


def planned(*steps: Tuple[str, Tuple[str, str]], held: Sequence[int] = ()) -> Dict[str, Any]:
    return {
        "act": True, "lasting": ["mend it"], "run": ["a command"],
        "open": [{"entry": "A/01", "state": "confirmed"}, {"entry": "B/01", "state": "verified"}, {"entry": "B/02", "state": "applied"}],
        "steps": [{"mitigation": name, "title": name, "variables": {"pressure_service": reason[1]}, "rung": 1, "disruption": "low", "loses_work": False,
                   "reversible": "fully", "settle_s": 1, "for": {"rule": reason[0], "service": reason[1]}, "held": "above a ceiling" if place in held else None}
                  for place, (name, reason) in enumerate(steps)],
    }


def begun(*steps: Tuple[str, Tuple[str, str]], states: Sequence[str] = (), effects: Sequence[Optional[str]] = (), held: Sequence[int] = ()) -> Dict[str, Any]:
    outcome = _outcome.begin("web-1", planned(*steps, held=held), 1000.0)
    for step, state in zip(outcome["steps"], states):
        step.update(state=state, entry="C/%02d" % (step["number"] + 1))
    for row, effect in zip(outcome["justified"], effects):
        row["effect"] = effect
    return outcome


def test_steps_that_are_held_are_none_of_it() -> None:
    outcome = begun(("lower_workers", MEMORY), ("restart_service", MEMORY), held=[1])
    assert [step["mitigation"] for step in outcome["steps"]] == ["lower_workers"]
    assert [step["number"] for step in outcome["steps"]] == [0]


def test_what_an_earlier_run_left_is_named_newest_first_and_what_is_confirmed_stays() -> None:
    assert begun(("lower_workers", MEMORY))["leftover"] == ["B/02", "B/01"]


def test_a_step_whose_reason_is_gone_is_not_taken() -> None:
    outcome = begun(("lower_workers", MEMORY), ("limit_requests", TRAFFIC), effects=["clear", "held"])
    assert not _outcome.taking(outcome, 0, False).take
    assert _outcome.taking(outcome, 1, False).take


@pytest.mark.parametrize("effect", [None, "unknown", "held"])
def test_what_is_not_known_to_be_clear_is_acted_upon_as_planned(effect: Optional[str]) -> None:
    assert _outcome.taking(begun(("lower_workers", MEMORY), effects=[effect]), 0, False).take


@pytest.mark.parametrize("state", ["lost", "failed", "taken", "applied"])
def test_nothing_follows_a_step_that_did_not_end_well(state: str) -> None:
    outcome = begun(("lower_workers", MEMORY), ("recycle_workers", MEMORY), states=[state])
    assert not _outcome.taking(outcome, 1, False).take


@pytest.mark.parametrize("state", ["undone", "nothing", "refused"])
def test_the_next_rung_follows_one_that_did_not_help(state: str) -> None:
    outcome = begun(("lower_workers", MEMORY), ("recycle_workers", MEMORY), states=[state], effects=["held"])
    assert _outcome.taking(outcome, 1, False).take


def test_no_step_is_taken_twice() -> None:
    assert not _outcome.taking(begun(("lower_workers", MEMORY), states=["undone"], effects=["held"]), 0, False).take


def test_a_check_shows_the_first_step_of_each_reason() -> None:
    outcome = begun(("lower_workers", MEMORY), ("recycle_workers", MEMORY), ("limit_requests", TRAFFIC), states=["checked"])
    assert [_outcome.taking(outcome, number, True).take for number in (1, 2)] == [False, True]


@pytest.mark.parametrize("found,decision", [("clear", "confirm"), ("held", "undo"), ("unknown", "undo")])
def test_what_is_not_seen_to_help_is_undone(found: str, decision: str) -> None:
    outcome = begun(("lower_workers", MEMORY), states=["applied"])
    outcome["steps"][0]["acts_now"] = True
    assert _outcome.decide(outcome, 0, found) == decision


def test_what_counts_at_the_next_start_is_carried_to_the_restart_of_the_same_service_alone() -> None:
    outcome = begun(("lower_workers", MEMORY), ("restart_service", MEMORY), states=["applied"])
    outcome["steps"][0]["acts_now"] = False
    assert _outcome.decide(outcome, 0, "held") == "carry"
    outcome["steps"][1]["service"] = "another.service"
    assert _outcome.decide(outcome, 0, "held") == "undo"
    outcome = begun(("lower_workers", MEMORY), ("restart_service", MEMORY), states=["applied"], held=[1])
    outcome["steps"][0]["acts_now"] = False
    assert _outcome.decide(outcome, 0, "held") == "undo", "no restart will follow"


def test_what_is_carried_waits_for_the_restart_over_a_step_that_came_to_nothing() -> None:
    outcome = begun(("lower_workers", MEMORY), ("recycle_workers", MEMORY), ("restart_service", MEMORY), states=["applied", "waiting", "waiting"])
    outcome["steps"][0]["acts_now"] = False
    assert _outcome.decide(outcome, 0, "held") == "carry"
    outcome = begun(("lower_workers", MEMORY), ("recycle_workers", MEMORY), ("restart_service", MEMORY), states=["carried", "undone", "applied"])
    assert _outcome.together(outcome, 2) == ["C/03", "C/01"]
    # the one between them was another's end: it stays as it is
    outcome["steps"][0]["why"] = "it still holds"
    _outcome.settle_carried(outcome, 2, "confirmed")
    assert outcome["steps"][0]["why"] is None
    assert [step["state"] for step in outcome["steps"]] == ["confirmed", "undone", "applied"]


def test_what_was_carried_ends_as_the_restart_does() -> None:
    outcome = begun(("lower_workers", MEMORY), ("restart_service", MEMORY), states=["carried", "applied"])
    assert _outcome.together(outcome, 1) == ["C/02", "C/01"]
    _outcome.settle_carried(outcome, 1, "undone")
    assert outcome["steps"][0]["state"] == "undone"


@pytest.mark.parametrize("result,state", [
    ({"msg": "refused: no", "refused": True}, "refused"),
    ({"msg": "put back", "state": "undone"}, "undone"),
    ({"msg": "it is undone", "entries": [{"state": "undone"}]}, "undone"),
    ({"msg": "nothing was changed: a full disk"}, "undone"),
    ({"msg": "CRITICAL", "critical": True, "state": "undo_failed"}, "failed"),
    ({"msg": "CRITICAL", "critical": True, "refused": True}, "failed"),
    ({"msg": "a fault of ours"}, "failed"),
    ({"msg": "no route", "unreachable": True, "refused": True}, "lost"),
    ({}, "failed"),
])
def test_a_failure_says_what_it_left(result: Dict[str, Any], state: str) -> None:
    assert _outcome.failed(result)[0] == state


@pytest.mark.parametrize("states,effects,ending", [
    (["confirmed"], ["clear"], "improved"),
    (["undone", "confirmed"], ["clear"], "improved"),
    (["undone", "undone"], ["held"], "unchanged"),
    (["undone", "nothing"], ["unknown"], "unchanged"),
    (["refused", "refused"], ["held"], "refused"),
    (["refused", "undone"], ["held"], "unchanged"),
    (["needless", "needless"], ["clear"], "moved_on"),
    (["undone", "waiting"], ["clear"], "moved_on"),
    (["lost", "waiting"], ["held"], "lost"),
    (["failed", "waiting"], ["clear"], "failed"),
    (["applied", "waiting"], [None], "failed"),
    (["taken", "waiting"], [None], "failed"),
    (["confirmed", "failed"], ["clear"], "failed"),
    (["carried", "refused"], ["held"], "failed"),
    (["checked", "waiting"], [None], "checked"),
    (["confirmed", "undone"], ["held"], "partly"),
    (["waiting", "waiting"], [None], "unchanged"),
])
def test_a_host_ends_as_its_steps_did(states: List[str], effects: List[Optional[str]], ending: str) -> None:
    steps = [("lower_workers", MEMORY), ("restart_service", MEMORY)][:len(states)]
    outcome = begun(*steps, states=states, effects=effects)
    _outcome.finish(outcome, 2000.0)
    assert (outcome["state"], outcome["ended_s"]) == (ending, 2000.0)
    assert ending in _ledger.GOOD or outcome["why"], "what is no success says why"
    assert _outcome_text.ended(outcome).startswith("web-1  ")


def test_what_was_clear_while_a_step_was_in_effect_is_not_clear_once_it_is_put_back() -> None:
    # the rule was clear, then the probe said no, and the host undid the change
    outcome = begun(("lower_workers", MEMORY), ("recycle_workers", MEMORY), states=["undone"], effects=["clear"])
    _outcome.forget_effect(outcome, 0)
    assert _outcome.taking(outcome, 1, False).take, "the next rung follows"
    outcome["steps"][1]["state"] = "refused"
    _outcome.finish(outcome, 2000.0)
    assert outcome["state"] == "unchanged"


def test_nor_is_any_other_that_became_clear_while_it_was() -> None:
    outcome = begun(("lower_workers", MEMORY), ("limit_requests", TRAFFIC), states=["undone"], effects=["held", "clear"])
    outcome["steps"][0]["clear_before"] = []
    _outcome.forget_effect(outcome, 0)
    assert _outcome.taking(outcome, 1, False).take


def test_what_was_clear_before_a_step_that_is_put_back_stays_clear() -> None:
    # nobody restarts for what an earlier step, which is kept, has cleared
    steps = (("lower_workers", MEMORY), ("limit_requests", TRAFFIC), ("recycle_workers", MEMORY))
    outcome = begun(*steps, states=["confirmed", "undone"], effects=["clear", "held"])
    outcome["steps"][1]["clear_before"] = _outcome.note_clear(outcome)
    _outcome.forget_effect(outcome, 1)
    assert not _outcome.taking(outcome, 2, False).take


def test_nothing_is_done_to_a_host_that_was_lost_before_its_first_step() -> None:
    outcome = begun(("lower_workers", MEMORY))
    outcome.update(state="lost", why="no answer")
    assert not _outcome.taking(outcome, 0, False).take


@pytest.mark.parametrize("result,state,why", [
    ({"msg": "One or more items failed", "failed": True, "results": [
        {"changed": True}, {"failed": True, "critical": True, "msg": "CRITICAL: by hand, as root: python3"}]}, "failed", "CRITICAL: by hand, as root: python3"),
    ({"msg": "All items completed", "results": [{"changed": True}, {"unreachable": True, "msg": "no route"}]}, "lost", "no route"),
    ({"msg": "One or more items failed", "failed": True, "results": "nonsense"}, "failed", "One or more items failed"),
])
def test_a_loop_says_what_failed_in_it(result: Dict[str, Any], state: str, why: str) -> None:
    assert _outcome.failed(result) == (state, why)


def test_two_jobs_of_one_rule_are_two_reasons() -> None:
    plan = planned(("pause_jobs", ("jobs.overlap", "cron.service")), ("pause_jobs", ("jobs.overlap", "cron.service")))
    for step, job in zip(plan["steps"], ("/etc/cron.d/a:3", "/etc/cron.d/b:3")):
        step["variables"] = {"pressure_job": job}
    outcome = _outcome.begin("web-1", plan, 1000.0)
    assert [row["about"] for row in outcome["justified"]] == ["/etc/cron.d/a:3", "/etc/cron.d/b:3"]
    _outcome.note_effects(outcome, {("jobs.overlap", "cron.service", "/etc/cron.d/a:3"): "clear"})
    assert [_outcome.effect(outcome, step) for step in outcome["steps"]] == ["clear", None]


def test_what_loses_work_is_not_done_on_a_guess() -> None:
    outcome = begun(("restart_service", MEMORY), effects=["unknown"])
    outcome["steps"][0]["loses_work"] = True
    assert not _outcome.taking(outcome, 0, False).take
    outcome["justified"][0]["effect"] = "held"
    assert _outcome.taking(outcome, 0, False).take


def test_a_pause_is_no_failure_for_what_it_lets_finish() -> None:
    outcome = begun(("pause_jobs", MEMORY), states=["confirmed"], effects=["easing"])
    _outcome.finish(outcome, 2000.0)
    assert outcome["state"] == "improved"


def test_one_of_two_reasons_cleared_is_no_success() -> None:
    outcome = begun(("lower_workers", MEMORY), ("limit_requests", TRAFFIC), states=["confirmed", "undone"], effects=["clear", "held"])
    _outcome.finish(outcome, 2000.0)
    assert outcome["state"] == "partly" and outcome["state"] not in _ledger.GOOD


def test_the_last_words_say_how_to_undo_and_what_to_mend() -> None:
    outcome = begun(("lower_workers", MEMORY), states=["confirmed"], effects=["clear"])
    outcome["steps"][0].update(incident="C", lifetime_s=3600)
    outcome["checks"] = {"no_kills": {"holds": True, "why": ""}, "responsive": {"holds": None, "why": ""}}
    _outcome.finish(outcome, 2000.0)
    said = _outcome_text.summary({"web-1": outcome}, ["-i", "prod"])
    assert "ansible-playbook oncall.pressure.rollback -i prod -l web-1 -e pressure_incident=C" in said
    assert "for good: mend it" in said and "ends by itself in 60 min" in said
    assert "no kills: yes" in said and "responsive: not measured" in said
    assert said.endswith("1 host: 1 improved.")


def test_every_way_to_end_has_its_words() -> None:
    for state in (*_ledger.GOOD, *_ledger.BAD, _ledger.BEGUN):
        outcome = dict(begun(("lower_workers", MEMORY)), state=state, why="because \x1b[31m")
        said = _outcome_text.summary({"web-1": outcome})
        assert "\x1b" not in said and said.count("\n") >= 1


def paused(ages: Sequence[Optional[float]], paused: bool = True, period: Optional[float] = 60.0) -> Dict[str, Any]:
    row = {"id": "/etc/cron.d/shop:3", "paused": paused, "period_s": period, "running": [{"pid": 7, "age_s": age} for age in ages], "overlap": len(ages)}
    return {"jobs": {"cron": [{"id": "/etc/cron.d/shop:2", "paused": True, "period_s": 60.0, "running": [{"pid": 9, "age_s": 900.0}]}, row]}}


@pytest.mark.parametrize("snapshot,since_s,kept", [
    (paused([400.0, 340.0]), 180.0, True),
    # one began since: something else starts it
    (paused([400.0, 20.0]), 180.0, False),
    # none was due yet, so that none began shows nothing
    (paused([400.0, 340.0], period=3600.0), 180.0, False),
    (paused([400.0, 340.0], period=None), 180.0, False),
    (paused([400.0, None]), 180.0, False),
    (paused([400.0, 340.0], paused=False), 180.0, False),
    (paused([]), 180.0, False),
    ({"jobs": None}, 180.0, False),
])
def test_a_pause_is_kept_while_what_ran_before_it_finishes_and_nothing_began_since(snapshot: Dict[str, Any], since_s: float, kept: bool) -> None:
    step = {"mitigation": "pause_jobs", "variables": {"pressure_job": "/etc/cron.d/shop:3"}}
    assert bool(_outcome.left_to_finish(step, snapshot, since_s)) == kept
    assert _outcome.left_to_finish(dict(step, mitigation="lower_workers"), snapshot, since_s) is None
    assert _outcome.decide(begun(("pause_jobs", MEMORY), states=["applied"]), 0, "easing") == "confirm"


@pytest.mark.parametrize("oom,quiet", [
    ({"kills": 0, "window_s": 3600, "events": []}, 0.0),
    ({"kills": None, "window_s": 3600, "events": None}, 0.0),
    ({"kills": 3, "window_s": 3600, "events": [{"age_s": 10}, {"age_s": 30}, {"age_s": 50}]}, 40.0),
    # how soon the next was due is not known
    ({"kills": 1, "window_s": 3600, "events": [{"age_s": 10}]}, 7200.0),
    ({"kills": 2, "window_s": 3600, "events": [{"age_s": None}, {"age_s": 40}]}, 3600.0),
])
def test_no_kill_says_something_after_a_while_only(oom: Dict[str, Any], quiet: float) -> None:
    assert _outcome.quiet_s({"oom": oom}) == quiet
