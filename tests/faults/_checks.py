# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Check mode changes nothing that a ping does not, a second run changes nothing, and a rollback gives everything back: by comparison of whole states."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import _faults
from _common import KEY, LabError, ROOT
from _faults import Bench
from _hosts import data_of

# Nothing of the host is left out here: whatever a ping leaves as well is no difference, and only that.
EVERYTHING = ["/etc", "/run/systemd", "/var/lib", "/var/spool", "/srv", "/usr/local", "/root", "/home", "/tmp", "/opt"]
# What changes by itself while nobody does anything, or is the harness's own.
MOVING = ["/opt/faults*", "/run/systemd/units*", "/run/systemd/sessions*", "/run/systemd/users*", "/run/systemd/journal*", "/run/systemd/transient*",
          "/run/systemd/inaccessible*",
          "/var/lib/redis*", "/var/lib/systemd/timers*", "/var/lib/systemd/random-seed", "/var/lib/dpkg*", "/var/lib/apt*", "/srv/venv*"]
PLAY = """- name: {title}
  hosts: all
  gather_facts: false
  become: true
  tasks:
    - name: {title}
      {task}:
        {arguments}
"""


def inventory(bench: Bench, folder: Path) -> Path:
    """An inventory with this one host."""
    path = folder / (bench.host.name + ".json")
    variables = {
        "ansible_host": "127.0.0.1", "ansible_port": bench.host.port, "ansible_user": "root", "ansible_ssh_private_key_file": str(KEY),
        "ansible_python_interpreter": "/usr/bin/python3",
        "ansible_ssh_common_args": "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR",
    }
    path.write_text(json.dumps({"all": {"hosts": {bench.host.name: variables}}}), encoding="utf-8")
    return path


def environment() -> dict[str, str]:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
    return dict(kept, ANSIBLE_CONFIG=str(ROOT / "ansible.cfg"), PATH=path, LC_ALL="C.UTF-8")


def play_words(bench: Bench, folder: Path, title: str, task: str, arguments: dict[str, Any], *more: str) -> list[str]:
    """The command line of a play of one task against one host."""
    play = folder / "{0}-{1}.yml".format(bench.host.name, title)
    play.write_text(PLAY.format(title=title.capitalize(), task=task, arguments="\n        ".join(
        "{0}: {1}".format(name, json.dumps(value)) for name, value in arguments.items()) or "data: pong"), encoding="utf-8")
    return ["ansible-playbook", str(play), "-i", str(inventory(bench, folder)), *more]


def run_play(words: list[str], timeout_s: float = 300) -> tuple[int, str]:
    done = subprocess.run(words, cwd=str(ROOT), env=environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          timeout=timeout_s, check=False)
    return done.returncode, done.stdout.decode("utf-8", "backslashreplace")


def module_tasks() -> dict[str, tuple[str, dict[str, Any]]]:
    """The mitigations of mitigations.yml that a play can make."""
    found = {}
    for name, row in data_of("mitigations.yml").items():
        if "module" in row and "after" not in row and (_faults.ONLY is None or name in _faults.ONLY):
            found[name] = ("oncall.pressure." + row["module"], dict(row["arguments"], confirm_within=900, cool_down=0, incident="checks"))
    return found


def everything(bench: Bench) -> dict[str, Any]:
    return dict(_faults.looking(), trees=EVERYTHING, excluded=[{"path": path} for path in MOVING])


def lines_of(bench: Bench) -> list[str]:
    """What differs from the state that was kept, ours included."""
    settled = bench.ask("settle", timeout_s=0, steady_s=0, compare=["old"], all=True)
    return settled["differences"]["old"] + ["armed " + name for name in settled["armed"]] + ["own " + name for name in settled["own"]]


def nameless(lines: list[str]) -> list[str]:
    """Without what differs between any two connections: numbers in the names of Ansible's own temporary folders, digests of the shell's history."""
    return sorted({line.split(": ")[0] for line in lines if "/.ansible/tmp/ansible-tmp-" not in line})


