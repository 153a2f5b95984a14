# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A conversation with one Redis server: the way in, the password, questions and their answers.

Private to oncall.pressure: no stable interface. What is asked only reads.
"""

from __future__ import annotations

import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._components._redis_servers import APART, Config, Door, Server, arrives
from ansible_collections.oncall.pressure.plugins.module_utils._host._dial import Exhausted, Line, Place
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine
from ansible_collections.oncall.pressure.plugins.module_utils._host._text import clean
from ansible_collections.oncall.pressure.plugins.module_utils._parse import _resp

#: What one look may read.
BYTES_LIMIT = 4194304

#: Accounts below this number are the system's: what they run was not started by a person who came in.
_SYSTEM_UIDS = 1000

#: Seconds for a connection into another network, which may not be reached, and for what is said there at first.
_FAR_S = 1.5

_NO_CERTIFICATE: t.Final = (
    "it wants a certificate of its clients (tls-auth-clients), and its own was not found through its configuration file: become root, or give it a unixsocket")

Word = t.Union[str, bytes, int]
Connect = t.Callable[[Place, float, int], Line]


class Login(t.NamedTuple):
    """What a user of the module gave: name ("" for the default user) and password ("" for none), and the one server that is meant ("" for all)."""

    username: str = ""
    password: str = ""
    address: str = ""


class Trouble(Exception):
    """A server that cannot be asked: status (denied or error), and why."""

    def __init__(self, status: str, reason: str, silent: bool = False, full: bool = False, closed: bool = False) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        #: it was there and gave no answer in time
        self.silent = silent
        #: it takes no more clients
        self.full = full
        #: it ended the conversation at our first word, as one does that expects TLS
        self.closed = closed


class Client:
    """An open conversation."""

    def __init__(self, line: Line, name: str) -> None:
        self.line = line
        self.name = name
        self._data = b""

    def ask(self, *commands: t.Sequence[Word], text_limit: int = 262144) -> list[_resp.Reply]:
        """Send commands together and give their replies. Raises OSError, TimeoutError, EOFError, Garbage, TooLarge; it is of no use after that."""
        self.line.send(b"".join(map(_resp.command, commands)))
        found: list[_resp.Reply] = []
        place = 0
        while len(found) < len(commands):
            answer = _resp.reply(self._data, place, text_limit)
            if answer is not None:
                found.append(answer[0])
                place = answer[1]
                continue
            piece = self.line.receive()
            if not piece:
                raise EOFError
            self._data = self._data[place:] + piece
            place = 0
        self._data = self._data[place:]
        return found

    def close(self) -> None:
        """End it."""
        self.line.close()


def enter(
    machine: Machine, server: Server, doors: t.Sequence[Door], config: Config | None, login: Login, seconds: float, connect: Connect
) -> tuple[Client, bytes]:
    """A conversation through the first door that opens, and what INFO gave. Raises Trouble."""
    last: Trouble | None = None
    for door in doors:
        for tls in _ways(door, config):
            try:
                return _enter(machine, server, door, config, login, seconds, connect, tls)
            except Trouble as trouble:
                if last is not None and last.closed and tls and trouble.status == "error":
                    # no TLS either: what it did to a plain question is what there is to say
                    break
                last = trouble
                if trouble.silent or trouble.full or trouble.status == "denied":
                    raise
                if not trouble.closed:
                    break
    raise last or Trouble("error", "it listens nowhere that can be told from here")


def _ways(door: Door, config: Config | None) -> tuple[bool, ...]:
    """Whether to speak TLS, in the order in which it is tried: a port that does not say which is asked in the clear first."""
    if door.place.unix:
        return (False,)
    return (True,) if config is not None and config.tls_port == door.place.port else (False, True)


def _enter(
    machine: Machine, server: Server, door: Door, config: Config | None, login: Login, seconds: float, connect: Connect, tls: bool
) -> tuple[Client, bytes]:
    words = _password(server, door, config, login)
    seconds = _FAR_S if door.far else seconds
    line = None
    encrypted = False
    try:
        line = _far(machine, server, door, connect) if door.far else connect(door.place, seconds, BYTES_LIMIT)
        listener = line.listener()
        if listener is not None and listener != server.pid:
            raise Trouble("error", "%s: another process (%d) listens there" % (door.name, listener))
        if tls:
            line.encrypt(config.certificate if config is not None else None)
            encrypted = True
        client = Client(line, door.name + (" (TLS)" if tls else ""))
        answers = client.ask(*([words] if words else []), ("INFO",))
        return client, _told(answers, words, config, login)
    except BaseException as problem:
        if line is not None:
            line.close()
        if isinstance(problem, Trouble) or not isinstance(problem, (OSError, EOFError, ValueError)):
            raise
        trouble = trouble_of(problem, seconds)
        # a server that wants a certificate says so only after TLS 1.3 is agreed on, and may close before that is read
        raise Trouble("denied", _NO_CERTIFICATE) if encrypted and trouble.closed else trouble from problem


def _far(machine: Machine, server: Server, door: Door, connect: Connect) -> Line:
    """A connection into another network. Raises Trouble where it does not arrive there: whoever took it is nobody that we know."""
    try:
        line = connect(door.place, _FAR_S, BYTES_LIMIT)
    except OSError as problem:
        raise Trouble("denied", APART) from problem
    if not arrives(machine, server, *line.ends()):
        line.close()
        raise Trouble("denied", APART)
    line.grant(_FAR_S, BYTES_LIMIT)
    return line


def trouble_of(problem: Exception, seconds: float) -> Trouble:
    """What went wrong with a conversation, as a sentence."""
    said = clean(getattr(problem, "strerror", None) or str(problem) or type(problem).__name__, 120)
    if isinstance(problem, TimeoutError):
        return Trouble("error", "it did not answer within %g s" % seconds, silent=True)
    if isinstance(problem, BlockingIOError):
        return Trouble("error", "it takes no connections: as many as it allows wait already", silent=True)
    if isinstance(problem, (Exhausted, _resp.TooLarge)):
        return Trouble("error", "it answers more than Redis does")
    # by its name: only where TLS was spoken is its library there
    if isinstance(problem, (EOFError, ConnectionResetError, BrokenPipeError)) or type(problem).__name__ == "SSLEOFError":
        return Trouble("error", "it closed the connection without an answer", closed=True)
    if isinstance(problem, _resp.Garbage):
        return Trouble("error", "it does not answer as Redis does")
    if "CERTIFICATE_REQUIRED" in said.upper().replace(" ", "_"):
        return Trouble("denied", _NO_CERTIFICATE)
    return Trouble("error", said)


def _password(server: Server, door: Door, config: Config | None, login: Login) -> list[Word]:
    """The command that logs in; nothing where there is no password, or where it would be told to we do not know whom."""
    if login.password:
        if not door.sure:
            raise Trouble("denied", "whose socket it is cannot be told, and no password is sent to a stranger: become root")
        if server.uid >= _SYSTEM_UIDS and not login.address:
            why = "it belongs to user %d, who is no account of the system: name %s as address to have it told the password"
            raise Trouble("denied", why % (server.uid, door.name))
        return ["AUTH", login.username, login.password] if login.username else ["AUTH", login.password]
    return ["AUTH", config.password] if config is not None and config.password and door.sure else []


def _told(answers: t.Sequence[_resp.Reply], words: t.Sequence[Word], config: Config | None, login: Login) -> bytes:
    """INFO's text. Raises Trouble where there is none."""
    info = answers[-1]
    if isinstance(info, bytes):
        if b"redis_version:" not in info:
            raise _resp.Garbage("no INFO")
        return info
    if not isinstance(info, _resp.Failure):
        raise _resp.Garbage("no INFO")
    first = answers[0]
    refused = isinstance(first, _resp.Failure) and first.kind in ("WRONGPASS", "ERR", "NOAUTH") and bool(words)
    if "max number of clients" in info.text:
        raise Trouble("error", "it takes no more clients (maxclients)", full=True)
    if info.kind in ("NOAUTH", "WRONGPASS", "NOPERM", "DENIED") or info.text.startswith("ERR operation not permitted"):
        raise Trouble("denied", _denied(info, refused, config, login))
    raise Trouble("error", "INFO: " + clean(info.text, 120))


def _denied(info: _resp.Failure, refused: bool, config: Config | None, login: Login) -> str:
    if info.kind == "DENIED":
        return "it is in protected mode and answers to its own loopback only: give it a password or a unixsocket, or run redis_info beside it"
    if info.kind == "NOPERM":
        return "this user may not run INFO: give it +info, or set username and password of redis_info to one that may"
    if refused and login.password:
        return "it refuses the username or the password that redis_info was given"
    if refused and config is not None:
        return "it refuses the password in %s: set username and password of redis_info" % clean(config.path, 120)
    return "it wants a password that is not known: become root where its configuration file holds one, or set username and password of redis_info"
