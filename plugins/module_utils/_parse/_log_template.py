# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The shape of a log line: what differs from one line to the next of the same kind is masked.

Private to oncall.pressure: no stable interface. Pure: text in, text out.
"""

from __future__ import annotations

import re
import typing as t

#: A template is at most so long, in characters: what tells lines apart stands at their beginning.
TEMPLATE_LIMIT = 200

#: The part of a line that is looked at.
_LOOKED_AT = 320

# quoted text, or a word; what is between them is kept as it is
_WORDS: t.Final = re.compile(r"\"(?:[^\"\\]|\\.)*\"?|(?<![A-Za-z0-9])'(?:[^'\\]|\\.)*'?|[0-9A-Za-z_][0-9A-Za-z_.:,/@%+-]*")
# a unit of systemd may have an @ in its name too
_MAIL: t.Final = re.compile(r"[\w.+-]{1,64}@(?:[\w-]{1,63}\.){1,8}(?!(?:service|socket|timer|scope|slice|mount|target)\b)[a-z]{2,24}\b")
_DIGIT: t.Final = re.compile(r"\d")
_MASKED: t.Final = re.compile(
    r"(?P<time>(?<!\d)\d{4}[-/.]\d\d[-/.]\d\d(?:T\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?(?!\d)"
    r"|(?<!\d)\d{1,2}/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d|(?<![\d:])\d{1,2}:\d\d:\d\d(?:[.,]\d+)?(?![\d:]))"
    r"|(?P<uuid>(?<![0-9a-fA-F])[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}(?![0-9a-fA-F]))"
    r"|(?P<address>(?<![\d.])\d{1,3}(?:\.\d{1,3}){3}(?::\d{1,5})?(?![\d.])"
    r"|(?<![0-9A-Za-z:])(?:[0-9a-fA-F]{1,4}:){3,7}(?:[0-9a-fA-F]{1,4}|:[0-9a-fA-F]{0,4})(?![0-9A-Za-z:]))"
    r"|(?P<hex>0[xX][0-9a-fA-F]+|(?<![0-9A-Za-z])(?=[a-fA-F]*\d)(?=\d*[a-fA-F])[0-9a-fA-F]{6,}(?![0-9A-Za-z]))"
    r"|(?P<number>\d+(?:[.,]\d+)*)"
)


def template(line: str) -> str:
    """A line with times, uuids, quoted text, addresses, hexadecimal and other numbers replaced by what they are, as ``<time>``, ``<number>``."""
    return _WORDS.sub(_word, line[:_LOOKED_AT].strip())[:TEMPLATE_LIMIT]


def _word(found: re.Match[str]) -> str:
    word = found.group()
    if word[0] in "\"'":
        return "<text>"
    if "@" in word and _MAIL.match(word):
        return "<address>"
    return _MASKED.sub(_name, word) if _DIGIT.search(word) else word


def _name(found: re.Match[str]) -> str:
    return "<%s>" % found.lastgroup
