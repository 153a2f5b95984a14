# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The collector of recent changes: on a real repository, a real environment and real processes, and on a host made of files."""

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
from ansible_collections.oncall.pressure.plugins.module_utils._components import _changed_files, _recent_changes
from ansible_collections.oncall.pressure.plugins.module_utils._host._collect import Options
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine

PART = json.loads((Path(__file__).resolve().parents[3] / "roles/diagnose/files/schemas/snapshot.json").read_text(encoding="utf-8"))[
    "$defs"]["snapshot"]["properties"]["timeline"]
NOW = 1795260900


def checked(reading: t.Any) -> t.Any:
    """A reading whose data is as the schema says."""
    jsonschema.Draft202012Validator(PART).validate(json.loads(json.dumps(reading.data)))
    return reading


def git(folder: Path, *words: str) -> str:
    environment = dict(os.environ, GIT_CONFIG_GLOBAL="/dev/null", GIT_CONFIG_SYSTEM="/dev/null")
    words = ("git", "-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "init.defaultBranch=main") + words
    return subprocess.run(words, cwd=str(folder), check=True, stdout=subprocess.PIPE, text=True, env=environment).stdout.strip()


@contextlib.contextmanager
def running(words: t.Sequence[str], folder: Path) -> t.Iterator[subprocess.Popen]:
    """A program that runs in a folder until the end of the block."""
    words = [*words, "-c", "import sys; print(1, flush=True); sys.stdin.read()"]
    process = subprocess.Popen(words, cwd=str(folder), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None and process.stdout.readline()
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.fixture(name="deployed")
def _deployed(tmp_path: Path) -> Path:
    """A deployment: two releases, of which the first is a repository, a link to the second, and a virtual environment."""
    for name in ("one", "two"):
        (tmp_path / "app/releases" / name).mkdir(parents=True)
    one = tmp_path / "app/releases/one"
    git(one, "init", "-q")
    (one / "app.py").write_text("secret_word = 1\n", encoding="utf-8")
    git(one, "add", "app.py")
    git(one, "commit", "-q", "-m", "secret_word: turn the key")
    (one / ".env").write_text("A=1\n", encoding="utf-8")
    (tmp_path / "app/current").symlink_to("releases/two")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "venv")], check=True)
    packages = next((tmp_path / "venv/lib").glob("python3*")) / "site-packages"
    for name in ("Django-5.0.1.dist-info", "celery-5.3.6.dist-info", "old-1.0.dist-info"):
        (packages / name).mkdir()
    long_ago = time.time() - 30 * 86400
    os.utime(str(packages / "old-1.0.dist-info"), (long_ago, long_ago))
    return tmp_path


def of(folder: Path, events: t.Sequence[t.Any]) -> t.Dict[str, t.Any]:
    """The events about a folder, by kind."""
    return {event["kind"]: event for event in events if str(folder) in event["what"]}


def test_what_a_running_service_is_made_of(deployed: Path) -> None:
    one = deployed / "app/releases/one"
    with running([str(deployed / "venv/bin/python")], one) as process:
        # what started the test is of no interest, and may be many
        reading = checked(_recent_changes.collect(Machine(), Options(own_pids=frozenset([os.getpid()]))))
    found = of(deployed, reading.data["events"])
    assert sorted(found) == ["commit", "config", "environment", "release"]
    assert found["commit"]["what"] == "%s is at commit %s" % (one, git(one, "rev-parse", "HEAD")[:12]) and found["commit"]["detail"] == "commit"
    assert found["config"]["what"] == "configuration %s was changed" % (one / ".env")
    assert found["environment"]["what"].startswith("2 packages of the Python environment")
    assert sorted(found["environment"]["detail"].split(", ")) == ["Django 5.0.1", "celery 5.3.6"]
    assert found["release"]["detail"].startswith("to releases/two, while ") and found["release"]["detail"].endswith("runs in %s" % one)
    assert {row["pid"] for row in found.values()} == {process.pid} and all(row["service"] and 0 <= row["age_s"] < 600 for row in found.values())
    # of a message or a file nothing is told
    assert "secret_word" not in json.dumps(reading.data)
    boot = time.time() - Machine().uptime_s()
    assert all(event["kind"] != "boot" or abs(time.time() - event["age_s"] - boot) < 5 or Machine().exists("/.dockerenv") for event in reading.data["events"])


