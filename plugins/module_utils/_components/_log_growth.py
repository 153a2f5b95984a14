# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How many lines nginx added to its access logs since the last look: what it has open to write to, and nothing but new bytes of it.

Private to oncall.pressure: no stable interface.

The logs are found among the open files of its main process, so that no configuration is read: whatever does not call itself an error log counts.
"""

from __future__ import annotations

import posixpath
import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine
from ansible_collections.oncall.pressure.plugins.module_utils._host._tail import open_tail

#: The most that one look may read, in all logs together: more, and the rate is not told.
BYTES_LIMIT = 16777216

_LOGS = 16
_FILES = 512
_BLOCK = 262144

#: (device, inode, bytes seen) by path
Places = t.Dict[str, t.Tuple[int, int, int]]


def look(machine: Machine, pids: t.Sequence[int], before: t.Mapping[str, tuple[int, int, int]]) -> tuple[int | None, Places]:
    """(lines added since ``before``, null where that is not known; where each log ends now), of the main processes given."""
    places: Places = {}
    added = 0
    known = False
    left = BYTES_LIMIT
    for path, link in _logs(machine, pids):
        try:
            tail = open_tail(machine, link)
        except OSError:
            continue
        try:
            places[path] = (tail.identity[0], tail.identity[1], tail.size)
            if path not in before or left < 0:
                continue
            known = True
            # another file of its name is what it was rotated to; one that is shorter was emptied
            start = before[path][2] if tail.identity == before[path][:2] and before[path][2] <= tail.size else 0
            left -= tail.size - start
            if left >= 0:
                added += sum(tail.read(offset, min(_BLOCK, tail.size - offset)).count(b"\n") for offset in range(start, tail.size, _BLOCK))
        except OSError:
            continue
        finally:
            tail.close()
    return (added if known and left >= 0 else None), places


def _logs(machine: Machine, pids: t.Sequence[int]) -> list[tuple[str, str]]:
    """(path, the open file under /proc) of what looks like an access log."""
    found: dict[str, str] = {}
    for pid in pids:
        folder = "/proc/%d/fd" % pid
        try:
            names = machine.names(folder)[:_FILES]
        except OSError:
            continue
        for name in names:
            try:
                path = machine.link(folder + "/" + name)
            except OSError:
                continue
            base = posixpath.basename(path)
            if path.startswith("/") and "error" not in base and ("access" in base or base.endswith(".log")) and len(found) < _LOGS:
                # two masters may have files of one path, in file systems of their own
                found.setdefault(path if pid == pids[0] else "%d:%s" % (pid, path), folder + "/" + name)
    return list(found.items())
