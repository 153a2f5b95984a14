# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The largest worker of a running master, replaced: real gunicorn and uvicorn. celery's children are in test_celery_pool.py."""

from __future__ import annotations

import os
import signal
import typing as t
from pathlib import Path

import pytest
import running

from ansible_collections.oncall.pressure.plugins.module_utils._change._kinds import Refused
from ansible_collections.oncall.pressure.plugins.module_utils._controls import _processes, _runtime
from ansible_collections.oncall.pressure.plugins.module_utils._controls._retire_worker import KIND
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine

Start = t.Callable[..., running.Server]


def _service(server: running.Server, sizes: t.Optional[t.Dict[int, int]] = None) -> t.Dict[str, t.Any]:
    workers = [{"pid": pid, "pss_bytes": (sizes or {}).get(pid), "rss_bytes": 1000 + pid} for pid in server.workers()]
    return {"id": "shop.service", "name": "shop.service", "manager": "systemd", "component": server.component, "main_pid": server.pid, "workers": workers}


@pytest.mark.parametrize("component", ("gunicorn", "uvicorn"))
def test_the_largest_is_replaced(start: Start, tmp_path: Path, component: str) -> None:
    server, hands = start(component, workers=2), running.hands(tmp_path)
    former = server.workers()
    operation, = _runtime.retire_plan(Machine(), _service(server, {former[0]: 9000, former[1]: 5000}))
    assert operation["worker_pid"] == former[0]
    before = KIND.look(hands, operation)
    assert before == {"master": True, "worker": True, "workers": 2} and not KIND.reached(operation, before, before)
    shown = KIND.show(hands, operation, before)
    assert shown is not None and not any(str(pid) in "".join(shown) for pid in former + [server.pid])
    asked = server.ask("/sleep/2")
    KIND.apply(hands, operation, before)
    now = KIND.look(hands, operation)
    assert KIND.reached(operation, before, now) and former[0] not in server.workers() and former[1] in server.workers()
    assert hands.files.sent == [signal.SIGTERM]
    assert running.answer(asked)[-2:] == b"ok"
    assert "nothing to put back" in KIND.undo(hands, operation, before, False)


def test_one_that_has_gone_already_is_no_change(start: Start, tmp_path: Path) -> None:
    server, hands = start("gunicorn", workers=2), running.hands(tmp_path)
    operation, = _runtime.retire_plan(Machine(), _service(server))
    os.kill(operation["worker_pid"], signal.SIGKILL)
    server.until(lambda: operation["worker_pid"] not in server.workers() and len(server.workers()) == 2)
    before = KIND.look(hands, operation)
    assert KIND.reached(operation, before, before)
    left = server.workers()
    KIND.apply(hands, operation, before)
    assert server.workers() == left, "no other is taken in its place"


def test_where_nobody_would_replace_it(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    server, hands = running.Server(tmp_path / "one", "uvicorn", []), running.hands(tmp_path)
    try:
        server.until(server.answers)
        found = _processes.status(server.machine, server.pid)
        assert found is not None
        operation = server.operation(kind="retire_worker", worker_pid=server.pid, worker_start_ticks=found.start_ticks)
        with pytest.raises(Refused, match="does not replace a worker"):
            KIND.look(hands, operation)
        with pytest.raises(Refused, match="no workers"):
            _runtime.retire_plan(Machine(), _service(server))
        assert hands.files.sent == []
    finally:
        server.stop()
