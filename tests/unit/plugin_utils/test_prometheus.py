# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a Prometheus server is asked, what its answers mean (recorded from 2.42), and what of them enters a snapshot."""

from __future__ import annotations

import copy
import json
import re
import urllib.parse
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping

import jsonschema
import pytest
from ansible_collections.oncall.pressure.plugins.module_utils._host._text import clean_tree
from ansible_collections.oncall.pressure.plugins.plugin_utils import _memory_pattern, _prometheus, _prometheus_answer, _prometheus_history, _verdict
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

UNIT = Path(__file__).resolve().parents[1]
RECORDED = UNIT / "recordings" / "prometheus" / "2.42-debian-12"
SCHEMA = json.loads((UNIT.parents[1] / "roles/diagnose/files/schemas/snapshot.json").read_text(encoding="utf-8"))
PARTS = SCHEMA["$defs"]["snapshot"]["properties"]
HISTORY = jsonschema.Draft202012Validator(PARTS["memory_history"])
COLLECTOR = jsonschema.Draft202012Validator(PARTS["collectors"]["properties"]["prometheus"])
NOW = 1795863300.0
GIB = 1024.0 ** 3
HEX = "ab12" * 16


def recorded(name: str) -> str:
    return (RECORDED / name).read_text(encoding="utf-8")


# answers


def test_the_answers_of_the_real_server() -> None:
    rows = _prometheus_answer.series(recorded("cadvisor.json"))
    assert [row.labels["id"] for row in rows] == ["/system.slice/docker-%s.scope" % HEX, "/system.slice/shop-web.service"]
    assert all(row.labels["instance"] == "web-1:8080" for row in rows)
    grown = rows[1].points
    assert len(grown) == 13 and [moment for moment, dummy in grown] == sorted(moment for moment, dummy in grown)
    assert 2.8e8 < grown[0][1] < 3.2e8 and 2.2e9 < grown[-1][1] < 2.4e9
    (node,) = _prometheus_answer.series(recorded("node.json"))
    assert node.labels == {"instance": "web-1:9100", "job": "node"} and node.points
    assert _prometheus_answer.series('{"status":"success","data":{"resultType":"matrix","result":[]}}') == []
    with pytest.raises(ValueError, match="bad_data: 1:4: parse error: unexpected end of input inside braces"):
        _prometheus_answer.series(recorded("refused.json"))
    assert _prometheus_answer.refused(recorded("refused.json")) == "bad_data: 1:4: parse error: unexpected end of input inside braces"
    assert _prometheus_answer.refused("404 page not found\n") is None


