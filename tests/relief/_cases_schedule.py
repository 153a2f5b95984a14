# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Cases of cron and timers: a job that overlaps itself, a timer whose service keeps a processor busy; paused, clear, resumed with nobody connected.

Every run of a job writes a line when it starts, to a file that only it knows: what counts is whether it ran.
"""

from __future__ import annotations

import shlex
import time

import _hosts
import _measure
from _common import LabError
from _play import Play
from _scene import Scene

TAB = "/etc/cron.d/orchard"
STARTS = "/var/tmp/orchard-starts"
TIMER, SERVICE = "orchard-report.timer", "orchard-report.service"
# Starts are marked, then a processor is kept busy for so many seconds of wall clock.
WORK = ("import time; open('{0}', 'a').write('%d\\n' % time.time()); until = time.monotonic() + {1}\n"
        "while time.monotonic() < until: sum(range(9999))\n")


def _job(scene: Scene, for_s: int) -> None:
    scene.on.write("/usr/local/lib/orchard.py", WORK.format(STARTS, for_s))


def _cron(scene: Scene, for_s: int) -> str:
    """A crontab of three lines, one of them a job of every minute; its id."""
    _job(scene, for_s)
    lines = ["# orchard \xe9\r", "MAILTO=\"\"", "* * * * *\troot /usr/bin/python3 /usr/local/lib/orchard.py %gone", "5 4 * * * root /bin/true ", ""]
    scene.on.write(TAB, "\n".join(lines).encode("latin-1"))
    scene.on.sh("systemctl enable --quiet cron.service; systemctl start cron.service")
    return TAB + ":3"


def _timer(scene: Scene, for_s: int) -> None:
    """A timer whose service runs all the time but for a second, and that comes up at a boot."""
    _job(scene, for_s)
    scene.on.write("/etc/systemd/system/" + SERVICE, "[Service]\nType=oneshot\nExecStart=/usr/bin/python3 /usr/local/lib/orchard.py\n")
    scene.on.write("/etc/systemd/system/" + TIMER, "[Timer]\nOnActiveSec=1\nOnUnitInactiveSec=1\nAccuracySec=100ms\n[Install]\nWantedBy=timers.target\n")
    scene.on.sh("systemctl daemon-reload; systemctl enable --quiet --now " + TIMER)


def _starts(scene: Scene) -> list[int]:
    return [int(word) for word in _hosts.inside(scene.host, "cat {0} 2>/dev/null".format(STARTS)).split()]


def _running(scene: Scene) -> int:
    return int(_hosts.inside(scene.host, "pgrep -fc '^/usr/bin/python3 /usr/local/lib/orchard.py'") or 0)


def _confirmed(scene: Scene, play: Play) -> float:
    """When the pause was confirmed: the playbook's last act but one, a moment before its end."""
    scene.claim("confirmed" in play.printed.lower(), "the pause is not confirmed: " + play.printed.strip()[-300:])
    return play.ended or time.monotonic()


def _resumed(scene: Scene, confirmed: float, lifetime_s: int, back: str) -> None:
    """With nobody connected the lifetime ends and the job runs again; ``back`` says 0 on the host once the pause is gone."""
    scene.claim(_hosts.left_alone(scene.host), "somebody is connected to the host still")
    quiet = [start for start in _starts(scene) if start > time.time() - (time.monotonic() - confirmed) + 1]
    scene.claim(not quiet, "the job was started while it was paused: {0}".format(quiet))
    count = len(_starts(scene))
    _measure.until(lambda: _hosts.inside(scene.host, back + " >/dev/null 2>&1; echo $?").strip() == "0", lifetime_s + 90, "the pause is gone")
    gone = time.monotonic()
    scene.figures["resumed_after_s"] = round(gone - confirmed, 1)
    scene.figures["lifetime_s"] = lifetime_s
    late_s = gone - confirmed - lifetime_s
    scene.claim(-3 <= late_s <= 15, "resumed {0:.0f} s after the {1} s that it was confirmed for".format(late_s, lifetime_s))
    took = _measure.until(lambda: len(_starts(scene)) > count, 100, "the job runs again")
    scene.figures["ran_again_after_s"] = round(took, 1)
    scene.claim(not _hosts.connected(scene.host), "somebody connected meanwhile")


def _paused_over(scene: Scene, seconds: float, what: str) -> None:
    """Nothing starts for so long."""
    count = len(_starts(scene))
    time.sleep(seconds)
    scene.figures["not_started_for_s"] = seconds
    scene.claim(len(_starts(scene)) == count, "the job was started {0}".format(what))


def cron_overlap(scene: Scene) -> None:
    """A job of every minute that takes longer than that; the operator runs what the diagnosis says, and lets the runs finish."""
    job = _cron(scene, 130)
    _measure.until(lambda: _running(scene) >= 2, 150, "two runs at once")
    scene.note()
    time.sleep(5)
    scene.figures["cpu_before_pct"] = _measure.cpu_pct(scene.on, 5)
    advised = scene.advised(scene.diagnose(), "jobs.overlap", "pause_jobs")
    scene.claim(advised == {"job": job}, "it is to be {0}, not {1}".format(advised, job))
    runs, lifetime_s = _running(scene), 240
    play = scene.play("pause_jobs", lifetime=lifetime_s, settle=1, **advised)
    confirmed = _confirmed(scene, play)
    scene.says(play, "runs now")
    scene.figures["runs_when_paused"] = runs
    scene.claim(_running(scene) >= 1 or runs == 0, "a run was ended")
    scene.figures["paths_changed"] = scene.changed_files()
    scene.claim(scene.figures["paths_changed"] == [TAB] or TAB in scene.figures["paths_changed"], "the crontab is as it was")
    scene.figures["finished_after_s"] = round(_measure.until(lambda: _running(scene) == 0, 200, "what runs has finished"), 1)
    scene.figures["cpu_after_pct"] = _measure.cpu_pct(scene.on, 5)
    scene.cleared()
    _resumed(scene, confirmed, lifetime_s, "grep -q '^[*] [*]' " + TAB)
    scene.same_files("the end of the lifetime")


