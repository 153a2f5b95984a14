# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What rules look at in a service: kills, memory against what binds it, workers, processors, traffic.

Private to oncall.pressure: no stable interface. Every figure is null where something it is made of was not measured.
"""

from __future__ import annotations

import typing as t

from ansible_collections.oncall.pressure.plugins.plugin_utils._file_figures import file_figures
from ansible_collections.oncall.pressure.plugins.plugin_utils._values import at, known, num, pct, ratio, rows, text
from ansible_collections.oncall.pressure.plugins.plugin_utils._worker_figures import FILL, worker_figures, workers_total

#: A worker that uses less of a CPU than this waits for work, it does not compete; one that stands in line for this much does.
BUSY_CPU = 0.05
BUSY_WANTS = 0.3

WEB = ("gunicorn", "uvicorn")


def service_figures(service: t.Mapping[str, t.Any], snapshot: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """The figures under ``derived`` of a service, by kind: kills, memory, workers, cpu, traffic, files."""
    kills = kill_figures(service, snapshot)
    memory = _memory(service, snapshot, kills)
    workers = worker_figures(service, kills, memory["binding_bytes"], memory["budget_bytes"])
    memory["workers_pct"] = pct(workers_total(service), memory["binding_bytes"])
    return {
        "kills": kills, "memory": memory, "workers": workers, "cpu": _cpu(service, snapshot, workers), "traffic": _traffic(service, snapshot),
        "files": file_figures(service),
    }


def kill_figures(service: t.Mapping[str, t.Any], snapshot: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Kernel kills of a service in the window. Without the kernel's log, a unit that is down because of a kill counts as one."""
    identity = service.get("id")
    row = at(snapshot, "oom", "services", str(identity))
    count = num(row, "kills")
    sure = num(snapshot, "oom", "kills") is not None
    if count is None:
        stopped = text(service, "state") in ("restarting", "failed")
        count = 0 if sure else (1 if text(service, "result") == "oom-kill" and stopped else None)
    events = [event for event in rows(snapshot, "oom", "events") if event.get("service") == identity and event.get("own") is not False]
    machine_wide = sum(1 for event in events if event.get("constraint") == "global")
    # the limit of something that runs inside it (a unit in a container) is not its own
    group = text(service, "cgroup")
    beneath = sum(1 for event in events if group is not None and (text(event, "limit_cgroup") or "").startswith(group + "/"))
    names = at(row, "names")
    sizes = sorted(known(*(num(event, "anon_rss_bytes") for event in events)))
    return {
        "count": count,
        "from_log": sure,
        "host_wide": machine_wide if count is not None else None,
        "in_limit": None if count is None else max(count - machine_wide, 0),
        "in_own_limit": None if count is None else max(count - machine_wide - beneath, 0),
        "last_at": text(row, "last_at"),
        "last_age_s": num(row, "last_age_s"),
        "window_s": num(snapshot, "oom", "window_s"),
        "median_bytes": num(row, "median_anon_rss_bytes"),
        "largest_bytes": num(row, "largest_anon_rss_bytes"),
        "next_bytes": sizes[-2] if len(sizes) >= 2 else None,
        "names": sorted(str(name) for name in names)[:4] if isinstance(names, dict) and names else None,
        "counter": num(service, "memory", "oom_kills"),
    }


