# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The operation ``job_run``: end what a job runs now. It cannot be taken back: what it had done so far is lost, and it is not started again.

Private to oncall.pressure: no stable interface.

``{"kind": "job_run", "job", "processes": [[pid, start in ticks], ...], "wait_s"}`` for a run of cron: the processes are asked to end (SIGTERM).
``{"kind": "job_run", "job", "runs", "wait_s"}`` for what a timer started: ``runs`` is its unit, which systemd stops its own way.
"""

from __future__ import annotations

import signal
import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._change import _systemctl
from ansible_collections.oncall.pressure.plugins.module_utils._change._kinds import Failed, Hands, Kind, Operation, Shown, State, nothing_to_save
from ansible_collections.oncall.pressure.plugins.module_utils._host._text import clean

_LOOK_S = 0.2


def look(hands: Hands, operation: Operation) -> State:
    """``running``: how many of its processes live; of a unit, whether it runs (1 or 0)."""
    if operation.get("runs"):
        shown = _systemctl.show(hands.machine, operation["runs"], ("ActiveState", "SubState"))
        return {"running": int(shown["ActiveState"] in ("active", "activating", "reloading", "deactivating") and shown["SubState"] != "exited")}
    return {"running": len(_alive(hands, operation))}


def _alive(hands: Hands, operation: Operation) -> list[tuple[int, int]]:
    found = []
    for pid, ticks in operation["processes"]:
        process = hands.machine.process(pid)
        if process is not None and process.start_ticks == ticks and process.state not in ("Z", "X"):
            found.append((pid, ticks))
    return found


def show(hands: Hands, operation: Operation, before: State) -> Shown:
    """One line."""
    return Shown("what %s runs now" % clean(operation["job"], 300), "running\n", "ended; what it had done is lost\n")


def apply(hands: Hands, operation: Operation, before: State) -> None:
    """Ask all its processes to end, and wait. None is killed."""
    if operation.get("runs"):
        _systemctl.call(hands.machine, ["stop", "--", operation["runs"]], float(operation["wait_s"]))
        return
    for pid, ticks in _alive(hands, operation):
        hands.files.signal(pid, ticks, signal.SIGTERM)
    end_s = hands.machine.monotonic() + float(operation["wait_s"])
    while _alive(hands, operation) and hands.machine.monotonic() < end_s:
        hands.machine.sleep(_LOOK_S)
    left = _alive(hands, operation)
    if left:
        raise Failed("%d processes of %s did not end within %g s of SIGTERM" % (len(left), clean(operation["job"], 300), operation["wait_s"]))


def reached(operation: Operation, before: State, now: State) -> bool:
    """Nothing of it runs."""
    return bool(now["running"] == 0)


def undo(hands: Hands, operation: Operation, before: State, force: bool) -> str:
    """Nothing can be taken back."""
    return "%s: its run was ended and is not started again" % clean(operation["job"], 300)


KIND: t.Final = Kind(look=look, show=show, save=nothing_to_save, apply=apply, reached=reached, undo=undo)
