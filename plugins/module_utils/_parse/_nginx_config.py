# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The configuration of nginx: its words, its blocks, and the settings that diagnosis needs.

Private to oncall.pressure: no stable interface. Pure: included files come from a callback. Source: ngx_conf_file.c and ngx_http_log_module.

A file that is broken gives what stands before the fault, and a line in ``problems``: nginx runs with what it read when it
was started, and the file may have been edited since.
"""

from __future__ import annotations

import re
import typing as t

#: Bounds on what is read of one configuration.
FILES_LIMIT = 500
BYTES_LIMIT = 4194304
_DEPTH_LIMIT = 64
_PROBLEMS_LIMIT = 20

#: Gives the files that an include's pattern names, as (path, text), in order, lazily: reading ends at the bounds.
Include = t.Callable[[str], t.Iterable[t.Tuple[str, str]]]

#: A variable in a parameter.
VARIABLE = re.compile(r"\$(?:\{[A-Za-z0-9_]+\}|[A-Za-z0-9_]+)")

# nginx knows four blanks, not all that Unicode calls one: a word that ends where none begins would be read for ever
_WORD_END = re.compile(r"[ \t\r\n;{\\$]")
_QUOTED_PART = {"'": re.compile(r"[^'\\]+"), '"': re.compile(r'[^"\\]+')}
_ESCAPES = {"t": "\t", "r": "\r", "n": "\n", '"': '"', "'": "'", "\\": "\\"}

# What matters inside a Lua block: comments and strings, which may hold braces, and braces.
_LUA = re.compile(r"--\[(=*)\[.*?\]\1\]|--[^\n]*|\[(=*)\[.*?\]\2\]|\"(?:[^\"\\\n]|\\.)*\"|'(?:[^'\\\n]|\\.)*'|[{}]", re.DOTALL)


class Directive(t.NamedTuple):
    """One directive: its name, its parameters, its block (null where it has none) and where it stands."""

    name: str
    parameters: tuple[str, ...]
    block: list[Directive] | None
    file: str
    line: int


class _Token(t.NamedTuple):
    """kind: word, "{", "}", ";" or raw (the text of a Lua block)."""

    kind: str
    text: str
    line: int


class ConfigError(ValueError):
    """The text is not a whole configuration; the message says where."""


def tokens(text: str) -> t.Iterator[_Token]:
    """The words and signs of a configuration. Raises ConfigError where a quote or a Lua block does not end."""
    place, line, length = 0, 1, len(text)
    lua = False
    fresh = True
    while place < length:
        character = text[place]
        if character == "\n":
            line += 1
            place += 1
        elif character in " \t\r":
            place += 1
        elif character == "#":
            end = text.find("\n", place)
            place = length if end < 0 else end
        elif character in ";{}":
            yield _Token(character, character, line)
            place += 1
            if character == "{" and lua:
                end = _lua_end(text, place, line)
                yield _Token("raw", text[place:end], line)
                line += text.count("\n", place, end)
                place = end
            lua, fresh = False, True
        else:
            word, end = _quoted(text, place, line) if character in "'\"" else _word(text, place)
            yield _Token("word", word, line)
            line += text.count("\n", place, end)
            place = end
            if fresh:
                lua = word.endswith("_by_lua_block")
            fresh = False


def _lua_end(text: str, place: int, line: int) -> int:
    depth = 1
    for found in _LUA.finditer(text, place):
        sign = found.group()
        if sign == "{":
            depth += 1
        elif sign == "}":
            depth -= 1
            if depth == 0:
                return found.start()
    raise ConfigError("line %d: a Lua block does not end" % line)


def _quoted(text: str, place: int, line: int) -> tuple[str, int]:
    quote = text[place]
    part = _QUOTED_PART[quote]
    pieces = []
    place += 1
    while place < len(text):
        found = part.match(text, place)
        if found:
            pieces.append(found.group())
            place = found.end()
        elif text[place] == quote:
            return "".join(pieces), place + 1
        else:
            following = text[place + 1: place + 2]
            pieces.append(_ESCAPES.get(following, "\\" + following))
            place += 2
    raise ConfigError("line %d: a quote does not end" % line)


def _word(text: str, place: int) -> tuple[str, int]:
    pieces = []
    while place < len(text):
        found = _WORD_END.search(text, place)
        end = found.start() if found else len(text)
        pieces.append(text[place:end])
        place = end
        if not found:
            break
        sign = found.group()
        if sign == "\\":
            following = text[place + 1: place + 2]
            pieces.append(_ESCAPES.get(following, "\\" + following))
            place += 2
        elif sign == "$":
            # the brace of ${name} begins no block
            width = 2 if text[place + 1: place + 2] == "{" else 1
            pieces.append(text[place: place + width])
            place += width
        else:
            break
    return "".join(pieces), place


class Parsed(t.NamedTuple):
    """The directives of a configuration with the included ones in their place, how many files it has, and what could not be read."""

    directives: list[Directive]
    files: list[str]
    problems: list[str]


def parse(path: str, text: str, include: Include) -> Parsed:
    """Parse a configuration. Never raises: what is broken or beyond the bounds is in ``problems``."""
    parsed = Parsed([], [], [])
    _parse_file(path, text, include, parsed, parsed.directives, [len(text)], 0)
    return parsed


def _parse_file(path: str, text: str, include: Include, parsed: Parsed, into: list[Directive], size: list[int], depth: int) -> None:
    parsed.files.append(path)
    stack = [into]
    words: list[_Token] = []
    try:
        for token in tokens(text):
            if token.kind == "word":
                words.append(token)
            elif token.kind == "raw":
                continue
            elif token.kind == "}":
                if words or len(stack) == 1:
                    raise ConfigError('line %d: unexpected "}"' % token.line)
                stack.pop()
            elif not words:
                raise ConfigError('line %d: unexpected "%s"' % (token.line, token.kind))
            elif token.kind == "{":
                if len(stack) + depth > _DEPTH_LIMIT:
                    raise ConfigError("line %d: blocks are nested too deep" % token.line)
                directive = Directive(words[0].text, tuple(word.text for word in words[1:]), [], path, words[0].line)
                stack[-1].append(directive)
                stack.append(directive.block if directive.block is not None else [])
                words = []
            else:
                directive = Directive(words[0].text, tuple(word.text for word in words[1:]), None, path, words[0].line)
                words = []
                if directive.name == "include" and len(directive.parameters) == 1:
                    _include(directive, include, parsed, stack[-1], size, depth + len(stack))
                else:
                    stack[-1].append(directive)
        if words or len(stack) > 1:
            raise ConfigError("unexpected end of file")
    except ConfigError as problem:
        _problem(parsed, "%s: %s" % (path, problem))


def _include(directive: Directive, include: Include, parsed: Parsed, into: list[Directive], size: list[int], depth: int) -> None:
    if depth > _DEPTH_LIMIT:
        _problem(parsed, "%s:%d: includes are nested too deep" % (directive.file, directive.line))
        return
    for path, text in include(directive.parameters[0]):
        size[0] += len(text)
        if len(parsed.files) >= FILES_LIMIT or size[0] > BYTES_LIMIT:
            _problem(parsed, "%s:%d: more than %d files or %d bytes, the rest was not read" % (directive.file, directive.line, FILES_LIMIT, BYTES_LIMIT))
            return
        _parse_file(path, text, include, parsed, into, size, depth)


def _problem(parsed: Parsed, text: str) -> None:
    if len(parsed.problems) < _PROBLEMS_LIMIT:
        parsed.problems.append(text)


# what the directives mean


class Log(t.NamedTuple):
    """One access_log in force: its path as written, the name of its format, whether it is compressed, the condition it depends on ("" for none)."""

    path: str
    format: str
    compressed: bool
    condition: str


class Settings(t.NamedTuple):
    """What diagnosis needs of a configuration.

    logs: those in force for some request, each once; formats: name to (escape, text); off: servers that log nothing;
    default_log: whether the log that nginx writes without being told is in force; proxies: arguments of set_real_ip_from.
    errors: (where, the least level that is written) of each error_log, each once; "" is the one that nginx writes without being told.
    """

    logs: list[Log]
    formats: dict[str, tuple[str, str]]
    off: list[str]
    default_log: bool
    proxies: list[str]
    real_ip_header: str | None
    worker_processes: str | None
    worker_connections: int | None
    upstreams: dict[str, list[str]]
    passes: list[str]
    limit_zones: list[tuple[str, ...]]
    limits: list[tuple[str, int, tuple[str, ...]]]
    errors: list[tuple[str, str]]


def walk(directives: t.Iterable[Directive]) -> t.Iterator[Directive]:
    """Every directive, outer ones before inner ones, in order."""
    waiting = [iter(directives)]
    while waiting:
        for directive in waiting[-1]:
            yield directive
            if directive.block:
                waiting.append(iter(directive.block))
                break
        else:
            waiting.pop()


def settings(directives: t.Sequence[Directive]) -> Settings:
    """The settings of a configuration's directives, those of a fragment that has no http block too."""
    found = Settings([], {}, [], False, [], None, None, None, {}, [], [], [], _errors(directives))
    single: dict[str, str] = {}
    for directive in walk(directives):
        name, parameters = directive.name, directive.parameters
        if name == "log_format" and len(parameters) > 1:
            escape = parameters[1][7:] if parameters[1].startswith("escape=") else ""
            found.formats.setdefault(parameters[0], (escape or "default", "".join(parameters[2 if escape else 1:])))
        elif name == "upstream" and parameters:
            servers = [inner.parameters[0] for inner in directive.block or [] if inner.name == "server" and inner.parameters]
            found.upstreams.setdefault(parameters[0], servers)
        elif name == "set_real_ip_from" and parameters and parameters[0] not in found.proxies:
            found.proxies.append(parameters[0])
        elif name == "proxy_pass" and parameters and parameters[0] not in found.passes:
            found.passes.append(parameters[0])
        elif name == "limit_req_zone":
            found.limit_zones.append(parameters)
        elif name == "limit_req":
            found.limits.append((directive.file, directive.line, parameters))
        elif name in ("worker_processes", "worker_connections", "real_ip_header") and parameters:
            single.setdefault(name, parameters[0])
    https = [directive.block or [] for directive in directives if directive.name == "http"]
    default = False
    for block in https or [list(directives)]:
        default = _logs(block, None, found, bool(https)) or default
    connections = single.get("worker_connections", "")
    return found._replace(
        default_log=default, real_ip_header=single.get("real_ip_header"), worker_processes=single.get("worker_processes"),
        worker_connections=int(connections) if connections.isdecimal() and len(connections) <= 10 else None,
    )


