# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What was changed on several hosts at about the same time, before it became bad there: a release, or whatever started everything in one minute.

Private to oncall.pressure: no stable interface. Pure.

That something came before is no proof. Hosts that run the same and did not get it, or got it and are well, are the experiment that nature made: they
decide how sure this is, and where most that got it are well nothing is said.
"""

from __future__ import annotations

import time
import typing as t

from ansible_collections.oncall.pressure.plugins.plugin_utils._shared_evidence import Found, Host, Sick, row
from ansible_collections.oncall.pressure.plugins.plugin_utils._timeline import BEFORE_S, first_sign_s
from ansible_collections.oncall.pressure.plugins.plugin_utils._values import num, rows, text

Row = t.Dict[str, t.Any]
Seen = t.List[t.Tuple[t.List[Sick], Row]]

#: Changes that people roll out, what names the release first.
_ROLLED_OUT: t.Final = ("release", "commit", "environment", "config", "unit", "package")
#: Those of them that are of one service and say nothing about another.
_OF_ITS_SERVICE: t.Final = ("config", "unit")

#: What a release does not bring about.
_FROM_OUTSIDE: t.Final = ("traffic", "abusive_client", "jobs", "external")

#: A rollout goes on while the next host follows within this time, in seconds; what begins together begins within a minute.
_NEXT_S: t.Final = 900.0
_TOGETHER_S: t.Final = 60.0
#: Of starts: what began a moment ago says only that it was started again and again.
_SETTLED_S: t.Final = 180.0
_FEWEST_STARTS: t.Final = 3
_MOST: t.Final = 0.8

_ISO = "%Y-%m-%dT%H:%M:%SZ"


class _Change(t.NamedTuple):
    """A change of one host on the controller's clock. ``key``: what makes it the same change on another host."""

    at_s: float
    age_s: float
    key: tuple[str, str, str]
    service: str | None


def releases(found: Found) -> Seen:
    """The same change, rolled out to hosts of which the same service then became sick in the same resource."""
    groups: dict[tuple[tuple[str, str, str], str, str], list[tuple[Sick, _Change]]] = {}
    for one in found.left():
        label = _label(one.verdict)
        if label is None or one.verdict["cause"] in _FROM_OUTSIDE or one.verdict["effect_of"] is not None:
            continue
        first_s = first_sign_s(one.document, [one.verdict])
        for change in _changes(one.document, _ROLLED_OUT):
            its_own = change.key[0] not in _OF_ITS_SERVICE or change.service in (None, one.verdict["service"])
            if its_own and first_s <= change.age_s <= first_s + BEFORE_S:
                groups.setdefault((change.key, label, one.verdict["resource"]), []).append((one, change))
    # what came with one rollout is one change, told by what names it best
    by_members: dict[tuple[t.Any, ...], list[tuple[tuple[tuple[str, str, str], str, str], list[tuple[Sick, _Change]]]]] = {}
    for key, several in groups.items():
        for members in _runs(several, _NEXT_S, chained=True):
            if len({one.host for one, dummy in members}) > 1:
                by_members.setdefault(tuple(sorted((one.host, one.index) for one, dummy in members)), []).append((key, members))
    seen: Seen = []
    done: set[tuple[str, int]] = set()
    for who, same in sorted(by_members.items(), key=lambda item: -len(item[0])):
        same.sort(key=lambda item: _ROLLED_OUT.index(item[0][0][0]))
        if not done & set(who):
            told = _release_row(found, same[0][0], same[0][1], [key[0] for key, dummy in same[1:]])
            if told is not None:
                done |= set(who)
                seen.append(([one for one, dummy in same[0][1]], told))
    return seen


def _release_row(
    found: Found, what: tuple[tuple[str, str, str], str, str], members: t.Sequence[tuple[Sick, _Change]], besides: t.Sequence[tuple[str, str, str]]
) -> Row | None:
    key, label, resource = what
    names = {one.host for one, dummy in members}
    same = [host for host in found.hosts if host.name not in names and _runs_it(host, label)]
    with_it = {host.name for host in same if any(change.key == key for change in _changes(host.document, (key[0],)))}
    well = [host.name for host in same if host.row["state"] == "healthy"]
    spared = [name for name in well if name not in with_it]
    contrary = [name for name in well if name in with_it]
    without = [host.name for host in same if host.name not in with_it and any(
        _label(verdict) == label and verdict["resource"] == resource for verdict in host.row["verdicts"])]
    if len(contrary) >= len(names):
        return None
    level = "low"
    if not contrary and not without:
        level = "high" if len(spared) > 1 else ("medium" if spared or len(names) > 2 else "low")
    moments = sorted(change.at_s for dummy, change in members)
    sentence = "%s%s" % (key[1], " %s" % key[2] if key[2] else "")
    if level == "high" and not _compared(members):
        level = "medium"
    surer = "hosts that run %s without it: there is none to compare with" % label if not spared else "a host on which it is taken back, or which did not get it"
    if contrary or without:
        surer = "what the hosts that do not fit have in common (they are named)"
    elif not _compared(members):
        surer = "the clocks of the hosts, which were not compared"
    return row(
        found, "release", sentence, [one for one, dummy in members], "deploy", level,
        summary="%s became sick (%s) after the same change on each of them, made from %s to %s" % (label, resource, _clock(moments[0]), _clock(moments[-1])),
        evidence=["%s: %s at %s (%s)" % (one.host, sentence, _clock(change.at_s), one.verdict["rule"]) for one, change in members]
        + ["with it came: %s %s" % (other[1], other[2]) for other in besides[:2]]
        + (["%d hosts run %s without it and are well: %s" % (len(spared), label, ", ".join(spared[:5]))] if spared else []),
        against=["%s has this change as well, and nothing is wrong with it" % name for name in contrary]
        + ["%s is as sick without this change" % name for name in without],
        surer_with=surer,
        following=["take it back on one host first and look again: if that one recovers, it was this", "stop the rollout"],
    )


