# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""nginx: the traffic of a time window, from the logs and formats that the running nginx is configured with.

Private to oncall.pressure: no stable interface. No program is run: the configuration is read as nginx reads it.
"""

from __future__ import annotations

import gc
import posixpath
import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._components import _nginx_files, _nginx_settings
from ansible_collections.oncall.pressure.plugins.module_utils._components._mounts import MayHang
from ansible_collections.oncall.pressure.plugins.module_utils._components._nginx_files import LogPlace, Master, View
from ansible_collections.oncall.pressure.plugins.module_utils._host._collect import Options, Reading, absent, denied, error, ok, partial
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine
from ansible_collections.oncall.pressure.plugins.module_utils._host._text import clean
from ansible_collections.oncall.pressure.plugins.module_utils._parse import _access_log, _addresses, _log_format, _nginx_config
from ansible_collections.oncall.pressure.plugins.module_utils._parse._traffic import Tally

#: What reading logs may cost.
BYTES_LIMIT = 67108864
SECONDS_LIMIT = 3.0

#: Where the window holds more than the first, details are taken from a share of it that is about the second.
DETAIL_WHOLE_BYTES = 4194304
DETAIL_BYTES = 2097152

#: The time before the window that its rate is held against.
BEFORE_S = 3600.0

#: A shorter time before the window tells nothing about what is usual.
_BEFORE_LEAST_S = 60.0

_LOGS_LIMIT = 64
_ERROR_LOGS = 16

#: Levels at which nothing is written of upstreams that fail, and of requests that are limited.
_SILENT = ("crit", "alert", "emerg")

#: An address that speaks for so many others is a proxy. A client can make itself look like one by sending many forged
#: X-Forwarded-For: it is then shown as a proxy, not blamed. To take a balancer for a client, and to limit it, is worse.
_PROXY_FORWARDS = 10

#: More lines than this share that no pattern reads make a log partial.
_UNPARSED_SHARE = 0.05


class Source(t.NamedTuple):
    """A log to read: who writes it, its parts (newest first), its format, and what is to be said about it."""

    view: View
    place: LogPlace
    form: _log_format.LogFormat
    notes: tuple[str, ...]


class _Found(t.NamedTuple):
    """What the configurations of all masters come to. rows: logs that cannot be read, as they stand in the document; errors: the same of error logs."""

    sources: list[Source]
    rows: list[dict[str, t.Any]]
    proxies: list[str]
    configs: list[str]
    problems: list[str]
    errors: list[dict[str, t.Any]]
    settings: list[_nginx_config.Settings]


class _Coverage(t.NamedTuple):
    """What was read of one log: seconds of the window, whether that is less than could be, requests and seconds before it."""

    seconds: float
    cut: bool
    before_requests: int | None
    before_s: float | None


def collect(machine: Machine, options: Options) -> Reading:
    """``nginx`` of the snapshot; absent where no nginx runs."""
    return measure(machine, options, BYTES_LIMIT, SECONDS_LIMIT)


def measure(machine: Machine, options: Options, bytes_limit: int, seconds_limit: float) -> Reading:
    """Like :func:`collect`, within the bounds given."""
    running = _nginx_files.masters(machine, options.daemons)
    if not running:
        return absent("no nginx runs here")
    found = _Found([], [], [], [], [], [], [])
    for master in running:
        _configured(machine, master, found)
    now = machine.now()
    window = _access_log.Window(now - options.traffic_window_s - BEFORE_S, now - options.traffic_window_s, now)
    # the boot clock: the wall clock may be set while we read, and a recording's stands still
    deadline = machine.uptime_s() + seconds_limit
    budget = _access_log.Budget(bytes_limit, lambda: machine.uptime_s() > deadline)
    # what is built here is freed by counting references; looking for cycles among it costs a tenth of the time
    collecting = gc.isenabled()
    gc.disable()
    try:
        tally, coverages = _read(machine, found, window, budget)
    finally:
        if collecting:
            gc.enable()
    own = _own_addresses(machine, running)
    data = _document(running, found, options, tally, coverages)
    for row in data["clients"]:
        row["kind"] = _kind(row["address"], tally, own, _addresses.networks(found.proxies))
        row["address"] = clean(row["address"], 64)
    return _reading(data, found)


def read_into(machine: Machine, master: Master, tally: Tally, window_s: float, bytes_limit: int, seconds_limit: float) -> tuple[float | None, list[str]]:
    """Add the last ``window_s`` seconds of one master's logs to a tally of the caller's.

    Gives how many of these seconds were read (null: no log told any), and what was not read as it should be, one line each.
    """
    found = _Found([], [], [], [], [], [], [])
    _configured(machine, master, found)
    now = machine.now()
    deadline = machine.uptime_s() + seconds_limit
    budget = _access_log.Budget(bytes_limit, lambda: machine.uptime_s() > deadline)
    window = _access_log.Window(now - window_s, now - window_s, now)
    read = [_read_source(machine, source, window, budget, tally, found.rows) for source in found.sources]
    coverages = [coverage for coverage in read if coverage is not None]
    problems = found.problems + ["%s: %s" % (row["path"], row["reason"]) for row in found.rows if row["status"] != "ok" and row["path"] != "off"]
    if not coverages:
        return None, problems
    cut = [coverage.seconds for coverage in coverages if coverage.cut]
    return min(min(cut) if cut else max(coverage.seconds for coverage in coverages), window_s), problems


# finding the logs


def _configured(machine: Machine, master: Master, found: _Found) -> None:
    """Add the logs of one master."""
    view = View(machine, master)
    who = "nginx with pid %d" % master.pid
    try:
        path = view.config()
        if path is None:
            found.problems.append("%s: its configuration file was not found" % who)
            return
        text = view.text(path)
    except OSError as problem:
        found.problems.append("%s: its configuration cannot be read: %s: %s" % (who, problem.strerror, problem.filename))
        return
    found.configs.append(path)
    unread: list[str] = []
    parsed = _nginx_config.parse(path, text, _includes(view, posixpath.dirname(path), unread))
    found.problems.extend(clean(problem) for problem in parsed.problems + unread[:5])
    settings = _nginx_config.settings(parsed.directives)
    found.settings.append(settings)
    found.proxies.extend(settings.proxies)
    for name in settings.off[:8]:
        found.rows.append(_row("off", None, "absent", "server %s logs nothing" % name))
    for written, level in settings.errors[:_ERROR_LOGS]:
        row = _error_log(view, written, level)
        if row not in found.errors:
            found.errors.append(row)
    logs = list(settings.logs)
    if settings.default_log:
        logs.append(_nginx_config.Log("", "combined", False, ""))
    for log in logs[:_LOGS_LIMIT]:
        _add_log(view, log, settings.formats, found)
    if len(logs) > _LOGS_LIMIT:
        found.problems.append("%s: only %d of %d logs were read" % (who, _LOGS_LIMIT, len(logs)))


def _includes(view: View, base: str, unread: list[str]) -> _nginx_config.Include:
    """Read what an include names. What may not be read is left out and added to ``unread``."""

    def include(pattern: str) -> t.Iterator[tuple[str, str]]:
        pattern = pattern if pattern.startswith("/") else base + "/" + pattern
        paths = view.glob(pattern)
        if not paths and not any(character in pattern for character in "*?["):
            unread.append("%s: not there or not readable" % pattern)
        for path in paths:
            try:
                yield path, view.text(path)
            except OSError as problem:
                unread.append("%s: %s" % (path, problem.strerror))

    return include


def _error_log(view: View, written: str, level: str) -> dict[str, t.Any]:
    """Where errors go, and what of them cannot be seen there. The lines themselves are told under ``logs``, as those of any service."""
    row: dict[str, t.Any] = {"path": clean(written or "error.log"), "level": level, "status": "ok", "reason": None}
    place = "the journal, or the log of its container" if written in ("stderr", "/dev/stderr", "/dev/stdout") else "a syslog daemon"
    if written.startswith(("syslog:", "memory:")) or written in ("stderr", "/dev/stderr", "/dev/stdout", "/dev/null"):
        where = "into memory" if written.startswith("memory:") else "nowhere" if written == "/dev/null" else "to " + place
        return dict(row, status="absent", reason="it goes %s and not to a file" % where)
    path = view.log_path(written, "error.log")
    try:
        if path is None:
            raise FileNotFoundError(2, "not found", written)
        row["path"] = clean(path)
        if view.log(path).real.startswith(("/dev/", "/proc/")):
            return dict(row, status="absent", reason="it goes to the journal, or the log of its container, and not to a file")
    except OSError as problem:
        return dict(row, status="denied" if isinstance(problem, PermissionError) else "absent", reason=problem.strerror or "cannot be read")
    if level in _SILENT:
        return dict(row, status="partial", reason="its level is %s: upstreams that fail and requests that are limited are not written down" % level)
    return row


def _add_log(view: View, log: _nginx_config.Log, formats: t.Mapping[str, tuple[str, str]], found: _Found) -> None:
    """Add one log in force, or the row that says why it is not read."""
    if log.path.startswith("syslog:") or log.path in ("stderr", "/dev/stdout", "/dev/stderr", "/dev/null") or log.path.startswith(("/proc/", "/dev/")):
        found.rows.append(_row(log.path, log.format, "absent", "it goes there and not to a file"))
        return
    if log.compressed:
        found.rows.append(_row(log.path, log.format, "absent", "it is written compressed and cannot be searched"))
        return
    escape, text = formats.get(log.format, ("default", _log_format.COMBINED if log.format == "combined" else ""))
    if not text:
        found.rows.append(_row(log.path, log.format, "error", "its format is not defined"))
        return
    notes = ["only requests that meet %s are logged" % log.condition] if log.condition else []
    paths = [view.log_path(log.path)]
    if "$" in log.path:
        notes.append("its name depends on the request; files that match were read")
        pattern = _nginx_config.VARIABLE.sub("*", paths[0] or "")
        paths = list(view.glob(pattern)[:_LOGS_LIMIT]) if pattern else []
    form = _log_format.compile_format(log.format, text, escape)
    for path in paths or [None]:
        try:
            if path is None:
                raise FileNotFoundError(2, "not found", log.path)
            place = view.log(path)
        except OSError as problem:
            status = "denied" if isinstance(problem, PermissionError) else ("error" if isinstance(problem, MayHang) else "absent")
            found.rows.append(_row(path or log.path or "access.log", log.format, status, problem.strerror or "cannot be read"))
            continue
        if place.real.startswith(("/dev/", "/proc/self/")):
            found.rows.append(_row(path, log.format, "absent", "it goes there and not to a file"))
        elif all(source.place.identity != place.identity for source in found.sources):
            found.sources.append(Source(view, place, form, tuple(notes)))


# reading them


def _read(machine: Machine, found: _Found, window: _access_log.Window, budget: _access_log.Budget) -> tuple[Tally, list[_Coverage]]:
    """Tally the window of every log; their rows go to ``found``. The log that changed last is read first."""
    sources = sorted(found.sources, key=lambda source: -source.place.changed)
    size = 0
    for source in sources:
        size += _size(machine, source, window)
    size = min(size, budget.left)
    tally = Tally(1 if size <= DETAIL_WHOLE_BYTES else -(-size // DETAIL_BYTES))
    coverages = []
    for source in sources:
        coverage = _read_source(machine, source, window, budget, tally, found.rows)
        if coverage is not None:
            coverages.append(coverage)
    return tally, coverages


def _size(machine: Machine, source: Source, window: _access_log.Window) -> int:
    try:
        with machine.open(source.place.real) as stream:
            return _access_log.window_bytes(_log_file(stream, source.place.size), source.form, window)
    except OSError:
        return 0


def _log_file(stream: t.BinaryIO, size: int) -> _access_log.LogFile:
    def read(offset: int, length: int) -> bytes:
        stream.seek(offset)
        return stream.read(length)

    return _access_log.LogFile(read, size)


def _read_source(
    machine: Machine, source: Source, window: _access_log.Window, budget: _access_log.Budget, tally: Tally, rows: list[dict[str, t.Any]]
) -> _Coverage | None:
    """Read one log and, where it does not reach back far enough, what it was rotated to. Adds its row; null where it could not be read."""
    place, form = source.place, source.form
    if not form.one_line or "time" in form.missing:
        rows.append(_row(place.path, form.name, "partial", "its format has %s" % ("no time" if form.one_line else "several lines")))
        return None
    reasons = list(source.notes)
    reasons += ["its format has no %s" % field for field in form.missing]
    try:
        with machine.open(place.real) as stream:
            results = [_access_log.read_window(_log_file(stream, place.size), form, window, tally, budget)]
        covered_from = results[0].covered_from
        cut = covered_from > window.start
        first = results[0].first
        if not cut and (first is None or first > window.before):
            older, note = _read_rotated(machine, source, window, budget, tally, first)
            results += older
            reasons += [note] if note else []
            if older:
                covered_from = max(covered_from, older[0].covered_from)
            elif first is not None and first > window.start and (note or not source.view.rotated(place.path)[1]):
                # a new log, or one whose beginning cannot be read: the window begins with it
                covered_from = first
            cut = bool(note) or covered_from > window.start and bool(older)
    except OSError as problem:
        rows.append(_row(place.path, form.name, "denied" if isinstance(problem, PermissionError) else "error", problem.strerror or "cannot be read"))
        return None
    row = _row(place.path, form.name, "ok", None)
    row.update({
        "lines": sum(result.lines for result in results), "unparsed": sum(result.unparsed for result in results),
        "bytes_read": sum(result.bytes_read for result in results),
    })
    reasons += [reason for result in results for reason in result.reasons]
    if row["unparsed"] > _UNPARSED_SHARE * row["lines"]:
        reasons.append("%d of %d lines do not match its format" % (row["unparsed"], row["lines"]))
    if reasons:
        row["status"], row["reason"] = "partial", clean("; ".join(reasons))
    else:
        row["reason"] = _estimates(tally, any(result.before_estimated for result in results))
    rows.append(row)
    counted = [result for result in results if result.before_requests is not None]
    return _Coverage(
        max(window.end - covered_from, 1.0), cut, sum(result.before_requests or 0 for result in counted) if counted else None,
        max([result.before_s or 0.0 for result in counted], default=None),
    )


def _estimates(tally: Tally, before: bool) -> str | None:
    """What is said of a log that was read as it should be, but is too big for everything to be counted."""
    estimates = ["statuses, bytes, pairs and times are estimated from every %d. block" % tally.detail_every] if tally.detail_every > 1 else []
    estimates += ["the time before the window from samples"] if before else []
    return ", ".join(estimates) or None


def _read_rotated(
    machine: Machine, source: Source, window: _access_log.Window, budget: _access_log.Budget, tally: Tally, first: float | None
) -> tuple[list[_access_log.Result], str | None]:
    """Read what a log was rotated to, as far as the window and the time before it need it; what is missing of the window is said."""
    plain, compressed = source.view.rotated(source.place.path)
    results: list[_access_log.Result] = []
    for place in plain[:4]:
        if place.changed < window.before or place.identity == source.place.identity:
            break
        with machine.open(place.real) as stream:
            results.append(_access_log.read_window(_log_file(stream, place.size), source.form, window, tally, budget))
        reached = results[-1].first
        if results[-1].covered_from > window.start or reached is not None and reached <= window.before:
            return results, None
        first = reached if reached is not None else first
    if compressed and compressed[0].changed >= window.start and (first is None or first > window.start):
        return results, "an older part of the window was compressed and not read"
    return results, None


# the document


def _row(path: str, form: str | None, status: str, reason: str | None) -> dict[str, t.Any]:
    return {
        "path": clean(path), "format": clean(form, 64) if form else None, "status": status, "reason": clean(reason) if reason else None,
        "lines": 0, "unparsed": 0, "bytes_read": 0,
    }


def _document(running: t.Sequence[Master], found: _Found, options: Options, tally: Tally, coverages: t.Sequence[_Coverage]) -> dict[str, t.Any]:
    """The document, but for the kinds of clients. What no log told is null."""
    data: dict[str, t.Any] = {
        "main_pid": running[0].pid, "config": clean(found.configs[0]) if found.configs else None, "workers": sum(master.workers for master in running),
        "window_s": options.traffic_window_s, "covered_s": None, "requests": None, "per_s": None, "before": None, "ratio": None,
        "clients": [], "paths": [], "pairs": [], "status": {}, "bytes": None, "slow": None, "distinct_clients": None, "error_bound": None, "logs": found.rows,
        "error_logs": found.errors,
        "settings": _nginx_settings.told(found.settings),
    }
    if not coverages:
        return data
    cut = [coverage.seconds for coverage in coverages if coverage.cut]
    covered = min(min(cut) if cut else max(coverage.seconds for coverage in coverages), options.traffic_window_s)
    data.update({
        "covered_s": round(covered, 3), "requests": tally.requests, "per_s": round(tally.requests / covered, 3), "before": _before(coverages),
        "clients": tally.top_clients(options.top, covered), "paths": tally.top_paths(options.top), "pairs": tally.top_pairs(5),
        "status": tally.status(), "bytes": tally.bytes, "slow": tally.slow(), "distinct_clients": tally.clients.distinct,
        "error_bound": tally.error_bound(),
    })
    if data["before"] and data["before"]["per_s"]:
        data["ratio"] = round(data["per_s"] / data["before"]["per_s"], 3)
    for row in data["paths"] + data["pairs"] + [path for client in data["clients"] for path in client["paths"]]:
        row["path"] = clean(row["path"], 200)
    for row in data["pairs"]:
        row["address"] = clean(row["address"], 64)
    return data


def _before(coverages: t.Sequence[_Coverage]) -> dict[str, t.Any] | None:
    counted = [coverage for coverage in coverages if coverage.before_requests is not None]
    seconds = max([coverage.before_s or 0.0 for coverage in counted], default=0.0)
    if seconds < _BEFORE_LEAST_S:
        return None
    requests = sum(coverage.before_requests or 0 for coverage in counted)
    return {"requests": requests, "per_s": round(requests / seconds, 3), "covered_s": round(seconds, 3)}


def _kind(address: bytes, tally: Tally, own: t.Collection[str], proxies: t.Sequence[_addresses.Network]) -> str:
    kind = _addresses.kind(address.decode("ascii", "replace"), own, proxies)
    return "proxy" if tally.forwards_for(address) >= _PROXY_FORWARDS else kind


def _own_addresses(machine: Machine, running: t.Sequence[Master]) -> set[str]:
    """Addresses of this host, and of the containers that nginx runs in."""
    own: set[str] = set()
    for folder in ["/proc/net"] + ["/proc/%d/net" % master.pid for master in running if master.root]:
        own |= _addresses.local_v4(machine.text_or_none(folder + "/fib_trie") or "")
        own |= _addresses.local_v6(machine.text_or_none(folder + "/if_inet6") or "")
    return own


def _reading(data: dict[str, t.Any], found: _Found) -> Reading:
    """ok where every log was read as it should be; what is missing is said, the worst first."""
    rows = found.rows
    reasons = list(found.problems)
    # a server that is told not to log is as it should be
    reasons += ["%s: %s" % (row["path"], row["reason"]) for row in rows if row["status"] != "ok" and row["path"] != "off"]
    reason = clean("; ".join(reasons[:5]) + ("; and %d more" % (len(reasons) - 5) if len(reasons) > 5 else ""), 600)
    if data["requests"] is None and rows and any(row["status"] == "denied" for row in rows):
        return denied(reason)._replace(data=data)
    if data["requests"] is None and not found.configs:
        return (denied if "ermission" in reason else error)(reason)._replace(data=data)
    if data["requests"] is None:
        return partial(data, reason or "nothing is logged")
    return partial(data, reason) if reasons else ok(data)
