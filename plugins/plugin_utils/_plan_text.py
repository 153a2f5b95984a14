# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the screen says of a plan: a block for each host that would be changed, a line for those that are held, and how to go on.

Private to oncall.pressure: no stable interface. Pure: data in, text out, no control character in it. Hosts where nothing happens are silent.
"""

from __future__ import annotations

import shlex
import typing as t

from ansible_collections.oncall.pressure.plugins.plugin_utils._changes_text import span
from ansible_collections.oncall.pressure.plugins.plugin_utils._report import SOME, cause, headline, visible_lines, wrapped

Row = t.Mapping[str, t.Any]

#: How many of one kind stand in a block, and how many names in a line; the document has them all.
_VERDICTS = 3
_LASTING = 3
_NAMES = 6
_KEPT = 3


class Shown(t.NamedTuple):
    """What stands around the blocks: the plan's path for reading, its path for applying (a link points elsewhere by then; empty where
    nobody can: hosts of saved snapshots), the words of ``-i``.

    ``applying``: the plan is carried out now, so that nobody is told how to. ``words``: what this run was given and applying it needs again: the hosts
    that it was limited to, its variables.
    """

    path: str
    exact: str
    inventory: t.Sequence[str] = SOME
    applying: bool = False
    words: t.Sequence[str] = ()


def said(document: Row, notes: t.Sequence[str], shown: Shown) -> str:
    """The text for the screen."""
    hosts: t.Mapping[str, Row] = document["hosts"]
    width = min(max([len(host) for host in hosts], default=0), 40)
    lines: list[str] = []
    for host, row in hosts.items():
        if row["act"]:
            lines += _acting(host, row, width)
    for reason, names in _by_reason(hosts).items():
        lines += _held(names, reason, hosts, width)
    for note in notes:
        lines += wrapped("note: ", note, 6)
    lines.append(_fleet(document["fleet"], shown))
    if document["fleet"]["act"] and shown.exact and not shown.applying:
        lines.append("apply with: %s" % apply_command(shown))
    return visible_lines(lines)


def apply_command(shown: Shown) -> str:
    """What carries out just this plan, as far as a fresh look still justifies it."""
    how = ("-e", "pressure_mode=apply", "-e", "pressure_plan=%s" % shown.exact)
    words = ["ansible-playbook", "oncall.pressure.remediate", *shown.inventory, *shown.words, *how]
    return " ".join(map(shlex.quote, words))


def _acting(host: str, row: Row, width: int) -> list[str]:
    margin = " " * (width + 2)
    wanted = {(step["for"]["rule"], step["for"]["service"]) for step in row["steps"] if step["held"] is None}
    lines: list[str] = []
    verdicts = [verdict for verdict in row["verdicts"] if (verdict["rule"], verdict["service"]) in wanted]
    for number, verdict in enumerate(verdicts[:_VERDICTS]):
        lead = host.ljust(width) if number == 0 else " " * width
        lines.append("%s  %s   cause: %s   confidence: %s" % (lead, headline(verdict), cause(verdict), verdict["confidence"]))
        lines += wrapped(margin, str(verdict["summary"]), len(margin))
    # the newest, and what waits; a host that was helped often has a long list
    waiting = [change for change in row["open"] if change.get("state") != "confirmed"]
    kept = [change for change in row["open"] if change.get("state") == "confirmed"]
    for change in [*waiting, *kept[::-1][:_KEPT]]:
        lines += wrapped(margin + "before: ", _open(change), len(margin) + 8)
    if len(kept) > _KEPT:
        lines.append("%s        and %d more that are kept (oncall.pressure.status lists them)" % (margin, len(kept) - _KEPT))
    number = 0
    for step in row["steps"]:
        if step["held"] is None:
            number += 1
            lines += wrapped("%s%d. " % (margin, number), _step(step, number), len(margin) + 3)
    return lines + _rest(row, margin)


def _step(step: Row, number: int) -> str:
    """``lower_workers pressure_service=shop.service: Lower the number of workers (disruption low, no work is lost, fully reversible)``"""
    given = " ".join("%s=%s" % pair for pair in sorted(step["variables"].items()))
    traits = [
        "disruption %s" % step["disruption"], "work in flight is lost" if step["loses_work"] else "no work is lost",
        {"fully": "undone in full", "partly": "undone in part", "no": "not undone"}[step["reversible"]] + " unless it helps",
        *(["evidence first"] if step["evidence_first"] else []),
    ]
    when = "" if number == 1 else "only if still needed: "
    return "%s%s%s: %s (%s)" % (when, step["mitigation"], " " + given if given else "", step["title"], ", ".join(traits))


def _rest(row: Row, margin: str) -> list[str]:
    """What is held, what a person runs instead, what would be for good."""
    lines: list[str] = []
    for step in row["steps"]:
        if step["held"] is not None:
            lines += wrapped("%sheld: %s: " % (margin, step["mitigation"]), step["held"], len(margin) + 6)
    for number, line in enumerate(row["run"]):
        # one line, however long: it is there to be pasted
        lines.append("%s%s%s" % (margin, "by a person: " if number == 0 else "         or: ", line))
    for number, line in enumerate(row["lasting"][:_LASTING]):
        lines += wrapped(margin + ("for good: " if number == 0 else "          "), line, len(margin) + 10)
    return lines


def _open(change: Row) -> str:
    """A change that is on the host already."""
    left = change.get("undone_in_s")
    state = "kept" if change.get("state") == "confirmed" else "%s, not confirmed" % change.get("state")
    until = "" if left is None else ", the host undoes it in %s" % span(left)
    return "%s of %s by %s is %s%s (change %s)" % (change.get("mitigation"), change.get("service"), change.get("owner"), state, until, change.get("entry"))


def _by_reason(hosts: t.Mapping[str, Row]) -> dict[str, list[str]]:
    """The hosts that are held, by why: forty hosts with one reason are one line."""
    found: dict[str, list[str]] = {}
    for host, row in hosts.items():
        if not row["act"]:
            found.setdefault(str(row["held"]), []).append(host)
    return found


def _held(names: t.Sequence[str], reason: str, hosts: t.Mapping[str, Row], width: int) -> list[str]:
    """Why nothing is done to these hosts. Of one host also what a person runs instead."""
    if len(names) > 1:
        shown = ", ".join(names[:_NAMES]) + (" and %d more" % (len(names) - _NAMES) if len(names) > _NAMES else "")
        return wrapped("HELD  %d hosts: " % len(names), "%s: %s" % (shown, reason), 6)
    row = hosts[names[0]]
    margin = " " * (width + 2)
    lines = wrapped("%s  HELD  " % names[0].ljust(width), reason, len(margin) + 6)
    return lines + ["%sby a person: %s" % (margin, line) for line in row["run"]]


def _fleet(fleet: t.Mapping[str, int], shown: Shown) -> str:
    """``12 hosts: 1 to be changed, 2 held, 9 left alone.   plan: reports/latest/plan.json``"""
    alone = fleet["hosts"] - fleet["act"] - fleet["held"]
    doing = "being changed" if shown.applying else "to be changed"
    parts = [(fleet["act"], doing), (fleet["held"], "held"), (alone, "left alone")]
    counted = ", ".join("%d %s" % part for part in parts if part[0]) or "nothing to look at"
    return "%d %s: %s.   plan: %s" % (fleet["hosts"], "host" if fleet["hosts"] == 1 else "hosts", counted, shown.path)
