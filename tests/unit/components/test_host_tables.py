# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The host's own figures where what stands in /proc is not the kernel's."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ansible_collections.oncall.pressure.plugins.module_utils._components import _host_pressure
from ansible_collections.oncall.pressure.plugins.module_utils._host._collect import Options
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine

TABLES = {
    "proc/stat": "cpu  1 2 3 4 5 6 7 8 9 10\ncpu0 1 2 3 4 5 6 7 8 9 10\nctxt 5\n", "proc/loadavg": "0.10 0.20 0.30 1/200 4711\n",
    "proc/meminfo": "MemTotal: 4000 kB\nMemFree: 1000 kB\nMemAvailable: 2000 kB\n", "proc/self/cgroup": "0::/init.scope\n", "proc/1/cgroup": "0::/init.scope\n",
    "proc/uptime": "100.0 50.0\n",
}


@pytest.mark.parametrize("table,text", [("proc/stat", "\x1b[31m\x00=== 9\n"), ("proc/stat", "cpu a b c d e\n"), ("proc/loadavg", "x"), ("proc/stat", "")])
def test_a_table_that_is_none(tmp_path: Path, table: str, text: str) -> None:
    for path, content in {**TABLES, table: text}.items():
        place = tmp_path / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(content, encoding="utf-8")
    (tmp_path / "commands.json").write_text(json.dumps({"now": 1790000000}), encoding="utf-8")
    reading = _host_pressure.collect(Machine(str(tmp_path)), Options(window_s=0.1))
    assert reading.status == "error" and reading.data is None
    assert reading.reason is not None and reading.reason.startswith("a table of /proc was not understood (")
