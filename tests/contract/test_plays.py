# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The laws of plays and roles, and of the rules that live in a role."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Dict, Iterator, List

import pytest
import yaml
from checks import ROOT, project_files

ROLES = sorted({path.parts[1] for path in project_files() if path.parts[0] == "roles" and len(path.parts) > 2})
PLAYBOOKS = [path for path in project_files((".yml",)) if path.parts[0] == "playbooks" and len(path.parts) == 2]
TASK_FILES = [path for path in project_files((".yml",)) if path.parts[0] == "roles" and "tasks" in path.parts]
RULES_FOLDER = Path("roles/diagnose/files/rules")
RULE_FILES = [path for path in project_files((".yml",)) if path.parent == RULES_FOLDER]
CASES_FOLDER = Path("tests/unit/rules")

COMMANDS = {"command", "shell", "raw", "script", "expect"}
# Commands that are the operator's own, run where Ansible runs; never on a host.
HOOKS = {Path("roles/restart_service/tasks/hook.yml")}
BLOCKS = ("block", "rescue", "always")
NOT_MODULES = {
    "any_errors_fatal", "args", "async", "become", "become_exe", "become_flags", "become_method", "become_user", "changed_when", "check_mode", "collections",
    "connection", "debugger", "delay", "delegate_facts", "delegate_to", "diff", "environment", "failed_when", "ignore_errors", "ignore_unreachable", "loop",
    "loop_control", "module_defaults", "name", "no_log", "notify", "poll", "port", "register", "remote_user", "retries", "run_once", "tags", "throttle",
    "timeout", "until", "vars", "when", "listen", *BLOCKS,
}


def _load(path: Path) -> Any:
    return yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))


def _tasks(items: Any) -> Iterator[Dict[str, Any]]:
    """Every task below a list of plays, tasks or blocks, blocks themselves included."""
    for item in items or []:
        yield item
        for key in BLOCKS + ("tasks", "pre_tasks", "post_tasks", "handlers"):
            yield from _tasks(item.get(key))


def _modules(task: Dict[str, Any]) -> List[str]:
    return [key for key in task if key not in NOT_MODULES and not key.startswith("with_")]


@pytest.mark.parametrize("path", PLAYBOOKS + TASK_FILES, ids=str)
def test_no_play_runs_commands(path: Path) -> None:
    """What is read is read by our modules, within limits; a command line cannot be bounded, sanitised or checked."""
    found = []
    for task in _tasks(_load(path)):
        if "hosts" not in task:
            found += [name for name in _modules(task) if name.rsplit(".", 1)[-1] in COMMANDS and not (path in HOOKS and _is_hook(task, name))]
    assert not found


def _is_hook(task: Dict[str, Any], module: str) -> bool:
    """Words and no shell, on the controller, as the user who runs Ansible, for a limited time."""
    return (
        module == "ansible.builtin.command" and set(task[module]) == {"argv"} and task.get("delegate_to") == "localhost" and task.get("become") is False
        and "timeout" in task
    )


@pytest.mark.parametrize("path", PLAYBOOKS + TASK_FILES, ids=str)
def test_names_are_full(path: Path) -> None:
    found = []
    for task in _tasks(_load(path)):
        if "hosts" not in task and "import_playbook" not in task:
            found += [name for name in _modules(task) if name.count(".") < 2]
        for role in task.get("roles") or []:
            name = role if isinstance(role, str) else role.get("role", "")
            found += [name] if name.count(".") < 2 else []
    assert not found


@pytest.mark.parametrize("path", PLAYBOOKS + TASK_FILES, ids=str)
def test_no_failure_is_ignored(path: Path) -> None:
    assert not [task.get("name") for task in _tasks(_load(path)) if task.get("ignore_errors")]


@pytest.mark.parametrize("path", PLAYBOOKS + TASK_FILES, ids=str)
def test_tasks_are_taken_by_their_bare_name(path: Path) -> None:
    """``tasks_from: x.yml`` silently skips the validation of arguments."""
    text = (ROOT / path).read_text(encoding="utf-8")
    assert not re.findall(r"tasks_from:.*\.ya?ml", text)


