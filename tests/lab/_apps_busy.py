# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Small applications, as text, whose services wait for something: more of what _apps.py holds. What each is told stands in its environment."""

from __future__ import annotations

# A connection to PostgreSQL: its own protocol over the unix socket, as the drivers speak it, for simple queries. The server knows the user by the socket.
_WIRE = '''import os, socket, struct, threading


class Wire:
    def __init__(self, database, application):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect("/var/run/postgresql/.s.PGSQL.5432")
        self.stream = self.socket.makefile("rb")
        words = ["user", "www-data", "database", database, "application_name", application]
        body = struct.pack("!i", 196608) + b"".join(word.encode() + b"\\0" for word in words) + b"\\0"
        self.socket.sendall(struct.pack("!i", len(body) + 4) + body)
        self._rows()

    def query(self, sql):
        body = sql.encode() + b"\\0"
        self.socket.sendall(b"Q" + struct.pack("!i", len(body) + 4) + body)
        return self._rows()

    def _rows(self):
        rows, problem = [], None
        while True:
            head = self.stream.read(5)
            if not head:
                raise ConnectionError(repr(problem))
            kind, size = struct.unpack("!ci", head)
            body = self.stream.read(size - 4)
            if kind == b"D":
                rows.append(self._row(body))
            elif kind == b"E":
                problem = body
            elif kind == b"Z":
                if problem:
                    raise RuntimeError(repr(problem))
                return rows

    @staticmethod
    def _row(body):
        place, row = 2, []
        for unused in range(struct.unpack("!h", body[:2])[0]):
            size = struct.unpack("!i", body[place:place + 4])[0]
            row.append(None if size < 0 else body[place + 4:place + 4 + size])
            place += 4 + max(size, 0)
        return row


_OF = threading.local()


def query(sql):
    """Over this thread's own connection."""
    if not hasattr(_OF, "wire"):
        _OF.wire = Wire(os.environ["DATABASE"], os.environ["APPLICATION"])
    return _OF.wire.query(sql)


'''

# Each request runs QUERY.
_QUERIES = _WIRE + '''from flask import Flask, jsonify

app = Flask(__name__)


@app.route("/<path:path>")
def answer(path):
    return jsonify(path=path, found=len(query(os.environ["QUERY"])))


@app.route("/")
def root():
    return "up"
'''

# Each request asks another service, and waits for its answer as long as that takes.
_ASKS = '''import os, socket
from flask import Flask, jsonify

app = Flask(__name__)


@app.route("/<path:path>")
def answer(path):
    with socket.create_connection((os.environ["OUTSIDE"], int(os.environ["OUTSIDE_PORT"]))) as other:
        other.sendall(b"GET /rates HTTP/1.0\\r\\n\\r\\n")
        got = len(other.recv(1000))
    return jsonify(path=path, got=got)


@app.route("/")
def root():
    return "up"
'''

# Each request takes a lock on a file, which somebody else holds.
_LOCKS = '''import fcntl, os
from flask import Flask, jsonify

app = Flask(__name__)


@app.route("/<path:path>")
def answer(path):
    with open(os.environ["LOCK"]) as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
    return jsonify(path=path)


@app.route("/")
def root():
    return "up"
'''

# An application of an event loop in which a request waits without giving way.
_BLOCKS = '''import os, time


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            kind = (await receive())["type"].rsplit(".", 1)[1]
            await send({"type": "lifespan.%s.complete" % kind})
            if kind == "shutdown":
                return
    if scope["path"] != "/":
        time.sleep(float(os.environ["BLOCKS_S"]))
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": b"up"})
'''

_CELERY = '''import os
from celery import Celery

app = Celery("shop", broker=os.environ["BROKER_URL"])
app.conf.task_ignore_result = True
app.conf.broker_connection_retry_on_startup = True
app.conf.task_default_queue = os.environ["QUEUE"]
'''

# A task whose service does not answer, tried again at once and for ever.
_RETRIES = _CELERY + '''import socket


@app.task(name="shop.charge", bind=True, max_retries=None)
def charge(self):
    try:
        socket.create_connection((os.environ["OUTSIDE"], int(os.environ["OUTSIDE_PORT"])), timeout=5).close()
    except OSError as problem:
        raise self.retry(exc=problem, countdown=float(os.environ["COUNTDOWN"]))
'''

# A task that a scheduler sends every second.
_SCHEDULED = _CELERY + '''
app.conf.beat_schedule = {"sweep": {"task": "shop.sweep", "schedule": 1.0}}


@app.task(name="shop.sweep")
def sweep():
    return os.getpid()
'''

# For gunicorn.
WEB = {"queries": _QUERIES, "asks": _ASKS, "locks": _LOCKS}

# For uvicorn.
ASGI = {"blocks": _BLOCKS}

# For celery.
TASKS = {"retries": _RETRIES, "scheduled": _SCHEDULED}
