# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fewer workers of running masters: real gunicorn and uvicorn, real signals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import typing as t
from pathlib import Path

import pytest
import running

from ansible_collections.oncall.pressure.plugins.module_utils._change._kinds import Failed, Refused
from ansible_collections.oncall.pressure.plugins.module_utils._controls import _processes, _worker_count
from ansible_collections.oncall.pressure.plugins.module_utils._controls._worker_count import KIND
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine

TOU, TIN = int(signal.SIGTTOU), int(signal.SIGTTIN)
Start = t.Callable[..., running.Server]


@pytest.mark.parametrize("component", ("gunicorn", "uvicorn"))
def test_workers_go_one_by_one_and_come_back(start: Start, tmp_path: Path, component: str) -> None:
    server, hands = start(component, workers=4), running.hands(tmp_path)
    operation = server.operation(workers=2, configured=4)
    before = KIND.look(hands, operation)
    assert before == {"master": True, "workers": 4} and not KIND.reached(operation, before, before)
    KIND.apply(hands, operation, before)
    assert len(server.workers()) == 2 and hands.files.sent == [TOU, TOU]
    now = KIND.look(hands, operation)
    assert KIND.reached(operation, before, now)
    KIND.apply(hands, operation, before)
    assert hands.files.sent == [TOU, TOU], "done twice changes nothing more"
    assert "4 workers again" in KIND.undo(hands, operation, before, False)
    assert len(server.workers()) == 4 and hands.files.sent == [TOU, TOU, TIN, TIN]
    assert "nothing to put back" in KIND.undo(hands, operation, before, False)
    assert len(server.workers()) == 4 and len(hands.files.sent) == 4


@pytest.mark.parametrize("target", (0, -3, 1))
def test_never_below_one(start: Start, tmp_path: Path, target: int) -> None:
    server, hands = start("gunicorn", workers=2), running.hands(tmp_path)
    operation = server.operation(workers=target)
    before = KIND.look(hands, operation)
    KIND.apply(hands, operation, before)
    assert len(server.workers()) == 1 and hands.files.sent == [TOU]
    assert KIND.reached(operation, before, KIND.look(hands, operation))


def test_a_number_is_never_raised(start: Start, tmp_path: Path) -> None:
    server, hands = start("gunicorn", workers=2), running.hands(tmp_path)
    operation = server.operation(workers=6)
    before = KIND.look(hands, operation)
    assert KIND.reached(operation, before, before)
    KIND.apply(hands, operation, before)
    assert hands.files.sent == [] and len(server.workers()) == 2


def test_what_is_shown_is_the_same_of_every_master(start: Start, tmp_path: Path) -> None:
    """A check and the run may meet different processes: nothing of them is in the diff."""
    hands, shown = running.hands(tmp_path), []
    for server in (start("gunicorn"), start("gunicorn")):
        operation = server.operation(workers=2)
        shown.append(KIND.show(hands, operation, KIND.look(hands, operation)))
    assert shown[0] == shown[1] == ("shop.service (running workers)", "3\n", "2\n")


def test_a_request_is_answered_before_its_worker_goes(start: Start, tmp_path: Path) -> None:
    server, hands = start("gunicorn", workers=2), running.hands(tmp_path)
    asked = [server.ask("/sleep/3") for dummy in range(2)]
    operation = server.operation(workers=1)
    KIND.apply(hands, operation, KIND.look(hands, operation))
    assert len(server.workers()) == 1
    assert [running.answer(connection)[-2:] for connection in asked] == [b"ok", b"ok"]


@pytest.mark.parametrize("component", ("gunicorn", "uvicorn"))
def test_nobody_notices(start: Start, tmp_path: Path, component: str) -> None:
    server, hands = start(component, workers=4), running.hands(tmp_path)
    answers: t.List[bytes] = []
    done = threading.Event()

    def probe() -> None:
        while not done.is_set():
            answers.append(running.answer(server.ask())[-2:])
            done.wait(0.05)

    prober = threading.Thread(target=probe)
    prober.start()
    try:
        operation = server.operation(workers=1)
        before = KIND.look(hands, operation)
        KIND.apply(hands, operation, before)
        KIND.undo(hands, operation, before, False)
    finally:
        done.set()
        prober.join()
    assert len(answers) > 20 and set(answers) == {b"ok"}


