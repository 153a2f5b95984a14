# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The protocol of Redis: whole, in pieces, and whatever else may come."""

from __future__ import annotations

import os
import typing as t

import pytest
from ansible_collections.oncall.pressure.plugins.module_utils._parse import _resp
from ansible_collections.oncall.pressure.plugins.module_utils._parse._resp import Failure
from hypothesis import given, settings
from hypothesis import strategies as st

EXAMPLES = int(os.environ.get("PRESSURE_FUZZ_EXAMPLES", "300"))


@pytest.mark.parametrize("data, value", [
    (b"+OK\r\n", b"OK"), (b":42\r\n", 42), (b":-1\r\n", -1), (b"$5\r\nhello\r\n", b"hello"), (b"$0\r\n\r\n", b""), (b"$-1\r\n", None), (b"*-1\r\n", None),
    (b"*0\r\n", []), (b"*3\r\n:1\r\n$2\r\n\r\n\r\n*1\r\n+a\r\n", [1, b"\r\n", [b"a"]]),
    (b"-NOAUTH Authentication required.\r\n", Failure("NOAUTH", "NOAUTH Authentication required.")), (b"-ERR\r\n", Failure("ERR", "ERR")),
])
def test_replies(data: bytes, value: t.Any) -> None:
    assert _resp.reply(data) == (value, len(data))
    assert _resp.reply(b"+x\r\n" + data + b"more", 4) == (value, 4 + len(data))
    assert [_resp.reply(data[:end]) for end in range(len(data))] == [None] * len(data)


@pytest.mark.parametrize("data", [
    b"HTTP/1.1 200 OK\r\n", b"x", b"\r\n", b"$abc\r\n", b"$-2\r\n", b":1.5\r\n", b":\r\n", b"*9999999999999999999999\r\n", b"$2\r\nabc\r\n", b"+" + b"a" * 5000,
    b"*1\r\n" * 20, b"%1\r\n+a\r\n+b\r\n",
])
def test_garbage(data: bytes) -> None:
    with pytest.raises(_resp.Garbage):
        _resp.reply(data)


@pytest.mark.parametrize("data, size", [(b"$104857600\r\n", 104857600), (b"*1\r\n$104857600\r\nx", 104857600), (b"*2000000\r\n", 2000000)])
def test_what_is_too_large_is_known_by_its_header(data: bytes, size: int) -> None:
    with pytest.raises(_resp.TooLarge) as caught:
        _resp.reply(data)
    assert caught.value.size == size


def test_a_command() -> None:
    assert _resp.command(["SELECT", 3, b"\x00\r\n", "ü"]) == b"*4\r\n$6\r\nSELECT\r\n$1\r\n3\r\n$3\r\n\x00\r\n\r\n$2\r\n\xc3\xbc\r\n"


def written(value: t.Any) -> bytes:
    """A value as a server writes it."""
    if value is None:
        return b"$-1\r\n"
    if isinstance(value, int):
        return b":%d\r\n" % value
    if isinstance(value, bytes):
        return b"$%d\r\n%s\r\n" % (len(value), value)
    return b"*%d\r\n%s" % (len(value), b"".join(map(written, value)))


VALUES = st.recursive(
    st.none() | st.integers(-(2 ** 63), 2 ** 63 - 1) | st.binary(max_size=60), lambda inner: st.lists(inner, max_size=5), max_leaves=20)


def depth(value: t.Any) -> int:
    return 1 + max(map(depth, value), default=0) if isinstance(value, list) else 0


@settings(max_examples=EXAMPLES, deadline=None, database=None)
@given(VALUES.filter(lambda value: depth(value) <= _resp.DEPTH_LIMIT))
def test_what_is_written_is_read(value: t.Any) -> None:
    data = written(value)
    assert _resp.reply(data) == (value, len(data))
    assert all(_resp.reply(data[:end]) is None for end in range(len(data)))


PIECES = st.sampled_from([b"*", b"$", b":", b"+", b"-", b"\r\n", b"1", b"3", b"-1", b"99999999", b"OK", b"a", b"\x00", b"\xff", b" "])


@settings(max_examples=EXAMPLES, deadline=None, database=None)
@given(st.binary(max_size=300) | st.lists(PIECES, max_size=60).map(b"".join))
def test_anything(data: bytes) -> None:
    try:
        answer = _resp.reply(data)
    except (_resp.Garbage, _resp.TooLarge):
        return
    if answer is not None:
        assert 0 < answer[1] <= len(data)
        # what was read once is read again, whatever follows
        assert _resp.reply(data[: answer[1]] + b"\xffmore") == answer
