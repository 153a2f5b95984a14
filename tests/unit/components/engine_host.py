# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A host made of files on which a container engine listens: it answers as it was recorded, or as badly as a test has it."""

from __future__ import annotations

import json
import os
import shutil
import socket
import tempfile
import threading
import typing as t
from pathlib import Path

from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine

RECORDINGS = Path(__file__).resolve().parents[1] / "recordings" / "containers"
#: When the recordings were taken: 2026-11-28 03:52:00 UTC.
NOW = 1795837920

Answer = t.Callable[[str], t.Iterable[bytes]]


def http(body: bytes, status: int = 200) -> bytes:
    """One answer."""
    return b"HTTP/1.1 %d So\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body)


def recorded(name: str) -> Answer:
    """Answers of a real engine."""
    have = json.loads((RECORDINGS / name).read_text(encoding="utf-8"))

    def answer(target: str) -> t.Iterable[bytes]:
        path = target.partition("?")[0]
        key = path if path == "/version" else path.rpartition("/json")[0].rpartition("/")[2]
        if key == "containers":
            key = "ended" if "exited" in target else "running"
        yield http(json.dumps(have[key]).encode()) if key in have else http(b'{"message": "No such container"}', 404)

    return answer


class Host:
    """Its folder has a short name, for the path of a socket is short."""

    def __init__(self) -> None:
        self.folder = tempfile.mkdtemp(prefix="e", dir="/tmp")
        self.listeners: t.List[socket.socket] = []
        self.file("/proc/uptime", "3600.00 100.00\n")
        self.file("/proc/1/cgroup", "0::/init.scope\n")
        self.file("/proc/self/mountinfo", "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n")

    def file(self, path: str, text: str) -> None:
        """A file of the host."""
        place = Path(self.folder + path)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text, encoding="utf-8")

    def process(self, pid: int, name: str, cgroup: str = "/system.slice/x.service", uid: int = 0) -> None:
        """A process with its user and cgroup."""
        self.file("/proc/%d/comm" % pid, name + "\n")
        self.file("/proc/%d/status" % pid, "Name:\t%s\nUid:\t%d\t%d\t%d\t%d\n" % (name, uid, uid, uid, uid))
        self.file("/proc/%d/cgroup" % pid, "0::%s\n" % cgroup)

    def cgroup(self, path: str, **files: str) -> None:
        """A cgroup (version 2) with some files, dots of their names as underscores."""
        for name, text in files.items():
            self.file("/sys/fs/cgroup%s/%s" % (path, name.replace("_", ".", 1)), text)

    def machine(self) -> Machine:
        """To be read."""
        self.file("/commands.json", json.dumps({"now": NOW, "euid": os.getuid()}))
        return Machine(self.folder)

    def listen(self, path: str, answer: Answer) -> None:
        """An engine: every request on every connection gets what ``answer`` yields."""
        place = self.folder + path
        os.makedirs(os.path.dirname(place), mode=0o755, exist_ok=True)
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(place)
        listener.listen(8)
        self.listeners.append(listener)
        threading.Thread(target=_accept, args=(listener, answer), daemon=True).start()

    def close(self) -> None:
        """Gone."""
        for listener in self.listeners:
            listener.close()
        shutil.rmtree(self.folder)


def _accept(listener: socket.socket, answer: Answer) -> None:
    while True:
        try:
            connection = listener.accept()[0]
        except OSError:
            return
        threading.Thread(target=_serve, args=(connection, answer), daemon=True).start()


def _serve(connection: socket.socket, answer: Answer) -> None:
    with connection:
        while True:
            try:
                data = b""
                while b"\r\n\r\n" not in data:
                    more = connection.recv(65536)
                    if not more:
                        return
                    data += more
                for part in answer(data.split(b" ", 2)[1].decode("ascii")):
                    connection.sendall(part)
            except OSError:
                return
