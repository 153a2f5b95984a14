# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The operations ``unit_state`` (start, stop, reload, restart a unit) and ``unit_property`` (a limit, until the next boot).

Private to oncall.pressure: no stable interface.

``{"kind": "unit_state", "unit", "verb", "made"}``: ``made`` where a file of the same change makes the unit.
``{"kind": "unit_property", "unit", "property", "value": number or "infinity"}``.
"""

from __future__ import annotations

import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._change import _systemctl
from ansible_collections.oncall.pressure.plugins.module_utils._change._kinds import (
    Conflict, Failed, Hands, Kind, Operation, Refused, Shown, State, nothing_to_save,
)
from ansible_collections.oncall.pressure.plugins.module_utils._host._text import clean

_STATE = ("LoadState", "ActiveState", "SubState", "MainPID", "InvocationID", "NRestarts", "Result", "StateChangeTimestampMonotonic", "NeedDaemonReload")
_JOB_S = 300.0

#: What each limit is called in the cgroup (version 2, version 1; null where that version has none).
PROPERTIES: t.Final[dict[str, tuple[str, str | None, str | None]]] = {
    "MemoryMax": ("memory", "memory.max", "memory.limit_in_bytes"),
    "MemoryHigh": ("memory", "memory.high", None),
    "TasksMax": ("pids", "pids.max", "pids.max"),
    "CPUWeight": ("cpu", "cpu.weight", None),
}


def look_state(hands: Hands, operation: Operation) -> State:
    """What systemd knows of the unit."""
    state: State = dict(_systemctl.show(hands.machine, operation["unit"], _STATE))
    unit = clean(operation["unit"], 200)
    if state["LoadState"] == "masked":
        raise Refused("%s is masked: somebody decided that it must not run (systemctl unmask %s)" % (unit, unit))
    # it is looked at before its file is written, and after its file is gone
    if state["LoadState"] != "loaded" and not (operation.get("made") and state["LoadState"] == "not-found"):
        raise Refused("systemd has no unit %s (%s)" % (unit, clean(state["LoadState"], 50)))
    return state


def show_state(hands: Hands, operation: Operation, before: State) -> Shown:
    """One line."""
    was = clean(before["ActiveState"], 50)
    lines = {"start": "active", "stop": "inactive", "restart": "active, started anew", "reload": "active, configuration read anew"}
    return Shown(clean(operation["unit"], 200), was + "\n", lines[operation["verb"]] + "\n")


def apply_state(hands: Hands, operation: Operation, before: State) -> None:
    """One job of systemd, waited for."""
    _systemctl.call(hands.machine, [operation["verb"], "--", operation["unit"]], _JOB_S)


def reached_state(operation: Operation, before: State, now: State) -> bool:
    """A unit that is starting anew again and again is never active here when looked at after its settle time."""
    verb = operation["verb"]
    if verb == "stop":
        return now["ActiveState"] in ("inactive", "failed")
    if now["ActiveState"] != "active":
        return False
    if verb == "restart":
        return now["InvocationID"] != before["InvocationID"]
    if verb == "reload":
        return now["StateChangeTimestampMonotonic"] != before["StateChangeTimestampMonotonic"]
    return True


def undo_state(hands: Hands, operation: Operation, before: State, force: bool) -> str:
    """Start what was stopped, stop what was started; a unit that was started anew is only seen to that it runs."""
    unit, verb = operation["unit"], operation["verb"]
    name = clean(unit, 200)
    now = _systemctl.show(hands.machine, unit, _STATE)
    was = before["ActiveState"] in ("active", "activating", "reloading")
    runs = now["ActiveState"] in ("active", "activating", "reloading")
    order: list[str] = []
    if was and not runs:
        order = ["start"]
    elif not was and runs and verb == "start":
        order = ["stop"]
    elif verb == "reload" and runs:
        order = ["reload"]
    if not order:
        return "%s is %s" % (name, "running" if runs else "not running")
    if hands.booting:
        # a job waited for here would wait for us
        _systemctl.call(hands.machine, ["--no-block"] + order + ["--", unit], 60.0)
        return "%s: %s is ordered" % (name, order[0])
    _systemctl.call(hands.machine, order + ["--", unit], _JOB_S)
    now = _systemctl.show(hands.machine, unit, _STATE)
    if (now["ActiveState"] in ("active", "activating", "reloading")) != (order != ["stop"]):
        raise Failed("%s is %s after systemctl %s" % (name, clean(now["ActiveState"], 50), order[0]))
    return "%s: %s" % (name, {"start": "started again", "stop": "stopped again", "reload": "configuration read again"}[order[0]])


def look_property(hands: Hands, operation: Operation) -> State:
    """``value`` as systemd has it, ``kernel`` as the cgroup has it, ``files``: what set-property wrote before."""
    unit, name = operation["unit"], operation["property"]
    if name not in PROPERTIES:
        raise Refused("%s is no property that is changed at run time" % clean(name, 50))
    shown = _systemctl.show(hands.machine, unit, (name, "ControlGroup", "LoadState", "ActiveState"))
    if shown["LoadState"] != "loaded" or not shown["ControlGroup"]:
        raise Refused("%s does not run: there is no limit to set" % clean(unit, 200))
    kernel = _kernel(hands, shown["ControlGroup"], name)
    if kernel is None:
        raise Refused("the kernel has no place for %s of %s here (cgroup version 1 lacks it, or the controller is not on)" % (name, clean(unit, 200)))
    return {"value": shown[name], "kernel": kernel, "files": hands.files.names(_folder(unit)), "folder": hands.files.exists(_CONTROL)}


_CONTROL: t.Final = "/run/systemd/system.control"


def _folder(unit: str) -> str:
    return "%s/%s.d" % (_CONTROL, unit)


def _kernel(hands: Hands, group: str, name: str) -> str | None:
    controller, new, old = PROPERTIES[name]
    for path in ("/sys/fs/cgroup%s/%s" % (group, new), "/sys/fs/cgroup/unified%s/%s" % (group, new), "/sys/fs/cgroup/%s%s/%s" % (controller, group, old)):
        text = hands.machine.text_or_none(path, 100) if not path.endswith("/None") else None
        if text is not None:
            return _number(text.strip())
    return None


def _number(text: str) -> str:
    """A limit as text; "infinity" for none, however it is spelled."""
    if text in ("max", "infinity", "[not set]", ""):
        return "infinity"
    return "infinity" if text.isdecimal() and int(text) >= 2 ** 62 else text


def show_property(hands: Hands, operation: Operation, before: State) -> Shown:
    """The property before and after."""
    form = operation["property"] + "=%s\n"
    return Shown(clean(operation["unit"], 200), form % _number(before["value"]), form % operation["value"])


def apply_property(hands: Hands, operation: Operation, before: State) -> None:
    """Until the next boot."""
    _systemctl.call(hands.machine, ["set-property", "--runtime", "--", operation["unit"], "%s=%s" % (operation["property"], operation["value"])], 30.0)


def reached_property(operation: Operation, before: State, now: State) -> bool:
    """What counts is the kernel's figure; it rounds bytes down to whole pages."""
    wanted = str(operation["value"])
    if wanted == "infinity" or now["kernel"] == "infinity":
        return bool(now["kernel"] == wanted)
    return abs(int(now["kernel"]) - int(wanted)) < 65536 if operation["property"].startswith("Memory") else now["kernel"] == wanted


