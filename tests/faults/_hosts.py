# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The scratch hosts that faults are made on: containers of the lab's image, or the lab's whole machine."""

from __future__ import annotations

import base64
import concurrent.futures
import functools
import io
import json
import os
import shlex
import subprocess
import tarfile
import time
from pathlib import Path
from typing import Any

import _containers
import _image
import _machine
import yaml
from _common import ROOT, SSH_OPTIONS, LabError, alone, engine, options, run, ssh_key

HERE = Path(__file__).resolve().parent
ON_HOST = "/opt/faults"
# Set by the command line: each host has a control group of its own beside the engine's, so that other containers do not take its time.
OWN_SHARE = False
# What travels to a host beside the collection's own code; all of it imports nothing of the product but driver.py.
PROGRAMS = ("driver.py", "onhost.py", "state.py", "plant.py", "contend.py")


def data_of(name: str) -> Any:
    """One of this folder's data files."""
    with open(HERE / name, encoding="utf-8") as stream:
        return yaml.safe_load(stream)


@functools.lru_cache(maxsize=None)
def sources() -> bytes:
    """What a host needs to run the real modules, as it is when a run starts: an archive of the collection's code, Ansible's module_utils, our programs."""
    held = io.BytesIO()

    def plain(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
        if "__pycache__" in member.name:
            return None
        member.uid = member.gid = 0
        member.uname = member.gname = "root"
        return member

    import ansible.module_utils
    with tarfile.open(fileobj=held, mode="w") as archive:
        for part in ("module_utils", "modules"):
            archive.add(str(ROOT / "plugins" / part), "ansible_collections/oncall/pressure/plugins/" + part, filter=plain)
        folder = Path(ansible.module_utils.__file__).parent
        archive.add(str(folder), "ansible/module_utils", filter=plain)
        archive.add(str(folder.parent / "release.py"), "ansible/release.py", filter=plain)
        archive.addfile(tarfile.TarInfo("ansible/__init__.py"))
        for name in PROGRAMS:
            if (HERE / name).exists():
                archive.add(str(HERE / name), name, filter=plain)
    return held.getvalue()


def setup_script(data: dict[str, Any]) -> str:
    """Shell lines that make a lab image one of our hosts; idempotent."""
    lines = ["set -e"]
    for row in data["files"]:
        path = shlex.quote(row["path"])
        lines.append("mkdir -p $(dirname {0})".format(path))
        if "link" in row:
            lines.append("ln -sfn {0} {1}".format(shlex.quote(row["link"]), path))
            continue
        # `bytes` has one character for each byte
        content = row["bytes"].encode("latin-1") if "bytes" in row else row["text"].encode()
        text = base64.b64encode(content).decode()
        lines.append("echo {0} | base64 -d > {1}; chmod {2} {1}; chown {3} {1}".format(text, path, row.get("mode", "0644"), row.get("owner", "root:root")))
        if "xattr" in row:
            lines.append("python3 -c 'import os, sys; os.setxattr(sys.argv[1], sys.argv[2], b\"kept\")' {0} {1}".format(path, row["xattr"]))
    lines.append("rm -f /etc/nginx/sites-enabled/default /etc/nginx/sites-enabled/shop.conf")
    lines.append("systemctl disable --quiet --now shop-web.service shop-jobs.service postgresql.service cron.service redis-server.service 2>/dev/null || true")
    lines.append("systemctl daemon-reload; systemctl enable --quiet {0}; systemctl restart {0}".format(" ".join(data["enable"])))
    return "\n".join(lines)


class Host:
    """A host that faults are made on: programs run on it as root, and it can be rebooted."""

    def __init__(self, name: str, port: int) -> None:
        self.name = name
        self.port = port

    def ssh_words(self, command: str, terminal: bool = False, multiplexed: bool = False) -> list[str]:
        shared = ["-o", "ControlMaster=auto", "-o", "ControlPersist=60", "-o", "ControlPath=/tmp/.oncall-lab-{0}-%C".format(os.getuid())]
        # A connection that will be cut carries nothing else.
        own = ["-o", "ControlMaster=no", "-o", "ControlPath=none", "-o", "ServerAliveInterval=5"]
        return ["ssh", *SSH_OPTIONS, *(shared if multiplexed else own), *(["-tt"] if terminal else ["-T"]), "-o", "ConnectTimeout=20",
                "-p", str(self.port), "root@127.0.0.1", command]

    def start(self, command: str, terminal: bool = False) -> subprocess.Popen:
        """A program on the host, through a connection of its own."""
        return subprocess.Popen(self.ssh_words(command, terminal), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def sh(self, command: str, stdin: bytes | None = None, check: bool = True, timeout_s: float = 300) -> str:
        raise NotImplementedError

    def reboot(self) -> None:
        raise NotImplementedError

    def ask(self, program: str, request: Any, timeout_s: float = 300) -> Any:
        """What one of our programs on the host answers to a JSON request."""
        text = self.sh("PATH={0}:$PATH python3 {0}/{1}".format(ON_HOST, program), stdin=json.dumps(request).encode(), timeout_s=timeout_s)
        try:
            return json.loads(text)
        except ValueError as problem:
            raise LabError("{0}: {1} said no JSON: {2}".format(self.name, program, text[-300:])) from problem

    def install(self, data: dict[str, Any], archive: bytes) -> None:
        self.sh("rm -rf {0}; mkdir -p {0}; tar -x -C {0}".format(ON_HOST), stdin=archive)
        # Ours stays even where a case takes the host's away.
        self.sh("cp -L /usr/bin/systemctl {0}/systemctl".format(ON_HOST))
        self.sh(setup_script(data))
        self.settled()

    def settled(self) -> None:
        """Wait until nothing on the host starts any more."""
        until = time.monotonic() + 600
        while self.sh("systemctl is-system-running 2>&1 || true", check=False).strip() not in ("running", "degraded"):
            if time.monotonic() > until:
                raise LabError("{0} does not come up".format(self.name))
            time.sleep(0.3)


class Container(Host):
    """A scratch container; `docker restart` is its power failure."""

    def sh(self, command: str, stdin: bytes | None = None, check: bool = True, timeout_s: float = 300) -> str:
        return run([engine_name(), "exec", "-i", self.name, "sh", "-c", command], stdin=stdin or b"", check=check, timeout_s=timeout_s).stdout

    def reboot(self) -> None:
        run([engine_name(), "restart", "--time", "0", self.name])
        self.settled()

    def power_off(self) -> None:
        run([engine_name(), "kill", self.name])

    def power_on(self) -> None:
        run([engine_name(), "start", self.name])
        self.settled()


class Machine(Host):
    """The whole machine, with a kernel of its own; its reboot is at once and writes nothing back."""

    def sh(self, command: str, stdin: bytes | None = None, check: bool = True, timeout_s: float = 600) -> str:
        return run(self.ssh_words(command, multiplexed=True), stdin=stdin or b"", check=check, timeout_s=timeout_s).stdout

    def identity(self) -> str:
        return self.sh("cat /proc/sys/kernel/random/boot_id", check=False, timeout_s=30).strip()

    def reboot(self) -> None:
        before = self.identity()
        run(self.ssh_words("echo 1 > /proc/sys/kernel/sysrq; (sleep 0.2; echo b > /proc/sysrq-trigger) >/dev/null 2>&1 &"), check=False, timeout_s=30)
        run(["ssh", "-O", "exit", *self.ssh_words("", multiplexed=True)[1:-1]], check=False, timeout_s=20)
        until = time.monotonic() + 1200
        while time.monotonic() < until:
            time.sleep(1)
            try:
                now = self.identity()
            except subprocess.TimeoutExpired:
                continue
            if now and now != before:
                self.settled()
                return
        raise LabError("{0} does not come back from its reboot".format(self.name))


_ENGINE: list[str] = []


def engine_name() -> str:
    if not _ENGINE:
        _ENGINE.append(engine())
    return _ENGINE[0]


def _make(name: str, port: int, data: dict[str, Any], archive: bytes) -> Container:
    program = engine_name()
    run([program, "rm", "--force", "--volumes", name], check=False)
    lab = options()
    lab["hosts"][name] = {"ssh_port": port}
    lab["run"]["memory"] = data["memory"]
    lab["run"]["capabilities"] += data["capabilities"]
    words = _containers.run_words(program, name, _image.build(), lab)
    if OWN_SHARE:
        words[2:2] = ["--cgroup-parent", "/" + name]
    run(words)
    host = Container(name, port)
    host.settled()
    _containers.authorise(program, name)
    host.install(data, archive)
    return host


def up(count: int, prefix: str = "") -> list[Container]:
    """Make so many hosts anew."""
    data = data_of("hosts.yml")
    ssh_key()
    network = options()["network"]
    _image.build()
    with alone("containers"):
        if run([engine_name(), "network", "inspect", network], check=False).returncode != 0:
            run([engine_name(), "network", "create", network])
    archive = sources()
    first = data["first_port"] + sum(map(ord, prefix)) % 100 * 8
    names = [prefix + data["name"].format(number=number + 1) for number in range(count)]
    with concurrent.futures.ThreadPoolExecutor(min(count, 3)) as pool:
        return list(pool.map(lambda pair: _make(pair[1], first + pair[0], data, archive), enumerate(names)))


def anew(host: Container) -> Container:
    """The same host without a past."""
    return _make(host.name, host.port, data_of("hosts.yml"), sources())


def down(hosts: list[Any]) -> None:
    for host in hosts:
        if isinstance(host, Container):
            run([engine_name(), "rm", "--force", "--volumes", host.name], check=False)


def machine() -> Machine:
    """The lab's whole machine, booted anew."""
    _machine.recreate()
    data = options()["machine"]
    host = Machine(data["name"], data["ssh_port"])
    host.install(data_of("hosts.yml"), sources())
    return host
