# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ask whether a host may be changed now, and whether one step of its plan is to be taken. Decides on the controller, by the ledger of the run."""

from __future__ import annotations

import os
import time
import typing as t

from ansible import constants
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.oncall.pressure.plugins.module_utils._host._text import clean
from ansible_collections.oncall.pressure.plugins.plugin_utils import _ledger, _outcome, _outcome_text, _run
from ansible_collections.oncall.pressure.plugins.plugin_utils._documents import BadDocument, read_document
from ansible_collections.oncall.pressure.plugins.plugin_utils._planned_text import FOR_PEOPLE
from ansible_collections.oncall.pressure.plugins.plugin_utils._values import at


def say(text: str) -> None:
    """A line of progress, on standard output where people read that; nothing for nothing."""
    if text:
        name = str(getattr(constants, "DEFAULT_STDOUT_CALLBACK", "default")).rpartition(".")[2]
        Display().display(text, stderr=name not in FOR_PEOPLE)


def paused(path: str) -> str | None:
    """Why nothing is begun now, null where nobody said so. Where we may not look whether the file is there, it counts as being there."""
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as problem:
        return "whether %s is there cannot be seen (%s)" % (clean(path, 200), problem.strerror)
    return "%s is there" % clean(path, 200)


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
            "pause_file": {"type": "path", "default": "/etc/oncall-pressure/pause"},
            "batch": {"type": "list", "elements": "str", "default": []},
            "step": {"type": "int"},
        })
        host = str((task_vars or {}).get("inventory_hostname") or "")
        if self._task.delegate_to:
            # the plan is for the host of the play, and the change would be made on another
            return {"failed": True, "changed": False, "msg": "refused: remediation is of the host itself and cannot be delegated"}
        pause = paused(options["pause_file"])
        try:
            if options["step"] is None:
                return self._begin(options["report_dir"], host, options["batch"], pause)
            return self._step(options["report_dir"], host, options["step"], pause)
        except (BadDocument, OSError) as problem:
            return {"failed": True, "changed": False, "msg": "the run's documents cannot be used: %s" % clean(str(problem), 500)}

    def _begin(self, report_dir: str, host: str, batch: t.Sequence[str], pause: str | None) -> dict[str, t.Any]:
        planned = at(read_document(os.path.join(report_dir, "plan.json")), "hosts", clean(host))
        if not isinstance(planned, dict) or not planned.get("act"):
            return {"changed": False, "planned": False, "go": False, "why": "nothing is planned for it", "steps": [], "leftover": []}
        with _ledger.alone(report_dir):
            outcomes = _ledger.read_all(report_dir)
            if clean(host) in outcomes:
                return {"changed": False, "planned": False, "go": False, "why": "it was dealt with in this run", "steps": [], "leftover": []}
            outcome = _outcome.begin(clean(host), planned, time.time())
            why = "%s: nothing is begun" % pause if pause else None
            why = why or _ledger.stopped(outcomes, clean(host), [clean(name) for name in batch]) or _other_run(outcome["leftover"])
            if why is not None:
                outcome = _outcome.closed(clean(host), "held", why, time.time())
            _ledger.write(report_dir, outcome)
        say(_outcome_text.begun(outcome))
        return {"changed": False, "planned": True, "go": why is None, "why": why, "steps": [step["number"] for step in outcome["steps"]],
                "leftover": outcome["leftover"]}

    def _step(self, report_dir: str, host: str, number: int, pause: str | None) -> dict[str, t.Any]:
        outcome = _ledger.read(report_dir, clean(host))
        if outcome is None or not 0 <= number < len(outcome["steps"]):
            return {"failed": True, "changed": False, "msg": "no step %d is planned for this host" % number}
        step = outcome["steps"][number]
        taking = _outcome.taking(outcome, number, bool(self._task.check_mode))
        if taking.take and pause:
            taking = _outcome.Taking(False, "%s: no further step is taken" % pause)
        if not taking.take:
            step["why"] = taking.why
            if _outcome.effect(outcome, step) == "clear" and step["state"] == "waiting":
                step["state"] = "needless"
        else:
            step.update(state="taken", why=None, taken_s=round(time.time(), 1), clear_before=_outcome.note_clear(outcome))
            say(_outcome_text.taken(outcome, number))
        _ledger.write(report_dir, outcome)
        return {"changed": False, "take": taking.take, "why": taking.why, "mitigation": step["mitigation"], "variables": step["variables"],
                "reason": _outcome_text.reason(step)}


def _other_run(entries: t.Sequence[str]) -> str | None:
    """Why changes that wait on the host are not ours to end: the run that made them goes on. (The plan holds hosts that others change.)"""
    going = [entry for entry in entries if _run.alive(entry.partition("/")[0])]
    return "another run of yours, which goes on, has change %s open there" % clean(going[0], 80) if going else None
