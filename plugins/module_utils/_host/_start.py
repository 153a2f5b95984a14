# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a program of ours is started with, and how it ends.

Private to oncall.pressure: no stable interface.
"""

from __future__ import annotations

import os.path
import sys


def words() -> list[str]:
    """The arguments."""
    return sys.argv[1:]


def program() -> str:
    """The program's own file."""
    return os.path.abspath(sys.argv[0])


def say(line: str, problem: bool = False) -> None:
    """One line for whoever reads our output; the journal of the service manager, mostly."""
    (sys.stderr if problem else sys.stdout).write(line + "\n")


def end(status: int) -> None:
    """Leave with an exit status."""
    raise SystemExit(status)
