# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Processes become services: units, programs of a supervisor, containers, sessions and trees that nobody manages; on both versions of cgroups."""

from __future__ import annotations

import json
import pathlib
import typing as t

import pytest

from ansible_collections.oncall.pressure.plugins.module_utils._components import _membership, _services
from ansible_collections.oncall.pressure.plugins.module_utils._host._collect import Options
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine

MIB = 1024 * 1024
ID = "c0" * 32


class Host:
    """A recording of a host, made up process by process."""

    def __init__(self, folder: pathlib.Path, version: int = 2) -> None:
        self.folder = folder
        self.version = version
        self.write("/commands.json", json.dumps({"now": 2000000.0}))
        self.write("/proc/uptime", "1000.00 1000.00\n")
        self.write("/proc/stat", "cpu 1 2 3 4\nctxt 5\n")
        self.write("/proc/loadavg", "0.00 0.00 0.00 1/100 4\n")
        self.write("/etc/passwd", "root:x:0:0::/:/bin/sh\n")
        mounts = ["29 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw"] if version == 2 else [
            "29 23 0:26 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory", "30 23 0:27 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct"]
        self.write("/proc/self/mountinfo", "\n".join(mounts) + "\n")
        self.link("/proc/self/ns/pid", "pid:[4026531836]")
        self.process(1, 0, "systemd", ["/sbin/init"], "/init.scope")

    def write(self, name: str, text: t.Union[str, bytes]) -> None:
        path = self.folder / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())

    def link(self, name: str, target: str) -> None:
        path = self.folder / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(target)

    def process(self, pid: int, ppid: int, name: str, argv: t.Sequence[str], cgroup: str, mib: int = 10, environ: str = "", state: str = "S") -> None:
        self.write("/proc/%d/stat" % pid, "%d (%s) %s %d %d %d 0 -1 4194304 0 0 0 0 70 30 0 0 20 0 1 0 %d 0 %d 1\n" % (
            pid, name, state, ppid, pid, pid, 100 * pid, mib * MIB // Machine().page_bytes))
        self.write("/proc/%d/cmdline" % pid, "\0".join(argv) + "\0")
        lines = "0::%s\n" if self.version == 2 else "4:memory:%s\n3:cpu,cpuacct:%s\n1:name=systemd:%s\n"
        self.write("/proc/%d/cgroup" % pid, lines % ((cgroup,) * lines.count("%s")))
        self.write("/proc/%d/smaps_rollup" % pid, "Rss: %d kB\nPss: %d kB\nPss_Anon: %d kB\n" % (mib * 1024, mib * 1000, mib * 900))
        self.write("/proc/%d/environ" % pid, environ)

    def cgroup(self, path: str, usage_mib: int, limit_mib: t.Optional[int], quota: str = "max 100000") -> None:
        usage, limit = str(usage_mib * MIB), "max" if limit_mib is None else str(limit_mib * MIB)
        if self.version == 2:
            folder = "/sys/fs/cgroup" + path
            files = {"memory.current": usage, "memory.max": limit, "memory.stat": "anon 1\nfile 2\ninactive_file %d\n" % (5 * MIB),
                     "memory.events": "low 0\nhigh 0\nmax 17\noom 3\noom_kill 3\n", "cpu.max": quota,
                     "cpu.stat": "usage_usec 5000000\nuser_usec 4000000\nsystem_usec 1000000\nnr_periods 0\nnr_throttled 0\n"}
        else:
            folder = "/sys/fs/cgroup/memory" + path
            self.write("/sys/fs/cgroup/cpu" + path + "/cpuacct.usage", "5000000000")
            files = {"memory.usage_in_bytes": usage, "memory.limit_in_bytes": limit if limit_mib is not None else "9223372036854771712",
                     "memory.stat": "cache 2\ntotal_inactive_file %d\n" % (5 * MIB), "memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n",
                     "memory.failcnt": "17"}
        for name, text in files.items():
            self.write("%s/%s" % (folder, name), text + "\n")

    def services(self) -> dict[str, dict[str, t.Any]]:
        reading = _services.collect(Machine(str(self.folder)), Options(window_s=1.0, pss_budget_s=5.0))
        return {service["id"]: service for service in reading.data["services"]}


GUNICORN = ["/srv/shop/bin/python3", "/srv/shop/bin/gunicorn", "-w", "3", "app:app"]


@pytest.mark.parametrize("version", [1, 2])
def test_a_unit_with_its_limit_kills_and_workers(tmp_path: pathlib.Path, version: int) -> None:
    host = Host(tmp_path, version)
    path = "/shop.slice/shop-web.service"
    host.process(100, 1, "gunicorn", GUNICORN, path, 20)
    for number, mib in enumerate((100, 110, 90)):
        host.process(101 + number, 100, "gunicorn", GUNICORN, path, mib)
    host.process(110, 101, "convert", ["convert", "a.png"], path, 30)
    host.cgroup(path, 355, 400)
    host.cgroup("/shop.slice", 400, 380)
    service = host.services()["shop-web.service"]
    assert (service["component"], service["role"], service["manager"], service["state"], service["main_pid"]) == ("gunicorn", "web", "systemd", "running", 100)
    assert [worker["pid"] for worker in service["workers"]] == [102, 101, 103] and service["processes"] == 5
    memory = service["memory"]
    assert (memory["bytes"], memory["source"], memory["oom_kills"], memory["max_hits"]) == (350 * MIB, "cgroup", 3, 17)
    # the slice above it binds first
    assert (memory["limit_bytes"], memory["limit_source"]) == (380 * MIB, "/shop.slice")
    summary = service["worker_summary"]
    assert (summary["count"], summary["median_bytes"], summary["largest_pid"], summary["memory_source"]) == (3, 100 * 1000 * 1024, 102, "pss")
    assert summary["spread_pct"] == 20.0
    # the process above them is none of them
    assert (service["main"]["pid"], service["main"]["pss_bytes"]) == (100, 20 * 1000 * 1024)
    assert service["cpu"] == {"used": 0.0, "source": "cgroup", "share": None, "quota": None, "throttled_pct": None}


def test_programs_of_a_supervisor_are_services_of_their_own(tmp_path: pathlib.Path) -> None:
    host = Host(tmp_path)
    unit = "/system.slice/supervisor.service"
    host.cgroup(unit, 200, 512)
    host.process(50, 1, "supervisord", ["/usr/bin/python3", "/usr/bin/supervisord", "-n"], unit)
    celery = ["/usr/bin/python3", "/usr/bin/celery", "-A", "shop", "worker", "-c", "2"]
    host.process(60, 50, "celery", celery, unit, 40, "A=1\0SUPERVISOR_GROUP_NAME=shop-jobs\0SUPERVISOR_PROCESS_NAME=shop-jobs_00\0")
    for pid in (61, 62):
        host.process(pid, 60, "celery", celery, unit, 35)
    host.process(70, 50, "python3", ["/usr/bin/python3", "other.py"], unit, 5, "SUPERVISOR_GROUP_NAME=other\0")
    services = host.services()
    assert {"supervisor.service", "supervisor:shop-jobs", "supervisor:other"} <= set(services)
    jobs = services["supervisor:shop-jobs"]
    assert (jobs["manager"], jobs["component"], jobs["role"], jobs["name"]) == ("supervisor", "celery", "worker", "shop-jobs")
    assert {worker["pid"] for worker in jobs["workers"]} == {61, 62} and jobs["main"]["pid"] == 60
    # it shares the unit's cgroup with others: only the sum of its processes is its own, and the limit binds it all the same
    assert (jobs["memory"]["source"], jobs["memory"]["bytes"]) == ("pss", 110 * 1000 * 1024)
    assert (jobs["memory"]["limit_bytes"], jobs["memory"]["limit_source"], jobs["cgroup"]) == (512 * MIB, unit, unit)


def test_containers_sessions_and_what_nobody_manages(tmp_path: pathlib.Path) -> None:
    host = Host(tmp_path)
    host.process(200, 1, "redis-server", ["redis-server *:6379"], "/system.slice/docker-%s.scope" % ID)
    host.process(300, 1, "sshd", ["sshd: op@pts/0"], "/user.slice/user-1000.slice/session-4.scope")
    host.process(301, 300, "python3", ["python3", "manage.py", "import_all"], "/user.slice/user-1000.slice/session-4.scope", 80)
    host.process(400, 1, "bash", ["bash", "run.sh"], "/")
    host.process(401, 400, "gunicorn", GUNICORN, "/")
    host.process(402, 401, "gunicorn", GUNICORN, "/")
    services = host.services()
    assert services["docker:" + ID[:12]]["component"] == "redis"
    assert services["session-4.scope"]["role"] == "job"
    tree = services["process:gunicorn:401"]
    assert tree["component"] == "gunicorn" and [worker["pid"] for worker in tree["workers"]] == [402]


UID = "03b7fe6c-4c5e-40e5-a17d-e82f148d42f1"
_SLICE = "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod%s.slice" % UID.replace("-", "_")


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize(("pod", "container"), [
    (_SLICE, "cri-containerd-%s.scope"), (_SLICE, "crio-%s.scope"), (_SLICE, "docker-%s.scope"), ("/kubepods/burstable/pod" + UID, "%s"),
    ("/kubepods/burstable/pod" + UID, "crio-%s"),
    ("/system.slice/containerd.service", "kubepods-burstable-pod%s.slice:cri-containerd:%%s" % UID.replace("-", "_")),
])
def test_a_pod_is_known_by_what_works_in_it(tmp_path: pathlib.Path, version: int, pod: str, container: str) -> None:
    """The first process of a pod only holds its network, and what stands beside the application is no part of its limit."""
    host = Host(tmp_path, version)
    first, web, beside = ("%s/%s" % (pod, container % (letter + ID[1:])) for letter in "abc")
    host.process(500, 1, "pause", ["/pause"], first, 1)
    host.process(510, 1, "envoy", ["envoy", "-c", "x"], beside, 60)
    host.process(520, 1, "gunicorn", GUNICORN, web, 20)
    for pid in (521, 522):
        host.process(pid, 520, "gunicorn", GUNICORN, web, 100)
    host.cgroup(pod, 400, None)
    host.cgroup(first, 1, None)
    host.cgroup(beside, 60, None)
    host.cgroup(web, 235, 256)
    service = host.services()["kubernetes:" + UID]
    assert (service["component"], service["role"], service["manager"], service["main_pid"], service["processes"]) == ("gunicorn", "web", "kubernetes", 520, 5)
    assert {worker["pid"] for worker in service["workers"]} == {521, 522} and service["cgroup"] == web
    assert (service["memory"]["bytes"], service["memory"]["limit_bytes"], service["memory"]["source"]) == (230 * MIB, 256 * MIB, "cgroup")


def test_a_pod_whose_application_is_not_known(tmp_path: pathlib.Path) -> None:
    host = Host(tmp_path)
    for number, (name, letter) in enumerate((("pause", "a"), ("app", "b"))):
        host.process(500 + number, 1, name, ["/" + name], "%s/cri-containerd-%s.scope" % (_SLICE, letter + ID[1:]))
        host.cgroup("%s/cri-containerd-%s.scope" % (_SLICE, letter + ID[1:]), 100, 200 if name == "app" else None)
    service = host.services()["kubernetes:" + UID]
    assert (service["main_pid"], service["memory"]["limit_bytes"]) == (501, 200 * MIB)


def test_what_watches_a_container_is_no_part_of_it(tmp_path: pathlib.Path) -> None:
    host = Host(tmp_path)
    host.process(600, 1, "conmon", ["/usr/bin/conmon", "-c", ID], "/machine.slice/libpod-conmon-%s.scope" % ID)
    host.process(601, 600, "redis-server", ["redis-server *:6379"], "/machine.slice/libpod-%s.scope/container" % ID)
    host.cgroup("/machine.slice/libpod-conmon-%s.scope" % ID, 2, None)
    host.cgroup("/machine.slice/libpod-%s.scope" % ID, 105, 128)
    service = host.services()["podman:" + ID[:12]]
    assert (service["component"], service["main_pid"], service["processes"]) == ("redis", 601, 1)
    assert (service["memory"]["bytes"], service["memory"]["limit_bytes"]) == (100 * MIB, 128 * MIB)


def test_jobs_below_cron_are_jobs(tmp_path: pathlib.Path) -> None:
    host = Host(tmp_path)
    host.process(80, 1, "cron", ["/usr/sbin/cron", "-f"], "/system.slice/cron.service")
    assert host.services()["cron.service"]["role"] == "scheduler"
    host.process(81, 80, "cron", ["/usr/sbin/CRON", "-f"], "/system.slice/cron.service")
    host.process(82, 81, "sh", ["/bin/sh", "-c", "/opt/report"], "/system.slice/cron.service")
    assert host.services()["cron.service"]["role"] == "job"


def test_hostile_names_stay_text(tmp_path: pathlib.Path) -> None:
    host = Host(tmp_path)
    host.process(500, 1, "x) R 1 (\x1b[2J", ["\x1b]0;owned\x07", "{{ lookup('pipe','id') }}", "postgres://u:geheim@h/d", "\u202e"],
                 "/system.slice/a\\x1bb.service")
    reading = _services.collect(Machine(str(tmp_path)), Options(window_s=1.0))
    text = json.dumps(reading.data)
    assert "geheim" not in text and "\\u001b" not in text and "\\u202e" not in text.replace("\\\\u202e", "")
    assert "{{ lookup('pipe','id') }}" in text


def test_a_process_stuck_in_the_kernel_is_not_asked_for_its_arguments(tmp_path: pathlib.Path) -> None:
    host = Host(tmp_path)
    host.process(600, 1, "backup", ["secret-argument"], "/system.slice/backup.service", state="D")
    (tmp_path / "proc/600/cmdline").unlink()
    reading = _services.collect(Machine(str(tmp_path)), Options(window_s=1.0))
    assert reading.data["processes"]["blocked"] == [{"pid": 600, "name": "backup", "service": "backup.service"}]


@pytest.mark.parametrize("group,process,name", [
    ("web", "web", "web"), ("web", "web_00", "web"), ("shop", "web", "web"), ("shop", "worker_03", "worker"), ("web_2", "web_2", "web_2"), ("web", "", "web")])
def test_a_programs_name(group: str, process: str, name: str) -> None:
    assert _membership.program_name(group, process) == name


def test_a_worker_stuck_in_the_kernel_is_still_a_worker(tmp_path: pathlib.Path) -> None:
    host = Host(tmp_path)
    path = "/system.slice/shop-web.service"
    host.process(100, 1, "gunicorn", GUNICORN, path)
    host.process(101, 100, "gunicorn", GUNICORN, path)
    host.process(102, 100, "gunicorn", GUNICORN, path, state="D")
    service = host.services()["shop-web.service"]
    assert {worker["pid"] for worker in service["workers"]} == {101, 102}
