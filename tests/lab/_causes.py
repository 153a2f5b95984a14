# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What causes an incident: the steps that tests/incidents/*.yml are written in.

Each step is a function (host, spec) that leaves its undo on the host *before* it changes anything there.
"""

from __future__ import annotations

import json
import re
import shlex
import time
from pathlib import PurePosixPath
from typing import Any, Callable

from _common import LabError, engine, run, ssh
from _image import tag

UNDO = "/var/lib/lab-undo"
RELEASES = {"debian": "/usr/bin/", "pypi": "/srv/venv/bin/"}

UNIT = """[Unit]
Description={unit}
After=network.target redis-server.service

[Service]
User=www-data
WorkingDirectory=/srv/shop
{settings}
ExecStart={start}
Restart=always
RestartSec={restart_s}

[Install]
WantedBy=multi-user.target
"""

SITE = """log_format {name} {format};
server {{
    listen {port};
    access_log /var/log/nginx/{name}.log {name};
    location / {{
        proxy_set_header Host $host;
        proxy_read_timeout 120s;
        proxy_pass http://127.0.0.1:{upstream};
    }}
}}
"""

FORMATS = {
    "combined_like": "'$remote_addr - $remote_user [$time_local] \"$request\" $status $body_bytes_sent \"$http_referer\" \"$http_user_agent\"'",
    "timed": "'$remote_addr [$time_iso8601] \"$request\" $status $body_bytes_sent $request_time \"$http_user_agent\"'",
    "json": "escape=json '{\"time\":\"$time_iso8601\",\"client\":\"$remote_addr\",\"request\":\"$request\",\"status\":\"$status\","
            "\"bytes\":\"$body_bytes_sent\",\"request_time\":\"$request_time\"}'",
}


# Applications that an incident needs and the lab's image has not.
APPS = {
    # All workers together hold one table, each its share of it: how many of them there are changes nothing. The table is the unit's, and gone with it.
    "shared_table": """import os, threading, time
import work
from web import app

TABLE = os.environ["RUNTIME_DIRECTORY"] + "/table"


def siblings():
    with open("/proc/%d/task/%d/children" % (os.getppid(), os.getppid())) as stream:
        return max(len(stream.read().split()), 1)


def follow():
    while True:
        try:
            with open(TABLE) as stream:
                share = int(stream.read() or 0) // siblings()
        except OSError:
            share = 0
        if work.kept_mib() < share:
            work.keep(min(share - work.kept_mib(), 20))
        elif work.kept_mib() > share:
            del work.KEPT[share:]
        time.sleep(0.1)


