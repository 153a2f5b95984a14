# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What can be known before a restart, at no cost to the service: would its unit start, is its configuration valid, does its application load.

Private to oncall.pressure: no stable interface. Changes nothing. It never travels in the undo program.
"""

from __future__ import annotations

import re
import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._components import _nginx_files
from ansible_collections.oncall.pressure.plugins.module_utils._controls import _celery_remote, _processes
from ansible_collections.oncall.pressure.plugins.module_utils._host._files import Files
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import As, Machine, Outcome
from ansible_collections.oncall.pressure.plugins.module_utils._host._text import clean, decode

PASSED, FAILED, NOT_CHECKED = "passed", "failed", "not checked"

_VERIFY_S = 15.0
_CONFIG_S = 15.0
_LOAD_S = 60.0
_SPARE_BYTES = 64 * 1024 * 1024
_LEAST_SPACE_BYTES = 512 * 1024 * 1024
#: what systemd-analyze says of a unit that would not start; everything else it says systemd ignores, as it did at the last start
_STOPS_A_START = re.compile(r"is not executable|Refusing|bad unit file setting|Failed to (?:load|create)|lacks", re.IGNORECASE)
#: what a manager gives the one process that it starts
_MANAGERS = re.compile(r"(?:NOTIFY_SOCKET|LISTEN_.*|WATCHDOG_.*|INVOCATION_ID|JOURNAL_STREAM|MAINPID|SUPERVISOR_.*|GUNICORN_(?:PID|FD))\Z")


class Check(t.NamedTuple):
    """What was looked at, whether it passed, and what there is to say."""

    what: str
    result: str
    says: str

    def row(self) -> dict[str, str]:
        """For a person."""
        return {"what": self.what, "result": self.result, "says": self.says}


def unit_files(machine: Machine, unit: str) -> Check:
    """``systemd-analyze verify``: only what it says of this unit and would keep it from starting counts."""
    what = "systemd-analyze verify"
    try:
        outcome = machine.run(["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", unit], _VERIFY_S)
        if b"unrecognized option" in outcome.err:
            # before release 250 it speaks of every unit that this one pulls in
            outcome = machine.run(["systemd-analyze", "verify", "--man=no", unit], _VERIFY_S)
    except FileNotFoundError:
        return Check(what, NOT_CHECKED, "there is no systemd-analyze on this host")
    if outcome.timed_out:
        return Check(what, NOT_CHECKED, "it did not end within %d s" % _VERIFY_S)
    return judged(what, unit, decode(outcome.err + outcome.out))


def judged(what: str, unit: str, text: str) -> Check:
    """Judge what systemd-analyze said: other units' troubles are theirs, and what systemd ignores it ignored before."""
    mine = [line.strip() for line in text.split("\n") if _is_of(line, unit)]
    stops = [line for line in mine if _STOPS_A_START.search(line)]
    if stops:
        return Check(what, FAILED, clean("; ".join(stops), 400))
    return Check(what, PASSED, clean("it says: " + "; ".join(mine[:3]), 400) if mine else "")


def _is_of(line: str, unit: str) -> bool:
    """Whether a line speaks of the unit: by its name, its file or a drop-in of it (or of its template)."""
    template = re.sub(r"@[^.]*(?=\.[a-z]+\Z)", "@", unit)
    return any(re.search(r"(?:\A|/|\s)%s(?:\.d/|:|\s|\Z)" % re.escape(name), line.strip()) for name in (unit, template))


def nginx(machine: Machine, main_pid: int | None) -> Check:
    """``nginx -t`` with the running one's own program and options. An error that was there before us counts as well: the running one does not have it yet."""
    what = "nginx -t"
    argv = ["nginx"]
    if main_pid is not None:
        try:
            program = machine.link("/proc/%d/exe" % main_pid)
        except OSError:
            return Check(what, NOT_CHECKED, "its program cannot be told")
        if not Files().trusted(program):
            return Check(what, NOT_CHECKED, "%s is not safe from others' hands" % clean(program, 200))
        argv = [program]
        for master in _nginx_files.masters(machine):
            if master.pid == main_pid:
                argv += ["-p", master.prefix] if master.prefix else []
                argv += ["-c", master.config] if master.config else []
    try:
        outcome = machine.run(argv + ["-t", "-q"], _CONFIG_S)
    except (FileNotFoundError, PermissionError):
        return Check(what, NOT_CHECKED, "nginx cannot be run")
    if outcome.timed_out:
        return Check(what, NOT_CHECKED, "it did not end within %d s" % _CONFIG_S)
    said = clean("; ".join(line.strip() for line in decode(outcome.err + outcome.out).split("\n") if line.strip())[:2000], 400)
    if outcome.status != 0:
        return Check(what, FAILED, "the configuration was made invalid since it was read last: %s" % said)
    return Check(what, PASSED, said)


