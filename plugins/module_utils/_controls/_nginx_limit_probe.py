# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""See a limit at work: requests of our own that are refused, and whom it refuses while it is watched.

Private to oncall.pressure: no stable interface. It never travels in the undo program.
"""

from __future__ import annotations

import re
import typing as t
import urllib.parse

from ansible_collections.oncall.pressure.plugins.module_utils._controls import _nginx_limit_levels, _nginx_limit_text
from ansible_collections.oncall.pressure.plugins.module_utils._controls._nginx_limit_levels import Chain
from ansible_collections.oncall.pressure.plugins.module_utils._host._knock import Door, knock
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine
from ansible_collections.oncall.pressure.plugins.module_utils._host._text import clean

_KNOCKS = 3
_WAIT_S = 0.6
_SERVERS_LIMIT = 16
_LOG_BYTES = 33554432
_BLOCK = 1048576

#: What a limit says of a request; everything before the request's own words is nginx's.
_LINE = re.compile(
    rb'^\d{4}/\d\d/\d\d \d\d:\d\d:\d\d \[[a-z]+\] \d+#\d+: \*\d+ limiting requests(?:, dry run)?, '
    rb'excess: [0-9.]+ by zone "([a-z0-9_]+)", client: ([0-9A-Fa-f:.]+|unix:),',
    re.MULTILINE,
)


class Gate(t.NamedTuple):
    """One server and the way that the path ends up in it: levels, the status of a refusal, the log of errors (null: none to read)."""

    chain: Chain
    status: int
    log: str | None


class Marks:
    """How far logs have been read."""

    def __init__(self, machine: Machine, paths: t.Iterable[str]) -> None:
        self._machine = machine
        self.places = {path: self._size(path) for path in paths}

    def _size(self, path: str) -> int:
        try:
            return self._machine.stat(path).st_size
        except OSError:
            return 0

    def refused(self, zone: str) -> dict[str, int]:
        """Refusals by client since the last look. What is beyond the bound is left out."""
        found: dict[str, int] = {}
        for path, place in self.places.items():
            size = self._size(path)
            place = place if place <= size else 0
            self.places[path] = size
            self._count(path, place, min(size, place + _LOG_BYTES), zone.encode("ascii"), found)
        return found

    def _count(self, path: str, place: int, end: int, zone: bytes, found: dict[str, int]) -> None:
        try:
            with self._machine.open(path) as stream:
                stream.seek(place)
                carry = b""
                while place < end:
                    data = stream.read(min(_BLOCK, end - place))
                    if not data:
                        break
                    place += len(data)
                    text, separator, rest = (carry + data).rpartition(b"\n")
                    carry = rest if len(rest) < _BLOCK else b""
                    for named, client in _LINE.findall(text + separator):
                        if named == zone:
                            address = client.decode("ascii")
                            found[address] = found.get(address, 0) + 1
        except OSError:
            return


class Seen(t.NamedTuple):
    """Whether the limit was seen at work at one server, and what was seen."""

    proven: bool
    says: str


def prove(machine: Machine, gates: t.Sequence[Gate], limit: _nginx_limit_text.Limit) -> list[Seen]:
    """Knock at every server until one of our own requests is refused (or said to be, in a dry run)."""
    return [_prove_one(machine, gate, limit) for gate in gates[:_SERVERS_LIMIT]]


def _prove_one(machine: Machine, gate: Gate, limit: _nginx_limit_text.Limit) -> Seen:
    server = gate.chain[1]
    name = _nginx_limit_levels.host_name(server)
    target = urllib.parse.quote_from_bytes(limit.path.example if limit.path is not None else b"/", safe="/").encode("ascii")
    zone = _nginx_limit_text.zone(limit) + "_probe"
    marks = Marks(machine, [gate.log] if gate.log else [])
    headers = {_nginx_limit_text.HEADER: _nginx_limit_text.identity(limit)}
    said = "%s (%s)" % (clean(name, 80), clean(_nginx_limit_levels.where(server), 200))
    answers: list[int | None] = []
    why = "it listens nowhere that can be asked from here"
    for listen in _nginx_limit_levels.listens(server):
        try:
            for dummy in range(_KNOCKS):
                answers.append(knock(Door(*listen), name, target, headers, _WAIT_S))
                if not limit.dry_run and answers[-1] == gate.status and len(answers) > 1 and answers[0] != gate.status:
                    return Seen(True, "%s: our own request was refused with %d" % (said, gate.status))
                if len(answers) > 1 and marks.refused(zone):
                    return Seen(True, "%s: our own request %s" % (said, "would have been refused" if limit.dry_run else "was refused"))
            break
        except (OSError, ValueError, UnicodeError) as problem:
            why = clean(str(problem), 200)
    if not answers:
        return Seen(False, "%s: %s" % (said, why))
    return Seen(False, "%s: our own requests were not counted (answers: %s)" % (said, ", ".join("none" if one is None else str(one) for one in answers)))
