# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What services log: how much, which signals of trouble, which exceptions and tasks, and the lines that come again and again.

Private to oncall.pressure: no stable interface. Read-only.

The journal is asked once for all units, newest first; log files are those that processes hold open for writing, read from their end.
What is cut off by a bound is the oldest, and ``covered_s`` says how far back each was read: rates are over that time.
"""

from __future__ import annotations

import functools
import json
import time
import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._components import _log_files
from ansible_collections.oncall.pressure.plugins.module_utils._components._log_files import LogFile
from ansible_collections.oncall.pressure.plugins.module_utils._components._log_rows import fitted, row
from ansible_collections.oncall.pressure.plugins.module_utils._host._collect import Options, Reading, absent, denied, error, ok, partial
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine
from ansible_collections.oncall.pressure.plugins.module_utils._host._text import clean, decode
from ansible_collections.oncall.pressure.plugins.module_utils._parse import _journal_export, _log_signals, _log_time
from ansible_collections.oncall.pressure.plugins.module_utils._parse._log_tally import Tally

#: What is read of the journal: so many newest entries, bytes and seconds.
JOURNAL_ENTRIES = 6000
JOURNAL_BYTES = 8388608
JOURNAL_SECONDS = 3.0
_FIELDS = "MESSAGE,PRIORITY,_PID,_SYSTEMD_UNIT,UNIT,CONTAINER_ID,_TRANSPORT"

#: What is read of log files: bytes of one, of all, seconds of the clock and of the processor.
FILE_BYTES = 4194304
FILES_BYTES = 16777216
FILES_SECONDS = 3.0
FILES_CPU_S = 0.8
_CHUNK = 262144

#: So many lines back the time of a line that has none is looked for.
_BACK = 50

#: A line of a file or a message of the journal is looked at up to so many bytes.
_LINE_BYTES = 16384

#: The most services that are told apart while reading.
_SERVICES = 200

#: About so many lines of the journal, of a file's newest chunk and of each older one are looked at for their templates: of more, one of several.
_TEMPLATE_LINES = 1500
_TEMPLATE_LINES_MORE = 200


class _Window(t.NamedTuple):
    """Seconds since the epoch, and how far the host's own clock is ahead of UTC."""

    start: float
    now: float
    offset_s: float

    def moment(self, line: str) -> float | None:
        """When a line was written; null where it does not say, or names a time that is to come."""
        at = _log_time.moment(line, self.now, self.offset_s)
        return at if at is not None and at <= self.now + 120.0 else None


class _Source:
    """What was read of one log: covered_s: how far back (null: not known)."""

    def __init__(self, service: str, name: str, stride: int) -> None:
        self.service = service
        self.name = name
        self.tally = Tally(stride)
        self.covered_s: float | None = None


def collect(machine: Machine, options: Options) -> Reading:
    """``logs`` in the shape of docs/architecture.md."""
    now = machine.now()
    local = time.localtime(now)
    window = _Window(now - options.traffic_window_s, now, float(local.tm_gmtoff or 0))
    started = machine.monotonic()
    units, journal = _journal(machine, window)
    found = _log_files.open_logs(machine, options.own_pids, journal.status not in ("ok", "partial"), window.start)
    files, problems = _files(machine, options, window, found.files, started)
    problems = found.problems + problems
    if found.denied:
        problems.append("the open files of %d processes may not be looked at: become root" % found.denied)
    if journal.reason and journal.status != "absent":
        problems.insert(0, journal.reason)
    if journal.data is None and not found.files:
        if found.denied or journal.status == "denied":
            return denied(clean("; ".join(problems)))
        return error(clean("; ".join(problems))) if journal.status == "error" else absent("no journal here, and no process holds a log file open")
    covered = [source.covered_s for source in units + files if source.covered_s is not None]
    shown = [source for source in units + files if source.tally.lines]
    rows = [row(source.service, source.name, source.tally, source.covered_s) for source in shown]
    data = {
        "window_s": options.traffic_window_s, "covered_s": round(min(covered), 1) if covered else None,
        "journal": journal.status in ("ok", "partial"), "files": len(found.files), "services": fitted(rows),
    }
    if len(data["services"]) < len(rows):
        problems.append("only %d of %d logs are shown" % (len(data["services"]), len(rows)))
    return partial(data, clean("; ".join(problems), 600)) if problems else ok(data)


# the journal


def _journal(machine: Machine, window: _Window) -> tuple[list[_Source], Reading]:
    """A source for each unit that said something, and how the journal could be read (its data: true where it could)."""
    if not machine.exists("/run/systemd/journal"):
        return [], absent("no journald runs here")
    out, reading = _ask(machine, window)
    if reading.data is None:
        return [], reading
    entries = list(_journal_export.entries(out))
    times = [int(entry.get(b"__REALTIME_TIMESTAMP", b"")) / 1e6 for entry in entries if entry.get(b"__REALTIME_TIMESTAMP", b"").isdigit()]
    cut = reading.status == "partial" or len(entries) >= JOURNAL_ENTRIES
    covered_s = window.now - window.start if not cut else max(window.now - min(times, default=window.now), 0.001)
    sources: dict[str, _Source] = {}
    stride = len(entries) // _TEMPLATE_LINES + 1
    forms = _log_signals.forms_in(out)
    entries.reverse()
    for entry in entries:
        service = _unit(entry)
        if service not in sources and len(sources) >= _SERVICES:
            service = "other"
        if service not in sources:
            sources[service] = _Source(service, "journal", stride)
            sources[service].covered_s = covered_s
        _add_entry(sources[service].tally, entry, forms)
    return list(sources.values()), reading


