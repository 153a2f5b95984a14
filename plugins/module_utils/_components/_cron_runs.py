# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs of cron jobs: the children of cron's forks, with everything below them.

Private to oncall.pressure: no stable interface. Read-only. The kernel's own list of children is read where it has one, so that only cron's
processes are looked at.
"""

from __future__ import annotations

import datetime
import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._components._crontabs import Entry
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine
from ansible_collections.oncall.pressure.plugins.module_utils._host._text import clean_words, decode
from ansible_collections.oncall.pressure.plugins.module_utils._parse import _cron_command, _crontab, _proc

#: How many runs of an entry, and how many that belong to none, are shown.
SHOWN: t.Final = 16

_PID_FILES = ("/run/crond.pid", "/var/run/crond.pid", "/run/cron.pid")
_NAMES = (b"cron", b"crond", b"CRON", b"CROND")
_RUNS = 200
_PROCESSES = 1000
#: A job starts within so many seconds of its minute.
_LATE_S = 30.0


class Run(t.NamedTuple):
    """One run of a job: its first process, whose it is, since when, and what it and all below it use.

    pids: (pid, start in ticks) of each; cpu: CPUs over the window, cpu_wait: those that it stood in line for; null where it was not watched for one
    """

    pid: int
    uid: int
    age_s: float
    argv: t.Sequence[str]
    pids: t.Sequence[tuple[int, int]]
    rss_bytes: int
    cpu: float | None = None
    cpu_wait: float | None = None

    def row(self) -> dict[str, t.Any]:
        """What a document says of it."""
        return {"pid": self.pid, "age_s": round(self.age_s, 1)}

    def command(self, limit: int) -> str:
        """Its arguments, harmless."""
        return clean_words(self.argv, limit)


class _Tree(t.NamedTuple):
    stats: dict[int, _proc.Stat]
    ticks: int
    waited_ns: dict[int, int]


def look(machine: Machine, window_s: float, own_pids: t.AbstractSet[int] = frozenset()) -> list[Run] | None:
    """Every job that cron runs now, the oldest first, watched for a window (not for 0 s); null where no cron runs."""
    daemon = _daemon(machine)
    if daemon is None:
        return None
    before = {pid: _tree(machine, pid) for pid in _jobs(machine, daemon)[:_RUNS] if pid not in own_pids}
    if not before:
        return []
    started = machine.monotonic()
    if window_s > 0:
        machine.sleep(window_s)
    passed = machine.monotonic() - started
    uptime_s = machine.uptime_s()
    found: list[Run] = []
    for pid, old in before.items():
        new = _tree(machine, pid) if window_s > 0 else old
        first = new.stats.get(pid)
        if first is None or pid not in old.stats or old.stats[pid].start_ticks != first.start_ticks:
            continue
        waited = [waited_ns - old.waited_ns[here] for here, waited_ns in new.waited_ns.items() if here in old.waited_ns]
        cpu_wait = max(sum(waited), 0) / 1e9 / passed if waited and passed > 0 and window_s > 0 else None
        cpu = max(new.ticks - old.ticks, 0) / machine.ticks_per_s / passed if passed > 0 and window_s > 0 else None
        try:
            uid = machine.stat("/proc/%d" % pid).st_uid
            argv = decode(b"\0".join(_proc.arguments(machine.peek("/proc/%d/cmdline" % pid, 16384)))).split("\0")
        except (OSError, ValueError):
            continue
        pids = [(row.pid, row.start_ticks) for row in new.stats.values()]
        rss_bytes = sum(row.rss_pages for row in new.stats.values()) * machine.page_bytes
        found.append(Run(pid, uid, max(uptime_s - first.start_ticks / machine.ticks_per_s, 0.0), argv, pids, rss_bytes, cpu, cpu_wait))
    return sorted(found, key=lambda run: (-run.age_s, run.pid))


def _daemon(machine: Machine) -> int | None:
    """The cron that this host runs: by its own file, else the first of that name whose parent is none."""
    for path in _PID_FILES:
        text = (machine.text_or_none(path, 32) or "").strip()
        if text.isdecimal() and _is_cron(machine, int(text)):
            return int(text)
    for name in sorted((name for name in machine.names("/proc") if name.isdecimal()), key=int):
        if _is_cron(machine, int(name)):
            return int(name)
    return None


def _is_cron(machine: Machine, pid: int) -> bool:
    found = _stat(machine, pid)
    return found is not None and found.name in _NAMES


def _stat(machine: Machine, pid: int) -> _proc.Stat | None:
    try:
        found = _proc.stat(machine.peek("/proc/%d/stat" % pid, 1024))
    except (OSError, ValueError):
        return None
    return found if found.state not in "ZX" else None


def _jobs(machine: Machine, daemon: int) -> list[int]:
    """Jobs' first processes: cron forks itself for each, and that fork starts it (and mails what it said)."""
    found: list[int] = []
    for fork in _children(machine, daemon):
        if not _is_cron(machine, fork):
            # a cron that starts them without a fork of its own between
            found.append(fork)
            continue
        found += [child for child in _children(machine, fork) if not _is_cron(machine, child)]
    return found


