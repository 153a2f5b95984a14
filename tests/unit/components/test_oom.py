# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The OOM collector on recorded hosts, and on this machine with a kill that is made for it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional

import jsonschema
import pytest

from ansible_collections.oncall.pressure.plugins.module_utils._components import _oom, _oom_sources
from ansible_collections.oncall.pressure.plugins.module_utils._host._collect import Options, Reading
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine

RECORDINGS = Path(__file__).resolve().parent.parent / "recordings" / "oom"

SCHEMA = Path(__file__).resolve().parents[3] / "roles" / "diagnose" / "files" / "schemas" / "snapshot.json"
SHAPE = json.loads(SCHEMA.read_text(encoding="utf-8"))["$defs"]["snapshot"]["properties"]["oom"]

# 2026-01-12T08:30:00Z, 10,000 s after boot
NOW = 1768206600
UPTIME = 10000.0

OWN_ID = "1a2b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d5e6f708192a3b4c5d6e7f809"
OTHER_ID = "ffee3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d5e6f708192a3b4c5d6e7ffee"

V2_MOUNT = "24 1 0:22 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"
V1_MOUNTS = "25 1 0:23 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n26 1 0:24 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd\n"

JOURNAL = "journalctl --no-pager -o json --output-fields=MESSAGE,_TRANSPORT,SYSLOG_IDENTIFIER "
SINCE = JOURNAL + "-r --since=@%d _TRANSPORT=kernel + _SYSTEMD_UNIT=systemd-oomd.service + _SYSTEMD_UNIT=earlyoom.service"
KILLERS = JOURNAL + "-r --since=@%d _SYSTEMD_UNIT=systemd-oomd.service + _SYSTEMD_UNIT=earlyoom.service"
BEFORE = JOURNAL + "-n 1 --until=@%d _TRANSPORT=kernel"


def kill_lines(at_s: float, pid: int, path: Optional[str], rss_kib: int = 1000, name: str = "gunicorn", sequence: int = 500) -> str:
    """A kill of a cgroup as /dev/kmsg has it, ``at_s`` on the kernel's clock; of the whole machine and without a cgroup where path is null."""
    us = int(at_s * 1000000)
    if path is None:
        return "3,%d,%d,-;Out of memory: Killed process %d (%s) total-vm:9kB, anon-rss:%dkB, file-rss:0kB, shmem-rss:0kB, UID:33\n" % (
            sequence, us, pid, name, rss_kib)
    escaped = path.replace("\\", "\\x5c")
    return (
        "6,%d,%d,-;oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,oom_memcg=%s,task_memcg=%s,task=%s,pid=%d,uid=33\n"
        "3,%d,%d,-;Memory cgroup out of memory: Killed process %d (%s) total-vm:9kB, anon-rss:%dkB, file-rss:0kB, shmem-rss:0kB, UID:33 pgtables:1kB\n"
    ) % (sequence, us, escaped, escaped, name, pid, sequence + 1, us + 10, pid, name, rss_kib)


def first_line(at_s: float = 0.0, sequence: int = 0) -> str:
    return "5,%d,%d,-;Linux version 6.1.0 (recorded)\n" % (sequence, int(at_s * 1000000))


def journal_rows(*rows: tuple) -> Dict[str, Any]:
    """What journalctl prints of (seconds since the epoch, message), newest first."""
    lines = [json.dumps({"__REALTIME_TIMESTAMP": str(int(at * 1000000)), "_TRANSPORT": "kernel", "MESSAGE": message}) for at, message in rows]
    return {"status": 0, "out": "".join(line + "\n" for line in reversed(lines))}


