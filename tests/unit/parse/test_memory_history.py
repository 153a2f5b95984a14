# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Samples of memory over time: the recorder's lines (recorded in the lab) and what sadf of sysstat 12.6.1 prints."""

from __future__ import annotations

import json
import math
import typing as t
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.oncall.pressure.plugins.module_utils._parse import _memory_history, _sysstat
from ansible_collections.oncall.pressure.plugins.module_utils._parse._memory_history import LINE_BYTES, Row, Sample, Stamp

RECORDED = Path(__file__).resolve().parents[1] / "recordings" / "memory"
LINES = (RECORDED / "samples").read_text(encoding="ascii").splitlines()
SADF = (RECORDED / "sysstat-12.6.1.json").read_text(encoding="ascii")

ROW = Row("shop-web.service", 300, 0.5, 3, 240, 100, 80, ((11, 500, 100), (12, 501, 80)))
SAMPLE = Sample(1795852904.9, 30032.5, "418295d4ce87", 100, 900, 0, 1.5, (ROW, Row("redis.service", 50)))


def test_a_sample_comes_back_as_it_was_written() -> None:
    assert _memory_history.sample(_memory_history.line(SAMPLE)) == SAMPLE
    assert _memory_history.stamp(_memory_history.line(SAMPLE)) == Stamp(1795852904.9, 30032.5, "418295d4ce87")


def test_what_a_real_recorder_kept() -> None:
    samples = [_memory_history.sample(line) for line in LINES]
    assert None not in samples and len(samples) >= 9
    last = samples[-1]
    assert last is not None
    web = next(row for row in last.rows if row.id == "shop-web.service")
    assert web.workers == 3 and web.largest_bytes == web.pids[0][2] and len(web.pids) == 3
    assert all(_memory_history.stamp(line) is not None for line in LINES)


@pytest.mark.parametrize("text", [
    "", "{", "null", "[" * 9000, '{"v":1}', '{"v":2,"t":1,"b":1,"i":"a","h":[1,1,1],"n":null,"s":[]}',
    '{"v":1,"t":1,"b":1,"i":"../x","h":[1,1,1],"n":null,"s":[]}',
    '{"v":1,"t":1e999,"b":1,"i":"a","h":[1,1,1],"n":null,"s":[]}', '{"v":1,"t":NaN,"b":1,"i":"a","h":[1,1,1],"n":null,"s":[]}',
    '{"v":1,"t":true,"b":1,"i":"a","h":[1,1,1],"n":null,"s":[]}', '{"v":1,"t":1,"b":1,"i":"a","h":[1,1],"n":null,"s":[]}',
    '{"v":1,"t":1,"b":1,"i":"a","h":[1,1,1],"n":null,"s":{}}', '{"v":1,"t":1,"b":1,"i":"a","h":' + "9" * 5000 + ',"n":null,"s":[]}', "x" * (LINE_BYTES + 1),
])
def test_what_is_no_sample(text: str) -> None:
    assert _memory_history.sample(text) is None


def test_a_torn_line_is_no_sample() -> None:
    line = _memory_history.line(SAMPLE)
    assert [cut for cut in range(len(line)) if _memory_history.sample(line[:cut]) is not None] == []


def test_rows_that_are_none_are_passed_over() -> None:
    value = json.loads(_memory_history.line(SAMPLE))
    value["s"] = [None, [], ["a"], ["a", -1, None, None, None, None, None, []], ["", 1, None, None, None, None, None, []], [3, 1, 0, 0, 0, 0, 0, []],
                  ["b", 7, "x", True, None, None, None, [[1, 2], [1, None, 3], [1, 2, 3]]]]
    found = _memory_history.sample(json.dumps(value))
    assert found is not None and found.rows == (Row("b", 7, None, None, None, None, None, ((1, 2, 3),)),)


def test_a_line_is_never_longer_than_it_may_be() -> None:
    rows = [Row("s%03d-" % number + "x" * 190, number, 1.0, 8, 1, 1, 1, tuple((2 ** 22, 2 ** 50, 2 ** 50) for dummy in range(8))) for number in range(200)]
    line = _memory_history.line(SAMPLE._replace(rows=tuple(rows)))
    found = _memory_history.sample(line)
    assert len(line) <= LINE_BYTES and found is not None
    # the largest are kept
    assert found.rows[0].bytes == 199 and len(found.rows) == 40
    huge = _memory_history.line(SAMPLE._replace(rows=tuple(row._replace(id="\u20ac" * 199) for row in rows)))
    assert len(huge) <= LINE_BYTES and _memory_history.sample(huge) is not None


