# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Access logs: the nginx collector against the runbook's two pipelines (000:107 and 000:109), in wall time.

Each of ours is a whole process, interpreter start included, that finds nginx, reads its configuration and its log. The
runbook's run with mawk and LC_ALL=C, the fastest form of them. ``--full`` takes logs of 1.1 GB, which two of the goals are for.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import re
import statistics
import subprocess
import sys
import time
import typing as t
from pathlib import Path

import paired

CACHE = paired.ROOT / ".cache" / "bench"
NOW = 1700000000
CLIENTS = 50000
MIB = 1048576

RUNBOOK = """
mawk '{print $1}' "$0" | sort | uniq -c | sort -nr | head
mawk '{print $7}' "$0" | sort | uniq -c | sort -nr | head
"""

OURS = """
import json, resource, sys, time
sys.path.insert(0, %(path)r)
from ansible_collections.oncall.pressure.plugins.module_utils._components import _nginx
from ansible_collections.oncall.pressure.plugins.module_utils._host._collect import Options
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine
root, window, bounded = sys.argv[1], float(sys.argv[2]), sys.argv[3] == "bounded"
if not bounded:
    from ansible_collections.oncall.pressure.plugins.module_utils._parse import _traffic
    _traffic._CLIENTS = _traffic._PATHS = _traffic._PAIRS = _traffic._DETAILS = 10 ** 12
whole = window > 600
limits = (2 ** 60, 1e9) if whole else (_nginx.BYTES_LIMIT, _nginx.SECONDS_LIMIT)
started = time.perf_counter()
reading = _nginx.measure(Machine(root), Options(traffic_window_s=window), *limits)
row = reading.data["logs"][0]
seconds = time.perf_counter() - started
print(json.dumps({"seconds": seconds, "requests": reading.data["requests"], "lines": row["lines"], "unparsed": row["unparsed"],
                  "covered_s": reading.data["covered_s"],
                  "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, "error_bound": reading.data["error_bound"], "reason": reading.reason}))
"""

#: Our bytecode is kept, as that of an installed program would be; whether the caller's Python keeps any is not what is measured.
SETTLED = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(CACHE / "bytecode")}

#: A window that holds everything.
WHOLE = 400 * 86400.0

AGENTS = ["Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/%d.0.0.0 Safari/537.36" % version for version in range(90, 130)]
ROUTES = ("/", "/api/items/%d", "/users/%d/profile", "/static/app.js?v=%d", "/search?q=%d", "/api/orders/%d/lines")


def line(moment: float, client: str, target: str, status: str, size: int, agent: str) -> str:
    """One line of the combined format."""
    stamp = time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(moment))
    return '%s - - [%s] "GET %s HTTP/1.1" %s %d "https://shop.example/" "%s"\n' % (client, stamp, target, status, size, agent)


def ordinary(generator: random.Random) -> t.Callable[[float], str]:
    """Lines of 50,000 clients, few of them busy (by Zipf's law, as visitors of sites are), that ask for 9,000 targets of six routes."""
    parts = ((11, 200), (0, 255), (0, 255), (1, 254))
    clients = [".".join(str(generator.randint(*bounds)) for bounds in parts) for dummy in range(CLIENTS)]
    weights = list(itertools.accumulate(1 / rank for rank in range(1, CLIENTS + 1)))

    def make(moment: float) -> str:
        route = generator.choice(ROUTES)
        target = route % generator.randint(1, 3000) if "%" in route else route
        status = generator.choice(("200", "200", "200", "304", "404", "500"))
        return line(moment, generator.choices(clients, cum_weights=weights)[0], target, status, generator.randint(100, 50000), generator.choice(AGENTS))

    return make


def different(generator: random.Random) -> t.Callable[[float], str]:
    """Lines of which each has another client and another target."""
    numbers = iter(range(2**31))

    def make(moment: float) -> str:
        number = next(numbers)
        return line(moment, "10.%d.%d.%d" % (number >> 16, number >> 8 & 255, number & 255), "/p%x/%x" % (generator.getrandbits(40), number), "200", 99,
                    AGENTS[0])

    return make


