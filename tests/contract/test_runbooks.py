# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the runbooks ask for is answered: by facts that the schema has and that the lab's hosts really gave, by rules and by mitigations that exist."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path
from typing import Any, Dict, Iterator, List, Set, Tuple

import jmespath
import pytest
import runbook_map
import sources
import yaml
from checks import ROOT

DATA = runbook_map.load()
ROWS: List[Dict[str, Any]] = DATA["rows"]
RECORDINGS = sorted((Path(__file__).parent / "recordings").glob("*.json.gz"))
#: Of all recordings together, as they lie in the repository.
RECORDINGS_LIMIT = 300000

ANSWERS = ("facts", "diagnosis", "rules", "mitigations", "advice", "missing")


def _keys(kind: str) -> List[Tuple[str, str]]:
    """Each key once, with the first row that names it."""
    seen: Dict[str, str] = {}
    for row in ROWS:
        for key in row.get(kind, ()):
            seen.setdefault(key, row["at"][0])
    return list(seen.items())


def _schema(path: str) -> Dict[str, Any]:
    return json.loads((ROOT / path).read_text(encoding="utf-8"))


def _forms(node: Dict[str, Any], whole: Dict[str, Any]) -> Iterator[Dict[str, Any]]:
    """A schema with what it refers to or chooses from."""
    yield node
    if "$ref" in node:
        yield from _forms(whole["$defs"][node["$ref"].rpartition("/")[2]], whole)
    for word in ("anyOf", "oneOf", "allOf"):
        for inner in node.get(word, ()):
            yield from _forms(inner, whole)


def _within(nodes: List[Dict[str, Any]], step: str, whole: Dict[str, Any]) -> List[Dict[str, Any]]:
    """The schemas of what one step of a key names: NAME, *, or [] (what is in a list)."""
    found = []
    for node in nodes:
        for form in _forms(node, whole):
            if step == "[]":
                found += [form["items"]] if "items" in form else []
                continue
            properties = form.get("properties", {})
            extra = form.get("additionalProperties")
            found += list(properties.values()) if step == "*" else [properties[step]] if step in properties else []
            if isinstance(extra, dict):
                found.append(extra)
    return found


def _steps(key: str) -> List[str]:
    return re.findall(r"[A-Za-z0-9_*]+|\[\]", re.sub(r"\[\?[^\]]*\]", "[]", key))


def exists(key: str, whole: Dict[str, Any]) -> bool:
    """Whether a schema has a key."""
    nodes = [whole]
    for step in _steps(key):
        nodes = _within(nodes, step, whole)
    return bool(nodes)


def values(found: Any) -> List[Any]:
    """What a key selects, lists taken apart, without null and what is empty."""
    if isinstance(found, list):
        return [value for item in found for value in values(item)]
    return [] if found is None or found in ({}, "") else [found]


def _snapshots() -> List[Dict[str, Any]]:
    return [json.loads(gzip.decompress(path.read_bytes())) for path in RECORDINGS]


SNAPSHOTS = _snapshots()
SNAPSHOT = _schema("roles/diagnose/files/schemas/snapshot.json")
DIAGNOSIS = _schema("roles/diagnose/files/schemas/diagnosis.json")


def test_the_page_is_as_it_is_generated() -> None:
    assert runbook_map.PAGE.read_text(encoding="utf-8") == runbook_map.render(), "make map writes it"


@pytest.mark.parametrize(("key", "where"), _keys("facts"))
def test_a_fact_is_in_the_schema_and_was_seen_in_the_lab(key: str, where: str) -> None:
    assert exists(key, SNAPSHOT), "%s: no such key in snapshot.json" % where
    assert any(values(jmespath.search(key, snapshot)) for snapshot in SNAPSHOTS), "%s: null or empty in every recorded snapshot" % where


@pytest.mark.parametrize(("key", "where"), _keys("diagnosis"))
def test_a_key_of_the_diagnosis_is_in_its_schema(key: str, where: str) -> None:
    assert exists(key, DIAGNOSIS), where


def test_signals_that_are_selected_by_name_exist() -> None:
    from ansible_collections.oncall.pressure.plugins.module_utils._parse._log_signals import SIGNALS

    named = {name for key, unused in _keys("facts") for name in re.findall(r"signals\[\?id=='([^']*)'\]", key)}
    assert named and not named - {signal.id for signal in SIGNALS}


def _rules() -> Set[str]:
    files = sorted((ROOT / "roles/diagnose/files/rules").glob("*.yml"))
    return {rule["id"] for path in files for rule in yaml.safe_load(path.read_text(encoding="utf-8"))}


def test_rules_and_mitigations_exist() -> None:
    mitigations = {path.parent.parent.name for path in (ROOT / "roles").glob("*/meta/mitigation.yml")}
    assert not {key for key, unused in _keys("rules")} - _rules()
    assert not {key for key, unused in _keys("mitigations")} - mitigations


def test_every_command_of_the_runbooks_has_its_row() -> None:
    lines = {"%s:%d" % (number, line) for number, book in DATA["runbooks"].items() for line in book["lines"]}
    rows = [where for row in ROWS if "command" in row for where in row["at"]]
    assert sorted(rows) == sorted(lines)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["at"][0])
def test_a_row_asks_one_thing_and_has_an_answer(row: Dict[str, Any]) -> None:
    assert ("command" in row) != ("says" in row)
    assert not set(row) - {"at", "command", "says", *ANSWERS}
    assert any(row.get(kind) for kind in ANSWERS)
    for where in row["at"]:
        number, unused, line = where.partition(":")
        assert number in DATA["runbooks"] and line.isdecimal()


def test_the_line_that_a_rule_or_mitigation_names_as_its_source_is_on_the_map() -> None:
    """What was made because a runbook asks for it stands on the map too; a line near it counts, for its heading may be named."""
    known = {where for row in ROWS for where in row["at"]}
    paths = [path for pattern in ("*/files/rules/*.yml", "*/meta/mitigation.yml") for path in sorted((ROOT / "roles").glob(pattern))]
    texts = [sources.text(str(path.relative_to(ROOT))) for path in paths]
    named = {where for text in texts for where in re.findall(r"\"(00[0-4]:\d+)\"", text)}
    near = {"%s:%d" % (where[:3], int(where[4:]) + step) for where in known for step in range(-3, 4)}
    assert named and not named - near


def test_recordings_are_small_and_say_nothing_of_where_they_were_made() -> None:
    assert RECORDINGS and sum(path.stat().st_size for path in RECORDINGS) < RECORDINGS_LIMIT
    for path, snapshot in zip(RECORDINGS, SNAPSHOTS):
        assert snapshot["host"]["hostname"] in ("shop-1", "machine-1"), path.name
        assert snapshot["host"]["kernel"] == "6.1.0", path.name
        assert snapshot["schema"] == 1
