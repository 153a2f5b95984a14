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
    containers, scheduled jobs, PostgreSQL and Redis servers, memory over time where it is recorded,
    and what was changed lately on one host, side by side around one sampling window, and returns one document.
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
  stacks:
    description:
      - Take three stacks of the one Python process of a service that used the processors most in the window, and say what it is busy with.
      - They are taken by C(py-spy) where that is installed on the host or in the service's own environment, else by the tools of its own Python where that is
        3.14 or newer; nothing is installed. Where memory is short no profiler is run.
      - It takes a second or two after the window, within O(timeout).
    type: bool
    default: false
  stacks_service:
    description:
      - The service whose busiest process is looked at instead, whatever that uses. Naming one asks for stacks.
    type: str
    default: ""
  memory_window:
    description:
      - How long to watch the memory of services before everything else, in seconds, so that it is seen whether it grows. 0 does not.
      - The call takes so much longer. At most 61 samples are taken, at least 2 seconds apart.
    type: float
    default: 0.0
  postgres_dsn:
    description:
      - PostgreSQL servers to ask besides those that are found, or instead of being their owner, one connection string or a list of at most eight.
        Each is a URI like C(postgresql://USER:PASSWORD@HOST:PORT/DATABASE?sslmode=verify-full), or words like C(host=HOST user=USER password=PASSWORD).
      - Taken are host, port, user, password, dbname, sslmode and sslrootcert, of one host each. The role needs C(pg_monitor), and nothing else.
      - It is handed to C(psql) through a pipe, and is in no argument, environment, file, document or message.
    type: raw
  prometheus_url:
    description:
      - A Prometheus server that knows the past of the host, like C(https://USER:PASSWORD@prometheus.example.com:9090). The controller asks it while the host
        is measured, for 8 seconds at most, and adds what it says to C(memory_history) of the document.
      - Read are node_exporter, cAdvisor, process-exporter and nginx exporter. A server that gives no answer is named in the document, with the reason.
      - Its certificate must be one that the controller trusts. Who logs in is no host's to know, and is in no document or message.
    type: str
  prometheus_host:
    description:
      - How the host is called in the label C(instance) there, without the port. It is its name in the inventory, or C(ansible_host), where this is empty.
    type: str
    default: ""
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

- name: Say what the busiest process is busy with
  oncall.pressure.snapshot:
    stacks: true

- name: Ask a Prometheus server for the day before
  oncall.pressure.snapshot:
    prometheus_url: http://prometheus.example.com:9090

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
from ansible_collections.oncall.pressure.plugins.module_utils._parse import _health_url, _postgres_dsn

#: What is accepted, by parameter: (least, most).
BOUNDS = {"window": (0.1, 60.0), "oom_window": (1, 604800), "traffic_window": (1, 86400), "top": (1, 100), "timeout": (1.0, 300.0),
          "memory_window": (0.0, 600.0)}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "window": {"type": "float", "default": 2.0},
            "oom_window": {"type": "int", "default": 3600},
            "traffic_window": {"type": "int", "default": 600},
            "top": {"type": "int", "default": 10},
            "timeout": {"type": "float", "default": 15.0},
            "health_urls": {"type": "dict", "default": {}},
            "stacks": {"type": "bool", "default": False},
            "stacks_service": {"type": "str", "default": ""},
            "memory_window": {"type": "float", "default": 0.0},
            "postgres_dsn": {"type": "raw", "no_log": True},
            # the action plugin's own: they never arrive here from a play
            "prometheus_url": {"type": "str", "no_log": True},
            "prometheus_host": {"type": "str", "default": ""},
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
    try:
        named = _postgres_dsn.targets(module.params["postgres_dsn"])
    except _postgres_dsn.BadDsn as bad:
        module.fail_json(msg=str(bad))
    options = Options(
        window_s=module.params["window"], oom_window_s=float(module.params["oom_window"]),
        traffic_window_s=float(module.params["traffic_window"]), top=module.params["top"],
        health_urls=module.params["health_urls"], memory_window_s=module.params["memory_window"], postgres_dsn=named,
        stacks=module.params["stacks_service"] or ("" if module.params["stacks"] else None),
    )
    limit_s = max(module.params["timeout"], options.window_s + 3.0) + options.memory_window_s
    module.exit_json(changed=False, snapshot=take(Machine(), options, limit_s))


if __name__ == "__main__":
    main()
