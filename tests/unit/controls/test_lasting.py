# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lasting form of a setting: which file is written, with what, and when it is refused. Hosts are folders; systemd answers as 252 does."""

from __future__ import annotations

import json
import os
import typing as t
from pathlib import Path

import pytest

from ansible_collections.oncall.pressure.plugins.module_utils._change._kinds import Refused
from ansible_collections.oncall.pressure.plugins.module_utils._controls import _lasting, _lasting_unit
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine

FRAGMENT = "/etc/systemd/system/shop.service"
HEAD = (
    "# Written by oncall.pressure: this %s of %s counts in place of what its other files say.\n"
    "# To take it back, remove this file and run: systemctl daemon-reload\n[Service]\n"
)


class Host:
    """A host in a folder, with one unit."""

    def __init__(self, folder: Path, unit: str = "shop.service", **shown: str) -> None:
        self.folder, self.unit = folder, unit
        self.shown = dict({"Id": unit, "LoadState": "loaded", "FragmentPath": FRAGMENT, "DropInPaths": "", "NeedDaemonReload": "no", "MainPID": "0"}, **shown)
        self.answer(self.shown)

    def answer(self, shown: t.Mapping[str, str]) -> None:
        out = "".join("%s=%s\n" % pair for pair in shown.items())
        commands = {" ".join(_lasting_unit.SHOW + (self.unit,)): {"status": 0, "out": out}}
        (self.folder / "commands.json").write_text(json.dumps({"commands": commands}), encoding="utf-8")

    def file(self, path: str, text: str, mode: int = 0o644) -> None:
        place = self.folder / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(text.encode("utf-8", "surrogateescape"))
        place.chmod(mode)

    def plan(self, **settings: int) -> _lasting.Lasting:
        return _lasting.plan(Machine(str(self.folder)), self.unit, settings)

    def content(self, **settings: int) -> str:
        operations = self.plan(**settings).operations
        assert len(operations) == 1 and operations[0]["kind"] == "file"
        return str(operations[0]["content"])

    def refusal(self, **settings: int) -> str:
        with pytest.raises(Refused) as raised:
            self.plan(**settings)
        return str(raised.value)


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_the_whole_command_goes_into_a_drop_in_with_one_word_changed(host: Host) -> None:
    command = "/opt/%p/bin/gunicorn \\\n    -w 4 --env \"A=b c%%d\" \\\n# why\n    --bind unix:%t/shop.sock \\\n    shop:app"
    host.file(FRAGMENT, "[Unit]\nDescription=x\n[Service]\nUser=shop\nExecStart=%s\nRestart=always\n" % command)
    found = host.plan(workers=3)
    assert found.operations == [{
        "kind": "file", "path": "/etc/systemd/system/shop.service.d/zz-oncall-pressure.conf", "mode": "0644", "then": ["daemon-reload"],
        "content": HEAD % ("ExecStart=", "shop.service") + "ExecStart=\nExecStart=" + command.replace("-w 4", "-w 3") + "\n",
    }]
    assert found.wanted == {"workers": 3}
    assert found.notes[0] == "workers was 4 (unit, %s:5), is 3 at the next start" % FRAGMENT


def test_our_drop_in_is_rewritten_and_never_stacked(host: Host) -> None:
    host.file(FRAGMENT, "[Service]\nExecStart=gunicorn -w 9 shop:app\n")
    first = host.plan(workers=4).operations[0]
    host.file(first["path"], first["content"])
    host.answer(dict(host.shown, DropInPaths=first["path"]))
    assert not host.plan(workers=4).operations
    both = host.plan(max_requests=500).operations[0]
    assert both["content"] == HEAD % ("ExecStart=", "shop.service") + "ExecStart=\nExecStart=gunicorn -w 4 shop:app --max-requests 500\n"


def test_what_is_so_already_needs_no_file(host: Host) -> None:
    host.file(FRAGMENT, "[Service]\nExecStart=gunicorn --workers=4 shop:app\n")
    found = host.plan(workers=4)
    assert (found.operations, found.where, found.notes) == ([], FRAGMENT + ":2", ["it says so already"])
    _script(host, "#!/bin/sh\nexec gunicorn -w $W shop:app\n", "Environment=W=4\n")
    assert not host.plan(workers=4).operations


