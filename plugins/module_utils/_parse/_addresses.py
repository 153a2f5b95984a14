# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What kind of address a client's is.

Private to oncall.pressure: no stable interface. Pure.
"""

from __future__ import annotations

import ipaddress
import re
import typing as t

Network = t.Union[ipaddress.IPv4Network, ipaddress.IPv6Network]

# Not ipaddress's is_private: that holds networks of documentation and tests too, which a host can be reached from.
_PRIVATE = tuple(ipaddress.ip_network(text) for text in (
    "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16", "fc00::/7", "fe80::/10",
))

_LOCAL_V4 = re.compile(r"\|-- (\S+)\n\s+/32 host LOCAL")


def local_v4(text: str) -> set[str]:
    """This host's IPv4 addresses from /proc/net/fib_trie."""
    return set(_LOCAL_V4.findall(text))


def local_v6(text: str) -> set[str]:
    """This host's IPv6 addresses from /proc/net/if_inet6."""
    found = set()
    for line in text.splitlines():
        digits = line.split(" ", 1)[0]
        if re.match(r"[0-9a-f]{32}\Z", digits):
            found.add(str(ipaddress.IPv6Address(int(digits, 16))))
    return found


def networks(texts: t.Iterable[str]) -> list[Network]:
    """Addresses and networks as nginx's set_real_ip_from takes them; names and "unix:" are left out."""
    found: list[Network] = []
    for text in texts:
        try:
            found.append(ipaddress.ip_network(text, strict=False))
        except ValueError:
            continue
    return found


def kind(text: str, own: t.Collection[str], proxies: t.Sequence[Network]) -> str:
    """public, private, loopback, own (an address of this host), proxy (in one of the networks given) or unknown (no address)."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return "unknown"
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    address = mapped or address
    if any(address.version == network.version and address in network for network in proxies):
        return "proxy"
    if address.is_loopback:
        return "loopback"
    if str(address) in own:
        return "own"
    return "private" if any(address.version == network.version and address in network for network in _PRIVATE) else "public"
