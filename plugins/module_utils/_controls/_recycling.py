# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Plan that workers of one service are replaced before they grow large: written where it lasts, the largest one retired now, all of them by a timer.

Private to oncall.pressure: no stable interface. Looks only; what it plans is done by the engine. It never travels in an undo program.
"""

from __future__ import annotations

import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._change._engine import Plan, trusted_python
from ansible_collections.oncall.pressure.plugins.module_utils._change._kinds import Operation, Refused
from ansible_collections.oncall.pressure.plugins.module_utils._controls import (
    _celery_remote, _concurrency, _lasting, _lifespan, _measure, _recycle_timer, _runtime, _target,
)
from ansible_collections.oncall.pressure.plugins.module_utils._controls._lifespan import Lifespan, Rate, Wished
from ansible_collections.oncall.pressure.plugins.module_utils._controls._measure import Measured
from ansible_collections.oncall.pressure.plugins.module_utils._host._files import Files
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine

MITIGATION: t.Final = "recycle_workers"

#: A worker this many times the median of all stands out, and is retired whatever the settings are.
STANDS_OUT = 1.5


class Wish(t.NamedTuple):
    """What is asked for; ``requests_per_s`` null has the rate measured; ``every_s`` 0 sets no timer; ``host`` is how the inventory calls this host,
    "" where nobody said.
    """

    service: str
    wished: Wished = Wished()
    requests_per_s: float | None = None
    retire_largest: bool = True
    host: str = ""
    every_s: int = 0


def plan(machine: Machine, wish: Wish) -> Plan:
    """Measure and plan. Raises Refused, where nothing of what was asked for can be done here."""
    wished = wish.wished
    measured = _measure.measure(machine, wish.service, traffic=wished.max_requests is None and wish.requests_per_s is None)
    service = measured.service
    _measure.check_changeable(service)
    timer = _recycle_timer.plan(machine, service, wish.every_s, trusted_python(Files())) if wish.every_s else []
    found = _with_timer(measured, wish) if timer else lifespan(measured, wish)
    kept = not found.settings or _is_written(measured, found)
    written: list[Operation] = []
    where: str | None = "its files say so already"
    checks: list[t.Callable[[], t.Sequence[str]]] = []
    if not kept:
        lasting = _lasting.plan(machine, service, found.settings)
        written, where = lasting.operations, "; ".join([lasting.where] + lasting.notes)
        checks = _measure.oracle(machine, service, lasting.wanted)
    retired, said = _retire(machine, measured, kept) if wish.retire_largest else ([], "not asked for")
    notes = {
        "settings": dict(found.settings), "formula": found.formula, "says": found.says, "lasting": where if found.settings else None, "retire": said,
        "timer": _recycle_timer.said(service["id"], wish.every_s) if timer else None, "state": service.get("state"),
    }
    if timer:
        checks = list(checks) + [lambda: _recycle_timer.waits(machine, service["id"])]
    notes["summary"] = _summary(service["id"], notes)
    return Plan(
        MITIGATION, service["id"], written + timer + retired, notes=notes, proposals=_proposals(measured, wish, found),
        # the worker that was retired is gone, and another is in its place
        reversible="partly" if retired else "fully", checks=checks,
    )


def _summary(name: str, notes: t.Mapping[str, t.Any]) -> list[str]:
    """The same in lines for a screen."""
    lines = ["%s: %s" % (name, ", ".join("%s %d" % pair for pair in sorted(notes["settings"].items())) or "workers replaced by a timer")]
    lines += [notes["formula"]] if notes["formula"] else []
    lines += notes["says"] + (["next start: %s" % notes["lasting"]] if notes["lasting"] else []) + ["retire: %s" % notes["retire"]]
    return lines + (["timer: %s" % notes["timer"]] if notes["timer"] else [])


def _with_timer(measured: Measured, wish: Wish) -> Lifespan:
    """A timer does without a figure that cannot be had: what cannot be computed is said, and nothing is written. What was given and is wrong is refused."""
    try:
        return lifespan(measured, wish)
    except Refused as problem:
        if wish.wished != Wished(live_at_least_s=wish.wished.live_at_least_s, reserve_pct=wish.wished.reserve_pct):
            raise
        return Lifespan({}, None, ["no number of requests is written: %s" % problem])


def lifespan(measured: Measured, wish: Wish) -> Lifespan:
    """After how much a worker of this service is to be replaced. Raises Refused."""
    service = measured.service
    written = _measure.written(measured) or service.get("settings") or {}
    if service["component"] == "celery":
        foreign = [name for name in ("max_requests", "max_requests_jitter") if getattr(wish.wished, name) is not None]
        if foreign:
            raise Refused("%s runs celery, which has no %s: say max_tasks_per_child or max_memory_per_child_kib" % (service["id"], " and ".join(foreign)))
        return _lifespan.children(service, written, measured.host, measured.services, wish.wished)
    foreign = [name for name in ("max_tasks_per_child", "max_memory_per_child_kib") if getattr(wish.wished, name) is not None]
    if foreign:
        raise Refused("%s runs %s, which has no %s: say max_requests" % (service["id"], service["component"], " and ".join(foreign)))
    return _lifespan.requests(service, written, rate(measured, wish), wish.wished)


def rate(measured: Measured, wish: Wish) -> Rate:
    """Requests a second: given, or of nginx in front. All that nginx serves may be more than this service's: its workers then live longer."""
    if wish.requests_per_s is not None:
        return Rate(wish.requests_per_s, "as given")
    if measured.nginx is None:
        return Rate(None, "nginx: %s" % (measured.nginx_reason or "not measured"))
    per_s = measured.nginx.get("per_s")
    if per_s is None:
        return Rate(None, "nginx's access logs do not say it")
    return Rate(float(per_s), "through nginx in %.0f s" % float(measured.nginx.get("covered_s") or measured.nginx.get("window_s") or 0))


