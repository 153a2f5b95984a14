#!/usr/bin/python

# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: incident_info
short_description: Say what was changed on a host
description:
  - Lists the changes that this collection made on a host, oldest first, with age, owner, reason and state, and when the host will undo each by itself.
version_added: 0.1.0
author:
  - oncall.pressure maintainers (@oncall-pressure)
extends_documentation_fragment:
  - oncall.pressure._attributes
  - oncall.pressure._attributes.info_module
"""

EXAMPLES = r"""
- name: What is open here
  oncall.pressure.incident_info:
  become: true
  register: found
"""

RETURN = r"""
entries:
  description: The changes, oldest first.
  returned: success
  type: list
  elements: dict
  contains:
    entry:
      description: What names the change, INCIDENT/NUMBER.
      type: str
    incident:
      description: The incident that it is part of.
      type: str
    mitigation:
      description: What was done.
      type: str
    service:
      description: To which service.
      type: str
    owner:
      description: Who did it.
      type: str
    reason:
      description: Why.
      type: str
    state:
      description: >-
        Where it stands. C(verified) waits to be confirmed, C(confirmed) stays, C(undone) and C(expired) are over, C(undo_failed) needs a person.
      type: str
    age_s:
      description: How long ago it was begun, in seconds.
      type: int
    undone_in_s:
      description: When the host undoes it by itself, in seconds; null where it does not.
      type: int
    overdue_s:
      description: How long ago the host should have undone it, in seconds; null where it does not undo it by itself.
      type: int
    by:
      description: Who confirmed or undid it; null for the host itself.
      type: str
    problems:
      description: Why it could not be undone.
      type: list
      elements: str
    command:
      description: What undoes it by hand.
      type: str
lease:
  description: Who changes the host now; null where nobody does.
  returned: success
  type: dict
read_only:
  description: Whether the host refuses every change.
  returned: success
  type: bool
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.oncall.pressure.plugins.module_utils._change._listing import listing
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine


def main() -> None:
    module = AnsibleModule(argument_spec={}, supports_check_mode=True)
    try:
        module.exit_json(changed=False, **listing(Machine()))
    except PermissionError:
        module.fail_json(msg="what was changed on this host is for root to see: use become")


if __name__ == "__main__":
    main()
