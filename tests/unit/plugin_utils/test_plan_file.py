# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A plan that a person may have edited: what is read of it, and that each mistake is named by its place."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Callable, Dict

import plans
import pytest
from ansible_collections.oncall.pressure.plugins.plugin_utils import _plan_file
from ansible_collections.oncall.pressure.plugins.plugin_utils._plan_file import BadPlan
from plans import BOOT, DECLARED, MEMORY, WEB, sick, verdict

Edit = Callable[[Dict[str, Any]], Any]


def document() -> Dict[str, Any]:
    """A plan as it is written."""
    loaded = json.loads(json.dumps(plans.plan({"web-3": sick(verdict()), "web-4.example.org": sick(verdict())}).document))
    assert isinstance(loaded, dict)
    return loaded


def read(value: Any) -> _plan_file.Given:
    return _plan_file.parse_plan("plan.json", json.dumps(value).encode(), DECLARED)


def says(value: Any) -> str:
    with pytest.raises(BadPlan) as problem:
        read(value)
    return str(problem.value)


def test_what_was_written_is_read() -> None:
    given = read(document())
    host = given.hosts["web-3"]
    assert list(given.hosts) == ["web-3", "web-4.example.org"] and (host.act, host.held, host.boot_id) == (True, None, BOOT)
    lower, restart = host.steps
    assert lower == (DECLARED["lower_workers"], {"pressure_service": WEB}, MEMORY, WEB, None)
    assert restart.held == "disruption high is above pressure_max_disruption medium"


def test_only_what_is_read_must_be_there() -> None:
    step = {"mitigation": "lower_workers", "variables": {"pressure_service": WEB}, "for": {"rule": MEMORY, "service": WEB}}
    given = read({"schema": 1, "kind": "plan", "hosts": {"a": {"act": True, "taken": {"boot_id": None}, "steps": [step]}}})
    assert given.hosts["a"].boot_id is None and given.hosts["a"].steps[0].held is None


def test_what_a_person_may_do() -> None:
    plan = document()
    del plan["hosts"]["web-4.example.org"]
    plan["hosts"]["web-3"]["act"] = False
    plan["hosts"]["web-3"]["steps"].reverse()
    plan["hosts"]["web-3"]["steps"][0]["held"] = None
    given = read(plan)
    assert list(given.hosts) == ["web-3"] and given.hosts["web-3"].act is False
    assert [(step.mitigation.id, step.held) for step in given.hosts["web-3"].steps] == [("restart_service", None), ("lower_workers", None)]


def test_what_a_step_says_of_itself_is_not_read_back() -> None:
    """A person, or who has the file, cannot make a restart harmless by writing so."""
    plan = document()
    plan["hosts"]["web-3"]["steps"][1].update(rung=1, disruption="none", loses_work=False, held=None)
    assert read(plan).hosts["web-3"].steps[1].mitigation == DECLARED["restart_service"]


def host(edit: Edit) -> Edit:
    return lambda plan: edit(plan["hosts"]["web-3"])


def step(edit: Edit) -> Edit:
    return lambda plan: edit(plan["hosts"]["web-3"]["steps"][0])


def to(key: str, value: Any) -> Edit:
    return lambda row: row.__setitem__(key, value)


def without(key: str) -> Edit:
    return lambda row: row.pop(key)


EVIL = "{{ lookup('pipe', 'id') }}"
FIRST = "plan.json: hosts.web-3.steps[0]"


