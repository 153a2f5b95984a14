# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Redis itself, as the distribution has it: works, denied, hangs, answers rubbish, speaks TLS; and what celery and rq really put into it."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import typing as t

import jsonschema
import pytest
from ansible_collections.oncall.pressure.plugins.module_utils._components import _redis
from ansible_collections.oncall.pressure.plugins.module_utils._components._redis_client import Login
from ansible_collections.oncall.pressure.plugins.module_utils._host._collect import Options, Reading, run_all
from ansible_collections.oncall.pressure.plugins.module_utils._host._dial import Line
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine

ROOT = pathlib.Path(__file__).resolve().parents[2]
REDIS = shutil.which("redis-server", path=os.environ.get("PATH", "") + ":/usr/bin:/usr/local/bin:/usr/sbin")
OPENSSL = shutil.which("openssl")
SECRET = "hunter2 and more"

pytestmark = pytest.mark.skipif(REDIS is None, reason="there is no redis-server here: apt-get install redis-server")
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="it starts a process of another user: run it as root")

#: Calls itself redis-server, answers as its first argument says, and prints what it was told.
LISTENER = r"""
import os, socket, sys, time
open("/proc/self/comm", "w").write("redis-server")
way, port, uid = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
if uid:
    os.setgroups([])
    os.setgid(uid)
    os.setuid(uid)
door = socket.socket()
door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
door.bind(("127.0.0.1", port))
door.listen(8)
print("ready", flush=True)
HOSTILE = b"redis_version:7\x1b[31m\r\nused_memory:-5\r\nmaxmemory:" + b"9" * 40 + b"\r\nrole:" + b"r" * 9000 + b"\r\ndb0:keys=1,expires=x\r\n"
while True:
    stream = door.accept()[0]
    print(repr(stream.recv(65536)), flush=True)
    try:
        if way == "garbage":
            stream.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        elif way == "binary":
            stream.sendall(bytes(range(256)) * 40)
        elif way == "endless":
            while True:
                stream.sendall(b"+OK\r\n" * 10000)
        elif way == "endless text":
            stream.sendall(b"$200000\r\n")
            while True:
                stream.sendall(b"x" * 10000)
        elif way == "huge":
            stream.sendall(b"$999999999999\r\nredis_version:7\r\n")
        elif way == "half":
            stream.sendall(b"$5000\r\nredis_version:7.0.0\r\n")
            time.sleep(60)
        elif way == "drip":
            while True:
                stream.sendall(b"$")
                time.sleep(0.05)
        elif way == "silent":
            time.sleep(60)
        elif way == "other":
            stream.sendall(b"$5\r\nhello\r\n")
        elif way == "deep":
            stream.sendall(b"*1\r\n" * 5000)
        elif way == "hostile":
            stream.sendall(b"$%d\r\n%s\r\n" % (len(HOSTILE), HOSTILE))
            while stream.recv(65536):
                stream.sendall(b"*2\r\n$1\r\n0\r\n*1\r\n:9\r\n" * 60)
    except OSError:
        pass
    stream.close()
"""


def free_port() -> int:
    """A port that nobody has now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """A redis-server in a folder of its own, with ``lines`` in its configuration file ({folder} stands for the folder), started behind ``words``."""

    def __init__(self, folder: pathlib.Path, lines: t.Sequence[str], port: int, words: t.Sequence[str] = ()) -> None:
        self.port = port
        self.socket = str(folder / "r.sock")
        self.config = folder / "redis.conf"
        written = ["port %d" % port, "bind 127.0.0.1", 'save ""', "dir {folder}"] + list(lines)
        self.config.write_text("\n".join(written).replace("{folder}", str(folder)) + "\n")
        assert REDIS is not None
        log = folder / "log"
        with open(str(log), "wb") as stream:
            self.process = subprocess.Popen([*words, REDIS, str(self.config)], stdout=stream, stderr=stream, cwd=str(folder), start_new_session=True)
        self.pid = self.process.pid
        end = time.monotonic() + 30
        while b"eady to accept connections" not in log.read_bytes():
            assert self.process.poll() is None and time.monotonic() < end, log.read_text()
            time.sleep(0.02)

    def say(self, *commands: bytes) -> bytes:
        """Send lines; the first bytes of the last answer."""
        answer = b""
        with socket.create_connection(("127.0.0.1", self.port), 10) as stream:
            for command in commands:
                stream.sendall(command + b"\r\n")
                answer = stream.recv(65536)
        return answer

    def stop(self) -> None:
        """End it."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.process.wait()


