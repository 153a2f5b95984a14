# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's containers: three hosts, reached over ssh like any other."""

from __future__ import annotations

import concurrent.futures
import os
import shlex
import subprocess
import time
from typing import Any

import _image
from _common import LabError, alone, engine, options, run, say, ssh, ssh_key


def run_words(program: str, name: str, image: str, data: dict[str, Any]) -> list[str]:
    """The engine's command line for one host."""
    how = data["run"]
    words = [program, "run", "--detach", "--name", name, "--hostname", name, "--network", data["network"],
             "--publish", "127.0.0.1:{0}:22".format(data["hosts"][name]["ssh_port"]),
             "--cgroupns", how["cgroupns_mode"], "--stop-signal", how["stop_signal"],
             "--memory", how["memory"], "--cpuset-cpus", how["cpuset_cpus"]]
    for option, key in (("--volume", "volumes"), ("--cap-add", "capabilities"), ("--security-opt", "security_opts"), ("--tmpfs", "tmpfs")):
        for value in how[key]:
            words += [option, value]
    if program == "podman":
        # crun refuses a hybrid cgroup layout; runc takes both.
        words[1:1] = ["--runtime", "runc"]
    # for a machine that is not the lab's alone, for example a control group of its own: containers together weigh as much as one process elsewhere
    return [*words, *shlex.split(os.environ.get("LAB_RUN_OPTIONS", "")), image, how["command"]]


def state_of(program: str, name: str) -> tuple[str, str]:
    """(status, image) of a container; ("absent", "") where there is none."""
    done = run([program, "inspect", "--format", "{{.State.Status}} {{.Config.Image}}", name], check=False)
    if done.returncode != 0:
        return "absent", ""
    status, unused, image = done.stdout.strip().partition(" ")
    return status, image


def wait_ready(name: str, timeout_s: float = 120) -> None:
    """Wait until ssh answers and the host's own services are up."""
    until = time.monotonic() + timeout_s
    last = ""
    while time.monotonic() < until:
        try:
            done = ssh(name, "systemctl is-system-running && lab-check " + name, check=False, timeout_s=60)
        except subprocess.TimeoutExpired:
            # a login that hangs while a machine boots is no answer either
            last = "no answer within 60 s"
            continue
        last = (done.stdout.strip() or done.stderr.strip())[-200:]
        if done.returncode == 0:
            return
        if last == "degraded":
            failed = ssh(name, "systemctl --failed --no-legend --plain").stdout.split("\n")[0]
            raise LabError("{0} is degraded: {1}".format(name, failed))
        time.sleep(0.5)
    raise LabError("{0} is not ready after {1:.0f} s: {2}".format(name, timeout_s, last))


def authorise(program: str, name: str) -> None:
    public = ssh_key().with_suffix(".pub").read_bytes()
    script = ("read -r key; for home in /root /home/op /home/ordinary /home/opw; do"
              " owner=$(stat -c %U $home); install -d -m 0700 -o $owner $home/.ssh;"
              " echo \"$key\" > $home/.ssh/authorized_keys; chown $owner $home/.ssh/authorized_keys; done")
    run([program, "exec", "-i", name, "sh", "-ec", script], stdin=public)


def start_one(program: str, name: str, image: str, data: dict[str, Any]) -> str:
    """Make one host exist and be ready; returns what was done."""
    status, of_image = state_of(program, name)
    if status == "running" and of_image == image:
        if ssh(name, "test -e /run/lab-ready", check=False).returncode == 0:
            return "up"
    elif status != "absent":
        run([program, "rm", "--force", "--volumes", name])
        status = "absent"
    if status == "absent":
        run(run_words(program, name, image, data))
    authorise(program, name)
    until = time.monotonic() + 60
    while ssh(name, "systemctl is-system-running --wait >/dev/null; lab-apply " + name, check=False).returncode != 0:
        if time.monotonic() > until:
            raise LabError("lab-apply fails on {0}: {1}".format(name, ssh(name, "lab-apply " + name, check=False).stderr.strip()[-300:]))
        time.sleep(0.5)
    wait_ready(name)
    ssh(name, "touch /run/lab-ready")
    return "started"


def up(names: list[str] | None = None) -> None:
    """Start the hosts named (all of them by default); quick where they are up."""
    started = time.monotonic()
    data = options()
    image = _image.build()
    program = engine()
    ssh_key()
    names = names or list(data["hosts"])
    with alone("containers"):
        if run([program, "network", "inspect", data["network"]], check=False).returncode != 0:
            run([program, "network", "create", data["network"]])
        with concurrent.futures.ThreadPoolExecutor(len(names)) as pool:
            done = list(pool.map(lambda name: start_one(program, name, image, data), names))
    say("{0} ({1:.0f} s)".format(", ".join("{0} {1}".format(*pair) for pair in zip(names, done)), time.monotonic() - started))


def recreate(name: str) -> None:
    """A host without a past: its kernel kills, counters and logs go with its container."""
    run([engine(), "rm", "--force", "--volumes", name], check=False)
    up([name])


def down() -> None:
    data = options()
    program = engine()
    for name in data["hosts"]:
        if state_of(program, name)[0] != "absent":
            run([program, "rm", "--force", "--volumes", name])
    if run([program, "network", "inspect", data["network"]], check=False).returncode == 0:
        left = run([program, "network", "rm", data["network"]], check=False)
        if left.returncode != 0:
            # hosts of another suite (faults, relief) are in it still, and take it down when they end
            say("containers removed; the network stays: {0}".format(" ".join(str(left.stderr).split())[:200]))
            return
    say("containers and network removed")
