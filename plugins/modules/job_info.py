#!/usr/bin/python

# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: job_info
short_description: Tell which scheduled jobs a host has, which run, and how long they take
description:
  - Lists the entries of every crontab that cron reads, the timers of systemd, what C(run-parts) would run and what it would not,
    the queue of C(at) and C(batch), and the jobs of anacron.
  - Tells which of them run now, how often at once and what they use, when they are due, and which start in the same minute.
  - How long a job usually takes is read from what cron, PAM and systemd wrote into the journal, or into the files of a syslog daemon.
    Where nothing tells of the end of a run it is null.
  - Of a job of C(at) only the commands are returned, never the environment that its file holds. Passwords, tokens and keys in commands are replaced.
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
      - Over how many seconds it is watched what running jobs use.
    type: float
    default: 2.0
  timeout:
    description:
      - How long it may take, in seconds. It is stopped then and nothing but the reason is returned.
    type: float
    default: 15.0
seealso:
  - module: oncall.pressure.snapshot
"""

EXAMPLES = r"""
- name: Look at scheduled jobs
  oncall.pressure.job_info:
  register: scheduled

- name: Say which jobs run more than once at the same time
  ansible.builtin.debug:
    msg: "{{ scheduled.jobs.cron | default([]) | selectattr('overlap', 'gt', 1) | map(attribute='id') | list }}"

- name: Say which scripts run-parts passes over
  ansible.builtin.debug:
    msg: "{{ scheduled.jobs.run_parts | default([]) | map(attribute='left_out') | flatten }}"
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
jobs:
  description: What was found. Null where there are neither crontabs nor timers nor jobs of C(at) or anacron, or nothing could be measured.
  returned: success
  type: dict
  contains:
    cron:
      description: Entries of crontabs, those that run first, at most 200.
      type: list
      elements: dict
      sample:
        - id: /etc/cron.d/shop:4
          path: /etc/cron.d/shop
          line: 4
          user: shop
          schedule: "*/5 * * * *"
          command: /srv/shop/bin/import --all
          paused: false
          due_in_s: 120.0
          period_s: 300.0
          running:
            - pid: 900
              age_s: 180.0
          overlap: 1
          cpu: 0.9
          cpu_wait: 0.1
          rss_bytes: 104857600
          usual_s: 75.0
          longest_s: 310.0
          runs_seen: 40
    timers:
      description:
        - Timers of systemd that wait or run, the next first, at most 100. Null without systemd.
        - Whether what they activate runs (C(running), C(since_s)) is null here; M(oncall.pressure.snapshot) tells it.
      type: list
      elements: dict
      sample:
        - id: logrotate.timer
          activates: logrotate.service
          next_in_s: 3600.0
          last_age_s: 82800.0
          running:
          since_s:
          usual_s: 0.4
          longest_s: 1.1
          runs_seen: 6
    unmatched:
      description: Children of cron that no entry explains, at most 16.
      type: list
      elements: dict
      sample:
        - pid: 901
          age_s: 12.0
          command: /usr/bin/stray
    run_parts:
      description: Folders that the system's tables hand to C(run-parts), what it would run of each, and what it would not, with the reason.
      type: list
      elements: dict
      sample:
        - folder: /etc/cron.daily
          by:
            - anacron:cron.daily
          scripts:
            - logrotate
          left_out:
            - name: backup.sh
              why: its name
    at:
      description: The queue of C(at) and C(batch), those that run first, at most 50. Null where there is none or it may not be read.
      type: list
      elements: dict
      sample:
        - id: "7"
          queue: a
          batch: false
          user: shop
          due_in_s: 5400.0
          running: false
          command: /srv/shop/bin/report
    anacron:
      description: Jobs of anacron with the day of their last run. Null without an anacrontab.
      type: list
      elements: dict
      sample:
        - id: cron.daily
          schedule: "1"
          period_s: 86400.0
          delay_s: 300.0
          command: run-parts --report /etc/cron.daily
          last_on: "2026-01-11"
          last_age_s: 90000.0
    same_minute:
      description: The minutes of the next day in which at least three jobs start, each set of jobs once, the largest five.
      type: list
      elements: dict
      sample:
        - at: "2026-01-12T09:00:00Z"
          in_s: 1800.0
          times: 24
          count: 3
          jobs:
            - /etc/crontab:2
            - /etc/cron.d/shop:4
            - logrotate.timer
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.oncall.pressure.plugins.module_utils._components import _jobs
from ansible_collections.oncall.pressure.plugins.module_utils._components._process_table import own_chain
from ansible_collections.oncall.pressure.plugins.module_utils._host._collect import Options
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine
from ansible_collections.oncall.pressure.plugins.module_utils._host._one import TIMEOUT, answer, within


def main() -> None:
    module = AnsibleModule(
        argument_spec={"window": {"type": "float", "default": 2.0}, "timeout": {"type": "float", "default": 15.0}},
        supports_check_mode=True,
    )
    given = within(module, window=(0.0, 60.0), timeout=TIMEOUT)
    machine = Machine()
    options = Options(window_s=given["window"], own_pids=own_chain(machine))
    answer(module, "jobs", _jobs.collect, machine, options, given["timeout"])


if __name__ == "__main__":
    main()
