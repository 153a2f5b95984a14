# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Cutting a directive out of a configuration leaves the rest as it was."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

_SPEC = importlib.util.spec_from_file_location("pressure_standins", Path(__file__).with_name("standins.py"))
assert _SPEC is not None and _SPEC.loader is not None
standins = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(standins)

AROUND = "http {\n    # content_by_lua_block { here is none }\n    %s\n    server { listen 80; }\n}\n"


@pytest.mark.parametrize("name,directive", [
    ("lua_package_path", 'lua_package_path "/srv/?.lua;;";'),
    ("more_set_headers", "more_set_headers 'A: }' \"B: {\";"),
    ("content_by_lua_block", "content_by_lua_block { -- don't\n a = \"}\" .. '{' if x then b = {1, {2}} end }"),
    ("rewrite_by_lua_block", '"rewrite_by_lua_block" { f({title="ok}"}) }'),
    ("auth_jwt", "auth_jwt on; # a }"),
])
def test_a_directive_is_left_out_whole(tmp_path: Path, name: str, directive: str) -> None:
    path = tmp_path / "nginx.conf"
    path.write_text(AROUND % directive, encoding="utf-8")
    line = (AROUND % directive).split(name)[0].count("\n") + 1
    if "content_by" in name:
        line += 1
    assert standins.leave_out(path, line, name)
    kept = path.read_text(encoding="utf-8")
    assert kept.split() == (AROUND % directive.partition(";")[2].strip() if "#" in directive else AROUND % "").split(), kept


def test_a_template_becomes_a_file() -> None:
    pytest.importorskip("jinja2")
    text = "{% if IPV6 %}listen [::]:{{ PORT }};{% endif %}listen {{ HTTP_PORT }}; server_name {{ NAME }} {{ MORE | join(' ') }};"
    found = standins.rendered(text)
    assert found.startswith("listen 2") and "server_name name ;" in found and "[::]" not in found
