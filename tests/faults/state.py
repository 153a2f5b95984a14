# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Record what one host is like, independently of the product, and compare two records.

Runs on the host as one program: ``python3 state.py < request.json > state.json``. The request is state.yml as JSON plus the units to look at.
A record is ``{"files": {path: facts}, "units": {unit: settings}, "kernel": {unit: limits}, "processes": {unit: count},
"zones": {worker of nginx: sizes}, "armed": [names], "own": [paths]}``; nothing in it depends on when it was made. Nothing of the product is imported here.
"""

from __future__ import annotations

import fnmatch
import hashlib
import json
import os
import stat
import subprocess
import sys
from typing import Any, Dict, Iterator, List, Optional

OURS = "oncall-pressure-"
KINDS = {stat.S_IFDIR: "folder", stat.S_IFREG: "file", stat.S_IFLNK: "link", stat.S_IFIFO: "fifo", stat.S_IFSOCK: "socket",
         stat.S_IFCHR: "device", stat.S_IFBLK: "device"}
# cgroup v1 says "no limit" with a number, v2 with a word, and neither says anything where the controller was never asked for.
UNLIMITED = ("max", "-1", "9223372036854771712", "18446744073709551615", "max 100000", "")
LIMITS = {"memory": ("memory.limit_in_bytes", "memory.high", "memory.max"), "cpu": ("cpu.cfs_quota_us", "cpu.max"), "pids": ("pids.max",)}


def content_of(path: str, facts: os.stat_result) -> Dict[str, Any]:
    """Facts of one path; no times, and no inode numbers: an atomic write changes both."""
    kind = KINDS.get(stat.S_IFMT(facts.st_mode), "?")
    record: Dict[str, Any] = {"kind": kind, "mode": "%04o" % stat.S_IMODE(facts.st_mode), "owner": "%d:%d" % (facts.st_uid, facts.st_gid)}
    if kind == "link":
        record["target"] = os.readlink(path)
        return record
    if kind == "file":
        record["links"] = facts.st_nlink
        record["bytes"] = facts.st_size
        with open(path, "rb") as stream:
            # A file of gigabytes is told by its size and its beginning.
            record["sha256"] = hashlib.sha256(stream.read(16 * 1048576)).hexdigest()
    names = sorted(os.listxattr(path, follow_symlinks=False)) if kind in ("file", "folder") else []
    if names:
        record["xattrs"] = {name: os.getxattr(path, name, follow_symlinks=False).hex() for name in names}
    return record


def walk(top: str, excluded: List[str]) -> Iterator[str]:
    """Every path from ``top`` down that is not excluded; what is excluded is not entered."""
    pending = [top]
    while pending:
        path = pending.pop()
        if any(fnmatch.fnmatch(path, pattern) for pattern in excluded):
            continue
        yield path
        if os.path.isdir(path) and not os.path.islink(path):
            try:
                pending += [os.path.join(path, name) for name in os.listdir(path)]
            except FileNotFoundError:
                continue


def files(trees: List[str], excluded: List[str]) -> Dict[str, Any]:
    found: Dict[str, Any] = {}
    for tree in trees:
        for path in walk(tree, excluded):
            try:
                found[path] = content_of(path, os.lstat(path))
            except FileNotFoundError:
                continue
    return found


def said(words: List[str]) -> str:
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
    return done.stdout.decode("utf-8", "backslashreplace")


def setting(name: str, value: str) -> str:
    """A property as it matters: of a command only its words, not when it ran and as which process."""
    if name.startswith("Exec"):
        return value.split(" ; ignore_errors=")[0]
    if name == "DropInPaths":
        return " ".join(sorted(value.split()))
    return value


def units(names: List[str], properties: List[str]) -> Dict[str, Any]:
    """Effective settings as the service manager has them loaded."""
    found: Dict[str, Any] = {}
    blocks = said(["systemctl", "show", "--property", ",".join(["Id", *properties]), *names]).split("\n\n") if names else []
    for block in blocks:
        pairs = dict(line.partition("=")[::2] for line in block.splitlines() if "=" in line)
        found[pairs.pop("Id", "?")] = {name: setting(name, value) for name, value in sorted(pairs.items())}
    return found


def groups() -> Dict[str, List[int]]:
    """Processes per unit, from /proc: the kernel's word, whatever the service manager believes."""
    found: Dict[str, List[int]] = {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open("/proc/%s/cgroup" % name, encoding="utf-8") as stream:
                lines = stream.read().splitlines()
            with open("/proc/%s/stat" % name, "rb") as stream:
                state = stream.read().rpartition(b")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if state in (b"Z", b"X"):
            continue
        for line in lines:
            number, controllers, path = line.split(":", 2)
            if controllers in ("", "name=systemd") and path.endswith(".service"):
                found.setdefault(os.path.basename(path), []).append(int(name))
                break
    return found


def limit(controller: str, file: str, pid: int) -> Optional[str]:
    """What the kernel enforces on the control group of a process."""
    with open("/proc/%d/cgroup" % pid, encoding="utf-8") as stream:
        for line in stream.read().splitlines():
            number, controllers, path = line.split(":", 2)
            tops = {"": "/sys/fs/cgroup"} if controllers == "" else {name: "/sys/fs/cgroup/" + name for name in controllers.split(",")}
            if controllers == "" or controller in controllers.split(","):
                try:
                    with open("%s%s/%s" % (tops.get(controller, "/sys/fs/cgroup"), path, file), encoding="utf-8") as value:
                        return value.read().strip()
                except OSError:
                    continue
    return None


def kernel(names: List[str], members: Dict[str, List[int]]) -> Dict[str, Any]:
    found: Dict[str, Any] = {}
    for unit in names:
        values = {}
        for controller, candidates in LIMITS.items():
            for file in candidates:
                try:
                    value = limit(controller, file, members[unit][0]) if members.get(unit) else None
                except OSError:
                    value = None
                # Without a group of its own a unit has the limits of the folder above, which are not its own.
                own = value is not None and os.path.basename(value) not in UNLIMITED
                values[file] = value if own else "unlimited"
        found[unit] = values
    return found


def shared_zones(members: Dict[str, List[int]]) -> Dict[str, Any]:
    """What nginx has loaded, as far as the kernel shows it: the sizes of the shared zones in the memory of each worker, smallest first."""
    found: Dict[str, Any] = {}
    for pid in sorted(members.get("nginx.service", [])):
        try:
            with open("/proc/%d/cmdline" % pid, "rb") as stream:
                if not stream.read().startswith(b"nginx: worker"):
                    continue
            with open("/proc/%d/maps" % pid, encoding="utf-8", errors="replace") as stream:
                spans = [line.split()[0].split("-") for line in stream if line.split()[1] == "rw-s"]
        except (FileNotFoundError, ProcessLookupError):
            continue
        found["worker %d" % len(found)] = sorted(int(end, 16) - int(start, 16) for start, end in spans)
    return found


def record(request: Dict[str, Any]) -> Dict[str, Any]:
    members = groups()
    listed = [line.split() for line in said(["systemctl", "list-units", "--all", "--no-legend", "--plain", OURS + "*"]).splitlines()]
    # A unit without a file that does nothing is a memory of systemd's until it reads its files anew; nothing can start it.
    loaded = [words[0] for words in listed if len(words) > 2 and words[2] != "inactive"]
    found = files(request["trees"], [row["path"] for row in request["excluded"]])
    own = sorted(path for path in found if os.path.basename(path).lstrip(".").startswith(OURS))
    return {
        "files": {path: facts for path, facts in found.items() if path not in own},
        "units": units(request["units"], request["properties"]),
        "kernel": kernel(request["units"], members),
        "processes": {unit: len(members.get(unit, [])) for unit in request["units"]},
        "zones": shared_zones(members),
        "armed": sorted(loaded),
        "own": own,
    }


def flat(state: Dict[str, Any]) -> Dict[str, Any]:
    """One entry per fact that can differ."""
    found: Dict[str, Any] = {}
    for path, facts in state["files"].items():
        for name, value in facts.items():
            found["file %s %s" % (path, name)] = value
    for part in ("units", "kernel"):
        for unit, values in state[part].items():
            for name, value in values.items():
                found["%s %s %s" % (part, unit, name)] = value
    for name, value in state["processes"].items():
        found["processes %s" % name] = value
    for name, value in state["zones"].items():
        found["shared zones of nginx's %s" % name] = value
    return found


def differences(one: Dict[str, Any], other: Dict[str, Any]) -> List[str]:
    """What differs between two records, a line each; empty where they are the same."""
    before, after = flat(one), flat(other)
    missing = object()
    lines = []
    for name in sorted(set(before) | set(after)):
        left, right = before.get(name, missing), after.get(name, missing)
        if left != right:
            lines.append("%s: %s -> %s" % (name, "absent" if left is missing else left, "absent" if right is missing else right))
    return lines


if __name__ == "__main__":
    json.dump(record(json.load(sys.stdin)), sys.stdout, sort_keys=True)
