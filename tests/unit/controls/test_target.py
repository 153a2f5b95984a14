# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How many workers fit: sums done by hand, laws over random services, and what is refused for want of a figure."""

from __future__ import annotations

import copy
import random
import re
import typing as t

import pytest

from ansible_collections.oncall.pressure.plugins.module_utils._change._kinds import Refused
from ansible_collections.oncall.pressure.plugins.module_utils._controls import _target

MIB = 1024 * 1024


def service(sizes: t.Sequence[float], own: float, limit: float | None = None, **more: t.Any) -> dict[str, t.Any]:
    """A running gunicorn: sizes of its workers, what the service has, its limit, all in MiB."""
    ordered = sorted(sizes, reverse=True)
    middle = _target.quantile(ordered, 0.5) if ordered else 0
    row: dict[str, t.Any] = {
        "id": "unit-%d.service" % len(ordered), "component": "gunicorn", "cgroup": "/system.slice/unit.service", "state": "running",
        "processes": len(ordered) + 1, "cpu": {"quota": None},
        "memory": {"bytes": own * MIB, "limit_bytes": None if limit is None else limit * MIB, "limit_source": None if limit is None else "service"},
        "workers": [{"pid": 100 + place, "pss_bytes": each * MIB, "rss_bytes": each * MIB * 1.1} for place, each in enumerate(ordered)],
        "worker_summary": {
            "count": len(ordered), "memory_source": "pss", "median_bytes": middle * MIB, "largest_bytes": ordered[0] * MIB,
            "spread_pct": 100.0 * (ordered[0] - ordered[-1]) / middle, "total_bytes": sum(ordered) * MIB,
        } if ordered else None,
        "settings": {"workers": {"value": len(ordered) or None, "reason": None}},
    }
    row.update(more)
    return row


def host(limit: float = 16000, available: float = 4000, usable: float | None = 2) -> dict[str, t.Any]:
    return {"memory": {"limit_bytes": limit * MIB, "available_bytes": available * MIB}, "cpu": {"usable": usable}}


def kills(count: int, median: float) -> dict[str, t.Any]:
    return {"kills": count, "median_anon_rss_bytes": median * MIB, "largest_anon_rss_bytes": median * MIB}


def test_the_sum_is_shown_with_its_numbers_and_units() -> None:
    row = service([95.2] * 5, 497.3, 400)
    found = _target.decide(row, host(), [row], {})
    assert found.formula == "floor((400.0 MiB limit - 21.3 MiB other - 80.0 MiB reserve) / 95.2 MiB PSS per worker) = 3"
    assert (found.workers, found.present, found.basis, found.lowers) == (3, 5, "memory", True)
    assert found.frees_bytes == pytest.approx(2 * 95.2 * MIB, abs=2)


def test_the_reserve_can_be_named() -> None:
    row = service([95.2] * 5, 497.3, 400)
    assert _target.decide(row, host(), [row], {}, reserve_pct=1).workers == 3
    assert _target.decide(row, host(), [row], {}, reserve_pct=50).workers == 1


def test_no_count_is_raised_and_that_is_said() -> None:
    row = service([50] * 3, 170, 1000)
    found = _target.decide(row, host(), [row], {})
    assert (found.workers, found.lowers) == (3, False)
    assert "nothing is raised" in str(found.says)


def test_one_worker_is_kept_where_none_fits() -> None:
    row = service([300] * 2, 620, 250)
    found = _target.decide(row, host(), [row], {})
    assert (found.workers, found.lowers) == (1, True)
    assert "not even one" in str(found.says)


