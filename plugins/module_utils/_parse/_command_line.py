# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Read which of gunicorn, uvicorn, hypercorn, celery and rq a command line starts, and the settings it gives them.

Private to oncall.pressure: no stable interface. Pure: text in, plain data out. Nothing is expanded, resolved or run: what
is set through a variable is said to be so, and an argument that is one whole variable is named, because any option may hide in it.
"""

from __future__ import annotations

import re
import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._parse import _command_options as options
from ansible_collections.oncall.pressure.plugins.module_utils._parse import _command_text, _command_wrappers, _shell_words
from ansible_collections.oncall.pressure.plugins.module_utils._parse._shell_words import SHELL, Unsplittable, Word

#: settings whose value is a number
_NUMBERS = frozenset(("workers", "threads", "max_requests", "max_requests_jitter", "timeout", "max_tasks_per_child", "max_memory_per_child"))

#: the settings of the flat form, in its order
LABELS = (
    "workers", "threads", "worker_class", "max_requests", "max_requests_jitter", "timeout", "max_tasks_per_child", "max_memory_per_child", "queues",
    "autoscale", "config", "bind",
)

_GUNICORN = re.compile(r"gunicorn(?:-?\d+(?:\.\d+)*)?(?:_django|_paster)?")
_PYTHON = re.compile(r"(?:python|pypy)(?:\d+(?:\.\d+)*)?")
_VARIABLE_PROGRAM = re.compile(r"(?:.*_)?(gunicorn|uvicorn|hypercorn|celery)(?:_(?:bin|path|cmd|exec|executable|binary|command))?", re.IGNORECASE)
_UNIT_PREFIX = re.compile(r"[-@:+!|]*")
_CELERY_COMMANDS = ("worker", "beat", "flower", "multi")
_CELERY_TABLES = {"worker": options.CELERY_WORKER, "multi": options.CELERY_WORKER, "flower": options.FLOWER, "beat": options.CELERY_BEAT}
_MANAGEMENT = ("manage.py", "django-admin", "django-admin.py", "manage")
_APPLICATION = re.compile(r"[A-Za-z_][\w./]*(?::.+)?$")
_DEPTH = 4


class Setting(t.NamedTuple):
    """One setting: its value (number, text, list of queues, True for a flag; null where it is unresolved), the index of the word
    that holds it, the text of it there, and the names of the variables that it depends on."""

    value: t.Any
    word: int
    text: str
    unresolved: tuple[str, ...]


class Command(t.NamedTuple):
    """A command that starts one of the programs.

    settings: by name; host, port, uds, app, chdir, beat, broker, node, scheduler, env and env_file beside those of LABELS
    opaque: arguments that are one whole variable, as written
    words: of the text that names the program; ``first`` is the index of the program's own word
    nested: the words are those of an inner ``sh -c '...'``: their places are counted in its text
    environment: assignments before the program; directory: where ``cd`` went before it, null where it did not
    """

    program: str
    subcommand: str | None
    settings: dict[str, Setting]
    opaque: tuple[str, ...]
    words: tuple[Word, ...]
    first: int
    nested: bool
    environment: dict[str, str]
    directory: str | None

    def flat(self) -> dict[str, t.Any]:
        """Everything in one dictionary of plain values: ``unresolved:NAME[,NAME]`` where a variable sets it, null where nothing does."""
        flat: dict[str, t.Any] = {"program": self.program, "subcommand": self.subcommand}
        for name in LABELS:
            setting = self.settings.get(name)
            flat[name] = None if setting is None else "unresolved:" + ",".join(setting.unresolved) if setting.unresolved else setting.value
        if self.subcommand == "beat":
            flat["config"] = None
        flat["opaque_args"] = list(self.opaque)
        return flat


class Refused(t.NamedTuple):
    """The command line is not read, and why; it ends with what a person can do."""

    reason: str


class _Scope(t.NamedTuple):
    """What is known when the words of a simple command are looked at."""

    words: list[Word]
    items: list[int]
    texts: list[str]
    environment: dict[str, str]
    directory: str | None
    literal: bool
    depth: int


def parse(raw: str, kind: str) -> Command | Refused:
    """Read a command line as it is written in a file.

    :param kind: systemd, supervisor, procfile, compose, shell, or argv (a process's arguments, one a line, in which nothing is variable)
    """
    try:
        words = _command_text.words(raw, kind)
        if kind == "systemd" and words:
            words = _without_unit_prefix(words)
        found = _find(words, {}, None, kind == "argv", 0)
    except Unsplittable as problem:
        return Refused("%s: correct the line, or read it by hand" % problem)
    if found is None:
        return Refused(
            "none of gunicorn, uvicorn, hypercorn, celery and rq is named as the program that is started: look into the script or variable that "
            "starts it, or at the running process's own arguments"
        )
    return found


def parse_argv(argv: t.Sequence[str]) -> Command | Refused:
    """Read a process's arguments: nothing in them is variable."""
    return _found([Word(text, 0, 0) for text in argv], True)


def parse_words(words: t.Sequence[Word]) -> Command | Refused:
    """Read words that were split already; what is still variable in them is said to be so."""
    return _found(list(words), False)


def _found(words: list[Word], literal: bool) -> Command | Refused:
    try:
        found = _find(words, {}, None, literal, 0)
    except Unsplittable as problem:
        # a shell's own command among the words
        return Refused("%s: correct the line, or read it by hand" % problem)
    return found if found is not None else Refused("none of the programs that are known is started by it")


def _without_unit_prefix(words: list[Word]) -> list[Word]:
    prefix = _UNIT_PREFIX.match(words[0].text)
    length = prefix.end() if prefix else 0
    first = words[0]._replace(text=words[0].text[length:], start=words[0].start + length)
    # after @ the second word is what the program is called, not an argument
    return [first] + words[2 if "@" in words[0].text[:length] else 1:]


def _find(words: list[Word], environment: dict[str, str], directory: str | None, literal: bool, depth: int) -> Command | None:
    """The first command of a line that starts one of the programs."""
    environment = dict(environment)
    for items in _simple_commands(words):
        texts = [words[index].text for index in items]
        if texts[0] == "export":
            environment.update(_assignments(texts[1:]))
            continue
        if texts[0] == "cd" and len(texts) > 1:
            directory = _shell_words.plain(texts[1])
            continue
        scope = _Scope(words, items, texts, environment, directory, literal, depth)
        found = _started(scope)
        if found is not None:
            return found
    return None


def _assignments(texts: t.Iterable[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in texts:
        name, separator, value = text.partition("=")
        if separator and _command_wrappers.ASSIGNMENT.match(text):
            found[name] = _shell_words.plain(value)
    return found


def _simple_commands(words: list[Word]) -> list[list[int]]:
    """The words' indexes, by command; redirections are left out."""
    commands: list[list[int]] = [[]]
    skip = False
    for index, word in enumerate(words):
        if word.operator and (">" in word.text or "<" in word.text):
            # what follows is a file, unless the descriptor is named already
            skip = not re.search(r"&(?:\d+-?|-)$", word.text)
        elif word.operator:
            commands.append([])
            skip = False
        elif skip:
            skip = False
        else:
            commands[-1].append(index)
    return [command for command in commands if command]


def _started(scope: _Scope) -> Command | None:
    """What a simple command starts, through everything that stands before it."""
    texts, position = scope.texts, 0
    environment = dict(scope.environment)
    while position < len(texts):
        text = texts[position]
        if not scope.literal and _command_wrappers.ASSIGNMENT.match(text) or scope.literal and position and _command_wrappers.ASSIGNMENT.match(text):
            environment.update(_assignments([text]))
            position += 1
            continue
        if text in _command_wrappers.KEYWORDS:
            position += 1
            continue
        here = scope._replace(environment=environment)
        name = _base(text)
        found = _program(here, name, position)
        if found is not None:
            return found
        if name in _command_wrappers.NOT_STARTERS or name in _command_wrappers.CONTAINER_CLIENTS and not {"run", "exec"} & set(texts):
            return None
        if name == "start-stop-daemon":
            return _daemon(here, position)
        inner = _inner_text(name, texts, position)
        if inner is not None:
            return _nested(here, inner)
        step = _python(here, position) if _PYTHON.fullmatch(name) else _command_wrappers.passed_over(name, texts[position:])
        if isinstance(step, Command):
            return step
        if step is None:
            return _anywhere(here, position + 1)
        position += step
    return None


def _base(text: str) -> str:
    """The name of a program: the last part of its path, also where a variable holds the rest."""
    return text.rpartition("/")[2]


def _nested(scope: _Scope, inner: str) -> Command | None:
    """What the text of an inner shell starts."""
    if scope.depth >= _DEPTH:
        return None
    words = _shell_words.split(_shell_words.shell_text(inner), SHELL)
    found = _find(words, scope.environment, scope.directory, False, scope.depth + 1)
    return None if found is None else found._replace(nested=True)


def _daemon(scope: _Scope, position: int) -> Command | None:
    """``start-stop-daemon --start --exec PROGRAM -- ARGUMENTS``."""
    texts = scope.texts
    started = next((index + 1 for index in range(position, len(texts) - 1) if texts[index] in ("--exec", "-x", "--startas", "-a")), None)
    if started is None:
        return None
    after = texts.index("--", position) + 1 if "--" in texts[position:] else len(texts)
    kept = [started] + list(range(after, len(texts)))
    return _started(scope._replace(items=[scope.items[index] for index in kept], texts=[texts[index] for index in kept]))


def _inner_text(name: str, texts: list[str], position: int) -> str | None:
    """The command that ``sh -c``, ``su -c`` or ``env -S`` is given as one word; null where there is none."""
    if name == "env" and texts[position + 1: position + 2] == ["-S"]:
        return " ".join(texts[position + 2:])
    if name in ("su", "runuser", "script", "flock"):
        wanted = re.compile(r"-[a-z]*c|--command")
    elif _command_wrappers.is_shell(name):
        wanted = re.compile(r"-[A-Za-z]*c[A-Za-z]*")
    elif name in ("watchfiles", "hupper", "nodemon", "tmux", "screen") and not any(_command_wrappers.is_shell(_base(text)) for text in texts[position:]):
        return next((text for text in texts[position + 1:] if " " in text), None)
    else:
        return None
    for index in range(position + 1, len(texts) - 1):
        if wanted.fullmatch(texts[index]):
            return texts[index + 1]
        if texts[index].startswith("--command="):
            return texts[index].partition("=")[2]
    return None


def _python(scope: _Scope, position: int) -> Command | int | None:
    """Pass over an interpreter and its options: a command, or how many words to pass over, or null."""
    texts, index = scope.texts, position + 1
    while index < len(texts) and texts[index].startswith("-") and texts[index] != "--":
        option = texts[index]
        joined = re.fullmatch(r"-[A-Za-z]*?m(.*)", option)
        if joined and not option.startswith("--"):
            module = joined.group(1) or (texts[index + 1] if index + 1 < len(texts) else "")
            return _module(scope, module, index + (0 if joined.group(1) else 1)) if module else None
        if option.startswith("-c"):
            return None
        index += 2 if option in ("-X", "-W", "--check-hash-based-pycs") else 1
    return index - position


def _module(scope: _Scope, module: str, index: int) -> Command | int | None:
    """What ``python -m MODULE`` starts; ``index`` is where the module's name stands."""
    parts = module.split(".")
    if module == "celery.bin.worker":
        return _celery_worker(scope, "worker", index, index + 1)
    if parts[0] in ("gunicorn", "uvicorn", "hypercorn", "celery", "rq", "flower") and (len(parts) == 1 or parts[1] in ("app", "cli", "main", "__main__")):
        return _program(scope, parts[0], index)
    if module in ("debugpy", "ptvsd", "pdb", "memray", "coverage", "cProfile", "newrelic.admin", "viztracer"):
        for later in range(index + 1, len(scope.texts)):
            if scope.texts[later] == "-m" and later + 1 < len(scope.texts):
                return _module(scope, scope.texts[later + 1], later + 1)
        return _anywhere(scope, index + 1)
    if module == "django":
        return _management(scope, index)
    return None if module in _command_wrappers.NOT_STARTERS else _anywhere(scope, index + 1)


def _anywhere(scope: _Scope, start: int) -> Command | None:
    """A program named among the arguments of a script that we do not know (``start.sh gunicorn ...``)."""
    for position in range(start, len(scope.texts)):
        text = scope.texts[position]
        name = _base(text)
        if _GUNICORN.fullmatch(name) or name in ("uvicorn", "hypercorn", "celery", "rq", "rqworker"):
            found = _program(scope, name, position)
            if found is not None and _convincing(scope, found, position):
                return found
        inner = _inner_text(name, scope.texts, position) if _command_wrappers.is_shell(name) else text if " " in text.strip() else None
        if inner is not None:
            found = _inner_program(scope, inner)
            if found is not None:
                return found
    return None


def _inner_program(scope: _Scope, inner: str) -> Command | None:
    """A program in a text that may be a command; it need not be one."""
    try:
        return _nested(scope, inner)
    except Unsplittable:
        return None


def _convincing(scope: _Scope, found: Command, position: int) -> bool:
    """Whether a program that is only mentioned is really meant to run: it has a subcommand, a setting, or an application."""
    if found.program in ("celery", "rq"):
        return found.subcommand in _CELERY_COMMANDS + ("worker-pool",)
    return bool(found.settings) or any(_APPLICATION.match(text) for text in scope.texts[position + 1:])


def _program(scope: _Scope, name: str, position: int) -> Command | None:
    """The command of a program whose word stands at ``position``; null where it is none of ours."""
    if not scope.literal and "/" not in scope.texts[position] and _shell_words.is_variable(scope.texts[position]):
        named = _VARIABLE_PROGRAM.fullmatch(_shell_words.variables(scope.texts[position])[0])
        name = named.group(1).lower() if named else ""
    if _GUNICORN.fullmatch(name):
        return _plain(scope, "gunicorn", position, position + 1, options.GUNICORN)
    if name == "uvicorn":
        return _plain(scope, "uvicorn", position, position + 1, options.UVICORN)
    if name == "fastapi" and scope.texts[position + 1: position + 2] in (["run"], ["dev"]):
        return _plain(scope, "uvicorn", position, position + 2, options.UVICORN)
    if name == "hypercorn":
        return _plain(scope, "hypercorn", position, position + 1, options.HYPERCORN)
    if name in _MANAGEMENT:
        return _management(scope, position)
    if name == "rqworker":
        return _rq_worker(scope, position, position + 1)
    if name == "rqscheduler":
        return _plain(scope, "rq", position, position + 1, options.RQ_POOL)._replace(subcommand="scheduler", settings={})
    if name == "rq":
        return _rq(scope, position)
    if scope.texts[position + 1: position + 2] == ["rqworker"]:
        return _rq_worker(scope, position, position + 2)
    if name in ("celeryd", "celerybeat"):
        return _celery_worker(scope, "worker" if name == "celeryd" else "beat", position, position + 1)
    if name == "flower":
        return _celery_worker(scope, "flower", position, position + 1)
    if name == "celery" or name.endswith(("-celery", "_celery")):
        found = _celery(scope, position)
        return found if found is None or name == "celery" or found.subcommand in _CELERY_COMMANDS else None
    return None


def _management(scope: _Scope, position: int) -> Command | None:
    """A Django management command, or null."""
    for index in range(position + 1, len(scope.texts)):
        text = scope.texts[index]
        if text in ("rqworker", "rqworker-pool"):
            return _rq_worker(scope, position, index + 1) if text == "rqworker" else _rq_pool(scope, position, index + 1)
        if text == "rqscheduler":
            return _program(scope, text, index)
        if text in ("celery", "celeryd", "celerybeat"):
            return _program(scope, text, index)
        if not text.startswith("-"):
            return None
    return None


def _rq(scope: _Scope, position: int) -> Command | None:
    index = position + 1
    while index < len(scope.texts) and scope.texts[index].startswith("-"):
        index += 1
    command = scope.texts[index] if index < len(scope.texts) else ""
    if command == "worker":
        return _rq_worker(scope, position, index + 1)
    if command == "worker-pool":
        return _rq_pool(scope, position, index + 1)
    if command == "cron":
        return _plain(scope, "rq", position, index + 1, options.RQ_POOL)._replace(subcommand="cron", settings={})
    return None


def _rq_worker(scope: _Scope, position: int, start: int) -> Command:
    return _with_queues(_plain(scope, "rq", position, start, options.RQ_WORKER)._replace(subcommand="worker"), scope, start, options.RQ_WORKER)


def _rq_pool(scope: _Scope, position: int, start: int) -> Command:
    return _with_queues(_plain(scope, "rq", position, start, options.RQ_POOL)._replace(subcommand="worker-pool"), scope, start, options.RQ_POOL)


def _with_queues(command: Command, scope: _Scope, start: int, table: options.Table) -> Command:
    """rq's queues are its positional words."""
    named = [pair for pair in options.read(scope.texts, table, start).positional if scope.literal or not _shell_words.is_variable(pair[1])]
    if not named:
        return command
    texts = [_shell_words.plain(text) for dummy, text in named]
    unresolved = () if scope.literal else tuple(name for dummy, text in named for name in _shell_words.variables(text))
    settings = dict(command.settings, queues=Setting(None if unresolved else texts, scope.items[named[0][0]], " ".join(texts), unresolved))
    return command._replace(settings=settings)


def _celery(scope: _Scope, position: int) -> Command | None:
    """celery's command; the options before its subcommand count too: its own, and in old releases the subcommand's as well."""
    before = options.read(scope.texts, options.CELERY_WORKER, position + 1, first_positional_ends=True)
    opaque: list[str] = []
    start = position + 1
    while before.positional and not scope.literal and _shell_words.is_variable(before.positional[0][1]):
        # a variable before the subcommand: options may hide in it
        opaque.append(_shell_words.plain(before.positional[0][1]))
        start = before.positional[0][0] + 1
        later = options.read(scope.texts, options.CELERY_WORKER, start, first_positional_ends=True)
        before = options.Arguments(before.options + later.options, later.positional)
    command = before.positional[0][1] if before.positional else None
    if command is None:
        return _command(scope, "celery", None, position, before.options, opaque)
    found = _celery_worker(scope, command, position, before.positional[0][0] + 1)
    ahead = _settings(scope, "celery", before.options)
    if command not in ("worker", "multi"):
        ahead = {name: setting for name, setting in ahead.items() if name in options.CELERY.sets.values()}
    settings = dict(ahead, **found.settings)
    return found._replace(settings=settings, opaque=tuple(opaque) + found.opaque)


def _celery_worker(scope: _Scope, command: str, position: int, start: int) -> Command:
    return _plain(scope, "celery", position, start, _CELERY_TABLES.get(command, options.CELERY))._replace(subcommand=command)


def _plain(scope: _Scope, program: str, position: int, start: int, table: options.Table) -> Command:
    """A program whose options begin at ``start``."""
    arguments = options.read(scope.texts, table, start)
    opaque = [] if scope.literal else [_shell_words.plain(text) for dummy, text in arguments.positional if _shell_words.is_variable(text)]
    return _command(scope, program, None, position, arguments.options, opaque)


def _command(scope: _Scope, program: str, subcommand: str | None, position: int, found: list[options.Found], opaque: list[str]) -> Command:
    settings = _settings(scope, program, found)
    if program in ("uvicorn", "celery"):
        bind = _bind(settings)
        if bind is not None:
            settings["bind"] = bind
    return Command(
        program, subcommand, settings, tuple(opaque), tuple(scope.words), scope.items[position], False, dict(scope.environment), scope.directory
    )


def _settings(scope: _Scope, program: str, found: list[options.Found]) -> dict[str, Setting]:
    """The last of each option counts; gunicorn and hypercorn listen on every ``--bind``."""
    settings: dict[str, Setting] = {}
    for option in found:
        setting = _setting(scope, option)
        before = settings.get(option.setting)
        if option.setting in ("bind", "env") and before is not None and program in ("gunicorn", "hypercorn"):
            joined = before.text + "," + setting.text
            unresolved = before.unresolved + tuple(name for name in setting.unresolved if name not in before.unresolved)
            setting = Setting(None if unresolved else joined, setting.word, joined, unresolved)
        settings[option.setting] = setting
    return settings


def _setting(scope: _Scope, option: options.Found) -> Setting:
    index = scope.items[option.holder]
    if option.value is None:
        return Setting(True, index, "", ())
    text = _shell_words.plain(option.value)
    unresolved = () if scope.literal else tuple(_shell_words.variables(option.value))
    if unresolved:
        return Setting(None, index, text, unresolved)
    if option.setting in _NUMBERS and re.fullmatch(r"[ \t\r\n]*[-+]?[0-9]{1,18}[ \t\r\n]*", text):
        return Setting(int(text), index, text, ())
    if option.setting == "queues":
        return Setting([name.strip() for name in text.split(",") if name.strip()], index, text, ())
    return Setting(text, index, text, ())


def _bind(settings: dict[str, Setting]) -> Setting | None:
    """Where uvicorn or flower listens: a socket's path, or host and port as far as they are given."""
    if "uds" in settings:
        return settings["uds"]
    host, port = settings.get("host"), settings.get("port")
    if host is None and port is None:
        return None
    given = [setting for setting in (host, port) if setting is not None]
    unresolved = tuple(dict.fromkeys(name for setting in given for name in setting.unresolved))
    text = (host.text if host else "") + (":" + port.text if port else "")
    return Setting(None if unresolved else text, given[0].word, text, unresolved)
