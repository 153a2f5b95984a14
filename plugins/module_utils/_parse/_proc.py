# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The formats of /proc.

Private to oncall.pressure: no stable interface. Pure: text in, plain data out. Source: proc(5) and the kernel's Documentation/filesystems/proc.rst.
"""

from __future__ import annotations

import re
import typing as t

#: PF_KTHREAD in the flags of /proc/PID/stat
_KERNEL_THREAD = 0x00200000

_TCP_STATES = {
    "01": "ESTABLISHED", "02": "SYN_SENT", "03": "SYN_RECV", "04": "FIN_WAIT1", "05": "FIN_WAIT2", "06": "TIME_WAIT",
    "07": "CLOSE", "08": "CLOSE_WAIT", "09": "LAST_ACK", "0A": "LISTEN", "0B": "CLOSING", "0C": "NEW_SYN_RECV",
}


class Stat(t.NamedTuple):
    """One /proc/PID/stat. Times in ticks, rss in pages."""

    pid: int
    name: bytes
    state: str
    ppid: int
    session: int
    kernel_thread: bool
    user_ticks: int
    system_ticks: int
    #: of children that ended and were waited for
    ended_ticks: int
    threads: int
    start_ticks: int
    virtual_bytes: int
    rss_pages: int


def stat(data: bytes) -> Stat:
    """Parse /proc/PID/stat; the name may hold blanks and parentheses. Raises ValueError."""
    head, separator, tail = data.rpartition(b") ")
    pid, separator2, name = head.partition(b" (")
    # the last fields are not needed: not splitting them halves the cost
    fields = tail.split(None, 22)
    if not separator or not separator2 or len(fields) < 22:
        raise ValueError("not a /proc/PID/stat line: %r" % data[:80])
    return Stat(
        int(pid), name, fields[0].decode("ascii", "replace"), int(fields[1]), int(fields[3]), bool(int(fields[6]) & _KERNEL_THREAD),
        int(fields[11]), int(fields[12]), int(fields[13]) + int(fields[14]), int(fields[17]), int(fields[19]), max(int(fields[20]), 0), max(int(fields[21]), 0),
    )


def ticks(data: bytes) -> tuple[int, int, int]:
    """(CPU ticks used so far, those of children that ended and were waited for, start in ticks) of a /proc/PID/stat:
    all that a second look needs. Raises ValueError."""
    fields = data[data.rindex(b")") + 2:].split(None, 20)
    if len(fields) < 21:
        raise ValueError("not a /proc/PID/stat line: %r" % data[:80])
    return int(fields[11]) + int(fields[12]), int(fields[13]) + int(fields[14]), int(fields[19])


def arguments(data: bytes) -> list[bytes]:
    """The arguments in /proc/PID/cmdline; a title that a program wrote over them is one argument, its padding removed."""
    return data.rstrip(b"\0 ").split(b"\0") if data.strip(b"\0 ") else []


#: No number of the kernel is longer.
NUMBER = re.compile(r"-?[0-9]{1,20}")


def named_kib(text: str) -> dict[str, int]:
    """``Name:  123 kB`` lines (meminfo, smaps_rollup, status) as ``{name: bytes}``; lines without a unit are left out."""
    found: dict[str, int] = {}
    for line in text.splitlines():
        name, separator, rest = line.partition(":")
        parts = rest.split()
        if separator and len(parts) == 2 and parts[1] == "kB" and NUMBER.fullmatch(parts[0]):
            found[name] = int(parts[0]) * 1024
    return found


def numbers(text: str) -> dict[str, int]:
    """``name 123`` lines (vmstat, /proc/stat's single counters, /proc/PID/io with its colons) as ``{name: number}``."""
    found: dict[str, int] = {}
    for line in text.splitlines():
        parts = line.split()
        if len(parts) == 2 and NUMBER.fullmatch(parts[1]):
            found[parts[0].rstrip(":")] = int(parts[1])
    return found


class Cpu(t.NamedTuple):
    """The first line of /proc/stat, in ticks. Guest time is part of user time and not counted twice."""

    user: int
    system: int
    idle: int
    iowait: int
    steal: int

    @property
    def total(self) -> int:
        """All of it."""
        return self.user + self.system + self.idle + self.iowait + self.steal


def cpu(text: str) -> Cpu:
    """The machine's CPU time so far, from /proc/stat. Raises ValueError."""
    fields = text.split("\n", 1)[0].split()
    if not fields or fields[0] != "cpu" or len(fields) < 5:
        raise ValueError("no cpu line")
    values = [int(field) for field in fields[1:]] + [0] * 8
    return Cpu(user=values[0] + values[1], system=values[2] + values[5] + values[6], idle=values[3], iowait=values[4], steal=values[7])


def load(text: str) -> dict[str, float | int]:
    """/proc/loadavg: one, five, fifteen, running (tasks on a CPU or waiting for one now). Raises ValueError."""
    parts = text.split()
    if len(parts) < 4:
        raise ValueError("not a /proc/loadavg")
    return {"one": float(parts[0]), "five": float(parts[1]), "fifteen": float(parts[2]), "running": int(parts[3].split("/")[0])}


_PERCENT = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9})?")


