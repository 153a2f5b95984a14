#!/usr/bin/python

# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pause_jobs
short_description: Pause scheduled jobs for a while
description:
  - Pauses one entry of a crontab, one systemd timer, or every scheduled job that is not essential. The host resumes it by itself at the end of O(lifetime).
  - An entry gets a mark before it, which makes it a comment to cron. Every other byte of the crontab stays what it is, and so do its owner, mode and
    attributes. Resuming takes the mark from this very line, wherever it stands then. What others edited meanwhile stays.
  - A timer is stopped, and a drop-in that is its own condition keeps it from being started, after a reboot too. It stays enabled.
  - What runs now is left to finish unless O(stop_running) is set.
  - RV(notes.summary) says what runs now and since when, and what is due within the lifetime.
  - The host undoes the change by itself unless it is confirmed with M(oncall.pressure.incident). The lifetime is counted from then.
  - Cron reads a crontab anew at the next full minute.
  - Timers of users, those that were made at run time, and entries for C(@reboot) are refused.
version_added: 0.1.0
author:
  - oncall.pressure maintainers (@oncall-pressure)
extends_documentation_fragment:
  - oncall.pressure._attributes
  - oncall.pressure._change
options:
  job:
    description:
      - The job, as M(oncall.pressure.snapshot) says it. An entry is C(PATH:LINE), a timer the name of its unit.
      - An entry may also be said as the path of its crontab, with O(match).
      - Empty only with O(all).
    type: str
    default: ""
  match:
    description:
      - Text that the command of the entry holds. It must be the only one of its crontab that does, unless the line is said, too.
    type: str
    default: ""
  all:
    description:
      - Pause everything that is scheduled and not O(essential).
    type: bool
    default: false
  essential:
    description:
      - What O(all) leaves alone, patterns (C(*), C(?)) that are found anywhere in a job's name, its command or the unit that a timer starts.
      - By default what fills a disk or ends a service when it is missing (logs, temporary files, certificates), what nobody notices until it is needed
        (backups), what watches the host, and C(run-parts) and C(anacron), which may run any of these.
      - A job that is named with O(job) is paused whatever is said here.
    type: list
    elements: str
    default:
      - logrotate
      - tmpfiles
      - tmpreaper
      - certbot
      - acme
      - dehydrated
      - lego
      - backup
      - borg
      - restic
      - pg_dump
      - mysqldump
      - wal-g
      - pgbackrest
      - barman
      - sysstat
      - debian-sa1
      - monitor
      - watchdog
      - healthcheck
      - heartbeat
      - run-parts
      - anacron
      - oncall-pressure
  stop_running:
    description:
      - End what runs of it now. Its processes get SIGTERM; what a timer started is stopped by systemd.
      - What it had done so far may be lost, and it is not started again. It is not killed. What does not end within O(stop_wait) has everything put back.
    type: bool
    default: false
  stop_wait:
    description:
      - How many seconds a run may take to end.
    type: int
    default: 30
  lifetime:
    description:
      - A confirmed pause ends by itself after so many seconds. There is no pause without an end.
    type: int
    default: 3600
seealso:
  - module: oncall.pressure.snapshot
  - module: oncall.pressure.incident
"""

EXAMPLES = r"""
- name: Pause the import that runs twice, for an hour
  oncall.pressure.pause_jobs:
    job: /etc/cron.d/shop:4
    reason: two runs of it at once
  register: paused

- name: Say what runs and what is due
  ansible.builtin.debug:
    msg: "{{ paused.notes.summary }}"

- name: Pause a user's job, whatever its line
  oncall.pressure.pause_jobs:
    job: /var/spool/cron/crontabs/shop
    match: manage.py reindex

- name: Pause a timer for ten minutes, and end what it started
  oncall.pressure.pause_jobs:
    job: shop-report.timer
    stop_running: true
    lifetime: 600

- name: Pause whatever can wait
  oncall.pressure.pause_jobs:
    all: true
