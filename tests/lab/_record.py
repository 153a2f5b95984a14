# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Record the snapshots that hold what the runbooks ask for: of a host of the lab where all of it happens, and of the machine that runs its containers.

Of the machine only that is kept which is not the machine's own: its figures, and the two containers started here.
"""

from __future__ import annotations

import argparse
import gzip
import io
import json
import os
import shlex
import shutil
import sys
import tarfile
import time
from pathlib import Path
from typing import Any, Callable, Iterable

import _image
from _common import ROOT, LabError, engine, options, run, say

RECORDINGS = ROOT / "tests" / "contract" / "recordings"
SCENE = ROOT / "tests" / "lab" / "scene"

#: Shorter than the traffic of the scene, so that there is a time before it.
TRAFFIC_WINDOW_S = 60
#: How long the scene runs before it is recorded: cron has begun a job twice by then, and the log reaches back for longer than the window.
SETTLE_S = 130
#: How long its memory is watched.
MEMORY_WINDOW_S = 20
#: Whose stacks are taken: what does nothing but make documents.
STACKS_OF = "shop-report.service"

#: The profiler that is put into the host, of `make venv-test`.
PY_SPY = shutil.which("py-spy", path=os.path.dirname(sys.executable) + ":" + os.environ.get("PATH", ""))

KERNEL = "6.1.0"

#: How often the host is measured until everything that runs there answered.
TRIES = 12


def payload() -> bytes:
    """The collection's plugins, the scene and the profiler, as a tar archive."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for path in sorted((ROOT / "plugins").rglob("*.py")):
            archive.add(str(path), "ansible_collections/oncall/pressure/" + str(path.relative_to(ROOT)))
        for path in sorted(SCENE.iterdir()):
            if path.is_file():
                archive.add(str(path), "scene/" + path.name)
        archive.add(str(PY_SPY), "scene/py-spy")
    return buffer.getvalue()


def start(program: str, name: str) -> None:
    """A host of the lab as a service of a Compose project, with a health check and limits; and one that the kernel kills at once."""
    how = options()["run"]
    labels = ["--label", "com.docker.compose.project=shop", "--label", "com.docker.compose.service="]
    words = [program, "run", "--detach", "--name", name, "--hostname", "shop-1", "--cgroupns", how["cgroupns_mode"], "--stop-signal", how["stop_signal"],
             "--memory", "2g", "--cpus", "1.5", "--pids-limit", "800", *labels[:3], labels[3] + "web", *shlex.split(os.environ.get("LAB_RUN_OPTIONS", "")),
             "--health-cmd", "python3 -c \"import urllib.request as u; u.urlopen('http://127.0.0.1/')\"", "--health-interval", "10s"]
    for option, key in (("--volume", "volumes"), ("--cap-add", "capabilities"), ("--security-opt", "security_opts"), ("--tmpfs", "tmpfs")):
        for value in how[key]:
            words += [option, value]
    run([*words, _image.tag(), how["command"]])
    run([program, "run", "--detach", "--name", name + "-worker", "--memory", "64m", "--restart", "on-failure:1", *labels[:3], labels[3] + "worker",
         _image.tag(), "python3", "-c", "kept = bytearray(200 << 20); print(sum(kept))"])
    inside(program, name, "for n in $(seq 60); do systemctl is-system-running --quiet && break; sleep 0.5; done; lab-apply lab-1")


def inside(program: str, name: str, command: str, stdin: bytes | None = None) -> str:
    """Run a shell command in a container; its output."""
    return str(run([program, "exec", "-i", name, "sh", "-ec", command], stdin=stdin).stdout)


def rename(tree: Any, names: dict[str, str]) -> Any:
    """A document with words replaced, in keys too."""
    if isinstance(tree, dict):
        return {rename(key, names): rename(value, names) for key, value in tree.items()}
    if isinstance(tree, list):
        return [rename(value, names) for value in tree]
    if isinstance(tree, str):
        for old, new in names.items():
            tree = tree.replace(old, new)
    return tree


def plain(snapshot: dict[str, Any], hostname: str) -> None:
    """Take out what is the machine's own and tells nothing."""
    snapshot["host"].update(hostname=hostname, kernel=KERNEL)
    snapshot["taken"]["boot_id"] = None


def only_our_kernel(snapshot: dict[str, Any], ids: Iterable[str]) -> None:
    """Of what the kernel's log tells, which all hosts on a machine share, what names a container of ours."""
    oom = snapshot["oom"]
    oom["events"] = [row for row in oom["events"] or [] if any(one in str(row["cgroup"]) for one in ids)]
    oom["alarms"] = [row for row in oom["alarms"] or [] if any(one in str(row["about"]) for one in ids)]
    oom["unattributed"] = 0
    snapshot["collectors"]["oom"]["reason"] = None


