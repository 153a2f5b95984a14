#!/usr/bin/python

# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: remediation_look
short_description: Measure a host again and see what a step did
description:
  - Measures the host as M(oncall.pressure.snapshot) does, once or until what asked for the step is clear twice in a row, by the rules that asked for it and by
    the C(leave) of their thresholds, and says whether the step is kept or put back.
  - What is not seen to help within O(patience) is to be put back. What was not measured is not seen to help.
  - With O(purpose=closing) it watches until all four checks hold for O(stable_for) without a break. They are that memory and processors are under 80 per cent,
    that the kernel killed nothing since, that the services run on without a restart and memory does not grow, and that they answer.
version_added: 0.1.0
author:
  - oncall.pressure maintainers (@oncall-pressure)
extends_documentation_fragment:
  - oncall.pressure._attributes
  - oncall.pressure._attributes.info_module
options:
  report_dir:
    description:
      - The folder of the run. What is measured is kept in its folder C(looks).
    type: path
    required: true
  purpose:
    description:
      - V(before) looks once whether what the plan is for is still so, V(step) watches what a step did, V(closing) watches until it is over.
    type: str
    choices:
      - before
      - step
      - closing
    required: true
  step:
    description:
      - The number of the step, from 0.
    type: int
  change:
    description:
      - What the module that made the change returned.
    type: dict
    default: {}
  settle:
    description:
      - How long to wait at least before the effect is judged, in seconds. Kills before that are not held against the step.
    type: float
    default: 30.0
  patience:
    description:
      - How long to wait at most for the effect, in seconds.
    type: float
    default: 180.0
  stable_for:
    description:
      - How long all four checks must hold, in seconds.
    type: float
    default: 600.0
  window:
    description:
      - How long each look watches, in seconds.
    type: float
    default: 2.0
  timeout:
    description:
      - How long any collector may take in a look, in seconds.
    type: float
    default: 15.0
  rules_dirs:
    description:
      - Folders with rules of one's own.
    type: list
    elements: path
    default: []
  thresholds:
    description:
      - Thresholds by rule and name, of this host.
    type: dict
    default: {}
  probe_url:
    description:
      - What to ask the service, from the host itself. Empty asks nothing.
    type: str
    default: ""
  probe_status:
    description:
      - The answers that are good.
    type: list
    elements: int
    default: [200]
"""

EXAMPLES = r"""
- name: See what the first step did
  oncall.pressure.remediation_look:
    report_dir: reports/latest
    purpose: step
    step: 0
    change: "{{ change }}"
  register: seen
"""

RETURN = r"""
effect:
  description: How what asked for the step stands, V(held), V(clear), V(unknown), V(easing) where a paused job only finishes what ran before,
    or V(lost) where the host does not answer. Null where nothing was judged.
  returned: success
  type: str
decision:
  description: What becomes of the step, V(confirm), V(undo), V(carry) to the restart that is the next step, or V(none).
  returned: success
  type: str
incident:
  description: The incident that the change is part of.
  returned: with O(purpose=step)
  type: str
undo:
  description: The changes to put back, newest first.
  returned: with O(purpose=step)
  type: list
  elements: str
"""
