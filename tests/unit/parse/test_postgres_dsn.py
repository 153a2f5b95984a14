# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Connection strings of PostgreSQL: what is taken, what is refused, and that nothing of one is ever repeated."""

from __future__ import annotations

import os
import re
import typing as t

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.oncall.pressure.plugins.module_utils._parse import _postgres_dsn
from ansible_collections.oncall.pressure.plugins.module_utils._parse._postgres_dsn import BadDsn, Target

EXAMPLES = int(os.environ.get("PRESSURE_EXAMPLES", "300"))

TAKEN = [
    ("postgresql://monitor:s3cret@db.example.com:5433/shop?sslmode=verify-full",
     Target("db.example.com", 5433, "monitor", "s3cret", "shop", "verify-full", "")),
    ("postgres://monitor@[::1]/shop", Target("::1", 5432, "monitor", "", "shop", "", "")),
    ("postgresql://m%40x:p%2F%25%20q@10.0.0.5", Target("10.0.0.5", 5432, "m@x", "p/% q", "postgres", "", "")),
    ("postgresql://m:a:b@%2Frun%2Fpostgresql/shop", Target("/run/postgresql", 5432, "m", "a:b", "shop", "", "")),
    ("postgresql:///shop?host=/run/postgresql&user=m&port=6000", Target("/run/postgresql", 6000, "m", "", "shop", "", "")),
    ("postgresql://m@h/?sslmode=verify-ca&sslrootcert=/etc/ssl/db.pem", Target("h", 5432, "m", "", "postgres", "verify-ca", "/etc/ssl/db.pem")),
    ("host=db user=m password='it\\'s \\\\ a b' dbname = shop\n sslrootcert=system", Target("db", 5432, "m", "it's \\ a b", "shop", "", "system")),
    ("host=db user=m password=postgresql://x", Target("db", 5432, "m", "postgresql://x", "postgres", "", "")),
    ("host=db user=m password=", Target("db", 5432, "m", "", "postgres", "", "")),
]


@pytest.mark.parametrize(("text", "target"), TAKEN)
def test_what_is_taken(text: str, target: Target) -> None:
    assert _postgres_dsn.target(text) == target and _postgres_dsn.targets([text, text]) == (target, target) and _postgres_dsn.targets(text) == (target,)
    assert target.password == "" or target.password not in repr([target])


REFUSED = [
    ("", "no connection string"), ("geheim", "neither a URI nor words"), ("mysql://u:geheim@h/d", "no URI"), ("postgresql://u:ge@heim@h/d", "no URI"),
    ("postgresql://u:ge%zz@h/d", "hexadecimal"), ("postgresql+psycopg2://u:geheim@h/d", "no URI"), ("postgresql://u:geheim@h1,h2/d", "several hosts"),
    ("postgresql://u:geheim@h:1,2/d", "several hosts"), ("host=h,geheim user=u", "several hosts"), ("postgresql://u:geheim@h:99999/d", "port"),
    ("postgresql://u:geheim@h:geheim/d", "port"), ("postgresql://u:geheim@/d", "no host"), ("host=@geheim user=u", "no host"),
    ("host=../geheim user=u", "no host"),
    ("postgresql://:geheim@h/d", "no user"), ("host=h user=u dbname='service=geheim'", "database"), ("host=h user=u dbname=postgres://geheim", "database"),
    ("host=h user=u sslmode=geheim", "sslmode"), ("host=h user=u sslrootcert=geheim", "sslrootcert"),
    ("host=h user=u password='geheim\\\n'", "control character"),
    ("host=h user=u password='geheim '", "blank at its end"), ("host=h user=u password=" + "geheim" * 200, "more than 1000 bytes"),
    ("host=h user='u\nhost=geheim'", "no user"), ("host=h user='geheim '", "blank at the end"), ("host=h user=u host=geheim", "host twice"),
    ("host=h user=u geheim=1", "word that is not taken"), ("host=h user=u password='geheim", "neither a URI nor words"),
    *(("postgresql://u:geheim@h/d?%s=geheim" % word, "word that is not taken") for word in (
        "options", "passfile", "service", "hostaddr", "sslkey", "sslcert", "sslpassword", "krbsrvname", "application_name", "target_session_attrs",
        "requirepeer", "geheim", "client_encoding", "load_balance_hosts", "%6fptions")),
]


