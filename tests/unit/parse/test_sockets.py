# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sockets that take connections, and connections, from lists that a real kernel gave (6.18) and from whatever else may come."""

from __future__ import annotations

import os

from ansible_collections.oncall.pressure.plugins.module_utils._parse import _sockets
from ansible_collections.oncall.pressure.plugins.module_utils._parse._sockets import Listener
from hypothesis import given, settings
from hypothesis import strategies as st

EXAMPLES = int(os.environ.get("PRESSURE_FUZZ_EXAMPLES", "300"))

TCP = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
  25: 0100007F:43E3 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 3359649 1 00000000753d1313 100 0 0 10 0
  26: 00000000:18EB 00000000:0000 0A 00000000:00000000 00:00000000 00000000   113        0 3359700 1 00000000753d1314 100 0 0 10 0
  40: 0100007F:43E3 0100007F:9C40 01 00000000:00000000 00:00000000 00000000     0        0 0 1 00000000753d1399 20 4 30 10 -1
"""
TCP6 = """\
  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000000000000000000001000000:43E3 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 3359650 1 0
"""
UNIX = """\
Num       RefCount Protocol Flags    Type St Inode Path
00000000510d8be0: 00000002 00000000 00010000 0001 01 3359651 /tmp/shop folder/r.sock
00000000357a86b3: 00000003 00000000 00000000 0001 03 3334637 /var/run/docker.sock
0000000045637687: 00000002 00000000 00010000 0001 01 3359652 @abstract
0000000045637688: 00000002 00000000 00010000 0001 01 3359653
"""


def test_listeners() -> None:
    assert _sockets.listeners(TCP) == [Listener("127.0.0.1", 17379, 0, 3359649), Listener("0.0.0.0", 6379, 113, 3359700)]
    assert _sockets.listeners(TCP6) == [Listener("0:0:0:0:0:0:0:1", 17379, 0, 3359650)]
    assert _sockets.unix_listeners(UNIX) == {3359651: "/tmp/shop folder/r.sock"}


def test_a_connection_is_there_before_it_is_accepted() -> None:
    here, there = ("127.0.0.1", 17379), ("127.0.0.1", 40000)
    assert _sockets.connected(TCP, here, there)
    assert not _sockets.connected(TCP, there, here) and not _sockets.connected(TCP, here, ("127.0.0.1", 40001)) and not _sockets.connected("", here, there)
    # one that listens is no connection
    assert not _sockets.connected(TCP, here, ("0.0.0.0", 0))


LINES = st.lists(st.sampled_from(TCP.split() + UNIX.split() + ["\n", " ", "\t", ":", "zz", "\u0663", "0A", "-1"]), max_size=80).map(" ".join)


@settings(max_examples=EXAMPLES, deadline=None, database=None)
@given(st.text(max_size=300) | LINES)
def test_any_text(text: str) -> None:
    for row in _sockets.listeners(text):
        assert isinstance(row.address, str) and row.port >= 0
    assert all(path.startswith("/") for path in _sockets.unix_listeners(text).values())
    assert _sockets.connected(text, ("", -1), ("", -1)) is False