def test_a_repository_that_lies_is_held_to_its_form(deployed: Path) -> None:
    one = deployed / "app/releases/one"
    log = one / ".git/logs/HEAD"
    with running([str(deployed / "venv/bin/python")], one):
        def commit() -> t.Any:
            return of(deployed, _recent_changes.collect(Machine(), Options(own_pids=frozenset([os.getpid()]))).data["events"]).get("commit")

        log.write_bytes(os.urandom(300) + b"\n")
        assert commit() is not None and commit()["what"].startswith("the HEAD of "), "the time of HEAD itself stands in"
        log.unlink()
        os.mkfifo(str(log))
        assert commit()["what"].startswith("the HEAD of "), "and nothing waits for a pipe"
        log.unlink()
        log.symlink_to("/etc/passwd")
        assert commit()["what"].startswith("the HEAD of ")
        log.unlink()
        log.write_text("%s %s A <a@b> 99999999999 +0000\tcommit: x\n" % ("0" * 40, "1" * 40), encoding="utf-8")
        assert commit() is None, "what is yet to come is no change"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user: run the tests as root to check this")
def test_without_privileges_what_is_missing_is_said(deployed: Path) -> None:
    program = (
        "import json, os, sys; sys.path[:0] = %r\n"
        "from ansible_collections.oncall.pressure.plugins.module_utils._components import _recent_changes\n"
        "from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine\n"
        "from ansible_collections.oncall.pressure.plugins.module_utils._host._collect import Options\n"
        "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "print(json.dumps(_recent_changes.collect(Machine(), Options())))\n"
    ) % (sys.path,)
    with running([str(deployed / "venv/bin/python")], deployed / "app/releases/one"):
        status, reason, data = json.loads(subprocess.run([sys.executable, "-c", program], check=True, stdout=subprocess.PIPE, text=True).stdout)
    assert status == "partial" and "no privileges" in reason
    assert "commit" not in of(deployed, data["events"])