@pytest.mark.parametrize("path", PLAYBOOKS + TASK_FILES, ids=str)
def test_nothing_from_a_host_is_read_back_as_yaml(path: Path) -> None:
    """Ansible trusts what these load, as templates: a host's text in it would run on the controller."""
    found = []
    for task in _tasks(_load(path)):
        found += [key for key in task if key.rsplit(".", 1)[-1] in ("include_vars", "add_host")] + (["vars_files"] if task.get("vars_files") else [])
    assert not found


@pytest.mark.parametrize("role", ROLES)
def test_a_role_is_documented(role: str) -> None:
    folder = ROOT / "roles" / role
    assert (folder / "README.md").is_file(), "Galaxy refuses a role without one"
    specs = _load(Path("roles") / role / "meta" / "argument_specs.yml")["argument_specs"]
    assert "main" in specs
    for name, spec in specs.items():
        assert spec.get("short_description") and spec.get("description"), name
        assert name == "main" or (folder / "tasks" / (name + ".yml")).is_file(), "an entry point that is not there"


PUBLIC = re.compile(r"^\{\{ *(pressure_[a-z_]+) *\| *default\((.*)\) *\}\}$")


def _literal(value: Any) -> Any:
    """A default; of ``{{ pressure_x | default(VALUE) }}`` the value that holds where nobody set the short name."""
    match = PUBLIC.match(value) if isinstance(value, str) else None
    return yaml.safe_load(match.group(2)) if match else value


@pytest.mark.parametrize("role", ROLES)
def test_defaults_are_what_the_specification_says(role: str) -> None:
    specs = _load(Path("roles") / role / "meta" / "argument_specs.yml")["argument_specs"]
    options: Dict[str, Any] = {}
    for spec in specs.values():
        options.update(spec.get("options") or {})
    file = Path("roles") / role / "defaults" / "main.yml"
    defaults = (_load(file) or {}) if (ROOT / file).is_file() else {}
    stated = {name: option["default"] for name, option in options.items() if "default" in option}
    assert stated == {name: _literal(value) for name, value in defaults.items()}
    assert not [name for name, option in options.items() if option.get("required") and name in defaults]
    for name, option in options.items():
        assert option.get("description") and option.get("type"), name


@pytest.mark.parametrize("role", ROLES)
def test_a_readme_names_every_variable(role: str) -> None:
    """By the short name that people set, where there is one."""
    specs = _load(Path("roles") / role / "meta" / "argument_specs.yml")["argument_specs"]
    text = (ROOT / "roles" / role / "README.md").read_text(encoding="utf-8")
    defaults = _load(Path("roles") / role / "defaults" / "main.yml") or {}
    short = {name: match.group(1) for name, match in ((name, PUBLIC.match(str(value))) for name, value in defaults.items()) if match}
    assert not [name for spec in specs.values() for name in (spec.get("options") or {}) if "`%s`" % short.get(name, name) not in text]


def _rules(path: Path) -> List[Dict[str, Any]]:
    loaded = _load(path)
    rules = loaded.get("rules") if isinstance(loaded, dict) else loaded
    return list(rules or [])


def test_rule_ids_are_unique_and_readable() -> None:
    ids = [str(rule.get("id")) for path in RULE_FILES for rule in _rules(path)]
    assert ids
    assert sorted(ids) == sorted(set(ids))
    assert not [name for name in ids if not re.match(r"^[a-z]+\.[a-z][a-z0-9_]*$", name)]


def _cases(path: Path) -> List[Dict[str, Any]]:
    file = CASES_FOLDER / path.name
    assert (ROOT / file).is_file(), "the cases of %s stand in %s" % (path, file)
    loaded = _load(file)
    return list(loaded.get("cases") if isinstance(loaded, dict) else loaded)


@pytest.mark.parametrize("path", RULE_FILES, ids=str)
def test_every_rule_has_its_three_cases(path: Path) -> None:
    seen: Dict[str, set] = {}
    for case in _cases(path):
        seen.setdefault(str(case.get("rule")), set()).add(str(case.get("expect")))
    missing = {str(rule["id"]): sorted({"fired", "clear", "unknown"} - seen.get(str(rule["id"]), set())) for rule in _rules(path)}
    assert not {name: states for name, states in missing.items() if states}
    assert not sorted(set(seen) - {str(rule["id"]) for rule in _rules(path)}), "cases of rules that are not there"


def test_the_first_playbook_is_there() -> None:
    assert Path("playbooks/diagnose.yml") in PLAYBOOKS
    assert "diagnose" in ROLES
    assert RULE_FILES
