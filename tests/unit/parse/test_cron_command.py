# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which process is a run of which entry: arguments as cron of Debian 12 and bash leave them."""

from __future__ import annotations

from typing import List

import pytest
from ansible_collections.oncall.pressure.plugins.module_utils._parse import _cron_command


@pytest.mark.parametrize("command,text", [
    ("date +\\%s >> /tmp/x", "date +%s >> /tmp/x"), ("mail -s hello%first line%second", "mail -s hello"), ("  true  ", "true"), ("%", ""),
])
def test_what_the_shell_is_given(command: str, text: str) -> None:
    assert _cron_command.script(command) == text


@pytest.mark.parametrize("command,argv", [
    ("sleep 100; echo hi%there", ["/bin/sh", "-c", "sleep 100; echo hi"]),
    ("FOO=1 sleep 103 >/dev/null 2>&1", ["/bin/sh", "-c", " FOO=1 sleep 103 >/dev/null 2>&1"]),
    ("sleep 106", ["sleep", "106"]),
    ("FOO=1 sleep 103 >/dev/null 2>&1", ["sleep", "103"]),
    ("cd /tmp && exec sleep 102", ["sleep", "102"]),
    ("sleep 5 > /tmp/out", ["/usr/bin/sleep", "5"]),
    ("/srv/shop/import.sh --all", ["/bin/sh", "/srv/shop/import.sh", "--all"]),
    ("/srv/shop/import.py --all", ["/usr/bin/python3", "-u", "/srv/shop/import.py", "--all"]),
    ("$HOME/bin/import 'a b'", ["/home/shop/bin/import", "a b"]),
])
def test_a_run_is_known(command: str, argv: List[str]) -> None:
    assert _cron_command.is_run_of(command, argv)


@pytest.mark.parametrize("command,argv", [
    ("sleep 100", ["/bin/sh", "-c", "sleep 101"]), ("sleep 100", ["sleep", "101"]), ("sleep 100", ["nice", "sleep", "100"]),
    ("sleep 100; true", ["sleep", "100"]),
    ("import", ["/usr/sbin/sendmail", "-i"]), ("echo 'open", ["echo", "open"]), ("true", []), ("", ["x"]),
])
def test_another_process_is_none(command: str, argv: List[str]) -> None:
    assert not _cron_command.is_run_of(command, argv)
