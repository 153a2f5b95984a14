# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Signals: every one on a line as its program writes it, what looks like one and is none, and anything at all."""

from __future__ import annotations

import os
import re
import typing as t

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.oncall.pressure.plugins.module_utils._parse import _log_signals

EXAMPLES = int(os.environ.get("PRESSURE_FUZZ_EXAMPLES", "300"))

G = "[2026-01-12 08:30:01 +0000] [230] "
C = "[2026-01-12 08:30:01,124: "
T = "Task shop.tasks.charge[10deb683-521c-4c35-ba12-e8c8b378e368] "
N = "2026/01/12 08:30:01 [error] 228#228: *10 "
U = ', client: 192.0.2.7, server: , request: "GET /slow/1?a=2 HTTP/1.1", upstream: "http://127.0.0.1:8000/slow/1?a=2", host: "shop"'
P = "2026-01-12 08:30:01.124 UTC [487] shop@shop "

# signal, a line, what it is about (gunicorn 20.1 and 27.0, celery 5.2 and 5.7, rq 1.13 and 2.12, uvicorn 0.54, nginx 1.22, PostgreSQL 15, Redis 7, systemd 252)
LINES: t.Final = (
    ("gunicorn_worker_timeout", G + "[CRITICAL] WORKER TIMEOUT (pid:282)", None),
    ("gunicorn_worker_sigkill", G + "[ERROR] Worker (pid:282) was sent SIGKILL! Perhaps out of memory?", None),
    ("gunicorn_worker_sigkill", G + "[WARNING] Worker with pid 282 was terminated due to signal 9", None),
    ("gunicorn_worker_signal", G + "[WARNING] Worker with pid 282 was terminated due to signal 6", "6"),
    ("gunicorn_worker_signal", G + "[ERROR] Worker (pid:282) was sent SIGABRT!", "SIGABRT"),
    ("gunicorn_worker_exit", G + "[ERROR] Worker (pid:282) exited with code 3.", "3"),
    ("gunicorn_boot_failed", "gunicorn.errors.HaltServer: <HaltServer 'Worker failed to boot.' 3>", None),
    ("gunicorn_worker_boot", G + "[INFO] Booting worker with pid: 284", None),
    ("uvicorn_child_died", "INFO:     Child process [11] died", None),
    ("uvicorn_invalid_request", "WARNING:  Invalid HTTP request received.", None),
    ("uvicorn_concurrency_limit", "WARNING:  Exceeded concurrency limit.", None),
    ("asyncio_slow_callback", "WARNING asyncio Executing <Task finished name='Task-1' coro=<slow() done> result=None> took 0.301 seconds", None),
    ("celery_worker_lost", C + "ERROR/MainProcess] Process 'ForkPoolWorker-2' pid:279 exited with 'signal 9 (SIGKILL)'", None),
    ("celery_worker_lost", "billiard.exceptions.WorkerLostError: Worker exited prematurely: signal 9 (SIGKILL) Job: 17.", None),
    ("celery_worker_lost", C + "ERROR/MainProcess] Task handler raised error: WorkerLostError('Worker exited prematurely: signal 9 (SIGKILL) Job: 17.')", None),
    ("celery_task_retry", C + "INFO/ForkPoolWorker-4] " + T + "retry: Retry in 1s: ConnectionError('pay')", "shop.tasks.charge"),
    ("celery_task_failed", C + "ERROR/ForkPoolWorker-4] " + T + "raised unexpected: KeyError('x')", "shop.tasks.charge"),
    ("celery_soft_time_limit", C + "WARNING/MainProcess] Soft time limit (1s) exceeded for shop.tasks.soft[10deb683]", "shop.tasks.soft"),
    ("celery_soft_time_limit", C + "ERROR/ForkPoolWorker-1] " + T + "raised unexpected: SoftTimeLimitExceeded()", None),
    ("celery_hard_time_limit", C + "ERROR/MainProcess] Hard time limit (1s) exceeded for shop.tasks.hard[10deb683]", "shop.tasks.hard"),
    ("celery_hard_time_limit", "billiard.exceptions.TimeLimitExceeded: TimeLimitExceeded(1,)", None),
    ("celery_missed_heartbeat", C + "INFO/MainProcess] missed heartbeat from celery@web-2", "celery@web-2"),
    ("celery_clock_drift", C + "WARNING/MainProcess] Substantial drift from celery@web-2 may mean clocks are out of sync.  Current drift is 33 seconds.", None),
    ("celery_broker_lost", C + "WARNING/MainProcess] consumer: Connection to broker lost. Trying to re-establish the connection...", None),
    ("celery_broker_lost", C + "ERROR/MainProcess] consumer: Cannot connect to redis://127.0.0.1:6379/0: Error 111.", "redis://127.0.0.1:6379/0"),
    ("celery_task_received", C + "INFO/MainProcess] " + T + "received", "shop.tasks.charge"),
    ("celery_task_received", "Received task: shop.tasks.mail[d5a6ada9-b9f5-435d-84cb-4dd6d7e21020]  ", "shop.tasks.mail"),
    ("celery_task_succeeded", C + "INFO/ForkPoolWorker-2] " + T + "succeeded in 0.15454658499947982s: 10", "shop.tasks.charge"),
    ("rq_job_failed", "08:30:01 [Job fdc326c2-0fcb-4cee-b781-124c91c38679]: exception raised while executing (jobs.bad)", "jobs.bad"),
    ("rq_job_failed", "08:30:01 Worker w1: job fdc326c2-0fcb-4cee-b781-124c91c38679: exception raised while executing (jobs.bad)", "jobs.bad"),
    ("rq_work_horse_lost", "08:30:01 Moving job to FailedJobRegistry (Work-horse terminated unexpectedly; waitpid returned 9 (signal 9); )", None),
    ("rq_job_ok", "08:30:01 default: Job OK (fdc326c2-0fcb-4cee-b781-124c91c38679)", None),
    ("rq_job_ok", "08:02:20 Successfully completed jobs.work(3, name='a (b)') job in 0:00:00.060953s on worker f63e1a3289704dd1892b55daafe26c6b", "jobs.work"),
    ("rq_job_started", "08:02:19 Worker f63e1a32: mail: jobs.work(3, name='a (b)') (014693e0-d5aa-4e0b-8414-914f9cb8084e)", "jobs.work"),
    ("rq_job_started", "08:30:01 default: jobs.work(3) (014693e0-d5aa-4e0b-8414-914f9cb8084e)", "jobs.work"),
    ("rq_job_retry", "INFO:rq.job:Job 014693e0-d5aa-4e0b-8414-914f9cb8084e: enqueued for retry, 1 remaining", None),
    ("rq_job_timeout", "rq.timeouts.JobTimeoutException: Task exceeded maximum timeout value (180 seconds)", None),
    ("postgres_too_many_clients", P + "FATAL:  sorry, too many clients already", None),
    ("postgres_too_many_clients", P + 'FATAL:  too many connections for role "shop"', None),
    ("postgres_connection_slots_reserved", P + "FATAL:  remaining connection slots are reserved for non-replication superuser connections", None),
    ("postgres_deadlock", P + "ERROR:  deadlock detected", None),
    ("postgres_statement_timeout", P + "ERROR:  canceling statement due to statement timeout", None),
    ("postgres_lock_timeout", P + "ERROR:  canceling statement due to lock timeout", None),
    ("postgres_user_cancel", P + "ERROR:  canceling statement due to user request", None),
    ("postgres_idle_transaction_timeout", P + "FATAL:  terminating connection due to idle-in-transaction timeout", None),
    ("postgres_slow_query", P + "LOG:  duration: 2000.852 ms  statement: select pg_sleep(2)", None),
    ("postgres_lock_wait", P + "LOG:  process 487 still waiting for ShareLock on transaction 740 after 200.123 ms", None),
    ("postgres_temporary_file", P + 'LOG:  temporary file: path "base/pgsql_tmp/pgsql_tmp487.0", size 2801664', None),
    ("postgres_checkpoints", P + "LOG:  checkpoints are occurring too frequently (18 seconds apart)", None),
    ("postgres_out_of_memory", P + "ERROR:  out of memory", None),
    ("postgres_out_of_memory", P + "DETAIL:  Failed on request of size 1048576 in memory context \"ExprContext\".", None),
    ("redis_oom_command", "redis.exceptions.ResponseError: OOM command not allowed when used memory > 'maxmemory'.", None),
    ("redis_misconf", "redis.exceptions.ResponseError: MISCONF Redis is configured to save RDB snapshots, but it is currently not able to persist.", None),
    ("redis_max_clients", "redis.exceptions.ConnectionError: max number of clients reached", None),
    ("nginx_upstream_timeout", N + "upstream timed out (110: Connection timed out) while reading response header from upstream" + U, "http://127.0.0.1:8000"),
    ("nginx_upstream_refused", N + "connect() failed (111: Connection refused) while connecting to upstream" + U, "http://127.0.0.1:8000"),
    ("nginx_upstream_refused", N + 'connect() to unix:/run/shop.sock failed (2: No such file or directory) while connecting to upstream, client: 192.0.2.7, '
     'upstream: "http://unix:/run/shop.sock:/a"', "http://unix:/run/shop.sock"),
    ("nginx_upstream_backlog", N + "connect() to unix:/run/shop.sock failed (11: Resource temporarily unavailable) while connecting to upstream" + U,
     "http://127.0.0.1:8000"),
    ("nginx_upstream_closed", N + "upstream prematurely closed connection while reading response header from upstream" + U, "http://127.0.0.1:8000"),
    ("nginx_upstream_closed", N + "recv() failed (104: Connection reset by peer) while reading response header from upstream" + U, None),
    ("nginx_no_live_upstreams", N + 'no live upstreams while connecting to upstream, client: 192.0.2.7, upstream: "http://shop/a"', "http://shop"),
    ("nginx_worker_connections", "2026/01/12 08:30:01 [alert] 228#228: 20 worker_connections are not enough", None),
    ("nginx_limit_req", N + 'limiting requests, excess: 0.999 by zone "one", client: 192.0.2.7', "one"),
    ("nginx_limit_req", N + 'delaying request, excess: 0.841, by zone "one", client: 192.0.2.7', "one"),
    ("nginx_body_too_large", N + "client intended to send too large body: 2000000 bytes, client: 192.0.2.7", None),
    ("nginx_body_too_large", N + "client intended to send too large chunked body: 1048576+4096 bytes, client: 192.0.2.7", None),
    ("nginx_upstream_header", N + "upstream sent too big header while reading response header from upstream" + U, "http://127.0.0.1:8000"),
    ("nginx_upstream_unresolved", N + "shop.internal could not be resolved (3: Host not found), client: 192.0.2.7", "shop.internal"),
    ("nginx_worker_signal", "2026/01/12 08:30:01 [alert] 228#228: worker process 4242 exited on signal 9", "9"),
    ("nginx_to_disk", "2026/01/12 08:30:01 [warn] 7#7: *1 an upstream response is buffered to a temporary file /tmp/1 while reading upstream" + U, None),
    ("nginx_to_disk", "2026/01/12 08:30:01 [warn] 7#7: *1 a client request body is buffered to a temporary file /tmp/1, client: 192.0.2.7", None),
    ("nginx_limit_conn", N + 'limiting connections by zone "c", client: 192.0.2.7', "c"),
    ("memory_error", "MemoryError", None),
    ("cannot_allocate_memory", "OSError: [Errno 12] Cannot allocate memory", None),
    ("too_many_open_files", "OSError: [Errno 24] Too many open files: '/dev/null'", None),
    ("disk_full", "OSError: [Errno 28] No space left on device", None),
    ("dependency_refused", 'psycopg2.OperationalError: connection to server at "db-1" (192.0.2.9), port 5432 failed: Connection refused', "db-1"),
    ("dependency_refused", "redis.exceptions.ConnectionError: Error 111 connecting to cache-1:6379. Connection refused.", "cache-1:6379."),
    ("dependency_refused", "ConnectionRefusedError: [Errno 111] Connection refused", None),
    ("dependency_timeout", "requests.exceptions.ReadTimeout: HTTPSConnectionPool(host='pay.example.com', port=443): Read timed out. (read timeout=5)",
     "pay.example.com"),
    ("dns_failure", "urllib.error.URLError: <urlopen error [Errno -3] Temporary failure in name resolution>", None),
    ("ssl_error", "ssl.SSLCertVerificationError: [SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed", None),
    ("outbound_429", "requests.exceptions.HTTPError: 429 Client Error: Too Many Requests for url: https://pay.example.com/charge?key=1",
     "https://pay.example.com"),
    ("outbound_429", 'INFO httpx HTTP Request: POST https://pay.example.com/charge "HTTP/1.1 429 Too Many Requests"', None),
    ("outbound_503", "urllib.error.HTTPError: HTTP Error 503: Service Unavailable", None),
    ("outbound_503", 'DEBUG urllib3.connectionpool https://pay.example.com:443 "GET /a HTTP/1.1" 503 None', "pay.example.com:443"),
    ("outbound_retry", "WARNING urllib3.connectionpool Retrying (Retry(total=2, connect=None)) after connection broken by 'NewConnectionError'", None),
    ("start_limit_hit", "shop-broken.service: Start request repeated too quickly.", None),
    ("start_limit_hit", "shop-broken.service: Failed with result 'start-limit-hit'.", None),
    ("unit_timeout", "shop-web.service: State 'stop-sigterm' timed out. Killing.", None),
)

