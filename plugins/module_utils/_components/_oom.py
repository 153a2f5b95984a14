# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The OOM collector: who was killed for want of memory in the window, of which service, and whether that is this host's own.

Private to oncall.pressure: no stable interface.

The kernel's log is the machine's, shared by all its containers: a kill is this host's own only if the victim's cgroup lies under this host's.
"""

from __future__ import annotations

import time
import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._components import _oom_sources
from ansible_collections.oncall.pressure.plugins.module_utils._components._oom_sources import Source, Unreadable
from ansible_collections.oncall.pressure.plugins.module_utils._components._own_root import OwnRoot, own_root
from ansible_collections.oncall.pressure.plugins.module_utils._host._cgroups import Cgroups
from ansible_collections.oncall.pressure.plugins.module_utils._host._collect import Options, Reading, ok, partial
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine
from ansible_collections.oncall.pressure.plugins.module_utils._host._text import clean
from ansible_collections.oncall.pressure.plugins.module_utils._parse import _cgroup
from ansible_collections.oncall.pressure.plugins.module_utils._parse._kernel_alarms import Alarm
from ansible_collections.oncall.pressure.plugins.module_utils._parse._kernel_oom import Kill
from ansible_collections.oncall.pressure.plugins.module_utils._parse._userspace_oom import UserspaceKill

#: The most kills that are listed; all are counted.
EVENTS = 50

#: The most other complaints of the kernel that are listed, by kind and whom they name.
ALARMS = 20

#: The same victim in two logs is one kill where their clocks tell the same time within this many seconds.
_SAME_KILL_S = 120.0

#: A clock may have been set back a little since.
_FUTURE_S = 5.0

_READ_LOG = "become root, or give the user the group adm or systemd-journal"
_READ_LOG_CONTAINER = "become root and give the container the capability SYSLOG, or measure its machine"


class _Placed(t.NamedTuple):
    """A kill with its age in seconds; null where its log does not tell the time."""

    kill: Kill
    age_s: float | None


class _Counters(t.NamedTuple):
    """Kills since boot on the whole machine, and in this host's own cgroup since it was made; null is not told."""

    machine: int | None
    cgroup: int | None
    #: whether the second counts the cgroups below as well
    cgroup_is_deep: bool


def collect(machine: Machine, options: Options) -> Reading:
    """``oom`` in the shape of docs/architecture.md."""
    window_s = options.oom_window_s
    root = own_root(machine)
    counters = _counters(machine, root)
    sources, problems = _sources(machine, window_s, counters, root)
    data = _empty(window_s, counters)
    uptime_s = machine.uptime_s()
    if not [source for source in sources if source.name != "userspace"]:
        if _none_counted(root, counters):
            data.update(sources=["counters"], covered_s=round(uptime_s, 1), kills=0, unattributed=0 if root.kind == "machine" else None, events=[], services={})
            return ok(data)
        advice = _READ_LOG_CONTAINER if root.kind == "container" else _READ_LOG
        # what each source said is the same everywhere and would bury the advice
        return Reading("denied", "the kernel's log may not be read: " + advice, data)
    placed = _merged(machine, sources)
    inside = [row for row in placed if row.age_s is not None and -_FUTURE_S <= row.age_s <= window_s]
    events = [_event(machine, row, root) for row in sorted(inside, key=lambda row: row.age_s or 0.0)]
    covered_s = max((source.reach_s for source in sources if source.reach_s is not None), default=None)
    data.update(
        sources=[source.name for source in sources if source.name != "userspace"], covered_s=None if covered_s is None else round(covered_s, 1),
        kills=sum(event["own"] for event in events), unattributed=sum(not event["own"] for event in events),
        events=events[:EVENTS], services=_services(events), userspace=_userspace(machine, sources, window_s),
        alarms=_alarms(machine, sources, window_s),
    )
    reasons = [source.reason for source in sources if source.reason] + _doubts(sources, placed, counters)
    if covered_s is None or covered_s + 1.0 < min(window_s, uptime_s):
        if not _complete(placed, counters, root):
            reasons.append("the kernel's log reaches back %s of %d s%s" % (
                "an unknown part" if covered_s is None else "%d" % covered_s, window_s, " (%s)" % "; ".join(problems) if problems else ""))
    return partial(data, "; ".join(reasons)) if reasons else ok(data)


def _empty(window_s: float, counters: _Counters) -> dict[str, t.Any]:
    """The shape with nothing measured."""
    return {
        "window_s": window_s, "sources": [], "covered_s": None, "kills": None, "unattributed": None, "events": None, "services": None,
        "counters": {"vmstat_oom_kill": counters.machine, "cgroup_oom_kill": counters.cgroup}, "userspace": None, "alarms": None,
    }


