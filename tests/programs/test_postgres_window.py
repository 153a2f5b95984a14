# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What goes wrong in a database, caused on a real server and named from what the collectors of a snapshot said of it.

Paces are pgbench's own, so that a slow machine does not change what is right; how busy the host is, is measured while it is.
"""

from __future__ import annotations

import contextlib
import json
import random
import subprocess
import time
import typing as t

import jsonschema
import pytest
from test_postgres import BINS, RULES, SCHEMA, THRESHOLDS, Cluster, _become

from ansible_collections.oncall.pressure.plugins.module_utils._components import _host_pressure, _postgres
from ansible_collections.oncall.pressure.plugins.module_utils._host._collect import Options, run_all
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine
from ansible_collections.oncall.pressure.plugins.plugin_utils import _verdict

pytestmark = pytest.mark.skipif(not BINS, reason="there is no PostgreSQL here: apt-get install postgresql")

WINDOW_S = 4.0


@pytest.fixture(name="cluster", params=BINS[-1:])
def _cluster(request: pytest.FixtureRequest) -> t.Iterator[Cluster]:
    made = Cluster(request.param, deadlock_timeout="100ms", max_connections="40")
    made.shop(200000)
    made.sql("CREATE EXTENSION pg_stat_statements", "shop")
    try:
        yield made
    finally:
        made.stop()


@contextlib.contextmanager
def load(cluster: Cluster, script: str, *options: str) -> t.Iterator[None]:
    """pgbench runs a script on the shop's database, as the shop, for as long as this lasts."""
    path = cluster.folder / "script.sql"
    path.write_text(script, encoding="utf-8")
    path.chmod(0o644)
    process = subprocess.Popen(
        [cluster.bins + "/pgbench", "-h", str(cluster.folder), "-p", str(cluster.port), "-U", "shop", "-n", "-f", str(path), "-T", "120", *options, "shop"],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=_become, cwd="/",
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C", "PGAPPNAME": "web"})
    try:
        time.sleep(3)
        assert process.poll() is None
        yield
    finally:
        process.kill()
        process.wait()


def judged(cluster: Cluster, requests_per_s: t.Optional[float] = None) -> t.Dict[str, t.Any]:
    """The verdicts on the database, by rule, of a document whose host and server were measured side by side; requests are told by the test."""
    options = Options(window_s=WINDOW_S, daemons={"postgres": cluster.pids()})
    rows = run_all({"host": _host_pressure.collect, "postgres": _postgres.collect}, Machine(), options, 30.0).rows
    jsonschema.Draft202012Validator(SCHEMA["$defs"]["snapshot"]["properties"]["postgres"]).validate(rows["postgres"]["data"])
    document = {
        "schema": 1, "collectors": {name: {key: row[key] for key in ("status", "reason", "seconds")} for name, row in rows.items()},
        "host": rows["host"]["data"]["host"], "postgres": rows["postgres"]["data"], "services": [],
        "nginx": None if requests_per_s is None else {"per_s": requests_per_s},
    }
    found = _verdict.judge(document, RULES, THRESHOLDS)
    server = rows["postgres"]["data"][0]
    print(json.dumps({"cpu": document["host"]["cpu"], **{key: server[key] for key in ("status", "reason", "statements", "tables", "databases")}}, indent=1))
    print(json.dumps([found["findings"], found["verdicts"], found["unknown"]], indent=1))
    assert server["status"] == "ok"
    return {row["rule"]: row for row in found["verdicts"]}


def said(verdict: t.Dict[str, t.Any]) -> str:
    return "\n".join([verdict["summary"], *verdict["evidence"], *verdict["next"], *verdict["lasting"]])


def test_a_table_without_an_index(cluster: Cluster) -> None:
    column = random.choice(("note", "id"))
    with load(cluster, "SELECT * FROM orders WHERE %s = '4711';\n" % column, "-c", "6"):
        verdicts = judged(cluster)
    text = said(verdicts["postgres.missing_index"])
    assert "public.orders is read whole" in text and "no index of it was used meanwhile" in text
    assert "give public.orders an index on what this filters or joins by" in text and "SELECT * FROM orders WHERE %s = ?" % column in text.replace("$1", "?")
    assert "postgres.slow_query" not in verdicts, "the scan explains it"

    # what is advised mends it, at a pace that both can keep
    cluster.sql("CREATE INDEX ON orders (%s)" % column, "shop")
    with load(cluster, "SELECT * FROM orders WHERE %s = '4711';\n" % column, "-c", "2", "-R", "100"):
        assert judged(cluster) == {}


def test_one_query_that_takes_most_of_the_time(cluster: Cluster) -> None:
    script = "SELECT count(*) FROM generate_series(1, 400000) g WHERE sqrt(g) > 3;\n"
    with load(cluster, script, "-c", "6"):
        verdicts = judged(cluster)
    assert "generate_series" in said(verdicts["postgres.slow_query"]) and "postgres.missing_index" not in verdicts


def test_a_query_for_each_row(cluster: Cluster) -> None:
    cluster.sql("CREATE INDEX ON orders (id)", "shop")
    one = "SELECT note FROM orders WHERE id = 7;\n"
    script = "SELECT id FROM orders WHERE id BETWEEN 10 AND 60;\n" + one * 50
    with load(cluster, script, "-c", "6"):
        verdicts = judged(cluster, requests_per_s=1.0)
        assert "prefetch_related" in said(verdicts["postgres.many_small_queries"])
        assert "postgres.polling" not in verdicts and "SELECT note FROM orders WHERE id = " in said(verdicts["postgres.many_small_queries"])
        # where as many requests come, each asks little
        assert "postgres.many_small_queries" not in judged(cluster, requests_per_s=100000.0)
        assert "postgres.many_small_queries" not in judged(cluster)


def test_a_query_that_finds_nothing_again_and_again(cluster: Cluster) -> None:
    cluster.sql("CREATE TABLE tasks AS SELECT g AS id, 'done' AS state FROM generate_series(1, 8000) g; ALTER TABLE tasks OWNER TO shop; ANALYZE", "shop")
    with load(cluster, "SELECT id FROM tasks WHERE state = 'waiting' LIMIT 1;\n", "-c", "4"):
        verdicts = judged(cluster, requests_per_s=1.0)
        text = said(verdicts["postgres.polling"])
        assert "LISTEN and NOTIFY" in text and "SELECT id FROM tasks" in text
        assert "postgres.missing_index" not in verdicts, "a table so small is read whole without harm"


def test_sorts_that_are_larger_than_they_may(cluster: Cluster) -> None:
    cluster.sql("ALTER ROLE shop SET work_mem = '64kB'")
    with load(cluster, "SELECT count(*) FROM (SELECT note || repeat('x', 300) AS n FROM orders ORDER BY 1 OFFSET 0) s;\n", "-c", "6"):
        verdicts = judged(cluster)
    assert "ALTER ROLE" in said(verdicts["postgres.temporary_files"]) and "repeat(" in said(verdicts["postgres.temporary_files"])


def test_deadlocks(cluster: Cluster) -> None:
    cluster.sql("CREATE UNIQUE INDEX ON orders (id)", "shop")
    script = (
        "\\set a random(1, 2)\n\\set b 3 - :a\nBEGIN;\nUPDATE orders SET note = 'x' WHERE id = :a;\nSELECT pg_sleep(0.05);\n"
        "UPDATE orders SET note = 'x' WHERE id = :b;\nCOMMIT;\n")
    retries = ("--max-tries", "1000") if int(cluster.bins.split("/")[-2]) >= 15 else ()
    with load(cluster, script, "-c", "6", *retries):
        verdicts = judged(cluster)
    assert "lock rows in the same order" in said(verdicts["postgres.deadlocks"])


def test_a_connection_for_each_transaction(cluster: Cluster) -> None:
    with load(cluster, "SELECT 1;\n", "-c", "8", "-C"):
        verdicts = judged(cluster)
    assert "CONN_MAX_AGE" in said(verdicts["postgres.connection_churn"]) and "put a pooler such as pgbouncer between" in said(
        verdicts["postgres.connection_churn"])


def test_a_healthy_server(cluster: Cluster) -> None:
    """A shop that reads by its index and writes, at a quiet pace, and one report of the whole table."""
    cluster.sql("CREATE UNIQUE INDEX ON orders (id)", "shop")
    script = "\\set id random(1, 200000)\nSELECT * FROM orders WHERE id = :id;\nUPDATE orders SET note = 'y' WHERE id = :id;\n"
    with load(cluster, script, "-c", "4", "-R", "20"):
        cluster.hold("SELECT count(*), max(note) FROM orders;", wait=False)
        assert judged(cluster, requests_per_s=20.0) == {}
