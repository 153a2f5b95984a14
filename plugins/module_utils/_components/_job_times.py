# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How long jobs usually take, from what cron and systemd wrote down of their runs: the journal, else the files of a syslog daemon.

Private to oncall.pressure: no stable interface. Read-only.
"""

from __future__ import annotations

import time
import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._components._crontabs import Entry
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine
from ansible_collections.oncall.pressure.plugins.module_utils._host._text import decode
from ansible_collections.oncall.pressure.plugins.module_utils._parse import _cron_command, _cron_log, _journal_export, _unit_file

#: How far back is looked, and what of it is read: the newest entries of the journal, or the ends of files.
_BACK_S = 7 * 86400
_ENTRIES = 3000
_BYTES = 4194304
SECONDS = 2.0
_FILE_BYTES = 524288

#: Where syslog daemons put what cron says, and what PAM says of its sessions: of Red Hat, of Debian.
_FILES: t.Final = ("/var/log/cron", "/var/log/cron.log", "/var/log/syslog", "/var/log/auth.log")

_FIELDS = "MESSAGE,MESSAGE_ID,UNIT,SYSLOG_PID,_PID,_AUDIT_SESSION"
# what a process of another user says under cron's name is not believed
_OF_CRON: t.Final = ("_UID=0", "SYSLOG_IDENTIFIER=CRON", "SYSLOG_IDENTIFIER=CROND", "SYSLOG_IDENTIFIER=crond")


class Times(t.NamedTuple):
    """Seconds of the runs that were seen: by the id of an entry, and by unit."""

    entries: dict[str, list[float]]
    units: dict[str, list[float]]


def look(machine: Machine, entries: t.Sequence[Entry], units: t.Sequence[str]) -> Times:
    """What is told of these jobs; what nothing tells is not in it."""
    if not entries and not units:
        return Times({}, {})
    lines, of_units = _journal(machine, units) if machine.exists("/run/systemd/journal") else ([], {})
    if not lines and entries:
        lines = _files(machine)
    missing = [unit for unit in units if unit not in of_units]
    if missing:
        of_units.update(_last_runs(machine, missing))
    return Times(_by_entry(entries, _cron_log.runs(lines)), of_units)


def figures(seconds: t.Sequence[float] | None) -> dict[str, t.Any]:
    """``usual_s`` (the median), ``longest_s`` and ``runs_seen`` of a job; null where no run was seen from its beginning to its end."""
    if not seconds:
        return {"usual_s": None, "longest_s": None, "runs_seen": None}
    ordered = sorted(seconds)
    middle = len(ordered) // 2
    median = ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
    return {"usual_s": round(median, 1), "longest_s": round(ordered[-1], 1), "runs_seen": len(ordered)}


def _by_entry(entries: t.Sequence[Entry], ran: t.Sequence[_cron_log.Ran]) -> dict[str, list[float]]:
    seen: dict[tuple[str, str], list[float]] = {}
    for run in ran:
        seen.setdefault((run.user, run.command), []).append(run.seconds)
    found = {entry.id: seen.get((entry.user or "", _cron_command.script(entry.line.command))) for entry in entries}
    return {identity: seconds for identity, seconds in found.items() if seconds}


def question(now: float, units: t.Sequence[str]) -> list[str]:
    """The one question to the journal, after how it is to answer: what cron says, and beginnings and ends of units."""
    words = ["--output-fields=" + _FIELDS, "--since=@%d" % (now - _BACK_S), *_OF_CRON]
    if units:
        words += ["+", "_PID=1", *("UNIT=" + unit for unit in units), *("MESSAGE_ID=" + number for number in (_cron_log.STARTING, *_cron_log.ENDED))]
    return words


def _journal(machine: Machine, units: t.Sequence[str]) -> tuple[list[_cron_log.Line], dict[str, list[float]]]:
    """What it says; what it said until it was stopped counts."""
    words = ["journalctl", "--no-pager", "-o", "export", "-r", "-n", str(_ENTRIES)]
    try:
        out = machine.run(words + question(machine.now(), units), SECONDS, _BYTES).out
    except OSError:
        return [], {}
    lines: list[_cron_log.Line] = []
    events: list[tuple[float, str, str]] = []
    entries = list(_journal_export.entries(out))
    for entry in reversed(entries):
        stamp = entry.get(b"__REALTIME_TIMESTAMP", b"")
        at = int(stamp[:18]) / 1e6 if stamp.isdigit() else None
        pid = entry.get(b"SYSLOG_PID") or entry.get(b"_PID", b"")
        if at is None:
            continue
        if b"MESSAGE_ID" in entry and b"UNIT" in entry:
            events.append((at, decode(entry[b"UNIT"][:256]), decode(entry[b"MESSAGE_ID"][:64])))
        elif pid.isdigit():
            session = decode(entry.get(b"_AUDIT_SESSION", b"")[:20])
            lines.append(_cron_log.Line(at, int(pid[:10]), decode(entry.get(b"MESSAGE", b"")[:4096]), session))
    return lines, _cron_log.unit_runs(events)


def _files(machine: Machine) -> list[_cron_log.Line]:
    """What the files of a syslog daemon say, in order of time."""
    # few hosts have no journal: the others need not compile this
    from ansible_collections.oncall.pressure.plugins.module_utils._host._tail import open_tail
    from ansible_collections.oncall.pressure.plugins.module_utils._parse import _log_time

    now = machine.now()
    offset_s = float(time.localtime(now).tm_gmtoff or 0)
    found: list[_cron_log.Line] = []
    for path in _FILES:
        try:
            tail = open_tail(machine, path)
        except OSError:
            continue
        try:
            if tail.changed >= now - _BACK_S:
                text = decode(tail.read(max(tail.size - _FILE_BYTES, 0), _FILE_BYTES))
                found += _cron_log.lines_of(text, lambda line: _log_time.moment(line, now, offset_s))
        except OSError:
            continue
        finally:
            tail.close()
    # two files tell of one second: a session begins before what is run in it, and ends after it
    return sorted(found, key=lambda line: (line.at, _cron_log.rank(line.text)))


def _last_runs(machine: Machine, units: t.Sequence[str]) -> dict[str, list[float]]:
    """The last run of each unit that is over, by systemd itself."""
    words = ["systemctl", "show", "--no-pager", "--property=Id,InactiveExitTimestampMonotonic,InactiveEnterTimestampMonotonic", "--"]
    try:
        out = machine.run(words + list(units), SECONDS, 262144).out
    except OSError:
        return {}
    found = {}
    for shown in _unit_file.shown(decode(out)):
        begun, ended = (_unit_file.number(shown.get("Inactive%sTimestampMonotonic" % name, "")) for name in ("Exit", "Enter"))
        if begun and ended and ended >= begun and shown.get("Id"):
            found[shown["Id"]] = [(ended - begun) / 1e6]
    return found
