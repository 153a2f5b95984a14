# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run the snapshot module on one host and write its document on the controller at once.

A host that cannot be measured is a document that says so, and one line of the report; it never ends the run. Only bad input
fails.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import http.client
import os
import re
import signal
import ssl
import threading
import time
import typing as t

from ansible.errors import AnsibleConnectionFailure, AnsibleError
from ansible.plugins.action import ActionBase
from ansible.release import __version__

from ansible_collections.oncall.pressure.plugins.module_utils._host._text import clean, decode
from ansible_collections.oncall.pressure.plugins.plugin_utils import _documents, _prometheus, _prometheus_answer, _prometheus_history, _unreached

_MODULE = "oncall.pressure.snapshot"

#: What the controller does itself. The address of a server may hold a password, which is nothing for a host to know.
_OURS = ("report_dir", "prometheus_url", "prometheus_host")

#: What ansible-core says when it could not become another user, on its several lines.
_BECOME = re.compile(
    r"(?:missing|incorrect|timed? ?out waiting for|duplicate)[^\n]{0,80}(?:password|privilege escalation)"
    r"|a password is required|not in the sudoers file|not allowed to execute"
    r"|sudo: (?:command )?not found|(?:doas|su|sudo):",
    re.IGNORECASE,
)


#: How much longer than its collectors a host may take to answer at all: login, privileges, start of Python.
_GRACE_S = 45.0


class _Late(BaseException):
    """A host took too long. No ordinary exception: what lies between would take it for a failure of its own and go on."""


class ActionModule(ActionBase):
    """The action of the snapshot module."""

    TRANSFERS_FILES = False
    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        super().run(tmp, task_vars)
        task_vars = task_vars or {}
        host = str(task_vars.get("inventory_hostname", "localhost"))
        report_dir = self._task.args.get("report_dir")
        try:
            history = self._history(host, task_vars)
        except ValueError as problem:
            return {"failed": True, "changed": False, "msg": str(problem)}
        result, lost = self._measure(task_vars)
        received = time.time()
        document = result.get("snapshot")
        if not isinstance(document, dict):
            if _is_bad_input(result):
                return {"failed": True, "changed": False, "msg": str(result.get("msg"))}
            document = _documents.unreached(host, self._why(result, task_vars))
        else:
            _complete(document, host, received, lost)
            if history is not None:
                history.add_to(document)
        if not report_dir:
            answered = "unreached" not in document
            return {"changed": False, "failed": not answered, "snapshot": document, "msg": "measured" if answered else document["unreached"]}
        try:
            path = _documents.write_snapshot(str(report_dir), host, document)
        except (OSError, ValueError) as problem:
            return {"failed": True, "changed": False, "msg": "the snapshot could not be written under %s: %s" % (report_dir, problem)}
        return {"changed": False, "digest": _digest(document, path)}

    def _history(self, host: str, task_vars: dict[str, t.Any]) -> _History | None:
        """What a Prometheus server is asked meanwhile; null where none is named. Raises ValueError where what was given is no server or no name."""
        url = str(self._task.args.get("prometheus_url") or "")
        if not url:
            return None
        try:
            where = _prometheus.address(url)
        except ValueError as problem:
            raise ValueError("prometheus_url: %s" % problem) from None
        try:
            known = str(self._templar.template(task_vars.get("ansible_host") or ""))
            called = _prometheus.names(str(self._task.args.get("prometheus_host") or ""), host, known)
        except ValueError as problem:
            raise ValueError("prometheus_host: %s" % problem) from None
        return _History(where, called)

    def _measure(self, task_vars: dict[str, t.Any]) -> tuple[dict[str, t.Any], str | None]:
        """The module's result, and what was lost on the way: where no other user can be become, it measures as the one who logs in."""
        result = self._call(task_vars)
        if "snapshot" in result or not self._task.become or not _BECOME.search(_words(result)):
            return result, None
        self._connection.set_become_plugin(None)
        # where it fails again, that is the deeper trouble
        return self._call(task_vars), "no privileges: %s" % _unreached.explain_become(_words(result))

    def _why(self, result: dict[str, t.Any], task_vars: dict[str, t.Any]) -> str:
        """One line that says what is wrong; where it is the host's Python, the host is asked which ones it has."""
        if not _unreached.is_python(result):
            return _unreached.explain(result)
        used = self._templar.template(task_vars.get("ansible_python_interpreter") or "")
        facts = result.get("ansible_facts")
        if isinstance(facts, dict) and not str(used).startswith("/"):
            used = facts.get("discovered_interpreter_python") or used
        try:
            said = self._low_level_execute_command(_unreached.list_pythons(str(used)), sudoable=False)
        except AnsibleError:
            said = {}
        return _unreached.explain_python(str(used), str(said.get("stdout") or ""), (3, 9) if _core() >= (2, 20) else (3, 8))

    def _call(self, task_vars: dict[str, t.Any]) -> dict[str, t.Any]:
        arguments = {name: value for name, value in self._task.args.items() if name not in _OURS}
        limit_s = _number(arguments.get("timeout"), 15.0) + _number(arguments.get("memory_window"), 0.0) + _GRACE_S
        try:
            # a host that accepts a login and then stalls would hold the whole run: the module's own limit is of no use there
            with limited(limit_s):
                return t.cast("dict[str, t.Any]", self._execute_module(module_name=_MODULE, module_args=arguments, task_vars=task_vars))
        except _Late:
            _end_children()
            return {"failed": True, "unreachable": True, "msg": "timed out: no answer in %.0f s after the login began" % limit_s}
        except AnsibleConnectionFailure as problem:
            return {"failed": True, "unreachable": True, "msg": str(problem)}
        except AnsibleError as problem:
            return {"failed": True, "msg": str(problem)}


