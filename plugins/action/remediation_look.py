# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Measure a host again, once or until it is well, and decide by the rules that justified a step what becomes of it."""

from __future__ import annotations

import os
import time
import typing as t

from ansible.errors import AnsibleConnectionFailure, AnsibleError
from ansible.plugins.action import ActionBase

from ansible_collections.oncall.pressure.plugins.action.diagnose import CHECKLIST, SHIPPED, mapping
from ansible_collections.oncall.pressure.plugins.action.remediation_gate import say
from ansible_collections.oncall.pressure.plugins.module_utils._host._text import clean
from ansible_collections.oncall.pressure.plugins.plugin_utils import _checks, _documents, _ledger, _outcome, _outcome_text
from ansible_collections.oncall.pressure.plugins.plugin_utils._checklist import load_checklist
from ansible_collections.oncall.pressure.plugins.plugin_utils._located import BadFile
from ansible_collections.oncall.pressure.plugins.plugin_utils._rules import load_rules, resolve_thresholds
from ansible_collections.oncall.pressure.plugins.plugin_utils._verdict import shorter, standing

#: Seconds between two looks, least and most.
_PAUSE_S: t.Final = (5.0, 30.0)

#: Looks in a row without an answer after which a host that was well is lost: one may be missed for load.
_SILENT: t.Final = 3

#: The traffic window that thresholds of requests are meant for, in seconds: the diagnosis's own.
_TRAFFIC_S: t.Final = 600


class Seen(t.NamedTuple):
    """One look: how each justification stands (``lost`` where the host did not answer), what was missing, the snapshot."""

    effects: dict[_outcome.Key, str]
    missing: list[str]
    snapshot: dict[str, t.Any] | None


