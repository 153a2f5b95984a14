# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The hosts of these cases: containers of the lab's image like lab-1 to lab-3, made by the runner and removed by it."""

from __future__ import annotations

import concurrent.futures
import os
import re
import time
from pathlib import Path
from typing import Any

import _common
import _containers
import _image
from _causes import Host
from _common import KEY, SSH_OPTIONS, LabError, alone, engine, options, run, ssh, ssh_key

HERE = Path(__file__).resolve().parent
ON_HOST = "/opt/relief"
PROGRAMS = ("watch.py", "probe.py", "signals.py", "listing.py", "crowd.py")

# Name, port of ssh, and whose configuration it has.
HOSTS = {"relief-1": (22091, "lab-1"), "relief-2": (22092, "lab-2"), "relief-3": (22093, "lab-3"), "relief-prober": (22094, "lab-1")}
MACHINE = ("relief-machine", 22095)
# Nothing is ever caused on the host that probes the others.
PROBER = "relief-prober"


def _data() -> dict[str, Any]:
    data = options()
    data["hosts"] = {name: {"ssh_port": port} for name, (port, profile) in HOSTS.items()}
    return data


def wait_up(name: str) -> None:
    """Until nothing on the host starts any more and ssh answers."""
    until = time.monotonic() + 180
    while True:
        done = ssh(name, "systemctl is-system-running 2>&1 || true", check=False, timeout_s=60)
        if done.returncode == 0 and done.stdout.strip() in ("running", "degraded"):
            return
        if time.monotonic() > until:
            raise LabError("{0} does not come up: {1}".format(name, (done.stdout or done.stderr).strip()[-200:]))
        time.sleep(0.3)


# Hosts on which nothing was caused yet.
FRESH: set[str] = set()


def unspoiled(name: str) -> None:
    """The host without a past; one that nobody used since it was made will do."""
    if name not in FRESH:
        make(name)
    FRESH.discard(name)


def make(name: str) -> None:
    """The host, made anew."""
    program = engine()
    run([program, "rm", "--force", "--volumes", name], check=False)
    run(_containers.run_words(program, name, _image.build(), _data()))
    _containers.authorise(program, name)
    # A connection kept open belongs to the container that was.
    _drop_connection(name)
    wait_up(name)
    ssh(name, "lab-apply " + HOSTS[name][1])
    install(name)
    FRESH.add(name)


def install(name: str) -> None:
    """What looks and measures on a host; none of it knows the product."""
    ssh(name, "mkdir -p {0} /var/tmp/relief".format(ON_HOST))
    for program in PROGRAMS:
        ssh(name, "cat > {0}/{1}".format(ON_HOST, program), stdin=(HERE / program).read_bytes())


def _drop_connection(name: str) -> None:
    run(["ssh", "-O", "exit", *SSH_OPTIONS, "-o", "ControlPath=/tmp/.oncall-lab-{0}-%C".format(os.getuid()), "-p", str(_common.port_of(name)),
         "root@127.0.0.1"], check=False, timeout_s=20)


def up() -> None:
    _common.ADDED.update({name: port for name, (port, profile) in HOSTS.items()})
    _common.ADDED[MACHINE[0]] = MACHINE[1]
    ssh_key()
    network = options()["network"]
    _image.build()
    with alone("containers"):
        if run([engine(), "network", "inspect", network], check=False).returncode != 0:
            run([engine(), "network", "create", network])
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        list(pool.map(make, HOSTS))


def down() -> None:
    for name in HOSTS:
        run([engine(), "rm", "--force", "--volumes", name], check=False)


def reboot(name: str) -> None:
    """A power failure: nothing is told to stop."""
    run([engine(), "restart", "--time", "0", name])
    _drop_connection(name)
    wait_up(name)


def inside(name: str, command: str) -> str:
    """What a command says on a host that nobody is connected to."""
    return run([engine(), "exec", name, "sh", "-c", command], check=False).stdout


def connected(name: str) -> list[int]:
    """The processes of sshd that somebody is connected to."""
    return sorted({int(pid) for pid in re.findall(r"pid=(\d+)", inside(name, "ss -Htnp state established '( sport = :22 )'"))})


def left_alone(name: str) -> bool:
    """End every connection, those that Ansible keeps open too; whether nobody is connected to the host then."""
    _drop_connection(name)
    until = time.monotonic() + 20
    while connected(name):
        if time.monotonic() > until:
            return False
        for pid in connected(name):
            inside(name, "kill {0}".format(pid))
        time.sleep(0.5)
    return True


def inventory(folder: Path) -> Path:
    """Written for the playbooks: what an operator would have."""
    lines = ["all:", "  hosts:"]
    for name, port in _common.ADDED.items():
        lines += ["    {0}:".format(name), "      ansible_port: {0}".format(port)]
    lines += ["  vars:", "    ansible_host: 127.0.0.1", "    ansible_user: root", "    ansible_ssh_private_key_file: {0}".format(KEY),
              "    ansible_ssh_common_args: >-",
              "      -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o IdentitiesOnly=yes -o LogLevel=ERROR",
              "    ansible_python_interpreter: /usr/bin/python3"]
    path = folder / "hosts.yml"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def host(name: str) -> Host:
    return Host(name)
