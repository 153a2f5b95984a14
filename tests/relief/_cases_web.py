# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Cases of web services: relief from kills, lowering without a lost request, masters that must not be told."""

from __future__ import annotations

import time
from typing import Any, Callable

import _incidents
import _judge
import _measure
from _causes import STEPS, UNIT, Host, _start_unit
from _measure import Looker
from _scene import Scene

SITE_PORT = 8081
BUSY = "/busy?sleep=0.2"


def _site(host: Host, upstream: int) -> None:
    STEPS["nginx"](host, {"name": "relief", "port": SITE_PORT, "upstream": upstream, "format": "combined_like"})


def _load(host: Host, port: int, clients: int, rate_per_s: float, path: str) -> None:
    STEPS["load"](host, {"unit": "relief-load.service", "for_s": 900,
                         "groups": [{"clients": clients, "rate_per_s": rate_per_s, "urls": ["http://127.0.0.1:{0}{1}".format(port, path)]}]})


def _bad_answers(host: Host) -> int:
    """Of all requests through nginx, also those of the load: answers that are not 200."""
    return int(host.sh("awk '$9 != 200' /var/log/nginx/relief.log | wc -l").strip())


def gunicorn_memory(release: str, style: str) -> Callable[[Scene], None]:
    """Eight workers in a unit whose MemoryMax they exceed; the operator runs stabilize."""

    def case(scene: Scene) -> None:
        seed = next(seed for seed in range(1000) if _matches(seed, release, style))
        incident = _incidents.drawn("gunicorn_workers_memory", seed)
        values = incident["values"]
        _site(scene.on, values["port"])
        _incidents.cause(incident, scene.host)
        scene.watch(values["unit"], "gunicorn")
        scene.probe("/probe?sleep=0.1", SITE_PORT)
        scene.begin(quiet_s=15.0)
        scene.figures["workers_before"] = 8
        play = scene.play("stabilize")
        scene.says(play, values["unit"])
        time.sleep(max(0.0, 95.0 - (time.monotonic() - play.started)))
        lowered = scene.lowered(play)
        scene.kills_stop(play)
        scene.not_by_the_action(play, lowered)
        scene.rollback()

    return case


def _matches(seed: int, release: str, style: str) -> bool:
    values = _incidents.drawn("gunicorn_workers_memory", seed)["values"]
    return values["release"] == release and values["style"] == style and "@" not in values["unit"]


def gunicorn_by_hand(release: str, style: str) -> Callable[[Scene], None]:
    """Eight healthy busy workers, none killed; the operator asks for four."""

    def case(scene: Scene) -> None:
        unit, port = "orchard-web.service", 23100
        STEPS["gunicorn"](scene.on, {"unit": unit, "workers": 8, "port": port, "release": release, "style": style})
        _site(scene.on, port)
        _load(scene.on, SITE_PORT, 6, 2.0, BUSY)
        scene.watch(unit, "gunicorn")
        scene.probe(BUSY, SITE_PORT)
        scene.begin()
        play = scene.lower(workers=4)
        scene.lowered(play, to=4)
        time.sleep(5)
        scene.no_failure(play.started, "from_start_on")
        scene.rollback()
        scene.no_failure(play.started, "to_the_end", time.monotonic() - 1)
        scene.figures["bad_answers_of_all_in_nginx_log"] = _bad_answers(scene.on)
        scene.claim(scene.figures["bad_answers_of_all_in_nginx_log"] == 0, "nginx answered some request of the load with an error")
        scene.claim(not _judge.kill_times(scene.looks()), "the kernel killed something: not this case")

    return case


def _uvicorn(host: Host, unit: str, port: int, program: str, workers: int) -> None:
    start = "{0} --host 127.0.0.1 --port {1} --workers {2} api:app".format(program, port, workers)
    _start_unit(host, unit, UNIT.format(unit=unit, settings="", start=start, restart_s=2))
    _site(host, port)
    _measure.until(lambda: _answers(host), 60, unit + " answers")


