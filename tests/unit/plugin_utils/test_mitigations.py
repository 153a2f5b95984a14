# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What mitigations declare of themselves, and what is said of a declaration that cannot be used."""

from __future__ import annotations

from pathlib import Path

import plans
import pytest
from ansible_collections.oncall.pressure.plugins.plugin_utils._located import BadFile
from ansible_collections.oncall.pressure.plugins.plugin_utils._mitigations import load_mitigations

GOOD = (plans.ROOT / "roles" / "lower_workers" / "meta" / "mitigation.yml").read_text(encoding="utf-8")


def written(tmp_path: Path, text: str, role: str = "lower_workers") -> str:
    path = tmp_path / role / "meta" / "mitigation.yml"
    path.parent.mkdir(parents=True)
    path.write_text(text, encoding="utf-8")
    (tmp_path / "no_mitigation" / "tasks").mkdir(parents=True)
    return str(tmp_path)


def test_those_of_the_collection() -> None:
    assert {"lower_workers", "pause_jobs", "limit_requests", "recycle_workers", "restart_service"} <= set(plans.DECLARED)
    restart = plans.DECLARED["restart_service"]
    assert (restart.disruption, restart.loses_work, restart.evidence_first, restart.variables) == ("high", True, True, {"pressure_service"})


def test_a_step_gives_what_comes_from_a_verdict_and_nothing_that_is_computed_on_the_host(tmp_path: Path) -> None:
    found = load_mitigations(written(tmp_path, GOOD))
    assert set(found) == {"lower_workers"} and found["lower_workers"].variables == {"pressure_service", "pressure_basis"}


@pytest.mark.parametrize("old,new,says", [
    ("rung: 1\n", "rung: 9\n", ":8: rung must be from 1 to 7"),
    ("rung: 1\n", "rung: true\n", ":8: rung must be a whole number"),
    ("disruption: low", "disruption: some", "disruption must be one of none, low, medium, high"),
    ("reversible: fully", "reversible: perhaps", "reversible must be one of fully, partly, no"),
    ("automatic: true", "automatic: yes please", "automatic must be true or false"),
    ("automatic: true\n", "", "automatic is missing"),
    ("rung: 1\n", "rung: 1\nspeed: 3\n", ":9: unknown word speed"),
    ("id: lower_workers", "id: raise_workers", "it is called raise_workers, and its role lower_workers"),
])
def test_a_mistake_is_named_by_its_line(tmp_path: Path, old: str, new: str, says: str) -> None:
    assert old in GOOD
    with pytest.raises(BadFile) as problem:
        load_mitigations(written(tmp_path, GOOD.replace(old, new)))
    assert says in str(problem.value) and "mitigation.yml:" in str(problem.value)


def test_a_declaration_that_is_no_mapping(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match="a declaration is a mapping"):
        load_mitigations(written(tmp_path, "- lower_workers\n"))
