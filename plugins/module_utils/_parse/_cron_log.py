# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How long jobs ran, by what cron and systemd say of their beginning and their end.

Private to oncall.pressure: no stable interface. Pure: lines in, seconds out.

Sources: what cron of Debian 12 writes (with its log level as it comes, and at 15), and cronie's do_command.c. Debian's tells the end by the
session that PAM closes, and the command by a line of its own, which is of the same process (15) or of the child that runs the job; cronie writes
CMD as the job itself and CMDEND as its parent. Where several jobs of one user begin in one second, Debian's lines do not say which session is
whose: the kernel's number of the session does, which journald notes; without it only jobs that took about the same are told.
"""

from __future__ import annotations

import re
import typing as t

#: Sessions and commands that are remembered while their end is looked for.
_OPEN = 1000
#: A command is logged within so many seconds of its session, and by a process that began so shortly after it.
_NEAR_S = 10.0
_NEAR_PIDS = 64
#: Runs that differ by less than this took about the same.
_ABOUT_S = 2.0

_SESSION = re.compile(r"pam_unix\(crond?:session\): session (opened|closed) for user ([^\s(]{1,64})")
_SAID = re.compile(r"\(([^\s()]{1,64})\) (CMD|CMDEND|END) \((?:\[\d{1,10}\] )?(.*)\)\Z", re.DOTALL)

#: systemd's own numbers of what it says of a unit: it begins to start; it ended, well or not.
STARTING: t.Final = "7d4958e842da4a758f6c1cdc7b36dcc5"
ENDED: t.Final = ("7ad2d189f7e94e70a38c781354912448", "d9b373ed55a64feb8242e02dbe79a49c")


class Line(t.NamedTuple):
    """One line of cron's: seconds since the epoch, the process that wrote it, its text; session: the kernel's number of its session, "" where unknown."""

    at: float
    pid: int
    text: str
    session: str = ""


class Ran(t.NamedTuple):
    """One run that ended: whose, what (as cron tells it), how many seconds it took."""

    user: str
    command: str
    seconds: float


class _Begun(t.NamedTuple):
    at: float
    user: str
    command: str | None


class _Together(t.NamedTuple):
    """Jobs of one user that began in one minute, of which it is not known which session is whose: their commands, and how long the sessions took."""

    commands: list[str]
    seconds: list[float]


class _Open:
    """What has begun and not ended: sessions by their process, sessions by the kernel's number, jobs of cronie by their process, jobs begun together."""

    def __init__(self) -> None:
        self.sessions: dict[int, _Begun] = {}
        self.numbered: dict[str, _Begun] = {}
        self.alone: dict[int, _Begun] = {}
        self.together: dict[tuple[str, int], _Together] = {}


def runs(lines: t.Iterable[Line]) -> list[Ran]:
    """The runs whose beginning and end are among the lines, which are in order of time."""
    begun = _Open()
    found: list[Ran] = []
    for line in lines:
        session = _SESSION.match(line.text)
        said = _SAID.match(line.text) if session is None else None
        if session is not None and session.group(1) == "opened":
            _remember(begun.sessions, line.pid, _Begun(line.at, session.group(2), None))
        elif session is not None:
            found += _closed(begun, line)
        elif said is not None and said.group(2) == "CMD":
            _command(begun, line, said.group(1), said.group(3).strip())
        elif said is not None:
            found += _ended(begun, line, said.group(1), said.group(3).strip())
    return found


def _command(begun: _Open, line: Line, user: str, command: str) -> None:
    row = _Begun(line.at, user, command)
    if line.pid in begun.sessions:
        begun.sessions[line.pid] = row
        return
    if line.session:
        _remember(begun.numbered, line.session, row)
    near = [pid for pid, other in begun.sessions.items()
            if other.command is None and other.user == user and abs(line.pid - pid) <= _NEAR_PIDS and line.at - other.at <= _NEAR_S]
    if len(near) == 1:
        begun.sessions[near[0]] = row
    elif near and not line.session:
        key = (user, int(line.at // 60))
        if key not in begun.together:
            _remember(begun.together, key, _Together([], []))
        begun.together[key].commands.append(command)
    elif not near:
        _remember(begun.alone, line.pid, row)


def _closed(begun: _Open, line: Line) -> list[Ran]:
    opened = begun.sessions.pop(line.pid, None)
    numbered = begun.numbered.pop(line.session, None) if line.session else None
    row = numbered or opened
    if row is None:
        return []
    if row.command is not None:
        return _run(row, line.at)
    key = (row.user, int(row.at // 60))
    burst = begun.together.get(key)
    if burst is None:
        return []
    burst.seconds.append(line.at - row.at)
    if len(burst.seconds) < len(burst.commands):
        return []
    del begun.together[key]
    if max(burst.seconds) - min(burst.seconds) > _ABOUT_S and len(set(burst.commands)) > 1:
        return []
    return [Ran(row.user, command, max(seconds, 0.0)) for command, seconds in zip(burst.commands, burst.seconds)]


def _ended(begun: _Open, line: Line, user: str, command: str) -> list[Ran]:
    """What a line says that tells the end itself: of the session's process, or of the parent of a job of cronie."""
    opened = begun.sessions.get(line.pid)
    if opened is not None and opened.command == command:
        begun.numbered.pop(line.session, None)
        return _run(begun.sessions.pop(line.pid), line.at)
    alike = [pid for pid, other in begun.alone.items() if other.user == user and other.command == command and 0 < pid - line.pid <= _NEAR_PIDS]
    return _run(begun.alone.pop(min(alike)), line.at) if alike else []


def _run(row: _Begun, at: float) -> list[Ran]:
    return [Ran(row.user, row.command, at - row.at)] if row.command is not None and at >= row.at else []


def _remember(table: dict[t.Any, t.Any], key: t.Any, value: t.Any) -> None:
    if len(table) >= _OPEN:
        # the oldest, whose end is not among the lines any more
        del table[next(iter(table))]
    table[key] = value


def rank(text: str) -> int:
    """The order of lines of one second: a session begins, its command, its end."""
    session = _SESSION.match(text)
    return 1 if session is None else 0 if session.group(1) == "opened" else 2


def unit_runs(events: t.Iterable[tuple[float, str, str]]) -> dict[str, list[float]]:
    """How long units ran, by unit. Events in order of time: (seconds since the epoch, unit, systemd's number of what it said)."""
    begun: dict[str, float] = {}
    found: dict[str, list[float]] = {}
    for at, unit, message in events:
        if message == STARTING:
            begun[unit] = at
        elif message in ENDED and unit in begun:
            found.setdefault(unit, []).append(max(at - begun.pop(unit), 0.0))
    return found


_SYSLOG = re.compile(r"^(?:\S{3} [ \d]\d [\d:]{8}|\S{19,40}) \S{1,255} (?:CRON|CROND|crond?)\[(\d{1,10})\]: (.*)", re.MULTILINE)


def lines_of(text: str, moment: t.Callable[[str], float | None]) -> list[Line]:
    """Cron's lines of a syslog file, in either form that rsyslog writes; those whose time is not known are left out."""
    found = []
    for match in _SYSLOG.finditer(text):
        at = moment(match.group(0)[:60])
        if at is not None:
            found.append(Line(at, int(match.group(1)), match.group(2)))
    return found