threading.Thread(target=follow, daemon=True).start()
""",
}


class Host:
    """A host of the lab, changed only together with the undo of the change."""

    def __init__(self, name: str) -> None:
        self.name = name

    def sh(self, command: str, check: bool = True, stdin: bytes | None = None, timeout_s: float = 300) -> str:
        return ssh(self.name, command, check=check, stdin=stdin, timeout_s=timeout_s).stdout

    def undo(self, line: str) -> None:
        """Keep a shell line that `heal` runs, the last kept first."""
        self.sh("mkdir -p {0}; cat > {0}/$(printf %04d $(ls {0} | wc -l))".format(UNDO), stdin=line.encode() + b"\n")

    def write(self, path: str, text: str | bytes) -> None:
        self.undo("rm -f " + shlex.quote(path))
        content = text if isinstance(text, bytes) else text.encode()
        self.sh("mkdir -p {0}; cat > {1}".format(shlex.quote(str(PurePosixPath(path).parent)), shlex.quote(path)), stdin=content)


def _start_unit(host: Host, unit: str, text: str) -> None:
    host.undo("systemctl daemon-reload")
    host.write("/etc/systemd/system/" + unit, text)
    host.undo("systemctl stop {0}; systemctl reset-failed {0} 2>/dev/null || true".format(shlex.quote(unit)))
    host.sh("systemctl daemon-reload; systemctl start " + shlex.quote(unit))


def _settings(spec: dict[str, Any], more: list[str]) -> str:
    lines = list(more)
    if "memory_max_mib" in spec:
        lines.append("MemoryMax={0}M".format(spec["memory_max_mib"]))
    return "\n".join(lines)


def gunicorn(host: Host, spec: dict[str, Any]) -> None:
    """unit, workers, port, release: debian|pypi, style: flags|file|environment; optional memory_max_mib, restart_s, threads, app: a name of APPS."""
    name = spec["unit"].rsplit(".", 1)[0].replace("@", "-")
    module = "web"
    if "app" in spec:
        module = "of_" + re.sub("[^a-z0-9]", "_", name)
        host.write("/srv/shop/{0}.py".format(module), APPS[spec["app"]])
    program = RELEASES[spec["release"]] + "gunicorn"
    wanted = {"bind": "127.0.0.1:{0}".format(spec["port"]), "workers": spec["workers"], "timeout": 120}
    if "threads" in spec:
        wanted["threads"] = spec["threads"]
    flags = " ".join("--{0} {1}".format(*pair) for pair in wanted.items())
    more: list[str] = ["RuntimeDirectory=" + name] if "app" in spec else []
    if spec["style"] == "flags":
        start = "{0} {1} {2}:app".format(program, flags, module)
    elif spec["style"] == "file":
        path = "/etc/shop/{0}.conf.py".format(name)
        host.write(path, "".join("{0} = {1!r}\n".format(*pair) for pair in wanted.items()))
        start = "{0} -c {1} {2}:app".format(program, path, module)
    elif spec["style"] == "environment":
        path = "/etc/default/" + name
        host.write(path, "GUNICORN_CMD_ARGS=\"{0}\"\n".format(flags))
        more.append("EnvironmentFile=" + path)
        start = "{0} {1}:app".format(program, module)
    else:
        raise LabError("gunicorn: style {0} is unknown".format(spec["style"]))
    _start_unit(host, spec["unit"], UNIT.format(unit=name, settings=_settings(spec, more), start=start, restart_s=spec.get("restart_s", 2)))
    answers = "import urllib.request as u; u.urlopen('http://127.0.0.1:{0}/', timeout=30).read()".format(spec["port"])
    _until(lambda: ssh(host.name, "python3 -c {0}".format(shlex.quote(answers)), check=False).returncode == 0, 120, spec["unit"] + " answers")


def celery(host: Host, spec: dict[str, Any]) -> None:
    """unit, children, release, queue, db (of Redis); optional memory_max_mib."""
    name = spec["unit"].rsplit(".", 1)[0].replace("@", "-")
    more = ["Environment=BROKER_URL=redis://127.0.0.1:6379/{0}".format(spec["db"])]
    start = "{0}celery -A tasks worker --loglevel INFO {1} {2} -Q {3} -n {4}@%%h".format(
        RELEASES[spec["release"]], spec.get("flag", "--concurrency"), spec["children"], spec["queue"], name)
    # What waits in the queue goes with the incident, or the next one that draws the same number inherits it.
    host.undo("redis-cli -n {0} flushdb >/dev/null".format(spec["db"]))
    _start_unit(host, spec["unit"], UNIT.format(unit=name, settings=_settings(spec, more), start=start, restart_s=2))
    ready = "journalctl -u {0} --no-pager -o cat | grep -q ' ready\\.'".format(shlex.quote(spec["unit"]))
    _until(lambda: ssh(host.name, ready, check=False).returncode == 0, 120, spec["unit"] + " is ready")


def enqueue(host: Host, spec: dict[str, Any]) -> None:
    """db, queue, count, job: keyword arguments of the task shop.report."""
    host.sh("cd /srv/shop && /usr/bin/python3 -m enqueue redis://127.0.0.1:6379/{0} {1} {2} {3}".format(
        spec["db"], spec["queue"], spec["count"], shlex.quote(json.dumps(spec["job"]))))


def _background(host: Host, unit: str, command: str, for_s: int, properties: str = "") -> None:
    host.undo("systemctl stop {0} 2>/dev/null; systemctl reset-failed {0} 2>/dev/null || true".format(shlex.quote(unit)))
    host.sh("systemd-run --quiet --collect --unit={0} --property=RuntimeMaxSec={1} {2} {3}".format(shlex.quote(unit), for_s, properties, command))


def load(host: Host, spec: dict[str, Any]) -> None:
    """unit, for_s, groups or grow (see load.py); from_clients: name of the network that `clients` made."""
    asked = {key: value for key, value in spec.items() if key in ("for_s", "groups", "grow")}
    if "grow" in asked and asked["grow"]["pid"] == "a worker":
        found = host.sh("cat /proc/$(systemctl show --property MainPID --value {0})/task/*/children".format(shlex.quote(spec["of"]))).split()
        if not found:
            raise LabError("{0} has no workers on {1}".format(spec["of"], host.name))
        asked["grow"]["pid"] = int(found[len(found) // 2])
    inside = "ip netns exec {0} ".format(spec["from_clients"]) if "from_clients" in spec else ""
    _background(host, spec["unit"], "{0}/usr/bin/python3 /srv/shop/load.py {1}".format(inside, shlex.quote(json.dumps(asked))), spec["for_s"] + 10)


def nginx(host: Host, spec: dict[str, Any]) -> None:
    """name, port, upstream (port), format: combined_like|timed|json: a site of its own, with its own log."""
    host.undo("systemctl reload nginx.service; rm -f /var/log/nginx/{0}.log".format(spec["name"]))
    host.write("/etc/nginx/sites-enabled/{0}.conf".format(spec["name"]),
               SITE.format(name=spec["name"], format=FORMATS[spec["format"]], port=spec["port"], upstream=spec["upstream"]))
    host.sh("nginx -t -q && systemctl reload nginx.service")


def clients(host: Host, spec: dict[str, Any]) -> None:
    """name: a network of its own on the host where 192.88.99.0/24 live, so that clients have addresses that are not the host's."""
    name = spec["name"][:10]
    host.undo("ip netns delete {0}; ip link delete {1}0 2>/dev/null || true".format(spec["name"], name))
    host.sh("""set -e
ip netns add {0}
ip link add {1}0 type veth peer name {1}1
ip link set {1}1 netns {0}
ip address add 10.231.77.1/24 dev {1}0
ip link set {1}0 up
ip netns exec {0} ip link set lo up
ip netns exec {0} ip link set {1}1 up
ip netns exec {0} ip address add 10.231.77.2/24 dev {1}1
ip netns exec {0} ip route add local 192.88.99.0/24 dev lo
ip netns exec {0} ip route add default via 10.231.77.1
ip route add 192.88.99.0/24 via 10.231.77.2""".format(spec["name"], name))


