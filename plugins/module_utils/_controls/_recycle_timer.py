# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Plan a timer on the host that replaces the workers of one service again and again, one at a time.

Private to oncall.pressure: no stable interface. Looks only; what it plans is done by the engine. It never travels in an undo program.

Its units are files like any others: saved, armed, undone. The boot link is a drop-in of timers.target, since what is written and undone is files.
"""

from __future__ import annotations

import hashlib
import re
import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._change import _journal, _systemctl
from ansible_collections.oncall.pressure.plugins.module_utils._change._kinds import Failed, Hands, Operation, Refused
from ansible_collections.oncall.pressure.plugins.module_utils._controls import _processes, _recycle_program, _worker_count
from ansible_collections.oncall.pressure.plugins.module_utils._host import _zipapp
from ansible_collections.oncall.pressure.plugins.module_utils._host._files import Files
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine
from ansible_collections.oncall.pressure.plugins.module_utils._host._text import clean

#: Everything that the program on the host imports, and nothing else (a contract test compares).
SOURCES: t.Final = (
    "_change._journal", "_change._kinds", "_change._lease", "_change._listing", "_controls._celery_remote", "_controls._mains", "_controls._processes",
    "_controls._recycle_program", "_controls._retire_worker", "_controls._worker_count", "_host._attributes", "_host._files", "_host._machine",
    "_host._start", "_host._talk", "_host._text",
)

#: The shortest interval, in seconds: workers that are replaced more often are a fault to be found.
LEAST_S: t.Final = 3600

_ETC = "/etc/systemd/system"
_NOTE = "# Written by oncall.pressure: the timer that recycle_workers was asked for. A rollback of that change takes it away.\n"
_ID = re.compile(r"[A-Za-z0-9:_.\\@-]+\Z")
_CELERY = "its children are replaced by itself, after so many tasks or so much memory (max_tasks_per_child, max_memory_per_child_kib): a timer would end a task"
_REASONS = {"celery": _CELERY, "rq": "each job of it has a process of its own"}


def plan(machine: Machine, service: t.Mapping[str, t.Any], every_s: int, python: str) -> list[Operation]:
    """The operations that bring the timer into being. Raises Refused where a worker cannot be replaced without harm."""
    check(machine, service)
    name = name_of(service["id"])
    program = "%s/recycle/%s.pyz" % (_journal.HOME, name)
    files = (
        (program, "0600", [], _zipapp.build(SOURCES, "_controls._recycle_program").decode("utf-8", "surrogateescape")),
        ("%s/timers.target.d/%s.conf" % (_ETC, name), "0644", ["daemon-reload"], _NOTE + "[Unit]\nWants=%s.timer\n" % name),
        ("%s/%s.service" % (_ETC, name), "0644", [], service_unit(service["id"], [python, "-I", program, service["component"], service["id"]])),
        ("%s/%s.timer" % (_ETC, name), "0644", ["daemon-reload"], timer_unit(service["id"], every_s)),
    )
    operations: list[Operation] = [{"kind": "file", "path": path, "mode": mode, "then": then, "content": text} for path, mode, then, text in files]
    return operations + [{"kind": "unit_state", "unit": name + ".timer", "verb": "start", "made": True}]


def check(machine: Machine, service: t.Mapping[str, t.Any]) -> None:
    """Raises Refused unless the main process of a service was seen to replace a worker that ends."""
    name, component = clean(str(service["id"]), 200), str(service.get("component"))
    if component not in _recycle_program.COMPONENTS:
        raise Refused("%s runs %s, and no timer is set for it: %s" % (name, component, _REASONS.get(component, "it has no workers to replace")))
    if service.get("manager") not in ("systemd", "supervisor"):
        raise Refused("%s is run by neither systemd nor supervisor: no timer is set for it" % name)
    if not _systemctl.present(machine):
        raise Refused("systemd does not run this host, so no timer can be set")
    if not _ID.match(str(service["id"])):
        raise Refused("%s: no timer is set for a service of such a name" % name)
    pid = service.get("main_pid")
    found = _processes.status(machine, pid) if isinstance(pid, int) else None
    if found is None:
        raise Refused("%s does not run: whether a worker of it would be replaced cannot be seen, so no timer is set" % name)
    operation = {"service": service["id"], "component": component, "pid": pid, "start_ticks": found.start_ticks, "configured": None}
    before = _worker_count.look(Hands(machine, Files(), ""), operation)
    if before["workers"] < 2:
        raise Refused("%s has one worker, whose successor would not be there yet: no timer is set" % name)


def name_of(service: str) -> str:
    """What the units of a service's timer are called; each service has names of its own."""
    plain = re.sub(r"[^A-Za-z0-9_.-]", "-", service[:-len(".service")] if service.endswith(".service") else service)[:120]
    unlike = "" if plain + ".service" == service else "-" + hashlib.sha256(service.encode("utf-8", "surrogateescape")).hexdigest()[:8]
    return "oncall-pressure-recycle-%s%s" % (plain, unlike)


def timer_unit(service: str, every_s: int) -> str:
    """Counted from the start of the timer and from the end of each run, never two at once; with a jitter, so that a fleet does not do it in one moment."""
    return _NOTE + (
        "[Unit]\nDescription=Replace the workers of %s, one at a time\n\n[Timer]\nOnActiveSec=%ds\nOnUnitInactiveSec=%ds\nRandomizedDelaySec=%ds\n"
        % (_described(service), every_s, every_s, every_s // 10)
    )


def service_unit(service: str, argv: t.Sequence[str]) -> str:
    """What the timer starts."""
    words = " ".join(word.replace("\\", "\\\\") for word in argv)
    return _NOTE + "[Unit]\nDescription=Replace the workers of %s, one at a time\n\n[Service]\nType=oneshot\nExecStart=%s\n" % (_described(service), words)


def _described(service: str) -> str:
    return service.replace("\\", "\\\\")


def waits(machine: Machine, service: str) -> list[str]:
    """For the engine's ``checks``: what is wrong with the timer once it was started."""
    unit = name_of(service) + ".timer"
    try:
        shown = _systemctl.show(machine, unit, ("ActiveState", "NextElapseUSecMonotonic"))
    except Failed as problem:
        return [str(problem)]
    if shown["ActiveState"] == "active" and shown["NextElapseUSecMonotonic"] not in ("", "0", "infinity"):
        return []
    return ["the timer %s is not waiting: %s" % (unit, clean(" ".join(shown.values()), 200))]


def said(service: str, every_s: int) -> str:
    """The same in words."""
    return "every %s, later by up to a tenth of that, one worker at a time (%s.timer)" % (_span(every_s), name_of(service))


def _span(seconds: int) -> str:
    return "%d h" % (seconds // 3600) if seconds % 3600 == 0 else "%d s" % seconds
