# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What several hosts suffer from together: told once, with evidence from each of them, and never because they only look alike."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any, Dict, List, Optional

import jsonschema
import pytest
from ansible_collections.oncall.pressure.plugins.plugin_utils import _diagnosis, _mitigations, _plan, _rules
from ansible_collections.oncall.pressure.plugins.plugin_utils._documents import Loaded
from ansible_collections.oncall.pressure.plugins.plugin_utils._markdown import markdown
from ansible_collections.oncall.pressure.plugins.plugin_utils._report import screen

_SPEC = importlib.util.spec_from_file_location("pressure_fleet_support", Path(__file__).with_name("support.py"))
assert _SPEC is not None and _SPEC.loader is not None
support = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(support)

RULES = _rules.load_rules(str(support.RULES)).rules
THRESHOLDS = _rules.resolve_thresholds(RULES, None)
VALIDATOR = jsonschema.Draft202012Validator(json.loads((support.RULES.parent / "schemas" / "diagnosis.json").read_text(encoding="utf-8")))

WEB = {"id": "shop-web.service", "component": "gunicorn", "role": "web", "memory_mib": 400, "cpu": {"used": 0.2, "share": 0.3},
       "workers_like": [[4, 90, 3000, 0.05]]}
DATABASE = {"id": "postgresql.service", "component": "postgres", "role": "database", "main_pid": 812, "memory_mib": 400}
BUSY = {**WEB, "cpu": {"used": 3.8, "share": 0.95}, "workers_like": [[4, 90, 3000, 0.95]]}
HOT = {"host": {"cpu": {"used": 3.95, "used_pct": 99}, "pressure": {"cpu": {"some_avg10": 70}}}}
NOW = 1768013700
DECLARED = _mitigations.load_mitigations(str(support.ROOT / "roles"))
MADE = {"at": "2026-01-10T02:55:30Z", "run": "20260110T025500Z-abc", "owner": "ann@desk"}


def host(name: str, services: List[Dict[str, Any]], *changes: Dict[str, Any]) -> Loaded:
    document = support.snapshot({"services": services})
    for change in changes:
        document = support.over(document, change)
    return Loaded(name, dict(document, name=name), None)


def connected(own: str, waiting: int, *peers: Any, service: str = "shop-web.service") -> Dict[str, Any]:
    """Connections of a web service: its door with so many that wait, and (address, port, sockets, connecting) of whom it asks."""
    return {"connections": {
        "addresses": [own],
        "listeners": [{"kind": "tcp", "address": "0.0.0.0", "port": 8000, "backlog": 64, "waiting": waiting, "established": 4, "service": service, "pid": 900,
                       "own_network": True}],
        "outbound": [],
        "services": [{"service": service, "pid": 900, "sockets": 20, "inbound": 4, "outbound": 12, "connecting": sum(peer[3] for peer in peers),
                      "close_wait": 0, "capacity": 4,
                      "peers": [{"address": address, "port": port, "sockets": sockets, "connecting": connecting, "established": sockets}
                                for address, port, sockets, connecting in peers]}],
        "networks": 1,
    }}


def locked(**changed: Any) -> Dict[str, Any]:
    return {
        "collectors": {"postgres": {"status": "ok", "reason": None, "seconds": 2.2}},
        "postgres": [{"main_pid": 812, "port": 5432, "blocking": [], "sessions": {"waiting": 4}, "roots": [
            {"pid": 7, "kind": "client backend", "state": "idle in transaction", "blocks": 4, "longest_wait_s": 40.0, "holds": []}], **changed}],
    }


def database(name: str = "db-1", address: str = "10.0.0.5", sick: bool = True) -> Loaded:
    door = {"connections": {"addresses": [address], "outbound": [], "services": [], "networks": 1, "listeners": [
        {"kind": "tcp", "address": "0.0.0.0", "port": 5432, "backlog": 200, "waiting": 0, "established": 30, "service": "postgresql.service", "pid": 812,
         "own_network": True}]}}
    return host(name, [DATABASE], door, locked() if sick else {})


def web(number: int, waiting: int = 60, address: str = "10.0.0.5", connecting: int = 0, *more: Dict[str, Any]) -> Loaded:
    return host("web-%d" % number, [WEB], connected("10.0.1.%d" % number, waiting, (address, 5432, 9, connecting)), *more)


def diagnose(*loaded: Loaded, expected: Any = ()) -> Dict[str, Any]:
    found = _diagnosis.diagnose(list(loaded), RULES, lambda name: THRESHOLDS, expected)
    VALIDATOR.validate(found)
    assert found == _diagnosis.diagnose(list(loaded), RULES, lambda name: THRESHOLDS, expected), "the same twice"
    return found


