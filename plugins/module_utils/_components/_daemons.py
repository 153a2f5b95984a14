# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which daemons run here, by the kernel's short names: one look that several collectors share, so that each knows at once whether it has work.

Private to oncall.pressure: no stable interface.
"""

from __future__ import annotations

import re
import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine

#: Short names (the kernel cuts them to 15 characters) that a collector looks for, by the kind of software.
_NAMES: t.Final[dict[bytes, str]] = {
    b"nginx": "nginx", b"openresty": "nginx", b"angie": "nginx",
    b"postgres": "postgres", b"postmaster": "postgres", b"pgbouncer": "pgbouncer",
    b"redis-server": "redis", b"valkey-server": "redis", b"keydb-server": "redis", b"redis": "redis",
    b"dockerd": "docker", b"podman": "podman", b"conmon": "podman",
    b"crio": "crio", b"conmonrs": "crio",
    # of each container of Docker, and of containerd under Kubernetes, whose daemon need not be asked
    b"containerd-shim": "containerd",
}

Daemons = t.Mapping[str, t.Tuple[int, ...]]


def running(machine: Machine) -> dict[str, tuple[int, ...]]:
    """Process ids by kind of daemon, containers' too; a kind that does not run is not in it. Raises OSError without /proc.

    ``comm`` is read, and nothing else: the kernel answers without the lock that a process stuck in a page fault holds, as ``cmdline`` does not.
    """
    found: dict[str, list[int]] = {}
    for name in machine.names("/proc"):
        if not name.isdecimal():
            continue
        try:
            kind = _NAMES.get(machine.peek("/proc/%s/comm" % name, 64).rstrip(b"\n"))
        except OSError:
            continue
        if kind is not None:
            found.setdefault(kind, []).append(int(name))
    return {kind: tuple(sorted(pids)) for kind, pids in found.items()}


def root_of(machine: Machine, pid: int) -> str:
    """"" where a process sees our folders, else the way to those that it sees: what a unit with ``PrivateTmp=`` keeps in /tmp is not in ours."""
    try:
        same = machine.link("/proc/%d/ns/mnt" % pid) == machine.link("/proc/self/ns/mnt")
    except OSError:
        # without privileges only a process in a namespace of its own can be told from one that has ours
        status = machine.text_or_none("/proc/%d/status" % pid, 4096) or ""
        spaces = re.search(r"^NSpid:((?:\t\d+)+)", status, re.MULTILINE)
        same = spaces is None or len(spaces.group(1).split()) == 1
    return "" if same else "/proc/%d/root" % pid
