# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What several hosts suffer from together, told once: a server that all of them wait for, one client, one job, one release, one minute.

Private to oncall.pressure: no stable interface. Pure.

Hosts are never put together because they look alike. Each must have the evidence in its own facts: a connection of the very service that waits to that
server, requests of that client, that change before its first sign. What is wrong with a host besides stays its own, and is named.
"""

from __future__ import annotations

import typing as t

from ansible_collections.oncall.pressure.plugins.plugin_utils import _addresses, _shared_changes
from ansible_collections.oncall.pressure.plugins.plugin_utils._documents import Loaded
from ansible_collections.oncall.pressure.plugins.plugin_utils._host_figures import traffic_figures
from ansible_collections.oncall.pressure.plugins.plugin_utils._rules import LEVELS, Rule
from ansible_collections.oncall.pressure.plugins.plugin_utils._shared_evidence import Found, Host, Sick, row, sick
from ansible_collections.oncall.pressure.plugins.plugin_utils._shared_jobs import names_job, sentence_of
from ansible_collections.oncall.pressure.plugins.plugin_utils._values import num, rows, text
from ansible_collections.oncall.pressure.plugins.plugin_utils._verdict import WAITS

Row = t.Dict[str, t.Any]

#: How many are told.
_TOLD = 10

#: Of the requests of a host, what one client sends that counts as the same hammering where the host's own verdict names something behind it.
_CLIENT_SHARE: t.Final = 0.25
_BEHIND_A_CLIENT: t.Final = ("nginx.traffic_spike", "nginx.hot_path", "web.busy_code", "web.too_many_workers_for_cpus", "host.cpu_saturated")

#: Ports of databases, caches and brokers.
_DATABASES: t.Final = (3306, 5432, 5433, 5671, 5672, 6379, 6380, 6432, 11211, 27017)


def shared_causes(
    diagnosed: t.Mapping[str, Row], loaded: t.Sequence[Loaded], rules: t.Mapping[str, Rule], jobs: t.Sequence[t.Mapping[str, t.Any]]
) -> list[Row]:
    """``shared_causes`` of ``diagnosis.json``, the surest first. Verdicts that are only effects of another host's are marked so (``effect_of``)."""
    documents = {one.host: one.document for one in loaded if one.document is not None}
    hosts = [Host(name, verdict_row, documents[name]) for name, verdict_row in diagnosed.items() if verdict_row["reached"] and name in documents]
    if not any(len(one.row["verdicts"]) for one in hosts):
        return []
    silent = [name for name, verdict_row in diagnosed.items() if not verdict_row["reached"]]
    network = _addresses.network({one.name: one.document for one in hosts})
    found: list[Row] = []
    taken: set[tuple[str, int]] = set()
    for look in (_confirmed, _named, _clients, _jobs, _shared_changes.releases, _suspected, _shared_changes.minutes):
        seen = look(Found(hosts, network, rules, jobs, silent, frozenset(taken)))
        for members, told in seen:
            found.append(told)
            if told["confidence"] != LEVELS[0]:
                # what is explained is not explained again; a guess takes nothing away
                taken |= {(one.host, one.index) for one in members}
    for one in hosts:
        _last(one.row)
    return sorted(found, key=lambda told: (-LEVELS.index(told["confidence"]), -told["count"]))[:_TOLD]


def _last(verdict_row: Row) -> None:
    """What is wrong with the host itself comes before what it suffers of another."""
    verdict_row["verdicts"].sort(key=lambda verdict: verdict["effect_of"] is not None)
    verdict_row["next"] = verdict_row["verdicts"][0]["next"] if verdict_row["verdicts"] else verdict_row["next"]


Seen = t.List[t.Tuple[t.List[Sick], Row]]


def _confirmed(found: Found) -> Seen:
    """A server of this run that is sick itself, and those of other hosts that wait for it."""
    waiting: dict[_addresses.Place, list[tuple[Sick, _addresses.Peer]]] = {}
    for one in found.left():
        if one.verdict["rule"] in WAITS:
            for peer in found.network.peers(one.host, one.verdict["service"]):
                waiting.setdefault(peer.place, []).append((one, peer))
    order = {host.name: place for place, host in enumerate(found.hosts)}
    seen: Seen = []
    for home in found.hosts if waiting else ():
        for cause in sick(home):
            rule = found.rules.get(cause.verdict["rule"])
            effects = [effect for effect in WAITS if rule is not None and effect in rule.explains and effect not in rule.explains_when]
            members: dict[tuple[str, int], tuple[Sick, _addresses.Peer]] = {}
            for door in _doors(found, home, cause.verdict, rule) if rule is not None and effects else ():
                for one, peer in waiting.get(door, ()):
                    if one.host != home.name and one.verdict["rule"] in effects and one.verdict["effect_of"] is None:
                        members.setdefault((one.host, one.index), (one, peer))
            for one, peer in members.values():
                one.verdict["effect_of"] = {"host": home.name, "rule": cause.verdict["rule"], "service": cause.verdict["service"]}
                one.verdict["next"] = ["look at %s first: it is %s that this waits for" % (home.name, peer.words), *one.verdict["next"]]
            if members:
                seen.append(_confirmed_row(found, home, cause, sorted(members.values(), key=lambda member: order[member[0].host])))
    return seen


