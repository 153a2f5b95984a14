# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Plain values of Python configuration files; nothing of them is run."""

from __future__ import annotations

import pytest

from ansible_collections.oncall.pressure.plugins.module_utils._parse import _python_literals as literals

TEXT = '''\
"""gunicorn.conf.py"""
import multiprocessing
import os

workers = 4
workers = workers * 2 + 1
threads: int = 2
bind = ["0.0.0.0:80", "unix:/x"]
timeout = int(os.environ.get("T", "30"))
max_requests = multiprocessing.cpu_count() * 100
max_requests_jitter, other = 5, 6
if os.environ.get("X"):
    keepalive = 5
for index in range(3):
    backlog = index
worker_class = "gevent"
worker_class += "x"
name = f"a{workers}"
nothing = None


def on_starting(server):
    workers = 99
'''


def test_values() -> None:
    found = literals.assignments(TEXT)
    assert {name: item.value for name, item in found.items() if item.value is not literals.COMPUTED} == {
        "workers": 9, "threads": 2, "bind": ["0.0.0.0:80", "unix:/x"], "nothing": None,
    }
    computed = ("timeout", "max_requests", "max_requests_jitter", "other", "keepalive", "backlog", "index", "worker_class", "name", "os")
    assert all(found[name].value is literals.COMPUTED for name in computed)
    assert (found["workers"].line, found["threads"].line) == (6, 7)


def test_nothing_is_run(tmp_path: object) -> None:
    marker = "%s/ran" % tmp_path
    found = literals.assignments("workers = open(%r, 'w') and 3\n__import__('os').system('touch %s')\n" % (marker, marker))
    assert found["workers"].value is literals.COMPUTED
    import os
    assert not os.path.exists(marker)


HOSTILE = [
    "workers = (", "print 'x'", "\0", "(" * 10000, "x = " + "-" * 100000 + "1", "workers = 9" + "**9" * 5,
    "x = " + "1+" * 30000 + "1",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_files(text: str) -> None:
    try:
        found = literals.assignments(text)
    except ValueError as problem:
        assert "no Python" in str(problem)
    else:
        assert all(item.value is literals.COMPUTED for item in found.values())


@pytest.mark.parametrize("text", ["x = 10 ** 10 ** 10", "x = 'a' * 10 ** 10", "x = 2 * 'a'", "x = 1 // 0", "x = 9 << 99999999", "x = 1e13 * 2"])
def test_no_arithmetic_that_costs(text: str) -> None:
    assert literals.assignments(text)["x"].value is literals.COMPUTED
