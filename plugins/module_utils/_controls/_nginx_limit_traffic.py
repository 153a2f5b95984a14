# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How fast clients ask, by the access logs, and the rate that all but the busiest keep within.

Private to oncall.pressure: no stable interface. It never travels in the undo program.

Requests are counted per client in slots of ten seconds. With P the most requests of any other client in one slot, a rate of 1.2 P / 10 s and a burst of 2 P
would have refused none of them: at the end of a slot at most P are open, so within one at most 2 P.
"""

from __future__ import annotations

import math
import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._components import _nginx
from ansible_collections.oncall.pressure.plugins.module_utils._components._nginx_files import Master
from ansible_collections.oncall.pressure.plugins.module_utils._controls import _nginx_limit_clients
from ansible_collections.oncall.pressure.plugins.module_utils._controls._nginx_limit_text import Path, target_path
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine
from ansible_collections.oncall.pressure.plugins.module_utils._parse._addresses import Network
from ansible_collections.oncall.pressure.plugins.module_utils._parse._log_format import epoch
from ansible_collections.oncall.pressure.plugins.module_utils._parse._traffic import Tally

SLOT_S: t.Final = 10.0
WINDOW_S: t.Final = 600.0

_BYTES_LIMIT = 33554432
_SECONDS_LIMIT = 8.0
_SLOTS_LIMIT = 200000
_TARGETS_LIMIT = 20000

#: What is added to what the busiest other client needs.
_MARGIN = 1.2

#: A burst that is smaller takes a browser that asks for several things at once for an attack.
_BURST_LEAST = 5

#: An address that speaks for so many others is a proxy.
PROXY_FORWARDS: t.Final = 10


class Slots(Tally):
    """A tally that also counts the requests to one path (null: all), per client and slot."""

    def __init__(self, path: Path | None) -> None:
        super().__init__(1)
        self.path = path
        self.slots: dict[tuple[bytes, int], int] = {}
        self.asked: dict[bytes, int] = {}
        self.full = False
        self._meant: dict[bytes, bool] = {}
        self._moments: dict[bytes, int] = {}

    def _count(self, columns: dict[str, tuple[bytes, ...]], requests: int, size: int, detailed: bool) -> None:
        super()._count(columns, requests, size, detailed)
        if not {"client", "time", "path"} <= set(columns):
            return
        for client, target, moment in zip(columns["client"], columns["path"], columns["time"]):
            if self.path is not None and not self._is_meant(target):
                continue
            place = (client, self._slot(moment))
            if place not in self.slots and len(self.slots) >= _SLOTS_LIMIT:
                self.full = True
                continue
            self.slots[place] = self.slots.get(place, 0) + 1
            self.asked[client] = self.asked.get(client, 0) + 1

    def _is_meant(self, target: bytes) -> bool:
        known = self._meant.get(target)
        if known is None:
            if len(self._meant) >= _TARGETS_LIMIT:
                self._meant.clear()
            known = self._meant[target] = self.path is not None and self.path.holds(target_path(self.shown(target)))
        return known

    def _slot(self, moment: bytes) -> int:
        slot = self._moments.get(moment)
        if slot is None:
            if len(self._moments) >= _TARGETS_LIMIT:
                self._moments.clear()
            slot = self._moments[moment] = int((epoch(moment) or 0.0) // SLOT_S)
        return slot


class Client(t.NamedTuple):
    """One address: its requests to the path, the most of them in one slot, and what it is: "" for a client, kept, proxy or unknown."""

    address: str
    requests: int
    most: int
    kind: str


class Traffic(t.NamedTuple):
    """covered_s: seconds of the window that were read (null: no log told any); requests: to the path; clients: the busiest first;
    problems: what was not read."""

    covered_s: float | None
    requests: int
    clients: list[Client]
    problems: list[str]


def measure(machine: Machine, master: Master, path: Path | None, keep: t.Sequence[Network], window_s: float = WINDOW_S) -> Traffic:
    """Who asked for the path in the last seconds, and how fast."""
    tally = Slots(path)
    covered, problems = _nginx.read_into(machine, master, tally, window_s, _BYTES_LIMIT, _SECONDS_LIMIT)
    if tally.full:
        problems.append("too many clients for every one of them to be counted")
    most: dict[bytes, int] = {}
    for (client, dummy), count in tally.slots.items():
        most[client] = max(most.get(client, 0), count)
    rows = [
        Client(client.decode("ascii", "backslashreplace"), tally.asked[client], most[client], _kind(client, tally, keep))
        for client in sorted(most, key=lambda one: (-tally.asked[one], one))
    ]
    return Traffic(covered, sum(row.requests for row in rows), rows, problems)


def _kind(client: bytes, tally: Tally, keep: t.Sequence[Network]) -> str:
    try:
        network = _nginx_limit_clients.network_of(client.decode("ascii", "backslashreplace"))
    except _nginx_limit_clients.BadAddress:
        return "unknown"
    if tally.forwards_for(client) >= PROXY_FORWARDS:
        return "proxy"
    return "kept" if _nginx_limit_clients.within(network, keep) is not None else ""


def is_meant(client: Client, clients: t.Sequence[Network]) -> bool:
    """Whether an address is one of those that the limit is for."""
    try:
        network = _nginx_limit_clients.network_of(client.address)
    except _nginx_limit_clients.BadAddress:
        return False
    return _nginx_limit_clients.within(network, clients) is not None


class Proposal(t.NamedTuple):
    """Rate and burst, what every other client needs, the sum with its numbers, who would be limited, and why it would not do ("" where it would)."""

    rate_per_s: int
    burst: int
    need: int
    formula: str
    busiest: Client | None
    why_not: str


def propose(traffic: Traffic, clients: t.Sequence[Network] | None) -> Proposal:
    """The rate that no other client than the one that is meant (where none is named: the busiest) has ever needed more than, in the window."""
    real = [client for client in traffic.clients if not client.kind]
    aimed = [client for client in real if is_meant(client, clients)] if clients is not None else sorted(real, key=lambda one: -one.most)[:1]
    others = [client for client in real if client not in aimed]
    busiest = max(aimed, key=lambda one: one.most, default=None)
    need = max((client.most for client in others), default=0)
    rate = max(math.ceil(_MARGIN * need / SLOT_S), 1)
    burst = max(2 * need, _BURST_LEAST)
    formula = "max(1, ceil(%g x %d requests of the busiest other of %d clients in any %d s / %d s)) = %d/s, burst 2 x %d, at least %d = %d" % (
        _MARGIN, need, len(others), SLOT_S, SLOT_S, rate, need, _BURST_LEAST, burst)
    why_not = ""
    if busiest is None:
        why_not = "nobody that could be limited asked for it in the last %d s" % WINDOW_S
    elif busiest.most <= rate * SLOT_S:
        why_not = (
            "the busiest client, %s, asked for it %d times in its busiest %d s, and others ask as fast: a limit per client that spares them (%d/s)"
            " would not limit it") % (
            busiest.address, busiest.most, SLOT_S, rate)
    return Proposal(rate, burst, need, formula, busiest, why_not)
