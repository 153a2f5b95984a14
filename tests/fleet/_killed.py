# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The operator's run is killed at every step of a fleet remediation; the hosts are left to themselves, then looked at, then a second run finishes.

The steps are not listed here: a run that nobody disturbs is watched first, and every task that it began, on whichever host, is a step.
"""

from __future__ import annotations

import queue
import random
import re
import shutil
import signal
import threading
import time
from pathlib import Path
from typing import Any

import _fleet
import _report
import _guards
from _common import LabError
from _fleet import Host
from _play import Play
from _shapes import VARIABLES, acted, untouched

SHIPPED = "oncall.pressure.remediate"
SIGNALS = ("SIGKILL", "SIGTERM", "SIGINT")
# Long enough for a change to be confirmed, short enough to be waited for.
WITHIN_S = 60
KILLED = dict(VARIABLES, pressure_confirm_within=WITHIN_S, pressure_serial=1, pressure_cool_down=0)
# Every task is announced when it begins, on every host; and the name of a play says where batches end.
TALKATIVE = {"ANSIBLE_DISPLAY_OK_HOSTS": "true", "ANSIBLE_DISPLAY_SKIPPED_HOSTS": "true"}
BANNER = re.compile(r"^(?:TASK|PLAY) \[(.*?)\] \**$", re.MULTILINE)
# What comes before is a diagnosis, which changes nothing.
FIRST = "Act"
BEGINS = "Act, one host first #1"
NAMES: list[str] | None = None


def banners(said: str) -> list[str]:
    """The announcements so far, each with how often it had come, from the first that acts on."""
    counts: dict[str, int] = {}
    found = []
    for name in BANNER.findall(said):
        name = name.rpartition(" : ")[2]
        if not found and not name.startswith(FIRST):
            continue
        counts[name] = counts.get(name, 0) + 1
        found.append("{0} #{1}".format(name, counts[name]))
    return found


def lanes(hosts: list[Host]) -> list[list[Host]]:
    """Parts of the fleet that are worked on side by side: each with two sick hosts and healthy ones enough for a run to act."""
    sick = [host for host in hosts if host.sick]
    healthy = [host for host in hosts if not host.sick]
    count = min(len(sick) // 2, len(healthy) // 3)
    return [sick[2 * number:2 * number + 2] + healthy[3 * number:3 * number + 3] for number in range(count)]


def steps_of(lane: list[Host], folder: Path) -> list[str]:
    """Every step of a run that nobody disturbs."""
    _fleet.ready(lane)
    own = folder / "killed" / "undisturbed"
    shutil.rmtree(own, ignore_errors=True)
    own.mkdir(parents=True)
    play = Play(own, SHIPPED, str(_fleet.inventory(own, lane)), variables=KILLED, **TALKATIVE)
    play.wait()
    found = banners(play.said)
    if play.status != 0 or not found:
        raise LabError("a run that nobody disturbs ends with {0}: {1}".format(play.status, play.said[-400:]))
    return found


def attempt(step: str, kind: str, delay_s: float, lane: list[Host], folder: Path) -> dict[str, Any]:
    """One run, killed when it announces the step; what became of its hosts, what `status` says, and what a second run does."""
    _fleet.ready(lane)
    own = folder / "killed" / re.sub(r"[^A-Za-z0-9]+", "-", step + " " + kind)
    shutil.rmtree(own, ignore_errors=True)
    own.mkdir(parents=True)
    inventory = str(_fleet.inventory(own, lane))
    play = Play(own, SHIPPED, inventory, variables=KILLED, **TALKATIVE)
    row: dict[str, Any] = {"name": "{0}, {1}".format(step, kind), "wrong": [], "kind": kind, "step": step}
    hit = play.until(lambda: step in banners(play.said), 300)
    time.sleep(delay_s)
    ended = play.child.poll() is not None
    play.signal(getattr(signal, kind))
    play.wait()
    if not hit or ended:
        row["wrong"].append("it was over before it could be killed: " + play.said[-300:])
        return row
    said = banners(play.said)
    wrong = row["wrong"]
    if play.status == 0:
        wrong.append("exit status 0")
    open_before = [host for host in lane if host.sick and acted(host)]
    first = Play(own, "oncall.pressure.status", inventory)
    first.wait()
    wrong += [] if first.status == 0 else ["status ends with {0}: {1}".format(first.status, first.said[-300:])]
    wrong += ["status does not name {0}".format(host.name) for host in open_before if host.name not in first.said]
    states = []
    for host in [host for host in lane if host.sick]:
        state, bad = _guards.whole(host)
        states.append(state)
        wrong += bad
    wrong += untouched([host for host in lane if not host.sick])
    # nobody kills this one: its deadline is the usual one, which a crowded machine does not reach
    again = Play(own, SHIPPED, inventory, variables=dict(KILLED, pressure_confirm_within=900))
    again.wait()
    if again.status != 0:
        wrong.append("a second run ends with {0}: {1}".format(again.status, again.said[-500:]))
    for host in [host for host in lane if host.sick]:
        state, bad = _guards.whole(host)
        wrong += bad if state == "new" else ["{0} is {1} after a second run".format(host.name, state), *bad]
    wrong += untouched([host for host in lane if not host.sick])
    row["states"] = states
    row["said"] = "hosts {0}; it had announced {1} steps".format(" and ".join(states), len(said))
    return row


def part(hosts: list[Host], randomly: random.Random, fast: bool, folder: Path) -> list[dict[str, Any]]:
    """Every step with one of the signals each (all three in turn, from a random one on); of a short run one moment."""
    benches = lanes(hosts)
    start = randomly.randrange(len(SIGNALS))
    if fast:
        # no run is watched before: it is killed some seconds after it began to act, wherever it is then
        cases = [(BEGINS, SIGNALS[start], randomly.uniform(0, 10.0))]
    else:
        steps = steps_of(benches[0], folder)
        cases = [(step, SIGNALS[(start + number) % len(SIGNALS)], randomly.uniform(0, 1.0)) for number, step in enumerate(steps)]
    if NAMES is not None:
        cases = [case for case in cases if any(name in case[0] for name in NAMES)]
    waiting: queue.Queue[tuple[str, str, float]] = queue.Queue()
    for case in cases:
        waiting.put(case)
    rows: list[dict[str, Any]] = []
    writing = threading.Lock()

    def lane(own: list[Host]) -> None:
        while True:
            try:
                case = waiting.get_nowait()
            except queue.Empty:
                return
            try:
                row = attempt(*case, own, folder)
            except LabError as problem:
                row = {"name": "{0}, {1}".format(*case), "wrong": [str(problem)]}
            with writing:
                rows.append(row)
                _report.note("killed", row)

    threads = [threading.Thread(target=lane, args=(own,)) for own in benches]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return rows
