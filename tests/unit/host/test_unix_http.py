# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Answers over HTTP, read as the standard library reads them; the socket itself is tried with the engines (test_containers.py)."""

from __future__ import annotations

import http.client
import io
import typing as t

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.oncall.pressure.plugins.module_utils._host import _unix_http
from ansible_collections.oncall.pressure.plugins.module_utils._host._unix_http import NoAnswer

MOST = 4096


class Said:
    """A socket to the standard library."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def makefile(self, *dummy: t.Any) -> io.BytesIO:
        return io.BytesIO(self.data)


def oracle(data: bytes) -> t.Tuple[int, bytes, bool]:
    said = http.client.HTTPResponse(t.cast(t.Any, Said(data)), method="GET")
    said.begin()
    return said.status, said.read(), said.will_close


def chunked(parts: t.List[bytes], extension: bytes, trailer: bytes) -> bytes:
    sized = [b"%x%s\r\n%s\r\n" % (len(part), extension, part) for part in parts if part]
    return b"".join(sized) + b"0\r\n" + trailer + b"\r\n"


ANSWERS = st.builds(
    lambda early, version, status, reason, headers, length, parts, extension, trailer: (
        b"HTTP/1.1 100 Continue\r\nX: y\r\n\r\n" * early + b"HTTP/1.%d %d%s\r\n" % (version, status, reason) + b"".join(headers)
        + {"length": b"Content-Length: %d\r\n\r\n%s" % (len(b"".join(parts)), b"".join(parts)),
           "parts": b"transfer-encoding: chunked\r\n\r\n" + chunked(parts, extension, trailer),
           "end": b"\r\n" + b"".join(parts)}[length]),
    st.integers(0, 2), st.integers(0, 1), st.sampled_from([200, 404, 500]), st.sampled_from([b"", b" ", b" Not Found"]),
    st.lists(st.sampled_from([b"Content-Type: application/json\r\n", b"Connection: close\r\n", b"Api-Version: 1.41\r\n", b"Server: a:b\r\n"]), max_size=3),
    st.sampled_from(["length", "parts", "end"]), st.lists(st.binary(max_size=300), max_size=5), st.sampled_from([b"", b";a=b"]),
    st.sampled_from([b"", b"X: y\r\n"]))


@settings(max_examples=300)
@given(ANSWERS)
def test_an_answer_is_read_as_the_standard_library_reads_it(data: bytes) -> None:
    assert _unix_http.answer(io.BytesIO(data), MOST) == oracle(data)


@settings(max_examples=300)
@given(ANSWERS, st.data())
def test_an_answer_that_is_cut_is_none(data: bytes, draw: t.Any) -> None:
    cut = data[:draw.draw(st.integers(0, max(len(data) - 1, 0)))]
    try:
        status, body, closes = _unix_http.answer(io.BytesIO(cut), MOST)
    except NoAnswer:
        return
    # only where its end is the end of the connection is that not seen
    assert closes and b"ontent-Length" not in cut and b"chunked" not in cut and oracle(cut) == (status, body, True)


@settings(max_examples=300)
@given(st.one_of(st.binary(max_size=600), st.builds(
    lambda data, place, extra: data[:place] + extra + data[place:], ANSWERS, st.integers(0, 300), st.binary(max_size=20))))
def test_rubbish_is_no_answer_and_no_error(data: bytes) -> None:
    try:
        status, body, dummy = _unix_http.answer(io.BytesIO(data), MOST)
    except NoAnswer:
        return
    assert 200 <= status <= 999 and len(body) <= len(data)


@pytest.mark.parametrize("data", [
    b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000000000\r\n\r\n", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffff\r\n"])
def test_room_is_made_for_no_more_than_is_read(data: bytes) -> None:
    with pytest.raises(NoAnswer, match="larger than what is read"):
        _unix_http.answer(io.BytesIO(data + b"x" * 2 * MOST), MOST)


@pytest.mark.parametrize("data", [
    b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nx", b"HTTP/1.1 200 OK\r\nContent-Length: ff\r\n\r\n" + b"x" * 255, b"HTTP/2 200\r\n\r\n", b"", b"\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 1000 + b"\r\n", b"HTTP/1.1 200 OK\r\nA: " + b"b" * 100000 + b"\r\n\r\n", b"HTTP/1.1 200 OK\r\n"])
def test_what_is_no_http(data: bytes) -> None:
    with pytest.raises(NoAnswer, match="does not speak HTTP"):
        _unix_http.answer(io.BytesIO(data), MOST)
