# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fewer processes of running celery workers: real ones, whose broker is a folder."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import typing as t
from pathlib import Path

import pytest
import running
from celery.utils.nodenames import default_nodename, host_format

from ansible_collections.oncall.pressure.plugins.module_utils._change._kinds import Failed, Refused
from ansible_collections.oncall.pressure.plugins.module_utils._controls import _celery_pool, _celery_remote, _processes, _retire_worker, _runtime
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine

APPLICATION = '''
import os, time
from celery import Celery
here = os.path.dirname(os.path.abspath(__file__))
app = Celery("shop", broker="filesystem://")
folders = {"data_folder_in": here + "/data", "data_folder_out": here + "/data", "control_folder": here + "/control", "polling_interval": 0.1}
app.conf.update(broker_transport_options=folders, task_ignore_result=True, worker_hijack_root_logger=False)
print("loaded: {\\"not\\": \\"an answer\\"")


@app.task
def nap(seconds):
    time.sleep(seconds)
'''


class Worker:
    """A celery worker with a pool of processes."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.folder, self.machine = folder, Machine()
        (folder / "data").mkdir(exist_ok=True)
        (folder / "control").mkdir(exist_ok=True)
        (folder / "shop.py").write_text(APPLICATION, encoding="utf-8")
        self.environment = dict(os.environ, SHOP_PASSWORD="correct-horse-battery", PYTHONDONTWRITEBYTECODE="1")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "celery", "-A", "shop", "worker", "--without-mingle", "--without-gossip", "--without-heartbeat"] + list(arguments),
            cwd=str(folder), env=self.environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )
        self.pid = self.process.pid

    def children(self) -> t.List[int]:
        return _processes.workers(self.machine, "celery", self.pid)

    def until(self, true: t.Callable[[], bool]) -> None:
        end = time.monotonic() + 60
        while not true():
            assert self.process.poll() is None and time.monotonic() < end, "%r" % (self.children(),)
            time.sleep(0.1)

    def operation(self, **more: t.Any) -> t.Dict[str, t.Any]:
        found = _processes.status(self.machine, self.pid)
        assert found is not None
        made = {"kind": "celery_pool", "service": "shop-work.service", "component": "celery", "unit": None, "pid": self.pid, "start_ticks": found.start_ticks}
        return dict(made, **more)

    def nap(self, seconds: float, times: int) -> None:
        """Give it tasks, and wait until they are worked on."""
        code = "import shop\nfor dummy in range(%d): shop.nap.delay(%r)" % (times, seconds)
        subprocess.run([sys.executable, "-c", code], cwd=str(self.folder), env=self.environment, check=True, stdout=subprocess.DEVNULL)
        with _celery_remote.client(self.machine, self.operation()) as client:
            self.until(lambda: len(client.active_pids()) == times)

    def stop(self) -> None:
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()


@pytest.fixture
def begin(tmp_path: Path) -> t.Iterator[t.Callable[..., Worker]]:
    """Starts workers: ``begin(children, *arguments)``; they end with the test."""
    begun: t.List[Worker] = []

    def start(children: int, *arguments: str) -> Worker:
        begun.append(Worker(tmp_path, "-c", str(children), *arguments))
        begun[-1].until(lambda: len(begun[-1].children()) == children)
        return begun[-1]

    yield start
    for worker in begun:
        worker.stop()


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> t.Dict[str, t.List[t.Any]]:
    """How often celery's own program was started, and what it was told."""
    found: t.Dict[str, t.List[t.Any]] = {"starts": [], "orders": []}
    start, tell = _celery_remote._start, _celery_remote.Client.tell

    def starting(machine: Machine, to: _celery_remote.Remote) -> t.Any:
        found["starts"].append(to.node)
        return start(machine, to)

    def telling(self: _celery_remote.Client, order: str, number: int) -> t.Optional[str]:
        found["orders"].append((order, number))
        return tell(self, order, number)

    monkeypatch.setattr(_celery_remote, "_start", starting)
    monkeypatch.setattr(_celery_remote.Client, "tell", telling)
    return found


def test_children_go_at_once_and_come_back(begin: t.Callable[..., Worker], tmp_path: Path, told: t.Dict[str, t.List[t.Any]]) -> None:
    worker, hands, kind = begin(5, "-n", "one@%h"), running.hands(tmp_path), _celery_pool.KIND
    operation = worker.operation(workers=1)
    before = kind.look(hands, operation)
    assert before == {"master": True, "workers": 5} and not kind.reached(operation, before, before)
    assert kind.show(hands, operation, before) == ("shop-work.service (running pool processes)", "5\n", "1\n")
    kind.apply(hands, operation, before)
    now = kind.look(hands, operation)
    assert now["workers"] == 1 and kind.reached(operation, before, now)
    assert told == {"starts": [told["starts"][0]], "orders": [("pool_shrink", 4)]}
    assert "5 pool processes again" in kind.undo(hands, operation, before, False)
    assert kind.look(hands, operation) == before
    assert len(told["starts"]) == 2 and told["orders"][1:] == [("pool_grow", 4)]
    assert "nothing to put back" in kind.undo(hands, operation, before, False)
    with _celery_remote.client(worker.machine, operation) as client:
        assert client.pool_pids() == worker.children(), "the worker counts as many as it has"
    kept = json.dumps([operation, before, now]) + "".join(path.read_text() for path in (tmp_path / "root" / "entry").iterdir())
    assert "horse" not in kept, "nothing of the environment is kept"


