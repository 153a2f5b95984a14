# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The collector of containers on a Docker of its own, beside the machine's: it works, is gone, may not be asked, hangs; what is in trouble, and why."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import subprocess
import tarfile
import tempfile
import time
import typing as t

import pytest

from ansible_collections.oncall.pressure.plugins.module_utils._components import _containers, _daemons, _engines
from ansible_collections.oncall.pressure.plugins.module_utils._host._collect import Options, Reading, run_all
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine

BUSYBOX = next((place for place in ("/bin/busybox", "/usr/bin/busybox") if os.path.exists(place)), None)
_NEEDED = (
    ("root", os.getuid() == 0), ("dockerd", shutil.which("dockerd")), ("docker", shutil.which("docker")), ("unshare", shutil.which("unshare")),
    ("busybox-static", BUSYBOX),
)
LACKING = [name for name, there in _NEEDED if not there]
pytestmark = pytest.mark.skipif(bool(LACKING), reason="a Docker of its own needs " + ", ".join(LACKING))

SECRET = "hunter2secret"


class Docker:
    """A daemon with its own folder, whose containers have no network."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.socket = folder + "/docker.sock"
        with open(folder + "/log", "wb") as log:
            self.daemon = subprocess.Popen(
                # without a bridge it takes docker0 away from whoever has it: it is given a network of its own to do that in
                ["unshare", "--net", "dockerd", "--data-root", folder + "/data", "--exec-root", folder + "/exec", "--pidfile", folder + "/pid",
                 "-H", "unix://" + self.socket, "--bridge=none", "--iptables=false", "--storage-driver=vfs"],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True)
        self.until(lambda: self.call("version").returncode == 0)

    def call(self, *words: str, given: t.Optional[bytes] = None) -> "subprocess.CompletedProcess[bytes]":
        return subprocess.run(["docker", "-H", "unix://" + self.socket] + list(words), input=given, capture_output=True, timeout=60, check=False)

    def start(self, name: str, script: str, *options: str) -> None:
        """A container that runs a line of shell."""
        done = self.call("run", "-d", "--network", "none", "--name", name, *options, "h-cont", "/bin/busybox", "sh", "-c", script)
        assert done.returncode == 0, done.stderr

    def until(self, true: t.Callable[[], bool]) -> None:
        """Wait for what must come; a minute is given up as never."""
        end = time.monotonic() + 60
        while not true():
            assert self.daemon.poll() is None and time.monotonic() < end
            time.sleep(0.2)

    def look(self, name: str) -> t.Dict[str, t.Any]:
        """The one row of a container, from a look of which nothing but other engines may be missing."""
        reading = read()
        assert self.row(reading)["status"] == "ok", reading.reason
        assert SECRET not in json.dumps(reading.data)
        return next(row for row in reading.data["containers"] if row["name"] == name)

    @property
    def deaf(self) -> bool:
        """Whether it cannot hear of kills: containerd 1.6 finds no control groups where those of version 1 lie in a layout of somebody else's, and listens
        to none. OOMKilled is false then whatever happens; podman's conmon hears it there (tests/unit/recordings/containers/podman-4.3.1-oom.json)."""
        with open(self.folder + "/log", encoding="utf-8", errors="replace") as log:
            return "cannot find cgroup mount destination" in log.read()

    def row(self, reading: Reading) -> t.Dict[str, t.Any]:
        """What is said of this engine."""
        return next(row for row in reading.data["engine"] if row["socket"] == self.socket)

    def stop(self) -> None:
        """End it with all its containers."""
        self.daemon.send_signal(signal.SIGCONT)
        names = self.call("ps", "-aq").stdout.decode().split()
        if names:
            self.call("rm", "-f", *names)
        self.daemon.terminate()
        self.daemon.wait(30)


def read(machine: t.Optional[Machine] = None) -> Reading:
    """One look with a short window."""
    machine = machine or Machine()
    return _containers.collect(machine, Options(window_s=1.0, daemons=_daemons.running(machine)))


@pytest.fixture(scope="module")
def docker() -> t.Iterator[Docker]:
    # /run: nobody else may write to a folder there, and a socket's path is short
    folder = tempfile.mkdtemp(prefix="h-cont-", dir="/run")
    engine = Docker(folder)
    try:
        image = io.BytesIO()
        with tarfile.open(fileobj=image, mode="w") as archive:
            archive.add(t.cast(str, BUSYBOX), "bin/busybox")
            # health checks are lines of shell
            shell = tarfile.TarInfo("bin/sh")
            shell.type, shell.linkname = tarfile.SYMTYPE, "busybox"
            archive.addfile(shell)
        assert engine.call("import", "-", "h-cont", given=image.getvalue()).returncode == 0
        yield engine
    finally:
        engine.stop()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(autouse=True)
def _no_containers_left(docker: Docker) -> t.Iterator[None]:
    yield
    names = docker.call("ps", "-aq").stdout.decode().split()
    if names:
        docker.call("rm", "-f", *names)


