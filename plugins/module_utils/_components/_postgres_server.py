# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Find the PostgreSQL servers of a host by their postmasters, and ask one through psql as the user that it runs as.

Private to oncall.pressure: no stable interface.

A server is asked over its Unix socket, and given no password. psql runs without privileges, as the very user whose server it speaks to: whoever puts
another in its place wins nothing but a wrong answer.
"""

from __future__ import annotations

import collections
import re
import stat
import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._components import _postgres_sql
from ansible_collections.oncall.pressure.plugins.module_utils._components._daemons import Daemons, root_of, running
from ansible_collections.oncall.pressure.plugins.module_utils._components._nginx_files import Master, View
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import As, Machine
from ansible_collections.oncall.pressure.plugins.module_utils._host._text import clean, decode
from ansible_collections.oncall.pressure.plugins.module_utils._parse import _postgres

OLDEST: t.Final = 13

#: libpq waits at least two seconds, and takes one for two.
CONNECT_S: t.Final = 2
STATEMENT_S: t.Final = 2.0

# What a statement or a connection may take longer than its own limit until it is given up.
_SLACK_S = 1.5

_PSQL: t.Final = ("psql", "-X", "-q", "-A", "-t", "-w")
MEMORY_BYTES = 512 * 1024 * 1024

# Every database has this one; it is asked where no client is connected to any.
_DATABASE: t.Final = "postgres"

# A name that is given to libpq as it is. Titles are read at blanks: one with a blank in it is not told.
_NAME = re.compile(r"[^\s\x00-\x1f\x7f]{1,63}")


class Server(t.NamedTuple):
    """A postmaster. uid, gid: whom it runs as; root: the way to its file system ("" where it is ours); version: the major one;
    file: its postmaster.pid; titles: of its processes. Null is not known."""

    pid: int
    uid: int
    gid: int
    root: str
    version: int | None
    file: _postgres.Postmaster | None
    titles: tuple[str, ...]


class Answer(t.NamedTuple):
    """What psql said. status: ok, partial, denied or error; reason where it is not ok; parts: its answers by name; full: all connections are taken."""

    status: str
    reason: str | None
    parts: dict[str, dict[str, t.Any]]
    database: str | None
    full: bool


class Call(t.NamedTuple):
    """How psql is run. words: its arguments behind those that are the same for all; handed: see Machine.run; failed: what follows from what it
    said (and in which database) where it gave no answer; hide: takes what is secret out of what it said."""

    words: tuple[str, ...]
    environment: dict[str, str]
    who: As
    database: str
    handed: tuple[str, bytes] | None
    failed: t.Callable[[str, str], Answer]
    hide: t.Callable[[str], str] = str


def servers(machine: Machine, daemons: Daemons | None) -> list[Server]:
    """The servers that run, those that have run longest first; looked for where ``daemons`` is null."""
    pids = (running(machine) if daemons is None else daemons).get("postgres", ())
    seen: dict[int, tuple[int, int]] = {}
    titles: dict[int, str] = {}
    for pid in pids:
        try:
            fields = machine.peek("/proc/%d/stat" % pid).rpartition(b")")[2].split()
            seen[pid] = (int(fields[1]), int(fields[19]))
            # The arguments of a process that is stuck in the kernel may not be had before it is.
            titles[pid] = decode(machine.peek("/proc/%d/cmdline" % pid, 2048)) if fields[0] != b"D" else ""
        except (OSError, IndexError, ValueError):
            continue
    found = []
    for pid in sorted(seen, key=lambda pid: seen[pid][1]):
        words = titles.get(pid, "").split("\0")
        # a child that outlived its postmaster has no parent of its kind either, and initdb has no clients
        if seen[pid][0] in seen or words[0].startswith("postgres: ") or {"--single", "--boot", "--check"} & set(words):
            continue
        server = _server(machine, pid, tuple(titles[child] for child, (parent, dummy) in seen.items() if parent == pid and titles.get(child)))
        if server is not None:
            found.append(server)
    return found


def _server(machine: Machine, pid: int, titles: tuple[str, ...]) -> Server | None:
    status = machine.text_or_none("/proc/%d/status" % pid, 8192) or ""
    ids = {key: re.search(r"^%s:\t\d+\t(\d+)" % key, status, re.MULTILINE) for key in ("Uid", "Gid")}
    uid, gid = (int(found.group(1)) if found else 0 for found in (ids["Uid"], ids["Gid"]))
    if uid == 0:
        # PostgreSQL refuses to be root: this is something of the same name
        return None
    # it works in its data folder from its start to its end
    version = re.match(r"[0-9]{1,3}", machine.text_or_none("/proc/%d/cwd/PG_VERSION" % pid, 64) or "")
    file = _postgres.postmaster(machine.text_or_none("/proc/%d/cwd/postmaster.pid" % pid, 4096) or "")
    spaces = re.search(r"^NSpid:((?:\t\d+)+)", status, re.MULTILINE)
    if file is not None and file.pid not in (pid, int(spaces.group(1).split()[-1]) if spaces else pid):
        file = None
    return Server(pid, uid, gid, root_of(machine, pid), int(version.group()) if version else None, file, titles)


def sessions(server: Server) -> list[_postgres.Session]:
    """The client sessions that the titles of its processes tell."""
    return [session for session in map(_postgres.session, server.titles) if session is not None]


def _busiest(server: Server) -> str:
    """The database that most sessions use, those that work counted first: its tables and statements are looked at."""
    counts: collections.Counter[str] = collections.Counter()
    for session in sessions(server):
        if _NAME.fullmatch(session.database):
            counts[session.database] += 1 if session.state == "idle" else 100
    return max(counts, key=lambda name: (counts[name], name), default=_DATABASE)


def ask(machine: Machine, server: Server, window_s: float, limit_s: float) -> Answer:
    """Ask a server for its sessions and locks, and for what happens in ``window_s`` seconds, for at most ``limit_s`` seconds."""
    folder, refused = _socket_folder(machine, server)
    if refused is not None:
        return Answer(refused[0], refused[1], {}, None, False)
    database = _busiest(server)
    answer = _ask(machine, server, folder, database, window_s, limit_s)
    if database == _DATABASE or answer.parts or answer.status != "denied" or answer.full:
        return answer
    # its name may have been read wrongly from a title, it may take no connections, or a catalog of it is locked
    other = _ask(machine, server, folder, _DATABASE, window_s, limit_s)
    if not other.parts:
        return answer
    reason = "%s was not asked but %s, whose tables and statements these are: %s" % (clean(database, 64), _DATABASE, answer.reason)
    return other._replace(status="partial", reason="; ".join(filter(None, (reason, other.reason))))


def _socket_folder(machine: Machine, server: Server) -> tuple[str, tuple[str, str] | None]:
    """Where a server's socket lies, for us; and, where it is not asked, the status and the reason."""
    refused = _refused(machine, server)
    if refused is not None or server.file is None or server.file.socket_folder is None:
        return "", refused
    folder = server.file.socket_folder
    try:
        # links inside a container begin at its root, not at ours
        folder = View(machine, Master(server.pid, 0, None, None, server.root)).real(folder) if server.root else folder
        path = "%s/.s.PGSQL.%d" % (folder, server.file.port)
        found = machine.stat(path)
    except OSError as problem:
        return "", ("error", "its socket in %s: %s" % (clean(folder, 140), problem.strerror))
    if not stat.S_ISSOCK(found.st_mode) or found.st_uid != server.uid:
        return "", ("denied", "%s is not a socket of the user that the server runs as, and is not trusted" % clean(path, 140))
    return folder, None