@functools.lru_cache(maxsize=1)
def validator() -> jsonschema.Draft202012Validator:
    """The part of the published schema that is about Redis."""
    schema = json.loads((ROOT / "roles/diagnose/files/schemas/snapshot.json").read_text())
    return jsonschema.Draft202012Validator(schema["$defs"]["snapshot"]["properties"]["redis"])


def look(pid: int, login: Login = Login()) -> Reading:
    """What is said of one process, in a child as always: in time, valid, without a secret."""
    options = Options(window_s=0.3, daemons={"redis": (pid,)})
    began = time.monotonic()
    row = run_all({"redis": lambda machine, given: _redis.measure(machine, given, login, Line)}, Machine(), options, 30.0).rows["redis"]
    assert time.monotonic() - began < options.window_s + 10
    validator().validate(row["data"])
    assert "hunter2" not in json.dumps(row) and "SECRETARGUMENT" not in json.dumps(row)
    return Reading(row["status"], row["reason"], row["data"])


def only(reading: Reading) -> t.Dict[str, t.Any]:
    """The one server that was looked at."""
    (row,) = reading.data["servers"]
    return t.cast("t.Dict[str, t.Any]", row)


@pytest.fixture
def short() -> t.Iterator[pathlib.Path]:
    """A folder whose name is short enough for the path of a socket, and that everybody may pass through."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="pressure-redis-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(str(folder))


@pytest.fixture
def start(short: pathlib.Path) -> t.Iterator[t.Callable[..., Server]]:
    """Starts servers: ``start(*lines, port=...)``."""
    begun: t.List[Server] = []

    def begin(*lines: str, port: t.Optional[int] = None, words: t.Sequence[str] = ()) -> Server:
        folder = short / str(len(begun))
        folder.mkdir()
        begun.append(Server(folder, lines, free_port() if port is None else port, words))
        return begun[-1]

    yield begin
    for server in begun:
        server.stop()


class Pretender(t.NamedTuple):
    """A process that only calls itself redis-server."""

    process: "subprocess.Popen[bytes]"
    port: int

    def told(self) -> bytes:
        """End it, and what it was told."""
        self.process.kill()
        self.process.wait()
        stream = self.process.stdout
        return b"" if stream is None or stream.closed else stream.read()


@pytest.fixture
def pretend(short: pathlib.Path) -> t.Iterator[t.Callable[..., Pretender]]:
    """Starts pretenders: ``pretend(way, uid=...)``."""
    begun: t.List[Pretender] = []

    def begin(way: str, uid: int = 0) -> Pretender:
        port = free_port()
        process = subprocess.Popen(
            [sys.executable, "-c", LISTENER, way, str(port), str(uid)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=str(short),
            start_new_session=True)
        begun.append(Pretender(process, port))
        assert process.stdout is not None and process.stdout.readline() == b"ready\n"
        return begun[-1]

    yield begin
    for pretender in begun:
        pretender.told()
        if pretender.process.stdout is not None:
            pretender.process.stdout.close()


UNIX = "unixsocket {folder}/r.sock"


def fill(server: Server) -> None:
    """What celery and rq themselves put there: two queues of celery, one with a priority; one of rq with a failed job; results that stay."""
    import celery
    import redis
    import rq
    from rq.registry import FailedJobRegistry

    app = celery.Celery("shop", set_as_current=False, broker="redis://127.0.0.1:%d/1" % server.port, backend="redis://127.0.0.1:%d/1" % server.port)
    for number in range(40):
        app.send_task("shop.work", ("SECRETARGUMENT" if number % 2 else "x" * 1000,), queue="celery")
    for dummy in range(7):
        app.send_task("shop.work", ("x" * 60000,), queue="mails", priority=9)
    app.backend.store_result("one", 1, "SUCCESS")
    app.close()
    with redis.Redis(port=server.port, db=1) as client:
        for number in range(9):
            client.set("celery-task-meta-kept%d" % number, "x")
        client.set("session:4bf92f3577b34da6a3ce929d0e0e4736", "y" * 500000)
        client.hset("unacked", "tag", "x")
        client.zadd("unacked_index", {"tag": time.time() - 50})
    with redis.Redis(port=server.port, db=2) as client:
        queue = rq.Queue("reports", connection=client)
        for number in range(25):
            queue.enqueue("os.getcwd", "".join(chr(33 + (number * place * place) % 90) for place in range(3000)))
        FailedJobRegistry("reports", connection=client).add(queue.enqueue("os.getcwd"), -1)


@pytest.mark.parametrize("lines", [(), (UNIX,)], ids=["tcp", "unix"])
def test_it_works(start: t.Callable[..., Server], lines: t.Sequence[str]) -> None:
    server = start(*lines, "maxmemory 50mb")
    fill(server)
    reading = look(server.pid)
    assert (reading.status, reading.reason) == ("ok", None)
    row = only(reading)
    assert row["address"] == ("unix:" + server.socket if lines else "127.0.0.1:%d" % server.port) and row["main_pid"] == server.pid
    assert (row["answers"], row["full"], row["role"], row["version"][0].isdigit()) == (True, False, "master", True)
    assert row["memory"]["limited"] is True and row["memory"]["maxmemory_bytes"] == 50 << 20 and row["memory"]["policy"] == "noeviction"
    assert 0 < row["memory"]["used_pct"] < 20 and row["memory"]["used_bytes"] > 1000000
    # nothing of what was asked here counts as work of others
    assert row["rates"]["ops_per_s"] == 0 and row["clients"]["connected"] < 10
    queues = {queue["name"]: queue for queue in row["queues"]}
    assert {name: (queue["kind"], queue["db"], queue["waiting"], queue["growth_per_s"]) for name, queue in queues.items()} == {
        "celery": ("celery", 1, 40, 0.0), "mails": ("celery", 1, 7, 0.0), "reports": ("rq", 2, 26, 0.0)}
    assert queues["celery"]["sampled"] == 9 and 500 < queues["celery"]["median_bytes"] < queues["celery"]["largest_bytes"] < 4000
    assert 80000 < queues["mails"]["median_bytes"] < 200000 and 80000 < queues["mails"]["average_bytes"] < 250000
    assert queues["reports"]["failed"] == 1 and queues["reports"]["started"] == 0 and 0 <= queues["reports"]["oldest_s"] < 60
    assert queues["reports"]["sampled"] == 9 and queues["reports"]["largest_bytes"] > 100
    databases = {database["db"]: database for database in row["databases"]}
    assert databases[1]["unacked"] == 1 and 50 <= databases[1]["unacked_oldest_s"] < 90 and queues["celery"]["unacked"] is None
    assert (databases[1]["results_seen"], databases[1]["results_sampled"], databases[1]["results_without_expiry"]) == (10, 10, 9)
    assert (databases[2]["workers"], databases[2]["suspended"]) == (0, False)
    largest = row["largest_keys"][0]
    assert largest["db"] == 1 and largest["bytes"] > 400000 and "4bf92f" not in json.dumps(row)


def test_queues_whose_names_have_a_prefix(start: t.Callable[..., Server]) -> None:
    import celery

    server = start()
    app = celery.Celery("shop", set_as_current=False, broker="redis://127.0.0.1:%d/0" % server.port)
    app.conf.broker_transport_options = {"global_keyprefix": "shop:"}
    for dummy in range(3):
        app.send_task("shop.work", queue="mails")
    app.close()
    (queue,) = only(look(server.pid))["queues"]
    assert (queue["name"], queue["waiting"], queue["sampled"], queue["unacked"]) == ("mails", 3, 3, 0)


def test_many_keys_hide_no_queue(start: t.Callable[..., Server]) -> None:
    """The names of all keys are not read, those of bindings are looked for farther."""
    server = start()
    with socket.create_connection(("127.0.0.1", server.port), 30) as stream:
        stream.sendall(b'EVAL "for i = 1, 60000 do redis.call(\'SET\', \'page:\' .. i, \'x\') end" 0\r\n')
        stream.recv(100)
    import celery

    app = celery.Celery("shop", set_as_current=False, broker="redis://127.0.0.1:%d/0" % server.port)
    app.send_task("shop.work", queue="mails")
    app.close()
    row = only(look(server.pid))
    assert [(queue["name"], queue["waiting"]) for queue in row["queues"]] == [("mails", 1)]
    assert row["databases"][0]["keys"] > 60000 and row["databases"][0]["scanned"] < 5000


def test_growth_and_slow_commands(start: t.Callable[..., Server]) -> None:
    server = start("slowlog-log-slower-than 0")
    server.say(b"SET password hunter2", b"RPUSH celery a b c")
    process = subprocess.Popen(
        [sys.executable, "-c", "import socket, time\ns = socket.create_connection(('127.0.0.1', %d))\nwhile True:\n"
         " s.sendall(b'LPUSH celery hunter2\\r\\n'); s.recv(99); time.sleep(0.002)" % server.port])
    try:
        end = time.monotonic() + 30
        while server.say(b"LLEN celery") == b":3\r\n" and time.monotonic() < end:
            time.sleep(0.02)
        row = only(look(server.pid))
    finally:
        process.kill()
        process.wait()
    assert row["queues"][0]["growth_per_s"] > 5 and row["rates"]["ops_per_s"] > 5 and row["clients"]["connected"] >= 1
    assert "LPUSH" in {slow["command"] for slow in row["latency"]["slowest"]} and len(row["latency"]["slowest"]) == 5


def test_a_message_too_large_to_read_is_not_read(start: t.Callable[..., Server]) -> None:
    server = start("proto-max-bulk-len 512mb")
    server.say(b"SELECT 0")
    with socket.create_connection(("127.0.0.1", server.port), 20) as stream:
        text = b"x" * 3000000
        for dummy in range(3):
            stream.sendall(b"*3\r\n$5\r\nLPUSH\r\n$6\r\ncelery\r\n$%d\r\n%s\r\n" % (len(text), text))
            assert stream.recv(100).startswith(b":")
    queue = only(look(server.pid))["queues"][0]
    assert (queue["waiting"], queue["sampled"], queue["median_bytes"]) == (3, 0, None) and 2900000 < queue["average_bytes"] < 4000000


def test_one_message_among_small_ones_is_known_by_its_header(start: t.Callable[..., Server]) -> None:
    server = start()
    with socket.create_connection(("127.0.0.1", server.port), 20) as stream:
        for text in [b"small"] * 900 + [b"x" * 3000000]:
            stream.sendall(b"*3\r\n$5\r\nLPUSH\r\n$6\r\ncelery\r\n$%d\r\n%s\r\n" % (len(text), text))
            assert stream.recv(100).startswith(b":")
    queue = only(look(server.pid))["queues"][0]
    assert (queue["waiting"], queue["largest_bytes"]) == (901, 3000000)


# passwords


def test_the_password_of_its_own_file(start: t.Callable[..., Server]) -> None:
    server = start('requirepass "%s"' % SECRET)
    reading = look(server.pid)
    assert (reading.status, only(reading)["answers"]) == ("ok", True)


def test_denied_without_the_password(start: t.Callable[..., Server]) -> None:
    server = start('requirepass "%s"' % SECRET)
    # a file that anybody may write is not believed
    server.config.chmod(0o646)
    reading = look(server.pid)
    assert reading.status == "denied" and "set username and password of redis_info" in str(reading.reason)
    assert only(reading)["memory"] is None and only(reading)["status"] == "denied"
    assert look(server.pid, Login("", SECRET)).status == "ok"
    wrong = look(server.pid, Login("", "hunter2"))
    assert wrong.status == "denied" and "refuses the username or the password" in str(wrong.reason)


def test_a_password_that_changed_since(start: t.Callable[..., Server]) -> None:
    server = start('requirepass "hunter2"')
    server.config.write_text(server.config.read_text().replace("hunter2", "hunter2old"))
    reading = look(server.pid)
    assert reading.status == "denied" and "refuses the password in %s" % server.config in str(reading.reason)


def test_users_of_the_acl(start: t.Callable[..., Server]) -> None:
    documentation = (ROOT / "plugins/modules/redis_info.py").read_text()
    rights = " ".join(documentation[documentation.index("~* -@all"):].split(")", 1)[0].split())
    server = start("user default on nopass ~* -@all +ping", "user oncall on >hunter2 " + rights, "user blind on >hunter2 ~* -@all +ping")
    reading = look(server.pid)
    assert reading.status == "denied" and "may not run INFO" in str(reading.reason)
    assert look(server.pid, Login("blind", "hunter2")).status == "denied"
    assert look(server.pid, Login("oncall", "hunter2")).status == "ok"


def test_the_documented_rights_are_enough_for_queues(start: t.Callable[..., Server]) -> None:
    documentation = (ROOT / "plugins/modules/redis_info.py").read_text()
    rights = " ".join(documentation[documentation.index("~* -@all"):].split(")", 1)[0].split())
    server = start("user oncall on >hunter2 " + rights)
    fill(server)
    reading = look(server.pid, Login("oncall", "hunter2"))
    row = only(reading)
    assert (reading.status, reading.reason) == ("ok", None)
    assert all(queue["sampled"] for queue in row["queues"]) and len(row["queues"]) == 3 and row["largest_keys"] and row["latency"] is not None


def test_less_than_the_documented_rights_is_partial(start: t.Callable[..., Server]) -> None:
    server = start("user default on nopass ~* -@all +info +select +scan")
    server.config.write_text("")
    reading = look(server.pid)
    row = only(reading)
    assert row["memory"]["used_bytes"] > 0 and row["latency"] is None and row["queues"] == []


@as_root
def test_no_stranger_is_told_a_password(start: t.Callable[..., Server], pretend: t.Callable[..., Pretender], short: pathlib.Path) -> None:
    """Another user's process that calls itself redis-server, on the port that a configuration file of root's names."""
    pretender = pretend("other", 1500)
    (short / "redis.conf").write_text('port %d\nrequirepass "%s"\n' % (pretender.port, SECRET))
    (short / "redis.conf").chmod(0o600)
    assert look(pretender.process.pid).status == "error"
    given = look(pretender.process.pid, Login("oncall", SECRET))
    assert given.status == "denied" and "name 127.0.0.1:%d as address" % pretender.port in str(given.reason)
    assert b"hunter2" not in pretender.told()


@as_root
def test_a_password_may_be_sent_to_whom_the_user_names(pretend: t.Callable[..., Pretender]) -> None:
    pretender = pretend("other", 1500)
    assert look(pretender.process.pid, Login("", SECRET, "127.0.0.1:%d" % pretender.port)).status == "error"
    assert b"hunter2" in pretender.told()


def test_only_the_server_that_is_named(start: t.Callable[..., Server]) -> None:
    server = start(UNIX)
    assert only(look(server.pid, Login(address="127.0.0.1:%d" % server.port)))["address"] == "127.0.0.1:%d" % server.port
    assert only(look(server.pid, Login(address="unix:" + server.socket)))["address"] == "unix:" + server.socket
    assert look(server.pid, Login(address="127.0.0.1:1")) == Reading("absent", "no Redis server listens to 127.0.0.1:1", None)


def test_the_path_of_its_socket_was_taken_by_another(start: t.Callable[..., Server], short: pathlib.Path) -> None:
    """Somebody who may write the folder puts a socket of his own in the place of the server's."""
    server = start('requirepass "%s"' % SECRET, UNIX)
    os.unlink(server.socket)
    with socket.socket(socket.AF_UNIX) as thief:
        thief.bind(server.socket)
        thief.listen(4)
        thief.settimeout(0.5)
        reading = look(server.pid)
        told = b""
        with contextlib.suppress(OSError):
            told = thief.accept()[0].recv(1000)
    assert b"hunter2" not in told
    # by its port it is still to be had
    assert only(reading)["address"] == "127.0.0.1:%d" % server.port and reading.status == "ok"


