# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What PostgreSQL leaves to read: the titles of its processes, its postmaster.pid, and the answers of psql.

Private to oncall.pressure: no stable interface.
"""

from __future__ import annotations

import json
import re
import typing as t


class Session(t.NamedTuple):
    """A client session as the title of its process tells it. state: active, idle, idle_in_transaction, idle_in_transaction_aborted or null (starting);
    waiting: for a lock."""

    user: str
    database: str
    state: str | None
    waiting: bool


class Postmaster(t.NamedTuple):
    """What postmaster.pid says. socket_folder: null where it listens on none; ready: whether it says so itself (null: it does not)."""

    pid: int
    port: int
    socket_folder: str | None
    ready: bool | None


# "postgres: 15/main: shop shop 10.0.0.5(41234) idle in transaction"; the cluster's name with its colon is there where one is set.
_TITLE = re.compile(
    r"postgres: (?:(?P<cluster>.{1,64}): )?(?P<user>\S{1,64}) (?P<database>\S{1,64}) (?:\[local\]|\S{1,255}\(\d{1,5}\))(?: (?P<state>.*))?"
)
_IDLE = {"idle": "idle", "idle in transaction": "idle_in_transaction", "idle in transaction (aborted)": "idle_in_transaction_aborted"}
_STARTING = ("", "initializing", "startup", "authentication")


def session(title: str) -> Session | None:
    """The session of a process by its title; null where it serves no client, or where titles are off."""
    found = _TITLE.fullmatch(title.rstrip("\0 "))
    if found is None or found.group("user") == "walsender" or "walsender" in (found.group("cluster") or "").split():
        return None
    text = (found.group("state") or "").strip()
    waiting = text.endswith(" waiting")
    text = text[: -len(" waiting")] if waiting else text
    state = None if text in _STARTING else _IDLE.get(text, "active")
    return Session(found.group("user"), found.group("database"), state, waiting)


def postmaster(text: str) -> Postmaster | None:
    """``postmaster.pid`` of 13 and newer: pid, folder, start, port, socket's folder, address, shared memory, state, one a line. Null where it is none."""
    lines = text.split("\n")
    if len(lines) < 6 or not re.fullmatch(r"[0-9]{1,7}", lines[0]) or not re.fullmatch(r"[0-9]{1,5}", lines[3]):
        return None
    folder = lines[4] if re.fullmatch(r"/[^\x00-\x1f\x7f]{0,100}", lines[4]) else None
    state = lines[7].strip() if len(lines) > 7 else ""
    return Postmaster(int(lines[0]), int(lines[3]), folder, (state == "ready") if state else None)


def answers(out: bytes) -> dict[str, dict[str, t.Any]]:
    """The JSON objects in psql's output by their ``part``; what is no such object is left out. A string's bytes may be in any encoding."""
    text, found, place = out.decode("utf-8", "replace"), {}, 0
    decoder = json.JSONDecoder()
    # objects may hold line feeds between their rows; what lies between objects is the empty answer of the wait
    while True:
        place = text.find('{"part" : ', place)
        if place < 0:
            return found
        try:
            value, place = decoder.raw_decode(text, place)
        except (ValueError, RecursionError):
            # cut, or no answer at all
            place += 1
            continue
        if isinstance(value.get("part"), str):
            found[value["part"]] = value


def from_hex(text: t.Any) -> list[dict[str, t.Any]] | None:
    """The rows that came as hexadecimal JSON; empty for none, null for what is none of this."""
    if text in ("", None):
        return []
    try:
        value = json.loads(bytes.fromhex(text).decode("utf-8", "replace"))
    except (ValueError, TypeError, RecursionError):
        return None
    return [row for row in value if isinstance(row, dict)] if isinstance(value, list) else None
