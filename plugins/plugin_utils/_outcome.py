# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What remediation did on one host, step by step, and what follows from it.

Private to oncall.pressure: no stable interface. Pure: documents in, documents and decisions out.

An outcome::

    {"schema": 1, "kind": "outcome", "host", "state": begun | one of the ledger's, "why": text|null, "began_s", "ended_s" (epoch),
     "justified": [{"rule", "service", "about": job or path|null, "effect": held|clear|easing|unknown|null}],
     "steps": [{"number", "mitigation", "variables", "rule", "service", "rung", "disruption", ..., "state": STATE, "why", "entry", "seconds"}],
     "checks": {NAME: {"holds": bool|null, "why"}}, "lasting": [text], "run": [command], "leftover": [entry]}

STATE of a step: ``waiting``, ``taken`` (begun), ``applied`` (done and not judged), ``confirmed``, ``undone``, ``carried`` (waits for a restart that is the next
step), ``nothing`` (there was nothing to change), ``refused``, ``failed``, ``lost``, ``checked`` (check mode), ``needless`` (what asked for it is gone).
"""

from __future__ import annotations

import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._host._text import clean
from ansible_collections.oncall.pressure.plugins.plugin_utils._documents import SCHEMA
from ansible_collections.oncall.pressure.plugins.plugin_utils._values import num, rows

Outcome = dict[str, t.Any]
Key = tuple[str, "str | None", "str | None"]
Step = dict[str, t.Any]

#: What a step copies from the plan.
_COPIED: t.Final = ("mitigation", "title", "variables", "rung", "disruption", "loses_work", "reversible", "settle_s")


#: States of a step of which nothing is left on the host.
_CAME_TO_NOTHING: t.Final = ("undone", "nothing", "refused", "needless")


class Taking(t.NamedTuple):
    """Whether a step is to be taken, and why not where it is not."""

    take: bool
    why: str | None


def begin(host: str, planned: t.Mapping[str, t.Any], now_s: float) -> Outcome:
    """The outcome of a host that begins, from its row of the plan. Steps that the plan holds are none of it."""
    steps: list[Step] = []
    justified: list[dict[str, t.Any]] = []
    for row in planned.get("steps") or []:
        if row.get("held"):
            continue
        # of jobs and paths a rule may name several on one service: each is a reason of its own
        variables = row.get("variables") or {}
        about = variables.get("pressure_job") or variables.get("pressure_path")
        reason = {"rule": row["for"]["rule"], "service": row["for"]["service"], "about": about}
        if all(key(one) != key(reason) for one in justified):
            justified.append(dict(reason, effect=None))
        steps.append(dict(
            {key: row.get(key) for key in _COPIED}, **reason, number=len(steps), state="waiting", why=None, entry=None, incident=None, seconds=None))
    return {
        "schema": SCHEMA, "kind": "outcome", "host": host, "state": "begun", "why": None, "began_s": round(now_s, 1), "ended_s": None,
        "justified": justified, "steps": steps, "checks": {}, "lasting": list(planned.get("lasting") or []), "run": list(planned.get("run") or []),
        # newest first, as they are undone
        "leftover": [str(row["entry"]) for row in reversed(planned.get("open") or []) if row.get("state") != "confirmed"],
    }


def key(row: t.Mapping[str, t.Any]) -> Key:
    """What a step is taken for: the rule, the service, and of several jobs or paths of one service which."""
    return row["rule"], row["service"], row.get("about")


def closed(host: str, state: str, why: str, now_s: float) -> Outcome:
    """The outcome of a host that never began."""
    return {
        "schema": SCHEMA, "kind": "outcome", "host": host, "state": state, "why": clean(why, 1000), "began_s": None, "ended_s": round(now_s, 1),
        "justified": [], "steps": [], "checks": {}, "lasting": [], "run": [], "leftover": [],
    }


def effect(outcome: t.Mapping[str, t.Any], step: t.Mapping[str, t.Any]) -> str | None:
    """How what asked for a step stood at the last look."""
    for row in outcome["justified"]:
        if key(row) == key(step):
            return t.cast("str | None", row["effect"])
    return None


def note_effects(outcome: Outcome, effects: t.Mapping[Key, str]) -> None:
    """Write down how each justification stands now."""
    for row in outcome["justified"]:
        row["effect"] = effects.get(key(row), row["effect"])


def taking(outcome: t.Mapping[str, t.Any], number: int, checking: bool) -> Taking:
    """Whether a step is to be taken now."""
    steps: list[Step] = outcome["steps"]
    step = steps[number]
    if outcome["state"] != "begun":
        # lost when it was looked at before the first step: what it would be like now, nobody knows
        return Taking(False, "the host ended as %s" % outcome["state"])
    stop = next((one for one in steps[:number] if one["state"] in ("lost", "failed") or one["state"] in ("taken", "applied")), None)
    if stop is not None:
        return Taking(False, "step %d did not end well" % (stop["number"] + 1))
    if step["state"] != "waiting":
        return Taking(False, "it was taken already")
    if checking:
        # whether it would help is not known: only what would be done first is shown
        before = any(key(one) == key(step) and one["state"] == "checked" for one in steps[:number])
        return Taking(not before, "only where the one before it does not help" if before else None)
    if effect(outcome, step) == "clear":
        return Taking(False, "what asked for it is gone")
    if effect(outcome, step) == "unknown" and step.get("loses_work"):
        return Taking(False, "whether it is still so is not known, and work in flight would be lost")
    return Taking(True, None)


def quiet_s(snapshot: t.Mapping[str, t.Any]) -> float:
    """How long no kill must be seen before that says anything: twice the time between those of the look before the first step; 0 where there was none.

    Of a single one it is not known how soon the next was due: the whole window then.
    """
    kills, window = num(snapshot, "oom", "kills"), num(snapshot, "oom", "window_s")
    if not kills:
        return 0.0
    ages = [age for age in (num(row, "age_s") for row in rows(snapshot, "oom", "events")) if age is not None]
    if len(ages) >= 2:
        return 2.0 * (max(ages) - min(ages)) / (len(ages) - 1)
    return 2.0 * (window or 3600.0) / kills


def decide(outcome: t.Mapping[str, t.Any], number: int, found: str) -> str:
    """What becomes of a step whose effect was watched: ``confirm``, ``undo``, or ``carry`` to the restart that is the next step.

    ``found``: held, clear, unknown or easing (see :func:`left_to_finish`). What is not seen to help is undone: that it may help is no reason to keep it.
    """
    step = outcome["steps"][number]
    if found in ("clear", "easing"):
        return "confirm"
    if step.get("acts_now") is False and restart_follows(outcome, number):
        return "carry"
    return "undo"


def left_to_finish(step: t.Mapping[str, t.Any], snapshot: t.Mapping[str, t.Any], since_s: float) -> str | None:
    """Why a pause is kept though what the job runs is not over yet; null where that is not so.

    Its effect is that nothing begins: that is seen where the next run was due within the ``since_s`` that it is watched, and none came. To resume it then
    would add to what runs.
    """
    job = next((row for row in rows(snapshot, "jobs", "cron") if row.get("id") == (step.get("variables") or {}).get("pressure_job")), None)
    ages = [num(run, "age_s") for run in rows(job, "running")]
    period = num(job, "period_s")
    if step.get("mitigation") != "pause_jobs" or job is None or job.get("paused") is not True or not ages or period is None or period > since_s:
        return None
    if any(age is None or age < since_s for age in ages):
        return None
    return "paused, and no run began since; %d that began before %s left to finish" % (len(ages), "is" if len(ages) == 1 else "are")


def restart_follows(outcome: t.Mapping[str, t.Any], number: int) -> bool:
    """Whether a later step, the next one or one after it, restarts the service that this one changed."""
    service = outcome["steps"][number]["service"]
    return any(later["mitigation"] == "restart_service" and later["service"] == service for later in outcome["steps"][number + 1:])


def _carried(outcome: t.Mapping[str, t.Any], number: int) -> t.Iterator[Step]:
    """The steps that wait for this one, newest first; between them may be some that came to nothing."""
    for step in reversed(outcome["steps"][:number]):
        if step["state"] == "carried":
            yield step
        elif step["state"] not in _CAME_TO_NOTHING:
            return


def together(outcome: t.Mapping[str, t.Any], number: int) -> list[str]:
    """The entries that are undone with a step, newest first: its own, and those carried to it."""
    return [step["entry"] for step in (outcome["steps"][number], *_carried(outcome, number)) if step["entry"]]


def settle_carried(outcome: Outcome, number: int, state: str) -> None:
    """What was carried to a step ends as the step does."""
    for step in list(_carried(outcome, number)):
        # that it did not help by itself is no longer worth a word once it is kept
        step.update(state=state, why=None if state == "confirmed" else step["why"])


def note_clear(outcome: t.Mapping[str, t.Any]) -> list[list[str | None]]:
    """What is clear now, as its keys: a step that begins keeps it, for the case that it is put back."""
    return [list(key(row)) for row in outcome["justified"] if row["effect"] == "clear"]


def forget_effect(outcome: Outcome, number: int) -> None:
    """What was seen while a step was in effect says nothing once it is put back: only a look after that would. What was clear before it stays so."""
    step = outcome["steps"][number]
    before = step.get("clear_before") or []
    for row in outcome["justified"]:
        own = key(row) == key(step)
        if own or (row["effect"] == "clear" and list(key(row)) not in before):
            row["effect"] = "unknown"


def first_failure(result: t.Mapping[str, t.Any]) -> t.Mapping[str, t.Any]:
    """Of a task in a loop what failed in it: the result of the loop itself only says that something did."""
    items = [row for row in result.get("results") or [] if isinstance(row, t.Mapping)] if isinstance(result.get("results"), (list, tuple)) else []
    return next((row for row in items if row.get("failed")), None) or next((row for row in items if row.get("unreachable")), None) or result


def failed(result: t.Mapping[str, t.Any]) -> tuple[str, str]:
    """The state of a step whose task failed, and why: ``refused`` touched nothing, ``undone`` was put back, all else is ``failed``."""
    result = first_failure(result)
    why = clean(str(result.get("msg") or "no reason was given"), 1000)
    if result.get("unreachable"):
        return "lost", why
    if result.get("critical"):
        return "failed", why
    if result.get("refused"):
        return "refused", why
    states = {str(row.get("state")) for row in result.get("entries") or [] if isinstance(row, t.Mapping)} | {str(result.get("state"))}
    if states & {"undone", "expired"} or why.startswith("nothing was changed"):
        return "undone", why
    return "failed", why


def finish(outcome: Outcome, now_s: float) -> None:
    """Write down how the host ended, by its steps and by how what asked for them stands."""
    steps, states = outcome["steps"], [step["state"] for step in outcome["steps"]]
    effects = [row["effect"] for row in outcome["justified"]]
    outcome["ended_s"] = round(now_s, 1)
    state, why = _ending(steps, states, effects)
    outcome["state"], outcome["why"] = state, why


def _ending(steps: t.Sequence[Step], states: t.Sequence[str], effects: t.Sequence[str | None]) -> tuple[str, str | None]:
    for bad, word in (("lost", "lost"), ("failed", "failed"), ("taken", "failed"), ("applied", "failed"), ("carried", "failed")):
        if bad in states:
            step = steps[states.index(bad)]
            return word, step["why"] or "step %d (%s) was interrupted" % (step["number"] + 1, step["mitigation"])
    if "checked" in states:
        return "checked", None
    kept = states.count("confirmed")
    # what was begun before a pause and is left to finish is watched to its end, and no failure of the pause
    clear = effects.count("clear") + effects.count("easing")
    if clear == len(effects):
        return ("improved", None) if kept else ("moved_on", "what the plan is for is no longer so")
    if kept and clear:
        return "partly", "of %d verdicts %d are clear" % (len(effects), clear)
    if states and all(state == "refused" for state in states):
        return "refused", steps[0]["why"] or "every step was refused"
    if kept:
        return "partly", "what was kept has not cleared what asked for it"
    tried = [step for step in steps if step["state"] in ("undone", "nothing", "refused")]
    return "unchanged", "nothing that may be done here helped (%s)%s" % (
        ", ".join("%s: %s" % (step["mitigation"], step["state"]) for step in tried) or "no step was taken",
        "; everything was put back" if "undone" in states else "")
