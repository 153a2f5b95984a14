# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The nginx that runs, its configuration with the place that a file of ours would have in it, and its logs of errors.

Private to oncall.pressure: no stable interface. It never travels in the undo program.
"""

from __future__ import annotations

import fnmatch
import posixpath
import re
import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._change._kinds import Operation, Refused
from ansible_collections.oncall.pressure.plugins.module_utils._components import _membership, _nginx_files
from ansible_collections.oncall.pressure.plugins.module_utils._components._nginx_files import Master, View
from ansible_collections.oncall.pressure.plugins.module_utils._controls import _nginx_config_file, _nginx_limit_levels, _nginx_limit_text
from ansible_collections.oncall.pressure.plugins.module_utils._host._files import Files
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine
from ansible_collections.oncall.pressure.plugins.module_utils._host._text import clean, decode
from ansible_collections.oncall.pressure.plugins.module_utils._parse import _nginx_config
from ansible_collections.oncall.pressure.plugins.module_utils._parse._nginx_config import Directive

#: What stands in a configuration where a file of ours would be read. No directive of nginx is called so.
_MARK: t.Final = "oncall_pressure_place"

_VERSION = re.compile(r"(?:nginx|openresty|angie|tengine)[^/]*/([0-9]+)\.([0-9]+)\.([0-9]+)", re.IGNORECASE)
_ERROR_LEVELS = ("debug", "info", "notice", "warn", "error")
_CLOCKS_S = 1.0


class Running(t.NamedTuple):
    """The nginx that is meant: its master, the service that it is (as the snapshot says it), what an operation must know of it, its version (three numbers)."""

    master: Master
    service: str
    knows: Operation
    version: tuple[int, int, int]


class Config(t.NamedTuple):
    """Its configuration: the path of the main file, the http block, every file; ``place``: where our file goes (null: nowhere), ``late``: directives of http
    that must stand before ours and do not; ``main``: directives outside of http."""

    path: str
    http: Directive
    main: list[Directive]
    files: list[str]
    place: str | None
    late: list[Directive]


def running(machine: Machine, service: str) -> Running:
    """The nginx that is meant; ``service`` "" is the only one. Raises Refused."""
    masters = _nginx_files.masters(machine)
    if not masters:
        raise Refused("no nginx runs here")
    ours = [master for master in masters if not master.root]
    if not ours:
        raise Refused("nginx runs in a container: change its image, or the configuration that its compose file or docker run mounts")
    named = {service_of(machine, master.pid): master for master in ours}
    if service and service not in named:
        raise Refused("no nginx here is called %s; there is %s" % (clean(service, 200), ", ".join(sorted(clean(name, 200) for name in named))))
    if not service and len(ours) > 1:
        raise Refused("several nginx run here: name one of %s (pressure_service)" % ", ".join(sorted(clean(name, 200) for name in named)))
    service, master = (service, named[service]) if service else next(iter(named.items()))
    if not master.workers:
        raise Refused("nginx (pid %d) has no workers" % master.pid)
    program, version = _program(machine, master)
    seen = machine.process(master.pid)
    if seen is None:
        raise Refused("nginx (pid %d) is gone" % master.pid)
    options = (["-p", master.prefix] if master.prefix else []) + (["-c", master.config] if master.config else [])
    knows: Operation = {
        "pid": master.pid, "start_ticks": seen.start_ticks, "title": _nginx_config_file.title_of(machine, master.pid), "program": program, "options": options,
    }
    return Running(master, service, knows, version)


def service_of(machine: Machine, pid: int) -> str:
    """What the snapshot calls the service of a process: its unit, its supervisor's program, or the process."""
    seen = machine.process(pid)
    above = (machine.text_or_none("/proc/%d/cmdline" % seen.ppid, 8192) or "").split("\0") if seen is not None else []
    if any(word.rpartition("/")[2] == "supervisord" for word in above[:3]):
        # nginx writes its title over what supervisor told it, most of the time
        text = machine.text_or_none("/proc/%d/environ" % pid, 65536) or ""
        named = dict(entry.partition("=")[::2] for entry in text.split("\0") if entry.startswith("SUPERVISOR_"))
        return "supervisor:" + (_membership.program_name(named.get("SUPERVISOR_GROUP_NAME", ""), named.get("SUPERVISOR_PROCESS_NAME", "")) or "nginx")
    for line in (machine.text_or_none("/proc/%d/cgroup" % pid, 65536) or "").split("\n"):
        unit = line.rpartition("/")[2]
        if unit.endswith(".service"):
            return unit
    return "process:nginx"


