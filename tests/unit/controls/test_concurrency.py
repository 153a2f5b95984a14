# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which form of fewer workers is planned, what is said of the other, and what is left to a person."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.oncall.pressure.plugins.module_utils._change._kinds import Refused
from ansible_collections.oncall.pressure.plugins.module_utils._controls import _concurrency
from ansible_collections.oncall.pressure.plugins.module_utils._controls._concurrency import Wish
from ansible_collections.oncall.pressure.plugins.module_utils._controls._measure import Measured
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine

MIB = 1024 * 1024


def measured(count: int, limit_mib: float = 400, each_mib: float = 90, kills: int = 0, **service: t.Any) -> Measured:
    row: dict[str, t.Any] = {
        "id": "shop.service", "name": "shop.service", "manager": "systemd", "component": "gunicorn", "state": "running", "processes": count + 1,
        "main_pid": None, "cpu": {"quota": None}, "cgroup": "/system.slice/shop.service",
        "memory": {"bytes": (count * each_mib + 20) * MIB, "limit_bytes": limit_mib * MIB, "limit_source": "service"},
        "workers": [{"pid": 9 + place, "pss_bytes": each_mib * MIB, "rss_bytes": each_mib * MIB} for place in range(count)],
        "worker_summary": {"count": count, "memory_source": "pss", "median_bytes": each_mib * MIB, "total_bytes": count * each_mib * MIB, "spread_pct": 1.0}
        if count else None,
        "settings": {"workers": {"value": count or 8, "reason": None}}, "result": None,
    }
    row.update(service)
    killed = {"kills": kills, "median_anon_rss_bytes": each_mib * MIB} if kills else {}
    return Measured(row, {"oom_policy": "stop"}, [row], {}, killed, True, None, None)


def machine(folder: t.Any) -> Machine:
    """A recording of a machine on which nothing runs."""
    (folder / "commands.json").write_text("{}", encoding="ascii")
    return Machine(str(folder))


def test_between_two_restarts_nothing_is_told() -> None:
    found = measured(0, state="restarting", processes=0, result="oom-kill", kills=2)
    target = _concurrency.aim(found, Wish("shop.service"))
    assert (target.present, target.workers) == (8, 2)
    now = _concurrency._now(Machine(), found, target, [])
    assert now.operations == [] and "OOMPolicy=stop" in str(now.refused)
    proposals = _concurrency._proposals(found, Wish("shop.service"), target, now, _concurrency._Part([], []))
    assert proposals == ["its manager starts it again by itself, with 2 workers then"]


def test_a_unit_that_gave_up_must_be_started() -> None:
    found = measured(0, state="failed", processes=0, result="oom-kill", kills=2)
    target = _concurrency.aim(found, Wish("shop.service"))
    proposals = _concurrency._proposals(found, Wish("shop.service", host="web 1"), target, _concurrency._Part([], [], "down"), _concurrency._Part([], []))
    assert proposals == ["it is failed and must be started: ansible-playbook oncall.pressure.restart_service -l 'web 1' -e pressure_service=shop.service"]


def test_without_the_kernels_log_a_service_that_is_down_has_no_size() -> None:
    found = measured(0, state="restarting", processes=0)._replace(kills_known=False)
    with pytest.raises(Refused, match="kernel's log could not be read"):
        _concurrency.aim(found, Wish("shop.service"))


def test_a_master_that_is_gone_is_not_told_and_a_restart_is_proposed(tmp_path: t.Any) -> None:
    found = measured(5)
    target = _concurrency.aim(found, Wish("shop.service"))
    now = _concurrency._now(machine(tmp_path), found, target, [])
    assert now.operations == [] and "does not run" in str(now.refused)
    proposals = _concurrency._proposals(found, Wish("shop.service"), target, now, _concurrency._Part([], []))
    assert proposals[0].startswith("it still runs 5, and 3 after a restart") and "-l HOST" in proposals[0]


def test_as_few_as_wanted_are_told_nothing(tmp_path: t.Any) -> None:
    found = measured(3)
    target = _concurrency.aim(found, Wish("shop.service", workers=3))
    assert _concurrency._now(machine(tmp_path), found, target, []) == _concurrency._Part([], ["3 run now"])


def test_an_autoscaled_pool_is_not_lowered_by_being_small_now(tmp_path: t.Any) -> None:
    settings = {"workers": {"value": 6, "reason": "the most that autoscale allows"}, "autoscale": {"value": "6,1"}}
    found = measured(1, component="celery", settings=settings)
    target = _concurrency.aim(found, Wish("shop.service", workers=2))
    now = _concurrency._now(machine(tmp_path), found, target, [])
    assert "autoscale 6,1" in str(now.refused)
    assert "may still start up to 6" in _concurrency._proposals(found, Wish("shop.service"), target, now, _concurrency._Part([], []))[0]


def test_files_that_ask_for_fewer_are_left_alone(tmp_path: t.Any) -> None:
    found = measured(5)._replace(unit={"written": {"workers": {"value": 2}}})
    target = _concurrency.aim(found, Wish("shop.service", workers=3))
    part = _concurrency._written(machine(tmp_path), found, target, [])
    assert part.operations == [] and part.said == ["its files ask for 2"]


def test_instances_of_a_template_have_no_file_to_write(tmp_path: t.Any) -> None:
    found = measured(3)
    target = _concurrency.aim(found, Wish("shop.service", workers=2))
    assert "disabled" in str(_concurrency._written(machine(tmp_path), found, target, [{}, {}]).refused)


def test_the_next_start_is_named_where_nothing_could_be_written() -> None:
    found = measured(5)
    target = _concurrency.aim(found, Wish("shop.service"))
    told = _concurrency._Part([{"kind": "worker_count"}], [])
    said = _concurrency._proposals(found, Wish("shop.service"), target, told, _concurrency._Part([], [], "masked"))
    assert said == ["its next start brings back 5 workers, since that could not be written: masked"]


def test_the_screen_is_told_what_was_found() -> None:
    found = measured(5)
    target = _concurrency.aim(found, Wish("shop.service"))
    lines = _concurrency._summary(found, target, {"runtime": None, "lasting": "a file"})
    assert lines == [
        "shop.service: 5 workers -> 3", "floor((400.0 MiB limit - 20.0 MiB other - 80.0 MiB reserve) / 90.0 MiB PSS per worker) = 3", "next start: a file",
    ]
    fitting = measured(2)
    assert _concurrency._summary(fitting, _concurrency.aim(fitting, Wish("shop.service")), {})[0] == "shop.service: 2 workers, nothing to lower"
