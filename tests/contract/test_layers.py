# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The laws of what imports what, what reads and what travels."""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from typing import Dict, List, Set

import pytest
import sources

MODULE_UTILS = "plugins/module_utils"
TARGET_FILES = sources.python_files("plugins/modules") + sources.python_files(MODULE_UTILS)
CONTROLLER_FILES = sources.python_files("plugins/plugin_utils")
PARSE_FILES = sources.python_files(MODULE_UTILS + "/_parse")
OUTSIDE_HOST = [path for path in TARGET_FILES if not path.startswith(MODULE_UTILS + "/_host/")]
MODULES = sources.python_files("plugins/modules")

TRAVEL_LIMIT_BYTES = 60 * 1024

# Not in Python 3.8, which a target may have.
TOO_NEW = {"graphlib", "tomllib", "zoneinfo"}

# Modules of the standard library whose purpose is to reach something outside the process.
REACHING = {
    "asyncio", "codecs", "concurrent", "ctypes", "fcntl", "fileinput", "ftplib", "glob", "grp", "gzip", "bz2", "lzma", "http", "imaplib", "importlib",
    "io", "linecache", "logging", "mmap", "multiprocessing", "nis", "os", "pathlib", "pickle", "pkgutil", "platform", "poplib", "posix", "pty", "pwd",
    "resource", "runpy", "select", "selectors", "shelve", "shutil", "signal", "smtplib", "socket", "socketserver", "spwd", "sqlite3", "ssl", "subprocess",
    "sys", "syslog", "tarfile", "tempfile", "termios", "threading", "time", "tty", "urllib", "xmlrpc", "zipfile",
}
# What stays harmless of them: spelling of paths, names of errors, constants, the interpreter's own description.
HARMLESS = {
    "os.path.basename", "os.path.dirname", "os.path.isabs", "os.path.join", "os.path.normpath", "os.path.split", "os.path.splitext", "os.path.commonprefix",
    "os.path.relpath", "os.sep", "os.path", "os.stat_result",
    "sys.version_info", "sys.executable", "sys.maxsize", "sys.byteorder", "sys.stdlib_module_names",
    "signal.SIGTERM", "signal.SIGKILL", "signal.SIGINT", "signal.SIGTTOU", "signal.SIGTTIN", "signal.SIGHUP",
    # what the module itself is and costs, which its document says; none of it looks at the machine
    "platform.python_version", "resource.getrusage", "resource.RUSAGE_SELF", "resource.RUSAGE_CHILDREN",
    "importlib.util", "importlib.util.find_spec",
    # a log without a zone is written in the host's own local time
    "time.localtime",
    "urllib.parse", "time.gmtime", "time.strftime", "time.strptime", "time.mktime",
}
PURE_PARSE_EXTRA = {"time.gmtime", "time.strftime", "time.strptime"}

# Built-in names that read, write or run.
DOORS = {"open", "exec", "eval", "compile", "__import__", "input", "breakpoint"}

# Programs that a collector may run, each with the reason why /proc, cgroups and files cannot say it.
# Nothing here is a way to list processes, memory, load, sockets or disks: those are read.
PROGRAMS = {
    "systemctl": "what the manager knows of a unit (state, result, restarts, the layers of its configuration) is nowhere in a file",
    "systemd-analyze": "whether systemd would start a unit as its files are now is known to systemd only",
    "nginx": "whether a configuration is valid is known to nginx only, before a restart that would need it to be",
    "journalctl": "the kernel's lines of an hour ago, when the ring buffer no longer holds them, are in a binary journal",
    "supervisorctl": "the state of a supervisor program is known to supervisord only",
    "psql": "the database answers only in its own protocol, which its own client speaks",
    "redis-cli": "the queue's length is known to Redis only",
    "docker": "the name of a container is known to its engine only, which may be reachable by its own client only",
    "sadf": "what sysstat recorded is in binary files whose form changes with its version",
    "podman": "the same for podman, which has no daemon to ask",
}


# Files that run a program whose path only the host knows, with the reason.
CHOSEN_PROGRAMS = {
    MODULE_UTILS + "/_change/_engine.py": "the undo program is tried with the interpreter that it will be run with",
    MODULE_UTILS + "/_controls/_restart_checks.py": "before a restart, gunicorn and nginx of the service's own environment say whether they would start",
    MODULE_UTILS + "/_components/_stacks.py": "a profiler is run only where one is there already, in the service's own environment too",
    MODULE_UTILS + "/_controls/_nginx_config_file.py": "a configuration is tested by the very nginx that will load it",
    MODULE_UTILS + "/_controls/_nginx_limit_config.py": "the version of the very nginx that runs decides what it understands",
    MODULE_UTILS + "/_controls/_celery_remote.py": "a worker is spoken to by the celery of its own environment",
}

