# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""On the host of the table: what stands where a program stood and answers rubbish, and what looks whether all is as it was. Knows nothing of the product."""

from __future__ import annotations

import ctypes
import json
import mmap
import os
import random
import socket
import subprocess
import sys
import time
import urllib.request
from typing import Callable

#: What belongs to a snapshot and must not outlive it.
OURS = ("AnsiballZ", "ansible-tmp", "ansible_collections", "systemctl show", "journalctl --no-pager", "psql -")

#: Units that the host runs where nothing is wrong.
UNITS = ("nginx.service", "redis-server.service", "postgresql@15-main.service", "cron.service", "docker.service", "containerd.service",
         "shop-web.service", "shop-api.service", "shop-jobs.service", "shop-mails.service", "systemd-journald.service")


def rubbish(count: int, seed: str) -> bytes:
    """Random bytes, with what hurts readers more often than chance would have it."""
    draw = random.Random(seed)
    parts: list[bytes] = []
    size = 0
    hurts = (b"\n", b"\x1b[31m", b"\0", b"=" * 40, b"9" * 40, b"[" * 200, b"{\"", b"\xff\xfe", b"\r\n\r\n", b"x" * 5000, b"\xf0\x9f\x92", b"-1", b" * * * * * ")
    while size < count:
        part = draw.choice(hurts) if draw.random() < 0.3 else draw.randbytes(draw.randrange(1, 120))
        parts.append(part)
        size += len(part)
    return b"".join(parts)[:count]


def write(path: str, count: int, seed: str) -> None:
    with open(path, "wb") as stream:
        stream.write(rubbish(count, seed))


def talk(stream: socket.socket, way: str, seed: str) -> None:
    stream.settimeout(20)
    try:
        stream.recv(65536)
        if way == "bytes":
            stream.sendall(rubbish(20000, seed))
        elif way == "endless":
            data = rubbish(65536, seed)
            while True:
                stream.sendall(data)
        elif way == "endless-line":
            while True:
                stream.sendall(b"x" * 65536)
        elif way == "drip":
            while True:
                stream.sendall(b"H")
                time.sleep(0.1)
        elif way == "silent":
            time.sleep(60)
        elif way == "http":
            body = rubbish(3000, seed)
            stream.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 3000\r\n\r\n" + body)
        elif way == "http-endless":
            stream.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
            while True:
                stream.sendall(b"4000\r\n" + b"[" * 0x4000 + b"\r\n")
    except OSError:
        pass


def listen(where: str, way: str, seed: str, name: str, user: str) -> None:
    """A server at a path or port that answers as ``way`` says, each caller in a process of its own."""
    if name != "-":
        with open("/proc/self/comm", "w", encoding="ascii") as stream:
            stream.write(name)
    if user != "-":
        import pwd
        found = pwd.getpwnam(user)
        os.setgid(found.pw_gid)
        os.setuid(found.pw_uid)
    if where.startswith("/"):
        door = socket.socket(socket.AF_UNIX)
        if os.path.exists(where):
            os.unlink(where)
        door.bind(where)
        os.chmod(where, 0o777)
    else:
        door = socket.socket()
        door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        door.bind(("127.0.0.1", int(where)))
    door.listen(16)
    while True:
        caller = door.accept()[0]
        if os.fork() == 0:
            talk(caller, way, seed)
            os._exit(0)
        caller.close()
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            pass


def fork_away(work: Callable[..., None], *given: str) -> None:
    """Do it in the background, told apart by the session of its own."""
    if os.fork():
        time.sleep(0.3)
        return
    os.setsid()
    null = os.open("/dev/null", os.O_RDWR)
    for number in range(3):
        os.dup2(null, number)
    with open("/run/table.pids", "a", encoding="ascii") as stream:
        stream.write("%d\n" % os.getpid())
    work(*given)


def end_all() -> None:
    """End what was started here, with all its children."""
    try:
        with open("/run/table.pids", encoding="ascii") as stream:
            pids = [int(line) for line in stream]
    except FileNotFoundError:
        return
    for pid in pids:
        for number in (18, 9):
            try:
                os.killpg(pid, number)
            except OSError:
                pass
    os.unlink("/run/table.pids")


class Map(ctypes.Structure):
    """struct prctl_mm_map of the kernel."""

    _fields_ = [(name, ctypes.c_uint64) for name in (
        "start_code", "end_code", "start_data", "end_data", "start_brk", "brk", "start_stack", "arg_start", "arg_end", "env_start", "env_end", "auxv")]
    _fields_ += [("auxv_size", ctypes.c_uint32), ("exe_fd", ctypes.c_uint32)]


