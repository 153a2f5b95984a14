# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Hold the command line parser against a folder of labelled command lines."""

from __future__ import annotations

import json
import typing as t
from pathlib import Path

from ansible_collections.oncall.pressure.plugins.module_utils._parse import _command_line

if t.TYPE_CHECKING:
    from collections.abc import Iterator


def check(folder: Path | str) -> Iterator[tuple[str, str, str]]:
    """Every command line of ``FOLDER/commands.jsonl`` (or ``FOLDER/commands/commands.jsonl``) as (id, right|refused|wrong, detail)."""
    path = Path(folder) / "commands.jsonl"
    if not path.exists():
        path = Path(folder) / "commands" / "commands.jsonl"
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.strip():
            continue
        item = json.loads(line)
        found = _command_line.parse(item["raw"], item["kind"])
        if isinstance(found, _command_line.Refused):
            yield item["id"], "refused", found.reason
            continue
        flat = found.flat()
        wrong = ["%s: %r, labelled %r" % (name, flat.get(name), value) for name, value in item["label"].items() if flat.get(name) != value]
        yield item["id"], "wrong" if wrong else "right", "; ".join(wrong)
