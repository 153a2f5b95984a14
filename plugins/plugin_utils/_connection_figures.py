# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What rules look at in the connections of a service: who waits at its door, and what it is connected to.

Private to oncall.pressure: no stable interface. Every figure is null where something it is made of was not measured.
"""

from __future__ import annotations

import typing as t

from ansible_collections.oncall.pressure.plugins.plugin_utils._values import at, num, ratio, rows, text

#: Ports of databases, caches, brokers and poolers: connections there are kept open whether anybody waits or not.
_KEPT = (3306, 5432, 5433, 5671, 5672, 6379, 6380, 6432, 11211, 27017)


def connection_figures(service: t.Mapping[str, t.Any], snapshot: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """The figures under ``derived.connections`` of a service."""
    identity = service.get("id")
    whole = isinstance(at(snapshot, "connections"), dict)
    listeners = [row for row in rows(snapshot, "connections", "listeners") if row.get("service") == identity] if whole else []
    mine = [row for row in rows(snapshot, "connections", "services") if row.get("service") == identity] if whole else []
    # Without privileges, whose a socket is cannot be seen: that nothing was found says nothing.
    found: bool | None = True if listeners or mine else (False if whole and num(snapshot, "tool", "euid") in (0, None) else None)
    listens: bool | None = bool(listeners) if found else found
    fullest = max(listeners, key=lambda row: (ratio(num(row, "waiting"), num(row, "backlog")) or 0.0, num(row, "waiting") or 0), default=None)
    waiting = sum(num(row, "waiting") or 0 for row in listeners) if listeners else None
    capacity = _sum(mine, "capacity")
    peers = sorted((peer for row in mine for peer in rows(row, "peers") if num(peer, "port") not in _KEPT), key=lambda peer: -(num(peer, "sockets") or 0))
    connecting = sorted((peer for row in mine for peer in rows(row, "peers")), key=lambda peer: -(num(peer, "connecting") or 0))
    outbound = _sum(mine, "outbound") if mine else (0 if found else None)
    sockets = (num(peers[0], "sockets") if peers else 0) if found else None
    close_wait = _sum(mine, "close_wait") if mine else (0 if found else None)
    return {
        "owned": found,
        "listens": listens,
        "waiting": waiting,
        "backlog": num(fullest, "backlog"),
        # Where nobody waits a queue is empty, however long it may be.
        "full_pct": 0.0 if waiting == 0 else _pct(fullest),
        "place": _place(fullest) if fullest is not None else None,
        "turns": ratio(waiting, capacity),
        "capacity": capacity,
        "inbound": sum(num(row, "established") or 0 for row in listeners) if listeners else None,
        "peer": _place(peers[0]) if peers else None,
        "peer_sockets": sockets,
        "peer_share": ratio(sockets, outbound) if outbound else (0.0 if found else None),
        "peer_per_worker": ratio(sockets, num(service, "worker_summary", "count")),
        "connecting": _sum(mine, "connecting") if mine else (0 if found else None),
        "connecting_to": _place(connecting[0]) if connecting and num(connecting[0], "connecting") else None,
        "sockets": _sum(mine, "sockets"),
        "close_wait": close_wait,
        "close_wait_share": ratio(close_wait, _sum(mine, "sockets")) if close_wait else close_wait,
    }


def _sum(found: t.Sequence[t.Mapping[str, t.Any]], name: str) -> float | None:
    values = [value for value in (num(row, name) for row in found) if value is not None]
    return sum(values) if values else None


def _pct(listener: t.Mapping[str, t.Any] | None) -> float | None:
    share = ratio(num(listener, "waiting"), num(listener, "backlog"))
    return None if share is None else min(share * 100, 100.0)


def _place(row: t.Mapping[str, t.Any]) -> str:
    """``10.0.0.5:443``, ``[2001:db8::1]:443``, or the path of a unix socket."""
    address, port = text(row, "address") or "?", num(row, "port")
    if port is None:
        return address
    return "%s:%d" % ("[%s]" % address if ":" in address else address, port)
