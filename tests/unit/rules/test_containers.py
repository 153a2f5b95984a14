# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is wrong with a container is said once, by the rule that knows most, under the name that people know."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any, Dict, List, Tuple

import pytest
from ansible_collections.oncall.pressure.plugins.plugin_utils import _rules, _verdict

_SPEC = importlib.util.spec_from_file_location("pressure_rule_support", Path(__file__).with_name("support.py"))
assert _SPEC is not None and _SPEC.loader is not None
support = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(support)

RULES = _rules.load_rules(str(support.RULES)).rules
THRESHOLDS = _rules.resolve_thresholds(RULES, None)
ID = "docker:aaaaaaaaaaaa"


def container(**change: Any) -> Dict[str, Any]:
    row = {
        "id": ID, "container_id": "aaaaaaaaaaaa", "engine": "docker", "pod": None, "name": "shop-web-1", "image": "shop", "project": "shop", "service": "web",
        "command": "gunicorn", "state": "running", "created_age_s": 90000.0, "started_age_s": 80000.0, "finished_age_s": None, "finished_at": None,
        "exit_code": None, "oom_killed": False, "restarts": 0, "restart_policy": "always", "health": "healthy", "failing_streak": 0, "processes": 3,
        "cpu": {"used": 0.1, "quota": None, "throttled_pct": None}, "pids": {"current": 3, "limit": None},
        "memory": {"bytes": 100 << 20, "limit_bytes": 256 << 20, "oom_kills": 0, "oom_kills_in_window": 0},
    }
    return support.over(row, change)


def told(case: Dict[str, Any], *rows: Dict[str, Any]) -> Tuple[Dict[str, Any], List[Tuple[str, str]]]:
    document = support.snapshot(case)
    document["collectors"]["containers"] = {"status": "ok", "reason": None, "seconds": 2.0}
    document["containers"] = {"engine": [], "counts": {"running": 1, "exited": 0, "restarting": 0, "unhealthy": 0}, "containers": list(rows)}
    row = _verdict.judge(document, RULES, THRESHOLDS)
    return row, [(verdict["rule"], verdict["name"]) for verdict in row["verdicts"]]


def unknown(row: Dict[str, Any]) -> List[str]:
    return [item["rule"] for item in row["unknown"] if item["rule"].startswith("container.")]


def test_healthy_containers_are_quiet() -> None:
    pod = container(id="kubernetes:u", engine="kubernetes", name=None, state="running", oom_killed=None, restarts=None, health=None, started_age_s=None)
    ended = container(id="docker:bbbbbbbbbbbb", state="exited", exit_code=0, finished_age_s=60.0, health=None, memory={"oom_kills_in_window": None})
    row, verdicts = told({}, container(), container(id="docker:cccccccccccc", health=None, failing_streak=None), pod, ended)
    assert (row["state"], verdicts, unknown(row)) == ("healthy", [], [])


def test_a_host_without_containers_is_quiet() -> None:
    row = _verdict.judge(support.snapshot({}), RULES, THRESHOLDS)
    assert (row["state"], unknown(row)) == ("healthy", [])


@pytest.mark.parametrize("noticed", (True, False), ids=("engine says so", "only the kernel's log"))
def test_one_that_was_killed_and_is_gone(noticed: bool) -> None:
    ended = container(state="exited", exit_code=137, oom_killed=noticed, finished_age_s=300.0, finished_at="2026-01-10T02:50:00Z", health=None,
                      memory={"bytes": None, "oom_kills": None, "oom_kills_in_window": None})
    row, verdicts = told({"killed": {"service": ID, "rows": [[302, 250]], "name": "python"}}, ended)
    assert verdicts == [("container.oom_killed", "shop-web-1")]
    assert {finding["rule"]: finding["explained_by"] for finding in row["findings"]}["service.killed_in_its_limit"] == "container.oom_killed"
    verdict = row["verdicts"][0]
    assert (verdict["service"], verdict["component"], verdict["confidence"]) == (ID, "docker", "high" if noticed else "medium")


def test_killed_again_and_again_is_one_verdict() -> None:
    row, verdicts = told({"killed": {"service": ID, "rows": [[20, 250], [60, 250], [90, 250], [130, 250]], "name": "python"}},
                         container(state="restarting", exit_code=137, oom_killed=True, restarts=12, finished_age_s=20.0, health=None))
    assert verdicts == [("container.oom_killed", "shop-web-1")]
    assert {finding["explained_by"] for finding in row["findings"]} == {None, "container.oom_killed"}


def test_the_cause_in_it_is_told_and_not_its_end() -> None:
    service = {"id": ID, "name": "shop-web-1", "manager": "docker", "component": "gunicorn", "role": "web", "memory_mib": 240, "limit_mib": 256,
               "workers_like": [[6, 38, 300, 0.1]]}
    row, verdicts = told({"services": [service], "killed": {"service": ID, "rows": [[30, 38], [90, 38]]}},
                         container(memory={"bytes": 240 << 20, "oom_kills": 2, "oom_kills_in_window": 1}))
    assert verdicts == [("web.too_many_workers_for_memory", "shop-web-1")]
    assert ("container.oom_killed", "web.too_many_workers_for_memory") in [(finding["rule"], finding["explained_by"]) for finding in row["findings"]]


def test_one_containers_trouble_does_not_explain_anothers() -> None:
    other = "docker:bbbbbbbbbbbb"
    dummy, verdicts = told({}, container(state="exited", exit_code=137, oom_killed=True, finished_age_s=60.0),
                           container(id=other, name="shop-queue-1", state="restarting", exit_code=1, restarts=12, finished_age_s=2.0))
    assert sorted(verdicts) == [("container.oom_killed", "shop-web-1"), ("container.restart_loop", "shop-queue-1")]


def test_the_host_out_of_memory_is_told_first() -> None:
    row, verdicts = told({"killed": {"service": ID, "rows": [[30, 250]], "constraint": "global", "name": "python"}},
                         container(state="exited", exit_code=137, oom_killed=True, finished_age_s=30.0))
    assert [rule for rule, dummy in verdicts] == ["service.killed_by_host"] and row["verdicts"][0]["name"] == "shop-web-1"
