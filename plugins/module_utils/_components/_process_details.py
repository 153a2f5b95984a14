# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is read of the few processes that matter: proportional memory, open files, bytes read and written, the user.

Private to oncall.pressure: no stable interface.

PSS costs about 10 ms per resident GiB under the lock of the process that is measured, and has stalled databases: it is read
largest worker first, of processes below a size, within a time budget. What was left unmeasured is said.
"""

from __future__ import annotations

import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._components._process_table import Process
from ansible_collections.oncall.pressure.plugins.module_utils._host._collect import Options
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine
from ansible_collections.oncall.pressure.plugins.module_utils._host._text import decode
from ansible_collections.oncall.pressure.plugins.module_utils._parse import _proc

#: A process larger than this is not walked for its PSS, nor one for which less time is left than its size is likely to cost.
_PSS_CEILING_BYTES = 4 * 1024 ** 3
_PSS_COST_S_PER_BYTE = 0.03 / 1024 ** 3
_PSS_WALL_S = 1.0

#: How many processes beside the workers have PSS, I/O and open files read: the largest.
_LARGEST = 16
_IO_PROCESSES = 128
_OPEN_FILES_PROCESSES = 64
#: Of how many open files it is read what they are, together and of one process.
_LINKS = 4096
_LINKS_OF_ONE = 1024
#: Beside them, of how many that are ready to run it is read how long they stand in line: what is small may burn too.
_READY_PROCESSES = 64


def measure(machine: Machine, processes: t.Mapping[int, Process], workers: t.Sequence[Process], options: Options) -> str | None:
    """Fill in pss_bytes, anon_bytes, open_files and io_before; returns what was left out and why, or null."""
    by_size = sorted(processes.values(), key=lambda process: -process.rss_bytes)
    chosen = sorted(workers, key=lambda process: -process.rss_bytes)
    known = {process.pid for process in chosen}
    chosen += [process for process in by_size[:_LARGEST] if process.pid not in known]
    for process in (chosen + by_size)[:_IO_PROCESSES]:
        process.io_before = _io(machine, process.pid)
    links = _LINKS
    for process in chosen[:_OPEN_FILES_PROCESSES]:
        links -= _files(machine, process, links)
        process.waited_before_ns = _waited_ns(machine, process.pid)
    ready = [process for process in processes.values() if process.state == "R"][:_READY_PROCESSES]
    for process in ready:
        process.waited_before_ns = _waited_ns(machine, process.pid)
    for process in {process.pid: process for process in chosen[:_OPEN_FILES_PROCESSES] + ready}.values():
        _status(machine, process)
    return _pss(machine, chosen, options.pss_budget_s)


def _pss(machine: Machine, chosen: t.Sequence[Process], budget_s: float) -> str | None:
    # CPU time: on a starved host the clock runs out before anything was read
    end = machine.cpu_s() + budget_s
    latest = machine.monotonic() + _PSS_WALL_S
    large = late = refused = 0
    for process in chosen:
        if process.rss_bytes > _PSS_CEILING_BYTES:
            large += 1
        elif machine.cpu_s() + process.rss_bytes * _PSS_COST_S_PER_BYTE >= end or machine.monotonic() >= latest:
            late += 1
        else:
            try:
                figures = _proc.named_kib(decode(machine.peek("/proc/%d/smaps_rollup" % process.pid)))
            except PermissionError:
                refused += 1
                continue
            except OSError:
                continue
            process.memory = figures
            process.pss_bytes, process.anon_bytes = figures.get("Pss"), figures.get("Pss_Anon", figures.get("Anonymous"))
    reasons = []
    if large:
        reasons.append("%d larger than %d GiB" % (large, _PSS_CEILING_BYTES // 1024 ** 3))
    if late:
        reasons.append("%d beyond the budget of %.2f s of CPU" % (late, budget_s))
    if refused:
        reasons.append("%d of other users (no privileges)" % refused)
    return "PSS not read of " + ", ".join(reasons) if reasons else None


def measure_again(machine: Machine, processes: t.Mapping[int, Process]) -> None:
    """Fill in io_after and waited_ns for those that were looked at before the window."""
    for process in processes.values():
        if process.io_before is not None and process.seen_twice:
            process.io_after = _io(machine, process.pid)
        if process.waited_before_ns is not None and process.seen_twice:
            after = _waited_ns(machine, process.pid)
            process.waited_ns = None if after is None else max(after - process.waited_before_ns, 0)
        if process.switches_before is not None and process.seen_twice:
            before = process.switches_before
            _status(machine, process)
            now = process.switches_before
            process.switches = max(now[0] - before[0], 0), max(now[1] - before[1], 0)


def _io(machine: Machine, pid: int) -> dict[str, int] | None:
    try:
        return _proc.numbers(decode(machine.peek("/proc/%d/io" % pid, 1024)))
    except OSError:
        return None


def _waited_ns(machine: Machine, pid: int) -> int | None:
    """The second of three numbers: time on a processor, time in line for one, slices. Null where the kernel does not keep them."""
    try:
        return int(machine.peek("/proc/%d/schedstat" % pid, 256).split()[1])
    except (OSError, ValueError, IndexError):
        return None


def _status(machine: Machine, process: Process) -> None:
    """The most memory it ever had resident, and how often it gave its processor away (switches_before); what is not told stays as it was."""
    try:
        text = decode(machine.peek("/proc/%d/status" % process.pid))
    except OSError:
        return
    counts = _proc.numbers(text)
    process.peak_rss_bytes = _proc.named_kib(text).get("VmHWM")
    if "voluntary_ctxt_switches" in counts and "nonvoluntary_ctxt_switches" in counts:
        process.switches_before = counts["voluntary_ctxt_switches"], counts["nonvoluntary_ctxt_switches"]


def _files(machine: Machine, process: Process, links: int) -> int:
    """Fill in how many files it has open, of which kind, and how many it may have; returns how many links were read, at most ``links``.

    What a link points to is not looked at: a file system that hangs would hang with it.
    """
    folder = "/proc/%d/fd" % process.pid
    try:
        names = machine.names(folder)
    except OSError:
        return 0
    process.open_files = len(names)
    process.open_files_limit = _proc.open_files_limit(machine.text_or_none("/proc/%d/limits" % process.pid, 4096) or "")
    if len(names) > min(links, _LINKS_OF_ONE):
        return 0
    kinds = {"file": 0, "socket": 0, "pipe": 0, "other": 0}
    for name in names:
        try:
            kinds[_proc.kind_of_file(machine.link(folder + "/" + name))] += 1
        except OSError:
            # closed meanwhile
            continue
    process.open_kinds = kinds
    return len(names)


def user_names(machine: Machine) -> dict[int, str]:
    """Names by uid from /etc/passwd: no name service is asked, it may hang."""
    names: dict[int, str] = {}
    for line in (machine.text_or_none("/etc/passwd", 1048576) or "").splitlines():
        parts = line.split(":")
        if len(parts) >= 3 and parts[2].isdecimal():
            names.setdefault(int(parts[2]), parts[0])
    return names


def user(machine: Machine, pid: int, names: t.Mapping[int, str]) -> str | None:
    """Whose a process is: a name, else the number."""
    try:
        uid = machine.stat("/proc/%d" % pid).st_uid
    except OSError:
        return None
    return names.get(uid, str(uid))