def _is_written(measured: Measured, found: Lifespan) -> bool:
    """Whether its files say all of this already (they count at the next start)."""
    written = _measure.written(measured)
    return bool(written) and all((written.get(name) or {}).get("value") == value for name, value in found.settings.items())


def _retire(machine: Machine, measured: Measured, kept: bool) -> tuple[list[Operation], str]:
    """Retire the largest worker; once the settings are there only one that stands out, so that a second run does not retire another."""
    service = measured.service
    summary = service.get("worker_summary") or {}
    if _measure.between_restarts(service) or not summary:
        return [], "no worker runs"
    if summary["count"] < 2:
        return [], "it has one worker, whose successor would not be there yet"
    if service["component"] == "uvicorn" and (_lifespan.release((service.get("settings") or {}).get("version")) or ()) < _lifespan.UVICORN_REPLACES:
        return [], "its uvicorn starts no worker again that ended"
    largest, middle = summary.get("largest_bytes"), summary.get("median_bytes")
    if not largest or not middle or summary.get("largest_pid") is None:
        return [], "the sizes of its workers were not measured"
    words = "the largest has %s, the median is %s" % (_target.mib(largest), _target.mib(middle))
    if kept and largest < middle * STANDS_OUT:
        return [], "none stands out: %s" % words
    try:
        operations = _runtime.retire_plan(machine, service)
        if service["component"] == "celery" and _busy(machine, operations[0]):
            return [], "the largest child is busy, and ending it would lose its task: %s" % words
        return operations, words
    except Refused as problem:
        return [], str(problem)


def _busy(machine: Machine, operation: Operation) -> bool:
    """Whether a child of celery has a task now. Raises Refused where the worker cannot be asked."""
    with _celery_remote.client(machine, operation) as client:
        return operation["worker_pid"] in client.active_pids()


def _proposals(measured: Measured, wish: Wish, found: Lifespan) -> list[str]:
    """What is written counts at the next start alone."""
    service = measured.service
    now = service.get("settings") or {}
    if all((now.get(name) or {}).get("value") == value for name, value in found.settings.items()):
        return []
    if _measure.between_restarts(service):
        return ["it is %s: what was written counts when it is started again" % service.get("state")]
    return ["what was written counts after one restart, at a quiet time: %s" % _concurrency.restart_command(service["id"], wish.host)]
