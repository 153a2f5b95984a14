# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What rules look at in logs: signals of a service over all logs that it writes, how much it logs, its tasks that are retried.

Private to oncall.pressure: no stable interface. Every figure is null where something it is made of was not measured.
"""

from __future__ import annotations

import datetime
import typing as t

from ansible_collections.oncall.pressure.plugins.plugin_utils._values import at, known, num, rows, text

#: The signals that rules ask for: one that no log told was told no times, where logs were read at all.
_ASKED = ("gunicorn_worker_timeout", "nginx_upstream_timeout", "celery_task_retry", "rq_job_retry", "outbound_retry", "too_many_open_files", "disk_full",
          "nginx_upstream_refused", "nginx_no_live_upstreams", "nginx_worker_connections", "celery_soft_time_limit", "celery_hard_time_limit", "rq_job_timeout",
          "memory_error", "cannot_allocate_memory")

#: A rate for each minute is of a minute at least: what happened at once is no storm yet.
_LEAST_S: t.Final = 60.0

#: What a dependency in trouble looks like from this side.
_OUTSIDE = ("dependency_refused", "dependency_timeout", "dns_failure", "ssl_error", "outbound_429", "outbound_503", "celery_broker_lost")


def log_figures(snapshot: t.Mapping[str, t.Any], identity: str | None) -> dict[str, t.Any]:
    """The figures under ``derived.logs`` of a service.

    ``told``: whether what it logs was read (true, with no lines where it said nothing; false where it writes no log that there is to read;
    null where logs could not be read); signals: by id ``{count, per_min, last_at, about, sample}``.
    """
    mine = [row for row in rows(snapshot, "logs", "services") if identity is not None and row.get("service") == identity]
    status = text(snapshot, "collectors", "logs", "status")
    told: bool | None = True if mine or at(snapshot, "logs", "journal") is True else (False if status in ("ok", "absent", "partial") else None)
    lines = known(*(num(row, "lines_per_s") for row in mine))
    loud = max(mine, key=lambda row: num(row, "lines_per_s") or 0.0, default=None)
    templates = [row for source in mine for row in rows(source, "templates")]
    tasks = [row for source in mine for row in rows(source, "tasks")]
    retried = max(tasks, key=lambda row: num(row, "retried") or 0.0, default=None)
    ran = [(num(row, "mean_s") or 0.0) * (num(row, "succeeded") or 0.0) for row in tasks]
    longest = max(zip(ran, range(len(ran))), default=(0.0, 0))
    covered = known(*(num(row, "covered_s") for row in mine))
    outside = [signal for source in mine for signal in rows(source, "signals") if signal.get("id") in _OUTSIDE]
    first = max(outside, key=lambda signal: num(signal, "count") or 0.0, default=None)
    signals = _signals(mine, told, num(snapshot, "taken", "epoch_s"))
    # whichever program's it is
    retry = max((signals["celery_task_retry"], signals["rq_job_retry"]), key=lambda row: row["count"] or 0.0)
    begun = sum(known(*(num(row, "received") for row in tasks))) if tasks else None
    return {
        "told": told,
        "covered_s": min(covered) if covered else None,
        "lines_per_s": sum(lines) if lines else (0.0 if told else None),
        "bytes_per_s": sum(known(*(num(row, "bytes_per_s") for row in mine))) if lines else None,
        "loudest": text(loud, "source"),
        "debug_share": num(loud, "debug_share"),
        "template": text(max(templates, key=lambda row: num(row, "count") or 0.0, default=None), "template"),
        "retried_task": text(retried, "name") if num(retried, "retried") else None,
        "retried_per_min": max(known(num(retried, "retried_per_min"), _begun_lately(retried, retry)), default=None)
        if num(retried, "retried") else None,
        # the task with most of the run time of all that ended
        "longest_task": text(tasks[longest[1]], "name") if longest[0] > 0 else None,
        "longest_task_share": longest[0] / sum(ran) if longest[0] > 0 else None,
        "longest_task_mean_s": num(tasks[longest[1]], "mean_s") if longest[0] > 0 else None,
        "outside": sum(known(*(num(signal, "count") for signal in outside))) if told else None,
        "outside_sample": text(first, "sample"),
        "outside_about": text(first, "about"),
        "signals": signals,
        "retry": retry,
        "begun": begun,
        # a retry is received anew
        "retried_share": None if retry["count"] is None or not begun else min(retry["count"] / begun, 1.0),
    }


def _begun_lately(task: t.Mapping[str, t.Any] | None, retry: t.Mapping[str, t.Any]) -> float | None:
    """What the one task that is retried most is retried each minute, from the first retry of all on."""
    retried = num(task, "retried")
    return None if not retry["count"] or retried is None or retry["per_min"] is None else round(retried / retry["count"] * retry["per_min"], 1)


def _per_min(signal: t.Mapping[str, t.Any], now: float | None) -> float | None:
    """How often for each minute from its first time on, of a minute at least: over all that was read, what began lately would be next to nothing."""
    per_s, count, first = num(signal, "per_s"), num(signal, "count"), _epoch(text(signal, "first_at"))
    if per_s is None or count is None:
        return None
    since = None if first is None or now is None else max(now - first, _LEAST_S)
    return round(max(per_s * 60.0, 0.0 if since is None else count / since * 60.0), 1)


def _epoch(stamp: str | None) -> float | None:
    try:
        return datetime.datetime.strptime(stamp or "", "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=datetime.timezone.utc).timestamp()
    except ValueError:
        return None


def _signals(mine: t.Sequence[dict[str, t.Any]], told: bool | None, now: float | None) -> dict[str, dict[str, t.Any]]:
    none = {"count": 0 if told else None, "per_min": 0.0 if told else None, "last_at": None, "about": None, "sample": None}
    found: dict[str, dict[str, t.Any]] = {name: dict(none) for name in _ASKED}
    for signal in [signal for source in mine for signal in rows(source, "signals")]:
        name = text(signal, "id")
        count = num(signal, "count")
        if name is None or count is None:
            continue
        row = found.setdefault(name, dict(none))
        per_min = _per_min(signal, now)
        # the same event may be told by the journal and by a file: the larger of the two counts
        if row["count"] is None or count >= row["count"]:
            row.update(count=count, per_min=per_min, about=text(signal, "about"), sample=text(signal, "sample"))
        row["last_at"] = max(filter(None, (row["last_at"], text(signal, "last_at"))), default=None)
    return found
