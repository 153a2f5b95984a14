# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults at every boundary of a change: the run is stopped there, hurt, and the host compared with what it was before and would have been after."""

from __future__ import annotations

import json
import queue
import random
import shlex
import subprocess
import threading
import time
from typing import Any, Callable, NamedTuple

import _hosts
from _common import LabError, say
from _hosts import ON_HOST, Host, data_of

# Set by the command line: what is done with each row at once, and in which mitigations alone faults are made.
KEEP: Callable[[dict[str, Any]], None] = id
ONLY: list[str] | None = None
POINTS: list[str] | None = None
KINDS = ("SIGKILL", "SIGTERM", "SIGINT", "SIGHUP", "cut", "reboot")
OPTIONS = {"owner": "faults", "reason": "a fault is made", "cool_down": 0, "max_changes": 0, "max_undone": 0}
# What is changed by whoever comes next.
SWEEP = {"service": "nginx.service", "operations": [{"kind": "file", "path": "/etc/crew/next.conf", "content": "next"}], "settle_s": 0.0}
# Long enough to reach the boundary on a busy machine, short enough to wait for.
WITHIN_S = 8


class Cell(NamedTuple):
    """One fault to be made: at which point (its last journal line is the boundary), of which kind, the how manieth."""

    mitigation: str
    boundary: str
    point: str
    kind: str
    number: int


def looking() -> dict[str, Any]:
    look = data_of("state.yml")
    return dict(look, units=data_of("hosts.yml")["units"])


def requests_for(mitigation: str, within_s: int, **more: Any) -> list[dict[str, Any]]:
    """What the driver is asked, step by step; ``more`` is for the last, which is the one that faults are made in."""
    declared = data_of("mitigations.yml")[mitigation] if mitigation != "sweep" else SWEEP
    if "after" in declared:
        options = {"incident": "fault", "owner": OPTIONS["owner"]}
        return [*requests_for(declared["after"], within_s), dict(declared, mitigation=mitigation, options=options, **more)]
    return [dict(declared, mitigation=mitigation, options=dict(OPTIONS, confirm_within=within_s, incident="fault", **declared.get("options", {})), **more)]


def words_for(request: dict[str, Any]) -> str:
    return "exec python3 {0}/driver.py {1}".format(ON_HOST, shlex.quote(json.dumps(request)))


class Bench:
    """One host with the states that were recorded on it."""

    def __init__(self, host: Host, remake: Callable[[], Host] | None = None) -> None:
        self.host = host
        self.remake = remake
        self.look = looking()
        self.ready_for = ""

    def ask(self, do: str, **more: Any) -> Any:
        return self.host.ask("onhost.py", dict(more, do=do, look=self.look))

    def change(self, request: dict[str, Any]) -> dict[str, Any]:
        """Run a change to its end; what it said."""
        text = self.host.sh("{0} 2>&1".format(words_for(request)), check=False)
        for line in reversed(text.splitlines()):
            if line.startswith("{"):
                return json.loads(line)
        raise LabError("the change said nothing: " + text[-500:])

    def prepare(self, mitigation: str) -> list[str]:
        """Record the states before and after, prove that a rollback gives the first again; what is wrong, or nothing."""
        if self.ready_for == mitigation:
            return []
        wrong = []
        self.ask("clean")
        self.ask("steady")
        self.ask("record", name="old")
        requests = requests_for(mitigation, 120, list=True)
        for number, request in enumerate(requests):
            said = self.change(request)
            if said.get("failed") or not said.get("changed"):
                raise LabError("{0} on {1}: {2}".format(mitigation, self.host.name, said.get("msg", said)))
            if number == 0:
                self.ask("steady")
                self.ask("record", name="new")
        self.points = json.loads(self.host.sh("cat {0}/points.json".format(ON_HOST)))
        self.roll_back()
        settled = self.ask("settle", timeout_s=30, steady_s=15, compare=["old"])
        if not settled["same"]:
            wrong += ["after apply and rollback: " + line for line in settled["differences"]["old"]]
        if settled["armed"] or settled["own"]:
            wrong.append("after a rollback is left: {0}".format(settled["armed"] + settled["own"]))
        self.ask("clean")
        self.ready_for = mitigation
        return wrong

    def roll_back(self) -> str:
        return self.host.sh("for program in /var/lib/oncall-pressure/incidents/*/*/undo.pyz; do python3 -I $program undo; done", check=False)

    def sweep(self) -> None:
        """Another operator makes a change of something else, and takes it back: whoever comes next clears up."""
        for request in requests_for("sweep", 60):
            self.change(dict(request, options=dict(request["options"], incident="next")))
        self.change({"module": "incident", "arguments": {"state": "undone"}, "options": {"incident": "next"}})

    def renew(self) -> None:
        """A host that was left between two states is of no use for the next fault."""
        self.ready_for = ""
        if self.remake is not None:
            self.host = self.remake()