class Host:
    """A recording of a host that is written file by file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.commands: Dict[str, Dict[str, Any]] = {}
        self.write("/proc/uptime", "%.2f 1.0\n" % UPTIME)
        self.write("/proc/1/cgroup", "0::/init.scope\n")
        self.write("/proc/self/mountinfo", V2_MOUNT)

    def write(self, path: str, text: str) -> "Host":
        target = self.folder / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
        return self

    def container(self, prefix: str = "/docker/" + OWN_ID) -> "Host":
        self.write("/proc/1/cgroup", "9:name=systemd:%s/init.scope\n4:memory:%s/init.scope\n" % (prefix, prefix))
        return self.write("/proc/self/mountinfo", V1_MOUNTS)

    def collect(self, window_s: float = 3600.0) -> Reading:
        (self.folder / "commands.json").write_text(json.dumps({"now": NOW, "commands": self.commands, "euid": 0}), encoding="utf-8")
        reading = _oom.collect(Machine(str(self.folder)), Options(oom_window_s=window_s))
        jsonschema.validate(reading.data, SHAPE)
        return reading


@pytest.fixture(name="host")
def _host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_kills_of_units_on_a_machine(host: Host) -> None:
    web, odd = "/system.slice/shop-web.service", "/system.slice/system-shop\\x2djobs.slice/shop-jobs@1.service"
    host.write("/dev/kmsg", first_line() + kill_lines(9000, 41, web, 4000) + kill_lines(9500.25, 42, web, 2000) + kill_lines(9900, 50, odd, 7, "celery"))
    host.write("/proc/vmstat", "pgfault 5\noom_kill 3\n")
    reading = host.collect()
    assert (reading.status, reading.reason) == ("ok", None)
    data = reading.data
    assert (data["kills"], data["unattributed"], data["sources"], data["covered_s"]) == (3, 0, ["kmsg"], UPTIME)
    assert [event["pid"] for event in data["events"]] == [50, 42, 41]
    assert data["events"][1] == {
        "at": "2026-01-12T08:21:40Z", "age_s": 499.8, "pid": 42, "name": "gunicorn", "constraint": "memcg", "cgroup": web, "limit_cgroup": web,
        "service": "shop-web.service", "own": True, "anon_rss_bytes": 2048000, "total_vm_bytes": 9216, "uid": 33, "trigger": None,
    }
    assert data["services"]["shop-web.service"] == {
        "kills": 2, "last_at": "2026-01-12T08:21:40Z", "last_age_s": 499.8, "largest_anon_rss_bytes": 4096000, "median_anon_rss_bytes": 3072000,
        "names": {"gunicorn": 2},
    }
    assert data["services"]["shop-jobs@1.service"]["names"] == {"celery": 1}
    assert data["counters"] == {"vmstat_oom_kill": 3, "cgroup_oom_kill": None}
    assert data["userspace"] == []


@pytest.mark.parametrize("path, service", [
    ("/system.slice/docker-%s.scope" % OTHER_ID, "docker:ffee3c4d5e6f"),
    ("/docker/%s/system.slice/x.service" % OTHER_ID, "docker:ffee3c4d5e6f"),
    ("/machine.slice/libpod-%s.scope/container" % OTHER_ID, "podman:ffee3c4d5e6f"),
    ("/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod03b7fe6c_4c5e_40e5_a17d_e82f148d42f1.slice/cri-containerd-%s.scope" % OTHER_ID,
     "kubernetes:03b7fe6c-4c5e-40e5-a17d-e82f148d42f1"),
    ("/user.slice/user-1000.slice/session-2.scope", "session-2.scope"),
    ("/user.slice/user-1000.slice/user@1000.service/app.slice/tool.service", "tool.service"),
    ("/", None),
    (None, None),
])
def test_on_a_machine_every_kill_is_its_own(host: Host, path: Optional[str], service: Optional[str]) -> None:
    host.write("/dev/kmsg", first_line() + kill_lines(9990, 7, path))
    data = host.collect().data
    assert (data["kills"], data["unattributed"]) == (1, 0)
    assert (data["events"][0]["service"], data["events"][0]["own"]) == (service, True)
    assert list(data["services"]) == ([service] if service else [])


def test_a_neighbours_kill_is_not_a_containers(host: Host) -> None:
    host.container().write("/dev/kmsg", "".join((
        first_line(), kill_lines(9100, 1, "/docker/%s/system.slice/a.service" % OTHER_ID), kill_lines(9200, 2, "/docker/%s/system.slice/a.service" % OWN_ID),
        kill_lines(9300, 3, None), kill_lines(9400, 4, "/docker/%s" % OWN_ID), kill_lines(9500, 5, "/docker/%sx" % OWN_ID),
        kill_lines(9600, 6, "/system.slice/a.service"),
    )))
    host.write("/proc/vmstat", "oom_kill 6\n")
    reading = host.collect()
    data = reading.data
    assert reading.status == "ok"
    assert {event["pid"]: (event["own"], event["service"]) for event in data["events"]} == {
        1: (False, None), 2: (True, "a.service"), 3: (False, None), 4: (True, None), 5: (False, None), 6: (False, None)}
    assert (data["kills"], data["unattributed"]) == (2, 4)
    assert data["services"]["a.service"]["kills"] == 1
    assert data["counters"]["vmstat_oom_kill"] is None, "the machine's counter is not a container's"


def test_a_container_without_the_device_has_syslog(host: Host) -> None:
    host.container().write("/proc/kmsg", "".join((
        "<5>[    0.000000] Linux version 6.1.0\n",
        "<6>[ 9990.000001] oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),oom_memcg=/docker/%s,task_memcg=/docker/%s/x.service,task=a,pid=3,uid=0\n"
        % (OWN_ID, OWN_ID),
        "<12>[ 9991.000001] Out of memory: Killed process 4 (b) total-vm:1kB, anon-rss:1kB, file-rss:0kB, shmem-rss:0kB\n",
    )))
    reading = host.collect()
    assert (reading.status, reading.data["sources"], reading.data["covered_s"]) == ("ok", ["syslog"], UPTIME)
    assert [(event["pid"], event["own"]) for event in reading.data["events"]] == [(3, True)], "what a program writes there is no kill of the kernel"


def test_what_else_the_kernel_complains_of(host: Host) -> None:
    crash = "6,%d,%d,-;python3[3180]: segfault at 0 ip 00007fd67c075219 sp 00007ffd295e1b08 error 4\n"
    hung = "3,%d,%d,-;INFO: task jbd2/sda1-8:41 blocked for more than 120 seconds.\n"
    host.write("/dev/kmsg", "".join((
        first_line(), crash % (1, 5000000000), crash % (2, 9000000000), crash % (3, 9990500000), hung % (4, 9995000000),
        "30,5,9996000000,-;shop[7]: INFO: task jbd2/sda1-8:41 blocked for more than 120 seconds.\n",
    )))
    data = host.collect().data
    assert data["alarms"] == [
        {"kind": "hung_task", "about": "jbd2/sda1-8", "count": 1, "last_age_s": 5.0, "last_at": "2026-01-12T08:29:55Z"},
        {"kind": "crash", "about": "python3", "count": 2, "last_age_s": 9.5, "last_at": "2026-01-12T08:29:50Z"},
    ]
    assert data["kills"] == 0


def test_a_crash_in_the_words_of_syslog(host: Host) -> None:
    host.container().write("/proc/kmsg", "".join((
        "<5>[    0.000000] Linux version 6.1.0\n", "<6>[ 9990.000001] python3[3180]: segfault at 0 ip 00007fd67c075219 sp 00007ffd295e1b08 error 4\n",
        "<14>[ 9991.000001] python3[3180]: segfault at 0 ip 00007fd67c075219 sp 00007ffd295e1b08 error 4\n",
    )))
    assert [(row["kind"], row["about"], row["count"]) for row in host.collect().data["alarms"]] == [("crash", "python3", 1)]


def test_a_log_full_of_alarms_is_bounded_and_clean(host: Host) -> None:
    lines = ["3,%d,%d,-;I/O error, dev sd%s, sector 8 op 0x0:(READ)\n" % (number, 9000000000 + number, chr(97 + number % 25)) for number in range(6000)]
    host.write("/dev/kmsg", first_line() + "".join(lines) + "3,7000,9999000000,-;a\\x1b[31mb: page allocation failure: order:4, mode:0xcc0\n")
    alarms = host.collect().data["alarms"]
    assert len(alarms) == _oom.ALARMS and "\x1b" not in json.dumps(alarms, ensure_ascii=False)
    assert alarms[0]["kind"] == "allocation_failure" and alarms[1]["count"] >= 199


def test_what_is_older_than_the_window_does_not_count(host: Host) -> None:
    host.write("/dev/kmsg", first_line() + kill_lines(6000, 1, "/system.slice/a.service") + kill_lines(9990, 2, "/system.slice/b.service"))
    assert list(host.collect(3600).data["services"]) == ["b.service"]
    assert sorted(host.collect(5000).data["services"]) == ["a.service", "b.service"]
    data = host.collect(5).data
    assert (data["kills"], data["events"], data["services"]) == (0, [], {})


def test_the_journal_is_asked_where_the_buffer_was_overwritten(host: Host) -> None:
    web = "oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),oom_memcg=/system.slice/w.service,task_memcg=/system.slice/w.service,task=w,pid=%d,uid=0"
    host.write("/dev/kmsg", first_line(9800, 7000) + kill_lines(9900, 9, "/system.slice/w.service", name="w"))
    host.commands[SINCE % (NOW - 3600)] = journal_rows((NOW - 3000, web % 8), (NOW - 100.4, web % 9))
    host.commands[BEFORE % (NOW - 3600)] = journal_rows((NOW - 4000, "x"))
    reading = host.collect()
    assert (reading.status, reading.data["sources"], reading.data["covered_s"]) == ("ok", ["kmsg", "journal"], 3600.0)
    assert [(event["pid"], event["anon_rss_bytes"]) for event in reading.data["events"]] == [(9, 1024000), (8, None)], "each once, the buffer's words first"


def test_a_journal_that_begins_in_the_window_does_not_cover_it(host: Host) -> None:
    host.write("/dev/kmsg", first_line(9800, 7000))
    host.commands[SINCE % (NOW - 3600)] = journal_rows((NOW - 500, "x"), (NOW - 100, "y"))
    host.commands[BEFORE % (NOW - 3600)] = {"status": 0, "out": ""}
    reading = host.collect()
    assert reading.status == "partial" and "reaches back 500 of 3600 s" in str(reading.reason)
    assert (reading.data["kills"], reading.data["covered_s"]) == (0, 500.0)


def test_a_kill_before_a_reboot_is_in_the_journal(host: Host) -> None:
    host.write("/proc/uptime", "300.0 1.0\n").write("/dev/kmsg", first_line())
    host.write("/proc/vmstat", "oom_kill 0\n")
    host.commands[SINCE % (NOW - 3600)] = journal_rows((NOW - 900, "Out of memory: Killed process 5 (a) total-vm:1kB, anon-rss:1kB, file-rss:0kB"))
    host.commands[BEFORE % (NOW - 3600)] = journal_rows((NOW - 4000, "x"))
    assert [(event["pid"], event["age_s"]) for event in host.collect().data["events"]] == [(5, 900.0)]


def test_a_log_file_is_the_last_resort(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    host.write("/dev/kmsg", first_line(9800, 7000))
    host.write("/var/log/messages", "".join((
        "Jan 12 06:00:00 app systemd[1]: Started.\n",
        "Jan 12 08:00:00 app kernel: Memory cgroup out of memory: Killed process 5 (a b) total-vm:1kB, anon-rss:1kB, file-rss:0kB, shmem-rss:0kB\n",
        "Jan 12 08:10:00 app cron[5]: kernel says Out of memory: Killed process 6 (a) total-vm:1kB, anon-rss:1kB, file-rss:0kB\n",
    )))
    reading = host.collect()
    assert (reading.status, reading.data["sources"], reading.data["covered_s"]) == ("ok", ["kmsg", "/var/log/messages"], 9000.0)
    assert [(event["pid"], event["name"], event["age_s"]) for event in reading.data["events"]] == [(5, "a b", 1800.0)]
    monkeypatch.undo()
    time.tzset()


def test_nothing_readable_is_denied_and_null(host: Host) -> None:
    host.write("/proc/vmstat", "oom_kill 4\n")
    reading = host.collect()
    assert reading.status == "denied"
    assert "become root" in str(reading.reason)
    data = reading.data
    assert [data[name] for name in ("kills", "unattributed", "events", "services", "userspace", "covered_s")] == [None] * 6
    assert data["counters"]["vmstat_oom_kill"] == 4


def test_counters_alone_can_say_that_nothing_was_killed(host: Host) -> None:
    host.write("/proc/vmstat", "oom_kill 0\n")
    reading = host.collect()
    assert (reading.status, reading.data["kills"], reading.data["sources"], reading.data["covered_s"]) == ("ok", 0, ["counters"], UPTIME)
    assert reading.data["userspace"] is None


def test_a_container_on_version_1_cannot_rely_on_its_counter(host: Host) -> None:
    """Version 1 counts a cgroup's own kills only, not those of the units below it."""
    host.container().write("/sys/fs/cgroup/memory/docker/%s/memory.usage_in_bytes" % OWN_ID, "1\n")
    host.write("/sys/fs/cgroup/memory/docker/%s/memory.oom_control" % OWN_ID, "oom_kill_disable 0\nunder_oom 0\noom_kill 0\n")
    reading = host.collect()
    assert (reading.status, reading.data["kills"], reading.data["counters"]["cgroup_oom_kill"]) == ("denied", None, 0)
    assert "capability SYSLOG" in str(reading.reason)


