# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Read the plain values of a Python configuration file, without running any of it.

Private to oncall.pressure: no stable interface. Pure: text in, plain data out.
"""

from __future__ import annotations

import ast
import typing as t

#: Stands for a value that the file computes: nobody knows it without running the file.
COMPUTED = object()

_NUMBERS = (int, float)


class Literal(t.NamedTuple):
    """What a name is set to at the end of the file: a plain value, or COMPUTED; and the line."""

    value: t.Any
    line: int


def assignments(text: str) -> dict[str, Literal]:
    """The names that a file sets at its top level. Raises ValueError where the text is no Python that this interpreter reads.

    Names that are set only under a condition, in a loop or from anything but plain values are COMPUTED.
    """
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as problem:
        where = " (line %s)" % problem.lineno if isinstance(problem, SyntaxError) else ""
        raise ValueError("it is no Python that this interpreter can read" + where) from None
    found: dict[str, Literal] = {}
    for statement in tree.body:
        _take(statement, found)
    return found


def _take(statement: ast.stmt, found: dict[str, Literal]) -> None:
    if isinstance(statement, ast.Assign):
        value = _value(statement.value, found)
        for target in statement.targets:
            if isinstance(target, ast.Name):
                found[target.id] = Literal(value, statement.lineno)
            else:
                _computed(target, found)
    elif isinstance(statement, ast.AnnAssign):
        if isinstance(statement.target, ast.Name) and statement.value is not None:
            found[statement.target.id] = Literal(_value(statement.value, found), statement.lineno)
    elif isinstance(statement, (ast.Import, ast.ImportFrom)):
        for name in statement.names:
            found[(name.asname or name.name).partition(".")[0]] = Literal(COMPUTED, statement.lineno)
    elif not isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        # whatever else assigns (if, for, with, try, +=) makes its names depend on what happens
        for node in ast.walk(statement):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                found[node.id] = Literal(COMPUTED, node.lineno)


def _computed(target: ast.expr, found: dict[str, Literal]) -> None:
    for node in ast.walk(target):
        if isinstance(node, ast.Name):
            found[node.id] = Literal(COMPUTED, node.lineno)


def _value(node: ast.expr, found: t.Mapping[str, Literal], depth: int = 0) -> t.Any:
    """A plain value: a literal, a name that was set to one, or sums and products of numbers."""
    if isinstance(node, ast.Name):
        known = found.get(node.id)
        return known.value if known is not None else COMPUTED
    if isinstance(node, ast.BinOp) and depth < 20 and isinstance(node.op, (ast.Add, ast.Sub, ast.Mult, ast.FloorDiv)):
        return _sum(node.op, _value(node.left, found, depth + 1), _value(node.right, found, depth + 1))
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        return COMPUTED


def _sum(operator: ast.operator, left: t.Any, right: t.Any) -> t.Any:
    if not isinstance(left, _NUMBERS) or not isinstance(right, _NUMBERS) or abs(left) > 1e12 or abs(right) > 1e12:
        return COMPUTED
    if isinstance(operator, ast.Add):
        return left + right
    if isinstance(operator, ast.Sub):
        return left - right
    if isinstance(operator, ast.Mult):
        return left * right
    return left // right if right else COMPUTED
