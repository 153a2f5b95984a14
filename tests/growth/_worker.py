# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A worker: holds memory in the ways programs do, by what it is told of work on standard input. Ends with its input.

Its one argument is JSON: ``base`` bytes at once; ``warm`` bytes more, loaded over ``warm_s``; ``keep_per_s`` bytes that nothing releases; ``keep_per_work``
the same for each piece of work; ``hold_per_work`` for as long as there is this much work; ``retain``: what was once held is not given back; ``noise``:
bytes that come and go; ``recycle_after`` pieces of work after which it ends; ``burn_s``: of a
processor for each piece.
"""

from __future__ import annotations

import json
import math
import mmap
import os
import random
import select
import sys
import time

CHUNK = 64 * 1024
TICK_S = 0.2


def burn(seconds: float) -> None:
    """Uses a processor for that long."""
    until = time.process_time() + seconds
    while time.process_time() < until:
        pass


def payloads(store: list[mmap.mmap], wanted: float) -> None:
    """The same of large buffers, which go back to the system when they are released. What lies on the heap often does not."""
    while len(store) * CHUNK < wanted:
        store.append(mmap.mmap(-1, CHUNK))
        store[-1].write(b"p" * CHUNK)
    while len(store) * CHUNK >= wanted + CHUNK:
        store.pop().close()


def hold(store: list[bytes], wanted: float) -> None:
    """As many chunks as that takes, last come first gone."""
    while len(store) * CHUNK < wanted:
        store.append(bytes([len(store) % 251 + 1]) * CHUNK)
    del store[max(math.ceil(wanted / CHUNK), 0):]


def main() -> None:
    """Holds what it should until its input ends."""
    asked = json.loads(sys.argv[1])
    chance = random.Random(asked["seed"])
    kept: list[bytes] = []
    held: list[mmap.mmap] = []
    loose: list[mmap.mmap] = []
    started = time.monotonic()
    done = per_tick = most = 0.0
    while True:
        ready, dummy, dummy = select.select([sys.stdin], [], [], TICK_S)
        if ready:
            # not by lines: what is buffered is not ready to select
            lines = os.read(sys.stdin.fileno(), 65536).split()
            if not lines:
                return
            per_tick = float(lines[-1])
            done += sum(map(float, lines))
            burn(asked["burn_s"] * per_tick)
        lived = time.monotonic() - started
        warm = asked["warm"] * (1 - math.exp(-3 * lived / asked["warm_s"])) if asked["warm"] else 0.0
        hold(kept, asked["base"] + warm + asked["keep_per_s"] * lived + asked["keep_per_work"] * done)
        most = max(most, per_tick * asked["hold_per_work"])
        payloads(held, most if asked["retain"] else per_tick * asked["hold_per_work"])
        if asked["noise"]:
            payloads(loose, chance.random() * asked["noise"])
        if asked["recycle_after"] and done >= asked["recycle_after"]:
            return


if __name__ == "__main__":
    main()