def words(found: Dict[str, Any]) -> str:
    return " ".join(screen(found).split())


def changed(
    kind: str, what: str, age_s: float, detail: Optional[str] = None, service: Optional[str] = "shop-web.service", offset_s: Optional[float] = 0.0
) -> Dict[str, Any]:
    event = {"at": "2026-01-10T02:00:00Z", "age_s": age_s, "kind": kind, "what": what, "service": service, "pid": 900, "detail": detail}
    return {"taken": {"epoch_s": NOW + (offset_s or 0.0), "clock_offset_s": offset_s}, "timeline": {"events": [event]}}


def test_who_waits_for_a_locked_database_on_another_host_is_its_effect() -> None:
    loaded = [web(1), web(2), database(), web(3), web(4, waiting=0), host("web-9", [BUSY], connected("10.0.1.9", 0, ("10.0.0.5", 5432, 9, 0)), HOT)]
    found = diagnose(*loaded)
    (row,) = found["shared_causes"]
    assert (row["kind"], row["what"], row["host"], row["rule"]) == ("server", "10.0.0.5:5432", "db-1", "postgres.blocked_by_lock")
    assert (row["hosts"], row["cause"], row["confidence"], row["surer_with"]) == (["web-1", "web-2", "web-3"], "database", "high", None)
    assert row["evidence"][0] == "web-1: shop-web.service has 9 connections to 10.0.0.5:5432 (service.backlog_full)"
    assert any("web-4 uses it as well" in line for line in row["not_explained"])
    for name in row["hosts"]:
        (verdict,) = found["hosts"][name]["verdicts"]
        assert verdict["effect_of"] == {"host": "db-1", "rule": "postgres.blocked_by_lock", "service": "postgresql.service"}
        assert found["hosts"][name]["next"][0].startswith("look at db-1 first") and found["hosts"][name]["state"] == "incident"
    assert found["hosts"]["web-9"]["verdicts"][0]["effect_of"] is None and found["hosts"]["db-1"]["verdicts"][0]["effect_of"] is None
    said = words(found)
    assert said.count("10.0.0.5:5432 (db-1)") == 1 and "web-1, web-2, web-3: they wait for postgresql.service on db-1" in said
    assert "web-1 CONNECTIONS" not in said and "web-9 CPU" in said and "db-1 WAITING" in said
    report = markdown(found, loaded)
    assert "one cause on 3 hosts" in report and "An effect of `postgres.blocked_by_lock` on `db-1`" in report


def test_one_host_that_waits_for_another_is_told_too() -> None:
    (row,) = diagnose(database(), web(1))["shared_causes"]
    assert (row["count"], row["host"]) == (1, "db-1")


def test_what_is_wrong_with_a_host_itself_stands_first() -> None:
    sick = support.over(connected("10.0.1.1", 60, ("10.0.0.5", 5432, 9, 0)), {"host": {"cpu": {"used": 3.6, "used_pct": 90}}})
    found = diagnose(database(), host("web-1", [WEB, {**BUSY, "id": "api.service"}], sick))
    verdicts = found["hosts"]["web-1"]["verdicts"]
    assert [verdict["effect_of"] is None for verdict in verdicts] == sorted((verdict["effect_of"] is None for verdict in verdicts), reverse=True)
    assert verdicts[0]["service"] == "api.service" and "web-1 CPU api.service" in words(found)
    assert any("api.service" in line or "uses" in line for line in found["shared_causes"][0]["not_explained"])


@pytest.mark.parametrize(("loaded", "about"), [
    ([database(), web(1, waiting=0), web(2, waiting=0)], "they are connected and well"),
    ([database(), web(1, address="10.0.0.6"), web(2, address="10.0.0.7")], "they ask others"),
    ([database(sick=False), web(1), host("web-2", [BUSY], connected("10.0.1.2", 0, ("10.0.0.5", 5432, 9, 0)), HOT)], "one waits, one is busy"),
    ([database(sick=False), web(1), *(web(number, waiting=0) for number in range(2, 9))], "one of many waits"),
    ([web(1, address="127.0.0.1"), web(2, address="127.0.0.1")], "each asks itself"),
    ([web(1), web(2, 60, "10.0.0.6")], "each its own server"),
], ids=lambda value: value.replace(" ", "_") if isinstance(value, str) else "")
def test_looking_alike_is_no_evidence(loaded: List[Loaded], about: str) -> None:
    found = diagnose(*loaded)
    assert found["shared_causes"] == [], about
    assert "ONE CAUSE" not in screen(found) and "one cause" not in markdown(found, loaded)


