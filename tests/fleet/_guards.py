# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What stops a run before or between hosts: most hosts of a service sick, a pause file, another operator."""

from __future__ import annotations

import random
import shutil
from pathlib import Path
from typing import Any, Callable

import _fleet
import _report
from _common import LabError
from _fleet import DATA, Host
from _play import Play
from _shapes import VARIABLES, acted, untouched, wholly_old

SHIPPED = "oncall.pressure.remediate"
RULE = "web.too_many_workers_for_memory"


def _own(folder: Path, name: str) -> Path:
    own = folder / "guards" / name
    shutil.rmtree(own, ignore_errors=True)
    own.mkdir(parents=True)
    return own


def _held(play: Play, hosts: list[Host], words: str) -> list[str]:
    """Nothing was changed, the exit status says so, and the plan says why."""
    wrong = untouched(hosts)
    if play.status == 0:
        wrong.append("exit status 0")
    plan = play.document("plan.json") or {"hosts": {}}
    reasons = {str(row["held"]) for row in plan["hosts"].values()}
    if not plan["hosts"] or not all(words in reason for reason in reasons):
        wrong.append("the plan says: {0}".format("; ".join(sorted(reasons))[:300] or play.said[-300:]))
    return wrong


def every_host_sick(hosts: list[Host], folder: Path) -> list[str]:
    """All hosts are over the threshold: the cause is on none of them."""
    own = _own(folder, "every_host_sick")
    everywhere = {host.name: {"pressure_thresholds": {RULE: {"used_pct": {"enter": 10, "leave": 8}}}} for host in hosts}
    play = Play(own, SHIPPED, str(_fleet.inventory(own, hosts, everywhere)), variables=VARIABLES)
    play.wait()
    return _held(play, hosts, "half" if "half" in play.line else "fleet-web.service")


