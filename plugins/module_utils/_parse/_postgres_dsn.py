# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Connection strings of PostgreSQL that people name: which server to ask, and as whom.

Private to oncall.pressure: no stable interface. Only what says who and where is taken; a word that would have libpq read files,
run code or change what is measured is refused. No message repeats anything of a string: any part of it may be the password.
"""

from __future__ import annotations

import re
import typing as t

#: So many servers are asked, one after the other.
MOST: t.Final = 8

SSL_MODES: t.Final = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")


class BadDsn(ValueError):
    """What is no connection string, or not one that is taken; the text says why and holds nothing of it."""


class Target(t.NamedTuple):
    """A server that people named. host: a name, an address, or the folder of a socket; sslmode, sslrootcert: "" leaves them to libpq."""

    host: str
    port: int
    user: str
    password: str
    database: str
    sslmode: str
    sslrootcert: str

    def __repr__(self) -> str:
        """Without the password: it may be part of an exception's text."""
        return "Target(%s)" % self.address

    @property
    def address(self) -> str:
        """As people read it."""
        if self.host.startswith("/"):
            return "unix:%s/.s.PGSQL.%d" % (self.host.rstrip("/"), self.port)
        return ("[%s]:%d" if ":" in self.host else "%s:%d") % (self.host, self.port)

    @property
    def here(self) -> bool:
        """Whether it can only be a server of this host."""
        return re.fullmatch(r"/.*|127(?:\.[0-9]{1,3}){3}|localhost|::1", self.host) is not None


_TAKEN: t.Final = ("host", "port", "user", "password", "dbname", "sslmode", "sslrootcert")
_HOST: t.Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,252}|[0-9A-Fa-f]{0,4}:[0-9A-Fa-f:.]{1,45}(?:%[A-Za-z0-9._-]{1,15})?|/[^\x00-\x20\x7f,@]{1,89}")
_NAME: t.Final = re.compile(r"[^\x00-\x1f\x7f]{1,63}")
_FILE: t.Final = re.compile(r"/[^\x00-\x20\x7f]{1,250}|system")

_URI: t.Final = re.compile(
    r"postgres(?:ql)?://(?:(?P<who>[^/?#@]*)@)?(?P<where>\[[^\]/?#@]*\](?::[^/?#@]*)?|[^/?#@]*)(?:/(?P<name>[^?#@]*))?(?:\?(?P<more>[^#]*))?")

#: libpq reads a service file by lines of about a thousand bytes, and leaves out blanks at their ends.
_PASSWORD_BYTES: t.Final = 1000


def targets(value: t.Any) -> tuple[Target, ...]:
    """The servers of ``pressure_postgres_dsn``: nothing, one connection string or a list of them. Raises BadDsn."""
    if value is None or value == "" or value == []:
        return ()
    given = [value] if isinstance(value, str) else value
    if not isinstance(given, list):
        raise BadDsn("postgres_dsn: it must be a connection string or a list of them")
    if len(given) > MOST:
        raise BadDsn("postgres_dsn: %d are given, at most %d are asked" % (len(given), MOST))
    found = []
    for number, text in enumerate(given, 1):
        try:
            found.append(target(text))
        except BadDsn as problem:
            raise BadDsn("postgres_dsn: number %d %s" % (number, problem)) from None
    return tuple(found)


