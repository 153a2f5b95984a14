# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Limits in nginx: paths, clients, the levels of a configuration, the rate, and what is read of a log of errors."""

from __future__ import annotations

import ipaddress
import random
from pathlib import Path as Place
from typing import Any, Dict, List, Optional, Tuple

import pytest
from ansible_collections.oncall.pressure.plugins.module_utils._components._nginx_files import View
from ansible_collections.oncall.pressure.plugins.module_utils._controls import (
    _nginx_config_file, _nginx_limit, _nginx_limit_clients, _nginx_limit_config, _nginx_limit_levels, _nginx_limit_probe, _nginx_limit_text,
    _nginx_limit_traffic,
)
from ansible_collections.oncall.pressure.plugins.module_utils._components._nginx_files import Master
from ansible_collections.oncall.pressure.plugins.module_utils._controls._nginx_limit_traffic import Client, Traffic
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine
from ansible_collections.oncall.pressure.plugins.module_utils._parse import _nginx_config


def http(text: str) -> Any:
    """The http block of a configuration that is given without one."""
    parsed = _nginx_config.parse("f", "http {\n%s\n}" % text, lambda pattern: [])
    assert not parsed.problems
    return parsed.directives[0]


def limit(**changed: Any) -> _nginx_limit_text.Limit:
    path = _nginx_limit_text.path_of("/export")
    return _nginx_limit_text.Limit(path, None, [ipaddress.ip_network("10.0.0.0/8")], 2, 10, False, 429)._replace(**changed)


# the path


@pytest.mark.parametrize("given, yes, no", [
    ("/export", [b"/export"], [b"/export/", b"/exports", b"/Export", b"/export\n", b"/x/export", b"/"]),
    ("/export*", [b"/export", b"/exports", b"/export/1"], [b"/expor", b"/x/export"]),
    ("/report/{n}", [b"/report/1", b"/report/007"], [b"/report/", b"/report/x", b"/report/1/", b"/report/1x"]),
    ("/report/{n}/pdf*", [b"/report/1/pdf", b"/report/22/pdfs"], [b"/report/1/pd"]),
    ("/u/{uuid}", [b"/u/123e4567-e89b-12d3-a456-426614174000"], [b"/u/123e4567"]),
    ("/a.b", [b"/a.b"], [b"/axb"]),
    ("/caf%C3%A9", ["/caf\u00e9".encode()], [b"/cafe"]),
    ("/", [b"/"], [b"/x"]),
    ("/*", [b"/", b"/x"], []),
])
def test_paths_hold_what_is_meant(given: str, yes: List[bytes], no: List[bytes]) -> None:
    path = _nginx_limit_text.path_of(given)
    assert [one for one in yes if not path.holds(one)] == [] and [one for one in no if path.holds(one)] == []
    assert path.holds(path.example)


@pytest.mark.parametrize("given", ["", "export", "/a?b=1", "/a#b", "/a//b", "/a/../b", "/a/./b", "/x...", "/\0", "/%00", "/" + "a" * 513, "/a%2f%2fb"])
def test_paths_that_nothing_can_be_limited_by(given: str) -> None:
    with pytest.raises(_nginx_limit_text.BadPath):
        _nginx_limit_text.path_of(given)


@pytest.mark.parametrize("target, path", [
    (b"/export?x=1", b"/export"), (b"//export", b"/export"), (b"/a/../export", b"/export"), (b"/%65xport", b"/export"), (b"/a/./b", b"/a/b"), (b"/a/..", b"/"),
    (b"http://shop.example/export?q", b"/export"), (b"/a/b/../../c", b"/c"), (b"/../../x", b"/x"), (b"/a/", b"/a/"), (b"/export%3Fx", b"/export?x"),
])
def test_targets_become_what_nginx_sees(target: bytes, path: bytes) -> None:
    assert _nginx_limit_text.target_path(target) == path


def test_another_content_has_another_name_and_the_same_has_the_same() -> None:
    names = [_nginx_limit_text.zone(one) for one in (
        limit(), limit(rate_per_s=3), limit(burst=11), limit(dry_run=True), limit(status=None), limit(keep=[]), limit(path=None, clients=limit().keep),
        limit(path=_nginx_limit_text.path_of("/export*")), limit(clients=[ipaddress.ip_network("192.0.2.1")]))]
    assert len(set(names)) == len(names) and _nginx_limit_text.zone(limit()) == names[0]
    text = _nginx_limit_text.content(limit())
    assert text == _nginx_limit_text.content(limit()) and _nginx_limit_text.figures(text) == (2, 10) and text.count(names[0]) > 8
    assert _nginx_limit_text.figures("limit_req zone=x burst=1;") is None


