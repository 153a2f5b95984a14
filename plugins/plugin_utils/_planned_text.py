# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a changing module came to on one host, in lines for a screen.

Private to oncall.pressure: no stable interface.
"""

from __future__ import annotations

import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._host._text import clean

#: Callbacks whose standard output people read. Under any other one it belongs to a machine.
FOR_PEOPLE = ("default", "debug", "yaml", "dense", "unixy", "selective")


def said(host: str, result: t.Mapping[str, t.Any], checking: bool) -> str:
    """One block: what was found, what was done with it, what is left to do; "" where the module did not get that far (its message says why)."""
    notes = result.get("notes")
    lines = [str(line) for line in (notes.get("summary") or [])] if isinstance(notes, t.Mapping) else []
    if not lines:
        return ""
    lines.append(_outcome(result, checking))
    if not result.get("failed"):
        lines += ["left to do: %s" % step for step in result.get("proposals") or []]
    name = clean(host, 60)
    return "\n".join("%s  %s" % (name if place == 0 else " " * len(name), clean(line, 1000)) for place, line in enumerate(lines))


def _outcome(result: t.Mapping[str, t.Any], checking: bool) -> str:
    if result.get("refused"):
        return "refused, and nothing was changed: see the message"
    if result.get("failed"):
        return "it did not come out: see the message"
    if not result.get("changed"):
        return "nothing to change"
    if checking:
        return "would change (nothing was written)"
    return "changed (%s); undone by the host in %g s unless confirmed" % (result.get("entry"), float(result.get("confirm_within_s") or 0))
