# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Masters and their workers as the kernel shows them: who is a worker, who is on the way out, whether a master takes a signal.

Private to oncall.pressure: no stable interface. It travels in the undo program, so it knows no component's reading code.
"""

from __future__ import annotations

import re
import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine

#: Signals by their number on Linux, where the modules that may name them lie elsewhere.
HUP, INT, CHLD = 1, 2, 17

_SPAWNED = re.compile(r"from (?:multiprocessing|billiard)\.spawn import spawn_main")
_CELERY_CHILD = re.compile(r"\[celeryd(?:: [^\]]*?)?:[A-Za-z]*PoolWorker(?:-\d+)*\]")


class Status(t.NamedTuple):
    """One live process.

    start_ticks: since boot    caught, ignored: bit n-1 stands for signal n    switches: how often it has left a processor, ever
    rss_kib, size_kib: resident memory and address space
    """

    start_ticks: int
    ppid: int
    caught: int
    ignored: int
    switches: int
    rss_kib: int
    size_kib: int


def status(machine: Machine, pid: int) -> Status | None:
    """A process; null where it is gone or only a zombie of it is left. Raises OSError where it may not be looked at."""
    try:
        fields = machine.peek("/proc/%d/stat" % pid).rpartition(b")")[2].split()
        lines = machine.peek("/proc/%d/status" % pid, 16384).decode("ascii", "replace").split("\n")
    except (FileNotFoundError, ProcessLookupError):
        return None
    if len(fields) < 20 or fields[0] in (b"Z", b"X", b"x"):
        return None
    found = dict(line.split(":", 1) for line in lines if ":" in line)

    def number(name: str, base: int = 10) -> int:
        words = found.get(name, "0").split()
        return int(words[0], base) if words else 0

    return Status(
        int(fields[19]), int(fields[1]), number("SigCgt", 16), number("SigIgn", 16), number("voluntary_ctxt_switches") + number("nonvoluntary_ctxt_switches"),
        number("VmRSS"), number("VmSize"),
    )


def has(mask: int, number: int) -> bool:
    """Whether a signal is in a mask of /proc."""
    return bool(mask >> (number - 1) & 1)


def the_same(machine: Machine, pid: int, start_ticks: int) -> Status | None:
    """The process if it is still the one that was started then."""
    found = status(machine, pid)
    return found if found is not None and found.start_ticks == start_ticks else None


def words(machine: Machine, pid: int) -> list[str]:
    """A process's arguments as they are (undecodable bytes as surrogates, as a program is started with); none where it is gone."""
    try:
        data = machine.read("/proc/%d/cmdline" % pid, 131072)
    except OSError:
        return []
    return [part.decode("utf-8", "surrogateescape") for part in data.rstrip(b"\0").split(b"\0")] if data else []


def environment(machine: Machine, pid: int) -> dict[str, str]:
    """What a process was started with. Raises OSError. It holds secrets: nothing of it is ever kept."""
    pairs = (part.partition(b"=") for part in machine.read("/proc/%d/environ" % pid, 1048576).split(b"\0") if b"=" in part)
    return {name.decode("utf-8", "surrogateescape"): value.decode("utf-8", "surrogateescape") for name, dummy, value in pairs if name}


def workers(machine: Machine, component: str, pid: int) -> list[int]:
    """The live worker processes of a master, of ``component`` gunicorn, uvicorn, celery (prefork) or rq (pool)."""
    own = words(machine, pid)
    return [child for child in machine.children(pid) if _is_worker(machine, component, pid, own, child)]


def _is_worker(machine: Machine, component: str, master: int, own: list[str], child: int) -> bool:
    argv = words(machine, child)
    if not argv or not argv[0]:
        return False
    if component == "uvicorn":
        return any(_SPAWNED.match(word) for word in argv)
    found = status(machine, child)
    if found is None:
        return False
    if component == "celery":
        # only children of the pool ignore SIGINT: an embedded beat is a child with the same arguments, too
        return (argv == own or bool(_CELERY_CHILD.match(argv[0]))) and has(found.ignored, INT)
    if component == "rq":
        return argv == own
    if argv[0].startswith("gunicorn: "):
        return argv[0].startswith("gunicorn: worker")
    return argv == own and not is_second_master(machine, master, child) and not _is_other_arbiter(machine, found, own, child)


def is_second_master(machine: Machine, master: int, child: int) -> bool:
    """Whether a child of gunicorn's master is the new master of an upgrade (USR2): it was told who the old one is."""
    if words(machine, child)[:1] and words(machine, child)[0].startswith("gunicorn: master"):
        return True
    try:
        return environment(machine, child).get("GUNICORN_PID") == str(master)
    except OSError:
        return False


def _is_other_arbiter(machine: Machine, found: Status, own: list[str], child: int) -> bool:
    """gunicorn's arbiter for dirty workers: a child with the same arguments that has children of that kind itself and, unlike a worker, minds SIGHUP."""
    if not (has(found.caught, HUP) and has(found.caught, CHLD)):
        return False
    return any(words(machine, below) == own for below in machine.children(child))


def settled(machine: Machine, look: t.Callable[[], int], steady_s: float = 1.2, limit_s: float = 10.0) -> int:
    """A count that has not changed for ``steady_s``; where it never stands still, the least that was seen.

    A worker that was killed is replaced within a turn of its master's loop, a second: a count taken in between is one too low.
    """
    end = machine.monotonic() + limit_s
    count = least = look()
    since = machine.monotonic()
    while machine.monotonic() - since < steady_s:
        if machine.monotonic() >= end:
            return least
        machine.sleep(0.1)
        now = look()
        if now != count:
            count, since = now, machine.monotonic()
            least = min(least, now)
    return count


def wait_for(machine: Machine, true: t.Callable[[], bool], limit_s: float, step_s: float = 0.1) -> bool:
    """Whether something came true within the time."""
    end = machine.monotonic() + limit_s
    while not true():
        if machine.monotonic() >= end:
            return False
        machine.sleep(step_s)
    return True
