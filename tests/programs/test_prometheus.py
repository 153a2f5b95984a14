# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Prometheus itself, as the distribution has it, with a day in its store and exporters that it scrapes: works, denied, stopped, not there."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
import typing as t
import urllib.request
from pathlib import Path

import pytest

pytest.importorskip("ansible", reason="the controller's side needs ansible-core")

from ansible_collections.oncall.pressure.plugins.action import snapshot
from ansible_collections.oncall.pressure.plugins.plugin_utils import _memory_pattern, _prometheus

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = {name: shutil.which(name) for name in ("prometheus", "promtool", "prometheus-node-exporter", "prometheus-process-exporter")}
SECRET = "correct-horse-9"
#: bcrypt of SECRET, as web.yml of Prometheus wants it
HASHED = "$2b$04$hIQ569aAefDvumcWSp.7meOBTayykrlqqqgsbDnfUQ4h/Z.N6ov9."
MIB = 1024 * 1024
HEX = "%064x" % random.SystemRandom().randrange(2 ** 256)

pytestmark = pytest.mark.skipif(not all(PROGRAMS.values()), reason="apt-get install prometheus prometheus-node-exporter prometheus-process-exporter")


def free() -> int:
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        return int(door.getsockname()[1])


def day(now: int) -> str:
    """A day of what cAdvisor, node_exporter and nginx exporter write, in OpenMetrics."""
    series: t.List[t.Tuple[str, str, str, t.Callable[[float], float]]] = [
        ("container_memory_working_set_bytes", "gauge", 'id="/system.slice/shop-web.service",instance="web-1:8080",job="cadvisor"',
         lambda part: (300 + 1700 * part + random.gauss(0, 4)) * MIB),
        ("container_memory_working_set_bytes", "gauge", 'id="/system.slice/docker-%s.scope",instance="web-1:8080",job="cadvisor",name="x"' % HEX,
         lambda part: (900 + random.gauss(0, 3)) * MIB),
        # of another host, and of the whole machine
        ("container_memory_working_set_bytes", "gauge", 'id="/system.slice/shop-web.service",instance="web-10:8080",job="cadvisor"', lambda part: 7.0),
        ("container_memory_working_set_bytes", "gauge", 'id="/",instance="web-1:8080",job="cadvisor"', lambda part: 4000.0 * MIB),
        ("container_cpu_usage_seconds", "counter", 'id="/system.slice/shop-web.service",instance="web-1:8080",job="cadvisor",cpu="cpu00"',
         lambda part: 86400 * part * 0.25),
        ("container_cpu_usage_seconds", "counter", 'id="/system.slice/shop-web.service",instance="web-1:8080",job="cadvisor",cpu="cpu01"',
         lambda part: 86400 * part * 0.5),
        ("node_memory_MemAvailable_bytes", "gauge", 'instance="web-1:9100",job="node"', lambda part: (6000 - 2000 * part) * MIB),
        ("node_memory_MemTotal_bytes", "gauge", 'instance="web-1:9100",job="node"', lambda part: 8192.0 * MIB),
        ("nginx_http_requests", "counter", 'instance="web-1:9113",job="nginx"', lambda part: 86400 * part * 12),
    ]
    lines, known = [], ""
    for name, kind, labels, value in series:
        if name != known:
            lines.append("# TYPE %s %s" % (name, kind))
        known = name
        for at in range(now - 86400, now + 1, 60):
            lines.append("%s%s{%s} %s %d" % (name, "_total" if kind == "counter" else "", labels, value((at - now + 86400) / 86400), at))
    return "\n".join([*lines, "# EOF\n"])


