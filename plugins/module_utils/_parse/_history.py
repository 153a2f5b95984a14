# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Records of what was changed: the reflog of a git repository, the logs of dpkg and dnf, our own journal.

Private to oncall.pressure: no stable interface. Pure: text in, plain data out. Lines that are not understood are passed over.
"""

from __future__ import annotations

import datetime
import json
import re
import typing as t

_REFLOG = re.compile(r"[0-9a-f]{40,64} (?P<new>[0-9a-f]{40,64}) [^\t]{0,500} (?P<at>[0-9]{1,12}) [-+][0-9]{4}(?:\t(?P<verb>[a-z-]{1,20}))?")
_COMMIT = re.compile(r"[0-9a-f]{40,64}\s*")
_DPKG = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}) (install|upgrade|remove|purge) ([a-z0-9][a-z0-9+.-]{0,100})(?::[a-z0-9]+)? (\S{1,80}) (\S{1,80})")
_RPM = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})(Z|[-+][0-9]{2}:?[0-9]{2})"
    r" \w{1,12} (Installed|Upgraded|Upgrade|Erased|Removed|Downgrade): (\S{1,150})")
_DIST_INFO = re.compile(r"([A-Za-z0-9._]{1,80}?)-([0-9][A-Za-z0-9.+!_]{0,40}?)(?:-py3\.\d+)?\.(?:dist|egg)-info")

_WORDS = {"install": "installed", "upgrade": "upgraded", "remove": "removed", "purge": "removed", "Installed": "installed", "Upgrade": "upgraded",
          "Upgraded": "upgraded", "Erased": "removed", "Removed": "removed", "Downgrade": "downgraded"}

#: Entries of our journal that changed something.
_STEPS = ("applied", "confirmed", "expired", "undone", "undo_failed")


class Head(t.NamedTuple):
    """The last move of a repository's HEAD. ``verb``: commit, pull, checkout, ..."""

    at_s: float
    commit: str
    verb: str | None


class Package(t.NamedTuple):
    """One package that was installed, upgraded, downgraded or removed."""

    at_s: float
    verb: str
    name: str


def reflog(text: str) -> Head | None:
    """The last entry of .git/logs/HEAD; null where there is none."""
    for line in reversed(text.split("\n")):
        found = _REFLOG.match(line)
        if found is not None:
            return Head(float(found.group("at")), found.group("new")[:12], found.group("verb"))
    return None


def detached(text: str) -> str | None:
    """The commit that .git/HEAD names itself, its first twelve digits; null where it names a branch."""
    return text.strip()[:12] if _COMMIT.fullmatch(text) else None


def dpkg(text: str) -> list[Package]:
    """/var/log/dpkg.log, whose times are local."""
    found: list[Package] = []
    for when, verb, name, old, new in _DPKG.findall(text):
        at_s = _local_s(when)
        # a step of an upgrade that installs what is there already says nothing
        if at_s is not None and old != new:
            found.append(Package(at_s, _WORDS[verb], name))
    return found


def _local_s(when: str) -> float | None:
    try:
        return datetime.datetime(*_numbers(when)).timestamp()
    except (ValueError, OverflowError, OSError):
        return None


def _numbers(when: str) -> tuple[int, int, int, int, int, int]:
    year, month, day, hour, minute, second = map(int, re.findall("[0-9]+", when))
    return year, month, day, hour, minute, second


def rpm(text: str) -> list[Package]:
    """/var/log/dnf.rpm.log."""
    found: list[Package] = []
    for when, zone, verb, name in _RPM.findall(text):
        try:
            digits = "0000" if zone == "Z" else zone[1:].replace(":", "")
            ahead = datetime.timedelta(hours=int(digits[:2]), minutes=int(digits[2:])) * (-1 if zone[0] == "-" else 1)
            at = datetime.datetime(*_numbers(when), tzinfo=datetime.timezone.utc) - ahead
            # Upgraded names what was there before, beside a line Upgrade with what is there now
            if verb != "Upgraded":
                found.append(Package(at.timestamp(), _WORDS[verb], name))
        except (ValueError, OverflowError):
            continue
    return found


def distribution(name: str) -> str | None:
    """``Django-5.0.1.dist-info`` as ``Django 5.0.1``; null for what is none."""
    found = _DIST_INFO.fullmatch(name)
    return None if found is None else "%s %s" % found.groups()


def journal(text: str) -> list[dict[str, t.Any]]:
    """The steps of one of our changes: at_s, state, mitigation, service."""
    found: list[dict[str, t.Any]] = []
    head: dict[str, t.Any] = {}
    for line in text.split("\n"):
        try:
            row = json.loads(line) if line.startswith("{") else None
        except (ValueError, RecursionError):
            continue
        if not isinstance(row, dict):
            continue
        if row.get("state") == "intent":
            head = row
        at_s = row.get("epoch_s")
        if row.get("state") in _STEPS and isinstance(at_s, (int, float)) and not isinstance(at_s, bool) and 0 <= at_s < 1e11:
            found.append({
                "at_s": float(at_s), "state": row["state"], "mitigation": _text(head.get("mitigation")), "service": _text(head.get("service"))})
    return found


def _text(value: t.Any) -> str | None:
    return value if isinstance(value, str) and value else None