def _program(machine: Machine, master: Master) -> tuple[str, tuple[int, int, int]]:
    try:
        program = machine.link("/proc/%d/exe" % master.pid)
    except OSError as problem:
        raise Refused("the program of nginx cannot be told: use become") from problem
    if program.endswith(" (deleted)"):
        raise Refused("the program of nginx was replaced since it was started: restart nginx first, so that what is tested is what runs")
    if not Files().trusted(program):
        raise Refused("%s is not safe from others' hands: it is not run" % clean(program, 200))
    text = decode(machine.run([program, "-v"], 10.0).err)
    found = _VERSION.search(text)
    if found is None:
        raise Refused("the version of nginx cannot be read: %s" % clean(text, 100))
    return program, (int(found.group(1)), int(found.group(2)), int(found.group(3)))


def read(machine: Machine, what: Running) -> Config:
    """The configuration on the disk, as nginx reads it. Raises Refused where it is invalid already, cannot be read, or is not what runs."""
    problem = _nginx_config_file.test(machine, what.knows)
    if problem is not None:
        raise Refused("the configuration of nginx is invalid already, before any change of ours: %s" % problem)
    view = View(machine, what.master)
    path = view.config()
    if path is None:
        raise Refused("the configuration of nginx was not found")
    unread: list[str] = []
    places: list[str] = []
    try:
        text = view.text(path)
    except OSError as failure:
        raise Refused("%s cannot be read: %s" % (clean(path, 200), failure.strerror)) from failure
    parsed = _nginx_config.parse(path, text, _includes(view, posixpath.dirname(path), unread, places))
    if parsed.problems or unread:
        raise Refused("not all of the configuration can be read: %s" % clean("; ".join(parsed.problems + unread), 400))
    blocks = [directive for directive in parsed.directives if directive.name == "http"]
    if len(blocks) != 1:
        raise Refused("the configuration has no http block")
    config = Config(path, blocks[0], [one for one in parsed.directives if one.name != "http"], [one for one in parsed.files if one not in places], None, [])
    _refuse_pending(machine, view, what, config.files)
    place = _choose(parsed.directives, blocks[0], places)
    return config._replace(place=place, late=_late(blocks[0], place) if place is not None else [])


def _includes(view: View, base: str, unread: list[str], places: list[str]) -> _nginx_config.Include:
    """Read what an include names; where a file of ours could be among it, a mark in its place, and not what it holds."""

    def include(pattern: str) -> t.Iterator[tuple[str, str]]:
        pattern = pattern if pattern.startswith("/") else base + "/" + pattern
        folder, name = posixpath.split(pattern)
        ours = None
        if name.count("*") == 1 and not any(sign in name for sign in "?[") and not any(sign in folder for sign in "*?["):
            ours = "%s/%s" % (folder, name.replace("*", _nginx_limit_text.NAME + ("" if "." in name else ".conf")))
        paths = view.glob(pattern)
        if not paths and not any(character in pattern for character in "*?["):
            unread.append("%s: not there or not readable" % pattern)
        if ours is not None and view.folder(folder) and fnmatch.fnmatchcase(posixpath.basename(ours), name):
            places.append(ours)
            paths = sorted(set(paths) | {ours})
        for path in paths:
            if path == ours:
                yield path, '%s "%s";' % (_MARK, ours.replace("\\", "\\\\").replace('"', '\\"'))
                continue
            try:
                yield path, view.text(path)
            except OSError as problem:
                unread.append("%s: %s" % (path, problem.strerror))

    return include


