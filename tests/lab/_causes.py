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

import _apps
import _apps_busy
from _common import LabError, engine, run, ssh
from _image import tag

UNDO = "/var/lib/lab-undo"
PSQL = "cd / && runuser -u postgres -- /usr/bin/psql -qX -v ON_ERROR_STOP=1"
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
    **_apps.WEB,
    **_apps_busy.WEB,
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
    if "nofile" in spec:
        lines.append("LimitNOFILE={0}".format(spec["nofile"]))
    # a percent sign is the service manager's
    lines += ["Environment=\"{0}={1}\"".format(*pair).replace("%", "%%") for pair in spec.get("environment", {}).items()]
    return "\n".join(lines)


def _module(host: Host, unit: str, text: str) -> str:
    """Put an application where its service finds it; returns the module's name."""
    module = "of_" + re.sub("[^a-z0-9]", "_", unit.rsplit(".", 1)[0])
    host.write("/srv/shop/{0}.py".format(module), text)
    return module


def gunicorn(host: Host, spec: dict[str, Any]) -> None:
    """unit, workers, port, release: debian|pypi, style: flags|file|environment; optional memory_max_mib, restart_s, threads, nofile, timeout,
    app: a name of APPS, environment: what it is told."""
    name = spec["unit"].rsplit(".", 1)[0].replace("@", "-")
    module = _module(host, spec["unit"], APPS[spec["app"]]) if "app" in spec else "web"
    program = RELEASES[spec["release"]] + "gunicorn"
    wanted = {"bind": "127.0.0.1:{0}".format(spec["port"]), "workers": spec["workers"], "timeout": spec.get("timeout", 120)}
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
    """unit, children, release, queue, db (of Redis); optional memory_max_mib, app: a name of _apps.TASKS."""
    name = spec["unit"].rsplit(".", 1)[0].replace("@", "-")
    module = _module(host, spec["unit"], {**_apps.TASKS, **_apps_busy.TASKS}[spec["app"]]) if "app" in spec else "tasks"
    more = ["Environment=BROKER_URL=redis://127.0.0.1:6379/{0}".format(spec["db"]), "Environment=QUEUE=" + spec["queue"]]
    start = "{0}celery -A {5} worker --loglevel INFO {1} {2} -Q {3} -n {4}@%%h".format(
        RELEASES[spec["release"]], spec.get("flag", "--concurrency"), spec["children"], spec["queue"], name, module)
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


def uvicorn(host: Host, spec: dict[str, Any]) -> None:
    """unit, port, workers, release, app: a name of _apps.ASGI, environment; optional memory_max_mib."""
    module = _module(host, spec["unit"], {**_apps.ASGI, **_apps_busy.ASGI}[spec["app"]])
    start = "{0}uvicorn --host 127.0.0.1 --port {1} --workers {2} {3}:app".format(RELEASES[spec["release"]], spec["port"], spec["workers"], module)
    _start_unit(host, spec["unit"], UNIT.format(unit=module, settings=_settings(spec, []), start=start, restart_s=2))
    answers = "import urllib.request as u; u.urlopen('http://127.0.0.1:{0}/', timeout=30).read()".format(spec["port"])
    _until(lambda: ssh(host.name, "python3 -c {0}".format(shlex.quote(answers)), check=False).returncode == 0, 120, spec["unit"] + " answers")


def service(host: Host, spec: dict[str, Any]) -> None:
    """unit, app: a name of _apps.PROGRAMS, environment; optional memory_max_mib: a Python program that is a service by itself."""
    module = _module(host, spec["unit"], _apps.PROGRAMS[spec["app"]])
    start = "/usr/bin/python3 /srv/shop/{0}.py".format(module)
    _start_unit(host, spec["unit"], UNIT.format(unit=module, settings=_settings(spec, ["OOMPolicy=continue"]), start=start, restart_s=spec.get("restart_s", 2)))


def queue_worker(host: Host, spec: dict[str, Any]) -> None:
    """kind: celery|rq, unit, children (of celery), release, queue, db: a worker that is sent its data in the messages."""
    if spec["kind"] == "celery":
        celery(host, dict(spec, app="takes_rows"))
        return
    _module(host, spec["unit"], _apps.TASKS["takes_rows"])
    start = "{0}rq worker --url redis://127.0.0.1:6379/{1} {2}".format(RELEASES[spec["release"]], spec["db"], spec["queue"])
    settings = _settings(dict(spec, environment={"PYTHONPATH": "/srv/shop"}), [])
    host.undo("redis-cli -n {0} flushdb >/dev/null".format(spec["db"]))
    _start_unit(host, spec["unit"], UNIT.format(unit=spec["queue"], settings=settings, start=start, restart_s=2))
    listens = "journalctl -u {0} --no-pager -o cat | grep -q 'Listening on'".format(shlex.quote(spec["unit"]))
    _until(lambda: ssh(host.name, listens, check=False).returncode == 0, 120, spec["unit"] + " listens")


