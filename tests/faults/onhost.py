# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The harness's hand on a host: ``python3 onhost.py < request.json > answer.json``. It imports nothing of the product.

``record``  keep the host's state under a name
``shoot``   wait until the run stands at its boundary, read the journal, do the fault
``settle``  wait until the host has made up its mind, and compare it with the states that were kept
``clean``   forget every change, so that the next fault finds a host without a past
"""

from __future__ import annotations

import glob
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from typing import Any, Dict, List, Optional

import state

HERE = os.path.dirname(os.path.abspath(__file__))
HOME = "/var/lib/oncall-pressure"
MARK = HERE + "/boundary.json"
ENDED = ("undone", "expired", "confirmed", "undo_failed")


def journals() -> List[Dict[str, Any]]:
    """Every journal of the host as its lines, and how many of them are no JSON."""
    found = []
    for path in sorted(glob.glob(HOME + "/incidents/*/*/journal.jsonl")):
        lines: List[Any] = []
        torn = 0
        with open(path, "rb") as stream:
            for raw in stream.read().split(b"\n"):
                if not raw:
                    continue
                try:
                    lines.append(json.loads(raw))
                except ValueError:
                    torn += 1
        found.append({"entry": "/".join(path.split("/")[-3:-1]), "lines": lines, "torn": torn})
    return found


def last_states(lines: List[Dict[str, Any]]) -> List[str]:
    return [line["state"] + (":%s" % line["operation"] if "operation" in line else "") for line in lines]


def read_mark() -> Optional[Dict[str, Any]]:
    try:
        with open(MARK, encoding="utf-8") as stream:
            return json.load(stream)
    except (OSError, ValueError):
        return None


def process_state(pid: int) -> str:
    """The one letter of /proc/PID/stat; "" where it is gone."""
    try:
        with open("/proc/%d/stat" % pid, "rb") as stream:
            return stream.read().rpartition(b")")[2].split()[0].decode()
    except OSError:
        return ""


def session_of(pid: int) -> int:
    """The sshd process that serves the connection through which a process runs."""
    while pid > 1:
        with open("/proc/%d/stat" % pid, "rb") as stream:
            text = stream.read()
        name = text[text.index(b"(") + 1:text.rindex(b")")]
        if name == b"sshd":
            return pid
        pid = int(text.rpartition(b")")[2].split()[1])
    raise SystemExit("the run has no connection")


def shoot(request: Dict[str, Any]) -> Dict[str, Any]:
    """``{"hit": bool, "journal": [states], "pid"}``; a reboot is the harness's to make."""
    until = time.monotonic() + request["timeout_s"]
    mark = None
    while time.monotonic() < until:
        mark = read_mark()
        if mark is not None and (process_state(mark["pid"]) == "T" or mark.get("ended")):
            break
        time.sleep(0.02)
    if mark is None or mark.get("ended") or process_state(mark["pid"]) != "T":
        return {"hit": False, "mark": mark, "journal": [last_states(row["lines"]) for row in journals()]}
    answer = {"hit": True, "mark": mark, "journal": [last_states(row["lines"]) for row in journals()], "pid": mark["pid"]}
    kind = request["kind"]
    if kind.startswith("SIG"):
        os.kill(mark["pid"], getattr(signal, kind))
        # A stopped process dies by SIGKILL as it is, and may be gone before it could be continued; the others wait until it goes on.
        if kind != "SIGKILL":
            os.kill(mark["pid"], signal.SIGCONT)
    elif kind == "cut":
        os.kill(session_of(mark["pid"]), signal.SIGKILL)
        time.sleep(0.05)
        if process_state(mark["pid"]):
            os.kill(mark["pid"], signal.SIGCONT)
    elif kind == "go":
        os.kill(mark["pid"], signal.SIGCONT)
    return answer


def watch(request: Dict[str, Any]) -> Dict[str, Any]:
    """Wait until the journal says a state or one after it; ``last`` is its last line then."""
    until = time.monotonic() + request["timeout_s"]
    while True:
        states = [name for row in journals() for name in last_states(row["lines"])]
        if any(name.partition(":")[0] == request["state"] for name in states) or time.monotonic() > until:
            return {"last": states[-1] if states else None}
        time.sleep(0.01)


def late_s(lines: List[Dict[str, Any]], state_name: str) -> Optional[float]:
    """How long after its deadline the journal says so first; null where nothing was undone then, or before it."""
    deadline = None
    for line in lines:
        if line.get("deadline_s") is not None:
            deadline = line["deadline_s"]
        # A run that was still at work then is told to end, and takes back what it did itself.
        if line["state"] == state_name and line.get("why") in ("deadline", "failed") and deadline is not None and line["boot_s"] >= deadline:
            return round(line["boot_s"] - deadline, 3)
    return None


