# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The same scheduled job on several hosts: each does by itself what may be done once, and all begin in the same minute.

Private to oncall.pressure: no stable interface. Pure.

Most jobs are on every host of a fleet, and should be. Told are those of which it matters: one that weighs on a host that runs it now, and one that
names something they share (a server, a bucket) while it runs on at least two of them.
"""

from __future__ import annotations

import re
import typing as t

from ansible_collections.oncall.pressure.plugins.plugin_utils._documents import Loaded
from ansible_collections.oncall.pressure.plugins.plugin_utils._values import num, ratio, rows, text

#: What a run of it uses of a host, from which on it weighs on it: share of the processors, of the memory.
HEAVY_CPU: t.Final = 0.2
HEAVY_MEMORY: t.Final = 0.1

_HOSTS = 20
_JOBS = 10

#: What a command says of where it works: URLs, USER@HOST:, and the usual option.
_SHARED = re.compile(
    r"(?:[a-z][a-z0-9+]{1,15}://(?:[^\s/@'\"]{1,100}@)?|(?<![\w.])[\w.-]{1,64}@(?=[\w.-]{1,200}:)|--(?:host|hostname|bucket)[= ]"
    r"|\b(?:psql|pg_[a-z]{1,20}|mysql[a-z]{0,20}|redis-cli)\b[^|;&]{0,100} -h ?)"
    r"(?P<name>[A-Za-z0-9][A-Za-z0-9.-]{0,200})"
)
_HERE = re.compile(r"(?:localhost|127\.[\d.]+|0\.0\.0\.0|[a-z-]*ip6?-localhost)\Z", re.IGNORECASE)


class _One(t.NamedTuple):
    """A job on one host."""

    host: str
    id: str
    running: bool
    heavy: bool


def shared_jobs(loaded: t.Sequence[Loaded]) -> list[dict[str, t.Any]]:
    """``shared_jobs`` of ``diagnosis.json``: those on the most hosts first."""
    found: dict[tuple[str, str, str], dict[str, _One]] = {}
    for snapshot in loaded:
        document = snapshot.document or {}
        for job in rows(document, "jobs", "cron"):
            key = (text(job, "user") or "", text(job, "schedule") or "", text(job, "command") or "")
            identity = text(job, "id")
            if all(key[1:]) and identity and job.get("paused") is not True:
                found.setdefault(key, {})[snapshot.host] = _One(snapshot.host, identity, bool(rows(job, "running")), _weighs(job, document))
    told = [_row(key, list(hosts.values())) for key, hosts in found.items() if len(hosts) > 1]
    return sorted((row for row in told if row is not None), key=lambda row: (-row["count"], row["command"], row["schedule"]))[:_JOBS]


def _weighs(job: t.Mapping[str, t.Any], document: t.Mapping[str, t.Any]) -> bool:
    cpu = ratio(num(job, "cpu"), num(document, "host", "cpu", "usable")) or 0.0
    memory = ratio(num(job, "rss_bytes"), num(document, "host", "memory", "limit_bytes")) or 0.0
    return bool(rows(job, "running")) and (cpu >= HEAVY_CPU or memory >= HEAVY_MEMORY)


def _row(key: tuple[str, str, str], hosts: t.Sequence[_One]) -> dict[str, t.Any] | None:
    user, schedule, command = key
    running, heavy = [one.host for one in hosts if one.running], [one.host for one in hosts if one.heavy]
    target = next((match.group("name").rstrip(".") for match in _SHARED.finditer(command) if not _HERE.match(match.group("name"))), None)
    if not heavy and not (target and len(running) > 1):
        return None
    return {
        "user": user or None, "schedule": schedule, "command": command, "count": len(hosts), "hosts": [one.host for one in hosts][:_HOSTS],
        "running": running[:_HOSTS], "heavy": heavy[:_HOSTS], "target": target, "ids": sorted({one.id for one in hosts})[:_HOSTS],
    }


def tell(hosts: t.Mapping[str, dict[str, t.Any]], shared: t.Sequence[t.Mapping[str, t.Any]]) -> None:
    """Say it in the verdicts that are about such a job, and what would last."""
    for job in shared:
        for host in job["hosts"]:
            for verdict in rows(hosts.get(host), "verdicts"):
                if verdict.get("cause") == "jobs" and names_job(verdict, job):
                    verdict["evidence"] = [*verdict["evidence"], "%s at the same time" % sentence_of(job)]
                    verdict["lasting"] = [*verdict["lasting"], "if once for all hosts is enough, let one host run it; else give each another minute"]


def names_job(verdict: t.Mapping[str, t.Any], job: t.Mapping[str, t.Any]) -> bool:
    """Whether a verdict says that it is about this job."""
    return any(_names(sentence, job["ids"]) for sentence in [verdict["summary"], *verdict["evidence"]])


def _names(sentence: str, identities: t.Iterable[str]) -> bool:
    return any(re.search(r"(?<!\S)%s(?![\w:])" % re.escape(identity), sentence) for identity in identities)


def sentence_of(job: t.Mapping[str, t.Any]) -> str:
    """``the same job (me: */5 * * * * import) is on 3 hosts: web-1, web-2, web-3``"""
    names = ", ".join(job["hosts"][:5]) + (" and %d more" % (job["count"] - 5) if job["count"] > 5 else "")
    whose = "%s: " % job["user"] if job["user"] else ""
    return "the same job (%s%s %s) begins on %d hosts (%s)" % (whose, job["schedule"], job["command"], job["count"], names)
