# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a service was started with: its command, its environment and its folder, and who set each word of them.

Private to oncall.pressure: no stable interface. Read-only: files are read as text, nothing of an application is run.
"""

from __future__ import annotations

import functools
import re
import stat
import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._components._mounts import Mounts
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import READ_LIMIT, Machine
from ansible_collections.oncall.pressure.plugins.module_utils._host._text import clean
from ansible_collections.oncall.pressure.plugins.module_utils._parse import _command_line, _python_literals, _shell_words
from ansible_collections.oncall.pressure.plugins.module_utils._parse._command_line import Command, Refused
from ansible_collections.oncall.pressure.plugins.module_utils._parse._shell_words import Word

#: every setting of the document, in its order
NAMES = (
    "workers", "threads", "worker_class", "timeout", "max_requests", "max_requests_jitter", "max_tasks_per_child", "max_memory_per_child_kib", "autoscale",
    "queues", "broker", "bind",
)

#: settings whose name in a command differs from the document's
_IN_COMMAND = {"max_memory_per_child_kib": "max_memory_per_child"}

_NUMBERS = frozenset((
    "workers", "threads", "timeout", "max_requests", "max_requests_jitter", "max_tasks_per_child", "max_memory_per_child_kib",
))
_DEFAULTED = re.compile(r"\$\{([A-Za-z_]\w*):?[-=]([^{}$`]*)\}")
_REFERENCE = re.compile(r"\$(?:\{([A-Za-z_]\w*)\}|([A-Za-z_]\w*))")
_LIBRARIES = re.compile(r"python3(?:\.\d+)?")

Row = t.Dict[str, t.Any]


class Origin(t.NamedTuple):
    """Who set something: the layer, and PATH:LINE or null."""

    layer: str
    where: str | None


class Variable(t.NamedTuple):
    """One variable of the environment."""

    value: str
    origin: Origin


class Launch(t.NamedTuple):
    """How a service is started.

    origins: by index of the command's words; ``origin`` for those that are not in it
    environment: null where it is not known, with the reason
    directory: null where it is not known
    root: "" or where the root folder of the service's container is to be found
    """

    command: Command
    origin: Origin
    origins: dict[int, Origin]
    environment: dict[str, Variable] | None
    directory: str | None
    root: str = ""


def row(value: t.Any, layer: str, where: str | None = None, reason: str | None = None) -> Row:
    """One setting as the document has it."""
    return {"value": value, "layer": layer, "where": where, "reason": reason}


def default(value: t.Any, reason: str | None = None) -> Row:
    """A setting that nobody set: what the program does then."""
    return row(value, "default", None, reason)


def empty(program: str) -> dict[str, t.Any]:
    """Settings of which nothing is known; a setting that a program does not have stays null."""
    settings: dict[str, t.Any] = dict.fromkeys(("program", "version") + NAMES + ("identity",))
    settings["program"] = program
    return settings


#: of a broker's address: its scheme; who logs in stands before the last @, whatever signs a password has; where it is; not what follows a question mark
_URL = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]{0,30}://)(?:.*@)?(?P<place>[^\s?#@]{0,300})", re.DOTALL)


def identity(launch: Launch, broker: str | None, node: str | None = None) -> dict[str, t.Any]:
    """What tells two workers or schedulers of one kind apart, and whether they are the same: ``{"app", "directory", "broker" (no user, no password), "node",
    "beat" (it schedules too), "scheduler"}``; null where it is not known."""
    changed = launch.command.settings.get("chdir")
    directory = changed.text if changed is not None and changed.text.startswith("/") and not changed.unresolved else launch.directory
    found = _URL.match(broker or "")
    sure = "node" not in launch.command.settings and hidden(launch) is None
    return {
        "app": _known(launch, "app"), "directory": None if directory is None else clean(directory, 300),
        "broker": clean(found.group("scheme") + found.group("place"), 300) if found is not None else None,
        "node": _known(launch, "node") or (node if sure else None), "beat": "beat" in launch.command.settings or launch.command.subcommand == "beat",
        "scheduler": _known(launch, "scheduler"),
    }


def _known(launch: Launch, name: str) -> str | None:
    """A text on the command line; null where there is none, or a variable that is not known is in it."""
    setting = launch.command.settings.get(name)
    return clean(setting.text, 200) if setting is not None and setting.text and not setting.unresolved else None


def on_command_line(launch: Launch, name: str) -> Row | None:
    """A setting of the command, null where it has none."""
    setting = launch.command.settings.get(_IN_COMMAND.get(name, name))
    if setting is None:
        return None
    origin = launch.origins.get(setting.word, launch.origin)
    if setting.unresolved:
        return row(None, origin.layer, origin.where, "unresolved: " + ",".join(setting.unresolved))
    return checked(name, setting.value, origin)


def checked(name: str, value: t.Any, origin: Origin) -> Row:
    """A setting that must be a number and is none is said to be so."""
    if name in _NUMBERS:
        if isinstance(value, str) and re.fullmatch(r"\s*[-+]?\d{1,18}\s*", value):
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return row(None, origin.layer, origin.where, "not a number")
    return row(value, origin.layer, origin.where)


def from_environment(launch: Launch, variable: str, name: str) -> Row | None:
    """A setting that a variable gives, null where it is not set."""
    found = (launch.environment or {}).get(variable)
    if found is None or not found.value:
        return None
    value: t.Any = found.value
    if name == "queues":
        value = [part for part in re.split(r"[\s,]+", found.value) if part]
    return checked(name, value, found.origin)


def hidden(launch: Launch) -> str | None:
    """Why a setting that was not found may still be set: an argument whose content is not known; null where there is none."""
    return "may be set by " + ", ".join(launch.command.opaque) if launch.command.opaque else None


def read_regular(machine: Machine, path: str) -> tuple[str | None, str | None]:
    """The text of a regular file of at most 256 KiB, or (null, why not)."""
    try:
        if not path.startswith("/proc/"):
            _mounts_of(machine).check(path)
        if not stat.S_ISREG(machine.stat(path).st_mode):
            return None, "no regular file"
        text = machine.text(path, READ_LIMIT + 1)
    except OSError as problem:
        return None, problem.strerror or "cannot be read"
    return (None, "larger than 256 KiB") if len(text) > READ_LIMIT else (text, None)


@functools.lru_cache(maxsize=2)
def _mounts_of(machine: Machine) -> Mounts:
    """Read once for all the files of a look."""
    return Mounts(machine)


def absolute(launch: Launch, path: str) -> str | None:
    """Where a path of the service lies on this machine; null where its folder is not known."""
    if not path.startswith("/"):
        if launch.directory is None:
            return None
        path = launch.directory.rstrip("/") + "/" + path
    return launch.root + path


def literals(machine: Machine, path: str) -> tuple[dict[str, _python_literals.Literal] | None, str | None]:
    """The plain values of a Python file, or (null, why not)."""
    text, problem = read_regular(machine, path)
    if text is None:
        return None, problem
    try:
        return _python_literals.assignments(text), None
    except ValueError as error:
        return None, str(error)


def from_literals(found: t.Mapping[str, _python_literals.Literal], keys: t.Sequence[str], name: str, path: str) -> Row | None:
    """A setting from a configuration file's plain values, null where it does not set any of ``keys``."""
    for key in keys:
        literal = found.get(key)
        if literal is None:
            continue
        where = "%s:%d" % (path, literal.line)
        if literal.value is _python_literals.COMPUTED:
            return row(None, "config_file", where, "computed")
        value = literal.value
        if name in ("bind", "worker_class", "queues") and isinstance(value, (tuple, set, frozenset)):
            value = list(value)
        if name == "bind" and isinstance(value, list):
            value = ",".join(str(part) for part in value)
        if value is None:
            return None
        if not isinstance(value, (str, int, float, list)):
            return row(None, "config_file", where, "neither text nor a number")
        return checked(name, value, Origin("config_file", where))
    return None


