# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A fleet over real ssh: the three containers of the lab under many names (start them with make lab)."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import paired

#: What an operator's playbook would run to see the same: the commands of the runbooks, a task each.
TASKS = [
    "ps aux --sort=-%cpu",
    "ps aux --sort=-%mem",
    "uptime",
    "free -b",
    "cat /proc/vmstat",
    "cat /proc/diskstats",
    "cat /proc/net/sockstat",
    "dmesg --raw",
    "systemctl show --property=Id,ActiveState,NRestarts,ExecStart *.service",
    "cat /etc/nginx/nginx.conf",
    "tail -n 200 /var/log/nginx/access.log",
    "cat /proc/pressure/memory",
]

EMPTY = """#!/usr/bin/python
from __future__ import annotations
from ansible.module_utils.basic import AnsibleModule
AnsibleModule(argument_spec={}).exit_json(changed=False)
"""

WINDOW_S = 0.1


def inventory(folder: Path, count: int) -> str:
    """So many names for the lab's three containers."""
    lines = ["[all]"]
    for number in range(count):
        lines.append("h%02d ansible_host=127.0.0.%d ansible_port=%d" % (number, 1, 22011 + number % 3))
    key = paired.ROOT / ".cache" / "lab" / "id_ed25519"
    lines += ["[all:vars]", "ansible_user=root", "ansible_ssh_private_key_file=%s" % key, "ansible_python_interpreter=/usr/bin/python3",
              "ansible_ssh_common_args='-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o IdentitiesOnly=yes -o LogLevel=ERROR'"]
    path = folder / ("hosts%d.ini" % count)
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def play(folder: Path, name: str, tasks: list[str]) -> str:
    """A playbook of plain tasks."""
    path = folder / (name + ".yml")
    path.write_text("- hosts: all\n  gather_facts: false\n  become: true\n  tasks:\n" + "".join("    - %s\n" % task for task in tasks))
    return str(path)


def main() -> None:
    folder = Path(tempfile.mkdtemp())
    (folder / "library").mkdir()
    (folder / "library" / "empty.py").write_text(EMPTY)
    environment = dict(os.environ, ANSIBLE_CONFIG=str(paired.ROOT / "ansible.cfg"), ANSIBLE_COLLECTIONS_PATH=str(paired.ROOT / ".venv" / "collections"),
                       ANSIBLE_LIBRARY=str(folder / "library"), LC_ALL="C.UTF-8", ANSIBLE_FORKS="25")

    def ansible(book: str, hosts: str) -> paired.t.Callable[[], object]:
        argv = [str(Path(sys.executable).parent / "ansible-playbook"), book, "-i", hosts, "-e", "pressure_window=%s" % WINDOW_S, "-e",
                "pressure_report_dir=%s" % (folder / "reports")]
        return lambda: subprocess.run(argv, env=environment, stdout=subprocess.DEVNULL, check=True)

    diagnose = str(paired.ROOT / "playbooks" / "diagnose.yml")
    twelve = play(folder, "twelve", ["{ansible.builtin.command: {cmd: '%s'}, changed_when: false, failed_when: false}" % task for task in TASKS])
    one = play(folder, "one", ["{empty: {}}"])
    ten, fifty = inventory(folder, 10), inventory(folder, 50)
    many = paired.ratio(ansible(twelve, ten), ansible(diagnose, ten), 2, lambda used: used.wall_s)
    rows = [{"what": "everything on 10 hosts: 12 tasks against ours, wall", "value": many["ratio"], "goal": 6, "at_most": False, **many}]
    paired.write("fleet", rows)
    single = paired.ratio(ansible(diagnose, fifty), ansible(one, fifty), 1, lambda used: used.wall_s, less_s=WINDOW_S)
    rows.append({"what": "diagnose on 50 hosts against a one-task play, wall", "value": single["ratio"], "goal": 1.3, **single,
                 "note": "targets and controller share this machine's CPUs"})
    paired.write("fleet", rows)


if __name__ == "__main__":
    main()
