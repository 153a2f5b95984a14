# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The one client gets 429 on the one path, nobody else loses anything, and a rollback puts back every byte and the running nginx."""

from __future__ import annotations

import collections
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from lab_hosts import NAMES, connect, output

ROOT = Path(__file__).resolve().parents[3]
SCENARIO = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"])
CULPRIT = "192.88.99.7"

#: Asks from an address of the network of clients; prints the statuses.
ASK = """ip netns exec crowd python3 -c "
import http.client
for number in range({count}):
    c = http.client.HTTPConnection('10.231.77.1', 80, timeout=20, source_address=('{source}', 0))
    c.request('GET', '{path}'); print(c.getresponse().status)
" """


def ask(name: str, source: str, path: str, count: int) -> dict[str, int]:
    """Statuses by how often they came."""
    return collections.Counter(output(connect(name), ASK.format(count=count, source=source, path=path)).split())


def logged(name: str, seconds: float) -> dict[tuple[str, str], int]:
    """(client, status) of what the load's clients were answered while we watched, from the access log."""
    host = connect(name)
    log = output(host, "ls -t /var/log/nginx/*.log | grep -v error | head -1")
    start = int(output(host, "wc -c < " + log))
    time.sleep(seconds)
    counts: dict[tuple[str, str], int] = collections.Counter()
    for line in output(host, "tail -c +%d %s" % (start + 1, log)).splitlines():
        client, status = re.search(r"192\.88\.99\.\d+", line), re.search(r'(?:" |"status": ?"?)(\d{3})\b', line)
        if client and status:
            counts[client.group(), status.group(1)] += 1
    return counts


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
def test_the_one_client_is_refused_and_others_lose_nothing_while_it_goes_on(name: str) -> None:
    counts = logged(name, 15)
    culprit: dict[str, int] = collections.Counter()
    others: dict[str, int] = collections.Counter()
    for (client, status), number in counts.items():
        (culprit if client == CULPRIT else others)[status] += number
    assert culprit.get("429", 0) > 0.7 * sum(culprit.values()), counts
    assert set(others) == {"200"} and sum(others.values()) >= 10, counts


@pytest.mark.parametrize("name", NAMES)
def test_another_address_may_ask_for_the_same_path(name: str) -> None:
    assert ask(name, "192.88.99.77", "/export", 25) == {"200": 25}


@pytest.mark.parametrize("name", NAMES)
def test_the_client_may_ask_for_other_paths(name: str) -> None:
    for path in ("/", "/export2", "/exports/1", "/Export"):
        assert ask(name, CULPRIT, path, 15) == {"200": 15}, path


@pytest.mark.parametrize("name", NAMES)
def test_other_spellings_of_the_path_are_limited_too(name: str) -> None:
    for path in ("/export?x=1", "//export", "/a/../export", "/%65xport"):
        assert ask(name, CULPRIT, path, 15).get("429", 0) > 5, path


def test_rollback_puts_everything_back() -> None:
    play("rollback", "-l", "containers")
    for name in NAMES:
        host = connect(name)
        was = (SCENARIO / ("before-" + name)).read_text(encoding="utf-8").splitlines()
        now = output(host, "find /etc -xdev ! -type d -printf '%p %m %u %g %l\\n' | sort; find /etc -xdev -type f -exec sha256sum {} + | sort").splitlines()
        assert sorted(line.rstrip() for line in now) == sorted(
            line.rstrip() for line in was if line.startswith("/etc/") or re.match(r"[0-9a-f]{64}  /etc/", line)), name
        assert output(host, "nginx -T 2>/dev/null | sha256sum") in was, name
        assert ask(name, CULPRIT, "/export", 25) == {"200": 25}, name


def test_nothing_is_left_open() -> None:
    text = play("status", "-l", "containers")
    assert "open" not in text.splitlines()[-1] and "critical" not in text
