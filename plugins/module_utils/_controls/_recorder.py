# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Install the recorder on a host, and take it away: a program, and the timer that starts it.

Private to oncall.pressure: no stable interface.

This does not go through the change engine. It touches no service and no file but its own, there is nothing to watch afterwards that could go wrong,
and it shall not be undone by the host at the end of an incident, nor stand in the way of a change that is made meanwhile. It is taken away as it came.
"""

from __future__ import annotations

import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._change import _journal, _systemctl
from ansible_collections.oncall.pressure.plugins.module_utils._change._engine import trusted_python
from ansible_collections.oncall.pressure.plugins.module_utils._change._kinds import Failed, Refused
from ansible_collections.oncall.pressure.plugins.module_utils._change._listing import READ_ONLY
from ansible_collections.oncall.pressure.plugins.module_utils._controls import _recorder_program
from ansible_collections.oncall.pressure.plugins.module_utils._host import _zipapp
from ansible_collections.oncall.pressure.plugins.module_utils._host._files import Files, Untrusted
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine
from ansible_collections.oncall.pressure.plugins.module_utils._host._text import decode
from ansible_collections.oncall.pressure.plugins.module_utils._parse._memory_history import COARSE, FINE, FOLDER, OLDER

#: Everything that the program on the host imports, and nothing else (a contract test compares).
SOURCES: t.Final = (
    "_components._footprint", "_components._host_pressure", "_components._log_growth", "_components._membership", "_components._own_root",
    "_components._process_table", "_components._recognise", "_controls._recorder_program", "_host._attributes", "_host._cgroups", "_host._collect",
    "_host._files", "_host._machine", "_host._parts", "_host._start", "_host._tail", "_host._text", "_parse._cgroup", "_parse._memory_history", "_parse._proc",
)

#: Seconds between samples: the least and the most that are accepted.
EVERY_S: t.Final = (10, 3600)

NAME: t.Final = "oncall-pressure-recorder"
PROGRAM: t.Final = "%s/recorder/%s.pyz" % (_journal.HOME, NAME)

_ETC = "/etc/systemd/system"
_SERVICE = "%s/%s.service" % (_ETC, NAME)
_TIMER = "%s/%s.timer" % (_ETC, NAME)
#: A drop-in and no link: what is written and taken away is files.
_WANTED = "%s/timers.target.d/%s.conf" % (_ETC, NAME)
_FOLDERS = (PROGRAM.rpartition("/")[0], _WANTED.rpartition("/")[0])

_NOTE = "# Written by oncall.pressure: the recorder of memory over time. The playbook recorder.yml with recorder_state=absent takes it away.\n"

_UNIT = _NOTE + """[Unit]
Description=Keep a sample of this host's memory (oncall.pressure)