def version(machine: Machine, launch: Launch, distribution: str) -> str | None:
    """The installed release of a program, from the folders of packages beside its script or its environment; null where none is found."""
    places: list[str] = []
    words = launch.command.words
    for word in [words[launch.command.first]] + list(words[: launch.command.first]):
        folder = word.text.rpartition("/")[0]
        if folder.endswith("/bin") and folder.startswith("/"):
            places.append(folder[: -len("/bin")])
    environment = launch.environment or {}
    if "VIRTUAL_ENV" in environment:
        places.append(environment["VIRTUAL_ENV"].value)
    if "PATH" in environment:
        places.extend(part[: -len("/bin")] for part in environment["PATH"].value.split(":")[:16] if part.endswith("/bin") and part.startswith("/"))
    for place in dict.fromkeys(places):
        found = _installed(machine, launch.root + place + "/lib", distribution)
        if found is not None:
            return found
    return None


def _installed(machine: Machine, libraries: str, distribution: str) -> str | None:
    wanted = re.compile(re.escape(distribution) + r"-([0-9][^-]*?)(?:-py\d.*)?\.(?:dist|egg)-info", re.IGNORECASE)
    try:
        pythons = sorted((name for name in machine.names(libraries) if _LIBRARIES.fullmatch(name)), reverse=True)
    except OSError:
        return None
    for python in pythons:
        for packages in ("site-packages", "dist-packages"):
            try:
                names = machine.names("%s/%s/%s" % (libraries, python, packages))
            except OSError:
                continue
            for name in names:
                found = wanted.fullmatch(name)
                if found:
                    return found.group(1)
    return None


