# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the undo program is made of: our own sources, in one file that needs nothing but the host's Python.

Private to oncall.pressure: no stable interface.
"""

from __future__ import annotations

import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._host import _zipapp

NAME: t.Final = "undo.pyz"

#: Everything that undoing imports, and nothing else (a contract test compares).
SOURCES: t.Final = (
    "_change._arming", "_change._bundle", "_change._file", "_change._journal", "_change._kinds", "_change._lease", "_change._program",
    "_change._registry", "_change._systemctl", "_change._undo", "_change._unit", "_controls._celery_pool", "_controls._celery_remote",
    "_controls._crontab", "_controls._job_run", "_controls._mains", "_controls._nginx_config_file", "_controls._processes",
    "_controls._retire_worker", "_controls._rq_workers", "_controls._service_restart", "_controls._supervisor_program", "_controls._worker_count",
    "_host._attributes", "_host._files", "_host._machine", "_host._spool", "_host._start", "_host._talk", "_host._text", "_host._zipapp",
    "_parse._crontab",
)


def build() -> bytes:
    """The program's bytes. Raises ImportError where a source is not to be had."""
    return _zipapp.build(SOURCES, "_change._program")
