# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What all parts of the lab share: where things are, running programs, saying things."""

from __future__ import annotations

import contextlib
import fcntl
import os
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any, Iterator, Sequence

import yaml

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
CACHE = ROOT / ".cache" / "lab"
KEY = CACHE / "id_ed25519"
SSH_OPTIONS = [
    "-o", "StrictHostKeyChecking=no",
    "-o", "UserKnownHostsFile=/dev/null",
    "-o", "LogLevel=ERROR",
    "-o", "BatchMode=yes",
    "-o", "IdentitiesOnly=yes",
    "-i", str(KEY),
]


class LabError(Exception):
    """One line that says what is wrong and what to do next."""


def say(text: str) -> None:
    print("lab: " + text, file=sys.stderr, flush=True)


def options() -> dict[str, Any]:
    """The data of containers.yml."""
    with open(HERE / "containers.yml", encoding="utf-8") as stream:
        return yaml.safe_load(stream)


def run(words: Sequence[str], check: bool = True, stdin: bytes | None = None, timeout_s: float = 900) -> subprocess.CompletedProcess:
    """Run a program, its output captured as text; LabError with its last words when it fails and `check` is set."""
    done = subprocess.run(list(words), input=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=timeout_s, check=False)
    done.stdout = done.stdout.decode("utf-8", "backslashreplace")
    done.stderr = done.stderr.decode("utf-8", "backslashreplace")
    if check and done.returncode != 0:
        last = (done.stderr.strip() or done.stdout.strip() or "no output").splitlines()[-3:]
        raise LabError("{0} failed ({1}): {2}".format(" ".join(words)[:160], done.returncode, " | ".join(last)))
    return done


@contextlib.contextmanager
def alone(what: str) -> Iterator[None]:
    """Let one process at a time do `what`: two builds of one image would write the same files."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with open(CACHE / (what + ".lock"), "w", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another run that has the {0} in hand".format(what))
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def engine(*needs: str) -> str:
    """Name of a container engine that answers; installs and starts one where that is allowed."""
    done = subprocess.run([str(HERE / "engine"), *needs], stdout=subprocess.PIPE, check=False)
    if done.returncode != 0:
        raise LabError("no container engine (see above)")
    return done.stdout.decode().strip()


def ssh_key() -> Path:
    """The lab's key pair, made at first use."""
    if not KEY.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "oncall.pressure lab", "-f", str(KEY)])
    os.chmod(KEY, 0o600)
    return KEY


# Hosts that another suite made of the same image, and the ports of their ssh.
ADDED: dict[str, int] = {}


def port_of(host: str) -> int:
    if host in ADDED:
        return ADDED[host]
    data = options()
    if host == data["machine"]["name"]:
        return data["machine"]["ssh_port"]
    if host not in data["hosts"]:
        raise LabError("no host {0} in the lab: use one of {1}".format(host, ", ".join([*data["hosts"], data["machine"]["name"]])))
    return data["hosts"][host]["ssh_port"]


def ssh(host: str, command: str, check: bool = True, stdin: bytes | None = None, timeout_s: float = 300, user: str = "root") -> subprocess.CompletedProcess:
    """Run a shell command on a host of the lab."""
    # of this clone alone: another one has another key, and would find a host that it may not enter open while this connection lasts
    path = "/tmp/.oncall-lab-{0}-{1:08x}-%C".format(os.getuid(), zlib.crc32(str(ROOT).encode()))
    control = ["-o", "ControlMaster=auto", "-o", "ControlPersist=30", "-o", "ControlPath=" + path]
    return run(["ssh", *SSH_OPTIONS, *control, "-o", "ConnectTimeout=10", "-p", str(port_of(host)), user + "@127.0.0.1", command],
               check=check, stdin=stdin, timeout_s=timeout_s)


def commit() -> str:
    """Of what was tried: the short hash, and a plus where the product's files had changes that are not committed."""
    said = run(["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"], check=False).stdout.strip()
    changed = run(["git", "-C", str(ROOT), "status", "--porcelain", "plugins", "roles", "playbooks"], check=False).stdout.strip()
    return said + ("+" if changed else "")
