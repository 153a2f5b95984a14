# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which processes a service has now, for whoever looks at them closely: by its unit's control group, or by what supervisor told them.

Private to oncall.pressure: no stable interface. Read-only.
"""

from __future__ import annotations

import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._components import _membership
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine
from ansible_collections.oncall.pressure.plugins.module_utils._host._text import decode
from ansible_collections.oncall.pressure.plugins.module_utils._parse import _proc, _unit_file

_PROPERTIES = (
    "Id,LoadState,ActiveState,SubState,Result,NRestarts,MainPID,InvocationID,ControlGroup,ExecMainCode,ExecMainStatus,ExecMainStartTimestamp,"
    "StateChangeTimestamp,NeedDaemonReload,FragmentPath,DropInPaths,MemoryMax,MemoryHigh,MemoryLimit,MemoryCurrent,TasksCurrent,TasksMax,CPUUsageNSec,"
    "OOMPolicy,Restart,TimeoutStopUSec"
)
_ASK_S = 3.0
_GROUP_ROOTS = ("/sys/fs/cgroup", "/sys/fs/cgroup/systemd", "/sys/fs/cgroup/unified")

#: The most processes of one service that are looked at: the main one and the largest.
PROCESSES = 16


def find(machine: Machine, service: str) -> dict[str, t.Any]:
    """``{"service", "unit": name|null, "program": name|null, "group": control group|null, "pids": the main one first, then by size, "count",
    "supervisord": pid|null, "state": {property: text}}``. Raises OSError where /proc cannot be read."""
    found: dict[str, t.Any] = {"service": service, "unit": None, "program": None, "group": None, "supervisord": None, "state": {}}
    main: int | None = None
    if service.startswith("supervisor:"):
        found["program"] = service.partition(":")[2]
        pids = _of_program(machine, found["program"])
        main = next((pid for pid in pids if _parent(machine, pid) not in pids), None)
        found["supervisord"] = _parent(machine, main) if main is not None else None
    else:
        found["unit"] = service if "." in service.rpartition("@")[2] else service + ".service"
        found["state"] = _shown(machine, found["unit"])
        found["group"] = found["state"].get("ControlGroup") or None
        pids = _of_group(machine, found["group"]) if found["group"] else []
        main = _unit_file.number(found["state"].get("MainPID")) or None
    sizes = {pid: _size(machine, pid) for pid in pids}
    found["count"] = len(sizes)
    found["pids"] = sorted(sizes, key=lambda pid: (pid != main, -sizes[pid], pid))[:PROCESSES]
    return found


def _shown(machine: Machine, unit: str) -> dict[str, str]:
    """Properties of a unit; none where systemd cannot be asked."""
    try:
        outcome = machine.run(["systemctl", "show", "--no-pager", "--property=" + _PROPERTIES, "--", unit], _ASK_S)
    except FileNotFoundError:
        return {}
    return next(iter(_unit_file.shown(decode(outcome.out))), {})


def _of_group(machine: Machine, group: str) -> list[int]:
    """The processes of a control group and of those right below it."""
    for root in _GROUP_ROOTS:
        folder = root + group
        text = machine.text_or_none(folder + "/cgroup.procs")
        if text is None:
            continue
        for name in machine.names(folder):
            text += " " + (machine.text_or_none("%s/%s/cgroup.procs" % (folder, name)) or "")
        return [int(word) for word in text.split() if word.isdecimal()]
    return []


def _of_program(machine: Machine, program: str) -> list[int]:
    """The processes that carry a program's name in their environment, as its children do too."""
    found = []
    for name in machine.names("/proc"):
        if not name.isdecimal():
            continue
        try:
            environment = machine.read("/proc/%s/environ" % name, 131072)
        except OSError:
            continue
        if b"SUPERVISOR_PROCESS_NAME=" not in environment:
            continue
        told = dict(part.partition(b"=")[::2] for part in environment.split(b"\0") if part.startswith(b"SUPERVISOR_"))
        if _membership.program_name(decode(told.get(b"SUPERVISOR_GROUP_NAME", b"")), decode(told.get(b"SUPERVISOR_PROCESS_NAME", b""))) == program:
            found.append(int(name))
    return found


def _stat(machine: Machine, pid: int) -> _proc.Stat | None:
    try:
        return _proc.stat(machine.peek("/proc/%d/stat" % pid, 1024))
    except (OSError, ValueError):
        return None


def _parent(machine: Machine, pid: int) -> int | None:
    stat = _stat(machine, pid)
    return None if stat is None else stat.ppid


def _size(machine: Machine, pid: int) -> int:
    stat = _stat(machine, pid)
    return 0 if stat is None else stat.rss_pages