# What says what was changed reads the journal that the engine writes; nothing in these files touches anything else.
JOURNAL_READERS = {
    MODULE_UTILS + "/_change/" + name for name in ("_journal.py", "_kinds.py", "_lease.py", "_listing.py")
}


def _standard(module: str) -> bool:
    name = sources.top_level(module)
    return name == "__future__" or (name in sys.stdlib_module_names and name not in TOO_NEW)


def _foreign(path: str, allowed: Set[str]) -> List[str]:
    """Imports of a file that are neither the standard library, nor the project's, nor allowed."""
    return sorted(
        module for module in sources.imports(path)
        if not _standard(module) and not module.startswith("ansible_collections.oncall.pressure") and not any(
            module == name or module.startswith(name + ".") for name in allowed)
        and module not in ("ansible", "ansible.module_utils")
    )


@pytest.mark.parametrize("path", TARGET_FILES)
def test_target_side_needs_nothing_but_python(path: str) -> None:
    assert not _foreign(path, {"ansible.module_utils.basic"}), "a target has only Python: read it ourselves, or do it on the controller"


@pytest.mark.parametrize("path", PARSE_FILES)
def test_parsers_are_pure(path: str) -> None:
    reaching = sorted(name for name in sources.imports(path) if sources.top_level(name) in REACHING and name not in ("urllib", "urllib.parse")
                      and not name.startswith("urllib.parse.") and name != "time" and name not in PURE_PARSE_EXTRA)
    assert not reaching, "a parser takes text and gives data"
    used = sorted(name for name, dummy in sources.attributes_of(path, "time") if name not in PURE_PARSE_EXTRA)
    assert not used, "a parser is given the time"
    doors = sorted(call.name for call in sources.calls(path) if call.name in DOORS)
    assert not doors, "a parser takes text and gives data"


@pytest.mark.parametrize("path", PARSE_FILES)
def test_parsers_know_only_parsers(path: str) -> None:
    others = sorted(found for found in sources.closure(path) if not found.startswith(MODULE_UTILS + "/_parse/"))
    assert not others, "a parser imports parsers only"


@pytest.mark.parametrize("path", OUTSIDE_HOST)
def test_only_host_opens_the_machine(path: str) -> None:
    """A file, a process or a socket opened past the door is neither bounded, nor replayable, nor seen by these tests."""
    found = sorted("%s, line %d" % (call.name, call.line) for call in sources.calls(path) if call.name in DOORS)
    for module in sorted(REACHING):
        for name, line in sorted(sources.attributes_of(path, module)):
            if name not in HARMLESS and not any(name.startswith(kept + ".") for kept in ("urllib.parse",)):
                found.append("%s, line %d" % (name, line))
    assert not found, "goes through _host/_machine.py"


@pytest.mark.parametrize("path", OUTSIDE_HOST)
def test_modules_do_not_run_commands_of_their_own(path: str) -> None:
    methods = {"run_command", "fetch_file", "get_bin_path", "atomic_move", "load_platform_subclass"}
    found = sorted(call.name for call in sources.calls(path) if call.name.rsplit(".", 1)[-1] in methods)
    assert not found, "programs are run by Machine.run, within time and output limits"


def _first_word(argument: ast.expr, named: Dict[str, ast.expr]) -> str:
    """The first word of a command line: a list, a list plus more, a part of one, or a name that stands for one of these."""
    for dummy in range(10):
        if isinstance(argument, ast.BinOp):
            argument = argument.left
        elif isinstance(argument, ast.Subscript):
            argument = argument.value
        elif isinstance(argument, ast.Name) and argument.id in named:
            argument = named[argument.id]
    first = argument.elts[0] if isinstance(argument, (ast.List, ast.Tuple)) and argument.elts else None
    return first.value if isinstance(first, ast.Constant) and isinstance(first.value, str) else "?"


def _programs(path: str) -> List[str]:
    """The first word of every command line given to something called run, or to a Talk; ``?`` and the line where it is not a literal."""
    named: Dict[str, ast.expr] = {}
    for node in ast.walk(sources.tree(path)):
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            named[node.targets[0].id] = node.value
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None:
            named[node.target.id] = node.value
    found = []
    for call in sources.calls(path):
        if call.name.rsplit(".", 1)[-1] in ("run", "Talk") and call.node.args:
            word = _first_word(call.node.args[0], named)
            found.append(word if word != "?" else "? (line %d)" % call.line)
    return found


