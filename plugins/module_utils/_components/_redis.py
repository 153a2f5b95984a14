# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Redis: memory, clients, rates over the window, slow commands, and the queues of celery and rq in it.

Private to oncall.pressure: no stable interface. It is asked in its own protocol, only what reads and is cheap.
"""

from __future__ import annotations

import re
import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._components import _redis_queues, _redis_servers
from ansible_collections.oncall.pressure.plugins.module_utils._components._redis_client import (
    BYTES_LIMIT, Client, Connect, Login, Trouble, enter, trouble_of,
)
from ansible_collections.oncall.pressure.plugins.module_utils._components._redis_queues import Database
from ansible_collections.oncall.pressure.plugins.module_utils._components._redis_servers import Server
from ansible_collections.oncall.pressure.plugins.module_utils._host._collect import Options, Reading, absent, ok, partial
from ansible_collections.oncall.pressure.plugins.module_utils._host._dial import Line
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine
from ansible_collections.oncall.pressure.plugins.module_utils._host._text import clean, decode
from ansible_collections.oncall.pressure.plugins.module_utils._parse import _redis_info

#: The most servers that are asked, and databases of one.
_SERVERS = 8
_DATABASES = 16

#: Seconds: the first look at one server, all first looks together, the look at the end of the window at one server, all of these together.
FIRST_S, FIRST_ALL_S, LAST_S, LAST_ALL_S = 2.0, 4.0, 1.5, 2.5

#: The most servers whose trouble is told in one line.
_REASONS = 4

_SLOW = 16
_SLOWEST = 5
_COUNTERS = ("total_commands_processed", "evicted_keys", "expired_keys", "rejected_connections", "keyspace_hits", "keyspace_misses")

#: Beyond what a conversation may raise nothing is caught.
_BROKEN = (OSError, EOFError, ValueError)


class _Look:
    """One server: what is known of it, and the conversation while it is open."""

    def __init__(self, server: Server, row: dict[str, t.Any]) -> None:
        self.server = server
        self.row = row
        self.client: Client | None = None
        self.databases: list[Database] = []
        self.first: list[list[dict[str, int | None]]] = []
        self.counted_at: list[float] = []
        self.before: dict[str, int] | None = None
        self.before_at = 0.0
        self.problems: list[str] = []

    def fail(self, trouble: Trouble) -> None:
        """What could not be asked of it, and the end of the conversation."""
        if self.row["memory"] is None:
            self.row.update(status=trouble.status, answers=False if trouble.silent else None, full=True if trouble.full else None)
        self.problems.append(trouble.reason)
        self.end()

    def end(self) -> None:
        if self.client is not None:
            self.client.close()
            self.client = None


def collect(machine: Machine, options: Options) -> Reading:
    """``redis`` of the snapshot; absent where no Redis runs."""
    return measure(machine, options, Login(), Line)


def measure(machine: Machine, options: Options, login: Login, connect: Connect) -> Reading:
    """Like :func:`collect`, with what a user gave to log in, and the way to connect."""
    running = _redis_servers.servers(machine, options.daemons)
    if not running:
        return absent("no Redis server runs here")
    looks = [_Look(server, _empty(server.pid)) for server in (running if login.address else running[:_SERVERS])]
    end = machine.monotonic() + FIRST_ALL_S
    for look in looks:
        seconds = min(FIRST_S, max(round(end - machine.monotonic(), 1), 0.2))
        _guarded(look, seconds, _first, machine, look, login, seconds, connect)
    if login.address:
        looks = [look for look in looks if look.row["address"] == login.address or login.address in look.row["listens"]]
        if not looks:
            return absent("no Redis server listens to %s" % clean(login.address, 100))
    for look in looks:
        _guarded(look, LAST_S, _before, machine, look)
    if any(look.client is not None for look in looks):
        machine.sleep(options.window_s)
    end = machine.monotonic() + LAST_ALL_S
    for look in looks:
        seconds = min(LAST_S, max(round(end - machine.monotonic(), 1), 0.2))
        _guarded(look, seconds, _last, machine, look, seconds)
        look.end()
    data = {"window_s": options.window_s, "servers": [_closed(look) for look in looks]}
    problems = ["%s: %s" % (_name(look.row), "; ".join(look.problems)) for look in looks if look.problems]
    if len(problems) > _REASONS:
        problems[_REASONS:] = ["and %d more" % (len(problems) - _REASONS)]
    if len(running) > _SERVERS and not login.address:
        problems.append("only %d of %d servers are shown" % (_SERVERS, len(running)))
    if not problems:
        return ok(data)
    if all(look.row["memory"] is None for look in looks):
        status = "denied" if all(look.row["status"] == "denied" for look in looks) else "error"
        return Reading(status, "; ".join(problems), data)
    return partial(data, "; ".join(problems))


def _name(row: t.Mapping[str, t.Any]) -> str:
    return str(row["address"] or "redis with pid %d" % row["main_pid"])


def _guarded(look: _Look, seconds: float, work: t.Callable[..., None], *given: t.Any) -> None:
    """Do a part of the work on one server, which has been granted so many seconds; what goes wrong with it is its own."""
    try:
        work(*given)
    except Trouble as trouble:
        look.fail(trouble)
    except _BROKEN as problem:
        look.fail(trouble_of(problem, seconds))


def _empty(pid: int) -> dict[str, t.Any]:
    """A server of which nothing is known yet."""
    row = dict.fromkeys((
        "address", "version", "uptime_s", "role", "answers", "full", "memory", "clients", "rates", "persistence", "latency", "databases", "largest_keys",
        "queues", "reason",
    ))
    return dict(row, main_pid=pid, status="ok", listens=[])


def _closed(look: _Look) -> dict[str, t.Any]:
    """The row as it stands in the document."""
    row = look.row
    if look.problems:
        row["reason"] = clean("; ".join(look.problems), 300)
        row["status"] = "partial" if row["status"] == "ok" else row["status"]
    del row["listens"]
    return row


def _first(machine: Machine, look: _Look, login: Login, seconds: float, connect: Connect) -> None:
    """Enter, read INFO, the slow commands, and find and count the queues."""
    try:
        doors = _redis_servers.doors(machine, look.server)
    except _redis_servers.Unknown as problem:
        raise Trouble("denied", str(problem)) from problem
    look.row.update(address=clean(doors[0].name, 120), listens=[door.name for door in doors])
    if login.address:
        doors = [door for door in doors if door.name == login.address]
        if not doors:
            raise Trouble("denied", "another server was asked for")
    seen = machine.process(look.server.pid)
    if seen is not None and seen.state in ("T", "t"):
        # what would not be answered is not asked
        raise Trouble("error", "its process is stopped (SIGSTOP, or a debugger): continue it with kill -CONT %d" % look.server.pid, silent=True)
    config = None if login.password else _redis_servers.config(machine, look.server, doors)
    look.client, info = enter(machine, look.server, doors, config, login, seconds, connect)
    look.row["address"] = clean(look.client.name, 120)
    fields = _redis_info.info(decode(info))
    who = _redis_info.number(fields, "process_id")
    if not any(door.sure for door in doors) and who != look.server.pid:
        raise Trouble("error", "who answers there is another process (%s)" % who)
    look.row.update(_of_info(fields), answers=True, full=False)
    if look.row["clients"]["max"] is None:
        look.row["clients"]["max"] = _most_clients(look.client)
    look.row["latency"] = _slowest(machine, look.client)
    _queues(machine, look, fields)


def _of_info(fields: t.Mapping[str, str]) -> dict[str, t.Any]:
    number = _redis_info.number
    used, most = number(fields, "used_memory"), number(fields, "maxmemory")
    counted = None if used is None else used - (number(fields, "mem_not_counted_for_evict") or 0)
    connected = number(fields, "connected_clients")
    hits, misses = number(fields, "keyspace_hits"), number(fields, "keyspace_misses")
    return {
        "version": clean(fields.get("valkey_version") or fields.get("redis_version", ""), 40) or None,
        "uptime_s": number(fields, "uptime_in_seconds"), "role": clean(fields.get("role", ""), 20) or None,
        "memory": {
            "used_bytes": used, "rss_bytes": number(fields, "used_memory_rss"), "peak_bytes": number(fields, "used_memory_peak"),
            "limited": None if most is None else most > 0, "maxmemory_bytes": most or None, "policy": clean(fields.get("maxmemory_policy", ""), 40) or None,
            "used_pct": round(counted / most * 100, 1) if counted is not None and most else None,
            "fragmentation": _redis_info.ratio(fields, "mem_fragmentation_ratio"), "dataset_bytes": number(fields, "used_memory_dataset"),
            "clients_bytes": number(fields, "mem_clients_normal"), "lua_bytes": number(fields, "used_memory_lua", "used_memory_vm_eval"),
        },
        # one of them is ours
        "clients": {
            "connected": None if connected is None else max(connected - 1, 0), "blocked": number(fields, "blocked_clients"),
            "max": number(fields, "maxclients"), "rejected": number(fields, "rejected_connections"),
        },
        "rates": {
            "ops_per_s": None, "evicted_per_s": None, "expired_per_s": None, "rejected_per_s": None, "hit_pct": None,
            "hit_pct_since_start": round(hits / (hits + misses) * 100, 1) if hits is not None and misses is not None and hits + misses else None,
            "evicted": number(fields, "evicted_keys"),
        },
        "persistence": {
            "loading": _yes(fields, "loading"), "rdb_saving": _yes(fields, "rdb_bgsave_in_progress"), "rdb_last": _status(fields, "rdb_last_bgsave_status"),
            "aof": _yes(fields, "aof_enabled"), "aof_rewriting": _yes(fields, "aof_rewrite_in_progress"), "aof_last": _status(fields, "aof_last_write_status"),
        },
    }


def _yes(fields: t.Mapping[str, str], name: str) -> bool | None:
    return {"0": False, "1": True}.get(fields.get(name, ""))


def _status(fields: t.Mapping[str, str], name: str) -> str | None:
    return {"ok": "ok", "err": "failed"}.get(fields.get(name, ""))


def _most_clients(client: Client) -> int | None:
    """How many clients it takes, of a server that is too old (before 6.2) to say so in INFO; null where it does not tell."""
    pair = [decode(text) for text in _redis_queues.texts(client.ask(("CONFIG", "GET", "maxclients"))[0])]
    return _redis_info.number(dict(zip(pair[::2], pair[1::2])), "maxclients")


def _slowest(machine: Machine, client: Client) -> dict[str, t.Any] | None:
    """The slowest of the last slow commands: their names, never what they were given."""
    entries = client.ask(("SLOWLOG", "GET", _SLOW))[0]
    if not isinstance(entries, list):
        return None
    rows = []
    for entry in entries:
        if not isinstance(entry, list) or len(entry) < 4 or not isinstance(entry[1], int) or not isinstance(entry[2], int):
            continue
        words = _redis_queues.texts(entry[3])
        name = decode(words[0][:32]).upper() if words else ""
        age_s = machine.now() - entry[1]
        rows.append({"command": name if re.match(r"[A-Z0-9._-]{1,32}\Z", name) else None, "ms": round(entry[2] / 1000, 1), "age_s": round(max(age_s, 0.0), 1)})
    return {"slowest": sorted(rows, key=lambda row: -row["ms"])[:_SLOWEST]}


def _queues(machine: Machine, look: _Look, fields: t.Mapping[str, str]) -> None:
    client = look.client
    if client is None:
        return
    rows = []
    spaces = _redis_info.keyspace(fields)
    for db, keys in list(spaces.items())[:_DATABASES]:
        found = _redis_queues.find(client, db, machine.now())
        look.databases.append(found)
        look.problems += found.problems
        rows.append(dict(found.facts, db=db, keys=keys.keys, expires=keys.expires))
        look.first.append(_redis_queues.counts(client, found.queues))
        look.counted_at.append(machine.monotonic())
    if len(spaces) > _DATABASES:
        look.problems.append("only %d of %d databases are looked at" % (_DATABASES, len(spaces)))
    look.row["databases"] = rows


def _before(machine: Machine, look: _Look) -> None:
    """The counters at the beginning of the window, with nothing of ours asked until its end."""
    if look.client is not None:
        look.client.line.grant(LAST_S, BYTES_LIMIT)
        look.before, look.before_at = _counters(look.client), machine.monotonic()


def _counters(client: Client) -> dict[str, int] | None:
    text = client.ask(("INFO", "stats"))[0]
    if not isinstance(text, bytes):
        return None
    fields = _redis_info.info(decode(text))
    values = {name: _redis_info.number(fields, name) for name in _COUNTERS}
    return {name: value for name, value in values.items() if value is not None}


def _last(machine: Machine, look: _Look, seconds: float) -> None:
    """The counters and the queues at the end of the window, then the sizes of messages."""
    client = look.client
    if client is None:
        return
    client.line.grant(seconds, BYTES_LIMIT)
    after, at = _counters(client), machine.monotonic()
    if look.before is not None and after is not None:
        look.row["rates"].update(_rates(look.before, after, at - look.before_at))
    look.row["queues"] = rows = []
    for found, first, counted_at in zip(look.databases, look.first, look.counted_at):
        mine = _grown(found, first, _redis_queues.counts(client, found.queues), machine.monotonic() - counted_at)
        rows += mine
        for index, queue in enumerate(found.queues):
            if mine[index]["waiting"]:
                mine[index]["oldest_s"] = _redis_queues.oldest(client, queue, machine.now())
    if look.row["databases"]:
        look.row["largest_keys"] = sorted(
            (row for found in look.databases for row in _redis_queues.largest_keys(client, found)), key=lambda row: -row["bytes"])[:_SLOWEST]
    # last, since a message that is too long ends the conversation
    for found in look.databases:
        mine = [row for row in rows if row["db"] == found.db]
        for place, index in enumerate(_redis_queues.measured(found.queues, mine)):
            if not place:
                client.ask(("SELECT", found.db))
            try:
                mine[index].update(_redis_queues.sizes(client, found.queues[index], mine[index]["waiting"]))
            except _redis_queues.Broken as broken:
                mine[index].update(broken.found)
                return


def _rates(before: t.Mapping[str, int], after: t.Mapping[str, int], seconds: float) -> dict[str, float | None]:
    """What was counted in the window, per second; null where a counter is missing or was set back."""
    grown = {name: after[name] - before[name] for name in before if name in after and after[name] >= before[name]}

    def per_s(name: str, ours: int = 0) -> float | None:
        return round(max(grown[name] - ours, 0) / seconds, 2) if name in grown and seconds > 0 else None

    hits, misses = grown.get("keyspace_hits"), grown.get("keyspace_misses")
    return {
        # the first INFO of ours is counted between the two
        "ops_per_s": per_s("total_commands_processed", 1), "evicted_per_s": per_s("evicted_keys"), "expired_per_s": per_s("expired_keys"),
        "rejected_per_s": per_s("rejected_connections"),
        "hit_pct": round(hits / (hits + misses) * 100, 1) if hits is not None and misses is not None and hits + misses else None,
    }


def _grown(
    found: Database, first: t.Sequence[t.Mapping[str, int | None]], last: t.Sequence[t.Mapping[str, int | None]], seconds: float
) -> list[dict[str, t.Any]]:
    """The rows of a database's queues: as they are now, and how fast each grows."""
    celery = sum(1 for queue in found.queues if queue.kind == "celery")
    rows = []
    for queue, was, now in zip(found.queues, first, last):
        growth = None if was["waiting"] is None or now["waiting"] is None or seconds <= 0 else round((now["waiting"] - was["waiting"]) / seconds, 2)
        rows.append({
            "name": queue.name, "kind": queue.kind, "db": queue.db, "growth_per_s": growth, "oldest_s": None, **now,
            # celery keeps what was handed out for all queues of a database together
            "unacked": found.facts["unacked"] if queue.kind == "celery" and celery == 1 else None,
            "sampled": 0, "median_bytes": None, "largest_bytes": None, "average_bytes": None,
        })
    return rows
