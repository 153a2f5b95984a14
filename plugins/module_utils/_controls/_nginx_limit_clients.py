# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whom a limit may mean, and whom it never does.

Private to oncall.pressure: no stable interface.

nginx looks for the smallest network that holds a client's address, an IPv4 address behind ``::ffff:`` as the IPv4 one: so an address that is kept stays
so within a network that is limited.
"""

from __future__ import annotations

import ipaddress
import re
import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine
from ansible_collections.oncall.pressure.plugins.module_utils._host._text import clean
from ansible_collections.oncall.pressure.plugins.module_utils._parse import _addresses
from ansible_collections.oncall.pressure.plugins.module_utils._parse._addresses import Network

#: A network is meant as one client: one that is wider is many people.
LEAST_PREFIX: t.Final = {4: 16, 6: 32}

_KEEP_LIMIT = 4096
_CLIENTS_LIMIT = 64

#: Never a client of the public Internet: this host, private and shared networks, link-local, multicast, what is reserved, and forms that hold another address.
SPECIAL: t.Final = tuple(ipaddress.ip_network(text) for text in (
    "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16", "224.0.0.0/4", "240.0.0.0/4",
    "::/8", "64:ff9b::/96", "64:ff9b:1::/48", "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8",
))

#: Balancers and delivery networks that many sites stand behind: an address of theirs is everybody. Cloudflare (cloudflare.com/ips-v4 and ips-v6),
#: Fastly (api.fastly.com/public-ip-list) and Google's balancers (cloud.google.com/load-balancing/docs/firewall-rules), as they were published in autumn 2026.
DELIVERY: t.Final = tuple(ipaddress.ip_network(text) for text in (
    "103.21.244.0/22", "103.22.200.0/22", "103.31.4.0/22", "104.16.0.0/13", "104.24.0.0/14", "108.162.192.0/18", "131.0.72.0/22", "141.101.64.0/18",
    "162.158.0.0/15", "172.64.0.0/13", "173.245.48.0/20", "188.114.96.0/20", "190.93.240.0/20", "197.234.240.0/22", "198.41.128.0/17",
    "2400:cb00::/32", "2405:8100::/32", "2405:b500::/32", "2606:4700::/32", "2803:f800::/32", "2a06:98c0::/29", "2c0f:f248::/32",
    "23.235.32.0/20", "43.249.72.0/22", "103.244.50.0/24", "103.245.222.0/23", "103.245.224.0/24", "104.156.80.0/20", "140.248.64.0/18", "140.248.128.0/17",
    "146.75.0.0/17", "151.101.0.0/16", "157.52.64.0/18", "167.82.0.0/17", "167.82.128.0/20", "167.82.160.0/20", "167.82.224.0/20", "172.111.64.0/18",
    "185.31.16.0/22", "199.27.72.0/21", "199.232.0.0/16", "2a04:4e40::/32", "2a04:4e42::/32",
    "35.191.0.0/16", "130.211.0.0/22", "2600:2d00:1:1::/64", "2600:2d00:1:b029::/64",
))

#: 6to4 and NAT64 hold an IPv4 address: (prefix, bits to the right of it).
_HOLDING = ((ipaddress.ip_network("2002::/16"), 80), (ipaddress.ip_network("64:ff9b::/96"), 0))

_OCTETS = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}")


class BadAddress(ValueError):
    """No address or network that can be meant; the message says why."""


def network_of(text: str) -> Network:
    """An address or a network, spelled any way that means one thing only; an IPv4 one behind ``::ffff:`` becomes it. Raises BadAddress."""
    said = clean(text, 80)
    if text != text.strip() or not text or len(text) > 80:
        raise BadAddress("%s is no address or network" % (said or "an empty text"))
    if "%" in text:
        raise BadAddress("%s has a zone: it is an address of one link, and nginx cannot tell links apart" % said)
    for octets in _OCTETS.findall(text):
        if any(len(part) > 1 and part.startswith("0") for part in octets.split(".")):
            raise BadAddress("%s has a number with a leading zero, which some programs read as octal" % said)
    address, separator, length = text.partition("/")
    if separator and not re.match(r"(?:0|[1-9][0-9]{0,2})\Z", length):
        raise BadAddress("%s must have the number of bits behind the slash" % said)
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError as problem:
        raise BadAddress("%s is no address or network" % said) from problem
    mapped = network.network_address.ipv4_mapped if isinstance(network, ipaddress.IPv6Network) else None
    if mapped is None:
        return network
    if network.prefixlen < 96:
        raise BadAddress("%s holds every IPv4 address" % said)
    return ipaddress.ip_network("%s/%d" % (mapped, network.prefixlen - 96))


def within(network: Network, others: t.Iterable[Network]) -> Network | None:
    """The first of the others that holds all of a network; null where none does. Addresses that hold another one (6to4, NAT64) count as that."""
    candidates = [network]
    for prefix, shift in _HOLDING:
        if isinstance(network, ipaddress.IPv6Network) and network.subnet_of(prefix) and network.prefixlen >= 128 - shift:
            inner = (int(network.network_address) >> shift) & 0xFFFFFFFF
            candidates.append(ipaddress.ip_network((inner, 32)))
    for other in others:
        for one in candidates:
            if _holds(other, one):
                return other
    return None


def _holds(outer: Network, inner: Network) -> bool:
    if isinstance(outer, ipaddress.IPv4Network):
        return isinstance(inner, ipaddress.IPv4Network) and inner.subnet_of(outer)
    return isinstance(inner, ipaddress.IPv6Network) and inner.subnet_of(outer)


def collapsed(networks: t.Iterable[Network]) -> list[Network]:
    """The same addresses in as few networks as there can be, in order."""
    found = list(networks)
    four = ipaddress.collapse_addresses([one for one in found if isinstance(one, ipaddress.IPv4Network)])
    six = ipaddress.collapse_addresses([one for one in found if isinstance(one, ipaddress.IPv6Network)])
    return list(four) + list(six)


def meant(texts: t.Sequence[str], keep: t.Sequence[Network]) -> list[Network]:
    """The clients that a limit is for. Raises BadAddress for one that is many people, or on the keep list."""
    if len(texts) > _CLIENTS_LIMIT:
        raise BadAddress("more than %d clients are named: limit the path for everybody instead" % _CLIENTS_LIMIT)
    found = []
    for text in texts:
        network = network_of(text)
        if network.prefixlen < LEAST_PREFIX[network.version]:
            raise BadAddress("%s is too wide for one client (at least /%d)" % (clean(text, 80), LEAST_PREFIX[network.version]))
        special = within(network, SPECIAL)
        if special is not None:
            raise BadAddress("%s is no client of the Internet (%s): it is this host, a neighbour or a balancer that everybody comes through" % (
                clean(text, 80), special))
        delivery = within(network, DELIVERY)
        if delivery is not None:
            raise BadAddress("%s belongs to a delivery network or balancer (%s): everybody comes through it" % (clean(text, 80), delivery))
        kept = within(network, keep)
        if kept is not None:
            raise BadAddress("%s is on the keep list (%s)" % (clean(text, 80), kept))
        if any(network.version == other.version and _holds(network, other) for other in SPECIAL + DELIVERY):
            raise BadAddress("%s holds networks that are never limited" % clean(text, 80))
        found.append(network)
    return collapsed(found)


def kept(machine: Machine, given: t.Sequence[str], peers: t.Sequence[str]) -> list[Network]:
    """Who is never limited: what was given, what is never a client, this host's own addresses, its gateways and name servers, the operator's address,
    and ``peers`` (upstream servers and proxies of the configuration; names among them are left out). Raises BadAddress for one given that is none."""
    found: list[Network] = [network_of(text) for text in given]
    if not all(one.prefixlen for one in found):
        raise BadAddress("a keep list that holds every address leaves nobody to be limited")
    if len(found) > _KEEP_LIMIT:
        raise BadAddress("the keep list has more than %d entries" % _KEEP_LIMIT)
    own = _addresses.local_v4(machine.text_or_none("/proc/net/fib_trie", 4194304) or "") | _addresses.local_v6(machine.text_or_none("/proc/net/if_inet6") or "")
    for text in sorted(own) + gateways(machine) + resolvers(machine) + operators(machine) + list(peers):
        try:
            found.append(network_of(text.partition("%")[0]))
        except BadAddress:
            continue
    return collapsed([one for one in found if one.prefixlen] + list(SPECIAL) + list(DELIVERY))


def gateways(machine: Machine) -> list[str]:
    """The next hops of this host's IPv4 routes."""
    found = []
    for line in (machine.text_or_none("/proc/net/route") or "").split("\n")[1:]:
        words = line.split()
        if len(words) > 2 and re.match(r"[0-9A-F]{8}\Z", words[2]) and words[2] != "00000000":
            found.append(".".join(str(byte) for byte in reversed(bytes.fromhex(words[2]))))
    return sorted(set(found))


def resolvers(machine: Machine) -> list[str]:
    """The name servers that this host asks."""
    return re.findall(r"^nameserver[ \t]+([0-9A-Fa-f.:]+)", machine.text_or_none("/etc/resolv.conf") or "", re.MULTILINE)


def operators(machine: Machine) -> list[str]:
    """Where the operator's own connection comes from, as the processes above us were told by sshd."""
    found = []
    pid = machine.pid()
    for dummy in range(24):
        if pid <= 1:
            break
        for entry in (machine.text_or_none("/proc/%d/environ" % pid, 65536) or "").split("\0"):
            if entry.startswith(("SSH_CONNECTION=", "SSH_CLIENT=")):
                found.append(entry.partition("=")[2].split(" ")[0])
        seen = machine.process(pid)
        pid = seen.ppid if seen is not None else 0
    return sorted(set(found))
