# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Load what the mitigations of this collection declare of themselves: ``roles/*/meta/mitigation.yml``.

Private to oncall.pressure: no stable interface.
"""

from __future__ import annotations

import os
import typing as t

from ansible_collections.oncall.pressure.plugins.plugin_utils._located import Located, load

#: From what nobody notices to what ends work; a ceiling names the last that is allowed.
DISRUPTIONS: t.Final = ("none", "low", "medium", "high")

REVERSIBLE: t.Final = ("fully", "partly", "no")

#: The first and the last rung of the ladder.
RUNGS: t.Final = (1, 7)

#: What a declaration holds. ``needs``, ``lifetime_s`` and ``source`` are for readers; nothing here is left out.
_TYPES: t.Final[t.Mapping[str, type]] = {
    "id": str, "title": str, "rung": int, "needs": list, "arguments": dict, "disruption": str, "loses_work": bool, "reversible": str, "settle_s": int,
    "lifetime_s": int, "evidence_first": bool, "automatic": bool, "source": list,
}


class Mitigation(t.NamedTuple):
    """One mitigation as its role declares it.

    ``variables`` are the names that a step gives it: ``pressure_`` before each argument that comes from a verdict. What is computed on the host is
    no plan's to say. ``automatic`` false means that it is never part of what is done by itself, unless somebody names it.
    """

    id: str
    title: str
    rung: int
    disruption: str
    loses_work: bool
    reversible: str
    evidence_first: bool
    settle_s: int
    automatic: bool
    variables: frozenset[str]


def load_mitigations(roles: str) -> dict[str, Mitigation]:
    """Every mitigation below a folder of roles, by id. Raises BadFile for a declaration that is not understood, OSError without the folder."""
    found: dict[str, Mitigation] = {}
    for role in sorted(os.listdir(roles)):
        path = os.path.join(roles, role, "meta", "mitigation.yml")
        if os.path.isfile(path):
            located = load(path)
            found[role] = _declared(located, role)
    return found


def _declared(located: Located, role: str) -> Mitigation:
    data = located.data
    if not isinstance(data, dict):
        raise located.problem((), "a declaration is a mapping")
    for key in data:
        if key not in _TYPES:
            raise located.problem((key,), "unknown word %s (known: %s)" % (key, ", ".join(_TYPES)))
    for key, kind in _TYPES.items():
        if key not in data:
            raise located.problem((), "%s is missing" % key)
        # a boolean is a number to Python, and none here
        if not isinstance(data[key], kind) or isinstance(data[key], bool) is not (kind is bool):
            raise located.problem((key,), "%s must be %s" % (key, _WORDS[kind]))
    _choice(located, "disruption", DISRUPTIONS)
    _choice(located, "reversible", REVERSIBLE)
    if data["id"] != role:
        raise located.problem(("id",), "it is called %s, and its role %s" % (data["id"], role))
    if not RUNGS[0] <= data["rung"] <= RUNGS[1]:
        raise located.problem(("rung",), "rung must be from %d to %d" % RUNGS)
    return Mitigation(
        data["id"], data["title"], data["rung"], data["disruption"], data["loses_work"], data["reversible"], data["evidence_first"], data["settle_s"],
        data["automatic"], frozenset("pressure_%s" % name for name, source in data["arguments"].items() if str(source).startswith("verdict")),
    )


_WORDS: t.Final[t.Mapping[type, str]] = {str: "text", int: "a whole number", bool: "true or false", list: "a list", dict: "a mapping"}


def _choice(located: Located, key: str, choices: t.Sequence[str]) -> None:
    if located.data[key] not in choices:
        raise located.problem((key,), "%s must be one of %s" % (key, ", ".join(choices)))
