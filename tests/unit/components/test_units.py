# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The collector of units: on a recording of a Debian 12 host with systemd 252, and on processes that this test starts."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
import typing as t
from pathlib import Path

import pytest

from ansible_collections.oncall.pressure.plugins.module_utils._components import _launches, _units
from ansible_collections.oncall.pressure.plugins.module_utils._host._collect import Options
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine

RECORDING = Path(__file__).resolve().parent.parent / "recordings" / "units" / "debian12-systemd252"


def _host(folder: Path, status: int = 0, err: str = "") -> Path:
    """A replayable host made of the recording: its files, systemctl's answer, no processes."""
    shutil.copytree(RECORDING, folder, dirs_exist_ok=True)
    (folder / "run/systemd/system").mkdir(parents=True)
    (folder / "proc").mkdir()
    (folder / "proc/uptime").write_text("3900.00 100.00\n", encoding="ascii")
    shown = {"status": status, "out": (RECORDING / "show.txt").read_text(encoding="utf-8"), "err": err}
    (folder / "commands.json").write_text(json.dumps({"now": 1790000000, "commands": {" ".join(_units.SHOW): shown}}), encoding="utf-8")
    return folder


def _process(folder: Path, pid: int, ppid: int, argv: list[str], environment: str = "", cwd: str = "/srv/shop") -> None:
    here = folder / "proc" / str(pid)
    here.mkdir()
    (here / "comm").write_text(os.path.basename(argv[1] if len(argv) > 1 and "python" in argv[0] else argv[0])[:15] + "\n", encoding="utf-8")
    (here / "cmdline").write_bytes("".join(word + "\0" for word in argv).encode())
    (here / "stat").write_text("%d (x) S %d %s\n" % (pid, ppid, " ".join("0" * 50)), encoding="ascii")
    (here / "environ").write_text(environment, encoding="utf-8")
    (here / "cwd").symlink_to(cwd)
    (here / "exe").symlink_to("/usr/bin/python3.11")


def _collect(folder: Path) -> t.Any:
    return _units.collect(Machine(str(folder)), Options())


def test_a_unit_between_two_restarts_has_its_settings(tmp_path: Path) -> None:
    reading = _collect(_host(tmp_path))
    assert (reading.status, reading.reason) == ("ok", None)
    unit = reading.data["units"]["web@one.service"]
    assert (unit["state"], unit["result"], unit["restarts"], unit["main_pid"]) == ("restarting", "exit-code", 0, None)
    assert (unit["memory_limit_bytes"], unit["cpu_quota"], unit["oom_policy"], unit["restart"]) == (314572800, 1.5, "stop", "always")
    assert (unit["component"], unit["role"]) == ("gunicorn", "web")
    settings = unit["settings"]
    assert settings["workers"] == {"value": 7, "layer": "environment_file", "where": "/etc/default/web:2", "reason": None}
    assert settings["timeout"] == {"value": 99, "layer": "environment_file", "where": "/etc/default/web:3", "reason": None}
    assert settings["worker_class"]["value"] == "gevent"
    assert settings["threads"]["layer"] == "default"
    assert settings["bind"] == {
        "value": "unix:/run/one.sock", "layer": "drop_in", "where": "/etc/systemd/system/web@.service.d/10-workers.conf:3", "reason": None,
    }


def test_every_unit_of_the_stack(tmp_path: Path) -> None:
    units = _collect(_host(tmp_path)).data["units"]
    found = {name: (unit["component"], unit["role"], unit["state"]) for name, unit in units.items()}
    assert found["shop-web.service"] == ("gunicorn", "web", "running")
    assert found["shop-api.service"] == ("uvicorn", "web", "running")
    assert found["shop-jobs.service"] == ("celery", "worker", "running")
    assert found["shop-mails.service"] == ("rq", "worker", "running")
    assert found["nginx.service"] == ("nginx", "proxy", "running")
    assert found["redis-server.service"] == ("redis", "cache", "running")
    assert found["ssh.service"] == ("host", "other", "running")
    assert units["shop-jobs.service"]["settings"]["max_tasks_per_child"]["value"] == 200
    assert units["shop-jobs.service"]["settings"]["queues"]["value"] == ["reports", "default"]
    assert units["shop-web.service"]["settings"]["workers"] == {
        "value": 2, "layer": "unit", "where": "/etc/systemd/system/shop-web.service:12", "reason": None,
    }