def pressure(text: str) -> dict[str, float | None]:
    """One PSI file: some_avg10, some_avg60, full_avg10, full_avg60, in percent; null where the kernel has no such line."""
    found: dict[str, float | None] = {"some_avg10": None, "some_avg60": None, "full_avg10": None, "full_avg60": None}
    for line in text.splitlines():
        kind, dummy, rest = line.partition(" ")
        for part in rest.split():
            name, separator, value = part.partition("=")
            if separator and kind + "_" + name in found and _PERCENT.fullmatch(value):
                found[kind + "_" + name] = float(value)
    return found


class Disk(t.NamedTuple):
    """One line of /proc/diskstats: counts, sectors of 512 bytes, milliseconds."""

    reads: int
    sectors_read: int
    read_ms: int
    writes: int
    sectors_written: int
    write_ms: int
    in_flight: int
    busy_ms: int
    weighted_ms: int


def disks(text: str) -> dict[str, Disk]:
    """/proc/diskstats by device name; every device, partitions too."""
    found: dict[str, Disk] = {}
    for line in text.splitlines():
        parts = line.split()
        if len(parts) >= 14:
            try:
                v = [int(part) for part in parts[3:14]]
            except ValueError:
                continue
            found[parts[2]] = Disk(v[0], v[2], v[3], v[4], v[6], v[7], v[8], v[9], v[10])
    return found


def paired_tables(text: str) -> dict[str, dict[str, int]]:
    """/proc/net/netstat and /proc/net/snmp (a line of names, then a line of numbers) as ``{"TcpExt": {"ListenOverflows": 0}}``."""
    found: dict[str, dict[str, int]] = {}
    lines = text.splitlines()
    for names, values in zip(lines[::2], lines[1::2]):
        head, dummy, names = names.partition(":")
        tail, dummy, values = values.partition(":")
        if head == tail:
            found[head] = {name: int(value) for name, value in zip(names.split(), values.split()) if NUMBER.fullmatch(value)}
    return found


def tcp(text: str, states: dict[str, int], listeners: list[tuple[str, int, int]]) -> None:
    """Add the sockets of /proc/net/tcp or tcp6 to ``states`` (by name) and ``listeners`` (hex address, port, connections waiting)."""
    for line in text.splitlines():
        parts = line.split(None, 5)
        if len(parts) < 5 or not parts[0].endswith(":"):
            continue
        state = _TCP_STATES.get(parts[3], "OTHER")
        states[state] = states.get(state, 0) + 1
        if state == "LISTEN":
            address, dummy, port = parts[1].rpartition(":")
            try:
                listeners.append((address, int(port, 16), int(parts[4].split(":")[1], 16)))
            except (ValueError, IndexError):
                continue


def sockstat(text: str) -> dict[str, dict[str, int]]:
    """/proc/net/sockstat as ``{"TCP": {"orphan": 0, "mem": 1}}``; mem is in pages."""
    found: dict[str, dict[str, int]] = {}
    for line in text.splitlines():
        name, dummy, rest = line.partition(":")
        words = rest.split()
        found[name] = {key: int(value) for key, value in zip(words[::2], words[1::2]) if NUMBER.fullmatch(value)}
    return found


def open_files_limit(text: str) -> int | None:
    """How many files a process may have open (the soft limit), from /proc/PID/limits; null where that is not told or not limited."""
    for line in text.splitlines():
        if line.startswith("Max open files"):
            parts = line[len("Max open files"):].split()
            return int(parts[0]) if parts and NUMBER.fullmatch(parts[0]) else None
    return None


def kind_of_file(link: str) -> str:
    """What a link in /proc/PID/fd stands for: file, socket, pipe or other (devices, timers, what watches others)."""
    if link.startswith("socket:"):
        return "socket"
    if link.startswith("pipe:"):
        return "pipe"
    return "file" if link.startswith("/") and not link.startswith(("/dev/", "/proc/", "/sys/")) else "other"


def tcp_state(text: str) -> str:
    """The name of a state in /proc/net/tcp."""
    return _TCP_STATES.get(text, "OTHER")


def address(text: str) -> str:
    """A hexadecimal address of /proc/net/tcp{,6} (little endian words) as people write it."""
    data = bytes.fromhex(text)
    data = b"".join(data[index: index + 4][::-1] for index in range(0, len(data), 4))
    if len(data) == 4:
        return ".".join(str(byte) for byte in data)
    if not any(data):
        return "::"
    if data[:12] == b"\0" * 10 + b"\xff\xff":
        return "::ffff:" + ".".join(str(byte) for byte in data[12:])
    return ":".join("%x" % int.from_bytes(data[index: index + 2], "big") for index in range(0, 16, 2))


class Mount(t.NamedTuple):
    """One line of /proc/self/mountinfo."""

    root: str
    path: str
    kind: str
    options: tuple[str, ...]


def mounts(text: str) -> list[Mount]:
    """/proc/self/mountinfo; the octal escapes of blanks are undone."""
    found: list[Mount] = []
    for line in text.splitlines():
        head, separator, tail = line.partition(" - ")
        fields, rest = head.split(), tail.split()
        if separator and len(fields) >= 6 and len(rest) >= 3:
            found.append(Mount(_octal(fields[3]), _octal(fields[4]), rest[0], tuple(rest[2].split(","))))
    return found


def _octal(text: str) -> str:
    for code, plain in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(code, plain)
    return text
