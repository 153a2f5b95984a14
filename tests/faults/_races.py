# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two to eight operators who change one host at the same moment: one wins, the others are told by whom, and no write of one is between those of another."""

from __future__ import annotations

import random
from typing import Any

from _cases import spread
from _faults import OPTIONS, Bench

RACES = 200
# So many at a time are asked of a host.
BATCH = 10
OLD = "limit = 12\n# kept\n"


def request(operator: int, number: int) -> dict[str, Any]:
    """What one operator wants: every operator another content for the same two files."""
    content = "limit = {0}\n".format(operator)
    return {
        "mitigation": "race", "service": "crew-idle.service", "settle_s": 0.05,
        "operations": [{"kind": "file", "path": "/etc/crew/{0}.conf".format(name), "content": content} for name in ("edited", "removed")],
        "options": dict(OPTIONS, confirm_within=60, incident="race-{0}-{1}".format(number, operator), owner="operator {0}".format(operator)),
    }


def judge(round_said: dict[str, Any]) -> list[str]:
    """What is wrong with how one race ended."""
    wrong = []
    winners = [place for place, said in enumerate(round_said["said"]) if not said.get("failed")]
    if len(winners) != 1:
        wrong.append("{0} of {1} operators won: {2}".format(len(winners), len(round_said["said"]), [said.get("msg") for said in round_said["said"]]))
    else:
        if round_said["content"] != "limit = {0}\n".format(winners[0]):
            wrong.append("operator {0} won and the file says {1!r}".format(winners[0], round_said["content"]))
    for place, said in enumerate(round_said["said"]):
        if place not in winners and not said.get("refused"):
            wrong.append("operator {0} was not refused: {1}".format(place, said.get("msg")))
        if place not in winners and "operator " not in str(said.get("msg")) and "somebody" not in str(said.get("msg")):
            wrong.append("operator {0} is not told who has the host: {1}".format(place, said.get("msg")))
    begun = [row["entry"] for row in round_said["journals"] if any(state.startswith("applying") for state in row["states"])]
    if len(begun) != 1:
        wrong.append("{0} changes were begun: {1}".format(len(begun), round_said["journals"]))
    if any(row["torn"] for row in round_said["journals"]):
        wrong.append("a journal cannot be read")
    if round_said["back"]:
        wrong.append("it cannot be rolled back: " + round_said["back"][:300])
    if round_said["after"] != OLD:
        wrong.append("after the rollback the file says {0!r}".format(round_said["after"]))
    return wrong


def attempt(bench: Bench, case: dict[str, Any]) -> dict[str, Any]:
    rounds = [[request(operator, number) for operator in range(operators)] for number, operators in enumerate(case["operators"])]
    said = bench.host.ask("contend.py", {"rounds": rounds}, timeout_s=600)
    wrong = []
    for number, one in enumerate(said):
        wrong += ["race {0}: {1}".format(number, line) for line in judge(one)]
    return {"name": case["name"], "wrong": wrong, "said": "operators: {0}".format(case["operators"]), "races": len(said)}


def part(benches: list[Bench], randomly: random.Random, fast: bool) -> list[dict[str, Any]]:
    cases = []
    for start in range(0, RACES, BATCH):
        # every number of operators comes as often as the others
        operators = [2 + (start + place) % 7 for place in range(BATCH)]
        cases.append({"name": "races {0} to {1}".format(start + 1, start + BATCH), "operators": operators})
    return spread(benches, cases, attempt)