def _answers(host: Host) -> bool:
    command = "import urllib.request as u; u.urlopen('http://127.0.0.1:{0}/', timeout=20).read()".format(SITE_PORT)
    return host.sh("python3 -c \"{0}\" 2>/dev/null && echo yes || true".format(command)).strip() == "yes"


def uvicorn_new(scene: Scene) -> None:
    """A release that catches SIGTTOU, four workers; the operator asks for two."""
    unit = "orchard-api.service"
    _uvicorn(scene.on, unit, 23200, "/srv/venv/bin/uvicorn", 4)
    # What nginx answered while the service was still starting is not the action's.
    scene.on.sh(": > /var/log/nginx/relief.log")
    _load(scene.on, SITE_PORT, 6, 2.0, BUSY)
    scene.watch(unit, "uvicorn")
    scene.probe(BUSY, SITE_PORT)
    scene.begin()
    play = scene.lower(workers=2)
    scene.lowered(play, to=2)
    time.sleep(5)
    scene.no_failure(play.started, "from_start_on")
    scene.rollback()
    scene.no_failure(play.started, "to_the_end", time.monotonic() - 1)
    scene.figures["bad_answers_of_all_in_nginx_log"] = _bad_answers(scene.on)
    scene.claim(scene.figures["bad_answers_of_all_in_nginx_log"] == 0, "nginx answered some request of the load with an error")


SIGTTOU = 22


def _catches(look: dict[str, Any], number: int) -> bool:
    return bool(int(look["caught"] or "0", 16) >> (number - 1) & 1)


def uvicorn_old(scene: Scene) -> None:
    """Debian's uvicorn does not catch SIGTTOU. A tracer sees every signal that the kernel hands its master; none may be that one."""
    unit = "orchard-api.service"
    _uvicorn(scene.on, unit, 23200, "/usr/bin/uvicorn", 3)
    scene.figures["release"] = scene.on.sh("/usr/bin/uvicorn --version").split()[2]
    scene.watch(unit, "uvicorn")
    scene.probe(BUSY, SITE_PORT)
    scene.begin()
    main = scene.looks()[-1]["main"]
    scene.figures["master_catches_sigttou"] = _catches(scene.looks()[-1], SIGTTOU)
    scene.claim(not scene.figures["master_catches_sigttou"], "this release catches SIGTTOU: not this case")
    tracer = Looker(scene.host, "signals", "signals.py", str(main))
    _measure.until(lambda: bool(tracer.last() or tracer.rows()), 10, "the tracer has the master")
    play = scene.lower(workers=1)
    scene.says(play, "does not catch SIGTTOU")
    scene.says(play, "so it is not sent")
    scene.says(play, "next start:")
    scene.says(play, "left to do: it still runs 3")
    scene.says(play, "oncall.pressure.restart_service")
    recycling = scene.start("recycle_workers", service=unit, max_requests=1000)
    scene.figures["recycle_workers_status"] = recycling.wait()
    scene.claim(scene.figures["recycle_workers_status"] != 0 and "never starts a worker again" in recycling.printed,
                "recycle_workers does not refuse: " + recycling.printed.strip()[-300:])
    scene.no_failure(play.started, "from_start_on")
    scene.figures["paths_changed"] = scene.changed_files()
    scene.rollback()
    looks = scene.looks()
    scene.figures["looks_at_the_master"] = len(looks)
    states = sorted({look["state"] for look in looks if look["state"] and look["t"] < time.monotonic()})
    scene.figures["states_seen"] = states
    scene.claim("T" not in states, "the master was stopped: {0}".format(states))
    scene.claim({look["main"] for look in looks} == {main}, "the master is not the same any more")
    seen = [row["signal"] for row in tracer.rows() if "signal" in row]
    scene.figures["signals_to_the_master"] = {str(number): seen.count(number) for number in sorted(set(seen))}
    scene.claim(SIGTTOU not in seen, "SIGTTOU was sent")
    # The proof of the proof: one that is sent is seen.
    scene.on.sh("kill -TTOU {0}".format(main))
    time.sleep(1.0)
    seen = [row["signal"] for row in tracer.stop() if "signal" in row]
    scene.figures["own_sigttou_was_seen"] = SIGTTOU in seen
    scene.claim(SIGTTOU in seen, "the tracer does not see a SIGTTOU that we send ourselves")


