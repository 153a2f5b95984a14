# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options of gunicorn, uvicorn, hypercorn, celery and rq, of old and new releases, and how to read arguments by them.

Private to oncall.pressure: no stable interface. Pure. Sources: gunicorn.config.KNOWN_SETTINGS, the click commands of
uvicorn, celery 5 and rq, the argparse and optparse commands of celery 3 and 4, hypercorn.__main__, django_rq's rqworker.
A unit test holds the tables against the programs that are installed for the tests.
"""

from __future__ import annotations

import typing as t

#: How an option takes its value.
FLAG, VALUE, OPTIONAL = 0, 1, 2


class Table(t.NamedTuple):
    """Options of one command: how each takes its value, which of our settings it sets, and whether unique beginnings of long ones count."""

    takes: dict[str, int]
    sets: dict[str, str]
    prefixes: bool


class Found(t.NamedTuple):
    """An option that was met: its setting, its value (null for a flag), the index of the word that holds the value, and of the option's word."""

    setting: str
    value: str | None
    holder: int
    option: int


class Arguments(t.NamedTuple):
    """What arguments say: options of ours, and positional words with their indexes."""

    options: list[Found]
    positional: list[tuple[int, str]]


def _table(values: str, flags: str, sets: t.Mapping[str, str], optional: str = "", prefixes: bool = True) -> Table:
    takes = {name: VALUE for name in values.split()}
    takes.update((name, FLAG) for name in flags.split())
    takes.update((name, OPTIONAL) for name in optional.split())
    return Table(takes, {name: setting for names, setting in sets.items() for name in names.split()}, prefixes)


GUNICORN = _table(
    """
    -c --config -b --bind --backlog -w --workers -k --worker-class --threads --worker-connections --max-requests --max-requests-jitter -t --timeout
    --graceful-timeout --keep-alive --limit-request-line --limit-request-fields --limit-request-field_size --reload-engine --reload-extra-file
    --chdir -e --env -p --pid --worker-tmp-dir -u --user -g --group -m --umask --forwarded-allow-ips --access-logfile --access-logformat
    --error-logfile --log-file --log-level --logger-class --log-config --log-config-json --log-syslog-to --log-syslog-prefix --log-syslog-facility
    --statsd-host --dogstatsd-tags --statsd-prefix -n --name --pythonpath --paste --paster --proxy-allow-from --protocol --uwsgi-allow-from --keyfile
    --certfile --ssl-version --cert-reqs --ca-certs --ciphers --http-protocols --http2-cleartext --http2-max-concurrent-streams
    --http2-initial-window-size --http2-max-frame-size --http2-max-header-list-size --paste-global --forwarder-headers --header-map
    --asgi-loop --asgi-lifespan --asgi-disconnect-grace-period --websocket-max-message-size --http-parser --root-path --dirty-app --dirty-workers
    --dirty-timeout --dirty-threads --dirty-graceful-timeout --control-socket --control-socket-mode --settings --django-settings --secure-scheme-headers
    --x-forwarded-for-header --proxy-allow-ips --log-syslog-server --disable-access-log-redirection --debug-log --tornado-max-requests
    """,
    """
    -h --help -v --version --reload --spew --check-config --print-config --preload --no-sendfile --reuse-port -D --daemon --initgroups
    --disable-redirect-access-to-syslog --capture-output --log-syslog -R --enable-stdio-inheritance --suppress-ragged-eofs
    --do-handshake-on-connect --permit-obsolete-folding --strip-header-spaces --permit-unconventional-http-method
    --permit-unconventional-http-version --casefold-http-method --no-control-socket --enable-backlog-metric --debug --preload-app
    """,
    {
        "-w --workers": "workers", "--threads": "threads", "-k --worker-class": "worker_class", "--max-requests": "max_requests",
        "--max-requests-jitter": "max_requests_jitter", "-t --timeout": "timeout", "-c --config": "config",
        "-b --bind": "bind", "--chdir": "chdir", "-e --env": "env",
    },
    optional="--proxy-protocol",
)

