# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run the collection with every ansible-core line that it says it supports, as far as a Python for it is found here.

For each line: an environment of its own in ``.cache/cores``, this tree's tarball installed into an empty place, its playbook
run by name on this host, and the saved snapshot diagnosed again. A line without a usable Python is said, and counts as nothing.
"""

from __future__ import annotations

import glob
import json
import os
import re
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Dict, List, Optional, Tuple

from checks import CACHE, ROOT, Tally, clean_environment, program, run

# The lines from the lower bound of meta/runtime.yml on, each with the controller Pythons that it runs on.
LINES: Dict[str, Tuple[str, ...]] = {
    "2.17": ("3.11", "3.12", "3.10"),
    "2.18": ("3.11", "3.12", "3.13"),
    "2.19": ("3.11", "3.12", "3.13"),
    "2.20": ("3.12", "3.13", "3.14"),
    "2.21": ("3.12", "3.13", "3.14"),
}


def find_python(versions: Tuple[str, ...]) -> Optional[str]:
    """A Python of one of these versions that really runs and can make an environment; names on PATH may be shims."""
    for version in versions:
        roots = os.environ.get("PYENV_ROOT", os.path.expanduser("~/.pyenv"))
        found = [shutil.which("python" + version)] + sorted(glob.glob("%s/versions/%s.*/bin/python%s" % (roots, version, version)))
        probe = "import ensurepip, sys, venv; sys.exit('%d.%d' % sys.version_info[:2] != '" + version + "')"
        for path in found:
            if path and run([path, "-c", probe]).status == 0:
                return path
    return None


def environment(line: str, python: str) -> Tuple[Optional[Path], str]:
    """The folder of programs of an environment with the newest release of a line, made once; or None and why."""
    folder = CACHE / "cores" / line
    stamp = folder / "complete"
    if not stamp.exists():
        shutil.rmtree(str(folder), ignore_errors=True)
        made = run([python, "-m", "venv", str(folder)])
        if made.status != 0:
            return None, made.output
        others = [row for row in (ROOT / "requirements" / "run.txt").read_text(encoding="utf-8").splitlines() if re.match(r"^(?:jmespath|netaddr)==", row)]
        command = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "ansible-core==%s.*" % line]
        done = run(command + others)
        if done.status != 0:
            return None, done.output
        stamp.write_text("", encoding="utf-8")
    return folder / "bin", ""


def check(tally: Tally, line: str, programs: Path, collections: Path, folder: Path) -> None:
    """Diagnose this host with one line, then its saved snapshot."""
    place = folder / line
    place.mkdir()
    env = clean_environment(HOME=str(folder), ANSIBLE_COLLECTIONS_PATH=str(collections))
    env["PATH"] = os.pathsep.join([str(programs)] + [part for part in env["PATH"].split(os.pathsep) if not part.startswith(str(ROOT))])
    command = [str(programs / "ansible-playbook"), "oncall.pressure.diagnose", "-i", "localhost,", "-c", "local"]
    command += ["-e", "ansible_python_interpreter=%s" % (programs / "python"), "-e", "pressure_become=%s" % str(os.geteuid() == 0).lower()]
    live = run(command + ["-e", "pressure_report_dir=%s" % (place / "live")], cwd=place, env=env)
    version = run([str(programs / "ansible-playbook"), "--version"], env=env).output.splitlines()[0]
    if not tally.tell("diagnose with %s" % version, live.status == 0, detail=live.output, seconds=live.seconds):
        return
    noise = re.findall(r"^.*(?:DEPRECATION|WARNING).*$", live.output, re.MULTILINE)
    tally.tell("it warns of nothing", not noise, detail="\n".join(noise))
    saved = place / "live" / "latest" / "snapshots"
    again = run(command + ["-e", "pressure_report_dir=%s" % (place / "again"), "-e", "pressure_snapshots=%s" % saved], cwd=place, env=env)
    good = again.status == 0
    if good:
        hosts = [json.loads((place / name / "latest" / "diagnosis.json").read_text(encoding="utf-8"))["hosts"]["localhost"] for name in ("live", "again")]
        good = hosts[0]["state"] == hosts[1]["state"] and hosts[0]["verdicts"] == hosts[1]["verdicts"]
    tally.tell("the saved snapshot gives the same answer", good, detail=again.output, seconds=again.seconds)


def main() -> None:
    """Every line, or those named."""
    tally = Tally()
    folder = Path(tempfile.mkdtemp(prefix="pressure-cores-"))
    lines: List[str] = sys.argv[1:] or sorted(LINES)
    try:
        built = run([program("ansible-galaxy"), "collection", "build", "--output-path", str(folder)], env=clean_environment(HOME=str(folder)))
        tarballs = [str(path) for path in folder.glob("*.tar.gz")]
        collections = folder / "collections"
        done = run([program("ansible-galaxy"), "collection", "install", "--offline", "-p", str(collections)] + tarballs,
                   cwd=folder, env=clean_environment(HOME=str(folder)))
        installed = (collections / "ansible_collections" / "oncall" / "pressure").is_dir()
        if not tally.tell("build and install", built.status == 0 and done.status == 0 and installed, detail=built.output + done.output):
            tally.end()
        for line in lines:
            python = find_python(LINES[line])
            if python is None:
                print("said   ansible-core %s: none of Python %s was found here" % (line, ", ".join(LINES[line])))
                continue
            programs, why = environment(line, python)
            if programs is None:
                tally.tell("install ansible-core %s" % line, False, detail=why)
                continue
            check(tally, line, programs, collections, folder)
    finally:
        shutil.rmtree(str(folder), ignore_errors=True)
    tally.end()


if __name__ == "__main__":
    main()
