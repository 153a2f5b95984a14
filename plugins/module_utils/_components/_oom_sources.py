# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where a host keeps what its kernel said: the ring buffer, the journal, log files; each with how far back it reaches.

Private to oncall.pressure: no stable interface.
"""

from __future__ import annotations

import calendar
import re
import time
import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._components._mounts import Mounts
from ansible_collections.oncall.pressure.plugins.module_utils._host._kernel_log import read_ring
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine
from ansible_collections.oncall.pressure.plugins.module_utils._host._text import clean, decode
from ansible_collections.oncall.pressure.plugins.module_utils._parse import _kernel_alarms, _kernel_oom, _log_line
from ansible_collections.oncall.pressure.plugins.module_utils._parse._kernel_alarms import Alarm

#: The most of the journal's output and of a log file's end that is read, in bytes.
JOURNAL_LIMIT = 8388608
FILE_LIMIT = 2097152

#: The most of the kernel's complaints that are looked at in one place.
ALARMS_LIMIT = 5000

#: How long one call of journalctl may take, in seconds.
JOURNAL_TIMEOUT_S = 1.5

_FILES = ("/var/log/kern.log", "/var/log/messages", "/var/log/syslog")

#: Programs that kill before the kernel has to, by unit.
_KILLERS = ("systemd-oomd.service", "earlyoom.service")
_SYSTEM_SLICES = ("/sys/fs/cgroup/system.slice/", "/sys/fs/cgroup/systemd/system.slice/", "/sys/fs/cgroup/unified/system.slice/")

_MONTHS = {name: number for number, name in enumerate("Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(), 1)}
_SYSLOG_TIME = re.compile(r"^([A-Z][a-z]{2}) {1,2}(\d{1,2}) (\d{1,2}):(\d\d):(\d\d)")
_ISO_TIME = re.compile(r"^(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d):(\d\d)(?:[.,](\d{1,9}))? ?(Z|[+-]\d\d:?\d\d)?")


class Source(t.NamedTuple):
    """One place. found: the kills in it; reach_s: how many seconds back it is complete (null unknown); from_boot: nothing since boot is missing;
    reason: what is missing, null where nothing is; alarms: what else the kernel complains of."""

    name: str
    found: _kernel_oom.Found
    reach_s: float | None
    from_boot: bool
    reason: str | None
    alarms: tuple[Alarm, ...] = ()


class Unreadable(Exception):
    """A place that is there and may not be read, or is not there; the text says which."""


def kernel_clock_s(machine: Machine) -> float:
    """The clock that the kernel writes its messages by: since boot, suspended time left out. A recording has only the uptime."""
    return machine.uptime_s() if machine.root else machine.monotonic()


def ring(machine: Machine) -> Source:
    """The kernel's own buffer. Raises Unreadable."""
    try:
        content = read_ring(machine, _wanted)
    except OSError as problem:
        raise Unreadable("the kernel's log buffer: %s" % clean(problem.strerror or str(problem), 100)) from problem
    text = "\n".join(line for line in content.lines if _kernel_oom.INTERESTING.search(line))
    found = _kernel_oom.parse(text)
    lines = "\n".join(line for line in content.lines if _kernel_alarms.interesting(line))
    # of syslog only the kernel's own lines came; kmsg says of each whose it is
    alarms = _alarms(_of_kernel(row) if content.source == "syslog" else row for row in _log_line.records(lines))
    clock_s = kernel_clock_s(machine)
    if content.first_uptime_s is None:
        reach_s = None
    else:
        reach_s = clock_s if content.from_boot else clock_s - content.first_uptime_s
    reason = None if content.whole else "the kernel's log buffer was not read to its end"
    return Source(content.source, found, reach_s, content.from_boot, reason, alarms)


def _wanted(line: str) -> bool:
    return bool(_kernel_oom.INTERESTING.search(line) or _kernel_alarms.interesting(line))


def _of_kernel(row: _log_line.Record) -> _log_line.Record:
    """A record of a ring that holds nothing but the kernel's: "python3[7]: segfault at 0" looks as if python3 had said it."""
    if row.program not in ("", "kernel") and row.message.startswith(("segfault at ", "general protection", "trap ")):
        return row._replace(program="kernel", message="%s[0]: %s" % (row.program, row.message))
    return row


def _alarms(rows: t.Iterable[_log_line.Record]) -> tuple[Alarm, ...]:
    """The newest of the kernel's complaints: a disk that fails fills a log with them."""
    return tuple(_kernel_alarms.parse_records(rows)[-ALARMS_LIMIT:])


def journal(machine: Machine, window_s: float, kernel: bool) -> Source:
    """The journal of the window, also of boots before this one. ``kernel`` false asks only for what programs killed. Raises Unreadable."""
    now = machine.now()
    since = int(now - window_s)
    matches = [word for unit in _KILLERS for word in ("+", "_SYSTEMD_UNIT=" + unit)]
    matches = ["_TRANSPORT=kernel"] + matches if kernel else matches[1:]
    # newest first: what a bound cuts off is the oldest
    out, reason = _journalctl(machine, ["-r", "--since=@%d" % since] + matches)
    lines = out.split(b"\n")
    if reason is not None:
        lines = lines[:-1]
    lines.reverse()
    rows = (_log_line.from_journal(decode(line)) for line in lines if _kernel_oom.INTERESTING.search(decode(line[:65536])))
    found = _kernel_oom.parse_records(row for row in rows if row is not None)
    if not kernel:
        return Source("journal", found, None, False, reason)
    reach_s: float | None = window_s
    if reason is not None or not _journal_before(machine, since):
        oldest = next((row for row in map(_log_line.from_journal, (decode(line) for line in lines[:2] if line.strip())) if row is not None), None)
        reach_s = now - oldest.time_s if oldest is not None and oldest.time_s is not None else None
    told = (_log_line.from_journal(decode(line)) for line in lines if _kernel_alarms.interesting(decode(line[:65536])))
    return Source("journal", found, reach_s, False, reason, _alarms(row for row in told if row is not None and row.program in ("", "kernel")))


