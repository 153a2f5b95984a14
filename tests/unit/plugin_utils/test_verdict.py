# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What must have been measured before a host is called healthy."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any, Dict, List, Optional

import pytest
from ansible_collections.oncall.pressure.plugins.plugin_utils._rules import load_rules, resolve_thresholds
from ansible_collections.oncall.pressure.plugins.plugin_utils._verdict import essential_gaps, judge, shorter, standing

RULES = Path(__file__).resolve().parent.parent.parent.parent / "roles" / "diagnose" / "files" / "rules"

_SPEC = importlib.util.spec_from_file_location("pressure_verdict_support", Path(__file__).resolve().parent.parent / "rules" / "support.py")
assert _SPEC is not None and _SPEC.loader is not None
support = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(support)


def measured() -> Dict[str, Any]:
    """A host of which everything essential is known."""
    return {
        "taken": {"uptime_s": 864000},
        "collectors": {name: {"status": "ok", "reason": None} for name in ("host", "services", "oom")},
        "host": {"memory": {"available_bytes": 1}, "cpu": {"used_pct": 1}},
        "services": [],
        "oom": {"window_s": 3600, "covered_s": 864000, "kills": 0, "unattributed": 0, "counters": {"vmstat_oom_kill": None, "cgroup_oom_kill": 0}},
    }


def killed(covered_s: Optional[float], kills: int, unattributed: int, machine: Optional[int], own: Optional[int]) -> Dict[str, Any]:
    snapshot = measured()
    counters = {"vmstat_oom_kill": machine, "cgroup_oom_kill": own}
    snapshot["oom"].update(covered_s=covered_s, kills=kills, unattributed=unattributed, counters=counters)
    return snapshot


def test_a_host_that_was_measured_has_no_gap() -> None:
    assert essential_gaps(measured()) == []


@pytest.mark.parametrize("name", ["host", "services"])
@pytest.mark.parametrize("status,words", [
    ("error", "%s (error: not finished after 15.0 s, stopped)"), ("denied", "%s (denied: not finished after 15.0 s, stopped)"), ("absent", "%s"),
])
def test_a_collector_that_failed_is_a_gap_whatever_it_left_behind(name: str, status: str, words: str) -> None:
    snapshot = measured()
    snapshot["collectors"][name] = {"status": status, "reason": "not finished after 15.0 s, stopped"}
    assert essential_gaps(snapshot) == [words % name]
    assert judge(snapshot, {}, {})["state"] == "unknown"


@pytest.mark.parametrize("name", ["host", "services"])
def test_a_collector_that_did_not_answer_is_a_gap(name: str) -> None:
    snapshot = measured()
    del snapshot["collectors"][name]
    assert essential_gaps(snapshot) == ["%s (no answer)" % name]


@pytest.mark.parametrize("name", ["host", "services"])
def test_a_collector_that_measured_what_counts_is_none(name: str) -> None:
    snapshot = measured()
    snapshot["collectors"][name] = {"status": "partial", "reason": "PSS not read of 4"}
    assert essential_gaps(snapshot) == []


UNKNOWN_REACH = ["kernel kills of the last 60 min (how far back the kernel's log reaches is not known)"]


@pytest.mark.parametrize("kills,machine,own,gaps", [
    pytest.param(0, None, None, UNKNOWN_REACH, id="no counter"),
    pytest.param(0, None, 3, UNKNOWN_REACH, id="a container's counter knows three"),
    pytest.param(0, 3, 0, UNKNOWN_REACH, id="the machine's counter knows three"),
    pytest.param(0, None, 0, [], id="a container's counter says none"),
    pytest.param(0, 0, None, [], id="the machine's counter says none"),
    pytest.param(3, None, 3, [], id="all three were seen"),
])
def test_a_log_of_unknown_reach_needs_a_counter(kills: int, machine: Optional[int], own: Optional[int], gaps: List[str]) -> None:
    assert essential_gaps(killed(None, kills, 0, machine, own)) == gaps


@pytest.mark.parametrize("covered_s", [864000, 300, None])
def test_kills_that_the_own_control_group_counted_are_nobody_elses(covered_s: Optional[float]) -> None:
    snapshot = killed(covered_s, 0, 2, None, 2)
    assert essential_gaps(snapshot) == ["kernel kills: 2 counted by the own control group, none attributed"]
    assert judge(snapshot, {}, {})["state"] == "unknown"


@pytest.mark.parametrize("kills,unattributed,machine,own", [
    pytest.param(0, 2, None, 0, id="a neighbour's"),
    pytest.param(0, 2, None, None, id="a neighbour's, no counter"),
    pytest.param(0, 0, None, 2, id="before the window"),
    pytest.param(1, 2, None, 2, id="one attributed, one before the window"),
    pytest.param(0, 2, 2, 2, id="a machine, where every kill is its own"),
])
def test_a_log_that_reaches_back_is_believed_otherwise(kills: int, unattributed: int, machine: Optional[int], own: Optional[int]) -> None:
    assert essential_gaps(killed(864000, kills, unattributed, machine, own)) == []