class Running:
    """A server and its exporters, in a folder of their own."""

    def __init__(self, folder: Path) -> None:
        self.port, self.node, self.group = free(), free(), free()
        self.began: t.List[subprocess.Popen[bytes]] = []
        (folder / "day.om").write_text(day(int(time.time())), encoding="ascii")
        subprocess.run([str(PROGRAMS["promtool"]), "tsdb", "create-blocks-from", "openmetrics", "-q", str(folder / "day.om"), str(folder / "data")],
                       check=True, timeout=120)
        jobs = [{"job_name": name, "static_configs": [{"targets": ["127.0.0.1:%d" % port]}]} for name, port in (("node", self.node), ("process", self.group))]
        # JSON is YAML
        often = {"scrape_interval": "5s", "scrape_timeout": "5s"}
        (folder / "prometheus.yml").write_text(json.dumps({"global": often, "scrape_configs": jobs}), encoding="ascii")
        (folder / "web.yml").write_text(json.dumps({"basic_auth_users": {"oncall": HASHED}}), encoding="ascii")
        (folder / "group.yml").write_text(json.dumps({"process_names": [{"name": "{{.Comm}}", "comm": ["python", "python3", "pytest"]}]}), encoding="ascii")
        self.log = open(str(folder / "log"), "wb")
        self.server = self.start("prometheus", "--config.file=%s" % (folder / "prometheus.yml"), "--storage.tsdb.path=%s" % (folder / "data"),
                                 "--web.config.file=%s" % (folder / "web.yml"), "--web.listen-address=127.0.0.1:%d" % self.port)
        self.start("prometheus-node-exporter", "--web.listen-address=127.0.0.1:%d" % self.node)
        # what proportional memory costs a busy machine is more than a scrape may take: it tells of resident memory, then
        self.start("prometheus-process-exporter", "-gather-smaps=false", "-threads=false", "-config.path", str(folder / "group.yml"),
                   "-web.listen-address=127.0.0.1:%d" % self.group)
        end = time.monotonic() + 300
        while not self.ready():
            if time.monotonic() > end:
                # nobody else would end what runs
                self.stop()
                raise AssertionError((folder / "log").read_text(encoding="utf-8"))
            time.sleep(0.2)

    def start(self, name: str, *words: str) -> "subprocess.Popen[bytes]":
        process = subprocess.Popen([str(PROGRAMS[name]), *words], stdout=self.log, stderr=self.log)
        self.began.append(process)
        return process

    def url(self, user: str = "oncall:" + SECRET) -> str:
        return "http://%s127.0.0.1:%d" % (user + "@" if user else "", self.port)

    def ready(self) -> bool:
        """Whether it answers, and has scraped."""
        return "node_exporter" in {answer.question.exporter for answer in told_of(self.url(), "127.0.0.1").answers}

    def stop(self) -> None:
        for process in self.began:
            process.send_signal(signal.SIGCONT)
            process.terminate()
        for process in self.began:
            process.wait()
        self.log.close()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Running]:
    server = Running(tmp_path_factory.mktemp("prometheus"))
    yield server
    server.stop()


def told_of(url: str, name: str) -> _prometheus.Told:
    """What the server says of a host."""
    history = snapshot._History(_prometheus.address(url), [name])
    history._asker.join()
    return history._told


def asked(url: str, name: str, total_bytes: t.Optional[int] = None) -> t.Dict[str, t.Any]:
    """A snapshot of a host with two services, after the server was asked."""
    document: t.Dict[str, t.Any] = {
        "collectors": {}, "memory_history": None,
        "host": {"kind": "machine", "memory": {"limit_bytes": total_bytes, "limit_source": "machine", "available_bytes": 4000 * MIB}},
        "services": [
            {"id": "shop-web.service", "name": "shop-web.service", "component": "gunicorn", "role": "web", "processes": 5,
             "cgroup": "/system.slice/shop-web.service", "memory": {"bytes": 2000 * MIB}},
            {"id": "docker:" + HEX[:12], "name": "shop-db-1", "component": "postgres", "role": "database", "cgroup": None, "memory": {"bytes": 900 * MIB}},
        ],
    }
    snapshot._History(_prometheus.address(url), [name]).add_to(document)
    return document


def test_a_day_of_what_grows_and_what_does_not(running: Running) -> None:
    found = asked(running.url(), "web-1", 8192 * MIB)
    assert found["collectors"]["prometheus"]["status"] == "ok", found["collectors"]
    history = found["memory_history"]
    assert history["sources"][0]["covered_s"] > 80000 and len(history["host"]) > 80
    assert all(row["used_bytes"] + row["available_bytes"] == 8192 * MIB for row in history["host"])
    (web, base) = history["services"]
    assert (web["id"], base["id"]) == ("shop-web.service", "docker:" + HEX[:12])
    assert 1900 * MIB < web["points"][-1]["bytes"] < 2100 * MIB and 250 * MIB < web["points"][0]["bytes"] < 350 * MIB
    # of both processors, and of this host's nginx
    assert 0.6 < web["points"][-1]["cpu_used"] < 0.8 and 10 < web["points"][-1]["requests_per_s"] < 13
    patterns = _memory_pattern.patterns(found)
    grown = patterns["shop-web.service"]
    assert (grown["grows"], grown["from"]) == (True, "history") and 60 * MIB < grown["growth_bytes_per_hour"] < 80 * MIB
    assert patterns["docker:" + HEX[:12]]["pattern"] == "steady"


