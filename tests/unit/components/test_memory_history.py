# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The collector of memory over time, on a host made of files: histories of a recorder, of sysstat, and none."""

from __future__ import annotations

import json
import os
import typing as t
from pathlib import Path

import jsonschema
import pytest

from ansible_collections.oncall.pressure.plugins.module_utils._components import _footprint, _log_growth, _memory_history, _snapshot
from ansible_collections.oncall.pressure.plugins.module_utils._components._footprint import Earlier
from ansible_collections.oncall.pressure.plugins.module_utils._host._collect import Options
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine
from ansible_collections.oncall.pressure.plugins.module_utils._parse._memory_history import COARSE, FINE, OLDER, Row, Sample, line

ROOT = Path(__file__).resolve().parents[3]
SADF = (ROOT / "tests/unit/recordings/memory/sysstat-12.6.1.json").read_text(encoding="ascii")
SECTION = json.loads((ROOT / "roles/diagnose/files/schemas/snapshot.json").read_text(encoding="utf-8"))["$defs"]["snapshot"]["properties"]["memory_history"]
NOW = 1795851300.0
UP = 800000.0
MIB = 1048576


class Host:
    """A recording that is written by hand."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.commands: dict[str, t.Any] = {}
        self.euid = os.getuid()
        self.file("/proc/uptime", "%.2f 100.00\n" % UP)
        self.file("/proc/meminfo", "MemTotal:       24000000 kB\nMemAvailable:   20000000 kB\nSwapTotal: 100 kB\nSwapFree: 90 kB\n")
        self.file("/proc/sys/kernel/random/boot_id", "418295d4-ce87-41b4-a0a8-bb4e5cbb0a4f\n")

    def file(self, path: str, text: str, changed: float = NOW) -> None:
        place = self.folder / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text, encoding="utf-8")
        os.utime(place, (changed, changed))

    def process(self, pid: int, start_ticks: int) -> None:
        self.file("/proc/%d/stat" % pid, "%d (gunicorn) S 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 %d 0 0 0\n" % (pid, start_ticks))
        self.file("/proc/%d/status" % pid, "SigCgt:\t0000000000000001\n")

    def collect(self, **options: t.Any) -> t.Any:
        (self.folder / "commands.json").write_text(json.dumps({"now": NOW, "euid": self.euid, "commands": self.commands}), encoding="utf-8")
        reading = _memory_history.collect(Machine(str(self.folder)), Options(**options))
        if reading.data is not None:
            jsonschema.validate(reading.data, SECTION)
        return reading

    def sources(self, reading: t.Any) -> dict[str, t.Any]:
        return {row["kind"]: row for row in reading.data["sources"]}


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def sample(age_s: float, boot: str = "418295d4ce87", **more: t.Any) -> str:
    size = int(1000 * MIB - age_s * 1024)
    workers = ((11, 100, size // 2), (12, 200, size // 4))
    rows = (Row("shop-web.service", size, 0.5, 2, size * 3 // 4, size // 2, size // 4, workers), Row("redis.service", 50 * MIB, 0.1))
    whole = Sample(NOW - age_s, UP - age_s, boot, 5 * MIB, 7 * MIB, 0, 2.0, rows)
    return line(whole._replace(**more)) + "\n"


def history(newest_s: float, every_s: float, number: int) -> str:
    return "".join(sample(newest_s + every_s * turn) for turn in range(number - 1, -1, -1))


def test_nothing_is_recorded(host: Host) -> None:
    assert host.collect()[:2] == ("absent", "nothing is recorded here (role recorder, sysstat), and no longer window was asked for (pressure_memory_window)")


def test_a_host_without_one_imports_nothing(host: Host) -> None:
    host.collect()
    reading = _snapshot._memory_history(Machine(str(host.folder)), Options())
    assert reading.status == "absent" and reading.data is None
    # whatever says that there is one is looked into
    host.file(_memory_history.TIMER, "")
    assert _snapshot._memory_history(Machine(str(host.folder)), Options()).status in ("denied", "error")


def test_the_snapshot_looks_where_the_collector_reads() -> None:
    assert set(_snapshot._HISTORIES) == {_memory_history.TIMER, FINE.rpartition("/")[0], *_memory_history.SYSSTAT}


def test_what_the_recorder_kept(host: Host) -> None:
    host.file(FINE, history(10.0, 60.0, 360))
    host.file(COARSE, history(610.0, 600.0, 1000))
    host.process(11, 100)
    host.process(12, 999)
    reading = host.collect()
    assert reading[:2] == ("ok", None)
    assert host.sources(reading)["recorder"] == {
        "kind": "recorder", "status": "ok", "reason": None, "every_s": 60.0, "covered_s": 85800.0, "samples": 360 + 108}
    web, redis = reading.data["services"]
    assert [(service["id"], service["source"]) for service in (web, redis)] == [("shop-web.service", "recorder"), ("redis.service", "recorder")]
    ages = [point["age_s"] for point in web["points"]]
    assert ages == sorted(ages, reverse=True) and ages[-1] == 10.0 and 85000 < ages[0] <= 86400 and 80 <= len(ages) <= 96
    assert web["points"][-1] == {
        "age_s": 10.0, "bytes": 1000 * MIB - 10240, "workers": 2, "worker_bytes": (1000 * MIB - 10240) * 3 // 4, "largest_bytes": (1000 * MIB - 10240) // 2,
        "median_bytes": (1000 * MIB - 10240) // 4, "cpu_used": 0.5, "requests_per_s": 2.0, "tasks_per_s": None}
    assert 800 <= web["every_s"] <= 1000
    # process 12 has the number of a worker that is gone
    assert [(worker["pid"], worker["started_age_s"]) for worker in web["workers"]] == [(11, UP - 100 / os.sysconf("SC_CLK_TCK"))]
    assert len(web["workers"][0]["points"]) <= 48 and web["workers"][0]["points"][-1] == [10.0, (1000 * MIB - 10240) // 2]
    assert len(redis["points"]) <= 48 and redis["workers"] == [] and redis["points"][-1]["workers"] is None
    assert len(reading.data["host"]) <= 96 and reading.data["host"][-1] == {
        "age_s": 10.0, "used_bytes": 5 * MIB, "available_bytes": 7 * MIB, "swap_used_bytes": 0}


def test_a_week_where_it_is_asked_for(host: Host) -> None:
    host.file(FINE, history(10.0, 60.0, 10))
    host.file(FINE + OLDER, history(610.0, 60.0, 360))
    host.file(COARSE, history(610.0, 600.0, 400))
    host.file(COARSE + OLDER, history(240610.0, 600.0, 600))
    reading = host.collect(memory_history_s=604800.0)
    assert reading.status == "ok" and reading.data["services"][0]["points"][0]["age_s"] > 590000.0
    assert host.sources(reading)["recorder"]["samples"] == 370 + 1000 - 36


def test_torn_and_strange_lines_are_lost_alone(host: Host) -> None:
    good = history(10.0, 60.0, 50)
    host.file(FINE, sample(4000.0)[:200] + "\n" + good[:-30])
    reading = host.collect()
    # the last line is torn; a line that begins well and ends torn counts as seen, and is told nowhere
    assert reading.status == "ok" and reading.data["services"][0]["points"][-1]["age_s"] == 70.0
    host.file(FINE, "rubbish\n" * 20 + good)
    reading = host.collect()
    assert reading.status == "partial" and "20 of 70 lines are none of its own" in reading.reason and len(reading.data["services"]) == 2


@pytest.mark.parametrize("content", ["\0" * 100000, "{" * 3000000, "\n" * 100000, '{"v":1,"t":1,"b":1,"i":"418295d4ce87",' * 1000])
def test_rubbish_is_no_history(host: Host, content: str) -> None:
    host.file(FINE, content)
    host.file(_memory_history.TIMER, "")
    host.euid = 0
    reading = host.collect()
    assert reading.status == "error" and "has kept nothing" in reading.reason


def test_samples_of_another_time(host: Host) -> None:
    future = sample(100.0, at_s=NOW + 1e6, boot="aaaa") + sample(100.0, at_s=NOW - 100.0, boot="aaaa")
    host.file(FINE, future + sample(UP + 500.0, boot="bbbb", up_s=70.0) + history(5.0, 60.0, 60))
    reading = host.collect(memory_history_s=1e6)
    # of a boot before this one, by the wall clock; those that cannot have been are passed over
    assert [round(point["age_s"]) for point in reading.data["services"][0]["points"]][:2] == [800500, 3545]


def test_a_clock_that_was_set_back(host: Host) -> None:
    host.file(FINE, "".join(sample(age, at_s=NOW + 7200.0 - age) for age in (180.0, 120.0, 60.0)))
    assert [point["age_s"] for point in host.collect().data["services"][0]["points"]] == [180.0, 120.0, 60.0]


def test_a_recorder_that_stopped(host: Host) -> None:
    host.file(FINE, history(4000.0, 60.0, 60))
    reading = host.collect()
    assert reading.status == "partial" and "its last sample is 4000 s old" in reading.reason


def test_a_recorder_that_may_not_be_read(host: Host) -> None:
    host.file(_memory_history.TIMER, "")
    host.euid = 1000
    reading = host.collect()
    assert reading[:2] == ("denied", "recorder: what the recorder kept is read as root (become)") and reading.data is None


def test_what_sysstat_kept(host: Host) -> None:
    path = "/var/log/sysstat/sa28"
    host.file(path, "binary")
    host.file("/var/log/sysstat/sa01", "old", NOW - 1e6)
    host.file("/var/log/sysstat/sar28", "a report")
    host.commands["sadf -j %s -- -r -S" % path] = {"status": 0, "out": SADF}
    reading = host.collect()
    assert reading[:2] == ("ok", None)
    assert reading.data["services"] == [] and reading.data["host"][0] == {
        "age_s": 6.0, "used_bytes": (24000000 - 22729572) * 1024, "available_bytes": 22729572 * 1024, "swap_used_bytes": 0}
    assert host.sources(reading)["sysstat"] == {"kind": "sysstat", "status": "ok", "reason": None, "every_s": 1.0, "covered_s": 2.0, "samples": 3}
    # what the recorder says of the host is of every minute
    host.file(FINE, history(10.0, 60.0, 30))
    assert len(host.collect().data["host"]) == 30


@pytest.mark.parametrize("command, status, words", [
    (None, "error", "there is no sadf"), ({"status": 0, "out": "rubbish"}, "error", "was not understood"),
    ({"status": 3, "out": "", "err": "Invalid system activity file: /var/log/sysstat/sa28\n"}, "error", "Invalid system activity file"),
    ({"status": 2, "out": "", "err": "Cannot open /var/log/sysstat/sa28: Permission denied\n"}, "denied", "Permission denied"),
    ({"status": 0, "out": json.dumps({"sysstat": {"hosts": []}})}, "absent", "nothing is recorded"),
])
def test_sysstat_that_cannot_be_read(host: Host, command: t.Any, status: str, words: str) -> None:
    host.file("/var/log/sysstat/sa28", "binary")
    if command is not None:
        host.commands["sadf -j /var/log/sysstat/sa28 -- -r -S"] = command
    reading = host.collect()
    assert reading.status == status and words in reading.reason


def test_a_sysstat_file_of_others_is_not_given_to_a_program(host: Host) -> None:
    host.file("/var/log/sa/sa28", "binary")
    (host.folder / "var/log/sa/sa28").chmod(0o666)
    reading = host.collect()
    assert reading.status == "denied" and "/var/log/sa/sa28 may be written by others than root" in reading.reason


def test_a_longer_window(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Earlier | None] = []

    def look(machine: Machine, own: t.AbstractSet[int], before: Earlier | None) -> tuple[Sample, Earlier]:
        seen.append(before)
        rows = (Row("shop-web.service", (100 + len(seen)) * MIB, 0.1, 1, MIB, MIB, MIB, ((11, 100, len(seen)),)),)
        return Sample(NOW, UP, "418295d4ce87", 1, 2, None, None, rows), Earlier(float(len(seen)), {}, {})

    monkeypatch.setattr(_footprint, "look", look)
    host.process(11, 100)
    reading = host.collect(memory_window_s=20.0)
    assert host.sources(reading)["window"] == {"kind": "window", "status": "ok", "reason": None, "every_s": 2.0, "covered_s": 20.0, "samples": 11}
    service = reading.data["services"][0]
    assert service["source"] == "window" and [point["age_s"] for point in service["points"]] == [20.0 - 2 * turn for turn in range(11)]
    assert service["points"][-1]["bytes"] == 111 * MIB and service["workers"][0]["points"][0] == [20.0, 1]
    assert seen[0] is None and seen[-1] == Earlier(10.0, {}, {}) and len(reading.data["host"]) == 11
    # however long it is, there are not more
    seen.clear()
    assert host.sources(host.collect(memory_window_s=600.0))["window"]["samples"] == 61
    # one that was recorded too stands twice
    host.file(FINE, history(10.0, 60.0, 30))
    assert [row["source"] for row in host.collect(memory_window_s=20.0).data["services"] if row["id"] == "shop-web.service"] == ["recorder", "window"]


def test_lines_that_were_added_to_logs(tmp_path: Path) -> None:
    host = Host(tmp_path)
    host.collect()
    access, error = tmp_path / "log" / "access.log", tmp_path / "log" / "error.log"
    access.parent.mkdir()
    access.write_bytes(b"a\n" * 5)
    error.write_bytes(b"e\n" * 50)
    fds = tmp_path / "proc/77/fd"
    fds.mkdir(parents=True)
    (fds / "4").symlink_to(access)
    (fds / "5").symlink_to(error)
    machine = Machine(str(tmp_path))
    lines, places = _log_growth.look(machine, [77], {})
    assert lines is None and list(places) == [str(access)]
    with access.open("ab") as stream:
        stream.write(b"b\n" * 7)
    lines, places = _log_growth.look(machine, [77], places)
    assert lines == 7
    # emptied, then rotated
    access.write_bytes(b"c\n" * 3)
    lines, places = _log_growth.look(machine, [77], places)
    assert lines == 3
    access.rename(tmp_path / "log" / "access.log.1")
    access.write_bytes(b"d\n" * 4)
    lines, places = _log_growth.look(machine, [77], places)
    assert lines == 4
    with access.open("ab") as stream:
        stream.truncate(_log_growth.BYTES_LIMIT + 100)
    assert _log_growth.look(machine, [77], places)[0] is None
    assert _log_growth.look(machine, [], places) == (None, {})