def boundary_of(point: str) -> str:
    """The journal's last line at a point."""
    for separator in (" > ", " = "):
        if separator in point:
            return point.split(separator)[0]
    return point.partition(" #")[0]


def cells_of(mitigation: str, points: list[str], each: int, randomly: random.Random) -> list[Cell]:
    """Every boundary with every kind, so often, spread over the points that have this boundary as their last line."""
    grouped: dict[str, list[str]] = {}
    for point in points:
        grouped.setdefault(boundary_of(point), []).append(point)
    grouped.pop("start", None)
    cells = []
    for boundary, here in grouped.items():
        shuffled = randomly.sample(here, len(here))
        place = 0
        for kind in KINDS:
            for number in range(each):
                cells.append(Cell(mitigation, boundary, shuffled[place % len(shuffled)], kind, number))
                place += 1
    return cells


def judge(cell: Cell, shot: dict[str, Any], settled: dict[str, Any]) -> list[str]:
    """What is wrong with how the host ended; nothing where it is wholly old or, once confirmed, wholly new."""
    wrong = []
    last = next((row["last"] for row in settled["journals"] if row["entry"].startswith("fault/")), None)
    expected = "new" if last is not None and last["state"] == "confirmed" else "old"
    if cell.boundary == "confirmed" and expected == "old":
        wrong.append("it was confirmed and is undone all the same")
    if expected not in settled["same"]:
        wrong.append("the host is {0}, not {1}: {2}".format(
            " and ".join(settled["same"]) or "between", expected, "; ".join(settled["differences"].get(expected, [])[:6])))
    if not settled["ended"]:
        wrong.append("nothing ended it")
    if settled["armed"] or settled["own"]:
        wrong.append("left armed: {0}".format(", ".join(settled["armed"] + settled["own"])))
    for row in settled["journals"]:
        if row["last"] is not None and row["last"]["state"] not in ("undone", "confirmed", "intent", "saved"):
            wrong.append("the journal of {0} ends with {1}".format(row["entry"], row["last"]["state"]))
        if row["torn"]:
            wrong.append("{0} lines of the journal cannot be read".format(row["torn"]))
        if row["last"] is None:
            wrong.append("the journal of {0} is empty".format(row["entry"]))
    if not settled["journals"]:
        wrong.append("there is no record")
    return wrong


