# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What held at an earlier look, from its diagnosis: it is over only where it is below what each threshold says to leave at.

Private to oncall.pressure: no stable interface.
"""

from __future__ import annotations

import os
import typing as t

from ansible_collections.oncall.pressure.plugins.plugin_utils._documents import SCHEMA, BadDocument, read_document, read_snapshots
from ansible_collections.oncall.pressure.plugins.plugin_utils._rules import Rule
from ansible_collections.oncall.pressure.plugins.plugin_utils._subjects import subjects
from ansible_collections.oncall.pressure.plugins.plugin_utils._values import rows, text

#: (rule, service): what fired.
Fired = t.FrozenSet[t.Tuple[str, t.Optional[str]]]


class Look(t.NamedTuple):
    """An earlier look at a host: what fired, and its snapshot where that is still there."""

    fired: Fired
    snapshot: t.Mapping[str, t.Any] | None


def snapshots_beside(path: str) -> dict[str, dict[str, t.Any]]:
    """By host the snapshots of the same run as a diagnosis; none where they were not kept with it."""
    folder = os.path.join(os.path.dirname(os.path.abspath(path)), "snapshots")
    try:
        return {row.host: row.document for row in read_snapshots(folder) if row.document is not None} if os.path.isdir(folder) else {}
    except OSError:
        return {}


def read_earlier(path: str) -> dict[str, Fired]:
    """By host what fired, effects of another cause too. Raises BadDocument, OSError."""
    document = read_document(path)
    if not isinstance(document, dict) or document.get("schema") != SCHEMA or not isinstance(document.get("hosts"), dict):
        raise BadDocument("it is no diagnosis of a schema that is known")
    return {
        str(host): frozenset((str(text(finding, "rule")), text(finding, "service")) for finding in rows(row, "findings") if text(finding, "rule"))
        for host, row in document["hosts"].items() if isinstance(row, dict)
    }


def held(fired: Fired, rules: t.Mapping[str, Rule], snapshot: t.Mapping[str, t.Any]) -> Fired:
    """The same as (rule, service of the subject that it looks at): a rule may name another service than the one it looks at."""
    elsewhere = {rule for rule, dummy in fired if rule in rules and rules[rule].says.service}
    found = subjects(snapshot) if elsewhere else []
    return fired | {(rule, subject.service) for rule in elsewhere for subject in found if subject.kind == rules[rule].subject}
