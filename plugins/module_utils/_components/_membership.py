# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which service every process belongs to, what kind of software the service is, and which of its processes are workers.

Private to oncall.pressure: no stable interface.

A process belongs to the supervisor program that started it, else to its unit, container or session by cgroup, else to the
tree it is part of.
"""

from __future__ import annotations

import re
import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._components._own_root import OwnRoot
from ansible_collections.oncall.pressure.plugins.module_utils._components._process_table import Process
from ansible_collections.oncall.pressure.plugins.module_utils._components._recognise import Recognised, in_tree, recognise
from ansible_collections.oncall.pressure.plugins.module_utils._host._cgroups import Cgroups
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine
from ansible_collections.oncall.pressure.plugins.module_utils._host._text import decode
from ansible_collections.oncall.pressure.plugins.module_utils._parse import _cgroup

_WORKER_COMPONENTS = ("gunicorn", "uvicorn", "celery", "rq")

#: What starts one-off work: whatever runs below one of these, or in a login session, is a job.
_JOB_STARTERS = ("cron", "crond", "anacron", "atd", "fcron", "sshd", "sshd-session", "login", "su", "sudo")


class Group:
    """The processes of one service."""

    def __init__(self, manager: str, name: str, path: str | None, shared_path: str | None = None) -> None:
        self.manager = manager
        self.name = name
        #: its own cgroup; null where it has none, and then the one that it shares with others, where that is known
        self.path = path
        self.shared_path = shared_path
        self.id = name if manager in ("systemd", "user", "session") else "%s:%s" % ("process" if manager == "none" else manager, name)
        self.processes: list[Process] = []
        self.seen: dict[int, Recognised] = {}
        self.main: Process = None  # type: Process
        self.component = "other"
        self.role = "other"
        self.workers: list[Process] = []

    def cgroup_path(self, cgroups: Cgroups, controller: str) -> str | None:
        """The service's own cgroup of one controller; null where it has none (it shares one with others)."""
        if self.path is None:
            return None
        path = cgroups.path(self.main.cgroup, controller)
        if path is None:
            return None
        if path == self.path or path.startswith(self.path + "/"):
            return self.path
        return None

    def role_of(self, process: Process) -> str:
        """What one process of the service does."""
        seen = self.seen.get(process.pid)
        if seen is not None and seen.role != "other":
            return seen.role
        return self.role


def group(machine: Machine, processes: t.Mapping[int, Process], root: OwnRoot) -> list[Group]:
    """Every process in exactly one group."""
    seen = _recognise_all(machine, processes)
    starters = {pid: process for pid, process in processes.items() if process.name.startswith("supervisord") or _is_supervisord(process)}
    groups: dict[str, Group] = {}
    identities: dict[str, _cgroup.Identity] = {}
    for pid, process in processes.items():
        path = _cgroup.process_path(process.cgroup)
        identity = identities.get(path)
        if identity is None:
            identity = identities[path] = _cgroup.identify(path, root.prefix)
        contained = identity.manager in ("docker", "podman", "containerd", "kubernetes")
        program = _supervisor_program(machine, processes, starters, process) if starters and not contained else None
        if program is not None:
            row = Group("supervisor", program, None, path)
        elif identity.manager == "none":
            top = _top(processes, seen, process)
            row = Group("none", "%s:%d" % (top.name, top.pid), None)
        else:
            row = Group(identity.manager, identity.name, identity.path)
        row = groups.setdefault(row.id, row)
        row.processes.append(process)
        row.seen[pid] = seen[pid]
    for row in groups.values():
        _describe(row, processes, root.prefix)
    return list(groups.values())


def _recognise_all(machine: Machine, processes: t.Mapping[int, Process]) -> dict[int, Recognised]:
    """What every process is; what one cannot say of itself is said by the process above it."""
    alone = {pid: _recognise_one(machine, process) for pid, process in processes.items()}
    seen: dict[int, Recognised] = {}
    for pid in processes:
        chain = []
        here: int = pid
        while here in processes and here not in seen and here not in chain and len(chain) < 64:
            chain.append(here)
            here = processes[here].ppid
        for below in reversed(chain):
            above = processes[below].ppid
            seen[below] = in_tree(alone[below], seen.get(above))
    return seen


def _recognise_one(machine: Machine, process: Process) -> Recognised:
    """One that calls itself a known program must be run by the executable of one, where that may be seen.

    The arguments of one that is stuck in the kernel are not read; its name is that of its script, and stands for them.
    """
    if process.state == "D" and process.name in _WORKER_COMPONENTS:
        return recognise(process.name, ["python3", process.name, "worker"], None)
    seen = recognise(process.name, process.argv, None)
    if seen.component in ("other", "host"):
        return seen
    try:
        return recognise(process.name, process.argv, machine.link("/proc/%d/exe" % process.pid))
    except OSError:
        return seen