def one(bench: Bench, cell: Cell, within_s: int = WITHIN_S) -> dict[str, Any]:
    """One fault; a row of the results. ``hit`` is false where the journal does not prove the boundary."""
    started = time.monotonic()
    if "after" in data_of("mitigations.yml")[cell.mitigation]:
        # Two calls must fit into the time.
        within_s *= 2
    bench.ask("clean")
    *before, request = requests_for(cell.mitigation, within_s, stop_at=cell.point)
    for step in before:
        bench.change(step)
    # Half of the cut connections have a terminal, whose end is a SIGHUP; the others just lose their pipes.
    run = bench.host.start(words_for(request), terminal=cell.kind == "cut" and cell.number % 2 == 1)
    said = b""
    try:
        shot = bench.ask("shoot", kind=cell.kind, timeout_s=max(60, within_s))
        if cell.kind == "reboot" and shot["hit"]:
            bench.host.reboot()
        try:
            said = run.communicate(timeout=60)[0]
        except subprocess.TimeoutExpired:
            said = b"the run does not end"
    finally:
        if run.poll() is None:
            run.kill()
    row: dict[str, Any] = dict(cell._asdict(), host=bench.host.name, hit=False, wrong=[])
    lines = shot["journal"][-1] if shot.get("journal") else []
    row["hit"] = bool(shot["hit"] and lines and lines[-1] == cell.boundary == shot["mark"]["journal"])
    if not row["hit"]:
        row["why"] = "{0}, journal {1}: {2}".format(shot.get("mark"), lines[-2:], said[-300:].decode("utf-8", "backslashreplace"))
    settled = bench.ask("settle", timeout_s=within_s + 20, steady_s=8, rebooted=cell.kind == "reboot")
    row["swept"] = settled["own"]
    if settled["own"] and row["hit"]:
        # What a run that ended while it armed or disarmed leaves behind does nothing; the next call on the host takes it away.
        bench.sweep()
        settled = bench.ask("settle", timeout_s=5, steady_s=8, rebooted=cell.kind == "reboot")
    row["ended"] = (settled["same"] or ["between"])[0]
    # After a boot what is open is due at once, whatever its deadline was.
    row["late_s"] = [journal["late_s"] for journal in settled["journals"] if journal["late_s"] is not None and cell.kind != "reboot"]
    row["by"] = [journal["last"].get("why") for journal in settled["journals"] if journal["last"]]
    row["seconds"] = round(time.monotonic() - started, 1)
    if row["hit"]:
        row["wrong"] = judge(cell, shot, settled)
    if "old" not in settled["same"]:
        if settled["same"] == ["new"]:
            bench.roll_back()
            settled = bench.ask("settle", timeout_s=20, compare=["old"])
        if "old" not in settled["same"]:
            bench.renew()
    return row


def run_cells(benches: list[Bench], cells: list[Cell], tell: Callable[[dict[str, Any]], None]) -> list[dict[str, Any]]:
    """All faults, side by side on the hosts, those of one mitigation together; a point that was not hit is tried again."""
    waiting: dict[str, queue.Queue[tuple[Cell, int]]] = {}
    for cell in cells:
        waiting.setdefault(cell.mitigation, queue.Queue()).put((cell, 0))
    rows: list[dict[str, Any]] = []
    lock = threading.Lock()

    def work(bench: Bench) -> None:
        for mitigation, left in waiting.items():
            while True:
                try:
                    cell, tried = left.get_nowait()
                except queue.Empty:
                    break
                try:
                    wrong = bench.prepare(mitigation)
                    row = one(bench, cell, WITHIN_S + 4 * tried)
                    row["wrong"] = wrong + row["wrong"]
                except (LabError, subprocess.TimeoutExpired, OSError, KeyError) as problem:
                    row = dict(cell._asdict(), host=bench.host.name, hit=False, wrong=[], why="harness: {0!r}".format(problem)[:600], late_s=[])
                    try:
                        bench.renew()
                    except (LabError, subprocess.TimeoutExpired) as again:
                        say("{0} cannot be made anew: {1}".format(bench.host.name, again))
                        left.put((cell, tried + 1))
                        return
                if not row["hit"] and tried < 3:
                    left.put((cell, tried + 1))
                    with lock:
                        tell(dict(row, again=True))
                    continue
                with lock:
                    rows.append(row)
                    tell(row)
                    KEEP(row)

    threads = [threading.Thread(target=work, args=(bench,)) for bench in benches]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return rows


def percentile(values: list[float], share: float) -> float | None:
    """The value that so large a share does not exceed; null of nothing."""
    if not values:
        return None
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, int(share * len(ordered) + 0.999999) - 1))]


def benches_for(hosts: list[_hosts.Container]) -> list[Bench]:
    return [Bench(host, lambda host=host: _hosts.anew(host)) for host in hosts]


def tell(row: dict[str, Any]) -> None:
    """A line as each fault is judged."""
    word = "again" if row.get("again") else "FAIL" if row["wrong"] else "ok" if row["hit"] else "unproven"
    print("{0:9} {1:16} {2:44} {3:8} {4:8} late {5} {6} s  {7}".format(
        word, row["mitigation"], row["point"], row["kind"], str(row.get("ended")), row.get("late_s"), row.get("seconds"),
        "; ".join(row["wrong"]) or ("" if row["hit"] else str(row.get("why")))[:300]), flush=True)


