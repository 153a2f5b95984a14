# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Open a file that a process has open, to read it from its end: the very file, whatever stands at its name now.

Private to oncall.pressure: no stable interface.
"""

from __future__ import annotations

import os
import stat
import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine


class Tail:
    """An open regular file. identity: device and inode; size in bytes when it was opened; changed: when it was written to last."""

    def __init__(self, stream: t.BinaryIO, facts: os.stat_result) -> None:
        self._stream = stream
        self.identity = (facts.st_dev, facts.st_ino)
        self.size = facts.st_size
        self.changed = facts.st_mtime

    def read(self, offset: int, length: int) -> bytes:
        """At most ``length`` bytes at ``offset``; fewer at the end. Raises OSError."""
        return os.pread(self._stream.fileno(), length, offset)

    def size_now(self) -> int:
        """Its size at this moment. Raises OSError."""
        return os.fstat(self._stream.fileno()).st_size

    def close(self) -> None:
        """Let go of it."""
        self._stream.close()


def open_tail(machine: Machine, path: str) -> Tail:
    """Open ``path``, which is one of /proc/PID/fd where another user may have a hand in it. Raises OSError, also where it is no regular file."""
    # a look before opening: to open a device may do something
    if not stat.S_ISREG(machine.stat(path).st_mode):
        raise OSError(22, "not a regular file", path)
    stream = machine.open(path)
    try:
        facts = os.fstat(stream.fileno())
        if not stat.S_ISREG(facts.st_mode):
            raise OSError(22, "not a regular file", path)
    except OSError:
        stream.close()
        raise
    return Tail(stream, facts)
