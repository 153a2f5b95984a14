# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The shop's rq jobs. rq forks a process for each job, so what a job keeps is gone when it ends."""

from __future__ import annotations

import os

import work


def ping():
    return os.getpid()


def mail(fill_mib=0, burn_s=0.0, sleep_s=0.0):
    work.keep_up_to(int(fill_mib))
    work.burn(burn_s)
    work.nap(sleep_s)
    return os.getpid()
