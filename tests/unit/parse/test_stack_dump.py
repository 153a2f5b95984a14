# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Stacks as py-spy 0.4.3 wrote them of real processes of Python 3.11, and as asyncio's own tool of 3.14 writes them."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.oncall.pressure.plugins.module_utils._parse import _stack_dump, _stack_groups
from ansible_collections.oncall.pressure.plugins.module_utils._parse._stack_dump import Frame, Stack

RECORDINGS = Path(__file__).resolve().parents[1] / "recordings" / "stacks"


def recorded(name: str) -> list[Stack]:
    return _stack_dump.stacks((RECORDINGS / ("py-spy-0.4.3-%s.txt" % name)).read_text(encoding="utf-8").split("\n"))


@pytest.mark.parametrize("name,group,place,inside", [
    ("serialise", "serialise", "report (serialise.py:5)", "json/encoder.py"),
    ("loop", "loop", "scan (loop.py:", None),
    ("wait", "wait", "consume (wait.py:3)", "Condition.wait (threading.py)"),
    ("threads", "loop", "hash_all (threads.py:4)", None),
    # an event loop that asks all the time: it runs, and what it runs is only the asking
    ("worker", "coordinate", "<module> (worker.py:16)", "EpollSelector.select (selectors.py)"),
])
def test_what_a_process_is_busy_with(name: str, group: str, place: str, inside: str | None) -> None:
    found = _stack_dump.summed([recorded(name)] * 3)
    assert found["samples"] == 3 and found["groups"] == [{"group": group, "samples": 3, "share": 1.0}]
    first = found["places"][0]
    assert first["place"].startswith(place) and first["samples"] == 3 and first["share"] == 1.0
    assert first["inside"] is None if inside is None else inside in first["inside"]
    assert found["stack"][0].endswith(")") and "<module>" in found["stack"][-1] or name == "threads"


def test_frames_and_threads_are_told_apart() -> None:
    waiting, hasher = recorded("threads")
    assert waiting == Stack(False, (Frame("<module>", "threads.py", 6),))
    assert hasher.running and hasher.frames[0] == Frame("hash_all", "threads.py", 4) and len(hasher.frames) == 4
    assert recorded("worker")[1].frames[0] == Frame("report", "worker.py", 12)


def test_one_look_is_no_loop_and_neither_are_several_places() -> None:
    assert _stack_dump.summed([recorded("loop")])["groups"][0]["group"] == "own_code"
    places = [[Stack(True, (Frame("f%d" % number, "shop.py", 1),))] for number in range(3)]
    assert _stack_dump.summed(places)["groups"] == [{"group": "own_code", "samples": 3, "share": 1.0}]


def test_a_stack_without_its_outer_frames_stands_where_its_group_does() -> None:
    whole = recorded("serialise")
    torn = [Stack(True, whole[0].frames[:2])]
    found = _stack_dump.summed([whole, torn, whole])
    assert [(row["place"], row["samples"]) for row in found["places"]] == [("report (serialise.py:5)", 3)]
    alone = _stack_dump.summed([torn])
    assert "json/encoder.py" in alone["places"][0]["place"] and alone["places"][0]["inside"] is None


TREE = """\
\u2514\u2500\u2500 (T) Task-1
    \u2514\u2500\u2500  main /srv/shop/serve.py:13
        \u2514\u2500\u2500  TaskGroup.__aexit__ /usr/lib/python3.14/asyncio/taskgroups.py:72
            \u251c\u2500\u2500 (T) first
            \u2502   \u2514\u2500\u2500  fetch /srv/shop/serve.py:8
            \u2514\u2500\u2500 (T) second
"""


def test_tasks_say_where_they_stand_and_not_whether_they_run() -> None:
    found = _stack_dump.summed([_stack_dump.stacks(TREE.split("\n"))] * 3)
    assert found["samples"] == 0 and found["groups"] == []
    assert found["places"][1] == {"place": "fetch (/srv/shop/serve.py:8)", "inside": None, "group": None, "samples": 3, "share": None}
    assert found["stack"] == ["TaskGroup.__aexit__ (/usr/lib/python3.14/asyncio/taskgroups.py:72)", "main (/srv/shop/serve.py:13)"]


@pytest.mark.parametrize("file,function,depth,group", [
    ("json/__init__.py", "dumps", 0, "serialise"), ("json/encoder.py", "x", 5, "serialise"), ("json/encoder.py", "x", 6, None),
    ("jsonpath.py", "x", 0, None), ("re/_compiler.py", "x", 0, "regex"), ("sre_compile.py", "x", 0, "regex"),
    ("django/template/base.py", "render", 0, "template"), ("django/db/models/query.py", "x", 0, "database"), ("django/views/generic.py", "x", 0, None),
    ("/srv/venv/lib/python3.12/site-packages/pandas/core/frame.py", "x", 0, "transform"), ("/usr/lib/python3.11/copy.py", "x", 0, "transform"),
    # an application's own folder may have any name
    ("/srv/json/views.py", "x", 0, None),
    ("threading.py", "Thread.run", 0, "coordinate"), ("threading.py", "Thread.run", 1, None),
    ("<frozen importlib._bootstrap>", "_find_and_load", 0, "import"), ("celery/app/task.py", "Task.retry", 0, "retry"), ("~", "<GC>", 0, "garbage_collection"),
    ("", "", 0, None),
])
def test_a_frame_is_of_the_group_of_its_module(file: str, function: str, depth: int, group: str | None) -> None:
    assert _stack_groups.group_of(file, function, depth) == group


LINES = st.lists(st.one_of(
    st.text(max_size=60), st.sampled_from([line for path in sorted(RECORDINGS.iterdir()) for line in path.read_text(encoding="utf-8").split("\n")]),
    st.sampled_from(TREE.split("\n")), st.builds("    {} ({}:{})".format, st.text(max_size=9), st.text(max_size=9), st.integers(-9, 10 ** 9))), max_size=90)


@given(st.lists(LINES, max_size=3))
def test_whatever_is_written_the_sums_are_right(dumps: list[list[str]]) -> None:
    found: dict[str, t.Any] = _stack_dump.summed([_stack_dump.stacks(lines) for lines in dumps])
    assert sum(row["samples"] for row in found["groups"]) == found["samples"]
    assert len(found["places"]) <= 5 and len(found["stack"]) <= 12
    assert all(0 < row["share"] <= 1 for row in found["groups"]) and (not found["places"] or found["stack"])
