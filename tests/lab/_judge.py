# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the looks and probes of a remediation come to. Pure: rows in, figures and claims that do not hold out."""

from __future__ import annotations

from typing import Any, NamedTuple, Sequence

# A probe that was under way when the kernel killed a worker may have been that worker's. The counter is read ten times a second.
NEAR_S = 0.3
# Processor time is taken as the mean over so many seconds.
OVER_S = 5.0
# What was relieved must stay so until the last look, and for so long at least.
STAYS_S = 20.0

Rows = Sequence[dict[str, Any]]


class Moments(NamedTuple):
    """Seconds of one clock: the first look, the start and the end of the playbook, the last look."""

    first: float
    started: float
    ended: float
    last: float


def kill_times(looks: Rows) -> list[float]:
    """When the counter of kills rose, once for each kill. A group that is made anew counts from nothing."""
    times: list[float] = []
    before: int | None = None
    for look in looks:
        now = look["kills"]
        if now is None:
            before = 0
            continue
        if before is not None:
            times += [look["t"]] * (now - before if now >= before else now)
        before = now
    return times


def used(looks: Rows) -> list[tuple[float, float]]:
    """(moment, processors used over the seconds before it); a group that is not there uses none."""
    found: list[tuple[float, float]] = []
    total, last = 0.0, None
    sums: list[tuple[float, float]] = []
    for look in looks:
        now = look["cpu_s"]
        if now is not None:
            # what a group made anew used, it used since the look before
            total += max(now - last, 0.0) if last is not None and now >= last else (now if last is not None else 0.0)
        last = now if now is not None else 0.0
        sums.append((look["t"], total))
    start = 0
    for moment, sum_s in sums:
        while sums[start + 1][0] <= moment - OVER_S if start + 1 < len(sums) else False:
            start += 1
        if moment - sums[start][0] >= OVER_S - 0.5:
            found.append((moment, (sum_s - sums[start][1]) / (moment - sums[start][0])))
    return found


def relief(looks: Rows, moments: Moments, told: dict[str, Any]) -> dict[str, Any]:
    """`told` says what relief is for this incident: {kills: true}, {cpu_below: CPUs}, {workers_at_most: n} or {largest_below_mib: of one worker}.

    relief_s counts from the start of the playbook; null where it was not over when looking ended.
    """
    kills = kill_times(looks)
    figures: dict[str, Any] = {"kills_before": sum(1 for moment in kills if moment < moments.started),
                               "kills_after_start": sum(1 for moment in kills if moment >= moments.started)}
    rates = used(looks)
    figures["cpus_before"] = _mean([rate for moment, rate in rates if moment < moments.started])
    figures["cpus_after"] = _mean([rate for moment, rate in rates if moment >= moments.last - STAYS_S])
    if "kills" in told:
        above = kills
    elif "cpu_below" in told:
        above = [moment for moment, rate in rates if rate >= told["cpu_below"]]
    elif "workers_at_most" in told:
        above = [look["t"] for look in looks if look["workers"] > told["workers_at_most"]]
    else:
        above = [look["t"] for look in looks if look["largest_mib"] is not None and look["largest_mib"] >= told["largest_below_mib"]]
    over = max([moment for moment in above if moment >= moments.started], default=moments.started)
    there = any(moment < moments.started for moment in above)
    figures["incident_there"] = there
    figures["relief_s"] = round(over - moments.started, 1) if moments.last - over >= STAYS_S else None
    return figures


def _mean(values: Sequence[float]) -> float | None:
    return round(sum(values) / len(values), 2) if values else None


def answered(probes: Rows, kills: Sequence[float], moments: Moments) -> dict[str, Any]:
    """How many probes failed before, during and after the playbook; those during it that no kill accounts for."""
    if not probes:
        return {}
    parts = {"before": (0.0, moments.started), "during": (moments.started, moments.ended), "after": (moments.ended, moments.last)}
    figures: dict[str, Any] = {}
    for name, (start, end) in parts.items():
        rows = [probe for probe in probes if start <= probe["t"] < end]
        bad = [probe for probe in rows if probe["status"] != 200]
        figures["probes_" + name], figures["failed_" + name] = len(rows), len(bad)
        if name == "during":
            figures["failed_not_by_kills"] = sum(1 for probe in bad if not _of_kills(probe, kills))
    return figures


def _of_kills(probe: dict[str, Any], kills: Sequence[float]) -> bool:
    return any(probe["t"] - NEAR_S <= kill <= probe["t"] + probe["s"] + NEAR_S for kill in kills)


def wrong(figures: dict[str, Any], told: dict[str, Any]) -> list[str]:
    """Claims that do not hold. `told` is what the incident's file says: written before the product was asked."""
    lines: list[str] = []

    def claim(holds: bool, otherwise: str) -> None:
        if not holds:
            lines.append(otherwise)

    claim(figures["incident_there"], "nothing to be relieved was seen before the playbook was started: no incident")
    helps = told.get("helps", True)
    if helps:
        claim(figures["relief_s"] is not None, "no relief by the time that looking ended")
        claim(figures.get("failed_after", 0) == 0, "{0} probes failed after the playbook had ended".format(figures.get("failed_after")))
        claim("failed_after" not in figures or figures["probes_after"] > 0, "nobody was asked after the playbook had ended")
        if told.get("loses_none", False):
            claim(figures.get("failed_not_by_kills", 0) == 0, "{0} probes failed that no kill accounts for".format(figures.get("failed_not_by_kills")))
    else:
        claim(figures["relief_s"] is None, "it was relieved all the same: nothing is shown by this")
    claim(figures["ended"] in told["ends"], "it ended as {0} ({1}), not {2}".format(figures["ended"], figures.get("why"), " or ".join(told["ends"])))
    status = told.get("status", 0)
    claim(figures["status"] == status, "exit status {0}, not {1}".format(figures["status"], status))
    taken = [(step["mitigation"], step["state"]) for step in figures["steps"]]
    for mitigation, states in told["steps"].items():
        allowed = states if isinstance(states, list) else [states]
        claim(any(name == mitigation and ended in allowed for name, ended in taken),
              "{0} did not end as {1}: {2}".format(mitigation, " or ".join(allowed), taken))
    order = [name for name, ended in taken if name in told["steps"] and ended != "waiting"]
    claim(order == [name for name in told["steps"] if name in order], "steps in another order: {0}".format(order))
    return lines
