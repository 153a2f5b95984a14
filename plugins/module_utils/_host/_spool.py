# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Users' crontabs: the one place where a file that belongs to somebody else is written as root.

Private to oncall.pressure: no stable interface.

Debian's folder may be written by the group of the program ``crontab`` and has the sticky bit, so that nobody but root and its owner can move or remove
a file in it; Red Hat's belongs to root alone. What lies there belongs to the user of its name. Only a regular file with one name that its user alone
may write is read, and what takes its place is given to that user again before it gets the name: whatever the user does to the file meanwhile, what is
written is their own content with our marks.
"""

from __future__ import annotations

import os
import posixpath
import pwd
import re
import stat
import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._host._files import Files, Place, Untrusted, link_target, read_all
from ansible_collections.oncall.pressure.plugins.module_utils._host._text import clean

#: The folders of users' crontabs: of Debian, of Red Hat.
FOLDERS: t.Final = ("/var/spool/cron/crontabs", "/var/spool/cron")

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@\\-]{0,63}\$?\Z")


def is_users(path: str) -> bool:
    """Whether a path is one of a user's crontab."""
    folder, name = posixpath.split(path)
    return folder in FOLDERS and _NAME.match(name) is not None and path not in FOLDERS


class Spool(Files):
    """Files, for users' crontabs and nothing else."""

    def read(self, path: str, links: bool = False) -> tuple[dict[str, t.Any], bytes]:
        """See :meth:`Files.read`; hard links never will do."""
        try:
            place = self._place(path)
        except FileNotFoundError:
            return {"exists": False, "path": path}, b""
        try:
            try:
                descriptor = os.open(place.name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=place.folder)
            except FileNotFoundError:
                return {"exists": False, "path": place.path}, b""
            try:
                found = os.fstat(descriptor)
                _check(found, path)
                if place.path in self._mount_points():
                    raise Untrusted("%s is a mount point: it cannot be replaced at once" % clean(path, 300))
                data = read_all(descriptor, path)
                return self._state(place, found, data, descriptor), data
            finally:
                os.close(descriptor)
        finally:
            os.close(place.folder)

    def write(self, path: str, data: bytes, state: t.Mapping[str, t.Any], mark: str = "oncall-pressure") -> None:
        """See :meth:`Files.write`; only in the place of a file that may be read here, and with its owner."""
        now = self.look(path)
        if not now["exists"] or now["uid"] != state.get("uid"):
            raise Untrusted("%s is not the file that was looked at" % clean(path, 300))
        super().write(path, data, state, mark)

    def remove(self, path: str) -> None:
        """Users' crontabs are never removed here."""
        raise Untrusted("%s is a user's crontab: it is not ours to remove" % clean(path, 300))

    def _place(self, path: str) -> Place:
        """The folder by its one name below a trusted one, never a link. Raises Untrusted, OSError."""
        folder, name = posixpath.split(path)
        if not is_users(path):
            raise Untrusted("%s is no user's crontab" % clean(path, 300))
        above = super()._place(folder)
        try:
            descriptor = os.open(above.name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=above.folder)
        finally:
            os.close(above.folder)
        try:
            found = os.fstat(descriptor)
            alone = not found.st_mode & stat.S_IWGRP or found.st_gid == 0
            if found.st_uid not in (0, os.geteuid()) or found.st_mode & stat.S_IWOTH or not (alone or found.st_mode & stat.S_ISVTX):
                raise Untrusted("%s may be written by others than root and the program crontab" % clean(folder, 300))
            if link_target(name, descriptor) is not None:
                raise Untrusted("%s is a symbolic link, which no crontab of a user is" % clean(path, 300))
            return Place(descriptor, name, "%s/%s" % (above.path, name))
        except BaseException:
            os.close(descriptor)
            raise


def _check(found: os.stat_result, path: str) -> None:
    shown = clean(path, 300)
    if not stat.S_ISREG(found.st_mode):
        raise Untrusted("%s is no regular file" % shown)
    if found.st_nlink != 1:
        raise Untrusted("%s has %d hard links: the others would keep the old content" % (shown, found.st_nlink))
    try:
        owner = pwd.getpwnam(posixpath.basename(path)).pw_uid
    except KeyError as problem:
        raise Untrusted("%s belongs to no user of this host" % shown) from problem
    if found.st_uid != owner and found.st_uid != 0:
        raise Untrusted("%s does not belong to the user of its name" % shown)
    # an access list gives nobody more than the group's bits say
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise Untrusted("%s may be written by others than its user" % shown)
