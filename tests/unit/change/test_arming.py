# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a host is armed with, and what takes it away."""

from __future__ import annotations

import io
import os
import pathlib
import shutil
import subprocess
import sys
import zipfile
from typing import Any, Dict, List

import pytest
from change_host import Host

from ansible_collections.oncall.pressure.plugins.module_utils._change import _arming, _bundle, _journal
from ansible_collections.oncall.pressure.plugins.module_utils._change._kinds import Failed

ARGV = ["/usr/bin/python3", "-I", "/var/lib/oncall-pressure/incidents/inc/01/undo.pyz"]
TEXTS = {
    "a-undo.service": _arming.service_unit("inc/01", ARGV + ["due"]),
    "a-undo.timer": _arming.timer_unit("inc/01", 0.25, "2026-11-21 10:00:00 UTC"),
    "a-boot.service": _arming.boot_unit("inc/01", "/var/lib/oncall-pressure/incidents/inc/01", ARGV + ["boot"], ["shop-web@1.service", "a\\x2db.timer"]),
}

# The newest systemd of a host that is supported says 239; each directive of ours with the release that it came with.
SINCE = {
    "Description": 1, "DefaultDependencies": 1, "RequiresMountsFor": 201, "Before": 1, "Type": 1, "ExecStart": 1, "TimeoutStartSec": 188, "CPUWeight": 232,
    "OnActiveSec": 1, "OnUnitInactiveSec": 1, "OnCalendar": 197, "AccuracySec": 209, "WantedBy": 1,
}


@pytest.mark.parametrize("name", sorted(TEXTS))
def test_directives_are_known_to_the_oldest_systemd(name: str) -> None:
    used = {line.partition("=")[0] for line in TEXTS[name].split("\n") if "=" in line and not line.startswith("#")}
    assert used and {word for word in used if SINCE.get(word, 999) > 239} == set()


@pytest.mark.parametrize("name", sorted(TEXTS))
def test_unit_texts_hold_for_systemd(name: str, tmp_path: pathlib.Path) -> None:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("systemd-analyze, which judges unit files, is not on this machine")
    for file, text in TEXTS.items():
        (tmp_path / file).write_text(text.replace(ARGV[0], "/bin/true"), encoding="ascii")
    (tmp_path / "broken.service").write_text("[Service]\nExecStart=relative\nOnActiveSec=1\n", encoding="ascii")
    environment = dict(os.environ, SYSTEMD_UNIT_PATH="%s:" % tmp_path)
    broken = subprocess.run([program, "verify", str(tmp_path / "broken.service")], capture_output=True, text=True, env=environment, check=False)
    if "broken.service" not in broken.stderr:
        pytest.skip("systemd-analyze judges nothing here: %s" % broken.stderr.strip()[-200:])
    found = subprocess.run([program, "verify", str(tmp_path / name)], capture_output=True, text=True, env=environment, check=False)
    assert [line for line in found.stderr.split("\n") if "a-undo" in line or "a-boot" in line] == []


def test_a_timer_is_never_without_time_and_never_late_by_rounding() -> None:
    for seconds, shown in ((900.0, "900000ms"), (0.0, "1ms"), (-5.0, "1ms"), (0.0101, "11ms")):
        assert "\nOnActiveSec=%s\n" % shown in _arming.timer_unit("inc/01", seconds, "2026-11-21 10:00:00 UTC")


SHOWN = {"status": 0, "out": "ActiveState=active\nSubState=waiting\nNextElapseUSecMonotonic=15min 3.2s\n"}
NAME = "oncall-pressure-inc-01"


def systemctl(shown: Dict[str, Any], phase: str = "undo") -> Dict[str, Any]:
    """What a systemd answers to what arming asks it."""
    told = "systemctl --no-pager --no-ask-password "
    timer = "%s-%s.timer" % (NAME, phase)
    done = {"status": 0, "out": ""}
    return {
        told + "start " + timer: done, told + "stop " + timer: done,
        told + "show --property=ActiveState,SubState,NextElapseUSecMonotonic -- " + timer: shown,
    }


def armed_files(host: Host) -> List[str]:
    return sorted(str(path.relative_to(host.folder)) for path in host.folder.rglob("oncall-pressure-*"))


def test_what_is_armed_is_taken_away_and_nothing_else(tmp_path: pathlib.Path) -> None:
    host = Host(tmp_path, systemctl(SHOWN))
    (tmp_path / "run" / "systemd" / "system").mkdir(parents=True)
    entry = host.entry("inc", ["saved"])
    hands = host.hands(entry.folder)
    other = tmp_path / "etc" / "systemd" / "system" / "oncall-pressure-inc-010-boot.service"
    other.parent.mkdir(parents=True)
    other.write_text("another's", encoding="ascii")
    assert _arming.armed(hands) is False
    assert _arming.arm(hands, entry, "/usr/bin/python3", 900.0) == "systemd"
    assert armed_files(host) == [
        "etc/systemd/system/multi-user.target.wants/%s-boot.service" % NAME, "etc/systemd/system/%s-boot.service" % NAME,
        "etc/systemd/system/oncall-pressure-inc-010-boot.service", "run/systemd/system/%s-undo.service" % NAME, "run/systemd/system/%s-undo.timer" % NAME,
    ]
    boot = (tmp_path / "etc" / "systemd" / "system" / (NAME + "-boot.service")).read_text(encoding="ascii")
    assert "\nBefore=multi-user.target shop.service\n" in boot and "\nExecStart=/usr/bin/python3 -I %s/undo.pyz boot\n" % entry.folder in boot
    assert _arming.armed(hands) is True
    _arming.disarm(hands)
    _arming.disarm(hands)
    assert armed_files(host) == ["etc/systemd/system/oncall-pressure-inc-010-boot.service"]
    assert _arming.armed(hands) is False


