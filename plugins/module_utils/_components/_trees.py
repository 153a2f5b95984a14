# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Running programs by their trees: the processes of known programs, the topmost of each, and which service that is.

Private to oncall.pressure: no stable interface. Read-only, and light: one small file a process. The services collector knows more (programs of a
supervisor, what a wrapper started); the parent puts its names in the place of these.
"""

from __future__ import annotations

import re
import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._components._own_root import own_root
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine
from ansible_collections.oncall.pressure.plugins.module_utils._host._text import clean, decode
from ansible_collections.oncall.pressure.plugins.module_utils._parse import _cgroup, _proc

#: Short names of the programs that are looked at.
_KNOWN = re.compile(
    r"python|pypy|g?unicorn|uvicorn|hypercorn|daphne|granian|uwsgi|\[?celery|rq|flower|.*-celery|manage|nginx|openresty|angie|haproxy|envoy|traefik|caddy"
    r"|apache2|httpd|postgres|postmaster|pgbouncer|redis|valkey|keydb|memcached|rabbitmq|beam|mysqld|mariadbd|mongod|node|java|php-fpm|puma")


class Trees:
    """The processes of known programs at one moment. Raises OSError without /proc."""

    def __init__(self, machine: Machine, own_pids: t.Container[int]) -> None:
        self._machine = machine
        self._prefix: str | None = None
        self._services: dict[int, str] = {}
        self.processes: dict[int, _proc.Stat] = {}
        for name in machine.names("/proc"):
            if not name.isdigit() or int(name) in own_pids:
                continue
            try:
                stat = _proc.stat(machine.peek("/proc/%s/stat" % name, 1024))
            except (OSError, ValueError):
                continue
            if not stat.kernel_thread and stat.state not in "ZX" and _KNOWN.match(decode(stat.name)):
                self.processes[stat.pid] = stat

    def top(self, pid: int) -> int:
        """The highest process of a known program above one, itself where there is none."""
        for dummy in range(64):
            above = self.processes[pid].ppid
            if above not in self.processes:
                break
            pid = above
        return pid

    def tops(self) -> list[int]:
        """Every topmost process, by number."""
        return sorted(pid for pid, stat in self.processes.items() if stat.ppid not in self.processes)

    def service(self, top: int) -> str:
        """The service of a topmost process by its cgroup: a unit, a container, else the process itself."""
        if top not in self._services:
            if self._prefix is None:
                self._prefix = own_root(self._machine).prefix
            membership = _cgroup.membership(self._machine.text_or_none("/proc/%d/cgroup" % top, 4096) or "")
            identity = _cgroup.identify(_cgroup.process_path(membership), self._prefix)
            name = identity.name if identity.manager in ("systemd", "user", "session") else "%s:%s" % (identity.manager, identity.name)
            if identity.manager == "none":
                name = "process:%s:%d" % (decode(self.processes[top].name), top)
            self._services[top] = clean(name, 200)
        return self._services[top]
