# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What was changed on this host lately and when: one list from many places, newest first.

Private to oncall.pressure: no stable interface. Read-only: times of files are looked at, a few records are read, and nothing is run.
"""

from __future__ import annotations

import stat
import time
import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._components import _deployed
from ansible_collections.oncall.pressure.plugins.module_utils._components._changed_files import Event, Files, joined
from ansible_collections.oncall.pressure.plugins.module_utils._components._own_root import own_root
from ansible_collections.oncall.pressure.plugins.module_utils._components._trees import Trees
from ansible_collections.oncall.pressure.plugins.module_utils._host._collect import Options, Reading, ok, partial
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine
from ansible_collections.oncall.pressure.plugins.module_utils._host._text import clean
from ansible_collections.oncall.pressure.plugins.module_utils._parse import _history, _proc

#: How far back is looked, in seconds, and how many events are told.
WINDOW_S: t.Final = 86400.0
EVENTS: t.Final = 60

#: Where systemd reads units from; those of ``control`` are what ``systemctl set-property`` sets.
_UNITS = ("/etc/systemd/system", "/run/systemd/system", "/etc/systemd/system.control", "/run/systemd/system.control", "/usr/local/lib/systemd/system",
          "/usr/lib/systemd/system", "/lib/systemd/system")
_UNIT_NAMES = (".service", ".timer", ".socket", ".slice", ".target", ".mount", ".path")

_CRON = ("/etc/cron.d", "/var/spool/cron/crontabs", "/var/spool/cron", "/var/spool/cron/tabs")
_CRON_FILES = ("/etc/crontab", "/etc/anacrontab")

#: The end of a log of packages that is read.
_LOG_BYTES = 262144
#: Packages that were handled within this time of each other are one event.
_ONE_RUN_S = 900.0

#: What starts within this time after the host itself started with it.
_WITH_BOOT_S = 300.0
_STARTS = 30

_JOURNAL = "/var/lib/oncall-pressure/incidents"
_INCIDENTS = 50

#: Programs that are started by people and timers all the time; their start is no event.
_NO_SERVICE = ("python", "pypy", "manage", "node", "java")

#: What is started in a container is told with the container.
_CONTAINERS = ("docker:", "podman:", "containerd:", "kubernetes:")

#: A clock may have been set back a little since.
_FUTURE_S = 5.0


def collect(machine: Machine, options: Options) -> Reading:
    """``timeline`` in the shape of docs/architecture.md."""
    now = machine.now()
    files = Files(machine, now - WINDOW_S)
    reasons = files.reasons
    found: list[Event] = []
    boot_s = _boot_s(machine, now)
    if boot_s is not None:
        found.append(Event(boot_s, "boot", "the host was started", None, None))
    else:
        reasons.append("when the host was started is not known")
    found += _units(files, boot_s) + _crontabs(files) + _packages(machine, files) + _ours(machine)
    try:
        trees = Trees(machine, options.own_pids)
    except OSError as problem:
        reasons.append("/proc: %s" % problem.strerror)
    else:
        found += _starts(machine, trees, now, boot_s) + _deployed.look(machine, trees, files)
    inside = sorted((event for event in found if -_FUTURE_S <= now - event.at_s <= WINDOW_S), key=lambda event: (-event.at_s, event.kind, event.what))
    data = {"window_s": WINDOW_S, "left_out": max(len(inside) - EVENTS, 0), "events": [row(event, now) for event in inside[:EVENTS]]}
    return partial(data, "; ".join(reasons[:10])) if reasons else ok(data)


def row(event: Event, now: float) -> dict[str, t.Any]:
    """An event as the document has it."""
    return {
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(event.at_s)), "age_s": round(max(now - event.at_s, 0.0), 1), "kind": event.kind,
        "what": clean(event.what, 200), "service": clean(event.service, 200) if event.service else None,
        "pid": event.pid, "detail": clean(event.detail, 300) if event.detail else None,
    }


def _boot_s(machine: Machine, now: float) -> float | None:
    """When this host started: a container when its first process did."""
    try:
        uptime_s = machine.uptime_s()
        if own_root(machine).kind == "container":
            return now - max(uptime_s - _proc.stat(machine.peek("/proc/1/stat", 1024)).start_ticks / machine.ticks_per_s, 0.0)
        return now - uptime_s
    except (OSError, ValueError, IndexError):
        return None


def _units(files: Files, boot_s: float | None) -> list[Event]:
    """Units and drop-ins. What is written below /run while the host starts is nobody's change."""
    found: list[Event] = []
    folders = [folder for folder in _UNITS if not files.is_link(folder)]
    for folder in folders:
        for changed in files.walk(folder, 2, lambda name: name.endswith(_UNIT_NAMES + (".conf",)), lambda name: name.endswith(".d")):
            if folder.startswith("/run/") and boot_s is not None and changed.at_s <= boot_s + _WITH_BOOT_S:
                continue
            parent, dummy, name = changed.path.rpartition("/")
            unit = parent.rpartition("/")[2][:-2] if parent != folder else name
            if name.endswith(_UNIT_NAMES) or parent != folder:
                what = "drop-in %s of %s" % (name, unit) if parent != folder else "unit %s" % name
                found.append(Event(changed.at_s, "unit", what + (" (a link)" if changed.link else "") + " was changed", unit, changed.path))
    return found


