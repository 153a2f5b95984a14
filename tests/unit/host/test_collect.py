# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Collectors in children: each fails alone, whatever it does."""

from __future__ import annotations

import os
import signal
import time
import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._host import _collect
from ansible_collections.oncall.pressure.plugins.module_utils._host._collect import Options, Reading, run_all
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine


def good(machine: Machine, options: Options) -> Reading:
    return _collect.ok({"pid": os.getpid(), "text": "\x1b[31m postgres://u:geheim@h/"})


def half(machine: Machine, options: Options) -> Reading:
    return _collect.partial({"a": 1}, "b is missing")


def hangs(machine: Machine, options: Options) -> Reading:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while True:
        time.sleep(60)


def breaks(machine: Machine, options: Options) -> Reading:
    raise KeyError("what the host said: \x1b]0;x\x07")


def refused(machine: Machine, options: Options) -> Reading:
    raise PermissionError(13, "Permission denied", "/proc/kmsg")


def dies(machine: Machine, options: Options) -> Reading:
    os.kill(os.getpid(), signal.SIGKILL)
    return _collect.ok(None)


def talks(machine: Machine, options: Options) -> Reading:
    return _collect.ok(["x" * 4000] * 2000)


def eats(machine: Machine, options: Options) -> Reading:
    return _collect.ok([bytearray(1024 * 1024 * 1024)])


def run(**collectors: _collect.Collector) -> dict[str, dict[str, t.Any]]:
    return run_all(collectors, Machine(), Options(), 2.0).rows


def test_each_collector_fails_alone() -> None:
    rows = run(good=good, half=half, hangs=hangs, breaks=breaks, refused=refused, dies=dies, talks=talks, eats=eats)
    assert {name: row["status"] for name, row in rows.items()} == {
        "good": "ok", "half": "partial", "hangs": "error", "breaks": "error", "refused": "denied", "dies": "error", "talks": "error", "eats": "error"}
    assert rows["half"]["data"] == {"a": 1} and rows["half"]["reason"] == "b is missing"
    assert "not finished after 2.0 s" in rows["hangs"]["reason"]
    assert "KeyError" in rows["breaks"]["reason"] and "test_collect.py" in rows["breaks"]["reason"]
    assert "/proc/kmsg" in rows["refused"]["reason"]
    assert "signal 9" in rows["dies"]["reason"]
    assert "memory" in rows["eats"]["reason"]


def test_the_memory_of_all_processes_is_told() -> None:
    def holds(machine: Machine, options: Options) -> Reading:
        kept = bytearray(os.urandom(1024)) * 65536
        time.sleep(1.2)
        return _collect.ok(len(kept))

    alone = run_all({"good": good}, Machine(), Options(), 3.0).pss_bytes
    assert run_all({"one": holds, "two": holds}, Machine(), Options(), 3.0).pss_bytes > alone + 128 * 1024 * 1024


def test_what_a_collector_says_is_cleaned() -> None:
    row = run(good=good, breaks=breaks)
    assert row["good"]["data"]["pid"] != os.getpid()
    assert "geheim" not in repr(row) and "\\x1b" in row["good"]["data"]["text"] and "\x1b" not in row["breaks"]["reason"]


def test_no_child_is_left() -> None:
    run(good=good, hangs=hangs, dies=dies)
    try:
        left = os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        left = (0, 0)
    assert left == (0, 0)


def running(argv: t.Sequence[str]) -> t.List[str]:
    """The processes that run this, as the kernel lists them."""
    found = []
    for pid in filter(str.isdecimal, os.listdir("/proc")):
        try:
            with open("/proc/%s/cmdline" % pid, "rb") as stream:
                words = stream.read().split(b"\0")[:-1]
        except OSError:
            continue
        found += [pid] if words == [os.fsencode(word) for word in argv] else []
    return found


def test_no_program_of_a_child_is_left() -> None:
    argv = ["sleep", "3600.%d" % os.getpid()]

    def waits_for_a_program(machine: Machine, options: Options) -> Reading:
        machine.run(argv, 3600.0)
        raise AssertionError("it never ends by itself")

    rows = run(waits=waits_for_a_program, good=good)
    assert rows["waits"]["status"] == "error" and rows["good"]["status"] == "ok"
    until = time.monotonic() + 60.0
    while running(argv) and time.monotonic() < until:
        time.sleep(0.05)
    assert running(argv) == []


def test_more_than_run_at_once_all_have_their_turn() -> None:
    rows = run(**{"c%d" % number: good for number in range(3 * _collect.AT_ONCE)}, hangs=hangs)
    assert [row["status"] for row in rows.values()] == ["ok"] * (3 * _collect.AT_ONCE) + ["error"]
    assert len({row["data"]["pid"] for name, row in rows.items() if name != "hangs"}) == 3 * _collect.AT_ONCE


def test_what_had_no_turn_says_so() -> None:
    rows = run(**{"h%d" % number: hangs for number in range(_collect.AT_ONCE)}, last=good)
    assert rows["last"]["status"] == "error" and rows["last"]["reason"] == "not begun: others did not end in 2.0 s"
    assert list(rows)[-1] == "last"


def test_what_only_waits_is_not_waited_for(monkeypatch: t.Any) -> None:
    """Long before the limit, where nothing moves any more; what uses the processor goes on."""
    monkeypatch.setattr(_collect, "PATIENCE_S", 0.1)
    monkeypatch.setattr(_collect, "STILL_S", 0.6)
    rows = run_all({"hangs": hangs, "good": good}, Machine(), Options(window_s=0.1), 3600.0).rows
    assert rows["good"]["status"] == "ok" and rows["hangs"]["status"] == "error" and "file system" in rows["hangs"]["reason"]
    rows = run_all({"works": works}, Machine(), Options(window_s=0.1), 3600.0).rows
    assert rows["works"]["status"] == "ok"


def test_what_is_at_work_is_not_stopped_because_we_did_not_look(monkeypatch: t.Any) -> None:
    """Where processors are busy it is the parent that stands still: before it decides, it looks."""
    monkeypatch.setattr(_collect, "PATIENCE_S", 0.1)
    monkeypatch.setattr(_collect, "STILL_S", 0.05)
    rows = run_all({"works": works}, Machine(), Options(window_s=0.1), 3600.0).rows
    assert rows["works"]["status"] == "ok"


def test_parts_are_loaded_before_the_first_child_begins() -> None:
    """In the parent: each child has all of them."""
    loaded: list[str] = []

    def part(name: str) -> _collect.Part:
        def load(options: Options) -> _collect.Collector:
            if name not in loaded:
                loaded.append(name)
            return lambda machine, options: _collect.ok(list(loaded))

        return _collect.Part(load)

    parts = {"one": part("one"), "none": _collect.Part(lambda options: _collect.absent("not here")), "two": part("two")}
    rows = run_all(parts, Machine(), Options(), 30.0).rows
    assert loaded == ["one", "two"]
    assert [rows[name]["data"] for name in ("one", "two")] == [["one", "two"], ["one", "two"]]
    assert (rows["none"]["status"], rows["none"]["reason"]) == ("absent", "not here")


def works(machine: Machine, options: Options) -> Reading:
    """Uses the processor for a while."""
    end = time.process_time() + 1.2
    while time.process_time() < end:
        pass
    return _collect.ok({})
