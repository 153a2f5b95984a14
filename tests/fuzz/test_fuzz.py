# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A few inputs for every parser (a million: make fuzz), and that no parser is left out."""

from __future__ import annotations

import random
import re
from pathlib import Path

import _fuzz
import _targets
import pytest

PARSERS = Path(__file__).resolve().parents[2] / "plugins" / "module_utils" / "_parse"

#: Modules of _parse that read nothing a host says by themselves.
FED_THROUGH_OTHERS = {
    "_heavy_hitters": "counts what _access_log reads",
    "_traffic": "tallies what _access_log reads",
    "_stack_groups": "looked up by _stack_dump",
}


@pytest.mark.parametrize("name", _fuzz.names())
def test_a_few_inputs(name: str) -> None:
    seed = random.SystemRandom().randrange(2**32)
    counts = _fuzz.feed(name, 200, seed)
    assert counts.problem is None, "seed {0}: {1}".format(seed, counts.problem)
    assert counts.inputs >= 200


def test_every_parser_is_fed() -> None:
    fed = {target.name.partition(".")[0] for target in _targets.TARGETS}
    there = {path.stem for path in PARSERS.glob("_*.py") if re.search(r"^def [a-z]", path.read_text(encoding="utf-8"), re.MULTILINE)} - {"__init__"}
    assert there - fed - set(FED_THROUGH_OTHERS) == set()


def test_what_breaks_a_parser_is_found() -> None:
    def breaks(text: str) -> int:
        return 1 // (len(text) - len(text.replace("%", "")) - 3)

    target = _targets.Target("_x.breaks", breaks, ("%%",))
    _targets.TARGETS = (*_targets.TARGETS, target)
    try:
        assert "ZeroDivisionError" in (_fuzz.feed("_x.breaks", 2000, 1).problem or "")
    finally:
        _targets.TARGETS = _targets.TARGETS[:-1]


def test_what_hangs_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_fuzz, "HANG_S", 0.2)

    def hangs(text: str) -> None:
        while text:
            pass

    monkeypatch.setattr(_targets, "TARGETS", (_targets.Target("_x.hangs", hangs, ("a",)),))
    assert "Hang" in (_fuzz.feed("_x.hangs", 1, 1).problem or "")
