# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Patterns made of a log_format take the right fields out of lines that nginx would write with it."""

from __future__ import annotations

import datetime
import random
import typing as t

import pytest
from ansible_collections.oncall.pressure.plugins.module_utils._parse._log_format import COMBINED, LinePattern, compile_format, epoch

VALUES = {
    "remote_addr": "203.0.113.9", "realip_remote_addr": "198.51.100.1", "remote_user": "bob smith", "time_local": "20/Apr/2020:10:27:33 +0800",
    "time_iso8601": "2020-04-20T10:27:33+08:00", "msec": "1587349653.123", "request": "GET /a/b?x=1 HTTP/1.1", "request_uri": "/a/b?x=1", "uri": "/a/b",
    "status": "404", "body_bytes_sent": "512", "bytes_sent": "700",
    "http_referer": "https://e.example/?q=a b", "http_user_agent": "Mozilla/5.0 (X11; [en]) - x",
    "http_x_forwarded_for": "192.0.2.7, 10.0.0.1", "request_time": "0.123", "upstream_response_time": "0.100, 0.020 : 0.003",
    "upstream_addr": "10.0.0.1:80, 10.0.0.2:80", "host": "e.example", "request_method": "GET", "ssl_client_s_dn": "CN=x y,O=z",
}

FORMATS = [
    COMBINED,
    COMBINED + ' "$http_x_forwarded_for"',
    COMBINED + ' rt=$request_time urt="$upstream_response_time"',
    COMBINED + " ${request_time} $pipe",
    "$time_iso8601\t$remote_addr\t$request_method\t$request_uri\t$status\t$body_bytes_sent\t$request_time\t$http_user_agent",
    "t=$msec ip=$remote_addr request=\"$request\" status=$status bytes=$bytes_sent agent=\"$http_user_agent\" upstream=$upstream_addr rt=$request_time",
    "$http_x_forwarded_for - $remote_addr - $remote_user [$time_local]  \"$request\" $status $body_bytes_sent $request_time",
    "$host $remote_addr - $ssl_client_s_dn - $remote_user [$time_local] \"$request\" $status $body_bytes_sent",
    "$remote_addr [$time_local] $status $request",
    "$remote_addr|$time_local|$request|$status|$body_bytes_sent|$http_referer",
    "[$remote_addr] ($time_iso8601) <$request_uri> $status",
    "$remote_addr $upstream_addr $upstream_response_time [$time_local] \"$request\" $status",
]

JSON_FORMATS = [
    '{"time":"$time_iso8601","client":"$remote_addr","request":"$request","status":$status,'
    '"bytes":$body_bytes_sent,"agent":"$http_user_agent","rt":$request_time}',
    '{ "msec": "$msec", "agent": "$http_user_agent", "ip": "$remote_addr", "uri": "$request_uri", "status": "$status" }',
]


def written(text: str, values: t.Mapping[str, str]) -> bytes:
    """A line as nginx writes it: a dash for what is empty."""
    for name in sorted(values, key=len, reverse=True):
        text = text.replace("${%s}" % name, values[name]).replace("$" + name, values[name])
    return text.replace("$pipe", ".").encode()


def fields(pattern: LinePattern, block: bytes) -> list:
    return [{role: row[place] for role, place in pattern.columns.items()} for row in pattern.pattern.findall(block)]


@pytest.mark.parametrize("text", FORMATS + JSON_FORMATS)
def test_fields_of_every_format(text: str) -> None:
    form = compile_format("main", text, "json" if text.startswith("{") else "default")
    line = written(text, VALUES)
    assert form.missing == ()
    for pattern in (form.counts, form.details, form.strict):
        found = fields(pattern, b"\n" + line + b"\n" + line)
        assert len(found) == 2
        assert found[0] == found[1]
        assert (found[0]["client"], found[0]["path"], found[0].get("status", b"404")) == (b"203.0.113.9", b"/a/b", b"404")
    details = fields(form.details, b"\n" + line)[0]
    assert epoch(details["time"]) == pytest.approx(1587349653, abs=1)
    if "size" in details:
        assert details["size"] == (b"700" if "$body_bytes_sent" not in text else b"512")
    if "$request_time" in text or "${request_time}" in text:
        assert details["duration"] == b"0.123"
    elif "$upstream_response_time" in text:
        assert details["duration"] == b"0.100, 0.020 : 0.003"
    if "forwarded_for" in text:
        assert details["forwarded"] == b"192.0.2.7, 10.0.0.1"


