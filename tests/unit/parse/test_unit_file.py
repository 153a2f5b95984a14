# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Unit files, drop-ins and environment files."""

from __future__ import annotations

import pytest

from ansible_collections.oncall.pressure.plugins.module_utils._parse import _unit_file

FRAGMENT = """\
# a comment
[Unit]
ExecStart=/not/here
[Service]
Environment="A=1 2" B=2
Environment=C=%i
ExecStart=/usr/bin/one \\
# a comment between
   --two \\
   --three
; another
EnvironmentFile=/etc/default/x
MemoryMax=1G
"""
DROP_IN = """\
[Service]
ExecStart=
ExecStart=/usr/bin/other
EnvironmentFile=
EnvironmentFile=-/etc/default/%p
Environment=B=3
"""


def test_a_drop_in_takes_back_what_was_said() -> None:
    merged = _unit_file.merge([("/etc/u.service", FRAGMENT), ("/etc/u.service.d/1.conf", DROP_IN)])
    assert merged["ExecStart"] == [_unit_file.Entry("/usr/bin/other", "/etc/u.service.d/1.conf", 3)]
    assert [entry.value for entry in merged["EnvironmentFile"]] == ["-/etc/default/%p"]
    assert [entry.value for entry in merged["MemoryMax"]] == ["1G"]
    variables = _unit_file.environment(merged["Environment"])
    assert {name: entry.value for name, entry in variables.items()} == {"A": "1 2", "B": "3", "C": "%i"}
    assert (variables["B"].path, variables["A"].line) == ("/etc/u.service.d/1.conf", 5)


def test_continuation_lines_and_lines_of_settings() -> None:
    merged = _unit_file.merge([("/u", FRAGMENT)])
    entry = merged["ExecStart"][0]
    assert entry.line == 7
    assert entry.value.split() == ["/usr/bin/one", "\\", "#", "a", "comment", "between", "--two", "\\", "--three"]
    assert merged["EnvironmentFile"][0].line == 12


def test_environment_file() -> None:
    text = "# c\n; c\nA=1\nB=\"two words\"\n C = 'x y' \nD=a\\\nb\nexport E=5\nnothing\nF=\n"
    found = _unit_file.environment_file("/e", text)
    assert {name: entry.value for name, entry in found.items()} == {"A": "1", "B": "two words", "C": "x y", "D": "ab", "F": ""}
    assert (found["A"].line, found["F"].line, found["D"].path) == (3, 10, "/e")


@pytest.mark.parametrize(
    "text, unit, wanted",
    [
        ("%i-%p-%n", "web@one.service", "one-web-web@one.service"), ("%I", "web@a-b\\x2dc.service", "a/b-c"), ("%%i %N", "x.service", "%i x"),
        ("%h/%t", "x.service", "%h/%t"), ("%j", "a-b-c.service", "c"),
    ],
)
def test_specifiers(text: str, unit: str, wanted: str) -> None:
    assert _unit_file.specifiers(text, unit) == wanted


@pytest.mark.parametrize("text, wanted", [("1.500000s", 1.5), ("500ms", 0.5), ("1min 30s", 90.0), ("infinity", None), ("", None), ("2s", 2.0)])
def test_spans(text: str, wanted: float | None) -> None:
    assert _unit_file.seconds(text) == wanted


@pytest.mark.parametrize("text, wanted", [("314572800", 314572800), ("infinity", None), ("[not set]", None), ("18446744073709551615", None), (None, None)])
def test_numbers(text: str | None, wanted: int | None) -> None:
    assert _unit_file.number(text) == wanted


def test_shown_units() -> None:
    text = "Id=a.service\nExecStart={ path=/x ; argv[]=/x -a b ; ignore_errors=no ; pid=0 }\nMainPID=3\n\nId=b.service\nExecStart=1\nExecStart=2\n\n"
    units = _unit_file.shown(text)
    assert [unit["Id"] for unit in units] == ["a.service", "b.service"]
    assert _unit_file.shown_argv(units[0]["ExecStart"]) == ["/x", "-a", "b"]
    assert units[1]["ExecStart"] == "1\n2"
    assert _unit_file.shown_argv("") == []
