# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tasks that go wrong in the ways that runbooks name: tried again, killed, too slow, without memory. ``python3 -m scene_tasks`` sends some of
each, ``python3 -m scene_tasks once`` those that stay as well."""

from __future__ import annotations

import os
import signal
import sys
import time

from celery import Celery

BROKER = "redis://127.0.0.1:6379/3"

app = Celery("scene", broker=BROKER, backend=BROKER)
app.conf.task_acks_late = True
app.conf.result_expires = None
app.conf.task_default_queue = "scene"
app.conf.broker_connection_retry_on_startup = True


@app.task(name="scene.flaky", bind=True, max_retries=3)
def flaky(self):
    """Fail and be tried again a second later."""
    raise self.retry(exc=ConnectionError("no answer"), countdown=1)


@app.task(name="scene.killed", acks_late=False)
def killed():
    """Die as at the hands of the kernel."""
    os.kill(os.getpid(), signal.SIGKILL)


@app.task(name="scene.slow", soft_time_limit=1)
def slow():
    """Run into the soft time limit."""
    time.sleep(5)


@app.task(name="scene.large")
def large():
    """Ask for more memory than there is."""
    return len(bytearray(1 << 50))


@app.task(name="scene.sum")
def add(first, second):
    """End well, after a while."""
    time.sleep(0.05)
    return first + second


@app.task(name="scene.wait")
def wait(text):
    """Keep a child busy."""
    time.sleep(300)
    return len(text)


def once():
    """Two children busy for long with more reserved behind them, and a queue that nobody takes from."""
    for unused in range(2):
        wait.delay("x" * 20000)
    for unused in range(30):
        wait.apply_async(("y" * 200000,), queue="later")


def main():
    if sys.argv[1:] == ["once"]:
        once()
    for task in (flaky, flaky, slow, large, killed):
        task.delay()
    for number in range(10):
        add.delay(number, number)


if __name__ == "__main__":
    main()