def test_it_is_read_after_every_other_drop_in(host: Host) -> None:
    other = "/run/systemd/system/shop.service.d/zzz-x.conf"
    host.file(FRAGMENT, "[Service]\nExecStart=gunicorn -w 9 shop:app\n")
    host.file(other, "[Service]\nExecStart=\nExecStart=gunicorn -w 8 shop:app\n")
    host.answer(dict(host.shown, DropInPaths=other))
    operation = host.plan(workers=4).operations[0]
    assert os.path.basename(operation["path"]) == "zzzz-oncall-pressure.conf"
    ours = "/etc/systemd/system/shop.service.d/zz-oncall-pressure.conf"
    host.file(ours, "[Service]\nExecStart=\nExecStart=gunicorn -w 7 shop:app\n")
    host.answer(dict(host.shown, DropInPaths="%s %s" % (ours, other)))
    assert host.refusal(workers=4) == "%s is read after %s and would win: change it there" % (other, ours)


def test_a_drop_in_shows_no_more_than_the_unit_did(host: Host) -> None:
    host.file(FRAGMENT, "[Service]\nExecStart=gunicorn -w 9 shop:app\n", 0o600)
    assert host.plan(workers=4).operations[0]["mode"] == "0600"


def test_bytes_that_are_no_text_stay(host: Host) -> None:
    host.file(FRAGMENT, "[Service]\nExecStart=gunicorn -w 9 --env A=\udcff shop:app\n")
    assert "--env A=\udcff shop:app\n" in host.content(workers=4)


def test_every_command_of_a_unit_is_kept(host: Host) -> None:
    host.file(FRAGMENT, "[Service]\nType=oneshot\nExecStart=/bin/echo -w 4\nExecStart=-gunicorn -D -w 4 shop:app\nExecStart=/bin/true\n")
    assert host.content(workers=2).endswith("ExecStart=\nExecStart=/bin/echo -w 4\nExecStart=-gunicorn -D -w 2 shop:app\nExecStart=/bin/true\n")


def test_an_instance_has_a_drop_in_of_its_own(tmp_path: Path) -> None:
    host = Host(tmp_path, "shop@4.service", FragmentPath="/lib/systemd/system/shop@.service")
    host.file("/lib/systemd/system/shop@.service", "[Service]\nExecStart=gunicorn -w %i -b unix:/run/%p-%i.sock shop:app\n")
    operation = host.plan(workers=2).operations[0]
    assert operation["path"] == "/etc/systemd/system/shop@4.service.d/zz-oncall-pressure.conf"
    assert operation["content"].endswith("ExecStart=gunicorn -w 2 -b unix:/run/%p-%i.sock shop:app\n")


@pytest.mark.parametrize("shown, reason", [
    ({"LoadState": "masked"}, "is masked"),
    ({"LoadState": "not-found", "FragmentPath": ""}, "no file"),
    ({"FragmentPath": "/run/systemd/transient/shop.service"}, "transient"),
    ({"NeedDaemonReload": "yes"}, "systemctl daemon-reload"),
])
def test_a_unit_that_is_not_loaded_as_its_files_say_is_refused(host: Host, shown: dict[str, str], reason: str) -> None:
    host.file(FRAGMENT, "[Service]\nExecStart=gunicorn -w 9 shop:app\n")
    host.answer(dict(host.shown, **shown))
    assert reason in host.refusal(workers=4)


def test_an_option_beats_what_an_environment_file_gives(host: Host) -> None:
    host.file(FRAGMENT, "[Service]\nEnvironmentFile=/etc/default/shop\nExecStart=gunicorn $OPTIONS shop:app\n")
    host.file("/etc/default/shop", "OPTIONS=--timeout 60 -w 9\n")
    found = host.plan(workers=4)
    assert found.operations[0]["content"].endswith("ExecStart=gunicorn $OPTIONS shop:app --workers 4\n")
    assert found.notes[0] == "workers was 9 (environment_file, /etc/default/shop:1), is 4 at the next start"


def test_autoscale_is_lowered_where_it_counts(host: Host) -> None:
    host.file(FRAGMENT, "[Service]\nExecStart=celery -A shop worker --autoscale=9,5 -Q a\n")
    found = host.plan(workers=3)
    assert "--autoscale=3,3 -Q a\n" in found.operations[0]["content"] and found.wanted == {"autoscale": "3,3"}


