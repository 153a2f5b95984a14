# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the check programs of this folder share: where things are, running programs, counting, telling.

Every check program ends with a line ``N passed, N failed`` that counts what it really did,
and exits 0 only when something passed and nothing failed.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

ROOT = Path(__file__).resolve().parent.parent.parent
VENV = ROOT / ".venv"
CACHE = ROOT / ".cache"


class Done(NamedTuple):
    """A program that ended: its exit status and everything it wrote, standard error after standard output."""

    status: int
    output: str
    seconds: float


def program(name: str) -> str:
    """The path of a program of the environment."""
    return str(VENV / "bin" / name)


def run(command: Sequence[str], cwd: Path = ROOT, env: Optional[Dict[str, str]] = None, timeout_s: float = 3600) -> Done:
    """Run a program to its end and return what it wrote; a program that cannot be run counts as status 127."""
    started = time.monotonic()
    try:
        ended = subprocess.run(
            list(command),
            cwd=str(cwd),
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=timeout_s,
            check=False,
        )
    except FileNotFoundError as error:
        return Done(127, str(error), time.monotonic() - started)
    except subprocess.TimeoutExpired as error:
        written = error.stdout or b""
        return Done(124, "%s\nstopped after %d s" % (written.decode("utf-8", "backslashreplace"), timeout_s), time.monotonic() - started)
    return Done(ended.returncode, ended.stdout.decode("utf-8", "backslashreplace"), time.monotonic() - started)


def project_files(suffixes: Tuple[str, ...] = ()) -> List[Path]:
    """The project's own files, relative to its root: those git knows and those it would add, sorted."""
    listed = run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"])
    if listed.status != 0:
        raise SystemExit("the checks need git and a clone: %s" % listed.output.strip())
    names = sorted(name for name in listed.output.split("\0") if name)
    paths = [Path(name) for name in names if not suffixes or name.endswith(suffixes)]
    return [path for path in paths if os.path.lexists(str(ROOT / path))]


def clean_environment(**extra: str) -> Dict[str, str]:
    """This process's environment without settings of Ansible, plus ``extra``; the environment's programs come first."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "MAKE", "MFLAGS"))}
    kept["PATH"] = "%s%s%s" % (VENV / "bin", os.pathsep, kept.get("PATH", os.defpath))
    kept["LC_ALL"] = "C.UTF-8"
    kept.update(extra)
    return kept


class Tally:
    """Counts named checks and tells each as it ends."""

    def __init__(self) -> None:
        self.passed = 0
        self.failed = 0

    def tell(self, name: str, good: bool, note: str = "", detail: str = "", seconds: Optional[float] = None) -> bool:
        """Count one check; ``detail`` is printed only when it failed."""
        took = "" if seconds is None else "  %.1f s" % seconds
        print("%-6s %s%s%s" % ("ok" if good else "FAILED", name, "  (%s)" % note if note else "", took), flush=True)
        if good:
            self.passed += 1
        else:
            self.failed += 1
            if detail:
                print(detail.rstrip(), flush=True)
        return good

    def end(self) -> None:
        """Print the counts and leave: 0 when something passed and nothing failed, else 1."""
        print("%d passed, %d failed" % (self.passed, self.failed), flush=True)
        sys.exit(0 if self.passed and not self.failed else 1)
