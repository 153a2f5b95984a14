# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the documentation says must be so: every command is run or checked, every link leads somewhere, every variable is there."""

from __future__ import annotations

import fnmatch
import importlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, List, Optional, Set, Tuple

import pytest
import yaml
from checks import ROOT, clean_environment, project_files

PAGES = sorted(path for path in project_files((".md",)) if len(path.parts) == 1 or path.parts[0] == "docs" or path.parts[0] == "roles")
FENCE = re.compile(r"^```(shell|console|bash|sh)\n(.*?)^```", re.MULTILINE | re.DOTALL)
KNOWN: Dict[str, Dict[str, Any]] = yaml.safe_load((ROOT / "tests/contract/commands.yml").read_text(encoding="utf-8"))["commands"]


def _commands(path: Path) -> List[str]:
    """The commands of a page's shell blocks: prompts, comments and line continuations taken away."""
    found = []
    for dummy, body in FENCE.findall((ROOT / path).read_text(encoding="utf-8")):
        for line in re.sub(r"\\\n\s*", "", body).splitlines():
            command = re.sub(r"\s+#.*$", "", re.sub(r"^\$ ", "", line)).strip()
            if command and not command.startswith("#"):
                found.append(command)
    return found


WRITTEN: List[Tuple[Path, str]] = [(path, command) for path in PAGES for command in _commands(path)]


def _entry(command: str) -> Optional[str]:
    """The key that covers a command: itself, or a pattern."""
    if command in KNOWN:
        return command
    return next((key for key in KNOWN if "*" in key and fnmatch.fnmatchcase(command, key)), None)


@pytest.mark.parametrize("page,command", WRITTEN, ids=str)
def test_every_command_is_accounted_for(page: Path, command: str) -> None:
    assert _entry(command) is not None, "say in tests/contract/commands.yml which stage runs it, or why none does"


def test_no_account_is_left_over() -> None:
    used = {_entry(command) for dummy, command in WRITTEN}
    assert not sorted(set(KNOWN) - {name for name in used if name})


def test_the_readme_opens_with_the_two_commands() -> None:
    assert _commands(Path("README.md"))[:2] == ["make diagnose", "make test"]
    assert (ROOT / "README.md").read_text(encoding="utf-8").index("make test") < 900


@pytest.mark.parametrize("command", [name for name, entry in KNOWN.items() if "run_by" in entry])
def test_what_is_said_to_be_run_is_run(command: str) -> None:
    account = KNOWN[command]["run_by"]
    assert set(account) == {"stage", "file", "words"}
    stages = (ROOT / "mk" / "test.mk").read_text(encoding="utf-8")
    listed = re.search(r"^STAGES := (.*)$", stages, re.MULTILINE)
    assert listed and account["stage"] in listed.group(1).split()
    assert account["words"] in (ROOT / account["file"]).read_text(encoding="utf-8")


def _concrete(pattern: str) -> Set[str]:
    return {command for dummy, command in WRITTEN if _entry(command) == pattern} or {pattern.replace(" *", "")}


def _check(command: str, how: str) -> "subprocess.CompletedProcess[bytes]":
    env = clean_environment(ANSIBLE_CONFIG=str(ROOT / "ansible.cfg"), ANSIBLE_COLLECTIONS_PATH=str(ROOT / ".venv" / "collections"))
    if how == "make":
        words = ["make", "--dry-run"] + command.split()[1:]
    elif how == "ansible-playbook":
        tool = Path(sys.executable).parent / "ansible-playbook"
        if not tool.exists():
            pytest.skip("there is no Ansible beside this Python to check the syntax with; make contract has it")
        words = [str(tool), "--syntax-check"] + command.split()[1:]
    else:
        words = ["sh", "-n", "-c", command]
    return subprocess.run(words, cwd=str(ROOT), env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)


@pytest.mark.parametrize("pattern", [name for name, entry in KNOWN.items() if "run_by" not in entry])
def test_what_is_not_run_is_checked(pattern: str) -> None:
    entry = KNOWN[pattern]
    assert set(entry) == {"checked", "as"} and len(entry["checked"]) > 15, "a reason"
    for command in sorted(_concrete(pattern)):
        if shutil.which("make") is None and entry["as"] == "make":
            pytest.skip("there is no make here")
        done = _check(command, entry["as"])
        assert done.returncode == 0, done.stdout.decode("utf-8", "backslashreplace")


