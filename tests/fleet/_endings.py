# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The endings of endings.yml: what the exit status, the recap and the words say is held against what really became of the hosts."""

from __future__ import annotations

import concurrent.futures
import json
import random
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import _fleet
import _report
from _common import ROOT, LabError
from _fleet import DATA, Host
from _play import Play, ran
from _shapes import VARIABLES, Hurt, untouched, wholly_old

SHIPPED = "oncall.pressure.remediate"
RECORDINGS = ROOT / "tests" / "endings" / "recordings"
NAMES: list[str] | None = None


def declared() -> list[dict[str, Any]]:
    rows = _fleet.data_of("endings.yml")
    return [row for row in rows if NAMES is None or row["name"] in NAMES]


def filled(value: Any, folder: Path) -> Any:
    """A value of the data file with FOLDER as it is in this run."""
    return json.loads(json.dumps(value).replace("FOLDER", str(folder)))


def without(name: str, folder: Path) -> dict[str, str]:
    """An environment in which a library cannot be imported, as where it was never installed."""
    (folder / "lacking").mkdir()
    (folder / "lacking" / (name + ".py")).write_text("raise ImportError('No module named {0}', name='{0}')\n".format(name), encoding="utf-8")
    return {"PYTHONPATH": str(folder / "lacking")}


def judged(row: dict[str, Any], play: Play, folder: Path, names: dict[str, str]) -> list[str]:
    """What is wrong with the exit status, the words and the recap."""
    allowed = row["status"] if isinstance(row["status"], list) else [row["status"]]
    wrong = [] if play.status in allowed else ["exit status {0}, not {1}: {2}".format(play.status, row["status"], play.said[-500:])]
    for words in filled(row.get("says", []), folder):
        words = " ".join(names.get(word, word) for word in words.split(" "))
        # a path on the screen may be broken between two lines
        if words not in play.line and words.replace(" ", "") not in play.line.replace(" ", ""):
            wrong.append("it does not say {0!r}: {1}".format(words, play.said[-500:]))
    wrong += ["it says {0!r}".format(words) for words in row.get("not_says", []) if words in play.line]
    wrong += ["it has a traceback: " + play.said[-400:]] if "Traceback (most recent call last)" in play.said else []
    if "recap" in row:
        recap = play.recap()
        for short, counts in row["recap"].items():
            host = names.get(short, short)
            seen = {key: recap.get(host, {}).get(key) for key in ("failed", "unreachable")}
            if seen != dict({"failed": 0, "unreachable": 0}, **counts):
                wrong.append("the recap says {0} of {1}, not {2}".format(seen, short, counts))
        named = {names.get(short, short) for short in row["recap"]}
        wrong += ["the recap says that {0} failed".format(host) for host, counts in recap.items()
                  if host not in named and (counts["failed"] or counts["unreachable"])]
    return wrong


def snapshots_for(row: dict[str, Any], folder: Path) -> Path:
    saved = folder / "saved"
    saved.mkdir()
    for name in row["saved"]:
        for path in (RECORDINGS / name).iterdir():
            shutil.copy(path, saved / path.name)
    return saved


def edit(path: Path, change: dict[str, Any], names: dict[str, str]) -> None:
    """A plan as a person edits it: one value put somewhere."""
    document = json.loads(path.read_text(encoding="utf-8"))
    keys = [names.get(key, key) if isinstance(key, str) else key for key in change["put"]]
    at = document
    for key in keys[:-1]:
        at = at[key]
    at[keys[-1]] = change["value"]
    path.write_text(json.dumps(document), encoding="utf-8")


def without_hosts(row: dict[str, Any], folder: Path) -> dict[str, Any]:
    """An ending over saved snapshots, or on this host."""
    own = folder / "endings" / row["name"]
    shutil.rmtree(own, ignore_errors=True)
    own.mkdir(parents=True)
    for name, text in row.get("files", {}).items():
        (own / name).write_text(text, encoding="utf-8")
    variables: dict[str, Any] = {"pressure_become": False, "pressure_window": 0.2, "ansible_python_interpreter": sys.executable}
    if row["over"] == "saved":
        variables["pressure_snapshots"] = str(snapshots_for(row, own))
    environment = without(row["without"], own) if "without" in row else {}
    if "plan" in row:
        ran(own / "before", SHIPPED, "localhost,", "-c", "local", variables=variables)
        shutil.copy(own / "before" / "reports" / "latest" / "plan.json", own / "plan.json")
        edit(own / "plan.json", row["plan"], {})
        variables["pressure_plan"] = str(own / "plan.json")
    variables.update(filled(row.get("variables", {}), own))
    play = ran(own, SHIPPED, "localhost,", "-c", row.get("connection", "local"), *row.get("words_given", []), variables=variables, **environment)
    return {"name": row["name"], "wrong": judged(row, play, own, {}), "said": "exit status {0}".format(play.status)}