def cron_reboot(scene: Scene) -> None:
    """A paused job stays paused over a power failure within its lifetime, and is resumed at its end."""
    job = _cron(scene, 1)
    _measure.until(lambda: len(_starts(scene)) >= 1, 90, "the job runs")
    scene.note()
    lifetime_s = 210
    confirmed = _confirmed(scene, scene.play("pause_jobs", job=job, lifetime=lifetime_s, settle=1))
    _hosts.reboot(scene.host)
    scene.figures["rebooted_after_s"] = round(time.monotonic() - confirmed, 1)
    scene.claim(_hosts.inside(scene.host, "systemctl is-active cron.service").strip() == "active", "cron does not run after the boot")
    _paused_over(scene, 65, "after the boot, while it was paused")
    _resumed(scene, confirmed, lifetime_s, "grep -q '^[*] [*]' " + TAB)
    scene.same_files("the reboot and the end of the lifetime")


def timer_busy(scene: Scene) -> None:
    """A timer's service uses a whole processor; paused, and what runs is stopped; then resumed by the host, and once more by a rollback."""
    _timer(scene, 120)
    _measure.until(lambda: _running(scene) >= 1, 60, "its service runs")
    scene.note()
    time.sleep(5)
    scene.figures["cpu_before_pct"] = _measure.cpu_pct(scene.on, 5)
    advised = scene.advised(scene.diagnose(), "job.dominates", "pause_jobs")
    scene.claim(advised == {"job": TIMER}, "it is to be {0}, not {1}".format(advised, TIMER))
    lifetime_s = 75
    play = scene.play("pause_jobs", lifetime=lifetime_s, settle=1, stop_running=True, **advised)
    confirmed = _confirmed(scene, play)
    scene.says(play, "ended, and what it had done is lost")
    scene.claim(_running(scene) == 0, "its service runs still")
    scene.claim(scene.on.sh("systemctl is-active {0} || true".format(TIMER)).strip() == "inactive", "the timer waits still")
    # the manager itself must be kept from starting it, not only be asked not to
    scene.on.sh("systemctl start {0} || true".format(TIMER), check=False)
    scene.claim(scene.on.sh("systemctl is-active {0} || true".format(TIMER)).strip() == "inactive", "the paused timer can be started")
    scene.figures["cpu_after_pct"] = _measure.cpu_pct(scene.on, 5)
    scene.cleared()
    _resumed(scene, confirmed, lifetime_s, "systemctl is-active " + TIMER)
    scene.same_files("the end of the lifetime")
    _confirmed(scene, scene.play("pause_jobs", job=TIMER, settle=1, cool_down=0))
    scene.claim(scene.on.sh("systemctl is-active {0} || true".format(TIMER)).strip() == "inactive", "the timer waits still")
    scene.says(scene.play("rollback"), "UNDONE")
    scene.claim(scene.on.sh("systemctl is-active {0} || true".format(TIMER)).strip() == "active", "the timer does not wait after the rollback")
    scene.same_files("rollback")


def timer_reboot(scene: Scene) -> None:
    """A paused timer that is enabled does not come up with a boot within its lifetime, and does at its end."""
    _timer(scene, 2)
    _measure.until(lambda: len(_starts(scene)) >= 2, 60, "its service runs")
    scene.note()
    lifetime_s = 150
    confirmed = _confirmed(scene, scene.play("pause_jobs", job=TIMER, lifetime=lifetime_s, settle=1))
    time.sleep(3)
    _hosts.reboot(scene.host)
    scene.figures["rebooted_after_s"] = round(time.monotonic() - confirmed, 1)
    state = _hosts.inside(scene.host, "systemctl is-enabled {0}; systemctl is-active {0}".format(TIMER)).split()
    scene.claim(state == ["enabled", "inactive"], "after the boot the timer is " + " and ".join(state))
    _paused_over(scene, 15, "after the boot, while it was paused")
    _resumed(scene, confirmed, lifetime_s, "systemctl is-active " + TIMER)
    scene.same_files("the reboot and the end of the lifetime")


def timer_unconfirmed_reboot(scene: Scene) -> None:
    """The host loses power before the pause of a timer was confirmed: it is undone at the boot, and the timer comes up with it."""
    _timer(scene, 2)
    _measure.until(lambda: len(_starts(scene)) >= 2, 60, "its service runs")
    scene.note()
    play = scene.start("pause_jobs", job=TIMER, settle=90)
    _measure.until(lambda: "undone by the host in" in play.printed or play.child.poll() is not None, 120, "the change is made")
    if play.child.poll() is not None:
        raise LabError("the playbook ended before the power failed: " + play.printed.strip()[-300:])
    scene.claim(scene.on.sh("systemctl is-active {0} || true".format(shlex.quote(TIMER))).strip() == "inactive", "the timer waits still")
    _hosts.reboot(scene.host)
    play.kill()
    count = len(_starts(scene))
    scene.claim(_hosts.inside(scene.host, "systemctl is-active " + TIMER).strip() == "active", "the timer does not wait after the boot")
    scene.figures["ran_again_after_s"] = round(_measure.until(lambda: len(_starts(scene)) > count, 60, "the job runs again"), 1)
    scene.same_files("the boot")
