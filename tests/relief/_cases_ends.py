# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Cases of changes that nobody confirms: the host reboots, the operator's machine goes, the probe speaks against it."""

from __future__ import annotations

import time

import _hosts
import _measure
from _causes import STEPS
from _play import Play
from _scene import Scene

UNIT, PORT, SITE_PORT, BAD_PORT = "orchard-web.service", 23100, 8081, 8082


def _busy_web(scene: Scene) -> None:
    """Eight workers that also come up at boot, with load."""
    STEPS["gunicorn"](scene.on, {"unit": UNIT, "workers": 8, "port": PORT, "release": "debian", "style": "flags"})
    scene.on.sh("systemctl enable --quiet " + UNIT)
    STEPS["nginx"](scene.on, {"name": "relief", "port": SITE_PORT, "upstream": PORT, "format": "combined_like"})
    STEPS["load"](scene.on, {"unit": "relief-load.service", "for_s": 900, "groups": [
        {"clients": 4, "rate_per_s": 2.0, "urls": ["http://127.0.0.1:{0}/busy?sleep=0.2".format(SITE_PORT)]}]})
    scene.watch(UNIT, "gunicorn")
    scene.probe("/busy?sleep=0.2", SITE_PORT)
    scene.begin()
    scene.figures["workers_target"] = 4


def _applied(scene: Scene, play: Play) -> float:
    """Wait until the change is made and waits to be confirmed."""
    _measure.until(lambda: "undone by the host in" in play.printed or play.child.poll() is not None, 120, "the change is made")
    scene.claim(play.child.poll() is None, "the playbook ended before it could be interrupted: " + play.printed.strip()[-300:])
    scene.claim(scene.looks()[-1]["workers"] == 4, "{0} workers when the change was made".format(scene.looks()[-1]["workers"]))
    changed = scene.changed_files()
    scene.figures["paths_changed"] = changed
    scene.claim(bool(changed), "no file was written")
    return time.monotonic()


def _status(scene: Scene, words: str) -> None:
    play = scene.play("status")
    said = [line.strip() for line in play.printed.splitlines() if UNIT in line and line.startswith((scene.host, " "))]
    scene.figures["status_says"] = said[:2]
    scene.claim(any(words in line for line in said), "status does not say {0}: {1}".format(words, said or play.printed.strip()[-300:]))


def reboot_before_confirm(scene: Scene) -> None:
    """The host loses power between the change and its confirmation."""
    _busy_web(scene)
    play = scene.start("lower_workers", service=UNIT, workers=4, settle=90)
    _applied(scene, play)
    time.sleep(1)
    started = time.monotonic()
    _hosts.reboot(scene.host)
    scene.figures["reboot_s"] = round(time.monotonic() - started, 1)
    play.kill()
    scene.watch(UNIT, "gunicorn")
    scene.old(what="the reboot")
    ended = time.monotonic()
    bad = [probe for probe in scene.probes() if probe["status"] != 200 and started < probe["t"]]
    scene.figures["no_answer_for_s"] = round(bad[-1]["t"] - bad[0]["t"], 1) if bad else 0.0
    # Nginx and the service start side by side: what counts is that it answers once it is up.
    scene.no_failure(ended - 4, "once_up", ended)
    _status(scene, "UNDONE")


def operator_gone(scene: Scene) -> None:
    """The run is killed with SIGKILL after the change was made; the host has twenty seconds."""
    _busy_web(scene)
    play = scene.start("lower_workers", service=UNIT, workers=4, settle=90, confirm_within=20)
    _applied(scene, play)
    killed = play.kill()
    lowered = _measure.first_at_most(scene.looks(), 4, play.started)
    scene.claim(lowered is not None, "never down to 4 workers")
    _measure.until(lambda: scene.looks()[-1]["workers"] == 8, 90, "8 workers again with nobody to tell the host")
    back = next((look["t"] for look in scene.looks() if look["t"] > killed and look["workers"] > 4), 0.0)
    full = next((look["t"] for look in scene.looks() if look["t"] > killed and look["workers"] == 8), 0.0)
    scene.figures.update(undo_began_after_kill_s=round(back - killed, 1), whole_after_kill_s=round(full - killed, 1))
    # Twenty seconds from the change, which is a little before the kill, and five for the undo to begin.
    scene.claim(back - killed <= 25.0, "the undo began {0:.0f} s after the run was killed".format(back - killed))
    scene.old(what="the host's own undo")
    scene.no_failure(play.started, "from_start_on")
    _status(scene, "UNDONE")


def probe_says_no(scene: Scene) -> None:
    """What the operator named as the probe answers 500: the change is undone at once, and the run says so."""
    scene.on.write("/etc/nginx/sites-enabled/bad.conf", "server {{ listen 127.0.0.1:{0}; location / {{ return 500; }} }}\n".format(BAD_PORT))
    _busy_web(scene)
    play = scene.start("lower_workers", service=UNIT, workers=4, probe_url="http://127.0.0.1:{0}/".format(BAD_PORT))
    status = play.wait()
    ended = play.ended or 0.0
    scene.figures["playbook_status"] = status
    scene.figures["playbook_s"] = {"lower_workers": round(ended - play.started, 1)}
    scene.claim(status != 0, "the run ended with status 0")
    scene.says(play, "undone")
    low = [look["t"] for look in scene.looks() if look["workers"] == 4]
    scene.claim(bool(low), "never down to 4 workers")
    scene.claim(scene.looks()[-1]["workers"] == 8, "{0} workers when the run had ended".format(scene.looks()[-1]["workers"]))
    scene.figures["lowered_for_s"] = round(max(low) - min(low), 1) if low else None
    scene.old(what="the failed confirmation")
    scene.no_failure(play.started, "from_start_on")
    _status(scene, "UNDONE")
