# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The judge of remediations can say no, and every incident with something wrong says how it is to be remediated."""

from __future__ import annotations

import random

import _incidents
import _judge
import pytest
import yaml
from _common import ROOT

MOMENTS = _judge.Moments(0.0, 100.0, 200.0, 240.0)
MITIGATIONS = {path.parent.parent.name for path in (ROOT / "roles").glob("*/meta/mitigation.yml")}


def looks(kills=lambda t: 0, cpu_s=lambda t: 0.0, workers=lambda t: 4, largest=lambda t: 50.0):
    return [{"t": t / 2, "kills": kills(t / 2), "cpu_s": cpu_s(t / 2), "workers": workers(t / 2), "largest_mib": largest(t / 2)} for t in range(481)]


def test_relief_is_the_last_kill():
    found = _judge.relief(looks(kills=lambda t: int(min(t, 130) / 10)), MOMENTS, {"kills": True})
    assert (found["kills_before"], found["kills_after_start"], found["relief_s"], found["incident_there"]) == (9, 4, 30.0, True)


def test_kills_up_to_the_end_are_no_relief():
    found = _judge.relief(looks(kills=lambda t: int(t / 10)), MOMENTS, {"kills": True})
    assert found["relief_s"] is None and found["incident_there"]


def test_what_never_was_there_is_no_incident():
    found = _judge.relief(looks(), MOMENTS, {"kills": True})
    assert found["relief_s"] == 0.0 and not found["incident_there"]


def test_a_group_made_anew_counts_from_nothing():
    found = _judge.relief(looks(kills=lambda t: 3 if t < 120 else (None if t < 121 else 1)), MOMENTS, {"kills": True})
    assert found["kills_after_start"] == 1


def test_processor_time_is_a_rate_across_a_restart():
    used = looks(cpu_s=lambda t: 2 * t if t < 120 else (None if t < 122 else 0.1 * (t - 122)))
    found = _judge.relief(used, MOMENTS, {"cpu_below": 0.5})
    assert found["cpus_before"] == pytest.approx(2.0, abs=0.05) and found["cpus_after"] == pytest.approx(0.1, abs=0.05)
    assert found["relief_s"] == pytest.approx(25.0, abs=2.0)


@pytest.mark.parametrize("told,given", [
    ({"workers_at_most": 4}, {"workers": lambda t: 12 if t < 150 else 4}), ({"largest_below_mib": 200}, {"largest": lambda t: 400.0 if t < 150 else 50.0})])
def test_workers_and_their_size(told, given):
    found = _judge.relief(looks(**given), MOMENTS, told)
    assert found["incident_there"] and found["relief_s"] == pytest.approx(50.0, abs=1.0)


def test_failed_probes_are_counted_where_they_were():
    probes = [{"t": t / 5, "s": 0.1, "status": 0 if 110 <= t / 5 < 112 or 230 <= t / 5 < 231 else 200} for t in range(1200)]
    found = _judge.answered(probes, [111.0], MOMENTS)
    assert (found["failed_before"], found["failed_during"], found["failed_after"]) == (0, 10, 5)
    # the kill accounts for those that were under way then
    assert 0 < found["failed_not_by_kills"] < 10


GOOD = {"incident_there": True, "relief_s": 20.0, "failed_after": 0, "probes_after": 100, "failed_not_by_kills": 0, "ended": "closed", "status": 0,
        "steps": [{"mitigation": "lower_workers", "state": "undone"}, {"mitigation": "restart_service", "state": "confirmed"}]}
TOLD = {"steps": {"lower_workers": "undone", "restart_service": "confirmed"}, "ends": ["closed"], "loses_none": True}


def test_right():
    assert _judge.wrong(GOOD, TOLD) == []


@pytest.mark.parametrize("changed", [
    {"incident_there": False}, {"relief_s": None}, {"failed_after": 1}, {"probes_after": 0}, {"failed_not_by_kills": 2}, {"ended": "improved"},
    {"status": 2}, {"steps": GOOD["steps"][:1]}, {"steps": list(reversed(GOOD["steps"]))}])
def test_one_thing_wrong_is_said(changed):
    assert len(_judge.wrong(dict(GOOD, **changed), TOLD)) == 1


def test_help_where_none_is_expected_is_wrong():
    assert len(_judge.wrong(GOOD, dict(TOLD, helps=False))) == 1


def test_every_incident_with_a_verdict_says_how_it_is_remediated():
    rules = {item if isinstance(item, str) else item["id"] for path in (ROOT / "roles/diagnose/files/rules").glob("*.yml")
             for rule in yaml.safe_load(path.read_text(encoding="utf-8")) for item in rule.get("mitigations", [])}
    tried = set()
    for name in _incidents.names():
        spec = _incidents.read(name)
        # by a mitigation that is tried, or by a person who is told what to do
        assert ("remediated" in spec) + ("by_hand" in spec) == (spec["expected"] != "healthy"), name
        assert "by_hand" not in spec or spec["by_hand"], name
        if "remediated" not in spec:
            continue
        told = _incidents.drawn(name, random.randrange(10 ** 6))["remediated"]
        assert set(told) <= {"looked_at", "site", "unlogged", "relief", "ways"} and told["ways"], name
        for way in told["ways"].values():
            assert set(way) <= {"variables", "steps", "loses_none", "ends", "leaves", "helps", "as_before", "afterwards", "status"}, name
            assert way["steps"] and set(way["steps"]) <= MITIGATIONS, name
            tried |= set(way["steps"])
    # each mitigation that a rule suggests is tried on an incident
    assert tried == rules
