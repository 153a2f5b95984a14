# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""tests/growth/run: trees of real processes whose memory does what the runbooks name, looked at through the project's own reader, and told apart."""

from __future__ import annotations

import argparse
import json
import random
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import _kinds
from _common import ROOT, commit, say
from ansible_collections.oncall.pressure.plugins.module_utils._components._process_table import Process, first_look
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine
from ansible_collections.oncall.pressure.plugins.plugin_utils import _memory_pattern

MASTER = Path(__file__).resolve().parent / "_master.py"
RESULTS = ROOT / "docs" / "results"

TICK_S = 0.5
#: A second here stands for a minute there.
STANDS = 60.0
#: What it lives before anybody looks: a service is not looked at as it starts.
SETTLE_S = 3.0

HEAD = """<!--
Copyright (c) 2026, oncall.pressure maintainers
GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
SPDX-License-Identifier: GPL-3.0-or-later
-->

# Growth

Written by `make growth`; the figures are those of `growth.json`. Trees of real Python processes whose memory does what the runbooks name: sizes, rates,
numbers of workers and moments are drawn, the memory is read from `/proc` by the project's own reader every {tick} s for {seconds:.0f} s, which stand for
{stands:.0f} minutes, and what is said of it is held against what was drawn. "Right" is the pattern, the level where one is due, the bytes for each request or
task and the rate of growth within 40 %, and the change that made it, by name. "Unknown" is no answer, "wrong" another one.

{right} of {draws} right, {wrong} wrong, {unknown} unknown. Commit {commit}, seed {seed}, {took:.0f} s.

| kind | what is right | draws | right | wrong | unknown |
| --- | --- | ---: | ---: | ---: | ---: |
"""


