# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Parts of log lines: their time, their shape, entries of the journal's export, and what many lines add up to."""

from __future__ import annotations

import os
import string
import typing as t

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.oncall.pressure.plugins.module_utils._parse import _journal_export, _log_signals, _log_template, _log_time
from ansible_collections.oncall.pressure.plugins.module_utils._parse._log_tally import Tally

EXAMPLES = int(os.environ.get("PRESSURE_FUZZ_EXAMPLES", "300"))

NOW = 1768206601.0 + 60
AT = 1768206601.0  # 2026-01-12T08:30:01Z


# times


@pytest.mark.parametrize("line", [
    "2026-01-12T08:30:01Z ready", "2026-01-12T08:30:01+00:00 ready", "[2026-01-12 08:30:01 +0000] [1] [INFO] ready", "2026-01-12T09:30:01+01:00 ready",
    "2026-01-12 03:30:01-0500 ready", "2026-01-12 08:30:01 UTC [1] LOG:  ready", '192.0.2.7 - - [12/Jan/2026:08:30:01 +0000] "GET /"',
    '{"level": "info", "message": "%s", "timestamp": "2026-01-12T08:30:01Z"}' % ("x" * 900), '{"ts": 1768206601.0, "msg": "a"}', "1768206601.000 ready",
    "app-1  | 2026-01-12T08:30:01Z ready", "time=\"2026-01-12T08:30:01Z\" level=info",
])
def test_times_that_say_their_zone(line: str) -> None:
    assert _log_time.moment(line, NOW, 7200.0) == AT


@pytest.mark.parametrize("line", [
    "2026/01/12 10:30:01 [error] 1#1: ready", "2026-01-12 10:30:01,000 INFO ready", "1:M 12 Jan 2026 10:30:01.000 * Ready",
    "Jan 12 10:30:01 host app[1]: ready",
    "Mon Jan 12 10:30:01 2026 - ready", "2026-01-12 10:30:01.000 CET [1] LOG:  ready", "[2026-01-12 10:30:01,000: INFO/MainProcess] ready",
    "2026-01-12 10:30:01 - 12 ready",
])
def test_times_of_the_host(line: str) -> None:
    assert _log_time.moment(line, NOW, 7200.0) == AT


@pytest.mark.parametrize("line", ["ready", "", "[CRITICAL] WORKER TIMEOUT (pid:1)", "2026-13-42 08:30:01 no", "Foo 12 08:30:01 no", "08:30:01 ready", "1.2.3.4",
                                  "0000-00-00 00:00:00", "x" * 200 + " 2026-01-12T08:30:01Z"])
def test_lines_without_a_time(line: str) -> None:
    assert _log_time.moment(line, NOW, 0.0) is None


def test_a_time_without_a_year_is_the_last_one() -> None:
    new_year = 1767225600.0  # 2026-01-01T00:00:00Z
    assert _log_time.moment("Dec 31 23:59:59 host app: x", new_year + 5, 0.0) == new_year - 1
    assert _log_time.moment("Jan  1 00:00:03 host app: x", new_year + 5, 0.0) == new_year + 3
    assert _log_time.moment("Jan  1 00:00:00 host app: x", new_year - 5, 0.0) == new_year


@settings(max_examples=EXAMPLES, deadline=None, database=None)
@given(st.text(alphabet=string.digits + "-/:T .+Z[]JanFeb{", max_size=60), st.floats(0, 4e9), st.floats(-50000, 50000))
def test_any_time_is_a_number_or_none(line: str, now: float, offset_s: float) -> None:
    at = _log_time.moment(line, now, offset_s)
    assert at is None or -1e5 < at < 3e11


# templates


@pytest.mark.parametrize("line, template", [
    ("2026-01-12 08:30:01,124 request 77 from 192.0.2.7:443 took 1.5 ms", "<time> <time> request <number> from <address> took <number> ms"),
    ("user a.b+c@shop.example id=6e59baef-1234-4234-8234-123456789abc", "user <address> id=<uuid>"),
    ("at 0x7f001122 commit 9fceb02d0ae5 said \"it \\\" is\" and 'not' don't", "at <hex> commit <hex> said <text> and <text> don't"),
    ("postgresql@15-main.service failed 3 times", "postgresql@<number>-main.service failed <number> times"),
    ("plain words stay", "plain words stay"), ("", ""), ("\"never closed 77", "<text>"),
    ("[12/Jan/2026:08:30:01 +0000] ok", "[<time> +<number>] ok"),
])
def test_templates(line: str, template: str) -> None:
    assert _log_template.template(line) == template


