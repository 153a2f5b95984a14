# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the screen says: a block for each sick host, a line for each that is not known, one line for the fleet.

Private to oncall.pressure: no stable interface. Plain text without terminal escapes; the healthy are silent.
"""

from __future__ import annotations

import shlex
import textwrap
import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._host._text import visible
from ansible_collections.oncall.pressure.plugins.plugin_utils import _shared_work
from ansible_collections.oncall.pressure.plugins.plugin_utils._checklist import told
from ansible_collections.oncall.pressure.plugins.plugin_utils._shared_jobs import sentence_of
from ansible_collections.oncall.pressure.plugins.plugin_utils._timeline import shown

#: Columns that a line should not pass. What cannot be broken (a path) may.
WIDTH = 100

#: The inventory where it is not known.
SOME: t.Final = ("-i", "INVENTORY")

#: How many lines of one kind stand in a block; the report has them all.
_EVIDENCE = 4
_NEXT = 3
_ALSO = 3
_SHARED = 2

#: What is done after everything else.
_LAST = "restart_service"


def screen(diagnosis: t.Mapping[str, t.Any], report: str | None = None, problems: t.Sequence[str] = (), inventory: t.Sequence[str] = SOME) -> str:
    """The text for the screen. ``report`` is the path of report.md, ``problems`` are lines about rules that were left out.

    ``inventory`` is how commands name theirs: the words of ``-i``.
    """
    hosts: t.Mapping[str, t.Any] = diagnosis["hosts"]
    width = max([len(host) for host, row in hosts.items() if row["state"] != "healthy"], default=0)
    causes = diagnosis.get("shared_causes") or []
    blocks = [line for cause_row in causes for line in _shared_block(cause_row)]
    told = _told_once(causes)
    for host, row in hosts.items():
        left = [verdict for verdict in row["verdicts"] if (host, verdict.get("rule"), verdict["service"]) not in told]
        if left:
            blocks += _block(host, {**row, "verdicts": left}, min(width, 40), inventory)
        elif row["verdicts"]:
            continue
        elif row["state"] != "healthy":
            kind = "UNKNOWN" if row["reached"] else "UNREACHED"
            blocks += wrapped("%s  %s  " % (host.ljust(min(width, 40)), kind), row["reason"] or "nothing was measured", len(host.ljust(min(width, 40))) + 2)
    for job in [job for job in diagnosis.get("shared_jobs") or [] if sentence_of(job) not in [row["summary"] for row in causes]][:_SHARED]:
        blocks += wrapped("", shared(job), 2)
    for work in (diagnosis.get("shared_work") or [])[:_SHARED]:
        blocks += wrapped("", _shared_work.sentence_of(work), 2)
    blocks += ["rule left out: %s" % problem for problem in problems]
    return visible_lines([*blocks, fleet_line(diagnosis["fleet"], hosts, report)])


def _told_once(causes: t.Sequence[t.Mapping[str, t.Any]]) -> set[tuple[str, str | None, str | None]]:
    """The verdicts that a shared cause says for all of its hosts. A guess takes no host's own block away."""
    return {(one["host"], one["rule"], one["service"]) for row in causes if row["confidence"] != "low" for one in row["explains"]}


def _shared_block(row: t.Mapping[str, t.Any]) -> list[str]:
    """What several hosts suffer from together."""
    lead = "%d hosts, one cause" % row["count"] if row["count"] > 1 else "from another host"
    where = "%s (%s)" % (row["what"], row["host"]) if row["host"] else row["what"]
    lines = ["%s  %s: %s   cause: %s   confidence: %s" % (lead.upper(), row["kind"], where, cause(row), row["confidence"])]
    names = ", ".join(row["hosts"]) + (" and %d more" % (row["count"] - len(row["hosts"])) if row["count"] > len(row["hosts"]) else "")
    lines += wrapped("  ", "%s: %s" % (names, row["summary"]), 4)
    for sentence in row["evidence"][:_EVIDENCE]:
        lines += wrapped("  ", sentence, 4)
    if len(row["evidence"]) > _EVIDENCE:
        lines.append("  and %d more in the report" % (len(row["evidence"]) - _EVIDENCE))
    if row["not_explained"]:
        lines += wrapped("  does not explain: ", "; ".join(row["not_explained"][:_ALSO]), 4)
    if row["surer_with"]:
        lines += wrapped("  surer with: ", row["surer_with"], 4)
    for number, sentence in enumerate(row["next"][:_NEXT], 1):
        lines += wrapped("  %s%d. " % ("next: " if number == 1 else "      ", number), sentence, 11)
    return lines


def shared(job: t.Mapping[str, t.Any]) -> str:
    """A job that is on several hosts, in a line."""
    said = sentence_of(job)
    if job["running"]:
        said += "; it runs now on %s" % ", ".join(job["running"][:5])
    return said + ("; it works on %s" % job["target"] if job["target"] else "")


