# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Apply the rules to one host: findings, which of them are only effects, the verdicts, and what is not known.

Private to oncall.pressure: no stable interface.
"""

from __future__ import annotations

import typing as t

from ansible_collections.oncall.pressure.plugins.plugin_utils._evaluate import Condition, Outcome, Selected, Selector, evaluate
from ansible_collections.oncall.pressure.plugins.plugin_utils._format import age, fill
from ansible_collections.oncall.pressure.plugins.plugin_utils._memory_figures import tell, told
from ansible_collections.oncall.pressure.plugins.plugin_utils._memory_pattern import patterns
from ansible_collections.oncall.pressure.plugins.plugin_utils._needs import NEEDED, collector, draws, failed, needs, silent, without_blanks
from ansible_collections.oncall.pressure.plugins.plugin_utils._rules import HELD_BEFORE, LEVELS, Rule, Sentence, Threshold
from ansible_collections.oncall.pressure.plugins.plugin_utils._subjects import Subject, subjects
from ansible_collections.oncall.pressure.plugins.plugin_utils._values import at, num, plain, rows, text

Facts = t.Mapping[str, t.Any]
Thresholds = t.Mapping[str, t.Mapping[str, Threshold]]

#: Components whose memory must have been measured before a host is called healthy.
_WATCHED = ("gunicorn", "uvicorn", "celery", "rq", "nginx", "postgres", "redis")

#: Words for a look that finds again what this one found.
LATER: t.Final = "a later look that finds it again (pressure_earlier)"

#: What others ask, and wait for.
_ASKED = ("postgres", "redis")

#: Rules about who waits for somebody else, who may well be on another host.
WAITS: t.Final = (
    "container.unhealthy", "queue.backlog_growing", "service.backlog_full", "service.not_answering", "web.upstream_timeouts", "web.waiting_for_external",
    "web.worker_timeouts", "worker.retry_storm",
)

_COMPONENTS = (*_WATCHED, "docker", "cron", "host", "other")


class Blind(t.NamedTuple):
    """A rule that cannot be decided since collectors failed, and where: a subject, or null where none of its kind could be seen."""

    rule: Rule
    subject: Subject | None
    gap: str


class Finding(t.NamedTuple):
    """A rule that fired on a subject, with what it says filled in. ``killed``: the kernel killed something of the subject; ``surer_with``: what would
    raise its confidence; ``explains``: the rules whose findings are its effects, as its facts are."""

    rule: Rule
    subject: Subject
    service: str | None
    name: str | None
    component: str
    confidence: str
    share: float | None
    killed: bool
    said: dict[str, list[str]]
    mitigations: list[dict[str, t.Any]]
    missing: list[str]
    surer_with: str | None
    explains: frozenset[str]


def judge(
    snapshot: t.Mapping[str, t.Any],
    rules: t.Mapping[str, Rule],
    thresholds: Thresholds,
    held: t.AbstractSet[tuple[str, str | None]] = frozenset(),
    before: t.Mapping[str, t.Any] | None = None,
) -> dict[str, t.Any]:
    """The diagnosis of one host (the row under ``hosts`` in ``diagnosis.json``).

    ``held`` names the (rule, service) that held at the last look: they clear only at their thresholds' ``leave``. ``before`` is that look's snapshot.
    """
    snapshot = without_blanks(snapshot)
    findings: list[Finding] = []
    unknown: dict[str, dict[str, None]] = {}
    blind: list[Blind] = []
    lost = failed(snapshot)
    memory = patterns(snapshot, before)
    everything: dict[str, list[tuple[Subject, Selector]]] = {}
    for subject in subjects(snapshot, memory):
        everything.setdefault(subject.kind, []).append((subject, Selector(subject.data)))
    for rule in rules.values():
        matching = everything.get(rule.subject, [])
        gap = None if matching else _gap(snapshot, NEEDED[rule.subject])
        if gap:
            unknown.setdefault(rule.id, {})[gap] = None
            if NEEDED[rule.subject] in lost:
                blind.append(Blind(rule, None, gap))
        for subject, selector in matching:
            finding, names = _apply(rule, subject, selector, thresholds[rule.id], snapshot, held)
            if finding is not None:
                findings.append(finding)
            if names:
                unknown.setdefault(rule.id, {}).update(dict.fromkeys(_missing(rule, names, snapshot)))
            wanting = [name for fact in names for name in draws(rule.subject, rule.facts[fact]) if name in lost] if lost else []
            if wanting:
                blind.append(Blind(rule, subject, _gap(snapshot, wanting[0]) or ""))
    findings.sort(key=_rank)
    effects = _explained(findings)
    verdicts = [_row(finding, _doubts(finding, blind)) for index, finding in enumerate(findings) if index not in effects]
    tell(verdicts, memory)
    past = past_gap(snapshot)
    for verdict in verdicts:
        if past is not None and verdict["resource"] == "memory":
            verdict["missing"] = [*verdict["missing"], past]
    essential = essential_gaps(snapshot, rules.values())
    return {
        "state": "incident" if verdicts else ("unknown" if essential else "healthy"),
        "reached": True,
        "reason": None if verdicts or not essential else "not measured: " + "; ".join(essential),
        "verdicts": verdicts,
        "findings": [
            {"rule": finding.rule.id, "service": finding.service, "confidence": finding.confidence, "explained_by": effects.get(index)}
            for index, finding in enumerate(findings)
        ],
        "unknown": [{"rule": rule, "missing": list(missing)[:20]} for rule, missing in unknown.items() if missing],
        "missing": essential + ([past] if past is not None else []),
        "next": verdicts[0]["next"] if verdicts else [],
        "memory": told(memory, snapshot),
    }


def standing(
    snapshot: t.Mapping[str, t.Any], rule: Rule, service: str | None, thresholds: t.Mapping[str, Threshold], about: str | None = None
) -> tuple[str, list[str]]:
    """How one rule stands on one service that it fired on at an earlier look: ``held``, ``clear`` or ``unknown``, with what is missing.

    It clears only at the ``leave`` of its thresholds, and of memory only where the kernel kills no more. A service that is not there is no answer.
    ``about``: the one subject that is meant, where the rule looks at several of a service (jobs).
    """
    snapshot = without_blanks(snapshot)
    said: list[str] = []
    met = False
    for subject in subjects(snapshot, patterns(snapshot)):
        if subject.kind != rule.subject or (about is not None and subject.name != about):
            continue
        finding, names = _apply(rule, subject, Selector(subject.data), thresholds, snapshot, {(rule.id, subject.service)})
        # a rule about the whole host that now names another service holds all the same: what asked for the step is not over
        if finding is not None and (service in (finding.service, None) or rule.says.service):
            return "held", []
        if subject.service == service or rule.subject != "service" or rule.says.service:
            met = True
            said += _missing(rule, names, snapshot)
    if rule.subject == "job" and text(snapshot, "collectors", "jobs", "status") in ("ok", "absent"):
        # no job runs at all
        met = True
    if said or not met:
        return "unknown", list(dict.fromkeys(said)) or ["%s was not seen" % (service or rule.subject)]
    killed = num(at(snapshot, "oom", "services"), service, "kills") if rule.says.resource == "memory" and service else None
    if killed:
        # Fewer and larger workers may be another rule's case: to whom they are killed that makes no difference.
        return "held", ["the kernel still kills processes of %s: %d in the last %s" % (service, killed, age(num(snapshot, "oom", "window_s") or 0))]
    return "clear", []


def shorter(thresholds: t.Mapping[str, Threshold], part: float) -> dict[str, Threshold]:
    """Thresholds for a look whose traffic window is only a part of the diagnosis's: in less time there are fewer requests, which is no relief."""
    return {
        name: threshold._replace(enter=threshold.enter * part, leave=threshold.leave * part)
        if name == "requests" and threshold.unit == "count" else threshold
        for name, threshold in thresholds.items()
    }