def _crontabs(files: Files) -> list[Event]:
    changed = [row for path in _CRON_FILES for row in files.one(path)]
    for folder in _CRON:
        changed += files.walk(folder, 1, lambda name: not name.startswith("."), lambda name: False)
    return [Event(row.at_s, "crontab", "crontab %s was changed" % row.path, None, None) for row in changed]


def _packages(machine: Machine, files: Files) -> list[Event]:
    """Runs of the package manager, each as one event."""
    packages = _history.dpkg(files.tail("/var/log/dpkg.log", _LOG_BYTES) or "") + _history.rpm(files.tail("/var/log/dnf.rpm.log", _LOG_BYTES) or "")
    runs: list[list[_history.Package]] = []
    for package in sorted(row for row in packages if row.at_s >= files.since_s):
        if runs and package.at_s - runs[-1][-1].at_s <= _ONE_RUN_S:
            runs[-1].append(package)
        else:
            runs.append([package])
    found = []
    for run in runs:
        names = list(dict.fromkeys(package.name for package in run))
        verbs = sorted({package.verb for package in run})
        found.append(Event(run[-1].at_s, "package", "%d package%s: %s" % (len(names), "s" * (len(names) != 1), ", ".join(verbs)), None, joined(names, 8)))
    return found


def _starts(machine: Machine, trees: Trees, now: float, boot_s: float | None) -> list[Event]:
    """When each service's main process started, where the host did not start it with itself."""
    try:
        uptime_s = machine.uptime_s()
    except (OSError, ValueError, IndexError):
        return []
    found: list[Event] = []
    for pid in trees.tops():
        process = trees.processes[pid]
        name = process.name.decode("utf-8", "replace")
        at_s = now - max(uptime_s - process.start_ticks / machine.ticks_per_s, 0.0)
        service = trees.service(pid)
        if service.startswith(_CONTAINERS) or (boot_s is not None and at_s <= boot_s + _WITH_BOOT_S):
            continue
        if name.startswith(_NO_SERVICE) and not service.endswith(".service"):
            continue
        found.append(Event(at_s, "start", "%s was started" % name, service, None, pid))
    return sorted(found, key=lambda event: -event.at_s)[:_STARTS]


def _ours(machine: Machine) -> list[Event]:
    """What this collection did on the host itself, from its journal (which only root may read)."""
    found: list[Event] = []
    try:
        incidents = sorted(machine.names(_JOURNAL), reverse=True)[:_INCIDENTS]
        places = ["%s/%s/%s" % (_JOURNAL, incident, number) for incident in incidents for number in machine.names("%s/%s" % (_JOURNAL, incident))]
    except OSError:
        return []
    for place in places[:200]:
        try:
            if not stat.S_ISREG(machine.lstat(place + "/journal.jsonl").st_mode):
                continue
            text = machine.text(place + "/journal.jsonl")
        except OSError:
            continue
        for step in _history.journal(text):
            what = "%s: %s" % (step["mitigation"] or "a change", step["state"].replace("_", " "))
            found.append(Event(step["at_s"], "ours", what, step["service"], "/".join(place.split("/")[-2:])))
    return found