def test_a_wide_spread_counts_the_large_ones() -> None:
    sizes = [40] * 6 + [200] * 4
    row = service(sizes, sum(sizes) + 20, 900)
    found = _target.decide(row, host(), [row], {})
    # the median is 40: by it the ten that there are would fit
    assert found.workers == int((900 - 20 - 90) // 200) == 3
    assert "large worker" in found.formula and "spread 400 %" in found.formula


def test_a_small_spread_counts_the_median() -> None:
    row = service([100, 100, 100, 120], 440, 400)
    assert "100.0 MiB PSS per worker" in _target.decide(row, host(), [row], {}).formula


def test_between_two_restarts_the_kernels_lines_speak() -> None:
    row = service([], 0, 671, state="restarting", processes=0, settings={"workers": {"value": 8, "reason": None}})
    row["memory"]["bytes"] = None
    found = _target.decide(row, host(), [row], kills(1, 80))
    # 671 - 80 for the main process - 134.2 of reserve
    assert found.workers == int((671 - 80 - 134.2) // 80) == 5
    assert found.present == 8
    assert "when killed (1 kill)" in found.formula and "main process" in found.formula


def test_workers_killed_at_a_size_that_they_have_not_reached_again() -> None:
    row = service([60] * 7, 445, 640, settings={"workers": {"value": 7, "reason": None}})
    assert _target.decide(row, host(), [row], {}).workers == 7
    found = _target.decide(row, host(), [row], kills(6, 90))
    assert found.workers == int((640 - 25 - 128) // 90) == 5
    assert "6 kills" in found.formula


def test_what_workers_share_is_no_part_of_what_a_victim_cost() -> None:
    row = service([30] * 7, 300, 640, settings={"workers": {"value": 7, "reason": None}})
    for worker in row["workers"]:
        worker["rss_bytes"] = 90 * MIB
    found = _target.decide(row, host(), [row], kills(6, 150))
    # 150 less the 60 that the living have resident and do not pay for; 90 of the service are not its workers'
    assert found.workers == int((640 - 90 - 128) // 90) == 4
    assert "less 60.0 MiB that workers share" in found.formula


def test_a_size_at_which_not_even_one_fits_is_said() -> None:
    row = service([], 0, 400, state="restarting", processes=0, settings={"workers": {"value": 8, "reason": None}})
    found = _target.decide(row, host(), [row], kills(2, 350))
    assert (found.workers, found.lowers) == (1, True) and "not their number" in str(found.says)


def test_one_that_took_half_of_everything_is_no_measure_of_the_others() -> None:
    row = service([60] * 4, 260, 640)
    assert _target.decide(row, host(), [row], kills(1, 400)).workers == 4


def test_a_limit_that_is_shared_counts_the_neighbours() -> None:
    row = service([100] * 5, 520, 1000)
    row["memory"]["limit_source"] = "/system.slice"
    beside = {"id": "other", "cgroup": "/system.slice/other.service", "memory": {"bytes": 300 * MIB}, "processes": 1}
    apart = {"id": "apart", "cgroup": "/user.slice/x", "memory": {"bytes": 9000 * MIB}, "processes": 1}
    found = _target.decide(row, host(), [row, beside, apart], {})
    assert found.workers == int((1000 - 20 - 300 - 200) // 100) == 4
    beside["memory"] = {"bytes": None}
    with pytest.raises(Refused, match="other, whose memory was not measured"):
        _target.decide(row, host(), [row, beside, apart], {})


def test_programs_of_a_supervisor_are_not_counted_twice() -> None:
    shared = {"limit_bytes": 1000 * MIB, "limit_source": "/system.slice/supervisor.service", "source": "pss"}
    row = service([100] * 5, 520, manager="supervisor", cgroup="/system.slice/supervisor.service")
    row["memory"].update(shared)
    beside = {"id": "supervisor:other", "cgroup": "/system.slice/supervisor.service", "memory": dict(shared, bytes=250 * MIB), "processes": 2}
    daemon = {"id": "supervisor.service", "cgroup": "/system.slice/supervisor.service", "memory": {"bytes": 800 * MIB, "source": "cgroup"}, "processes": 1}
    found = _target.decide(row, host(), [row, beside, daemon], {})
    # 800 in all, 500 of them the workers': 300 are not
    assert found.formula.startswith("floor((1000.0 MiB limit of /system.slice/supervisor.service - 300.0 MiB other and neighbours - 200.0 MiB reserve)")


def test_without_a_limit_the_host_is_what_binds() -> None:
    row = service([400] * 9, 3700)
    found = _target.decide(row, host(4000, 100), [row], {})
    # 3900 of 4000 are in use, 3600 by the workers; 400 are kept free
    assert found.workers == int((4000 - 300 - 800) // 400) == 7
    assert "memory of the host" in found.formula


def test_by_cpus_the_quota_counts_where_it_is_less() -> None:
    row = service([50] * 12, 620)
    assert _target.decide(row, host(), [row], {}, "cpu").formula == "floor(2 usable CPUs x 2 workers per CPU) = 4"
    row["cpu"]["quota"] = 1.5
    found = _target.decide(row, host(), [row], {}, "cpu", cpu_factor=1)
    assert (found.workers, found.basis) == (1, "cpu")
    assert found.formula == "floor(1.5 CPUs of its quota x 1 workers per CPU) = 1"


@pytest.mark.parametrize("change, words", [
    (lambda row, machine: machine["cpu"].update(usable=None), "usable CPUs was not measured"),
    (lambda row, machine: machine["memory"].update(available_bytes=None), "host's memory was not measured"),
    (lambda row, machine: row.update(worker_summary=None, workers=[], settings=None), "number of workers"),
    (lambda row, machine: row.update(worker_summary=None, workers=[]), "size of a worker"),
    (lambda row, machine: row["memory"].update(bytes=None, limit_bytes=MIB, limit_source="service"), "memory that unit-3.service uses"),
])
def test_what_was_not_measured_is_refused_by_name(change: t.Callable[[t.Any, t.Any], None], words: str) -> None:
    row, machine = service([100] * 3, 320), host()
    change(row, machine)
    with pytest.raises(Refused, match=words):
        _target.decide(row, machine, [row], {}, "cpu" if "CPUs" in words else "auto")


def test_a_computed_number_is_said_to_be_so() -> None:
    row = service([], 0, 400, state="restarting", processes=0, settings={"workers": {"value": None, "reason": "computed"}})
    with pytest.raises(Refused, match=r"\(computed\)"):
        _target.decide(row, host(), [row], kills(1, 80))


def test_what_a_person_asks_for_is_never_more_than_there_is() -> None:
    row = service([100] * 5, 520, 600)
    assert _target.explicit(row, 3, False)[:3] == (3, 5, "explicit")
    assert not _target.explicit(row, 5, False).lowers
    with pytest.raises(Refused, match="would raise that"):
        _target.explicit(row, 6, False)
    with pytest.raises(Refused, match="at least one"):
        _target.explicit(row, 0, False)


def test_laws_over_random_services() -> None:
    seed = random.SystemRandom().randrange(10**9)
    print("seed", seed)
    draw = random.Random(seed)
    for dummy in range(2000):
        sizes = [draw.uniform(5, 900) for each in range(draw.randint(1, 40))]
        row = service(sizes, sum(sizes) + draw.uniform(0, 300), draw.choice([None, draw.uniform(100, 9000)]))
        machine = host(draw.uniform(2000, 64000), draw.uniform(10, 2000), draw.uniform(0.1, 64))
        seen = copy.deepcopy((row, machine))
        found = _target.decide(row, machine, [row], draw.choice([{}, kills(draw.randint(1, 9), draw.uniform(5, 900))]), draw.choice(["auto", "cpu"]))
        assert 1 <= found.workers <= found.present == len(sizes)
        assert found.lowers == (found.workers < found.present)
        # the text holds the sum that was done
        end = int(found.formula.rpartition("= ")[2])
        assert found.workers == max(1, min(end, found.present))
        match = re.match(r"floor\(\(([-\d.]+) MiB [^-]*- ([-\d.]+) MiB [^-]*- ([-\d.]+) MiB reserve\) / ([-\d.]+) MiB", found.formula)
        if found.basis == "memory":
            limit, other, reserve, each = (float(part) for part in match.groups())
            assert abs((limit - other - reserve) / each - end) < 1.05
        assert (row, machine) == seen