def push(host: Host, spec: dict[str, Any]) -> None:
    """kind: celery|rq, of (the unit of its queue_worker), db, queue, count, kib, sleep_s: messages that hold so much each."""
    module = "of_" + re.sub("[^a-z0-9]", "_", spec["of"].rsplit(".", 1)[0])
    if spec["kind"] == "celery":
        code = ("import os; from celery import Celery; app = Celery('shop', broker='redis://127.0.0.1:6379/{db}')\n"
                "for unused in range({count}): app.send_task('shop.rows', kwargs=dict(data=os.urandom({kib} * 512).hex(), sleep_s={sleep_s}), queue='{queue}')")
    else:
        code = ("import os; from rq import Queue; from redis import Redis; queue = Queue('{queue}', connection=Redis(db={db}))\n"
                "for unused in range({count}): queue.enqueue('{module}.rows', data=os.urandom({kib} * 1024), sleep_s={sleep_s}, job_timeout=600)")
    host.sh("/usr/bin/python3 -c " + shlex.quote(code.format(module=module, **spec)))


def redis(host: Host, spec: dict[str, Any]) -> None:
    """unit, port, maxmemory_mib, policy, percent, value_kib: a Redis of its own that holds so much of what it may."""
    start = ("/usr/bin/redis-server --bind 127.0.0.1 --port {port} --maxmemory {maxmemory_mib}mb --maxmemory-policy {policy} --save '' --appendonly no"
             ).format(**spec)
    _start_unit(host, spec["unit"], UNIT.format(unit=spec["policy"], settings="", start=start, restart_s=2))
    _until(lambda: "PONG" in host.sh("redis-cli -p {0} ping || true".format(spec["port"])), 60, spec["unit"] + " answers")
    # half of what is missing at a time: few questions, and never too much
    code = ("import os; from redis import Redis; server = Redis(port={port}); number = 0; most = {maxmemory_mib} * 1048576 * {percent} / 100\n"
            "while (left := most - server.info('memory')['used_memory']) > 0:\n"
            "    for unused in range(int(left / ({value_kib} * 1280) / 2) + 1): server.set('basket:%d' % number, os.urandom({value_kib} * 1024)); number += 1")
    host.sh("/usr/bin/python3 -c " + shlex.quote(code.format(**spec)))


def sessions(host: Host, spec: dict[str, Any]) -> None:
    """unit, count, application, query: a service that holds so many sessions of the host's PostgreSQL, each after this query."""
    host.undo("runuser -u postgres -- psql -qc 'DROP ROLE \"www-data\"'")
    host.sh("runuser -u postgres -- psql -qc 'CREATE ROLE \"www-data\" LOGIN'")
    service(host, {"unit": spec["unit"], "app": "holds_sessions",
                   "environment": {"SESSIONS": spec["count"], "APPLICATION": spec["application"], "QUERY": spec["query"]}})


def timer(host: Host, spec: dict[str, Any]) -> None:
    """unit, hour, minute, app: a name of _apps.PROGRAMS, environment: a job of every night, begun now."""
    module = _module(host, spec["unit"], _apps.PROGRAMS[spec["app"]])
    start = "/usr/bin/python3 /srv/shop/{0}.py".format(module)
    name = spec["unit"].rsplit(".", 1)[0]
    host.undo("systemctl daemon-reload")
    host.write("/etc/systemd/system/" + spec["unit"],
               "[Service]\nType=oneshot\nUser=www-data\nTimeoutStartSec=3600\n{0}\nExecStart={1}\n".format(_settings(spec, []), start))
    host.write("/etc/systemd/system/{0}.timer".format(name),
               "[Timer]\nOnCalendar=*-*-* {0:02}:{1:02}:00\nOnActiveSec=1\nAccuracySec=1\n".format(spec["hour"], spec["minute"]))
    host.undo("systemctl stop {0}.timer {0}.service; systemctl reset-failed {0}.service 2>/dev/null || true".format(shlex.quote(name)))
    host.sh("systemctl daemon-reload; systemctl start {0}.timer".format(shlex.quote(name)))


def waves(host: Host, spec: dict[str, Any]) -> None:
    """unit, for_s, on_s, off_s, groups (see load.py): requests that come for a while and stay away for a while, in turn."""
    once = "/usr/bin/python3 /srv/shop/load.py {0}".format(shlex.quote(json.dumps({"for_s": spec["on_s"], "groups": spec["groups"]})))
    _background(host, spec["unit"], "/bin/sh -c " + shlex.quote("while :; do {0}; sleep {1}; done".format(once, spec["off_s"])), spec["for_s"])


def more_workers(host: Host, spec: dict[str, Any]) -> None:
    """unit (of what tells), of (of gunicorn), count, after_s: gunicorn is told to have so many workers more, in a while."""
    command = "sleep {after_s}; for number in $(seq {count}); do systemctl kill --kill-who=main --signal=TTIN {of}; sleep 0.5; done".format(**spec)
    _background(host, spec["unit"], "/bin/sh -c " + shlex.quote(command), spec["after_s"] + 60)


