# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The plan of a fleet afresh: who is changed, who is held and why, and that what is not known is never acted upon."""

from __future__ import annotations

from typing import Any, Dict, List

import plans
import pytest
from ansible_collections.oncall.pressure.plugins.plugin_utils import _majority, _plan
from ansible_collections.oncall.pressure.plugins.plugin_utils._ladder import Ceilings
from plans import WEB, acting, busy_job, entry, held, journal, sick, silent, snapshot, suggestion, verdict, well


def test_a_sick_host_among_healthy_ones() -> None:
    planned = plans.plan({"web-1": well(), "web-2": sick(), "web-3": well()})
    assert planned.document["fleet"] == {"hosts": 3, "act": 1, "held": 0}
    assert list(planned.document["hosts"]) == ["web-2"] and planned.left == {} and planned.notes == []
    row = planned.document["hosts"]["web-2"]
    assert [(step["mitigation"], step["held"]) for step in row["steps"]] == [
        ("lower_workers", None), ("restart_service", "disruption high is above pressure_max_disruption medium")]
    assert row["run"] == ["ansible-playbook oncall.pressure.restart_service -i INVENTORY -l web-2 -e pressure_service=shop-web.service --check --diff"]
    assert row["lasting"] == ["set the worker count from measured size"] and row["taken"]["boot_id"] == plans.BOOT


def test_a_host_with_no_mitigation_is_not_in_the_plan() -> None:
    planned = plans.plan({"a": sick(verdict(mitigations=[])), "b": silent(), "c": well() | {"state": "unknown"}})
    assert planned.document["hosts"] == {} and planned.document["fleet"] == {"hosts": 3, "act": 0, "held": 0}


def test_hosts_stand_in_the_order_in_which_people_count() -> None:
    assert acting(plans.plan({name: sick() for name in ("web-10", "web-9", "web-1")}, ignore_majority=True)) == ["web-1", "web-9", "web-10"]


@pytest.mark.parametrize("change,says", [
    ({"entries": None}, "what was changed on it before is not known: nobody could ask it"),
    (None, "what was changed on it before is not known"),
    ({"entries": None, "msg": "what was changed on this host is for root to see: use become"}, "for root to see: use become"),
    ({"entries": "none"}, "what was changed on it before is not known"),
    ({"read_only": True}, "/etc/oncall-pressure/read-only is there"),
    ({"read_only": None}, "whether it is read-only is not known"),
    ({"lease": {"owner": "bob@desk", "run": "x"}}, "bob@desk is changing it right now"),
    ({"lease": {"owner": None}}, "somebody is changing it right now"),
])
def test_a_host_that_is_not_free_is_held(change: Any, says: str) -> None:
    changes = {} if change is None else dict(journal(), **change)
    planned = plans.plan({"a": sick()}, changes={"a": changes})
    assert says in held(planned, "a") and planned.left == {"a": held(planned, "a")}


@pytest.mark.parametrize("change,says", [
    ({"state": "verified", "owner": "bob@desk", "undone_in_s": 600}, "is neither confirmed nor undone, the host undoes it in 10 min"),
    ({"state": "armed", "owner": "bob@desk"}, "by bob@desk is neither confirmed nor undone"),
    ({"state": "applied", "owner": None}, "is neither confirmed nor undone"),
    ({"state": "intent", "owner": "bob@desk"}, "is neither confirmed nor undone"),
    ({"state": "something new", "owner": "bob@desk"}, "is neither confirmed nor undone"),
    ({"state": "undo_failed"}, "could not be undone: a person must see to that first"),
])
def test_a_change_that_is_open_is_seen_to_first(change: Dict[str, Any], says: str) -> None:
    planned = plans.plan({"a": sick()}, changes={"a": journal(entry(**change))})
    assert says in held(planned, "a")
    assert planned.document["hosts"]["a"]["open"][0]["state"] == change["state"]


