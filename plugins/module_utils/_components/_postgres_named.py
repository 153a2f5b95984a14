# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ask a PostgreSQL server that people named by a connection string, here or elsewhere.

Private to oncall.pressure: no stable interface.

psql is handed all of it as the service file that it reads, through a pipe: nothing of it stands in arguments, in the environment or on a disk.
It runs as a user that is nobody's, so that no other process may look into it, and what it says is told without the password.
"""

from __future__ import annotations

import re
import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._components import _postgres_server, _postgres_sql
from ansible_collections.oncall.pressure.plugins.module_utils._components._postgres_server import Answer, Call, Server
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import As, Machine
from ansible_collections.oncall.pressure.plugins.module_utils._host._text import clean
from ansible_collections.oncall.pressure.plugins.module_utils._parse import _postgres_dsn
from ansible_collections.oncall.pressure.plugins.module_utils._parse._postgres_dsn import Target

_SERVICE: t.Final = "oncall_pressure"

#: Numbers that neither people nor systemd give to users, from the last one down.
_NOBODYS: t.Final = range(65533, 65519, -1)

_HIDDEN: t.Final = "***"


def matched(named: t.Sequence[Target], found: t.Sequence[Server]) -> dict[int, Target]:
    """The servers that run here of which people named the way in, by their main process: they are asked by that alone."""
    taken: dict[int, Target] = {}
    for one in named:
        if not one.here:
            continue
        mine = [server.pid for server in found if server.file is not None and server.file.port == one.port and not server.root]
        # without privileges no port can be read; where one server alone runs, it is that
        if not mine and len(found) == 1 and found[0].file is None and not found[0].root:
            mine = [found[0].pid]
        if len(mine) == 1:
            taken.setdefault(mine[0], one)
    return taken


def ask(machine: Machine, target: Target, window_s: float, limit_s: float) -> Answer:
    """What it says of its sessions and locks, and of what happens in ``window_s`` seconds, for at most ``limit_s`` seconds."""
    asked = _postgres_sql.statements(None, window_s, _postgres_server.STATEMENT_S)
    environment = dict(_postgres_server.basics(machine, None, None), PGSERVICE=_SERVICE)
    if target.sslmode not in ("verify-ca", "verify-full"):
        # whoever may have taken the server's place is not told the password (clients older than 16 do not know this word)
        environment["PGREQUIREAUTH"] = "!password"
    call = Call(
        tuple(word for statement in asked for word in ("-c", statement)), environment, _nobody(machine), target.database,
        ("PGSERVICEFILE", _postgres_dsn.service(target, _SERVICE)), _failed, lambda said: t.cast(str, hidden(said, target)))
    return _postgres_server.converse(machine, call, window_s, limit_s)


def _nobody(machine: Machine) -> As:
    """A user that no process and no person is; without privileges the one that we are."""
    if machine.euid() != 0:
        return As(machine.euid(), 0, (), "/", _postgres_server.MEMORY_BYTES)
    people = _postgres_server.names(machine, "")
    used = set(people)
    for name in machine.names("/proc"):
        if name.isdecimal():
            try:
                used.add(machine.stat("/proc/" + name).st_uid)
            except OSError:
                continue
    uid = next((uid for uid in _NOBODYS if uid not in used), _NOBODYS[0])
    return As(uid, uid, (), "/", _postgres_server.MEMORY_BYTES)


def _failed(said: str, database: str) -> Answer:
    """No connection: whether it was refused, and what can be done about it."""
    status, reason, full = "error", said or "psql ended without an answer", False
    if "timeout expired" in said:
        reason = "it did not answer within %d s" % _postgres_server.CONNECT_S
    elif "onnection refused" in said:
        reason = "nothing listens there"
    elif "could not translate host name" in said:
        reason = "its host has no address"
    elif "fe_sendauth" in said:
        status, reason = "denied", "it asks for a password, and none was given"
    elif "startup parameter" in said:
        reason = "it is a pooler that takes no settings: name the server itself"
    elif "SSL" in said and "FATAL" not in said:
        reason = said + ": see sslmode and sslrootcert"
    elif "FATAL" in said:
        status, full = "denied", re.search(r"too many clients|connection slots", said) is not None
        if "pg_hba.conf" in said:
            reason = said + ": have pg_hba.conf let it in"
    elif "ERROR" in said:
        reason = "it let us in and answered nothing: " + said
    return Answer(status, reason, {}, database, full)


def hidden(value: t.Any, target: Target) -> t.Any:
    """What a server says, without the password: it knows it, and may say it. One that is a name of the target's is no secret."""
    if not target.password or target.password in (target.user, target.database):
        return value
    return _without(value, [secret for secret in (target.password, clean(target.password, 2000)) if secret])


def _without(value: t.Any, secrets: t.Sequence[str]) -> t.Any:
    if isinstance(value, str):
        for secret in secrets:
            value = value.replace(secret, _HIDDEN)
        return value
    if isinstance(value, list):
        return [_without(item, secrets) for item in value]
    if isinstance(value, dict):
        # its keys are ours
        return {key: _without(item, secrets) for key, item in value.items()}
    return value