def only_ours(snapshot: dict[str, Any], ours: Callable[[Any], bool]) -> None:
    """Of the machine: its figures and our containers, nothing else of it."""
    for part in ("nginx", "jobs", "health", "logs", "connections", "timeline", "redis", "postgres"):
        snapshot[part] = None
        name = "changes" if part == "timeline" else part
        snapshot["collectors"][name] = {"status": "absent", "reason": "left out of the recording", "seconds": 0.0}
    snapshot["services"] = [row for row in snapshot["services"] or [] if ours(row["id"])]
    containers = snapshot["containers"]
    containers["engine"] = [row for row in containers["engine"] if row["status"] == "ok"]
    snapshot["collectors"]["containers"]["reason"] = None
    containers["containers"] = [row for row in containers["containers"] if ours(row["id"])]
    processes = snapshot["processes"]
    for part in ("top_cpu", "top_memory", "blocked"):
        processes[part] = [row for row in processes[part] if ours(row["service"])]
    history = snapshot["memory_history"] or {"services": []}
    history["services"] = [row for row in history["services"] if ours(row["id"])]
    snapshot["collectors"]["memory_history"]["reason"] = None
    snapshot["host"]["sockets"]["listeners"] = []
    oom = snapshot["oom"]
    oom["services"] = {key: value for key, value in oom["services"].items() if ours(key)}
    oom["kills"] = len(oom["events"])
    snapshot["tool"]["python_path"] = "/usr/bin/python3"


def write(name: str, snapshot: dict[str, Any]) -> None:
    """One recording; the same content gives the same bytes."""
    RECORDINGS.mkdir(parents=True, exist_ok=True)
    text = json.dumps(snapshot, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    (RECORDINGS / name).write_bytes(gzip.compress(text.encode("ascii"), 9, mtime=0))


def record(program: str, name: str) -> None:
    """Both snapshots, in the same moment of the scene."""
    ids = {str(run([program, "inspect", "--format", "{{.Id}}", one]).stdout).strip(): new
           for one, new in ((name, "1" * 64), (name + "-worker", "2" * 64))}
    names = {**ids, **{old[:12]: new[:12] for old, new in ids.items()}, name + "-worker": "shop-worker-1", name: "shop-web-1", _image.tag(): "shop:1"}
    asked = {"traffic_window_s": TRAFFIC_WINDOW_S, "memory_window_s": MEMORY_WINDOW_S}
    of_host = {**asked, "health_urls": {"shop-web.service": "http://127.0.0.1/health"}, "stacks": STACKS_OF}
    for left in reversed(range(TRIES)):
        host = json.loads(inside(program, name, "python3 /root/record/scene/take.py /root/record " + shlex.quote(json.dumps(of_host))))
        # no engine runs in it, and the kernel's buffer reaches back as far as others let it
        missing = [key for key, row in host["collectors"].items() if row["status"] != "ok" and key not in ("containers", "oom")]
        if not missing:
            break
        say("not all was measured (%s), is the machine busy? %s" % (", ".join(missing), "once more" if left else "recorded as it is"))
    plain(host, "shop-1")
    only_our_kernel(host, ids)
    write("host.json.gz", rename(host, names))
    folder = str(ROOT / ".cache" / "record")
    link = Path(folder) / "ansible_collections" / "oncall" / "pressure"
    link.parent.mkdir(parents=True, exist_ok=True)
    if not link.is_symlink():
        link.symlink_to(ROOT, target_is_directory=True)
    machine = json.loads(str(run([sys.executable, str(SCENE / "take.py"), folder, json.dumps(asked)]).stdout))
    failed = ["%s: %s" % (key, row["reason"]) for key, row in machine["collectors"].items() if row["status"] == "error"]
    if failed:
        raise LabError("of the machine was not measured " + "; ".join(failed))
    only_our_kernel(machine, ids)
    short = ["docker:" + one[:12] for one in ids]
    only_ours(machine, lambda found: found in short)
    plain(machine, "machine-1")
    write("machine.json.gz", rename(machine, names))


def main() -> int:
    """Start, prepare, wait, record, remove."""
    parser = argparse.ArgumentParser(prog="record", description=str(__doc__))
    parser.add_argument("--name", default="record-1", help="of the first container; the second is NAME-worker")
    parser.add_argument("--keep", action="store_true", help="leave the containers running")
    parser.add_argument("--again", action="store_true", help="record containers that --keep left, with the plugins as they are now")
    asked = parser.parse_args()
    try:
        if PY_SPY is None:
            raise LabError("py-spy is not there: make venv-test installs it")
        program = engine()
        if not asked.again:
            start(program, asked.name)
        inside(program, asked.name, "rm -rf /root/record && mkdir /root/record && tar -xf - -C /root/record", payload())
        if not asked.again:
            inside(program, asked.name, "/root/record/scene/prepare > /root/prepare.log 2>&1 < /dev/null || { tail -3 /root/prepare.log >&2; exit 1; }")
            time.sleep(SETTLE_S)
        record(program, asked.name)
        if not asked.keep:
            run([program, "rm", "--force", "--volumes", asked.name, asked.name + "-worker"])
    except LabError as problem:
        say(str(problem))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
