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
JOURNALCTL = shutil.which("journalctl")
WRITER = next((path for path in ("/lib/systemd/systemd-journal-remote", "/usr/lib/systemd/systemd-journal-remote") if os.path.exists(path)), None)
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


class Journal(Machine):
    """This machine, whose journal is one file."""

    def __init__(self, path: Path, now: float) -> None:
        super().__init__()
        self.file = path
        self.at = now

    def now(self) -> float:
        return self.at

    def exists(self, path: str) -> bool:
        return path == "/run/systemd/journal" or super().exists(path)

    def run(self, argv: t.Sequence[str], *arguments: t.Any, **more: t.Any) -> Outcome:
        if argv[0] != "journalctl":
            raise FileNotFoundError(argv[0])
        return super().run([argv[0], "--file=%s" % self.file, *argv[1:]], *arguments, **more)


@pytest.mark.skipif(JOURNALCTL is None or WRITER is None, reason="no journal can be written here: apt-get install systemd-journal-remote")
def test_how_long_jobs_take_by_a_real_journal(tmp_path: Path) -> None:
    now = 1795852800.0
    rows: t.List[t.Tuple[float, t.Dict[str, str]]] = []
    cron = {"SYSLOG_IDENTIFIER": "CRON", "_UID": "0"}
    for number in range(5):
        at, session = now - 3000 + 300 * number, str(50 + number)
        for place, (command, took) in enumerate((("import --all", 20.0 + number), ("report", 200.0))):
            pid, own = str(10 + place), {"_AUDIT_SESSION": session + str(place)}
            rows += [
                (at, dict(cron, MESSAGE="pam_unix(cron:session): session opened for user root(uid=0) by (uid=0)", SYSLOG_PID=pid, **own)),
                # the children begin in another order than their sessions
                (at + 0.1, dict(cron, MESSAGE="(root) CMD (%s)" % command, SYSLOG_PID=str(30 - place), **own)),
                (at + took, dict(cron, MESSAGE="pam_unix(cron:session): session closed for user root", SYSLOG_PID=pid, **own))]
        # anybody may log in cron's name
        rows.append((at + 1, dict(cron, _UID="1000", MESSAGE="(root) CMD (import --all)", SYSLOG_PID="40")))
        rows += [(at + 22, {"UNIT": "burn.service", "_PID": "1", "MESSAGE_ID": "7d4958e842da4a758f6c1cdc7b36dcc5", "MESSAGE": "Starting"}),
                 (at + 29, {"UNIT": "burn.service", "_PID": "1", "MESSAGE_ID": "7ad2d189f7e94e70a38c781354912448", "MESSAGE": "Deactivated"}),
                 (at + 25, {"UNIT": "burn.service", "_PID": "7", "MESSAGE_ID": "7ad2d189f7e94e70a38c781354912448", "MESSAGE": "not by the manager"})]
    written = b""
    for at, fields in sorted(rows, key=lambda row: row[0]):
        written += b"__REALTIME_TIMESTAMP=%d\n__MONOTONIC_TIMESTAMP=%d\n_BOOT_ID=%s\n" % (at * 1e6, (at - now + 9000) * 1e6, b"0b6f9b0c2d1e4c43" * 2)
        written += "".join("%s=%s\n" % field for field in fields.items()).encode() + b"\n"
    (tmp_path / "export").write_bytes(written)
    subprocess.run([str(WRITER), "-o", str(tmp_path / "x.journal"), str(tmp_path / "export")], check=True, stderr=subprocess.PIPE)
    entries = [entry("import --all"), entry("report")._replace(line=_crontab.Line(3, 0, "job", "* * * * *", "root", "report"))]
    times = _job_times.look(Journal(tmp_path / "x.journal", now), entries, ["burn.service", "none.service"])
    assert [round(seconds) for seconds in times.entries["/etc/crontab:2"]] == [20, 21, 22, 23, 24]
    assert [round(seconds) for seconds in times.entries["/etc/crontab:3"]] == [200] * 5
    assert {unit: [round(seconds) for seconds in found] for unit, found in times.units.items()} == {"burn.service": [7] * 5}


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
        # what it loads is loaded while this interpreter's own files may be read
        assert _jobs.collect(machine, options).status == "ok"
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