def test_what_runs_counts_where_the_file_says_another_thing(tmp_path: Path) -> None:
    host = _host(tmp_path)
    pid = _collect(host).data["units"]["shop-web.service"]["main_pid"]
    argv = ["/usr/bin/python3", "/usr/bin/gunicorn", "--bind", "unix:/run/shop-web/gunicorn.sock", "--workers", "9", "--threads", "2", "web:app"]
    _process(host, pid, 1, argv, "GUNICORN_CMD_ARGS=--timeout 11\0SECRET_TOKEN=hunter2hunter2\0")
    reading = _collect(host)
    settings = reading.data["units"]["shop-web.service"]["settings"]
    assert (settings["workers"]["value"], settings["workers"]["layer"]) == (9, "command_line")
    assert "/etc/systemd/system/shop-web.service:12 says 2" in settings["workers"]["reason"]
    assert settings["threads"] == {"value": 2, "layer": "unit", "where": "/etc/systemd/system/shop-web.service:12", "reason": None}
    assert (settings["timeout"]["value"], settings["timeout"]["layer"]) == (11, "GUNICORN_CMD_ARGS")
    assert "hunter2" not in json.dumps(reading.data)


def test_a_title_over_the_arguments_leaves_what_the_unit_says(tmp_path: Path) -> None:
    host = _host(tmp_path)
    pid = _collect(host).data["units"]["shop-web.service"]["main_pid"]
    _process(host, pid, 1, ["gunicorn: master [web:app]"])
    assert _collect(host).data["units"]["shop-web.service"]["settings"]["workers"]["value"] == 2


def test_systemctl_that_fails_is_said(tmp_path: Path) -> None:
    reading = _collect(_host(tmp_path, 1, "Failed to connect to bus: No such file or directory\n"))
    assert reading.status == "partial"
    assert "Failed to connect to bus" in reading.reason


def test_without_systemctl(tmp_path: Path) -> None:
    host = _host(tmp_path)
    (host / "commands.json").write_text("{}", encoding="ascii")
    reading = _collect(host)
    assert (reading.status, reading.data["units"]) == ("partial", {})


def test_a_host_with_none_of_it(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "commands.json").write_text("{}", encoding="ascii")
    assert _collect(tmp_path).status == "absent"


def test_supervisor_programs(tmp_path: Path) -> None:
    host = _host(tmp_path)
    _process(host, 700, 1, ["/usr/bin/python3", "/usr/bin/supervisord", "-n", "-c", "/etc/supervisor/supervisord.conf"], "JOBS=3\0")
    _process(host, 701, 700, ["/v/bin/python", "/v/bin/celery", "-A", "shop", "worker", "-c", "3"])
    folder = host / "etc/supervisor/conf.d"
    folder.mkdir(parents=True)
    (folder.parent / "supervisord.conf").write_text("[supervisord]\n[include]\nfiles = conf.d/*.conf\n", encoding="ascii")
    (folder / "jobs.conf").write_text(
        "[program:jobs]\ncommand=/v/bin/celery -A shop worker -c %(ENV_JOBS)s -Q %(program_name)s\nnumprocs=2\ndirectory=/srv\n"
        "[program:tail]\ncommand=tail -f /var/log/celery.log\n", encoding="ascii",
    )
    data = _collect(host).data
    assert list(data["programs"]) == ["supervisor:jobs"]
    program = data["programs"]["supervisor:jobs"]
    assert (program["component"], program["role"], program["count"], program["supervisord_pid"]) == ("celery", "worker", 2, 700)
    assert program["settings"]["workers"] == {"value": 3, "layer": "supervisor", "where": "/etc/supervisor/conf.d/jobs.conf:2", "reason": None}
    assert program["settings"]["queues"]["value"] == ["jobs"]
    assert data["processes"]["701"]["settings"]["workers"] == {"value": 3, "layer": "command_line", "where": None, "reason": None}


