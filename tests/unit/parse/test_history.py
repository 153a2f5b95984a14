# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Records of changes: of git 2.39, dpkg 1.21 and dnf 4.14, of our own, and what nobody wrote."""

from __future__ import annotations

import json
import os
import time

import pytest
from ansible_collections.oncall.pressure.plugins.module_utils._parse import _history
from hypothesis import given, settings
from hypothesis import strategies as st

EXAMPLES = int(os.environ.get("PRESSURE_FUZZ_EXAMPLES", "300"))

REFLOG = (
    "0000000000000000000000000000000000000000 8f2208f4f2b9d3a6c1e0b7a5d4c3b2a190817263 A <a@example.org> 1795260100 +0000\t"
    "clone: from https://u:secret@git.example.org/shop\n"
    "8f2208f4f2b9d3a6c1e0b7a5d4c3b2a190817263 dc921811d1fb0a9b8c7d6e5f4a3b2c1d0e9f8a7b A B <a@example.org> 1795260900 +0100\tpull origin main: Fast-forward\n"
)

DPKG = """2026-11-28 03:38:53 startup archives unpack
2026-11-28 03:38:53 install redis-tools:amd64 <none> 5:7.0.15-1~deb12u3
2026-11-28 03:38:53 status half-installed redis-tools:amd64 5:7.0.15-1~deb12u3
2026-11-28 03:38:58 upgrade libc6:amd64 2.36-9 2.36-9+deb12u14
2026-11-28 03:39:01 status installed libc-bin:amd64 2.36-9+deb12u14
2026-11-28 03:39:02 remove vim:amd64 2:9.0 <none>
"""

RPM = """2026-11-28T03:38:53+0000 INFO --- logging initialized ---
2026-11-28T03:38:53+0000 SUBDEBUG Installed: nginx-1:1.22.1-4.el9.x86_64
2026-11-28T04:38:53+01:00 SUBDEBUG Upgrade: openssl-3.0.7-25.el9.x86_64
2026-11-28T03:38:54Z SUBDEBUG Upgraded: openssl-3.0.7-24.el9.x86_64
"""


def test_the_last_move_of_a_repository() -> None:
    assert _history.reflog(REFLOG) == (1795260900.0, "dc921811d1fb", "pull")
    assert _history.reflog(REFLOG[60:]) == (1795260900.0, "dc921811d1fb", "pull"), "its first line may be cut off"
    assert _history.reflog("") is None and _history.reflog("\x00\xff" * 50) is None


def test_a_commit_that_head_names() -> None:
    assert _history.detached("dc921811d1fb0a9b8c7d6e5f4a3b2c1d0e9f8a7b\n") == "dc921811d1fb"
    assert _history.detached("ref: refs/heads/main\n") is None


def test_packages_of_dpkg(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    found = _history.dpkg(DPKG)
    assert [(row.verb, row.name) for row in found] == [("installed", "redis-tools"), ("upgraded", "libc6"), ("removed", "vim")]
    assert found[0].at_s == 1795837133.0


def test_packages_of_rpm() -> None:
    found = _history.rpm(RPM)
    assert [(row.verb, row.name) for row in found] == [("installed", "nginx-1:1.22.1-4.el9.x86_64"), ("upgraded", "openssl-3.0.7-25.el9.x86_64")]
    assert found[0].at_s == found[1].at_s == 1795837133.0


@pytest.mark.parametrize("name, expected", [
    ("Django-5.0.1.dist-info", "Django 5.0.1"), ("ruamel.yaml-0.18.6.dist-info", "ruamel.yaml 0.18.6"), ("pip-23.0.1-py3.11.egg-info", "pip 23.0.1"),
    ("shop-1.0+local.dist-info", "shop 1.0+local"), ("django", None), ("x-1.dist-info\n", None), ("-1.dist-info", None),
])
def test_distributions(name: str, expected: object) -> None:
    assert _history.distribution(name) == expected


def test_our_journal() -> None:
    lines = [{"state": "intent", "mitigation": "lower_workers", "service": "shop.service", "epoch_s": 1.5}, {"state": "applying", "operation": 0},
             {"state": "applied", "epoch_s": 2.5}, {"state": "undone", "epoch_s": "soon"}, {"state": "undone", "epoch_s": 9}]
    text = "\n".join(map(json.dumps, lines)) + "\n{\"state\": \"undo"
    assert _history.journal(text) == [
        {"at_s": 2.5, "state": "applied", "mitigation": "lower_workers", "service": "shop.service"},
        {"at_s": 9.0, "state": "undone", "mitigation": "lower_workers", "service": "shop.service"}]


ODD = ["2026-99-99 99:99:99 install a 1 2", '{"state": "applied", "epoch_s": 1e999}', "{" * 3000, "2026-02-30T00:00:00+9999 X Installed: a",
       "9999-12-31 23:59:59 install a 1 2", '{"state": "intent", "service": []}']
PIECES = st.sampled_from(REFLOG.split("\n") + DPKG.split("\n") + RPM.split("\n") + ODD)


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.one_of(st.text(max_size=300), st.lists(st.one_of(PIECES, st.text(max_size=60)), max_size=8).map("\n".join)))
def test_any_text_is_read(text: str) -> None:
    last = _history.reflog(text)
    assert last is None or (len(last.commit) == 12 and 0 <= last.at_s < 1e12)
    for package in _history.dpkg(text) + _history.rpm(text):
        assert package.name and package.verb in ("installed", "upgraded", "removed", "downgraded")
    for step in _history.journal(text):
        assert 0 <= step["at_s"] < 1e11 and (step["service"] is None or isinstance(step["service"], str))
    _history.detached(text)
    _history.distribution(text)
