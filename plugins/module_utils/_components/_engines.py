# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Container engines of a host: where their sockets are, and what they say of their containers, within limits of time.

Private to oncall.pressure: no stable interface. Only GET is used. An engine is asked only where it runs: a socket that systemd holds
for one that does not would start it.
"""

from __future__ import annotations

import re
import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine
from ansible_collections.oncall.pressure.plugins.module_utils._host._text import clean, decode
from ansible_collections.oncall.pressure.plugins.module_utils._host._unix_http import NoAnswer, Refused, UnixHttp
from ansible_collections.oncall.pressure.plugins.module_utils._parse import _engine_api
from ansible_collections.oncall.pressure.plugins.module_utils._parse._engine_api import Container, Listed

#: How long an engine may take for its list, and for everything; how long for one container. Seconds.
LIST_LIMIT_S = 3.0
_ALL_LIMIT_S = 6.0
_ONE_LIMIT_S = 1.0
#: The most engines that are asked.
_ENGINES = 4

_VERSION_BYTES = 65536
_LIST_BYTES = 4194304
_ONE_BYTES = 524288

#: The most containers that are counted as running and as ended, and that are asked about.
COUNTED = 500
ENDED = 100
_ASK_RUNNING = 50
_ASK_ENDED = 20

#: What is asked for of those that run and of those that ended, by whether it is podman: it refuses the names of states that it does not have.
_STATES: t.Final = {
    False: (("running", "restarting", "paused"), ("exited", "dead")),
    True: (("running", "paused"), ("exited", "stopped")),
}

#: By kind: where root's listens, and where a user's.
_PLACES: t.Final = (
    ("docker", ("/run/docker.sock", "/var/run/docker.sock"), "/run/user/%d/docker.sock"),
    ("podman", ("/run/podman/podman.sock",), "/run/user/%d/podman/podman.sock"),
)

_LISTENS = re.compile(rb"(?:^|\0)(?:-H|--host)[=\0]?unix://(/[^\0]+)")


class Socket(t.NamedTuple):
    """Where an engine listens, and who may own that."""

    kind: str
    path: str
    owners: frozenset[int]


class Said(t.NamedTuple):
    """What an engine said: its row of the document, the lists, and the containers that it was asked about, by id."""

    row: dict[str, t.Any]
    running: list[Listed]
    ended: list[Listed]
    containers: dict[str, Container]


def sockets(machine: Machine, daemons: t.Mapping[str, t.Sequence[int]]) -> list[Socket]:
    """Sockets that are there, of the engines that run, each once."""
    found: list[Socket] = []
    for kind, at_root, at_user in _PLACES:
        for uid, pids in sorted(_by_user(machine, daemons.get(kind, ())).items()):
            places = list(at_root) if uid == 0 else [at_user % uid]
            if kind == "docker":
                places += [place for pid in pids[:4] for place in _told(machine, pid)]
            found += [Socket(kind, place, frozenset((0, uid, machine.euid()))) for place in places]
    there: dict[tuple[int, int], Socket] = {}
    for socket in found:
        try:
            state = machine.stat(socket.path)
        except PermissionError:
            there[-1, len(there)] = socket
        except OSError:
            continue
        else:
            # one may be a link to another, as podman's is where it stands for Docker
            there.setdefault((state.st_dev, state.st_ino), socket)
    return list(there.values())[:_ENGINES]


def _by_user(machine: Machine, pids: t.Sequence[int]) -> dict[int, list[int]]:
    users: dict[int, list[int]] = {}
    for pid in pids[:256]:
        found = re.search(r"^Uid:\s+(\d+)", machine.text_or_none("/proc/%d/status" % pid, 4096) or "", re.MULTILINE)
        if found is not None:
            users.setdefault(int(found.group(1)), []).append(pid)
    return users


def _told(machine: Machine, pid: int) -> list[str]:
    """The sockets that a daemon's command line names."""
    try:
        words = machine.peek("/proc/%d/cmdline" % pid)
    except OSError:
        return []
    return [decode(place) for place in _LISTENS.findall(words)[:4]]


class _Missing(Exception):
    """Something is missing, and why."""


class _Failed(Exception):
    """What an engine says instead of an answer, after its status."""


