#!/usr/bin/python

# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: snapshot
short_description: Measure one host in a single call
description:
  - Measures CPU, memory, disks, sockets, connections, processes, services with their workers and settings, kernel OOM kills, nginx traffic, logs,
    containers, scheduled jobs, PostgreSQL and Redis servers and what was changed lately on one host, side by side around one sampling window,
    and returns one document.
  - It only reads. It runs no code of the applications it looks at, leaves its own processes out and reports what it cost.
  - Each collector runs in a process of its own with a time limit and fails alone; what was not measured is null and its collector says why.
  - The document's shape is published as a JSON Schema in the collection, C(roles/diagnose/files/schemas/snapshot.json).
version_added: 0.1.0
author:
  - oncall.pressure maintainers (@oncall-pressure)
extends_documentation_fragment:
  - oncall.pressure._attributes
  - oncall.pressure._attributes.info_module
options:
  window:
    description:
      - How long to watch CPU, disks and sockets, in seconds.
    type: float
    default: 2.0
  oom_window:
    description:
      - How far back to look for kernel OOM kills, in seconds.
    type: int
    default: 3600
  traffic_window:
    description:
      - How far back to look in the access logs of nginx and in what services log, in seconds.
    type: int
    default: 600
  top:
    description:
      - How many processes to list by CPU and by memory.
    type: int
    default: 10
  timeout:
    description:
      - How long any collector may take, the window included, in seconds. It is stopped then and the others' results are returned.
      - Where nothing that is left uses the processor any more, that is done seven seconds after the window.
    type: float
    default: 15.0
  health_urls:
    description:
      - URLs to ask from the host itself, three times each, by the service that answers there, at most 20.
      - Nothing is asked that is not named here, since a request runs the application's code. A password in a URL is refused.
    type: dict
    default: {}
  report_dir:
    description:
      - A folder on the controller in which the document is written as C(snapshots/HOST.json). Only a digest is returned then.
      - Without it the whole document is returned.
    type: path
notes:
  - The action plugin of the same name writes the document on the controller and turns a host that does not answer into a document that says so.
"""

EXAMPLES = r"""
- name: Measure a host and look at the document
  oncall.pressure.snapshot:
  register: measured

- name: Ask the shop as its users do
  oncall.pressure.snapshot:
    health_urls:
      shop-web.service: http://127.0.0.1:8000/health

- name: Watch for ten seconds and write the document on the controller
  oncall.pressure.snapshot:
    window: 10
    report_dir: /tmp/pressure
"""

RETURN = r"""
snapshot:
  description: The document. Not returned where O(report_dir) is given.
  returned: success
  type: dict
digest:
  description: What was written where.
  returned: when O(report_dir) is given
  type: dict
  contains:
    answered:
      description: Whether the host could be measured.
      type: bool
    path:
      description: The document on the controller.
      type: str
    bytes:
      description: Its size.
      type: int
    collectors:
      description: The status of each collector.
      type: dict
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.oncall.pressure.plugins.module_utils._components._snapshot import take
from ansible_collections.oncall.pressure.plugins.module_utils._host._collect import Options
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine
from ansible_collections.oncall.pressure.plugins.module_utils._parse import _health_url

#: What is accepted, by parameter: (least, most).
BOUNDS = {"window": (0.1, 60.0), "oom_window": (1, 604800), "traffic_window": (1, 86400), "top": (1, 100), "timeout": (1.0, 300.0)}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "window": {"type": "float", "default": 2.0},
            "oom_window": {"type": "int", "default": 3600},
            "traffic_window": {"type": "int", "default": 600},
            "top": {"type": "int", "default": 10},
            "timeout": {"type": "float", "default": 15.0},
            "health_urls": {"type": "dict", "default": {}},
            "report_dir": {"type": "path"},
        },
        supports_check_mode=True,
    )
    for name, (least, most) in BOUNDS.items():
        if not least <= module.params[name] <= most:
            module.fail_json(msg="%s must be from %s to %s, not %s" % (name, least, most, module.params[name]))
    problem = _health_url.problem(module.params["health_urls"])
    if problem:
        module.fail_json(msg=problem)
    options = Options(
        window_s=module.params["window"], oom_window_s=float(module.params["oom_window"]),
        traffic_window_s=float(module.params["traffic_window"]), top=module.params["top"],
        health_urls=module.params["health_urls"],
    )
    module.exit_json(changed=False, snapshot=take(Machine(), options, max(module.params["timeout"], options.window_s + 3.0)))


if __name__ == "__main__":
    main()
