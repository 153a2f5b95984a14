# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The name of a run, told by its workers: also by one whose run was killed."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import time
from typing import Any

from ansible_collections.oncall.pressure.plugins.action.incident import main_process
from ansible_collections.oncall.pressure.plugins.plugin_utils import _run

FORK = multiprocessing.get_context("fork")


def tell(pipe: int) -> None:
    with os.fdopen(pipe, "w", encoding="utf-8") as stream:
        json.dump({"main": main_process(), "parent": os.getppid()}, stream)


def when_alone(pipe: int, parent: int) -> None:
    """A worker that says whose it is once its run is gone."""
    while os.getppid() == parent:
        time.sleep(0.01)
    tell(pipe)


def killed_run(pipe: int) -> None:
    """A run that starts a worker, as Ansible does, and is killed."""
    FORK.Process(target=when_alone, args=(pipe, os.getpid())).start()
    os.kill(os.getpid(), signal.SIGKILL)


def heard(target: Any) -> Any:
    reading, writing = os.pipe()
    child = FORK.Process(target=target, args=(writing,))
    child.start()
    os.close(writing)
    with os.fdopen(reading, encoding="utf-8") as stream:
        said = json.load(stream)
    child.join()
    return said


def test_a_worker_belongs_to_the_process_that_forked_it() -> None:
    assert heard(tell) == {"main": os.getpid(), "parent": os.getpid()}


def test_a_worker_whose_run_was_killed_belongs_to_nobody() -> None:
    said = heard(killed_run)
    assert said["main"] is None
    assert said["parent"] != os.getpid()


def test_a_run_goes_on_as_long_as_its_main_process() -> None:
    assert _run.alive(_run.run_id(os.getpid()))
    child = FORK.Process(target=time.sleep, args=(60,))
    child.start()
    pid = child.pid
    assert pid is not None
    name = _run.run_id(pid)
    assert _run.alive(name)
    child.kill()
    child.join()
    assert not _run.alive(name)