def resolved(command: Command, origin: Origin, environment: dict[str, Variable], directory: str | None, root: str = "") -> Launch:
    """A command as it is written in a file, with the variables that the environment answers put in; each word keeps who set it."""
    variables = dict(environment)
    variables.update((name, Variable(value, origin)) for name, value in command.environment.items() if not _shell_words.variables(value))
    words: list[Word] = []
    origins: dict[int, Origin] = {}
    for word in _own_words(command):
        for text, source in _expanded(word, origin, variables):
            origins[len(words)] = source
            words.append(word._replace(text=text))
    again = _command_line.parse_words(words)
    if isinstance(again, Refused):
        return Launch(command, origin, {}, variables, command.directory or directory, root)
    found = again._replace(nested=command.nested, directory=command.directory)
    return Launch(found, origin, origins, variables, _folder(command.directory, directory), root)


def _folder(changed: str | None, directory: str | None) -> str | None:
    """Where ``cd`` leads from a folder; null where that is not known."""
    if changed is None:
        return directory
    if _shell_words.variables(changed) or changed.startswith("~"):
        return None
    if changed.startswith("/"):
        return changed
    return None if directory is None else directory.rstrip("/") + "/" + changed


def _own_words(command: Command) -> list[Word]:
    """The words from the program's own on; a module's name (gunicorn.app.wsgiapp) becomes the program's."""
    first = command.words[command.first]
    if re.fullmatch(r"(?:gunicorn|uvicorn|celery|rq)(?:\.\w+)+", first.text):
        first = first._replace(text=first.text.partition(".")[0])
    return [first] + list(command.words[command.first + 1:])


def _expanded(word: Word, origin: Origin, variables: t.Mapping[str, Variable]) -> list[tuple[str, Origin]]:
    """One word with its variables put in: several words where it is one whole variable, with the layer of the variable."""
    if word.operator:
        return [(word.text, origin)]
    whole = _REFERENCE.fullmatch(word.text)
    if whole:
        known = variables.get(whole.group(1) or whole.group(2))
        if known is None:
            return [(word.text, origin)]
        try:
            return [(part.text, known.origin) for part in _shell_words.split(known.value, _shell_words.SHLEX)]
        except _shell_words.Unsplittable:
            return [(part, known.origin) for part in known.value.split()]
    used: list[Origin] = []

    def fill(found: re.Match[str]) -> str:
        known = variables.get(found.group(1) or found.group(2))
        if known is None:
            return found.group()
        used.append(known.origin)
        return known.value

    def fill_or_default(found: re.Match[str]) -> str:
        known = variables.get(found.group(1))
        if known is None or not known.value:
            return str(found.group(2))
        used.append(known.origin)
        return known.value

    text = _REFERENCE.sub(fill, _DEFAULTED.sub(fill_or_default, word.text))
    return [(text, used[0] if used else origin)]
