# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A plan from a file against a fresh look: what moved on is dropped and said, and nothing is done that the diagnosis does not suggest now."""

from __future__ import annotations

import json
from typing import Any, Callable, Dict, List, Mapping, Optional, Tuple

import plans
import pytest
from ansible_collections.oncall.pressure.plugins.plugin_utils import _plan, _plan_file, _plan_given
from ansible_collections.oncall.pressure.plugins.plugin_utils._ladder import Ceilings
from plans import DECLARED, WEB, acting, busy_job, entry, held, journal, sick, silent, snapshot, suggestion, verdict, well

HIGH = Ceilings(max_disruption="high")


def again(
    now: Mapping[str, Any],
    edit: Callable[[Dict[str, Any]], Any] = lambda hosts: None,
    before: Optional[Mapping[str, Any]] = None,
    snapshots: Optional[Mapping[str, Any]] = None,
    **change: Any,
) -> _plan.Planned:
    """Plan for ``before`` (a sick web-3 unless said), edit the hosts of the file, and plan again for ``now``."""
    document = json.loads(json.dumps(plans.plan(before or {"web-3": sick()}, ignore_majority=True).document))
    edit(document["hosts"])
    given = _plan_file.parse_plan("plan.json", json.dumps(document).encode(), DECLARED)
    found = {host: snapshot() for host, row in now.items() if row["reached"]} if snapshots is None else snapshots
    return plans.valid(_plan_given.plan_again(given, plans.diagnosis(now), found, DECLARED, plans.asked(*now, **change)))


def steps(planned: _plan.Planned, host: str = "web-3") -> List[Tuple[str, Any]]:
    return [(step["mitigation"], step["held"]) for step in planned.document["hosts"][host]["steps"]]


def first(change: Dict[str, Any]) -> Callable[[Dict[str, Any]], Any]:
    return lambda hosts: hosts["web-3"]["steps"][0].update(change)


def test_what_is_still_so_is_done() -> None:
    planned = again({"web-3": sick(), "web-4": well()})
    assert acting(planned) == ["web-3"] and planned.notes == [] and planned.left == {}
    assert steps(planned)[0] == ("lower_workers", None)


def test_a_host_that_was_taken_out_is_not_changed_and_named() -> None:
    planned = again({"web-3": sick(), "web-4": sick()}, lambda hosts: hosts.pop("web-4"), before={"web-3": sick(), "web-4": sick()})
    assert acting(planned) == ["web-3"] and list(planned.document["hosts"]) == ["web-3"]
    assert planned.notes == ["sick and not in the plan, so nothing is done there: web-4"]


def test_a_host_on_which_nothing_is_to_be_done_is_held_and_nothing_is_left_undone() -> None:
    planned = again({"web-3": sick()}, lambda hosts: hosts["web-3"].update(act=False))
    assert held(planned, "web-3") == "the plan says that nothing is to be done to it" and planned.left == {}


def test_a_host_that_was_held_stays_held_until_a_person_says_otherwise() -> None:
    before = {"web-3": sick()}
    document = plans.plan(before, changes={"web-3": journal(read_only=True)}).document
    given = _plan_file.parse_plan("p", json.dumps(document).encode(), DECLARED)
    planned = _plan_given.plan_again(given, plans.diagnosis(before), {"web-3": snapshot()}, DECLARED, plans.asked("web-3"))
    assert "read-only" in held(planned, "web-3")
    document["hosts"]["web-3"]["act"] = True
    given = _plan_file.parse_plan("p", json.dumps(document).encode(), DECLARED)
    planned = _plan_given.plan_again(given, plans.diagnosis(before), {"web-3": snapshot()}, DECLARED, plans.asked("web-3"))
    assert acting(planned) == ["web-3"]


def test_a_host_of_the_file_that_is_not_in_the_run_is_named() -> None:
    planned = again({"web-4": well()})
    assert planned.notes == ["in the plan and not in this run, so nothing is done there: web-3"] and planned.document["hosts"] == {}


@pytest.mark.parametrize("boot_id,says", [
    ("6f07b940-0244-498e-814f-beb8a3ffea1b", "the host has moved on since the plan: it was started again"),
    (None, "whether it was started again is not known"),
])
def test_a_plan_of_another_boot_is_not_carried_out(boot_id: Optional[str], says: str) -> None:
    planned = again({"web-3": sick()}, snapshots={"web-3": snapshot(boot_id)})
    assert says in held(planned, "web-3") and "web-3" in planned.left


