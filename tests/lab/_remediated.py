# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""tests/incidents/run --remediate: every incident that has an automatic mitigation, caused on a host of its own, remediated without a person, and judged.

What judges knows nothing of the product: the kernel's counters of kills and of processor time, the processes of the service, and a probe from another host.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import json
import importlib
import queue
import random
import shlex
import sys
import tempfile
import threading
import time
import traceback
from pathlib import Path
from typing import Any

import _image
import _incidents
import yaml
from _causes import STEPS
from _common import ADDED, CACHE, ROOT, LabError, alone, commit, engine, options, run, say, ssh, ssh_key

# Both have files of the same names; those of the first are meant, and of the second only what compares two states of a host.
for folder in ("relief", "faults"):
    sys.path.append(str(ROOT / "tests" / folder))

# found by then, and read by each other when they are loaded: in this order
_hosts = importlib.import_module("_hosts")

# The relief suite may run at the same time: these have other names and ports.
_hosts.HOSTS = {"healed-1": (22401, "lab-1"), "healed-2": (22402, "lab-2"), "healed-3": (22403, "lab-3"), "healed-prober": (22404, "lab-1")}
_hosts.PROBER = "healed-prober"
_hosts.MACHINE = ("healed-machine", 22405)

_machine_host = importlib.import_module("_machine_host")

_machine_host.PID_FILE = CACHE / "healed-machine.pid"
_machine_host.OUTSIDE_PORT = 28082

_judge = importlib.import_module("_judge")
_judged = importlib.import_module("_judged")
_measure = importlib.import_module("_measure")
state = importlib.import_module("state")
Scene = importlib.import_module("_scene").Scene

SITE_PORT = _machine_host.SITE_PORT
#: Settings of every run, said in the table: shorter than the defaults, or one run would take a quarter of an hour; but for the time that collectors have,
#: since the machine under the lab is not ours alone.
SETTINGS = {"settle": 15, "patience": 180, "stable_for": 30, "timeout": 45}
# Where the incident is about who asks, the probe must not be one of them.
UNLOGGED = "server {{ listen {0}; access_log off; location / {{ proxy_read_timeout 120s; proxy_pass http://127.0.0.1:{1}; }} }}\n"
QUIET_S = 12.0
#: How long it is looked at after the playbook has ended.
AFTER_S = 35.0


def cases(names: list[str]) -> list[tuple[str, str]]:
    """(incident, way): an incident may be remediated in several ways."""
    return [(name, way) for name in names for way in _incidents.read(name).get("remediated", {}).get("ways", [])]


def chosen(asked: argparse.Namespace) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for given in asked.only.split(",") if asked.only else _incidents.names():
        name, dummy, way = given.partition("/")
        ways = [pair for pair in cases([name]) if way in ("", pair[1])]
        if asked.only and not ways:
            raise LabError("{0} is not remediated: one of {1}".format(given, ", ".join(map("/".join, cases(_incidents.names())))))
        found += ways
    return [pair for pair in found if not (asked.no_machine or asked.fast) or _incidents.read(pair[0])["hosts"] != "machines"]


def _up() -> None:
    ssh_key()
    ADDED.update({name: port for name, (port, profile) in _hosts.HOSTS.items()})
    ADDED[_hosts.MACHINE[0]] = _hosts.MACHINE[1]
    network = options()["network"]
    _image.build()
    with alone("containers"):
        if run([engine(), "network", "inspect", network], check=False).returncode != 0:
            run([engine(), "network", "create", network])
    _hosts.make(_hosts.PROBER)


def _make(host: str) -> None:
    if host == _machine_host.NAME:
        _machine_host.up()
    else:
        # a machine that others use too may be so busy that a container does not come up in its time
        for tries in range(3):
            try:
                return _hosts.make(host)
            except LabError as problem:
                say("{0}: {1}".format(host, problem))
        _hosts.make(host)


