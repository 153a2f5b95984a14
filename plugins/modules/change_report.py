#!/usr/bin/python

# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: change_report
short_description: Print what was changed on hosts
description:
  - Prints one block for each host where a change is open, in effect or was undone, and one line of counts. Run it once, after
    M(oncall.pressure.incident_info) on every host.
version_added: 0.1.0
author:
  - oncall.pressure maintainers (@oncall-pressure)
extends_documentation_fragment:
  - oncall.pressure._attributes
  - oncall.pressure._attributes.controller
options:
  hosts:
    description:
      - By host, what M(oncall.pressure.incident_info) returned; an empty mapping for one that did not answer.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Say it
  oncall.pressure.change_report:
    hosts: "{{ dict(ansible_play_hosts_all | zip(ansible_play_hosts_all | map('extract', hostvars, 'found') | map('default', {}))) }}"
  run_once: true
"""

RETURN = r"""
# nothing of its own
"""
