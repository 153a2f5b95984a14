# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Answers of container engines, as they are and as they never should be."""

from __future__ import annotations

import copy
import json
import os
import typing as t
from pathlib import Path

import pytest
from ansible_collections.oncall.pressure.plugins.module_utils._parse import _engine_api
from hypothesis import given, settings
from hypothesis import strategies as st

RECORDINGS = sorted((Path(__file__).resolve().parents[1] / "recordings" / "containers").glob("*.json"))
RECORDED: t.List[t.Dict[str, t.Any]] = [json.loads(path.read_text(encoding="utf-8")) for path in RECORDINGS]
WHOLE: t.List[t.Any] = [answer for have in RECORDED for answer in have.values()]

#: A longer run than that of every day raises it.
EXAMPLES = int(os.environ.get("PRESSURE_FUZZ_EXAMPLES", "300"))


@pytest.mark.parametrize("text, seconds", [
    ("2026-11-28T03:20:09.212943043Z", 1795836009.212943), ("2026-11-28T04:20:09+01:00", 1795836009.0), ("2026-11-27T22:50:09.5-04:30", 1795836009.5),
    ("1970-01-01T00:00:01Z", 1.0), ("0001-01-01T00:00:00Z", None), ("2026-13-28T03:20:09Z", None), ("2026-11-28", None), ("", None), (None, None),
])
def test_moments(text: t.Optional[str], seconds: t.Optional[float]) -> None:
    found = _engine_api.moment(text)
    assert found == (None if seconds is None else pytest.approx(seconds, abs=1e-5))


@pytest.mark.parametrize("status, long_ago, unhealthy", [
    ("Exited (137) Less than a second ago", False, False), ("Exited (0) About an hour ago", False, False), ("Exited (0) 47 hours ago", False, False),
    ("Exited (0) 2 days ago", True, False), ("Exited (255) 3 months ago", True, False), ("Up 3 weeks (unhealthy)", False, True), ("", False, False),
])
def test_what_a_list_says(status: str, long_ago: bool, unhealthy: bool) -> None:
    row = _engine_api.listed([{"Id": "a" * 64, "State": "exited", "Status": status}, {"Id": "b"}], 5)[0]
    assert (row.long_ago, row.unhealthy, row.state) == (long_ago, unhealthy, "exited")


def test_limits_that_are_none() -> None:
    answer = {"Id": "a" * 64, "HostConfig": {"Memory": 0, "NanoCpus": 0, "CpuQuota": -1, "PidsLimit": -1}, "State": {"Status": "running", "ExitCode": 0}}
    row = _engine_api.inspected(answer)
    assert row is not None and (row.memory_limit_bytes, row.cpus, row.pids_limit, row.exit_code) == (None, None, None, None)
    answer["HostConfig"] = {"CpuQuota": 150000, "CpuPeriod": 100000, "PidsLimit": None}
    row = _engine_api.inspected(answer)
    assert row is not None and (row.cpus, row.pids_limit) == (1.5, None)


def test_an_engine_says_what_it_is() -> None:
    assert sorted(_engine_api.version(have["/version"]) for have in RECORDED) == [
        ("1.41", "20.10.24+dfsg1", False), ("1.41", "4.3.1", True), ("1.41", "4.3.1", True)]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.sampled_from(["running", "exited", "a" * 64, "2026-11-28T03:20:09Z"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8) | st.sampled_from(["Id", "State", "Status", "Health"]), inner, max_size=6),
    max_leaves=6,
)


@st.composite
def damaged(draw: t.Callable[[t.Any], t.Any]) -> t.Any:
    """An answer of a real engine in which some values are others."""
    answer = copy.deepcopy(draw(st.sampled_from(WHOLE)))
    for dummy in range(draw(st.integers(0, 3))):
        place = answer
        while isinstance(place, (dict, list)) and place:
            key = draw(st.sampled_from(sorted(place))) if isinstance(place, dict) else draw(st.integers(0, len(place) - 1))
            if not isinstance(place[key], (dict, list)) or draw(st.booleans()):
                place[key] = draw(JSON)
                break
            place = place[key]
    return answer


def _holds(found: t.Any) -> None:
    """Whatever it is given, the parser gives the types that it promises, and never the environment."""
    api, version, podman = _engine_api.version(found)
    assert (api is None or len(api) <= 6) and isinstance(version, (str, type(None))) and isinstance(podman, bool)
    assert isinstance(_engine_api.message(found), (str, type(None)))
    try:
        rows = _engine_api.listed(found, 3)
    except ValueError:
        assert not isinstance(found, list)
        rows = []
    assert len(rows) <= 3 and all(len(row.id) == 64 for row in rows)
    container = _engine_api.inspected(found)
    if container is None:
        return
    for name, value in container._asdict().items():
        if name.endswith(("_bytes", "_limit", "_code", "streak")) or name == "restarts":
            assert value is None or (isinstance(value, int) and not isinstance(value, bool) and value >= 0), name
        elif name.endswith("_s"):
            assert value is None or value > 0, name
    assert all(isinstance(word, str) for word in container.command) and len(container.command) <= 65
    assert container.state in ("created", "running", "paused", "restarting", "removing", "exited", "dead", "unknown")


@settings(max_examples=EXAMPLES, deadline=None, database=None)
@given(damaged() | JSON)
def test_any_document(found: t.Any) -> None:
    _holds(found)


@settings(max_examples=EXAMPLES, deadline=None, database=None)
@given(st.binary(max_size=300) | JSON.map(lambda found: json.dumps(found).encode("utf-8", "surrogatepass")))
def test_any_bytes(data: bytes) -> None:
    try:
        found = _engine_api.document(data)
    except ValueError:
        return
    _holds(found)


@settings(max_examples=EXAMPLES, deadline=None, database=None)
@given(st.sampled_from(WHOLE), st.floats(0, 1, exclude_max=True))
def test_a_cut_answer_is_none(found: t.Any, part: float) -> None:
    whole = json.dumps(found).encode()
    with pytest.raises(ValueError):
        _engine_api.document(whole[: int(part * len(whole))])
