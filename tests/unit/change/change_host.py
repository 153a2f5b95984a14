# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A host in a folder: its clocks, its boot and its files are what the tests say."""

from __future__ import annotations

import json
import pathlib
from typing import Any, Dict, List, Optional

from ansible_collections.oncall.pressure.plugins.module_utils._change import _journal
from ansible_collections.oncall.pressure.plugins.module_utils._change._journal import Entry, Journal
from ansible_collections.oncall.pressure.plugins.module_utils._change._kinds import Hands
from ansible_collections.oncall.pressure.plugins.module_utils._host._files import Files
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine

FILE = {"kind": "file", "path": "/etc/conf", "number": 0, "removes": False, "wanted_sha256": "0" * 64}


class Host:
    """A machine and its files in one folder. Time stands still unless told."""

    def __init__(self, folder: pathlib.Path, commands: Optional[Dict[str, Any]] = None, now: float = 1_000_000.0) -> None:
        self.folder = folder
        self.commands = commands or {}
        (folder / "etc").mkdir(parents=True, exist_ok=True)
        (folder / "var" / "lib").mkdir(parents=True, exist_ok=True)
        (folder / "proc" / "sys" / "kernel" / "random").mkdir(parents=True, exist_ok=True)
        self.files = Files(str(folder))
        self.boot("one", now)

    def boot(self, name: str, now: float) -> None:
        """The host starts anew, or for the first time."""
        (self.folder / "proc" / "sys" / "kernel" / "random" / "boot_id").write_text(name + "\n", encoding="ascii")
        self.clock(now)

    def clock(self, now: float, up_s: float = 0.0) -> None:
        """Set the wall clock, and the boot clock."""
        (self.folder / "commands.json").write_text(json.dumps({"now": now, "euid": 0, "commands": self.commands}), encoding="ascii")
        self.machine = Machine(str(self.folder))
        self.machine.sleep(up_s)

    def hands(self, folder: str = "") -> Hands:
        """What an operation works with."""
        return Hands(self.machine, self.files, folder)

    def entry(self, incident: str, states: List[str], **head: Any) -> Entry:
        """Write an entry: the line intent with ``head``, then one line for each state; ``applying`` begins operation 0."""
        folder = _journal.new_folder(self.files, incident)
        journal = Journal(self.machine, self.files, folder)
        line = {"boot": self.machine.boot(), "run": incident, "owner": "ann", "mitigation": "lower_workers", "service": "shop.service",
                "python": "/usr/bin/python3", "operations": [{"operation": dict(FILE), "before": {"exists": False, "path": "/etc/conf", "missing": []}}]}
        line.update(head)
        journal.write("intent", **line)
        for state in states:
            word, dummy, why = state.partition(":")
            more: Dict[str, Any] = {"operation": 0} if word in ("applying", "undone_one") else {}
            if word == "armed":
                more = {"deadline_s": self.machine.boot_s() + 900.0, "boot": self.machine.boot(), "how": "systemd"}
            if word == "confirmed":
                more = {"deadline_s": None, "boot": self.machine.boot()}
            if why:
                more["why"] = why
            journal.write(word, **more)
        return self.read(folder)

    def read(self, folder: str) -> Entry:
        """The entry in a folder."""
        entry = _journal.read(self.machine, folder)
        if entry is None:
            raise AssertionError("there is no entry in %s" % folder)
        return entry
