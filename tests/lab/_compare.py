# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compare a diagnosis with what is true of an incident. Pure: documents in, misses out."""

from __future__ import annotations

import json
from typing import Any


def first_verdict(document: dict[str, Any], host: str) -> dict[str, Any]:
    """The first verdict of a host, {} where there is none."""
    verdicts = document.get("hosts", {}).get(host, {}).get("verdicts") or [{}]
    return verdicts[0]


def said(document: dict[str, Any], host: str) -> str:
    """What the table shows as the answer for a host."""
    entry = document.get("hosts", {}).get(host)
    if entry is None:
        return "no answer"
    verdict = first_verdict(document, host)
    if not verdict:
        return entry.get("state", "unknown")
    parts = [verdict.get(key) for key in ("resource", "service", "component", "cause", "pattern")]
    return " ".join(str(part) for part in parts if part)


def wanted(expected: Any) -> str:
    """What the table shows as the truth."""
    if expected == "healthy":
        return "healthy"
    parts = [expected.get(key) for key in ("resource", "service", "component", "cause", "pattern")]
    return " ".join("|".join(part) if isinstance(part, list) else str(part) for part in parts if part)


def misses(document: dict[str, Any], host: str, others: list[str], expected: Any) -> list[str]:
    """Why the diagnosis is not the truth; [] where it is."""
    found = []
    for other in others:
        state = document.get("hosts", {}).get(other, {}).get("state", "no answer")
        if state != "healthy":
            found.append("{0} is {1}: {2}".format(other, state, said(document, other)))
    entry = document.get("hosts", {}).get(host)
    if entry is None:
        return [*found, "{0} is not in the diagnosis".format(host)]
    if expected == "healthy":
        if entry.get("state") != "healthy":
            found.append("{0} is {1}: {2} {3}".format(host, entry.get("state"), said(document, host), entry.get("unknown") or ""))
        return found
    if entry.get("state") != "incident":
        return [*found, "{0} is {1}".format(host, entry.get("state"))]
    verdict = first_verdict(document, host)
    for key in ("resource", "service", "component", "cause", "pattern"):
        if key in expected:
            right = expected[key] if isinstance(expected[key], list) else [expected[key]]
            if verdict.get(key) not in right:
                found.append("{0} is {1}, not {2}".format(key, verdict.get(key), " or ".join(right)))
    text = json.dumps(verdict, ensure_ascii=False)
    found += ["{0} is not named".format(words) for words in expected.get("says", []) if words not in text]
    return found


def untold(document: dict[str, Any], host: str, words: list[str]) -> list[str]:
    """What a person must be told to do and is not, where no mitigation is there to do it; a mitigation that is suggested all the same has to be tried."""
    verdict = first_verdict(document, host)
    found = ["no step says {0!r}".format(said) for said in words if not any(said in step for step in verdict.get("next") or [])]
    return found + ["{0} is suggested, and not tried on this incident".format(row.get("id")) for row in verdict.get("mitigations") or []]


def leaks(texts: dict[str, str], never: list[str]) -> list[str]:
    """Where something stands that must never be written: {name of a text: text}; escapes written out (\\u001b) are as they should be."""
    return ["{0!r} in {1}".format(words, name) for name, text in sorted(texts.items()) for words in never if words in text]


def unseen(texts: dict[str, str], sees: list[str]) -> list[str]:
    """What should stand in one of the texts and does not: without it, finding no leak proves nothing."""
    return ["{0!r} is in no document".format(words) for words in sees if not any(words in text for text in texts.values())]
