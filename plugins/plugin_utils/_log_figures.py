# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What rules look at in logs: signals of a service over all logs that it writes, how much it logs, its tasks that are retried.

Private to oncall.pressure: no stable interface. Every figure is null where something it is made of was not measured.
"""

from __future__ import annotations

import typing as t

from ansible_collections.oncall.pressure.plugins.plugin_utils._values import at, known, num, rows, text

#: The signals that rules ask for: one that no log told was told no times, where logs were read at all.
_ASKED = ("gunicorn_worker_timeout", "nginx_upstream_timeout", "celery_task_retry", "rq_job_retry", "outbound_retry", "too_many_open_files", "disk_full")

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
    covered = known(*(num(row, "covered_s") for row in mine))
    outside = [signal for source in mine for signal in rows(source, "signals") if signal.get("id") in _OUTSIDE]
    first = max(outside, key=lambda signal: num(signal, "count") or 0.0, default=None)
    signals = _signals(mine, told)
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
        "retried_per_min": num(retried, "retried_per_min") if num(retried, "retried") else None,
        "outside": sum(known(*(num(signal, "count") for signal in outside))) if told else None,
        "outside_sample": text(first, "sample"),
        "outside_about": text(first, "about"),
        "signals": signals,
        "retry": retry,
        "begun": begun,
        # a retry is received anew
        "retried_share": None if retry["count"] is None or not begun else min(retry["count"] / begun, 1.0),
    }


def _signals(mine: t.Sequence[dict[str, t.Any]], told: bool | None) -> dict[str, dict[str, t.Any]]:
    none = {"count": 0 if told else None, "per_min": 0.0 if told else None, "last_at": None, "about": None, "sample": None}
    found: dict[str, dict[str, t.Any]] = {name: dict(none) for name in _ASKED}
    for signal in [signal for source in mine for signal in rows(source, "signals")]:
        name = text(signal, "id")
        count, per_s = num(signal, "count"), num(signal, "per_s")
        if name is None or count is None:
            continue
        row = found.setdefault(name, dict(none))
        per_min = None if per_s is None else round(per_s * 60.0, 1)
        # the same event may be told by the journal and by a file: the larger of the two counts
        if row["count"] is None or count >= row["count"]:
            row.update(count=count, per_min=per_min, about=text(signal, "about"), sample=text(signal, "sample"))
        row["last_at"] = max(filter(None, (row["last_at"], text(signal, "last_at"))), default=None)
    return found