NONE: t.Final = (
    "INFO:uvicorn.error:Application startup complete.",
    "[2025-xx-xx xx:xx:xx,xxx: INFO/MainProcess] Task apps.orders.check[xxx] retry: Retry in 30s",
    G + "[INFO] Handling signal: term",
    G + "[INFO] Worker exiting (pid: 282)",
    '192.0.2.7 - - [12/Jan/2026:08:30:01 +0000] "GET /a HTTP/1.1" 503 12 "-" "curl/8"',
    '192.0.2.7 - - [12/Jan/2026:08:30:01 +0000] "GET /a HTTP/1.1" 429 12 "https://shop.example/" "curl/8"',
    "    except MemoryErrorHandler:",
    "from celery.exceptions import SoftTimeLimitExceeded",
    "worker_connections 1024;",
    "process 12 duration: 3 ms",
    C + "INFO/ForkPoolWorker-4] " + T + "raised expected: KeyError('x')",
    "ports 4290-5030 are open, 429 of them in use, 503 free",
    "",
)


def found(line: str) -> t.Dict[str, t.Optional[str]]:
    seen: t.Dict[str, t.Optional[str]] = {}
    for match in _log_signals.matches(line):
        name = _log_signals.SIGNALS[match.signal].id
        seen[name] = seen.get(name) or match.about
    return seen


