# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Command lines as people write them in units, supervisor programs, Procfiles, compose files and scripts."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.oncall.pressure.plugins.module_utils._parse._command_line import Command, Refused, parse, parse_argv, parse_words
from ansible_collections.oncall.pressure.plugins.module_utils._parse._shell_words import Word

LINES: list[tuple[str, str, dict[str, t.Any]]] = [
    # units
    ("systemd", "ExecStart=@-/usr/bin/gunicorn gunicorn -w=4 --max-requests-j 5 --work 3 app:app",
     {"program": "gunicorn", "workers": 4, "max_requests_jitter": 5}),
    ("systemd", "ExecStart=/usr/bin/gunicorn -w 4 \\\n# a comment\n  --threads 2 app:app", {"program": "gunicorn", "workers": 4, "threads": 2}),
    ("systemd", "ExecStart=!!+/srv/v/bin/gunicorn -t60 app:app", {"program": "gunicorn", "timeout": 60}),
    (
        "systemd", "ExecStart=/bin/sh -c '${CELERY_BIN} -A $CELERY_APP multi start $CELERYD_NODES \\\n"
        "  --pidfile=${PID} --loglevel=\"${LEVEL}\" $CELERYD_OPTS'",
        {"program": "celery", "subcommand": "multi", "opaque_args": ["$CELERYD_NODES", "$CELERYD_OPTS"]},
    ),
    (
        "systemd", "ExecStart=/usr/bin/python3 -um uvicorn --factory x:y --uds /run/u.sock --limit-max-requests 5",
        {"program": "uvicorn", "bind": "/run/u.sock", "max_requests": 5},
    ),
    ("systemd", "ExecStart=/bin/bash -c \"/v/bin/gunicorn -w $((2*$(nproc)+1)) app\"", {"program": "gunicorn", "workers": "unresolved:$((2*$(nproc)+1))"}),
    (
        "systemd", "ExecStart=/v/bin/gunicorn app{% if w %} -w {{ w | default(4) }}{% endif %} --threads {{ t }}",
        {"program": "gunicorn", "workers": "unresolved:w", "threads": "unresolved:t"},
    ),
    ("systemd", "ExecStart=/v/bin/rq worker-pool -n 4 high low", {"program": "rq", "subcommand": "worker-pool", "workers": 4, "queues": ["high", "low"]}),
    # scripts
    ("shell", "exec gunicorn -w $(nproc) -b 0.0.0.0:${PORT:-80} -b unix:/x app",
     {"program": "gunicorn", "workers": "unresolved:$(nproc)", "bind": "unresolved:PORT"}),
    ("shell", "su - www -s /bin/bash -c 'cd /x && source venv/bin/activate && exec gunicorn -w 3 app:app'", {"program": "gunicorn", "workers": 3}),
    ("shell", "sudo -u www -E FOO=1 /v/bin/celery -A x worker -Ofair -Bc4 > /dev/null 2>&1 &", {"program": "celery", "subcommand": "worker", "workers": 4}),
    ("shell", "if [ -f x ]; then celery -A x worker -c 2; fi", {"program": "celery", "subcommand": "worker", "workers": 2}),
    ("shell", "start-stop-daemon --start --exec /usr/bin/gunicorn -- -w 4 app", {"program": "gunicorn", "workers": 4}),
    (
        "shell", "python -m debugpy --listen 0.0.0.0:5678 -m uvicorn main:app --host=0.0.0.0 --port $PORT --workers 2",
        {"program": "uvicorn", "workers": 2, "bind": "unresolved:PORT"},
    ),
    (
        "shell", "wait-for-it db:5432 -t 30 -- celery -A a worker --autoscale=10,3 --max-tasks-per-child 5 --max-memory-per-child=9",
        {"program": "celery", "subcommand": "worker", "autoscale": "10,3", "max_tasks_per_child": 5, "max_memory_per_child": 9},
    ),
    ("shell", "pkill -f celery && celery -A x worker -c 3", {"program": "celery", "subcommand": "worker", "workers": 3}),
    ("shell", "watchfiles --filter python 'celery -A x worker -c 7' .", {"program": "celery", "subcommand": "worker", "workers": 7}),
    ("shell", "celery multi restart 3 -A x -c:1 3 -c 5 -Q:1-2 images -Q data", {"program": "celery", "subcommand": "multi", "workers": 5, "queues": ["data"]}),
    ("shell", "nice -n 10 ionice -c 3 timeout -s KILL 10m celery -A x beat", {"program": "celery", "subcommand": "beat"}),
    ("shell", "env -i A=b PATH=/x gunicorn -w 1 a # -w 9", {"program": "gunicorn", "workers": 1}),
    ("shell", "uv run --no-dev python -m gunicorn -w 1 a", {"program": "gunicorn", "workers": 1}),
    ("shell", "tmux new-session -d -s x 'gunicorn -w 2 a'", {"program": "gunicorn", "workers": 2}),
    ("shell", "celery --app=x -l info --concurrency=1 -P solo worker -Q a", {
        "program": "celery", "subcommand": "worker", "workers": 1, "worker_class": "solo", "queues": ["a"],
    }),
    ("shell", "celery --app=x -c 4 beat", {"program": "celery", "subcommand": "beat"}),
    ("shell", "pm2 start \"celery -A x worker -c 4\" --name jobs", {"program": "celery", "subcommand": "worker", "workers": 4}),
    ("shell", "gunicorn --proxy-protocol -w 2 app", {"program": "gunicorn", "workers": 2}),
    ("shell", "rq worker --url $REDIS_URL --with-scheduler high default", {"program": "rq", "subcommand": "worker", "queues": ["high", "default"]}),
    ("shell", "celery --app <PROJECT> worker -c <N>", {"program": "celery", "subcommand": "worker", "workers": "unresolved:N"}),
    ("procfile", "worker: python -m celery --app x.y worker -Q a,b, -c ${C:-2}",
     {"program": "celery", "subcommand": "worker", "queues": ["a", "b"], "workers": "unresolved:C"}),
    # supervisor
    ("supervisor", "command=gunicorn app -w %(ENV_W)s -b :%(ENV_PORT)s ; the web",
     {"program": "gunicorn", "workers": "unresolved:W", "bind": "unresolved:PORT"}),
    ("supervisor", "command=/bin/bash -c 'source /x/activate; exec rq worker high low'", {"program": "rq", "subcommand": "worker", "queues": ["high", "low"]}),
    # compose
    ("compose", "    command:\n      - celery\n      - -A\n      - app\n      - worker\n      - --concurrency=4 # x\n",
     {"program": "celery", "subcommand": "worker", "workers": 4}),
    ("compose", "    command: [\"sh\", \"-c\", \"exec gunicorn -w $${W} app\"]", {"program": "gunicorn", "workers": "unresolved:W"}),
    ("compose", "    command:\n      - sh\n      - -c\n      - |\n        python manage.py migrate\n        gunicorn -w 5 app\n",
     {"program": "gunicorn", "workers": 5}),
    ("compose", "    command: >-\n      sh -c \"python manage.py migrate &&\n             gunicorn -w 5\n             app\"\n",
     {"program": "gunicorn", "workers": 5}),
    ("compose", "    command: |\n      sh -c \"python x\n      gunicorn -w 4 app\"", {"program": "gunicorn", "workers": 4}),
    ("compose", "    command: bash -c \"\n      sleep 1 &&\n      gunicorn -w 4\n      app\"", {"program": "gunicorn", "workers": 4}),
    ("compose", "    command: \"celery -A x worker -n \\\"w@%h\\\" -c 4\"", {"program": "celery", "subcommand": "worker", "workers": 4}),
]

