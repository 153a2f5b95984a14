# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Plan a limit on requests in the running nginx: one file of ours, or the reason why not and the lines that a person may add.

Private to oncall.pressure: no stable interface. It never travels in the undo program.
"""

from __future__ import annotations

import json
import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._change._engine import Plan
from ansible_collections.oncall.pressure.plugins.module_utils._change._kinds import Operation, Refused
from ansible_collections.oncall.pressure.plugins.module_utils._controls import (
    _nginx_limit_clients, _nginx_limit_config, _nginx_limit_levels, _nginx_limit_probe, _nginx_limit_text, _nginx_limit_traffic,
)
from ansible_collections.oncall.pressure.plugins.module_utils._controls._nginx_limit_config import Config, Running
from ansible_collections.oncall.pressure.plugins.module_utils._controls._nginx_limit_levels import Served, where
from ansible_collections.oncall.pressure.plugins.module_utils._controls._nginx_limit_text import Limit
from ansible_collections.oncall.pressure.plugins.module_utils._controls._nginx_limit_traffic import Proposal, Traffic
from ansible_collections.oncall.pressure.plugins.module_utils._host._files import Files, Untrusted
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine
from ansible_collections.oncall.pressure.plugins.module_utils._host._text import clean, decode
from ansible_collections.oncall.pressure.plugins.module_utils._parse._addresses import Network

#: Several limits at a level: before this release only one counted.
_OLDEST = (1, 7, 6)
_DRY_RUN = (1, 17, 1)
_STATUS = 429
_OWN_STATUS = 503

#: More of the requests than this from addresses that are never limited: those are proxies, and the clients are behind them.
_BEHIND_SHARE = 0.5
#: Fewer than this say nothing: our own requests, by which a limit is seen at work, come from this host too (three for each of sixteen servers, twice).
_BEHIND_LEAST = 100


class Wish(t.NamedTuple):
    """What is asked for. path and clients: at least one; rate_per_s, burst: 0 has it computed; watch_s: how long to look whom it refuses."""

    path: str
    clients: t.Sequence[str]
    dry_run: bool
    rate_per_s: int = 0
    burst: int = 0
    keep: t.Sequence[str] = ()
    service: str = ""
    watch_s: float = 20.0
    inventory_name: str = ""


class ByHand(Refused):
    """Refused, with the lines that a person may add instead."""

    def __init__(self, text: str, lines: t.Sequence[str]) -> None:
        super().__init__(text)
        self.lines = list(lines)


class _Asked(t.NamedTuple):
    """The wish, understood: path, clients (null: everybody), keep list."""

    path: _nginx_limit_text.Path | None
    clients: list[Network] | None
    keep: list[Network]


def plan(machine: Machine, wish: Wish) -> Plan:
    """Look, measure, judge. Raises Refused."""
    if not wish.path and not wish.clients:
        raise Refused("say what is to be limited: a path, a client, or both")
    what = _nginx_limit_config.running(machine, wish.service)
    config = _nginx_limit_config.read(machine, what)
    asked = _asked(machine, wish, config)
    served = _nginx_limit_levels.served(config.http, asked.path)
    traffic = _nginx_limit_traffic.measure(machine, what.master, asked.path, asked.keep)
    _refuse_proxies(config, asked, traffic)
    proposal = _nginx_limit_traffic.propose(traffic, asked.clients)
    existing = _existing(config)
    limit = _limit(config, wish, asked, traffic, proposal, existing)
    gates = _gates(machine, what, config, served, limit)
    _refuse_settings(what, config, limit, gates)
    if config.place is None:
        raise ByHand(
            "no folder is included directly in http whose names a file of ours could have: add the lines at the end of the http block (%s)"
            % where(config.http), _nginx_limit_text.content(limit).split("\n"))
    operation: Operation = dict(
        what.knows, kind="nginx_config", path=config.place, content=_nginx_limit_text.content(limit), mode="0644",
        error_log=_nginx_limit_config.error_log(machine, what, config, ()).path,
    )
    notes = _notes(wish, what, limit, traffic, proposal, gates)
    proposals = _proposals(wish, limit)
    changed = existing != operation["content"]
    return Plan(
        "limit_requests_dry_run" if wish.dry_run else "limit_requests", what.service, [operation], settle_s=0.2, notes=notes, proposals=proposals,
        checks=[_check(machine, what, wish, limit, asked, gates, notes)] if changed else [],
    )


def _asked(machine: Machine, wish: Wish, config: Config) -> _Asked:
    try:
        path = _nginx_limit_text.path_of(wish.path) if wish.path else None
    except _nginx_limit_text.BadPath as problem:
        raise Refused("%s cannot be limited: %s" % (clean(wish.path, 200), problem)) from problem
    try:
        keep = _nginx_limit_clients.kept(machine, wish.keep, _nginx_limit_levels.peers(config.http))
    except _nginx_limit_clients.BadAddress as problem:
        raise Refused("the keep list: %s" % problem) from problem
    try:
        return _Asked(path, _nginx_limit_clients.meant(wish.clients, keep) if wish.clients else None, keep)
    except _nginx_limit_clients.BadAddress as problem:
        lines = ["set_real_ip_from %s;" % clean(wish.clients[0], 80), "real_ip_header X-Forwarded-For;"]
        raise ByHand("%s; where it is a proxy of yours, tell nginx so in http, and its clients will be seen" % problem, lines) from problem


def _refuse_proxies(config: Config, asked: _Asked, traffic: Traffic) -> None:
    """Whoever comes through a proxy has its address: limiting that limits everybody."""
    loose = _nginx_limit_levels.trusts_everybody(config.http)
    if loose is not None:
        raise ByHand("%s trusts everybody to say who they are: any client can take any address and have others limited; name your proxies instead"
                     % where(loose), ["set_real_ip_from ADDRESS-OF-YOUR-PROXY;"])
    if asked.clients is not None:
        proxy = next((one for one in traffic.clients if one.kind == "proxy" and _nginx_limit_traffic.is_meant(one, asked.clients)), None)
        if proxy is not None:
            raise ByHand("%s speaks for many others (X-Forwarded-For): it is a proxy, and everybody behind it would be limited" % clean(proxy.address, 80),
                         ["set_real_ip_from %s;" % clean(proxy.address, 80), "real_ip_header X-Forwarded-For;"])
        return
    through = [one for one in traffic.clients if one.kind]
    count = sum(one.requests for one in through)
    if count >= max(_BEHIND_SHARE * traffic.requests, _BEHIND_LEAST):
        busiest = max(through, key=lambda one: one.requests)
        raise ByHand(
            "%d of %d requests come from addresses that are never limited (most from %s, %s): nginx does not see who is behind them;"
            " tell it in http which proxies to believe" % (count, traffic.requests, clean(busiest.address, 80), busiest.kind),
            ["set_real_ip_from %s;" % clean(busiest.address, 80), "real_ip_header X-Forwarded-For;"])


def _existing(config: Config) -> str | None:
    """What our file holds now. Raises Refused where it is not ours."""
    if config.place is None:
        return None
    try:
        state, data = Files().read(config.place)
    except (Untrusted, OSError) as problem:
        raise Refused(str(problem)) from problem
    text = decode(data) if state["exists"] else None
    if text is not None and _nginx_limit_text.figures(text) is None:
        raise Refused("%s is there, and is not ours" % clean(config.place, 200))
    return text


def _limit(config: Config, wish: Wish, asked: _Asked, traffic: Traffic, proposal: Proposal, existing: str | None) -> Limit:
    """The limit, with the figures that are written already where they still do. Raises Refused where no figure would do."""
    status = _STATUS if _may_set_status(config) else None
    limit = Limit(asked.path, asked.clients, asked.keep, wish.rate_per_s or proposal.rate_per_s, wish.burst or proposal.burst, wish.dry_run, status)
    figures = _nginx_limit_text.figures(existing) if existing is not None else None
    if figures is not None and existing is not None:
        same = limit._replace(rate_per_s=wish.rate_per_s or figures[0], burst=wish.burst or figures[1])
        enough = same.rate_per_s * _nginx_limit_traffic.SLOT_S >= proposal.need and same.burst >= proposal.need
        if _nginx_limit_text.content(same) == existing and (enough or asked.clients is not None):
            return same
    if wish.rate_per_s:
        if asked.clients is None and wish.rate_per_s * _nginx_limit_traffic.SLOT_S < proposal.need:
            raise Refused("%d/s is less than others need: a client that is not the busiest asked %d times in %d s; %s" % (
                wish.rate_per_s, proposal.need, _nginx_limit_traffic.SLOT_S, proposal.formula))
        return limit
    if traffic.covered_s is None:
        why = clean("; ".join(traffic.problems[:3]) or "nothing is logged", 300)
        raise Refused("no access log tells how fast clients ask (%s): say the rate (pressure_rate)" % why)
    if proposal.why_not:
        raise Refused("%s; say the rate (pressure_rate) to limit it all the same" % clean(proposal.why_not, 400))
    return limit


def _may_set_status(config: Config) -> bool:
    """Whether a status at http level would be ours alone."""
    return not _nginx_limit_levels.children(config.http, "limit_req_status") and not _nginx_limit_levels.inheriting(config.http, "limit_req_status")


def _gates(machine: Machine, what: Running, config: Config, served: t.Sequence[Served], limit: Limit) -> list[_nginx_limit_probe.Gate]:
    """The servers and locations that the limit must reach. Raises Refused where one of them has a limit of its own, or none would ever see it."""
    reaching = [one for one in served if not one.answers]
    if not served:
        raise Refused("nginx has no server in its http block: there is nothing to limit")
    if not reaching:
        raise Refused("no limit would ever see it: %s" % clean("; ".join(sorted({one.answers for one in served})[:3]), 500))
    own = next((found for found in (_nginx_limit_levels.own_limit(one.chain) for one in reaching) if found is not None), None)
    if own is not None:
        lines = _nginx_limit_text.content(limit).split("\n")
        beside = [line for line in lines if line.startswith("limit_req zone=%s " % _nginx_limit_text.zone(limit))]
        raise ByHand(
            "%s has a limit of its own (limit_req %s), and would not inherit ours: add the first lines at the end of http, the last one beside that limit"
            % (where(own), clean(" ".join(own.parameters), 100)),
            [line for line in lines if not line.startswith(("limit_req ", "limit_req_status", "limit_req_dry_run"))] + beside)
    gates: dict[int, _nginx_limit_probe.Gate] = {}
    for one in reaching:
        chain = one.chain
        set_there = _nginx_limit_levels.nearest(chain, "limit_req_status")
        status = set_there.parameters[0] if set_there is not None and set_there.parameters else ""
        refusal = int(status) if status.isdecimal() else limit.status or _OWN_STATUS
        gates.setdefault(id(chain[1]), _nginx_limit_probe.Gate(chain, refusal, _nginx_limit_config.error_log(machine, what, config, chain).path))
    return list(gates.values())


def _refuse_settings(what: Running, config: Config, limit: Limit, gates: t.Sequence[_nginx_limit_probe.Gate]) -> None:
    """Settings that would make the limit something else than what was asked for."""
    if what.version < _OLDEST:
        raise Refused("this nginx is too old (%d.%d.%d) for several limits at one level" % what.version)
    if config.late:
        raise ByHand("%s must stand before the first map, and would come after ours: move it before the include" % where(config.late[0]),
                     ["%s %s;" % (one.name, " ".join(one.parameters)) for one in config.late])
    at_http = _nginx_limit_levels.children(config.http, "limit_req_dry_run")
    if at_http:
        raise Refused("%s sets limit_req_dry_run for all of http: take it away first, it decides whether limits are in force" % where(at_http[0]))
    inner = next((found for found in (_nginx_limit_levels.nearest(gate.chain[1:], "limit_req_dry_run") for gate in gates) if found is not None), None)
    if inner is not None and (inner.parameters[:1] == ("on",)) != limit.dry_run:
        raise Refused("%s sets limit_req_dry_run %s, which decides there" % (where(inner), clean(" ".join(inner.parameters), 10)))
    if not limit.dry_run:
        return
    if what.version < _DRY_RUN:
        raise Refused("this nginx (%d.%d.%d) has no dry run, it came with 1.17.1: say mode enforce" % what.version)
    others = _nginx_limit_levels.inheriting(config.http, "limit_req_dry_run")
    if others:
        raise Refused("a dry run at http level would suspend the limits that are there (%s): say mode enforce" % clean(", ".join(map(where, others[:3])), 300))
    if not any(gate.log for gate in gates):
        raise Refused("a dry run would say nothing: no server's log of errors is a file that keeps its lines; say mode enforce, or set error_log")


def _check(
    machine: Machine, what: Running, wish: Wish, limit: Limit, asked: _Asked, gates: t.Sequence[_nginx_limit_probe.Gate], notes: dict[str, t.Any]
) -> t.Callable[[], t.Sequence[str]]:
    """Asked when nginx has new workers: is the limit seen at work, and whom does it refuse."""
    marks = _nginx_limit_probe.Marks(machine, sorted({gate.log for gate in gates if gate.log}))

    def check() -> t.Sequence[str]:
        seen = _nginx_limit_probe.prove(machine, gates, limit)
        # the result has these very lists: they are filled, not replaced
        notes["proof"].extend(one.says for one in seen)
        if not any(one.proven for one in seen):
            return ["nginx loaded the limit, and it is not seen at work: %s" % "; ".join(one.says for one in seen[:3])]
        # what was refused until now is not of the time that is watched
        marks.refused(_nginx_limit_text.zone(limit))
        machine.sleep(wish.watch_s)
        refused = marks.refused(_nginx_limit_text.zone(limit))
        asking = _nginx_limit_traffic.measure(machine, what.master, asked.path, asked.keep, max(wish.watch_s, 1.0))
        rows = [{"client": client, "refused": count, "asked": next((one.requests for one in asking.clients if one.address == client), None)}
                for client, count in sorted(refused.items(), key=lambda item: (-item[1], item[0]))]
        notes["report"].update({
            "watched_s": wish.watch_s, "refused": sum(refused.values()) if marks.places else None,
            "asked": asking.requests if asking.covered_s is not None else None, "clients": rows[:20], "others": len(rows) - len(rows[:20]),
        })
        notes["summary"].extend(_told(notes["report"], limit.dry_run))
        return []

    return check


def _told(report: t.Mapping[str, t.Any], dry_run: bool) -> list[str]:
    verb = "would have been refused" if dry_run else "were refused"
    if report["refused"] is None:
        return ["whom it refuses is not known: no log of errors says it"]
    asked = " of about %d that were meant" % report["asked"] if report["asked"] is not None else ""
    lines = ["%d requests%s %s in %g s" % (report["refused"], asked, verb, report["watched_s"])]
    for row in report["clients"][:8]:
        lines.append("  %s: %d" % (row["client"], row["refused"]) + (" of about %d" % row["asked"] if row["asked"] is not None else ""))
    return lines


def _notes(
    wish: Wish, what: Running, limit: Limit, traffic: Traffic, proposal: Proposal, gates: t.Sequence[_nginx_limit_probe.Gate]
) -> dict[str, t.Any]:
    busiest = proposal.busiest
    of_whom = "each client address" if limit.clients is None else ", ".join(map(_nginx_limit_text.spelled, limit.clients[:5]))
    of_what = wish.path or "all paths"
    statuses = sorted({gate.status for gate in gates})
    summary = [
        "%s: %s %s, %d requests/s of %s, burst %d, %d addresses and networks kept" % (
            what.service, "dry run of a limit on" if limit.dry_run else "limit on", clean(of_what, 200), limit.rate_per_s, of_whom, limit.burst,
            len(limit.keep)),
        "the rate: %s" % (proposal.formula if not wish.rate_per_s else "as given; measured: " + proposal.formula),
    ]
    if busiest is not None and traffic.covered_s:
        summary.append("the busiest that it means: %s, %d requests in %d s, %d in its busiest %d s" % (
            clean(busiest.address, 64), busiest.requests, traffic.covered_s, busiest.most, _nginx_limit_traffic.SLOT_S))
    if traffic.covered_s is None:
        summary.append("not measured: who asks for it (%s)" % clean("; ".join(traffic.problems[:2]) or "nothing is logged", 200))
    if limit.status is None and not limit.dry_run:
        summary.append("refused with %s: another status would be inherited by limits that are there" % ", ".join(map(str, statuses)))
    return {
        "rate_per_s": limit.rate_per_s, "burst": limit.burst, "formula": proposal.formula, "mode": "dry_run" if limit.dry_run else "enforce",
        "status": statuses, "keep": [str(network) for network in limit.keep], "covered_s": traffic.covered_s, "requests": traffic.requests,
        "busiest": None if busiest is None else {"client": clean(busiest.address, 64), "requests": busiest.requests, "most_in_10_s": busiest.most},
        "problems": [clean(problem, 300) for problem in traffic.problems[:5]], "proof": [], "report": {}, "summary": summary,
    }


def _proposals(wish: Wish, limit: Limit) -> list[str]:
    """The command line that enforces what was tried."""
    if not limit.dry_run:
        return []
    values = {"pressure_mode": "enforce", "pressure_rate": str(limit.rate_per_s), "pressure_burst": str(limit.burst)}
    values.update({"pressure_path": wish.path} if wish.path else {})
    values.update({"pressure_client": ",".join(wish.clients)} if wish.clients else {})
    words = ["ansible-playbook oncall.pressure.limit_requests"] + (["-l " + _quoted(wish.inventory_name)] if wish.inventory_name else [])
    if all(_is_plain(value) for value in values.values()):
        words += ["-e %s=%s" % item for item in values.items()]
    else:
        words.append("-e " + _quoted(json.dumps(values)))
    return [" ".join(words)]


def _is_plain(text: str) -> bool:
    return bool(text) and all(sign.isascii() and (sign.isalnum() or sign in "/._-:,") for sign in text)


def _quoted(text: str) -> str:
    """A word for a shell."""
    return text if _is_plain(text) else "'" + text.replace("'", "'\\''") + "'"
