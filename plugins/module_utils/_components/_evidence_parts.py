# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The parts of the evidence on one service: its last log lines, its counters, its processes, its sockets.

Private to oncall.pressure: no stable interface. Read-only. Each part runs in a child of its own and may block for good.
"""

from __future__ import annotations

import stat
import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._host._collect import Reading, absent, ok, partial
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine
from ansible_collections.oncall.pressure.plugins.module_utils._host._text import clean, clean_words, decode
from ansible_collections.oncall.pressure.plugins.module_utils._parse import _proc, _sockets

#: What is kept of a log: lines and bytes from its end, and characters of one line.
LINES = 400
_TAIL_BYTES = 196608
_LINE = 1000
_FILES = 8

_SOCKET_LINES_BYTES = 4194304
_THREADS = 64

_COUNTERS = (
    "memory.current", "memory.peak", "memory.max", "memory.high", "memory.swap.current", "memory.events", "memory.pressure", "memory.stat",
    "memory.usage_in_bytes", "memory.max_usage_in_bytes", "memory.limit_in_bytes", "memory.failcnt", "memory.oom_control",
    "cpu.stat", "cpu.max", "cpu.pressure", "cpuacct.usage", "io.stat", "io.pressure", "pids.current", "pids.max", "pids.events",
)
_GROUP_ROOTS = ("", "/unified", "/memory", "/cpu", "/cpuacct", "/pids", "/cpu,cpuacct")

Subject = t.Mapping[str, t.Any]


def log(machine: Machine, subject: Subject, limit_s: float) -> Reading:
    """``{"files": {NAME: [line, oldest first]}}``: the journal of its unit, and the files that its processes write to and their supervisor writes for it."""
    files: dict[str, list[str]] = {}
    missing: list[str] = []
    if subject["unit"]:
        try:
            outcome = machine.run(
                ["journalctl", "--no-pager", "-q", "-o", "short-iso", "-n", str(LINES), "-u", subject["unit"]], max(limit_s - 1.0, 0.5), _TAIL_BYTES * 4)
            files["journal"] = _lines(outcome.out)
            if outcome.timed_out:
                missing.append("journalctl did not answer in time")
        except FileNotFoundError:
            missing.append("there is no journalctl")
    for name, path in _opened(machine, subject):
        try:
            files[name] = _lines(_tail(machine, path))
        except OSError as problem:
            missing.append(clean("%s: %s" % (name, problem.strerror)))
    if not any(files.values()):
        return absent("; ".join(missing) or "it writes no log that could be found")
    return partial({"files": files}, "; ".join(missing)) if missing else ok({"files": files})


def _lines(data: bytes) -> list[str]:
    lines = data.split(b"\n")
    return [clean(line.replace(b"\t", b" "), _LINE) for line in lines[-LINES - 1:] if line.strip()]


def _plain(text: str) -> list[str]:
    """The lines of a file of the kernel."""
    return [clean(line.replace("\t", " ")) for line in text.strip().split("\n")]


def _tail(machine: Machine, path: str) -> bytes:
    """The end of a regular file, from its first whole line there. Raises OSError."""
    with machine.open(path) as stream:
        size = stream.seek(0, 2)
        stream.seek(max(size - _TAIL_BYTES, 0))
        data = stream.read(_TAIL_BYTES) or b""
    return data.partition(b"\n")[2] if size > _TAIL_BYTES else data


def _opened(machine: Machine, subject: Subject) -> list[tuple[str, str]]:
    """(name, path to read it by) of the regular files that are open for appending or writing only, each once."""
    found: dict[tuple[int, int], tuple[str, str]] = {}
    owners = [(pid, "") for pid in subject["pids"]]
    if subject["supervisord"]:
        # supervisor writes what its programs print; it holds one file for each
        owners.append((subject["supervisord"], "%s-" % subject["program"]))
    for pid, prefix in owners:
        folder = "/proc/%d/fd" % pid
        try:
            names = machine.names(folder)[:512]
        except OSError:
            continue
        for name in names:
            path = "%s/%s" % (folder, name)
            try:
                where, seen = machine.link(path), machine.stat(path)
                if not stat.S_ISREG(seen.st_mode) or not where.rpartition("/")[2].startswith(prefix) or not _is_written(machine, pid, name):
                    continue
            except OSError:
                continue
            if len(found) < _FILES:
                found.setdefault((seen.st_dev, seen.st_ino), (clean(where), path))
    return list(found.values())


def _is_written(machine: Machine, pid: int, name: str) -> bool:
    """Whether a file is open the way logs are: for writing only, or for appending."""
    for line in (machine.text_or_none("/proc/%d/fdinfo/%s" % (pid, name), 1024) or "").split("\n"):
        if line.startswith("flags:"):
            flags = int(line.split()[1], 8)
            return flags & 0o3 == 0o1 or bool(flags & 0o2000)
    return False


def counters(machine: Machine, subject: Subject, limit_s: float) -> Reading:
    """``{FILE: [line]}``: the kernel's own figures of its control group, as the kernel writes them."""
    group = subject["group"]
    if not group:
        return absent("it has no control group of its own")
    found: dict[str, list[str]] = {}
    for root in _GROUP_ROOTS:
        for name in _COUNTERS:
            if name in found:
                continue
            text = machine.text_or_none("/sys/fs/cgroup%s%s/%s" % (root, group, name), 16384)
            if text:
                found[name] = _plain(text)
    return ok(found) if found else absent("its control group %s cannot be read" % clean(group))


