# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a real py-spy says of real Python processes that are busy, or wait, in ways that are known."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
import typing as t
from pathlib import Path

import pytest

from ansible_collections.oncall.pressure.plugins.module_utils._components import _hot_stacks, _snapshot
from ansible_collections.oncall.pressure.plugins.module_utils._host._collect import Options
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine
from ansible_collections.oncall.pressure.plugins.module_utils._parse import _proc
from ansible_collections.oncall.pressure.plugins.plugin_utils._stack_figures import stack_figures

PY_SPY = shutil.which("py-spy", path=os.path.dirname(sys.executable) + ":" + os.environ.get("PATH", ""))
pytestmark = pytest.mark.skipif(PY_SPY is None, reason="there is no py-spy here: pip install py-spy")

#: by name: the program, the group that its time goes to, the function of its own that it is in
PROGRAMS: t.Dict[str, t.Tuple[str, str, str]] = {
    "serialise": ("""
import json
def report():
    rows = [{"id": n, "name": "x" * 20, "tags": ["a", "b"]} for n in range(3000)]
    while True:
        json.dumps(rows, indent=1)
ready()
report()
""", "serialise", "report"),
    "loop": ("""
def scan(items, wanted):
    while True:
        for item in items:
            if item == wanted:
                return
ready()
scan(list(range(100000)), -1)
""", "loop", "scan"),
    "wait": ("""
import queue
def consume(q):
    ready()
    q.get()
consume(queue.Queue())
""", "wait", "consume"),
    "regex": ("""
import re
def check(text):
    ready()
    re.match(r"(a|aa)+$", text)
check("a" * 60 + "b")
""", "regex", "check"),
    "transform": ("""
import copy
def duplicate(rows):
    ready()
    while True:
        copy.deepcopy(rows)
duplicate([{"a": [1, 2, 3], "b": {"c": n}} for n in range(2000)])
""", "transform", "duplicate"),
    # in C: no frame of a library, and the processor is used by a thread that is not the first
    "thread": ("""
import hashlib, threading
def fingerprint():
    while True:
        hashlib.sha256(b"x" * 1000000).hexdigest()
threading.Thread(target=fingerprint, daemon=True).start()
ready()
threading.Event().wait()
""", "loop", "fingerprint"),
    "poll": ("""
import asyncio
async def poll():
    ready()
    while True:
        await asyncio.sleep(0)
asyncio.run(poll())
""", "coordinate", "<module>"),
}
READY = "def ready():\n    print('ready', flush=True)\n"


@pytest.fixture
def start(tmp_path: Path) -> t.Iterator[t.Callable[[str], subprocess.Popen[bytes]]]:
    """Starts a program by name, with py-spy in its own environment, and waits until it is at its work."""
    begun: t.List[subprocess.Popen[bytes]] = []
    shutil.copy(str(PY_SPY), str(tmp_path / "py-spy"))

    def begin(name: str) -> subprocess.Popen[bytes]:
        script = tmp_path / ("shop_%s.py" % name)
        script.write_text(READY + PROGRAMS[name][0], encoding="utf-8")
        process = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE)
        begun.append(process)
        assert process.stdout is not None and process.stdout.readline() == b"ready\n"
        return process

    yield begin
    for process in begun:
        process.kill()
        process.wait()


def shop(process: subprocess.Popen[bytes]) -> t.Dict[str, t.Any]:
    """The process as a service."""
    return {"id": "shop.service", "name": "shop", "manager": "systemd", "main_pid": process.pid, "workers": []}


def look(process: subprocess.Popen[bytes]) -> t.Dict[str, t.Any]:
    """The collector's row, taken as the snapshot does it: in a child with its limits."""
    return _snapshot._stacks(Machine(), Options(stacks="shop"), [shop(process)], {"top_cpu": []}, 4.5)


@pytest.mark.parametrize("name", list(PROGRAMS))
def test_what_it_is_busy_with(start: t.Callable[[str], subprocess.Popen[bytes]], name: str) -> None:
    process = start(name)
    dummy, group, function = PROGRAMS[name]
    row = look(process)
    assert row["status"] in ("ok", "partial"), row
    figures = stack_figures({"id": "shop.service"}, {"stacks": row["data"], "collectors": {"stacks": {"status": row["status"], "reason": row["reason"]}}})
    assert figures["group"] == group and figures["share"] >= 0.6, row
    # its own line of code is named, wherever the time goes
    assert figures["place"].startswith(function + " (shop_%s.py:" % name), row
    assert process.poll() is None and row["seconds"] < 4.5


def test_a_stopped_process_is_told_and_stays_stopped(start: t.Callable[[str], subprocess.Popen[bytes]]) -> None:
    process = start("loop")
    end = time.monotonic() + 30
    while _proc.stat(Machine().read("/proc/%d/stat" % process.pid)).user_ticks < 20:
        assert time.monotonic() < end
    process.send_signal(signal.SIGSTOP)
    while _proc.stat(Machine().read("/proc/%d/stat" % process.pid)).state != "T":
        assert time.monotonic() < end
    row = look(process)
    assert row["status"] == "ok" and row["data"]["places"][0]["place"].startswith("scan (shop_loop.py:"), row
    assert _proc.stat(Machine().read("/proc/%d/stat" % process.pid)).state == "T"


def test_a_process_that_is_gone_is_no_failure(start: t.Callable[[str], subprocess.Popen[bytes]]) -> None:
    process = start("wait")
    process.kill()
    process.wait()
    row = look(process)
    assert row["status"] == "absent" and "no Python program" in row["reason"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user")
def test_somebody_else_may_not_look(start: t.Callable[[str], subprocess.Popen[bytes]]) -> None:
    process = start("wait")
    pid = os.fork()
    if not pid:
        os.setuid(65534)
        # in this process: another would look for parts of a Python that may lie in root's own folder
        os._exit(0 if _hot_stacks.take(Machine(), [shop(process)], [], "shop", 4.5).status == "denied" else 1)
    assert os.waitpid(pid, 0)[1] == 0