def test_a_second_phase_outlives_the_first(tmp_path: pathlib.Path) -> None:
    host = Host(tmp_path, dict(systemctl(SHOWN), **systemctl(SHOWN, "expire")))
    (tmp_path / "run" / "systemd" / "system").mkdir(parents=True)
    entry = host.entry("inc", ["saved"])
    hands = host.hands(entry.folder)
    _arming.arm(hands, entry, "/usr/bin/python3", 900.0)
    _arming.arm(hands, entry, "/usr/bin/python3", 3600.0, "expire")
    _arming.disarm(hands, ("undo",))
    assert [name.rpartition("/")[2] for name in armed_files(host)] == [
        NAME + "-boot.service", NAME + "-boot.service", NAME + "-expire.service", NAME + "-expire.timer"]


@pytest.mark.parametrize("shown", [
    {"status": 0, "out": "ActiveState=failed\nSubState=failed\nNextElapseUSecMonotonic=1s\n"},
    {"status": 0, "out": "ActiveState=active\nSubState=elapsed\nNextElapseUSecMonotonic=infinity\n"},
    {"status": 0, "out": "ActiveState=active\nSubState=waiting\nNextElapseUSecMonotonic=0\n"},
    {"status": 1, "out": "", "err": "Failed to connect to bus"},
], ids=["failed", "elapsed", "never", "no bus"])
def test_a_timer_that_does_not_wait_is_no_arming(tmp_path: pathlib.Path, shown: Dict[str, Any]) -> None:
    host = Host(tmp_path, systemctl(shown))
    (tmp_path / "run" / "systemd" / "system").mkdir(parents=True)
    entry = host.entry("inc", ["saved"])
    with pytest.raises(Failed):
        _arming.arm(host.hands(entry.folder), entry, "/usr/bin/python3", 900.0)


def test_units_are_not_written_where_others_write(tmp_path: pathlib.Path) -> None:
    host = Host(tmp_path, systemctl(SHOWN))
    (tmp_path / "run" / "systemd" / "system").mkdir(parents=True)
    (tmp_path / "run" / "systemd").chmod(0o777)
    entry = host.entry("inc", ["saved"])
    with pytest.raises(Failed, match="others"):
        _arming.arm(host.hands(entry.folder), entry, "/usr/bin/python3", 900.0)
    assert not list((tmp_path / "run").rglob("*.timer"))


@pytest.mark.parametrize("service, operations, held", [
    ("shop.service", [], "multi-user.target shop.service"),
    ("supervisor:web", [], "multi-user.target supervisor.service supervisord.service"),
    ("worker", [{"unit": "a.timer"}, {"unit": "b.service"}, {"unit": "c.slice"}, {"path": "/x"}], "multi-user.target a.timer b.service"),
    ("evil\nExecStart=/bin/x.service", [{"unit": "%n.service"}, {"unit": "a b.service"}], "multi-user.target"),
], ids=["service", "supervisor", "operations", "hostile"])
def test_a_boot_holds_back_what_was_changed(tmp_path: pathlib.Path, service: str, operations: List[Dict[str, Any]], held: str) -> None:
    host = Host(tmp_path)
    entry = host.entry("inc", ["saved"], service=service, operations=[{"operation": operation, "before": {}} for operation in operations])
    text = _arming.boot_unit(entry.id, entry.folder, ARGV, _arming._units(entry))
    assert "\nBefore=%s\n" % held in text and text.count("ExecStart") == 1


def test_a_watcher_that_does_not_stay_is_no_arming(tmp_path: pathlib.Path) -> None:
    """Without systemd. A program that ends at once still has a number until it is collected."""
    host = Host(tmp_path)
    entry = host.entry("inc", ["saved"])
    from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine
    real = Machine()
    if real.exists("/run/systemd/system"):
        pytest.skip("this machine has systemd: there is no watcher")
    with pytest.raises(Failed, match="did not stay"):
        _arming.arm(host.hands(entry.folder)._replace(machine=real), entry, "/bin/false", 900.0)


def test_the_undo_program_starts_alone(tmp_path: pathlib.Path) -> None:
    """From a folder without any of our sources, isolated; it says how it is used, and touches nothing."""
    data = _bundle.build()
    assert data == _bundle.build()
    names = zipfile.ZipFile(io.BytesIO(data)).namelist()
    assert len(names) == len(set(names)) and "__main__.py" in names
    program = tmp_path / "undo.pyz"
    program.write_bytes(data)
    for word in ("check", "due", "boot", "watch", "undo", "nonsense", "--force"):
        outcome = subprocess.run([sys.executable, "-I", str(program), word], capture_output=True, text=True, cwd="/", check=False)
        assert (outcome.returncode, outcome.stdout) == (2, "") and "usage" in outcome.stderr and "Traceback" not in outcome.stderr
    assert os.listdir(tmp_path) == ["undo.pyz"]


def test_names_of_units_are_those_of_the_entry() -> None:
    assert _arming.name_of(_journal.INCIDENTS + "/inc/01") == NAME
