# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who may change a host, and how often."""

from __future__ import annotations

import json
import pathlib
from typing import Any, Dict, List

import pytest
from change_host import Host

from ansible_collections.oncall.pressure.plugins.module_utils._change import _lease, _limits
from ansible_collections.oncall.pressure.plugins.module_utils._change._arguments import ARGUMENTS, settings_from
from ansible_collections.oncall.pressure.plugins.module_utils._change._kinds import Refused
from ansible_collections.oncall.pressure.plugins.module_utils._change._limits import Limits


def take(host: Host, run: str) -> _lease.Lease:
    return _lease.take(host.machine, host.files, run, "ann")


def test_one_at_a_time(tmp_path: pathlib.Path) -> None:
    host = Host(tmp_path)
    lease = take(host, "one")
    lease.say("applying", 60.0)
    for run in ("one", "two"):
        with pytest.raises(Refused, match="right now"):
            take(host, run)
    lease.release(0.0)
    take(host, "two").release(0.0)


def test_a_run_keeps_the_host_between_its_calls_and_only_so_long(tmp_path: pathlib.Path) -> None:
    host = Host(tmp_path)
    take(host, "one").release(60.0)
    with pytest.raises(Refused, match=r"ann \(run one\) has this host for another 60 s"):
        take(host, "two")
    with pytest.raises(Refused, match="another 60 s"):
        _lease.check(host.machine, "two")
    _lease.check(host.machine, "one")
    take(host, "one").release(60.0)
    host.machine.sleep(60.0)
    assert _lease.holder(host.machine) is None
    assert (_lease.holder(host.machine, over=True) or {})["run"] == "one"
    take(host, "two").release(0.0)


def test_a_boot_ends_it_and_no_wall_clock_does(tmp_path: pathlib.Path) -> None:
    host = Host(tmp_path)
    take(host, "one").release(60.0)
    host.clock(9_000_000.0)
    with pytest.raises(Refused):
        take(host, "two")
    host.boot("two", 1_000_001.0)
    assert _lease.holder(host.machine, over=True) is None
    take(host, "two").release(0.0)


def test_who_died_before_it_changed_anything_or_while_it_closed_is_not_waited_for(tmp_path: pathlib.Path) -> None:
    host = Host(tmp_path)
    for doing, waits in (("preparing", False), ("applying", True), ("confirming", False), ("undoing", False)):
        lease = take(host, "one")
        lease.say(doing, 60.0)
        # as if it was killed: the kernel lets go of the lock, the line stays
        host.files.unlock(lease.descriptor)
        if waits:
            with pytest.raises(Refused):
                take(host, "two")
            host.boot(doing, 1_000_000.0)
        else:
            take(host, "two").release(0.0)


@pytest.mark.parametrize("line", [b"", b"{", b"[]", b"null", b'{"boot": 1}', b'{"until_s": "x", "boot": "one:", "run": "r"}', b"\xff" * 100])
def test_a_line_that_is_none_is_nobodys(tmp_path: pathlib.Path, line: bytes) -> None:
    host = Host(tmp_path)
    take(host, "one").release(60.0)
    (tmp_path / _lease.PATH[1:]).write_bytes(line)
    assert _lease.holder(host.machine) is None
    take(host, "two").release(0.0)


def test_a_line_is_replaced_in_its_place(tmp_path: pathlib.Path) -> None:
    """A reader without the lock must never find it empty, and a full disk must not empty it."""
    host = Host(tmp_path)
    lease = take(host, "one")
    lease.say("applying", 60.0)
    size = (tmp_path / _lease.PATH[1:]).stat().st_size
    lease.owner = "x" * 400
    lease.say("applying", 60.0)
    assert (tmp_path / _lease.PATH[1:]).stat().st_size == size
    assert json.loads((tmp_path / _lease.PATH[1:]).read_bytes())["owner"] == "x" * 400
    lease.release(0.0)


def test_a_lease_that_lies_where_others_write_is_not_taken(tmp_path: pathlib.Path) -> None:
    host = Host(tmp_path)
    (tmp_path / "var" / "lib").chmod(0o777)
    with pytest.raises(Refused, match="cannot be taken"):
        take(host, "one")


NONE = Limits(0.0, 0, 3600.0, 0)
DONE = ["saved", "armed", "applying", "applied", "verified"]
OVER = DONE + ["undoing:deadline", "undone:deadline"]


def check(host: Host, limits: Limits = NONE, run: str = "next", mitigation: str = "lower_workers", service: str = "shop.service") -> None:
    _limits.check(_entries(host), mitigation, service, run, lambda entry: entry.age_s(host.machine), limits)


def _entries(host: Host) -> List[Any]:
    from ansible_collections.oncall.pressure.plugins.module_utils._change import _journal
    return _journal.entries(host.machine)


