# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""tests/incidents/run: every incident caused for real, diagnosed blind, compared, undone."""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import _away
import _containers
import _incidents
import _machine
from _common import ROOT, LabError, alone, options, run, say, ssh
from _compare import first_verdict, leaks, misses, said, unseen, untold, wanted

RESULTS = ROOT / "docs" / "results" / "incidents.json"
# What a short run may take together, by what each took in the last whole run.
FAST_S = 240.0


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--only", help="names of incidents, joined by commas")
    parser.add_argument("--fast", action="store_true",
                        help="a third of them, drawn at random, without the whole machine; fewer where they took long in the last whole run")
    parser.add_argument("--no-machine", action="store_true", help="leave out what needs the whole machine")
    parser.add_argument("--seed", type=int, help="draw everything as that run did")
    parser.add_argument("--json", help="write the results there instead of docs/results/incidents.json")
    parser.add_argument("--remediate", action="store_true", help="have each that has an automatic mitigation remediated, on a host of its own, and judge that")
    parser.add_argument("--update", action="store_true", help="with --remediate: put the rows of this run in the place of an earlier run's")
    parser.add_argument("--lanes", type=int, default=1, help="with --remediate: how many side by side (1)")
    parser.add_argument("--looks", choices=["none", "one", "all"],
                        help="look again as {0}: not at all (with --fast), as one of them drawn for each incident, as each (otherwise)".format(
                            " and as ".join(_away.LOOKS)))
    parser.add_argument("--keep", action="store_true", help="keep the reports")


