# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the corpus checks share: the row that each gives for an item, and reading JSON lines.

A corpus check is a module ``_NAME.py`` beside this one with ``check(folder) -> rows``, where ``folder`` is ``DIR/NAME``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Dict, List, NamedTuple

RIGHT = "right"
REFUSED = "refused"
WRONG = "wrong"


class Row(NamedTuple):
    """One item: its id; right, refused or wrong; why (of a refusal, what a person can do; of a wrong one, what differs)."""

    id: str
    outcome: str
    detail: str


def items(path: Path) -> List[Dict[str, Any]]:
    """The objects of a file of JSON lines. Raises OSError, ValueError."""
    # Not splitlines(): a text may hold characters that it takes for line ends.
    with open(str(path), encoding="utf-8", newline="\n") as stream:
        return [json.loads(line) for line in stream if line.strip()]