class Tree:
    """One tree: the processes that are drawn, what was seen of them, what is said of that."""

    def __init__(self, kind: str, seed: int, seconds: float) -> None:
        self.kind, self.seed, self.seconds = kind, seed, seconds
        self.drawn = _kinds.KINDS[kind](random.Random(seed), seconds)
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(MASTER), "%.3f" % self.drawn.master_per_s], stdin=subprocess.PIPE, start_new_session=True,
        )
        self.told = 0
        self.turned: float | None = None
        #: (moment, bytes, work, {pid: (bytes, when it started)})
        self.seen: list[tuple[float, int, float, dict[int, tuple[int, float]]]] = []
        #: processors it used since the look before, and the ticks of each process then
        self.used: list[float | None] = []
        self.ticks: dict[int, int] = {}

    def tell(self, part: float) -> float:
        """Hands out the work of a tick, and makes the changes that are due. Returns the work."""
        work = max(self.drawn.work(min(max(part, 0.0), 1.0)), 0.0)
        line: dict[str, Any] = {"work": work}
        if not self.told:
            line["start"] = list(self.drawn.workers)
        later, restart = self.drawn.later, self.drawn.restart
        if later is not None and later[0] < 0:
            # one after the other
            due = min(int((part + SETTLE_S / self.seconds) * 1.2 * (len(later[1]) + 1)), len(later[1]))
            line.setdefault("start", []).extend(later[1][max(self.told - 1, 0):due])
            self.told = max(due, 0) + 1
        else:
            if later is not None and part >= later[0] and self.turned is None:
                line["start"], self.turned = later[1], time.monotonic()
            if restart is not None and part >= restart[0] and self.turned is None:
                line["restart"], self.turned = restart[1], time.monotonic()
            self.told = 1
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(line).encode() + b"\n")
        self.process.stdin.flush()
        return work

    def look(self, table: dict[int, Process], moment: float, up_s: float, ticks_per_s: int, work: float) -> None:
        """What the table says of it."""
        master = table.get(self.process.pid)
        workers = [process for process in table.values() if process.ppid == self.process.pid and process.state != "Z"]
        if master is None:
            return
        sizes = {process.pid: (process.rss_bytes, moment - (up_s - process.start_ticks / ticks_per_s)) for process in workers}
        ticks = {process.pid: process.before_ticks for process in [master, *workers]}
        spent = sum(now - self.ticks[pid] for pid, now in ticks.items() if pid in self.ticks) / ticks_per_s
        self.used.append(spent / (moment - self.seen[-1][0]) if self.seen else None)
        self.ticks = ticks
        self.seen.append((moment, master.rss_bytes + sum(used for used, dummy in sizes.values()), work, sizes))

    def end(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(30)

    def snapshot(self) -> dict[str, Any]:
        """As a host would have told of it."""
        now = self.seen[-1][0]
        counts = {"requests": "requests_per_s", "tasks": "tasks_per_s"}.get(self.drawn.counts or "")
        points = []
        for (moment, used, work, sizes), processors in zip(self.seen, self.used):
            each = sorted(value for value, dummy in sizes.values())
            point: dict[str, Any] = {
                "age_s": round((now - moment) * STANDS, 1), "bytes": used, "workers": len(each) or None, "worker_bytes": sum(each) if each else None,
                "largest_bytes": each[-1] if each else None, "median_bytes": statistics.median(each) if each else None,
                "cpu_used": processors, "requests_per_s": None, "tasks_per_s": None,
            }
            if counts is not None:
                point[counts] = work / TICK_S / STANDS
            points.append(point)
        last = self.seen[-1]
        aged = []
        for pid, (used, started) in sorted(last[3].items(), key=lambda item: -item[1][0])[:8]:
            series = [[round((now - moment) * STANDS, 1), sizes[pid][0]] for moment, dummy, dummy, sizes in self.seen if pid in sizes]
            aged.append({"pid": pid, "started_age_s": (now - started) * STANDS, "points": series})
        each = sorted(used for used, dummy in last[3].values())
        service = {
            "id": "shop.service", "name": "shop.service", "component": self.drawn.component, "role": self.drawn.role, "state": "running",
            "processes": 1 + len(each),
            "memory": {"bytes": last[1], "source": "rss", "limit_bytes": round(last[1] * self.drawn.limit), "limit_source": "service"},
            "workers": [{"pid": pid, "age_s": (now - started) * STANDS, "pss_bytes": None, "rss_bytes": used} for pid, (used, started) in last[3].items()],
            "worker_summary": {"count": len(each), "measured": len(each), "memory_source": "rss", "median_bytes": statistics.median(each) if each else None,
                               "largest_bytes": each[-1] if each else None, "total_bytes": sum(each)},
        }
        events = []
        if self.turned is not None:
            since = (now - self.turned) * STANDS
            what = ("release", "/srv/shop/current was set", "to releases/42") if self.drawn.restart else ("unit", "drop-in workers.conf was written", None)
            events = [{"age_s": since + 20, "kind": what[0], "what": what[1], "service": "shop.service", "detail": what[2]}]
            events += [{"age_s": since, "kind": "start", "what": "shop.service was started", "service": "shop.service"}] if self.drawn.restart else []
        history = {"sources": [], "host": [], "services": [
            {"id": "shop.service", "source": "recorder", "every_s": TICK_S * STANDS, "points": points[-96:], "workers": aged},
        ]}
        return {
            "services": [service], "memory_history": None if self.drawn.moment else history, "timeline": {"events": events},
            "host": {"memory": {"limit_bytes": 64 * 2**30, "available_bytes": 48 * 2**30}}, "taken": {"epoch_s": 1768013700, "boot_id": "b"},
        }

    def judge(self) -> dict[str, Any]:
        """What was said, and whether it is right."""
        said = _memory_pattern.patterns(self.snapshot())["shop.service"]
        truth = self.drawn.truth
        wrong = []
        if said["pattern"] != truth.pattern:
            wrong.append("pattern %s" % said["pattern"])
        if truth.level is not None and said["level"] != truth.level:
            wrong.append("level %s" % said["level"])
        if truth.says is not None and not any(truth.says in line for line in said["evidence"]):
            wrong.append("does not name %s" % truth.says)
        if truth.per is not None and not _near(next(iter((said["per"] or {}).values()), None), truth.per):
            wrong.append("%s for each, not %d" % (said["per"], truth.per))
        if truth.per_s is not None and not _near(said["growth_bytes_per_hour"], truth.per_s * 3600 / STANDS):
            wrong.append("%s bytes an hour, not %d" % (said["growth_bytes_per_hour"], truth.per_s * 3600 / STANDS))
        answer = "right" if not wrong else ("unknown" if said["pattern"] == "unknown" else "wrong")
        return {"kind": self.kind, "seed": self.seed, "answer": answer, "problem": "; ".join(wrong) or None, "confidence": said["confidence"],
                "evidence": said["evidence"], "missing": said["missing"]}


def _near(found: Any, wanted: float) -> bool:
    return isinstance(found, (int, float)) and 0.6 * wanted <= found <= 1.4 * wanted


def play(trees: list[Tree], seconds: float) -> None:
    """Lets trees live side by side, looked at all at once."""
    machine = Machine()
    start = time.monotonic() + SETTLE_S
    due = time.monotonic()
    while True:
        part = (time.monotonic() - start) / seconds
        if part >= 1:
            break
        work = {tree: tree.tell(part) for tree in trees}
        time.sleep(TICK_S / 2)
        if part >= 0:
            moment, up_s = time.monotonic(), float(machine.text("/proc/uptime").split()[0])
            table = first_look(machine, frozenset()).processes
            for tree in trees:
                tree.look(table, moment, up_s, machine.ticks_per_s, work[tree])
        due += TICK_S
        time.sleep(max(due - time.monotonic(), 0.0))
    for tree in trees:
        tree.end()


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="run", description=__doc__)
    parser.add_argument("--draws", type=int, default=3, help="how many of each kind (3)")
    parser.add_argument("--only", help="kinds, joined by commas: " + ", ".join(_kinds.KINDS))
    parser.add_argument("--seconds", type=float, default=40.0, help="how long each is looked at (40)")
    parser.add_argument("--side-by-side", type=int, default=6, help="how many trees at once (6)")
    parser.add_argument("--seed", type=int, help="draw what that run drew")
    parser.add_argument("--keep", type=Path, help="write what was seen of each tree into this folder")
    return parser.parse_args()


