# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Paired runs in turn (A B A B ...), medians of their ratios, beside the goals; written under docs/results/."""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import time
import typing as t
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent


class Used(t.NamedTuple):
    """What one run used, in seconds."""

    wall_s: float
    cpu_s: float


def used(run: t.Callable[[], object]) -> Used:
    """Run something and say what it took: wall clock, and CPU of this process and the children it waited for."""
    before, start = _cpu(), time.perf_counter()
    run()
    return Used(time.perf_counter() - start, _cpu() - before)


def _cpu() -> float:
    return sum(usage.ru_utime + usage.ru_stime for usage in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)))


def program(argv: t.Sequence[str], **extra: str) -> t.Callable[[], object]:
    """A run of a program whose output is thrown away; it must succeed."""
    return lambda: subprocess.run(list(argv), check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=dict(os.environ, **extra))


def ratio(ours: t.Callable[[], object], theirs: t.Callable[[], object], pairs: int, of: t.Callable[[Used], float], less_s: float = 0.0) -> dict[str, float]:
    """The median ratio of ``of`` over so many pairs, one of each to warm up; ``less_s`` is taken off ours (a window that it only waits)."""
    ours()
    theirs()
    a, b = [], []
    for dummy in range(pairs):
        a.append(max(of(used(ours)) - less_s, 0.0))
        b.append(of(used(theirs)))
    return {"ratio": round(statistics.median(x / y for x, y in zip(a, b)), 3), "ours_s": round(statistics.median(a), 4),
            "theirs_s": round(statistics.median(b), 4), "pairs": pairs}


def write(name: str, rows: t.Sequence[dict[str, t.Any]]) -> None:
    """Print the rows beside their goals and write them."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=str(ROOT), stdout=subprocess.PIPE, text=True, check=False).stdout.strip()
    for row in rows:
        row["met"] = row["value"] <= row["goal"] if row.get("at_most", True) else row["value"] >= row["goal"]
        print("%-62s %10s  goal %s %-8s %s" % (row["what"], row["value"], "<=" if row.get("at_most", True) else ">=", row["goal"],
                                               "met" if row["met"] else "MISSED"), flush=True)
    folder = ROOT / "docs" / "results"
    folder.mkdir(parents=True, exist_ok=True)
    document = {"commit": commit, "cpus": os.cpu_count(), "load_before": os.getloadavg()[0], "rows": list(rows)}
    (folder / ("bench-%s.json" % name)).write_text(json.dumps(document, indent=1, sort_keys=True) + "\n")
