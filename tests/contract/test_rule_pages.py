# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The page of each rule says what the rule says now."""

from __future__ import annotations

import re
from typing import Any, Dict

import pytest
import rule_pages

PAGES = rule_pages.pages()
RULES: Dict[str, Dict[str, Any]] = {rule["id"]: rule for dummy, rule in rule_pages.load()}


def test_there_is_a_page_for_each_rule_and_no_other() -> None:
    assert {path.name for path in rule_pages.FOLDER.glob("*")} == {"README.md"} | {"%s.md" % name for name in RULES}


@pytest.mark.parametrize("name", sorted(PAGES))
def test_a_page_is_as_it_is_generated(name: str) -> None:
    assert (rule_pages.FOLDER / name).read_text(encoding="utf-8") == PAGES[name], "make pages writes it"


@pytest.mark.parametrize("rule", RULES.values(), ids=lambda rule: rule["id"])
def test_a_page_holds_what_an_operator_looks_for(rule: Dict[str, Any]) -> None:
    page = PAGES["%s.md" % rule["id"]]
    order = ["What it says", "Evidence", "What to do", "Mitigations", "Lasting fix", "When it fires", "Thresholds", "How sure it is", "What it needs", "Source"]
    assert [title for title in re.findall(r"^## (.*)$", page, re.MULTILINE) if title in order] == order
    for name, row in rule.get("thresholds", {}).items():
        assert "| `%s` | " % name in page and row["doc"].replace("|", "\\|") in page
        assert "    %s: {enter: %s, leave: %s}" % (name, row["enter"], row["leave"]) in page
    for item in rule.get("mitigations", []):
        assert "[`%s`](../../roles/" % (item if isinstance(item, str) else item["id"]) in page
    assert all("- %s: " % where in page for where in rule["source"])
