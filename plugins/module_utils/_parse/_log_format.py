# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An nginx ``log_format`` as patterns that take the needed fields out of many lines at once.

Private to oncall.pressure: no stable interface. Pure. Source: ngx_http_log_module, and its escaping in ngx_http_log_escape.

A format is literal text between variables, so text, tab, key=value and JSON formats are all read the same way.
Patterns begin with a literal line feed, which ``findall`` searches for much faster than for ``^``. The fast ones use
sets that exclude one character and so might run over the end of a line: whoever uses them proves for each chunk that
there are as many matches as lines, and takes the strict ones (which never leave a line) for a chunk where there are not.
"""

from __future__ import annotations

import re
import typing as t

#: The format that nginx has without being told.
COMBINED = '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent"'

#: What is taken out of a line, and the variables that tell it, the better ones first.
_ROLES = {
    "client": ("remote_addr", "realip_remote_addr", "proxy_protocol_addr"),
    "time": ("msec", "time_iso8601", "time_local"),
    "path": ("request", "request_uri", "uri", "document_uri"),
    "status": ("status",),
    "size": ("body_bytes_sent", "bytes_sent"),
    "duration": ("request_time", "upstream_response_time"),
    "forwarded": ("http_x_forwarded_for", "proxy_add_x_forwarded_for"),
}

# What makes a line one of a format.
_MUST = ("client", "time", "path", "status")

#: Fields that are always counted; the others are read where details are.
_COLUMNS = ("client", "path")

# Values that never hold a blank, whatever a client sends.
_WORDS = frozenset((
    "remote_addr", "realip_remote_addr", "proxy_protocol_addr", "remote_port", "realip_remote_port", "status", "body_bytes_sent", "bytes_sent",
    "request_length", "request_time", "msec", "time_iso8601", "request_method", "scheme", "server_protocol", "pipe", "connection",
    "connection_requests", "pid", "request_id", "host", "http_host", "server_name", "server_port", "server_addr", "gzip_ratio",
    "ssl_protocol", "ssl_cipher", "ssl_session_reused", "hostname", "nginx_version", "request_completion", "https", "upstream_cache_status",
    "sent_http_location", "request_uri", "content_length",
))

# nginx writes it with three digits, whatever it is.
_STATUS = b"[0-9]{3}"

_VARIABLE = re.compile(r"\$(?:\{([A-Za-z0-9_]+)\}|([A-Za-z0-9_]+))")

_MONTHS = {name: number for number, name in enumerate((b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"), 1)}
_TIME_LOCAL = re.compile(rb"(\d\d)/([A-Z][a-z][a-z])/(\d{4}):(\d\d):(\d\d):(\d\d) ([+-])(\d\d)(\d\d)\Z")
_TIME_ISO = re.compile(rb"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:Z|([+-])(\d\d):(\d\d))\Z")
_TIME_EPOCH = re.compile(rb"\d{9,11}(?:\.\d{1,6})?\Z")


class LinePattern(t.NamedTuple):
    """A pattern for ``findall`` over text that begins with a line feed, and which column of its rows holds which field."""

    pattern: t.Pattern[bytes]
    columns: t.Mapping[str, int]


class LogFormat(t.NamedTuple):
    """name; missing: what the format does not tell (client, time, path, status); lines: several in a record where the format has a
    line feed inside. The patterns: counts has the fields that are always counted, details all of them, strict the same within lines, time the time only."""

    name: str
    missing: tuple[str, ...]
    json: bool
    one_line: bool
    counts: LinePattern
    details: LinePattern
    strict: LinePattern
    time: LinePattern | None


class _Part(t.NamedTuple):
    """A piece of a format: literal text, or a variable and the role it plays ("" for none)."""

    literal: str
    variable: str
    role: str


def epoch(value: bytes) -> float | None:
    """Seconds since the epoch of a $time_local, $time_iso8601 or $msec; null where it is none of them."""
    found = _TIME_LOCAL.match(value)
    if found:
        day, name, year, hour, minute, second, sign, zone_hours, zone_minutes = found.groups()
        month = _MONTHS.get(name, 0)
    else:
        found = _TIME_ISO.match(value)
        if not found:
            return float(value) if _TIME_EPOCH.match(value) else None
        year, number, day, hour, minute, second, sign, zone_hours, zone_minutes = found.groups()
        month = int(number)
    if not (1 <= month <= 12 and 1 <= int(day) <= 31 and int(year) >= 1970):
        return None
    seconds = ((_days(int(year), month, int(day)) * 24 + int(hour)) * 60 + int(minute)) * 60 + int(second)
    zone = int(zone_hours or 0) * 3600 + int(zone_minutes or 0) * 60
    return float(seconds + zone if sign == b"-" else seconds - zone)


def _days(year: int, month: int, day: int) -> int:
    """Days since 1970-01-01. (The calendar module does it too, and costs a target a tenth of what this whole reader does to import.)"""
    if month < 3:
        year, month = year - 1, month + 12
    return 365 * year + year // 4 - year // 100 + year // 400 + (153 * (month - 3) + 2) // 5 + day - 719469


def compile_format(name: str, text: str, escape: str = "default") -> LogFormat:
    """Patterns for one log_format: its parameters joined, and its ``escape`` (default, json or none)."""
    text = text.rstrip("\n")
    parts = _split(text)
    roles = {part.role for part in parts if part.role}
    json_escape = escape == "json"
    everything = tuple(_ROLES)
    return LogFormat(
        name=name, missing=tuple(role for role in ("client", "time", "path", "status") if role not in roles), json=json_escape, one_line="\n" not in text,
        counts=_pattern(parts, _COLUMNS, False, json_escape), details=_pattern(parts, everything, False, json_escape),
        strict=_pattern(parts, everything, True, json_escape), time=_pattern(parts, ("time",), True, json_escape) if "time" in roles else None,
    )


def _split(text: str) -> list[_Part]:
    """The format's parts; each role goes to the best variable that the format has, at its first place."""
    names = [found.group(1) or found.group(2) for found in _VARIABLE.finditer(text)]
    chosen = {}
    for role, variables in _ROLES.items():
        for variable in variables:
            if variable in names:
                chosen[variable] = role
                break
    parts: list[_Part] = []
    end = 0
    for found in _VARIABLE.finditer(text):
        if found.start() > end:
            parts.append(_Part(text[end:found.start()], "", ""))
        variable = found.group(1) or found.group(2)
        parts.append(_Part("", variable, chosen.pop(variable, "")))
        end = found.end()
    if end < len(text):
        parts.append(_Part(text[end:], "", ""))
    return parts