@pytest.mark.parametrize(("request_line", "path"), [
    ("GET / HTTP/1.1", b"/"), ("GET /a", b"/a"), ("POST /a?b=c d HTTP/1.1", b"/a"), ("M-SEARCH * HTTP/1.1", b"*"),
    ("CONNECT a.example:443 HTTP/1.1", b"a.example:443"),
    ("GET http://h.example/x?y HTTP/1.1", b"http://h.example/x"), ("-", b""), ("", b""), ("\\x16\\x03\\x01\\x00t", b""), ("hello", b""),
    ("get /a HTTP/1.1", b""),
    ("GET /\\x22quoted\\x22 HTTP/1.1", b"/\\x22quoted\\x22"), ("GET /" + "a" * 9000 + " HTTP/1.1", b"/" + b"a" * 9000),
])
def test_requests(request_line: str, path: bytes) -> None:
    form = compile_format("combined", COMBINED)
    block = b"\n" + written(COMBINED, dict(VALUES, request=request_line))
    assert [found["path"] for found in fields(form.strict, block)] == [path]
    if len(path) < 2000:
        assert [found["path"] for found in fields(form.counts, block)] == [path]


def test_a_json_log_escapes_quotes() -> None:
    form = compile_format("json", JSON_FORMATS[0], "json")
    values = dict(VALUES, http_user_agent='a \\"quoted\\" \\\\', request='GET /a\\"b?c HTTP/1.1')
    found = fields(form.strict, b"\n" + written(JSON_FORMATS[0], values))
    assert [(row["client"], row["duration"]) for row in found] == [(b"203.0.113.9", b"0.123")]


def test_a_user_name_does_not_hide_a_request() -> None:
    """The name of a basic authentication is the client's to choose; brackets in it are logged as they are."""
    form = compile_format("combined", COMBINED)
    block = b"\n" + written(COMBINED, dict(VALUES, remote_user="[x] - [20/Apr/2020"))
    assert [(row["client"], row["time"], row["path"]) for row in fields(form.strict, block)] == [(b"203.0.113.9", b"20/Apr/2020:10:27:33 +0800", b"/a/b")]


@pytest.mark.parametrize(("text", "missing"), [
    ("$remote_addr $request $status", ("time",)), ("[$time_local] \"$request\" $status", ("client",)), ("$remote_addr [$time_local]", ("path", "status")),
    ("static", ("client", "time", "path", "status")),
])
def test_what_a_format_does_not_tell(text: str, missing: tuple) -> None:
    assert compile_format("main", text).missing == missing


def test_lines_in_a_format() -> None:
    assert compile_format("main", COMBINED + "\n").one_line
    assert not compile_format("main", "$remote_addr\n[$time_local]").one_line


def test_other_lines_are_not_taken_for_requests() -> None:
    form = compile_format("combined", COMBINED)
    block = b'\n2021/12/01 13:53:33 [error] 31#31: *46 "/usr/share/x" is not found, request: "GET /m/ HTTP/1.1", host: "localhost"\n{"a": "b", "c": "GET /x y"}'
    for pattern in (form.counts, form.details, form.strict):
        assert fields(pattern, block) == []


def test_strict_patterns_stay_in_their_line() -> None:
    """Lines without what the format has, quotes above all, must not be read across their ends."""
    form = compile_format("combined", COMBINED)
    good = written(COMBINED, VALUES)
    junk = [b"", b"junk", b"1.2.3.4 - - [", b'1.2.3.4 - - [20/Apr/2020:10:27:33 +0800] "GET /', b"\x00" * 50, b"\xff\xfe", good[:60]]
    block = b"\n" + b"\n".join(piece for text in junk for piece in (text, good))
    assert len(fields(form.strict, block)) == len(junk)


@pytest.mark.parametrize("seed", [random.randrange(10**6)])
def test_times_are_those_of_the_calendar(seed: int) -> None:
    print("seed", seed)
    generator = random.Random(seed)
    for dummy in range(300):
        zone = datetime.timezone(datetime.timedelta(minutes=generator.choice((-720, -570, -210, 0, 60, 330, 345, 765, 840))))
        moment = datetime.datetime.fromtimestamp(generator.randrange(0, 4 * 10**9), zone)
        assert epoch(moment.strftime("%d/%b/%Y:%H:%M:%S %z").encode()) == moment.timestamp()
        assert epoch(moment.isoformat().encode()) == moment.timestamp()


def test_the_hour_that_is_there_twice() -> None:
    """When summer time ends the zone tells the two hours apart."""
    assert epoch(b"29/Oct/2023:02:30:00 +0200") == 1698539400
    assert epoch(b"29/Oct/2023:02:30:00 +0100") == 1698543000


@pytest.mark.parametrize("text", [
    b"", b"-", b"now", b"99/Xxx/2020:10:27:33 +0800", b"20/Apr/2020:10:27:33", b"2020-13-20T10:27:33Z", b"1", b"00/Apr/2020:10:27:33 +0000",
])
def test_what_is_no_time(text: bytes) -> None:
    assert epoch(text) is None
