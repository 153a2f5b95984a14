# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The recorder's own start: ``python3 -I recorder.pyz`` takes one sample of this host's memory and keeps it.

Private to oncall.pressure: no stable interface. A timer on the host starts it (:mod:`_recorder`). It changes nothing but its own files.

Samples are added to a part, a line each; a part that is full or older than some hours becomes the older one, in the place of the one before it.
Every ten minutes the mean of the samples since is added to other parts, which so reach back for a week. What the next look needs lies in /run, which
ends with the boot as do the counters that it holds.
"""

from __future__ import annotations

import json
import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._components import _footprint
from ansible_collections.oncall.pressure.plugins.module_utils._components._footprint import Earlier
from ansible_collections.oncall.pressure.plugins.module_utils._host import _start
from ansible_collections.oncall.pressure.plugins.module_utils._host._files import Files, Untrusted
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine
from ansible_collections.oncall.pressure.plugins.module_utils._host._parts import Parts
from ansible_collections.oncall.pressure.plugins.module_utils._host._text import clean, decode
from ansible_collections.oncall.pressure.plugins.module_utils._parse import _memory_history
from ansible_collections.oncall.pressure.plugins.module_utils._parse._memory_history import COARSE, FINE, FOLDER, LINE_BYTES, OLDER, PART_BYTES, Sample

#: What one look leaves for the next.
LEFT: t.Final = "/run/oncall-pressure-recorder/left"

#: A part is begun anew after so many seconds: there are always the last six hours at full detail, and a week of means.
FINE_S: t.Final = 21600.0
COARSE_S: t.Final = 604800.0

#: How many seconds a mean is of.
MEAN_S: t.Final = 600.0

#: The end of a part in which the samples of one mean are looked for.
_TAIL_BYTES = 524288


class Left(t.NamedTuple):
    """What the last look left: itself, and when the last mean was made (seconds since boot)."""

    earlier: Earlier
    mean_up_s: float


def main() -> None:
    """Ends the process: 0 kept, 1 not."""
    if _start.words():
        _start.say("usage, as root: python3 -I %s" % _start.program(), problem=True)
        _start.end(2)
    problem = record(Machine(), Parts())
    if problem is not None:
        _start.say(problem, problem=True)
    _start.end(0 if problem is None else 1)


def record(machine: Machine, files: Parts) -> str | None:
    """Take a sample and keep it; why it could not be kept. A full disk costs the samples of that time and nothing else."""
    before = left(machine, files)
    sample, earlier = _footprint.look(machine, frozenset((machine.pid(),)), before.earlier if before is not None else None)
    mean_up_s = before.mean_up_s if before is not None else sample.up_s
    try:
        files.make_folders(FOLDER, 0o700)
        keep(machine, files, FINE, sample, FINE_S)
        if sample.up_s - mean_up_s >= MEAN_S:
            # its own sample has been added: the mean ends with it
            mean = _memory_history.mean(since(machine, mean_up_s, sample))
            mean_up_s = sample.up_s
            if mean is not None:
                keep(machine, files, COARSE, mean, COARSE_S)
    except (OSError, Untrusted) as problem:
        return "the sample was not kept: %s" % clean(str(problem), 300)
    finally:
        try:
            leave(machine, files, Left(earlier, mean_up_s))
        except (OSError, Untrusted):
            # the next sample then has no rates
            pass
    return None


def keep(machine: Machine, files: Parts, path: str, sample: Sample, part_s: float) -> None:
    """Add a sample to a part, which is begun anew where it would be too large or is too old. Raises Untrusted, OSError."""
    data = (_memory_history.line(sample) + "\n").encode("ascii")
    size, first = _begin(machine, path)
    if size:
        age_s = _memory_history.age_s(first, sample.at_s, sample.up_s, sample.boot) if first is not None else None
        # one that begins in the future, or with what is none of ours, is put away too
        if size + len(data) > PART_BYTES or age_s is None or age_s > part_s:
            files.rename(path, path.rpartition("/")[2] + OLDER)
    files.append(path, data)


def _begin(machine: Machine, path: str) -> tuple[int, Sample | None]:
    """The size of a part, and its first sample."""
    try:
        size = machine.lstat(path).st_size
        first = decode(machine.read(path, LINE_BYTES + 1)).partition("\n")[0]
    except FileNotFoundError:
        return 0, None
    return size, _memory_history.sample(first)


def since(machine: Machine, up_s: float, last: Sample) -> list[Sample]:
    """The samples after a moment of this boot, up to ``last``. Raises OSError."""
    with machine.open(FINE) as stream:
        size = stream.seek(0, 2)
        stream.seek(max(size - _TAIL_BYTES, 0))
        lines = decode(stream.read(_TAIL_BYTES)).split("\n")
    found = []
    for line in lines:
        stamp = _memory_history.stamp(line)
        if stamp is not None and stamp.boot == last.boot and up_s < stamp.up_s <= last.up_s:
            found.append(_memory_history.sample(line))
    return [one for one in found if one is not None]


def left(machine: Machine, files: Files) -> Left | None:
    """What the last look of this boot left; null where there is none that can be understood."""
    try:
        value = json.loads(decode(files.read(LEFT)[1]))
        if value["boot"] != _footprint.boot(machine):
            return None
        logs = {str(path): (int(where[0]), int(where[1]), int(where[2])) for path, where in value["logs"].items()}
        cpu = {str(name): float(seconds) for name, seconds in value["cpu"].items()}
        return Left(Earlier(float(value["up_s"]), cpu, logs), float(value["mean_up_s"]))
    except (OSError, Untrusted, ValueError, KeyError, TypeError, AttributeError, IndexError):
        return None


def leave(machine: Machine, files: Files, what: Left) -> None:
    """Raises Untrusted, OSError."""
    files.make_folders(LEFT.rpartition("/")[0], 0o700)
    earlier = what.earlier
    text = json.dumps({
        "boot": _footprint.boot(machine), "up_s": earlier.up_s, "mean_up_s": what.mean_up_s, "cpu": earlier.cpu, "logs": earlier.logs,
    })
    files.write(LEFT, text.encode("ascii"), {"mode": "0600"})