def _pattern(parts: t.Sequence[_Part], wanted: t.Sequence[str], strict: bool, json_escape: bool) -> LinePattern:
    """The pattern as far as the last wanted field and what ends it; the rest of a line does not matter."""
    # the status is looked at even where it is not taken: what has none there is not a line of this format
    last = max([number for number, part in enumerate(parts) if part.role in wanted or part.role == "status" and wanted != ("time",)], default=-1)
    # A file may hold lines of two formats, of which one goes on where the other ends (combined, and main with a field more):
    # within its line, what comes after the last field that must be there may be missing.
    must = max([number for number, part in enumerate(parts) if part.role in _MUST], default=last) if strict else last
    pieces = [b"\n"]
    columns: dict[str, int] = {}
    # every text that ends at the first place where the rest matches multiplies the ways to try: one is enough
    lazy = False
    number = optional = 0
    while number <= last:
        skip = 0 if strict else _skip(parts, number, wanted)
        if skip:
            pieces.append(b'[^"]{0,2048}"')
            number = skip
            continue
        part = parts[number]
        following = parts[number + 1].literal if number + 1 < len(parts) else "\n"
        if part.literal:
            pieces.append(re.escape(part.literal.encode()))
        elif part.role == "status" and "status" not in wanted:
            pieces.append(_STATUS)
        elif part.role in wanted:
            columns[part.role] = len(columns)
            pieces.append(_field(part, following, strict, json_escape))
        else:
            pieces.append(_value(part.variable, following, strict, json_escape, not lazy))
            lazy = lazy or b"?" == pieces[-1][-1:]
        if must <= number < last and (number == must or part.role in wanted):
            pieces.append(b"(?:")
            optional += 1
        number += 1
    if last >= 0:
        following = parts[last + 1].literal if last + 1 < len(parts) else ""
        pieces.append(re.escape(following[:1].encode()))
    pieces.append(b")?" * optional)
    # findall gives rows only where there are two groups or more
    pieces.append(b"()" * max(2 - len(columns), 0))
    return LinePattern(re.compile(b"".join(pieces)), columns)


def _skip(parts: t.Sequence[_Part], number: int, wanted: t.Sequence[str]) -> int:
    """The part after a run that can be passed over by looking for the one quote in it; 0 where there is no such run.

    The run has no wanted field and its literals hold one double quote, as their last character. (nginx escapes quotes in values.)
    """
    seen = False
    for place in range(number, len(parts)):
        part = parts[place]
        if part.variable and (part.role in wanted or part.role == "status"):
            return 0
        seen = seen or bool(part.variable)
        if '"' in part.literal:
            return place + 1 if seen and part.literal.index('"') == len(part.literal) - 1 else 0
    return 0


