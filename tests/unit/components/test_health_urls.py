# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""URLs that people named: asked of a real HTTP server, one that hangs, one that answers rubbish, one that is not there."""

from __future__ import annotations

import http.server
import json
import socket
import threading
import typing as t
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.oncall.pressure.plugins.module_utils._components import _health_urls
from ansible_collections.oncall.pressure.plugins.module_utils._host import _probe
from ansible_collections.oncall.pressure.plugins.module_utils._host._collect import Options
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine
from ansible_collections.oncall.pressure.plugins.module_utils._parse import _health_url

SCHEMA = json.loads((Path(__file__).resolve().parents[3] / "roles/diagnose/files/schemas/snapshot.json").read_text(encoding="utf-8"))


class Site(http.server.BaseHTTPRequestHandler):
    """200 at /ok, 302 at /login, what is asked for elsewhere."""

    asked: t.List[str] = []

    def do_GET(self) -> None:
        self.asked.append(self.path)
        status = {"/ok": 200, "/login": 302}.get(self.path.partition("?")[0], 503)
        self.send_response(status)
        self.end_headers()

    def log_message(self, format: str, *args: t.Any) -> None:
        pass


@pytest.fixture(name="site")
def _site() -> t.Iterator[str]:
    Site.asked = []
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Site) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield "http://127.0.0.1:%d" % server.server_address[1]
        server.shutdown()


def read(urls: t.Dict[str, str]) -> t.List[t.Dict[str, t.Any]]:
    reading = _health_urls.collect(Machine(), Options(window_s=0.03, health_urls=urls))
    assert (reading.status, reading.reason) == ("ok", None)
    jsonschema.Draft202012Validator({"$ref": "#/$defs/snapshot/properties/health", "$defs": SCHEMA["$defs"]}).validate(reading.data)
    return t.cast("t.List[t.Dict[str, t.Any]]", reading.data)


def test_what_answers_is_asked_three_times_and_no_query_is_shown(site: str) -> None:
    rows = read({"shop": site + "/ok?token=geheim#x", "login": site + "/login", "down": site + "/down"})
    assert [(row["service"], row["tries"], row["answered"], row["good"], row["status"]) for row in rows] == [
        ("down", 3, 3, 0, {"503": 3}), ("login", 3, 3, 3, {"302": 3}), ("shop", 3, 3, 3, {"200": 3})]
    assert sorted(Site.asked) == ["/down"] * 3 + ["/login"] * 3 + ["/ok?token=geheim"] * 3
    assert "geheim" not in json.dumps(rows) and rows[2]["url"] == site + "/ok"
    assert all(0 < row["median_s"] <= row["slowest_s"] and row["failure"] is None for row in rows)


def test_what_is_not_there_says_so() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        rows = read({"gone": "http://127.0.0.1:%d/" % taken.getsockname()[1]})
    assert (rows[0]["tries"], rows[0]["answered"], rows[0]["status"], rows[0]["median_s"]) == (3, 0, {}, None)
    assert "refused" in rows[0]["failure"]


@pytest.mark.parametrize("answer", [b"", b"\x00\xff" * 200, b"HTTP/1.1 banana\r\n\r\n", b"HTTP/1.1 200\r\nA: " + b"x" * 99999])
def test_rubbish_is_no_answer(answer: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        def serve() -> None:
            for dummy in range(_probe.TRIES):
                with server.accept()[0] as client:
                    client.recv(4096)
                    client.sendall(answer)

        threading.Thread(target=serve, daemon=True).start()
        rows = read({"rubbish": "http://127.0.0.1:%d/" % server.getsockname()[1]})
    assert (rows[0]["tries"], rows[0]["answered"], rows[0]["good"]) == (3, 0, 0)
    assert rows[0]["failure"]


def test_one_that_hangs_is_asked_once_and_takes_no_time_from_others(site: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_probe, "TIMEOUT_S", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as server:
        rows = read({"hangs": "http://127.0.0.1:%d/" % server.getsockname()[1], "shop": site + "/ok"})
    assert [(row["service"], row["tries"], row["answered"]) for row in rows] == [("hangs", 1, 0), ("shop", 3, 3)]
    assert "timed out" in rows[0]["failure"]


def test_one_that_drips_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_probe, "LIMIT_S", 0.2)
    enough = threading.Event()
    monkeypatch.setattr(_probe, "ask", lambda url, limit_s: (200, "") if enough.wait(20) else (None, ""))
    answers = _probe.ask_all({"drips": "x"}, 0.0)
    enough.set()
    assert answers == {"drips": []}
    row = _health_urls.row("drips", "x", [])
    assert (row["tries"], row["answered"], row["median_s"], row["failure"]) == (1, 0, None, "no answer in 0 s")


def test_a_password_is_refused_and_not_repeated() -> None:
    said = _health_url.problem({"shop": "http://me:geheim@127.0.0.1/"})
    assert said and "geheim" not in said and "shop" in said


@pytest.mark.parametrize("url", ["", None, 7, "ftp://x/", "http://", "http:///x", "http://[::1", "http://x:port/",
                                 "http://x/a b", "http://x/\n", "file:///etc/passwd"])
def test_what_is_no_url_is_named(url: t.Any) -> None:
    assert "that of shop" in (_health_url.problem({"shop": url}) or "")


def test_good_ones_pass_and_too_many_do_not() -> None:
    good = {"a": "http://127.0.0.1:8000/health", "b": "https://[::1]/x?y=1"}
    assert _health_url.problem(good) is None and _health_url.problem({}) is None
    assert "at most 20" in (_health_url.problem({str(number): "http://x/" for number in range(21)}) or "")


@given(st.dictionaries(st.text(max_size=20), st.one_of(st.text(), st.text().map(lambda text: "http://" + text)), max_size=3))
def test_nothing_given_breaks_it(urls: t.Dict[str, str]) -> None:
    said = _health_url.problem(urls)
    assert said is None or said.startswith("health_urls: ")


def test_the_door_asks_what_it_is_told(site: str) -> None:
    assert _probe.ask(site + "/ok", 5.0) == (200, "")
