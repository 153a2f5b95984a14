# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a PostgreSQL server (13 and newer) is asked, and how: each statement answers with one JSON object in one line.

Private to oncall.pressure: no stable interface.

Asked as the database's owner, who is a superuser: nothing but built-in objects may be used, since any other may be an application's or a
stranger's code. The search path is therefore pg_catalog alone, and no relation or function of users is ever read or called; the one exception,
the function of pg_stat_statements, is used only where it is the extension's own, written in C.
"""

from __future__ import annotations

import typing as t

#: The most bytes of a query that leave the server.
_TEXT = 2000

#: A table of fewer rows is read whole without harm.
LARGE_ROWS = 10000

_WAITERS = 200
_HOLDERS = 50

# What is asked leaves no traces in logs and statistics, as far as the role may say so. A database may have its sessions begin in another role.
_QUIET: t.Final = "SET ROLE NONE; SET log_min_duration_statement = -1; SET log_statement = 'none'; SET pg_stat_statements.track = 'none'"

# The same of a role that may be anybody: what it may not set stays as it is, without an error.
_QUIET_IF_ALLOWED: t.Final = (
    "SELECT count(set_config(s.name, s.value, false)) FROM (VALUES ('log_min_duration_statement', '-1'), ('log_statement', 'none'),"
    " ('pg_stat_statements.track', 'none')) s(name, value) WHERE current_setting('is_superuser') = 'on'"
)

_SESSION: t.Final = (
    "pid, usename AS user, datname AS database, application_name AS application, coalesce(host(client_addr), 'local') AS client, state,"
    " extract(epoch FROM clock_timestamp() - state_change)::float8 AS state_s,"
    " CASE WHEN state = 'active' THEN extract(epoch FROM clock_timestamp() - query_start)::float8 END AS query_s,"
    " extract(epoch FROM clock_timestamp() - xact_start)::float8 AS transaction_s,"
    " wait_event_type, wait_event, left(query, %d) AS query" % _TEXT
)

# What kind of process another's is, is not told to a role that may not see it: those of a database are counted as clients, and said to be hidden.
_CLIENTS: t.Final = (
    "SELECT %s FROM pg_stat_activity WHERE (backend_type = 'client backend' OR backend_type IS NULL AND datid IS NOT NULL)"
    " AND pid <> pg_backend_pid()" % _SESSION
)

_GROUPS: t.Final = (
    "(SELECT json_agg(g) FROM (SELECT %s AS name, count(*) AS sessions, count(*) FILTER (WHERE state = 'active') AS active,"
    " count(*) FILTER (WHERE state LIKE 'idle in transaction%%') AS idle_in_transaction FROM s GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 10) g)"
)

_NOW: t.Final = (
    "WITH s AS MATERIALIZED (" + _CLIENTS + ") SELECT json_build_object('part', 'now', 'version', current_setting('server_version'),"
    " 'role', current_user, 'database', current_database(), 'recovery', pg_is_in_recovery(),"
    " 'up_s', extract(epoch FROM clock_timestamp() - pg_postmaster_start_time())::float8,"
    " 'max_connections', current_setting('max_connections')::int,"
    " 'reserved', current_setting('superuser_reserved_connections')::int + coalesce(current_setting('reserved_connections', true)::int, 0),"
    " 'hidden', (SELECT count(*) FROM s WHERE query = '<insufficient privilege>'),"
    " 'sessions', (SELECT json_build_object('total', count(*), 'active', count(*) FILTER (WHERE state = 'active'),"
    " 'idle', count(*) FILTER (WHERE state = 'idle'), 'idle_in_transaction', count(*) FILTER (WHERE state = 'idle in transaction'),"
    " 'idle_in_transaction_aborted', count(*) FILTER (WHERE state = 'idle in transaction (aborted)'),"
    " 'waiting', count(*) FILTER (WHERE state = 'active' AND wait_event_type = 'Lock'),"
    " 'oldest_transaction_s', max(transaction_s), 'oldest_idle_in_transaction_s', max(state_s) FILTER (WHERE state LIKE 'idle in transaction%')) FROM s),"
    " 'by_application', " + _GROUPS % "application" + ", 'by_user', " + _GROUPS % '"user"' + ","
    " 'longest', (SELECT json_agg(l) FROM (SELECT * FROM s WHERE state <> 'idle'"
    " ORDER BY coalesce(transaction_s, query_s) DESC NULLS LAST, pid LIMIT 10) l),"
    " 'idle_in_transaction', (SELECT json_agg(l) FROM (SELECT * FROM s WHERE state LIKE 'idle in transaction%'"
    " ORDER BY state_s DESC NULLS LAST, pid LIMIT 10) l))"
)

# Names of relations are known in the database that is asked and for what all databases share.
_RELATION: t.Final = (
    "CASE WHEN %s IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))"
    " THEN (SELECT n.nspname || '.' || c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = %s) END"
)

# pg_locks is read once, and only where somebody waits. Who waits behind the first for a row waits for its tuple, or its transaction:
# the relation is then told by the lock on the tuple that it holds meanwhile.
_LOCKS: t.Final = (
    "WITH s AS MATERIALIZED (" + _CLIENTS + "),"
    " w AS MATERIALIZED (SELECT pid, pg_blocking_pids(pid) AS by, query_s, \"user\", application, database, left(query, 600) AS query"
    " FROM s WHERE wait_event_type = 'Lock' ORDER BY query_s DESC NULLS LAST, pid LIMIT " + str(_WAITERS) + "),"
    " b AS MATERIALIZED (SELECT DISTINCT unnest(by) AS pid FROM w),"
    " l AS MATERIALIZED (SELECT * FROM pg_locks WHERE pid IN (SELECT pid FROM w UNION SELECT pid FROM b))"
    " SELECT json_build_object('part', 'locks', 'waiters', CASE WHEN EXISTS (SELECT FROM w) THEN (SELECT json_agg(r) FROM (SELECT w.*,"
    " x.locktype, x.mode, @waited@ AS waited_s, coalesce(x.relation, y.relation) AS relation_oid, " + _RELATION % (
        "coalesce(x.database, y.database)", "coalesce(x.relation, y.relation)") + " AS relation FROM w"
    " LEFT JOIN LATERAL (SELECT * FROM l WHERE l.pid = w.pid AND NOT l.granted LIMIT 1) x ON true"
    " LEFT JOIN LATERAL (SELECT * FROM l WHERE l.pid = w.pid AND l.granted AND l.locktype = 'tuple' LIMIT 1) y ON true) r) END,"
    " 'holders', CASE WHEN EXISTS (SELECT FROM w) THEN (SELECT json_agg(r) FROM (SELECT h.*, (SELECT json_agg(k) FROM (SELECT l.mode, " + _RELATION % (
        "l.database", "l.relation") + " AS relation FROM l JOIN pg_class c ON c.oid = l.relation AND c.relkind IN ('r', 'p', 'm')"
    " WHERE l.pid = h.pid AND l.granted AND l.locktype = 'relation' AND l.mode <> 'AccessShareLock' AND c.relnamespace <> 11"
    " ORDER BY length(l.mode) = length('RowShareLock'), l.relation LIMIT 5) k) AS holds FROM (SELECT backend_type, " + _SESSION +
    " FROM pg_stat_activity WHERE pid IN (SELECT pid FROM b EXCEPT SELECT pid FROM w) LIMIT " + str(_HOLDERS) + ") h) r) END)"
)

# How many connections there were at all, is counted from 14 on.
# Of partitions and tables alone; pg_stat_user_tables would join what is not needed. Nothing here takes a lock on a table.
_SAMPLE: t.Final = (
    "SELECT json_build_object('part', '@part@', 'at_s', extract(epoch FROM clock_timestamp())::float8,"
    " 'databases', (SELECT json_agg(d) FROM (SELECT datname AS name, numbackends AS sessions, xact_commit AS commits, xact_rollback AS rollbacks,"
    " (to_json(pg_stat_database)->>'sessions')::bigint AS connections,"
    " blks_read, blks_hit, temp_files, temp_bytes, deadlocks FROM pg_stat_database WHERE datname IS NOT NULL"
    " ORDER BY xact_commit + xact_rollback DESC, datid LIMIT 30) d),"
    " 'tables', (SELECT json_agg(x) FROM (SELECT c.oid, n.nspname || '.' || c.relname AS name, pg_stat_get_live_tuples(c.oid) AS rows,"
    " c.relpages::bigint * current_setting('block_size')::bigint AS bytes,"
    " pg_stat_get_numscans(c.oid) AS seq_scans, pg_stat_get_tuples_returned(c.oid) AS seq_rows,"
    " (SELECT coalesce(sum(pg_stat_get_numscans(i.indexrelid)), 0) FROM pg_index i WHERE i.indrelid = c.oid) AS index_scans"
    " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'm') AND n.nspname !~ '^(pg_|information_schema$)'"
    " AND greatest(c.reltuples, pg_stat_get_live_tuples(c.oid)) >= " + str(LARGE_ROWS) +
    " ORDER BY pg_stat_get_tuples_returned(c.oid) DESC, c.oid LIMIT 100) x))"
)

# The extension's own function, by the file that holds it; a table or function of the same name may be anybody's.
_EXTENSION: t.Final = (
    "(SELECT n.nspname FROM pg_extension e"
    " JOIN pg_depend d ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid AND d.deptype = 'e' AND d.classid = 'pg_proc'::regclass"
    " JOIN pg_proc p ON p.oid = d.objid JOIN pg_language g ON g.oid = p.prolang JOIN pg_namespace n ON n.oid = p.pronamespace"
    " WHERE e.extname = 'pg_stat_statements' AND p.proname = 'pg_stat_statements' AND p.proargtypes = '16'::oidvector"
    " AND g.lanname = 'c' AND p.probin = '$libdir/pg_stat_statements') f"
)

# Where the function lies is known to the server only, and query_to_xml is the one built-in way to have it build a query.
# The first count stays in the server, in a setting of this session: five thousand rows need not travel twice.
_COUNTED: t.Final = (
    "SELECT userid, dbid, queryid, sum(calls)::bigint AS calls, sum(total_exec_time) AS ms, sum(rows)::bigint AS rows,"
    " sum(shared_blks_read)::bigint AS blks_read, sum(temp_blks_written)::bigint AS temp_blks FROM %1$I.pg_stat_statements(false) GROUP BY 1, 2, 3"
)

_STATEMENTS_FIRST: t.Final = (
    "SELECT json_build_object('part', 'statements_first', 'found', length(set_config('oncall_pressure.first', split_part(split_part("
    "query_to_xml(format($q$SELECT json_agg(json_build_array(userid, dbid, queryid, calls, ms, rows, blks_read, temp_blks)) AS h FROM ("
    + _COUNTED + ") c$q$, f.nspname), false, true, '')::text, '<h>', 2), '</h>', 1), false)) > 0) FROM " + _EXTENSION
)

_STATEMENTS: t.Final = (
    "SELECT json_build_object('part', 'statements', 'hex', split_part(split_part(query_to_xml(format($q$"
    "SELECT encode(convert_to(json_agg(r)::text, 'UTF8'), 'hex') AS h FROM (SELECT u.rolname AS \"user\", b.datname AS database, d.*, ("
    "SELECT left(q.query, " + str(_TEXT) + ") FROM %1$I.pg_stat_statements(true) q"
    " WHERE q.userid = d.userid AND q.dbid = d.dbid AND q.queryid = d.queryid LIMIT 1) AS query FROM ("
    "SELECT userid, dbid, queryid, c.calls - coalesce(o.calls, 0) AS calls, c.ms - coalesce(o.ms, 0) AS ms, c.rows - coalesce(o.rows, 0) AS rows,"
    " c.blks_read - coalesce(o.blks_read, 0) AS blks_read, c.temp_blks - coalesce(o.temp_blks, 0) AS temp_blks FROM (" + _COUNTED + ") c"
    " LEFT JOIN (SELECT (e->>0)::oid AS userid, (e->>1)::oid AS dbid, (e->>2)::bigint AS queryid, (e->>3)::bigint AS calls, (e->>4)::float8 AS ms,"
    " (e->>5)::bigint AS rows, (e->>6)::bigint AS blks_read, (e->>7)::bigint AS temp_blks"
    " FROM json_array_elements(nullif(current_setting('oncall_pressure.first', true), '')::json) e) o"
    " USING (userid, dbid, queryid) WHERE c.calls > coalesce(o.calls, 0) ORDER BY 5 DESC, 4 DESC LIMIT 10) d"
    " LEFT JOIN pg_roles u ON u.oid = d.userid LEFT JOIN pg_database b ON b.oid = d.dbid) r$q$, f.nspname), false, true, '')::text, '<h>', 2), '</h>', 1))"
    " FROM " + _EXTENSION
)


def statements(version: int | None, window_s: float, limit_s: float) -> list[str]:
    """What is asked in one session, in this order; ``limit_s`` holds for each, but for the wait between the two samples.

    ``version``: null where it is not known and the role may be anybody.
    """
    waited = "extract(epoch FROM clock_timestamp() - x.waitstart)::float8" if version is not None and version >= 14 else "NULL::float8"
    if version is None:
        # a column that 13 does not have
        waited = "extract(epoch FROM clock_timestamp() - (to_json(x)->>'waitstart')::timestamptz)::float8"
    asked = ["SET ROLE NONE", _QUIET_IF_ALLOWED] if version is None else [_QUIET]
    asked += [_NOW, _LOCKS.replace("@waited@", waited)]
    if window_s > 0:
        asked += [_SAMPLE.replace("@part@", "first"), _STATEMENTS_FIRST]
        patient, usual = ("SET statement_timeout = %d" % (seconds * 1000) for seconds in (window_s + limit_s, limit_s))
        asked += [patient, "SELECT pg_sleep(%g)" % window_s, usual]
        asked += [_SAMPLE.replace("@part@", "second"), _STATEMENTS]
    return asked


def options(version: int | None, limit_s: float) -> str:
    """PGOPTIONS: bounds, nothing but built-in names, nothing changed, and none of the application's code at login (event triggers, 17 and newer,
    which only a superuser may turn off: not where ``version`` is null)."""
    found = {
        "search_path": "pg_catalog", "statement_timeout": "%d" % (limit_s * 1000), "lock_timeout": "500", "default_transaction_read_only": "on",
        "jit": "off", "max_parallel_workers_per_gather": "0",
    }
    if version is not None and version >= 17:
        found["event_triggers"] = "off"
    return " ".join("-c %s=%s" % item for item in found.items())
