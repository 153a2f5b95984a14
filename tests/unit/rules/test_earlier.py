# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What fired at an earlier look is over only below the leave of its thresholds."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any, Dict, List

import pytest
from ansible_collections.oncall.pressure.plugins.plugin_utils import _diagnosis, _earlier, _rules
from ansible_collections.oncall.pressure.plugins.plugin_utils._documents import BadDocument, Loaded

_SPEC = importlib.util.spec_from_file_location("pressure_earlier_support", Path(__file__).with_name("support.py"))
assert _SPEC is not None and _SPEC.loader is not None
support = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(support)

RULES = _rules.load_rules(str(support.RULES)).rules
THRESHOLDS = _rules.resolve_thresholds(RULES, None)


def overlapping(cores: float) -> Dict[str, Any]:
    """Two runs of one job on four CPUs: the rule fires at a share of 0.2 and leaves at 0.1."""
    job = {"id": "/etc/cron.d/shop:4", "paused": False, "overlap": 2, "cpu": cores, "running": [{"pid": 900, "age_s": 160.0}], "period_s": 60.0,
           "due_in_s": 20.0}
    cron = [{"id": "cron.service", "component": "cron", "role": "scheduler", "memory_mib": 90, "cpu": {"used": cores, "share": 0.9}}]
    return support.snapshot({"services": cron, "snapshot": {"jobs": {"cron": [job]}}})


def saturated(pct: float) -> Dict[str, Any]:
    """A host whose processors five services use up between them: the rule names the hottest of them, and looks at the host."""
    services = [{"id": "odd-%d.service" % number, "memory_mib": 20, "cpu": {"used": pct / 25 / 5, "share": 0.2}} for number in range(5)]
    host = {"cpu": {"used": pct / 25, "used_pct": pct}, "pressure": {"cpu": {"some_avg10": 60.0}}}
    return support.snapshot({"services": services, "snapshot": {"host": host}})


def fired(document: Dict[str, Any], earlier: Any = None) -> List[str]:
    found = _diagnosis.diagnose([Loaded("h", document, None)], RULES, lambda host: THRESHOLDS, (), earlier)
    return [finding["rule"] for finding in found["hosts"]["h"]["findings"]]


def saved(tmp_path: Path, document: Dict[str, Any]) -> str:
    found = _diagnosis.diagnose([Loaded("h", document, None)], RULES, lambda host: THRESHOLDS)
    (tmp_path / "diagnosis.json").write_text(json.dumps(found), encoding="utf-8")
    return str(tmp_path / "diagnosis.json")


def test_between_enter_and_leave_it_holds_where_it_held(tmp_path: Path) -> None:
    earlier = _earlier.read_earlier(saved(tmp_path, overlapping(2.0)))
    assert ("jobs.overlap", "cron.service") in earlier["h"]
    assert "jobs.overlap" not in fired(overlapping(0.6))
    assert "jobs.overlap" in fired(overlapping(0.6), earlier)
    assert "jobs.overlap" not in fired(overlapping(0.3), earlier)


def test_a_rule_that_names_another_service_than_it_looks_at_holds_too(tmp_path: Path) -> None:
    rule, used = RULES["host.cpu_saturated"], THRESHOLDS["host.cpu_saturated"]["used_pct"]
    earlier = _earlier.read_earlier(saved(tmp_path, saturated(99)))
    assert rule.says.service and rule.subject == "host" and used.leave < used.enter - 2
    assert {service for name, service in earlier["h"] if name == rule.id} & {"odd-%d.service" % number for number in range(5)}
    assert rule.id not in fired(saturated(used.leave + 1))
    assert rule.id in fired(saturated(used.leave + 1), earlier)
    assert rule.id not in fired(saturated(used.leave - 1), earlier)


def test_another_host_is_not_held(tmp_path: Path) -> None:
    earlier = _earlier.read_earlier(saved(tmp_path, overlapping(2.0)))
    assert "jobs.overlap" not in fired(overlapping(0.6), {"other": earlier["h"]})


@pytest.mark.parametrize("text", ["[]", "{}", '{"schema": 2, "hosts": {}}', '{"schema": 1, "hosts": []}', "no JSON"])
def test_what_is_no_diagnosis_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.json").write_text(text, encoding="utf-8")
    with pytest.raises(BadDocument):
        _earlier.read_earlier(str(tmp_path / "x.json"))


def test_what_a_hostile_diagnosis_holds_does_no_harm(tmp_path: Path) -> None:
    rows = {"h": {"findings": [1, {"rule": 7}, {"rule": "no.such", "service": []}, {"rule": "jobs.overlap", "service": "cron.service"}]}, "x": 3}
    (tmp_path / "x.json").write_text(json.dumps({"schema": 1, "hosts": rows}), encoding="utf-8")
    earlier = _earlier.read_earlier(str(tmp_path / "x.json"))
    assert earlier == {"h": frozenset({("no.such", None), ("jobs.overlap", "cron.service")})}
    assert "jobs.overlap" in fired(overlapping(0.6), earlier)


def test_the_snapshots_beside_a_diagnosis_are_the_baseline(tmp_path: Path) -> None:
    """The same workers, half an hour and more later: one of them holds more."""
    def look(at_s: float, mib: float) -> Dict[str, Any]:
        shop = {"id": "shop-web.service", "component": "gunicorn", "role": "web", "workers_like": [[1, mib, at_s, 0.1], [2, 60, at_s, 0.1]]}
        return support.snapshot({"services": [shop], "snapshot": {"taken": {"epoch_s": 1768000000 + at_s}}})

    path = saved(tmp_path, look(4000, 61))
    assert _earlier.snapshots_beside(path) == {}
    (tmp_path / "snapshots").mkdir()
    (tmp_path / "snapshots" / "h.json").write_text(json.dumps(dict(look(4000, 61), name="h")), encoding="utf-8")
    before = _earlier.snapshots_beside(path)
    assert set(before) == {"h"}
    found = _diagnosis.diagnose([Loaded("h", look(11200, 161), None)], RULES, lambda host: THRESHOLDS, before=before)["hosts"]["h"]["memory"]
    assert [(row["pattern"], row["from"], row["growth_bytes_per_hour"]) for row in found] == [("one_worker_growing", "baseline", 50 * 1024 * 1024)]
