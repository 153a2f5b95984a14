#!/usr/bin/python

# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: memory_history_info
short_description: Tell how the memory of a host and of its services went over time
description:
  - Reads what the recorder (M(oncall.pressure.memory_recorder), role C(recorder)) kept on the host, and what sysstat kept, where they are there.
  - Watches the memory of services for O(window) seconds where that is asked for.
  - Of a service it tells the whole, its workers together, the largest and the median one, and the largest eight that live now one by one.
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
      - How long to watch, in seconds. 0 only reads what was recorded. At most 61 samples are taken, at least 2 seconds apart.
    type: float
    default: 0.0
  history:
    description:
      - How far back what was recorded is told, in seconds. The recorder keeps a week and more.
    type: int
    default: 86400
  timeout:
    description:
      - How long it may take beside the window, in seconds. It is stopped then and nothing but the reason is returned.
    type: float
    default: 15.0
seealso:
  - module: oncall.pressure.memory_recorder
  - module: oncall.pressure.snapshot
"""

EXAMPLES = r"""
- name: Look at the last day
  oncall.pressure.memory_history_info:
  register: found

- name: Watch for two minutes on a host where nothing is recorded
  oncall.pressure.memory_history_info:
    window: 120
  register: found

- name: Look at the last week
  oncall.pressure.memory_history_info:
    history: 604800
  register: week
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
memory_history:
  description: What was found. Null where nothing is recorded and no window was asked for.
  returned: success
  type: dict
  contains:
    sources:
      description: Where it comes from.
      type: list
      elements: dict
      contains:
        kind:
          description: V(window), V(recorder) or V(sysstat).
          type: str
        status:
          description: Whether it could be read, V(ok), V(partial), V(absent), V(denied) or V(error).
          type: str
        reason:
          description: What is missing and why.
          type: str
        every_s:
          description: The usual time between its last samples, in seconds.
          type: float
        covered_s:
          description: The time from its first sample to its last one, in seconds.
          type: float
        samples:
          description: How many samples it has in that time.
          type: int
    host:
      description: Memory of the host, the oldest first, at most 96 points.
      type: list
      elements: dict
      contains:
        age_s:
          description: How many seconds ago.
          type: float
        used_bytes:
          description: What was used.
          type: int
        available_bytes:
          description: What could have been had.
          type: int
        swap_used_bytes:
          description: What was swapped out.
          type: int
    services:
      description: Services that were seen in the last sample, the largest first, at most 40; one that was both watched and recorded stands twice.
      type: list
      elements: dict
      contains:
        id:
          description: The service, as M(oncall.pressure.snapshot) says it.
          type: str
        source:
          description: V(window) or V(recorder).
          type: str
        every_s:
          description: The usual time between its points, in seconds.
          type: float
        points:
          description: The service over time, the oldest first, at most 96 points.
          type: list
          elements: dict
          contains:
            age_s:
              description: How many seconds ago.
              type: float
            bytes:
              description: Memory of the whole service.
              type: int
            workers:
              description: How many workers it had.
              type: int
            worker_bytes:
              description: Memory of all its workers that is not shared by file.
              type: int
            largest_bytes:
              description: That of the largest one.
              type: int
            median_bytes:
              description: That of the median one.
              type: int
            cpu_used:
              description: CPUs used since the point before.
              type: float
            requests_per_s:
              description: Requests that the nginx of the host answered.
              type: float
            tasks_per_s:
              description: Not measured.
              type: float
        workers:
          description: The largest eight workers that live now.
          type: list
          elements: dict
          contains:
            pid:
              description: The process.
              type: int
            started_age_s:
              description: How many seconds ago it started.
              type: float
            points:
              description: Pairs of age in seconds and bytes, the oldest first, at most 48.
              type: list
              elements: list
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.oncall.pressure.plugins.module_utils._components._memory_history import collect
from ansible_collections.oncall.pressure.plugins.module_utils._components._process_table import own_chain
from ansible_collections.oncall.pressure.plugins.module_utils._host._collect import Options
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine
from ansible_collections.oncall.pressure.plugins.module_utils._host._one import TIMEOUT, answer, within


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "window": {"type": "float", "default": 0.0}, "history": {"type": "int", "default": 86400}, "timeout": {"type": "float", "default": 15.0},
        },
        supports_check_mode=True,
    )
    given = within(module, window=(0.0, 600.0), history=(60, 1209600), timeout=TIMEOUT)
    machine = Machine()
    options = Options(own_pids=own_chain(machine), memory_window_s=given["window"], memory_history_s=float(given["history"]))
    answer(module, "memory_history", collect, machine, options, given["timeout"] + given["window"])


if __name__ == "__main__":
    main()