@pytest.mark.parametrize("edit,where", [
    (to("kind", "diagnosis"), "plan.json: kind: must be plan"),
    (to("schema", 2), "plan.json: schema: must be 1"),
    (to("schema", True), "plan.json: schema: must be 1"),
    (without("hosts"), "plan.json: hosts is missing"),
    (to("hosts", []), "plan.json: hosts: must be a mapping"),
    (to("host", {}), "plan.json: host: unknown key (known: fleet, hosts, kind, made, schema)"),
    (to("{{ x }}", {}), 'plan.json: ["{{ x }}"]: unknown key'),
    (lambda plan: plan["hosts"].update({"": plan["hosts"]["web-3"]}), 'plan.json: hosts[""]: is no name of a host'),
    (lambda plan: plan["hosts"].update({"a\x00": plan["hosts"]["web-3"], "a\\x00": plan["hosts"]["web-3"]}), "or one that stands there already"),
    (lambda plan: to("act", "yes")(plan["hosts"]["web-4.example.org"]), 'plan.json: hosts["web-4.example.org"].act: must be true or false'),
    (lambda plan: to("web-3", None)(plan["hosts"]), "plan.json: hosts.web-3: must be a mapping"),
    (host(without("act")), "plan.json: hosts.web-3: act is missing"),
    (host(to("act", "true")), "plan.json: hosts.web-3.act: must be true or false"),
    (host(to("act", 1)), "plan.json: hosts.web-3.act: must be true or false"),
    (host(to("held", 3)), "plan.json: hosts.web-3.held: must be text or null"),
    (host(to("note", "x")), "plan.json: hosts.web-3.note: unknown key"),
    (host(without("taken")), "plan.json: hosts.web-3: taken is missing"),
    (host(to("taken", BOOT)), "plan.json: hosts.web-3.taken: must be a mapping"),
    (host(to("taken", {"boot_id": 3})), "plan.json: hosts.web-3.taken.boot_id: must be text or null"),
    (host(to("taken", {})), "plan.json: hosts.web-3.taken: boot_id is missing"),
    (host(to("steps", {})), "plan.json: hosts.web-3.steps: must be a list"),
    (host(to("steps", [{}] * 101)), "plan.json: hosts.web-3.steps: must be no more than 100"),
    (host(lambda row: row["steps"].append(dict(row["steps"][0]))), "plan.json: hosts.web-3.steps[2]: the same step stands there already"),
    (host(lambda row: row["steps"].append("lower_workers")), "plan.json: hosts.web-3.steps[2]: must be a mapping"),
    (step(without("variables")), FIRST + ": variables is missing"),
    (step(to("command", "id")), FIRST + ".command: unknown key"),
    (step(to("mitigation", "fly")), FIRST + ".mitigation: fly is no mitigation (known: limit_requests, lower_workers, "),
    (step(to("mitigation", "../../etc")), FIRST + ".mitigation: ../../etc is no mitigation"),
    (step(to("mitigation", ["lower_workers"])), FIRST + ".mitigation: "),
    (step(to("mitigation", None)), FIRST + ".mitigation: "),
    (step(to("variables", [])), FIRST + ".variables: must be a mapping"),
    (step(to("variables", {"pressure_force": "true"})), FIRST + ".variables.pressure_force: lower_workers does not take it (it takes: pressure_basis, "),
    (step(to("variables", {"ansible_connection": "local"})), FIRST + ".variables.ansible_connection: lower_workers does not take it"),
    (step(to("variables", {EVIL: "x"})), FIRST + '.variables["{{ lookup'),
    (step(to("variables", {"pressure_service": EVIL})), FIRST + ".variables.pressure_service: must be text of letters"),
    (step(to("variables", {"pressure_service": "a b"})), FIRST + ".variables.pressure_service: must be text"),
    (step(to("variables", {"pressure_service": "$(id)"})), FIRST + ".variables.pressure_service: must be text"),
    (step(to("variables", {"pressure_service": 6})), FIRST + ".variables.pressure_service: must be text"),
    (step(to("variables", {"pressure_service": True})), FIRST + ".variables.pressure_service: must be text"),
    (step(to("variables", {"pressure_service": ["a"]})), FIRST + ".variables.pressure_service: must be text"),
    (step(to("variables", {"pressure_service": None})), FIRST + ".variables.pressure_service: must be text"),
    (step(to("variables", {"pressure_service": ""})), FIRST + ".variables.pressure_service: must be text"),
    (step(to("variables", {"pressure_service": "a\n"})), FIRST + ".variables.pressure_service: must be text"),
    (step(to("variables", {"pressure_service": "x" * 201})), FIRST + ".variables.pressure_service: must be text"),
    (step(to("for", MEMORY)), FIRST + ".for: must be a mapping"),
    (step(to("for", {"rule": MEMORY})), FIRST + ".for: service is missing"),
    (step(to("for", {"rule": "../x", "service": WEB})), FIRST + ".for.rule: must be the id of a rule"),
    (step(to("for", {"rule": 3, "service": WEB})), FIRST + ".for.rule: must be the id of a rule"),
    (step(to("for", {"rule": MEMORY, "service": 3})), FIRST + ".for.service: must be the id of a service, or null"),
    (step(to("for", {"rule": MEMORY, "service": WEB, "x": 1})), FIRST + ".for.x: unknown key"),
    (step(to("held", False)), FIRST + ".held: must be text or null"),
])
def test_a_mistake_is_named_by_its_place(edit: Edit, where: str) -> None:
    plan = document()
    edit(plan)
    assert where in says(plan)


