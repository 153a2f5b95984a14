# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Masters for the tests of this folder: real programs, ended with the test that started them."""

from __future__ import annotations

import os
import signal
import sys
import typing as t
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

import running
from ansible_collections.oncall.pressure.plugins.module_utils._controls import _processes


@pytest.fixture
def start(tmp_path: Path) -> t.Iterator[t.Callable[..., running.Server]]:
    """Starts masters: ``start(component, *arguments, workers=3, **environment)``, each ready to take signals."""
    begun: t.List[running.Server] = []

    def begin(component: str, *arguments: str, workers: int = 3, **environment: str) -> running.Server:
        folder = tmp_path / ("master%d" % len(begun))
        folder.mkdir()
        server = running.Server(folder, component, ["--workers", str(workers)] + list(arguments), environment)
        begun.append(server)
        server.until(lambda: len(server.workers()) == workers and os.path.exists(server.socket) and _catches(server))
        # a worker that is still booting takes no request yet
        server.until(server.answers)
        return server

    yield begin
    for server in begun:
        server.stop()


def _catches(server: running.Server) -> bool:
    found = _processes.status(server.machine, server.pid)
    return found is not None and _processes.has(found.caught, signal.SIGTTOU)
