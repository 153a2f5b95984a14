# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Cause, settle and undo the incidents that tests/incidents/*.yml declare."""

from __future__ import annotations

import random
from typing import Any

import yaml

import _containers
import _machine
from _causes import STEPS, UNDO, Host
from _common import CACHE, ROOT, LabError, alone, options, say, ssh
from _draw import draw, fill
from _truths import settle

FOLDER = ROOT / "tests" / "incidents"
# Seconds that an incident takes which was in no whole run yet.
UNKNOWN_S = 45.0
KEYS = {"title", "runbook", "hosts", "leaves_kills", "draw", "cause", "settle_s", "settled", "then_wait_s", "variables", "verbosity", "sees", "never_says",
        "expected", "remediated", "by_hand"}


def names() -> list[str]:
    return sorted(path.stem for path in FOLDER.glob("*.yml"))


def read(name: str) -> dict[str, Any]:
    """An incident as it is declared."""
    if name not in names():
        raise LabError("no incident {0}: one of {1}".format(name, ", ".join(names())))
    with open(FOLDER / (name + ".yml"), encoding="utf-8") as stream:
        spec = yaml.safe_load(stream)
    unknown = set(spec) - KEYS
    if unknown:
        raise LabError("{0}: unknown key {1}".format(name, ", ".join(sorted(unknown))))
    return spec


def drawn(name: str, seed: int) -> dict[str, Any]:
    """An incident with everything drawn that is left to chance, and `values`: what was drawn."""
    spec = read(name)
    values = draw(spec.get("draw", {}), seed)
    return dict(fill({key: value for key, value in spec.items() if key != "draw"}, values), name=name, values=values)


def within(names: list[str], took: dict[str, float], most_s: float) -> list[str]:
    """As many of them, from the first, as fit into so many seconds together; one at least."""
    fit: list[str] = []
    for name in names:
        if not fit or sum(took.get(other, UNKNOWN_S) for other in [*fit, name]) <= most_s:
            fit.append(name)
    return fit


def hosts_for(incident: dict[str, Any]) -> list[str]:
    data = options()
    return [data["machine"]["name"]] if incident["hosts"] == "machines" else list(data["hosts"])


def is_up(host: str) -> bool:
    return ssh(host, "true", check=False, timeout_s=30).returncode == 0


def cause(incident: dict[str, Any], host: str) -> None:
    """Make an incident true on a host. What it needs undone is on the host before anything is done."""
    if not is_up(host):
        raise LabError("{0} does not answer: run `make {1}` first".format(host, "lab-machine" if host == options()["machine"]["name"] else "lab"))
    if incident.get("leaves_kills"):
        (CACHE / ("spoiled-" + host)).touch()
    target = Host(host)
    for step in incident["cause"]:
        (name, spec), = step.items()
        if name not in STEPS:
            raise LabError("{0}: unknown step {1}; one of {2}".format(incident["name"], name, ", ".join(STEPS)))
        STEPS[name](target, spec)
    settle(target, incident.get("settled", []), incident.get("settle_s", 60))
    if "then_wait_s" in incident:
        STEPS["wait"](target, {"s": incident["then_wait_s"]})


def undo(host: str) -> list[str]:
    """Undo what was caused on one host; returns what could not be undone."""
    spoiled = CACHE / ("spoiled-" + host)
    if spoiled.exists():
        # A kernel does not forget its kills: the host is made anew.
        if host == options()["machine"]["name"]:
            _machine.recreate()
        else:
            _containers.recreate(host)
        spoiled.unlink()
        return []
    failed = ssh(host, "for step in $(ls -r {0} 2>/dev/null); do sh {0}/$step >/dev/null 2>&1 || cat {0}/$step; done; rm -rf {0}".format(UNDO)).stdout
    return failed.splitlines()


def heal() -> int:
    """Undo everything on every host that answers; the number of steps that failed."""
    data = options()
    failures = 0
    # Not in the middle of a run: it would take the incident away from under the diagnosis.
    with alone("incidents"):
        for host in [*data["hosts"], data["machine"]["name"]]:
            if is_up(host):
                failed = undo(host)
                failures += len(failed)
                say("{0} healed{1}".format(host, "".join("; failed: " + line for line in failed)))
    return failures


def show(incident: dict[str, Any], host: str) -> str:
    """What is true now, and how to undo it."""
    expected = incident["expected"]
    truth = expected if isinstance(expected, str) else ", ".join("{0}={1}".format(*pair) for pair in expected.items())
    lines = ["{0} on {1}: {2}".format(incident["name"], host, incident["title"]),
             "  drawn (seed {0}): {1}".format(incident["values"]["seed"], ", ".join("{0}={1}".format(*pair) for pair in incident["values"].items())),
             "  true: " + truth,
             "  runbook row: " + incident["runbook"],
             "  undo: make lab-heal"]
    return "\n".join(lines)


def one(name: str, host: str | None, seed: int | None) -> None:
    """`make lab-incident`."""
    seed = random.SystemRandom().randrange(10 ** 6) if seed is None else seed
    incident = drawn(name, seed)
    host = host or random.Random(seed).choice(hosts_for(incident))
    say("{0} on {1}, seed {2}".format(name, host, seed))
    with alone("incidents"):
        cause(incident, host)
    print(show(incident, host))
