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
from ansible_collections.oncall.pressure.plugins.module_utils._host._files import Files
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
    head: the line ``intent``: at, epoch_s, boot, boot_s, incident, mitigation, service, owner, run, reason, operations, confirm_within_s,
        lifetime_s, health, python, version, reversible
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
        for line in lines:
            self._take(line)

    def _take(self, line: dict[str, t.Any]) -> None:
        state = line.get("state")
        if state == "intent":
            self.head = line
            self.boot = line["boot"]
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

    def left_s(self, machine: Machine) -> float | None:
        """Seconds until the host undoes it by itself (negative: overdue); null where it does not.

        After a boot what is not confirmed is due at once, and what has a lifetime counts on by the wall clock, never beyond what it had.
        """
        if self.state in ENDED:
            return None
        if self.deadline_s is None:
            # a run that ended before it could say that it was armed: there is nothing to wait for
            return 0.0 if self.state in PENDING else None
        if self.boot == machine.boot():
            return self.deadline_s - machine.boot_s()
        if self.state != "confirmed" or self.expires_epoch_s is None:
            return 0.0
        return min(max(self.expires_epoch_s - machine.now(), 0.0), float(self.head.get("lifetime_s") or 0.0))


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

    def try_to_write(self, state: str, **more: t.Any) -> None:
        """The same where putting back matters more than telling of it (a full disk)."""
        try:
            self.write(state, **more)
        except OSError:
            return


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
    return Entry(folder, lines)


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
        for number in sorted(machine.names("%s/%s" % (INCIDENTS, name))):
            entry = read(machine, "%s/%s/%s" % (INCIDENTS, name, number)) if _NUMBER.match(number) else None
            if entry is not None:
                found.append(entry)
    return sorted(found, key=lambda entry: (float(entry.head.get("epoch_s", 0.0)), entry.id))


def new_folder(files: Files, incident: str) -> str:
    """Make the folder of an incident's next entry. Raises Untrusted, OSError."""
    files.make_folders(HOME, 0o700)
    files.make_folders(INCIDENTS, 0o700)
    here = "%s/%s" % (INCIDENTS, incident)
    taken = [int(name) for name in files.names(here) if _NUMBER.match(name)]
    folder = "%s/%02d" % (here, max(taken, default=0) + 1)
    files.make_folders(folder, 0o700)
    return folder