@pytest.mark.parametrize("states, refused", [
    (["saved"], False), (["saved", "armed"], False), (["saved", "armed", "applying"], True), (DONE[:-1], True), (DONE, True),
    (DONE + ["confirmed"], False), (OVER[:-1], True), (OVER, False), (DONE + ["undoing:failed", "undo_failed:failed"], True),
], ids=str)
def test_an_open_change_of_another_run_comes_first(tmp_path: pathlib.Path, states: List[str], refused: bool) -> None:
    host = Host(tmp_path)
    host.entry("one", states)
    if refused:
        with pytest.raises(Refused, match="one/01"):
            check(host)
    else:
        check(host)


def test_a_run_may_go_on_upon_what_it_verified_itself(tmp_path: pathlib.Path) -> None:
    host = Host(tmp_path)
    host.entry("one", DONE)
    check(host, run="one")
    host.entry("one", DONE[:-1])
    with pytest.raises(Refused, match="one/02"):
        check(host, run="one")


def test_an_undo_that_failed_bars_its_service_only(tmp_path: pathlib.Path) -> None:
    host = Host(tmp_path)
    host.entry("one", DONE + ["undoing:failed", "undo_failed:failed"])
    check(host, service="other.service")


def test_cool_down_counts_on_the_boot_clock(tmp_path: pathlib.Path) -> None:
    host = Host(tmp_path)
    host.entry("one", DONE + ["confirmed"])
    limits = NONE._replace(cool_down_s=300.0)
    for wrong in (0.0, 9_000_000.0):
        host.clock(wrong, 299.0)
        with pytest.raises(Refused, match="cool_down"):
            check(host, limits)
        check(host, limits, mitigation="recycle_workers")
        check(host, limits, service="other.service")
        host.clock(wrong, 300.0)
        check(host, limits)


@pytest.mark.parametrize("why", ["operator", "no effect"])
def test_a_change_that_an_operator_took_back_needs_no_rest_nor_does_one_that_did_not_help(tmp_path: pathlib.Path, why: str) -> None:
    # the next rung may be the same mitigation of the same service, with another path
    host = Host(tmp_path)
    host.entry("one", DONE + ["undoing:" + why, "undone:" + why])
    check(host, NONE._replace(cool_down_s=300.0))


def test_so_many_changes_in_a_window(tmp_path: pathlib.Path) -> None:
    host = Host(tmp_path)
    limits = NONE._replace(max_changes=2)
    host.entry("one", DONE + ["confirmed"])
    host.entry("two", DONE + ["confirmed"], service="other.service")
    # what was never begun does not count
    host.entry("three", ["saved", "armed", "undone:never begun"])
    with pytest.raises(Refused, match="max_changes"):
        check(host, limits)
    check(host, limits._replace(max_changes=3))
    host.clock(0.0, 3600.0)
    check(host, limits)
    # a clock that was far ahead when they were made must not bar the host for years
    host.boot("two", 10.0)
    with pytest.raises(Refused):
        check(host, limits)
    host.clock(10.0, 3600.0)
    check(host, limits)


@pytest.mark.parametrize("why, refused", [("deadline", True), ("failed", True), ("no effect", True), ("operator", False), ("expired", False)])
def test_what_was_undone_again_and_again_only_flaps(tmp_path: pathlib.Path, why: str, refused: bool) -> None:
    host = Host(tmp_path)
    for dummy in range(3):
        host.entry("one", DONE + ["undoing:" + why, "undone:" + why])
    limits = NONE._replace(max_undone=3)
    if refused:
        with pytest.raises(Refused, match="3 times within a day"):
            check(host, limits)
    check(host, limits._replace(max_undone=4))
    host.clock(0.0, 86400.0)
    check(host, limits)


def parameters(**given: Any) -> Dict[str, Any]:
    return dict({name: row["default"] for name, row in ARGUMENTS.items()}, **given)


def test_settings_are_bounded_and_cleaned() -> None:
    settings = settings_from(parameters(owner="a\x1b[31m\u202eb" + "x" * 500, reason="{{ 1 }}\nnext password=hunter2", lifetime=0))
    assert "\x1b" not in settings.owner and "\u202e" not in settings.owner and len(settings.owner) <= 120
    assert "\n" not in settings.reason and "hunter2" not in settings.reason
    assert settings.lifetime_s is None
    assert settings_from(parameters(lifetime=60)).lifetime_s == 60.0


@pytest.mark.parametrize("given", [
    {"confirm_within": 2}, {"confirm_within": 86401}, {"lifetime": -1}, {"cool_down": -1}, {"max_changes": -1}, {"changes_window": 0}, {"max_undone": -1},
    {"incident": "../x"}, {"incident": "a\x1b"}, {"incident": "x" * 49},
], ids=str)
def test_settings_that_are_none_are_refused(given: Dict[str, Any]) -> None:
    with pytest.raises(Refused):
        settings_from(parameters(**given))
