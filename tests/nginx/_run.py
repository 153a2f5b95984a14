# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Limit requests in real configurations of nginx, in a container of the lab's image.

DIR holds ``configs``, a folder for each configuration. Each is completed with stand-ins for what it misses, started, limited on two paths, asked from other
addresses, and put back. The exit status is 1 when anything came out wrong, 2 when there was nothing to try.
"""

from __future__ import annotations

import argparse
import collections
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Dict, List, Optional, Sequence

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(ROOT / "tests" / "lab"))

RESULTS = ROOT / "docs" / "results" / "limits.json"
OUTCOMES = ("limited", "refused", "put back", "unloadable", "wrong")


def command(folder: Path, names: Sequence[str], seed: int, copy: str, program: Optional[Path]) -> List[str]:
    """The container that does it: networks of its own, no systemd; the tree as it is now, whatever is edited meanwhile."""
    for part in ("plugins", "tests/nginx"):
        shutil.copytree(str(ROOT / part), "%s/%s" % (copy, part), ignore=shutil.ignore_patterns("__pycache__"))
    from _common import engine
    from _image import build, exists, tag

    image = tag() if exists(tag()) else build()
    words = [engine(), "run", "--rm", "--init", "--cap-add", "NET_ADMIN", "--cap-add", "SYS_ADMIN", "--security-opt", "seccomp=unconfined",
             "--security-opt", "apparmor=unconfined", "--sysctl", "net.ipv6.conf.all.disable_ipv6=0", "--sysctl", "net.ipv6.conf.default.disable_ipv6=0",
             "--memory", "1g", "--volume", "%s:/repo:ro" % copy, "--volume", "%s:/configs:ro" % (folder / "configs")]
    if program:
        shutil.copy(str(program), copy + "/nginx")
        os.chmod(copy + "/nginx", 0o755)
        words += ["--volume", "%s/nginx:/opt/nginx/nginx:ro" % copy]
    words += [image, "python3", "-B", "/repo/tests/nginx/inside.py", "--seed", str(seed)]
    return words + ["/configs/" + name for name in names]


def update(version: str, figures: Dict[str, object], rows: Sequence[Dict[str, str]]) -> None:
    """The counts of this version, and of what did not come out as a limit each reason."""
    kept = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    commit = subprocess.run(["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"], stdout=subprocess.PIPE, check=True, text=True).stdout.strip()
    unloadable = {row["id"]: re.sub(r"^.*\[emerg\] \S+ ", "", row["detail"]) for row in rows if row["outcome"] == "unloadable"}
    others = ["%s %s: %s" % (row["id"], row["path"], row["detail"][:200]) for row in rows if row["outcome"] in ("put back", "wrong")]
    runs = dict(kept.get("nginx", {}))
    runs[version] = dict(figures, commit=commit, unloadable=unloadable, not_kept=others)
    RESULTS.write_text(json.dumps(dict(kept, suite="limits", nginx=runs), indent=1, sort_keys=True) + "\n", encoding="utf-8")


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Run what the command line asks for; returns the exit status."""
    parser = argparse.ArgumentParser(prog="tests/nginx/run", description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("dir", metavar="DIR", type=Path, help="the folder that holds the folder configs")
    parser.add_argument("--only", action="append", help="just this configuration; may be said several times")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 31), help="draw the same paths again")
    parser.add_argument("--program", type=Path, metavar="FILE", help="an nginx of another version, linked statically, instead of the distribution's")
    parser.add_argument("--update", action="store_true", help="put the counts into docs/results/limits.json, beside those of other versions of nginx")
    parser.add_argument("--json", type=Path, help="write counts and rows there")
    parsed = parser.parse_args(arguments)
    place = parsed.dir.resolve()
    names = sorted(path.name for path in (place / "configs").iterdir() if path.is_dir()) if (place / "configs").is_dir() else []
    names = [name for name in names if not parsed.only or name in parsed.only]
    if not names:
        print("nothing to try: give a folder that holds configs/NAME/", file=sys.stderr)
        return 2
    print("seed %d" % parsed.seed, flush=True)
    rows: List[Dict[str, str]] = []
    version = ""
    with tempfile.TemporaryDirectory(prefix="pressure-nginx-") as copy:
        with subprocess.Popen(command(place, names, parsed.seed, copy, parsed.program), stdout=subprocess.PIPE, text=True) as running:
            for line in running.stdout or ():
                row = json.loads(line)
                if "nginx" in row:
                    version = row["nginx"]
                    print("nginx %s" % version, flush=True)
                    continue
                rows.append(row)
                print("  %(outcome)-10s %(id)s %(path)s: %(detail)s" % rows[-1], flush=True)
    counts = collections.Counter(row["outcome"] for row in rows)
    tried = {row["id"] for row in rows if row["outcome"] != "unloadable"}
    print("%d configurations, %d load, %d paths: %s" % (len(names), len(tried), sum(1 for row in rows if row["path"]), ", ".join(
        "%d %s" % (counts[outcome], outcome) for outcome in OUTCOMES)))
    lost = sorted(set(names) - {row["id"] for row in rows})
    if lost:
        print("no answer for: %s" % ", ".join(lost))
    figures = {"seed": parsed.seed, "configurations": len(names), "load": len(tried), "paths": sum(1 for row in rows if row["path"]),
               "outcomes": {key: counts[key] for key in OUTCOMES},
               "lines_by_hand_checked": sum(1 for row in rows if "lines by hand are valid" in row["detail"])}
    if parsed.update:
        update(version, figures, rows)
    if parsed.json:
        document = dict(figures, nginx=version, rows=rows)
        parsed.json.write_text(json.dumps(document, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return 1 if counts["wrong"] or lost or running.returncode else 0


if __name__ == "__main__":
    sys.exit(main())
