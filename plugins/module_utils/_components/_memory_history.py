# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The memory history collector: what the recorder and sysstat kept on this host, and a longer window where one was asked for.

Private to oncall.pressure: no stable interface. Of a history only as many samples are read as are told; the others' times alone are looked at.
"""

from __future__ import annotations

import re
import stat
import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._components import _footprint
from ansible_collections.oncall.pressure.plugins.module_utils._components._own_root import own_root
from ansible_collections.oncall.pressure.plugins.module_utils._host._collect import Options, Reading, absent, denied, error, ok, partial
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine
from ansible_collections.oncall.pressure.plugins.module_utils._host._text import clean, decode
from ansible_collections.oncall.pressure.plugins.module_utils._parse import _memory_history, _proc, _sysstat
from ansible_collections.oncall.pressure.plugins.module_utils._parse._memory_history import COARSE, FINE, LINE_BYTES, OLDER, PART_BYTES, Row, Sample

#: What says that a recorder is installed, to whoever may not look at what it kept.
TIMER: t.Final = "/etc/systemd/system/oncall-pressure-recorder.timer"

#: Where packages have sysstat write: of Debian, of Red Hat.
SYSSTAT: t.Final = ("/var/log/sysstat", "/var/log/sa")

#: The most points that are told of a service with workers, of another, and of one worker; and the most services.
POINTS: t.Final = 96
_PLAIN_POINTS = 48
_WORKER_POINTS = 48
_SERVICES = 40

#: A longer window has at most so many samples, no closer than this.
_WINDOW_SAMPLES = 61
_WINDOW_EVERY_S = 2.0

#: So many samples of the time between two points are read: the last one, and others for what is told as a mean.
_PER_POINT = 3

_SADF_S = 5.0
_SADF_BYTES = 2097152
_SA_FILE = re.compile(r"sa[0-9]{2}(?:[0-9]{6})?\Z")
_DAYS_S = 172800.0

#: A recorder whose last sample is older than so many of its intervals has stopped.
_LATE = 4


class _Seen(t.NamedTuple):
    """A sample that is told: its age in seconds, itself, and its services by id."""

    age_s: float
    sample: Sample
    rows: dict[str, Row]


#: The oldest first, by point
Groups = t.List[t.List[_Seen]]


class _Now(t.NamedTuple):
    """The clocks at the end of the window."""

    at_s: float
    up_s: float
    boot: str


class _Source(t.NamedTuple):
    """One source: its row in the document, and what it told."""

    row: dict[str, t.Any]
    groups: Groups


def collect(machine: Machine, options: Options) -> Reading:
    """``memory_history`` of the snapshot; absent where nothing was recorded and no longer window was asked for."""
    watched = _watch(machine, options)
    now = _Now(machine.now(), machine.uptime_s(), _footprint.boot(machine))
    window = _window(watched, options.memory_window_s)
    recorder = _recorder(machine, now, options.memory_history_s)
    sysstat, host = _sysstat_of(machine, now, options.memory_history_s)
    sources = [window.row, recorder.row, sysstat]
    bad = ["%s: %s" % (row["kind"], row["reason"]) for row in sources if row["status"] not in ("ok", "absent")]
    if not any(row["samples"] for row in sources):
        if not bad:
            return absent("nothing is recorded here (role recorder, sysstat), and no longer window was asked for (pressure_memory_window)")
        return (denied if any(row["status"] == "denied" for row in sources) else error)(clean("; ".join(bad), 600))
    services = _services(machine, now, window, "window") + _services(machine, now, recorder, "recorder")
    services.sort(key=lambda service: -service["points"][-1]["bytes"])
    data = {"sources": sources, "host": _host(recorder.groups) or host or _host(window.groups), "services": services[:_SERVICES]}
    return partial(data, clean("; ".join(bad), 600)) if bad else ok(data)


def _row(kind: str, status: str, reason: str | None, ages: t.Sequence[float] = ()) -> dict[str, t.Any]:
    """A source in the document; ``ages`` of its samples, the oldest first."""
    return {
        "kind": kind, "status": status, "reason": reason, "every_s": _memory_history.spacing_s(ages[-20:]),
        "covered_s": round(ages[0] - ages[-1], 1) if ages else None, "samples": len(ages),
    }


# a longer window


def _watch(machine: Machine, options: Options) -> list[Sample]:
    """Look again and again for as long as was asked."""
    if not options.memory_window_s:
        return []
    every_s = max(_WINDOW_EVERY_S, options.memory_window_s / (_WINDOW_SAMPLES - 1))
    up_s, started = machine.uptime_s(), machine.monotonic()
    samples: list[Sample] = []
    earlier = None
    for turn in range(_WINDOW_SAMPLES):
        sample, earlier = _footprint.look(machine, options.own_pids or frozenset((machine.pid(),)), earlier)
        passed = machine.monotonic() - started
        samples.append(sample._replace(up_s=up_s + passed))
        if passed >= options.memory_window_s:
            break
        machine.sleep(min((turn + 1) * every_s, options.memory_window_s) - passed)
    return samples


def _window(samples: t.Sequence[Sample], asked_s: float) -> _Source:
    if not samples:
        return _Source(_row("window", "absent", "not asked for" if not asked_s else "no sample was taken"), [])
    ages = [samples[-1].up_s - sample.up_s for sample in samples]
    return _Source(_row("window", "ok", None, ages), [[_seen(age_s, sample)] for age_s, sample in zip(ages, samples)])


def _seen(age_s: float, sample: Sample) -> _Seen:
    return _Seen(age_s, sample, {row.id: row for row in sample.rows})


# what the recorder kept


def _recorder(machine: Machine, now: _Now, back_s: float) -> _Source:
    """Read what the recorder kept; what is told less than once a point is not parsed."""
    parts: dict[str, list[tuple[float, str]]] = {COARSE: [], FINE: []}
    unread = understood = 0
    refused: str | None = None
    for path in (COARSE, FINE):
        for name in (path + OLDER, path):
            try:
                text = decode(machine.read(name, PART_BYTES + LINE_BYTES))
            except FileNotFoundError:
                continue
            except OSError as problem:
                refused = "%s: %s" % (name, problem.strerror)
                continue
            found, strange = _aged(text, now, back_s)
            parts[path] += found
            understood, unread = understood + len(found), unread + strange
    # where there are samples themselves, no means of them are needed
    oldest_s = max((age_s for age_s, dummy in parts[FINE]), default=-1.0)
    lines = sorted([row for row in parts[COARSE] if row[0] > oldest_s] + parts[FINE], key=lambda row: -row[0])
    groups = _picked(lines)
    if not groups:
        return _Source(_nothing(machine, refused), [])
    ages = [row[0] for row in lines]
    row = _row("recorder", "ok", None, ages)
    late_s = max((row["every_s"] or 0.0) * _LATE, 120.0)
    reasons = [refused] if refused else []
    if ages[-1] > late_s:
        reasons.append("its last sample is %d s old: systemctl status oncall-pressure-recorder.timer" % ages[-1])
    if unread > 0.05 * (understood + unread):
        reasons.append("%d of %d lines are none of its own" % (unread, understood + unread))
    if reasons:
        row.update(status="partial", reason=clean("; ".join(reasons), 400))
    return _Source(row, groups)


def _nothing(machine: Machine, refused: str | None) -> dict[str, t.Any]:
    """The row of a recorder that told nothing."""
    if refused is not None:
        return _row("recorder", "denied" if "ermission" in refused else "error", clean(refused, 300))
    if not machine.exists(TIMER):
        return _row("recorder", "absent", "no recorder is installed")
    if machine.euid() != 0:
        return _row("recorder", "denied", "what the recorder kept is read as root (become)")
    return _row("recorder", "error", "a recorder is installed and has kept nothing: systemctl status oncall-pressure-recorder.service")


def _aged(text: str, now: _Now, back_s: float) -> tuple[list[tuple[float, str]], int]:
    """The lines of a part that are not older than ``back_s``, with their age; how many lines are no samples or of no known age."""
    found: list[tuple[float, str]] = []
    strange = 0
    for line in text.split("\n"):
        if not line:
            continue
        stamp = _memory_history.stamp(line) if len(line) <= LINE_BYTES else None
        age_s = _memory_history.age_s(stamp, now.at_s, now.up_s, now.boot) if stamp is not None else None
        if age_s is None:
            strange += 1
        elif age_s <= back_s:
            found.append((age_s, line))
    return found, strange


def _picked(lines: t.Sequence[tuple[float, str]]) -> Groups:
    """Samples of at most POINTS times, as few of each as will do."""
    groups: Groups = []
    for group in _memory_history.spread(lines, POINTS):
        step = max(len(group) // _PER_POINT, 1)
        chosen = group[::-1][::step][:_PER_POINT]
        parsed = [(age_s, _memory_history.sample(line, line is chosen[0][1])) for age_s, line in chosen]
        whole = [_seen(age_s, sample) for age_s, sample in parsed[::-1] if sample is not None]
        if whole:
            groups.append(whole)
    return groups


# what is told of both


def _host(groups: Groups) -> list[dict[str, t.Any]]:
    rows = []
    for group in groups:
        age_s, sample, dummy = group[-1]
        if sample.used is not None and sample.available is not None:
            rows.append({"age_s": round(age_s, 1), "used_bytes": sample.used, "available_bytes": sample.available, "swap_used_bytes": sample.swap})
    return rows


def _services(machine: Machine, now: _Now, source: _Source, kind: str) -> list[dict[str, t.Any]]:
    """Those that the last sample saw, over time."""
    if not source.groups:
        return []
    last = source.groups[-1][-1].sample
    ticks = now.up_s * machine.ticks_per_s if last.boot == now.boot else None
    services = []
    for row in last.rows:
        points = [point for point in (_point(group, row.id) for group in source.groups) if point is not None]
        if row.workers is None:
            points = points[::-1][:: -(-len(points) // _PLAIN_POINTS)][::-1]
        every_s = _memory_history.spacing_s([point["age_s"] for point in points])
        workers = [_worker(machine, source.groups, row.id, pid, start, ticks) for pid, start, dummy in row.pids] if ticks is not None else []
        services.append({
            "id": clean(row.id, 200), "source": kind, "every_s": every_s, "points": points, "workers": [worker for worker in workers if worker is not None],
        })
    return services


def _point(group: t.Sequence[_Seen], name: str) -> dict[str, t.Any] | None:
    """A service in one group: sizes of the last sample, rates of all."""
    found = [one for one in group if name in one.rows]
    if not found:
        return None
    row = found[-1].rows[name]
    return {
        "age_s": round(found[-1].age_s, 1), "bytes": row.bytes, "workers": row.workers, "worker_bytes": row.worker_bytes, "largest_bytes": row.largest_bytes,
        "median_bytes": row.median_bytes, "cpu_used": _memory_history.mean_of([one.rows[name].cpu for one in found]),
        "requests_per_s": _memory_history.mean_of([one.sample.requests_per_s for one in found]), "tasks_per_s": None,
    }


def _worker(machine: Machine, groups: Groups, name: str, pid: int, start: int, ticks: float | None) -> dict[str, t.Any] | None:
    """A worker that lives now, over time; null where it is gone or another process has its number."""
    try:
        seen = machine.process(pid)
    except OSError:
        return None
    if seen is None or seen.start_ticks != start or ticks is None:
        return None
    points = []
    for group in groups:
        sizes = [(one.age_s, size) for one in group if name in one.rows for number, began, size in one.rows[name].pids if (number, began) == (pid, start)]
        if sizes:
            points.append([round(sizes[-1][0], 1), sizes[-1][1]])
    points = points[::-1][:: max(-(-len(points) // _WORKER_POINTS), 1)][::-1]
    return {"pid": pid, "started_age_s": round(max(ticks - start, 0.0) / machine.ticks_per_s, 1), "points": points}


# sysstat


def _sysstat_of(machine: Machine, now: _Now, back_s: float) -> tuple[dict[str, t.Any], list[dict[str, t.Any]]]:
    """The row of sysstat, and the host's memory as it recorded it."""
    files, problems = _sa_files(machine, now)
    if not files:
        return _row("sysstat", "denied" if problems else "absent", problems[0] if problems else "sysstat keeps nothing here"), []
    if own_root(machine).kind != "machine":
        return _row("sysstat", "absent", "what sysstat keeps is of the machine under this container"), []
    total = _proc.named_kib(machine.text("/proc/meminfo")).get("MemTotal")
    records: list[_sysstat.Record] = []
    for path in files:
        try:
            outcome = machine.run(["sadf", "-j", path, "--", "-r", "-S"], _SADF_S, _SADF_BYTES, {"LC_ALL": "C", "LANG": "C"})
            if outcome.timed_out:
                problems.append("sadf did not answer within %d s" % _SADF_S)
                break
            if outcome.status != 0:
                problems.append(clean(decode(outcome.err).strip().split("\n")[0], 200) or "sadf ended with status %s" % outcome.status)
                continue
            records += _sysstat.memory(decode(outcome.out))
        except FileNotFoundError:
            problems.append("there is no sadf to read what sysstat keeps")
            break
        except ValueError:
            problems.append("%s: what sadf says of it was not understood" % path)
    told = sorted(((now.at_s - one.at_s, one) for one in records if -60.0 <= now.at_s - one.at_s <= back_s), key=lambda row: -row[0])
    rows = [
        {"age_s": round(max(age_s, 0.0), 1), "used_bytes": max(total - one.available, 0), "available_bytes": one.available, "swap_used_bytes": one.swap}
        for age_s, one in (group[-1] for group in _memory_history.spread(told, POINTS)) if total is not None and one.available is not None
    ]
    ages = [age_s for age_s, dummy in told]
    failed = "denied" if any("ermission denied" in problem for problem in problems) else "error"
    status = "ok" if not problems else "partial" if told else failed
    if not told and not problems:
        return _row("sysstat", "absent", "sysstat has kept nothing lately"), []
    return _row("sysstat", status, clean("; ".join(problems), 400) or None, ages), rows


