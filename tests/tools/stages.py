# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run the stages named on the command line in order, stop at the first that fails, tell what each took.

A stage is a make target that ends with a line ``N passed, N failed``. The last line here adds those up;
a stage that ended without such a line, or with another status than its counts say, is one failure of its own.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
from typing import List, NamedTuple

from checks import ROOT

COUNTS = re.compile(r"^(\d+) passed, (\d+) failed(?:, (\d+) skipped)?$")


class Stage(NamedTuple):
    """One stage that ran: its counts and how long it took."""

    name: str
    passed: int
    failed: int
    skipped: int
    seconds: float


def run_stage(name: str) -> Stage:
    """Run one make target, letting its output through, and read its counts from its last such line."""
    print("\n== %s" % name, flush=True)
    started = time.monotonic()
    passed = failed = skipped = 0
    counted = False
    child = subprocess.Popen(["make", name], cwd=str(ROOT), stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if child.stdout is not None:
        for raw in child.stdout:
            line = raw.decode("utf-8", "backslashreplace")
            sys.stdout.write(line)
            sys.stdout.flush()
            match = COUNTS.match(line.strip())
            if match:
                counted = True
                passed, failed, skipped = (int(match.group(1)), int(match.group(2)), int(match.group(3) or 0))
    status = child.wait()
    if not counted:
        print("stage %s printed no line of counts (exit status %d)" % (name, status))
        passed, failed = 0, 1
    elif status != 0 and failed == 0:
        print("stage %s counted no failure but ended with exit status %d" % (name, status))
        failed = 1
    elif status == 0 and (failed or not passed):
        print("stage %s ended with exit status 0 but %d passed, %d failed" % (name, passed, failed))
        failed = failed or 1
    return Stage(name, passed, failed, skipped, time.monotonic() - started)


def main(names: List[str]) -> int:
    """Run the stages; 0 only when every one of them ran and none failed."""
    done: List[Stage] = []
    for name in names:
        done.append(run_stage(name))
        if done[-1].failed:
            break
    print("\n%-12s %8s %8s %8s %9s" % ("stage", "passed", "failed", "skipped", "seconds"))
    for stage in done:
        print("%-12s %8d %8d %8d %9.1f" % stage)
    for name in names[len(done):]:
        print("%-12s %8s" % (name, "not run"))
    print("%-12s %8s %8s %8s %9.1f" % ("all", "", "", "", sum(stage.seconds for stage in done)))
    failed = sum(stage.failed for stage in done)
    print("%d passed, %d failed" % (sum(stage.passed for stage in done), failed))
    return 0 if done and len(done) == len(names) and not failed else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