LINK = re.compile(r"\]\((?!https?:|#|mailto:)([^)#]+)(?:#[^)]*)?\)")


@pytest.mark.parametrize("path", PAGES, ids=str)
def test_links_lead_somewhere(path: Path) -> None:
    text = (ROOT / path).read_text(encoding="utf-8")
    missing = [link for link in LINK.findall(text) if not os.path.exists(str((ROOT / path).parent / link))]
    assert not missing


@pytest.mark.parametrize("path", PAGES, ids=str)
def test_targets_that_are_named_exist(path: Path) -> None:
    targets = set()
    for makefile in [ROOT / "Makefile"] + sorted((ROOT / "mk").glob("*.mk")):
        targets.update(re.findall(r"^([a-z][a-z0-9-]*):", makefile.read_text(encoding="utf-8"), re.MULTILINE))
    named = set(re.findall(r"`make ([a-z][a-z0-9-]*)", (ROOT / path).read_text(encoding="utf-8")))
    assert not sorted(named - targets)


def test_the_stages_are_told_in_their_order() -> None:
    listed = re.search(r"^STAGES := (.*)$", (ROOT / "mk" / "test.mk").read_text(encoding="utf-8"), re.MULTILINE)
    told = re.findall(r"^\| `([a-z-]+)` \|", (ROOT / "docs" / "development.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert listed and told == listed.group(1).split()


def _table(path: str) -> Dict[str, str]:
    """Variable and default of each row of a table of variables."""
    rows = re.findall(r"^\| `(pressure_[a-z_]+)` \| ([^|]+) \|", (ROOT / path).read_text(encoding="utf-8"), re.MULTILINE)
    return {name: default.strip() for name, default in rows}


def test_the_tables_of_variables_agree() -> None:
    assert _table("README.md")
    assert _table("README.md") == _table("roles/diagnose/README.md")


def test_the_example_explains_every_variable() -> None:
    folder = ROOT / "inventories" / "example" / "group_vars"
    text = "\n".join(path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.yml")))
    assert not [name for name in _table("README.md") if name not in text]
    unknown = set(re.findall(r"\bpressure_[a-z_]+", text)) - set(_table("README.md"))
    assert not unknown


def test_the_examples_thresholds_are_real() -> None:
    """A threshold of the example that no rule has would be bad input for whoever starts from it."""
    rules = importlib.import_module("ansible_collections.oncall.pressure.plugins.plugin_utils._rules")
    loaded = rules.load_rules(str(ROOT / "roles/diagnose/files/rules"))
    seen = 0
    for path in sorted((ROOT / "inventories" / "example" / "group_vars").glob("*.yml")):
        given = (yaml.safe_load(path.read_text(encoding="utf-8")) or {}).get("pressure_thresholds")
        if given:
            seen += 1
            rules.resolve_thresholds(loaded.rules, given)
    assert seen


def _said_of_the_sample() -> str:
    """What the screen says of twelve hosts of which the third has the first case of the first rule, in the words of today."""
    where = ROOT / "tests" / "unit" / "rules" / "support.py"
    spec = importlib.util.spec_from_file_location("pressure_sample_support", where)
    if spec is None or spec.loader is None:
        raise AssertionError("no %s" % where)
    support = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(support)
    package = "ansible_collections.oncall.pressure.plugins.plugin_utils."
    rules, verdict, report = (importlib.import_module(package + name) for name in ("_rules", "_verdict", "_report"))
    known = rules.load_rules(str(support.RULES)).rules
    case = next(case for case in support.load("memory.yml") if case["rule"] == "web.too_many_workers_for_memory" and case["expect"] == "fired")
    numbers = rules.resolve_thresholds(known, None)
    hosts = {"web-%d" % number: verdict.judge(support.snapshot(case if number == 3 else {}), known, numbers) for number in range(1, 13)}
    fleet = {"hosts": 12, "healthy": sum(row["state"] == "healthy" for row in hosts.values()), "unknown": 0, "unreached": 0}
    fleet["incident"] = 12 - fleet["healthy"]
    return str(report.screen({"schema": 1, "hosts": hosts, "fleet": fleet}, "reports/latest/report.md"))


def test_the_sample_is_what_the_screen_says() -> None:
    shown = re.search(r"^```text\n(.*?)^```", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert shown and shown.group(1).rstrip("\n") == _said_of_the_sample()
