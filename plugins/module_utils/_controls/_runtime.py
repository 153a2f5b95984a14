# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Plan the run-time form of fewer workers, or of a fresh one: what a running service can be told, and what it cannot.

Private to oncall.pressure: no stable interface. It never travels in the undo program.
"""

from __future__ import annotations

import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._change._kinds import Failed, Hands, Operation, Refused
from ansible_collections.oncall.pressure.plugins.module_utils._controls import (
    _celery_pool, _celery_remote, _processes, _retire_worker, _rq_workers, _supervisor_program, _worker_count,
)
from ansible_collections.oncall.pressure.plugins.module_utils._host._files import Files
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine
from ansible_collections.oncall.pressure.plugins.module_utils._host._text import clean

_RESTART = "set it in its configuration and restart it (restart_service) as a step of its own"
_POOLS = {
    "solo": "runs its tasks in the main process", "threads": "runs its tasks in threads", "gevent": "runs its tasks in green threads",
    "eventlet": "runs its tasks in green threads",
}

#: How often a busy celery pool is looked at before it is called busy.
_SAMPLES = 3


def plan(machine: Machine, service: t.Mapping[str, t.Any], target: int) -> list[Operation]:
    """The operations that bring a running service down to ``target`` workers; none where it has no more.

    :param service: its row of the snapshot's ``services``
    :raises Refused: where it cannot be told to, with what can be done instead; its preconditions have been read
    """
    component = service.get("component")
    if component == "rq":
        return rq_plan(machine, [service], target)
    operation = _base(machine, service)
    operation["workers"] = max(1, target)
    hands = Hands(machine, Files(), "")
    if component in ("gunicorn", "uvicorn"):
        operation.update(kind="worker_count", configured=_configured(service))
        before = _worker_count.look(hands, operation)
        return [] if _worker_count.reached(operation, before, before) else [operation]
    if component == "celery":
        operation["kind"] = "celery_pool"
        _check_pool(service)
        before = _celery_pool.look(hands, operation)
        if _celery_pool.reached(operation, before, before):
            return []
        _check_idle(machine, operation, before["workers"] - operation["workers"])
        return [operation]
    raise Refused("%s (%s) cannot be told to run fewer workers; %s" % (_name(service), clean(str(component), 50), _RESTART))


def retire_plan(machine: Machine, service: t.Mapping[str, t.Any]) -> list[Operation]:
    """The operation that replaces the largest worker of a service. Raises Refused."""
    if service.get("component") not in ("gunicorn", "uvicorn", "celery"):
        raise Refused("%s has no long-lived workers that are replaced when they end" % _name(service))
    operation = _base(machine, service)
    alive = _processes.workers(machine, operation["component"], operation["pid"])
    rows = sorted((row for row in service.get("workers") or [] if row["pid"] in alive), key=lambda row: -(row.get("pss_bytes") or row.get("rss_bytes") or 0))
    found = _processes.status(machine, rows[0]["pid"]) if rows else None
    if found is None:
        raise Refused("%s has no workers that its main process would replace" % _name(service))
    operation.update(kind="retire_worker", worker_pid=rows[0]["pid"], worker_start_ticks=found.start_ticks)
    _retire_worker.look(Hands(machine, Files(), ""), operation)
    if operation["component"] == "celery":
        _retire_worker.check_idle(machine, operation)
    return [operation]


def _name(service: t.Mapping[str, t.Any]) -> str:
    return clean(str(service.get("id")), 200)


def _base(machine: Machine, service: t.Mapping[str, t.Any]) -> Operation:
    """What every operation on a running master names. Raises Refused where none runs."""
    pid = service.get("main_pid")
    found = _processes.status(machine, pid) if isinstance(pid, int) else None
    if found is None:
        raise Refused("%s does not run: there is nothing that could be told; %s" % (_name(service), _RESTART))
    return {
        "service": service["id"], "component": service.get("component"), "unit": service.get("name") if service.get("manager") == "systemd" else None,
        "pid": pid, "start_ticks": found.start_ticks,
    }


def _setting(service: t.Mapping[str, t.Any], name: str) -> t.Any:
    row = (service.get("settings") or {}).get(name)
    return row.get("value") if isinstance(row, dict) else None


def _configured(service: t.Mapping[str, t.Any]) -> int | None:
    value = _setting(service, "workers")
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def _check_pool(service: t.Mapping[str, t.Any]) -> None:
    pool = str(_setting(service, "worker_class") or "").rpartition(".")[2].rpartition(":")[2]
    if pool in _POOLS:
        raise Refused("%s %s (pool %s): it has no processes that could be ended; %s" % (_name(service), _POOLS[pool], pool, _RESTART))


def _check_idle(machine: Machine, operation: Operation, wanted: int) -> None:
    """Raises Refused where the worker cannot be asked, or is too busy for celery to end ``wanted`` of its children."""
    most = 0
    with _celery_remote.client(machine, operation) as client:
        if client.check_node().get("autoscaler"):
            raise Refused(
                "%s runs with autoscale, which refuses any other change of its pool; lower the range and restart it" % clean(operation["service"], 200))
        for number in range(_SAMPLES):
            children = _processes.workers(machine, "celery", operation["pid"])
            most = max(most, len(set(children) - set(client.active_pids())))
            if most >= wanted:
                return
            if number + 1 < _SAMPLES:
                machine.sleep(0.5)
    raise Refused(
        "%s: %d of its processes are idle and celery ends only idle ones, so %d cannot be ended now; %s"
        % (clean(operation["service"], 200), most, wanted, _RESTART)
    )


def rq_siblings(services: t.Sequence[t.Mapping[str, t.Any]], service: t.Mapping[str, t.Any]) -> list[t.Mapping[str, t.Any]]:
    """The running instances of the same template unit, itself included; only itself where it is no instance."""
    template, separator, dummy = str(service.get("name")).partition("@")
    if service.get("manager") != "systemd" or not separator:
        return [service]
    return [
        row for row in services
        if row.get("manager") == "systemd" and row.get("component") == "rq" and str(row.get("name")).partition("@")[0] == template and row.get("main_pid")
    ]


def rq_plan(machine: Machine, services: t.Sequence[t.Mapping[str, t.Any]], target: int) -> list[Operation]:
    """Which rq workers to stop so that ``target`` are left, at least one: idle ones first, then the busy ones, the youngest first.

    :param services: rows of services that run the same worker: the instances of a template (:func:`rq_siblings`), or one supervisor program
        with several processes
    :raises Refused: where they are no workers of their own (a worker-pool starts anew whatever ends)
    """
    found: list[tuple[bool, int, Operation]] = []
    for service in services:
        for operation in _instances(machine, service):
            found.append((_rq_workers.busy(machine, operation["pid"]), -operation["start_ticks"], operation))
    surplus = len(found) - max(1, target)
    found.sort(key=lambda row: row[:2])
    return [operation for dummy, dummy2, operation in found[: max(surplus, 0)]]


def _instances(machine: Machine, service: t.Mapping[str, t.Any]) -> list[Operation]:
    """The workers of one service, each as the operation that would stop it."""
    base = _base(machine, service)
    pid = base["pid"]
    if (_setting(service, "workers") or 0) > 1 or "worker-pool" in _processes.words(machine, pid):
        raise Refused("%s is a worker-pool: it starts a new worker for one that ends, and takes no number while it runs; %s" % (_name(service), _RESTART))
    if service.get("manager") == "systemd":
        return [{"kind": "rq_workers", "service": base["service"], "unit": base["unit"], "program": None, "pid": pid, "start_ticks": base["start_ticks"]}]
    if service.get("manager") != "supervisor":
        raise Refused("%s is started by nothing that could keep it down" % _name(service))
    try:
        rows = _supervisor_program.status(machine)
    except Failed as problem:
        raise Refused(str(problem)) from problem
    operations = []
    for name, row in sorted(rows.items()):
        if not _supervisor_program.belongs(name, str(service.get("name"))) or row["state"] != "RUNNING":
            continue
        main = _main_below(machine, row["pid"], [worker["pid"] for worker in service.get("workers") or []] + [pid])
        found = _processes.status(machine, main) if main is not None else None
        if main is not None and found is not None:
            operations.append({"kind": "rq_workers", "service": base["service"], "unit": None, "program": name, "pid": main, "start_ticks": found.start_ticks})
    return operations


def _main_below(machine: Machine, pid: int | None, known: t.Sequence[int]) -> int | None:
    """The worker that a supervisor process is, or that a shell around it started."""
    if pid is None or pid in known:
        return pid
    below = [child for child in machine.children(pid) if child in known]
    return below[0] if len(below) == 1 else pid
