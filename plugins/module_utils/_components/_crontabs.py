# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The crontabs that cron reads on this host, and the jobs in them.

Private to oncall.pressure: no stable interface. Read-only.
"""

from __future__ import annotations

import re
import stat
import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._components._mounts import MayHang, Mounts
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine
from ansible_collections.oncall.pressure.plugins.module_utils._host._text import clean
from ansible_collections.oncall.pressure.plugins.module_utils._parse import _crontab

#: The folders of users' crontabs: of Debian, of Red Hat.
SPOOLS: t.Final = ("/var/spool/cron/crontabs", "/var/spool/cron")

_FILES = 300


class Tab(t.NamedTuple):
    """One crontab: its path, whether its jobs name their users, whose it is (null for a system's), what it holds."""

    path: str
    system: bool
    user: str | None
    data: bytes


class Entry(t.NamedTuple):
    """One job of a crontab."""

    path: str
    line: _crontab.Line
    user: str | None

    @property
    def id(self) -> str:
        """PATH:LINE."""
        return "%s:%d" % (self.path, self.line.number)


def crontabs(machine: Machine) -> tuple[list[Tab], list[str]]:
    """Every crontab that cron reads, and what could not be read."""
    found: list[Tab] = []
    problems: list[str] = []
    mounts = Mounts(machine)
    places = [("/etc/crontab", None)]
    debian = machine.exists("/etc/debian_version")
    places += [("/etc/cron.d/" + name, None) for name in _names(machine, mounts, "/etc/cron.d", problems) if _is_read(name, debian)]
    for spool in SPOOLS:
        places += [("%s/%s" % (spool, name), name) for name in _names(machine, mounts, spool, problems) if not name.startswith(".") and "~" not in name]
    if len(places) > _FILES:
        problems.append("only %d of %d crontabs were read" % (_FILES, len(places)))
    for path, user in places[:_FILES]:
        try:
            mounts.check(path)
            if stat.S_ISREG(machine.stat(path).st_mode):
                found.append(Tab(path, user is None, user, machine.read(path)))
        except FileNotFoundError:
            continue
        except OSError as problem:
            problems.append(clean(path, 200) + _why(problem))
    # one folder of them lies in another
    return found, list(dict.fromkeys(problems))[:20]


def _names(machine: Machine, mounts: Mounts, folder: str, problems: list[str]) -> list[str]:
    try:
        mounts.check(folder)
        return sorted(machine.names(folder))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as problem:
        problems.append(folder + _why(problem))
        return []


def _why(problem: OSError) -> str:
    return (": %s" if isinstance(problem, MayHang) else " may not be read (%s)") % problem.strerror


def _is_read(name: str, debian: bool) -> bool:
    """Whether cron reads a file of this name in /etc/cron.d: Debian's is strict, cronie leaves out hidden files and those that packagers and editors leave."""
    if debian:
        return re.fullmatch(r"[A-Za-z0-9_-]+", name) is not None
    return not name.startswith((".", "#")) and not name.endswith(("~", ".rpmsave", ".rpmorig", ".rpmnew", ".cfsaved"))


def entries_of(tabs: t.Sequence[Tab]) -> list[Entry]:
    """Jobs of crontabs, those that we paused among them."""
    found: list[Entry] = []
    for tab in tabs:
        for line in _crontab.read(tab.data, tab.system):
            if line.kind in ("job", "paused"):
                found.append(Entry(tab.path, line, line.user if tab.system else tab.user))
    return found
