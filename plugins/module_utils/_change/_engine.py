# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Make a change that undoes itself: look, write down, save, arm, do, read back; undo at once where it did not come out.

Private to oncall.pressure: no stable interface. The order is the promise: nothing is touched before its undoing is armed.
"""

from __future__ import annotations

import sys
import time
import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._change import _arming, _bundle, _file, _health, _journal, _lease, _limits, _program, _undo
from ansible_collections.oncall.pressure.plugins.module_utils._change._arguments import Settings
from ansible_collections.oncall.pressure.plugins.module_utils._change._journal import Journal
from ansible_collections.oncall.pressure.plugins.module_utils._change._kinds import Conflict, Failed, Hands, Operation, Refused, State, acts_now
from ansible_collections.oncall.pressure.plugins.module_utils._change._listing import READ_ONLY
from ansible_collections.oncall.pressure.plugins.module_utils._change._registry import KINDS
from ansible_collections.oncall.pressure.plugins.module_utils._host._files import Files, Untrusted
from ansible_collections.oncall.pressure.plugins.module_utils._host._interrupts import Interrupted, interruptible, shielded
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine
from ansible_collections.oncall.pressure.plugins.module_utils._host._text import clean, clean_tree, decode
from ansible_collections.oncall.pressure.plugins.module_utils._version import VERSION

#: Kept free in the entry's folder until an undo needs it, in bytes.
_RESERVE = 65536

#: The pythons that root may trust when the one that runs us lies in somebody's folder.
_PYTHONS = ("/usr/bin/python%d.%d" % sys.version_info[:2], "/usr/bin/python3", "/usr/libexec/platform-python")
#: What a path in a unit file is made of: anything else would have to be escaped.
_PATH_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._+-")

_DRY_RUN_S = 30.0


class Plan(t.NamedTuple):
    """One change.

    mitigation: its id; service: id as in the snapshot
    operations: in the order of doing
    settle_s: how long to wait before the effect is looked at once more
    notes: figures and formulas for a person; proposals: further steps that a person may take
    reversible: fully, partly or no
    checks: asked once everything was done; what one of them says is wrong has everything put back
    """

    mitigation: str
    service: str
    operations: t.Sequence[Operation]
    settle_s: float = 2.0
    notes: t.Mapping[str, t.Any] = {}
    proposals: t.Sequence[str] = ()
    reversible: str = "fully"
    checks: t.Sequence[t.Callable[[], t.Sequence[str]]] = ()


class _Step(t.NamedTuple):
    operation: Operation
    before: State


def run_change(machine: Machine, settings: Settings, plan: Plan, check_mode: bool, diff: bool) -> dict[str, t.Any]:
    """Make the change or, in check mode, say what it would be. Gives what the module returns; ``failed`` with ``msg`` where it did not come out."""
    files = Files()
    base: dict[str, t.Any] = {
        "changed": False, "service": plan.service, "notes": dict(plan.notes), "proposals": list(plan.proposals), "operations": [],
    }
    try:
        hands = Hands(machine, files, "")
        incident = settings.incident or time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(machine.now())) + "-%d" % machine.pid()
        if check_mode:
            steps = _steps(hands, plan)
            if steps:
                _guard(machine, settings, plan, incident)
                _lease.check(machine, incident)
            return clean_result(dict(base, **_prediction(hands, steps, diff)))
        if not _steps(hands, plan):
            return clean_result(base)
        _guard(machine, settings, plan, incident)
        return clean_result(_under_lease(hands, settings, plan, incident, base, diff))
    except Refused as problem:
        return clean_result(dict(base, failed=True, refused=True, msg="refused: %s" % problem))
    except (Failed, Conflict, Untrusted, OSError, ImportError) as problem:
        return clean_result(dict(base, failed=True, msg="nothing was changed: %s" % problem))


def clean_result(result: dict[str, t.Any]) -> dict[str, t.Any]:
    """Everything that goes out, cleaned once more; a diff's lines were cleaned one by one."""
    cleaned: dict[str, t.Any] = clean_tree({key: value for key, value in result.items() if key != "diff"})
    if "diff" in result:
        cleaned["diff"] = result["diff"]
    return cleaned


def _steps(hands: Hands, plan: Plan) -> list[_Step]:
    """The operations that have something to do, numbered, with the state before. Raises Refused."""
    steps: list[_Step] = []
    for operation in plan.operations:
        kind = KINDS[operation["kind"]]
        before = kind.look(hands, operation)
        if not kind.reached(operation, before, before):
            steps.append(_Step(dict(operation, number=len(steps)), before))
    return steps


