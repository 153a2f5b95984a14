# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whole hosts under all rules, and what a hostile or broken document does to them."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any, Dict, Iterator, List, Tuple

import jsonschema
import pytest
from ansible_collections.oncall.pressure.plugins.plugin_utils import _diagnosis, _rules, _verdict
from ansible_collections.oncall.pressure.plugins.plugin_utils._documents import Loaded

_SPEC = importlib.util.spec_from_file_location("pressure_host_support", Path(__file__).with_name("support.py"))
assert _SPEC is not None and _SPEC.loader is not None
support = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(support)

RULES = _rules.load_rules(str(support.RULES)).rules
THRESHOLDS = _rules.resolve_thresholds(RULES, None)
HOSTS: List[Dict[str, Any]] = support.load("hosts.yml")
SCHEMA = json.loads((support.RULES.parent / "schemas" / "diagnosis.json").read_text(encoding="utf-8"))
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)


def diagnosed(*documents: Dict[str, Any]) -> Dict[str, Any]:
    loaded = [Loaded("h%d" % index, document, None) for index, document in enumerate(documents)]
    found = _diagnosis.diagnose(loaded, RULES, lambda host: THRESHOLDS)
    VALIDATOR.validate(found)
    return found


@pytest.mark.parametrize("case", HOSTS, ids=[case["about"].replace(" ", "_") for case in HOSTS])
def test_host(case: Dict[str, Any]) -> None:
    row = diagnosed(support.snapshot(case))["hosts"]["h0"]
    assert row["state"] == case.get("state", "incident"), json.dumps(row, indent=1)
    assert len(row["verdicts"]) == case.get("verdicts", 0), [(verdict["rule"], verdict["service"]) for verdict in row["verdicts"]]
    if "first" in case:
        first = row["verdicts"][0]
        assert {key: first[key] for key in case["first"]} == case["first"], json.dumps(first, indent=1)
    assert row["missing"] == case.get("missing", row["missing"])


def test_the_schema_refuses_what_is_not_a_diagnosis() -> None:
    good = diagnosed(support.snapshot(HOSTS[0]))
    for place, value in (("state", "healthy"), ("reached", False), ("verdicts", []), ("verdict", 1)):
        bad = json.loads(json.dumps(good))
        bad["hosts"]["h0"][place] = value
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(bad, SCHEMA)


COUNTS = {"hosts": 1, "healthy": 0, "incident": 0, "unknown": 0, "unreached": 0}


def places(value: Any, path: Tuple[Any, ...] = ()) -> Iterator[Tuple[Any, ...]]:
    yield path
    if isinstance(value, dict):
        for key in value:
            yield from places(value[key], (*path, key))
    elif isinstance(value, list):
        for index in range(min(len(value), 2)):
            yield from places(value[index], (*path, index))


def replaced(document: Dict[str, Any], path: Tuple[Any, ...], value: Any) -> Any:
    if not path:
        return value
    document = json.loads(json.dumps(document))
    inner: Any = document
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return document


@pytest.mark.parametrize("odd", [None, "text", -1, 1e300, True, [], [None, "x", 3], {}, {"a": {"b": []}}], ids=str)
def test_any_part_of_a_document_may_be_anything(odd: Any) -> None:
    document = support.snapshot(HOSTS[0])
    for path in places(document):
        broken = replaced(document, path, odd)
        if isinstance(broken, dict):
            row = _verdict.judge(broken, RULES, THRESHOLDS)
            assert list(VALIDATOR.iter_errors({"schema": 1, "hosts": {"h0": row}, "fleet": COUNTS, "shared_jobs": [], "shared_causes": []})) == [], path


@pytest.mark.parametrize("gone", ["host", "services", "oom"])
def test_what_was_not_measured_is_never_healthy(gone: str) -> None:
    document = support.snapshot({})
    document[gone] = None
    document["collectors"][gone] = {"status": "error", "reason": "killed by signal 9", "seconds": 1.0}
    row = diagnosed(document)["hosts"]["h0"]
    assert (row["state"], row["missing"]) == ("unknown", ["%s (error: killed by signal 9)" % gone])


def test_a_fleet_is_counted_and_nobody_is_forgotten() -> None:
    loaded = [
        Loaded("a", support.snapshot(HOSTS[0]), None),
        Loaded("b", support.snapshot({}), None),
        Loaded("c", {"schema": 1, "name": "c", "unreached": "it does not answer"}, None),
        Loaded("d", None, "snapshot d.json: it is no JSON"),
    ]
    found = _diagnosis.diagnose(loaded, RULES, lambda host: THRESHOLDS, ["a", "e"])
    jsonschema.validate(found, SCHEMA)
    assert found["fleet"] == {"hosts": 5, "healthy": 1, "incident": 1, "unknown": 0, "unreached": 3}
    assert [found["hosts"][host]["reason"] for host in "cde"] == ["it does not answer", "snapshot d.json: it is no JSON", "no snapshot was written for it"]
    assert [_diagnosis.exit_status(found, fail_on) for fail_on in ([], ["incident"], ["unknown"])] == [0, 3, 3]