def visible_lines(lines: t.Iterable[str]) -> str:
    """The lines as one text, with no control character but the line feeds between them."""
    return "\n".join(visible(line) for line in lines)


def fleet_line(fleet: t.Mapping[str, int], hosts: t.Mapping[str, t.Any], report: str | None) -> str:
    """``12 hosts: 11 healthy, 1 memory.   report: reports/latest/report.md``"""
    sick: dict[str, int] = {}
    for row in hosts.values():
        if row["verdicts"]:
            sick[row["verdicts"][0]["resource"]] = sick.get(row["verdicts"][0]["resource"], 0) + 1
    parts = ["%d healthy" % fleet["healthy"]] if fleet["healthy"] else []
    parts += ["%d %s" % (sick[resource], resource) for resource in sorted(sick)]
    parts += ["%d %s" % (fleet[kind], kind) for kind in ("unknown", "unreached") if fleet[kind]]
    line = "%d %s: %s." % (fleet["hosts"], "host" if fleet["hosts"] == 1 else "hosts", ", ".join(parts) or "nothing to look at")
    return line + ("   report: %s" % report if report else "")


def command(mitigation: t.Mapping[str, t.Any], host: str, inventory: t.Sequence[str] = SOME) -> str:
    """What shows a mitigation before it is done, ready to run."""
    words = ["ansible-playbook", "oncall.pressure." + mitigation["id"], *inventory, "-l", host]
    for name in sorted(mitigation["variables"]):
        words += ["-e", "%s=%s" % (name, mitigation["variables"][name])]
    return " ".join(map(shlex.quote, [*words, "--check", "--diff"]))


def _block(host: str, row: t.Mapping[str, t.Any], width: int, inventory: t.Sequence[str]) -> list[str]:
    first = row["verdicts"][0]
    margin = " " * (width + 2)
    lines = ["%s  %s   cause: %s   confidence: %s" % (host.ljust(width), headline(first), cause(first), first["confidence"])]
    for sentence in [first["summary"], *first["evidence"][:_EVIDENCE]]:
        lines += wrapped(margin, sentence, len(margin))
    changed = shown(row.get("changes") or [], first["service"])
    if changed:
        lines += wrapped(margin + "changed lately: ", "; ".join(changed), len(margin) + 2)
    if first["ruled_out"]:
        lines += wrapped(margin + "ruled out: ", ", ".join(first["ruled_out"]), len(margin) + 2)
    if first["missing"]:
        lines += wrapped(margin + "not measured: ", ", ".join(first["missing"]), len(margin) + 2)
    if first.get("surer_with"):
        lines += wrapped(margin + "surer with: ", first["surer_with"], len(margin) + 2)
    lead = "next: "
    for number, sentence in enumerate(first["next"][:_NEXT], 1):
        lines += wrapped("%s%s%d. " % (margin, lead if number == 1 else " " * len(lead), number), sentence, len(margin) + len(lead) + 3)
    for number, mitigation in enumerate(_gentle(first["mitigations"])[:_NEXT]):
        # one line, however long: it is there to be pasted
        lines.append(margin + ("run:  " if number == 0 else "or:   ") + command(mitigation, host, inventory))
    for verdict in row["verdicts"][1:1 + _ALSO]:
        said = "%s, cause: %s, confidence: %s: %s" % (headline(verdict).replace("  ", " "), cause(verdict), verdict["confidence"], verdict["summary"])
        lines += wrapped(margin + "also: ", said, len(margin) + 6)
    if len(row["verdicts"]) > 1 + _ALSO:
        lines.append("%sand %d more in the report" % (margin, len(row["verdicts"]) - 1 - _ALSO))
    listed = told(row.get("checklist") or [])
    if listed is not None:
        lines += wrapped(margin, listed, len(margin) + 2)
    return lines


def _gentle(mitigations: t.Sequence[t.Mapping[str, t.Any]]) -> list[t.Mapping[str, t.Any]]:
    """The mitigations to show: a restart stands behind all others, and is shown only where there is no other (the plan has it)."""
    return [mitigation for mitigation in mitigations if mitigation["id"] != _LAST] or list(mitigations)


def headline(verdict: t.Mapping[str, t.Any]) -> str:
    """``MEMORY  shop-web.service (gunicorn)``"""
    name = verdict.get("name") or verdict["service"]
    where = "%s (%s)" % (name, verdict["component"]) if name else verdict["component"]
    return "%s  %s" % (verdict["resource"].upper(), where)


def cause(verdict: t.Mapping[str, t.Any]) -> str:
    """The cause in words: ``none`` is no cause that was found."""
    return "not found" if verdict["cause"] == "none" else str(verdict["cause"])


def wrapped(lead: str, sentence: str, indent: int) -> list[str]:
    """A sentence behind its lead, further lines indented."""
    return textwrap.wrap(
        sentence,
        WIDTH,
        initial_indent=lead,
        subsequent_indent=" " * indent,
        break_long_words=False,
        break_on_hyphens=False,
        drop_whitespace=True,
    ) or [lead.rstrip()]
