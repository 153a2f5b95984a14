# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The operation ``nginx_config``: a file of ours among those that a running nginx reads, tested, loaded, and taken away again.

Private to oncall.pressure: no stable interface.

``{"kind": "nginx_config", "path", "content", "mode", "pid", "start_ticks", "title", "program", "options", "error_log"}``. The master is told by a signal of its
own, whoever manages it. What counts is that worker processes are there that were started after it, and none of those before: a reload that nginx refuses
for itself (a shared zone whose key changed, a port that is taken) looks like a success everywhere else.
"""

from __future__ import annotations

import re
import signal
import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._change import _file
from ansible_collections.oncall.pressure.plugins.module_utils._change._kinds import Failed, Hands, Kind, Operation, Shown, State
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine
from ansible_collections.oncall.pressure.plugins.module_utils._host._text import clean, decode

_TEST_S = 30.0
_RELOAD_S = 30.0
_LOG_BYTES = 262144

#: A worker that was started so much before the file was written may still have read it: clocks of files and processes differ a little.
_CLOCKS_S = 1.0

_EMERG = re.compile(r"\[emerg\] .*")


class Worker(t.NamedTuple):
    """One process, told from a later one of the same number by when it was started (ticks since boot)."""

    pid: int
    start_ticks: int


def look(hands: Hands, operation: Operation) -> State:
    """The file, and ``workers``: those of the master that take requests, as [pid, start]; ``loaded``: whether all were started after the file was written."""
    state = _file.look(hands, operation)
    master = find(hands.machine, operation)
    found = [] if master is None else workers(hands.machine, master.pid)
    state["workers"] = [list(worker) for worker in found]
    state["loaded"] = bool(found) and _after(hands.machine, state["path"], found)
    return state


def show(hands: Hands, operation: Operation, before: State) -> Shown:
    """Both contents of the file."""
    return _file.show(hands, operation, before)


def save(hands: Hands, operation: Operation, before: State) -> None:
    """The file as it was."""
    _file.save(hands, operation, before)


def apply(hands: Hands, operation: Operation, before: State) -> None:
    """Write, test the whole configuration, and only then have it loaded."""
    if find(hands.machine, operation) is None:
        raise Failed("nginx (pid %d) is gone" % operation["pid"])
    _file.apply(hands, dict(operation, then=[]), before)
    problem = test(hands.machine, operation)
    if problem is not None:
        raise Failed("nginx does not take the file, and was not told of it: %s" % problem)
    load(hands, operation)


def reached(operation: Operation, before: State, now: State) -> bool:
    """The file is as it should be, and no worker is left of those before it."""
    if not _file.reached(operation, before, now):
        return False
    kept = {tuple(worker) for worker in before["workers"]} & {tuple(worker) for worker in now["workers"]}
    return bool(now["workers"]) and (not kept or now["loaded"])


def undo(hands: Hands, operation: Operation, before: State, force: bool) -> str:
    """Put the file back, and have that loaded unless the workers from before are all there still."""
    said = _file.undo(hands, dict(operation, then=[]), before, force)
    master = find(hands.machine, operation)
    if master is None:
        return said + "; nginx does not run"
    now = [list(worker) for worker in workers(hands.machine, master.pid)]
    if now and now == [list(worker) for worker in before["workers"]]:
        return said + "; nginx never read it"
    if hands.booting:
        hands.files.signal(master.pid, master.start_ticks, signal.SIGHUP)
        return said + "; nginx is told to read its configuration"
    problem = test(hands.machine, operation)
    if problem is not None:
        raise Failed("%s, but nginx goes on with what it has loaded, since its configuration was made invalid by somebody: %s" % (said, problem))
    load(hands, operation)
    return said + "; nginx has new workers with the former configuration"


# nginx


def find(machine: Machine, operation: t.Mapping[str, t.Any]) -> Worker | None:
    """The master: the very process, or the one that was started since with the same command line."""
    pid = operation["pid"]
    if _is_master(machine, pid, operation["title"]):
        seen = machine.process(pid)
        if seen is not None and seen.start_ticks == operation["start_ticks"]:
            return Worker(pid, seen.start_ticks)
    for name in sorted(machine.names("/proc")):
        if name.isdecimal() and _is_master(machine, int(name), operation["title"]):
            seen = machine.process(int(name))
            if seen is not None:
                return Worker(int(name), seen.start_ticks)
    return None


def _is_master(machine: Machine, pid: int, title: str) -> bool:
    if title_of(machine, pid) != title:
        return False
    try:
        # one in a container may be called the same
        return machine.link("/proc/%d/ns/mnt" % pid) == machine.link("/proc/self/ns/mnt")
    except OSError:
        return False


def title_of(machine: Machine, pid: int) -> str:
    """What a process calls itself."""
    return (machine.text_or_none("/proc/%d/cmdline" % pid, 8192) or "").replace("\0", " ").strip()


def workers(machine: Machine, master: int) -> list[Worker]:
    """The workers that take requests: not those that only finish what they have."""
    found = []
    for pid in machine.children(master):
        title = title_of(machine, pid)
        if ": worker process" not in title or "shutting down" in title:
            continue
        seen = machine.process(pid)
        if seen is not None:
            found.append(Worker(pid, seen.start_ticks))
    return found


def _after(machine: Machine, path: str, found: t.Sequence[Worker]) -> bool:
    """Whether every worker was started after a file was written. Where there is no file there is nothing to load."""
    try:
        written = machine.stat(path).st_mtime
    except OSError:
        return True
    booted = machine.now() - machine.uptime_s()
    return all(booted + worker.start_ticks / machine.ticks_per_s > written - _CLOCKS_S for worker in found)


def test(machine: Machine, operation: t.Mapping[str, t.Any]) -> str | None:
    """``nginx -t`` with the program and options of the running one; null where the configuration on the disk is valid, else what it says."""
    argv = [operation["program"]] + list(operation["options"])
    try:
        outcome = machine.run(argv + ["-t", "-q"], _TEST_S)
    except (FileNotFoundError, PermissionError) as problem:
        return "%s cannot be run: %s" % (clean(operation["program"], 200), problem.strerror)
    if outcome.status == 0:
        return None
    said = [line.strip() for line in decode(outcome.err + outcome.out).split("\n") if line.strip()]
    return clean("; ".join([line for line in said if "[emerg]" in line] or said[:3]) or "no answer", 600)


def load(hands: Hands, operation: t.Mapping[str, t.Any]) -> None:
    """Have the master read its configuration, and wait until only new workers take requests. Raises Failed."""
    machine = hands.machine
    master = find(machine, operation)
    if master is None:
        raise Failed("nginx is gone")
    old = set(workers(machine, master.pid))
    size = _size(machine, operation.get("error_log"))
    if not hands.files.signal(master.pid, master.start_ticks, signal.SIGHUP):
        raise Failed("nginx is gone")
    end = machine.monotonic() + _RELOAD_S
    while machine.monotonic() < end:
        machine.sleep(0.05)
        now = set(workers(machine, master.pid))
        if now and not now & old:
            return
        said = emergencies(machine, operation.get("error_log"), size)
        if said and now and now <= old:
            raise Failed("nginx refused to load it and goes on as before: %s" % said)
    raise Failed("nginx was told to load it and has no new workers after %d s" % _RELOAD_S)


def _size(machine: Machine, path: str | None) -> int:
    try:
        return machine.stat(path).st_size if path else 0
    except OSError:
        return 0


def emergencies(machine: Machine, path: str | None, since: int) -> str:
    """What nginx called an emergency in its error log after a place; "" for nothing, or where there is no such file."""
    if not path:
        return ""
    try:
        with machine.open(path) as stream:
            stream.seek(since)
            text = decode(stream.read(_LOG_BYTES))
    except OSError:
        return ""
    return clean("; ".join(_EMERG.findall(text)[:3]), 400)


KIND: t.Final = Kind(look=look, show=show, save=save, apply=apply, reached=reached, undo=undo)
