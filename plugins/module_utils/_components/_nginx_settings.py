# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What nginx is configured to take on: workers and connections, limits, whom it trusts with an address, what it passes requests to.

Private to oncall.pressure: no stable interface.
"""

from __future__ import annotations

import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._host._text import clean
from ansible_collections.oncall.pressure.plugins.module_utils._parse._nginx_config import Settings

#: The most of each kind that is listed.
_MOST = 20


def told(settings: t.Sequence[Settings]) -> dict[str, t.Any] | None:
    """``nginx.settings`` of the first of the configurations that were read; null where none was."""
    if not settings:
        return None
    first = settings[0]
    return {
        "worker_processes": clean(first.worker_processes, 20) if first.worker_processes is not None else None,
        # what nginx takes where nothing is said
        "worker_connections": first.worker_connections if first.worker_connections is not None else 512,
        "real_ip_header": clean(first.real_ip_header, 64) if first.real_ip_header is not None else None,
        "trusted": [clean(network, 64) for network in first.proxies[:_MOST]],
        "limit_zones": [_zone(words) for words in first.limit_zones[:_MOST]],
        "limits": len(first.limits),
        "formats": [clean(name, 64) for name in list(first.formats)[:_MOST]],
        "upstreams": [{"name": clean(name, 100), "servers": len(servers)} for name, servers in list(first.upstreams.items())[:_MOST]],
    }


def _zone(words: t.Sequence[str]) -> dict[str, t.Any]:
    """A limit_req_zone: its key, then zone=NAME:SIZE and rate=N in any order."""
    given = {name: value for name, separator, value in (word.partition("=") for word in words[1:]) if separator}
    name, dummy, size = given.get("zone", "").partition(":")
    return {
        "key": clean(words[0], 200) if words else "", "name": clean(name, 64), "rate": clean(given["rate"], 20) if "rate" in given else None,
        "size": clean(size, 20) if size else None,
    }