def _ask(machine: Machine, window: _Window) -> tuple[bytes, Reading]:
    """What journalctl says, newest first."""
    words = ["journalctl", "--no-pager", "-o", "export", "-r", "-n", str(JOURNAL_ENTRIES), "--since=@%d" % window.start]
    try:
        outcome = machine.run(words + ["--output-fields=" + _FIELDS], JOURNAL_SECONDS, JOURNAL_BYTES)
        if b"unrecognized option" in outcome.err:
            # before systemd 236
            outcome = machine.run(words, JOURNAL_SECONDS, JOURNAL_BYTES)
    except FileNotFoundError:
        # journald runs, and what it holds is not read: that is no host without a journal
        return b"", error("there is no journalctl: what services say to the journal is not known")
    except OSError as problem:
        return b"", error("the journal: %s" % clean(problem.strerror or str(problem), 100))
    if outcome.timed_out and not outcome.out:
        return b"", error("journalctl did not answer within %g s" % JOURNAL_SECONDS)
    if outcome.timed_out:
        return outcome.out, partial(True, "journalctl was stopped after %g s: only the newest of the journal was read" % JOURNAL_SECONDS)
    if len(outcome.out) + len(outcome.err) >= JOURNAL_BYTES:
        return outcome.out, partial(True, "only the newest %d MiB of the journal's answer were read" % (JOURNAL_BYTES >> 20))
    if b"not seeing messages from" in outcome.err or b"ermission denied" in outcome.err:
        return b"", denied("the journal may not be read: become root, or give the user the group systemd-journal")
    if b"No journal files were found" in outcome.err:
        return b"", absent("no journal files here")
    if outcome.status != 0:
        return b"", error("journalctl: %s" % clean(outcome.err.strip() or b"it failed", 100))
    return outcome.out, ok(True)


def _unit(entry: t.Mapping[bytes, bytes]) -> str:
    """Whose message it is, by what journald itself saw; what the sender says is believed of systemd (about a unit) and of Docker (about a container)."""
    unit = decode(entry.get(b"_SYSTEMD_UNIT", b"")[:256])
    if entry.get(b"_PID") == b"1" and entry.get(b"UNIT"):
        return decode(entry[b"UNIT"][:256])
    if unit == "docker.service" and entry.get(b"CONTAINER_ID"):
        return "docker:" + decode(entry[b"CONTAINER_ID"][:12])
    return unit or ("kernel" if entry.get(b"_TRANSPORT") == b"kernel" else "other")


def _add_entry(tally: Tally, entry: t.Mapping[bytes, bytes], forms: t.Sequence[_log_signals.Form]) -> None:
    stamp = entry.get(b"__REALTIME_TIMESTAMP", b"")
    moment = int(stamp) / 1e6 if stamp.isdigit() else None
    message = entry.get(b"MESSAGE", b"")
    debug = True if entry.get(b"PRIORITY") == b"7" else None
    for line in message[:_LINE_BYTES].split(b"\n"):
        tally.add(decode(line), len(line) + 1, lambda dummy: moment, forms, entry.get(b"_PID"), debug)
    tally.bytes += max(len(message) - _LINE_BYTES, 0)


# files


