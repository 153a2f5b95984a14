# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What processes are, by the arguments and executables seen on real hosts."""

from __future__ import annotations

import pytest

from ansible_collections.oncall.pressure.plugins.module_utils._components._recognise import HELPER, SPAWNED, Recognised, in_tree, recognise

PYTHON = "/usr/bin/python3.11"

KNOWN = [
    # gunicorn: by script, by module, by title
    (["/srv/venv/bin/python3", "/srv/venv/bin/gunicorn", "-w", "4", "app:app"], PYTHON, "gunicorn", "web", None),
    (["/usr/bin/python3", "/usr/bin/gunicorn3", "app:app"], PYTHON, "gunicorn", "web", None),
    (["python", "-m", "gunicorn", "app:app"], PYTHON, "gunicorn", "web", None),
    (["python", "-um", "gunicorn.app.wsgiapp", "app:app"], PYTHON, "gunicorn", "web", None),
    (["python", "-X", "dev", "-W", "ignore", "-u", "/srv/venv/bin/gunicorn", "app:app"], PYTHON, "gunicorn", "web", None),
    (["gunicorn: master [shop.wsgi:application]"], PYTHON, "gunicorn", "web", "master"),
    (["gunicorn: worker [shop.wsgi:application]"], "/usr/bin/python3.11 (deleted)", "gunicorn", "web", "worker"),
    (["gunicorn: worker [x]"], None, "gunicorn", "web", "worker"),
    # uvicorn
    (["/srv/venv/bin/python", "/srv/venv/bin/uvicorn", "app:app", "--workers", "4"], PYTHON, "uvicorn", "web", None),
    (["python3", "-m", "uvicorn", "app:app"], PYTHON, "uvicorn", "web", None),
    (
        ["python", "-c", "from multiprocessing.spawn import spawn_main; spawn_main(tracker_fd=5, pipe_handle=7)", "--multiprocessing-fork"],
        PYTHON,
        "other",
        "other",
        None,
    ),
    # celery
    (["/srv/venv/bin/python", "/srv/venv/bin/celery", "-A", "shop", "worker", "-c", "4"], PYTHON, "celery", "worker", None),
    (["python", "-m", "celery", "worker", "-A", "shop"], PYTHON, "celery", "worker", None),
    (["python", "/srv/venv/bin/celery", "--app=shop", "beat"], PYTHON, "celery", "scheduler", "single"),
    (["python", "/srv/venv/bin/celery", "--broker", "worker", "flower", "--port=5555"], PYTHON, "celery", "other", "single"),
    (["python", "/srv/venv/bin/celery", "-A", "worker", "inspect", "ping"], PYTHON, "celery", "job", "single"),
    (["python", "/srv/venv/bin/libup-celery", "worker", "--concurrency=1"], PYTHON, "celery", "worker", None),
    (["python", "manage.py", "celery", "worker"], PYTHON, "celery", "worker", None),
    (["[celeryd: celery@web-1:MainProcess] -active- (-A shop worker)"], PYTHON, "celery", "worker", "master"),
    (["[celeryd: celery@web-1:ForkPoolWorker-12]"], PYTHON, "celery", "worker", "worker"),
    (["[celeryd: celery@web-1:PoolWorker-2]"], PYTHON, "celery", "worker", "worker"),
    (["[celery beat] --loglevel=info"], PYTHON, "celery", "scheduler", "single"),
    # rq
    (["python", "/srv/venv/bin/rq", "worker", "-u", "redis://h/1", "high"], PYTHON, "rq", "worker", "single"),
    (["python", "-m", "rq", "worker"], PYTHON, "rq", "worker", "single"),
    (["python", "-m", "rq.cli", "worker-pool", "-n", "4"], PYTHON, "rq", "worker", "master"),
    (["python", "manage.py", "rqworker", "default"], PYTHON, "rq", "worker", "single"),
    (["/usr/bin/python3", "/usr/bin/bitu", "rqworker", "default"], PYTHON, "rq", "worker", "single"),
    (["python", "/srv/venv/bin/rqscheduler"], PYTHON, "rq", "scheduler", "single"),
    (["rq:worker:8f0b: Listening on default..."], PYTHON, "rq", "worker", "single"),
    (["rq:worker:8f0b: Processing default since 1700000000"], PYTHON, "rq", "worker", "worker"),
    # the rest of the stack
    (["nginx: master process /usr/sbin/nginx -g daemon on; master_process on;"], "/usr/sbin/nginx", "nginx", "proxy", "master"),
    (["nginx: worker process"], "/usr/sbin/nginx", "nginx", "proxy", "worker"),
    (["/usr/lib/postgresql/15/bin/postgres", "-D", "/var/lib/postgresql/15/main"], "/usr/lib/postgresql/15/bin/postgres", "postgres", "database", "master"),
    (["postgres: 15/main: shop shop 10.0.0.5(41234) idle in transaction"], "/usr/lib/postgresql/15/bin/postgres", "postgres", "database", "worker"),
    (["/usr/bin/redis-server 127.0.0.1:6379"], "/usr/bin/redis-check-rdb", "redis", "cache", "single"),
    (["valkey-server", "*:6379"], "/usr/bin/valkey-server", "redis", "cache", "single"),
    (["/usr/bin/dockerd", "-H", "fd://"], "/usr/bin/dockerd", "docker", "other", None),
    (["/usr/sbin/cron", "-f"], "/usr/sbin/cron", "cron", "scheduler", None),
    (["/usr/sbin/CRON", "-f"], "/usr/sbin/cron", "cron", "scheduler", None),
    (["crond", "-f"], "/bin/busybox", "cron", "scheduler", None),
    (["/usr/bin/memcached", "-m", "64"], "/usr/bin/memcached", "other", "cache", None),
    (["/usr/sbin/apache2", "-k", "start"], "/usr/sbin/apache2", "other", "proxy", None),
    (["/usr/sbin/pgbouncer", "/etc/pgbouncer/pgbouncer.ini"], "/usr/sbin/pgbouncer", "other", "database", None),
    (["python", "/srv/venv/bin/hypercorn", "app:app"], PYTHON, "other", "web", None),
    (["/usr/bin/python3", "/usr/bin/supervisord", "-n"], PYTHON, "host", "other", None),
    (["/sbin/init"], "/usr/lib/systemd/systemd", "host", "other", None),
    (["/lib/systemd/systemd-journald"], "/usr/lib/systemd/systemd-journald", "host", "other", None),
    (["sshd: root@pts/0"], "/usr/sbin/sshd", "host", "other", None),
]

