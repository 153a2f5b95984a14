# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The collector of logs: on what real programs wrote, on hosts laid out for what goes wrong, and on log files that are open here."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
import typing as t
from pathlib import Path

import jsonschema
import pytest

from ansible_collections.oncall.pressure.plugins.module_utils._components import _log_files, _log_rows, _logs
from ansible_collections.oncall.pressure.plugins.module_utils._host._collect import Options, Reading
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine, Outcome
from ansible_collections.oncall.pressure.plugins.module_utils._host._tail import open_tail

ROOT = Path(__file__).resolve().parents[3]
#: gunicorn 20.1, celery 5.2, rq 1.13, nginx 1.22, PostgreSQL 15 under systemd 252, all of them driven into trouble
RECORDED = ROOT / "tests/unit/recordings/logs/debian-12"
SCHEMA = json.loads((ROOT / "roles/diagnose/files/schemas/snapshot.json").read_text(encoding="utf-8"))
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA["$defs"]["snapshot"]["properties"]["logs"])
#: some seconds after the last line of the recordings
NOW = 1795838760.0


class Host(Machine):
    """A host made of files, with a journal that says what the test says."""

    def __init__(self, folder: Path) -> None:
        (folder / "commands.json").write_text(json.dumps({"now": NOW, "commands": {}}), encoding="utf-8")
        super().__init__(str(folder))
        self.folder = folder
        self.answer: t.Union[Outcome, Exception] = FileNotFoundError("journalctl")
        self.asked: t.List[t.Sequence[str]] = []
        self.grow: t.Callable[[], None] = lambda: None
        self.file("/proc/1/cgroup", "0::/init.scope\n")

    def file(self, path: str, content: t.Union[str, bytes]) -> Path:
        place = self.folder / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content if isinstance(content, bytes) else content.encode())
        os.utime(str(place), (NOW - 5, NOW - 5))
        return place

    def process(self, pid: int, name: str, unit: str, ppid: int = 1, flags: str = "0102001", **files: str) -> None:
        """A process whose open files are links into the host's own tree (which is where a real link leads, too)."""
        self.file("/proc/%d/stat" % pid, "%d (%s) S %d 1 1\n" % (pid, name, ppid))
        self.file("/proc/%d/cgroup" % pid, "0::/system.slice/%s\n" % unit if unit else "0::/\n")
        self.file("/proc/%d/mountinfo" % pid, "29 1 8:1 / / rw - ext4 /dev/sda1 rw\n30 29 0:40 / /mnt rw - nfs4 server:/a rw\n")
        (self.folder / ("proc/%d/fd" % pid)).mkdir(parents=True, exist_ok=True)
        for name_, path in files.items():
            os.symlink(path, str(self.folder / ("proc/%d/fd/%s" % (pid, name_.lstrip("f")))))
            self.file("/proc/%d/fdinfo/%s" % (pid, name_.lstrip("f")), "pos:\t0\nflags:\t%s\nmnt_id:\t%d\n" % (flags, 30 if path.startswith("/mnt") else 29))

    # a link of a recording leads to the machine that it is read on: lead it back
    def stat(self, path: str) -> os.stat_result:
        return super().stat(self._led(path))

    def open(self, path: str) -> t.BinaryIO:
        return super().open(self._led(path))

    def _led(self, path: str) -> str:
        place = self.path(path)
        return os.readlink(place) if "/fd/" in path and os.path.islink(place) else path

    def journal(self, data: bytes, status: int = 0, err: bytes = b"", timed_out: bool = False) -> None:
        (self.folder / "run/systemd/journal").mkdir(parents=True, exist_ok=True)
        self.answer = Outcome(None if timed_out else status, data, err, timed_out)

    def run(self, argv: t.Sequence[str], *arguments: t.Any, **more: t.Any) -> Outcome:
        self.asked.append(argv)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        self.grow()

    def collect(self, **options: t.Any) -> Reading:
        reading = _logs.collect(self, Options(**options))
        if reading.data is not None:
            VALIDATOR.validate(json.loads(json.dumps(reading.data)))
        return reading