def test_a_log_that_names_fewer_than_the_kernel_counted_is_partial(host: Host) -> None:
    host.write("/dev/kmsg", first_line() + kill_lines(9990, 2, "/system.slice/b.service")).write("/proc/vmstat", "oom_kill 5\n")
    reading = host.collect()
    assert reading.status == "partial" and "counted 5 kills since boot, its log names 1" in str(reading.reason)


def test_an_overwritten_buffer_that_names_all_that_was_counted_is_enough(host: Host) -> None:
    host.write("/dev/kmsg", first_line(9000, 800) + kill_lines(9990, 2, "/system.slice/b.service")).write("/proc/vmstat", "oom_kill 1\n")
    assert host.collect().status == "ok"


def test_a_cut_line_is_told(host: Host) -> None:
    host.write("/dev/kmsg", first_line() + "3,9,9990000000,-;Memory cgroup out of memory: Killed process 12 (gun\n")
    reading = host.collect()
    assert reading.status == "partial" and "1 lines tell of a kill and could not be read" in str(reading.reason)


def test_events_are_bounded_and_all_are_counted(host: Host) -> None:
    host.write("/dev/kmsg", first_line() + "".join(kill_lines(9000 + number, 100 + number, "/system.slice/b.service") for number in range(120)))
    data = host.collect().data
    assert (data["kills"], len(data["events"]), data["services"]["b.service"]["kills"]) == (120, 50, 120)
    assert data["events"][0]["pid"] == 219


