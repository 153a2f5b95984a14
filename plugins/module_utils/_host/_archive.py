# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Import from the archive that Ansible sends, with every file compiled once.

Private to oncall.pressure: no stable interface.
"""

from __future__ import annotations

import os
import sys
import zipimport

_OURS = __name__.rpartition("._host.")[0]


class _Importer(zipimport.zipimporter):
    """One that knows a file's name without its code: Python's own compiles each file to tell its name, and once more to run it."""

    def get_filename(self, fullname: str) -> str:
        """Where the code of a module is said to come from. Raises ZipImportError where there is none."""
        if self.is_package(fullname):
            return super().get_filename(fullname)
        return os.path.join(self.archive, "%s%s.py" % (self.prefix, fullname.rpartition(".")[2]))


def compile_once() -> None:
    """From now on, for what is in the folders of ours that something was imported from; elsewhere than in an archive nothing changes."""
    for name, package in list(sys.modules.items()):
        for path in getattr(package, "__path__", ()) if name.startswith(_OURS) else ():
            if isinstance(sys.path_importer_cache.get(path), zipimport.zipimporter):
                sys.path_importer_cache[path] = _Importer(path)
