# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Cases of celery and rq: relief from kills, pools that are told to shrink, workers of supervisor; no job is lost."""

from __future__ import annotations

import json
import shlex
import time

import _incidents
import _measure
from _causes import STEPS, UNIT, Host
from _common import ROOT
from _scene import Scene

CELERY = "celery -A tasks"
NOTHING = {"before_s": 0, "fill_mib": 0, "sleep_s": 0.2, "burn_s": 0}

COUNT_JOBS = """import json, sys
from redis import Redis
from rq.registry import FailedJobRegistry, FinishedJobRegistry, StartedJobRegistry
from rq import Queue
link = Redis.from_url(sys.argv[1])
print(json.dumps({"waiting": len(Queue(sys.argv[2], connection=link)), "failed": FailedJobRegistry(sys.argv[2], connection=link).count,
                  "finished": FinishedJobRegistry(sys.argv[2], connection=link).count, "started": StartedJobRegistry(sys.argv[2], connection=link).count}))
"""
GIVE_JOBS = """import sys
from redis import Redis
from rq import Queue
queue = Queue(sys.argv[2], connection=Redis.from_url(sys.argv[1]))
for number in range(int(sys.argv[3])):
    queue.enqueue("mails.mail", sleep_s=float(sys.argv[4]), result_ttl=3600)
"""


def celery_memory_busy(scene: Scene) -> None:
    """Every child is busy and too large: the number is written, and the restart that the product proposes is run."""
    incident = _incidents.drawn("celery_children_memory", next(seed for seed in range(1000) if _unit_is_plain(seed)))
    values = incident["values"]
    _incidents.cause(incident, scene.host)
    scene.watch(values["unit"], CELERY)
    scene.begin(quiet_s=10.0)
    scene.figures["workers_before"] = values["children"]
    play = scene.lower()
    scene.figures["said"] = play.block(scene.host)
    restart = None
    if (ROOT / "playbooks" / "restart_service.yml").exists():
        scene.says(play, "restart_service")
        restart = scene.play("restart_service", service=scene.service)
    else:
        scene.claim(False, "there is no playbook restart_service yet, and nothing else relieves a busy pool")
    time.sleep(max(0.0, 95.0 - (time.monotonic() - play.started)))
    scene.lowered(play)
    scene.kills_stop(play)
    if restart is not None:
        # A task of this incident takes six seconds and more.
        time.sleep(max(0.0, 30.0 - (time.monotonic() - (restart.ended or 0))))
        scene.figures["tasks_succeeded_since"] = _succeeded(scene.on, values["unit"], int(time.monotonic() - (restart.ended or 0)))
        scene.claim(scene.figures["tasks_succeeded_since"] > 0, "no task was done after the relief")
    play = scene.play("rollback")
    scene.says(play, "UNDONE")
    scene.same_files("rollback")
    # What runs was restarted with fewer children and stays so until it is restarted again: the files say the former number.
    scene.on.sh("systemctl restart " + shlex.quote(values["unit"]))
    scene.old(what="rollback and a restart")


def _unit_is_plain(seed: int) -> bool:
    return "@" not in _incidents.drawn("celery_children_memory", seed)["values"]["unit"]


def _succeeded(host: Host, unit: str, since_s: int) -> int:
    return int(host.sh("journalctl -u {0} --no-pager -o cat --since '-{1}s' | grep -c ' succeeded in ' || true".format(shlex.quote(unit), since_s)).strip())


def celery_idle(scene: Scene) -> None:
    """Six children with hardly anything to do; the operator asks for two: the pool is told to shrink, no task is lost."""
    unit, database, queue = "orchard-jobs.service", 9, "parcels"
    STEPS["celery"](scene.on, {"unit": unit, "children": 6, "queue": queue, "db": database, "release": "pypi"})
    scene.watch(unit, CELERY)
    scene.begin()
    play = scene.start("lower_workers", service=unit, workers=2)
    given = 0
    while play.child.poll() is None:
        STEPS["enqueue"](scene.on, {"db": database, "queue": queue, "count": 1, "job": NOTHING})
        given += 1
        time.sleep(0.5)
    status = play.wait()
    scene.figures["playbook_s"] = {"lower_workers": round((play.ended or 0) - play.started, 1)}
    scene.claim(status == 0, "lower_workers ended with status {0}: {1}".format(status, play.printed.strip()[-300:]))
    scene.figures["said"] = play.block(scene.host)
    scene.lowered(play, to=2)
    _tasks(scene, given, lambda: _succeeded(scene.on, unit, 900))
    scene.rollback()