def _prediction(hands: Hands, steps: t.Sequence[_Step], diff: bool) -> dict[str, t.Any]:
    """What changes, without times and numbers of this moment: the run shows the same."""
    result: dict[str, t.Any] = {"changed": bool(steps), "operations": [], "acts_now": any(acts_now(step.operation) for step in steps)}
    blocks = []
    for step in steps:
        shown = KINDS[step.operation["kind"]].show(hands, step.operation, step.before)
        if shown is None:
            continue
        result["operations"].append({"kind": step.operation["kind"], "what": shown.header})
        blocks.append({"before_header": shown.header, "after_header": shown.header, "before": shown.before, "after": shown.after})
    if diff and blocks:
        result["diff"] = blocks
    return result


def _guard(machine: Machine, settings: Settings, plan: Plan, incident: str) -> None:
    """Everything on this host that speaks against a change. Raises Refused."""
    # a link that leads nowhere counts, too: whoever put it there meant it
    if Files(machine.root).exists(READ_ONLY):
        raise Refused("this host is set to read-only (%s)" % READ_ONLY)
    if machine.euid() != 0:
        raise Refused("a change needs root: use become")
    if plan.reversible == "no" and not settings.accept_irreversible:
        raise Refused("%s cannot be put back; say accept_irreversible to do it all the same" % plan.mitigation)
    _limits.check(_journal.entries(machine), plan.mitigation, plan.service, incident, lambda entry: entry.age_s(machine), settings.limits)


def _under_lease(hands: Hands, settings: Settings, plan: Plan, incident: str, base: dict[str, t.Any], diff: bool) -> dict[str, t.Any]:
    lease = _lease.take(hands.machine, hands.files, incident, settings.owner)
    result: dict[str, t.Any] = {}
    try:
        with interruptible():
            result = _in_turn(hands, lease, settings, plan, incident, base, diff)
            return result
    except Interrupted as interruption:
        # between two steps of ours: what was armed undoes itself
        return dict(base, failed=True, msg="interrupted by %s" % interruption)
    finally:
        lease.release(settings.confirm_within_s if result.get("state") == "verified" else 0.0)


def _in_turn(
    hands: Hands, lease: _lease.Lease, settings: Settings, plan: Plan, incident: str, base: dict[str, t.Any], diff: bool
) -> dict[str, t.Any]:
    """All steps, with the lease. Once the entry is armed, whatever goes wrong ends with putting back."""
    machine = hands.machine
    armed: Hands | None = None
    result = base
    try:
        lease.say("preparing", 60.0)
        _undo.sweep(hands, _journal.entries(machine))
        # once more, now that nobody else changes anything
        _guard(machine, settings, plan, incident)
        steps = _steps(hands, plan)
        if not steps:
            return base
        result = dict(base, **_prediction(hands, steps, diff))
        armed, entry = _prepare(hands, settings, plan, incident, steps)
        # who undoes when the time is over must know whom to end
        lease.try_to_say("applying", settings.confirm_within_s)
        problem = _apply(armed, plan, steps)
        if problem is not None:
            return dict(result, **_taken_back(armed, problem))
        return dict(result, incident=incident, entry=entry, state="verified", confirm_within_s=settings.confirm_within_s)
    except Interrupted as interruption:
        if armed is None:
            return dict(base, failed=True, msg="interrupted by %s before anything was changed" % interruption)
        return dict(result, **_taken_back(armed, "interrupted by %s" % interruption))
    except BaseException as problem:
        if armed is not None:
            # a fault of ours: it is told as such, but nothing waits for the deadline
            _taken_back(armed, str(problem))
        raise


