# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Queues of celery and of rq in a Redis database: how much waits, how much was handed out, how large messages are.

Private to oncall.pressure: no stable interface.

Names are found with a bounded scan, never with KEYS. What stands in a message never leaves this file: only its length does.
"""

from __future__ import annotations

import datetime
import re
import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._components._redis_client import Client
from ansible_collections.oncall.pressure.plugins.module_utils._host._text import clean, decode
from ansible_collections.oncall.pressure.plugins.module_utils._parse import _resp

#: kombu parts with this the priority from the name of a queue, and the parts of a binding.
_SEPARATOR = b"\x06\x16"
_BINDING = b"_kombu.binding."
_RESULT = b"celery-task-meta-"
#: kombu's own steps of priority; 0 is the bare name.
_STEPS = (b"3", b"6", b"9")

_QUEUES = 40
_NAMES = 200
#: Rounds of the scan and what one looks at: all names first, then only for bindings.
_ROUNDS, _ROUND = 3, 1000
_BINDING_ROUNDS, _BINDING_ROUND = 20, 5000
_SAMPLES = 9
_RESULTS = 20
_SIZED_KEYS = 24
_SIZED_QUEUES = 10
#: Messages whose average is above this are not read for their length.
_READ_LIMIT = 262144

#: Parts of a key's name that are identities, or secrets.
_IDENTITY = re.compile(r"[0-9a-fA-F-]{8,}|[0-9]+|[A-Za-z0-9+/=_-]{24,}")


class Queue(t.NamedTuple):
    """A queue: its lists (several where it has priorities), the prefix of all names around it."""

    kind: str
    name: str
    db: int
    lists: tuple[bytes, ...]


class Database:
    """What was found in one database."""

    def __init__(self, db: int) -> None:
        self.db = db
        self.queues: list[Queue] = []
        self.names: list[bytes] = []
        self.prefix = b""
        self.whole = False
        self.facts: dict[str, t.Any] = {
            "scanned": None, "results_seen": None, "results_sampled": None, "results_without_expiry": None, "unacked": None, "unacked_oldest_s": None,
            "workers": None, "suspended": None,
        }
        self.largest: list[dict[str, t.Any]] = []
        self.problems: list[str] = []


def integer(reply: _resp.Reply) -> int | None:
    """A reply that is a number; null of any other."""
    return reply if isinstance(reply, int) else None


def texts(reply: _resp.Reply) -> list[bytes]:
    """The texts in a reply that is a list."""
    return [item for item in reply if isinstance(item, bytes)] if isinstance(reply, list) else []


def _scanned(reply: _resp.Reply) -> tuple[bytes, list[bytes]] | None:
    """Where to go on (``0``: nowhere), and what was found; null where it was refused."""
    if not isinstance(reply, list) or len(reply) != 2 or not isinstance(reply[0], bytes):
        return None
    return reply[0], texts(reply[1])


def find(client: Client, db: int, now: float) -> Database:
    """The queues of one database and what is known of it at once."""
    found = Database(db)
    answers = client.ask(
        ("SELECT", db), ("SCAN", 0, "COUNT", _ROUND), ("SSCAN", "rq:queues", 0, "COUNT", _NAMES), ("SCARD", "rq:workers"), ("EXISTS", "rq:suspended"),
        ("LLEN", "celery"), ("HLEN", "unacked"))
    if isinstance(answers[0], _resp.Failure):
        found.problems.append("database %d: %s" % (db, clean(answers[0].text, 100)))
        return found
    refused = [answer for answer in answers if isinstance(answer, _resp.Failure) and answer.kind != "WRONGTYPE"]
    if refused:
        found.problems.append("database %d: %s" % (db, clean(refused[0].text, 100)))
    bindings = _scan(client, found, answers[1])
    rq = _scanned(answers[2])
    if rq is not None and rq[1]:
        found.facts.update(workers=integer(answers[3]), suspended=None if integer(answers[4]) is None else bool(answers[4]))
        for key in sorted(set(rq[1])):
            if key.startswith(b"rq:queue:") and len(found.queues) < _QUEUES:
                found.queues.append(Queue("rq", clean(key[9:], 120), db, (key,)))
    _celery(client, found, bindings, integer(answers[5]), integer(answers[6]))
    if any(queue.kind == "celery" for queue in found.queues):
        _unacked(client, found, now)
    _results(client, found)
    return found


def _scan(client: Client, found: Database, first: _resp.Reply) -> list[bytes]:
    """Names of keys, as many as the bounds allow; gives those of celery's bindings, for which is looked farther."""
    step = _scanned(first)
    if step is None:
        return []
    cursor, names = step
    for dummy in range(_ROUNDS - 1):
        if cursor == b"0":
            break
        step = _scanned(client.ask(("SCAN", cursor, "COUNT", _ROUND))[0])
        if step is None:
            break
        cursor = step[0]
        names += step[1]
    found.names = list(dict.fromkeys(names))
    found.whole = cursor == b"0"
    found.facts["scanned"] = len(found.names)
    bindings = [name for name in found.names if _BINDING in name]
    for dummy in range(_BINDING_ROUNDS):
        if cursor == b"0":
            break
        step = _scanned(client.ask(("SCAN", cursor, "MATCH", b"*" + _BINDING + b"*", "COUNT", _BINDING_ROUND))[0])
        if step is None:
            break
        cursor = step[0]
        bindings += step[1]
    return list(dict.fromkeys(bindings))[:_NAMES]


