# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The corpus of kernel OOM texts: ``oom.jsonl``, each with the kills that its text tells of.

Right is: as many kernel kills and userspace kills as labelled, and every field of every kill equal.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, List

from ansible_collections.oncall.pressure.plugins.module_utils._parse._kernel_oom import Kill, parse

from _rows import REFUSED, RIGHT, WRONG, Row, items


def check(folder: Path) -> List[Row]:
    """A row for each text of ``folder/oom.jsonl``."""
    return [_row(item) for item in items(folder / "oom.jsonl")]


def _row(item: Dict[str, Any]) -> Row:
    label = item["label"]
    found = parse(item["text"])
    if found.refused:
        return Row(item["id"], REFUSED, "; ".join(sorted({refused.reason for refused in found.refused})))
    differences = []
    for name, count in (("kernel_oom_kills", len(found.kills)), ("userspace_kills", len(found.userspace))):
        if count != label[name]:
            differences.append("%s %d, labelled %d" % (name, count, label[name]))
    for number, (kill, event) in enumerate(zip(found.kills, label["events"]), 1):
        fields = _fields(kill)
        differences += ["event %d: %s %r, labelled %r" % (number, name, fields[name], event[name]) for name in fields if fields[name] != event[name]]
    return Row(item["id"], WRONG if differences else RIGHT, "; ".join(differences))


def _fields(kill: Kill) -> Dict[str, Any]:
    """A kill under the names of the labels."""
    return {
        "pid": kill.pid, "comm": kill.name, "timestamp": kill.stamp, "constraint": kill.constraint, "task_memcg": kill.cgroup,
        "anon_rss_kb": kill.anon_rss_kib, "total_vm_kb": kill.total_vm_kib, "uid": kill.uid, "trigger": kill.trigger,
    }
