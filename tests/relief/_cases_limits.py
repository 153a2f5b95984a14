# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Cases of limits in nginx: one client hammers one path that costs a processor, others ask little; whom the limit refuses, and how it ends.

All of them have addresses of a network namespace on the host itself, and end by themselves.
"""

from __future__ import annotations

import collections
import json
import re
import shlex
import time
from typing import Any

import _hosts
import _measure
import yaml
from _causes import STEPS
from _common import ROOT, LabError
from _measure import Looker
from _scene import Scene

UNIT, PORT, SITE_PORT, NETWORK = "orchard-web.service", 23100, 8081, "orchard"
CULPRIT = "192.88.99.7"
OTHERS = ["192.88.99.{0}".format(number) for number in range(100, 130)]
FILE = "zz-oncall-pressure-limit.conf"
# What the client's own requests may take of a burst while the limit begins.
BEGUN_S = 3.0


def _site(scene: Scene) -> None:
    """A backend of three workers that comes up at a boot, behind a site of nginx."""
    STEPS["gunicorn"](scene.on, {"unit": UNIT, "workers": 3, "port": PORT, "release": "debian", "style": "flags"})
    scene.on.sh("systemctl enable --quiet " + UNIT)
    STEPS["nginx"](scene.on, {"name": "relief", "port": SITE_PORT, "upstream": PORT, "format": "combined_like"})


def _crowd(scene: Scene, burn_s: float, for_s: int) -> Looker:
    """Forty-eight requests a second of one client, each costing ``burn_s`` of a processor, and three of thirty others."""
    STEPS["clients"](scene.on, {"name": NETWORK})
    at = "http://10.231.77.1:{0}".format(SITE_PORT)
    groups = [
        {"name": "culprit", "clients": 24, "from": [CULPRIT], "rate_per_s": 2.0, "url": "{0}/search?q={{n}}&burn={1}".format(at, burn_s)},
        {"name": "others", "clients": 30, "from": OTHERS, "rate_per_s": 0.1, "url": at + "/items/{n}"},
        # the same path as the client that is limited, from other addresses
        {"name": "others", "clients": 10, "from": OTHERS, "rate_per_s": 0.1, "url": at + "/search?q={n}"},
    ]
    return Looker(scene.host, "crowd", "crowd.py", json.dumps({"for_s": for_s, "groups": groups}), network=NETWORK)


def _answers(rows: list[dict[str, Any]], group: str, start: float, end: float = float("inf")) -> dict[str, int]:
    """How often each status was answered to those that asked between two moments."""
    found = collections.Counter(str(row["status"]) for row in rows if row["group"] == group and start <= row["t"] < end)
    return dict(sorted(found.items()))


def _leave_pct(rule: str) -> float:
    """The use of the host's processors below which a rule that fired says that it is over."""
    rules = yaml.safe_load((ROOT / "roles/diagnose/files/rules/traffic.yml").read_text(encoding="utf-8"))
    return next(float(one["thresholds"]["host_pct"]["leave"]) for one in rules if one["id"] == rule)


def _enforcing(printed: str) -> dict[str, str]:
    """The variables of the command line that the dry run says."""
    line = next((line for line in printed.splitlines() if "pressure_mode=enforce" in line), "")
    return dict(pair.split("=", 1) for pair in re.findall(r"-e pressure_([a-z]+=\S+)", line))


def _limited_until(scene: Scene, crowd: Looker, start: float) -> float:
    """The moment of the last refusal after ``start``."""
    return max([row["t"] for row in crowd.rows() if row["group"] == "culprit" and row["status"] == 429 and row["t"] >= start], default=0.0)


