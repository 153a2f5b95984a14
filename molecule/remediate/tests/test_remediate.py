# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A check changes nothing, what is applied from the plan ends the kills by the kernel's own count, status says it, a rollback puts everything back."""

from __future__ import annotations

import json
import importlib
import os
import subprocess
import sys
import time
import typing as t
from pathlib import Path

import pytest
from lab_hosts import connect, output

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "tests" / "lab"))

_incidents = importlib.import_module("_incidents")

EPHEMERAL = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"])
DRAWN = _incidents.drawn("gunicorn_workers_memory", int((EPHEMERAL / "seed").read_text(encoding="utf-8")))["values"]
UNIT: str = DRAWN["unit"]
WORKERS = 8

#: The hosts, the user who logs in, and the folder of that user's reports.
HOSTS = {"lab-1": "root", "lab-2": "op"}

LOOK = (
    "find /etc /run/systemd/system /run/systemd/system.control -xdev ! -type d -printf '%p %m %u %g %l\\n' 2>/dev/null | sort;"
    " find /etc /run/systemd/system /run/systemd/system.control -xdev -type f -exec sha256sum {} + 2>/dev/null | sort"
)


def play(playbook: str, host: str, *words: str) -> tuple[int, str]:
    """Run a playbook of the collection against a host of the lab as its user."""
    done = subprocess.run(
        [str(Path(sys.executable).parent / "ansible-playbook"), "oncall.pressure." + playbook, "-i", str(ROOT / "inventories" / "lab"), "-l", host,
         "-e", "ansible_user=%s" % HOSTS[host], "-e", "pressure_report_dir=%s" % (EPHEMERAL / HOSTS[host]), *words],
        env=dict(os.environ, ANSIBLE_CONFIG=str(ROOT / "ansible.cfg")), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
    )
    return done.returncode, done.stdout.decode("utf-8", "backslashreplace")


def workers(host: str) -> int:
    """Children of the service's main process that live."""
    found = output(connect(host), "ps --no-headers -o stat --ppid $(systemctl show -P MainPID %s) || true" % UNIT)
    return len([line for line in found.split() if line[0] not in "ZX"])


def kills(host: str) -> int:
    """The kernel's counter of kills in the service's group."""
    group = output(connect(host), "systemctl show -P ControlGroup %s" % UNIT)
    said = output(connect(host), "cat /sys/fs/cgroup/memory%s/memory.oom_control /sys/fs/cgroup%s/memory.events 2>/dev/null || true" % (group, group))
    return int(next(line.split()[1] for line in said.splitlines() if line.startswith("oom_kill ")))


def plan(host: str) -> dict[str, t.Any]:
    return t.cast("dict[str, t.Any]", json.loads((EPHEMERAL / HOSTS[host] / "latest" / "plan.json").read_text(encoding="utf-8")))


@pytest.mark.parametrize("host", HOSTS)
def test_the_plan_is_the_least_risky_step_first(host: str) -> None:
    row = plan(host)["hosts"][host]
    assert row["act"]
    assert (row["steps"][0]["mitigation"], row["steps"][0]["variables"]) == ("lower_workers", {"pressure_service": UNIT})
    # what loses work is not done by itself
    assert [step["mitigation"] for step in row["steps"] if step["held"] is None and step["loses_work"]] == []


def test_a_check_changes_nothing() -> None:
    host = "lab-1"
    before = output(connect(host), LOOK)
    status, text = play("remediate", host, "--check", "--diff", "-e", "pressure_mode=apply")
    assert status == 0, text
    assert "lower_workers of %s" % UNIT in text
    assert output(connect(host), LOOK) == before


@pytest.mark.parametrize("host", HOSTS)
def test_it_is_remediated_and_put_back(host: str) -> None:
    before, killed = output(connect(host), LOOK), kills(host)
    assert killed > 0
    words = ["-e", "pressure_mode=apply", "-e", "pressure_settle=10", "-e", "pressure_stable_for=10"]
    # as root from the plan that was written, as the other user afresh
    written = EPHEMERAL / "written.json"
    if HOSTS[host] == "root":
        written.write_text(json.dumps(plan(host)), encoding="utf-8")
        words += ["-e", "pressure_plan=%s" % written]
    status, text = play("remediate", host, *words)
    assert status == 0, text
    outcome = json.loads((EPHEMERAL / HOSTS[host] / "latest" / "outcomes" / (host + ".json")).read_text(encoding="utf-8"))
    assert outcome["state"] in ("closed", "improved"), text
    assert [(step["mitigation"], step["state"]) for step in outcome["steps"]][:1] == [("lower_workers", "confirmed")]
    fewer, killed = workers(host), kills(host)
    assert 1 <= fewer < WORKERS
    time.sleep(10)
    assert kills(host) == killed, "it is killed still"
    status, text = play("status", host)
    assert status == 0 and "IN EFFECT" in text and UNIT in text, text
    status, text = play("rollback", host, "-e", "pressure_incident=%s" % outcome["steps"][0]["incident"])
    assert status == 0 and "UNDONE" in text, text
    assert output(connect(host), LOOK) == before
    until = time.monotonic() + 60
    while workers(host) != WORKERS and time.monotonic() < until:
        time.sleep(0.5)
    assert workers(host) == WORKERS
