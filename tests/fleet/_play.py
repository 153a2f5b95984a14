# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run ansible-playbook as an operator does, in the background, and read what it says."""

from __future__ import annotations

import atexit
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Callable

from _common import ROOT, LabError

# Enough for the longest run of this suite; one that takes longer hangs.
LONGEST_S = 600
RECAP = re.compile(r"^(\S+)\s+: ok=(\d+)\s+changed=(\d+)\s+unreachable=(\d+)\s+failed=(\d+)\s+skipped=(\d+)\s+rescued=(\d+)\s+ignored=(\d+)", re.MULTILINE)
COUNTS = ("ok", "changed", "unreachable", "failed", "skipped", "rescued", "ignored")


def environment(**more: str) -> dict[str, str]:
    """Of an operator in a checkout: its configuration and nothing else of Ansible."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "PYTHONPATH", "MAKE"))}
    path = os.pathsep.join([str(Path(sys.executable).parent), kept.get("PATH", os.defpath)])
    kept.update({"PATH": path, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".venv" / "collections"),
                 "LC_ALL": "C.UTF-8", "PYTHONUNBUFFERED": "1"})
    return dict(kept, **more)


class Play:
    """One run of a playbook."""

    def __init__(self, folder: Path, playbook: str, inventory: str, *words: str, variables: dict[str, Any] | None = None, program: str = "ansible-playbook",
                 **more: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.reports = folder / "reports"
        self.path = folder / "said-{0}.log".format(time.monotonic_ns())
        given = dict({"pressure_report_dir": str(self.reports)}, **(variables or {}))
        argv = [program, playbook, "-i", inventory, "-e", json.dumps(given), *words]
        self.started = time.monotonic()
        self.seconds = 0.0
        self.status: int | None = None
        with open(self.path, "wb") as stream:
            self.child = subprocess.Popen(argv, cwd=str(folder), env=environment(**more), stdin=subprocess.DEVNULL, stdout=stream, stderr=subprocess.STDOUT,
                                          start_new_session=True)
        # a suite that is ended leaves no run behind that goes on changing hosts
        atexit.register(self.end)

    @property
    def raw(self) -> bytes:
        return self.path.read_bytes()

    @property
    def said(self) -> str:
        return self.raw.decode("utf-8", "backslashreplace")

    @property
    def line(self) -> str:
        """The wrapped text of the screen as one line."""
        return " ".join(self.said.split())

    def wait(self, timeout_s: float = LONGEST_S) -> int:
        try:
            self.status = self.child.wait(timeout_s)
        except subprocess.TimeoutExpired as problem:
            self.signal(signal.SIGKILL)
            self.child.wait()
            raise LabError("the playbook has not ended after {0:.0f} s: {1}".format(timeout_s, self.said[-400:])) from problem
        finally:
            self.seconds = time.monotonic() - self.started
        return self.status

    def signal(self, number: int) -> None:
        """To the whole process group, as a terminal does it."""
        try:
            os.killpg(self.child.pid, number)
        except ProcessLookupError:
            return

    def end(self) -> None:
        if self.child.poll() is None:
            self.signal(signal.SIGKILL)

    def until(self, truth: Callable[[], bool], timeout_s: float = 180) -> bool:
        """Wait for something while it runs; false where it ended, or the time did, first."""
        until = time.monotonic() + timeout_s
        while time.monotonic() < until:
            if truth():
                return True
            if self.child.poll() is not None:
                return truth()
            time.sleep(0.05)
        return False

    def recap(self) -> dict[str, dict[str, int]]:
        """The counts of each host at the end."""
        return {found[0]: dict(zip(COUNTS, map(int, found[1:]))) for found in RECAP.findall(self.said)}

    def document(self, name: str) -> Any:
        """One document of the newest run; null where it was not written."""
        path = self.reports / "latest" / name
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except OSError:
            return None

    def outcomes(self) -> dict[str, str]:
        """What each host came to, as the run wrote it."""
        found = {}
        for path in sorted((self.reports / "latest" / "outcomes").glob("*.json")):
            row = json.loads(path.read_text(encoding="utf-8"))
            found[row["host"]] = row["state"]
        return found


def ran(*arguments: Any, **more: Any) -> Play:
    """A run that has ended."""
    play = Play(*arguments, **more)
    play.wait()
    return play