def test_a_file_that_does_not_say_which_boot_is_not_carried_out() -> None:
    assert "is not known" in held(again({"web-3": sick()}, lambda hosts: hosts["web-3"]["taken"].update(boot_id=None)), "web-3")
    assert "is not known" in held(again({"web-3": sick()}, snapshots={}), "web-3")


def test_a_host_that_is_well_by_now_has_moved_on_and_nothing_is_left_undone() -> None:
    # its journal is not asked for, since nothing is wrong with it
    planned = again({"web-3": well()}, changes={"web-3": {}})
    assert held(planned, "web-3") == "the host has moved on since the plan: web.too_many_workers_for_memory of shop-web.service is not found any more"
    assert planned.left == {} and steps(planned)[0][1].startswith("dropped: ")


def test_a_host_that_is_sick_of_something_else_has_moved_on_and_what_is_new_is_named() -> None:
    planned = again({"web-3": sick(busy_job())})
    assert "the host has moved on since the plan" in held(planned, "web-3") and planned.left == {}
    assert planned.notes == ["web-3: not in the plan: jobs.overlap (CPU cron.service (cron))"]


def test_a_host_that_did_not_answer_is_held_and_left() -> None:
    planned = again({"web-3": silent()})
    assert held(planned, "web-3") == "it did not answer: it does not answer" and "web-3" in planned.left


def test_what_could_not_be_decided_this_time_is_not_taken_for_healthy() -> None:
    unsure = well(unknown=[{"rule": plans.MEMORY, "missing": ["oom (denied)"]}]) | {"state": "unknown"}
    planned = again({"web-3": unsure})
    assert held(planned, "web-3").startswith("whether the host has moved on since the plan is not known: ")
    assert held(planned, "web-3").endswith("could not be decided this time") and "web-3" in planned.left


def test_what_is_only_an_effect_now_is_dropped_and_said() -> None:
    growing = verdict(suggestion("recycle_workers", service=WEB), rule="service.one_worker_growing")
    finding = {"rule": plans.MEMORY, "service": WEB, "confidence": "high", "explained_by": "service.one_worker_growing"}
    planned = again({"web-3": sick(growing, findings=[finding])})
    assert "is only an effect of service.one_worker_growing now" in held(planned, "web-3")


def test_of_two_troubles_the_one_that_is_over_is_dropped() -> None:
    planned = again({"web-3": sick(busy_job())}, before={"web-3": sick(verdict(), busy_job())})
    assert acting(planned) == ["web-3"]
    assert steps(planned) == [
        ("lower_workers", "dropped: web.too_many_workers_for_memory of shop-web.service is not found any more"),
        ("pause_jobs", None),
        ("restart_service", "dropped: web.too_many_workers_for_memory of shop-web.service is not found any more"),
    ]
    assert planned.document["hosts"]["web-3"]["run"] == []


def test_the_order_of_a_person_is_kept() -> None:
    before = {"web-3": sick(verdict(), busy_job())}
    planned = again(before, lambda hosts: hosts["web-3"]["steps"].reverse(), before=before)
    assert [name for name, dummy in steps(planned)] == ["restart_service", "pause_jobs", "lower_workers"]


def test_a_step_that_was_taken_out_is_not_done() -> None:
    before = {"web-3": sick(verdict(), busy_job())}
    planned = again(before, lambda hosts: hosts["web-3"]["steps"].pop(0), before=before)
    assert [name for name, why in steps(planned) if why is None] == ["pause_jobs"]


def test_all_steps_were_taken_out() -> None:
    assert held(again({"web-3": sick()}, lambda hosts: hosts["web-3"].update(steps=[])), "web-3") == "no step is left"


def test_what_the_file_holds_stays_held_though_the_ceilings_would_have_it() -> None:
    planned = again({"web-3": sick()}, ceilings={"web-3": HIGH})
    assert steps(planned)[1] == (
        "restart_service", "the plan holds it (set held to null to have it done): disruption high is above pressure_max_disruption medium")


def test_a_step_that_a_person_lets_go_is_held_by_the_ceilings_all_the_same() -> None:
    planned = again({"web-3": sick()}, lambda hosts: hosts["web-3"]["steps"][1].update(held=None))
    assert steps(planned)[1] == ("restart_service", "disruption high is above pressure_max_disruption medium")
    assert len(planned.document["hosts"]["web-3"]["run"]) == 1
    planned = again({"web-3": sick()}, lambda hosts: hosts["web-3"]["steps"][1].update(held=None), ceilings={"web-3": HIGH})
    assert steps(planned)[1] == ("restart_service", None)