@pytest.fixture(name="host")
def _host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def entry(message: bytes, unit: str = "shop-web.service", at: float = NOW - 10, **more: str) -> bytes:
    fields = {"__REALTIME_TIMESTAMP": "%d" % (at * 1e6), "_SYSTEMD_UNIT": unit, "_PID": "77", "PRIORITY": "6", **more}
    head = "".join("%s=%s\n" % item for item in fields.items()).encode()
    return head + b"MESSAGE\n" + len(message).to_bytes(8, "little") + message + b"\n\n"


def by_source(reading: Reading) -> t.Dict[t.Tuple[str, str], t.Dict[str, t.Any]]:
    return {(row["service"], row["source"]): row for row in reading.data["services"]}


def signals(row: t.Mapping[str, t.Any]) -> t.Dict[str, int]:
    return {signal["id"]: signal["count"] for signal in row["signals"]}


def stamp(at: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))


# what real programs wrote


def test_a_recorded_journal(host: Host) -> None:
    host.journal((RECORDED / "journal.export").read_bytes())
    reading = host.collect()
    assert (reading.status, reading.reason) == ("ok", None)
    assert host.asked == [["journalctl", "--no-pager", "-o", "export", "-r", "-n", "6000", "--since=@%d" % (NOW - 600), "--output-fields=" + _logs._FIELDS]]
    rows = by_source(reading)
    web = rows["shop-web.service", "journal"]
    assert {"gunicorn_worker_timeout", "gunicorn_worker_sigkill", "gunicorn_worker_signal", "gunicorn_worker_boot"} <= set(signals(web))
    timeout = next(signal for signal in web["signals"] if signal["id"] == "gunicorn_worker_timeout")
    assert timeout["last_at"] == "2026-11-28T04:03:43Z" and "WORKER TIMEOUT" in timeout["sample"]
    worker = rows["shop-worker.service", "journal"]
    retry = next(signal for signal in worker["signals"] if signal["id"] == "celery_task_retry")
    assert "2026-11-28T04:00:00Z" < retry["first_at"] < retry["last_at"]
    assert worker["tasks"][0]["retried"] > 5 and worker["tasks"][0]["name"] == "shop.tasks.charge"
    assert signals(rows["shop-rq.service", "journal"]) == {"rq_job_failed": 1, "rq_work_horse_lost": 1, "rq_job_ok": 1, "rq_job_started": 3}
    assert signals(rows["shop-broken.service", "journal"]) == {"start_limit_hit": 1}
    misc = rows["shop-misc.service", "journal"]
    assert {"dns_failure", "asyncio_slow_callback"} <= set(signals(misc)) and misc["debug_share"] > 0.3
    assert misc["templates"][0] == {"template": "<time> <time> DEBUG root cache miss for item <number> user <text>", "count": 30}
    assert "hunter2" not in json.dumps(reading.data) and "abcdef0123456789abcd" not in json.dumps(reading.data)


def test_recorded_files(host: Host) -> None:
    host.process(228, "nginx", "nginx.service", f2="/srv/shop/nginx-errors")
    host.process(229, "nginx", "nginx.service", ppid=228, f2="/srv/shop/nginx-errors")
    host.process(300, "postgres", "postgresql@15-main.service", f2="/var/log/postgresql/postgresql-15-main.log")
    host.file("/srv/shop/nginx-errors", (RECORDED / "nginx-errors").read_bytes())
    host.file("/var/log/postgresql/postgresql-15-main.log", (RECORDED / "postgresql.log").read_bytes())
    reading = host.collect()
    assert (reading.status, reading.data["files"], reading.data["journal"]) == ("ok", 2, False)
    rows = by_source(reading)
    errors = rows["nginx.service", "/srv/shop/nginx-errors"]
    assert signals(errors) == {"nginx_upstream_timeout": 4, "nginx_limit_req": 4, "nginx_upstream_refused": 2} and errors["lines"] == 10
    first = errors["signals"][0]
    assert (first["about"], first["per_s"], first["first_at"], first["last_at"]) == (
        "http://127.0.0.1:8000", round(4 / 600, 4), "2026-11-28T04:02:56Z", "2026-11-28T04:02:56Z")
    assert signals(rows["postgresql@15-main.service", "/var/log/postgresql/postgresql-15-main.log"]).items() >= {
        "postgres_slow_query": 13, "postgres_too_many_clients": 9, "postgres_temporary_file": 2, "postgres_deadlock": 1, "postgres_lock_timeout": 1}.items()


