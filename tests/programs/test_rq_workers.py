# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which rq workers are stopped, and how they are told apart: processes that behave as rq's do, since rq itself needs Redis."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import typing as t

import pytest

from ansible_collections.oncall.pressure.plugins.module_utils._change._kinds import Refused
from ansible_collections.oncall.pressure.plugins.module_utils._controls import _rq_workers, _runtime, _supervisor_program
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine

#: rq's worker forks for a job (the child ignores SIGINT, rq.worker.setup_work_horse_signals), and perhaps for its scheduler.
PROCESS = """
import os, signal, sys, time
def child(ignores):
    if os.fork() == 0:
        signal.signal(signal.SIGINT, signal.SIG_IGN if ignores else lambda *dummy: None)
        time.sleep(600)
if "job" in sys.argv:
    child(True)
if "scheduler" in sys.argv:
    child(False)
print("ready", flush=True)
time.sleep(600)
"""


@pytest.fixture
def worker() -> t.Iterator[t.Callable[..., int]]:
    begun: t.List["subprocess.Popen[bytes]"] = []

    def start(*words: str) -> int:
        begun.append(subprocess.Popen([sys.executable, "-c", PROCESS] + list(words), stdout=subprocess.PIPE, start_new_session=True))
        stream = begun[-1].stdout
        assert stream is not None and stream.readline() == b"ready\n"
        # the child may still be on its way to its signals
        end = time.monotonic() + 30
        while "job" in words and not _rq_workers.busy(Machine(), begun[-1].pid) and time.monotonic() < end:
            time.sleep(0.02)
        return begun[-1].pid

    yield start
    for process in begun:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def _row(number: int, pid: int, workers: int = 1) -> t.Dict[str, t.Any]:
    name = "rq@%d.service" % number
    return {"id": name, "name": name, "manager": "systemd", "component": "rq", "main_pid": pid, "settings": {"workers": {"value": workers}}}


def test_busy_is_one_that_runs_a_job(worker: t.Callable[..., int]) -> None:
    machine = Machine()
    assert not _rq_workers.busy(machine, worker())
    assert not _rq_workers.busy(machine, worker("scheduler"))
    assert _rq_workers.busy(machine, worker("job", "scheduler"))


def test_idle_ones_first_and_never_the_last(worker: t.Callable[..., int]) -> None:
    machine = Machine()
    rows = [_row(1, worker("job")), _row(2, worker()), _row(3, worker("scheduler")), _row(4, worker("job"))]

    def stopped(target: int) -> t.List[str]:
        return [operation["unit"] for operation in _runtime.rq_plan(machine, rows, target)]

    assert stopped(2) == ["rq@3.service", "rq@2.service"]
    assert set(stopped(1)[:2]) == {"rq@2.service", "rq@3.service"} and len(stopped(1)) == 3
    assert len(stopped(0)) == 3 and stopped(4) == [] and stopped(9) == []


def test_a_worker_pool_takes_no_number(worker: t.Callable[..., int]) -> None:
    with pytest.raises(Refused, match="is a worker-pool"):
        _runtime.plan(Machine(), _row(1, worker("worker-pool")), 1)


def test_instances_of_one_template() -> None:
    rows = [_row(1, 11), _row(2, 12), dict(_row(3, 13), main_pid=None), dict(_row(4, 14), component="celery"), dict(_row(5, 15), name="other@5.service")]
    assert [row["id"] for row in _runtime.rq_siblings(rows, rows[0])] == ["rq@1.service", "rq@2.service"]
    single = dict(_row(1, 11), name="rq.service")
    assert _runtime.rq_siblings(rows, single) == [single]


@pytest.mark.parametrize("full, program, expected", (
    ("web", "web", True), ("rq:rq_00", "rq", True), ("group:rq", "rq", True), ("group:rq_01", "rq", True), ("group:rq_01", "group", True),
    ("web2", "web", False), ("rq:rq_00", "rq:rq_00", True), ("rq:rq_00", "rq:rq_01", False), ("group:rqx", "rq", False),
))
def test_which_process_is_of_which_program(full: str, program: str, expected: bool) -> None:
    assert _supervisor_program.belongs(full, program) is expected
