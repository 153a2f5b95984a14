# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Small applications, as text, that single incidents need and the lab's image has not. What each is told stands in its environment."""

from __future__ import annotations

# For gunicorn: what they add to the shop (web.py).
WEB = {
    # Every worker grows by itself, whatever it is asked.
    "grows_alone": """import os, threading, time
import work
from web import app


def forever():
    piece = int(os.environ["KIB_PER_S"]) * 1024 // 4
    while True:
        work.KEPT.append(bytearray(b"x") * piece)
        time.sleep(0.25)


threading.Thread(target=forever, daemon=True).start()
""",
    # Every worker loads a table of its own when it starts, and has it then.
    "warms_up": """import os, threading, time
import work
from web import app


def load():
    wanted, pause_s = int(os.environ["TABLE_MIB"]), float(os.environ["TABLE_S"]) / int(os.environ["TABLE_MIB"])
    for unused in range(wanted):
        work.keep(1)
        time.sleep(pause_s)


threading.Thread(target=load, daemon=True).start()
""",
    # Every request opens the parts of a report and closes none of them.
    "keeps_files_open": """import os
from web import app

OPEN = []


@app.before_request
def read_parts():
    for unused in range(4):
        if len(OPEN) < int(os.environ["FILES"]):
            OPEN.append(open("/srv/shop/web.py"))
""",
}

# For uvicorn.
ASGI = {
    # Every answer is kept in a cache that has no bound.
    "caches_answers": """import os
import api

CACHE = []


async def app(scope, receive, send):
    if scope["type"] == "http":
        CACHE.append(bytearray(b"x") * (int(os.environ["KIB_PER_REQUEST"]) * 1024))
    await api.app(scope, receive, send)
""",
}

# Tasks of celery and jobs of rq.
TASKS = {
    # Something of each task stays in the child that did it.
    "keeps_results": """import os, time
from celery import Celery

app = Celery("shop", broker=os.environ["BROKER_URL"])
app.conf.task_ignore_result = True
app.conf.broker_connection_retry_on_startup = True
DONE = []


@app.task(name="shop.report")
def report(keep_kib=0, sleep_s=0.0):
    DONE.append(bytearray(b"x") * (keep_kib * 1024))
    time.sleep(sleep_s)
""",
    # What is to be worked on comes whole, in the message.
    "takes_rows": """import os, time
from celery import Celery

app = Celery("shop", broker=os.environ.get("BROKER_URL"))
app.conf.task_ignore_result = True
app.conf.broker_connection_retry_on_startup = True


@app.task(name="shop.rows")
def rows(data="", sleep_s=0.0):
    time.sleep(sleep_s)
    return len(data)
""",
}

# Programs that are a service by themselves.
PROGRAMS = {
    # Has a child load a table and serve it; where the table does not fit the child never comes so far, and is begun anew.
    "loads_table": """import os, time

while True:
    child = os.fork()
    if not child:
        TABLE = []
        for unused in range(int(os.environ["TABLE_MIB"])):
            TABLE.append(bytearray(b"x") * 1048576)
            time.sleep(0.003)
        while True:
            time.sleep(5)
    os.waitpid(child, 0)
    time.sleep(1)
""",
    # Reads and computes a little, in turn with waiting, and holds what it works on.
    "works_through": """import os, time

HELD = bytearray(b"x") * (int(os.environ["HELD_MIB"]) * 1048576)
while True:
    until = time.thread_time() + float(os.environ["BURN_S"])
    while time.thread_time() < until:
        sum(range(999))
    time.sleep(float(os.environ["SLEEP_S"]))
""",
    # Sessions of PostgreSQL that do nothing, in a transaction or in none: a startup packet each, then one query.
    "holds_sessions": """import os, socket, struct, time


def message(kind, body):
    return kind + struct.pack("!I", len(body) + 4) + body


def until_ready(stream):
    while True:
        head = stream.read(5)
        if len(head) < 5:
            raise SystemExit("the server hung up")
        body = stream.read(struct.unpack("!I", head[1:])[0] - 4)
        if head[:1] == b"E":
            raise SystemExit(repr(body))
        if head[:1] == b"Z":
            return


HELD = []
for unused in range(int(os.environ["SESSIONS"])):
    sock = socket.socket(socket.AF_UNIX)
    sock.connect("/var/run/postgresql/.s.PGSQL.5432")
    words = ("user", "www-data", "database", "postgres", "application_name", os.environ["APPLICATION"])
    sock.sendall(message(b"", struct.pack("!I", 196608) + b"".join(word.encode() + b"\\0" for word in words) + b"\\0"))
    stream = sock.makefile("rb")
    until_ready(stream)
    sock.sendall(message(b"Q", os.environ["QUERY"].encode() + b"\\0"))
    until_ready(stream)
    HELD.append((sock, stream))
while True:
    time.sleep(5)
""",
    # Takes the whole of what it imports into memory: as much as the host has, but for a little.
    "imports_all": """import os, time

found = [line.split(":", 2) for line in open("/proc/1/cgroup").read().split()]
path = next(["/sys/fs/cgroup/memory" + where, "/memory.usage_in_bytes", "/memory.limit_in_bytes", "total_inactive_file"]
            if "memory" in names.split(",") else ["/sys/fs/cgroup" + where, "/memory.current", "/memory.max", "inactive_file"]
            for number, names, where in sorted(found, key=lambda row: "memory" not in row[1]))
# the host is what its first process is in
path[0] = path[0].rsplit("/init.scope", 1)[0]


def number(name):
    return int(open(path[0] + name).read())


def available():
    stat = dict(line.split() for line in open(path[0] + "/memory.stat"))
    return number(path[2]) - number(path[1]) + int(stat[path[3]])


ROWS = []
while available() > int(os.environ["LEAVE_MIB"]) * 1048576:
    ROWS.append(bytearray(b"x") * 1048576)
while True:
    time.sleep(1)
""",
}
