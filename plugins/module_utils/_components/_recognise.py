# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a live process is, by its executable and its arguments.

Private to oncall.pressure: no stable interface. Pure: nothing is read here.

Never by a substring: ``grep gunicorn``, ``vim celery.py``, ``sh -c 'gunicorn ...'`` and a file called ``torque`` are
none of these programs. Three looks, in this order: a title that a program wrote over its arguments, the Python
program that an interpreter runs, the name of the executable.

What one process cannot say of itself (a forked worker has its master's arguments; a spawned one only says that it was
spawned) is said by its place in the tree: :func:`in_tree`.
"""

from __future__ import annotations

import re
import typing as t


class Recognised(t.NamedTuple):
    """What a process is.

    component: gunicorn, uvicorn, celery, rq, nginx, postgres, redis, docker, cron, host or other
    role: web, worker, scheduler, database, cache, proxy, job or other
    program: what runs, more exactly than the component (hypercorn, flower, haproxy, sh, SPAWNED, HELPER, ...)
    part: master, worker, single, or null where only the tree can tell (see :func:`in_tree`)
    """

    component: str
    role: str
    program: str
    part: str | None


#: A child that multiprocessing spawned: it belongs to its parent, of which it is a worker (uvicorn --workers, --reload).
SPAWNED = "python-spawned"

#: multiprocessing's own assistants (resource tracker, fork server): they belong to their parent and are no workers.
HELPER = "python-helper"

_PYTHON = re.compile(r"(?:python|pypy)(?:\d+(?:\.\d+)*)?[a-z]*(?:-dbg|-debug)?")
_GUNICORN = re.compile(r"gunicorn(?:-?\d+(?:\.\d+)*)?(?:_django|_paster)?")
_VERSIONED = re.compile(r"-?\d+(?:\.\d+)*$")

_TITLE_GUNICORN = re.compile(r"gunicorn: (master|worker)\b|gunicorn: (?:arbiter|dirty)")
_TITLE_CELERY = re.compile(r"\[celeryd(?:: [^\]]*?)?(?::(?P<process>[A-Za-z]+)(?:-\d+)*)?\]")
_TITLE_BEAT = re.compile(r"\[celery ?beat(?::[^\]]*)?\]")
_TITLE_RQ = re.compile(r"rq(?::worker:[^ ]*)?: ")
_TITLE_NGINX = re.compile(r"nginx: (master|worker|cache manager|cache loader|privileged agent)\b")

#: Options of the interpreter that take the next word as their value.
_PYTHON_VALUE_OPTIONS = frozenset(("-X", "-W", "-Q", "--check-hash-based-pycs"))

#: Options before celery's subcommand that take the next word as their value.
_CELERY_VALUE_OPTIONS = frozenset(("-A", "--app", "-b", "--broker", "--result-backend", "--loader", "--config", "--workdir"))

_CELERY_ROLES = {"worker": "worker", "beat": "scheduler", "flower": "other"}
_RQ_ROLES = {"worker": "worker", "worker-pool": "worker", "cron": "scheduler"}

#: component and role of programs known by the name of their executable
_EXECUTABLES: dict[str, tuple[str, str]] = {
    "nginx": ("nginx", "proxy"), "nginx-debug": ("nginx", "proxy"), "openresty": ("nginx", "proxy"), "angie": ("nginx", "proxy"),
    "postgres": ("postgres", "database"), "postmaster": ("postgres", "database"), "edb-postgres": ("postgres", "database"),
    "redis-server": ("redis", "cache"), "redis-sentinel": ("redis", "cache"), "redis-check-rdb": ("redis", "cache"), "redis-check-aof": ("redis", "cache"),
    "valkey-server": ("redis", "cache"), "valkey-sentinel": ("redis", "cache"), "keydb-server": ("redis", "cache"),
    "dockerd": ("docker", "other"), "docker": ("docker", "other"), "docker-proxy": ("docker", "other"), "docker-init": ("docker", "other"),
    "containerd": ("docker", "other"), "containerd-shim": ("docker", "other"), "containerd-shim-runc-v2": ("docker", "other"),
    "containerd-shim-runc-v1": ("docker", "other"), "runc": ("docker", "other"), "crun": ("docker", "other"), "podman": ("docker", "other"),
    "conmon": ("docker", "other"), "docker-containerd": ("docker", "other"),
    "cron": ("cron", "scheduler"), "CRON": ("cron", "scheduler"), "crond": ("cron", "scheduler"), "anacron": ("cron", "scheduler"),
    "atd": ("cron", "scheduler"),
    "fcron": ("cron", "scheduler"),
    "memcached": ("other", "cache"), "varnishd": ("other", "cache"), "cache-main": ("other", "cache"),
    "haproxy": ("other", "proxy"), "apache2": ("other", "proxy"), "httpd": ("other", "proxy"), "caddy": ("other", "proxy"), "traefik": ("other", "proxy"),
    "envoy": ("other", "proxy"), "squid": ("other", "proxy"), "lighttpd": ("other", "proxy"),
    "pgbouncer": ("other", "database"), "pgpool": ("other", "database"), "mysqld": ("other", "database"), "mariadbd": ("other", "database"),
    "mongod": ("other", "database"), "clickhouse-server": ("other", "database"), "etcd": ("other", "database"),
    "uwsgi": ("other", "web"), "unitd": ("other", "web"), "php-fpm": ("other", "web"), "puma": ("other", "web"),
    "beam.smp": ("other", "other"), "rabbitmq-server": ("other", "other"),
}

#: what keeps the machine itself running
_HOST = frozenset(
    """
    init systemd sshd dbus-daemon dbus-broker dbus-broker-launch agetty getty login rsyslogd syslog-ng udevd chronyd ntpd polkitd NetworkManager
    dhclient dhcpcd supervisord snapd irqbalance accounts-daemon auditd fail2ban-server monit networkd-dispatcher unattended-upgrade
    unattended-upgrades unattended-upgrade-shutdown tuned firewalld packagekitd udisksd multipathd lvmetad dmeventd acpid rpcbind rpc.statd
    wpa_supplicant qemu-ga vmtoolsd node_exporter earlyoom dumb-init tini catatonit sftp-server ssh-agent sudo su runsvdir runsv s6-svscan
    s6-supervise logrotate sadc sa1 amazon-ssm-agent google_guest_agent waagent prometheus-node-exporter
    """.split()
)

#: executables that are many programs, by the name they are called
_MANY_NAMES = frozenset(("busybox", "toybox", "coreutils"))

#: Python web servers that are no component of their own
_OTHER_WEB = frozenset(("hypercorn", "daphne", "waitress-serve", "waitress", "granian", "flask", "cherryd", "pserve", "twistd", "tornado"))

_PYTHON_COMPONENTS = frozenset(("gunicorn", "uvicorn", "celery", "rq"))

OTHER = Recognised("other", "other", "", None)


def recognise(name: str, argv: t.Sequence[str], exe: str | None) -> Recognised:
    """What a process is.

    :param name: its short name (/proc/PID/comm, at most 15 characters)
    :param argv: its arguments; one element where it wrote a title over them, none for a zombie or a kernel thread
    :param exe: where /proc/PID/exe points, null where that may not be read
    """
    path = exe or ""
    binary = _base(path[: -len(" (deleted)")] if path.endswith(" (deleted)") else path)
    if not argv:
        return _by_executable(binary or name)
    first = _base(argv[0].split(" ", 1)[0] if len(argv) == 1 else argv[0]).rstrip(":")
    if not binary and name and not _may_be_called(name, argv[0], first):
        # somebody gave another program this name (exec -a): its short name tells where its executable may not be read
        return _by_executable(name)
    titled = _title(argv[0], binary)
    if titled is not None:
        return titled
    # argv[0] is only what somebody called it: "gunicorn" run by anything but Python, or a file of that name, is not gunicorn
    if _python_program(first) and (not binary or binary == first or _is_python(binary)):
        return _python_process([first] + list(argv[1:]))
    if _is_python(binary) or (not binary and _is_python(first)):
        return _python_process(_python_words(argv))
    own, called = _by_executable(binary or first), _by_executable(first)
    # one file with several names: busybox as crond, redis-check-rdb as redis-server
    return called if binary in _MANY_NAMES or called.component == own.component != "other" else own


def in_tree(own: Recognised, parent: Recognised | None) -> Recognised:
    """What a process is, its parent considered. Go through the tree from the top: ``parent`` is what this function said of it.

    A child with its master's arguments, or one that the master spawned, is a worker. The child of a worker (an
    application that forks) belongs to the same service and has no part of its own. What is at the top is a master;
    where it turns out to have no workers it is the single process of its service.
    """
    if parent is not None and parent.component in _PYTHON_COMPONENTS:
        if own.program in (SPAWNED, HELPER):
            part = "worker" if own.program == SPAWNED and parent.part != "worker" else None
            return Recognised(parent.component, parent.role, own.program, part)
        if (own.component, own.program, own.role) == (parent.component, parent.program, parent.role):
            return own._replace(part=None if parent.part in ("worker", None) else "worker")
    if own.part is None and own.component in _PYTHON_COMPONENTS and own.role in ("web", "worker"):
        return own._replace(part="master")
    return own


def _base(path: str) -> str:
    return path.rpartition("/")[2]


def _may_be_called(name: str, title: str, first: str) -> bool:
    """Whether a process with this short name may be what its first argument says; only claims to be one of the programs are doubted."""
    claims = _title(title, "") is not None or _python_program(first)
    return not claims or title.startswith(name) or first.startswith(name) or _is_python(name) or _python_program(name) or name in _EXECUTABLES


def _is_python(name: str) -> bool:
    return bool(_PYTHON.fullmatch(name))


def _title(title: str, binary: str) -> Recognised | None:
    """A title that the program wrote over its arguments; it counts only where the executable can be that program's."""
    python = not binary or _is_python(binary)
    found = _TITLE_GUNICORN.match(title)
    if found and (python or binary.startswith("gunicorn")):
        return Recognised("gunicorn", "web", "gunicorn", found.group(1))
    found = _TITLE_CELERY.match(title)
    if found and python:
        process = found.group("process") or ""
        if process == "Beat":
            return Recognised("celery", "scheduler", "celery", "single")
        return Recognised("celery", "worker", "celery", "worker" if process.endswith("PoolWorker") else "master" if process == "MainProcess" else None)
    if _TITLE_BEAT.match(title) and python:
        return Recognised("celery", "scheduler", "celery", "single")
    found = _TITLE_RQ.match(title)
    if found and python:
        return Recognised("rq", "worker", "rq", "worker" if title[found.end():].startswith("Processing ") else "single")
    found = _TITLE_NGINX.match(title)
    if found and (not binary or _EXECUTABLES.get(binary, ("", ""))[0] == "nginx"):
        return Recognised("nginx", "proxy", "nginx", found.group(1) if found.group(1) in ("master", "worker") else None)
    if title.startswith("postgres: ") and (not binary or _EXECUTABLES.get(binary, ("", ""))[0] == "postgres"):
        return Recognised("postgres", "database", "postgres", "worker")
    return None


