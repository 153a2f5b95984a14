# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Restarts: what is refused before one, how a service is ended warm, what is read of one that did not stay up."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import typing as t
from pathlib import Path

import pytest

from ansible_collections.oncall.pressure.plugins.module_utils._change._kinds import Hands, Refused
from ansible_collections.oncall.pressure.plugins.module_utils._controls import _processes, _restart, _restart_checks, _service_restart
from ansible_collections.oncall.pressure.plugins.module_utils._host._files import Files
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine, Outcome

#: What systemd says of a unit that runs well.
RUNS = {
    "LoadState": "loaded", "ActiveState": "active", "SubState": "running", "Result": "success", "NRestarts": "0", "NeedDaemonReload": "no",
    "FragmentPath": "/etc/systemd/system/a.service", "DropInPaths": "", "ExecStop": "", "KillMode": "control-group", "TimeoutStopUSec": "1min 30s",
    "ActiveEnterTimestampMonotonic": "1000000000", "RefuseManualStart": "no", "RefuseManualStop": "no",
}
WISH = _restart.Wish("a.service")


def shown(**changed: str) -> dict[str, str]:
    return dict(RUNS, **changed)


def test_a_unit_that_runs_well_may_be_restarted() -> None:
    _restart.check_state("a.service", RUNS, WISH, 5000.0)


@pytest.mark.parametrize("changed,said", [
    ({"LoadState": "masked"}, "masked"),
    ({"LoadState": "not-found"}, "no unit"),
    ({"LoadState": "bad-setting"}, "not valid"),
    ({"NeedDaemonReload": "yes"}, "daemon_reload"),
    ({"RefuseManualStop": "yes"}, "RefuseManualStop"),
])
def test_what_no_force_can_restart(changed: dict[str, str], said: str) -> None:
    with pytest.raises(Refused, match=said):
        _restart.check_state("a.service", shown(**changed), WISH._replace(force=True), 5000.0)


@pytest.mark.parametrize("changed,said", [
    ({"ActiveState": "inactive", "SubState": "dead"}, "somebody stopped it"),
    ({"ActiveState": "failed", "SubState": "failed", "Result": "start-limit-hit"}, "crash loop"),
    ({"ActiveState": "activating", "SubState": "auto-restart", "NRestarts": "4"}, "crash loop .4 restarts"),
    # up at this moment, for two seconds
    ({"NRestarts": "9", "ActiveEnterTimestampMonotonic": "4998000000"}, "crash loop"),
])
def test_what_is_restarted_only_when_told(changed: dict[str, str], said: str) -> None:
    with pytest.raises(Refused, match=said):
        _restart.check_state("a.service", shown(**changed), WISH, 5000.0)
    _restart.check_state("a.service", shown(**changed), WISH._replace(force=True), 5000.0)


@pytest.mark.parametrize("changed", [
    # one kill, a minute ago, is why it is to be restarted
    {"NRestarts": "1", "ActiveEnterTimestampMonotonic": "4940000000"},
    # many restarts in the past, and up for an hour since
    {"NRestarts": "50", "ActiveEnterTimestampMonotonic": "1400000000"},
    # the kernel killed it and nothing starts it again
    {"ActiveState": "failed", "SubState": "failed", "Result": "oom-kill"},
])
def test_a_service_in_trouble_may_be_restarted(changed: dict[str, str]) -> None:
    _restart.check_state("a.service", shown(**changed), WISH, 5000.0)


@pytest.mark.parametrize("unit", ["dbus.service", "systemd-journald.service", "ssh.service"])
def test_the_hosts_lifelines_are_left_alone(unit: str) -> None:
    with pytest.raises(Refused, match="reached and run by"):
        _restart.check_state(unit, RUNS, WISH._replace(force=True), 5000.0)


def test_a_worker_is_ended_warm_only_where_its_unit_would_end_its_children() -> None:
    def warm(component: str | None, is_main: bool = True, wished: bool = True, **changed: str) -> float | None:
        return _restart.warm_unit(shown(**changed), component, is_main, wished)[0]

    assert warm("celery") == 90.0
    assert warm("rq", TimeoutStopUSec="5s") == 5.0
    assert warm("celery", TimeoutStopUSec="infinity") == 600.0
    assert warm("celery", KillMode="mixed") is None and warm("celery", ExecStop="{ path=/bin/kill ; }") is None
    assert warm("celery", is_main=False) is None and warm("celery", wished=False) is None
    assert warm("gunicorn") is None and warm(None) is None


def test_no_more_workers_are_waited_for_than_there_were() -> None:
    def wanted(component: str, count: int, configured: int | None) -> int | None:
        return _restart.wanted(_restart._Known(component, 1, list(range(count)), configured))

    assert wanted("gunicorn", 4, 4) == 4
    assert wanted("gunicorn", 9, 6) == 6
    assert wanted("gunicorn", 2, 6) == 2
    assert wanted("celery", 3, None) == 1
    assert wanted("gunicorn", 0, 6) == 1
    assert wanted("uvicorn", 0, None) is None


