# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Plan from a file: what a person looked at and perhaps edited, as far as a fresh look at the hosts still justifies it.

Private to oncall.pressure: no stable interface. Pure.

The file can take hosts and steps away and change the order of steps; what it holds stays held, and nothing can be added. What is wrong with a host now,
what would be done about it, and what a mitigation is declared to be, is taken from the fresh diagnosis and the collection.
"""

from __future__ import annotations

import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._host._text import clean
from ansible_collections.oncall.pressure.plugins.plugin_utils import _ladder, _plan
from ansible_collections.oncall.pressure.plugins.plugin_utils._ladder import Ceilings, Declared, Suggested
from ansible_collections.oncall.pressure.plugins.plugin_utils._plan import Asked, Held, Known, Planned
from ansible_collections.oncall.pressure.plugins.plugin_utils._plan_file import Given, GivenHost, GivenStep
from ansible_collections.oncall.pressure.plugins.plugin_utils._report import headline
from ansible_collections.oncall.pressure.plugins.plugin_utils._values import rows, text

Row = t.Mapping[str, t.Any]


def plan_again(given: Given, diagnosis: Row, snapshots: t.Mapping[str, Row], declared: Declared, asked: Asked) -> Planned:
    """The plan of a file, held against a fresh diagnosis. Hosts that are named and not there, and what is new since, are notes."""
    known = _plan.look(diagnosis, snapshots, asked)
    notes: list[str] = []
    hosts: dict[str, dict[str, t.Any]] = {}
    # nothing is left undone where nothing was to be done, or where nothing is wrong any more
    done = {host for host, one in known.items() if host in given.hosts and (not given.hosts[host].act or settled(given.hosts[host], one))}
    for host, one in known.items():
        if host in given.hosts:
            hosts[host], said = _host(given.hosts[host], one, declared, asked)
            notes += said
    gone = [host for host in given.hosts if host not in known]
    if gone:
        notes.append("in the plan and not in this run, so nothing is done there: %s" % _named(gone))
    fresh = [host for host, one in known.items() if host not in given.hosts and _ladder.suggested(rows(one.row, "verdicts"), declared)[0]]
    if fresh:
        notes.append("sick and not in the plan, so nothing is done there: %s" % _named(fresh))
    document = _plan.finish(hosts, known, asked)
    return Planned(document, [clean(note, 400) for note in notes], _plan.left(document, done))


def _named(hosts: t.Sequence[str]) -> str:
    return ", ".join(hosts[:10]) + (" and %d more" % (len(hosts) - 10) if len(hosts) > 10 else "")


def _host(given: GivenHost, one: Known, declared: Declared, asked: Asked) -> tuple[dict[str, t.Any], list[str]]:
    """The row of a host of the file, and lines about verdicts that are new since it was written."""
    offered = _ladder.suggested(rows(one.row, "verdicts"), declared)[0]
    ladder = [_step(step, offered, one, asked) for step in given.steps]
    row = _plan.host_row(one, ladder, asked)
    forbidden = None if given.act else given.held or "the plan says that nothing is to be done to it"
    row["held"] = _plan.absent(one, asked) or forbidden or moved(given, one) or _plan.in_others_hands(one, asked)
    planned = {(step.rule, step.service) for step in given.steps}
    new = [verdict for verdict in rows(one.row, "verdicts") if verdict.get("mitigations") and (verdict.get("rule"), verdict.get("service")) not in planned]
    return row, ["%s: not in the plan: %s (%s)" % (one.host, verdict.get("rule"), headline(verdict).replace("  ", " ")) for verdict in new]


def moved(given: GivenHost, one: Known) -> str | None:
    """Why the plan is no longer of this host, null where it is."""
    boot_id = text(one.snapshot, "taken", "boot_id")
    if given.boot_id is None or boot_id is None:
        return "the host may have moved on since the plan: whether it was started again is not known"
    if given.boot_id != boot_id:
        return "the host has moved on since the plan: it was started again"
    if given.steps and not any(_justified(step, one) for step in given.steps):
        unsure = [step for step in given.steps if _undecided(step, one)]
        if unsure:
            return "whether the host has moved on since the plan is not known: %s" % _lost(unsure[0], one)
        return "the host has moved on since the plan: %s" % _lost(given.steps[0], one)
    return None


def settled(given: GivenHost, one: Known) -> bool:
    """Whether the host was looked at, and nothing that the plan is for is found there any more."""
    return one.row.get("reached") is True and not any(_justified(step, one) or _undecided(step, one) for step in given.steps)


def _justified(step: GivenStep, one: Known) -> bool:
    return any((verdict.get("rule"), verdict.get("service")) == (step.rule, step.service) for verdict in rows(one.row, "verdicts"))


def _undecided(step: GivenStep, one: Known) -> bool:
    """Whether the rule that a step is for was not decided of something, which may be what the step is for."""
    return any(item.get("rule") == step.rule for item in rows(one.row, "unknown"))


def _lost(step: GivenStep, one: Known) -> str:
    """What became of the verdict that a step was for."""
    of = "%s of %s" % (step.rule, step.service) if step.service else step.rule
    for finding in rows(one.row, "findings"):
        if (finding.get("rule"), finding.get("service")) == (step.rule, step.service) and finding.get("explained_by"):
            return "%s is only an effect of %s now" % (of, finding["explained_by"])
    if _undecided(step, one):
        return "%s could not be decided this time" % of
    return "%s is not found any more" % of


def _step(given: GivenStep, offered: t.Sequence[Suggested], one: Known, asked: Asked) -> Held:
    """A step of the file, held where the fresh diagnosis does not suggest just that, where the file holds it, or where the ceilings do."""
    item = Suggested(given.mitigation, given.variables, given.rule, given.service)
    if not _justified(given, one):
        return Held(item, "dropped: %s" % _lost(given, one), False)
    ceilings = asked.ceilings.get(one.host, Ceilings())
    reason, for_a_person = _ladder.hold(item, ceilings, one.entries or [], asked.window_s)
    apart = _unlike(given, offered)
    if apart is not None:
        return Held(item, "; ".join(filter(None, [reason, apart])), False)
    if reason is None and given.held is not None:
        return Held(item, "the plan holds it (set held to null to have it done): %s" % given.held, False)
    return Held(item, reason, for_a_person)


def _unlike(given: GivenStep, offered: t.Sequence[Suggested]) -> str | None:
    """How a step differs from what the diagnosis suggests now, null where it does not.

    A line of a crontab may be another job's by now, and a step that is done to something else than what it is for could not be judged by it.
    """
    same = [
        item.variables for item in offered
        if (item.mitigation.id, item.rule, item.service) == (given.mitigation.id, given.rule, given.service)
    ]
    if given.variables in same:
        return None
    if not same:
        return "the diagnosis does not suggest it for this: run it by itself"
    return "the diagnosis suggests it with %s now" % (" ".join("%s=%s" % pair for pair in sorted(same[0].items())) or "nothing set")
