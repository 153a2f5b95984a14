# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is fed: every parser of what a host says, by the module it lies in, with samples of what the real program writes.

A parser is one row: its name is MODULE.FUNCTION, ``call`` takes text. It may raise what ``errors`` names and nothing else.
"""

from __future__ import annotations

import datetime
import io
import json
from typing import Any, Callable, NamedTuple

from ansible_collections.oncall.pressure.plugins.module_utils._host import _text, _unix_http
from ansible_collections.oncall.pressure.plugins.module_utils._parse import (
    _access_log,
    _addresses,
    _broker_url,
    _cgroup,
    _command_line,
    _command_options,
    _command_text,
    _command_wrappers,
    _connections,
    _cron_command,
    _cron_log,
    _crontab,
    _engine_api,
    _health_url,
    _history,
    _job_files,
    _journal_export,
    _kernel_alarms,
    _kernel_oom,
    _log_format,
    _log_line,
    _log_signals,
    _log_tally,
    _log_template,
    _log_time,
    _memory_history,
    _nginx_config,
    _postgres,
    _postgres_dsn,
    _proc,
    _python_literals,
    _redis_info,
    _request_path,
    _resp,
    _rewrite_command,
    _rewrite_files,
    _shell_words,
    _sockets,
    _sql_text,
    _stack_dump,
    _supervisor_conf,
    _sysstat,
    _traffic,
    _unit_file,
    _userspace_oom,
)


class Target(NamedTuple):
    """One parser: how it is called with a text, samples, what it may raise."""

    name: str
    call: Callable[[str], Any]
    seeds: tuple[str, ...]
    errors: tuple[type[Exception], ...] = ()


def raw(text: str) -> bytes:
    """Bytes of a text as a program of another encoding may write them: no UTF-8."""
    return text.encode("utf-8").replace(b"\xc3\xa9", b"\xe9")


COMMANDS = (
    "/usr/bin/gunicorn --workers 4 --bind unix:/run/shop.sock -k uvicorn.workers.UvicornWorker shop.wsgi:app", "gunicorn -w4 -t 30 'shop:create_app()'",
    "/srv/shop/venv/bin/celery -A shop worker -c 8 --autoscale=10,3 -Q default,mail --max-tasks-per-child 100 -n w1@%h",
    "uvicorn shop:app --host 0.0.0.0 --port 8000 --workers ${WEB_CONCURRENCY:-4} --limit-max-requests 1000", "rq worker-pool -n 4 high default",
    "/bin/bash -c 'cd /srv/shop && exec gunicorn -c gunicorn.conf.py shop:app'", "python3 -m celery multi start w1 w2 -A shop -c:w1 3 --pidfile=/run/%n.pid",
    "env -i PATH=/bin nice -n 5 ionice -c3 timeout 1h flock -n /tmp/l chpst -u www:www gunicorn shop", "sudo -u app -H hypercorn shop:app -w 2",
)
HTTP = (
    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n1a\r\n[{\"Id\": \"3f6d1b5ad292\"}] \n\r\n0\r\n\r\n",
    "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 404 Not Found\r\nContent-Length: 12\r\nConnection: close\r\n\r\n{\"a\": \"b c\"}", "HTTP/1.0 200 OK\r\n\r\n{}",
)
UNITS = (
    "[Unit]\nDescription=Shop\n[Service]\nUser=app\nEnvironment=\"A=1 2\" 'B=%h' C=3\nEnvironmentFile=-/etc/default/shop\nExecStart=\n"
    "ExecStart=!/usr/bin/gunicorn \\\n  # a comment\n  --workers 4 \\\n  shop:app\nMemoryMax=512M\nRestart=always\n",
    "[Service]\nExecStart=/bin/sh -c \"exec celery -A shop worker -c $${N}\"\nEnvironment=WEB_CONCURRENCY=3\nTimeoutStopSec=1min 30s\n",
)
SUPERVISOR = (
    "[supervisord]\nlogfile=/var/log/s.log ; a comment\n[include]\nfiles = conf.d/*.conf\n[program:web]\ncommand=gunicorn -w 4 shop:app\nnumprocs=2\n"
    "process_name=%(program_name)s_%(process_num)02d\nenvironment=A=\"1,2\",B='%(ENV_HOME)s'\nautostart=true\n",
    "[program:jobs]\ncommand = celery -A shop worker\n  -c 3\nuser=app\n[group:all]\nprograms=web,jobs\n",
)
NGINX = (
    "user www-data;\nevents { worker_connections 768; }\nhttp {\n log_format main '$remote_addr - $remote_user [$time_local] \"$request\" $status';\n"
    " access_log /var/log/nginx/access.log main;\n include /etc/nginx/conf.d/*.conf;\n"
    " server { listen 80; location ~ ^/api/(\\d+)$ { proxy_pass http://up; } }\n}\n",
    "http { map $uri $k { default \"\"; ~^/a \"x;y\"; } limit_req_zone $k zone=a:1m rate=5r/s; content_by_lua_block { if x then y = \"}\" end } # end\n}\n",
    "stream { } http { server_name_in_redirect off; set_real_ip_from 10.0.0.0/8; upstream u { server 10.0.0.1:80; server unix:/run/x.sock; } }",
)
ACCESS = (
    "203.0.113.9 - - [12/Jan/2026:08:30:01 +0000] \"GET /api/items/42?page=2 HTTP/1.1\" 200 512 \"-\" \"curl/8.0\"\n",
    "::ffff:1.2.3.4 - bob [12/Jan/2026:08:30:02 +0100] \"POST /login HTTP/1.1\" 429 0 \"https://x/\" \"Mozilla \\x22q\\x22\"\n"
    "10.0.0.1 - - [12/Jan/2026:08:30:02 +0000] \"\\x16\\x03\\x01\" 400 150 \"-\" \"-\"\n",
)
CRONTABS = (
    "SHELL=/bin/sh\nMAILTO=\"\"\n# m h dom mon dow command\n*/5 * * * * root /usr/bin/flock -n /tmp/x /srv/import --all > /dev/null 2>&1\n"
    "@daily root test -x /a && /a %in\n",
    "0 3 1-15/2 jan,feb mon-fri cd / && run-parts --report /etc/cron.daily\n\r\n@reboot /bin/true\n17 * * * *\troot    cd / ; x\\%y\n",
)
CRON_LOG = (
    "Nov 28 07:36:01 web-3 CRON[22121]: pam_unix(cron:session): session opened for user nobody(uid=65534) by (uid=0)\n"
    "Nov 28 07:36:01 web-3 CRON[22126]: (nobody) CMD (  sleep 3; true )\nNov 28 07:36:04 web-3 CRON[22121]: pam_unix(cron:session): session closed for user "
    "nobody\n", "2026-11-28T07:36:01.5+00:00 web-3 CROND[7]: (root) CMD (run-parts /etc/cron.hourly)\n(root) CMDEND (run-parts /etc/cron.hourly)\n",
    "(root) CMD ([12160] cd / && run-parts --report /etc/cron.hourly)\n(root) END ([12160] cd / && run-parts --report /etc/cron.hourly)\n",
)
JOB_FILES = (
    "#!/bin/sh\n# atrun uid=0 gid=0\numask 22\nA=b; export A\ncd /root || {\n\t echo 'Execution directory inaccessible' >&2\n\t exit 1\n}\necho a\n",
    "SHELL=/bin/sh\n1\t5\tcron.daily\trun-parts --report /etc/cron.daily\n@monthly\t15\tcron.monthly\trun-parts /etc/cron.monthly\n", "a0000101c8b618 20261128",
)
ALARMS = (
    "6,238704,29024639622,-;python3[3180]: segfault at 0 ip 00007fd67c075219 sp 00007ffd295e1b08 error 4 in libc.so.6[156219,7fd67bf45000+156000]\n"
    "3,9,8,-;INFO: task jbd2/sda1-8:412 blocked for more than 120 seconds.\n"
    "0,9,8,-;watchdog: BUG: soft lockup - CPU#1 stuck for 22s! [kworker/1:3:812]\n"
    "4,9,8,-;kworker/u8:0: page allocation failure: order:4, mode:0xcc0(GFP_KERNEL), nodemask=(null)\n",
    "3,9,8,-;I/O error, dev sdb, sector 1953524992 op 0x0:(READ)\n6,9,8,-;cgroup: fork rejected by pids controller in /system.slice/shop-web.service\n",
)
OOM = (
    "[ 1234.567890] gunicorn invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0\n"
    "[ 1234.567899] oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,oom_memcg=/system.slice/shop.service,"
    "task_memcg=/system.slice/shop.service,task=gunicorn,pid=4242,uid=1000\n"
    "[ 1234.567901] Memory cgroup out of memory: Killed process 4242 (gunicorn) total-vm:421000kB, anon-rss:399000kB, file-rss:0kB, shmem-rss:0kB, UID:1000 "
    "pgtables:900kB oom_score_adj:0\n",
    "Jan 12 08:30:01 web-3 kernel: [99.1] Out of memory: Kill process 77 (python3) score 801 or sacrifice child\n"
    "Jan 12 08:30:01 web-3 kernel: [99.2] Killed process 77 (python3) "
    "total-vm:1kB, anon-rss:1kB, file-rss:0kB\n",
    "6,1234,5678901234,-;oom_reaper: reaped process 4242 (gunicorn), now anon-rss:0kB, file-rss:0kB, shmem-rss:0kB\n",
    "{\"MESSAGE\": \"Killed process 1 (a b) total-vm:1kB\", \"__REALTIME_TIMESTAMP\": \"1768206601000000\", \"_TRANSPORT\": \"kernel\"}\n",
    "Jan 12 08:30:01 h systemd-oomd[700]: Killed /system.slice/shop.service due to memory pressure for /system.slice being 85.0% > 60.0% for > 20s\n"
    "earlyoom[1]: sending SIGTERM to process 7 uid 3 \"py thon\": badness 801, VmRSS 10 MiB\n",
)
STACKS = (
    "Process 10524: python serve.py\nPython v3.11.7 (/usr/bin/python3.11)\n\nThread 10524 (active+gil): \"MainThread\"\n"
    "    _make_iterencode.<locals>._iterencode (json/encoder.py:430)\n    report (serve.py:5)\n    <module> (serve.py:6)\n"
    "Thread 0x7F12 (idle): \"report (a: b)\"\n    wait (threading.py:327)\n",
    "\u2514\u2500\u2500 (T) Task-1\n    \u2514\u2500\u2500  main /srv/shop/serve.py:13\n        \u251c\u2500\u2500 (T) first\n"
    "        \u2502   \u2514\u2500\u2500  fetch /srv/shop/serve.py:8\n",
)
STAT = ("4242 (gunicorn: a) b) S 1 4242 4242 0 -1 4194560 100 0 0 0 5 6 7 8 20 0 1 0 777 10000000 2500 "
        " 18446744073709551615 1 1 0 0 0 0 0 16781312 134235651\n",)
TABLES = (
    "MemTotal:       16384000 kB\nMemAvailable:    9000000 kB\nHugePages_Total:       0\nVmallocTotal:   34359738367 kB\n",
    "oom_kill 3\npgfault 77\npswpin 1\n",
    "cpu  1 2 3 4 5 6 7 8 9 10\ncpu0 1 2 3\nbtime 1768206601\nctxt 99\nprocs_running 3\n", "0.50 0.40 0.30 3/512 4242\n",
    "some avg10=1.50 avg60=0.40 avg300=0.10 total=12345\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n",
    "   8       0 sda 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17\n 259 0 nvme0n1 1 0 8 1 0 0 0 0 0 4 1\n",
    "sockets: used 297\nTCP: inuse 11 orphan 2 tw 5 alloc 14 mem 3\n", "Max open files            1024                 524288               files\n",
    "Tcp: RtoAlgorithm RtoMin CurrEstab\nTcp: 1 200 5\nTcpExt: ListenOverflows ListenDrops\nTcpExt: 7 9\n",
    "24 30 0:22 / /proc rw,nosuid shared:12 - proc proc rw\n30 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n",
)
TCP = (
    "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
    "   0: 0100007F:1F40 00000000:0000 0A 00000000:00000080 00:00000000 00000000  1000        0 77 1 0000000000000000 100 0 0 10 0\n"
    "   1: 0000000000000000FFFF00000100007F:1F40 00000000000000000000000001000000:C350 01 00000000:00000000 00:00000000 00000000 0 0 78 1\n",
)
CGROUPS = (
    "0::/system.slice/shop-web.service\n", "12:memory:/docker/3f6d1b5ad2923f6d1b5ad2923f6d1b5ad2923f6d1b5ad2923f6d1b5ad2923f6d\n11:cpu,cpuacct:/x:y/z\n",
    "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod0a1b.slice/cri-containerd-3f6d1b5ad292.scope",
    "max 100000", "200000 100000", "max", "9223372036854771712",
    "anon 1\ninactive_file 2\noom_kill 3\n", "/user.slice/user-1000.slice/session-2.scope",
)
PYTHON = (
    "import multiprocessing\nworkers = multiprocessing.cpu_count() * 2 + 1\nbind = '0.0.0.0:80'\ntimeout: int = 30\nmax_requests = 1_000\nraw_env = ['A=1']\n",
    "workers = 4  # four\nif True:\n    workers = 5\nworker_class = \"gthread\"\nthreads = -2\nx, workers = 1, 2\n",
)
ENVIRONMENT = ("# c\nA=1\nexport B='two words'\nC=\"a\\\"b $HOME\"\nWEB_CONCURRENCY=4\n\nGUNICORN_CMD_ARGS=\"--workers=3 --timeout 9\"\n",)
SHOWN = ("Id=shop.service\nExecStart={ path=/bin/sh ; argv[]=/bin/sh -c exec gunicorn ; ignore_errors=no ; start_time=[n/a] ; pid=0 }\n"
         "NRestarts=3\n\nId=b.service\n",
         "MemoryMax=infinity\nLastTriggerUSec=Sat 2026-11-21 11:34:40 UTC\nNextElapseUSecMonotonic=1h 5min 3.5s\n")
FIB = ("Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 127.0.0.1\n        /32 host LOCAL\n     |-- 10.0.0.0\n        /8 universe UNICAST\n",)
FORMATS = ("$remote_addr - $remote_user [$time_local] \"$request\" $status $body_bytes_sent \"$http_referer\" \"$http_user_agent\"",
           "{\"t\":\"$time_iso8601\",\"a\":\"$remote_addr\",\"u\":\"$request_uri\",\"s\":$status,\"d\":$request_time}", "$msec\t${remote_addr}$status $uri")
ADDRESSES = ("203.0.113.9", "::ffff:10.0.0.1", "fe80::1%eth0", "10.0.0.0/8", "2001:db8::/129", "0x7f.1", "unix:", "127.1", "010.0.0.1")
PATHS = ("/api/items/42?page=2", "/u/3f6d1b5a-d292-4b5a-9d92-3f6d1b5ad292/x", "/static/app.3f6d1b5ad292.js", "//..%2f%2e/%00?a=b#c", "http://h/x", "*")
INSPECTED = (
    json.dumps({
        "Id": "3f6d1b5ad292", "Name": "/shop-web-1", "RestartCount": 3,
        "State": {"Status": "exited", "ExitCode": 137, "OOMKilled": True, "Pid": 0, "StartedAt": "2026-01-12T08:30:01.123456789Z",
                  "FinishedAt": "0001-01-01T00:00:00Z", "Health": {"Status": "unhealthy", "FailingStreak": 7}},
        "HostConfig": {"Memory": 268435456, "NanoCpus": 500000000, "PidsLimit": None},
        "Config": {"Image": "shop:1", "Cmd": ["gunicorn", "shop:app"], "Labels": {"com.docker.compose.project": "shop"}},
    }),
    json.dumps([{"Id": "3f6d1b5ad292", "Names": ["/a"], "State": "running", "Created": 1768206601}]), json.dumps({"ApiVersion": "1.41", "message": "no"}),
)
RESP = ("+PONG\r\n", "-NOAUTH Authentication required.\r\n", ":42\r\n$5\r\nhello\r\n*2\r\n$-1\r\n*1\r\n:1\r\n", "$0\r\n\r\n")
REDIS_INFO = (
    "# Memory\r\nused_memory:1048576\r\nmaxmemory:0\r\nmem_fragmentation_ratio:1.52\r\n"
    "# Keyspace\r\ndb0:keys=3,expires=1,avg_ttl=0\r\nredis_version:7.0.15\r\n",
    "port 6379\nrequirepass \"a b\\x41\"\nuser default on >x ~* +@all\nunixsocket '/run/redis/redis.sock'\n# c\ninclude /etc/redis/*.conf\n",
)
SQL = (
    "SELECT * FROM orders WHERE id IN (1, 2, 3) AND name = 'O''Brien' -- c\n AND note = $tag$ a $$ b $tag$ AND x = E'a\\'b' LIMIT 10",
    "/* a /* b */ c */ UPDATE \"Order\" SET paid = true, sum = 1.5e-3 WHERE token = U&'d!0061t' AND k = $1;",
)
POSTGRES = (
    "postgres: shop shop_prod 10.0.0.7(51234) idle in transaction", "postgres: 15/main: app db [local] SELECT waiting", "postgres: checkpointer ",
    "812\n/var/lib/postgresql/15/main\n1768206601\n5432\n/var/run/postgresql\nlocalhost\n  5432001         0\nready   \n",
    "pressure:sessions [{\"pid\": 1, \"query\": \"53454c454354\"}]\nERROR:  permission denied\n",
)
LOGS = (
    "[2026-01-12 08:30:01 +0000] [7] [CRITICAL] WORKER TIMEOUT (pid:4242)",
    "[2026-01-12 08:30:01,123: INFO/MainProcess] Task shop.tasks.charge[3f6d1b5a] received",
    "2026/01/12 08:30:01 [error] 7#7: *42 upstream timed out (110: Connection timed out) while reading "
    "response header from upstream, upstream: \"http://10.0.0.1:80/\"",
    "Traceback (most recent call last):\n  File \"a.py\", line 1, in <module>\nValueError: x", "OSError: [Errno 24] Too many open files",
    "2026-01-12 08:30:01.123 UTC [812] FATAL:  sorry, too many clients already", "{\"level\": \"debug\", \"msg\": \"Retry in 30s\", \"ts\": 1768206601.5}",
    "__CURSOR=s=1\n__REALTIME_TIMESTAMP=1768206601000000\n_SYSTEMD_UNIT=shop.service\nMESSAGE=hello\n\nMESSAGE\n\x05\0\0\0\0\0\0\0a\nb c\n\n",
)
SAMPLES = (
    '{"v":1,"t":1795852904.9,"b":30032.5,"i":"418295d4ce87","h":[137539584,936202240,0],"n":1.578,"s":[["shop-web.service",108314624,0.001,3,135909376,'
    '46354432,45305856,[[144,2938714,46354432],[143,2938631,45305856]]],["drive.service",9158656,0.002,null,null,null,null,[]]]}\n',
)
SADF = (
    '{"sysstat": {"hosts": [{"nodename": "vm", "statistics": [{"timestamp": {"date": "2026-11-28", "time": "07:34:54", "utc": 1, "interval": 1},'
    ' "memory": {"memfree": 20883084, "avail": 22729572, "memused": 1451448, "memused-percent": 5.88, "swpfree": 0, "swpused": 0}}], "restarts": []}]}}',
)
HISTORY = (
    "0000000000000000000000000000000000000000 3f6d1b5ad2923f6d1b5ad2923f6d1b5ad2923f6d A B <a@b> 1768206601 +0100\tcommit (initial): x\n",
    "ref: refs/heads/main\n",
    "2026-01-12 08:30:01 upgrade libc6:amd64 2.36-9 2.36-9+deb12u4\n"
    "2026-01-12 08:30:02 status installed libc6:amd64 2.36\n2026-01-12 08:30:01 remove a:all 1 <none>\n",
    "2026-01-12T08:30:01+0000 SUBDEBUG Upgrade: nginx-1.20-1.el9.x86_64\n",
    "{\"state\": \"confirmed\", \"at\": \"2026-01-12T08:30:01Z\", \"entry\": \"20260112T083001Z-1/01\"}\n",
)
UNIX = ("Num       RefCount Protocol Flags    Type St Inode Path\n0000000000000000: 00000002 00000000 00010000 0001 01 77 /run/shop.sock\n"
        "0000000000000000: 00000003 00000000 00000000 0001 03 78 @abstract\n",)
_NOW = 1768206660.0


def access_log(text: str) -> Any:
    """A log of these lines, read as a file would be, and its rows of a document."""
    data = raw(text)
    log = _access_log.LogFile(lambda offset, length: data[offset:offset + length], len(data))
    tally = _traffic.Tally()
    form = _log_format.compile_format("combined", _log_format.COMBINED)
    result = _access_log.read_window(log, form, _access_log.Window(_NOW - 4200, _NOW - 600, _NOW), tally, _access_log.Budget(2**30, lambda: False))
    return result, tally.top_paths(10), tally.top_pairs(5)


def userspace(text: str) -> Any:
    """Kills by daemons in these lines."""
    found = _userspace_oom.UserspaceKills()
    for record in _log_line.records(text):
        found.feed(record)
    return found.kills


def nginx(text: str) -> Any:
    """A configuration, what its files include (its first part, a few times), and what it sets."""
    left = [text[:500]] * 5
    parsed = _nginx_config.parse("/etc/nginx/nginx.conf", text, lambda pattern: [("/etc/nginx/conf.d/a.conf", left.pop())] if left else [])
    return parsed, _nginx_config.settings(parsed.directives), sum(1 for dummy in _nginx_config.walk(parsed.directives))


def supervisor(text: str) -> Any:
    """Its sections and what they say."""
    parsed = _supervisor_conf.sections(text)
    return [_supervisor_conf.included(parsed), _supervisor_conf.programs("/etc/s.conf", parsed), _supervisor_conf.configuration(text.split()),
            [_supervisor_conf.environment(value) for rows in parsed.values() for value in rows.values()], _supervisor_conf.expanded(text, {"here": "/"})]


def unit(text: str) -> Any:
    """Its settings and their variables."""
    merged = _unit_file.merge([("/etc/systemd/system/a@b.service", text)])
    return merged, _unit_file.environment(merged.get("Environment", [])), _unit_file.specifiers(text, "a@b.service"), _unit_file.unescaped(text)


def crontab(text: str) -> Any:
    """Its entries; and paused and resumed it is what it was, to the byte."""
    data = raw(text)
    lines = _crontab.read(data, True)
    paused = _crontab.pause(data, {line.number for line in lines}, True)
    if _crontab.resume(paused) != _crontab.resume(data):
        raise AssertionError("paused and resumed it is another file")
    return [(line, _cron_command.commands(_cron_command.script(line.command or ""))) for line in lines], _crontab.seems_system(data)


def cron_log(text: str) -> Any:
    """The runs in a syslog file, and in lines of cron itself that stand one second apart."""
    lines = [_cron_log.Line(float(place), place % 7, line, "" if place % 3 else "9") for place, line in enumerate(text.split("\n"))]
    written = _cron_log.lines_of(text, lambda line: _log_time.moment(line, _NOW, 0.0))
    return _cron_log.runs(lines), _cron_log.runs(written), _cron_log.unit_runs((line.at, line.text, _cron_log.STARTING) for line in lines)


def job_files(text: str) -> Any:
    """A job of at, an anacrontab, what they are called and when they ran."""
    words = text.split()
    return _job_files.commands(text), _job_files.anacrontab(text), [(_job_files.spooled(word), _job_files.stamp(word)) for word in words]


def due(text: str) -> Any:
    """The times of a schedule, a week of them."""
    return _crontab.next_runs(text, datetime.datetime(2026, 2, 27, 23, 59), 604800.0, 50)


def engine(text: str) -> Any:
    """What an engine answered, read as each of its answers."""
    found = _engine_api.document(raw(text))
    return [_engine_api.version(found), _engine_api.message(found), _engine_api.listed(found, 50), _engine_api.inspected(found), _engine_api.moment(text)]


def redis_info(text: str) -> Any:
    """Figures of a server, and its configuration."""
    fields = _redis_info.info(text)
    ratios = [_redis_info.ratio(fields, name) for name in fields]
    return [fields, _redis_info.number(fields, *fields), ratios, _redis_info.keyspace(fields), _redis_info.settings(text)]


def replies(text: str) -> Any:
    """Every reply in a stream, until it ends or is none."""
    data, start, found = raw(text), 0, []
    while start < len(data):
        answer = _resp.reply(data, start)
        if answer is None:
            break
        found.append(answer[0])
        if answer[1] <= start:
            raise AssertionError("a reply that takes no byte")
        start = answer[1]
    return found


def postgres(text: str) -> Any:
    """Titles, the file of a postmaster, and what psql said."""
    return [_postgres.session(text), _postgres.postmaster(text), _postgres.answers(raw(text)), _postgres.from_hex(text)]


def samples(text: str) -> Any:
    """Lines of a history, their mean, and what is written of it again."""
    found = [one for one in (_memory_history.sample(line) for line in text.split("\n")) if one is not None]
    mean = _memory_history.mean(found)
    stamps = [_memory_history.stamp(line) for line in text.split("\n")]
    return mean, mean and _memory_history.line(mean), [one and _memory_history.age_s(one, _NOW, 9e5, "a") for one in stamps]


def history(text: str) -> Any:
    """The logs of git, packages and our own changes."""
    return [_history.reflog(text), _history.detached(text), _history.dpkg(text), _history.rpm(text), _history.distribution(text), _history.journal(text)]


def tally(text: str) -> Any:
    """Lines of one log, as they are counted."""
    found = _log_tally.Tally()
    forms = _log_signals.forms_in(raw(text))
    for line in text.split("\n"):
        found.add(line, len(line), lambda line: _log_time.moment(line, _NOW, 0.0), forms)
    return found.signals()


def tables(text: str) -> Any:
    """Each of the kernel's tables read as every one of them."""
    readers = (_proc.named_kib, _proc.numbers, _proc.pressure, _proc.disks, _proc.paired_tables, _proc.mounts, _proc.sockstat, _proc.open_files_limit,
               _proc.kind_of_file)
    return [read(text) for read in readers]