@pytest.mark.parametrize(("text", "why"), [
    ("404 page not found\n", "no JSON"), ("", "no JSON"), ("[" * 100000, "no JSON"), ("[]", "none of Prometheus"), ('{"status": "success"}', "none of"),
    ('{"status":"success","data":{"resultType":"vector","result":[]}}', "none of"), ('{"status":"success","data":{"resultType":"matrix","result":{}}}', "none"),
    ('{"status":"error"}', "refused"), ('{"status":"error","error":["x"],"errorType":7}', "refused"), ('{"status":"error","error":"x\\u001b[31m"}', r"x\\x1b"),
], ids=range(10))
def test_what_is_no_answer(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        _prometheus_answer.series(text)


def test_values_that_are_none_are_left_out() -> None:
    values = [[1, "NaN"], [2, "+Inf"], [3, "-Inf"], [4, "-7"], [5, "5"], [6, 6], [7, True], [8, "9" * 400], [9, None], ["x", "1"], [10], 11, [2.0, "3", 4],
              [12, "1e3"]]
    result = [{"metric": {"id": "b", "job": 7, "c": "d"}, "values": values}, 7, {"metric": []}]
    text = json.dumps({"status": "success", "data": {"resultType": "matrix", "result": result}})
    (row,) = _prometheus_answer.series(text)
    assert row == ({"id": "b"}, ((5.0, 5.0), (6.0, 6.0), (12.0, 1000.0)))


def test_an_answer_is_read_no_further_than_its_bounds() -> None:
    one = {"metric": dict.fromkeys(_prometheus_answer.LABELS, "y" * 9999), "values": [[place, "1"] for place in range(9999)]}
    text = json.dumps({"status": "success", "data": {"resultType": "matrix", "result": [one] + [{"metric": {}, "values": []}] * 9999}})
    rows = _prometheus_answer.series(text)
    assert len(rows) == 2000 and len(rows[0].points) == 200
    assert max(map(len, rows[0].labels.values())) <= 512


# questions


@pytest.mark.parametrize(("url", "parts"), [
    ("http://prometheus:9090", (False, "prometheus", 9090, "", "", "")),
    ("https://me:p%40ss%3Aword@p.example.com/prom/", (True, "p.example.com", None, "/prom", "me", "p@ss:word")),
    ("http://[2001:db8::1]:9090/", (False, "2001:db8::1", 9090, "", "", "")),
])
def test_addresses(url: str, parts: Any) -> None:
    assert _prometheus.address(url) == parts


@pytest.mark.parametrize("url", [
    "prometheus:9090", "ftp://p", "http://", "http://me:s3cret/word@p", "http://me:s3cret@p:port", "http://me:s3cret@p/?a=b", "http://me:s3cret@p/#x",
    "http://me:s3cret@p/\r\nX: y", "http://me:s3cret@[p", "http://p:99999",
])
def test_what_is_no_address_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(ValueError) as raised:
        _prometheus.address(url)
    assert "s3cret" not in str(raised.value) and raised.value.__cause__ is None


def test_names_of_a_host() -> None:
    assert _prometheus.names("", "web-1", "10.0.0.5") == ["web-1", "10.0.0.5"]
    assert _prometheus.names("", "web-1", "web-1") == ["web-1"]
    assert _prometheus.names("web-1.example.com:9100", "web-1", "10.0.0.5") == ["web-1.example.com"]
    assert _prometheus.names("2001:db8::1", "web-1", "") == ["2001:db8::1"]
    # the server's own, there
    assert _prometheus.names("", "localhost", "127.0.0.1") == []
    assert _prometheus.names("localhost", "localhost", "") == ["localhost"]
    # a name that is none of a host is not asked for; one that people give is refused
    assert _prometheus.names("", 'x"} or up{a="', "") == []
    for name in ('x"} or up{a="', "a b", "a|b", "a\n", "." * 300):
        with pytest.raises(ValueError, match="no name of a host"):
            _prometheus.names(name, "web-1")


def test_what_selects_a_host_selects_no_other() -> None:
    words = _prometheus.matcher(["web-1.example", "2001:db8::1"])
    found = re.fullmatch(r'instance=~"(.*)"', words)
    assert found is not None
    # PromQL takes away one of two backslashes, and matches the whole
    pattern = re.compile(found.group(1).replace("\\\\", "\\"))
    assert all(map(pattern.fullmatch, ("web-1.example", "web-1.example:9100", "[2001:db8::1]:9100")))
    assert not any(map(pattern.fullmatch, ("web-10.example", "web-1xexample:9100", "xweb-1.example", "web-1.example:9100x", "web-1.example.org:9100")))


def test_a_question_is_bounded() -> None:
    for span in (_prometheus.DAY, _prometheus.HOURS):
        for question in _prometheus.QUESTIONS:
            path, dummy, query = _prometheus.target(question, span, ["web-1"], NOW).partition("?")
            asked = urllib.parse.parse_qs(query)
            assert path == "/api/v1/query_range" and 'instance=~"(?:web\\\\-1)' in asked["query"][0]
            assert (int(asked["end"][0]) - int(asked["start"][0])) / int(asked["step"][0]) + 1 == 49


def answer(*rows: Mapping[str, Any]) -> str:
    result = [{"metric": {key: value for key, value in row.items() if key != "points"}, "values": [[at, str(value)] for at, value in row["points"]]}
              for row in rows]
    return json.dumps({"status": "success", "data": {"resultType": "matrix", "result": result}})


EMPTY = answer()


def test_an_exporter_that_is_not_there_is_asked_for_once() -> None:
    asked: List[str] = []
    told = _prometheus.Told()
    _prometheus.ask_all(lambda target: asked.append(target) or EMPTY, ["web-1"], NOW, told)
    assert len(asked) == 4 and told.complete and told.answers == [] and told.problems == []


def failing(when: int, problem: Exception) -> Callable[[str], str]:
    count = [0]

    def ask(target: str) -> str:
        count[0] += 1
        if count[0] == when:
            raise problem
        return answer({"instance": "web-1:9100", "points": [(NOW, 5)]})

    return ask


def test_a_question_that_fails_is_not_the_end_of_the_others_unless_it_says_so() -> None:
    told = _prometheus.Told()
    _prometheus.ask_all(failing(2, _prometheus.Unanswered("too much", last=False)), ["web-1"], NOW, told)
    assert told.complete and told.problems == ["too much"] and len(told.answers) == 2 * len(_prometheus.QUESTIONS) - 1
    for problem in (_prometheus.Unanswered("gone"), ValueError("gone")):
        told = _prometheus.Told()
        _prometheus.ask_all(failing(3, problem), ["web-1"], NOW, told)
        assert not told.complete and told.problems == ["gone"] and len(told.answers) == 2


# what enters a snapshot


def line(span: _prometheus.Span, first: float, last: float, since_s: float = 1e9) -> List[Any]:
    """From one value to another over a span, where the server has it: since so many seconds ago."""
    ages = [age for age in range(span.back_s, -1, -span.every_s) if age <= since_s]
    return [(NOW - age, first + (last - first) * (place / max(len(ages) - 1, 1))) for place, age in enumerate(ages)]


class Server:
    """Answers by figure: ``{(exporter, figure): [{labels..., first, last}]}``."""

    def __init__(self, **figures: List[Dict[str, Any]]) -> None:
        self.figures = figures

    def __call__(self, target: str) -> str:
        query = urllib.parse.parse_qs(target.partition("?")[2])
        span = next(span for span in (_prometheus.DAY, _prometheus.HOURS) if str(span.every_s) == query["step"][0])
        name = next((name for name in self.figures if name in query["query"][0]), None)
        return answer(*({**{key: value for key, value in row.items() if key not in ("first", "last", "since_s")},
                         "points": line(span, row["first"], row["last"], row.get("since_s", 1e9))} for row in self.figures.get(name or "", [])))


def document(**changed: Any) -> Dict[str, Any]:
    return {
        "collectors": {"memory_history": {"status": "absent", "reason": "none", "seconds": 0.1}}, "memory_history": None,
        "host": {"kind": "machine", "memory": {"limit_bytes": int(8 * GIB), "limit_source": "machine", "available_bytes": int(4 * GIB)}},
        "services": [
            {"id": "shop-web.service", "name": "shop-web.service", "component": "gunicorn", "role": "web", "cgroup": "/system.slice/shop-web.service",
             "memory": {"bytes": int(2 * GIB), "limit_bytes": None}, "processes": 5},
            {"id": "docker:ab12ab12ab12", "name": "shop-db-1", "component": "postgres", "role": "database", "cgroup": None,
             "memory": {"bytes": int(GIB), "limit_bytes": None}, "processes": 9},
        ], **changed,
    }


def added(server: Callable[[str], str], called: List[str], **changed: Any) -> Dict[str, Any]:
    found, told = document(**changed), _prometheus.Told()
    _prometheus.ask_all(server, called, NOW, told)
    _prometheus_history.add(found, told, called, NOW + 3, 0.25)
    HISTORY.validate(found["memory_history"])
    COLLECTOR.validate(found["collectors"]["prometheus"])
    return found


NODE = {"instance": "web-1:9100", "job": "node"}
CADVISOR = {"instance": "web-1:8080", "job": "cadvisor"}
GROUP = {"instance": "web-1:9256", "job": "process"}
WEB = {**CADVISOR, "id": "/system.slice/shop-web.service", "first": 0.5 * GIB, "last": 2 * GIB}
DB = {**CADVISOR, "id": "/system.slice/docker-%s.scope" % HEX, "first": GIB, "last": GIB}
ALL = {
    "MemAvailable": [{**NODE, "first": 6 * GIB, "last": 4 * GIB}], "MemTotal": [{**NODE, "first": 8 * GIB, "last": 8 * GIB}],
    "SwapTotal": [{**NODE, "first": 0, "last": 0}], "working_set": [WEB, DB],
    "container_cpu": [{key: {"first": 0.5, "last": 0.5}.get(key, value) for key, value in WEB.items()}],
    "nginx_http": [{"instance": "web-1:9113", "job": "nginx", "first": 12, "last": 12}],
}


def test_what_the_server_knows_becomes_a_history_with_a_pattern() -> None:
    found = added(Server(**ALL), ["web-1", "10.0.0.5"])
    history = found["memory_history"]
    assert found["collectors"]["prometheus"] == {"status": "ok", "reason": None, "seconds": 0.25}
    assert history["sources"] == [{"kind": "prometheus", "status": "ok", "reason": None, "every_s": 1800.0, "covered_s": 86400.0, "samples": 93}]
    assert len(history["host"]) == 93 and history["host"][-1] == {
        "age_s": 3.0, "used_bytes": int(4 * GIB), "available_bytes": int(4 * GIB), "swap_used_bytes": 0}
    assert [row["age_s"] for row in history["host"]] == sorted((row["age_s"] for row in history["host"]), reverse=True)
    assert [(row["id"], row["source"], len(row["points"])) for row in history["services"]] == [
        ("shop-web.service", "prometheus", 49), ("docker:ab12ab12ab12", "prometheus", 49)]
    assert history["services"][0]["points"][-1] == {
        "age_s": 3.0, "bytes": int(2 * GIB), "workers": None, "worker_bytes": None, "largest_bytes": None, "median_bytes": None, "cpu_used": 0.5,
        "requests_per_s": 12.0, "tasks_per_s": None}
    patterns = _memory_pattern.patterns(found)
    web = patterns["shop-web.service"]
    assert (web["grows"], web["from"], web["confidence"]) == (True, "history", "medium")
    assert patterns["docker:ab12ab12ab12"]["pattern"] == "steady"


def test_a_service_that_was_started_lately_is_told_closely() -> None:
    events = [{"kind": "start", "age_s": 5400.0, "what": "started", "service": "shop-web.service", "at": "", "pid": 1, "detail": None}]
    (web, db) = added(Server(**ALL), ["web-1"], timeline={"events": events})["memory_history"]["services"]
    assert (web["every_s"], db["every_s"]) == (150.0, 1800.0)
    # so is what the server has known for hours only
    (young,) = added(Server(working_set=[{**WEB, "since_s": 5000}]), ["web-1"])["memory_history"]["services"]
    assert (young["every_s"], len(young["points"])) == (150.0, 34)


def test_another_machine_of_the_same_name_is_none() -> None:
    small = {**ALL, "MemTotal": [{**NODE, "first": 2 * GIB, "last": 2 * GIB}]}
    found = added(Server(**small), ["web-1"])
    assert found["memory_history"]["services"] == [] and found["memory_history"]["host"] == []
    row = found["collectors"]["prometheus"]
    assert row["status"] == "error" and "2.0 GiB of memory, this host 8.0 GiB: it is another one" in row["reason"]


def test_of_two_names_the_first_that_is_known_counts_and_of_two_jobs_one() -> None:
    other = {**WEB, "instance": "10.0.0.5:8080", "first": 9, "last": 9}
    twice = {**WEB, "job": "another", "first": 7, "last": 7}
    row = added(Server(working_set=[other, WEB]), ["web-1", "10.0.0.5"])["memory_history"]["services"][0]
    assert row["points"][-1]["bytes"] == int(2 * GIB)
    row = added(Server(working_set=[WEB, twice]), ["web-1"])["memory_history"]["services"][0]
    assert row["points"][-1]["bytes"] == 7 and len(row["points"]) == 49
    row = added(Server(working_set=[other]), ["web-1", "10.0.0.5"])["memory_history"]["services"][0]
    assert row["points"][-1]["bytes"] == 9


def test_what_is_not_told_has_a_reason() -> None:
    row = added(Server(), ["web-1", "10.0.0.5"])["collectors"]["prometheus"]
    assert row["status"] == "error" and row["reason"].startswith("it knows nothing of web-1 or 10.0.0.5, by node_exporter, cAdvisor or process-exporter")
    old = {"MemAvailable": [{**NODE, "first": 1, "last": 1}], "MemTotal": [{**NODE, "first": 8 * GIB, "last": 8 * GIB}]}
    found, told = document(), _prometheus.Told()
    _prometheus.ask_all(Server(**old), ["web-1"], NOW, told)
    _prometheus_history.add(found, told, ["web-1"], NOW + 7200, 0.1)
    assert found["collectors"]["prometheus"]["status"] == "partial" and found["collectors"]["prometheus"]["reason"] == "its last figure of this host is 2 h old"
    for problems, denied, complete, status, reason in (
        ([], False, False, "error", "it did not answer within 8 s"),
        (["no answer: Connection refused"], False, False, "error", "no answer: Connection refused"),
        (["it does not let us in (401)"], True, False, "denied", "it does not let us in (401)"),
    ):
        told = _prometheus.Told()
        told.problems, told.denied, told.complete = problems, denied, complete
        found = document()
        _prometheus_history.add(found, told, ["web-1"], NOW, 8.0)
        assert found["collectors"]["prometheus"] == {"status": status, "reason": reason, "seconds": 8.0}
        assert found["memory_history"] == {"sources": [{"kind": "prometheus", "status": status, "reason": reason, "every_s": None, "covered_s": None,
                                                        "samples": 0}], "host": [], "services": []}


@pytest.mark.parametrize(("name", "last", "services", "owner"), [
    ("shop-web", 1.5, {}, "shop-web.service"), ("shop-web.service", 3, {}, "shop-web.service"), ("gunicorn", 2, {}, "shop-web.service"),
    ("postgres", 1, {}, "docker:ab12ab12ab12"),
    # too small or too large to be all of it
    ("gunicorn", 0.5, {}, None), ("gunicorn", 5, {}, None),
    ("python3", 2, {}, None), ("", 2, {}, None), ("other", 2, {}, None),
    # two of that software: whose the group is nobody knows
    ("gunicorn", 2, {"id": "api.service", "name": "api.service", "component": "gunicorn", "memory": {"bytes": 2}}, None),
])
def test_whose_a_group_of_processes_is(name: str, last: float, services: Dict[str, Any], owner: Any) -> None:
    known = document()["services"] + ([services] if services else [])
    found = added(Server(namedprocess_namegroup_memory=[{**GROUP, "groupname": name, "first": last * GIB, "last": last * GIB}]), ["web-1"], services=known)
    assert [row["id"] for row in found["memory_history"]["services"]] == ([owner] if owner else [])


def test_control_groups_are_better_than_groups_of_processes() -> None:
    found = added(Server(**ALL, namedprocess_namegroup_memory=[{**GROUP, "groupname": "gunicorn", "first": GIB, "last": GIB}]), ["web-1"])
    assert [row["points"][-1]["bytes"] for row in found["memory_history"]["services"]] == [int(2 * GIB), int(GIB)]


def own(source: str, hours: float, count: int) -> Dict[str, Any]:
    points = [{"age_s": hours * 3600 * (1 - place / (count - 1)), "bytes": 5, "workers": 1, "worker_bytes": 5, "largest_bytes": 5, "median_bytes": 5,
               "cpu_used": None, "requests_per_s": None, "tasks_per_s": None} for place in range(count)]
    return {"id": "shop-web.service", "source": source, "every_s": 60.0, "points": points, "workers": []}


@pytest.mark.parametrize(("row", "kept"), [
    (own("recorder", 6, 90), []), (own("recorder", 0.5, 30), ["shop-web.service"]), (own("recorder", 6, 5), ["shop-web.service"]),
    (own("window", 2, 60), ["shop-web.service"]),
])
def test_a_history_of_the_hosts_own_is_better(row: Dict[str, Any], kept: List[str]) -> None:
    source = {"kind": row["source"], "status": "ok", "reason": None, "every_s": 60.0, "covered_s": 100.0, "samples": 30}
    mine = [{"age_s": 1.0, "used_bytes": 1, "available_bytes": 1, "swap_used_bytes": None}]
    before = {"sources": [source], "host": copy.deepcopy(mine), "services": [row]}
    found = added(Server(**ALL), ["web-1"], memory_history=before)["memory_history"]
    assert [one["id"] for one in found["services"] if one["source"] == "prometheus"] == [*kept, "docker:ab12ab12ab12"]
    assert (found["host"] == mine) == (row["source"] == "recorder")
    assert [one["kind"] for one in found["sources"]] == [row["source"], "prometheus"]


def test_a_container_is_not_told_the_memory_of_its_machine() -> None:
    inside = {"kind": "container", "memory": {"limit_bytes": int(GIB), "limit_source": "cgroup /"}}
    assert added(Server(**ALL), ["web-1"], host=inside)["memory_history"]["host"] == []


WORDS = ["bytes", "instance", "web-1:9100", "gunicorn", WEB["id"], "\x1b[31m", "password=hunter2", "NaN", "1e999", "5"]
LABELS = st.sampled_from(_prometheus_answer.LABELS)
HOSTILE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.sampled_from(WORDS),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(LABELS | st.sampled_from(["metric", "values"]) | st.text(max_size=5), inner, max_size=4),
    max_leaves=20)
