# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Titles of processes, postmaster.pid and the answers of psql, as PostgreSQL 13 to 17 leave them, and rubbish."""

from __future__ import annotations

import json
import os
import random
import typing as t
from pathlib import Path

import pytest

from ansible_collections.oncall.pressure.plugins.module_utils._parse import _postgres

RECORDINGS = Path(__file__).resolve().parents[1] / "recordings" / "postgres"
EXAMPLES = int(os.environ.get("PRESSURE_EXAMPLES", "300"))

TITLES: t.List[t.Tuple[str, t.Optional[t.Tuple[str, str, t.Optional[str], bool]]]] = [
    ("postgres: shop shop [local] idle in transaction\0\0\0", ("shop", "shop", "idle_in_transaction", False)),
    ("postgres: shop: a: shop shop [local] UPDATE waiting\0\0", ("shop", "shop", "active", True)),
    ("postgres: 15/main: web orders 10.0.0.5(41234) idle in transaction (aborted)", ("web", "orders", "idle_in_transaction_aborted", False)),
    ("postgres: web orders fe80::1(5) idle", ("web", "orders", "idle", False)),
    ("postgres: web orders db.internal(41234) SELECT", ("web", "orders", "active", False)),
    ("postgres: web orders [local] initializing", ("web", "orders", None, False)),
    ("postgres: web [unknown] [local] authentication", ("web", "[unknown]", None, False)),
    ("postgres: web orders [local]", ("web", "orders", None, False)),
    ("postgres: 15/main: checkpointer ", None),
    ("postgres: logical replication launcher ", None),
    ("postgres: walsender rep 10.0.0.1(4242) streaming 0/3000148", None),
    ("postgres: 15/main: walsender rep 10.0.0.1(4242) streaming 0/3000148", None),
    ("postgres: parallel worker for PID 77 ", None),
    ("/usr/lib/postgresql/15/bin/postgres -D /data", None),
    ("", None),
]


@pytest.mark.parametrize(("title", "expected"), TITLES)
def test_a_title(title: str, expected: t.Optional[t.Tuple[str, str, t.Optional[str], bool]]) -> None:
    assert _postgres.session(title) == expected


def test_postmaster_pid() -> None:
    text = "30889\n/tmp/d\n1795836904\n54871\n/tmp/pg t\n\n  2203819         8\nready   \n"
    assert _postgres.postmaster(text) == (30889, 54871, "/tmp/pg t", True)
    assert _postgres.postmaster(text.replace("ready   ", "starting")) == (30889, 54871, "/tmp/pg t", False)
    assert _postgres.postmaster(text.replace("/tmp/pg t", "")) == (30889, 54871, None, True)
    assert _postgres.postmaster(text.replace("/tmp/pg t", "@name")) == (30889, 54871, None, True)
    assert _postgres.postmaster(text.replace("/tmp/pg t", "/" + "x" * 200)) == (30889, 54871, None, True)
    assert _postgres.postmaster("root:x:0:0\nb\nc\nd\n/etc\nf\n") is None and _postgres.postmaster("") is None


@pytest.mark.parametrize("path", sorted(RECORDINGS.glob("*.out")), ids=lambda path: path.stem)
def test_what_psql_said(path: Path) -> None:
    found = _postgres.answers(path.read_bytes())
    assert list(found) == ["now", "locks", "first", "statements_first", "second", "statements"]
    rows = _postgres.from_hex(found["statements"]["hex"])
    assert rows and {"query", "calls", "ms", "user", "database"} <= set(rows[0])
    half = _postgres.answers(path.read_bytes()[:3000])
    assert "now" in half and "statements" not in half


def test_what_is_no_answer_is_left_out() -> None:
    assert _postgres.answers(b'{"part" : "a", "x": 1}\n\n{"part" : 7}{"part" : "b", "x": "\xff"}{"part" : ' + b"[" * 100000) == {
        "a": {"part": "a", "x": 1}, "b": {"part": "b", "x": "\ufffd"}}
    assert [_postgres.from_hex(value) for value in ("", None, "zz", "5b5d", 5, "7b7d", json.dumps([1, {"a": 2}]).encode().hex())] == [
        [], [], None, [], None, None, [{"a": 2}]]


@pytest.mark.parametrize("seed", [3, random.randrange(10**6)])
def test_rubbish(seed: int) -> None:
    draw = random.Random(seed)
    recorded = [path.read_bytes() for path in sorted(RECORDINGS.glob("*.out"))]
    for dummy in range(EXAMPLES):
        data = bytearray(draw.choice(recorded)[: draw.randrange(6000)])
        for dummy_again in range(draw.randrange(20)):
            if data:
                data[draw.randrange(len(data))] = draw.randrange(256)
        found = _postgres.answers(bytes(data))
        assert all(isinstance(row, dict) and row["part"] == name for name, row in found.items())
        _postgres.from_hex((found.get("statements") or {}).get("hex"))
        text = bytes(data).decode("utf-8", "replace")
        title = "postgres: " + text[: draw.randrange(300)] + draw.choice(("", " a b [local] idle", " a b c(1)"))
        session = _postgres.session(title)
        assert session is None or (session.user and session.database and not session.user.isspace())
        _postgres.postmaster("1\n2\n3\n4\n" + text)
