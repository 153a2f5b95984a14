# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs in a container of its own: each configuration completed with stand-ins, started, limited, asked from elsewhere, and put back.

Says one JSON object a line: id, outcome (limited, refused, put back, unloadable, wrong), path, detail.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Dict, List, Tuple

from standins import ETC, HERE, ORIGINAL, complete, end_of, lay, sh, start, stop, test_config, workers

REPO = Path(__file__).resolve().parents[2]
#: The clients' addresses live in a network of their own: neither private nor this host's. Each has an IPv6 address too, with the same last number.
CLIENTS = ["192.88.99.%d" % number for number in range(10, 60)]
HERE_V6 = "2001:db8:77::1"
ASKED = 7
#: An nginx that the caller brought along.
OTHER = Path("/opt/nginx/nginx")

#: (address, port), name, TLS
Door = Tuple[Tuple[str, int], str, bool]
BURST = 2

SETUP = """
ip netns add c; ip link add c0 type veth peer name c1; ip link set c1 netns c
ip address add 10.231.77.1/24 dev c0; ip link set c0 up
ip netns exec c ip link set lo up; ip netns exec c ip link set c1 up
ip netns exec c ip address add 10.231.77.2/24 dev c1
ip netns exec c ip route add local 192.88.99.0/24 dev lo
ip netns exec c ip route add default via 10.231.77.1
ip route add 192.88.99.0/24 via 10.231.77.2
ip address add 2001:db8:77::1/64 dev c0 nodad; ip netns exec c ip address add 2001:db8:77::2/64 dev c1 nodad
for number in $(seq 10 59); do ip netns exec c ip address add 2001:db8:99::$number/128 dev lo nodad; done
ip netns exec c ip -6 route add default via 2001:db8:77::1
ip -6 route add 2001:db8:99::/64 via 2001:db8:77::2
openssl req -x509 -newkey rsa:2048 -nodes -keyout /var/tmp/key.pem -out /var/tmp/cert.pem -days 2 -subj /CN=stand-in 2>/dev/null
openssl dhparam -dsaparam -out /var/tmp/dh.pem 2048 2>/dev/null
"""


# asking

ASK = r"""
import json, socket, ssl, sys
from concurrent.futures import ThreadPoolExecutor
asked = json.loads(sys.argv[1])
context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE
def one(job):
    try:
        stream = socket.create_connection((job["host"], job["port"]), 3, source_address=(job["source"], 0) if job["source"] else None)
        if job["tls"]:
            stream = context.wrap_socket(stream, server_hostname=job["name"])
        stream.settimeout(2)
        stream.sendall(("GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n" % (job["path"], job["name"])).encode("latin-1"))
        data = stream.recv(4096)
        stream.close()
        return int(data.split(b" ", 2)[1]) if data.startswith(b"HTTP/") else 0
    except (OSError, ValueError, IndexError):
        return 0
with ThreadPoolExecutor(8) as pool:
    print(json.dumps(list(pool.map(one, asked))))
"""


def ask(jobs: List[Dict[str, object]]) -> List[int]:
    done = subprocess.run(["ip", "netns", "exec", "c", sys.executable, "-c", ASK, json.dumps(jobs)], stdout=subprocess.PIPE, check=True)
    return list(json.loads(done.stdout.decode()))


def doors() -> List[Door]:
    """(address and port, name, TLS) of everything that answers from outside: every port that nginx listens on, every name that its configuration has."""
    text = sh("nginx -T 2>/dev/null").stdout
    text = re.sub(r"^\s*#.*$", "", text, flags=re.MULTILINE)
    names = {"anything.invalid"}
    for line in re.findall(r"^\s*server_name\s+([^;]*);", text, re.MULTILINE):
        names |= {re.sub(r"^\*?\.", "www.", name.strip("\"'")) for name in line.split() if re.match(r"[A-Za-z0-9.*_-]+$", name) and not name.endswith("*")}
    places = set()
    for line in sh("ss -ltnpH | grep nginx").stdout.splitlines():
        host, dummy, port = line.split()[3].rpartition(":")
        if host in ("0.0.0.0", "*", "[::]"):
            places.add((HERE_V6 if host == "[::]" else HERE, int(port)))
        elif re.match(r"[0-9.]+$", host) and not host.startswith("127."):
            places.add((host, int(port)))
    found: List[Door] = []
    for place in sorted(places)[:8]:
        # a server may close the connection without a word (444): each name has to be asked
        for secure in (False, True):
            tried = [(place, name, secure) for name in sorted(names)[:12]]
            answers = ask([job(door, "/", CLIENTS[-1]) for door in tried])
            answered = [door for door, answer in zip(tried, answers) if answer and not (answer == 400 and not secure)]
            found += answered
            if answered:
                break
    return found[:24]


