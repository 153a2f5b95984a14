# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What was changed before it became bad: events of the host, and those that people tell of, on the controller's clock.

Private to oncall.pressure: no stable interface.
"""

from __future__ import annotations

import datetime
import json
import time
import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._host._text import clean
from ansible_collections.oncall.pressure.plugins.plugin_utils._format import age
from ansible_collections.oncall.pressure.plugins.plugin_utils._values import num, rows, text

#: How long before the first sign something may have been changed to be worth a word, in seconds; how much is told, and on the screen.
BEFORE_S: t.Final = 7200.0
TOLD: t.Final = 20
SHOWN: t.Final = 3

_GIVEN_LIMIT = 200
_ISO = "%Y-%m-%dT%H:%M:%SZ"

#: What happens by itself as well: it is shown where nothing else is.
_MINOR = ("start", "boot")

#: What a host may call an event.
KINDS: t.Final = ("boot", "unit", "config", "environment", "release", "commit", "crontab", "package", "start", "ours")

Row = t.Dict[str, t.Any]


class Given(t.NamedTuple):
    """An event that somebody tells of. ``hosts``: of which; null for all."""

    at_s: float
    what: str
    hosts: frozenset[str] | None


def read_events(value: t.Any) -> list[Given]:
    """``pressure_events``: a list of mappings with ``at``, ``what`` and ``hosts``, or its JSON text. Raises ValueError, which says what is wrong."""
    if isinstance(value, str):
        try:
            value = json.loads(value) if value.strip() else []
        except ValueError as problem:
            raise ValueError("it is neither a list nor JSON: %s" % problem) from None
    if not isinstance(value, (list, tuple)):
        raise ValueError("it must be a list")
    if len(value) > _GIVEN_LIMIT:
        raise ValueError("it has more than %d events" % _GIVEN_LIMIT)
    return [_given(number, item) for number, item in enumerate(value, 1)]


def _given(number: int, item: t.Any) -> Given:
    if not isinstance(item, t.Mapping) or not set(item) <= {"at", "what", "hosts"} or not isinstance(item.get("what"), str) or not item["what"].strip():
        raise ValueError("event %d must have at and what, and may have hosts" % number)
    names = item.get("hosts")
    names = [names] if isinstance(names, str) else names
    if names is not None and not (isinstance(names, (list, tuple)) and all(isinstance(name, str) for name in names)):
        raise ValueError("hosts of event %d must be a list of names" % number)
    return Given(_moment(number, item.get("at")), clean(str(item["what"]), 200), None if names is None else frozenset(clean(str(name)) for name in names))


def _moment(number: int, value: t.Any) -> float:
    """Seconds since the epoch of an ISO 8601 time with its zone (YAML may have made a datetime of it, which is UTC where it has none), or of a number."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    try:
        written = str(value).strip().upper().replace("Z", "+00:00")
        moment = value if isinstance(value, datetime.datetime) else datetime.datetime.fromisoformat(written)
        if moment.tzinfo is None:
            if not isinstance(value, datetime.datetime):
                raise ValueError
            moment = moment.replace(tzinfo=datetime.timezone.utc)
        return moment.timestamp()
    except (ValueError, OverflowError):
        raise ValueError("at of event %d must be a time with its zone, such as 2026-01-10T02:00:00Z, not %s" % (number, clean(str(value), 40))) from None


def lately(snapshot: t.Mapping[str, t.Any], host: str, verdicts: t.Sequence[t.Mapping[str, t.Any]], given: t.Sequence[Given]) -> list[Row]:
    """What was changed from two hours before the first sign until now, newest first: none where nothing is wrong."""
    taken_s = num(snapshot, "taken", "epoch_s")
    if not verdicts or taken_s is None:
        return []
    # The host's clock may be wrong; the controller's is one for all.
    offset_s = num(snapshot, "taken", "clock_offset_s") or 0.0
    first_age_s = first_sign_s(snapshot, verdicts)
    found: list[tuple[float, Row]] = []
    for event in rows(snapshot, "timeline", "events"):
        age_s = num(event, "age_s")
        if age_s is not None:
            kind = text(event, "kind")
            found.append((age_s, {"kind": kind if kind in KINDS else None, **{key: text(event, key) for key in ("what", "service", "detail")}}))
    for told in given:
        if told.hosts is None or host in told.hosts:
            found.append((taken_s - offset_s - told.at_s, {"kind": "given", "what": told.what, "service": None, "detail": None}))
    inside = sorted((item for item in found if 0 <= item[0] <= first_age_s + BEFORE_S and item[1]["what"]), key=lambda item: item[0])
    try:
        return [{"at": time.strftime(_ISO, time.gmtime(taken_s - offset_s - age_s)), "age_s": round(age_s, 1), **row} for age_s, row in inside[:TOLD]]
    except (OverflowError, ValueError, OSError):
        # a clock that tells no time
        return []


def first_sign_s(snapshot: t.Mapping[str, t.Any], verdicts: t.Sequence[t.Mapping[str, t.Any]]) -> float:
    """How long ago it was first seen: of memory, the first kill that is known; else now, for one look says no more."""
    if not any(verdict["resource"] == "memory" for verdict in verdicts):
        return 0.0
    ages = [num(event, "age_s") for event in rows(snapshot, "oom", "events") if event.get("own") is not False]
    return max((value for value in ages if value is not None), default=0.0)


def sentence(event: t.Mapping[str, t.Any]) -> str:
    """``12 min ago: /srv/shop/current was set (to releases/42)``."""
    return "%s ago: %s%s" % (age(event["age_s"]), event["what"], " (%s)" % event["detail"] if event["detail"] else "")


def shown(changes: t.Sequence[t.Mapping[str, t.Any]], service: str | None) -> list[str]:
    """The few that stand on the screen: what people change before what happens by itself, that of the service before that of others, newest first."""
    major = [event for event in changes if event["kind"] not in _MINOR] or list(changes)
    best = sorted(major, key=lambda event: (event["service"] not in (service, None), event["age_s"]))[:SHOWN]
    return [sentence(event) for event in sorted(best, key=lambda event: event["age_s"])]