def test_a_cache_that_cannot_be_given_back_is_not_ruled_out() -> None:
    # What is cached holds shared memory (a database's buffers) and pages in use: how much of it can be had is what is available, and no more.
    rule = load_rules(str(RULES)).rules["host.memory_exhausted"]
    snapshot = measured()
    snapshot["host"]["memory"] = {"available_bytes": 300 << 20, "limit_bytes": 8 << 30, "used_bytes": 7800 << 20, "cached_bytes": 2300 << 20}
    verdict = judge(snapshot, {rule.id: rule}, resolve_thresholds({rule.id: rule}, None))["verdicts"][0]
    assert verdict["summary"] == "300 MiB of 8.0 GiB available (4 %)"
    assert verdict["ruled_out"] == []


def swapping(available: Any, status: str = "ok") -> Dict[str, Any]:
    snapshot = measured()
    snapshot["collectors"]["host"]["status"] = status
    snapshot["host"]["memory"] = {"available_bytes": available, "limit_bytes": 1000, "limit_source": "machine", "used_pct": None, "total_bytes": 1000}
    snapshot["host"]["pressure"] = {"memory": {"some_avg10": 0.0, "some_avg60": 0.0, "full_avg10": 0.0, "full_avg60": 0.0}}
    return snapshot


def test_what_fired_before_is_held_until_it_is_clear_at_its_leave() -> None:
    rules = load_rules(str(RULES), []).rules
    rule = rules["host.memory_exhausted"]
    limits = resolve_thresholds(rules, {"host.memory_exhausted": {"available_pct": {"enter": 5, "leave": 10}}})[rule.id]
    stands = {share: standing(swapping(share), rule, None, limits)[0] for share in (30, 80, 200)}
    assert stands == {30: "held", 80: "held", 200: "clear"}
    assert standing(swapping(None, "error"), rule, None, limits)[0] == "unknown"


def test_a_service_that_is_not_there_any_more_is_no_answer() -> None:
    rules = load_rules(str(RULES), []).rules
    rule = rules["web.too_many_workers_for_memory"]
    state, missing = standing(measured(), rule, "shop.service", resolve_thresholds(rules, {})[rule.id])
    assert state == "unknown" and missing == ["shop.service was not seen"]


def hot(part: float, service: str = "shop-web.service", path_requests: int = 400) -> Dict[str, Any]:
    """The host of the rule's own case, busy with one path, seen for a part of ten minutes."""
    case = next(case for case in support.load("traffic.yml") if (case["rule"], case["expect"]) == ("nginx.hot_path", "fired"))
    snapshot: Dict[str, Any] = support.snapshot(case)
    row = next(row for row in snapshot["services"] if row["id"] == "shop-web.service")
    row.update(id=service, name=service)
    seen = snapshot["nginx"]
    seen["paths"][0]["requests"] = path_requests
    seen.update(window_s=600 * part, covered_s=600 * part, requests=int(seen["requests"] * part))
    for path in seen["paths"]:
        path["requests"] = int(path["requests"] * part)
    return snapshot


def test_fewer_requests_in_a_shorter_window_are_no_relief() -> None:
    rules = load_rules(str(RULES), []).rules
    rule, limits = rules["nginx.hot_path"], resolve_thresholds(rules, {})["nginx.hot_path"]
    service = "shop-web.service"
    assert standing(hot(1.0), rule, service, limits)[0] == "held"
    assert standing(hot(0.06), rule, service, shorter(limits, 0.06))[0] == "held"
    assert standing(hot(0.06, path_requests=30), rule, service, shorter(limits, 0.06))[0] == "clear"
    assert shorter(limits, 1.0) == limits


def test_a_rule_of_the_whole_host_that_names_another_service_now_is_not_over() -> None:
    rules = load_rules(str(RULES), []).rules
    rule, limits = rules["nginx.hot_path"], resolve_thresholds(rules, {})["nginx.hot_path"]
    assert standing(hot(1.0, service="other.service"), rule, "shop-web.service", limits)[0] == "held"


def test_a_service_in_which_the_kernel_kills_on_is_not_relieved_whatever_its_workers_look_like() -> None:
    rules = load_rules(str(RULES), []).rules
    rule = rules["web.too_many_workers_for_memory"]
    limits = resolve_thresholds(rules, {})[rule.id]
    snapshot = measured()
    service = support.snapshot(next(case for case in support.load("memory.yml") if (case["rule"], case["expect"]) == (rule.id, "clear")))["services"]
    name = next(row["id"] for row in service if row["component"] == "gunicorn")
    snapshot["services"] = service
    assert standing(snapshot, rule, name, limits)[0] == "clear"
    snapshot["oom"]["services"] = {name: {"kills": 4, "last_age_s": 3.0}}
    # one large and two small ones: no longer this rule's case, and killed all the same
    one = next(row for row in service if row["id"] == name)
    one["workers"] = [{"pid": pid, "age_s": 60.0, "pss_bytes": size << 20, "rss_bytes": size << 20} for pid, size in ((7, 230), (8, 20), (9, 19))]
    one["worker_summary"].update(count=3, measured=3, median_bytes=20 << 20, largest_bytes=230 << 20, spread_pct=1055.0, total_bytes=269 << 20)
    state, why = standing(snapshot, rule, name, limits)
    assert state == "held" and "still kills" in why[0]
    snapshot["oom"]["services"][name]["kills"] = 0
    assert standing(snapshot, rule, name, limits)[0] == "clear"