NOT_STARTED = [
    "pip install gunicorn",
    "grep gunicorn x",
    "tail -f celery.log",
    'exec "$@"',
    "systemctl restart gunicorn",
    "docker restart gunicorn",
    "echo celery worker",
    "vim celery.py",
    "python manage.py send_celery_mail",
    "exporter --service gunicorn",
    "honcho start",
    "rq info",
    "",
]


@pytest.mark.parametrize("kind, raw, wanted", LINES, ids=[raw[:50].replace("\n", " ") for dummy, raw, dummy2 in LINES])
def test_lines(kind: str, raw: str, wanted: dict[str, t.Any]) -> None:
    found = parse(raw, kind)
    assert isinstance(found, Command), found
    assert {name: value for name, value in found.flat().items() if value not in (None, [])} == wanted


@pytest.mark.parametrize("raw", NOT_STARTED)
def test_what_is_only_named_is_not_started(raw: str) -> None:
    found = parse(raw, "shell")
    assert isinstance(found, Refused)
    assert "look into" in found.reason


@pytest.mark.parametrize("raw", ["gunicorn 'app", "gunicorn -w $(nproc", "gunicorn `x"])
def test_what_is_not_closed_is_refused(raw: str) -> None:
    found = parse(raw, "shell")
    assert isinstance(found, Refused)
    assert "not closed" in found.reason


