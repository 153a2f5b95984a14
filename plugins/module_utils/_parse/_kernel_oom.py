# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Find the kernel's OOM kills in a log, in the words of every kernel from 2.4 on.

Private to oncall.pressure: no stable interface. Pure: text or records in, plain data out.

A kill is told by up to three lines: ``oom-kill:constraint=...`` (4.19 and later), ``... Kill process N (name) score S ...`` (before 5.1) and
``... Killed process N (name) ...``. They are one event, whose victim is that of the last. Kernels before 5.1 may have killed a child of the process
they scored. Where the last is missing, the others stand for it. ``NAME invoked oom-killer`` alone is no kill: the kernel may have found memory after all.
"""

from __future__ import annotations

import re
import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._parse._log_line import Record, records
from ansible_collections.oncall.pressure.plugins.module_utils._parse._userspace_oom import UserspaceKill, UserspaceKills

#: What a line holds that matters here; all else may be left out before parsing.
INTERESTING = re.compile(r"oom|Task in |[Kk]ill(?:ed|ing)? |[Oo]ut of [Mm]emory|emcg=|mems_allowed=|^\s{0,4}(?:score|total-vm)")

#: Two lines of one kill are written within this many seconds of the kernel's clock, also on a slow serial console.
_SAME_KILL_S = 30.0

#: The same victim named twice within this many seconds is one kill.
_REPEATED_S = 2.0


class Kill(t.NamedTuple):
    """One victim. Sizes in KiB; null is not told. stamp: the time of the first line of the kill as written; uptime_s, time_s: that time where it can be told;
    constraint: global, memcg or null; cgroup: the victim's; limit_cgroup: whose limit was hit; trigger: the process that asked for the memory."""

    pid: int
    name: str
    stamp: str | None
    uptime_s: float | None
    time_s: float | None
    constraint: str | None
    cgroup: str | None
    limit_cgroup: str | None
    anon_rss_kib: int | None
    total_vm_kib: int | None
    uid: int | None
    trigger: str | None


class Refused(t.NamedTuple):
    """A line that tells of a kill and cannot be read: its text and what a person can do."""

    text: str
    reason: str


class Found(t.NamedTuple):
    """Everything found in one log, in order."""

    kills: list[Kill]
    userspace: list[UserspaceKill]
    refused: list[Refused]


class _Event:
    """A kill as far as it is told."""

    def __init__(self, record: Record) -> None:
        self.record = record
        self.pid: int | None = None
        self.name = ""
        self.constraint: str | None = None
        self.cgroup: str | None = None
        self.limit_cgroup: str | None = None
        self.anon_rss_kib: int | None = None
        self.total_vm_kib: int | None = None
        self.uid: int | None = None
        self.trigger: str | None = None
        #: a line said "Killed", or another victim was scored, or it has the line that 4.19 brought
        self.killed = self.scored = self.announced = False
        #: another run of the killer began since
        self.stale = False

    def kill(self) -> Kill:
        record = self.record
        return Kill(self.pid or 0, self.name, record.stamp, record.uptime_s, record.time_s, self.constraint, self.cgroup, self.limit_cgroup,
                    self.anon_rss_kib, self.total_vm_kib, self.uid, self.trigger)


_INVOKED = re.compile(r"^(?P<name>.{1,64}?) invoked oom-killer\b")
_TASK_IN = re.compile(r"\bTask in (?P<task>.*?)(?: killed as a result of limit of (?P<limit>.*))?$")
_RESULT = re.compile(r"^killed as a result of limit of (?P<limit>.*)$")
_GROUP = re.compile(r"\bTasks in (?P<path>.*) are going to be killed due to memory\.oom\.group set")
_EXITING = re.compile(r"OOM victim (?P<pid>\d{1,10}) \(.{0,64}?\) is already exiting")

_ANNOUNCED = re.compile(r"oom-kill:constraint=CONSTRAINT_(?P<constraint>[A-Z_]{1,24})")
_VICTIM = re.compile(r",task=(?P<name>.{0,64}?),pid=(?P<pid>\d{1,10}),uid=(?P<uid>\d{1,10})")
_LIMIT = re.compile(r",oom_memcg=(?P<path>.*?),task_memcg=")
_CGROUP = re.compile(r",task_memcg=(?P<path>.*?),task=")

