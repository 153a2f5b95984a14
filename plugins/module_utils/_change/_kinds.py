# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What every reversible operation is made of: plain data in the journal, and four functions that know what to do with it.

Private to oncall.pressure: no stable interface.

An operation is a dictionary that JSON can hold: its ``kind`` and what that kind needs to know. It never holds a secret: what is
secret (a program's environment, a URL with a password) is read from the running service when it is needed. What an operation
finds before it acts is a state, a dictionary too. The engine writes both to the journal before it touches anything; the undo
program, which runs alone and perhaps after a reboot, has nothing else.
"""

from __future__ import annotations

import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._host._files import Files
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine

Operation = t.Dict[str, t.Any]
State = t.Dict[str, t.Any]


class Refused(Exception):
    """An operation must not be done here: the reason, and what a person can do instead. Nothing was changed."""


class Failed(Exception):
    """An operation was tried and did not reach what it should have."""


class Conflict(Exception):
    """Somebody else changed the same thing since: undoing would destroy what they did."""


class Hands(t.NamedTuple):
    """What an operation works with.

    machine: to look and to run programs
    files: to write files and to send signals, safely as root
    folder: the entry's own folder on the host, where what is saved lies
    booting: whether the host is booting and jobs of the service manager must not be waited for
    """

    machine: Machine
    files: Files
    folder: str
    booting: bool = False


class Shown(t.NamedTuple):
    """One block of a diff: nothing in it may differ between a check and the run (no time, no pid, no id)."""

    header: str
    before: str
    after: str


class Kind(t.NamedTuple):
    """The functions of one kind of operation.

    look: the state now, from the kernel, the files or the service manager, never from what was said to be done. Raises Refused.
    show: before and after for a person, redacted; null where there is nothing to show. Nothing in it may differ between a check and the run.
    save: keep in ``hands.folder`` what undoing will need, fsynced and checked; called before the change is armed. Raises OSError.
    apply: do it. Raises Failed, Refused, OSError.
    reached: (operation, state before, state now) whether the operation's effect is there. Asked with the state before as the state now,
        it tells whether there is anything to do.
    undo: put back; given the state before; ``force`` overrides what others did since. Does nothing where nothing is to do, may be called
        again after it was interrupted. Returns what was done in one line. Raises Conflict, Failed, OSError.
    """

    look: t.Callable[[Hands, Operation], State]
    show: t.Callable[[Hands, Operation, State], t.Optional[Shown]]
    save: t.Callable[[Hands, Operation, State], None]
    apply: t.Callable[[Hands, Operation, State], None]
    reached: t.Callable[[Operation, State, State], bool]
    undo: t.Callable[[Hands, Operation, State, bool], str]


def acts_now(operation: Operation) -> bool:
    """Whether an operation changes what runs: a file that nobody is told to read counts at the next start only, a unit that the change itself made later."""
    if operation.get("made"):
        return False
    return operation.get("kind") != "file" or any(str(step).startswith("reload:") for step in operation.get("then") or [])


def nothing_to_save(hands: Hands, operation: Operation, before: State) -> None:
    """For kinds whose state before is all that undoing needs."""