@pytest.mark.parametrize("change", [
    {"state": "confirmed", "owner": "bob@desk"}, {"state": "undone", "owner": "bob@desk"}, {"state": "expired", "owner": "bob@desk"},
    # one's own from a run that was ended: the run that carries this out closes it
    {"state": "verified"},
    # it ended before it touched anything
    {"state": "saved", "owner": "bob@desk", "operations": [{"kind": "file", "what": "/x", "begun": False}]},
])
def test_a_change_that_is_nobody_elses_to_close_holds_nothing(change: Dict[str, Any]) -> None:
    assert acting(plans.plan({"a": sick()}, changes={"a": journal(entry(**change))})) == ["a"]


def test_changes_that_are_on_the_host_are_in_the_plan_and_those_that_are_over_are_not() -> None:
    rows = [entry(entry="i/%d" % number, state=state) for number, state in enumerate(("confirmed", "undone", "expired", "verified"))]
    planned = plans.plan({"a": sick()}, changes={"a": journal(*rows)})
    assert [row["entry"] for row in planned.document["hosts"]["a"]["open"]] == ["i/0", "i/3"]


def test_a_host_that_is_not_in_the_play_is_never_changed() -> None:
    hosts = {"a": sick(), "b": sick()}
    planned = plans.valid(_plan.plan(plans.diagnosis(hosts), {name: snapshot() for name in hosts}, plans.DECLARED, plans.asked("a")))
    assert acting(planned) == ["a"] and held(planned, "b") == "it is not a host of this run"


def test_a_verdict_of_a_host_that_did_not_answer_is_not_acted_upon() -> None:
    """It cannot be, by the diagnosis; a document that says so all the same is not believed."""
    assert "it did not answer" in held(plans.plan({"a": sick(reached=False), "b": well()}), "a")
    assert "it did not answer" in held(plans.plan({"a": sick(reached=None), "b": well()}), "a")


def test_each_host_has_its_own_ceilings() -> None:
    ceilings = {"b": Ceilings(never=("lower_workers",)), "c": Ceilings(max_disruption="high")}
    planned = plans.plan({name: sick() for name in "abc"}, ceilings=ceilings)
    assert acting(planned) == ["a", "c"]
    assert held(planned, "b").startswith("no step is left that is done by itself (lower_workers: it is named in pressure_never; restart_service: ")
    assert [step["held"] for step in planned.document["hosts"]["c"]["steps"]] == [None, None]


def test_one_host_more_than_the_cap_is_held() -> None:
    planned = plans.plan({"web-%d" % number: sick() for number in range(1, 5)}, max_hosts=2)
    assert acting(planned) == ["web-1", "web-2"] and planned.document["fleet"] == {"hosts": 4, "act": 2, "held": 2}
    assert "2 hosts are changed in one run at most (pressure_max_hosts)" in held(planned, "web-3")


def test_hosts_that_are_held_anyway_do_not_use_up_the_cap() -> None:
    hosts = {"web-%d" % number: sick() for number in range(1, 4)}
    planned = plans.plan(hosts, max_hosts=1, changes={"web-1": journal(read_only=True)})
    assert acting(planned) == ["web-2"] and "pressure_max_hosts" in held(planned, "web-3")


def test_none_may_be_changed() -> None:
    assert acting(plans.plan({"a": sick()}, max_hosts=0)) == []


def test_saved_snapshots_have_no_journal_and_are_planned_for_all_the_same() -> None:
    nobody = plans.asked()._replace(hosts=None, changes={})
    planned = plans.valid(_plan.plan(plans.diagnosis({"a": sick(), "b": sick(reached=False)}), {"a": snapshot()}, plans.DECLARED, nobody))
    assert acting(planned) == ["a"] and "it did not answer" in held(planned, "b")


def test_a_restart_that_did_not_help_leaves_no_step() -> None:
    only = verdict(suggestion("restart_service", service=WEB))
    changes = {"a": journal(entry(mitigation="restart_service", age_s=300))}
    planned = plans.plan({"a": sick(only)}, changes=changes, ceilings={"a": Ceilings(max_disruption="high")})
    assert "restarts do not help" in held(planned, "a") and planned.document["hosts"]["a"]["run"] == []


