# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fleet's hosts: started once for a run of the suite, put back between cases, asked through one open process each."""

from __future__ import annotations

import concurrent.futures
import hashlib
import io
import json
import shlex
import subprocess
import tarfile
import threading
import time
from pathlib import Path
from typing import Any, Iterable

import _containers
import _image
import yaml
from _common import KEY, LabError, ROOT, alone, engine, options, run, say, ssh_key

HERE = Path(__file__).resolve().parent
ON_HOST = "/opt/fleet"
PROGRAMS = (HERE / "agent.py", ROOT / "tests" / "faults" / "state.py")


def data_of(name: str) -> Any:
    """One of this folder's data files."""
    with open(HERE / name, encoding="utf-8") as stream:
        return yaml.safe_load(stream)


DATA = data_of("hosts.yml")
# Set by the command line: hosts that an earlier run left (--keep) are taken as they are, and put back.
REUSE = False
# Set by the command line: two runs of the suite do not share hosts whose names begin with other words.
PREFIX = ""


class Host:
    """One host of the fleet."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.name = PREFIX + DATA["name"].format(number=number)
        self.port = DATA["first_port"] + sum(map(ord, PREFIX)) % 40 * 20 + number - 1
        self.sick = number in DATA["sick"]
        self._agent: subprocess.Popen[bytes] | None = None
        self._turn = threading.Lock()

    @property
    def workers(self) -> int:
        """How many workers its service has while nobody changed it."""
        return DATA["workers"]["sick" if self.sick else "healthy"]

    def unit_text(self) -> str:
        text = next(row["text"] for row in DATA["files"] if row["path"].endswith(DATA["service"]))
        return text.replace("{workers}", str(self.workers))

    def begin(self) -> None:
        words = [engine_name(), "exec", "-i", self.name, "python3", ON_HOST + "/agent.py"]
        self._agent = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def end(self) -> None:
        if self._agent is not None and self._agent.stdin is not None:
            self._agent.stdin.close()
            try:
                self._agent.wait(10)
            except subprocess.TimeoutExpired:
                self._agent.kill()
            self._agent = None

    def ask(self, what: str, **more: Any) -> dict[str, Any]:
        """One question to the process on the host."""
        request = dict(more, do=what, look=DATA["look"], unit_text=self.unit_text(), workers=self.workers)
        with self._turn:
            if self._agent is None or self._agent.stdin is None or self._agent.stdout is None:
                raise LabError("nobody on {0} can be asked".format(self.name))
            self._agent.stdin.write(json.dumps(request).encode() + b"\n")
            self._agent.stdin.flush()
            answer = json.loads(self._agent.stdout.readline() or b'{"problem": "it ended"}')
        if "problem" in answer:
            raise LabError("{0}: {1}: {2}".format(self.name, what, answer["problem"]))
        return answer

    def pause(self) -> None:
        """Every process of the host stands still; connections hang."""
        run([engine_name(), "pause", self.name])

    def unpause(self) -> None:
        run([engine_name(), "unpause", self.name], check=False)


_ENGINE: list[str] = []


def engine_name() -> str:
    if not _ENGINE:
        _ENGINE.append(engine())
    return _ENGINE[0]


def _context(base: str) -> bytes:
    """What the image of the fleet is built of, as an archive: two programs, the files of hosts.yml, the lines that mask the rest."""
    lines = ["FROM " + base, "COPY rootfs /"]
    lines.append("RUN systemctl mask --quiet {0}; systemctl enable --quiet {1} ssh.service".format(
        " ".join(map(shlex.quote, DATA["masked"])), DATA["service"]))
    lines.append('CMD ["/sbin/init"]')
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w") as archive:
        def add(path: str, content: bytes) -> None:
            member = tarfile.TarInfo(path)
            member.size = len(content)
            member.mode = 0o644
            archive.addfile(member, io.BytesIO(content))
        add("Dockerfile", "\n".join(lines).encode() + b"\n")
        for program in PROGRAMS:
            add("rootfs{0}/{1}".format(ON_HOST, program.name), program.read_bytes())
        for row in DATA["files"]:
            add("rootfs" + row["path"], row["text"].replace("{workers}", str(DATA["workers"]["healthy"])).encode())
        add("rootfs/root/.ssh/authorized_keys", ssh_key().with_suffix(".pub").read_bytes())
    return held.getvalue()


def build() -> str:
    """The fleet's image, built unless it is there."""
    context = _context(_image.build())
    name = "{0}:{1}".format(DATA["image"], hashlib.sha256(context).hexdigest()[:12])
    with alone("fleet-image"):
        if run([engine_name(), "image", "inspect", name], check=False).returncode != 0:
            say("building {0}".format(name))
            run([engine_name(), "build", "--quiet", "--tag", name, "-"], stdin=context)
    return name