def _by_executable(name: str) -> Recognised:
    found = _EXECUTABLES.get(name) or _EXECUTABLES.get(_VERSIONED.sub("", name))
    if found is not None:
        part = "single" if found[0] == "redis" else "master" if found[0] == "postgres" else None
        return Recognised(found[0], found[1], name, part)
    if name in _HOST or name.startswith("systemd-") or name == "(sd-pam)":
        return Recognised("host", "other", name, None)
    return Recognised("other", "other", name, None)


def _python_program(name: str) -> bool:
    """Whether a script of this name is one of the Python programs we know (never true of ``celery.py``: that is somebody's module)."""
    return (
        bool(_GUNICORN.fullmatch(name)) or name in ("uvicorn", "celery", "celeryd", "celerybeat", "flower", "rq", "rqworker", "rqscheduler", "fastapi")
        or name in _OTHER_WEB or name.endswith(("-celery", "_celery"))
    )


def _python_words(argv: t.Sequence[str]) -> list[str]:
    """The program (its name, or its module with a blank before it) and its arguments, of an interpreter's arguments."""
    index = 1
    while index < len(argv):
        word = argv[index]
        if word == "--":
            index += 1
            break
        if not word.startswith("-") or word == "-":
            break
        if word.startswith("--"):
            index += 2 if word in _PYTHON_VALUE_OPTIONS else 1
            continue
        # short options may be joined (-um gunicorn, -Werror); c and m end them
        for place, letter in enumerate(word[1:], 1):
            if letter in "cm":
                value = word[place + 1:] or (argv[index + 1] if index + 1 < len(argv) else "")
                rest = argv[index + (1 if word[place + 1:] else 2):]
                return [(" " if letter == "m" else "\n") + value] + list(rest)
            if letter in "XWQ":
                index += 0 if word[place + 1:] else 1
                break
        index += 1
    if index >= len(argv):
        return []
    script = argv[index]
    name = _base(script)
    if name == "__main__.py":
        name = " " + _base(script[: -len("/__main__.py")])
    return [name] + list(argv[index + 1:])