#: They name one of the programs and are none of them.
OTHERS = [
    (["grep", "gunicorn"], "/usr/bin/grep"),
    (["egrep", "gunicorn|uvicorn|celery|rq|postgres|nginx"], "/usr/bin/grep"),
    (["vim", "celery.py"], "/usr/bin/vim"),
    (["tail", "-f", "/var/log/celery.log"], "/usr/bin/tail"),
    (["bash", "-c", "gunicorn app:app"], "/usr/bin/bash"),
    (["/bin/sh", "/usr/local/bin/gunicorn"], "/usr/bin/dash"),
    (["gunicorn", "300"], "/usr/bin/sleep"),
    (["gunicorn: master [app]"], "/usr/bin/sleep"),
    (["nginx: worker process"], "/tmp/miner"),
    (["/usr/bin/torque", "worker"], "/usr/bin/torque"),
    (["python", "/srv/app/torque.py", "worker"], PYTHON),
    (["python", "/srv/app/celery.py", "worker"], PYTHON),
    (["python", "-c", "import celery; celery.worker()"], PYTHON),
    (["python", "/srv/report.py", "gunicorn"], PYTHON),
    (["python", "/srv/report.py", "celery", "worker"], PYTHON),
    (["python", "manage.py", "send_mail", "celery"], PYTHON),
    (["python", "-m", "app.celery", "worker"], PYTHON),
    (["python", "-m", "pytest", "gunicorn"], PYTHON),
    (["node", "/srv/rq/worker.js"], "/usr/bin/node"),
    (["tini", "--", "gunicorn", "app:app"], "/usr/bin/tini"),
    (["sudo", "-u", "www", "celery", "-A", "x", "worker"], "/usr/bin/sudo"),
    (["psql", "postgres://h/gunicorn"], "/usr/bin/psql"),
    (["redis-cli", "monitor"], "/usr/bin/redis-cli"),
    (["python"], PYTHON),
    ([], None),
]


@pytest.mark.parametrize("argv, exe, component, role, part", KNOWN, ids=lambda value: " ".join(value)[:60] if isinstance(value, list) else "")
def test_known(argv: list[str], exe: str | None, component: str, role: str, part: str | None) -> None:
    found = recognise("python3", argv, exe)
    assert (found.component, found.role, found.part) == (component, role, part)


