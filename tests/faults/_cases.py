# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes wrong on the host itself while a change is made: the cases of cases.yml, each caused for real."""

from __future__ import annotations

import json
import queue
import random
import subprocess
import threading
from typing import Any, Callable

import _faults
from _common import LabError
from _faults import OPTIONS, Bench
from _hosts import data_of

WITHIN_S = 6
# Set by the command line: only these.
NAMES: list[str] | None = None
STATE, DISK = "/var/lib/oncall-pressure", "/srv/disk"


def declared(name: str, data: dict[str, Any]) -> dict[str, Any]:
    """The driver's request for a change of cases.yml or mitigations.yml."""
    if name not in data["changes"]:
        return _faults.requests_for(name, WITHIN_S)[-1]
    change = json.loads(json.dumps(data["changes"][name]).replace('"LARGE"', json.dumps("new\n" * 3000)))
    return dict(change, mitigation=name, options=dict(OPTIONS, confirm_within=WITHIN_S, incident="fault"))


def folder_lines(case: dict[str, Any]) -> tuple[str, str, str]:
    """(before the state is recorded, the fault, what takes it away again) for a folder with a file system of its own."""
    which = case.get("fill") or case.get("remount")
    if case.get("frozen"):
        thaw = "chattr -R -i {0}/incidents".format(STATE)
        return "", "chattr -R +i {0}/incidents; (sleep {1}; {2}) >/dev/null 2>&1 &".format(STATE, WITHIN_S + 12, thaw), thaw
    if which is None:
        return "", "", ""
    folder = STATE if which == "state" else DISK
    size = {"state": "size=512k,mode=0700", "target": "size=64k,mode=0755", "inodes": "size=64k,nr_inodes=5,mode=0755"}[which]
    made = "mkdir -p {0}; mount -t tmpfs -o {1} none {0}".format(folder, size)
    if folder == DISK:
        made += "; printf 'old one\\n' > {0}/one.conf; printf 'old two\\n' > {0}/two.conf".format(folder)
    if "remount" in case:
        return made, "mount -o remount,ro " + folder, "mount -o remount,rw " + folder
    full = "dd if=/dev/zero of={0}/fill bs=1k status=none 2>/dev/null || true"
    if which == "inodes":
        full = "touch {0}/fill-1 {0}/fill-2 {0}/fill-3 2>/dev/null || true"
    return made, full.format(folder), "rm -f {0}/fill*".format(folder)


def clear(bench: Bench, case: dict[str, Any]) -> None:
    """Take everything of a case away again."""
    mounts = "chattr -R -i {0} 2>/dev/null; umount {0} {1} 2>/dev/null; rm -rf {1} /opt/kept".format(STATE, DISK)
    bench.host.sh("; ".join([case.get("heal", "true"), case.get("after", "true"), mounts, "systemctl reset-failed 2>/dev/null", "true"]), check=False)


def run_change(bench: Bench, case: dict[str, Any], request: dict[str, Any], cause: str) -> str:
    """Make the change, with the fault where the case wants it; what was said."""
    if "at" not in case:
        bench.host.sh(cause)
        return bench.host.sh(_faults.words_for(request), check=False, timeout_s=120)
    run = bench.host.start(_faults.words_for(dict(request, stop_at=case["at"])))
    try:
        shot = bench.ask("shoot", kind="none", timeout_s=40)
        if not shot["hit"]:
            raise LabError("the run never stood at {0}: {1}; {2}".format(case["at"], shot, run.communicate(timeout=30)[0][-300:]))
        bench.host.sh(cause)
        if not case.get("stays"):
            bench.host.sh("kill -CONT {0} || true".format(shot["pid"]))
        return run.communicate(timeout=120)[0].decode("utf-8", "backslashreplace")
    except subprocess.TimeoutExpired:
        return "the run did not end"
    finally:
        if run.poll() is None:
            run.kill()


def ended_as(settled: dict[str, Any]) -> str:
    """How the journal says that it ended; refused where nothing was ever begun."""
    last = settled["journals"][-1]["states"] if settled["journals"] else []
    if not any(state.startswith("applying") for state in last):
        return "refused"
    states = [state for state in last if not state.startswith(("applying", "undone_one"))]
    return states[-1]


