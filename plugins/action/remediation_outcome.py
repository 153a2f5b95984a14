# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Write down how a step or a host ended, and say at last how all did."""

from __future__ import annotations

import os
import time
import typing as t

from ansible.plugins.action import ActionBase

from ansible_collections.oncall.pressure.plugins.action.diagnose import inventory_words
from ansible_collections.oncall.pressure.plugins.action.remediation_gate import say
from ansible_collections.oncall.pressure.plugins.module_utils._host._text import clean
from ansible_collections.oncall.pressure.plugins.plugin_utils import _ledger, _outcome, _outcome_text
from ansible_collections.oncall.pressure.plugins.plugin_utils._documents import BadDocument, read_document
from ansible_collections.oncall.pressure.plugins.plugin_utils._values import at, num


class ActionModule(ActionBase):
    """Touches no host."""

    _requires_connection = False
    _supports_check_mode = True
    _supports_async = False
    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        super().run(tmp, task_vars)
        dummy, options = self.validate_argument_spec(argument_spec={
            "report_dir": {"type": "path", "required": True},
            "state": {"type": "str", "choices": ["kept", "put_back", "failed", "ended", "told"], "required": True},
            "step": {"type": "int"},
            "results": {"type": "list", "elements": "dict", "default": []},
        })
        host = clean(str((task_vars or {}).get("inventory_hostname") or ""))
        folder = options["report_dir"]
        try:
            if options["state"] == "told":
                return self._tell(folder)
            outcome = _ledger.read(folder, host)
            if outcome is None:
                return {"failed": True, "changed": False, "msg": "this host was never begun: ask remediation_gate first"}
            if options["state"] == "ended":
                return self._end(folder, outcome, options["results"])
            return self._step(folder, outcome, int(options["step"] or 0), options["state"], options["results"])
        except (BadDocument, OSError) as problem:
            return {"failed": True, "changed": False, "msg": "the run's documents cannot be used: %s" % clean(str(problem), 500)}

    def _step(self, folder: str, outcome: dict[str, t.Any], number: int, done: str, results: t.Sequence[t.Mapping[str, t.Any]]) -> dict[str, t.Any]:
        """How a step ended. ``undo`` lists what must be put back besides, where what it was carried to did not come out."""
        step = outcome["steps"][number]
        lost = next((row for row in results if row.get("unreachable")), None)
        undo: list[str] = []
        if lost is not None:
            step.update(state="lost", why="no answer: %s" % clean(str(lost.get("msg") or ""), 500))
        elif done == "kept":
            own = [row for result in results for row in result.get("entries") or [] if at(row, "entry") == step["entry"]]
            now = next((str(at(row, "state")) for row in own), None)
            left = next((seconds for seconds in (num(row, "undone_in_s") for row in own) if seconds), None)
            step.update(state="confirmed", lifetime_s=left, kept_s=round(time.time(), 1))
            if now != "confirmed":
                # nothing waited any more, which is no failure of the module's: an operator's rollback came while it was watched
                step.update(state="failed", why="it did not wait to be confirmed any more: somebody else confirmed it or undid it (oncall.pressure.status)")
        elif done == "put_back":
            step["state"] = "undone"
        else:
            state, why = _outcome.failed(results[0] if results else {})
            step.update(state=state, why=why)
            undo = _outcome.together(outcome, number)[1 if step["entry"] else 0:] if state in ("refused", "undone") else []
        if step["state"] in ("undone", "failed", "lost"):
            _outcome.forget_effect(outcome, number)
        if step["state"] in ("confirmed", "undone"):
            _outcome.settle_carried(outcome, number, step["state"])
        _ledger.write(folder, outcome)
        say(_outcome_text.noted(outcome, number))
        return {"changed": False, "step_state": step["state"], "undo": undo}

    def _end(self, folder: str, outcome: dict[str, t.Any], results: t.Sequence[t.Mapping[str, t.Any]]) -> dict[str, t.Any]:
        if outcome["state"] == _ledger.BEGUN:
            _outcome.finish(outcome, time.time())
            # an empty result: another host of the play failed, and Ansible has every host rescued
            problem = _outcome.first_failure(results[0]) if results else {}
            if problem.get("msg") and outcome["state"] in ("unchanged", "moved_on", "checked"):
                outcome.update(state="failed", why=clean(str(problem["msg"]), 1000))
            _ledger.write(folder, outcome)
            say(_outcome_text.ended(outcome))
        return {"changed": False, "state": outcome["state"], "why": outcome["why"], "bad": outcome["state"] not in _ledger.GOOD}

    def _tell(self, folder: str) -> dict[str, t.Any]:
        """The summary, and by host (as the documents name it) why it is no success."""
        outcomes = _ledger.read_all(folder)
        planned = at(read_document(os.path.join(folder, "plan.json")), "hosts")
        for host, row in sorted((planned or {}).items() if isinstance(planned, dict) else ()):
            if isinstance(row, dict) and row.get("act") and host not in outcomes:
                outcomes[host] = _outcome.closed(host, "held", "the run ended before its turn", time.time())
        say(_outcome_text.summary(outcomes, inventory_words()))
        bad = {host: "%s%s" % (outcome.get("state"), ": %s" % outcome["why"] if outcome.get("why") else "")
               for host, outcome in outcomes.items() if outcome.get("state") not in _ledger.GOOD}
        return {"changed": False, "bad": {clean(host): clean(why, 500) for host, why in bad.items()}, "good": sorted(set(outcomes) - set(bad))}
