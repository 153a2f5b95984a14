# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What sysstat itself writes and prints: a file that works, is rubbish, may not be read, belongs to others, and a sadf that gives no answer in time."""

from __future__ import annotations

import os
import subprocess
import typing as t
from pathlib import Path

import pytest

from ansible_collections.oncall.pressure.plugins.module_utils._components import _memory_history
from ansible_collections.oncall.pressure.plugins.module_utils._host._collect import Options, Reading
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine

SADC = next((path for path in ("/usr/lib/sysstat/sadc", "/usr/lib64/sa/sadc", "/usr/lib/sa/sadc") if os.path.exists(path)), None)

pytestmark = pytest.mark.skipif(SADC is None, reason="there is no sysstat here: apt-get install sysstat")


class _Whole(t.NamedTuple):
    kind: str = "machine"


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A daily file with three records of this machine, where the collector looks for it."""
    folder = tmp_path / "sysstat"
    folder.mkdir(mode=0o755)
    path = folder / "sa28"
    subprocess.run([str(SADC), "1", "4", str(path)], check=True, timeout=60)
    monkeypatch.setattr(_memory_history, "SYSSTAT", (str(folder),))
    # a host of the tests may be a container, whose machine's memory would not be told
    monkeypatch.setattr(_memory_history, "own_root", lambda machine: _Whole())
    monkeypatch.setattr(_memory_history, "FINE", "/nowhere/samples")
    monkeypatch.setattr(_memory_history, "COARSE", "/nowhere/means")
    monkeypatch.setattr(_memory_history, "TIMER", "/nowhere/timer")
    return path


def collect() -> Reading:
    return _memory_history.collect(Machine(), Options())


def test_what_it_recorded_is_told(kept: Path) -> None:
    reading = collect()
    assert reading[:2] == ("ok", None)
    rows = reading.data["host"]
    assert 2 <= len(rows) <= 4 and [row["age_s"] for row in rows] == sorted((row["age_s"] for row in rows), reverse=True)
    with open("/proc/meminfo", encoding="ascii") as stream:
        info = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in stream}
    # the same figures as the kernel's own, a moment later
    assert all(abs(row["available_bytes"] - info["MemAvailable"]) < info["MemTotal"] / 4 and row["age_s"] < 300 for row in rows)
    assert all(row["used_bytes"] + row["available_bytes"] == info["MemTotal"] and row["swap_used_bytes"] is not None for row in rows)


def test_rubbish_is_said(kept: Path) -> None:
    kept.write_bytes(os.urandom(20000))
    reading = collect()
    assert reading.status == "error" and "Invalid system activity file" in str(reading.reason)


def test_half_a_file_is_no_end_of_the_other_half(kept: Path) -> None:
    data = kept.read_bytes()
    kept.write_bytes(data[: len(data) - 100])
    reading = collect()
    assert reading.status in ("ok", "partial", "error") and (reading.data is None or reading.data["host"])


def test_a_file_of_others_is_not_read(kept: Path) -> None:
    kept.chmod(0o666)
    reading = collect()
    assert reading.status == "denied" and "may be written by others" in str(reading.reason)


def test_no_answer_in_time(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_memory_history, "_SADF_S", 0.0)
    reading = collect()
    assert reading.status == "error" and "did not answer within" in str(reading.reason)


def test_nothing_recorded(kept: Path) -> None:
    kept.unlink()
    assert collect().status == "absent"
