# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the snapshot costs on the target: start-up CPU and memory against a module that does nothing.

Both are the real payloads that Ansible sends, kept by it and run again.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import typing as t
from pathlib import Path

import paired

EMPTY = """#!/usr/bin/python
from __future__ import annotations
from ansible.module_utils.basic import AnsibleModule
AnsibleModule(argument_spec={}).exit_json(changed=False)
"""


def payload(folder: Path, module: str, arguments: str) -> str:
    """The file that Ansible sends for a module."""
    kept = folder / module
    (folder / "library").mkdir(exist_ok=True)
    (folder / "library" / "empty.py").write_text(EMPTY)
    environment = dict(os.environ, ANSIBLE_CONFIG=str(paired.ROOT / "ansible.cfg"), ANSIBLE_COLLECTIONS_PATH=str(paired.ROOT / ".venv" / "collections"),
                       ANSIBLE_KEEP_REMOTE_FILES="1", ANSIBLE_PIPELINING="0", ANSIBLE_LIBRARY=str(folder / "library"), LC_ALL="C.UTF-8")
    subprocess.run([str(Path(sys.executable).parent / "ansible"), "-i", "localhost,", "-c", "local", "localhost", "-m", module, "-a", arguments,
                    "-e", "ansible_remote_tmp=%s" % kept, "-e", "ansible_python_interpreter=%s" % sys.executable],
                   env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    return str(next(iter(kept.glob("*/AnsiballZ_*.py"))))


def run(path: str) -> t.Callable[[], object]:
    """A run of a payload, whatever it answers."""
    return lambda: subprocess.run([sys.executable, path], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL, check=False)


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        empty = payload(folder, "empty", "")
        # a window that is refused: everything is loaded and nothing is collected
        start = payload(folder, "oncall.pressure.snapshot", "window=0")
        whole = payload(folder / "whole", "oncall.pressure.snapshot", "window=2") if (folder / "whole").mkdir() is None else ""
        started = paired.ratio(run(start), run(empty), 15, lambda used: used.cpu_s)
        all_of_it = paired.ratio(run(whole), run(empty), 5, lambda used: used.cpu_s)
        answer = json.loads(subprocess.run([sys.executable, whole], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, check=True).stdout)
        cost = answer["snapshot"]["cost"]
        size = os.path.getsize(whole)
    paired.write("target", [
        {"what": "start-up CPU against an empty module", "value": started["ratio"], "goal": 1.5, **started},
        {"what": "memory, sum of PSS of all its processes, MiB", "value": round(cost["pss_bytes"] / 1048576, 1), "goal": 50},
        {"what": "all its CPU against an empty module (no goal was set: for the record)", "value": all_of_it["ratio"], "goal": 99, **all_of_it},
        {"what": "what travels, KiB (no goal was set: for the record)", "value": round(size / 1024, 1), "goal": 1024},
    ])


if __name__ == "__main__":
    main()
