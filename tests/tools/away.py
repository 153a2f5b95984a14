# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a snapshot would have been had one of its collectors failed, and what its diagnosis then is worth.

A document is taken apart into what each collector said by itself, and put together again by the product's own code without one of them: what other
sections owe to that one (a service its settings, a kill its program, a connection its owner) goes with it, as it would on a host.
"""

from __future__ import annotations

import copy
import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._components import _owners, _snapshot
from ansible_collections.oncall.pressure.plugins.module_utils._parse import _cgroup

Row = t.Dict[str, t.Any]

#: Every collector there is; the stacks are the parent's.
COLLECTORS = (*_snapshot.COLLECTORS, "stacks")

#: Section of the document by collector, of those that give just one.
_SECTIONS = {
    "oom": "oom", "nginx": "nginx", "jobs": "jobs", "health": "health", "containers": "containers", "logs": "logs", "connections": "connections",
    "changes": "timeline", "redis": "redis", "postgres": "postgres", "stacks": "stacks", "memory_history": "memory_history",
}

#: What units know of a service, and what a service is without them.
_OF_UNITS = ("state", "restarts", "result", "settings", "restart", "oom_policy", "tasks_limit")

REASON = "taken away to see what is left"


def without(document: Row, collector: str, status: str = "error") -> Row:
    """The document as it would be had ``collector`` said nothing but ``status``."""
    rows, prefix = apart(document)
    was = rows[collector]["status"]
    rows[collector] = {"status": status, "reason": REASON, "data": None, "seconds": rows[collector]["seconds"]}
    if collector == "services" and rows["stacks"]["data"] is not None:
        rows["stacks"] = {"status": "error", "reason": "which process is hot is not known: services could not be measured", "data": None, "seconds": 0.0}
    if collector == "stacks" and was == "absent":
        # nobody asked: there was nothing to fail
        rows[collector]["status"] = was
    return together(document, rows, prefix)


def together(document: Row, rows: t.Dict[str, Row], prefix: str) -> Row:
    """A document of what its collectors say, with what is nobody's (when and by whom it was taken) as in another."""
    found = {**copy.deepcopy(document), **_snapshot.sections(rows, _snapshot.merge(rows, prefix))}
    # what the controller asked itself, of which no host tells
    found["collectors"] = {**document["collectors"], **found["collectors"]}
    return found


def apart(document: Row) -> t.Tuple[t.Dict[str, Row], str]:
    """What each collector said before they were put together, as rows of ``run_all``; and the prefix of this host's own cgroups."""
    document = copy.deepcopy(document)
    # a document that is older than a collector
    rows: t.Dict[str, Row] = {
        name: {"data": None, **document["collectors"].get(name, {"status": "absent", "reason": None, "seconds": 0.0})} for name in COLLECTORS}
    for name, section in _SECTIONS.items():
        rows[name]["data"] = document.get(section)
    if document["host"] is not None:
        rows["host"]["data"] = {"host": document["host"], "machine": document["machine"]}
    prefix = _prefix(document)
    joined: t.List[Row] = document["services"] or []
    _untell_redis(rows["redis"], joined)
    if rows["units"]["status"] in ("ok", "partial"):
        rows["units"]["data"] = _units(joined, rows["jobs"]["data"])
    if rows["services"]["status"] in ("ok", "partial"):
        rows["services"]["data"] = {"services": [_alone(row) for row in joined if not _is_down(row)], "processes": document["processes"]}
    for timer in (rows["jobs"]["data"] or {}).get("timers") or []:
        timer.update(running=None, since_s=None)
    owners = {row["id"]: _cgroup.identify(row["cgroup"], prefix).name for row in joined if row["manager"] == "supervisor" and row["cgroup"]}
    _take_back(rows["oom"]["data"], owners)
    for row in [*_owned(rows["connections"]["data"]), *((rows["changes"]["data"] or {}).get("events") or [])]:
        row["service"] = owners.get(row["service"], row["service"])
    for row in (rows["connections"]["data"] or {}).get("services") or []:
        row["capacity"] = None
    return rows, prefix


def _prefix(document: Row) -> str:
    """Where the host's own root lies in paths of cgroups: the container's, where its id stands in them."""
    container = (document["host"] or {}).get("container_id")
    for service in document["services"] or []:
        head, found, dummy = (service["cgroup"] or "").partition(container or "-")
        if container and found:
            return t.cast(str, head + found)
    return ""


def _is_down(service: Row) -> bool:
    """Whether only its unit knows of a service."""
    return service["processes"] == 0 and service["cgroup"] is None and service["cpu"]["source"] is None


def _alone(service: Row) -> Row:
    """A service as the processes alone tell of it."""
    unsaid = dict.fromkeys(name for name in _OF_UNITS[1:] if name in service)
    found = dict(service, state="running" if service["processes"] else "unknown", container=None, **unsaid)
    if service.get("container") is not None:
        found["name"] = service["id"].partition(":")[2]
    return found