# how far back


def test_only_the_window_of_a_file_counts(host: Host) -> None:
    lines = "".join("%s line %d\n" % (stamp(NOW - 2000 + number), number) for number in range(2000))
    host.process(9, "app", "shop.service", f1="/var/log/shop")
    host.file("/var/log/shop", lines)
    row = host.collect().data["services"][0]
    assert (row["lines"], row["covered_s"], row["lines_per_s"]) == (600, 600.0, 1.0)
    row = host.collect(traffic_window_s=5000.0).data["services"][0]
    assert (row["lines"], row["covered_s"]) == (2000, 5000.0)


def test_a_large_file_is_read_from_its_end_within_bounds(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_logs, "FILE_BYTES", 300000)
    monkeypatch.setattr(_logs, "_CHUNK", 65536)
    lines = "".join("%s line %06d %s\n" % (stamp(NOW - 500 + number / 100.0), number, "x" * 60) for number in range(49000))
    host.process(9, "app", "shop.service", f1="/var/log/shop")
    host.file("/var/log/shop", lines)
    row = host.collect().data["services"][0]
    assert 2900 < row["lines"] < 3400 and 40 <= row["covered_s"] <= 46 and 70 <= row["lines_per_s"] <= 80
    # no line is lost where two pieces meet
    counted = host.collect(traffic_window_s=30.0).data["services"][0]
    assert counted["lines"] == sum(1 for number in range(49000) if int(NOW - 500 + number / 100.0) >= NOW - 30)


def test_lines_without_a_time_count_while_they_are_written(host: Host) -> None:
    host.process(9, "gunicorn", "shop.service", f2="/srv/shop.log")
    place = host.file("/srv/shop.log", "[CRITICAL] WORKER TIMEOUT (pid:1)\n" * 50)

    def grow() -> None:
        with place.open("ab") as stream:
            stream.write(b"[CRITICAL] WORKER TIMEOUT (pid:2)\n" * 3)

    host.grow = grow
    row = host.collect(window_s=2.0).data["services"][0]
    assert (row["lines"], row["covered_s"], row["lines_per_s"], signals(row)) == (3, 2.0, 1.5, {"gunicorn_worker_timeout": 3})
    assert row["signals"][0]["last_at"] is None and row["signals"][0]["first_at"] is None


def test_a_traceback_belongs_to_the_line_before_it(host: Host) -> None:
    host.process(9, "app", "shop.service", f1="/var/log/shop")
    host.file("/var/log/shop", "%s ERROR failed\nTraceback (most recent call last):\n  File \"a.py\", line 1\nMemoryError\n" % stamp(NOW - 30))
    row = host.collect().data["services"][0]
    assert row["exceptions"] == [{"name": "MemoryError", "count": 1}] and row["signals"][0]["last_at"] == stamp(NOW - 30)


def test_a_journal_that_is_cut_says_how_far_it_reaches(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_logs, "JOURNAL_ENTRIES", 50)
    host.journal(b"".join(entry(b"hello there", at=NOW - number) for number in range(50)))
    reading = host.collect()
    assert reading.status == "ok" and by_source(reading)["shop-web.service", "journal"]["covered_s"] == 49.0
    host.journal(b"".join(entry(b"hello there", at=NOW - number) for number in range(20)), timed_out=True)
    reading = host.collect()
    assert reading.status == "partial" and "journalctl was stopped after 3 s" in (reading.reason or "")
    assert by_source(reading)["shop-web.service", "journal"]["covered_s"] == 19.0


