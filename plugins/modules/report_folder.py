#!/usr/bin/python

# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: report_folder
short_description: Make the folder of one run's documents on the controller
description:
  - Makes a folder named by the time of the run, for its owner only. Run it once, before the hosts are measured.
version_added: 0.1.0
author:
  - oncall.pressure maintainers (@oncall-pressure)
extends_documentation_fragment:
  - oncall.pressure._attributes
  - oncall.pressure._attributes.controller
options:
  base:
    description:
      - The folder in which the run's folder is made. A relative path starts where Ansible was started.
    type: path
    default: reports
"""

EXAMPLES = r"""
- name: Make the folder of this run
  oncall.pressure.report_folder:
    base: /var/tmp/pressure
  run_once: true
  register: run
"""

RETURN = r"""
path:
  description: The folder.
  returned: success
  type: str
latest:
  description: The link beside it that is to point to the newest run.
  returned: success
  type: str
"""
