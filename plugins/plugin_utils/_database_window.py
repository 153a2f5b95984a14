# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What rules look at in what a database server did while it was watched: its queries, the tables it read whole, files, deadlocks, new connections.

Private to oncall.pressure: no stable interface. Every figure is null where something it is made of was not measured.
"""

from __future__ import annotations

import re
import typing as t

from ansible_collections.oncall.pressure.plugins.plugin_utils._log_figures import log_figures
from ansible_collections.oncall.pressure.plugins.plugin_utils._needs import failed
from ansible_collections.oncall.pressure.plugins.plugin_utils._values import at, known, num, ratio, rows, text

Row = t.Dict[str, t.Any]

#: The most of a query that a sentence shows.
_SHOWN: t.Final = 400

#: A query that returns fewer rows than that for each call mostly finds nothing.
_FINDS_NOTHING: t.Final = 0.05


def window_figures(server: t.Mapping[str, t.Any], service: t.Mapping[str, t.Any] | None, snapshot: t.Mapping[str, t.Any]) -> Row:
    """The figures under ``derived`` of a database server that are of its window: ``here``, ``told``, ``scan``, ``query``, ``repeat``, ``poll``, ``fetch``,
    ``temp``, ``deadlocks``, ``churn``, ``pool``."""
    window_s = num(server, "window_s")
    statements = [_statement(row, window_s) for row in rows(server, "statements")]
    all_s = sum(row["spent_s"] or 0.0 for row in statements)
    for row in statements:
        row["share"] = ratio(row["spent_s"], all_s)
    requests = num(snapshot, "nginx", "per_s")
    return {
        # what the host is short of says nothing of a server that runs elsewhere
        "here": num(server, "main_pid") is not None,
        "told": _told(server), "requests_per_s": requests,
        # null where nobody could look whether requests are served
        "serves": True if requests is not None else (None if "nginx" in failed(snapshot) else False),
        "scan": _scan(server, statements, window_s), "query": _most(statements, "load"),
        "repeat": _against(
            _most([row for row in statements if row["verb"] in ("select", "with") and not row["finds_nothing"]], "calls_per_s"), requests, statements),
        "poll": _against(_most([row for row in statements if row["finds_nothing"]], "calls_per_s"), requests, statements),
        # what copies a whole table on purpose (a dump) is none of it
        "fetch": _most([row for row in statements if row["verb"] in ("select", "with", "fetch")], "rows_per_s"),
        "temp": _temp(server, statements, window_s), "deadlocks": _deadlocks(server, service, snapshot), "churn": _churn(server, snapshot),
        "pool": _pool(server, snapshot),
    }


def _told(server: t.Mapping[str, t.Any]) -> bool | None:
    """Whether its queries are counted: false where it does not count them, null where it was not asked."""
    if isinstance(at(server, "statements"), list):
        return True
    return False if "not installed" in (text(server, "statements_reason") or "") else None


def _statement(row: t.Mapping[str, t.Any], window_s: float | None) -> Row:
    calls, total_s = num(row, "calls"), num(row, "total_s")
    # a long query is counted as a whole when it ends: of each call no more than the window was spent in it
    spent_s = None if calls is None or total_s is None or window_s is None else min(total_s, calls * window_s)
    query = text(row, "query")
    word = re.match(r"[\s(]*([A-Za-z]+)", query or "")
    verb = word.group(1).lower() if word is not None else ""
    per_call = ratio(num(row, "rows"), calls)
    return {
        "query": query[:_SHOWN] if query else None, "whole": query or "", "verb": verb, "user": text(row, "user"), "database": text(row, "database"),
        "calls": calls, "calls_per_s": ratio(calls, window_s), "mean_s": num(row, "mean_s"), "mean_ms": None if total_s is None or not calls else
        total_s / calls * 1000.0, "spent_s": spent_s, "load": ratio(spent_s, window_s), "rows_per_call": per_call,
        "rows_per_s": ratio(num(row, "rows"), window_s), "temp_blocks": num(row, "temp_blocks"),
        "finds_nothing": verb in ("select", "with", "update", "delete") and per_call is not None and per_call <= _FINDS_NOTHING,
    }


_NO_STATEMENT: t.Final = _statement({}, None)


def _most(statements: t.Sequence[Row], name: str) -> Row:
    """The one with the most of something; all null where there is none."""
    found = max(statements, key=lambda row: row[name] or 0.0, default=None)
    return dict(found) if found is not None else {**_NO_STATEMENT, "share": None}


def _against(row: Row, requests: float | None, statements: t.Sequence[Row]) -> Row:
    """A query against the requests that are served meanwhile, and against the query that is called next most often."""
    others = [one for one in statements if one["whole"] != row["whole"] and one["verb"] in ("select", "with", "insert", "update", "delete")]
    return {
        **row, "per_request": ratio(row["calls_per_s"], requests), "times_the_next": ratio(row["calls"], _most(others, "calls")["calls"]),
        # where nothing serves requests here, none cause it either
        "requests_share": ratio(requests or 0.0, row["calls_per_s"]),
    }


def _scan(server: t.Mapping[str, t.Any], statements: t.Sequence[Row], window_s: float | None) -> Row:
    """The large table of which most rows were read one after the other, and the query on it that took most time."""
    measured = isinstance(at(server, "tables"), list) and window_s is not None
    table = max(rows(server, "tables"), key=lambda row: num(row, "seq_rows") or 0, default=None)
    name = text(table, "name")
    bare = (name or "").rpartition(".")[2].strip('"')
    mine = [row for row in statements if bare and re.search(r"(?<![\w$])%s(?![\w$])" % re.escape(bare), row["whole"])]
    query = _most(mine, "load")
    scans, read = num(table, "seq_scans"), num(table, "seq_rows")
    nothing = 0.0 if measured and table is None else None
    return {
        "table": name, "rows": num(table, "rows"), "bytes": num(table, "bytes"),
        "scans_per_s": ratio(scans, window_s) if table is not None else nothing, "rows_per_s": ratio(read, window_s) if table is not None else nothing,
        "rows_per_scan": ratio(read, scans), "index_scans": num(table, "index_scans"), "scans_total": num(table, "seq_scans_total"),
        "query": query["query"], "query_load": query["load"], "query_mean_ms": query["mean_ms"],
    }


def _temp(server: t.Mapping[str, t.Any], statements: t.Sequence[Row], window_s: float | None) -> Row:
    """Files that queries wrote since what they sort or hash is larger than they may hold."""
    files, size = (_sum(server, name) for name in ("temp_files", "temp_bytes"))
    writers = [row for row in statements if row["temp_blocks"]]
    return {"files": files, "bytes": size, "bytes_per_s": ratio(size, window_s), "query": _most(writers, "temp_blocks")["query"]}


def _deadlocks(server: t.Mapping[str, t.Any], service: t.Mapping[str, t.Any] | None, snapshot: t.Mapping[str, t.Any]) -> Row:
    """Those of the window as the server counts them, and those that its log tells of a longer time."""
    figures = log_figures(snapshot, text(service, "id"))
    signal = figures["signals"].get("postgres_deadlock") or {"count": 0 if figures["told"] else None}
    total = known(*(num(row, "since_reset", "deadlocks") for row in rows(server, "databases")))
    most = max(rows(server, "databases"), key=lambda row: (num(row, "deadlocks") or 0, num(row, "since_reset", "deadlocks") or 0), default=None)
    return {
        "database": text(most, "name") if num(most, "deadlocks") or num(most, "since_reset", "deadlocks") else None,
        "window": _sum(server, "deadlocks"), "logged": num(signal, "count"), "logged_s": figures["covered_s"], "sample": text(signal, "sample"),
        "total": sum(total) if total else None,
    }


def _churn(server: t.Mapping[str, t.Any], snapshot: t.Mapping[str, t.Any]) -> Row:
    """New connections for each second, and for each transaction. A pooler is named where one runs here."""
    fresh = known(*(num(row, "connections_per_s") for row in rows(server, "databases")))
    done = known(*(num(row, name) for row in rows(server, "databases") for name in ("commits_per_s", "rollbacks_per_s")))
    per_s = sum(fresh) if fresh else (0.0 if at(server, "databases") == [] else None)
    pooler = next((text(row, "name") for row in rows(snapshot, "services") if re.search("pgbouncer|pgcat|odyssey|pgpool", text(row, "name") or "")), None)
    return {"per_s": per_s, "per_transaction": ratio(per_s, sum(done)) if done else None, "pooler": pooler}


def _pool(server: t.Mapping[str, t.Any], snapshot: t.Mapping[str, t.Any]) -> Row:
    """How many things of this host can use a connection at once: workers times threads of web services, children and threads of workers."""
    counted = [size for size in map(_at_once, rows(snapshot, "services")) if size]
    idle = num(server, "sessions", "idle")
    capacity = sum(counted) if counted else None
    return {"capacity": capacity, "services": len(counted), "idle_beyond": None if capacity is None or idle is None else max(idle - capacity, 0)}


def _at_once(service: t.Mapping[str, t.Any]) -> int | None:
    if service.get("component") not in ("gunicorn", "uvicorn", "celery", "rq") or service.get("state") != "running":
        return None
    workers = num(service, "worker_summary", "count")
    threads = num(service, "settings", "threads", "value")
    return None if not workers else int(workers * max(threads or 1, 1))


def _sum(server: t.Mapping[str, t.Any], name: str) -> float | None:
    """Of all databases; 0 where none did anything, null where none was measured."""
    if not isinstance(at(server, "databases"), list):
        return None
    found = rows(server, "databases")
    values = known(*(num(row, name) for row in found))
    return sum(values) if values or not found else None