def _tree(machine: Machine, pid: int) -> _Tree:
    """A process and all below it, with what they have used, children that ended included."""
    stats: dict[int, _proc.Stat] = {}
    left = [pid]
    while left and len(stats) < _PROCESSES:
        here = left.pop(0)
        found = _stat(machine, here) if here not in stats else None
        if found is not None:
            stats[here] = found
            left += _children(machine, here)
    waited = {here: _waited_ns(machine, here) for here in stats}
    ticks = sum(row.user_ticks + row.system_ticks + row.ended_ticks for row in stats.values())
    return _Tree(stats, ticks, {here: value for here, value in waited.items() if value is not None})


def _waited_ns(machine: Machine, pid: int) -> int | None:
    """How long a process's first thread has been ready to run without a processor; null where the kernel does not count it."""
    try:
        return int(machine.peek("/proc/%d/schedstat" % pid, 128).split()[1])
    except (OSError, ValueError, IndexError):
        return None


def _children(machine: Machine, pid: int) -> list[int]:
    """The children of a process, by the kernel's own list; by looking at all processes where it keeps none."""
    try:
        threads = machine.names("/proc/%d/task" % pid)
    except OSError:
        return []
    found: list[int] = []
    for thread in threads[:64]:
        try:
            found += [int(word) for word in machine.read("/proc/%d/task/%s/children" % (pid, thread)).split()]
        except FileNotFoundError:
            if machine.exists("/proc/%d/task/%s" % (pid, thread)):
                # a kernel without such lists
                return machine.children(pid)
        except OSError:
            continue
    return sorted(found)


def assign(machine: Machine, entries: t.Sequence[Entry], runs: t.Sequence[Run]) -> tuple[dict[str, list[Run]], list[Run]]:
    """Runs by entry, and those that match none. Where several entries have the command, the one that was due when the run began."""
    given: dict[str, list[Run]] = {}
    unmatched: list[Run] = []
    uids = _uids(machine) if runs else {}
    for run in runs:
        fitting = [entry for entry in entries
                   if uids.get(entry.user or "", run.uid) == run.uid and _cron_command.is_run_of(entry.line.command, run.argv)]
        if not fitting:
            unmatched.append(run)
            continue
        chosen = fitting[0]
        if len(fitting) > 1:
            began = datetime.datetime.fromtimestamp(machine.now() - run.age_s)
            earlier = began - datetime.timedelta(seconds=60 + _LATE_S)
            chosen = next((entry for entry in fitting if _crontab.next_runs(entry.line.schedule, earlier, 60 + _LATE_S, 1)), chosen)
        given.setdefault(chosen.id, []).append(run)
    return given, unmatched


def _uids(machine: Machine) -> dict[str, int]:
    """Numbers of the users that this host itself knows."""
    found: dict[str, int] = {}
    for line in (machine.text_or_none("/etc/passwd", 1048576) or "").split("\n"):
        fields = line.split(":")
        if len(fields) > 3 and fields[2].isdecimal():
            found.setdefault(fields[0], int(fields[2]))
    return found
