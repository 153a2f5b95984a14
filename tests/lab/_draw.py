# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an incident draws at random: names, sizes, ports, paths, counts. Everything follows from the seed."""

from __future__ import annotations

import ast
import math
import operator
import random
from typing import Any

from _common import LabError

# Neutral words: nothing in a unit's name may tell what runs in it.
WORDS = ["alder", "basalt", "cedar", "dune", "ember", "fjord", "garnet", "heron", "iris", "juniper", "kelp", "larch", "maple", "nectar", "onyx",
         "petrel", "quartz", "raven", "sorrel", "tern", "umber", "vetch", "willow", "yarrow"]
TAILS = ["", "-web", "-site", "-portal", "-backend", "-2", "-prod", "_blue", "@eu"]

_OPERATORS = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv}


def calculate(text: str, values: dict[str, Any]) -> int:
    """Whole number of an expression of + - * /, numbers and what was drawn before; rounded up."""

    def value(node: ast.AST) -> float:
        if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
            return _OPERATORS[type(node.op)](value(node.left), value(node.right))
        if isinstance(node, ast.Constant) and isinstance(node.value, (int, float)):
            return node.value
        if isinstance(node, ast.Name) and node.id in values:
            return values[node.id]
        raise LabError("cannot calculate {0!r}: use + - * /, numbers and names drawn above it".format(text))

    return math.ceil(value(ast.parse(text, mode="eval").body))


def _unit(randomly: random.Random, taken: list[Any]) -> str:
    while True:
        name = randomly.choice(WORDS) + randomly.choice(["", "-" + randomly.choice(WORDS)]) + randomly.choice(TAILS) + ".service"
        if name not in taken:
            return name


def _address(randomly: random.Random, taken: list[str]) -> str:
    # 192.88.99.0/24 was given back when 6to4 ended: it is nobody's, and unlike the blocks kept for documentation it is a public address.
    while True:
        address = "192.88.99.{0}".format(randomly.randrange(2, 250))
        if address not in taken:
            return address


def draw(spec: dict[str, Any], seed: int) -> dict[str, Any]:
    """Values of an incident's `draw` section, in its order.

    unit: a unit's name; word: a plain word; port; address: a client's; addresses: N of them, joined by commas;
    {from, to}: a whole number; {one_of: [...]}; {calc: "expression"}; anything else is taken as it is.
    """
    randomly = random.Random(seed)
    values: dict[str, Any] = {"seed": seed}
    taken: list[str] = []
    for name, kind in spec.items():
        if kind == "unit":
            values[name] = _unit(randomly, list(values.values()))
        elif kind == "word":
            values[name] = randomly.choice(WORDS)
        elif kind == "port":
            values[name] = randomly.randrange(20000, 29999)
        elif kind == "address":
            taken.append(_address(randomly, taken))
            values[name] = taken[-1]
        elif isinstance(kind, dict) and "addresses" in kind:
            several = []
            for unused in range(kind["addresses"]):
                several.append(_address(randomly, taken + several))
            taken += several
            values[name] = several
        elif isinstance(kind, dict) and "one_of" in kind:
            values[name] = randomly.choice(kind["one_of"])
        elif isinstance(kind, dict) and "from" in kind:
            values[name] = randomly.randint(kind["from"], kind["to"])
        elif isinstance(kind, dict) and "calc" in kind:
            values[name] = calculate(kind["calc"], values)
        else:
            values[name] = kind
    return values


def fill(value: Any, values: dict[str, Any]) -> Any:
    """`value` with "{name}" replaced, at any depth; a text that is one name alone keeps that value's type."""
    if isinstance(value, dict):
        return {key: fill(inner, values) for key, inner in value.items()}
    if isinstance(value, list):
        return [fill(inner, values) for inner in value]
    if not isinstance(value, str):
        return value
    if value.startswith("{") and value.endswith("}") and value[1:-1] in values:
        return values[value[1:-1]]
    for name, drawn in values.items():
        value = value.replace("{" + name + "}", str(drawn))
    return value
