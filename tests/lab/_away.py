# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is left of a diagnosis without one collector, and of one that another user asks for: right, less sure, unknown, or WRONG.

Without a collector nothing is asked of the host again: the snapshot that was saved is judged anew, here.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from _common import ROOT

GRADES = ("right", "less sure", "unknown", "WRONG")

# Who looks a second time: variables of that diagnosis, and the grades that are an answer. Whoever may become root sees what root sees.
LOOKS: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "ordinary": ({"ansible_user": "ordinary", "pressure_become": False}, ("right", "less sure", "unknown")),
    "sudo": ({"ansible_user": "op", "pressure_become": True}, ("right", "less sure")),
}


class Judge:
    """The shipped rules, and the thresholds of one incident."""

    def __init__(self, variables: dict[str, Any]) -> None:
        # the lab starts without the collection, which only this needs
        sys.path[:0] = [str(ROOT / ".venv" / "collections"), str(ROOT / "tests" / "tools")]
        import away
        from ansible_collections.oncall.pressure.plugins.plugin_utils import _documents, _rules, _verdict

        self.away, self._documents, self._verdict = away, _documents, _verdict
        self._rules = _rules.load_rules(str(ROOT / "roles" / "diagnose" / "files" / "rules")).rules
        self._thresholds = _rules.resolve_thresholds(self._rules, variables.get("pressure_thresholds"))

    def snapshot(self, folder: str, host: str) -> dict[str, Any] | None:
        """What a host said in the latest run, null where it said nothing."""
        path = Path(self._documents.snapshot_path(str(Path(folder) / "latest"), host))
        document = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"unreached": ""}
        return document if "unreached" not in document else None

    def row(self, document: dict[str, Any]) -> dict[str, Any]:
        return self._verdict.judge(document, self._rules, self._thresholds)


def taken_away(folder: str, host: str, others: list[str], incident: dict[str, Any]) -> dict[str, Any]:
    """``{"grades": {collector: grade}, "why": {collector: text}, "absent": [collector], "others": {grade: n}, "wrong": [text]}`` of the latest run.

    ``absent`` are the collectors that found nothing of theirs on the host: what became of it without them is no loss.
    """
    judge = Judge(incident.get("variables", {}))
    found: dict[str, Any] = {"grades": {}, "why": {}, "absent": [], "others": dict.fromkeys(GRADES, 0), "wrong": []}
    for name in [host, *others]:
        document = judge.snapshot(folder, name)
        if document is None:
            continue
        expected = incident["expected"] if name == host else "healthy"
        whole = judge.row(document)
        for collector in judge.away.COLLECTORS:
            worth = judge.away.worth(judge.row(judge.away.without(document, collector)), whole, expected)
            if worth.grade == "WRONG":
                found["wrong"].append("{0} without {1}: {2}".format(name, collector, worth.why))
            if name != host:
                found["others"][worth.grade] += 1
                continue
            found["grades"][collector] = worth.grade
            if worth.why:
                found["why"][collector] = worth.why[:300]
            if document["collectors"].get(collector, {}).get("status") == "absent":
                found["absent"].append(collector)
    return found


def graded(document: dict[str, Any], folder: str, host: str, whole: dict[str, Any], incident: dict[str, Any]) -> tuple[str, str]:
    """(grade, why) of another look at a host: ``document`` is its diagnosis, ``whole`` the host's row of the first one, ``folder`` where it was written."""
    judge = Judge(incident.get("variables", {}))
    if judge.snapshot(folder, host) is None:
        return "unknown", "no answer"
    return judge.away.worth(document["hosts"][host], whole, incident["expected"])
