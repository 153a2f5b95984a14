# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Paths that lie on file systems whose server may be gone: whoever looks at a file there can wait for good, so nobody does.

Private to oncall.pressure: no stable interface. Only /proc is read, and links are followed one by one, each only where it may be looked at.
"""

from __future__ import annotations

import re

from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine
from ansible_collections.oncall.pressure.plugins.module_utils._parse import _proc

#: Served over a network, or by a program of this host that may be stopped.
_MAY_HANG = re.compile(r"(?:nfs|cifs|smb|fuse|9p|ceph|gluster|afs|autofs|lustre|gpfs|beegfs|ocfs2|gfs2|virtiofs)")
#: of an image or a container itself: were it gone, nothing of it would run
_LAYERS = ("fuse.fuse-overlayfs", "fuseblk")
_LINKS = 40


class MayHang(OSError):
    """A path that was not looked at, and the file system it lies on."""

    def __init__(self, kind: str, path: str) -> None:
        super().__init__(110, "it lies on %s, a file system that may hang: not read" % kind, path)


class Mounts:
    """The file systems as a process sees them: ``pid`` is its folder below /proc."""

    def __init__(self, machine: Machine, pid: str = "self") -> None:
        self._machine = machine
        rows = _proc.mounts(machine.text_or_none("/proc/%s/mountinfo" % pid, 1048576) or "")
        self._rows = sorted(((row.path.rstrip("/"), row.kind) for row in rows), key=lambda row: -len(row[0]))
        self._any = any(self._slow(path, kind) for path, kind in self._rows)

    @staticmethod
    def _slow(path: str, kind: str) -> bool:
        # where the root folder itself hangs everything does
        return bool(path) and _MAY_HANG.match(kind) is not None and kind not in _LAYERS

    def kind(self, path: str) -> str:
        """The kind of a file system that may hang and on which a path lies, links not followed; "" where it lies on another."""
        if not self._any:
            return ""
        # of two at one place the last one mounted is seen, and it stands last
        here = [row for row in self._rows if path == row[0] or path.startswith(row[0] + "/")]
        longest = [row for row in here if len(row[0]) == len(here[0][0])] if here else []
        return longest[-1][1] if longest and self._slow(*longest[-1]) else ""

    def check(self, path: str) -> None:
        """Raises MayHang where a path, its links followed, lies on a file system that may hang."""
        if not self._any:
            return
        done, waiting, links = "", [part for part in path.split("/") if part not in ("", ".")], 0
        while waiting:
            part = waiting.pop(0)
            if part == "..":
                done = done.rpartition("/")[0]
                continue
            place = done + "/" + part
            kind = self.kind(place)
            if kind:
                raise MayHang(kind, path)
            try:
                target = self._machine.link(place)
            except OSError:
                done = place
                continue
            links += 1
            if links > _LINKS:
                return
            done = "" if target.startswith("/") else done
            waiting = [inner for inner in target.split("/") if inner not in ("", ".")] + waiting
