# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A configuration file with another value: which bytes change, and when it is refused."""

from __future__ import annotations

import pytest

from ansible_collections.oncall.pressure.plugins.module_utils._parse import _rewrite_files as files
from ansible_collections.oncall.pressure.plugins.module_utils._parse._rewrite_command import Refused


@pytest.mark.parametrize("text, wanted", [
    ("workers = 4\n", "workers = 3\n"),
    ("bind = '4'\r\nworkers=4 # four\r\nthreads = 4\r\n", "bind = '4'\r\nworkers=3 # four\r\nthreads = 4\r\n"),
    ("workers = 9\nworkers: int = 4", "workers = 9\nworkers: int = 3"),
    ("name = '\u00e9\u20ac'; workers = (4)\n", "name = '\u00e9\u20ac'; workers = (3)\n"),
    ("a = 'x\x0cy'\nworkers = \\\n  4\n", "a = 'x\x0cy'\nworkers = \\\n  3\n"),
    ("workers = None\n", "workers = 3\n"),
])
def test_a_plain_assignment_is_rewritten_in_its_place(text, wanted):
    assert files.python_setting(text, ["workers"], 3) == wanted


@pytest.mark.parametrize("text, reason", [
    ("import os\nworkers = os.cpu_count() * 2\n", "line 2 computes workers"),
    ("workers = 2 * 2\n", "line 1 computes"),
    ("workers = 4\nif True:\n    workers = 5\n", "computes workers"),
    ("threads = workers = 4\n", "computes workers"),
    ("workers = 4\nthreads = workers\n", "threads would change too"),
    ("bind = ':80'\n", "add workers = 3"),
    ("workers = \n", "no Python"),
    ("workers = 4 # \udcff\n", "no Python"),
])
def test_what_a_python_file_computes_is_refused(text, reason):
    found = files.python_setting(text, ["workers"], 3)
    assert isinstance(found, Refused) and reason in found.reason


def test_the_first_name_that_is_set_counts():
    text = "CELERYD_CONCURRENCY = 8\n"
    assert files.python_setting(text, ["worker_concurrency", "CELERYD_CONCURRENCY"], 2) == "CELERYD_CONCURRENCY = 2\n"


@pytest.mark.parametrize("text, value, wanted", [
    ("# N=1\nWEB_CONCURRENCY=4\nX=4\n", "3", "# N=1\nWEB_CONCURRENCY=3\nX=4\n"),
    ("export WEB_CONCURRENCY='9'\nWEB_CONCURRENCY='4'", "3", "export WEB_CONCURRENCY='9'\nWEB_CONCURRENCY='3'"),
    ("WEB_CONCURRENCY = \"4\"  \r\nX=\udcff\n", "3", "WEB_CONCURRENCY = \"3\"  \r\nX=\udcff\n"),
    ("WEB_CONCURRENCY=9\nWEB_CONCURRENCY=4\n", "3", "WEB_CONCURRENCY=9\nWEB_CONCURRENCY=3\n"),
    ("WEB_CONCURRENCY=4\n", "-w 3", "WEB_CONCURRENCY=\"-w 3\"\n"),
])
def test_a_line_of_an_environment_file(text, value, wanted):
    assert files.environment_line(text, "WEB_CONCURRENCY", value) == wanted


@pytest.mark.parametrize("text, value, reason", [
    ("A=1\n", "3", "add WEB_CONCURRENCY=3"),
    # systemd passes over such a line
    ("export WEB_CONCURRENCY=4\n", "3", "add WEB_CONCURRENCY=3"),
    ("WEB_CONCURRENCY=4\\\n2\n", "3", "goes on in the next"),
    ("WEB_CONCURRENCY='4'\n", "it's", "other quotes"),
])
def test_an_environment_file_that_cannot_be_rewritten(text, value, reason):
    found = files.environment_line(text, "WEB_CONCURRENCY", value)
    assert isinstance(found, Refused) and reason in found.reason


def test_options_in_a_variable():
    assert files.arguments("--bind=:80 -w 4 --env 'A=b c'", "gunicorn", {"workers": 3}) == "--bind=:80 -w 3 --env 'A=b c'"
    assert files.arguments("", "gunicorn", {"workers": 3}) == "--workers 3"
    assert files.arguments("--time-limit=300 --concurrency=8", "celery", {"workers": 3}) == "--time-limit=300 --concurrency=3"
    assert isinstance(files.arguments("-w 4 # four", "gunicorn", {"workers": 3}), Refused)
    assert isinstance(files.arguments("--autoscale=9,3", "celery", {"workers": 3}), Refused)


def test_a_variable_of_a_unit_is_quoted():
    assert files.unit_environment("GUNICORN_CMD_ARGS", '-w 3 --env "A=100%"') == 'Environment="GUNICORN_CMD_ARGS=-w 3 --env \\"A=100%%\\""'


CONF = (
    "[supervisord]\r\n; first\r\n[program:web]\r\ncommand=gunicorn -w 4 shop:app\r\nnumprocs=4\r\n\r\n"
    "[program:jobs]\r\ncommand = celery -A shop worker\r\n  --concurrency=4 ; four\r\n  -Q four\r\nnumprocs=4 ; copies\r\nstopasgroup=true\r\n"
)


def test_a_program_of_supervisor():
    jobs = files.supervisor_command(CONF, "jobs", {"workers": 3})
    assert jobs == CONF.replace("--concurrency=4", "--concurrency=3")
    assert files.supervisor_command(CONF, "web", {"workers": 3}) == CONF.replace("-w 4", "-w 3")
    added = files.supervisor_command(CONF, "jobs", {"max_tasks_per_child": 9})
    assert added == CONF.replace("  -Q four", "  -Q four --max-tasks-per-child 9")


def test_the_copies_of_a_program_of_supervisor():
    assert files.supervisor_copies(CONF, "jobs", 2) == CONF.replace("numprocs=4 ; copies", "numprocs=2 ; copies")


def test_a_program_that_is_not_there_is_refused():
    assert isinstance(files.supervisor_command(CONF, "mails", {"workers": 3}), Refused)
    assert isinstance(files.supervisor_copies("[program:web]\ncommand=x\n", "web", 1), Refused)