@pytest.mark.parametrize("argv, exe", OTHERS, ids=lambda value: " ".join(value)[:60] if isinstance(value, list) else "")
def test_other(argv: list[str], exe: str | None) -> None:
    found = recognise("x", argv, exe)
    assert found.component in ("other", "host")
    assert found.role in ("other", "job")


@pytest.mark.parametrize("name, title, component", [
    ("sleep", "gunicorn: worker [x]", "other"), ("gunicorn: worke", "gunicorn: worker [x]", "gunicorn"), ("gunicorn", "gunicorn: worker [x]", "gunicorn"),
    ("miner", "nginx: worker process", "other"), ("nginx", "nginx: worker process", "nginx"), ("sleep", "gunicorn", "other"),
    ("python3", "gunicorn", "gunicorn"),
    ("[celeryd: celer", "[celeryd: celery@h:ForkPoolWorker-1]", "celery"), ("postgres", "postgres: 15/main: walwriter", "postgres"),
])
def test_without_the_executable_the_short_name_tells(name: str, title: str, component: str) -> None:
    assert recognise(name, [title], None).component == component


def test_names_without_arguments() -> None:
    assert recognise("nginx", [], None).component == "nginx"
    assert recognise("x", [], "/usr/lib/postgresql/15/bin/postgres").component == "postgres"


def test_the_tree_tells_master_and_worker() -> None:
    argv = ["python", "/srv/venv/bin/gunicorn", "app:app"]
    master = in_tree(recognise("gunicorn", argv, PYTHON), Recognised("host", "other", "systemd", None))
    worker = in_tree(recognise("gunicorn", argv, PYTHON), master)
    fork = in_tree(recognise("gunicorn", argv, PYTHON), worker)
    assert (master.part, worker.part, fork.part) == ("master", "worker", None)
    assert fork.component == "gunicorn"


def test_a_titled_child_of_a_worker_is_no_worker() -> None:
    worker = in_tree(recognise("gunicorn", ["gunicorn: worker [x]"], PYTHON), Recognised("gunicorn", "web", "gunicorn", "master"))
    assert worker.part == "worker"
    assert in_tree(recognise("gunicorn", ["gunicorn: worker [x]"], PYTHON), worker).part is None


def test_a_spawned_child_belongs_to_its_parent() -> None:
    spawned = recognise("python3", ["python3", "-c", "from multiprocessing.spawn import spawn_main; spawn_main(tracker_fd=5)", "--multiprocessing-fork"],
                        PYTHON)
    helper = recognise("python3", ["python3", "-c", "from multiprocessing.resource_tracker import main;main(4)"], PYTHON)
    assert (spawned.program, helper.program) == (SPAWNED, HELPER)
    master = in_tree(recognise("uvicorn", ["python3", "/srv/venv/bin/uvicorn", "app:app", "--workers", "2"], PYTHON), None)
    assert in_tree(spawned, master) == Recognised("uvicorn", "web", SPAWNED, "worker")
    assert in_tree(helper, master) == Recognised("uvicorn", "web", HELPER, None)
    assert in_tree(spawned, Recognised("other", "other", "python", None)).component == "other"


def test_the_beat_in_a_worker_is_no_worker() -> None:
    master = recognise("celery", ["[celeryd: celery@h:MainProcess] -active- (worker -B)"], PYTHON)
    beat = in_tree(recognise("celery", ["[celeryd: celery@h:Beat]"], PYTHON), master)
    assert (beat.role, beat.part) == ("scheduler", "single")


def test_what_a_launcher_starts_is_a_master() -> None:
    launcher = in_tree(recognise("celery", ["python", "/v/bin/celery", "multi", "start", "w1"], PYTHON), None)
    assert launcher.role == "job"
    assert in_tree(recognise("python3", ["python3", "-m", "celery", "-A", "x", "worker"], PYTHON), launcher).part == "master"


def test_generations_of_one_program() -> None:
    """A master, its workers, and whatever those fork, three deep."""
    parts, parent = [], None
    for dummy in range(4):
        parent = in_tree(recognise("celery", ["python", "/v/bin/celery", "-A", "x", "worker"], PYTHON), parent)
        parts.append(parent.part)
    assert parts == ["master", "worker", None, None]