def _apply(
    rule: Rule,
    subject: Subject,
    selector: Selector,
    thresholds: t.Mapping[str, Threshold],
    snapshot: t.Mapping[str, t.Any],
    held: t.AbstractSet[tuple[str, str | None]],
) -> tuple[Finding | None, tuple[str, ...]]:
    """The finding of a rule on a subject if it fired, and the facts that were missing if that is not known."""
    now = (rule.id, subject.service) in held
    facts = Selected(rule.facts, selector, {HELD_BEFORE: now or None})
    numbers = {name: threshold.leave if now else threshold.enter for name, threshold in thresholds.items()}
    if rule.scope is not None:
        outcome = evaluate(rule.scope, facts, numbers)
        if not outcome.truth:
            return None, outcome.missing if outcome.truth is None else ()
    outcome = _decide(rule, facts, numbers)
    if not outcome.truth:
        return None, outcome.missing if outcome.truth is None else ()
    return _finding(rule, subject, facts, numbers, snapshot), ()


def _decide(rule: Rule, facts: Facts, numbers: t.Mapping[str, float]) -> Outcome:
    outcome = evaluate(rule.when, facts, numbers)
    lacking = tuple(name for name in rule.needs if facts.get(name) is None)
    # What is false without a needed fact is false with it too; what would fire without one must not.
    return Outcome(None, tuple(dict.fromkeys(lacking + outcome.missing))) if lacking and outcome.truth is not False else outcome


