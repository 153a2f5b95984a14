# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Work that is done twice by two hosts: schedulers of one application on each, a worker that nobody declared beside another host's, two of one name.

Private to oncall.pressure: no stable interface. Pure.

Several workers of one queue on several hosts are as it should be. Told is what is not: of one application, through one broker that is the same one from
wherever it is named. ``localhost`` is not, nor what a container calls its neighbour.
"""

from __future__ import annotations

import re
import typing as t
import urllib.parse

from ansible_collections.oncall.pressure.plugins.plugin_utils._documents import Loaded
from ansible_collections.oncall.pressure.plugins.plugin_utils._duplicate_figures import CONTAINERS, UNDECLARED, locked, queues_of
from ansible_collections.oncall.pressure.plugins.plugin_utils._values import at, num, rows, text

Row = t.Mapping[str, t.Any]

_PLACES = 20
_TOLD = 10

_URL = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]{0,30})://(?P<host>[A-Za-z0-9][A-Za-z0-9._-]{0,252}|\[[0-9A-Fa-f:.]{2,45}\])(?::(?P<port>[0-9]{1,5}))?"
                  r"(?:/(?P<path>[^\s,;]*))?\Z")

#: What a transport is called: the kind of server, and the port where none is named.
_KINDS = {
    "redis": ("redis", "6379"), "rediss": ("redis", "6379"), "valkey": ("redis", "6379"), "valkeys": ("redis", "6379"),
    "amqp": ("amqp", "5672"), "pyamqp": ("amqp", "5672"), "librabbitmq": ("amqp", "5672"), "amqps": ("amqp", "5671"),
}

#: Each host means itself by these, or something that is beside it alone.
_HERE = re.compile(r"(?:localhost(?:\.localdomain)?|[a-z-]*ip6?-localhost|127\.[\d.]+|0\.0\.0\.0|169\.254\.[\d.]+|\[(?:::1?|::ffff:127\..*|fe80:.*)\]"
                   r"|[a-z]+\.(?:docker|containers)\.internal)\Z", re.IGNORECASE)
_ADDRESS = re.compile(r"[\d.]+\Z|\[")


class _One(t.NamedTuple):
    """A service of one host."""

    host: str
    id: str
    name: str
    row: Row


def shared_work(loaded: t.Sequence[Loaded]) -> list[dict[str, t.Any]]:
    """``shared_work`` of ``diagnosis.json``: schedulers first, then those on the most hosts."""
    known: dict[tuple[str, str, str], list[_One]] = {}
    seen: set[t.Any] = set()
    for snapshot in loaded:
        document = snapshot.document or {}
        for row in rows(document, "services"):
            identity, where = text(row, "id"), broker(row)
            if row.get("state") != "running" or row.get("component") not in ("celery", "rq") or identity is None or where is None:
                continue
            # one machine that has two names in the inventory does it once
            process = (text(document, "taken", "boot_id"), text(document, "host", "hostname"), identity, num(row, "main_pid"))
            if None in process[:2] or process not in seen:
                seen.add(process)
                one = _One(snapshot.host, identity, text(row, "name") or identity, row)
                known.setdefault((str(row["component"]), text(row, "settings", "identity", "app") or "", where), []).append(one)
    found = [row for key in sorted(known) for row in (_schedulers(key, known[key]), *_consumers(key, known[key])) if row is not None]
    return sorted(found, key=lambda row: (row["kind"] != "schedulers", -row["count"]))[:_TOLD]


def broker(service: Row) -> str | None:
    """``KIND://HOST:PORT/DATABASE`` of a service, in the same words however it is spelt; null where it may be another one on another host."""
    found = _URL.match(text(service, "settings", "identity", "broker") or "")
    if found is None or found.group("scheme") not in _KINDS:
        return None
    kind, port = _KINDS[found.group("scheme")]
    host = found.group("host").lower().rstrip(".")
    # names of neighbours and addresses of bridges are given anew on each host
    if _HERE.match(host) or (service.get("manager") in CONTAINERS and ("." not in host or _ADDRESS.match(host))):
        return None
    path = urllib.parse.unquote(found.group("path") or "").strip("/")
    return "%s://%s:%d/%s" % (kind, host, int(found.group("port") or port), path or ("0" if kind == "redis" else ""))


