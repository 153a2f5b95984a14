# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The plan of snapshots, in a play that is really run: what it returns, writes and says, and how it refuses."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Sequence

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
TOOL = Path(sys.executable).parent / "ansible-playbook"

pytestmark = pytest.mark.skipif(not TOOL.exists(), reason="it runs ansible-playbook, and there is none beside this Python")

_SPEC = importlib.util.spec_from_file_location("pressure_plan_support", ROOT / "tests" / "unit" / "rules" / "support.py")
assert _SPEC is not None and _SPEC.loader is not None
support = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(support)

SICK = support.load("hosts.yml")[0]
FREE = {"entries": [], "lease": None, "read_only": False}

#: What the playbook does on the controller, with journals that were made up: the folder is filled with snapshots in place of measuring.
PLAY = """
- name: Plan
  hosts: all
  gather_facts: false
  tasks:
    - name: Decide
      oncall.pressure.diagnose:
        report_dir: "{{ folder }}"
        link: "{{ folder | dirname }}/latest"
        hosts: "{{ ansible_play_hosts_all }}"
      run_once: true

    # as what a module returned, which is what journals are: a template in it is text
    - name: Read what it is given
      ansible.builtin.slurp:
        src: "{{ folder }}/options.json"
      run_once: true
      register: given

    - name: Plan
      oncall.pressure.remediation_plan: "{{ item | combine({'report_dir': folder, 'link': (folder | dirname) ~ '/latest', 'hosts': ansible_play_hosts_all}) }}"
      loop: "{{ given.content | b64decode | from_json }}"
      loop_control:
        label: ""
      run_once: true
      register: planned
      failed_when: false

    - name: Keep what it returned
      ansible.builtin.copy:
        content: "{{ planned.results | to_json }}"
        dest: "{{ folder }}/returned.json"
        mode: "0600"
      run_once: true
"""


class Ran(NamedTuple):
    """A run: its output, what the action returned, the plan that it wrote."""

    out: str
    err: str
    results: List[Dict[str, Any]]
    plan: Optional[Dict[str, Any]]

    @property
    def returned(self) -> Dict[str, Any]:
        """What the last call returned."""
        return self.results[-1]