def stuck(path: str) -> None:
    """A process whose arguments lie in a file: whoever reads its cmdline waits for that file's server."""
    with open("/proc/self/comm", "w", encoding="ascii") as stream:
        stream.write("stuck-one")
    with open(path, "r+b") as stream:
        held = mmap.mmap(stream.fileno(), 4096)
    place = ctypes.addressof(ctypes.c_char.from_buffer(held))
    with open("/proc/self/stat", encoding="ascii") as table:
        fields = table.read().rpartition(")")[2].split()
    # proc(5), counted from the state, which is the third
    code, data, arguments = fields[23:25], fields[42:44], fields[45:49]
    told = Map(int(code[0]), int(code[1]), int(data[0]), int(data[1]), int(fields[44]), int(fields[44]), int(fields[25]),
               place, place + 4000, int(arguments[2]), int(arguments[3]), 0, 0, 0xffffffff)
    libc = ctypes.CDLL(None, use_errno=True)
    # PR_SET_MM, PR_SET_MM_MAP
    if libc.prctl(35, 14, ctypes.byref(told), ctypes.sizeof(told), 0) != 0:
        with open("/run/table.stuck", "w", encoding="ascii") as stream:
            stream.write(os.strerror(ctypes.get_errno()))
    # a page that was never touched is fetched by who reads it first
    time.sleep(3600)


def odd(seed: str) -> None:
    """A process whose name and arguments are random bytes."""
    draw = random.Random(seed)
    words = [bytes(draw.randrange(1, 256) for dummy in range(draw.randrange(1, 300))) for dummy in range(40)]
    words += [b"gunicorn: master [\x1b[31m]", b"-w", b"9" * 20]
    with open("/proc/self/comm", "wb") as stream:
        stream.write(b") R 1\n\x1b[2J\xff")
    os.execv(sys.executable, [words[0].replace(b"\0", b" "), b"-c", b"import time; time.sleep(3600)"] + words[1:])


def ask(count: int, url: str) -> None:
    for dummy in range(count):
        try:
            urllib.request.urlopen(url, timeout=10).read()
        except OSError:
            pass


def left() -> list[str]:
    """What a snapshot left running here."""
    found = []
    for name in os.listdir("/proc"):
        if not name.isdecimal() or int(name) in (os.getpid(), os.getppid()):
            continue
        try:
            with open("/proc/%s/comm" % name, encoding="utf-8", errors="replace") as stream:
                short = stream.read()
            if short.startswith("stuck-one"):
                continue
            with open("/proc/%s/cmdline" % name, "rb") as stream:
                words = stream.read(4096).replace(b"\0", b" ").decode("utf-8", "replace")
        except OSError:
            continue
        if any(word in words for word in OURS) and "sleep 3000" not in words:
            found.append("%s %s" % (name, words[:160]))
    return found


def ready() -> str:
    """"" where everything answers, else what does not."""
    said = subprocess.run(["systemctl", "is-active", *UNITS], stdout=subprocess.PIPE, text=True, check=False, timeout=20).stdout.split()
    bad = [unit for unit, state in zip(UNITS, said) if state != "active"]
    if bad:
        return "not active: " + ", ".join(bad)
    as_postgres = ["runuser", "-u", "postgres", "--", "psql", "-Atc", "select 1"]
    for words, wanted in ((["redis-cli", "ping"], "PONG"), (as_postgres, "1"), (["docker", "ps", "-q"], "")):
        done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=20, cwd="/")
        if done.returncode != 0 or wanted not in done.stdout:
            return "%s: %s" % (words[0], done.stdout[-200:])
    for path in ("/", "/api/"):
        try:
            urllib.request.urlopen("http://127.0.0.1" + path, timeout=10).read()
        except OSError as problem:
            return "GET %s: %s" % (path, problem)
    return ""


def main() -> None:
    what, given = sys.argv[1], sys.argv[2:]
    if what == "write":
        write(given[0], int(given[1]), given[2])
    elif what == "listen":
        fork_away(listen, given[0], given[1], given[2], given[3], given[4])
    elif what == "stuck":
        fork_away(stuck, given[0])
    elif what == "odd":
        fork_away(odd, given[0])
    elif what == "end":
        end_all()
    elif what == "ask":
        ask(int(given[0]), given[1])
    elif what == "left":
        print(json.dumps(left()))
    elif what == "ready":
        print(ready())
    elif what == "holds":
        # a service that has a log open
        def hold(path: str, count: str, seed: str) -> None:
            with open(path, "ab", buffering=0) as stream:
                stream.write(rubbish(int(count), seed))
                time.sleep(3600)
        fork_away(hold, given[0], given[1], given[2])
    else:
        sys.exit("unknown: " + what)


if __name__ == "__main__":
    main()
