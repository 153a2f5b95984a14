# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""INFO as a real Redis gives it, redis.conf as Redis reads it, and whatever else may come."""

from __future__ import annotations

import json
import os
import pathlib
import typing as t

import pytest
from ansible_collections.oncall.pressure.plugins.module_utils._parse import _redis_info
from ansible_collections.oncall.pressure.plugins.module_utils._parse._redis_info import Keys
from hypothesis import given, settings
from hypothesis import strategies as st

EXAMPLES = int(os.environ.get("PRESSURE_FUZZ_EXAMPLES", "300"))
RECORDING = pathlib.Path(__file__).resolve().parents[1] / "recordings/redis/7.0.15-debian-12/conversation.json"


def test_a_recorded_info() -> None:
    fields = _redis_info.info(json.loads(RECORDING.read_text())[0][1])
    number = _redis_info.number
    assert (fields["redis_version"], fields["role"], fields["maxmemory_policy"]) == ("7.0.15", "master", "noeviction")
    assert (number(fields, "maxmemory"), number(fields, "maxclients"), number(fields, "not_there", "blocked_clients")) == (0, 10000, 0)
    # Redis says -1 where it means none
    assert fields["rdb_last_bgsave_time_sec"] == "-1" and number(fields, "rdb_last_bgsave_time_sec") is None
    assert _redis_info.keyspace(fields) == {1: Keys(31, 0), 2: Keys(27, 0)}
    assert (_redis_info.ratio(fields, "mem_fragmentation_ratio") or 0) > 1


@pytest.mark.parametrize("line, words", [
    ("port 6379", ["port", "6379"]),
    ("  requirepass\t\"a b\\x21\\n\"  ", ["requirepass", "a b!\n"]),
    ("requirepass 'it\\'s \\x21'", ["requirepass", "it's \\x21"]),
    ("# port 1", []), ("", []), ("save \"\"", ["save", ""]), ("requirepass \"open", None), ("requirepass \"a\"b", None), ("requirepass a\"b", None),
    ("requirepass a#b # c", ["requirepass", "a#b", "#", "c"]), ("x \"\\", None), ("x '\\", None), ("x \"\\xzz\"", ["x", "xzz"]),
])
def test_words(line: str, words: t.Optional[t.List[str]]) -> None:
    assert _redis_info.words_of(line) == words


def test_directives() -> None:
    text = "PORT 7000\r\n\n# requirepass no\nrequirepass \"one\"\nbroken \"\nrequirepass two\ninclude /etc/redis/more.conf\n"
    assert _redis_info.settings(text) == [("port", ["7000"]), ("requirepass", ["one"]), ("requirepass", ["two"]), ("include", ["/etc/redis/more.conf"])]


@pytest.mark.parametrize("value, number", [
    ("0", 0), ("18446744073709551615", None), ("9223372036854775807", 9223372036854775807),
    ("", None), ("-1", None), ("1.5", None), ("\u0663", None), ("1 ", None),
])
def test_numbers(value: str, number: t.Optional[int]) -> None:
    assert _redis_info.number({"x": value}, "x") == number


PIECES = st.sampled_from([
    "db0", "db999999999", ":", "keys=", "expires=", ",", "=", "1", "-1", "9" * 30, "\n", "\r\n", "\"", "'", "\\", "\\x4", " ", "#", "port", "\x00", "\u0663",
])
TEXT = st.text(max_size=200) | st.lists(PIECES, max_size=60).map("".join)


@settings(max_examples=EXAMPLES, deadline=None, database=None)
@given(TEXT)
def test_any_text(text: str) -> None:
    fields = _redis_info.info(text)
    for name in list(fields) + ["x"]:
        number, ratio = _redis_info.number(fields, name), _redis_info.ratio(fields, name)
        assert number is None or 0 <= number < 10 ** 19
        assert ratio is None or 0 <= ratio < 1e12
    assert all(keys.keys >= 0 for keys in _redis_info.keyspace(fields).values())
    assert all(name == name.lower() and name and not name.startswith("#") for name, dummy in _redis_info.settings(text))


@settings(max_examples=EXAMPLES, deadline=None, database=None)
@given(st.lists(st.text(st.characters(blacklist_categories=["Cs", "Cc", "Zs", "Zl", "Zp"]), max_size=20), min_size=1, max_size=5))
def test_what_is_quoted_is_read(words: t.List[str]) -> None:
    line = " ".join('"%s"' % word.replace("\\", "\\\\").replace('"', '\\"') for word in words)
    assert _redis_info.words_of("x " + line) == ["x", *words]