def _celery(client: Client, found: Database, bindings: t.Sequence[bytes], waiting: int | None, unacked: int | None) -> None:
    names: dict[bytes, None] = {}
    members = client.ask(*(("SSCAN", key, 0, "COUNT", _NAMES) for key in bindings)) if bindings else []
    for key, member in zip(bindings, members):
        step = _scanned(member)
        found.prefix = key[: key.index(_BINDING)]
        for row in step[1] if step is not None else []:
            name = row.rpartition(_SEPARATOR)[2]
            # how workers are told what to do, and what they tell of themselves, are no work
            if name and not name.endswith(b".pidbox") and not name.startswith(b"celeryev"):
                names[name] = None
    if waiting or unacked:
        names.setdefault(b"celery")
    seen: dict[bytes, set[bytes]] = {}
    for key in found.names:
        base, parted, step = key.partition(_SEPARATOR)
        if parted and step.isdigit():
            seen.setdefault(base, set()).add(step)
    for name in sorted(names)[: _QUEUES - len(found.queues)]:
        base = found.prefix + name
        steps = sorted(set(_STEPS) | seen.get(base, set()))[:12]
        found.queues.append(Queue("celery", clean(name, 120), found.db, (base, *(base + _SEPARATOR + step for step in steps))))


def _unacked(client: Client, found: Database, now: float) -> None:
    count, first = client.ask(("HLEN", found.prefix + b"unacked"), ("ZRANGE", found.prefix + b"unacked_index", 0, 0, "WITHSCORES"))
    found.facts["unacked"] = integer(count)
    pair = texts(first)
    try:
        handed_out = float(pair[1]) if len(pair) == 2 else None
    except ValueError:
        handed_out = None
    if handed_out is not None and 0 < handed_out < 1e11:
        found.facts["unacked_oldest_s"] = round(max(now - handed_out, 0.0), 1)


def _results(client: Client, found: Database) -> None:
    """Results of celery among the names seen, and how many of some of them never expire."""
    results = [name for name in found.names if _RESULT in name]
    if found.facts["scanned"] is not None:
        found.facts["results_seen"] = len(results)
    some = _spread(results, _RESULTS)
    left = [integer(reply) for reply in client.ask(*(("TTL", name) for name in some))] if some else []
    known = [seconds for seconds in left if seconds is not None and seconds != -2]
    if some:
        found.facts.update(results_sampled=len(known), results_without_expiry=sum(1 for seconds in known if seconds == -1))


