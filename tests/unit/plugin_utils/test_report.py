# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the screen and the report say, also of hosts that want them to say something else."""

from __future__ import annotations

import json
import re
from typing import Any, Dict

from ansible_collections.oncall.pressure.plugins.plugin_utils import _markdown, _report
from ansible_collections.oncall.pressure.plugins.plugin_utils._documents import Loaded

EVIL = "\x1b[31mred\x1b[0m {{ lookup('pipe','id') }} <img src=x onerror=alert(1)> [a](javascript:x) `x` | http://u.example/ \u202e\n# head\n| a | b |"


def verdict(**change: Any) -> Dict[str, Any]:
    row: Dict[str, Any] = {
        "resource": "memory", "service": "shop-web.service", "name": "shop-web.service", "component": "gunicorn", "cause": "concurrency",
        "rule": "web.too_many_workers_for_memory", "title": "More web workers than the memory holds", "pattern": "every_worker_large", "confidence": "high",
        "share": 0.9, "summary": "9 workers x 412 MiB (PSS) = 3.6 GiB of 4.0 GiB limit", "evidence": ["kernel killed 3 of its processes"],
        "ruled_out": ["growth (the largest is 1 times the others)", "traffic (flat at 41/s)"], "missing": ["postgres (denied: no access)"],
        "next": ["lower workers 9 -> 6 in /etc/systemd/system/shop-web.service:12 (command line)"], "lasting": ["measure"], "source": ["000:81"],
        "mitigations": [{"id": "lower_workers", "variables": {"pressure_service": "shop-web.service"}}],
    }
    row.update(change)
    return row


def host(state: str = "healthy", **change: Any) -> Dict[str, Any]:
    row: Dict[str, Any] = {"state": state, "reached": True, "reason": None, "verdicts": [], "findings": [], "unknown": [], "missing": [], "next": []}
    row.update(change)
    return row


def fleet(**hosts: Dict[str, Any]) -> Dict[str, Any]:
    counts = {"hosts": len(hosts), "healthy": 0, "incident": 0, "unknown": 0, "unreached": 0}
    for row in hosts.values():
        counts[row["state"] if row["reached"] else "unreached"] += 1
    return {"schema": 1, "hosts": hosts, "fleet": counts}


def test_a_sick_host_among_healthy_ones() -> None:
    text = _report.screen(fleet(web1=host(), web2=host("incident", verdicts=[verdict()]), web3=host()), "reports/latest/report.md")
    assert text.split("\n") == [
        "web2  MEMORY  shop-web.service (gunicorn)   cause: concurrency   confidence: high",
        "      9 workers x 412 MiB (PSS) = 3.6 GiB of 4.0 GiB limit",
        "      kernel killed 3 of its processes",
        "      ruled out: growth (the largest is 1 times the others), traffic (flat at 41/s)",
        "      not measured: postgres (denied: no access)",
        "      next: 1. lower workers 9 -> 6 in /etc/systemd/system/shop-web.service:12 (command line)",
        "      run:  ansible-playbook oncall.pressure.lower_workers -i INVENTORY -l web2 -e pressure_service=shop-web.service --check --diff",
        "3 hosts: 2 healthy, 1 memory.   report: reports/latest/report.md",
    ]


def test_a_restart_is_shown_only_where_there_is_nothing_else() -> None:
    restart = {"id": "restart_service", "variables": {"pressure_service": "shop-web.service"}}
    both = _report.screen(fleet(a=host("incident", verdicts=[verdict(mitigations=[*verdict()["mitigations"], restart])])))
    alone = _report.screen(fleet(a=host("incident", verdicts=[verdict(mitigations=[restart])])))
    assert "pressure.lower_workers" in both and "restart_service" not in both
    assert "run:  ansible-playbook oncall.pressure.restart_service" in alone


def test_a_healthy_fleet_is_one_line() -> None:
    assert _report.screen(fleet(a=host())) == "1 host: 1 healthy."


def test_hosts_that_are_not_known_are_a_line_each() -> None:
    rows = {
        "a": host("unknown", reason="not measured: oom (denied: the kernel log needs root)"),
        "bb": host("unknown", reached=False, reason="it does not answer"),
    }
    assert _report.screen(fleet(**rows)).split("\n") == [
        "a   UNKNOWN  not measured: oom (denied: the kernel log needs root)",
        "bb  UNREACHED  it does not answer",
        "2 hosts: 1 unknown, 1 unreached.",
    ]