ROWS = st.dictionaries(st.sampled_from(["metric", "values"]), HOSTILE, max_size=2) | st.fixed_dictionaries({
    "metric": st.dictionaries(LABELS, st.sampled_from(WORDS) | HOSTILE),
    "values": st.lists(st.tuples(st.integers(-10, int(2 * NOW)) | st.floats(), st.text("0123456789.eE+-NaIinf", max_size=12))),
})


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(ROWS, max_size=5), HOSTILE)
def test_whatever_it_answers_the_snapshot_stands(result: Any, other: Any) -> None:
    def ask(target: str) -> str:
        return json.dumps({"status": "success", "data": {"resultType": "matrix", "result": result if "rate" not in target else other}})

    found = added(ask, ["web-1"])
    assert clean_tree(found["memory_history"]) == found["memory_history"] and "hunter2" not in json.dumps(found)
    _memory_pattern.patterns(found)


def test_a_server_that_people_named_and_that_told_nothing_is_missing_in_the_diagnosis() -> None:
    quiet: Dict[str, Any] = {"collectors": {}}
    assert _verdict.past_gap(quiet) is None and not any("prometheus" in gap for gap in _verdict.judge(quiet, {}, {})["missing"])
    for status, reason in (("error", "no answer: timed out"), ("denied", "it does not let us in (401)"), ("partial", "its last figure is 2 h old")):
        found = _verdict.judge({"collectors": {"prometheus": {"status": status, "reason": reason, "seconds": 8.0}}}, {}, {})
        assert found["missing"][-1] == "prometheus (%s: %s)" % (status, reason)
    well = {"collectors": {"prometheus": {"status": "ok", "reason": None, "seconds": 0.1}}}
    assert not any("prometheus" in gap for gap in _verdict.judge(well, {}, {})["missing"])
