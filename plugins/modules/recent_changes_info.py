#!/usr/bin/python

# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: recent_changes_info
short_description: Tell what was changed on a host lately and when
description:
  - Lists what happened in the last day, newest first, at most 60 events.
  - Units and drop-ins, crontabs, configuration that running services use, packages of their Python environments, links to releases,
    moves of a git repository, runs of the package manager, starts of the host and of services, and the changes of this collection itself.
  - Times are those of files and records, by the host's own clock. A file that is copied with its old time is not noticed.
  - Nothing on a network file system is looked at, for it may not answer. What runs in containers is not looked into.
  - It only reads, and runs nothing. What could not be looked at is said; a missing permission is no failure of the task.
version_added: 0.1.0
author:
  - oncall.pressure maintainers (@oncall-pressure)
extends_documentation_fragment:
  - oncall.pressure._attributes
  - oncall.pressure._attributes.info_module
options:
  timeout:
    description:
      - How long it may take, in seconds. It is stopped then and nothing but the reason is returned.
    type: float
    default: 10.0
seealso:
  - module: oncall.pressure.snapshot
"""

EXAMPLES = r"""
- name: Look at what was changed
  oncall.pressure.recent_changes_info:
  register: found

- name: Say what was changed in the last two hours
  ansible.builtin.debug:
    msg: "{{ found.timeline.events | selectattr('age_s', 'lt', 7200) | map(attribute='what') | list }}"
"""

RETURN = r"""
status:
  description: Whether it could be measured, V(ok), V(partial), V(denied) or V(error).
  returned: success
  type: str
  sample: ok
reason:
  description: What is missing and why. Null where nothing is.
  returned: success
  type: str
seconds:
  description: How long it took.
  returned: success
  type: float
timeline:
  description: What was found. Null where nothing could be measured.
  returned: success
  type: dict
  contains:
    window_s:
      description: How far back was looked, in seconds.
      type: float
    left_out:
      description: How many older events were left out.
      type: int
    events:
      description: The events, newest first.
      type: list
      elements: dict
      contains:
        at:
          description: When, UTC.
          type: str
          sample: "2026-01-12T08:30:01Z"
        age_s:
          description: How many seconds ago.
          type: float
        kind:
          description:
            - V(boot), V(unit), V(config), V(environment), V(release), V(commit), V(crontab), V(package), V(start), or V(ours) for a change of this collection.
          type: str
        what:
          description: What happened.
          type: str
          sample: /srv/shop/current was set
        service:
          description: The service that it is about. Null where it is about none or all.
          type: str
        pid:
          description: The topmost process of that service, where it was found by one.
          type: int
        detail:
          description: More about it.
          type: str
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.oncall.pressure.plugins.module_utils._components import _recent_changes
from ansible_collections.oncall.pressure.plugins.module_utils._components._process_table import own_chain
from ansible_collections.oncall.pressure.plugins.module_utils._host._collect import Options
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine
from ansible_collections.oncall.pressure.plugins.module_utils._host._one import TIMEOUT, answer, within


def main() -> None:
    module = AnsibleModule(argument_spec={"timeout": {"type": "float", "default": 10.0}}, supports_check_mode=True)
    given = within(module, timeout=TIMEOUT)
    machine = Machine()
    answer(module, "timeline", _recent_changes.collect, machine, Options(own_pids=own_chain(machine)), given["timeout"])


if __name__ == "__main__":
    main()
