# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The only door to the machine: files, programs, clocks; bounded, and replayable from a recording.

Private to oncall.pressure: no stable interface.

Nothing else in module_utils opens a file or starts a program, so that every collector can be run against a folder
that holds a copy of the files it reads and a ``commands.json`` of the programs it runs.
"""

from __future__ import annotations

import json
import os
import resource
import selectors
import signal
import subprocess
import time
import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._host._text import decode

#: The most bytes one read takes unless the caller says otherwise.
READ_LIMIT = 262144

#: The most bytes of output kept of one program.
OUTPUT_LIMIT = 1048576


class Outcome(t.NamedTuple):
    """What a program did: exit status (null where it was stopped), output and errors as bytes, whether time ran out."""

    status: int | None
    out: bytes
    err: bytes
    timed_out: bool


class As(t.NamedTuple):
    """Whom a program runs as, and where.

    uid, gid, groups: its user
    directory: where it starts; null keeps ours
    memory_bytes: the most address space it may have; null does not limit it
    """

    uid: int
    gid: int
    groups: tuple[int, ...]
    directory: str | None = None
    memory_bytes: int | None = None


class Seen(t.NamedTuple):
    """One process at one moment: when it started (ticks since boot), its parent, its state letter, and the signals that it catches (bit n-1 for signal n)."""

    start_ticks: int
    ppid: int
    state: str
    caught: int


class Machine:
    """This machine, or a recording of one.

    :param root: "" for this machine, else the folder that holds the recording's files.
    """

    def __init__(self, root: str = "") -> None:
        self.root = root
        self.page_bytes: int = os.sysconf("SC_PAGE_SIZE")
        self.ticks_per_s: int = os.sysconf("SC_CLK_TCK")
        self._recorded: dict[str, t.Any] = {}
        self._elapsed = 0.0
        if root:
            with open(os.path.join(root, "commands.json"), "rb") as stream:
                self._recorded = json.load(stream)

    # files

    def path(self, path: str) -> str:
        """Where ``path`` really lies (below the recording's folder in a replay)."""
        return self.root + path if self.root else path

    def read(self, path: str, limit: int = READ_LIMIT) -> bytes:
        """At most ``limit`` bytes from the start of a file. Raises OSError."""
        descriptor = os.open(self.path(path), os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            data = os.read(descriptor, limit)
            if not data or len(data) >= limit:
                return data
            parts = [data]
            left = limit - len(data)
            while left > 0:
                data = os.read(descriptor, left)
                if not data:
                    break
                parts.append(data)
                left -= len(data)
            return b"".join(parts)
        finally:
            os.close(descriptor)

    def peek(self, path: str, limit: int = 4096) -> bytes:
        """What one read gives: enough for most files of /proc, at half the cost of :meth:`read`. Raises OSError."""
        descriptor = os.open(self.root + path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            return os.read(descriptor, limit)
        finally:
            os.close(descriptor)

    def text(self, path: str, limit: int = READ_LIMIT) -> str:
        """Like :meth:`read`, decoded."""
        return decode(self.read(path, limit))

    def text_or_none(self, path: str, limit: int = READ_LIMIT) -> str | None:
        """Like :meth:`text`, null where the file is not there or may not be read."""
        try:
            return self.text(path, limit)
        except OSError:
            return None

    def open(self, path: str) -> t.BinaryIO:
        """A file to seek in. It never blocks on a FIFO. Raises OSError."""
        return os.fdopen(os.open(self.path(path), os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb", buffering=0)

    def names(self, path: str) -> list[str]:
        """The names in a folder. Raises OSError."""
        return os.listdir(self.path(path))

    def link(self, path: str) -> str:
        """Where a symbolic link points. Raises OSError."""
        return os.readlink(self.path(path))

    def stat(self, path: str) -> os.stat_result:
        """Raises OSError."""
        return os.stat(self.path(path))

    def lstat(self, path: str) -> os.stat_result:
        """Like :meth:`stat`, of a symbolic link itself. Raises OSError."""
        return os.lstat(self.path(path))

    def exists(self, path: str) -> bool:
        """Whether there is something at ``path`` that can be looked at."""
        return os.path.exists(self.path(path))

    # clocks

    def now(self) -> float:
        """The wall clock, seconds since the epoch."""
        recorded = self._recorded.get("now")
        return float(recorded) if recorded is not None else time.time()

    def uptime_s(self) -> float:
        """Seconds since boot, suspended time included, as in /proc/uptime. Raises OSError."""
        return float(self.text("/proc/uptime").split()[0])

    def monotonic(self) -> float:
        """A clock that never goes back, in seconds."""
        return self._elapsed if self.root else time.monotonic()

    def cpu_s(self) -> float:
        """CPU time of the calling process, in seconds."""
        return self._elapsed if self.root else time.process_time()

    def sleep(self, seconds: float) -> None:
        """Wait; in a replay only the clock moves."""
        if self.root:
            self._elapsed += seconds
        elif seconds > 0:
            time.sleep(seconds)

    # processors and processes

    def boot_s(self) -> float:
        """Seconds since boot, suspended time included, on a clock that no one can set."""
        return self._elapsed if self.root else time.clock_gettime(time.CLOCK_BOOTTIME)

    def boot(self) -> str:
        """What tells one boot from another: the kernel's id, and when process 1 started (a container that starts anew keeps the kernel)."""
        first = self.process(1)
        return "%s:%s" % ((self.text_or_none("/proc/sys/kernel/random/boot_id") or "").strip(), first.start_ticks if first is not None else "")

    def process(self, pid: int) -> Seen | None:
        """A process as it is now; null where it is gone. Raises OSError where it may not be looked at."""
        try:
            fields = self.peek("/proc/%d/stat" % pid).rpartition(b")")[2].split()
            status = self.peek("/proc/%d/status" % pid, 16384)
        except (FileNotFoundError, ProcessLookupError):
            return None
        if len(fields) < 20:
            return None
        caught = next((line.split()[1] for line in status.split(b"\n") if line.startswith(b"SigCgt:")), b"0")
        return Seen(int(fields[19]), int(fields[1]), decode(fields[0]), int(caught, 16))

    def children(self, pid: int) -> list[int]:
        """The children of a process that still live (no zombies), by number. Raises OSError where /proc cannot be read."""
        found: list[int] = []
        for name in self.names("/proc"):
            if not name.isdecimal():
                continue
            try:
                fields = self.peek("/proc/%s/stat" % name).rpartition(b")")[2].split()
            except OSError:
                continue
            if len(fields) > 1 and int(fields[1]) == pid and fields[0] not in (b"Z", b"X"):
                found.append(int(name))
        return sorted(found)

    def affinity(self) -> int:
        """How many CPUs processes here may run on: those of process 1 (our own affinity may be narrower)."""
        if self.root:
            return int(self._recorded.get("affinity", 1))
        try:
            return len(os.sched_getaffinity(1))
        except OSError:
            return len(os.sched_getaffinity(0))

    def important(self) -> None:
        """Have the kernel prefer the calling process, as far as it lets us: on a host under pressure an undo must come through."""
        try:
            with open("/proc/self/oom_score_adj", "w", encoding="ascii") as stream:
                stream.write("-1000")
        except OSError:
            pass
        try:
            os.nice(-15)
        except OSError:
            pass

    def detach(self, argv: t.Sequence[str]) -> int:
        """Start a program that outlives us, on its own: no terminal, no open files, spared by the OOM killer where we may. Gives its pid."""
        process = subprocess.Popen(
            list(argv), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, close_fds=True, start_new_session=True, cwd="/",
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"},
        )
        try:
            with open("/proc/%d/oom_score_adj" % process.pid, "w", encoding="ascii") as stream:
                stream.write("-1000")
        except OSError:
            pass
        return process.pid

    def pid(self) -> int:
        """The calling process."""
        return 0 if self.root else os.getpid()

    def euid(self) -> int:
        """The user that the calling process acts as."""
        return int(self._recorded.get("euid", 0)) if self.root else os.geteuid()

    # programs

    def run(
        self, argv: t.Sequence[str], timeout_s: float = 5.0, limit: int = OUTPUT_LIMIT, environment: dict[str, str] | None = None, who: As | None = None,
        handed: tuple[str, bytes] | None = None,
    ) -> Outcome:
        """Run a program without a shell, its standard input closed, for at most ``timeout_s`` and ``limit`` bytes of output.

        ``who``: run it as another user; ``environment`` is then all that it has. Its process group is killed at the end of the time.
        ``handed``: the name of a variable, and what is in the file that it names. It is a pipe: no more than 4096 bytes, it can be read once,
        nothing of it stands in the environment or on a disk, and nothing is left of it whatever becomes of us.
        Raises FileNotFoundError where there is no such program.
        """
        if self.root:
            recorded = self._recorded.get("commands", {}).get(" ".join(argv))
            if recorded is None:
                raise FileNotFoundError(argv[0])
            return Outcome(recorded["status"], recorded["out"].encode(), recorded.get("err", "").encode(), False)
        variables = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "LANG": "C.UTF-8", "SYSTEMD_COLORS": "0", "SYSTEMD_PAGER": ""}
        variables = dict(environment or {}) if who is not None else dict(variables, **(environment or {}))
        reader = None
        if handed is not None:
            reader = _filled(handed[1], who)
            variables[handed[0]] = "/proc/self/fd/%d" % reader
        try:
            process = subprocess.Popen(
                list(argv), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=variables, close_fds=True, start_new_session=True,
                preexec_fn=None if who is None else lambda: become(who), pass_fds=() if reader is None else (reader,),
            )
        finally:
            if reader is not None:
                os.close(reader)
        try:
            out, err, timed_out = _drain(process, timeout_s, limit)
        finally:
            stop(process)
        return Outcome(None if timed_out else process.returncode, out, err, timed_out)


def become(who: As) -> None:
    """In the child, before the program: give up what we may. (Popen's own arguments for it are newer than Python 3.8.)"""
    try:
        with open("/proc/self/oom_score_adj", "w", encoding="ascii") as stream:
            # should memory run out, what we started goes first
            stream.write("1000")
    except OSError:
        pass
    if who.memory_bytes is not None:
        # a collector's child has a limit already, and even root may lack the capability to raise it
        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        space = who.memory_bytes if hard == resource.RLIM_INFINITY else min(who.memory_bytes, hard)
        resource.setrlimit(resource.RLIMIT_AS, (space, space))
    if os.geteuid() == 0:
        os.setgroups(who.groups)
        os.setgid(who.gid)
        os.setuid(who.uid)
    if who.directory is not None:
        os.chdir(who.directory)


def _filled(data: bytes, who: As | None) -> int:
    """The end to read of a pipe that holds ``data`` and is closed behind it; its user's alone, who may open it by its path in /proc."""
    reader, writer = os.pipe()
    try:
        if who is not None and os.geteuid() == 0:
            os.fchown(reader, who.uid, who.gid)
        os.set_blocking(writer, False)
        if os.write(writer, data[:4096]) != len(data):
            raise OSError("more was to be handed over than a pipe surely takes")
    except BaseException:
        os.close(reader)
        raise
    finally:
        os.close(writer)
    return reader


def _drain(process: subprocess.Popen[bytes], timeout_s: float, limit: int) -> tuple[bytes, bytes, bool]:
    """Read both outputs until they close, time runs out or ``limit`` is reached."""
    end = time.monotonic() + timeout_s
    parts: dict[str, list[bytes]] = {"out": [], "err": []}
    left = limit
    with selectors.DefaultSelector() as selector:
        for name, stream in (("out", process.stdout), ("err", process.stderr)):
            if stream is not None:
                selector.register(stream, selectors.EVENT_READ, name)
        while selector.get_map() and left > 0:
            wait = end - time.monotonic()
            if wait <= 0:
                return b"".join(parts["out"]), b"".join(parts["err"]), True
            for key, dummy in selector.select(wait):
                data = os.read(key.fd, min(65536, left))
                if data:
                    parts[key.data].append(data)
                    left -= len(data)
                else:
                    selector.unregister(key.fileobj)
    try:
        process.wait(max(end - time.monotonic(), 0.05) if left > 0 else 0.05)
    except subprocess.TimeoutExpired:
        return b"".join(parts["out"]), b"".join(parts["err"]), left > 0
    return b"".join(parts["out"]), b"".join(parts["err"]), False


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a program's whole process group and close its pipes; one that is stuck in the kernel is left behind."""
    if process.poll() is None:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except OSError:
            pass
        try:
            process.wait(0.2)
        except subprocess.TimeoutExpired:
            pass
    for stream in (process.stdout, process.stderr):
        if stream is not None:
            stream.close()