JOURNAL = """\
Nov 21 11:01:36 web-3 systemd[1]: Started shop-web.service - Shop.
Nov 21 11:01:39 web-3 gunicorn[812]: ModuleNotFoundError: No module named 'shop' password=geheim
Nov 21 11:01:39 web-3 systemd[1]: shop-web.service: Main process exited, code=exited, status=3/NOTIMPLEMENTED
Nov 21 11:01:39 web-3 systemd[1]: shop-web.service: Failed with result 'exit-code'.
Nov 21 11:01:40 web-3 systemd[1]: shop-web.service: Scheduled restart job, restart counter is at 1.
Nov 21 11:01:40 web-3 systemd[1]: Started shop-web.service - Shop.
"""


def test_the_last_words_of_a_unit() -> None:
    said = _service_restart.last_words(JOURNAL)
    assert said == "Main process exited, code=exited, status=3/NOTIMPLEMENTED; it said: ModuleNotFoundError: No module named 'shop' password=REDACTED"
    assert _service_restart.last_words("") == "nothing is known of its end"


@pytest.mark.parametrize("text,result", [
    ("a.service: Command /srv/a is not executable: No such file or directory", "failed"),
    ("/etc/systemd/system/a.service:3: Unknown key 'Foo' in section [Service], ignoring.", "passed"),
    ("/etc/systemd/system/a.service.d/x.conf:2: Failed to parse memory limit, ignoring: 1Q", "passed"),
    ("b.service: Command /srv/b is not executable: No such file or directory", "passed"),
    ("extra-a.service: Command /srv/b is not executable: No such file or directory", "passed"),
    ("a.service: Service has no ExecStart=, ExecStop=, or SuccessAction=. Refusing.", "failed"),
    ("", "passed"),
])
def test_only_what_keeps_this_unit_from_starting_counts(text: str, result: str) -> None:
    assert _restart_checks.judged("verify", "a.service", text).result == result


def test_an_instance_is_spoken_of_by_its_template() -> None:
    said = "/etc/systemd/system/a@.service:2: Unknown key 'Foo' in section [Service], ignoring."
    assert "Foo" in _restart_checks.judged("verify", "a@7.service", said).says


@pytest.mark.parametrize("outcome,result", [
    (Outcome(0, b"", b"", False), "passed"),
    (Outcome(1, b"", b"Error: class uri 'x' invalid\n", False), "failed"),
    (Outcome(1, b"", b"  File ...\nMemoryError\n", False), "not checked"),
    (Outcome(-9, b"", b"", False), "not checked"),
    (Outcome(None, b"", b"", True), "not checked"),
])
def test_running_out_of_memory_says_nothing_of_an_application(outcome: Outcome, result: str) -> None:
    assert _restart_checks.loaded("gunicorn", outcome).result == result


CATCHES = "import signal, sys, time; signal.signal(signal.SIGTERM, %s); print('ready', flush=True); time.sleep(600)"


@pytest.mark.parametrize("handler,ends", [("lambda *a: sys.exit(0)", True), ("lambda *a: None", False), ("signal.SIG_DFL", False)])
def test_only_a_main_process_that_ends_by_itself_was_ended_warm(handler: str, ends: bool) -> None:
    """One that does not catch the signal is not sent it: that would be no warm end."""
    with subprocess.Popen([sys.executable, "-c", CATCHES % handler], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None and process.stdout.readline() == b"ready\n"
            assert _service_restart._end_warm(Hands(Machine(), Files(), ""), process.pid, 30.0 if ends else 0.5) is ends
            assert (_processes.status(Machine(), process.pid) is None) is ends
        finally:
            process.kill()


@pytest.fixture(name="served")
def _served(tmp_path: Path) -> t.Iterator[tuple[int, list[int], Path]]:
    """A real gunicorn: its pid, its workers, its application."""
    application = tmp_path / "shop_app.py"
    application.write_text("def app(environ, start_response):\n    start_response('200 OK', [])\n    return [b'']\n", encoding="utf-8")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, os.path.join(os.path.dirname(sys.executable), "gunicorn"), "--bind", "127.0.0.1:%d" % port, "--workers", "2", "shop_app:app"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            workers: list[int] = []
            until = time.monotonic() + 60
            while len(workers) < 2 and time.monotonic() < until:
                time.sleep(0.1)
                workers = _processes.workers(Machine(), "gunicorn", process.pid)
            yield process.pid, workers, application
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()


def test_an_application_is_loaded_before_a_restart_would_need_it(served: tuple[int, list[int], Path]) -> None:
    pid, workers, application = served
    machine = Machine()
    assert _restart_checks.gunicorn(machine, pid, workers, None).result == "passed"
    assert "may have" in _restart_checks.gunicorn(machine, pid, workers, 16 * 1024 * 1024).says
    application.write_text("import shop_settings_that_are_not_there\n", encoding="utf-8")
    check = _restart_checks.gunicorn(machine, pid, workers, None)
    assert check.result == "failed" and "shop_settings_that_are_not_there" in check.says
    # the one that runs has noticed nothing
    assert _processes.workers(machine, "gunicorn", pid) == workers


def test_what_does_not_run_is_not_checked() -> None:
    assert _restart_checks.gunicorn(Machine(), None, [], None).result == "not checked"
