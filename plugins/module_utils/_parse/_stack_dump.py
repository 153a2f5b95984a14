# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where the threads of a Python process stand: what ``py-spy dump`` and ``python -m asyncio pstree`` (3.14) write, and what several such dumps come to.

Private to oncall.pressure: no stable interface. Pure: lines in, plain data out.
"""

from __future__ import annotations

import re
import typing as t
from collections import Counter

from ansible_collections.oncall.pressure.plugins.module_utils._parse import _stack_groups

# py-spy 0.3 and 0.4: Thread 812 (active+gil): "MainThread"; before, hexadecimal ids.
_THREAD = re.compile(r"Thread (?:0x)?[0-9A-Fa-f]{1,16} \((?P<state>[a-z+]{1,20})\)")
_FRAME = re.compile(r"\s{1,8}(?P<function>\S.{0,300}?) \((?P<file>[^()]{1,300}?)(?::(?P<line>\d{1,7}))?\)\s*\Z")
# asyncio: branches, then "(T) name" of a task, or a frame "function path:line"
_TASK = re.compile(r"[\s\u2500-\u257f|+`-]{0,400}\(T\) ")
_AWAITS = re.compile(r"[\s\u2500-\u257f|+`-]{1,400}(?P<function>[^\s(][^\s]{0,300}) (?P<file>\S.{0,300}):(?P<line>\d{1,7})\s*\Z")

_THREADS = 64
_DEEPEST = 64

#: One function that this part of the samples stand in is a loop of its own; where they are spread, it is only code of its own.
SAME = 0.6
_PLACES = 5
_SHOWN = 12


class Frame(t.NamedTuple):
    """One frame: function (qualified from Python 3.11 on), file as short as it was told, line (null: not told)."""

    function: str
    file: str
    line: int | None

    def words(self, line: bool = True) -> str:
        """As people read it."""
        return "%s (%s%s)" % (self.function, self.file, ":%d" % self.line if line and self.line is not None else "")


class Stack(t.NamedTuple):
    """One thread, its innermost frame first. running: whether it ran when it was looked at; null of a task, of which that is not told."""

    running: bool | None
    frames: tuple[Frame, ...]


class Sample(t.NamedTuple):
    """One stack judged: its group, its innermost frame, the first frame outwards that is in no library we know (null: there is none), the stack."""

    group: str
    inner: Frame
    own: Frame | None
    stack: Stack


def stacks(lines: t.Sequence[str]) -> list[Stack]:
    """The stacks of one dump, those without a frame left out."""
    found: list[tuple[bool | None, list[Frame]]] = []
    for line in lines:
        thread = _THREAD.match(line)
        if thread is not None:
            found.append((thread.group("state").startswith("active"), []))
        elif _TASK.match(line):
            found.append((None, []))
        elif found and len(found[-1][1]) < _DEEPEST:
            match = (_AWAITS if found[-1][0] is None else _FRAME).match(line)
            if match is not None:
                frame = Frame(match.group("function"), match.group("file"), int(match.group("line")) if match.group("line") else None)
                # a task is told from the outside in
                found[-1][1].insert(0 if found[-1][0] is None else len(found[-1][1]), frame)
        if len(found) > _THREADS:
            break
    return [Stack(running, tuple(frames)) for running, frames in found[:_THREADS] if frames]


def judged(dump: t.Sequence[Stack]) -> list[Sample]:
    """The threads that ran in one dump; where none did, its first thread, which waits. Tasks are no samples: whether they run is not told."""
    threads = [stack for stack in dump if stack.running is not None]
    running = [stack for stack in threads if stack.running]
    return [_sample(stack) for stack in running] or [_sample(stack)._replace(group="wait") for stack in threads[:1]]


def _sample(stack: Stack) -> Sample:
    inner = stack.frames[0]
    group = next(filter(None, (_stack_groups.group_of(frame.file, frame.function, depth) for depth, frame in enumerate(stack.frames))), None)
    own = next((frame for frame in stack.frames if _stack_groups.group_of(frame.file, frame.function, 0) is None), None)
    return Sample(group or "own_code", inner, own, stack)


def summed(dumps: t.Sequence[t.Sequence[Stack]]) -> dict[str, t.Any]:
    """What the dumps of one process come to: ``{"samples", "groups": [{"group", "samples", "share"}], "places": [{"place", "inside", "group", "samples",
    "share"}], "stack": [text]}``. Where they tell tasks only: the places that these stand at, and no groups."""
    samples = [sample for dump in dumps for sample in judged(dump)]
    count = len(samples)
    alone = Counter(_function(sample) for sample in samples if sample.group == "own_code")
    samples = [sample._replace(group="loop") if sample.group == "own_code" and count > 1 and alone[_function(sample)] >= SAME * count else sample
               for sample in samples]
    groups = Counter(sample.group for sample in samples)
    placed = samples or [Sample("", stack.frames[0], stack.frames[0], stack) for dump in dumps for stack in dump]
    # a process that is not stopped may be told without its outer frames: such a sample stands where most of its group do
    known = {group: Counter(sample.own for sample in placed if sample.group == group and sample.own).most_common(1) for group in {row.group for row in placed}}
    placed = [sample if sample.own else sample._replace(own=known[sample.group][0][0] if known[sample.group] else sample.inner) for sample in placed]
    merged: dict[tuple[t.Any, ...], list[Sample]] = {}
    for sample in placed:
        merged.setdefault((_function(sample), sample.group), []).append(sample)
    first = sorted(merged.values(), key=len, reverse=True)[:_PLACES]
    return {
        "samples": count,
        "groups": [{"group": name, "samples": number, "share": round(number / count, 3)} for name, number in groups.most_common()],
        "places": [_place(row, count) for row in first],
        "stack": [frame.words() for frame in max(first[0], key=lambda sample: len(sample.stack.frames)).stack.frames[:_SHOWN]] if first else [],
    }


def _function(sample: Sample) -> tuple[str, str]:
    frame = sample.own or sample.inner
    return frame.function, frame.file


def _place(row: t.Sequence[Sample], count: int) -> dict[str, t.Any]:
    """One place of the samples that stand there: its commonest line, and the library function that they were in most."""
    own = Counter(sample.own for sample in row).most_common(1)[0][0] or row[0].inner
    inner = Counter(sample.inner.words(False) for sample in row if sample.inner[:2] != _function(sample)).most_common(1)
    return {
        "place": own.words(), "inside": inner[0][0] if inner else None, "group": row[0].group or None, "samples": len(row),
        "share": round(len(row) / count, 3) if count else None,
    }
