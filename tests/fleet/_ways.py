# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every way in which people run the playbooks: out of the checkout, installed and by name, by ansible-runner, by ansible-pull."""

from __future__ import annotations

import json
import os
import random
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any, Callable

import _report
from checks import CACHE, Done, clean_environment, program, run
from _common import ROOT, LabError
from _fleet import Host

HERE = Path(__file__).resolve().parent
# What each way is asked to do: the playbook, variables, the exit status, the document that it must leave.
ASKED: dict[str, tuple[str, dict[str, Any], int, str | None]] = {
    "diagnose": ("diagnose", {}, 0, "diagnosis.json"),
    "remediate": ("remediate", {}, 0, "plan.json"),
    "bad input": ("remediate", {"pressure_mode": "enforce"}, 2, None),
}


def variables(folder: Path, more: dict[str, Any]) -> dict[str, Any]:
    return dict({"pressure_report_dir": str(folder / "reports"), "pressure_become": False, "pressure_window": 0.2,
                 "ansible_python_interpreter": sys.executable}, **more)


def checkout(folder: Path, playbook: str, given: dict[str, Any]) -> Done:
    """As `make diagnose` does it: the file, with the configuration of the checkout."""
    return run([program("ansible-playbook"), "playbooks/{0}.yml".format(playbook), "-i", "inventories/local", "-e", json.dumps(given)], cwd=ROOT,
               env=clean_environment(ANSIBLE_CONFIG=str(ROOT / "ansible.cfg")))


def _collections() -> Path:
    """The collection built and installed as users get it, once for a run of this suite."""
    place = Path(_PLACE[0].name)
    if not (place / "ansible_collections").exists():
        env = clean_environment(HOME=str(place))
        built = run([program("ansible-galaxy"), "collection", "build", "--output-path", str(place)], env=env)
        done = run([program("ansible-galaxy"), "collection", "install", "--offline", "-p", str(place), *map(str, place.glob("*.tar.gz"))], cwd=place, env=env)
        if built.status != 0 or done.status != 0:
            raise LabError("the collection cannot be installed: {0}".format((built.output + done.output)[-300:]))
    return place


def installed(folder: Path, playbook: str, given: dict[str, Any]) -> Done:
    """By its name, from an empty folder, with nothing of the checkout."""
    return run([program("ansible-playbook"), "oncall.pressure." + playbook, "-i", "localhost,", "-c", "local", "-e", json.dumps(given)], cwd=folder,
               env=clean_environment(HOME=str(folder), ANSIBLE_COLLECTIONS_PATH=str(_collections())))


def runner(folder: Path, playbook: str, given: dict[str, Any]) -> Done:
    """ansible-runner with a private folder of its own, as controllers (AWX) use it."""
    home = CACHE / "fleet" / "runner"
    stamp = home / "complete"
    wanted = (HERE / "runner.txt").read_text(encoding="utf-8")
    if not stamp.exists() or stamp.read_text(encoding="utf-8") != wanted:
        shutil.rmtree(str(home), ignore_errors=True)
        made = run([sys.executable, "-m", "venv", str(home)])
        done = run([str(home / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", str(HERE / "runner.txt")])
        if made.status != 0 or done.status != 0:
            raise LabError("ansible-runner cannot be installed: {0}".format(done.output[-300:]))
        stamp.write_text(wanted, encoding="utf-8")
    for name in ("project", "inventory", "env"):
        (folder / name).mkdir()
    (folder / "project" / "site.yml").write_text("- import_playbook: oncall.pressure.{0}\n".format(playbook), encoding="utf-8")
    (folder / "inventory" / "hosts").write_text("localhost ansible_connection=local\n", encoding="utf-8")
    (folder / "env" / "extravars").write_text(json.dumps(given), encoding="utf-8")
    (folder / "env" / "envvars").write_text(json.dumps({"ANSIBLE_COLLECTIONS_PATH": str(_collections())}), encoding="utf-8")
    env = clean_environment(HOME=str(folder))
    # its own Python, and the ansible-playbook of this environment
    env["PATH"] = os.pathsep.join([env["PATH"], str(home / "bin")])
    done = run([str(home / "bin" / "ansible-runner"), "run", str(folder), "-p", "site.yml"], cwd=folder, env=env)
    written = sorted((folder / "artifacts").glob("*/rc"))
    if len(written) != 1 or written[0].read_text(encoding="utf-8").strip() != str(done.status):
        return Done(done.status, "{0}\nits own record of the exit status: {1}".format(done.output, [path.read_text() for path in written]), done.seconds)
    return done


def pull(folder: Path, playbook: str, given: dict[str, Any]) -> Done:
    """ansible-pull on the host itself, of this repository into the place where a collection has its name."""
    place = folder / "ansible_collections" / "oncall" / "pressure"
    return run([program("ansible-pull"), "-U", "file://{0}".format(ROOT), "-d", str(place), "-i", "localhost,", "-c", "local", "-e", json.dumps(given),
                "playbooks/{0}.yml".format(playbook)], cwd=folder,
               env=clean_environment(HOME=str(folder), ANSIBLE_COLLECTIONS_PATH=str(folder), ANSIBLE_PYTHON_INTERPRETER=sys.executable))


WAYS: dict[str, Callable[[Path, str, dict[str, Any]], Done]] = {"checkout": checkout, "installed": installed, "ansible-runner": runner, "ansible-pull": pull}
_PLACE: list[tempfile.TemporaryDirectory[str]] = []
NAMES: list[str] | None = None


def attempt(way: str, asked: str, folder: Path) -> dict[str, Any]:
    playbook, more, status, document = ASKED[asked]
    own = folder / "ways" / "{0}-{1}".format(way, asked.replace(" ", "-"))
    shutil.rmtree(own, ignore_errors=True)
    own.mkdir(parents=True)
    done = WAYS[way](own, playbook, variables(own, more))
    wrong = [] if done.status == status else ["exit status {0}, not {1}: {2}".format(done.status, status, done.output[-500:])]
    if document is not None and not (own / "reports" / "latest" / document).is_file():
        wrong.append("there is no {0}: {1}".format(document, done.output[-300:]))
    return {"name": "{0}: {1}".format(way, asked), "wrong": wrong, "said": "exit status {0}, {1:.0f} s".format(done.status, done.seconds)}


def part(hosts: list[Host], randomly: random.Random, fast: bool, folder: Path) -> list[dict[str, Any]]:
    """Every way; of a short run two of them with one playbook each."""
    rows = []
    with tempfile.TemporaryDirectory(prefix="fleet-ways-") as place:
        _PLACE[:] = [tempfile.TemporaryDirectory(dir=place)]
        for way in (randomly.sample(list(WAYS), 2) if fast else WAYS):
            for asked in ([randomly.choice(list(ASKED))] if fast else ASKED):
                if NAMES is not None and way not in NAMES:
                    continue
                try:
                    row = attempt(way, asked, folder)
                except LabError as problem:
                    row = {"name": "{0}: {1}".format(way, asked), "wrong": [str(problem)]}
                rows.append(row)
                _report.note("ways", row)
        _PLACE[0].cleanup()
    return rows
