# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Confirm changes that proved themselves, and undo those that did not or are no longer wanted.

Private to oncall.pressure: no stable interface.
"""

from __future__ import annotations

import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._change import _arming, _health, _journal, _lease, _limits, _undo
from ansible_collections.oncall.pressure.plugins.module_utils._change._engine import clean_result
from ansible_collections.oncall.pressure.plugins.module_utils._change._journal import Entry, Journal
from ansible_collections.oncall.pressure.plugins.module_utils._change._listing import describe, what
from ansible_collections.oncall.pressure.plugins.module_utils._change._kinds import Conflict, Failed, Hands, Refused, acts_now
from ansible_collections.oncall.pressure.plugins.module_utils._change._registry import KINDS
from ansible_collections.oncall.pressure.plugins.module_utils._host._files import Files, Untrusted
from ansible_collections.oncall.pressure.plugins.module_utils._host._interrupts import shielded
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


_CHOICE = " (say force to undo it all the same, or confirm this entry by name to leave it as it is)"

#: When the host finishes an undo of ours that was broken off, in seconds.
_FINISH_S = 30.0

#: Why something was undone that came out and was not seen to help; ``failed`` did not come out.
NO_EFFECT: t.Final = _limits.NO_EFFECT

#: The states in which an entry waits to be confirmed.
_WAITS = ("applied", "verified")


def confirm(machine: Machine, incident: str, entry: str, probe: Probe, undo_otherwise: bool, check_mode: bool, owner: str = "") -> dict[str, t.Any]:
    """Confirm what is verified and proves itself; what does not is undone at once, unless told otherwise."""
    try:
        found = chosen(machine, incident, entry)
        waiting = [one for one in found if one.state in _WAITS]
        if entry and found and found[0].conflict:
            return clean_result(_leave(machine, found[0], check_mode, owner))
        if not waiting:
            return clean_result(_nothing_waits(machine, incident, entry))
        if check_mode:
            return clean_result({"changed": True, "entries": [describe(machine, one) for one in waiting]})
        _needs_root(machine)
        # watched without the lock: whatever becomes of us, the host undoes at its deadline
        answer = _earned(machine, waiting, probe)
        lease = _lock(machine, owner)
    except (Refused, OSError, Untrusted) as problem:
        return clean_result({"failed": True, "changed": False, "msg": str(problem)})
    hands = Hands(machine, Files(), "")
    try:
        with shielded():
            lease.try_to_say("confirming", 900.0)
            return clean_result(_close(hands, waiting, answer, undo_otherwise, owner))
    finally:
        lease.release(0.0)


def _close(hands: Hands, waiting: t.Sequence[Entry], answer: str | None, undo_otherwise: bool, owner: str) -> dict[str, t.Any]:
    """Confirm oldest first, so that what stays is never built on what goes; then undo newest first."""
    problems: list[str] = []
    failed: list[Entry] = []
    changed = False
    for one in reversed(waiting):
        here = hands._replace(folder=one.folder)
        # what was said a moment ago may be over: the host undoes at the deadline
        now = _journal.read(hands.machine, one.folder)
        if now is None or now.state not in _WAITS:
            problems.append("%s is not confirmed: it is %s%s" % (
                one.id, "gone" if now is None else now.state, " (%s)" % clean(now.why, 100) if now is not None and now.why else ""))
            continue
        problem = answer or ("an earlier change was not confirmed" if failed else None) or _in_effect(here, now) or _make_last(here, now, owner)
        if problem is None:
            changed = True
        else:
            failed.insert(0, now)
            problems.append("%s is not confirmed: %s" % (one.id, problem))
    for one in failed if undo_otherwise else ():
        outcome = _undo.undo(hands._replace(folder=one.folder), _journal.read(hands.machine, one.folder) or one, "failed", by=owner or None)
        changed = changed or outcome.done
        problems.append("%s is undone" % one.id if outcome.done else "CRITICAL: %s is not undone: %s; by hand, as root: %s" % (
            one.id, "; ".join(outcome.problems), outcome.command))
    rows = [describe(hands.machine, _journal.read(hands.machine, one.folder) or one) for one in waiting]
    result: dict[str, t.Any] = {"changed": changed, "entries": rows}
    if problems:
        result.update(failed=True, msg="; ".join(problems))
        if any(problem.startswith("CRITICAL") for problem in problems):
            result["critical"] = True
    return result


def _leave(machine: Machine, entry: Entry, check_mode: bool, owner: str) -> dict[str, t.Any]:
    """A person looked at what somebody else changed since, and says that it stays as it is now: nothing is touched. Raises Refused, OSError, Untrusted."""
    if not check_mode:
        lease = _lock(machine, owner)
        try:
            hands = Hands(machine, Files(), entry.folder)
            Journal(machine, hands.files, entry.folder).write("undone", why="left as it is", by=owner or None)
            _arming.disarm(hands)
        finally:
            lease.release(0.0)
    return {"changed": True, "entries": [describe(machine, _journal.read(machine, entry.folder) or entry)]}


def _nothing_waits(machine: Machine, incident: str, entry: str) -> dict[str, t.Any]:
    """Nothing to confirm: well, unless what was meant was undone by the host in the meantime."""
    meant = [one for one in _journal.entries(machine, incident or entry.split("/")[0] or None) if not entry or one.id == entry]
    newest = meant[-1] if meant and (incident or entry) else None
    if newest is None or newest.state == "confirmed" or (newest.state in _journal.ENDED and newest.why not in ("boot", "deadline", "failed")):
        return {"changed": False, "entries": []}
    if newest.state in _journal.ENDED and not newest.begun:
        return {"changed": False, "entries": []}
    return {
        "failed": True, "changed": False, "entries": [describe(machine, newest)],
        "msg": "%s is not confirmed: it is %s%s" % (newest.id, newest.state, " (%s)" % clean(newest.why, 100) if newest.why else ""),
    }


def _needs_root(machine: Machine) -> None:
    if machine.euid() != 0:
        raise Refused("this needs root: use become")


def _lock(machine: Machine, owner: str) -> _lease.Lease:
    """The lock of the host, whoever has its lease: confirming and undoing are how a lease ends. Raises Refused, OSError, Untrusted."""
    _needs_root(machine)
    files = Files()
    descriptor = files.lock(_lease.PATH, 30.0)
    if descriptor is None:
        raise Refused("another process has been changing this host for 30 s; nothing was done")
    return _lease.Lease(machine, files, descriptor, "closing", owner or "oncall-pressure")


def _earned(machine: Machine, waiting: t.Sequence[Entry], probe: Probe) -> str | None:
    """Watch and ask; null where all is well, else what is not."""
    telling = [one for one in waiting if any(acts_now(operation) for operation, dummy in one.operations)]
    if not telling:
        # what counts at the next start only has not done anything yet, for better or worse
        return None
    services = sorted({str(one.head.get("service")) for one in telling})
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
    """Whether the state is still the one that was meant, but for what a later change of ours made of it."""
    covered: set[tuple[str, ...] | None] = set()
    for later in _journal.above(hands.machine, entry):
        covered |= later.targets()
    for place, (operation, before) in enumerate(entry.operations):
        kind = KINDS[operation["kind"]]
        if place in entry.begun and _journal.target(operation, before) in covered:
            continue
        try:
            if place not in entry.begun or not kind.reached(operation, before, kind.look(hands, operation)):
                return "%s %s is not in effect" % (operation["kind"], clean(what(operation), 200))
        except (Refused, Failed, Conflict, Untrusted, OSError) as problem:
            return str(problem)
    return None


def _make_last(hands: Hands, entry: Entry, owner: str) -> str | None:
    """Write the confirmation, and only then take the arming away; with a lifetime, arm for its end first."""
    machine = hands.machine
    journal = Journal(machine, hands.files, entry.folder)
    lifetime = entry.head.get("lifetime_s")
    try:
        if not lifetime:
            journal.write("confirmed", by=owner or None, deadline_s=None, boot=machine.boot())
            _arming.disarm(hands)
            return None
        ends_s, ends_epoch_s = machine.boot_s() + float(lifetime), machine.now() + float(lifetime)
        how = _arming.arm(hands, entry, str(entry.head.get("python")), float(lifetime), "expire")
        journal.write("confirmed", by=owner or None, how=how, deadline_s=round(ends_s, 3), boot=machine.boot(), expires_epoch_s=round(ends_epoch_s, 3))
        _arming.disarm(hands, ("undo",))
        return None
    except (OSError, Untrusted, Failed) as problem:
        return "it cannot be written down: %s" % problem


def take_back(
    machine: Machine, incident: str, entry: str, force: bool, check_mode: bool, owner: str = "", why: str = "operator",
    unconfirmed_only: bool = False,
) -> dict[str, t.Any]:
    """Undo what is open: one change, an incident, or everything, newest first. What fails is said and the rest goes on. ``why``: operator or NO_EFFECT."""
    try:
        found = _unless_kept(chosen(machine, incident, entry), unconfirmed_only)
        if check_mode or not found:
            return clean_result({"changed": bool(found), "entries": [describe(machine, one) for one in found]})
        lease = _lock(machine, owner)
    except (Refused, OSError, Untrusted) as problem:
        return clean_result({"failed": True, "changed": False, "msg": str(problem)})
    rows: list[dict[str, t.Any]] = []
    problems: list[str] = []
    done: list[str] = []
    changed = critical = False
    try:
        lease.try_to_say("undoing", 900.0)
        # once more, now that nobody else ends or begins anything
        for one in _unless_kept(chosen(machine, incident, entry), unconfirmed_only):
            here = Hands(machine, Files(), one.folder)
            upon = [] if force else _undo.upon(here, one)
            if upon:
                # nothing is tried that must fail: it stays what it is
                problems.append("%s of %s is not undone: %s" % (one.id, clean(str(one.head.get("service")), 200), "; ".join(upon)))
                rows.append(describe(machine, one))
                continue
            with shielded():
                _arm_again(here, one)
                outcome = _undo.undo(here, one, why, force, by=owner or None)
            done += outcome.said
            changed = changed or bool(outcome.done or outcome.said)
            if not outcome.done:
                critical = True
                problems.append("%s of %s is not undone: %s%s; by hand, as root: %s" % (
                    one.id, clean(str(one.head.get("service")), 200), "; ".join(outcome.problems),
                    _CHOICE if outcome.conflict else "", outcome.command))
            rows.append(describe(machine, _journal.read(machine, one.folder) or one))
    finally:
        lease.release(0.0)
    result: dict[str, t.Any] = {"changed": changed, "entries": rows, "said": done}
    if problems:
        result.update(failed=True, critical=critical, msg=("CRITICAL: " if critical else "") + "; ".join(problems))
    return clean_result(result)


def _unless_kept(found: list[Entry], unconfirmed_only: bool) -> list[Entry]:
    """Without those that are confirmed, where only what waits is meant."""
    return [one for one in found if not unconfirmed_only or one.state != "confirmed"]


def _arm_again(hands: Hands, entry: Entry) -> None:
    """What is confirmed has no timer any more: should we be ended in the middle, the host finishes."""
    if entry.state != "confirmed" or _arming.armed(hands):
        return
    try:
        _arming.arm(hands, entry, str(entry.head.get("python")), _FINISH_S)
    except (Failed, OSError):
        # a full disk must not keep anyone from undoing
        return
