# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lease: at most one run changes a host at a time. Diagnosis never needs it.

Private to oncall.pressure: no stable interface.

A lock of the kernel keeps two processes apart; what the locked file says keeps two runs apart between their calls. Its deadline is on the boot
clock, so that nobody's wall clock matters, and a boot ends it.
"""

from __future__ import annotations

import json
import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._change import _journal
from ansible_collections.oncall.pressure.plugins.module_utils._change._kinds import Refused
from ansible_collections.oncall.pressure.plugins.module_utils._host._files import Files, Untrusted, started
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine
from ansible_collections.oncall.pressure.plugins.module_utils._host._text import clean

PATH: t.Final = _journal.HOME + "/lease"


class Lease:
    """The lock of this host, held from :func:`take` to :meth:`release`."""

    def __init__(self, machine: Machine, files: Files, descriptor: int, run: str, owner: str) -> None:
        self.machine = machine
        self.files = files
        self.descriptor = descriptor
        self.run = run
        self.owner = owner

    def say(self, doing: str, for_s: float) -> None:
        """Write what is done under the lease and until when it stays with this run."""
        pid = self.machine.pid()
        row = {
            "run": self.run, "owner": self.owner, "boot": self.machine.boot(), "until_s": round(self.machine.boot_s() + for_s, 3), "doing": doing, "pid": pid,
            "start_ticks": started(pid),
        }
        self.files.say(self.descriptor, json.dumps(row, sort_keys=True).encode("ascii"))

    def try_to_say(self, doing: str, for_s: float) -> None:
        """The same where it matters less than what is done: on a full disk the line from before stands, with its own deadline."""
        try:
            self.say(doing, for_s)
        except OSError:
            return

    def release(self, for_s: float) -> None:
        """Let others' processes in; the run keeps the lease for so long."""
        self.try_to_say("nothing", for_s)
        self.files.unlock(self.descriptor)


def holder(machine: Machine, over: bool = False) -> dict[str, t.Any] | None:
    """Whose the lease is now, or with ``over`` whose it was last in this boot; null where it is nobody's."""
    return _row(machine, (machine.text_or_none(PATH, 65536) or "").encode("utf-8", "replace"), over)


def _row(machine: Machine, data: bytes, over: bool = False) -> dict[str, t.Any] | None:
    try:
        row = json.loads(data.decode("utf-8", "replace"))
        if not isinstance(row, dict) or row["boot"] != machine.boot() or (float(row["until_s"]) <= machine.boot_s() and not over):
            return None
    except (ValueError, KeyError, TypeError):
        return None
    return row


def take(machine: Machine, files: Files, run: str, owner: str, wait_s: float = 0.0) -> Lease:
    """The lease for a run that wants to change something. Raises Refused where it is another's."""
    try:
        files.make_folders(_journal.HOME, 0o700)
        descriptor = files.lock(PATH, wait_s)
    except (OSError, Untrusted) as problem:
        raise Refused("the lease of this host cannot be taken: %s" % clean(str(problem), 300)) from problem
    if descriptor is None:
        other = holder(machine) or {}
        raise Refused("%s is changing this host right now; nothing was done" % _who(other))
    row = _row(machine, files.locked_text(descriptor))
    if row is not None and row.get("run") != run and not _died_early(row):
        files.unlock(descriptor)
        left = float(row["until_s"]) - machine.boot_s()
        raise Refused("%s has this host for another %d s (it is free at once when the open change is confirmed or rolled back)" % (_who(row), round(left)))
    return Lease(machine, files, descriptor, run, owner)


def check(machine: Machine, run: str) -> None:
    """What :func:`take` would say, without taking anything (check mode). Raises Refused."""
    row = holder(machine)
    if row is not None and row.get("run") != run and not _died_early(row):
        raise Refused("%s has this host for another %d s" % (_who(row), round(float(row["until_s"]) - machine.boot_s())))


def preparing(machine: Machine) -> bool:
    """Whether a run is alive that has not changed anything yet."""
    row = holder(machine, over=True)
    return row is not None and row.get("doing") == "preparing" and not _died_early(row)


def _died_early(row: t.Mapping[str, t.Any]) -> bool:
    """Whether the holder ended before it changed anything, or while it closed a change (what is left of that, the journal says), or between two workers."""
    pid = row.get("pid")
    if row.get("doing") not in ("preparing", "confirming", "undoing", "recycling") or not isinstance(pid, int):
        return False
    return started(pid) is None or started(pid) != row.get("start_ticks")


def _who(row: t.Mapping[str, t.Any]) -> str:
    return "%s (run %s)" % (clean(str(row.get("owner") or "somebody"), 100), clean(str(row.get("run") or "unknown"), 60))
