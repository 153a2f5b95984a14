# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How many of the hosts that run a service are sick: where most are, the cause is shared, and no host of them is changed.

Private to oncall.pressure: no stable interface. Pure.
"""

from __future__ import annotations

import typing as t

from ansible_collections.oncall.pressure.plugins.plugin_utils._ladder import OVER
from ansible_collections.oncall.pressure.plugins.plugin_utils._values import num, rows, text

Row = t.Mapping[str, t.Any]

#: Of fewer hosts than these, a majority says nothing.
FEWEST: t.Final = 5


class Crowd(t.NamedTuple):
    """The hosts that run one service: how many, how many of them are sick or were just changed, and how many did not answer (they count as both)."""

    service: str
    hosts: int
    sick: int
    silent: int

    def is_most(self, share: float) -> bool:
        """Whether so many are sick that none of them is to be changed."""
        return self.hosts >= FEWEST and self.sick > share * self.hosts

    def says(self, share: float) -> str:
        """The same in words."""
        silent = ", %d of which did not answer" % self.silent if self.silent else ""
        return (
            "%d of the %d hosts that run %s are sick or were just changed%s: with more than %d %% of them the cause is shared, and no single host is to be "
            "changed; look for it first, name one host with -l, or say -e pressure_ignore_majority=true"
            % (self.sick, self.hosts, self.service, silent, round(share * 100))
        )


def label(verdict: Row) -> str | None:
    """What hosts have in common that have this verdict: the service's name (a container's id is its host's own), else the component."""
    return text(verdict, "name") or text(verdict, "service") or text(verdict, "component")


def crowds(diagnosed: t.Mapping[str, Row], snapshots: t.Mapping[str, Row], entries: t.Mapping[str, t.Sequence[Row]], window_s: float) -> dict[str, Crowd]:
    """By label, the hosts that run it, for every label of a verdict.

    ``diagnosed``: the rows under ``hosts`` of the diagnosis. A host that did not answer runs it, and is sick, for all that is known. ``entries``: the
    changes of each host; one that is open, or was kept within the window, makes its host count as sick, or a fleet would be changed batch by batch.
    """
    silent = {host for host, row in diagnosed.items() if row.get("reached") is not True}
    sick: dict[str, set[str]] = {}
    for host, row in diagnosed.items():
        for name in filter(None, map(label, rows(row, "verdicts"))):
            sick.setdefault(name, set()).add(host)
    running = {host: _runs(snapshot) for host, snapshot in snapshots.items() if host not in silent}
    changed = {host: _changed(found, snapshots.get(host), window_s) for host, found in entries.items()}
    found: dict[str, Crowd] = {}
    for name, hosts in sick.items():
        members = hosts | silent | {host for host, names in running.items() if name in names}
        unwell = hosts | silent | {host for host in members if name in changed.get(host, ())}
        found[name] = Crowd(name, len(members), len(unwell), len(silent))
    return found


def peers(diagnosed: t.Mapping[str, Row], snapshots: t.Mapping[str, Row]) -> list[str]:
    """The hosts that answered and run what a verdict with a mitigation names, healthy ones too: whose changes must be known before anything is changed."""
    named = {label(verdict) for row in diagnosed.values() for verdict in rows(row, "verdicts") if verdict.get("mitigations")} - {None}
    return [host for host, row in diagnosed.items() if row.get("reached") is True and named & _runs(snapshots.get(host) or {})]


def _runs(snapshot: Row) -> set[str]:
    """Everything that a host's services are called."""
    return {name for row in rows(snapshot, "services") for name in (text(row, "id"), text(row, "name"), text(row, "component")) if name}


def _changed(entries: t.Sequence[Row], snapshot: Row | None, window_s: float) -> set[str]:
    """What the services are called of which something was changed."""
    counted = [entry for entry in entries if _counts(entry, window_s)]
    ids = {text(entry, "service") for entry in counted}
    limited = any(entry.get("mitigation") == "limit_requests" for entry in counted)
    touched = [row for row in rows(snapshot, "services") if text(row, "id") in ids or limited and row.get("component") == "nginx"]
    names = {text(row, "name") for row in touched} | {text(row, "component") for row in touched if limited and row.get("component") == "nginx"}
    return {name for name in ids | names if name}


def _counts(entry: Row, window_s: float) -> bool:
    """Open, or kept within the window: a change of last month says nothing of tonight."""
    passed = num(entry, "age_s")
    return entry.get("state") not in OVER and (entry.get("state") != "confirmed" or passed is None or passed <= window_s)