[Service]
Type=oneshot
ExecStart=%s -I %s
TimeoutStartSec=120
Nice=5
IOSchedulingClass=idle
OOMScoreAdjust=500
CPUQuota=20%%
MemoryMax=96M
TasksMax=8
NoNewPrivileges=yes
ProtectSystem=strict
ReadWritePaths=%s
RuntimeDirectory=%s
RuntimeDirectoryMode=0700
RuntimeDirectoryPreserve=yes
LogLevelMax=notice
"""


class Wanted(t.NamedTuple):
    """One file as it should be: null content is none."""

    path: str
    mode: str
    data: bytes | None


class Difference(t.NamedTuple):
    """One file that is not as it should be: what there is (null: none), and what should be."""

    wanted: Wanted
    before: bytes | None
    state: dict[str, t.Any]


def wanted(state: str, every_s: int, python: str) -> list[Wanted]:
    """The files of a state. Raises ImportError where a source is not to be had."""
    if state == "absent":
        history = [Wanted(path + part, "0600", None) for path in (FINE, COARSE) for part in ("", OLDER)]
        return [Wanted(_WANTED, "0644", None), Wanted(_TIMER, "0644", None), Wanted(_SERVICE, "0644", None), Wanted(PROGRAM, "0600", None)] + history
    return [
        Wanted(PROGRAM, "0600", _zipapp.build(SOURCES, "_controls._recorder_program", compiled=True)),
        Wanted(_SERVICE, "0644", (_UNIT % (python, PROGRAM, _journal.HOME, NAME)).encode("ascii")),
        Wanted(_TIMER, "0644", timer_unit(every_s).encode("ascii")),
        Wanted(_WANTED, "0644", (_NOTE + "[Unit]\nWants=%s.timer\n" % NAME).encode("ascii")),
    ]


def timer_unit(every_s: int) -> str:
    """When it is started: some seconds after the timer was, then again and again."""
    accuracy = 1 if every_s < 60 else 5
    return _NOTE + (
        "[Unit]\nDescription=Keep samples of this host's memory (oncall.pressure)\n\n[Timer]\nOnActiveSec=2s\nOnUnitActiveSec=%ds\nAccuracySec=%ds\n"
        % (every_s, accuracy)
    )


def differences(files: Files, wishes: t.Sequence[Wanted]) -> list[Difference]:
    """What would be written or taken away. Raises Untrusted, OSError."""
    found = []
    for wish in wishes:
        state, data = files.read(wish.path)
        before = data if state["exists"] else None
        alike = before == wish.data or (wish.path == PROGRAM and before is not None and wish.data is not None and _zipapp.same(before, wish.data))
        if not alike or (state["exists"] and state["mode"] != wish.mode):
            found.append(Difference(wish, before, state))
    return found


def shown(found: t.Sequence[Difference]) -> list[dict[str, str]]:
    """The differences for people. Of the program and of the samples only that they are there."""
    rows = []
    for one in found:
        text = [_words(one.wanted.path, data) for data in (one.before, one.wanted.data)]
        rows.append({"before_header": one.wanted.path, "after_header": one.wanted.path, "before": text[0], "after": text[1]})
    return rows


def _words(path: str, data: bytes | None) -> str:
    if data is None:
        return ""
    if path == PROGRAM:
        return "a program of %d bytes\n" % len(data)
    return decode(data) if path.startswith(_ETC) else "samples\n"


def ensure(machine: Machine, files: Files, state: str, every_s: int, check: bool) -> tuple[bool, list[dict[str, str]]]:
    """Bring the recorder into a state: whether anything is or would be changed, and the diff. Raises Refused, Failed, Untrusted, OSError."""
    if not _systemctl.present(machine):
        if state == "absent":
            return False, []
        raise Refused("systemd does not run this host, so no timer can be set")
    if machine.euid() != 0:
        raise Refused("the recorder is installed and taken away as root (become)")
    found = differences(files, wanted(state, every_s, trusted_python(files) if state == "present" else ""))
    active = _systemctl.runs(machine, NAME + ".timer")
    if not found and active == (state == "present"):
        return False, []
    if state == "present" and files.exists(READ_ONLY):
        raise Refused("this host is set to read-only (%s)" % READ_ONLY)
    diff = shown(found) + ([] if active == (state == "present") else [_told(active)])
    if not check:
        for one in found:
            files.writable(one.wanted.path)
        _bring(machine, files, state, found)
    return True, diff


def _told(active: bool) -> dict[str, str]:
    words = ["the timer %s\n" % ("waits" if one else "does not wait") for one in (active, not active)]
    return {"before_header": NAME + ".timer", "after_header": NAME + ".timer", "before": words[0], "after": words[1]}


def _bring(machine: Machine, files: Files, state: str, found: t.Sequence[Difference]) -> None:
    """Change it; what was begun and cannot be ended is put back."""
    if state == "absent":
        if files.exists(_TIMER) or _systemctl.runs(machine, NAME + ".timer"):
            _systemctl.call(machine, ["stop", NAME + ".timer", NAME + ".service"], 60.0)
        for one in found:
            files.remove(one.wanted.path)
        _systemctl.call(machine, ["daemon-reload"], 60.0)
        _sweep(machine, files)
        return
    for folder in _FOLDERS:
        files.make_folders(folder, 0o700 if folder.startswith(_journal.HOME) else 0o755)
    done: list[Difference] = []
    try:
        for one in found:
            done.append(one)
            files.write(one.wanted.path, one.wanted.data or b"", {"mode": one.wanted.mode})
        _systemctl.call(machine, ["daemon-reload"], 60.0)
        _systemctl.call(machine, ["restart", NAME + ".timer"], 60.0)
        if not _systemctl.runs(machine, NAME + ".timer"):
            raise Failed("the timer %s.timer does not wait: systemctl status %s.timer says why" % (NAME, NAME))
    except (Failed, Untrusted, OSError):
        for one in reversed(done):
            if one.before is None:
                files.remove(one.wanted.path)
            else:
                files.write(one.wanted.path, one.before, one.state)
        _systemctl.call(machine, ["daemon-reload"], 60.0)
        raise


def _sweep(machine: Machine, files: Files) -> None:
    """Take away the folders that are empty then, and what it left in /run."""
    for path in (PROGRAM, FINE, COARSE, _recorder_program.LEFT):
        files.sweep(path)
    files.remove(_recorder_program.LEFT)
    for folder in (_recorder_program.LEFT.rpartition("/")[0], FOLDER) + _FOLDERS:
        files.remove_folder(folder)
    # a unit that failed is remembered until somebody says that it is known
    try:
        _systemctl.call(machine, ["reset-failed", NAME + ".service"], 20.0)
    except Failed:
        pass
