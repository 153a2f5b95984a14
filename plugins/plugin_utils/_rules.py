# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Load rules from YAML, strictly: what is not understood is an error with its file and line.

Private to oncall.pressure: no stable interface. docs/rules.md says what each word of a rule means.
"""

from __future__ import annotations

import os
import re
import typing as t

from ansible_collections.oncall.pressure.plugins.plugin_utils._evaluate import (
    COMBINERS,
    LIST_OPERATORS,
    OPERATORS,
    ORDER_OPERATORS,
    UNARY,
    BadExpression,
    Combine,
    Compare,
    Condition,
    Operand,
    compiled,
    is_number,
)
from ansible_collections.oncall.pressure.plugins.plugin_utils._format import BadTemplate, placeholders
from ansible_collections.oncall.pressure.plugins.plugin_utils._located import BadFile, Located, Place, load

SUBJECTS = ("host", "service", "nginx", "job", "health", "container", "redis", "queue", "database")
RESOURCES = ("cpu", "memory", "io", "waiting", "descriptors", "connections")
CAUSES = (
    "traffic", "abusive_client", "code", "database", "jobs", "concurrency", "limit_too_low", "growth", "payload", "deploy", "io", "external", "none",
)
PATTERNS = (
    "one_worker_growing", "every_worker_large", "follows_traffic", "follows_jobs", "high_while_idle", "jump_after_concurrency_change", "mixed", "steady",
    "unknown",
)
LEVELS = ("low", "medium", "high")

#: What every rule may ask for in its confidence: true where it held at an earlier look as well, null where that is not known.
HELD_BEFORE: t.Final = "held_before"

UNITS = ("pct", "share", "bytes", "s", "per_s", "ratio", "cpus", "count", "pages_per_s", "ms")

_REQUIRED = ("id", "title", "subject", "facts", "when", "says", "weight", "confidence", "summary", "evidence", "next", "lasting", "source")
_OPTIONAL = ("scope", "needs", "thresholds", "explains", "ruled_out", "not_measured", "mitigations")
_SENTENCES = ("summary", "evidence", "ruled_out", "next", "lasting", "not_measured")
_ID = re.compile(r"[a-z][a-z0-9]*\.[a-z][a-z0-9_]*")
_NAME = re.compile(r"[a-z][a-z0-9_]*")


class Threshold(t.NamedTuple):
    """A named number: what fires, what clears again, its unit and what it means."""

    enter: float
    leave: float
    unit: str
    doc: str


class Sentence(t.NamedTuple):
    """Text to fill, said where its condition (if any) holds."""

    text: str
    when: Condition | None


class Suggestion(t.NamedTuple):
    """A mitigation that a rule suggests where its condition (if any) holds: its id, and texts to fill for its variables."""

    id: str
    variables: dict[str, str]
    when: Condition | None


class Says(t.NamedTuple):
    """The answer of a rule. ``service``, ``component`` and ``share`` name facts that hold them where the subject itself does not."""

    resource: str
    cause: str
    pattern: str | None
    service: str | None
    component: str | None
    share: str | None


class Rule(t.NamedTuple):
    """One rule, checked. ``surer_with``: for each level of ``confidence`` what would raise it; ``explains_when``: for some of ``explains`` a condition."""

    id: str
    title: str
    subject: str
    scope: Condition | None
    facts: dict[str, str]
    needs: tuple[str, ...]
    thresholds: dict[str, Threshold]
    when: Condition
    says: Says
    weight: int
    confidence: tuple[tuple[str, Condition | None], ...]
    surer_with: tuple[tuple[Sentence, ...], ...]
    explains: tuple[str, ...]
    explains_when: dict[str, Condition]
    sentences: dict[str, tuple[Sentence, ...]]
    mitigations: tuple[Suggestion, ...]
    source: tuple[str, ...]
    place: str


class RuleSet(t.NamedTuple):
    """The rules in force by id, and one line for each rule of the user's that is broken and left out."""

    rules: dict[str, Rule]
    problems: tuple[str, ...]


