# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run collectors side by side, each in a child process of its own that can be killed or abandoned.

Private to oncall.pressure: no stable interface.

A collector is a function ``collect(machine, options) -> Reading``. It may block in the kernel for good (a process stuck
in an NFS read holds its own cmdline), so nothing of it runs in the parent.
"""

from __future__ import annotations

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
    pss_budget_s: float = 0.2
    #: processes that are ours and are left out (the module, its children, its ancestors)
    own_pids: t.FrozenSet[int] = frozenset()


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


def run_all(collectors: t.Mapping[str, Collector], machine: Machine, options: Options, limit_s: float) -> dict[str, dict[str, t.Any]]:
    """Run every collector in a child of its own, for at most ``limit_s`` seconds each.

    Returns ``{name: {"status", "reason", "data", "seconds", "pss_bytes"}}`` with a row for each collector, whatever happened to it.
    """
    started = time.monotonic()
    rows: dict[str, dict[str, t.Any]] = {}
    running: dict[int, tuple[str, int, list[bytes]]] = {}
    with selectors.DefaultSelector() as selector:
        for name, collector in collectors.items():
            try:
                pid, descriptor = _start(collector, machine, options)
            except OSError as problem:
                rows[name] = _row(error("no process could be started for it: %s" % problem), 0.0)
                continue
            running[descriptor] = (name, pid, [])
            selector.register(descriptor, selectors.EVENT_READ)
        while running:
            wait = started + limit_s - time.monotonic()
            if wait <= 0:
                break
            for key, dummy in selector.select(wait):
                name, pid, parts = running[key.fd]
                data = os.read(key.fd, 65536)
                if data and sum(map(len, parts)) <= DOCUMENT_LIMIT:
                    parts.append(data)
                    continue
                selector.unregister(key.fd)
                del running[key.fd]
                os.close(key.fd)
                rows[name] = _finished(pid, b"".join(parts), time.monotonic() - started)
        for descriptor, (name, pid, dummy) in running.items():
            os.close(descriptor)
            _kill(pid)
            rows[name] = _row(error("not finished after %.1f s, stopped" % limit_s), time.monotonic() - started)
    return {name: rows[name] for name in collectors}


def own_pss_bytes(machine: Machine) -> int | None:
    """The proportional memory of the calling process, null where the kernel does not say it."""
    text = machine.text_or_none("/proc/self/smaps_rollup") if not machine.root else None
    for line in (text or "").splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    return None


def _row(reading: Reading, seconds: float, pss_bytes: int | None = None) -> dict[str, t.Any]:
    return {"status": reading.status, "reason": reading.reason, "data": reading.data, "seconds": round(seconds, 3), "pss_bytes": pss_bytes}


def _start(collector: Collector, machine: Machine, options: Options) -> tuple[int, int]:
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
        resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE_LIMIT, ADDRESS_SPACE_LIMIT))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    except (OSError, ValueError):
        pass
    started = time.monotonic()
    try:
        reading = collector(machine, options)
    except PermissionError as problem:
        reading = denied(clean("%s: %s" % (problem.strerror, problem.filename)))
    except MemoryError:
        reading = error("it needed more memory than it may have")
    except Exception as problem:  # pylint: disable=broad-except
        # A collector fails alone: whatever it met becomes its reason.
        trace = problem.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        place = "%s:%d" % (os.path.basename(trace.tb_frame.f_code.co_filename), trace.tb_lineno) if trace is not None else "?"
        reading = error(clean("%s at %s: %s" % (type(problem).__name__, place, problem)))
    row = clean_tree(_row(reading, time.monotonic() - started))
    row["pss_bytes"] = own_pss_bytes(machine)
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
    """Kill a child and wait shortly for it; one that is stuck in the kernel is left behind. Returns its wait status."""
    try:
        os.kill(pid, signal.SIGKILL)
    except OSError:
        pass
    for dummy in range(20):
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return status
        time.sleep(0.01)
    return signal.SIGKILL