def restart(host: Host, spec: dict[str, Any]) -> None:
    """unit: started anew, as by whoever deploys it."""
    host.sh("systemctl restart " + shlex.quote(spec["unit"]))


def beat(host: Host, spec: dict[str, Any]) -> None:
    """unit, of: the unit of a worker with an application of its own, queue, db (of Redis), release, as: beat (alone) or worker (one that schedules too):
    a scheduler of that worker's application."""
    module = "of_" + re.sub("[^a-z0-9]", "_", spec["of"].rsplit(".", 1)[0])
    name = spec["unit"].rsplit(".", 1)[0].replace("@", "-")
    program = RELEASES[spec["release"]] + "celery -A " + module
    schedule = "-s /run/{0}/schedule --loglevel INFO".format(name)
    start = {"beat": "{0} beat {1}", "worker": "{0} worker -B {1} --concurrency 1 -Q {2} -n {3}@%%h"}[spec["as"]].format(program, schedule, spec["queue"], name)
    more = ["RuntimeDirectory=" + name, "Environment=QUEUE=" + spec["queue"], "Environment=BROKER_URL=redis://127.0.0.1:6379/{0}".format(spec["db"])]
    _start_unit(host, spec["unit"], UNIT.format(unit=name, settings=_settings(spec, more), start=start, restart_s=2))


def send(host: Host, spec: dict[str, Any]) -> None:
    """db, queue, task, count: so many messages for a task without arguments."""
    script = "import sys\nfrom celery import Celery\nfor n in range({0}): Celery(broker=sys.argv[1]).send_task(sys.argv[3], queue=sys.argv[2])"
    words = ["/usr/bin/python3", "-c", script.format(spec["count"]), "redis://127.0.0.1:6379/{0}".format(spec["db"]), spec["queue"], spec["task"]]
    host.sh(" ".join(map(shlex.quote, words)))


def postgres(host: Host, spec: dict[str, Any]) -> None:
    """database, sql: statements that make what is in it."""
    host.undo("{0} -c 'drop database if exists {1} with (force)' -c 'drop role if exists \"www-data\"'".format(PSQL, spec["database"]))
    host.sh("{0} -c 'create role \"www-data\" login' -c 'create database {1} owner \"www-data\"'".format(PSQL, spec["database"]))
    host.sh("{0} -d {1}".format(PSQL, spec["database"]), stdin='set role "www-data";\n{0};\n'.format(spec["sql"]).encode())


def session(host: Host, spec: dict[str, Any]) -> None:
    """unit, application, database, sql, for_s: a session of psql that runs this and stays, with whatever it has begun."""
    command = "(echo {0}; sleep {1}) | PGAPPNAME={2} psql -qX -d {3}".format(shlex.quote(spec["sql"]), spec["for_s"], spec["application"], spec["database"])
    _background(host, spec["unit"], "/bin/sh -c " + shlex.quote(command), spec["for_s"], "--property=User=postgres")


def outside(host: Host, spec: dict[str, Any]) -> None:
    """unit, network (that `clients` made), address, port, way: slow (answers after `after_s` seconds) or silent (takes no connection): somebody else's
    service, which is reached over the network."""
    slow = ("import socket, threading, time, sys\n"
            "def serve(one):\n"
            "    time.sleep({0}); one.sendall(b'HTTP/1.0 200 OK\\r\\n\\r\\n1.0\\n'); one.close()\n"
            "door = socket.create_server((sys.argv[1], int(sys.argv[2])), backlog=200)\n"
            "while True:\n"
            "    threading.Thread(target=serve, args=door.accept()[:1], daemon=True).start()\n").format(spec["after_s"])
    # a queue that is full drops who knocks, as a packet filter does
    silent = ("import socket, time, sys\n"
              "door = socket.create_server((sys.argv[1], int(sys.argv[2])), backlog=0)\n"
              "kept = [socket.create_connection(door.getsockname())]\n"
              "time.sleep(3600)\n")
    command = "ip netns exec {0} /usr/bin/python3 -c {1} {2} {3}".format(
        spec["network"], shlex.quote({"slow": slow, "silent": silent}[spec["way"]]), spec["address"], spec["port"])
    _background(host, spec["unit"], command, 900)


def _until(holds: Callable[[], bool], timeout_s: float, what: str) -> None:
    until = time.monotonic() + timeout_s
    while not holds():
        if time.monotonic() > until:
            raise LabError("not true after {0:.0f} s: {1}".format(timeout_s, what))
        time.sleep(0.5)


STEPS: dict[str, Callable[[Host, dict[str, Any]], None]] = {
    step.__name__: step
    for step in (gunicorn, celery, enqueue, load, nginx, clients, hog, neighbour_hog, page_cache, background, python, table, cron, append, stop, wait,
                 uvicorn, service, queue_worker, push, redis, sessions, timer, waves, more_workers, restart,
                 beat, send, postgres, session, outside)
}
