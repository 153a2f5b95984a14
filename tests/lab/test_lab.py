# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The judge of the incidents can say no, and every incident's file is well formed, whatever is drawn."""

from __future__ import annotations

import json

import _compare
import _draw
import _incidents
import pytest
from _causes import STEPS
from _truths import CONDITIONS

TRUTH = {"resource": "memory", "cause": ["concurrency", "limit_too_low"], "service": "a.service", "says": ["/login"]}


def document(**changed):
    verdict = dict({"resource": "memory", "cause": "concurrency", "service": "a.service", "summary": "all to /login"}, **changed)
    return {"hosts": {"one": {"state": "incident", "verdicts": [verdict]}, "two": {"state": "healthy", "verdicts": []}}}


def test_right():
    assert _compare.misses(document(), "one", ["two"], TRUTH) == []


@pytest.mark.parametrize("changed", [{"resource": "cpu"}, {"cause": "growth"}, {"service": "b.service"}, {"summary": "all to /search"}])
def test_one_wrong_word_is_a_miss(changed):
    assert len(_compare.misses(document(**changed), "one", ["two"], TRUTH)) == 1


def test_other_hosts_must_be_healthy_and_present():
    assert len(_compare.misses(document(), "one", ["two", "three"], TRUTH)) == 1
    assert len(_compare.misses(document(), "two", ["one"], "healthy")) == 1
    assert len(_compare.misses({"hosts": {}}, "one", [], TRUTH)) == 1


def test_unknown_is_not_healthy():
    assert len(_compare.misses({"hosts": {"one": {"state": "unknown", "verdicts": []}}}, "one", [], "healthy")) == 1


def test_a_person_is_told_what_to_do_or_it_is_a_miss():
    told = {"next": ["ask whoever runs it", "lower it"], "mitigations": []}
    assert _compare.untold(document(**told), "one", ["ask whoever"]) == []
    assert len(_compare.untold(document(**told), "one", ["ask whoever", "stop it"])) == 1
    suggested = {**told, "mitigations": [{"id": "restart_service"}]}
    assert len(_compare.untold(document(**suggested), "one", ["ask whoever"])) == 1
    assert len(_compare.untold(document(), "one", ["ask whoever"])) == 1


def test_leaks_and_what_was_not_seen():
    texts = {"a": "quiet", "b": "pw123 \x1b[2J"}
    assert len(_compare.leaks(texts, ["pw123", "\x1b"])) == 2
    assert _compare.leaks(texts, ["\x9b"]) == []
    assert len(_compare.unseen(texts, ["quiet", "loud"])) == 1


@pytest.mark.parametrize("name", _incidents.names())
def test_every_incident_draws_the_same_from_the_same_seed(name):
    assert _incidents.drawn(name, 5) == _incidents.drawn(name, 5)
    spec = _incidents.read(name)
    for seed in range(20):
        incident = _incidents.drawn(name, seed)
        for step in incident["cause"]:
            assert set(step) <= set(STEPS)
        for condition in incident.get("settled", []):
            assert set(condition) <= set(CONDITIONS)
        left = json.dumps(incident)
        assert not [key for key in spec.get("draw", {}) if "{" + key + "}" in left]


def test_calculate_takes_arithmetic_only():
    assert _draw.calculate("(a + 2) * 3 / 2", {"a": 3}) == 8
    with pytest.raises(_draw.LabError):
        _draw.calculate("__import__('os')", {})


def test_a_short_run_takes_what_fits_into_its_time():
    took = {"long": 200.0, "short": 10.0, "middle": 90.0}
    assert _incidents.within(["long", "short", "middle"], took, 240.0) == ["long", "short"]
    assert _incidents.within(["short", "middle", "long", "new"], took, 240.0) == ["short", "middle", "new"]
    assert _incidents.within(["long", "short"], took, 100.0) == ["long"]
