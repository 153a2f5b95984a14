# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Keep what a restart would destroy: side by side, within one budget of time and one of size, whatever hangs.

Private to oncall.pressure: no stable interface. Read-only.
"""

from __future__ import annotations

import json
import time
import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._components._process_table import own_chain
from ansible_collections.oncall.pressure.plugins.module_utils._host._collect import Collector, Options, Reading, ok, run_all
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine
from ansible_collections.oncall.pressure.plugins.module_utils._host._text import clean
from ansible_collections.oncall.pressure.plugins.module_utils._version import VERSION

SCHEMA: t.Final = 1

#: What finding the services may take of the time, and what is kept to end the others and to write the answer, in seconds.
_FIND_S = 4.0
_END_S = 0.5

#: From the first to be kept to the first to be dropped, where not all of it fits.
ORDER: t.Final = ("counters", "stacks", "sockets", "processes", "snapshot", "log")

Subject = t.Mapping[str, t.Any]
Part = t.Callable[[Machine, Subject, float], Reading]

# Each part is imported in its own child, which compiles what travelled side by side with the others.


def _log(machine: Machine, subject: Subject, limit_s: float) -> Reading:
    from ansible_collections.oncall.pressure.plugins.module_utils._components import _evidence_parts

    return _evidence_parts.log(machine, subject, limit_s)


def _counters(machine: Machine, subject: Subject, limit_s: float) -> Reading:
    from ansible_collections.oncall.pressure.plugins.module_utils._components import _evidence_parts

    return _evidence_parts.counters(machine, subject, limit_s)


def _processes(machine: Machine, subject: Subject, limit_s: float) -> Reading:
    from ansible_collections.oncall.pressure.plugins.module_utils._components import _evidence_parts

    return _evidence_parts.processes(machine, subject, limit_s)


def _sockets(machine: Machine, subject: Subject, limit_s: float) -> Reading:
    from ansible_collections.oncall.pressure.plugins.module_utils._components import _evidence_parts

    return _evidence_parts.sockets(machine, subject, limit_s)


def _stacks(machine: Machine, subject: Subject, limit_s: float) -> Reading:
    from ansible_collections.oncall.pressure.plugins.module_utils._components import _stacks as stacks

    return stacks.stacks(machine, subject, limit_s)


PARTS: t.Final[t.Mapping[str, Part]] = {"log": _log, "counters": _counters, "processes": _processes, "sockets": _sockets, "stacks": _stacks}


class Budget(t.NamedTuple):
    """What it may take altogether: seconds, and bytes of the answer."""

    time_s: float
    size_bytes: int


def gather(
    machine: Machine, services: t.Sequence[str], budget: Budget, window_s: float = 2.0, parts: t.Mapping[str, Part] | None = None, snapshot: bool = True
) -> dict[str, t.Any]:
    """``{"schema", "taken", "cost", "services": {SERVICE: {"state", PART: data or null}}, "snapshot": document or null,
    "parts": {"SERVICE PART" or "snapshot": {"status", "reason", "seconds"}}, "missing": [text]}``.

    What hangs is ended, or left behind where it is stuck in the kernel; its absence is a line of ``missing``.
    """
    started = machine.monotonic()
    options = Options(window_s=window_s, own_pids=own_chain(machine))
    finders = {service: _finder(service) for service in services}
    found = run_all(finders, machine, options, min(_FIND_S, budget.time_s / 3)).rows if finders else {}
    left = max(budget.time_s - (machine.monotonic() - started) - _END_S, 0.5)
    collectors: dict[str, Collector] = {"snapshot": _snapshot(left)} if snapshot else {}
    for service in services:
        subject = found[service]["data"]
        if isinstance(subject, dict):
            collectors.update({"%s %s" % (service, name): _bound(part, subject, left) for name, part in (PARTS if parts is None else parts).items()})
    rows = run_all(collectors, machine, options, left).rows
    document: dict[str, t.Any] = {
        "schema": SCHEMA, "tool": VERSION, "taken": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(machine.now())),
        "services": {}, "snapshot": None, "parts": {}, "missing": [],
    }
    for service in services:
        subject = found[service]["data"]
        document["services"][service] = {"state": subject["state"] if isinstance(subject, dict) else None}
        if not isinstance(subject, dict):
            document["missing"].append("everything of %s: %s" % (clean(service, 200), found[service]["reason"]))
    _fill(document, rows, budget.size_bytes)
    document["cost"] = {"wall_s": round(machine.monotonic() - started, 3), "cpu_s": round(machine.cpu_s(), 3)}
    return document


def _finder(service: str) -> Collector:
    def collect(machine: Machine, options: Options) -> Reading:
        from ansible_collections.oncall.pressure.plugins.module_utils._components import _subject

        return ok(_subject.find(machine, service))

    return collect


def _snapshot(limit_s: float) -> Collector:
    def collect(machine: Machine, options: Options) -> Reading:
        from ansible_collections.oncall.pressure.plugins.module_utils._components import _snapshot as snapshot

        # its own children end before it is ended
        return ok(snapshot.take(machine, options, max(limit_s - 1.0, 0.5)))

    return collect


def _bound(part: Part, subject: Subject, limit_s: float) -> Collector:
    def collect(machine: Machine, options: Options) -> Reading:
        return part(machine, subject, limit_s)

    return collect


def _rank(name: str) -> int:
    last = name.rpartition(" ")[2]
    return ORDER.index(last) if last in ORDER else len(ORDER)


def _fill(document: dict[str, t.Any], rows: t.Mapping[str, t.Mapping[str, t.Any]], size_bytes: int) -> None:
    """Put in what was gathered as far as it fits, the most telling first; logs lose their oldest lines before they are dropped."""
    left = size_bytes
    for name in sorted(rows, key=lambda name: (_rank(name), name)):
        row = rows[name]
        service, dummy, part = name.rpartition(" ")
        data, said = row["data"], row["reason"]
        size = _size(data)
        if size > left and part == "log" and isinstance(data, dict):
            data, lost = shortened(data, left)
            size = _size(data)
            said = "; ".join(filter(None, [said, "%d older lines did not fit" % lost]))
        if data is not None and size > left:
            said = "its %d KiB did not fit into what was left of the budget" % (size // 1024)
            data, size = None, 0
        left -= size if data is not None else 0
        if service:
            document["services"][service][part] = data
        else:
            document[name] = data
        document["parts"][name] = {"status": row["status"], "reason": said, "seconds": row["seconds"]}
        if data is None or said:
            document["missing"].append("%s: %s" % (clean(name, 200), said or "nothing was found"))


def shortened(data: dict[str, t.Any], size_bytes: int) -> tuple[dict[str, t.Any] | None, int]:
    """A log within a size, each of its files without as many of its oldest lines as need be, and how many were dropped; null where nothing fits."""
    files: dict[str, list[str]] = dict(data["files"])
    lost = 0
    while any(files.values()) and _size({"files": files}) > size_bytes:
        longest = max(files, key=lambda name: len(files[name]))
        cut = max(len(files[longest]) // 4, 1)
        files[longest] = files[longest][cut:]
        lost += cut
    return ({"files": files} if any(files.values()) else None), lost


def _size(data: t.Any) -> int:
    return 0 if data is None else len(json.dumps(data))
