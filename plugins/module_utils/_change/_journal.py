# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The journal: what was changed on this host, written before each step, kept on the host.

Private to oncall.pressure: no stable interface.

``/var/lib/oncall-pressure/incidents/INCIDENT/NN/`` holds one entry: ``journal.jsonl`` (one JSON object a line, each seen to the disk
before the step that it announces), what was saved, and the undo program. Later lines win; a line that was torn by a crash is the last one and is
passed over. States: intent, saved, armed, applied, verified, confirmed, expired, undone, undo_failed; between them the lines ``applying``
and ``undoing`` say which operation was begun.
"""

from __future__ import annotations

import json
import re
import time
import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._change._kinds import Operation, State
from ansible_collections.oncall.pressure.plugins.module_utils._host._files import Files, Untrusted
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine

HOME: t.Final = "/var/lib/oncall-pressure"
INCIDENTS: t.Final = HOME + "/incidents"

#: An entry in one of these is over: nothing will happen to it by itself.
ENDED: t.Final = ("undone", "expired")
#: The states in which the host undoes an entry at its deadline.
PENDING: t.Final = ("intent", "saved", "armed", "applied", "verified", "undoing")
#: How often an undo that failed is tried again by itself, and how long after the last time, in seconds.
TRIES: t.Final = 10
TRY_AGAIN_S: t.Final = 120.0

_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z-]{0,47}\Z")
_NUMBER = re.compile(r"[0-9]{2,4}\Z")
_LINES_LIMIT = 4 * 1024 * 1024


def is_id(text: str) -> bool:
    """Whether a text may name an incident: it becomes part of paths and unit names."""
    return bool(_ID.match(text))


class Entry:
    """One change as its journal tells it.

    state: see the module; ``undoing`` while an undo was begun and has not ended
    head: the line ``intent``: at, epoch_s, boot, boot_s, sequence (its place among all changes of the host), incident, mitigation, service, owner, run,
        reason, operations, confirm_within_s, lifetime_s, health, python, version, reversible
    by: who confirmed or undid it; null for the host itself
    begun: the operations (by place) whose apply was begun
    deadline_s: when the host undoes it, on the boot clock of ``boot``; null where it does not by itself
    """

    def __init__(self, folder: str, lines: t.Sequence[dict[str, t.Any]]) -> None:
        self.folder = folder
        self.lines = lines
        self.head: dict[str, t.Any] = {}
        self.state = "intent"
        self.before_undo = "intent"
        self.begun: list[int] = []
        self.deadline_s: float | None = None
        self.expires_epoch_s: float | None = None
        self.boot = ""
        self.why = ""
        self.changed_at_s = 0.0
        self.tries = 0
        self.by: str | None = None
        self.conflict = False
        for line in lines:
            try:
                self._take(line)
            except (KeyError, TypeError, ValueError):
                # no line of ours: somebody's hand, or a bad disk
                continue

    def _take(self, line: dict[str, t.Any]) -> None:
        state = line.get("state")
        if state == "intent":
            self.boot = line["boot"]
            self.head = line
        elif state == "applying":
            if line["operation"] not in self.begun:
                self.begun.append(line["operation"])
            return
        elif state == "undone_one":
            return
        self.tries += state == "undo_failed"
        if state == "undoing" and self.state not in ("undoing", "undo_failed"):
            self.before_undo = self.state
        self.state = str(state)
        self.changed_at_s = float(line.get("epoch_s", 0.0))
        if "deadline_s" in line:
            self.deadline_s, self.boot = line["deadline_s"], line["boot"]
        if "expires_epoch_s" in line:
            self.expires_epoch_s = line["expires_epoch_s"]
        if line.get("why"):
            self.why = str(line["why"])
        if state in ("confirmed", "undoing", "undo_failed") + ENDED:
            self.by = line.get("by")
        self.conflict = bool(line.get("conflict"))

    @property
    def id(self) -> str:
        """INCIDENT/NN."""
        return "/".join(self.folder.split("/")[-2:])

    @property
    def incident(self) -> str:
        """The incident that it is part of."""
        return self.folder.split("/")[-2]

    @property
    def operations(self) -> list[tuple[Operation, State]]:
        """Each operation with the state before it."""
        return [(row["operation"], row["before"]) for row in self.head.get("operations", [])]

    @property
    def order(self) -> tuple[int, float, str]:
        """What puts the changes of a host in the order of their making, whatever its wall clock said."""
        return int(self.head.get("sequence", 0)), float(self.head.get("epoch_s", 0.0)), self.id

    def age_s(self, machine: Machine) -> float:
        """Seconds since it was begun: by the boot clock; after a boot by the wall clock, and never less than the host is up."""
        # the kernel's clock goes on where only a container was started anew
        if str(self.head.get("boot")).partition(":")[0] == machine.boot().partition(":")[0]:
            return max(machine.boot_s() - float(self.head.get("boot_s", 0.0)), 0.0)
        return max(machine.now() - float(self.head.get("epoch_s", 0.0)), machine.boot_s())

    def targets(self) -> set[tuple[str, ...] | None]:
        """What it changed and has to put back: another change of the same must be undone before it, or after it, but not between."""
        return {target(*row) for place, row in enumerate(self.operations) if place in self.begun} - {None}

    def left_s(self, machine: Machine) -> float | None:
        """Seconds until the host undoes it by itself (negative: overdue); null where it does not.

        After a boot what is not confirmed is due at once, and what has a lifetime counts on by the wall clock, never beyond what it had.
        """
        if self.state in ENDED or self.conflict:
            # what somebody else changed since is left to a person
            return None
        if self.deadline_s is None:
            # a run that ended before it could say that it was armed: there is nothing to wait for
            return 0.0 if self.state in PENDING else None
        if self.boot == machine.boot():
            return self.deadline_s - machine.boot_s()
        if self.state != "confirmed" or self.expires_epoch_s is None:
            return 0.0
        return min(max(self.expires_epoch_s - machine.now(), 0.0), float(self.head.get("lifetime_s") or 0.0))


def target(operation: Operation, before: State) -> tuple[str, ...] | None:
    """What an operation leaves changed; null where the order of undoing does not matter."""
    named = before.get("path") or operation.get("path") or operation.get("unit") or operation.get("service") or operation.get("program")
    # a unit's state is put back in any order, and of a crontab each change takes its own marks away
    if not named or operation.get("kind") in ("unit_state", "crontab"):
        return None
    return str(operation.get("kind")), str(named), str(operation.get("property", ""))


class Journal:
    """The writing side of one entry."""

    def __init__(self, machine: Machine, files: Files, folder: str) -> None:
        self.machine = machine
        self.files = files
        self.folder = folder

    def write(self, state: str, **more: t.Any) -> None:
        """One line, on the disk when this returns. Raises OSError."""
        now = self.machine.now()
        line: dict[str, t.Any] = {"state": state, "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now)), "epoch_s": round(now, 3)}
        line["boot_s"] = round(self.machine.boot_s(), 3)
        line.update(more)
        self.files.append(self.folder + "/journal.jsonl", json.dumps(line, sort_keys=True).encode("ascii") + b"\n")

    def try_to_write(self, state: str, **more: t.Any) -> bool:
        """The same where putting back matters more than telling of it (a full disk); whether it was written."""
        try:
            self.write(state, **more)
        except (OSError, Untrusted):
            return False
        return True


def read(machine: Machine, folder: str) -> Entry | None:
    """The entry in a folder; null where its journal does not even say what was meant."""
    text = machine.text_or_none(folder + "/journal.jsonl", _LINES_LIMIT)
    lines: list[dict[str, t.Any]] = []
    for raw in (text or "").split("\n"):
        try:
            line = json.loads(raw)
        except ValueError:
            continue
        if isinstance(line, dict) and "state" in line:
            lines.append(line)
    if not lines or lines[0]["state"] != "intent":
        return None
    entry = Entry(folder, lines)
    return entry if entry.head else None


def entries(machine: Machine, incident: str | None = None) -> list[Entry]:
    """Every entry of this host, oldest first. Raises PermissionError where we may not look."""
    found: list[Entry] = []
    try:
        incidents = sorted(machine.names(INCIDENTS))
    except (FileNotFoundError, NotADirectoryError):
        return []
    for name in incidents:
        if not is_id(name) or incident not in (None, name):
            continue
        try:
            numbers = sorted(machine.names("%s/%s" % (INCIDENTS, name)))
        except (FileNotFoundError, NotADirectoryError):
            continue
        for number in numbers:
            entry = read(machine, "%s/%s/%s" % (INCIDENTS, name, number)) if _NUMBER.match(number) else None
            if entry is not None:
                found.append(entry)
    return sorted(found, key=lambda entry: entry.order)


def above(machine: Machine, entry: Entry) -> list[Entry]:
    """Later changes of the same things that are not over, newest first: they must be undone before it."""
    mine = entry.targets()
    later = [other for other in entries(machine) if other.order > entry.order and other.state not in ENDED and mine & other.targets()]
    return list(reversed(later))


def new_folder(files: Files, incident: str) -> str:
    """Make the folder of an incident's next entry. Raises Untrusted, OSError."""
    files.make_folders(HOME, 0o700)
    files.make_folders(INCIDENTS, 0o700)
    here = "%s/%s" % (INCIDENTS, incident)
    taken = [int(name) for name in files.names(here) if _NUMBER.match(name)]
    folder = "%s/%02d" % (here, max(taken, default=0) + 1)
    files.make_folders(folder, 0o700)
    return folder
