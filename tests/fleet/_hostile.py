# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hostile texts at every place of snapshots, plans and journals, through diagnosis, plan and check: nothing runs, nothing reaches a terminal raw."""

from __future__ import annotations

import copy
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Iterator, NamedTuple

import cores
import _fleet
import _play
import _report
from _common import ROOT, LabError, say
from _fleet import Host

SICK = ROOT / "tests" / "endings" / "recordings" / "sick" / "lab-1.json"
# What must never be in what a terminal gets, beside the line feed: C0, DEL, C1, bidirectional and invisible characters, surrogates.
RAW = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff"
                 "\U000e0000-\U000e007f]")
CRON = {"id": "/etc/cron.d/shop:1", "path": "/etc/cron.d/shop", "line": 1, "user": "root", "schedule": "* * * * *", "command": "/bin/true", "paused": False,
        "due_in_s": 30, "period_s": 60, "running": [{"pid": 77, "age_s": 900.0}, {"pid": 78, "age_s": 600.0}, {"pid": 79, "age_s": 300.0}], "overlap": 3,
        "cpu": 1.2, "cpu_wait": 0.4, "rss_bytes": 90000000}
TIMER = {"id": "tidy.timer", "activates": "tidy.service", "next_in_s": 30, "last_age_s": 30, "running": True, "since_s": 20}


class Fact(NamedTuple):
    """One text at one place, and the path that must never come to be."""

    name: str
    text: str
    canary: Path


class Facts:
    """Every text of hostile.yml, each time with a path of its own in place of CANARY."""

    def __init__(self, folder: Path) -> None:
        self.data = _fleet.data_of("hostile.yml")
        self.folder = folder
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        self.made: list[Fact] = []

    def fact(self, text: str, place: str) -> str:
        """The text to plant."""
        canary = self.folder / "c{0}".format(len(self.made))
        words = self.data["texts"][text].replace("LONG", "0123456789" * 1000).replace("SURROGATE", "\ud83d").replace("CANARY", str(canary))
        self.made.append(Fact("{0} at {1}".format(text, place), words, canary))
        return words

    def ran(self) -> list[str]:
        """The facts whose path came to be."""
        return [fact.name for fact in self.made if fact.canary.exists()] + (["something else: " + path.name for path in self.folder.iterdir()])


def plant(document: Any, path: str, text: str) -> int:
    """Put a text at a place; how often it was put there."""
    head, unused, rest = path.partition(".")
    many = head.endswith("[]")
    name = head[:-2] if many else head
    if not isinstance(document, dict) or name not in document:
        return 0
    if not rest:
        if many:
            document[name] = [text for unused in document[name] or [None]]
        else:
            document[name] = text
        return 1
    below = document[name]
    return sum(plant(row, rest, text) for row in below or []) if many else plant(below, rest, text)


def base() -> dict[str, Any]:
    """A snapshot of a sick host, with jobs, connections and what was changed."""
    document = json.loads(SICK.read_text(encoding="utf-8"))
    document["jobs"] = {"cron": [copy.deepcopy(CRON)], "timers": [copy.deepcopy(TIMER)], "unmatched": [{"pid": 80, "age_s": 5.0, "command": "x"}]}
    listener = {"kind": "unix", "address": "/run/a", "port": None, "backlog": 9, "waiting": 9, "established": 1, "service": "a", "pid": 1, "own_network": True}
    peer = {"address": "192.0.2.1", "port": 443, "sockets": 1, "states": {"ESTABLISHED": 1}, "services": [{"service": "a", "pid": 1, "sockets": 1}]}
    document["connections"] = {"listeners": [listener], "outbound": [peer], "services": [], "networks": 1}
    event = {"at": "2026-01-10T02:55:00Z", "age_s": 60.0, "kind": "commit", "what": "x", "service": "a", "pid": 1, "detail": "x"}
    document["timeline"] = {"window_s": 86400.0, "left_out": 0, "events": [event]}
    for name in ("jobs", "connections", "changes"):
        document["collectors"][name] = {"reason": None, "seconds": 0.1, "status": "ok"}
    return document


def with_service(document: dict[str, Any], text: str) -> None:
    """The sick service has this id, wherever it is named."""
    old = next(row["id"] for row in document["services"] if row["component"] == "gunicorn")
    for row in [*document["services"], *document["oom"]["events"], *document["processes"]["top_memory"]]:
        for key in ("id", "service"):
            if row.get(key) == old:
                row[key] = text
    document["oom"]["services"] = {text if name == old else name: row for name, row in document["oom"]["services"].items()}