def processes(machine: Machine, subject: Subject, limit_s: float) -> Reading:
    """``[{"pid", "command", "status", "smaps_rollup", "io", "limits", "wchan", "stack": [line] each, "threads": {"STATE WCHAN": count}}]``, the main one first.

    ``smaps_rollup`` takes the memory lock of its process, which one that is stuck may hold for good: it is read last.
    """
    if not subject["pids"]:
        return absent("nothing of it runs")
    rows: list[dict[str, t.Any]] = []
    for pid in subject["pids"]:
        folder = "/proc/%d" % pid
        row: dict[str, t.Any] = {"pid": pid}
        for name in ("status", "io", "limits", "wchan", "stack"):
            text = machine.text_or_none("%s/%s" % (folder, name), 16384)
            row[name] = _plain(text) if text else None
        row["threads"] = _waits(machine, folder)
        rows.append(row)
    for row in rows:
        stuck = any(line.startswith("State:") and " D " in line for line in row["status"] or [])
        text = None if stuck else machine.text_or_none("/proc/%d/smaps_rollup" % row["pid"], 8192)
        row["smaps_rollup"] = _plain(text) if text else None
        words = [] if stuck else _proc.arguments(_read(machine, "/proc/%d/cmdline" % row["pid"]))
        row["command"] = clean_words([decode(word) for word in words]) if words else None
    return partial(rows, "%d more processes" % (subject["count"] - len(rows))) if subject["count"] > len(rows) else ok(rows)


def _read(machine: Machine, path: str) -> bytes:
    try:
        return machine.read(path, 16384)
    except OSError:
        return b""


def _waits(machine: Machine, folder: str) -> dict[str, int]:
    """How many threads stand in which state, and where in the kernel."""
    counts: dict[str, int] = {}
    try:
        names = machine.names(folder + "/task")[:_THREADS]
    except OSError:
        return counts
    for name in names:
        text = machine.text_or_none("%s/task/%s/stat" % (folder, name), 1024) or ""
        fields = text.rpartition(")")[2].split()
        where = (machine.text_or_none("%s/task/%s/wchan" % (folder, name), 100) or "").strip()
        key = clean("%s %s" % (fields[0] if fields else "?", where if where not in ("", "0") else "-"), 100)
        counts[key] = counts.get(key, 0) + 1
    return counts


def sockets(machine: Machine, subject: Subject, limit_s: float) -> Reading:
    """``{"states": {STATE: count}, "listening": [{"address", "port", "waiting"}], "remotes": [{"address", "port", "state", "count"}], "unix": [path]}``."""
    if not subject["pids"]:
        return absent("nothing of it runs")
    inodes: set[int] = set()
    denied = 0
    for pid in subject["pids"]:
        folder = "/proc/%d/fd" % pid
        try:
            names = machine.names(folder)[:4096]
        except OSError:
            denied += 1
            continue
        for name in names:
            try:
                where = machine.link("%s/%s" % (folder, name))
            except OSError:
                continue
            if where.startswith("socket:[") and where[8:-1].isdecimal():
                inodes.add(int(where[8:-1]))
    net = "/proc/%d/net" % subject["pids"][0]
    rows = [row for name in ("tcp", "tcp6") for row in _sockets.tcp(machine.text_or_none("%s/%s" % (net, name), _SOCKET_LINES_BYTES) or "", inodes)]
    states: dict[str, int] = {}
    remotes: dict[tuple[str, int, str], int] = {}
    for row in rows:
        states[row.state] = states.get(row.state, 0) + 1
        if row.state != "LISTEN":
            # a client has a port of its own for each connection; a server has one for all
            key = (row.remote, row.remote_port if row.remote_port < 32768 else 0, row.state)
            remotes[key] = remotes.get(key, 0) + 1
    paths = _sockets.unix_paths(machine.text_or_none(net + "/unix", _SOCKET_LINES_BYTES) or "", inodes)
    data = {
        "states": states,
        "listening": [{"address": row.local, "port": row.local_port, "waiting": row.waiting} for row in rows if row.state == "LISTEN"][:50],
        "remotes": [
            {"address": key[0], "port": key[1] or None, "state": key[2], "count": count}
            for key, count in sorted(remotes.items(), key=lambda pair: -pair[1])[:50]
        ],
        "unix": [clean(path) for path in paths[:50]],
    }
    return partial(data, "the files of %d processes may not be read" % denied) if denied else ok(data)
