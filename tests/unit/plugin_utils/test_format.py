# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sentences filled with measured values."""

from __future__ import annotations

import pytest
from ansible_collections.oncall.pressure.plugins.plugin_utils import _format


@pytest.mark.parametrize(
    "template,value,said",
    [
        ("{x:bytes}", 432013312, "412 MiB"), ("{x:bytes}", 3865470566, "3.6 GiB"), ("{x:bytes}", 0, "0 B"), ("{x:bytes}", 1023.6, "1 KiB"),
        ("{x:bytes}", 1024**4 * 200, "200 TiB"),
        ("{x:age}", 45, "45 s"), ("{x:age}", 3600, "60 min"), ("{x:age}", 86400, "24 h"), ("{x:age}", 864000, "10 d"),
        ("{x:pct}", 0.4, "0.4 %"), ("{x:pct}", 41.6, "42 %"), ("{x:share}", 0.917, "92 %"),
        ("{x:cores}", 0.99, "0.99 of a core"), ("{x:cores}", 1, "1 core"), ("{x:cores}", 3.72, "3.7 cores"),
        ("{x:cpus}", 1, "1 CPU"), ("{x:cpus}", 2.5, "2.5 CPUs"), ("{x:rate}", 41.2, "41.2/s"), ("{x:ratio}", 16.04, "16 times"),
        ("{x}", ["a", "b"], "a, b"), ("{x}", 12.0, "12"), ("{x}", "\x1b[31m{y}", "\\x1b[31m{y}"), ("{x:clock}", "2026-01-10T02:51:13Z", "02:51:13Z"),
        ("{x:clock}", "yesterday", "yesterday"), ("a {x} b {x:count}", 3, "a 3 b 3"),
    ],
)
def test_units(template: str, value: object, said: str) -> None:
    assert _format.fill(template, {"x": value, "y": "never"}) == said


@pytest.mark.parametrize("value", [None, "12", True, [1]])
def test_a_sentence_without_its_number_is_not_said(value: object) -> None:
    assert _format.fill("it holds {x:bytes}", {"x": value}) is None


def test_a_value_is_never_filled_again() -> None:
    assert _format.fill("{x} {y}", {"x": "{y:bytes}", "y": "{x}"}) == "{y:bytes} {x}"
