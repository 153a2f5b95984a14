# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Pausing entries of crontabs: the operation on files of this machine, in a folder like Debian's, and what is planned for which wish."""

from __future__ import annotations

import json
import os
import pwd
import random
import subprocess
import typing as t
from pathlib import Path

import pytest
import yaml

from ansible_collections.oncall.pressure.plugins.module_utils._change._kinds import Conflict, Failed, Hands, Refused
from ansible_collections.oncall.pressure.plugins.module_utils._controls import _crontab, _job_run, _pause
from ansible_collections.oncall.pressure.plugins.module_utils._host._files import Files, Untrusted
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine
from ansible_collections.oncall.pressure.plugins.module_utils._host._spool import Spool
from ansible_collections.oncall.pressure.plugins.module_utils._parse._crontab import MARK

ME = pwd.getpwuid(os.geteuid()).pw_name
MINE = "/var/spool/cron/crontabs/" + ME
JOBS = b"# caf\xe9\r\n* * * * * root import --api-key=hunter2\r\n\n*/5 * * * *\troot\treindex  # x\n@daily root backup"


@pytest.fixture(name="root")
def _root(tmp_path: Path) -> Path:
    (tmp_path / "etc/cron.d").mkdir(parents=True)
    (tmp_path / "etc/cron.d/shop").write_bytes(JOBS)
    spool = tmp_path / MINE.lstrip("/")
    spool.parent.mkdir(parents=True)
    spool.write_bytes(b"* * * * * own job\n")
    spool.chmod(0o600)
    spool.parent.chmod(0o1730)
    (tmp_path / "proc").mkdir()
    (tmp_path / "commands.json").write_text(json.dumps({"now": 1795260900}), encoding="utf-8")
    return tmp_path


def hands(root: Path) -> Hands:
    return Hands(Machine(str(root)), Files(str(root)), "")


def operation(path: str, *lines: bytes) -> t.Dict[str, t.Any]:
    return {"kind": "crontab", "path": path, "system": path.startswith("/etc"), "lines": [_crontab.digest(line) for line in lines]}


SHOP = "/etc/cron.d/shop"
IMPORT, REINDEX = JOBS.split(b"\n")[1], JOBS.split(b"\n")[3]


@pytest.mark.parametrize("mode", [0o644, 0o600, 0o640])
def test_a_line_is_marked_and_the_same_bytes_come_back(root: Path, mode: int) -> None:
    place = root / SHOP.lstrip("/")
    place.chmod(mode)
    here, wanted = hands(root), operation(SHOP, IMPORT)
    before = _crontab.look(here, wanted)
    assert (before["active"], before["paused"], _crontab.reached(wanted, before, before)) == (1, 0, False)
    _crontab.apply(here, wanted, before)
    assert place.read_bytes() == JOBS.replace(IMPORT, MARK + IMPORT)
    now = _crontab.look(here, wanted)
    assert (now["active"], now["paused"], _crontab.reached(wanted, before, now)) == (0, 1, True)
    assert (now["mode"], now["uid"], now["gid"], now["xattrs"]) == (before["mode"], before["uid"], before["gid"], before["xattrs"])
    assert _crontab.undo(here, wanted, before, False) == "/etc/cron.d/shop: 1 of its jobs resumed"
    after = _crontab.look(here, wanted)
    assert place.read_bytes() == JOBS and after == before
    # once more changes nothing
    assert "0 of its jobs resumed, 1 ran again already" in _crontab.undo(here, wanted, before, False)
    assert place.read_bytes() == JOBS and os.listdir(str(place.parent)) == ["shop"]


def test_the_operation_and_its_diff_hold_no_secret(root: Path) -> None:
    here, wanted = hands(root), operation(SHOP, IMPORT)
    shown = _crontab.show(here, wanted, _crontab.look(here, wanted))
    assert "hunter2" not in json.dumps([wanted, shown, _crontab.look(here, wanted)])
    assert shown.before.startswith("* * * * * root import") and shown.after.startswith("#oncall-pressure paused# * * * * * root import")


def test_what_others_edited_since_stays(root: Path) -> None:
    place = root / SHOP.lstrip("/")
    here, wanted = hands(root), operation(SHOP, IMPORT, REINDEX)
    before = _crontab.look(here, wanted)
    _crontab.apply(here, wanted, before)
    edited = b"# new\n0 1 * * * root added\n" + place.read_bytes().replace(MARK + REINDEX + b"\n", b"")
    place.write_bytes(edited)
    place.chmod(0o600)
    said = _crontab.undo(here, wanted, before, False)
    assert "1 of its jobs resumed, 1 that were paused are no longer there" in said
    assert place.read_bytes() == edited.replace(MARK, b"") and place.stat().st_mode & 0o777 == 0o600


