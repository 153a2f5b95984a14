# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tables of sockets, as Linux 6.18 writes them, and what no kernel would."""

from __future__ import annotations

import os
import struct

import pytest
from ansible_collections.oncall.pressure.plugins.module_utils._host import _listening
from ansible_collections.oncall.pressure.plugins.module_utils._parse import _connections
from hypothesis import given, settings
from hypothesis import strategies as st

EXAMPLES = int(os.environ.get("PRESSURE_FUZZ_EXAMPLES", "300"))

TCP = """  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
  25: 0100007F:D59B 00000000:0000 0A 00000000:00000003 00:00000000 00000000     0        0 3333199 4 000000004fa04d8e 100 0 0 10 0
  32: 0100007F:D59B 0100007F:A208 01 00000000:00000000 00:00000000 00000000     0        0 0 1 00000000753d1313 20 0 0 10 -1
  61: 0100007F:A208 0100007F:D59B 01 00000000:00000000 00:00000000 00000000     0        0 3333200 2 000000000be5f437 20 0 0 10 -1
  62: 0100007F:8412 0B006EC0:01BB 02 00000001:00000000 01:00000064 00000000     0        0 3333301 2 000000000be5f438 20 0 0 10 -1
  63: 0100007F:8413 0B006EC0:01BB 06 00000000:00000000 03:00000064 00000000     0        0 0 3 000000000be5f439
"""

UNIX = """Num       RefCount Protocol Flags    Type St Inode Path
00000000214fc647: 00000002 00000000 00010000 0001 01 3333191 /tmp/tmpwhth1tm0/s
00000000c285e578: 00000003 00000000 00000000 0001 02     0 /tmp/tmpwhth1tm0/s
0000000002a418e8: 00000003 00000000 00000000 0001 02     0 /tmp/tmpwhth1tm0/s
00000000cf0d6605: 00000003 00000000 00000000 0001 02     0 /tmp/tmpwhth1tm0/s
00000000a955bfae: 00000003 00000000 00000000 0001 03 3333196 /tmp/tmpwhth1tm0/s
00000000f7608342: 00000002 00000000 00010000 0001 01 3329043 @/run/a b
000000003b3a0a13: 00000003 00000000 00000000 0001 03 24391
"""


def test_tcp() -> None:
    found, unread = _connections.tcp(TCP)
    assert unread == 0
    assert [(row.state, row.local_port, row.remote_port, row.waiting, row.inode) for row in found] == [
        ("LISTEN", 54683, 0, 3, 3333199), ("ESTABLISHED", 54683, 41480, 0, 0), ("ESTABLISHED", 41480, 54683, 0, 3333200),
        ("SYN_SENT", 33810, 443, 0, 3333301), ("TIME_WAIT", 33811, 443, 0, 0)]
    assert _connections.address(found[3].remote) == "192.110.0.11"


def test_lines_that_are_none_are_counted() -> None:
    found, unread = _connections.tcp(TCP.replace("0A 00000000:00000003", "0A zz:zz") + "  99: cut off\n")
    assert (len(found), unread) == (4, 2)


@pytest.mark.parametrize("text, expected", [
    ("0100007F", "127.0.0.1"), ("00000000000000000000000001000000", "::1".replace("::1", "0:0:0:0:0:0:0:1")), ("00000000000000000000000000000000", "::"),
    ("0000000000000000FFFF00000100007F", "127.0.0.1"), ("", None), ("0100007", None), ("zz00007F", None), ("0100007F00", None),
])
def test_addresses(text: str, expected: object) -> None:
    assert _connections.address(text) == expected


def test_unix_sockets_with_those_that_wait() -> None:
    assert _connections.unix(UNIX) == [
        _connections.UnixListener("/tmp/tmpwhth1tm0/s", 3333191, 1, 3), _connections.UnixListener("@/run/a b", 3329043, 0, 0)]


def message(kind: int, body: bytes) -> bytes:
    return struct.pack("=IHHII", 16 + len(body), kind, 2, 1, 0) + body


def inet(waiting: int, backlog: int, inode: int) -> bytes:
    return struct.pack("=BBBB", 2, 10, 0, 0) + b"\0" * 48 + struct.pack("=IIIII", 0, waiting, backlog, 0, inode)


def unix(inode: int, *attributes: bytes) -> bytes:
    return struct.pack("=BBBBI", 1, 1, 10, 0, inode) + b"\0" * 8 + b"".join(attributes)


def test_queues() -> None:
    data = message(20, inet(3, 7, 3333199)) + message(20, inet(0, 4096, 5) + b"\x08\0\0\0abcd") + message(3, b"\0\0\0\0")
    assert _listening.answer(data, False) == {3333199: (3, 7), 5: (0, 4096)}
    name = struct.pack("=HH", 7, 0) + b"abc\0"
    assert _listening.answer(message(20, unix(9, name, struct.pack("=HHII", 12, 4, 2, 5))) + message(20, unix(10, name)), True) == {9: (2, 5)}
    assert _listening.answer(data[:-30], False) == {3333199: (3, 7)}, "what was cut off is left out"


FIELD = st.one_of(st.sampled_from([
    "0A", "01", "0100007F:D59B", "00000000:00000003", "00010000", "0001", "02", "0", "25:", "sl", "-1", "3333199"]), st.text(max_size=12))
LINES = st.lists(st.lists(FIELD, max_size=14).map(" ".join), max_size=12).map("\n".join)


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.one_of(LINES, st.text(max_size=400), st.lists(st.sampled_from(TCP.split("\n") + UNIX.split("\n"))).map("\n".join)))
def test_any_text_is_read(text: str) -> None:
    found, unread = _connections.tcp(text)
    assert len(found) + unread <= text.count("\n") + 1
    for row in found:
        address = _connections.address(row.remote)
        assert address is None or address
    for listener in _connections.unix(text):
        assert listener.established >= 0 and listener.waiting >= 0 and listener.path in text


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.one_of(st.binary(max_size=300), st.lists(st.tuples(st.sampled_from([2, 3, 20]), st.binary(max_size=100))).map(
    lambda rows: b"".join(message(*row) for row in rows))), st.booleans())
def test_any_answer_is_read(data: bytes, is_unix: bool) -> None:
    assert all(queue.waiting >= 0 and queue.backlog >= 0 for queue in _listening.answer(data, is_unix).values())