def heal(bench: Bench, case: dict[str, Any], settled: dict[str, Any], unfill: str) -> tuple[dict[str, Any], list[str]]:
    """Do what a person would, then run the very command that the journal names."""
    last = settled["journals"][-1]["last"]
    command = last.get("command") or ""
    wrong = [] if command and last.get("problems") else ["the journal names no command or no problem: {0}".format(last)]
    bench.host.sh("; ".join(line for line in (case.get("heal"), unfill) if line) or "true", check=False)
    if command:
        said = bench.host.sh(command + " 2>&1; echo status $?", check=False)
        if not said.strip().endswith("status 0"):
            said = bench.host.sh(command + " --force 2>&1; echo status $?", check=False)
        if not said.strip().endswith("status 0"):
            wrong.append("{0}: {1}".format(command, said[-300:]))
    return bench.ask("settle", timeout_s=20, steady_s=10, compare=["old"]), wrong


def attempt(bench: Bench, case: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
    row: dict[str, Any] = {"name": case["name"], "host": bench.host.name, "wrong": []}
    made, cause, unfill = folder_lines(case)
    bench.ask("clean")
    try:
        bench.host.sh("; ".join(line for line in (made, case.get("before")) if line) or "true")
        bench.ask("steady")
        bench.ask("record", name="old")
        said = run_change(bench, case, declared(case["change"], data), "; ".join(line for line in (cause, case.get("do")) if line) or "true")
        if case.get("confirm"):
            said += bench.host.sh(_faults.words_for({"module": "incident", "arguments": {"state": "confirmed", "settle": 4.0}, "options": {}}), check=False)
        # An undo that fails is tried again for some time before it is left to a person.
        settled = bench.ask("settle", timeout_s=WITHIN_S + 75, steady_s=6, compare=["old"], failed_is_over=True)
        got = ended_as(settled)
        expected = case["expect"]
        problems = settled["journals"][-1]["last"].get("problems", []) if settled["journals"] else []
        if got == "undo_failed" and expected in ("undo_failed", "either"):
            settled, row["wrong"] = heal(bench, case, settled, unfill)
        elif got not in (("undone", "undo_failed") if expected == "either" else (expected,)):
            row["wrong"].append("it ended as {0}, not {1}".format(got, expected))
        if not settled["same"]:
            row["wrong"].append("not as it was: " + "; ".join(settled["differences"]["old"][:6]))
        if settled["own"]:
            row["wrong"].append("left armed: " + ", ".join(settled["own"]))
        said += " ".join(problems)
        if case.get("says") and case["says"] not in said:
            row["wrong"].append("it does not say {0!r}".format(case["says"]))
        row["said"] = "{0}; {1}".format(got, said.strip()[-500:])
        if row["wrong"]:
            row["states"] = [journal["states"] for journal in settled["journals"]]
    except (LabError, subprocess.TimeoutExpired, OSError, KeyError, ValueError) as problem:
        row["wrong"].append("harness: {0!r}".format(problem)[:600])
    finally:
        clear(bench, case)
    if row["wrong"]:
        bench.renew()
    return row


def spread(benches: list[Bench], cases: list[dict[str, Any]], work: Callable[[Bench, dict[str, Any]], dict[str, Any]]) -> list[dict[str, Any]]:
    """All cases, side by side on the hosts; a line is printed as each ends."""
    waiting: queue.Queue[dict[str, Any]] = queue.Queue()
    for case in cases:
        if NAMES is None or case["name"] in NAMES:
            waiting.put(case)
    rows: list[dict[str, Any]] = []

    def serve(bench: Bench) -> None:
        bench.ready_for = ""
        while True:
            try:
                case = waiting.get_nowait()
            except queue.Empty:
                return
            try:
                row = work(bench, case)
            except (LabError, subprocess.TimeoutExpired, OSError, KeyError, ValueError) as problem:
                row = {"name": case["name"], "wrong": ["harness: {0!r}".format(problem)[:600]]}
            rows.append(row)
            print("{0:5} {1:40} {2}".format("FAIL" if row["wrong"] else "ok", row["name"], "; ".join(row["wrong"])[:600]), flush=True)

    threads = [threading.Thread(target=serve, args=(bench,)) for bench in benches]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return rows


def part(benches: list[Bench], randomly: random.Random, fast: bool) -> list[dict[str, Any]]:
    data = data_of("cases.yml")
    return spread(benches, data["cases"], lambda bench, case: attempt(bench, case, data))
