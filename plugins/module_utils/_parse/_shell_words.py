# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Split a command into words as a shell, systemd or Python's shlex do, keeping where each word stands and what is variable in it.

Private to oncall.pressure: no stable interface. Pure: text in, plain data out. Nothing is expanded or run.
"""

from __future__ import annotations

import re
import typing as t

SHELL = "shell"
SYSTEMD = "systemd"
#: what supervisor and compose do: quotes and backslashes, no operators (they count where they stand alone, as people write them)
SHLEX = "shlex"

#: Stands for a character that a shell would have expanded and that was quoted: $ and `.
_LITERAL = {"$": "\ue000", "`": "\ue001"}

_OPERATORS = ("&&", "||", ";;", ";", "|&", "|", "&", "(", ")", "\n")
_REDIRECT = re.compile(r"(?:\d*|&)(?:>>|>\||>&|>|<<<|<<-?|<&|<>|<)(?:&?\d+-?(?=\s|$|[;&|)])|&?-(?=\s|$))?")
_PLACEHOLDER = re.compile(r"<[A-Za-z_][\w.-]{0,80}>")
_TEMPLATES = (("{{", "}}"), ("{%", "%}"), ("{#", "#}"), ("<%", "%>"))
_NAME = re.compile(r"\$(?:[A-Za-z_]\w*|[0-9@*#?!$-])")
_VARIABLE = re.compile(
    r"\$\{[#!]?(?P<braced>[A-Za-z_]\w*|[0-9@*#])[^{}]{0,1000}(?:\{[^{}]{0,500}\}[^{}]{0,500}){0,8}\}|\$(?P<plain>[A-Za-z_]\w*|[0-9@*#])"
    r"|%\((?:ENV_)?(?P<supervisor>\w+)\)\d*[sd]"
    r"|\{\{(?P<jinja>[^{}]{1,1000})\}\}|<%[=-]*\s*(?P<erb>[^%]{0,500}?)\s*-?%>|\{%[^%]{0,500}%\}"
    r"|__(?P<dunder>[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)*)__|<(?P<angle>[A-Za-z_][\w.-]*)>"
)
_CONTROL = r"(?:\{%[^%]{0,500}%\}|<%(?!=)[^%]{0,500}%>|\{#[^#]{0,500}#\}){1,8}"
_CONTROL_ENDS = re.compile("^" + _CONTROL + "|" + _CONTROL + "$")
_EXPRESSION = re.compile(r"@?[A-Za-z_.][\w.]*")
_C_ESCAPES = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "\\": "\\", '"': '"', "'": "'", "s": " "}
_C_NUMBER = re.compile(r"x([0-9A-Fa-f]{2})|([0-7]{3})")


class Word(t.NamedTuple):
    """One word: its text without quotes, where it stands in the command's text, and whether it is an operator (&&, ;, a redirection)."""

    text: str
    start: int
    end: int
    operator: bool = False


class Unsplittable(ValueError):
    """The text is no whole command: a quote or a bracket is not closed."""


def split(text: str, flavour: str) -> list[Word]:
    """The words of a command. Raises Unsplittable."""
    words: list[Word] = []
    position = 0
    while position < len(text):
        letter = text[position]
        if letter in " \t\r" or (letter == "\n" and flavour != SHELL):
            position += 1
            continue
        if text.startswith("\\\n", position):
            position += 2
            continue
        if flavour == SHELL:
            operator = _operator(text, position)
            if operator is not None:
                words.append(Word(operator, position, position + len(operator), True))
                position += len(operator)
                continue
            if letter == "#":
                end = text.find("\n", position)
                position = len(text) if end < 0 else end
                continue
        word, position = _word(text, position, flavour)
        if "%" in word.text or "{#" in word.text:
            # a template's conditions around a word are not part of it: both branches are looked at
            inner = _CONTROL_ENDS.sub("", word.text)
            if not inner:
                continue
            word = word._replace(text=inner)
        words.append(word)
    return words


def _operator(text: str, position: int) -> str | None:
    if _PLACEHOLDER.match(text, position) or text.startswith("<%", position):
        return None
    found = _REDIRECT.match(text, position)
    if found:
        return found.group()
    for operator in _OPERATORS:
        if text.startswith(operator, position):
            return operator
    return None


def _word(text: str, start: int, flavour: str) -> tuple[Word, int]:
    parts: list[str] = []
    position = start
    quoted = False
    while position < len(text):
        letter = text[position]
        if letter in " \t\r\n":
            break
        atom = _atom(text, position)
        if atom:
            parts.append(atom)
            position += len(atom)
        elif letter in "\"'":
            part, position = _quoted(text, position, flavour)
            parts.append(part)
            quoted = True
        elif letter == "\\":
            part, position = _escaped(text, position, flavour)
            parts.append(part)
        elif flavour == SHELL and _operator(text, position) is not None:
            break
        else:
            parts.append(letter)
            position += 1
    joined = "".join(parts)
    alone = flavour == SHLEX and not quoted and joined in ("&&", "||", ";", "|", "&")
    return Word(joined, start, position, alone or (flavour == SYSTEMD and joined == ";")), position


