# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Small things that cases plant on a host and that no shell can: ``plant.py WHAT ARGUMENT...``."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import struct
import sys
import time

RENAME_EXCHANGE = 2


def kill_undo() -> None:
    """Kill the host's undo program the first time that it appears."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        for name in os.listdir("/proc"):
            if not name.isdigit():
                continue
            try:
                with open("/proc/%s/cmdline" % name, "rb") as stream:
                    words = stream.read().split(b"\0")
            except OSError:
                continue
            if b"due" in words and any(word.endswith(b"undo.pyz") for word in words):
                # it has started Python and may be in the middle of anything
                time.sleep(0.15)
                os.kill(int(name), signal.SIGKILL)
                return
        time.sleep(0.01)


def listen(path: str) -> None:
    """A socket that stays as a file."""
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(path)


def access_list(path: str, user: int) -> None:
    """Let one more user write a folder, by an access list."""
    nobody = 0xFFFFFFFF
    rows = [(1, 7, nobody), (2, 7, user), (4, 5, nobody), (16, 7, nobody), (32, 5, nobody)]
    packed = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *row) for row in rows)
    os.setxattr(path, "system.posix_acl_access", packed)


def swap(one: str, other: str, seconds: float) -> None:
    """Exchange two names as fast as the kernel can, for so long."""
    library = ctypes.CDLL(None, use_errno=True)
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        for dummy in range(200):
            library.renameat2(-100, one.encode(), -100, other.encode(), RENAME_EXCHANGE)


if __name__ == "__main__":
    what, *arguments = sys.argv[1:]
    if what == "kill-undo":
        kill_undo()
    elif what == "socket":
        listen(arguments[0])
    elif what == "acl":
        access_list(arguments[0], int(arguments[1]))
    elif what == "swap":
        swap(arguments[0], arguments[1], float(arguments[2]))