def test_userspace_kills_are_asked_for_only_where_their_program_runs(host: Host) -> None:
    host.write("/dev/kmsg", first_line()).write("/sys/fs/cgroup/system.slice/systemd-oomd.service/cgroup.procs", "1\n")
    row = {"__REALTIME_TIMESTAMP": str((NOW - 60) * 1000000), "SYSLOG_IDENTIFIER": "systemd-oomd",
           "MESSAGE": "Killed /system.slice/tab.service due to memory pressure for /system.slice being 85.03% > 80.00% for > 2s with reclaim activity"}
    host.commands[KILLERS % (NOW - 3600)] = {"status": 0, "out": json.dumps(row) + "\n"}
    data = host.collect().data
    assert data["userspace"] == [{"at": "2026-01-12T08:29:00Z", "program": "systemd-oomd", "what": "tab.service"}]
    assert (data["kills"], data["sources"]) == (0, ["kmsg"])


def test_what_a_host_says_is_harmless(host: Host) -> None:
    name = "\\x1b[31m{{ 7*7 }}"
    path = "/system.slice/a\u202eb.service"
    host.write("/dev/kmsg", first_line() + kill_lines(9990, 2, path, name=name).replace("\u202e", "\\xe2\\x80\\xae"))
    event = host.collect().data["events"][0]
    assert event["name"] == "\\x1b[31m{{ 7*7 }}"
    assert event["cgroup"] == "/system.slice/a\\u202eb.service" and event["service"] == "a\\u202eb.service"