def _atom(text: str, position: int) -> str:
    """A whole variable, substitution or template tag that stands here, blanks in it and all; "" where none does."""
    letter = text[position]
    # compose and make write $$ for the $ that is meant for the shell
    dollars = 2 if text.startswith("$${", position) else 1
    if letter == "$" and text[position + dollars: position + dollars + 1] in ("(", "{"):
        return text[position: _balanced(text, position + dollars)]
    if letter == "$":
        found = _NAME.match(text, position)
        return found.group() if found else ""
    if letter == "`":
        end = text.find("`", position + 1)
        if end < 0:
            raise Unsplittable("a backquote is not closed")
        return text[position: end + 1]
    if letter in "{<":
        for opening, closing in _TEMPLATES:
            if text.startswith(opening, position):
                end = text.find(closing, position + 2, position + 1000)
                return text[position: end + 2] if end >= 0 else ""
        found = _PLACEHOLDER.match(text, position)
        return found.group() if found else ""
    if text.startswith("%(", position):
        found = _VARIABLE.match(text, position)
        return found.group() if found else ""
    return ""


def _balanced(text: str, position: int) -> int:
    """The end of the bracket that opens at ``position``. Raises Unsplittable."""
    opening = text[position]
    closing = ")" if opening == "(" else "}"
    depth = 0
    while position < len(text):
        letter = text[position]
        if letter == "\\":
            position += 1
        elif letter == opening:
            depth += 1
        elif letter == closing:
            depth -= 1
            if depth == 0:
                return position + 1
        position += 1
    raise Unsplittable("a bracket after $ is not closed")


def _quoted(text: str, start: int, flavour: str) -> tuple[str, int]:
    quote = text[start]
    parts: list[str] = []
    position = start + 1
    while position < len(text):
        letter = text[position]
        if letter == quote:
            return "".join(parts), position + 1
        if letter == "\\" and flavour == SYSTEMD:
            part, position = _escaped(text, position, flavour)
            parts.append(part)
            continue
        if quote == "'":
            parts.append(_LITERAL.get(letter, letter) if flavour == SHELL else letter)
            position += 1
            continue
        if letter == "\\":
            following = text[position + 1: position + 2]
            if following in ('"', "\\", "$", "`") and (following not in "$`" or flavour == SHELL):
                parts.append(_LITERAL.get(following, following))
            elif following != "\n" or flavour != SHELL:
                parts.append(letter + following)
            position += 2
            continue
        atom = _atom(text, position) if letter in "$`{%" else ""
        parts.append(atom or letter)
        position += len(atom) or 1
    raise Unsplittable("a quote (%s) is not closed" % quote)


def _escaped(text: str, position: int, flavour: str) -> tuple[str, int]:
    following = text[position + 1: position + 2]
    if flavour == SYSTEMD:
        if following in _C_ESCAPES:
            return _C_ESCAPES[following], position + 2
        number = _C_NUMBER.match(text, position + 1)
        if number:
            return chr(int(number.group(1), 16) if number.group(1) else int(number.group(2), 8)), number.end()
        return "\\" + following, position + 2
    if following == "\n":
        return "", position + 2
    return _LITERAL.get(following, following), position + 2


def plain(text: str) -> str:
    """A word's text as the program would see it, its variables left as they are written."""
    for letter, literal in _LITERAL.items():
        text = text.replace(literal, letter)
    return text


def shell_text(text: str) -> str:
    """A word's text to be split again by an inner shell: what the outer one left alone is the inner one's to expand."""
    return plain(text)


def variables(text: str) -> list[str]:
    """The names of the variables, substitutions and template fields in a word, in order, each once; a substitution is its own name."""
    names: list[str] = []
    position = 0
    while position < len(text):
        name, length = _variable(text, position)
        if name and name not in names:
            names.append(name)
        position += max(length, 1)
    return names


def _variable(text: str, position: int) -> tuple[str, int]:
    letter = text[position]
    if letter not in "$`%{<_":
        return "", 1
    if letter == "`" or text.startswith("$(", position):
        try:
            atom = _atom(text, position)
        except Unsplittable:
            return "", 1
        return atom, len(atom)
    found = _VARIABLE.match(text, position)
    if found is None:
        return "", 1
    groups = found.groupdict()
    name = next((value for value in groups.values() if value), "")
    if groups["jinja"] or groups["erb"]:
        expression = _EXPRESSION.search(name)
        name = expression.group() if expression else name
    return name or found.group(), len(found.group())


def is_variable(text: str) -> bool:
    """Whether a word is one whole variable: anything may hide in it."""
    if text[:1] not in ("$", "%", "{", "<", "_", "`"):
        return False
    text = text[1:] if text.startswith("$$") else text
    name, length = _variable(text, 0)
    return bool(name) and length == len(text)