def test_what_is_scraped_now_is_what_the_kernel_says(running: Running) -> None:
    with open("/proc/meminfo", encoding="ascii") as stream:
        info = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in stream}
    found = asked(running.url(), "127.0.0.1", info["MemTotal"])
    last = found["memory_history"]["host"][-1]
    assert last["used_bytes"] + last["available_bytes"] == info["MemTotal"] and abs(last["available_bytes"] - info["MemAvailable"]) < info["MemTotal"] / 4
    with urllib.request.urlopen("http://127.0.0.1:%d/metrics" % running.group, timeout=10) as answer:
        exported = answer.read().decode("utf-8")
    told, end = told_of(running.url(), "127.0.0.1"), time.monotonic() + 120
    while "process-exporter" not in {answer.question.exporter for answer in told.answers} and time.monotonic() < end:
        time.sleep(1)
        told = told_of(running.url(), "127.0.0.1")
    groups = [one for answer in told.answers if answer.question.of == "groupname" and answer.question.figure == "bytes" for one in answer.found]
    assert told.complete and groups and all('groupname="%s"' % one.labels["groupname"] in exported and one.points[-1][1] > MIB for one in groups)


@pytest.mark.parametrize(("user", "name", "status", "reason"), [
    ("", "web-1", "denied", "it does not let us in (401)"), ("oncall:wrong", "web-1", "denied", "it does not let us in (401)"),
    ("oncall:" + SECRET, "web-7", "error", "it knows nothing of web-7"),
    ("oncall:" + SECRET, "web-1", "error", "8.0 GiB of memory, this host 2.0 GiB: it is another one"),
])
def test_what_it_does_not_tell(running: Running, user: str, name: str, status: str, reason: str) -> None:
    row = asked(running.url(user), name, 2048 * MIB)["collectors"]["prometheus"]
    assert row["status"] == status and reason in row["reason"] and SECRET not in row["reason"]


def test_one_that_is_stopped_gives_no_answer_in_time(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_prometheus, "ASK_S", 1.0)
    running.server.send_signal(signal.SIGSTOP)
    try:
        row = asked(running.url(), "web-1")["collectors"]["prometheus"]
    finally:
        running.server.send_signal(signal.SIGCONT)
    assert (row["status"], row["reason"]) == ("error", "no answer: timed out")
    assert asked(running.url(), "web-1")["collectors"]["prometheus"]["status"] == "ok"


PLAY = """
- hosts: all
  gather_facts: false
  tasks:
    - oncall.pressure.snapshot:
        window: 0.5
        prometheus_url: "{{ pressure_prometheus_url }}"
        prometheus_host: "{{ called | default('') }}"
      register: found
    - ansible.builtin.copy:
        content: "{{ found.snapshot | to_json }}"
        dest: "{{ folder }}/found.json"
        mode: "0600"
"""


def test_in_a_play_who_asks_is_said_nowhere(running: Running, tmp_path: Path) -> None:
    (tmp_path / "play.yml").write_text(PLAY, encoding="utf-8")
    (tmp_path / "vars.json").write_text(json.dumps({"pressure_prometheus_url": running.url(), "folder": str(tmp_path), "called": "127.0.0.1:%d" % running.node,
                                                    "ansible_python_interpreter": sys.executable}), encoding="utf-8")
    collections = next(path for path in sys.path if (Path(path) / "ansible_collections" / "oncall" / "pressure").exists())
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
    environment.update(ANSIBLE_CONFIG=str(ROOT / "ansible.cfg"), ANSIBLE_COLLECTIONS_PATH=collections, LC_ALL="C.UTF-8", ANSIBLE_KEEP_REMOTE_FILES="1",
                       ANSIBLE_REMOTE_TEMP=str(tmp_path / "remote"))
    done = subprocess.run([str(Path(sys.executable).parent / "ansible-playbook"), str(tmp_path / "play.yml"), "-i", "web-1,", "-c", "local", "-vvvv",
                           "-e", "@" + str(tmp_path / "vars.json")], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
                          timeout=900, cwd=str(tmp_path))
    assert done.returncode == 0, done.stdout[-3000:]
    document = json.loads((tmp_path / "found.json").read_text(encoding="utf-8"))
    assert document["collectors"]["prometheus"]["status"] == "ok", document["collectors"]["prometheus"]
    # what went to the host, taken apart
    sent = next(path for path in (tmp_path / "remote").rglob("AnsiballZ_snapshot.py"))
    subprocess.run([sys.executable, str(sent), "explode"], stdout=subprocess.PIPE, check=True, timeout=60)
    assert json.loads(next(path for path in sent.parent.rglob("args")).read_text(encoding="utf-8"))["ANSIBLE_MODULE_ARGS"]["window"] == 0.5
    kept = [path for path in tmp_path.rglob("*") if path.is_file() and path.name != "vars.json"]
    assert SECRET not in done.stdout and not [path for path in kept if SECRET.encode("ascii") in path.read_bytes()]
