# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Plan the pausing of scheduled jobs: which ones, what runs of them now, what is due meanwhile.

Private to oncall.pressure: no stable interface. Looks only; what it plans is done by the engine. It never travels in an undo program.
"""

from __future__ import annotations

import datetime
import fnmatch
import re
import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._change import _systemctl
from ansible_collections.oncall.pressure.plugins.module_utils._change._engine import Plan
from ansible_collections.oncall.pressure.plugins.module_utils._change._kinds import Failed, Operation, Refused
from ansible_collections.oncall.pressure.plugins.module_utils._components import _cron_runs, _jobs
from ansible_collections.oncall.pressure.plugins.module_utils._components._crontabs import Entry, Tab, crontabs, entries_of
from ansible_collections.oncall.pressure.plugins.module_utils._controls import _crontab as _crontab_kind
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine
from ansible_collections.oncall.pressure.plugins.module_utils._host._text import clean
from ansible_collections.oncall.pressure.plugins.module_utils._parse import _crontab, _unit_file

MITIGATION: t.Final = "pause_jobs"

#: What keeps a timer from being started, by a boot too, for as long as the file is there.
DROP_IN: t.Final = "/etc/systemd/system/%s.d/zz-oncall-pressure.conf"

_UNIT = re.compile(r"[A-Za-z0-9:_.\\@-]+\.timer\Z")
_TIMER = ("Id", "Unit", "LoadState", "ActiveState", "FragmentPath", "Persistent", "NextElapseUSecRealtime", "NextElapseUSecMonotonic", "LastTriggerUSec")
_SERVICE = ("LoadState", "ActiveState", "SubState", "InactiveExitTimestampMonotonic")
#: Our own timers undo changes.
_OURS = "oncall-pressure-"
_COMMAND = 200
_MOST_DUE = 10000
_SHOWN = 40


class Wish(t.NamedTuple):
    """What is asked for. ``job``: ``PATH:LINE``, ``PATH`` (with ``match``), or a timer; ``essential``: patterns of what ``everything`` leaves alone."""

    job: str
    match: str
    everything: bool
    essential: t.Sequence[str]
    stop_running: bool
    wait_s: float
    lifetime_s: float


class _Chosen(t.NamedTuple):
    """One job to pause. since_s: of each of its runs; due: how often within the lifetime (null unknown); persistent: what it misses is done at its resuming."""

    id: str
    says: str
    since_s: list[float]
    due: int | None
    next_in_s: float | None
    operations: list[Operation]
    ends: list[Operation]
    persistent: bool = False


def plan(machine: Machine, wish: Wish) -> Plan:
    """Choose, look and plan. Raises Refused."""
    if wish.everything == bool(wish.job):
        raise Refused("say one job, or all")
    tabs, problems = crontabs(machine)
    left: list[str] = []
    if wish.everything:
        entries, timers = _all(machine, wish, tabs, left)
        label = "jobs"
    elif "/" in wish.job:
        entries, timers, label = _one_entry(wish, entries_of(tabs), problems), [], wish.job
    else:
        unit = wish.job if wish.job.endswith(".timer") else wish.job + ".timer"
        entries, timers, label = [], [_one_timer(machine, unit)], unit
    chosen = _entries(machine, wish, tabs, entries) + [_timer(machine, wish, shown) for shown in timers]
    operations = _merged([operation for job in chosen for operation in job.operations])
    if wish.stop_running:
        operations += [operation for job in chosen for operation in job.ends]
    ends = wish.stop_running and any(job.ends for job in chosen)
    return Plan(
        MITIGATION, clean(label, 200), operations, settle_s=1.0, notes=_notes(wish, chosen, left, problems, ends), reversible="partly" if ends else "fully",
    )


# what is meant


def _all(machine: Machine, wish: Wish, tabs: t.Sequence[Tab], left: list[str]) -> tuple[list[Entry], list[dict[str, str]]]:
    """Every job that is not essential; ``left`` is told of the others."""
    entries: list[Entry] = []
    for entry in entries_of(tabs):
        if entry.line.kind != "job":
            continue
        if entry.line.schedule == "@reboot" or is_essential(wish.essential, (entry.id, entry.line.command)):
            left.append(clean(entry.id, 200))
        else:
            entries.append(entry)
    timers: list[dict[str, str]] = []
    for row in _jobs.timers(machine)[0] or []:
        shown = _shown_timer(machine, row["id"])
        if shown.get("ActiveState") != "active":
            continue
        if row["id"].startswith(_OURS) or _unrestorable(shown) or is_essential(wish.essential, (row["id"], row["activates"] or "")):
            left.append(row["id"])
        else:
            timers.append(shown)
    return entries, timers


def is_essential(patterns: t.Iterable[str], texts: t.Iterable[str]) -> bool:
    """Whether any pattern (letters, ``*``, ``?``; upper and lower case are one) is found in any of the texts."""
    folded = [text.casefold() for text in texts]
    return any(fnmatch.fnmatchcase(text, "*%s*" % pattern.strip().casefold()) for pattern in patterns if pattern.strip() for text in folded)


def _one_entry(wish: Wish, entries: t.Sequence[Entry], problems: t.Sequence[str]) -> list[Entry]:
    path, dummy, number = wish.job.rpartition(":")
    if number.isdecimal() and path:
        found = [entry for entry in entries if entry.path == path and entry.line.number == int(number) and wish.match in entry.line.command]
    else:
        found = [entry for entry in entries if entry.path == wish.job and wish.match and wish.match in entry.line.command]
    if len(found) > 1:
        raise Refused("%d jobs of %s match: say which line (%s)" % (
            len(found), clean(wish.job, 200), ", ".join(clean(entry.id, 200) for entry in found[:10])))
    if not found:
        near = [clean(entry.id, 200) for entry in entries if entry.path in (path, wish.job)][:10]
        raise Refused("there is no such job: %s%s%s" % (
            clean(wish.job, 200), "; that file has %s" % ", ".join(near) if near else "", "; " + "; ".join(problems) if problems else ""))
    if found[0].line.schedule == "@reboot":
        raise Refused("%s runs at a boot only: pausing it would only keep it from starting after one" % clean(found[0].id, 200))
    return found


def _one_timer(machine: Machine, unit: str) -> dict[str, str]:
    if not _UNIT.match(unit) or unit.startswith("-"):
        raise Refused("%s is no job: say PATH:LINE of a crontab, or NAME.timer" % clean(unit, 200))
    if not _systemctl.present(machine):
        raise Refused("systemd does not run this host: it has no timers")
    if unit.startswith(_OURS):
        raise Refused("%s undoes a change of this host" % clean(unit, 200))
    shown = _shown_timer(machine, unit)
    if shown["LoadState"] == "masked":
        raise Refused("%s is masked: it does not run" % unit)
    if shown["LoadState"] != "loaded":
        raise Refused("systemd has no timer %s (%s)" % (unit, clean(shown["LoadState"], 50)))
    if _unrestorable(shown):
        raise Refused("%s was made at run time and would be gone once it is stopped: whoever made it must stop it" % unit)
    return shown


def _shown_timer(machine: Machine, unit: str) -> dict[str, str]:
    try:
        return _systemctl.show(machine, unit, _TIMER, {"TZ": "UTC"})
    except Failed as problem:
        raise Refused(str(problem)) from problem


def _unrestorable(shown: t.Mapping[str, str]) -> bool:
    """A transient unit is forgotten when it stops."""
    return shown["FragmentPath"].startswith("/run/systemd/transient/") or not shown["FragmentPath"]


# what is to be done with it


def _entries(machine: Machine, wish: Wish, tabs: t.Sequence[Tab], entries: t.Sequence[Entry]) -> list[_Chosen]:
    given, dummy = _cron_runs.assign(machine, entries_of(tabs), _cron_runs.look(machine, 0.0) or []) if entries else ({}, [])
    by_path = {tab.path: tab for tab in tabs}
    now = datetime.datetime.fromtimestamp(machine.now())
    found: list[_Chosen] = []
    for entry in entries:
        tab, line = by_path[entry.path], entry.line
        raw = _crontab.lines_of(tab.data, {line.number})[0]
        operation: Operation = {"kind": "crontab", "path": entry.path, "system": tab.system, "lines": [_crontab_kind.digest(raw)]}
        runs = given.get(entry.id, [])
        due = _crontab.next_runs(line.schedule, now, wish.lifetime_s, _MOST_DUE) or []
        found.append(_Chosen(
            entry.id, "%s (%s, %s)%s: %s" % (
                clean(entry.id, 200), clean(line.schedule, 100), clean(entry.user or "", 64), ", paused already" if line.kind == "paused" else "",
                clean(line.command, _COMMAND)),
            [run.age_s for run in runs], len(due), round((due[0] - now).total_seconds(), 1) if due else None,
            [operation] if line.kind == "job" else [],
            [{"kind": "job_run", "job": clean(entry.id, 200), "processes": sorted([list(one) for run in runs for one in run.pids]), "wait_s": wish.wait_s}]
            if runs else [],
        ))
    return found


def _timer(machine: Machine, wish: Wish, shown: t.Mapping[str, str]) -> _Chosen:
    unit, starts = shown["Id"], shown["Unit"]
    uptime_s = machine.uptime_s()
    row = _jobs.timer(shown, machine.now(), uptime_s)
    try:
        service = _systemctl.show(machine, starts, _SERVICE) if starts else {}
    except Failed:
        service = {}
    runs = service.get("ActiveState") in ("active", "activating", "reloading") and service.get("SubState") != "exited"
    began = _unit_file.number(service.get("InactiveExitTimestampMonotonic")) or 0
    since = [max(uptime_s - began / 1e6, 0.0)] if runs else []
    operations: list[Operation] = []
    if shown["ActiveState"] == "active":
        path = DROP_IN % unit
        # the state first: what is undone last is its start, when the file no longer forbids it
        operations = [
            {"kind": "unit_state", "unit": unit, "verb": "stop"},
            {"kind": "file", "path": path, "content": drop_in(path), "mode": "0644", "then": ["daemon-reload"]},
        ]
    next_in_s = row["next_in_s"]
    return _Chosen(
        unit, "%s (starts %s)%s" % (clean(unit, 200), clean(starts, 200), "" if operations else ", does not wait: it is %s" % clean(shown["ActiveState"], 50)),
        since, (0 if next_in_s > wish.lifetime_s else None) if next_in_s is not None else None, next_in_s, operations,
        [{"kind": "job_run", "job": unit, "runs": starts, "wait_s": wish.wait_s}] if runs and operations else [], shown["Persistent"] == "yes",
    )


def drop_in(path: str) -> str:
    """The file that forbids a timer's start by being there: it is its own condition, so that it forbids nothing once it is removed."""
    note = "# Written by oncall.pressure. The timer is paused as long as this file is here; the host removes it by itself.\n"
    return note + "[Unit]\nConditionPathExists=!%s\n" % path