def test_a_host_is_acted_upon_for_what_may_be_done_though_something_else_may_not() -> None:
    planned = plans.plan({"a": sick(verdict(), busy_job())}, ceilings={"a": Ceilings(max_rung=1)})
    assert acting(planned) == ["a"]
    assert [(step["mitigation"], step["held"] is None) for step in planned.document["hosts"]["a"]["steps"]] == [
        ("lower_workers", True), ("pause_jobs", False), ("restart_service", False)]


EVIL = "\x1b[2J{{ lookup('pipe', 'id') }}\u202e; rm -rf / #"


def test_what_hosts_say_is_harmless_in_the_document() -> None:
    bad = verdict(name=EVIL, summary=EVIL, lasting=[EVIL], mitigations=[suggestion("lower_workers", service=EVIL), suggestion("lower_workers", service=WEB)])
    changes = journal(entry(owner=EVIL, service=EVIL, entry=EVIL, state="verified", reason=EVIL))
    planned = plans.plan({EVIL: sick(bad)}, changes={EVIL: changes})
    text = repr(planned)
    assert "\\x1b" not in text.replace("\\\\x1b", "") and "\u202e" not in text
    (row,) = planned.document["hosts"].values()
    assert [step["variables"] for step in row["steps"]] == [{"pressure_service": WEB}]
    assert "not plain text" in planned.notes[0]


@pytest.mark.parametrize("broken", [
    {}, {"hosts": {}}, {"hosts": {"a": None}}, {"hosts": {"a": {}}}, {"hosts": {"a": {"state": "incident", "reached": True, "verdicts": "none"}}},
    {"hosts": {"a": {"state": "incident", "reached": True, "verdicts": [None, 3, {}, {"mitigations": "all"}, {"mitigations": [None, "x", {}]}]}}},
])
def test_a_diagnosis_that_is_none_acts_upon_nothing(broken: Dict[str, Any]) -> None:
    planned = _plan.plan(broken, {}, plans.DECLARED, plans.asked("a"))
    assert acting(planned) == []


def wells(count: int) -> Dict[str, Any]:
    return {"well-%02d" % number: well() for number in range(count)}


def sicks(count: int) -> Dict[str, Any]:
    return {"sick-%02d" % number: sick() for number in range(count)}


@pytest.mark.parametrize("hosts,change,most", [
    ({**sicks(3), **wells(2)}, {}, True),
    # half of them is no majority
    ({**sicks(3), **wells(3)}, {}, False),
    ({**sicks(4), **wells(3)}, {}, True),
    # of four hosts it says nothing
    (sicks(4), {}, False),
    (sicks(5), {}, True),
    (sicks(5), {"ignore_majority": True}, False),
    ({**sicks(3), **wells(2)}, {"majority": 0.7}, False),
    ({**sicks(2), **wells(6)}, {"majority": 0.2}, True),
    # who does not answer is sick for all that is known
    ({**sicks(2), **wells(2), "gone-1": silent()}, {}, True),
    ({**sicks(1), **wells(9), "gone-1": silent()}, {}, False),
    # a host alone is meant, whatever the others are
    (sicks(1), {}, False),
])
def test_the_majority_of_a_services_hosts(hosts: Dict[str, Any], change: Dict[str, Any], most: bool) -> None:
    planned = plans.plan(hosts, **change)
    assert (acting(planned) == []) is most
    if most:
        assert "hosts that run shop-web.service are sick" in held(planned, "sick-00") and "pressure_ignore_majority" in held(planned, "sick-00")


def others(hosts: Dict[str, Any], services: List[str]) -> Dict[str, Any]:
    return {host: snapshot(services=services if host.startswith("well") else None) for host, row in hosts.items() if row["reached"]}