def _sources(machine: Machine, window_s: float, counters: _Counters, root: OwnRoot) -> tuple[list[Source], list[str]]:
    """The logs that together reach back over the window, asked in the order of their cost; and why others could not be read."""
    found: list[Source] = []
    problems: list[str] = []
    try:
        found.append(_oom_sources.ring(machine))
        # the journal of a container holds nothing of the kernel
        if _reaches(found[0], window_s) or root.kind == "container":
            return found + _killers(machine, window_s), problems
    except Unreadable as problem:
        problems.append(str(problem))
    slower: tuple[t.Callable[[], Source], ...] = (lambda: _oom_sources.journal(machine, window_s, True), lambda: _oom_sources.log_file(machine))
    for read in slower:
        if counters.machine == 0 and found:
            # nothing was killed since boot: older boots are all that a slower log could add
            if machine.uptime_s() >= window_s:
                break
        try:
            source = read()
        except Unreadable as problem:
            problems.append(str(problem))
            continue
        if source.reach_s is None and not source.found.kills:
            problems.append("%s: nothing of the kernel in it" % source.name)
            found.append(source._replace(name="userspace"))
            continue
        found.append(source)
        if _reaches(source, window_s):
            break
    return found, problems


def _reaches(source: Source, window_s: float) -> bool:
    return source.reason is None and source.reach_s is not None and source.reach_s >= window_s


def _killers(machine: Machine, window_s: float) -> list[Source]:
    """What systemd-oomd and earlyoom did, where one of them runs; the ring does not hold that."""
    if not _oom_sources.has_userspace_killer(machine):
        return []
    try:
        source = _oom_sources.journal(machine, window_s, False)
    except Unreadable:
        return []
    return [source._replace(name="userspace", found=source.found._replace(kills=[], refused=[]))]


def _counters(machine: Machine, root: OwnRoot) -> _Counters:
    whole = None
    if root.kind == "machine":
        whole = _cgroup.counters(machine.text_or_none("/proc/vmstat") or "").get("oom_kill")
    cgroups = Cgroups(machine)
    path = cgroups.path(root.membership, "memory")
    memory = cgroups.memory(path) if path is not None else None
    return _Counters(whole, memory.oom_kills if memory is not None else None, cgroups.version("memory") == 2)


def _none_counted(root: OwnRoot, counters: _Counters) -> bool:
    """Whether the counters alone say that nothing of this host was killed. Version 1 counts a cgroup without those below it."""
    if root.kind == "machine":
        return counters.machine == 0
    return counters.cgroup == 0 and counters.cgroup_is_deep


def _complete(placed: list[_Placed], counters: _Counters, root: OwnRoot) -> bool:
    """Whether every kill of this host since boot is in the logs that were read, however far back these reach."""
    if root.kind == "machine":
        return counters.machine is not None and counters.machine <= len(placed)
    own = sum(attribute(row.kill.cgroup, root)[0] for row in placed)
    return counters.cgroup is not None and counters.cgroup_is_deep and counters.cgroup <= own


def _doubts(sources: list[Source], placed: list[_Placed], counters: _Counters) -> list[str]:
    """What the logs say that cannot be all."""
    doubts = []
    refused = [line for source in sources for line in source.found.refused]
    if refused:
        doubts.append("%d lines tell of a kill and could not be read: %s" % (len(refused), refused[0].reason))
    timeless = sum(row.age_s is None for row in placed)
    if timeless:
        doubts.append("%d kills stand in the log without a time and were not counted" % timeless)
    if counters.machine is not None and counters.machine > len(placed) and any(source.from_boot for source in sources):
        doubts.append("the kernel counted %d kills since boot, its log names %d" % (counters.machine, len(placed)))
    return doubts


def _merged(machine: Machine, sources: list[Source]) -> list[_Placed]:
    """The kills of all sources, each once, the first source's words kept."""
    clock_s, now = _oom_sources.kernel_clock_s(machine), machine.now()
    merged: list[_Placed] = []
    for source in sources:
        before = list(merged)
        for kill in source.found.kills:
            row = _Placed(kill, _age_s(kill, clock_s, now))
            if not any(_same(row, other) for other in before):
                merged.append(row)
    return merged