def test_bridges_that_every_host_has_are_no_shared_network() -> None:
    """Forty hosts, each with a database of its own in a container at the same address."""
    loaded = []
    for number in (1, 2, 3):
        document = connected("10.0.1.%d" % number, 60, ("172.18.0.2", 5432, 9, 3))
        document["connections"]["addresses"].append("172.18.0.1")
        loaded.append(host("web-%d" % number, [WEB], document))
    assert diagnose(*loaded)["shared_causes"] == []


def test_an_address_that_two_hosts_share_hides_no_others() -> None:
    """A service address that stands on every host behind a balancer, in the network of the database."""
    loaded = [database(), web(1), web(2)]
    for one in loaded:
        assert one.document is not None
        one.document["connections"]["addresses"].append("10.0.0.100")
    assert [row["host"] for row in diagnose(*loaded)["shared_causes"]] == ["db-1"]


def test_a_server_that_nobody_looked_at_is_only_suspected() -> None:
    found = diagnose(web(1), web(2), web(3))
    (row,) = found["shared_causes"]
    assert (row["what"], row["host"], row["confidence"], row["cause"], row["count"]) == ("10.0.0.5:5432", None, "low", "database", 3)
    assert "pressure_postgres_dsn" in row["surer_with"]
    assert all(verdict["effect_of"] is None for name in row["hosts"] for verdict in found["hosts"][name]["verdicts"])
    assert "web-1 CONNECTIONS" in words(found), "a guess takes no block away"


def test_no_answer_from_there_is_a_better_sign() -> None:
    (row,) = diagnose(web(1, connecting=4), web(2, connecting=5))["shared_causes"]
    assert row["confidence"] == "medium" and "4 of which get no answer" in row["evidence"][0]


def test_a_host_that_did_not_answer_may_be_it() -> None:
    (row,) = diagnose(web(1), web(2), expected=["db-1"])["shared_causes"]
    assert "those that did not answer (db-1)" in row["surer_with"]


def test_a_server_that_was_looked_at_and_is_well_is_said_to_be() -> None:
    (row,) = diagnose(web(1, connecting=3), web(2, connecting=3), database(sick=False))["shared_causes"]
    assert (row["host"], row["confidence"]) == ("db-1", "low") and "nothing was found" in row["surer_with"]


def test_two_servers_that_fit_alike_are_both_named() -> None:
    both = [host("web-%d" % number, [WEB], connected("10.0.1.%d" % number, 60, ("10.0.0.5", 5432, 9, 0), ("10.0.0.6", 6379, 3, 0))) for number in (1, 2)]
    (row,) = diagnose(*both)["shared_causes"]
    assert row["what"] == "10.0.0.5:5432 or 10.0.0.6:6379" and row["confidence"] == "low"


def test_one_server_that_several_were_told_to_ask() -> None:
    found = diagnose(*(host("web-%d" % number, [WEB], locked(main_pid=None, address="db.example.com:5432")) for number in (1, 2, 3)))
    (row,) = found["shared_causes"]
    assert (row["what"], row["rule"], row["count"], row["confidence"]) == ("db.example.com:5432", "postgres.blocked_by_lock", 3, "high")
    assert words(found).count("4 sessions wait for the session with pid 7") <= 4 and "web-1 WAITING" not in words(found)


def hammered(number: int, share: float, kind: str = "public", address: str = "198.51.100.9") -> Loaded:
    count = int(2000 * share)
    nginx = {"requests": 2000, "per_s": 3.3, "ratio": None, "before": None, "distinct_clients": 41, "clients": [
        {"address": address, "requests": count, "share": share, "kind": kind, "per_s": 3, "paths": [{"path": "/export", "requests": count}]}]}
    proxy = {"id": "nginx.service", "component": "nginx", "role": "proxy", "memory_mib": 20, "cpu": {"used": 0.1, "share": 0.05}}
    return host("web-%d" % number, [proxy, BUSY], HOT, {"nginx": nginx})


