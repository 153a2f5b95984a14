# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What may be done to one host, in which order, and what of it must wait for a person.

Private to oncall.pressure: no stable interface. Pure: verdicts, declarations, ceilings and the journal in, steps out.

A step: ``{"mitigation", "title", "rung", "disruption", "loses_work", "reversible", "evidence_first", "settle_s", "variables": {name: text},
"for": {"rule", "service"}, "held": null | why it is not done by itself}``.
"""

from __future__ import annotations

import typing as t

from ansible_collections.oncall.pressure.plugins.plugin_utils._format import age
from ansible_collections.oncall.pressure.plugins.plugin_utils._mitigations import DISRUPTIONS, RUNGS, Mitigation
from ansible_collections.oncall.pressure.plugins.plugin_utils._values import num, plain, rows, text

Row = t.Mapping[str, t.Any]
Declared = t.Mapping[str, Mitigation]

#: The mitigation whose return within a window shows that it does not help.
RESTART: t.Final = "restart_service"

#: States of a change after which nothing of it is there any more.
OVER: t.Final = ("undone", "expired")


class Ceilings(t.NamedTuple):
    """How far a host may be changed by itself.

    ``mitigations``: only these (none: all that are automatic; one that is named need not be automatic). ``never``: not these, whatever else is said.
    """

    max_rung: int = 5
    max_disruption: str = "medium"
    mitigations: tuple[str, ...] = ()
    never: tuple[str, ...] = ()


class Suggested(t.NamedTuple):
    """A mitigation that a verdict of this host suggests, with its variables, and which verdict."""

    mitigation: Mitigation
    variables: dict[str, str]
    rule: str
    service: str | None


def read_ceilings(given: Row, declared: Declared) -> Ceilings:
    """Ceilings out of ``{max_rung, max_disruption, mitigations, never}``, each left out where it is not set; texts of a command line count too.

    Raises ValueError with one line that names the variable.
    """
    known = {"max_rung", "max_disruption", "mitigations", "never"}
    for name in given:
        if name not in known:
            raise ValueError("%s is no ceiling (known: %s)" % (name, ", ".join(sorted(known))))
    default = Ceilings()
    return Ceilings(
        _rung(given.get("max_rung", default.max_rung)),
        _disruption(given.get("max_disruption", default.max_disruption)),
        _names("pressure_mitigations", given.get("mitigations", ()), declared),
        _names("pressure_never", given.get("never", ()), declared),
    )


def _rung(value: t.Any) -> int:
    number = int(value) if isinstance(value, str) and value.strip().isdecimal() and len(value) < 5 else value
    if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number <= RUNGS[1]:
        raise ValueError("pressure_max_rung must be a whole number from 0 to %d, not %r" % (RUNGS[1], value))
    return int(number)


def _disruption(value: t.Any) -> str:
    if value not in DISRUPTIONS:
        raise ValueError("pressure_max_disruption must be one of %s, not %r" % (", ".join(DISRUPTIONS), value))
    return str(value)


def _names(variable: str, value: t.Any, declared: Declared) -> tuple[str, ...]:
    items = [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value
    if not isinstance(items, (list, tuple)):
        raise ValueError("%s must be a list of mitigations" % variable)
    for item in items:
        if not isinstance(item, str) or item not in declared:
            raise ValueError("%s: %s is no mitigation (known: %s)" % (variable, item, ", ".join(sorted(declared))))
    return tuple(str(item) for item in items)


def suggested(verdicts: t.Sequence[Row], declared: Declared) -> tuple[list[Suggested], list[str]]:
    """What the verdicts suggest, in their order and as their rules list it, and a line for each suggestion that nobody can follow.

    Nothing gets through that is not declared: no other mitigation, no other variable, no value that is not harmless text.
    """
    found: list[Suggested] = []
    problems: list[str] = []
    for verdict in verdicts:
        rule, service = text(verdict, "rule") or "", text(verdict, "service")
        for item in rows(verdict, "mitigations"):
            mitigation = declared.get(text(item, "id") or "")
            variables = item.get("variables")
            foreign = sorted(map(str, set(variables) - mitigation.variables)) if mitigation is not None and isinstance(variables, dict) else []
            if mitigation is None:
                problems.append("%s suggests %s, which is no mitigation of this collection" % (rule, item.get("id")))
            elif not isinstance(variables, dict) or not all(map(plain, variables.values())):
                problems.append("%s suggests %s with a value that is not plain text" % (rule, mitigation.id))
            elif foreign:
                problems.append("%s suggests %s with %s, which it does not take" % (rule, mitigation.id, ", ".join(foreign)))
            else:
                found.append(Suggested(mitigation, {str(name): str(value) for name, value in variables.items()}, rule, service))
    return found, problems


def order(found: t.Sequence[Suggested]) -> list[Suggested]:
    """The ladder: verdicts in their order, inside one by rung, then as its rule lists them; what loses work after all that loses none.

    What two verdicts suggest in the same words is one step, that of the more pressing.
    """
    places: dict[tuple[str, str | None], int] = {}
    for item in found:
        places.setdefault((item.rule, item.service), len(places))
    ladder = sorted(found, key=lambda item: (item.mitigation.loses_work, places[item.rule, item.service], item.mitigation.rung))
    once: dict[tuple[t.Any, ...], Suggested] = {}
    for item in ladder:
        once.setdefault((item.mitigation.id, *sorted(item.variables.items())), item)
    return list(once.values())


def step(item: Suggested, held: str | None) -> dict[str, t.Any]:
    """The row of a step. What it is declared to be is taken from the collection and nowhere else."""
    mitigation = item.mitigation
    return {
        "mitigation": mitigation.id, "title": mitigation.title, "rung": mitigation.rung, "disruption": mitigation.disruption,
        "loses_work": mitigation.loses_work, "reversible": mitigation.reversible, "evidence_first": mitigation.evidence_first, "settle_s": mitigation.settle_s,
        "variables": dict(item.variables), "for": {"rule": item.rule, "service": item.service}, "held": held,
    }


def above(mitigation: Mitigation, ceilings: Ceilings) -> list[str]:
    """Why a mitigation is not done by itself on a host with these ceilings; nothing where it may be."""
    reasons: list[str] = []
    if mitigation.id in ceilings.never:
        reasons.append("it is named in pressure_never")
    if ceilings.mitigations and mitigation.id not in ceilings.mitigations:
        reasons.append("pressure_mitigations allows only %s" % ", ".join(ceilings.mitigations))
    elif not mitigation.automatic and mitigation.id not in ceilings.mitigations:
        reasons.append("it is only done where pressure_mitigations names it")
    if mitigation.rung > ceilings.max_rung:
        reasons.append("rung %d is above pressure_max_rung %d" % (mitigation.rung, ceilings.max_rung))
    if DISRUPTIONS.index(mitigation.disruption) > DISRUPTIONS.index(ceilings.max_disruption):
        reasons.append("disruption %s is above pressure_max_disruption %s" % (mitigation.disruption, ceilings.max_disruption))
    return reasons


def recurred(item: Suggested, entries: t.Sequence[Row], window_s: float) -> str | None:
    """Why a service is not restarted once more: it was within the window, that was kept, and here is a verdict of it again.

    A change of ours has the rule that it was made for in its reason; one that was made by hand does not say what it was for.
    """
    if item.mitigation.id != RESTART:
        return None
    service = item.variables.get("pressure_service") or item.service
    before = [
        entry for entry in entries
        if entry.get("mitigation") == RESTART and entry.get("state") == "confirmed" and service is not None and entry.get("service") == service
    ]
    # one whose age is not known may have been just now
    recent = [(passed, entry) for entry in before for passed in [num(entry, "age_s")] if passed is None or passed <= window_s]
    if not recent:
        return None
    passed, last = min(recent, key=lambda found: found[0] or 0)
    what = "the same verdict" if item.rule in (text(last, "reason") or "").split() else "a verdict of it"
    ago = "after a restart" if passed is None else "within %s of a restart" % age(passed)
    return "%s came back %s: restarts do not help, the lasting fixes do" % (what, ago)


def hold(item: Suggested, ceilings: Ceilings, entries: t.Sequence[Row], window_s: float) -> tuple[str | None, bool]:
    """Why a step is held, null where it is not; and whether a person is told how to run it: not what was forbidden, nor what is known not to help."""
    name = item.mitigation.id
    again = recurred(item, entries, window_s)
    reasons = [*above(item.mitigation, ceilings), *([again] if again else [])]
    forbidden = name in ceilings.never or (bool(ceilings.mitigations) and name not in ceilings.mitigations)
    return "; ".join(reasons) or None, bool(reasons) and not forbidden and again is None
