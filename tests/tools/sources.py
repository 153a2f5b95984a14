# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The project's Python files as syntax trees: what they import, call and hold."""

from __future__ import annotations

import ast
import functools
from pathlib import Path
from typing import Dict, FrozenSet, Iterator, List, NamedTuple, Set, Tuple

from checks import ROOT, project_files

PACKAGE = "ansible_collections.oncall.pressure."


class Call(NamedTuple):
    """One call: the dotted name that is called as written (``os.path.join``, ``machine.run``), and the call itself."""

    name: str
    line: int
    node: ast.Call


def python_files(under: str) -> List[str]:
    """Paths, relative to the root, of the Python files below a folder; none where the folder is not there."""
    return [str(path) for path in project_files((".py",)) if str(path).startswith(under.rstrip("/") + "/")]


def text(path: str) -> str:
    """A file's text."""
    return (ROOT / path).read_text(encoding="utf-8")


@functools.lru_cache(maxsize=None)
def tree(path: str) -> ast.Module:
    """A file's syntax tree, read as the oldest supported Python would."""
    return ast.parse(text(path), path, feature_version=(3, 8))


def imports(path: str) -> Set[str]:
    """Every module that a file imports, wherever in it: ``from a import b`` gives ``a`` and ``a.b``."""
    found: Set[str] = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(path, node)
            found.add(base)
            found.update("%s.%s" % (base, alias.name) for alias in node.names)
    return found


def _absolute(path: str, node: ast.ImportFrom) -> str:
    """The module of a ``from`` import, relative ones resolved."""
    if not node.level:
        return node.module or ""
    parents = PACKAGE.rstrip(".").split(".") + list(Path(path).parts[:-1])
    base = parents[: len(parents) - (node.level - 1)]
    return ".".join(base + ([node.module] if node.module else []))


def own_file(module: str) -> str:
    """The project's file that a dotted module name stands for, or an empty string."""
    if not module.startswith(PACKAGE):
        return ""
    path = module[len(PACKAGE):].replace(".", "/") + ".py"
    return path if (ROOT / path).is_file() else ""


def closure(path: str) -> Set[str]:
    """A file and every file of the project that it imports, directly or not: what travels to a target."""
    seen: Set[str] = set()
    waiting = [path]
    while waiting:
        current = waiting.pop()
        if current not in seen:
            seen.add(current)
            waiting.extend(found for found in map(own_file, imports(current)) if found)
    return seen


def top_level(module: str) -> str:
    """The first part of a dotted name."""
    return module.split(".", 1)[0]


def _dotted(node: ast.expr) -> str:
    parts: List[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    parts.append(node.id if isinstance(node, ast.Name) else "?")
    return ".".join(reversed(parts))


def aliases(path: str) -> Dict[str, str]:
    """Local names of imported things: ``import os.path as p`` gives ``p: os.path``, ``from os import open`` ``open: os.open``."""
    found: Dict[str, str] = {}
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                found[alias.asname or top_level(alias.name)] = alias.name if alias.asname else top_level(alias.name)
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                found[alias.asname or alias.name] = "%s.%s" % (_absolute(path, node), alias.name)
    return found


def calls(path: str) -> Iterator[Call]:
    """Every call in a file, its name resolved through what the file imports."""
    known = aliases(path)
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Call):
            name = _dotted(node.func)
            first, dot, rest = name.partition(".")
            yield Call(known.get(first, first) + dot + rest, node.lineno, node)


@functools.lru_cache(maxsize=None)
def _uses(path: str) -> FrozenSet[Tuple[str, int]]:
    """Every use of something imported, by its full name, and its line."""
    known = aliases(path)
    found: Set[Tuple[str, int]] = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, (ast.Attribute, ast.Name)):
            first, dot, rest = _dotted(node).partition(".")
            if first in known:
                found.add((known[first] + dot + rest, node.lineno))
    return frozenset(found)


def attributes_of(path: str, module: str) -> Set[Tuple[str, int]]:
    """Every use of something of an imported module, such as ``("os.path.join", 12)``, called or not."""
    return {(name, line) for name, line in _uses(path) if name.startswith(module + ".")}


def forget() -> None:
    """Read every file anew from now on."""
    tree.cache_clear()
    _uses.cache_clear()