def load_rules(shipped: str, folders: t.Sequence[str] = ()) -> RuleSet:
    """The shipped rules, with those of the user's folders added or, by id, put in their place.

    Raises BadFile where a shipped rule is broken or a folder cannot be read. A broken rule of the user's is a line in
    ``problems``; a shipped rule that it was to replace stays in force.
    """
    rules: dict[str, Rule] = {}
    problems: list[str] = []
    _load_folder(shipped, rules, None)
    for folder in folders:
        _load_folder(folder, rules, problems)
    for rule in rules.values():
        for other in rule.explains:
            if other not in rules:
                problems.append("%s: %s explains %s, which is no rule" % (rule.place, rule.id, other))
    if problems and not folders:
        raise BadFile(shipped, 1, problems[0])
    return RuleSet(rules, tuple(problems))


def _load_folder(folder: str, rules: dict[str, Rule], problems: list[str] | None) -> None:
    """Add the rules of one folder; the first problem is raised where ``problems`` is null."""
    try:
        names = sorted(name for name in os.listdir(folder) if name.endswith((".yml", ".yaml")) and not name.startswith("."))
    except OSError as problem:
        raise BadFile(folder, 1, "rules folder: %s" % (problem.strerror or "cannot be read")) from None
    seen: dict[str, str] = {}
    for name in names:
        try:
            located = load(os.path.join(folder, name))
            if not isinstance(located.data, list):
                raise located.problem((), "a rules file is a list of rules")
        except BadFile as problem:
            if problems is None:
                raise
            problems.append(str(problem))
            continue
        for index in range(len(located.data)):
            try:
                rule = read_rule(located, index)
                if rule.id in seen:
                    raise located.problem((index, "id"), "%s is already defined at %s" % (rule.id, seen[rule.id]))
            except BadFile as problem:
                if problems is None:
                    raise
                problems.append(str(problem))
                continue
            seen[rule.id] = rule.place
            rules[rule.id] = rule


def read_rule(located: Located, index: int) -> Rule:
    """One rule out of a file, checked. Raises BadFile."""
    return _Reader(located, index).rule()


