# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Arm the undoing of an entry: the host does it by itself, with nobody connected, after a reboot too.

Private to oncall.pressure: no stable interface.

Under systemd: a timer and its service under /run (a boot removes them), and a service under /etc that runs once after a boot, before the units that
were changed. systemd reads a unit that it never saw when it is started, so nothing has to be reloaded; each arming has names of its own.
Elsewhere a watcher is left running.
"""

from __future__ import annotations

import math
import posixpath
import time
import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._change import _bundle, _systemctl
from ansible_collections.oncall.pressure.plugins.module_utils._change._journal import Entry
from ansible_collections.oncall.pressure.plugins.module_utils._change._kinds import Failed, Hands
from ansible_collections.oncall.pressure.plugins.module_utils._host._files import Untrusted
from ansible_collections.oncall.pressure.plugins.module_utils._host._text import clean

_RUN = "/run/systemd/system"
_ETC = "/etc/systemd/system"
_WANTS = _ETC + "/multi-user.target.wants"

#: A watcher that is still there after so long has started.
_STAYS_S = 0.3

_NOTE = "# Written by oncall.pressure. It undoes a change of this host that nobody confirmed, and removes itself.\n"


def name_of(folder: str) -> str:
    """What the units of an entry are called."""
    incident, number = folder.split("/")[-2:]
    return "oncall-pressure-%s-%s" % (incident, number)


def timer_unit(entry: str, seconds: float, at: str) -> str:
    """A timer that is accurate (the default may be a minute late), and that starts the program again until it has taken its arming away.

    ``at``: the same moment by the wall clock, for a host that slept in between; the program knows itself whether it is due.
    """
    return _NOTE + (
        "[Unit]\nDescription=Undo change %s unless it is confirmed\n\n[Timer]\nOnActiveSec=%dms\nOnCalendar=%s\nOnUnitInactiveSec=15s\n"
        "AccuracySec=100ms\n" % (entry, max(math.ceil(seconds * 1000.0), 1), at)
    )


def service_unit(entry: str, argv: t.Sequence[str]) -> str:
    """The service that the timer starts. Priorities are the program's own affair: asking for what a host does not grant would keep it from starting."""
    return _NOTE + (
        "[Unit]\nDescription=Undo change %s\nDefaultDependencies=no\n\n[Service]\nType=oneshot\nExecStart=%s\nTimeoutStartSec=900\nCPUWeight=10000\n"
        % (entry, " ".join(argv))
    )


def boot_unit(entry: str, folder: str, argv: t.Sequence[str], units: t.Sequence[str]) -> str:
    """The service that runs once after a boot, before what was changed starts. A failure of it holds nothing up."""
    return _NOTE + (
        "[Unit]\nDescription=Undo change %s after a boot\nRequiresMountsFor=%s\nBefore=%s\n\n"
        "[Service]\nType=oneshot\nExecStart=%s\nTimeoutStartSec=300\n\n[Install]\nWantedBy=multi-user.target\n"
        % (entry, folder, " ".join(["multi-user.target"] + list(units)), " ".join(argv))
    )


def arm(hands: Hands, entry: Entry, python: str, seconds: float, phase: str = "undo") -> str:
    """Have the host undo an entry in so many seconds; ``phase`` tells a second arming from the first. Gives how. Raises Failed, OSError."""
    program = [python, "-I", hands.folder + "/" + _bundle.NAME]
    end_s = hands.machine.boot_s() + seconds
    try:
        if _systemctl.present(hands.machine):
            _arm_systemd(hands, entry, program, end_s, phase)
            return "systemd"
    except (Untrusted, ValueError) as problem:
        raise Failed(str(problem)) from problem
    pid = hands.machine.detach(program + ["watch"])
    hands.machine.sleep(_STAYS_S)
    there = hands.machine.process(pid)
    if there is None or there.state in ("Z", "X"):
        raise Failed("the watcher did not stay")
    return "watcher"


def _arm_systemd(hands: Hands, entry: Entry, program: t.Sequence[str], end_s: float, phase: str) -> None:
    name = name_of(hands.folder)
    files = hands.files
    timer = "%s-%s.timer" % (name, phase)
    _write(hands, "%s/%s-boot.service" % (_ETC, name), boot_unit(entry.id, hands.folder, list(program) + ["boot"], _units(entry)))
    files.make_folders(_WANTS)
    files.link("%s/%s-boot.service" % (_WANTS, name), "%s/%s-boot.service" % (_ETC, name))
    _write(hands, "%s/%s-%s.service" % (_RUN, name, phase), service_unit(entry.id, list(program) + ["due"]))
    # the timer last, for the time that is left by then
    machine = hands.machine
    left_s = end_s - machine.boot_s()
    _write(hands, _RUN + "/" + timer, timer_unit(entry.id, left_s, time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(machine.now() + left_s + 1.0))))
    _systemctl.call(hands.machine, ["start", timer], 60.0)
    shown = _systemctl.show(hands.machine, timer, ("ActiveState", "SubState", "NextElapseUSecMonotonic"))
    if shown["ActiveState"] != "active" or shown["NextElapseUSecMonotonic"] in ("", "0", "infinity"):
        raise Failed("the timer %s is not waiting: %s" % (timer, clean(" ".join(shown.values()), 200)))


def _write(hands: Hands, path: str, text: str) -> None:
    hands.files.make_folders(posixpath.dirname(path))
    hands.files.write(path, text.encode("ascii"), {"mode": "0644"})


def _units(entry: Entry) -> list[str]:
    """The units that a boot must hold back until the undo is done."""
    service = str(entry.head.get("service", ""))
    units = [service] if service.endswith(".service") else []
    if service.startswith("supervisor:"):
        units.append("supervisor.service")
        units.append("supervisord.service")
    units += [operation["unit"] for operation, dummy in entry.operations if str(operation.get("unit") or "").endswith((".service", ".timer"))]
    return sorted({unit for unit in units if not set(unit) - _UNIT_LETTERS})


_UNIT_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:-_.\\@")


def rest(hands: Hands, phases: t.Sequence[str] = ("undo", "expire")) -> None:
    """Stop an entry's timers, and leave the rest of its arming. Raises nothing."""
    name = name_of(hands.folder)
    for phase in phases:
        if hands.files.exists("%s/%s-%s.timer" % (_RUN, name, phase)):
            try:
                _systemctl.call(hands.machine, ["stop", "%s-%s.timer" % (name, phase)], 30.0)
            except Failed:
                continue


def disarm(hands: Hands, phases: t.Sequence[str] = ("undo", "expire")) -> None:
    """Take away an entry's arming; all of it unless a phase remains. What cannot be removed is left: its program finds nothing to do. Raises nothing."""
    name = name_of(hands.folder)
    paths = ["%s/%s-boot.service" % (_WANTS, name), "%s/%s-boot.service" % (_ETC, name)] if len(phases) == 2 else []
    _remove(hands, paths)
    # the timer goes last: who is killed before it is gone is started by it again
    rest(hands, phases)
    _remove(hands, ["%s/%s-%s.%s" % (_RUN, name, phase, kind) for phase in phases for kind in ("service", "timer")])


def armed(hands: Hands) -> bool:
    """Whether anything of an entry's arming is left."""
    name = name_of(hands.folder)
    return any(file.startswith(name + "-") for folder in (_RUN, _ETC, _WANTS) for file in hands.files.names(folder))


def _remove(hands: Hands, paths: t.Sequence[str]) -> None:
    for path in paths:
        try:
            hands.files.sweep(path)
            hands.files.unlink(path)
        except (OSError, Untrusted):
            continue
