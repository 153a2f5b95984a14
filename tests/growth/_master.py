# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A master with workers below it: starts them, hands out work, replaces those that end. Ends, with its workers, when its input ends.

Standard input: one JSON line a tick, ``{"work": pieces for all of them}`` and, where there are to be more, ``"start": [what each is told]``;
``"restart": [..]`` replaces all. ``keep_per_s``: bytes that the master itself keeps.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

WORKER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "_worker.py")
CHUNK = 64 * 1024


class Seat:
    """A worker's place: what it is told, and the process that has it now."""

    def __init__(self, told: dict[str, float]) -> None:
        self.told = told
        self.process = self.begin()

    def begin(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-I", "-S", WORKER, json.dumps(self.told)], stdin=subprocess.PIPE)

    def work(self, pieces: float) -> None:
        """Hands it work; one that ended is replaced."""
        if self.process.poll() is not None:
            # what is told anew is young: only the first ones were given a lead in age
            self.told = dict(self.told, recycle_after=self.told.get("again", self.told["recycle_after"]))
            self.process = self.begin()
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(b"%.4f\n" % pieces)
            self.process.stdin.flush()
        except BrokenPipeError:
            pass

    def end(self) -> None:
        self.process.kill()
        self.process.wait()


def main() -> None:
    """Serves until its input ends."""
    keep_per_s = float(sys.argv[1])
    seats: list[Seat] = []
    kept: list[bytes] = []
    started = time.monotonic()
    for line in sys.stdin:
        told = json.loads(line)
        if "restart" in told:
            for seat in seats:
                seat.end()
            seats = [Seat(item) for item in told["restart"]]
        seats += [Seat(item) for item in told.get("start", [])]
        for seat in seats:
            seat.work(told["work"] / len(seats))
        while len(kept) * CHUNK < keep_per_s * (time.monotonic() - started):
            kept.append(b"m" * CHUNK)
    for seat in seats:
        seat.end()


if __name__ == "__main__":
    main()
