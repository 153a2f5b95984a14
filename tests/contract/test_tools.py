# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tools that check must not be fooled themselves: counts are real, a silent stage fails, errors are one line."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Dict, List

import pytest
from checks import ROOT

STAGES = {
    "good": (["echo 'chatter'", "echo '%(passed)d passed, 0 failed'"], True),
    "skips": (["echo '%(passed)d passed, 0 failed, %(skipped)d skipped'"], True),
    "bad": (["echo '%(passed)d passed, %(failed)d failed'", "exit 1"], False),
    "liar": (["echo '%(passed)d passed, %(failed)d failed'"], False),
    "silent": (["echo all is well"], False),
    "empty": (["echo '0 passed, 0 failed'"], False),
    "crash": (["echo '%(passed)d passed, 0 failed'", "exit 3"], False),
}


def _stages(folder: Path, names: List[str], numbers: Dict[str, int]) -> "subprocess.CompletedProcess[str]":
    """Run the real stage runner in a tree of its own whose targets are those of STAGES."""
    shutil.copytree(str(ROOT / "tests" / "tools"), str(folder / "tests" / "tools"), ignore=shutil.ignore_patterns("__pycache__"))
    lines = []
    for name, (recipe, dummy) in STAGES.items():
        lines.append("%s:" % name)
        lines += ["\t@" + line % numbers for line in recipe]
    (folder / "Makefile").write_text("\n".join(lines) + "\n", encoding="utf-8")
    env = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    command = [sys.executable, str(folder / "tests" / "tools" / "stages.py")] + names
    return subprocess.run(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8", check=False)


@pytest.fixture(name="numbers")
def _numbers() -> Dict[str, int]:
    seed = random.randrange(10 ** 6)
    print("seed %d" % seed)
    draw = random.Random(seed)
    return {name: draw.randint(1, 500) for name in ("passed", "failed", "skipped")}


@pytest.mark.skipif(shutil.which("make") is None, reason="the stages are make targets, and there is no make here")
@pytest.mark.parametrize("name", sorted(STAGES))
def test_a_stage_is_believed_only_with_real_counts(tmp_path: Path, name: str, numbers: Dict[str, int]) -> None:
    done = _stages(tmp_path, [name], numbers)
    good = STAGES[name][1]
    assert (done.returncode == 0) is good, done.stdout
    last = done.stdout.splitlines()[-1]
    assert last.endswith(", 0 failed") is good
    if good:
        assert last == "%d passed, 0 failed" % numbers["passed"]


@pytest.mark.skipif(shutil.which("make") is None, reason="the stages are make targets, and there is no make here")
def test_counts_are_added_and_the_first_failure_ends_it(tmp_path: Path, numbers: Dict[str, int]) -> None:
    done = _stages(tmp_path, ["good", "skips", "bad", "good"], numbers)
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1] == "%d passed, %d failed" % (3 * numbers["passed"], numbers["failed"])
    assert [line.split() for line in done.stdout.splitlines() if line.endswith("not run")] == [["good", "not", "run"]]


def _find_python(**environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["/bin/sh", str(ROOT / "requirements" / "find-python")], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8", check=False,
    )


def test_a_python_is_found_by_running_it(tmp_path: Path) -> None:
    """The first candidate on PATH is a shim that does not run."""
    (tmp_path / "python3.11").write_text("#!/bin/sh\nexit 127\n", encoding="utf-8")
    (tmp_path / "python3.11").chmod(0o755)
    (tmp_path / "python3").symlink_to(sys.executable)
    if sys.version_info[:2] not in ((3, 11), (3, 12), (3, 13)):
        pytest.skip("the Python that runs this is itself none that may be found")
    found = _find_python(PATH=str(tmp_path), HOME=str(tmp_path), PYENV_ROOT=str(tmp_path))
    assert found.returncode == 0 and os.path.exists(found.stdout.strip()), found.stderr


def test_an_unusable_python_is_one_line(tmp_path: Path) -> None:
    refused = _find_python(PATH=os.environ.get("PATH", os.defpath), HOME=str(tmp_path), PYTHON="/bin/false")
    assert refused.returncode == 1 and refused.stdout == ""
    assert len(refused.stderr.splitlines()) == 1 and "/bin/false" in refused.stderr


def test_an_unknown_set_of_requirements_is_refused() -> None:
    done = subprocess.run([str(ROOT / "requirements" / "install"), "everything"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8", check=False)
    assert done.returncode == 2 and "everything" in done.stderr