class _Reader:
    """Checks one rule of a file, place by place."""

    def __init__(self, located: Located, index: int) -> None:
        self._located = located
        self._base: Place = (index,)
        self._data = located.data[index]
        self._facts: dict[str, str] = {}
        self._thresholds: dict[str, Threshold] = {}

    def _fail(self, place: Place, text: str) -> BadFile:
        return self._located.problem((*self._base, *place), text)

    def _keys(self, value: t.Any, place: Place, required: t.Sequence[str], optional: t.Sequence[str] = ()) -> dict[str, t.Any]:
        if not isinstance(value, dict):
            raise self._fail(place, "%s must be a mapping" % (place[-1] if place else "a rule"))
        for key in value:
            if key not in required and key not in optional:
                raise self._fail((*place, key), "unknown word %s (known: %s)" % (key, ", ".join([*required, *optional])))
        for key in required:
            if key not in value:
                raise self._fail(place, "%s is missing" % key)
        return value

    def _text(self, value: t.Any, place: Place) -> str:
        if not isinstance(value, str) or not value.strip():
            raise self._fail(place, "%s must be text" % place[-1])
        return value

    def _choice(self, value: t.Any, place: Place, choices: t.Sequence[str]) -> str:
        if not isinstance(value, str) or value not in choices:
            raise self._fail(place, "%s must be one of %s" % (place[-1], ", ".join(choices)))
        return value

    def _texts(self, key: str) -> tuple[str, ...]:
        value = self._data.get(key, [])
        if not isinstance(value, list):
            raise self._fail((key,), "%s must be a list" % key)
        return tuple(self._text(item, (key, index)) for index, item in enumerate(value))

    def rule(self) -> Rule:
        data = self._keys(self._data, (), _REQUIRED, _OPTIONAL)
        if not isinstance(data["id"], str) or not _ID.fullmatch(data["id"]):
            raise self._fail(("id",), "id must be component.snake_case")
        self._facts = self._read_facts()
        self._thresholds = self._read_thresholds()
        if not isinstance(data["weight"], int) or isinstance(data["weight"], bool) or not 0 <= data["weight"] <= 100:
            raise self._fail(("weight",), "weight must be a whole number from 0 to 100")
        needs = self._texts("needs")
        for index, name in enumerate(needs):
            self._fact(name, ("needs", index))
        effects = self._explains()
        rule = Rule(
            id=data["id"],
            title=self._text(data["title"], ("title",)),
            subject=self._choice(data["subject"], ("subject",), SUBJECTS),
            scope=self._condition(data["scope"], ("scope",)) if "scope" in data else None,
            facts=self._facts,
            needs=needs,
            thresholds=self._thresholds,
            when=self._condition(data["when"], ("when",)),
            says=self._says(data["says"]),
            weight=data["weight"],
            confidence=self._confidence(data["confidence"]),
            surer_with=tuple(self._sentences("confidence", index, "surer_with") for index in range(len(data["confidence"]))),
            explains=tuple(effects),
            explains_when={effect: when for effect, when in effects.items() if when is not None},
            sentences={key: self._sentences(key) for key in _SENTENCES},
            mitigations=self._mitigations(),
            source=self._texts("source"),
            place="%s:%d" % (self._located.path, self._located.line((*self._base, "id"))),
        )
        if not rule.sentences["summary"] or not rule.sentences["evidence"]:
            raise self._fail((), "a rule says at least one summary and one evidence")
        return rule

    def _read_facts(self) -> dict[str, str]:
        facts = self._data["facts"]
        if not isinstance(facts, dict) or not facts:
            raise self._fail(("facts",), "facts must map names to selections")
        for name, expression in facts.items():
            place = ("facts", name)
            if not _NAME.fullmatch(name):
                raise self._fail(place, "the name of a fact must be snake_case")
            try:
                compiled(self._text(expression, place))
            except BadExpression as problem:
                raise self._fail(place, str(problem)) from None
        return t.cast("dict[str, str]", facts)

    def _read_thresholds(self) -> dict[str, Threshold]:
        value = self._data.get("thresholds", {})
        if not isinstance(value, dict):
            raise self._fail(("thresholds",), "thresholds must map names to numbers")
        found = {}
        for name, row in value.items():
            place = ("thresholds", name)
            if not _NAME.fullmatch(name):
                raise self._fail(place, "the name of a threshold must be snake_case")
            row = self._keys(row, place, ("enter", "leave", "unit", "doc"))
            for key in ("enter", "leave"):
                if not is_number(row[key]):
                    raise self._fail((*place, key), "%s must be a number" % key)
            unit = self._choice(row["unit"], (*place, "unit"), UNITS)
            found[name] = Threshold(row["enter"], row["leave"], unit, self._text(row["doc"], (*place, "doc")))
        return found

    def _fact(self, name: t.Any, place: Place) -> str:
        told = name == HELD_BEFORE and place[0] == "confidence"
        if not isinstance(name, str) or name not in self._facts and not told:
            raise self._fail(place, "%s is no fact of this rule" % (name,))
        return name

    def _condition(self, value: t.Any, place: Place) -> Condition:
        """A list of conditions that must all hold, a mapping with one combiner, or one comparison ``[fact, operator, operand]``."""
        if isinstance(value, dict):
            if len(value) != 1 or next(iter(value)) not in COMBINERS:
                raise self._fail(place, "a condition has one of %s" % ", ".join(COMBINERS))
            how, parts = next(iter(value.items()))
            if how == "not":
                return Combine("not", (self._condition(parts, (*place, how)),))
            if not isinstance(parts, list) or not parts:
                raise self._fail((*place, how), "%s must be a list of conditions" % how)
            return Combine(how, tuple(self._condition(part, (*place, how, index)) for index, part in enumerate(parts)))
        if not isinstance(value, list) or not value:
            raise self._fail(place, "a condition is [fact, operator, operand], or all, any, not")
        if isinstance(value[0], str):
            return self._compare(value, place)
        return Combine("all", tuple(self._condition(part, (*place, index)) for index, part in enumerate(value)))

    def _compare(self, value: list[t.Any], place: Place) -> Compare:
        fact = self._fact(value[0], place)
        operator = value[1] if len(value) > 1 else None
        if operator in UNARY and len(value) == 2:
            return Compare(fact, t.cast(str, operator), Operand("none", None))
        if not isinstance(operator, str) or operator not in OPERATORS:
            raise self._fail(place, "unknown operator %s (known: %s)" % (operator, ", ".join([*OPERATORS, *UNARY])))
        if len(value) != 3:
            raise self._fail(place, "a comparison is [fact, operator, operand]")
        return Compare(fact, operator, self._operand(operator, value[2], place))

    def _operand(self, operator: str, value: t.Any, place: Place) -> Operand:
        if isinstance(value, str) and value.startswith("$"):
            if value[1:] not in self._thresholds:
                raise self._fail(place, "%s is no threshold of this rule" % value[1:])
            return Operand("threshold", value[1:])
        if isinstance(value, str) and value.startswith("@"):
            return Operand("fact", self._fact(value[1:], place))
        if operator in LIST_OPERATORS:
            if not isinstance(value, list) or (operator == "between" and (len(value) != 2 or not all(map(is_number, value)))):
                raise self._fail(place, "%s takes a list" % operator if operator != "between" else "between takes [lowest, highest]")
        elif isinstance(value, (list, dict)) or value is None:
            raise self._fail(place, "%s takes one value" % operator)
        elif operator in ORDER_OPERATORS and not is_number(value):
            raise self._fail(place, "%s takes a number" % operator)
        return Operand("literal", value)

    def _says(self, value: t.Any) -> Says:
        row = self._keys(value, ("says",), ("resource", "cause"), ("pattern", "service", "component", "share"))
        for key in ("service", "component", "share"):
            if row.get(key) is not None:
                self._fact(row[key], ("says", key))
        return Says(
            self._choice(row["resource"], ("says", "resource"), RESOURCES),
            self._choice(row["cause"], ("says", "cause"), CAUSES),
            None if row.get("pattern") is None else self._choice(row["pattern"], ("says", "pattern"), PATTERNS),
            row.get("service"),
            row.get("component"),
            row.get("share"),
        )

    def _confidence(self, value: t.Any) -> tuple[tuple[str, Condition | None], ...]:
        """The levels in the order they are tried; the last one has no condition."""
        if not isinstance(value, list) or not value:
            raise self._fail(("confidence",), "confidence must be a list of levels")
        found: list[tuple[str, Condition | None]] = []
        for index, row in enumerate(value):
            place = ("confidence", index)
            row = self._keys(row, place, ("level",), ("when", "surer_with"))
            level = self._choice(row["level"], (*place, "level"), LEVELS)
            if level == LEVELS[-1] and "surer_with" in row:
                raise self._fail((*place, "surer_with"), "nothing is surer than %s" % level)
            last = index == len(value) - 1
            if last is ("when" in row):
                raise self._fail(place, "every level but the last has a condition, the last has none")
            found.append((level, None if last else self._condition(row["when"], (*place, "when"))))
        return tuple(found)

    def _explains(self) -> dict[str, Condition | None]:
        """Ids of rules, or mappings of an id and of a condition of this rule under which that one is its effect."""
        value = self._data.get("explains", [])
        if not isinstance(value, list):
            raise self._fail(("explains",), "explains must be a list")
        found: dict[str, Condition | None] = {}
        for index, item in enumerate(value):
            place = ("explains", index)
            row = self._keys(item if isinstance(item, dict) else {"id": item}, place, ("id",), ("when",))
            found[self._text(row["id"], (*place, "id"))] = self._condition(row["when"], (*place, "when")) if "when" in row else None
        return found

    def _sentences(self, *where: str | int) -> tuple[Sentence, ...]:
        value: t.Any = self._data
        for key in where:
            value = value.get(key, []) if isinstance(value, dict) else value[key]
        if not isinstance(value, list):
            raise self._fail(where, "%s must be a list" % where[-1])
        found = []
        for index, item in enumerate(value):
            place = (*where, index)
            row = self._keys(item if isinstance(item, dict) else {"text": item}, place, ("text",), ("when",))
            text = self._template(row["text"], place)
            found.append(Sentence(text, self._condition(row["when"], (*place, "when")) if "when" in row else None))
        return tuple(found)

    def _template(self, value: t.Any, place: Place) -> str:
        text = self._text(value, place)
        try:
            names = placeholders(text)
        except BadTemplate as problem:
            raise self._fail(place, str(problem)) from None
        for name in names:
            if name not in self._thresholds:
                self._fact(name, place)
        return text

    def _mitigations(self) -> tuple[Suggestion, ...]:
        """Names of mitigations, or mappings of id, and if wanted ``with`` (variables of its playbook) and ``when``."""
        value = self._data.get("mitigations", [])
        if not isinstance(value, list):
            raise self._fail(("mitigations",), "mitigations must be a list")
        found = []
        for index, item in enumerate(value):
            place = ("mitigations", index)
            row = self._keys(item if isinstance(item, dict) else {"id": item}, place, ("id",), ("with", "when"))
            if not isinstance(row["id"], str) or not _NAME.fullmatch(row["id"]):
                raise self._fail(place, "a mitigation is named in snake_case")
            given = row.get("with", {})
            if not isinstance(given, dict) or not all(isinstance(name, str) and _NAME.fullmatch(name) for name in given):
                raise self._fail(place, "with must map names of variables to texts")
            # "" leaves a variable out
            variables = {name: self._template(text, (*place, "with", name)) if text != "" else "" for name, text in given.items()}
            found.append(Suggestion(row["id"], variables, self._condition(row["when"], (*place, "when")) if "when" in row else None))
        return tuple(found)


