# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Read a plan that a person may have edited: every mistake is named by its place, and nothing gets through that a plan does not hold.

Private to oncall.pressure: no stable interface. JSON and nothing else: what a file holds is never loaded as YAML and never templated.
"""

from __future__ import annotations

import json
import os
import re
import stat
import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._host._text import clean
from ansible_collections.oncall.pressure.plugins.plugin_utils._documents import SCHEMA
from ansible_collections.oncall.pressure.plugins.plugin_utils._ladder import Declared
from ansible_collections.oncall.pressure.plugins.plugin_utils._mitigations import Mitigation
from ansible_collections.oncall.pressure.plugins.plugin_utils._values import plain

#: The largest plan that is read, in bytes.
LIMIT: t.Final = 8 * 1024 * 1024

#: Steps of one host beyond which a file is no plan that anybody looked at.
_STEPS: t.Final = 100

_RULE: t.Final = re.compile(r"[a-z][a-z0-9]*\.[a-z][a-z0-9_]*")
_SIMPLE: t.Final = re.compile(r"[A-Za-z0-9_-]+")

_PLAN: t.Final = {"schema", "kind", "made", "fleet", "hosts"}
_HOST: t.Final = {"act", "held", "taken", "state", "verdicts", "open", "steps", "lasting", "run"}
_STEP: t.Final = {
    "mitigation", "title", "rung", "disruption", "loses_work", "reversible", "evidence_first", "settle_s", "variables", "for", "held",
}


class BadPlan(ValueError):
    """A plan that cannot be used; its text is ``FILE: PLACE: what is wrong``."""


class GivenStep(t.NamedTuple):
    """A step of a file. What its mitigation is declared to be is the collection's to say, whatever the file says."""

    mitigation: Mitigation
    variables: dict[str, str]
    rule: str
    service: str | None
    held: str | None


class GivenHost(t.NamedTuple):
    """A host of a file: whether it may be changed, why it was held if it was, in which boot it was measured, and its steps in their order."""

    act: bool
    held: str | None
    boot_id: str | None
    steps: list[GivenStep]


class Given(t.NamedTuple):
    """A plan that was read: where, and its hosts by name."""

    path: str
    hosts: dict[str, GivenHost]


