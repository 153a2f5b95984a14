# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who may begin, by how those before ended."""

from __future__ import annotations

import multiprocessing
from pathlib import Path
from typing import Any, Dict, List

import pytest
from ansible_collections.oncall.pressure.plugins.plugin_utils import _ledger


def outcomes(**states: str) -> Dict[str, Dict[str, Any]]:
    return {host: {"host": host, "state": state} for host, state in states.items()}


def test_the_first_host_may_begin() -> None:
    assert _ledger.stopped({}, "a", ["a", "b"]) is None


@pytest.mark.parametrize("state", _ledger.GOOD)
def test_one_that_ended_well_stops_nobody(state: str) -> None:
    assert _ledger.stopped(outcomes(a=state), "b", ["b"]) is None


@pytest.mark.parametrize("state", _ledger.BAD)
def test_one_that_did_not_stops_all(state: str) -> None:
    found = _ledger.stopped(outcomes(a="closed", b=state), "c", ["c"])
    assert found is not None and found.startswith("stopped")


def test_every_state_is_good_or_bad_or_begun() -> None:
    assert not set(_ledger.GOOD) & set(_ledger.BAD)
    assert _ledger.BEGUN not in _ledger.GOOD + _ledger.BAD


def test_a_state_that_is_not_known_is_bad() -> None:
    assert "ended as strange" in str(_ledger.stopped(outcomes(a="strange"), "b", ["a", "b"]))


def test_one_that_began_and_left_the_play_has_not_ended_well() -> None:
    # unreachable, failed or rescued by others: Ansible took it out, and it never wrote how it ended
    assert "began and never said" in str(_ledger.stopped(outcomes(a="begun"), "b", ["b", "c"]))
    assert "began and never said" in str(_ledger.stopped(outcomes(a="begun", d="closed"), "b", ["b", "c"]))


def test_one_host_comes_first_even_where_the_play_begins_all_at_once() -> None:
    assert "set serial" in str(_ledger.stopped(outcomes(a="begun"), "b", ["a", "b"]))
    assert _ledger.stopped(outcomes(a="begun", d="improved"), "b", ["a", "b"]) is None
    # one on which nothing was to be done any more shows nothing
    assert "set serial" in str(_ledger.stopped(outcomes(a="begun", d="moved_on"), "b", ["a", "b"]))
    assert _ledger.stopped(outcomes(d="moved_on"), "b", ["b"]) is None


def test_what_is_written_is_read(tmp_path: Path) -> None:
    _ledger.write(str(tmp_path), {"schema": 1, "kind": "outcome", "host": "../web 3", "state": "closed"})
    assert _ledger.read(str(tmp_path), "../web 3") == {"schema": 1, "kind": "outcome", "host": "../web 3", "state": "closed"}
    assert list(_ledger.read_all(str(tmp_path))) == ["../web 3"]
    assert [path.parent for path in tmp_path.glob("**/*.json")] == [tmp_path / "outcomes"]
    assert _ledger.read(str(tmp_path), "web 3") is None


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"state": "closed"}', '{"host": 3, "state": "closed"}'])
def test_an_outcome_that_cannot_be_read_has_not_ended(tmp_path: Path, text: str) -> None:
    (tmp_path / "outcomes").mkdir()
    (tmp_path / "outcomes" / "web-1.json").write_text(text, encoding="utf-8")
    found = _ledger.read_all(str(tmp_path))
    assert _ledger.stopped(found, "web-2", ["web-2"]) is not None


def _begin(folder: str, host: str, batch: List[str]) -> None:
    with _ledger.alone(folder):
        why = _ledger.stopped(_ledger.read_all(folder), host, batch)
        _ledger.write(folder, {"schema": 1, "kind": "outcome", "host": host, "state": "held" if why else "begun"})


def test_of_many_that_ask_at_once_one_begins(tmp_path: Path) -> None:
    hosts = ["web-%d" % number for number in range(8)]
    processes = [multiprocessing.get_context("fork").Process(target=_begin, args=(str(tmp_path), host, hosts)) for host in hosts]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    states = [outcome["state"] for outcome in _ledger.read_all(str(tmp_path)).values()]
    assert sorted(states) == ["begun"] + ["held"] * 7