def target(text: t.Any) -> Target:
    """One connection string, a URI or words, as libpq reads it. Raises BadDsn."""
    if not isinstance(text, str) or not text.strip() or len(text) > 4096:
        raise BadDsn("is no connection string")
    found = _uri(text) if "://" in text.split("=", 1)[0] else _words(text)
    host = found.get("host", "")
    if "," in host or "," in found.get("port", ""):
        raise BadDsn("names several hosts: name each server by itself")
    if not _HOST.fullmatch(host):
        raise BadDsn("has no host, or one that is no name, address or absolute path (what is special in a URI must be written as %XX)")
    port = found.get("port", "") or "5432"
    if not re.fullmatch(r"[0-9]{1,5}", port) or not 0 < int(port) < 65536:
        raise BadDsn("has a port that is none")
    if not _NAME.fullmatch(found.get("user", "")):
        raise BadDsn("has no user, or one that is no name")
    database = found.get("dbname", "") or "postgres"
    # libpq takes such a name for a connection string of its own
    if not _NAME.fullmatch(database) or "=" in database or "://" in database:
        raise BadDsn("has a database that is no name")
    if found.get("sslmode", "") not in ("", *SSL_MODES):
        raise BadDsn("has an sslmode that is none of %s" % ", ".join(SSL_MODES))
    if found.get("sslrootcert") and not _FILE.fullmatch(found["sslrootcert"]):
        raise BadDsn("has an sslrootcert that is neither an absolute path nor system")
    password = found.get("password", "")
    if re.search(r"[\x00-\x1f\x7f]", password) or password != password.rstrip() or len(password.encode("utf-8", "replace")) > _PASSWORD_BYTES:
        raise BadDsn("has a password with a control character, a blank at its end, or more than %d bytes" % _PASSWORD_BYTES)
    for key in ("user", "dbname", "sslrootcert"):
        if found.get(key, "") != found.get(key, "").rstrip():
            raise BadDsn("has a blank at the end of a name")
    return Target(host, int(port), found["user"], password, database, found.get("sslmode", ""), found.get("sslrootcert", ""))


def service(one: Target, name: str) -> bytes:
    """The section of a service file that tells libpq all of it."""
    rows = {
        "host": one.host, "port": str(one.port), "user": one.user, "password": one.password, "dbname": one.database, "sslmode": one.sslmode,
        "sslrootcert": one.sslrootcert,
    }
    lines = ["[%s]" % name, *("%s=%s" % row for row in rows.items() if row[1])]
    return ("\n".join(lines) + "\n").encode("utf-8", "replace")


def _uri(text: str) -> dict[str, str]:
    """``postgresql://user:password@host:port/database?sslmode=...``, each part with %XX in it."""
    found = _URI.fullmatch(text)
    if found is None:
        raise BadDsn("is no URI like postgresql://USER:PASSWORD@HOST:PORT/DATABASE (what is special in it must be written as %XX)")
    user, dummy, password = (found.group("who") or "").partition(":")
    where = re.fullmatch(r"(?:\[([^\]]*)\]|([^:]*))(?::(.*))?", found.group("where"))
    if where is None:
        raise BadDsn("has a host that is none")
    host, port = where.group(1) or where.group(2) or "", where.group(3) or ""
    parts = {"user": user, "password": password, "host": host, "port": port, "dbname": found.group("name") or ""}
    rows = {key: _plain(value) for key, value in parts.items() if value}
    for word in (found.group("more") or "").split("&"):
        if word:
            key, dummy, value = word.partition("=")
            _put(rows, _plain(key), _plain(value))
    return rows


def _plain(text: str) -> str:
    if re.search(r"%(?![0-9A-Fa-f]{2})", text):
        raise BadDsn("has a % that is not followed by two hexadecimal digits")
    data = re.sub(rb"%([0-9A-Fa-f]{2})", lambda found: bytes([int(found.group(1), 16)]), text.encode("utf-8", "replace"))
    return data.decode("utf-8", "replace")


def _words(text: str) -> dict[str, str]:
    """``host=... user=...``; a value may stand in single quotes, a backslash takes the next letter as it is."""
    rows: dict[str, str] = {}
    place = re.compile(r"\s*([A-Za-z_]+)\s*=\s*(?:'((?:[^'\\]|\\.)*)'|((?:[^\s'\\]|\\.)*))(?=\s|\Z)", re.DOTALL)
    at = 0
    while text[at:].strip():
        found = place.match(text, at)
        if found is None:
            raise BadDsn("is neither a URI nor words like host=NAME user=NAME (a value with a blank or a quote stands in single quotes)")
        quoted = found.group(2) if found.group(2) is not None else found.group(3)
        _put(rows, found.group(1), re.sub(r"\\(.)", r"\1", quoted, flags=re.DOTALL))
        at = found.end()
    return rows


def _put(rows: dict[str, str], key: str, value: str) -> None:
    if key not in _TAKEN:
        raise BadDsn("has a word that is not taken; taken are %s" % ", ".join(_TAKEN))
    if key in rows:
        raise BadDsn("says %s twice" % key)
    rows[key] = value
