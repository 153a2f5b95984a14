# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A program that is asked several times: answers in turn, an end, silence, and nothing left of it."""

from __future__ import annotations

import os
import sys
import time
import typing as t

import pytest

from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import As
from ansible_collections.oncall.pressure.plugins.module_utils._host._talk import Talk

WHO = As(os.getuid(), os.getgid(), tuple(os.getgroups()), "/")
ECHO = """
import os, sys, time
for line in iter(sys.stdin.readline, ""):
    word = line.strip()
    if word == "end":
        break
    if word == "sleep":
        time.sleep(60)
    if word.startswith("long"):
        word = "x" * 300000
    print(os.environ.get("GREETING"), os.getcwd(), os.getpid(), word, flush=True)
"""


@pytest.fixture
def talk() -> t.Iterator[Talk]:
    made = Talk([sys.executable, "-c", ECHO], {"GREETING": "hello"}, WHO)
    yield made
    made.end()


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_it_answers_line_by_line_with_one_start(talk: Talk) -> None:
    first, second, long = (talk.ask(word, 20.0) for word in ("one", "two", "long"))
    assert first is not None and second is not None and long is not None
    assert first.split()[:2] == [b"hello", b"/"] and first.split()[3] == b"one" and second.split()[2:] == [first.split()[2], b"two"]
    assert len(long) > 300000


def test_one_that_ends_gives_nothing(talk: Talk) -> None:
    assert talk.ask("end", 20.0) is None
    assert talk.ask("one", 20.0) is None


def test_one_that_is_silent_is_not_waited_for_and_is_ended(talk: Talk) -> None:
    answer = talk.ask("one", 20.0)
    assert answer is not None
    pid = int(answer.split()[2])
    with pytest.raises(TimeoutError):
        talk.ask("sleep", 0.2)
    talk.end()
    until = time.monotonic() + 10
    while alive(pid) and time.monotonic() < until:
        time.sleep(0.05)
    assert not alive(pid)


def test_what_is_not_there_is_an_error() -> None:
    with pytest.raises(FileNotFoundError):
        Talk(["/none/such"], {}, WHO)
