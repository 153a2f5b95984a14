# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Add to a snapshot what a Prometheus server said of its host: ``memory_history``, and a row among the collectors.

Private to oncall.pressure: no stable interface. Pure. Labels are only compared with what the host said of its services, and enter no document.
"""

from __future__ import annotations

import re
import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._host._text import clean
from ansible_collections.oncall.pressure.plugins.plugin_utils import _prometheus
from ansible_collections.oncall.pressure.plugins.plugin_utils._format import age
from ansible_collections.oncall.pressure.plugins.plugin_utils._memory_history import FEWEST, events
from ansible_collections.oncall.pressure.plugins.plugin_utils._prometheus import DAY, HOURS, Span, Told
from ansible_collections.oncall.pressure.plugins.plugin_utils._values import at, num, rows, text

Row = t.Dict[str, t.Any]

#: By (seconds since the epoch) a value
Points = t.Dict[float, float]

_SERVICES = 40
_HOST_POINTS = 96

#: Another machine of the same name has another memory: the kernel's own figure differs by less.
_SAME = 0.02

#: What the server last heard longer ago than this (it looks back 5 minutes by itself) is the past alone.
_STALE_S = 600.0

#: What a control group holds beside its processes (shared memory, file cache in use), and what they share: no more than this many times.
_ALIKE = 2.0

#: A history of the recorder that is as long as this is better than any of an exporter.
_ENOUGH_S = 3600.0

_CONTAINER = re.compile(r"(?:\A|[^0-9a-f])([0-9a-f]{64})(?:\.scope)?\Z")
_PORT = re.compile(r":[0-9]{1,5}\Z")


class _Known(t.NamedTuple):
    """What was said, by exporter, stretch of time, figure and (for services) label."""

    host: dict[tuple[str, Span], Points]
    services: dict[str, dict[Span, dict[str, dict[str, Points]]]]


def add(document: Row, told: Told, called: t.Sequence[str], now_s: float, seconds: float) -> None:
    """Write into a snapshot what was told of its host by ``now_s``, and what was not, with why."""
    problems, denied = list(told.problems), told.denied
    known = _sorted_out(told, called)
    if not told.complete and not problems:
        problems.append("it did not answer within %d s" % _prometheus.LIMIT_S)
    elif told.complete and not told.answers and not problems:
        problems.append("it knows nothing of %s, by node_exporter, cAdvisor or process-exporter (pressure_prometheus_host says how a host is called there)"
                        % " or ".join(called))
    other = _another(document, known)
    if other is not None:
        problems, known = [other], _Known({}, {})
    host = [] if at(document, "host", "kind") != "machine" else _host(known, now_s)
    services = _services(document, known, now_s)
    ages = sorted({now_s - moment for points in _all(known) for moment in points}, reverse=True)
    if ages and ages[-1] > _STALE_S:
        problems.append("its last figure of this host is %s old" % age(ages[-1]))
    reason = clean("; ".join(dict.fromkeys(problems)), 600) or None
    status = ("partial" if problems else "ok") if ages else "denied" if denied else "error"
    _write(document, {
        "kind": "prometheus", "status": status, "reason": reason, "every_s": float(DAY.every_s if any(_of(known, DAY)) else HOURS.every_s) if ages else None,
        "covered_s": round(ages[0] - ages[-1], 1) if ages else None, "samples": len(ages),
    }, host, services)
    collectors = document.get("collectors")
    if isinstance(collectors, dict):
        collectors["prometheus"] = {"status": status, "reason": reason, "seconds": round(seconds, 3)}


def _write(document: Row, source: Row, host: list[Row], services: list[Row]) -> None:
    history = document.get("memory_history")
    if not isinstance(history, dict):
        history = document["memory_history"] = {"sources": [], "host": [], "services": []}
    history["sources"] = [*rows(history, "sources"), source]
    past = rows(history, "host")
    # the window's alone is the least of what there is
    if host and (not past or all(row.get("kind") == "window" for row in rows(history, "sources")[:-1] if row.get("samples"))):
        history["host"] = host
    watched = {row.get("id") for row in rows(history, "services") if _says_more(row)}
    history["services"] = [*rows(history, "services"), *(row for row in services if row["id"] not in watched)]


def _says_more(row: Row) -> bool:
    """Whether a history of the host's own knows enough: it has single workers, which no exporter has."""
    ages = [num(point, "age_s") or 0.0 for point in rows(row, "points")]
    return row.get("source") == "recorder" and len(ages) >= FEWEST and max(ages) - min(ages) >= _ENOUGH_S


