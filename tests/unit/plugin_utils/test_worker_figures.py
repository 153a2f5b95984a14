# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The size of a worker: what is shared, what was killed, what a sum of RSS can say."""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Sequence

import pytest
from ansible_collections.oncall.pressure.plugins.plugin_utils._worker_figures import worker_figures, workers_total

MIB = 1024 * 1024


def prefork(count: int, shared: int, private: int, source: str = "pss", used: Optional[int] = None) -> Dict[str, Any]:
    """A service whose workers share memory with their master; sizes in MiB."""
    pss = (shared / (count + 1) + private) * MIB
    workers = [{"pid": 10 + index, "age_s": 4000, "pss_bytes": pss, "rss_bytes": (shared + private + 10) * MIB} for index in range(count)]
    size = pss if source == "pss" else (shared + private + 10) * MIB
    memory = {"source": "processes" if used is None else "cgroup", "bytes": used and used * MIB}
    return {
        "component": "celery", "state": "running", "workers": workers, "memory": memory,
        "worker_summary": {"count": count, "memory_source": source, "median_bytes": size, "largest_bytes": size, "total_bytes": size * count},
    }


def kills(sizes: List[int]) -> Dict[str, Any]:
    ordered = sorted(size * MIB for size in sizes)
    return {
        "count": len(sizes), "last_age_s": 60, "median_bytes": ordered[len(ordered) // 2],
        "largest_bytes": ordered[-1], "next_bytes": ordered[-2] if len(ordered) > 1 else None,
    }


@pytest.mark.parametrize("count, shared, private, limit", [(8, 300, 80, 1024), (16, 250, 45, 1024), (6, 200, 45, 512)])
@pytest.mark.parametrize("source", ["pss", "rss"])
def test_a_victim_that_shared_memory_does_not_stand_out(count: int, shared: int, private: int, limit: int, source: str) -> None:
    service = prefork(count, shared, private, source, shared + count * private)
    found = worker_figures(service, kills([shared + private] * 3), limit * MIB, 0.8 * limit * MIB)
    assert found["largest_ratio"] < 1.25
    assert 0.75 * limit * MIB < found["demand_bytes"] <= limit * MIB
    assert 1 <= found["target"] < count


@pytest.mark.parametrize("shared, cost, measure", [(5, 119, "anonymous memory when killed"), (300, 145, "anonymous memory when killed, less what they share")])
def test_what_a_victim_shared_is_not_what_it_cost(shared: int, cost: int, measure: str) -> None:
    service = prefork(8, shared, 100 if shared == 5 else 60, "pss", 900)
    found = worker_figures(service, kills([119 if shared == 5 else 422] * 2), 1000 * MIB, 800 * MIB)
    assert (int(found["each_bytes"] / MIB), found["measure"]) == (cost, measure)


def test_a_victim_far_larger_than_what_its_siblings_have_resident_stands_out() -> None:
    found = worker_figures(prefork(5, 20, 15, "pss", 100), kills([500, 510]), 700 * MIB, 560 * MIB)
    assert found["largest_ratio"] > 10 and found["next_ratio"] > 10
    assert (found["largest_bytes"], found["each_bytes"], found["measure"]) == (510 * MIB, 45 * MIB, "RSS")


@pytest.mark.parametrize("ages, stands_out", [((7.1, 2.8, 2.4), False), ((7.1, 900.0, 900.0), True), ((7.1, 6.0, 5.0), True)])
def test_workers_on_their_way_to_the_size_at_which_all_are_killed_make_none_stand_out(ages: Sequence[float], stands_out: bool) -> None:
    """As it was measured: 7 workers share a table that does not fit, one of them is killed each second, and three were there when it was looked at."""
    workers = [{"pid": 600 + place, "age_s": age, "pss_bytes": size * MIB, "rss_bytes": resident * MIB}
               for place, (age, size, resident) in enumerate(zip(ages, (100, 20, 17), (115, 115, 0)))]
    service = {
        "component": "gunicorn", "state": "running", "workers": workers, "memory": {"source": "cgroup", "bytes": 461 * MIB},
        "settings": {"workers": {"value": 7}},
        "worker_summary": {"count": 3, "memory_source": "pss", "median_bytes": 20 * MIB, "largest_bytes": 100 * MIB, "total_bytes": 137 * MIB},
    }
    found = worker_figures(service, dict(kills([107] * 24), last_age_s=0.6), 494 * MIB, 395 * MIB)
    assert (found["largest_ratio"] >= 3) is stands_out and found["settled"] is stands_out


@pytest.mark.parametrize("sizes, expected", [([434], None), ([434, 430], 1.0), ([420, 25, 24], 16.8)])
def test_victims_alone_stand_out_only_among_themselves(sizes: List[int], expected: Optional[float]) -> None:
    service = {"component": "gunicorn", "state": "restarting", "settings": {"workers": {"value": 8}}}
    assert worker_figures(service, kills(sizes), 1024 * MIB, 800 * MIB)["largest_ratio"] == expected


def test_an_assumed_size_is_called_one() -> None:
    service = {"component": "gunicorn", "state": "restarting", "settings": {"workers": {"value": 8}}}
    found = worker_figures(service, kills([434, 430]), 1024 * MIB, 800 * MIB)
    assert (found["assumed"], found["each_bytes"], found["measure"]) == (True, 128 * MIB, "an equal part of the limit")
    assert worker_figures(service, kills([100, 101]), 1024 * MIB, 800 * MIB)["assumed"] is False


def test_a_sum_of_rss_is_bounded_by_the_control_group_or_is_no_measure() -> None:
    assert workers_total(prefork(16, 360, 30, "rss", 900)) == 900 * MIB
    assert workers_total(prefork(16, 360, 30, "rss")) is None
    assert workers_total(prefork(2, 0, 30)) == 60 * MIB
    assert workers_total({}) is None


def test_an_rss_costs_at_most_an_equal_part_of_what_the_service_uses() -> None:
    found = worker_figures(prefork(16, 360, 30, "rss", 960), {"count": 0}, 2048 * MIB, 1638 * MIB)
    assert (found["each_bytes"], found["demand_bytes"], found["largest_ratio"]) == (60 * MIB, 960 * MIB, 1.0)
    assert found["measure"] == "an equal part of what the service uses"
    assert worker_figures(prefork(16, 360, 30, "rss"), {"count": 0}, 2048 * MIB, 1638 * MIB)["measure"] == "RSS"
