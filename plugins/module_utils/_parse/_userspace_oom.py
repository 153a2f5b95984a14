# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Find kills that a program, not the kernel, made for want of memory: systemd-oomd, earlyoom.

Private to oncall.pressure: no stable interface. Pure: records in, plain data out.
"""

from __future__ import annotations

import re
import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._parse._log_line import Record


class UserspaceKill(t.NamedTuple):
    """program: systemd-oomd or earlyoom; what: the unit, or the process as "name (pid)"; stamp, uptime_s, time_s: as in a record."""

    program: str
    what: str
    stamp: str | None
    uptime_s: float | None
    time_s: float | None


# systemd-oomd says what it kills in up to three ways: each process, the cgroup, and systemd the unit
_ATTEMPT = re.compile(r"\boomd attempting to kill (?P<pid>\d{1,10}) with KILL")
_CGROUP = re.compile(r"^(?P<verb>Killed|Marked) (?P<path>/\S*?)(?:'s [\w.-]{1,64})?(?: for killing)? due to (?:memory|swap|pressure)")
_UNIT = re.compile(r"(?P<unit>[^\s/]{1,255}?): systemd-oomd killed (?:\d{1,10}|some) process")

# earlyoom since 1.3 (with the user since 1.6), 1.3-rc1, 1.2, and before
_EARLYOOM = (
    re.compile(r"^sending SIG(?:TERM|KILL) to process (?P<pid>\d{1,10})(?: uid \d{1,10})?[ :]+\"?(?P<name>.{0,64}?)\"?(?:[:,] ?(?:badness|oom_score|VmRSS)|$)"),
    re.compile(r"^killing process (?P<pid>\d{1,10}) \"(?P<name>.{0,64}?)\" with signal \d", re.IGNORECASE),
    re.compile(r"^Killing process '(?P<name>.{0,64}?)' with signal \d{1,2}, pid: (?P<pid>\d{1,10})"),
    re.compile(r"^Killing process:? (?P<name>[^,\d\s].{0,64}?), pid: (?P<pid>\d{1,10}), badness"),
    re.compile(r"^Killing process (?P<pid>\d{1,10}) (?P<name>[^\s(\"'].{0,63}?)$"),
)

#: What a line must hold to be looked at here.
MARKS = ("oomd", "ending SIG", "illing process")


class UserspaceKills:
    """Fed with the records of a log in order; :attr:`kills` is what was found."""

    def __init__(self) -> None:
        self._found: list[UserspaceKill] = []
        #: processes that systemd-oomd sent a signal to, of a cgroup that it has not named yet
        self._attempts: list[Record] = []
        self._attempted: list[str] = []
        #: units that systemd has not confirmed yet, and those that were marked and not yet called killed
        self._open: list[str] = []
        self._marked: list[str] = []

    def feed(self, record: Record) -> None:
        """Look at one record."""
        message = record.message
        if not any(mark in message for mark in MARKS) and not message.startswith(("Killed /", "Marked /")):
            return
        attempt = _ATTEMPT.search(message)
        if attempt is not None:
            self._attempts.append(record)
            self._attempted.append(attempt.group("pid"))
            return
        cgroup = _CGROUP.match(message)
        if cgroup is not None:
            self._cgroup(record, cgroup.group("path").rstrip("/").rpartition("/")[2])
            return
        unit = _UNIT.search(message)
        if unit is not None:
            if unit.group("unit") in self._open:
                self._open.remove(unit.group("unit"))
            else:
                self._add(record, "systemd-oomd", unit.group("unit"))
                self._attempts, self._attempted = [], []
            return
        if record.program in ("", "earlyoom"):
            for pattern in _EARLYOOM:
                found = pattern.match(message)
                if found is not None:
                    self._add(record, "earlyoom", "%s (%s)" % (found.group("name"), found.group("pid")))
                    return

    def _cgroup(self, record: Record, unit: str) -> None:
        """systemd-oomd names a cgroup: as marked, as killed, or first the one and then the other."""
        self._attempts, self._attempted = [], []
        if record.message.startswith("Marked"):
            self._marked.append(unit)
        elif unit in self._marked:
            self._marked.remove(unit)
            return
        self._open.append(unit)
        self._add(record, "systemd-oomd", unit)

    def _add(self, record: Record, program: str, what: str) -> None:
        self._found.append(UserspaceKill(program, what, record.stamp, record.uptime_s, record.time_s))

    @property
    def kills(self) -> list[UserspaceKill]:
        """Every kill, in order; signals whose cgroup was never named are one kill."""
        if not self._attempts:
            return list(self._found)
        first = self._attempts[0]
        return self._found + [UserspaceKill("systemd-oomd", "process " + ", ".join(self._attempted), first.stamp, first.uptime_s, first.time_s)]
