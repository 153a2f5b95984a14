# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Take the command out of the line of a unit, a supervisor program, a Procfile, a compose file or a script, split into words.

Private to oncall.pressure: no stable interface. Pure: text in, plain data out.

Nothing is moved: what is no part of the command becomes blanks, so that every word keeps its place in the text as written.
"""

from __future__ import annotations

import re

from ansible_collections.oncall.pressure.plugins.module_utils._parse import _shell_words
from ansible_collections.oncall.pressure.plugins.module_utils._parse._shell_words import SHELL, SHLEX, SYSTEMD, Unsplittable, Word

_UNIT_KEY = re.compile(r"\s*Exec\w+\s*=")
_PROGRAM_KEY = re.compile(r"\s*command\s*=")
_PROCESS_KEY = re.compile(r"\s*[A-Za-z0-9_.-]+:(?=\s)")
_COMPOSE_KEY = re.compile(r"\s*(?:-\s+)?[\"']?(?:command|entrypoint|test)[\"']?\s*:(?=\s|$|\[)")
_BLOCK = re.compile(r"[ \t]*([>|])[+-]?\d?[+-]?[ \t]*(?:#[^\n]*)?\n")
_CONTINUATION = re.compile(r"\\\n(?:[ \t]*[#;][^\n]*\n)*")
_INLINE_COMMENT = re.compile(r"(?<=\s)[;#][^\n]*")
_FLOW_WORD = re.compile(r"\"((?:[^\"\\]|\\.)*)\"|'((?:[^']|'')*)'|([^\s,\[\]\"'][^,\]\n]*)")
#: far beyond any real one; it bounds the work on a hostile one
_LENGTH_LIMIT = 16384
_YAML_ESCAPES = {"n": "\n", "t": "\t", '"': '"', "\\": "\\", "/": "/", "0": "\0", "r": "\r", " ": " "}


def words(raw: str, kind: str) -> list[Word]:
    """The words of a command as it is written in a file.

    :param kind: systemd, supervisor, procfile, compose, shell or argv (one argument a line)

    Raises Unsplittable, with what is wrong.
    """
    if len(raw) > _LENGTH_LIMIT:
        raise Unsplittable("the command is longer than %d characters" % _LENGTH_LIMIT)
    raw = raw.replace("\r\n", " \n")
    if kind == "argv":
        return _argument_lines(raw)
    if kind == "systemd":
        text = _CONTINUATION.sub(_blanks, _without_key(raw, _UNIT_KEY))
        return _shell_words.split(_ends_at_line(text), SYSTEMD)
    if kind == "supervisor":
        text = _INLINE_COMMENT.sub(_blanks, _without_key(raw, _PROGRAM_KEY))
        return _shell_words.split(text.replace("\\\n", "  "), SHLEX)
    if kind == "procfile":
        return _shell_words.split(_without_key(raw, _PROCESS_KEY), SHELL)
    if kind == "compose":
        return _compose(raw)
    return _shell_words.split(raw, SHELL)


def _argument_lines(raw: str) -> list[Word]:
    found: list[Word] = []
    position = 0
    for line in raw.split("\n"):
        if line:
            found.append(Word(line, position, position + len(line)))
        position += len(line) + 1
    return found


def _blanks(found: re.Match[str]) -> str:
    return " " * len(found.group())


def _without_key(raw: str, key: re.Pattern[str]) -> str:
    found = key.match(raw)
    return " " * found.end() + raw[found.end():] if found else raw


def _ends_at_line(text: str) -> str:
    """A unit's setting ends with its line."""
    start = len(text) - len(text.lstrip())
    end = text.find("\n", start)
    return text if end < 0 else text[:end]