def parsed(kind: str) -> Callable[[str], Any]:
    """A command line as a file of this kind holds it."""
    return lambda text: _command_line.parse(text, kind)


def rewritten(kind: str) -> Callable[[str], Any]:
    """A command line of another count, which reads back as that and is otherwise as it was."""
    def call(text: str) -> Any:
        found = _rewrite_command.rewrite(text, kind, {"workers": 3})
        if isinstance(found, str):
            after = _command_line.parse(found, kind)
            if not isinstance(after, _command_line.Command):
                raise AssertionError("it cannot be read back: %s" % after.reason)
        return found

    return call


_WORDS = (ValueError,)

TARGETS: tuple[Target, ...] = (
    Target("_access_log.read_window", access_log, ACCESS),
    Target("_addresses.kind", lambda text: [_addresses.kind(part, {"10.0.0.1"}, _addresses.networks([text])) for part in text.split()], ADDRESSES),
    Target("_addresses.local", lambda text: (_addresses.local_v4(text), _addresses.local_v6(text)), FIB),
    Target("_cgroup.identify", lambda text: [_cgroup.identify(line) for line in text.split("\n")], CGROUPS),
    Target("_cgroup.membership", lambda text: _cgroup.process_path(_cgroup.membership(text)), CGROUPS),
    Target("_cgroup.numbers", lambda text: (_cgroup.counters(text), _cgroup.limit(text), _cgroup.cpu_quota(text)), CGROUPS),
    *(Target("_command_line.parse:" + kind, parsed(kind), COMMANDS)
      for kind in ("systemd", "supervisor", "procfile", "compose", "shell", "argv")),
    Target("_command_line.parse_argv", lambda text: _command_line.parse_argv(text.split(" ")), COMMANDS),
    Target("_command_options.read", lambda text: [_command_options.read(text.split(" "), table)
           for table in (_command_options.GUNICORN, _command_options.CELERY)], COMMANDS),
    Target("_command_text.words", lambda text: [_command_text.words(text, kind) for kind in ("systemd", "compose", "shell")], COMMANDS, _WORDS),
    Target("_command_wrappers.passed_over", lambda text: _command_wrappers.passed_over(text.split(" ")[0], text.split(" ")), COMMANDS),
    Target("_cron_command.is_run_of", lambda text: _cron_command.is_run_of(text, text.split(" ")), CRONTABS),
    Target("_crontab.read", crontab, CRONTABS),
    Target("_crontab.next_runs", due, ("*/5 * * * *", "0 3 1-15/2 jan,feb mon-fri", "@daily", "59 23 31 2 7", "0-59/0 * * * *", "* * 29 2 *")),
    Target("_crontab.starts", lambda text: _crontab.starts(text, datetime.datetime(2026, 2, 27, 23, 59)), ("*/5 * * * *", "0 3 1-15/2 jan,feb mon-fri")),
    Target("_cron_log.runs", cron_log, CRON_LOG),
    Target("_job_files.commands", job_files, JOB_FILES),
    Target("_broker_url.place", _broker_url.place, ("amqp://u:p@rabbit:5672/shop;amqp://u:p@b", "sqs://AKIA:x/y@", "redis://:p@cache:6379/0")),
    Target("_health_url.problem", lambda text: _health_url.problem({"a": text}), ("http://127.0.0.1:8000/health?x=y", "https://u:p@[::1]:443/")),
    Target("_kernel_alarms.parse_records", lambda text: _kernel_alarms.parse_records(_log_line.records(text)), ALARMS),
    Target("_kernel_oom.parse", _kernel_oom.parse, OOM),
    Target("_log_format.compile_format", lambda text: _log_format.compile_format("x", text, "json"), FORMATS),
    Target("_log_format.epoch", lambda text: _log_format.epoch(raw(text)), ("12/Jan/2026:08:30:01 +0000", "2026-01-12T08:30:01+01:00", "1768206601.123")),
    Target("_log_line.records", lambda text: [(record, _log_line.unescape(record.message)) for record in _log_line.records(text)], OOM + ACCESS),
    Target("_nginx_config.parse", nginx, NGINX),
    Target("_proc.stat", lambda text: (_proc.stat(raw(text)), _proc.ticks(raw(text))), STAT, (ValueError,)),
    Target("_proc.tables", tables, TABLES),
    Target("_proc.cpu", _proc.cpu, TABLES, (ValueError,)),
    Target("_proc.load", _proc.load, TABLES, (ValueError,)),
    Target("_proc.tcp", lambda text: _proc.tcp(text, {}, []), TCP),
    Target("_python_literals.assignments", _python_literals.assignments, PYTHON, (ValueError,)),
    Target("_request_path.fold", lambda text: (_request_path.fold(raw(text)), _request_path.fold_many(raw(text).split(b"\n"))), PATHS),
    *(Target("_rewrite_command.rewrite:" + kind, rewritten(kind), COMMANDS) for kind in ("systemd", "supervisor", "shell")),
    Target("_rewrite_files.python_setting", lambda text: _rewrite_files.python_setting(text, ["workers"], 3), PYTHON),
    Target("_rewrite_files.environment_line", lambda text: _rewrite_files.environment_line(text, "WEB_CONCURRENCY", "3"), ENVIRONMENT),
    Target("_rewrite_files.supervisor", lambda text: (_rewrite_files.supervisor_command(text, "web", {"workers": 3}),
                                                      _rewrite_files.supervisor_copies(text, "web", 1)), SUPERVISOR),
    Target("_rewrite_files.arguments", lambda text: _rewrite_files.arguments(text, "gunicorn", {"workers": 3}), ("--workers=3 --timeout 9", "-w 4 'a b'")),
    Target("_shell_words.split", lambda text: [_shell_words.split(text, flavour) for flavour in (_shell_words.SHELL, _shell_words.SYSTEMD)], COMMANDS, _WORDS),
    Target("_shell_words.variables", lambda text: (_shell_words.variables(text), _shell_words.is_variable(text), _shell_words.plain(text)), COMMANDS),
    Target("_sockets.tcp", lambda text: (_sockets.tcp(text, range(99)), _sockets.unix_paths(text, range(99))), TCP),
    Target("_supervisor_conf.sections", supervisor, SUPERVISOR),
    Target("_unit_file.merge", unit, UNITS),
    Target("_unit_file.environment_file", lambda text: _unit_file.environment_file("/etc/default/shop", text), ENVIRONMENT),
    Target("_unit_file.shown", lambda text: (_unit_file.shown(text), _unit_file.shown_argv(text), _unit_file.seconds(text), _unit_file.number(text)), SHOWN),
    Target("_userspace_oom.feed", userspace, OOM),
    Target("_connections.tcp", lambda text: (_connections.tcp(text), _connections.unix(text), _connections.address(text)), TCP + UNIX),
    Target("_engine_api.document", engine, INSPECTED, (ValueError,)),
    Target("_unix_http.answer", lambda text: _unix_http.answer(io.BytesIO(raw(text)), 4096), HTTP, (_unix_http.NoAnswer,)),
    Target("_history.logs", history, HISTORY),
    Target("_journal_export.entries", lambda text: list(_journal_export.entries(raw(text))), LOGS, (ValueError,)),
    Target("_log_signals.matches", lambda text: [_log_signals.matches(line) for line in text.split("\n")] + [_log_signals.forms_in(raw(text))], LOGS),
    Target("_log_tally.Tally", tally, LOGS),
    Target("_log_template.template", _log_template.template, LOGS),
    Target("_log_time.moment", lambda text: _log_time.moment(text, _NOW, 3600.0), LOGS),
    Target("_memory_history.sample", samples, SAMPLES),
    Target("_sysstat.memory", _sysstat.memory, SADF, (ValueError,)),
    Target("_postgres.answers", postgres, POSTGRES, (ValueError,)),
    Target("_postgres_dsn.target", lambda text: _postgres_dsn.target(text).address, (
        "postgresql://monitor:s%3Fcret@db.example.com:5433/shop?sslmode=verify-full", "host=/run/postgresql user=m password='it\\'s' dbname=shop"),
        (_postgres_dsn.BadDsn,)),
    Target("_redis_info.info", redis_info, REDIS_INFO, (ValueError,)),
    Target("_resp.reply", replies, RESP, (ValueError,)),
    Target("_stack_dump.stacks", lambda text: _stack_dump.summed([_stack_dump.stacks(text.split("\n"))] * 2), STACKS),
    Target("_sql_text.normalise", _sql_text.normalise, SQL),
    Target("_text.clean", lambda text: (_text.clean(text), _text.clean_words(text.split(" ")), _text.clean_tree({text[:40]: [text]})),
           COMMANDS + ACCESS + ENVIRONMENT),
)


def cleaned(text: str) -> str:
    """The text as a document would hold it: alone, as words of a command line, as a value in a tree."""
    return json.dumps([_text.clean(text, 5000), [_text.clean(line, 5000) for line in text.split("\n")], _text.clean_tree({"a": [text]})], ensure_ascii=False)
