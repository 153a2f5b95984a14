# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run collectors side by side, each in a child process of its own that can be killed or abandoned.

Private to oncall.pressure: no stable interface.

A collector is a function ``collect(machine, options) -> Reading``. It may block in the kernel for good (a process stuck
in an NFS read holds its own cmdline), so nothing of it runs in the parent.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import selectors
import signal
import time
import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine
from ansible_collections.oncall.pressure.plugins.module_utils._host._text import clean, clean_tree

#: The most bytes one collector may hand over.
DOCUMENT_LIMIT = 2097152

#: A collector may use this much address space beyond what the module has already: a bound, not a budget.
ADDRESS_SPACE_LIMIT = 512 * 1024 * 1024


#: How many collectors run at once. Most wait for the window or end in a moment, and each holds some MiB that a sick host may not have.
AT_ONCE = 5

#: A host of which some may be known in time is better than one of which all is known late: this long after the window the collectors that are left are
#: stopped, where none of them used the processor or ended for as long as the second says. What is only slow, on a machine that is busy, may go on.
PATIENCE_S = 7.0
STILL_S = 4.0

#: How often the memory of all processes is added up.
_LOOK_EVERY_S = 0.4


#: What is known of a child that had to be stopped: it waited, or it was at work still.
_WAITED = "not finished after %.1f s, stopped: what it reads or asks does not answer, for example a file system (see dmesg and /proc/mounts)"
_WORKED = "not finished after %.1f s, stopped at work: this host is too busy, or there is too much to read (a longer timeout may help)"


class Reading(t.NamedTuple):
    """What a collector says: status ok, partial, absent, denied or error; the reason where it is not ok; its data or null."""

    status: str
    reason: str | None
    data: t.Any


class Options(t.NamedTuple):
    """What collectors are told. Times in seconds."""

    window_s: float = 2.0
    oom_window_s: float = 3600.0
    traffic_window_s: float = 600.0
    top: int = 10
    pss_budget_s: float = 0.15
    #: processes that are ours and are left out (the module, its children, its ancestors)
    own_pids: t.FrozenSet[int] = frozenset()
    #: process ids by kind of daemon, as ``_daemons.running`` found them before the children began; null: not looked, each looks for itself
    daemons: t.Mapping[str, t.Tuple[int, ...]] | None = None
    #: what people named to be asked, by service
    health_urls: t.Mapping[str, str] = {}
    #: whose stacks to take: a service, "" the process that uses the processors most; null: nobody asked for them
    stacks: str | None = None
    #: how long the memory of services is watched beside everything else, 0: not at all; and how far back what was recorded is told
    memory_window_s: float = 0.0
    memory_history_s: float = 86400.0
    #: PostgreSQL servers that people named (``_postgres_dsn.Target``); they hold passwords
    postgres_dsn: t.Tuple[t.Any, ...] = ()


#: How long killed children may take to end, all together, in seconds.
_ENDING_S: t.Final = 1.0

Collector = t.Callable[[Machine, Options], Reading]


def ok(data: t.Any) -> Reading:
    """Everything was measured."""
    return Reading("ok", None, data)


def partial(data: t.Any, reason: str) -> Reading:
    """Something is missing; ``reason`` says what and why."""
    return Reading("partial", reason, data)


def absent(reason: str) -> Reading:
    """What would be measured is not on this host."""
    return Reading("absent", reason, None)


def denied(reason: str) -> Reading:
    """It is there and may not be read; ``reason`` says what was lost."""
    return Reading("denied", reason, None)


def error(reason: str) -> Reading:
    """It failed."""
    return Reading("error", reason, None)


class Part:
    """A collector whose code is imported in the parent, before the children begin; where ``load`` says that there is nothing to collect, never.

    Source that travels is compiled anew at every call, and what that leaves behind in memory is then there once, not in each child.
    """

    def __init__(self, load: t.Callable[[Options], Collector | Reading]) -> None:
        self._load = load

    def prepare(self, options: Options) -> None:
        """Import it. What goes wrong is left to the child, which meets the same and says so."""
        try:
            self._load(options)
        except Exception:
            return

    def __call__(self, machine: Machine, options: Options) -> Reading:
        found = self._load(options)
        return found if isinstance(found, Reading) else found(machine, options)