@settings(max_examples=EXAMPLES, deadline=None, database=None)
@given(st.text(max_size=600))
def test_a_template_is_bounded_and_has_no_digits(line: str) -> None:
    template = _log_template.template(line)
    assert len(template) <= _log_template.TEMPLATE_LIMIT and not any(sign in template for sign in string.digits)


@settings(max_examples=EXAMPLES, deadline=None, database=None)
@given(st.lists(st.integers(0, 10**9), min_size=3, max_size=3), st.lists(st.integers(0, 10**9), min_size=3, max_size=3))
def test_other_numbers_give_the_same_template(one: t.List[int], other: t.List[int]) -> None:
    form = "job %d of user %d took %d ms"
    assert _log_template.template(form % tuple(one)) == _log_template.template(form % tuple(other))


# the journal's export


def field(name: bytes, value: bytes) -> bytes:
    if b"\n" in value or not value.isascii():
        return name + b"\n" + len(value).to_bytes(8, "little") + value + b"\n"
    return name + b"=" + value + b"\n"


FIELDS = st.dictionaries(st.sampled_from([b"MESSAGE", b"_PID", b"UNIT", b"X"]), st.binary(max_size=60), min_size=1, max_size=4)


@settings(max_examples=EXAMPLES, deadline=None, database=None)
@given(st.lists(FIELDS, max_size=6), st.integers(0, 40))
def test_entries_are_read_back_and_a_cut_one_is_left_out(rows: t.List[t.Dict[bytes, bytes]], cut: int) -> None:
    data = b"".join(b"".join(field(name, value) for name, value in row.items()) + b"\n" for row in rows)
    assert list(_journal_export.entries(data)) == rows
    if cut and rows:
        shorter = list(_journal_export.entries(data[:-cut]))
        assert shorter == rows[:len(shorter)] and len(shorter) < len(rows)


@settings(max_examples=EXAMPLES, deadline=None, database=None)
@given(st.one_of(st.binary(max_size=400), st.lists(st.sampled_from([b"\n", b"A", b"=", b"\xff" * 8, b"\0" * 8, b"MESSAGE"]), max_size=60).map(b"".join)))
def test_rubbish_ends(data: bytes) -> None:
    assert sum(len(name) + len(value) for row in _journal_export.entries(data) for name, value in row.items()) <= len(data)


# tallies


def tally(*lines: str, stride: int = 1, writer: t.Hashable = None) -> Tally:
    found = Tally(stride)
    for line in lines:
        found.add(line, len(line) + 1, lambda line: _log_time.moment(line, NOW, 0.0), _log_signals.forms_in(line.encode("utf-8", "surrogatepass")), writer)
    return found


def counts(found: Tally) -> t.Dict[str, int]:
    return {_log_signals.SIGNALS[told.signal].id: told.count for told in found.signals()}


def test_what_is_told_three_times_happened_once() -> None:
    lost = "Worker exited prematurely: signal 9 (SIGKILL) Job: 17."
    found = tally(
        "[2026-01-12 08:30:01,124: ERROR/MainProcess] Process 'ForkPoolWorker-2' pid:279 exited with 'signal 9 (SIGKILL)'",
        "[2026-01-12 08:30:01,224: ERROR/MainProcess] Task handler raised error: WorkerLostError('%s')" % lost,
        "Traceback (most recent call last):", "  File \"/usr/lib/python3/dist-packages/billiard/pool.py\", line 1265, in mark_as_worker_lost",
        "billiard.exceptions.WorkerLostError: %s" % lost)
    assert counts(found) == {"celery_worker_lost": 1}
    assert found.exceptions == {"billiard.exceptions.WorkerLostError": 1}


def test_of_exceptions_that_follow_from_each_other_the_last_counts() -> None:
    trace = ("Traceback (most recent call last):", "  File \"a.py\", line 1, in f", "KeyError: 'x'", "", "During handling of the above exception, another one:",
             "", "Traceback (most recent call last):", "  File \"a.py\", line 3, in f", "shop.errors.NoItem: x", "[2026-01-12 08:30:01] next")
    assert +tally(*trace).exceptions == {"shop.errors.NoItem": 1}
    assert +tally(*trace[:3], "other", *trace[:3]).exceptions == {"KeyError": 2}
    assert not tally("KeyError: 'x'", "INFO: no traceback").exceptions
    assert +tally("web-1  | " + trace[0], "web-1  | " + trace[1], "web-1  | " + trace[2]).exceptions == {"KeyError": 1}


def test_tracebacks_of_two_writers_do_not_mix() -> None:
    found = Tally()
    for writer, line in ((1, "Traceback (most recent call last):"), (2, "Traceback (most recent call last):"), (1, "  File"), (2, "  File"),
                         (1, "KeyError: 1"), (2, "OSError: 2")):
        found.add(line, 1, lambda line: None, (), writer)
    assert found.exceptions == {"KeyError": 1, "OSError": 1}