def test_a_master_and_its_workers_are_one(tmp_path: Path) -> None:
    host = _host(tmp_path)
    argv = ["/v/bin/python", "/v/bin/gunicorn", "-w", "2", "a:b"]
    for pid, ppid in ((800, 1), (801, 800), (802, 800)):
        _process(host, pid, ppid, argv)
    _process(host, 900, 1, ["/usr/bin/grep", "gunicorn"])
    assert list(_collect(host).data["processes"]) == ["800"]


@pytest.mark.parametrize("argv,component", [
    (["/usr/bin/celery", "-A", "shop.tasks", "-b", "redis://u:secret@cache:6379/1", "worker", "-Q", "mails", "-n", "one@%h", "-c", "2"], "celery"),
    (["/usr/bin/rq", "worker", "mails"], "rq"),
    (["/usr/bin/gunicorn", "-w", "2", "a:b"], "gunicorn"),
])
def test_what_runs_in_a_container_has_its_settings(tmp_path: Path, argv: list[str], component: str) -> None:
    host = _host(tmp_path)
    _process(host, 800, 1, ["/usr/bin/python3", *argv])
    root = host / "proc/800/root"
    (root / "srv/shop").mkdir(parents=True)
    (root / "srv/shop/gunicorn.conf.py").write_text("threads = 3\n", encoding="ascii")
    reading = _collect(host)
    assert (reading.status, reading.reason) == ("ok", None)
    process = reading.data["processes"]["800"]
    assert process["component"] == component
    if component == "gunicorn":
        assert process["settings"]["threads"] == {"value": 3, "layer": "config_file", "where": "/srv/shop/gunicorn.conf.py:1", "reason": None}
    else:
        assert process["settings"]["queues"]["value"] == ["mails"]
        assert process["settings"]["identity"]["directory"] == "/srv/shop"
    if component == "celery":
        assert process["settings"]["identity"] == {
            "app": "shop.tasks", "directory": "/srv/shop", "broker": "redis://cache:6379/1", "node": "one@%h", "beat": False, "scheduler": None}


@pytest.mark.skipif(not os.path.exists("/proc/self/environ"), reason="it looks at a process of its own in /proc, which only Linux has")
def test_a_process_of_our_own(tmp_path: Path) -> None:
    (tmp_path / "gunicorn.conf.py").write_text("threads = 5\n", encoding="ascii")
    (tmp_path / "gunicorn").write_text("import time\ntime.sleep(60)\n", encoding="ascii")
    child = subprocess.Popen([sys.executable, str(tmp_path / "gunicorn"), "-w", "4", "a:b"], cwd=tmp_path, env={"GUNICORN_CMD_ARGS": "--timeout=77"})
    try:
        machine, process = Machine(), None
        for dummy in range(100):
            process = _launches.look(machine, child.pid, "python3")
            if process is not None and process.what.component == "gunicorn":
                break
            time.sleep(0.05)
        assert process is not None
        launch = _launches.launch(machine, process)
        assert launch is not None
        settings = _units._all.settings(launch, machine)
        assert settings is not None
        assert [settings[name]["value"] for name in ("workers", "threads", "timeout")] == [4, 5, 77]
        assert child.pid in _launches.candidates(machine, frozenset())
        assert child.pid not in _launches.candidates(machine, frozenset((child.pid,)))
    finally:
        child.kill()
        child.wait()


@pytest.mark.parametrize("out,reason", [
    ("\x1b[31m=\n\nrubbish=1\n", "systemctl show: its answer was not understood"),
    ("Id=a.service\nLoadState=loaded\n\nrubbish\n\nx=y\n", "systemctl show: its answer was not understood"),
    ("x" * (1 << 20), "systemctl show: its answer was too long and was not read to its end"),
    ("", None),
])
def test_what_is_no_answer_of_systemctl(tmp_path: Path, out: str, reason: t.Optional[str]) -> None:
    folder = _host(tmp_path)
    (folder / "commands.json").write_text(json.dumps({"now": 1790000000, "commands": {" ".join(_units.SHOW): {"status": 0, "out": out}}}), encoding="utf-8")
    reading = _collect(folder)
    assert (reading.status, reading.reason) == ("partial" if reason else "ok", reason)
