# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""gunicorn's settings against gunicorn itself: what it prints of its configuration is what we must find without running it."""

from __future__ import annotations

import os
import random
import re
import shlex
import subprocess
import sys
import typing as t
from pathlib import Path

import pytest

from ansible_collections.oncall.pressure.plugins.module_utils._components import _gunicorn
from ansible_collections.oncall.pressure.plugins.module_utils._components._settings import Launch, Origin, Variable
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine
from ansible_collections.oncall.pressure.plugins.module_utils._parse import _command_line

OPTIONS = {
    "workers": ("-w", "--workers"), "threads": ("--threads",), "timeout": ("-t", "--timeout"), "max_requests": ("--max-requests",),
    "max_requests_jitter": ("--max-requests-jitter",),
}


def _launch(arguments: list[str], environment: dict[str, str] | None, folder: Path) -> Launch:
    command = _command_line.parse_argv(["gunicorn"] + arguments)
    assert isinstance(command, _command_line.Command)
    variables = None if environment is None else {name: Variable(value, Origin("environment", None)) for name, value in environment.items()}
    return Launch(command, Origin("command_line", None), {}, variables, str(folder))


def _real(arguments: list[str], environment: dict[str, str], folder: Path) -> dict[str, str]:
    """What gunicorn says of its own configuration."""
    variables = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "VIRTUAL_ENV", "LANG")}
    variables.update(environment)
    outcome = subprocess.run(
        [sys.executable, "-m", "gunicorn", "--print-config"] + arguments, cwd=folder, env=variables, capture_output=True, text=True, check=True, timeout=60
    )
    return dict(re.findall(r"^(\w+)\s+= (.*)$", outcome.stdout, re.MULTILINE))


def _drawn(seed: int) -> tuple[list[str], dict[str, str], str]:
    """Arguments, environment and a configuration file, drawn at random."""
    draw = random.Random(seed)
    lines: dict[str, list[str]] = {"arguments": [], "environment": [], "file": []}
    for name, spellings in OPTIONS.items():
        for layer in ("arguments", "environment", "file"):
            if draw.random() < 0.5:
                value = draw.randint(1, 9)
                option = draw.choice(spellings)
                if layer == "file":
                    lines[layer].append("%s = %d" % (name, value))
                elif option.startswith("--"):
                    lines[layer].extend(["%s=%d" % (option, value)] if draw.random() < 0.5 else [option, str(value)])
                else:
                    lines[layer].append("%s%d" % (option, value))
    environment: dict[str, str] = {}
    if lines["environment"]:
        environment["GUNICORN_CMD_ARGS"] = shlex.join(lines["environment"])
    if draw.random() < 0.5:
        environment["WEB_CONCURRENCY"] = str(draw.randint(1, 9))
    if draw.random() < 0.5:
        environment["PORT"] = "8123"
    return lines["arguments"], environment, "\n".join(lines["file"]) + "\n"


@pytest.mark.parametrize("seed", range(8))
def test_the_same_as_gunicorn_says(seed: int, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("def app(environ, start_response):\n    return []\n", encoding="utf-8")
    arguments, environment, text = _drawn(seed)
    name = "gunicorn.conf.py" if seed % 2 else "other.py"
    (tmp_path / name).write_text(text, encoding="utf-8")
    if name == "other.py":
        arguments = ["-c", "other.py"] + arguments
    arguments.append("app:app")
    real = _real(arguments, environment, tmp_path)
    found = _gunicorn.settings(_launch(arguments, environment, tmp_path), Machine())
    shown = "seed %d: %s %s %r" % (seed, arguments, environment, text)
    for setting in OPTIONS:
        assert str(found[setting]["value"]) == real[setting], (setting, shown)
    assert "['%s']" % found["bind"]["value"] == real["bind"], shown


def _settings(arguments: list[str], folder: Path, environment: dict[str, str] | None = None) -> dict[str, t.Any]:
    return _gunicorn.settings(_launch(arguments, {} if environment is None else environment, folder), Machine())


def test_layers(tmp_path: Path) -> None:
    (tmp_path / "gunicorn.conf.py").write_text("import os\nthreads = 3\ntimeout = int(os.environ['T'])\nbind = ('a:1', 'b:2')\n", encoding="utf-8")
    found = _settings(["-w", "4", "a:b"], tmp_path, {"GUNICORN_CMD_ARGS": "--max-requests 9", "WEB_CONCURRENCY": "7"})
    path = str(tmp_path / "gunicorn.conf.py")
    assert found["workers"] == {"value": 4, "layer": "command_line", "where": None, "reason": None}
    assert found["threads"] == {"value": 3, "layer": "config_file", "where": path + ":2", "reason": None}
    assert found["timeout"] == {"value": None, "layer": "config_file", "where": path + ":3", "reason": "computed"}
    assert (found["max_requests"]["value"], found["max_requests"]["layer"]) == (9, "GUNICORN_CMD_ARGS")
    assert found["max_requests_jitter"] == {"value": 0, "layer": "default", "where": None, "reason": None}
    assert found["worker_class"] == {"value": "gthread", "layer": "default", "where": None, "reason": "more than one thread"}
    assert found["bind"]["value"] == "a:1,b:2"
    assert (found["max_tasks_per_child"], found["queues"], found["autoscale"]) == (None, None, None)


def test_what_is_not_known_is_null_with_a_reason(tmp_path: Path) -> None:
    unread = _settings(["-c", "python:shop.conf", "a:b"], tmp_path)
    assert unread["workers"]["value"] is None
    assert "shop.conf" in unread["workers"]["reason"]
    gone = _settings(["-c", "gone.py", "a:b"], tmp_path)
    assert gone["workers"]["value"] is None
    assert "gone.py" in gone["workers"]["reason"]
    assert _gunicorn.settings(_launch(["a:b"], None, tmp_path), Machine())["workers"]["reason"] == "the environment is not known"


def test_only_regular_files_of_bounded_size_are_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.py")
    (tmp_path / "large.py").write_text("workers = 3\n" + "#" * 300000, encoding="utf-8")
    for name, reason in (("fifo.py", "no regular file"), ("large.py", "larger than"), ("/dev/zero", "no regular file")):
        assert reason in _settings(["-c", name, "a:b"], tmp_path)["workers"]["reason"]


def test_the_release_beside_the_script(tmp_path: Path) -> None:
    packages = tmp_path / "venv" / "lib" / "python3.11" / "site-packages"
    (packages / "gunicorn-21.2.0.dist-info").mkdir(parents=True)
    (packages / "gunicorn_extra-9.dist-info").mkdir()
    command = _command_line.parse_argv([str(tmp_path / "venv/bin/python"), str(tmp_path / "venv/bin/gunicorn"), "a:b"])
    assert isinstance(command, _command_line.Command)
    found = _gunicorn.settings(Launch(command, Origin("command_line", None), {}, {}, "/"), Machine())
    assert found["version"] == "21.2.0"
    assert _settings(["a:b"], tmp_path)["version"] is None
