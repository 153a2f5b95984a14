# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The runner on the project's own samples: what can be limited is, everything else is refused for its reason."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Dict, List

HERE = Path(__file__).resolve().parent

#: What must come of the first path of each, and a part of what is said.
EXPECTED = {
    "site_of_a_framework": ("limited", ""),
    "location_with_its_own_limit": ("limited", ""),
    "several_servers": ("limited", ""),
    "nothing_is_included": ("refused", "(lines by hand are valid) no folder is included"),
    "everybody_is_believed": ("refused", "trusts everybody"),
    "settings_of_maps_come_late": ("refused", "must stand before the first map"),
    "rewritten_before": ("put back", "not seen at work"),
    "invalid_already": ("unloadable", "unknown directive"),
}


def test_own_samples(tmp_path: Path) -> None:
    said = subprocess.run([str(HERE / "run"), str(HERE / "recordings"), "--json", str(tmp_path / "rows.json")],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    assert said.returncode == 0, said.stdout
    rows: Dict[str, List[Dict[str, str]]] = {}
    for row in json.loads((tmp_path / "rows.json").read_text(encoding="utf-8"))["rows"]:
        rows.setdefault(row["id"], []).append(row)
    assert sorted(rows) == sorted(EXPECTED), said.stdout
    for name, (outcome, text) in EXPECTED.items():
        assert rows[name][0]["outcome"] == outcome and text in rows[name][0]["detail"], rows[name]
    own = rows["location_with_its_own_limit"][1]
    assert own["outcome"] == "refused" and "(lines by hand are valid)" in own["detail"] and "limit of its own" in own["detail"]


def test_nothing_to_try_is_said(tmp_path: Path) -> None:
    said = subprocess.run([str(HERE / "run"), str(tmp_path)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    assert said.returncode == 2 and "configs" in said.stdout
