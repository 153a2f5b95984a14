# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a change came to, in lines."""

from __future__ import annotations

from ansible_collections.oncall.pressure.plugins.plugin_utils._planned_text import said

NOTES = {"summary": ["shop.service: 5 workers -> 3", "floor(...) = 3"]}


def test_a_block_names_its_host_once() -> None:
    text = said("web-1", {"changed": True, "entry": "a/1", "confirm_within_s": 900.0, "notes": NOTES, "proposals": ["do that"]}, False)
    assert text.split("\n") == [
        "web-1  shop.service: 5 workers -> 3", "       floor(...) = 3", "       changed (a/1); undone by the host in 900 s unless confirmed",
        "       left to do: do that",
    ]


def test_a_check_says_that_nothing_was_written() -> None:
    assert "nothing was written" in said("h", {"changed": True, "notes": NOTES}, True)
    assert said("h", {"changed": False, "notes": NOTES}, True).endswith("nothing to change")


def test_a_failure_is_not_called_a_change() -> None:
    assert "did not come out" in said("h", {"failed": True, "changed": False, "notes": NOTES}, False)
    assert said("h", {"failed": True, "msg": "refused"}, False) == ""


def test_what_a_host_says_cannot_drive_the_terminal() -> None:
    text = said("h\x1b[2J", {"changed": False, "notes": {"summary": ["a\x1b]0;x\x07\nb\u202e"]}}, False)
    assert not set(text) & set("\x1b\x07\u202e") and len(text.split("\n")) == 2
