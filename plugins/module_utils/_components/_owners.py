# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Give connections and events the names that services have in the document, and services the number of requests that they serve at a time.

Private to oncall.pressure: no stable interface. Pure: it joins what two collectors found, in the parent.
"""

from __future__ import annotations

import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._parse import _broker_url

#: Worker classes of gunicorn in which a thread serves one request at a time; of any other it is not known how many at once.
_ONE_AT_A_TIME = ("sync", "gthread", "gunicorn.workers.sync.SyncWorker", "gunicorn.workers.gthread.ThreadWorker")


def tell(connections: t.Mapping[str, t.Any], services: t.Sequence[t.Mapping[str, t.Any]]) -> None:
    """Rename owners, and fill in ``capacity``."""
    rename([*connections["listeners"], *connections["services"], *(share for peer in connections["outbound"] for share in peer["services"])], services)
    known = {service["id"]: service for service in services}
    for row in connections["services"]:
        row["capacity"] = capacity(known.get(row["service"], {}))


def rename(rows: t.Iterable[dict[str, t.Any]], services: t.Sequence[t.Mapping[str, t.Any]]) -> None:
    """Give rows with a ``pid`` their service's name: the services know more of themselves than a cgroup says, which program of a supervisor for one."""
    names: dict[int, str] = {}
    for service in services:
        for pid in [service.get("main_pid")] + [worker["pid"] for worker in service.get("workers") or []]:
            if pid is not None:
                names[pid] = service["id"]
    for row in rows:
        row["service"] = names.get(row["pid"], row["service"])


def capacity(service: t.Mapping[str, t.Any]) -> int | None:
    """How many requests a service can serve at the same time; null where nothing bounds it, or nothing is known of it."""
    settings = service.get("settings") or {}
    if settings.get("program") != "gunicorn" or (settings.get("worker_class") or {}).get("value") not in _ONE_AT_A_TIME:
        return None
    workers = (service.get("worker_summary") or {}).get("count")
    threads = (settings.get("threads") or {}).get("value")
    return workers * threads if _count(workers) and _count(threads) else None


def _count(value: t.Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < 100000


def tell_brokers(redis: dict[str, t.Any], services: t.Sequence[t.Mapping[str, t.Any]]) -> None:
    """Say in the row of the collector of Redis which queues it cannot see, since they are kept by another kind of broker, or elsewhere."""
    places: dict[str, list[str]] = {}
    for service in services:
        setting = (service.get("settings") or {}).get("broker") or {}
        place = setting.get("value")
        if service.get("component") == "celery" and isinstance(place, str):
            kind = place.partition("://")[0]
            if kind != "redis" or (redis["status"] == "absent" and _broker_url.elsewhere(place)):
                places.setdefault(place, []).append(str(service["name"]))
    if not places:
        return
    told = "; ".join(
        "the queues of %s are not measured: %s keeps them" % (", ".join(names[:3]) + (" and others" if names[3:] else ""), place)
        for place, names in sorted(places.items())[:4])
    redis["reason"] = "; ".join(filter(None, (redis["reason"], told)))
    if redis["status"] == "ok":
        redis["status"] = "partial"
