#!/usr/bin/python

# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: nginx_info
short_description: Tell what traffic nginx had
description:
  - Reads the requests of a time window from the access logs that the running nginx is configured with, in whatever format it writes them,
    and from what they were rotated to within the window.
  - Tells who asks how often for what, the statuses and times of answers, and how that compares with the hour before.
  - Says of each log whether it could be read, and where errors are written. What stands in the error logs is told by M(oncall.pressure.log_info).
  - The configuration is read as nginx reads it; no program is run.
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
  top:
    description:
      - How many clients and paths are listed.
    type: int
    default: 10
  timeout:
    description:
      - How long it may take, in seconds. It is stopped then and nothing but the reason is returned.
    type: float
    default: 15.0
seealso:
  - module: oncall.pressure.snapshot
"""

EXAMPLES = r"""
- name: Look at the traffic of the last ten minutes
  oncall.pressure.nginx_info:
  register: traffic

- name: Say who asks most
  ansible.builtin.debug:
    msg: "{{ traffic.nginx.clients | default([]) | map(attribute='address') | first | default('nobody') }}"

- name: Say which logs cannot be read as they should be
  ansible.builtin.debug:
    msg: "{{ traffic.nginx.logs | default([]) | rejectattr('status', 'eq', 'ok') | list }}"
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
nginx:
  description: What was found. Null where no nginx runs or nothing could be measured.
  returned: success
  type: dict
  contains:
    main_pid:
      description: The first master.
      type: int
    config:
      description: Its configuration file.
      type: str
      sample: /etc/nginx/nginx.conf
    workers:
      description: How many workers run.
      type: int
    window_s:
      description: How far back was looked, in seconds.
      type: float
    covered_s:
      description: How far back the logs were read, in seconds. Rates are over this time.
      type: float
    requests:
      description: Requests in that time.
      type: int
    per_s:
      description: Requests for each second.
      type: float
    before:
      description: The same of the hour before the window. Null where the logs do not reach back.
      type: dict
      sample:
        requests: 36000
        per_s: 10.0
        covered_s: 3600.0
    ratio:
      description: The rate of the window in that of the time before.
      type: float
    clients:
      description: Those that ask most.
      type: list
      elements: dict
      sample:
        - address: 203.0.113.9
          requests: 4012
          share: 0.61
          kind: public
          per_s: 6.7
          paths:
            - path: /api/items/{n}
              requests: 4000
          bytes: 2048000
          refused: 0
    paths:
      description: What is asked for most, without queries, identities folded.
      type: list
      elements: dict
      sample:
        - path: /api/items/{n}
          requests: 4100
          share: 0.62
          bytes: 2060000
          status:
            2xx: 4100
          clients: 12
          slowest_s: 4.1
          mean_s: 0.4
          time_share: 0.8
    pairs:
      description: Who asks for what most, at most 5.
      type: list
      elements: dict
      sample:
        - address: 203.0.113.9
          path: /api/items/{n}
          requests: 4000
          share: 0.6
    status:
      description: Answers by the class of their status.
      type: dict
      sample:
        2xx: 6400
        5xx: 12
    bytes:
      description: What was sent.
      type: int
    slow:
      description: Answers that took long. Null where the formats tell no times.
      type: dict
      sample:
        over_s: 1.0
        requests: 40
        p95_s: 0.9
    distinct_clients:
      description: How many clients there were. A lower bound where counting was bounded.
      type: int
    error_bound:
      description: Requests that bounded counting may have missed for each client or path.
      type: int
    logs:
      description: Each log, and how it could be read.
      type: list
      elements: dict
      sample:
        - path: /var/log/nginx/access.log
          format: main
          status: ok
          reason:
          lines: 6600
          unparsed: 0
          bytes_read: 1320000
    error_logs:
      description: Where errors are written, and what is not written there because of its level.
      type: list
      elements: dict
      sample:
        - path: /var/log/nginx/error.log
          level: error
          status: ok
          reason:
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.oncall.pressure.plugins.module_utils._components import _nginx
from ansible_collections.oncall.pressure.plugins.module_utils._host._collect import Options
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine
from ansible_collections.oncall.pressure.plugins.module_utils._host._one import TIMEOUT, answer, within


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "window": {"type": "int", "default": 600}, "top": {"type": "int", "default": 10}, "timeout": {"type": "float", "default": 15.0},
        },
        supports_check_mode=True,
    )
    given = within(module, window=(1, 86400), top=(1, 100), timeout=TIMEOUT)
    options = Options(traffic_window_s=float(given["window"]), top=given["top"])
    answer(module, "nginx", _nginx.collect, Machine(), options, given["timeout"])


if __name__ == "__main__":
    main()
