# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Read a time window of an access log: found by binary search, read in blocks, in bounded time and memory.

Private to oncall.pressure: no stable interface. Pure: bytes come from a callback ``read(offset, length)``.
"""

from __future__ import annotations

import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._parse._log_format import LinePattern, LogFormat, epoch
from ansible_collections.oncall.pressure.plugins.module_utils._parse._traffic import Tally

#: Bytes read at once. Much less costs calls, much more leaves the processor's cache.
BLOCK = 131072

#: A line longer than this may be passed over, counted as unparsed.
LINE_LIMIT = 65536

#: Lines of a log that is written through buffers may be out of order by so many seconds.
DISORDER_S = 60.0

#: Logs are read from their end backwards in pieces of so many bytes, so that what is cut off is the oldest.
_PIECE = 8388608

#: The most that is read to find one readable line.
_PROBE_LIMIT = 1048576
_PROBE = 16384

# The time before the window is only counted; where it is longer than the first, from so many samples of so many bytes:
# to read all of it would cost a host that is short of I/O more than the window itself.
_BEFORE_WHOLE = 4194304
_SAMPLES = 48
_SAMPLE = 65536

Read = t.Callable[[int, int], bytes]


class LogFile(t.NamedTuple):
    """An open log: how to read it, and its size in bytes when it was opened (what is appended later is left alone)."""

    read: Read
    size: int


class Window(t.NamedTuple):
    """Seconds since the epoch: from ``before`` to ``start`` requests are only counted, from ``start`` to ``end`` they are tallied."""

    before: float
    start: float
    end: float


class Budget:
    """What reading may cost: bytes, and a function that says when time is over."""

    def __init__(self, size: int, expired: t.Callable[[], bool]) -> None:
        self.left = size
        self.expired = expired


class Result(t.NamedTuple):
    """What a log gave.

    covered_from: the time from which on the window was read (its start where all of it was); before_requests and before_s: requests
    in the part of the time before that the log reaches back to, how long that is (null: not counted), and whether it is an estimate;
    first: the time of the oldest line.
    """

    lines: int
    unparsed: int
    requests: int
    bytes_read: int
    first: float | None
    covered_from: float
    before_requests: int | None
    before_s: float | None
    reasons: tuple[str, ...]
    before_estimated: bool = False


def read_window(log: LogFile, form: LogFormat, window: Window, tally: Tally, budget: Budget) -> Result:
    """Add the window's requests of one log file to ``tally``."""
    if form.time is None:
        return Result(0, 0, 0, 0, None, window.end, None, None, ("its format has no time",))
    first = line_time(log, 0, log.size, form.time)
    if first is None:
        size = min(log.size, _PROBE_LIMIT)
        reason = () if log.size == 0 else ("no line of its first %d bytes matches its format" % size,)
        return Result(0, 0, 0, size, None, window.start if log.size == 0 else window.end, None, None, reason)
    start = find(log, form.time, window.start - DISORDER_S)
    border = find(log, form.time, window.start)
    if start is None or border is None:
        return _tail(log, form, window, tally, budget, first[1])
    if start <= first[0]:
        # what stands before the first line that has a time was lost to the search and is counted too
        start = 0
    lines, unparsed, requests, taken, reached = _tally(log, form, (start, log.size), window, tally, budget)
    covered_from, reasons = window.start, []
    if reached > start:
        oldest = line_time(log, reached, log.size, form.time)
        covered_from = oldest[1] if oldest else window.end
        reasons.append("only the newest %d of %d bytes of the window were read" % (taken, log.size - start))
    result = Result(lines, unparsed, requests, taken, first[1], covered_from, None, None, tuple(reasons))
    return result if reached > start else _before(log, form.time, window, border, result)


def window_bytes(log: LogFile, form: LogFormat, window: Window) -> int:
    """About how many bytes of a log belong to the window."""
    if form.time is None:
        return 0
    start = find(log, form.time, window.start - DISORDER_S)
    return log.size - (start or 0)


def line_time(log: LogFile, offset: int, end: int, pattern: LinePattern) -> tuple[int, float] | None:
    """Where the first readable line at or after ``offset`` begins, and its time; null where none is found within bounds."""
    size = _PROBE
    begin = max(offset - 1, 0)
    stop = min(begin + _PROBE_LIMIT, log.size)
    while begin < stop:
        data = log.read(begin, min(size, log.size - begin))
        text = data if offset else b"\n" + data
        shift = begin + 1 if offset else begin
        for found in pattern.pattern.finditer(text):
            place = shift + found.start()
            if place >= end:
                return None
            moment = epoch(found.group(1))
            if moment is not None:
                return place, moment
        if begin + len(data) >= stop or not data:
            return None
        if size < _PROBE_LIMIT:
            # the same again, longer: a line may have been cut
            size *= 8
        else:
            return None
    return None


