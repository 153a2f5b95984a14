#!/usr/bin/python

# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: remediation_gate
short_description: Ask whether a host may be changed now
description:
  - Decides on the controller, by the ledger of the run, whether the next host may begin, and whether a step of its plan is to be taken.
  - A host may begin only while every host that began before it ended well. One that failed, was rescued, cannot be reached any more or never said how
    it ended stops all that follow, in whatever shape of play. Until one ended well, one is under way at a time.
  - A file on the controller stops everything.
version_added: 0.1.0
author:
  - oncall.pressure maintainers (@oncall-pressure)
extends_documentation_fragment:
  - oncall.pressure._attributes
  - oncall.pressure._attributes.controller
options:
  report_dir:
    description:
      - The folder of the run, with C(plan.json). The ledger is its folder C(outcomes).
    type: path
    required: true
  pause_file:
    description:
      - Nothing is begun while there is anything of this name on the controller.
    type: path
    default: /etc/oncall-pressure/pause
  batch:
    description:
      - The hosts that the play works on at this moment, C(ansible_play_batch).
    type: list
    elements: str
    default: []
  step:
    description:
      - The number of a step of the host's plan, from 0. Without it the question is whether the host may begin.
    type: int
"""

EXAMPLES = r"""
- name: Ask whether this host may be changed now
  oncall.pressure.remediation_gate:
    report_dir: reports/latest
    batch: "{{ ansible_play_batch }}"
  register: gate
"""

RETURN = r"""
planned:
  description: Whether anything is planned for the host.
  returned: without O(step)
  type: bool
go:
  description: Whether the host may begin.
  returned: without O(step)
  type: bool
steps:
  description: The numbers of its steps.
  returned: without O(step)
  type: list
  elements: int
leftover:
  description: Changes that an earlier run left open on the host, newest first.
  returned: without O(step)
  type: list
  elements: str
take:
  description: Whether the step is to be taken.
  returned: with O(step)
  type: bool
mitigation:
  description: What the step does.
  returned: with O(step)
  type: str
variables:
  description: The variables of its playbook.
  returned: with O(step)
  type: dict
reason:
  description: Why it is taken, for the journal on the host.
  returned: with O(step)
  type: str
why:
  description: Why not; null where it may.
  returned: always
  type: str
"""
