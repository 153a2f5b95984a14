# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a service does by the service manager's and the kernel's own figures: the ground for confirming a change.

Private to oncall.pressure: no stable interface.
"""

from __future__ import annotations

import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._change import _systemctl
from ansible_collections.oncall.pressure.plugins.module_utils._change._kinds import Failed
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine

Health = t.Dict[str, t.Any]


def look(machine: Machine, service: str) -> Health:
    """``{"active": null|bool, "restarts": null|n, "oom_kills": null|n}`` of a unit; null for what is not known of it."""
    health: Health = {"active": None, "restarts": None, "oom_kills": None}
    if not service.endswith(".service") or not _systemctl.present(machine):
        return health
    try:
        shown = _systemctl.show(machine, service, ("ActiveState", "NRestarts", "ControlGroup"))
    except Failed:
        return health
    health["active"] = shown["ActiveState"] in ("active", "reloading")
    health["restarts"] = int(shown["NRestarts"]) if shown["NRestarts"].isdecimal() else None
    if shown["ControlGroup"]:
        health["oom_kills"] = _oom_kills(machine, shown["ControlGroup"])
    return health


def _oom_kills(machine: Machine, group: str) -> int | None:
    for path in ("/sys/fs/cgroup%s/memory.events", "/sys/fs/cgroup/memory%s/memory.oom_control"):
        text = machine.text_or_none(path % group, 4096)
        for line in (text or "").split("\n"):
            words = line.split()
            if len(words) == 2 and words[0] == "oom_kill" and words[1].isdecimal():
                return int(words[1])
    return None


def worse(before: Health, now: Health) -> str | None:
    """What got worse between two looks, null for nothing. What is not known is not worse."""
    if before["active"] and now["active"] is False:
        return "it is no longer active"
    for key, said in (("restarts", "it was restarted"), ("oom_kills", "the kernel killed in it")):
        if before[key] is not None and now[key] is not None and now[key] > before[key]:
            return "%s (%d more)" % (said, now[key] - before[key])
    return None