def _finding(rule: Rule, subject: Subject, facts: Facts, numbers: t.Mapping[str, float], snapshot: t.Mapping[str, t.Any]) -> Finding:
    says = rule.says
    service = facts.get(says.service) if says.service else subject.service
    component = facts.get(says.component) if says.component else subject.component
    share = facts.get(says.share) if says.share else None
    values = {**numbers, **facts}
    silent = [name for name, value in facts.items() if value is None]
    gaps = [gap for name in sorted(silent) for gap in [_gap(snapshot, collector(rule.subject, rule.facts[name]))] if gap]
    killed = (num(subject.data, "derived", "kills", "count") or 0) > 0 and says.resource == "memory"
    said = {key: _say(sentences, values, facts, numbers) for key, sentences in rule.sentences.items()}
    level = next(index for index, (dummy, when) in enumerate(rule.confidence) if when is None or _holds(when, facts, numbers))
    return Finding(
        rule,
        subject,
        service if isinstance(service, str) else None,
        _name(snapshot, service) or subject.name,
        component if component in _COMPONENTS else ("other" if service else "host"),
        rule.confidence[level][0],
        share if isinstance(share, (int, float)) and not isinstance(share, bool) else None,
        killed,
        said,
        _suggested(rule, service if isinstance(service, str) else None, values, facts, numbers),
        list(dict.fromkeys([*gaps, *said["not_measured"]])),
        _surer_with(rule, level, values, facts, numbers, snapshot),
        frozenset(effect for effect in rule.explains if _holds(rule.explains_when.get(effect), facts, numbers)),
    )


def _surer_with(
    rule: Rule, level: int, values: Facts, facts: Facts, numbers: t.Mapping[str, float], snapshot: t.Mapping[str, t.Any]
) -> str | None:
    """What would raise a confidence, in a line: what the rule says of its level, and what the levels above would have decided by had it been measured."""
    here = LEVELS.index(rule.confidence[level][0])
    above = [when for name, when in rule.confidence if when is not None and LEVELS.index(name) > here]
    lacking = list(dict.fromkeys(name for when in above for name in evaluate(when, facts, numbers).missing))
    found = _say(rule.surer_with[level], values, facts, numbers)
    gaps = [_gap(snapshot, collector(rule.subject, rule.facts[name])) for name in lacking if name != HELD_BEFORE]
    found += [gap for gap in gaps if gap]
    if not found:
        # the rule says nothing of it: what it would go by has names at least
        found = [LATER if name == HELD_BEFORE else name.replace("_", " ") for name in lacking]
    return "; ".join(list(dict.fromkeys(found))[:4]) or None


def _name(snapshot: t.Mapping[str, t.Any], service: t.Any) -> str | None:
    known = [*rows(snapshot, "services"), *rows(snapshot, "containers", "containers")]
    return next((text(row, "name") for row in known if row.get("id") == service), None) or (service if isinstance(service, str) else None)


def _holds(condition: Condition | None, facts: Facts, numbers: t.Mapping[str, float]) -> bool:
    return condition is None or evaluate(condition, facts, numbers).truth is True


def _say(sentences: t.Sequence[Sentence], values: Facts, facts: Facts, numbers: t.Mapping[str, float]) -> list[str]:
    said = [fill(sentence.text, values) for sentence in sentences if _holds(sentence.when, facts, numbers)]
    return [sentence for sentence in said if sentence is not None]


def _suggested(rule: Rule, service: str | None, values: Facts, facts: Facts, numbers: t.Mapping[str, float]) -> list[dict[str, t.Any]]:
    """The mitigations of a finding with their variables; one whose value was not measured, or is not harmless text, is left out.

    A mitigation acts on the finding's service, unless it says ``pressure_service`` itself; "" says that it needs none.
    """
    found: list[dict[str, t.Any]] = []
    for suggestion in rule.mitigations:
        if not _holds(suggestion.when, facts, numbers):
            continue
        variables = {"pressure_service": service, **{name: fill(text, values) for name, text in suggestion.variables.items()}}
        variables = {name: value for name, value in variables.items() if value != ""}
        if all(map(plain, variables.values())):
            found.append({"id": suggestion.id, "variables": variables})
    return found