def _python_process(words: list[str]) -> Recognised:
    """What a Python program is, from its name (or module) and arguments."""
    if not words:
        return Recognised("other", "other", "python", None)
    name, arguments = words[0], words[1:]
    if name.startswith("\n"):
        if re.match(r"from (?:multiprocessing|billiard)\.spawn import spawn_main", name[1:]):
            return Recognised("other", "other", SPAWNED, None)
        if re.match(r"from (?:multiprocessing|billiard)\.(?:resource_tracker|semaphore_tracker|forkserver) import main", name[1:]):
            return Recognised("other", "other", HELPER, None)
        return Recognised("other", "other", "python", None)
    if name.startswith(" "):
        module = name[1:]
        parts = module.split(".")
        if parts[0] in ("gunicorn", "uvicorn", "celery", "flower", "rq", "fastapi") or parts[0] in _OTHER_WEB:
            name = parts[0]
        elif module == "django":
            name = "manage.py"
        else:
            return Recognised("other", "other", module, None)
    if name in ("manage.py", "django-admin", "django-admin.py") or (arguments and arguments[0] in ("rqworker", "rqscheduler", "rqworker-pool")):
        return _management(name, arguments)
    return _program(name, arguments)


def _management(name: str, arguments: list[str]) -> Recognised:
    """A Django management command: ``manage.py rqworker``, or a script of any name with such a command."""
    command = arguments[0] if arguments else ""
    if command in ("rqworker", "rqworker-pool"):
        return Recognised("rq", "worker", "rq", "single" if command == "rqworker" else "master")
    if command == "rqscheduler":
        return Recognised("rq", "scheduler", "rq", "single")
    if command in ("celery", "celeryd", "celerybeat"):
        return _program(command, arguments[1:])
    if command in ("runserver", "runserver_plus", "run_gunicorn"):
        return Recognised("other", "web", "manage.py " + command, None)
    return Recognised("other", "other", (name + " " + command).strip(), None)


