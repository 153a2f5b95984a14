# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Write report.md: process, trigger, mitigation, lasting fix for each sick host, then everything else that was seen.

Private to oncall.pressure: no stable interface.

Whatever a host said stands in a code span or is escaped: no link, no image, no HTML and no table cell of its making.
"""

from __future__ import annotations

import re
import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._host._text import clean
from ansible_collections.oncall.pressure.plugins.plugin_utils._documents import Loaded
from ansible_collections.oncall.pressure.plugins.plugin_utils._format import age, number, size
from ansible_collections.oncall.pressure.plugins.plugin_utils._memory_figures import outlook
from ansible_collections.oncall.pressure.plugins.plugin_utils._report import cause, command, fleet_line, shared
from ansible_collections.oncall.pressure.plugins.plugin_utils._timeline import sentence
from ansible_collections.oncall.pressure.plugins.plugin_utils._values import at, num, rows, text

# What means something to a Markdown reader anywhere in a line. A colon is written out where it would make a bare address a link.
_SPECIAL = re.compile(r"([\\`*_{}\[\]#|~@$])")


def plain(value: t.Any) -> str:
    """Any text as Markdown that shows exactly it, on one line."""
    escaped = clean(str(value), 1000).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    escaped = _SPECIAL.sub(r"\\\1", escaped)
    escaped = re.sub(r"(?i)(https?|ftp|mailto|www)([:.])", lambda found: "%s&#%d;" % (found.group(1), ord(found.group(2))), escaped)
    # At the beginning of a line these would be a list of its own, or underline what stands above.
    return re.sub(r"^(\s*\d*)([-+=.)])", r"\1\\\2", escaped)


def code(value: t.Any, limit: int = 200) -> str:
    """A name that a host or the inventory gave, as a code span that nothing in it can leave, safe in a table cell."""
    name = clean(str(value), limit).replace("|", "\u00a6").replace("`", "\u02cb").strip()
    return "`%s`" % name if name else "-"


def markdown(diagnosis: t.Mapping[str, t.Any], loaded: t.Sequence[Loaded], problems: t.Sequence[str] = ()) -> str:
    """The report of a run."""
    hosts: t.Mapping[str, t.Any] = diagnosis["hosts"]
    snapshots = {row.host: row.document for row in loaded}
    lines = ["# Pressure report", "", plain(fleet_line(diagnosis["fleet"], hosts, None)), ""]
    taken = sorted(filter(None, (text(document, "taken", "at") for document in snapshots.values() if document)))
    if taken:
        lines += ["Measured %s%s." % (plain(taken[0]), " to %s" % plain(taken[-1]) if taken[0] != taken[-1] else ""), ""]
    for problem in problems:
        lines += ["- rule left out: %s" % plain(problem)]
    lines += [""] if problems else []
    for cause_row in diagnosis.get("shared_causes") or []:
        lines += _shared_cause(cause_row)
    for host, row in hosts.items():
        if row["verdicts"]:
            lines += _sick(host, row)
    alike = diagnosis.get("shared_jobs") or []
    lines += ["## The same job on several hosts", "", *("- %s" % plain(shared(job)) for job in alike), ""] if alike else []
    quiet = {host: row for host, row in hosts.items() if row["state"] == "unknown"}
    if quiet:
        lines += ["## Not known", "", "| host | why |", "| --- | --- |"]
        lines += ["| %s | %s |" % (code(host), plain(row["reason"] or "nothing was measured")) for host, row in quiet.items()] + [""]
    lines += _hosts(hosts, snapshots)
    for host in hosts:
        lines += _measured(host, hosts[host], snapshots.get(host))
    return "\n".join(lines).rstrip("\n") + "\n"


def _listed(title: str, sentences: t.Sequence[str], numbered: bool = False) -> list[str]:
    if not sentences:
        return []
    return ["%s" % title, "", *("%s %s" % ("%d." % index if numbered else "-", plain(item)) for index, item in enumerate(sentences, 1)), ""]


def _shared_cause(row: t.Mapping[str, t.Any]) -> list[str]:
    """What several hosts suffer from together."""
    where = "%s (%s)" % (code(row["what"]), code(row["host"])) if row["host"] else code(row["what"])
    names = ", ".join(map(code, row["hosts"])) + (" and %d more" % (row["count"] - len(row["hosts"])) if row["count"] > len(row["hosts"]) else "")
    lines = ["## %s: one cause on %d host%s" % (row["kind"], row["count"], "s" * (row["count"] != 1)), ""]
    lines += ["%s. Cause: %s; confidence %s. On %s: %s" % (where, plain(cause(row)), row["confidence"], names, plain(row["summary"])), ""]
    lines += _listed("Evidence:", row["evidence"])
    explained = ["- %s on %s%s" % (code(one["rule"]), code(one["host"]), " at %s" % code(one["service"]) if one["service"] else "") for one in row["explains"]]
    lines += ["It explains:", "", *explained, ""]
    lines += _listed("It does not explain:", row["not_explained"])
    lines += ["Surer with: %s." % plain(row["surer_with"]), ""] if row["surer_with"] else []
    return lines + _listed("Do first:", row["next"], numbered=True)


def _sick(host: str, row: t.Mapping[str, t.Any]) -> list[str]:
    lines = ["## %s" % code(host), ""]
    for index, verdict in enumerate(row["verdicts"], 1):
        where = "%s (%s)" % (code(verdict["name"] or verdict["service"]), verdict["component"]) if verdict["service"] else plain(verdict["component"])
        lines += ["### %d. %s: %s" % (index, verdict["resource"], plain(verdict["title"])), ""]
        lines += ["**Process**: %s. %s" % (where, plain(verdict["summary"])), ""]
        pattern = ", pattern %s" % plain(verdict["pattern"]) if verdict["pattern"] and verdict["pattern"] != "unknown" else ""
        lines += ["**Trigger**: %s%s; confidence %s; rule %s." % (plain(cause(verdict)), pattern, verdict["confidence"], code(verdict["rule"])), ""]
        if verdict.get("effect_of"):
            lines += ["An effect of %s on %s: it is to be mended there." % (code(verdict["effect_of"]["rule"]), code(verdict["effect_of"]["host"])), ""]
        lines += _listed("Evidence:", verdict["evidence"])
        lines += _listed("Ruled out:", verdict["ruled_out"])
        lines += _listed("Not measured:", verdict["missing"])
        lines += ["Surer with: %s." % plain(verdict["surer_with"]), ""] if verdict.get("surer_with") else []
        lines += _listed("**Mitigation**, least risky first:", verdict["next"], numbered=True)
        if verdict["mitigations"]:
            lines += ["Shown before it is done by:", "", *["- %s" % code(command(item, host), 600) for item in verdict["mitigations"]], ""]
        lines += _listed("**Lasting fix**:", verdict["lasting"])
    lines += _listed("Changed lately:", ["%s %s" % (event["at"], sentence(event)) for event in row.get("changes") or []])
    effects = [item for item in row["findings"] if item["explained_by"]]
    if effects:
        lines += ["Seen as effects:", ""]
        lines += [
            "- %s%s, explained by %s" % (code(item["rule"]), " at %s" % code(item["service"]) if item["service"] else "", code(item["explained_by"]))
            for item in effects
        ]
        lines += [""]
    return lines


def _hosts(hosts: t.Mapping[str, t.Any], snapshots: t.Mapping[str, t.Any]) -> list[str]:
    lines = ["## All hosts", "", "| host | state | CPUs | CPU used | memory available | kills | services |", "| --- | --- | --- | --- | --- | --- | --- |"]
    for host, row in hosts.items():
        document = snapshots.get(host) or {}
        state = row["state"] if row["reached"] else "unreached"
        first = ": %s, %s" % (row["verdicts"][0]["resource"], cause(row["verdicts"][0])) if row["verdicts"] else ""
        cells = [
            code(host),
            state + plain(first),
            _number(num(document, "host", "cpu", "usable")),
            _number(num(document, "host", "cpu", "used_pct"), " %"),
            _size(num(document, "host", "memory", "available_bytes")),
            _number(num(document, "oom", "kills")),
            str(len(rows(document, "services"))) if isinstance(document.get("services"), list) else "-",
        ]
        lines.append("| %s |" % " | ".join(cells))
    return [*lines, ""]


def _number(value: float | None, unit: str = "") -> str:
    return "-" if value is None else number(value) + unit


def _size(value: float | None) -> str:
    return "-" if value is None else size(value)


def _over_time(row: t.Mapping[str, t.Any], document: t.Mapping[str, t.Any]) -> list[str]:
    """What the memory of each service does: first of one worker or of all, then against traffic and work."""
    found = row.get("memory") or []
    if not found:
        return []
    names = {item.get("id"): text(item, "name") for item in rows(document, "services")}
    lines = ["| memory of | pattern | of | said by | watched | an hour | what decided it |", "| --- | --- | --- | --- | --- | --- | --- |"]
    for item in found:
        watched = num(item, "covered_s")
        decided = [*([said] if (said := outlook(item)) else []), *item["evidence"][:2], *item["missing"][:1]]
        cells = (
            code(names.get(item["service"]) or item["service"]),
            "%s (%s)" % (plain(item["pattern"]), item["confidence"]),
            plain(item["level"] or "-"),
            plain(item["from"] or "-"),
            "-" if watched is None else age(watched),
            _size(num(item, "growth_bytes_per_hour")),
            plain("; ".join(decided) or "-"),
        )
        lines.append("| %s |" % " | ".join(cells))
    return [*lines, ""]


def _measured(host: str, row: t.Mapping[str, t.Any], document: t.Mapping[str, t.Any] | None) -> list[str]:
    """What was measured on a host, by what, at what cost, and which rules are not known."""
    if not document or not row["reached"]:
        return []
    lines = ["## Measured on %s" % code(host), "", "| collector | status | seconds | reason |", "| --- | --- | --- | --- |"]
    collectors = at(document, "collectors")
    for name, item in sorted(collectors.items()) if isinstance(collectors, dict) else []:
        cells = (code(name), plain(text(item, "status") or "-"), _number(num(item, "seconds")), plain(text(item, "reason") or "-"))
        lines.append("| %s |" % " | ".join(cells))
    cost = at(document, "cost")
    lines += ["", "Cost: %s s of CPU, %s of memory, %s s." % (_number(num(cost, "cpu_s")), _size(num(cost, "pss_bytes")), _number(num(cost, "wall_s"))), ""]
    services = sorted(rows(document, "services"), key=lambda item: -(num(item, "memory", "bytes") or 0))[:15]
    if services:
        lines += ["| service | component | state | CPUs | memory | limit | workers |", "| --- | --- | --- | --- | --- | --- | --- |"]
    for item in services:
        cells = (
            code(text(item, "name") or item.get("id")),
            plain(text(item, "component") or "-"),
            plain(text(item, "state") or "-"),
            _number(num(item, "cpu", "used")),
            _size(num(item, "memory", "bytes")),
            _size(num(item, "memory", "limit_bytes")),
            _number(num(item, "worker_summary", "count")),
        )
        lines.append("| %s |" % " | ".join(cells))
    lines += [""] if services else []
    lines += _over_time(row, document)
    lines += _listed("Not known:", ["%s: %s" % (item["rule"], "; ".join(item["missing"])) for item in row["unknown"]])
    return lines
