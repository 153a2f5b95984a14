# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hostile access logs and arguments, drawn from a list of attacks that have names.

Every case is what an attacker may bring about: lines of a log, what an operator or a tool passes on from it, the configuration around it.
"""

from __future__ import annotations

import ipaddress
import random
from typing import Callable, Dict, List, NamedTuple, Sequence

OWN = ["198.18.7.1", "2001:db8:5::1"]
MONITORING = ["198.51.100.77", "2001:db8:77::9"]
UPSTREAM = "203.0.113.200"
GATEWAY = "198.18.7.254"
RESOLVER = "9.9.9.9"
#: Each must never be limited, whatever is asked for.
PROTECTED = [
    *OWN, *MONITORING, UPSTREAM, GATEWAY, RESOLVER, "127.0.0.1", "127.8.9.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "100.64.3.2", "169.254.1.1", "::1",
    "fe80::1", "fd00::5", "172.64.1.1", "2606:4700::1", "151.101.1.1",
]

CONFIG = """events { }
http {
    %s
    access_log /var/log/nginx/access.log%s;
    upstream app { server %s:8000; }
    server { listen 80; location / { proxy_pass http://app; } }
}
"""
COMBINED = '%s - %s [%s] "%s" 200 12 "-" "%s"'


class Case(NamedTuple):
    """name: of the attack; path, clients, keep: the arguments; http: more lines of the configuration; lines: of the log (latin-1)."""

    name: str
    path: str
    clients: List[str]
    keep: List[str]
    http: str
    forwarded: bool
    lines: List[str]


def _public(rng: random.Random) -> str:
    return "192.0.2.%d" % rng.randint(1, 250)


def _lines(rng: random.Random, client: str, path: str = "/export", user: str = "-", agent: str = "x", more: str = "") -> List[str]:
    others = ["192.0.3.%d" % rng.randint(1, 250) for dummy in range(5)]
    made = [COMBINED % (client, user, "{%d}" % rng.randint(1, 500), "GET %s HTTP/1.1" % path, agent) + more for dummy in range(120)]
    made += [COMBINED % (other, "-", "{%d}" % rng.randint(1, 500), "GET /export HTTP/1.1", "x") + (' "-"' if more else "") for other in others]
    rng.shuffle(made)
    return made


def _case(
    rng: random.Random, name: str, path: str = "/export", clients: Sequence[str] = (), http: str = "", lines: Sequence[str] = (), forwarded: bool = False
) -> Case:
    busiest = (list(clients) or [_public(rng)])[0].split("\n")[0][:60]
    return Case(name, path, list(clients), list(MONITORING), http, forwarded, list(lines) or _lines(rng, busiest))


def spoofed_forwarding(rng: random.Random) -> Case:
    client, victim = _public(rng), rng.choice(PROTECTED)
    named = [rng.choice([client, victim])] if rng.random() < 0.7 else []
    lines = _lines(rng, client, more=' "%s"' % victim)
    for number in range(rng.choice([0, 30])):
        lines[number] = COMBINED % (client, "-", "{5}", "GET /export HTTP/1.1", "x") + ' "192.0.2.%d, %s"' % (number, victim)
    return _case(rng, "spoofed forwarding header", clients=named, lines=lines, forwarded=True)


def believed_from_everybody(rng: random.Random) -> Case:
    victim = rng.choice(PROTECTED + ["192.0.2.99"])
    http = "set_real_ip_from %s; real_ip_header X-Forwarded-For;" % rng.choice(["0.0.0.0/0", "::/0", "0.0.0.0/0; set_real_ip_from ::/0"])
    return _case(rng, "everybody is believed", clients=[victim] if rng.random() < 0.5 else [], http=http, lines=_lines(rng, victim))


def mapped(rng: random.Random) -> Case:
    four = rng.choice([text for text in PROTECTED if ":" not in text])
    form = rng.choice(["::ffff:%s", "::FFFF:%s", "0:0:0:0:0:ffff:%s", "::ffff:%s/128", "::ffff:%s/120"])
    if rng.random() < 0.4:
        value = int(ipaddress.ip_address(four))
        return _case(rng, "mapped IPv6", clients=["::ffff:%x:%x" % (value >> 16, value & 65535)])
    return _case(rng, "mapped IPv6", clients=[form % four])


def embedded(rng: random.Random) -> Case:
    value = int(ipaddress.ip_address(rng.choice([text for text in PROTECTED if ":" not in text])))
    form = rng.choice(["64:ff9b::%x:%x", "2002:%x:%x::1", "2002:%x:%x::/48", "::%x:%x", "64:ff9b:1::%x:%x"])
    return _case(rng, "IPv4 within IPv6", clients=[form % (value >> 16, value & 65535)])


def zoned(rng: random.Random) -> Case:
    texts = ["fe80::1%eth0", "2001:db8:9::1%1", "fe80::1%25eth0", "::1%lo", "2001:db8:9::1%;}", "fe80::1%eth0/64"]
    return _case(rng, "zoned IPv6", clients=[rng.choice(texts)])


def octal(rng: random.Random) -> Case:
    texts = ["0177.0.0.1", "010.1.2.3", "192.0.2.010", "0300.0250.1.1", "192.00.2.1", "::ffff:010.1.2.3", "010.0.0.0/8"]
    return _case(rng, "octal", clients=[rng.choice(texts)])


def other_numbers(rng: random.Random) -> Case:
    texts = ["2130706433", "0x7f000001", "127.1", "0x7f.0.0.1", "10.1", "\uff11\uff12\uff17.0.0.1", "\u0661\u0662\u0667.0.0.1", "192.0.2.1/\u0663\u0662",
             "192.0.2.1e1"]
    return _case(rng, "other spellings of numbers", clients=[rng.choice(texts)])


def whole_range(rng: random.Random) -> Case:
    texts = ["0.0.0.0/0", "::/0", "0/0", "128.0.0.0/1", "::ffff:0:0/96", "::/1", "198.0.0.0/8", "198.18.0.0/15", "2001::/16", "192.0.2.1/0", "0.0.0.0/00",
             "192.0.2.0/255.0.0.0", "192.0.2.0/0.255.255.255", "255.255.255.255", "*", "all", "any"]
    return _case(rng, "whole range", clients=[rng.choice(texts)])


def around_protected(rng: random.Random) -> Case:
    texts = ["198.51.0.0/16", "198.51.100.0/24", "198.18.0.0/16", "203.0.113.0/24", "9.9.0.0/16", "2001:db8::/32", "2001:db8:77::/48", "198.51.100.76/31"]
    return _case(rng, "network around a protected address", clients=rng.sample(texts, rng.randint(1, 3)))


def protected_itself(rng: random.Random) -> Case:
    text = rng.choice(PROTECTED)
    return _case(rng, "a protected address", clients=[rng.choice([text, text.upper(), str(ipaddress.ip_address(text).exploded)])])


def only_protected_ask(rng: random.Random) -> Case:
    return _case(rng, "only protected addresses ask", lines=_lines(rng, rng.choice(PROTECTED)))


INJECTIONS = ['"', "'", ";", "}", "{", "$request_uri", "${host}", "\\", "\\\\", '\\"', "\n", "\r\n", "\t", "#", "\\x22", "%22",
              '" 1; } server { listen 9999; } map $uri $x { "',
              "%0a", "%3b%7d", "`id`", "$(id)", "{{ 7*7 }}", "{% raw %}", "\u202e", "\x1b[2J", "\xff", "\udcff", "\udc80\udcfe", "\u2028", "*/", "<!--"]


def injected_path(rng: random.Random) -> Case:
    path = "/" + "".join(rng.choice(INJECTIONS + ["a", "/b"]) for dummy in range(rng.randint(1, 6))) + rng.choice(["", "*", "/x"])
    return _case(rng, "injected quotes", path=path)


def injected_address(rng: random.Random) -> Case:
    sign = rng.choice(INJECTIONS)
    text = _public(rng)
    return _case(rng, "injected address", clients=[rng.choice([text + sign, sign + text, text + " 1; } " + sign, text + "/32" + sign, text + " " + text])])


def expressions(rng: random.Random) -> Case:
    texts = ["/.*", "/(a+)+$", "/[", "/a|.", "/(?i)x", "/x{1,9999}", "/\\d+", "/^", "/+", "/?", "/(?P<x>.)", "~/x", "/.*$*"]
    return _case(rng, "expressions in a path", path=rng.choice(texts))


def places(rng: random.Random) -> Case:
    parts = ["{n}", "{uuid}", "{hex}", "{token}", "{n", "n}", "{N}", "{n}{n}", "{{n}}", "{x}", "/", "a", ";"]
    return _case(rng, "places for identifiers", path="/" + "".join(rng.choice(parts) for dummy in range(rng.randint(1, 6))))


def odd_paths(rng: random.Random) -> Case:
    texts = ["", "export", "//export", "/a/../b", "/./x", "/%2e%2e/x", "/%00", "/\0", "/a?b", "/a#b", "/" + "a" * 600, "/...", "/caf\xe9", "/%C3%A9", "/%",
             "/%zz", "*", "/*", "/**"]
    return _case(rng, "odd paths", path=rng.choice(texts))


def forged_lines(rng: random.Random) -> Case:
    victim = rng.choice(PROTECTED)
    user = rng.choice(["%s - - [{3}] \"GET /export HTTP/1.1\" 200 1 \"-\" \"-\"" % victim, "a b c", "] \"GET", "-\t-", "\x00", "x" * 3000])
    agent = rng.choice(["x", "\\x22 %s" % victim, "a\" \"b", "\x85\x1b", "y" * 5000])
    return _case(rng, "forged lines", lines=_lines(rng, _public(rng), user=user, agent=agent) + ["\x00" * 50, "", victim, "}" * 100, "\xff\xfe"])


def delivery(rng: random.Random) -> Case:
    texts = ["172.64.1.1", "104.16.5.0/24", "2606:4700::/48", "35.191.3.4", "2600:2d00:1:b029::7", "151.101.64.1", "172.64.0.0/16", "104.0.0.0/8"]
    return _case(rng, "delivery network", clients=[rng.choice(texts)])


def many(rng: random.Random) -> Case:
    return _case(rng, "many clients", clients=["192.0.2.%d" % (number % 250) for number in range(rng.choice([3, 40, 65, 500]))] + [rng.choice(PROTECTED)])


ATTACKS: Dict[str, Callable[[random.Random], Case]] = {
    attack.__name__: attack for attack in (
        spoofed_forwarding, believed_from_everybody, mapped, embedded, zoned, octal, other_numbers, whole_range, around_protected, protected_itself,
        only_protected_ask, injected_path, injected_address, expressions, places, odd_paths, forged_lines, delivery, many,
    )
}


def cases(count: int, seed: int) -> List[Case]:
    """Every attack in turn, each time drawn anew."""
    names = list(ATTACKS)
    return [ATTACKS[names[number % len(names)]](random.Random("%d %d" % (seed, number))) for number in range(count)]
