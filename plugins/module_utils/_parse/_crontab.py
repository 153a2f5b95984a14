# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Read crontabs line by line, pause single jobs in them and nothing else, and say when a job is due.

Private to oncall.pressure: no stable interface. Pure: bytes in, plain data out. Source: crontab(5) of Vixie cron and cronie.
"""

from __future__ import annotations

import datetime
import re
import typing as t

#: What stands before a job that was paused, up to the first letter of the line as it was.
MARK: t.Final = b"#oncall-pressure paused# "

_FIELD = r"[0-9A-Za-z*,/~-]+"
_TIMES = re.compile(r"[ \t]*((?:%s[ \t]+){4}%s|@[a-z]+)[ \t]+(.*)" % (_FIELD, _FIELD), re.DOTALL)
_VARIABLE = re.compile(r"[ \t]*(?:\"[^\"]*\"|'[^']*'|[A-Za-z_][A-Za-z0-9_]*)[ \t]*=")
_USER = re.compile(r"(\S+)[ \t]+(\S.*)", re.DOTALL)

#: What commands begin with and no user is called.
_PROGRAMS = frozenset((
    "bash cat cd chmod chown cp cron curl date docker echo env eval exec export find flock for if ionice kill ln logger ls make mkdir mv nice node perl php"
    " printf python python2 python3 rm rsync ruby service set sh sleep source sudo systemctl tar test time timeout touch true wget while zsh"
).split())

_EVERY = {
    "@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *", "@monthly": "0 0 1 * *", "@weekly": "0 0 * * 0", "@daily": "0 0 * * *", "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_SPECIAL = frozenset(_EVERY) | {"@reboot"}

_MONTHS = {name: number for number, name in enumerate("jan feb mar apr may jun jul aug sep oct nov dec".split(), 1)}
_DAYS = {name: number for number, name in enumerate("sun mon tue wed thu fri sat".split())}
_BOUNDS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
_NAMES: tuple[dict[str, int], ...] = ({}, {}, {}, _MONTHS, _DAYS)


class Line(t.NamedTuple):
    """One line.

    number: from 1; start: where it begins in the file's bytes
    kind: job, paused (by us), variable, comment, blank, unknown
    schedule, user (null in a user's own crontab), command: of a job or a paused one, "" otherwise
    """

    number: int
    start: int
    kind: str
    schedule: str = ""
    user: str | None = None
    command: str = ""


def read(data: bytes, system: bool) -> list[Line]:
    """Every line of a crontab. ``system``: jobs name their user after the time, as in /etc/crontab and /etc/cron.d.

    What is no job, no variable, no comment and not blank is ``unknown``: cron would refuse it, or it is a template.
    """
    found: list[Line] = []
    start = 0
    for number, raw in enumerate(data.split(b"\n"), 1):
        if start < len(data) or raw:
            found.append(_line(number, start, raw, system))
        start += len(raw) + 1
    return found


def _line(number: int, start: int, raw: bytes, system: bool) -> Line:
    text = raw.decode("utf-8", "backslashreplace").rstrip("\r")
    stripped = text.strip(" \t")
    if raw.startswith(MARK):
        inner = _line(number, start, raw[len(MARK):], system)
        return inner._replace(kind="paused") if inner.kind == "job" else Line(number, start, "comment")
    if not stripped:
        return Line(number, start, "blank")
    if stripped.startswith("#"):
        return Line(number, start, "comment")
    if _VARIABLE.match(text):
        return Line(number, start, "variable")
    times = _TIMES.match(text)
    if times is None or not _is_schedule(times.group(1)):
        return Line(number, start, "unknown")
    schedule, rest = " ".join(times.group(1).split()), times.group(2)
    if not system:
        return Line(number, start, "job", schedule, None, rest.strip()) if rest.strip() else Line(number, start, "unknown")
    user = _USER.match(rest)
    return Line(number, start, "job", schedule, user.group(1), user.group(2).strip()) if user is not None else Line(number, start, "unknown")


def _is_schedule(text: str) -> bool:
    fields = text.split()
    if text.startswith("@"):
        return text in _SPECIAL
    return len(fields) == 5 and all(_field(field, place) is not None for place, field in enumerate(fields))


def pause(data: bytes, numbers: t.Container[int], system: bool) -> bytes:
    """The same bytes with the mark before the jobs of these line numbers; lines that are no active job stay as they are."""
    parts = data.split(b"\n")
    for line in read(data, system):
        if line.number in numbers and line.kind == "job":
            parts[line.number - 1] = MARK + parts[line.number - 1]
    return b"\n".join(parts)


def resume(data: bytes, wanted: t.Container[bytes] | None = None) -> bytes:
    """The same bytes without the mark: before all lines that have it, or before those whose text (without it) is wanted."""
    parts = data.split(b"\n")
    for place, raw in enumerate(parts):
        if raw.startswith(MARK) and (wanted is None or raw[len(MARK):] in wanted):
            parts[place] = raw[len(MARK):]
    return b"\n".join(parts)


def lines_of(data: bytes, numbers: t.Container[int]) -> list[bytes]:
    """The raw lines of these numbers, without their ends."""
    return [raw for number, raw in enumerate(data.split(b"\n"), 1) if number in numbers]


def seems_system(data: bytes, commands: t.Container[str] = _PROGRAMS) -> bool:
    """Whether the jobs of a file of unknown place name users: all have a word before their command that may be a name and is no command."""
    jobs = [line for line in read(data, True) if line.kind == "job"]
    return bool(jobs) and len(jobs) == sum(line.kind == "job" for line in read(data, False)) and all(
        line.user is not None and (line.user == "*" or (re.fullmatch(r"[a-z_][a-z0-9_-]*\$?", line.user) is not None and line.user not in commands))
        for line in jobs)


def next_runs(schedule: str, now: datetime.datetime, seconds: float, most: int = 1000) -> list[datetime.datetime] | None:
    """When a job is due after ``now`` (local time without a zone) within so many seconds, at most ``most`` times; null for ``@reboot``."""
    sets = _sets(schedule)
    if sets is None:
        return None
    minutes, hours, days, months, weekdays, either = sets
    found: list[datetime.datetime] = []
    moment = now.replace(second=0, microsecond=0) + datetime.timedelta(minutes=1)
    end = now + datetime.timedelta(seconds=seconds)
    while moment <= end and len(found) < most:
        in_month, in_week = moment.day in days, moment.isoweekday() % 7 in weekdays
        if moment.month not in months or not (in_month or in_week if either else in_month and in_week):
            moment = moment.replace(hour=0, minute=0) + datetime.timedelta(days=1)
            continue
        if moment.hour not in hours:
            moment = moment.replace(minute=0) + datetime.timedelta(hours=1)
            continue
        if moment.minute in minutes:
            found.append(moment)
        moment += datetime.timedelta(minutes=1)
    return found


def starts(schedule: str, now: datetime.datetime, minutes_ahead: int = 1440) -> list[int]:
    """In how many whole minutes after the present one a job starts, within so many: by hours and minutes, so that each minute is not looked at."""
    sets = _sets(schedule)
    if sets is None:
        return []
    minutes, hours, days, months, weekdays, either = sets
    first = now.replace(second=0, microsecond=0)
    found: list[int] = []
    for day in range(minutes_ahead // 1440 + 2):
        midnight = first.replace(hour=0, minute=0) + datetime.timedelta(days=day)
        in_month, in_week = midnight.day in days, midnight.isoweekday() % 7 in weekdays
        if midnight.month in months and (in_month or in_week if either else in_month and in_week):
            before = int((midnight - first).total_seconds()) // 60
            found += [before + 60 * hour + minute for hour in sorted(hours) for minute in sorted(minutes) if 0 < before + 60 * hour + minute <= minutes_ahead]
    return found


class _Sets(t.NamedTuple):
    """When a job is due; either: a day of the month or one of the week is enough."""

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    either: bool


def _sets(schedule: str) -> _Sets | None:
    """Null for ``@reboot`` and for what is no schedule."""
    text = _EVERY.get(schedule, schedule)
    fields = text.split()
    sets = [_field(field, place) for place, field in enumerate(fields)] if len(fields) == len(_BOUNDS) and not text.startswith("@") else [None]
    if any(found is None for found in sets):
        return None
    minutes, hours, days, months, weekdays = (t.cast("frozenset[int]", found) for found in sets)
    # where both days are restricted, either is enough
    return _Sets(minutes, hours, days, months, weekdays, not fields[2].startswith("*") and not fields[4].startswith("*"))


def _field(text: str, place: int) -> frozenset[int] | None:
    """The values of one field of a schedule; null where it is none. Sunday is 0 and 7."""
    low, high = _BOUNDS[place]
    values: set[int] = set()
    for part in text.split(","):
        span, slash, step_text = part.partition("/")
        if slash and (not step_text.isdecimal() or len(step_text) > 4 or int(step_text) == 0):
            return None
        first, last = _span(span, place, bool(slash))
        if first is None or last is None or not low <= first <= high or not low <= last <= high or first > last:
            return None
        values.update(range(first, last + 1, int(step_text) if slash else 1))
    if place == 4 and 7 in values:
        values.add(0)
    return frozenset(values)


def _span(text: str, place: int, stepped: bool) -> tuple[int | None, int | None]:
    """Both ends of ``*``, ``N``, ``N-M``, ``N~M`` (anywhere between, of cronie); ``N/STEP`` goes on to the end."""
    low, high = _BOUNDS[place]
    if text == "*":
        return low, high
    first, separator, last = text.partition("~" if "~" in text else "-")
    one = _number(first, place)
    if not separator:
        return one, high if stepped else one
    return (low if not first and "~" in text else one), (high if not last and "~" in text else _number(last, place))


def _number(text: str, place: int) -> int | None:
    return int(text) if text.isdecimal() and len(text) <= 4 else _NAMES[place].get(text.lower()[:3] if text.isalpha() else text)