def undo_property(hands: Hands, operation: Operation, before: State, force: bool) -> str:
    """The former value; and the file that systemd keeps it in, where there was none."""
    unit, name = operation["unit"], operation["property"]
    try:
        now = look_property(hands, operation)
    except Refused:
        # a unit that does not run has nothing in the kernel; what systemd would set at its next start still counts
        now = {"value": "", "kernel": "", "files": hands.files.names(_folder(unit))}
    ours = reached_property(operation, before, now) if now["kernel"] else True
    if now["value"] and now["kernel"] != before["kernel"] and not ours and not force:
        raise Conflict("%s of %s was changed by somebody else since" % (name, clean(unit, 200)))
    if now["kernel"] != before["kernel"]:
        # a weight has no infinity; an empty value is "as if never set"
        former = "" if name == "CPUWeight" and _number(before["value"]) == "infinity" else _number(before["value"])
        _systemctl.call(hands.machine, ["set-property", "--runtime", "--", unit, "%s=%s" % (name, former)], 30.0)
    for file in hands.files.names(_folder(unit)):
        if file not in before["files"] and file == "50-%s.conf" % name:
            hands.files.remove(_folder(unit) + "/" + file)
    if not before["files"]:
        hands.files.remove_folder(_folder(unit))
    if not before["folder"]:
        hands.files.remove_folder(_CONTROL)
    _systemctl.call(hands.machine, ["daemon-reload"], 60.0)
    if now["kernel"] and look_property(hands, operation)["kernel"] != before["kernel"]:
        raise Failed("%s of %s is not what it was" % (name, clean(unit, 200)))
    return "%s of %s is %s again" % (name, clean(unit, 200), _number(before["value"]))


STATE: t.Final = Kind(look=look_state, show=show_state, save=nothing_to_save, apply=apply_state, reached=reached_state, undo=undo_state)
PROPERTY: t.Final = Kind(
    look=look_property, show=show_property, save=nothing_to_save, apply=apply_property, reached=reached_property, undo=undo_property
)