def _compose(raw: str) -> list[Word]:
    """A ``command:`` of a compose file: a scalar of any style, or a list."""
    text = _without_key(raw, _COMPOSE_KEY)
    body = text.lstrip()
    start = len(text) - len(body)
    block = _BLOCK.match(text.rstrip(" "), _end_of_key(raw))
    if block:
        return _shell_words.split(_folded(text, block.end(), block.group(1) == ">"), SHELL)
    if body.startswith("["):
        return _one_or_many(_flow(text, start))
    if re.match(r"-\s", body):
        return _one_or_many(_items(text))
    if body[:1] in ("'", '"'):
        found = _FLOW_WORD.match(text, start)
        if found is None:
            raise Unsplittable("a quote (%s) of the YAML text is not closed" % body[0])
        inner = found.group(1) if found.group(1) is not None else found.group(2)
        if body[0] == '"' and "\\" in inner or body[0] == "'" and "''" in inner:
            # escapes move the words: they have no place in the text any more
            return [word._replace(start=start, end=found.end()) for word in _shell_words.split(_unescaped(inner, body[0]), SHELL)]
        text = " " * (start + 1) + inner
    else:
        text = re.sub(r"(?<=\s)#[^\n]*", _blanks, text)
    return _shell_words.split(text.replace("\n", " "), SHELL)


def _end_of_key(raw: str) -> int:
    found = _COMPOSE_KEY.match(raw)
    return found.end() if found else 0


def _folded(text: str, start: int, fold: bool) -> str:
    """A block scalar with its line ends as the command sees them: folded ones are blanks, so are those between words."""
    lines = text[start:].split("\n")
    indents = [len(line) - len(line.lstrip(" ")) for line in lines if line.strip()]
    base = min(indents) if indents else 0
    parts = [" " * start]
    quote = ""
    for index, line in enumerate(lines):
        more = line.startswith(" " * (base + 1))
        quote = _open_quote(line, quote)
        parts.append(line)
        if index < len(lines) - 1:
            kept = not fold or more or lines[index + 1].startswith(" " * (base + 1))
            parts.append("\n" if kept and quote else " ")
    return "".join(parts)


def _open_quote(text: str, quote: str) -> str:
    """The quote that is open after ``text``, where ``quote`` was open before it."""
    for letter in text:
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "\"'":
            quote = letter
    return quote


def _flow(text: str, start: int) -> list[Word]:
    """The items of ``[a, "b", 'c']``."""
    found: list[Word] = []
    position = start + 1
    while position < len(text):
        letter = text[position]
        if letter in " \t\n,":
            position += 1
        elif letter == "]":
            return found
        elif letter == "#":
            end = text.find("\n", position)
            position = len(text) if end < 0 else end
        else:
            item = _FLOW_WORD.match(text, position)
            if item is None:
                raise Unsplittable("the YAML list cannot be read from %r on" % text[position: position + 20])
            found.append(_item(item))
            position = item.end()
    raise Unsplittable("the YAML list is not closed")


def _items(text: str) -> list[Word]:
    """The items of a list with a dash on each line."""
    found: list[Word] = []
    for line in re.finditer(r"(?m)^\s*-\s+(.*?)\s*$", text):
        value = line.group(1)
        if value[:1] in ("'", '"'):
            item = _FLOW_WORD.match(text, line.start(1))
            if item is None:
                raise Unsplittable("a quote (%s) of the YAML list is not closed" % value[0])
            found.append(_item(item))
        elif value[:1] in ("|", ">"):
            # a block to the end of the list: the text of a shell
            body = text[line.end():]
            found.append(Word(body.strip("\n"), line.end(), len(text)))
            break
        elif value and not value.startswith("#"):
            value = re.sub(r"\s+#.*", "", value)
            found.append(Word(value, line.start(1), line.start(1) + len(value)))
    return found


def _item(item: re.Match[str]) -> Word:
    double, single, bare = item.groups()
    value = _unescaped(double, '"') if double is not None else _unescaped(single, "'") if single is not None else bare.strip()
    return Word(value, item.start(), item.start() + len(item.group().rstrip()))


def _unescaped(text: str, quote: str) -> str:
    if quote == "'":
        return text.replace("''", "'")
    text = re.sub(r"\\\n\s*", "", text)
    return re.sub(r"\\(.)", lambda found: _YAML_ESCAPES.get(found.group(1), found.group()), text)


def _one_or_many(items: list[Word]) -> list[Word]:
    """A list's items are the words; people also put the whole line into one item."""
    if len(items) == 1 and " " in items[0].text:
        only = items[0]
        return [word._replace(start=only.start, end=only.end) for word in _shell_words.split(only.text, SHELL)]
    return items
