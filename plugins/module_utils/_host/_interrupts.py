# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Turn the signals that would end us into an exception, so that what was begun is put back before we go.

Private to oncall.pressure: no stable interface.
"""

from __future__ import annotations

import contextlib
import signal
import typing as t

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Interrupted(BaseException):
    """We were told to end. No ordinary exception: nothing between may take it for a failure of its own and go on."""


def _interrupt(number: int, frame: t.Any) -> None:
    # once is enough: a second signal must not break what puts things back
    for other in _SIGNALS:
        signal.signal(other, signal.SIG_IGN)
    raise Interrupted(signal.Signals(number).name)


@contextlib.contextmanager
def shielded() -> t.Iterator[None]:
    """Within, nothing but SIGKILL ends us: what puts things back is not to be left in the middle."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def interruptible() -> t.Iterator[None]:
    """Within, SIGTERM, SIGINT and SIGHUP raise Interrupted; after it they do what they did before."""
    before = {number: signal.signal(number, _interrupt) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
