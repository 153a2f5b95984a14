# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is paused does not run, not even after a restart of the host; at the end of the lifetime it runs again, and every byte is as it was."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from lab_hosts import connect, output

ROOT = Path(__file__).resolve().parents[3]
PATHS = {"shop": "/etc/cron.d/shop", "crontab": "/etc/crontab", "op": "/var/spool/cron/crontabs/op"}

#: What is paused where, by what it writes.
PAUSED = {"lab-1": ("crond", "timer"), "lab-2": ("user",), "lab-3": ("crond", "crontab", "user", "timer")}
NOT_PAUSED = {"lab-1": ("crontab", "user"), "lab-2": ("crond", "crontab", "timer")}


def fired(name: str, job: str) -> int:
    """How often a job ran."""
    return int(output(connect(name), "wc -l < /var/tmp/fired.%s" % job))


def counts(paused: dict[str, tuple[str, ...]]) -> dict[tuple[str, str], int]:
    """The same of many jobs."""
    return {(name, job): fired(name, job) for name, jobs in paused.items() for job in jobs}


def same_bytes(name: str, files: tuple[str, ...]) -> list[str]:
    """Which of the files are, content, mode and owner, what they were before."""
    host = connect(name)
    script = "cmp -s /root/before/%s %s && [ \"$(stat -c %%a:%%U:%%G /root/before/%s)\" = \"$(stat -c %%a:%%U:%%G %s)\" ] && echo same || echo differs"
    return [file for file in files if output(host, script % (file, PATHS[file], file, PATHS[file])) == "same"]


def restart(name: str) -> None:
    """Restart a host and wait until its cron is back."""
    subprocess.run(["docker" if shutil.which("docker") else "podman", "restart", "-t", "10", name], check=True, stdout=subprocess.DEVNULL)
    end = time.monotonic() + 60.0
    while connect(name).run("systemctl is-active cron.service").rc != 0 and time.monotonic() < end:
        time.sleep(1.0)


def test_what_is_paused_does_not_run_and_the_rest_does() -> None:
    before, others = counts(PAUSED), counts(NOT_PAUSED)
    time.sleep(65.0)
    assert counts(PAUSED) == before
    now = counts(NOT_PAUSED)
    assert [key for key in now if now[key] <= others[key]] == []


def test_nothing_runs_after_a_restart_within_the_lifetime() -> None:
    before = counts({"lab-3": PAUSED["lab-3"]})
    restart("lab-3")
    time.sleep(65.0)
    assert counts({"lab-3": PAUSED["lab-3"]}) == before
    assert output(connect("lab-3"), "systemctl is-enabled fire.timer") == "enabled"


def test_a_rollback_gives_the_same_bytes() -> None:
    assert same_bytes("lab-2", ("op",)) == []
    done = subprocess.run(
        [str(Path(sys.executable).parent / "ansible-playbook"), "oncall.pressure.rollback", "-i", str(ROOT / "inventories" / "lab"), "-l", "lab-2"],
        env=dict(os.environ, ANSIBLE_CONFIG=str(ROOT / "ansible.cfg")), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
    )
    assert done.returncode == 0, done.stdout.decode("utf-8", "backslashreplace")
    assert same_bytes("lab-2", ("op", "shop", "crontab")) == ["op", "shop", "crontab"]


def test_everything_resumes_by_itself() -> None:
    hosts = ("lab-1", "lab-3")
    end = time.monotonic() + 700.0
    left = set(hosts)
    while left and time.monotonic() < end:
        time.sleep(5.0)
        left = {name for name in left if len(same_bytes(name, tuple(PATHS))) < len(PATHS) or connect(name).run("systemctl is-active fire.timer").rc != 0}
    assert left == set()
    before = counts({name: PAUSED[name] for name in hosts})
    time.sleep(70.0)
    now = counts({name: PAUSED[name] for name in hosts})
    assert [key for key in now if now[key] <= before[key]] == []
    for name in hosts:
        left_over = "find /etc/systemd /run/systemd/system /etc/cron.d /var/spool/cron -name '*oncall-pressure*'"
        assert output(connect(name), left_over) == "", name