@pytest.mark.parametrize(
    "kind, raw",
    [
        ("systemd", "ExecStart = -/srv/v/bin/gunicorn \\\n   --threads 2 \\\n   --workers '12' app:app"),
        ("supervisor", "command = nice -n 5 gunicorn app:app --workers=12"),
        ("procfile", "web: A=b gunicorn app:app --workers 12"),
        ("compose", "    command: >\n      gunicorn app:app\n      --workers 12\n"),
        ("compose", "    command: ['gunicorn', '--workers', '12', 'a:b']"),
        ("shell", "  exec gunicorn \\\n    -w12 a:b"),
    ],
)
def test_a_setting_keeps_its_place_in_the_text(kind: str, raw: str) -> None:
    found = parse(raw, kind)
    assert isinstance(found, Command)
    setting = found.settings["workers"]
    word = found.words[setting.word]
    assert setting.value == 12
    changed = raw[: word.start] + raw[word.start: word.end].replace("12", "7") + raw[word.end:]
    again = parse(changed, kind)
    assert isinstance(again, Command)
    assert again.settings["workers"].value == 7
    assert len(changed) == len(raw) - 1


def test_arguments_of_a_process_hold_no_variables() -> None:
    found = parse_argv(["/v/bin/python", "/v/bin/gunicorn", "-b", "unix:/run/$x.sock", "-w", "3", "a:create('{{ b }}')"])
    assert isinstance(found, Command)
    assert found.flat()["bind"] == "unix:/run/$x.sock"
    assert found.flat()["workers"] == 3
    assert found.opaque == ()


def test_assignments_and_the_folder_before_the_program() -> None:
    found = parse("export A=1; cd /srv/shop && WEB_CONCURRENCY=5 exec gunicorn a:b", "shell")
    assert isinstance(found, Command)
    assert (found.environment, found.directory) == ({"A": "1", "WEB_CONCURRENCY": "5"}, "/srv/shop")


@pytest.mark.parametrize("length", [10, 16000, 100000])
def test_hostile_text_ends(length: int) -> None:
    for piece in ("${", "$(", "{{", "<%", "'", "\"", "\\", "`", "%(", "{% ", "&", "[", "- "):
        for kind in ("systemd", "supervisor", "procfile", "compose", "shell"):
            assert isinstance(parse("gunicorn " + piece * (length // len(piece)), kind), (Command, Refused))


def test_a_shell_that_is_given_an_open_quote_is_refused_and_ends_nothing() -> None:
    """Anybody on a host can start such a process."""
    for found in (parse_argv(["sh", "-c", "gunicorn 'shop:app"]),
                  parse_words([Word(text, 0, 0) for text in ("bash", "-c", "exec celery -A 'shop worker")])):
        assert isinstance(found, Refused) and "quote" in found.reason


def test_what_only_some_call_a_blank_before_a_number_ends_nothing() -> None:
    found = parse_argv(["gunicorn", "-w\x1c4", "shop:app"])
    assert isinstance(found, Command) and found.settings["workers"].value == "\x1c4"
    found = parse_argv(["gunicorn", "-w", " 4", "shop:app"])
    assert isinstance(found, Command) and found.settings["workers"].value == 4
