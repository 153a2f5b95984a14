# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files of ours that grow by a line at a time, and are put away whole when they are large.

Private to oncall.pressure: no stable interface.
"""

from __future__ import annotations

import os

from ansible_collections.oncall.pressure.plugins.module_utils._host._files import Files


class Parts(Files):
    """Files, with what a file that grows needs beside."""

    def rename(self, path: str, name: str) -> None:
        """Give a file another name in its folder, in the place of one that has it: that needs no room on a full disk. Raises Untrusted, OSError."""
        place = self._place(path)
        try:
            self._check_target(place, path)
            os.rename(place.name, name, src_dir_fd=place.folder, dst_dir_fd=place.folder)
        finally:
            os.close(place.folder)
