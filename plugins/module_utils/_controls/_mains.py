# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which main process a service has now, where the one that an operation knew is gone: from its unit's control group or its supervisor.

Private to oncall.pressure: no stable interface.
"""

from __future__ import annotations

import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._controls import _processes
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine
from ansible_collections.oncall.pressure.plugins.module_utils._host._text import decode

_FILES = ("/etc/supervisor/supervisord.conf", "/etc/supervisord.conf", "/usr/etc/supervisord.conf")


def unit_pids(machine: Machine, unit: str) -> list[int]:
    """The processes of a unit's control group; none where it does not run or systemd cannot be asked."""
    try:
        outcome = machine.run(["systemctl", "show", "--no-pager", "--property=ControlGroup", "--", unit], 20.0)
    except FileNotFoundError:
        return []
    group = decode(outcome.out).strip().partition("=")[2]
    if outcome.status != 0 or not group.startswith("/"):
        return []
    found: list[int] = []
    for folder in ("/sys/fs/cgroup", "/sys/fs/cgroup/systemd", "/sys/fs/cgroup/unified"):
        text = machine.text_or_none(folder + group + "/cgroup.procs")
        if text is not None:
            found = [int(word) for word in text.split() if word.isdecimal()]
            break
    return found


def main_process(machine: Machine, component: str, service: str, unit: str | None) -> int | None:
    """The process that is the master of the service's workers now; null where none is there."""
    if service.startswith("supervisor:"):
        pids = _supervised(machine, service.partition(":")[2])
    else:
        pids = unit_pids(machine, unit) if unit else []
    masters = [pid for pid in pids if _processes.workers(machine, component, pid)]
    below = {child for pid in masters for child in machine.children(pid)}
    tops = [pid for pid in masters if pid not in below]
    # two masters mean an upgrade under way, or a unit that holds two programs: not for us to choose
    return tops[0] if len(tops) == 1 else None


def _supervised(machine: Machine, program: str) -> list[int]:
    try:
        outcome = machine.run(["supervisorctl"] + supervisor_options(machine) + ["pid", program], 15.0)
    except FileNotFoundError:
        return []
    first = [int(word) for word in decode(outcome.out).split() if word.isdecimal() and int(word) > 1]
    # a program may be a shell around the master
    return first + [child for pid in first for child in machine.children(pid)]


def supervisor_options(machine: Machine) -> list[str]:
    """How supervisorctl finds the supervisord that runs here: its own configuration file, as its arguments name it."""
    for name in machine.names("/proc"):
        if not name.isdecimal():
            continue
        argv = _processes.words(machine, int(name))
        place = next((place for place, word in enumerate(argv[:3]) if word.rpartition("/")[2] == "supervisord"), None)
        if place is None or _in_container(machine, int(name)):
            continue
        path = _named(argv[place + 1:])
        if path is not None and path.startswith("/"):
            return ["-c", path]
    path = next((path for path in _FILES if machine.exists(path)), None)
    return ["-c", path] if path is not None else []


def _named(arguments: t.Sequence[str]) -> str | None:
    for place, word in enumerate(arguments):
        if word in ("-c", "--configuration") and place + 1 < len(arguments):
            return arguments[place + 1]
        if word.startswith("--configuration="):
            return word.partition("=")[2]
    return None


def _in_container(machine: Machine, pid: int) -> bool:
    """Whether a process has another root than we: its files are not ours."""
    try:
        return machine.link("/proc/%d/ns/mnt" % pid) != machine.link("/proc/self/ns/mnt")
    except OSError:
        return False
