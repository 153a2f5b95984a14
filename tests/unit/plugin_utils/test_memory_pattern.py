# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The pattern of memory over time: on what real processes did (recorded by tests/growth/run), on one moment, on two looks, on any numbers at all."""

from __future__ import annotations

import copy
import json
import os
from pathlib import Path
from typing import Any, Dict, List

import pytest
from ansible_collections.oncall.pressure.plugins.plugin_utils import _memory_figures, _memory_pattern
from hypothesis import given, settings
from hypothesis import strategies as st

RECORDED = Path(__file__).resolve().parent.parent / "recordings" / "growth" / "series.jsonl"
#: a long run raises it
EXAMPLES = int(os.environ.get("PRESSURE_EXAMPLES", "200"))
NAMES = ("age_s", "bytes", "workers", "worker_bytes", "largest_bytes", "median_bytes", "cpu_used", "requests_per_s", "tasks_per_s")
KIB_FIELDS = ("bytes", "worker_bytes", "largest_bytes", "median_bytes")
MIB = 1024 * 1024
ID = "shop.service"


def recorded() -> List[Dict[str, Any]]:
    """One tree of each kind; sizes were kept in KiB."""
    found = []
    for line in RECORDED.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        if "points" in row:
            points = [dict(zip(NAMES, values)) for values in row["points"]]
            for point in points:
                point.update({name: point[name] * 1024 for name in KIB_FIELDS if point[name] is not None})
            workers = [
                {"pid": pid, "started_age_s": started, "points": [[age, size * 1024] for age, size in series]} for pid, started, series in row["workers"]
            ]
            row["snapshot"]["memory_history"] = {"services": [
                {"id": ID, "source": "recorder", "every_s": 60.0, "points": points, "workers": workers},
            ]}
        found.append(row)
    return found


TREES = recorded()


def history(snapshot: Dict[str, Any]) -> Dict[str, Any]:
    return dict(snapshot["memory_history"]["services"][0])


def of(kind: str) -> Dict[str, Any]:
    return copy.deepcopy(next(row["snapshot"] for row in TREES if row["kind"] == kind))


@pytest.mark.parametrize("tree", TREES, ids=lambda tree: tree["kind"])
def test_what_real_processes_did(tree: Dict[str, Any]) -> None:
    found = _memory_pattern.patterns(tree["snapshot"])[ID]
    truth = tree["truth"]
    assert found["pattern"] == truth["pattern"], found
    assert found["level"] == truth.get("level", found["level"]), found
    assert found["evidence"] and not found["missing"]
    if "per_s" in truth:
        # a second there stood for a minute
        assert found["growth_bytes_per_hour"] == pytest.approx(truth["per_s"] * 60, rel=0.4)
        assert found["grows"] and found["ends_in_s"]["of"] == "service" and found["ends_in_s"]["from_s"] <= found["ends_in_s"]["s"]
    if "per" in truth:
        assert list(found["per"].values()) == [pytest.approx(truth["per"], rel=0.4)]
    if "says" in truth:
        assert any(truth["says"] in line for line in found["evidence"])
    assert found["from"] == ("history" if "points" in tree else "siblings")
    if "points" not in tree:
        assert found["confidence"] != "high"


def test_nothing_over_time_and_nothing_at_one_moment_is_unknown_and_says_what_is_missing() -> None:
    found = _memory_pattern.patterns({"services": [{"id": ID, "component": "gunicorn"}]})[ID]
    assert (found["pattern"], found["from"], found["ends_in_s"]) == ("unknown", None, None)
    assert found["missing"] and not found["grows"]


@pytest.mark.parametrize("points, about", [(7, "7 points"), (0, "0 points")])
def test_too_few_points_are_unknown(points: int, about: str) -> None:
    snapshot = of("background_grows")
    snapshot["memory_history"]["services"][0]["points"] = history(snapshot)["points"][:points]
    found = _memory_pattern.patterns(snapshot)[ID]
    assert found["pattern"] == "unknown" and about in found["missing"][0]


def test_too_short_a_time_is_unknown() -> None:
    snapshot = of("background_grows")
    for point in history(snapshot)["points"]:
        point["age_s"] /= 100
    found = _memory_pattern.patterns(snapshot)[ID]
    assert found["pattern"] == "unknown" and "24 s" in found["missing"][0]


def test_a_short_window_is_less_sure_than_a_long_history() -> None:
    snapshot = of("all_workers_grow")
    assert _memory_pattern.patterns(snapshot)[ID]["confidence"] == "high"
    snapshot["memory_history"]["services"][0]["source"] = "window"
    for point in history(snapshot)["points"]:
        point["age_s"] /= 20
    for worker in history(snapshot)["workers"]:
        worker["points"] = [[age / 20, size] for age, size in worker["points"]]
    found = _memory_pattern.patterns(snapshot)[ID]
    assert (found["pattern"], found["from"], found["confidence"]) == ("mixed", "window", "low")


