# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write docs/runbook-map.md from tests/contract/runbooks.yml: what the runbooks ask for, and what answers it here."""

from __future__ import annotations

import re
from typing import Any, Dict, Iterator, List

import yaml
from checks import ROOT

SOURCE = ROOT / "tests" / "contract" / "runbooks.yml"
PAGE = ROOT / "docs" / "runbook-map.md"

HEAD = """<!--
Copyright (c) 2026, oncall.pressure maintainers
GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
SPDX-License-Identifier: GPL-3.0-or-later
-->

# From the runbooks to the facts

The product was asked for through five runbooks. Here stands every command of theirs with what replaces it, and everything else that they
have somebody look for. Written by `make map` from `tests/contract/runbooks.yml`; a test finds each key of a fact in the schema of the snapshot
and with a value in a snapshot that was recorded in the lab (`make recordings`, [lab.md](lab.md)).

Keys are JMESPath into a snapshot ([architecture.md](architecture.md)); rules are in [rules.md](rules.md). `DOCUMENT:LINE` is where it stands.

"""


def load() -> Dict[str, Any]:
    """The data: runbooks and rows."""
    return yaml.safe_load(SOURCE.read_text(encoding="utf-8"))


def answers(row: Dict[str, Any]) -> Iterator[str]:
    """What answers one row, as it is printed."""
    for kind, word in (("facts", ""), ("diagnosis", "diagnosis: "), ("rules", "rules: "), ("mitigations", "mitigations: ")):
        if row.get(kind):
            yield word + ", ".join("`%s`" % name for name in row[kind])
    if row.get("advice"):
        yield "advice: " + row["advice"]
    if row.get("missing"):
        yield "missing: " + row["missing"]


def cell(text: str) -> str:
    """Text within a table: a bar would end the cell."""
    return text.replace("|", "\\|")


def table(rows: List[Dict[str, Any]], kind: str, heading: str) -> Iterator[str]:
    """The rows that are a command, or that say something."""
    yield "| %s | where | here |" % heading
    yield "| --- | --- | --- |"
    for row in rows:
        asked = "`%s`" % row[kind] if kind == "command" else row[kind]
        yield "| %s | %s | %s |" % (cell(asked), ", ".join(row["at"]), cell("<br>".join(answers(row))))


def render() -> str:
    """The page."""
    data = load()
    rows = data["rows"]
    lines = ["| document | about | lines with commands |", "| --- | --- | --- |"]
    for number, book in sorted(data["runbooks"].items()):
        lines.append("| %s | %s | %d |" % (number, book["title"], len(book["lines"])))
    lines += ["", "## Commands", "", *table([row for row in rows if "command" in row], "command", "command"), "", "## What else is asked", ""]
    lines += table([row for row in rows if "says" in row], "says", "asked")
    return re.sub(r"[ \t]+\n", "\n", HEAD + "\n".join(lines) + "\n")


def main() -> int:
    """Write the page."""
    PAGE.write_text(render(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