def test_the_exit_status_of_a_fleet_that_never_answered() -> None:
    found = _diagnosis.diagnose([Loaded("a", None, "x")], RULES, lambda host: THRESHOLDS)
    assert _diagnosis.exit_status(found, ["unknown"]) == 4
    healthy = _diagnosis.diagnose([Loaded("a", support.snapshot({}), None)], RULES, lambda host: THRESHOLDS)
    assert [_diagnosis.exit_status(healthy, fail_on) for fail_on in ([], ["incident"], ["unknown"])] == [0, 0, 0]


def test_a_threshold_of_ones_own_decides_for_its_host_only() -> None:
    document = support.snapshot({"snapshot": {"host": {"cpu": {"iowait_pct": 20}, "disks": [{"name": "sda", "utilisation_pct": 95, "await_ms": 9}]}}})
    mine = _rules.resolve_thresholds(RULES, {"host.iowait": {"iowait_pct": 10}})
    found = _diagnosis.diagnose([Loaded("a", document, None), Loaded("b", document, None)], RULES, lambda host: mine if host == "a" else THRESHOLDS)
    assert [found["hosts"][host]["state"] for host in "ab"] == ["incident", "healthy"]


def test_the_same_documents_give_the_same_answer() -> None:
    documents = [support.snapshot(case) for case in HOSTS]
    assert diagnosed(*documents) == diagnosed(*json.loads(json.dumps(documents)))


def test_who_waits_for_a_database_is_not_the_culprit() -> None:
    """A web service with connections to the database alone, its requests waiting, while a session holds a lock."""
    case: Dict[str, Any] = {
        "services": [
            {"id": "shop-web.service", "component": "gunicorn", "role": "web", "workers_like": [[4, 80, 600, 0.0]], "cpu": {"used": 0.02}},
            {"id": "postgresql.service", "component": "postgres", "role": "database", "main_pid": 812},
        ],
        "snapshot": {
            "collectors": {"postgres": {"status": "ok", "reason": None, "seconds": 2.2}},
            "connections": {
                "listeners": [{"kind": "tcp", "address": "0.0.0.0", "port": 8000, "backlog": 8, "waiting": 9, "established": 13, "service": "shop-web.service",
                               "pid": 900, "own_network": True}],
                "services": [{"service": "shop-web.service", "pid": 900, "sockets": 8, "inbound": 4, "outbound": 4, "connecting": 0, "close_wait": 0,
                              "capacity": 4, "peers": [{"address": "10.0.0.9", "port": 5432, "sockets": 4, "connecting": 0, "established": 4}]}],
            },
            "postgres": [{
                "main_pid": 812, "port": 5432, "blocking": [], "sessions": {"waiting": 4},
                "roots": [{"pid": 7, "kind": "client backend", "state": "idle in transaction", "blocks": 4, "longest_wait_s": 40.0, "holds": []}]}],
        },
    }
    document = support.snapshot(case)
    alone = _verdict.judge(dict(document, postgres=None), RULES, THRESHOLDS)
    assert {row["rule"] for row in alone["verdicts"]} & {"web.waiting_for_external", "service.backlog_full"}
    row = _verdict.judge(document, RULES, THRESHOLDS)
    assert [verdict["rule"] for verdict in row["verdicts"]] == ["postgres.blocked_by_lock"]
    # one that runs elsewhere explains who waits for it, and not how busy this host is
    away = dict(document["postgres"][0], main_pid=None, address="10.0.0.9:5432", window_s=2.0, tables=[
        {"name": "public.orders", "rows": 100000, "seq_scans": 200, "seq_rows": 20000000, "index_scans": 0}], roots=[], statements=[])
    busy = support.over(document, {"postgres": [away], "host": {"cpu": {"used_pct": 99}, "load": {"per_cpu_one": 9}, "run_queue": 40}})
    effects = {item["rule"]: item["explained_by"] for item in _verdict.judge(busy, RULES, THRESHOLDS)["findings"]}
    assert effects["postgres.missing_index"] is None and effects["host.cpu_saturated"] is None
    assert effects["service.backlog_full"] == "postgres.missing_index"


def test_every_explained_finding_is_kept_with_what_explains_it() -> None:
    row = _verdict.judge(support.snapshot(HOSTS[0]), RULES, THRESHOLDS)
    effects = {item["rule"]: item["explained_by"] for item in row["findings"]}
    assert effects["service.killed_in_its_limit"] is not None and effects["web.too_many_workers_for_memory"] is None
