# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The only hands on the machine: files are written, locked and removed here, and signals sent, trusting nothing that others may change.

Private to oncall.pressure: no stable interface.

Every path is walked from the root, folder by folder, by descriptor. A folder or file that anyone but root (or who we are) may write is
refused, since whoever may write it could put something else in its place between a look and a write; so are hard links, which have a
second name elsewhere, mount points, which cannot be replaced at once, and everything that is no regular file. A symbolic link is followed
within such trusted folders and stays one.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import re
import signal
import stat
import time
import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._host import _attributes
from ansible_collections.oncall.pressure.plugins.module_utils._host._text import clean

#: The largest file that is edited or saved, in bytes.
SIZE_LIMIT = 4 * 1024 * 1024

_LINKS = 40
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NAME_LIMIT = 200
_SAID_BYTES = 2048
_ESCAPED = re.compile(rb"\\([0-7]{3})")


class Untrusted(Exception):
    """A path that must not be written as root; the message says why."""


class Place(t.NamedTuple):
    """Where a path really lies: an open folder, the name in it, and the path without links."""

    folder: int
    name: str
    path: str


class Files:
    """Files of this machine, written safely.

    :param root: "" for this machine, else a folder that stands in for its root (tests).
    """

    def __init__(self, root: str = "") -> None:
        self.root = root

    # looking

    def look(self, path: str, links: bool = False) -> dict[str, t.Any]:
        """What is at ``path``: ``{"exists": False, "path"}`` or with ``bytes``, ``sha256``, ``mode`` (octal text), ``uid``, ``gid``, ``xattrs`` (name: hex)
        and ``path``, the path without links. ``links``: a file with hard links will do. Raises Untrusted, OSError.
        """
        return self.read(path, links)[0]

    def read(self, path: str, links: bool = False) -> tuple[dict[str, t.Any], bytes]:
        """What :meth:`look` gives, and the content of the same moment. Raises Untrusted, OSError."""
        try:
            place = self._place(path)
        except FileNotFoundError:
            return {"exists": False, "path": path}, b""
        try:
            try:
                found = os.stat(place.name, dir_fd=place.folder, follow_symlinks=False)
            except FileNotFoundError:
                return {"exists": False, "path": place.path}, b""
            _check_file(found, path, links)
            descriptor = os.open(place.name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=place.folder)
            try:
                found = os.fstat(descriptor)
                _check_file(found, path, links)
                _check_access_list(descriptor, found, path)
                if place.path in self._mount_points():
                    raise Untrusted("%s is a mount point: it cannot be replaced at once" % clean(path, 300))
                data = read_all(descriptor, path)
                return self._state(place, found, data, descriptor), data
            finally:
                os.close(descriptor)
        finally:
            os.close(place.folder)

    @staticmethod
    def _state(place: Place, found: os.stat_result, data: bytes, descriptor: int) -> dict[str, t.Any]:
        told = {"exists": True, "path": place.path, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest(), "uid": found.st_uid, "gid": found.st_gid}
        return dict(told, mode="%04o" % stat.S_IMODE(found.st_mode), xattrs=_attributes.read(descriptor))

    def trusted(self, path: str) -> bool:
        """Whether there is a file at ``path`` that none but root (or we) can change or put another in the place of."""
        try:
            place = self._place(path)
        except (OSError, Untrusted):
            return False
        try:
            found = os.stat(place.name, dir_fd=place.folder, follow_symlinks=False)
            return stat.S_ISREG(found.st_mode) and not _by_others(found)
        except OSError:
            return False
        finally:
            os.close(place.folder)

    def writable(self, path: str) -> None:
        """Raises Untrusted where a file could not be written at ``path`` at all: a file system that is mounted read-only, an immutable file."""
        folder = os.path.dirname(path)
        while not os.path.isdir(self.root + folder) and folder not in ("", "/"):
            folder = os.path.dirname(folder)
        if os.statvfs(self.root + folder or "/").f_flag & os.ST_RDONLY:
            raise Untrusted("%s lies on a file system that is mounted read-only" % clean(path, 300))
        for fixed in (folder or "/", path):
            if _attributes.is_fixed(self.root + fixed):
                raise Untrusted("%s is immutable or only to be appended to: somebody decided that it must not change (lsattr, chattr)" % clean(fixed, 300))

    def exists(self, path: str) -> bool:
        """Whether there is something at ``path``, a dangling link included."""
        return os.path.lexists(self.root + path)

    def names(self, path: str) -> list[str]:
        """The names in a folder, sorted; none where there is no such folder."""
        try:
            return sorted(os.listdir(self.root + path))
        except (FileNotFoundError, NotADirectoryError):
            return []

    # writing

    def write(self, path: str, data: bytes, state: t.Mapping[str, t.Any], mark: str = "oncall-pressure") -> None:
        """Put ``data`` at ``path`` at once: either the whole old or the whole new content is there, whatever happens.

        ``state``: ``mode`` (octal text), ``uid``, ``gid``, ``xattrs``. The temporary file is hidden and has a name of its own, so that no
        program that includes a folder loads it. Raises Untrusted, OSError.
        """
        place = self._place(path)
        temporary = _temporary(place.name, mark)
        try:
            self._check_target(place, path)
            _unlink(temporary, place.folder)
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=place.folder)
            try:
                _write_all(descriptor, data)
                os.fchown(descriptor, int(state.get("uid", os.geteuid())), int(state.get("gid", os.getegid())))
                os.fchmod(descriptor, int(str(state.get("mode", "0644")), 8))
                if state.get("xattrs") is not None:
                    _attributes.write(descriptor, state["xattrs"])
                os.fsync(descriptor)
            except BaseException:
                _unlink(temporary, place.folder)
                raise
            finally:
                os.close(descriptor)
            try:
                os.rename(temporary, place.name, src_dir_fd=place.folder, dst_dir_fd=place.folder)
            except BaseException:
                _unlink(temporary, place.folder)
                raise
            os.fsync(place.folder)
        finally:
            os.close(place.folder)

    def sweep(self, path: str, mark: str = "oncall-pressure") -> None:
        """Remove the temporary file that an interrupted :meth:`write` left beside ``path``."""
        try:
            place = self._place(path)
        except (OSError, Untrusted):
            return
        try:
            _unlink(_temporary(place.name, mark), place.folder)
        finally:
            os.close(place.folder)

    def remove(self, path: str) -> None:
        """Remove a file (of a link: what it leads to). Nothing where there is none. Raises Untrusted, OSError."""
        try:
            place = self._place(path)
        except FileNotFoundError:
            return
        try:
            _unlink(place.name, place.folder)
            os.fsync(place.folder)
        finally:
            os.close(place.folder)

    def link(self, path: str, target: str) -> None:
        """Make ``path`` a symbolic link to ``target``, in the place of one that is there. Raises Untrusted, OSError."""
        place = self._place(os.path.dirname(path) + "/.")
        name = os.path.basename(path)
        try:
            _unlink(name, place.folder)
            os.symlink(target, name, dir_fd=place.folder)
            os.fsync(place.folder)
        finally:
            os.close(place.folder)

    def unlink(self, path: str) -> None:
        """Remove a name itself, a link and not what it leads to. Nothing where there is none. Raises Untrusted, OSError."""
        try:
            place = self._place(os.path.dirname(path) + "/.")
        except FileNotFoundError:
            return
        try:
            _unlink(os.path.basename(path), place.folder)
        finally:
            os.close(place.folder)

    def make_folders(self, path: str, mode: int = 0o755) -> list[str]:
        """Make a folder and those above it that are missing; gives those made, outermost first. Raises Untrusted, OSError."""
        made: list[str] = []
        parts = [part for part in path.split("/") if part]
        for end in range(1, len(parts) + 1):
            here = "/" + "/".join(parts[:end])
            if os.path.isdir(self.root + here):
                continue
            place = self._place(here)
            try:
                os.mkdir(place.name, mode, dir_fd=place.folder)
                os.chmod(place.name, mode, dir_fd=place.folder)
                os.fsync(place.folder)
                made.append(here)
            except FileExistsError:
                # another run of ours was first; what it is is looked at below
                pass
            finally:
                os.close(place.folder)
        # also one that was there before must be one to trust
        os.close(self._place(path + "/.").folder)
        return made

    def remove_folder(self, path: str) -> bool:
        """Remove a folder if it is empty; whether it was removed."""
        try:
            place = self._place(os.path.dirname(path) + "/.")
        except (OSError, Untrusted):
            return False
        try:
            os.rmdir(os.path.basename(path), dir_fd=place.folder)
            return True
        except OSError:
            return False
        finally:
            os.close(place.folder)

    # our own records

    def append(self, path: str, data: bytes) -> None:
        """Add to a file of ours and see it to the disk. Raises Untrusted, OSError."""
        place = self._place(path)
        try:
            new = not self._is_there(place)
            descriptor = os.open(place.name, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=place.folder)
            try:
                size = os.fstat(descriptor).st_size
                # a line that a full disk or a crash cut off must not swallow the next one
                torn = size and os.pread(descriptor, 1, size - 1) != b"\n"
                _write_all(descriptor, b"\n" + data if torn else data)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            if new:
                os.fsync(place.folder)
        finally:
            os.close(place.folder)

    def lock(self, path: str, wait_s: float = 0.0) -> int | None:
        """A descriptor that holds the lock of a file of ours, null where another process holds it for all of ``wait_s``. Raises Untrusted, OSError."""
        place = self._place(path)
        try:
            descriptor = os.open(place.name, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=place.folder)
        finally:
            os.close(place.folder)
        end = time.monotonic() + wait_s
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return descriptor
            except OSError as problem:
                if problem.errno not in (errno.EAGAIN, errno.EACCES) or time.monotonic() >= end:
                    os.close(descriptor)
                    if problem.errno in (errno.EAGAIN, errno.EACCES):
                        return None
                    raise
            time.sleep(0.05)

    @staticmethod
    def locked_text(descriptor: int) -> bytes:
        """What the locked file says."""
        return os.pread(descriptor, 65536, 0)

    @staticmethod
    def say(descriptor: int, data: bytes) -> None:
        """Write a locked file anew, in its place: nobody reads it empty, and a full disk does not empty it."""
        data = data.ljust(_SAID_BYTES)
        os.pwrite(descriptor, data, 0)
        os.ftruncate(descriptor, len(data))
        os.fsync(descriptor)

    @staticmethod
    def unlock(descriptor: int) -> None:
        """Let go of a lock."""
        os.close(descriptor)

    # signals

    def signal(self, pid: int, start_ticks: int, number: int) -> bool:
        """Send a signal to the very process that was started then; False where it is gone. Raises PermissionError."""
        handle = -1
        if hasattr(os, "pidfd_open") and hasattr(signal, "pidfd_send_signal"):
            try:
                handle = os.pidfd_open(pid)
            except OSError as problem:
                if problem.errno == errno.ESRCH:
                    return False
        try:
            if started(pid) != start_ticks:
                return False
            try:
                if handle >= 0:
                    signal.pidfd_send_signal(handle, number)
                else:
                    os.kill(pid, number)
            except ProcessLookupError:
                return False
            return True
        finally:
            if handle >= 0:
                os.close(handle)

    def kill(self, pid: int, start_ticks: int) -> bool:
        """End the very process that was started then; False where it is gone."""
        return self.signal(pid, start_ticks, signal.SIGKILL)

    # the walk

    def _place(self, path: str) -> Place:
        """Walk to the folder that holds the last name of ``path``. Raises Untrusted, OSError."""
        if not path.startswith("/") or "\0" in path:
            raise Untrusted("%s is no absolute path" % clean(path, 300))
        folders = [os.open(self.root or "/", _FOLDER)]
        names: list[str] = []
        left = [part for part in path.split("/") if part and part != "."]
        # "/a/." asks for the folder itself to be walked into
        inside = path.endswith("/.")
        links = 0
        try:
            _check_folder(folders[0], "/")
            while left:
                part = left.pop(0)
                if part == "..":
                    if len(folders) > 1:
                        os.close(folders.pop())
                        names.pop()
                    continue
                target = link_target(part, folders[-1])
                if target is not None:
                    links += 1
                    if links > _LINKS:
                        raise OSError(errno.ELOOP, "too many links", path)
                    if target.startswith("/"):
                        while len(folders) > 1:
                            os.close(folders.pop())
                        names = []
                    left = [piece for piece in target.split("/") if piece and piece != "."] + left
                    continue
                if not left and not inside:
                    return Place(folders.pop(), part, "/" + "/".join(names + [part]))
                folders.append(os.open(part, _FOLDER, dir_fd=folders[-1]))
                names.append(part)
                _check_folder(folders[-1], "/" + "/".join(names))
            if not inside:
                raise Untrusted("%s is a folder" % clean(path, 300))
            return Place(folders.pop(), ".", "/" + "/".join(names))
        finally:
            for descriptor in folders:
                os.close(descriptor)

    def _check_target(self, place: Place, path: str) -> None:
        """Only a regular file may be put another in the place of."""
        try:
            found = os.stat(place.name, dir_fd=place.folder, follow_symlinks=False)
        except FileNotFoundError:
            return
        if not stat.S_ISREG(found.st_mode):
            raise Untrusted("%s is no regular file" % clean(path, 300))

    @staticmethod
    def _is_there(place: Place) -> bool:
        try:
            os.stat(place.name, dir_fd=place.folder, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return True

    def _mount_points(self) -> frozenset[str]:
        try:
            with open("/proc/self/mountinfo", "rb") as stream:
                lines = stream.read(16777216).split(b"\n")
        except OSError:
            return frozenset()
        points = (os.fsdecode(_unescaped(line.split(b" ")[4])) for line in lines if line.count(b" ") > 4)
        return frozenset(point[len(self.root):] for point in points if point.startswith(self.root))


def started(pid: int) -> int | None:
    """When a process started, in clock ticks since boot; null where it is gone or only a zombie is left."""
    try:
        with open("/proc/%d/stat" % pid, "rb") as stream:
            fields = stream.read(4096).rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return int(fields[19]) if len(fields) > 19 and fields[0] not in (b"Z", b"X") else None


def link_target(name: str, folder: int) -> str | None:
    """Where a link in an open folder leads; null where there is none. Raises OSError."""
    try:
        return os.readlink(name, dir_fd=folder)
    except OSError as problem:
        if problem.errno in (errno.EINVAL, errno.ENOENT):
            return None
        raise


def _by_others(found: os.stat_result) -> bool:
    """Whether anyone but root and ourselves may write it."""
    if found.st_uid not in (0, os.geteuid()):
        return True
    group = stat.S_IWGRP if found.st_gid != 0 else 0
    return bool(found.st_mode & (stat.S_IWOTH | group))


def _check_folder(descriptor: int, path: str) -> None:
    found = os.fstat(descriptor)
    listed = bool(found.st_mode & stat.S_IWGRP) and _attributes.ACCESS_LIST in _attributes.read(descriptor)
    if _by_others(found) or listed:
        raise Untrusted("%s may be written by others than root: what lies in it is not ours to write as root" % clean(path, 300))


def _check_file(found: os.stat_result, path: str, links: bool) -> None:
    shown = clean(path, 300)
    if not stat.S_ISREG(found.st_mode):
        raise Untrusted("%s is no regular file" % shown)
    if found.st_nlink != 1 and not links:
        raise Untrusted("%s has %d hard links: the others would keep the old content" % (shown, found.st_nlink))
    if _by_others(found):
        raise Untrusted("%s may be written by others than root" % shown)


def _check_access_list(descriptor: int, found: os.stat_result, path: str) -> None:
    # with a list, the group's bits are the most that anyone on it may do
    if found.st_mode & stat.S_IWGRP and _attributes.ACCESS_LIST in _attributes.read(descriptor):
        raise Untrusted("%s may be written by others than root, by its access list" % clean(path, 300))


def _unescaped(path: bytes) -> bytes:
    return _ESCAPED.sub(lambda found: bytes([int(found.group(1), 8) & 255]), path)


def read_all(descriptor: int, path: str) -> bytes:
    """All of an open file. Raises Untrusted for one that is too large, OSError."""
    parts: list[bytes] = []
    left = SIZE_LIMIT + 1
    while left > 0:
        data = os.read(descriptor, min(left, 262144))
        if not data:
            break
        parts.append(data)
        left -= len(data)
    if left <= 0:
        raise Untrusted("%s is larger than %d MiB" % (clean(path, 300), SIZE_LIMIT // 1048576))
    return b"".join(parts)


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view):]


def _unlink(name: str, folder: int) -> None:
    try:
        # asked first: a file system that is mounted read-only refuses to remove even what is not there
        os.stat(name, dir_fd=folder, follow_symlinks=False)
        os.unlink(name, dir_fd=folder)
    except FileNotFoundError:
        pass


def _temporary(name: str, mark: str) -> str:
    return ".%s.%s" % (os.fsdecode(os.fsencode(name)[:_NAME_LIMIT]), mark)