def test_a_file_that_is_gone_is_no_conflict(root: Path) -> None:
    here, wanted = hands(root), operation(SHOP, IMPORT)
    before = _crontab.look(here, wanted)
    _crontab.apply(here, wanted, before)
    (root / SHOP.lstrip("/")).unlink()
    assert "gone" in _crontab.undo(here, wanted, before, False)


def test_a_line_that_changed_meanwhile_is_not_paused(root: Path) -> None:
    here, wanted = hands(root), operation(SHOP, IMPORT)
    before = _crontab.look(here, wanted)
    (root / SHOP.lstrip("/")).write_bytes(b"* * * * * root another\n")
    with pytest.raises(Conflict):
        _crontab.apply(here, wanted, before)


@pytest.mark.parametrize("seed", range(10))
def test_two_pauses_of_one_file_end_in_any_order(root: Path, seed: int) -> None:
    here = hands(root)
    both = [operation(SHOP, IMPORT), operation(SHOP, REINDEX)]
    states = []
    for one in both:
        states.append(_crontab.look(here, one))
        _crontab.apply(here, one, states[-1])
    order = [0, 1]
    random.Random(seed).shuffle(order)
    for place in order:
        _crontab.undo(here, both[place], states[place], False)
    assert (root / SHOP.lstrip("/")).read_bytes() == JOBS


def test_a_users_crontab_is_written_in_its_sticky_folder(root: Path) -> None:
    here, wanted = hands(root), operation(MINE, b"* * * * * own job")
    before = _crontab.look(here, wanted)
    _crontab.apply(here, wanted, before)
    place = root / MINE.lstrip("/")
    assert place.read_bytes() == MARK + b"* * * * * own job\n" and place.stat().st_mode & 0o777 == 0o600
    _crontab.undo(here, wanted, before, False)
    assert place.read_bytes() == b"* * * * * own job\n"


@pytest.mark.parametrize("harm,why", [
    (lambda place: place.parent.chmod(0o770), "written by others"), (lambda place: place.parent.chmod(0o1777), "written by others"),
    (lambda place: place.chmod(0o660), "others than its user"), (lambda place: place.chmod(0o602), "others than its user"),
    (lambda place: os.link(str(place), str(place) + ".second"), "hard links"),
    (lambda place: (place.rename(str(place) + ".real"), place.symlink_to(str(place) + ".real")), "symbolic link"),
    (lambda place: (place.unlink(), os.mkfifo(str(place))), "no regular file"),
], ids=["not sticky", "everybody", "group", "others", "hard link", "link", "fifo"])
def test_a_planted_crontab_is_refused(root: Path, harm: t.Callable[[Path], t.Any], why: str) -> None:
    if os.getegid() == 0 and why == "written by others":
        os.chown(str((root / MINE.lstrip("/")).parent), -1, 1)
    harm(root / MINE.lstrip("/"))
    with pytest.raises(Refused, match=why):
        _crontab.look(hands(root), operation(MINE, b"* * * * * own job"))


@pytest.mark.parametrize("path", [
    "/var/spool/cron/crontabs/../../../etc/shadow", "/var/spool/cron/crontabs", "/var/spool/cron/crontabs/.hidden", "/etc/crontab",
    "/var/spool/cron/crontabs/no-such-user-here", "/var/spool/cron/a/b",
])
def test_the_spool_is_for_users_crontabs_alone(root: Path, path: str) -> None:
    (root / "var/spool/cron/crontabs/no-such-user-here").write_bytes(b"x")
    with pytest.raises(Untrusted):
        Spool(str(root)).read(path)
    with pytest.raises(Untrusted):
        Spool(str(root)).remove(MINE)
    assert not isinstance(_crontab.files_for("/etc/crontab", Files(str(root))), Spool)


def plan(root: Path, **wish: t.Any) -> t.Any:
    given: t.Dict[str, t.Any] = {"job": "", "match": "", "everything": False, "essential": ["backup"], "stop_running": False, "wait_s": 5.0}
    return _pause.plan(Machine(str(root)), _pause.Wish(**dict(given, lifetime_s=600.0, **wish)))


