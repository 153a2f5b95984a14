# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What must have been measured before a host is called healthy."""

from __future__ import annotations

from typing import Any, Dict

import pytest
from ansible_collections.oncall.pressure.plugins.plugin_utils._verdict import essential_gaps, judge


def measured() -> Dict[str, Any]:
    """A host of which everything essential is known."""
    return {
        "taken": {"uptime_s": 864000},
        "collectors": {name: {"status": "ok", "reason": None} for name in ("host", "services", "oom")},
        "host": {"memory": {"available_bytes": 1}, "cpu": {"used_pct": 1}},
        "services": [],
        "oom": {"window_s": 3600, "covered_s": 864000, "kills": 0, "unattributed": 0, "counters": {"vmstat_oom_kill": None, "cgroup_oom_kill": 0}},
    }


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