def _sa_files(machine: Machine, now: _Now) -> tuple[list[str], list[str]]:
    """The daily files of today and yesterday, the older one first, and what speaks against others.

    A program in C reads them as root: they must be root's alone.
    """
    found: list[tuple[float, str]] = []
    problems: list[str] = []
    for folder in SYSSTAT:
        try:
            names = [name for name in machine.names(folder) if _SA_FILE.match(name)]
            if names and _by_others(machine, folder, stat.S_ISDIR):
                problems.append("%s may be written by others than root" % folder)
                continue
            for name in names[:400]:
                path = "%s/%s" % (folder, name)
                changed = machine.lstat(path).st_mtime
                if now.at_s - changed > _DAYS_S:
                    continue
                if _by_others(machine, path, stat.S_ISREG):
                    problems.append("%s may be written by others than root" % path)
                else:
                    found.append((changed, path))
        except PermissionError as problem:
            problems.append("%s: %s" % (folder, problem.strerror))
        except OSError:
            continue
    return [path for dummy, path in sorted(found)[-2:]], problems


def _by_others(machine: Machine, path: str, kind: t.Callable[[int], bool]) -> bool:
    facts = machine.lstat(path)
    return not kind(facts.st_mode) or facts.st_uid not in (0, machine.euid()) or bool(facts.st_mode & (stat.S_IWGRP | stat.S_IWOTH))