def client_limited(scene: Scene) -> None:
    """Diagnosed, tried, enforced with what the dry run says, measured, rolled back."""
    _site(scene)
    crowd = _crowd(scene, 0.045, 600)
    scene.note()
    zones = _measure.shared_zones(scene.on)
    began = time.monotonic()
    time.sleep(60)
    scene.figures["cpu_before_pct"] = _measure.cpu_pct(scene.on, 10)
    rule = "nginx.abusive_client"
    if scene.figures["cpu_before_pct"] < _leave_pct(rule):
        # what is below the line before shows nothing by being below it afterwards
        raise LabError("the host's processors were used {0} %, below {1} before anything was done".format(scene.figures["cpu_before_pct"], _leave_pct(rule)))
    advised = scene.advised(scene.diagnose(), rule, "limit_requests")
    scene.claim(advised == {"path": "/search", "client": CULPRIT}, "it is to be {0}".format(advised))
    tried = scene.play("limit_requests", watch=10, **advised)
    scene.says(tried, "would have been refused")
    found = re.search(re.escape(CULPRIT) + r": (\d+)", tried.printed)
    scene.figures["dry_run_says"] = int(found.group(1)) if found else None
    scene.claim(bool(found) and int(found.group(1)) > 50, "the dry run does not say how many of {0} would be refused".format(CULPRIT))
    refused = _answers(crowd.rows(), "culprit", began).get("429", 0)
    scene.claim(refused == 0, "{0} requests were refused in a dry run".format(refused))
    scene.same_files("the dry run")
    enforcing = _enforcing(tried.printed)
    scene.figures["enforced"] = enforcing
    scene.claim(enforcing.get("client") == CULPRIT and enforcing.get("path") == "/search", "the command that enforces is not said: {0}".format(enforcing))
    play = scene.start("limit_requests", watch=10, settle=1, **enforcing)
    refusing = "tail -n 60 {0} | grep -c '\"status\": 429' || true".format(crowd.path)
    _measure.until(lambda: play.child.poll() is not None or scene.on.sh(refusing).strip() != "0", 240, "somebody is refused")
    since = min([row["t"] for row in crowd.rows() if row["status"] == 429], default=time.monotonic())
    status = play.wait()
    scene.figures["playbook_s"]["limit_requests, enforced"] = round((play.ended or 0) - play.started, 1)
    scene.figures["limited_after_s"] = round(since - play.started, 1)
    scene.claim(status == 0, "it ended with status {0}: {1}".format(status, play.printed.strip()[-300:]))
    scene.figures["paths_changed"] = scene.changed_files()
    # beside it only what ends it: units of ours
    others = [path for path in scene.figures["paths_changed"] if not path.endswith(("/conf.d", FILE)) and "/oncall-pressure-" not in path]
    scene.claim(not others and any(path.endswith(FILE) for path in scene.figures["paths_changed"]), "other files were changed: {0}".format(others))
    time.sleep(10)
    used_pct, leave_pct = _measure.cpu_pct(scene.on, 15), _leave_pct(rule)
    scene.figures.update(cpu_after_pct=used_pct, cpu_leave_pct=leave_pct)
    scene.claim(used_pct < leave_pct, "the host's processors are used {0} %, not below {1}".format(used_pct, leave_pct))
    end = time.monotonic()
    scene.figures.update(culprit=_answers(crowd.rows(), "culprit", since + BEGUN_S, end - 1), others=_answers(crowd.rows(), "others", since, end - 1))
    _claim_refused(scene)
    scene.figures["second_look"] = [verdict["rule"] for verdict in scene.diagnose(earlier=str(scene.latest()))["verdicts"]]
    ended = time.monotonic()
    scene.says(scene.play("rollback"), "UNDONE")
    scene.same_files("rollback")
    scene.claim(_measure.shared_zones(scene.on) == zones, "nginx has not the zones from before: {0}, not {1}".format(_measure.shared_zones(scene.on), zones))
    back = time.monotonic()
    # each of them costs a processor again
    time.sleep(20)
    after = _answers(crowd.rows(), "culprit", back)
    scene.figures["culprit_after_rollback"] = after
    scene.claim("429" not in after and bool(after), "refused after the rollback: {0}".format(after))
    scene.figures["refused_for_s_after_rollback_began"] = round(max(_limited_until(scene, crowd, ended) - ended, 0.0), 1)
    crowd.stop()


