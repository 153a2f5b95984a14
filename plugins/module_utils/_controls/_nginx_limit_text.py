# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the file for nginx says: which requests have a key, at which rate.

Private to oncall.pressure: no stable interface. Pure.

Nothing that came from a log or an argument is in the file but letters, digits, slash, dash and underscore, and addresses that were parsed and spelled
anew: every other byte of a path stands as ``\\xNN`` of a regular expression. The file is ASCII.
"""

from __future__ import annotations

import hashlib
import re
import typing as t
import urllib.parse

from ansible_collections.oncall.pressure.plugins.module_utils._parse._addresses import Network

#: The file's name, in the place of the star of the include that finds it: late, since settings of maps must stand before the first map.
NAME: t.Final = "zz-oncall-pressure-limit"

#: The header of our own request that proves the limit; its value is a part of the file's digest.
HEADER: t.Final = "X-Oncall-Pressure"

_PATH_LIMIT = 512
_SAFE = re.compile(rb"[A-Za-z0-9/_-]")
#: What the diagnosis writes in the place of identifiers, as a part of an expression.
_PLACES: t.Final = {
    b"{n}": "[0-9]+", b"{hex}": "[0-9a-fA-F]{16,}", b"{token}": "[A-Za-z0-9_-]{32,}",
    b"{uuid}": "[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}",
}
_PLACE = re.compile(rb"\{(?:n|hex|token|uuid)\}")
_EXAMPLES: t.Final = {b"{n}": b"1", b"{hex}": b"0" * 16, b"{token}": b"A1" + b"0" * 30, b"{uuid}": b"00000000-0000-0000-0000-000000000000"}


class BadPath(ValueError):
    """A path that nothing can be limited by; the message says why."""


class Path(t.NamedTuple):
    """Which requests are meant.

    given: as it was asked for; expression: for nginx, ASCII, not yet quoted, of the decoded and normalised path;
    example: one such path, as bytes; exact: whether that is the only one; start: what all of them begin with
    """

    given: str
    expression: str
    example: bytes
    exact: bool
    start: bytes

    def holds(self, path: bytes) -> bool:
        """Whether a decoded, normalised path is meant."""
        return re.match(self.expression.replace("\\z", "\\Z").encode("ascii"), path, re.DOTALL) is not None


def path_of(given: str) -> Path:
    """The path of an argument: as it was logged or as the diagnosis folds it; a star at its end is everything that begins so. Raises BadPath."""
    if not given.startswith("/"):
        raise BadPath("the path must begin with a slash")
    if len(given) > _PATH_LIMIT:
        raise BadPath("the path has more than %d characters" % _PATH_LIMIT)
    if "?" in given or "#" in given:
        raise BadPath("the path has no query: everything from the question mark on is left to the application")
    if given.endswith("..."):
        raise BadPath("the path was cut where it was shown: end it with a star, for everything that begins so")
    more = given.endswith("*")
    try:
        data = urllib.parse.unquote_to_bytes((given[:-1] if more else given).encode("utf-8", "surrogateescape"))
    except UnicodeEncodeError as problem:
        raise BadPath("the path is no text") from problem
    if b"\0" in data:
        raise BadPath("the path holds a zero byte, which no request can")
    if normalised(data) != data:
        raise BadPath("nginx never sees the path in this form: it removes double slashes and dots between slashes")
    parts: list[str] = []
    example, done, plain = b"", 0, True
    for found in _PLACE.finditer(data):
        parts += [_escaped(data[done: found.start()]), _PLACES[found.group()]]
        example += data[done: found.start()] + _EXAMPLES[found.group()]
        done, plain = found.end(), False
    parts.append(_escaped(data[done:]))
    example += data[done:]
    first = _PLACE.search(data)
    return Path(given, "^" + "".join(parts) + ("" if more else "\\z"), example, plain and not more, data[: first.start()] if first else data)


def _escaped(data: bytes) -> str:
    """A literal, as a part of an expression of bytes."""
    return "".join(chr(byte) if _SAFE.match(bytes([byte])) else "\\x%02x" % byte for byte in data)


def normalised(path: bytes) -> bytes:
    """A decoded path as nginx has it in $uri with its defaults: slashes merged, dots between slashes resolved."""
    if b"//" not in path and b"/." not in path:
        return path
    kept: list[bytes] = []
    parts = path.split(b"/")
    for place, part in enumerate(parts):
        last = place == len(parts) - 1
        if part in (b"", b".") and not last:
            continue
        if part == b"..":
            kept = kept[:-1]
        elif part != b"." and not (part == b"" and not last):
            kept.append(part)
        if last and part in (b".", b".."):
            kept.append(b"")
    return b"/" + b"/".join(kept)


def target_path(target: bytes) -> bytes:
    """The decoded, normalised path of a logged request target."""
    if not target.startswith(b"/"):
        scheme, separator, rest = target.partition(b"://")
        target = b"/" + rest.partition(b"/")[2] if separator and scheme.isalpha() else target
    path = target.partition(b"?")[0].partition(b"#")[0]
    return normalised(urllib.parse.unquote_to_bytes(path) if b"%" in path else path)


class Limit(t.NamedTuple):
    """What is limited: path and clients (either may be null, not both), the keep list, requests a second, the burst, whether it only says what it would do,
    and the status of a refusal (null: nginx's own, 503, or what is set already)."""

    path: Path | None
    clients: t.Sequence[Network] | None
    keep: t.Sequence[Network]
    rate_per_s: int
    burst: int
    dry_run: bool
    status: int | None


def identity(limit: Limit) -> str:
    """A name that is another one for every other content: nginx silently refuses to load a known zone with another key."""
    parts = [
        limit.path.expression if limit.path else "", ",".join(map(str, limit.clients or ())), ",".join(map(str, _told(limit))),
        "%d %d %s %s 1" % (limit.rate_per_s, limit.burst, limit.dry_run, limit.status),
    ]
    return hashlib.sha256("\n".join(parts).encode("ascii")).hexdigest()[:12]


def zone(limit: Limit) -> str:
    """The zone's name; that of our own request has ``_probe`` behind it."""
    return "pressure_" + identity(limit)


def content(limit: Limit) -> str:
    """The whole file."""
    name, digest = zone(limit), identity(limit)
    path = [] if limit.path is None else [
        "# the path, decoded and without its query", "map $uri $%s_path {" % name, "    default 0;",
        '    "%s" 1;' % ("~" + limit.path.expression).replace("\\", "\\\\"), "}",
    ]
    of_path = "$%s_path" % name if limit.path is not None else "1"
    lines = [
        "# Written by oncall.pressure, and taken away by it (playbook oncall.pressure.rollback). Do not edit: change it with the playbook.",
        "# Limits requests of %s; no key means no limit." % ("each client address" if limit.clients is None else "the clients below"),
        "",
    ] + path + [
        "# the client: 1 is limited, 0 is never (nginx takes the smallest network that holds an address)", "geo $%s_client {" % name,
        "    default %d;" % (limit.clients is None),
        # what comes by a socket of this machine has this address
        "    255.255.255.255 0;",
    ] + ["    %s 0;" % spelled(network) for network in _told(limit)] + [
        "    %s 1;" % spelled(network) for network in limit.clients or ()
    ] + [
        "}", "map %s$%s_client $%s_key {" % (of_path, name, name), '    default "";', '    "11" $binary_remote_addr;', "}",
        "limit_req_zone $%s_key zone=%s:10m rate=%dr/s;" % (name, name, limit.rate_per_s),
        "limit_req zone=%s burst=%d nodelay;" % (name, limit.burst),
        "",
        "# a request of our own, by which it is seen that the limit is in force; it is limited beside the others, at once",
        "map $http_%s $%s_ours {" % (HEADER.lower().replace("-", "_"), name), "    default 0;", '    "%s" 1;' % digest, "}",
        "map %s$%s_ours $%s_probe {" % (of_path, name, name), '    default "";', '    "11" probe;', "}",
        "limit_req_zone $%s_probe zone=%s_probe:64k rate=1r/m;" % (name, name),
        "limit_req zone=%s_probe;" % name,
    ]
    if limit.dry_run:
        lines.append("limit_req_dry_run on;")
    if limit.status is not None:
        lines.append("limit_req_status %d;" % limit.status)
    return "\n".join(lines) + "\n"


def _told(limit: Limit) -> list[Network]:
    """Of the keep list what has to be said: where clients are named, only what lies within them, since nobody else is limited."""
    within = [one for one in limit.keep if limit.clients is None or any(one.version == other.version and one.overlaps(other) for other in limit.clients)]
    return [one for one in within if str(one) != "255.255.255.255/32"]


def spelled(network: Network) -> str:
    """A network as text, without the length where it is one address."""
    return str(network.network_address) if network.prefixlen == network.max_prefixlen else str(network)


_FIGURES = re.compile(
    r"^limit_req_zone \$pressure_[0-9a-f]{12}_key zone=\S+ rate=([0-9]{1,9})r/s;\nlimit_req zone=\S+ burst=([0-9]{1,9}) nodelay;$", re.MULTILINE)


def figures(text: str) -> tuple[int, int] | None:
    """Rate and burst of a file of ours; null where it is none."""
    found = _FIGURES.search(text)
    return (int(found.group(1)), int(found.group(2))) if found else None