def _alarms(machine: Machine, sources: list[Source], window_s: float) -> list[dict[str, t.Any]]:
    """What else the kernel complained of in the window, by kind and whom it names, from the one place that tells of most: the same lines stand in all."""
    clock_s, now = _oom_sources.kernel_clock_s(machine), machine.now()
    best: dict[tuple[str, str | None], list[float]] = {}
    for source in sources:
        ages: dict[tuple[str, str | None], list[float]] = {}
        for alarm in source.alarms:
            age_s = _age_s(alarm, clock_s, now)
            if age_s is not None and -_FUTURE_S <= age_s <= window_s:
                ages.setdefault((alarm.kind, alarm.about), []).append(max(age_s, 0.0))
        if sum(map(len, ages.values())) > sum(map(len, best.values())):
            best = ages
    rows = [
        {"kind": kind, "about": clean(about, 200) if about else None, "count": len(found), "last_age_s": round(min(found), 1),
         "last_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now - min(found)))}
        for (kind, about), found in best.items()
    ]
    return sorted(rows, key=lambda row: (t.cast(float, row["last_age_s"]), str(row["kind"])))[:ALARMS]


def _age_s(kill: Kill | UserspaceKill | Alarm, clock_s: float, now: float) -> float | None:
    if kill.time_s is not None:
        return now - kill.time_s
    return clock_s - kill.uptime_s if kill.uptime_s is not None else None


def _same(one: _Placed, other: _Placed) -> bool:
    if one.kill.pid != other.kill.pid or one.kill.name != other.kill.name:
        return False
    return one.age_s is None or other.age_s is None or abs(one.age_s - other.age_s) <= _SAME_KILL_S


def _iso(moment: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(moment))


def attribute(cgroup: str | None, root: OwnRoot) -> tuple[bool, str | None]:
    """Whether a victim in this cgroup is this host's own, and the id of its service (null where there is none).

    On a machine everything is its own, also its containers' processes. In a container, and in a part of a machine, a kill that does not name
    a cgroup may be any neighbour's.
    """
    if cgroup is None:
        return root.kind == "machine", None
    path = root.own_part(cgroup)
    if path is None:
        return False, None
    identity = _cgroup.identify(path)
    if identity.manager == "none":
        return True, None
    if identity.manager in ("systemd", "user", "session"):
        return True, clean(identity.name, 255)
    return True, "%s:%s" % (identity.manager, identity.name)


def _event(machine: Machine, row: _Placed, root: OwnRoot) -> dict[str, t.Any]:
    kill, age_s = row.kill, row.age_s or 0.0
    own, service = attribute(kill.cgroup, root)
    return {
        "at": _iso(machine.now() - age_s), "age_s": round(max(age_s, 0.0), 1), "pid": kill.pid, "name": clean(kill.name, 64),
        "constraint": kill.constraint or ("memcg" if kill.limit_cgroup is not None else None),
        "cgroup": _path(kill.cgroup), "limit_cgroup": _path(kill.limit_cgroup), "service": service, "own": own,
        "anon_rss_bytes": _bytes(kill.anon_rss_kib), "total_vm_bytes": _bytes(kill.total_vm_kib), "uid": kill.uid,
        "trigger": None if kill.trigger is None else clean(kill.trigger, 64),
    }


def _path(path: str | None) -> str | None:
    return None if path is None else clean(path, 1024)


def _bytes(kib: int | None) -> int | None:
    return None if kib is None else kib * 1024


def _services(events: list[dict[str, t.Any]]) -> dict[str, dict[str, t.Any]]:
    """This host's own kills by service; the events come newest first."""
    rows: dict[str, list[dict[str, t.Any]]] = {}
    for event in events:
        if event["own"] and event["service"] is not None:
            rows.setdefault(event["service"], []).append(event)
    summary = {}
    for service, kills in rows.items():
        sizes = sorted(kill["anon_rss_bytes"] for kill in kills if kill["anon_rss_bytes"] is not None)
        names: dict[str, int] = {}
        for kill in kills:
            names[kill["name"]] = names.get(kill["name"], 0) + 1
        summary[service] = {
            "kills": len(kills), "last_at": kills[0]["at"], "last_age_s": kills[0]["age_s"], "largest_anon_rss_bytes": sizes[-1] if sizes else None,
            "median_anon_rss_bytes": (sizes[(len(sizes) - 1) // 2] + sizes[len(sizes) // 2]) // 2 if sizes else None, "names": names,
        }
    return summary


def _userspace(machine: Machine, sources: list[Source], window_s: float) -> list[dict[str, t.Any]]:
    """What programs killed in the window, newest first; the same from two sources once."""
    clock_s, now = _oom_sources.kernel_clock_s(machine), machine.now()
    rows: list[tuple[str, tuple[float, str, str]]] = []
    for source in sources:
        for kill in source.found.userspace:
            age_s = _age_s(kill, clock_s, now)
            if age_s is not None and -_FUTURE_S <= age_s <= window_s:
                if not any(other[1:] == (kill.program, kill.what) and abs(other[0] - age_s) <= _SAME_KILL_S and other_source != source.name
                           for other_source, other in rows):
                    rows.append((source.name, (age_s, kill.program, kill.what)))
    rows.sort(key=lambda row: row[1][0])
    return [{"at": _iso(now - age_s), "program": program, "what": clean(what, 255)} for dummy, (age_s, program, what) in rows[:EVENTS]]