def _confirmed_row(found: Found, home: Host, cause: Sick, members: t.Sequence[tuple[Sick, _addresses.Peer]]) -> tuple[list[Sick], Row]:
    waiting = [one for one, dummy in members]
    places = {peer.place for dummy, peer in members}
    well = [one.name for one in found.hosts if one.row["state"] == "healthy" and found.network.uses(one.name, places)]
    level = LEVELS.index(cause.verdict["confidence"])
    many = len(well) > len({one.host for one in waiting})
    told = row(
        found, "server", members[0][1].words, waiting, cause.verdict["cause"], LEVELS[max(level - many, 0)],
        summary="they wait for %s on %s: %s" % (cause.verdict["name"] or cause.verdict["component"], home.name, cause.verdict["summary"]),
        evidence=["%s: %s (%s)" % (one.host, peer.says(one.verdict["service"]), one.verdict["rule"]) for one, peer in members],
        against=["%s uses it as well, and nothing is wrong with it" % name for name in well],
        surer_with="why %d hosts that use it as well are well" % len(well) if many else cause.verdict["surer_with"],
        following=["%s: %s" % (home.name, sentence) for sentence in cause.verdict["next"]], home=home.name, rule=cause.verdict["rule"],
    )
    return waiting, told


def _doors(found: Found, home: Host, verdict: t.Mapping[str, t.Any], rule: Rule) -> list[_addresses.Place]:
    """The addresses and ports at which others wait for what a verdict is about."""
    listening = [
        listener for listener in rows(home.document, "connections", "listeners")
        if rule.subject == "host" or verdict["service"] is not None and listener.get("service") == verdict["service"]
    ]
    ports = {num(listener, "port") for listener in listening if not _addresses.is_own(text(listener, "address") or "")}
    if not ports and verdict["component"] == "postgres" and verdict["service"] is not None:
        # whose a socket is may not be seen
        ports = {num(server, "port") for server in rows(home.document, "postgres")}
    return sorted((address, int(port)) for port in ports if port for address in found.network.of(home.name))


def _named(found: Found) -> Seen:
    """One server that several hosts were told to ask, each of which says the same of it."""
    groups: dict[tuple[str, str], list[Sick]] = {}
    for one in found.left():
        place = one.verdict["name"]
        remote = one.verdict["service"] is None and one.verdict["component"] == "postgres" and place and not _addresses.is_own(place.rpartition(":")[0])
        if remote and not place.startswith("unix:"):
            groups.setdefault((one.verdict["rule"], place), []).append(one)
    seen: Seen = []
    for (rule, place), members in groups.items():
        if len({one.host for one in members}) > 1:
            surest = max(members, key=lambda one: LEVELS.index(one.verdict["confidence"])).verdict
            seen.append((members, row(
                found, "server", place, members, surest["cause"], surest["confidence"],
                summary="each of them asked %s, and it says: %s" % (place, surest["summary"]),
                evidence=["%s: %s" % (one.host, one.verdict["summary"]) for one in members],
                surer_with=surest["surer_with"], following=surest["next"], home=found.network.host_of(place), rule=rule,
            )))
    return seen


def _suspected(found: Found) -> Seen:
    """Hosts that wait while their waiting services are connected to the same place, about which nothing is known."""
    groups: dict[tuple[str, int], dict[tuple[str, int], tuple[Sick, _addresses.Peer]]] = {}
    for one in found.left():
        if one.verdict["rule"] in WAITS and one.verdict["effect_of"] is None:
            for peer in found.network.peers(one.host, one.verdict["service"]):
                groups.setdefault(peer.place, {})[one.host, one.index] = (one, peer)
    # places that the same hosts wait for cannot be told apart
    alike: dict[tuple[tuple[str, int], ...], list[list[tuple[Sick, _addresses.Peer]]]] = {}
    for members in groups.values():
        alike.setdefault(tuple(sorted(members)), []).append(list(members.values()))
    seen: Seen = []
    for places in sorted(alike.values(), key=lambda several: -len(several[0])):
        names = {one.host for one, dummy in places[0]}
        users = [one for one in found.hosts if found.network.uses(one.name, {members[0][1].place for members in places})]
        if len(names) > 1 and 2 * len(names) >= len(users):
            seen.append(_suspected_row(found, places, [one.name for one in users if one.row["state"] == "healthy"]))
    return seen


