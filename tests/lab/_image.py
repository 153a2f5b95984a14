# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's image: Debian's packages, PyPI's wheels and rootfs/, built once per content."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import sys
import tarfile
import time

from _common import CACHE, HERE, LabError, alone, engine, options, run, say

# Anything that changes what the image holds without changing a file above is counted here.
BUILD = 1


def _lines(name: str) -> list[str]:
    text = (HERE / name).read_text(encoding="utf-8")
    return [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]


def _overlay_files() -> list[str]:
    found = []
    for folder, folders, files in os.walk(HERE / "rootfs"):
        folders[:] = sorted(name for name in folders if name != "__pycache__")
        found += [os.path.join(folder, name) for name in sorted(files) if not name.endswith(".pyc")]
    return found


def tag() -> str:
    """name:tag of the image; the tag is a digest of everything it is built from."""
    digest = hashlib.sha256("build {0} {1}\n".format(BUILD, platform.machine()).encode())
    for name in ("packages.txt", "wheels.txt"):
        digest.update("\n".join(_lines(name)).encode() + b"\0")
    for path in _overlay_files():
        mode = "x" if os.access(path, os.X_OK) else "-"
        with open(path, "rb") as stream:
            digest.update("{0} {1}\0".format(os.path.relpath(path, HERE), mode).encode() + stream.read() + b"\0")
    return "{0}:{1}".format(options()["image"], digest.hexdigest()[:12])


def exists(name: str) -> bool:
    return run([engine(), "image", "inspect", name], check=False).returncode == 0


def _wheels() -> str:
    """Folder with the pinned wheels, downloaded here so that the image's build needs no package index."""
    target = CACHE / "wheels"
    wanted = "\n".join(_lines("wheels.txt"))
    stamp = target / "complete"
    if not stamp.exists() or stamp.read_text(encoding="utf-8") != wanted:
        shutil.rmtree(target, ignore_errors=True)
        say("downloading {0} wheels".format(len(_lines("wheels.txt"))))
        run([sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "--python-version", "3.11",
             "--dest", str(target), *_lines("wheels.txt")])
        stamp.write_text(wanted, encoding="utf-8")
    return str(target)


def _overlay_tar() -> str:
    """rootfs/ as an archive owned by root, whoever owns the clone."""
    path = str(CACHE / "overlay.tar")

    def owned(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
        if "__pycache__" in member.name:
            return None
        member.uid = member.gid = 0
        member.uname = member.gname = "root"
        member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
        return member

    with tarfile.open(path, "w") as archive:
        archive.add(str(HERE / "rootfs"), arcname=".", filter=owned)
    return path


def _hooks(wheels: str) -> list[str]:
    users = [
        "useradd --create-home --shell /bin/bash op",
        "useradd --create-home --shell /bin/bash ordinary",
        "useradd --create-home --shell /bin/bash opw",
        "echo opw:opw-password | chpasswd",
        "echo 'op ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/op",
        "echo 'opw ALL=(ALL) ALL' > /etc/sudoers.d/opw",
        "chmod 0440 /etc/sudoers.d/op /etc/sudoers.d/opw",
        # An account without a password is locked for sshd's PAM; a key is all that is ever used.
        "usermod -p '*' op; usermod -p '*' ordinary",
    ]
    tidy = [
        "systemctl disable --quiet supervisor.service nginx.service redis-server.service postgresql.service cron.service",
        # No hardware clock, no terminals and no package timers in a host that is thrown away.
        "systemctl mask --quiet getty.target apt-daily.timer apt-daily-upgrade.timer e2scrub_all.timer fstrim.timer",
        "rm -rf /tmp/wheels; rm -f /etc/machine-id; touch /etc/machine-id",
    ]
    steps = ["python3 -m venv /srv/venv && /srv/venv/bin/pip install --quiet --no-index --no-deps /tmp/wheels/*.whl && /srv/venv/bin/pip check", *users, *tidy]
    hooks = ["--customize-hook=copy-in {0} /tmp".format(wheels),
             "--customize-hook=tar-in {0} /".format(_overlay_tar())]
    return hooks + ["--customize-hook=chroot \"$1\" sh -ec \"{0}\"".format(step) for step in steps]


def build() -> str:
    """Build the image unless it is there; returns name:tag."""
    name = tag()
    if exists(name):
        return name
    with alone("image"):
        # Whoever held the lock may just have built it.
        if not exists(name):
            _build(name)
    return name


def _build(name: str) -> None:
    program = engine("--packages")
    if os.geteuid() != 0:
        raise LabError("building the image needs root (mmdebstrap, once): run `sudo make lab-image`")
    started = time.monotonic()
    wheels = _wheels()
    say("building {0} (some minutes, once)".format(name))
    rootfs = str(CACHE / "rootfs.tar")
    run(["mmdebstrap", "--quiet", "--variant=minbase", "--components=main", "--include=" + ",".join(_lines("packages.txt")),
         "--dpkgopt=path-exclude=/usr/share/doc/*", "--dpkgopt=path-exclude=/usr/share/man/*", "--dpkgopt=path-exclude=/usr/share/locale/*",
         *_hooks(wheels), "bookworm", rootfs])
    run([program, "import", "-c", 'CMD ["/sbin/init"]', rootfs, name])
    os.unlink(rootfs)
    say("built {0} in {1:.0f} s".format(name, time.monotonic() - started))


def remove() -> None:
    """Remove every image of the lab, whatever its tag."""
    program = engine()
    listed = run([program, "images", "--quiet", options()["image"]]).stdout.split()
    if listed:
        run([program, "rmi", "--force", *sorted(set(listed))])