def _schedulers(key: tuple[str, str, str], services: t.Sequence[_One]) -> dict[str, t.Any] | None:
    beats = [one for one in services if at(one.row, "settings", "identity", "beat") is True and not locked(one.row)]
    return _row("schedulers", key, beats) if key[0] == "celery" and key[1] and len({one.host for one in beats}) > 1 else None


def _consumers(key: tuple[str, str, str], services: t.Sequence[_One]) -> list[dict[str, t.Any]]:
    """Undeclared workers with those of other hosts that take from the same queues; workers of one whole name."""
    workers = [one for one in services if one.row.get("role") == "worker" and queues_of(one.row)]
    found = []
    for stray in (one for one in workers if one.row.get("manager") in UNDECLARED):
        beside = [one for one in workers if one.row.get("manager") not in UNDECLARED and queues_of(one.row) & queues_of(stray.row)]
        # beside one of its own host that host's verdict says it
        if beside and all(one.host != stray.host for one in beside):
            common = sorted(queues_of(stray.row) & set().union(*(queues_of(one.row) for one in beside)))
            found.append(_row("undeclared", key, [stray, *beside], common))
    named: dict[str, list[_One]] = {}
    for one in workers:
        node = text(one.row, "settings", "identity", "node") or ""
        # without a host of its own in it a name is the same on every host; celery puts one behind a name that has no @
        if one.row.get("component") == "celery" and "@" in node and "%h" not in node:
            named.setdefault(node, []).append(one)
    found += [_row("one_name", key, same, node=node) for node, same in sorted(named.items()) if len({one.host for one in same}) > 1]
    return found


def _row(kind: str, key: tuple[str, str, str], places: t.Sequence[_One], queues: t.Sequence[str] = (), node: str | None = None) -> dict[str, t.Any]:
    return {
        "kind": kind, "component": key[0], "app": key[1] or None, "broker": key[2], "count": len({one.host for one in places}),
        "places": [{"host": one.host, "service": one.id, "name": one.name} for one in places][:_PLACES], "queues": list(queues)[:10], "node": node,
    }


def tell(hosts: t.Mapping[str, dict[str, t.Any]], shared: t.Sequence[t.Mapping[str, t.Any]]) -> None:
    """Say it in the verdicts that are about work of such a service."""
    for row in shared:
        for place in row["places"]:
            for verdict in rows(hosts.get(place["host"]), "verdicts"):
                if verdict.get("cause") == "jobs" and verdict.get("service") == place["service"]:
                    verdict["evidence"] = [*verdict["evidence"], sentence_of(row)]
                    verdict["missing"] = [words for words in verdict["missing"]
                                          if words != {"schedulers": "schedulers on other hosts"}.get(row["kind"], "workers on other hosts")]


def sentence_of(row: t.Mapping[str, t.Any]) -> str:
    """``2 hosts schedule the tasks of shop through redis://cache:6379/0: beat.service on web-1, beat.service on web-2``"""
    places = ["%s on %s" % (place["name"], place["host"]) for place in row["places"]]
    listed = ", ".join(places[:5]) + (" and %d more" % (len(places) - 5) if len(places) > 5 else "")
    where = "through %s" % row["broker"]
    if row["kind"] == "schedulers":
        return "%d hosts schedule the tasks of %s %s, each of them once: %s" % (row["count"], row["app"], where, listed)
    if row["kind"] == "undeclared":
        return "%s, which no unit, container or supervisor runs, takes from %s %s beside %s" % (
            places[0], ", ".join(row["queues"]) or "the same queues", where, ", ".join(places[1:5]) + (" and more" if len(places) > 5 else ""))
    return "workers of %d hosts are all called %s %s: %s" % (row["count"], row["node"], where, listed)