def test_recorded_kmsg_of_a_whole_kill(host: Host) -> None:
    text = (RECORDINGS / "6.8-ubuntu-24.04-kmsg.log").read_text(encoding="utf-8")
    host.write("/proc/uptime", "4120104.01 1.0\n").write("/dev/kmsg", first_line(4100000, 8000) + text)
    event = host.collect(600).data["events"][0]
    assert (event["service"], event["age_s"], event["trigger"], event["anon_rss_bytes"]) == ("shop-web@1.service", 60.0, "gunicorn: w", 410112 * 1024)


@pytest.mark.parametrize("stamp, expected", [
    ("2026-01-12T08:30:00Z", NOW), ("2026-01-12T09:30:00.500000+01:00", NOW + 0.5), ("2026-01-12T07:00:00-0130", NOW), ("2026-01-12 08:30:00", NOW),
    ("Jan 12 08:30:00", NOW), ("Dec 31 23:00:00", 1767222000), ("апр 28 01:23:30", None), ("518.050606", None), (None, None),
])
def test_times_of_log_lines(monkeypatch: pytest.MonkeyPatch, stamp: Optional[str], expected: Optional[float]) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    assert _oom_sources.epoch_s(stamp, NOW) == expected
    monkeypatch.undo()
    time.tzset()