def celery_supervisor(scene: Scene) -> None:
    """Four children of a program of supervisor; the operator asks for two."""
    path = "/etc/supervisor/conf.d/shop-jobs.conf"
    scene.on.sh("sed -i 's/ -c 2 / -c 4 /' {0}; supervisorctl update >/dev/null".format(path))
    scene.watch("supervisor.service", CELERY, service="supervisor:shop-jobs")
    _measure.until(lambda: (scene.watcher.last() if scene.watcher else {}).get("workers") == 4, 60, "four children")
    _measure.until(lambda: "ready." in scene.on.sh("cat /var/log/supervisor/shop-jobs-std*"), 60, "celery is ready")
    scene.begin()
    play = scene.lower(workers=2)
    scene.figures["said"] = play.block(scene.host)
    scene.lowered(play, to=2)
    scene.figures["file_says"] = scene.on.sh("grep ^command= " + path).strip()
    scene.claim(" -c 2 " in scene.figures["file_says"], "the program's file does not say two")
    STEPS["enqueue"](scene.on, {"db": 1, "queue": "reports", "count": 20, "job": NOTHING})
    _tasks(scene, 20, lambda: int(scene.on.sh("cat /var/log/supervisor/shop-jobs-std* | grep -c ' succeeded in ' || true").strip()))
    scene.rollback()


def _tasks(scene: Scene, given: int, done) -> None:
    until = time.monotonic() + 30
    while done() < given and time.monotonic() < until:
        time.sleep(1)
    scene.figures.update(tasks_given=given, tasks_done=done())
    scene.claim(scene.figures["tasks_done"] == given and given > 0, "{0} of {1} tasks were done".format(scene.figures["tasks_done"], given))


def _jobs(host: Host, queue: str) -> dict[str, int]:
    return json.loads(host.sh("/usr/bin/python3 -c {0} redis://127.0.0.1:6379/3 {1}".format(shlex.quote(COUNT_JOBS), queue)))


def _rq(scene: Scene, given: int, queue: str) -> None:
    """Lower four rq workers that have work to do to two; each job is done once."""
    scene.on.sh("cd /srv/shop && /usr/bin/python3 -c {0} redis://127.0.0.1:6379/3 {1} {2} 1.5".format(shlex.quote(GIVE_JOBS), queue, given))
    time.sleep(3)
    play = scene.lower(workers=2)
    scene.figures["said"] = play.block(scene.host)
    scene.claim("its files ask for 1" not in play.printed, "it says that its files ask for one worker, and they ask for four")
    scene.lowered(play, to=2)
    _tasks(scene, given, lambda: _jobs(scene.on, queue)["finished"])
    scene.figures["jobs"] = _jobs(scene.on, queue)
    scene.claim(scene.figures["jobs"]["failed"] == 0, "jobs failed: {0}".format(scene.figures["jobs"]))
    scene.rollback()


def rq_supervisor(scene: Scene) -> None:
    """Four processes of one program of supervisor, with work to do; the operator asks for two."""
    scene.on.write("/etc/supervisor/conf.d/parcels.conf", "[program:parcels]\ncommand=/usr/bin/rq worker --url redis://127.0.0.1:6379/3 parcels\n"
                   "process_name=%(program_name)s_%(process_num)02d\nnumprocs=4\ndirectory=/srv/shop\nuser=www-data\n"
                   "environment=PYTHONPATH=\"/srv/shop\"\nautorestart=true\nstopwaitsecs=60\n")
    scene.on.sh("supervisorctl update >/dev/null")
    scene.watch("supervisor.service", "/usr/bin/rq worker", kind="mains", service="supervisor:parcels")
    _measure.until(lambda: (scene.watcher.last() if scene.watcher else {}).get("workers") == 4, 60, "four workers")
    time.sleep(5)
    scene.begin()
    _rq(scene, 40, "parcels")


def rq_template(scene: Scene) -> None:
    """Four instances of a template unit, with work to do; the operator asks for two."""
    text = UNIT.format(unit="parcels %i", settings="Environment=PYTHONPATH=/srv/shop\nTimeoutStopSec=60",
                       start="/usr/bin/rq worker --url redis://127.0.0.1:6379/3 parcels", restart_s=2)
    scene.on.write("/etc/systemd/system/parcels@.service", text)
    scene.on.sh("systemctl daemon-reload; systemctl enable --quiet --now parcels@1 parcels@2 parcels@3 parcels@4")
    scene.watch("system-parcels.slice", "/usr/bin/rq worker", kind="mains", service="parcels@1.service")
    _measure.until(lambda: (scene.watcher.last() if scene.watcher else {}).get("workers") == 4, 60, "four workers")
    time.sleep(5)
    scene.begin()
    _rq(scene, 40, "parcels")


def rq_pool(scene: Scene) -> None:
    """A worker-pool takes no number while it runs: nothing is told to it, the number is written, the restart is proposed."""
    scene.watch("shop-mails.service", "rq worker-pool")
    scene.begin()
    ids = scene.looks()[-1]["ids"]
    play = scene.play("lower_workers", service="shop-mails.service", workers=1)
    scene.figures["said"] = play.block(scene.host)
    scene.says(play, "next start:")
    scene.says(play, "restart_service")
    scene.claim(scene.looks()[-1]["ids"] == ids, "its workers are not the same any more")
    scene.figures["paths_changed"] = scene.changed_files()
    scene.rollback()