def _excluding(characters: str, strict: bool) -> bytes:
    """A set of everything but some characters (and, where strict, the end of the line)."""
    return b"[^" + re.escape(characters).encode() + (b"\n" if strict and "\n" not in characters else b"") + b"]"


def _until(characters: str, strict: bool) -> bytes:
    """Text up to one of some characters. What is not kept to its line is kept short, or junk without such a character costs its square."""
    return _excluding(characters, strict) + (b"*" if strict else b"{0,2048}")


def _field(part: _Part, following: str, strict: bool, json_escape: bool) -> bytes:
    """The pattern of a wanted field, with one group."""
    end = following[:1] or "\n"
    if part.variable == "request":
        return _request(end, strict, json_escape)
    if part.role == "path":
        # what follows the path (its query) is passed over
        return b"(" + _until("?" + end, strict) + b")(?:[?]" + _value(part.variable, following, strict, json_escape) + b")?"
    if part.variable == "time_local":
        # a fixed length needs no look at each character
        return b"([0-9]" + (b"[^\n]{25}" if strict else b".{25}") + b")"
    if part.role == "status":
        return b"(" + _STATUS + b")"
    if part.role == "size":
        return b"([0-9-]+)"
    if part.role == "client":
        # an IPv6 address holds colons
        return b"(" + _excluding(end if end not in ":." else " ", strict) + b"{1,64})" if end not in ":." else b"([0-9a-fA-F.:]{1,64}|unix:)"
    return b"(" + _value(part.variable, following, strict, json_escape) + b")"


def _request(end: str, strict: bool, json_escape: bool) -> bytes:
    """$request: the target without its query in the group, which is empty where it is no METHOD and target.

    Binary noise is a request without a path. Requests of HTTP/0.9, and of attackers, have no protocol.
    """
    if end == '"' and json_escape:
        rest = _value("request", '"', strict, True)
        return b'(?:[A-Z_-]{2,32} ([^ ?"\\\\' + (b"\n" if strict else b"") + (b"]+))?" if strict else b"]{1,2048}))?") + rest
    if end == '"':
        rest = _until('"', strict)
        # the look ahead keeps a line that does not match after all from being tried with each shorter path
        return b"(?:[A-Z_-]{2,32} (" + _excluding(' ?"', strict) + (b"+" if strict else b"{1,2048}") + b')(?=[ ?"])' + rest + b"|" + rest + b")"
    word = _until(" " + end, strict)
    return b"(?:[A-Z_-]{2,32} (" + _excluding(" ?" + end, strict) + b"+)(?:[?]" + word + b")?(?: HTTP/[0-9.]+)?|" + _until(end, strict) + b")"


def _value(variable: str, following: str, strict: bool, json_escape: bool, first: bool = False) -> bytes:
    """The pattern of a variable's value, known by what comes after it; ``first`` where no text before it was free to end anywhere.

    Bounded repeats keep lines that were made to be slow from being so: there is no text without end before a place that may fail.
    """
    if not following:
        # directly followed by another variable: only the pattern of that one can find the border
        return b"[^ \n]{0,256}?" if variable in _WORDS else b"[^\n]{0,256}?"
    if following == "\n":
        return b"[^\n]*"
    if variable == "time_local":
        return b"[0-9][^\n]{25}"
    if following[0] == '"':
        if json_escape and strict:
            return b'[^"\\\\\n]*(?:\\\\[^\n][^"\\\\\n]*)*'
        return _until('"', strict)
    if variable in _WORDS:
        return _until(following[0], strict)
    if variable.startswith("upstream_") or "forwarded_for" in variable:
        # several servers, tried one after the other: "a, b : c"
        return b"[^ ,\n]{0,256}(?:(?:, ?| : )[^ ,\n]{0,256}){0,16}" if following[0] == " " else _until(following[0], strict)
    # the character that is least likely inside the value ends it; blanks are likely in names of users and agents
    mark = next((character for character in following if character != " "), "")
    if mark and not mark.isalnum() and mark != "-":
        before = following[: following.index(mark)]
        if strict and first:
            # a client may send the mark itself, and must not get out of our sight by that
            return b"[^\n]{0,512}?"
        return _excluding(mark, strict) + b"{0,512}" + (b"(?=" + re.escape((before + mark).encode()) + b")" if before else b"")
    return b"[^\n]{0,256}?"
