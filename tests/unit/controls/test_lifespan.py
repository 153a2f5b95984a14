# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""After how much a worker is replaced, and what each release can do with that."""

from __future__ import annotations

import math
import random
import typing as t

import pytest

from ansible_collections.oncall.pressure.plugins.module_utils._change._kinds import Refused
from ansible_collections.oncall.pressure.plugins.module_utils._controls import _lifespan
from ansible_collections.oncall.pressure.plugins.module_utils._controls._lifespan import Rate, Wished

MIB = 1024 * 1024
HOST = {"memory": {"limit_bytes": 8000 * MIB, "available_bytes": 4000 * MIB}, "cpu": {"usable": 4}}


def service(component: str, version: str | None, count: int = 4, **settings: t.Any) -> dict[str, t.Any]:
    rows = {name: {"value": value} for name, value in settings.items()}
    return {
        "id": "x.service", "component": component, "settings": dict(rows, version=version), "worker_summary": {"count": count, "total_bytes": count * 50 * MIB},
        "workers": [{"rss_bytes": 60 * MIB}] * count, "memory": {"bytes": (count * 50 + 30) * MIB, "limit_bytes": 1000 * MIB, "limit_source": "service"},
    }


def test_a_worker_lives_at_least_so_long() -> None:
    row = service("gunicorn", "20.1.0")
    found = _lifespan.requests(row, row["settings"], Rate(10.0, "measured"), Wished(live_at_least_s=1800))
    assert found.settings == {"max_requests": 4500, "max_requests_jitter": 450}
    assert found.formula == "ceil(10.00 requests/s measured / 4 workers x 1800 s) = 4500 requests, rounded up to 4500"


def test_a_worker_lives_at_least_so_long_at_any_rate() -> None:
    seed = random.SystemRandom().randrange(10**9)
    print("seed", seed)
    draw = random.Random(seed)
    for dummy in range(500):
        count, rate, live = draw.randint(1, 60), draw.uniform(0.01, 5000), draw.uniform(60, 20000)
        row = service("gunicorn", "25.0", count)
        most = _lifespan.requests(row, row["settings"], Rate(rate, "measured"), Wished(live_at_least_s=live)).settings["max_requests"]
        assert most / (rate / count) >= live * 0.999999
        exact = math.ceil(round(rate / count * live, 6))
        assert most == 100 if exact < 100 else exact <= most < exact * 1.1 and str(most)[2:].strip("0") == ""


@pytest.mark.parametrize("there, kept", [(800, True), (1000, True), (2000, True), (2001, False), (0, False)])
def test_what_is_written_and_alike_or_stricter_is_kept(there: int, kept: bool) -> None:
    row = service("gunicorn", "20.1.0", 2, max_requests=there, max_requests_jitter=33)
    found = _lifespan.requests(row, row["settings"], Rate(2.0, "measured"), Wished(live_at_least_s=1000))
    assert found.settings == ({"max_requests": there, "max_requests_jitter": 33} if kept else {"max_requests": 1000, "max_requests_jitter": 100})


@pytest.mark.parametrize("rate, words", [(Rate(None, "nginx: no log"), "nginx: no log"), (Rate(0.0, "measured"), "no request was seen")])
def test_without_a_rate_it_is_refused(rate: Rate, words: str) -> None:
    row = service("gunicorn", "20.1.0")
    with pytest.raises(Refused, match=words):
        _lifespan.requests(row, {}, rate, Wished())
    assert _lifespan.requests(row, {}, rate, Wished(max_requests=700)).settings == {"max_requests": 700, "max_requests_jitter": 70}


@pytest.mark.parametrize("version, count, words", [
    ("0.17.6", 2, "run out of workers"), ("0.29.0", 4, "run out of workers"), ("0.54.0", 1, "one process"), (None, 2, "version of uvicorn"),
])
def test_a_uvicorn_that_would_run_out_of_workers_is_refused(version: str | None, count: int, words: str) -> None:
    with pytest.raises(Refused, match=words):
        _lifespan.requests(service("uvicorn", version, count), {}, Rate(5, "measured"), Wished())


def test_a_uvicorn_without_jitter_gets_none_and_that_is_said() -> None:
    found = _lifespan.requests(service("uvicorn", "0.35.0", 2), {}, Rate(5, "measured"), Wished())
    assert set(found.settings) == {"max_requests"} and "no jitter" in found.says[0]
    assert set(_lifespan.requests(service("uvicorn", "0.41.0", 2), {}, Rate(5, "measured"), Wished()).settings) == {"max_requests", "max_requests_jitter"}


@pytest.mark.parametrize("row, words", [
    (service("rq", "1.13"), "child of its own"), (service("celery", "5.2.6", worker_class="threads"), "pool threads"),
    (service("gunicorn", "19.1.1"), "all at once"),
])
def test_what_cannot_be_recycled_is_refused(row: dict[str, t.Any], words: str) -> None:
    with pytest.raises(Refused, match=words):
        _lifespan.check_release(row)


def test_children_share_what_is_left_of_the_limit() -> None:
    row = service("celery", "5.2.6", 4, worker_class="prefork")
    found = _lifespan.children(row, row["settings"], HOST, [row], Wished())
    # 1000 - 30 of the main process - 200 of reserve, for four
    assert found.settings == {"max_memory_per_child_kib": 190000}
    assert "/ 4 children) = 197120 KiB for a child, rounded down to 190000" in str(found.formula)
    assert _lifespan.children(row, row["settings"], HOST, [row], Wished(max_tasks_per_child=50)).settings == {"max_tasks_per_child": 50}


def test_children_that_are_too_large_already_are_not_replaced_for_ever() -> None:
    row = service("celery", "5.2.6", 4, worker_class="prefork")
    row["memory"]["limit_bytes"] = 250 * MIB
    with pytest.raises(Refused, match="after every task"):
        _lifespan.children(row, row["settings"], HOST, [row], Wished())


def test_recycling_is_never_ended() -> None:
    row = service("celery", "5.2.6", 4)
    with pytest.raises(Refused, match="end all recycling"):
        _lifespan.children(row, {}, HOST, [row], Wished(max_tasks_per_child=0))
    with pytest.raises(Refused, match="end all recycling"):
        _lifespan.requests(service("gunicorn", "20.1.0"), {}, Rate(1, "measured"), Wished(max_requests=0))


def test_an_old_celery_needs_a_number_of_tasks() -> None:
    row = service("celery", "3.1.25", 4)
    with pytest.raises(Refused, match="4.0 does"):
        _lifespan.children(row, {}, HOST, [row], Wished())
    assert _lifespan.children(row, {}, HOST, [row], Wished(max_tasks_per_child=9)).settings == {"max_tasks_per_child": 9}
