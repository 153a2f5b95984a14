# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Containers: what Docker and podman say of them, what their cgroups say they use, and those of Kubernetes by their cgroups alone.

Private to oncall.pressure: no stable interface. Read-only. What a container uses is read from its cgroup and not asked of its engine, which takes
seconds for that, and on a host under pressure more.
"""

from __future__ import annotations

import time
import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._components import _daemons, _engines
from ansible_collections.oncall.pressure.plugins.module_utils._components._host_pressure import throttled_pct
from ansible_collections.oncall.pressure.plugins.module_utils._components._own_root import own_root
from ansible_collections.oncall.pressure.plugins.module_utils._host._cgroups import Cgroups, CpuTime
from ansible_collections.oncall.pressure.plugins.module_utils._host._collect import Options, Reading, absent, ok, partial
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine
from ansible_collections.oncall.pressure.plugins.module_utils._host._text import clean, clean_words, decode
from ansible_collections.oncall.pressure.plugins.module_utils._parse import _cgroup
from ansible_collections.oncall.pressure.plugins.module_utils._parse._engine_api import Container, Listed

#: The most containers that are listed, whose cgroups are measured, and the most processes that are looked at.
SHOWN = 50
_MEASURED = 200
_PROCESSES = 20000

#: One that ended longer ago is no news.
_DAY_S = 86400.0

_MANAGERS = ("docker", "podman", "containerd", "kubernetes")


class _Found:
    """A container by its cgroup: how many processes, and its cgroup of each controller at the start of the window."""

    def __init__(self, identity: _cgroup.Identity, membership: t.Mapping[str, str]) -> None:
        self.identity = identity
        self.membership = membership
        self.processes = 0
        self.cpu: CpuTime | None = None
        self.memory_bytes = 0
        self.oom_kills: int | None = None

    def path(self, cgroups: Cgroups, controller: str) -> str | None:
        """Its cgroup of one controller, without those that it made below; null where it has none of its own."""
        path, own = cgroups.path(self.membership, controller), self.identity.path
        return own if path is not None and (path == own or path.startswith(own + "/")) else None


def collect(machine: Machine, options: Options) -> Reading:
    """``{"engine": [...], "counts": {...}, "containers": [...]}`` as docs/architecture.md says."""
    daemons = options.daemons if options.daemons is not None else _daemons.running(machine)
    started = machine.monotonic()
    cgroups = Cgroups(machine)
    found, cut = by_cgroup(machine)
    for one in list(found.values())[:_MEASURED]:
        _measure(cgroups, one)
    said, reasons = _ask_all(machine, daemons, found)
    if not found and not said:
        return absent("neither an engine nor cgroups of containers are here")
    machine.sleep(options.window_s - (machine.monotonic() - started))
    window_s = max(machine.monotonic() - started, 0.001)
    rows = _rows(cgroups, found, said, machine.now(), window_s)
    answered = [one for one in said if one.row["status"] in ("ok", "partial")]
    running = [one for who in answered for one in who.running]
    data = {
        "engine": [one.row for one in said],
        "counts": {
            "running": sum(one.state == "running" for one in running) + _unlisted(found, running) if answered else len(found) or None,
            "exited": sum(len(one.ended) for one in answered) if answered else None,
            "restarting": sum(one.state == "restarting" for one in running) if answered else None,
            "unhealthy": sum(one.unhealthy for one in running) if answered else None,
        },
        "containers": rows[:SHOWN],
    }
    if cut:
        reasons.append("more processes than are read")
    if len(rows) > SHOWN:
        reasons.append("only %d of %d containers are shown" % (SHOWN, len(rows)))
    if not reasons:
        return ok(data)
    if not found and not answered and any(one.row["status"] in ("denied", "error") for one in said):
        # nothing of the engine, and nothing of a container
        return Reading(next(one.row["status"] for one in said if one.row["status"] in ("denied", "error")), "; ".join(reasons), data)
    return partial(data, "; ".join(reasons))


def by_cgroup(machine: Machine) -> tuple[dict[str, _Found], bool]:
    """Containers with a process, by their short id; and whether there were more processes than are read. Raises OSError without /proc."""
    prefix = own_root(machine).prefix
    found: dict[str, _Found] = {}
    known: dict[bytes, _Found | None] = {}
    names = [name for name in machine.names("/proc") if name.isdigit()]
    for name in names[:_PROCESSES]:
        try:
            data = machine.peek("/proc/%s/cgroup" % name)
        except OSError:
            continue
        if data not in known:
            membership = _cgroup.membership(decode(data))
            identity = _cgroup.identify(_cgroup.process_path(membership), prefix)
            short = _cgroup.container_id(identity.path) if identity.manager in _MANAGERS else None
            known[data] = None if short is None else found.setdefault(short, _Found(identity, membership))
        one = known[data]
        if one is not None:
            one.processes += 1
    return found, len(names) > _PROCESSES


def _measure(cgroups: Cgroups, one: _Found) -> None:
    path = one.path(cgroups, "cpuacct")
    one.cpu = cgroups.cpu(path) if path is not None else None
    path = one.path(cgroups, "memory")
    memory = cgroups.memory(path) if path is not None else None
    if memory is not None:
        one.memory_bytes, one.oom_kills = memory.bytes or 0, memory.oom_kills


def _ask_all(machine: Machine, daemons: t.Mapping[str, t.Sequence[int]], found: t.Mapping[str, _Found]) -> tuple[list[_engines.Said], list[str]]:
    """What each engine said; and what is missing."""

    def rank(identity: str) -> float:
        one = found.get(identity[:12])
        return one.memory_bytes if one is not None else -1.0

    sockets = _engines.sockets(machine, daemons)
    end = _engines.deadline(machine)
    said = [_engines.ask(machine, socket, rank, end) for socket in sockets]
    for kind in ("docker", "podman"):
        if kind == "podman" and daemons.get("crio"):
            # Kubernetes' own engine starts the same watchers
            continue
        if daemons.get(kind) and kind not in [socket.kind for socket in sockets] + [one.row["kind"] for one in said]:
            said.append(_engines.Said(_engines.missing(kind), [], [], {}))
    return said, ["%s%s: %s" % (one.row["kind"], " at " + one.row["socket"] if one.row["socket"] else "", one.row["reason"])
                  for one in said if one.row["status"] != "ok"]


def _unlisted(found: t.Mapping[str, _Found], running: t.Sequence[Listed]) -> int:
    """Containers with processes that no engine that answered knows: Kubernetes', or of an engine that did not answer."""
    listed = {one.id[:12] for one in running}
    return sum(1 for short in found if short not in listed)


