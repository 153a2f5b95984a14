# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The four checks: each holds, does not, or was not measured."""

from __future__ import annotations

import copy
from typing import Any, Dict, Optional

import pytest
from ansible_collections.oncall.pressure.plugins.plugin_utils import _checks

SERVICES = ["shop.service"]


def well() -> Dict[str, Any]:
    return {
        "collectors": {"services": {"status": "ok"}},
        "host": {"memory": {"used_pct": 60.0}, "cpu": {"used_pct": 30.0}, "sockets": {"listen_overflows_per_s": 0.0}},
        "oom": {"kills": 0},
        "services": [{"id": "shop.service", "state": "running", "main_pid": 7, "restarts": 1}],
        "nginx": {"requests": 100, "status": {"5xx": 1}},
    }


def look(**changes: Any) -> Dict[str, Any]:
    """A look at a host that is well, but for these: ``a__b=value`` sets a below b."""
    snapshot = copy.deepcopy(well())
    for path, value in changes.items():
        place: Any = snapshot
        *way, last = path.split("__")
        for key in way:
            place = place[int(key) if key.isdecimal() else key]
        place[last] = value
    return snapshot


def test_a_host_that_is_well_passes_all_four() -> None:
    found = _checks.checks(well(), well(), SERVICES, None)
    assert tuple(found) == _checks.NAMES
    assert [check.holds for check in found.values()] == [True] * 4


@pytest.mark.parametrize("name,changes,holds", [
    ("under_80_pct", {"host__memory__used_pct": 80.0}, False),
    ("under_80_pct", {"host__cpu__used_pct": 95.0}, False),
    ("under_80_pct", {"host__memory__used_pct": None}, None),
    ("under_80_pct", {"host__cpu__used_pct": None}, None),
    ("no_kills", {"oom__kills": 1}, False),
    ("no_kills", {"oom__kills": None}, None),
    ("stable", {"services__0__state": "restarting"}, False),
    ("stable", {"services__0__main_pid": 8}, False),
    ("stable", {"services__0__restarts": 2}, False),
    ("stable", {"services__0__restarts": None}, True),
    ("stable", {"host__memory__used_pct": 66.0}, False),
    ("stable", {"host__memory__used_pct": 64.0}, True),
    ("stable", {"services": []}, False),
    ("stable", {"services": [], "collectors__services__status": "partial"}, None),
    ("responsive", {"host__sockets__listen_overflows_per_s": 2.0}, False),
    ("responsive", {"nginx__status": {"5xx": 50}}, False),
    ("responsive", {"nginx": None}, True),
    ("responsive", {"nginx": None, "services__0__state": "stopped"}, False),
    ("responsive", {"nginx": {"requests": 3, "status": {"5xx": 3}}}, True),
])
def test_what_speaks_against_it(name: str, changes: Dict[str, Any], holds: Optional[bool]) -> None:
    found = _checks.checks(well(), look(**changes), SERVICES, None)
    assert found[name].holds is holds, found[name]
    assert found[name].why


def test_a_probe_outweighs_what_is_inferred() -> None:
    answer = _checks.Check(False, "answers 500")
    assert _checks.checks(None, well(), SERVICES, answer)["responsive"] is answer


def test_a_host_of_which_nothing_is_known_passes_none() -> None:
    found = _checks.checks({}, {}, SERVICES, None)
    assert not [name for name, check in found.items() if check.holds]