def hog(host: Host, spec: dict[str, Any]) -> None:
    """unit, memory_max_mib: a job that takes more than its limit, is killed by the kernel once, and is gone."""
    take = "import time; kept = [bytearray(b'x') * 1048576 for number in range({0})]; time.sleep(60)".format(spec["memory_max_mib"] * 2)
    _background(host, spec["unit"], "/usr/bin/python3 -c " + shlex.quote(take), 60, "--property=MemoryMax={0}M".format(spec["memory_max_mib"]))


def neighbour_hog(host: Host, spec: dict[str, Any]) -> None:
    """memory_max_mib: the same in another container of the same machine, which is no host of the lab."""
    take = "kept = [bytearray(b'x') * 1048576 for number in range({0})]".format(spec["memory_max_mib"] * 2)
    done = run([engine(), "run", "--rm", "--network", "none", "--memory", "{0}m".format(spec["memory_max_mib"]),
                tag(), "python3", "-c", take], check=False)
    if done.returncode != 137:
        raise LabError("the neighbour was not killed (exit status {0}): {1}".format(done.returncode, done.stderr.strip()[-200:]))


def page_cache(host: Host, spec: dict[str, Any]) -> None:
    """unit, file_mib, memory_max_mib: a job with a limit that has read and written a file larger than it."""
    path = "/var/tmp/" + spec["unit"] + ".data"
    host.undo("rm -f " + shlex.quote(path))
    command = "dd if=/dev/zero of={0} bs=1M count={1} 2>/dev/null; sync {0}; while :; do cat {0} > /dev/null; sleep 30; done".format(path, spec["file_mib"])
    _background(host, spec["unit"], "/bin/sh -c " + shlex.quote(command), 900, "--property=MemoryMax={0}M".format(spec["memory_max_mib"]))