def _refused(machine: Machine, server: Server) -> tuple[str, str] | None:
    """Why a server is not asked, whatever its socket is; null where it may be."""
    euid = machine.euid()
    if euid not in (0, server.uid):
        return "denied", "become root, or the user %s that it runs as" % (names(machine, "").get(server.uid) or server.uid)
    if server.version is not None and server.version < OLDEST:
        return "partial", "PostgreSQL %d is older than %d, the oldest that is understood" % (server.version, OLDEST)
    if server.file is None or server.version is None:
        return "error", "its data folder has no postmaster.pid and PG_VERSION of a running server"
    if server.file.socket_folder is None:
        return "denied", "it listens on no Unix socket in a folder: set unix_socket_directories"
    return None


def words(server: Server, folder: str, window_s: float) -> tuple[str, ...]:
    """What psql is told, behind the options that are the same for all: where the socket lies, and what to ask there."""
    asked = _postgres_sql.statements(server.version or OLDEST, window_s, STATEMENT_S)
    port = str(server.file.port) if server.file is not None else "0"
    return ("-h", folder, "-p", port, *(word for statement in asked for word in ("-c", statement)))


def _ask(machine: Machine, server: Server, folder: str, database: str, window_s: float, limit_s: float) -> Answer:
    call = Call(
        words(server, folder, window_s), _environment(machine, server, database), As(server.uid, server.gid, (), "/", MEMORY_BYTES), database, None, _failed)
    return converse(machine, call, window_s, limit_s)


