# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write docs/rules/: a page for each rule with its meaning, thresholds, evidence, mitigations and lasting fix, and README.md, which lists them."""

from __future__ import annotations

import re
from typing import Any, Dict, Iterator, List, Mapping, Tuple

import runbook_map
import yaml
from checks import ROOT

RULES = ROOT / "roles" / "diagnose" / "files" / "rules"
FOLDER = ROOT / "docs" / "rules"

#: The safe loader in C, several times as fast, where PyYAML has it.
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

HEAD = """<!--
Copyright (c) 2026, oncall.pressure maintainers
GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
SPDX-License-Identifier: GPL-3.0-or-later
-->

"""

LOOKS_AT = {
    "host": "the host", "service": "each service", "nginx": "the traffic of nginx", "job": "each entry of cron that runs", "health": "each URL that was asked",
    "container": "each container", "redis": "each Redis server", "queue": "each queue of celery and rq in Redis", "database": "each PostgreSQL server",
}

UNITS = {
    "pct": "%", "share": "", "bytes": "bytes", "s": "s", "per_s": "a second", "ratio": "times", "cpus": "CPUs", "count": "", "ms": "ms",
    "pages_per_s": "pages a second",
}

WORDS = {"all": "all of these", "any": "any of these", "not": "not"}


def load() -> List[Tuple[str, Dict[str, Any]]]:
    """Every rule with the name of its file."""
    return [(path.name, rule) for path in sorted(RULES.glob("*.yml")) for rule in yaml.load(path.read_text(encoding="utf-8"), _LOADER)]


def mitigations() -> Dict[str, Dict[str, Any]]:
    """What each mitigation declares of itself, by id."""
    found = (yaml.safe_load(path.read_text(encoding="utf-8")) for path in sorted((ROOT / "roles").glob("*/meta/mitigation.yml")))
    return {row["id"]: row for row in found}