def junk(generator: random.Random) -> bytes:
    """What should not be in a log."""
    kind = generator.randrange(8)
    if kind == 0:
        return b"\0" * generator.randrange(100, 5000)
    if kind == 1:
        return generator.randbytes(generator.randrange(100, 3000)).replace(b"\n", b" ")
    if kind == 2:
        return b"\xff\xfe\xc3(\xa0\xa1" * generator.randrange(10, 200)
    piece = generator.choice((b" - a", b'"', b"[", b"GET /a ", b"a, ", b'203.0.113.9 - - [14/Nov/2023:22:13:20 +0000] "GET /'))
    return b"203.0.113.9 - " + piece * generator.randrange(10, 3000 // len(piece))


def make_host(name: str, size: int, span_s: float, kind: t.Callable[[random.Random], t.Callable[[float], str]], hostile: float = 0.0) -> Path:
    """A folder laid out as a host on which nginx runs, with an access log of ``size`` bytes over ``span_s`` seconds; made once."""
    root = CACHE / ("%s-%d" % (name, size))
    log = root / "var/log/nginx/access.log"
    if (root / "made").exists():
        return root
    for folder in ("etc/nginx", "var/log/nginx", "proc/813"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    (root / "commands.json").write_text(json.dumps({"now": NOW, "commands": {}}))
    (root / "proc/uptime").write_text("1000.0 2000.0\n")
    (root / "proc/813/status").write_text("Name:\tnginx\nPPid:\t1\nNSpid:\t813\n")
    (root / "proc/813/comm").write_text("nginx\n")
    (root / "proc/813/cmdline").write_text("nginx: master process /usr/sbin/nginx\0")
    (root / "etc/nginx/nginx.conf").write_text("events {} http { access_log /var/log/nginx/access.log; server { listen 80; } }")
    generator = random.Random(7)
    make = kind(generator)
    written = 0
    with log.open("wb") as stream:
        while written < size:
            batch = [make(NOW - span_s + span_s * min(written / size, 1.0)).encode() for dummy in range(400)]
            if hostile:
                batch = [one if generator.random() > hostile else junk(generator) + b"\n" for one in batch]
                if generator.random() < 0.05:
                    batch.append(b"z" * generator.randrange(MIB, 4 * MIB) + b"\n")
            written += stream.write(b"".join(batch))
    (root / "made").write_text("")
    return root


def ours(root: Path, window: float, bounded: str = "bounded") -> list[str]:
    """The command that measures a host's traffic."""
    return [sys.executable, "-c", OURS % {"path": str(paired.ROOT / ".venv" / "collections")}, str(root), str(window), bounded]


def answer(root: Path, window: float, bounded: str = "bounded") -> dict[str, t.Any]:
    """What it measured."""
    done = subprocess.run(ours(root, window, bounded), check=True, stdout=subprocess.PIPE, env=dict(os.environ, **SETTLED))
    found: dict[str, t.Any] = json.loads(done.stdout)
    return found


def against_runbook(root: Path, window: float, pairs: int) -> dict[str, float]:
    """Wall time of ours over that of the two pipelines on the same log."""
    runbook = ["sh", "-c", RUNBOOK, str(root / "var/log/nginx/access.log")]
    return paired.ratio(paired.program(ours(root, window), **SETTLED), paired.program(runbook, LC_ALL="C"), pairs, lambda used: used.wall_s)


def collector_alone(root: Path, window: float, pairs: int) -> dict[str, float]:
    """The same without the start of an interpreter, which a snapshot's collectors share."""
    runbook = paired.program(["sh", "-c", RUNBOOK, str(root / "var/log/nginx/access.log")], LC_ALL="C")
    found = [(answer(root, window)["seconds"], paired.used(runbook).wall_s) for dummy in range(pairs)]
    return {"ratio": round(statistics.median(a / b for a, b in found), 4), "ours_s": round(statistics.median(a for a, dummy in found), 4),
            "theirs_s": round(statistics.median(b for dummy, b in found), 4), "pairs": pairs}


def row(what: str, goal: float, found: dict[str, float], **more: t.Any) -> dict[str, t.Any]:
    """One goal and what was measured."""
    return dict({"what": what, "goal": goal, "value": found["ratio"]}, **found, **more)


def counted(root: Path) -> dict[str, t.Any]:
    """Whether every line of a log is either a request or counted as one that cannot be read."""
    expected = 0
    with (root / "var/log/nginx/access.log").open("rb") as stream:
        last = b"\n"
        while True:
            data = stream.read(MIB)
            if not data:
                break
            # lines that are not empty
            expected += len(re.findall(rb"[^\n]\n", last[-1:] + data))
            last = data
    found = answer(root, WHOLE)
    missing = abs(expected - found["lines"]) + abs(found["lines"] - found["unparsed"] - found["requests"])
    return {"what": "hostile log: lines that were neither read nor counted", "goal": 0, "value": missing, "lines": expected, "unparsed": found["unparsed"]}


def main() -> None:
    """Make the logs, run the pairs, write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--size", type=int, default=112, help="size of the smaller log in MB (default %(default)s)")
    parser.add_argument("--full", action="store_true", help="also take a log ten times as big")
    parser.add_argument("--pairs", type=int, default=7)
    chosen = parser.parse_args()
    small_size, big_size = chosen.size * 1000000, chosen.size * (10000000 if chosen.full else 1000000)
    os.makedirs(CACHE, exist_ok=True)
    big = make_host("ordinary", big_size, 86400.0, ordinary)
    # as many requests a second as the big one, for a tenth of the time
    small = make_host("tenth", big_size // 10, 8640.0, ordinary)
    whole = make_host("ordinary", small_size, 86400.0, ordinary)
    hostile = make_host("hostile", small_size, 86400.0, ordinary, hostile=0.2)
    all_different = make_host("different", small_size, 86400.0, different)
    pairs = chosen.pairs
    ten_times = paired.ratio(
        paired.program(ours(big, 600.0), **SETTLED), paired.program(ours(small, 600.0), **SETTLED), pairs * 2 + 1, lambda used: used.wall_s)
    bounded = paired.ratio(
        paired.program(ours(all_different, WHOLE), **SETTLED), paired.program(ours(all_different, WHOLE, "unbounded"), **SETTLED), max(pairs // 2, 3),
        lambda used: used.wall_s)
    memory = answer(all_different, WHOLE)
    rows = [
        row("last ten minutes of a log of %d MB, against the runbook's pipelines" % (big_size // 1000000), round(1 / 150, 4) if chosen.full else 0.07,
            against_runbook(big, 600.0, max(pairs // 2, 3) if chosen.full else pairs)),
        row("the same, the collector alone (its interpreter has started)", round(1 / 150, 4) if chosen.full else 0.07,
            collector_alone(big, 600.0, max(pairs // 2, 3) if chosen.full else pairs)),
        row("same window, log ten times bigger (%d MB)" % (big_size // 1000000), 1.2, ten_times),
        row("whole log of %d MB, one process, against the runbook's pipelines" % (small_size // 1000000), 0.7, against_runbook(whole, WHOLE, pairs)),
        {"what": "all clients and paths different: peak memory in MiB", "goal": 32, "value": round(memory["peak_mib"], 1), "error_bound": memory["error_bound"],
         "unbounded_mib": round(answer(all_different, WHOLE, "unbounded")["peak_mib"], 1)},
        row("all clients and paths different: time against unbounded counting", 1.0, bounded),
        row("hostile log of %d MB, against the runbook's pipelines" % (small_size // 1000000), 1.2, against_runbook(hostile, WHOLE, pairs)),
        counted(hostile),
    ]
    paired.write("log", rows)


if __name__ == "__main__":
    main()
