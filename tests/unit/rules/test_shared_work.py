# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Schedulers and workers that do one work from several hosts: told where it surely is one application and one broker."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any, Dict, Optional

import jsonschema
import pytest
from ansible_collections.oncall.pressure.plugins.plugin_utils import _diagnosis, _rules, _shared_work
from ansible_collections.oncall.pressure.plugins.plugin_utils._documents import Loaded
from ansible_collections.oncall.pressure.plugins.plugin_utils._markdown import markdown
from ansible_collections.oncall.pressure.plugins.plugin_utils._report import screen
from hypothesis import given, settings
from hypothesis import strategies as st

_SPEC = importlib.util.spec_from_file_location("pressure_shared_work_support", Path(__file__).with_name("support.py"))
assert _SPEC is not None and _SPEC.loader is not None
support = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(support)

RULES = _rules.load_rules(str(support.RULES)).rules
THRESHOLDS = _rules.resolve_thresholds(RULES, None)
VALIDATOR = jsonschema.Draft202012Validator(json.loads((support.RULES.parent / "schemas" / "diagnosis.json").read_text(encoding="utf-8")))
CACHE = "redis://cache.example.com:6379/0"


def beat(name: str = "shop-beat.service", broker: Optional[str] = CACHE, app: Optional[str] = "shop", **changed: Any) -> Dict[str, Any]:
    known = {"app": app, "directory": "/srv/shop", "broker": broker, "node": None, "beat": True, "scheduler": None, **changed.pop("identity", {})}
    return {"id": name, "component": "celery", "role": "scheduler", "memory_mib": 60, "settings": {"identity": known}, **changed}


def worker(
    name: str = "shop-worker.service", broker: Optional[str] = CACHE, node: Optional[str] = "celery@%h", queues: Any = ("default", "mail"), **changed: Any
) -> Dict[str, Any]:
    found = beat(name, broker, **{"role": "worker", **changed})
    found["settings"] = {"identity": {**found["settings"]["identity"], "beat": False, "node": node},
                         "queues": {"value": list(queues), "layer": "command_line", "where": None, "reason": None}}
    return found


def host(name: str, *services: Dict[str, Any], boot: Optional[str] = None, hostname: Optional[str] = None) -> Loaded:
    document = support.snapshot({"services": list(services)})
    document["taken"]["boot_id"], document["host"]["hostname"] = boot or "boot-of-" + name, hostname or name
    return Loaded(name, document, None)


def diagnose(*loaded: Loaded) -> Dict[str, Any]:
    found = _diagnosis.diagnose(list(loaded), RULES, lambda name: THRESHOLDS)
    VALIDATOR.validate(found)
    return found


def test_two_schedulers_of_one_application_on_two_hosts() -> None:
    # one spells its broker in another way, and a worker that schedules too is a scheduler
    inside = worker("shop-worker.service", "redis://CACHE.example.com./")
    inside["settings"]["identity"]["beat"] = True
    loaded = [host("web-10", inside), host("web-2", beat()), host("web-3", worker())]
    found = diagnose(*loaded)
    (row,) = found["shared_work"]
    assert row == {"kind": "schedulers", "component": "celery", "app": "shop", "broker": CACHE, "count": 2, "queues": [], "node": None, "places": [
        {"host": "web-2", "service": "shop-beat.service", "name": "shop-beat.service"},
        {"host": "web-10", "service": "shop-worker.service", "name": "shop-worker.service"}]}
    said = "2 hosts schedule the tasks of shop through %s, each of them once: shop-beat.service on web-2, shop-worker.service on web-10" % CACHE
    assert said in " ".join(screen(found).split()) and "The same work done by several hosts" in markdown(found, loaded)
    # it is no host's own trouble
    assert found["fleet"]["incident"] == 0


def test_what_one_host_says_already_names_the_other() -> None:
    found = diagnose(host("web-1", beat(), beat("old-beat.service")), host("web-2", beat()))
    (verdict,) = found["hosts"]["web-1"]["verdicts"]
    assert verdict["rule"] == "celery.two_schedulers" and "shop-beat.service on web-2" in verdict["evidence"][-1]
    assert "schedulers on other hosts" not in verdict["missing"]
    alone = diagnose(host("web-1", beat(), beat("old-beat.service")), host("web-2"))
    (verdict,) = alone["hosts"]["web-1"]["verdicts"]
    assert "schedulers on other hosts" in verdict["missing"] and alone["shared_work"] == []


