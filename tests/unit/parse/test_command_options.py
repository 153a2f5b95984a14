# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The tables of options against the programs that are installed for the tests."""

from __future__ import annotations

import argparse
import typing as t

import click
import pytest

from ansible_collections.oncall.pressure.plugins.module_utils._parse import _command_options as options


def _argparse_kinds(parser: argparse.ArgumentParser) -> dict[str, int]:
    kinds: dict[str, int] = {}
    for action in parser._actions:
        for name in action.option_strings:
            kinds[name] = options.OPTIONAL if action.nargs == "?" else options.FLAG if action.nargs == 0 else options.VALUE
    return kinds


def _click_kinds(command: click.Command) -> dict[str, int]:
    kinds: dict[str, int] = {}
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            for name in list(parameter.opts) + list(parameter.secondary_opts):
                kinds[name] = options.FLAG if parameter.is_flag or parameter.count else options.VALUE
    return kinds


def _gunicorn() -> dict[str, int]:
    from gunicorn.config import Config

    return _argparse_kinds(Config().parser())


def _hypercorn(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    from hypercorn import __main__ as program

    seen: list[argparse.ArgumentParser] = []

    def keep(parser: argparse.ArgumentParser, arguments: t.Any = None, namespace: t.Any = None) -> t.NoReturn:
        seen.append(parser)
        raise SystemExit(0)

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", keep)
    with pytest.raises(SystemExit):
        program.main(["x:y"])
    return _argparse_kinds(seen[0])


def _differences(real: t.Mapping[str, int], table: options.Table) -> dict[str, t.Any]:
    return {name: (kind, table.takes.get(name)) for name, kind in real.items() if table.takes.get(name) != kind}


def test_gunicorn() -> None:
    assert _differences(_gunicorn(), options.GUNICORN) == {}


def test_hypercorn(monkeypatch: pytest.MonkeyPatch) -> None:
    real = _hypercorn(monkeypatch)
    assert len(real) > 30
    assert _differences(real, options.HYPERCORN) == {}


def test_uvicorn() -> None:
    from uvicorn.main import main

    assert _differences(_click_kinds(main), options.UVICORN) == {}


@pytest.mark.parametrize("name, table", [("worker", options.CELERY_WORKER), ("beat", options.CELERY_BEAT)])
def test_celery(name: str, table: options.Table) -> None:
    from celery.bin.celery import celery

    real = _click_kinds(celery.commands[name])
    assert len(real) > 10
    assert _differences(real, table) == {}
    assert _differences(_click_kinds(celery), options.CELERY) == {}


@pytest.mark.parametrize("name, table", [("worker", options.RQ_WORKER), ("worker-pool", options.RQ_POOL), ("cron", options.RQ_POOL)])
def test_rq(name: str, table: options.Table) -> None:
    from rq.cli import main

    assert _differences(_click_kinds(main.commands[name]), table) == {}


@pytest.mark.parametrize(
    "arguments",
    [
        ["-w4", "--threads=2", "a:b"],
        ["-w=3", "a:b", "--timeout", "9"],
        ["--workers", "5", "--worker-cl", "sync", "--max-requests", "7", "a:b", "--max-requests-j=8"],
        ["-b", ":1", "-b", "unix:/x", "a:b"],
        ["--proxy-protocol", "--workers", "2", "a:b"],
        ["-Rw", "6", "a:b", "-k", "gevent"],
        ["a:b"],
        ["--reload", "-t30", "--env", "A=-w9", "a:b"],
        ["a:b", "--log-level", "info", "-D", "-w", "2", "-w", "3"],
    ],
    ids=" ".join,
)
def test_gunicorn_reads_the_same(arguments: list[str]) -> None:
    from gunicorn.config import Config

    real = vars(Config().parser().parse_args(arguments))
    found = options.read(arguments, options.GUNICORN)
    ours: dict[str, t.Any] = {}
    for option in found.options:
        if option.setting == "bind":
            ours.setdefault("bind", []).append(option.value)
        else:
            ours[option.setting] = option.value
    for name in ("workers", "threads", "timeout", "max_requests", "max_requests_jitter", "worker_class", "bind"):
        value = real[name]
        assert ours.get(name) == (str(value) if isinstance(value, int) else value), name


@pytest.mark.parametrize(
    "arguments",
    [
        ["-c4", "-Bl", "info"], ["-Ofair", "--concurrency", "3", "-Q", "a,b"], ["-EBc", "2", "--autoscale=9,3"], ["--max-tasks-per-child=5", "-P", "solo"],
        ["-n", "w@%h", "--max-memory-per-child", "7", "--without-gossip", "-Xx"],
    ],
    ids=" ".join,
)
def test_celery_reads_the_same(arguments: list[str]) -> None:
    from celery.bin.worker import worker

    parser = worker.make_parser(click.Context(worker))
    real = parser.parse_args(list(arguments))[0]
    ours = {option.setting: option.value for option in options.read(arguments, options.CELERY_WORKER).options}
    pairs = {
        "workers": "concurrency", "queues": "queues", "worker_class": "pool", "autoscale": "autoscale", "max_tasks_per_child": "max_tasks_per_child",
        "max_memory_per_child": "max_memory_per_child",
    }
    for name, theirs in pairs.items():
        value = real.get(theirs)
        assert ours.get(name) == (value if isinstance(value, str) else None), name
