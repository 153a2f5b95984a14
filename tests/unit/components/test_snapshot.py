# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The whole snapshot of the live machine, and how units are joined to services."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import typing as t
from pathlib import Path

import jsonschema
import psutil
import pytest

from ansible_collections.oncall.pressure.plugins.module_utils._components import _owners, _snapshot
from ansible_collections.oncall.pressure.plugins.module_utils._host._collect import Options, Part, Reading, ok
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
    assert document["cost"]["processes"] == len(_snapshot.COLLECTORS) + 1 and document["cost"]["cpu_s"] > 0 and document["cost"]["pss_bytes"] > 0
    ours = {row["pid"] for rows in ("top_cpu", "top_memory") for row in document["processes"][rows]}
    assert os.getpid() not in ours


def test_what_cannot_be_imported_fails_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(options: Options) -> t.Any:
        raise SyntaxError("of a Python that is older")

    monkeypatch.setitem(_snapshot.COLLECTORS, "jobs", Part(broken))
    document = _snapshot.take(Machine(), Options(window_s=0.1), 30.0)
    assert document["collectors"]["jobs"]["status"] == "error" and "SyntaxError" in document["collectors"]["jobs"]["reason"]
    assert document["jobs"] is None and document["collectors"]["host"]["status"] in ("ok", "partial")


#: Imports what there is to collect with on a host with some daemons, and says what of ours is there then.
LOADED = """
import json, sys
from ansible_collections.oncall.pressure.plugins.module_utils._components import _snapshot
from ansible_collections.oncall.pressure.plugins.module_utils._host._collect import Options
for part in _snapshot.COLLECTORS.values():
    part.prepare(Options(daemons=dict.fromkeys(sys.argv[1:], (1,))))
print(json.dumps([name.rpartition("._components.")[2] for name in sys.modules if "oncall.pressure" in name]))
"""


@pytest.mark.parametrize("daemons", [[], ["nginx"], ["redis", "podman"], ["postgres", "docker", "nginx"]])
def test_only_what_there_is_to_collect_with_is_imported(daemons: list[str]) -> None:
    found = [one for one in sys.path if (Path(one) / "ansible_collections/oncall/pressure").is_dir()]
    done = subprocess.run([sys.executable, "-c", LOADED, *daemons], stdout=subprocess.PIPE, check=True, env=dict(os.environ, PYTHONPATH=":".join(found)))
    loaded = set(json.loads(done.stdout))
    always = {"_host_pressure", "_services", "_units", "_oom", "_jobs", "_nginx", "_connections", "_logs", "_recent_changes"}
    by_kind = {"redis": "_redis", "postgres": "_postgres", "docker": "_containers", "podman": "_containers"}
    assert always <= loaded
    assert loaded & {"_redis", "_postgres", "_containers", "_health_urls", "_memory_history"} == {by_kind[kind] for kind in daemons if kind in by_kind}


def test_a_longer_window_ends_before_services_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    def watch(machine: Machine, options: Options) -> Reading:
        machine.sleep(options.memory_window_s)
        return ok(machine.monotonic())

    monkeypatch.setattr(_snapshot, "_memory_history", watch)
    monkeypatch.setattr(_snapshot, "COLLECTORS", {
        "services": lambda machine, options: ok(machine.monotonic()), "memory_history": watch, "oom": lambda machine, options: ok(options.memory_window_s),
    })
    rows, dummy = _snapshot._collected(Machine(), Options(window_s=0.1, memory_window_s=0.2), 30.0)
    assert list(rows) == ["services", "memory_history", "oom"]
    assert rows["services"]["data"] > rows["memory_history"]["data"] and rows["oom"]["data"] == 0.0


def record(**extra: t.Any) -> dict[str, t.Any]:
    settings = dict.fromkeys(("version", "workers", "threads", "worker_class", "timeout", "max_requests", "max_requests_jitter", "max_tasks_per_child",
                              "max_memory_per_child_kib", "autoscale", "queues", "broker", "bind"))
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
                            {"units": {"other.service": record(settings=None)}, "programs": {"supervisor:jobs": record(manager="supervisor", state=None)}})
    assert [(row["id"], row["name"], row["manager"], row["state"]) for row in joined] == [("supervisor:jobs", "jobs", "supervisor", "unknown")]