def test_jobs_of_rq_that_failed_and_start_again_are_retries() -> None:
    """As rq 2.12 and 3.0 wrote it: their own programs never say that a job is tried again."""
    lines = [
        "08:02:19 Worker f63e: mail: jobs.work(3, name='a (b)') (014693e0-d5aa-4e0b-8414-914f9cb8084e)",
        "08:02:20 Successfully completed jobs.work(3, name='a (b)') job in 0:01:00.060953s on worker f63e",
        "08:02:20 Worker f63e: mail: Job OK (014693e0-d5aa-4e0b-8414-914f9cb8084e)",
        "08:02:20 Worker f63e: mail: jobs.bad() (7feb07b5-eeca-4baf-a5cc-68888475c8ae)",
        "08:02:20 Worker f63e: job 7feb07b5-eeca-4baf-a5cc-68888475c8ae: exception raised while executing (jobs.bad)",
        # one that ended well may be told to run again: that is no retry
        "08:02:21 Worker f63e: mail: jobs.work(3, name='a (b)') (014693e0-d5aa-4e0b-8414-914f9cb8084e)",
        "08:02:22 Worker f63e: mail: jobs.bad() (7feb07b5-eeca-4baf-a5cc-68888475c8ae)",
        "08:02:22 [Job 7feb07b5-eeca-4baf-a5cc-68888475c8ae]: exception raised while executing (jobs.bad)",
    ]
    found = tally(*lines)
    assert counts(found) == {"rq_job_failed": 2, "rq_job_retry": 1, "rq_job_started": 4, "rq_job_ok": 1}
    assert found.tasks == {"jobs.work": [2, 1, 0, 0, 60.060953, 60.060953], "jobs.bad": [2, 0, 1, 2, 0.0, 0.0]}
    many = tally(*("x: job %08x-d5aa-4e0b-8414-914f9cb8084e: exception raised while executing (jobs.bad)" % number for number in range(3000)))
    assert len(many._failed) == 2048


def test_tasks_the_last_line_and_the_usual_last() -> None:
    task = "Task a.mail[1-2] "
    found = tally("2026-01-12 08:30:01 %sreceived" % task,
                  "2026-01-12 08:30:02 %ssucceeded in 2.5s: 1" % task, "2026-01-12 08:30:03 %ssucceeded in 0.5s: 1" % task,
                  "2026-01-12 08:30:09 %sretry: Retry in 1s: E" % task, "2026-01-12 08:30:04 %sretry: Retry in 1s: E" % task)
    assert found.tasks == {"a.mail": [1, 2, 2, 0, 3.0, 2.5]}
    assert list(counts(found)) == ["celery_task_retry", "celery_task_succeeded", "celery_task_received"]
    first = found.signals()[0]
    assert (first.about, first.last, first.line[:19]) == ("a.mail", AT + 8, "2026-01-12 08:30:09")


def test_lines_that_nobody_knows_are_grouped_and_estimated() -> None:
    found = tally(*["cache miss for item %d" % number for number in range(100)], "shop DEBUG once more", "[CRITICAL] WORKER TIMEOUT (pid:1)")
    assert found.templates.top(1) == [("cache miss for item <number>", 100)] and found.debug == 1
    sparse = tally(*["cache miss for item %d" % number for number in range(1000)], stride=10)
    assert sparse.templates.top(1) == [("cache miss for item <number>", 1000)] and (sparse.looked, sparse.sampled, sparse.lines) == (100, 1000, 1000)


@settings(max_examples=EXAMPLES, deadline=None, database=None)
@given(st.lists(st.one_of(st.text(max_size=50), st.sampled_from(
    ["Traceback (most recent call last):", "KeyError: 1", "  File", "During handling of the above exception"])), max_size=60))
def test_any_lines_add_up(lines: t.List[str]) -> None:
    found = tally(*lines)
    assert found.lines == len(lines) and all(count >= 0 for count in found.exceptions.values())


def test_memory_is_bounded() -> None:
    found = tally(*["Task t%d[x] received" % number for number in range(2000)])
    assert len(found.tasks) <= 256
    found = tally(*["w%s something else %s" % (chr(97 + number % 26) * (number // 26 % 60 + 1), "x" * (number % 90)) for number in range(3000)])
    assert len(found.templates.counts) <= 256
    for number in range(500):
        found.add("Traceback (most recent call last):", 1, lambda line: None, (), number)
        found.add("Error%d: x" % number, 1, lambda line: None, (), number)
    assert len(found.exceptions) <= 256