def main() -> int:
    """Exit status: 0 all right, 1 something is not, 2 bad input."""
    asked = parse()
    kinds = asked.only.split(",") if asked.only else list(_kinds.KINDS)
    if set(kinds) - set(_kinds.KINDS):
        say("no such kind: {0}".format(", ".join(sorted(set(kinds) - set(_kinds.KINDS)))))
        return 2
    seed = random.SystemRandom().randrange(2**32) if asked.seed is None else asked.seed
    print("seed {0}".format(seed), flush=True)
    # by its name and number, so that --only draws the same
    wanted = [(kind, random.Random("%d %s %d" % (seed, kind, number)).randrange(2**32)) for number in range(asked.draws) for kind in kinds]
    began, rows = time.monotonic(), []
    for place in range(0, len(wanted), asked.side_by_side):
        trees = [Tree(kind, own, asked.seconds) for kind, own in wanted[place:place + asked.side_by_side]]
        try:
            play(trees, asked.seconds)
        finally:
            for tree in trees:
                tree.process.kill() if tree.process.poll() is None else None
        for tree in trees:
            row = tree.judge()
            rows.append(row)
            say("{0:7} {1} (seed {2}){3}".format(row["answer"], row["kind"], row["seed"], ": " + row["problem"] if row["problem"] else ""))
            if asked.keep:
                asked.keep.mkdir(parents=True, exist_ok=True)
                path = asked.keep / "{0}-{1}.json".format(tree.kind, tree.seed)
                path.write_text(json.dumps({"kind": tree.kind, "truth": tree.drawn.truth._asdict(), "snapshot": tree.snapshot()}), encoding="utf-8")
    _write(rows, seed, asked, time.monotonic() - began, whole=not asked.only)
    counts = {answer: sum(row["answer"] == answer for row in rows) for answer in ("right", "wrong", "unknown")}
    print("seed {0}; {1} trees".format(seed, len(rows)))
    print("{0} passed, {1} failed".format(counts["right"], len(rows) - counts["right"]))
    return 0 if counts["right"] == len(rows) else 1


def _write(rows: list[dict[str, Any]], seed: int, asked: argparse.Namespace, took: float, whole: bool) -> None:
    kinds = []
    for kind in dict.fromkeys(row["kind"] for row in rows):
        mine = [row for row in rows if row["kind"] == kind]
        truth = _kinds.KINDS[kind](random.Random(mine[0]["seed"]), asked.seconds).truth
        right = "%s%s" % (truth.pattern, ", %s" % truth.level if truth.level else "")
        answers = {answer: sum(row["answer"] == answer for row in mine) for answer in ("right", "wrong", "unknown")}
        kinds.append({"kind": kind, "truth": right, "draws": len(mine), **answers})
    if not whole:
        return
    sums = {name: sum(kind[name] for kind in kinds) for name in ("draws", "right", "wrong", "unknown")}
    misses = [{key: row[key] for key in ("kind", "seed", "problem")} for row in rows if row["problem"]]
    figures = {"commit": commit(), "seed": seed, "seconds": asked.seconds, "took": round(took, 1), **sums, "kinds": kinds, "misses": misses}
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "growth.json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    lines = ["| {kind} | {truth} | {draws} | {right} | {wrong} | {unknown} |".format(**kind) for kind in kinds]
    if misses:
        lines += ["", "Not right:", "", *("- {kind} (seed {seed}): {problem}".format(**miss) for miss in misses)]
    head = HEAD.format(tick=TICK_S, stands=asked.seconds * STANDS / 60, **figures)
    (RESULTS / "growth.md").write_text(head + "\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