@pytest.mark.parametrize("command, settings, reason", [
    ("gunicorn -w 2 shop:app", {"workers": 3}, "never given more"),
    ("celery -A shop worker --autoscale=2,1", {"workers": 3}, "never given more"),
    ("rq worker mails", {"workers": 1}, "one worker of rq"),
    ("uvicorn shop:app", {"max_requests_jitter": 5}, "--limit-max-requests-jitter"),
    ("gunicorn $UNKNOWN shop:app", {"workers": 1}, "$UNKNOWN may hold any option"),
    ("gunicorn -w 2 shop:app", {"workers": 0}, "workers cannot be 0"),
])
def test_what_cannot_last_is_refused(host: Host, command: str, settings: dict[str, int], reason: str) -> None:
    host.file(FRAGMENT, "[Service]\nExecStart=%s\n" % command)
    assert reason in host.refusal(**settings)


def test_what_runs_may_know_its_release(host: Host) -> None:
    host.file(FRAGMENT, "[Service]\nExecStart=/usr/bin/python3 -m uvicorn shop:app --workers 2\n")
    row = {"id": "shop.service", "manager": "systemd", "settings": {"version": "0.41.0"}}
    found = _lasting.plan(Machine(str(host.folder)), row, {"max_requests": 900, "max_requests_jitter": 90})
    assert "--limit-max-requests 900 --limit-max-requests-jitter 90\n" in found.operations[0]["content"]


def test_instances_of_rq_are_ended_one_by_one(tmp_path: Path) -> None:
    host = Host(tmp_path, "mails@3.service")
    host.file(FRAGMENT, "[Service]\nExecStart=rq worker mails\n")
    assert host.refusal(workers=1).endswith("systemctl disable --now mails@3.service")


@pytest.mark.parametrize("service, place", [
    ({"id": "docker:3f6d1b5ad292", "manager": "docker"}, "Compose file"), ("kubernetes:x", "Deployment"),
    ({"id": "session-2.scope", "manager": "session"}, "where it is started"),
])
def test_what_others_manage_is_not_changed(host: Host, service: t.Any, place: str) -> None:
    with pytest.raises(Refused, match=place):
        _lasting.plan(Machine(str(host.folder)), service, {"workers": 1})


# started by a script


def _script(host: Host, text: str, unit: str = "") -> None:
    host.file(FRAGMENT, "[Service]\n%sExecStart=/srv/start.sh\n" % unit)
    host.file("/srv/start.sh", text)


def test_the_line_of_a_script_is_named(host: Host) -> None:
    _script(host, "#!/bin/sh\ncd /srv\nexec celery -A shop worker -c 4\n")
    assert host.refusal(workers=2) == (
        "shop.service is started by /srv/start.sh: set --concurrency to 2 in its line 3: exec celery -A shop worker -c 4"
    )


def test_a_variable_that_a_script_hands_on_is_set_where_it_wins(host: Host) -> None:
    _script(host, "#!/bin/sh\nexec gunicorn -w ${W:-4} shop:app\n", "Environment=W=9\n")
    assert host.content(workers=2) == HEAD % ("Environment=", "shop.service") + 'Environment="W=2"\n'
    _script(host, "#!/bin/sh\nexec gunicorn -w ${W:-4} shop:app\n", "Environment=W=9\nEnvironmentFile=/etc/default/shop\n")
    host.file("/etc/default/shop", "# w\nW='8'\n")
    assert host.plan(workers=2).operations == [{"kind": "file", "path": "/etc/default/shop", "content": "# w\nW='2'\n", "mode": "0644", "then": []}]
    _script(host, "#!/bin/sh\nW=5\nexec gunicorn -w ${W:-4} shop:app\n", "Environment=W=9\n")
    assert "in its line 3" in host.refusal(workers=2)


def test_what_a_script_does_not_set_goes_by_the_programs_own_variable(host: Host) -> None:
    _script(host, "#!/bin/sh\nexec gunicorn shop:app\n", "Environment=\"GUNICORN_CMD_ARGS=-t 60 --env 'A=50%%'\"\n")
    assert 'Environment="GUNICORN_CMD_ARGS=-t 60 --env \'A=50%%\' --workers 2"\n' in host.content(workers=2)
    _script(host, "#!/bin/sh\nexec uvicorn shop:app\n")
    assert 'Environment="UVICORN_WORKERS=2"\n' in host.content(workers=2)
    _script(host, "#!/bin/sh\nexec celery -A shop worker\n")
    assert "add --concurrency 2 to line 2 of /srv/start.sh" in host.refusal(workers=2)
    _script(host, "#!/bin/sh\nexec gunicorn shop:app \"$@\"\n")
    assert "$@ may hold any option" in host.refusal(workers=2)