def _is_supervisord(process: Process) -> bool:
    return any(word.rpartition("/")[2] == "supervisord" for word in process.argv[:3])


def _supervisor_program(machine: Machine, processes: t.Mapping[int, Process], starters: t.Mapping[int, Process], process: Process) -> str | None:
    """The program of a supervisor that a process runs under, null where there is none."""
    here = process
    for dummy in range(64):
        above = processes.get(here.ppid)
        if above is None:
            return None
        if above.pid in starters:
            return _program_name(machine, here)
        here = above
    return None


def _program_name(machine: Machine, process: Process) -> str:
    """The name that supervisor gives its child, from the child's environment where it may be read."""
    try:
        environment = machine.read("/proc/%d/environ" % process.pid, 131072)
    except OSError:
        return process.name
    names = dict(part.partition(b"=")[::2] for part in environment.split(b"\0") if part.startswith(b"SUPERVISOR_"))
    return program_name(decode(names.get(b"SUPERVISOR_GROUP_NAME", b"")), decode(names.get(b"SUPERVISOR_PROCESS_NAME", b""))) or process.name


def program_name(group_name: str, process_name: str) -> str:
    """A program's name from what supervisor tells its processes: one of several processes is called NAME_00, and a program that
    stands in a group of programs has that group's name beside its own."""
    if not process_name or process_name == group_name or re.match(re.escape(group_name) + r"_[0-9]+\Z", process_name):
        return group_name
    return re.sub(r"_[0-9]+\Z", "", process_name)


def _top(processes: t.Mapping[int, Process], seen: t.Mapping[int, Recognised], process: Process) -> Process:
    """The root of the tree that nobody manages: the highest process of a known component above, else the highest below process 1."""
    here = top = process
    known: Process | None = process if seen[process.pid].component not in ("other", "host") else None
    for dummy in range(64):
        above = processes.get(here.ppid)
        if above is None or above.pid <= 1:
            break
        here = above
        if seen[here.pid].component not in ("other", "host"):
            known = here
        if seen[top.pid].component != "host" and seen[here.pid].component != "host":
            top = here
    return known if known is not None else top


def _describe(row: Group, processes: t.Mapping[int, Process], prefix: str) -> None:
    """Find the main process, the component, the role and the workers of a group."""
    pids = {process.pid for process in row.processes}
    depth = {process.pid: _depth(processes, process, pids) for process in row.processes}
    # the first of a pod holds its network, and does nothing
    by_height = sorted(row.processes, key=lambda process: (
        row.manager == "kubernetes" and process.name == "pause", depth[process.pid], process.start_ticks, process.pid))
    known = [process for process in by_height if row.seen[process.pid].component not in ("other", "host")]
    row.main = (known or by_height)[0]
    main = row.seen[row.main.pid]
    if row.manager == "kubernetes":
        # of its containers the one that does the work: its limit is the one that binds
        row.path = _cgroup.identify(_cgroup.process_path(row.main.cgroup), prefix).path
    row.component, row.role = main.component, main.role
    if row.manager in ("docker", "podman", "containerd", "kubernetes") and row.seen[by_height[0].pid].program == "systemd":
        # a whole system in a container is no one component
        row.component, row.role = "docker", "other"
    starter = row.main.name in _JOB_STARTERS or row.component == "cron"
    if row.manager == "session" or (starter and len(row.processes) > 1):
        # a login session, or a scheduler's unit: what runs in it beside the daemon is one-off work
        if row.component in ("other", "host", "cron"):
            row.role = "job"
    if row.component in _WORKER_COMPONENTS:
        row.workers = _workers(row, processes)


def _depth(processes: t.Mapping[int, Process], process: Process, pids: t.AbstractSet[int]) -> int:
    depth = 0
    while process.ppid in pids and depth < 64:
        process = processes[process.ppid]
        depth += 1
    return depth


def _workers(row: Group, processes: t.Mapping[int, Process]) -> list[Process]:
    """The processes that do the work: forked or spawned by a master of the same component; one that has no such children works itself."""
    same = [process for process in row.processes if row.seen[process.pid].component == row.component and row.seen[process.pid].role in ("web", "worker")]
    forked = [process for process in same if row.seen[process.pid].part == "worker"]
    parents = {process.ppid for process in forked}
    return forked + [process for process in same if row.seen[process.pid].part in ("master", "single") and process.pid not in parents]
