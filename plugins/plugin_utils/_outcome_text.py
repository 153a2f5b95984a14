# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What remediation says while it works and when it ends: lines for people.

Private to oncall.pressure: no stable interface. Pure: documents in, text out.
"""

from __future__ import annotations

import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._host._text import clean
from ansible_collections.oncall.pressure.plugins.plugin_utils import _ledger
from ansible_collections.oncall.pressure.plugins.plugin_utils._changes_text import span
from ansible_collections.oncall.pressure.plugins.plugin_utils._checks import Check
from ansible_collections.oncall.pressure.plugins.plugin_utils._report import SOME, visible_lines

Outcome = t.Mapping[str, t.Any]
Step = t.Mapping[str, t.Any]

#: How a host's end is said.
_WORDS: t.Final = {
    "closed": "CLOSED", "improved": "IMPROVED", "moved_on": "NOTHING LEFT TO DO", "checked": "CHECKED", "unchanged": "UNCHANGED", "partly": "PARTLY IMPROVED",
    "refused": "REFUSED", "held": "NOT BEGUN", "lost": "LOST", "failed": "FAILED", "begun": "INTERRUPTED",
}

_CHECKS: t.Final = {"under_80_pct": "under 80 %", "no_kills": "no kills", "stable": "stable", "responsive": "responsive"}


def what(step: Step) -> str:
    """A step in words: ``lower_workers of shop-web.service``."""
    variables = step.get("variables") or {}
    told = [str(variables[name]) for name in ("pressure_service", "pressure_job", "pressure_path", "pressure_client") if variables.get(name)]
    return "%s%s" % (step["mitigation"], " of %s" % " for ".join(told) if told else "")


def reason(step: Step) -> str:
    """Why a step is taken, for the journal on the host."""
    return clean("remediate: %s" % step["rule"], 200)


def begun(outcome: Outcome) -> str:
    """A host begins, or is not to."""
    if outcome["state"] != "begun":
        return _line(outcome, "not begun: %s" % outcome["why"])
    count = len(outcome["steps"])
    return _line(outcome, "begins: %d step%s planned" % (count, "" if count == 1 else "s at most"))


def taken(outcome: Outcome, number: int) -> str:
    """A step is begun."""
    step = outcome["steps"][number]
    work = ", work in flight may be lost" if step.get("loses_work") else ""
    return _line(outcome, "step %d of %d: %s (disruption %s%s), because of %s" % (
        number + 1, len(outcome["steps"]), what(step), step.get("disruption"), work, step["rule"]))


def watching(outcome: Outcome, least_s: float, most_s: float) -> str:
    """What is waited for after a step, and for how long."""
    return _line(outcome, "done; watching whether it helps, %s at least, %s at most" % (span(round(least_s)), span(round(most_s))))


def standing(outcome: Outcome, elapsed_s: float, effect: str, missing: t.Sequence[str] = ()) -> str:
    """How it looks after so many seconds."""
    words = {"held": "what asked for it still holds", "clear": "it is clear", "unknown": "not known (%s)" % (", ".join(missing) or "not measured"),
             "lost": "no answer"}
    return _line(outcome, "after %s: %s" % (span(round(elapsed_s)), words[effect]))


def looked(outcome: Outcome) -> str:
    """What the look before the first step found gone."""
    gone = [row for row in outcome["justified"] if row["effect"] == "clear"]
    return "\n".join(_line(outcome, "%s of %s is no longer so" % (row["rule"], row["service"] or "the host")) for row in gone)


def decided(outcome: Outcome, number: int, decision: str) -> str:
    """What follows from it."""
    step = outcome["steps"][number]
    later = any(one["state"] == "waiting" for one in outcome["steps"][number + 1:])
    words = {
        "confirm": "it is kept: %s" % step["why"] if step["why"] else "it helped: it is kept",
        "undo": "it is not seen to help: it is undone%s" % (", then the next step" if later else ""),
        "carry": "it counts at the next start: the restart is the next step",
        "none": "there was nothing to change" if step["state"] == "nothing" else "shown and not done",
    }
    return _line(outcome, words[decision])


def noted(outcome: Outcome, number: int) -> str:
    """How a step ended, where it did not come out."""
    step = outcome["steps"][number]
    if step["state"] in ("confirmed", "checked", "nothing", "carried") or not step["why"]:
        return ""
    return _line(outcome, "step %d, %s: %s" % (number + 1, step["state"], step["why"]))


def ended(outcome: Outcome) -> str:
    """How a host ended."""
    return _line(outcome, "%s%s" % (_WORDS[outcome["state"]], ": %s" % outcome["why"] if outcome["why"] else ""))


def watched(outcome: Outcome, elapsed_s: float, stable_for_s: float, found: t.Mapping[str, Check]) -> str:
    """How the four checks stand."""
    bad = ["%s (%s)" % (_CHECKS[name], check.why) for name, check in found.items() if check.holds is not True]
    if bad:
        return _line(outcome, "after %s: not yet: %s" % (span(round(elapsed_s)), "; ".join(bad)))
    return _line(outcome, "after %s: all four checks hold; closed once they have for %s" % (span(round(elapsed_s)), span(round(stable_for_s))))


def summary(outcomes: t.Mapping[str, Outcome], inventory: t.Sequence[str] = SOME) -> str:
    """The last words of a run: for each host what was changed, until when, how to undo it, what to mend for good; one line for all."""
    lines: list[str] = []
    counts: dict[str, int] = {}
    for host in sorted(outcomes):
        outcome = outcomes[host]
        state = str(outcome.get("state"))
        counts[state] = counts.get(state, 0) + 1
        lines += _block(host, outcome, inventory)
    order = [state for state in (*_ledger.GOOD, *_ledger.BAD, _ledger.BEGUN) if state in counts]
    total = sum(counts.values())
    lines.append("%d host%s: %s." % (total, "" if total == 1 else "s", ", ".join("%d %s" % (counts[state], _WORDS[state].lower()) for state in order)
                                     or "nothing was to be done"))
    return visible_lines(lines)


def _block(host: str, outcome: Outcome, inventory: t.Sequence[str]) -> list[str]:
    state = str(outcome.get("state"))
    name = clean(host, 60)
    margin = " " * (len(name) + 2)
    where = "%s -l %s" % (" ".join(inventory), name)
    lines = ["%s  %s%s" % (name, _WORDS.get(state, state), ": %s" % clean(str(outcome["why"]), 1000) if outcome.get("why") else "")]
    for step in outcome.get("steps") or []:
        if step["state"] in ("waiting", "needless"):
            continue
        until = "; ends by itself in %s" % span(step["lifetime_s"]) if step.get("lifetime_s") and step["state"] == "confirmed" else ""
        lines.append("%s%s: %s%s%s" % (margin, step["state"], what(step), until, " (change %s)" % step["entry"] if step.get("entry") else ""))
        if step["why"]:
            lines.append("%s  %s" % (margin, step["why"]))
    checks = outcome.get("checks") or {}
    if checks:
        said = ["%s: %s" % (_CHECKS[key], {True: "yes", False: "no", None: "not measured"}[checks[key]["holds"]]) for key in _CHECKS if key in checks]
        lines.append(margin + "checks: " + ", ".join(said))
    if state in ("lost", "begun", "failed"):
        lines.append("%swhat is not confirmed there is undone by the host itself; see: ansible-playbook oncall.pressure.status %s" % (margin, where))
    kept = sorted({str(step["incident"]) for step in outcome.get("steps") or [] if step["state"] == "confirmed" and step.get("incident")})
    lines += ["%sundo: ansible-playbook oncall.pressure.rollback %s -e pressure_incident=%s" % (margin, where, incident) for incident in kept]
    lines += [margin + "run:  " + command for command in outcome.get("run") or []] if state not in ("closed", "improved", "moved_on") else []
    lines += ["%sfor good: %s" % (margin, sentence) for sentence in outcome.get("lasting") or []] if state not in ("held", "begun") else []
    return lines


def _line(outcome: Outcome, words: str) -> str:
    return visible_lines(["%s  %s" % (clean(str(outcome["host"]), 60), words)])
