# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""tests/relief/run: real incidents, relieved by the playbooks, measured by what knows nothing of them."""

from __future__ import annotations

import argparse
import concurrent.futures
import sys
import tempfile
import threading
import time
import traceback
from pathlib import Path
from typing import Any, Callable

import _cases_ends
import _cases_jobs
import _cases_limits
import _cases_machine
import _cases_schedule
import _cases_web
import _hosts
import _machine_host
import _report
from _common import LabError, alone, commit, say
from _scene import Scene

# Name: (host, case). Each is played on a host without a past.
CASES: dict[str, tuple[str, Callable[[Scene], None]]] = {
    "gunicorn_memory_flags": ("relief-1", _cases_web.gunicorn_memory("debian", "flags")),
    "gunicorn_memory_file": ("relief-2", _cases_web.gunicorn_memory("pypi", "file")),
    "gunicorn_memory_environment": ("relief-3", _cases_web.gunicorn_memory("debian", "environment")),
    "gunicorn_by_hand_flags": ("relief-1", _cases_web.gunicorn_by_hand("debian", "flags")),
    "gunicorn_by_hand_file": ("relief-2", _cases_web.gunicorn_by_hand("pypi", "file")),
    "gunicorn_by_hand_environment": ("relief-3", _cases_web.gunicorn_by_hand("debian", "environment")),
    "gunicorn_cpu": ("relief-2", _cases_web.gunicorn_cpu),
    "gunicorn_growing_worker": ("relief-3", _cases_web.growing_worker),
    "uvicorn_new": ("relief-3", _cases_web.uvicorn_new),
    "uvicorn_old": ("relief-1", _cases_web.uvicorn_old),
    "celery_memory_busy": ("relief-1", _cases_jobs.celery_memory_busy),
    "celery_idle": ("relief-2", _cases_jobs.celery_idle),
    "celery_supervisor": ("relief-3", _cases_jobs.celery_supervisor),
    "rq_supervisor": ("relief-3", _cases_jobs.rq_supervisor),
    "rq_template": ("relief-1", _cases_jobs.rq_template),
    "rq_pool": ("relief-2", _cases_jobs.rq_pool),
    "cron_overlap": ("relief-1", _cases_schedule.cron_overlap),
    "cron_reboot": ("relief-2", _cases_schedule.cron_reboot),
    "timer_busy": ("relief-2", _cases_schedule.timer_busy),
    "timer_reboot": ("relief-2", _cases_schedule.timer_reboot),
    "timer_unconfirmed_reboot": ("relief-2", _cases_schedule.timer_unconfirmed_reboot),
    "client_limited": ("relief-3", _cases_limits.client_limited),
    "limit_lifetime": ("relief-3", _cases_limits.limit_lifetime),
    "limit_reboot": ("relief-3", _cases_limits.limit_reboot),
    "reboot_before_confirm": ("relief-1", _cases_ends.reboot_before_confirm),
    "operator_gone": ("relief-2", _cases_ends.operator_gone),
    "probe_says_no": ("relief-3", _cases_ends.probe_says_no),
    "machine_memory_continue": (_machine_host.NAME, _cases_machine.gunicorn_memory("continue")),
    "machine_memory_stop": (_machine_host.NAME, _cases_machine.gunicorn_memory("stop")),
}


# The one case that keeps both CPUs busy by itself.
ALONE = ("gunicorn_cpu",)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="run", description=__doc__)
    parser.add_argument("--only", help="cases, joined by commas: " + ", ".join(CASES))
    parser.add_argument("--json", help="write the figures there instead of docs/results/relief.json (with --only nothing is written without this)")
    parser.add_argument("--update", action="store_true", help="put the rows of this run in the place of the same cases' rows of an earlier run")
    parser.add_argument("--lanes", type=int, default=2, help="how many hosts work side by side (2)")
    parser.add_argument("--keep", action="store_true", help="leave the hosts running, and what the playbooks printed")
    return parser.parse_args()


def attempt(name: str, folder: Path) -> dict[str, Any]:
    """One case on a host made anew; a row of the table."""
    host, case = CASES[name]
    started = time.monotonic()
    own = folder / name
    own.mkdir(parents=True, exist_ok=True)
    scene = Scene(name, host, own, folder / "hosts.yml")
    try:
        if host == _machine_host.NAME:
            _machine_host.up()
        else:
            _hosts.unspoiled(host)
        case(scene)
    except LabError as problem:
        scene.wrong.append(str(problem) if scene.plays else "the incident could not be caused, so nothing was tried: {0}".format(problem))
    except Exception:
        # One case that breaks is one failure; the others are still worth their figures.
        scene.wrong.append(traceback.format_exc()[-800:])
    finally:
        for play in scene.plays:
            if play.child.poll() is None:
                play.kill()
        try:
            scene.end()
        except LabError as problem:
            scene.wrong.append(str(problem))
    return {"case": name, "host": host, "commit": commit(), "seconds": round(time.monotonic() - started, 1), "figures": scene.figures,
            "wrong": scene.wrong}


def _all(asked: argparse.Namespace, names: list[str], folder: Path, rows: list[dict[str, Any]]) -> None:
    """The cases of one host one after the other, two hosts side by side; what needs both CPUs first and alone."""
    writing = threading.Lock()

    def lane(host: str, only: list[str]) -> None:
        for name in only:
            row = attempt(name, folder)
            with writing:
                rows.append(row)
                rows.sort(key=lambda row: list(CASES).index(row["case"]))
                _report.say_row(row)
                if asked.json or asked.update or not asked.only:
                    _report.write(asked.json, rows, list(CASES), asked.update)

    for name in names:
        if name in ALONE:
            lane(CASES[name][0], [name])
    with concurrent.futures.ThreadPoolExecutor(asked.lanes) as pool:
        lanes = {host: [name for name in names if CASES[name][0] == host and name not in ALONE] for host in sorted({CASES[name][0] for name in names})}
        for done in [pool.submit(lane, host, only) for host, only in lanes.items()]:
            done.result()


def main() -> int:
    """Exit status: 0 all right, 1 a claim that does not hold, 2 the hosts cannot be had."""
    asked = parse()
    names = asked.only.split(",") if asked.only else list(CASES)
    if set(names) - set(CASES):
        say("no such case: {0} (there are {1})".format(", ".join(sorted(set(names) - set(CASES))), ", ".join(CASES)))
        return 2
    rows: list[dict[str, Any]] = []
    with alone("relief"), tempfile.TemporaryDirectory(prefix="oncall-relief-") as scratch:
        folder = Path("/var/tmp/oncall-relief") if asked.keep else Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        try:
            _hosts.up()
            _hosts.inventory(folder)
            _all(asked, names, folder, rows)
        except LabError as problem:
            say(str(problem))
            return 2
        finally:
            if not asked.keep:
                _hosts.down()
                _machine_host.down()
    failed = sum(1 for row in rows if row["wrong"])
    print("{0} passed, {1} failed".format(len(rows) - failed, failed))
    return 1 if failed or not rows else 0


if __name__ == "__main__":
    sys.exit(main())
