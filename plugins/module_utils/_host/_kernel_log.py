# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Read the kernel's ring buffer: /dev/kmsg, else syslog(2) where there is no such device (containers).

Private to oncall.pressure: no stable interface.
"""

from __future__ import annotations

import re
import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine
from ansible_collections.oncall.pressure.plugins.module_utils._host._text import decode

#: The most bytes read of the ring, and the most seconds it may take.
READ_LIMIT = 8388608
TIME_LIMIT_S = 1.0

# The kernel refuses a read into a buffer that the next record does not fit into.
_RECORD_LIMIT = 16384

_KMSG_HEAD = re.compile(rb"^\d{1,4},(\d{1,19}),(\d{1,19}),")
_SYSLOG_HEAD = re.compile(rb"^<(\d{1,4})>\[ {0,12}(\d{1,12}\.\d{1,9})\]")

# Of klogctl(3): what it is asked, and the most it is asked for.
_READ_ALL = 3
_SIZE_BUFFER = 10


class Ring(t.NamedTuple):
    """What the ring holds. source: kmsg or syslog; lines: those that were asked for, oldest first, as they stand;
    first_uptime_s: the kernel's clock at its oldest record, null where it is empty; from_boot: whether nothing was overwritten yet;
    whole: whether it was read to its end."""

    source: str
    lines: list[str]
    first_uptime_s: float | None
    from_boot: bool
    whole: bool


def read_ring(machine: Machine, wanted: t.Callable[[str], object]) -> Ring:
    """The lines of the ring for which ``wanted`` is true. Raises OSError where neither way may be used."""
    try:
        stream = machine.open("/dev/kmsg")
    except OSError:
        return _from_syslog(machine, wanted)
    with stream:
        return _from_kmsg(machine, stream, wanted)


def _from_kmsg(machine: Machine, stream: t.BinaryIO, wanted: t.Callable[[str], object]) -> Ring:
    """Each read gives one record of the device; a recording gives pieces of a file."""
    lines: list[str] = []
    first: re.Match[bytes] | None = None
    size, rest, end = 0, b"", machine.monotonic() + TIME_LIMIT_S
    whole = False
    while size < READ_LIMIT and machine.monotonic() <= end:
        try:
            data = stream.read(_RECORD_LIMIT)
        except BrokenPipeError:
            # what would have come next was overwritten meanwhile: the next read goes on after it
            continue
        if not data:
            whole = True
            break
        size += len(data)
        first = first or _KMSG_HEAD.match(data)
        *complete, rest = (rest + data).split(b"\n")
        for raw in complete:
            # a line that begins with a blank describes the device of the record before
            line = decode(raw[:_RECORD_LIMIT])
            if not line.startswith(" ") and wanted(line):
                lines.append(line)
    return Ring("kmsg", lines, int(first.group(2)) / 1e6 if first else None, first is not None and int(first.group(1)) == 0, whole)


def _from_syslog(machine: Machine, wanted: t.Callable[[str], object]) -> Ring:
    """syslog(2), whose lines are those of /proc/kmsg; a recording has them there."""
    data = machine.read("/proc/kmsg", READ_LIMIT) if machine.root else _klogctl()
    raw = data.split(b"\n")
    heads = [_SYSLOG_HEAD.match(line) for line in raw]
    first = next((float(head.group(2)) for head in heads if head is not None), None)
    # what programs wrote into the ring carries a facility above the kernel's 0
    lines = [decode(line[:_RECORD_LIMIT]) for line, head in zip(raw, heads) if head is not None and int(head.group(1)) < 8]
    return Ring("syslog", [line for line in lines if wanted(line)], first, b"Linux version " in data[:4096], True)


def _klogctl() -> bytes:
    """The whole buffer by klogctl(3). Raises OSError."""
    try:
        import ctypes
    except ImportError as problem:
        raise FileNotFoundError(2, "this Python cannot call syslog(2)", "/dev/kmsg") from problem
    call = ctypes.CDLL(None, use_errno=True).klogctl
    size = call(_SIZE_BUFFER, None, 0)
    if size < 0:
        raise PermissionError(ctypes.get_errno(), "the kernel's log may not be read", "syslog(2)")
    buffer = ctypes.create_string_buffer(min(size, READ_LIMIT))
    count = call(_READ_ALL, buffer, len(buffer))
    if count < 0:
        raise PermissionError(ctypes.get_errno(), "the kernel's log may not be read", "syslog(2)")
    return buffer.raw[:count]