class ActionModule(ActionBase):
    """The action of the remediation_look module; it runs the snapshot module."""

    TRANSFERS_FILES = False
    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        super().run(tmp, task_vars)
        self._vars = task_vars or {}
        dummy, self._given = self.validate_argument_spec(argument_spec={
            "report_dir": {"type": "path", "required": True},
            "purpose": {"type": "str", "choices": ["before", "step", "closing"], "required": True},
            "step": {"type": "int"},
            "change": {"type": "dict", "default": {}},
            "settle": {"type": "float", "default": 30.0},
            "patience": {"type": "float", "default": 180.0},
            "stable_for": {"type": "float", "default": 600.0},
            "window": {"type": "float", "default": 2.0},
            "timeout": {"type": "float", "default": 15.0},
            "rules_dirs": {"type": "list", "elements": "path", "default": []},
            "thresholds": {"type": "dict", "default": {}},
            "probe_url": {"type": "str", "default": ""},
            "probe_status": {"type": "list", "elements": "int", "default": [200]},
        })
        host = clean(str(self._vars.get("inventory_hostname") or ""))
        try:
            outcome = _ledger.read(self._given["report_dir"], host)
            if outcome is None:
                return {"failed": True, "changed": False, "msg": "this host was never begun: ask remediation_gate first"}
            rules = load_rules(SHIPPED, self._given["rules_dirs"]).rules
            # of the checklist only the names count here: what is set for it is no mistake
            everything = {**rules, **load_checklist(CHECKLIST)}
            self._rules, self._thresholds = rules, resolve_thresholds(everything, mapping(self._given["thresholds"]))
            return {"before": self._before, "step": self._step, "closing": self._closing}[self._given["purpose"]](outcome)
        except (_documents.BadDocument, BadFile, ValueError, OSError) as problem:
            return {"failed": True, "changed": False, "msg": clean(str(problem), 1000)}

    def _before(self, outcome: dict[str, t.Any]) -> dict[str, t.Any]:
        """One look before the first step: the plan may be older than what it is for."""
        if self._task.check_mode:
            return {"changed": False, "effect": None, "decision": "none"}
        seen = self._look(outcome, 3600, _TRAFFIC_S)
        if seen.snapshot is None:
            return self._lost(outcome, None, seen)
        _outcome.note_effects(outcome, seen.effects)
        outcome["quiet_s"] = round(_outcome.quiet_s(seen.snapshot), 1)
        _ledger.write(self._given["report_dir"], outcome)
        say(_outcome_text.looked(outcome))
        return {"changed": False, "effect": None, "decision": "none"}

    def _step(self, outcome: dict[str, t.Any]) -> dict[str, t.Any]:
        """Watch what a step did, until what asked for it is clear twice in a row or patience ends."""
        number, change = int(self._given["step"] or 0), self._given["change"]
        step = outcome["steps"][number]
        step.update(entry=_name(change.get("entry")), incident=_name(change.get("incident")), acts_now=change.get("acts_now"))
        if change.get("unreachable"):
            return self._lost(outcome, step, Seen({}, [str(change.get("msg") or "no answer")], None))
        if self._task.check_mode or not change.get("changed"):
            step["state"] = "checked" if self._task.check_mode else "nothing"
            _ledger.write(self._given["report_dir"], outcome)
            say(_outcome_text.decided(outcome, number, "none"))
            return {"changed": False, "effect": None, "decision": "none", "undo": []}
        if step["entry"] is None or step["incident"] is None:
            # without its name it could be neither kept nor put back, and an empty one would mean every change of the host
            return {"failed": True, "changed": False, "msg": "the host did not say which change it made: it undoes that itself"}
        step["state"] = "applied"
        _ledger.write(self._given["report_dir"], outcome)
        found, seen = self._watch(outcome, step, number)
        if found == "lost":
            return self._lost(outcome, step, seen)
        decision = _outcome.decide(outcome, number, found)
        step["seconds"] = round(time.time() - float(step.get("taken_s") or time.time()), 1)
        step["why"] = seen.missing[0] if found == "easing" else None if found == "clear" else "%s of %s %s" % (
            step["rule"], step["service"] or "the host", "still holds" if found == "held" else "is not known: %s" % ", ".join(seen.missing[:3]))
        if found == "easing":
            _outcome.note_effects(outcome, {_outcome.key(step): "easing"})
        if decision == "carry":
            step["state"] = "carried"
        _ledger.write(self._given["report_dir"], outcome)
        say(_outcome_text.decided(outcome, number, decision))
        self._renew()
        return {"changed": False, "effect": found, "decision": decision, "incident": step["incident"],
                "undo": _outcome.together(outcome, number) if decision == "undo" else []}

    def _watch(self, outcome: dict[str, t.Any], step: dict[str, t.Any], number: int) -> tuple[str, Seen]:
        """held, clear, unknown, easing or lost, and the last look. What counts only at a restart that is the next step is not waited for."""
        least = self._given["settle"]
        most = least if step.get("acts_now") is False and _outcome.restart_follows(outcome, number) else max(self._given["patience"], least)
        # where the rule asks for kills: two looks between two of them would call anything a relief
        rule = self._rules.get(step["rule"])
        counts_kills = rule is not None and any(place.startswith("derived.kills.") for place in rule.facts.values())
        quiet = min(float(outcome.get("quiet_s") or 0.0), most) if counts_kills else 0.0
        say(_outcome_text.watching(outcome, max(least, quiet), most))
        started = time.monotonic()
        _sleep(least)
        clear, told = 0, ""
        while True:
            # Kills that came before it could help are not held against it; rare ones must be missed for longer than a moment.
            passed = time.monotonic() - started
            seen = self._look(outcome, max(int(least), int(passed / 2), 10), max(int(passed), 30))
            found = seen.effects.get(_outcome.key(step), "lost")
            clear = clear + 1 if found == "clear" else 0
            if seen.snapshot is not None:
                _outcome.note_effects(outcome, seen.effects)
            elapsed = time.monotonic() - started
            if found != told and (found != "clear" or clear == 2):
                say(_outcome_text.standing(outcome, elapsed, found, seen.missing))
                told = found
            if clear >= 2 and elapsed >= quiet:
                return found, seen
            if elapsed >= most and clear == 0:
                easing = _outcome.left_to_finish(step, seen.snapshot, passed) if found == "held" and seen.snapshot is not None else None
                return ("easing", seen._replace(missing=[easing])) if easing else (found, seen)
            _sleep(min(max(least / 4, 1.0), _PAUSE_S[0]))

    def _closing(self, outcome: dict[str, t.Any]) -> dict[str, t.Any]:
        """Watch until all four checks held for long enough, or it is seen that they will not."""
        if outcome["state"] != "improved" or self._task.check_mode:
            return {"changed": False, "effect": None, "decision": "none"}
        services = {str(row["service"]) for row in outcome["justified"] if row["service"]}
        stable_for = self._given["stable_for"]
        started = since = time.monotonic()
        # between keeping a step and this watch lie the turns of other hosts
        kept_s = max([float(step.get("kept_s") or 0.0) for step in outcome["steps"]] or [0.0]) or time.time()
        first: dict[str, t.Any] | None = None
        told, silent = "", 0
        while True:
            began = time.monotonic()
            seen = self._look(outcome, max(int(time.time() - kept_s), 1), max(int(began - started), 30))
            if seen.snapshot is None:
                silent, since = silent + 1, time.monotonic()
                if silent < _SILENT:
                    _sleep(min(max(stable_for / 10, 1.0), _PAUSE_S[0]))
                    continue
                outcome.update(
                    state="lost", why="no answer while it was watched: %s" % clean(", ".join(seen.missing), 300), ended_s=round(time.time(), 1))
                break
            silent = 0
            first = first or seen.snapshot
            found = _checks.checks(first, seen.snapshot, services, self._probe())
            held = [row for row in outcome["justified"] if seen.effects.get(_outcome.key(row)) == "held"]
            if held:
                words = "what began before is not finished" if held[0]["effect"] == "easing" else "%s holds again" % clean(held[0]["rule"], 100)
                found["stable"] = _checks.Check(False, words)
            outcome["checks"] = {name: check._asdict() for name, check in found.items()}
            good = all(check.holds is True for check in found.values())
            now = time.monotonic()
            since = since if good else now
            words = _outcome_text.watched(outcome, now - started, stable_for, found)
            if words.partition(":")[2] != told.partition(":")[2]:
                say(words)
                told = words
            if good and now - since >= stable_for:
                outcome.update(state="closed", why=None, ended_s=round(time.time(), 1))
                break
            # a stretch that is under way may still come to its end
            if now - started >= stable_for and not good or now - started >= 2 * stable_for + 60:
                outcome["why"] = "; ".join(check.why for check in found.values() if check.holds is not True)[:500] or None
                if any(row["effect"] != "easing" for row in held):
                    # what was kept has not cleared it for good: no success, whatever was seen before
                    outcome["state"] = "partly"
                break
            _sleep(min(max(stable_for / 10, _PAUSE_S[0] if stable_for > 60 else 1.0), _PAUSE_S[1]))
        _ledger.write(self._given["report_dir"], outcome)
        say(_outcome_text.ended(outcome))
        return {"changed": False, "effect": None, "decision": "none", "state": outcome["state"]}

    def _look(self, outcome: dict[str, t.Any], oom_window: int, traffic_window: int) -> Seen:
        """Measure once, keep the document with the run's, and see how every justification stands."""
        document = self._snapshot({
            "window": self._given["window"], "timeout": self._given["timeout"],
            "oom_window": min(oom_window, 604800), "traffic_window": min(traffic_window, 86400),
        })
        number = int(outcome.get("looks") or 0) + 1
        outcome["looks"] = number
        folder = os.path.join(self._given["report_dir"], "looks", "%02d" % number)
        _documents.make_folder(folder)
        _documents.write_snapshot(folder, outcome["host"], document)
        if "unreached" in document:
            return Seen({}, [str(document["unreached"])], None)
        effects: dict[_outcome.Key, str] = {}
        missing: list[str] = []
        for row in outcome["justified"]:
            rule = self._rules.get(row["rule"])
            if rule is None:
                found, gaps = "unknown", ["there is no rule %s" % row["rule"]]
            else:
                limits = shorter(self._thresholds[rule.id], min(traffic_window / _TRAFFIC_S, 1.0))
                found, gaps = standing(document, rule, row["service"], limits, row.get("about") if rule.subject == "job" else None)
            effects[_outcome.key(row)] = found
            missing += gaps
        return Seen(effects, missing, document)

    def _snapshot(self, arguments: dict[str, t.Any]) -> dict[str, t.Any]:
        """What the action of the snapshot module gives: a document in any case."""
        task = self._task.copy()
        task.args = arguments
        action = self._shared_loader_obj.action_loader.get(
            "oncall.pressure.snapshot", task=task, connection=self._connection, play_context=self._play_context, loader=self._loader,
            templar=self._templar, shared_loader_obj=self._shared_loader_obj)
        result = action.run(task_vars=self._vars)
        document = result.get("snapshot")
        return document if isinstance(document, dict) else _documents.unreached("", str(result.get("msg") or "no answer"))

    def _probe(self) -> _checks.Check | None:
        """What the probe says, asked from the host itself; null where none is set."""
        url = self._given["probe_url"]
        if not url:
            return None
        try:
            result = self._execute_module(
                module_name="ansible.builtin.uri", task_vars=self._vars,
                module_args={"url": url, "status_code": self._given["probe_status"], "timeout": 10, "follow_redirects": "none"})
        except (AnsibleError, AnsibleConnectionFailure) as problem:
            return _checks.Check(None, "the probe could not be made: %s" % clean(str(problem), 200))
        return _checks.Check(not result.get("failed"), "%s answers %s" % (clean(url, 200), clean(str(result.get("status")), 20)))

    def _renew(self) -> None:
        """What keeps a change must come over a connection of its own: the one that made it may be the only one that still works."""
        reset = getattr(self._connection, "reset", None)
        if reset is not None:
            reset()

    def _lost(self, outcome: dict[str, t.Any], step: dict[str, t.Any] | None, seen: Seen) -> dict[str, t.Any]:
        """The host does not answer any more: what is not confirmed there, it undoes by itself."""
        why = "no answer: %s" % clean(", ".join(seen.missing), 500)
        if step is not None:
            step.update(state="lost", why=why)
        outcome.update(state="lost", why=why, ended_s=round(time.time(), 1))
        _ledger.write(self._given["report_dir"], outcome)
        say(_outcome_text.standing(outcome, 0, "lost"))
        return {"changed": False, "effect": "lost", "decision": "none", "undo": []}


def _name(value: t.Any) -> str | None:
    """The name of an incident or a change, as the engine gives them; null for anything else."""
    text = str(value or "")
    return text if text and len(text) <= 80 and not set(text) - set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-/") else None


def _sleep(seconds: float) -> None:
    time.sleep(max(seconds, 0.0))