def _sorted_out(told: Told, called: t.Sequence[str]) -> _Known:
    """Of each exporter the series of the first name that it knows; of several of one thing (a target that two jobs ask) the first."""
    answers = list(told.answers)
    best: dict[str, int] = {}
    for answer in answers:
        for one in answer.found:
            best[answer.question.exporter] = min(best.get(answer.question.exporter, len(called)), _rank(one.labels, called))
    known = _Known({}, {})
    for answer in answers:
        exporter, of, figure = answer.question.exporter, answer.question.of, answer.question.figure
        for one in sorted(answer.found, key=lambda one: (one.labels.get("job", ""), one.labels.get("instance", ""))):
            if _rank(one.labels, called) != best[exporter] or not one.points:
                continue
            if of == "host":
                known.host.setdefault((figure, answer.span), dict(one.points))
            elif one.labels.get(of):
                figures = known.services.setdefault(exporter, {}).setdefault(answer.span, {}).setdefault(one.labels[of], {})
                figures.setdefault(figure, dict(one.points))
    return known


def _rank(labels: t.Mapping[str, str], called: t.Sequence[str]) -> int:
    """Which of its names a host has in these labels: their number where it has none."""
    name = labels.get("instance", "")
    said = {re.sub(r"\A\[(.*)\]\Z", r"\1", word) for word in (name, _PORT.sub("", name))}
    return next((place for place, word in enumerate(called) if word in said), len(called))


def _of(known: _Known, span: Span) -> list[Points]:
    found = [points for (dummy, of), points in known.host.items() if of == span]
    return found + [points for spans in known.services.values() for figures in spans.get(span, {}).values() for points in figures.values()]


def _all(known: _Known) -> list[Points]:
    return [*_of(known, DAY), *_of(known, HOURS)]


def _another(document: Row, known: _Known) -> str | None:
    """Words where what is called so there is another machine than the one that was measured: its memory is not as large."""
    total = num(document, "host", "memory", "limit_bytes")
    if at(document, "host", "memory", "limit_source") != "machine" or not total:
        return None
    said = [points[max(points)] for (figure, dummy), points in known.host.items() if figure == "total_bytes" and points]
    if not said or abs(said[-1] - total) <= _SAME * total:
        return None
    return "what is called so there has %.1f GiB of memory, this host %.1f GiB: it is another one (pressure_prometheus_host)" % (
        said[-1] / 1024 ** 3, total / 1024 ** 3)


def _host(known: _Known, now_s: float) -> list[Row]:
    """The host's memory: a day, of which the last hours closely."""
    found: dict[float, Row] = {}
    for span in (DAY, HOURS):
        total, swap = known.host.get(("total_bytes", span), {}), known.host.get(("swap_used_bytes", span), {})
        near = known.host.get(("available_bytes", HOURS), {})
        for moment, available in known.host.get(("available_bytes", span), {}).items():
            if moment in total and (span is HOURS or not near or moment < min(near)):
                found[moment] = {
                    "age_s": _age_s(now_s, moment), "used_bytes": max(int(total[moment]) - int(available), 0), "available_bytes": int(available),
                    "swap_used_bytes": int(swap[moment]) if moment in swap else None,
                }
    return [found[moment] for moment in sorted(found)][-_HOST_POINTS:]


