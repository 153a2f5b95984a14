# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run ansible-test sanity, every test of it, over a copy of the project's own files.

ansible-test wants to stand in a folder ``ansible_collections/NAMESPACE/NAME`` and looks at every file there,
so the copy holds what git knows or would add, and nothing generated. Its virtual environments and its cache
stay under ``.cache``: its HOME is ours.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path
from typing import Dict, List

import ansible_test
from checks import CACHE, ROOT, Tally, clean_environment, program, project_files, run

COLLECTION = CACHE / "sanity" / "ansible_collections" / "oncall" / "pressure"
HOME = CACHE / "sanity" / "home"

# ansible-test bootstraps pip in its environments with a script from a site of its own, which many networks
# do not let through. Python carries pip already; and since ansible-test clears the variables that tell pip
# which index and which certificates to use, they are handed on as the new environment's own configuration.
GET_PIP = """# Written by tests/tools/sanity.py
import ensurepip
import os
import sys

settings = {settings!r}
if settings:
    with open(os.path.join(sys.prefix, "pip.conf"), "w") as handle:
        handle.write("[global]\\n" + "".join("%s = %s\\n" % item for item in sorted(settings.items())))
ensurepip.bootstrap()
"""


def pip_settings() -> Dict[str, str]:
    """What the caller's environment tells pip, as keys of pip's configuration file."""
    settings = {}
    for name, value in os.environ.items():
        key = name[len("PIP_"):].lower().replace("_", "-")
        if name.startswith("PIP_") and value and key in ("cert", "index-url", "extra-index-url", "find-links", "proxy", "trusted-host"):
            settings[key] = value
    if "cert" not in settings:
        bundle = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("SSL_CERT_FILE")
        if bundle:
            settings["cert"] = bundle
    return settings


def offer_pip() -> None:
    """Put our bootstrap script where ansible-test keeps its downloaded one."""
    source = (Path(ansible_test.__path__[0]) / "_internal" / "python_requirements.py").read_text(encoding="utf-8")
    folder = HOME / ".ansible" / "test" / "cache"
    folder.mkdir(parents=True, exist_ok=True)
    for version in sorted(set(re.findall(r"pip='([0-9.]+)'", source))):
        script = folder / ("get_pip_%s.py" % version.replace(".", "_"))
        script.write_text(GET_PIP.format(settings=pip_settings()), encoding="utf-8")
        script.chmod(0o600)


def copy_project() -> List[Path]:
    """Make the copy anew and return what is in it."""
    shutil.rmtree(str(COLLECTION), ignore_errors=True)
    files = project_files()
    for path in files:
        target = COLLECTION / path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(str(ROOT / path), str(target), follow_symlinks=False)
    # Without a repository of its own ansible-test would ask the one around it, which ignores the copy.
    made = run(["git", "init", "--quiet", "."], cwd=COLLECTION)
    if made.status != 0:
        raise SystemExit("the copy for ansible-test needs git: %s" % made.output.strip())
    return files


def main() -> None:
    """Copy, run, count."""
    offer_pip()
    files = copy_project()
    python = "%d.%d" % sys.version_info[:2]
    command = [program("ansible-test"), "sanity", "--local", "--python", python, "--requirements", "--color", "no"] + sys.argv[1:]
    environment = clean_environment(HOME=str(HOME))
    listed = run([program("ansible-test"), "sanity", "--list-tests"], cwd=COLLECTION, env=environment)
    offered = [line.strip() for line in listed.output.splitlines() if re.match(r"^[a-z][a-z0-9-]+$", line.strip())]
    done = run(command, cwd=COLLECTION, env=environment)
    started = re.findall(r'^Running sanity test "([^"]+)"', done.output, re.MULTILINE)
    skipped = re.findall(r'^WARNING: Skipping sanity test "([^"]+)"(.*)', done.output, re.MULTILINE)
    failing = re.search(r"sanity test\(s\) listed below \(out of \d+\) failed[^\n]*((?:\n.+)+)", done.output)
    broken = {line.split()[0] for line in failing.group(1).splitlines() if line.strip()} if failing else set()

    tally = Tally()
    if done.status != 0:
        # Between the findings stand hundreds of lines about environments being made.
        found = [line for line in done.output.splitlines() if line.startswith(("ERROR", "FATAL"))]
        print("\n".join(found) if found else done.output)
    for name, why in skipped:
        print("said   %s was skipped%s" % (name, why))
    for name in sorted(set(started)):
        tally.tell(name, name not in broken)
    if done.status != 0 and not tally.failed:
        tally.tell("ansible-test", False, "exit status %d" % done.status)
    missed = sorted(set(offered) - set(started) - {name for name, dummy in skipped})
    tally.tell("every test that ansible-test offers ran or said why not", bool(started) and not missed, "", "not run: %s" % ", ".join(missed))
    python_files = sum(1 for path in files if path.suffix == ".py")
    print("ansible-test %d of %d tests over %d files, %d of them Python, in %.0f s"
          % (len(set(started)), len(offered), len(files), python_files, done.seconds))
    ignored = [str(path) for path in files if re.match(r"tests/sanity/ignore.*\.txt$", str(path))]
    tally.tell("no ignore files", not ignored, "", "\n".join(ignored))
    tally.end()


if __name__ == "__main__":
    main()
