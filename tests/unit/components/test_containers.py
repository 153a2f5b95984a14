# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The collector of containers, on answers of a real Docker 20.10.24 and podman 4.3.1, and on engines that hang, lie and babble."""

from __future__ import annotations

import json
import os
import sys
import time
import typing as t
from pathlib import Path

import jsonschema
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

import engine_host
from ansible_collections.oncall.pressure.plugins.module_utils._components import _containers, _engines, _snapshot
from ansible_collections.oncall.pressure.plugins.module_utils._host._collect import Options, Reading
from engine_host import Host, http, recorded

SCHEMA = json.loads((Path(__file__).resolve().parents[3] / "roles/diagnose/files/schemas/snapshot.json").read_text(encoding="utf-8"))
ID = "3f6d1b5ad292" + "0" * 52
POD = "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0"


@pytest.fixture(name="host")
def _host() -> t.Iterator[Host]:
    host = Host()
    yield host
    host.close()


def collect(host: Host) -> Reading:
    """What is read, held against the published schema."""
    reading = _containers.collect(host.machine(), Options(window_s=1.0))
    if reading.data is not None:
        part = dict(SCHEMA["$defs"]["snapshot"]["properties"]["containers"], **{"$defs": SCHEMA["$defs"]})
        jsonschema.Draft202012Validator(part).validate(json.loads(json.dumps(reading.data)))
    return reading


def docker(host: Host, answer: engine_host.Answer, path: str = "/run/docker.sock") -> None:
    host.process(40, "dockerd")
    host.listen(path, answer)


def test_a_recorded_docker(host: Host) -> None:
    docker(host, recorded("docker-20.10.24.json"))
    reading = collect(host)
    assert (reading.status, reading.reason) == ("ok", None)
    assert reading.data["engine"] == [{"kind": "docker", "version": "20.10.24+dfsg1", "socket": "/run/docker.sock", "status": "ok", "reason": None}]
    assert reading.data["counts"] == {"running": 1, "exited": 1, "restarting": 1, "unhealthy": 0}
    rows = {(row["project"], row["service"]): row for row in reading.data["containers"]}
    web, queue, killed = rows["shop", "web"], rows["shop", "queue"], rows[None, None]
    assert (web["name"], web["health"], web["memory"]["limit_bytes"], web["cpu"]["quota"], web["pids"]["limit"]) == ("h-cont-1", "healthy", 64 << 20, 0.5, 50)
    assert (web["restarts"], web["exit_code"], web["oom_killed"], web["finished_at"]) == (0, None, False, None)
    # it was started again between the list and the question
    assert (queue["state"], queue["restarts"], queue["restart_policy"], queue["memory"]["limit_bytes"]) == ("running", 4, "always", None)
    assert (killed["state"], killed["exit_code"], killed["oom_killed"]) == ("exited", 137, False) and 0 < killed["finished_age_s"] < 10
    assert "hunter2" not in json.dumps(reading.data) and "REDACTED" in web["command"]


def test_a_recorded_podman_that_refuses_names_of_states(host: Host) -> None:
    asked: t.List[str] = []
    answer = recorded("podman-4.3.1.json")

    def listens(target: str) -> t.Iterable[bytes]:
        asked.append(target)
        return [http(b'{"message": "unknown container state"}', 500)] if "restarting" in target or "dead" in target else answer(target)

    host.process(40, "conmon")
    host.listen("/run/podman/podman.sock", listens)
    reading = collect(host)
    assert (reading.status, reading.data["engine"][0]["kind"], reading.data["engine"][0]["version"]) == ("ok", "podman", "4.3.1")
    row = reading.data["containers"][0]
    assert (row["name"], row["state"], row["exit_code"], row["restart_policy"], row["health"]) == ("h-cont-p", "exited", 137, None, None)
    assert (row["pids"]["limit"], row["memory"]["limit_bytes"], row["service"]) == (2048, 24 << 20, None)
    assert asked and not [target for target in asked if not target.startswith(("/version", "/v1.41/containers/"))]


def test_a_recorded_podman_that_says_it_was_out_of_memory(host: Host) -> None:
    """Of one its main process was killed in a limit of 24 MiB, of the other a child, after which its main process ended well: the engine says it of both."""
    host.process(40, "conmon")
    host.listen("/run/podman/podman.sock", recorded("podman-4.3.1-oom.json"))
    reading = collect(host)
    rows = {row["name"]: (row["state"], row["exit_code"], row["oom_killed"], row["memory"]["limit_bytes"]) for row in reading.data["containers"]}
    assert rows == {"oom-main": ("exited", 137, True, 24 << 20), "oom-child": ("exited", 0, True, 24 << 20)}


def running(host: Host, path: str, pid: int = 50) -> None:
    host.process(pid, "python", path + "/below")
    host.cgroup(path, memory_current="2000\n", memory_max="4000\n", memory_stat="inactive_file 500\n", memory_events="oom_kill 3\n",
                cpu_stat="usage_usec 5000000\n", cpu_max="50000 100000\n", pids_current="7\n", pids_max="max\n")