@pytest.mark.parametrize("path", OUTSIDE_HOST)
def test_programs_run_are_those_with_a_reason(path: str) -> None:
    unknown = sorted(name for name in _programs(path) if name not in PROGRAMS and not (name.startswith("?") and path in CHOSEN_PROGRAMS))
    assert not unknown, "the program is a literal, and stands in PROGRAMS with the reason why /proc cannot say it"


@pytest.mark.parametrize("path", TARGET_FILES)
def test_target_side_does_not_know_the_controller(path: str) -> None:
    wrong = sorted(name for name in sources.imports(path) if ".plugins.plugin_utils" in name or ".plugins.action" in name)
    assert not wrong, "gathering never decides"


@pytest.mark.parametrize("path", CONTROLLER_FILES)
def test_controller_side_is_not_ansible(path: str) -> None:
    assert not _foreign(path, {"yaml", "jmespath", "netaddr"}), "only plugins/action knows Ansible"
    assert not {name for name in sources.imports(path) if name in ("ansible", "ansible.module_utils")}


@pytest.mark.parametrize("path", CONTROLLER_FILES)
def test_deciding_touches_no_host(path: str) -> None:
    hands = {"subprocess", "socket", "asyncio", "http", "urllib", "multiprocessing", "ctypes"}
    wrong = sorted(name for name in sources.imports(path) if sources.top_level(name) in hands and not name.startswith("urllib.parse") and name != "urllib")
    assert not wrong, "diagnosis works on documents"
    closure = sorted(found for found in sources.closure(path) if found.startswith((MODULE_UTILS + "/_host/_machine", MODULE_UTILS + "/_components/")))
    assert not closure, "diagnosis works on documents"


@pytest.mark.parametrize("path", sources.python_files(MODULE_UTILS + "/_components"))
def test_components_change_nothing(path: str) -> None:
    wrong = sorted(found for found in sources.closure(path) if "/_controls/" in found or "/_change/" in found)
    assert not wrong, "components are read-only"


@pytest.mark.parametrize("path", [path for path in MODULES if path.endswith(("/snapshot.py", "_info.py"))])
def test_what_gathers_cannot_change(path: str) -> None:
    allowed = JOURNAL_READERS if path.endswith("/incident_info.py") else set()
    wrong = sorted(found for found in sources.closure(path) if ("/_controls/" in found or "/_change/" in found) and found not in allowed)
    assert not wrong


@pytest.mark.parametrize("lister, program", [("_change/_bundle", "_change/_program"), ("_controls/_recycle_timer", "_controls/_recycle_program"),
                                             ("_controls/_recorder", "_controls/_recorder_program")])
def test_a_program_on_the_host_has_what_it_imports(lister: str, program: str) -> None:
    """It runs alone on a host: a file too few and it does not start, a file too many and it is larger than it must be."""
    tree = sources.tree("%s/%s.py" % (MODULE_UTILS, lister))
    listed = next(
        ast.literal_eval(node.value) for node in tree.body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.target.id == "SOURCES" and node.value is not None
    )
    main = "%s/%s.py" % (MODULE_UTILS, program)
    reached = sources.closure(main) | {main}
    assert sorted(listed) == sorted(path[len(MODULE_UTILS) + 1: -3].replace("/", ".") for path in reached)


def test_snapshot_is_there() -> None:
    assert "plugins/modules/snapshot.py" in MODULES
    assert any(path.endswith("_info.py") for path in MODULES)


def test_every_target_file_is_imported_by_some_module() -> None:
    """Ansible ships only what is imported by name: a file that nothing imports is dead, or a component that was forgotten."""
    reached = set().union(*(sources.closure(path) for path in MODULES)) if MODULES else set()
    orphans = sorted(set(sources.python_files(MODULE_UTILS)) - reached)
    assert not orphans


@pytest.mark.parametrize("path", TARGET_FILES)
def test_no_travelling_file_is_large(path: str) -> None:
    size = (sources.ROOT / path).stat().st_size
    assert size <= TRAVEL_LIMIT_BYTES, "compiled anew at every call on the sick host"