def number(value: Any, unit: str = "") -> str:
    """A number as people write it, with its unit."""
    if unit == "bytes":
        for limit, name in ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
            if value >= limit and value % limit == 0:
                return "%d %s" % (value // limit, name)
        return "%d bytes" % value
    word = UNITS.get(unit, "")
    return "%s %s" % (value, word) if word else str(value)


def cell(text: str) -> str:
    """Text within a table: a bar would end the cell."""
    return text.replace("|", "\\|")


def sentence(text: str) -> str:
    """A sentence of a rule: what is filled in stands as code, what Markdown would take for its own is escaped."""
    parts = re.split(r"\{([a-z][a-z0-9_]*)(?::[a-z]+)?\}", text)
    plain = [re.sub(r"([\\`*_\[\]<>#|])", r"\\\1", part) for part in parts[::2]]
    filled = ["`%s`" % name for name in parts[1::2]] + [""]
    return "".join(before + name for before, name in zip(plain, filled))


class Page:
    """The page of one rule."""

    def __init__(self, name: str, rule: Mapping[str, Any], everything: Mapping[str, Mapping[str, Any]], asked: Mapping[str, str]) -> None:
        self._name = name
        self._rule = rule
        self._all = everything
        self._asked = asked
        self._thresholds = rule.get("thresholds", {})

    def render(self) -> str:
        """The page as text."""
        rule = self._rule
        lines = ["# %s" % rule["id"], "", "%s." % rule["title"].rstrip("."), ""]
        lines += list(self._meaning())
        lines += self._said("## What it says", rule["summary"], "The first of these that can be said:")
        lines += self._said("## Evidence", rule["evidence"])
        lines += self._said("## What it rules out", rule.get("ruled_out", []))
        lines += self._said("## What it does not know", rule.get("not_measured", []))
        lines += self._said("## What to do", rule["next"])
        lines += self._ladder()
        lines += self._said("## Lasting fix", rule["lasting"])
        lines += ["## When it fires", "", *self._condition(rule["when"], 0), ""]
        lines += self._numbers()
        lines += ["## How sure it is", "", *self._confidence(), ""]
        lines += self._needs()
        lines += ["## Source", "", *("- %s: %s" % (where, self._asked.get(where) or "(near it, [the map](../runbook-map.md))") for where in rule["source"]), ""]
        lines += ["Written by `make pages` from `roles/diagnose/files/rules/%s`; the words are explained in [rules.md](../rules.md)." % self._name, ""]
        return HEAD + "\n".join(lines)

    def _meaning(self) -> Iterator[str]:
        rule, says = self._rule, self._rule["says"]
        yield "| looks at | resource | cause | pattern | weight |"
        yield "| --- | --- | --- | --- | --- |"
        cause = "not found" if says["cause"] == "none" else says["cause"]
        yield "| %s | %s | %s | %s | %d |" % (LOOKS_AT[rule["subject"]], says["resource"], cause, says.get("pattern") or "-", rule["weight"])
        yield ""
        if "scope" in rule:
            yield "Only where"
            yield ""
            yield from self._condition(rule["scope"], 0)
            yield ""
        explained = sorted(other["id"] for other in self._all.values() if rule["id"] in _named(other.get("explains", [])))
        if rule.get("explains"):
            yield "Effects of it, which are no verdicts of their own beside it:"
            yield ""
            for item in rule["explains"]:
                yield from self._with_when("- %s" % _link(item if isinstance(item, str) else item["id"]), item, "its effect")
            yield ""
        if explained:
            yield "It is itself an effect of: %s." % ", ".join(map(_link, explained))
            yield ""

    def _condition(self, condition: Any, depth: int) -> Iterator[str]:
        """A condition as a list, its parts below it."""
        lead = "  " * depth + "- "
        if isinstance(condition, dict):
            ((how, parts),) = condition.items()
            yield "%s%s:" % (lead, WORDS[how])
            for part in parts if how != "not" else [parts]:
                yield from self._condition(part, depth + 1)
        elif isinstance(condition[0], str):
            yield lead + self._compare(condition)
        elif len(condition) == 1:
            yield from self._condition(condition[0], depth)
        else:
            yield "%s%s:" % (lead, WORDS["all"])
            for part in condition:
                yield from self._condition(part, depth + 1)

    def _compare(self, condition: List[Any]) -> str:
        fact, operator = condition[0], condition[1]
        if len(condition) == 2:
            return "`%s` was %s" % (fact, operator if operator == "measured" else "not measured")
        operand = condition[2]
        if isinstance(operand, str) and operand.startswith("$"):
            row = self._thresholds[operand[1:]]
            return "`%s` %s %s (`%s`)" % (fact, operator, number(row["enter"], row["unit"]), operand[1:])
        if isinstance(operand, str) and operand.startswith("@"):
            return "`%s` %s `%s`" % (fact, operator, operand[1:])
        if isinstance(operand, list):
            return "`%s` %s %s" % (fact, operator, ", ".join(map(str, operand)))
        return "`%s` %s %s" % (fact, operator, str(operand).lower() if isinstance(operand, bool) else operand)

    def _needs(self) -> List[str]:
        facts = self._rule["facts"]
        lines = ["## What it needs", ""]
        if self._rule.get("needs"):
            lines += ["It does not fire without %s." % ", ".join("`%s`" % name for name in self._rule["needs"]), ""]
        lines += ["| fact | selected from the snapshot and what is worked out of it |", "| --- | --- |"]
        return [*lines, *("| `%s` | `%s` |" % (name, cell(facts[name])) for name in facts), ""]

    def _numbers(self) -> List[str]:
        if not self._thresholds:
            return ["## Thresholds", "", "None.", ""]
        lines = ["## Thresholds", "", "| name | fires at | clears at | meaning |", "| --- | --- | --- | --- |"]
        for name, row in self._thresholds.items():
            lines.append("| `%s` | %s | %s | %s |" % (name, number(row["enter"], row["unit"]), number(row["leave"], row["unit"]), cell(row["doc"])))
        lines += ["", "To tune them, in the inventory, for all, a group or a host (here what they are anyway):", "", "```yaml", "pressure_thresholds:"]
        lines.append("  %s:" % self._rule["id"])
        lines += ["    %s: {enter: %s, leave: %s}" % (name, row["enter"], row["leave"]) for name, row in self._thresholds.items()]
        return [*lines, "```", ""]

    def _confidence(self) -> Iterator[str]:
        for row in self._rule["confidence"]:
            if "when" in row:
                yield "- %s where" % row["level"]
                yield from self._condition(row["when"], 1)
            else:
                yield "- %s%s" % (row["level"], " otherwise" if len(self._rule["confidence"]) > 1 else "")
            for item in row.get("surer_with", []):
                text = item if isinstance(item, str) else item["text"]
                yield from self._with_when("  - surer with %s" % sentence(text), item, "said")

    def _with_when(self, line: str, item: Any, word: str) -> List[str]:
        """A line of a list, behind it or below it when it is said."""
        if not isinstance(item, dict) or "when" not in item:
            return [line]
        found = list(self._condition(item["when"], 2))
        if len(found) == 1:
            return ["%s (%s where %s)" % (line, word, found[0].strip().partition(" ")[2])]
        if found[0].strip() == "- %s:" % WORDS["all"]:
            # a list says that by itself
            found = [part[2:] for part in found[1:]]
        return [line, "  - %s where" % word, *found]

    def _said(self, title: str, sentences: List[Any], lead: str = "") -> List[str]:
        if not sentences:
            return []
        lines = [title, ""]
        if lead and len(sentences) > 1:
            lines += [lead, ""]
        for item in sentences:
            text = item if isinstance(item, str) else item["text"]
            lines += self._with_when("- %s" % sentence(text), item, "said")
        return [*lines, ""]

    def _ladder(self) -> List[str]:
        known = mitigations()
        found = [item if isinstance(item, dict) else {"id": item} for item in self._rule.get("mitigations", [])]
        if not found:
            return ["## Mitigations", "", "None is made by itself: a person does what stands above.", ""]
        lines = ["## Mitigations", "", "Least risky first; [remediate.md](../remediate.md) says when one is taken.", ""]
        for item in sorted(found, key=lambda item: (item["id"] == "restart_service", known[item["id"]]["rung"])):
            row = known[item["id"]]
            line = "- [`%s`](../../roles/%s/README.md), rung %d, disruption %s: %s" % (item["id"], item["id"], row["rung"], row["disruption"], row["title"])
            lines += self._with_when(line, item, "suggested")
        return [*lines, ""]


def _named(items: List[Any]) -> List[str]:
    """The ids of a list whose items are ids, or mappings that have one."""
    return [item if isinstance(item, str) else item["id"] for item in items]


def _link(rule_id: str) -> str:
    return "[`%s`](%s.md)" % (rule_id, rule_id)


def index(rules: List[Tuple[str, Dict[str, Any]]]) -> str:
    """The list of all rules, by file."""
    lines = [
        "# The rules", "", "A page for each rule that is shipped, written by `make pages` from `roles/diagnose/files/rules/`. What a rule is and how one is",
        "written stands in [rules.md](../rules.md).", "", "| rule | says | looks at | resource | cause |", "| --- | --- | --- | --- | --- |",
    ]
    for dummy, rule in rules:
        says = rule["says"]
        lines.append("| %s | %s | %s | %s | %s |" % (_link(rule["id"]), cell(rule["title"]), LOOKS_AT[rule["subject"]], says["resource"], says["cause"]))
    return HEAD + "\n".join([*lines, "", "Cause `none` is shown as \"not found\": the effect was measured, its cause was not.", ""])


def pages() -> Dict[str, str]:
    """Every page by its file's name."""
    rules = load()
    everything = {rule["id"]: rule for dummy, rule in rules}
    asked: Dict[str, str] = {}
    for row in runbook_map.load()["rows"]:
        for where in row["at"]:
            text = "`%s`" % row["command"] if "command" in row else row["says"]
            asked[where] = "%s; %s" % (asked[where], text) if where in asked else text
    found = {"%s.md" % rule["id"]: Page(name, rule, everything, asked).render() for name, rule in rules}
    return {**found, "README.md": index(rules)}


def main() -> int:
    """Write the pages, and take away those of rules that are no more."""
    FOLDER.mkdir(exist_ok=True)
    written = pages()
    for path in FOLDER.glob("*.md"):
        if path.name not in written:
            path.unlink()
    for name, text in written.items():
        (FOLDER / name).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