def _rows(cgroups: Cgroups, found: t.Mapping[str, _Found], said: t.Sequence[_engines.Said], now: float, window_s: float) -> list[dict[str, t.Any]]:
    """The most interesting first."""
    rows = []
    seen = set()
    for one in said:
        for identity, container in one.containers.items():
            row = _row(cgroups, identity[:12], one.row["kind"], found.get(identity[:12]), window_s)
            _tell(row, container, now)
            seen.add(identity[:12])
            if row["state"] not in ("exited", "dead") or row["finished_age_s"] is None or row["finished_age_s"] <= _DAY_S:
                rows.append(row)
    rows += [_row(cgroups, short, None, one, window_s) for short, one in list(found.items())[:_MEASURED] if short not in seen]
    return sorted(rows, key=_rank)


def _rank(row: t.Mapping[str, t.Any]) -> tuple[t.Any, ...]:
    in_trouble = (row["oom_killed"] is True, row["state"] == "restarting", row["health"] == "unhealthy", bool(row["memory"]["oom_kills_in_window"]))
    failed = row["exit_code"] not in (None, 0)
    return (-sum(in_trouble), row["state"] in ("exited", "dead", "created") and not failed, not failed, -(row["memory"]["bytes"] or 0), row["container_id"])


def _row(cgroups: Cgroups, short: str, engine: str | None, found: _Found | None, window_s: float) -> dict[str, t.Any]:
    """A container by what its cgroup says."""
    manager = found.identity.manager if found is not None else engine
    row: dict[str, t.Any] = {
        "id": clean("%s:%s" % (manager, found.identity.name if found is not None else short), 200), "container_id": short,
        "engine": engine or (manager if manager in _MANAGERS else None),
        "pod": clean(found.identity.name, 60) if found is not None and manager == "kubernetes" else None,
        "name": None, "image": None, "project": None, "service": None, "command": None, "state": "running" if found is not None else "unknown",
        "created_age_s": None, "started_age_s": None, "finished_age_s": None, "finished_at": None, "exit_code": None, "oom_killed": None,
        "restarts": None, "restart_policy": None, "health": None, "failing_streak": None, "processes": found.processes if found is not None else 0,
        "cpu": {"used": None, "quota": None, "throttled_pct": None},
        "memory": {"bytes": None, "limit_bytes": None, "oom_kills": None, "oom_kills_in_window": None},
        "pids": {"current": None, "limit": None},
    }
    if found is None:
        return row
    path = found.path(cgroups, "cpuacct")
    after = cgroups.cpu(path) if path is not None and found.cpu is not None else None
    if after is not None and found.cpu is not None:
        row["cpu"].update(used=round(max(after.used_s - found.cpu.used_s, 0.0) / window_s, 3), throttled_pct=throttled_pct(found.cpu, after))
    path = found.path(cgroups, "cpu")
    if path is not None:
        row["cpu"]["quota"] = cgroups.cpu_quota(path)
    path = found.path(cgroups, "memory")
    memory = cgroups.memory(path) if path is not None else None
    if memory is not None:
        killed = None if memory.oom_kills is None or found.oom_kills is None else max(memory.oom_kills - found.oom_kills, 0)
        row["memory"].update(bytes=memory.bytes, limit_bytes=memory.limit_bytes, oom_kills=memory.oom_kills, oom_kills_in_window=killed)
    path = found.path(cgroups, "pids")
    if path is not None:
        row["pids"]["current"], row["pids"]["limit"] = cgroups.pids(path)
    return row


def _tell(row: dict[str, t.Any], told: Container, now: float) -> None:
    """What the engine says of it; limits where its cgroup, which holds what is in force, says none."""

    def age(moment: float | None) -> float | None:
        return None if moment is None else round(max(now - moment, 0.0), 1)

    def text(value: str | None, limit: int) -> str | None:
        return clean(value or "", limit) or None

    row.update(
        name=text(told.name, 128), image=text(told.image, 200), project=text(told.project, 100), service=text(told.service, 100),
        command=clean_words(told.command, 120) or None, state=told.state, created_age_s=age(told.created_s), started_age_s=age(told.started_s),
        finished_age_s=age(told.finished_s), exit_code=told.exit_code, oom_killed=told.oom_killed, restarts=told.restarts,
        restart_policy=told.restart_policy, health=told.health, failing_streak=told.failing_streak,
    )
    if told.finished_s is not None:
        try:
            row["finished_at"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(told.finished_s))
        except (ValueError, OverflowError, OSError):
            pass
    for part, name, value in (("memory", "limit_bytes", told.memory_limit_bytes), ("cpu", "quota", told.cpus), ("pids", "limit", told.pids_limit)):
        if row[part][name] is None:
            row[part][name] = value