def background(host: Host, spec: dict[str, Any]) -> None:
    """unit, command (a shell's), for_s."""
    _background(host, spec["unit"], "/bin/sh -c " + shlex.quote(spec["command"]), spec["for_s"])


def python(host: Host, spec: dict[str, Any]) -> None:
    """unit, name, arguments, kept_mib, for_s: a Python process of this name and these arguments (\\xNN stands for a byte)."""
    name = spec["name"].encode().decode("unicode_escape").encode("latin-1")
    arguments = [text.encode().decode("unicode_escape").encode("latin-1") for text in spec["arguments"]]
    # The code stands in a file, so that the arguments come early in what a reader of the command line keeps of it.
    path = "/var/tmp/{0}.py".format(spec["unit"])
    body = ("import os, sys, time\n"
            "if sys.argv[1:] == ['start']:\n"
            "    os.execv('/usr/bin/python3', {0!r})\n"
            "open('/proc/self/comm', 'wb').write({1!r})\n"
            "kept = bytearray(b'x') * ({2} * 1048576)\n"
            "until = time.monotonic() + {3}\n"
            "while time.monotonic() < until:\n"
            "    sum(range(20000)); time.sleep(0.01)\n").format([name, path.encode(), *arguments], name[:15], spec["kept_mib"], spec["for_s"])
    host.write(path, body)
    _background(host, spec["unit"], "/usr/bin/python3 {0} start".format(path), spec["for_s"])


def table(host: Host, spec: dict[str, Any]) -> None:
    """unit, mib: what a unit with the application `shared_table` holds from now on, until it is stopped."""
    name = spec["unit"].rsplit(".", 1)[0].replace("@", "-")
    host.sh("echo {0} > /run/{1}/table".format(spec["mib"], shlex.quote(name)))


def cron(host: Host, spec: dict[str, Any]) -> None:
    """tab (a file of /etc/cron.d), script, for_s: a job of every minute that keeps a processor busy for so long."""
    host.undo("pkill -f '^/usr/bin/python3 {0}' || true".format(spec["script"]))
    host.write(spec["script"], "import time\nuntil = time.monotonic() + {0}\nwhile time.monotonic() < until:\n    sum(range(9999))\n".format(spec["for_s"]))
    host.write("/etc/cron.d/" + spec["tab"], "* * * * * www-data /usr/bin/python3 {0}\n".format(spec["script"]))
    host.sh("systemctl start cron.service")


def append(host: Host, spec: dict[str, Any]) -> None:
    """path, parts: list of {text, times} (\\xNN stands for a byte; {now} for nginx's $time_local) added to a file, as its owner would."""
    moment = time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime())
    content = b""
    for part in spec["parts"]:
        content += part["text"].replace("{now}", moment).encode().decode("unicode_escape").encode("latin-1") * part.get("times", 1)
    host.sh("cat >> " + shlex.quote(spec["path"]), stdin=content)


def stop(host: Host, spec: dict[str, Any]) -> None:
    """unit: stop it now, as an operator would."""
    host.sh("systemctl stop " + shlex.quote(spec["unit"]))


def wait(host: Host, spec: dict[str, Any]) -> None:
    """s: seconds; for what only time makes true."""
    time.sleep(spec["s"])


def _until(holds: Callable[[], bool], timeout_s: float, what: str) -> None:
    until = time.monotonic() + timeout_s
    while not holds():
        if time.monotonic() > until:
            raise LabError("not true after {0:.0f} s: {1}".format(timeout_s, what))
        time.sleep(0.5)


STEPS: dict[str, Callable[[Host, dict[str, Any]], None]] = {
    step.__name__: step
    for step in (gunicorn, celery, enqueue, load, nginx, clients, hog, neighbour_hog, page_cache, background, python, table, cron, append, stop, wait)
}
