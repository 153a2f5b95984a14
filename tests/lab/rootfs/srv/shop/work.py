# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the lab's applications can be asked to do: keep memory, burn a core, sleep."""

from __future__ import annotations

import threading
import time

MIB = 1024 * 1024
KEPT: list[bytearray] = []
_LOCK = threading.Lock()


def kept_mib() -> int:
    """MiB this process has kept so far."""
    return sum(len(block) for block in KEPT) // MIB


def keep(mib: int) -> int:
    """Keep `mib` more MiB in this process for good; returns what is kept now."""
    with _LOCK:
        for unused in range(mib):
            # Written, not only reserved: untouched pages cost the process nothing.
            KEPT.append(bytearray(b"\x5a") * MIB)
    return kept_mib()


def keep_up_to(mib: int) -> int:
    """Fill this process' cache to `mib` MiB; a call on a full cache does nothing."""
    return keep(max(0, mib - kept_mib()))


def burn(seconds: float) -> int:
    """Compute for `seconds` of this thread's own CPU time, so that a crowded machine does not shorten the work."""
    turns = 0
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        turns += sum(value * value for value in range(400)) & 1
    return turns


def nap(seconds: float) -> float:
    """Wait without computing."""
    time.sleep(seconds)
    return seconds
