# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files as a running nginx sees them: its configuration, its logs and what they were rotated to.

Private to oncall.pressure: no stable interface.
"""

from __future__ import annotations

import fnmatch
import posixpath
import re
import stat
import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._components._daemons import Daemons, root_of, running
from ansible_collections.oncall.pressure.plugins.module_utils._components._mounts import MayHang, Mounts
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine

# Where packages put the configuration; asked for in this order where the command line does not say it.
_CONFIGS = (
    "/etc/nginx/nginx.conf", "/usr/local/nginx/conf/nginx.conf", "/usr/local/openresty/nginx/conf/nginx.conf", "/usr/local/etc/nginx/nginx.conf",
    "/opt/nginx/conf/nginx.conf", "/opt/bitnami/nginx/conf/nginx.conf", "/etc/angie/angie.conf",
)

# What relative names of logs are relative to, as packages are built.
_PREFIXES = ("/usr/share/nginx", "/etc/nginx", "/usr/local/nginx", "/usr/local/openresty/nginx", "/usr/local", "/opt/nginx", "/opt/bitnami/nginx")

_DEFAULT_LOGS = (
    "/var/log/nginx/access.log", "/usr/local/nginx/logs/access.log", "/usr/local/openresty/nginx/logs/access.log", "/opt/bitnami/nginx/logs/access.log",
)

_DEFAULT_ERRORS = tuple(path.replace("access.log", "error.log") for path in _DEFAULT_LOGS)

_FILE_LIMIT = 1048576
_LINKS_LIMIT = 40
_NAMES_LIMIT = 4096
_GLOB_LIMIT = 1000

_COMPRESSED = re.compile(r"\.(?:gz|xz|zst|bz2|lz4)\Z")


class Master(t.NamedTuple):
    """A running master: how many workers it has; config and prefix as its command line says (null: it does not);
    root: where its file system begins ("" where it is the same as ours)."""

    pid: int
    workers: int
    config: str | None
    prefix: str | None
    root: str


class LogPlace(t.NamedTuple):
    """A regular file that is a log: its name for people, its path for us, identity (device, inode), size in bytes, last change."""

    path: str
    real: str
    identity: tuple[int, int]
    size: int
    changed: float


class View:
    """The file system as one master sees it."""

    def __init__(self, machine: Machine, master: Master) -> None:
        self._machine = machine
        self._master = master
        self._mounts = Mounts(machine, str(master.pid) if master.root else "self")

    def real(self, path: str) -> str:
        """Our path of the master's. Links are followed here, one by one, so that an absolute one stays inside a container's root.

        Raises OSError where links go round, and MayHang where a part of it lies on a file system that may hang.
        """
        root = self._master.root
        done, waiting, links = "", [part for part in path.split("/") if part not in ("", ".")], 0
        while waiting:
            part = waiting.pop(0)
            if part == "..":
                done = done.rpartition("/")[0]
                continue
            place = done + "/" + part
            kind = self._mounts.kind(place)
            if kind:
                raise MayHang(kind, path)
            try:
                target = self._machine.link(root + place)
            except OSError:
                done = place
                continue
            links += 1
            if links > _LINKS_LIMIT:
                raise OSError(40, "too many symbolic links", path)
            if target.startswith("/"):
                done = ""
            waiting = [inner for inner in target.split("/") if inner not in ("", ".")] + waiting
        return root + (done or "/")

    def text(self, path: str) -> str:
        """A configuration file, at most 1 MiB of it. Raises OSError, also where it is no regular file."""
        real = self.real(path)
        if not stat.S_ISREG(self._machine.stat(real).st_mode):
            raise OSError(22, "not a regular file", path)
        return self._machine.text(real, _FILE_LIMIT)

    def config(self) -> str | None:
        """The path of the main configuration file, null where none is found."""
        master = self._master
        if master.config:
            return master.config if master.config.startswith("/") else posixpath.join(master.prefix or "/etc/nginx", master.config)
        if master.prefix:
            return posixpath.join(master.prefix, "conf/nginx.conf")
        return next((path for path in _CONFIGS if self._exists(path)), None)

    def glob(self, pattern: str) -> list[str]:
        """The paths that match, sorted, as glob(3) gives them to nginx. Folders that may not be read give none."""
        found = [""]
        for part in [part for part in pattern.split("/") if part]:
            if not any(character in part for character in "*?["):
                found = [path + "/" + part for path in found]
                continue
            matching = []
            for path in found:
                try:
                    names = sorted(self._machine.names(self.real(path or "/")))[:_NAMES_LIMIT]
                except OSError:
                    continue
                hidden = part.startswith(".")
                matching += [path + "/" + name for name in names if fnmatch.fnmatchcase(name, part) and (hidden or not name.startswith("."))]
            found = matching[:_GLOB_LIMIT]
        return [path for path in found if self._exists(path)]

    def _exists(self, path: str) -> bool:
        """Whether there is something at a path; true where that may not be looked at, so that whoever reads it says why it is not read."""
        try:
            return self._machine.exists(self.real(path))
        except MayHang:
            return True
        except OSError:
            return False

    def folder(self, path: str) -> bool:
        """Whether there is a folder at a path."""
        try:
            return stat.S_ISDIR(self._machine.stat(self.real(path)).st_mode)
        except OSError:
            return False

    def log_path(self, written: str, name: str = "access.log") -> str | None:
        """The absolute path of a log; "" asks for the one nginx writes without being told, which is called ``name``. Null where it is not found.

        What a relative name is relative to was compiled in; the files the master holds open tell it.
        """
        if written.startswith("/"):
            return written
        tail = "/" + (written or name)
        opened = self._opened()
        for path in opened:
            if path.endswith(tail):
                return path
        if not written:
            return next((path for path in (_DEFAULT_LOGS if name == "access.log" else _DEFAULT_ERRORS) if self._exists(path)), None)
        prefixes = (self._master.prefix,) if self._master.prefix else _PREFIXES
        return next((prefix + tail for prefix in prefixes if self._exists(prefix + tail)), None)

    def _opened(self) -> list[str]:
        folder = "/proc/%d/fd" % self._master.pid
        found = []
        try:
            for name in sorted(self._machine.names(folder))[:_NAMES_LIMIT]:
                path = self._machine.link(folder + "/" + name)
                if path.startswith("/"):
                    found.append(path)
        except OSError:
            pass
        return found

    def log(self, path: str) -> LogPlace:
        """Look at a log. Raises OSError where it is not there, may not be looked at, or is no regular file."""
        real = self.real(path)
        facts = self._machine.stat(real)
        if not stat.S_ISREG(facts.st_mode):
            raise OSError(22, "not a regular file", path)
        return LogPlace(path, real, (facts.st_dev, facts.st_ino), facts.st_size, facts.st_mtime)

    def rotated(self, path: str) -> tuple[list[LogPlace], list[LogPlace]]:
        """What a log was rotated to, newest first: readable files, and compressed ones, which cannot be searched."""
        folder, name = posixpath.split(path)
        plain, compressed = [], []
        try:
            names = self._machine.names(self.real(folder))[:_NAMES_LIMIT]
        except OSError:
            return [], []
        pattern = re.compile(re.escape(name) + r"[.-]\d[\d.-]*(?:\.(?:gz|xz|zst|bz2|lz4))?\Z")
        for other in names:
            if not pattern.match(other):
                continue
            try:
                place = self.log(posixpath.join(folder, other))
            except OSError:
                continue
            (compressed if _COMPRESSED.search(other) else plain).append(place)
        plain.sort(key=lambda place: -place.changed)
        compressed.sort(key=lambda place: -place.changed)
        return plain, compressed


def masters(machine: Machine, daemons: Daemons | None = None) -> list[Master]:
    """The masters that run, ours before those of containers; looked for where ``daemons`` is null."""
    titles: dict[int, tuple[str, int]] = {}
    for pid in (running(machine) if daemons is None else daemons).get("nginx", ()):
        status = machine.text_or_none("/proc/%d/status" % pid, 4096) or ""
        title = (machine.text_or_none("/proc/%d/cmdline" % pid, 8192) or "").replace("\0", " ").strip()
        parent = re.search(r"^PPid:\t(\d+)", status, re.MULTILINE)
        titles[pid] = (title, int(parent.group(1)) if parent else 0)
    found = []
    for pid, (title, dummy) in sorted(titles.items()):
        head, separator, command = title.partition(": master process")
        if not separator or head not in ("nginx", "angie"):
            continue
        workers = sum(1 for other, parent in titles.values() if parent == pid and ": worker process" in other and "shutting down" not in other)
        words = command.split()
        found.append(Master(pid, workers, _option(words, "-c"), _option(words, "-p"), root_of(machine, pid)))
    return sorted(found, key=lambda master: (bool(master.root), master.pid))


def _option(words: t.Sequence[str], name: str) -> str | None:
    """The value of an option on a master's command line, which is all one text."""
    for place, word in enumerate(words):
        if word == "-g":
            # directives follow, up to whose end cannot be told; options after them are looked for all the same
            continue
        if word == name and place + 1 < len(words):
            return words[place + 1]
        if word.startswith(name) and len(word) > 2 and word[2:3] in "/.":
            return word[2:]
    return None