def _choose(directives: t.Sequence[Directive], http: Directive, places: t.Sequence[str]) -> str | None:
    """The place that is read once, and directly in http; a folder for settings before one for sites."""
    everywhere = [directive.parameters[0] for directive in _nginx_config.walk(directives) if directive.name == _MARK]
    inside = [directive.parameters[0] for directive in _nginx_limit_levels.children(http, _MARK)]
    good = [place for place in inside if everywhere.count(place) == 1]
    return min(good, key=lambda place: ("sites" in place or "vhost" in place, not place.endswith(".conf"), inside.index(place))) if good else None


def _late(http: Directive, place: str) -> list[Directive]:
    """Settings of maps that stand after our file, where they are no longer taken."""
    found, after = [], False
    for directive in http.block or []:
        after = after or directive.name == _MARK and directive.parameters == (place,)
        if after and directive.name in ("map_hash_bucket_size", "map_hash_max_size"):
            found.append(directive)
    return found


def _refuse_pending(machine: Machine, view: View, what: Running, files: t.Sequence[str]) -> None:
    """A reload for our sake must not bring what somebody wrote and has not loaded."""
    found = _nginx_config_file.workers(machine, what.master.pid)
    booted = machine.now() - machine.uptime_s()
    started = min([booted + worker.start_ticks / machine.ticks_per_s for worker in found], default=0.0)
    newer = []
    for path in files:
        try:
            facts = machine.stat(view.real(path))
        except OSError:
            continue
        if facts.st_mtime > started + _CLOCKS_S:
            newer.append(path)
    if newer:
        raise Refused(
            "the configuration was edited since nginx read it (%s): a reload would bring that too; load it first (nginx -t, then reload), or take it back"
            % clean(", ".join(newer[:5]), 400))


class ErrorLog(t.NamedTuple):
    """Where the refusals of a level are said: the path for us, null where it is no file (``why``), or too quiet for them."""

    path: str | None
    why: str


def error_log(machine: Machine, what: Running, config: Config, chain: _nginx_limit_levels.Chain) -> ErrorLog:
    """The log of errors in force at the end of a chain (empty: of nginx as a whole). What a limit says may be of a lower level than error."""
    said = _nginx_limit_levels.nearest(chain, "limit_req_log_level") if chain else None
    spoken = said.parameters[0] if said is not None and said.parameters and said.parameters[0] in _ERROR_LEVELS else "error"
    view = View(machine, what.master)
    directive = _nginx_limit_levels.nearest(chain, "error_log") if chain else None
    if directive is None:
        directive = next((one for one in config.main if one.name == "error_log"), None)
    written = directive.parameters[0] if directive is not None and directive.parameters else ""
    level = directive.parameters[1] if directive is not None and len(directive.parameters) > 1 else "error"
    level = level if level in _ERROR_LEVELS or not level.startswith("debug") else "debug"
    if level not in _ERROR_LEVELS or _ERROR_LEVELS.index(level) > _ERROR_LEVELS.index(spoken):
        return ErrorLog(None, "%s keeps only what is at least %s" % (clean(written, 200), clean(level, 20)))
    if written.startswith(("syslog:", "memory:")) or written in ("stderr", "/dev/null") or written.startswith("/dev/"):
        return ErrorLog(None, "it goes to %s" % clean(written, 100))
    path = view.log_path(written or "error.log")
    try:
        if path is None:
            return ErrorLog(None, "its log of errors was not found")
        return ErrorLog(view.log(path).real, "")
    except OSError as problem:
        return ErrorLog(None, "%s: %s" % (clean(path or written, 200), problem.strerror))