def _caused(scene: Scene, incident: dict[str, Any], told: dict[str, Any]) -> None:
    """The incident is true, and looked at from before on."""
    machine = scene.host == _machine_host.NAME
    site = told.get("site")
    if site and told.get("unlogged"):
        scene.on.write("/etc/nginx/sites-enabled/healed.conf", UNLOGGED.format(SITE_PORT, site))
        scene.on.sh("nginx -t -q && systemctl reload nginx.service")
    elif site:
        STEPS["nginx"](scene.on, {"name": "healed", "port": SITE_PORT, "upstream": site, "format": "combined_like"})
    _incidents.cause(incident, scene.host)
    (CACHE / ("spoiled-" + scene.host)).unlink(missing_ok=True)
    looked = told["looked_at"]
    scene.watch(looked["unit"], looked["match"], kind=looked.get("kind", "workers"))
    if site and machine:
        scene.probe("/probe", _machine_host.OUTSIDE_PORT, at=_machine_host.gateway())
    elif site:
        scene.probe("/probe", SITE_PORT)
    scene.note()
    time.sleep(QUIET_S)


def _record(scene: Scene, unit: str) -> dict[str, Any]:
    """What the host is like (tests/faults/state.py), without what its services write."""
    request = dict(yaml.safe_load((ROOT / "tests" / "faults" / "state.yml").read_text(encoding="utf-8")))
    request["units"] = [unit, "nginx.service"]
    program = (ROOT / "tests" / "faults" / "state.py").read_text(encoding="utf-8")
    said = ssh(scene.host, "/usr/bin/python3 -c " + shlex.quote(program), stdin=json.dumps(request).encode()).stdout
    return json.loads(said)


def _as_before(scene: Scene, before: dict[str, Any], unit: str) -> None:
    """Nothing of the host differs but the number of processes of a service that the kernel goes on killing in: that is counted over seconds."""
    lines = [line for line in state.differences(before, _record(scene, unit)) if not line.startswith("processes " + unit)]
    scene.figures["facts_compared"], scene.figures["facts_different"] = len(state.flat(before)), len(lines)
    scene.claim(not lines, "not as before: {0}".format("; ".join(lines[:4])))
    now = max(look["workers"] for look in scene.looks()[-50:])
    scene.claim(now == scene.figures["workers_before"], "{0} workers, {1} before".format(now, scene.figures["workers_before"]))


def _outcome(scene: Scene) -> dict[str, Any]:
    """What the product itself says of the host; which steps it took is nowhere else."""
    path = scene.folder / "reports" / "latest" / "outcomes" / (scene.host + ".json")
    if not path.exists():
        return {"state": "none", "steps": [], "why": "no outcome was written"}
    return json.loads(path.read_text(encoding="utf-8"))


def _afterwards(scene: Scene, since: float, told: dict[str, Any]) -> None:
    """A second diagnosis: held against the first, kills and requests counted since the relief only."""
    first = scene.latest()
    window = max(int(time.monotonic() - since) - 2, 20)
    play = scene.start("diagnose", earlier=str(first), oom_window=window, traffic_window=max(window, 30))
    play.wait()
    row = json.loads(scene.latest().read_text(encoding="utf-8"))["hosts"][scene.host]
    scene.figures["afterwards"] = row["state"] if row["state"] != "incident" else ", ".join(verdict["rule"] for verdict in row["verdicts"])
    scene.figures["afterwards_window_s"] = window
    left = sorted({verdict["rule"] for verdict in row["verdicts"]} - set(told.get("leaves", [])))
    if told.get("leaves"):
        scene.claim(not left, "a diagnosis afterwards says " + ", ".join(left))
    else:
        scene.claim(row["state"] == "healthy", "a diagnosis afterwards says {0}: {1}".format(
            row["state"], [verdict["summary"] for verdict in row["verdicts"]] or row["reason"]))


def _played(scene: Scene, incident: dict[str, Any], way: str) -> None:
    shared = {key: value for key, value in incident["remediated"].items() if key != "ways"}
    told = dict(shared, **incident["remediated"]["ways"][way])
    _caused(scene, incident, told)
    unit = told["looked_at"]["unit"]
    looks = scene.looks()
    scene.figures["workers_before"] = max(look["workers"] for look in looks[-100:])
    before = _record(scene, unit) if told.get("as_before") else None
    variables = dict(SETTINGS, mode="apply", **told.get("variables", {}))
    play = scene.start("remediate", **variables)
    status = play.wait(1500)
    scene.figures["playbook_s"] = {"remediate": round((play.ended or 0) - play.started, 1)}
    outcome = _outcome(scene)
    time.sleep(AFTER_S)
    scene.figures.update(status=status, ended=outcome["state"], why=outcome.get("why"),
                         steps=[{"mitigation": step["mitigation"], "state": step["state"], "why": step["why"]} for step in outcome["steps"]])
    looks = scene.looks()
    scene.figures["workers_after"] = max((look["workers"] for look in looks[-50:]), default=None)
    moments = _judge.Moments(looks[0]["t"], play.started, play.ended or time.monotonic(), looks[-1]["t"])
    scene.figures.update(_judge.relief(looks, moments, told["relief"]))
    scene.figures.update(_judge.answered(scene.probes(), _judge.kill_times(looks), moments))
    scene.wrong += _judge.wrong(scene.figures, told)
    if before is not None:
        _as_before(scene, before, unit)
    relieved = scene.figures.get("relief_s")
    if "afterwards" not in told or told["afterwards"]:
        _afterwards(scene, play.started + (relieved or 0.0), told)


