#!/usr/bin/python

# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: remediation_outcome
short_description: Write down how a step or a host ended
description:
  - Keeps the ledger of a run on the controller, one document for each host, which M(oncall.pressure.remediation_gate) goes by.
  - With O(state=told) it prints how every host ended, what was changed, until when, how to undo it and what to mend for good.
version_added: 0.1.0
author:
  - oncall.pressure maintainers (@oncall-pressure)
extends_documentation_fragment:
  - oncall.pressure._attributes
  - oncall.pressure._attributes.controller
options:
  report_dir:
    description:
      - The folder of the run.
    type: path
    required: true
  state:
    description:
      - V(kept), V(put_back) and V(failed) are of a step, V(ended) is of the host, V(told) is of the run.
    type: str
    choices:
      - kept
      - put_back
      - failed
      - ended
      - told
    required: true
  step:
    description:
      - The number of the step, from 0.
    type: int
  results:
    description:
      - What the tasks returned that kept it, put it back or failed.
    type: list
    elements: dict
    default: []
"""

EXAMPLES = r"""
- name: Say how every host ended
  oncall.pressure.remediation_outcome:
    report_dir: reports/latest
    state: told
  run_once: true
"""

RETURN = r"""
step_state:
  description: How the step ended.
  returned: for a step
  type: str
undo:
  description: Changes that waited for the step and must be put back with it, newest first.
  returned: for a step
  type: list
  elements: str
state:
  description: How the host ended.
  returned: with O(state=ended)
  type: str
bad:
  description: With O(state=ended) whether that is no success; with O(state=told) the hosts that did not end well, and why.
  returned: with O(state=ended) and O(state=told)
  type: raw
good:
  description: The hosts that ended well.
  returned: with O(state=told)
  type: list
  elements: str
"""