def test_hosts_that_run_something_else_are_not_counted() -> None:
    hosts = {**sicks(5), **wells(15)}
    assert acting(plans.plan(hosts, others(hosts, ["db.service"]))) == []
    assert len(acting(plans.plan(hosts, others(hosts, [WEB, "db.service"])))) == 5


def test_hosts_of_another_service_than_the_sick_one_are_changed_beside_a_majority() -> None:
    hosts = {**sicks(5), "db-1": sick(verdict(suggestion("lower_workers", service="jobs.service"), service="jobs.service"))}
    snapshots = {host: snapshot(services=[WEB] if host.startswith("sick") else ["jobs.service"]) for host in hosts}
    assert acting(plans.plan(hosts, snapshots)) == ["db-1"]


def test_a_host_with_a_second_trouble_of_its_own_is_left_alone_in_a_majority() -> None:
    hosts = {**sicks(4), "sick-99": sick(verdict(), busy_job())}
    assert acting(plans.plan(hosts)) == []


@pytest.mark.parametrize("change,most", [
    ({"age_s": 600}, True), ({"age_s": None}, True), ({"state": "verified", "age_s": 90000}, True),
    # it was changed long ago, or put back, or something else was
    ({"age_s": 90000}, False), ({"state": "undone", "age_s": 600}, False), ({"service": "db.service", "age_s": 600}, False),
])
def test_hosts_that_were_just_changed_count_as_sick_or_a_fleet_would_be_changed_run_by_run(change: Dict[str, Any], most: bool) -> None:
    hosts = {**sicks(1), **wells(5)}
    changes = {host: journal(entry(**change)) for host in list(hosts)[1:4]}
    planned = plans.plan(hosts, changes=changes)
    assert (acting(planned) == []) is most
    if most:
        assert "4 of the 6 hosts" in held(planned, "sick-00")


def test_containers_of_one_name_are_one_service_though_their_ids_differ() -> None:
    hosts = {
        "h%d" % number: sick(verdict(suggestion("lower_workers", service="docker:%d" % number), service="docker:%d" % number, name="shop-web"))
        for number in range(5)
    }
    snapshots = {host: dict(snapshot(), services=[{"id": "docker:" + host[1:], "name": "shop-web", "component": "gunicorn"}]) for host in hosts}
    assert "5 of the 5 hosts that run shop-web are sick" in held(plans.plan(hosts, snapshots), "h0")


@pytest.mark.parametrize("name", [None, "nginx.service"])
def test_requests_that_were_limited_count_for_nginx_also_where_a_verdict_names_no_service(name: Any) -> None:
    limit = suggestion("limit_requests", path="/export")
    hosts: Dict[str, Any] = {"n%d" % number: sick(verdict(limit, service=name, name=name, component="nginx", rule="nginx.hot_path")) for number in range(2)}
    hosts.update({"m%d" % number: well() for number in range(4)})
    snapshots = {host: dict(snapshot(), services=[{"id": "nginx.service", "name": "nginx.service", "component": "nginx"}]) for host in hosts}
    changes = {host: journal(entry(mitigation="limit_requests", service="nginx of /etc/nginx", age_s=60)) for host in ("m0", "m1")}
    assert len(acting(plans.plan(hosts, snapshots))) == 2
    assert "4 of the 6 hosts that run %s are sick or were just changed" % (name or "nginx") in held(plans.plan(hosts, snapshots, changes=changes), "n0")


def test_whose_changes_must_be_known_are_all_that_run_what_is_sick() -> None:
    hosts = {**sicks(1), **wells(3), "gone-1": silent()}
    snapshots = {host: snapshot(services=["db.service"] if host == "well-02" else None) for host in hosts}
    assert _majority.peers(hosts, snapshots) == ["sick-00", "well-00", "well-01"]
    assert _majority.peers(wells(2), snapshots) == []
    no_mitigation = {"sick-00": sick(dict(verdict(), mitigations=[])), **wells(2)}
    assert _majority.peers(no_mitigation, snapshots) == []