def test_a_pod_by_its_cgroup(host: Host) -> None:
    host.process(41, "containerd-shim")
    running(host, "/kubepods.slice/kubepods-pod%s.slice/cri-containerd-%s.scope" % (POD.replace("-", "_"), ID))
    reading = collect(host)
    assert (reading.status, reading.data["engine"], reading.data["counts"]["running"], reading.data["counts"]["exited"]) == ("ok", [], 1, None)
    row = reading.data["containers"][0]
    assert (row["id"], row["pod"], row["engine"], row["container_id"], row["name"], row["state"]) == (
        "kubernetes:" + POD, POD, "kubernetes", ID[:12], None, "running")
    assert row["memory"] == {"bytes": 1500, "limit_bytes": 4000, "oom_kills": 3, "oom_kills_in_window": 0}
    assert (row["cpu"], row["pids"], row["processes"]) == ({"used": 0.0, "quota": 0.5, "throttled_pct": None}, {"current": 7, "limit": None}, 1)


def test_a_container_whose_engine_does_not_answer_is_there(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_engines, "LIST_LIMIT_S", 0.2)

    def silent(dummy: str) -> t.Iterable[bytes]:
        time.sleep(60)
        return []

    docker(host, silent)
    running(host, "/system.slice/docker-%s.scope" % ID)
    reading = collect(host)
    assert (reading.status, reading.reason) == ("partial", "docker at /run/docker.sock: it did not answer within 0.2 s")
    row = reading.data["containers"][0]
    assert (row["id"], row["state"], row["oom_killed"], row["restarts"], row["memory"]["bytes"]) == ("docker:" + ID[:12], "running", None, None, 1500)


def test_one_container_that_is_stuck(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_engines, "_ONE_LIMIT_S", 0.2)
    answer, seen = recorded("docker-20.10.24.json"), []

    def listens(target: str) -> t.Iterable[bytes]:
        if target.endswith("/json") and not seen:
            seen.append(target)
            time.sleep(60)
        return answer(target)

    docker(host, listens)
    reading = collect(host)
    assert reading.status == "partial" and "1 of 3 containers could not be asked about" in reading.reason
    assert len(reading.data["containers"]) == 2


def drip(dummy: str) -> t.Iterator[bytes]:
    yield b"HTTP/1.1 200 So\r\nContent-Length: 100000\r\n\r\n"
    while True:
        time.sleep(0.05)
        yield b"["


def endless(dummy: str) -> t.Iterator[bytes]:
    yield b"HTTP/1.1 200 So\r\nTransfer-Encoding: chunked\r\n\r\n"
    while True:
        yield b"10000\r\n" + b"[" * 65536 + b"\r\n"


def more_heads(dummy: str) -> t.Iterator[bytes]:
    while True:
        yield b"HTTP/1.1 100 Go on\r\n\r\n" * 1000


VERSION = b'{"ApiVersion": "1.41", "Version": "\\u001b[2J\xff 20"}'


def after_version(body: bytes) -> engine_host.Answer:
    return lambda target: [http(VERSION if target == "/version" else body)]


RUBBISH: t.Dict[str, t.Tuple[engine_host.Answer, str]] = {
    "no HTTP": (lambda dummy: [os.urandom(3000) + b"\r\n\r\n"] * 3, "no answer of a container engine: it does not speak HTTP"),
    "drip": (drip, "did not answer within 0.4 s"),
    "endless": (endless, "its answer is larger than what is read"),
    "heads": (more_heads, "its answer is larger than what is read"),
    "no JSON": (lambda dummy: [http(b"<html>")], "no answer of a container engine"),
    "other JSON": (lambda dummy: [http(b'[1, {"a": null}]')], "no answer of a container engine: no version"),
    "deep": (lambda dummy: [http(b"[" * 200000)], "no answer of a container engine"),
    "a path for a version": (lambda dummy: [http(b'{"ApiVersion": "1.41/../../x"}')], "no version"),
    "refuses": (lambda dummy: [http(b'{"message": "no\\u001b[2J \\u202eway"}', 403)], "it answers with an error: 403 no\\x1b[2J"),
    "no list": (after_version(b'{"message": 1}'), "no list"),
    "many digits": (after_version(b"[" + b"1" * 3000000 + b"]"), ""),
    "other list": (after_version(json.dumps([None, 1, {}, {"Id": 5}, {"Id": "../" + "a" * 61, "State": []}]).encode()), ""),
}


