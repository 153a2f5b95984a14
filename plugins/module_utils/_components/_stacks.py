# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where the processes of a service stand in their own code: by a profiler that is there already, and never where memory is short.

Private to oncall.pressure: no stable interface. Read-only. Nothing is ever installed, and nothing is run inside the application.
"""

from __future__ import annotations

import re
import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._components import _host_pressure
from ansible_collections.oncall.pressure.plugins.module_utils._components._own_root import own_root
from ansible_collections.oncall.pressure.plugins.module_utils._host._cgroups import Cgroups
from ansible_collections.oncall.pressure.plugins.module_utils._host._collect import Reading, absent, ok, partial
from ansible_collections.oncall.pressure.plugins.module_utils._host._files import Files
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import As, Machine
from ansible_collections.oncall.pressure.plugins.module_utils._host._text import clean, decode
from ansible_collections.oncall.pressure.plugins.module_utils._parse import _proc

#: A profiler reads the whole symbol table of what it looks at: so much must be free, in bytes.
NEED_BYTES: t.Final = 256 * 1024 * 1024
_SPACE_BYTES = 2 * 1024 * 1024 * 1024

#: What says it where there is no profiler.
ITS_OWN: t.Final = "asyncio of its own Python"

_PROCESSES = 8
_LINES = 300
_ONE_S = 5.0
_FOLDERS = ("/usr/local/bin", "/usr/bin", "/opt/bin")
_PYTHON = re.compile(r"python3\.(\d+)\Z")


def stacks(machine: Machine, subject: t.Mapping[str, t.Any], limit_s: float) -> Reading:
    """``{"by": program, "processes": {PID: [line]}}``."""
    pids = [pid for pid in subject["pids"] if is_python(machine, pid)][:_PROCESSES]
    if not pids:
        return absent("no Python process of it runs")
    profiler, why_not = profiler_of(machine, pids[0])
    if why_not is not None:
        return absent(why_not)
    end = machine.monotonic() + max(limit_s - 1.0, 0.5)
    found: dict[str, list[str]] = {}
    missing: list[str] = []
    for pid in pids:
        left = end - machine.monotonic()
        if left <= 0.2:
            missing.append("%d: no time was left" % pid)
            continue
        lines, why = dump(machine, profiler, pid, min(left, _ONE_S))
        if lines:
            found[str(pid)] = lines
        else:
            missing.append("%d: %s" % (pid, why))
    data = {"by": clean(profiler or ITS_OWN), "processes": found}
    if not found:
        return absent(clean("; ".join(missing), 600))
    return partial(data, clean("; ".join(missing), 600)) if missing else ok(data)


def is_python(machine: Machine, pid: int) -> bool:
    """Whether a process is run by a Python, whose stacks can be told."""
    return _interpreter(machine, pid) is not None


def profiler_of(machine: Machine, pid: int) -> tuple[str | None, str | None]:
    """What can say where a process stands, as (path, null where its own Python can; why nothing does, else null)."""
    profiler = _py_spy(machine, pid)
    if profiler is None and not _own(machine, pid):
        return None, "no profiler is there: py-spy is neither installed nor in the service's environment, and its Python is older than 3.14"
    free = free_bytes(machine)
    if free is None or free < NEED_BYTES:
        return None, "no profiler is run: it needs %d MB and %s" % (
            NEED_BYTES // 1000000, "how much is free is not known" if free is None else "%d MB are free" % (free // 1000000))
    return profiler, None


def free_bytes(machine: Machine) -> int | None:
    """What is free for a program of ours, on a machine or in a container; null where it is not known."""
    total = _proc.named_kib(machine.text_or_none("/proc/meminfo") or "").get("MemAvailable")
    root = own_root(machine)
    own = _host_pressure._own_memory(machine, Cgroups(machine), root)["available_bytes"]
    known = [value for value in (total, own) if value is not None]
    return min(known) if known else None


def _interpreter(machine: Machine, pid: int) -> str | None:
    """The Python that a process is run by, null where it is none."""
    try:
        path = machine.link("/proc/%d/exe" % pid)
    except OSError:
        return None
    return path if _PYTHON.match(path.rpartition("/")[2]) else None


def _own(machine: Machine, pid: int) -> bool:
    """Whether its Python can say by itself where another one stands (3.14 and later)."""
    found = _PYTHON.match((_interpreter(machine, pid) or "").rpartition("/")[2])
    return bool(found and int(found.group(1)) >= 14)


def _py_spy(machine: Machine, pid: int) -> str | None:
    """py-spy where it is installed, or in the folder that the service's own programs lie in."""
    folders = list(_FOLDERS)
    try:
        words = [decode(word) for word in _proc.arguments(machine.read("/proc/%d/cmdline" % pid, 16384))]
    except OSError:
        words = []
    for word in words[:2]:
        folder = word.rpartition("/")[0]
        if folder.startswith("/") and folder not in folders:
            folders.append(folder)
    return next((folder + "/py-spy" for folder in folders if machine.exists(folder + "/py-spy")), None)


def dump(machine: Machine, profiler: str | None, pid: int, limit_s: float) -> tuple[list[str], str]:
    """The lines of one process, or why there are none. The process is not stopped for it."""
    if profiler is not None:
        argv = [profiler, "dump", "--nonblocking", "--pid", str(pid)]
    else:
        argv = [_interpreter(machine, pid) or "", "-I", "-m", "asyncio", "pstree", str(pid)]
    try:
        # what lies in the service's own folder could be written by the service: root never runs it, its user does
        who = None if Files().trusted(argv[0]) else _as_its_user(machine, pid)
        outcome = machine.run(argv, limit_s, 262144, {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"}, who)
    except (OSError, KeyError, ValueError) as problem:
        return [], clean("it cannot be run (%s)" % problem)
    # the command line of a process stands in the evidence already, without its secrets
    lines = [clean(line.replace(b"\t", b" "), 400) for line in outcome.out.split(b"\n")[:_LINES] if line.strip() and not line.startswith(b"Process ")]
    if outcome.timed_out:
        return lines, "it did not end within %.0f s" % limit_s
    said = decode(outcome.err).strip().split("\n")[-1]
    return (lines, "") if outcome.status == 0 else ([], clean(said, 200) or "status %s" % outcome.status)


def _as_its_user(machine: Machine, pid: int) -> As:
    lines = dict(line.split(":", 1) for line in machine.text("/proc/%d/status" % pid).split("\n") if ":" in line)
    return As(int(lines["Uid"].split()[1]), int(lines["Gid"].split()[1]), tuple(int(word) for word in lines.get("Groups", "").split()), "/", _SPACE_BYTES)