# hangs


def test_stopped(start: t.Callable[..., Server]) -> None:
    server = start()
    os.kill(server.pid, signal.SIGSTOP)
    reading = look(server.pid)
    os.kill(server.pid, signal.SIGCONT)
    assert reading.status == "error" and "stopped" in str(reading.reason) and "kill -CONT %d" % server.pid in str(reading.reason)
    assert only(reading)["answers"] is False and only(reading)["memory"] is None


def test_stopped_within_the_window(start: t.Callable[..., Server]) -> None:
    """It answered at first: what was known stays, what was not measured is null."""
    server = start()
    server.say(b"RPUSH celery a b c")
    stopper = subprocess.Popen([sys.executable, "-c", "import os, time\ntime.sleep(0.9)\nos.kill(%d, 19)" % server.pid])
    options = Options(window_s=2.0, daemons={"redis": (server.pid,)})
    row = run_all({"redis": _redis.collect}, Machine(), options, 30.0).rows["redis"]
    stopper.wait()
    os.kill(server.pid, signal.SIGCONT)
    assert row["status"] == "partial" and "did not answer within" in row["reason"]
    found = row["data"]["servers"][0]
    validator().validate(row["data"])
    assert found["memory"]["used_bytes"] > 0 and found["rates"]["ops_per_s"] is None and found["queues"] is None and found["answers"] is True