# whose


def test_whose_a_message_is(host: Host) -> None:
    host.journal(b"".join((
        entry(b"shop.service: Start request repeated too quickly.", "init.scope", _PID="1", UNIT="shop.service"),
        # who is not systemd may say what he likes
        entry(b"evil.service: Start request repeated too quickly.", "user.service", UNIT="shop.service"),
        entry(b"hello", "docker.service", CONTAINER_ID="3f6d1b5ad292"), entry(b"hello", "user.service", CONTAINER_ID="3f6d1b5ad292"),
        entry(b"hello", "", _TRANSPORT="kernel"), entry(b"hello", ""),
    )))
    assert sorted(row["service"] for row in host.collect().data["services"]) == sorted(
        ["shop.service", "user.service", "docker:3f6d1b5ad292", "kernel", "other"])


@pytest.mark.parametrize("name, path, service", [
    ("dockerd", "/var/lib/docker/containers/{0}/{0}-json.log", "docker:3f6d1b5ad292"),
    ("conmon", "/var/lib/containers/storage/overlay-containers/{0}/userdata/ctr.log", "podman:3f6d1b5ad292"),
    ("containerd", "/var/log/pods/shop_web-1_6e59baef-1234-4234-8234-123456789abc/web/0.log", "kubernetes:6e59baef-1234-4234-8234-123456789abc"),
    ("supervisord", "/var/log/supervisor/shop-web-stderr---supervisor-ab1_2c.log", "supervisor:shop-web"),
    ("supervisord", "/var/log/supervisor/supervisord.log", "shop.service"), ("app", "/var/log/shop.out.log", "shop.service"),
])
def test_logs_that_one_program_writes_for_others(host: Host, name: str, path: str, service: str) -> None:
    path = path.format("3f6d1b5ad292" + "a" * 52)
    host.process(9, name, "shop.service", f4=path)
    line = "%s hello\n" % stamp(NOW - 3)
    host.file(path, json.dumps({"log": "[CRITICAL] WORKER TIMEOUT (pid:1)\n", "stream": "stderr", "time": stamp(NOW - 3)}) + "\n" if "json" in path else line)
    rows = host.collect().data["services"]
    assert [(row["service"], row["lines"]) for row in rows] == [(service, 1)]
    assert ("gunicorn_worker_timeout" in signals(rows[0])) is ("json" in path)


def test_what_nobody_manages_is_called_by_its_master(host: Host) -> None:
    host.process(40, "gunicorn", "", f2="/srv/shop.log")
    host.process(41, "gunicorn", "", ppid=40, f3="/srv/worker.log")
    for path in ("/srv/shop.log", "/srv/worker.log"):
        host.file(path, "%s hello\n" % stamp(NOW - 3))
    assert {row["service"] for row in host.collect().data["services"]} == {"process:gunicorn:40"}


# which files


def test_what_is_no_log_is_left_alone(host: Host) -> None:
    host.process(9, "app", "shop.service", f1="/srv/data.db", f2="/var/log/wtmp", f3="/var/log/gone.log (deleted)", f4="socket:[1]", f5="/srv/a.log.gz")
    host.process(10, "tail", "shop.service", flags="0100000", f1="/var/log/shop")
    host.process(11, "nginx", "nginx.service", f1="/var/log/nginx/access.log", f2="/var/log/nginx/error.log")
    host.process(12, "rsyslogd", "rsyslog.service", f1="/var/log/syslog")
    for path in ("/srv/data.db", "/var/log/wtmp", "/srv/a.log.gz", "/var/log/shop", "/var/log/nginx/access.log", "/var/log/nginx/error.log", "/var/log/syslog"):
        host.file(path, "%s hello\n" % stamp(NOW - 3))
    host.journal(b"")
    reading = host.collect()
    assert [row["source"] for row in reading.data["services"]] == ["/var/log/nginx/error.log"]
    (host.folder / "run/systemd/journal").rmdir()
    # without a journal the files of a syslog daemon are all that there is
    assert {row["source"] for row in host.collect().data["services"]} == {"/var/log/nginx/error.log", "/var/log/syslog"}


