# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run every molecule scenario from creation to removal, one after another."""

from __future__ import annotations

import random
import re
import sys
from pathlib import Path

from checks import ROOT, Tally, clean_environment, program, run


# Scenarios that the whole run leaves out, with the reason; `make scenarios ALL=1` runs them too.
SLOW = {"pause_jobs": "it waits for the minutes of a real cron: ten minutes by itself"}

# Of these a whole run plays one, drawn at random, as it does of incidents: all of them take a quarter of an hour.
DRAWN = ("limit_requests", "lower_workers", "recycle_workers", "restart_service")


WRONG = re.compile(r"fatal:|FAILED!|^ *│? *lab: |AssertionError|^E  ")


def left_out() -> dict[str, str]:
    """The scenarios that a short run leaves out this time, with the reason."""
    others = random.SystemRandom().sample(DRAWN, len(DRAWN) - 1)
    return dict(SLOW, **dict.fromkeys(others, "others were drawn this time; make scenarios ALL=1 plays all"))


def failure(output: str) -> str:
    """What a scenario wrote, and last the lines that say what went wrong: whoever reads a long record sees its end."""
    plain = [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in output.splitlines()]
    return "\n".join([output.rstrip(), "-- what went wrong:"] + [line[:1000] for line in plain if WRONG.search(line)][-20:])


def main() -> None:
    """Make sure that there is a container engine, then run the scenarios named, or all; with --fast all but the slow ones and one that is drawn."""
    tally = Tally()
    engine = run([str(ROOT / "tests" / "lab" / "engine")])
    print(engine.output.rstrip(), flush=True)
    if not tally.tell("a container engine", engine.status == 0, seconds=engine.seconds):
        tally.end()
    fast = "--fast" in sys.argv[1:]
    named = [name for name in sys.argv[1:] if name != "--fast"]
    out = left_out() if fast else {}
    names = named or sorted(path.parent.name for path in (ROOT / "molecule").glob("*/molecule.yml") if path.parent.name not in out)
    for name, reason in sorted(out.items()):
        print("said   scenario %s is left out: %s" % (name, reason))
    environment = clean_environment(
        ANSIBLE_CONFIG=str(ROOT / "ansible.cfg"),
        # molecule's own playbooks need the collections of the environment beside ours
        ANSIBLE_COLLECTIONS_PATH=str(ROOT / ".venv" / "collections"),
        PROJECT_ROOT=str(Path(ROOT)),
    )
    for name in names:
        done = run([program("molecule"), "test", "--scenario-name", name], env=environment)
        tally.tell("scenario %s" % name, done.status == 0, detail=failure(done.output), seconds=done.seconds)
    if not names:
        tally.tell("scenarios", False, "none was found under molecule/")
    tally.end()


if __name__ == "__main__":
    main()