def test_one_long_command(start: t.Callable[..., Server]) -> None:
    server = start("enable-debug-command local", UNIX)
    with socket.create_connection(("127.0.0.1", server.port)) as stream:
        stream.sendall(b"DEBUG SLEEP 30\r\n")
        time.sleep(0.2)
        reading = look(server.pid)
    assert reading.status == "error" and "did not answer within 2 s" in str(reading.reason) and only(reading)["answers"] is False


def test_a_script_that_does_not_end(start: t.Callable[..., Server]) -> None:
    server = start("busy-reply-threshold 100", "lua-time-limit 100")
    with socket.create_connection(("127.0.0.1", server.port)) as stream:
        stream.sendall(b'EVAL "while true do end" 0\r\n')
        time.sleep(0.5)
        reading = look(server.pid)
    assert reading.status == "error" and "BUSY" in str(reading.reason)


def test_it_takes_no_more_clients(start: t.Callable[..., Server]) -> None:
    server = start("maxclients 2")
    with contextlib.ExitStack() as stack:
        for dummy in range(2):
            stream = stack.enter_context(socket.create_connection(("127.0.0.1", server.port), 10))
            stream.sendall(b"PING\r\n")
            stream.recv(100)
        reading = look(server.pid)
    assert reading.status == "error" and "no more clients" in str(reading.reason) and only(reading)["full"] is True


