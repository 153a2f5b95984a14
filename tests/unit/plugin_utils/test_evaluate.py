# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Three-valued conditions."""

from __future__ import annotations

import itertools
from typing import Optional

import jmespath
import jmespath.exceptions
import pytest
from ansible_collections.oncall.pressure.plugins.plugin_utils import _evaluate
from ansible_collections.oncall.pressure.plugins.plugin_utils._evaluate import (
    BadExpression,
    Combine,
    Compare,
    Operand,
    Selector,
    compiled,
    evaluate,
)

TRUTHS = (True, False, None)
FACTS = {"yes": 2, "no": 0, "gone": None}
NAMES = {True: "yes", False: "no", None: "gone"}


def part(truth: Optional[bool]) -> Compare:
    return Compare(NAMES[truth], ">=", Operand("literal", 1))


@pytest.mark.parametrize("left,right", list(itertools.product(TRUTHS, TRUTHS)))
def test_all_and_any_are_kleenes(left: Optional[bool], right: Optional[bool]) -> None:
    order = {False: 0, None: 1, True: 2}
    both = evaluate(Combine("all", (part(left), part(right))), FACTS, {})
    either = evaluate(Combine("any", (part(left), part(right))), FACTS, {})
    assert both.truth is min(left, right, key=order.__getitem__)
    assert either.truth is max(left, right, key=order.__getitem__)
    # what is missing is told exactly where it left the answer open
    assert (both.missing == ("gone",)) is (both.truth is None)
    assert (either.missing == ("gone",)) is (either.truth is None)


@pytest.mark.parametrize("truth,negated", [(True, False), (False, True), (None, None)])
def test_the_negation_of_unknown_is_unknown(truth: Optional[bool], negated: Optional[bool]) -> None:
    assert evaluate(Combine("not", (part(truth),)), FACTS, {}).truth is negated


@pytest.mark.parametrize(
    "operator,left,right,truth",
    [
        ("==", 1, 1.0, True), ("==", "a", "b", False), ("==", "1", 1, None), ("==", True, 1, None), ("==", None, None, None),
        ("!=", 1, 2, True), ("!=", "a", 1, None), ("!=", None, 1, None),
        ("in", "a", ["a", "b"], True), ("in", "c", ["a"], False), ("in", True, [1], False), ("in", None, ["a"], None),
        ("not in", "c", ["a"], True), ("not in", None, ["a"], None),
        (">=", 2, 2, True), (">=", "2", 2, None), (">", 2, 2, False), ("<=", 2, 2, True), ("<", 2, 2, False), (">=", True, 0, None), (">=", None, 0, None),
        ("between", 1.5, [1, 2], True), ("between", 3, [1, 2], False), ("between", "1", [1, 2], None), ("between", None, [1, 2], None),
    ],
)
def test_every_operator(operator: str, left: object, right: object, truth: Optional[bool]) -> None:
    assert evaluate(Compare("fact", operator, Operand("literal", right)), {"fact": left}, {}).truth is truth


def test_whether_something_was_measured_is_always_known() -> None:
    none = Operand("none", None)
    assert [evaluate(Compare(name, operator, none), FACTS, {}).truth for name in ("no", "gone") for operator in ("measured", "unmeasured")] == [
        True, False, False, True,
    ]


def test_another_fact_that_is_missing_is_named() -> None:
    outcome = evaluate(Compare("yes", ">", Operand("fact", "gone")), FACTS, {})
    assert outcome == (None, ("gone",))
    assert evaluate(Compare("yes", ">", Operand("threshold", "limit")), FACTS, {"limit": 1}).truth is True


def test_selecting_what_is_not_there_or_of_another_type_is_null() -> None:
    selector = Selector({"a": {"b": [1, 2]}, "text": "x"})
    assert [selector.select(path) for path in ("a.b[0]", "a.c.d", "text.b", "sum(text)", "length(a.c)")] == [1, None, None, None, None]


def test_a_broken_selection_is_refused() -> None:
    with pytest.raises(BadExpression, match="not a JMESPath expression"):
        compiled("a.[")


DOCUMENTS = [
    {"service": {"cpu": {"used": 1.5}, "name": "shop"}, "list": [{"a": 1}], "zero": 0, "text": "a.b", "none": None, "yes": True},
    {"service": [{"cpu": {"used": 2}}]}, {"service": "cpu"}, {"service": None}, {},
]
PLAIN = ("service", "service.cpu", "service.cpu.used", "service.cpu.used.more", "list", "list.a", "zero", "zero.a", "text", "text.a", "none.a", "missing.a")


@pytest.mark.parametrize("expression", [*PLAIN, '"service"', "service.*", "list[0].a", "service.cpu || zero", "length(list)"])
def test_what_is_looked_up_is_what_jmespath_selects(expression: str) -> None:
    for document in DOCUMENTS:
        try:
            expected = jmespath.search(expression, document)
        except jmespath.exceptions.JMESPathError:
            expected = None
        assert Selector(document).select(expression) == expected
    assert (_evaluate._steps(expression) is not None) is (expression in PLAIN)
