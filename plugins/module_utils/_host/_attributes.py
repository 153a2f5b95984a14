# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a file has beside its content and mode: extended attributes (access lists, labels, capabilities) and the flags of its file system.

Private to oncall.pressure: no stable interface.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
import typing as t

#: The attribute that says who else may read or write a file.
ACCESS_LIST: t.Final = "system.posix_acl_access"

# What every Linux but a few rare machines calls FS_IOC_GETFLAGS; where it is another number, nothing is known and writing shows it.
_GET_FLAGS = 0x80006601 | struct.calcsize("l") << 16
_FIXED_FLAGS = 0x10 | 0x20


def read(descriptor: int) -> dict[str, str]:
    """Extended attributes by name, as hex. Raises OSError where there are some that we cannot read: they could not be put back."""
    try:
        names = sorted(os.listxattr(descriptor))
    except OSError as problem:
        if problem.errno in (errno.ENOTSUP, errno.ENOSYS):
            # a file system without them
            return {}
        raise
    found: dict[str, str] = {}
    for name in names:
        try:
            found[name] = os.getxattr(descriptor, name).hex()
        except OSError as problem:
            if problem.errno not in (errno.ENODATA, errno.ENOTSUP):
                raise
    return found


def write(descriptor: int, wanted: t.Mapping[str, str]) -> None:
    """Give a new file the attributes that are wanted, and take the access list that its folder gave it. What it has already (a label) is left alone."""
    there = read(descriptor)
    if ACCESS_LIST in there and ACCESS_LIST not in wanted:
        os.removexattr(descriptor, ACCESS_LIST)
    for name, value in wanted.items():
        if there.get(name) != value:
            os.setxattr(descriptor, name, bytes.fromhex(value))


def is_fixed(path: str) -> bool:
    """Whether a file or folder has the flag that keeps even root from changing it; False where that cannot be known."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        flags = fcntl.ioctl(descriptor, _GET_FLAGS, struct.pack("l", 0))
        return bool(struct.unpack("l", flags)[0] & _FIXED_FLAGS)
    except OSError:
        return False
    finally:
        os.close(descriptor)
