# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which service is meant, and which are changed elsewhere."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.oncall.pressure.plugins.module_utils._change._kinds import Refused
from ansible_collections.oncall.pressure.plugins.module_utils._controls import _measure

MIB = 1024 * 1024


def row(name: str, component: str = "gunicorn", manager: str = "systemd", **more: t.Any) -> dict[str, t.Any]:
    identity = "supervisor:" + name if manager == "supervisor" else name
    return dict({"id": identity, "name": name, "component": component, "manager": manager, "state": "running", "processes": 3}, **more)


ROWS = [row("web.service"), row("db.service", "postgres"), row("jobs", "celery", "supervisor"), row("jobs.service", "celery")]


def test_a_service_is_found_by_its_id_or_its_only_name() -> None:
    assert _measure.find(ROWS, "supervisor:jobs") is ROWS[2]
    assert _measure.find(ROWS, "jobs.service") is ROWS[3]
    assert _measure.find(ROWS, "web") is ROWS[0]


def test_a_name_that_two_have_is_refused_with_their_ids() -> None:
    with pytest.raises(Refused, match="jobs.service, supervisor:jobs"):
        _measure.find(ROWS, "jobs")


def test_a_name_that_none_has_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(Refused, match="no service wep.service.*web.service"):
        _measure.find(ROWS, "wep.service")
    with pytest.raises(Refused, match="say which service.*none that runs gunicorn"):
        _measure.find([row("db.service", "postgres")], "")


@pytest.mark.parametrize("manager, words", [("kubernetes", "Deployment"), ("docker", "Compose"), ("session", "login session"), ("none", "no service manager")])
def test_what_runs_elsewhere_is_changed_elsewhere(manager: str, words: str) -> None:
    with pytest.raises(Refused, match=words):
        _measure.check_changeable(row("web", manager=manager))


def test_a_database_has_no_workers_to_change() -> None:
    with pytest.raises(Refused, match="postgres"):
        _measure.check_changeable(ROWS[1])
    _measure.check_changeable(ROWS[0])


@pytest.mark.parametrize("state, processes, down", [("running", 3, False), ("running", 0, True), ("restarting", 0, True), ("failed", 0, True)])
def test_nothing_can_be_told_between_two_restarts(state: str, processes: int, down: bool) -> None:
    assert _measure.between_restarts(row("web", state=state, processes=processes)) is down


def test_instances_count_as_one_service_without_their_own_limits() -> None:
    rows = [
        row("mail@%d.service" % number, "rq", workers=[{"pid": number, "pss_bytes": size * MIB, "rss_bytes": size * MIB}],
            memory={"bytes": (size + 1) * MIB, "limit_bytes": 100 * MIB, "limit_source": "service"})
        for number, size in ((1, 20), (2, 40), (3, 30))
    ]
    merged = _measure.together(rows, rows[1])
    assert (merged["id"], merged["worker_summary"]["count"], merged["processes"]) == ("mail@2.service", 3, 9)
    assert merged["worker_summary"]["median_bytes"] == 30 * MIB and merged["worker_summary"]["largest_pid"] == 2
    assert merged["memory"] == {"bytes": 93 * MIB, "limit_bytes": None, "limit_source": None}
    rows[0]["memory"] = {"bytes": None}
    assert _measure.together(rows, rows[1])["memory"]["bytes"] is None
