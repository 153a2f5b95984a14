# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tell whether a process is a run of a cron job, by its arguments.

Private to oncall.pressure: no stable interface. Pure: text in, plain data out. Source: crontab(5), and what cron of Debian 12 and cronie start:
``SHELL -c COMMAND``, in whose place bash (and newer dash) may have put the last command itself.
"""

from __future__ import annotations

import re
import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._parse import _shell_words

_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")
#: What a shell puts something else in the place of.
_EXPANDED = re.compile(r"[$`*?\[\]~{}\ue000\ue001]")
_PREFIXES = ("exec", "command", "builtin")


def script(command: str) -> str:
    """What the shell is given of an entry's command: up to the first ``%`` that no backslash stands before; the rest is its standard input."""
    parts = re.split(r"(?<!\\)%", command, maxsplit=1)
    return parts[0].replace("\\%", "%").strip()


def commands(text: str) -> list[list[str]]:
    """The words of each simple command of a script, without variables set before them and without redirections; none where it cannot be split."""
    try:
        words = _shell_words.split(text, _shell_words.SHELL)
    except _shell_words.Unsplittable:
        return []
    found: list[list[str]] = [[]]
    skip = False
    for word in words:
        if word.operator:
            redirects = word.text.strip("0123456789&-")[:1] in ("<", ">")
            if not redirects:
                found.append([])
            # "2>&1" is whole; after ">" comes the name of a file
            skip = redirects and word.text[-1:] in ("<", ">", "|")
        elif skip:
            skip = False
        elif found[-1] or not (_ASSIGNMENT.match(word.text) or word.text in _PREFIXES):
            found[-1].append(word.text)
    return [row for row in found if row]


def is_run_of(command: str, argv: t.Sequence[str]) -> bool:
    """Whether a process with these arguments is a run of an entry's command: the shell with it, or the one command that took the shell's place."""
    text = script(command)
    if len(argv) >= 3 and argv[1] == "-c":
        return argv[2].strip() == text
    # only the last one can take the shell's place
    return any(_alike(words, argv) for words in commands(text)[-1:])


def _alike(words: t.Sequence[str], argv: t.Sequence[str]) -> bool:
    """Whether the words are the arguments, or what an interpreter (and an option of its) was given as a script."""
    for before in range(3):
        rest = argv[before:]
        if len(rest) == len(words) and all(_same(word, given, place == 0) for place, (word, given) in enumerate(zip(words, rest))):
            # a name alone that follows other words is an argument of theirs
            return before == 0 or "/" in words[0]
    return False


def _same(word: str, given: str, program: bool) -> bool:
    if word == given or _EXPANDED.search(word):
        return True
    return program and "/" not in word and given.rpartition("/")[2] == word
