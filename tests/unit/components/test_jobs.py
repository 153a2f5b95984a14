# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The collector of jobs, on a host made of files: crontabs, a cron with children, timers as systemd 252 shows them."""

from __future__ import annotations

import json
import os
import typing as t
from pathlib import Path

import jsonschema
import pytest

from ansible_collections.oncall.pressure.plugins.module_utils._components import _cron_runs, _jobs, _snapshot
from ansible_collections.oncall.pressure.plugins.module_utils._host._collect import Options
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine

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


@pytest.mark.parametrize("text,reason", [("rubbish\n=\n", "was not understood"), ("Id=a.timer\n" * 100000, "too long")])
def test_what_is_no_answer_about_timers(host: Host, text: str, reason: str) -> None:
    host.file("/etc/crontab", "* * * * * me job\n")
    host.timers(text)
    reading = collect(host)
    assert reading.status == "partial" and reason in reading.reason and reading.data["timers"] is None and len(reading.data["cron"]) == 1