class Run(t.NamedTuple):
    """What all collectors said, and the most memory that this process and its children were seen to use at one moment (sum of PSS; null unknown)."""

    rows: dict[str, dict[str, t.Any]]
    pss_bytes: int | None


def run_all(collectors: t.Mapping[str, Collector], machine: Machine, options: Options, limit_s: float) -> Run:
    """Run every collector in a child of its own, some at once in the order given, all of them within ``limit_s`` seconds.

    Each row is ``{"status", "reason", "data", "seconds"}``; there is one for each collector, whatever happened to it.
    """
    started = time.monotonic()
    rows: dict[str, dict[str, t.Any]] = {}
    running: dict[int, tuple[str, int, list[bytes]]] = {}
    most: int | None = None
    # all of them before the first: what the parent writes to later is there twice, here and in each child that began before
    for part in collectors.values():
        if isinstance(part, Part):
            part.prepare(options)
    waiting = list(collectors.items())
    # who watches for longer waits between two samples
    watched_s = max(options.window_s, options.memory_window_s)
    used: dict[int, int] = {}
    moved = started
    with selectors.DefaultSelector() as selector:
        look = started + _LOOK_EVERY_S
        while running or waiting:
            while waiting and len(running) < AT_ONCE:
                name, collector = waiting.pop(0)
                try:
                    pid, descriptor = _start(collector, machine, options)
                except OSError as problem:
                    rows[name] = _row(error("no process could be started for it: %s" % problem), 0.0)
                    continue
                running[descriptor] = (name, pid, [])
                selector.register(descriptor, selectors.EVENT_READ)
            if not running:
                break
            now = time.monotonic()
            # before anything is decided: where processors are busy, it was we who did not move
            if now >= look:
                look = now + _LOOK_EVERY_S
                most = _larger(most, _pss_bytes(machine, [row[1] for row in running.values()]))
                if _any_moved([row[1] for row in running.values()], used):
                    moved = now
            if now < started + limit_s and now >= started + watched_s + PATIENCE_S and now - moved >= STILL_S:
                limit_s = now - started
            if now >= started + limit_s:
                break
            for key, dummy in selector.select(min(started + limit_s, look) - now):
                name, pid, parts = running[key.fd]
                moved = time.monotonic()
                data = os.read(key.fd, 65536)
                if data and sum(map(len, parts)) <= DOCUMENT_LIMIT:
                    parts.append(data)
                    continue
                selector.unregister(key.fd)
                del running[key.fd]
                os.close(key.fd)
                rows[name] = _finished(pid, b"".join(parts), time.monotonic() - started)
        # all at once: each needs a processor to end, and a busy host has none to spare
        for row in running.values():
            _signal(row[1])
        until = time.monotonic() + _ENDING_S
        for descriptor, (name, pid, dummy) in running.items():
            os.close(descriptor)
            _reap(pid, until)
            rows[name] = _row(error((_WORKED if time.monotonic() - moved < STILL_S else _WAITED) % limit_s), time.monotonic() - started)
        for name, dummy in waiting:
            rows[name] = _row(error("not begun: others did not end in %.1f s" % limit_s), time.monotonic() - started)
    return Run({name: rows[name] for name in collectors}, _larger(most, _pss_bytes(machine, [])))


def _any_moved(pids: t.Sequence[int], used: dict[int, int]) -> bool:
    """Whether one of our children runs, waits for a processor, or used one since the last look, whose ticks are in ``used``."""
    moved = False
    for pid in pids:
        try:
            with open("/proc/%d/stat" % pid, "rb") as stream:
                fields = stream.read(1024).rpartition(b")")[2].split()
            ticks = sum(map(int, fields[11:15]))
        except (OSError, ValueError):
            continue
        moved = moved or fields[:1] == [b"R"] or used.get(pid) != ticks
        used[pid] = ticks
    return moved


def _larger(one: int | None, other: int | None) -> int | None:
    return max((value for value in (one, other) if value is not None), default=None)