def test_a_step_that_a_person_wrote_in_is_held() -> None:
    def write(hosts: Dict[str, Any]) -> None:
        own = dict(hosts["web-3"]["steps"][0], mitigation="recycle_workers", held=None)
        hosts["web-3"]["steps"].append(own)

    assert steps(again({"web-3": sick()}, write))[2] == ("recycle_workers", "the diagnosis does not suggest it for this: run it by itself")
    why = steps(again({"web-3": sick()}, write, ceilings={"web-3": Ceilings(max_rung=1)}))[2][1]
    assert why == "rung 5 is above pressure_max_rung 1; the diagnosis does not suggest it for this: run it by itself"


@pytest.mark.parametrize("change", [
    {"variables": {"pressure_service": "db.service"}}, {"variables": {}}, {"variables": {"pressure_service": WEB, "pressure_basis": "cpu"}},
])
def test_a_step_is_not_done_to_something_else_than_what_it_is_for(change: Dict[str, Any]) -> None:
    assert steps(again({"web-3": sick()}, first(change)))[0] == ("lower_workers", "the diagnosis suggests it with pressure_service=shop-web.service now")


def test_a_line_of_a_crontab_that_is_another_job_by_now_is_not_paused() -> None:
    planned = again({"web-3": sick(busy_job("/etc/cron.d/shop:5"))}, before={"web-3": sick(busy_job("/etc/cron.d/shop:4"))})
    assert steps(planned) == [("pause_jobs", "the diagnosis suggests it with pressure_job=/etc/cron.d/shop:5 now")] and acting(planned) == []


def test_of_two_jobs_of_one_rule_each_step_is_its_own() -> None:
    both = {"web-3": sick(busy_job("/etc/cron.d/a:1"), busy_job("/etc/cron.d/b:1"))}
    assert [why for dummy, why in steps(again(both, before=both))] == [None, None]
    assert [why for dummy, why in steps(again({"web-3": sick(busy_job("/etc/cron.d/b:1"))}, before=both))] == [
        "the diagnosis suggests it with pressure_job=/etc/cron.d/b:1 now", None]


def test_what_justifies_a_step_is_not_the_files_to_say() -> None:
    planned = again({"web-3": sick()}, first({"for": {"rule": "jobs.overlap", "service": "cron.service"}}))
    assert steps(planned)[0] == ("lower_workers", "dropped: jobs.overlap of cron.service is not found any more")


@pytest.mark.parametrize("change,says", [
    ({"changes": {"web-3": journal(entry(state="verified", owner="bob@desk"))}}, "neither confirmed nor undone"),
    ({"changes": {"web-3": {}}}, "is not known"),
    ({"max_hosts": 0}, "pressure_max_hosts"),
    ({"ceilings": {"web-3": Ceilings(max_rung=0)}}, "no step is left that is done by itself"),
])
def test_what_holds_a_host_afresh_holds_it_from_a_file(change: Dict[str, Any], says: str) -> None:
    planned = again({"web-3": sick()}, **change)
    assert says in held(planned, "web-3") and "web-3" in planned.left


def test_a_majority_that_is_sick_by_now_is_not_changed() -> None:
    now = {"web-%d" % number: sick() for number in range(1, 7)}
    planned = again(now)
    assert "6 of the 6 hosts that run shop-web.service are sick" in held(planned, "web-3")


def test_a_host_is_not_held_by_a_majority_of_what_it_is_not_changed_for() -> None:
    now: Dict[str, Any] = {"web-%d" % number: sick() for number in range(1, 7)}
    now["web-3"] = sick(verdict(), busy_job())
    before = {"web-3": sick(busy_job())}
    assert acting(again(now, before=before)) == ["web-3"]


EVIL = "\x1b[2J{{ lookup('pipe', 'id') }}\u202e"


def test_what_a_file_says_is_harmless_in_the_document() -> None:
    def spoil(hosts: Dict[str, Any]) -> None:
        hosts[EVIL] = dict(hosts["web-3"], held=EVIL, act=False)
        first({"held": EVIL})(hosts)

    planned = again({"web-3": sick(), EVIL: sick()}, spoil)
    text = json.dumps(planned.document, ensure_ascii=False) + "".join(planned.notes)
    assert "\x1b" not in text and "\u202e" not in text
    assert "\\u001b" not in json.dumps(planned.document)
