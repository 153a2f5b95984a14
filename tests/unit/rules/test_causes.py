# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Cause against effect: of every pair that causes.yml names, both rules fire on one host, and one of them or both are what is wrong with it."""

from __future__ import annotations

import copy
import importlib.util
import json
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, Optional, Tuple

import pytest
from ansible_collections.oncall.pressure.plugins.plugin_utils import _rules, _verdict

_SPEC = importlib.util.spec_from_file_location("pressure_cause_support", Path(__file__).with_name("support.py"))
assert _SPEC is not None and _SPEC.loader is not None
support = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(support)

RULES = _rules.load_rules(str(support.RULES)).rules
THRESHOLDS = _rules.resolve_thresholds(RULES, None)
TABLE: Dict[str, Any] = support.load("causes.yml")

BASE: Dict[str, Any] = support.snapshot({})
#: Hosts on which each rule fires, from the cases of all rules, as far as they are not the base.
FIRED: Dict[str, List[Dict[str, Any]]] = {}


def _changed(base: Any, document: Any) -> Any:
    if isinstance(base, dict) and isinstance(document, dict):
        return {key: _changed(base.get(key), value) for key, value in document.items() if base.get(key) != value}
    return document


for path in sorted(support.RULES.glob("*.yml")):
    for case in support.load(path.name):
        if case["expect"] == "fired":
            FIRED.setdefault(case["rule"], []).append(_changed(BASE, support.snapshot(case)))

Pair = Tuple[str, str]


def pairs(of: str) -> List[Pair]:
    """What the table says of causes and effects: ``{cause: [effect]}``."""
    return [(cause, effect) for cause, effects in TABLE[of].items() for effect in effects]


def joined(first: Any, second: Any) -> Any:
    """Both of two parts of a document: rows of the same thing become one, and of two figures the first's counts."""
    if isinstance(first, dict) and isinstance(second, dict):
        return {**second, **{key: joined(value, second[key]) if key in second else value for key, value in first.items()}}
    if isinstance(first, list) and isinstance(second, list) and any(isinstance(item, dict) for item in first + second):
        found = copy.deepcopy(first)
        for item in second:
            mine = next((place for place, row in enumerate(found) if _same(row, item)), None)
            if mine is None:
                found.append(copy.deepcopy(item))
            else:
                found[mine] = joined(found[mine], item)
        return found
    return second if first is None else first


def _same(row: Any, other: Any) -> bool:
    if not isinstance(row, dict) or not isinstance(other, dict):
        return False
    if "peers" in row or "listeners" in row or "port" in row and "backlog" in row:
        return bool(row.get("service") == other.get("service") and row.get("port") == other.get("port"))
    names = [name for name in ("id", "service", "main_pid", "name", "url") if name in row or name in other]
    return bool(names) and all(row.get(name) == other.get(name) for name in names[:1])


def _main(change: Mapping[str, Any]) -> Optional[str]:
    """The one service or container that a case is about, null where it is about none or several."""
    found = [row["id"] for row in change.get("services") or (change.get("containers") or {}).get("containers") or []]
    return found[0] if len(found) == 1 else None


def _named(change: Dict[str, Any], like: Mapping[str, Any]) -> Dict[str, Any]:
    """A case whose one service is called what that of the other is called."""
    here, there = _main(like), _main(change)
    if here is None or there is None or here == there:
        return change
    return json.loads(json.dumps(change).replace(json.dumps(there), json.dumps(here)))


def hosts(cause: str, effect: str, change: Optional[Mapping[str, Any]] = None, apart: bool = False) -> Iterator[Dict[str, Any]]:
    """Hosts on which both rules fire, judged by these two alone: each pair of their cases on one host, either laid over the other.

    ``apart``: what the two are about stays what it is called, else it is the same thing. ``change`` is laid over all.
    """
    two = {name: RULES[name] for name in (cause, effect)}
    for mine in FIRED[cause]:
        for theirs in FIRED[effect]:
            second = theirs if apart else _named(theirs, mine)
            for document in (joined(joined(mine, second), BASE), joined(joined(second, mine), BASE)):
                document = support.over(document, change or {})
                if {row["rule"] for row in _verdict.judge(document, two, THRESHOLDS)["findings"]} == {cause, effect}:
                    yield document


def explained(document: Dict[str, Any], names: Any) -> Dict[str, List[Optional[str]]]:
    """By rule what explains each of its findings, under the rules of these names."""
    row = _verdict.judge(document, {name: RULES[name] for name in names}, THRESHOLDS)
    found: Dict[str, List[Optional[str]]] = {}
    for item in row["findings"]:
        found.setdefault(item["rule"], []).append(item["explained_by"])
    assert row["verdicts"], "what explains each other leaves nothing to be said"
    return found