_WHY = r"(?P<why>(?:memory cgroup out of memory|out of memory|no available memory)(?: ?\([^()\n]{0,60}\))?(?P<beancounter> in UB \S{1,64})?\s{0,4}: {0,4})"
_PROCESS = re.compile(
    r"(?:" + _WHY + r")?(?<![A-Za-z])(?P<verb>OOM killed|killed|kill) process (?P<pid>\d{1,10})\b:?(?P<rest>.*)", re.IGNORECASE | re.DOTALL
)
# What a message stands after where nothing says why: a kill without figures in the middle of a sentence is somebody's prose.
_BEGINS = re.compile(r"(?:^|[\]:;>|\"'`(*=•-])\s{0,12}$")
# Where a second message may begin in the same line.
_AGAIN = re.compile(
    r"(?:Memory cgroup out of memory|Out of [Mm]emory|No available memory)[^:\n]{0,80}: {0,4}(?:OOM )?[Kk]ill"
    r"|oom-kill:constraint=|(?<![:\w] )(?<!: )Killed process \d"
)

# The name may hold blanks and parentheses: it ends where something follows that the kernel writes after it.
_NAME = re.compile(
    r"^(?:, UID:? ?(?P<uid>\d{1,10}),?)? \((?P<name>.{0,64}?)(?:, UID:? ?(?P<inner_uid>\d{1,10}))?\)"
    r"(?=[.,;]?\s{0,4}(?:$|[\"'`<|\\])|,? ?UID|,? ?(?:total-vm|vsz|anon-rss|vm:)|\s{1,4}score|\s{1,4}or (?:a child|sacrifice)|\s{1,4}sharing|, )"
)
_CUT_NAME = re.compile(r"^(?:, UID:? ?\d{0,10},?)?\s?(?:\([^)]{0,64})?(?:…|\.\.\.|>)?$")

_ANON_RSS = re.compile(r"anon-rss:\s?(\d{1,18})\s?kB")
_TOTAL_VM = re.compile(r"(?:total-vm|vsz):\s?(\d{1,18})\s?kB")
_FIGURES = re.compile(r"(?:total-vm|vsz|anon-rss):\s?\d|\) score \d")
_UID = re.compile(r"\bUID:? ?(\d{1,10})\b")

_READ_WHOLE = "the line is cut before the victim's pid and name: read it whole (journalctl -k --no-pager -o short-full, or dmesg)"
_BEANCOUNTER = "an OpenVZ kernel's own wording: its limits are beancounters, see /proc/user_beancounters"

# A message that goes on in the next line: wrapped by mail or a terminal, or broken by the kernel's own continuation.
_GOES_ON = re.compile(r"^\s{0,12}(?:score \d|or (?:a child|sacrifice)|child\b|sacrifice child|,? ?(?:total-vm|vsz|anon-rss|file-rss|shmem-rss|UID|pgtables)\b)")
_OPEN_END = re.compile(
    r"(?:(?:^|: )kill(?:ed)?|kill(?:ed)? process(?: \d{1,10})?|oom-kill:|^(?:killed|marked) /\S*|systemd-oomd killed(?: \d{1,9})?)$", re.IGNORECASE
)
# what must not lie half in one line and half in the next
_ONE_PIECE = re.compile(_WHY + r"(?:OOM )?kill(?:ed)? process \d|\w invoked oom-killer|process \d{1,10} \([^)]{0,64}\)", re.IGNORECASE)
_OPEN_NAME = re.compile(r"kill(?:ed)? process \d{1,10}(?:, UID:? ?\d{1,10},)? \([^\n]{0,64}$", re.IGNORECASE)
_NAME_ENDS = re.compile(r"^[^()\n]{0,32}\)(?:,? UID|,? ?(?:total-vm|vsz)|\s{1,4}score \d|\.?$)")
_MOST_LINES = 6


def parse(text: str) -> Found:
    """Every OOM kill that a text tells of."""
    return parse_records(records(text))


def parse_records(rows: t.Iterable[Record]) -> Found:
    """Every OOM kill that the messages of a log tell of, in their order."""
    killer, userspace = KernelKills(), UserspaceKills()
    for row in rejoined(rows):
        userspace.feed(row)
        if row.program in ("", "kernel"):
            killer.feed(row)
    return Found(killer.kills(), userspace.kills, killer.refused())


def rejoined(rows: t.Iterable[Record]) -> t.Iterator[Record]:
    """The records with messages that were broken over several lines made whole."""
    held: Record | None = None
    joined = 0
    for row in rows:
        glue = _glue(held, row) if held is not None and joined < _MOST_LINES else None
        if held is not None and glue is not None:
            message = ("" if held.message == "[" else held.message) + glue + row.message
            held = held._replace(message=message, uptime_s=held.uptime_s if row.uptime_s is None else row.uptime_s)
            joined += 1
            continue
        if held is not None:
            yield held
        held, joined = row, 0
    if held is not None:
        yield held