def test_a_second_verdict_is_a_line_and_a_fifth_is_counted() -> None:
    verdicts = [verdict(), *(verdict(resource="cpu", service="s%d" % number, name="s%d" % number, cause="none") for number in range(5))]
    text = _report.screen(fleet(a=host("incident", verdicts=verdicts)))
    assert text.count("   also: CPU s") == 3 and "cause: not found" in text and "and 2 more in the report" in text


def test_lines_are_not_wider_than_a_screen() -> None:
    long = verdict(evidence=["word " * 60], missing=["thing " * 40])
    text = _report.screen(fleet(**{"h" * 60: host("incident", verdicts=[long])}), "reports/latest/report.md")
    assert [line for line in text.split("\n")[1:] if len(line) > _report.WIDTH and "run:  ansible-playbook" not in line] == []


def test_nothing_that_a_host_says_reaches_the_terminal_raw() -> None:
    evil = verdict(service=EVIL, name=EVIL, summary=EVIL, evidence=[EVIL], ruled_out=[EVIL], missing=[EVIL], next=[EVIL])
    text = _report.screen(fleet(**{EVIL: host("incident", verdicts=[evil, evil]), "b": host("unknown", reason=EVIL)}), EVIL, [EVIL])
    assert re.findall("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]", text) == []


def rendered(markdown: str) -> str:
    """The report without what stands in code spans and without escapes: what a reader would take as markup."""
    text = re.sub(r"(?<!\\)`[^`\n]*(?<!\\)`", "", markdown)
    return re.sub(r"\\.", "", text)


def test_the_report_has_its_sections_in_order() -> None:
    text = _markdown.markdown(fleet(web2=host("incident", verdicts=[verdict()])), [Loaded("web2", {"schema": 1}, None)])
    order = [text.index(words) for words in ("**Process**", "**Trigger**", "**Mitigation**", "**Lasting fix**", "## All hosts", "## Measured on")]
    assert order == sorted(order)


def test_nothing_that_a_host_says_is_markup_in_the_report() -> None:
    evil = verdict(service=EVIL, name=EVIL, summary=EVIL, evidence=[EVIL], ruled_out=[EVIL], missing=[EVIL], next=[EVIL], lasting=[EVIL], title=EVIL)
    finding = {"rule": "a.b", "service": EVIL, "confidence": "low", "explained_by": "c.d"}
    rows = {
        EVIL: host("incident", verdicts=[evil], findings=[finding], unknown=[{"rule": "a.b", "missing": [EVIL]}]),
        "b": host("unknown", reason=EVIL, reached=False),
    }
    snapshot = {
        "schema": 1, "taken": {"at": EVIL}, "collectors": {EVIL: {"status": EVIL, "reason": EVIL, "seconds": 1}},
        "services": [{"id": EVIL, "name": EVIL, "component": EVIL, "state": EVIL}], "cost": {},
    }
    text = _markdown.markdown(fleet(**rows), [Loaded(EVIL, snapshot, None)], [EVIL])
    assert re.findall("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]", text) == []
    left = rendered(text)
    assert re.findall(r"<|\]\(|\{\{|https?:", left) == []
    # no row of a table has more cells than its head, no heading but ours
    tables = [line for line in left.split("\n") if line.startswith("|")]
    heads = [index for index, line in enumerate(tables) if re.fullmatch(r"[| -]+", line) and "---" in line]
    for begin, end in zip(heads, [*(head - 1 for head in heads[1:]), len(tables)]):
        assert {line.count("|") for line in tables[begin:end]} == {tables[begin].count("|")}
    assert [line for line in left.split("\n") if re.match(r"\s*#", line) and "head" in line and not line.startswith("###")] == []


def test_a_document_that_lacks_everything_still_gives_a_report() -> None:
    text = _markdown.markdown(fleet(a=host()), [Loaded("a", {"schema": 1, "collectors": [1], "services": "x", "cost": 3}, None)])
    assert "## All hosts" in text and json.dumps(text)