UVICORN = _table(
    """
    --host --port --uds --fd --reload-dir --reload-include --reload-exclude --reload-delay --workers --loop --http --ws --ws-max-size
    --ws-max-queue --ws-ping-interval --ws-ping-timeout --ws-per-message-deflate --lifespan --interface --env-file --log-config --log-level
    --forwarded-allow-ips --root-path --limit-concurrency --backlog --limit-max-requests --limit-max-requests-jitter --timeout-keep-alive
    --timeout-graceful-shutdown --timeout-worker-healthcheck --ssl-keyfile --ssl-certfile --ssl-keyfile-password --ssl-version --ssl-cert-reqs
    --ssl-ca-certs --ssl-ciphers --header --app-dir --h11-max-incomplete-event-size --app -e --entrypoint
    """,
    """
    --reload --no-reload --access-log --no-access-log --use-colors --no-use-colors --proxy-headers --no-proxy-headers --server-header --no-server-header
    --date-header --no-date-header --version --reset-contextvars --factory --help --debug --http2 --no-http2
    """,
    {
        "--workers": "workers", "--limit-max-requests": "max_requests", "--limit-max-requests-jitter": "max_requests_jitter", "--host": "host",
        "--port": "port", "--uds": "uds", "--env-file": "env_file", "--app-dir": "chdir", "--reload": "reload",
    },
    prefixes=False,
)

HYPERCORN = _table(
    """
    --access-log --access-logfile --access-logformat --backlog -b --bind --ca-certs --certfile --cert-reqs --ciphers -c --config --error-log --error-logfile
    --log-file --graceful-timeout --read-timeout --max-requests --max-requests-jitter -g --group -k --worker-class --keep-alive --keyfile --keyfile-password
    --insecure-bind --log-config --log-level -p --pid --quic-bind --root-path --server-name --statsd-host --statsd-prefix -m --umask -u --user
    --verify-mode --websocket-ping-interval -w --workers --startup-timeout --shutdown-timeout
    """,
    "-D --daemon --debug --reload -h --help",
    {
        "-w --workers": "workers", "-k --worker-class": "worker_class", "--max-requests": "max_requests", "--max-requests-jitter": "max_requests_jitter",
        "-c --config": "config", "-b --bind": "bind",
    },
)

_CELERY_GLOBAL_VALUES = "-A --app -b --broker --result-backend --loader --config --workdir --broker-url"
_CELERY_GLOBAL_FLAGS = "-C --no-color -q --quiet --version --skip-checks --help -h"

CELERY = _table(
    _CELERY_GLOBAL_VALUES, _CELERY_GLOBAL_FLAGS,
    {"--config": "config", "--workdir": "chdir", "-A --app": "app", "-b --broker --broker-url": "broker"},
)

CELERY_WORKER = _table(
    _CELERY_GLOBAL_VALUES + """
    -n --hostname -S --statedb -l --loglevel -O --optimization --prefetch-multiplier -c --concurrency -P --pool --time-limit
    --soft-time-limit --max-tasks-per-child --maxtasksperchild --pool-start-method --max-memory-per-child --maxmemperchild -Q --queues
    -X --exclude-queues -I --include
    --heartbeat-interval --autoscale -s --schedule --schedule-filename --scheduler -f --logfile --pidfile --uid --gid --umask --executable
    --pythonpath --settings
    """,
    _CELERY_GLOBAL_FLAGS.replace(" -h", "") + """
    -D --detach --disable-prefetch -E --task-events --events --purge --discard --without-gossip --without-mingle --without-heartbeat -B --beat
    --autoreload --no-execv --fake --traceback
    """,
    {
        "-c --concurrency": "workers", "-P --pool": "worker_class",
        "--max-tasks-per-child --maxtasksperchild": "max_tasks_per_child",
        "--max-memory-per-child --maxmemperchild": "max_memory_per_child", "-Q --queues": "queues", "--autoscale": "autoscale", "--config": "config",
        "--workdir": "chdir", "-A --app": "app", "-B --beat": "beat", "-b --broker --broker-url": "broker",
    },
)

CELERY_BEAT = _table(
    _CELERY_GLOBAL_VALUES + """
    -s --schedule -S --scheduler --max-interval -n --hostname -l --loglevel -f --logfile --pidfile --uid --gid --umask --executable --settings --pythonpath
    """,
    _CELERY_GLOBAL_FLAGS + " --detach --enable-remote-control --no-enable-remote-control --traceback",
    {"--config": "config", "--workdir": "chdir", "-A --app": "app"},
)

