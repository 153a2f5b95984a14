# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What users are told about plugins, and what reaches them."""

from __future__ import annotations

import ast
import fnmatch
import re
from pathlib import Path
from typing import Any, Dict

import pytest
import sources
import yaml
from checks import ROOT, project_files

MODULES = sources.python_files("plugins/modules")
ACTIONS = sources.python_files("plugins/action")

# What an installed collection consists of; everything else that git knows must be named in build_ignore.
SHIPPED = {
    "CHANGELOG.rst", "CODE_OF_CONDUCT.md", "CONTRIBUTING.md", "LICENSES", "README.md", "REUSE.toml", "changelogs", "docs", "galaxy.yml", "meta", "playbooks",
    "plugins", "roles",
}

# The rooms of the design that this piece fills. One that goes missing takes its tests with it, silently, so it is named here.
ROOMS = [
    "docs", "inventories/example", "inventories/lab", "inventories/local", "molecule/default", "playbooks",
    "plugins/action", "plugins/module_utils/_components", "plugins/module_utils/_host", "plugins/module_utils/_parse", "plugins/modules",
    "plugins/plugin_utils", "roles/diagnose/files/rules", "roles/diagnose/files/schemas",
    "tests/bench", "tests/contract", "tests/corpus", "tests/incidents", "tests/lab", "tests/unit",
]


def _documents(path: str) -> Dict[str, Any]:
    """The documentation strings of a module, parsed."""
    found: Dict[str, Any] = {}
    for node in sources.tree(path).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and isinstance(node.value, ast.Constant):
            if node.targets[0].id in ("DOCUMENTATION", "EXAMPLES", "RETURN"):
                found[node.targets[0].id] = yaml.safe_load(str(node.value.value))
    return found


def _fragment(name: str) -> Dict[str, Any]:
    """What ``oncall.pressure.FILE.PART`` adds to a page; PART is a class attribute in capitals, DOCUMENTATION where it is left out."""
    parts = name.split(".")[2:] + ["documentation"]
    for node in ast.walk(sources.tree("plugins/doc_fragments/%s.py" % parts[0])):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == parts[1].upper():
            if isinstance(node.value, ast.Constant):
                return dict(yaml.safe_load(str(node.value.value)))
    raise AssertionError("no fragment %s" % name)


@pytest.mark.parametrize("path", MODULES)
def test_a_module_is_documented(path: str) -> None:
    documents = _documents(path)
    assert set(documents) == {"DOCUMENTATION", "EXAMPLES", "RETURN"}
    assert documents["DOCUMENTATION"]["module"] == Path(path).stem
    assert documents["DOCUMENTATION"]["short_description"] and documents["DOCUMENTATION"]["description"]
    assert documents["EXAMPLES"], "an example that can be copied"


@pytest.mark.parametrize("path", [path for path in MODULES if path.endswith(("/snapshot.py", "_info.py"))])
def test_what_only_looks_says_so(path: str) -> None:
    documentation = _documents(path)["DOCUMENTATION"]
    attributes = dict(documentation.get("attributes") or {})
    for name in documentation.get("extends_documentation_fragment") or []:
        for key, value in (_fragment(name).get("attributes") or {}).items():
            attributes[key] = {**value, **attributes.get(key, {})}
    assert attributes.get("check_mode", {}).get("support") == "full"
    assert "ansible_facts" not in (_documents(path)["RETURN"] or {}), "information modules return no facts"


@pytest.mark.parametrize("path", ACTIONS)
def test_an_action_has_the_page_of_its_module(path: str) -> None:
    assert "plugins/modules/" + Path(path).name in MODULES


@pytest.mark.parametrize("room", ROOMS)
def test_the_rooms_of_the_design_are_there(room: str) -> None:
    assert [path for path in project_files() if str(path).startswith(room + "/")]


def test_only_what_users_need_is_shipped() -> None:
    galaxy = yaml.safe_load((ROOT / "galaxy.yml").read_text(encoding="utf-8"))
    dropped = galaxy["build_ignore"]
    roots = {path.parts[0] for path in project_files()}
    neither = sorted(name for name in roots - SHIPPED if not any(fnmatch.fnmatch(name, pattern) for pattern in dropped))
    assert not neither, "name it in build_ignore of galaxy.yml, or in SHIPPED here"
    assert not sorted(name for name in SHIPPED if any(fnmatch.fnmatch(name, pattern) for pattern in dropped))


def test_nothing_shipped_needs_another_collection() -> None:
    galaxy = yaml.safe_load((ROOT / "galaxy.yml").read_text(encoding="utf-8"))
    assert galaxy["dependencies"] == {}
    foreign = set()
    for path in project_files((".yml",)):
        if path.parts[0] in ("plugins", "roles", "playbooks"):
            text = (ROOT / path).read_text(encoding="utf-8")
            foreign.update(re.findall(r"\b(?:community|ansible|containers)\.(?!builtin\b|module_utils\b|plugins\b)[a-z_]+\.[a-z_]+", text))
    assert not foreign


@pytest.mark.parametrize("name", ["run.txt", "test.txt"])
def test_requirements_are_pinned_and_explained(name: str) -> None:
    lines = (ROOT / "requirements" / name).read_text(encoding="utf-8").splitlines()
    constraints = (ROOT / "requirements" / "constraints.txt").read_text(encoding="utf-8").lower().replace("_", "-")
    wanted = [number for number, line in enumerate(lines) if line.strip() and not line.startswith(("#", "-r"))]
    assert wanted
    for number in wanted:
        assert re.match(r"^[A-Za-z0-9_.-]+(\[[a-z]+\])?==[0-9][0-9a-z.]*$", lines[number]), lines[number]
        assert lines[number - 1].startswith("# ") and len(lines[number - 1]) > 12, "a line of reason above %s" % lines[number]
        assert re.sub(r"\[.*\]", "", lines[number]).lower().replace("_", "-") + "\n" in constraints, "make pins"


def test_versions_agree() -> None:
    """The collection, its changelog and the tool's own version are one number."""
    galaxy = yaml.safe_load((ROOT / "galaxy.yml").read_text(encoding="utf-8"))
    stated = re.findall(r'^VERSION = "([^"]+)"', sources.text("plugins/module_utils/_version.py"), re.MULTILINE)
    assert stated == [galaxy["version"]]