def test_what_nginx_writes_is_known_by_its_lines(host: Host) -> None:
    # an error_log may have any name, and so may the log of requests
    host.process(11, "nginx", "nginx.service", f1="/srv/shop/oddly", f2="/var/log/nginx/shop.log")
    now = time.gmtime(NOW - 3)
    host.file("/srv/shop/oddly", time.strftime("%Y/%m/%d %H:%M:%S", now) + " [warn] 7#7: *1 a client request body is buffered to a temporary file /tmp/1\n")
    host.file("/var/log/nginx/shop.log", time.strftime('192.0.2.7 - - [%d/%b/%Y:%H:%M:%S +0000] "GET / HTTP/1.1" 200 5 "-" "-"\n', now))
    assert [row["source"] for row in host.collect().data["services"]] == ["/srv/shop/oddly"]


def rotated(host: Host, now: str, before: str, name: str = "shop.log.1", **changed: t.Any) -> t.Any:
    """What is told of a log that was rotated 60 s ago."""
    if not (host.folder / "proc/9").exists():
        host.process(9, "app", "shop.service", f1="/srv/logs/shop.log")
    host.file("/srv/logs/shop.log", now)
    host.file("/srv/logs/" + name, before)
    folder = host.folder / "srv/logs"
    for path, at in ((folder / "shop.log", NOW - 1), (folder / name, NOW - 60)):
        os.utime(str(path), (at, at))
    os.chmod(str(folder), changed.get("mode", 0o755))
    (row,) = host.collect().data["services"]
    return row


@pytest.mark.parametrize("name", ["shop.log.1", "shop.log-20261128"])
def test_a_log_that_was_rotated_within_the_window(host: Host, name: str) -> None:
    row = rotated(host, "%s now\n" % stamp(NOW - 30), "".join("%s before %d\n" % (stamp(NOW - 900 + number), number) for number in range(840)), name)
    assert (row["lines"], row["covered_s"]) == (1 + 540, 600.0)


def test_a_log_that_is_empty_since_it_was_rotated(host: Host) -> None:
    row = rotated(host, "", "".join("%s before\n" % stamp(NOW - 900 + number) for number in range(840)))
    assert (row["lines"], row["source"]) == (540, "/srv/logs/shop.log")


def test_what_others_may_have_put_there_is_not_taken_for_it(host: Host) -> None:
    before = "%s before\n" % stamp(NOW - 90)
    assert rotated(host, "%s now\n" % stamp(NOW - 30), before, mode=0o777)["lines"] == 1
    (host.folder / "srv/logs/shop.log.1").unlink()
    host.file("/srv/secret", before)
    (host.folder / "srv/logs/shop.log.1").symlink_to(host.folder / "srv/secret")
    os.chmod(str(host.folder / "srv/logs"), 0o755)
    assert host.collect().data["services"][0]["lines"] == 1
    assert rotated(host, "%s now\n" % stamp(NOW - 30), before, "shop.log.1.gz")["lines"] == 1


def test_a_file_system_that_may_hang_is_not_touched(host: Host) -> None:
    host.process(9, "app", "shop.service", f1="/mnt/shop.log")
    reading = host.collect()
    assert reading.status == "absent"
    host.journal(b"")
    reading = host.collect()
    assert (reading.status, reading.reason) == ("partial", "/mnt/shop.log lies on nfs4, which may hang: not read")


