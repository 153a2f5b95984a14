# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The laws of form: headers, sizes, names, words that must not be there."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import List, Tuple

import pytest
import sources
from checks import ROOT, project_files

PLUGIN_FILES = sources.python_files("plugins")
PRIVATE_FILES = sources.python_files("plugins/module_utils") + sources.python_files("plugins/plugin_utils")
FILES = project_files()

FUNCTION_LINES = 70
FILE_LINES = 500

# Files that cannot carry a comment, or that must stay byte for byte what a host said; REUSE.toml speaks for them.
NO_HEADER = re.compile(r"(\.json|\.rst|\.gz|\.bin|\.snap)$|/recordings/|^LICENSES/|^changelogs/changelog\.yaml$|^docs/results/|^tests/corpus/samples/")

# Written in pieces, so that this file does not hold them itself.
UNFINISHED = ["TO" + "DO", "FIX" + "ME", "XX" + "X:"]
SILENCERS = [
    "no" + "qa", "type: " + "ignore", "pylint: " + "disable", "pragma: no " + "cover", "no" + "sec ", "yamllint " + "disable", "shellcheck " + "disable",
]


def _text(path: Path) -> str:
    return (ROOT / path).read_bytes().decode("utf-8", "backslashreplace")


def _readable() -> List[Path]:
    return [path for path in FILES if (ROOT / path).is_file() and not (ROOT / path).is_symlink()]


@pytest.mark.parametrize("path", [path for path in _readable() if not NO_HEADER.search(str(path))], ids=str)
def test_every_file_says_its_licence(path: Path) -> None:
    head = "\n".join(_text(path).splitlines()[:8])
    # in two pieces, lest the licence checker take this line for a statement of this file
    assert "SPDX-License-" + "Identifier: GPL-3.0-or-later" in head
    assert "Copyright (c)" in head


@pytest.mark.parametrize("path", [path for path in _readable() if "/recordings/" not in str(path) and not str(path).startswith("LICENSES/")], ids=str)
def test_nothing_is_left_unfinished(path: Path) -> None:
    found = [word for word in UNFINISHED if re.search(r"\b%s" % re.escape(word), _text(path))]
    assert not found


@pytest.mark.parametrize("path", [path for path in _readable() if "/recordings/" not in str(path)], ids=str)
def test_no_check_is_silenced(path: Path) -> None:
    """A finding is mended or the check is wrong for everybody; it is never switched off at a place."""
    found = [word for word in SILENCERS if word in _text(path)]
    assert found == []


@pytest.mark.parametrize("path", PLUGIN_FILES)
def test_files_are_short(path: str) -> None:
    assert len(sources.text(path).splitlines()) <= FILE_LINES


def _functions(path: str) -> List[Tuple[str, int]]:
    return [
        (node.name, (node.end_lineno or node.lineno) - node.lineno + 1)
        for node in ast.walk(sources.tree(path)) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    ]


@pytest.mark.parametrize("path", PLUGIN_FILES)
def test_functions_are_short(path: str) -> None:
    assert not ["%s: %d lines" % found for found in _functions(path) if found[1] > FUNCTION_LINES]


def _untyped(node: ast.FunctionDef, method: bool) -> List[str]:
    arguments = node.args.posonlyargs + node.args.args + node.args.kwonlyargs
    if method and arguments and arguments[0].arg in ("self", "cls"):
        arguments = arguments[1:]
    extra = [found for found in (node.args.vararg, node.args.kwarg) if found]
    missing = [found.arg for found in arguments + extra if found.annotation is None]
    return missing + ([] if node.returns is not None else ["return"])


@pytest.mark.parametrize("path", PLUGIN_FILES)
def test_functions_are_typed(path: str) -> None:
    methods = {id(item) for node in ast.walk(sources.tree(path)) if isinstance(node, ast.ClassDef) for item in node.body}
    found = []
    for node in ast.walk(sources.tree(path)):
        if isinstance(node, ast.FunctionDef):
            missing = _untyped(node, id(node) in methods)
            if missing:
                found.append("%s: %s" % (node.name, ", ".join(missing)))
    assert not found


@pytest.mark.parametrize("path", PLUGIN_FILES)
def test_annotations_are_not_evaluated(path: str) -> None:
    """Python 3.8 cannot evaluate the spellings that our annotations use."""
    if not sources.text(path).strip():
        return
    assert "__future__.annotations" in sources.imports(path)


@pytest.mark.parametrize("path", PLUGIN_FILES)
def test_plugins_assert_nothing(path: str) -> None:
    found = [node.lineno for node in ast.walk(sources.tree(path)) if isinstance(node, ast.Assert)]
    assert not found, "python -O drops it; raise an error that says what to do"


@pytest.mark.parametrize("path", PRIVATE_FILES)
def test_internals_say_that_they_are_private(path: str) -> None:
    inside = Path(path).parts[2:]
    assert any(part.startswith("_") for part in inside), "a name that begins with _, or a folder that does"
    assert "Private to oncall.pressure" in (ast.get_docstring(sources.tree(path)) or "")


@pytest.mark.parametrize("path", PLUGIN_FILES)
def test_public_things_are_explained(path: str) -> None:
    found = []
    for node in sources.tree(path).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_") and node.name != "main" and not ast.get_docstring(node):
            found.append(node.name)
    assert not found
