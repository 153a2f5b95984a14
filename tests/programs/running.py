# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Real gunicorn and uvicorn masters for the tests of run-time controls, and the hands that these are given."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import typing as t
from pathlib import Path

from ansible_collections.oncall.pressure.plugins.module_utils._change._kinds import Hands
from ansible_collections.oncall.pressure.plugins.module_utils._controls import _processes
from ansible_collections.oncall.pressure.plugins.module_utils._host._files import Files
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine

#: One application for both: it answers "ok", after as many seconds as its path says. With STUBBORN set its workers ignore SIGTERM.
APPLICATION = '''
import asyncio
import os
import signal
import time


def pause(path):
    words = path.strip("/").split("/")
    return float(words[1]) if words[0] == "sleep" else 0.0


def wsgi(environ, start_response):
    if os.environ.get("STUBBORN"):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(pause(environ["PATH_INFO"]))
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "2")])
    return [b"ok"]


async def asgi(scope, receive, send):
    if scope["type"] != "http":
        return
    await asyncio.sleep(pause(scope["path"]))
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2"), (b"connection", b"close")]})
    await send({"type": "http.response.body", "body": b"ok"})
'''


class Signalled(Files):
    """Files that remember every signal that was sent."""

    def __init__(self, root: str) -> None:
        super().__init__(root)
        self.sent: t.List[int] = []

    def signal(self, pid: int, start_ticks: int, number: int) -> bool:
        """Sent, and remembered."""
        self.sent.append(number)
        return super().signal(pid, start_ticks, number)


def hands(folder: Path) -> Hands:
    """Hands whose entry lies in a folder of the test."""
    (folder / "root" / "entry").mkdir(parents=True, exist_ok=True)
    return Hands(Machine(), Signalled(str(folder / "root")), "/entry")


class Server:
    """A running master and its workers."""

    def __init__(self, folder: Path, component: str, arguments: t.Sequence[str], environment: t.Optional[t.Mapping[str, str]] = None) -> None:
        self.component = component
        self.socket = str(folder / "web.sock")
        (folder / "application.py").write_text(APPLICATION, encoding="utf-8")
        bind = ["--bind", "unix:" + self.socket] if component == "gunicorn" else ["--uds", self.socket]
        target = "application:wsgi" if component == "gunicorn" else "application:asgi"
        self.machine = Machine()
        with open(str(folder / "log"), "wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", component] + bind + list(arguments) + [target], cwd=str(folder), stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                env=dict(os.environ, PYTHONDONTWRITEBYTECODE="1", **(environment or {})), start_new_session=True,
            )
        self.pid = self.process.pid

    def workers(self) -> t.List[int]:
        """Live worker processes."""
        return _processes.workers(self.machine, self.component, self.pid)

    def until(self, true: t.Callable[[], bool]) -> None:
        """Wait for what must come; a minute is given up as never."""
        end = time.monotonic() + 60
        while not true():
            assert self.process.poll() is None and time.monotonic() < end, "%r" % (self.workers(),)
            time.sleep(0.05)

    def operation(self, **more: t.Any) -> t.Dict[str, t.Any]:
        """An operation on this master."""
        found = _processes.status(self.machine, self.pid)
        assert found is not None
        made = {"kind": "worker_count", "service": "shop.service", "component": self.component, "unit": None, "pid": self.pid, "start_ticks": found.start_ticks}
        return dict(made, **more)

    def ask(self, path: str = "/") -> socket.socket:
        """Send a request and do not wait for its answer."""
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(60)
        connection.connect(self.socket)
        connection.sendall(b"GET %s HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n" % path.encode("ascii"))
        return connection

    def answers(self) -> bool:
        """Whether it takes requests already."""
        try:
            return answer(self.ask())[-2:] == b"ok"
        except (ConnectionError, FileNotFoundError):
            return False

    def stop(self) -> None:
        """End it with everything that it started."""
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()


def answer(connection: socket.socket) -> bytes:
    """The whole answer to a request."""
    parts = []
    while True:
        data = connection.recv(65536)
        if not data:
            connection.close()
            return b"".join(parts)
        parts.append(data)
