# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The harness's hand on a host of the fleet: one JSON request a line in, one JSON answer a line out, for as long as the suite runs.

It imports nothing of the product. A process for each question would cost more than everything else on twenty hosts.
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
from typing import Any, Callable, Dict, List

import state

HOME = "/var/lib/oncall-pressure"
KEPT: Dict[str, Any] = {}
PLANTED: List["subprocess.Popen[bytes]"] = []


def journals() -> List[Dict[str, Any]]:
    """Every change that the host has a record of: its states in order, and how many lines are torn."""
    found = []
    for path in sorted(glob.glob(HOME + "/incidents/*/*/journal.jsonl")):
        states: List[str] = []
        torn = 0
        why = None
        owner = None
        times: List[float] = []
        with open(path, "rb") as stream:
            for raw in stream.read().split(b"\n"):
                try:
                    row = json.loads(raw) if raw else None
                except ValueError:
                    torn += 1
                    continue
                if row is not None:
                    states.append(row["state"])
                    why = row.get("why")
                    owner = owner or row.get("owner")
                    if row["state"] not in ("intent", "saved", "armed"):
                        times.append(row["boot_s"])
        plain = [name for name in states if name not in ("applying", "undone_one")]
        found.append({"entry": "/".join(path.split("/")[-3:-1]), "states": plain, "last": plain[-1] if plain else None, "torn": torn, "why": why,
                      "owner": owner, "acts_s": [min(times), max(times)] if times else None})
    return found


def looked(request: Dict[str, Any]) -> Dict[str, Any]:
    """The host's state, with the very processes of its service: a service that was restarted is not the same."""
    found = state.record(request["look"])
    found["pids"] = {unit: sorted(state.groups().get(unit, [])) for unit in request["look"]["units"]}
    found["home"] = os.path.exists(HOME)
    return found


def record(request: Dict[str, Any]) -> Dict[str, Any]:
    KEPT[request["name"]] = looked(request)
    return {"files": len(KEPT[request["name"]]["files"]), "processes": KEPT[request["name"]]["processes"]}


def compare(request: Dict[str, Any]) -> Dict[str, Any]:
    """What differs from a state that was kept. ``pids`` false leaves out which processes there are, but not how many."""
    now, before = looked(request), KEPT[request["name"]]
    lines = state.differences(before, now) + ["armed " + name for name in now["armed"]] + ["own " + path for path in now["own"]]
    if request["pids"]:
        lines += ["processes of %s are others than before" % unit for unit, pids in now["pids"].items() if pids != before["pids"][unit]]
        lines += ["%s is there" % HOME] if now["home"] and not before["home"] else []
    else:
        # An undone change leaves its record, and what was restarted or replaced has other numbers.
        lines = [line for line in lines if not line.startswith("file " + HOME) and " MainPID: " not in line and " NRestarts: " not in line]
    return {"differences": lines, "workers": workers(request)["workers"], "journals": journals()}


def workers(request: Dict[str, Any]) -> Dict[str, Any]:
    """How many worker processes the service has, by the kernel's word."""
    unit = request["look"]["units"][0]
    return {"workers": max(len(state.groups().get(unit, [])) - 1, 0)}


def wait(request: Dict[str, Any]) -> Dict[str, Any]:
    """Until a journal says the state or one after it, or as long as ``timeout_s``; what the last one says then."""
    until = time.monotonic() + request["timeout_s"]
    while True:
        found = journals()
        if any(request["state"] in row["states"] for row in found) or time.monotonic() > until:
            return {"journals": found, "seen": any(request["state"] in row["states"] for row in found)}
        time.sleep(0.02)


def at_rest(request: Dict[str, Any]) -> Dict[str, Any]:
    """Until nothing on the host is armed or under way any more, or as long as ``timeout_s``."""
    until = time.monotonic() + request["timeout_s"]
    while True:
        armed = glob.glob("/run/systemd/system/oncall-pressure-*") + glob.glob("/etc/systemd/system/oncall-pressure-*")
        ended = all(row["last"] in ("undone", "expired", "confirmed", "undo_failed", "intent", "saved", None) for row in journals())
        if (ended and not armed) or time.monotonic() > until:
            return {"rest": ended and not armed, "armed": armed, "journals": journals()}
        time.sleep(0.1)


def cut(request: Dict[str, Any]) -> Dict[str, Any]:
    """sshd goes, and with it every connection."""
    subprocess.run(["systemctl", "stop", "ssh.service"], check=False)
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open("/proc/%s/comm" % name, encoding="utf-8") as stream:
                    if stream.read().strip() == "sshd":
                        os.kill(int(name), signal.SIGKILL)
            except (OSError, ProcessLookupError):
                continue
    return {"cut": True}


def mend(request: Dict[str, Any]) -> Dict[str, Any]:
    subprocess.run(["systemctl", "start", "ssh.service"], check=False)
    return {"ssh": subprocess.run(["systemctl", "is-active", "--quiet", "ssh.service"], check=False).returncode == 0}


