# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The addresses that are never limited or blocked, as the inventory names them.

Private to oncall.pressure: no stable interface. netaddr reads what people write (ranges too) and merges it; ipaddress knows no ranges of addresses as text.
"""

from __future__ import annotations

import re
import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._host._text import clean

try:
    import netaddr
except ImportError:
    HAS_NETADDR = False
else:
    HAS_NETADDR = True

#: More than this is not written into a file of nginx.
_LIMIT = 4000


class BadKeepList(ValueError):
    """An entry that is no address, network or range; the message says which."""


def keep_list(entries: t.Sequence[t.Any], hosts: t.Iterable[t.Any] = ()) -> list[str]:
    """Networks, as few as there can be, of entries (each must be an address, a network or a range) and of hosts (what is no address among them is left out).

    Raises BadKeepList, also where netaddr is missing.
    """
    if not HAS_NETADDR:
        raise BadKeepList("the Python library netaddr is missing on the controller: pip install netaddr")
    found: list[t.Any] = []
    for place, entry in enumerate(entries):
        found += _networks(entry, "entry %d of the keep list" % (place + 1))
    for host in hosts:
        try:
            found += _networks(host, "")
        except BadKeepList:
            continue
    merged = [str(network) for network in netaddr.cidr_merge(found)]
    if len(merged) > _LIMIT:
        raise BadKeepList("the keep list comes to %d networks, at most %d are written" % (len(merged), _LIMIT))
    return merged


def _networks(entry: t.Any, which: str) -> list[t.Any]:
    said = clean(str(entry), 80)
    if not isinstance(entry, str) or not re.match(r"[0-9A-Fa-f:.]+(?:/[0-9]{1,3}|\s*-\s*[0-9A-Fa-f:.]+)?\Z", entry):
        raise BadKeepList("%s is no address, network or range: %s" % (which, said))
    if any(len(part) > 1 and part.startswith("0") for octets in re.findall(r"[0-9]+(?:\.[0-9]+){3}", entry) for part in octets.split(".")):
        raise BadKeepList("%s has a number with a leading zero, which some programs read as octal: %s" % (which, said))
    try:
        first, separator, last = entry.partition("-")
        if separator:
            ends = [netaddr.IPAddress(text.strip(), flags=netaddr.INET_PTON) for text in (first, last)]
            # netaddr makes something of a range whose end comes first
            networks = netaddr.iprange_to_cidrs(*ends) if ends[0].version == ends[1].version and ends[0] <= ends[1] else []
        else:
            address = first.partition("/")[0]
            netaddr.IPAddress(address, flags=netaddr.INET_PTON)
            networks = [netaddr.IPNetwork(entry).cidr]
    except (ValueError, TypeError, netaddr.AddrFormatError) as problem:
        raise BadKeepList("%s is no address, network or range: %s" % (which, said)) from problem
    if not networks:
        raise BadKeepList("%s is a range whose end comes before its start: %s" % (which, said))
    if any(network.prefixlen == 0 for network in networks):
        raise BadKeepList("%s holds every address, which leaves nobody to be limited: %s" % (which, said))
    return list(networks)