def _rank(finding: Finding) -> tuple[t.Any, ...]:
    """Kills first, then the weight of the rule, then how much of the resource it is, then by name."""
    return (not finding.killed, -finding.rule.weight, -(finding.share or 0), finding.service or "", finding.rule.id)


def _explained(findings: t.Sequence[Finding]) -> dict[int, str]:
    """The findings that are effects of another one: ``{index: rule that explains it}``."""
    effects: dict[int, str] = {}
    causes: dict[int, int] = {}
    for index, cause in enumerate(findings):
        for other, effect in enumerate(findings):
            if effect.rule.id not in cause.explains or index == other or other in effects:
                continue
            if not _apart(cause.subject, cause.component, cause.service, effect) and other not in _behind(index, causes):
                effects[other] = cause.rule.id
                causes[other] = index
    return effects


def _behind(index: int, causes: t.Mapping[int, int]) -> list[int]:
    """A finding and whatever explains it in the end: what explains each other in a circle would leave nothing to be said."""
    found = [index]
    while found[-1] in causes:
        found.append(causes[found[-1]])
    return found


def _apart(subject: Subject, component: str, service: str | None, effect: Finding) -> bool:
    """Whether a finding cannot be the effect of what is found in a subject (and of whose service and component that is), for where they are."""
    asks = effect.component not in (*_ASKED, "host") and effect.subject.kind in ("service", "health", "container")
    if asks and (subject.kind == "database" or component in _ASKED and effect.rule.id in WAITS):
        # who asks a database waits for it, wherever it runs
        return False
    if subject.kind == "database" and service is None and effect.subject.kind == "host":
        # it may run elsewhere
        return True
    # A service explains itself and its host; what one host's traffic or memory does may explain any of its services.
    kinds = {subject.kind, effect.subject.kind}
    return kinds <= {"service", "job", "health", "container", "database"} and service != effect.service


def _far(subject: Subject, effect: Finding) -> bool:
    return _apart(subject, subject.component, subject.service, effect)


def _doubts(finding: Finding, blind: t.Sequence[Blind]) -> list[Blind]:
    """What could not be decided, as collectors failed, and may be the cause of what was found: a rule that would explain it, and that names another."""
    if finding.rule.says.cause == "none":
        return []
    found = []
    for other in blind:
        # a database names itself for what others do
        alike = other.rule.says.cause == finding.rule.says.cause and other.rule.subject != "database"
        if finding.rule.id in other.rule.explains and not alike and not (other.subject and _far(other.subject, finding)):
            found.append(other)
    return found


def _row(finding: Finding, doubts: t.Sequence[Blind]) -> dict[str, t.Any]:
    """A verdict. What may be the effect of something that could not be measured is measured itself, and its cause is not known: nothing lasting follows."""
    row = _plain_row(finding)
    if doubts:
        others = list(dict.fromkeys(doubt.rule.id for doubt in doubts))
        gaps = list(dict.fromkeys(doubt.gap for doubt in doubts))
        maybe = "whether it is the effect of %s: %s" % (" or ".join(others[:3]), ", ".join(gaps[:3]))
        pattern = "unknown" if row["resource"] == "memory" else None
        row.update(cause="none", pattern=pattern, confidence="low", missing=[maybe, *(line for line in row["missing"] if line not in gaps)], lasting=[])
    return row


def _plain_row(finding: Finding) -> dict[str, t.Any]:
    said = finding.said
    summary = said["summary"][0] if said["summary"] else finding.rule.title
    return {
        "resource": finding.rule.says.resource,
        "service": finding.service,
        "name": finding.name,
        "component": finding.component,
        "cause": finding.rule.says.cause,
        "rule": finding.rule.id,
        "title": finding.rule.title,
        "pattern": finding.rule.says.pattern,
        "confidence": finding.confidence,
        "share": None if finding.share is None else round(finding.share, 3),
        "summary": summary,
        "evidence": said["evidence"] or [summary],
        "ruled_out": said["ruled_out"],
        "missing": finding.missing,
        "surer_with": finding.surer_with,
        "next": said["next"],
        "lasting": said["lasting"],
        "mitigations": finding.mitigations,
        "source": list(finding.rule.source),
        "effect_of": None,
    }