class _History:
    """The past of one host, asked of a Prometheus server while the host is measured: a server that hangs costs no more than what is left of its time."""

    def __init__(self, where: _prometheus.Address, called: t.Sequence[str]) -> None:
        self._where = where
        self._called = called
        self._told = _prometheus.Told()
        self._began = time.monotonic()
        self._seconds: float | None = None
        self._connection: http.client.HTTPConnection | None = None
        # a name that is looked up for minutes cannot be interrupted, and is left behind
        self._asker = threading.Thread(target=self._ask_all, daemon=True)
        self._asker.start()

    def add_to(self, document: dict[str, t.Any]) -> None:
        """Write into the document what was told, waiting for the rest of the server's time at most."""
        self._asker.join(max(self._began + _prometheus.LIMIT_S - time.monotonic(), 0.0))
        seconds = self._seconds if self._seconds is not None else time.monotonic() - self._began
        _prometheus_history.add(document, self._told, self._called, time.time(), seconds)

    def _ask_all(self) -> None:
        if self._called:
            _prometheus.ask_all(self._ask, self._called, time.time(), self._told)
        else:
            self._told.problems.append("how this host is called there is not known: set pressure_prometheus_host")
        self._seconds = time.monotonic() - self._began

    def _ask(self, target: str) -> str:
        """The text of one answer. Raises Unanswered."""
        end = min(time.monotonic() + _prometheus.ASK_S, self._began + _prometheus.LIMIT_S)
        try:
            answer = self._answer(target, end)
            if answer.status == 200:
                return decode(_body(answer, _prometheus.ANSWER_BYTES, end))
            raise _of_status(answer, end)
        except ssl.SSLCertVerificationError as problem:
            why = "its certificate is not trusted here (%s); SSL_CERT_FILE names the authorities" % clean(problem.verify_message, 100)
            raise _prometheus.Unanswered(why) from None
        except TimeoutError:
            raise _prometheus.Unanswered("no answer: timed out") from None
        except (OSError, http.client.HTTPException, ValueError) as problem:
            why = "no answer: %s" % clean(getattr(problem, "strerror", None) or str(problem) or type(problem).__name__, 200)
            raise _prometheus.Unanswered(why) from None

    def _answer(self, target: str, end: float) -> http.client.HTTPResponse:
        """One connection serves all questions: the authorities are loaded once, and a redirection is followed nowhere. No proxy is asked."""
        where = self._where
        if self._connection is None:
            kind = functools.partial(http.client.HTTPSConnection, context=ssl.create_default_context()) if where.secure else http.client.HTTPConnection
            self._connection = kind(where.host, where.port)
        left = max(end - time.monotonic(), 0.1)
        self._connection.timeout = left
        if self._connection.sock is not None:
            self._connection.sock.settimeout(left)
        headers = {"Accept": "application/json", "User-Agent": "oncall-pressure"}
        if where.user:
            headers["Authorization"] = "Basic " + base64.b64encode(("%s:%s" % (where.user, where.password)).encode("utf-8")).decode("ascii")
        self._connection.request("GET", where.prefix + target, headers=headers)
        return self._connection.getresponse()


