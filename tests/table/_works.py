# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The cells where everything works: what is put on the host, drawn at random, and the same facts from each program's own tool."""

from __future__ import annotations

import random
from typing import Any, NamedTuple

from _cells import at
from _host import Host


class Drawn(NamedTuple):
    """What this run puts on the host."""

    word: str
    port: int
    containers: int
    requests: int
    sessions: int
    open_transactions: int
    queued: int
    cron_lines: int
    log_lines: int


def draw(randomly: random.Random) -> Drawn:
    sessions = randomly.randrange(3, 9)
    return Drawn("".join(randomly.choice("bcdfghklmnpr") for dummy in range(6)), randomly.randrange(20000, 30000), randomly.randrange(1, 4),
                 randomly.randrange(20, 60), sessions, randomly.randrange(1, sessions), randomly.randrange(5, 200), randomly.randrange(2, 12),
                 randomly.randrange(20, 200))


def prepare(host: Host, drawn: Drawn) -> None:
    """What the facts of the cells that work are about."""
    idle = drawn.sessions - drawn.open_transactions
    host.sh("""set -e
{{ for number in $(seq {lines}); do echo "$number 3 * * * /bin/true {word}"; done; }} | crontab -u ordinary -
printf '# {word}\\n7 4 * * * root /bin/true\\n' > /etc/cron.d/table-{word}
redis-cli sadd rq:queues rq:queue:{word} >/dev/null
for number in $(seq {queued}); do echo "rpush rq:queue:{word} job-$number"; done | redis-cli >/dev/null
systemd-run --quiet --unit=table-talk-{word} sh -c 'for number in $(seq {logs}); do echo "line $number of {word}"; done; sleep 1'
python3 /opt/table/onhost.py ask {requests} http://127.0.0.1/api/?table
for number in $(seq {idle}); do
    systemd-run --quiet --uid=postgres sh -c 'PGAPPNAME={word} psql -qc "select 1" -c "\\\\! sleep 3000"'; done
for number in $(seq {open}); do
    systemd-run --quiet --uid=postgres sh -c 'PGAPPNAME={word} psql -qc "begin" -c "\\\\! sleep 3000"'; done
sleep 2
""".format(lines=drawn.cron_lines, word=drawn.word, queued=drawn.queued, logs=drawn.log_lines, requests=drawn.requests, idle=idle,
           open=drawn.open_transactions))


def ended(host: Host, drawn: Drawn) -> None:
    """End the transactions that were held open: what is open for minutes is an incident of its own, and no host in it would be called healthy."""
    _sql(host, "select count(pg_terminate_backend(pid)) from pg_stat_activity where application_name = '{0}'".format(drawn.word))


def _sql(host: Host, query: str) -> str:
    return host.sh("cd /; runuser -u postgres -- psql -Atc \"{0}\"".format(query)).strip()


def _same(wrong: list[str], what: str, ours: Any, theirs: Any) -> None:
    if str(ours) != str(theirs):
        wrong.append("{0}: the snapshot says {1}, its own tool {2}".format(what, ours, theirs))