# rubbish


@pytest.mark.parametrize("way, said", [
    ("garbage", "does not answer as Redis does"), ("binary", "does not answer as Redis does"), ("endless", "does not answer as Redis does"),
    ("endless text", "does not answer as Redis does"), ("huge", "answers more than Redis does"), ("half", "did not answer within 2 s"),
    ("drip", "did not answer within 2 s"), ("silent", "did not answer within 2 s"), ("close", "closed the connection without an answer"),
    ("other", "does not answer as Redis does"), ("deep", "does not answer as Redis does"),
])
def test_rubbish(pretend: t.Callable[..., Pretender], way: str, said: str) -> None:
    reading = look(pretend(way).process.pid)
    assert reading.status == "error" and said in str(reading.reason), reading
    assert only(reading)["memory"] is None


def test_hostile_answers_make_no_figures(pretend: t.Callable[..., Pretender]) -> None:
    pretender = pretend("hostile")
    reading = look(pretender.process.pid)
    row = only(reading)
    assert row["memory"]["used_bytes"] is None and row["memory"]["maxmemory_bytes"] is None and row["memory"]["limited"] is None
    assert "\x1b" not in json.dumps(reading.data) and len(row["role"]) <= 20 and not row["queues"]


# a network of its own, as in a container


@pytest.fixture
def network() -> t.Iterator[t.Tuple[t.List[str], str]]:
    """Another network with a wire into it: how to start a program there, and its address."""
    name, part = "prs%d" % (os.getpid() % 100000), random.randrange(1, 250)
    address = "10.213.%d." % part
    steps = [
        ["netns", "add", name], ["link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", name], ["addr", "add", address + "1/24", "dev", name],
        ["link", "set", name, "up"], ["-n", name, "addr", "add", address + "2/24", "dev", "eth0"], ["-n", name, "link", "set", "eth0", "up"],
        ["-n", name, "link", "set", "lo", "up"],
    ]
    try:
        for step in steps:
            try:
                made = subprocess.run(["ip", *step], stderr=subprocess.PIPE, check=False).stderr
            except FileNotFoundError:
                made = b"there is no ip here: apt-get install iproute2"
            if made:
                pytest.skip("no other network can be made: " + made.decode())
        yield ["ip", "netns", "exec", name], address + "2"
    finally:
        if shutil.which("ip"):
            subprocess.run(["ip", "netns", "del", name], stderr=subprocess.DEVNULL, check=False)
            subprocess.run(["ip", "link", "del", name], stderr=subprocess.DEVNULL, check=False)


