#!/usr/bin/python

# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: incident
short_description: Confirm changes of a host, or undo them
description:
  - Confirms what was changed and proved itself, so that the host does not undo it; or undoes it, newest first.
  - A change that does not prove itself is undone at once, by default.
version_added: 0.1.0
author:
  - oncall.pressure maintainers (@oncall-pressure)
extends_documentation_fragment:
  - oncall.pressure._attributes
options:
  state:
    description:
      - V(confirmed) watches and asks, and confirms every change that is verified and waits for it.
      - V(confirmed) with the O(entry) of a change whose undoing was refused because somebody else changed the same since leaves everything as it is now,
        and that change is over.
      - V(undone) undoes everything that is not over, also what was confirmed.
    type: str
    choices:
      - confirmed
      - undone
    required: true
  incident:
    description:
      - The incident that is meant. Empty is every one.
    type: str
    default: ""
  entry:
    description:
      - The one change that is meant, INCIDENT/NUMBER. Empty is every one.
    type: str
    default: ""
  owner:
    description:
      - Who does this, for the records.
    type: str
    default: ""
  force:
    description:
      - Undo a change even if somebody changed the same file or unit since.
    type: bool
    default: false
  no_effect:
    description:
      - With O(state=undone), undo it because it was not seen to help. It then counts for the lock-out of what does not help here
        (O(oncall.pressure.service_concurrency#module:max_undone)).
    type: bool
    default: false
  unconfirmed_only:
    description:
      - With O(state=undone), leave alone what is confirmed, also where that happened a moment ago.
    type: bool
    default: false
  undo_otherwise:
    description:
      - With O(state=confirmed), undo a change at once that does not prove itself. Otherwise the host undoes it at its deadline.
    type: bool
    default: true
  settle:
    description:
      - How long to watch before confirming, in seconds; a kill or a restart of the service within it speaks against the change.
    type: float
    default: 5.0
  probe_url:
    description:
      - What to ask the service, from the host itself. Empty asks nothing, and only what the kernel and the service manager know counts.
    type: str
    default: ""
  probe_status:
    description:
      - The answers that are good.
    type: list
    elements: int
    default: [200]
  probes:
    description:
      - How many good answers in a row are needed.
    type: int
    default: 3
  probe_interval:
    description:
      - The time between two probes, in seconds.
    type: float
    default: 1.0
  probe_timeout:
    description:
      - How long one answer may take, in seconds.
    type: float
    default: 5.0
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
  idempotent:
    support: full
"""

EXAMPLES = r"""
- name: Confirm what this run changed
  oncall.pressure.incident:
    state: confirmed
    incident: "{{ lowered.incident }}"
    probe_url: http://127.0.0.1:8000/health
  become: true

- name: Undo everything that is open
  oncall.pressure.incident:
    state: undone
  become: true
"""

RETURN = r"""
entries:
  description: The changes that were meant, as M(oncall.pressure.incident_info) lists them, in their new state.
  returned: success
  type: list
  elements: dict
said:
  description: What was put back.
  returned: when something was undone
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.oncall.pressure.plugins.module_utils._change import _closing, _journal
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine
from ansible_collections.oncall.pressure.plugins.module_utils._host._text import clean

#: What is accepted, by parameter: (least, most).
BOUNDS = {"settle": (0.0, 3600.0), "probes": (1, 100), "probe_interval": (0.0, 60.0), "probe_timeout": (0.1, 60.0)}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["confirmed", "undone"], "required": True},
            "incident": {"type": "str", "default": ""},
            "entry": {"type": "str", "default": ""},
            "owner": {"type": "str", "default": ""},
            "force": {"type": "bool", "default": False},
            "no_effect": {"type": "bool", "default": False},
            "unconfirmed_only": {"type": "bool", "default": False},
            "undo_otherwise": {"type": "bool", "default": True},
            "settle": {"type": "float", "default": 5.0},
            "probe_url": {"type": "str", "default": ""},
            "probe_status": {"type": "list", "elements": "int", "default": [200]},
            "probes": {"type": "int", "default": 3},
            "probe_interval": {"type": "float", "default": 1.0},
            "probe_timeout": {"type": "float", "default": 5.0},
        },
        supports_check_mode=True,
    )
    given = module.params
    for name, (least, most) in BOUNDS.items():
        if not least <= given[name] <= most:
            module.fail_json(msg="%s must be from %s to %s, not %s" % (name, least, most, given[name]))
    if given["incident"] and not _journal.is_id(given["incident"]):
        module.fail_json(msg="incident must be letters, digits and dashes, at most 48")
    machine = Machine()
    owner = clean(given["owner"], 100)
    if given["state"] == "confirmed":
        probe = _closing.Probe(
            given["probe_url"], given["probe_status"], given["probes"], given["probe_interval"], given["probe_timeout"], given["settle"])
        result = _closing.confirm(machine, given["incident"], given["entry"], probe, given["undo_otherwise"], module.check_mode, owner)
    else:
        result = _closing.take_back(machine, given["incident"], given["entry"], given["force"], module.check_mode, owner,
                                    _closing.NO_EFFECT if given["no_effect"] else "operator", given["unconfirmed_only"])
    module.exit_json(**result)


if __name__ == "__main__":
    main()