def gunicorn(machine: Machine, main_pid: int | None, worker_pids: t.Sequence[int], limit_bytes: int | None) -> Check:
    """``gunicorn --check-config``: the application is loaded, by the service's user, in its folder and environment, and in no more memory than it may have.

    It is the one check that costs memory: as much as one worker has. Where that much is not free, nothing is loaded.
    """
    what = "gunicorn --check-config"
    main = _processes.status(machine, main_pid) if main_pid is not None else None
    if main_pid is None or main is None:
        return Check(what, NOT_CHECKED, "it does not run: with which user and environment it would be is not known")
    argv = _processes.words(machine, main_pid)
    if not argv or argv[0].startswith("gunicorn: "):
        return Check(what, NOT_CHECKED, "it wrote a title over its arguments")
    rows = [row for row in (_processes.status(machine, pid) for pid in worker_pids) if row is not None] + [main]
    need = max(row.rss_kib for row in rows) * 1024 + _SPARE_BYTES
    free = _celery_remote.free_bytes(machine)
    if free is None or free < need:
        there = "how much is free is not known" if free is None else "%d MB are free" % (free // 1000000)
        return Check(what, NOT_CHECKED, "loading the application needs %d MB and %s" % (need // 1000000, there))
    if limit_bytes is not None and limit_bytes < need:
        return Check(what, NOT_CHECKED, "loading the application needs %d MB and the service may have %d MB" % (need // 1000000, limit_bytes // 1000000))
    space = 2 * max(row.size_kib for row in rows) * 1024
    space = max(_LEAST_SPACE_BYTES, min(space, limit_bytes) if limit_bytes else space)
    try:
        who = _who(machine, main_pid, space)
        variables = {key: value for key, value in _processes.environment(machine, main_pid).items() if not _MANAGERS.match(key)}
    except (OSError, KeyError, ValueError):
        return Check(what, NOT_CHECKED, "its user and environment cannot be read")
    variables["PYTHONDONTWRITEBYTECODE"] = "1"
    if not argv[0].startswith("/"):
        return Check(what, NOT_CHECKED, "where its interpreter lies is not known")
    try:
        outcome = machine.run(argv + ["--check-config"], _LOAD_S, environment=variables, who=who)
    except OSError as problem:
        return Check(what, NOT_CHECKED, "it cannot be run as the service's user (%s)" % problem.strerror)
    return loaded(what, outcome)


def _who(machine: Machine, pid: int, space_bytes: int) -> As:
    lines = dict(line.split(":", 1) for line in machine.text("/proc/%d/status" % pid).split("\n") if ":" in line)
    groups = tuple(int(word) for word in lines.get("Groups", "").split())
    return As(int(lines["Uid"].split()[1]), int(lines["Gid"].split()[1]), groups, machine.link("/proc/%d/cwd" % pid), space_bytes)


def loaded(what: str, outcome: Outcome) -> Check:
    """Judge gunicorn's answer. Running out of time or memory says nothing of the configuration."""
    lines = [line.strip() for line in decode(outcome.err + outcome.out).split("\n") if line.strip()]
    last = clean(lines[-1], 300) if lines else ""
    if outcome.timed_out:
        return Check(what, NOT_CHECKED, "the application did not load within %d s" % _LOAD_S)
    if outcome.status == 0:
        return Check(what, PASSED, "")
    if outcome.status is None or outcome.status < 0 or any("MemoryError" in line or "Cannot allocate memory" in line for line in lines):
        return Check(what, NOT_CHECKED, "loading the application took more memory or time than it may: %s" % last)
    return Check(what, FAILED, last or "status %s" % outcome.status)
