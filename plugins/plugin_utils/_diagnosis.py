# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Diagnose a fleet: every snapshot of a run, and a row for each host that gave none.

Private to oncall.pressure: no stable interface.
"""

from __future__ import annotations

import re
import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._host._text import clean, clean_tree
from ansible_collections.oncall.pressure.plugins.plugin_utils._documents import SCHEMA, Loaded
from ansible_collections.oncall.pressure.plugins.plugin_utils._earlier import Fired, Look, held
from ansible_collections.oncall.pressure.plugins.plugin_utils._rules import Rule
from ansible_collections.oncall.pressure.plugins.plugin_utils._shared_causes import shared_causes
from ansible_collections.oncall.pressure.plugins.plugin_utils._shared_jobs import shared_jobs, tell
from ansible_collections.oncall.pressure.plugins.plugin_utils._timeline import Given, lately
from ansible_collections.oncall.pressure.plugins.plugin_utils._values import text
from ansible_collections.oncall.pressure.plugins.plugin_utils._verdict import Thresholds, judge


def diagnose(
    loaded: t.Sequence[Loaded],
    rules: t.Mapping[str, Rule],
    thresholds: t.Callable[[str], Thresholds],
    expected: t.Sequence[str] = (),
    earlier: t.Mapping[str, Fired] | None = None,
    events: t.Sequence[Given] = (),
    before: t.Mapping[str, t.Mapping[str, t.Any]] | None = None,
) -> dict[str, t.Any]:
    """``diagnosis.json`` of these snapshots. ``expected`` names hosts that must have a row even where they left no document; ``earlier`` is what fired
    on hosts at an earlier look, ``before`` are the snapshots of that look; ``events`` are what people tell of."""
    hosts: dict[str, t.Any] = {}
    for snapshot in loaded:
        look = Look((earlier or {}).get(snapshot.host, frozenset()), (before or {}).get(snapshot.host))
        hosts[snapshot.host] = _host(snapshot, rules, thresholds, look, events)
    for host in expected:
        hosts.setdefault(clean(host), silent("no snapshot was written for it"))
    counts = {"hosts": len(hosts), "healthy": 0, "incident": 0, "unknown": 0, "unreached": 0}
    for row in hosts.values():
        counts[row["state"] if row["reached"] else "unreached"] += 1
    shared = shared_jobs(sorted(loaded, key=lambda snapshot: natural(snapshot.host)))
    ordered = {host: hosts[host] for host in sorted(hosts, key=natural)}
    causes = shared_causes(ordered, loaded, rules, shared)
    tell(hosts, shared)
    document = {"schema": SCHEMA, "hosts": ordered, "fleet": counts, "shared_jobs": shared, "shared_causes": causes}
    return t.cast("dict[str, t.Any]", clean_tree(document))


def natural(host: str) -> list[t.Any]:
    """The order in which people count: web-2 before web-10."""
    return [(not part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in re.split(r"([0-9]+)", host)]


def silent(reason: str) -> dict[str, t.Any]:
    """The row of a host that gave no snapshot."""
    return {
        "state": "unknown", "reached": False, "reason": clean(reason), "verdicts": [], "findings": [], "unknown": [], "missing": ["everything"], "next": [],
        "changes": [], "memory": [],
    }


def _host(
    snapshot: Loaded, rules: t.Mapping[str, Rule], thresholds: t.Callable[[str], Thresholds], look: Look, events: t.Sequence[Given]
) -> dict[str, t.Any]:
    if snapshot.document is None:
        return silent(snapshot.reason or "its snapshot cannot be read")
    if snapshot.document.get("unreached") is not None:
        return silent(text(snapshot.document, "unreached") or "no reason was given")
    limits = thresholds(snapshot.host)
    try:
        row = judge(snapshot.document, rules, limits, held(look.fired, rules, snapshot.document), look.snapshot)
        row["changes"] = lately(snapshot.document, snapshot.host, row["verdicts"], events)
        return _with_loss(row, text(snapshot.document, "lost"))
    except (TypeError, ValueError, KeyError, AttributeError, OverflowError, ZeroDivisionError, RecursionError) as problem:
        # A host can send anything; what the rules cannot digest is that host's line and not the end of the run.
        return silent("its snapshot is malformed (%s: %s)" % (type(problem).__name__, problem))


def _with_loss(row: dict[str, t.Any], lost: str | None) -> dict[str, t.Any]:
    """The row of a host that was measured with less than was asked for (no privileges): said first wherever something is missing."""
    if lost is not None:
        row["missing"] = [lost, *row["missing"]]
        row["reason"] = "; ".join(part for part in (lost, row["reason"]) if part)
    return row


def exit_status(diagnosis: t.Mapping[str, t.Any], fail_on: t.Collection[str] = ()) -> int:
    """0 where at least one host answered, 4 where none did, 3 where a state to fail on was met."""
    fleet = diagnosis["fleet"]
    if fleet["unreached"] >= fleet["hosts"]:
        return 4
    met = {"incident": fleet["incident"], "unknown": fleet["unknown"] + fleet["unreached"]}
    return 3 if any(met.get(state) for state in fail_on) else 0
