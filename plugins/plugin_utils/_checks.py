# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The four checks that must hold before an incident is closed: under the line, no kills, stable, responsive.

Private to oncall.pressure: no stable interface. Pure: snapshots in, answers out. What was not measured is null, and closes nothing.
"""

from __future__ import annotations

import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._host._text import clean
from ansible_collections.oncall.pressure.plugins.plugin_utils._values import at, num, rows, text

#: Per cent of the host's memory and of its processors that may be used.
LINE_PCT: t.Final = 80.0

#: How much memory the host may use more than when watching began, in per cent of all it has, and still be called stable.
GROWN_PCT: t.Final = 5.0

#: The share of requests that may fail (status 5xx), where nginx counts them.
FAILED: t.Final = 0.05

#: Requests below which their failed share says nothing.
_ENOUGH: t.Final = 20

NAMES: t.Final = ("under_80_pct", "no_kills", "stable", "responsive")


class Check(t.NamedTuple):
    """One check: whether it holds (null: not measured), and the figures that say so."""

    holds: bool | None
    why: str


Snapshot = t.Mapping[str, t.Any]


def checks(first: Snapshot | None, now: Snapshot, services: t.Collection[str], probe: Check | None) -> dict[str, Check]:
    """The checks of one look. ``first`` is the look with which watching began (null: this one), ``services`` those that were sick.

    The snapshot's window for kernel kills must reach back to when watching began, and no further. ``probe`` is what a probe answered, where one is set.
    """
    return {
        "under_80_pct": under_the_line(now),
        "no_kills": no_kills(now),
        "stable": stable(first or now, now, services),
        "responsive": probe if probe is not None else responsive(now, services),
    }


def under_the_line(now: Snapshot) -> Check:
    """Memory and processors of the host below the line."""
    memory, cpu = num(now, "host", "memory", "used_pct"), num(now, "host", "cpu", "used_pct")
    if memory is None or cpu is None:
        return Check(None, "not measured: %s" % ("memory" if memory is None else "processors"))
    return Check(memory < LINE_PCT and cpu < LINE_PCT, "memory %.0f %%, processors %.0f %% used" % (memory, cpu))


def no_kills(now: Snapshot) -> Check:
    """No kernel kill of this host within the window of the snapshot."""
    kills = num(now, "oom", "kills")
    if kills is None:
        return Check(None, "kernel kills were not measured")
    return Check(kills == 0, "%d kernel kill%s since watching began" % (kills, "" if kills == 1 else "s"))


def stable(first: Snapshot, now: Snapshot, services: t.Collection[str]) -> Check:
    """Services run as they ran, not restarted since, and memory does not grow."""
    before = {row.get("id"): row for row in rows(first, "services")}
    present = {row.get("id"): row for row in rows(now, "services")}
    for service in sorted(services):
        row = present.get(service)
        if row is None:
            return Check(False if _complete(now) else None, "%s was not seen" % clean(service, 100))
        state = text(row, "state")
        if state in ("restarting", "failed", "stopped"):
            return Check(False, "%s is %s" % (clean(service, 100), state))
        if _restarted(before.get(service), row):
            return Check(False, "%s was restarted meanwhile" % clean(service, 100))
    start, used = num(first, "host", "memory", "used_pct"), num(now, "host", "memory", "used_pct")
    if start is None or used is None:
        return Check(None, "not measured: memory")
    return Check(used <= start + GROWN_PCT, "memory %.0f %% used, %.0f %% when watching began" % (used, start))


def _restarted(before: t.Any, now: Snapshot) -> bool:
    """Whether another main process runs it than when watching began, or its manager counted a restart."""
    pids = num(before, "main_pid"), num(now, "main_pid")
    counts = num(before, "restarts"), num(now, "restarts")
    return (None not in pids and pids[0] != pids[1]) or (None not in counts and t.cast(float, counts[1]) > t.cast(float, counts[0]))


def responsive(now: Snapshot, services: t.Collection[str]) -> Check:
    """Without a probe: the services run, nothing is turned away at the door, and nginx counts few failures."""
    overflows = num(now, "host", "sockets", "listen_overflows_per_s")
    if overflows:
        return Check(False, "%g connections a second find a full queue" % overflows)
    requests, errors = num(now, "nginx", "requests"), num(now, "nginx", "status", "5xx")
    if requests is not None and requests >= _ENOUGH and errors is not None:
        return Check(errors / requests < FAILED, "%.0f %% of %d requests failed (5xx)" % (100 * errors / requests, requests))
    states = {row.get("id"): text(row, "state") for row in rows(now, "services")}
    silent = [service for service in sorted(services) if states.get(service) != "running"]
    if silent:
        return Check(False if _complete(now) else None, "%s is %s" % (clean(silent[0], 100), states.get(silent[0]) or "not seen"))
    if not services and overflows is None:
        return Check(None, "not measured: no probe is set (pressure_probe_url) and no requests were counted")
    return Check(True, "no probe is set: the services run and nothing waits at the door" if overflows is not None else "no probe is set: the services run")


def _complete(now: Snapshot) -> bool:
    """Whether what is not in the list of services is not there."""
    return at(now, "collectors", "services", "status") == "ok"
