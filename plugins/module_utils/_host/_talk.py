# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A program that is started once and asked several times: a line to it, a line from it.

Private to oncall.pressure: no stable interface. For programs whose start costs more than their answers.
"""

from __future__ import annotations

import os
import selectors
import subprocess
import time
import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import OUTPUT_LIMIT, As, become, stop


class Talk:
    """The running program. It ends with :meth:`end`, and by itself when we are gone: its standard input closes."""

    def __init__(self, argv: t.Sequence[str], environment: t.Mapping[str, str], who: As) -> None:
        """Raises OSError."""
        self._process = subprocess.Popen(
            list(argv), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=dict(environment), close_fds=True,
            start_new_session=True, preexec_fn=lambda: become(who),
        )
        self._left = b""

    def ask(self, line: str, timeout_s: float, limit: int = OUTPUT_LIMIT) -> bytes | None:
        """The next line that it gives after it was given one; null where it ended instead. Raises TimeoutError."""
        process = self._process
        if process.stdin is None or process.stdout is None:
            return None
        try:
            # far less than a pipe holds, so it is never waited for here
            process.stdin.write(line.encode("utf-8") + b"\n")
            process.stdin.flush()
        except BrokenPipeError:
            return None
        end = time.monotonic() + timeout_s
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            while b"\n" not in self._left and len(self._left) < limit:
                if not selector.select(max(end - time.monotonic(), 0.0)):
                    raise TimeoutError
                data = os.read(process.stdout.fileno(), 65536)
                if not data:
                    return None
                self._left += data
        answer, dummy, self._left = self._left.partition(b"\n")
        return answer

    def end(self) -> None:
        """End it, with all that it started."""
        if self._process.stdin is not None:
            try:
                self._process.stdin.close()
            except OSError:
                # what we wrote last could not be flushed: it has gone
                pass
        stop(self._process)
