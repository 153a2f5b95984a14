# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Scheduled jobs as the real programs have them: run-parts, at and anacron of the distribution; a journalctl that is stopped or answers rubbish."""

from __future__ import annotations

import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
import typing as t
from pathlib import Path

import pytest

from ansible_collections.oncall.pressure.plugins.module_utils._components import _job_lists, _job_times, _jobs
from ansible_collections.oncall.pressure.plugins.module_utils._components._crontabs import Entry
from ansible_collections.oncall.pressure.plugins.module_utils._host._collect import Options, Reading, run_all
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine, Outcome
from ansible_collections.oncall.pressure.plugins.module_utils._parse import _crontab

AT, ANACRON, RUN_PARTS = (shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin") for name in ("at", "anacron", "run-parts"))
ROOT = os.geteuid() == 0


def entry(command: str) -> Entry:
    return Entry("/etc/crontab", _crontab.Line(2, 0, "job", "* * * * *", "root", command), "root")


class Elsewhere(Machine):
    """This machine, some of whose paths lie elsewhere."""

    def __init__(self, places: t.Mapping[str, str]) -> None:
        super().__init__()
        self.places = places

    def path(self, path: str) -> str:
        for here, there in self.places.items():
            if path == here or path.startswith(here + "/"):
                return there + path[len(here):]
        return path


@pytest.mark.skipif(RUN_PARTS is None, reason="there is no run-parts here")
def test_what_run_parts_would_run_by_its_own_word(tmp_path: Path) -> None:
    seed = random.randrange(1 << 30)
    draw = random.Random(seed)
    for dummy in range(60):
        name = "".join(draw.choice("abcXYZ019_-.~,+ ") for dummy in range(draw.randint(1, 6)))
        place = tmp_path / name
        if name in (".", "..") or os.path.lexists(str(place)):
            continue
        kind = draw.randrange(8)
        if kind == 0:
            place.mkdir()
        elif kind == 1:
            place.symlink_to(draw.choice(["/bin/true", "/nowhere", str(tmp_path)]))
        else:
            place.write_text("#!/bin/sh\n")
            os.chmod(str(place), draw.choice([0o755, 0o755, 0o700, 0o644]))
    said = subprocess.run([str(RUN_PARTS), "--test", str(tmp_path)], capture_output=True, text=True, check=False).stdout.split("\n")
    (row,) = _job_lists.run_parts(Machine(), [entry("cd / && run-parts --report %s" % tmp_path)], [], [])
    assert row["scripts"] == [os.path.basename(path) for path in said if path], "seed %d" % seed


@pytest.mark.skipif(AT is None or not ROOT, reason="at is not here, or only root reads its spool: apt-get install at")
def test_jobs_of_at_by_its_own_word() -> None:
    # none of ours may begin, whoever runs atd here: they are due far away, and removed
    asked = subprocess.run([str(AT), "-q", "c", "now + 300 days"], input="echo hello\n/srv/import --password=hunter22 --all\n", capture_output=True, text=True,
                           env=dict(os.environ, SHOP_TOKEN="s3cr3t-of-the-shop"), check=False)
    number = re.search(r"job (\d+) at", asked.stderr)
    assert number is not None, asked.stderr
    try:
        queued = subprocess.run([str(AT), "-l"], capture_output=True, text=True, check=False).stdout
        problems: t.List[str] = []
        rows = _job_lists.at_jobs(Machine(), problems)
        row = next(row for row in rows or [] if row["id"] == number.group(1))
    finally:
        subprocess.run([str(AT), "-d", number.group(1)], check=False)
    assert problems == [] and ("%s\t" % row["id"]) in queued and row["user"] == "root"
    assert (row["queue"], row["batch"], row["running"]) == ("c", False, False)
    assert row["command"] == "echo hello; /srv/import --password=REDACTED --all" and "s3cr3t" not in str(rows)
    assert abs(row["due_in_s"] - 300 * 86400) < 7200


@pytest.mark.skipif(ANACRON is None, reason="there is no anacron here: apt-get install anacron")
def test_anacron_by_its_own_stamps(tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    spool.mkdir()
    table = tmp_path / "anacrontab"
    table.write_text("SHELL=/bin/sh\n# comment\n1\t5\tshop.daily\ttrue\n@monthly 9 shop.monthly\ttrue\n7 1 never.run true\n")
    # -d: it must be done when it ends
    subprocess.run([str(ANACRON), "-d", "-u", "-t", str(table), "-S", str(spool), "shop.*"], check=True, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
    rows = _job_lists.anacron(Elsewhere({"/etc/anacrontab": str(table), "/var/spool/anacron": str(spool)}), [])
    today = time.strftime("%Y-%m-%d")
    assert [(row["id"], row["schedule"], row["delay_s"], row["last_on"]) for row in rows or []] == [
        ("shop.daily", "1", 300.0, today), ("shop.monthly", "@monthly", 540.0, today), ("never.run", "7", 60.0, None)]
    assert rows is not None and 0 <= rows[0]["last_age_s"] < 120


# what goes wrong


class Asked(Elsewhere):
    """A machine with crontabs and a journal of the test's own; ``program`` stands for journalctl."""

    def __init__(self, folder: Path, program: t.Sequence[str]) -> None:
        super().__init__({"/etc/crontab": str(folder / "crontab"), "/etc/cron.d": str(folder / "none"), "/var/log": str(folder / "none")})
        (folder / "crontab").write_text("* * * * * root import\n")
        self.program = program

    def exists(self, path: str) -> bool:
        return path == "/run/systemd/journal" or path != "/run/systemd/system" and super().exists(path)

    def run(self, argv: t.Sequence[str], *arguments: t.Any, **more: t.Any) -> Outcome:
        assert argv[0] == "journalctl"
        return super().run(self.program, *arguments, **more)


def collected(machine: Machine) -> t.Dict[str, t.Any]:
    return t.cast("t.Dict[str, t.Any]", run_all({"jobs": _jobs.collect}, machine, Options(window_s=0.1), 30.0).rows["jobs"])


def test_a_journalctl_that_is_stopped_costs_its_time_and_what_it_would_have_told(tmp_path: Path) -> None:
    script = tmp_path / "journalctl"
    script.write_text("import os, signal\nos.kill(os.getpid(), signal.SIGSTOP)\n")
    began = time.monotonic()
    row = collected(Asked(tmp_path, [sys.executable, str(script)]))
    assert time.monotonic() - began < _job_times.SECONDS + 8
    (job,) = row["data"]["cron"]
    assert row["status"] in ("ok", "partial") and (job["command"], job["usual_s"], job["runs_seen"]) == ("import", None, None)


@pytest.mark.parametrize("rubbish", [b"\0\xff" * 99999, b"MESSAGE\n\xff\xff\xff\xff\xff\xff\xff\x7f" * 100, b"__REALTIME_TIMESTAMP=9\n_PID=x\n\n" * 99,
                                     b"\n" * 9],
                         ids=["binary", "lengths", "fields", "empty"])
def test_a_journalctl_that_answers_rubbish(tmp_path: Path, rubbish: bytes) -> None:
    (tmp_path / "answer").write_bytes(rubbish)
    row = collected(Asked(tmp_path, ["cat", str(tmp_path / "answer")]))
    assert row["data"]["cron"][0]["usual_s"] is None


@pytest.mark.skipif(not ROOT, reason="only root may become another user")
def test_an_ordinary_user_is_told_what_is_denied() -> None:
    def as_nobody(machine: Machine, options: Options) -> Reading:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
        return _jobs.collect(machine, options)

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.chmod(name, 0o755)
        (folder / "atjobs").mkdir(mode=0o700)
        (folder / "crontab").write_text("* * * * * root import\n")
        machine = Elsewhere({"/etc/crontab": str(folder / "crontab"), "/var/spool/cron/atjobs": str(folder / "atjobs")})
        row = run_all({"jobs": as_nobody}, machine, Options(window_s=0.1), 30.0).rows["jobs"]
    assert row["status"] == "partial" and "jobs of at are not known" in str(row["reason"]) and row["data"]["at"] is None
