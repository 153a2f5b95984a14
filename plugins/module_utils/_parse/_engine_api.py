# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Answers of a container engine (Docker's API, which podman speaks as well).

Private to oncall.pressure: no stable interface. Pure: bytes in, plain data out. Only what is named here is taken from an answer:
the environment of a container, which is in there too, is where its secrets are.
"""

from __future__ import annotations

import datetime
import json
import re
import typing as t

_ID = re.compile(r"[0-9a-f]{64}")
_API = re.compile(r"[0-9]{1,2}\.[0-9]{1,3}")
_TIME = re.compile(r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(\.\d{1,9})?(?:Z|([+-])(\d\d):(\d\d))")
_LONG_AGO = re.compile(r"\b(?:days?|weeks?|months?|years?) ago")

#: States by the names that the two engines have for them.
_STATES: t.Final = {
    "created": "created", "configured": "created", "initialized": "created", "running": "running", "stopping": "running", "paused": "paused",
    "restarting": "restarting", "removing": "removing", "exited": "exited", "stopped": "exited", "dead": "dead",
}
_HEALTH: t.Final = ("starting", "healthy", "unhealthy")
_POLICIES: t.Final = ("no", "always", "unless-stopped", "on-failure")

#: A number with more digits is none of an engine's; to read one of millions would take minutes.
_DIGITS = 20


class Listed(t.NamedTuple):
    """A container in the list: its id (64 digits), state, whether it is unhealthy, whether it ended more than a day or two ago."""

    id: str
    state: str
    unhealthy: bool
    long_ago: bool


class Container(t.NamedTuple):
    """A container as its engine knows it; null is not told, of limits also that there is none. Texts are as the engine has them: not clean."""

    id: str
    name: str | None
    image: str | None
    project: str | None
    service: str | None
    command: tuple[str, ...]
    state: str
    created_s: float | None
    started_s: float | None
    finished_s: float | None
    #: of one that does not run
    exit_code: int | None
    oom_killed: bool | None
    restarts: int | None
    restart_policy: str | None
    health: str | None
    failing_streak: int | None
    memory_limit_bytes: int | None
    cpus: float | None
    pids_limit: int | None


def document(data: bytes) -> t.Any:
    """The JSON of an answer. Raises ValueError."""
    try:
        return json.loads(data.decode("utf-8", "replace"), parse_int=_whole, parse_constant=lambda dummy: None)
    except RecursionError as problem:
        raise ValueError("nested too deep") from problem


def _whole(digits: str) -> int | None:
    return int(digits) if len(digits) <= _DIGITS else None


def version(found: t.Any) -> tuple[str | None, str | None, bool]:
    """(version of the API, version of the engine, whether it is podman)."""
    api, engine = _text(found, "ApiVersion"), _text(found, "Version")
    parts = _get(found, "Components")
    podman = any((_text(part, "Name") or "").startswith("Podman") for part in parts[:20]) if isinstance(parts, list) else False
    return api if api is not None and _API.fullmatch(api) else None, engine, podman


def message(found: t.Any) -> str | None:
    """What an engine says where it does not give what it was asked for."""
    return _text(found, "message")


def listed(found: t.Any, most: int) -> list[Listed]:
    """The list of containers, at most so many. Raises ValueError where it is no list."""
    if not isinstance(found, list):
        raise ValueError("no list")
    rows = []
    for row in found[:most]:
        identity, words = _text(row, "Id"), _text(row, "Status") or ""
        if identity is not None and _ID.fullmatch(identity):
            rows.append(Listed(identity, _state(_text(row, "State")), "(unhealthy)" in words, _LONG_AGO.search(words) is not None))
    return rows


def inspected(found: t.Any) -> Container | None:
    """What an engine says of one container; null where that is none."""
    identity = _text(found, "Id")
    if identity is None or not _ID.fullmatch(identity):
        return None
    state, limits, labels = _get(found, "State"), _get(found, "HostConfig"), _get(found, "Config", "Labels")
    status = _state(_text(state, "Status"))
    # the last word of the check of one that ended says nothing: Docker calls all of them unhealthy
    health = _text(state, "Health", "Status") if status in ("running", "paused") else None
    killed, arguments = _get(state, "OOMKilled"), _get(found, "Args")
    words = [_text(found, "Path")] + (arguments[:64] if isinstance(arguments, list) else [])
    policy = _text(limits, "RestartPolicy", "Name")
    name = _text(found, "Name")
    return Container(
        identity, name.lstrip("/") or None if name is not None else None, _text(found, "Config", "Image"),
        _text(labels, "com.docker.compose.project"), _text(labels, "com.docker.compose.service"),
        tuple(word for word in words if isinstance(word, str) and word), status,
        moment(_text(found, "Created")), moment(_text(state, "StartedAt")), moment(_text(state, "FinishedAt")),
        _number(state, "ExitCode") if status in ("exited", "dead", "restarting") else None,
        killed if isinstance(killed, bool) else None, _number(found, "RestartCount"), policy if policy in _POLICIES else None,
        health if health in _HEALTH else None, _number(state, "Health", "FailingStreak") if health in _HEALTH else None,
        _number(limits, "Memory") or None, _cpus(limits), _number(limits, "PidsLimit") or None,
    )


def _state(name: str | None) -> str:
    return _STATES.get((name or "").lower(), "unknown")


def _cpus(limits: t.Any) -> float | None:
    nano = _number(limits, "NanoCpus")
    if nano:
        return round(nano / 1e9, 3)
    quota = _number(limits, "CpuQuota")
    return round(quota / (_number(limits, "CpuPeriod") or 100000), 3) if quota else None


def moment(text: str | None) -> float | None:
    """``2026-11-28T03:20:01.123456789Z`` (or with an offset) as seconds since the epoch; null for none, and for the year 1, which stands for never."""
    found = _TIME.fullmatch(text or "")
    if found is None:
        return None
    year, month, day, hour, minute, second = map(int, found.groups()[:6])
    try:
        at = datetime.datetime(year, month, day, hour, minute, second, tzinfo=datetime.timezone.utc).timestamp()
    except (ValueError, OverflowError):
        return None
    if found.group(8):
        offset = int(found.group(9)) * 3600 + int(found.group(10)) * 60
        at -= offset if found.group(8) == "+" else -offset
    return at + float(found.group(7) or 0) if at > 0 else None


def _get(found: t.Any, *path: str) -> t.Any:
    for name in path:
        found = found.get(name) if isinstance(found, dict) else None
    return found


def _text(found: t.Any, *path: str) -> str | None:
    value = _get(found, *path)
    return value if isinstance(value, str) and value else None


def _number(found: t.Any, *path: str) -> int | None:
    """A whole number that is not negative (-1 stands for none)."""
    value = _get(found, *path)
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