def ask(machine: Machine, socket: Socket, rank: t.Callable[[str], float], deadline: float) -> Said:
    """Ask one engine. ``rank``: how interesting a running container is, by its id; ``deadline``: when to end, on the machine's monotonic clock."""
    row: dict[str, t.Any] = {"kind": socket.kind, "version": None, "socket": clean(socket.path, 200), "status": "ok", "reason": None}
    said = Said(row, [], [], {})
    http = UnixHttp(machine.path(socket.path), socket.owners)
    try:
        _ask(machine, http, said, rank, deadline)
    except _Missing as problem:
        row.update(status="partial", reason=str(problem))
    except PermissionError:
        row.update(status="denied", reason="its socket may not be used: become root, or give the user the group that owns it")
    except Refused as problem:
        row.update(status="denied", reason="its socket is not trusted: %s" % problem)
    except _Failed as problem:
        row.update(status="error", reason=clean("it answers with an error: %s %s" % problem.args, 200))
    except (NoAnswer, ValueError) as problem:
        row.update(status="error", reason=clean("it gave no answer of a container engine: %s" % problem, 200))
    except OSError as problem:
        late = isinstance(problem, TimeoutError) or str(problem) == "timed out"
        why = "it did not answer within %g s" % LIST_LIMIT_S if late else clean("nobody answers there: %s" % (problem.strerror or problem), 200)
        row.update(status="error", reason=why)
    finally:
        http.close()
    return said


def _ask(machine: Machine, http: UnixHttp, said: Said, rank: t.Callable[[str], float], deadline: float) -> None:
    end = min(machine.monotonic() + LIST_LIMIT_S, deadline)
    api, version, podman = _engine_api.version(_document(http, "/version", end - machine.monotonic(), _VERSION_BYTES))
    if api is None:
        raise ValueError("no version")
    said.row.update(version=clean(version or "", 60) or None, kind="podman" if podman else said.row["kind"])
    base = "/v" + api
    for rows, states, most in zip((said.running, said.ended), _STATES[podman], (COUNTED, ENDED)):
        # quotes and brackets of JSON, as a query has them
        query = "all=1&limit=%d&filters=%%7B%%22status%%22%%3A%%5B%%22" % most + "%22%2C%22".join(states) + "%22%5D%7D"
        rows.extend(_engine_api.listed(_document(http, base + "/containers/json?" + query, end - machine.monotonic(), _LIST_BYTES), most))
    wanted = sorted(said.running, key=lambda one: (one.state != "restarting", not one.unhealthy, -rank(one.id)))[:_ASK_RUNNING]
    wanted += [one for one in said.ended if not one.long_ago][:_ASK_ENDED]
    silent = failed = 0
    for number, one in enumerate(wanted):
        left = min(deadline - machine.monotonic(), _ONE_LIMIT_S)
        if left <= 0 or silent >= 2:
            raise _Missing("asked about %d of %d containers in the time there is" % (number, len(wanted)))
        try:
            container = _engine_api.inspected(_document(http, "%s/containers/%s/json" % (base, one.id), left, _ONE_BYTES))
        except _Failed as problem:
            # what was removed since the list was made is missed by nobody
            failed += problem.args[0] != 404
            continue
        except (NoAnswer, ValueError, OSError):
            # one that is stuck holds its own record; the others can be had
            silent += 1
            continue
        if container is not None:
            said.containers[one.id] = container
    if silent or failed:
        raise _Missing("%d of %d containers could not be asked about" % (silent + failed, len(wanted)))


def _document(http: UnixHttp, target: str, time_limit_s: float, size_limit: int) -> t.Any:
    status, body = http.get(target, time_limit_s, size_limit)
    found = _engine_api.document(body)
    if status != 200:
        raise _Failed(status, _engine_api.message(found) or "")
    return found


def deadline(machine: Machine) -> float:
    """When all engines must have answered."""
    return machine.monotonic() + _ALL_LIMIT_S


def missing(kind: str) -> dict[str, t.Any]:
    """The row of an engine that runs and has no socket that was found."""
    hint = "systemctl enable --now podman.socket makes one" if kind == "podman" else "it listens elsewhere"
    return {"kind": kind, "version": None, "socket": None, "status": "absent", "reason": "it runs, and has no socket where one is looked for (%s)" % hint}