def honest(pinged: Bench, checked: Bench, name: str, folder: Path) -> dict[str, Any]:
    """Two copies of one host: one is pinged, one is asked with --check --diff; the lists of differences must be the same."""
    task, arguments = module_tasks()[name]
    wrong = []
    lists = []
    for bench, words in ((pinged, play_words(pinged, folder, "ping", "ansible.builtin.ping", {})),
                         (checked, play_words(checked, folder, "check", task, arguments, "--check", "--diff"))):
        bench.ask("steady")
        bench.ask("record", name="old")
        status, said = run_play(words)
        if status != 0:
            wrong.append("{0} ends with {1}: {2}".format(words[1], status, said[-400:]))
        if bench is checked and "changed=1" not in said:
            wrong.append("the check says nothing would change: " + said[-300:])
        lists.append(nameless(lines_of(bench)))
    wrong += ["only the ping: " + line for line in lists[0] if line not in lists[1]][:5]
    wrong += ["only the check: " + line for line in lists[1] if line not in lists[0]][:5]
    return {"name": "check of {0}".format(name), "wrong": wrong, "said": "{0} differences after a ping, {1} after a check".format(*map(len, lists))}


def only_once(bench: Bench, name: str, folder: Path) -> list[dict[str, Any]]:
    """The same twice: the second changes nothing, and what --check --diff showed is what the run then shows; then back again."""
    task, arguments = module_tasks()[name]
    bench.look = _faults.looking()
    bench.ask("clean")
    bench.ask("steady")
    bench.ask("record", name="old")
    rows = []
    status, foreseen = run_play(play_words(bench, folder, "once", task, arguments, "--check", "--diff"))
    status, said = run_play(play_words(bench, folder, "once", task, arguments, "--diff"))
    wrong = [] if status == 0 and "changed=1" in said else ["the run fails: " + said[-400:]]
    shown = [text[text.find("\nTASK"):text.find("\nPLAY RECAP")] for text in (foreseen, said)]
    if shown[0] != shown[1]:
        wrong.append("what was foreseen is not what was shown: {0!r} and {1!r}".format(shown[0][-300:], shown[1][-300:]))
    rows.append({"name": "diff of {0}".format(name), "wrong": wrong, "said": "{0} bytes of diff".format(len(shown[0]))})
    bench.ask("steady")
    kept = dict(bench.look, excluded=[row for row in bench.look["excluded"] if row["path"] != "/var/lib/oncall-pressure"])
    bench.look = kept
    bench.ask("record", name="new")
    # A restart is meant anew every time it is asked for.
    if name != "restart_service":
        status, said = run_play(play_words(bench, folder, "again", task, dict(arguments, incident="again"), "--diff"))
        settled = bench.ask("settle", timeout_s=0, steady_s=6, compare=["new"])
        again = ["the second run says that it changed something: " + said[-300:]] if status != 0 or "changed=0" not in said else []
        rows.append({"name": "second run of {0}".format(name), "wrong": again + settled["differences"]["new"][:6], "said": "compared with our own records"})
    bench.look = _faults.looking()
    status, said = run_play(play_words(bench, folder, "back", "oncall.pressure.incident", {"state": "undone"}))
    settled = bench.ask("settle", timeout_s=10, steady_s=10, compare=["old"])
    wrong = [] if status == 0 else ["the rollback fails: " + said[-300:]]
    rows.append({"name": "apply and rollback of {0}".format(name), "wrong": wrong + settled["differences"]["old"][:6] + settled["own"], "said": ""})
    return rows


def part(benches: list[Bench], randomly: random.Random, fast: bool) -> list[dict[str, Any]]:
    folder = ROOT / ".cache" / "faults" / "plays"
    folder.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, Any]] = []
    if len(benches) < 2:
        raise LabError("the checks need two copies of a host: --hosts 2")
    pinged, checked = benches[0], benches[1]
    for name in module_tasks():
        for bench in (pinged, checked):
            bench.renew()
            bench.look = everything(bench)
        rows.append(honest(pinged, checked, name, folder))
        rows += only_once(checked, name, folder)
        for row in rows[-4:]:
            print("{0:5} {1:40} {2}  {3}".format("FAIL" if row["wrong"] else "ok", row["name"], row["said"], "; ".join(row["wrong"])[:500]), flush=True)
    for bench in benches:
        bench.look = _faults.looking()
    return rows