def test_one_entry_by_its_line_or_by_what_it_runs(root: Path) -> None:
    wanted = [operation(SHOP, REINDEX)]
    assert list(plan(root, job=SHOP + ":4").operations) == wanted
    found = plan(root, job=SHOP, match="reindex")
    assert (list(found.operations), found.service, found.reversible) == (wanted, SHOP, "fully")
    assert found.notes["jobs"] == [{"job": SHOP + ":4", "running_since_s": [], "due": 2, "next_in_s": 300.0, "catches_up": False}]
    assert any("due 2 times within 600 s" in line for line in found.notes["summary"])


@pytest.mark.parametrize("wish,why", [
    ({"job": SHOP + ":1"}, "no such job"), ({"job": SHOP}, "no such job"), ({"job": SHOP, "match": "e"}, "2 jobs of|3 jobs of"), ({}, "one job, or all"),
    ({"job": SHOP, "everything": True}, "one job, or all"), ({"job": "/etc/shadow:1"}, "no such job"), ({"job": "no timer here"}, "is no job"),
    ({"job": "shop.timer"}, "has no timers"),
])
def test_what_is_no_job_is_refused(root: Path, wish: t.Dict[str, t.Any], why: str) -> None:
    with pytest.raises(Refused, match=why):
        plan(root, **wish)


def test_what_runs_at_boot_is_refused(root: Path) -> None:
    (root / SHOP.lstrip("/")).write_bytes(b"@reboot root daemon\n")
    with pytest.raises(Refused, match="at a boot only"):
        plan(root, job=SHOP + ":1")
    assert list(plan(root, everything=True).operations) == [operation(MINE, b"* * * * * own job")]


def test_all_leaves_the_essential_alone(root: Path) -> None:
    found = plan(root, everything=True)
    assert {one["path"]: sorted(one["lines"]) for one in found.operations} == {
        SHOP: sorted(operation(SHOP, IMPORT, REINDEX)["lines"]), MINE: operation(MINE, b"* * * * * own job")["lines"]}
    assert found.notes["left"] == [SHOP + ":5"]


def test_what_is_paused_needs_nothing(root: Path) -> None:
    here, wanted = hands(root), operation(SHOP, REINDEX)
    _crontab.apply(here, wanted, _crontab.look(here, wanted))
    found = plan(root, job=SHOP + ":4")
    assert list(found.operations) == [] and "paused already" in found.notes["summary"][0]


@pytest.mark.parametrize("pattern,essential", [("BACKUP", True), ("back*up", True), ("b?ckup", True), ("", False), (" ", False), ("dump", False)])
def test_patterns(pattern: str, essential: bool) -> None:
    assert _pause.is_essential([pattern], ["/etc/cron.d/x:1", "/usr/bin/backup --all"]) is essential


def test_a_run_is_ended_and_nothing_else(root: Path) -> None:
    with subprocess.Popen(["sleep", "60"]) as mine, subprocess.Popen(["sleep", "60"]) as other:
        machine = Machine()
        found = machine.process(mine.pid)
        assert found is not None
        wanted = {"kind": "job_run", "job": "x", "processes": [[mine.pid, found.start_ticks], [other.pid, found.start_ticks + 12345]], "wait_s": 20.0}
        here = Hands(machine, Files(), "")
        before = _job_run.look(here, wanted)
        _job_run.apply(here, wanted, before)
        assert mine.wait() == -15 and other.poll() is None
        assert (before["running"], _job_run.reached(wanted, before, _job_run.look(here, wanted))) == (1, True)
        other.kill()


def test_a_run_that_does_not_end_is_a_failure() -> None:
    with subprocess.Popen(["sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.1; done"], stdout=subprocess.PIPE) as mine:
        assert mine.stdout is not None and mine.stdout.readline() == b"ready\n"
        machine = Machine()
        found = machine.process(mine.pid)
        assert found is not None
        wanted = {"kind": "job_run", "job": "x", "processes": [[mine.pid, found.start_ticks]], "wait_s": 0.3}
        with pytest.raises(Failed, match="did not end"):
            _job_run.apply(Hands(machine, Files(), ""), wanted, {"running": 1})
        mine.kill()


def test_the_essential_are_the_same_everywhere() -> None:
    from ansible_collections.oncall.pressure.plugins.modules import pause_jobs

    documented = yaml.safe_load(pause_jobs.DOCUMENTATION)["options"]["essential"]["default"]
    spec = Path(__file__).resolve().parents[3] / "roles/pause_jobs/meta/argument_specs.yml"
    stated = yaml.safe_load(spec.read_text(encoding="utf-8"))["argument_specs"]["main"]["options"]["pause_jobs_essential"]["default"]
    assert pause_jobs.ESSENTIAL == documented == stated