def find(log: LogFile, pattern: LinePattern, moment: float) -> int | None:
    """Where the first line at or after ``moment`` begins (the log's size where there is none); null where the log's times run backwards."""
    low, high = 0, log.size
    seen = []
    for offset in (0, max(log.size - _PROBE, 0)):
        found = line_time(log, offset, log.size, pattern)
        if found:
            seen.append(found)
    while high - low > _PROBE:
        middle = (low + high) // 2
        found = line_time(log, middle, high, pattern)
        if found is None:
            high = middle
            continue
        seen.append(found)
        if found[1] < moment:
            low = found[0]
        else:
            high = middle
    seen.sort()
    latest = 0.0
    for dummy, when in seen:
        if when < latest - DISORDER_S:
            return None
        latest = max(latest, when)
    text = b"\n" + log.read(low, min(high - low + LINE_LIMIT, log.size - low))
    for found_line in pattern.pattern.finditer(text):
        when_or_none = epoch(found_line.group(1))
        if when_or_none is not None and when_or_none >= moment:
            return low + found_line.start()
    return log.size if low + len(text) - 1 >= log.size else high


def blocks(log: LogFile, start: int, end: int) -> t.Iterator[tuple[bytes, int]]:
    """Blocks of whole lines between two offsets that begin lines, and how many lines before each were too long and passed over.

    Each block begins with a line feed and has none at its end.
    """
    carry, offset, dropping, dropped = b"\n", start, False, 0
    while offset < end:
        data = log.read(offset, min(BLOCK, end - offset))
        if not data:
            break
        offset += len(data)
        if dropping:
            first = data.find(b"\n")
            if first < 0:
                continue
            # the rest of the long line is not built, nor is what was seen of it
            carry, data, dropping, dropped = b"", data[first:], False, dropped + 1
        cut = data.rfind(b"\n")
        if cut < 0:
            carry += data
            if len(carry) > LINE_LIMIT:
                carry, dropping = b"", True
            continue
        block = carry + data[:cut]
        carry = data[cut:]
        if block:
            yield block, dropped
            dropped = 0
    if dropping:
        yield b"", dropped + 1
    elif len(carry) > 1 or dropped:
        # a last line that is not ended yet
        yield carry if len(carry) > 1 else b"", dropped


def _tally(
    log: LogFile, form: LogFormat, span: tuple[int, int], window: Window, tally: Tally, budget: Budget, everything: bool = False
) -> tuple[int, int, int, int, int]:
    """Tally a span from its end backwards; lines, unparsed, requests, bytes, and the offset that was reached.

    Times are looked at until they are safely inside the window (of every line where ``everything`` is asked for).
    """
    start, end = span
    lines = unparsed = requests = taken = 0
    while end > start:
        if budget.left <= 0 or budget.expired():
            break
        piece = min(_PIECE, budget.left)
        begin = line_start(log, end - piece, end) if end - start > piece else start
        if begin >= end:
            if piece < _PIECE:
                # what is left of the budget is less than a line
                break
            begin = max(end - piece, start)
        near = everything or begin - start < _PIECE
        for block, dropped in blocks(log, begin, end):
            lines += dropped
            unparsed += dropped
            if not block:
                continue
            got = tally.add(block, form, window.start if near else None, window.end + DISORDER_S if near else None)
            lines += got.lines
            unparsed += got.unparsed
            requests += got.requests
            if near and not everything and got.earliest is not None and got.earliest > window.start + DISORDER_S:
                near = False
        budget.left -= end - begin
        taken += end - begin
        end = begin
    return lines, unparsed, requests, taken, end


def line_start(log: LogFile, offset: int, end: int) -> int:
    """Where the first line that begins at or after ``offset`` begins; ``end`` where none does."""
    if offset <= 0:
        return 0
    place = offset - 1
    while place < end:
        data = log.read(place, min(LINE_LIMIT, end - place))
        if not data:
            break
        found = data.find(b"\n")
        if found >= 0:
            return place + found + 1
        place += len(data)
    return end


def _tail(log: LogFile, form: LogFormat, window: Window, tally: Tally, budget: Budget, first: float) -> Result:
    """A log whose times run backwards (several files in one, a clock that was set): look at every line of its end."""
    lines, unparsed, requests, taken, reached = _tally(log, form, (0, log.size), window, tally, budget, everything=True)
    reasons = ["its times run backwards: every line of its last %d bytes was looked at" % taken]
    covered_from = window.start
    if reached > 0 and form.time is not None:
        oldest = line_time(log, reached, log.size, form.time)
        covered_from = max(oldest[1] if oldest else window.end, window.start)
    return Result(lines, unparsed, requests, taken, min(first, window.start), covered_from, None, None, tuple(reasons))


def _before(log: LogFile, pattern: LinePattern, window: Window, border: int, result: Result) -> Result:
    """The result with the lines of the time before the window, which ends at ``border``, and how many seconds of it the log reaches back."""
    start = find(log, pattern, window.before)
    if start is None:
        return result
    size = border - start
    if size <= _BEFORE_WHOLE:
        lines, taken = (log.read(start, size).count(b"\n") if size > 0 else 0), max(size, 0)
    else:
        step = (size - _SAMPLE) // (_SAMPLES - 1)
        seen = sum(log.read(start + number * step, _SAMPLE).count(b"\n") for number in range(_SAMPLES))
        taken = _SAMPLES * _SAMPLE
        lines = round(seen * size / taken)
    reached = window.before
    if start == 0:
        oldest = line_time(log, 0, log.size, pattern)
        reached = max(oldest[1], window.before) if oldest else window.start
    return result._replace(
        before_requests=lines, before_s=max(window.start - reached, 0.0), before_estimated=size > _BEFORE_WHOLE, bytes_read=result.bytes_read + taken)