def test_a_healthy_one_and_what_it_uses(docker: Docker) -> None:
    docker.start(
        "web", "dd if=/dev/zero of=/tmp0 bs=1M count=20 2>/dev/null; while :; do :; done", "-m", "64m", "--cpus", "0.3", "--pids-limit", "40",
        "--health-cmd", "echo " + SECRET, "--health-interval", "1s", "-e", "SECRET_TOKEN=" + SECRET,
        "--label", "com.docker.compose.project=shop", "--label", "com.docker.compose.service=web")
    docker.until(lambda: b"healthy" == docker.call("inspect", "-f", "{{.State.Health.Status}}", "web").stdout.strip())
    row = docker.look("web")
    assert (row["state"], row["health"], row["failing_streak"], row["project"], row["service"]) == ("running", "healthy", 0, "shop", "web")
    assert (row["exit_code"], row["oom_killed"], row["restarts"], row["restart_policy"]) == (None, False, 0, "no")
    assert row["memory"]["limit_bytes"] == 64 << 20 and 0 < row["memory"]["bytes"] < 64 << 20 and row["memory"]["oom_kills"] == 0
    # it wants a whole processor, and gets at most what its quota gives
    assert 0 < row["cpu"]["used"] < 0.5 and row["cpu"]["quota"] == pytest.approx(0.3) and row["cpu"]["throttled_pct"] is not None
    assert row["pids"]["limit"] == 40 and 1 <= row["pids"]["current"] <= 40


def test_killed_in_its_limit(docker: Docker) -> None:
    docker.start("hog", "sleep 1; exec tail /dev/zero", "-m", "24m", "--memory-swap", "24m")
    docker.until(lambda: docker.call("inspect", "-f", "{{.State.Running}}", "hog").stdout.strip() == b"false")
    row = docker.look("hog")
    assert (row["state"], row["exit_code"], row["memory"]["limit_bytes"]) == ("exited", 137, 24 << 20)
    assert row["finished_age_s"] < 30 and row["finished_at"].endswith("Z")
    assert row["oom_killed"] is False or not docker.deaf


def test_a_child_killed_in_its_limit(docker: Docker) -> None:
    docker.start("hog", "tail /dev/zero; sleep 100", "-m", "24m", "--memory-swap", "24m")
    docker.until(lambda: docker.look("hog")["memory"]["oom_kills"] == 1)
    row = docker.look("hog")
    # nothing ended: while it runs, only its cgroup knows
    assert (row["state"], row["exit_code"]) == ("running", None) and (row["oom_killed"] is False or not docker.deaf)


def test_kills_while_it_is_looked_at(docker: Docker) -> None:
    docker.start("hog", "while :; do tail /dev/zero; done", "-m", "24m", "--memory-swap", "24m")
    row = docker.look("hog")
    assert row["state"] == "running" and row["memory"]["oom_kills"] >= row["memory"]["oom_kills_in_window"] >= 1


def test_a_restart_loop(docker: Docker) -> None:
    docker.start("loop", "exit 3", "--restart", "always")
    docker.until(lambda: int(docker.call("inspect", "-f", "{{.RestartCount}}", "loop").stdout) >= 4)
    row = docker.look("loop")
    assert row["restarts"] >= 4 and row["restart_policy"] == "always" and row["started_age_s"] < 60
    assert row["state"] in ("restarting", "running") and (row["exit_code"] == 3 or row["state"] == "running")


def test_unhealthy(docker: Docker) -> None:
    docker.start("ill", "sleep 100", "--health-cmd", "exit 1", "--health-interval", "1s", "--health-retries", "2")
    docker.until(lambda: b"unhealthy" == docker.call("inspect", "-f", "{{.State.Health.Status}}", "ill").stdout.strip())
    row = docker.look("ill")
    assert (row["health"], row["state"]) == ("unhealthy", "running") and row["failing_streak"] >= 2


def test_one_that_hangs(docker: Docker) -> None:
    docker.start("web", "sleep 100", "-m", "32m")
    docker.daemon.send_signal(signal.SIGSTOP)
    try:
        started = time.monotonic()
        reading = read()
        assert time.monotonic() - started < 12
    finally:
        docker.daemon.send_signal(signal.SIGCONT)
    row = docker.row(reading)
    assert (row["status"], row["reason"]) == ("error", "it did not answer within %g s" % _engines.LIST_LIMIT_S) and reading.status == "partial"
    name = docker.call("ps", "-q").stdout.decode().strip()
    found = next(row for row in reading.data["containers"] if row["container_id"] == name)
    assert (found["name"], found["state"], found["oom_killed"], found["memory"]["limit_bytes"]) == (None, "running", None, 32 << 20)


def test_an_ordinary_user(docker: Docker) -> None:
    docker.start("web", "sleep 100", "-m", "32m")
    name = docker.call("ps", "-q").stdout.decode().strip()
    os.chmod(docker.folder, 0o711)

    def collect(machine: Machine, dummy: Options) -> Reading:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
        return read(machine)

    row = run_all({"containers": collect}, Machine(), Options(), 30.0).rows["containers"]
    reading = Reading(row["status"], row["reason"], row["data"])
    assert reading.status == "partial" and "become root" in reading.reason
    assert docker.row(reading)["status"] == "denied"
    found = next(row for row in reading.data["containers"] if row["container_id"] == name)
    assert (found["name"], found["state"], found["memory"]["limit_bytes"]) == (None, "running", 32 << 20) and found["memory"]["bytes"] > 0


def test_one_that_is_gone(docker: Docker) -> None:
    machine = Machine()
    others = {kind: [pid for pid in pids if pid != docker.daemon.pid] for kind, pids in _daemons.running(machine).items()}
    assert docker.socket not in [socket.path for socket in _engines.sockets(machine, others)]
    assert _containers.collect(Machine(), Options(window_s=0.1, daemons={})).status in ("ok", "absent")
