# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The keep list: merged where it can be read, refused where it cannot."""

from __future__ import annotations

import pytest
from ansible_collections.oncall.pressure.plugins.plugin_utils._keep_list import BadKeepList, keep_list


def test_addresses_networks_and_ranges_are_merged() -> None:
    found = keep_list(["198.51.100.0/25", "198.51.100.128/25", "192.0.2.1-192.0.2.2", "2001:db8::1", "10.1.2.3/8"])
    assert found == ["10.0.0.0/8", "192.0.2.1/32", "192.0.2.2/32", "198.51.100.0/24", "2001:db8::1/128"]


def test_hosts_that_are_names_are_left_out() -> None:
    assert keep_list([], ["web-1", "203.0.113.5", "", "{{ secret }}", "203.0.113.5.example", None]) == ["203.0.113.5/32"]


@pytest.mark.parametrize("entry", [
    "web-1", "", "0.0.0.0/0", "::/0", "0.0.0.0-255.255.255.255", "198.51.100.010", "fe80::1%eth0", "10", "127.1", "1.2.3.4/33", "1.2.3.9-1.2.3.1", "1.2.3.4; }",
    "1.2.3.4\n", "1.2.3.4/", "{{ x }}", 7, None, ["1.2.3.4"], "\uff11.2.3.4",
])
def test_what_is_none_is_said(entry: object) -> None:
    with pytest.raises(BadKeepList, match="entry 2 of the keep list"):
        keep_list(["192.0.2.1", entry])


def test_a_list_without_end_is_refused() -> None:
    with pytest.raises(BadKeepList, match="at most"):
        keep_list(["10.%d.%d.1" % (high, low) for high in range(200) for low in range(0, 250, 2)])