def _start(host: Host, image: str) -> None:
    program = engine_name()
    run([program, "rm", "--force", "--volumes", host.name], check=False)
    lab = options()
    lab["network"] = DATA["network"]
    lab["hosts"] = {host.name: {"ssh_port": host.port}}
    lab["run"]["memory"] = DATA["memory"]
    run(_containers.run_words(program, host.name, image, lab))


def _boots(host: Host, image: str) -> bool:
    """Whether a host comes up; on a machine that has much else to do, systemd in a container now and then gives up or waits for ever at its start."""
    _start(host, image)
    until = time.monotonic() + 240
    while time.monotonic() < until and _containers.state_of(engine_name(), host.name)[0] == "running":
        words = run([engine_name(), "exec", host.name, "systemctl", "is-system-running"], check=False).stdout.strip()
        if words in ("running", "degraded"):
            return True
        time.sleep(1)
    return False


def _make(host: Host, image: str) -> None:
    there = REUSE and _containers.state_of(engine_name(), host.name) == ("running", image)
    if not there and not any(_boots(host, image) for unused in range(3)):
        raise LabError("{0} does not come up".format(host.name))
    host.begin()
    host.ask("reset")


def up(hosts: list[Host]) -> None:
    """These hosts, made anew."""
    started = time.monotonic()
    image = build()
    if run([engine_name(), "network", "inspect", DATA["network"]], check=False).returncode != 0:
        run([engine_name(), "network", "create", DATA["network"]])
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        # four boot at a time: twenty at once would be slower together
        list(pool.map(lambda host: _make(host, image), hosts))
    say("{0} hosts ({1:.0f} s)".format(len(hosts), time.monotonic() - started))


def down(hosts: Iterable[Host]) -> None:
    names = [host.name for host in hosts]
    for host in hosts:
        host.end()
    if names:
        run([engine_name(), "rm", "--force", "--volumes", *names], check=False)
    run([engine_name(), "network", "rm", DATA["network"]], check=False)


def each(hosts: Iterable[Host], what: str, **more: Any) -> dict[str, dict[str, Any]]:
    """The same question to many."""
    hosts = list(hosts)
    with concurrent.futures.ThreadPoolExecutor(max(len(hosts), 1)) as pool:
        return dict(zip([host.name for host in hosts], pool.map(lambda host: host.ask(what, **more), hosts)))


def ready(hosts: list[Host]) -> None:
    """Put every host back, and keep its state under `old`."""
    wrong = [name for name, answer in each(hosts, "reset").items()
             if answer["workers"] != next(host.workers for host in hosts if host.name == name)]
    if wrong:
        raise LabError("not as they were declared: " + ", ".join(wrong))
    each(hosts, "record", name="old")


def inventory(folder: Path, hosts: list[Host], extra: dict[str, dict[str, Any]] | None = None, groups: dict[str, list[str]] | None = None) -> Path:
    """What an operator of this fleet would have; `extra` is added to the variables of single hosts, `groups` are further ones with their hosts."""
    shared = {"ansible_host": "127.0.0.1", "ansible_user": "root", "ansible_ssh_private_key_file": str(KEY),
              "ansible_ssh_common_args": "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o IdentitiesOnly=yes -o LogLevel=ERROR",
              "ansible_python_interpreter": "/usr/bin/python3", "pressure_thresholds": DATA["thresholds"], "pressure_reserve_pct": DATA["reserve_pct"]}
    listed = {host.name: dict({"ansible_port": host.port}, **(extra or {}).get(host.name, {})) for host in hosts}
    path = folder / "hosts.json"
    children: dict[str, Any] = {"web": {"hosts": listed, "vars": shared}}
    children.update({name: {"hosts": dict.fromkeys(names, {})} for name, names in (groups or {}).items()})
    path.write_text(json.dumps({"all": {"children": children}}, indent=1), encoding="utf-8")
    return path