# A kill that is made for the test: a process that goes over the limit of a cgroup made for it.

HOG = "import os, time\nopen(os.environ['PROCS'], 'w').write(str(os.getpid()))\nblock = bytearray(64 << 20)\ntime.sleep(30)\n"


def _memory_parent() -> Optional[Path]:
    """The folder of our own memory cgroup, null where there is none to be written to."""
    for line in Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines():
        number, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(","):
            folder = Path("/sys/fs/cgroup/memory" + path)
            return folder if os.access(str(folder / "cgroup.procs"), os.W_OK) else None
    for line in Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines():
        if line.startswith("0::"):
            folder = Path("/sys/fs/cgroup" + line[3:])
            control = folder / "cgroup.subtree_control"
            if control.exists() and "memory" in control.read_text(encoding="ascii").split() and os.access(str(folder), os.W_OK):
                return folder
    return None


@pytest.fixture(name="small_cgroup")
def _small_cgroup() -> Iterator[Path]:
    parent = _memory_parent()
    if os.geteuid() != 0 or parent is None:
        pytest.skip("needs root and a memory cgroup below its own that it may make")
    folder = parent / ("pressure-test-%d.service" % os.getpid())
    try:
        folder.mkdir()
    except OSError as problem:
        pytest.skip("no memory cgroup may be made here: %s" % problem)
    try:
        limit = folder / "memory.limit_in_bytes"
        (limit if limit.exists() else folder / "memory.max").write_text(str(24 << 20), encoding="ascii")
        yield folder
    finally:
        folder.rmdir()


def test_a_real_kill_on_this_machine(small_cgroup: Path) -> None:
    try:
        _oom_sources.ring(Machine())
    except _oom_sources.Unreadable as problem:
        pytest.skip("the kernel's log may not be read here: %s" % problem)
    before = time.time()
    hog = subprocess.Popen([sys.executable, "-c", HOG], env={"PROCS": str(small_cgroup / "cgroup.procs")})
    try:
        assert hog.wait(30) == -9, "the kernel did not kill it"
    finally:
        hog.kill()
        hog.wait()
    reading = _oom.collect(Machine(), Options(oom_window_s=120.0))
    events: List[Dict[str, Any]] = [event for event in reading.data["events"] if event["pid"] == hog.pid]
    assert len(events) == 1, reading
    event = events[0]
    assert event["cgroup"].endswith("/" + small_cgroup.name) and event["limit_cgroup"] == event["cgroup"]
    assert event["constraint"] == "memcg" and event["uid"] == 0
    # what the interpreter took before it joined is not charged to the cgroup
    assert 10 << 20 < event["anon_rss_bytes"] < 48 << 20
    assert -5 < time.time() - event["age_s"] - before < 60
    if event["own"]:
        assert event["service"] == small_cgroup.name
        assert reading.data["services"][small_cgroup.name]["kills"] == 1
