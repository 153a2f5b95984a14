#!/usr/bin/python

# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: evidence
short_description: Keep what a restart would destroy
description:
  - Gathers a snapshot of the host and, of each service named, its last log lines, the kernel's counters of its control group, the state of its
    processes, its sockets and, where a profiler is there already, where its processes stand in their code.
  - All of it side by side, within one budget of time and one of size. What does not finish or does not fit is named as missing; it never waits longer.
  - It only reads. Nothing is written on the host, nothing is installed, and no profiler is run where memory is short. Secrets are left out.
version_added: 0.1.0
author:
  - oncall.pressure maintainers (@oncall-pressure)
extends_documentation_fragment:
  - oncall.pressure._attributes
  - oncall.pressure._attributes.info_module
options:
  services:
    description:
      - The services, by their ids as M(oncall.pressure.snapshot) says them, for example V(shop-web.service) or V(supervisor:shop-jobs).
      - Without any, only the snapshot is taken.
    type: list
    elements: str
    default: []
  time_budget:
    description:
      - How long it may take on the host, in seconds.
    type: float
    default: 20.0
  size_budget:
    description:
      - How large it may be, in bytes.
    type: int
    default: 5242880
  window:
    description:
      - How long the snapshot watches, in seconds.
    type: float
    default: 2.0
  report_dir:
    description:
      - A folder on the controller in which it is written, below C(evidence/HOST). Only a digest is returned then.
      - Without it the whole document is returned.
    type: path
notes:
  - The action plugin of the same name writes the files on the controller. A host that does not answer in time is a digest that says so and no failure.
"""

EXAMPLES = r"""
- name: Keep the evidence on a service before it is restarted
  oncall.pressure.evidence:
    services:
      - shop-web.service
    report_dir: /var/tmp/night
  become: true
  register: kept

- name: Say what is missing
  ansible.builtin.debug:
    msg: "{{ kept.digest.missing }}"
"""

RETURN = r"""
evidence:
  description: The document. Not returned where O(report_dir) is given.
  returned: success
  type: dict
digest:
  description: What was written where.
  returned: when O(report_dir) is given
  type: dict
  contains:
    answered:
      description: Whether the host answered in time.
      type: bool
    path:
      description: The folder on the controller.
      type: str
    missing:
      description: What is not there, and why.
      type: list
      elements: str
    seconds:
      description: How long it took on the host. Null where it did not answer.
      type: float
    says:
      description: The same in one line for a screen.
      type: str
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.oncall.pressure.plugins.module_utils._components._evidence import Budget, gather
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine

#: What is accepted, by parameter: (least, most).
BOUNDS = {"time_budget": (2.0, 300.0), "size_budget": (65536, 67108864), "window": (0.1, 60.0)}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "services": {"type": "list", "elements": "str", "default": []},
            "time_budget": {"type": "float", "default": 20.0},
            "size_budget": {"type": "int", "default": 5242880},
            "window": {"type": "float", "default": 2.0},
            "report_dir": {"type": "path"},
        },
        supports_check_mode=True,
    )
    given = module.params
    for name, (least, most) in BOUNDS.items():
        if not least <= given[name] <= most:
            module.fail_json(msg="%s must be from %s to %s, not %s" % (name, least, most, given[name]))
    if len(given["services"]) > 20:
        module.fail_json(msg="services must be from 0 to 20, not %d" % len(given["services"]))
    budget = Budget(given["time_budget"], given["size_budget"])
    services = list(dict.fromkeys(given["services"]))
    module.exit_json(changed=False, evidence=gather(Machine(), services, budget, given["window"]))


if __name__ == "__main__":
    main()
