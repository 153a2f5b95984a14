#!/usr/bin/python

# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Documentation of the action plugin of the same name, which does the work on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: remediation_plan
short_description: Plan what would be done about a diagnosis, on which host and in which order
version_added: 0.1.0
description:
  - Reads the diagnosis that M(oncall.pressure.diagnose) wrote and the snapshots beside it, and puts what the verdicts suggest in order, the least risky
    first. Writes C(plan.json) beside them and prints one block for each host that would be changed, one line for those that are held, and how to go on.
  - What was not measured is never acted upon. A host whose journal could not be read is held, and so is one that did not answer.
  - Runs on the controller and touches no host. Give the task C(run_once=true).
author:
  - oncall.pressure maintainers (@oncall-pressure)
extends_documentation_fragment:
  - oncall.pressure._attributes
  - oncall.pressure._attributes.controller
options:
  report_dir:
    description:
      - The folder of this run, with C(diagnosis.json) and the snapshots. The plan is written there.
    type: path
    required: true
  plan:
    description:
      - A plan that was written by an earlier run, and perhaps edited. Empty plans afresh.
      - It can only take away. A host or a step that was removed is not acted upon, and neither is what it holds. What a fresh diagnosis does not suggest any
        more, on the same host in the same boot, is dropped and said.
      - The link C(latest) points to this run by now, and is taken for the run before.
    type: str
    default: ""
  snapshots:
    description:
      - The folder of saved snapshots that was diagnosed in place of hosts. There is no journal of them, and they can only be planned for.
    type: str
    default: ""
  mode:
    description:
      - Whether the plan is only shown, or about to be carried out. It is the same plan; V(apply) does not say how to apply it.
    type: str
    choices: [plan, apply]
    default: plan
  link:
    description:
      - A link to O(report_dir), named on the screen in its place where it points there.
    type: path
  hosts:
    description:
      - The hosts of the play, by inventory name. No other host is acted upon.
    type: list
    elements: str
    default: []
  changes:
    description:
      - By host, what M(oncall.pressure.incident_info) returned. A host that has a mitigation and no C(entries) here is held.
      - The changes of all hosts count where it is decided whether most hosts of a service are sick, those of healthy hosts too.
    type: dict
    default: {}
  ceilings:
    description:
      - By host, how far it may be changed by itself, in a mapping with any of C(max_rung), C(max_disruption), C(mitigations) (only these, and these even
        where they are not automatic) and C(never).
      - A host that is not named goes up to rung 5 and disruption medium.
    type: dict
    default: {}
  max_hosts:
    description:
      - How many hosts are acted upon at most. The others are held.
    type: int
    default: 10
  majority:
    description:
      - The part of at least five hosts that run the same service above which none of them is acted upon, from 0 to 1. Hosts that are sick, did not answer,
        have an open change of the service or one that was kept within O(recurrence_window) count.
    type: float
    default: 0.5
  ignore_majority:
    description:
      - Act even where most hosts of a service are sick.
    type: bool
    default: false
  recurrence_window:
    description:
      - How long after a restart that was kept a verdict of the same service shows that restarts do not help, in seconds.
    type: float
    default: 21600.0
seealso:
  - module: oncall.pressure.diagnose
  - module: oncall.pressure.incident_info
"""

EXAMPLES = r"""
- name: Plan and say it
  oncall.pressure.remediation_plan:
    report_dir: /var/tmp/pressure/20260101T000000Z
    hosts: "{{ ansible_play_hosts_all }}"
    changes: "{{ dict(ansible_play_hosts_all | zip(ansible_play_hosts_all | map('extract', hostvars, 'changes'))) }}"
  run_once: true
  register: planned
"""

RETURN = r"""
exit_status:
  description: What the run should end with where it ends here. V(0) there is a plan (perhaps an empty one), V(2) bad input.
  type: int
  returned: always
  sample: 0
act:
  description: The hosts to act upon, by inventory name, in the order in which people count.
  type: list
  elements: str
  returned: always
  sample: ["web-3"]
held:
  description: How many hosts have a mitigation and are not acted upon. The plan says why.
  type: int
  returned: always
  sample: 1
left:
  description:
    - By inventory name, why a host is left as it is though something was to be done about it. Not among them are hosts on which a plan from a file wants
      nothing done, and those on which what it is for is not found any more.
  type: dict
  returned: always
  sample: {"web-4": "it did not answer: nothing listens on its ssh port"}
path:
  description: The path of plan.json.
  type: str
  returned: success
  sample: /var/tmp/pressure/20260101T000000Z/plan.json
"""