@pytest.mark.parametrize("signal, line, about", LINES)
def test_a_line_of_each_program(signal: str, line: str, about: t.Optional[str]) -> None:
    assert signal in found(line) and found(line)[signal] == about


def test_every_signal_has_a_line_a_meaning_and_a_name_of_its_own() -> None:
    ids = [signal.id for signal in _log_signals.SIGNALS]
    assert set(ids) == {signal for signal, dummy, dummy2 in LINES} and len(ids) == len(set(ids))
    assert all(signal.meaning and re.fullmatch(r"[a-z0-9_]+", signal.id) for signal in _log_signals.SIGNALS)


@pytest.mark.parametrize("line", NONE)
def test_what_looks_like_one(line: str) -> None:
    assert found(line) == {}


@pytest.mark.parametrize("signal, line, about", LINES)
def test_what_may_stand_in_a_text_is_known_from_all_of_it(signal: str, line: str, about: t.Optional[str]) -> None:
    forms = _log_signals.forms_in(("before\n%s\nafter" % line).encode())
    assert _log_signals.matches(line, forms) == _log_signals.matches(line) and not _log_signals.forms_in(b"nothing of it")


def test_a_run_time_is_read() -> None:
    match = _log_signals.matches(C + "INFO/ForkPoolWorker-2] " + T + "succeeded in 1.5e-05s: None")[0]
    assert (match.task, match.seconds) == ("shop.tasks.charge", 1.5e-05)


PIECES = st.lists(st.one_of(st.sampled_from([line for dummy, line, dummy2 in LINES]), st.sampled_from([trigger for signal in _log_signals.SIGNALS
                  for trigger, dummy in signal.forms]), st.text(max_size=40)), max_size=6)


@settings(max_examples=EXAMPLES, deadline=None, database=None)
@given(PIECES, st.integers(0, 300))
def test_anything_at_all(pieces: t.List[str], repeat: int) -> None:
    line = "".join(pieces) * (repeat % 7) + "x" * repeat
    for match in _log_signals.matches(line):
        assert match.about is None or (len(match.about) <= 400 and match.about in line)
