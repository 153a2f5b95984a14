# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Kinds of addresses."""

from __future__ import annotations

import socket

import pytest
from ansible_collections.oncall.pressure.plugins.module_utils._parse import _addresses

# as the kernel writes it
FIB_TRIE = """Main:
  +-- 0.0.0.0/0 3 0 5
     |-- 0.0.0.0
        /0 universe UNICAST
     +-- 10.0.2.0/24 2 0 2
        +-- 10.0.2.0/28 2 0 2
           |-- 10.0.2.0
              /24 link UNICAST
           |-- 10.0.2.15
              /32 host LOCAL
        |-- 10.0.2.255
           /32 link BROADCAST
     +-- 127.0.0.0/8 2 0 2
        +-- 127.0.0.0/31 1 0 0
           |-- 127.0.0.0
              /8 host LOCAL
           |-- 127.0.0.1
              /32 host LOCAL
"""

IF_INET6 = "00000000000000000000000000000001 01 80 10 80       lo\nfe800000000000000a0027fffe0c1234 02 40 20 80     eth0\nnot an address\n"


def test_local_addresses() -> None:
    assert _addresses.local_v4(FIB_TRIE) == {"10.0.2.15", "127.0.0.1"}
    assert _addresses.local_v6(IF_INET6) == {"::1", "fe80::a00:27ff:fe0c:1234"}


def test_this_machine_finds_itself() -> None:
    with open("/proc/net/fib_trie", encoding="ascii") as stream:
        found = _addresses.local_v4(stream.read())
    assert found
    for address in found - {"127.0.0.1"}:
        # only a local address can be bound
        with socket.socket() as probe:
            probe.bind((address, 0))


@pytest.mark.parametrize(("text", "kind"), [
    ("8.8.8.8", "public"), ("203.0.113.7", "public"), ("2606:4700::1111", "public"), ("10.1.2.3", "private"), ("172.31.0.1", "private"),
    ("172.32.0.1", "public"), ("192.168.1.1", "private"), ("100.64.0.1", "private"), ("fd00::1", "private"), ("127.0.0.1", "loopback"), ("::1", "loopback"),
    ("10.0.2.15", "own"), ("::ffff:10.0.2.15", "own"), ("192.0.2.9", "proxy"), ("2001:db8::5", "proxy"),
    ("unix:", "unknown"), ("-", "unknown"), ("", "unknown"),
    ("evil.example", "unknown"),
])
def test_kind(text: str, kind: str) -> None:
    proxies = _addresses.networks(["192.0.2.0/24", "2001:db8::/32", "unix:", "proxy.example"])
    assert _addresses.kind(text, {"10.0.2.15"}, proxies) == kind