def _prepare(hands: Hands, settings: Settings, plan: Plan, incident: str, steps: t.Sequence[_Step]) -> tuple[Hands, str]:
    """Write down, save, arm. What fails here has changed nothing, and its arming is taken away again."""
    machine, files = hands.machine, hands.files
    python = trusted_python(files)
    last = max([entry.order[0] for entry in _journal.entries(machine)] or [0])
    folder = _journal.new_folder(files, incident)
    hands = hands._replace(folder=folder)
    journal = Journal(machine, files, folder)
    try:
        journal.write(
            "intent", sequence=last + 1, boot=machine.boot(), incident=incident, run=incident, mitigation=plan.mitigation, service=plan.service,
            owner=settings.owner, reason=settings.reason, confirm_within_s=settings.confirm_within_s, lifetime_s=settings.lifetime_s,
            reversible=plan.reversible,
            operations=[{"operation": _file.journaled(step.operation), "before": step.before} for step in steps],
            health=_health.look(machine, plan.service), python=python, version=VERSION,
        )
        for step in steps:
            KINDS[step.operation["kind"]].save(hands, step.operation, step.before)
        files.write(folder + "/" + _bundle.NAME, _bundle.build(), {"mode": "0600"})
        originals = sum(int(step.before.get("bytes") or 0) for step in steps if step.operation["kind"] == "file")
        files.write(folder + "/reserve", b"\0" * (_RESERVE + originals), {"mode": "0600"})
        journal.write("saved")
        _dry_run(machine, python, folder)
        entry = _journal.read(machine, folder)
        if entry is None:
            raise Failed("the journal cannot be read back")
        deadline_s = machine.boot_s() + settings.confirm_within_s
        how = _arming.arm(hands, entry, python, settings.confirm_within_s)
        journal.write("armed", how=how, deadline_s=round(deadline_s, 3), boot=machine.boot())
        return hands, entry.id
    except BaseException as problem:
        journal.try_to_write("undone", why="never begun: %s" % clean(str(problem), 300))
        _arming.disarm(hands)
        raise


def trusted_python(files: Files) -> str:
    """An interpreter for what the host runs by itself, that nobody but root can change. Raises Refused."""
    for path in (sys.executable,) + _PYTHONS:
        if path and not set(path) - _PATH_LETTERS and files.trusted(path):
            return path
    raise Refused("no Python here is safe from others' hands: %s" % clean(", ".join((sys.executable,) + _PYTHONS), 300))


def _dry_run(machine: Machine, python: str, folder: str) -> None:
    """The undo program must start and find everything that it will need."""
    outcome = machine.run([python, "-I", folder + "/" + _bundle.NAME, _program.CHECK], _DRY_RUN_S)
    if outcome.status != 0:
        said = clean(decode(outcome.out + outcome.err).strip()[-600:], 600)
        raise Failed("the undo program failed when it was tried: %s" % (said or "no answer"))


def _apply(hands: Hands, plan: Plan, steps: t.Sequence[_Step]) -> str | None:
    """Do every operation and read back what it did; null where all is as it should be, else what is not."""
    journal = Journal(hands.machine, hands.files, hands.folder)
    before = _health.look(hands.machine, plan.service)
    # what stops the service, and what counts at its next start only, is not measured by whether it runs
    stops = any(step.operation.get("unit") == plan.service and step.operation.get("verb") == "stop" for step in steps)
    watched = before["active"] and not stops and any(acts_now(step.operation) for step in steps)
    try:
        for place, step in enumerate(steps):
            journal.write("applying", operation=place)
            KINDS[step.operation["kind"]].apply(hands, step.operation, step.before)
        journal.write("applied")
        if not hands.machine.root:
            hands.machine.sleep(plan.settle_s)
        problem = _not_reached(hands, steps)
        if problem is None and watched and _health.look(hands.machine, plan.service)["active"] is False:
            problem = "%s is no longer active" % plan.service
        if problem is None:
            problem = "; ".join(said for check in plan.checks for said in check()) or None
        if problem is None:
            journal.write("verified")
        return problem
    except (Refused, Failed, Conflict, Untrusted, OSError) as failure:
        return str(failure)


def _not_reached(hands: Hands, steps: t.Sequence[_Step]) -> str | None:
    for step in steps:
        kind = KINDS[step.operation["kind"]]
        if not kind.reached(step.operation, step.before, kind.look(hands, step.operation)):
            return "%s of %s did not take effect" % (step.operation["kind"], clean(str(step.operation.get("unit") or step.operation.get("path") or "it"), 200))
    return None


def _taken_back(hands: Hands, problem: str) -> dict[str, t.Any]:
    """Undo at once what did not come out."""
    with shielded():
        entry = _journal.read(hands.machine, hands.folder)
        if entry is None:
            return {"failed": True, "msg": "%s; and the journal of it cannot be read: %s" % (problem, hands.folder)}
        outcome = _undo.undo(hands, entry, "failed")
    row: dict[str, t.Any] = {
        "failed": True, "changed": not outcome.done, "entry": entry.id, "incident": entry.incident, "undo": outcome.said + outcome.problems,
    }
    if outcome.done:
        return dict(row, state="undone", msg="%s; everything was put back" % problem)
    return dict(row, state="undo_failed", critical=True, msg="CRITICAL: %s; and it is not put back: %s; by hand, as root: %s" % (
        problem, "; ".join(outcome.problems), outcome.command))