def test_our_variables_stay_when_the_command_is_added(host: Host) -> None:
    ours = "/etc/systemd/system/shop.service.d/zz-oncall-pressure.conf"
    host.file(FRAGMENT, "[Service]\nExecStart=gunicorn -w 9 shop:app\n")
    host.file(ours, '[Service]\nEnvironment="A=b \\"c\\" 5%%"\n')
    host.answer(dict(host.shown, DropInPaths=ours))
    assert host.content(workers=2) == (
        HEAD % ("Environment= and ExecStart=", "shop.service") + 'Environment="A=b \\"c\\" 5%%"\nExecStart=\nExecStart=gunicorn -w 2 shop:app\n'
    )


def test_celery_multi_takes_its_options_from_its_variable(host: Host) -> None:
    host.file(FRAGMENT, "[Service]\nEnvironmentFile=/etc/conf.d/celery\nExecStart=/bin/sh -c '${CELERY_BIN} -A shop multi start $NODES $CELERYD_OPTS'\n")
    host.file("/etc/conf.d/celery", "CELERY_BIN=/usr/bin/celery\nNODES=w1\nCELERYD_OPTS=\"--time-limit=300 --concurrency=8\"\n")
    found = host.plan(workers=2).operations
    assert [operation["path"] for operation in found] == ["/etc/conf.d/celery"]
    assert found[0]["content"].endswith('CELERYD_OPTS="--time-limit=300 --concurrency=2"\n')
    host.file("/etc/conf.d/celery", found[0]["content"])
    assert not host.plan(workers=2).operations


# supervisor

CONF = "/etc/supervisor/conf.d/shop.conf"
PROGRAMS = (
    "[program:web]\r\ncommand=gunicorn -w %(ENV_W)s shop:app ; web\r\n\r\n[program:jobs]\r\ncommand=celery -A shop worker -c4\r\nnumprocs=2\r\n\r\n"
    "[program:mails]\r\ncommand=rq worker mails\r\nnumprocs=4\r\n"
)


@pytest.fixture
def supervised(host: Host) -> Host:
    host.file("/etc/supervisor/supervisord.conf", "[supervisord]\n[include]\nfiles = /etc/supervisor/conf.d/*.conf\n")
    host.file(CONF, PROGRAMS)
    host.file("/proc/7/comm", "supervisord\n")
    host.file("/proc/7/cmdline", "/usr/bin/python3\0/usr/bin/supervisord\0-n\0-c\0/etc/supervisor/supervisord.conf\0")
    host.file("/proc/7/stat", "7 (supervisord) S 1 %s\n" % " ".join("0" * 50))
    host.file("/proc/7/environ", "W=9\0")
    return host


@pytest.mark.parametrize("name, old, new", [
    ("web", "shop:app ; web", "shop:app --workers 2 ; web"), ("jobs", "-c4", "-c1"), ("mails", "numprocs=4", "numprocs=2"),
])
def test_a_program_of_supervisor(supervised: Host, name: str, old: str, new: str) -> None:
    supervised.unit = "supervisor:" + name
    operation = supervised.plan(workers=2).operations[0]
    assert operation == {"kind": "file", "path": CONF, "content": PROGRAMS.replace(old, new), "mode": "0644", "then": ["supervisor-reread"]}


def test_a_program_is_never_given_more(supervised: Host) -> None:
    for name, workers in (("web", 10), ("jobs", 9), ("mails", 5)):
        supervised.unit = "supervisor:" + name
        assert "never given more" in supervised.refusal(workers=workers)


# the oracle


def test_systemd_is_asked_what_changed(host: Host) -> None:
    shown = "{ path=/bin/gunicorn ; argv[]=/bin/gunicorn -w %d -b :80 shop:app%s ; ignore_errors=no ; start_time=[n/a] }"
    host.answer(dict(host.shown, ExecStart=shown % (9, "")))
    before = _lasting_unit.commands(Machine(str(host.folder)), "shop.service")
    assert before == [["/bin/gunicorn", "-w", "9", "-b", ":80", "shop:app"]]
    for after, settings, problems in (
        (shown % (4, ""), {"workers": 4}, 0), (shown % (9, " --workers 4"), {"workers": 4}, 0), (shown % (4, ""), {"workers": 5}, 2),
        (shown % (4, " --reload x"), {"workers": 4}, 1), (shown % (4, " --max-requests 7"), {"workers": 4, "max_requests": 7}, 0),
    ):
        host.answer(dict(host.shown, ExecStart=after))
        assert len(_lasting_unit.check(Machine(str(host.folder)), "shop.service", before, settings)) == problems