class _Reader:
    """Reads one file from its end to the start of the window, a chunk at a time."""

    def __init__(self, file: LogFile, window: _Window) -> None:
        self.file = file
        self.tail = file.tail
        self.older = file.older
        self.window = window
        self.source = _Source(file.service, file.path, 1)
        self.end = file.tail.size
        self.left = FILE_BYTES
        self.dated = False
        self._json = file.service.startswith("docker:") and file.path.endswith("-json.log")

    def step(self) -> bool:
        """Read one chunk more; false where there is nothing more to read of it. Raises OSError."""
        if self.end == 0 and self._rotated():
            return self.left > 0
        begin = max(self.end - min(_CHUNK, self.left), 0)
        data = self.tail.read(begin, self.end - begin)
        self.left -= len(data)
        if begin > 0:
            # a line that begins before the chunk belongs to the next one, but for one that fills it
            head = data.find(b"\n") + 1
            head = 0 if head == len(data) else head
            begin, data = begin + head, data[head:]
        lines, forms = self._lines(data), _log_signals.forms_in(data)
        first = next((place for place, line in enumerate(lines) if self._moment(line) is not None), None)
        if first is None:
            # no line of it is dated: of one that never is, nothing is known of when
            self.end = begin if self.dated else 0
            return self.dated and (self.end > 0 or self.older is not None) and self.left > 0
        self.dated = True
        oldest = self._moment(lines[first]) or 0.0
        start = 0 if oldest >= self.window.start else self._border(lines)
        self.add(lines[start:], forms)
        self.end = begin
        # what stands before a file's beginning is in the one that it was rotated to, where there is one
        reached = self.window.start if start or begin == 0 and self.older is None else oldest
        self.source.covered_s = max(self.window.now - max(reached, self.window.start), 0.001)
        return start == 0 and (begin > 0 or self.older is not None) and self.left > 0

    def _rotated(self) -> bool:
        """Go on with what the file was rotated to; false where there is none."""
        if self.older is None:
            return False
        self.tail, self.older = self.older, None
        self.end = self.tail.size
        return True

    def _lines(self, data: bytes) -> list[str]:
        return [line for line in decode(data).split("\n") if line]

    def _moment(self, line: str) -> float | None:
        return _docker_line(line, self.window)[1] if self._json else self.window.moment(line)

    def _border(self, lines: t.Sequence[str]) -> int:
        """The first line of the window: by halves, since lines of a log are in order."""
        low, high = 0, len(lines)
        while low < high:
            middle = place = (low + high) // 2
            at = self._moment(lines[place])
            while at is None and place + 1 < high:
                place += 1
                at = self._moment(lines[place])
            if at is not None and at < self.window.start:
                low = place + 1
            else:
                high = middle
        return low

    def add(self, lines: t.Sequence[str], forms: t.Sequence[_log_signals.Form]) -> None:
        """Tally lines, in order."""
        tally = self.source.tally
        tally.stride = len(lines) // (_TEMPLATE_LINES if tally.looked < _TEMPLATE_LINES else _TEMPLATE_LINES_MORE) + 1
        for place, line in enumerate(lines):
            text = _docker_line(line, self.window)[0] if self._json else line[:_LINE_BYTES]
            tally.add(text, len(line) + 1, functools.partial(self._moment_at, lines, place), forms)

    def _moment_at(self, lines: t.Sequence[str], place: int, dummy: str) -> float | None:
        """When a line was written: a line without a time (of a traceback) belongs to the one before that has one."""
        for before in range(place, max(place - _BACK, -1), -1):
            at = self._moment(lines[before])
            if at is not None:
                return at
        return None

    def grown(self) -> None:
        """Tally what was written since the file was opened."""
        size = self.file.tail.size_now()
        begin = self.file.tail.size if size >= self.file.tail.size else 0
        data = self.file.tail.read(max(begin, size - _CHUNK), min(size - begin, _CHUNK))
        self.add(self._lines(data), _log_signals.forms_in(data))


def _docker_line(line: str, window: _Window) -> tuple[str, float | None]:
    """The text and the time of a line of Docker's own json-file."""
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError):
        return line[:_LINE_BYTES], None
    if not isinstance(fields, dict):
        return line[:_LINE_BYTES], None
    text, stamp = fields.get("log"), fields.get("time")
    return (text[:_LINE_BYTES].rstrip("\r\n") if isinstance(text, str) else ""), window.moment(stamp) if isinstance(stamp, str) else None


def _files(
    machine: Machine, options: Options, window: _Window, files: t.Sequence[LogFile], started: float
) -> tuple[list[_Source], list[str]]:
    """Read the files by turns, so that a large one takes nothing from the others; and what is to be said of them."""
    readers = [_Reader(file, window) for file in files]
    problems: list[str] = []
    # one that was not written to in the window holds nothing of it
    active = [reader for reader in readers if reader.older is not None or reader.file.tail.size and reader.file.tail.changed >= window.start]
    for reader in readers:
        if reader not in active:
            reader.source.covered_s = window.now - window.start
    left, cpu_end, end = FILES_BYTES, machine.cpu_s() + FILES_CPU_S, machine.monotonic() + FILES_SECONDS
    undated: list[_Reader] = []
    while active and left > 0 and machine.cpu_s() < cpu_end and machine.monotonic() < end:
        for reader in list(active):
            before = reader.left
            try:
                more = reader.step()
            except OSError as problem:
                problems.append("%s: %s" % (reader.file.path, problem.strerror))
                more = False
            left -= before - reader.left
            if not more:
                active.remove(reader)
                if not reader.dated:
                    undated.append(reader)
    _watch(machine, options, undated, started)
    unread = [reader for reader in active if not reader.dated]
    if unread:
        problems.append("%d log files were not read for want of time, one of them %s" % (len(unread), unread[0].file.path))
    for reader in readers:
        for tail in (reader.file.tail, reader.file.older):
            if tail is not None:
                tail.close()
    return [reader.source for reader in readers], problems


def _watch(machine: Machine, options: Options, readers: t.Sequence[_Reader], started: float) -> None:
    """Of a log whose lines have no time, what is written while we watch."""
    if not readers:
        return
    machine.sleep(options.window_s - (machine.monotonic() - started))
    for reader in readers:
        try:
            reader.grown()
        except OSError:
            continue
        reader.source.covered_s = max(machine.monotonic() - started, 0.001)
