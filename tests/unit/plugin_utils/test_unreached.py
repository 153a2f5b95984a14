# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One line for each way in which a host does not answer."""

from __future__ import annotations

import subprocess
import sys
import typing as t
from pathlib import Path

import pytest

from ansible_collections.oncall.pressure.plugins.plugin_utils import _unreached

UNREACHABLE = {
    "refused": ("Failed to connect to the host via ssh: ssh: connect to host 10.0.0.1 port 22: Connection refused", "nothing listens on its ssh port"),
    "name": ("Failed to connect to the host via ssh: ssh: Could not resolve hostname web-9: Name or service not known", "its name does not resolve"),
    "key": ("Failed to connect to the host via ssh: op@web-1: Permission denied (publickey).", "ssh refused the login"),
    "host key": ("Failed to connect to the host via ssh: Host key verification failed.", "its ssh host key is not the known one"),
    "time": ("Failed to connect to the host via ssh: ssh: connect to host 10.0.0.1 port 22: Connection timed out", "it does not answer"),
    "dropped": ("Failed to connect to the host via ssh: kex_exchange_identification: Connection closed by remote host", "it dropped the connection"),
    "full disk": ("Failed to create temporary directory. ... No space left on device", "its disk is full"),
    "no processes": ("/bin/sh: 1: Cannot fork: Resource temporarily unavailable", "no memory or processes left"),
}


@pytest.mark.parametrize("text,meaning", UNREACHABLE.values(), ids=UNREACHABLE.keys())
def test_the_cause_is_named_with_what_to_do(text: str, meaning: str) -> None:
    line = _unreached.explain({"unreachable": True, "msg": text})
    assert meaning in line and "\n" not in line
    assert ";" in line


def test_what_is_not_known_is_quoted_harmlessly() -> None:
    line = _unreached.explain({"msg": "MODULE FAILURE: See stdout/stderr for the exact error",
                               "module_stderr": "\x1b[31mstrange {{ x }} password=geheim\nmore"})
    assert line.startswith("the measurement failed: ") and "strange {{ x }}" in line
    assert "\x1b" not in line and "geheim" not in line


OLD = [
    {"rc": 1, "module_stderr": "  File \"<stdin>\", line 3\nSyntaxError: future feature annotations is not defined\n"},
    {"rc": 1, "msg": "ansible-core requires a minimum of Python version 3.8. Current version: 3.6.8"},
    {"rc": 1, "module_stderr": "  File \"<stdin>\", line 40\n    zip_data: str,\n            ^\nSyntaxError: invalid syntax\n"},
    {"rc": 127, "module_stdout": "/bin/sh: 1: /usr/bin/python3: not found\n"},
    {"msg": "No python interpreters found for host 'a' (tried ['python3.13'])"},
    {"msg": "The module interpreter '/opt/x/python3' was not found."},
]


@pytest.mark.parametrize("result", OLD)
def test_trouble_with_python_is_recognised(result: dict[str, t.Any]) -> None:
    assert _unreached.is_python(result)


@pytest.mark.parametrize(
    "result", [{"unreachable": True, "msg": "Could not resolve hostname: not found"}, {"rc": 1, "msg": "Missing sudo password"}, {"rc": 137}]
)
def test_other_trouble_is_not_pythons(result: dict[str, t.Any]) -> None:
    assert not _unreached.is_python(result)


def test_the_pythons_of_a_host_are_listed_for_real(tmp_path: Path) -> None:
    # a clone may lie in a folder whose name holds a blank; an interpreter that Ansible is given does not
    python = tmp_path / "python"
    python.symlink_to(sys.executable)
    said = subprocess.run(["sh", "-c", _unreached.list_pythons(str(python))], stdout=subprocess.PIPE, text=True, check=False).stdout
    version = "%d.%d.%d" % sys.version_info[:3]
    assert said.splitlines()[0] == "%s %s" % (python, version)
    assert "found %s at %s" % (version, python) in _unreached.explain_python(str(python), said.splitlines()[0] + "\n", (4, 0))


def test_what_to_set_is_said() -> None:
    listed = "/usr/bin/python3 3.6.8\n/usr/bin/python3.11 3.11.2\n\x1b[31m /bin/x 9.9.9\n"
    line = _unreached.explain_python("/usr/bin/python3", listed, (3, 8))
    assert line == "its Python is too old: found 3.6.8 at /usr/bin/python3, needed is Python 3.8 or newer; set ansible_python_interpreter=/usr/bin/python3.11"
    none = _unreached.explain_python("", "", (3, 9))
    assert none == "no Python runs at the usual places, needed is Python 3.9 or newer; install one and set ansible_python_interpreter to it"


def test_an_interpreter_that_is_no_path_is_never_put_into_a_command() -> None:
    assert "rm -rf" not in _unreached.list_pythons("/x; rm -rf /")


@pytest.mark.parametrize("text,meaning", [
    ("Missing sudo password", "sudo wants a password"), ("Incorrect sudo password", "the sudo password was wrong"),
    ("op is not in the sudoers file.", "the user may not use sudo"), ("sudo: not found", "sudo is not installed")])
def test_why_no_privileges(text: str, meaning: str) -> None:
    assert meaning in _unreached.explain_become(text)
