# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which servers and locations of a configuration a path may be served by, and what is set on the way to them.

Private to oncall.pressure: no stable interface. Pure. Source: ngx_http_core_find_location and ngx_http_limit_req_module.

It errs on the side of more: an expression that Python does not read as PCRE does may match. A limit at http level reaches a location only where neither it
nor a level around it has one of its own; status and dry run are inherited one by one, each from the next level that sets it.
"""

from __future__ import annotations

import re
import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._controls._nginx_limit_text import Path
from ansible_collections.oncall.pressure.plugins.module_utils._parse._nginx_config import VARIABLE, Directive, walk

_DEPTH = 12

#: From http inwards, the last one being where the path ends up.
Chain = t.Tuple[Directive, ...]


class Listen(t.NamedTuple):
    """How a server is reached: host ("" with ``unix`` set) and port, or the path of a socket; whether it speaks TLS, or wants to be told the client first."""

    host: str
    port: int
    unix: str
    tls: bool
    proxy_protocol: bool


class Served(t.NamedTuple):
    """One way that the path may be served: the levels, and why a limit at http level never sees it ("" where it does)."""

    chain: Chain
    answers: str


def children(level: Directive, name: str) -> list[Directive]:
    """The directives of a name that stand directly in a level."""
    return [inner for inner in level.block or [] if inner.name == name]


def where(directive: Directive) -> str:
    """Where it stands, for a person."""
    return "%s:%d" % (directive.file, directive.line)


def nearest(chain: Chain, name: str) -> Directive | None:
    """The directive that is in force at the end of a chain: the innermost one."""
    for level in reversed(chain):
        found = children(level, name)
        if found:
            return found[0]
    return None


def served(http: Directive, path: Path | None) -> list[Served]:
    """Every way that the path (null: any) may be served."""
    found: list[Served] = []
    for server in children(http, "server"):
        answer = _answer(server)
        if answer:
            found.append(Served((http, server), answer))
            continue
        chains = _located((http, server), path, path.example if path is not None else b"/", 0)
        for chain in chains:
            answers = next((said for said in (_answer(level) for level in chain[2:]) if said), "") or (_rewritten(chain, path) if path is not None else "")
            found.append(Served(chain, answers))
    return found


def _answer(level: Directive) -> str:
    said = children(level, "return")
    return "%s: answered there (return), before limits are looked at" % where(said[0]) if said else ""


def _rewritten(chain: Chain, path: Path) -> str:
    """Where the path becomes another one before limits are looked at."""
    text = _text(path.example)
    for level in chain[1:]:
        for rule in children(level, "rewrite"):
            if len(rule.parameters) < 2:
                continue
            expression = _compiled(rule.parameters[0], False)
            if expression is not None and expression.search(text):
                return "%s: rewritten there to %s" % (where(rule), rule.parameters[1])
    return ""


def _text(path: bytes) -> str:
    """A path as one character a byte, as nginx's expressions see it."""
    return path.decode("latin-1")


def _compiled(expression: str, insensitive: bool) -> t.Pattern[str] | None:
    try:
        return re.compile(expression.encode("utf-8", "surrogateescape").decode("latin-1"), re.DOTALL | (re.IGNORECASE if insensitive else 0))
    except (re.error, OverflowError, RecursionError):
        return None


def _located(chain: Chain, path: Path | None, example: bytes, depth: int) -> list[Chain]:
    """The chains below a server or location that the path may end in; the level itself where none of its locations may."""
    level = chain[-1]
    locations = [inner for inner in children(level, "location") if inner.parameters]
    found = _exact(chain, locations, path, example, depth) if path is not None and path.exact else _possible(chain, locations, path, example, depth)
    return (found or [chain]) + _fallbacks(chain, locations, path, depth)


def _kind(location: Directive) -> tuple[str, str]:
    """("=", "^~", "~", "~*", "@" or "", the rest)."""
    words = location.parameters
    if len(words) > 1 and words[0] in ("=", "^~", "~", "~*"):
        return words[0], words[1]
    word = words[0]
    for mark in ("^~", "~*", "=", "~", "@"):
        if word.startswith(mark):
            return mark, word[len(mark):]
    return "", word


def _below(chain: Chain, location: Directive, path: Path | None, example: bytes, depth: int) -> list[Chain]:
    if depth >= _DEPTH:
        return [chain + (location,)]
    return _located(chain + (location,), path, example, depth + 1)


def _exact(chain: Chain, locations: t.Sequence[Directive], path: Path | None, example: bytes, depth: int) -> list[Chain]:
    """As nginx chooses, for one path. Where an expression cannot be read here, it may be the one."""
    text = _text(example)
    best: Directive | None = None
    length, final = -1, False
    for location in locations:
        mark, rest = _kind(location)
        rest = rest.encode("utf-8", "surrogateescape").decode("latin-1")
        if mark == "=" and rest == text:
            return _below(chain, location, path, example, depth)
        if mark in ("", "^~") and text.startswith(rest) and len(rest) > length:
            best, length, final = location, len(rest), mark == "^~"
    found: list[Chain] = []
    for location in locations if not final else ():
        mark, rest = _kind(location)
        if mark not in ("~", "~*"):
            continue
        expression = _compiled(rest, mark == "~*")
        if expression is None:
            found += _below(chain, location, path, example, depth)
        elif expression.search(text):
            # nested locations of the longest prefix are asked first
            nested = _below(chain, best, path, example, depth) if best is not None and children(best, "location") else []
            return found + nested + _below(chain, location, path, example, depth)
    return found + (_below(chain, best, path, example, depth) if best is not None else [])


