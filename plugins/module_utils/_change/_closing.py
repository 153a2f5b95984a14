# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Confirm changes that proved themselves, and undo those that did not or are no longer wanted.

Private to oncall.pressure: no stable interface.
"""

from __future__ import annotations

import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._change import _arming, _health, _journal, _lease, _undo
from ansible_collections.oncall.pressure.plugins.module_utils._change._engine import clean_result
from ansible_collections.oncall.pressure.plugins.module_utils._change._journal import Entry, Journal
from ansible_collections.oncall.pressure.plugins.module_utils._change._listing import describe, what
from ansible_collections.oncall.pressure.plugins.module_utils._change._kinds import Conflict, Failed, Hands, Refused
from ansible_collections.oncall.pressure.plugins.module_utils._change._registry import KINDS
from ansible_collections.oncall.pressure.plugins.module_utils._host._files import Files, Untrusted
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine
from ansible_collections.oncall.pressure.plugins.module_utils._host._probe import ask
from ansible_collections.oncall.pressure.plugins.module_utils._host._text import clean


class Probe(t.NamedTuple):
    """What must hold before a change is confirmed: for ``settle_s`` nothing is killed or restarted, then ``times`` good answers in a row.

    url: "" where the service has none; statuses: those that are good
    """

    url: str
    statuses: t.Sequence[int]
    times: int
    interval_s: float
    timeout_s: float
    settle_s: float


def chosen(machine: Machine, incident: str, entry: str) -> list[Entry]:
    """Open entries that are meant, newest first: one, those of an incident, or all. Raises Refused for one that is not there."""
    found = _journal.entries(machine, incident or (entry.split("/")[0] if entry else None))
    if entry:
        found = [one for one in found if one.id == entry]
        if not found:
            raise Refused("there is no change %s on this host" % clean(entry, 80))
    return _undo.open_entries(found)


def confirm(machine: Machine, incident: str, entry: str, probe: Probe, undo_otherwise: bool, check_mode: bool) -> dict[str, t.Any]:
    """Confirm what is verified and proves itself; what does not is undone at once, unless told otherwise."""
    try:
        waiting = [one for one in chosen(machine, incident, entry) if one.state in ("applied", "verified")]
        if check_mode or not waiting:
            return clean_result({"changed": bool(waiting), "entries": [describe(machine, one) for one in waiting]})
        lease = _lock(machine)
    except (Refused, OSError, Untrusted) as problem:
        return clean_result({"failed": True, "changed": False, "msg": str(problem)})
    hands = Hands(machine, Files(), "")
    rows: list[dict[str, t.Any]] = []
    problems: list[str] = []
    changed = False
    try:
        lease.say("confirming", 900.0)
        answer = _earned(machine, waiting, probe)
        for one in waiting:
            here = hands._replace(folder=one.folder)
            problem = answer or _in_effect(here, one) or _make_last(here, one)
            if problem is None:
                changed = True
            else:
                problems.append("%s is not confirmed: %s" % (one.id, problem))
                if undo_otherwise:
                    outcome = _undo.undo(here, one, "failed")
                    changed = changed or outcome.done
                    problems[-1] += "; it is undone" if outcome.done else "; CRITICAL: nor is it undone: %s; by hand, as root: %s" % (
                        "; ".join(outcome.problems), outcome.command)
            now = _journal.read(machine, one.folder)
            rows.append(describe(machine, now if now is not None else one))
    finally:
        lease.release(0.0)
    result: dict[str, t.Any] = {"changed": changed, "entries": rows}
    if problems:
        result.update(failed=True, msg="; ".join(problems))
    return clean_result(result)


def _lock(machine: Machine) -> _lease.Lease:
    """The lock of the host, whoever has its lease: confirming and undoing are how a lease ends. Raises Refused, OSError, Untrusted."""
    if machine.euid() != 0:
        raise Refused("this needs root: use become")
    files = Files()
    descriptor = files.lock(_lease.PATH, 30.0)
    if descriptor is None:
        raise Refused("another process has been changing this host for 30 s; nothing was done")
    return _lease.Lease(machine, files, descriptor, "closing", "oncall-pressure")


def _earned(machine: Machine, waiting: t.Sequence[Entry], probe: Probe) -> str | None:
    """Watch and ask; null where all is well, else what is not."""
    services = sorted({str(one.head.get("service")) for one in waiting})
    before = {service: _health.look(machine, service) for service in services}
    machine.sleep(probe.settle_s)
    good, asked, said = 0, 0, ""
    while good < probe.times and asked < probe.times * 3:
        if asked:
            machine.sleep(probe.interval_s)
        asked += 1
        status, why = ask(probe.url, probe.timeout_s) if probe.url else (None, "")
        fine = not probe.url or status in probe.statuses
        good = good + 1 if fine else 0
        said = said if fine else "%s answers %s" % (clean(probe.url, 200), status if status is not None else clean(why, 200))
    for service in services:
        now = _health.look(machine, service)
        worse = _health.worse(before[service], now) or ("it is not active" if now["active"] is False else None)
        if worse is not None:
            return "%s: %s" % (clean(service, 200), worse)
    return None if good >= probe.times else said


def _in_effect(hands: Hands, entry: Entry) -> str | None:
    """Whether the state is still the one that was meant."""
    for place, (operation, before) in enumerate(entry.operations):
        kind = KINDS[operation["kind"]]
        try:
            if place not in entry.begun or not kind.reached(operation, before, kind.look(hands, operation)):
                return "%s %s is not in effect" % (operation["kind"], clean(what(operation), 200))
        except (Refused, Failed, Conflict, Untrusted, OSError) as problem:
            return str(problem)
    return None


def _make_last(hands: Hands, entry: Entry) -> str | None:
    """Write the confirmation, and only then take the arming away; with a lifetime, arm for its end first."""
    machine = hands.machine
    journal = Journal(machine, hands.files, entry.folder)
    lifetime = entry.head.get("lifetime_s")
    try:
        if not lifetime:
            journal.write("confirmed", deadline_s=None, boot=machine.boot())
            _arming.disarm(hands)
            return None
        how = _arming.arm(hands, entry, str(entry.head.get("python")), float(lifetime), "expire")
        journal.write("confirmed", how=how, deadline_s=round(machine.boot_s() + float(lifetime), 3), boot=machine.boot(),
                      expires_epoch_s=round(machine.now() + float(lifetime), 3))
        _arming.disarm(hands, ("undo",))
        return None
    except (OSError, Untrusted, Failed) as problem:
        return "it cannot be written down: %s" % problem


def take_back(machine: Machine, incident: str, entry: str, force: bool, check_mode: bool) -> dict[str, t.Any]:
    """Undo what is open: one change, an incident, or everything, newest first. What fails is said and the rest goes on."""
    try:
        found = chosen(machine, incident, entry)
        if check_mode or not found:
            return clean_result({"changed": bool(found), "entries": [describe(machine, one) for one in found]})
        lease = _lock(machine)
    except (Refused, OSError, Untrusted) as problem:
        return clean_result({"failed": True, "changed": False, "msg": str(problem)})
    rows: list[dict[str, t.Any]] = []
    problems: list[str] = []
    done: list[str] = []
    try:
        lease.say("undoing", 900.0)
        for one in found:
            here = Hands(machine, Files(), one.folder)
            now = _journal.read(machine, one.folder) or one
            outcome = _undo.undo(here, now, "operator", force)
            done += outcome.said
            if not outcome.done:
                problems.append("%s of %s is not undone: %s%s; by hand, as root: %s" % (
                    now.id, clean(str(now.head.get("service")), 200), "; ".join(outcome.problems),
                    " (say force to undo it all the same)" if outcome.conflict else "", outcome.command))
            rows.append(describe(machine, _journal.read(machine, one.folder) or one))
    finally:
        lease.release(0.0)
    result: dict[str, t.Any] = {"changed": True, "entries": rows, "said": done}
    if problems:
        result.update(failed=True, critical=True, msg="CRITICAL: " + "; ".join(problems))
    return clean_result(result)