def _claim_refused(scene: Scene) -> None:
    culprit, others = scene.figures["culprit"], scene.figures["others"]
    scene.claim(culprit.get("429", 0) > 0.8 * sum(culprit.values()), "most requests of the client are not refused: {0}".format(culprit))
    scene.claim(sum(others.values()) > 20 and set(others) == {"200"}, "others lost something: {0}".format(others))


def _enforce(scene: Scene, lifetime_s: int) -> float:
    """A limit with its own figures; the moment that it was confirmed."""
    play = scene.play("limit_requests", path="/search", client=CULPRIT, mode="enforce", rate=1, burst=5, watch=2, settle=1, lifetime=lifetime_s)
    scene.claim("confirmed" in play.printed.lower(), "the limit is not confirmed: " + play.printed.strip()[-300:])
    return play.ended or time.monotonic()


def _ends(scene: Scene, crowd: Looker, zones: list[int], confirmed: float, lifetime_s: int) -> None:
    """With nobody connected the lifetime ends, the file goes and nginx loads what it had."""
    scene.claim(_hosts.left_alone(scene.host), "somebody is connected to the host still")
    gone = "test ! -e /etc/nginx/conf.d/{0}; echo $?".format(shlex.quote(FILE))
    scene.claim(_hosts.inside(scene.host, gone).strip() == "1", "the limit is gone before its time")
    _measure.until(lambda: _hosts.inside(scene.host, gone).strip() == "0", lifetime_s + 60, "the limit is gone")
    ended = time.monotonic()
    late_s = ended - confirmed - lifetime_s
    scene.figures.update(lifetime_s=lifetime_s, taken_away_after_s=round(ended - confirmed, 1))
    scene.claim(-3 <= late_s <= 10, "taken away {0:.0f} s after the {1} s that it was confirmed for".format(late_s, lifetime_s))
    time.sleep(8)
    scene.claim(not _hosts.connected(scene.host), "somebody connected meanwhile")
    scene.claim(_measure.shared_zones(scene.on) == zones, "nginx has not the zones from before")
    after = _answers(crowd.rows(), "culprit", ended + 4)
    scene.figures["culprit_after_the_end"] = after
    scene.claim("429" not in after and bool(after), "refused after the end: {0}".format(after))
    scene.same_files("the end of the lifetime")
    crowd.stop()


def limit_lifetime(scene: Scene) -> None:
    """A confirmed limit is taken away by the host at the end of its lifetime."""
    _site(scene)
    crowd = _crowd(scene, 0.001, 420)
    scene.note()
    zones = _measure.shared_zones(scene.on)
    lifetime_s = 45
    confirmed = _enforce(scene, lifetime_s)
    time.sleep(10)
    rows = crowd.rows()
    scene.figures.update(culprit=_answers(rows, "culprit", confirmed, confirmed + 8), others=_answers(rows, "others", confirmed - 20, confirmed + 8))
    _claim_refused(scene)
    _ends(scene, crowd, zones, confirmed, lifetime_s)


def limit_reboot(scene: Scene) -> None:
    """A confirmed limit is in force again after a power failure, and ends with its lifetime all the same."""
    _site(scene)
    # for a moment: what the crowd itself leaves on the host is there before and after
    _crowd(scene, 0.001, 1)
    scene.note()
    zones = _measure.shared_zones(scene.on)
    lifetime_s = 180
    confirmed = _enforce(scene, lifetime_s)
    _hosts.reboot(scene.host)
    scene.figures["rebooted_after_s"] = round(time.monotonic() - confirmed, 1)
    _measure.until(lambda: _hosts.inside(scene.host, "systemctl is-active nginx.service").strip() == "active", 60, "nginx runs")
    crowd = _crowd(scene, 0.001, 420)
    began = time.monotonic()
    time.sleep(15)
    scene.figures.update(culprit=_answers(crowd.rows(), "culprit", began + 5, began + 14), others=_answers(crowd.rows(), "others", began + 5, began + 14))
    scene.claim(scene.figures["culprit"].get("429", 0) > 0, "nobody is refused after the boot: {0}".format(scene.figures["culprit"]))
    _ends(scene, crowd, zones, confirmed, lifetime_s)
