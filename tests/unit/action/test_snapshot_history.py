# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The controller's door to a Prometheus server, against stand-ins that do what no real server does: each is a reason in the snapshot, never its end."""

from __future__ import annotations

import base64
import http.server
import json
import socket
import threading
from typing import Any, Callable, Dict, Iterator, List, Tuple

import pytest

snapshot = pytest.importorskip("ansible_collections.oncall.pressure.plugins.action.snapshot", reason="the action plugins need ansible-core")

from ansible_collections.oncall.pressure.plugins.plugin_utils import _prometheus

GOOD = json.dumps({"status": "success", "data": {"resultType": "matrix", "result": [
    {"metric": {"instance": "web-1:9100", "job": "node"}, "values": [[1795863300, "5"]]}]}}).encode()
SECRET = "s3cret:w\u00f6rd"

Way = Callable[[http.server.BaseHTTPRequestHandler], None]


class Standin(http.server.ThreadingHTTPServer):
    """A server that answers in one way, and keeps what it was asked."""

    daemon_threads = True

    def __init__(self, way: Way) -> None:
        self.asked: List[Tuple[str, Dict[str, str]]] = []
        asked = self.asked
        self.over = threading.Event()

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                asked.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
                way(self)

            def log_message(self, format: str, *words: Any) -> None:
                pass

        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass


@pytest.fixture
def stand() -> Iterator[Callable[[Way], Standin]]:
    """Starts stand-ins, and ends them."""
    begun: List[Standin] = []

    def begin(way: Way) -> Standin:
        begun.append(Standin(way))
        return begun[-1]

    yield begin
    for server in begun:
        server.over.set()
        server.shutdown()
        server.server_close()


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second is long enough for a server that gives no answer."""
    monkeypatch.setattr(_prometheus, "LIMIT_S", 2.0)
    monkeypatch.setattr(_prometheus, "ASK_S", 1.0)


def said(status: int, body: bytes, *headers: Tuple[str, str]) -> Way:
    def way(handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in headers:
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return way


def asked(url: str) -> Dict[str, Any]:
    """The collector's row after such a server was asked; the document is whole in any case."""
    document: Dict[str, Any] = {"collectors": {}, "memory_history": None, "host": {"kind": "machine"}, "services": []}
    snapshot._History(_prometheus.address(url), ["web-1"]).add_to(document)
    row = document["collectors"]["prometheus"]
    (source,) = document["memory_history"]["sources"]
    assert (source["status"], source["reason"]) == (row["status"], row["reason"])
    return dict(row)


def at(server: Standin, user: str = "") -> str:
    return "http://%s127.0.0.1:%d/below" % (user, server.server_address[1])


def test_every_question_goes_over_one_connection_with_who_asks(stand: Callable[[Way], Standin]) -> None:
    ports: List[int] = []

    def way(handler: http.server.BaseHTTPRequestHandler) -> None:
        ports.append(handler.client_address[1])
        said(200, GOOD)(handler)

    server = stand(way)
    row = asked(at(server, "me:s3cret%3Aw%C3%B6rd@"))
    assert row["status"] == "partial" and "last figure" in row["reason"]
    assert len(server.asked) == 2 * len(_prometheus.QUESTIONS) and len(set(ports)) == 1
    assert all(path.startswith("/below/api/v1/query_range?") for path, dummy in server.asked)
    expected = "Basic " + base64.b64encode(("me:" + SECRET).encode("utf-8")).decode("ascii")
    assert {headers["authorization"] for dummy, headers in server.asked} == {expected}
    asked(at(server))
    assert "authorization" not in server.asked[-1][1]


def slow(handler: http.server.BaseHTTPRequestHandler) -> None:
    """Byte by byte: each comes in time."""
    handler.send_response(200)
    handler.send_header("Content-Length", "100000")
    handler.end_headers()
    while not getattr(handler.server, "over").wait(0.05):
        handler.wfile.write(b" ")


def endless(handler: http.server.BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    while True:
        handler.wfile.write(b"10000\r\n" + b" " * 65536 + b"\r\n")


def torn(handler: http.server.BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n{\"status\"")
    handler.close_connection = True


@pytest.mark.parametrize(("way", "status", "reason", "count"), [
    (lambda handler: handler.server.over.wait(30), "error", "no answer: timed out", 1),
    (slow, "error", "no answer: timed out", 1),
    (endless, "error", "its answer is larger than 4 MiB", 1),
    (torn, "error", "its answer is no JSON", 1),
    (lambda handler: handler.wfile.write(b"SSH-2.0-OpenSSH_9.2\r\n\r\n"), "error", "no answer: ", 1),
    (lambda handler: setattr(handler, "close_connection", True), "error", "no answer: Remote end closed connection", 1),
    (said(200, b"<html>\x1b[2J"), "error", "its answer is no JSON", 1),
    (said(200, b"[" * 500000), "error", "its answer is no JSON", 1),
    (said(200, GOOD, ("Content-Encoding", "gzip")), "partial", "last figure", 16),
    (said(401, b"who are you"), "denied", "it does not let us in (401)", 1),
    (said(403, b""), "denied", "it does not let us in (403)", 1),
    (said(404, b"404 page not found\n"), "error", "it answers 404", 1),
    (said(500, b"\x1b]0;x\x07"), "error", "it answers 500", 1),
    (said(204, b""), "error", "it answers 204", 1),
    (said(422, b'{"status":"error","errorType":"execution","error":"too many samples\\u001b[31m password=hunter2"}'), "error",
     "it answers 422: execution: too many samples\\x1b[31m password=REDACTED", 16),
], ids=["hangs", "drips", "never_ends", "torn", "no_http", "closes", "no_json", "deep", "calls_itself_gzip", "401", "403", "404", "500", "204", "422"])
def test_what_no_server_does(stand: Callable[[Way], Standin], way: Way, status: str, reason: str, count: int) -> None:
    server = stand(way)
    row = asked(at(server, "me:s3cret@"))
    assert (row["status"], len(server.asked)) == (status, count) and reason in row["reason"], row
    assert row["seconds"] < 10 and "s3cret" not in json.dumps(row) and "hunter2" not in json.dumps(row)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirection_takes_the_password_nowhere(stand: Callable[[Way], Standin], status: int) -> None:
    other = stand(said(200, GOOD))
    row = asked(at(stand(said(status, b"", ("Location", at(other)))), "me:s3cret@"))
    assert row["status"] == "error" and row["reason"] == "it answers with a redirection (%d), which is not followed: name the address itself" % status
    assert other.asked == []


def test_nobody_there() -> None:
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        port = door.getsockname()[1]
    assert asked("http://127.0.0.1:%d" % port)["reason"] == "no answer: Connection refused"
    assert asked("http://no-such-host.invalid")["reason"].startswith("no answer: ")
    # one that takes connections and never speaks
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        door.listen(1)
        for scheme in ("http", "https"):
            assert asked("%s://127.0.0.1:%d" % (scheme, door.getsockname()[1]))["reason"] == "no answer: timed out"


def test_a_name_that_is_looked_up_for_ever_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *words, **named: [] if over.wait(60) else [])
    try:
        assert asked("http://prometheus.example.com")["reason"] == "it did not answer within 2 s"
    finally:
        over.set()


def test_a_host_whose_name_there_nobody_knows() -> None:
    document: Dict[str, Any] = {"collectors": {}, "host": {}}
    snapshot._History(_prometheus.address("http://127.0.0.1:1"), []).add_to(document)
    assert "set pressure_prometheus_host" in document["collectors"]["prometheus"]["reason"]
