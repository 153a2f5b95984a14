# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The same job on several hosts: told where it weighs on one, or where two run it against the same server."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any, Dict, Optional

import jsonschema
import pytest
from ansible_collections.oncall.pressure.plugins.plugin_utils import _diagnosis, _rules
from ansible_collections.oncall.pressure.plugins.plugin_utils._documents import Loaded
from ansible_collections.oncall.pressure.plugins.plugin_utils._markdown import markdown
from ansible_collections.oncall.pressure.plugins.plugin_utils._report import screen

_SPEC = importlib.util.spec_from_file_location("pressure_shared_support", Path(__file__).with_name("support.py"))
assert _SPEC is not None and _SPEC.loader is not None
support = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(support)

RULES = _rules.load_rules(str(support.RULES)).rules
THRESHOLDS = _rules.resolve_thresholds(RULES, None)
VALIDATOR = jsonschema.Draft202012Validator(json.loads((support.RULES.parent / "schemas" / "diagnosis.json").read_text(encoding="utf-8")))
IMPORT = "/srv/shop/bin/import --all"


def job(command: str = IMPORT, cpu: Optional[float] = 2.9, runs: int = 3, **changed: Any) -> Dict[str, Any]:
    running = [{"pid": 900 + place, "age_s": 160.0 - 60 * place} for place in range(runs)]
    return {"id": "/etc/cron.d/shop:4", "user": "me", "schedule": "* * * * *", "command": command, "paused": False, "due_in_s": 20.0, "period_s": 60.0,
            "running": running, "overlap": runs, "cpu": cpu if runs else None, "cpu_wait": 0.0, "rss_bytes": 1000 if runs else None, **changed}


def host(name: str, *jobs: Dict[str, Any]) -> Loaded:
    document = support.snapshot({
        "services": [{"id": "cron.service", "component": "cron", "role": "scheduler", "memory_mib": 90, "cpu": {"used": 0.1, "share": 0.9}}],
        "snapshot": {"jobs": {"cron": list(jobs)}},
    })
    return Loaded(name, document, None)


def diagnose(*loaded: Loaded) -> Dict[str, Any]:
    found = _diagnosis.diagnose(list(loaded), RULES, lambda name: THRESHOLDS)
    VALIDATOR.validate(found)
    return found


def test_a_job_that_weighs_on_one_host_is_told_with_all_that_have_it() -> None:
    loaded = [host("web-10", job(runs=0)), host("web-2", job()), host("web-1", job(runs=0, id="/etc/crontab:9")), host("db-1")]
    found = diagnose(*loaded)
    (row,) = found["shared_jobs"]
    assert (row["hosts"], row["running"], row["heavy"], row["count"], row["target"]) == (["web-1", "web-2", "web-10"], ["web-2"], ["web-2"], 3, None)
    (verdict,) = found["hosts"]["web-2"]["verdicts"]
    said = "the same job (me: * * * * * %s) begins on 3 hosts (web-1, web-2, web-10)" % IMPORT
    assert verdict["rule"] == "jobs.overlap" and verdict["evidence"][-1] == said + " at the same time"
    assert "let one host run it" in verdict["lasting"][-1]
    assert " ".join(screen(found).split()).count(said + "; it runs now on web-2") == 1
    assert "The same job on several hosts" in markdown(found, loaded)


@pytest.mark.parametrize(("jobs", "about"), [
    ([job(runs=0), job(runs=0)], "none runs"),
    ([job(cpu=0.1, runs=1), job(cpu=0.1, runs=1)], "they run and weigh nothing"),
    ([job(), job(paused=True, runs=0)], "one is paused"),
    ([job(), job(schedule="*/5 * * * *", runs=0)], "another schedule"),
    ([job(), job(user="you", runs=0)], "another user's"),
    ([job("psql -h db-1.example.org -f report.sql", cpu=0.0, runs=1), job("psql -h db-1.example.org -f report.sql", runs=0)], "one alone works on it"),
    ([job("curl http://localhost/x", cpu=0.0, runs=1)] * 2, "each works on itself"),
], ids=lambda value: value.replace(" ", "_") if isinstance(value, str) else "")
def test_what_every_fleet_has_is_not_told(jobs: Any, about: str) -> None:
    found = diagnose(*(host("web-%d" % number, row) for number, row in enumerate(jobs)))
    assert found["shared_jobs"] == [] and "the same job" not in screen(found), about


@pytest.mark.parametrize(("command", "target"), [
    ("psql -h db-1.example.org -f report.sql", "db-1.example.org"), ("curl -fsS https://api.example.org/sync", "api.example.org"),
    ("rsync -a /srv/ backup@store-1:/srv/", "store-1"), ("pg_dump --host=db-2 shop", "db-2"), ("aws s3 sync /srv s3://shop-backup/x", "shop-backup"),
    ("import redis://REDACTED@queue-1:6379/0", "queue-1"), ("import --host localhost --host db-3", "db-3"),
])
def test_two_that_run_against_the_same_server_are_told(command: str, target: str) -> None:
    found = diagnose(*(host(name, job(command, cpu=0.0, runs=1)) for name in ("web-1", "web-2")))
    assert [row["target"] for row in found["shared_jobs"]] == [target]
    assert "it works on %s" % target in " ".join(screen(found).split())


def test_a_host_that_sends_rubbish_is_no_host_that_has_it() -> None:
    bad = host("web-3")
    assert bad.document is not None
    for rubbish in ([{"id": 7, "user": [], "schedule": {}, "command": None}], "x", [None, 7], {"cron": 1}):
        bad.document["jobs"] = {"cron": rubbish}
        assert len(diagnose(host("web-1", job()), host("web-2", job(runs=0)), bad)["shared_jobs"][0]["hosts"]) == 2