def minutes(found: Found) -> Seen:
    """A service that was started on almost all hosts on which it is sick within one minute, before its first sign."""
    groups: dict[tuple[str, str], list[tuple[Sick, _Change]]] = {}
    everyone: dict[tuple[str, str], set[str]] = {}
    for one in found.left():
        label = _label(one.verdict)
        if label is None or one.verdict["effect_of"] is not None:
            continue
        everyone.setdefault((label, one.verdict["resource"]), set()).add(one.host)
        first_s = max(first_sign_s(one.document, [one.verdict]), _SETTLED_S)
        started = [change for change in _changes(one.document, ("start", "boot"))
                   if (change.key[0] == "boot" or change.service == one.verdict["service"]) and first_s <= change.age_s <= first_s + BEFORE_S]
        if started:
            groups.setdefault((label, one.verdict["resource"]), []).append((one, min(started, key=lambda change: change.age_s)))
    seen: Seen = []
    for (label, resource), several in groups.items():
        for members in _runs(several, _TOGETHER_S, chained=False):
            names = {one.host for one, dummy in members}
            if len(names) >= max(_FEWEST_STARTS, _MOST * len(everyone[label, resource])):
                seen.append(([one for one, dummy in members], _minute_row(found, label, resource, members)))
    return seen


def _minute_row(found: Found, label: str, resource: str, members: t.Sequence[tuple[Sick, _Change]]) -> Row:
    names = {one.host for one, dummy in members}
    first, last = min(change.at_s for dummy, change in members), max(change.at_s for dummy, change in members)
    others = [host for host in found.hosts if host.name not in names and host.row["state"] == "healthy" and _runs_it(host, label)]
    too = [host.name for host in others
           if any(first - _TOGETHER_S <= change.at_s <= last + _TOGETHER_S for change in _changes(host.document, ("start", "boot")))]
    spared = len(others) - len(too)
    return row(
        found, "minute", _clock(first), [one for one, dummy in members], "none", "medium" if spared > 1 and not too and _compared(members) else "low",
        summary="%s, which is sick on them (%s), was started on all of them between %s and %s" % (label, resource, _clock(first), _clock(last)),
        evidence=["%s: %s at %s" % (one.host, change.key[1], _clock(change.at_s)) for one, change in members],
        against=["%s was started then as well, and nothing is wrong with it" % name for name in too],
        surer_with="what started it on all of them (no change of a release was seen before it)",
        following=["find what started %s everywhere at %s: a deploy, a reboot, an upgrade by itself" % (label, _clock(first))],
    )


def _changes(document: t.Mapping[str, t.Any], kinds: t.Collection[str]) -> list[_Change]:
    """Events of a host of these kinds."""
    taken_s = num(document, "taken", "epoch_s")
    if taken_s is None:
        return []
    now_s = taken_s - (num(document, "taken", "clock_offset_s") or 0.0)
    seen = []
    for event in rows(document, "timeline", "events"):
        kind, age_s, what = text(event, "kind"), num(event, "age_s"), text(event, "what")
        if kind in kinds and age_s is not None and what is not None:
            # which folder a process still runs in is the host's own affair
            detail = (text(event, "detail") or "").partition(", while ")[0]
            seen.append(_Change(now_s - age_s, age_s, (t.cast(str, kind), what, detail), text(event, "service")))
    return seen


def _runs(several: t.Sequence[tuple[Sick, _Change]], within_s: float, chained: bool) -> list[list[tuple[Sick, _Change]]]:
    """Members that follow each other within a time (``chained``), or that all lie within it; one change of each host."""
    ordered = sorted(several, key=lambda item: item[1].at_s)
    found: list[list[tuple[Sick, _Change]]] = []
    for item in ordered:
        if found and item[1].at_s - found[-1][-1 if chained else 0][1].at_s <= within_s:
            if not any((one.host, one.index) == (item[0].host, item[0].index) for one, dummy in found[-1]):
                found[-1].append(item)
        else:
            found.append([item])
    return found


def _label(verdict: t.Mapping[str, t.Any]) -> str | None:
    """What hosts that run the same have in common: the service's name. A container's id, and a host as such, are no such thing."""
    return text(verdict, "name") if verdict.get("service") else None


def _runs_it(host: Host, label: str) -> bool:
    return any(label in (text(service, "name"), text(service, "id")) for service in rows(host.document, "services"))


def _compared(members: t.Sequence[tuple[Sick, _Change]]) -> bool:
    """Whether the clocks of all of these hosts were compared with the controller's."""
    return all(num(one.document, "taken", "clock_offset_s") is not None for one, dummy in members)


def _clock(at_s: float) -> str:
    try:
        return time.strftime(_ISO, time.gmtime(at_s))
    except (OverflowError, ValueError, OSError):
        return "an unknown time"