def test_another_network(start: t.Callable[..., Server], network: t.Tuple[t.List[str], str]) -> None:
    words, address = network
    server = start("bind * -::*", "protected-mode no", 'requirepass "%s"' % SECRET, words=words)
    reading = look(server.pid)
    assert (reading.status, reading.reason, only(reading)["address"]) == ("ok", None, "%s:%d" % (address, server.port))
    os.kill(server.pid, signal.SIGKILL)
    server = start("bind 127.0.0.1", words=words)
    reading = look(server.pid)
    assert reading.status == "denied" and "network of its own" in str(reading.reason)
    server = start("bind * -::*", words=words)
    reading = look(server.pid)
    assert reading.status == "denied" and "protected mode" in str(reading.reason)


def test_another_network_whose_address_is_ours_too(start: t.Callable[..., Server], network: t.Tuple[t.List[str], str]) -> None:
    """What is reached by the server's address is another's listener: nothing is said to it."""
    words, address = network
    server = start("bind * -::*", "protected-mode no", 'requirepass "%s"' % SECRET, words=words)
    subprocess.run(["ip", "addr", "add", address + "/32", "dev", "lo"], check=True)
    try:
        with socket.create_server((address, server.port)) as thief:
            thief.settimeout(0.5)
            reading = look(server.pid)
            assert thief.accept()[0].recv(100) == b""
    finally:
        subprocess.run(["ip", "addr", "del", address + "/32", "dev", "lo"], check=True)
    assert reading.status == "denied" and "network of its own" in str(reading.reason)


