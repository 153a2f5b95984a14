# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What rules look at in the stacks that were taken of one process: of what its service is busy with most, and where.

Private to oncall.pressure: no stable interface. Every figure is null where something it is made of was not measured.
"""

from __future__ import annotations

import typing as t

from ansible_collections.oncall.pressure.plugins.plugin_utils._values import num, rows, text

#: What a group is called in a sentence that says what the process does.
WORDS: t.Final = {
    "loop": "the same function of its own", "own_code": "its own code, in several places", "serialise": "serialising and parsing (JSON, XML, pickles)",
    "transform": "copying and transforming data", "regex": "regular expressions", "template": "rendering templates", "image": "working on images",
    "database": "its client of a database (building queries, reading rows)", "crypto": "cryptography and hashing", "compress": "compressing",
    "retry": "trying again", "call": "calls to other services", "log": "logging", "import": "importing modules", "garbage_collection": "collecting garbage",
    "coordinate": "its event loop, queues and locks", "wait": "waiting",
}

#: What makes it less, by group; said of the place that the stacks show.
ADVICE: t.Final = {
    "loop": "do less in it: an index or a set instead of a search, one pass instead of many, a bound on how much it takes at once",
    "own_code": "do less in it: an index or a set instead of a search, one pass instead of many, a bound on how much it takes at once",
    "serialise": "serialise less: fewer fields, fewer rows at a time (pages), the same result once and not for every part",
    "transform": "copy and transform less: change in place, take only the columns and rows that are needed, hand large ones to a job",
    "regex": "mend the pattern: repetition within repetition takes exponentially long; bound the text that it is given",
    "template": "render less: cache the parts that do not change, take loops and queries out of the template",
    "image": "hand images to a job, smaller and one at a time",
    "database": "ask for less: fewer rows and columns, one query instead of one for each row",
    "crypto": "do it less often (keep sessions and connections), or hand it to a job",
    "compress": "compress less or at a lower level, once and not for every answer, or hand it to a job",
    "retry": "try again less often: growing pauses with chance in them, and a bound on how often",
    "call": "call less: keep connections, ask for many at once, cache what comes again",
    "log": "log less there, and nothing for debugging",
    "import": "import once, when the process starts",
    "garbage_collection": "make fewer objects that refer to each other, or freeze what lives on (gc.freeze)",
    "coordinate": "wait instead of asking again and again: no polling without a pause, fewer tasks and threads at once",
}

#: From this many dumps on they say that something is so, and not only that it was so once.
ENOUGH = 3


def stack_figures(service: t.Mapping[str, t.Any], snapshot: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """The figures under ``derived.stacks`` of a service: all null where none of its processes was looked at, with ``missing``, why."""
    taken = snapshot.get("stacks")
    mine = taken if isinstance(taken, dict) and service.get("id") is not None and taken.get("service") == service.get("id") else {}
    group = next(iter(rows(mine, "groups")), None)
    name = text(group, "group")
    place = next((row for row in rows(mine, "places") if text(row, "group") == name), None) or next(iter(rows(mine, "places")), None)
    pid = num(mine, "pid")
    return {
        "missing": _missing(snapshot) if not mine else None,
        "pid": pid,
        "process": None if pid is None else "process %d" % pid,
        "dumps": num(mine, "dumps"),
        "enough": (num(mine, "dumps") or 0) >= ENOUGH if mine else None,
        "samples": num(mine, "samples"),
        "group": name,
        "words": WORDS.get(name or ""),
        "advice": ADVICE.get(name or ""),
        "share": num(group, "share"),
        "place": text(place, "place"),
        "place_share": num(place, "share"),
        "inside": text(place, "inside"),
    }


def _missing(snapshot: t.Mapping[str, t.Any]) -> str | None:
    """Why there are none, in words; null where the collector failed, which says so itself."""
    other = snapshot.get("stacks")
    if text(snapshot, "collectors", "stacks", "status") not in ("ok", "partial", "absent"):
        return None
    if isinstance(other, dict):
        return "taken of %s" % (text(other, "service") or "another service")
    return text(snapshot, "collectors", "stacks", "reason") or "nobody asked for them (pressure_stacks)"
