# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What rules look at in work that is done twice on one host: schedulers of the same application, workers that nobody declared beside those that somebody did.

Private to oncall.pressure: no stable interface. Every figure is null where something it is made of was not measured.
"""

from __future__ import annotations

import itertools
import typing as t

from ansible_collections.oncall.pressure.plugins.plugin_utils._needs import failed
from ansible_collections.oncall.pressure.plugins.plugin_utils._values import at, num, rows, text

Row = t.Mapping[str, t.Any]

#: What a person or a script started, and no file says should run.
UNDECLARED: t.Final = ("session", "none")
CONTAINERS: t.Final = ("docker", "podman", "containerd", "kubernetes")

#: Schedulers that take turns by a lock, so that several of them send a task once.
_LOCKED = ("redbeat",)


def duplicate_figures(snapshot: Row) -> dict[str, t.Any]:
    """``{"schedulers": {"count", "service", "component", "services", "app", "broker"}, "consumers": {"count", "undeclared", "service", "component", "name",
    "other", "pid", "queues", "node"}}``: the largest set of schedulers of one application, and the first pair of workers of which one should not be;
    ``count`` 0 where there is none."""
    if not isinstance(snapshot.get("services"), list) or failed(snapshot) & {"services", "units"}:
        return {"schedulers": None, "consumers": None}
    running = [row for row in rows(snapshot, "services") if row.get("state") == "running" and text(row, "id")]
    known = [row for row in running if isinstance(at(row, "settings", "identity"), dict)]
    return {"schedulers": _schedulers(known), "consumers": _consumers(known)}


def _schedulers(services: t.Sequence[Row]) -> dict[str, t.Any]:
    beats = [row for row in services if row.get("component") == "celery" and at(row, "settings", "identity", "beat") is True and not locked(row)]
    sets = [[other for other in beats if other is row or _same(row, other)] for row in beats]
    largest = max(sets, key=len, default=[])
    first = min(largest, key=lambda row: str(row["id"]), default=None)
    names = sorted(text(row, "name") or str(row["id"]) for row in largest)
    return {
        "count": len(largest), "service": text(first, "id"), "component": text(first, "component"), "services": " and ".join(names[:4]) or None,
        "app": text(first, "settings", "identity", "app"), "broker": text(first, "settings", "identity", "broker"),
    }


def locked(row: Row) -> bool:
    """Whether a scheduler takes turns with others of its kind."""
    scheduler = (text(row, "settings", "identity", "scheduler") or "").lower()
    return any(word in scheduler for word in _LOCKED)


def _consumers(services: t.Sequence[Row]) -> dict[str, t.Any]:
    workers = sorted((row for row in services if row.get("component") in ("celery", "rq") and row.get("role") == "worker" and queues_of(row)),
                     key=lambda row: (row.get("manager") not in UNDECLARED, str(row["id"])))
    found = []
    for one, other in itertools.combinations(workers, 2):
        if one["component"] == other["component"] and queues_of(one) & queues_of(other) and _same(one, other):
            undeclared = one.get("manager") in UNDECLARED and other.get("manager") not in UNDECLARED
            if undeclared or _one_name(one, other):
                found.append((not undeclared, one, other))
    found.sort(key=lambda row: row[0])
    one, other = found[0][1:] if found else (None, None)
    return {
        "count": len(found), "undeclared": not found[0][0] if found else None, "service": text(one, "id"), "component": text(one, "component"),
        "name": text(one, "name") or text(one, "id"),
        "other": text(other, "name") or text(other, "id"), "pid": num(one, "main_pid"),
        "queues": ", ".join(sorted(queues_of(one) & queues_of(other))[:5]) if one is not None and other is not None else None,
        "node": text(one, "settings", "identity", "node") if found and found[0][0] else None,
    }


def queues_of(row: Row) -> set[str]:
    """The queues that a worker takes from, as far as they are known."""
    names = at(row, "settings", "queues", "value")
    return {name for name in names if isinstance(name, str)} if isinstance(names, list) else set()


def _same(one: Row, other: Row) -> bool:
    """Whether two services work for one application through one broker. Where the broker is the application's to say, it is taken for the same only
    where the application is run from the same folder; names in containers mean something within their project only."""
    left, right = at(one, "settings", "identity"), at(other, "settings", "identity")
    if _place(one) != _place(other) or left.get("app") != right.get("app") or left.get("broker") != right.get("broker"):
        return False
    if isinstance(left.get("broker"), str):
        return True
    return isinstance(left.get("app"), str) and isinstance(left.get("directory"), str) and left["directory"] == right.get("directory")


def _place(row: Row) -> str:
    if row.get("manager") not in CONTAINERS:
        return ""
    return text(row, "container", "project") or str(row["id"])


def _one_name(one: Row, other: Row) -> bool:
    """Whether two workers of celery have one name, which is that of a host mostly: a container has its own."""
    name = text(one, "settings", "identity", "node")
    outside = one.get("manager") not in CONTAINERS and other.get("manager") not in CONTAINERS
    return one.get("component") == "celery" and outside and name is not None and name == text(other, "settings", "identity", "node")