"""

RETURN = r"""
service:
  description: The job, or V(jobs) for all.
  returned: always
  type: str
  sample: /etc/cron.d/shop:4
operations:
  description: What was done, or would be done in check mode, in this order.
  returned: always
  type: list
  elements: dict
  contains:
    kind:
      description: The kind of operation.
      type: str
      sample: crontab
    what:
      description: What it is done to.
      type: str
notes:
  description: What runs now and what is due.
  returned: always
  type: dict
  contains:
    jobs:
      description: Each job that is paused.
      type: list
      elements: dict
      contains:
        job:
          description: The job.
          type: str
        running_since_s:
          description: For each run of it that is there now, for how many seconds.
          type: list
          elements: float
        due:
          description: How often it is due within the lifetime. Null where that is not known.
          type: int
        next_in_s:
          description: In how many seconds it is due next. Null where that is not known.
          type: float
        catches_up:
          description: Whether what it misses is made up for when it is resumed.
          type: bool
    left:
      description: What was left alone as essential.
      type: list
      elements: str
    lifetime_s:
      description: After how many seconds a confirmed pause ends.
      type: float
    ends_runs:
      description: Whether runs are ended.
      type: bool
    summary:
      description: The same in lines for a screen.
      type: list
      elements: str
proposals:
  description: Steps that are left for a person.
  returned: always
  type: list
  elements: str
incident:
  description: The incident that the change belongs to.
  returned: changed, outside check mode
  type: str
entry:
  description: The change's entry in the host's journal.
  returned: changed, outside check mode
  type: str
state:
  description: The state of the change.
  returned: changed, outside check mode
  type: str
  sample: verified
confirm_within_s:
  description: After how many seconds the host undoes it unless it is confirmed.
  returned: changed, outside check mode
  type: float
refused:
  description: Whether it was refused and nothing was touched. C(msg) says why and what to do instead.
  returned: failure
  type: bool
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.oncall.pressure.plugins.module_utils._change._arguments import ARGUMENTS, settings_from
from ansible_collections.oncall.pressure.plugins.module_utils._change._engine import run_change
from ansible_collections.oncall.pressure.plugins.module_utils._change._kinds import Refused
from ansible_collections.oncall.pressure.plugins.module_utils._controls import _pause
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine

ESSENTIAL = [
    "logrotate", "tmpfiles", "tmpreaper", "certbot", "acme", "dehydrated", "lego", "backup", "borg", "restic", "pg_dump", "mysqldump", "wal-g", "pgbackrest",
    "barman", "sysstat", "debian-sa1", "monitor", "watchdog", "healthcheck", "heartbeat", "run-parts", "anacron", "oncall-pressure",
]


def main() -> None:
    module = AnsibleModule(
        argument_spec=dict(
            ARGUMENTS,
            job={"type": "str", "default": ""},
            match={"type": "str", "default": ""},
            all={"type": "bool", "default": False},
            essential={"type": "list", "elements": "str", "default": ESSENTIAL},
            stop_running={"type": "bool", "default": False},
            stop_wait={"type": "int", "default": 30},
            lifetime={"type": "int", "default": 3600},
        ),
        supports_check_mode=True,
    )
    given = module.params
    if given["lifetime"] < 1:
        module.fail_json(msg="lifetime must be at least 1: there is no pause without an end")
    if not 1 <= given["stop_wait"] <= 600:
        module.fail_json(msg="stop_wait must be from 1 to 600, not %d" % given["stop_wait"])
    wish = _pause.Wish(
        given["job"], given["match"], given["all"], given["essential"], given["stop_running"], float(given["stop_wait"]), float(given["lifetime"])
    )
    try:
        settings = settings_from(given)
        plan = _pause.plan(Machine(), wish)
    except Refused as problem:
        module.fail_json(msg="refused: %s" % problem, refused=True, service=given["job"])
    module.exit_json(**run_change(Machine(), settings, plan, check_mode=module.check_mode, diff=module._diff))


if __name__ == "__main__":
    main()
