# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rewrite the worker count of every command line of the corpus that sets one, and read it back.

Right is: the count is the drawn one, every other label is what it was, and nothing but one short stretch of the text changed.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any, Dict, List

from ansible_collections.oncall.pressure.plugins.module_utils._parse import _command_line, _rewrite_command

from _rows import REFUSED, RIGHT, WRONG, Row, items

#: an option of two words and its quotes take no more
LONGEST_STRETCH = 40


def check(folder: Path, seed: int) -> List[Row]:
    """A row for each command line of ``folder/commands.jsonl`` that sets a worker count; ``seed``: of the counts that are drawn."""
    drawn = random.Random(seed)
    return [_row(item, drawn) for item in items(folder / "commands.jsonl") if item["label"]["workers"] is not None]


def _row(item: Dict[str, Any], drawn: random.Random) -> Row:
    label, raw, kind = item["label"], item["raw"], item["kind"]
    count = drawn.choice([number for number in range(1, 65) if number != label["workers"]])
    text = _rewrite_command.rewrite(raw, kind, {"workers": count})
    if isinstance(text, _command_line.Refused):
        return Row(item["id"], REFUSED, text.reason)
    found = _command_line.parse(text, kind)
    if isinstance(found, _command_line.Refused):
        return Row(item["id"], WRONG, "what was written cannot be read: " + found.reason)
    flat, wanted = found.flat(), dict(label, workers=count)
    differences = ["%s: %r, not %r" % (name, flat.get(name), value) for name, value in wanted.items() if flat.get(name) != value]
    gone, come = stretches(raw, text)
    if max(len(gone), len(come)) > LONGEST_STRETCH:
        differences.append("%r became %r" % (gone, come))
    return Row(item["id"], WRONG if differences else RIGHT, "; ".join(differences))


def stretches(before: str, after: str) -> "tuple[str, str]":
    """The stretch of each text that the other does not have, between what they begin and end with alike."""
    least = min(len(before), len(after))
    start = next((place for place in range(least) if before[place] != after[place]), least)
    end = next((place for place in range(least - start) if before[-1 - place] != after[-1 - place]), least - start)
    return before[start: len(before) - end], after[start: len(after) - end]
