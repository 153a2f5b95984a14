# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Crontabs: read as cron reads them, paused and resumed byte for byte."""

from __future__ import annotations

import datetime
import random
from typing import List

import pytest
from ansible_collections.oncall.pressure.plugins.module_utils._parse import _crontab

SYSTEM = b"""# a comment\r
SHELL=/bin/bash
MAILTO = "ops"

*/5 * * * * root  /usr/bin/backup "a  b" # not a comment\r
  17 *\t* * *\troot    cd / && run-parts --report /etc/cron.hourly
@daily postgres vacuumdb --all
@reboot root true
61 * * * * root impossible
5 0 * * mon-fri deploy \xff\xfe latin
{% if x %}
* * * * * nocommand
30 2 * * * root last without newline"""


def jobs(data: bytes, system: bool) -> List[_crontab.Line]:
    return [line for line in _crontab.read(data, system) if line.kind == "job"]


def test_every_line_has_its_kind() -> None:
    kinds = [line.kind for line in _crontab.read(SYSTEM, True)]
    assert kinds == ["comment", "variable", "variable", "blank", "job", "job", "job", "job", "unknown", "job", "unknown", "unknown", "job"]


def test_a_job_has_schedule_user_and_command() -> None:
    line = jobs(SYSTEM, True)[1]
    assert (line.number, line.schedule, line.user, line.command) == (6, "17 * * * *", "root", "cd / && run-parts --report /etc/cron.hourly")
    assert SYSTEM[line.start:].startswith(b"  17 *\t")


def test_a_users_crontab_has_no_user() -> None:
    line = jobs(b"*/5 * * * * root backup\n", False)[0]
    assert (line.user, line.command) == (None, "root backup")


@pytest.mark.parametrize("seed", range(20))
def test_pausing_changes_the_named_lines_and_resuming_gives_the_same_bytes(seed: int) -> None:
    draw = random.Random(seed)
    chosen = {line.number for line in jobs(SYSTEM, True) if draw.random() < 0.5}
    paused = _crontab.pause(SYSTEM, chosen, True)
    assert {line.number for line in _crontab.read(paused, True) if line.kind == "paused"} == chosen
    assert {line.number for line in jobs(paused, True)} == {line.number for line in jobs(SYSTEM, True)} - chosen
    for number, (old, new) in enumerate(zip(SYSTEM.split(b"\n"), paused.split(b"\n")), 1):
        assert new == (_crontab.MARK + old if number in chosen else old)
    assert _crontab.resume(paused) == SYSTEM


def test_pausing_what_is_paused_or_no_job_changes_nothing() -> None:
    paused = _crontab.pause(SYSTEM, {5}, True)
    assert _crontab.pause(paused, {5, 1, 9, 99}, True) == paused


def test_only_the_wanted_lines_are_resumed_whatever_was_added() -> None:
    paused = _crontab.pause(SYSTEM, {5, 7}, True)
    wanted = _crontab.lines_of(SYSTEM, {7})
    moved = b"# somebody was here\n" + paused
    resumed = _crontab.resume(moved, wanted)
    assert resumed == b"# somebody was here\n" + _crontab.pause(SYSTEM, {5}, True)


@pytest.mark.parametrize("data", [b"", b"\n", b"\n\n", b"# x", b"\xff", b"\r\n"])
def test_nothing_to_do_keeps_the_bytes(data: bytes) -> None:
    assert _crontab.pause(data, {1, 2}, True) == data
    assert _crontab.resume(data) == data


@pytest.mark.parametrize(
    "schedule",
    ["60 * * * *", "* 24 * * *", "* * 0 * *", "* * * 13 *", "* * * * 8", "5-1 * * * *", "*/0 * * * *", "a * * * *", "@often", "1,, * * * *"],
)
def test_what_is_no_schedule_is_no_job(schedule: str) -> None:
    assert [line.kind for line in _crontab.read((schedule + " root true\n").encode(), True)] == ["unknown"]


NOW = datetime.datetime(2026, 11, 21, 10, 0, 30)


@pytest.mark.parametrize(
    "schedule,expected",
    [
        ("*/20 * * * *", ["10:20", "10:40", "11:00"]),
        ("@hourly", ["11:00"]),
        ("5-15/5 10 * * *", ["10:05", "10:10", "10:15"]),
        ("30 10 1 * sat", ["10:30"]),
        ("30 10 1 * sun", []),
        ("30 10 21 * sun", ["10:30"]),
        ("30 10 * * 7", []),
        ("0 11 * nov *", ["11:00"]),
        ("0 11 * dec *", []),
    ],
)
def test_when_a_job_is_due(schedule: str, expected: List[str]) -> None:
    found = _crontab.next_runs(schedule, NOW, 3600)
    assert found is not None
    assert ["%02d:%02d" % (moment.hour, moment.minute) for moment in found] == expected


def test_what_runs_at_boot_is_not_due() -> None:
    assert _crontab.next_runs("@reboot", NOW, 1e9) is None


def test_a_job_that_is_never_due_ends_the_search() -> None:
    assert _crontab.next_runs("0 0 31 2 *", NOW, 3 * 366 * 86400) == []
