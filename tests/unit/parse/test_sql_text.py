# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Queries without their literals: by example, and on texts made at random of parts whose end is known (PRESSURE_EXAMPLES of them)."""

from __future__ import annotations

import os
import random
import typing as t

import pytest

from ansible_collections.oncall.pressure.plugins.module_utils._parse._sql_text import normalise

EXAMPLES = int(os.environ.get("PRESSURE_EXAMPLES", "400"))

QUERIES = [
    ("SELECT * FROM a WHERE x = 'it''s' AND y = E'a\\'b' -- mine\n AND k = $1", "SELECT * FROM a WHERE x = ? AND y = ? AND k = $1"),
    ("select 1.5e-10, .5, 0x1F, 1_000, -7, t1.c2", "select ?, -?, t1.c2"),
    ("select a from t where id in (1, 2,3) and b = any(array[4,5])", "select a from t where id in (?) and b = any(array[?])"),
    ("INSERT INTO t (a, b) VALUES (1, 'x'), (2, $$y$$), (3, $q$z'$q$) RETURNING id", "INSERT INTO t (a, b) VALUES (?) RETURNING id"),
    ("/* a /* b 'c */ 'd */ select U&'x' , \"Col 1\", foo$1 from a$b$c", "select ? , \"Col 1\", foo$1 from a$b$c"),
    ("select 'a'\n 'b'", "select ? ?"),
    ("alter role shop password 'geheim", "alter role shop password ?"),
    ("select $body$ geheim", "select ?"),
    ("select 1 /* geheim", "select ?"),
    ("select 'C:\\', 'geheim'", "select ?..."),
    ("select \"geheimer Name", "select \"geheimer Name"),
    ("update gr\u00f6\u00dfe set a=x'1F' where b=B'01'", "update gr\u00f6\u00dfe set a=? where b=?"),
    ("", ""), ("   \n", ""), ("\x00\u202e", "\x00\u202e"),
]


@pytest.mark.parametrize(("query", "expected"), QUERIES)
def test_a_query(query: str, expected: str) -> None:
    assert normalise(query) == expected


def _literal(draw: random.Random, secret: str) -> str:
    quote = draw.choice(("", "''", "%", "--", "/*", "$$", "\n", '"', ";"))
    tag = draw.choice(("", "a", "_b1", "\u00e4"))
    return draw.choice((
        "'%s%s'" % (secret, quote.replace("'", "''")), "E'%s\\'%s'" % (quote.replace("'", "''"), secret),
        "e'\\\\%s'" % secret, "N'%s'" % secret, "U&'%s'" % secret,
        "$%s$ %s ' %s$%s$" % (tag, secret, draw.choice(("", "$", "$z$")), tag), "-- %s ' %s\n" % (secret, quote.replace("\n", "")),
        "/* %s /* ' %s */ $$ */" % (secret, secret), "'%s' \n '%s'" % (secret, secret),
    ))


WORDS = ("SELECT", "a.b", '"It\'s"', "$1", "(", ")", ",", "=", "::text", "[1]", "foo$x", "WHERE", ";", "12", "1e5", ".5", "<>", "\n", "->>", "\u00fc", "||")


@pytest.mark.parametrize("seed", [1, random.randrange(10**6)])
def test_no_literal_is_left_wherever_the_text_is_cut(seed: int) -> None:
    draw = random.Random(seed)
    for dummy in range(EXAMPLES):
        secret = "geheim%d" % draw.randrange(10**6)
        parts = [_literal(draw, secret) if draw.random() < 0.4 else draw.choice(WORDS) for dummy in range(draw.randrange(12))]
        text = " ".join(parts)
        text = text[: draw.randrange(len(text) + 1)] if draw.random() < 0.5 else text
        found = normalise(text)
        assert "geheim" not in found, (text, found)
        assert "\n" not in found and len(found) <= len(text) + 4
        assert normalise(found) == found or "?..." in found, (text, found)


@pytest.mark.parametrize("seed", [2, random.randrange(10**6)])
def test_any_text_is_read_to_its_end(seed: int) -> None:
    draw = random.Random(seed)
    signs = "'\"$\\/*-eEuU&xB09._ab,()[]?:;\n\t \u00e4\u202e\x00"
    for dummy in range(EXAMPLES):
        text = "".join(draw.choice(signs) for dummy in range(draw.randrange(60)))
        found = normalise(text)
        assert isinstance(found, str) and len(found) <= len(text) + 4


@pytest.mark.parametrize("part", ["'", "$", "$a$", "/*", "?,", "(?),", "1e", '"', "\\'", "e'\\", "a", ".", "--", "1 ,", "( 1 ) ,"])
def test_long_texts_of_one_part_are_read_once(part: str) -> None:
    """A text is walked through once: what is twice as long makes no more than about twice as many steps, else this would not end."""
    found: t.List[int] = [len(normalise(part * size)) for size in (10, 20000)]
    assert found[1] <= 20000 * len(part) + 4
