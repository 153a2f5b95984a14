# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The plan of a fleet: what would be done on which host in which order, and why nothing is done on others.

Private to oncall.pressure: no stable interface. Pure: the diagnosis, snapshots, journals and ceilings in, ``plan.json`` out.
"""

from __future__ import annotations

import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._host._text import clean, clean_tree
from ansible_collections.oncall.pressure.plugins.plugin_utils import _ladder
from ansible_collections.oncall.pressure.plugins.plugin_utils._changes_text import span
from ansible_collections.oncall.pressure.plugins.plugin_utils._diagnosis import natural
from ansible_collections.oncall.pressure.plugins.plugin_utils._documents import SCHEMA
from ansible_collections.oncall.pressure.plugins.plugin_utils._ladder import OVER, Ceilings, Declared
from ansible_collections.oncall.pressure.plugins.plugin_utils._majority import Crowd, crowds, label
from ansible_collections.oncall.pressure.plugins.plugin_utils._report import SOME, command
from ansible_collections.oncall.pressure.plugins.plugin_utils._values import rows, text

Row = t.Mapping[str, t.Any]

#: States of a change before anything of the host was touched.
_UNTOUCHED = ("intent", "saved")


class Asked(t.NamedTuple):
    """What the run goes by.

    ``hosts``: those of the play, null for saved snapshots, whose hosts nobody can ask. ``changes``: by host what incident_info returned.
    ``ceilings``: by host; one that is not named has the defaults. ``window_s``: how far back a restart counts, in seconds.
    ``made``: ``{"at", "run", "owner"}``. ``inventory``: how commands name theirs, the words of ``-i``.
    """

    made: t.Mapping[str, str]
    hosts: t.Sequence[str] | None = None
    changes: t.Mapping[str, Row] = {}
    ceilings: t.Mapping[str, Ceilings] = {}
    max_hosts: int = 10
    majority: float = 0.5
    ignore_majority: bool = False
    window_s: float = 21600.0
    inventory: t.Sequence[str] = SOME


class Planned(t.NamedTuple):
    """``plan.json``, lines about what could not become a part of it, and by host why it is left as it is though something was to be done there."""

    document: dict[str, t.Any]
    notes: list[str]
    left: dict[str, str]


class Known(t.NamedTuple):
    """What is known of one host: its row of the diagnosis, its snapshot (empty where there is none), its changes (null: nobody could say)."""

    host: str
    row: Row
    snapshot: Row
    entries: list[dict[str, t.Any]] | None


def plan(diagnosis: Row, snapshots: t.Mapping[str, Row], declared: Declared, asked: Asked) -> Planned:
    """The plan afresh. ``snapshots``: by host those that the diagnosis was made of."""
    known = look(diagnosis, snapshots, asked)
    notes: list[str] = []
    hosts: dict[str, dict[str, t.Any]] = {}
    for host, one in known.items():
        found, problems = _ladder.suggested(rows(one.row, "verdicts"), declared)
        notes += ["%s: %s" % (host, problem) for problem in problems]
        if found:
            hosts[host] = host_row(one, with_reasons(_ladder.order(found), one, asked), asked)
    document = finish(hosts, known, asked)
    notes += elsewhere(diagnosis)
    return Planned(document, [clean(note, 300) for note in notes], left(document))


def elsewhere(diagnosis: Row) -> list[str]:
    """Where the fault is on another server, so that a change to those that wait for it mends nothing."""
    found = []
    for row in rows(diagnosis, "shared_causes"):
        if row.get("kind") == "server":
            where = "%s%s" % (row["what"], " (%s)" % row["host"] if row["host"] else "")
            sure = "the fault is there" if row["confidence"] != "low" else "the fault may be there"
            found.append("%s wait for %s: %s, and no change to them mends it" % (", ".join(row["hosts"][:5]), where, sure))
    return found


def left(document: Row, done: t.Container[str] = ()) -> dict[str, str]:
    """The hosts of a plan that are held, and why; not those on which there is nothing to do."""
    return {host: str(row["held"]) for host, row in document["hosts"].items() if not row["act"] and host not in done}


def look(diagnosis: Row, snapshots: t.Mapping[str, Row], asked: Asked) -> dict[str, Known]:
    """What is known of each host that was diagnosed, in the order in which people count."""
    found: dict[str, Known] = {}
    diagnosed = {host: row for host, row in (diagnosis.get("hosts") or {}).items() if isinstance(row, dict)}
    for host in sorted(diagnosed, key=natural):
        listed = (asked.changes.get(host) or {}).get("entries")
        entries = [dict(entry) for entry in listed if isinstance(entry, t.Mapping)] if isinstance(listed, (list, tuple)) else None
        found[host] = Known(host, diagnosed[host], snapshots.get(host) or {}, entries)
    return found


class Held(t.NamedTuple):
    """A step that may be held, and whether a person is told how to run it."""

    item: _ladder.Suggested
    reason: str | None
    for_a_person: bool


def with_reasons(ladder: t.Sequence[_ladder.Suggested], one: Known, asked: Asked) -> list[Held]:
    """The ladder of a host, each step with why it is held."""
    ceilings = asked.ceilings.get(one.host, Ceilings())
    return [Held(item, *_ladder.hold(item, ceilings, one.entries or [], asked.window_s)) for item in ladder]


def host_row(one: Known, ladder: t.Sequence[Held], asked: Asked) -> dict[str, t.Any]:
    """The row of a host, with what holds it by itself; :func:`finish` adds what holds it because of others."""
    verdicts = [verdict for verdict in rows(one.row, "verdicts") if verdict.get("mitigations")]
    wanted = ("rule", "service", "name", "component", "resource", "cause", "confidence", "summary")
    return {
        "act": True,
        "held": absent(one, asked) or in_others_hands(one, asked),
        "taken": {"at": text(one.snapshot, "taken", "at"), "boot_id": text(one.snapshot, "taken", "boot_id")},
        "state": one.row.get("state"),
        "verdicts": [{name: verdict.get(name) for name in wanted} for verdict in verdicts],
        "open": [
            {name: entry.get(name) for name in ("entry", "mitigation", "service", "owner", "state", "undone_in_s")}
            for entry in one.entries or [] if _is_there(entry)
        ],
        "steps": [_ladder.step(held.item, held.reason) for held in ladder],
        "lasting": list(dict.fromkeys(str(line) for verdict in verdicts for line in verdict.get("lasting") or [])),
        "run": [
            command({"id": held.item.mitigation.id, "variables": held.item.variables}, one.host, asked.inventory)
            for held in ladder if held.for_a_person
        ],
    }


def absent(one: Known, asked: Asked) -> str | None:
    """Why a host cannot be changed in this run at all; null where it can."""
    if asked.hosts is not None and one.host not in asked.hosts:
        return "it is not a host of this run"
    if one.row.get("reached") is not True:
        return "it did not answer: %s" % (one.row.get("reason") or "no reason was given")
    return None


def in_others_hands(one: Known, asked: Asked) -> str | None:
    """What was done to a host before that must be seen to first, or that it is to be left alone; null where its journal says that it is free."""
    if asked.hosts is None:
        return None
    change = asked.changes.get(one.host) or {}
    if one.entries is None:
        return "what was changed on it before is not known: %s" % clean(str(change.get("msg") or "nobody could ask it"), 200)
    if change.get("read_only") is not False:
        return "/etc/oncall-pressure/read-only is there, which refuses every change" if change.get("read_only") else "whether it is read-only is not known"
    for entry in one.entries:
        name = "change %s (%s of %s) by %s" % tuple(clean(str(entry.get(key)), 80) for key in ("entry", "mitigation", "service", "owner"))
        if entry.get("state") == "undo_failed":
            return "%s could not be undone: a person must see to that first (oncall.pressure.status)" % name
        if _is_there(entry) and entry.get("state") != "confirmed" and entry.get("owner") != asked.made["owner"]:
            ends = entry.get("undone_in_s")
            return "%s is neither confirmed nor undone%s" % (name, "" if ends is None else ", the host undoes it in %s" % span(ends))
    lease = change.get("lease")
    if isinstance(lease, t.Mapping) and lease.get("owner") != asked.made["owner"]:
        return "%s is changing it right now" % clean(str(lease.get("owner") or "somebody"), 80)
    return None


def _is_there(entry: Row) -> bool:
    """Whether anything of a change is on the host. One that ended before it touched anything is closed by the next."""
    if entry.get("state") in _UNTOUCHED:
        return any(row.get("begun") for row in rows(entry, "operations"))
    return entry.get("state") not in OVER


def finish(hosts: dict[str, dict[str, t.Any]], known: t.Mapping[str, Known], asked: Asked) -> dict[str, t.Any]:
    """The whole document: held too are hosts of a majority, those on which no step is left, and those beyond the cap."""
    found: dict[str, Crowd] = {}
    # a host that was named alone is counted alone, and is no majority
    if not asked.ignore_majority:
        entries = {host: one.entries or [] for host, one in known.items()}
        found = crowds({host: one.row for host, one in known.items()}, {host: one.snapshot for host, one in known.items()}, entries, asked.window_s)
    acting = 0
    for row in hosts.values():
        row["held"] = row["held"] or _of_many(row, found, asked.majority) or _without_steps(row)
        if row["held"] is None and acting >= asked.max_hosts:
            row["held"] = "%d hosts are changed in one run at most (pressure_max_hosts): run it again for this one" % asked.max_hosts
        row["act"] = row["held"] is None
        acting += row["act"]
    document = {
        "schema": SCHEMA, "kind": "plan", "made": dict(asked.made),
        "fleet": {"hosts": len(known), "act": acting, "held": len(hosts) - acting},
        "hosts": hosts,
    }
    return t.cast("dict[str, t.Any]", clean_tree(document))


def _of_many(row: Row, found: t.Mapping[str, Crowd], share: float) -> str | None:
    """Why nothing is done to a host because of the others that run the same."""
    wanted = {(step["for"]["rule"], step["for"]["service"]) for step in row["steps"] if step["held"] is None}
    for verdict in row["verdicts"]:
        crowd = found.get(label(verdict) or "")
        if (verdict["rule"], verdict["service"]) in wanted and crowd is not None and crowd.is_most(share):
            return crowd.says(share)
    return None


def _without_steps(row: Row) -> str | None:
    """Why nothing is left to do by itself."""
    if any(step["held"] is None for step in row["steps"]):
        return None
    reasons = ["%s: %s" % (step["mitigation"], step["held"]) for step in row["steps"]]
    return "no step is left that is done by itself (%s)" % "; ".join(dict.fromkeys(reasons)) if reasons else "no step is left"
