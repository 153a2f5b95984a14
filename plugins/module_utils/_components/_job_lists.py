# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Jobs that stand in no crontab line of their own: what run-parts would run, the queue of at and batch, anacron; and jobs that start together.

Private to oncall.pressure: no stable interface. Read-only: nothing is changed by it but the time of a file's last reading.
"""

from __future__ import annotations

import datetime
import re
import stat
import time
import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._components._crontabs import Entry
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine
from ansible_collections.oncall.pressure.plugins.module_utils._host._text import clean
from ansible_collections.oncall.pressure.plugins.module_utils._parse import _cron_command, _crontab, _job_files

#: Job files of at: of Debian, of Red Hat, of SUSE.
_AT: t.Final = ("/var/spool/cron/atjobs", "/var/spool/at", "/var/spool/atjobs")
_AT_JOBS = 50
_AT_NAMES = 5000
_AT_BYTES = 65536
#: Of what a job of at runs so many last lines are shown.
_AT_LINES = 3

_ANACRON_JOBS = 50

_FOLDERS = 20
_NAMES = 500
_SCRIPTS = 50
_LEFT_OUT = 20
_COMMAND = 200

#: What run-parts of Debian (and BusyBox) runs without being told otherwise; Red Hat's own, a script, leaves out what ends like this.
_DEBIAN = re.compile(r"[A-Za-z0-9_-]+\Z")
_RED_HAT_ENDS = ("~", ",", ".rpmsave", ".rpmorig", ".rpmnew", ".swp", ".cfsaved", ",v")
_OTHER_RULE = ("--regex", "--lsbsysinit")

#: So many jobs in one minute are worth a line, and so many such minutes are shown.
_TOGETHER = 3
_MINUTES = 5
_JOBS_SHOWN = 12


def anacron(machine: Machine, problems: list[str]) -> list[dict[str, t.Any]] | None:
    """The jobs of anacron with the day of their last run; null where there is no anacrontab."""
    text = _text(machine, "/etc/anacrontab", 65536, problems)
    if text is None:
        return None
    return [_anacron_row(machine, job) for job in _job_files.anacrontab(text)[:_ANACRON_JOBS]]


def _anacron_row(machine: Machine, job: _job_files.Anacron) -> dict[str, t.Any]:
    path = "/var/spool/anacron/" + job.name
    day = _job_files.stamp(machine.text_or_none(path, 32) or "") if not job.name.startswith(".") else None
    try:
        # what is noted is the day; the file was written when the job was over
        age_s: float | None = round(max(machine.now() - machine.stat(path).st_mtime, 0.0), 1) if day is not None else None
    except OSError:
        age_s = None
    return {
        "id": clean(job.name, 100), "schedule": job.schedule, "period_s": job.period_s, "delay_s": job.delay_s, "command": clean(job.command, _COMMAND),
        "last_on": day, "last_age_s": age_s,
    }


def _text(machine: Machine, path: str, limit: int, problems: list[str]) -> str | None:
    try:
        return machine.text(path, limit) if stat.S_ISREG(machine.stat(path).st_mode) else None
    except FileNotFoundError:
        return None
    except OSError as problem:
        problems.append("%s may not be read (%s)" % (path, problem.strerror))
        return None


# at


def at_jobs(machine: Machine, problems: list[str]) -> list[dict[str, t.Any]] | None:
    """The queue of at and batch, those that run first, then the next; null where there is no such spool, or it may not be read."""
    for spool in _AT:
        try:
            names = machine.names(spool)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as problem:
            problems.append("%s may not be read (%s): jobs of at are not known" % (spool, problem.strerror))
            return None
        found = [(name, job) for name, job in ((name, _job_files.spooled(name)) for name in names[:_AT_NAMES]) if job is not None]
        found.sort(key=lambda row: (row[1].queue != _job_files.RUNNING, row[1].due_s, row[0]))
        if len(found) > _AT_JOBS:
            problems.append("only %d of %d jobs of at are shown" % (_AT_JOBS, len(found)))
        users = _users(machine) if found else {}
        return [row for row in (_at_row(machine, "%s/%s" % (spool, name), job, users) for name, job in found[:_AT_JOBS]) if row is not None]
    return None


def _at_row(machine: Machine, path: str, job: _job_files.Spooled, users: t.Mapping[int, str]) -> dict[str, t.Any] | None:
    try:
        facts = machine.lstat(path)
        if not stat.S_ISREG(facts.st_mode):
            return None
        lines = _job_files.commands(machine.text(path, _AT_BYTES)) if facts.st_size <= _AT_BYTES else None
    except FileNotFoundError:
        # it was started, or removed, meanwhile
        return None
    except OSError:
        lines = None
    return {
        "id": str(job.number), "queue": job.queue, "batch": job.queue == _job_files.BATCH, "user": clean(users.get(facts.st_uid, str(facts.st_uid)), 64),
        "due_in_s": round(job.due_s - machine.now(), 1), "running": job.queue == _job_files.RUNNING,
        "command": None if lines is None else clean("; ".join(line.strip() for line in lines[-_AT_LINES:]), _COMMAND),
    }


def _users(machine: Machine) -> dict[int, str]:
    """Names of the users that this host itself knows, by number."""
    found: dict[int, str] = {}
    for line in (machine.text_or_none("/etc/passwd", 1048576) or "").split("\n"):
        fields = line.split(":")
        if len(fields) > 3 and fields[2].isdecimal() and len(fields[2]) <= 10:
            found.setdefault(int(fields[2]), fields[0])
    return found


# run-parts


def run_parts(
    machine: Machine, entries: t.Sequence[Entry], anacron_jobs: t.Sequence[t.Mapping[str, t.Any]], problems: list[str]
) -> list[dict[str, t.Any]]:
    """Each folder that a system's crontab or anacron gives to run-parts, with what it would run of it and what it would not.

    Users' own crontabs are left out: what they name may be any folder.
    """
    named: dict[str, list[str]] = {}
    odd: set[str] = set()
    told = [(entry.id, entry.line.command) for entry in entries if entry.path.startswith("/etc/") and entry.line.kind == "job"]
    for identity, command in told + [("anacron:" + job["id"], job["command"]) for job in anacron_jobs]:
        # to take a command apart costs more than all the rest
        for words in _cron_command.commands(_cron_command.script(command)) if "run-parts" in command else []:
            place = next((place for place, word in enumerate(words) if word.rpartition("/")[2] == "run-parts"), None)
            folder = words[-1] if place is not None and len(words) > place + 1 else ""
            if place is not None and folder.startswith("/") and len(named) < _FOLDERS:
                named.setdefault(folder, []).append(clean(identity, 200))
                if any(word.startswith(_OTHER_RULE) for word in words[place:]):
                    odd.add(folder)
    red_hat = any(_is_script(machine, path) for path in ("/usr/bin/run-parts", "/bin/run-parts"))
    return [_folder(machine, folder, by, red_hat, folder in odd, problems) for folder, by in sorted(named.items())]


def _is_script(machine: Machine, path: str) -> bool:
    try:
        return machine.peek(path, 2) == b"#!"
    except OSError:
        return False


def _folder(machine: Machine, folder: str, by: list[str], red_hat: bool, odd: bool, problems: list[str]) -> dict[str, t.Any]:
    row: dict[str, t.Any] = {"folder": clean(folder, 200), "by": by, "scripts": None, "left_out": []}
    if odd:
        # it is told which names to run, by rules of its own
        return row
    try:
        names = sorted(machine.names(folder))[:_NAMES]
    except FileNotFoundError:
        return dict(row, scripts=[])
    except OSError as problem:
        problems.append("%s may not be read (%s)" % (row["folder"], problem.strerror))
        return row
    denied = (machine.text_or_none(folder + "/jobs.deny", 65536) or "").split("\n") if red_hat else []
    scripts, left_out = [], []
    for name in names:
        why = "jobs.deny" if name in denied else _why_not(machine, folder, name, red_hat)
        if why is None:
            scripts.append(clean(name, 100))
        elif why != "hidden":
            left_out.append({"name": clean(name, 100), "why": why})
    return dict(row, scripts=scripts[:_SCRIPTS], left_out=left_out[:_LEFT_OUT])


def _why_not(machine: Machine, folder: str, name: str, red_hat: bool) -> str | None:
    """Why run-parts would not run something; null where it would."""
    if name.startswith("."):
        return "hidden"
    if name.endswith(_RED_HAT_ENDS) if red_hat else not _DEBIAN.match(name):
        return "its name"
    try:
        mode = machine.stat("%s/%s" % (folder, name)).st_mode
    except OSError:
        return "cannot be looked at"
    if stat.S_ISDIR(mode) or not stat.S_ISREG(mode):
        return "no file"
    return None if mode & 0o111 else "not executable"


# together


def same_minute(
    now: float, entries: t.Sequence[Entry], timers: t.Sequence[t.Mapping[str, t.Any]], at_rows: t.Sequence[t.Mapping[str, t.Any]]
) -> list[dict[str, t.Any]]:
    """The minutes of the next day in which at least three jobs start, each set of jobs once, the largest first."""
    local = datetime.datetime.fromtimestamp(now)
    minutes: dict[int, list[str]] = {}
    for entry in entries:
        if entry.line.kind == "job":
            for minute in _crontab.starts(entry.line.schedule, local):
                minutes.setdefault(minute, []).append(entry.id)
    single = [(row["id"], row["next_in_s"]) for row in timers] + [("at:" + row["id"], row["due_in_s"]) for row in at_rows]
    for identity, seconds in single:
        if seconds is not None and 0 < seconds <= 86400:
            minutes.setdefault(int((now % 60 + seconds) // 60), []).append(identity)
    sets: dict[tuple[str, ...], list[int]] = {}
    for minute, jobs in minutes.items():
        if len(jobs) >= _TOGETHER:
            sets.setdefault(tuple(jobs), []).append(minute)
    ordered = sorted(sets.items(), key=lambda row: (-len(row[0]), min(row[1])))[:_MINUTES]
    begun = now - now % 60
    return [{
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(begun + 60 * min(found))), "in_s": round(begun + 60 * min(found) - now, 1),
        "times": len(found), "count": len(jobs), "jobs": [clean(job, 200) for job in jobs[:_JOBS_SHOWN]],
    } for jobs, found in ordered]
