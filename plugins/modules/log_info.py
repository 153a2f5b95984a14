#!/usr/bin/python

# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: log_info
short_description: Tell what services log
description:
  - Reads what services wrote within a time window, from the journal and from the log files that their processes hold open for writing.
  - Counts lines, named signals of trouble, the exceptions of tracebacks and the tasks of celery and rq,
    and groups the lines that come again and again by their shape.
  - The journal is asked once for all units, and only for its newest entries. Files are read from their end.
    What is cut off by a bound is the oldest, and rates are over the time that was read.
  - Samples of lines are cut, and passwords, tokens and keys in them are replaced.
  - It only reads. What was not measured is null and the reason is returned; a missing permission is no failure of the task.
version_added: 0.1.0
author:
  - oncall.pressure maintainers (@oncall-pressure)
extends_documentation_fragment:
  - oncall.pressure._attributes
  - oncall.pressure._attributes.info_module
options:
  window:
    description:
      - How far back to look, in seconds.
    type: int
    default: 600
  timeout:
    description:
      - How long it may take, in seconds. It is stopped then and nothing but the reason is returned.
    type: float
    default: 10.0
seealso:
  - module: oncall.pressure.snapshot
"""

EXAMPLES = r"""
- name: Look at what was logged in the last ten minutes
  oncall.pressure.log_info:
  register: told

- name: Say which services had workers that timed out
  ansible.builtin.debug:
    msg: "{{ told.logs.services | default([]) | selectattr('signals', 'search', 'gunicorn_worker_timeout') | map(attribute='service') | list }}"

- name: Look at the last hour
  oncall.pressure.log_info:
    window: 3600
"""

RETURN = r"""
status:
  description: Whether it could be measured, V(ok), V(partial), V(absent), V(denied) or V(error).
  returned: success
  type: str
  sample: ok
reason:
  description: What is missing and why. Null where nothing is.
  returned: success
  type: str
seconds:
  description: How long it took.
  returned: success
  type: float
logs:
  description: What was found. Null where nothing could be measured.
  returned: success
  type: dict
  contains:
    window_s:
      description: How far back was looked, in seconds.
      type: float
    covered_s:
      description: How many seconds back the log reaches that could be read least.
      type: float
    journal:
      description: Whether the journal was read.
      type: bool
    files:
      description: How many log files are held open.
      type: int
    services:
      description: What each service wrote into one log, at most 40. Those with signals of trouble come first.
      type: list
      elements: dict
      contains:
        service:
          description: The unit, container or supervisor program, or C(process:NAME:PID) where nobody manages it.
          type: str
          sample: shop-web.service
        source:
          description: V(journal), or the path of the file.
          type: str
        covered_s:
          description: How many seconds back it was read. Null where its lines have no time and none was written meanwhile.
          type: float
        lines:
          description: Lines in that time.
          type: int
        lines_per_s:
          description: The same for each second.
          type: float
        bytes_per_s:
          description: Their size for each second.
          type: float
        signals:
          description: Lines that mean something, at most 12. Those that belong to normal work come last.
          type: list
          elements: dict
          contains:
            id:
              description: What it is.
              type: str
              sample: gunicorn_worker_timeout
            component:
              description: Whose words these are, V(any) where many programs use them.
              type: str
            count:
              description: How often it was told.
              type: int
            per_s:
              description: The same for each second.
              type: float
            first_at:
              description: When first of those lines that were read, UTC; not in snapshots of earlier releases.
              type: str
              sample: "2026-01-12T08:24:55Z"
            last_at:
              description: When last, UTC.
              type: str
              sample: "2026-01-12T08:30:01Z"
            about:
              description: The task, peer or zone that is named most.
              type: str
            sample:
              description: The last such line.
              type: str
        exceptions:
          description: Exceptions that tracebacks ended with, at most 10.
          type: list
          elements: dict
          sample:
            - name: requests.exceptions.ReadTimeout
              count: 4
        tasks:
          description: Tasks of celery with how often they were received, succeeded, retried and failed and how long they took, at most 10.
          type: list
          elements: dict
          sample:
            - name: shop.tasks.send_receipt
              received: 40
              succeeded: 38
              retried: 2
              retried_per_min: 0.4
              failed: 0
              mean_s: 0.41
              max_s: 2.02
        templates:
          description: Other lines that come again, their varying parts masked, at most 5.
          type: list
          elements: dict
          sample:
            - template: "<time> cache miss for item <number>"
              count: 4021
        debug_share:
          description: The share of lines that are for debugging, from 0 to 1.
          type: float
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.oncall.pressure.plugins.module_utils._components import _logs
from ansible_collections.oncall.pressure.plugins.module_utils._components._process_table import own_chain
from ansible_collections.oncall.pressure.plugins.module_utils._host._collect import Options
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine
from ansible_collections.oncall.pressure.plugins.module_utils._host._one import TIMEOUT, answer, within


def main() -> None:
    module = AnsibleModule(
        argument_spec={"window": {"type": "int", "default": 600}, "timeout": {"type": "float", "default": 10.0}},
        supports_check_mode=True,
    )
    given = within(module, window=(1, 86400), timeout=TIMEOUT)
    machine = Machine()
    options = Options(traffic_window_s=float(given["window"]), own_pids=own_chain(machine))
    answer(module, "logs", _logs.collect, machine, options, given["timeout"])


if __name__ == "__main__":
    main()