def _suspected_row(found: Found, places: t.Sequence[t.Sequence[tuple[Sick, _addresses.Peer]]], well: t.Sequence[str]) -> tuple[list[Sick], Row]:
    """Sure is only that they wait and what they are connected to; that no answer comes from there is a sign that it is that."""
    # the place that gives no answer is suspected before those that are only there
    refusing = [members for members in places if len({one.host for one, peer in members if peer.connecting}) > 1]
    chosen = refusing if len(refusing) == 1 else places
    members = chosen[0]
    what = " or ".join(several[0][1].words for several in chosen[:3])
    home = found.network.host_of(members[0][1].words) if len(chosen) == 1 else None
    certain = len(refusing) == 1 and home is None
    ports = {peer.place[1] for several in chosen for dummy, peer in several[:1]}
    waiting = [one for one, dummy in members]
    surer = "a look at %s itself while they wait" % what
    if len(chosen) > 1:
        surer = "which of them they wait for (pressure_stacks_service takes stacks)"
    elif home is not None:
        surer = "a longer look at %s, on which nothing was found that makes others wait (pressure_window)" % home
    elif found.silent:
        surer += "; it may be one of those that did not answer (%s)" % ", ".join(found.silent[:5])
    elif ports <= set(_DATABASES):
        surer += ": diagnose its host as well, or name the server (pressure_postgres_dsn)"
    return waiting, row(
        found, "server", what, waiting, "database" if ports <= set(_DATABASES) else "external", "medium" if certain else "low",
        summary="all of them wait, and what waits is connected to %s" % what,
        evidence=["%s: %s (%s)" % (one.host, peer.says(one.verdict["service"]), one.verdict["rule"]) for one, peer in members],
        against=["%s uses it as well, and nothing is wrong with it" % name for name in well],
        surer_with=surer, following=["ask whoever runs %s whether it answers, and how fast, before anything is changed on those that wait" % what], home=home,
    )


def _clients(found: Found) -> Seen:
    """One client that asks several hosts for more than they have."""
    flagged: dict[str, list[Sick]] = {}
    for one in found.left():
        if one.verdict["rule"] == "nginx.abusive_client":
            client = traffic_figures(one.document)["client"]
            place = _addresses.plain(client["address"] or "")
            if place is not None and client["kind"] not in ("own", "loopback", "proxy") and found.network.is_comparable(place):
                flagged.setdefault(place, []).append(one)
    seen: Seen = []
    for place, members in flagged.items():
        behind = [one for one in found.left() if one.verdict["rule"] in _BEHIND_A_CLIENT and _sends(one.document, place)[1] >= _CLIENT_SHARE
                  and one.host not in {other.host for other in members}]
        everyone = [*members, *behind]
        if len({one.host for one in everyone}) < 2:
            continue
        kinds = {_sends(one.document, place)[2] for one in everyone}
        sure = "low" if kinds - {"public"} else min((one.verdict["confidence"] for one in members), key=LEVELS.index)
        seen.append((everyone, row(
            found, "client", place, everyone, "abusive_client", sure, summary="%s alone asks each of them for much of what it serves" % place,
            evidence=["%s: %d requests of %s, %.0f %% of all" % (one.host, _sends(one.document, place)[0], place, _sends(one.document, place)[1] * 100)
                      for one in everyone],
            against=["%s is asked by it as well, and nothing is wrong with it" % one.name for one in found.hosts
                     if one.row["state"] == "healthy" and _sends(one.document, place)[1] >= _CLIENT_SHARE],
            surer_with=None if sure == "high" else "whether it is a load balancer (its clients are then told apart by set_real_ip_from of nginx)" if
            kinds - {"public"} else "a longer window (pressure_traffic_window)",
            following=["find out who %s is, and limit it where all of its requests pass before they reach these hosts" % place],
        )))
    return seen


def _sends(document: t.Mapping[str, t.Any], place: str) -> tuple[int, float, str | None]:
    """Requests of a client on a host, their share, its kind."""
    client = next((item for item in rows(document, "nginx", "clients") if _addresses.plain(text(item, "address") or "") == place), None)
    return int(num(client, "requests") or 0), num(client, "share") or 0.0, text(client, "kind")


def _jobs(found: Found) -> Seen:
    """One job that begins on several hosts at once and is what is wrong with at least two of them."""
    seen: Seen = []
    for job in found.jobs:
        members = [one for one in found.left() if one.host in job["hosts"] and one.verdict["cause"] == "jobs" and names_job(one.verdict, job)]
        if len({one.host for one in members}) > 1:
            least = min((one.verdict for one in members), key=lambda verdict: LEVELS.index(verdict["confidence"]))
            seen.append((members, row(
                found, "job", str(job["command"]), members, "jobs", least["confidence"], summary=sentence_of(job),
                evidence=["%s: %s" % (one.host, one.verdict["summary"]) for one in members],
                against=["%s has it as well, and nothing is wrong with it" % one.name for one in found.hosts
                         if one.name in job["hosts"] and one.row["state"] == "healthy"],
                surer_with=least["surer_with"], following=["if once for all hosts is enough, let one host run it; else give each another minute"],
            )))
    return seen
