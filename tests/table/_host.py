# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The host of the table: a container of the lab's image with a few packages more, a Docker of its own among them."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

import _common
import _containers
import _image
from _common import KEY, LabError, alone, engine, options, run, say, ssh, ssh_key

HERE = Path(__file__).resolve().parent
ON_HOST = "/opt/table"

# Beside the lab's own packages: an engine of containers, and file systems whose servers can be stopped.
PACKAGES = ("docker.io", "busybox-static", "sshfs", "lxcfs")

INSTALL = """
printf '#!/bin/sh\\nexit 101\\n' > /usr/sbin/policy-rc.d; chmod +x /usr/sbin/policy-rc.d
apt-get update -q
DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends {0}
rm /usr/sbin/policy-rc.d
apt-get clean
systemctl mask --quiet lxcfs.service
"""

# What the host is before anything is tried on it. The containers lie in its own part of the cgroup tree, as on a real host.
SETUP = """
lab-apply lab-1
own=$(sed -n 's/^[0-9]*:name=systemd://p; s/^0:://p' /proc/self/cgroup | sed -n 's#^\\(/[a-z.]*/[^/]*[0-9a-f]\\{{12,\\}}[^/]*\\).*#\\1#p' | head -n 1)
tar -C / -c bin/busybox | docker import - table-busybox >/dev/null
for number in $(seq {containers}); do
    docker run --detach --network none --cgroup-parent "$own/system.slice" --name "$(printf 'crew-%s-%s' {name} $number)" --memory 32m \\
        table-busybox /bin/busybox sleep 100000 >/dev/null
done
ssh-keygen -q -t ed25519 -N '' -f /root/.ssh/far; cat /root/.ssh/far.pub >> /root/.ssh/authorized_keys
mkdir -p /srv/far /mnt/far
journalctl --rotate --quiet; journalctl --vacuum-time=1s --quiet
"""


def image() -> str:
    """The lab's image with our packages, made once per content."""
    base = _image.build()
    tag = hashlib.sha256((base + INSTALL + " ".join(PACKAGES)).encode()).hexdigest()[:12]
    name = "oncall-pressure-table:" + tag
    program = engine()
    if _image.exists(name):
        return name
    with alone("table-image"):
        if not _image.exists(name):
            say("making {0}".format(name))
            work = "table-image-" + tag
            run([program, "rm", "--force", work], check=False)
            try:
                run([program, "run", "--name", work, base, "sh", "-ec", INSTALL.format(" ".join(PACKAGES))])
                run([program, "commit", "--change", 'CMD ["/sbin/init"]', work, name])
            finally:
                run([program, "rm", "--force", work], check=False)
    return name


class Host:
    """The one host, reached over ssh as any other."""

    def __init__(self, name: str, port: int) -> None:
        self.name = name
        self.port = port
        _common.ADDED[name] = port

    def up(self, name: str, containers: int) -> None:
        """Make it anew. Its containers are as many, and have this in their names."""
        program = engine()
        ssh_key()
        data = options()
        data["hosts"][self.name] = {"ssh_port": self.port}
        built = image()
        with alone("containers"):
            if run([program, "network", "inspect", data["network"]], check=False).returncode != 0:
                run([program, "network", "create", data["network"]])
        self.down()
        words = _containers.run_words(program, self.name, built, data)
        words[2:2] = ["--device", "/dev/fuse"]
        run(words)
        _containers.authorise(program, self.name)
        self._settled()
        self.sh("mkdir -p {0}; cat > {0}/onhost.py".format(ON_HOST), stdin=(HERE / "onhost.py").read_bytes())
        self.sh("set -e\n" + SETUP.format(name=name, containers=containers))
        self.ready()

    def _settled(self) -> None:
        until = time.monotonic() + 120
        while True:
            done = ssh(self.name, "systemctl is-system-running 2>&1 || true", check=False, timeout_s=60)
            if done.returncode == 0 and done.stdout.strip() in ("running", "degraded"):
                return
            if time.monotonic() > until:
                raise LabError("{0} does not come up: {1}".format(self.name, (done.stdout or done.stderr).strip()[-200:]))
            time.sleep(0.3)

    def sh(self, command: str, check: bool = True, stdin: bytes | None = None, timeout_s: float = 90) -> str:
        return str(ssh(self.name, command, check=check, stdin=stdin, timeout_s=timeout_s).stdout)

    def tool(self, *words: str) -> str:
        """One of our programs on the host."""
        return self.sh("python3 {0}/onhost.py {1}".format(ON_HOST, " ".join(words)))

    def ready(self) -> None:
        """Wait until everything on it answers."""
        until, last = time.monotonic() + 60, ""
        while time.monotonic() < until:
            last = self.tool("ready").strip()
            if not last:
                return
            time.sleep(0.3)
        raise LabError("{0} is not as it was: {1}".format(self.name, last))

    def init(self) -> int:
        """The host's process 1 as this machine sees it: only from outside can it be stopped."""
        return int(run([engine(), "inspect", "--format", "{{.State.Pid}}", self.name]).stdout)

    def inspected(self, form: str) -> str:
        return str(run([engine(), "inspect", "--format", form, self.name]).stdout).strip()

    def down(self) -> None:
        control = ["-o", "ControlPath=/tmp/.oncall-lab-{0}-%C".format(os.getuid())]
        run(["ssh", "-O", "exit", *_common.SSH_OPTIONS, *control, "-p", str(self.port), "root@127.0.0.1"], check=False, timeout_s=20)
        until = time.monotonic() + 60
        while True:
            said = run([engine(), "rm", "--force", "--volumes", self.name], check=False)
            # a process that waits for a server that is stopped takes a while to go
            if said.returncode == 0 or "No such container" in said.stderr or time.monotonic() > until:
                return
            time.sleep(2)

    def inventory(self, folder: Path) -> Path:
        """What an operator would have."""
        lines = ["all:", "  hosts:", "    {0}:".format(self.name), "      ansible_port: {0}".format(self.port), "  vars:", "    ansible_host: 127.0.0.1",
                 "    ansible_user: root", "    ansible_ssh_private_key_file: {0}".format(KEY), "    ansible_ssh_common_args: >-",
                 "      -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o IdentitiesOnly=yes -o LogLevel=ERROR",
                 "    ansible_python_interpreter: /usr/bin/python3"]
        path = folder / "hosts.yml"
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return path