def _program(name: str, arguments: list[str]) -> Recognised:
    if _GUNICORN.fullmatch(name):
        return Recognised("gunicorn", "web", "gunicorn", None)
    if name in ("uvicorn", "fastapi"):
        return Recognised("uvicorn", "web", "uvicorn", None)
    if name == "celeryd":
        return Recognised("celery", "worker", "celery", None)
    if name == "celerybeat":
        return Recognised("celery", "scheduler", "celery", "single")
    if name == "flower":
        return Recognised("celery", "other", "flower", "single")
    if name == "celery" or name.endswith(("-celery", "_celery")):
        command = _celery_command(arguments)
        if name != "celery" and command not in _CELERY_ROLES:
            return Recognised("other", "other", name, None)
        # its other commands (inspect, purge, multi, ...) do something once and end
        role = _CELERY_ROLES.get(command, "job")
        return Recognised("celery", role, "flower" if command == "flower" else "celery", None if role == "worker" else "single")
    if name == "rqworker":
        return Recognised("rq", "worker", "rq", "single")
    if name == "rqscheduler":
        return Recognised("rq", "scheduler", "rq", "single")
    if name == "rq":
        command = next((word for word in arguments if not word.startswith("-")), "")
        role = _RQ_ROLES.get(command, "job")
        return Recognised("rq", role, "rq", "master" if command == "worker-pool" else "single")
    if name in _OTHER_WEB:
        return Recognised("other", "web", name, None)
    return Recognised("host" if name in _HOST else "other", "other", name, None)


def _celery_command(arguments: list[str]) -> str:
    """celery's subcommand; "" where there is none."""
    skip = False
    for word in arguments:
        if skip:
            skip = False
        elif word in _CELERY_VALUE_OPTIONS:
            skip = True
        elif not word.startswith("-"):
            return word
    return ""
