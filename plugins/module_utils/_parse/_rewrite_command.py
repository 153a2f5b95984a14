# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Give a command line other settings, and leave every other byte of it as it is.

Private to oncall.pressure: no stable interface. Pure: text in, text out.

A literal value is replaced where it stands, in the spelling it has. Where a variable gives the value, or nothing does, the option is
added behind the command's own words: gunicorn and hypercorn (argparse), uvicorn, celery and rq (argparse, later click) all let the last of an
option count, which was tried on gunicorn 19.9 to 27.0, uvicorn 0.17 to 0.54 and celery 4.4 to 5.7. Whatever was done is read again:
unless that one setting alone differs, it is refused.
"""

from __future__ import annotations

import re
import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._parse import _command_line, _command_text, _shell_words
from ansible_collections.oncall.pressure.plugins.module_utils._parse._command_line import Command, Refused, Setting
from ansible_collections.oncall.pressure.plugins.module_utils._parse._shell_words import Unsplittable, Word

_RECYCLING = {"max_requests": "--max-requests", "max_requests_jitter": "--max-requests-jitter"}

#: how each program calls the settings that are rewritten
OPTIONS: dict[str, dict[str, str]] = {
    "gunicorn": dict(_RECYCLING, workers="--workers"),
    "hypercorn": dict(_RECYCLING, workers="--workers"),
    "uvicorn": {"workers": "--workers", "max_requests": "--limit-max-requests", "max_requests_jitter": "--limit-max-requests-jitter"},
    "celery": {
        "workers": "--concurrency", "max_tasks_per_child": "--max-tasks-per-child", "max_memory_per_child": "--max-memory-per-child",
        "autoscale": "--autoscale",
    },
    "rq": {"workers": "--num-workers"},
}

#: the document's names of settings that a command calls otherwise
ALIASES = {"max_memory_per_child_kib": "max_memory_per_child"}

_VALUE = re.compile(r"\d{1,12}(?:,\d{1,12})?")
_QUOTES = "\"'\\"
#: how many places are tried, the last ones, where a text has no exact place of its own
_TRIALS = 16
#: how many words are tried to add something behind
_ANCHORS = 4


def rewrite(raw: str, kind: str, settings: t.Mapping[str, int | str], variables: t.Mapping[str, str] | None = None) -> str | Refused:
    """The command line with other settings, or why not (it ends with what a person can do).

    :param raw: as it is written in a file; :param kind: as for ``_command_line.parse``
    :param settings: workers, max_requests, max_requests_jitter, max_tasks_per_child, max_memory_per_child[_kib] (numbers), autoscale ("MAX,MIN")
    :param variables: what the variables of the line are known to hold; null where that is not known
    """
    text = raw
    for name, value in settings.items():
        found = _one(text, kind, ALIASES.get(name, name), str(value), variables or {})
        if isinstance(found, Refused):
            return found
        text = found
    return text


def _one(raw: str, kind: str, name: str, value: str, variables: t.Mapping[str, str]) -> str | Refused:
    if not _VALUE.fullmatch(value):
        return Refused("%s is no value for %s: give a number" % (value, name))
    command = _command_line.parse(raw, kind)
    if isinstance(command, Refused):
        return command
    problem = _unfit(command, name)
    if problem is not None:
        return Refused(problem)
    setting = command.settings.get(name)
    job = _Job(raw, kind, name, value, command, OPTIONS[command.program][name])
    own = _own(command)
    hiding = [index for index in own if _hides(command, index)]
    literal = setting is not None and not setting.unresolved
    if literal and setting is not None and setting.word > max(hiding, default=-1):
        return raw if setting.text == value else _replaced(job, setting)
    unknown = [index for index in hiding if not _known(command.words[index].text, variables)]
    for index in hiding:
        problem = _hidden(job, command.words[index], variables)
        if problem is not None:
            return Refused(problem)
    if literal and setting is not None and not unknown and not _given_by(hiding, command, job, variables):
        return raw if setting.text == value else _replaced(job, setting)
    if command.subcommand == "multi":
        return Refused("celery multi hands its options on to each of its nodes: set %s to %s where %s is given" % (job.option, value, _source(setting, hiding)))
    return _added(job, own, max(hiding, default=-1))


class _Job(t.NamedTuple):
    """One setting to be given one value in one text."""

    raw: str
    kind: str
    name: str
    value: str
    command: Command
    option: str


def _unfit(command: Command, name: str) -> str | None:
    """Why a command does not take a setting at all; null where it does."""
    what = command.program + (" " + command.subcommand if command.subcommand else "")
    if name not in OPTIONS[command.program]:
        return "%s has no option for %s: leave that out" % (what, name)
    if command.program == "celery" and command.subcommand not in ("worker", "multi"):
        return "%s has no setting %s: change it where the worker is started" % (what, name)
    if command.program == "rq" and command.subcommand != "worker-pool":
        return "%s runs one job at a time: start fewer of them (instances of the unit, numprocs of the program)" % what
    if name == "workers" and "autoscale" in command.settings:
        return "--autoscale is given, whose first number counts and not --concurrency: lower that one"
    return None


def _own(command: Command) -> list[int]:
    """The indexes of the program's own words: from its name to the next operator, without redirections and their files."""
    own: list[int] = []
    skip = False
    for index in range(command.first, len(command.words)):
        word = command.words[index]
        if word.operator and (">" in word.text or "<" in word.text):
            skip = not re.search(r"&(?:\d+-?|-)$", word.text)
        elif word.operator:
            break
        elif skip:
            skip = False
        else:
            own.append(index)
    return own


