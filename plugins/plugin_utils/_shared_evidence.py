# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a shared cause is made of: hosts, their verdicts, and the row that names what it explains and what it does not.

Private to oncall.pressure: no stable interface. Pure.
"""

from __future__ import annotations

import typing as t

from ansible_collections.oncall.pressure.plugins.plugin_utils._addresses import Network
from ansible_collections.oncall.pressure.plugins.plugin_utils._rules import Rule

Row = t.Dict[str, t.Any]

_HOSTS = 50
_VERDICTS = 200
_EVIDENCE = 12
_AGAINST = 8
_NEXT = 3


class Host(t.NamedTuple):
    """A host that answered: its row of the diagnosis and its snapshot."""

    name: str
    row: Row
    document: t.Mapping[str, t.Any]


class Sick(t.NamedTuple):
    """One verdict of a host, by its place among the host's."""

    host: str
    index: int
    verdict: Row
    document: t.Mapping[str, t.Any]


class Found(t.NamedTuple):
    """What is known of the fleet. ``taken``: verdicts that a shared cause explains already; ``silent``: hosts that gave no answer."""

    hosts: t.Sequence[Host]
    network: Network
    rules: t.Mapping[str, Rule]
    jobs: t.Sequence[t.Mapping[str, t.Any]]
    silent: t.Sequence[str]
    taken: frozenset[tuple[str, int]]

    def left(self) -> list[Sick]:
        """The verdicts that nothing shared explains yet."""
        return [one for host in self.hosts for one in sick(host) if (one.host, one.index) not in self.taken]


def sick(host: Host) -> list[Sick]:
    """The verdicts of a host."""
    return [Sick(host.name, index, verdict, host.document) for index, verdict in enumerate(host.row["verdicts"])]


def row(
    found: Found, kind: str, what: str, members: t.Sequence[Sick], cause: str, confidence: str, summary: str, evidence: t.Sequence[str],
    surer_with: str | None, following: t.Sequence[str], against: t.Sequence[str] = (), home: str | None = None, rule: str | None = None,
) -> Row:
    """A row of ``shared_causes``. What is not explained is worked out: the other verdicts of these hosts, and the same verdict on others."""
    names = list(dict.fromkeys(one.host for one in members))
    mine = {(one.host, one.index) for one in members}
    alike = {one.verdict["rule"] for one in members}
    others = [one for host in found.hosts for one in sick(host) if (one.host, one.index) not in mine]
    beside = ["%s: %s as well (%s)" % (one.host, one.verdict["summary"], one.verdict["rule"]) for one in others if one.host in names]
    elsewhere = ["%s has %s too, and not from this" % (one.host, one.verdict["rule"]) for one in others
                 if one.host not in names and one.host != home and one.verdict["rule"] in alike]
    lines = list(evidence)
    if len(lines) > _EVIDENCE:
        lines = [*lines[:_EVIDENCE - 1], "and %d more of the same" % (len(lines) - _EVIDENCE + 1)]
    apart = [*against, *elsewhere, *beside]
    if len(apart) > _AGAINST:
        apart = [*apart[:_AGAINST - 1], "and %d more" % (len(apart) - _AGAINST + 1)]
    return {
        "kind": kind, "what": what, "host": home, "rule": rule, "cause": cause, "confidence": confidence, "summary": summary, "count": len(names),
        "hosts": names[:_HOSTS],
        "explains": [{"host": one.host, "rule": one.verdict["rule"], "service": one.verdict["service"]} for one in members[:_VERDICTS]],
        "evidence": lines, "not_explained": apart, "surer_with": None if confidence == "high" else surer_with, "next": list(following)[:_NEXT],
    }