def _journal_before(machine: Machine, moment: int) -> bool:
    """Whether the journal holds anything of the kernel from before a moment: then it holds everything after."""
    try:
        out, reason = _journalctl(machine, ["-n", "1", "--until=@%d" % moment, "_TRANSPORT=kernel"])
    except Unreadable:
        return False
    return _log_line.from_journal(decode(out.partition(b"\n")[0])) is not None


def _journalctl(machine: Machine, words: list[str]) -> tuple[bytes, str | None]:
    """Its output, and why that is not all of it. Raises Unreadable."""
    command = ["journalctl", "--no-pager", "-o", "json", "--output-fields=MESSAGE,_TRANSPORT,SYSLOG_IDENTIFIER"] + words
    try:
        outcome = machine.run(command, JOURNAL_TIMEOUT_S, JOURNAL_LIMIT)
        if b"unrecognized option" in outcome.err:
            # before systemd 236
            outcome = machine.run(command[:4] + words, JOURNAL_TIMEOUT_S, JOURNAL_LIMIT)
    except FileNotFoundError as problem:
        raise Unreadable("the journal: no journalctl here") from problem
    except OSError as problem:
        raise Unreadable("the journal: %s" % clean(problem.strerror or str(problem), 100)) from problem
    if outcome.timed_out:
        return outcome.out, "journalctl was stopped after %.1f s" % JOURNAL_TIMEOUT_S
    if len(outcome.out) + len(outcome.err) >= JOURNAL_LIMIT:
        return outcome.out, "only the newest %d MiB of the journal's answer were read" % (JOURNAL_LIMIT >> 20)
    if b"No journal files were found" in outcome.err:
        raise Unreadable("the journal: no journal files here")
    if b"not seeing messages from" in outcome.err or b"permission" in outcome.err.lower():
        raise Unreadable("the journal: permission denied")
    if outcome.status != 0:
        raise Unreadable("the journal: %s" % clean(outcome.err.strip() or b"journalctl failed", 100))
    return outcome.out, None


def log_file(machine: Machine) -> Source:
    """The end of the file that a syslog daemon writes. Raises Unreadable."""
    problems = []
    mounts = Mounts(machine)
    for path in _FILES:
        try:
            mounts.check(path)
            with machine.open(path) as stream:
                size = stream.seek(0, 2)
                stream.seek(max(size - FILE_LIMIT, 0))
                data = _read_to_end(stream, FILE_LIMIT)
        except FileNotFoundError:
            continue
        except OSError as problem:
            problems.append("%s: %s" % (path, clean(problem.strerror or str(problem), 60)))
            continue
        lines = decode(data).split("\n")[1 if size > FILE_LIMIT else 0:]
        # a file is rotated and written by many programs: only what says it is the kernel's counts
        rows = list(_log_line.records("\n".join(line for line in lines if "kernel" in line and _wanted(line))))
        now = machine.now()
        placed = [row._replace(time_s=epoch_s(row.stamp, now), uptime_s=None) for row in rows if row.program == "kernel"]
        first = next((moment for moment in (epoch_s(_log_line.record(line).stamp, now) for line in lines[:50]) if moment is not None), None)
        kills = _kernel_oom.parse_records(row for row in placed if _kernel_oom.INTERESTING.search(row.message))
        return Source(path, kills, now - first if first is not None else None, False, None, _alarms(placed))
    raise Unreadable("; ".join(problems) or "no log file of the kernel's")


def _read_to_end(stream: t.BinaryIO, limit: int) -> bytes:
    parts: list[bytes] = []
    while limit > 0:
        data = stream.read(limit)
        if not data:
            break
        parts.append(data)
        limit -= len(data)
    return b"".join(parts)


def epoch_s(stamp: str | None, now: float) -> float | None:
    """The time of a log line in seconds since the epoch, null where it cannot be told. A time without a zone is the host's own,
    one without a year the latest that is not in the future."""
    iso = _ISO_TIME.match(stamp or "")
    if iso is not None:
        year, month, day, hour, minute, second = (int(part) for part in iso.groups()[:6])
        fraction = float("0." + iso.group(7)) if iso.group(7) else 0.0
        zone = iso.group(8)
        if zone is None:
            return time.mktime((year, month, day, hour, minute, second, 0, 0, -1)) + fraction
        offset = 0 if zone == "Z" else (int(zone[1:3]) * 60 + int(zone[-2:])) * (-60 if zone[0] == "-" else 60)
        return calendar.timegm((year, month, day, hour, minute, second)) - offset + fraction
    short = _SYSLOG_TIME.match(stamp or "")
    if short is None or short.group(1) not in _MONTHS:
        return None
    for year in (time.localtime(now).tm_year, time.localtime(now).tm_year - 1):
        moment = time.mktime((year, _MONTHS[short.group(1)], int(short.group(2)), int(short.group(3)), int(short.group(4)), int(short.group(5)), 0, 0, -1))
        if moment <= now + 86400:
            return moment
    return None


def has_userspace_killer(machine: Machine) -> bool:
    """Whether a program runs here that kills before the kernel has to."""
    return any(machine.exists(slice_ + unit) for slice_ in _SYSTEM_SLICES for unit in _KILLERS)
