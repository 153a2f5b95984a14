# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Talk to one celery worker by celery's own remote control, as the service's user, in the service's own environment.

Private to oncall.pressure: no stable interface.

The command line, folder, user and environment are those of the running process, read when they are needed and never kept: they hold
secrets. What it starts loads the application, as the worker itself did, and so needs about as much memory as the main process has, and
seconds of CPU on a host that has none to spare. So it is started once for all that is asked: celery's own command line, run again and again
in one process.
"""

from __future__ import annotations

import json
import posixpath
import re
import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._change._kinds import Operation, Refused
from ansible_collections.oncall.pressure.plugins.module_utils._controls import _processes
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import As, Machine
from ansible_collections.oncall.pressure.plugins.module_utils._host._talk import Talk
from ansible_collections.oncall.pressure.plugins.module_utils._host._text import clean, decode

#: The least memory that must be free before one question is asked (it takes about 50 MB with a small application), in bytes.
NEED_BYTES = 96 * 1024 * 1024
_SPARE_BYTES = 32 * 1024 * 1024

#: The least address space that it is allowed, in bytes: most of it is never touched.
_SPACE_BYTES = 1024 * 1024 * 1024

#: How long a worker may take to answer; how long all of them are listened to, at first and on a host that is slow; and one answer with the program's
#: start, in seconds.
_ANSWER_S = 5
_EVERYBODY_S = (2, 8)
_PROGRAM_S = 20.0

#: The same for an undo: there is nothing else that it could do, so it waits for what is slow and does not leave a host in between.
PATIENT_S = 90.0

#: A line in, the words of a command; a line out, what it printed and what it said beside. Nothing else that is printed may come between.
_PROGRAM = """
import io, json, os, sys
where, before, orders = sys.argv[1], sys.argv[2:], sys.stdin
if sys.path[:1] == [""] and where:
    sys.path[0] = where
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
from celery.__main__ import main
for line in iter(orders.readline, ""):
    sys.argv = ["celery"] + before + json.loads(line)
    sys.stdout, sys.stderr = printed = io.StringIO(), io.StringIO()
    try:
        main()
    except BaseException:
        pass
    answers.write(json.dumps([one.getvalue() for one in printed]) + "\\n")
    answers.flush()
"""

_GLOBAL = ("-A", "--app", "-b", "--broker", "--result-backend", "--loader", "--config")
_GLUED = ("-A", "-b")
_NOT_OURS = re.compile(r"(?:NOTIFY_SOCKET|LISTEN_.*|WATCHDOG_.*|INVOCATION_ID|JOURNAL_STREAM|MAINPID|SUPERVISOR_.*|PYTHONSTARTUP|PYTHONINSPECT)\Z")


class Remote(t.NamedTuple):
    """How to reach one worker. Not to be written down: it holds the service's environment."""

    service: str
    pid: int
    node: str
    command: list[str]
    environment: dict[str, str]
    who: As
    need_bytes: int
    program_s: float = _PROGRAM_S


class Command(t.NamedTuple):
    """A celery worker's command line: the interpreter, the folder of celery's script ("" for ``-m``), which application, and what concerns us of the rest."""

    python: list[str]
    script_folder: str
    options: list[str]
    node: str | None
    pool: str | None
    autoscale: bool


def command(argv: t.Sequence[str]) -> Command | None:
    """Read a running worker's arguments; null where they do not show one (a title written over them, another program)."""
    place = None
    for index, word in enumerate(argv[:8]):
        if index and (word.rpartition("/")[2] == "celery" if argv[index - 1] != "-m" else word in ("celery", "celery.__main__")):
            place = index
            break
    if place is None:
        return None
    module = argv[place - 1] == "-m"
    options, rest = _globals(argv[place + 1:])
    if rest is None:
        return None
    # before version 5 the options of all commands stood behind the command
    late, dummy = _globals(rest, True)
    return Command(
        list(argv[: place - module]), "" if module else posixpath.dirname(argv[place]), options + late,
        _value(rest, "-n", "--hostname"), _value(rest, "-P", "--pool"),
        any(word == "--autoscale" or word.startswith("--autoscale=") for word in rest),
    )


def _globals(words: t.Sequence[str], all_of_them: bool = False) -> tuple[list[str], list[str] | None]:
    """The options that say which application and broker, and the words behind the subcommand ``worker``; null where it is another.

    Its folder is left out: the running process is in it already.
    """
    found: list[str] = []
    index = 0
    while index < len(words):
        word = words[index]
        if word in _GLOBAL and index + 1 < len(words):
            found += [word, words[index + 1]]
            index += 1
        elif any(word.startswith(name + "=") for name in _GLOBAL if name.startswith("--")) or any(word.startswith(name) and len(word) > 2 for name in _GLUED):
            found.append(word)
        elif word == "--workdir":
            index += 1
        elif not word.startswith("-") and not all_of_them:
            return found, list(words[index + 1:]) if word == "worker" else None
        index += 1
    return found, None


