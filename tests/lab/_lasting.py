# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lasting form on a real systemd: a container of the lab's image that is made for it and removed after. Exit status 1 where anything is wrong."""

from __future__ import annotations

import argparse
import json
import random
import sys
import time

import _containers
import _image
from _common import LabError, engine, options, run, say

NAME, PORT = "lasting-1", 22095
HERE = __file__.rpartition("/")[0]
ON_HOST = "/opt/lasting"


def start(program: str) -> None:
    data = options()
    data["hosts"] = {NAME: {"ssh_port": PORT}}
    run([program, "rm", "--force", "--volumes", NAME], check=False)
    run(_containers.run_words(program, NAME, _image.build(), data))
    until = time.monotonic() + 120
    while run([program, "exec", NAME, "systemctl", "is-system-running"], check=False).stdout.strip() not in ("running", "degraded"):
        if time.monotonic() > until:
            raise LabError("%s does not come up" % NAME)
        time.sleep(0.5)


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests/lab/lasting", description=(__doc__ or "").partition(":")[0])
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 31), help="draw the same counts again")
    parsed = parser.parse_args()
    program = engine()
    say("seed %d" % parsed.seed)
    start(program)
    try:
        collection = ON_HOST + "/ansible_collections/oncall/pressure"
        run([program, "exec", NAME, "mkdir", "-p", collection])
        run([program, "cp", HERE + "/../../plugins", "%s:%s/" % (NAME, collection)])
        run([program, "cp", HERE + "/lasting_host.py", "%s:%s/" % (NAME, ON_HOST)])
        words = ["env", "PYTHONPATH=" + ON_HOST, "PYTHONDONTWRITEBYTECODE=1", "python3", ON_HOST + "/lasting_host.py", str(parsed.seed)]
        rows = [json.loads(line) for line in run([program, "exec", NAME, *words]).stdout.splitlines()]
    finally:
        run([program, "rm", "--force", "--volumes", NAME], check=False)
    for row in rows:
        say("%-8s %-16s %d -> %d  %s" % (row["outcome"], row["name"], row["old"], row["new"], row["detail"]))
    counts = {outcome: sum(row["outcome"] == outcome for row in rows) for outcome in ("right", "refused", "wrong")}
    say("lasting: %d right, %d refused as they must be, %d wrong" % (counts["right"], counts["refused"], counts["wrong"]))
    return 1 if counts["wrong"] or not rows else 0


if __name__ == "__main__":
    sys.exit(main())