def write(request: Dict[str, Any]) -> Dict[str, Any]:
    """Files to write (null removes one)."""
    for path, text in request["files"].items():
        if text is None:
            if os.path.lexists(path):
                os.unlink(path)
            continue
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as stream:
            stream.write(text)
    return {"written": len(request["files"])}


def reset(request: Dict[str, Any]) -> Dict[str, Any]:
    """A host without a past: nothing of the product on it, its service as it was declared, with as many workers as declared."""
    unit = request["look"]["units"][0]
    left = [path for folder in ("/run/systemd/system", "/etc/systemd/system", "/etc/systemd/system/multi-user.target.wants")
            for path in glob.glob(folder + "/oncall-pressure-*")]
    for path in left:
        subprocess.run(["systemctl", "stop", os.path.basename(path)], stderr=subprocess.DEVNULL, check=False)
        if os.path.lexists(path):
            os.unlink(path)
    changed = bool(left)
    while PLANTED:
        PLANTED.pop().kill()
    if os.path.exists("/etc/cron.d/fleet-hostile"):
        os.unlink("/etc/cron.d/fleet-hostile")
    for path in (HOME, "/etc/oncall-pressure"):
        changed = changed or os.path.exists(path)
        shutil.rmtree(path, ignore_errors=True)
    for folder in ("/etc/systemd/system/%s.d" % unit, "/run/systemd/system/%s.d" % unit):
        changed = changed or os.path.isdir(folder)
        shutil.rmtree(folder, ignore_errors=True)
    declared = "/etc/systemd/system/" + unit
    with open(declared, encoding="utf-8") as stream:
        same = stream.read() == request["unit_text"]
    if not same:
        with open(declared, "w", encoding="utf-8") as stream:
            stream.write(request["unit_text"])
    if changed or not same:
        subprocess.run(["systemctl", "daemon-reload"], check=False)
    mend(request)
    if not same or workers(request)["workers"] != request["workers"]:
        subprocess.run(["systemctl", "restart", unit], check=False)
    until = time.monotonic() + 60
    since = time.monotonic()
    while time.monotonic() < until:
        if workers(request)["workers"] != request["workers"]:
            since = time.monotonic()
        elif time.monotonic() - since > 0.5:
            break
        time.sleep(0.1)
    return {"workers": workers(request)["workers"], "was_changed": changed}


def plant(request: Dict[str, Any]) -> Dict[str, Any]:
    """Hostile texts in processes, in a crontab (cron itself does not run) and in journals of changes that never were."""
    os.makedirs(request["folder"], exist_ok=True)
    wait = request["folder"] + ".fifo"
    if not os.path.exists(wait):
        os.mkfifo(wait)
    started = 0
    for text in request["texts"]:
        raw = text.encode("utf-8", "surrogatepass")
        if b"\0" not in raw:
            # a shell that waits for a writer who never comes
            PLANTED.append(subprocess.Popen([raw or b"-", b"-c", b"read x < " + wait.encode(), raw], executable="/bin/sh"))
            started += 1
    with open("/etc/cron.d/fleet-hostile", "wb") as stream:
        stream.write(b"\n".join(b"*/5 * * * * root " + text.encode("utf-8", "surrogatepass") for text in request["texts"]) + b"\n")
    for number, row in enumerate(request["journals"]):
        folder = "%s/incidents/hostile-%03d/01" % (HOME, number)
        os.makedirs(folder, mode=0o700)
        with open(folder + "/journal.jsonl", "w", encoding="utf-8") as stream:
            for line in row:
                stream.write(json.dumps(line) + "\n")
    for path, folders, files in os.walk(HOME):
        os.chmod(path, 0o700)
    return {"processes": started, "journals": len(request["journals"])}


def restart(request: Dict[str, Any]) -> Dict[str, Any]:
    """The service anew, with what its unit says now."""
    unit = request["look"]["units"][0]
    subprocess.run(["systemctl", "daemon-reload"], check=False)
    subprocess.run(["systemctl", "restart", unit], check=False)
    until = time.monotonic() + 30
    while time.monotonic() < until and workers(request)["workers"] != request["workers"]:
        time.sleep(0.1)
    return workers(request)


def ran(request: Dict[str, Any]) -> Dict[str, Any]:
    """What came to be in the folder of the hostile texts."""
    return {"ran": sorted(os.listdir(request["folder"]))}


def main() -> None:
    doing: Dict[str, Callable[[Dict[str, Any]], Dict[str, Any]]] = {
        "record": record, "compare": compare, "workers": workers, "wait": wait, "at_rest": at_rest, "cut": cut, "mend": mend, "write": write,
        "reset": reset, "plant": plant, "ran": ran, "restart": restart,
        "journals": lambda request: {"journals": journals()}}
    for line in sys.stdin:
        asked = json.loads(line)
        try:
            answer = doing[asked["do"]](asked)
        except Exception as problem:
            # the harness names the host and the question
            answer = {"problem": "%s: %s" % (type(problem).__name__, problem)}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