class Host:
    """A recording that is written by hand; everything in it is old unless it is said otherwise."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file("/proc/uptime", "200000.00 100.00\n", None)
        self.file("/proc/1/stat", "1 (systemd) S 0 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 0 1000 1 0\n", None)
        self.file("/commands.json", json.dumps({"now": NOW, "commands": {}}), None)

    def file(self, path: str, text: str, age_s: float | None = 3600.0) -> Path:
        place = self.folder / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text, encoding="utf-8")
        if age_s is not None:
            os.utime(str(place), (NOW - age_s, NOW - age_s))
        return place

    def process(self, pid: int, name: str, cgroup: str, age_s: float, argv: t.Sequence[str] = ()) -> None:
        ticks = int((200000 - age_s) * os.sysconf("SC_CLK_TCK"))
        fields = ["S", 1, pid, pid, 0, -1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 20, 0, 1, 0, ticks, 1000000, 100] + [0] * 28
        self.file("/proc/%d/stat" % pid, "%d (%s) %s\n" % (pid, name, " ".join(map(str, fields))))
        self.file("/proc/%d/cgroup" % pid, "0::%s\n" % cgroup)
        self.file("/proc/%d/cmdline" % pid, "".join(word + "\0" for word in argv or (name,)))
        (self.folder / ("proc/%d/root" % pid)).symlink_to(self.folder)
        (self.folder / ("proc/%d/cwd" % pid)).symlink_to("/")

    def collect(self) -> t.Any:
        return checked(_recent_changes.collect(Machine(str(self.folder)), Options()))

    def said(self) -> t.List[t.Tuple[str, t.Any, str]]:
        return [(event["kind"], event["service"], event["what"]) for event in self.collect().data["events"]]


@pytest.fixture(name="host")
def _host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_a_host_where_nothing_was_changed_is_quiet(host: Host) -> None:
    host.file("/etc/systemd/system/web.service", "", 90000)
    host.file("/etc/crontab", "", 90000)
    host.process(50, "nginx", "/system.slice/nginx.service", 100000)
    reading = host.collect()
    assert (reading.status, reading.data) == ("ok", {"window_s": 86400.0, "left_out": 0, "events": []})


def test_units_crontabs_configuration_and_starts(host: Host) -> None:
    host.file("/etc/systemd/system/web.service", "", 100)
    host.file("/etc/systemd/system/web.service.d/memory.conf", "", 200)
    host.file("/etc/systemd/system/README", "", 200)
    host.file("/run/systemd/system.control/web.service.d/50-MemoryMax.conf", "", 300)
    host.file("/usr/lib/systemd/system/old.service", "", 200000)
    host.file("/etc/cron.d/shop", "", 400)
    host.file("/var/spool/cron/crontabs/shop", "", 500)
    host.file("/etc/nginx/sites-enabled/shop", "", 600)
    host.file("/etc/nginx/nginx.conf", "", 100000)
    host.file("/etc/redis/redis.conf", "", 650)
    host.process(50, "nginx", "/system.slice/nginx.service", 700)
    host.process(51, "gunicorn", "/docker/" + "a" * 64, 700)
    host.process(52, "python3", "/user.slice/user-0.slice/session-2.scope", 700)
    assert host.said() == [
        ("unit", "web.service", "unit web.service was changed"), ("unit", "web.service", "drop-in memory.conf of web.service was changed"),
        ("unit", "web.service", "drop-in 50-MemoryMax.conf of web.service was changed"), ("crontab", None, "crontab /etc/cron.d/shop was changed"),
        ("crontab", None, "crontab /var/spool/cron/crontabs/shop was changed"),
        ("config", "nginx.service", "configuration /etc/nginx/sites-enabled/shop was changed"), ("start", "nginx.service", "nginx was started")]


def test_packages_are_told_by_the_run(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    lines = [(5000, "upgrade", "a"), (4990, "upgrade", "b"), (4000, "install", "c")]
    host.file("/var/log/dpkg.log", "".join("%s %s %s:amd64 1.0 2.0\n" % (
        time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(NOW - age_s)), verb, name) for age_s, verb, name in lines))
    found = host.collect().data["events"]
    assert [(event["kind"], event["what"], event["detail"], event["age_s"]) for event in found] == [
        ("package", "1 package: installed", "c", 4000.0), ("package", "2 packages: upgraded", "a, b", 4990.0)]


def test_what_we_did_ourselves(host: Host) -> None:
    folder = "/var/lib/oncall-pressure/incidents/20261121-1/01/"
    host.file(folder + "journal.jsonl", "".join(json.dumps(row) + "\n" for row in (
        {"state": "intent", "mitigation": "lower_workers", "service": "web.service", "epoch_s": NOW - 90}, {"state": "applied", "epoch_s": NOW - 60})))
    event = host.collect().data["events"][0]
    assert (event["kind"], event["what"], event["service"], event["detail"]) == ("ours", "lower_workers: applied", "web.service", "20261121-1/01")


def test_a_boot_hides_what_it_brings(host: Host) -> None:
    host.file("/proc/uptime", "5000.0 1.0\n")
    host.file("/run/systemd/system/made.service", "", 4990)
    host.file("/run/systemd/system/later.service", "", 100)
    events = host.collect().data["events"]
    assert [(event["kind"], event["service"], event["age_s"]) for event in events] == [("unit", "later.service", 100.0), ("boot", None, 5000.0)]


def test_many_events_are_bounded(host: Host) -> None:
    for number in range(100):
        host.file("/etc/systemd/system/s%d.service" % number, "", 100 + number)
    data = host.collect().data
    assert (len(data["events"]), data["left_out"], data["events"][0]["service"]) == (60, 40, "s0.service")


def test_a_pipe_a_loop_and_a_hostile_name_change_nothing(host: Host) -> None:
    host.file("/etc/systemd/system/a\x1b[31m\u202e.service", "", 100)
    os.mkfifo(str(host.folder / "etc/crontab"))
    (host.folder / "var/log").mkdir(parents=True)
    os.mkfifo(str(host.folder / "var/log/dpkg.log"))
    (host.folder / "etc/cron.d").symlink_to(".")
    assert [event["kind"] for event in host.collect().data["events"]] == ["unit"]
    assert not set("\x1b\u202e") & set(json.dumps(host.collect().data, ensure_ascii=False))


def test_a_network_file_system_is_not_touched(host: Host) -> None:
    host.file("/proc/self/mountinfo", "1 0 0:1 / / rw - ext4 /dev/sda rw\n2 1 0:2 / /etc/cron.d rw - nfs4 server:/x rw\n")
    host.file("/etc/cron.d/shop", "", 100)
    reading = host.collect()
    assert (reading.status, reading.data["events"]) == ("partial", []) and "/etc/cron.d lies on a network file system" in reading.reason
    files = _changed_files.Files(Machine(str(host.folder)), 0.0)
    assert (files.may_wait("/etc/cron.d/x"), files.may_wait("/etc/cron.da"), files.may_wait("/etc")) == (True, False, False)