def read_plan(path: str, declared: Declared) -> Given:
    """Read and check a plan. Raises BadPlan for a mistake in it, OSError where it cannot be read."""
    if not stat.S_ISREG(os.stat(path).st_mode):
        # a pipe would be waited for, a folder has no words of its own
        raise BadPlan("%s: it is no file" % path)
    with open(path, "rb") as stream:
        data = stream.read(LIMIT + 1)
    if len(data) > LIMIT:
        raise BadPlan("%s: it is larger than %d MiB" % (path, LIMIT // 1048576))
    return parse_plan(path, data, declared)


def parse_plan(path: str, data: bytes, declared: Declared) -> Given:
    """The plan that a file holds. Raises BadPlan."""
    try:
        value = json.loads(data.decode("utf-8"), object_pairs_hook=_once, parse_constant=_no_number)
    except UnicodeDecodeError as problem:
        raise BadPlan("%s:%d: not UTF-8" % (path, data[: problem.start].count(b"\n") + 1)) from None
    except json.JSONDecodeError as problem:
        raise BadPlan("%s:%d: not JSON: %s" % (path, problem.lineno, problem.msg)) from None
    except RecursionError:
        raise BadPlan("%s: nested too deeply" % path) from None
    except ValueError as problem:
        raise BadPlan("%s: %s" % (path, problem)) from None
    return _Reader(path, declared).plan(value)


def _once(pairs: list[tuple[str, t.Any]]) -> dict[str, t.Any]:
    """A mapping in which no key stands twice: the second would silently take the place of what a person looked at."""
    found: dict[str, t.Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError("%s occurs twice in one mapping" % clean(key, 100))
        found[key] = value
    return found


def _no_number(word: str) -> t.NoReturn:
    raise ValueError("%s is no value" % word)


class _Reader:
    """Checks one plan, place by place."""

    def __init__(self, path: str, declared: Declared) -> None:
        self._path = path
        self._declared = declared

    def _fail(self, place: str, words: str) -> BadPlan:
        return BadPlan("%s: %s%s" % (self._path, place + ": " if place else "", clean(words, 400)))

    def _mapping(self, value: t.Any, place: str, known: t.AbstractSet[str], needed: t.Sequence[str] = ()) -> dict[str, t.Any]:
        if not isinstance(value, dict):
            raise self._fail(place, "must be a mapping")
        for key in value:
            if key not in known:
                raise self._fail(_below(place, key), "unknown key (known: %s)" % ", ".join(sorted(known)))
        for key in needed:
            if key not in value:
                raise self._fail(place, "%s is missing" % key)
        return value

    def _note(self, value: t.Any, place: str) -> str | None:
        """Text that a plan says, or null."""
        if value is not None and (not isinstance(value, str) or not value.strip()):
            raise self._fail(place, "must be text or null")
        return None if value is None else clean(value, 400)

    def plan(self, value: t.Any) -> Given:
        """All of it. Raises BadPlan."""
        row = self._mapping(value, "", _PLAN, ("schema", "kind", "hosts"))
        if row["kind"] != "plan":
            raise self._fail("kind", "must be plan")
        if row["schema"] != SCHEMA or isinstance(row["schema"], bool):
            raise self._fail("schema", "must be %d" % SCHEMA)
        if not isinstance(row["hosts"], dict):
            raise self._fail("hosts", "must be a mapping")
        hosts: dict[str, GivenHost] = {}
        for host, item in row["hosts"].items():
            if not host or clean(host) in hosts:
                raise self._fail(_below("hosts", host), "is no name of a host, or one that stands there already")
            hosts[clean(host)] = self._host(item, _below("hosts", host))
        return Given(self._path, hosts)

    def _host(self, value: t.Any, place: str) -> GivenHost:
        row = self._mapping(value, place, _HOST, ("act", "taken", "steps"))
        if not isinstance(row["act"], bool):
            raise self._fail(_below(place, "act"), "must be true or false")
        taken = self._mapping(row["taken"], _below(place, "taken"), {"at", "boot_id"}, ("boot_id",))
        if not isinstance(row["steps"], list):
            raise self._fail(_below(place, "steps"), "must be a list")
        if len(row["steps"]) > _STEPS:
            raise self._fail(_below(place, "steps"), "must be no more than %d" % _STEPS)
        steps = [self._step(item, "%s[%d]" % (_below(place, "steps"), number)) for number, item in enumerate(row["steps"])]
        for number, step in enumerate(steps):
            if any(step[:4] == earlier[:4] for earlier in steps[:number]):
                raise self._fail("%s[%d]" % (_below(place, "steps"), number), "the same step stands there already")
        boot_id = self._note(taken["boot_id"], _below(place, "taken", "boot_id"))
        return GivenHost(row["act"], self._note(row.get("held"), _below(place, "held")), boot_id, steps)

    def _step(self, value: t.Any, place: str) -> GivenStep:
        row = self._mapping(value, place, _STEP, ("mitigation", "variables", "for"))
        name = row["mitigation"]
        mitigation = self._declared.get(name) if isinstance(name, str) else None
        if mitigation is None:
            raise self._fail(_below(place, "mitigation"), "%s is no mitigation (known: %s)" % (name, ", ".join(sorted(self._declared))))
        variables = row["variables"]
        if not isinstance(variables, dict):
            raise self._fail(_below(place, "variables"), "must be a mapping")
        for variable, given in variables.items():
            where = _below(place, "variables", variable)
            if variable not in mitigation.variables:
                raise self._fail(where, "%s does not take it (it takes: %s)" % (mitigation.id, ", ".join(sorted(mitigation.variables))))
            if not plain(given):
                raise self._fail(where, "must be text of letters, digits and _ . / : @ % + , = ~ ^ -, in quotes, at most 200 long")
        reason = self._mapping(row["for"], _below(place, "for"), {"rule", "service"}, ("rule", "service"))
        if not isinstance(reason["rule"], str) or not _RULE.fullmatch(reason["rule"]):
            raise self._fail(_below(place, "for", "rule"), "must be the id of a rule")
        if reason["service"] is not None and (not isinstance(reason["service"], str) or not reason["service"]):
            raise self._fail(_below(place, "for", "service"), "must be the id of a service, or null")
        return GivenStep(mitigation, dict(variables), reason["rule"], reason["service"], self._note(row.get("held"), _below(place, "held")))


def _below(place: str, *keys: str) -> str:
    """The place of a key below another: ``hosts.web-3.steps``, ``hosts["a.b"].act`` where the name itself has a sign of places."""
    for key in keys:
        place = ("%s.%s" % (place, key) if place else key) if _SIMPLE.fullmatch(key) else '%s["%s"]' % (place, clean(key, 100))
    return place