def chosen(asked: argparse.Namespace, randomly: random.Random) -> list[str]:
    """Names of the incidents of this run, in random order."""
    names = _incidents.names()
    if asked.only:
        names = [name for name in asked.only.split(",") if _incidents.read(name)]
    elif asked.fast or asked.no_machine:
        names = [name for name in names if _incidents.read(name)["hosts"] != "machines"]
    randomly.shuffle(names)
    return _incidents.within(names[: max(1, len(names) // 3)], _took(), FAST_S) if asked.fast and not asked.only else names


def _took() -> dict[str, float]:
    """Seconds from cause to verdict of each incident when it was played last."""
    rows = json.loads(RESULTS.read_text(encoding="utf-8"))["rows"] if RESULTS.exists() else []
    return {row["incident"]: row["caused_s"] + row["seconds"] for row in rows if row.get("caused_s") is not None and row.get("seconds") is not None}


def diagnose(hosts: list[str], folder: str, variables: dict[str, Any], verbosity: int) -> tuple[dict[str, Any], str, float]:
    """(diagnosis.json, everything printed, seconds). LabError when no document was written."""
    words = ["ansible-playbook", str(ROOT / "playbooks" / "diagnose.yml"), "-i", str(ROOT / "inventories" / "lab"), "-l", ",".join(hosts),
             "-e", json.dumps(dict(variables, pressure_report_dir=folder))]
    if verbosity:
        words.append("-" + "v" * verbosity)
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    environment = dict(os.environ, ANSIBLE_CONFIG=str(ROOT / "ansible.cfg"), PATH=path, LC_ALL="C.UTF-8")
    started = time.monotonic()
    done = subprocess.run(words, cwd=str(ROOT), env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=600, check=False)
    seconds = time.monotonic() - started
    printed = done.stdout.decode("utf-8", "backslashreplace")
    document = Path(folder) / "latest" / "diagnosis.json"
    if not document.exists():
        raise LabError("diagnose wrote no {0} (exit status {1}): {2}".format(document, done.returncode, printed.strip()[-500:]))
    return json.loads(document.read_text(encoding="utf-8")), printed, seconds


def _leftovers(host: str, never: list[str]) -> list[str]:
    """Files that a run left on the target and that hold what must never be written."""
    secrets = [words for words in never if words.startswith("pw")]
    found = []
    for words in secrets:
        listed = ssh(host, "grep -r -l -a -F -e {0} /root/.ansible /home/*/.ansible /tmp /var/lib/oncall-pressure /etc/oncall-pressure 2>/dev/null "
                           "|| true".format(words)).stdout.split()
        found += ["{0!r} in {1}:{2}".format(words, host, path) for path in listed]
    return found


def _check_texts(host: str, folder: str, printed: str, incident: dict[str, Any]) -> list[str]:
    documents = {}
    for path in Path(folder).rglob("*"):
        if path.is_file():
            documents[str(path.relative_to(folder))] = path.read_text(encoding="utf-8", errors="surrogateescape")
    never = incident.get("never_says", [])
    everything = dict(documents, **{"standard output and error": printed})
    return unseen(documents, incident.get("sees", [])) + leaks(everything, never) + _leftovers(host, never)


def again(look: str, host: str, folder: str, whole: dict[str, Any], incident: dict[str, Any]) -> dict[str, Any]:
    """Another look at a sick host, by another user: ``{"grade", "why", "got", "seconds", "wrong"}``."""
    variables, answers = _away.LOOKS[look]
    folder = "{0}-{1}".format(folder, look)
    document, dummy, seconds = diagnose([host], folder, dict(incident.get("variables", {}), **variables), 0)
    grade, why = _away.graded(document, folder, host, whole, incident)
    return {"grade": grade, "why": why[:300], "got": said(document, host), "confidence": first_verdict(document, host).get("confidence"),
            "seconds": round(seconds, 1), "wrong": grade not in answers}


def attempt(name: str, seed: int, folder: str, looks: str = "none") -> dict[str, Any]:
    """One incident from cause to undo; a row of the table."""
    incident = _incidents.drawn(name, seed)
    hosts = _incidents.hosts_for(incident)
    host = random.Random(seed).choice(hosts)
    row: dict[str, Any] = {"incident": name, "runbook": incident["runbook"], "host": host, "seed": seed, "expected": wanted(incident["expected"]),
                           "got": None, "confidence": None, "seconds": None, "misses": []}
    started = time.monotonic()
    try:
        _incidents.cause(incident, host)
        row["caused_s"] = round(time.monotonic() - started, 1)
        document, printed, seconds = diagnose(hosts, folder, incident.get("variables", {}), incident.get("verbosity", 0))
        row["seconds"] = round(seconds, 1)
        row["got"] = said(document, host)
        row["confidence"] = first_verdict(document, host).get("confidence")
        others = [other for other in hosts if other != host]
        row["misses"] = misses(document, host, others, incident["expected"])
        if "by_hand" in incident and not row["misses"]:
            row["misses"] += untold(document, host, incident["by_hand"])
        row["misses"] += _check_texts(host, folder, printed, incident)
        if not misses(document, host, [], incident["expected"]):
            # what was wrong to begin with tells nothing of what is left of it
            _less(row, host, others, folder, document, incident, _drawn_looks(looks, seed))
    except (LabError, subprocess.TimeoutExpired, ValueError) as problem:
        row["misses"].append(str(problem)[:600])
    finally:
        try:
            row["misses"] += ["undo failed: " + line for line in _incidents.undo(host)]
        except LabError as problem:
            row["misses"].append("undo failed: {0}".format(problem))
    return row


def _drawn_looks(looks: str, seed: int) -> list[str]:
    names = list(_away.LOOKS)
    return {"none": [], "one": [random.Random(seed + 1).choice(names)], "all": names}[looks]


def _less(row: dict[str, Any], host: str, others: list[str], folder: str, document: dict[str, Any], incident: dict[str, Any], looks: list[str]) -> None:
    """What is said with less: without each collector, and by those who look again; what is wrong of it is a miss."""
    row["away"] = _away.taken_away(folder, host, others, incident)
    row["misses"] += row["away"]["wrong"]
    row["looks"] = {}
    for look in looks:
        row["looks"][look] = found = again(look, host, folder, document["hosts"][host], incident)
        if found["wrong"]:
            row["misses"].append("looked at as {0} it is {1}: {2}".format(look, found["got"], found["why"]))


def _print(row: dict[str, Any]) -> None:
    print("{0:4} {1:32} {2:12} expected: {3}\n{4:50} got:      {5}  confidence: {6}  caused in {7} s, diagnosed in {8} s".format(
        "FAIL" if row["misses"] else "ok", row["incident"], row["host"], row["expected"], "", row["got"], row["confidence"],
        row.get("caused_s"), row["seconds"]))
    if "away" in row:
        grades = row["away"]["grades"]
        for grade in _away.GRADES:
            named = [name for name in grades if grades[name] == grade]
            if named:
                print("{0:50} {1:9} without {2}".format("", grade + ",", ", ".join(named)))
        for look, found in row["looks"].items():
            print("{0:50} {1:9} as {2}: {3}  confidence: {4}  in {5} s".format(
                "", found["grade"] + ",", look, found["got"], found["confidence"], found["seconds"]))
    for miss in row["misses"]:
        print("{0:50} miss:     {1}".format("", miss))
    sys.stdout.flush()


def _summed(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """How often each grade was given, over all incidents: by the collector that was away, and by who looked again."""
    found: dict[str, dict[str, int]] = {}
    for row in rows:
        less = [("without " + name, grade) for name, grade in row.get("away", {}).get("grades", {}).items()]
        less += [("as " + name, look["grade"]) for name, look in row.get("looks", {}).items()]
        for name, grade in less:
            counts = found.setdefault(name, dict.fromkeys(_away.GRADES, 0))
            counts[grade] += 1
    return found


def _write(path: Path, seed: int, rows: list[dict[str, Any]]) -> None:
    commit = run(["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"], check=False).stdout.strip() or None
    changed = bool(run(["git", "-C", str(ROOT), "status", "--porcelain", "plugins", "roles", "playbooks"], check=False).stdout.strip())
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"suite": "incidents", "commit": commit, "uncommitted_changes": changed, "seed": seed,
               "less": _summed(rows), "passed": sum(1 for row in rows if not row["misses"]), "failed": sum(1 for row in rows if row["misses"]), "rows": rows}
    path.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def main(asked: argparse.Namespace) -> int:
    """Exit status: 0 all right, 1 a miss."""
    if asked.remediate:
        # it changes the names of hosts for the whole process
        import _remediated

        return _remediated.main(asked)
    with alone("incidents"):
        return _all(asked)


def _all(asked: argparse.Namespace) -> int:
    seed = random.SystemRandom().randrange(10 ** 6) if asked.seed is None else asked.seed
    randomly = random.Random(seed)
    names = chosen(asked, randomly)
    say("seed {0}; {1} incidents: {2}".format(seed, len(names), ", ".join(names)))
    _containers.up()
    if any(_incidents.read(name)["hosts"] == "machines" for name in names):
        _machine.up()
    for host in [*options()["hosts"], options()["machine"]["name"]]:
        if _incidents.is_up(host):
            _incidents.undo(host)
    rows = []
    with tempfile.TemporaryDirectory(prefix="oncall-incidents-") as scratch:
        for name in names:
            folder = str((ROOT / ".cache" / "incidents" if asked.keep else Path(scratch)) / name)
            rows.append(attempt(name, randomly.randrange(10 ** 6), folder, asked.looks or ("none" if asked.fast else "all")))
            _print(rows[-1])
    failed = sum(1 for row in rows if row["misses"])
    if asked.json or not (asked.only or asked.fast):
        _write(Path(asked.json) if asked.json else RESULTS, seed, rows)
    print("seed {0}".format(seed))
    print("{0} passed, {1} failed".format(len(rows) - failed, failed))
    return 1 if failed else 0