# TLS


@pytest.fixture
def certificate(short: pathlib.Path) -> t.List[str]:
    """The lines of a configuration that name a certificate of its own."""
    if OPENSSL is None:
        pytest.skip("there is no openssl here: apt-get install openssl")
    subprocess.run(
        [str(OPENSSL), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", str(short / "key"),
         "-out", str(short / "cert"), "-days", "2", "-subj", "/CN=redis"], check=True, capture_output=True)
    return ["tls-cert-file %s/cert" % short, "tls-key-file %s/key" % short, "tls-ca-cert-file %s/cert" % short]


@pytest.mark.parametrize("clients", ["yes", "no"])
def test_tls(start: t.Callable[..., Server], certificate: t.Sequence[str], clients: str) -> None:
    port = free_port()
    server = start("tls-port %d" % port, "tls-auth-clients " + clients, 'requirepass "%s"' % SECRET, *certificate, port=0)
    reading = look(server.pid)
    assert (reading.status, reading.reason) == ("ok", None)
    assert only(reading)["address"] == "127.0.0.1:%d (TLS)" % port
    # where its file says nothing, the port is asked in the clear, and then not
    server.config.write_text("")
    reading = look(server.pid)
    said = "wants a certificate" if clients == "yes" else "wants a password"
    assert reading.status == "denied" and said in str(reading.reason), reading.reason
    if clients == "no":
        assert look(server.pid, Login("", SECRET)).status == "ok"
