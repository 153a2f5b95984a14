# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The configuration of nginx: words as nginx reads them, logs in force as nginx inherits them."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.oncall.pressure.plugins.module_utils._parse import _nginx_config
from ansible_collections.oncall.pressure.plugins.module_utils._parse._nginx_config import Log, parse, settings, tokens, walk


def nothing(pattern: str) -> t.List[t.Tuple[str, str]]:
    return []


def words(text: str) -> list:
    return [token.text for token in tokens(text)]


def logs(text: str) -> list:
    parsed = parse("nginx.conf", text, nothing)
    assert parsed.problems == []
    return sorted(log.path for log in settings(parsed.directives).logs)


@pytest.mark.parametrize(("text", "expected"), [
    ("a b;", ["a", "b", ";"]),
    ("a  'b c' \"d;{}\" ;", ["a", "b c", "d;{}", ";"]),
    ("a b#c; # no {\nd;", ["a", "b#c", ";", "d", ";"]),
    (r'a "q\"q" b\;c \$d;', ["a", 'q"q', "b\\;c", "\\$d", ";"]),
    ("root ${doc}/x;", ["root", "${doc}/x", ";"]),
    ("if ($a ~ \"x{2}\") {}", ["if", "($a", "~", "x{2}", ")", "{", "}"]),
    ("location ~ \\.php$ {}", ["location", "~", "\\.php$", "{", "}"]),
    ("a 'it''s' b;", ["a", "it", "s", "b", ";"]),
    ("a\t'x\\ty';", ["a", "x\ty", ";"]),
    ("", []),
])
def test_words(text: str, expected: list) -> None:
    assert words(text) == expected


def test_lua_is_passed_over() -> None:
    text = """content_by_lua_block {
        -- a comment with a } brace
        local s = "}" .. '}' .. [[ } ]] --[==[ } ]==]
        if x then return { 1, { 2 } } end
    }
    listen 80;"""
    parsed = parse("nginx.conf", "server { location / { %s } }" % text, nothing)
    assert parsed.problems == []
    assert [directive.name for directive in walk(parsed.directives)] == ["server", "location", "content_by_lua_block", "listen"]


def test_lines_are_counted() -> None:
    parsed = parse("nginx.conf", 'a "x\ny";\n\nb {\n c;\n}\n', nothing)
    assert [(directive.name, directive.line) for directive in walk(parsed.directives)] == [("a", 1), ("b", 4), ("c", 5)]


@pytest.mark.parametrize(("text", "read", "problem"), [
    ("a; b {", ["a", "b"], "unexpected end of file"),
    ("a; }", ["a"], 'line 1: unexpected "}"'),
    ("a;\n;", ["a"], 'line 2: unexpected ";"'),
    ("a; b 'x", ["a"], "line 1: a quote does not end"),
    ("a; x_by_lua_block { if {", ["a", "x_by_lua_block"], "line 1: a Lua block does not end"),
    ("a; b { c }", ["a", "b"], 'line 1: unexpected "}"'),
])
def test_broken_files_give_what_stands_before(text: str, read: list, problem: str) -> None:
    parsed = parse("nginx.conf", text, nothing)
    assert [directive.name for directive in walk(parsed.directives)] == read
    assert parsed.problems == ["nginx.conf: " + problem]


def test_included_files_stand_in_their_place() -> None:
    files = {"conf.d/*.conf": [("conf.d/a.conf", "server { access_log /a.log; }"), ("conf.d/b.conf", "server { broken")]}
    parsed = parse("nginx.conf", "http { access_log /h.log; include conf.d/*.conf; include none; } events {}", lambda pattern: files.get(pattern, []))
    assert [directive.name for directive in parsed.directives] == ["http", "events"]
    assert parsed.files == ["nginx.conf", "conf.d/a.conf", "conf.d/b.conf"]
    assert parsed.problems == ["conf.d/b.conf: unexpected end of file"]
    assert [log.path for log in settings(parsed.directives).logs] == ["/a.log", "/h.log"], "the server that is cut off inherits"


def test_a_file_that_includes_itself_ends() -> None:
    parsed = parse("nginx.conf", "include nginx.conf; a;", lambda pattern: [("nginx.conf", "include nginx.conf; a;")])
    assert "nested too deep" in parsed.problems[0]
    assert 1 < len(parsed.files) < 100


def test_many_files_are_bounded() -> None:
    read = []

    def include(pattern: str) -> t.Iterator[t.Tuple[str, str]]:
        for number in range(10000):
            read.append(number)
            yield "conf.d/%d" % number, "a;"

    parsed = parse("nginx.conf", "include conf.d/*; b;", include)
    assert len(parsed.files) == _nginx_config.FILES_LIMIT
    assert len(read) <= _nginx_config.FILES_LIMIT + 1, "what is beyond the bounds is not even read"
    assert "the rest was not read" in parsed.problems[0]