@pytest.mark.parametrize("name", RUBBISH)
def test_rubbish(host: Host, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(_engines, "LIST_LIMIT_S", 0.4 if name == "drip" else 30.0)
    answer, said = RUBBISH[name]
    docker(host, answer)
    reading = collect(host)
    assert said in (reading.reason or "") and (reading.status == "error") == bool(said), reading
    assert reading.data["containers"] == [] and (said == "") == (reading.data["counts"]["running"] == 0)
    assert "\x1b" not in json.dumps(reading.data, ensure_ascii=False)


def test_a_record_of_wrong_types(host: Host) -> None:
    wrong = {"Id": ID, "Name": 5, "State": {"Status": ["running"], "OOMKilled": "yes", "ExitCode": 1.5, "FinishedAt": "9999-99-99T99:99:99Z", "Health": []},
             "RestartCount": True, "HostConfig": "x", "Args": {"a": 1}, "Path": None, "Config": {"Labels": ["com.docker.compose.project"]}}
    docker(host, lambda target: [http(VERSION if target == "/version" else json.dumps(wrong if ID in target else [{"Id": ID}]).encode())])
    reading = collect(host)
    row = reading.data["containers"][0]
    assert (row["state"], row["name"], row["oom_killed"], row["exit_code"], row["restarts"], row["finished_at"]) == ("unknown", None, None, None, None, None)


def test_a_socket_that_somebody_else_could_have_made_is_not_asked(host: Host) -> None:
    docker(host, recorded("docker-20.10.24.json"))
    os.chmod(host.folder + "/run", 0o777)
    reading = collect(host)
    assert reading.status == "denied" and "not trusted: others may write to its folder" in reading.reason
    assert reading.data["counts"] == dict.fromkeys(("running", "exited", "restarting", "unhealthy"))


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a file to somebody else")
def test_a_socket_of_another_user_is_not_asked(host: Host) -> None:
    docker(host, recorded("docker-20.10.24.json"))
    os.chown(host.folder + "/run/docker.sock", 12345, 0)
    assert "it belongs to the user 12345" in collect(host).reason


def test_a_users_own_engine_and_one_that_the_command_line_names(host: Host) -> None:
    host.process(40, "dockerd", uid=1000)
    host.file("/proc/40/cmdline", "dockerd\0-H\0unix:///run/user/1000/x.sock\0--host=unix:///nowhere\0")
    for name in ("docker.sock", "x.sock"):
        host.listen("/run/user/1000/" + name, recorded("docker-20.10.24.json"))
    assert [row["socket"] for row in collect(host).data["engine"]] == ["/run/user/1000/docker.sock", "/run/user/1000/x.sock"]


def test_one_socket_under_two_names_is_asked_once(host: Host) -> None:
    docker(host, recorded("podman-4.3.1.json"))
    os.symlink(".", host.folder + "/var")
    host.process(41, "podman")
    os.mkdir(host.folder + "/run/podman", 0o755)
    os.symlink("../docker.sock", host.folder + "/run/podman/podman.sock")
    assert [row["kind"] for row in collect(host).data["engine"]] == ["podman"]


def test_an_engine_without_a_socket_is_said(host: Host) -> None:
    host.process(40, "conmon")
    running(host, "/machine.slice/libpod-%s.scope" % ID)
    reading = collect(host)
    assert reading.status == "partial" and "podman: it runs, and has no socket" in reading.reason
    assert [(row["id"], row["engine"]) for row in reading.data["containers"]] == [("podman:" + ID[:12], "podman")]


@pytest.mark.parametrize("watcher", ["conmon", "conmonrs"])
def test_kubernetes_with_an_engine_of_its_own(host: Host, watcher: str) -> None:
    """CRI-O starts what podman starts, too: podman is not missing there."""
    host.process(40, "crio")
    host.process(41, watcher, "/kubepods.slice/kubepods-pod%s.slice/crio-conmon-%s.scope" % (POD.replace("-", "_"), ID))
    running(host, "/kubepods.slice/kubepods-pod%s.slice/crio-%s.scope" % (POD.replace("-", "_"), ID))
    reading = collect(host)
    assert (reading.status, reading.data["engine"], reading.data["counts"]["running"]) == ("ok", [], 1)
    assert [(row["id"], row["pod"], row["processes"]) for row in reading.data["containers"]] == [("kubernetes:" + POD, POD, 1)]
    assert _snapshot.COLLECTORS["containers"](host.machine(), Options(daemons={"crio": (40,)}, window_s=0.1)).status == "ok"


def test_nothing_there_is_absent(host: Host) -> None:
    assert collect(host).status == "absent"
    assert _snapshot.COLLECTORS["containers"](host.machine(), Options(daemons={"nginx": (1,)})).status == "absent"


def test_a_socket_whose_engine_does_not_run_is_left_alone(host: Host) -> None:
    asked: t.List[str] = []
    host.listen("/run/docker.sock", lambda target: asked.append(target) or [])
    assert collect(host).status == "absent" and asked == []


def test_a_service_that_is_a_container_has_its_name(host: Host) -> None:
    docker(host, recorded("docker-20.10.24.json"))
    containers = collect(host).data["containers"]
    web = next(row for row in containers if row["service"] == "web")
    services: t.List[t.Dict[str, t.Any]] = [
        {"id": web["id"], "name": web["container_id"], "restarts": None, "container": None},
        {"id": "x.service", "name": "x.service", "restarts": 1, "container": None}]
    _snapshot.tell_containers(services, containers)
    assert (services[0]["name"], services[0]["restarts"]) == ("h-cont-1", 0)
    assert services[0]["container"] == {"name": "h-cont-1", "image": "h-cont-img:1", "project": "shop", "service": "web", "state": "running", "restarts": 0,
                                        "health": "healthy", "exit_code": None, "oom_killed": False}
    assert services[1] == {"id": "x.service", "name": "x.service", "restarts": 1, "container": None}
