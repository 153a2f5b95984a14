# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tally requests from blocks of log lines in bounded memory: who, what, with which answer.

Private to oncall.pressure: no stable interface. Pure.

Every line is counted (client, path). What is dearer (who asks for what, statuses, bytes, times) is taken from
every n-th block where there is much to read; ``detail_share`` says of which share of the requests, 1.0 is all of them.
"""

from __future__ import annotations

import heapq
import json
import typing as t
from collections import Counter

from ansible_collections.oncall.pressure.plugins.module_utils._parse._heavy_hitters import HeavyHitters
from ansible_collections.oncall.pressure.plugins.module_utils._parse._log_format import LinePattern, LogFormat, epoch
from ansible_collections.oncall.pressure.plugins.module_utils._parse._request_path import fold, fold_many

#: Answers with which a server turns a request away before it costs anything: forbidden, over a limit, closed without a word. (503, which nginx
#: gives for a limit unless told otherwise, says just as often that what stands behind it failed.)
REFUSED = frozenset((b"403", b"429", b"444"))

#: A request that took at least so many seconds is called slow.
SLOW_S = 1.0

_CLIENTS = 32768
_PATHS = 8192
_PAIRS = 8192
_DETAILS = 4096
_DURATIONS = 65536

# Fewer than this of a part of the blocks say nothing about the whole.
_SAMPLED_LEAST = 20

# Unfolded paths are collected up to so many, or so many bytes of them, before they are folded; their bytes are looked at after so much of a log.
_UNFOLDED = 16384
_UNFOLDED_BYTES = 2097152
_UNFOLDED_LOOK = 4194304

_FORWARDED_ADDRESSES = 256
_FORWARDED_VALUES = 16

# How many blocks at most are read with the strict pattern before the fast one is tried again.
_PATIENCE = 64


class Taken(t.NamedTuple):
    """What one block gave: lines that are not empty, those among them that no pattern reads, and requests that were counted."""

    lines: int
    unparsed: int
    requests: int
    #: the earliest time in the block, where times were looked at
    earliest: float | None


class _PathDetail:
    """What the details say of one path."""

    __slots__ = ("bytes", "longest_s", "requests", "status", "timed", "total_s")

    def __init__(self) -> None:
        self.requests = 0
        self.bytes = 0
        self.timed = 0
        self.total_s = 0.0
        self.longest_s = 0.0
        self.status: dict[bytes, int] = {}


class Tally:
    """Counts of everything added so far, of one log or of several.

    :param detail_every: details are taken from every n-th block.
    """

    def __init__(self, detail_every: int = 1) -> None:
        self.detail_every = max(detail_every, 1)
        self.requests = 0
        self.clients: HeavyHitters[bytes] = HeavyHitters(_CLIENTS)
        self.paths: HeavyHitters[bytes] = HeavyHitters(_PATHS)
        self.detailed = 0
        self._status: Counter[bytes] = Counter()
        self._bytes: int | None = None
        self._pairs: HeavyHitters[tuple[bytes, bytes]] = HeavyHitters(_PAIRS)
        self._path_details: dict[bytes, _PathDetail] = {}
        self._client_details: dict[bytes, list[int]] = {}
        self._durations: Counter[float] = Counter()
        self._total_s = 0.0
        self._forwarded: dict[bytes, set[bytes]] = {}
        self._unfolded: Counter[bytes] = Counter()
        self._unfolded_since = 0
        self._blocks = 0
        self._strict_left = 0
        self._strict_next = 1
        self._json = False

    # taking lines

    def add(self, block: bytes, form: LogFormat, since: float | None = None, until: float | None = None) -> Taken:
        """Count the lines of a block that begins with a line feed and has none at its end; only those from ``since`` to ``until`` where given."""
        lines = block.count(b"\n")
        detailed = self._blocks % self.detail_every == 0
        self._blocks += 1
        self._json = self._json or form.json
        used, rows = self._rows(block, lines, form, detailed or since is not None)
        if len(rows) != lines:
            lines -= block.split(b"\n").count(b"") - 1
        unparsed = max(lines - len(rows), 0)
        earliest = None
        if since is not None and rows:
            rows, earliest = _within(rows, used.columns.get("time"), since, until)
        if rows:
            columns = list(zip(*rows))
            self._count({role: columns[place] for role, place in used.columns.items()}, len(rows), len(block), detailed)
        return Taken(lines, unparsed, len(rows), earliest)

    def _rows(self, block: bytes, lines: int, form: LogFormat, details: bool) -> tuple[LinePattern, list[t.Any]]:
        """The fast pattern where it is proven to have kept to the lines, else the strict one, for longer and longer while that fails."""
        if self._strict_left > 0:
            self._strict_left -= 1
        else:
            used = form.details if details else form.counts
            rows = used.pattern.findall(block)
            if len(rows) == lines:
                self._strict_next = 1
                return used, rows
            self._strict_left = self._strict_next
            self._strict_next = min(self._strict_next * 2, _PATIENCE)
        return form.strict, form.strict.pattern.findall(block)

    def _count(self, columns: dict[str, tuple[bytes, ...]], requests: int, size: int, detailed: bool) -> None:
        self.requests += requests
        if "client" in columns:
            self.clients.update(columns["client"])
        if "path" in columns:
            self._unfolded.update(columns["path"])
            self._unfolded_since += size
            if len(self._unfolded) > _UNFOLDED or self._unfolded_since > _UNFOLDED_LOOK and self._unfolded_is_big():
                self._fold()
        if detailed:
            self._detail(columns, requests)

    def _unfolded_is_big(self) -> bool:
        self._unfolded_since = 0
        return sum(map(len, self._unfolded)) > _UNFOLDED_BYTES

    def _fold(self) -> None:
        self._unfolded.pop(b"", None)
        folded: dict[bytes, int] = {}
        for path, count in zip(fold_many(list(self._unfolded)), self._unfolded.values()):
            folded[path] = folded.get(path, 0) + count
        self.paths.update(folded)
        self._unfolded = Counter()

    def _detail(self, columns: dict[str, tuple[bytes, ...]], requests: int) -> None:
        self.detailed += requests
        nothing = (b"",) * requests
        clients = columns.get("client", nothing)
        targets = columns.get("path", nothing)
        durations = columns.get("duration")
        if "status" in columns:
            self._status.update(columns["status"])
            if len(self._status) > 1000:
                # no server has so many; what is not a status is kept together
                self._status = _by_class(self._status)
        if "size" in columns:
            self._bytes = (self._bytes or 0) + _total(columns["size"])
        if "forwarded" in columns:
            self._forward(clients, columns["forwarded"])
        # an empty target is a request without a path: folding would make it the root
        folded = [path if target else b"" for path, target in zip(fold_many(targets), targets)]
        self._pairs.update(zip(clients, folded))
        paths, known = self._path_details, self._client_details
        for client, path, status, size in zip(clients, folded, columns.get("status", nothing), columns.get("size", nothing)):
            number = int(size) if size.isdigit() and len(size) <= 18 else 0
            detail = paths.get(path)
            if detail is None:
                detail = paths[path] = _PathDetail()
            detail.requests += 1
            detail.bytes += number
            detail.status[status[:1]] = detail.status.get(status[:1], 0) + 1
            sums = known.get(client)
            if sums is None:
                sums = known[client] = [0, 0, 0]
            sums[0] += 1
            sums[1] += number
            if status in REFUSED:
                sums[2] += 1
        if durations is not None:
            self._time(folded, durations)
        if len(paths) > 2 * _DETAILS:
            self._path_details = dict(heapq.nlargest(_DETAILS, paths.items(), key=lambda item: item[1].requests))
        if len(known) > 2 * _DETAILS:
            self._client_details = dict(heapq.nlargest(_DETAILS, known.items(), key=lambda item: item[1][0]))

    def _time(self, paths: t.Sequence[bytes], durations: t.Sequence[bytes]) -> None:
        details = self._path_details
        taken = []
        for path, text in zip(paths, durations):
            seconds = _seconds(text)
            if seconds is None:
                continue
            taken.append(seconds)
            detail = details[path]
            detail.timed += 1
            detail.total_s += seconds
            if seconds > detail.longest_s:
                detail.longest_s = seconds
        self._total_s += sum(taken)
        self._durations.update(taken)
        if len(self._durations) > _DURATIONS:
            rounded: Counter[float] = Counter()
            for seconds, count in self._durations.items():
                rounded[round(seconds, 1 if seconds < 100 else -1)] += count
            self._durations = rounded

    def _forward(self, clients: t.Sequence[bytes], values: t.Sequence[bytes]) -> None:
        for client, value in zip(clients, values):
            first = value.partition(b",")[0].strip()
            if first in (b"", b"-", client):
                continue
            seen = self._forwarded.get(client)
            if seen is not None:
                if len(seen) < _FORWARDED_VALUES:
                    seen.add(first[:64])
            elif len(self._forwarded) < _FORWARDED_ADDRESSES:
                self._forwarded[client] = {first[:64]}

    # what it comes to

    @property
    def bytes(self) -> int | None:
        """Bytes of all answers; null where they are not logged."""
        return None if self._bytes is None else self._scaled(self._bytes)

    def status(self) -> dict[str, int]:
        """Requests by class of status."""
        return {name: self._scaled(count) for name, count in classes(self._status).items()}

    def forwards_for(self, client: bytes) -> int:
        """For how many different others an address spoke, by X-Forwarded-For (counted up to 16)."""
        return len(self._forwarded.get(client, ()))

    def top_clients(self, count: int, seconds: float) -> list[dict[str, t.Any]]:
        """Clients with the most requests: address (as bytes), requests, share, per_s, paths (the three most asked for), bytes, refused."""
        top = self.clients.top(count)
        wanted = {client for client, dummy in top}
        least = 1 if self.detailed == self.requests else _SAMPLED_LEAST
        paths: dict[bytes, list[tuple[int, bytes]]] = {}
        for (client, path), requests in self._pairs.counts.items():
            if client in wanted and path and requests >= least:
                paths.setdefault(client, []).append((requests, path))
        rows = []
        for client, requests in top:
            seen, size, refused = self._client_details.get(client, [0, 0, 0])
            most = heapq.nlargest(3, paths.get(client, []))
            rows.append({
                "address": client, "requests": requests, "share": self._share(requests), "per_s": _rate(requests, seconds),
                "paths": [{"path": self.shown(path), "requests": self._scaled(number)} for number, path in most],
                "bytes": round(size * requests / seen) if seen >= least and self.bytes is not None else None,
                "refused": round(refused * requests / seen) if seen >= least and self._status else None,
            })
        return rows

    def top_paths(self, count: int) -> list[dict[str, t.Any]]:
        """Paths with the most requests, with bytes, statuses, clients and, where durations are logged, times."""
        self._fold()
        clients: Counter[bytes] = Counter()
        if self._pairs.error == 0 and self.detailed == self.requests and self.clients.counts:
            clients.update(path for dummy, path in self._pairs.counts)
        rows = []
        for path, requests in self.paths.top(count):
            detail = self._path_details.get(path, _PathDetail())
            scale = requests / detail.requests if detail.requests else 0.0
            rows.append({
                "path": self.shown(path), "requests": requests, "share": self._share(requests),
                "bytes": round(detail.bytes * scale) if scale and self.bytes is not None else None,
                "status": {name: round(number * scale) for name, number in sorted(classes(detail.status).items())},
                "clients": clients[path] or None,
                "slowest_s": round(detail.longest_s, 3) if detail.timed else None,
                "mean_s": round(detail.total_s / detail.timed, 3) if detail.timed else None,
                "time_share": round(detail.total_s / self._total_s, 3) if detail.timed and self._total_s else None,
            })
        return rows

    def top_pairs(self, count: int) -> list[dict[str, t.Any]]:
        """Which client asks most for which path: address (as bytes), path, requests, share."""
        rows = []
        least = 1 if self.detailed == self.requests else _SAMPLED_LEAST
        for (client, path), requests in self._pairs.top(count + 16):
            if client and path and requests >= least:
                rows.append({"address": client, "path": self.shown(path), "requests": self._scaled(requests), "share": self._share(self._scaled(requests))})
        return rows[:count]

    def slow(self) -> dict[str, t.Any] | None:
        """Requests that took long and the 95th percentile in seconds; null where no durations were logged."""
        timed = sum(self._durations.values())
        if not timed:
            return None
        left = timed * 0.05
        p95 = 0.0
        for seconds in sorted(self._durations, reverse=True):
            p95 = seconds
            left -= self._durations[seconds]
            if left <= 0:
                break
        slow = sum(count for seconds, count in self._durations.items() if seconds >= SLOW_S)
        return {"over_s": SLOW_S, "requests": self._scaled(slow), "p95_s": p95}

    def detail_share(self) -> float | None:
        """The share of the requests that details were taken from; null where there are none."""
        return round(self.detailed / self.requests, 4) if self.requests else None

    def error_bound(self) -> int:
        """How many requests the count of a client or a path may be too low."""
        return max(self.clients.error, self.paths.error)

    def shown(self, path: bytes) -> bytes:
        """The path without the escapes of a JSON log."""
        if self._json and b"\\" in path:
            try:
                return fold(json.loads(b'"' + path + b'"').encode("utf-8", "backslashreplace"))
            except ValueError:
                return path
        return path

    def _share(self, requests: int) -> float:
        return round(min(requests / self.requests, 1.0), 4) if self.requests else 0.0

    def _scaled(self, requests: int) -> int:
        return round(requests * self.requests / self.detailed) if self.detailed else 0


def classes(status: t.Mapping[bytes, int]) -> dict[str, int]:
    """Counts by class ("2xx") of counts by status or by its first digit; what is no status is left out."""
    found = {"2xx": 0, "3xx": 0, "4xx": 0, "5xx": 0}
    for value, count in status.items():
        name = value[:1].decode("ascii", "replace") + "xx"
        if name in found and (len(value) == 1 or value.isdigit()):
            found[name] += count
    return found


def _by_class(status: t.Mapping[bytes, int]) -> Counter[bytes]:
    found: Counter[bytes] = Counter()
    for value, count in status.items():
        found[value[:1] if value.isdigit() else b""] += count
    return found


def _within(rows: list[t.Any], place: int | None, since: float, until: float | None) -> tuple[list[t.Any], float | None]:
    """The rows of the window, and the earliest time of all of them."""
    if place is None:
        return [], None
    wanted = set()
    earliest: float | None = None
    for text in {row[place] for row in rows}:
        moment = epoch(text)
        if moment is None:
            continue
        earliest = moment if earliest is None or moment < earliest else earliest
        if moment >= since and (until is None or moment <= until):
            wanted.add(text)
    return [row for row in rows if row[place] in wanted], earliest


def _total(sizes: t.Sequence[bytes]) -> int:
    try:
        return sum(map(int, sizes))
    except ValueError:
        return sum(int(size) for size in sizes if size.isdigit() and len(size) <= 18)


def _seconds(text: bytes) -> float | None:
    """A duration; where several servers were tried ("0.1, 0.2 : 0.3") their sum; null for "-"."""
    try:
        return float(text)
    except ValueError:
        parts = [part for part in text.replace(b":", b",").replace(b" ", b"").split(b",") if part.replace(b".", b"", 1).isdigit()]
        return sum(map(float, parts)) if parts else None


def _rate(requests: int, seconds: float) -> float | None:
    return round(requests / seconds, 3) if seconds > 0 else None
