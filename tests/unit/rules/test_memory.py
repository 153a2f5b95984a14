# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the rules of memory.yml say of a host together."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any, Dict

from ansible_collections.oncall.pressure.plugins.plugin_utils import _rules, _verdict

_SPEC = importlib.util.spec_from_file_location("pressure_rule_support", Path(__file__).with_name("support.py"))
assert _SPEC is not None and _SPEC.loader is not None
support = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(support)

RULES = _rules.load_rules(str(support.RULES)).rules
THRESHOLDS = _rules.resolve_thresholds(RULES, None)


def judge(case: Dict[str, Any]) -> Dict[str, Any]:
    return dict(_verdict.judge(support.snapshot(case), RULES, THRESHOLDS))


def test_a_kill_in_a_service_does_not_hide_kills_elsewhere() -> None:
    case = {
        "killed": {"service": "shop.service", "rows": [[20, 110]]},
        "services": [{"id": "shop.service", "memory_mib": 100, "limit_mib": 8000}],
        "snapshot": {"oom": {"kills": 6}},
    }
    effects = {item["rule"]: item["explained_by"] for item in judge(case)["findings"]}
    assert effects == {"service.killed_in_its_limit": None, "host.kills_without_a_service": None}


def test_an_idle_celery_with_one_larger_child_is_healthy() -> None:
    row = judge({"services": [{"id": "jobs.service", "component": "celery", "role": "worker", "memory_mib": 300,
                               "workers_like": [[1, 190, 80000, 0.01], [3, 28, 80000, 0.0]]}]})
    assert (row["state"], row["findings"]) == ("healthy", [])


def test_a_computed_number_of_workers_is_missing_and_the_verdict_is_unsure() -> None:
    case = next(case for case in support.load("memory_unsure.yml") if case["rule"] == "service.limit_too_low_or_concurrency" and case["expect"] == "fired")
    first = judge(case)["verdicts"][0]
    assert (first["cause"], first["confidence"]) == ("limit_too_low", "low")
    assert "worker count (computed in the configuration file)" in first["missing"]


def test_a_verdict_names_its_mitigations_ready_to_run_the_restart_last() -> None:
    case = next(case for case in support.load("memory.yml") if case["rule"] == "web.too_many_workers_for_memory" and case["expect"] == "fired")
    first = judge(case)["verdicts"][0]
    assert first["mitigations"] == [{"id": name, "variables": {"pressure_service": first["service"]}} for name in ("lower_workers", "restart_service")]


def test_a_service_whose_name_is_no_plain_word_gets_no_command() -> None:
    case = next(case for case in support.load("memory.yml") if case["rule"] == "web.too_many_workers_for_memory" and case["expect"] == "fired")
    snapshot = support.snapshot(case)
    name = "{{ lookup('pipe', 'id') }}; rm -rf .service"
    for row in snapshot["services"]:
        row["id"] = name
    snapshot["oom"]["services"] = {name: found for found in snapshot["oom"]["services"].values()}
    for event in snapshot["oom"]["events"]:
        event["service"] = name
    verdicts = _verdict.judge(snapshot, RULES, THRESHOLDS)["verdicts"]
    assert verdicts and [verdict["mitigations"] for verdict in verdicts] == [[] for dummy in verdicts]
