# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the snapshots say against what the hosts say to somebody who looks another way."""

from __future__ import annotations

import json
import re
import stat
from pathlib import Path

import jsonschema
import pytest

from lab_hosts import NAMES, connect, diagnosis, documents, output, snapshot

ROOT = Path(__file__).resolve().parents[3]
SCHEMAS = ROOT / "roles" / "diagnose" / "files" / "schemas"
USERS = ("root", "sudo", "ordinary", "nopassword")

WORKERS = {"gunicorn": "gunicorn", "uvicorn": "uvicorn", "celery": "celery", "rq": "rq"}


@pytest.mark.parametrize("who", USERS)
@pytest.mark.parametrize("name", NAMES)
def test_every_snapshot_is_valid(who: str, name: str) -> None:
    schema = json.loads((SCHEMAS / "snapshot.json").read_text(encoding="utf-8"))
    document = snapshot(who, name)
    jsonschema.Draft202012Validator(schema).validate(document)
    assert document["name"] == name and "unreached" not in document


@pytest.mark.parametrize("who", USERS)
def test_every_diagnosis_is_valid_and_its_files_are_private(who: str) -> None:
    schema = json.loads((SCHEMAS / "diagnosis.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(schema).validate(diagnosis(who))
    folder = documents(who).resolve()
    for path in [folder, *folder.rglob("*")]:
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def test_saved_snapshots_give_the_same_answer() -> None:
    assert diagnosis("replay") == diagnosis("root")


@pytest.mark.parametrize("who", ("root", "sudo"))
def test_with_privileges_every_host_is_healthy_and_everything_was_measured(who: str) -> None:
    hosts = diagnosis(who)["hosts"]
    assert {name: hosts[name]["state"] for name in NAMES} == dict.fromkeys(NAMES, "healthy")
    for name in NAMES:
        statuses = {key: row["status"] for key, row in snapshot(who, name)["collectors"].items()}
        assert set(statuses.values()) <= {"ok", "partial", "absent"}, statuses


@pytest.mark.parametrize("who", ("ordinary", "nopassword"))
@pytest.mark.parametrize("name", NAMES)
def test_without_privileges_what_was_lost_is_said(who: str, name: str) -> None:
    document = snapshot(who, name)
    assert document["tool"]["euid"] != 0
    assert "privileges" in document["collectors"]["services"]["reason"]
    if who == "nopassword":
        assert "password" in document["lost"]
    assert document["host"]["memory"]["used_bytes"] > 0


@pytest.mark.parametrize("name", NAMES)
def test_services_are_the_units_that_systemd_knows(name: str) -> None:
    host, services = connect(name), {service["id"]: service for service in snapshot("root", name)["services"]}
    listed = output(host, "systemctl list-units --type=service --state=running --no-legend --plain").splitlines()
    units = {line.split()[0] for line in listed}
    assert len(units) >= 5
    missing = units - set(services) - {"user@0.service"}
    assert missing == set()
    for unit in units & set(services):
        # cron, ssh and journald start and end children meanwhile
        if services[unit]["component"] in ("gunicorn", "uvicorn", "celery", "rq", "nginx", "redis"):
            tasks = output(host, "cat /sys/fs/cgroup/systemd$(systemctl show -P ControlGroup %s)/cgroup.procs" % unit).split()
            assert services[unit]["processes"] == len(tasks), unit
            assert str(services[unit]["main_pid"]) == output(host, "systemctl show -P MainPID %s" % unit), unit


@pytest.mark.parametrize("name", NAMES)
def test_workers_and_their_settings_are_those_that_run(name: str) -> None:
    host = connect(name)
    seen = 0
    for service in snapshot("root", name)["services"]:
        if service["component"] not in WORKERS:
            continue
        seen += 1
        pids = sorted(worker["pid"] for worker in service["workers"])
        assert pids, service["id"]
        children = output(host, "pgrep -P %d || true" % service["main_pid"]).split()
        # a service that forks has its workers below its main process, and nothing else but multiprocessing's helper
        if len(pids) > 1:
            assert set(map(str, pids)) <= set(children) and len(children) - len(pids) <= 1, service["id"]
        settings = service["settings"]
        assert settings is not None and settings["program"] == service["component"], service["id"]
        if service["component"] == "gunicorn":
            assert settings["workers"]["value"] == len(pids), service["id"]
    assert seen >= 3


@pytest.mark.parametrize("name", NAMES)
def test_memory_agrees_with_the_kernel(name: str) -> None:
    host, document = connect(name), snapshot("root", name)
    assert document["host"]["kind"] == "container"
    limit = int(output(host, "cat /sys/fs/cgroup/memory$(sed -n 's/.*:memory://p' /proc/1/cgroup | sed 's,/init.scope$,,')/memory.limit_in_bytes"))
    assert document["host"]["memory"]["limit_bytes"] == limit
    for service in document["services"]:
        for worker in service["workers"][:2]:
            text = output(host, "cat /proc/%d/smaps_rollup" % worker["pid"])
            pss = int(re.search(r"^Pss:\s+(\d+)", text, re.MULTILINE).group(1)) * 1024
            assert abs(worker["pss_bytes"] - pss) < max(0.25 * pss, 4 * 1024 * 1024), (service["id"], worker)


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_left_on_the_host(name: str) -> None:
    host = connect(name)
    assert output(host, "pgrep -fc 'AnsiballZ_snapsho[t]|oncall.pressur[e]' || true") == "0"
    assert output(host, "find / -xdev \\( -path /proc -o -path /sys \\) -prune -o -newer /proc/1/cmdline -name '*oncall*' -print 2>/dev/null | head") == ""