@pytest.mark.parametrize(("one", "other", "about"), [
    (beat(broker="redis://localhost:6379/0"), beat(broker="redis://localhost:6379/0"), "each has a broker of its own"),
    (beat(broker="redis://127.0.0.1/0"), beat(broker="redis://127.0.0.1/0"), "the same by its address"),
    (beat(broker="amqp://[::1]//"), beat(broker="amqp://[::1]//"), "the same again"),
    (beat(broker=None), beat(broker=None), "it is the application's to say"),
    (beat(broker="redis+socket:///run/redis.sock"), beat(broker="redis+socket:///run/redis.sock"), "a socket is the host's own"),
    (beat(broker="memory://x/"), beat(broker="memory://x/"), "nobody else has it"),
    (beat(app=None), beat(app=None), "nobody says which application it is"),
    (beat(), beat(app="blog"), "two applications"),
    (beat(), beat(broker="redis://cache.example.com:6379/1"), "two databases"),
    (beat(), beat(broker="redis://cache.example.com:6380/0"), "two ports"),
    (beat(), beat(broker="amqp://cache.example.com:6379/0"), "two kinds"),
    (beat(), beat(identity={"scheduler": "redbeat.RedBeatScheduler"}), "one takes turns"),
    (beat(), beat(state="failed"), "one has been stopped"),
    (beat(), worker(), "a worker is none"),
    (beat(broker="redis://cache:6379/0", manager="docker"), beat(broker="redis://cache:6379/0", manager="docker"), "each project has a cache"),
    (beat(broker="redis://172.17.0.1/0", manager="docker"), beat(broker="redis://172.17.0.1/0", manager="docker"), "each host has a bridge"),
    (beat(broker="redis://host.docker.internal", manager="docker"), beat(broker="redis://host.docker.internal", manager="docker"), "each host has a gateway"),
], ids=lambda value: value.replace(" ", "_") if isinstance(value, str) else "")
def test_what_is_not_surely_the_same_is_not_told(one: Any, other: Any, about: str) -> None:
    found = diagnose(host("web-1", one), host("web-2", other))
    assert found["shared_work"] == [] and "schedule the tasks" not in screen(found), about


@pytest.mark.parametrize(("one", "other"), [
    ("redis://cache:6379/0", "redis://cache"), ("redis://cache/0", "rediss://cache:6379//"), ("amqp://mq//", "pyamqp://mq:5672/"),
    ("amqp://mq/%2F", "amqp://mq"),
    ("amqp://mq/shop", "librabbitmq://MQ/shop"), ("redis://10.0.0.5/3", "redis://10.0.0.5:6379/3"), ("redis://[2001:db8::1]/0", "redis://[2001:DB8::1]:6379"),
])
def test_one_broker_in_two_spellings(one: str, other: str) -> None:
    (row,) = diagnose(host("web-1", beat(broker=one)), host("web-2", beat(broker=other)))["shared_work"]
    assert row["kind"] == "schedulers" and row["count"] == 2


def test_in_containers_a_name_that_means_the_same_everywhere_does() -> None:
    inside = {"manager": "docker"}
    assert len(diagnose(host("web-1", beat("docker:1", **inside)), host("web-2", beat("docker:2", **inside)))["shared_work"]) == 1


def test_one_machine_of_two_names_does_its_work_once() -> None:
    twice = [host("web-1", beat(), boot="b", hostname="h"), host("web-1.example.com", beat(), boot="b", hostname="h")]
    assert diagnose(*twice)["shared_work"] == []
    # containers of one machine share its boot, and are hosts of their own
    assert len(diagnose(host("web-1", beat(), boot="b", hostname="h"), host("web-2", beat(), boot="b", hostname="i"))["shared_work"]) == 1


def test_a_worker_that_nobody_declared_takes_from_the_queue_of_another_host() -> None:
    stray = worker("session-7.scope", queues=["mail", "x"], manager="session", node="me@%h")
    found = diagnose(host("web-1", worker()), host("old-1", stray), host("web-2", worker(queues=["slow"])))
    (row,) = found["shared_work"]
    assert (row["kind"], row["queues"], [place["host"] for place in row["places"]], row["count"]) == ("undeclared", ["mail"], ["old-1", "web-1"], 2)
    said = " ".join(screen(found).split())
    assert "session-7.scope on old-1, which no unit, container or supervisor runs, takes from mail through %s beside shop-worker" % CACHE in said
    # beside one of its own host that host says it
    found = diagnose(host("web-1", worker()), host("old-1", stray, worker("other.service")))
    assert found["shared_work"] == [] and found["hosts"]["old-1"]["verdicts"][0]["rule"] == "queue.duplicate_consumers"


def test_workers_of_one_whole_name() -> None:
    (row,) = diagnose(host("web-1", worker(node="w1@shop")), host("web-2", worker(node="w1@shop", queues=["slow"])))["shared_work"]
    assert (row["kind"], row["node"], row["count"]) == ("one_name", "w1@shop", 2)
    for node in ("celery@%h", "w1", "w1@%h"):
        assert diagnose(host("web-1", worker(node=node)), host("web-2", worker(node=node)))["shared_work"] == []


def test_workers_of_rq_that_were_started_by_hand() -> None:
    queue = {"component": "rq", "node": None, "queues": ["high"], "app": None}
    (row,) = diagnose(host("web-1", worker("rq.service", **queue)), host("web-2", worker("process:rq:9", manager="none", **queue)))["shared_work"]
    assert (row["kind"], row["component"], row["app"]) == ("undeclared", "rq", None)


GOOD = [host("web-1", beat()), host("web-2", beat())]
JUNK = st.recursive(
    st.none() | st.integers() | st.text(max_size=12) | st.sampled_from([CACHE, "celery", "running", "redis://[", "x\x1b[0m"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["identity", "broker", "app", "node", "value"]), inner), max_leaves=8)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.dictionaries(st.sampled_from(["id", "name", "state", "component", "role", "manager", "settings", "main_pid"]), JUNK), max_size=3), JUNK)
def test_a_host_that_sends_rubbish_takes_nothing_from_the_others(services: Any, taken: Any) -> None:
    bad = Loaded("web-3", {"services": services, "taken": taken, "host": taken}, None)
    assert [row["count"] for row in _shared_work.shared_work([GOOD[0], bad, GOOD[1]]) if row["app"] == "shop"] == [2]
