# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which service a cgroup path belongs to, and the formats of /proc/PID/cgroup and of cgroup files.

Private to oncall.pressure: no stable interface. Pure: text in, plain data out.
"""

from __future__ import annotations

import re
import typing as t

_CONTAINER_ID = re.compile(r"(?:^|[-_./:])([0-9a-f]{64})(?:\.scope)?(?:/|$)")
# One of a file on the node (a control plane's) has a digest for its uid.
_POD = re.compile(r"pod([0-9a-f]{8}[-_][0-9a-f]{4}[-_][0-9a-f]{4}[-_][0-9a-f]{4}[-_][0-9a-f]{12}|[0-9a-f]{32}(?![0-9a-f]))")

# What watches a container of podman or CRI-O has its id in a cgroup of its own, beside the container's.
_WATCHER = re.compile(r"(?:libpod|crio)-conmon-")

#: A cgroup v1 limit at or above this is the kernel's way to say that there is none.
NO_LIMIT = 1 << 60


class Identity(t.NamedTuple):
    """Whose a cgroup is.

    manager: systemd, user (a user's own systemd), docker, podman, containerd, kubernetes, session, or none
    name: the unit, the container's short id, the pod's uid or the session scope; "" where manager is none
    path: the part of the cgroup path that is the service itself, with no sub-cgroup that it made below
    """

    manager: str
    name: str
    path: str


def identify(path: str, prefix: str = "") -> Identity:
    """Whose the cgroup at ``path`` is.

    :param path: as in /proc/PID/cgroup or in the kernel's ``task_memcg=``
    :param prefix: where this host's own root lies in that path, where the host is itself a container ("" on a machine)
    """
    if prefix and prefix != "/" and (path == prefix or path.startswith(prefix + "/")):
        head, rest = prefix, path[len(prefix):]
    else:
        head, rest = "", path
    parts = [part for part in rest.split("/") if part]
    unit = Identity("none", "", rest or "/")
    manager = "systemd"
    for index, part in enumerate(parts):
        here = head + "/" + "/".join(parts[: index + 1])
        container = _container(parts, index)
        if container is not None:
            return Identity(container[0], container[1], here)
        if part.startswith("user@") and part.endswith(".service"):
            manager = "user"
            unit = Identity("user", part, here)
        elif part.endswith((".service", ".mount", ".socket", ".swap")):
            unit = Identity(manager, part, here)
            if manager == "systemd":
                # what a service makes below itself is still that service, unless it is a container
                if not any(_container(parts, later) for later in range(index + 1, len(parts))):
                    return unit
        elif part.endswith(".scope") and part != "init.scope":
            unit = Identity("session" if part.startswith("session-") else manager, part, here)
    return unit


def _container(parts: t.Sequence[str], index: int) -> tuple[str, str] | None:
    """(manager, name) where the component at ``index`` of a cgroup path is a container's, else null."""
    part = parts[index]
    before = "/".join(parts[:index])
    pod = _POD.search(before + "/" + part)
    found = _CONTAINER_ID.search(part)
    if found is None or _WATCHER.match(part):
        return None
    if any(later.startswith("libpod-") for later in parts[index + 1:]):
        # a pod of podman, which holds the container
        return None
    if pod is not None:
        return "kubernetes", pod.group(1).replace("_", "-")
    if "libpod" in part or "libpod" in before or "podman" in before:
        return "podman", found.group(1)[:12]
    if part.startswith("docker-") or before.split("/")[-1:] == ["docker"] or "docker" in before:
        return "docker", found.group(1)[:12]
    return "containerd", found.group(1)[:12]


def container_id(path: str) -> str | None:
    """The short id of the container whose cgroup is at ``path`` (as :func:`identify` gives it); null where it is no container's."""
    found = _CONTAINER_ID.search(path.rpartition("/")[2])
    return found.group(1)[:12] if found else None


def membership(text: str) -> dict[str, str]:
    """The content of /proc/PID/cgroup as ``{controller: path}``; the v2 path has the key "" and named ones "name=x"."""
    paths: dict[str, str] = {}
    for line in text.splitlines():
        number, separator, rest = line.partition(":")
        controllers, separator, path = rest.partition(":")
        if separator and number.isdecimal() and len(number) < 10:
            for controller in controllers.split(","):
                paths[controller] = path
    return paths


def process_path(paths: t.Mapping[str, str]) -> str:
    """The path that says best whose a process is: systemd's own hierarchy, then v2, then the longest of the others."""
    for key in ("name=systemd", ""):
        if paths.get(key, "/") != "/":
            return paths[key]
    return max(paths.values(), key=len, default="/")


#: No number of the kernel is longer; without an end, a division of two may be too large for a float.
_NUMBER = re.compile(r"-?[0-9]{1,20}")


def counters(text: str) -> dict[str, int]:
    """A flat keyed cgroup file (cpu.stat, memory.stat, memory.events, memory.oom_control) as ``{key: number}``."""
    found: dict[str, int] = {}
    for line in text.splitlines():
        key, separator, value = line.strip().partition(" ")
        if separator and _NUMBER.fullmatch(value.strip()):
            found[key] = int(value)
    return found


def limit(text: str | None) -> int | None:
    """A limit file's value in its own unit; null where there is no limit (``max``, or v1's very large number) or no file."""
    value = (text or "").strip()
    if not _NUMBER.fullmatch(value) or not 0 <= int(value) < NO_LIMIT:
        return None
    return int(value)


def cpu_quota(text: str | None) -> float | None:
    """cgroup v2's cpu.max (``quota period``) in CPUs; null where there is no quota."""
    parts = (text or "").split()
    if len(parts) != 2 or not all(_NUMBER.fullmatch(part) for part in parts) or int(parts[1]) <= 0:
        return None
    return int(parts[0]) / int(parts[1])
