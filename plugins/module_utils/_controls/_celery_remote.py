# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Talk to one celery worker by celery's own remote control, as the service's user, in the service's own environment.

Private to oncall.pressure: no stable interface.

The command line, folder, user and environment are those of the running process, read when they are needed and never kept: they hold
secrets. What it starts loads the application, as the worker itself did, and so needs about as much memory as the main process has.
"""

from __future__ import annotations

import json
import re
import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._change._kinds import Refused
from ansible_collections.oncall.pressure.plugins.module_utils._controls import _processes
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import As, Machine
from ansible_collections.oncall.pressure.plugins.module_utils._host._text import clean, decode

#: The least memory that must be free before one question is asked (it takes about 50 MB with a small application), in bytes.
NEED_BYTES = 96 * 1024 * 1024
_SPARE_BYTES = 32 * 1024 * 1024

#: The least address space that it is allowed, in bytes: most of it is never touched.
_SPACE_BYTES = 1024 * 1024 * 1024

#: How long a worker may take to answer; how long all of them are listened to, at first and on a host that is slow; and the whole program, in seconds.
_ANSWER_S = 5
_EVERYBODY_S = (2, 8)
_PROGRAM_S = 20.0

#: The same for an undo: there is nothing else that it could do, so it waits for what is slow and does not leave a host in between.
PATIENT_S = 90.0

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
    """A celery worker's command line: the program with what is before its subcommand, and what concerns us of the rest."""

    program: list[str]
    node: str | None
    pool: str | None
    autoscale: bool


def command(argv: t.Sequence[str]) -> Command | None:
    """Read a running worker's arguments; null where they do not show one (a title written over them, another program)."""
    place = None
    for index, word in enumerate(argv[:8]):
        if word.rpartition("/")[2] == "celery" and argv[index - 1] != "-m" or index and argv[index - 1] == "-m" and word in ("celery", "celery.__main__"):
            place = index
            break
    if place is None:
        return None
    options, rest = _globals(argv[place + 1:])
    if rest is None:
        return None
    # before version 5 the options of all commands stood behind the command
    late, dummy = _globals(rest, True)
    return Command(
        list(argv[: place + 1]) + options + late, _value(rest, "-n", "--hostname"), _value(rest, "-P", "--pool"),
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
    return Remote(service, pid, node, read.program, variables, who, max(NEED_BYTES, found.rss_kib * 1024 + _SPARE_BYTES))


def _who(machine: Machine, pid: int, memory_bytes: int) -> As:
    lines = dict(line.split(":", 1) for line in machine.text("/proc/%d/status" % pid).split("\n") if ":" in line)
    return As(
        int(lines["Uid"].split()[1]), int(lines["Gid"].split()[1]), tuple(int(word) for word in lines.get("Groups", "").split()),
        machine.link("/proc/%d/cwd" % pid), memory_bytes,
    )


def check_node(machine: Machine, to: Remote) -> dict[str, t.Any]:
    """Exactly one worker of this name, and it is ours: what it says of itself. Raises Refused.

    An answer to one name ends the asking, so a second worker of the same name shows only when all are asked.
    """
    name = clean(to.service, 200)
    answers, errors = {}, ""
    for wait_s in _EVERYBODY_S:
        document, errors = _ask(machine, to, ["inspect", "--json", "--timeout", str(wait_s), "ping"])
        answers = document if isinstance(document, dict) else {}
        if to.node in answers:
            break
    if to.node not in answers:
        raise Refused("%s: the worker %s does not answer (remote control is off, or the broker is not reached)" % (name, clean(to.node, 200)))
    if "multiple replies" in errors or "DuplicateNodename" in errors:
        raise Refused("%s: several workers have one name, so what is told to %s would be done by all of them" % (name, clean(to.node, 200)))
    return stats(machine, to)


def stats(machine: Machine, to: Remote) -> dict[str, t.Any]:
    """What a worker says of itself. Raises Refused where it says nothing, or is another process.

    With some brokers workers of one name take turns at what is told to it, so that one of them shows only in a later answer.
    """
    document, dummy = _ask(machine, to, ["inspect", "--json", "--timeout", str(_ANSWER_S), "--destination", to.node, "stats"])
    said = document.get(to.node) if isinstance(document, dict) else None
    if not isinstance(said, dict):
        raise Refused("%s: the worker %s does not say what it is" % (clean(to.service, 200), clean(to.node, 200)))
    if said.get("pid") != to.pid:
        raise Refused("%s: the worker called %s is another process, perhaps on another host" % (clean(to.service, 200), clean(to.node, 200)))
    return said


def pool_pids(said: t.Mapping[str, t.Any]) -> list[int]:
    """The children that a worker believes to have, of what it says of itself."""
    pool = said.get("pool")
    found = pool.get("processes") if isinstance(pool, dict) else None
    return sorted(pid for pid in found if isinstance(pid, int)) if isinstance(found, list) else []


def active_pids(machine: Machine, to: Remote) -> list[int]:
    """The children that work on a task now. Raises Refused where the worker does not say."""
    document, dummy = _ask(machine, to, ["inspect", "--json", "--timeout", str(_ANSWER_S), "--destination", to.node, "active"])
    tasks = document.get(to.node) if isinstance(document, dict) else None
    if not isinstance(tasks, list):
        raise Refused("%s: the worker does not say what it works on" % clean(to.service, 200))
    return [task["worker_pid"] for task in tasks if isinstance(task, dict) and isinstance(task.get("worker_pid"), int)]


def tell(machine: Machine, to: Remote, order: str, number: int = 1) -> str | None:
    """Send one order (pool_shrink, pool_grow); the worker's objection, null where it has none. Raises Refused where nobody answers."""
    document, dummy = _ask(machine, to, ["control", "--json", "--timeout", str(_ANSWER_S), "--destination", to.node, order, str(number)])
    rows = document if isinstance(document, list) else [document]
    answers = [row[to.node] for row in rows if isinstance(row, dict) and to.node in row]
    if not answers:
        raise Refused("%s: the worker did not answer to %s" % (clean(to.service, 200), order))
    said = answers[0].get("error") if isinstance(answers[0], dict) else None
    return clean(str(said), 200) if said else None


def _ask(machine: Machine, to: Remote, arguments: t.Sequence[str]) -> tuple[t.Any, str]:
    """One run of celery's own program: the document that it prints, and what it says beside it. Raises Refused."""
    name = clean(to.service, 200)
    free = free_bytes(machine)
    if free is None or free < to.need_bytes:
        raise Refused(
            "%s: asking its worker needs %d MB and %s; free memory first, or restart it with fewer"
            % (name, to.need_bytes // 1000000, "it is not known how much is free" if free is None else "only %d MB are free" % (free // 1000000))
        )
    # first to be killed should memory run out all the same
    argv = ["/usr/bin/choom", "-n", "1000", "--"] + to.command + list(arguments)
    try:
        outcome = machine.run(argv, to.program_s, environment=to.environment, who=to.who)
    except OSError as problem:
        raise Refused("%s: celery's own program cannot be run for its user (%s)" % (name, problem.strerror)) from problem
    if outcome.timed_out:
        raise Refused("%s: celery's own program did not end within %d s" % (name, to.program_s))
    return _document(decode(outcome.out)), decode(outcome.err)


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
    if limit is None or used is None or not limit.strip().isdigit() or not used.strip().isdigit() or int(limit) >= 2 ** 62:
        return None
    stat = dict(line.partition(" ")[::2] for line in (machine.text_or_none(folder + "/memory.stat") or "").split("\n"))
    return int(limit) - int(used) + int(stat.get(names[2], "0") or 0)