def test_own_processes_are_left_out_and_of_workers_some_are_looked_at(host: Host) -> None:
    for pid in range(50, 60):
        host.process(pid, "worker", "shop.service", ppid=49, f1="/var/log/w%d" % pid)
        host.file("/var/log/w%d" % pid, "%s hello\n" % stamp(NOW - 3))
    assert host.collect().data["files"] == 2
    assert host.collect(own_pids=frozenset({49})).status == "absent"


# what goes wrong


def test_absent(host: Host) -> None:
    reading = host.collect()
    assert (reading.status, reading.data) == ("absent", None) and host.asked == []


def test_denied(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    host.journal(b"", err=b"Hint: You are currently not seeing messages from other users and the system.\n")
    host.process(9, "app", "shop.service", f1="/var/log/shop")
    names = Machine.names

    def refused(machine: Machine, path: str) -> t.List[str]:
        if path.endswith("/fd"):
            raise PermissionError(13, "Permission denied", path)
        return names(machine, path)

    monkeypatch.setattr(Host, "names", refused)
    reading = host.collect()
    assert reading.status == "denied" and reading.data is None
    assert reading.reason == ("the journal may not be read: become root, or give the user the group systemd-journal; "
                              "the open files of 1 processes may not be looked at: become root")
    host.journal(entry(b"hello there"))
    assert host.collect().status == "partial"


@pytest.mark.parametrize("answer, status, reason", [
    (Outcome(None, b"", b"", True), "error", "journalctl did not answer within 3 s"),
    (Outcome(1, b"", b"Failed to open files: Bad message", False), "error", "journalctl: Failed to open files: Bad message"),
    (PermissionError(13, "Permission denied"), "error", "the journal: Permission denied"),
    (Outcome(0, b"", b"No journal files were found.\n", False), "absent", None),
    (FileNotFoundError("journalctl"), "error", "there is no journalctl: what services say to the journal is not known"),
])
def test_a_journal_that_does_not_answer(host: Host, answer: t.Union[Outcome, Exception], status: str, reason: t.Optional[str]) -> None:
    host.journal(b"")
    host.answer = answer
    reading = host.collect()
    assert reading.status == status and (reason is None or reading.reason == reason)
    # what files say is told all the same
    host.process(9, "app", "shop.service", f1="/var/log/shop")
    host.file("/var/log/shop", "%s hello\n" % stamp(NOW - 3))
    reading = host.collect()
    assert (reading.status, reading.reason, reading.data["files"]) == ("partial" if reason else "ok", reason, 1)


def test_an_old_journalctl_is_asked_without_its_newer_option(host: Host) -> None:
    host.journal(b"", 1, b"journalctl: unrecognized option '--output-fields=MESSAGE'\n")
    assert host.collect().status == "error" and len(host.asked) == 2 and not any("output-fields" in word for word in host.asked[1])


@pytest.mark.parametrize("data", [
    b"\0\xff\xfe" * 90000, b"x" * 700000, b"\n" * 300000, b"{\"log\": 7}\n[]\n{\n" * 300, b"\x1b[31m\xe2\x80\xae password=hunter2\n" * 50,
    b"9999-99-99 99:99:99 a\n" * 20, b"2026-11-28T23:59:59Z not yet\n" * 20, b"x" * 600000 + b"\n",
])
@pytest.mark.parametrize("path", ["/var/log/shop", "/var/lib/docker/containers/{0}/{0}-json.log"])
def test_rubbish(host: Host, data: bytes, path: str) -> None:
    path = path.format("3f6d1b5ad292" + "a" * 52)
    host.process(9, "app", "shop.service", f1=path)
    place = host.file(path, data)

    def grow() -> None:
        with place.open("ab") as stream:
            stream.write(data)

    host.grow = grow
    host.journal(b"".join(entry(line[:3000]) for line in data.split(b"\n")[:50]) + data)
    reading = host.collect()
    said = json.dumps(reading.data, ensure_ascii=False)
    assert reading.status == "ok" and "hunter2" not in said and "\x1b" not in said and "\u202e" not in said and len(said) < 60000


def test_the_document_is_bounded() -> None:
    tally = _logs.Tally()
    for number in range(400):
        tally.add("Task %s%d[x] received" % ("n" * 180, number), 1, lambda line: NOW, _logs._log_signals.forms_in(b"] received"))
        tally.add("%s%s said \"a\"" % (chr(97 + number % 26) * 150, chr(97 + number // 26)), 1, lambda line: NOW, ())
    row = _log_rows.row("s" * 300, "p" * 300, tally, 1.0)
    assert len(row["tasks"]) == 10 and len(row["signals"]) == 1
    rows = [dict(row, service="%d.service" % number) for number in range(300)]
    kept = _log_rows.fitted(rows)
    assert 5 < len(kept) <= 40 and len(json.dumps(kept)) <= _log_rows.SIZE_LIMIT
    assert kept[0]["tasks"] and kept[-1]["templates"] == []


# what is open here


@contextlib.contextmanager
def writer(path: str, how: str = "open(sys.argv[1], 'ab', 0)", line: str = "") -> t.Iterator[int]:
    """A process that holds a file open for writing and has written a line."""
    code = "import os, sys, time; f = %s; f.write(sys.argv[2].encode()) if sys.argv[2] else None; print('ready', flush=True); time.sleep(60)" % how
    process = subprocess.Popen([sys.executable, "-c", code, path, line], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None and process.stdout.readline() == b"ready\n"
        yield process.pid
    finally:
        process.kill()
        process.communicate()


class Only(Machine):
    """This machine, as if only one process ran on it."""

    def __init__(self, pid: int) -> None:
        super().__init__()
        self.only = pid

    def names(self, path: str) -> t.List[str]:
        return [str(self.only)] if path == "/proc" else super().names(path)

    def exists(self, path: str) -> bool:
        return path != "/run/systemd/journal" and super().exists(path)


def test_the_file_that_is_open_is_read_whatever_stands_at_its_name(tmp_path: Path) -> None:
    path, secret = tmp_path / "shop.log", tmp_path / "secret"
    secret.write_text("%s disk says No space left on device\n" % stamp(time.time()))
    with writer(str(path), line="%s OSError: [Errno 24] Too many open files\n" % stamp(time.time())) as pid:
        found = _log_files.open_logs(Only(pid), frozenset(), True)
        assert [file.path for file in found.files] == [str(path)]
        os.rename(str(path), str(tmp_path / "moved.log"))
        os.symlink(str(secret), str(path))
        reading = _logs.collect(Only(pid), Options(window_s=0.0))
    assert [(row["source"], signals(row)) for row in reading.data["services"]] == [(str(tmp_path / "moved.log"), {"too_many_open_files": 1})]
    assert b"Too many open files" in found.files[0].tail.read(0, 1000)
    found.files[0].tail.close()


def test_a_fifo_and_a_device_of_that_name_do_not_hold_us_up(tmp_path: Path) -> None:
    fifo = str(tmp_path / "pipe.log")
    os.mkfifo(fifo)
    with writer(fifo, "os.fdopen(os.open(sys.argv[1], os.O_RDWR), 'wb', 0)") as pid:
        assert _logs.collect(Only(pid), Options(window_s=0.0)).status == "absent"
        with pytest.raises(OSError, match="not a regular file"):
            open_tail(Machine(), fifo)
    link = str(tmp_path / "null.log")
    os.symlink("/dev/null", link)
    with pytest.raises(OSError, match="not a regular file"):
        open_tail(Machine(), link)


def test_a_gigabyte_without_a_line_end(tmp_path: Path) -> None:
    path = tmp_path / "shop.log"
    with writer(str(path), line="x") as pid:
        os.truncate(str(path), 1 << 30)
        reading = _logs.collect(Only(pid), Options(window_s=0.0))
    assert (reading.status, reading.data["files"], reading.data["services"]) == ("ok", 1, [])