def _body(answer: http.client.HTTPResponse, limit: int, end: float) -> bytes:
    """What an answer holds, however it is cut. Raises Unanswered where it is too much, TimeoutError where it comes too slowly."""
    parts: list[bytes] = []
    size = 0
    while size <= limit:
        if time.monotonic() > end:
            raise TimeoutError
        part = answer.read1(65536)
        if not part:
            # else the connection would take the answer for unread
            answer.close()
            return b"".join(parts)
        parts.append(part)
        size += len(part)
    raise _prometheus.Unanswered("its answer is larger than %d MiB" % (limit // 1048576))


def _of_status(answer: http.client.HTTPResponse, end: float) -> _prometheus.Unanswered:
    """What a status other than success means."""
    if 300 <= answer.status < 400:
        return _prometheus.Unanswered("it answers with a redirection (%d), which is not followed: name the address itself" % answer.status)
    if answer.status in (401, 403, 407):
        return _prometheus.Unanswered("it does not let us in (%d)" % answer.status, denied=True)
    said = _prometheus_answer.refused(decode(_body(answer, _prometheus.ANSWER_BYTES, end)))
    # a question that asks for too much is not the end of the others; what does not say why is no Prometheus
    return _prometheus.Unanswered("it answers %d%s" % (answer.status, ": %s" % said if said else ""), last=said is None)


@contextlib.contextmanager
def limited(limit_s: float) -> t.Iterator[None]:
    """Raises _Late in what is done within, once so many seconds are over."""
    before = signal.signal(signal.SIGALRM, _late)
    signal.setitimer(signal.ITIMER_REAL, limit_s)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _late(number: int, frame: t.Any) -> None:
    raise _Late


def _end_children() -> None:
    """End what this worker started for the host and still waits for (ssh); where /proc does not tell, it ends with the connection."""
    try:
        with open("/proc/self/task/%d/children" % os.getpid(), encoding="ascii") as stream:
            children = [int(word) for word in stream.read().split()]
    except (OSError, ValueError):
        return
    for pid in children:
        try:
            os.kill(pid, signal.SIGTERM)
        except OSError:
            continue


def _number(value: t.Any, otherwise: float) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return otherwise


def _core() -> tuple[int, ...]:
    """The version of ansible-core: it says which Pythons a target may have."""
    return tuple(int(part) for part in re.findall(r"[0-9]+", __version__)[:2])


def _words(result: t.Mapping[str, t.Any]) -> str:
    return " ".join(str(result.get(name) or "") for name in ("msg", "module_stderr", "module_stdout", "exception"))[:8192]


def _is_bad_input(result: t.Mapping[str, t.Any]) -> bool:
    """Whether the module refused its parameters: the same on every host, so it is the caller's to mend."""
    text = str(result.get("msg") or "")
    return not result.get("unreachable") and ("module_stderr" not in result) and bool(
        re.search(r"must be from .* to |Unsupported parameters|argument '?\w+'? is of type|missing required arguments|\Apostgres_dsn: ", text))


def _complete(document: dict[str, t.Any], host: str, received: float, lost: str | None) -> None:
    """Fill in what only the controller knows."""
    document["name"] = host
    taken = document.get("taken")
    if isinstance(taken, dict) and isinstance(taken.get("epoch_s"), (int, float)):
        # the answer travelled for a moment: small offsets are that and not the clock
        taken["clock_offset_s"] = round(taken["epoch_s"] - received, 1)
    document["lost"] = lost


def _digest(document: t.Mapping[str, t.Any], path: str) -> dict[str, t.Any]:
    """What the run keeps in memory of one host: no text that the host chose."""
    collectors = document.get("collectors")
    known = ("ok", "partial", "absent", "denied", "error")
    statuses = {}
    if isinstance(collectors, dict):
        statuses = {name: row.get("status") for name, row in collectors.items()
                    if isinstance(row, dict) and row.get("status") in known and re.match(r"[a-z]{1,20}\Z", str(name))}
    return {"answered": "unreached" not in document, "path": path, "collectors": statuses}