def _glue(held: Record, row: Record) -> str | None:
    """What to put between two lines that are one message, null where they are not."""
    if "oom-kill:" in held.message and _VICTIM.search(held.message) is None:
        if row.message.startswith(","):
            return ""
        if not row.headed and "=" in row.message and _AGAIN.search(row.message) is None:
            return "" if held.message.endswith((",", "=", "/", "-")) or row.message.startswith("=") else ("" if "," in row.message else None)
        return None
    if row.headed:
        # the prefix itself was wrapped, between the tag of syslog and the kernel's clock
        return "" if held.message in ("", "[") and held.program == "kernel" and row.program == "" and row.uptime_s is not None else None
    if not held.message:
        return ""
    if _PROCESS.search(held.message) is not None and _GOES_ON.match(row.message) is not None:
        return " "
    if _OPEN_END.search(held.message) is not None or _OPEN_NAME.search(held.message) is not None and _NAME_ENDS.match(row.message) is not None:
        return " "
    piece = _ONE_PIECE.search(held.message[-160:] + " " + row.message[:160])
    return " " if piece is not None and piece.start() < len(held.message[-160:]) < piece.end() - 1 else None


class KernelKills:
    """Fed with the kernel's messages in order; :meth:`kills` is what was found."""

    def __init__(self) -> None:
        self._events: list[_Event] = []
        self._refused: list[Refused] = []
        self._trigger: tuple[str, Record] | None = None
        self._task: tuple[str | None, str | None] = (None, None)
        #: the cgroup that is being killed as a whole, and what its kills have in common
        self._group: tuple[str, _Event | None] | None = None

    def kills(self) -> list[Kill]:
        """Every victim, in order of the first line that names the kill."""
        return [event.kill() for event in self._events if event.pid is not None]

    def refused(self) -> list[Refused]:
        """What tells of a kill and could not be read."""
        return self._refused + [Refused(event.record.message[:120], _READ_WHOLE) for event in self._events if event.pid is None]

    def feed(self, record: Record) -> None:
        """Look at one record, which may hold several messages without a prefix of their own."""
        message = record.message
        if INTERESTING.search(message) is None:
            return
        starts = [0] + [found.start() for found in _AGAIN.finditer(message) if found.start() > 0]
        for start, end in zip(starts, starts[1:] + [len(message)]):
            self._message(record, message[start:end].strip())

    def _message(self, record: Record, message: str) -> None:
        announced = _ANNOUNCED.search(message)
        if announced is not None:
            self._announced(record, message[announced.start():], announced.group("constraint"))
            return
        found = _PROCESS.search(message)
        if found is not None:
            self._process(record, message, found)
            return
        self._context(record, message)

    def _context(self, record: Record, message: str) -> None:
        """Lines that are no kill and say something about the next one."""
        invoked = _INVOKED.match(message)
        if invoked is not None:
            self._trigger = (_without_host(invoked.group("name").strip(), record), record)
            self._task, self._group = (None, None), None
            for event in self._events[-8:]:
                event.stale = True
            return
        group = _GROUP.search(message)
        if group is not None:
            self._group = (group.group("path"), self._events[-1] if self._events else None)
            return
        task = _TASK_IN.search(message)
        if task is not None:
            self._task = (task.group("task").strip(), (task.group("limit") or "").strip() or None)
            return
        result = _RESULT.match(message)
        if result is not None and self._task[0] is not None:
            self._task = (self._task[0], result.group("limit").strip())
            return
        exiting = _EXITING.search(message)
        if exiting is not None:
            open_event = self._open(int(exiting.group("pid")))
            if open_event is not None:
                self._events.remove(open_event)

    def _announced(self, record: Record, message: str, constraint: str) -> None:
        """``oom-kill:constraint=...``"""
        victim, limit, cgroup = _VICTIM.search(message), _LIMIT.search(message), _CGROUP.search(message)
        event = self._told_backwards(record, int(victim.group("pid"))) if victim is not None else None
        if event is None:
            event = self._new(record)
        event.announced = True
        event.constraint = "memcg" if constraint == "MEMCG" else "global"
        event.cgroup = cgroup.group("path") if cgroup is not None else event.cgroup
        event.limit_cgroup = limit.group("path") if limit is not None else event.limit_cgroup
        self._group = None
        if victim is not None:
            event.pid, event.uid = int(victim.group("pid")), int(victim.group("uid"))
            event.name = event.name or victim.group("name")

    def _process(self, record: Record, message: str, found: re.Match[str]) -> None:
        """``Kill process N (name) score S`` and ``Killed process N (name)``."""
        rest, pid = found.group("rest"), int(found.group("pid"))
        killed = found.group("verb").lower() != "kill"
        why = found.group("why")
        if found.group("beancounter") or found.group("verb").startswith("OOM"):
            self._refused.append(Refused(message[:120], _BEANCOUNTER))
            return
        if not why and _BEGINS.search(message[:found.start()]) is None and _FIGURES.search(rest) is None:
            return
        name = _NAME.match(rest)
        if name is None:
            if (why or killed and " (" in rest) and _CUT_NAME.match(rest) is not None:
                self._refused.append(Refused(message[:120], _READ_WHOLE))
            return
        tail = rest[name.end():]
        if "sharing same memory" in tail:
            return
        if killed:
            event = self._killed(record, pid, name.group("name"), message)
        elif why or " score" in tail:
            event = self._scored(record, pid, name.group("name"))
        else:
            return
        if event is None:
            return
        if event.constraint is None and why:
            event.constraint = "memcg" if "cgroup" in why.lower() else "global"
        if killed:
            _figures(event, tail, name.group("uid") or name.group("inner_uid"))

    def _scored(self, record: Record, pid: int, name: str) -> _Event:
        event = self._open(pid)
        if event is None or event.scored or event.stale:
            event = self._new(record)
            event.pid, event.name = pid, name
        event.scored = True
        return event

    def _killed(self, record: Record, pid: int, name: str, message: str) -> _Event | None:
        """The event that a "Killed" line ends; null where it repeats one."""
        event = self._open(pid)
        if event is None:
            if self._repeats(record, pid, name, message):
                return None
            event = self._another(record, name)
        if event is None:
            event = self._new(record)
            if self._group is not None:
                self._of_group(event, *self._group)
        event.pid, event.name, event.killed = pid, name, True
        return event

    def _open(self, pid: int) -> _Event | None:
        """The latest event of this victim that no "Killed" line has ended yet."""
        for event in reversed(self._events[-32:]):
            if event.pid == pid and not event.killed:
                return event
        return None

    def _another(self, record: Record, name: str) -> _Event | None:
        """The event just begun, where another process than the one it named was killed: a child, or another thread of the same process."""
        for event in reversed(self._events[-1:]):
            if event.killed or event.stale:
                return None
            apart = _apart_s(event.record, record)
            if event.pid is None or event.scored:
                return event if apart is None or apart <= _SAME_KILL_S else None
            if apart is not None:
                return event if apart <= _REPEATED_S and event.name == name or apart <= 0.01 else None
            return event if event.name == name else None
        return None

    def _repeats(self, record: Record, pid: int, name: str, message: str) -> bool:
        """Whether a "Killed" line names a victim that was just named: of a group, or of a log that was put together twice."""
        for event in reversed(self._events[-32:]):
            if event.killed and event.pid == pid and event.name == name:
                apart = _apart_s(event.record, record)
                if apart is not None:
                    return apart <= _REPEATED_S or self._group is not None and apart <= _SAME_KILL_S
                return event.record.stamp == record.stamp
        return False

    def _told_backwards(self, record: Record, pid: int) -> _Event | None:
        """The event of this victim whose "Killed" line came first: newest lines first, as ``journalctl -r`` prints."""
        for event in reversed(self._events[-2:]):
            apart = _apart_s(event.record, record)
            same_time = apart <= _REPEATED_S if apart is not None else event.record.stamp == record.stamp
            if event.pid == pid and event.killed and not event.announced and same_time:
                return event
        return None

    def _new(self, record: Record) -> _Event:
        event = _Event(record)
        if self._trigger is not None:
            apart = _apart_s(self._trigger[1], record)
            if apart is None or apart <= _SAME_KILL_S:
                event.trigger = self._trigger[0]
            self._trigger = None
        event.cgroup, event.limit_cgroup = self._task
        self._task = (None, None)
        self._events.append(event)
        return event

    def _of_group(self, event: _Event, path: str, first: _Event | None) -> None:
        """A cgroup with memory.oom.group set dies as a whole: the further victims are told by their own line only."""
        event.cgroup = event.cgroup or path
        if first is not None:
            event.limit_cgroup = event.limit_cgroup or first.limit_cgroup
            event.constraint = event.constraint or first.constraint
            event.trigger = event.trigger or first.trigger


def _without_host(name: str, record: Record) -> str:
    """A process's name from a line whose prefix names a time and no program: the first word is the host's name then."""
    host, blank, rest = name.partition(" ")
    return rest if blank and record.stamp is not None and record.uptime_s is None and record.program == "" and record.time_s is None else name


def _apart_s(one: Record, other: Record) -> float | None:
    """Seconds between two records, null where it cannot be told."""
    if one.uptime_s is not None and other.uptime_s is not None:
        return abs(one.uptime_s - other.uptime_s)
    if one.time_s is not None and other.time_s is not None:
        return abs(one.time_s - other.time_s)
    return None


def _figures(event: _Event, tail: str, uid: str | None) -> None:
    """Sizes and user from the end of a "Killed" line."""
    anon, total, own = _ANON_RSS.search(tail), _TOTAL_VM.search(tail), _UID.search(tail)
    event.anon_rss_kib = int(anon.group(1)) if anon is not None else None
    event.total_vm_kib = int(total.group(1)) if total is not None else None
    if own is not None or uid is not None:
        event.uid = int(own.group(1)) if own is not None else int(uid or 0)