def resolve_thresholds(rules: t.Mapping[str, Rule], given: t.Mapping[str, t.Any] | None) -> dict[str, dict[str, Threshold]]:
    """Thresholds of every rule with the user's put over them: ``{"rule.id": {"name": value}}`` or ``{"name": value}`` for every rule.

    A value is a number (which both fires and clears) or ``{enter, leave}``. Raises ValueError with one line.
    """
    found = {rule.id: dict(rule.thresholds) for rule in rules.values()}
    if given is not None and not isinstance(given, dict):
        raise ValueError("thresholds must be a mapping")
    ordered = sorted((given or {}).items(), key=lambda item: isinstance(item[1], dict) and item[0] in rules)
    for key, value in ordered:
        if key in rules:
            if not isinstance(value, dict):
                raise ValueError("thresholds of %s must be a mapping of names to numbers" % key)
            for name, item in value.items():
                if name not in found[key]:
                    raise ValueError("%s has no threshold %s (it has: %s)" % (key, name, ", ".join(sorted(found[key])) or "none"))
                found[key][name] = _override(found[key][name], item, "%s of %s" % (name, key))
            continue
        users = [rule for rule in found if key in found[rule]]
        if not users:
            raise ValueError("%s is neither a rule nor a threshold" % (key,))
        for rule_id in users:
            found[rule_id][key] = _override(found[rule_id][key], value, str(key))
    return found


def _override(threshold: Threshold, value: t.Any, name: str) -> Threshold:
    if isinstance(value, dict):
        if not value or set(value) - {"enter", "leave"} or not all(map(is_number, value.values())):
            raise ValueError("threshold %s must be a number or {enter, leave}" % name)
        return threshold._replace(**{str(key): item for key, item in value.items()})
    if not is_number(value):
        raise ValueError("threshold %s must be a number, not %r" % (name, value))
    return threshold._replace(enter=value, leave=value)