def _possible(chain: Chain, locations: t.Sequence[Directive], path: Path | None, example: bytes, depth: int) -> list[Chain]:
    """Every location that one of the paths meant may end in."""
    found: list[Chain] = []
    start = _text(path.start) if path is not None else ""
    for location in locations:
        mark, rest = _kind(location)
        rest = rest.encode("utf-8", "surrogateescape").decode("latin-1")
        if mark == "@" or mark in ("", "^~", "=") and not (rest.startswith(start) or mark != "=" and start.startswith(rest)):
            continue
        found += _below(chain, location, path, example, depth)
    # unless a location takes everything, the level itself serves the rest
    if not any(_kind(location)[0] in ("", "^~") and start.startswith(_kind(location)[1]) for location in locations):
        found.append(chain)
    return found


def _fallbacks(chain: Chain, locations: t.Sequence[Directive], path: Path | None, depth: int) -> list[Chain]:
    """Named locations of a server that requests may be handed to: what is set there counts for them, and a limit seen before it takes its place."""
    if len(chain) != 2 or depth:
        return []
    server = chain[-1]
    named = {location.parameters[0]: location for location in locations if location.parameters[0].startswith("@")}
    used: set[str] = set()
    for directive in walk(server.block or []):
        if directive.name in ("try_files", "error_page") and directive.parameters and directive.parameters[-1] in named:
            used.add(directive.parameters[-1])
    return [chain + (named[name],) for name in sorted(used)]


def own_limit(chain: Chain) -> Directive | None:
    """The limit that keeps one at http level out: of the innermost level, or of the server."""
    for level in reversed(chain[1:]):
        found = children(level, "limit_req")
        if found:
            return found[0]
    return None


def inheriting(http: Directive, name: str) -> list[Directive]:
    """Every limit_req that would inherit a setting of http level: at no level around it is it set."""
    found: list[Directive] = []

    def descend(level: Directive, sets: bool) -> None:
        sets = sets or (level is not http and bool(children(level, name)))
        if not sets:
            found.extend(children(level, "limit_req"))
        for inner in level.block or []:
            if inner.name in ("server", "location") and inner.block is not None:
                descend(inner, sets)

    descend(http, False)
    return found


def trusts_everybody(http: Directive) -> Directive | None:
    """A set_real_ip_from that holds every address: anyone may then claim any address."""
    for directive in walk(http.block or []):
        if directive.name == "set_real_ip_from" and directive.parameters and re.match(r"(?:0\.0\.0\.0|::|::0)/0\Z", directive.parameters[0]):
            return directive
    return None


def peers(http: Directive) -> list[str]:
    """Addresses of servers behind nginx and of proxies before it, as they are written; names among them too."""
    found: list[str] = []
    for directive in walk(http.block or []):
        words = directive.parameters
        if not words:
            continue
        if directive.name == "set_real_ip_from":
            found.append(words[0])
        elif directive.name.endswith("_pass") or directive.name == "server" and directive.block is None:
            rest = re.sub(r"\A[a-z]+://", "", words[0]).partition("/")[0]
            address = re.match(r"\[([0-9A-Fa-f:.]+)\](?::\d+)?\Z|([0-9.]+)(?::\d+)?\Z", rest)
            if address:
                found.append(address.group(1) or address.group(2))
    return found


def listens(server: Directive) -> list[Listen]:
    """How a server is reached from this host; ways that only HTTP/3 speaks are left out."""
    found: list[Listen] = []
    for directive in children(server, "listen"):
        words = directive.parameters
        if not words or "quic" in words:
            continue
        tls = "ssl" in words or any(inner.parameters[:1] == ("on",) for inner in children(server, "ssl"))
        proxied = "proxy_protocol" in words
        if words[0].startswith("unix:"):
            found.append(Listen("", 0, words[0][5:], tls, proxied))
            continue
        shape = re.match(r"(?:(\[[0-9A-Fa-f:.]*\]|[^:\[\]]+):)?([0-9]{1,5})\Z|(\[[0-9A-Fa-f:.]*\]|[^:\[\]]+)\Z", words[0])
        if shape is None:
            continue
        host = (shape.group(1) or shape.group(3) or "").strip("[]")
        host = {"": "127.0.0.1", "*": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
        if (shape.group(1) or shape.group(3) or "") == "[::]":
            host = "::1"
        found.append(Listen(host, int(shape.group(2) or 80), "", tls, proxied))
    return found if children(server, "listen") else [Listen("127.0.0.1", 80, "", False, False)]


def host_name(server: Directive) -> str:
    """A name that nginx chooses this server by; one that no server has where it has none that can be spelled out."""
    for directive in children(server, "server_name"):
        for word in directive.parameters:
            if word.startswith("~") or not word or VARIABLE.search(word):
                continue
            name = re.sub(r"\A(?:\*\.|\.)", "oncall." if word.startswith("*") else "", re.sub(r"\.\*\Z", ".example", word))
            if re.match(r"[A-Za-z0-9._-]+\Z", name):
                return name
    return "oncall-pressure.invalid"
