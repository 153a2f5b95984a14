# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a person reads of changes, and what a service answers when it is asked."""

from __future__ import annotations

import http.server
import os
import pathlib
import signal
import threading
from typing import Any, Dict, Iterator, List

import pytest
from change_host import Host

from ansible_collections.oncall.pressure.plugins.module_utils._change import _health, _listing
from ansible_collections.oncall.pressure.plugins.module_utils._host._interrupts import Interrupted, interruptible, shielded
from ansible_collections.oncall.pressure.plugins.module_utils._host._probe import ask
from ansible_collections.oncall.pressure.plugins.plugin_utils._changes_text import said, span

DONE = ["saved", "armed", "applying", "applied", "verified"]
STATES: List[Any] = [
    ([], "OPEN          lower_workers of shop.service by ann, 10 s ago: intent, undone by the host in 0 s unless confirmed", "open"),
    (["saved"], "OPEN          lower_workers of shop.service by ann, 10 s ago: saved, undone by the host in 0 s unless confirmed", "open"),
    (DONE[:2], "OPEN          lower_workers of shop.service by ann, 10 s ago: armed, undone by the host in 14 min unless confirmed", "open"),
    (DONE[:4], "OPEN          lower_workers of shop.service by ann, 10 s ago: applied, undone by the host in 14 min unless confirmed", "open"),
    (DONE, "OPEN          lower_workers of shop.service by ann, 10 s ago: verified, undone by the host in 14 min unless confirmed", "open"),
    (DONE + ["undoing:deadline"],
     "OPEN          lower_workers of shop.service by ann, 10 s ago: undoing, undone by the host in 14 min unless confirmed", "open"),
    (DONE + ["confirmed"], "IN EFFECT     lower_workers of shop.service by ann, 10 s ago", "in effect"),
    (DONE + ["undoing:deadline", "undone:deadline"], "UNDONE        lower_workers of shop.service by ann, 10 s ago (deadline)", "unchanged"),
    (DONE + ["confirmed", "undoing:expired", "expired:expired"], "EXPIRED       lower_workers of shop.service by ann, 10 s ago (expired)", "unchanged"),
    (DONE + ["undoing:failed", "undo_failed:failed"], "CRITICAL      lower_workers of shop.service by ann, 10 s ago", "critical"),
]


@pytest.mark.parametrize("lines, line, counted", STATES, ids=[row[1].split()[0] + " " + " ".join(row[0][-1:]) for row in STATES])
def test_every_state_has_its_line(tmp_path: pathlib.Path, lines: List[str], line: str, counted: str) -> None:
    host = Host(tmp_path)
    host.entry("inc", lines)
    host.machine.sleep(10.0)
    text = said({"web-1": _listing.listing(host.machine)}).split("\n")
    assert text[0] == "web-1  " + line
    assert text[1] == "                     change inc/01"
    assert text[-1] == "1 host: 1 %s." % counted


def test_what_the_host_should_have_undone_long_ago_is_critical(tmp_path: pathlib.Path) -> None:
    host = Host(tmp_path)
    host.entry("inc", DONE)
    host.machine.sleep(1000.0)
    assert "1 open." in said({"h": _listing.listing(host.machine)})
    host.machine.sleep(100.0)
    text = said({"h": _listing.listing(host.machine)})
    assert text.startswith("h  CRITICAL      lower_workers of shop.service by ann, 18 min ago: verified, and the host should have undone it 3 min ago: "
                           "run oncall.pressure.rollback\n")
    assert "1 critical." in text


def test_who_undid_what_and_what_a_person_must_do_is_said() -> None:
    row: Dict[str, Any] = {"entry": "inc/01", "mitigation": "m", "service": "s", "owner": "ann", "state": "undone", "age_s": 10, "why": "operator", "by": "bob"}
    assert "UNDONE        m of s by ann, 10 s ago (operator, by bob)" in said({"h": {"entries": [row]}})
    row.update(state="undo_failed", problems=["first", "second"], command="python3 -I x undo")
    text = said({"h": {"entries": [row], "read_only": True}})
    assert "not undone: first" in text and "not undone: second" in text and "by hand, on the host, as root: python3 -I x undo" in text
    assert "/etc/oncall-pressure/read-only refuses every change" in text