@pytest.mark.parametrize(("text", "reason"), REFUSED)
def test_what_is_refused(text: str, reason: str) -> None:
    with pytest.raises(BadDsn, match=reason) as problem:
        _postgres_dsn.targets([text])
    assert "geheim" not in str(problem.value) and str(problem.value).startswith("postgres_dsn: number 1 ")


@pytest.mark.parametrize(("value", "reason"), [
    ({"geheim": 1}, "must be a connection string"), (7, "must be a connection string"), ([None], "number 1"), (["host=h user=u"] * 9, "at most 8")])
def test_what_is_no_list_of_them(value: t.Any, reason: str) -> None:
    with pytest.raises(BadDsn, match=reason):
        _postgres_dsn.targets(value)


def test_none() -> None:
    assert _postgres_dsn.targets(None) == _postgres_dsn.targets([]) == _postgres_dsn.targets("") == ()


@pytest.mark.parametrize(("target", "address", "here"), [
    (TAKEN[0][1], "db.example.com:5433", False), (TAKEN[1][1], "[::1]:5432", True), (TAKEN[4][1], "unix:/run/postgresql/.s.PGSQL.6000", True),
    (TAKEN[0][1]._replace(host="127.0.1.1"), "127.0.1.1:5433", True), (TAKEN[0][1]._replace(host="127.evil.example"), "127.evil.example:5433", False)])
def test_where_it_is(target: Target, address: str, here: bool) -> None:
    assert (target.address, target.here) == (address, here)


def _read_as_libpq(data: bytes, name: str) -> t.Dict[str, str]:
    """A service file as libpq reads it: lines, blanks at their ends left out, the first = divides."""
    rows: t.Dict[str, str] = {}
    inside = False
    for line in data.decode().split("\n"):
        line = line.strip(" \t\n\v\f\r")
        if line.startswith("["):
            inside = line == "[%s]" % name
        elif inside and line and not line.startswith("#"):
            key, dummy, value = line.partition("=")
            assert key not in rows
            rows[key] = value
    return rows


@given(user=st.text(max_size=70), password=st.text(max_size=60), database=st.text(max_size=20))
@settings(max_examples=EXAMPLES, deadline=None)
def test_libpq_reads_what_was_given(user: str, password: str, database: str) -> None:
    coded = ["".join("%%%02x" % byte for byte in text.encode("utf-8", "replace")) for text in (user, password, database)]
    quoted = ["'%s'" % re.sub(r"(['\\])", r"\\\1", text) for text in (user, password, database)]
    strings = ("postgresql://%s:%s@h/%s" % tuple(coded), "host=h user=%s password=%s dbname=%s" % tuple(quoted))
    for string in strings:
        try:
            target = _postgres_dsn.target(string)
        except BadDsn as problem:
            assert len(password) < 12 or password not in str(problem)
            continue
        rows = _read_as_libpq(_postgres_dsn.service(target, "x"), "x")
        want = {"host": "h", "port": "5432", "user": user, "password": password, "dbname": database or "postgres"}
        assert rows == {key: value.encode("utf-8", "replace").decode() for key, value in want.items() if value}


@given(st.text(max_size=200) | st.text(alphabet="postgresql:/@[]?&=%'\\ hu,\n", max_size=80))
@settings(max_examples=EXAMPLES, deadline=None)
def test_anything(text: str) -> None:
    try:
        target = _postgres_dsn.target(text)
    except BadDsn:
        return
    rows = _read_as_libpq(_postgres_dsn.service(target, "x"), "x")
    assert set(rows) <= {"host", "port", "user", "password", "dbname", "sslmode", "sslrootcert"} and rows["host"] and rows["user"]
