# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs of jobs out of what cron writes: recorded of cron 3.0pl1-162 (Debian 12) at its log level as it comes and at 15; cronie by its source."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.oncall.pressure.plugins.module_utils._parse import _cron_log, _log_time
from ansible_collections.oncall.pressure.plugins.module_utils._parse._cron_log import Line, Ran

RECORDED = Path(__file__).resolve().parents[1] / "recordings" / "jobs" / "debian-12"
NOW = 1795852800.0


def recorded(name: str) -> list[Line]:
    return _cron_log.lines_of((RECORDED / name).read_text(encoding="utf-8"), lambda line: _log_time.moment(line, NOW, 0.0))


def test_at_level_15_each_line_is_of_its_session() -> None:
    found = _cron_log.runs(recorded("cron-level-15.log"))
    assert len(found) == 9 and set(found) == {
        Ran("nobody", "sleep 3; true", 3.0), Ran("root", "cd / && run-parts --report /etc/cron.hourly", 0.0),
        Ran("root", "sleep 7 && echo 100%done > /dev/null", 7.0)}


def test_sessions_that_cannot_be_told_apart_tell_nothing() -> None:
    # two of root's begin in one second: only the one of another user is known
    assert _cron_log.runs(recorded("cron-level-1.log")) == [Ran("nobody", "sleep 3; true", 3.0)]


def test_the_kernels_number_tells_them_apart() -> None:
    # the same lines as journald has them, where the session of each process is noted
    numbers = {22120: "7", 22124: "7", 22122: "8", 22123: "8", 22121: "9", 22126: "9"}
    lines = [line._replace(session=numbers.get(line.pid, "")) for line in recorded("cron-level-1.log") if "opened" not in line.text]
    lines = [line for line in recorded("cron-level-1.log") if "opened" in line.text] + lines
    assert sorted((run.command, run.seconds) for run in _cron_log.runs(lines)) == [
        ("cd / && run-parts --report /etc/cron.hourly", 0.0), ("sleep 3; true", 3.0), ("sleep 7 && echo 100%done > /dev/null", 7.0)]


def opened(at: float, pid: int, user: str = "me") -> Line:
    return Line(at, pid, "pam_unix(cron:session): session opened for user %s(uid=1000) by (uid=0)" % user)


def closed(at: float, pid: int, user: str = "me") -> Line:
    return Line(at, pid, "pam_unix(cron:session): session closed for user " + user)


def test_jobs_that_began_together_and_took_about_the_same_are_told() -> None:
    lines = [opened(60, 10), opened(60, 11), Line(60, 12, "(me) CMD (one)"), Line(60, 13, "(me) CMD (two)"), closed(70, 11), closed(71, 10)]
    assert sorted(_cron_log.runs(lines)) == [Ran("me", "one", 10.0), Ran("me", "two", 11.0)]


def test_a_session_that_is_not_closed_is_no_run() -> None:
    assert _cron_log.runs([opened(60, 10), Line(60, 12, "(me) CMD (one)")]) == []


def test_a_number_that_is_used_again_is_another_session() -> None:
    lines = [opened(60, 10), Line(60, 11, "(me) CMD (one)"), opened(9000, 10), Line(9000, 11, "(me) CMD (two)"), closed(9005, 10)]
    assert _cron_log.runs(lines) == [Ran("me", "two", 5.0)]


def test_cronie_tells_the_end_as_the_parent() -> None:
    lines = [Line(1, 4113, "(root) CMD (run-parts /etc/cron.hourly)"), Line(1, 4115, "(root) CMD (run-parts /etc/cron.hourly)"),
             Line(4, 4112, "(root) CMDEND (run-parts /etc/cron.hourly)"), Line(9, 4114, "(root) CMDEND (run-parts /etc/cron.hourly)")]
    assert [run.seconds for run in _cron_log.runs(lines)] == [3.0, 8.0]


def test_lines_of_both_forms_of_a_syslog_file() -> None:
    text = ("Nov 28 07:36:01 web-3 CRON[22124]: (root) CMD (  x )\n2026-11-28T07:36:02.5+00:00 web-3 CROND[7]: (root) CMDEND (y)\n"
            "Nov 28 07:36:03 web-3 sshd[8]: CRON[1]: (root) CMD (z)\n")
    found = _cron_log.lines_of(text, lambda line: _log_time.moment(line, NOW, 0.0))
    assert [(line.at, line.pid, line.text) for line in found] == [(1795851361.0, 22124, "(root) CMD (  x )"), (1795851362.5, 7, "(root) CMDEND (y)")]


def test_what_is_open_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_cron_log, "_OPEN", 10)
    lines = [opened(1, pid) for pid in range(100, 20000, 100)] + [Line(1, 19901, "(me) CMD (last)"), closed(5, 19900), closed(5, 100)]
    assert _cron_log.runs(lines) == [Ran("me", "last", 4.0)]


def test_units() -> None:
    good, bad = _cron_log.ENDED
    events = [(1.0, "a.service", good), (2.0, "a.service", _cron_log.STARTING), (3.0, "b.service", _cron_log.STARTING), (5.0, "a.service", good),
              (6.0, "b.service", "x"), (9.0, "b.service", bad), (10.0, "b.service", good)]
    assert _cron_log.unit_runs(events) == {"a.service": [3.0], "b.service": [6.0]}


@settings(max_examples=300, deadline=None)
@given(st.lists(st.builds(
    Line, st.floats(0, 1e6), st.integers(0, 99), st.sampled_from([
        opened(0, 0).text, closed(0, 0).text, opened(0, 0, "you").text, "(me) CMD (a)", "(me) CMD ([7] a)", "(me) CMDEND (a)", "(me) END (b)", "(you) CMD (b)"])
    | st.text(max_size=60), st.sampled_from(["", "1", "2"])), max_size=60))
def test_any_lines_in_order_give_runs_that_took_no_less_than_nothing(lines: list[Line]) -> None:
    for run in _cron_log.runs(sorted(lines)):
        assert run.seconds >= 0 and run.user in ("me", "you") or run.command not in ("a", "b")


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=300))
def test_any_text_is_read_as_a_file(text: str) -> None:
    assert _cron_log.runs(_cron_log.lines_of(text, lambda line: _log_time.moment(line, NOW, 0.0))) == []