# the configuration


def ways(text: str, path: str) -> List[Tuple[str, ...]]:
    """The parameters of the levels below http that the path may be served by, those that answer themselves left out."""
    found = _nginx_limit_levels.served(http(text), _nginx_limit_text.path_of(path))
    return sorted(tuple(" ".join(level.parameters) for level in one.chain[2:]) for one in found if not one.answers)


LOCATIONS = """server {
    location / { }
    location /api/ { location /api/v1/ { } }
    location = /api/exact { }
    location ^~ /media/ { }
    location ~ \\.php$ { }
    location ~* \\.(png|jpg)$ { }
    location @app { }
    error_page 502 @app;
}"""


@pytest.mark.parametrize("path, expected", [
    ("/x", [("/",), ("@app",)]), ("/api/x", [("/api/",), ("@app",)]), ("/api/v1/x", [("/api/", "/api/v1/"), ("@app",)]),
    ("/api/exact", [("= /api/exact",), ("@app",)]), ("/media/x.php", [("@app",), ("^~ /media/",)]), ("/x.php", [("@app",), ("~ \\.php$",)]),
    ("/a.PNG", [("@app",), ("~* \\.(png|jpg)$",)]),
])
def test_one_path_ends_where_nginx_has_it_end(path: str, expected: List[Tuple[str, ...]]) -> None:
    assert ways(LOCATIONS, path) == expected


def test_many_paths_may_end_in_more() -> None:
    assert ("/api/",) in ways(LOCATIONS, "/api/{n}*") and ("~ \\.php$",) in ways(LOCATIONS, "/api/*") and ("^~ /media/",) not in ways(LOCATIONS, "/api/*")


def test_an_expression_that_only_pcre_reads_may_match() -> None:
    assert ("~ ^/(?|a|b)\\K",) in ways("server { location / { } location ~ ^/(?|a|b)\\K { } }", "/x")


@pytest.mark.parametrize("text, said", [
    ("server { return 301 https://x; }", "return"), ("server { location / { return 200 x; } }", "return"),
    ("server { rewrite ^/export /new last; location / { } }", "rewritten"),
])
def test_what_a_limit_never_sees_is_known(text: str, said: str) -> None:
    found = _nginx_limit_levels.served(http(text), _nginx_limit_text.path_of("/export"))
    assert found and all(said in one.answers for one in found)


@pytest.mark.parametrize("text, line", [
    ("server { limit_req zone=a; location / { } }", 2), ("server { location / { limit_req zone=a; } }", 2),
    ("limit_req zone=a; server { location / { } }", None),
    ("server { location /other { limit_req zone=a; } location / { } }", None),
])
def test_a_limit_of_its_own_is_found_where_it_counts(text: str, line: Optional[int]) -> None:
    found = _nginx_limit_levels.served(http(text), _nginx_limit_text.path_of("/export"))
    own = [_nginx_limit_levels.own_limit(one.chain) for one in found]
    assert [one.line if one else None for one in own] == [line]


def test_who_would_inherit_a_setting() -> None:
    block = http("limit_req zone=a; server { limit_req zone=b; limit_req_status 444; location /x { limit_req zone=c; } }"
                 " server { location / { limit_req zone=d; } }")
    found = _nginx_limit_levels.inheriting(block, "limit_req_status")
    assert [one.parameters[0] for one in found] == ["zone=a", "zone=d"]


def test_how_servers_are_reached() -> None:
    block = http("server { } server { listen 443 ssl http2; listen [::]:80; listen 10.0.0.1; listen unix:/run/x proxy_protocol; listen 8443 quic; "
                 "server_name ~^x$ *.shop.example; } server { listen *:81; server_name www.shop.*; }")
    servers = _nginx_limit_levels.children(block, "server")
    assert [tuple(one)[:2] for one in _nginx_limit_levels.listens(servers[0])] == [("127.0.0.1", 80)]
    assert [tuple(one) for one in _nginx_limit_levels.listens(servers[1])] == [
        ("127.0.0.1", 443, "", True, False), ("::1", 80, "", False, False), ("10.0.0.1", 80, "", False, False), ("", 0, "/run/x", False, True)]
    assert [_nginx_limit_levels.host_name(server) for server in servers] == ["oncall-pressure.invalid", "oncall.shop.example", "www.shop.example"]


def folder_of(tmp_path: Place, files: Dict[str, str]) -> View:
    for name, text in files.items():
        place = tmp_path / name.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text, encoding="utf-8")
    (tmp_path / "commands.json").write_text("{}", encoding="utf-8")
    return View(Machine(str(tmp_path)), Master(1, 1, "/etc/nginx/nginx.conf", None, ""))


