# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What was changed on this host, as the journal tells it. Reads only.

Private to oncall.pressure: no stable interface.
"""

from __future__ import annotations

import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._change import _journal, _lease
from ansible_collections.oncall.pressure.plugins.module_utils._change._journal import Entry
from ansible_collections.oncall.pressure.plugins.module_utils._host._files import Files
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine
from ansible_collections.oncall.pressure.plugins.module_utils._host._text import clean_tree

#: A host with this file refuses every change.
READ_ONLY: t.Final = "/etc/oncall-pressure/read-only"


def describe(machine: Machine, entry: Entry) -> dict[str, t.Any]:
    """One entry for people and programs; ages and times left in seconds."""
    head = entry.head
    left = entry.left_s(machine)
    row: dict[str, t.Any] = {
        "entry": entry.id, "incident": entry.incident, "mitigation": head.get("mitigation"), "service": head.get("service"), "owner": head.get("owner"),
        "reason": head.get("reason"), "state": entry.state, "at": head.get("at"), "age_s": round(entry.age_s(machine)),
        "undone_in_s": None if left is None else round(max(left, 0.0)), "overdue_s": round(max(-left, 0.0)) if left is not None else None,
        "why": entry.why or None, "by": entry.by, "reversible": head.get("reversible"),
        "operations": [{"kind": operation.get("kind"), "what": what(operation), "begun": place in entry.begun}
                       for place, (operation, dummy) in enumerate(entry.operations)],
        "problems": [], "command": None,
    }
    if entry.state == "undo_failed":
        row["problems"] = entry.lines[-1].get("problems") or []
        row["command"] = entry.lines[-1].get("command")
    return row


def what(operation: t.Mapping[str, t.Any]) -> str:
    """What an operation acts on."""
    return str(operation.get("path") or operation.get("unit") or operation.get("service") or operation.get("program") or "")


def listing(machine: Machine) -> dict[str, t.Any]:
    """What was changed on this host, oldest first, and who has it now. Raises PermissionError."""
    return t.cast("dict[str, t.Any]", clean_tree({
        "entries": [describe(machine, entry) for entry in _journal.entries(machine)], "lease": _lease.holder(machine),
        "read_only": Files(machine.root).exists(READ_ONLY),
    }))