def _pss_bytes(machine: Machine, children: t.Sequence[int]) -> int | None:
    """The proportional memory of the calling process and some children now; null where the kernel does not say it."""
    total = None
    for name in ["self"] + [str(pid) for pid in children]:
        try:
            text = machine.peek("/proc/%s/smaps_rollup" % name) if not machine.root else b""
        except OSError:
            continue
        for line in text.splitlines():
            if line.startswith(b"Pss:"):
                total = (total or 0) + int(line.split()[1]) * 1024
    return total


def _row(reading: Reading, seconds: float) -> dict[str, t.Any]:
    return {"status": reading.status, "reason": reading.reason, "data": reading.data, "seconds": round(seconds, 3)}


def _start(collector: Collector, machine: Machine, options: Options) -> tuple[int, int]:
    # what exists now is shared with the child as long as nobody writes to it; the collector of garbage would
    gc.freeze()
    reader, writer = os.pipe()
    try:
        pid = os.fork()
    except OSError:
        os.close(reader)
        os.close(writer)
        raise
    if pid:
        os.close(writer)
        os.set_blocking(reader, False)
        return pid, reader
    # From here on this is the child: it must never return into the module.
    try:
        os.close(reader)
        _child(collector, machine, options, writer)
    finally:
        os._exit(0)


def _child(collector: Collector, machine: Machine, options: Options, writer: int) -> None:
    """Collect, and write the row as JSON. The child is nicer and killed earlier than anything it measures."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        os.nice(5)
    except OSError:
        pass
    try:
        with open("/proc/self/oom_score_adj", "w", encoding="ascii") as stream:
            stream.write("500")
    except OSError:
        pass
    try:
        with open("/proc/self/statm", encoding="ascii") as table:
            own = int(table.read().split()[0]) * machine.page_bytes
        resource.setrlimit(resource.RLIMIT_AS, (own + ADDRESS_SPACE_LIMIT, own + ADDRESS_SPACE_LIMIT))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    except (OSError, ValueError, IndexError):
        pass
    started = time.monotonic()
    try:
        reading = collector(machine, options)
    except PermissionError as problem:
        reading = denied(clean("%s: %s" % (problem.strerror, problem.filename)))
    except MemoryError:
        reading = error("it needed more memory than it may have")
    except Exception as problem:
        # A collector fails alone: whatever it met becomes its reason.
        trace = problem.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        place = "%s:%d" % (os.path.basename(trace.tb_frame.f_code.co_filename), trace.tb_lineno) if trace is not None else "?"
        reading = error(clean("%s at %s: %s" % (type(problem).__name__, place, problem)))
    row = clean_tree(_row(reading, time.monotonic() - started))
    data = json.dumps(row).encode("ascii")
    while data:
        data = data[os.write(writer, data):]


def _finished(pid: int, data: bytes, seconds: float) -> dict[str, t.Any]:
    """The row a child wrote; an error where it died or wrote no whole row."""
    dummy, status = os.waitpid(pid, 0) if data else (pid, _kill(pid))
    try:
        row = json.loads(data)
    except ValueError:
        how = "killed by signal %d" % os.WTERMSIG(status) if os.WIFSIGNALED(status) else "ended without an answer"
        return _row(error(how), seconds)
    return t.cast("dict[str, t.Any]", row)


def _kill(pid: int) -> int:
    """Kill a child and wait shortly for it. Returns its wait status."""
    _signal(pid)
    return _reap(pid, time.monotonic() + _ENDING_S)


def _signal(pid: int) -> None:
    """Kill a child, and the programs that it started: each leads a group of its own, and nobody else would end it."""
    programs = _programs(pid)
    for end, process in [(os.kill, pid), *((os.killpg, program) for program in programs)]:
        try:
            end(process, signal.SIGKILL)
        except OSError:
            pass


def _programs(pid: int) -> list[int]:
    """What a child has started and not reaped; none where the kernel does not say it."""
    try:
        with open("/proc/%d/task/%d/children" % (pid, pid), encoding="ascii") as stream:
            return [int(word) for word in stream.read().split()]
    except (OSError, ValueError):
        return []


def _reap(pid: int, until: float) -> int:
    """Wait for a child that was killed; one that is stuck in the kernel is left behind. Returns its wait status."""
    while True:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return status
        if time.monotonic() >= until:
            return signal.SIGKILL
        time.sleep(0.01)
