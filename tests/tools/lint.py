# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every check that only reads the project's files: all of them run, also after one failed."""

from __future__ import annotations

import glob
import os
import re
import shutil
from pathlib import Path
from typing import Dict, List, Optional, Tuple

from checks import ROOT, Tally, clean_environment, program, project_files, run

# Read by the oldest Python that a target may have; a syntax error there is a module that does not start.
OLDEST = (3, 8)
COMPILE = "import sys\nfor name in sys.argv[1:]:\n    compile(open(name, 'rb').read(), name, 'exec', dont_inherit=True)\n"


def last_line(text: str) -> str:
    """The last line that says something, shortened."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return re.sub(r"\x1b\[[0-9;]*m", "", lines[-1])[:160] if lines else ""


def oldest_python() -> Optional[str]:
    """A Python 3.8 that really runs, or None. A name on PATH may be a shim for a version that is not there."""
    name = "python%d.%d" % OLDEST
    roots = os.environ.get("PYENV_ROOT", os.path.expanduser("~/.pyenv"))
    found = [shutil.which(name)] + sorted(glob.glob("%s/versions/%d.%d.*/bin/%s" % (roots, OLDEST[0], OLDEST[1], name)))
    for path in found:
        if path and run([path, "-c", "import sys; sys.exit(sys.version_info[:2] != %r)" % (OLDEST,)]).status == 0:
            return path
    return None


def shell_scripts() -> List[str]:
    """The project's shell scripts, known by their first line."""
    found = []
    for path in project_files():
        if (ROOT / path).is_file():
            with open(str(ROOT / path), "rb") as handle:
                first = handle.readline(80)
            if re.match(rb"#!.*\b(sh|bash)\b", first):
                found.append(str(path))
    return found


def commands() -> List[Tuple[str, List[str]]]:
    """Name and command line of each program that checks."""
    return [
        ("ruff", [program("ruff"), "check", "--no-cache", "--quiet", "--output-format", "concise", "."]),
        ("yamllint", [program("yamllint"), "--strict", "."]),
        ("shellcheck", [program("shellcheck"), "--external-sources"] + shell_scripts()),
        ("reuse", [program("reuse"), "lint", "--lines"]),
        ("antsibull-changelog", [program("antsibull-changelog"), "lint"]),
        ("antsibull-docs", [program("antsibull-docs"), "lint-collection-docs", "--plugin-docs", "--validate-collection-refs=dependent",
                            "--disallow-unknown-collection-refs", "."]),
        ("ansible-lint", [program("ansible-lint"), "--offline", "--strict", "--profile", "production", "--nocolor"]),
    ]


def environment() -> Dict[str, str]:
    """Of the linters: the collection is found under its name, nothing else of the caller's.

    ansible-lint installs a copy of the collection into Ansible's home once and looks at that one ever after: it gets a home of its own, made anew.
    """
    home = ROOT / ".cache" / "lint-home"
    shutil.rmtree(home, ignore_errors=True)
    return clean_environment(
        ANSIBLE_COLLECTIONS_PATH=str(ROOT / ".venv" / "collections"), ANSIBLE_CONFIG=str(ROOT / "ansible.cfg"), ANSIBLE_HOME=str(home))


def check_oldest(tally: Tally) -> None:
    """Compile what travels to a target with the oldest Python it may meet."""
    files = [str(path) for path in project_files((".py",)) if path.parts[0] == "plugins"]
    python = oldest_python()
    if python is None:
        print("said   compile with Python %d.%d: none was found here, so only ansible-test's own compile test speaks" % OLDEST)
        return
    done = run([python, "-c", COMPILE] + files)
    tally.tell("compile with %s" % Path(python).name, bool(files) and done.status == 0, "%d files of plugins/" % len(files),
               done.output or "no files under plugins/", done.seconds)


def main() -> None:
    """Run the checks and leave."""
    tally = Tally()
    check_oldest(tally)
    for name, command in commands():
        done = run(command, env=environment())
        tally.tell(name, done.status == 0, last_line(done.output) if done.status == 0 else "", done.output, done.seconds)
    tally.end()


if __name__ == "__main__":
    main()
