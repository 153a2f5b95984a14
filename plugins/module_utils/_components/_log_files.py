# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The log files that services really write: what their processes hold open for writing, each once, with the service that writes it.

Private to oncall.pressure: no stable interface. Read-only.
"""

from __future__ import annotations

import re
import stat
import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._components._daemons import root_of
from ansible_collections.oncall.pressure.plugins.module_utils._components._own_root import own_root
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine
from ansible_collections.oncall.pressure.plugins.module_utils._host._tail import Tail, open_tail
from ansible_collections.oncall.pressure.plugins.module_utils._host._text import decode
from ansible_collections.oncall.pressure.plugins.module_utils._parse import _cgroup, _proc

#: Bounds of the search: processes, open files of one process, links in all, logs.
_PROCESSES = 4096
_FILES_EACH = 256
_LINKS = 30000
_LOGS = 60
#: Names of a folder that are looked through for what a log was rotated to.
_ROTATED = 4096

#: Of processes of one parent and one name (workers of one master) so many are looked at: they hold the same logs open.
_ALIKE = 2

_NAMED = re.compile(r"\.log(?:[.-]\d[\d-]*)?\Z|\A/var/log/")
# records that are no lines of text
_BINARY = re.compile(
    r"/(?:wtmp|btmp|lastlog|faillog|utmp|tallylog)\Z|\.(?:journal|gz|xz|zst|bz2|db|sqlite\d?|pid|lock|wal)\Z|\A/var/log/(?:journal|sysstat|atop|account)/"
)
_ACCESS = re.compile(r"access", re.IGNORECASE)

#: What writes down what others say: that is read from the journal, or stands in these files under other names.
_COLLECTING = (b"rsyslogd", b"syslog-ng", b"systemd-journal")
_NGINX = (b"nginx", b"openresty", b"angie")
#: How a line of nginx's errors begins; its requests, whose logs may have any name too, are counted elsewhere.
_NGINX_ERROR = re.compile(rb"^\d{4}/\d\d/\d\d \d\d:\d\d:\d\d \[[a-z]{4,6}\] ", re.MULTILINE)
_SNIFF = 8192

#: File systems of which a server that is gone, or a program that is stopped, hangs whoever looks.
_HANGING = re.compile(r"(?:nfs|cifs|smb|fuse|ceph|gluster|afs|lustre)")

#: Logs that one program writes for many services: where the service stands in the path.
_OF_OTHERS: t.Final = (
    (re.compile(r"/containers/([0-9a-f]{12})[0-9a-f]{52}/\1[0-9a-f]{52}-json\.log(?:\.\d+)?\Z"), "docker:%s"),
    (re.compile(r"/overlay-containers/([0-9a-f]{12})[0-9a-f]{52}/userdata/ctr\.log\Z"), "podman:%s"),
    (re.compile(r"\A/var/log/pods/[^/]{1,300}_([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})/"), "kubernetes:%s"),
    (re.compile(r"/([A-Za-z0-9_.:-]{1,100}?)(?:-std(?:out|err)---[\w-]{1,60}|[._-](?:stdout|stderr|out|err))\.log(?:\.\d+)?\Z"), "supervisor:%s"),
)


class LogFile(t.NamedTuple):
    """A log that a process has open. path: its name for people; service: the id of the service whose lines they are.

    older: what it was rotated to, where that was written to within the window; null where there is none, or it is not safe to open.
    """

    path: str
    service: str
    tail: Tail
    older: Tail | None = None


class Found(t.NamedTuple):
    """files: those that could be opened; denied: processes whose open files may not be looked at; problems: one line each."""

    files: list[LogFile]
    denied: int
    problems: list[str]


class _Process(t.NamedTuple):
    pid: int
    ppid: int
    name: bytes


def open_logs(machine: Machine, own_pids: t.AbstractSet[int], with_collecting: bool, since: float = float("inf")) -> Found:
    """Find them. ``with_collecting``: also those of a syslog daemon, where nothing else tells what services say; ``since``: when the window begins."""
    found = Found([], 0, [])
    prefix = own_root(machine).prefix
    seen: set[tuple[int, int]] = set()
    links = denied = 0
    for process in _processes(machine, own_pids):
        if process.name in _COLLECTING and not with_collecting:
            continue
        folder = "/proc/%d/fd" % process.pid
        try:
            names = sorted(machine.names(folder), key=lambda name: (len(name), name))[:_FILES_EACH]
        except PermissionError:
            denied += 1
            continue
        except OSError:
            continue
        for name in names:
            links += 1
            path = _link(machine, folder + "/" + name)
            if path is not None and _is_log(path, process) and len(found.files) < _LOGS:
                _add(machine, process, name, path, prefix, seen, found, since)
        if links > _LINKS:
            found.problems.append("only the first %d open files were looked at" % links)
            break
    if len(found.files) >= _LOGS:
        found.problems.append("only the first %d log files were read" % _LOGS)
    return found._replace(denied=denied)


def _processes(machine: Machine, own_pids: t.AbstractSet[int]) -> t.Iterator[_Process]:
    """Processes that may write logs; of workers that are alike only some."""
    alike: dict[tuple[int, bytes], int] = {}
    pids = sorted(int(name) for name in machine.names("/proc") if name.isdigit())
    kernel = 2 if _look(machine, 2).name == b"kthreadd" else None
    for pid in pids[:_PROCESSES]:
        try:
            head, dummy, tail = machine.peek("/proc/%d/stat" % pid, 1024).rpartition(b")")
            ppid = int(tail.split(None, 2)[1])
        except (OSError, ValueError, IndexError):
            continue
        if kernel in (pid, ppid) or pid in own_pids or ppid in own_pids:
            continue
        process = _Process(pid, ppid, head.partition(b"(")[2])
        key = (ppid, process.name)
        alike[key] = alike.get(key, 0) + 1
        if ppid <= 1 or alike[key] <= _ALIKE:
            yield process


def _link(machine: Machine, path: str) -> str | None:
    try:
        return machine.link(path)
    except OSError:
        return None


def _is_log(path: str, process: _Process) -> bool:
    if not path.startswith("/") or path.endswith(" (deleted)") or path.startswith(("/dev/", "/proc/", "/sys/")) or _BINARY.search(path):
        return False
    if process.name in _NGINX:
        # what is not called so may be either, which its lines tell
        return not _ACCESS.search(path)
    return _NAMED.search(path) is not None


def _add(
    machine: Machine, process: _Process, name: str, path: str, prefix: str, seen: set[tuple[int, int]], found: Found, since: float
) -> None:
    """Open one, where the process writes to it and it was not met before."""
    folder = "/proc/%d" % process.pid
    try:
        facts = dict(line.split(":", 1) for line in decode(machine.peek("%s/fdinfo/%s" % (folder, name), 1024)).split("\n") if ":" in line)
        if not int(facts.get("flags", "0").strip() or "0", 8) & 3:
            return
        kind = _file_system(machine, process.pid, facts.get("mnt_id", "").strip())
        if _HANGING.match(kind):
            found.problems.append("%s lies on %s, which may hang: not read" % (path, kind))
            return
        tail = open_tail(machine, "%s/fd/%s" % (folder, name))
    except PermissionError:
        found.problems.append("%s: permission denied" % path)
        return
    except (OSError, ValueError):
        # it was closed meanwhile, or is a FIFO or a device of that name
        return
    if tail.identity in seen or process.name in _NGINX and "err" not in path and not _of_errors(tail):
        tail.close()
        return
    seen.add(tail.identity)
    older = _rotated(machine, process.pid, "%s/fd/%s" % (folder, name), path, since) if tail.changed >= since or not tail.size else None
    found.files.append(LogFile(path, service_of(machine, process.pid, path, process.name, prefix), tail, older))


def _rotated(machine: Machine, pid: int, opened: str, path: str, since: float) -> Tail | None:
    """What a log was rotated to (plain files alone), where it was written to since then.

    A name is no open file: whoever may write to the folder could let it point elsewhere. So it must be a file of the log's own owner, no link, in a
    folder that only root and that owner may write to, and after it was opened the one that was looked at.
    """
    folder, dummy, base = path.rpartition("/")
    root = root_of(machine, pid) + (folder or "/")
    form = re.compile(re.escape(base) + r"[.-]\d[\d.-]{0,20}\Z")
    try:
        owner, place = machine.stat(opened).st_uid, machine.stat(root)
        if place.st_uid not in (0, owner) or place.st_mode & 0o002:
            return None
        names = [root + "/" + name for name in machine.names(root)[:_ROTATED] if form.match(name)]
        looked = [(machine.lstat(name), name) for name in names]
        fitting = [(facts.st_mtime, name, (facts.st_dev, facts.st_ino)) for facts, name in looked
                   if stat.S_ISREG(facts.st_mode) and facts.st_uid == owner and facts.st_mtime >= since and facts.st_size]
        if not fitting:
            return None
        dummy_time, name, identity = max(fitting)
        tail = open_tail(machine, name)
    except OSError:
        return None
    if tail.identity == identity:
        return tail
    tail.close()
    return None


def _of_errors(tail: Tail) -> bool:
    """Whether a file that nginx writes holds its errors."""
    try:
        return _NGINX_ERROR.search(tail.read(max(tail.size - _SNIFF, 0), _SNIFF)) is not None
    except OSError:
        return False


def _file_system(machine: Machine, pid: int, mount: str) -> str:
    """The kind of file system that a mount of a process is; "" where it is not told."""
    for line in (machine.text_or_none("/proc/%d/mountinfo" % pid, 1048576) or "").splitlines():
        if line.partition(" ")[0] == mount:
            return next((found.kind for found in _proc.mounts(line)), "")
    return ""


def service_of(machine: Machine, pid: int, path: str, name: bytes, prefix: str) -> str:
    """Whose lines a log of a process holds, as services are called in the document."""
    for pattern, form in _OF_OTHERS:
        found = pattern.search(path)
        if found is not None and (form != "supervisor:%s" or b"supervisord" in name):
            return form % found.group(1)
    membership = _cgroup.membership(machine.text_or_none("/proc/%d/cgroup" % pid) or "")
    identity = _cgroup.identify(_cgroup.process_path(membership), prefix)
    if identity.manager == "none":
        top = _top(machine, pid)
        return "process:%s:%d" % (decode(top.name), top.pid)
    return identity.name if identity.manager in ("systemd", "user", "session") else "%s:%s" % (identity.manager, identity.name)


def _top(machine: Machine, pid: int) -> _Process:
    """The highest process above one that has its name: the master of a worker."""
    top = here = _look(machine, pid)
    for dummy in range(32):
        if here.ppid <= 1:
            break
        here = _look(machine, here.ppid)
        if here.name == top.name:
            top = here
    return top


def _look(machine: Machine, pid: int) -> _Process:
    try:
        head, dummy, tail = machine.peek("/proc/%d/stat" % pid, 1024).rpartition(b")")
        return _Process(pid, int(tail.split(None, 2)[1]), head.partition(b"(")[2])
    except (OSError, ValueError, IndexError):
        return _Process(pid, 0, b"")
