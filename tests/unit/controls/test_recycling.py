# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where the rate is from, when a worker is retired, and what is left to a person."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.oncall.pressure.plugins.module_utils._change._kinds import Refused
from ansible_collections.oncall.pressure.plugins.module_utils._controls import _recycling
from ansible_collections.oncall.pressure.plugins.module_utils._controls._lifespan import Lifespan, Wished
from ansible_collections.oncall.pressure.plugins.module_utils._controls._measure import Measured
from ansible_collections.oncall.pressure.plugins.module_utils._controls._recycling import Wish
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine

MIB = 1024 * 1024


def measured(component: str = "gunicorn", version: str = "20.1.0", sizes: t.Sequence[int] = (50, 50, 50), nginx: t.Any = None, **limits: int) -> Measured:
    settings = dict({name: {"value": value} for name, value in limits.items()}, version=version, workers={"value": len(sizes)})
    row = {
        "id": "shop.service", "name": "shop.service", "manager": "systemd", "component": component, "state": "running", "processes": 4, "main_pid": None,
        "workers": [], "settings": settings, "memory": {},
        "worker_summary": {
            "count": len(sizes), "median_bytes": sorted(sizes)[len(sizes) // 2] * MIB, "largest_bytes": max(sizes) * MIB, "largest_pid": 7, "total_bytes": 0,
        } if sizes else None,
    }
    return Measured(row, {"written": settings}, [row], {}, {}, True, nginx, None if nginx else "no nginx runs here")


def test_the_rate_is_measured_or_given() -> None:
    assert _recycling.rate(measured(), Wish("s", requests_per_s=3.0)) == (3.0, "as given")
    assert _recycling.rate(measured(), Wish("s")) == (None, "nginx: no nginx runs here")
    assert _recycling.rate(measured(nginx={"per_s": 4.5, "covered_s": 600.0}), Wish("s")) == (4.5, "through nginx in 600 s")
    assert _recycling.rate(measured(nginx={"per_s": None}), Wish("s")).per_s is None


def test_a_setting_that_the_program_does_not_have_is_refused() -> None:
    with pytest.raises(Refused, match="gunicorn, which has no max_tasks_per_child"):
        _recycling.lifespan(measured(), Wish("s", Wished(max_tasks_per_child=5)))
    with pytest.raises(Refused, match="celery, which has no max_requests"):
        _recycling.lifespan(measured("celery", "5.2.6"), Wish("s", Wished(max_requests=5)))


def test_once_it_is_written_only_a_worker_that_stands_out_is_retired() -> None:
    assert _recycling._retire(Machine(), measured(), True) == ([], "none stands out: the largest has 50.0 MiB, the median is 50.0 MiB")
    # this one stands out, and is looked for: its main process is not there any more
    assert "does not run" in _recycling._retire(Machine(), measured(sizes=(50, 50, 90)), True)[1]


@pytest.mark.parametrize("found, words", [
    (measured(sizes=()), "no worker runs"), (measured(sizes=(50,)), "one worker"), (measured("uvicorn", "0.17.6"), "starts no worker again"),
])
def test_a_worker_that_nothing_would_replace_is_kept(found: Measured, words: str) -> None:
    operations, said = _recycling._retire(Machine(), found, False)
    assert operations == [] and words in said


def test_what_is_written_counts_after_a_restart_and_that_is_proposed() -> None:
    found = measured(max_requests=1000, max_requests_jitter=100)
    said = _recycling._proposals(found, Wish("s", host="web-1"), Lifespan({"max_requests": 700}, None, []))
    assert said == [
        "what was written counts after one restart, at a quiet time: ansible-playbook oncall.pressure.restart_service -l web-1 -e pressure_service=shop.service"
    ]
    assert _recycling._proposals(found, Wish("s"), Lifespan({"max_requests": 1000, "max_requests_jitter": 100}, None, [])) == []


def test_what_its_files_say_already_is_not_written_again() -> None:
    found = measured(max_requests=1000, max_requests_jitter=100)
    assert _recycling._is_written(found, Lifespan({"max_requests": 1000, "max_requests_jitter": 100}, None, []))
    assert not _recycling._is_written(found, Lifespan({"max_requests": 1000, "max_requests_jitter": 90}, None, []))
    assert not _recycling._is_written(found._replace(unit={}), Lifespan({"max_requests": 1000}, None, []))