def test_what_was_started_by_hand_gets_its_settings_by_its_main_process() -> None:
    joined = _snapshot.join([service("process:gunicorn:10"), service("process:gunicorn:11", main_pid=11)],
                            {"processes": {"10": {"settings": {"program": "gunicorn"}}}})
    assert [row["settings"] for row in joined] == [{"program": "gunicorn"}, None]


def kills(name: str, unit: t.Optional[str], count: int, mib: int) -> dict[str, t.Any]:
    same = {"name": name, "service": unit, "own": True, "anon_rss_bytes": mib * 1048576}
    events = [dict(same, at="2026-01-01T00:00:0%dZ" % (9 - number), age_s=10.0 + number) for number in range(count)]
    rows = {} if unit is None else {unit: {"kills": count, "last_at": events[0]["at"], "last_age_s": 10.0, "largest_anon_rss_bytes": mib * 1048576,
                                           "median_anon_rss_bytes": mib * 1048576, "names": {name: count}}}
    return {"events": events, "services": rows}


def program(name: str, component: str, cgroup: str) -> dict[str, t.Any]:
    return {"id": "supervisor:" + name, "manager": "supervisor", "component": component, "cgroup": cgroup}


HERE = "/docker/" + "5f" * 32


@pytest.mark.parametrize("unit,cgroup,prefix", [
    ("supervisor.service", "/system.slice/supervisor.service", ""),
    ("supervisor.service", HERE + "/system.slice/supervisor.service", HERE),
    (None, HERE, HERE),
], ids=["in a unit", "in a unit in a container", "in a container"])
def test_kills_in_a_supervisors_cgroup_belong_to_the_program_of_the_victims_name(unit: t.Optional[str], cgroup: str, prefix: str) -> None:
    oom = kills("gunicorn", unit, 3, 90)
    _snapshot.give_to_programs(oom, [program("web", "gunicorn", cgroup), program("jobs", "celery", cgroup)], prefix)
    assert {event["service"] for event in oom["events"]} == {"supervisor:web"}
    assert list(oom["services"]) == ["supervisor:web"]
    row = oom["services"]["supervisor:web"]
    assert (row["kills"], row["names"], row["last_age_s"], row["largest_anon_rss_bytes"]) == (3, {"gunicorn": 3}, 10.0, 90 * 1048576)


def test_a_kill_that_may_be_either_programs_stays_the_units() -> None:
    oom, shared = kills("python3", "supervisor.service", 2, 50), "/system.slice/supervisor.service"
    _snapshot.give_to_programs(oom, [program("web", "gunicorn", shared), program("jobs", "celery", shared)], "")
    assert list(oom["services"]) == ["supervisor.service"] and oom["services"]["supervisor.service"]["kills"] == 2


@pytest.mark.parametrize(("broker", "status", "after", "said"), [
    ("amqp://rabbit:5672", "absent", "absent", "no Redis server runs here; the queues of shop-worker.service are not measured: amqp://rabbit:5672 keeps them"),
    ("sqs", "ok", "partial", "the queues of shop-worker.service are not measured: sqs keeps them"),
    ("redis://cache:6379", "absent", "absent", "no Redis server runs here; the queues of shop-worker.service are not measured: redis://cache:6379 keeps them"),
    ("redis://cache:6379", "ok", "ok", None), ("redis://127.0.0.1:6379", "absent", "absent", "no Redis server runs here"), (None, "ok", "ok", None),
])
def test_queues_that_another_broker_keeps(broker: t.Optional[str], status: str, after: str, said: t.Optional[str]) -> None:
    row: t.Dict[str, t.Any] = {"status": status, "reason": "no Redis server runs here" if status == "absent" else None, "data": None}
    services = [
        {"id": "a", "name": "shop-worker.service", "component": "celery", "settings": {"broker": {"value": broker}}},
        {"id": "b", "name": "b.service", "component": "celery", "settings": None},
        {"id": "c", "name": "c.service", "component": "gunicorn", "settings": {"broker": None}},
    ]
    _owners.tell_brokers(row, services)
    assert (row["status"], row["reason"]) == (after, said)
