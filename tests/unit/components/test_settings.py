# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The settings of uvicorn, celery and rq: which layer wins, and what is said to be unknown."""

from __future__ import annotations

import typing as t
from pathlib import Path

import click
import pytest

from ansible_collections.oncall.pressure.plugins.module_utils._components import _all
from ansible_collections.oncall.pressure.plugins.module_utils._components._settings import Launch, Origin, Variable, resolved
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine
from ansible_collections.oncall.pressure.plugins.module_utils._parse import _command_line


def _settings(line: str, folder: Path | str = "/nowhere", environment: dict[str, str] | None = None) -> dict[str, t.Any]:
    command = _command_line.parse_argv(line.split())
    assert isinstance(command, _command_line.Command)
    variables = {name: Variable(value, Origin("environment", None)) for name, value in (environment or {}).items()}
    found = _all.settings(Launch(command, Origin("command_line", None), {}, variables, str(folder)), Machine())
    assert found is not None
    return found


def _value(found: dict[str, t.Any], name: str) -> tuple[t.Any, str]:
    return found[name]["value"], found[name]["layer"]


@pytest.mark.parametrize("line, environment", [
    ("uvicorn a:b", {}), ("uvicorn a:b --workers 3", {"UVICORN_WORKERS": "4"}), ("uvicorn a:b", {"UVICORN_WORKERS": "4", "WEB_CONCURRENCY": "5"}),
    ("uvicorn a:b", {"WEB_CONCURRENCY": "5"}), ("uvicorn a:b --limit-max-requests=9 --port 1", {"UVICORN_HOST": "::1"}),
])
def test_the_same_as_uvicorn_says(line: str, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    from uvicorn.config import Config
    from uvicorn.main import main

    for name in ("UVICORN_WORKERS", "WEB_CONCURRENCY", "UVICORN_HOST"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with main.make_context("uvicorn", line.split()[1:], auto_envvar_prefix="UVICORN") as context:
        assert isinstance(context, click.Context)
        given = context.params
        real = Config("a:b", host=given["host"] or "127.0.0.1", port=given["port"], workers=given["workers"], limit_max_requests=given["limit_max_requests"])
    found = _settings(line, environment=environment)
    assert found["workers"]["value"] == real.workers
    assert found["max_requests"]["value"] == real.limit_max_requests
    assert found["bind"]["value"] == "%s:%d" % (real.host, real.port or 8000)


def test_uvicorn_layers() -> None:
    assert _value(_settings("uvicorn a:b --workers 3"), "workers") == (3, "command_line")
    assert _value(_settings("uvicorn a:b", environment={"WEB_CONCURRENCY": "5"}), "workers") == (5, "environment")
    assert _value(_settings("uvicorn a:b"), "workers") == (1, "default")
    assert _value(_settings("uvicorn a:b --uds /run/x --port 1"), "bind") == ("/run/x", "command_line")
    assert _settings("uvicorn a:b --workers many")["workers"] == {"value": None, "layer": "command_line", "where": None, "reason": "not a number"}


def test_celery_layers(tmp_path: Path) -> None:
    (tmp_path / "celeryconfig.py").write_text("worker_concurrency = 6\nCELERYD_MAX_TASKS_PER_CHILD = 50\nworker_pool = pick()\n", encoding="utf-8")
    found = _settings("celery -A x worker -Q a,b --max-memory-per-child 9000", tmp_path)
    assert found["workers"] == {"value": 6, "layer": "config_file", "where": str(tmp_path / "celeryconfig.py") + ":1", "reason": None}
    assert _value(found, "max_tasks_per_child") == (50, "config_file")
    assert (found["worker_class"]["value"], found["worker_class"]["reason"]) == (None, "computed")
    assert _value(found, "queues") == (["a", "b"], "command_line")
    assert _value(found, "max_memory_per_child_kib") == (9000, "command_line")
    assert _value(_settings("celery -A x worker -c 2", tmp_path), "workers") == (2, "command_line")


def test_celery_defaults_are_the_application_s_to_change() -> None:
    found = _settings("celery -A x worker")
    assert found["workers"]["layer"] == "default"
    assert "application" in found["workers"]["reason"]
    assert found["max_tasks_per_child"]["value"] is None
    assert _value(_settings("celery -A x worker --autoscale=10,3"), "workers") == (10, "command_line")
    assert _settings("celery -A x worker -P solo -c 8")["workers"]["value"] == 1
    assert _settings("celery -A x beat")["workers"] is None
    assert _settings("celery --config=gone -A x worker")["workers"] == {
        "value": None, "layer": "config_file", "where": None, "reason": "the configuration gone is not found",
    }


def test_what_tells_two_workers_apart(tmp_path: Path) -> None:
    (tmp_path / "celeryconfig.py").write_text("broker_url = 'amqp://shop:geh@im@mq:5672/shop?x=1'\n", encoding="utf-8")
    found = _settings("celery -A x worker -Q a,b -n w1@%h -B", tmp_path)["identity"]
    assert found == {"app": "x", "directory": str(tmp_path), "broker": "amqp://mq:5672/shop", "node": "w1@%h", "beat": True, "scheduler": None}
    line = _settings("celery -A x -b redis://:geheim@cache:6379/1 beat -S redbeat.RedBeatScheduler", tmp_path)["identity"]
    assert (line["broker"], line["node"], line["beat"], line["scheduler"]) == ("redis://cache:6379/1", None, True, "redbeat.RedBeatScheduler")
    own = _resolved("/v/bin/celery -A shop worker", {"CELERY_BROKER_URL": "redis://user:geheim@cache/2"})["identity"]
    assert (own["broker"], own["node"], own["beat"]) == ("redis://cache/2", "celery@%h", False)
    assert _resolved("/v/bin/celery -A $APP -b $B worker -n $N", {})["identity"] == {
        "app": None, "directory": "/nowhere", "broker": None, "node": None, "beat": False, "scheduler": None}
    for secret in ("a/b", "a?b", "a#b", "a@b/c", "a%2Fb"):
        place = _resolved("/v/bin/celery -A shop worker", {"CELERY_BROKER_URL": "amqp://u:%s@mq:5672//" % secret})["identity"]["broker"]
        assert place == "amqp://mq:5672//"
    assert _settings("celery -A x flower")["identity"] is None and _settings("gunicorn a:b")["identity"] is None
    assert _resolved("/v/bin/rq worker", {})["identity"]["broker"] == "redis://localhost:6379/0"
    assert _resolved("/v/bin/rq worker -u redis://:geheim@q:1/3 high", {})["identity"]["broker"] == "redis://q:1/3"
    assert _resolved("/v/bin/rq worker", {"RQ_REDIS_URL": "unix://:geheim@/run/r.sock?db=1"})["identity"]["broker"] == "unix:///run/r.sock"
    assert _resolved("/v/bin/rq worker", {"RQ_CONFIG": "conf"})["identity"]["broker"] is None
    assert _resolved("/v/bin/rq worker -c conf", {})["identity"]["broker"] is None


def test_rq(tmp_path: Path) -> None:
    (tmp_path / "conf.py").write_text("QUEUES = ['x', 'y']\n", encoding="utf-8")
    assert _value(_settings("rq worker high low"), "queues") == (["high", "low"], "command_line")
    assert _value(_settings("rq worker -c conf", tmp_path), "queues") == (["x", "y"], "config_file")
    assert _value(_settings("rq worker"), "queues") == (["default"], "default")
    assert _value(_settings("rq worker"), "workers") == (1, "default")
    assert _value(_settings("rq worker-pool -n 4"), "workers") == (4, "command_line")


def _resolved(line: str, environment: dict[str, str]) -> dict[str, t.Any]:
    command = _command_line.parse("ExecStart=" + line, "systemd")
    assert isinstance(command, _command_line.Command)
    variables = {name: Variable(value, Origin("environment_file", "/e:%d" % number)) for number, (name, value) in enumerate(environment.items(), 1)}
    found = _all.settings(resolved(command, Origin("unit", "/u:3"), variables, "/nowhere"), Machine())
    assert found is not None
    return found


def test_variables_keep_who_set_them() -> None:
    found = _resolved("/v/bin/gunicorn -w ${W} $OPTS --threads ${NONE} a:b", {"W": "5", "OPTS": "--timeout 9 --max-requests=7"})
    assert found["workers"] == {"value": 5, "layer": "environment_file", "where": "/e:1", "reason": None}
    assert (found["timeout"]["value"], found["max_requests"]["value"], found["timeout"]["where"]) == (9, 7, "/e:2")
    assert found["threads"] == {"value": None, "layer": "unit", "where": "/u:3", "reason": "unresolved: NONE"}


def test_what_a_variable_may_hide_is_not_known() -> None:
    found = _resolved("/v/bin/gunicorn $OPTS -w 4 a:b", {})
    assert found["workers"]["value"] == 4
    assert found["timeout"] == {"value": None, "layer": "default", "where": None, "reason": "may be set by $OPTS"}


def test_the_broker_of_celery_and_not_its_password(tmp_path: Path) -> None:
    assert _value(_settings("celery -A x -b amqp://u:geheim@rabbit:5672/v worker"), "broker") == ("amqp://rabbit:5672", "command_line")
    assert _value(_settings("celery -A x worker --broker=sqs://AKIA:geheim@"), "broker") == ("sqs", "command_line")
    (tmp_path / "celeryconfig.py").write_text("broker_url = ['redis://:geheim@cache:6379/0', 'x']\n", encoding="utf-8")
    found = _settings("celery -A x worker", tmp_path)
    assert found["broker"] == {"value": "redis://cache:6379", "layer": "config_file", "where": str(tmp_path / "celeryconfig.py") + ":1", "reason": None}
    (tmp_path / "celeryconfig.py").write_text("BROKER_URL = os.environ['X']\n", encoding="utf-8")
    assert _settings("celery -A x worker", tmp_path)["broker"]["reason"] == "computed"
    odd = _settings("celery -A x -b geheim worker")["broker"]
    assert (odd["value"], odd["reason"]) == (None, "no URL of a broker that is known")
    assert _settings("celery -A x worker")["broker"]["value"] is None and _settings("uvicorn app:app")["broker"] is None


def test_inner_shells_and_celery_multi() -> None:
    line = "/bin/sh -c '${CELERY_BIN} -A $CELERY_APP multi start $CELERYD_NODES --loglevel=x $CELERYD_OPTS'"
    environment = {"CELERY_BIN": "/v/bin/celery", "CELERY_APP": "shop", "CELERYD_NODES": "w1 w2", "CELERYD_OPTS": "--time-limit=300 --concurrency=8"}
    assert _resolved(line, environment)["workers"] == {"value": 8, "layer": "environment_file", "where": "/e:4", "reason": None}
    assert _resolved("/bin/sh -c 'cd /x && exec gunicorn -w ${W:-3} a:b'", {})["workers"]["value"] == 3
    assert _resolved("/bin/sh -c 'exec gunicorn -w $(nproc) a:b'", {})["workers"]["reason"] == "unresolved: $(nproc)"
