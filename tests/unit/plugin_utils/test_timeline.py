# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What was changed before it became bad: which events, on whose clock, and which of them stand on the screen."""

from __future__ import annotations

import datetime
import json
import typing as t

import pytest
from ansible_collections.oncall.pressure.plugins.plugin_utils import _report, _timeline
from ansible_collections.oncall.pressure.plugins.plugin_utils._timeline import Given, lately, read_events, sentence, shown

TAKEN = 1768013700.0
CPU = [{"resource": "cpu"}]


def event(age_s: float, kind: str = "commit", service: t.Optional[str] = None, what: str = "x", detail: t.Optional[str] = None) -> t.Dict[str, t.Any]:
    return {"at": "1970-01-01T00:00:00Z", "age_s": age_s, "kind": kind, "what": what, "service": service, "detail": detail, "pid": None}


def snapshot(*events: t.Any, offset_s: t.Optional[float] = None, kills: t.Sequence[float] = ()) -> t.Dict[str, t.Any]:
    return {
        "taken": {"epoch_s": TAKEN, "clock_offset_s": offset_s}, "timeline": {"window_s": 86400, "left_out": 0, "events": list(events)},
        "oom": {"events": [{"age_s": age_s, "own": True} for age_s in kills] + [{"age_s": 50000, "own": False}]},
    }


def test_only_what_is_near_is_told_and_only_of_what_is_wrong() -> None:
    document = snapshot(event(60), event(7100), event(7300))
    assert [row["age_s"] for row in lately(document, "web-1", CPU, [])] == [60.0, 7100.0]
    assert lately(document, "web-1", [], []) == []
    assert lately({"taken": {"epoch_s": TAKEN}}, "web-1", CPU, []) == []


def test_of_memory_the_first_kill_is_the_first_sign() -> None:
    document = snapshot(event(8000), event(12000), kills=[30, 1000])
    assert [row["age_s"] for row in lately(document, "web-1", [{"resource": "memory"}], [])] == [8000.0]
    assert lately(document, "web-1", CPU, []) == []


def test_times_are_the_controllers() -> None:
    # this host is an hour ahead
    found = lately(snapshot(event(60), offset_s=3600.0), "web-1", CPU, [Given(TAKEN - 3600 - 120, "migration", None), Given(TAKEN - 100, "later", None)])
    assert [(row["at"], row["what"], row["kind"]) for row in found] == [("2026-01-10T01:54:00Z", "x", "commit"), ("2026-01-10T01:53:00Z", "migration", "given")]


def test_what_is_told_of_other_hosts_is_left_out() -> None:
    given = read_events([{"at": TAKEN - 60, "what": "a", "hosts": ["web-1", "web-2"]}, {"at": TAKEN - 50, "what": "b", "hosts": "web-2"}])
    assert [row["what"] for row in lately(snapshot(), "web-1", CPU, given)] == ["a"]


@pytest.mark.parametrize("at", ["2026-01-10T02:55:00Z", "2026-01-10T03:55:00+01:00", "2026-01-10 02:55:00z", TAKEN, int(TAKEN),
                                datetime.datetime(2026, 1, 10, 2, 55), datetime.datetime(2026, 1, 10, 2, 55, tzinfo=datetime.timezone.utc)])
def test_times_that_are_understood(at: t.Any) -> None:
    assert read_events([{"at": at, "what": "deploy"}]) == [Given(TAKEN, "deploy", None)]


def test_events_as_text() -> None:
    assert read_events(json.dumps([{"at": TAKEN, "what": "a\x1b[31m"}]))[0].what == "a\\x1b[31m"
    assert read_events("") == read_events([]) == []


@pytest.mark.parametrize("value, said", [
    ("yesterday", "neither a list nor JSON"), ({"at": 1}, "must be a list"), (["x"], "event 1 must have"), ([{"at": TAKEN}], "event 1 must have"),
    ([{"at": "02:00", "what": "x"}], "at of event 1"), ([{"at": "2026-01-10T02:00:00", "what": "x"}], "with its zone"),
    ([{"at": True, "what": "x"}], "at of event"),
    ([{"at": TAKEN, "what": "x", "hosts": [1]}], "hosts of event 1"), ([{"at": TAKEN, "what": "x", "host": "a"}], "event 1"), ([{}] * 201, "more than 200"),
])
def test_what_is_wrong_is_said(value: t.Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        read_events(value)


def test_the_screen_has_what_people_did_and_that_of_the_service_first() -> None:
    rows = [event(10, "start", "web.service", "started"), event(20, "package", None, "packages"), event(30, "unit", "other.service", "other"),
            event(40, "commit", "web.service", "commit", "pull"), event(50, "release", "web.service", "release")]
    assert shown(rows, "web.service") == ["20 s ago: packages", "40 s ago: commit (pull)", "50 s ago: release"]
    assert shown(rows[:1], "web.service") == ["10 s ago: started"]
    assert shown([], None) == []


def test_the_screen_says_it_beside_the_verdict() -> None:
    verdict = {
        "resource": "cpu", "name": "web.service", "service": "web.service", "component": "gunicorn", "cause": "code", "confidence": "low", "summary": "busy",
        "evidence": [], "ruled_out": [], "missing": [], "next": [], "mitigations": [],
    }
    row = {"state": "incident", "verdicts": [verdict], "changes": [event(600, "release", "web.service", "/srv/shop/current was set", "to releases/two")]}
    fleet = {"hosts": 1, "healthy": 0, "unknown": 0, "unreached": 0}
    said = _report.screen({"hosts": {"web-1": row}, "fleet": fleet})
    assert "changed lately: 10 min ago: /srv/shop/current was set (to releases/two)" in said
    assert "changed" not in _report.screen({"hosts": {"web-1": dict(row, changes=[])}, "fleet": fleet})


def test_a_hostile_timeline_is_bounded() -> None:
    document = snapshot(*[event(number) for number in range(100)], "x", {"age_s": "1"}, event(5, kind="<b>"))
    found = lately(document, "web-1", CPU, [])
    assert len(found) == _timeline.TOLD and {row["kind"] for row in found} == {"commit", None}
    document["taken"]["epoch_s"] = 1e300
    assert lately(document, "web-1", CPU, []) == []
    assert sentence(event(100, what="what")) == "100 s ago: what"