def test_just_started_again_is_not_known_yet() -> None:
    snapshot = of("all_workers_grow")
    snapshot["timeline"] = {"events": [{"age_s": 100.0, "kind": "start", "what": "shop.service was started", "service": ID, "detail": None}]}
    found = _memory_pattern.patterns(snapshot)[ID]
    assert found["pattern"] == "unknown" and "since it was started" in found["missing"][0]


def test_a_jump_as_a_job_begins_follows_jobs() -> None:
    snapshot = of("larger_after_a_deploy")
    event = snapshot["timeline"]["events"][-1]
    snapshot["timeline"] = {"events": []}
    snapshot["jobs"] = {"cron": [{"id": "/etc/cron.d/shop:4", "running": [{"pid": 9, "age_s": event["age_s"]}]}]}
    found = _memory_pattern.patterns(snapshot)[ID]
    assert found["pattern"] == "follows_jobs" and any("/etc/cron.d/shop:4" in line for line in found["evidence"])


def test_the_host_ends_before_the_limit_where_it_has_less() -> None:
    snapshot = of("background_grows")
    snapshot["host"]["memory"]["available_bytes"] = 10 * MIB
    assert _memory_pattern.patterns(snapshot)[ID]["ends_in_s"]["of"] == "host"


def workers(*sized: Any) -> Dict[str, Any]:
    """A service of these (age in seconds, MiB)."""
    listed = [{"pid": 100 + number, "age_s": age, "pss_bytes": mib * MIB, "rss_bytes": mib * MIB} for number, (age, mib) in enumerate(sized)]
    return {"id": ID, "component": "gunicorn", "role": "web", "workers": listed, "memory": {"bytes": sum(mib for dummy, mib in sized) * MIB}}


@pytest.mark.parametrize("sized, pattern", [
    # the young ones are still loading what they need
    ([(10, 20), (60, 30), (120, 35), (200, 38)], "unknown"),
    ([(600, 50), (3000, 90), (6000, 130), (12000, 190)], "mixed"),
    # warm after a while, and at rest since
    ([(400, 60), (3000, 100), (6000, 101), (12000, 100), (24000, 101), (48000, 100)], "steady"),
    ([(600, 100), (3000, 102), (6000, 99), (12000, 101)], "steady"),
    ([(6000, 80), (6001, 82), (6001, 300)], "one_worker_growing"),
    ([(6000, 80), (6001, 82), (6001, 81)], "steady"),
    ([(6000, 80), (12000, 300), (24000, 90), (30000, 200)], "unknown"),
])
def test_the_ages_of_siblings(sized: Any, pattern: str) -> None:
    found = _memory_pattern.patterns({"services": [workers(*sized)]})[ID]
    assert found["pattern"] == pattern, found
    assert found["confidence"] in ("low", "medium")


def looks(then: Any, now: Any, apart_s: float = 7200.0) -> Dict[str, Any]:
    """What two looks at one host say."""
    earlier = {"services": [workers(*((10000.0, mib) for mib in then))], "taken": {"epoch_s": 1e9, "boot_id": "b"}}
    later = {"services": [workers(*((10000.0 + apart_s, mib) for mib in now))], "taken": {"epoch_s": 1e9 + apart_s, "boot_id": "b"}}
    return _memory_pattern.patterns(later, earlier)[ID]


def test_an_earlier_snapshot_is_a_baseline() -> None:
    one = looks([80, 80, 80], [80, 180, 81])
    assert (one["pattern"], one["from"], one["pid"], one["growth_bytes_per_hour"]) == ("one_worker_growing", "baseline", 101, 50 * MIB)
    assert looks([80, 80, 80], [150, 160, 155])["level"] == "all_workers"
    assert looks([80, 80, 80], [80, 81, 82])["pattern"] == "steady"
    assert looks([80, 80, 80], [80, 180, 81], apart_s=60.0)["from"] != "baseline"


def test_another_boot_is_no_baseline() -> None:
    earlier = {"services": [workers((10000.0, 80), (10000.0, 80))], "taken": {"epoch_s": 1e9, "boot_id": "other"}}
    later = {"services": [workers((17200.0, 80), (17200.0, 190))], "taken": {"epoch_s": 1e9 + 7200, "boot_id": "b"}}
    assert _memory_pattern.patterns(later, earlier)[ID]["from"] != "baseline"


def verdict(**change: Any) -> Dict[str, Any]:
    return {"resource": "memory", "service": ID, "pattern": "unknown", "cause": "none", "evidence": ["killed"],
            "missing": [_memory_figures.ONE_MOMENT, "other"], **change}


def test_a_verdict_without_a_pattern_is_told_what_was_seen() -> None:
    patterns = _memory_pattern.patterns(of("one_worker_grows"))
    row = verdict()
    _memory_figures.tell([row], patterns)
    assert row["pattern"] == "one_worker_growing" and row["missing"] == ["other"]
    assert "ends in about" in row["evidence"][0] and row["evidence"][1] == "killed" and len(row["evidence"]) > 2


def test_a_verdict_about_something_else_is_left_alone() -> None:
    patterns = _memory_pattern.patterns(of("one_worker_grows"))
    rows = [verdict(resource="cpu"), verdict(service=None), verdict(service="other.service")]
    before = copy.deepcopy(rows)
    _memory_figures.tell(rows, patterns)
    assert rows == before


