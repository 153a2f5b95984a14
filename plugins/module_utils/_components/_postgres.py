# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""PostgreSQL: sessions, who blocks whom, connections against their limit, statements, tables read whole, and what databases did in the window.

Private to oncall.pressure: no stable interface. Read-only. Where a server cannot be asked, the titles of its processes still tell its sessions by state.
"""

from __future__ import annotations

import collections
import math
import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._components import _postgres_server
from ansible_collections.oncall.pressure.plugins.module_utils._components._postgres_server import Answer, Server
from ansible_collections.oncall.pressure.plugins.module_utils._host._collect import Options, Reading, absent, ok
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine
from ansible_collections.oncall.pressure.plugins.module_utils._host._text import clean
from ansible_collections.oncall.pressure.plugins.module_utils._parse import _postgres, _sql_text

if t.TYPE_CHECKING:
    from ansible_collections.oncall.pressure.plugins.module_utils._parse._postgres_dsn import Target

Row = t.Dict[str, t.Any]

_SERVERS = 8
_TOP = 10
_BLOCKED = 50
_TEXT = 300

#: Together with the window no server is waited for any longer, however many there are.
_LIMIT_S = 6.5

#: What can still be asked in so little time is not worth the connection.
_LEAST_S = 3.0


def collect(machine: Machine, options: Options) -> Reading:
    """``postgres`` in the shape of docs/architecture.md: a row for each server, those that run here before those that people named."""
    found = _postgres_server.servers(machine, options.daemons)
    ways: dict[int, Target] = {}
    if options.postgres_dsn:
        # most hosts have no use for it
        from ansible_collections.oncall.pressure.plugins.module_utils._components import _postgres_named

        ways = _postgres_named.matched(options.postgres_dsn, found)
    if not found and not options.postgres_dsn:
        return absent("no PostgreSQL runs here")
    used = set(ways.values())
    others = [(None, one) for one in options.postgres_dsn if one not in used]
    asked: list[tuple[Server | None, Target | None]] = [*((server, ways.get(server.pid)) for server in found[:_SERVERS]), *others]
    # side by side they would share the processor, one after the other the window
    window_s = options.window_s / len(asked)
    end = machine.monotonic() + options.window_s + _LIMIT_S
    rows = []
    for server, target in asked:
        left_s = end - machine.monotonic()
        answer = Answer("error", "not asked: the others took too long", {}, None, False)
        if left_s >= window_s + _LEAST_S or not rows:
            answer = _ask(machine, server, target, window_s, left_s)
        told = row(server, answer, target.address if target is not None else None)
        if target is not None:
            told = _postgres_named.hidden(told, target)
        rows.append(told)
    return _reading(rows, len(found) + len(others))


def _ask(machine: Machine, server: Server | None, target: Target | None, window_s: float, limit_s: float) -> Answer:
    if target is not None:
        from ansible_collections.oncall.pressure.plugins.module_utils._components import _postgres_named

        return _postgres_named.ask(machine, target, window_s, limit_s)
    return _postgres_server.ask(machine, t.cast(Server, server), window_s, limit_s)


def _reading(rows: list[Row], count: int) -> Reading:
    places = [one["address"] or "port %s" % one["port"] for one in rows]
    reasons = [
        ("%s: %s" % (place, one["reason"])) if count > 1 or one["address"] else one["reason"] for place, one in zip(places, rows) if one["reason"]]
    if count > len(rows):
        reasons.append("only %d of %d servers were asked" % (len(rows), count))
    if not reasons:
        return ok(rows)
    states = {one["status"] for one in rows}
    status = states.pop() if len(states) == 1 and count == len(rows) else "partial"
    return Reading(status if status != "ok" else "partial", "; ".join(reasons), rows)


def row(server: Server | None, answer: Answer, address: str | None = None) -> Row:
    """One server as it stands in the document. ``server``: null where it was not found here; ``address``: where people named it."""
    now, locks, first, second = (answer.parts.get(name) or {} for name in ("now", "locks", "first", "second"))
    status, reason = answer.status, answer.reason
    if status == "ok" and _number(now.get("hidden")):
        status, reason = "partial", "%s may not see the sessions of others: grant it pg_monitor" % _text(now.get("role"), 64)
    titled = _postgres_server.sessions(server) if server is not None and not now else []
    blocking, roots = _blocking(locks)
    version = _text(now.get("version"), 64)
    major = str(server.version) if server is not None and server.version is not None else None
    waited = _difference(first, second, "at_s")
    names = ("max_connections", "reserved")
    most, reserved = (_whole(now.get(name)) for name in names)
    return {
        "main_pid": server.pid if server is not None else None, "address": address, "version": version.split(" ")[0] if version else major,
        "port": server.file.port if server is not None and server.file is not None else None, "status": status, "reason": reason,
        "source": "server" if now else ("titles" if titled else None), "database": _text(answer.database, 64), "window_s": round(waited, 2) if waited else None,
        "recovery": now.get("recovery") if isinstance(now.get("recovery"), bool) else None, "up_s": _seconds(now.get("up_s")),
        "max_connections": most, "reserved": reserved, "usable": max(most - reserved, 0) if most is not None and reserved is not None else None,
        "refused": answer.full, "sessions": _sessions(now) if now else (_titled(titled) if titled else None),
        "by_application": _groups(now.get("by_application")) if now else None,
        "by_user": _groups(now.get("by_user")) if now else (_titled_users(titled) if titled else None),
        "longest": [_session(one) for one in _rows(now.get("longest"))] if now else None,
        "idle_in_transaction": [_session(one) for one in _rows(now.get("idle_in_transaction"))] if now else None,
        "blocking": blocking, "roots": roots, "statements": _statements(answer), "statements_reason": _why_no_statements(answer),
        "tables": _tables(first, second), "databases": _databases(first, second, waited, answer.database),
    }


# sessions

_STATES = ("total", "active", "idle", "idle_in_transaction", "idle_in_transaction_aborted", "waiting")


def _sessions(now: Row) -> Row:
    told = now.get("sessions") if isinstance(now.get("sessions"), dict) else {}
    hidden = bool(_number(now.get("hidden")))
    found: Row = {name: _whole(told.get(name)) if name == "total" or not hidden else None for name in _STATES}
    found.update({name: _seconds(told.get(name)) for name in ("oldest_transaction_s", "oldest_idle_in_transaction_s")})
    return found


def _titled(sessions: t.Sequence[_postgres.Session]) -> Row:
    states = collections.Counter(session.state for session in sessions)
    # update_process_title is off: who is there is told, what they do is not
    silent = states[None] == len(sessions)
    found: Row = {name: None if silent else states[name] for name in _STATES}
    found.update(total=len(sessions), oldest_transaction_s=None, oldest_idle_in_transaction_s=None)
    found["waiting"] = None if silent else sum(session.waiting for session in sessions)
    return found


def _titled_users(sessions: t.Sequence[_postgres.Session]) -> list[Row]:
    counts: dict[str, Row] = {}
    silent = all(session.state is None for session in sessions)
    for session in sessions:
        told = None if silent else 0
        one = counts.setdefault(session.user, {"name": clean(session.user, 64), "sessions": 0, "active": told, "idle_in_transaction": told})
        one["sessions"] += 1
        if not silent:
            one["active"] += session.state == "active"
            one["idle_in_transaction"] += (session.state or "").startswith("idle_in_transaction")
    return sorted(counts.values(), key=lambda one: (-one["sessions"], one["name"]))[:_TOP]


def _groups(told: t.Any) -> list[Row]:
    return [
        {"name": _text(one.get("name"), 64) or "", **{name: _whole(one.get(name)) for name in ("sessions", "active", "idle_in_transaction")}}
        for one in _rows(told)[:_TOP]
    ]


def _session(told: Row) -> Row:
    return {
        "pid": _whole(told.get("pid")), "state": _text(told.get("state"), 64), "user": _text(told.get("user"), 64),
        "application": _text(told.get("application"), 64), "database": _text(told.get("database"), 64), "client": _text(told.get("client"), 64),
        "state_s": _seconds(told.get("state_s")), "query_s": _seconds(told.get("query_s")), "transaction_s": _seconds(told.get("transaction_s")),
        "wait_event_type": _text(told.get("wait_event_type"), 64), "wait_event": _text(told.get("wait_event"), 64), "query": _query(told.get("query")),
    }


# who blocks whom

def _blocking(locks: Row) -> tuple[list[Row] | None, list[Row] | None]:
    """Sessions that wait for a lock, longest first, and those at the end of what they wait for, with how many each holds up."""
    if not locks:
        return None, None
    waiters = {pid: one for one in _rows(locks.get("waiters")) for pid in [_whole(one.get("pid"))] if pid is not None}
    by = {pid: _pids(one.get("by")) for pid, one in waiters.items()}
    holders = {_whole(one.get("pid")): one for one in _rows(locks.get("holders"))}
    # a prepared transaction has no process; the server calls it 0
    ends = {pid: _ends(pid, by) for pid in waiters}
    rows = [_waiter(pid, one, by[pid], ends[pid], holders) for pid, one in waiters.items()]
    rows.sort(key=lambda one: (-(one["waited_s"] or 0.0), one["pid"]))
    found = []
    for pid in sorted({pid for some in ends.values() for pid in some}):
        mine = [one for one in rows if pid in ends[one["pid"]]]
        told = holders.get(pid) or {}
        found.append({
            **_session(told), "pid": pid, "kind": "prepared transaction" if pid == 0 else _text(told.get("backend_type"), 64),
            "holds": [clean("%s on %s" % (held.get("mode"), held.get("relation")), 140) for held in _rows(told.get("holds"))[:5]],
            "blocks": len(mine), "longest_wait_s": max((one["waited_s"] for one in mine if one["waited_s"] is not None), default=None),
        })
    found.sort(key=lambda one: (-one["blocks"], -(one["longest_wait_s"] or 0.0), one["pid"]))
    return rows[:_BLOCKED], found[:_TOP]


def _ends(pid: int, by: t.Mapping[int, t.Sequence[int]]) -> list[int]:
    """Those that a session waits for and that wait for nobody; none where they wait for each other, which the server resolves."""
    seen, waiting, found = {pid}, [pid], []
    while waiting:
        for other in by.get(waiting.pop(), ()):
            if other in seen:
                continue
            seen.add(other)
            if other in by:
                waiting.append(other)
            else:
                found.append(other)
    return sorted(found)


def _waiter(pid: int, told: Row, by: t.Sequence[int], ends: t.Sequence[int], holders: t.Mapping[int | None, Row]) -> Row:
    # 13 does not say since when a session waits: for no longer than its query runs
    waited_s = _seconds(told.get("waited_s"))
    root = holders.get(ends[0], {}) if ends else {}
    relation = _text(told.get("relation"), 140)
    number = _text(told.get("relation_oid"), 20)
    return {
        "pid": pid, "user": _text(told.get("user"), 64), "application": _text(told.get("application"), 64), "database": _text(told.get("database"), 64),
        "blocked_by": list(by[:_TOP]), "waited_s": waited_s if waited_s is not None else _seconds(told.get("query_s")),
        "lock": _text(told.get("locktype"), 64), "mode": _text(told.get("mode"), 64), "relation": relation or ("relation %s" % number if number else None),
        "query": _query(told.get("query")), "root_pid": ends[0] if ends else None, "root_state": _text(root.get("state"), 64),
        "root_transaction_s": _seconds(root.get("transaction_s")),
    }


def _pids(told: t.Any) -> list[int]:
    return [pid for pid in map(_whole, told if isinstance(told, list) else []) if pid is not None][:200]


# the window

def _statements(answer: Answer) -> list[Row] | None:
    told = answer.parts.get("statements")
    rows = _postgres.from_hex(told.get("hex")) if told is not None and "statements_first" in answer.parts else None
    if rows is None:
        return None
    return [{
        "query": _query(one.get("query")), "user": _text(one.get("user"), 64), "database": _text(one.get("database"), 64), "calls": _whole(one.get("calls")),
        "total_s": _scaled(one.get("ms"), 0.001), "mean_s": _scaled(_ratio(one.get("ms"), one.get("calls")), 0.001), "rows": _whole(one.get("rows")),
        "blocks_read": _whole(one.get("blks_read")), "temp_blocks": _whole(one.get("temp_blks")),
    } for one in rows[:_TOP]]


def _why_no_statements(answer: Answer) -> str | None:
    if _statements(answer) is not None:
        return None
    if "second" not in answer.parts:
        return "not measured: the server was not asked"
    if "statements_first" in answer.parts:
        return "not measured: pg_stat_statements gave no answer"
    return "not measured: pg_stat_statements is not installed in %s, or not loaded" % _text(answer.database, 64)


def _tables(first: Row, second: Row) -> list[Row] | None:
    """Large tables of the database that was asked, those of which most rows were read one after the other first."""
    if not first or not second:
        return None
    before = {_text(one.get("oid"), 20): one for one in _rows(first.get("tables"))}
    found = []
    for one in _rows(second.get("tables")):
        old = before.get(_text(one.get("oid"), 20), {})
        found.append({
            "name": _text(one.get("name"), 140), "rows": _whole(one.get("rows")), "bytes": _whole(one.get("bytes")),
            "seq_scans": _grown(old, one, "seq_scans"), "seq_rows": _grown(old, one, "seq_rows"), "index_scans": _grown(old, one, "index_scans"),
            "seq_scans_total": _whole(one.get("seq_scans")), "seq_rows_total": _whole(one.get("seq_rows")), "index_scans_total": _whole(one.get("index_scans")),
        })
    found.sort(key=lambda one: (-(one["seq_rows"] or 0), -(one["seq_rows_total"] or 0), one["name"] or ""))
    return found[:_TOP]


def _databases(first: Row, second: Row, waited_s: float | None, asked: str | None) -> list[Row] | None:
    """What databases did in the window; those without sessions and without work are left out. Our own session is not counted, its commits are."""
    if not first or not second:
        return None
    before = {_text(one.get("name"), 64): one for one in _rows(first.get("databases"))}
    found = []
    for one in _rows(second.get("databases")):
        name = _text(one.get("name"), 64)
        old = before.get(name, {})
        counters = ("commits", "rollbacks", "connections", "blks_read", "blks_hit", "temp_files", "temp_bytes", "deadlocks")
        grown = {counter: _grown(old, one, counter) for counter in counters}
        sessions = _whole(one.get("sessions"))
        sessions = sessions - 1 if sessions and name == _text(asked, 64) else sessions
        if not sessions and not grown["commits"]:
            continue
        found.append({
            "name": name, "sessions": sessions,
            "commits_per_s": _scaled(_ratio(grown["commits"], waited_s), 1.0), "rollbacks_per_s": _scaled(_ratio(grown["rollbacks"], waited_s), 1.0),
            "connections_per_s": _scaled(_ratio(grown["connections"], waited_s), 1.0),
            "cache_hit_pct": _hit_pct(grown), "temp_files": grown["temp_files"], "temp_bytes": grown["temp_bytes"], "deadlocks": grown["deadlocks"],
            "since_reset": {
                "cache_hit_pct": _hit_pct(one), "temp_files": _whole(one.get("temp_files")), "temp_bytes": _whole(one.get("temp_bytes")),
                "deadlocks": _whole(one.get("deadlocks")),
            },
        })
    found.sort(key=lambda one: (-(one["commits_per_s"] or 0.0), -(one["sessions"] or 0), one["name"] or ""))
    return found[:_TOP]


def _hit_pct(counts: Row) -> float | None:
    read, hit = _number(counts.get("blks_read")), _number(counts.get("blks_hit"))
    return None if read is None or hit is None or not read + hit else round(100.0 * hit / (read + hit), 2)


def _grown(old: Row, new: Row, name: str) -> int | None:
    """What a counter grew by; null where it was reset, or not counted before."""
    before, now = _whole(old.get(name)), _whole(new.get(name))
    return None if before is None or now is None or now < before else now - before


# values: what a server says is believed no more than a log line

def _rows(told: t.Any) -> list[Row]:
    return [one for one in told[:400] if isinstance(one, dict)] if isinstance(told, list) else []


def _number(told: t.Any) -> float | None:
    return float(told) if isinstance(told, (int, float)) and not isinstance(told, bool) and abs(told) < 1e18 and math.isfinite(told) else None


def _whole(told: t.Any) -> int | None:
    number = _number(told)
    return None if number is None or number < 0 else int(number)


def _seconds(told: t.Any) -> float | None:
    number = _number(told)
    return None if number is None else round(max(number, 0.0), 1)


def _scaled(told: t.Any, factor: float) -> float | None:
    number = _number(told)
    return None if number is None else round(max(number, 0.0) * factor, 4)


def _ratio(part: t.Any, whole: t.Any) -> float | None:
    above, below = _number(part), _number(whole)
    return None if above is None or not below else above / below


def _difference(first: Row, second: Row, name: str) -> float | None:
    before, now = _number(first.get(name)), _number(second.get(name))
    return None if before is None or now is None or now <= before else now - before


def _text(told: t.Any, limit: int) -> str | None:
    return clean(told, limit) if isinstance(told, str) and told else None


def _query(told: t.Any) -> str | None:
    return clean(_sql_text.normalise(told[:4000]), _TEXT) if isinstance(told, str) and told else None