def test_only_idle_ones_go(begin: t.Callable[..., Worker], tmp_path: Path, told: t.Dict[str, t.List[t.Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    """Three of four are busy: the idle one goes, the others keep their tasks."""
    monkeypatch.setattr(_celery_pool, "_TRIES", 2)
    worker, hands = begin(4), running.hands(tmp_path)
    worker.nap(120, 3)
    del told["starts"][:]
    operation = worker.operation(workers=1)
    with pytest.raises(Failed, match="its 3 processes are busy"):
        _celery_pool.apply(hands, operation, {"master": True, "workers": 4})
    assert len(worker.children()) == 3 and told == {"starts": [told["starts"][0]], "orders": [("pool_shrink", 1)]}
    assert "4 pool processes again" in _celery_pool.undo(hands, operation, {"master": True, "workers": 4}, False)


def test_a_busy_pool(begin: t.Callable[..., Worker], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """celery refuses with exit status 0; it is seen, said, and a restart is proposed."""
    for module, name in ((_celery_pool, "_TRIES"), (_retire_worker, "_TRIES"), (_runtime, "_SAMPLES")):
        monkeypatch.setattr(module, name, 2)
    worker, hands = begin(2), running.hands(tmp_path)
    worker.nap(120, 2)
    operation = worker.operation(workers=1)
    before = _celery_pool.look(hands, operation)
    with pytest.raises(Failed, match="busy and celery ends only idle ones; a restart"):
        _celery_pool.apply(hands, operation, before)
    assert len(worker.children()) == 2
    with pytest.raises(Refused, match="0 of its processes are idle .* restart it"):
        _runtime.plan(Machine(), _service(worker), 1)
    # and the largest is not ended either
    with pytest.raises(Refused, match="would lose its task"):
        _retire_worker.apply(hands, _retire(worker), {"master": True, "worker": True, "workers": 2})
    assert hands.files.sent == [] and len(worker.children()) == 2


def test_an_idle_one_is_replaced(begin: t.Callable[..., Worker], tmp_path: Path) -> None:
    worker, hands, kind = begin(2), running.hands(tmp_path), _retire_worker.KIND
    operation = _retire(worker)
    before = kind.look(hands, operation)
    assert not kind.reached(operation, before, before)
    kind.apply(hands, operation, before)
    now = kind.look(hands, operation)
    assert kind.reached(operation, before, now) and operation["worker_pid"] not in worker.children() and len(worker.children()) == 2
    assert hands.files.sent == [signal.SIGTERM]


def _retire(worker: Worker) -> t.Dict[str, t.Any]:
    child = worker.children()[0]
    found = _processes.status(worker.machine, child)
    assert found is not None
    return worker.operation(kind="retire_worker", worker_pid=child, worker_start_ticks=found.start_ticks)


def _service(worker: Worker, **settings: t.Any) -> t.Dict[str, t.Any]:
    rows = {name: {"value": value} for name, value in settings.items()}
    return {"id": "shop-work.service", "name": "shop-work.service", "manager": "systemd", "component": "celery", "main_pid": worker.pid, "settings": rows}


def test_what_is_planned_is_what_can_be_done(begin: t.Callable[..., Worker], tmp_path: Path) -> None:
    worker = begin(2)
    operations = _runtime.plan(Machine(), _service(worker, worker_class="prefork"), 1)
    assert operations == [worker.operation(workers=1, unit="shop-work.service")]
    assert _runtime.plan(Machine(), _service(worker), 2) == []
    for pool in ("solo", "threads", "gevent", "celery.concurrency.eventlet"):
        with pytest.raises(Refused, match="no processes that could be ended; set it in its configuration and restart it"):
            _runtime.plan(Machine(), _service(worker, worker_class=pool), 1)


def test_autoscale_and_solo_are_refused(begin: t.Callable[..., Worker], tmp_path: Path) -> None:
    hands = running.hands(tmp_path)
    worker = begin(2, "--autoscale", "2,2")
    with pytest.raises(Refused, match="autoscale"):
        _celery_pool.look(hands, worker.operation(workers=1))
    alone = begin(0, "-P", "solo")
    with pytest.raises(Refused, match="pool solo"):
        _celery_pool.look(hands, alone.operation(workers=1))


def test_an_embedded_beat_is_no_worker(begin: t.Callable[..., Worker], tmp_path: Path) -> None:
    worker = begin(2, "--beat", "--schedule", str(tmp_path / "schedule"))
    worker.until(lambda: len(worker.machine.children(worker.pid)) == 3)
    assert _processes.settled(worker.machine, lambda: len(worker.children())) == 2


def test_short_of_memory_nothing_is_run(begin: t.Callable[..., Worker], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    worker, hands = begin(2), running.hands(tmp_path)
    monkeypatch.setattr(_celery_remote, "NEED_BYTES", 2 ** 50)
    ran: t.List[t.Any] = []
    monkeypatch.setattr(_celery_remote, "Talk", lambda *argument: ran.append(argument))
    with pytest.raises(Refused, match=r"needs \d+ MB and only \d+ MB are free"):
        _celery_pool.apply(hands, worker.operation(workers=1), {"master": True, "workers": 2})
    assert ran == []


def test_free_memory_is_that_of_the_host_and_of_every_limit_above(tmp_path: Path) -> None:
    def put(path: str, text: str) -> None:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text, encoding="utf-8")

    put("commands.json", "{}")
    machine = Machine(str(tmp_path))
    assert _celery_remote.free_bytes(machine) is None
    put("proc/meminfo", "MemTotal: 8000 kB\nMemAvailable:    4000 kB\n")
    put("proc/self/cgroup", "0::/system.slice/a.service\n")
    assert _celery_remote.free_bytes(machine) == 4000 * 1024
    put("sys/fs/cgroup/system.slice/memory.max", "3000000\n")
    put("sys/fs/cgroup/system.slice/memory.current", "2000000\n")
    put("sys/fs/cgroup/system.slice/memory.stat", "anon 1\ninactive_file 500000\n")
    assert _celery_remote.free_bytes(machine) == 1500000
    put("proc/self/cgroup", "5:cpu,memory:/a\n0::/\n")
    put("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n")
    put("sys/fs/cgroup/memory/memory.usage_in_bytes", "1\n")
    put("sys/fs/cgroup/memory/a/memory.limit_in_bytes", "1000000\n")
    put("sys/fs/cgroup/memory/a/memory.usage_in_bytes", "900000\n")
    assert _celery_remote.free_bytes(machine) == 100000


@pytest.mark.parametrize("argv, python, folder, options, node, pool, autoscale", (
    ("/v/bin/python /v/bin/celery -A shop worker -c 4", "/v/bin/python", "/v/bin", "-A shop", None, None, False),
    ("python3 -X dev -m celery --app=shop --workdir /srv worker -n a@%h -Pgevent", "python3 -X dev", "", "--app=shop", "a@%h", "gevent", False),
    ("python /v/bin/celery -A shop -b redis://x --workdir=/ worker --hostname=a --pool=solo", "python", "/v/bin", "-A shop -b redis://x", "a", "solo", False),
    ("python /v/bin/celery worker -A shop -b redis://x --autoscale=4,1", "python", "/v/bin", "-A shop -b redis://x", None, None, True),
    ("python /v/bin/celery -Ashop -q worker --autoscale 4,1 -nw", "python", "/v/bin", "-Ashop", "w", None, True),
))
def test_command_lines(argv: str, python: str, folder: str, options: str, node: t.Optional[str], pool: t.Optional[str], autoscale: bool) -> None:
    assert _celery_remote.command(argv.split()) == (python.split(), folder, options.split(), node, pool, autoscale)


@pytest.mark.parametrize("argv", (
    ["[celeryd: celery@h:MainProcess] -active- (worker -A shop)"], ["python", "/v/bin/celery", "-A", "shop", "beat"], ["python", "manage.py", "celery"],
    ["vim", "celery.py"], [], ["python", "/v/bin/celery", "-A", "worker"],
    ["celery", "-A", "shop", "worker"],
))
def test_what_is_no_command_line_of_a_worker(argv: t.List[str]) -> None:
    assert _celery_remote.command(argv) is None


@pytest.mark.parametrize("given", (None, "a", "a@b", "a@%h", "w1@%n", "%n@%d", "%h", "@x", "a@b.example"))
def test_node_names_are_celerys(given: t.Optional[str], monkeypatch: pytest.MonkeyPatch) -> None:
    for host in ("web1", "web1.shop.example"):
        monkeypatch.setattr("celery.utils.nodenames.gethostname", lambda host=host: host)
        assert _celery_remote.node_name(given, host) == host_format(default_nodename(given), host=host)


def test_a_name_that_only_the_worker_fills_in() -> None:
    assert _celery_remote.node_name("w%i@%h", "web1") is None
