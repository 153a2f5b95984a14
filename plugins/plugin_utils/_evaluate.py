# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Three-valued conditions: fired, clear, or unknown because something was not measured.

Private to oncall.pressure: no stable interface.

JMESPath only selects values (a missing value compares there to null, and a negation turns that into true); every
comparison is one of the operators below, and a value that is null is unknown, never false and never zero.
"""

from __future__ import annotations

import functools
import re
import typing as t

try:
    import jmespath
    import jmespath.exceptions
except ImportError:
    HAS_JMESPATH = False
else:
    HAS_JMESPATH = True

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*")

#: The parts of a condition that combine others.
COMBINERS = ("all", "any", "not")

#: A condition holds, does not hold, or is not known.
Truth = t.Optional[bool]

Facts = t.Mapping[str, t.Any]


class Operand(t.NamedTuple):
    """What a fact is compared with: a literal, a threshold by name or another fact by name."""

    kind: str
    value: t.Any


class Compare(t.NamedTuple):
    """One comparison: fact, operator, operand."""

    fact: str
    operator: str
    operand: Operand


class Combine(t.NamedTuple):
    """Conditions under ``all``, ``any`` or ``not``."""

    how: str
    parts: tuple[t.Any, ...]


Condition = t.Union[Compare, Combine]


class Outcome(t.NamedTuple):
    """The truth of a condition, and the facts that were missing where it is unknown."""

    truth: Truth
    missing: tuple[str, ...]


class BadExpression(ValueError):
    """A selection that JMESPath does not understand."""


class Selector:
    """Selects values out of one subject; every expression is evaluated once."""

    def __init__(self, subject: t.Mapping[str, t.Any]) -> None:
        self._subject = subject
        self._known: dict[str, t.Any] = {}

    def select(self, expression: str) -> t.Any:
        """The selected value, null where there is none."""
        if expression not in self._known:
            try:
                steps = _steps(expression)
                self._known[expression] = compiled(expression).search(self._subject) if steps is None else _walk(self._subject, steps)
            except jmespath.exceptions.JMESPathError:
                # A function met a value of another type than it takes: the host sent something odd, so it is not known.
                self._known[expression] = None
        return self._known[expression]


class Selected(t.Mapping[str, t.Any]):
    """The facts of one rule by name, each selected when it is first asked for: most rules are decided by their scope.

    ``told``: values that are no selection; they are there to be compared, and are not among the names.
    """

    def __init__(self, expressions: t.Mapping[str, str], selector: Selector, told: t.Mapping[str, t.Any] | None = None) -> None:
        self._expressions = expressions
        self._selector = selector
        self._told = told or {}

    def __getitem__(self, name: str) -> t.Any:
        return self._told[name] if name in self._told else self._selector.select(self._expressions[name])

    def get(self, key: str, default: t.Any = None) -> t.Any:
        """The fact, null (or what is given) where the rule has none of this name."""
        if key in self._told:
            return self._told[key]
        expression = self._expressions.get(key)
        return default if expression is None else self._selector.select(expression)

    def __iter__(self) -> t.Iterator[str]:
        return iter(self._expressions)

    def __len__(self) -> int:
        return len(self._expressions)


@functools.lru_cache(maxsize=None)
def _steps(expression: str) -> tuple[str, ...] | None:
    """The keys of a selection that is nothing but keys, as almost all are: these are looked up at a tenth of what JMESPath costs."""
    return tuple(expression.split(".")) if _PLAIN.fullmatch(expression) else None


def _walk(value: t.Any, steps: tuple[str, ...]) -> t.Any:
    """What JMESPath selects by these keys: null where one is missing, or where there is no mapping to look into."""
    for step in steps:
        if not isinstance(value, dict):
            return None
        value = value.get(step)
    return value


@functools.lru_cache(maxsize=None)
def compiled(expression: str) -> t.Any:
    """The compiled selection. Raises BadExpression."""
    if not HAS_JMESPATH:
        raise BadExpression("the Python library jmespath is not installed on the controller")
    try:
        return jmespath.compile(expression)
    except jmespath.exceptions.JMESPathError as problem:
        raise BadExpression("not a JMESPath expression: %s" % str(problem).splitlines()[0]) from None


def is_number(value: t.Any) -> bool:
    """Whether a value can be measured against another (a boolean cannot)."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _alike(left: t.Any, right: t.Any) -> bool:
    return (is_number(left) and is_number(right)) or type(left) is type(right)


def _equal(left: t.Any, right: t.Any) -> Truth:
    return left == right if _alike(left, right) else None


def _one_of(left: t.Any, right: t.Any) -> Truth:
    # a text is like no other kind of value
    return left in right if isinstance(left, str) else any(_alike(left, item) and left == item for item in right)


def _ordered(compare: t.Callable[[t.Any, t.Any], bool]) -> t.Callable[[t.Any, t.Any], Truth]:
    def compared(left: t.Any, right: t.Any) -> Truth:
        return compare(left, right) if is_number(left) and is_number(right) else None

    return compared


def _between(left: t.Any, right: t.Any) -> Truth:
    return right[0] <= left <= right[1] if is_number(left) else None


def _negated(truth: Truth) -> Truth:
    return None if truth is None else not truth


#: The closed table. Each takes two values that are not null and says true, false, or unknown where they do not compare.
OPERATORS: dict[str, t.Callable[[t.Any, t.Any], Truth]] = {
    "==": _equal,
    "!=": lambda left, right: _negated(_equal(left, right)),
    "in": _one_of,
    "not in": lambda left, right: not _one_of(left, right),
    ">=": _ordered(lambda left, right: left >= right),
    ">": _ordered(lambda left, right: left > right),
    "<=": _ordered(lambda left, right: left <= right),
    "<": _ordered(lambda left, right: left < right),
    "between": _between,
}

#: Operators without an operand: they ask whether a fact was measured, and are never unknown themselves.
UNARY = {"measured": True, "unmeasured": False}

LIST_OPERATORS = ("in", "not in", "between")
ORDER_OPERATORS = (">=", ">", "<=", "<")


def evaluate(condition: Condition, facts: Facts, thresholds: t.Mapping[str, float]) -> Outcome:
    """Evaluate a condition. ``facts`` holds every fact of the rule by name, null where it was not measured."""
    if isinstance(condition, Compare):
        return _compare(condition, facts, thresholds)
    if condition.how == "not":
        outcome = evaluate(condition.parts[0], facts, thresholds)
        return Outcome(_negated(outcome.truth), outcome.missing)
    decisive = condition.how == "any"
    missing: dict[str, None] = {}
    known = True
    for part in condition.parts:
        truth, names = evaluate(part, facts, thresholds)
        if truth is decisive:
            # whatever the others come to
            return Outcome(decisive, ())
        if truth is None:
            known = False
            missing.update(dict.fromkeys(names))
    return Outcome(not decisive, ()) if known else Outcome(None, tuple(missing))


def _compare(condition: Compare, facts: Facts, thresholds: t.Mapping[str, float]) -> Outcome:
    left = facts.get(condition.fact)
    if condition.operator in UNARY:
        return Outcome((left is not None) is UNARY[condition.operator], ())
    right = condition.operand.value
    missing = [] if left is not None else [condition.fact]
    if condition.operand.kind == "threshold":
        right = thresholds[condition.operand.value]
    elif condition.operand.kind == "fact":
        right = facts.get(condition.operand.value)
        if right is None:
            missing.append(condition.operand.value)
    if missing:
        return Outcome(None, tuple(missing))
    truth = OPERATORS[condition.operator](left, right)
    return Outcome(truth, () if truth is not None else (condition.fact,))
