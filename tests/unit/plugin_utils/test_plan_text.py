# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the screen says of a plan."""

from __future__ import annotations

import re
from typing import Any, List

import plans
from ansible_collections.oncall.pressure.plugins.plugin_utils import _plan_text
from ansible_collections.oncall.pressure.plugins.plugin_utils._ladder import Ceilings
from ansible_collections.oncall.pressure.plugins.plugin_utils._report import WIDTH
from plans import busy_job, entry, journal, sick, silent, verdict, well

SHOWN = _plan_text.Shown("reports/latest/plan.json", "reports/20260110T025100Z/plan.json", ("-i", "prod"))


def lines(hosts: Any, shown: _plan_text.Shown = SHOWN, **change: Any) -> List[str]:
    planned = plans.plan(hosts, **change)
    return _plan_text.said(planned.document, planned.notes, shown).split("\n")


def test_a_sick_host_among_healthy_ones() -> None:
    assert lines({"web-1": well(), "web-2": sick(verdict(), busy_job()), "web-3": well()}, inventory=("-i", "prod")) == [
        "web-2  MEMORY  shop-web.service (gunicorn)   cause: concurrency   confidence: high",
        "       9 workers x 412 MiB (PSS) = 3.6 GiB of 4.0 GiB limit",
        "       CPU  cron.service (cron)   cause: jobs   confidence: high",
        "       /etc/cron.d/shop:4 runs 3 times at once",
        "       1. lower_workers pressure_service=shop-web.service: Lower the number of workers (disruption",
        "          low, no work is lost, undone in full unless it helps)",
        "       2. only if still needed: pause_jobs pressure_job=/etc/cron.d/shop:4: Pause scheduled jobs",
        "          (disruption low, no work is lost, undone in full unless it helps)",
        "       held: restart_service: disruption high is above pressure_max_disruption medium",
        "       by a person: ansible-playbook oncall.pressure.restart_service -i prod -l web-2 -e pressure_service=shop-web.service --check --diff",
        "       for good: set the worker count from measured size",
        "                 let one run at a time",
        "3 hosts: 1 to be changed, 2 left alone.   plan: reports/latest/plan.json",
        "apply with: ansible-playbook oncall.pressure.remediate -i prod -e pressure_mode=apply -e pressure_plan=reports/20260110T025100Z/plan.json",
    ]


def test_a_fleet_that_is_well_is_one_line() -> None:
    assert lines({"a": well(), "b": well()}) == ["2 hosts: 2 left alone.   plan: reports/latest/plan.json"]


def test_a_restart_says_what_it_costs() -> None:
    text = " ".join(" ".join(lines({"a": sick()}, ceilings={"a": Ceilings(max_disruption="high")})).split())
    assert "2. only if still needed: restart_service pressure_service=shop-web.service: Restart the service, after evidence was kept " \
        "(disruption high, work in flight is lost, undone in part unless it helps, evidence first)" in text


def test_a_host_that_is_held_is_one_line_with_its_reason() -> None:
    said = lines({"web-2": sick(), "web-10": sick()}, changes={"web-10": journal(read_only=True)}, ceilings={"web-2": Ceilings(max_rung=0)})
    assert said[0].startswith("web-2   HELD  no step is left that is done by itself (lower_workers: rung 1 is above")
    assert "web-10  HELD  /etc/oncall-pressure/read-only is there, which refuses every change" in said
    assert said[-1] == "2 hosts: 2 held.   plan: reports/latest/plan.json"


def test_forty_hosts_with_one_reason_are_one_line() -> None:
    said = lines({"web-%d" % number: sick() for number in range(1, 41)})
    text = " ".join(" ".join(said).split())
    assert text.startswith("HELD 40 hosts: web-1, web-2, web-3, web-4, web-5, web-6 and 34 more: 40 of the 40 hosts that run shop-web.service are sick")
    assert len(said) < 7


def test_what_is_on_the_host_already_is_said_before_what_would_be_done() -> None:
    changes = {"a": journal(entry(state="confirmed", owner="bob@desk", undone_in_s=1800), entry(entry="i/02", state="verified", undone_in_s=600))}
    text = " ".join(" ".join(lines({"a": sick()}, changes=changes)).split())
    assert "before: lower_workers of shop-web.service by bob@desk is kept, the host undoes it in 30 min (change 20260110T005113Z-1/01)" in text
    assert "is verified, not confirmed, the host undoes it in 10 min (change i/02)" in text and text.index("before:") < text.index("1. lower_workers")


def test_what_applying_needs_again_is_said_ready_to_paste() -> None:
    shown = SHOWN._replace(words=("-l", "web-*", "-e", '{"pressure_never": ["pause_jobs"]}'), exact="reports/a b/plan.json")
    assert lines({"a": sick()}, shown)[-1] == (
        "apply with: ansible-playbook oncall.pressure.remediate -i prod -l 'web-*' -e '{\"pressure_never\": [\"pause_jobs\"]}' "
        "-e pressure_mode=apply -e 'pressure_plan=reports/a b/plan.json'")


def test_while_it_is_carried_out_nobody_is_told_how_to() -> None:
    assert lines({"a": sick()}, SHOWN._replace(applying=True))[-1] == "1 host: 1 being changed.   plan: reports/latest/plan.json"


def test_lines_are_not_wider_than_a_screen_but_for_commands() -> None:
    long = verdict(summary="word " * 60, lasting=["thing " * 40])
    said = lines({"h" * 60: sick(long), "b": sick(long), "c": silent()}, changes={"b": journal(entry(state="applied", owner="bob@" + "desk " * 40))})
    assert [line for line in said[1:] if len(line) > WIDTH and "ansible-playbook" not in line] == []


def test_nobody_is_told_to_apply_what_cannot_be() -> None:
    assert lines({"a": sick()}, SHOWN._replace(exact=""))[-1] == "1 host: 1 to be changed.   plan: reports/latest/plan.json"


EVIL = "\x1b[31mred\x1b[0m {{ lookup('pipe','id') }} \u202e\nHELD nothing\x9b2J"


def test_nothing_that_a_host_or_a_file_says_reaches_the_terminal_raw() -> None:
    """Also where a document was not cleaned: every text at every place."""
    planned = plans.plan({"a": sick(), "b": sick()}, changes={"a": journal(entry()), "b": journal(read_only=True)})

    def spoil(value: Any, key: str = "") -> Any:
        if isinstance(value, dict):
            return {EVIL if name in ("a", "b") and key == "hosts" else name: spoil(item, name) for name, item in value.items()}
        if isinstance(value, list):
            return [spoil(item, key) for item in value]
        return EVIL if isinstance(value, str) and key not in ("reversible", "resource") else value

    document = spoil(planned.document)
    document["hosts"]["b"] = dict(document["hosts"][EVIL], act=True, held=None)
    text = _plan_text.said(document, [EVIL], SHOWN._replace(path=EVIL, exact=EVIL, inventory=("-i", EVIL)))
    assert re.findall("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]", text) == []
    assert [line for line in text.split("\n") if line.startswith("HELD nothing")] == []


def test_a_host_that_was_helped_often_has_a_short_list() -> None:
    kept = [entry(entry="i/%02d" % number, service="other%d.service" % number, state="confirmed", undone_in_s=None) for number in range(9)]
    text = "\n".join(lines({"a": sick()}, changes={"a": journal(*kept, entry(entry="w/01", state="verified", undone_in_s=600))}))
    assert text.count("before: ") == 4 and "and 6 more that are kept" in text
    assert "w/01" in text and "i/08" in text and "i/00" not in text, "what waits, and the newest"
    assert text.index("w/01") < text.index("i/08")