def given_up() -> bool:
    """Whether an undo failed and nobody is at it at the moment: a person's turn."""
    rows = journals()
    over = bool(rows) and all(row["lines"] and row["lines"][-1]["state"] == "undo_failed" for row in rows)
    return over and time.time() - rows[-1]["lines"][-1]["epoch_s"] > 12.0


def quiet(boundary_pid: Optional[int]) -> bool:
    """Whether every entry is over, its arming gone and the run ended."""
    if glob.glob("/run/systemd/system/oncall-pressure-*") or glob.glob("/etc/systemd/system/oncall-pressure-*"):
        return False
    for row in journals():
        states = [line["state"] for line in row["lines"] if line["state"] not in ("applying", "undone_one")]
        if states and states[-1] in ENDED:
            continue
        # A run that ended before it armed anything has left nothing that could act.
        if states and states[-1] not in ("intent", "saved"):
            return False
    if boundary_pid is not None and process_state(boundary_pid) not in ("", "Z"):
        return False
    return subprocess.run(["pgrep", "-f", "undo[.]pyz (due|boot|undo)"], stdout=subprocess.DEVNULL, check=False).returncode != 0


def load(name: str) -> Optional[Dict[str, Any]]:
    try:
        with open("%s/state-%s.json" % (HERE, name), encoding="utf-8") as stream:
            return json.load(stream)
    except OSError:
        return None


def record(request: Dict[str, Any]) -> Dict[str, Any]:
    found = state.record(request["look"])
    with open("%s/state-%s.json" % (HERE, request["name"]), "w", encoding="utf-8") as stream:
        json.dump(found, stream)
    return {"files": len(found["files"]), "armed": found["armed"], "own": found["own"], "processes": found["processes"]}


def steady(request: Dict[str, Any]) -> Dict[str, Any]:
    """Wait until the number of processes and the settings stay the same for a second: services start and stop workers by their own time."""
    until = time.monotonic() + 30
    last: Any = None
    since = time.monotonic()
    while time.monotonic() < until:
        members = state.groups()
        now = ({unit: len(members.get(unit, [])) for unit in request["look"]["units"]}, state.units(request["look"]["units"], ["ActiveState", "SubState"]))
        if now != last:
            last, since = now, time.monotonic()
        elif time.monotonic() - since > 1.5:
            break
        time.sleep(0.1)
    return {"steady": last[0]}


def settle(request: Dict[str, Any]) -> Dict[str, Any]:
    """Wait, then compare with the states ``old`` and ``new``; what is still moving is looked at again until the time is over."""
    until = time.monotonic() + request["timeout_s"]
    mark = read_mark()
    pid = mark["pid"] if mark and not request.get("rebooted") else None
    while time.monotonic() < until and not quiet(pid) and not (request.get("failed_is_over") and given_up()):
        time.sleep(0.25)
    ended = quiet(pid)
    until = time.monotonic() + request.get("steady_s", 10.0)
    names = request.get("compare", ["old", "new"])
    while True:
        now = state.record(request["look"])
        differences = {}
        for name in names:
            kept = load(name)
            if kept is not None:
                differences[name] = state.differences(kept, now)
        same = [name for name, lines in differences.items() if not lines]
        # The undo's own service may still be about to end.
        if same and not now["armed"] or time.monotonic() > until:
            break
        time.sleep(0.3)
    rows = journals()
    return {
        "ended": ended, "same": same, "differences": {name: lines[:20] for name, lines in differences.items()}, "armed": now["armed"], "own": now["own"],
        "journals": [{"entry": row["entry"], "states": last_states(row["lines"]), "torn": row["torn"], "late_s": late_s(row["lines"], "undoing"),
                      "done_s": late_s(row["lines"], "undone"),
                      "last": row["lines"][-1] if row["lines"] else None} for row in rows],
    }


def clean(request: Dict[str, Any]) -> Dict[str, Any]:
    """Also what a fault left armed: the next one must not meet it."""
    shutil.rmtree(HOME, ignore_errors=True)
    left = [path for folder in ("/run/systemd/system", "/etc/systemd/system", "/etc/systemd/system/multi-user.target.wants")
            for path in glob.glob(folder + "/oncall-pressure-*")]
    for path in left:
        subprocess.run(["systemctl", "stop", "--no-block", os.path.basename(path)], stderr=subprocess.DEVNULL, check=False)
        os.unlink(path)
    if left:
        subprocess.run(["systemctl", "daemon-reload"], check=False)
    for path in (MARK, HERE + "/said.txt"):
        if os.path.exists(path):
            os.unlink(path)
    return {"clean": not os.path.exists(HOME)}


if __name__ == "__main__":
    asked = json.load(sys.stdin)
    doing = {"record": record, "watch": watch, "shoot": shoot, "steady": steady, "settle": settle, "clean": clean}
    json.dump(doing[asked["do"]](asked), sys.stdout, sort_keys=True)
