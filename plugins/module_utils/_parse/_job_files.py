# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Jobs outside crontabs: a job file of ``at``, and the table of anacron.

Private to oncall.pressure: no stable interface. Pure: text in, plain data out. Sources: at 3.2.5 of Debian 12, anacron's readtab.c.
"""

from __future__ import annotations

import re
import typing as t

#: The queue of jobs that run now, and that of batch.
RUNNING: t.Final = "="
BATCH: t.Final = "b"

_NAME = re.compile(r"([=a-zA-Z])([0-9a-f]{5})([0-9a-f]{8})\Z")
# what at itself writes between the user's environment, which may hold secrets, and what is to be run
_ENTERED = re.compile(r"^cd .{1,4096} \|\| \{\n[^\n]*\n[^\n]*\n\}\n", re.MULTILINE)
# Red Hat's hands the commands to the user's shell
_SHELL = re.compile(r"\A\$\{SHELL:-/bin/sh\} << '(\w{1,64})'\n")

_PERIODS: t.Final = {"@daily": 86400.0, "@weekly": 604800.0, "@monthly": None, "@yearly": None, "@annually": None}
_ANACRON = re.compile(r"[ \t]*(\d{1,5}|@[a-z]{1,16})[ \t]+(\d{1,9})[ \t]+([^ \t/]{1,100})[ \t]+(\S.*)")
_STAMP = re.compile(r"(\d{4})(\d\d)(\d\d)\s*\Z")


class Spooled(t.NamedTuple):
    """What the name of a job file says: the queue's letter, the job's number, when it is due in seconds since the epoch."""

    queue: str
    number: int
    due_s: float


class Anacron(t.NamedTuple):
    """One job of an anacrontab. period_s: null for months and years; delay_s: how long it waits before it begins."""

    name: str
    schedule: str
    period_s: float | None
    delay_s: float
    command: str


def spooled(name: str) -> Spooled | None:
    """Null for a name that is no job's."""
    found = _NAME.match(name)
    return Spooled(found.group(1), int(found.group(2), 16), int(found.group(3), 16) * 60.0) if found is not None else None


def commands(text: str) -> list[str] | None:
    """The lines that a job file runs, without the environment before them; null where they cannot be told from it."""
    entered = _ENTERED.search(text)
    if entered is None:
        return None
    rest = text[entered.end():]
    shell = _SHELL.match(rest)
    if shell is not None:
        rest = rest[shell.end():].partition("\n" + shell.group(1))[0]
    return [line for line in rest.split("\n") if line.strip()]


def anacrontab(text: str) -> list[Anacron]:
    """The jobs of an anacrontab; comments, variables and what anacron would refuse are left out."""
    found = []
    for line in text.split("\n"):
        match = _ANACRON.match(line)
        if match is None or (match.group(1)[:1] == "@" and match.group(1) not in _PERIODS):
            continue
        schedule = match.group(1)
        period_s = _PERIODS[schedule] if schedule in _PERIODS else int(schedule) * 86400.0
        found.append(Anacron(match.group(3), schedule, period_s, int(match.group(2)) * 60.0, match.group(4).strip()))
    return found


def stamp(text: str) -> str | None:
    """The day that anacron noted for a job, as YYYY-MM-DD; null where it is none."""
    found = _STAMP.match(text)
    return "%s-%s-%s" % found.groups() if found is not None else None