def job(door: Door, path: str, source: str) -> Dict[str, object]:
    if ":" in door[0][0]:
        source = "2001:db8:99::" + source.rpartition(".")[2]
    return {"host": door[0][0], "port": door[0][1], "name": door[1], "tls": door[2], "path": path, "source": source}


def statuses(where: List[Door], paths: List[str], source: str) -> Dict[str, List[List[int]]]:
    """The answers to some requests in a row, by path and door."""
    answers = ask([job(door, path, source) for path in paths for door in where for dummy in range(ASKED)])
    return by_path(where, paths, [answers[place: place + ASKED] for place in range(0, len(answers), ASKED)])


def unlimited(where: List[Door], paths: List[str]) -> Dict[str, List[List[int]]]:
    """One answer for each path and door, each door asked by another client: nobody asks often enough to be spared by the limit."""
    answers = ask([job(door, path, CLIENTS[16 + number % 32]) for path in paths for number, door in enumerate(where)])
    return by_path(where, paths, [[answer] for answer in answers])


def by_path(where: List[Door], paths: List[str], rows: List[List[int]]) -> Dict[str, List[List[int]]]:
    return {path: rows[place * len(where): (place + 1) * len(where)] for place, path in enumerate(paths)}


# the limit


def paths_of(rng: random.Random) -> List[str]:
    """A path that nothing was made for, and one of a location that the configuration has."""
    text = sh("nginx -T 2>/dev/null").stdout
    found = sorted(set(re.findall(r"^\s*location\s+(?:\^~\s+|=\s+)?(/[A-Za-z0-9/_.-]*)\s*\{", text, re.MULTILINE)) - {"/"})
    word = "%x" % rng.getrandbits(24)
    paths = ["/%s/export" % word]
    if found:
        chosen = rng.choice(found)
        paths.append(chosen if not chosen.endswith("/") else chosen + word)
    return paths


def limit(path: str):
    from ansible_collections.oncall.pressure.plugins.module_utils._change._arguments import Settings
    from ansible_collections.oncall.pressure.plugins.module_utils._change._engine import run_change
    from ansible_collections.oncall.pressure.plugins.module_utils._change._kinds import Refused
    from ansible_collections.oncall.pressure.plugins.module_utils._change._limits import Limits
    from ansible_collections.oncall.pressure.plugins.module_utils._controls import _nginx_limit
    from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine

    settings = Settings("", "test", "", 300.0, None, Limits(0.0, 0, 1.0, 0), False)
    try:
        plan = _nginx_limit.plan(Machine(), _nginx_limit.Wish(path, [], False, rate_per_s=1, burst=BURST, watch_s=0.0))
    except _nginx_limit.ByHand as problem:
        return {"refused": True, "msg": str(problem), "lines": problem.lines}
    except Refused as problem:
        return {"refused": True, "msg": str(problem)}
    return run_change(Machine(), settings, plan, check_mode=False, diff=False)


def take_back():
    from ansible_collections.oncall.pressure.plugins.module_utils._change import _closing
    from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine

    return _closing.take_back(Machine(), "", "", False, False)


def tree() -> str:
    return sh("cd /etc/nginx && find . -type f -exec sha256sum {} + | sort; find . -printf '%p %m %u %g\\n' | sort; nginx -T 2>/dev/null | sha256sum").stdout


def refusals(answers: List[int], before: List[int]) -> int:
    """How many answers are a limit's: 429, or 503 where that was not answered before."""
    return sum(1 for answer in answers if answer == 429 and 429 not in before or answer == 503 and 503 not in before)


def by_hand(result: Dict[str, object]) -> str:
    """Add the lines that a refusal names where it says, and see what nginx -t says of that; "" where it names none that can be added as they are."""
    lines = list(result.get("lines") or [])
    own = re.match(r"(\S+):(\d+) has a limit of its own", str(result["msg"]))
    if not lines or not any(line.startswith("limit_req_zone") for line in lines):
        return ""
    # links lead to files of packages, which are nobody's to write
    kept = {path: path.read_bytes() for path in ETC.rglob("*") if path.is_file() and not path.is_symlink()}
    try:
        if own:
            place = Path(own.group(1))
            text = place.read_text(encoding="utf-8", errors="surrogateescape").split("\n")
            row = int(own.group(2)) - 1
            text[row] = re.sub(r"\blimit_req\b", lambda found: lines[-1] + " limit_req", text[row], count=1)
            place.write_text("\n".join(text), encoding="utf-8", errors="surrogateescape")
            lines = lines[:-1]
        main = ETC / "nginx.conf"
        text = main.read_text(encoding="utf-8", errors="surrogateescape")
        opened = re.search(r"^\s*http\s*\{", text, re.MULTILINE)
        if opened is None:
            return ""
        place = end_of(text, opened.start(), False) - 1
        main.write_text(text[:place] + "\n" + "\n".join(lines) + "\n" + text[place:], encoding="utf-8", errors="surrogateescape")
        problem = test_config()
        return "WRONG lines by hand (%s): " % problem if problem else "(lines by hand are valid) "
    finally:
        for path, data in kept.items():
            path.write_bytes(data)
        sh("find /etc/nginx -exec touch -h -d @0 {} +")