def test_one_client_of_several_hosts() -> None:
    found = diagnose(hammered(1, 0.9), hammered(2, 0.9), hammered(3, 0.3), hammered(4, 0.9, address="198.51.100.77"))
    (row,) = found["shared_causes"]
    assert (row["kind"], row["what"], row["cause"], row["hosts"], row["confidence"]) == (
        "client", "198.51.100.9", "abusive_client", ["web-1", "web-2", "web-3"], "high")
    assert row["evidence"][0] == "web-1: 1800 requests of 198.51.100.9, 90 % of all"
    assert "web-4 has nginx.abusive_client too, and not from this" in row["not_explained"]
    assert found["hosts"]["web-1"]["verdicts"][0]["mitigations"], "what each host would do stays its own"


def test_a_client_that_may_be_a_load_balancer_is_only_suspected() -> None:
    (row,) = diagnose(hammered(1, 0.9, "private", "10.0.0.2"), hammered(2, 0.9, "private", "10.0.0.2"))["shared_causes"]
    assert row["confidence"] == "low" and "load balancer" in row["surer_with"]


def released(number: int, age_s: float = 900.0, release: str = "releases/42", offset_s: Optional[float] = 0.0, sick: bool = True) -> Loaded:
    event = changed("release", "/srv/shop/current was set", age_s, "to %s, while gunicorn runs in /srv/shop/releases/%d" % (release, number), None, offset_s)
    return host("web-%d" % number, [BUSY if sick else WEB], event, HOT if sick else {})


def plain(number: int, sick: bool = False) -> Loaded:
    return host("web-%d" % number, [BUSY if sick else WEB], HOT if sick else {})


def test_one_release_with_hosts_that_did_not_get_it() -> None:
    found = diagnose(released(1), released(2, 700.0), released(3, 600.0), plain(4), plain(5))
    (row,) = found["shared_causes"]
    assert (row["kind"], row["cause"], row["hosts"], row["confidence"]) == ("release", "deploy", ["web-1", "web-2", "web-3"], "high")
    assert row["what"] == "/srv/shop/current was set to releases/42"
    assert "2 hosts run shop-web.service without it and are well: web-4, web-5" in row["evidence"]
    assert words(found).count("releases/42") >= 1 and "web-1 CPU" not in words(found)


@pytest.mark.parametrize(("loaded", "confidence", "said"), [
    ([released(1), released(2)], "low", "none to compare with"),
    ([released(1), released(2), released(3)], "medium", "none to compare with"),
    ([released(1), released(2), released(3), plain(4, sick=True)], "low", "do not fit"),
    ([released(1), released(2), released(3), released(4, sick=False)], "low", "do not fit"),
    ([released(1, offset_s=None), released(2), released(3), plain(4), plain(5)], "medium", "clocks"),
])
def test_a_release_is_as_sure_as_the_hosts_without_it_let_it_be(loaded: List[Loaded], confidence: str, said: str) -> None:
    (row,) = diagnose(*loaded)["shared_causes"]
    assert row["confidence"] == confidence and said in row["surer_with"]


@pytest.mark.parametrize(("loaded", "about"), [
    ([released(1), released(2, release="releases/41")], "different releases"),
    ([released(1), released(2, age_s=6900.0)], "the same at other times"),
    ([released(1), released(2), released(3, sick=False), released(4, sick=False)], "half of those that got it are well"),
    ([released(1, age_s=9000.0), released(2, age_s=9000.0)], "too long ago"),
    ([plain(1, sick=True), plain(2, sick=True), plain(3, sick=True)], "the same verdict and nothing in common"),
])
def test_a_release_that_proves_nothing_is_not_told(loaded: List[Loaded], about: str) -> None:
    assert diagnose(*loaded)["shared_causes"] == [], about


def test_a_clock_that_is_wrong_is_corrected() -> None:
    wrong = [released(1, offset_s=86400.0), released(2, offset_s=-7200.0), released(3)]
    (row,) = diagnose(*wrong)["shared_causes"]
    assert len({line.partition(" at 2026-")[2][:14] for line in row["evidence"][:3]}) == 1


def test_a_kill_before_the_release_is_not_its_doing() -> None:
    def killed(number: int, first_s: float) -> Loaded:
        document = support.snapshot({"killed": {"service": "shop-web.service", "rows": [[20, 84], [first_s, 80]]}, "services": [
            {"id": "shop-web.service", "component": "gunicorn", "role": "web", "memory_mib": 690, "limit_mib": 700, "workers_like": [[8, 84, 100, 0.1]]}]})
        return Loaded("web-%d" % number, support.over(document, changed("release", "/srv/shop/current was set", 900.0, "to 42")), None)

    assert diagnose(killed(1, 3000), killed(2, 2500))["shared_causes"] == []
    assert [row["kind"] for row in diagnose(killed(1, 300), killed(2, 250))["shared_causes"]] == ["release"]