def _memory(service: t.Mapping[str, t.Any], snapshot: t.Mapping[str, t.Any], kills: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    used = num(service, "memory", "bytes")
    host_limit = num(snapshot, "host", "memory", "limit_bytes")
    available = num(snapshot, "host", "memory", "available_bytes")
    host_used = num(snapshot, "host", "memory", "used_bytes")
    own = num(service, "memory", "limit_bytes")
    # A unit without a limit of its own is bound by the host; a "limit" at or above the host's never binds.
    has_own = own is not None and (host_limit is None or own < host_limit)
    binding = own if has_own else host_limit
    others = None if host_used is None or used is None else max(host_used - used, 0)
    everyone = sum(known(*(num(other, "memory", "bytes") for other in rows(snapshot, "services"))))
    # With a limit of its own, what is not its workers (a master, a cache in active use) is at most an eighth of it.
    total = workers_total(service)
    rest = 0.0 if not has_own or used is None or total is None or own is None else min(max(used - total, 0), own / 8)
    room = FILL * binding if binding is not None else None
    taken = rest if has_own else others
    return {
        "used_bytes": used,
        "source": text(service, "memory", "source"),
        "has_own_limit": has_own,
        "own_limit_bytes": own if has_own else None,
        "limit_words": _limit_words(text(service, "memory", "limit_source"), has_own),
        "binding_bytes": binding,
        "used_pct": pct(used, binding),
        "budget_bytes": None if room is None or taken is None else room - taken,
        "peak_bytes": num(service, "memory", "peak_bytes"),
        "max_hits": num(service, "memory", "max_hits"),
        "share_of_services": ratio(used, everyone),
        "host_available_bytes": available,
        "host_available_pct": pct(available, host_limit),
        "host_room_ratio": ratio(available, own) if has_own else None,
        "wanted_limit_bytes": _wanted(own if has_own else None, kills),
    }


def _limit_words(source: str | None, has_own: bool) -> str:
    """What binds, in words: ``limit``, ``limit of PATH`` of a parent, ``of the host``."""
    if not has_own:
        return "of the host"
    return "limit" if source in (None, "service") else "limit of %s" % source


def _wanted(own: float | None, kills: t.Mapping[str, t.Any]) -> float | None:
    """A limit with room for what was killed: half as much again, and at least the victim on top."""
    victim = t.cast("float | None", kills.get("largest_bytes"))
    return None if own is None else max(own * 1.5, own + (victim or 0))


def _cpu(service: t.Mapping[str, t.Any], snapshot: t.Mapping[str, t.Any], workers: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    used = num(service, "cpu", "used")
    usable = num(snapshot, "host", "cpu", "usable")
    quota = num(service, "cpu", "quota")
    ceiling = min(known(usable, quota)) if known(usable, quota) else None
    named = {num(row, "pid"): row for row in rows(snapshot, "processes", "top_cpu") if row.get("service") == service.get("id")}
    mine = [*named.values(), *(row for row in rows(service, "workers") if num(row, "pid") not in named)]
    hottest = max((row for row in mine if num(row, "cpu") is not None), key=lambda row: num(row, "cpu") or 0, default=None)
    # A service that has processes but none among the busiest of the host has no hot process.
    one = num(hottest, "cpu") if hottest is not None else (0.0 if used is not None and used < 0.5 else None)
    wants = [(value + (num(row, "cpu_wait") or 0.0), value, row) for row in mine for value in known(num(row, "cpu"))]
    keenest = max(wants, key=lambda item: item[0], default=None)
    competing = [(value, value + (num(row, "cpu_wait") or 0.0)) for row in rows(service, "workers") for value in known(num(row, "cpu"))]
    busy = [value for value, wanted in competing if value >= BUSY_CPU or wanted >= BUSY_WANTS]
    waits = [num(row, "cpu_wait") for row in rows(service, "workers")]
    return {
        "used": used,
        "usable": usable,
        "ceiling": ceiling,
        "share_of_host": ratio(used, usable),
        "share_of_ceiling": ratio(used, ceiling),
        "share_of_services": num(service, "cpu", "share"),
        "throttled_pct": num(service, "cpu", "throttled_pct"),
        "has_quota": quota is not None and (usable is None or quota < usable),
        "hottest": one,
        "hottest_pid": num(hottest, "pid"),
        "hottest_process": _process_words(hottest),
        # What one process uses and would use besides, had there been a processor free: a whole one is a process that never sleeps.
        "one_wants": keenest[0] if keenest is not None else one,
        "one_uses": keenest[1] if keenest is not None else one,
        "one_threads": num(keenest[2], "threads") if keenest is not None else None,
        "one_wants_share": ratio(keenest[0] if keenest is not None else one, usable),
        "wants_per_cpu": ratio(sum(wanted for dummy, wanted in competing), ceiling) if known(*waits) else None,
        "hottest_part": min(one / used, 1.0) if one is not None and used else None,
        "busy_workers": len(busy) if isinstance(service.get("workers"), list) else None,
        "busy_per_cpu": ratio(len(busy), ceiling) if isinstance(service.get("workers"), list) else None,
        "mean_busy": sum(busy) / len(busy) if busy else None,
        "workers_per_cpu": ratio(t.cast("float | None", workers["count"]), ceiling),
        "wanted_workers": None if ceiling is None else int(2 * ceiling + 1),
    }


def _process_words(row: dict[str, t.Any] | None) -> str | None:
    pid = num(row, "pid")
    name = text(row, "name") or text(row, "command")
    return None if pid is None else "process %d%s" % (pid, " (%s)" % name if name else "")


def _traffic(service: t.Mapping[str, t.Any], snapshot: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """What nginx forwards; only where one web service stands behind it, for it does not say which one it went to."""
    web = [row for row in rows(snapshot, "services") if row.get("component") in WEB]
    single = service.get("component") in WEB and len(web) == 1
    path = most_of(rows(snapshot, "nginx", "paths")) if single else None
    return {
        "per_s": num(snapshot, "nginx", "per_s"),
        "ratio": num(snapshot, "nginx", "ratio"),
        "single_web": single,
        "requests": num(snapshot, "nginx", "requests"),
        "path": text(path, "path"),
    }


def most_of(paths: t.Sequence[dict[str, t.Any]]) -> dict[str, t.Any] | None:
    """The path with most of the time of all requests, by its requests where the log has no times; null where there is none."""
    for name in ("time_share", "requests"):
        measured = [row for row in paths if num(row, name) is not None]
        if measured:
            return max(measured, key=lambda row: num(row, name) or 0)
    return None