@pytest.mark.parametrize("path", MODULES)
def test_what_travels_is_told(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing to hold here but the figure: all of a module's files together, as a person should see it grow."""
    files = sources.closure(path)
    total = sum((sources.ROOT / found).stat().st_size for found in files)
    with capsys.disabled():
        print("\n%s: %d files of ours travel, %.1f KiB" % (path, len(files), total / 1024))
    assert files


COMPONENT = MODULE_UTILS + "/_components/_broken_%d.py"
PARSER = MODULE_UTILS + "/_parse/_broken_%d.py"
OWN = "ansible_collections.oncall.pressure.plugins."

# A law that nothing can break is no law: each of these breaks one.
BROKEN = [
    (test_target_side_needs_nothing_but_python, COMPONENT, "import psutil\n"),
    (test_target_side_needs_nothing_but_python, COMPONENT, "def f():\n    import zoneinfo\n"),
    (test_target_side_needs_nothing_but_python, PARSER, "from ansible.module_utils.common.text.converters import to_text\n"),
    (test_parsers_are_pure, PARSER, "import os\n"),
    (test_parsers_are_pure, PARSER, "from subprocess import run\n"),
    (test_parsers_are_pure, PARSER, "def f(path):\n    return open(path).read()\n"),
    (test_parsers_are_pure, PARSER, "import time\nNOW = time.time()\n"),
    (test_parsers_know_only_parsers, PARSER, "from " + OWN + "module_utils._host._machine import Machine\n"),
    (test_only_host_opens_the_machine, COMPONENT, "from os import open as o\nHANDLE = o('/etc/passwd', 0)\n"),
    (test_only_host_opens_the_machine, COMPONENT, "import os.path as p\nTHERE = p.exists('/etc')\n"),
    (test_only_host_opens_the_machine, COMPONENT, "import socket\nS = socket.socket()\n"),
    (test_only_host_opens_the_machine, COMPONENT, "from pathlib import Path\nTEXT = Path('/etc/passwd').read_text()\n"),
    (test_only_host_opens_the_machine, COMPONENT, "def f(path):\n    with open(path) as handle:\n        return handle.read()\n"),
    (test_modules_do_not_run_commands_of_their_own, COMPONENT, "def f(module):\n    return module.run_command('true')\n"),
    (test_programs_run_are_those_with_a_reason, COMPONENT, "def f(machine):\n    return machine.run(['ps', 'aux'])\n"),
    (test_programs_run_are_those_with_a_reason, COMPONENT, "SHOW = ('free', '-b')\n\n\ndef f(machine):\n    return machine.run(SHOW + ('-h',), 3)\n"),
    (test_programs_run_are_those_with_a_reason, COMPONENT, "def f(machine, words):\n    return machine.run(words)\n"),
    (test_programs_run_are_those_with_a_reason, COMPONENT, "def f(words, who):\n    return Talk(words, {}, who)\n"),
    (test_target_side_does_not_know_the_controller, COMPONENT, "from " + OWN + "plugin_utils import _rules\n"),
    (test_controller_side_is_not_ansible, "plugins/plugin_utils/_broken_%d.py", "from ansible.template import Templar\n"),
    (test_deciding_touches_no_host, "plugins/plugin_utils/_broken_%d.py", "import subprocess\n"),
    (test_deciding_touches_no_host, "plugins/plugin_utils/_broken_%d.py", "from " + OWN + "module_utils._host._machine import Machine\n"),
    (test_components_change_nothing, COMPONENT, "from " + OWN + "module_utils._controls import _signal\n"),
    (test_what_gathers_cannot_change, "plugins/modules/broken_%d_info.py", "from " + OWN + "module_utils._change._journal import write\n"),
    (test_no_travelling_file_is_large, COMPONENT, "#" * (TRAVEL_LIMIT_BYTES + 1)),
]


@pytest.mark.parametrize("number", range(len(BROKEN)), ids=lambda number: "%s-%d" % (BROKEN[number][0].__name__[5:], number))
def test_the_laws_can_be_broken(number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    law, path, text = BROKEN[number]
    path = path % number
    for known in ("_host/_machine.py", "_controls/_signal.py", "_controls/__init__.py", "_change/_journal.py"):
        (tmp_path / MODULE_UTILS / known).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / MODULE_UTILS / known).write_text("", encoding="utf-8")
    (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / path).write_text(text, encoding="utf-8")
    monkeypatch.setattr(sources, "ROOT", tmp_path)
    try:
        with pytest.raises(AssertionError):
            law(path)
    finally:
        sources.forget()
