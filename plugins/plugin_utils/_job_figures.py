# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What rules look at in scheduled jobs: runs of one at once, what they use, how long they take; which began in one minute; and which job a busy
service is.

Private to oncall.pressure: no stable interface. Every figure is null where something it is made of was not measured.
"""

from __future__ import annotations

import time
import typing as t

from ansible_collections.oncall.pressure.plugins.plugin_utils._needs import failed
from ansible_collections.oncall.pressure.plugins.plugin_utils._values import known, num, ratio, rows, text

#: A timer may also start a daemon, late after a boot: what has run for longer than this is no job of it.
_LONGEST_S = 86400.0


def job_figures(job: t.Mapping[str, t.Any], snapshot: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """The figures under ``derived`` of a job: the age of its oldest run, that in periods of the job, its shares of the host."""
    ages = known(*(num(run, "age_s") for run in rows(job, "running")))
    oldest = max(ages, default=None)
    used = num(job, "cpu")
    share = ratio(used, num(snapshot, "host", "cpu", "usable"))
    return {
        "oldest_s": oldest,
        "periods": ratio(oldest, num(job, "period_s")),
        "usual_periods": ratio(num(job, "usual_s"), num(job, "period_s")),
        "cpu_share": None if share is None else min(share, 1.0),
        # what its runs use and would use besides, had there been processors free
        "wants_share": ratio(None if used is None else used + (num(job, "cpu_wait") or 0.0), num(snapshot, "host", "cpu", "usable")),
        "memory_share": ratio(num(job, "rss_bytes"), num(snapshot, "host", "memory", "limit_bytes")),
    }


def together_figures(snapshot: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Under ``derived.jobs`` of a host: the jobs that run now and began in one minute, the minute with the most of them.

    count, names, began_at, share and wants_share of the host's processors, largest_part: what the one that uses the most uses of what all do;
    and the minute of the next day in which the most jobs start: next_at, next_count, next_times.
    """
    measured = isinstance(snapshot.get("jobs"), dict) or text(snapshot, "collectors", "jobs", "status") in ("ok", "absent")
    epoch = num(snapshot, "taken", "epoch_s")
    coming = next(iter(rows(snapshot, "jobs", "same_minute")), None)
    figures: dict[str, t.Any] = {
        "count": 0 if measured else None, "names": None, "began_at": None, "share": None, "wants_share": None, "largest_part": None,
        "next_at": text(coming, "at"), "next_count": num(coming, "count"), "next_times": num(coming, "times"),
    }
    minutes: dict[int, list[tuple[str | None, float | None, float]]] = {}
    for job in rows(snapshot, "jobs", "cron"):
        ages = known(*(num(run, "age_s") for run in rows(job, "running")))
        if ages and epoch is not None:
            minutes.setdefault(int((epoch - min(ages)) // 60), []).append((text(job, "id"), num(job, "cpu"), num(job, "cpu_wait") or 0.0))
    used_by = {text(row, "id"): num(row, "cpu", "used") for row in rows(snapshot, "services")}
    for timer in rows(snapshot, "jobs", "timers"):
        since = num(timer, "since_s")
        if timer.get("running") is True and since is not None and since <= _LONGEST_S and epoch is not None:
            minutes.setdefault(int((epoch - since) // 60), []).append((text(timer, "id"), used_by.get(text(timer, "activates")), 0.0))
    if not minutes:
        return figures
    minute, most = max(minutes.items(), key=lambda row: (len(row[1]), sum(cpu or 0.0 for dummy, cpu, wait in row[1])))
    usable = num(snapshot, "host", "cpu", "usable")
    used = known(*(cpu for dummy, cpu, wait in most))
    whole = sum(used) if len(used) == len(most) else None
    figures.update(
        count=len(most), names=[name for name, cpu, wait in most if name][:6], began_at=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(minute * 60)),
        share=ratio(whole, usable), wants_share=ratio(None if whole is None else whole + sum(wait for dummy, cpu, wait in most), usable),
        largest_part=ratio(max(used), whole) if used and whole else None if whole is None else 0.0,
    )
    return figures


def job_of(service: t.Mapping[str, t.Any], snapshot: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """``id``: the job whose pausing would help a service: the timer that started it, or the entry of cron that uses most of it.

    ``timer``: that timer alone; ``runs``: of the entry. Null where there is none. ``by_timer``: whether a timer started it, null where that is not known.
    """
    lost = failed(snapshot)
    by_timer: bool | None = None if "jobs" in lost and snapshot.get("jobs") is None else False
    for timer in rows(snapshot, "jobs", "timers"):
        since = num(timer, "since_s")
        if timer.get("activates") != service.get("id"):
            continue
        if timer.get("running") is True and since is not None and since <= _LONGEST_S:
            return {"id": text(timer, "id"), "timer": text(timer, "id"), "by_timer": True, "runs": 1}
        if timer.get("running") is None and "units" in lost:
            by_timer = None
    busiest = max(rows(snapshot, "jobs", "cron"), key=lambda row: num(row, "cpu") or 0.0, default=None) if service.get("component") == "cron" else None
    used, all_used = num(busiest, "cpu"), num(service, "cpu", "used")
    # where several share it, pausing one is no answer
    if busiest is None or not used or (all_used is not None and used < all_used / 2) or busiest.get("paused"):
        return {"id": None, "timer": None, "by_timer": by_timer, "runs": None}
    return {"id": text(busiest, "id"), "timer": None, "by_timer": by_timer, "runs": num(busiest, "overlap")}
