# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's whole machine: the same stack under a kernel of its own (cgroup v2), emulated by qemu."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import _image
from _common import CACHE, LabError, alone, engine, options, run, say, ssh_key
from _containers import wait_ready

PID_FILE = CACHE / "machine.pid"
CONSOLE = CACHE / "machine-console.log"

INSTALL = """
export DEBIAN_FRONTEND=noninteractive
apt-get -q update
apt-get -q -y --no-install-recommends install {packages}
apt-get clean
rm -rf /var/lib/apt/lists/*
cp -R /usr/share/lab/hosts/{name}/etc/. /etc/
find /etc/nginx/sites-enabled -name default -type l -delete
systemctl enable --quiet $(grep -v '^#' /usr/share/lab/hosts/{name}/units)
printf '[Match]\\nName=e*\\n[Network]\\nDHCP=ipv4\\n' > /etc/systemd/network/lab.network
systemctl enable --quiet systemd-networkd.service
systemctl disable --quiet systemd-networkd-wait-online.service
echo '/dev/vda / ext4 defaults,noatime 0 1' > /etc/fstab
"""


def _folder() -> Path:
    """Where this machine's disk and kernel are kept: named by everything they are built from."""
    content = repr((_image.tag(), options()["machine"], INSTALL, ssh_key().with_suffix(".pub").read_text()))
    return CACHE / ("machine-" + hashlib.sha256(content.encode()).hexdigest()[:12])


def _finish_rootfs(rootfs: Path, name: str) -> None:
    """What the container engine owns in a container and leaves empty in an export."""
    (rootfs / "etc/hostname").write_text(name + "\n")
    (rootfs / "etc/hosts").write_text("127.0.0.1 localhost\n127.0.1.1 {0}\n".format(name))
    (rootfs / "etc/resolv.conf").write_text("")
    public = ssh_key().with_suffix(".pub").read_text()
    for home in ("root", "home/op", "home/ordinary", "home/opw"):
        owner = (rootfs / home).stat()
        folder = rootfs / home / ".ssh"
        folder.mkdir(mode=0o700, exist_ok=True)
        (folder / "authorized_keys").write_text(public)
        for path in (folder, folder / "authorized_keys"):
            os.chown(path, owner.st_uid, owner.st_gid)


def build() -> Path:
    """Disk, kernel and initial ramdisk of the machine, made unless they are there; returns their folder."""
    image = _image.build()
    folder = _folder()
    if (folder / "complete").exists():
        return folder
    if os.geteuid() != 0:
        raise LabError("making the machine's disk needs root (once): run `sudo make lab-machine`")
    started = time.monotonic()
    program = engine("--packages", "--machine")
    data = options()["machine"]
    say("making the machine's disk (some minutes, once)")
    shutil.rmtree(folder, ignore_errors=True)
    rootfs = folder / "rootfs"
    rootfs.mkdir(parents=True)
    builder = "oncall-pressure-lab-machine-build"
    run([program, "rm", "--force", builder], check=False)
    try:
        run([program, "run", "--name", builder, "--network", "host", image, "sh", "-ec",
             INSTALL.format(packages=" ".join(data["packages"]), name=data["name"])])
        run(["sh", "-ec", "{0} export {1} | tar -x -p --numeric-owner -C {2} --exclude=./dev/*".format(program, builder, rootfs)])
    finally:
        run([program, "rm", "--force", builder], check=False)
    _finish_rootfs(rootfs, data["name"])
    for kind in ("vmlinuz", "initrd.img"):
        found = sorted((rootfs / "boot").glob(kind + "-*"))
        if not found:
            raise LabError("no {0} in the machine's /boot: its kernel package was not configured".format(kind))
        shutil.copyfile(found[-1], folder / kind)
    run(["/sbin/mke2fs", "-q", "-F", "-t", "ext4", "-E", "root_owner=0:0", "-d", str(rootfs), str(folder / "disk.img"), "{0}G".format(data["disk_gib"])])
    shutil.rmtree(rootfs)
    (folder / "complete").touch()
    for old in CACHE.glob("machine-*"):
        if old.is_dir() and old != folder:
            shutil.rmtree(old)
    say("made in {0:.0f} s".format(time.monotonic() - started))
    return folder


def _running() -> int | None:
    """Process id of the machine's qemu; None where it does not run."""
    try:
        pid = int(PID_FILE.read_text())
        if b"qemu" in Path("/proc/{0}/cmdline".format(pid)).read_bytes():
            return pid
    except (OSError, ValueError):
        pass
    return None


def _qemu_words(folder: Path, data: dict[str, Any]) -> list[str]:
    # With -snapshot every boot starts from the disk as it was made: a reboot is a machine without a past.
    return ["qemu-system-x86_64", "-accel", "tcg,thread=multi", "-smp", str(data["cpus"]), "-m", str(data["memory_mib"]), "-cpu", "max",
            "-display", "none", "-snapshot", "-serial", "file:" + str(CONSOLE), "-pidfile", str(PID_FILE), "-daemonize",
            "-drive", "file={0},if=virtio,format=raw".format(folder / "disk.img"),
            "-nic", "user,model=virtio-net-pci,hostfwd=tcp:127.0.0.1:{0}-:22".format(data["ssh_port"]),
            "-kernel", str(folder / "vmlinuz"), "-initrd", str(folder / "initrd.img"),
            # Where others use the processors, the emulated disk may be found too late: then it boots again, where it would give a shell.
            # (rootdelay would not only wait longer for the disk but always sleep so long first.)
            "-append", "console=ttyS0 root=/dev/vda rw panic=5 net.ifnames=0 systemd.unified_cgroup_hierarchy=1"]


def up() -> None:
    """Boot the machine and wait until its services answer."""
    with alone("machine"):
        _up(options()["machine"])


def _up(data: dict[str, Any]) -> None:
    folder = build()
    started = time.monotonic()
    if _running() is None:
        engine("--machine")
        environment = dict(os.environ, TMPDIR=str(folder))
        done = subprocess.run(_qemu_words(folder, data), env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        if done.returncode != 0:
            raise LabError("qemu does not start: " + done.stdout.decode("utf-8", "backslashreplace").strip()[-300:])
    # a minute where nothing else runs; many where its two processors are shared by all
    wait_ready(data["name"], timeout_s=1200)
    say("{0} up ({1:.0f} s)".format(data["name"], time.monotonic() - started))


def down() -> None:
    """Switch the machine off. Its disk is a throw-away copy, so nothing is lost by not shutting down."""
    pid = _running()
    if pid is None:
        return
    os.kill(pid, signal.SIGTERM)
    until = time.monotonic() + 20
    while _running() is not None and time.monotonic() < until:
        time.sleep(0.2)
    if _running() is not None:
        os.kill(pid, signal.SIGKILL)
    PID_FILE.unlink(missing_ok=True)
    say("{0} removed".format(options()["machine"]["name"]))


def recreate() -> None:
    """Switch off and boot again: a machine without a past."""
    down()
    up()