def snapshots(facts: Facts, folder: Path) -> int:
    """A snapshot for each text: at every place that only tells, as the id of the service, as the name of the host. How many documents there are."""
    folder.mkdir(parents=True)
    documents = []
    for number, name in enumerate(facts.data["texts"]):
        document = base()
        document["name"] = "tells-{0:03d}".format(number)
        for place, path in facts.data["places"].items():
            if not plant(document, path, facts.fact(name, place)):
                raise LabError("no snapshot has the place {0}".format(path))
        documents.append(document)
        document = base()
        document["name"] = "named-{0:03d}".format(number)
        with_service(document, facts.fact(name, "service"))
        documents.append(document)
        document = base()
        document["name"] = facts.fact(name, "host")
        documents.append(document)
    for number, document in enumerate(documents):
        (folder / "{0:04d}.json".format(number)).write_text(json.dumps(document), encoding="utf-8")
    return len(documents)


def texts(value: Any) -> Iterator[str]:
    """Every text of a document, keys too."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, below in value.items():
            yield key
            yield from texts(below)
    elif isinstance(value, list):
        for below in value:
            yield from texts(below)


def raw(what: str, text: str) -> list[str]:
    """A line for the first sign that must not be in a text."""
    found = RAW.search(text)
    return [] if found is None else ["{0} holds {1!r}: {2!r}".format(what, found.group(), text[max(found.start() - 60, 0):found.end() + 20])]


def documents_clean(folder: Path) -> list[str]:
    """Whether every document of a run is free of them, in every text."""
    wrong = []
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            content = path.read_text(encoding="utf-8", errors="backslashreplace")
            values = list(texts(json.loads(content))) if path.suffix == ".json" else [content]
            wrong += [line for value in values for line in raw(path.name, value)][:1]
    return wrong


def shown(facts: Facts, text: str) -> int:
    """How many of the planted texts reached one, by their paths (each is another)."""
    return len(set(re.findall(re.escape(str(facts.folder)) + r"/(c[0-9]+)\b", text)))


def lines() -> Iterator[tuple[str, Path]]:
    """Every ansible-core line that a Python is found for, with its programs, made once."""
    for line, versions in cores.LINES.items():
        python = cores.find_python(versions)
        if python is None:
            say("ansible-core {0}: none of Python {1} was found here".format(line, ", ".join(versions)))
            continue
        programs, why = cores.environment(line, python)
        if programs is None:
            raise LabError("ansible-core {0} cannot be installed: {1}".format(line, why[-300:]))
        yield line, programs


def with_core(line: str, programs: Path, folder: Path, wanted: int, facts: Facts) -> dict[str, Any]:
    """All snapshots through diagnosis and plan with one ansible-core; as an operator who wants to see everything."""
    own = folder / line
    path = os.pathsep.join([str(programs), os.environ.get("PATH", os.defpath)])
    # pressure_thresholds is left alone: what counts is that verdicts fire
    play = _play.ran(own, "oncall.pressure.remediate", "localhost,", "-c", "local", "-vvv",
                     variables={"pressure_snapshots": str(folder / "saved"), "pressure_become": False, "ansible_python_interpreter": str(programs / "python")},
                     program=str(programs / "ansible-playbook"), PATH=path)
    wrong = [] if play.status == 0 else ["exit status {0}: {1}".format(play.status, play.said[-400:])]
    wrong += ["run by a fact: " + name for name in facts.ran()]
    wrong += raw("standard output", play.raw.decode("utf-8", "surrogateescape"))
    latest = play.reports / "latest"
    wrong += documents_clean(latest)
    hosts = (play.document("diagnosis.json") or {"hosts": {}})["hosts"]
    if len(hosts) < wanted:
        wrong.append("{0} of {1} snapshots are in the diagnosis".format(len(hosts), wanted))
    sick = sum(1 for row in hosts.values() if row["state"] == "incident")
    reached = {"screen": shown(facts, play.said), "diagnosis": 0, "plan": 0, "report": 0}
    for name, file in (("diagnosis", "diagnosis.json"), ("plan", "plan.json"), ("report", "report.md")):
        if (latest / file).exists():
            reached[name] = shown(facts, (latest / file).read_text(encoding="utf-8"))
    wrong += ["none of the facts reached the " + name for name, count in reached.items() if not count]
    version = "" if play.status is None else subprocess.run([str(programs / "ansible-playbook"), "--version"], stdout=subprocess.PIPE, check=False,
                                                            env=_play.environment(PATH=path)).stdout.decode().splitlines()[0]
    return {"name": "snapshots with " + (version or line), "wrong": wrong[:8], "facts": len(facts.made),
            "said": "{0} facts in {1} snapshots, {2} sick; they reached screen {screen}, diagnosis {diagnosis}, plan {plan}, report {report} times".format(
                len(facts.made), len(hosts), sick, **reached)}


def plans(facts: Facts, folder: Path, randomly: random.Random, fast: bool) -> list[dict[str, Any]]:
    """Plan files: each text at each place, read by what reads plans; some of them by the playbook too, on this host, in check mode."""
    sys.path.insert(0, str(ROOT / ".venv" / "collections"))
    from ansible_collections.oncall.pressure.plugins.plugin_utils import _mitigations, _plan_file
    declared = _mitigations.load_mitigations(str(ROOT / "roles"))
    wrong: list[str] = []
    refused = 0
    files: list[tuple[str, bytes]] = []
    for name in facts.data["texts"]:
        for place in facts.data["plan"]:
            before = len(facts.made)
            content = json.dumps(edited(place, facts.fact(name, "plan " + place))).encode()
            files.append((facts.made[before].name, content))
            try:
                _plan_file.parse_plan("plan.json", content, declared)
            except _plan_file.BadPlan as problem:
                refused += 1
                wrong += raw(facts.made[before].name, str(problem))
    wrong += ["run by a fact: " + name for name in facts.ran()]
    rows = [{"name": "plan files, read", "wrong": wrong[:8], "facts": len(files), "said": "{0} plans, {1} refused by their place".format(len(files), refused)}]
    if not refused or refused == len(files):
        rows[0]["wrong"].append("all of them ended alike: {0} of {1} refused".format(refused, len(files)))
    for name, content in randomly.sample(files, 2 if fast else 12):
        own = folder / "plan-{0}".format(len(rows))
        own.mkdir(parents=True)
        (own / "plan.json").write_bytes(content)
        play = _play.ran(own, "oncall.pressure.remediate", "localhost,", "-c", "local", "--check", "--diff",
                         variables={"pressure_plan": str(own / "plan.json"), "pressure_mode": "apply", "pressure_become": False, "pressure_window": 0.2,
                                    "ansible_python_interpreter": sys.executable})
        wrong = raw("standard output", play.raw.decode("utf-8", "surrogateescape"))
        wrong += ["run by a fact: " + ran for ran in facts.ran()]
        wrong += [] if play.status in (0, 2) else ["exit status {0}".format(play.status)]
        wrong += ["it has a traceback: " + play.said[-300:]] if "Traceback" in play.said else []
        rows.append({"name": "plan file, applied in check mode: " + name, "wrong": wrong, "said": "exit status {0}".format(play.status)})
    return rows


def edited(place: str, text: str) -> dict[str, Any]:
    """A plan for this host that is right but for one text."""
    step = {"mitigation": "lower_workers", "title": "Lower the number of workers", "rung": 1, "disruption": "low", "loses_work": False, "reversible": "fully",
            "evidence_first": False, "settle_s": 5, "variables": {"pressure_service": "shop-web.service"},
            "for": {"rule": "web.too_many_workers_for_memory", "service": "shop-web.service"}, "held": None}
    verdict = {"rule": "web.too_many_workers_for_memory", "service": "shop-web.service", "name": "shop-web.service", "component": "gunicorn",
               "resource": "memory", "cause": "concurrency", "confidence": "high", "summary": "8 workers"}
    row = {"act": True, "held": None, "taken": {"at": "2026-01-01T00:00:00Z", "boot_id": "x"}, "state": "incident", "verdicts": [verdict],
           "open": [{"entry": "x/01", "mitigation": "lower_workers", "service": "shop-web.service", "owner": "a@b", "state": "confirmed", "undone_in_s": None}],
           "steps": [step], "lasting": ["set it"], "run": ["true"]}
    document: dict[str, Any] = {"schema": 1, "kind": "plan", "made": {"at": "2026-01-01T00:00:00Z", "run": "x", "owner": "a@b"},
                                "fleet": {"hosts": 1, "act": 1, "held": 0}, "hosts": {"localhost": row}}
    if place == "host":
        document["hosts"] = {text: row}
    elif place == "key":
        row[text] = "x"
    elif place == "variable_name":
        step["variables"][text] = "x"
    else:
        at: Any = {"title": (step, "title"), "held": (row, "held"), "step_held": (step, "held"), "summary": (verdict, "summary"),
                   "lasting": (row["lasting"], 0), "run": (row["run"], 0), "owner": (row["open"][0], "owner"), "service_of_reason": (step["for"], "service"),
                   "rule_of_reason": (step["for"], "rule"), "mitigation": (step, "mitigation"),
                   "variable": (step["variables"], "pressure_service")}[place]
        at[0][at[1]] = text
    return document


def part(hosts: list[Host], randomly: random.Random, fast: bool, folder: Path) -> list[dict[str, Any]]:
    """The saved snapshots with every ansible-core line (a short run: the one that everything is run with here), then the plans."""
    own = folder / "hostile"
    shutil.rmtree(own, ignore_errors=True)
    # Short: a text is cut where it is long, and a cut one could do nothing.
    facts = Facts(Path(tempfile.gettempdir()) / "fleet-{0}".format(randomly.randrange(10 ** 6)))
    try:
        count = snapshots(facts, own / "saved")
        rows = []
        for line, programs in ([("own", Path(sys.executable).parent)] if fast else lines()):
            rows.append(with_core(line, programs, own, count, facts))
            _report.note("hostile", rows[-1])
        more = plans(facts, own, randomly, fast)
        for row in more:
            _report.note("hostile", row)
        return rows + more
    finally:
        shutil.rmtree(facts.folder, ignore_errors=True)
