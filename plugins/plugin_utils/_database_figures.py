# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What rules look at in a database server: who blocks most, who stays in a transaction and does nothing, how many connections are left.

Private to oncall.pressure: no stable interface. Every figure is null where something it is made of was not measured.
"""

from __future__ import annotations

import typing as t

from ansible_collections.oncall.pressure.plugins.plugin_utils._values import at, known, num, pct, ratio, rows, text

Row = t.Dict[str, t.Any]

#: Programs whose connections rest in a transaction for as long as they run, as they should.
_RESTING: t.Final = ("pg_dump", "pg_basebackup")


def database_figures(server: t.Mapping[str, t.Any]) -> Row:
    """The figures under ``derived`` of a database server: ``root``, ``idle``, ``connections``."""
    return {"root": _root(server), "idle": _idle(server), "slots": _connections(server)}


def _root(server: t.Mapping[str, t.Any]) -> Row:
    """The session that most others wait for in the end; ``blocks`` is 0 where nobody waits."""
    measured = isinstance(at(server, "roots"), list)
    found = max(rows(server, "roots"), key=lambda row: (num(row, "blocks") or 0, num(row, "longest_wait_s") or 0), default=None)
    holds = at(found, "holds")
    # of those that it holds up, the one that waits longest says what for
    waiter = next((row for row in rows(server, "blocking") if found is not None and row.get("root_pid") == found.get("pid")), None)
    return {
        "blocks": num(found, "blocks") if found is not None else (0 if measured else None),
        "longest_wait_s": num(found, "longest_wait_s") if found is not None else (0 if measured else None),
        # a transaction that was prepared has no process that could be ended
        "pid": num(found, "pid") or None, "prepared": text(found, "kind") == "prepared transaction",
        "state": text(found, "state") or text(found, "kind"), "transaction_s": num(found, "transaction_s"), "state_s": num(found, "state_s"),
        "user": text(found, "user"), "application": text(found, "application"), "database": text(found, "database"), "client": text(found, "client"),
        "query": text(found, "query"), "holds": ", ".join(str(one) for one in holds[:3]) or None if isinstance(holds, list) else None,
        "relation": text(waiter, "relation"), "waiting_query": text(waiter, "query"), "roots": len(rows(server, "roots")) if measured else None,
    }


def _idle(server: t.Mapping[str, t.Any]) -> Row:
    """Sessions idle in a transaction, those of programs that rest there by design left out."""
    measured = isinstance(at(server, "idle_in_transaction"), list)
    mine = [row for row in rows(server, "idle_in_transaction") if not (text(row, "application") or "").startswith(_RESTING)]
    mine.sort(key=lambda row: -(num(row, "state_s") or 0))
    oldest = mine[0] if mine else None
    rest = len(rows(server, "idle_in_transaction")) - len(mine)
    states = known(num(server, "sessions", "idle_in_transaction"), num(server, "sessions", "idle_in_transaction_aborted"))
    return {
        "count": max(sum(states) - rest, 0) if len(states) == 2 else None,
        "oldest_s": num(oldest, "state_s") if oldest is not None else (0 if measured else None),
        # only ten are listed: so many that many of them are no accident
        "tenth_s": num(mine[9], "state_s") if len(mine) > 9 else (0 if measured else None),
        # how much of all sessions they are
        "share": ratio(sum(states), num(server, "sessions", "total")) if len(states) == 2 else None,
        "pid": num(oldest, "pid"), "user": text(oldest, "user"), "application": text(oldest, "application"), "database": text(oldest, "database"),
        "client": text(oldest, "client"), "query": text(oldest, "query"), "transaction_s": num(oldest, "transaction_s"),
    }


def _connections(server: t.Mapping[str, t.Any]) -> Row:
    total, usable = num(server, "sessions", "total"), num(server, "usable")
    largest = max(rows(server, "by_application"), key=lambda row: num(row, "sessions") or 0, default=None)
    user = max(rows(server, "by_user"), key=lambda row: num(row, "sessions") or 0, default=None)
    return {
        "used": total, "usable": usable, "used_pct": pct(total, usable), "idle": num(server, "sessions", "idle"),
        "idle_pct": pct(num(server, "sessions", "idle"), total), "application": text(largest, "name"), "application_sessions": num(largest, "sessions"),
        "user": text(user, "name"), "user_sessions": num(user, "sessions"),
    }


def service_of(server: t.Mapping[str, t.Any], services: t.Sequence[Row]) -> Row | None:
    """The service of a server: the one whose main process it is, else the only one of its kind."""
    if server.get("main_pid") is None and server.get("address"):
        # it runs elsewhere
        return None
    mine = [row for row in services if row.get("component") == "postgres"]
    return next((row for row in mine if row.get("main_pid") == server.get("main_pid")), None) or (mine[0] if len(mine) == 1 else None)
