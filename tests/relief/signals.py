# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Say every signal that reaches a process: python3 signals.py PID. It runs until it is stopped.

The kernel stops a traced process for each signal before that does anything, also for one that it ignores, so none goes unseen (ptrace(2)).
One JSON line for each: {"t": monotonic seconds, "signal": number}; every signal is passed on. The first line is {"t", "tracing": PID}.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import time

SEIZE, CONT, DETACH, INTERRUPT, LISTEN = 0x4206, 7, 17, 0x4207, 0x4208
EVENT_STOP = 128

LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
LIBC.ptrace.restype = ctypes.c_long


def ptrace(request, pid, data=0):
    if LIBC.ptrace(request, pid, None, data) == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def main():
    pid = int(sys.argv[1])
    ptrace(SEIZE, pid)
    asked = []

    def leave(*unused):
        asked.append(True)
        ptrace(INTERRUPT, pid)

    signal.signal(signal.SIGTERM, leave)
    print(json.dumps({"t": time.monotonic(), "tracing": pid}), flush=True)
    while True:
        try:
            unused, status = os.waitpid(pid, 0x40000000)
        except ChildProcessError:
            return
        if not os.WIFSTOPPED(status):
            return
        number, event = os.WSTOPSIG(status), status >> 16
        if asked and event == EVENT_STOP:
            ptrace(DETACH, pid)
            return
        if event == EVENT_STOP:
            # Stopped as a whole by a signal that was seen before: it stays so.
            ptrace(LISTEN if number != signal.SIGTRAP else CONT, pid)
            continue
        print(json.dumps({"t": time.monotonic(), "signal": number}), flush=True)
        ptrace(CONT, pid, number)


if __name__ == "__main__":
    main()