def _hides(command: Command, index: int) -> bool:
    text = command.words[index].text
    return bool(command.opaque) and _shell_words.is_variable(text) and _shell_words.plain(text) in command.opaque


def _known(text: str, variables: t.Mapping[str, str]) -> bool:
    return all(name in variables for name in _shell_words.variables(text))


def _hidden(job: _Job, word: Word, variables: t.Mapping[str, str]) -> str | None:
    """Why an option that is added behind a variable might not count; null where it does."""
    shown = _shell_words.plain(word.text)
    if not _known(word.text, variables):
        if _one_argument(job, word):
            # whatever it is, an option behind it counts
            return None
        return "%s may hold any option, and what it holds is not known: set %s to %s there" % (shown, job.option, job.value)
    words = _content(word.text, variables)
    if words is None or "--" in words:
        return "%s cannot be followed by another option: set %s to %s in it" % (shown, job.option, job.value)
    return None


def _one_argument(job: _Job, word: Word) -> bool:
    """Whether a variable can be no more than one argument: systemd's ``${X}``, a shell's ``"$X"``."""
    if not _exact(job, word) or "@" in word.text:
        return False
    if job.kind == "systemd":
        return word.text.startswith("${")
    written = job.raw[word.start: word.end]
    return job.kind == "shell" and len(written) > 2 and written[0] == written[-1] == '"'


def _content(text: str, variables: t.Mapping[str, str]) -> list[str] | None:
    """The words that a variable holds, null where they cannot be read."""
    found: list[str] = []
    for name in _shell_words.variables(text):
        try:
            found += [word.text for word in _shell_words.split(variables[name], _shell_words.SHLEX)]
        except Unsplittable:
            return None
    return found


def _given_by(hiding: t.Sequence[int], command: Command, job: _Job, variables: t.Mapping[str, str]) -> bool:
    """Whether a variable behind the literal gives the setting too."""
    words = [word for index in hiding for word in _content(command.words[index].text, variables) or []]
    head = [command.program] + ([command.subcommand] if command.subcommand else [])
    found = _command_line.parse_argv(head + words)
    return isinstance(found, Refused) or job.name in found.settings


def _source(setting: Setting | None, hiding: t.Sequence[int]) -> str:
    if setting is not None and setting.unresolved:
        return "the variable " + ", ".join(setting.unresolved)
    return "its variable" if hiding else "its command line"


# replacing


def _replaced(job: _Job, setting: Setting) -> str | Refused:
    """The literal value in its place, in quotes and joined to its option as it was."""
    word = job.command.words[setting.word]
    if _exact(job, word):
        start = job.raw.rfind(setting.text, word.start, word.end)
        places = [start] if start >= 0 else []
    else:
        before = job.command.words[setting.word - 1].text if _shell_words.plain(word.text) == setting.text else None
        places = _places(job.raw, setting.text, word.text, before)
    length = len(setting.text)
    good = [text for text in (job.raw[:place] + job.value + job.raw[place + length:] for place in places) if _only(job, text)]
    if len(good) == 1:
        return good[0]
    return Refused("the value %s of %s has no place of its own in the text: set it to %s by hand" % (setting.text, job.name, job.value))