def test_a_pattern_that_a_rule_names_stands_beside_another_one() -> None:
    row = verdict(pattern="every_worker_large")
    _memory_figures.tell([row], _memory_pattern.patterns(of("one_worker_grows")))
    assert row["pattern"] == "every_worker_large" and row["evidence"][-1].startswith("over time: ")


def test_large_workers_of_which_there_were_fewer_before_are_a_jump() -> None:
    patterns = _memory_pattern.patterns(of("more_workers"))
    row = verdict(pattern="every_worker_large", cause="concurrency")
    _memory_figures.tell([row], patterns)
    assert row["pattern"] == "jump_after_concurrency_change" and "workers became" in row["evidence"][-2] + row["evidence"][-1]
    other = verdict(pattern="one_worker_growing", cause="growth")
    _memory_figures.tell([other], patterns)
    assert other["pattern"] == "one_worker_growing"


def test_no_history_tells_nothing_and_is_not_in_the_document() -> None:
    snapshot = {"services": [{"id": ID, "component": "other"}]}
    patterns = _memory_pattern.patterns(snapshot)
    row = verdict()
    _memory_figures.tell([row], patterns)
    assert row == verdict() and _memory_figures.told(patterns, snapshot) == []


def test_the_word_leak_is_not_used() -> None:
    for tree in TREES:
        assert "leak" not in json.dumps(_memory_pattern.patterns(tree["snapshot"]))


ANY = st.one_of(
    st.none(), st.booleans(), st.floats(allow_nan=True, allow_infinity=True), st.integers(-(10**40), 10**400), st.text(max_size=3),
    st.floats(0, 1e5), st.integers(0, 2**40), st.lists(st.integers(), max_size=2),
)
POINT = st.dictionaries(st.sampled_from(NAMES), ANY, max_size=9)
SIZED = st.lists(st.floats(0, 2**40), min_size=1, max_size=96)


AGED = st.lists(st.fixed_dictionaries({"pid": ANY, "started_age_s": ANY, "points": st.lists(st.lists(ANY, max_size=3))}))


def row_of(points: Any, workers_: Any) -> Dict[str, Any]:
    return {"id": ID, "source": "recorder", "every_s": 60, "points": points, "workers": workers_}


@settings(max_examples=EXAMPLES, deadline=None)
@given(points=st.lists(POINT, max_size=30), aged=AGED, own=ANY, component=st.sampled_from(["gunicorn", "celery", "other", "cron"]), event=ANY)
def test_any_series_of_anything_gives_a_pattern(points: Any, aged: Any, own: Any, component: str, event: Any) -> None:
    service = {"id": ID, "component": component, "memory": {"bytes": own, "limit_bytes": own}, "workers": aged, "worker_summary": {"count": own}}
    events = [{"age_s": event, "kind": "start", "what": "x", "service": ID}]
    snapshot = {"services": [service], "memory_history": {"services": [row_of(points, aged)]}, "timeline": {"events": events}, "host": own,
                "taken": {"epoch_s": own}}
    check(snapshot)


@settings(max_examples=EXAMPLES, deadline=None)
@given(sizes=SIZED, rates=SIZED, counts=st.lists(st.integers(0, 9), min_size=1, max_size=96), component=st.sampled_from(["gunicorn", "celery", "other"]),
       start=st.floats(0, 6000), ages=st.lists(st.floats(0, 1e6), max_size=12))
def test_any_series_of_numbers_gives_a_pattern(sizes: Any, rates: Any, counts: Any, component: str, start: float, ages: Any) -> None:
    points = [
        {"age_s": 60.0 * (len(sizes) - index), "bytes": size, "workers": counts[index % len(counts)], "median_bytes": size / 2, "largest_bytes": size,
         "requests_per_s": rates[index % len(rates)], "tasks_per_s": rates[-1 - index % len(rates)], "cpu_used": rates[index % len(rates)]}
        for index, size in enumerate(sizes)
    ]
    aged = [{"pid": 1, "started_age_s": start, "points": [[point["age_s"], point["bytes"] / 3] for point in points]}]
    listed = [{"pid": number, "age_s": age, "rss_bytes": rates[number % len(rates)]} for number, age in enumerate(ages)]
    snapshot = {"services": [{"id": ID, "component": component, "workers": listed}], "memory_history": {"services": [row_of(points, aged)]},
                "timeline": {"events": [{"age_s": start, "kind": "start", "what": "x", "service": ID}]},
                "host": {"memory": {"limit_bytes": 2**33, "available_bytes": rates[0]}}}
    check(snapshot)
    check({**snapshot, "memory_history": None})


def check(snapshot: Dict[str, Any]) -> None:
    """It has an answer, in finite numbers."""
    found = _memory_pattern.patterns(snapshot)[ID]
    assert (found["pattern"] == "unknown") == bool(found["missing"])
    assert found["pattern"] == "unknown" or found["evidence"]
    json.dumps(found, allow_nan=False)
    json.dumps(_memory_figures.memory_figures(found), allow_nan=False)
    _memory_figures.outlook(found)