def unreached_count_as_sick(hosts: list[Host], folder: Path) -> list[str]:
    """Fewer than half are sick, and so many do not answer that more than half are not well."""
    own = _own(folder, "unreached_count_as_sick")
    sick = [host for host in hosts if host.sick]
    gone = [host for host in hosts if not host.sick][:len(hosts) // 2 + 1 - len(sick)]
    for host in gone:
        host.ask("cut")
    try:
        play = Play(own, SHIPPED, str(_fleet.inventory(own, hosts)), variables=VARIABLES)
        play.wait()
    finally:
        for host in gone:
            host.ask("mend")
    # what was cut off has another sshd, which is no change of the run's
    return _held(play, hosts, "fleet-web.service") + ([] if gone else ["no host was cut off, so nothing was tried"])


def changed_hosts_count_as_sick(hosts: list[Host], folder: Path) -> list[str]:
    """What was mended a moment ago counts: else a run after the other would change a whole fleet."""
    own = _own(folder, "changed_hosts_count_as_sick")
    sick = [host for host in hosts if host.sick]
    rest = [host for host in hosts if not host.sick]
    inventory = str(_fleet.inventory(own, hosts))
    first = Play(own, "oncall.pressure.lower_workers", inventory, "-l", "web", variables=dict(
        VARIABLES, pressure_hosts=",".join(host.name for host in sick), pressure_service=DATA["service"], pressure_serial=len(sick)))
    if first.wait() != 0:
        raise LabError("the hosts could not be changed before: " + first.said[-300:])
    _fleet.each(hosts, "record", name="old")
    more = rest[:len(hosts) // 2 + 1 - len(sick)]
    others = {host.name: {"pressure_thresholds": {RULE: {"used_pct": {"enter": 10, "leave": 8}}}} for host in more}
    play = Play(own, SHIPPED, str(_fleet.inventory(own, hosts, others)), variables=VARIABLES)
    play.wait()
    return _held(play, hosts, "fleet-web.service") + ([] if more else ["no further host was sick, so nothing was tried"])


def paused_from_the_start(hosts: list[Host], folder: Path) -> list[str]:
    """The pause file is there before anything is begun."""
    own = _own(folder, "paused_from_the_start")
    (own / "pause").write_text("")
    play = Play(own, SHIPPED, str(_fleet.inventory(own, hosts)), variables=dict(VARIABLES, pressure_pause_file=str(own / "pause")))
    play.wait()
    wrong = untouched(hosts)
    wrong += ["exit status 0"] if play.status == 0 else []
    return wrong + ([] if "pause" in play.line else ["it does not say why: " + play.said[-300:]])


def paused_after_the_first(hosts: list[Host], folder: Path) -> list[str]:
    """The pause file comes while the first host is changed: that one is ended as it must, no other is begun."""
    own = _own(folder, "paused_after_the_first")
    sick = [host for host in hosts if host.sick]
    play = Play(own, SHIPPED, str(_fleet.inventory(own, hosts)), variables=dict(VARIABLES, pressure_pause_file=str(own / "pause")))
    play.until(lambda: any(acted(host) for host in sick), 300)
    (own / "pause").write_text("")
    play.wait()
    begun = [host for host in sick if acted(host)]
    wrong = [] if len(begun) == 1 else ["{0} hosts were begun".format(len(begun))]
    wrong += ["exit status 0"] if play.status == 0 else []
    for host in begun[:1]:
        last = host.ask("journals")["journals"][-1]["last"]
        wrong += [] if last in ("confirmed", "undone") else ["{0} ends as {1}".format(host.name, last)]
    return wrong + untouched([host for host in hosts if host not in begun[:1]])


def two_operators(hosts: list[Host], folder: Path) -> list[str]:
    """Two begin at the same moment with the same hosts: no host is ever changed by both at once."""
    inventories = [_own(folder, "two_operators_" + name) for name in ("ada", "ben")]
    sick = [host for host in hosts if host.sick][:3]
    few = sick + [host for host in hosts if not host.sick][:5]
    plays = [Play(own, SHIPPED, str(_fleet.inventory(own, few)), variables=VARIABLES, LOGNAME=own.name[-3:]) for own in inventories]
    statuses = [play.wait() for play in plays]
    wrong = []
    both = 0
    for host in sick:
        rest = host.ask("at_rest", timeout_s=60)
        wrong += [] if rest["rest"] else ["{0} is not at rest: {1}".format(host.name, rest)]
        rows = sorted((row for row in rest["journals"] if row["acts_s"]), key=lambda row: row["acts_s"])
        both += len({row["owner"] for row in rows}) > 1
        for before, after in zip(rows, rows[1:]):
            if before["acts_s"][1] > after["acts_s"][0]:
                wrong.append("{0} was changed by {1} and {2} at once".format(host.name, before["owner"], after["owner"]))
        answer = host.ask("compare", name="old", pids=False)
        if rows and rows[-1]["last"] == "confirmed" and not 0 < answer["workers"] < host.workers:
            wrong.append("{0} has {1} workers".format(host.name, answer["workers"]))
    if not any(acted(host) for host in sick):
        wrong.append("neither changed anything, so nothing was tried: {0} {1}".format(statuses, plays[0].said[-300:]))
    return wrong + untouched([host for host in hosts if host not in sick])


def read_only_after_the_plan(hosts: list[Host], folder: Path) -> list[str]:
    """The first host is made read-only when the plan is made: it refuses, and nobody else is begun."""
    own = _own(folder, "read_only_after_the_plan")
    sick = [host for host in hosts if host.sick]
    play = Play(own, SHIPPED, str(_fleet.inventory(own, hosts)), variables=VARIABLES)
    play.until(lambda: play.document("plan.json") is not None, 300)
    _fleet.each(sick, "write", files={"/etc/oncall-pressure/read-only": ""})
    play.wait()
    _fleet.each(sick, "write", files={"/etc/oncall-pressure/read-only": None})
    wrong = ["exit status 0"] if play.status == 0 else []
    touched = [host.name for host in sick if acted(host)]
    wrong += ["changed though read-only: " + ", ".join(touched)] if touched else []
    return wrong + untouched([host for host in hosts if host not in sick])


CASES: dict[str, Callable[[list[Host], Path], list[str]]] = {
    "every_host_sick": every_host_sick, "unreached_count_as_sick": unreached_count_as_sick, "changed_hosts_count_as_sick": changed_hosts_count_as_sick,
    "paused_from_the_start": paused_from_the_start, "paused_after_the_first": paused_after_the_first, "two_operators": two_operators,
    "read_only_after_the_plan": read_only_after_the_plan,
}
NAMES: list[str] | None = None
FAST = ("two_operators",)


def part(hosts: list[Host], randomly: random.Random, fast: bool, folder: Path) -> list[dict[str, Any]]:
    rows = []
    for name, case in CASES.items():
        if (fast and name not in FAST) or (NAMES is not None and name not in NAMES):
            continue
        _fleet.ready(hosts)
        try:
            wrong = case(hosts, folder)
        except LabError as problem:
            wrong = [str(problem)]
        rows.append({"name": name, "wrong": wrong, "said": (case.__doc__ or "").strip()})
        _report.note("guards", rows[-1])
    return rows


def whole(host: Host) -> tuple[str, list[str]]:
    """old, new or between, by its journal and by what it is; and what is wrong."""
    rows = host.ask("at_rest", timeout_s=120)
    wrong = [] if rest_of(rows) else ["{0} is not at rest: {1}".format(host.name, rows)]
    kept = any(row["last"] == "confirmed" for row in rows["journals"])
    if not kept:
        bad = wholly_old(host, "the end of the run")
        return ("between" if bad else "old"), wrong + bad
    answer = host.ask("compare", name="old", pids=False)
    if not 0 < answer["workers"] < host.workers:
        return "between", wrong + ["{0} is confirmed and has {1} workers".format(host.name, answer["workers"])]
    return "new", wrong


def rest_of(answer: dict[str, Any]) -> bool:
    return bool(answer["rest"]) and not any(row["torn"] > 1 for row in answer["journals"])
