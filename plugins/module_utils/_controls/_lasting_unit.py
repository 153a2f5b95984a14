# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A systemd unit as its files have it, and the one drop-in of ours that is read last.

Private to oncall.pressure: no stable interface. Read-only; it never travels in an undo program.

Rewriting works on the files' own text, since ``systemctl show`` loses quotes and expands specifiers; that is what :func:`check` is for:
it holds what systemd then says against what it said before.
"""

from __future__ import annotations

import difflib
import posixpath
import re
import stat
import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._change._kinds import Operation, Refused
from ansible_collections.oncall.pressure.plugins.module_utils._components import _units
from ansible_collections.oncall.pressure.plugins.module_utils._components._settings import Variable
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import READ_LIMIT, Machine
from ansible_collections.oncall.pressure.plugins.module_utils._host._text import clean, decode
from ansible_collections.oncall.pressure.plugins.module_utils._parse import _command_line, _rewrite_command, _rewrite_files, _unit_file
from ansible_collections.oncall.pressure.plugins.module_utils._parse._unit_file import Entry

NAME: t.Final = "zz-oncall-pressure.conf"

_OURS = re.compile(r"z+-oncall-pressure\.conf")
_PROPERTIES = "Id,LoadState,FragmentPath,DropInPaths,ExecStart,WorkingDirectory,MainPID,NeedDaemonReload"
#: the question to systemd, before the unit's name
SHOW: t.Final = ("systemctl", "show", "--no-pager", "--property=" + _PROPERTIES, "--")
_COMMANDS = re.compile(r"argv\[\]=(.*?) ; ignore_errors=", re.DOTALL)
_SETS = ("ExecStart", "Environment", "EnvironmentFile")
_LIMIT_S = 20.0
_LONGEST_NAME = 60


class Unit(t.NamedTuple):
    """A unit: its name, what systemctl shows, its files (path, text) in the order in which systemd reads them, the mode of a file that shows no
    more than they do, what they say together, and its variables (null where a file of them cannot be read)."""

    name: str
    shown: dict[str, str]
    files: list[tuple[str, str]]
    mode: str
    merged: dict[str, list[Entry]]
    variables: dict[str, Variable] | None

    def known(self) -> dict[str, str]:
        """The values of its variables, as far as they are known."""
        return {name: variable.value for name, variable in (self.variables or {}).items()}


def read(machine: Machine, name: str) -> Unit:
    """A unit that is loaded from files. Raises Refused."""
    shown = _asked(machine, name)
    state, fragment = shown.get("LoadState"), shown.get("FragmentPath", "")
    unit = shown.get("Id") or name
    if state == "masked":
        raise Refused("%s is masked: unmask it before its command is changed" % clean(unit, 200))
    if state != "loaded" or not fragment:
        raise Refused("systemd has no file of %s (it is %s)" % (clean(unit, 200), clean(state or "unknown", 50)))
    if fragment.startswith("/run/systemd/transient/"):
        raise Refused("%s is transient: start it again with the other number (systemd-run)" % clean(unit, 200))
    if shown.get("NeedDaemonReload") == "yes":
        raise Refused("the files of %s changed since systemd read them: look at them, then run systemctl daemon-reload" % clean(unit, 200))
    paths = [fragment] + shown.get("DropInPaths", "").split()
    files = [(path, text_of(machine, path)) for path in paths]
    mode = 0o644
    for path in paths:
        mode &= machine.stat(path).st_mode | 0o600
    merged = _unit_file.merge(files)
    variables, missing = _units._environment(machine, unit, merged)
    return Unit(unit, shown, files, "%04o" % mode, merged, None if missing else variables)


def _asked(machine: Machine, name: str) -> dict[str, str]:
    try:
        outcome = machine.run(SHOW + (name,), _LIMIT_S)
    except FileNotFoundError:
        raise Refused("there is no systemctl on this host") from None
    units = _unit_file.shown(decode(outcome.out))
    if outcome.timed_out or outcome.status != 0 or not units:
        raise Refused("systemctl show %s did not answer: %s" % (clean(name, 200), clean(decode(outcome.err), 200).strip() or "no unit is shown"))
    return units[0]


def text_of(machine: Machine, path: str) -> str:
    """A file's text with bytes that are no UTF-8 as surrogates, so that it can be written again as it was. Raises Refused."""
    try:
        if not stat.S_ISREG(machine.stat(path).st_mode):
            raise Refused("%s is no regular file" % clean(path, 300))
        data = machine.read(path, READ_LIMIT + 1)
    except OSError as problem:
        raise Refused("%s cannot be read: %s" % (clean(path, 300), problem.strerror)) from problem
    if len(data) > READ_LIMIT:
        raise Refused("%s is larger than %d KiB" % (clean(path, 300), READ_LIMIT // 1024))
    return data.decode("utf-8", "surrogateescape")


# the drop-in


def drop_in(unit: Unit, commands: t.Sequence[str] | None, environment: t.Mapping[str, str]) -> Operation:
    """The operation that writes our drop-in.

    :param commands: its ``ExecStart`` values, all of them; null leaves them to whatever sets them now
    :param environment: variables to set, beside those that our drop-in sets already

    Raises Refused where another file would still win.
    """
    folder = "/etc/systemd/system/%s.d" % unit.name
    ours = [(path, text) for path, text in unit.files if posixpath.dirname(path) == folder and _OURS.fullmatch(posixpath.basename(path))]
    path = ours[-1][0] if ours else "%s/%s" % (folder, _last_name(unit))
    for other, dummy in _setting(unit):
        if posixpath.basename(other) > posixpath.basename(path):
            raise Refused("%s is read after %s and would win: change it there" % (clean(other, 300), path))
    there = _unit_file.merge(ours)
    values = {name: entry.value for name, entry in _unit_file.environment(there.get("Environment", [])).items()}
    # what stands there has its percent signs doubled already
    variables = ['Environment="%s=%s"' % (name, _escaped(value)) for name, value in values.items() if name not in environment]
    variables += [_rewrite_files.unit_environment(name, value) for name, value in environment.items()]
    if commands is None and there.get("ExecStart"):
        commands = [entry.value for entry in there["ExecStart"]]
    starts = [] if commands is None else ["ExecStart="] + ["ExecStart=" + command for command in commands]
    what = " and ".join((["Environment="] if variables else []) + (["ExecStart="] if starts else []))
    head = [
        "# Written by oncall.pressure: this %s of %s counts in place of what its other files say." % (what, unit.name),
        "# To take it back, remove this file and run: systemctl daemon-reload",
    ]
    content = "\n".join(head + ["[Service]"] + variables + starts) + "\n"
    return {"kind": "file", "path": path, "content": content, "mode": unit.mode, "then": ["daemon-reload"]}


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"')


def _setting(unit: Unit) -> list[tuple[str, str]]:
    """The drop-ins that set what ours sets."""
    return [(path, text) for path, text in unit.files[1:] if any(key in _SETS for key in _unit_file.merge([(path, text)]))]


def _last_name(unit: Unit) -> str:
    """A name behind those of all drop-ins that set what ours sets: they are read by name, whatever their folder."""
    name = NAME
    while any(posixpath.basename(path) >= name for path, dummy in _setting(unit)):
        name = "z" + name
        if len(name) > _LONGEST_NAME:
            raise Refused("a drop-in of %s is read after any that we could add: change it there" % clean(unit.name, 200))
    return name


def set_variables(machine: Machine, unit: Unit, values: t.Mapping[str, str]) -> list[Operation]:
    """The operations that give variables of a unit other values: in the environment file that sets one (it beats ``Environment=``), else in our drop-in.

    Raises Refused.
    """
    if unit.variables is None:
        raise Refused("an environment file of %s cannot be read: what it sets is not known" % clean(unit.name, 200))
    files: dict[str, str] = {}
    ours: dict[str, str] = {}
    for name, value in values.items():
        there = unit.variables.get(name)
        if there is not None and there.value == value:
            continue
        if there is None or there.origin.layer != "environment_file" or there.origin.where is None:
            ours[name] = value
            continue
        path = there.origin.where.rpartition(":")[0]
        text = _rewrite_files.environment_line(files.get(path) or text_of(machine, path), name, value)
        if isinstance(text, _command_line.Refused):
            raise Refused("%s: %s" % (clean(path, 300), clean(text.reason, 600)))
        files[path] = text
    operations: list[Operation] = [{"kind": "file", "path": path, "content": text, "mode": "0644", "then": []} for path, text in files.items()]
    return operations + ([drop_in(unit, None, ours)] if ours else [])


# what systemd says


def commands(machine: Machine, unit: str) -> list[list[str]]:
    """The arguments of each ``ExecStart`` that systemd has of a unit (words, their quotes lost). Raises Refused."""
    return [argv.split() for argv in _COMMANDS.findall(_asked(machine, unit).get("ExecStart", ""))]


def check(machine: Machine, unit: str, before: t.Sequence[t.Sequence[str]], settings: t.Mapping[str, int | str]) -> list[str]:
    """What systemd now says of a unit's commands that was not intended; nothing where only the words of ``settings`` changed.

    :param before: what :func:`commands` gave before; :param settings: ``wanted`` of the plan
    """
    after = commands(machine, unit)
    if len(after) != len(before):
        return ["%s has %d commands, not %d" % (clean(unit, 200), len(after), len(before))]
    changed = [(list(old), new) for old, new in zip(before, after) if list(old) != new]
    if len(changed) > 1:
        return ["%d commands of %s changed, not one" % (len(changed), clean(unit, 200))]
    return [problem for old, new in changed for problem in differences(old, new, settings)]


def differences(old: t.Sequence[str], new: t.Sequence[str], settings: t.Mapping[str, int | str]) -> list[str]:
    """How two lists of arguments differ beyond ``settings``, which the second must have."""
    problems: list[str] = []
    texts = [str(value) for value in settings.values()]
    for what, first, last, begin, end in difflib.SequenceMatcher(None, list(old), list(new), False).get_opcodes():
        if what != "equal" and (last - first > len(settings) or end - begin > 2 * len(settings) or not any(text in " ".join(new[begin:end]) for text in texts)):
            problems.append("%s became %s" % (clean(" ".join(old[first:last]), 200) or "nothing", clean(" ".join(new[begin:end]), 200) or "nothing"))
    one, other = _command_line.parse_argv(old), _command_line.parse_argv(new)
    if isinstance(one, _command_line.Refused) or isinstance(other, _command_line.Refused):
        return problems
    names = {_rewrite_command.ALIASES.get(name, name): str(value) for name, value in settings.items()}
    for name in sorted(set(one.settings) | set(other.settings) | set(names)):
        found = other.settings.get(name)
        wanted = names.get(name, one.settings[name].text if name in one.settings else None)
        if (found.text if found is not None else None) != wanted:
            problems.append("%s is %s, not %s" % (name, found.text if found is not None else None, wanted))
    return problems
