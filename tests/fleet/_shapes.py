# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every shape of play with every failure of its first host: who was changed, by comparison of whole hosts, and how the run ended."""

from __future__ import annotations

import json
import random
import shutil
import threading
import time
from pathlib import Path
from typing import Any

import _fleet
import _report
from _common import LabError
from _fleet import DATA, Host
from _play import Play

ROLE = "oncall.pressure.remediate"
# Where the run before keeps its documents, as its play registered it.
RUN_FOLDER = "{{ __diagnose_run.path }}"
ACT = "oncall_pressure_act"
CHOSEN = "oncall_pressure_{{ (inventory_hostname in __remediate_planned.act) | ternary('act', 'leave') }}"
KINDS = ("fails", "unreachable", "rescued")
# Long enough for a change to be confirmed on a busy machine; and short enough to be waited for, where the host is lost and must undo it by itself.
WITHIN_S = 120
LOST_WITHIN_S = 40
VARIABLES: dict[str, Any] = {"pressure_mode": "apply", "pressure_window": 0.3, "pressure_settle": 1, "pressure_patience": 12, "pressure_stable_for": 2,
                             "pressure_confirm_within": WITHIN_S, "pressure_timeout": 60}
# Nothing listens there: what asks it whether a service is well is told no.
DEAD_URL = "http://127.0.0.1:9/"
# Set by the command line.
NAMES: list[str] | None = None
ONLY_KINDS: list[str] | None = None
BARE = False


def declared() -> list[dict[str, Any]]:
    """The shapes by name."""
    found = _fleet.data_of("shapes.yml")
    for row in found:
        # anchors of YAML give the same object twice, and each shape is changed on its own
        row.update(json.loads(json.dumps(row)))
    return [row for row in found if NAMES is None or row["name"] in NAMES]


def playbook(shape: dict[str, Any], folder: Path, rescued: bool) -> str:
    """The playbook of a user that has this shape; `rescued` wraps its tasks in a block that swallows every failure."""
    if "playbook" in shape and not BARE:
        return shape["playbook"]
    role = "oncall.pressure.lower_workers" if BARE else ROLE
    shape = json.loads(json.dumps(shape).replace('"ROLE"', json.dumps(role)))
    play: dict[str, Any] = {"name": "Act", "hosts": ACT, "order": "sorted", "gather_facts": False, "become": True}
    if not BARE:
        play["vars"] = {"remediate_report_dir": str(folder / "reports" / "latest")}
    play.update(shape.get("play", {"serial": 1}))
    act = [{"name": "Act", "ansible.builtin.include_role": {"name": role}}]
    for part in ("pre_tasks", "tasks", "post_tasks", "handlers"):
        if part in shape:
            play[part] = shape[part]
    if "tasks" not in play and "roles" not in play:
        play["tasks"] = act
    if rescued:
        if "roles" in play:
            # a role of a play cannot be in a block
            play["tasks"] = act
            del play["roles"]
        swallow = [{"name": "Swallow it", "ansible.builtin.debug": {"msg": "all is well"}}]
        play["tasks"] = [{"name": "Whatever comes", "block": play["tasks"], "rescue": swallow}]
    (folder / "act.yml").write_text(json.dumps(act), encoding="utf-8")
    path = folder / "site.yml"
    path.write_text(json.dumps([play], indent=1), encoding="utf-8")
    return str(path)


# The plan of each set of hosts, made once: they are put back between cases, and what a plan is for is looked at anew by every run.
_PLANS: dict[str, Path] = {}


def planned(hosts: list[Host], folder: Path) -> Path:
    """The documents of a run that diagnosed and planned: what a user's own play acts by."""
    key = "-".join(str(host.number) for host in hosts)
    if key not in _PLANS:
        own = _fresh(folder / "planned-{0}".format(key))
        plays = [{"import_playbook": "oncall.pressure.diagnose"},
                 {"name": "Plan", "hosts": "all", "gather_facts": False, "become": True, "vars": {"remediate_report_dir": RUN_FOLDER},
                  "tasks": [{"name": "Plan", "ansible.builtin.import_role": {"name": ROLE, "tasks_from": "plan"}}]}]
        (own / "plan.yml").write_text(json.dumps(plays), encoding="utf-8")
        play = Play(own, str(own / "plan.yml"), str(_fleet.inventory(own, hosts)), variables=VARIABLES)
        play.wait()
        acting = [name for name, row in (play.document("plan.json") or {"hosts": {}})["hosts"].items() if row["act"]]
        if play.status != 0 or sorted(acting) != sorted(host.name for host in hosts if host.sick):
            raise LabError("not the sick hosts are planned for: {0} {1}".format(acting, play.said[-400:]))
        _PLANS[key] = (own / "reports" / "latest").resolve()
    return _PLANS[key]