def _services(document: Row, known: _Known, now_s: float) -> list[Row]:
    """Those that the snapshot has, over time; what cAdvisor counts, else what process-exporter does. The largest first."""
    found: dict[str, Row] = {}
    for exporter, owner in (("cAdvisor", _of_cgroups(document)), ("process-exporter", _of_groups(document))):
        spans = known.services.get(exporter, {})
        for label in sorted({label for labels in spans.values() for label in labels}):
            identity = owner(label)
            if identity is None or identity in found:
                continue
            rates = {span: known.host.get(("requests_per_s", span), {}) for span in (DAY, HOURS)}
            day, near = (_points(spans.get(span, {}).get(label, {}), rates[span], now_s) for span in (DAY, HOURS))
            chosen, span = (day, DAY) if _lived(document, identity, day) >= FEWEST or len(near) <= len(day) < FEWEST else (near, HOURS)
            if chosen and (exporter == "cAdvisor" or _alike(document, identity, chosen)):
                found[identity] = {"id": identity, "source": "prometheus", "every_s": float(span.every_s), "points": chosen, "workers": []}
    return sorted(found.values(), key=lambda row: (-row["points"][-1]["bytes"], row["id"]))[:_SERVICES]


def _alike(document: Row, identity: str, points: t.Sequence[Row]) -> bool:
    """Whether a group of processes that is called like a service holds what the service does: it may be another one's, or a part of it."""
    held = next((num(row, "memory", "bytes") for row in rows(document, "services") if row.get("id") == identity), None)
    return bool(held) and points[-1]["age_s"] <= _STALE_S and 1 / _ALIKE <= points[-1]["bytes"] / held <= _ALIKE


def _lived(document: Row, identity: str, points: t.Sequence[Row]) -> int:
    """How many points there are of a service since it was started last."""
    began = min((age_s for age_s, kind, dummy, dummy in events(document, identity) if kind in ("start", "boot")), default=None)
    return sum(1 for point in points if began is None or point["age_s"] <= began)


def _points(figures: t.Mapping[str, Points], requests: Points, now_s: float) -> list[Row]:
    used = figures.get("cpu_used", {})
    return [
        {"age_s": _age_s(now_s, moment), "bytes": int(size), "workers": None, "worker_bytes": None, "largest_bytes": None, "median_bytes": None,
         "cpu_used": round(used[moment], 3) if moment in used else None,
         "requests_per_s": round(requests[moment], 3) if moment in requests else None, "tasks_per_s": None}
        for moment, size in sorted(figures.get("bytes", {}).items())
    ]


def _age_s(now_s: float, moment: float) -> float:
    return round(max(now_s - moment, 0.0), 1)


def _of_cgroups(document: Row) -> t.Callable[[str], str | None]:
    """Whose a control group is: by its path, else by the container's identity in the last part of it."""
    paths = {text(row, "cgroup"): text(row, "id") for row in rows(document, "services") if text(row, "cgroup")}
    containers = {identity.rpartition(":")[2]: identity for row in rows(document, "services") for identity in [text(row, "id") or ""]
                  if re.search(r":[0-9a-f]{12}\Z", identity)}

    def owner(label: str) -> str | None:
        inside = _CONTAINER.search(label.rpartition("/")[2])
        return paths.get(label) or (containers.get(inside.group(1)[:12]) if inside else None)

    return owner


def _of_groups(document: Row) -> t.Callable[[str], str | None]:
    """Whose a group of processes is: of the one service that is called so, or that alone is of the software of that name."""
    owners: dict[str, set[str]] = {}
    for row in rows(document, "services"):
        identity = text(row, "id")
        name = text(row, "name") or ""
        for word in {name, name.rpartition(".service")[0], text(row, "component") or ""} - {"", "other", "host"} if identity else ():
            owners.setdefault(word, set()).add(str(identity))

    def owner(label: str) -> str | None:
        found = owners.get(label, set())
        return next(iter(found)) if len(found) == 1 else None

    return owner