def _value(words: t.Sequence[str], short: str, long: str) -> str | None:
    for index, word in enumerate(words):
        if word in (short, long) and index + 1 < len(words):
            return words[index + 1]
        if word.startswith(long + "="):
            return word[len(long) + 1:]
        if word.startswith(short) and not word.startswith("--") and len(word) > 2:
            return word[2:]
    return None


def node_name(given: str | None, host: str) -> str | None:
    """The name that a worker has in the cluster; null where it says something that only itself can fill in."""
    name, separator, where = (given or "").partition("@")
    if not separator:
        name, where = "celery", name
    short, dummy, domain = host.partition(".")
    full = "%s@%s" % (name or "celery", where or host)
    for sign, text in (("%h", host), ("%n", short), ("%d", domain)):
        full = full.replace(sign, text)
    return None if "%" in full else full


def remote(machine: Machine, service: str, pid: int, start_ticks: int) -> Remote:
    """How to reach the worker with this main process. Raises Refused."""
    name = clean(service, 200)
    found = _processes.the_same(machine, pid, start_ticks)
    if found is None:
        raise Refused("%s: its main process has gone or is another one" % name)
    read = command(_processes.words(machine, pid))
    if read is None:
        raise Refused("%s: the arguments of its main process do not show how celery was started; lower it in its configuration and restart it" % name)
    node = node_name(read.node, (machine.text_or_none("/proc/sys/kernel/hostname") or "").strip())
    if node is None:
        raise Refused("%s: its node name (-n %s) is filled in by itself only" % (name, clean(read.node or "", 100)))
    try:
        variables = {key: value for key, value in _processes.environment(machine, pid).items() if not _NOT_OURS.match(key)}
        who = _who(machine, pid, max(_SPACE_BYTES, 2 * found.size_kib * 1024))
    except OSError as problem:
        raise Refused("%s: the environment of its main process cannot be read (%s)" % (name, problem.strerror)) from problem
    # what we ask leaves nothing behind, and speaks a language that we read
    variables.update(PYTHONDONTWRITEBYTECODE="1", LC_ALL="C.UTF-8")
    words = read.python + ["-c", _PROGRAM, read.script_folder] + read.options
    return Remote(service, pid, node, words, variables, who, max(NEED_BYTES, found.rss_kib * 1024 + _SPARE_BYTES))


def _who(machine: Machine, pid: int, memory_bytes: int) -> As:
    lines = dict(line.split(":", 1) for line in machine.text("/proc/%d/status" % pid).split("\n") if ":" in line)
    return As(
        int(lines["Uid"].split()[1]), int(lines["Gid"].split()[1]), tuple(int(word) for word in lines.get("Groups", "").split()),
        machine.link("/proc/%d/cwd" % pid), memory_bytes,
    )


class Client:
    """Celery's own program, to be used in a ``with``; it is started when it is first asked. Everything raises Refused where it does not answer."""

    def __init__(self, machine: Machine, to: Remote) -> None:
        self._machine = machine
        self._to = to
        self._talk: Talk | None = None

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *dummy: t.Any) -> None:
        if self._talk is not None:
            self._talk.end()

    def check_node(self) -> dict[str, t.Any]:
        """Exactly one worker of this name, and it is ours: what it says of itself.

        An answer to one name ends the asking, so a second worker of the same name shows only when all are asked.
        """
        name, node = clean(self._to.service, 200), self._to.node
        answers, errors = {}, ""
        for wait_s in _EVERYBODY_S:
            document, errors = self._ask(["inspect", "--json", "--timeout", str(wait_s), "ping"])
            answers = document if isinstance(document, dict) else {}
            if node in answers:
                break
        if node not in answers:
            raise Refused("%s: the worker %s does not answer (remote control is off, or the broker is not reached)" % (name, clean(node, 200)))
        if "multiple replies" in errors or "DuplicateNodename" in errors:
            raise Refused("%s: several workers have one name, so what is told to %s would be done by all of them" % (name, clean(node, 200)))
        return self.stats()

    def stats(self) -> dict[str, t.Any]:
        """What a worker says of itself. Raises Refused where it is another process, too.

        With some brokers workers of one name take turns at what is told to it, so that one of them shows only in a later answer.
        """
        document = self._of_node(["inspect"], "stats")
        said = document.get(self._to.node) if isinstance(document, dict) else None
        if not isinstance(said, dict):
            raise Refused("%s: the worker %s does not say what it is" % (clean(self._to.service, 200), clean(self._to.node, 200)))
        if said.get("pid") != self._to.pid:
            raise Refused("%s: the worker called %s is another process, perhaps on another host" % (clean(self._to.service, 200), clean(self._to.node, 200)))
        return said

    def pool_pids(self) -> list[int]:
        """The children that a worker believes to have."""
        pool = self.stats().get("pool")
        found = pool.get("processes") if isinstance(pool, dict) else None
        return sorted(pid for pid in found if isinstance(pid, int)) if isinstance(found, list) else []

    def active_pids(self) -> list[int]:
        """The children that work on a task now."""
        document = self._of_node(["inspect"], "active")
        tasks = document.get(self._to.node) if isinstance(document, dict) else None
        if not isinstance(tasks, list):
            raise Refused("%s: the worker does not say what it works on" % clean(self._to.service, 200))
        return [task["worker_pid"] for task in tasks if isinstance(task, dict) and isinstance(task.get("worker_pid"), int)]

    def tell(self, order: str, number: int) -> str | None:
        """Send one order (pool_shrink, pool_grow); the worker's objection, null where it has none."""
        document = self._of_node(["control"], order, str(number))
        rows = document if isinstance(document, list) else [document]
        answers = [row[self._to.node] for row in rows if isinstance(row, dict) and self._to.node in row]
        if not answers:
            raise Refused("%s: the worker did not answer to %s" % (clean(self._to.service, 200), order))
        said = answers[0].get("error") if isinstance(answers[0], dict) else None
        return clean(str(said), 200) if said else None

    def _of_node(self, command: list[str], *words: str) -> t.Any:
        return self._ask(command + ["--json", "--timeout", str(_ANSWER_S), "--destination", self._to.node] + list(words))[0]

    def _ask(self, arguments: t.Sequence[str]) -> tuple[t.Any, str]:
        """One command of celery's own: the document that it prints, and what it says beside it."""
        to, name = self._to, clean(self._to.service, 200)
        if self._talk is None:
            self._talk = _start(self._machine, to)
        try:
            answer = self._talk.ask(json.dumps(list(arguments)), to.program_s)
        except TimeoutError as problem:
            raise Refused("%s: celery's own program did not answer within %d s" % (name, to.program_s)) from problem
        try:
            printed, beside = json.loads(decode(answer or b""))
            return _document(printed), beside
        except (ValueError, TypeError) as problem:
            raise Refused("%s: celery's own program does not run for its user (its application could not be loaded, or memory ran out)" % name) from problem