def _errors(directives: t.Sequence[Directive]) -> list[tuple[str, str]]:
    """Every error_log, each once. One in an inner level takes the place of those outside it there; outside they are in force all the same."""
    found: dict[tuple[str, str], None] = {}
    if not any(directive.name == "error_log" and directive.parameters for directive in directives):
        found["", "error"] = None
    for directive in walk(directives):
        if directive.name == "error_log" and directive.parameters:
            levels = [word for word in directive.parameters[1:] if word in LEVELS or word.startswith("debug_")]
            found[directive.parameters[0], "debug" if levels and levels[0].startswith("debug") else levels[0] if levels else "error"] = None
    return list(found)


#: What an error_log may be told to write, and all that is worse.
LEVELS: t.Final = ("debug", "info", "notice", "warn", "error", "crit", "alert", "emerg")


def _logs(block: t.Sequence[Directive], inherited: list[Log] | None, found: Settings, http: bool) -> bool:
    """Collect the logs in force in a level and those below it; true where some request goes to nginx's default log.

    A level that has an access_log of its own inherits none, and "access_log off" drops those beside it. Null is "nothing said so far".
    """
    own = [directive.parameters for directive in block if directive.name == "access_log" and directive.parameters]
    logs = inherited
    if own:
        logs = [] if ("off",) in own else [_log(parameters) for parameters in own]
    below = [directive for directive in block if directive.block is not None and directive.name in _LEVELS]
    servers = [directive for directive in below if directive.name == "server"]
    default = False
    for directive in below:
        default = _logs(directive.block or [], logs, found, http) or default
    if servers:
        for directive in servers:
            if not _says(directive) and logs == []:
                found.off.append(_server_name(directive))
            elif ("off",) in [inner.parameters for inner in directive.block or [] if inner.name == "access_log"]:
                found.off.append(_server_name(directive))
        return default
    if logs is None:
        return http or default
    for log in logs:
        if log not in found.logs:
            found.logs.append(log)
    return default


_LEVELS = frozenset(("server", "location", "if", "limit_except"))


def _says(server: Directive) -> bool:
    return any(inner.name == "access_log" for inner in server.block or [])


def _log(parameters: tuple[str, ...]) -> Log:
    rest = parameters[1:]
    name = rest[0] if rest and "=" not in rest[0] and rest[0] != "gzip" else "combined"
    condition = next((word[3:] for word in rest if word.startswith("if=")), "")
    return Log(parameters[0], name, any(word == "gzip" or word.startswith("gzip=") for word in rest), condition)


def _server_name(server: Directive) -> str:
    for name in ("server_name", "listen"):
        for inner in server.block or []:
            if inner.name == name and inner.parameters:
                return inner.parameters[0]
    return "%s:%d" % (server.file, server.line)
