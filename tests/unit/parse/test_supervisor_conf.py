# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Supervisor's configuration, held against what supervisor's own documentation says of it."""

from __future__ import annotations

from ansible_collections.oncall.pressure.plugins.module_utils._parse import _supervisor_conf as conf

TEXT = """\
; the file
[supervisord]
nodaemon = true

[include]
files = conf.d/*.conf /etc/more/*.ini

[program:web]
command = /v/bin/gunicorn app:app ; a comment
  --workers 3
directory=/srv/%(program_name)s
environment = A="1,2",B='x', C=%(ENV_HOME)s
numprocs=2

[program:beat]
command=/v/bin/celery beat
autostart=false

[group:all]
programs=web,beat

[program:nothing]
directory=/x
"""


def test_programs() -> None:
    parsed = conf.sections(TEXT)
    web, beat = conf.programs("/etc/s.conf", parsed)
    assert (web.name, web.command.line, web.copies, web.directory, web.autostart) == ("web", 9, 2, "/srv/%(program_name)s", True)
    assert web.command.text.split() == ["/v/bin/gunicorn", "app:app", "--workers", "3"]
    assert {name: value.text for name, value in web.environment.items()} == {"A": "1,2", "B": "x", "C": "%(ENV_HOME)s"}
    assert (beat.name, beat.autostart, beat.copies) == ("beat", False, 1)
    assert conf.included(parsed) == ["conf.d/*.conf", "/etc/more/*.ini"]
    assert conf.included({}) == []


def test_expansion() -> None:
    values = {"program_name": "web", "ENV_W": "4", "process_num": "1"}
    assert conf.expanded("%(program_name)s -w %(ENV_W)s %(process_num)02d %(ENV_NONE)s %%h", values) == "web -w 4 01 %(ENV_NONE)s %h"


def test_the_configuration_that_is_named() -> None:
    assert conf.configuration(["supervisord", "-n", "-c", "/a"]) == "/a"
    assert conf.configuration(["supervisord", "-c/a"]) == "/a"
    assert conf.configuration(["supervisord", "--configuration=/a"]) == "/a"
    assert conf.configuration(["supervisord", "-n"]) is None


def test_broken_files_give_what_can_be_read() -> None:
    assert conf.sections("x\n  y\n[a\n[b]\n c = 1\n=2\n")["b"]["c"].text == "1"
