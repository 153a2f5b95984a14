# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Five hundred hostile logs and arguments: no protected address is ever limited, and nothing of them stands in the file as it came."""

from __future__ import annotations

import collections
import importlib.util
import ipaddress
import json
import random
import re
import shutil
import time
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

import pytest
from ansible_collections.oncall.pressure.plugins.module_utils._change._kinds import Refused
from ansible_collections.oncall.pressure.plugins.module_utils._components._nginx_files import Master
from ansible_collections.oncall.pressure.plugins.module_utils._controls import _nginx_limit, _nginx_limit_levels, _nginx_limit_text, _nginx_limit_traffic
from ansible_collections.oncall.pressure.plugins.module_utils._controls._nginx_limit_config import Config
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine
from ansible_collections.oncall.pressure.plugins.module_utils._parse import _nginx_config

ROOT = Path(__file__).resolve().parents[3]
_SPEC = importlib.util.spec_from_file_location("pressure_attacks", ROOT / "tests" / "nginx" / "attacks.py")
assert _SPEC is not None and _SPEC.loader is not None
attacks = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(attacks)

COUNT = 500
SEED = random.SystemRandom().randrange(1 << 31)
NOW = 1767225600

#: Everything that may stand in the file, line by line; of what came from outside only what these brackets hold.
EXPRESSION = r'"~\^/(?:[A-Za-z0-9/_-]|\\\\x[0-9a-f]{2}|\[0-9\]\+|\[0-9a-fA-F\]\{\d+,?\}|\[A-Za-z0-9_-\]\{32,\})*(?:\\\\z)?"'
LINES = re.compile(r"""(?:
    |\#[ ][A-Za-z0-9 ,.;:()'-]*
    |map[ ][$\w]+[ ]\$pressure_[0-9a-f]{12}_\w+[ ]\{
    |geo[ ]\$pressure_[0-9a-f]{12}_client[ ]\{
    |[ ]{4}default[ ](?:0|1|"");
    |[ ]{4}%s[ ]1;
    |[ ]{4}[0-9a-f:.]+(?:/[0-9]{1,3})?[ ][01];
    |[ ]{4}"11"[ ](?:\$binary_remote_addr|probe);
    |[ ]{4}"[0-9a-f]{12}"[ ]1;
    |\}
    |limit_req_zone[ ]\$pressure_[0-9a-f]{12}_(?:key|probe)[ ]zone=pressure_[0-9a-f]{12}(?:_probe)?:(?:10m|64k)[ ]rate=[0-9]+r/[sm];
    |limit_req[ ]zone=pressure_[0-9a-f]{12}(?:_probe|[ ]burst=[0-9]+[ ]nodelay);
    |limit_req_dry_run[ ]on;
    |limit_req_status[ ]429;
)\Z""" % EXPRESSION, re.VERBOSE)


def machine_of(case: Any, folder: Path) -> Machine:
    """A recording of a host on which the case came about."""
    for path in ("proc/net", "etc/nginx", "var/log/nginx", "proc/77"):
        (folder / path).mkdir(parents=True)
    (folder / "commands.json").write_text(json.dumps({"now": NOW, "commands": {}}), encoding="utf-8")
    addresses = "".join("           |-- %s\n              /32 host LOCAL\n" % text for text in attacks.OWN if ":" not in text)
    (folder / "proc/net/fib_trie").write_text("Local:\n" + addresses, encoding="ascii")
    own = next(text for text in attacks.OWN if ":" in text)
    (folder / "proc/net/if_inet6").write_text("%032x 02 40 00 80 eth0\n" % int(ipaddress.ip_address(own)), encoding="ascii")
    gateway = "".join("%02X" % int(part) for part in reversed(attacks.GATEWAY.split(".")))
    (folder / "proc/net/route").write_text("Iface\tDestination\tGateway\neth0\t00000000\t%s\n" % gateway, encoding="ascii")
    (folder / "proc/uptime").write_text("1000.0 1.0\n", encoding="ascii")
    (folder / "etc/resolv.conf").write_text("nameserver %s\n" % attacks.RESOLVER, encoding="ascii")
    form = ""
    if case.forwarded:
        form = ("log_format f '$remote_addr - $remote_user [$time_local] \"$request\" $status $body_bytes_sent \"$http_referer\" \"$http_user_agent\" "
                "\"$http_x_forwarded_for\"';")
    (folder / "etc/nginx/nginx.conf").write_text(
        attacks.CONFIG % (form + case.http, " f" if form else "", attacks.UPSTREAM), encoding="utf-8")
    lines = []
    for line in case.lines:
        found = re.search(r"\{(\d+)\}", line)
        moment = NOW - (int(found.group(1)) if found else 1)
        lines.append((moment, re.sub(r"\{\d+\}", time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(moment)), line)))
    text = "".join(line + "\n" for dummy, line in sorted(lines, key=lambda row: row[0]))
    (folder / "var/log/nginx/access.log").write_bytes(text.encode("latin-1", "replace"))
    return Machine(str(folder))


