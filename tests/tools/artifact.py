# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Build what users install, install it where nothing else is, and run its playbook by name.

Twice: as the tarball, offline, from an empty folder, with Ansible's default configuration; and as a clone
of another name in another place, where ``make diagnose`` starts from nothing.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any, Dict, List, Sequence

from checks import ROOT, Done, Tally, clean_environment, program, run

SHIPPED_TOP = {"CHANGELOG.rst", "CODE_OF_CONDUCT.md", "CONTRIBUTING.md", "FILES.json", "LICENSES", "MANIFEST.json", "README.md", "REUSE.toml", "changelogs",
               "docs", "meta", "playbooks", "plugins", "roles"}
LARGEST_BYTES = 2 * 1024 * 1024
# Offline means: whoever asks the network gets no answer.
NO_NETWORK = {name: "http://127.0.0.1:9" for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")}
DOCUMENTS = ("diagnosis.json", "report.md", "snapshots/localhost.json")


def environment(folder: Path, **extra: str) -> Dict[str, str]:
    """Of somebody who has only ansible-core: a home of their own, no configuration."""
    home = folder / "home"
    home.mkdir(exist_ok=True)
    return clean_environment(HOME=str(home), **extra)


def build(tally: Tally, folder: Path) -> Path:
    """Build the tarball and look at what is in it."""
    done = run([program("ansible-galaxy"), "collection", "build", "--output-path", str(folder)], env=environment(folder))
    made = sorted(folder.glob("oncall-pressure-*.tar.gz"))
    if not tally.tell("build", done.status == 0 and len(made) == 1, detail=done.output, seconds=done.seconds):
        tally.end()
    with tarfile.open(str(made[0])) as archive:
        members = [member for member in archive.getmembers() if member.isfile()]
    top = {member.name.split("/", 1)[0] for member in members}
    tally.tell("only what users need is in it", top <= SHIPPED_TOP, "%d files" % len(members), "also: %s" % ", ".join(sorted(top - SHIPPED_TOP)))
    junk = [member.name for member in members if "__pycache__" in member.name or member.name.endswith((".pyc", ".orig", "~"))]
    tally.tell("nothing generated is in it", not junk, detail="\n".join(junk))
    size = made[0].stat().st_size
    tally.tell("it is small", size <= LARGEST_BYTES, "%.0f KiB" % (size / 1024))
    return made[0]


def playbook(folder: Path, cwd: Path, *arguments: str) -> Done:
    """Run the installed playbook by its name, from ``cwd``."""
    command = [program("ansible-playbook"), "oncall.pressure.diagnose", "-c", "local", "-e", "ansible_python_interpreter=%s" % sys.executable]
    if os.geteuid() != 0:
        command += ["-e", "pressure_become=false"]
    return run(command + list(arguments), cwd=cwd, env=environment(folder, ANSIBLE_COLLECTIONS_PATH=str(folder / "collections"), **NO_NETWORK))


def verdicts(folder: Path) -> Any:
    """What a diagnosis says of each host, without when it was made."""
    hosts: Dict[str, Dict[str, Any]] = json.loads((folder / "diagnosis.json").read_text(encoding="utf-8"))["hosts"]
    return {name: {key: host.get(key) for key in ("state", "reached", "verdicts", "unknown", "next")} for name, host in hosts.items()}


def check_documents(tally: Tally, name: str, folder: Path, done: Done, wanted: Sequence[str] = DOCUMENTS) -> bool:
    """A run ended well and left its documents below ``folder``."""
    missing = [document for document in wanted if not (folder / document).is_file()]
    good = done.status == 0 and not missing
    note = ""
    if good:
        note = json.loads((folder / "diagnosis.json").read_text(encoding="utf-8"))["hosts"]["localhost"]["state"]
    return tally.tell(name, good, note, "exit status %d, missing: %s\n%s" % (done.status, ", ".join(missing) or "nothing", done.output), done.seconds)


def installed(tally: Tally, folder: Path, tarball: Path) -> None:
    """Install the tarball and run it every way that the README names."""
    done = run(
        [program("ansible-galaxy"), "collection", "install", str(tarball), "--offline", "-p", str(folder / "collections")],
        cwd=folder, env=environment(folder, **NO_NETWORK),
    )
    if not tally.tell("install offline", done.status == 0, detail=done.output, seconds=done.seconds):
        return
    empty = folder / "empty"
    empty.mkdir()
    first = playbook(folder, empty, "-i", "localhost,")
    if not check_documents(tally, "run by name from an empty folder", empty / "reports" / "latest", first):
        return
    tally.tell("it says where the report is", "report.md" in first.output, detail=first.output)
    elsewhere = folder / "elsewhere"
    check_documents(tally, "reports elsewhere", elsewhere / "latest", playbook(folder, empty, "-i", "localhost,", "-e", "pressure_report_dir=%s" % elsewhere))
    saved = empty / "reports" / "latest"
    replayed = folder / "replayed"
    done = playbook(folder, empty, "-i", "localhost,", "-e", "pressure_snapshots=%s" % (saved / "snapshots"), "-e", "pressure_report_dir=%s" % replayed)
    if check_documents(tally, "saved snapshots diagnosed", replayed / "latest", done, DOCUMENTS[:2]):
        before, after = verdicts(saved), verdicts(replayed / "latest")
        tally.tell("they give the same answer", before == after, detail="%s\n%s" % (before, after))
    statuses(tally, folder, empty)


def statuses(tally: Tally, folder: Path, empty: Path) -> None:
    """The exit statuses that the README promises, as far as they need no sick host."""
    silent = ["-i", "nobody,", "-c", "ssh", "-e", "ansible_host=127.0.0.1", "-e", "ansible_port=9", "-e", "ansible_ssh_extra_args='-o ConnectTimeout=2'"]
    for name, wanted, arguments in (
        ("no host answered is 4", 4, silent),
        ("bad input is 2", 2, ["-i", "localhost,", "-e", "pressure_fail_on=sometimes"]),
        ("a folder of snapshots that is not there is 2", 2, ["-i", "localhost,", "-e", "pressure_snapshots=/nowhere/at/all"]),
    ):
        done = playbook(folder, empty, *arguments)
        tally.tell(name, done.status == wanted, "exit status %d" % done.status, done.output, done.seconds)


def cloned(tally: Tally, folder: Path) -> None:
    """Clone under another name, with a blank in it, and start from nothing."""
    place = folder / "some other name"
    done = run(["git", "clone", "--quiet", "--no-hardlinks", str(ROOT), str(place)])
    if not tally.tell("clone", done.status == 0, detail=done.output):
        return
    head = run(["git", "rev-parse", "--short", "HEAD"], cwd=place).output.strip()
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "MAKE", "MFLAGS"))}
    kept["PATH"] = os.pathsep.join(part for part in kept.get("PATH", os.defpath).split(os.pathsep) if not part.startswith(str(ROOT)))
    done = run(["make", "diagnose"], cwd=place, env=kept)
    check_documents(tally, "make diagnose in a fresh clone of another name (%s)" % head, place / "reports" / "latest", done)
    again = run(["make", "diagnose", "ARGS=-e pressure_report_dir=%s" % (folder / "again")], cwd=place, env=kept)
    check_documents(tally, "make diagnose again, installing nothing", folder / "again" / "latest", again)
    tally.tell("it installed nothing the second time", "Installing" not in again.output, detail=again.output)
    helped = run(["make", "help"], cwd=place, env=kept)
    wanted: List[str] = ["diagnose", "test", "lint", "unit", "sanity", "scenarios", "lab"]
    missing = [name for name in wanted if "make %s " % name not in helped.output]
    tally.tell("make help lists the targets", helped.status == 0 and not missing, detail="missing: %s\n%s" % (", ".join(missing), helped.output))


def main() -> None:
    """Build, install, run, clone; leave nothing behind."""
    tally = Tally()
    folder = Path(tempfile.mkdtemp(prefix="pressure-artifact-"))
    try:
        installed(tally, folder, build(tally, folder))
        cloned(tally, folder)
    finally:
        shutil.rmtree(str(folder), ignore_errors=True)
    tally.end()


if __name__ == "__main__":
    main()