def _units(services: t.Sequence[Row], jobs: t.Optional[Row]) -> Row:
    """What the collector of units said of these services, and of the units that timers start."""
    found: Row = {"units": {}, "programs": {}, "processes": {}}
    for service in services:
        record: Row = {key: service.get(key) for key in ("component", "role", "manager", *_OF_UNITS)}
        if service["manager"] == "supervisor":
            found["programs"][service["id"]] = {key: record[key] for key in ("component", "role", "settings")}
        elif service["manager"] == "systemd":
            own = service["memory"]["limit_source"] == "service"
            found["units"][service["id"]] = {
                **record, "main_pid": service["main_pid"], "memory_limit_bytes": service["memory"]["limit_bytes"] if own else None,
                "cpu_quota": service["cpu"]["quota"], "since_s": None}
        elif service["main_pid"] is not None:
            found["processes"][str(service["main_pid"])] = {key: record[key] for key in ("component", "role", "settings")}
    for timer in (jobs or {}).get("timers") or []:
        if timer["running"] and timer["activates"]:
            found["units"].setdefault(timer["activates"], {"state": "running", "settings": None})["since_s"] = timer["since_s"]
    return found


def _owned(connections: t.Optional[Row]) -> t.List[Row]:
    if connections is None:
        return []
    return [*connections["listeners"], *connections["services"], *(share for peer in connections["outbound"] for share in peer["services"])]


def _take_back(oom: t.Optional[Row], owners: t.Mapping[str, str]) -> None:
    """Give the kills of a supervisor's programs back to the cgroup that they share, which is all that the kernel names."""
    for event in (oom or {}).get("events") or []:
        event["service"] = owners.get(event["service"], event["service"])
    kills = (oom or {}).get("services") or {}
    for program in [name for name in kills if name in owners]:
        row, unit = kills.pop(program), kills.get(owners[program])
        if unit is None:
            kills[owners[program]] = row
            continue
        unit["kills"] += row["kills"]
        for name, count in row["names"].items():
            unit["names"][name] = unit["names"].get(name, 0) + count


def _untell_redis(row: Row, services: t.Sequence[Row]) -> None:
    """Take out what was said of queues that Redis does not keep."""
    told: Row = {"status": row["status"], "reason": None}
    _owners.tell_brokers(told, services)
    if not told["reason"] or not (row["reason"] or "").endswith(told["reason"]):
        return
    row["reason"] = row["reason"][: -len(told["reason"])].rstrip("; ") or None
    if row["status"] == "partial" and row["reason"] is None:
        row["status"] = "ok"


#: A cause that a verdict may name, and of which service: null where the truth says none.
Pair = t.Tuple[t.Optional[str], str]

_LEVELS = ("low", "medium", "high")


class Worth(t.NamedTuple):
    """What a diagnosis is worth: ``right``, ``less sure``, ``unknown`` or ``WRONG``, and why it is not right."""

    grade: str
    why: str


def strays(verdicts: t.Sequence[Row], pairs: t.Collection[Pair]) -> t.List[str]:
    """Verdicts that name what is not so. One whose cause was not found names an effect, which is true of the service that it is measured at."""
    found = []
    for verdict in verdicts:
        fits = [
            pair for pair in pairs
            if verdict["cause"] in ("none", pair[1]) and (pair[0] is None or verdict["service"] in (None, pair[0]))
        ]
        if not fits:
            found.append("%s of %s, cause %s" % (verdict["rule"], verdict["service"], verdict["cause"]))
    return found


def worth(row: Row, whole: Row, expected: t.Any) -> Worth:
    """Grade a host's row of a diagnosis against the truth of an incident (as its file says it); ``whole`` is the row with every collector there.

    What else stood when everything was measured may stand still.
    """
    if row["state"] == "healthy":
        return Worth("right", "") if expected == "healthy" else Worth("WRONG", "healthy, which it is not")
    if row["state"] == "unknown":
        return Worth("unknown", row["reason"] or "")
    if expected == "healthy":
        return Worth("WRONG", "; ".join(strays(row["verdicts"], ())))
    causes = expected["cause"] if isinstance(expected.get("cause"), list) else [expected["cause"]]
    services = expected["service"] if isinstance(expected.get("service"), list) else [expected.get("service")]
    pairs = [(service, cause) for service in services for cause in causes] + [(verdict["service"], verdict["cause"]) for verdict in whole["verdicts"][1:]]
    wrong = strays(row["verdicts"], pairs)
    if wrong:
        return Worth("WRONG", "; ".join(wrong))
    first, before = row["verdicts"][0], whole["verdicts"][0]
    unlike = [key for key in ("resource", "service", "component", "cause", "pattern") if first[key] != before[key]]
    if unlike:
        return Worth("less sure", ", ".join("%s %s, not %s" % (key, first[key], before[key]) for key in unlike))
    if _LEVELS.index(first["confidence"]) < _LEVELS.index(before["confidence"]):
        return Worth("less sure", "confidence %s, not %s" % (first["confidence"], before["confidence"]))
    return Worth("right", "")
