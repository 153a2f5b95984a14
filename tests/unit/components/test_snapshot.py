# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The whole snapshot of the live machine, and how units are joined to services."""

from __future__ import annotations

import json
import os
import typing as t
from pathlib import Path

import jsonschema
import psutil

from ansible_collections.oncall.pressure.plugins.module_utils._components import _snapshot
from ansible_collections.oncall.pressure.plugins.module_utils._host._collect import Options
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine

SCHEMA = json.loads((Path(__file__).resolve().parents[3] / "roles/diagnose/files/schemas/snapshot.json").read_text(encoding="utf-8"))


def test_the_live_machine_gives_a_valid_document_that_psutil_agrees_with() -> None:
    document = _snapshot.take(Machine(), Options(window_s=0.5), 30.0)
    jsonschema.Draft202012Validator(SCHEMA).validate(json.loads(json.dumps(document)))
    assert document["collectors"]["host"]["status"] in ("ok", "partial")
    host = document["host"]
    if host["kind"] == "machine":
        memory = psutil.virtual_memory()
        assert host["memory"]["limit_bytes"] == memory.total
        assert abs(host["memory"]["available_bytes"] - memory.available) < 0.1 * memory.total
        assert host["cpu"]["affinity"] == len(psutil.Process(1).cpu_affinity() if os.geteuid() == 0 else psutil.Process().cpu_affinity())
    assert document["cost"]["processes"] == 6 and document["cost"]["cpu_s"] > 0 and document["cost"]["pss_bytes"] > 0
    ours = {row["pid"] for rows in ("top_cpu", "top_memory") for row in document["processes"][rows]}
    assert os.getpid() not in ours


def record(**extra: t.Any) -> dict[str, t.Any]:
    settings = dict.fromkeys(("version", "workers", "threads", "worker_class", "timeout", "max_requests", "max_requests_jitter", "max_tasks_per_child",
                              "max_memory_per_child_kib", "autoscale", "queues", "bind"))
    return dict({"component": "gunicorn", "role": "web", "manager": "systemd", "state": "restarting", "restarts": 7, "result": "oom-kill", "main_pid": None,
                 "memory_limit_bytes": 104857600, "cpu_quota": None, "settings": dict(settings, program="gunicorn")}, **extra)


def service(name: str, **extra: t.Any) -> dict[str, t.Any]:
    return dict({"id": name, "state": "running", "restarts": None, "result": None, "settings": None, "main_pid": 10}, **extra)


def test_a_unit_that_is_down_between_two_restarts_is_a_service() -> None:
    joined = _snapshot.join([], {"units": {"shop.service": record()}})
    assert [row["id"] for row in joined] == ["shop.service"]
    row = joined[0]
    assert (row["state"], row["restarts"], row["result"], row["processes"], row["memory"]["limit_bytes"]) == ("restarting", 7, "oom-kill", 0, 104857600)
    assert row["memory"]["bytes"] is None and row["cpu"]["used"] is None
    validator = jsonschema.Draft202012Validator({"$ref": "#/$defs/service", "$defs": SCHEMA["$defs"]})
    validator.validate(row)


def test_a_running_service_takes_what_its_unit_says() -> None:
    joined = _snapshot.join([service("shop.service")], {"units": {"shop.service": record(state="running", restarts=2, result=None)}})
    assert len(joined) == 1
    assert (joined[0]["restarts"], joined[0]["settings"]["program"], joined[0]["state"]) == (2, "gunicorn", "running")


def test_units_of_no_known_component_are_not_added_and_programs_are() -> None:
    joined = _snapshot.join([],
                            {"units": {"other.service": record(settings=None)}, "programs": {"supervisor:jobs": record(manager="supervisor", state="stopped")}})
    assert [(row["id"], row["name"], row["manager"]) for row in joined] == [("supervisor:jobs", "jobs", "supervisor")]


def test_what_was_started_by_hand_gets_its_settings_by_its_main_process() -> None:
    joined = _snapshot.join([service("process:gunicorn:10"), service("process:gunicorn:11", main_pid=11)],
                            {"processes": {"10": {"settings": {"program": "gunicorn"}}}})
    assert [row["settings"] for row in joined] == [{"program": "gunicorn"}, None]