def matrix(benches: list[Bench], randomly: random.Random, fast: bool) -> list[dict[str, Any]]:
    """Every boundary of every mitigation with every kind of fault."""
    if fast:
        return short(benches, randomly)
    names = [name for name in data_of("mitigations.yml") if ONLY is None or name in ONLY]
    cells: list[Cell] = []
    wrong: list[dict[str, Any]] = []
    for place, name in enumerate(names):
        bench = benches[place % len(benches)]
        try:
            bench.prepare(name)
            cells += cells_of(name, bench.points, 3, randomly)
        except LabError as problem:
            wrong.append({"name": name, "wrong": [str(problem)]})
            bench.renew()
    rows = run_cells(benches, [cell for cell in cells if POINTS is None or cell.point in POINTS], tell)
    for row in rows:
        if not row["hit"]:
            row["wrong"] = [*row["wrong"], "the fault never hit its boundary: {0}".format(row.get("why"))]
    return [*wrong, *rows]


CLASSES = ("intent", "saved", "armed", "applying", "applied", "verified", "confirmed")


def share_out(randomly: random.Random) -> dict[str, list[tuple[str, str]]]:
    """mitigation: (boundary, kind)s: each pair once, in whichever change can have it; those with `short: own` have each boundary and each kind once."""
    declared = {name: row for name, row in data_of("mitigations.yml").items() if ONLY is None or name in ONLY}
    names = list(declared)
    changes = [name for name in names if name not in ("confirm", "rollback") and "short" not in declared[name]]
    shared: dict[str, list[tuple[str, str]]] = {name: [] for name in names}
    pairs = [(boundary, kind) for boundary in CLASSES for kind in KINDS]
    for number, (boundary, kind) in enumerate(randomly.sample(pairs, len(pairs))):
        if boundary == "confirmed":
            shared.get("confirm", []).append((boundary, kind))
        elif changes:
            shared[changes[number % len(changes)]].append((boundary, kind))
    for name in names:
        if "short" in declared[name]:
            shared[name] = list(zip(CLASSES, randomly.sample(KINDS, len(KINDS))))
    return {name: wanted for name, wanted in shared.items() if wanted}


def short(benches: list[Bench], randomly: random.Random) -> list[dict[str, Any]]:
    """One fault per boundary and kind; each change on one host, so that little is recorded twice."""
    waiting: queue.Queue[tuple[str, list[tuple[str, str]]]] = queue.Queue()
    for pair in share_out(randomly).items():
        waiting.put(pair)
    rows: list[dict[str, Any]] = []

    def work(bench: Bench) -> None:
        while True:
            try:
                mitigation, wanted = waiting.get_nowait()
            except queue.Empty:
                return
            for number, (boundary, kind) in enumerate(wanted):
                row: dict[str, Any] = {"name": "{0} {1} {2}".format(mitigation, boundary, kind), "wrong": [], "hit": False}
                for tried in range(3):
                    try:
                        wrong = bench.prepare(mitigation)
                        points = [point for point in bench.points if boundary_of(point).partition(":")[0] == boundary]
                        point = randomly.choice(points)
                        row = one(bench, Cell(mitigation, boundary_of(point), point, kind, number), WITHIN_S + 5 * tried)
                        row["wrong"] = wrong + row["wrong"]
                    except (LabError, subprocess.TimeoutExpired, OSError, KeyError, IndexError) as problem:
                        row["wrong"] = ["harness: {0!r}".format(problem)[:500]]
                        bench.renew()
                    if row["hit"] or row["wrong"]:
                        break
                if not row["hit"] and not row["wrong"]:
                    row["wrong"].append("the fault never hit its boundary: {0}".format(row.get("why")))
                rows.append(row)
                if "point" in row:
                    tell(row)

    threads = [threading.Thread(target=work, args=(bench,)) for bench in benches]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return rows