def gunicorn_cpu(scene: Scene) -> None:
    """Twelve busy workers on two CPUs; the operator runs stabilize."""
    incident = _incidents.drawn("gunicorn_twelve_busy", next(seed for seed in range(1000) if _incidents.drawn(
        "gunicorn_twelve_busy", seed)["values"]["release"] == "debian" and "@" not in _incidents.drawn("gunicorn_twelve_busy", seed)["values"]["unit"]))
    values = incident["values"]
    _site(scene.on, values["port"])
    _incidents.cause(incident, scene.host)
    scene.watch(values["unit"], "gunicorn")
    scene.probe("/probe", SITE_PORT)
    scene.begin(quiet_s=15.0)
    before = _switches(scene.on)
    play = scene.play("stabilize", settle=20)
    scene.says(play, values["unit"])
    lowered = scene.lowered(play)
    scene.figures["switches_per_s_before"], scene.figures["switches_per_s_after"] = before, _switches(scene.on)
    scene.figures.setdefault("answers", {})["before"] = _measure.slow(_measure.between(scene.probes(), 0, play.started))
    if lowered is not None:
        scene.no_failure(lowered, "after_lowering")
    scene.no_failure(play.started, "from_start_on")
    scene.rollback()


def _switches(host: Host) -> int:
    """Involuntary context switches a second of what listens to the load, over three seconds: how many want a CPU and are put off it."""
    command = ("cd /proc; sum() { cat $(grep -l gunicorn [0-9]*/comm 2>/dev/null | sed 's/comm/status/') 2>/dev/null "
               "| awk '/^nonvoluntary/ {n += $2} END {print n + 0}'; }; a=$(sum); sleep 3; b=$(sum); echo $(( (b - a) / 3 ))")
    return int(host.sh(command).strip())


def growing_worker(scene: Scene) -> None:
    """One worker keeps what it is given; the operator recycles: the largest is retired, no request is lost."""
    unit, port = "orchard-web.service", 23300
    STEPS["gunicorn"](scene.on, {"unit": unit, "workers": 4, "port": port, "release": "debian", "style": "flags"})
    _site(scene.on, port)
    _load(scene.on, SITE_PORT, 4, 2.0, BUSY)
    STEPS["load"](scene.on, {"unit": "relief-grow.service", "of": unit, "for_s": 600, "grow": {
        "url": "http://127.0.0.1:{0}/grow".format(port), "pid": "a worker", "step_mib": 20, "to_mib": 260}})
    scene.watch(unit, "gunicorn")
    scene.probe(BUSY, SITE_PORT)
    _measure.until(lambda: _largest(scene)[1] > 250, 90, "one worker is large")
    scene.begin()
    large, size = _largest(scene)
    scene.figures["largest_mib_before"] = size
    play = scene.play("recycle_workers", service=unit, requests_per_s=13)
    time.sleep(3)
    looks = _measure.between(scene.looks(), play.started, float("inf"))
    gone = [look["t"] for look in looks if large not in look["ids"]]
    scene.figures["largest_gone_after_s"] = round(gone[0] - play.started, 1) if gone else None
    scene.figures["largest_mib_after"] = _largest(scene)[1]
    scene.claim(bool(gone) and scene.figures["largest_mib_after"] < 150, "the largest worker is still there")
    scene.claim(min(look["workers"] for look in looks) >= 3, "more than one worker was gone at a time")
    scene.no_failure(play.started, "from_start_on")
    scene.rollback()


def _largest(scene: Scene) -> tuple[int, int]:
    """(pid, MiB) of the worker with the most resident memory."""
    ids = scene.watcher.last().get("ids", []) if scene.watcher else []
    sizes = []
    for pid in ids:
        text = scene.on.sh("sed -n 's/^VmRSS:[^0-9]*\\([0-9]*\\) kB/\\1/p' /proc/{0}/status 2>/dev/null || true".format(pid)).strip()
        sizes.append((int(text or 0) // 1024, pid))
    return (max(sizes)[1], max(sizes)[0]) if sizes else (0, 0)