@pytest.mark.parametrize("main, place", [
    ("http { include /etc/nginx/conf.d/*.conf; }", "/etc/nginx/conf.d/zz-oncall-pressure-limit.conf"),
    ("http { include conf.d/*.conf; include sites-enabled/*; }", "/etc/nginx/conf.d/zz-oncall-pressure-limit.conf"),
    ("http { include sites-enabled/*; }", "/etc/nginx/sites-enabled/zz-oncall-pressure-limit.conf"),
    ("http { include vhosts/*.vhost; }", "/etc/nginx/vhosts/zz-oncall-pressure-limit.vhost"),
    ("stream { include conf.d/*.conf; } http { }", None), ("stream { include conf.d/*.conf; } http { include conf.d/*.conf; }", None),
    ("http { server { include conf.d/*.conf; } }", None), ("http { include /nowhere/*.conf; }", None), ("http { include conf.d/a.conf; }", None),
    ("http { include conf.d/*/x.conf; }", None), ("http { include conf.d/*.conf; include conf.d/*.conf; }", None),
])
def test_the_place_of_our_file(tmp_path: Place, main: str, place: Optional[str]) -> None:
    view = folder_of(tmp_path, {
        "/etc/nginx/nginx.conf": main, "/etc/nginx/conf.d/a.conf": "", "/etc/nginx/sites-enabled/b": "", "/etc/nginx/vhosts/c.vhost": "",
    })
    unread: List[str] = []
    places: List[str] = []
    parsed = _nginx_config.parse("/etc/nginx/nginx.conf", main, _nginx_limit_config._includes(view, "/etc/nginx", unread, places))
    block = next(one for one in parsed.directives if one.name == "http")
    assert _nginx_limit_config._choose(parsed.directives, block, places) == place and not unread


def test_settings_of_maps_behind_us_are_found(tmp_path: Place) -> None:
    main = "http { map_hash_max_size 1024; include conf.d/*.conf; map_hash_bucket_size 128; }"
    view = folder_of(tmp_path, {"/etc/nginx/conf.d/a.conf": ""})
    places: List[str] = []
    parsed = _nginx_config.parse("/etc/nginx/nginx.conf", main, _nginx_limit_config._includes(view, "/etc/nginx", [], places))
    assert [one.name for one in _nginx_limit_config._late(parsed.directives[0], places[0])] == ["map_hash_bucket_size"]


# the clients


@pytest.mark.parametrize("given, expected", [
    ("203.0.113.9", "203.0.113.9/32"), ("203.0.113.9/24", "203.0.113.0/24"), ("::ffff:203.0.113.9", "203.0.113.9/32"), ("2001:DB8::1", "2001:db8::1/128"),
    ("::ffff:203.0.113.0/120", "203.0.113.0/24"),
])
def test_addresses_have_one_spelling(given: str, expected: str) -> None:
    assert str(_nginx_limit_clients.network_of(given)) == expected


def test_a_kept_address_within_a_limited_network_stays_kept() -> None:
    keep = [ipaddress.ip_network("203.0.113.7/32")]
    found = _nginx_limit_clients.meant(["203.0.113.0/24"], keep)
    text = _nginx_limit_text.content(limit(clients=found, keep=keep + [ipaddress.ip_network("10.0.0.0/8")]))
    assert "    203.0.113.7 0;" in text and "    203.0.113.0/24 1;" in text and "10.0.0.0" not in text


# the rate


def served_all(moments: List[float], rate: int, burst: int) -> bool:
    """Whether nginx's bucket takes every request: excess falls by the rate, one more a request, at most the burst."""
    excess, last = -1.0, 0.0
    for moment in sorted(moments):
        excess = 0.0 if excess < 0 else max(excess - rate * (moment - last), 0.0) + 1.0
        last = moment
        if excess > burst:
            return False
    return True


