# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The corpus of crontabs and timers: ``cron.jsonl`` says of each file in ``files/`` which jobs it has.

Right is: format, number of jobs and of variables as labelled (of a timer its triggers), and, for jobs drawn at random, the operation that pauses them
marks these lines alone and its undo gives the same bytes, with what somebody added meanwhile kept.
"""

from __future__ import annotations

import os
import random
import shutil
import tempfile
from pathlib import Path
from typing import Any, Dict, List

from ansible_collections.oncall.pressure.plugins.module_utils._change._kinds import Hands
from ansible_collections.oncall.pressure.plugins.module_utils._controls import _crontab as kind
from ansible_collections.oncall.pressure.plugins.module_utils._host._files import Files
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine
from ansible_collections.oncall.pressure.plugins.module_utils._parse import _crontab, _unit_file

from _rows import RIGHT, WRONG, Row, items

_DRAWS = 5
_PLACE = "/etc/cron.d/corpus"


def check(folder: Path, seed: int) -> List[Row]:
    """A row for each file of ``folder/cron.jsonl``."""
    draw = random.Random(seed)
    return [_row(item, (folder / "files" / item["file"]).read_bytes(), draw) for item in items(folder / "cron.jsonl")]


def _row(item: Dict[str, Any], data: bytes, draw: random.Random) -> Row:
    label = item["label"]
    if item["kind"] == "systemd-timer":
        wrong = _timer(label, data)
    else:
        system = _crontab.seems_system(data)
        lines = _crontab.read(data, system)
        jobs = [line for line in lines if line.kind == "job"]
        found = {"jobs": len(jobs), "format": ("system" if system else "user") if jobs else None}
        if "env_lines" in label:
            found["env_lines"] = sum(line.kind == "variable" for line in lines)
        wrong = ["%s %r, labelled %r" % (name, value, label[name]) for name, value in found.items() if value != label[name]]
        if jobs:
            wrong += _paused(data, system, [line.number for line in jobs], draw)
    return Row(item["file"], WRONG if wrong else RIGHT, "; ".join(wrong))


def _timer(label: Dict[str, Any], data: bytes) -> List[str]:
    entries = _unit_file.merge([("timer", data.decode("utf-8", "backslashreplace"))], "Timer")
    found = sorted("%s=%s" % (name, entry.value) for name, values in entries.items() if name.startswith("On") and name != "OnClockChange" for entry in values)
    stated = sorted("=".join(part.strip() for part in text.split("=", 1)) for text in label["triggers"])
    return [] if found == stated else ["triggers %r, labelled %r" % (found, label["triggers"])]


def _paused(data: bytes, system: bool, numbers: List[int], draw: random.Random) -> List[str]:
    """What the operation does wrong on a file of this machine that holds these bytes."""
    root = Path(tempfile.mkdtemp(prefix="pressure-cron-"))
    try:
        place = root / _PLACE.lstrip("/")
        place.parent.mkdir(parents=True)
        wrong: List[str] = []
        for dummy in range(_DRAWS):
            place.write_bytes(data)
            os.chmod(str(place), draw.choice([0o600, 0o644, 0o640]))
            wrong += _once(Hands(Machine(), Files(str(root)), ""), place, system, sorted(draw.sample(numbers, draw.randint(1, len(numbers)))), draw)
        return wrong[:1]
    finally:
        shutil.rmtree(str(root), ignore_errors=True)


def _once(hands: Hands, place: Path, system: bool, chosen: List[int], draw: random.Random) -> List[str]:
    data, mode = place.read_bytes(), place.stat().st_mode
    raw = _crontab.lines_of(data, chosen)
    operation = {"kind": "crontab", "path": _PLACE, "system": system, "lines": [kind.digest(line) for line in raw]}
    before = kind.look(hands, operation)
    kind.apply(hands, operation, before)
    paused = place.read_bytes()
    # lines that are the same, byte for byte, are paused together
    expected = [_crontab.MARK + line if line in raw and number in {row.number for row in _crontab.read(data, system) if row.kind == "job"} else line
                for number, line in enumerate(data.split(b"\n"), 1)]
    if paused != b"\n".join(expected):
        return ["pausing lines %s changed something else" % chosen]
    added = draw.choice([b"", b"# added meanwhile\n"])
    place.write_bytes(added + paused)
    kind.undo(hands, operation, before, False)
    if place.read_bytes() != added + data or place.stat().st_mode != mode:
        return ["resuming lines %s does not give the same bytes" % chosen]
    return []
