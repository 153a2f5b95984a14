# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Plan fewer workers of one service: how many, told to what runs, and written where it lasts.

Private to oncall.pressure: no stable interface. Looks only; what it plans is done by the engine. It never travels in an undo program.
"""

from __future__ import annotations

import shlex
import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._change._engine import Plan
from ansible_collections.oncall.pressure.plugins.module_utils._change._kinds import Operation, Refused
from ansible_collections.oncall.pressure.plugins.module_utils._controls import _lasting, _measure, _runtime, _target
from ansible_collections.oncall.pressure.plugins.module_utils._controls._measure import Measured
from ansible_collections.oncall.pressure.plugins.module_utils._controls._target import Target
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine

MITIGATION: t.Final = "lower_workers"


class Wish(t.NamedTuple):
    """What is asked for: ``workers`` 0 has the count computed; ``host`` is how the inventory calls this host, "" where nobody said."""

    service: str
    workers: int = 0
    basis: str = "auto"
    reserve_pct: float = _target.RESERVE_PCT
    cpu_factor: float = _target.CPU_FACTOR
    form: str = "auto"
    host: str = ""


class _Part(t.NamedTuple):
    """One form of the change: its operations, what is said of it, and why it is not done (null where it is, or has nothing to do)."""

    operations: list[Operation]
    said: list[str]
    refused: str | None = None
    checks: t.Sequence[t.Callable[[], t.Sequence[str]]] = ()


def plan(machine: Machine, wish: Wish) -> Plan:
    """Measure and plan. Raises Refused, where nothing of what was asked for can be done here."""
    measured = _measure.measure(machine, wish.service)
    _measure.check_changeable(measured.service)
    siblings = _runtime.rq_siblings(measured.services, measured.service) if measured.service["component"] == "rq" else []
    if len(siblings) > 1:
        measured = measured._replace(
            service=_measure.together(siblings, measured.service), services=[row for row in measured.services if row not in siblings]
        )
    target = aim(measured, wish)
    notes = told(target, measured)
    notes["summary"] = _summary(measured, target, notes)
    if not target.lowers and target.basis != "explicit":
        return Plan(MITIGATION, measured.service["id"], [], notes=notes)
    now = _now(machine, measured, target, siblings) if wish.form != "lasting" else _Part([], [])
    if wish.form == "runtime" and now.refused is not None:
        raise Refused(now.refused)
    lasting = _written(machine, measured, target, siblings) if wish.form != "runtime" else _Part([], [])
    if lasting.refused is not None and (now.refused is not None or wish.form == "lasting"):
        raise Refused("; ".join(reason for reason in (now.refused, lasting.refused) if reason))
    notes["runtime"] = now.refused or ("; ".join(now.said) or None)
    notes["lasting"] = lasting.refused or ("; ".join(lasting.said) or None)
    notes["summary"] = _summary(measured, target, notes)
    return Plan(
        MITIGATION, measured.service["id"], now.operations + lasting.operations, notes=notes,
        proposals=_proposals(measured, wish, target, now, lasting), checks=lasting.checks,
    )


def aim(measured: Measured, wish: Wish) -> Target:
    """The count to reach. Raises Refused."""
    if wish.workers:
        return _target.explicit(measured.service, wish.workers, bool(measured.kills.get("kills")))
    if not measured.kills_known and _measure.between_restarts(measured.service):
        raise Refused("the kernel's log could not be read and no worker runs: the size of one is not known; say how many with workers")
    return _target.decide(measured.service, measured.host, measured.services, measured.kills, wish.basis, wish.reserve_pct, wish.cpu_factor)


def told(target: Target, measured: Measured) -> dict[str, t.Any]:
    """What a person is told of the sum."""
    return {
        "workers": target.workers, "present": target.present, "basis": target.basis, "formula": target.formula, "says": target.says,
        "frees_bytes": target.frees_bytes, "state": measured.service.get("state"), "kills": measured.kills.get("kills") or 0 if measured.kills_known else None,
    }


def _summary(measured: Measured, target: Target, notes: t.Mapping[str, t.Any]) -> list[str]:
    """The same in lines for a screen."""
    name, alive = measured.service["id"], _target.running(measured.service)
    head = "%s: %s -> %d" % (name, _target.counted(target.present), target.workers)
    if not target.lowers:
        head = "%s: %s, nothing to lower" % (name, _target.counted(target.present))
    elif 0 < alive <= target.workers:
        head = "%s: %s now, and no more than %d wanted" % (name, _target.counted(alive), target.workers)
    lines = [head, target.formula]
    lines += [target.says] if target.says else []
    lines += ["now: %s" % notes["runtime"]] if notes.get("runtime") else []
    lines += ["next start: %s" % notes["lasting"]] if notes.get("lasting") else []
    return lines


def _now(machine: Machine, measured: Measured, target: Target, siblings: t.Sequence[t.Mapping[str, t.Any]]) -> _Part:
    """Told to what runs, at once."""
    service = measured.service
    if _measure.between_restarts(service):
        policy = measured.unit.get("oom_policy")
        because = " (OOMPolicy=stop: the first kill takes the whole unit down)" if policy == "stop" and service.get("result") == "oom-kill" else ""
        return _Part([], [], "%s is %s%s: there is nothing that could be told to run fewer workers" % (service["id"], service.get("state"), because))
    scaled = ((service.get("settings") or {}).get("autoscale") or {}).get("value")
    if scaled:
        return _Part([], [], "%s runs with autoscale %s, a range that it read at its start and that cannot be told to it" % (service["id"], scaled))
    alive = _target.running(service)
    if target.workers >= alive:
        return _Part([], ["%d run now" % alive])
    try:
        if len(siblings) > 1:
            return _Part(list(_runtime.rq_plan(machine, siblings, target.workers)), ["%d instances of one template unit" % len(siblings)])
        return _Part(list(_runtime.plan(machine, service, target.workers)), [])
    except Refused as problem:
        return _Part([], [], str(problem))


def _written(machine: Machine, measured: Measured, target: Target, siblings: t.Sequence[t.Mapping[str, t.Any]]) -> _Part:
    """Written where it counts at the next start, never more than is written there."""
    if len(siblings) > 1:
        return _Part([], [], "each of its workers is a unit of its own: those that were stopped start at the next boot unless they are disabled")
    written = (_measure.written(measured).get("workers") or {}).get("value")
    # of rq it is the copies of a program that count, and no setting of its command
    if isinstance(written, int) and written <= target.workers and measured.service["component"] != "rq":
        return _Part([], ["its files ask for %d" % written])
    try:
        found = _lasting.plan(machine, measured.service, {"workers": target.workers})
        checks = _measure.oracle(machine, measured.service, found.wanted)
    except Refused as problem:
        return _Part([], [], str(problem))
    return _Part(found.operations, [found.where] + found.notes, checks=checks)


def restart_command(service: str, host: str) -> str:
    """The command line of the next step, whole."""
    return "ansible-playbook oncall.pressure.restart_service -l %s -e %s" % (
        shlex.quote(host) if host else "HOST", shlex.quote("pressure_service=" + service)
    )


def _proposals(measured: Measured, wish: Wish, target: Target, now: _Part, lasting: _Part) -> list[str]:
    """What is left for a person to do."""
    service, proposals = measured.service, []
    if now.operations or (now.refused is None and target.workers >= _target.running(service) > 0):
        if lasting.refused is not None:
            proposals.append("its next start brings back %d workers, since that could not be written: %s" % (target.present, lasting.refused))
        return proposals
    command = restart_command(service["id"], wish.host)
    if service.get("state") == "restarting":
        proposals.append("its manager starts it again by itself, with %d workers then" % target.workers)
    elif _measure.between_restarts(service):
        proposals.append("it is %s and must be started: %s" % (service.get("state"), command))
    elif target.workers >= _target.running(service):
        proposals.append(
            "it may still start up to %d until a restart, which waits for what it does only as long as its manager lets it: %s" % (target.present, command)
        )
    else:
        proposals.append(
            "it still runs %d, and %d after a restart, which waits for what it does only as long as its manager lets it: %s"
            % (_target.running(service), target.workers, command)
        )
    return proposals
