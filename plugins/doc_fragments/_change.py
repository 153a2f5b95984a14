# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What every changing module of this collection has in common, for their documentation.

Private to oncall.pressure: no stable interface.
"""

from __future__ import annotations


class ModuleDocFragment:
    """The options of the change engine (``_change/_arguments.py`` holds the same), and what they promise."""

    DOCUMENTATION = r"""
options:
  incident:
    description:
      - The incident that this change is part of; a rollback of the incident undoes it.
      - Letters, digits and dashes. Empty is one name for the whole run of Ansible.
    type: str
    default: ""
  owner:
    description:
      - Who answers for the change, for others who find it. Empty is the user and the machine that run Ansible.
    type: str
    default: ""
  reason:
    description:
      - Why it is made, for others who find it.
    type: str
    default: ""
  confirm_within:
    description:
      - The host undoes the change by itself unless it is confirmed within so many seconds (module M(oncall.pressure.incident)).
    type: int
    default: 900
  lifetime:
    description:
      - A confirmed change is undone by the host after so many seconds. 0 keeps it until somebody rolls it back.
    type: int
    default: 0
  cool_down:
    description:
      - The same mitigation of the same service is refused within so many seconds. 0 allows it at once.
    type: int
    default: 300
  max_changes:
    description:
      - More changes of a host than this within O(changes_window) are refused. 0 allows any number.
    type: int
    default: 10
  changes_window:
    description:
      - The window of O(max_changes), in seconds.
    type: int
    default: 3600
  max_undone:
    description:
      - The same mitigation of the same service is refused once it was undone this often within a day because it failed or was not confirmed.
        0 allows any number.
    type: int
    default: 3
  accept_irreversible:
    description:
      - Also do what cannot be put back.
    type: bool
    default: false
notes:
  - A host with the file C(/etc/oncall-pressure/read-only) refuses every change.
  - What was changed is written on the host, under C(/var/lib/oncall-pressure/incidents), before it is changed; see M(oncall.pressure.incident_info).
attributes:
  check_mode:
    support: full
    details:
      - Nothing is written in check mode. The diff is byte for byte that of the run.
  diff_mode:
    support: full
    details:
      - Secrets are left out of it.
  idempotent:
    support: full
"""
