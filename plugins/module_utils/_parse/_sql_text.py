# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The text of an SQL query without its literals: what a person or a customer wrote into it never leaves the host.

Private to oncall.pressure: no stable interface. The words are PostgreSQL's (its manual, "Lexical Structure"). A text may be cut anywhere:
what is open at its end is taken for a literal up to there.
"""

from __future__ import annotations

import re
import typing as t

#: What stands for a literal.
MARK: t.Final = "?"

#: What stands for the rest of a text that can be read in two ways.
REST: t.Final = "?..."

# One token. Identifiers come before numbers and dollar quotes, since they may hold digits and dollar signs; letters beyond ASCII are theirs.
_TOKEN = re.compile(
    r"""
    (?P<space>\s+)
    | (?P<line>--[^\r\n]*)
    | (?P<block>/\*)
    | (?P<string>(?P<prefix>[eEbBxXnN]|[uU]&)?')
    | (?P<name>(?:[uU]&)?"(?:[^"]|"")*(?:"|\Z))
    | (?P<word>[A-Za-z_\u0080-\U0010ffff][A-Za-z0-9_$\u0080-\U0010ffff]*)
    | (?P<place>\$[0-9]+)
    | (?P<dollar>\$(?P<tag>(?:[A-Za-z_\u0080-\U0010ffff][A-Za-z0-9_\u0080-\U0010ffff]*)?)\$)
    | (?P<number>(?:[0-9][0-9A-Za-z_]*(?:\.[0-9A-Za-z_]*)?|\.[0-9][0-9A-Za-z_]*)(?:(?<=[eE])[+-]?[0-9_]+)?)
    | (?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)

_ESCAPED = re.compile(r"(?:[^'\\]|\\.|'')*(?P<end>'|\Z|\\\Z)", re.DOTALL)
_PLAIN = re.compile(r"(?:[^']|'')*(?P<end>'|\Z)")
_COMMENT_PART = re.compile(r"/\*|\*/")

# Lists of literals tell nothing but their length, by which the same query would look like many.
_LIST = re.compile(r"(?:\?|\$[0-9]+)(?: ?, ?(?:\?|\$[0-9]+))+(?![.0-9A-Za-z_?])")
_ROWS = re.compile(r"\( ?\? ?\)(?: ?, ?\( ?\? ?\))+")


def normalise(text: str) -> str:
    """The query on one line: comments gone, each literal a question mark, lists of literals folded to one."""
    parts: list[str] = []
    place, end = 0, len(text)
    while place < end:
        found = _TOKEN.match(text, place)
        if found is None:
            break
        place = found.end()
        kind = found.lastgroup
        if found.group("string") is not None:
            place, clear = _string_end(text, place, found.group("prefix") or "")
            parts.append(MARK if clear else REST)
            if not clear:
                break
        elif found.group("dollar") is not None:
            # the closing tag is the same, sign for sign
            closing = text.find(found.group("dollar"), place)
            place = end if closing < 0 else closing + len(found.group("dollar"))
            parts.append(MARK)
        elif kind == "block":
            place = _comment_end(text, place)
            parts.append(" ")
        elif kind in ("space", "line"):
            parts.append(" ")
        else:
            parts.append(MARK if kind == "number" else found.group())
    line = re.sub(r"\s+", " ", "".join(parts)).strip()
    return _ROWS.sub("(?)", _LIST.sub(MARK, line))


def _string_end(text: str, place: int, prefix: str) -> tuple[int, bool]:
    """Where the string that begins before ``place`` ends, and whether that is sure.

    In a plain string a backslash before a quote is read in two ways, by a setting of the session that is not known here.
    """
    if prefix in ("e", "E"):
        found = _ESCAPED.match(text, place)
        return (found.end() if found is not None else len(text)), True
    found = _PLAIN.match(text, place)
    stop = found.end() if found is not None else len(text)
    return stop, "\\'" not in text[place: stop]


def _comment_end(text: str, place: int) -> int:
    """Where the comment that begins before ``place`` ends; comments lie in each other."""
    depth = 1
    while depth:
        found = _COMMENT_PART.search(text, place)
        if found is None:
            return len(text)
        depth += 1 if found.group() == "/*" else -1
        place = found.end()
    return place