@pytest.mark.parametrize("value", [None, 3, "plan", [], [document()], True], ids=["nothing", "number", "text", "empty", "plan in a list", "true"])
def test_what_is_no_plan(value: Any) -> None:
    assert says(value) == "plan.json: must be a mapping"


@pytest.mark.parametrize("data,where", [
    (b"", "plan.json:1: not JSON"),
    (b'{\n "schema": 1,\n}', "plan.json:3: not JSON"),
    (b"hosts:\n  web-3: {act: true}\n", "plan.json:1: not JSON"),
    (b'{\n "kind": "\xff"}', "plan.json:2: not UTF-8"),
    (b'{"schema": 1, "schema": 1}', "plan.json: schema occurs twice in one mapping"),
    (b'{"schema": NaN}', "plan.json: NaN is no value"),
    (b'{"schema": -Infinity}', "plan.json: -Infinity is no value"),
    (b"[" * 100000, "plan.json: nested too deeply"),
    (b'{"schema": ' + b"9" * 5000 + b"}", "plan.json: "),
])
def test_what_is_no_json(data: bytes, where: str) -> None:
    with pytest.raises(BadPlan) as problem:
        _plan_file.parse_plan("plan.json", data, DECLARED)
    assert where in str(problem.value)


def test_a_key_that_stands_twice_is_seen_anywhere() -> None:
    text = json.dumps(document()).replace('"act": true', '"act": false, "act": true', 1)
    with pytest.raises(BadPlan, match="act occurs twice"):
        _plan_file.parse_plan("plan.json", text.encode(), DECLARED)


def test_only_a_file_of_a_size_that_a_person_looks_at_is_read(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(document()), encoding="utf-8")
    assert set(_plan_file.read_plan(str(path), DECLARED).hosts) == {"web-3", "web-4.example.org"}
    path.write_bytes(b" " * (_plan_file.LIMIT + 1))
    with pytest.raises(BadPlan, match="it is larger than 8 MiB"):
        _plan_file.read_plan(str(path), DECLARED)
    os.mkfifo(str(tmp_path / "pipe"))
    for name in ("pipe", "."):
        with pytest.raises(BadPlan, match="it is no file"):
            _plan_file.read_plan(str(tmp_path / name), DECLARED)
    with pytest.raises(OSError):
        _plan_file.read_plan(str(tmp_path / "none.json"), DECLARED)


def test_a_mistake_does_not_drive_the_terminal() -> None:
    plan = document()
    plan["hosts"]["web-3"]["steps"][0]["mitigation"] = "\x1b[2J\u202e"
    plan["hosts"]["\x1b[2J"] = plan["hosts"].pop("web-3")
    assert "\x1b" not in says(plan) and "\u202e" not in says(plan) and "\\x1b[2J" in says(plan)