def test_nesting_is_bounded() -> None:
    parsed = parse("nginx.conf", "a {" * 5000, nothing)
    assert "nested too deep" in parsed.problems[0]


@pytest.mark.parametrize(("text", "expected"), [
    ("http { access_log /h; server { listen 80; } }", ["/h"]),
    ("http { access_log /h; server { access_log /s; } server { listen 81; } }", ["/h", "/s"]),
    ("http { access_log /h; server { access_log /s; } }", ["/s"]),
    ("http { access_log /h; server { location / { access_log /l; } location /x {} } }", ["/h", "/l"]),
    ("http { server { access_log /s; location / { access_log off; } } }", ["/s"]),
    ("http { server { access_log /a; access_log /b main; } }", ["/a", "/b"]),
    ("http { access_log /h; server { access_log off; } }", []),
    ("http { access_log /h; server { location / { location /x { if ($a) { access_log /i; } } } } }", ["/h", "/i"]),
    ("stream { access_log /t; server { listen 1; } } http { access_log /h; server { } }", ["/h"]),
    ("http { access_log /h; }", ["/h"]),
])
def test_logs_are_inherited_by_level(text: str, expected: list) -> None:
    assert logs(text) == expected


def test_the_log_that_is_there_without_being_told() -> None:
    parsed = parse("nginx.conf", "http { server { listen 80; } server { access_log /s; } }", nothing)
    found = settings(parsed.directives)
    assert found.default_log and [log.path for log in found.logs] == ["/s"]
    assert not settings(parse("nginx.conf", "http { access_log off; server { } }", nothing).directives).default_log


def test_servers_that_log_nothing_are_named() -> None:
    text = "http { access_log /h; server { server_name a.example b.example; access_log off; } server { listen 81; } }"
    assert settings(parse("nginx.conf", text, nothing).directives).off == ["a.example"]
    text = "http { access_log off; server { server_name a.example; } server { listen 81; access_log /s; } }"
    assert settings(parse("nginx.conf", text, nothing).directives).off == ["a.example"]


def test_parameters_of_logs() -> None:
    text = """http { server { access_log /a; access_log /b main buffer=32k flush=5s; access_log /c.gz main gzip=4; access_log /d main if=$loggable;
              access_log syslog:server=unix:/dev/log tagged; access_log /e gzip; access_log "/var/log/$host.log" main; } }"""
    assert settings(parse("nginx.conf", text, nothing).directives).logs == [
        Log("/a", "combined", False, ""), Log("/b", "main", False, ""), Log("/c.gz", "main", True, ""), Log("/d", "main", False, "$loggable"),
        Log("syslog:server=unix:/dev/log", "tagged", False, ""), Log("/e", "combined", True, ""), Log("/var/log/$host.log", "main", False, ""),
    ]


def test_formats_are_joined() -> None:
    text = """http { log_format main '$remote_addr - "$request" '
                    '$status'; log_format j escape=json '{"a":"$request"}'; log_format t "$msec\\t$uri"; log_format main other; }"""
    assert settings(parse("nginx.conf", text, nothing).directives).formats == {
        "main": ("default", '$remote_addr - "$request" $status'), "j": ("json", '{"a":"$request"}'), "t": ("default", "$msec\t$uri"),
    }


def test_other_settings() -> None:
    text = """worker_processes auto; events { worker_connections 768; }
        http { set_real_ip_from 10.0.0.0/8; set_real_ip_from 10.0.0.0/8; real_ip_header X-Forwarded-For;
               limit_req_zone $binary_remote_addr zone=one:10m rate=10r/s; upstream app { server 127.0.0.1:8000 weight=2; server unix:/run/app.sock; }
               server { location / {
                 limit_req zone=one burst=20 nodelay; proxy_pass http://app; } } }"""
    found = settings(parse("nginx.conf", text, nothing).directives)
    assert (found.worker_processes, found.worker_connections, found.proxies, found.real_ip_header) == ("auto", 768, ["10.0.0.0/8"], "X-Forwarded-For")
    assert found.upstreams == {"app": ["127.0.0.1:8000", "unix:/run/app.sock"]}
    assert found.passes == ["http://app"]
    assert found.limit_zones == [("$binary_remote_addr", "zone=one:10m", "rate=10r/s")]
    assert found.limits == [("nginx.conf", 5, ("zone=one", "burst=20", "nodelay"))]


def test_a_fragment_has_logs_too() -> None:
    assert logs("server { access_log /s; }") == ["/s"]


@pytest.mark.parametrize("sign", ["\x85", "\xa0", "\u2028", "\x0b", "\x0c"])
def test_what_only_unicode_calls_a_blank_is_part_of_a_word(sign: str) -> None:
    parsed = _nginx_config.parse("/c", "worker_processes 4;\n%sx a%sb;\n" % (sign, sign), lambda pattern: [])
    assert [(one.name, one.parameters) for one in parsed.directives] == [("worker_processes", ("4",)), (sign + "x", ("a%sb" % sign,))]
