# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The collector of jobs, on a host made of files: crontabs, a cron with children, timers as systemd 252 shows them."""

from __future__ import annotations

import datetime
import json
import os
import typing as t
from pathlib import Path

import jsonschema
import pytest

from ansible_collections.oncall.pressure.plugins.module_utils._components import _cron_runs, _job_times, _jobs, _snapshot
from ansible_collections.oncall.pressure.plugins.module_utils._host._collect import Options
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine
from ansible_collections.oncall.pressure.plugins.module_utils._parse import _crontab

RECORDED = Path(__file__).resolve().parents[1] / "recordings" / "jobs" / "debian-12"
SCHEMA = json.loads((Path(__file__).resolve().parents[3] / "roles/diagnose/files/schemas/snapshot.json").read_text(encoding="utf-8"))
NOW = 1795260900

TIMERS = """Unit=systemd-tmpfiles-clean.service
NextElapseUSecRealtime=
NextElapseUSecMonotonic=1h 5min
LastTriggerUSec=
Id=systemd-tmpfiles-clean.timer
LoadState=loaded
ActiveState=active

Unit=burn.service
NextElapseUSecRealtime=Sat 2026-11-21 11:35:20 UTC
NextElapseUSecMonotonic=0
LastTriggerUSec=Sat 2026-11-21 11:34:40 UTC
Id=burn.timer
LoadState=loaded
ActiveState=active

Unit=off.service
Id=off.timer
LoadState=loaded
ActiveState=inactive
"""