@pytest.mark.parametrize("one, expected", [
    (Stamp(1000.0, 40.0, "a"), 60.0),  # this boot: its own clock
    (Stamp(9e9, 40.0, "a"), 60.0),  # whatever the wall clock said
    (Stamp(1500.0, 3000.0, "b"), 500.0),  # an earlier boot: the wall clock
    (Stamp(1990.0, 3000.0, "b"), None),  # of another boot, and younger than this one: a clock was wrong
    (Stamp(9e9, 3000.0, "b"), None),  # from the future
    (Stamp(1500.0, 3000.0, "a"), 500.0),  # a container that was started anew keeps the boot
])
def test_how_old_a_sample_is(one: Stamp, expected: float | None) -> None:
    assert _memory_history.age_s(one, 2000.0, 100.0, "a") == expected


def test_the_mean_of_samples() -> None:
    later = SAMPLE._replace(up_s=30092.5, used=200, requests_per_s=None, rows=(ROW._replace(bytes=500, cpu=None, pids=((11, 500, 200), (13, 900, 4))),))
    mean = _memory_history.mean([SAMPLE, later])
    assert mean is not None and (mean.up_s, mean.used, mean.requests_per_s) == (30092.5, 150, 1.5)
    web, redis = sorted(mean.rows, key=lambda row: -row.bytes)
    assert web == ROW._replace(bytes=400, pids=((11, 500, 150), (13, 900, 4))) and redis.bytes == 50
    assert _memory_history.mean([]) is None


def test_points_are_spread_over_time() -> None:
    rows = [(float(age), age) for age in range(1000, -1, -1)]
    groups = _memory_history.spread(rows, 96)
    assert len(groups) == 96 and sum(map(len, groups)) == 1001 and groups[-1][-1] == (0.0, 0)
    assert {len(group) for group in groups} <= {10, 11, 12}
    assert _memory_history.spread(rows[:5], 96) == [[row] for row in rows[:5]]
    # a gap leaves no empty group, and rows of one moment are one group
    assert len(_memory_history.spread([(1000.0, 1)] * 50 + [(1.0, 2)] * 50, 96)) == 2
    assert len(_memory_history.spread([(5.0, 1)] * 200, 96)) == 1


def test_the_usual_time_between() -> None:
    assert _memory_history.spacing_s([300.0, 240.0, 180.0, 20.0]) == 60.0
    assert _memory_history.spacing_s([1.0]) is None


def test_what_sysstat_kept() -> None:
    records = _sysstat.memory(SADF)
    assert len(records) == 3
    assert records[0] == _sysstat.Record(1795851294.0, 22729572 * 1024, 0)


def test_an_old_sysstat_has_no_available() -> None:
    value = json.loads(SADF)
    for row in value["sysstat"]["hosts"][0]["statistics"]:
        del row["memory"]["avail"]
    assert [record.available for record in _sysstat.memory(json.dumps(value))] == [None] * 3


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"sysstat": 3}', '{"sysstat": {"hosts": [{"statistics": 3}]}}', SADF[:400], "[" * 5000])
def test_what_is_no_output_of_sadf(text: str) -> None:
    with pytest.raises(ValueError):
        _sysstat.memory(text)


@pytest.mark.parametrize("record", [
    None, 3, {}, {"timestamp": {"date": "2026-13-45", "time": "07:00:00"}, "memory": {"avail": 1}},
    {"timestamp": {"date": "2026-11-28", "time": "x"}, "memory": {"avail": 1}},
    {"timestamp": {"date": "2026-11-28", "time": "07:00:00"}, "memory": {"avail": -1, "swpused": True}},
    {"timestamp": {"date": "2026-11-28", "time": "07:00:00"}, "memory": []},
])
def test_records_that_are_none_are_passed_over(record: t.Any) -> None:
    assert _sysstat.memory(json.dumps({"sysstat": {"hosts": [{"statistics": [record]}]}})) == []


_KEYS = ["v", "t", "b", "i", "h", "n", "s", "sysstat", "hosts"]
_JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
                     lambda inner: st.lists(inner, max_size=8) | st.dictionaries(st.sampled_from(_KEYS), inner), max_leaves=30)


@given(st.one_of(st.text(max_size=300), _JSON.map(json.dumps), st.tuples(st.sampled_from(LINES), st.integers(0, 400), st.text(max_size=5)).map(
    lambda row: row[0][:row[1]] + row[2] + row[0][row[1]:])))
def test_any_text_is_a_sample_or_none(text: str) -> None:
    found = _memory_history.sample(text)
    if found is not None:
        # a host's document holds what can be written as JSON again, within the bounds
        again = _memory_history.sample(_memory_history.line(found))
        assert again is not None and [row.id for row in again.rows] == [row.id for row in sorted(found.rows, key=lambda row: (row.workers is None, -row.bytes))]


@given(st.one_of(st.text(max_size=300), _JSON.map(json.dumps), st.tuples(st.integers(0, 1500), st.text(max_size=5)).map(
    lambda row: SADF[:row[0]] + row[1] + SADF[row[0]:])))
def test_any_text_is_records_or_an_error(text: str) -> None:
    try:
        records = _sysstat.memory(text)
    except ValueError:
        return
    assert all(math.isfinite(record.at_s) for record in records) and json.dumps(records)