def test_hostile_words_do_not_reach_the_terminal(tmp_path: pathlib.Path) -> None:
    host = Host(tmp_path)
    evil = "\x1b[2J\u202e\u009b{{ lookup('pipe', 'id') }}\nweb-9  OPEN"
    host.entry("inc", DONE, owner=evil, reason=evil + " password=hunter2", service=evil, mitigation=evil)
    listing = _listing.listing(host.machine)
    for text in (str(listing), said({"h": listing, evil: {"msg": evil}})):
        assert not {"\x1b", "\u202e", "\u009b"} & set(text) and "hunter2" not in text
    assert not any(line.startswith("web-9") for line in said({"h": listing}).split("\n"))


def test_hosts_that_did_not_answer_are_counted() -> None:
    text = said({"a": {}, "b": {"unreachable": True, "msg": "no route"}, "c": {"entries": []}})
    assert "NOT ANSWERED  no answer" in text and "NOT ANSWERED  no route" in text and text.endswith("3 hosts: 1 unchanged, 2 not answered.")


@pytest.mark.parametrize("seconds, text", [
    (0, "0 s"), (119, "119 s"), (120, "2 min"), (7199, "119 min"), (7200, "2 h"), (172800, "2 d"), (None, "unknown time"),
])
def test_spans(seconds: Any, text: str) -> None:
    assert span(seconds) == text


@pytest.mark.parametrize("before, now, word", [
    ({"active": True, "restarts": 1, "oom_kills": 0}, {"active": True, "restarts": 1, "oom_kills": 0}, None),
    ({"active": True, "restarts": 1, "oom_kills": 0}, {"active": False, "restarts": 1, "oom_kills": 0}, "no longer active"),
    ({"active": True, "restarts": 1, "oom_kills": 0}, {"active": True, "restarts": 2, "oom_kills": 0}, "restarted (1 more)"),
    ({"active": True, "restarts": 1, "oom_kills": 0}, {"active": True, "restarts": 1, "oom_kills": 3}, "killed in it (3 more)"),
    ({"active": None, "restarts": None, "oom_kills": None}, {"active": False, "restarts": 9, "oom_kills": 9}, None),
    ({"active": True, "restarts": 5, "oom_kills": 5}, {"active": None, "restarts": None, "oom_kills": None}, None),
    ({"active": True, "restarts": 5, "oom_kills": 5}, {"active": True, "restarts": 0, "oom_kills": 0}, None),
])
def test_only_what_is_known_to_be_worse_is_worse(before: Dict[str, Any], now: Dict[str, Any], word: Any) -> None:
    found = _health.worse(before, now)
    assert found is None if word is None else word in str(found)


@pytest.fixture(name="url")
def _url() -> Iterator[str]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(503 if self.path == "/sick?deep=1" else 302 if self.path == "/moved" else 200)
            self.send_header("Location", "/sick?deep=1")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield "http://127.0.0.1:%d" % server.server_address[1]
    server.shutdown()
    server.server_close()


def test_a_service_is_asked_once_and_no_redirect_is_followed(url: str) -> None:
    assert ask(url, 5.0) == (200, "")
    assert ask(url + "/sick?deep=1", 5.0) == (503, "")
    assert ask(url + "/moved", 5.0) == (302, "")


@pytest.mark.parametrize("url", ["", "ftp://x/", "http://", "http://[::1", "http://127.0.0.1:99999/", "http://127.0.0.1:x/", "http://127.0.0.1:1/",
                                 "file:///etc/passwd", "http://127.0.0.1:1/a b\r\nHost: x", "http://\u00e4" + "x" * 300 + "/"])
def test_what_cannot_be_asked_is_said(url: str) -> None:
    status, why = ask(url, 1.0)
    assert status is None and why


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_interrupts_once_and_the_second_changes_nothing(number: signal.Signals) -> None:
    before = {other: signal.getsignal(other) for other in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    steps: List[str] = []
    with interruptible():
        try:
            os.kill(os.getpid(), number)
            steps.append("went on")
        except Interrupted as interruption:
            steps.append(str(interruption))
            for other in before:
                os.kill(os.getpid(), other)
            steps.append("put back")
    assert steps == [number.name, "put back"]
    assert {other: signal.getsignal(other) for other in before} == before


def test_what_puts_back_is_not_broken_off() -> None:
    before = signal.getsignal(signal.SIGTERM)
    steps: List[str] = []
    with interruptible():
        with shielded():
            os.kill(os.getpid(), signal.SIGTERM)
            steps.append("whole")
        with pytest.raises(Interrupted):
            os.kill(os.getpid(), signal.SIGTERM)
    assert steps == ["whole"] and signal.getsignal(signal.SIGTERM) == before
