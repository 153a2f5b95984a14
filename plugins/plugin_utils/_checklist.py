# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The runbooks' checklist, ticked from what was measured: what stands, what a person still has to do, and what could not be ticked and why.

Private to oncall.pressure: no stable interface. Its items are data, in roles/diagnose/files/checklist.yml; docs/rules.md says what their words mean.
"""

from __future__ import annotations

import re
import typing as t

from ansible_collections.oncall.pressure.plugins.plugin_utils._evaluate import Condition, Outcome, Selected, Selector, evaluate
from ansible_collections.oncall.pressure.plugins.plugin_utils._format import fill
from ansible_collections.oncall.pressure.plugins.plugin_utils._located import Located, load
from ansible_collections.oncall.pressure.plugins.plugin_utils._rules import Reader, Sentence, Threshold
from ansible_collections.oncall.pressure.plugins.plugin_utils._values import at, num, rows, text, whole

Row = t.Dict[str, t.Any]

#: ``incident``: what is to be known before anything is changed; ``memory``: the same where memory is short; ``expected``: how a host should be.
GROUPS = ("incident", "memory", "expected")

_REQUIRED = ("id", "title", "short", "group", "facts", "open", "source")
_OPTIONAL = ("here", "nothing", "thresholds", "ticked", "because")
_SENTENCES = ("because", "open", "nothing")

#: Which collector measures what a selection is of.
_COLLECTORS = {
    "counted": "services", "host": "host", "machine": "host", "oom": "oom", "nginx": "nginx", "processes": "services", "services": "services", "jobs": "jobs",
    "containers": "containers", "logs": "logs", "connections": "connections", "timeline": "changes", "redis": "redis", "postgres": "postgres",
    "stacks": "stacks", "health": "health", "memory_history": "memory_history",
}


class Check(t.NamedTuple):
    """One item, checked. ``here``: whether there is anything to look at on a host; ``ticked``: null where nothing that is measured ticks it."""

    id: str
    title: str
    short: str
    group: str
    facts: dict[str, str]
    thresholds: dict[str, Threshold]
    here: Condition | None
    ticked: Condition | None
    sentences: dict[str, tuple[Sentence, ...]]
    source: tuple[str, ...]


def load_checklist(path: str) -> dict[str, Check]:
    """The items of a file by id, in its order. Raises BadFile."""
    located = load(path)
    if not isinstance(located.data, list):
        raise located.problem((), "a checklist is a list of items")
    found: dict[str, Check] = {}
    for index in range(len(located.data)):
        check = _CheckReader(located, index).check()
        if check.id in found:
            raise located.problem((index, "id"), "%s is already defined" % check.id)
        found[check.id] = check
    return found


class _CheckReader(Reader):
    """Checks one item, by the grammar of rules."""

    def __init__(self, located: Located, index: int) -> None:
        super().__init__(located, index)
        self._row = located.data[index]

    def check(self) -> Check:
        """The item. Raises BadFile."""
        row = self._keys(self._row, (), _REQUIRED, _OPTIONAL)
        if not str(row["id"]).startswith("checklist."):
            raise self._fail(("id",), "id must be checklist.snake_case")
        self._facts = self._read_facts()
        self._thresholds = self._read_thresholds()
        check = Check(
            id=row["id"],
            title=self._text(row["title"], ("title",)),
            short=self._text(row["short"], ("short",)),
            group=self._choice(row["group"], ("group",), GROUPS),
            facts=self._facts,
            thresholds=self._thresholds,
            here=self._condition(row["here"], ("here",)) if "here" in row else None,
            ticked=self._condition(row["ticked"], ("ticked",)) if "ticked" in row else None,
            sentences={key: self._sentences(key) for key in _SENTENCES},
            source=self._texts("source"),
        )
        for condition, words in (("here", "nothing"), ("ticked", "because")):
            if (condition in row) is not bool(check.sentences[words]):
                raise self._fail((), "%s and %s stand together: a condition, and what is said of it" % (condition, words))
        return check


def checklist(
    snapshot: t.Mapping[str, t.Any], host: t.Mapping[str, t.Any], checks: t.Mapping[str, Check], thresholds: t.Mapping[str, t.Mapping[str, Threshold]]
) -> list[Row]:
    """The items of one host: ``[{id, title, short, group, state, at, why, source}]``. ``host`` is its row of the diagnosis.

    ``state``: ``ticked`` (at the time of the snapshot), ``open`` (a person's to do or to look at), ``unknown`` (not measured), ``nothing`` (nothing
    of it here).
    """
    selector = Selector({
        **snapshot, "state": host["state"], "reason": host["reason"], "verdicts": host["verdicts"], "patterns": host["memory"], "gaps": host["missing"],
        "first": _first(snapshot, host["verdicts"]),
        "first_pattern": _pattern(host), "counted": _counted(snapshot),
    })
    return [_item(check, selector, thresholds.get(check.id, check.thresholds), snapshot) for check in checks.values()]


def _first(snapshot: t.Mapping[str, t.Any], verdicts: t.Sequence[t.Mapping[str, t.Any]]) -> Row | None:
    """The service of the first verdict that names one, with its processes."""
    verdict = next((verdict for verdict in verdicts if verdict["service"] is not None), None)
    if verdict is None:
        return None
    row = next((row for row in rows(snapshot, "services") if row.get("id") == verdict["service"]), None)
    return {
        "name": verdict["name"] or verdict["service"], "component": verdict["component"], "main_pid": num(row, "main_pid"),
        "largest_pid": num(row, "worker_summary", "largest_pid"),
    }


def _counted(snapshot: t.Mapping[str, t.Any]) -> Row | None:
    """Services with workers: their names and counts, and those of which nothing says how many there are."""
    if not isinstance(snapshot.get("services"), list):
        return None
    mine = [row for row in rows(snapshot, "services") if row.get("component") in ("gunicorn", "uvicorn", "celery", "rq")]
    counts = [(text(row, "name") or str(row.get("id")), num(row, "worker_summary", "count"), whole(at(row, "settings", "workers", "value"))) for row in mine]
    lacking = [name for name, running, configured in counts if running is None and configured is None]
    return {
        "watched": len(mine), "names": [name for name, dummy, dummy in counts],
        "counts": [running for dummy, running, dummy in counts if running is not None] or None, "lacking": len(lacking), "lacking_names": lacking or None,
    }


def _pattern(host: t.Mapping[str, t.Any]) -> Row | None:
    """What the memory of the service of the first verdict about memory does."""
    service = next((verdict["service"] for verdict in host["verdicts"] if verdict["resource"] == "memory"), None)
    return next((row for row in host["memory"] if row["service"] == service), None)


def _item(check: Check, selector: Selector, thresholds: t.Mapping[str, Threshold], snapshot: t.Mapping[str, t.Any]) -> Row:
    facts = Selected(check.facts, selector)
    numbers = {name: threshold.enter for name, threshold in thresholds.items()}
    here = Outcome(True, ()) if check.here is None else evaluate(check.here, facts, numbers)
    outcome = here
    if here.truth:
        outcome = evaluate(check.ticked, facts, numbers) if check.ticked is not None else Outcome(False, ())
    if here.truth is False:
        state, words = "nothing", "nothing"
    elif outcome.truth is None:
        state, words = "unknown", ""
    else:
        state, words = ("ticked", "because") if outcome.truth else ("open", "open")
    values = {**numbers, **facts}
    said = [fill(sentence.text, values) for sentence in check.sentences.get(words, ()) if _holds(sentence.when, facts, numbers)]
    why = "; ".join(_gaps(check, outcome.missing, snapshot)) if state == "unknown" else next((line for line in said if line is not None), None)
    return {
        "id": check.id, "title": check.title, "short": check.short, "group": check.group, "state": state,
        "at": text(snapshot, "taken", "at") if state == "ticked" else None, "why": why, "source": list(check.source),
    }


def _holds(condition: Condition | None, facts: t.Mapping[str, t.Any], numbers: t.Mapping[str, float]) -> bool:
    return condition is None or evaluate(condition, facts, numbers).truth is True


def _gaps(check: Check, names: t.Sequence[str], snapshot: t.Mapping[str, t.Any]) -> list[str]:
    """Why facts are missing: what their collector says, else their names."""
    found = []
    for name in names:
        collector = next((_COLLECTORS[word] for word in re.findall("[a-z_]+", check.facts[name]) if word in _COLLECTORS), "")
        status, reason = (text(snapshot, "collectors", collector, key) for key in ("status", "reason"))
        said = ": ".join(part for part in (status, reason) if part and part != "ok")
        found.append("%s (%s)" % (collector, said) if said else "%s was not measured" % name.replace("_", " "))
    return list(dict.fromkeys(found))


def told(items: t.Sequence[t.Mapping[str, t.Any]]) -> str | None:
    """The checklist in a line for the screen, null where nothing of it is left: ``checklist: 9 of 11 ticked; not: logs, queries``.

    What only a person can tick is left to the report.
    """
    counted = [item for item in items if item["group"] != "expected" and item["state"] != "nothing"]
    lacking = [item["short"] for item in counted if item["state"] == "unknown"]
    if not lacking:
        return None
    return "checklist: %d of %d ticked; not measured: %s" % (sum(item["state"] == "ticked" for item in counted), len(counted), ", ".join(lacking))