def converse(machine: Machine, call: Call, window_s: float, limit_s: float) -> Answer:
    """One session of psql, for at most ``limit_s`` seconds."""
    limit_s = min(limit_s, window_s + CONNECT_S + 2 * STATEMENT_S + _SLACK_S)
    try:
        outcome = machine.run(_PSQL + call.words, limit_s, environment=call.environment, who=call.who, handed=call.handed)
    except FileNotFoundError:
        return Answer("denied", "there is no psql on this host: install PostgreSQL's client", {}, None, False)
    except PermissionError as problem:
        return Answer("denied", "psql cannot be run as the user with the number %d: %s" % (call.who.uid, problem.strerror), {}, None, False)
    parts = _postgres.answers(outcome.out)
    said = _said(call.hide(decode(outcome.err[:8192])))
    if outcome.timed_out:
        return Answer("partial" if "now" in parts else "error", "it did not answer within %g s" % limit_s, parts, call.database, False)
    if not parts:
        return call.failed(said, call.database)
    lacking = [name for name in (("now", "locks", "first", "second") if window_s > 0 else ("now", "locks")) if name not in parts]
    if lacking:
        about = " and ".join(_ABOUT[name] for name in lacking)
        # ours goes first where memory runs out
        ended = "psql was ended by signal %d" % -outcome.status if outcome.status is not None and outcome.status < 0 else "nothing was said"
        return Answer("partial", "no answer about %s: %s" % (about, said or ended), parts, call.database, False)
    return Answer("ok", None, parts, call.database, False)


_LET_IN: t.Final = "have pg_hba.conf let it in from the socket by peer"
_ABOUT: t.Final = {"now": "sessions", "locks": "locks", "first": "tables", "second": "the window"}


def _failed(said: str, database: str) -> Answer:
    """No connection. Who refuses says FATAL in most languages; any other end is no answer of a server that works."""
    if "timeout expired" in said:
        return Answer("error", "it did not answer within %d s" % CONNECT_S, {}, database, False)
    if "fe_sendauth" in said:
        return Answer("denied", "it asks its owner for a password: " + _LET_IN, {}, database, False)
    # sorry, too many clients already; remaining connection slots are reserved for ...
    full = re.search(r"too many clients|connection slots", said) is not None
    if "ERROR" in said and "FATAL" not in said:
        return Answer("error", "it let its owner in and answered nothing: " + said, {}, database, False)
    refused = "pg_hba.conf" in said or "authentication failed" in said
    status = "denied" if full or "FATAL" in said else "error"
    return Answer(status, (said or "psql ended without an answer") + (": " + _LET_IN if refused else ""), {}, database, full)


