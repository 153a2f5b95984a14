# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The process table: two looks at every process, one window apart.

Private to oncall.pressure: no stable interface.

The first look reads three small files a process (stat, cmdline, cgroup), the second only stat. A process in uninterruptible
sleep keeps its cmdline locked, so that is not read of such a process: its name stands in.
"""

from __future__ import annotations

import re
import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine
from ansible_collections.oncall.pressure.plugins.module_utils._host._text import decode
from ansible_collections.oncall.pressure.plugins.module_utils._parse import _cgroup, _proc

#: The most of a command line that is kept, in bytes.
_COMMAND_LIMIT = 4096

#: The most processes whose details are read; a table larger than that is said to be cut.
PROCESS_LIMIT = 20000


class Process:
    """One process over the window. CPU in CPUs, memory in bytes; null is not measured."""

    __slots__ = ("pid", "ppid", "name", "state", "start_ticks", "session", "threads", "rss_bytes", "before_ticks", "ticks", "ended_before_ticks", "ended_ticks",
                 "argv", "cgroup", "seen_twice",
                 "pss_bytes", "anon_bytes", "open_files", "io_before", "io_after", "waited_before_ns", "waited_ns",
                 "virtual_bytes", "memory", "peak_rss_bytes", "open_files_limit", "open_kinds", "switches_before", "switches")

    def __init__(self, stat: _proc.Stat, page_bytes: int) -> None:
        self.pid = stat.pid
        self.ppid = stat.ppid
        self.name = decode(stat.name)
        self.state = stat.state
        self.start_ticks = stat.start_ticks
        self.session = stat.session
        self.threads = stat.threads
        self.rss_bytes = stat.rss_pages * page_bytes
        self.virtual_bytes = stat.virtual_bytes
        self.before_ticks = stat.user_ticks + stat.system_ticks
        self.ticks = 0
        self.ended_before_ticks = stat.ended_ticks
        #: of children that ended within the window
        self.ended_ticks = 0
        self.argv: list[str] = []
        self.cgroup: dict[str, str] = {}
        self.seen_twice = False
        self.pss_bytes: int | None = None
        self.anon_bytes: int | None = None
        #: of smaps_rollup, by its own names
        self.memory: dict[str, int] = {}
        self.peak_rss_bytes: int | None = None
        self.open_files: int | None = None
        self.open_files_limit: int | None = None
        self.open_kinds: dict[str, int] | None = None
        #: (voluntary, involuntary), since it started and within the window
        self.switches_before: tuple[int, int] | None = None
        self.switches: tuple[int, int] | None = None
        self.io_before: dict[str, int] | None = None
        self.io_after: dict[str, int] | None = None
        #: how long its main thread has been ready to run without a processor, since it started; and within the window
        self.waited_before_ns: int | None = None
        self.waited_ns: int | None = None


class Table(t.NamedTuple):
    """processes by pid; kernel threads are counted and left out; ``ours`` are this tool's own, left out; seconds between the looks."""

    processes: dict[int, Process]
    kernel_threads: int
    ours: frozenset[int]
    cut: bool


def first_look(machine: Machine, own_pids: t.AbstractSet[int]) -> Table:
    """Every process with its arguments and cgroups, this tool's own left out."""
    processes: dict[int, Process] = {}
    kernel_threads = 0
    memberships: dict[bytes, dict[str, str]] = {}
    names = [name for name in machine.names("/proc") if name.isdecimal()]
    for name in names[:PROCESS_LIMIT]:
        folder = "/proc/" + name
        try:
            stat = _proc.stat(machine.peek(folder + "/stat", 1024))
            if stat.kernel_thread:
                kernel_threads += 1
                continue
            process = Process(stat, machine.page_bytes)
            if stat.state not in "DZ":
                words = _proc.arguments(machine.peek(folder + "/cmdline", _COMMAND_LIMIT))
                process.argv = decode(b"\0".join(words)).split("\0") if words else []
            cgroup = machine.peek(folder + "/cgroup")
        except (OSError, ValueError):
            # it ended meanwhile, or /proc is mounted with hidepid
            continue
        if cgroup not in memberships:
            memberships[cgroup] = _cgroup.membership(decode(cgroup))
        process.cgroup = memberships[cgroup]
        processes[stat.pid] = process
    ours = _ours(processes, own_pids)
    return Table({pid: process for pid, process in processes.items() if pid not in ours}, kernel_threads, ours, len(names) > PROCESS_LIMIT)


def second_look(machine: Machine, table: Table) -> None:
    """Fill in what each process used since the first look. Of one that did something its other figures are read anew; one that ended stays as it was."""
    for pid, process in table.processes.items():
        try:
            data = machine.peek("/proc/%d/stat" % pid, 1024)
            ticks, ended_ticks, start_ticks = _proc.ticks(data)
        except (OSError, ValueError):
            continue
        if start_ticks != process.start_ticks:
            continue
        process.seen_twice = True
        process.ticks = max(ticks - process.before_ticks, 0)
        process.ended_ticks = max(ended_ticks - process.ended_before_ticks, 0)
        if process.ticks or process.state != "S":
            stat = _proc.stat(data)
            process.rss_bytes = stat.rss_pages * machine.page_bytes
            process.virtual_bytes = stat.virtual_bytes
            process.threads = stat.threads
            if process.state == "D" and stat.state != "D":
                process.state = stat.state
    for process in table.processes.values():
        above = table.processes.get(process.ppid)
        if not process.seen_twice and above is not None:
            # what it had used before the window came to its parent with the rest
            above.ended_ticks = max(above.ended_ticks - process.before_ticks - process.ended_before_ticks, 0)


def _ours(processes: t.Mapping[int, Process], own_pids: t.AbstractSet[int]) -> frozenset[int]:
    """The given processes and everything below them."""
    ours = set(own_pids)
    for pid in processes:
        chain = []
        here: int | None = pid
        while here is not None and here not in ours and len(chain) < 64:
            chain.append(here)
            above = processes.get(here)
            here = above.ppid if above is not None else None
        if here in ours:
            ours.update(chain)
    return frozenset(ours)


def own_chain(machine: Machine) -> frozenset[int]:
    """The calling process and those above it that are part of the run: up to the shell or sudo that a connection started, and
    over a local connection up to ansible itself with its other children. Never the person's own shell or the ssh server."""
    chain: list[int] = []
    last_of_run = 0
    pid = machine.pid()
    while pid > 1 and len(chain) < 32:
        try:
            stat = _proc.stat(machine.peek("/proc/%d/stat" % pid, 1024))
            words = [decode(word) for word in _proc.arguments(machine.peek("/proc/%d/cmdline" % pid, _COMMAND_LIMIT))]
        except (OSError, ValueError):
            break
        chain.append(pid)
        if _is_run(words):
            last_of_run = len(chain)
        pid = stat.ppid
    return frozenset(chain[: max(last_of_run, 1)])


_RUN = re.compile(r"(?:^|/)(?:ansible(?:-[a-z]+)?|AnsiballZ_[A-Za-z0-9_]+\.py)\Z|/\.ansible/|ansible-tmp-|BECOME-SUCCESS|echo PLATFORM|&& sleep 0\s*\Z")


def _is_run(words: t.Sequence[str]) -> bool:
    """Whether a command line is part of an Ansible run."""
    return any(_RUN.search(word[:4096]) for word in words[:12])