def compared(host: Host, drawn: Drawn, snapshot: dict[str, Any]) -> dict[str, tuple[str, list[str]]]:
    """By collector: what was held against what, and where they differ."""
    found: dict[str, tuple[str, list[str]]] = {}

    def add(name: str, what: str, *pairs: tuple[str, Any, Any]) -> None:
        wrong: list[str] = []
        for label, ours, theirs in pairs:
            _same(wrong, label, ours, theirs)
        found[name] = (what, wrong)

    add("host", "docker inspect, hostname, nproc", ("memory limit", at(snapshot, "host.memory.limit_bytes"), host.inspected("{{.HostConfig.Memory}}")),
        ("host name", at(snapshot, "host.hostname"), host.sh("hostname").strip()), ("CPUs", at(snapshot, "host.cpu.usable"), float(host.sh("nproc"))))
    pid = host.sh("systemctl show -P MainPID shop-web").strip()
    web = "services[id=shop-web.service]"
    add("services", "systemctl, pgrep", ("main process of shop-web", at(snapshot, web + ".main_pid"), pid),
        ("its workers", len(at(snapshot, web + ".workers") or []), len(host.sh("pgrep -P " + pid).split())),
        ("its cgroup's processes", at(snapshot, web + ".processes"), len(host.sh("cat /proc/{0}/task/*/children".format(pid)).split()) + 1))
    restarts = host.sh("systemctl show -P NRestarts shop-web").strip()
    add("units", "systemctl show, the unit's text", ("restarts of shop-web", at(snapshot, web + ".restarts"), restarts),
        ("workers", at(snapshot, web + ".settings.workers.value"), 2), ("timeout", at(snapshot, web + ".settings.timeout.value"), 60))
    add("nginx", "the requests that were made", ("requests of the last minutes, at least", (at(snapshot, "nginx.requests") or 0) >= drawn.requests, True),
        ("main process", at(snapshot, "nginx.main_pid"), host.sh("cat /run/nginx.pid").strip()))
    rows = at(snapshot, "postgres[0].by_application") or []
    mine = next((row for row in rows if row["name"] == drawn.word), {})
    query = ("select count(*), count(*) filter (where state = 'idle in transaction') from pg_stat_activity"
             " where application_name = '{0}'".format(drawn.word))
    total, idle = _sql(host, query).split("|")
    add("postgres", "psql", ("sessions of an application", mine.get("sessions"), total), ("of these drawn", total, drawn.sessions),
        ("of these idle in transaction", mine.get("idle_in_transaction"), idle),
        ("max_connections", at(snapshot, "postgres[0].max_connections"), _sql(host, "show max_connections")))
    queue = next((row for row in at(snapshot, "redis.servers[0].queues") or [] if row["name"] == drawn.word), {})
    add("redis", "redis-cli", ("jobs of a queue", queue.get("waiting"), host.sh("redis-cli llen rq:queue:" + drawn.word).strip()),
        ("of these drawn", queue.get("waiting"), drawn.queued),
        ("keys", (at(snapshot, "redis.servers[0].databases") or [{}])[0].get("keys"), host.sh("redis-cli dbsize").strip()))
    cron = [row for row in at(snapshot, "jobs.cron") or [] if row["user"] == "ordinary"]
    timers = host.sh("systemctl list-timers --no-legend --no-pager --plain | wc -l").strip()
    add("jobs", "crontab -l, systemctl list-timers", ("lines of a crontab", len(cron), host.sh("crontab -l -u ordinary | wc -l").strip()),
        ("of these drawn", len(cron), drawn.cron_lines), ("timers", len(at(snapshot, "jobs.timers") or []), timers))
    add("health", "the answers that were asked for", ("good answers", at(snapshot, "health[0].good"), 3),
        ("status", at(snapshot, "health[0].status"), {"200": 3}))
    add("containers", "docker ps", ("running", at(snapshot, "containers.counts.running"), len(host.sh("docker ps -q").split())),
        ("of these drawn", at(snapshot, "containers.counts.running"), drawn.containers),
        ("names", sorted(row["name"] for row in at(snapshot, "containers.containers") or []), sorted(host.sh("docker ps --format '{{.Names}}'").split())),
        ("limits", {row["memory"]["limit_bytes"] for row in at(snapshot, "containers.containers") or []}, {32 << 20}))
    unit = "table-talk-{0}.service".format(drawn.word)
    talk = next((row for row in at(snapshot, "logs.services") or [] if row["service"] == unit), {})
    lines = host.sh("journalctl --no-pager --output=cat --unit={0} | wc -l".format(unit)).strip()
    add("logs", "journalctl", ("lines of a unit", talk.get("lines"), lines), ("of these drawn, at least", int(lines) >= drawn.log_lines, True))
    ours = {(row["port"]) for row in at(snapshot, "connections.listeners") or [] if row["kind"] == "tcp" and row["own_network"]}
    theirs = {int(line.split()[3].rpartition(":")[2]) for line in host.sh("ss -Hltn").splitlines()}
    add("connections", "ss -ltn", ("listening ports", sorted(ours), sorted(theirs)))
    path = "/etc/cron.d/table-" + drawn.word
    told = [row for row in at(snapshot, "timeline.events") or [] if path in row["what"]]
    age = float(host.sh("echo $(($(date +%s) - $(stat -c %Y {0})))".format(path)))
    add("changes", "stat", ("the crontab that was made", len(told), 1), ("when, within a minute", bool(told) and abs(told[0]["age_s"] - age) < 60, True))
    return found


def killed(host: Host, drawn: Drawn, snapshot: dict[str, Any]) -> tuple[str, list[str]]:
    """The kill that was caused, as the kernel's log has it."""
    wrong: list[str] = []
    unit = "table-hog-{0}.service".format(drawn.word)
    row = at(snapshot, "oom.services[0]") or (at(snapshot, "oom.services") or {}).get(unit) or {}
    lines = host.sh("dmesg | grep -c 'task_memcg=.*{0}' || true".format(unit)).strip()
    _same(wrong, "kills of a unit", row.get("kills"), lines)
    if lines == "0":
        wrong.append("nothing was killed")
    return "dmesg", wrong