def _fresh(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def start(shape: dict[str, Any], rescued: bool, hosts: list[Host], own: Path, extra: dict[str, dict[str, Any]], variables: dict[str, Any]) -> Play:
    """The playbook of a shape, begun. A user's play acts by a plan that was made before; the shipped one makes its own."""
    if "playbook" not in shape and not BARE:
        shutil.copytree(planned(hosts, own.parent), own / "reports" / "latest")
    groups = {ACT: [host.name for host in hosts if host.sick]} if "playbook" not in shape or BARE else {}
    return Play(own, playbook(shape, own, rescued), str(_fleet.inventory(own, hosts, extra, groups)), variables=variables)


class Hurt(threading.Thread):
    """Takes away the first host whose journal says that the change was made, whichever it is."""

    def __init__(self, hosts: list[Host], how: str) -> None:
        super().__init__(daemon=True)
        self.hosts = hosts
        self.how = how
        self.taken: Host | None = None
        self.over = threading.Event()

    def run(self) -> None:
        while not self.over.is_set():
            for host in self.hosts:
                if self.taken is None and host.ask("wait", state="applied", timeout_s=0)["seen"]:
                    self.taken = host
                    if self.how == "paused":
                        host.pause()
                    else:
                        host.ask("cut")
                    return
            self.over.wait(0.1)

    def heal(self) -> None:
        self.over.set()
        if self.taken is not None and self.how == "paused":
            self.taken.unpause()
        self.join(60)
        if self.taken is not None:
            self.taken.ask("mend")


def untouched(hosts: list[Host]) -> list[str]:
    """A line for each host that is not exactly as it was."""
    return ["{0} was changed: {1}".format(name, "; ".join(answer["differences"][:3]))
            for name, answer in _fleet.each(hosts, "compare", name="old", pids=True).items() if answer["differences"]]


def wholly_old(host: Host, why: str) -> list[str]:
    """What is wrong with a host that must have gone back to what it was."""
    rest = host.ask("at_rest", timeout_s=WITHIN_S + 20)
    wrong = [] if rest["rest"] else ["{0} is not at rest after {1}: {2}".format(host.name, why, rest)]
    until = time.monotonic() + 15
    answer = host.ask("compare", name="old", pids=False)
    while answer["differences"] and time.monotonic() < until:
        time.sleep(0.5)
        answer = host.ask("compare", name="old", pids=False)
    if answer["differences"]:
        wrong.append("{0} is not what it was: {1}".format(host.name, "; ".join(answer["differences"][:4])))
    return wrong


def acted(host: Host) -> bool:
    """Whether something was really done on a host, by its own journal."""
    return any("applied" in row["states"] for row in host.ask("journals")["journals"])


def attempt(shape: dict[str, Any], kind: str, hosts: list[Host], folder: Path) -> dict[str, Any]:
    """One shape, one failure of whichever host comes first. Were another to begin, it would fail as well: that it was begun is what is looked for."""
    _fleet.ready(hosts)
    sick = [host for host in hosts if host.sick]
    variables = dict(VARIABLES)
    if kind == "unreachable":
        variables["pressure_confirm_within"] = LOST_WITHIN_S
    if BARE:
        variables["pressure_service"] = DATA["service"]
    own = _fresh(folder / "{0}-{1}".format(shape["name"], kind))
    extra = {host.name: {"pressure_probe_url": DEAD_URL} for host in sick} if kind != "unreachable" else {}
    hurt = Hurt(sick, shape.get("unreachable", "cut")) if kind == "unreachable" else None
    play = start(shape, kind == "rescued", hosts, own, extra, variables)
    if hurt is not None:
        hurt.start()
    try:
        play.wait()
    finally:
        if hurt is not None:
            hurt.heal()
    begun = [host for host in sick if acted(host)]
    canary = hurt.taken if hurt is not None else (begun or [None])[0]
    wrong = ["exit status 0"] if play.status == 0 else []
    if canary is None:
        wrong.append("nothing was done anywhere, so nothing was tried: " + play.said[-600:])
    changed = untouched([host for host in hosts if host is not canary])
    wrong += changed
    if canary is not None:
        wrong += wholly_old(canary, kind)
        wrong += told(play, canary, kind) if not BARE else []
    return {"name": "{0}: {1}".format(shape["name"], kind), "shape": shape["name"], "kind": kind, "wrong": wrong, "status": play.status,
            "others_changed": len(changed), "hosts": len(hosts), "seconds": round(play.seconds, 1),
            "said": "exit status {0}, {1} other hosts changed".format(play.status, len(changed))}


def told(play: Play, canary: Host, kind: str) -> list[str]:
    """Whether the documents say what became of the first host."""
    outcome = play.outcomes().get(canary.name)
    wanted = ("lost", "begun", "failed", "held", "unchanged", "refused")
    wrong = [] if outcome in wanted else ["the outcome of {0} is called {1}".format(canary.name, outcome)]
    good = [name for name, state in play.outcomes().items() if state in ("closed", "improved")]
    return wrong + (["they are called well: " + ", ".join(good)] if good else [])


def control(shape: dict[str, Any], hosts: list[Host], folder: Path, failing: int | None) -> dict[str, Any]:
    """The same shape where nothing fails (or only a later host does): what the gate lets through is changed and stays, the healthy are left alone."""
    few = [host for host in hosts if host.number <= 12]
    sick = [host for host in few if host.sick]
    chosen = sick[:3] if failing is None else sick[:failing + 2]
    few = [host for host in few if host in chosen or not host.sick]
    _fleet.ready(hosts)
    own = _fresh(folder / "{0}-{1}".format(shape["name"], "control" if failing is None else "later"))
    extra = {} if failing is None else {chosen[failing].name: {"pressure_probe_url": DEAD_URL}}
    play = start(shape, False, few, own, extra, dict(VARIABLES, pressure_serial=1))
    play.wait()
    wrong: list[str] = []
    good = chosen if failing is None else chosen[:failing]
    for host in good:
        answer = host.ask("compare", name="old", pids=False)
        if not 0 < answer["workers"] < host.workers or answer["journals"][-1:] == [] or answer["journals"][-1]["last"] != "confirmed":
            wrong.append("{0} is not wholly new: {1} workers, {2}".format(host.name, answer["workers"], [row["states"] for row in answer["journals"]]))
    if failing is None and play.status != 0:
        wrong.append("exit status {0}: {1}".format(play.status, play.said[-500:]))
    if failing is not None:
        if play.status == 0:
            wrong.append("exit status 0")
        wrong += wholly_old(chosen[failing], "its failure")
        wrong += [] if acted(chosen[failing]) else ["nothing was done on the host that fails, so nothing was tried"]
    wrong += untouched([host for host in hosts if host not in good and (failing is None or host is not chosen[failing])])
    return {"name": "{0}: {1}".format(shape["name"], "nothing fails" if failing is None else "a later host fails"), "shape": shape["name"],
            "kind": "control" if failing is None else "later", "wrong": wrong, "status": play.status, "hosts": len(few),
            "seconds": round(play.seconds, 1), "said": "{0} changed".format(len(good))}


def part(hosts: list[Host], randomly: random.Random, fast: bool, folder: Path) -> list[dict[str, Any]]:
    """All shapes; of a short run a few, drawn at random."""
    shapes = declared()
    cases = [(shape, kind) for kind in (*KINDS, "control", "later") for shape in shapes if ONLY_KINDS is None or kind in ONLY_KINDS]
    # The shipped playbook cannot be put into a block, and its own rescue is what it has anyway.
    cases = [(shape, kind) for shape, kind in cases if not (kind == "rescued" and "playbook" in shape) and not (BARE and kind in ("control", "later"))]
    if fast:
        drawn = randomly.choice([shape["name"] for shape in shapes if "playbook" not in shape])
        cases = [(shape, kind) for shape, kind in cases if (shape["name"], kind) in (("shipped", "fails"), (drawn, "rescued"))]
    rows = []
    for shape, kind in cases:
        try:
            if kind in ("control", "later"):
                row = control(shape, hosts, folder, None if kind == "control" else 2)
            else:
                row = attempt(shape, kind, hosts, folder)
        except LabError as problem:
            row = {"name": "{0}: {1}".format(shape["name"], kind), "shape": shape["name"], "kind": kind, "wrong": [str(problem)]}
        if BARE:
            row["wrong"] = []
        rows.append(row)
        _report.note("bare" if BARE else "shapes", row)
    return rows
