# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A whole machine of these cases' own: the lab's disk and kernel (cgroup v2), another process and other ports than lab-machine's."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import _hosts
import _machine
from _common import CACHE, LabError, engine, options, run, ssh

NAME, PORT = _hosts.MACHINE
SITE_PORT, OUTSIDE_PORT = 8081, 28081
PID_FILE = CACHE / "relief-machine.pid"


def gateway() -> str:
    """Where containers of the lab reach this machine, and so what it forwards to ours."""
    return run([engine(), "network", "inspect", "--format", "{{(index .IPAM.Config 0).Gateway}}", options()["network"]]).stdout.strip()


def _pid() -> int | None:
    try:
        pid = int(PID_FILE.read_text())
        return pid if str(PID_FILE).encode() in Path("/proc/{0}/cmdline".format(pid)).read_bytes() else None
    except (OSError, ValueError):
        return None


def up() -> None:
    """Boot it anew: its disk is thrown away with it."""
    down()
    folder = _machine.build()
    data = dict(options()["machine"], ssh_port=PORT)
    words = _machine._qemu_words(folder, data)
    words[words.index("-pidfile") + 1] = str(PID_FILE)
    words[words.index("-serial") + 1] = "null"
    words[words.index("-nic") + 1] += ",hostfwd=tcp:{0}:{1}-:{2}".format(gateway(), OUTSIDE_PORT, SITE_PORT)
    done = subprocess.run(words, env=dict(os.environ, TMPDIR=str(folder)), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if done.returncode != 0:
        raise LabError("qemu does not start: " + done.stdout.decode("utf-8", "backslashreplace").strip()[-300:])
    until = time.monotonic() + 1200
    while not _is_up():
        if time.monotonic() > until:
            raise LabError(NAME + " does not come up")
        time.sleep(1)
    _hosts.install(NAME)


def _is_up() -> bool:
    """Whether nothing starts any more; a login that hangs while it boots is no answer."""
    try:
        return ssh(NAME, "systemctl is-system-running", check=False, timeout_s=60).stdout.strip() in ("running", "degraded")
    except subprocess.TimeoutExpired:
        return False


def down() -> None:
    pid = _pid()
    if pid is None:
        return
    os.kill(pid, signal.SIGTERM)
    until = time.monotonic() + 20
    while _pid() is not None and time.monotonic() < until:
        time.sleep(0.2)


def clock() -> float:
    """What to add to its monotonic seconds to have ours, give or take the time that asking takes."""
    best = (float("inf"), 0.0)
    for unused in range(5):
        asked = time.monotonic()
        said = float(ssh(NAME, "python3 -c 'import time; print(time.monotonic())'").stdout)
        answered = time.monotonic()
        # The program starts within the asking; its print is nearer to the answer than to the question.
        best = min(best, (answered - asked, answered - said))
    return best[1]