def _gap(snapshot: t.Mapping[str, t.Any], name: str) -> str | None:
    """Why a collector's facts are missing, null where it says that it measured everything or that there is nothing to measure."""
    status = text(snapshot, "collectors", name, "status")
    if status in ("ok", "absent"):
        return None
    reason = text(snapshot, "collectors", name, "reason")
    return "%s (%s)" % (name, ": ".join(part for part in (status or "no answer", reason) if part))


def past_gap(snapshot: t.Mapping[str, t.Any]) -> str | None:
    """Why a Prometheus server that people named told nothing, or not all; null where it did, or none was named."""
    return None if text(snapshot, "collectors", "prometheus", "status") is None else _gap(snapshot, "prometheus")


def _missing(rule: Rule, names: t.Iterable[str], snapshot: t.Mapping[str, t.Any]) -> list[str]:
    """What was missing, in words: the reason of the collector that has one, else the name of the fact."""
    found: dict[str, None] = {}
    lost = failed(snapshot)
    for name in names:
        first, *others = draws(rule.subject, rule.facts[name])
        gaps = [_gap(snapshot, first), *(_gap(snapshot, other) for other in others if other in lost)]
        found[next((gap for gap in gaps if gap), name.replace("_", " "))] = None
    return list(found)


def essential_gaps(snapshot: t.Mapping[str, t.Any], rules: t.Iterable[Rule] = ()) -> list[str]:
    """What must have been measured before a host may be called healthy, and was not: memory, processors, kills, the limits of services, and whatever
    else these rules decide by that a collector should have told and did not."""
    wanted = (
        ("host", "memory of the host", num(snapshot, "host", "memory", "available_bytes")),
        ("host", "processor use of the host", num(snapshot, "host", "cpu", "used_pct")),
        ("services", "services and their limits", 1 if isinstance(snapshot.get("services"), list) else None),
        ("oom", "kernel kills", num(snapshot, "oom", "kills")),
    )
    found = [_gap(snapshot, name) or words for name, words, value in wanted if value is None]
    # A collector that failed may leave an empty list behind, and one that was stopped half of its figures: neither is a measurement.
    found.extend(_gap(snapshot, name) or name for name in ("host", "services") if text(snapshot, "collectors", name, "status") not in ("ok", "partial"))
    mute = silent(snapshot)
    wanted_by = frozenset(name for rule in rules for name in needs(rule)) if mute else frozenset()
    found.extend(_gap(snapshot, name) or name for name in sorted(mute & wanted_by))
    # what people had asked is essential to them: no answer is a finding, but not to have asked is a gap
    if text(snapshot, "collectors", "health", "status") not in (None, "ok", "absent"):
        found.append(_gap(snapshot, "health") or "health")
    covered = _uncovered(snapshot)
    blind = [
        text(row, "name") or str(row.get("id"))
        for row in rows(snapshot, "services")
        if row.get("component") in _WATCHED and row.get("state") == "running" and num(row, "memory", "bytes") is None
    ]
    if blind:
        found.append("memory of %s" % ", ".join(blind[:3]) + (" and %d more" % (len(blind) - 3) if len(blind) > 3 else ""))
    return list(dict.fromkeys([*found, *([covered] if covered else [])]))


def _uncovered(snapshot: t.Mapping[str, t.Any]) -> str | None:
    """Words for kernel kills that the log may not show, unless the counters say that it holds every kill there ever was."""
    covered = num(snapshot, "oom", "covered_s")
    window = num(snapshot, "oom", "window_s")
    uptime = num(snapshot, "taken", "uptime_s")
    kills = num(snapshot, "oom", "kills")
    if window is None or kills is None:
        return None
    others = num(snapshot, "oom", "unattributed") or 0
    # The machine's counter counts everybody's kills, the control group's (all that a container has) its own.
    machine, own = (num(snapshot, "oom", "counters", name) for name in ("vmstat_oom_kill", "cgroup_oom_kill"))
    if machine is None and own and not kills and others:
        # What is another's by the names in the log may be its own under a name that it does not see from inside.
        return "kernel kills: %d counted by the own control group, none attributed" % own
    reach = min(window, uptime) if uptime is not None else window
    # A minute of slack: a log begins with the boot's first message, and clocks are rounded.
    if covered is not None and covered >= reach - 60:
        return None
    counted, seen = (machine, kills + others) if machine is not None else (own, kills)
    if counted is not None and counted <= seen:
        return None
    if covered is None:
        return "kernel kills of the last %s (how far back the kernel's log reaches is not known)" % age(window)
    return "kernel kills longer ago than %s (the kernel's log begins there)" % age(covered)
