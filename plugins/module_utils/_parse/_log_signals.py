# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Lines of logs that mean something under pressure: which software says it, what it means, how it reads.

Private to oncall.pressure: no stable interface. Pure: text in, plain data out.

A signal has one or more forms. What happens once may be told by several lines (a worker that was lost: by the pool, by the task, by
the end of its traceback), but by each form at most once: the count of a signal is that of its most frequent form.
"""

from __future__ import annotations

import re
import typing as t


class Signal(t.NamedTuple):
    """id; component: whose words these are ("any": of no one program); meaning: what happened, in a line.

    forms: pairs of a text that stands in every such line, by which it is looked for, and the pattern that it must match. Groups of a pattern:
    ``about`` names what it is about (a task, a peer, a zone); ``task``, ``identity`` and ``seconds`` are a task's name, which one it is, its run time.
    usual: it is part of normal work; its rate tells something, that it is there does not.
    """

    id: str
    component: str
    meaning: str
    forms: tuple[tuple[str, str], ...]
    usual: bool = False


# celery's own marks: name and id of a task. The id is the user's to choose, the name is a dotted path mostly.
_TASK = r"Task (?P<task>[^\s\[]{1,200})\[[^\]\s]{1,200}\] "
_NAME = r"(?P<about>[A-Za-z0-9_.:-]{1,200})"
# urllib3: a request of ours and how it was answered
_ANSWERED = r"https?://(?P<about>[A-Za-z0-9_.:-]{1,200}) \"[A-Z]+ [^\"]{0,2000}\" "
# nginx: what a request was passed to, without the path that was asked for
_UPSTREAM = r"(?:upstream: \"(?P<about>(?:[a-z]{1,12}://)?(?:unix:[^\":]{1,150}|[^\"/]{1,150}))|$)"
_PEER = r"(?P<about>(?:https?://)?[A-Za-z0-9_.:\[\]-]{1,200})"

SIGNALS: t.Final[tuple[Signal, ...]] = (
    Signal("gunicorn_worker_timeout", "gunicorn", "a worker was silent for longer than the timeout, and is killed",
           ((" TIMEOUT (pid:", r"WORKER TIMEOUT \(pid: ?\d+\)"),)),
    Signal("gunicorn_worker_sigkill", "gunicorn", "a worker was killed: by the kernel for want of memory, by a person, or after its timeout by gunicorn itself",
           (("was sent SIGKILL!", r"Worker \(pid: ?\d+\) was sent SIGKILL!"),
            ("was terminated due to signal 9", r"Worker with pid \d+ was terminated due to signal 9\b"))),
    Signal("gunicorn_worker_signal", "gunicorn", "a worker was ended by a signal",
           (("was terminated due to signal ", r"Worker with pid \d+ was terminated due to signal (?P<about>\d+)"),
            (") was sent ", r"Worker \(pid: ?\d+\) was sent (?P<about>(?!SIGKILL)(?:SIG[A-Z0-9+]+|code \d+))!"))),
    Signal("gunicorn_worker_exit", "gunicorn", "a worker ended with an error",
           ((") exited with code ", r"Worker \(pid: ?\d+\) exited with code (?P<about>[1-9]\d*)"),)),
    Signal("gunicorn_boot_failed", "gunicorn", "the application could not be started",
           (("Worker failed to boot.", r"Worker failed to boot\."), ("App failed to load.", r"App failed to load\."))),
    Signal("gunicorn_worker_boot", "gunicorn", "a worker starts", (("Booting worker with pid", r"Booting worker with pid: ?\d+"),), True),
    Signal("uvicorn_child_died", "uvicorn", "a worker process died and is replaced", (("Child process [", r"Child process \[\d+\] died"),)),
    Signal("uvicorn_invalid_request", "uvicorn", "something that is no HTTP was received",
           (("Invalid HTTP request received", r"Invalid HTTP request received"),)),
    Signal("uvicorn_concurrency_limit", "uvicorn", "requests are refused: more at once than its limit",
           (("Exceeded concurrency limit", r"Exceeded concurrency limit"),)),
    Signal("asyncio_slow_callback", "uvicorn", "the event loop was held up by one callback",
           ((" seconds", r"Executing <?(?:Handle|Task|TimerHandle)\b.{0,2000} took (?P<seconds>\d+\.\d+) seconds"),)),

    Signal("celery_worker_lost", "celery", "a child of the pool died in the middle of a task",
           (("WorkerLostError", r"raised error: [\"']?WorkerLostError|raised unexpected: WorkerLostError"),
            ("exited prematurely", r"WorkerLostError: Worker exited prematurely"),
            ("WorkerLostError", r"WorkerLostError(?::|\()(?! ?['\"]?Worker exited prematurely)"),
            (" exited with ", r"Process [\"']?[\w-]*(?:Worker|worker)-\d+(?::\d+)?[\"']? pid:\d+ exited with [\"']?(?:signal|exitcode) -?[1-9]"))),
    Signal("celery_task_retry", "celery", "a task failed and is tried again",
           ((" retry: ", _TASK + r"retry: \S"), ("retry: Retry in ", r"retry: Retry in \d"))),
    Signal("celery_task_failed", "celery", "a task raised an exception",
           (("raised unexpected: ", _TASK + r"raised unexpected: "), ("raised unexpected: ", r"^\s*raised unexpected: \w"),
            ("raised exception: ", _TASK + r"raised exception: "),
            (" INTERNAL ERROR: ", _TASK + r"INTERNAL ERROR: "))),
    Signal("celery_soft_time_limit", "celery", "a task ran longer than its soft time limit",
           (("Soft time limit", r"Soft time limit \(\d+(?:\.\d+)?s\) exceeded(?: for (?P<about>[^\s\[]{1,200}))?"),
            ("SoftTimeLimitExceeded", r"(?:raised unexpected: |\b(?:billiard|celery)\.exceptions\.|^)SoftTimeLimitExceeded\b"))),
    Signal("celery_hard_time_limit", "celery", "a task ran longer than its time limit, and its child was killed",
           (("Hard time limit", r"Hard time limit \(\d+(?:\.\d+)?s\) exceeded(?: for (?P<about>[^\s\[]{1,200}))?"),
            ("TimeLimitExceeded", r"(?<!Soft)TimeLimitExceeded(?:\(\d|: TimeLimitExceeded\()"))),
    Signal("celery_missed_heartbeat", "celery", "another worker was not heard of: it is gone, stuck, or has no processor time",
           (("missed heartbeat from ", r"missed heartbeat from (?P<about>\S{1,200})"),)),
    Signal("celery_clock_drift", "celery", "clocks of two workers differ, or messages wait very long",
           (("Substantial drift from ", r"Substantial drift from \S+ may mean"),)),
    Signal("celery_broker_lost", "celery", "no connection to the broker",
           (("Connection to broker lost", r"Connection to broker lost"), ("Cannot connect to ", r"consumer: Cannot connect to (?P<about>\S{1,200}?): "))),
    Signal("celery_task_received", "celery", "a task arrived",
           (("] received", _TASK + r"received"), ("Received task: ", r"Received task: (?P<task>[^\s\[]{1,200})\[")), True),
    Signal("celery_task_succeeded", "celery", "a task ended well", ((" succeeded in ", _TASK + r"succeeded in (?P<seconds>\d+(?:\.\d+)?(?:e-?\d+)?)s"),), True),

    Signal("rq_job_failed", "rq", "a job raised an exception or was lost",
           (("exception raised while executing", r"[Jj]ob (?P<identity>[^\]\s]{1,200}?)\]?: exception raised while executing \((?P<task>[^)]{1,200})\)"),
            ("Moving job to FailedJobRegistry", r"Moving job to FailedJobRegistry \((?!Work-horse)"))),
    # rq says so only where its logger for jobs is set up, which its own program does not: the tally knows it from a job that failed and starts again
    Signal("rq_job_retry", "rq", "a job failed and is tried again", (("for retry", r"[Jj]ob \S{1,200}: (?:scheduled|enqueued) for retry\b"),)),
    Signal("rq_job_started", "rq", "a job begins",
           # its end is looked at first, and once: whatever stands between is the user's
           ((") (", r"^(?=.*\) \((?P<identity>[0-9a-f]{8}-[0-9a-f-]{27})\)\s*$).{0,200}?(?<!\S)\S{1,100}: (?P<task>[A-Za-z_][\w.]{0,199})\("),), True),
    Signal("rq_work_horse_lost", "rq", "the process that ran a job died: killed for want of memory, or by its time limit",
           (("Work-horse ", r"Work-horse (?:process was )?terminated unexpectedly"),)),
    Signal("rq_job_ok", "rq", "a job ended well",
           (("Job OK", r": .{0,10}Job OK.{0,10} \("),
            ("Successfully completed ",
             r"Successfully completed (?P<task>[A-Za-z_][\w.]{0,199})\(.{0,2000}\) job in (?P<seconds>\d{1,6}:\d\d:\d\d(?:\.\d{1,9})?)s on worker ")), True),
    Signal("rq_job_timeout", "rq", "a job ran longer than its timeout",
           (("exceeded maximum timeout value", r"(?:Task|Job) exceeded maximum timeout value \(\d+ seconds\)"),)),

    Signal("postgres_too_many_clients", "postgres", "a client was refused: all connections are in use",
           (("too many clients already", r"sorry, too many clients already"),
            ("too many connections for ", r"too many connections for (?:role|database) \""),)),
    Signal("postgres_connection_slots_reserved", "postgres", "a client was refused: what is left is for administrators",
           (("connection slots are reserved", r"remaining connection slots are reserved"),)),
    Signal("postgres_deadlock", "postgres", "two transactions waited for each other, one was ended",
           (("deadlock detected", r"(?:ERROR: +|DeadlockDetected.{0,40}|^)deadlock detected"),)),
    Signal("postgres_statement_timeout", "postgres", "a statement ran longer than statement_timeout",
           (("due to statement timeout", r"canceling statement due to statement timeout"),)),
    Signal("postgres_lock_timeout", "postgres", "a statement waited longer than lock_timeout for a lock",
           (("due to lock timeout", r"canceling statement due to lock timeout"),)),
    Signal("postgres_user_cancel", "postgres", "a statement was cancelled by who asked for it",
           (("due to user request", r"canceling statement due to user request"),)),
    Signal("postgres_idle_transaction_timeout", "postgres", "a session sat idle in a transaction for too long",
           (("idle-in-transaction timeout", r"terminating connection due to idle-in-transaction timeout"),)),
    Signal("postgres_slow_query", "postgres", "a statement took longer than log_min_duration_statement",
           (("duration: ", r"(?:LOG:\s{1,4}|LOG,[0-9A-Z]{5},\"|\"message\": ?\")duration: (?P<seconds>\d+(?:\.\d+)?) ms"),)),
    Signal("postgres_lock_wait", "postgres", "a statement waits for a lock", ((" still waiting for ", r"process \d+ still waiting for \w+ on "),)),
    Signal("postgres_temporary_file", "postgres", "a sort or hash was larger than work_mem and went to disk",
           (("temporary file: path", r"temporary file: path \""),)),
    Signal("postgres_checkpoints", "postgres", "so much is written that checkpoints follow each other too fast",
           (("checkpoints are occurring too frequently", r"checkpoints are occurring too frequently"),)),
    Signal("postgres_out_of_memory", "postgres", "the server got no memory for a statement",
           (("out of memory", r"(?:ERROR|FATAL|PANIC):\s{1,4}out of memory|\b(?:pq|PG::OutOfMemory|OutOfMemory): (?:ERROR:\s+)?out of memory"),
            ("Failed on request of size", r"DETAIL:\s{1,4}Failed on request of size \d+"),
            ("could not fork new process", r"could not fork new process for connection: Cannot allocate memory"))),

    Signal("redis_oom_command", "redis", "a write was refused: maxmemory is reached and nothing may be evicted",
           (("command not allowed when used memory", r"command not allowed when used memory"),)),
    Signal("redis_misconf", "redis", "writes are refused: the last snapshot could not be saved",
           (("MISCONF ", r"MISCONF Redis is configured to save RDB snapshots|MISCONF .{0,80}RDB"),)),
    Signal("redis_max_clients", "redis", "a client was refused: maxclients is reached", (("max number of clients reached", r"max number of clients reached"),)),

    Signal("nginx_upstream_timeout", "nginx", "what nginx passes requests to did not answer in time",
           (("upstream timed out", r"upstream timed out \(\d+: .{0,800}?" + _UPSTREAM),)),
    Signal("nginx_upstream_refused", "nginx", "what nginx passes requests to takes no connections",
           (("while connecting to upstream", r"connect\(\) (?:to \S+ )?failed \((?:111|2|13|61|10061): .{0,800}?" + _UPSTREAM),)),
    Signal("nginx_upstream_backlog", "nginx", "the queue of what nginx passes requests to is full",
           (("while connecting to upstream", r"connect\(\) (?:to \S+ )?failed \((?:11|35): .{0,800}?" + _UPSTREAM),)),
    Signal("nginx_upstream_closed", "nginx", "what nginx passes requests to hung up before it had answered",
           (("upstream prematurely closed ", r"upstream prematurely closed .{0,800}?" + _UPSTREAM),
            ("(104: Connection reset by peer)",
             r"(?:recv|send|readv|writev|sendfile)\(\) failed \(104: Connection reset by peer\) while \w+ing .{0,40}upstream"))),
    Signal("nginx_no_live_upstreams", "nginx", "every server of an upstream is held to be down",
           (("no live upstreams", r"no live upstreams while connecting to upstream.{0,800}?" + _UPSTREAM),)),
    Signal("nginx_worker_connections", "nginx", "a worker has no connections left",
           (("worker_connections are not enough", r"\d+ worker_connections are not enough"),)),
    Signal("nginx_limit_req", "nginx", "a request was refused or delayed by limit_req",
           ((" requests, excess: ", r"limiting requests, excess: [\d.]+,? by zone \"(?P<about>[^\"]{1,100})\""),
            ("delaying request, excess: ", r"delaying request, excess: [\d.]+,? by zone \"(?P<about>[^\"]{1,100})\""))),
    Signal("nginx_limit_conn", "nginx", "a request was refused by limit_conn",
           (("limiting connections by zone", r"limiting connections by zone \"(?P<about>[^\"]{1,100})\""),)),

    Signal("nginx_body_too_large", "nginx", "a request was refused: its body is larger than client_max_body_size",
           (("client intended to send too large", r"client intended to send too large (?:chunked )?body: [\d+]{1,41} bytes"),)),
    Signal("nginx_upstream_header", "nginx", "the head of an answer did not fit into the buffer for it",
           (("upstream sent too big header", r"upstream sent too big header .{0,800}?" + _UPSTREAM),)),
    Signal("nginx_upstream_unresolved", "nginx", "the name of what requests are passed to could not be resolved",
           ((" could not be resolved (", r"(?:\] \d+#\d+: \*\d+ |^)(?P<about>[A-Za-z0-9_.-]{1,200}) could not be resolved \("),)),
    Signal("nginx_worker_signal", "nginx", "a worker was ended by a signal: 9 is the kernel for want of memory, or a person; 11 a fault of its own",
           ((" exited on signal ", r"worker process \d+ exited on signal (?P<about>\d{1,3})"),)),
    Signal("nginx_to_disk", "nginx", "a body or an answer was larger than its buffers and went to disk",
           ((" is buffered to a temporary file", r"a(?:n upstream response| client request body) is buffered to a temporary file"),), True),

    Signal("memory_error", "any", "Python got no memory", (("MemoryError", r"(?:^|[\s(\"'])(?:numpy\.\S{0,80})?_?(?:Array)?MemoryError(?:[:('\"]|$)"),)),
    Signal("cannot_allocate_memory", "any", "the kernel gave no memory: a limit is reached, or it does not overcommit",
           (("Cannot allocate memory", r"Cannot allocate memory"), ("Can't allocate memory", r"Can't allocate memory"))),
    Signal("too_many_open_files", "any", "a process has no file descriptors left",
           (("oo many open files", r"[Tt]oo many open files(?: in system)?"), ("EMFILE", r"\bEMFILE\b(?!.{0,60}[Tt]oo many open files)"))),
    Signal("disk_full", "any", "a file system is full",
           (("No space left on device",
             r"No space left on device"), ("could not extend file", r"could not extend file \"[^\"]{1,200}\"(?!.{0,20}No space left)"),
            ("ENOSPC", r"\bENOSPC\b(?!.{0,60}[Nn]o space left)"), ("Disk quota exceeded", r"Disk quota exceeded"))),
    Signal("dependency_refused", "any", "something this service needs takes no connections",
           (("onnection refused",
             r"(?:onnecting to|onnect to|connection to(?: server at)?|onnection(?:Pool)?\(host=) ?['\"]?" + _PEER + r".{0,300}[Cc]onnection refused"),
            ("ConnectionRefusedError", r"ConnectionRefusedError(?:: \[Errno \d+\]|\()"))),
    Signal("dependency_timeout", "any", "something this service needs did not answer in time",
           (("imeout", r"(?:ConnectTimeout|ReadTimeout|ConnectTimeoutError|ReadTimeoutError)\b(?:.{0,200}?host='(?P<about>[^']{1,200})')?"),
            ("imed out",
             r"(?:HTTPS?ConnectionPool\(host='" + _NAME + r"'|[Cc]onnection to (?:server at )?\"?(?!client)\S{1,200}) ?.{0,200}?(?:[Rr]ead )?timed out"))),
    Signal("dns_failure", "any", "a name could not be resolved",
           (("ame resolution", r"[Tt]emporary failure in name resolution"), ("Name or service not known", r"Name or service not known"),
            ("could not translate host name", r"could not translate host name \"(?P<about>[^\"]{1,200})\"(?!.{0,30}(?:name resolution|not known))"))),
    Signal("ssl_error", "any", "a TLS connection failed",
           (("SSL", r"\bssl\.SSL\w*Error\b|\bSSLError\(|SSL_do_handshake\(\) failed|\bSSL(?: error|: [A-Z_]{4,60}\])"),)),
    Signal("outbound_429", "any", "another service says that it is asked too often",
           (("429 Client Error", r"\b429 Client Error\b(?:.{0,40}? for url: (?P<about>https?://[^\s/?]{1,200}))?"),
            ("HTTP Error 429: ", r"HTTP Error 429: "), (" 429 Too Many Requests", r"\"HTTP/[\d.]+ 429 [A-Z]"), (" 429 ", _ANSWERED + "429 "))),
    Signal("outbound_503", "any", "another service is not available",
           (("503 Server Error", r"\b503 Server Error\b(?:.{0,60}? for url: (?P<about>https?://[^\s/?]{1,200}))?"),
            ("HTTP Error 503: ", r"HTTP Error 503: "), (" 503 Service", r"\"HTTP/[\d.]+ 503 [A-Z]"), (" 503 ", _ANSWERED + "503 "))),
    Signal("outbound_retry", "any", "a request to another service is sent again",
           (("Retrying ", r"Retrying \(Retry\(total=\d+|\bRetrying (?:request|in \d|after \d)|(?:^|[\s\]])Retrying \S{1,200} in \d+(?:\.\d+)? seconds"),)),

    Signal("start_limit_hit", "host", "systemd gave up: the unit failed too often in a short time",
           (("Start request repeated too quickly", r"Start request repeated too quickly"), ("start-limit-hit", r"Failed with result 'start-limit(?:-hit)?'"))),
    Signal("unit_timeout", "host", "a unit did not start or stop in time, or its watchdog was not fed",
           (("timed out", r"\.service: (?:[Ss]tart|[Ss]top|State '[\w-]+'|start operation|stop-sigterm).{0,20} timed out"),
            ("Watchdog timeout", r"\.service: Watchdog timeout"))),
)


class Match(t.NamedTuple):
    """One form of a signal met in a line. signal and form: their places in the tables; about, task: text as the line has it; seconds: a run time;
    identity: which task of its name it is."""

    signal: int
    form: int
    about: str | None
    task: str | None
    seconds: float | None
    identity: str | None = None


#: A form ready to be looked for: the text to look for, its pattern (compiled when it is first met), the places of signal and form.
Form = t.Tuple[str, str, int, int]
_FORMS: t.Final[tuple[Form, ...]] = tuple(
    (trigger, pattern, place, form) for place, signal in enumerate(SIGNALS) for form, (trigger, pattern) in enumerate(signal.forms)
)

#: A line that shows how lines look: its time of day is letters.
_SHOWN = re.compile(r"\bxx(?:xx)?[:-]xx[:-]xx|\bHH:MM:SS\b|\bYYYY-MM-DD\b")

#: No line is looked at beyond this many characters.
LINE_LIMIT = 4096


def forms_in(data: bytes) -> list[Form]:
    """The forms that may stand somewhere in this text: to look for each once in all of it costs a quarter of looking in every line."""
    return [form for form in _FORMS if form[0].encode("ascii") in data]


def matches(line: str, forms: t.Sequence[Form] = _FORMS) -> list[Match]:
    """The signals in one line, nearly always none."""
    found = []
    for trigger, pattern, place, form in forms:
        if trigger in line:
            match = re.compile(pattern).search(line, 0, LINE_LIMIT)
            if match is not None:
                found.append(_match(match, place, form))
    return found if not found or not _SHOWN.search(line, 0, 200) else []


def _match(match: re.Match[str], place: int, form: int) -> Match:
    groups = match.groupdict()
    task = groups.get("task")
    return Match(place, form, groups.get("about") or task, task, _seconds(groups["seconds"]) if groups.get("seconds") else None, groups.get("identity"))


def _seconds(text: str) -> float:
    """A number of seconds, or hours, minutes and seconds."""
    seconds = 0.0
    for part in text.split(":"):
        seconds = seconds * 60.0 + float(part)
    return seconds
