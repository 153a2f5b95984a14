# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run the product's playbooks as an operator does: by name, with -e, and read what they print."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from _common import ROOT, LabError


class Play:
    """One run of a playbook in the background; `printed` and `status` once it has ended."""

    def __init__(self, folder: Path, inventory: Path, playbook: str, host: str, variables: dict[str, Any]) -> None:
        self.path = folder / "{0}-{1}.log".format(playbook, time.monotonic_ns())
        program = Path(sys.executable).parent / "ansible-playbook"
        words = [str(program), "oncall.pressure." + playbook, "-i", str(inventory), "-l", host,
                 "-e", json.dumps(dict(variables, pressure_report_dir=str(folder / "reports")))]
        environment = dict(os.environ, ANSIBLE_CONFIG=str(ROOT / "ansible.cfg"), LC_ALL="C.UTF-8", PYTHONUNBUFFERED="1",
                           PATH=os.pathsep.join([str(program.parent), os.environ.get("PATH", "")]))
        environment.pop("PYTHONPATH", None)
        self.started = time.monotonic()
        self.ended: float | None = None
        with open(self.path, "wb") as stream:
            self.child = subprocess.Popen(words, cwd=str(ROOT), env=environment, stdin=subprocess.DEVNULL, stdout=stream, stderr=subprocess.STDOUT,
                                          start_new_session=True)

    @property
    def printed(self) -> str:
        return self.path.read_text(encoding="utf-8", errors="backslashreplace")

    def wait(self, timeout_s: float = 400) -> int:
        try:
            status = self.child.wait(timeout_s)
        except subprocess.TimeoutExpired as problem:
            self.kill()
            raise LabError("the playbook has not ended after {0:.0f} s: {1}".format(timeout_s, self.printed[-400:])) from problem
        self.ended = time.monotonic()
        return status

    def kill(self) -> float:
        """The operator's machine goes: nothing of the run is left to say or do anything."""
        os.killpg(self.child.pid, signal.SIGKILL)
        self.child.wait()
        self.ended = time.monotonic()
        return self.ended

    def block(self, host: str) -> list[str]:
        """What the product said of the host's change, from "HOST  SERVICE: 8 workers -> 6" to the blank line."""
        found: list[str] = []
        for line in self.printed.splitlines():
            if found and line.strip():
                found.append(line.strip())
            elif found:
                return found
            elif re.match(re.escape(host) + r"  \S+: ", line):
                found.append(line[len(host):].strip())
        return found

    def target(self, host: str) -> int | None:
        """The number of workers that the product says it goes for."""
        match = re.search(r"-> (\d+)", " ".join(self.block(host)[:1]))
        return int(match.group(1)) if match else None
