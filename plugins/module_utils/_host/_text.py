# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Make text from a host harmless: visible control characters, no secrets, bounded length.

Private to oncall.pressure: no stable interface.

Everything a host says (process arguments, log lines, unit names, URLs) is hostile. It goes through
:func:`clean` where it enters a document; :func:`clean_tree` does the same for a whole document as the last
line of defence. Both are idempotent.
"""

from __future__ import annotations

import re
import typing as t

#: The longest text that enters a document, in characters, unless a caller says otherwise.
TEXT_LIMIT = 300

# C0 (also tab and line feed: a document holds single lines), DEL, C1, bidirectional controls and marks, line and
# paragraph separators, zero width and tag characters, byte order mark, lone surrogates.
_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)

REDACTED = "REDACTED"

_SECRET_WORD = (
    r"(?:pass(?:word|wd|phrase)?|pwd|secret|token|api[-_.]?key|apikey|access[-_.]?key|private[-_.]?key"
    r"|auth(?!or)|credentials?|cookie|session(?:id)?|dsn|signature|sig)"
)

# Each pattern keeps what names the secret (group "keep") and drops the secret itself.
_SECRETS = (
    # scheme://user:password@host, also with an empty user (redis://:password@host) and an @ inside the password
    re.compile(r"(?P<keep>[A-Za-z][A-Za-z0-9+.-]{0,31}://[^\s/:@'\"]{0,128}:)[^\s/'\"]{1,512}(?=@)"),
    # Authorization: Bearer value, Basic value
    re.compile(r"(?P<keep>\b(?:bearer|basic)\s{1,3})[A-Za-z0-9._~+/=-]{8,512}", re.IGNORECASE),
    # NAME_PASSWORD=value, --api-key=value, "token": "value", password: value
    re.compile(
        r"(?P<keep>(?<![A-Za-z0-9])[A-Za-z0-9_.-]{0,64}" + _SECRET_WORD + r"[A-Za-z0-9_.-]{0,32}[\"']?\s{0,3}[=:]\s{0,3})"
        r"(?!REDACTED|(?:Bearer|Basic)\s)(?P<quote>[\"']?)(?:(?<=\")[^\"]{1,512}|(?<=')[^']{1,512}|(?<![\"'])[^\s\"'&;,|]{1,512})",
        re.IGNORECASE,
    ),
    # --password value, -pvalue is left alone: it is as often a port
    re.compile(r"(?P<keep>(?<!\S)--?[A-Za-z0-9-]{0,64}" + _SECRET_WORD + r"(?:-[A-Za-z0-9-]{0,32})?\s{1,3})(?![-\s])\S{1,512}", re.IGNORECASE),
    # well known shapes that name themselves
    re.compile(r"(?P<keep>)(?:AKIA|ASIA)[A-Z0-9]{16}|(?:gh[pousr]_|glpat-|xox[abprs]-|sk_live_|sk-)[A-Za-z0-9_-]{10,255}"
               r"|eyJ[A-Za-z0-9_-]{8,1024}\.[A-Za-z0-9_-]{8,2048}(?:\.[A-Za-z0-9_-]{0,1024})?"),
)


def decode(data: bytes) -> str:
    """Text of bytes from a host: UTF-8, what is not valid as visible \\xNN escapes."""
    return data.decode("utf-8", "backslashreplace")


def visible(text: str) -> str:
    """The text with every control, bidirectional and invisible character as a visible escape."""
    return _UNSAFE.sub(lambda found: found.group().encode("unicode_escape", "surrogatepass").decode("ascii"), text)


def _without_secret(found: re.Match[str]) -> str:
    return found.group("keep") + (found.groupdict().get("quote") or "") + REDACTED


def redact(text: str) -> str:
    """The text with passwords, tokens and keys replaced by REDACTED; what names them stays."""
    for pattern in _SECRETS:
        text = pattern.sub(_without_secret, text)
    return text


def clean(text: str | bytes, limit: int = TEXT_LIMIT) -> str:
    """Harmless text of at most ``limit`` characters (a cut is shown as an ellipsis).

    The text is cut roughly before redaction, so that a line of many megabytes costs nothing, and exactly after it.
    """
    if isinstance(text, bytes):
        text = decode(text[: limit * 8 + 4096])
    text = visible(redact(text[: limit * 4 + 2048]))
    return text if len(text) <= limit else text[: max(limit - 3, 0)] + "..."


def clean_tree(value: t.Any, limit: int = 4096, depth: int = 24) -> t.Any:
    """A document with every string in it, keys too, made harmless. Deeper than ``depth`` becomes null."""
    if isinstance(value, str):
        return clean(value, limit)
    if depth <= 0:
        return None if isinstance(value, (dict, list, tuple)) else value
    if isinstance(value, dict):
        return {clean(str(key), 256): clean_tree(item, limit, depth - 1) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [clean_tree(item, limit, depth - 1) for item in value]
    return value