def attempt(name: str, way: str, seed: int, free: queue.Queue[str], folder: Path, keep: bool) -> dict[str, Any]:
    """One incident from cause to the last look, on a host that is free; a row of the table."""
    machine = _incidents.read(name)["hosts"] == "machines"
    host = _machine_host.NAME if machine else free.get()
    try:
        return _on(host, name, way, seed, folder, keep)
    finally:
        if not machine:
            free.put(host)


def _on(host: str, name: str, way: str, seed: int, folder: Path, keep: bool) -> dict[str, Any]:
    incident = _incidents.drawn(name, seed)
    machine = host == _machine_host.NAME
    own = folder / "{0}-{1}".format(name, way)
    own.mkdir(parents=True, exist_ok=True)
    scene = Scene(name, host, own, folder / "hosts.yml")
    started = time.monotonic()
    try:
        _make(host)
        _played(scene, incident, way)
    except LabError as problem:
        scene.wrong.append(str(problem) if scene.plays else "the incident could not be caused, so nothing was tried: {0}".format(problem))
    except Exception:
        # One incident that breaks is one failure; the others are still worth their figures.
        scene.wrong.append(traceback.format_exc()[-800:])
    finally:
        for play in scene.plays:
            if play.child.poll() is None:
                play.kill()
        try:
            scene.end()
        except LabError as problem:
            scene.wrong.append(str(problem))
        if not keep:
            if machine:
                _machine_host.down()
            else:
                run([engine(), "rm", "--force", "--volumes", host], check=False)
    return {"incident": name, "way": way, "host": host, "seed": seed, "drawn": incident["values"], "settings": SETTINGS,
            "asked": incident["remediated"]["ways"][way].get("variables", {}), "commit": commit(),
            "seconds": round(time.monotonic() - started, 1), "figures": scene.figures, "wrong": scene.wrong}


def main(asked: argparse.Namespace) -> int:
    """Exit status: 0 all right, 1 a claim that does not hold."""
    seed = random.SystemRandom().randrange(10 ** 6) if asked.seed is None else asked.seed
    pairs = chosen(asked)
    say("seed {0}; {1} to remediate: {2}".format(seed, len(pairs), ", ".join("/".join(pair) for pair in pairs)))
    rows: list[dict[str, Any]] = []
    free: queue.Queue[str] = queue.Queue()
    for host in sorted(set(_hosts.HOSTS) - {_hosts.PROBER}):
        free.put(host)
    writing = threading.Lock()

    def one(pair: tuple[str, str], folder: Path) -> None:
        # what is drawn for one does not depend on which others are run
        row = attempt(*pair, random.Random("{0}/{1}/{2}".format(seed, *pair)).randrange(10 ** 6), free, folder, asked.keep)
        with writing:
            rows.append(row)
            _judged.say_row(row)
            if asked.json or not (asked.only or asked.fast) or asked.update:
                _judged.write(asked.json, rows, [list(known) for known in cases(_incidents.names())], asked.update, seed)

    with alone("remediated"), tempfile.TemporaryDirectory(prefix="oncall-remediated-") as scratch:
        folder = ROOT / ".cache" / "remediated" if asked.keep else Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        try:
            _up()
            _hosts.inventory(folder)
            with concurrent.futures.ThreadPoolExecutor(min(asked.lanes, len(_hosts.HOSTS) - 1)) as pool:
                for done in [pool.submit(one, pair, folder) for pair in pairs]:
                    done.result()
        finally:
            if not asked.keep:
                _hosts.down()
                _machine_host.down()
    failed = sum(1 for row in rows if row["wrong"])
    print("seed {0}".format(seed))
    print("{0} passed, {1} failed".format(len(rows) - failed, failed))
    return 1 if failed or not rows else 0