def test_the_proposed_rate_refuses_no_other_client() -> None:
    rng = random.Random(20260101)
    for dummy in range(300):
        others = {"192.0.2.%d" % number: [
            slot * 10.0 + rng.choice([0.0, rng.uniform(0, 9.99), 9.99]) for slot in range(30) for dummy2 in range(rng.choice([0, 1, rng.randint(0, 40)]))
        ] for number in range(rng.randint(1, 5))}
        rows = [Client("198.51.100.1", 100000, 5000, "")]
        for address, moments in others.items():
            slots = [int(moment // 10) for moment in moments]
            rows.append(Client(address, len(moments), max((slots.count(slot) for slot in set(slots)), default=0), ""))
        proposal = _nginx_limit_traffic.propose(Traffic(600.0, 1, rows, []), None)
        assert not proposal.why_not and proposal.busiest is not None and proposal.busiest.address == "198.51.100.1"
        assert [address for address, moments in others.items() if not served_all(moments, proposal.rate_per_s, proposal.burst)] == []


def test_where_nobody_stands_out_no_rate_is_proposed() -> None:
    rows = [Client("192.0.2.%d" % number, 100, 30, "") for number in range(5)]
    assert "others ask as fast" in _nginx_limit_traffic.propose(Traffic(600.0, 500, rows, []), None).why_not
    assert "nobody" in _nginx_limit_traffic.propose(Traffic(600.0, 0, [Client("10.0.0.1", 9, 9, "kept")], []), None).why_not


def test_a_named_client_is_not_one_of_the_others() -> None:
    rows = [Client("192.0.2.1", 900, 200, ""), Client("192.0.2.2", 50, 10, ""), Client("10.0.0.1", 5000, 900, "kept")]
    proposal = _nginx_limit_traffic.propose(Traffic(600.0, 950, rows, []), [ipaddress.ip_network("192.0.2.1/32")])
    assert (proposal.rate_per_s, proposal.burst, proposal.need) == (2, 20, 10)


# what nginx says


def test_refusals_are_counted_by_client_and_cannot_be_forged(tmp_path: Place) -> None:
    log = tmp_path / "error.log"
    log.write_bytes(b"")
    marks = _nginx_limit_probe.Marks(Machine(), [str(log)])
    line = '2026/01/01 00:00:00 [error] 7#7: *%d limiting requests%s, excess: 1.000 by zone "%s", client: %s, server: , request: "GET %s HTTP/1.1", host: "x"\n'
    forged = '/ x 2026/01/01 00:00:00 [error] 7#7: *9 limiting requests, excess: 1.000 by zone "pressure_a", client: 192.0.2.9,'
    text = line % (1, "", "pressure_a", "192.0.2.1", forged) + line % (2, ", dry run", "pressure_a", "2001:db8::1", "/")
    text += line % (3, "", "other", "192.0.2.3", "/")
    log.write_bytes((text + line % (4, "", "pressure_a_probe", "127.0.0.1", "/") + line % (5, "", "pressure_a", "unix:", "/")).encode())
    assert marks.refused("pressure_a") == {"192.0.2.1": 1, "2001:db8::1": 1, "unix:": 1} and marks.refused("pressure_a") == {}
    log.write_bytes((line % (6, "", "pressure_a", "192.0.2.5", "/")).encode())
    assert marks.refused("pressure_a") == {"192.0.2.5": 1}


def test_reached_needs_other_workers_than_before() -> None:
    operation = {"kind": "nginx_config", "path": "/x", "removes": False, "wanted_sha256": "a"}
    before = {"exists": False, "workers": [[5, 100], [6, 100]], "loaded": True}
    now = {"exists": True, "sha256": "a", "workers": [[7, 200]], "loaded": False}
    assert _nginx_config_file.reached(operation, before, now)
    assert not _nginx_config_file.reached(operation, before, dict(now, workers=[[6, 100], [7, 200]]))
    assert not _nginx_config_file.reached(operation, before, dict(now, workers=[]))
    assert not _nginx_config_file.reached(operation, before, dict(now, sha256="b"))
    assert not _nginx_config_file.reached(operation, now, now) and _nginx_config_file.reached(operation, dict(now, loaded=True), dict(now, loaded=True))


@pytest.mark.parametrize("own, others, refused", [(96, 4, False), (100, 4, True), (100, 101, False), (3, 0, False)])
def test_our_own_requests_are_no_proxys(own: int, others: int, refused: bool) -> None:
    """A limit that is asked for again, on a path that hardly anybody asks for, meets the requests by which the first was seen at work."""
    clients = [Client("127.0.0.1", own, own, "kept"), Client("192.0.2.7", others, others, "")]
    config = _nginx_limit_config.Config("f", http("server { listen 80; }"), [], ["f"], None, [])
    asked = _nginx_limit._Asked(_nginx_limit_text.path_of("/export"), None, [])
    traffic = Traffic(600.0, own + others, clients, [])
    if refused:
        with pytest.raises(_nginx_limit.ByHand, match="come from addresses that are never limited"):
            _nginx_limit._refuse_proxies(config, asked, traffic)
    else:
        _nginx_limit._refuse_proxies(config, asked, traffic)
