# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which host an address is, and whom the services of each host are connected to: only what means the same on every host is compared.

Private to oncall.pressure: no stable interface. Pure.
"""

from __future__ import annotations

import ipaddress
import typing as t

from ansible_collections.oncall.pressure.plugins.plugin_utils._values import at, num, rows, text

Place = t.Tuple[str, int]

#: Where two hosts have the same address, it is each host's own affair; where it is the first of its network (a bridge of containers), so are its neighbours,
#: by so many bits.
_NEIGHBOURS: t.Final = {4: 16, 6: 64}


class Peer(t.NamedTuple):
    """Whom a service is connected to: address and port, how many connections, how many of them wait for an answer to be made."""

    place: Place
    sockets: int
    connecting: int

    @property
    def words(self) -> str:
        """``10.0.0.5:5432``"""
        return "%s:%d" % ("[%s]" % self.place[0] if ":" in self.place[0] else self.place[0], self.place[1])

    def says(self, service: str | None) -> str:
        """``shop-web.service has 9 connections to 10.0.0.5:5432, 4 of which get no answer``"""
        unanswered = ", %d of which get no answer" % self.connecting if self.connecting else ""
        return "%s has %d connections to %s%s" % (service or "it", self.sockets, self.words, unanswered)


class Network(t.NamedTuple):
    """The addresses of each host, the host of each address, networks that are not comparable between hosts, and by host and service its peers."""

    addresses: t.Mapping[str, frozenset[str]]
    owners: t.Mapping[str, str]
    apart: frozenset[ipaddress.IPv4Network | ipaddress.IPv6Network]
    connected: t.Mapping[str, t.Mapping[str, t.Sequence[Peer]]]

    def of(self, host: str) -> t.Iterator[str]:
        """The addresses under which others may reach a host."""
        return (address for address in self.addresses.get(host, ()) if self.owners.get(address) == host)

    def peers(self, host: str, service: str | None) -> t.Sequence[Peer]:
        """Whom a service is connected to on other hosts, most connections first."""
        return self.connected.get(host, {}).get(service or "", ())

    def uses(self, host: str, places: t.Collection[Place]) -> bool:
        """Whether any service of a host is connected to one of these places."""
        return any(peer.place in places for peers in self.connected.get(host, {}).values() for peer in peers)

    def host_of(self, words: str) -> str | None:
        """The host of this run that ``ADDRESS:PORT`` is on."""
        return self.owners.get(plain(words.rpartition(":")[0].strip("[]")) or "")

    def is_comparable(self, address: str) -> bool:
        """Whether an address means the same host wherever it is seen."""
        found = ipaddress.ip_address(address)
        return not is_own(address) and not any(found.version == net.version and found in net for net in self.apart)


def network(documents: t.Mapping[str, t.Mapping[str, t.Any]]) -> Network:
    """What the snapshots of a run say of who is where."""
    addresses = {host: frozenset(filter(None, map(plain, _listed(document)))) for host, document in documents.items()}
    holders: dict[str, set[str]] = {}
    for host, mine in addresses.items():
        for address in mine:
            holders.setdefault(address, set()).add(host)
        # an inventory may name hosts by their addresses
        named = plain(host)
        if named is not None:
            holders.setdefault(named, set()).add(host)
            addresses[host] = mine | {named}
    several = {address for address, hosts in holders.items() if len(hosts) > 1}
    found = Network(
        addresses, {address: next(iter(hosts)) for address, hosts in holders.items() if len(hosts) == 1 and not is_own(address)},
        frozenset(map(_own_affair, several)), {},
    )
    return found._replace(connected={host: _connected(document, found, addresses[host]) for host, document in documents.items()})


def _listed(document: t.Mapping[str, t.Any]) -> list[str]:
    listed = at(document, "connections", "addresses")
    return [item for item in listed[:64] if isinstance(item, str)] if isinstance(listed, list) else []


def _connected(document: t.Mapping[str, t.Any], found: Network, mine: t.Collection[str]) -> dict[str, list[Peer]]:
    """By service its peers: of each place the row that knows of more connections counts."""
    seen: dict[str, dict[Place, Peer]] = {}
    listed = [(text(row, "service"), peer, num(peer, "sockets"), num(peer, "connecting")) for row in rows(document, "connections", "services")
              for peer in rows(row, "peers")]
    listed += [(text(share, "service"), row, num(share, "sockets"), None) for row in rows(document, "connections", "outbound")
               for share in rows(row, "services")]
    for service, row, sockets, connecting in listed:
        address, port = plain(text(row, "address") or ""), num(row, "port")
        if service is None or address is None or not port or address in mine or not found.is_comparable(address):
            continue
        place = (address, int(port))
        known = seen.setdefault(service, {}).get(place, Peer(place, 0, 0))
        seen[service][place] = Peer(place, max(known.sockets, int(sockets or 0)), max(known.connecting, int(connecting or 0)))
    return {service: sorted(peers.values(), key=lambda peer: (-peer.sockets, peer.place)) for service, peers in seen.items()}


def plain(value: str) -> str | None:
    """An address in one spelling, an IPv4 address in IPv6's clothes as what it is; null for what is no address."""
    try:
        address = ipaddress.ip_address(value.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)


def is_own(value: str) -> bool:
    """Whether an address means something else on each host: loopback, link-local, localhost. No name is ever asked for."""
    address = plain(value)
    if address is None:
        return value.lower() in ("", "localhost", "local")
    found = ipaddress.ip_address(address)
    return found.is_loopback or found.is_link_local


def _own_affair(value: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    """What is not to be compared where several hosts have this address."""
    address = ipaddress.ip_address(value)
    bits = _NEIGHBOURS[address.version] if int(address) & 0xFF == 1 else address.max_prefixlen
    return ipaddress.ip_network("%s/%d" % (address, bits), strict=False)
