# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The corpus of log lines: ``logs.jsonl`` says of each excerpt which signal it shows, or ``none``.

Right is: that signal is among those found (of ``none``: none that the corpus has a name for, but what is part of normal work), and a line of the
excerpt has the same template as itself with other numbers. Kernel kills are the business of another parser and are asked of that.
An excerpt whose signal this release does not know is refused.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Dict, List, Set

from ansible_collections.oncall.pressure.plugins.module_utils._parse import _kernel_oom, _log_signals, _log_template

from _rows import REFUSED, RIGHT, WRONG, Row, items

_KERNEL = "kernel_oom_kill"


def check(folder: Path) -> List[Row]:
    """A row for each excerpt of ``folder/logs.jsonl``."""
    rows = items(folder / "logs.jsonl")
    named = {item["signal"] for item in rows} - {signal.id for signal in _log_signals.SIGNALS if signal.usual}
    return [_row(item, named) for item in rows]


def found(text: str) -> Set[str]:
    """The signals in an excerpt, kernel kills among them."""
    forms = _log_signals.forms_in(text.encode("utf-8", "surrogatepass"))
    ids = {_log_signals.SIGNALS[match.signal].id for line in text.split("\n") for match in _log_signals.matches(line, forms)}
    return ids | ({_KERNEL} if _kernel_oom.parse(text).kills else set())


def _row(item: Dict[str, Any], named: Set[str]) -> Row:
    wanted, seen = item["signal"], found(item["text"])
    if wanted not in {signal.id for signal in _log_signals.SIGNALS} | {_KERNEL, "none"}:
        return Row(item["id"], REFUSED, "no signal is called %s: its lines are shown as a template only" % wanted)
    wrong = []
    if wanted == "none" and seen & named:
        wrong.append("found %s where there is nothing" % ", ".join(sorted(seen & named)))
    elif wanted not in seen | {"none"}:
        wrong.append("%s is not found, but %s" % (wanted, ", ".join(sorted(seen)) or "nothing"))
    for line in item["text"].split("\n"):
        if _log_template.template(line) != _log_template.template(re.sub(r"(?<=[\s:])[1-9](?=\d\b)", "7", line)):
            wrong.append("other numbers give another template: %s" % line[:80])
    return Row(item["id"], WRONG if wrong else RIGHT, "; ".join(wrong))
