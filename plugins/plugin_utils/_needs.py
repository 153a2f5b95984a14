# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which collectors a rule needs, which of them gave nothing, and what cannot be said then.

Private to oncall.pressure: no stable interface. A collector that failed leaves more behind than nulls: an empty list of workers that nobody looked
for, no job that started a service. What a rule would decide by these is not known either.
"""

from __future__ import annotations

import typing as t

from ansible_collections.oncall.pressure.plugins.plugin_utils._evaluate import Combine, Condition
from ansible_collections.oncall.pressure.plugins.plugin_utils._rules import Rule
from ansible_collections.oncall.pressure.plugins.plugin_utils._values import rows

Snapshot = t.Mapping[str, t.Any]

#: The collector without which there are no subjects of a kind.
NEEDED = {
    "host": "host", "service": "services", "nginx": "nginx", "job": "jobs", "health": "health", "container": "containers", "redis": "redis", "queue": "redis",
    "database": "postgres",
}

#: Where the document has what a collector gives, of those that may fail without a host being unknown for that alone.
_SECTIONS = {
    "oom": "oom", "nginx": "nginx", "jobs": "jobs", "health": "health", "containers": "containers", "logs": "logs", "connections": "connections",
    "redis": "redis", "postgres": "postgres", "stacks": "stacks", "memory_history": "memory_history",
}

#: Collectors that a selection draws on, by what it starts with: first the one that measures it. Figures are made of what several say.
_DRAWS: dict[str, tuple[str, ...]] = {
    "host": ("host",),
    "machine": ("host",),
    "oom": ("oom",),
    "nginx": ("nginx",),
    "processes": ("services",),
    "service": ("services", "units"),
    "job": ("jobs",),
    "health": ("health",),
    "container": ("containers",),
    "server": ("redis",),
    "queue": ("redis",),
    "database": ("postgres",),
    "derived.kills": ("oom", "units"),
    "derived.web": ("services", "host"),
    "derived.traffic": ("nginx", "services"),
    "derived.job": ("jobs", "units"),
    "derived.jobs": ("jobs", "units", "services", "host"),
    "derived.logs": ("logs",),
    "derived.connections": ("connections", "services", "units"),
    "derived.stacks": ("stacks",),
    "derived.growth": ("memory_history",),
    # who works for whom is in settings
    "derived.work": ("units", "services"),
    # of a database server
    **{"derived.%s" % name: ("postgres",) for name in ("root", "idle", "slots", "here", "told", "scan", "query", "poll", "temp", "churn")},
    "derived.repeat": ("postgres", "nginx"),
    "derived.requests_per_s": ("nginx",),
    "derived.serves": ("nginx",),
    "derived.deadlocks": ("postgres", "logs", "services"),
    "derived.pool": ("postgres", "services"),
}

#: The same for what is made of a subject of one kind, where the above does not say it.
_DERIVED: dict[str, tuple[str, ...]] = {
    "host": ("host", "services"),
    "service": ("services", "units", "oom", "host"),
    "nginx": ("nginx", "services"),
    "job": ("jobs", "host"),
    "health": ("health",),
    "container": ("containers", "oom", "host"),
    "redis": ("redis", "services", "host"),
    "queue": ("redis", "services", "units"),
    "database": ("postgres",),
}


def draws(kind: str, expression: str) -> tuple[str, ...]:
    """The collectors that a selection of a subject of this kind draws on, the one that measures it first."""
    parts = expression.split(".")
    known = _DRAWS.get(".".join(parts[:2])) or _DRAWS.get(parts[0])
    if known is not None:
        return known
    return _DERIVED[kind] if parts[0] == "derived" else (NEEDED[kind],)


def collector(kind: str, expression: str) -> str:
    """The collector that measures what a selection of a subject of this kind selects."""
    return draws(kind, expression)[0]


def facts_of(condition: Condition | None) -> t.Iterator[str]:
    """The facts that a condition compares."""
    if isinstance(condition, Combine):
        for part in condition.parts:
            yield from facts_of(part)
    elif condition is not None:
        yield condition.fact
        if condition.operand.kind == "fact":
            yield condition.operand.value


def needs(rule: Rule) -> frozenset[str]:
    """The collectors that a rule cannot do without: of its subject, and of every fact that it decides by."""
    names = {*rule.needs, *facts_of(rule.scope), *facts_of(rule.when)}
    return frozenset([NEEDED[rule.subject], *(collector(rule.subject, rule.facts[name]) for name in names)])


def failed(snapshot: Snapshot) -> frozenset[str]:
    """The collectors that did not say what they were asked."""
    return frozenset(name for name, row in _collectors(snapshot) if row.get("status") in ("error", "denied"))


def silent(snapshot: Snapshot) -> frozenset[str]:
    """Those of them that left nothing at all; one that may not read a part says of which."""
    return frozenset(name for name in failed(snapshot) if snapshot.get(_SECTIONS.get(name, "")) is None)


def _collectors(snapshot: Snapshot) -> t.Iterator[tuple[str, dict[str, t.Any]]]:
    found = snapshot.get("collectors")
    for name, row in (found if isinstance(found, dict) else {}).items():
        if isinstance(row, dict):
            yield name, row


def without_blanks(snapshot: Snapshot) -> Snapshot:
    """The snapshot with nulls where nothing was looked for: services that their units alone tell of, since processes could not be read, have no workers
    that somebody counted."""
    if "services" not in failed(snapshot) or not rows(snapshot, "services"):
        return snapshot
    unseen = {"workers": None, "processes": None, "threads": None}
    return {**snapshot, "services": [{**row, **unseen} for row in rows(snapshot, "services")]}