def client(machine: Machine, operation: Operation, program_s: float = _PROGRAM_S) -> Client:
    """For the worker with the main process of an operation. Raises Refused."""
    to = remote(machine, operation["service"], operation["pid"], operation["start_ticks"])
    return Client(machine, to._replace(program_s=program_s))


def _start(machine: Machine, to: Remote) -> Talk:
    """Raises Refused."""
    name = clean(to.service, 200)
    free = free_bytes(machine)
    if free is None or free < to.need_bytes:
        raise Refused(
            "%s: asking its worker needs %d MB and %s; free memory first, or restart it with fewer"
            % (name, to.need_bytes // 1000000, "it is not known how much is free" if free is None else "only %d MB are free" % (free // 1000000))
        )
    try:
        return Talk(to.command, to.environment, to.who)
    except OSError as problem:
        raise Refused("%s: celery's own program cannot be run for its user (%s)" % (name, problem.strerror)) from problem


def _document(text: str) -> t.Any:
    """The JSON among what an application may print when it is loaded; null where there is none."""
    for line in reversed(text.split("\n")):
        if line[:1] in ("{", "["):
            try:
                return json.loads(line)
            except ValueError:
                continue
    return None


def free_bytes(machine: Machine) -> int | None:
    """How much memory a program that we start can have: of the host, and of every limit above ourselves, in whose group it runs."""
    figures = dict(line.partition(":")[::2] for line in (machine.text_or_none("/proc/meminfo") or "").split("\n"))
    words = figures.get("MemAvailable", "").split()
    if not words:
        return None
    least = int(words[0]) * 1024
    for line in (machine.text_or_none("/proc/self/cgroup") or "").split("\n"):
        number, controllers, path = (line.split(":", 2) + ["", ""])[:3]
        if number == "0" and controllers == "":
            roots = ("/sys/fs/cgroup", "/sys/fs/cgroup/unified")
            names = ("memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            roots = ("/sys/fs/cgroup/memory",)
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        else:
            continue
        for root in roots:
            here = path
            while True:
                left = _left(machine, root + here.rstrip("/"), names)
                least = least if left is None else min(least, left)
                if here in ("", "/"):
                    break
                here = here.rpartition("/")[0]
    return least


def _left(machine: Machine, folder: str, names: tuple[str, str, str]) -> int | None:
    limit, used = machine.text_or_none("%s/%s" % (folder, names[0]), 100), machine.text_or_none("%s/%s" % (folder, names[1]), 100)
    if limit is None or used is None or not limit.strip().isdecimal() or not used.strip().isdecimal() or int(limit) >= 2 ** 62:
        return None
    stat = dict(line.partition(" ")[::2] for line in (machine.text_or_none(folder + "/memory.stat") or "").split("\n"))
    return int(limit) - int(used) + int(stat.get(names[2], "0") or 0)