def _exact(job: _Job, word: Word) -> bool:
    """Whether a word's place is the one in the text: not in an inner command, nor one of several words of a quoted text."""
    return not job.command.nested and sum(other.start == word.start for other in job.command.words) == 1


def _places(raw: str, value: str, word: str, option: str | None) -> list[int]:
    """Where a value behind its option may stand in a text with quotes and escapes of several layers."""
    if option is None:
        pattern = re.escape(word[: len(word) - len(value)]) + r"[\"'\\]{0,4}"
    else:
        pattern = re.escape(option) + r"[\s\"'\\,-]{1,40}?"
    found = re.finditer(r"(?<![\w-])%s(?P<value>%s)(?![\w.])" % (pattern, re.escape(value)), raw)
    return [match.start("value") for match in found][-_TRIALS:]


# adding


def _added(job: _Job, own: list[int], hiding: int) -> str | Refused:
    """The option behind the command's last own word, before ``--``; in a text of several layers perhaps some words before, but behind ``hiding``."""
    words = job.command.words
    end = next((position for position, index in enumerate(own) if position and words[index].text == "--"), len(own))
    exact = _exact(job, words[own[end - 1]])
    for index in reversed(own[:end][-1 if exact else -_ANCHORS:]):
        for place in [words[index].end] if exact else _ends(job.raw, words[index].text) if index >= hiding else []:
            for addition in _additions(job, place):
                text = job.raw[:place] + addition + job.raw[place:]
                if _only(job, text):
                    return text
    return Refused("there is no sure place for %s %s in the text: add it by hand" % (job.option, job.value))


def _ends(raw: str, word: str) -> list[int]:
    """Where a word may end in a text with quotes and escapes of several layers, the last place first."""
    ends = [match.end() for match in re.finditer(re.escape(_shell_words.plain(word)) + r"(?![\w./:-])", raw)]
    return [place for found in reversed(ends[-_TRIALS:]) for place in reversed(_behind(raw, found))]


def _behind(raw: str, place: int) -> list[int]:
    """A place, and those behind the quotes that follow."""
    places = [place]
    while place < len(raw) and raw[place] in _QUOTES and len(places) < 4:
        place += 1
        places.append(place)
    return places


def _additions(job: _Job, place: int) -> list[str]:
    """How two words are added at a place: as the text is written, or as the items of a list."""
    if job.kind == "argv":
        return ["\n%s\n%s" % (job.option, job.value)]
    plain = " %s %s" % (job.option, job.value)
    if job.kind != "compose":
        return [plain]
    line = job.raw[job.raw.rfind("\n", 0, place) + 1: place]
    item = re.match(r"\s*-\s+", line)
    if item:
        return ['\n%s"%s"\n%s"%s"' % (item.group(), job.option, item.group(), job.value), plain]
    return [', "%s", "%s"' % (job.option, job.value), plain]


# reading again


def _only(job: _Job, text: str) -> bool:
    """Whether a text says what the first one did, but for the one setting."""
    after = _command_line.parse(text, job.kind)
    if isinstance(after, Refused):
        return False
    setting = after.settings.get(job.name)
    if setting is None or setting.unresolved or setting.text != job.value:
        return False
    before = job.command
    same = all(getattr(after, field) == getattr(before, field) for field in ("program", "subcommand", "opaque", "nested", "environment", "directory"))
    return same and _others(after, job.name) == _others(before, job.name) and _few_words(job, text)


def _others(command: Command, name: str) -> dict[str, tuple[t.Any, ...]]:
    return {key: (setting.value, setting.text, setting.unresolved) for key, setting in command.settings.items() if key != name}


def _few_words(job: _Job, text: str) -> bool:
    """Whether the words of the whole text differ in one, or in two that were added."""
    try:
        old = [word.text for word in _command_text.words(job.raw, job.kind)]
        new = [word.text for word in _command_text.words(text, job.kind)]
    except Unsplittable:
        return False
    start = 0
    while start < min(len(old), len(new)) and old[start] == new[start]:
        start += 1
    end = 0
    while end < min(len(old), len(new)) - start and old[-1 - end] == new[-1 - end]:
        end += 1
    gone, come = len(old) - start - end, len(new) - start - end
    return (gone, come) in ((1, 1), (0, 2))