#: flower reads "--name=value"; a value in a word of its own is taken where the option is known
FLOWER = _table(
    _CELERY_GLOBAL_VALUES + """
    --address --port --unix-socket --unix_socket --conf --basic-auth --basic_auth --url-prefix --url_prefix -l --loglevel --logging --db
    """,
    _CELERY_GLOBAL_FLAGS + " --persistent --debug",
    {"--address": "host", "--port": "port", "--unix-socket --unix_socket": "uds"},
    prefixes=False,
)

_RQ_COMMON = """
    -S --serializer -P --path --connection-class --queue-class -j --job-class -w --worker-class -c --config -u --url --sentry-dsn --sentry-ca-certs
    """

RQ_WORKER = _table(
    _RQ_COMMON + """
    --logging_level --logging-level --log-format --date-format -n --name --results-ttl --worker-ttl --maintenance-interval --job-monitoring-interval
    --exception-handler --pid --max-jobs --max-idle-time -ds --dequeue-strategy -H --host -p --port --db -a --password --socket
    --settings --pythonpath --verbosity
    """,
    """
    -b --burst --disable-job-desc-logging -v --verbose -q --quiet --disable-default-exception-handler -s --with-scheduler --version --traceback -d
    --no-color --force-color --skip-checks --help
    """,
    {"-w --worker-class": "worker_class", "-c --config": "config"},
)

RQ_POOL = _table(
    _RQ_COMMON + " -l --logging-level --exception-handler --log-format --date-format -n --num-workers --settings --pythonpath",
    "-b --burst -v --verbose -q --quiet --version --help",
    {"-n --num-workers": "workers", "-w --worker-class": "worker_class", "-c --config": "config"},
)


def read(words: t.Sequence[str], table: Table, start: int = 0, first_positional_ends: bool = False) -> Arguments:
    """Read arguments from ``start`` on. Unknown options are taken as flags.

    :param first_positional_ends: stop after the first word that is no option (what follows belongs to a subcommand)
    """
    options: list[Found] = []
    positional: list[tuple[int, str]] = []
    index = start
    while index < len(words):
        word = words[index]
        if word == "--":
            positional.extend((later, words[later]) for later in range(index + 1, len(words)))
            break
        if not word.startswith("-") or word == "-":
            positional.append((index, word))
            if first_positional_ends:
                break
            index += 1
        elif word.startswith("--") or word in table.takes:
            index = _long(words, index, table, options)
        else:
            index = _short(words, index, table, options)
    return Arguments(options, positional)


def _long(words: t.Sequence[str], index: int, table: Table, options: list[Found]) -> int:
    """Read one ``--option``, ``--option=value`` or ``-o``; returns the index of what follows."""
    name, separator, value = words[index].partition("=")
    name = _whole_name(name, table)
    takes = table.takes.get(name)
    setting = table.sets.get(name)
    if separator:
        if setting:
            options.append(Found(setting, value, index, index))
        return index + 1
    if takes == VALUE and index + 1 < len(words):
        if setting:
            options.append(Found(setting, words[index + 1], index + 1, index))
        return index + 2
    if takes == OPTIONAL and index + 1 < len(words) and not words[index + 1].startswith("-"):
        return index + 2
    if setting and takes == FLAG:
        options.append(Found(setting, None, index, index))
    return index + 1


def _whole_name(name: str, table: Table) -> str:
    if name in table.takes or not table.prefixes:
        return name
    candidates = [known for known in table.takes if known.startswith(name)]
    settings = {table.sets.get(known, known) for known in candidates}
    return candidates[0] if len(settings) == 1 else name


def _short(words: t.Sequence[str], index: int, table: Table, options: list[Found]) -> int:
    """Read ``-abc4``: flags joined, the last one perhaps with its value; returns the index of what follows."""
    word = words[index]
    for place in range(1, len(word)):
        name = "-" + word[place]
        takes = table.takes.get(name)
        setting = table.sets.get(name)
        if takes == VALUE:
            rest = word[place + 1:]
            if rest:
                if setting:
                    options.append(Found(setting, rest[1:] if rest.startswith("=") else rest, index, index))
                return index + 1
            if setting and index + 1 < len(words):
                options.append(Found(setting, words[index + 1], index + 1, index))
            return index + 2
        if takes is None:
            break
        if setting:
            options.append(Found(setting, None, index, index))
    return index + 1
