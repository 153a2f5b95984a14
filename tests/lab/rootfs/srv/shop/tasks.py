# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The shop's celery tasks."""

from __future__ import annotations

import os

import work
from celery import Celery

app = Celery("shop", broker=os.environ.get("BROKER_URL", "redis://127.0.0.1:6379/0"))
app.conf.task_ignore_result = True
app.conf.broker_connection_retry_on_startup = True


@app.task(name="shop.ping")
def ping():
    return os.getpid()


@app.task(name="shop.report")
def report(before_s=0.0, fill_mib=0, burn_s=0.0, sleep_s=0.0):
    """One job: wait for its input, fill this child's cache, compute, wait."""
    work.nap(before_s)
    work.keep_up_to(int(fill_mib))
    work.burn(burn_s)
    work.nap(sleep_s)
    return os.getpid()
