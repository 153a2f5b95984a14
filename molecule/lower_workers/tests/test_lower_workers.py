# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fewer workers run by the kernel's own count, the next start has as few, and a rollback puts everything back."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from lab_hosts import NAMES, connect, output

ROOT = Path(__file__).resolve().parents[3]

#: Web workers before and after, by host.
COUNTS = {"lab-1": (2, 1), "lab-2": (2, 1), "lab-3": (3, 2)}


def main_pid(name: str, service: str) -> str:
    """The service's main process."""
    host = connect(name)
    if service.startswith("supervisor:"):
        return output(host, "supervisorctl pid %s" % service.partition(":")[2])
    return output(host, "systemctl show -P MainPID %s" % service)


def workers(name: str, service: str) -> int:
    """Children of the service's main process that live."""
    found = output(connect(name), "ps --no-headers -o pid,stat,args --ppid %s | grep -v resource_tracker || true" % main_pid(name, service))
    return len([line for line in found.splitlines() if line.split()[1][0] not in "ZX"])


def play(playbook: str, *words: str) -> str:
    """Run a playbook of the collection against the lab; it must succeed."""
    done = subprocess.run(
        [str(Path(sys.executable).parent / "ansible-playbook"), "oncall.pressure." + playbook, "-i", str(ROOT / "inventories" / "lab"), *words],
        env=dict(os.environ, ANSIBLE_CONFIG=str(ROOT / "ansible.cfg")), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
    )
    text = done.stdout.decode("utf-8", "backslashreplace")
    assert done.returncode == 0, text
    return text


@pytest.mark.parametrize("name", NAMES)
def test_fewer_workers_run(name: str) -> None:
    assert workers(name, "shop-web.service") == COUNTS[name][1]
    assert output(connect(name), "systemctl is-active shop-web.service") == "active"


def test_fewer_children_of_celery_run() -> None:
    assert workers("lab-3", "supervisor:shop-jobs") == 1


def test_the_old_uvicorn_was_never_signalled() -> None:
    host = connect("lab-1")
    assert workers("lab-1", "shop-api.service") == 2
    states = output(host, "ps --no-headers -o stat --pid %s --ppid %s" % ((main_pid("lab-1", "shop-api.service"),) * 2)).split()
    assert len(states) >= 3 and not [state for state in states if state[0] in "TtZ"]


@pytest.mark.parametrize("name", NAMES)
def test_the_next_start_has_as_few(name: str) -> None:
    host = connect(name)
    output(host, "systemctl restart shop-web.service")
    until = time.monotonic() + 60
    while not workers(name, "shop-web.service") and time.monotonic() < until:
        time.sleep(0.5)
    # were there more to come, they would come now
    time.sleep(3)
    assert workers(name, "shop-web.service") == COUNTS[name][1]


@pytest.mark.parametrize("name", NAMES)
def test_the_service_answers(name: str) -> None:
    script = "import urllib.request as u; print(u.urlopen('http://127.0.0.1/', timeout=10).status)"
    assert output(connect(name), 'python3 -c "%s"' % script) == "200"


def test_rollback_puts_everything_back() -> None:
    play("rollback", "-l", "containers")
    for name in NAMES:
        host = connect(name)
        assert workers(name, "shop-web.service") == COUNTS[name][0], name
        assert output(host, "systemctl cat shop-web.service | grep -c ExecStart=") == "1", name
        shipped = "/usr/share/lab/hosts/%s" % name
        files = output(host, "cd %s && find etc -type f" % shipped).split()
        for path in files:
            assert output(host, "cmp %s/%s /%s && echo same" % (shipped, path, path)) == "same", (name, path)
        assert output(host, "find /etc/systemd/system /etc/supervisor -newer /usr/share/lab/hosts/%s/units -name '*oncall*' -o -name '*pressure*'" % name) == ""
    assert workers("lab-3", "supervisor:shop-jobs") == 2


def test_nothing_is_left_open() -> None:
    text = play("status", "-l", "containers")
    assert "open" not in text.splitlines()[-1] and "critical" not in text
