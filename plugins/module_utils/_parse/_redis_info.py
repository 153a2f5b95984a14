# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What Redis says of itself (INFO), and its configuration file.

Private to oncall.pressure: no stable interface. Pure.
"""

from __future__ import annotations

import re
import typing as t

_NAME = re.compile(r"[A-Za-z0-9_.:-]{1,64}\Z")
_LINES_LIMIT = 4000
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "a": "\a"}


def info(text: str) -> dict[str, str]:
    """The fields of INFO; sections and what is no field are left out."""
    found: dict[str, str] = {}
    for line in text.split("\n")[:_LINES_LIMIT]:
        name, colon, value = line.rstrip("\r").partition(":")
        if colon and _NAME.match(name):
            found[name] = value
    return found


def number(fields: t.Mapping[str, str], *names: str) -> int | None:
    """The first of these fields that holds a whole number of nothing or more; null where none does. (-1 is Redis's word for none.)"""
    for name in names:
        value = fields.get(name, "")
        if value.isascii() and value.isdigit() and len(value) < 20:
            return int(value)
    return None


def ratio(fields: t.Mapping[str, str], name: str) -> float | None:
    """A field that holds a number with places."""
    value = fields.get(name, "")
    return float(value) if re.match(r"[0-9]{1,12}(\.[0-9]{1,9})?\Z", value) else None


class Keys(t.NamedTuple):
    """What one database holds: keys, and how many of them expire."""

    keys: int
    expires: int | None


def keyspace(fields: t.Mapping[str, str]) -> dict[int, Keys]:
    """The databases that hold something, by number."""
    found: dict[int, Keys] = {}
    for name, value in fields.items():
        place = re.match(r"db([0-9]{1,6})\Z", name)
        if place is None:
            continue
        parts = dict(part.partition("=")[::2] for part in value.split(","))
        keys = number(parts, "keys")
        if keys is not None:
            found[int(place.group(1))] = Keys(keys, number(parts, "expires"))
    return dict(sorted(found.items()))


def settings(text: str) -> list[tuple[str, list[str]]]:
    """The directives of a redis.conf in their order, names in small letters; a line whose quotes do not close is left out."""
    found = []
    for line in text.split("\n"):
        words = words_of(line)
        if words and words[0] and not words[0].startswith("#"):
            found.append((words[0].lower(), words[1:]))
    return found


def words_of(line: str) -> list[str] | None:
    """The words of a line, quotes and escapes undone as Redis undoes them; null where it refuses them."""
    words: list[str] = []
    place, end = 0, len(line)
    while True:
        while place < end and line[place].isspace():
            place += 1
        if place >= end or (not words and line[place] == "#"):
            return words
        quote = line[place] if line[place] in "\"'" else ""
        word, place, closed = _quoted(line, place + 1, quote) if quote else _plain(line, place)
        # between a closing quote and the next word there is a blank
        if not closed or (quote and place < end and not line[place].isspace()):
            return None
        words.append(word)


def _plain(line: str, place: int) -> tuple[str, int, bool]:
    begin = place
    while place < len(line) and not line[place].isspace():
        if line[place] in "\"'":
            return "", place, False
        place += 1
    return line[begin:place], place, True


def _quoted(line: str, place: int, quote: str) -> tuple[str, int, bool]:
    word: list[str] = []
    while place < len(line):
        sign, following = line[place], line[place + 1: place + 2]
        if sign == quote:
            return "".join(word), place + 1, True
        if sign == "\\" and quote == '"' and following:
            code = re.match(r"x([0-9A-Fa-f]{2})", line[place + 1: place + 4])
            word.append(chr(int(code.group(1), 16)) if code else _ESCAPES.get(following, following))
            place += 4 if code else 2
            continue
        if sign == "\\" and quote == "'" and following == "'":
            word.append("'")
            place += 2
            continue
        word.append(sign)
        place += 1
    return "", place, False