def test_what_was_started_everywhere_in_one_minute() -> None:
    started = [host("web-%d" % number, [BUSY], HOT, changed("start", "gunicorn was started", 600.0 + 9 * number)) for number in (1, 2, 3)]
    found = diagnose(*started, plain(7), plain(8))
    (row,) = found["shared_causes"]
    assert (row["kind"], row["cause"], row["confidence"], row["count"]) == ("minute", "none", "medium", 3)
    later = [host("web-%d" % number, [BUSY], HOT, changed("start", "gunicorn was started", 600.0 * number)) for number in (1, 2, 3)]
    assert diagnose(*later)["shared_causes"] == []
    again = [host("web-%d" % number, [BUSY], HOT, changed("start", "gunicorn was started", 20.0)) for number in (1, 2, 3)]
    assert diagnose(*again)["shared_causes"] == [], "started again and again"


def test_one_job_that_weighs_on_several_hosts_is_told_once() -> None:
    job = {"id": "/etc/cron.d/shop:4", "user": "me", "schedule": "* * * * *", "command": "/srv/import --all", "paused": False, "due_in_s": 20.0,
           "period_s": 60.0,
           "running": [{"pid": 900 + place, "age_s": 160.0 - 60 * place} for place in range(3)], "overlap": 3, "cpu": 2.9, "cpu_wait": 0.0, "rss_bytes": 1000}
    cron = {"id": "cron.service", "component": "cron", "role": "scheduler", "memory_mib": 90, "cpu": {"used": 0.1, "share": 0.9}}
    found = diagnose(*(host("web-%d" % number, [cron], {"jobs": {"cron": [job]}}) for number in (1, 2, 3)))
    (row,) = found["shared_causes"]
    assert (row["kind"], row["cause"], row["count"]) == ("job", "jobs", 3)
    assert row["confidence"] == "medium" and words(found).count("begins on 3 hosts") == 1


def test_a_quiet_fleet_says_nothing_of_it() -> None:
    loaded = [database(sick=False), *(web(number, waiting=0) for number in (1, 2, 3)), *(released(number, sick=False) for number in (5, 6, 7))]
    found = diagnose(*loaded)
    assert found["shared_causes"] == [] and screen(found) == "7 hosts: 7 healthy."


def test_a_plan_says_that_the_fault_is_elsewhere_and_changes_no_more_for_it() -> None:
    sick = [hammered(number, 0.9) for number in range(1, 8)]
    for loaded in (sick, [*sick, web(11), web(12), database()]):
        found = diagnose(*loaded)
        planned = _plan.plan(found, {one.host: one.document for one in loaded if one.document is not None}, DECLARED, _plan.Asked(MADE))
        assert planned.document["fleet"]["act"] == 0, "a majority is held whatever they share"
        assert not {"web-11", "web-12"} & set(planned.document["hosts"])
    assert any("10.0.0.5:5432 (db-1)" in note and "web-11, web-12" in note for note in planned.notes)


#: Rules enough for each kind of shared cause: what a host sends is put in many places.
FEW = {name: RULES[name] for name in (
    "postgres.blocked_by_lock", "service.backlog_full", "web.waiting_for_external", "web.busy_code", "nginx.abusive_client", "jobs.overlap")}
ODD: List[Any] = [None, "text", -1, 1e300, True, [], [None, "x", 3], {}, {"a": {"b": []}}]


@pytest.mark.parametrize("odd", ODD, ids=str)
def test_what_a_host_sends_is_no_reason_to_stop(odd: Any) -> None:
    good = [database(), web(2, connecting=3), released(3)]
    for part in ("connections", "timeline", "taken", "services", "nginx", "postgres", "jobs", "oom"):
        bad = web(1)
        assert bad.document is not None
        _diagnosis.diagnose([*good, Loaded("bad", {**bad.document, part: odd}, None)], FEW, lambda name: THRESHOLDS)
    for place in ("listeners", "services", "outbound", "addresses"):
        bad = web(1)
        assert bad.document is not None
        for value in (odd, [odd], [{"address": odd, "port": odd, "service": odd, "peers": odd, "services": [odd]}], [{"service": "shop-web.service", "peers": [
                {"address": odd, "port": odd, "sockets": odd, "connecting": odd}]}]):
            document = {**bad.document, "connections": {**bad.document["connections"], place: value}}
            VALIDATOR.validate(_diagnosis.diagnose([*good, Loaded("bad", document, None)], FEW, lambda name: THRESHOLDS))
