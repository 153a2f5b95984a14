# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What others planted in paths that are written as root: the cases of paths.yml. No wrong file is touched, and nothing hangs."""

from __future__ import annotations

import json
import random
import shlex
import time
from typing import Any

import _faults
from _cases import spread
from _faults import OPTIONS, Bench
from _hosts import data_of

PLANT, VICTIMS = "/srv/plant", "/srv/victims"
# Longer than any race, so that its undo is made when told.
WITHIN_S = 60
CONTENT = "written by the change\n"
FRESH = """umount -R {plant}/* /dev/shm/plant* 2>/dev/null; chattr -R -i -a {plant} 2>/dev/null
rm -rf {plant} {victims} /tmp/plant* /dev/shm/plant* /home/ordinary/plant-f /home/ordinary/f /var/lib/oncall-pressure /etc/oncall-pressure
mkdir -m 0755 {plant} {victims}; echo victim > {victims}/one; echo other > {victims}/two; chmod 0644 {victims}/one {victims}/two""".format(
    plant=PLANT, victims=VICTIMS)


def path_of(case: dict[str, Any]) -> tuple[str, str]:
    """(the path that is written, the only one that may differ)."""
    name = "n" * 255 if case.get("long") else "LONG"
    return case["path"].replace("LONG", name), case.get("target", "").replace("LONG", name)


def touched(lines: list[str]) -> list[str]:
    """The paths of a list of differences."""
    return sorted({line.split(": ")[0][5:].rpartition(" ")[0] for line in lines if line.startswith("file ")})


def wrongs(case: dict[str, Any], said: dict[str, Any], during: list[str], target: str, stolen: str) -> list[str]:
    """What the change did that it must not."""
    wrong = []
    allowed = {target, case.get("also", "")} if case["expect"] != "refused" else set()
    for path in during:
        # What a race exchanges all the time differs by itself.
        swapped = tuple(PLANT + "/" + name for name in case.get("swap", []))
        if path not in allowed and not (swapped and path.startswith(swapped)):
            wrong.append("{0} was touched".format(path))
    if case["expect"] == "refused" and not said.get("failed"):
        wrong.append("it was not refused")
    if case["expect"] == "written" and said.get("failed"):
        wrong.append("it was refused: {0}".format(said.get("msg")))
    if said.get("failed") and not str(said.get("msg", "")).strip():
        wrong.append("it failed without a word")
    if stolen:
        wrong.append("our text ended up in {0}".format(stolen))
    return wrong


def attempt(bench: Bench, case: dict[str, Any]) -> dict[str, Any]:
    row: dict[str, Any] = {"name": case["name"], "wrong": [], "said": ""}
    path, target = path_of(case)
    operation = {"kind": "file", "path": path, "content": None if case.get("removes") else CONTENT, "mode": "0644"}
    request = {"mitigation": "paths", "service": "crew-idle.service", "operations": [operation], "settle_s": 0.0,
               "options": dict(OPTIONS, confirm_within=WITHIN_S, incident="paths")}
    bench.look = dict(bench.look, units=[], trees=["/etc", "/srv", "/home", "/root", "/tmp", "/dev/shm", "/usr/local"])
    bench.ask("clean")
    bench.host.sh(FRESH + "\ncd {0}\n{1}".format(PLANT, case["plant"]))
    bench.ask("record", name="old")
    if "swap" in case:
        racer = "python3 /opt/faults/plant.py swap {0} {1} 25".format(*case["swap"])
        user = case.get("as", "ordinary")
        bench.host.sh("cd {0}; setsid su -s /bin/sh -c {1} {2} >/dev/null 2>&1 & sleep 0.2".format(PLANT, shlex.quote(racer), user))
    for number in range(case.get("repeat", 1)):
        started = time.monotonic()
        text = bench.host.sh("timeout -s KILL 30 python3 /opt/faults/driver.py {0} 2>&1; true".format(shlex.quote(json.dumps(request))))
        answers = [line for line in text.splitlines() if line.startswith("{")]
        said = json.loads(answers[-1]) if answers else {"failed": True, "msg": text.strip()[-200:]}
        if time.monotonic() - started > 29:
            row["wrong"].append("it hangs")
        if not answers:
            row["wrong"].append("it ended without an answer: " + text.strip()[-300:])
        row["said"] = str(said.get("msg") or said.get("state") or said)[:200]
        settled = bench.ask("settle", timeout_s=0, steady_s=0, compare=["old"])
        stolen = bench.host.sh("grep -rlsF {0} {1} /etc /home /root /tmp/plant* 2>/dev/null | grep -v -x -F {2} || true".format(
            shlex.quote(CONTENT.strip()), VICTIMS, shlex.quote(target or "-"))).split()
        row["wrong"] += wrongs(case, said, touched(settled["differences"]["old"]), target, " ".join(stolen))
        bench.host.sh("for program in /var/lib/oncall-pressure/incidents/*/*/undo.pyz; do test -f $program && python3 -I $program undo; done", check=False)
        if row["wrong"]:
            break
    if "swap" in case:
        bench.host.sh("for pid in $(pgrep -f 'plant.py swap'); do kill -KILL $pid; done; true", check=False)
    else:
        after = bench.ask("settle", timeout_s=5, steady_s=3, compare=["old"])
        row["wrong"] += ["after the undo: " + line for line in after["differences"]["old"][:6]]
    bench.host.sh(FRESH + "\nrm -rf {0} {1}".format(PLANT, VICTIMS), check=False)
    if row["wrong"]:
        bench.renew()
    return row


def part(benches: list[Bench], randomly: random.Random, fast: bool) -> list[dict[str, Any]]:
    rows = spread(benches, data_of("paths.yml")["cases"], attempt)
    for bench in benches:
        bench.look = _faults.looking()
    return rows