def run(tmp_path: Path, name: str, documents: Dict[str, Any], *options: Dict[str, Any], words: Sequence[str] = (), callback: str = "default") -> Ran:
    """One run, in which the action is called once for each of ``options``."""
    folder = tmp_path / "reports" / name
    (folder / "snapshots").mkdir(parents=True)
    for host, document in documents.items():
        (folder / "snapshots" / (host + ".json")).write_text(json.dumps(dict(document, name=host)), encoding="utf-8")
    (tmp_path / "play.yml").write_text(PLAY, encoding="utf-8")
    environment = {key: value for key, value in os.environ.items() if not key.startswith("ANSIBLE_")}
    collections = next(path for path in sys.path if (Path(path) / "ansible_collections" / "oncall" / "pressure").exists())
    environment.update(ANSIBLE_CONFIG=str(ROOT / "ansible.cfg"), ANSIBLE_COLLECTIONS_PATH=collections, LC_ALL="C.UTF-8", ANSIBLE_STDOUT_CALLBACK=callback)
    (folder / "options.json").write_text(json.dumps(options), encoding="utf-8")
    (tmp_path / "run.json").write_text(json.dumps({"folder": str(folder), "ansible_python_interpreter": sys.executable}), encoding="utf-8")
    command = [str(TOOL), "play.yml", "-i", ",".join([*documents, ""]), "-c", "local", "-e", "@run.json", *words]
    done = subprocess.run(command, cwd=str(tmp_path), env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    plan = folder / "plan.json"
    returned = json.loads((folder / "returned.json").read_text(encoding="utf-8"))
    return Ran(done.stdout, done.stderr, returned, json.loads(plan.read_text(encoding="utf-8")) if plan.exists() else None)


def snapshots(**change: Any) -> Dict[str, Any]:
    return {"web-1": support.over(support.snapshot(SICK), change), "web-2": support.snapshot({})}


def test_a_plan_afresh_then_from_its_file_then_in_another_boot(tmp_path: Path) -> None:
    free = {"changes": {"web-1": FREE, "web-2": {"skipped": True}}}
    # the values are given as a command line gives them, in texts
    words = ("-l", "web-1,web-2", "-e", "pressure_max_rung=4 token=abc", "-e", '{"pressure_never": ["pause_jobs"], "ansible_become_password": "hunter2"}')
    ran = run(tmp_path, "20260101T000000Z", snapshots(), dict(free, ceilings={"web-1": {"max_rung": "4", "never": "pause_jobs"}}), words=words)
    assert (ran.returned["exit_status"], ran.returned["act"], ran.returned["held"], ran.returned["left"]) == (0, ["web-1"], 0, {})
    first = ran.returned["path"]
    assert stat.S_IMODE(os.stat(first).st_mode) == 0o600 and ran.plan is not None
    assert ran.plan["made"]["owner"].partition("@")[2] == os.uname().nodename and ran.plan["hosts"]["web-1"]["act"] is True
    assert "       1. lower_workers pressure_service=shop-web.service: Lower the number of workers" in ran.out
    assert "2 hosts: 1 to be changed, 1 left alone.   plan: reports/latest/plan.json\n" in ran.out
    # the link will point elsewhere when this is pasted, and what is not this collection's may be secret
    assert "apply with: ansible-playbook oncall.pressure.remediate -i web-1,web-2, -l web-1,web-2 -e @run.json -e pressure_max_rung=4 " \
        "-e '{\"pressure_never\": [\"pause_jobs\"]}' -e pressure_mode=apply -e pressure_plan=reports/20260101T000000Z/plan.json\n" in ran.out
    assert "hunter2" not in ran.out and "token" not in ran.out

    # as the screen names it; by the time that it is read, the link is this run's
    latest = str(tmp_path / "reports" / "latest" / "plan.json")
    ran = run(tmp_path, "20260101T000001Z", snapshots(), dict(free, plan=latest, mode="apply"))
    assert ran.returned["act"] == ["web-1"] and "1 being changed" in ran.out and "apply with" not in ran.out
    assert "reports/latest/plan.json was reports/20260101T000000Z/plan.json when this run began" in " ".join(ran.out.split())

    ran = run(tmp_path, "20260101T000002Z", snapshots(taken={"boot_id": "another"}), dict(free, plan=first, mode="apply"))
    assert ran.returned["act"] == [] and ran.returned["left"] == {"web-1": "the host has moved on since the plan: it was started again"}
    assert "web-1  HELD  the host has moved on since the plan: it was started again" in ran.out


def test_a_host_whose_journal_nobody_read_is_held(tmp_path: Path) -> None:
    changes = {"web-1": {"unreachable": True, "msg": "Connection timed out \x1b[2J"}}
    ran = run(tmp_path, "20260101T000000Z", snapshots(), {"changes": changes})
    assert ran.returned["act"] == [] and ran.returned["held"] == 1
    assert ran.returned["left"]["web-1"] == "what was changed on it before is not known: Connection timed out \\x1b[2J"
    assert "\x1b" not in ran.out


def test_what_is_documented_is_what_is_taken() -> None:
    from ansible_collections.oncall.pressure.plugins.action.remediation_plan import _SPEC as taken
    from ansible_collections.oncall.pressure.plugins.modules import remediation_plan
    wanted = ("type", "elements", "choices", "default", "required")
    documented = yaml.safe_load(remediation_plan.DOCUMENTATION)["options"]
    assert {name: {key: row[key] for key in wanted if key in row} for name, row in documented.items()} == taken


BAD = [
    ({"plan": "{base}/none.json"}, "none.json: No such file or directory"),
    ({"plan": "{base}/broken.json"}, "broken.json: hosts.web-1.steps[0].mitigation: fly is no mitigation (known: "),
    ({"plan": "{base}/plan.yml"}, "plan.yml:1: not JSON"),
    ({"plan": "{base}/reports/latest/plan.json"}, "latest/plan.json: the run before this one made no plan, "
     "the newest plan is reports/20251231T235959Z/plan.json"),
    ({"ceilings": {"web-1": {"max_disruption": "severe"}}}, "pressure_max_disruption must be one of none, low, medium, high, not 'severe' (of web-1)"),
    ({"ceilings": {"web-1": 3}}, "the ceilings of web-1 must be a mapping"),
    ({"majority": -1}, "pressure_majority must not be below zero"),
    ({"majority": "nan"}, "pressure_majority must not be below zero"),
    ({"mode": "apply", "snapshots": "{base}"}, "saved snapshots can be planned for, not changed"),
    ({"mode": "act"}, "must be one of: plan, apply"),
]


def test_bad_input_is_one_line_each_and_no_plan(tmp_path: Path) -> None:
    broken = {"schema": 1, "kind": "plan", "hosts": {"web-1": {"act": True, "taken": {"boot_id": None}, "steps": [
        {"mitigation": "fly", "variables": {}, "for": {"rule": "a.b", "service": None}}]}}}
    (tmp_path / "broken.json").write_text(json.dumps(broken), encoding="utf-8")
    (tmp_path / "plan.yml").write_text("hosts: {web-1: {act: true}}\n", encoding="utf-8")
    for name, file in (("20251231T235959Z", "plan.json"), ("20251231T235959Z-1", "diagnosis.json")):
        (tmp_path / "reports" / name).mkdir(parents=True)
        (tmp_path / "reports" / name / file).write_text("{}", encoding="utf-8")
    given = [dict({"changes": {"web-1": FREE}}, **options) for options in json.loads(json.dumps([row[0] for row in BAD]).replace("{base}", str(tmp_path)))]
    ran = run(tmp_path, "20260101T000000Z", snapshots(), *given)
    assert ran.plan is None and len(ran.results) == len(BAD)
    for returned, (dummy, says) in zip(ran.results, BAD):
        assert says in returned["msg"] and "\n" not in returned["msg"]
        # what Ansible itself finds wrong with an option has no status of ours
        assert returned.get("exit_status", 2) == 2 and returned.get("act", []) == []


def test_what_a_step_decides_cannot_be_given_with_it(tmp_path: Path) -> None:
    ran = run(tmp_path, "20260101T000000Z", snapshots(), {"changes": {"web-1": FREE}}, words=["-e", '{"lower_workers_confirm": true}'])
    assert ran.plan is None and (ran.returned["exit_status"], ran.returned["act"]) == (2, [])
    assert ran.returned["msg"].startswith("lower_workers_confirm: given with -e it beats what a step decides")


def test_what_steps_decide_is_what_is_refused() -> None:
    from ansible_collections.oncall.pressure.plugins.action.remediation_plan import DECIDED
    step = yaml.safe_load((ROOT / "roles" / "remediate" / "tasks" / "step.yml").read_text(encoding="utf-8"))
    given = [name for task in step for inner in task.get("block", []) for name in inner.get("vars", {}) if not name.startswith("__")]
    mitigations = sorted(path.parent.parent.name for path in (ROOT / "roles").glob("*/meta/mitigation.yml"))
    assert given and {name[len(role) + 1:] for name in given for role in mitigations if name.startswith(role + "_")} == set(DECIDED)


def test_what_a_host_says_is_neither_templated_nor_shown_raw(tmp_path: Path) -> None:
    mark = tmp_path / "templated"
    evil = "\x1b[2Jshop-{{ lookup('pipe', 'touch %s') }}-\u202e.service" % mark
    text = json.dumps(support.snapshot(SICK)).replace("shop-web.service", json.dumps(evil)[1:-1])
    changes = {"web-1": dict(FREE, entries=[{"entry": evil, "owner": evil, "state": "verified", "service": evil, "mitigation": evil}])}
    ran = run(tmp_path, "20260101T000000Z", {"web-1": json.loads(text), "web-2": support.snapshot(SICK)}, {"changes": changes}, words=["-vvvv"])
    assert not mark.exists() and ran.returned["act"] == [] and ran.plan is not None
    # no step is made with such a name, and the host that has a plain one has nobody's journal
    assert list(ran.plan["hosts"]) == ["web-2"] and "is not known" in ran.returned["left"]["web-2"]
    for said in (ran.out, ran.err, json.dumps(ran.plan, ensure_ascii=False)):
        assert re.findall("[\x00-\x08\x0b-\x1f\x7f\u202e]", said) == []


def test_the_reason_of_a_hostile_journal_is_harmless(tmp_path: Path) -> None:
    mark = tmp_path / "templated"
    evil = "\x1b[2J{{ lookup('pipe', 'touch %s') }}\u202e" % mark
    changes = {"web-1": dict(FREE, entries=[{"entry": evil, "owner": evil, "state": "verified", "service": evil, "mitigation": evil}])}
    ran = run(tmp_path, "20260101T000000Z", snapshots(), {"changes": changes}, words=["-vvvv"])
    assert "neither confirmed nor undone" in ran.returned["left"]["web-1"] and not mark.exists()
    assert re.findall("[\x00-\x08\x0b-\x1f\x7f\u202e]", ran.out + ran.err) == []


def test_standard_output_that_belongs_to_a_machine_is_left_to_it(tmp_path: Path) -> None:
    ran = run(tmp_path, "20260101T000000Z", snapshots(), {"changes": {"web-1": FREE}}, callback="ansible.builtin.minimal")
    assert "apply with:" in ran.err and "apply with:" not in ran.out