def prepare(row: dict[str, Any], hosts: dict[str, Host], inventory: str, folder: Path) -> list[Host]:
    """What is done to the hosts first; returns those that were cut off."""
    cut = []
    for step in row.get("before", []):
        if "cut" in step:
            hosts[step["cut"]].ask("cut")
            cut.append(hosts[step["cut"]])
        if "write" in step:
            hosts[step["write"]].ask("write", files=step["files"])
        alone = {"pressure_service": DATA["service"], "pressure_settle": 0, "pressure_cool_down": 0}
        if "kept" in step:
            done = ran(folder / "kept", "oncall.pressure.lower_workers", inventory, "-l", hosts[step["kept"]].name, variables=alone)
            if done.status != 0:
                raise LabError("it could not be changed before: " + done.said[-300:])
        if "undone" in step:
            for unused in range(step["times"]):
                ran(folder / "undone", "oncall.pressure.lower_workers", inventory, "-l", hosts[step["undone"]].name,
                    variables=dict(alone, pressure_probe_url="http://127.0.0.1:9/"))
        if "open_change" in step:
            host = hosts[step["open_change"]]
            play = Play(folder / "open", "oncall.pressure.lower_workers", inventory, "-l", host.name, LOGNAME=step["by"],
                        variables=dict(alone, pressure_settle=120, pressure_confirm_within=900))
            play.until(lambda: host.ask("wait", state="verified", timeout_s=0)["seen"], 120)
            play.end()
            play.child.wait()
    return cut


def on_fleet(row: dict[str, Any], pool: list[Host], folder: Path) -> dict[str, Any]:
    """An ending with real hosts."""
    sick, healthy = [host for host in pool if host.sick], [host for host in pool if not host.sick]
    hosts = {name: (sick if name[0] == "s" else healthy)[int(name[1:]) - 1] for name in row["hosts"]}
    names = {name: host.name for name, host in hosts.items()}
    used = list(hosts.values())
    _fleet.ready(used)
    own = folder / "endings" / row["name"]
    shutil.rmtree(own, ignore_errors=True)
    own.mkdir(parents=True)
    for name, text in row.get("files", {}).items():
        (own / name).write_text(text, encoding="utf-8")
    extra = {names[name]: values for name, values in row.get("host_variables", {}).items()}
    inventory = str(_fleet.inventory(own, used, extra))
    variables = {key: value for key, value in VARIABLES.items() if key != "pressure_mode"}
    if "during" in row:
        variables["pressure_confirm_within"] = 40
    if row.get("plan_first"):
        ran(own / "before", SHIPPED, inventory, variables=variables)
        shutil.copy(own / "before" / "reports" / "latest" / "plan.json", own / "plan.json")
        if "plan" in row:
            edit(own / "plan.json", row["plan"], names)
        variables["pressure_plan"] = str(own / "plan.json")
    cut = prepare(row, hosts, inventory, own)
    # what was done before is no change of the run that is looked at
    _fleet.each([host for host in used if host not in cut], "record", name="old")
    variables.update(filled(row.get("variables", {}), own))
    hurt = Hurt([hosts[row["during"]["cut"]]], "cut") if "during" in row else None
    words = [names.get(word, word) for word in row.get("words_given", [])]
    play = Play(own, SHIPPED, inventory, *words, variables=variables)
    if hurt is not None:
        hurt.start()
    try:
        play.wait()
    finally:
        if hurt is not None:
            hurt.heal()
        for host in cut:
            host.ask("mend")
    wrong = judged(row, play, own, names)
    changed = [hosts[name] for name in row["changed"]]
    tried = [hosts[name] for name in row.get("recap", {}) if hosts[name] not in changed and hosts[name] not in cut]
    for host in used:
        if host in changed:
            workers = host.ask("workers")["workers"]
            expected = host.workers if any("undone" in step for step in row.get("before", [])) else None
            if (expected is None and not 0 < workers < host.workers) or (expected is not None and workers != expected):
                wrong.append("{0} has {1} of {2} workers".format(host.name, workers, host.workers))
        elif host in tried:
            # it may have been tried and put back, which leaves a record and other processes
            wrong += wholly_old(host, "the run")
        elif host not in cut:
            wrong += untouched([host])
    return {"name": row["name"], "wrong": wrong, "said": "exit status {0}".format(play.status)}


def lanes(hosts: list[Host]) -> list[list[Host]]:
    """Parts of the fleet that are worked on side by side, each with two or three sick hosts and four healthy ones."""
    sick, healthy = [host for host in hosts if host.sick], [host for host in hosts if not host.sick]
    count = max(min(len(sick) // 3, len(healthy) // 4), 1)
    return [sick[3 * number:3 * number + 3] + healthy[4 * number:4 * number + 4] for number in range(count)]


def one(row: dict[str, Any], pool: list[Host], folder: Path) -> dict[str, Any]:
    try:
        found = on_fleet(row, pool, folder) if row["over"] == "fleet" else without_hosts(row, folder)
    except (LabError, OSError, subprocess.SubprocessError) as problem:
        found = {"name": row["name"], "wrong": ["{0}: {1}".format(type(problem).__name__, problem)], "said": ""}
    _report.note("endings", found)
    return found


def part(hosts: list[Host], randomly: random.Random, fast: bool, folder: Path) -> list[dict[str, Any]]:
    """All of them; of a short run some."""
    rows = declared()
    easy = [row for row in rows if row["over"] != "fleet"]
    hard = [row for row in rows if row["over"] == "fleet"]
    if fast:
        easy, hard = randomly.sample(easy, min(6, len(easy))), randomly.sample(hard, min(1, len(hard)))
    with concurrent.futures.ThreadPoolExecutor(2) as workers:
        found = list(workers.map(lambda row: one(row, [], folder), easy))
    if hosts:
        parts = lanes(hosts)
        with concurrent.futures.ThreadPoolExecutor(len(parts)) as workers:
            futures = [workers.submit(lambda own=own, rows=rows: [one(row, own, folder) for row in rows])
                       for own, rows in ((own, hard[number::len(parts)]) for number, own in enumerate(parts))]
            for future in futures:
                found += future.result()
    order = [row["name"] for row in rows]
    return sorted(found, key=lambda row: order.index(row["name"]))
