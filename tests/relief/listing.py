# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every file that a change could touch, with content, mode and owner: python3 listing.py, a JSON object on standard output."""

from __future__ import annotations

import hashlib
import json
import os
import stat

TREES = ("/etc", "/usr/local", "/usr/lib/systemd", "/srv/shop", "/run/systemd/system", "/run/systemd/transient", "/run/systemd/system.control",
         "/run/systemd/generator", "/var/spool/cron")
# What programs write by themselves while time passes.
OUT = ("__pycache__", "/etc/mtab", "/etc/resolv.conf", "/etc/hosts", "/etc/hostname", "/etc/ld.so.cache")


def facts(path):
    found = os.lstat(path)
    row = [stat.S_IFMT(found.st_mode) >> 12, "%04o" % stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid]
    if stat.S_ISLNK(found.st_mode):
        row.append(os.readlink(path))
    elif stat.S_ISREG(found.st_mode):
        with open(path, "rb") as stream:
            row += [found.st_nlink, hashlib.sha256(stream.read()).hexdigest()]
    return row


def main():
    listed = {}
    for tree in TREES:
        for folder, folders, names in os.walk(tree):
            folders[:] = [name for name in folders if name not in OUT]
            for path in [folder] + [os.path.join(folder, name) for name in names + folders]:
                if path in OUT or os.path.basename(path).startswith("relief-") and folder.startswith("/run/"):
                    continue
                try:
                    listed[path] = facts(path)
                except OSError:
                    continue
    print(json.dumps(listed))


if __name__ == "__main__":
    main()