def test_one_that_does_not_go_is_taken_back(start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was ordered and has not come must not come later, when everybody thinks it undone."""
    monkeypatch.setattr(_worker_count, "ONE_S", 2.0)
    server, hands = start("gunicorn", "--timeout", "300", workers=2), running.hands(tmp_path)
    asked = [server.ask("/sleep/8") for dummy in range(2)]
    operation = server.operation(workers=1)
    before = KIND.look(hands, operation)
    former = set(server.workers())
    with pytest.raises(Failed, match="still at work"):
        KIND.apply(hands, operation, before)
    assert hands.files.sent == [TOU, TIN]
    assert [running.answer(connection)[-2:] for connection in asked] == [b"ok", b"ok"]
    # the one that was told to go has gone, and was replaced
    server.until(lambda: len(server.workers()) == 2 and set(server.workers()) != former)
    assert "nothing to put back" in KIND.undo(hands, operation, before, False)
    assert KIND.look(hands, operation) == before


def test_an_undo_after_an_interruption_knows_what_is_on_its_way(start: Start, tmp_path: Path) -> None:
    server, hands = start("gunicorn", "--timeout", "300", workers=2), running.hands(tmp_path)
    asked = [server.ask("/sleep/10") for dummy in range(2)]
    operation = server.operation(workers=1)
    before = KIND.look(hands, operation)
    former = set(server.workers())
    # what a run that is killed right after its signal leaves behind
    _worker_count._note(hands, operation, "down")
    assert hands.files.signal(server.pid, operation["start_ticks"], signal.SIGTTOU)
    KIND.undo(hands, operation, before, False)
    assert hands.files.sent == [TOU, TIN]
    assert [running.answer(connection)[-2:] for connection in asked] == [b"ok", b"ok"]
    server.until(lambda: len(server.workers()) == 2 and set(server.workers()) != former)
    assert KIND.look(hands, operation) == before


def test_a_worker_that_ignores_sigterm(start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_worker_count, "ONE_S", 1.5)
    server, hands = start("gunicorn", workers=2, STUBBORN="1"), running.hands(tmp_path)

    def all_stubborn() -> bool:
        running.answer(server.ask())
        found = [_processes.status(server.machine, pid) for pid in server.workers()]
        return all(one is not None and _processes.has(one.ignored, 15) for one in found)

    server.until(all_stubborn)
    operation = server.operation(workers=1)
    before = KIND.look(hands, operation)
    with pytest.raises(Failed):
        KIND.apply(hands, operation, before)
    KIND.undo(hands, operation, before, False)
    assert len(server.workers()) == 2


@pytest.mark.parametrize("component", ("gunicorn", "uvicorn"))
def test_workers_that_are_killed_meanwhile(start: Start, tmp_path: Path, component: str) -> None:
    """As the kernel kills them when memory runs out: the master replaces them, and the sum must come out all the same."""
    server, hands = start(component, workers=4), running.hands(tmp_path)
    operation = server.operation(workers=2)
    before = KIND.look(hands, operation)
    done = threading.Event()

    def kill() -> None:
        for dummy in range(3):
            for pid in server.workers()[:1]:
                os.kill(pid, signal.SIGKILL)
            if done.wait(0.7):
                return

    killer = threading.Thread(target=kill)
    killer.start()
    KIND.apply(hands, operation, before)
    done.set()
    killer.join()
    assert hands.files.sent.count(TOU) <= 2
    server.until(lambda: _processes.settled(server.machine, lambda: len(server.workers())) == 4 - hands.files.sent.count(TOU))
    KIND.apply(hands, operation, before)
    assert KIND.look(hands, operation)["workers"] == 2
    KIND.undo(hands, operation, before, False)
    assert KIND.look(hands, operation)["workers"] == 4


def test_preloaded(start: Start, tmp_path: Path) -> None:
    server, hands = start("gunicorn", "--preload", workers=3), running.hands(tmp_path)
    operation = server.operation(workers=1)
    before = KIND.look(hands, operation)
    KIND.apply(hands, operation, before)
    assert len(server.workers()) == 1
    KIND.undo(hands, operation, before, False)
    assert len(server.workers()) == 3


def test_a_reload_is_waited_out(start: Start, tmp_path: Path) -> None:
    """HUP runs a new set of workers beside the old one: their sum is no number to go back to."""
    server, hands = start("gunicorn", "--timeout", "300", "--graceful-timeout", "300", workers=2), running.hands(tmp_path)
    time.sleep(1.5)
    asked = [server.ask("/sleep/8") for dummy in range(2)]
    time.sleep(0.5)
    os.kill(server.pid, signal.SIGHUP)
    server.until(lambda: len(server.workers()) == 4)
    operation = server.operation(workers=1, configured=2)
    with pytest.raises(Refused, match="being reloaded"):
        KIND.look(hands, operation)
    assert hands.files.sent == []
    assert [running.answer(connection)[-2:] for connection in asked] == [b"ok", b"ok"]
    server.until(lambda: len(server.workers()) == 2)
    assert KIND.look(hands, operation) == {"master": True, "workers": 2}


def test_an_upgrade_is_refused(start: Start, tmp_path: Path) -> None:
    server, hands = start("gunicorn", workers=2), running.hands(tmp_path)
    os.kill(server.pid, signal.SIGUSR2)
    server.until(lambda: any(_processes.is_second_master(server.machine, server.pid, child) for child in server.machine.children(server.pid)))
    assert len(server.workers()) == 2, "the second master is no worker"
    with pytest.raises(Refused, match="second master"):
        KIND.look(hands, server.operation(workers=1))
    assert hands.files.sent == []


def test_a_uvicorn_that_does_not_catch_it_never_gets_it(tmp_path: Path) -> None:
    """One process without a supervisor catches neither signal, as uvicorn's supervisor before 0.30: it would be stopped like a job of a shell."""
    (tmp_path / "one").mkdir()
    server, hands = running.Server(tmp_path / "one", "uvicorn", []), running.hands(tmp_path)
    try:
        server.until(lambda: os.path.exists(server.socket))
        operation = server.operation(workers=1)
        with pytest.raises(Refused, match="does not catch SIGTTOU"):
            KIND.look(hands, operation)
        before = {"master": True, "workers": 4}
        KIND.apply(hands, operation, before)
        with pytest.raises(Failed, match="does not catch SIGTTOU"):
            KIND.undo(hands, operation, before, False)
        assert hands.files.sent == []
        assert running.answer(server.ask())[-2:] == b"ok", "it is not stopped"
    finally:
        server.stop()


#: uvicorn 0.17's supervisor in short: spawned workers, and no handler but those of SIGINT and SIGTERM.
OLD_SUPERVISOR = """
import multiprocessing, signal, threading, time

def work():
    time.sleep(600)

if __name__ == "__main__":
    event = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *dummy: event.set())
    for dummy in range(3):
        multiprocessing.get_context("spawn").Process(target=work).start()
    event.wait()
"""


def test_an_old_supervisor_never_gets_it(tmp_path: Path) -> None:
    (tmp_path / "old.py").write_text(OLD_SUPERVISOR, encoding="utf-8")
    machine, hands = Machine(), running.hands(tmp_path)
    with subprocess.Popen([sys.executable, str(tmp_path / "old.py")], start_new_session=True) as process:
        try:
            end = time.monotonic() + 60
            while len(_processes.workers(machine, "uvicorn", process.pid)) < 3 and time.monotonic() < end:
                time.sleep(0.05)
            found = _processes.status(machine, process.pid)
            assert found is not None
            operation = {
                "kind": "worker_count", "service": "old.service", "component": "uvicorn", "unit": None, "pid": process.pid, "start_ticks": found.start_ticks,
                "workers": 1,
            }
            with pytest.raises(Refused, match="does not catch SIGTTOU"):
                KIND.look(hands, operation)
            with pytest.raises(Refused, match="does not catch SIGTTOU"):
                KIND.apply(hands, operation, {"master": True, "workers": 3})
            with pytest.raises(Failed, match="does not catch SIGTTOU"):
                KIND.undo(hands, operation, {"master": True, "workers": 4}, False)
            assert hands.files.sent == []
            now = machine.process(process.pid)
            assert now is not None and now.state != "T" and len(_processes.workers(machine, "uvicorn", process.pid)) == 3
        finally:
            os.killpg(process.pid, signal.SIGKILL)


def test_another_process_with_the_same_number(start: Start, tmp_path: Path) -> None:
    server, hands = start("gunicorn", workers=2), running.hands(tmp_path)
    operation = server.operation(workers=1)
    stale = dict(operation, start_ticks=operation["start_ticks"] - 1)
    with pytest.raises(Refused, match="another than the one"):
        KIND.look(hands, stale)
    with pytest.raises(Refused):
        KIND.apply(hands, stale, {"master": True, "workers": 2})
    # the master has gone and nothing says where its successor would be
    assert "nothing to put back" in KIND.undo(hands, stale, {"master": True, "workers": 4}, False)
    assert hands.files.sent == [] and len(server.workers()) == 2


def test_what_has_no_such_signal(tmp_path: Path) -> None:
    hands = running.hands(tmp_path)
    operation = {"kind": "worker_count", "service": "a", "component": "hypercorn", "unit": None, "pid": os.getpid(), "start_ticks": 0, "workers": 1}
    with pytest.raises(Refused, match="no signal that lowers"):
        KIND.look(hands, operation)
