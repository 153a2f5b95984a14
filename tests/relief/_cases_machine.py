# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The same on a whole machine with cgroup v2, where systemd by default ends a unit at the first kill in it and starts it anew."""

from __future__ import annotations

import time
from typing import Callable

import _judge
import _measure
from _causes import STEPS, UNIT, _start_unit
from _machine_host import OUTSIDE_PORT, SITE_PORT, gateway
from _scene import Scene


def gunicorn_memory(policy: str) -> Callable[[Scene], None]:
    """Eight workers over MemoryMax; `policy` is the unit's OOMPolicy: continue (the master replaces what was killed) or stop."""

    def case(scene: Scene) -> None:
        unit, port, each_mib = "orchard-web.service", 23100, 40
        settings = "MemoryMax={0}M\nOOMPolicy={1}".format(8 * (each_mib + 24) * 80 // 100 + 20, policy)
        start = "/usr/bin/gunicorn --bind 127.0.0.1:{0} --workers 8 --timeout 120 web:app".format(port)
        STEPS["nginx"](scene.on, {"name": "relief", "port": SITE_PORT, "upstream": port, "format": "combined_like"})
        _start_unit(scene.on, unit, UNIT.format(unit=unit, settings=settings, start=start, restart_s=5))
        scene.watch(unit, "gunicorn")
        scene.probe("/probe?sleep=0.1", OUTSIDE_PORT, at=gateway())
        _measure.until(lambda: scene.looks()[-1]["workers"] == 8 if scene.looks() else False, 120, "eight workers")
        time.sleep(20)
        STEPS["load"](scene.on, {"unit": "relief-load.service", "for_s": 900, "groups": [
            {"clients": 8, "rate_per_s": 0.5, "urls": ["http://127.0.0.1:{0}/catalogue?fill={1}&sleep=0.1".format(port, each_mib)]}]})
        _measure.until(lambda: len(_judge.kill_times(scene.looks())) >= 2, 180, "the kernel kills")
        scene.begin()
        scene.figures["workers_before"] = 8
        play = scene.play("stabilize")
        scene.figures["said"] = play.block(scene.host)
        time.sleep(max(0.0, 95.0 - (time.monotonic() - play.started)))
        lowered = scene.lowered(play)
        scene.kills_stop(play)
        scene.not_by_the_action(play, lowered)
        scene.rollback()

    return case