def _spread(items: t.Sequence[bytes], count: int) -> list[bytes]:
    """At most so many of them, evenly from the first to the last."""
    return list(items) if len(items) <= count else [items[index * len(items) // count] for index in range(count)]


def counts(client: Client, queues: t.Sequence[Queue]) -> list[dict[str, int | None]]:
    """For each queue what waits, and of rq what its registries hold; all of one database, which is selected."""
    commands: list[t.Sequence[str | bytes]] = []
    for queue in queues:
        commands += [("LLEN", name) for name in queue.lists]
        if queue.kind == "rq":
            commands += [("ZCARD", b"rq:%s:%s" % (registry, queue.lists[0][9:])) for registry in (b"wip", b"failed", b"scheduled", b"deferred", b"finished")]
    replies = client.ask(("SELECT", queues[0].db), *commands)[1:] if queues else []
    found: list[dict[str, int | None]] = []
    for queue in queues:
        lengths = [integer(reply) for reply in replies[: len(queue.lists)]]
        replies = replies[len(queue.lists):]
        row = {"waiting": None if any(length is None for length in lengths) else sum(length or 0 for length in lengths)}
        for name in ("started", "failed", "scheduled", "deferred", "finished"):
            row[name] = integer(replies.pop(0)) if queue.kind == "rq" else None
        found.append(row)
    return found


def oldest(client: Client, queue: Queue, now: float) -> float | None:
    """How long the job that is next has waited in an rq queue, in seconds. A message of celery does not say when it was sent."""
    identity = client.ask(("LINDEX", queue.lists[0], 0), text_limit=512)[0] if queue.kind == "rq" else None
    if not isinstance(identity, bytes):
        return None
    text = client.ask(("HGET", b"rq:job:" + identity, "enqueued_at"), text_limit=512)[0]
    if not isinstance(text, bytes):
        return None
    digits = re.match(rb"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)", text)
    try:
        moment = datetime.datetime(*(int(part) for part in digits.groups()), tzinfo=datetime.timezone.utc).timestamp() if digits else None
    except ValueError:
        return None
    return None if moment is None else round(max(now - moment, 0.0), 1)


def sizes(client: Client, queue: Queue, waiting: int) -> dict[str, t.Any]:
    """Lengths of some messages of a queue: of rq as the server counts them, of celery by reading those that are not large."""
    found: dict[str, t.Any] = {"sampled": 0, "median_bytes": None, "largest_bytes": None, "average_bytes": None}
    if waiting <= 0:
        return found
    lengths: list[int] = []
    if queue.kind == "rq":
        places = sorted({index * waiting // _SAMPLES for index in range(_SAMPLES)})
        jobs = [job for job in client.ask(*(("LINDEX", queue.lists[0], place) for place in places), text_limit=512) if isinstance(job, bytes)]
        replies = client.ask(*(("HSTRLEN", b"rq:job:" + job, "data") for job in jobs)) if jobs else []
        lengths = [reply for reply in replies if isinstance(reply, int) and reply > 0]
    else:
        replies = client.ask(*(("LLEN", name) for name in queue.lists), *(("MEMORY", "USAGE", name, "SAMPLES", 5) for name in queue.lists))
        held = [(name, length, size) for name, length, size in zip(queue.lists, replies, replies[len(queue.lists):])
                if isinstance(length, int) and length > 0 and isinstance(size, int)]
        if not held:
            return found
        found["average_bytes"] = round(sum(row[2] for row in held) / sum(row[1] for row in held))
        name, length, size = max(held, key=lambda row: row[1])
        if size / length > _READ_LIMIT:
            return found
        try:
            for place in sorted({index * length // _SAMPLES for index in range(_SAMPLES)}):
                lengths += [len(text) for text in client.ask(("LINDEX", name, place), text_limit=2 * _READ_LIMIT) if isinstance(text, bytes)]
        except _resp.TooLarge as problem:
            found.update(_of(lengths + [problem.size]))
            raise Broken(found) from problem
    found.update(_of(lengths))
    return found


class Broken(Exception):
    """A message was too long to read: the conversation is over, what is known of the queue is in ``found``."""

    def __init__(self, found: dict[str, t.Any]) -> None:
        super().__init__()
        self.found = found


def _of(lengths: t.Sequence[int]) -> dict[str, t.Any]:
    ordered = sorted(lengths)
    # between two in the middle the larger one: both are lengths that were seen
    return {"sampled": len(ordered), "median_bytes": ordered[len(ordered) // 2], "largest_bytes": ordered[-1]} if ordered else {}


def measured(queues: t.Sequence[Queue], rows: t.Sequence[dict[str, t.Any]]) -> list[int]:
    """Which queues have their messages looked at: the fullest, by their index."""
    order = sorted(range(len(queues)), key=lambda index: -(rows[index]["waiting"] or 0))
    return [index for index in order if rows[index]["waiting"]][:_SIZED_QUEUES]


def largest_keys(client: Client, found: Database) -> list[dict[str, t.Any]]:
    """Some of the keys that were seen, with what each holds; identities in names are folded."""
    some = _spread(found.names, _SIZED_KEYS)
    if not some:
        return []
    replies = client.ask(
        ("SELECT", found.db), *(("MEMORY", "USAGE", name, "SAMPLES", 5) for name in some), *(("TYPE", name) for name in some))[1:]
    rows = [
        {"db": found.db, "name": clean(_IDENTITY.sub("*", decode(name[:400])), 80), "type": clean(kind, 20), "bytes": size}
        for name, size, kind in zip(some, replies, replies[len(some):]) if isinstance(size, int) and isinstance(kind, bytes)
    ]
    return sorted(rows, key=lambda row: -row["bytes"])[:3]
