# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where the one hot process of a host stands in its own code: three dumps some tenths of a second apart, and what they come to.

Private to oncall.pressure: no stable interface. Read-only, and only when asked (``pressure_stacks``). It is looked at after the window, so that
nothing measured in it is the profiler's own, and so that the process is known that used the processors most.
"""

from __future__ import annotations

import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._components import _stacks
from ansible_collections.oncall.pressure.plugins.module_utils._host._collect import Reading, absent, denied, error, ok, partial
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine
from ansible_collections.oncall.pressure.plugins.module_utils._host._text import clean
from ansible_collections.oncall.pressure.plugins.module_utils._parse import _stack_dump

DUMPS: t.Final = 3
#: A process that is not stopped for it changes under the profiler's eyes: a dump may fail and the next succeed.
_TRIES = 5
_BETWEEN_S = 0.3
#: For one dump, at the most: one that hangs leaves time for the others.
_ONE_S = 1.0
#: A process that uses less is not hot, in CPUs. Of a service that was named any process will do.
HOT: t.Final = 0.3
#: What nobody manages is somebody's session or script: its stacks are not taken unasked.
_MANAGED = ("systemd", "docker", "podman", "containerd", "kubernetes", "supervisor")

Row = t.Mapping[str, t.Any]


def candidates(services: t.Sequence[Row], top: t.Sequence[Row], wanted: str) -> list[dict[str, t.Any]]:
    """``[{"pid", "service", "name", "cpu"}]``, the one that uses most first: of every managed service, or of the one that was named by id or name."""
    found: dict[int, dict[str, t.Any]] = {}
    named = {row["id"]: row for row in services if (wanted in (row["id"], row["name"]) if wanted else row["manager"] in _MANAGED)}
    for service in named.values():
        for worker in service["workers"] or []:
            found[worker["pid"]] = {"pid": worker["pid"], "service": service["id"], "name": None, "cpu": worker["cpu"]}
        if service["main_pid"] is not None:
            found.setdefault(service["main_pid"], {"pid": service["main_pid"], "service": service["id"], "name": None, "cpu": None})
    for row in top:
        if row["service"] in named:
            found[row["pid"]] = {"pid": row["pid"], "service": row["service"], "name": row["name"], "cpu": row["cpu"]}
    return sorted((row for row in found.values() if wanted or (row["cpu"] or 0.0) >= HOT), key=lambda row: (-(row["cpu"] or 0.0), row["pid"]))


def take(machine: Machine, services: t.Sequence[Row] | None, top: t.Sequence[Row], wanted: str, limit_s: float) -> Reading:
    """``stacks`` in the shape of docs/architecture.md."""
    if services is None:
        return error("which process is hot is not known: services could not be measured")
    end = machine.monotonic() + max(limit_s - 0.5, 0.5)
    rows = candidates(services, top, wanted)
    if not rows:
        return absent("no service %s runs here" % clean(wanted, 120) if wanted else "no process of a service used %.1f CPUs or more in the window" % HOT)
    if machine.euid():
        # what somebody else's process is run by is hidden too
        refused, rows = rows[0]["pid"], [row for row in rows if _owner(machine, row["pid"]) == machine.euid()]
        if not rows:
            return denied("only root or its owner may look into process %d" % refused)
    chosen = next((row for row in rows if _stacks.is_python(machine, row["pid"])), None)
    if chosen is None:
        return absent("%s is no Python program: its stacks are not taken" % (clean(wanted, 120) if wanted else "what uses the processors most"))
    pid = chosen["pid"]
    profiler, why_not = _stacks.profiler_of(machine, pid)
    if why_not is not None:
        return absent(why_not)
    dumps: list[list[_stack_dump.Stack]] = []
    reasons: list[str] = []
    for number in range(_TRIES):
        if len(dumps) == DUMPS:
            break
        if number:
            machine.sleep(_BETWEEN_S)
        left = end - machine.monotonic()
        if left <= 0.2:
            reasons.append("no time was left")
            break
        lines, reason = _stacks.dump(machine, profiler, pid, min(left, _ONE_S))
        found = _stack_dump.stacks(lines)
        if found and not reason:
            dumps.append(found)
        else:
            reasons.append(reason or "what it said was not understood")
    said = clean("; ".join(dict.fromkeys(reasons)), 400)
    if not dumps:
        return error("process %d: %s" % (pid, said))
    data = dict(
        {"service": chosen["service"], "pid": pid, "process": chosen["name"], "cpu": chosen["cpu"], "by": clean(profiler or _stacks.ITS_OWN, 200),
         "dumps": len(dumps)}, **_stack_dump.summed(dumps))
    return ok(data) if len(dumps) == DUMPS else partial(data, "%d of %d dumps were had: %s" % (len(dumps), DUMPS, said))


def _owner(machine: Machine, pid: int) -> int | None:
    try:
        return machine.stat("/proc/%d" % pid).st_uid
    except OSError:
        return None
