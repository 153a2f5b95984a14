# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What modules that measure one thing do with their parameters, and with what was found."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.oncall.pressure.plugins.module_utils._host import _collect, _one
from ansible_collections.oncall.pressure.plugins.module_utils._host._collect import Options, Reading
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine


class Failed(Exception):
    """A module that ended with a failure."""


class Module:
    def __init__(self, **params: t.Any) -> None:
        self.params = params
        self.said: dict[str, t.Any] = {}

    def fail_json(self, msg: str) -> None:
        raise Failed(msg)

    def exit_json(self, **said: t.Any) -> None:
        self.said = said


@pytest.mark.parametrize("value,problem", [(0.1, None), (60.0, None), (0.0, "0.0"), (60.5, "60.5"), (float("nan"), "nan")])
def test_a_parameter_is_within_its_bounds_or_the_module_fails(value: float, problem: str | None) -> None:
    module = Module(window=value, timeout=15.0, other="x")
    if problem is None:
        assert _one.within(module, window=(0.1, 60.0), timeout=_one.TIMEOUT) == module.params
        return
    with pytest.raises(Failed, match="^window must be from 0.1 to 60.0, not %s$" % problem):
        _one.within(module, window=(0.1, 60.0), timeout=_one.TIMEOUT)


def half(machine: Machine, options: Options) -> Reading:
    return _collect.partial({"top": options.top}, "b is missing")


def breaks(machine: Machine, options: Options) -> Reading:
    raise KeyError("x")


def test_what_was_found_is_told_under_its_name() -> None:
    module = Module()
    _one.answer(module, "nginx", half, Machine(), Options(top=3), 30.0)
    assert module.said.pop("seconds") >= 0.0
    assert module.said == {"changed": False, "nginx": {"top": 3}, "status": "partial", "reason": "b is missing"}
    _one.answer(module, "oom", breaks, Machine(), Options(), 30.0)
    assert (module.said["oom"], module.said["status"]) == (None, "error") and "KeyError" in module.said["reason"]