def limited(content: str, address: str) -> bool:
    """Whether nginx would limit an address: the smallest network that holds it, an IPv4 address behind ::ffff: as that."""
    directives = _nginx_config.parse("f", content, lambda pattern: []).directives
    geo = next(one for one in directives if one.name == "geo")
    asked = ipaddress.ip_address(address)
    asked = getattr(asked, "ipv4_mapped", None) or asked
    best: Tuple[int, str] = (-1, next(one.parameters[0] for one in geo.block or [] if one.name == "default"))
    for row in geo.block or []:
        if row.name == "default":
            continue
        network = ipaddress.ip_network(row.name)
        if network.version == asked.version and asked in network and network.prefixlen > best[0]:
            best = (network.prefixlen, row.parameters[0])
    return best[1] == "1"


def outcome(case: Any, folder: Path) -> Tuple[str, Optional[str]]:
    """("refused", null) or ("limited", the file)."""
    machine = machine_of(case, folder)
    text = (folder / "etc/nginx/nginx.conf").read_text(encoding="utf-8")
    parsed = _nginx_config.parse("/etc/nginx/nginx.conf", text, lambda pattern: [])
    http = next(one for one in parsed.directives if one.name == "http")
    config = Config("/etc/nginx/nginx.conf", http, [], [], "/etc/nginx/conf.d/x.conf", [])
    wish = _nginx_limit.Wish(case.path, case.clients, False, keep=case.keep)
    try:
        asked = _nginx_limit._asked(machine, wish, config)
        assert _nginx_limit_levels.served(http, asked.path)
        traffic = _nginx_limit_traffic.measure(machine, Master(77, 1, "/etc/nginx/nginx.conf", None, ""), asked.path, asked.keep)
        _nginx_limit._refuse_proxies(config, asked, traffic)
        proposal = _nginx_limit_traffic.propose(traffic, asked.clients)
        # the rate is given where nobody asked for such a path: what is written of it is what matters here
        limit = _nginx_limit._limit(config, wish._replace(rate_per_s=0 if not proposal.why_not else 100), asked, traffic, proposal, None)
    except Refused as problem:
        assert str(problem) and "\n" not in str(problem)
        return "refused", None
    return "limited", _nginx_limit_text.content(limit)


def test_no_protected_address_and_nothing_unescaped(tmp_path: Path, capsys: "pytest.CaptureFixture[str]") -> None:
    counts: Dict[str, Dict[str, int]] = collections.defaultdict(lambda: {"refused": 0, "limited": 0})
    wrong: List[str] = []
    for number, case in enumerate(attacks.cases(COUNT, SEED)):
        folder = tmp_path / str(number)
        said, content = outcome(case, folder)
        shutil.rmtree(str(folder))
        counts[case.name][said] += 1
        if content is None:
            continue
        about = "%s: %r %r" % (case.name, case.path, case.clients)
        wrong += ["%s: %s is limited" % (about, address) for address in attacks.PROTECTED if limited(content, address)]
        mapped = ["::ffff:" + address for address in attacks.PROTECTED if ":" not in address]
        wrong += ["%s: %s is limited" % (about, address) for address in mapped if limited(content, address)]
        wrong += ["%s: the file has %r" % (about, line) for line in content.split("\n") if not LINES.match(line)]
        if not content.isascii():
            wrong.append("%s: the file is not ASCII" % about)
    with capsys.disabled():
        print("\nseed %d: %d cases of %d attacks" % (SEED, COUNT, len(counts)))
        for name in sorted(counts):
            print("  %-36s %3d refused, %3d limited" % (name, counts[name]["refused"], counts[name]["limited"]))
    assert not wrong, "\n".join(wrong[:20])
    assert sum(row["limited"] for row in counts.values()) >= COUNT // 10
    never = {"zoned IPv6", "octal", "other spellings of numbers", "everybody is believed", "a protected address", "injected address", "delivery network"}
    assert not [name for name in never if counts[name]["limited"]]


def test_the_check_would_see_a_limited_address() -> None:
    good = _nginx_limit_text.Limit(None, [ipaddress.ip_network("198.51.100.0/24")], [], 1, 5, False, None)
    assert limited(_nginx_limit_text.content(good), attacks.MONITORING[0])
    assert limited(_nginx_limit_text.content(good), "::ffff:" + attacks.MONITORING[0])
    assert not LINES.match('    "~^/a";" 1;') and not LINES.match("    192.0.2.1 1; }")