def one_path(path: str, sources: List[str]) -> Tuple[str, str]:
    """(outcome, detail) of limiting one path in the nginx that runs."""
    where = doors() or doors()
    others = [path + "x", path.upper(), "/", path.rpartition("/")[0] + "/zz"]
    others = [other for other in others if other != path]
    before = unlimited(where, [path] + others)
    was, ran = tree(), workers()
    result = limit(path)
    if result.get("refused"):
        if tree() != was or workers() != ran:
            return "wrong", "refused, and something was changed: %s" % result["msg"]
        said = by_hand(result)
        return ("wrong" if said.startswith("WRONG") else "refused"), "%s%s" % (said, result["msg"])
    if result.get("failed"):
        if result.get("state") != "undone" or tree() != was:
            return "wrong", "failed and not put back: %s" % result.get("msg")
        return ("wrong" if "does not take the file" in result["msg"] or "no new workers" in result["msg"] else "put back"), result["msg"]
    problems = []
    if workers() & ran or not workers():
        problems.append("the old workers are there still")
    limited = [refusals(after, sooner) for after, sooner in zip(statuses(where, [path], sources[1])[path], before[path])]
    if not any(count >= ASKED - BURST - 2 for count in limited):
        problems.append("the path is not limited at any of %d doors: %s, before %s" % (len(where), limited, before[path][:3]))
    elsewhere = statuses(where, others, sources[2])
    for other in others:
        for door, after, sooner in zip(where, elsewhere[other], before[other]):
            if refusals(after, sooner):
                problems.append("%s is limited too at %s: %s, before %s" % (other, door, after, sooner))
    back = take_back()
    if back.get("failed"):
        problems.append("not put back: %s" % back.get("msg"))
    if tree() != was:
        problems.append("the files are not what they were")
    again = [refusals(after, sooner) for after, sooner in zip(statuses(where, [path], sources[3])[path], before[path])]
    if any(again):
        problems.append("it limits still, after it was taken away: %s" % again)
    if problems:
        return "wrong", "; ".join(problems)
    return "limited", "at %d of %d doors" % (sum(1 for count in limited if count), len(where))


def one(folder: Path, rng: random.Random) -> List[Dict[str, str]]:
    stop()
    sh("cp /var/tmp/hosts /etc/hosts")
    row = {"id": folder.name, "path": ""}
    began = time.monotonic()
    try:
        lay(folder)
        problem = complete() or start()
        if problem:
            return [dict(row, outcome="unloadable", detail=problem[:300])]
        sh("find /etc/nginx -exec touch -h -d @0 {} +")
        rows = []
        for number, path in enumerate(paths_of(rng)):
            outcome, detail = one_path(path, CLIENTS[number * 8: number * 8 + 8])
            rows.append(dict(row, path=path, outcome=outcome, detail=detail[:600], seconds=round(time.monotonic() - began, 1)))
        return rows
    except Exception as problem:
        return [dict(row, outcome="wrong", detail="%s: %s" % (type(problem).__name__, problem))]
    finally:
        stop()
        # those that would undo first: they are not to read a journal that is half gone
        for name in os.listdir("/proc"):
            try:
                if name.isdigit() and b"undo.pyz" in Path("/proc/%s/cmdline" % name).read_bytes():
                    os.kill(int(name), signal.SIGKILL)
            except OSError:
                continue
        sh("rm -rf /var/lib/oncall-pressure")


def other_program() -> None:
    """Have `nginx` be the other version, with the folders of the distribution's; modules of that are none of its."""
    text = "#!/bin/sh\nexec %s -p /var/lib/nginx/ -c /etc/nginx/nginx.conf \"$@\"\n" % OTHER
    path = Path("/usr/local/bin/nginx")
    path.write_text(text, encoding="ascii")
    path.chmod(0o755)
    for module in (ORIGINAL / "modules-enabled").iterdir():
        module.unlink()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--seed", type=int, required=True)
    arguments = parser.parse_args()
    parent = Path(tempfile.mkdtemp()) / "ansible_collections" / "oncall"
    parent.mkdir(parents=True)
    (parent / "pressure").symlink_to(REPO, target_is_directory=True)
    sys.path.insert(0, str(parent.parent.parent))
    sys.dont_write_bytecode = True
    shutil.copytree(str(ETC), str(ORIGINAL), symlinks=True)
    sh("cp /etc/hosts /var/tmp/hosts; set -e; " + SETUP)
    if OTHER.exists():
        other_program()
    print(json.dumps({"nginx": sh("nginx -v").stdout.strip().rpartition("/")[2]}), flush=True)
    for folder in arguments.folders:
        for row in one(folder, random.Random("%d %s" % (arguments.seed, folder.name))):
            print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
