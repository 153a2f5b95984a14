# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""RESP2, the protocol of Redis: commands out, replies in.

Private to oncall.pressure: no stable interface. Pure.
"""

from __future__ import annotations

import typing as t

#: What one reply may hold: bytes of one text, items of one list, lists within lists.
TEXT_LIMIT = 1048576
ITEMS_LIMIT = 16384
DEPTH_LIMIT = 6

#: No header (a kind, a number or a short text) is longer.
_LINE_LIMIT = 4096


class Failure(t.NamedTuple):
    """An error that the server answered with: its first word (``NOAUTH``), and all of it."""

    kind: str
    text: str


class Garbage(ValueError):
    """What came is no RESP."""


class TooLarge(ValueError):
    """A text or a list is larger than it may be; ``size`` is what its header says, the rest was not waited for."""

    def __init__(self, size: int) -> None:
        super().__init__("a reply of %d is more than is read" % size)
        self.size = size


#: bytes of a text, a number, a list, null, or a failure
Reply = t.Union[bytes, int, None, Failure, t.List[t.Any]]


def command(words: t.Iterable[t.Union[str, bytes, int]]) -> bytes:
    """A command as it is sent."""
    parts = [word if isinstance(word, bytes) else str(word).encode("utf-8", "surrogateescape") for word in words]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)


def reply(data: bytes, start: int = 0, text_limit: int = TEXT_LIMIT) -> tuple[Reply, int] | None:
    """The reply that begins at ``start`` and where the next one does; null where it is not all there yet. Raises Garbage, TooLarge."""
    return _reply(data, start, text_limit, 0)


def _reply(data: bytes, start: int, text_limit: int, depth: int) -> tuple[Reply, int] | None:
    end = data.find(b"\r\n", start, start + _LINE_LIMIT)
    if end < 0:
        if len(data) - start >= _LINE_LIMIT or (len(data) > start and data[start: start + 1] not in b"+-:$*"):
            raise Garbage("no line of RESP")
        return None
    kind, line, after = data[start: start + 1], data[start + 1: end], end + 2
    if kind == b"+":
        return line, after
    if kind == b"-":
        text = line.decode("utf-8", "backslashreplace")
        return Failure(text.partition(" ")[0][:32], text), after
    if kind not in (b":", b"$", b"*"):
        raise Garbage("no kind of reply")
    number = _number(line)
    if kind == b":":
        return number, after
    if number == -1:
        return None, after
    if number < 0:
        raise Garbage("a size below nothing")
    return _text(data, after, number, text_limit) if kind == b"$" else _items(data, after, number, text_limit, depth)


def _number(line: bytes) -> int:
    digits = line[1:] if line[:1] in (b"-", b"+") else line
    # more digits than 64 bits have are no number of Redis's, and would take long to read
    if not digits.isdigit() or len(digits) > 20:
        raise Garbage("no number")
    return int(line)


def _text(data: bytes, start: int, size: int, limit: int) -> tuple[bytes, int] | None:
    if size > limit:
        raise TooLarge(size)
    end = start + size
    if len(data) < end + 2:
        return None
    if data[end: end + 2] != b"\r\n":
        raise Garbage("a text that does not end where it should")
    return data[start:end], end + 2


def _items(data: bytes, start: int, count: int, limit: int, depth: int) -> tuple[list[t.Any], int] | None:
    if count > ITEMS_LIMIT:
        raise TooLarge(count)
    if depth >= DEPTH_LIMIT:
        raise Garbage("lists within lists without end")
    found = []
    for dummy in range(count):
        item = _reply(data, start, limit, depth + 1)
        if item is None:
            return None
        found.append(item[0])
        start = item[1]
    return found, start
