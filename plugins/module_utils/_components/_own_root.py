# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What this host is: a machine, a container, or a part of a machine; and which cgroup paths are its own.

Private to oncall.pressure: no stable interface.
"""

from __future__ import annotations

import re
import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine
from ansible_collections.oncall.pressure.plugins.module_utils._parse import _cgroup, _proc

#: The kernel gives its first PID namespace this number (PROC_PID_INIT_INO): who is in it is in no container.
_FIRST_PID_NAMESPACE = "pid:[4026531836]"

_MOUNTED_ID = re.compile(r"/(?:containers|sandboxes|overlay-containers)/([0-9a-f]{64})/")


class OwnRoot(t.NamedTuple):
    """kind: machine, container or slice; prefix: this host's root in /proc/PID/cgroup paths ("" where it is the real root);
    container_id: 64 hexadecimal digits, or null where it is not told; memberships: the cgroups of the root by controller."""

    kind: str
    prefix: str
    container_id: str | None
    membership: dict[str, str]

    def own_part(self, path: str) -> str | None:
        """A full cgroup path (the kernel's log has it from the machine's real root) as seen from this host; null where it is another's."""
        if self.kind == "machine":
            return path
        if self.prefix:
            if path == self.prefix or path.startswith(self.prefix + "/"):
                return path[len(self.prefix):] or "/"
            return None
        # a cgroup namespace of its own hides the prefix; the container's id still stands in the path
        if self.container_id is not None and self.container_id in path:
            tail = path.split(self.container_id, 1)[1]
            return tail[tail.index("/"):] if "/" in tail else "/"
        return None


def own_root(machine: Machine) -> OwnRoot:
    """Look at process 1: where it lies is where this host begins."""
    membership = _cgroup.membership(machine.text_or_none("/proc/1/cgroup") or "")
    membership = {key: _without_init(path) for key, path in membership.items()}
    path = _cgroup.process_path(membership)
    identity = _cgroup.identify(path)
    mountinfo = machine.text_or_none("/proc/self/mountinfo", 1048576) or ""
    mounted = _MOUNTED_ID.search(mountinfo)
    container_id = mounted.group(1) if mounted else None
    if identity.manager in ("docker", "podman", "containerd", "kubernetes"):
        full = re.search(r"[0-9a-f]{64}", identity.path)
        membership = {key: _up_to(value, full.group() if full else "") for key, value in membership.items()}
        return OwnRoot("container", identity.path, full.group() if full else container_id, membership)
    prefix = "" if path == "/" else path
    if _in_container(machine, mountinfo):
        return OwnRoot("container", prefix, container_id, membership)
    return OwnRoot("slice" if prefix else "machine", prefix, None, membership)


def _without_init(path: str) -> str:
    """systemd as process 1 sits in init.scope below the root."""
    return path[: -len("/init.scope")] or "/" if path.endswith("/init.scope") else path


def _up_to(path: str, container_id: str) -> str:
    head, found, tail = path.partition(container_id)
    return head + found + (".scope" if tail.startswith(".scope") else "") if found and container_id else path


def _in_container(machine: Machine, mountinfo: str) -> bool:
    """Whether this is a container: by its PID namespace, else by the marks that engines leave (images of machines carry them too)."""
    try:
        if machine.link("/proc/self/ns/pid") == _FIRST_PID_NAMESPACE:
            return False
    except OSError:
        pass
    if machine.exists("/.dockerenv") or machine.exists("/run/.containerenv") or machine.exists("/run/systemd/container"):
        return True
    if "container=" in (machine.text_or_none("/proc/1/environ") or ""):
        return True
    # only a cgroup that is not the real root has a limit file at the top of version 2
    unified = [mount.path for mount in _proc.mounts(mountinfo) if mount.kind == "cgroup2"]
    return bool(unified) and machine.exists(unified[0] + "/cgroup.type")
