# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One worker was replaced and none is missing, the next start has the limits, and a rollback takes them away."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from lab_hosts import NAMES, connect, output

ROOT = Path(__file__).resolve().parents[3]

#: The service whose workers are recycled, and how many it has, by host.
SERVICES = {"lab-1": ("shop-web.service", 2), "lab-2": ("shop-web.service", 2), "lab-3": ("shop-api.service", 2)}


def ages(name: str, service: str) -> list[int]:
    """Seconds since each worker was started, youngest first, and last the main process."""
    host = connect(name)
    pid = output(host, "systemctl show -P MainPID %s" % service)
    found = output(host, "ps --no-headers -o etimes,stat,args --ppid %s | grep -v resource_tracker || true" % pid)
    workers = [int(line.split()[0]) for line in found.splitlines() if line.split()[1][0] not in "ZX"]
    return [*sorted(workers), int(output(host, "ps --no-headers -o etimes --pid %s" % pid))]


def command(name: str, service: str) -> str:
    """The command of the unit as its manager has it loaded."""
    return output(connect(name), "systemctl show -P ExecStart %s" % service)


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
def test_one_worker_was_replaced_and_none_is_missing(name: str) -> None:
    service, count = SERVICES[name]
    *workers, main = ages(name, service)
    assert len(workers) == count
    # one is younger than the other, and their main process was never restarted
    assert workers[-1] - workers[0] > 5
    assert main >= workers[-1]


def test_the_limits_are_those_asked_for_or_computed() -> None:
    assert "--max-requests 700 " in command("lab-1", "shop-web.service")
    assert "--max-requests-jitter 70 " in command("lab-1", "shop-web.service")
    # 2 requests a second for 2 workers, and half an hour
    assert "--limit-max-requests 1800 " in command("lab-3", "shop-api.service")
    assert "--limit-max-requests-jitter 180 " in command("lab-3", "shop-api.service")
    assert "--max-requests 450 " in command("lab-2", "shop-web.service")
    # measured through nginx: at least what was asked for in the last ten minutes
    words = command("lab-2", "shop-api.service").split()
    assert int(words[words.index("--max-requests") + 1]) >= 100
    assert output(connect("lab-3"), "grep -c 'max-tasks-per-child[= ]100' /etc/supervisor/conf.d/shop-jobs.conf") == "1"


@pytest.mark.parametrize("name", NAMES)
def test_the_service_starts_with_them(name: str) -> None:
    service, count = SERVICES[name]
    host = connect(name)
    output(host, "systemctl restart %s" % service)
    until = time.monotonic() + 60
    while len(ages(name, service)) != count + 1 and time.monotonic() < until:
        time.sleep(0.5)
    time.sleep(3)
    assert output(host, "systemctl is-active %s" % service) == "active"
    assert len(ages(name, service)) == count + 1


TIMER = "oncall-pressure-recycle-shop-web"


def replaced_by_the_timer() -> str:
    """What the timer starts, started now; its last line."""
    host = connect("lab-1")
    output(host, "systemctl start %s.service" % TIMER)
    return output(host, "journalctl -u %s.service -o cat | grep '^shop-web.service: ' | tail -n 1" % TIMER)


def test_the_timer_waits_and_replaces_all_workers_one_at_a_time() -> None:
    host = connect("lab-1")
    assert output(host, "systemctl show -P ActiveState -P SubState %s.timer" % TIMER).split() == ["active", "waiting"]
    assert TIMER + ".timer" in output(host, "systemctl show -P Wants timers.target").split()
    main = output(host, "systemctl show -P MainPID shop-web.service")
    before = set(output(host, "pgrep -P %s" % main).split())
    assert replaced_by_the_timer() == "shop-web.service: all 2 workers replaced"
    after = set(output(host, "pgrep -P %s" % main).split())
    assert len(before) == len(after) == 2 and not before & after
    *workers, dummy = ages("lab-1", "shop-web.service")
    # the second came when the first had a successor, and some seconds had passed
    assert workers[1] - workers[0] >= 4


def test_the_timer_leaves_a_host_alone_that_is_read_only() -> None:
    host = connect("lab-1")
    output(host, "mkdir -p /etc/oncall-pressure && touch /etc/oncall-pressure/read-only")
    try:
        assert "0 of 2 workers replaced; then left alone: this host is set to read-only" in replaced_by_the_timer()
    finally:
        output(host, "rm -r /etc/oncall-pressure")


def test_the_old_uvicorn_kept_its_workers() -> None:
    *workers, main = ages("lab-1", "shop-api.service")
    assert len(workers) == 2 and main >= workers[-1] and workers[-1] - workers[0] < 5


def test_rollback_takes_the_limits_away() -> None:
    play("rollback", "-l", "containers")
    for name in NAMES:
        host = connect(name)
        files = output(host, "cd /usr/share/lab/hosts/%s && find etc -type f" % name).split()
        for path in files:
            assert output(host, "cmp /usr/share/lab/hosts/%s/%s /%s && echo same" % (name, path, path)) == "same", (name, path)
        # the drop-ins, and all that the timer was made of
        assert output(host, "find /etc/systemd /var/lib/oncall-pressure -name '*pressure-recycle*' -o -path '*.service.d/*' -name '*pressure*'") == "", name
    assert output(connect("lab-1"), "systemctl show -P LoadState %s.timer" % TIMER) == "not-found"
    assert "--max-requests 1000 " in command("lab-1", "shop-web.service")


def test_nothing_is_left_open() -> None:
    text = play("status", "-l", "containers")
    assert "open" not in text.splitlines()[-1] and "critical" not in text
