#!/usr/bin/python

# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Documentation of the action plugin of the same name, which does the work on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: diagnose
short_description: Say what is overloaded on hosts, and why, from their snapshots
version_added: 0.1.0
description:
  - Reads the snapshots that M(oncall.pressure.snapshot) left in a folder, applies the rules, writes C(diagnosis.json)
    and C(report.md) beside them and prints one block for each sick host and one line for the fleet.
  - Runs on the controller and touches no host. Give the task C(run_once=true).
author:
  - oncall.pressure maintainers (@oncall-pressure)
extends_documentation_fragment:
  - oncall.pressure._attributes
  - oncall.pressure._attributes.controller
options:
  report_dir:
    description:
      - The folder of this run. The documents are written there.
    type: path
    required: true
  snapshots:
    description:
      - A folder of saved snapshots to diagnose in place of those in O(report_dir). Empty takes those.
    type: str
    default: ""
  rules_dirs:
    description:
      - Folders of rules of your own. A rule there replaces the one of the same id.
    type: list
    elements: path
    default: []
  hosts:
    description:
      - The hosts that were asked. Each of them gets a line even where it left no snapshot.
    type: list
    elements: str
    default: []
  thresholds:
    description:
      - The thresholds of each host, by inventory name, put over those of the rules.
      - The value is a mapping of rule ids to thresholds by name, or of thresholds by name for every rule that has them.
      - A threshold is a number, or a mapping with C(enter) and C(leave).
      - A snapshot of a host that is not named goes by what all named hosts have in common.
    type: dict
    default: {}
  earlier:
    description:
      - The C(diagnosis.json) of an earlier look. What fired then is over only where it is below the C(leave) of its thresholds. Empty is none.
      - The snapshots beside it, where they are still there, say what the memory of each worker did since.
    type: str
    default: ""
  events:
    description:
      - What happened elsewhere and may have to do with it, as a list of mappings with C(at) (a time with its zone, or seconds since the epoch), C(what),
        and C(hosts) where it is not about all of them.
      - What is wrong is shown with what was changed in the two hours before.
    type: raw
    default: []
  fail_on:
    description:
      - What makes RV(exit_status) 3.
    type: list
    elements: str
    choices: [incident, unknown]
    default: []
  link:
    description:
      - A link beside O(report_dir) that is pointed at it when the documents are there, and named on the screen in its place.
    type: path
seealso:
  - module: oncall.pressure.snapshot
"""

EXAMPLES = r"""
- name: Decide and say it
  oncall.pressure.diagnose:
    report_dir: /var/tmp/pressure/20260101T000000Z
  run_once: true
"""

RETURN = r"""
exit_status:
  description:
    - What the run should end with. V(0) at least one host answered, V(2) bad input, V(3) something in O(fail_on) was met,
      V(4) no host answered.
  type: int
  returned: always
  sample: 0
summary:
  description: How many hosts there are in each state.
  type: dict
  returned: success
  contains:
    hosts:
      description: All hosts.
      type: int
    healthy:
      description: Hosts whose essential facts were measured and are clear.
      type: int
    incident:
      description: Hosts with a verdict.
      type: int
    unknown:
      description: Hosts that answered without an essential fact.
      type: int
    unreached:
      description: Hosts that did not answer.
      type: int
  sample: {"hosts": 12, "healthy": 11, "incident": 1, "unknown": 0, "unreached": 0}
report:
  description: The path of report.md.
  type: str
  returned: success
  sample: /var/tmp/pressure/20260101T000000Z/report.md
mitigations:
  description: By host and mitigation, the variables with which its playbook would act on the most pressing verdict that suggests it.
  type: dict
  returned: success
  sample: {"web-3": {"lower_workers": {"pressure_service": "shop-web.service"}}}
peers:
  description: The hosts that run a service that something is suggested for on any host, healthy ones too. Empty of saved snapshots.
  type: list
  elements: str
  returned: success
  sample: ["web-3", "web-4"]
"""
