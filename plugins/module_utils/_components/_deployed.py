# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What running services are made of, and when it was changed: packages of their Python, their release, their repository, their configuration.

Private to oncall.pressure: no stable interface. Read-only. What a process says of itself (its folder, its arguments) is believed only as a place to
look at: times are read there, of a repository the last line of one file, and no link is followed out of it.
"""

from __future__ import annotations

import re
import stat
import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._components._changed_files import Event, Files, joined
from ansible_collections.oncall.pressure.plugins.module_utils._components._trees import Trees
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine
from ansible_collections.oncall.pressure.plugins.module_utils._host._text import decode
from ansible_collections.oncall.pressure.plugins.module_utils._parse import _history, _proc

#: How many processes are looked at, and how far above its folder a service's own files may lie.
_PROCESSES = 100
_ABOVE = 4

#: What a deployment calls the link to the release that is in use.
_RELEASE_LINKS = ("current", "release", "live")

#: Configuration beside a Python program, where its arguments name none.
_BESIDE = ("gunicorn.conf.py", "celeryconfig.py", ".env")

#: Folders of configuration by the short name of the program, and how deep they are.
_FOLDERS: t.Final[dict[str, tuple[str, ...]]] = {
    "nginx": ("/etc/nginx",), "openresty": ("/usr/local/openresty/nginx/conf",), "angie": ("/etc/angie",), "postgres": ("/etc/postgresql",),
    "postmaster": ("/etc/postgresql",), "pgbouncer": ("/etc/pgbouncer",), "redis-server": ("/etc/redis",), "valkey-server": ("/etc/valkey",),
    "haproxy": ("/etc/haproxy",), "apache2": ("/etc/apache2",), "httpd": ("/etc/httpd/conf", "/etc/httpd/conf.d"),
}
_FILES: t.Final[dict[str, tuple[str, ...]]] = {"redis-server": ("/etc/redis.conf",), "valkey-server": ("/etc/valkey.conf",)}
_SUPERVISOR = ("/etc/supervisor", "/etc/supervisord.d")
_IN_DATA = ("postgresql.conf", "postgresql.auto.conf", "pg_hba.conf")
_DEPTH = 4

#: Programs of Python, by the name of an argument's file.
_PYTHON = re.compile(r"(?:gunicorn|uvicorn|celery|rq|rqworker|hypercorn|daphne|granian|flower|uwsgi|manage\.py|python[0-9.]*|pypy[0-9.]*)\Z")
_CONFIG = re.compile(r"(?:--config=|-c)(?:file:)?(?P<path>[^\0]+)", re.DOTALL)
_LIBRARY = re.compile(r"(?:python|pypy)3?(?:\.\d+)?\Z")
_DEFAULT_PREFIXES = ("", "/", "/usr")

_REFLOG_BYTES = 8192


class _Place(t.NamedTuple):
    """A running program: its arguments and its folder."""

    name: str
    argv: list[str]
    folder: str | None
    service: str
    pid: int

    def event(self, at_s: float, kind: str, what: str, detail: str | None) -> Event:
        """Something that happened to it."""
        return Event(at_s, kind, what, self.service, detail, self.pid)


def look(machine: Machine, trees: Trees, files: Files) -> list[Event]:
    """Every change to what runs, each place once, with the first service that uses it."""
    places = _places(machine, trees, files)
    found: list[Event] = []
    done: set[str] = set()
    for place in places:
        for path in _configuration(place):
            if path not in done:
                done.add(path)
                changed = files.one(path) + files.walk(path, _DEPTH, lambda name: not name.endswith("~"), lambda name: not name.startswith("."))
                found += [place.event(row.at_s, "config", "configuration %s was changed" % row.path, None) for row in changed]
        for prefix in _prefixes(place):
            if prefix not in done:
                done.add(prefix)
                found += _environment(files, prefix, place)
        for folder in _chain(place.folder):
            if folder not in done:
                done.add(folder)
                found += _release(machine, files, folder, place) + _repository(files, folder, place)
    for folder in _SUPERVISOR:
        found += [Event(row.at_s, "config", "configuration %s was changed" % row.path, None, None)
                  for row in files.walk(folder, 2, lambda name: name.endswith((".conf", ".ini")), lambda name: name.endswith(".d"))]
    return found


def _places(machine: Machine, trees: Trees, files: Files) -> list[_Place]:
    """The topmost processes that live in this host's own files, as they say they were started."""
    found: list[_Place] = []
    refused = 0
    for pid in trees.tops()[:_PROCESSES]:
        process = trees.processes[pid]
        name = decode(process.name)
        if process.state == "D":
            # its arguments are locked
            continue
        try:
            argv = [decode(word) for word in _proc.arguments(machine.peek("/proc/%d/cmdline" % pid, 8192))]
        except OSError:
            continue
        try:
            if not _same_files(machine, pid):
                # of a container: its image is another's to tell
                continue
            folder: str | None = machine.link("/proc/%d/cwd" % pid)
        except PermissionError:
            refused += 1
            folder = None
        except OSError:
            continue
        found.append(_Place(name, argv, folder, trees.service(pid), pid))
    if refused:
        files.reasons.append("folders of %d processes of other users (no privileges)" % refused)
    return found


