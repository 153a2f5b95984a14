# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Build what plans are made of: diagnoses, snapshots and journals of hosts, as they are written by the stages before."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional

import jsonschema
from ansible_collections.oncall.pressure.plugins.plugin_utils import _mitigations, _plan

ROOT = Path(__file__).resolve().parents[3]
DECLARED = _mitigations.load_mitigations(str(ROOT / "roles"))
ME = "ann@desk"
BOOT = "5f07b940-0244-498e-814f-beb8a3ffea1b"
WEB = "shop-web.service"
MEMORY = "web.too_many_workers_for_memory"

_SCHEMA = json.loads((ROOT / "roles" / "remediate" / "files" / "schemas" / "plan.json").read_text(encoding="utf-8"))
_VALIDATOR = jsonschema.Draft202012Validator(_SCHEMA)


def suggestion(name: str, **variables: str) -> Dict[str, Any]:
    """A mitigation as a verdict suggests it."""
    return {"id": name, "variables": {"pressure_" + key: value for key, value in variables.items()}}


def verdict(*mitigations: Dict[str, Any], **change: Any) -> Dict[str, Any]:
    """A row under ``verdicts``: too many web workers, unless said otherwise."""
    service = change.get("service", WEB)
    row: Dict[str, Any] = {
        "resource": "memory", "service": service, "name": service, "component": "gunicorn", "cause": "concurrency", "rule": MEMORY,
        "title": "More web workers than the memory holds", "pattern": "every_worker_large", "confidence": "high", "share": 0.9,
        "summary": "9 workers x 412 MiB (PSS) = 3.6 GiB of 4.0 GiB limit", "evidence": ["kernel killed 3"], "ruled_out": [], "missing": [], "next": [],
        "lasting": ["set the worker count from measured size"], "source": ["000:81"],
        "mitigations": list(mitigations) or [suggestion("lower_workers", service=service), suggestion("restart_service", service=service)],
    }
    row.update(change)
    return row


def busy_job(job: str = "/etc/cron.d/shop:4") -> Dict[str, Any]:
    """A verdict about a job of cron."""
    return verdict(
        suggestion("pause_jobs", job=job), rule="jobs.overlap", service="cron.service", component="cron", resource="cpu", cause="jobs",
        summary="/etc/cron.d/shop:4 runs 3 times at once", lasting=["let one run at a time"])


def sick(*verdicts: Dict[str, Any], **change: Any) -> Dict[str, Any]:
    """The row of a host in the diagnosis."""
    found = list(verdicts) or [verdict()]
    row: Dict[str, Any] = {
        "state": "incident", "reached": True, "reason": None, "verdicts": found, "unknown": [], "missing": [], "next": [],
        "findings": [{"rule": item["rule"], "service": item["service"], "confidence": "high", "explained_by": None} for item in found],
    }
    row.update(change)
    return row


def well(**change: Any) -> Dict[str, Any]:
    """The row of a host on which nothing was found."""
    return dict(sick(), state="healthy", verdicts=[], findings=[], **change)


def silent() -> Dict[str, Any]:
    """The row of a host that did not answer."""
    return well(reached=False, reason="it does not answer") | {"state": "unknown"}


def diagnosis(hosts: Mapping[str, Any]) -> Dict[str, Any]:
    """A whole diagnosis."""
    return {"schema": 1, "hosts": dict(hosts), "fleet": {}}


def snapshot(boot_id: Optional[str] = BOOT, services: Optional[List[str]] = None) -> Dict[str, Any]:
    """As much of a snapshot as a plan reads."""
    named = [WEB] if services is None else services
    return {
        "schema": 1, "taken": {"at": "2026-01-10T02:51:13Z", "boot_id": boot_id},
        "services": [{"id": name, "name": name, "component": "gunicorn"} for name in named],
    }


def entry(**change: Any) -> Dict[str, Any]:
    """A change as incident_info lists it: kept two hours ago, unless said otherwise."""
    row: Dict[str, Any] = {
        "entry": "20260110T005113Z-1/01", "incident": "20260110T005113Z-1", "mitigation": "lower_workers", "service": WEB, "owner": ME,
        "reason": "remediate: " + MEMORY, "state": "confirmed", "age_s": 7200, "undone_in_s": None, "overdue_s": None, "by": ME, "problems": [],
        "command": None, "operations": [{"kind": "worker_count", "what": WEB, "begun": True}],
    }
    row.update(change)
    return row


def journal(*entries: Dict[str, Any], **change: Any) -> Dict[str, Any]:
    """What incident_info returns."""
    return dict({"changed": False, "entries": list(entries), "lease": None, "read_only": False}, **change)


def asked(*hosts: str, **change: Any) -> _plan.Asked:
    """What a run of these hosts goes by; the journal of each is empty unless ``changes`` says otherwise."""
    made = {"at": "2026-01-10T02:52:00Z", "run": "20260110T025100Z-abc", "owner": ME}
    change["changes"] = {**{host: journal() for host in hosts}, **change.get("changes", {})}
    return _plan.Asked(made, list(hosts), **change)


def plan(hosts: Mapping[str, Any], snapshots: Optional[Mapping[str, Any]] = None, **change: Any) -> _plan.Planned:
    """A plan of hosts that are all in the play, held against its schema."""
    given = {host: snapshot() for host, row in hosts.items() if row["reached"]} if snapshots is None else snapshots
    return valid(_plan.plan(diagnosis(hosts), given, DECLARED, asked(*hosts, **change)))


def valid(planned: _plan.Planned) -> _plan.Planned:
    """The plan, if its schema has it."""
    _VALIDATOR.validate(json.loads(json.dumps(planned.document)))
    return planned


def held(planned: _plan.Planned, host: str) -> str:
    """Why a host is held."""
    row = planned.document["hosts"][host]
    assert row["act"] is False, row
    return str(row["held"])


def acting(planned: _plan.Planned) -> List[str]:
    """The hosts that would be changed."""
    return [host for host, row in planned.document["hosts"].items() if row["act"]]