class Host:
    """A recording that is written by hand."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.commands: dict[str, t.Any] = {}
        self.file("/proc/uptime", "3600.00 100.00\n")
        self.file("/etc/passwd", "root:x:0:0::/root:/bin/sh\nme:x:%d:0::/:/bin/sh\nother:x:%d:0::/:/bin/sh\n" % (os.getuid(), os.getuid() + 1))

    def file(self, path: str, text: str) -> None:
        place = self.folder / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text, encoding="utf-8")

    def process(self, pid: int, ppid: int, name: str, argv: t.Sequence[str], children: t.Sequence[int] = (), start_s: float = 3500.0, ticks: int = 0) -> None:
        fields = ["S", ppid, pid, pid, 0, -1, 0, 0, 0, 0, 0, ticks, 0, 0, 0, 20, 0, 1, 0, int(start_s * os.sysconf("SC_CLK_TCK")), 1000000, 100] + [0] * 28
        self.file("/proc/%d/stat" % pid, "%d (%s) %s\n" % (pid, name, " ".join(map(str, fields))))
        self.file("/proc/%d/cmdline" % pid, "".join(word + "\0" for word in argv))
        self.file("/proc/%d/task/%d/children" % (pid, pid), " ".join(map(str, children)))

    def machine(self) -> Machine:
        (self.folder / "commands.json").write_text(json.dumps({"now": NOW, "commands": self.commands}), encoding="utf-8")
        return Machine(str(self.folder))

    def timers(self, text: str = TIMERS, status: int = 0) -> None:
        (self.folder / "run/systemd/system").mkdir(parents=True)
        self.commands[" ".join(_jobs.SHOW)] = {"status": status, "out": text, "err": "no bus"}

    def cron(self, runs: t.Sequence[t.Sequence[str]]) -> None:
        """Cron with a fork for each run, which began ten seconds apart."""
        self.file("/run/crond.pid", "44\n")
        self.process(44, 1, "cron", ["/usr/sbin/cron", "-f"], [100 + place for place in range(len(runs))])
        for place, argv in enumerate(runs):
            self.process(100 + place, 44, "cron", ["/usr/sbin/CRON", "-f"], [200 + place])
            self.process(200 + place, 100 + place, "sh", argv, [300 + place], 3500.0 + 10 * place)
            self.process(300 + place, 200 + place, "sleep", ["sleep", "1"], (), 3500.0 + 10 * place)


@pytest.fixture(name="host")
def _host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def collect(host: Host) -> t.Any:
    reading = _jobs.collect(host.machine(), Options(window_s=1.0))
    if reading.data is not None:
        part = SCHEMA["$defs"]["snapshot"]["properties"]["jobs"]
        jsonschema.Draft202012Validator(part).validate(json.loads(json.dumps(reading.data)))
    return reading


def test_entries_with_their_runs(host: Host) -> None:
    host.file("/etc/debian_version", "12\n")
    host.file("/etc/crontab", "SHELL=/bin/sh\n* * * * * me import --all\n0 3 * * * root nightly\n")
    host.file("/etc/cron.d/shop", "#oncall-pressure paused# */5 * * * * me reindex\n")
    host.file("/etc/cron.d/shop.dpkg-old", "* * * * * me never read\n")
    host.file("/var/spool/cron/crontabs/me", "@daily own job --password=hunter2\n")
    host.cron([["/bin/sh", "-c", "import --all"], ["/bin/sh", "-c", "import --all"], ["/bin/sh", "-c", "reindex"], ["/usr/bin/stray"]])
    reading = collect(host)
    assert (reading.status, reading.reason) == ("ok", None)
    found = {row["id"]: row for row in reading.data["cron"]}
    assert sorted(found) == ["/etc/cron.d/shop:1", "/etc/crontab:2", "/etc/crontab:3", "/var/spool/cron/crontabs/me:1"]
    busy = found["/etc/crontab:2"]
    assert (busy["overlap"], busy["running"], busy["period_s"]) == (2, [{"pid": 200, "age_s": 100.0}, {"pid": 201, "age_s": 90.0}], 60.0)
    assert busy["cpu"] == 0.0 and busy["rss_bytes"] == 4 * 100 * os.sysconf("SC_PAGE_SIZE")
    assert (found["/etc/cron.d/shop:1"]["paused"], found["/etc/cron.d/shop:1"]["overlap"]) == (True, 1)
    assert (found["/etc/crontab:3"]["running"], found["/etc/crontab:3"]["cpu"], found["/etc/crontab:3"]["due_in_s"] > 0) == ([], None, True)
    own = found["/var/spool/cron/crontabs/me:1"]
    assert own["user"] == "me" and "hunter2" not in own["command"]
    assert [(row["pid"], row["command"]) for row in reading.data["unmatched"]] == [(203, "/usr/bin/stray")]
    assert reading.data["cron"][0]["running"], "those that run come first"


def test_a_run_belongs_to_the_entry_of_its_user(host: Host) -> None:
    host.file("/etc/crontab", "* * * * * other import\n* * * * * me import\n")
    host.cron([["/bin/sh", "-c", "import"]])
    assert [(row["id"], row["overlap"]) for row in collect(host).data["cron"]] == [("/etc/crontab:2", 1), ("/etc/crontab:1", 0)]


def test_timers(host: Host) -> None:
    host.timers()
    reading = collect(host)
    assert reading.status == "ok"
    assert [(row["id"], row["activates"], row["next_in_s"], row["last_age_s"]) for row in reading.data["timers"]] == [
        ("burn.timer", "burn.service", 20.0, 20.0), ("systemd-tmpfiles-clean.timer", "systemd-tmpfiles-clean.service", 300.0, None)]


def test_whether_a_timers_unit_runs_is_known_from_the_units() -> None:
    rows = [{"id": name + ".timer", "activates": name + ".service", "running": None, "since_s": None} for name in ("one", "two")]
    _snapshot.tell_timers({"timers": rows}, {"one.service": {"state": "running", "since_s": 7.0}})
    assert [(row["running"], row["since_s"]) for row in rows] == [(True, 7.0), (False, None)]


def test_what_cannot_be_read_is_said(host: Host) -> None:
    host.file("/etc/crontab", "* * * * * root true\n")
    host.timers(status=1)
    reading = collect(host)
    assert reading.status == "partial" and "no bus" in reading.reason and reading.data["timers"] is None


def test_nothing_there_is_absent(host: Host) -> None:
    assert collect(host).status == "absent"


def test_a_process_that_is_no_cron_any_more_has_no_jobs(host: Host) -> None:
    host.file("/run/crond.pid", "44\n")
    host.process(44, 1, "bash", ["bash"], [45])
    host.process(45, 44, "sleep", ["sleep", "5"])
    assert _cron_runs.look(host.machine(), 0.0) is None


# what no crontab line says


def test_what_run_parts_of_debian_runs(host: Host) -> None:
    host.file("/etc/crontab", "17 * * * * root cd / && run-parts --report /etc/cron.hourly\n"
              "25 6 * * * root test -x /usr/sbin/anacron || { cd / && run-parts --report /etc/cron.daily; }\n5 5 * * * me run-parts --regex=x /etc/odd.d\n")
    host.file("/var/spool/cron/crontabs/me", "* * * * * run-parts /root/private\n")
    for name, mode in (("logrotate", 0o755), ("backup.sh", 0o755), ("report", 0o644), (".placeholder", 0o644)):
        host.file("/etc/cron.daily/" + name, "")
        os.chmod(str(host.folder / "etc/cron.daily" / name), mode)
    (host.folder / "etc/cron.daily/folder").mkdir()
    host.file("/root/private/secret", "")
    found = {row["folder"]: row for row in collect(host).data["run_parts"]}
    assert sorted(found) == ["/etc/cron.daily", "/etc/cron.hourly", "/etc/odd.d"]
    assert (found["/etc/cron.daily"]["scripts"], found["/etc/cron.daily"]["by"]) == (["logrotate"], ["/etc/crontab:2"])
    assert found["/etc/cron.daily"]["left_out"] == [
        {"name": "backup.sh", "why": "its name"}, {"name": "folder", "why": "no file"}, {"name": "report", "why": "not executable"}]
    assert (found["/etc/cron.hourly"]["scripts"], found["/etc/odd.d"]["scripts"]) == ([], None)


def test_what_run_parts_of_red_hat_runs(host: Host) -> None:
    host.file("/usr/bin/run-parts", "#!/usr/bin/bash\n")
    host.file("/etc/anacrontab", "1 5 cron.daily nice run-parts /etc/cron.daily\n")
    for name in ("logrotate", "backup.sh", "old.rpmsave", "edited~", "denied", "jobs.deny"):
        host.file("/etc/cron.daily/" + name, "denied\n")
        os.chmod(str(host.folder / "etc/cron.daily" / name), 0o755 if name != "jobs.deny" else 0o644)
    (row,) = collect(host).data["run_parts"]
    assert (row["by"], row["scripts"]) == (["anacron:cron.daily"], ["backup.sh", "logrotate"])
    assert {left["name"]: left["why"] for left in row["left_out"]} == {
        "denied": "jobs.deny", "edited~": "its name", "jobs.deny": "not executable", "old.rpmsave": "its name"}


def test_jobs_of_at(host: Host) -> None:
    spool = "/var/spool/cron/atjobs/"
    host.file(spool + ".SEQ", "00001\n")
    host.file(spool + "a0000101c8b618", (RECORDED / "at-job").read_text(encoding="utf-8"))
    host.file(spool + "b0000201c8b564", "#!/bin/sh\nTOKEN=s3cr3t; export TOKEN\nimport\n")
    host.file(spool + "=0000301c8b000", (RECORDED / "at-job").read_text(encoding="utf-8"))
    os.symlink("/etc/shadow", str(host.folder / (spool + "c0000401c8b618").lstrip("/")))
    rows = collect(host).data["at"]
    assert [(row["id"], row["queue"], row["batch"], row["running"]) for row in rows] == [
        ("3", "=", False, True), ("2", "b", True, False), ("1", "a", False, False)]
    assert rows[2]["command"] == "echo hello world; /usr/bin/python3 /srv/x.py --password=REDACTED" and rows[1]["command"] is None
    assert rows[2]["user"] == ("root" if os.getuid() == 0 else "me") and rows[2]["due_in_s"] == 1795861920.0 - NOW
    assert "s3cr3t" not in str(rows)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_queue_that_may_not_be_read_is_said(host: Host) -> None:
    host.file("/etc/crontab", "* * * * * root true\n")
    (host.folder / "var/spool/cron/atjobs").mkdir(parents=True, mode=0o000)
    reading = collect(host)
    assert reading.status == "partial" and "jobs of at are not known" in reading.reason and reading.data["at"] is None


def test_a_queue_that_is_no_folder_of_ours_is_said(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    host.file("/etc/crontab", "* * * * * root true\n")
    machine = host.machine()
    names = machine.names

    def denied(path: str) -> list[str]:
        if path == "/var/spool/cron/atjobs":
            raise PermissionError(13, "Permission denied", path)
        return names(path)

    monkeypatch.setattr(machine, "names", denied)
    reading = _jobs.collect(machine, Options(window_s=1.0))
    assert reading.status == "partial" and reading.reason == "/var/spool/cron/atjobs may not be read (Permission denied): jobs of at are not known"


def test_anacron(host: Host) -> None:
    host.file("/etc/anacrontab", "1\t5\tcron.daily\trun-parts --report /etc/cron.daily\n@monthly\t15\tcron.monthly\tnever\n7 1 .odd x\n")
    host.file("/var/spool/anacron/cron.daily", "20261121\n")
    os.utime(str(host.folder / "var/spool/anacron/cron.daily"), (NOW - 7200, NOW - 7200))
    host.file("/var/spool/anacron/.odd", "20261121\n")
    rows = collect(host).data["anacron"]
    assert [(row["id"], row["schedule"], row["period_s"], row["delay_s"], row["last_on"], row["last_age_s"]) for row in rows] == [
        ("cron.daily", "1", 86400.0, 300.0, "2026-11-21", 7200.0), ("cron.monthly", "@monthly", None, 900.0, None, None),
        (".odd", "7", 604800.0, 60.0, None, None)]


# how long, and together


def journal(rows: t.Sequence[tuple[float, dict[str, str]]]) -> str:
    return "".join("__REALTIME_TIMESTAMP=%d\n" % (at * 1e6) + "".join("%s=%s\n" % field for field in fields.items()) + "\n" for at, fields in reversed(rows))


def test_how_long_jobs_take_by_the_journal(host: Host) -> None:
    host.file("/etc/crontab", "* * * * * me sleep 7 && echo 100\\%done\n*/5 * * * * me never seen\n")
    host.timers()
    (host.folder / "run/systemd/journal").mkdir(parents=True)
    rows: list[tuple[float, dict[str, str]]] = []
    for begin, took in ((NOW - 300.0, 7.0), (NOW - 200.0, 9.5), (NOW - 100.0, 70.0)):
        rows += [(begin, {"MESSAGE": "pam_unix(cron:session): session opened for user me(uid=7) by (uid=0)", "SYSLOG_PID": "10", "_PID": "10"}),
                 (begin, {"MESSAGE": "(me) CMD (sleep 7 && echo 100%done)", "SYSLOG_PID": "11", "_PID": "11"}),
                 (begin + took, {"MESSAGE": "pam_unix(cron:session): session closed for user me", "SYSLOG_PID": "10", "_PID": "10"})]
    rows += [(NOW - 90.0, {"UNIT": "burn.service", "MESSAGE_ID": "7d4958e842da4a758f6c1cdc7b36dcc5", "_PID": "1"}),
             (NOW - 60.0, {"UNIT": "burn.service", "MESSAGE_ID": "7ad2d189f7e94e70a38c781354912448", "_PID": "1"})]
    units = ["burn.service", "systemd-tmpfiles-clean.service"]
    host.commands["journalctl --no-pager -o export -r -n 3000 " + " ".join(_job_times.question(NOW, units))] = {"status": 0, "out": journal(rows)}
    show = "systemctl show --no-pager --property=Id,InactiveExitTimestampMonotonic,InactiveEnterTimestampMonotonic -- "
    host.commands[show + "systemd-tmpfiles-clean.service"] = {
        "status": 0, "out": "Id=systemd-tmpfiles-clean.service\nInactiveExitTimestampMonotonic=5000000\nInactiveEnterTimestampMonotonic=5250000\n"}
    data = collect(host).data
    assert [(row["usual_s"], row["longest_s"], row["runs_seen"]) for row in data["cron"]] == [(9.5, 70.0, 3), (None, None, None)]
    assert [(row["usual_s"], row["runs_seen"]) for row in data["timers"]] == [(30.0, 1), (0.2, 1)]


def test_how_long_jobs_take_by_files(host: Host) -> None:
    host.file("/etc/crontab", "* * * * * nobody sleep 3; true % in\n")
    text = (RECORDED / "cron-level-1.log").read_text(encoding="utf-8").replace("Nov 28 07:36", "Nov 21 07:36")
    lines = text.splitlines(True)
    host.file("/var/log/syslog", "".join(line for line in lines if "pam_unix" not in line))
    host.file("/var/log/auth.log", "".join(line for line in lines if "pam_unix" in line))
    for name in ("syslog", "auth.log"):
        os.utime(str(host.folder / "var/log" / name), (NOW - 60, NOW - 60))
    (row,) = collect(host).data["cron"]
    assert (row["usual_s"], row["longest_s"], row["runs_seen"]) == (3.0, 3.0, 1)


def test_minutes_in_which_many_start(host: Host) -> None:
    host.file("/etc/crontab", "0 * * * * me one\n0 */12 * * * me two\n*/30 * * * * me three\n#oncall-pressure paused# 0 * * * * me four\n7 3 * * * me five\n")
    found = collect(host).data["same_minute"]
    assert [(row["times"], row["count"], row["jobs"]) for row in found] == [(2, 3, ["/etc/crontab:1", "/etc/crontab:2", "/etc/crontab:3"])]
    assert 0 < found[0]["in_s"] <= 43200 and found[0]["at"].endswith(":00:00Z")


def test_minutes_of_a_day_are_those_that_are_looked_at_one_by_one() -> None:

    now = datetime.datetime(2026, 2, 27, 23, 59, 30)
    for schedule in ("*/7 * * * *", "0 3 * * *", "59 23 28 2 5", "30 0-4/2 1 * mon", "@hourly", "@daily", "@reboot", "1 2 31 2 *"):
        one_by_one = _crontab.next_runs(schedule, now, 86400.0 - 30.0, 2000) or []
        assert _crontab.starts(schedule, now) == [int((moment - now.replace(second=0)).total_seconds()) // 60 for moment in one_by_one]


@pytest.mark.parametrize("text,reason", [("rubbish\n=\n", "was not understood"), ("Id=a.timer\n" * 100000, "too long")])
def test_what_is_no_answer_about_timers(host: Host, text: str, reason: str) -> None:
    host.file("/etc/crontab", "* * * * * me job\n")
    host.timers(text)
    reading = collect(host)
    assert reading.status == "partial" and reason in reading.reason and reading.data["timers"] is None and len(reading.data["cron"]) == 1