def _same_files(machine: Machine, pid: int) -> bool:
    """Whether a process sees the same root folder as we do. Raises OSError."""
    theirs, ours = machine.stat("/proc/%d/root/" % pid), machine.stat("/")
    return (theirs.st_dev, theirs.st_ino) == (ours.st_dev, ours.st_ino)


def _is_python(place: _Place) -> bool:
    return any(_PYTHON.match(word.rpartition("/")[2]) for word in place.argv[:2])


def _configuration(place: _Place) -> list[str]:
    """Files and folders of configuration of a program."""
    found = list(_FOLDERS.get(place.name, ())) + list(_FILES.get(place.name, ()))
    named = [_CONFIG.match(word) for word in place.argv[1:]]
    paths = [match.group("path") for match in named if match is not None]
    paths += [place.argv[index + 1] for index, word in enumerate(place.argv[:-1]) if word in ("-c", "--config", "--config-file", "--ini", "--conf")]
    paths += [word for word in place.argv[1:2] if place.name.startswith(("redis", "valkey", "pgbouncer")) and not word.startswith("-")]
    data = [place.argv[index + 1] for index, word in enumerate(place.argv[:-1]) if word == "-D" and place.name in ("postgres", "postmaster")]
    paths += ["%s/%s" % (folder, name) for folder in data for name in _IN_DATA]
    if _is_python(place) and place.folder is not None:
        paths += list(_BESIDE)
    for path in paths:
        path = path[5:] if path.startswith("file:") else path
        if not path.startswith("/") and place.folder is not None and ":" not in path:
            path = "%s/%s" % (place.folder.rstrip("/"), path)
        if path.startswith("/") and len(path) < 1024 and "\0" not in path:
            found.append(path)
    return found


def _prefixes(place: _Place) -> list[str]:
    """The folders that hold the Python of a program: two above what was started."""
    if not _is_python(place):
        return []
    found = [word.rsplit("/", 2)[0] for word in place.argv[:2] if word.startswith("/") and word.count("/") > 2 and word.rsplit("/", 2)[1] == "bin"]
    return [prefix for prefix in dict.fromkeys(found) if prefix not in _DEFAULT_PREFIXES]


def _environment(files: Files, prefix: str, place: _Place) -> list[Event]:
    """The packages of a virtual environment that were put there within the window, as one event."""
    changed: list[tuple[float, str]] = []
    for version in files.names(prefix + "/lib")[:50]:
        if not _LIBRARY.match(version):
            continue
        for packages in ("site-packages", "dist-packages"):
            folder = "%s/lib/%s/%s" % (prefix, version, packages)
            for name in files.names(folder):
                package = _history.distribution(name)
                there = files.look("%s/%s" % (folder, name)) if package is not None else None
                if there is not None and package is not None and there.st_mtime >= files.since_s:
                    changed.append((there.st_mtime, package))
    if not changed:
        return []
    changed.sort(reverse=True)
    what = "%d package%s of the Python environment %s" % (len(changed), "s" * (len(changed) != 1), prefix)
    return [place.event(changed[0][0], "environment", what, joined([name for dummy, name in changed], 8))]


def _chain(folder: str | None) -> list[str]:
    """A folder and those above it, the nearest first; none that all of a system shares."""
    found: list[str] = []
    while folder and folder != "/" and folder.startswith("/") and len(found) < _ABOVE:
        found.append(folder)
        folder = folder.rpartition("/")[0]
    return [path for path in found if path not in ("/home", "/root", "/srv", "/opt", "/var", "/var/lib", "/var/www", "/usr", "/tmp", "/run", "/etc")]


def _release(machine: Machine, files: Files, folder: str, place: _Place) -> list[Event]:
    """A link to the release in use that was set anew. Who runs in another release did not notice."""
    found: list[Event] = []
    for name in _RELEASE_LINKS:
        path = "%s/%s" % (folder, name)
        for changed in [row for row in files.one(path) if row.link]:
            try:
                target = machine.link(path)
            except OSError:
                continue
            whole = target if target.startswith("/") else "%s/%s" % (folder, target)
            old = place.folder is not None and not (place.folder + "/").startswith(whole.rstrip("/") + "/")
            detail = "to %s%s" % (target, ", while %s runs in %s" % (place.name, place.folder) if old else "")
            found.append(place.event(changed.at_s, "release", "%s was set" % path, detail))
    return found


def _repository(files: Files, folder: str, place: _Place) -> list[Event]:
    """The last move of a repository's HEAD, from its own record; the hash alone, never a message."""
    git = folder + "/.git"
    there = files.look(git)
    # a link could lead anywhere
    if there is None or not stat.S_ISDIR(there.st_mode):
        return []
    logs = files.look(git + "/logs")
    text = files.tail(git + "/logs/HEAD", _REFLOG_BYTES) if logs is not None and stat.S_ISDIR(logs.st_mode) else None
    last = _history.reflog(text) if text else None
    if last is not None:
        return [place.event(last.at_s, "commit", "%s is at commit %s" % (folder, last.commit), last.verb)]
    changed = files.one(git + "/HEAD")
    if not changed or changed[0].link:
        return []
    commit = _history.detached(files.text(git + "/HEAD") or "")
    return [place.event(changed[0].at_s, "commit", "the HEAD of %s was set" % folder, commit)]
