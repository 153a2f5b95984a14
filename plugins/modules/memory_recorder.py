#!/usr/bin/python

# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: memory_recorder
short_description: Have a host keep a bounded history of its memory
description:
  - Installs a systemd timer that takes a sample of the memory of a host and of its services again and again, or takes it away.
  - A sample is of the host, of each service (its cgroup, its workers together, the largest eight one by one, processor time), and of the rate of requests
    that the host's nginx answers, from the number of lines that it adds to its access logs.
  - Samples lie in C(/var/lib/oncall-pressure/history), for root alone, in at most 8 MiB, those of the last six hours at least as they were taken,
    and means of ten minutes for a week and more.
  - It touches no service and no file but its own. It is no change of the change engine, so that nothing undoes it but O(state=absent).
version_added: 0.1.0
author:
  - oncall.pressure maintainers (@oncall-pressure)
extends_documentation_fragment:
  - oncall.pressure._attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details:
      - Of the program and of the samples only that they are there.
  idempotent:
    support: full
options:
  state:
    description:
      - V(absent) takes away the timer, its program and everything that it kept.
    type: str
    choices: [present, absent]
    default: present
  every:
    description:
      - How many seconds lie between two samples, from 10 to 3600.
    type: int
    default: 60
seealso:
  - module: oncall.pressure.memory_history_info
"""

EXAMPLES = r"""
- name: Keep a history of memory
  oncall.pressure.memory_recorder:

- name: Take it away, with all that it kept
  oncall.pressure.memory_recorder:
    state: absent
"""

RETURN = r"""
timer:
  description: The unit that waits where O(state=present).
  returned: success
  type: str
  sample: oncall-pressure-recorder.timer
diff:
  description: What was changed, or would be in check mode.
  returned: success
  type: list
  elements: dict
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.oncall.pressure.plugins.module_utils._change._kinds import Failed, Refused
from ansible_collections.oncall.pressure.plugins.module_utils._controls import _recorder
from ansible_collections.oncall.pressure.plugins.module_utils._host._files import Files, Untrusted
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine


def main() -> None:
    module = AnsibleModule(
        argument_spec={"state": {"type": "str", "choices": ["present", "absent"], "default": "present"}, "every": {"type": "int", "default": 60}},
        supports_check_mode=True,
    )
    state, every = module.params["state"], module.params["every"]
    least, most = _recorder.EVERY_S
    if not least <= every <= most:
        module.fail_json(msg="every must be from %d to %d, not %d" % (least, most, every))
    try:
        changed, diff = _recorder.ensure(Machine(), Files(), state, every, module.check_mode)
    except (Refused, Failed, Untrusted, OSError, ImportError) as problem:
        module.fail_json(msg=str(problem))
    module.exit_json(changed=changed, diff=diff, timer=_recorder.NAME + ".timer")


if __name__ == "__main__":
    main()
