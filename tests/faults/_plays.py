# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults in real runs of ansible-playbook: the whole controller is hurt, or its connection is cut, when the journal on the host shows a boundary.

Nothing is held here: the journal is watched from the host, and what was hit is what the journal's last line says at the moment of the shot.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from typing import Any

import _cases
import _checks
from _cases import spread
from _common import ROOT
from _faults import Bench

KINDS = ("SIGKILL", "SIGTERM", "SIGINT", "SIGHUP", "cut")
STATES = ("intent", "saved", "armed", "applying", "applied", "verified")
WITHIN_S = 12


def watch_words(state: str) -> dict[str, Any]:
    return {"state": state, "timeout_s": 120}


def shoot(kind: str, run: subprocess.Popen[bytes], bench: Bench) -> None:
    """A signal to the controller's whole process group, as a terminal would send it; or every connection of the host is ended."""
    if kind == "cut":
        bench.host.sh("for pid in $(pgrep -x sshd); do kill -KILL $pid; done; systemctl restart ssh.service; true", check=False)
        time.sleep(0.5)
        os.killpg(run.pid, signal.SIGKILL)
    else:
        os.killpg(run.pid, getattr(signal, kind))


def attempt(bench: Bench, case: dict[str, Any]) -> dict[str, Any]:
    """One run of a playbook, shot at when the journal says the state that is aimed at or a later one."""
    folder = ROOT / ".cache" / "faults" / "plays"
    folder.mkdir(parents=True, exist_ok=True)
    bench.prepare(case["mitigation"])
    bench.ask("clean")
    playbook = ROOT / "playbooks" / (case["mitigation"] + ".yml")
    variables = {"pressure_service": "crew-web.service", "pressure_confirm_within": WITHIN_S, "pressure_cool_down": 0, "confirm_settle": 5,
                 "lower_workers_workers": 2, "recycle_workers_max_requests": 500, "restart_service_warm": False}
    words = ["ansible-playbook", str(playbook), "-i", str(_checks.inventory(bench, folder)), "-e", json.dumps(variables)]
    said = folder / (bench.host.name + ".log")
    row: dict[str, Any] = {"name": case["name"], "wrong": []}
    with open(said, "wb") as stream:
        run = subprocess.Popen(words, cwd=str(ROOT), env=_checks.environment(), stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, start_new_session=True)
        try:
            seen = bench.ask("watch", **watch_words(case["state"]))
            shoot(case["kind"], run, bench)
            hit = bench.ask("watch", state="", timeout_s=0)
            run.wait(timeout=120)
        finally:
            if run.poll() is None:
                os.killpg(run.pid, signal.SIGKILL)
    settled = bench.ask("settle", timeout_s=WITHIN_S + 40, steady_s=10, failed_is_over=True)
    states = [state for journal in settled["journals"] for state in journal["states"]]
    row["said"] = "shot after {0}, hit {1}, ended as {2}".format(seen["last"], hit["last"], states[-1:] or "nothing")
    if not states:
        row["wrong"].append("there is no record: " + said.read_text(errors="replace")[-300:])
        return row
    expected = "new" if states[-1] == "confirmed" else "old"
    if expected not in settled["same"]:
        row["wrong"].append("the host is not {0}: {1}".format(expected, "; ".join(settled["differences"][expected][:6])))
    if states[-1] not in ("undone", "confirmed", "intent", "saved"):
        row["wrong"].append("the journal ends with " + states[-1])
    row["late_s"] = [journal["late_s"] for journal in settled["journals"] if journal["late_s"] is not None]
    if "old" not in settled["same"] or settled["own"]:
        bench.renew()
    return row


def part(benches: list[Bench], randomly: random.Random, fast: bool) -> list[dict[str, Any]]:
    cases = [{"name": "{0} {1} aimed at {2}".format(mitigation, kind, state), "mitigation": mitigation, "kind": kind, "state": state}
             for mitigation in ("lower_workers", "recycle_workers", "restart_service") for kind in KINDS for state in STATES]
    # Two for every kind and mitigation, each aimed at another state.
    chosen = [case for number, case in enumerate(cases) if (number + number // len(STATES)) % 3 == 0]
    if _cases.NAMES is not None:
        chosen = cases
    for bench in benches:
        bench.ready_for = ""
    return spread(benches, chosen, attempt)