def _said(err: str) -> str:
    """What psql said first, without where it was connected to."""
    lines = [line.strip() for line in err.split("\n") if line.strip()]
    first = next((line for line in lines if re.search(r"FATAL|ERROR", line)), lines[0] if lines else "")
    if "failed:" in first and first.endswith("failed:") and len(lines) > 1:
        first += " " + lines[1]
    return clean(re.sub(r"^psql: error: (?:connection to server (?:on socket|at) .{0,320}? failed: ?)?", "", first), 200)


def basics(machine: Machine, own: str | None, version: int | None) -> dict[str, str]:
    """What psql knows of whatever server. ``own``: a folder that may hold its clients, tried first."""
    return {
        # Where several versions lie side by side, the one in the usual path may be a script that looks for them, at several times the cost.
        "PATH": ":".join([*_folders(machine, own), "/usr/bin:/bin:/usr/local/bin"]), "LC_ALL": "C", "PGCONNECT_TIMEOUT": str(CONNECT_S),
        "PGCLIENTENCODING": "UTF8", "PGAPPNAME": "oncall.pressure", "PGGSSENCMODE": "disable", "PGOPTIONS": _postgres_sql.options(version, STATEMENT_S),
    }


def _environment(machine: Machine, server: Server, database: str) -> dict[str, str]:
    """All that psql knows. No password is among it: libpq looks for one in the owner's own .pgpass, should the server ask."""
    try:
        own = None if server.root else machine.link("/proc/%d/exe" % server.pid).rpartition("/")[0]
    except OSError:
        own = None
    found = dict(basics(machine, own, server.version or OLDEST), PGDATABASE=database, PGUSER=_role(machine, server), PGSSLMODE="disable")
    name = names(machine, "").get(server.uid)
    if name:
        # libpq asks the kernel who listens, and leaves where it is another
        found["PGREQUIREPEER"] = name
    return found


def _folders(machine: Machine, own: str | None) -> list[str]:
    """Where clients may lie, if nobody but root can change what lies there: the server's own, then those of packages, the newest first."""
    found = [] if own is None else [own]
    for parent, name, rest in (("/usr/lib/postgresql", r"([0-9]{1,3})", "/bin"), ("/usr", r"pgsql-([0-9]{1,3})", "/bin")):
        try:
            versions = sorted((int(match.group(1)), match.group()) for match in (re.fullmatch(name, one) for one in machine.names(parent)) if match)
        except OSError:
            continue
        found += ["%s/%s%s" % (parent, one, rest) for dummy, one in reversed(versions)]
    return [path for path in dict.fromkeys(found) if ":" not in path and _is_roots(machine, path)]


def _is_roots(machine: Machine, path: str) -> bool:
    try:
        found = machine.stat(path)
    except OSError:
        return False
    return found.st_uid == 0 and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _role(machine: Machine, server: Server) -> str:
    """Whom to be in the database: the owner has the name of its user. A container's image may be told another."""
    if server.root:
        for word in (machine.text_or_none("/proc/%d/environ" % server.pid, 65536) or "").split("\0"):
            name, dummy, value = word.partition("=")
            if name in ("POSTGRES_USER", "POSTGRESQL_USERNAME") and _NAME.fullmatch(value):
                return value
    return names(machine, server.root).get(server.uid) or "postgres"


def names(machine: Machine, root: str) -> dict[int, str]:
    """Names by uid; no name service is asked, it may hang."""
    found: dict[int, str] = {}
    for line in (machine.text_or_none(root + "/etc/passwd", 1048576) or "").split("\n"):
        parts = line.split(":")
        if len(parts) > 2 and re.fullmatch(r"[0-9]{1,10}", parts[2]) and _NAME.fullmatch(parts[0]):
            found.setdefault(int(parts[2]), parts[0])
    return found
