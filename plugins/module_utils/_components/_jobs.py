# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Scheduled jobs: entries of crontabs, timers of systemd, which of them run now, how often at once, what they use, when they are due, how long
they usually take, which start together; and what run-parts, at and anacron run.

Private to oncall.pressure: no stable interface. Read-only. Runs are the children of cron's own forks, matched to entries by their command
and user; a job that left its parent (a daemon) is no run any more.
"""

from __future__ import annotations

import datetime
import re
import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._components import _cron_runs, _job_lists, _job_times
from ansible_collections.oncall.pressure.plugins.module_utils._components._crontabs import Entry, crontabs, entries_of
from ansible_collections.oncall.pressure.plugins.module_utils._host._collect import Options, Reading, absent, denied, ok, partial
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import OUTPUT_LIMIT, Machine
from ansible_collections.oncall.pressure.plugins.module_utils._host._text import clean, decode
from ansible_collections.oncall.pressure.plugins.module_utils._parse import _crontab, _unit_file

SHOW: t.Final = (
    "systemctl", "show", "--no-pager", "--property=Id,Unit,LoadState,ActiveState,NextElapseUSecRealtime,NextElapseUSecMonotonic,LastTriggerUSec", "*.timer",
)
_TIME_LIMIT_S = 4.0

_ENTRIES = 200
_TIMERS = 100
_COMMAND = 200
#: How far ahead a job is looked for, in seconds.
_YEAR_S = 366 * 86400.0


def collect(machine: Machine, options: Options) -> Reading:
    """``jobs`` as docs/architecture.md says."""
    tabs, problems = crontabs(machine)
    entries = entries_of(tabs)
    waiting, problem = timers(machine)
    runs = _cron_runs.look(machine, options.window_s, options.own_pids)
    if problem is not None:
        problems.append(problem)
    anacron = _job_lists.anacron(machine, problems)
    spooled = _job_lists.at_jobs(machine, problems)
    if not tabs and waiting is None and runs is None and anacron is None and not spooled:
        return denied("; ".join(problems)) if problems else absent("neither crontabs nor timers of systemd are here, and no jobs of at or anacron")
    if len(entries) > _ENTRIES:
        problems.append("only %d of %d entries are shown" % (_ENTRIES, len(entries)))
    # where systemd does not answer, it is not asked again
    times = _job_times.look(machine, entries, [row["activates"] for row in waiting or [] if row["activates"]])
    data = dict(
        rows(machine, entries, runs or [], times.entries), timers=waiting if waiting is None else [
            dict(row, **_job_times.figures(times.units.get(row["activates"]))) for row in waiting],
        run_parts=_job_lists.run_parts(machine, entries, anacron or [], problems), at=spooled, anacron=anacron,
        same_minute=_job_lists.same_minute(machine.now(), entries[:_ENTRIES], waiting or [], spooled or []),
    )
    return partial(data, "; ".join(problems)) if problems else ok(data)


def rows(
    machine: Machine, entries: t.Sequence[Entry], runs: t.Sequence[_cron_runs.Run], times: t.Mapping[str, t.Sequence[float]]
) -> dict[str, t.Any]:
    """``cron`` and ``unmatched``: every entry with its runs, those that run first where there are too many."""
    given, unmatched = _cron_runs.assign(machine, entries, runs)
    now = datetime.datetime.fromtimestamp(machine.now())
    found = [dict(_row(entry, given.get(entry.id, []), now), **_job_times.figures(times.get(entry.id))) for entry in entries]
    found.sort(key=lambda row: not row["running"])
    return {"cron": found[:_ENTRIES], "unmatched": [dict(run.row(), command=run.command(_COMMAND)) for run in unmatched[:_cron_runs.SHOWN]]}


def _row(entry: Entry, runs: t.Sequence[_cron_runs.Run], now: datetime.datetime) -> dict[str, t.Any]:
    due, period_s = next_due(entry.line.schedule, now)
    used = [run.cpu for run in runs if run.cpu is not None]
    waited = [run.cpu_wait for run in runs if run.cpu_wait is not None]
    return {
        "id": clean(entry.id, 200), "path": clean(entry.path, 200), "line": entry.line.number, "user": clean(entry.user or "", 64) or None,
        "schedule": clean(entry.line.schedule, 100), "command": clean(entry.line.command, _COMMAND), "paused": entry.line.kind == "paused",
        "due_in_s": due, "period_s": period_s, "running": [run.row() for run in runs[:_cron_runs.SHOWN]], "overlap": len(runs),
        "cpu": round(sum(used), 3) if used else None, "cpu_wait": round(sum(waited), 3) if waited else None,
        "rss_bytes": sum(run.rss_bytes for run in runs) if runs else None,
    }


def next_due(schedule: str, now: datetime.datetime) -> tuple[float | None, float | None]:
    """In how many seconds a job is due, and how many lie between that and the time after it; null for what is not due within a year."""
    found = _crontab.next_runs(schedule, now, _YEAR_S, 2) or []
    due = round((found[0] - now).total_seconds(), 1) if found else None
    return due, (found[1] - found[0]).total_seconds() if len(found) > 1 else None


def timers(machine: Machine) -> tuple[list[dict[str, t.Any]] | None, str | None]:
    """Timers that wait or run; null without systemd; and what could not be asked. Whether what they start runs is filled in by the parent."""
    if not machine.exists("/run/systemd/system"):
        return None, None
    try:
        # times of day are printed in the zone of who asks
        outcome = machine.run(SHOW, _TIME_LIMIT_S, environment={"TZ": "UTC"})
    except FileNotFoundError:
        return None, "there is no systemctl: timers are not known"
    if outcome.timed_out:
        return None, "systemctl did not answer within %g s" % _TIME_LIMIT_S
    out = decode(outcome.out)
    answer = _unit_file.shown(out)
    problem = _unit_file.trouble(outcome.status, out, decode(outcome.err), answer, len(outcome.out) + len(outcome.err) >= OUTPUT_LIMIT)
    if problem is not None:
        return None, problem
    now, uptime_s = machine.now(), machine.uptime_s()
    found = [timer(shown, now, uptime_s) for shown in answer
             if shown.get("LoadState") == "loaded" and shown.get("ActiveState") == "active"]
    problem = "only %d of %d timers are shown" % (_TIMERS, len(found)) if len(found) > _TIMERS else None
    return sorted(found, key=lambda row: (row["next_in_s"] is None, row["next_in_s"], row["id"]))[:_TIMERS], problem


def timer(shown: t.Mapping[str, str], now: float, uptime_s: float) -> dict[str, t.Any]:
    """One timer as systemd shows it (in UTC)."""
    at = _epoch_s(shown.get("NextElapseUSecRealtime", ""))
    after = _unit_file.seconds(shown.get("NextElapseUSecMonotonic", ""))
    waits = [seconds for seconds in (at - now if at is not None else None, after - uptime_s if after else None) if seconds is not None]
    last = _epoch_s(shown.get("LastTriggerUSec", ""))
    return {
        "id": clean(shown.get("Id", ""), 200), "activates": clean(shown.get("Unit", ""), 200) or None,
        "next_in_s": round(max(min(waits), 0.0), 1) if waits else None, "last_age_s": round(max(now - last, 0.0), 1) if last is not None else None,
        "running": None, "since_s": None,
    }


def _epoch_s(text: str) -> float | None:
    """``Sat 2026-11-21 11:33:33 UTC`` as seconds since the epoch; null for none."""
    found = re.search(r"(\d{4})-(\d\d)-(\d\d) (\d\d):(\d\d):(\d\d) UTC", text)
    if found is None:
        return None
    year, month, day, hour, minute, second = map(int, found.groups())
    try:
        moment = datetime.datetime(year, month, day, hour, minute, second, tzinfo=datetime.timezone.utc)
    except ValueError:
        return None
    return moment.timestamp()
