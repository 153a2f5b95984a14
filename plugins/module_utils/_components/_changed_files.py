# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Times of files, looked at within bounds: no link is followed below what was asked for, nothing that could wait is read.

Private to oncall.pressure: no stable interface. Read-only.
"""

from __future__ import annotations

import os
import stat
import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine
from ansible_collections.oncall.pressure.plugins.module_utils._host._text import clean, decode
from ansible_collections.oncall.pressure.plugins.module_utils._parse import _proc

#: How many names are looked at in all, and in one folder.
_NAMES = 20000
_IN_ONE = 5000

#: File systems that may not answer: a look at a file there can wait for good.
_MAY_WAIT = ("nfs", "cifs", "smb", "fuse", "9p", "ceph", "gluster", "afs", "autofs", "lustre", "gpfs", "beegfs", "ocfs2", "gfs2", "virtiofs")


class Event(t.NamedTuple):
    """Something that happened. ``kind``: boot, unit, config, environment, release, commit, crontab, package, start, ours."""

    at_s: float
    kind: str
    what: str
    service: str | None
    detail: str | None
    #: the topmost process of the service, where one is known
    pid: int | None = None


class Changed(t.NamedTuple):
    """A file that was changed within the window."""

    path: str
    at_s: float
    link: bool


class Files:
    """What was changed since a moment. ``reasons``: what could not be looked at."""

    def __init__(self, machine: Machine, since_s: float) -> None:
        self._machine = machine
        self.since_s = since_s
        self.reasons: list[str] = []
        self._left = _NAMES
        mounts = _proc.mounts(machine.text_or_none("/proc/self/mountinfo", 1048576) or "")
        self._mounts = sorted(((mount.path.rstrip("/"), mount.kind.startswith(_MAY_WAIT)) for mount in mounts), key=lambda row: -len(row[0]))

    def may_wait(self, path: str) -> bool:
        """Whether a path lies on a file system that may not answer."""
        return next((slow for mount, slow in self._mounts if path == mount or path.startswith(mount + "/")), False)

    def look(self, path: str) -> os.stat_result | None:
        """A file or link itself, null where there is none or it may not be looked at."""
        if self.may_wait(path):
            self._say("%s lies on a network file system and is not looked at" % clean(path, 100))
            return None
        try:
            return self._machine.lstat(path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as problem:
            self._say("%s: %s" % (clean(path, 100), problem.strerror))
            return None
        except ValueError:
            # a name that no file can have
            return None

    def is_link(self, path: str) -> bool:
        """Whether a path is a symbolic link."""
        found = self.look(path)
        return found is not None and stat.S_ISLNK(found.st_mode)

    def names(self, path: str) -> list[str]:
        """The names in a folder, bounded; none where it may not be read."""
        found = self.look(path)
        if found is None or not stat.S_ISDIR(found.st_mode):
            return []
        try:
            names = sorted(self._machine.names(path))
        except OSError as problem:
            self._say("%s: %s" % (clean(path, 100), problem.strerror))
            return []
        kept = names[:min(_IN_ONE, self._left)]
        self._left -= len(kept)
        if len(kept) < len(names):
            self._say("%s has more files than are looked at" % clean(path, 100))
        return kept

    def one(self, path: str) -> list[Changed]:
        """The file of a path, if it was changed within the window."""
        found = self.look(path)
        if found is None or not (stat.S_ISREG(found.st_mode) or stat.S_ISLNK(found.st_mode)) or found.st_mtime < self.since_s:
            return []
        return [Changed(path, found.st_mtime, stat.S_ISLNK(found.st_mode))]

    def walk(self, path: str, depth: int, wanted: t.Callable[[str], object], inside: t.Callable[[str], object]) -> list[Changed]:
        """The wanted files of a folder that were changed, and of the folders in it that are to be looked into."""
        found: list[Changed] = []
        for name in self.names(path):
            here = "%s/%s" % (path, name)
            if wanted(name):
                found += self.one(here)
            if depth > 1 and inside(name):
                found += self.walk(here, depth - 1, wanted, inside)
        return found

    def text(self, path: str, limit: int = 4096) -> str | None:
        """The start of a regular file, null where there is none."""
        found = self.look(path)
        if found is None or not stat.S_ISREG(found.st_mode):
            return None
        return self._machine.text_or_none(path, limit)

    def tail(self, path: str, limit: int) -> str | None:
        """The end of a regular file, null where there is none; its first line may be cut off."""
        found = self.look(path)
        if found is None or not stat.S_ISREG(found.st_mode) or found.st_mtime < self.since_s:
            return None
        try:
            with self._machine.open(path) as stream:
                stream.seek(max(found.st_size - limit, 0))
                return decode(stream.read(limit))
        except OSError as problem:
            self._say("%s: %s" % (clean(path, 100), problem.strerror))
            return None

    def _say(self, reason: str) -> None:
        if reason not in self.reasons and len(self.reasons) < 20:
            self.reasons.append(reason)


def joined(names: t.Sequence[str], most: int) -> str:
    """``a, b and 3 more``."""
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else "%s and %d more" % (shown, len(names) - most)