def _merged(operations: t.Sequence[Operation]) -> list[Operation]:
    """One operation for each crontab."""
    found: list[Operation] = []
    tabs: dict[str, Operation] = {}
    for operation in operations:
        known = tabs.get(operation["path"]) if operation["kind"] == "crontab" else None
        if known is not None:
            known["lines"] = sorted(set(known["lines"] + operation["lines"]))
            continue
        found.append(operation)
        if operation["kind"] == "crontab":
            tabs[operation["path"]] = operation
    return found


# what is said


def _notes(wish: Wish, chosen: t.Sequence[_Chosen], left: t.Sequence[str], problems: t.Sequence[str], ends: bool) -> dict[str, t.Any]:
    lines: list[str] = []
    for job in chosen[:_SHOWN]:
        lines.append("pauses " + job.says if job.operations else job.says)
        lines += ["  " + line for line in _said(wish, job)]
    if len(chosen) > _SHOWN:
        lines.append("and %d more" % (len(chosen) - _SHOWN))
    if not chosen:
        lines.append("no job is to be paused")
    if left:
        lines.append("left alone as essential: %s%s" % (", ".join(left[:_SHOWN]), " and %d more" % (len(left) - _SHOWN) if len(left) > _SHOWN else ""))
    lines += ["not looked at: %s" % problem for problem in problems]
    rows = [{
        "job": clean(job.id, 200), "running_since_s": [round(age, 1) for age in job.since_s], "due": job.due, "next_in_s": job.next_in_s,
        "catches_up": job.persistent,
    } for job in chosen]
    return {"jobs": rows, "left": list(left), "lifetime_s": wish.lifetime_s, "ends_runs": ends, "summary": lines}


def _said(wish: Wish, job: _Chosen) -> list[str]:
    lines = []
    if job.since_s:
        lines.append("runs now%s, since %s%s: %s" % (
            " %d times" % len(job.since_s) if len(job.since_s) > 1 else "", ", ".join("%d s" % age for age in job.since_s[:10]),
            " and more" if len(job.since_s) > 10 else "",
            "ended, and what it had done is lost" if wish.stop_running and job.ends else "left to finish"))
    else:
        lines.append("does not run now")
    if job.due == 0:
        lines.append("not due within %g s" % wish.lifetime_s)
    elif job.due is not None:
        lines.append("due %d times within %g s, next in %g s; these are not made up for" % (job.due, wish.lifetime_s, job.next_in_s or 0))
    elif job.next_in_s is not None:
        lines.append("due in %g s, within %g s" % (job.next_in_s, wish.lifetime_s))
    if job.persistent:
        lines.append("what it misses is made up for at once when it is resumed (Persistent=yes)")
    return lines
