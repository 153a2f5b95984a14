# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the recycling timer starts, on real gunicorn and uvicorn; under systemd it is started in the scenario recycle_workers."""

from __future__ import annotations

import os
import signal
import typing as t
from pathlib import Path

import pytest
import running

from ansible_collections.oncall.pressure.plugins.module_utils._change import _journal, _lease
from ansible_collections.oncall.pressure.plugins.module_utils._controls import _mains, _recycle_program
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine

Start = t.Callable[..., running.Server]


@pytest.fixture
def recycle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> t.Callable[..., t.Tuple[bool, str]]:
    """Runs the program on a server; what stands for the host's files is a folder, and no service manager says which process is the main one."""
    monkeypatch.setattr(_recycle_program, "_BETWEEN_S", 0.5)
    home = str(tmp_path / "root" / "state")
    monkeypatch.setattr(_journal, "HOME", "/state")
    monkeypatch.setattr(_lease, "PATH", "/state/lease")
    monkeypatch.setattr(_journal, "INCIDENTS", home + "/incidents")

    def run(server: running.Server) -> t.Tuple[bool, str]:
        monkeypatch.setattr(_mains, "main_process", lambda *dummy: server.pid if server.process.poll() is None else None)
        return _recycle_program.recycle(Machine(), running.hands(tmp_path).files, server.component, "shop.service")

    return run


@pytest.mark.parametrize("component", ("gunicorn", "uvicorn"))
def test_all_are_replaced_the_oldest_first_and_no_request_is_lost(start: Start, recycle: t.Any, component: str) -> None:
    server = start(component, workers=3)
    former = server.workers()
    order = [pid for pid, dummy in _recycle_program.oldest_first(server.machine, component, server.pid)]
    assert sorted(order) == sorted(former)
    asked = server.ask("/sleep/2")
    least: t.List[int] = []
    look = _recycle_program._retire_worker.reached
    try:
        _recycle_program._retire_worker.reached = lambda *words: least.append(len(server.workers())) or look(*words)
        assert recycle(server) == (True, "shop.service: all 3 workers replaced")
    finally:
        _recycle_program._retire_worker.reached = look
    assert running.answer(asked)[-2:] == b"ok" and server.answers()
    assert not set(server.workers()) & set(former) and len(server.workers()) == 3 and least == [3, 3, 3]
    assert server.process.poll() is None


def test_what_goes_first(start: Start, recycle: t.Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = start("gunicorn", workers=2)
    former = server.workers()
    held = running.hands(tmp_path).files
    held.make_folders("/state", 0o700)
    lock = held.lock("/state/lease")
    assert lock is not None
    well, said = recycle(server)
    assert well and "0 of 2 workers replaced; then left alone: somebody" in said
    held.unlock(lock)
    flag = tmp_path / "root" / "etc" / "oncall-pressure" / "read-only"
    flag.parent.mkdir(parents=True)
    flag.touch()
    assert "set to read-only" in recycle(server)[1]
    flag.unlink()
    folder = tmp_path / "root" / "state" / "incidents" / "inc" / "01"
    folder.mkdir(parents=True)
    (folder / "journal.jsonl").write_text('{"state": "intent", "boot": "b", "sequence": 1}\n{"state": "verified", "deadline_s": 5, "boot": "b"}\n')
    assert "change inc/01 of this host is open" in recycle(server)[1]
    assert server.workers() == former
    with open(str(folder / "journal.jsonl"), "a", encoding="ascii") as journal:
        journal.write('{"state": "confirmed", "deadline_s": null, "boot": "b"}\n')
    assert recycle(server) == (True, "shop.service: all 2 workers replaced"), "what is confirmed is not in the way"


def test_it_stops_where_a_worker_stays(start: Start, recycle: t.Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that does not end on SIGTERM is not ended otherwise, and no other is touched."""
    monkeypatch.setattr(_recycle_program._retire_worker, "_GONE_S", 2.0)
    server = start("gunicorn", workers=2, STUBBORN="1")
    former = server.workers()
    for dummy in range(20):
        running.answer(server.ask())
    well, said = recycle(server)
    assert not well and "0 workers replaced; then stopped" in said and server.workers() == former


def test_one_worker_or_none(start: Start, recycle: t.Any) -> None:
    server = start("gunicorn", workers=1)
    former = server.workers()
    well, said = recycle(server)
    assert well and "one worker, whose successor would not be there yet" in said and server.workers() == former
    os.killpg(server.pid, signal.SIGKILL)
    server.process.wait()
    assert recycle(server) == (True, "shop.service does not run: there is no worker to replace")
