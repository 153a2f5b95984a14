# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is imported from the archive that Ansible sends is compiled once, and says where it is from as before."""

from __future__ import annotations

import collections
import json
import os
import subprocess
import sys
import typing as t
import zipfile
from pathlib import Path

PLUGINS = Path(__file__).resolve().parents[3] / "plugins"
NAME = "ansible_collections.oncall.pressure.plugins.module_utils."

#: Imports two collectors and the one that others need too, and says which files were compiled, where they say they are, and what a traceback and
#: a look at the source say.
PROGRAM = """
import builtins, importlib, inspect, json, sys, traceback
sys.path.insert(0, sys.argv[1])
name = %r
compiled, real = [], builtins.compile
def counted(source, filename, *words, **named):
    compiled.append(filename)
    return real(source, filename, *words, **named)
from importlib import import_module
archive = import_module(name + "_host._archive")
import_module(name + "_components._own_root")
if sys.argv[2] == "once":
    archive.compile_once()
builtins.compile = counted
modules = [import_module(name + part) for part in ("_components._oom", "_components._trees", "_parse._shell_words")]
builtins.compile = real
try:
    modules[0].collect(None, None)
except AttributeError:
    frame = traceback.extract_tb(sys.exc_info()[2])[-1]
try:
    import_module(name + "_components._nobody")
    missing = None
except ModuleNotFoundError as problem:
    missing = problem.name
print(json.dumps({"compiled": compiled, "files": [m.__file__ for m in modules], "origins": [m.__spec__.origin for m in modules],
                  "packages": [m.__package__ for m in modules], "frame": [frame.filename, frame.line], "source": inspect.getsource(modules[0]),
                  "missing": missing}))
""" % NAME


def said(folder: Path, way: str) -> t.Dict[str, t.Any]:
    archive = folder / "payload.zip"
    if not archive.exists():
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
            inside = "ansible_collections/oncall/pressure/plugins/"
            for path in sorted((PLUGINS / "module_utils").rglob("*.py")):
                packed.write(path, inside + str(path.relative_to(PLUGINS)))
            folders = {os.path.dirname(name) for name in packed.namelist()} | {"ansible_collections", "ansible_collections/oncall"}
            folders |= {inside.rstrip("/"), "ansible_collections/oncall/pressure"}
            for one in folders:
                if one + "/__init__.py" not in packed.namelist():
                    packed.writestr(one + "/__init__.py", "")
    done = subprocess.run([sys.executable, "-I", "-c", PROGRAM, str(archive), way], stdout=subprocess.PIPE, check=True)
    return t.cast("t.Dict[str, t.Any]", json.loads(done.stdout))


def test_every_file_is_compiled_once_and_nothing_else_is_different(tmp_path: Path) -> None:
    once, before = said(tmp_path, "once"), said(tmp_path, "as Python does")
    counts, usual = (collections.Counter(name for name in one.pop("compiled") if "payload.zip" in name) for one in (once, before))
    # when Python no longer compiles twice by itself, this fails, and the file under test can go
    assert set(counts) == set(usual) and set(counts.values()) == {1} and min(usual.values()) == 2 and len(counts) > 5
    assert once == before
    assert once["missing"] == NAME + "_components._nobody" and once["files"][0].endswith("payload.zip/" + NAME.replace(".", "/") + "_components/_oom.py")
